/* raft_step: one event in, one update out.
 *
 * Duties of this file: clear and close the update, know which messages are for this replica at all, and give
 * each event to the one file that understands it. What a message of another term means is decided by its
 * handler, because no two types agree on it:
 *
 *     type                newer term                       older term
 *     PREVOTE             changes nothing (C1)             judged by the vote rule
 *     VOTE                seen, unless a leader is heard   refused
 *     APPEND, HEARTBEAT   its sender leads: followed       refused, so that the old leader learns of it
 *     any reply           seen, from a member only         ignored
 *     READ_INDEX          seen, from a member only         refused
 *     TIMEOUT_NOW         its sender leads: followed       ignored
 *     REGRESSED           its sender leads: followed       ignored */
#include "internal.h"

#include <planted/planted.h>

#include <assert.h>

/* splitmix64: small, and good enough for timeouts. */
uint64_t raft__random(struct raft_node *node, uint64_t below)
{
    assert(below > 0);
    uint64_t x = node->random += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (x ^ (x >> 31)) % below;
}

void raft__trace(struct raft_update *update, struct raft_trace trace)
{
    if (update->traces_count == RAFT_TRACES_MAX) return;
    update->traces[update->traces_count++] = trace;
}

static bool same_hard_state(struct raft_hard_state a, struct raft_hard_state b)
{
    return a.term == b.term && raft__same_replica(a.voted_for, b.voted_for);
}

bool raft__hard_is_durable(const struct raft_node *node)
{
    return same_hard_state(node->hard, node->hard_durable);
}

struct raft_message *raft__message(struct raft_node *node, struct raft_update *update,
                                   enum raft_message_type type, struct raft_replica_id to)
{
    struct raft_message *message;
    if (raft__hard_is_durable(node) || PLANTED(B3_ANSWERS_BEFORE_VOTE_IS_DURABLE)) {
        if (update->messages_now_count == RAFT_MESSAGES_MAX) return NULL;
        message = &update->messages_now[update->messages_now_count++];
    } else {
        if (update->messages_after_sync_count == RAFT_MESSAGES_MAX) return NULL;
        message = &update->messages_after_sync[update->messages_after_sync_count++];
    }
    message->type = type;
    message->group = node->options.group;
    message->from = node->options.id;
    message->to = to;
    message->term = node->hard.term;
    message->refusal = RAFT_REFUSED_NOT;
    return message;
}

struct raft_message *raft__reply(struct raft_node *node, struct raft_update *update,
                                 enum raft_message_type type, struct raft_replica_id to,
                                 enum raft_refusal refusal)
{
    struct raft_message *message = raft__message(node, update, type, to);
    /* The first message of a step always finds room; the outbox runs last. */
    assert(message != NULL);
    message->refusal = refusal;
    return message;
}

void raft__commit_to(struct raft_node *node, struct raft_update *update, raft_index index)
{
    if (index <= node->commit_index) return;
    assert(index <= node->trail.last_index);
    node->commit_index = index;
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_COMMIT,
                                            .index = index,
                                            .index_term = raft__trail_term(&node->trail, index)});
}

/* ---- messages ------------------------------------------------------------------------------------- */

/* A request that names another epoch of this replica is meant for one that is gone, or not made yet
 * (PROTOCOL M3). The answer says so and changes nothing here: neither term nor timer. */
static void refuse_identity(struct raft_node *node, struct raft_update *update,
                            const struct raft_message *m)
{
    struct raft_message *reply;
    switch (m->type) {
    case RAFT_MESSAGE_PREVOTE:
    case RAFT_MESSAGE_VOTE:
        reply = raft__reply(node, update,
                            m->type == RAFT_MESSAGE_VOTE ? RAFT_MESSAGE_VOTE_REPLY
                                                         : RAFT_MESSAGE_PREVOTE_REPLY,
                            m->from, RAFT_REFUSED_WRONG_IDENTITY);
        reply->vote_reply.voter_term = node->hard.term;
        break;
    case RAFT_MESSAGE_APPEND:
        reply = raft__reply(node, update, RAFT_MESSAGE_APPEND_REPLY, m->from,
                            RAFT_REFUSED_WRONG_IDENTITY);
        reply->append_reply.match_index = 0;
        reply->append_reply.request_index = m->append.previous_index;
        reply->append_reply.hint_index = 0;
        reply->append_reply.hint_term = 0;
        break;
    case RAFT_MESSAGE_HEARTBEAT:
        reply = raft__reply(node, update, RAFT_MESSAGE_HEARTBEAT_REPLY, m->from,
                            RAFT_REFUSED_WRONG_IDENTITY);
        reply->heartbeat_reply.round = 0;
        reply->heartbeat_reply.process = m->heartbeat.process;
        reply->heartbeat_reply.match_index = 0;
        break;
    case RAFT_MESSAGE_READ_INDEX:
        reply = raft__reply(node, update, RAFT_MESSAGE_READ_INDEX_REPLY, m->from,
                            RAFT_REFUSED_WRONG_IDENTITY);
        reply->read_index.process = m->read_index.process;
        reply->read_index.number = m->read_index.number;
        reply->read_index.index = 0;
        break;
    case RAFT_MESSAGE_PREVOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
    case RAFT_MESSAGE_APPEND_REPLY:
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
    case RAFT_MESSAGE_READ_INDEX_REPLY:
    case RAFT_MESSAGE_TIMEOUT_NOW:
    case RAFT_MESSAGE_REGRESSED:
        break;
    }
}

/* False, always: a node id alone names nobody. */
static bool epoch_is_ignored(enum raft_message_type type)
{
    bool vote = type == RAFT_MESSAGE_PREVOTE || type == RAFT_MESSAGE_PREVOTE_REPLY ||
                type == RAFT_MESSAGE_VOTE || type == RAFT_MESSAGE_VOTE_REPLY;
    return vote ? PLANTED(B22_WIPED_NODE_VOTES) : PLANTED(M3_ACK_OF_OTHER_EPOCH_COUNTS);
}

/* Only members in their present epoch may answer: a stranger's vote or ack counts for nothing, and its term
 * does not disturb the group (bug class "votes of removed peers counted"). */
static void on_reply(struct raft_node *node, struct raft_update *update,
                     const struct raft_message *m)
{
    uint32_t member = raft__member_find(&node->configuration, m->from);
    if (member == RAFT_MEMBERS_MAX && epoch_is_ignored(m->type))
        member = raft__member_find_node(&node->configuration, m->from.node);
    if (member == RAFT_MEMBERS_MAX) {
        member = raft__member_find_node(&node->configuration, m->from.node);
        if (member != RAFT_MEMBERS_MAX) node->progress[member].last_refusal = m->refusal;
        return;
    }
    if (m->type == RAFT_MESSAGE_PREVOTE_REPLY) {
        raft__on_prevote_reply(node, update, m, member);
        return;
    }
    if (m->term > node->hard.term) raft__see_term(node, update, m->term, m->from.node);
    if (m->type == RAFT_MESSAGE_VOTE_REPLY) {
        raft__on_vote_reply(node, update, m, member);
    } else if (m->type == RAFT_MESSAGE_APPEND_REPLY) {
        raft__on_append_reply(node, update, m, member);
    } else if (m->type == RAFT_MESSAGE_HEARTBEAT_REPLY) {
        raft__on_heartbeat_reply(node, update, m, member);
    } else {
        raft__on_read_index_reply(node, update, m);
    }
}

static void on_message(struct raft_node *node, struct raft_update *update,
                       const struct raft_message *m)
{
    if (m->group != node->options.group) return;
    if (m->from.node == 0) return;
    if (m->from.node == node->options.id.node) return;
    if (m->to.node != node->options.id.node) return;
    if (m->to.epoch != node->options.id.epoch && !epoch_is_ignored(m->type)) {
        refuse_identity(node, update, m);
        return;
    }
    switch (m->type) {
    case RAFT_MESSAGE_PREVOTE:
        raft__on_prevote(node, update, m);
        break;
    case RAFT_MESSAGE_VOTE:
        raft__on_vote(node, update, m);
        break;
    case RAFT_MESSAGE_APPEND:
        raft__on_append(node, update, m);
        break;
    case RAFT_MESSAGE_HEARTBEAT:
        raft__on_heartbeat(node, update, m);
        break;
    case RAFT_MESSAGE_READ_INDEX:
        raft__on_read_index(node, update, m);
        break;
    case RAFT_MESSAGE_TIMEOUT_NOW:
        raft__on_timeout_now(node, update, m);
        break;
    case RAFT_MESSAGE_REGRESSED:
        raft__on_regressed_message(node, update, m);
        break;
    case RAFT_MESSAGE_PREVOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
    case RAFT_MESSAGE_APPEND_REPLY:
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
    case RAFT_MESSAGE_READ_INDEX_REPLY:
        on_reply(node, update, m);
        break;
    }
}

/* ---- events --------------------------------------------------------------------------------------- */

static void on_tick(struct raft_node *node, struct raft_update *update)
{
    raft__reads_tick(node, update);
    if (node->role == RAFT_LEADER) {
        raft__leader_tick(node, update);
    } else {
        raft__election_tick(node, update);
    }
}

/* The process slept (PROTOCOL C7). What it believed of others before is worth nothing now: a leader asks for its
 * quorum at once, a follower gives the leader one timeout to speak before it stands. */
static void on_time_gap(struct raft_node *node)
{
    if (PLANTED(C7_TIME_GAP_IS_IGNORED)) return;
    if (node->role == RAFT_LEADER) {
        raft__reads_drop_round(node);
        raft__leader_time_gap(node);
    } else {
        raft__reset_election_timer(node);
    }
}

/* PROTOCOL C7. A leader gives leadership away at the end of the step, and says nothing to keep it meanwhile. The
 * only voter has nobody to give it to, and still may serve reads. */
static void on_disk_stalled(struct raft_node *node)
{
    bool alone = raft__is_own_voter(node) && raft__voters_count(&node->configuration) == 1;
    if (alone || PLANTED(C7_STALLED_LEADER_STAYS)) return;
    node->disk_stalled_until_ms = node->now_ms + 2 * node->options.election_timeout_ms_max;
}

static enum raft_status on_installed(struct raft_node *node, struct raft_update *update,
                                     const struct raft_event *event)
{
    struct raft_indexed_configuration configuration = {
        .index = event->installed.configuration_index,
        .configuration = *event->installed.configuration};
    return raft__installed(node, update, event->installed.index, event->installed.term,
                           &configuration);
}

static enum raft_status dispatch(struct raft_node *node, const struct raft_event *event,
                                 struct raft_update *update)
{
    switch (event->type) {
    case RAFT_EVENT_TICK:
        on_tick(node, update);
        break;
    case RAFT_EVENT_MESSAGE:
        on_message(node, update, event->message);
        break;
    case RAFT_EVENT_PROPOSE:
        return raft__propose(node, update, event->propose.count);
    case RAFT_EVENT_DURABLE:
        node->disk_stalled_until_ms = 0;
        raft__on_durable(node, update, event->durable.index, event->durable.term);
        break;
    case RAFT_EVENT_VOTE_DURABLE:
        node->disk_stalled_until_ms = 0;
        raft__on_vote_durable(node, update, event->vote_durable);
        break;
    case RAFT_EVENT_READ:
        return raft__read(node, update, event->read.id);
    case RAFT_EVENT_APPEND_CUT:
        raft__on_append_cut(node, event->cut.to, event->cut.last);
        break;
    case RAFT_EVENT_BULK_MOVED:
        raft__on_bulk_moved(node, event->node);
        break;
    case RAFT_EVENT_LEADER_LOST:
        raft__on_leader_lost(node, update, event->node);
        break;
    case RAFT_EVENT_CAMPAIGN:
        raft__on_campaign(node, update);
        break;
    case RAFT_EVENT_TRANSFER:
        return raft__transfer_start(node, update, event->node);
    case RAFT_EVENT_TIME_GAP:
        on_time_gap(node);
        break;
    case RAFT_EVENT_CONFIGURE:
        return raft__configure(node, update, event->configure.target,
                               event->configure.always_joint);
    case RAFT_EVENT_COMPACTED:
        return raft__compacted(node, update, event->compacted.index, event->compacted.term);
    case RAFT_EVENT_RECALLED:
        return raft__recalled(node, update, &event->recalled);
    case RAFT_EVENT_SNAPSHOT_SENT:
        raft__snapshot_sent(node, event->snapshot_sent.to, event->snapshot_sent.index,
                            event->snapshot_sent.ok);
        break;
    case RAFT_EVENT_INSTALLED:
        return on_installed(node, update, event);
    case RAFT_EVENT_DISK_STALLED:
        on_disk_stalled(node);
        break;
    case RAFT_EVENT_DAMAGED:
        raft__on_damaged(node, update, event->damaged.stands_last, event->damaged.from);
        break;
    case RAFT_EVENT_REGRESSED:
        raft__on_regressed(node, event->regressed.of, event->regressed.hint_index,
                           event->regressed.hint_term);
        break;
    }
    return RAFT_OK;
}

/* The arrays are large: only what tells of their use is reset. */
static void update_clear(struct raft_update *update)
{
    update->log_replaced = false;
    update->truncate_from = 0;
    update->append.source = RAFT_APPEND_NONE;
    update->append.first = 0;
    update->append.last = 0;
    update->append.term = 0;
    update->hard_state_changed = false;
    update->hard_state = (struct raft_hard_state){0, {0, 0}};
    update->messages_now_count = 0;
    update->messages_after_sync_count = 0;
    update->commit_index = 0;
    update->reads_count = 0;
    update->snapshots_count = 0;
    update->timer_at_ms = 0;
    update->role_changed = false;
    update->traces_count = 0;
}

enum raft_status raft_step(struct raft_node *node, const struct raft_event *event,
                           struct raft_update *update)
{
    assert(event->now_ms >= node->now_ms);
    enum raft_role role = node->role;
    raft_term term = node->hard.term;
    struct raft_replica_id leader = node->leader;

    update_clear(update);
    node->now_ms = event->now_ms;
    enum raft_status status = dispatch(node, event, update);
    if (status != RAFT_OK) { /* the driver may drop such an update, so nothing may hide in it */
        assert(update->messages_now_count == 0);
        assert(update->messages_after_sync_count == 0);
        assert(update->append.source == RAFT_APPEND_NONE);
        update->commit_index = node->commit_index;
        update->timer_at_ms = raft_timer_at_ms(node);
        return status;
    }
    node->backlog = false;
    if (node->role == RAFT_LEADER) raft__membership_advance(node, update);
    raft__reads_advance(node, update);
    if (node->role == RAFT_LEADER) raft__leader_outbox(node, update);

    if (!same_hard_state(node->hard, node->hard_told)) {
        node->hard_told = node->hard;
        update->hard_state_changed = true;
    }
    update->hard_state = node->hard;
    update->commit_index = node->commit_index;
    if (PLANTED(B37_APPLIES_APPENDED_ON_ROLE_CHANGE) && role != node->role)
        update->commit_index = node->trail.last_index;
    update->timer_at_ms = raft_timer_at_ms(node);
    update->role_changed =
        role != node->role || term != node->hard.term || !raft__same_replica(leader, node->leader);
    return status;
}
