/* ReadIndex: reads that are linearizable without an entry in the log (thesis §6.4, PROTOCOL R1-R3).
 *
 *     leader    read ──> round: heartbeats carry (process, number) ──majority confirms──> read index
 *     follower  read ──> request (process, number) to the leader ──> joins a round there ──> read index
 *
 * Rules
 *  1. A round or request covers only reads that came before its first message left; the others wait for the
 *     next, which starts as soon as this one is done. A repeated message adds no reads.
 *  2. A round starts only when an entry of the leader's own term is committed: before that its commit index may
 *     lie behind what another leader has answered. Until then reads are held, not refused.
 *  3. A confirmation carries this term, this round and this process, and comes from a voter. An older or
 *     doubled answer counts for nothing.
 *  4. Every read ends: answered, refused when term, role or leader changes, or refused after an election
 *     timeout. Nothing waits for a message that was lost. */
#include "internal.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include <assert.h>
#include <string.h>

_Static_assert(
    RAFT_READ_FORWARDS_MAX >= RAFT_MEMBERS_MAX,
    "each member has at most one request waiting, so a table of members never overflows");
_Static_assert(
    RAFT_MESSAGES_MAX >= 2 * RAFT_MEMBERS_MAX,
    "a leader that steps down refuses all requests and still answers the message at hand");

/* ---- ends of reads -------------------------------------------------------------------------------- */

/* The first `count` reads end with this refusal, or with `index`. */
static void finish_reads(struct raft_node *node, struct raft_update *update, uint32_t count,
                         enum raft_refusal refusal, raft_index index)
{
    struct raft_reads *reads = &node->reads;
    assert(count <= reads->count);
    assert(update->reads_count + count <= RAFT_READS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        update->reads[update->reads_count++] =
            (struct raft_read){.id = reads->waiting[i].id, .refusal = refusal, .index = index};
        raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_READ,
                                                .a = reads->waiting[i].id,
                                                .index = index,
                                                .c = refusal});
    }
    reads->count -= count;
    reads->covered = reads->covered > count ? reads->covered - count : 0;
    memmove(reads->waiting, reads->waiting + count, reads->count * sizeof reads->waiting[0]);
}

static bool answer_forward(struct raft_node *node, struct raft_update *update,
                           const struct raft_forward *forward, enum raft_refusal refusal)
{
    struct raft_message *reply =
        raft__message(node, update, RAFT_MESSAGE_READ_INDEX_REPLY, forward->from);
    if (reply == NULL) return false;
    reply->refusal = refusal;
    reply->read_index.process = forward->process;
    reply->read_index.number = forward->number;
    reply->read_index.index = refusal == RAFT_REFUSED_NOT ? forward->index : 0;
    return true;
}

void raft__reads_members_changed(struct raft_node *node, struct raft_update *update)
{
    struct raft_reads *reads = &node->reads;
    raft__reads_drop_round(node);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < reads->forwards_count; i++) {
        const struct raft_forward *forward = &reads->forwards[i];
        if (raft__member_find(&node->configuration, forward->from) == RAFT_MEMBERS_MAX) {
            /* One that finds no room is not lost: its asker gives up in time. */
            (void)answer_forward(node, update, forward, RAFT_REFUSED_WRONG_IDENTITY);
            continue;
        }
        reads->forwards[kept++] = *forward;
    }
    reads->forwards_count = kept;
}

void raft__reads_fail_all(struct raft_node *node, struct raft_update *update)
{
    struct raft_reads *reads = &node->reads;
    finish_reads(node, update, reads->count, RAFT_REFUSED_NOT_LEADER, 0);
    for (uint32_t i = 0; i < reads->forwards_count; i++) {
        /* One that finds no room is not lost: its asker hears of the new term, or gives up in time. */
        (void)answer_forward(node, update, &reads->forwards[i], RAFT_REFUSED_NOT_LEADER);
    }
    reads->forwards_count = 0;
    reads->flying = false;
    assert(reads->count == 0);
    assert(reads->covered == 0);
}

/* ---- a read of this node -------------------------------------------------------------------------- */

enum raft_status raft__read(struct raft_node *node, struct raft_update *update, uint64_t id)
{
    struct raft_reads *reads = &node->reads;
    if (node->leader.node == 0) {
        assert(reads->count == 0);
        reads->waiting[reads->count++] = (struct raft_waiting_read){id, node->now_ms};
        finish_reads(node, update, 1, RAFT_REFUSED_NOT_LEADER, 0);
        return RAFT_OK;
    }
    if (reads->count == RAFT_READS_MAX) return RAFT_BUSY;
    reads->waiting[reads->count++] = (struct raft_waiting_read){id, node->now_ms};
    return RAFT_OK;
}

uint64_t raft__reads_deadline_ms(const struct raft_node *node)
{
    if (node->reads.count == 0) return UINT64_MAX;
    return node->reads.waiting[0].arrived_ms + node->options.election_timeout_ms_max;
}

void raft__reads_tick(struct raft_node *node, struct raft_update *update)
{
    struct raft_reads *reads = &node->reads;
    uint32_t expired = 0;
    while (expired < reads->count && node->now_ms - reads->waiting[expired].arrived_ms >=
                                         node->options.election_timeout_ms_max) {
        expired++;
    }
    if (expired < reads->count && RARELY(READ_GIVES_UP_EARLY)) expired = reads->count;
    if (expired == 0) return;
    bool no_own_entry = node->role == RAFT_LEADER && !raft__own_term_committed(node);
    finish_reads(node, update, expired,
                 no_own_entry ? RAFT_REFUSED_NO_OWN_ENTRY : RAFT_REFUSED_NOT_LEADER, 0);
    /* A request whose reads are all gone is abandoned; its answer will match no number. */
    if (node->role != RAFT_LEADER && reads->covered == 0) reads->flying = false;
}

/* ---- rounds of a leader --------------------------------------------------------------------------- */

static void confirm_round(struct raft_node *node, struct raft_update *update)
{
    struct raft_reads *reads = &node->reads;
    assert(reads->flying);
    reads->flying = false;
    if (PLANTED(R1_ROUND_COVERS_LATER_READS)) reads->covered = reads->count;
    finish_reads(node, update, reads->covered, RAFT_REFUSED_NOT, reads->index);
    for (uint32_t i = 0; i < reads->forwards_count; i++) {
        struct raft_forward *forward = &reads->forwards[i];
        if (forward->confirmed || forward->round != reads->number) continue;
        forward->confirmed = true;
        forward->index = reads->index;
    }
}

/* Not what confirms a round: learners are among them. */
static bool most_members(const struct raft_node *node, const bool yes[RAFT_MEMBERS_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        if (yes[i]) count++;
    }
    return count * 2 > raft__voters_count(&node->configuration);
}

void raft__reads_view(const struct raft_node *node, struct raft_reads_view *ret_view)
{
    const struct raft_reads *reads = &node->reads;
    *ret_view = (struct raft_reads_view){.waiting = reads->count,
                                         .requests = reads->forwards_count,
                                         .flying = reads->flying,
                                         .covered = reads->flying ? reads->covered : 0};
    if (node->role != RAFT_LEADER || !reads->flying) return;
    ret_view->index = reads->index;
    ret_view->voters = raft__voters_count(&node->configuration);
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        if (!raft__is_voter(&node->configuration.members[i])) continue;
        if (i == node->self || node->progress[i].round_acked == reads->number) ret_view->acks++;
    }
}

static bool round_is_confirmed(const struct raft_node *node)
{
    bool yes[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        yes[i] = node->progress[i].round_acked == node->reads.number;
    }
    if (node->self != RAFT_MEMBERS_MAX) yes[node->self] = true;
    if (PLANTED(R2_OWN_WORD_IS_ENOUGH)) return true;
    if (PLANTED(R2_LEARNERS_CONFIRM)) return most_members(node, yes);
    return raft__quorum_reached(&node->configuration, yes);
}

void raft__reads_confirmed_by(struct raft_node *node, struct raft_update *update, uint32_t member,
                              uint64_t round, uint64_t process)
{
    assert(node->role == RAFT_LEADER);
    if (!node->reads.flying) return;
    if (process != node->options.process) return;
    if (PLANTED(B5_ANSWER_OF_OLDER_ROUND_CONFIRMS) && round != 0) round = node->reads.number;
    if (round != node->reads.number) return;
    node->progress[member].round_acked = round;
    if (round_is_confirmed(node)) confirm_round(node, update);
}

static bool forwards_wait(const struct raft_reads *reads)
{
    for (uint32_t i = 0; i < reads->forwards_count; i++) {
        if (reads->forwards[i].round == 0) return true;
    }
    return false;
}

static void start_round(struct raft_node *node, struct raft_update *update)
{
    struct raft_reads *reads = &node->reads;
    reads->number++;
    reads->flying = true;
    reads->covered = reads->count;
    reads->index = node->commit_index;
    for (uint32_t i = 0; i < reads->forwards_count; i++) {
        if (reads->forwards[i].round == 0) reads->forwards[i].round = reads->number;
    }
    bool lease = PLANTED(B6_READS_BY_LEASE) && node->now_ms < raft__quorum_deadline_ms(node);
    if (round_is_confirmed(node) || lease) { /* a sole voter confirms itself */
        confirm_round(node, update);
        return;
    }
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        if (raft__is_voter(&node->configuration.members[i])) {
            node->progress[i].heartbeat_wanted = true;
        }
    }
}

/* After a time gap nothing that flew counts (PROTOCOL C7): its reads go into the next round. */
void raft__reads_drop_round(struct raft_node *node)
{
    struct raft_reads *reads = &node->reads;
    assert(node->role == RAFT_LEADER);
    reads->flying = false;
    reads->covered = 0;
    for (uint32_t i = 0; i < reads->forwards_count; i++) {
        if (!reads->forwards[i].confirmed) reads->forwards[i].round = 0;
    }
}

/* ---- requests of a follower ----------------------------------------------------------------------- */

/* Lost here means sent again with the next heartbeat. */
static void send_request(struct raft_node *node, struct raft_update *update)
{
    struct raft_message *message =
        raft__message(node, update, RAFT_MESSAGE_READ_INDEX, node->leader);
    node->reads.sent_ms = node->now_ms;
    if (message == NULL) return;
    message->read_index.process = node->options.process;
    message->read_index.number = node->reads.number;
    message->read_index.index = 0;
}

/* A heartbeat came: a request that has had no answer for two heartbeats goes out again, under its number. */
void raft__reads_leader_heard(struct raft_node *node, struct raft_update *update)
{
    struct raft_reads *reads = &node->reads;
    if (!reads->flying) return;
    if (node->now_ms - reads->sent_ms < 2 * node->options.heartbeat_ms) return;
    send_request(node, update);
}

void raft__reads_advance(struct raft_node *node, struct raft_update *update)
{
    struct raft_reads *reads = &node->reads;
    if (reads->flying || RARELY(READ_ROUND_WAITS)) return;
    if (node->role == RAFT_LEADER) {
        if (!raft__own_term_committed(node) && !PLANTED(B4_READS_BEFORE_NOOP)) return;
        if (reads->count == 0 && !forwards_wait(reads)) return;
        start_round(node, update);
        return;
    }
    if (reads->count == 0) return;
    assert(node->role == RAFT_FOLLOWER);
    assert(node->leader.node != 0);
    reads->number++;
    reads->flying = true;
    reads->covered = reads->count;
    send_request(node, update);
}

void raft__on_read_index_reply(struct raft_node *node, struct raft_update *update,
                               const struct raft_message *m)
{
    struct raft_reads *reads = &node->reads;
    if (node->role != RAFT_FOLLOWER) return;
    if (m->term != node->hard.term) return;
    if (!raft__same_replica(m->from, node->leader)) return;
    if (!reads->flying) return;
    if (m->read_index.process != node->options.process) return;
    bool is_other = m->read_index.number != reads->number;
    if (is_other && !PLANTED(R1_ANY_ANSWER_ENDS_THE_REQUEST)) return;
    reads->flying = false;
    if (PLANTED(R1_REQUEST_COVERS_LATER_READS)) reads->covered = reads->count;
    finish_reads(node, update, reads->covered, m->refusal, m->read_index.index);
}

/* ---- requests at the leader ----------------------------------------------------------------------- */

static struct raft_forward *find_forward(struct raft_reads *reads, struct raft_replica_id from)
{
    for (uint32_t i = 0; i < reads->forwards_count; i++) {
        if (raft__same_replica(reads->forwards[i].from, from)) return &reads->forwards[i];
    }
    return NULL;
}

/* A repeated request stays in the round it is in; a newer one, or one of a restarted process, replaces what its
 * asker has given up. */
static void take_forward(struct raft_reads *reads, const struct raft_message *m)
{
    struct raft_forward *forward = find_forward(reads, m->from);
    if (forward != NULL && forward->process == m->read_index.process &&
        m->read_index.number <= forward->number) {
        return;
    }
    if (forward == NULL) {
        assert(reads->forwards_count < RAFT_READ_FORWARDS_MAX);
        forward = &reads->forwards[reads->forwards_count++];
    }
    *forward = (struct raft_forward){
        .from = m->from, .process = m->read_index.process, .number = m->read_index.number};
}

static enum raft_refusal judge_request(struct raft_node *node, const struct raft_message *m,
                                       bool is_member)
{
    if (m->term < node->hard.term) return RAFT_REFUSED_STALE_TERM;
    if (!is_member) return RAFT_REFUSED_WRONG_IDENTITY;
    if (node->role != RAFT_LEADER) return RAFT_REFUSED_NOT_LEADER;
    return RAFT_REFUSED_NOT;
}

void raft__on_read_index(struct raft_node *node, struct raft_update *update,
                         const struct raft_message *m)
{
    if (RARELY(READ_INDEX_REQUEST_IS_LOST)) return;
    bool is_member = raft__member_find(&node->configuration, m->from) != RAFT_MEMBERS_MAX;
    if (m->term > node->hard.term) {
        if (!is_member) return;
        raft__see_term(node, update, m->term, m->from.node);
    }
    enum raft_refusal refusal = judge_request(node, m, is_member);
    if (refusal == RAFT_REFUSED_NOT) {
        take_forward(&node->reads, m);
        return;
    }
    struct raft_forward asked = {
        .from = m->from, .process = m->read_index.process, .number = m->read_index.number};
    (void)answer_forward(node, update, &asked, refusal);
}

void raft__reads_answer_forwards(struct raft_node *node, struct raft_update *update)
{
    struct raft_reads *reads = &node->reads;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < reads->forwards_count; i++) {
        const struct raft_forward *forward = &reads->forwards[i];
        if (forward->confirmed && answer_forward(node, update, forward, RAFT_REFUSED_NOT)) continue;
        if (forward->confirmed) node->backlog = true;
        reads->forwards[kept++] = *forward;
    }
    reads->forwards_count = kept;
}
