/* The leader's side: append, send, count, commit, and notice when nobody answers (Raft §5.3, §5.4.2).
 *
 * Rules
 *  1. Match means durable, the leader's own too: its own sync runs in parallel with replication (thesis §10.2.1).
 *  2. Commit by counting only entries of the own term; older ones are committed with them (Raft figure 8).
 *  3. A lost APPEND is found by asking: an empty APPEND behind everything sent costs nothing, and its answer
 *     tells what arrived. Entries are sent again only when the answer says so.
 *  4. A leader that has not heard from a majority for one election timeout gives up (thesis §6.2). A follower
 *     that lacks entries counts as heard only while the bulk connection moves (PROTOCOL C4). */
#include "internal.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include <assert.h>

bool raft__own_term_committed(const struct raft_node *node)
{
    return node->commit_index >= node->noop_index;
}

/* ---- the own log ---------------------------------------------------------------------------------- */

void raft__leader_append(struct raft_node *node, struct raft_update *update,
                         enum raft_append_source source, uint64_t count)
{
    assert(node->role == RAFT_LEADER);
    raft_index last_before = node->trail.last_index;
    bool appended = raft__trail_append(&node->trail, count, node->hard.term, node->commit_index);
    assert(appended);
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        struct raft_progress *progress = &node->progress[i];
        /* From now on it lacks something; before there was nothing to move. */
        if (progress->match == last_before) progress->moved_at_ms = node->now_ms;
        raft__progress_catch_up(progress, node->trail.last_index, node->now_ms);
    }
    if (node->self != RAFT_MEMBERS_MAX) {
        node->progress[node->self].next = node->trail.last_index + 1;
    }
    update->append.source = source;
    update->append.first = last_before + 1;
    update->append.last = node->trail.last_index;
    update->append.term = node->hard.term;
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_APPEND,
                                            .index = last_before + 1,
                                            .a = node->trail.last_index,
                                            .index_term = node->hard.term});
}

enum raft_status raft__propose(struct raft_node *node, struct raft_update *update, uint32_t count)
{
    assert(count > 0);
    if (node->role != RAFT_LEADER) return RAFT_NOT_LEADER;
    if (raft__is_transferring(node)) return RAFT_TRANSFERRING;
    raft__leader_append(node, update, RAFT_APPEND_PROPOSED, count);
    return RAFT_OK;
}

void raft__become_leader(struct raft_node *node, struct raft_update *update)
{
    assert(node->role == RAFT_CANDIDATE);
    assert(raft__same_replica(node->hard.voted_for, node->options.id));
    node->role = RAFT_LEADER;
    node->leader = node->options.id;
    node->early_until_ms = 0;
    node->quorum_since_ms = node->now_ms;
    node->heartbeat_at_ms = node->now_ms + node->options.heartbeat_ms;
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        raft__progress_reset(&node->progress[i], node->trail.last_index, node->now_ms);
        /* Others must hear at once whom to follow; the bulk connection may be slower than control. */
        node->progress[i].heartbeat_wanted = true;
    }
    node->noop_index = node->trail.last_index + 1;
    raft__leader_append(node, update, RAFT_APPEND_NOOP, 1);
    raft__commit_advance(node, update);
}

/* ---- counting ------------------------------------------------------------------------------------- */

void raft__commit_advance(struct raft_node *node, struct raft_update *update)
{
    assert(node->role == RAFT_LEADER);
    if (node->self != RAFT_MEMBERS_MAX) {
        struct raft_progress *own = &node->progress[node->self];
        own->match = raft__whole_index(node);
        if (PLANTED(B26_SOLE_VOTER_ACKS_UNSYNCED) && raft__voters_count(&node->configuration) == 1)
            own->match = node->trail.last_index;
        own->received = own->match;
    }
    uint64_t match[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        match[i] = node->progress[i].match;
    }
    raft_index index = raft__quorum_value(&node->configuration, match);
    if (PLANTED(CANARY)) index = node->durable_index;
    if (index <= node->commit_index) return;
    bool own_term = raft__trail_term(&node->trail, index) == node->hard.term;
    if (!own_term && !PLANTED(B1_COMMITS_OLDER_TERMS)) return;
    raft__commit_to(node, update, index);
}

/* The member has the log through `received`, durably through `match`. */
static void accepted(struct raft_node *node, struct raft_update *update, uint32_t member,
                     raft_index match, raft_index received)
{
    struct raft_progress *progress = &node->progress[member];
    raft_index match_before = progress->match;
    if (PLANTED(B11_CATCH_UP_ARRIVAL_COUNTS) && progress->state == RAFT_PROGRESS_PROBE)
        match = received;
    /* All that was sent has arrived: the connection moves even while the disk there does not. */
    bool arrived = received + 1 >= progress->next;
    if (raft__progress_accepted(progress, match, received) || arrived) {
        progress->moved_at_ms = node->now_ms;
    }
    if (progress->state == RAFT_PROGRESS_SNAPSHOT && progress->match >= node->trail.floor_index) {
        raft__progress_probe(progress, progress->match + 1);
    }
    if (progress->state == RAFT_PROGRESS_REPLICATE && RARELY(PROBES_AFTER_AN_ACK))
        raft__progress_probe(progress, progress->match + 1);
    if (progress->match > match_before) {
        raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_ACK,
                                                .node = node->configuration.members[member].id.node,
                                                .index = progress->match});
        raft__progress_catch_up(progress, node->trail.last_index, node->now_ms);
        raft__commit_advance(node, update);
    }
}

/* ---- answers -------------------------------------------------------------------------------------- */

/* One step down per term run instead of per entry (Raft §5.3, end): both logs skip what cannot agree. */
static void go_back(struct raft_node *node, struct raft_update *update, uint32_t member,
                    const struct raft_message *m)
{
    struct raft_progress *progress = &node->progress[member];
    raft_index asked = m->append_reply.request_index;
    raft_index agree = raft__min(m->append_reply.hint_index, asked);
    if (m->append_reply.hint_term != 0) {
        agree = raft__trail_highest_at_term(&node->trail, agree, m->append_reply.hint_term);
    }
    agree = raft__min(agree, asked - 1);
    raft__progress_probe(progress, raft__max(agree, progress->match) + 1);
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_PROBE,
                                            .node = m->from.node,
                                            .index = progress->next});
}

static void refused(struct raft_node *node, struct raft_update *update, uint32_t member,
                    const struct raft_message *m)
{
    struct raft_progress *progress = &node->progress[member];
    raft_index asked = m->append_reply.request_index;
    if (m->refusal != RAFT_REFUSED_LOG_GAP && m->refusal != RAFT_REFUSED_LOG_CONFLICT) return;
    /* A late copy: what it asked about was shown to agree since. */
    if (asked <= progress->match) return;
    switch (progress->state) {
    case RAFT_PROGRESS_PROBE:
        if (asked + 1 != progress->next) return; /* not the answer to this probe */
        break;
    case RAFT_PROGRESS_REPLICATE:
        if (asked >= progress->next) return; /* sent before we went back last */
        break;
    case RAFT_PROGRESS_SNAPSHOT:
        return;
    }
    go_back(node, update, member, m);
}

void raft__on_append_reply(struct raft_node *node, struct raft_update *update,
                           const struct raft_message *m, uint32_t member)
{
    if (node->role != RAFT_LEADER) return;
    if (m->term != node->hard.term) return;
    struct raft_progress *progress = &node->progress[member];
    progress->heard_at_ms = node->now_ms;
    progress->asked_at_ms = node->now_ms;
    progress->last_refusal = m->refusal;
    if (m->refusal != RAFT_REFUSED_NOT) {
        refused(node, update, member, m);
        return;
    }
    raft_index match = m->append_reply.match_index;
    raft_index received = raft__max(match, m->append_reply.request_index);
    if (received > node->trail.last_index) return; /* nobody can have what was never written */
    accepted(node, update, member, match, received);
}

void raft__on_heartbeat_reply(struct raft_node *node, struct raft_update *update,
                              const struct raft_message *m, uint32_t member)
{
    if (node->role != RAFT_LEADER) return;
    if (m->term != node->hard.term) return;
    struct raft_progress *progress = &node->progress[member];
    progress->heard_at_ms = node->now_ms;
    if (m->refusal != RAFT_REFUSED_NOT) {
        progress->last_refusal = m->refusal;
        return;
    }
    raft_index match = m->heartbeat_reply.match_index;
    if (match > node->trail.last_index) return;
    if (match > progress->match) accepted(node, update, member, match, match);
    /* It restarted within this term and has nothing verified: ask, or it never learns what is committed. (Or the
     * answer is old; then the question was in vain.) */
    if (match < progress->match && progress->state != RAFT_PROGRESS_SNAPSHOT &&
        node->now_ms - progress->asked_at_ms >= node->options.heartbeat_ms) {
        progress->check_wanted = true;
    }
    raft__reads_confirmed_by(node, update, member, m->heartbeat_reply.round,
                             m->heartbeat_reply.process);
}

void raft__on_append_cut(struct raft_node *node, raft_node_id to, raft_index last)
{
    if (node->role != RAFT_LEADER) return;
    uint32_t member = raft__member_find_node(&node->configuration, to);
    if (member == RAFT_MEMBERS_MAX) return;
    if (member == node->self) return;
    raft__progress_cut(&node->progress[member], last);
}

void raft__on_regressed(struct raft_node *node, struct raft_replica_id of, raft_index hint_index,
                        raft_term hint_term)
{
    if (node->role != RAFT_LEADER) return;
    uint32_t member = raft__member_find(&node->configuration, of);
    if (member == RAFT_MEMBERS_MAX) return;
    if (member == node->self) return;
    struct raft_progress *progress = &node->progress[member];
    if (progress->match == 0) return;
    raft_index agree = raft__min(hint_index, progress->match - 1);
    if (hint_term != 0) {
        agree = raft__trail_highest_at_term(&node->trail, agree, hint_term);
    }
    raft__progress_regressed(progress, raft__min(agree, progress->match - 1), node->commit_index);
    progress->heartbeat_wanted = true;
}

void raft__on_bulk_moved(struct raft_node *node, raft_node_id to)
{
    if (node->role != RAFT_LEADER) return;
    uint32_t member = raft__member_find_node(&node->configuration, to);
    if (member == RAFT_MEMBERS_MAX) return;
    node->progress[member].moved_at_ms = node->now_ms;
    node->progress[member].cut_off = false;
}

/* ---- time ----------------------------------------------------------------------------------------- */

static bool lacks_entries(const struct raft_node *node, const struct raft_progress *progress)
{
    return progress->match < node->trail.last_index;
}

/* When the leader gives up unless somebody is heard before. */
uint64_t raft__quorum_deadline_ms(const struct raft_node *node)
{
    uint64_t timeout_ms = node->options.election_timeout_ms_max;
    uint64_t heard_at_ms[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        const struct raft_progress *progress = &node->progress[i];
        heard_at_ms[i] = progress->heard_at_ms;
        if (lacks_entries(node, progress) && !PLANTED(C4_STUCK_BULK_COUNTS)) {
            heard_at_ms[i] = raft__min(heard_at_ms[i], progress->moved_at_ms + timeout_ms);
        }
    }
    if (node->self != RAFT_MEMBERS_MAX) heard_at_ms[node->self] = node->now_ms;
    uint64_t quorum_at_ms = raft__quorum_value(&node->configuration, heard_at_ms);
    return raft__max(quorum_at_ms, node->quorum_since_ms) + timeout_ms;
}

/* Something was sent and no answer came for two heartbeats: ask what arrived. */
static void ask_if_silent(struct raft_node *node, struct raft_progress *progress)
{
    bool waits = progress->probe_sent || (progress->state == RAFT_PROGRESS_REPLICATE &&
                                          progress->match + 1 < progress->next);
    if (!waits) return;
    bool is_silent = node->now_ms - progress->asked_at_ms >= 2 * node->options.heartbeat_ms;
    if (!is_silent && !RARELY(ASKS_WHAT_ARRIVED)) return;
    progress->check_wanted = true;
}

/* After a failure; and when nothing moved for so long that the driver may have forgotten it. */
static void ask_for_snapshot_again(const struct raft_node *node, struct raft_progress *progress)
{
    if (progress->state != RAFT_PROGRESS_SNAPSHOT) return;
    uint64_t since_ms = raft__max(progress->moved_at_ms, progress->asked_at_ms);
    bool silent = node->now_ms - since_ms >= 2 * node->options.election_timeout_ms_max;
    if (!progress->snapshot_failed && !silent) return;
    progress->snapshot_failed = false;
    progress->snapshot_wanted = true;
}

void raft__leader_tick(struct raft_node *node, struct raft_update *update)
{
    bool is_alone = node->now_ms >= raft__quorum_deadline_ms(node) && !PLANTED(C1_NO_CHECK_QUORUM);
    if (is_alone || RARELY(LEADER_GIVES_UP)) {
        raft__become_follower(node, update, node->hard.term, (struct raft_replica_id){0, 0});
        return;
    }
    raft__transfer_tick(node, update);
    if (node->role != RAFT_LEADER) return;
    if (node->now_ms < node->heartbeat_at_ms) return;
    node->heartbeat_at_ms = node->now_ms + node->options.heartbeat_ms;
    node->transfer.sent = false;
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        node->progress[i].heartbeat_wanted = true;
        node->progress[i].cut_off = false;
        ask_if_silent(node, &node->progress[i]);
        ask_for_snapshot_again(node, &node->progress[i]);
    }
}

/* Whatever was heard lies before the new start of the window, so nothing of it counts. */
void raft__leader_time_gap(struct raft_node *node)
{
    node->quorum_since_ms = node->now_ms;
    node->heartbeat_at_ms = node->now_ms + node->options.heartbeat_ms;
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        node->progress[i].moved_at_ms = node->now_ms;
        node->progress[i].heartbeat_wanted = true;
    }
}

/* ---- the outbox ----------------------------------------------------------------------------------- */

/* PROTOCOL D8, with each heartbeat until it is caught up: it gives no vote that would lose what it lost, and does not stand. Any
 * committed position at or behind its acks will do, for nobody is elected without that. */
static void send_regressed(struct raft_node *node, struct raft_update *update, uint32_t member)
{
    struct raft_message *message =
        raft__message(node, update, RAFT_MESSAGE_REGRESSED, node->configuration.members[member].id);
    if (message == NULL) return;
    message->regressed.index = node->commit_index;
    message->regressed.term = raft__trail_term(&node->trail, node->commit_index);
}

static bool send_heartbeat(struct raft_node *node, struct raft_update *update, uint32_t member)
{
    struct raft_progress *progress = &node->progress[member];
    if (raft__disk_is_stalled(node))
        return true; /* PROTOCOL C7: nothing that keeps others from standing */
    if (RARELY(HEARTBEAT_IS_NOT_SENT)) return true;
    if (progress->counts_from != 0) send_regressed(node, update, member);
    struct raft_message *message =
        raft__message(node, update, RAFT_MESSAGE_HEARTBEAT, node->configuration.members[member].id);
    if (message == NULL) {
        node->backlog = true;
        return false;
    }
    message->heartbeat.commit_index = raft__min(node->commit_index, progress->match);
    message->heartbeat.commit_chain = 0;
    message->heartbeat.round = node->reads.flying ? node->reads.number : 0;
    message->heartbeat.process = node->options.process;
    progress->heartbeat_wanted = false;
    progress->commit_told = raft__max(progress->commit_told, message->heartbeat.commit_index);
    return true;
}

static void fill_append(const struct raft_node *node, struct raft_message *message,
                        raft_index previous, raft_index last)
{
    message->append.previous_index = previous;
    message->append.previous_term = raft__trail_term(&node->trail, previous);
    message->append.previous_chain = 0;
    message->append.first = previous + 1;
    message->append.last = last;
    message->append.commit_index = node->commit_index;
    message->append.runs_count = 0;
    message->append.configurations = NULL;
    message->append.configurations_count = 0;
}

/* What a network may do that repeats and delays: an entry once more that this member has acknowledged, and others behind it. */
static void send_old_append(struct raft_node *node, struct raft_update *update, uint32_t member)
{
    const raft_index match = node->progress[member].match;
    if (match < node->trail.floor_index + 2) return;
    struct raft_message *message =
        raft__message(node, update, RAFT_MESSAGE_APPEND, node->configuration.members[member].id);
    if (message != NULL) fill_append(node, message, match - 2, match - 1);
}

/* An APPEND of next..last, or an empty one at next - 1. False when the update is full. */
static bool send_append(struct raft_node *node, struct raft_update *update, uint32_t member,
                        bool empty)
{
    struct raft_progress *progress = &node->progress[member];
    raft_index previous = progress->next - 1;
    bool has_base = node->trail.floor_index > 0;
    if (previous < node->trail.floor_index || (has_base && RARELY(BASE_INSTEAD_OF_ENTRIES))) {
        raft__progress_snapshot(progress);
        return true;
    }
    struct raft_message *message =
        raft__message(node, update, RAFT_MESSAGE_APPEND, node->configuration.members[member].id);
    if (message == NULL) {
        node->backlog = true;
        return false;
    }
    raft_index last = previous;
    if (!empty) {
        last = raft__min(node->trail.last_index, previous + node->options.append_entries_max);
        if (RARELY(APPEND_OF_ONE_ENTRY)) last = raft__min(last, previous + 1);
    }
    fill_append(node, message, previous, last);
    raft__progress_sent(progress, last);
    progress->commit_told = raft__max(progress->commit_told, raft__min(node->commit_index, last));
    return true;
}

static bool may_send(const struct raft_node *node, const struct raft_progress *progress)
{
    if (progress->cut_off) return false;
    switch (progress->state) {
    case RAFT_PROGRESS_PROBE:
        return !progress->probe_sent;
    case RAFT_PROGRESS_REPLICATE:
        return progress->next <= node->trail.last_index &&
               progress->window_count < node->options.append_inflight_max;
    case RAFT_PROGRESS_SNAPSHOT:
        return false;
    }
    return false;
}

/* True when something was sent to this member and the update has room for more. */
static bool send_to(struct raft_node *node, struct raft_update *update, uint32_t member)
{
    struct raft_progress *progress = &node->progress[member];
    if (progress->check_wanted) {
        if (!send_append(node, update, member, /* empty= */ true)) return false;
        progress->check_wanted = false;
        progress->asked_at_ms = node->now_ms;
        return true;
    }
    if (RARELY(OLD_APPEND_COMES_AGAIN)) send_old_append(node, update, member);
    if (!may_send(node, progress)) return false;
    /* A question about what arrived is due some time after the first unanswered APPEND, not after the last. */
    if (progress->match + 1 == progress->next) progress->asked_at_ms = node->now_ms;
    return send_append(node, update, member, /* empty= */ false);
}

/* One APPEND to each in turn, so that a far follower does not take the room of a near one. */
static void send_appends(struct raft_node *node, struct raft_update *update)
{
    bool sent = true;
    while (sent && !node->backlog) {
        sent = false;
        for (uint32_t i = 0; i < node->configuration.members_count; i++) {
            if (i == node->self) continue;
            if (send_to(node, update, i)) sent = true;
        }
    }
}

/* Followers serve reads, so they should know at once what is committed: by an APPEND that leaves anyway, else
 * by a heartbeat. */
static void send_commit_news(struct raft_node *node, struct raft_update *update)
{
    if (RARELY(COMMIT_NEWS_WAIT)) return;
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        const struct raft_progress *progress = &node->progress[i];
        if (i == node->self) continue;
        if (progress->append_sent) continue;
        if (raft__min(node->commit_index, progress->match) <= progress->commit_told) continue;
        if (!send_heartbeat(node, update, i)) return;
    }
}

void raft__leader_outbox(struct raft_node *node, struct raft_update *update)
{
    assert(node->role == RAFT_LEADER);
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        node->progress[i].append_sent = false;
        if (i == node->self) continue;
        if (node->progress[i].heartbeat_wanted) (void)send_heartbeat(node, update, i);
    }
    raft__transfer_outbox(node, update);
    raft__reads_answer_forwards(node, update);
    send_appends(node, update);
    send_commit_news(node, update);
    raft__snapshots_outbox(node, update);
}
