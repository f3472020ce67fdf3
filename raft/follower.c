/* The follower's side of replication: take entries, say what is durable, learn what is committed (Raft §5.3).
 *
 * Rules
 *  1. verified_index is how far this log equals the leader's, as shown by an APPEND of this term. It starts at
 *     nothing in each term; what is committed counts as verified, for every leader has it (§5.4.3).
 *  2. An ack names min(durable, verified): both, or it could count an entry that the leader does not have,
 *     or that a power cut takes away.
 *  3. The commit index is min(leader's, verified): entries behind it may still be another leader's.
 *  4. Only an entry that contradicts the leader's is cut, and with it all behind it. A shorter or older APPEND
 *     cuts nothing, and nothing committed is ever cut. */
#include "internal.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include <assert.h>

static raft_index match_of(const struct raft_node *node)
{
    return raft__min(raft__whole_index(node), node->verified_index);
}

/* ---- the leader is heard -------------------------------------------------------------------------- */

bool raft__hear_leader(struct raft_node *node, struct raft_update *update,
                       const struct raft_message *m)
{
    if (m->term < node->hard.term) return false;
    if (m->term == node->hard.term) {
        /* A term has one leader. Whoever else claims it is not believed, by a leader least of all. */
        if (node->role == RAFT_LEADER) return false;
        if (node->leader.node != 0 && !raft__same_replica(node->leader, m->from)) return false;
    } else {
        raft__trace(update, (struct raft_trace){
                                .type = RAFT_TRACE_TERM, .node = m->from.node, .a = m->term});
    }
    raft__become_follower(node, update, m->term, m->from);
    node->leader_heard_ms = node->now_ms;
    raft__reset_election_timer(node);
    assert(node->role == RAFT_FOLLOWER);
    return true;
}

/* ---- APPEND --------------------------------------------------------------------------------------- */

/* What the driver read out of CONFIG entries: index rising, within the entries, each one complete. */
static bool configurations_are_valid(const struct raft_message *m)
{
    if (m->append.configurations_count > RAFT_MESSAGE_CONFIGURATIONS_MAX) return false;
    raft_index next = m->append.first;
    for (uint32_t i = 0; i < m->append.configurations_count; i++) {
        const struct raft_indexed_configuration *received = &m->append.configurations[i];
        if (received->index < next) return false;
        if (received->index > m->append.last) return false;
        if (!raft__configuration_is_complete(&received->configuration)) return false;
        next = received->index + 1;
    }
    return true;
}

/* Bytes from the network: the runs must be exactly previous_index + 1 .. last, terms never falling. */
static bool append_is_valid(const struct raft_message *m)
{
    if (m->append.first != m->append.previous_index + 1) return false;
    if (m->append.last < m->append.previous_index) return false;
    if (m->append.previous_term > m->term) return false;
    if (m->append.runs_count > RAFT_MESSAGE_RUNS_MAX) return false;
    raft_index next = m->append.first;
    raft_term term = m->append.previous_term;
    if (m->append.last == m->append.previous_index)
        return true; /* runs of an empty one are not looked at */
    for (uint32_t i = 0; i < m->append.runs_count; i++) {
        const struct raft_term_run *run = &m->append.runs[i];
        if (run->first != next) return false;
        if (run->count == 0) return false;
        if (run->count > m->append.last - next + 1) return false;
        if (run->term == 0) return false;
        if (run->term < term) return false;
        if (run->term > m->term) return false;
        next += run->count;
        term = run->term;
    }
    return next == m->append.last + 1 && configurations_are_valid(m);
}

/* Raft §5.3, step 2 of AppendEntries. Below the trail's floor everything is committed and known to agree. */
static enum raft_refusal judge_previous(const struct raft_node *node, const struct raft_message *m)
{
    raft_index index = m->append.previous_index;
    if (index > node->trail.last_index) return RAFT_REFUSED_LOG_GAP;
    if (index < node->trail.floor_index)
        return PLANTED(B14_COMPACTED_IS_CONFLICT) ? RAFT_REFUSED_LOG_CONFLICT : RAFT_REFUSED_NOT;
    if (PLANTED(C3_TERM_BEHIND_IS_NOT_COMPARED)) return RAFT_REFUSED_NOT;
    if (raft__trail_term(&node->trail, index) == m->append.previous_term) return RAFT_REFUSED_NOT;
    if (index <= node->commit_index) return RAFT_REFUSED_DIVERGED;
    return RAFT_REFUSED_LOG_CONFLICT;
}

static void refuse_append(struct raft_node *node, struct raft_update *update,
                          const struct raft_message *m, enum raft_refusal refusal)
{
    struct raft_message *reply =
        raft__reply(node, update, RAFT_MESSAGE_APPEND_REPLY, m->from, refusal);
    raft_index hint = raft__trail_highest_at_term(&node->trail, m->append.previous_index,
                                                  m->append.previous_term);
    hint = raft__max(hint, node->commit_index); /* the logs agree there for sure */
    reply->append_reply.match_index = match_of(node);
    reply->append_reply.request_index = m->append.previous_index;
    reply->append_reply.hint_index = hint;
    reply->append_reply.hint_term = raft__trail_term(&node->trail, hint);
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_REJECT,
                                            .node = m->from.node,
                                            .index = m->append.previous_index,
                                            .index_term = m->append.previous_term,
                                            .a = hint,
                                            .c = refusal});
}

void raft__follower_ack(struct raft_node *node, struct raft_update *update)
{
    struct raft_replica_id leader = node->leader;
    if (leader.node == 0) return;
    assert(node->role == RAFT_FOLLOWER);
    struct raft_message *reply =
        raft__reply(node, update, RAFT_MESSAGE_APPEND_REPLY, leader, RAFT_REFUSED_NOT);
    reply->append_reply.match_index = match_of(node);
    reply->append_reply.request_index = node->verified_index;
    reply->append_reply.hint_index = 0;
    reply->append_reply.hint_term = 0;
}

/* First index above `from` - 1 at which the message's entry is missing here or has another term; last + 1 when
 * there is none. Walks runs, not entries. */
static raft_index first_difference(const struct raft_node *node, const struct raft_message *m,
                                   raft_index from)
{
    const struct raft_trail *trail = &node->trail;
    for (uint32_t i = 0; i < m->append.runs_count; i++) {
        const struct raft_term_run *run = &m->append.runs[i];
        raft_index end = run->first + run->count - 1;
        raft_index index = raft__max(run->first, from);
        while (index <= end) {
            if (index > trail->last_index) return index;
            if (raft__trail_term(trail, index) != run->term) return index;
            index = raft__min(raft__trail_run_end(trail, index), end) + 1;
        }
    }
    return m->append.last + 1;
}

static void truncate(struct raft_node *node, struct raft_update *update, raft_index from)
{
    assert(from > node->commit_index);
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_TRUNCATE,
                                            .index = from,
                                            .a = node->trail.last_index});
    raft__trail_truncate(&node->trail, from);
    node->durable_index = raft__min(node->durable_index, from - 1);
    node->verified_index = raft__min(node->verified_index, from - 1);
    if (!PLANTED(B15_TAIL_STAYS_BEHIND_CONFLICT)) update->truncate_from = from;
    if (!PLANTED(B8_CUT_CONFIGURATION_STAYS) && raft__history_truncate(&node->history, from)) {
        raft__configuration_changed(node, update, /* back= */ true);
    }
}

static void trace_append(struct raft_update *update, raft_index first, raft_index last,
                         raft_term term)
{
    raft__trace(update,
                (struct raft_trace){
                    .type = RAFT_TRACE_APPEND, .index = first, .a = last, .index_term = term});
}

/* Append the message's entries from `first` on; returns the last index taken, which is short of the message's
 * only when the trail has no room for another term. */
static raft_index take_entries(struct raft_node *node, struct raft_update *update,
                               const struct raft_message *m, raft_index first)
{
    assert(first == node->trail.last_index + 1);
    for (uint32_t i = 0; i < m->append.runs_count; i++) {
        const struct raft_term_run *run = &m->append.runs[i];
        raft_index end = run->first + run->count - 1;
        raft_index next = node->trail.last_index + 1;
        if (end < next) continue;
        if (RARELY(TRAIL_HAS_NO_ROOM)) break;
        if (!raft__trail_append(&node->trail, end - next + 1, run->term, node->commit_index)) {
            break;
        }
        trace_append(update, next, end, run->term);
    }
    raft_index last = node->trail.last_index;
    if (last >= first) {
        raft__configurations_received(node, update, m, first, last);
        update->append.source = RAFT_APPEND_RECEIVED;
        update->append.first = first;
        update->append.last = last;
        update->append.term = raft__trail_last_term(&node->trail);
    }
    return last;
}

static void accept_append(struct raft_node *node, struct raft_update *update,
                          const struct raft_message *m)
{
    raft_index last = m->append.last;
    bool empty = last < m->append.first;
    if (!empty) {
        raft_index from = raft__max(m->append.first, node->trail.floor_index + 1);
        raft_index first = first_difference(node, m, from);
        if (first <= last) {
            /* Would take back an entry or a configuration that is committed for sure: one of the two logs is wrong. */
            if (first <= node->commit_index || !raft__history_can_truncate(&node->history, first)) {
                refuse_append(node, update, m, RAFT_REFUSED_DIVERGED);
                return;
            }
            if (first <= node->trail.last_index) truncate(node, update, first);
            last = take_entries(node, update, m, first);
        }
    }
    if (PLANTED(B12_DELAYED_APPEND_CUTS_COMMITTED) && !empty && last < node->trail.last_index)
        truncate(node, update, last + 1);
    raft_index kept = raft__max(last, node->commit_index);
    if (PLANTED(B16_SHORT_APPEND_CUTS_TAIL) && !empty && kept < node->trail.last_index)
        truncate(node, update, kept + 1);
    raft_index verified = raft__max(last, node->commit_index);
    node->verified_index = raft__max(node->verified_index, verified);
    raft_index known =
        PLANTED(B13_COMMITS_OWN_TAIL) ? node->trail.last_index : node->verified_index;
    raft_index told = PLANTED(C3_ARRIVED_IS_COMMITTED) ? known : m->append.commit_index;
    if (!RARELY(COMMIT_NEWS_ARE_MISSED)) raft__commit_to(node, update, raft__min(told, known));
    /* Entries that still wait for the disk are acknowledged when it reports. An empty APPEND is a question, and
     * answered at once. */
    bool is_done = empty || match_of(node) >= last;
    if (is_done && !RARELY(ACK_IS_LOST)) raft__follower_ack(node, update);
}

void raft__on_append(struct raft_node *node, struct raft_update *update,
                     const struct raft_message *m)
{
    bool any_term = PLANTED(B10_TAKES_OLDER_LEADERS_ENTRIES) && node->role == RAFT_FOLLOWER;
    if (m->term < node->hard.term && !any_term) {
        struct raft_message *reply =
            raft__reply(node, update, RAFT_MESSAGE_APPEND_REPLY, m->from, RAFT_REFUSED_STALE_TERM);
        reply->append_reply.match_index = 0;
        reply->append_reply.request_index = m->append.previous_index;
        reply->append_reply.hint_index = 0;
        reply->append_reply.hint_term = 0;
        return;
    }
    if (!append_is_valid(m)) return;
    if (!raft__hear_leader(node, update, m) && !any_term) return;
    enum raft_refusal refusal = judge_previous(node, m);
    if (refusal != RAFT_REFUSED_NOT) {
        bool deletes = PLANTED(B14_COMPACTED_IS_CONFLICT) &&
                       m->append.previous_index < node->trail.floor_index;
        if (deletes && node->trail.last_index > node->commit_index)
            truncate(node, update, node->commit_index + 1);
        refuse_append(node, update, m, refusal);
    } else {
        accept_append(node, update, m);
    }
}

/* ---- HEARTBEAT ------------------------------------------------------------------------------------ */

/* Heartbeats that only bring commit news come in bursts; CheckQuorum needs far fewer answers. */
static bool answer_is_due(struct raft_node *node, const struct raft_message *m, bool leader_is_new)
{
    if (RARELY(HEARTBEAT_IS_NOT_ANSWERED)) return false;
    if (m->heartbeat.round != 0) return true;
    if (!leader_is_new && node->now_ms - node->replied_ms < node->options.heartbeat_ms / 2) {
        return false;
    }
    node->replied_ms = node->now_ms;
    return true;
}

static void answer_heartbeat(struct raft_node *node, struct raft_update *update,
                             const struct raft_message *m, enum raft_refusal refusal)
{
    struct raft_message *reply =
        raft__reply(node, update, RAFT_MESSAGE_HEARTBEAT_REPLY, m->from, refusal);
    reply->heartbeat_reply.round = m->heartbeat.round;
    reply->heartbeat_reply.process = m->heartbeat.process;
    reply->heartbeat_reply.match_index = refusal == RAFT_REFUSED_NOT ? match_of(node) : 0;
}

void raft__on_heartbeat(struct raft_node *node, struct raft_update *update,
                        const struct raft_message *m)
{
    if (m->term < node->hard.term) {
        answer_heartbeat(node, update, m, RAFT_REFUSED_STALE_TERM);
        return;
    }
    bool leader_is_new = m->term > node->hard.term || node->leader.node == 0;
    if (!raft__hear_leader(node, update, m)) return;
    raft_index known =
        PLANTED(B13_COMMITS_OWN_TAIL) ? node->trail.last_index : node->verified_index;
    raft__commit_to(node, update, raft__min(m->heartbeat.commit_index, known));
    raft__reads_leader_heard(node, update);
    if (answer_is_due(node, m, leader_is_new)) {
        answer_heartbeat(node, update, m, RAFT_REFUSED_NOT);
    }
}

/* ---- the disk ------------------------------------------------------------------------------------- */

void raft__on_durable(struct raft_node *node, struct raft_update *update, raft_index index,
                      raft_term term)
{
    /* PROTOCOL L7: a completion whose entry was cut meanwhile says nothing about what stands there now. */
    bool superseded = raft__trail_term(&node->trail, index) != term;
    if (superseded && !PLANTED(B30_CUT_WRITE_IS_ACKED)) return;
    if (superseded) index = raft__min(index, node->trail.last_index);
    if (index <= node->durable_index) return;
    raft_index match_before = match_of(node);
    node->durable_index = index;
    if (node->role == RAFT_LEADER) {
        raft__commit_advance(node, update);
    } else if (node->leader.node != 0 && match_of(node) > match_before) {
        raft__follower_ack(node, update);
    }
}
