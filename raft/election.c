/* Elections: who may stand, who gets a vote, and when (Raft §5.2, §5.4.1; thesis §4.2.3, §6.4, §9.6).
 *
 *                 timer                majority would vote         majority votes
 *     FOLLOWER ----------> PRE_CANDIDATE ------------> CANDIDATE ----------------> LEADER
 *         ^   <-----------------|   ^------ timer ---------|                          |
 *         |        a leader     |                          | a leader                 |
 *         +---------------------+--------------------------+------ newer term, -------+
 *                        newer term                                no quorum
 *
 * Rules
 *  1. The term changes in two places: a newer one is seen, or a candidate takes the next. Only a new term
 *     clears the vote (V2).
 *  2. The vote and the term are durable before any message that rests on them leaves (V1): raft__message()
 *     sees to it. The own vote counts when it is durable, so a sole voter leads only after its sync.
 *  3. PreVote changes neither term, vote nor last contact of anybody (C1).
 *  4. Whoever hears a leader gives no vote unless the election is a transfer.
 *  5. Without leadership there is always a timer: election_at_ms lies within one timeout. */
#include "internal.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include <assert.h>
#include <string.h>

#define SPLIT_RETRY_MS_MIN 50u
#define SPLIT_RETRY_MS_MAX 100u
/* PROTOCOL D5: so long whole voters have time to win. */
#define DAMAGED_TIMEOUTS 3u

static const struct raft_replica_id nobody = {0, 0};

/* ---- timers --------------------------------------------------------------------------------------- */

static uint64_t draw_timeout_ms(struct raft_node *node)
{
    uint64_t min = node->options.election_timeout_ms_min;
    return min + raft__random(node, node->options.election_timeout_ms_max - min);
}

/* Also ends the quick retries of an early PreVote: there is contact again, or ordinary time goes on. */
void raft__reset_election_timer(struct raft_node *node)
{
    node->election_at_ms = node->now_ms + draw_timeout_ms(node);
    if (RARELY(ELECTION_TIMER_FIRES_AT_ONCE)) node->election_at_ms = node->now_ms;
    node->early_until_ms = 0;
}

static bool is_early(const struct raft_node *node)
{
    return node->now_ms < node->early_until_ms;
}

static bool retries_splits(const struct raft_node *node)
{
    return is_early(node) && !PLANTED(C5_SPLIT_WAITS_FOR_THE_TIMER);
}

static uint64_t draw_split_retry_ms(struct raft_node *node)
{
    return SPLIT_RETRY_MS_MIN + raft__random(node, SPLIT_RETRY_MS_MAX - SPLIT_RETRY_MS_MIN + 1);
}

static void retry_no_later_than(struct raft_node *node, uint64_t at_ms)
{
    if (at_ms < node->election_at_ms) node->election_at_ms = at_ms;
}

/* ---- what was acknowledged and lost ------------------------------------------------------------- */

/* Raft §5.4.1: the later term wins; at the same term the longer log. */
static bool is_shorter(raft_term last_term, raft_index last_index, raft_term than_term,
                       raft_index than_index)
{
    if (last_term != than_term) return last_term < than_term;
    return last_index < than_index;
}

/* A log that ends here does not hold all that was committed with this replica's acks. Whoever could win without this voter's
 * lie holds it, for the position is committed. */
static bool lacks_pledge(const struct raft_node *node, raft_term last_term, raft_index last_index)
{
    if (PLANTED(D8_REGRESSED_VOTES)) return false;
    return is_shorter(last_term, last_index, node->pledged_term, node->pledged_index);
}

/* PROTOCOL D8. Kept in memory: who restarts is told again, as long as that leader lives. */
void raft__on_regressed_message(struct raft_node *node, struct raft_update *update,
                                const struct raft_message *m)
{
    if (m->regressed.term > m->term) return;
    if (!raft__hear_leader(node, update, m)) return;
    if (!lacks_pledge(node, m->regressed.term, m->regressed.index)) {
        node->pledged_index = m->regressed.index;
        node->pledged_term = m->regressed.term;
    }
}

/* ---- who may stand -------------------------------------------------------------------------------- */

/* PROTOCOL C2: as a voter of its own latest configuration; D2: with its vote and position whole. A leader
 * appends a no-op, so there must be room in the trail for one more term.
 *
 * Whoever is removed by a configuration that may not be committed may be the only one that has it, and then
 * nobody else can win: {1,2} becomes {2}, and only 1, which led, has the entry (thesis §4.2.2). So it stands too,
 * in the new configuration, without counting itself. */
bool raft__can_stand(const struct raft_node *node)
{
    if (!node->has_vote) return false;
    if (raft__disk_is_stalled(node)) return false;
    bool waits = node->damaged && node->damaged_timeouts < DAMAGED_TIMEOUTS;
    if (waits && !PLANTED(D5_DAMAGED_STANDS_AT_ONCE)) return false;
    if (lacks_pledge(node, raft__trail_last_term(&node->trail), node->trail.last_index))
        return false;
    bool is_outside = !raft__is_own_voter(node) && !raft__was_own_voter(node);
    if (is_outside && !PLANTED(B9_STANDS_OUTSIDE_OF_ITS_GROUP)) return false;
    return raft__trail_has_room(&node->trail, node->commit_index);
}

/* ---- changes of role ------------------------------------------------------------------------------ */

static void leave_leadership(struct raft_node *node, struct raft_update *update,
                             enum raft_step_down reason)
{
    raft__trace(update, (struct raft_trace){
                            .type = RAFT_TRACE_STEP_DOWN, .a = node->hard.term, .c = reason});
    raft__transfer_clear(node);
    raft__reset_election_timer(node);
}

static void enter_term(struct raft_node *node, raft_term term)
{
    assert(term > node->hard.term);
    node->hard.term = term;
    if (!PLANTED(V2_NEW_TERM_KEEPS_VOTE)) node->hard.voted_for = nobody;
    node->verified_index = 0;
}

/* `reason` is why a leader gives up. */
static void follow(struct raft_node *node, struct raft_update *update, raft_term term,
                   struct raft_replica_id leader, enum raft_step_down reason)
{
    assert(term >= node->hard.term);
    bool term_changed = term > node->hard.term;
    bool leader_changed = !raft__same_replica(leader, node->leader);
    if (!term_changed && !leader_changed && node->role == RAFT_FOLLOWER) return;

    bool was_leader = node->role == RAFT_LEADER;
    if (was_leader) leave_leadership(node, update, reason);
    if (term_changed) enter_term(node, term);
    if (PLANTED(B2_STEP_DOWN_ERASES_VOTE) && !term_changed && was_leader)
        node->hard.voted_for = nobody;
    /* Refusals of reads that others forwarded go out under the new term. */
    raft__reads_fail_all(node, update);
    node->role = RAFT_FOLLOWER;
    node->leader = leader;
    if (leader.node != 0) {
        node->damaged_timeouts = 0;
        raft__trace(update,
                    (struct raft_trace){.type = RAFT_TRACE_FOLLOW, .node = leader.node, .a = term});
    } else if (leader_changed && !was_leader && !term_changed) {
        raft__trace(update,
                    (struct raft_trace){.type = RAFT_TRACE_ROLE, .a = RAFT_FOLLOWER, .b = term});
    }
}

void raft__become_follower(struct raft_node *node, struct raft_update *update, raft_term term,
                           struct raft_replica_id leader)
{
    enum raft_step_down reason = RAFT_STEP_DOWN_NO_QUORUM;
    if (term > node->hard.term) {
        reason = raft__is_transferring(node) ? RAFT_STEP_DOWN_TRANSFER : RAFT_STEP_DOWN_NEWER_TERM;
    }
    follow(node, update, term, leader, reason);
}

void raft__step_down(struct raft_node *node, struct raft_update *update, enum raft_step_down reason)
{
    assert(node->role == RAFT_LEADER);
    follow(node, update, node->hard.term, nobody, reason);
}

void raft__see_term(struct raft_node *node, struct raft_update *update, raft_term term,
                    raft_node_id from)
{
    assert(term > node->hard.term);
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_TERM, .node = from, .a = term});
    raft__become_follower(node, update, term, nobody);
}

static void clear_votes(struct raft_node *node)
{
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        node->votes_yes[i] = false;
        node->votes_no[i] = false;
    }
}

static void ask_voters(struct raft_node *node, struct raft_update *update,
                       enum raft_message_type type, raft_term term, bool transfer)
{
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        const struct raft_member *member = &node->configuration.members[i];
        if (i == node->self) continue;
        if (!raft__is_voter(member)) continue;
        struct raft_message *message = raft__message(node, update, type, member->id);
        if (message == NULL) break;
        message->term = term;
        message->vote.last_index = node->trail.last_index;
        message->vote.last_term = raft__trail_last_term(&node->trail);
        message->vote.transfer = transfer;
    }
}

static void start_prevote(struct raft_node *node, struct raft_update *update)
{
    assert(node->role != RAFT_LEADER);
    if (!raft__can_stand(node)) {
        raft__become_follower(node, update, node->hard.term, nobody);
        raft__reset_election_timer(node);
        return;
    }
    raft__reads_fail_all(node, update);
    node->role = RAFT_PRE_CANDIDATE;
    node->leader = nobody;
    if (retries_splits(node)) {
        node->election_at_ms = node->now_ms + draw_split_retry_ms(node);
    } else {
        raft__reset_election_timer(node);
    }
    clear_votes(node);
    if (node->self != RAFT_MEMBERS_MAX) node->votes_yes[node->self] = true;
    raft_term term = node->hard.term + 1;
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_ELECTION, .a = term, .d = 1});
    bool is_alone = raft__quorum_reached(&node->configuration, node->votes_yes);
    if (is_alone || PLANTED(C1_NO_PREVOTE)) {
        raft__start_election(node, update, /* transfer= */ false);
        return;
    }
    ask_voters(node, update, RAFT_MESSAGE_PREVOTE, term, /* transfer= */ false);
}

/* The timer of a candidacy is an ordinary one even when it began early: two syncs and a round trip lie in it,
 * and cutting it short would only raise the term. A lost vote shortens it. */
void raft__start_election(struct raft_node *node, struct raft_update *update, bool transfer)
{
    assert(raft__can_stand(node));
    assert(node->role != RAFT_LEADER);
    raft__reads_fail_all(node, update);
    enter_term(node, node->hard.term + 1);
    node->hard.voted_for = node->options.id;
    node->role = RAFT_CANDIDATE;
    node->leader = nobody;
    node->election_at_ms = node->now_ms + draw_timeout_ms(node);
    clear_votes(node);
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_ELECTION, .a = node->hard.term});
    ask_voters(node, update, RAFT_MESSAGE_VOTE, node->hard.term, transfer);
}

/* ---- events --------------------------------------------------------------------------------------- */

void raft__election_tick(struct raft_node *node, struct raft_update *update)
{
    if (node->now_ms < node->election_at_ms) return;
    if (node->damaged && node->damaged_timeouts < DAMAGED_TIMEOUTS) node->damaged_timeouts++;
    start_prevote(node, update);
}

void raft__on_damaged(struct raft_node *node, struct raft_update *update, bool stands_last,
                      raft_index from)
{
    bool alone = raft__is_own_voter(node) && raft__voters_count(&node->configuration) == 1;
    if (alone) {
        stands_last = false;
        from = 0;
    }
    if (stands_last != node->damaged) node->damaged_timeouts = 0;
    node->damaged = stands_last;
    node->damaged_from = from;
    if (node->role == RAFT_LEADER) raft__commit_advance(node, update);
}

raft_index raft__whole_index(const struct raft_node *node)
{
    if (node->damaged_from == 0) return node->durable_index;
    return raft__min(node->durable_index, node->damaged_from - 1);
}

/* PROTOCOL C5: a closed control connection is the fastest news of a dead leader. The lease ends here and now, so
 * this node also gives its vote to others that noticed. */
void raft__on_leader_lost(struct raft_node *node, struct raft_update *update, raft_node_id leader)
{
    if (node->role != RAFT_FOLLOWER) return;
    if (node->leader.node == 0) return;
    if (node->leader.node != leader) return;
    if (PLANTED(C5_CLOSED_CONNECTION_IS_IGNORED)) return;
    const struct raft_replica_id lost = node->leader;
    raft__become_follower(node, update, node->hard.term, nobody);
    if (!raft__can_stand(node)) return;
    node->early_until_ms = node->now_ms + node->options.election_timeout_ms_max;
    node->lost_leader = lost;
    retry_no_later_than(node,
                        node->now_ms + raft__random(node, node->options.early_prevote_ms_max + 1));
}

/* The first leader of a new group stands at once. The others may still be making their replicas, so it asks
 * again as quickly as after a lost leader. */
void raft__on_campaign(struct raft_node *node, struct raft_update *update)
{
    if (node->role == RAFT_LEADER) return;
    if (!raft__can_stand(node)) return;
    node->early_until_ms = node->now_ms + node->options.election_timeout_ms_max;
    node->lost_leader = nobody;
    start_prevote(node, update);
}

/* ---- the voter ------------------------------------------------------------------------------------ */

/* Leader stickiness (thesis §4.2.3): heard within the shortest election timeout. */
static bool hears_leader(const struct raft_node *node)
{
    if (node->role == RAFT_LEADER) return true;
    if (node->leader.node == 0) return false;
    return node->now_ms - node->leader_heard_ms < node->options.election_timeout_ms_min;
}

static bool log_is_behind(const struct raft_node *node, const struct raft_message *m)
{
    if (is_shorter(m->vote.last_term, m->vote.last_index, raft__trail_last_term(&node->trail),
                   node->trail.last_index)) {
        return true;
    }
    return lacks_pledge(node, m->vote.last_term, m->vote.last_index);
}

/* The vote rule, one for both kinds: a pre-vote says what a vote would be, asked now. `m->term` is the term the
 * candidate stands in; a voter whose vote in that term is still free gives it. */
static enum raft_refusal judge(const struct raft_node *node, const struct raft_message *m)
{
    if (!node->has_vote && !PLANTED(V3_LOST_VOTE_VOTES)) return RAFT_REFUSED_NO_VOTE;
    if (m->term < node->hard.term) return RAFT_REFUSED_STALE_TERM;
    if (RARELY(VOTE_IS_REFUSED)) return RAFT_REFUSED_HEARS_LEADER;
    if (PLANTED(C2_LEARNER_REFUSES_ITS_VOTE) && !raft__is_own_voter(node))
        return RAFT_REFUSED_NO_VOTE;
    bool sticks = !m->vote.transfer && !PLANTED(C1_NO_STICKINESS);
    if (sticks && hears_leader(node)) return RAFT_REFUSED_HEARS_LEADER;
    if (m->term == node->hard.term) {
        if (node->hard.voted_for.node != 0) {
            if (!raft__same_replica(node->hard.voted_for, m->from)) {
                return RAFT_REFUSED_ALREADY_VOTED;
            }
        } else if (node->leader.node != 0) {
            return RAFT_REFUSED_ALREADY_VOTED; /* that term has its leader */
        }
    }
    if (log_is_behind(node, m) && !PLANTED(C2_VOTES_FOR_A_SHORTER_LOG))
        return RAFT_REFUSED_LOG_BEHIND;
    return RAFT_REFUSED_NOT;
}

static void trace_vote(struct raft_update *update, const struct raft_message *m,
                       enum raft_refusal refusal)
{
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_VOTE,
                                            .node = m->from.node,
                                            .index = m->vote.last_index,
                                            .index_term = m->vote.last_term,
                                            .a = m->term,
                                            .b = refusal == RAFT_REFUSED_NOT,
                                            .c = refusal,
                                            .d = m->type == RAFT_MESSAGE_PREVOTE});
}

void raft__on_prevote(struct raft_node *node, struct raft_update *update,
                      const struct raft_message *m)
{
    enum raft_refusal refusal = judge(node, m);
    trace_vote(update, m, refusal);
    if (PLANTED(B20_PREVOTE_MOVES_TERM) && m->term > node->hard.term)
        raft__see_term(node, update, m->term, m->from.node);
    struct raft_message *reply =
        raft__reply(node, update, RAFT_MESSAGE_PREVOTE_REPLY, m->from, refusal);
    if (refusal == RAFT_REFUSED_NOT) reply->term = m->term;
    reply->vote_reply.voter_term = node->hard.term;
}

void raft__on_vote(struct raft_node *node, struct raft_update *update, const struct raft_message *m)
{
    enum raft_refusal refusal = judge(node, m);
    bool was_asking = node->role == RAFT_PRE_CANDIDATE;
    /* A candidate that is kept off by a heard leader does not move the term either, else it would depose the
     * leader by asking. Any other newer term is seen before it is answered. */
    if (m->term > node->hard.term && refusal != RAFT_REFUSED_HEARS_LEADER) {
        raft__see_term(node, update, m->term, m->from.node);
    }
    trace_vote(update, m, refusal);
    if (refusal == RAFT_REFUSED_NOT) {
        assert(m->term == node->hard.term);
        assert(node->role == RAFT_FOLLOWER || node->role == RAFT_PRE_CANDIDATE);
        node->role = RAFT_FOLLOWER;
        node->hard.voted_for = m->from;
        raft__reset_election_timer(node);
        if (PLANTED(B33_TIMER_LOST_BETWEEN_VOTES) && was_asking) node->election_at_ms = UINT64_MAX;
    }
    struct raft_message *reply =
        raft__reply(node, update, RAFT_MESSAGE_VOTE_REPLY, m->from, refusal);
    reply->vote_reply.voter_term = node->hard.term;
}

/* ---- the candidate -------------------------------------------------------------------------------- */

static void trace_voted(struct raft_update *update, const struct raft_message *m)
{
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_VOTED,
                                            .node = m->from.node,
                                            .a = m->refusal == RAFT_REFUSED_NOT,
                                            .c = m->refusal,
                                            .d = m->type == RAFT_MESSAGE_PREVOTE_REPLY});
}

static void count_vote(struct raft_node *node, const struct raft_message *m, uint32_t member)
{
    if (m->refusal == RAFT_REFUSED_NOT) {
        node->votes_yes[member] = true;
        node->votes_no[member] = false;
    } else if (!node->votes_yes[member]) { /* a late copy of an older answer takes nothing back */
        node->votes_no[member] = true;
    }
}

/* In the early window the next attempt need not wait for the ordinary timer once this one is lost. The leader whose
 * connection is closed is not waited for: it is dead most likely, and of three voters the other two that stand at once would
 * each hope for its vote. */
static void retry_if_lost(struct raft_node *node)
{
    if (!retries_splits(node)) return;
    bool no[RAFT_MEMBERS_MAX];
    memcpy(no, node->votes_no, sizeof(no));
    uint32_t lost = raft__member_find(&node->configuration, node->lost_leader);
    bool waits = PLANTED(C5_DEAD_LEADER_MAY_STILL_VOTE);
    if (lost != RAFT_MEMBERS_MAX && !waits) no[lost] = !node->votes_yes[lost];
    if (raft__quorum_possible(&node->configuration, no)) return;
    retry_no_later_than(node, node->now_ms + draw_split_retry_ms(node));
}

void raft__on_prevote_reply(struct raft_node *node, struct raft_update *update,
                            const struct raft_message *m, uint32_t member)
{
    /* A candidate with a long log and a low term must be able to climb to the term of those that refuse it,
     * or nobody is ever elected (bug class "PreVote deadlock"). */
    bool granted = m->refusal == RAFT_REFUSED_NOT;
    bool climbs = m->vote_reply.voter_term > node->hard.term;
    if (!granted && climbs && !PLANTED(B19_PREVOTE_NEVER_CLIMBS)) {
        raft__see_term(node, update, m->vote_reply.voter_term, m->from.node);
        if (is_early(node)) {
            retry_no_later_than(node, node->now_ms + node->options.early_prevote_ms_max);
        }
        return;
    }
    if (node->role != RAFT_PRE_CANDIDATE) return;
    if (granted && m->term != node->hard.term + 1) return; /* an answer to an older question */
    trace_voted(update, m);
    node->progress[member].last_refusal = m->refusal;
    count_vote(node, m, member);
    if (raft__quorum_reached(&node->configuration, node->votes_yes)) {
        if (raft__can_stand(node)) { /* the disk may stand still since */
            raft__start_election(node, update, /* transfer= */ false);
        } else {
            raft__become_follower(node, update, node->hard.term, nobody);
        }
        return;
    }
    bool asks_again = is_early(node) && !PLANTED(C5_WHO_HEARS_THE_LEADER_IS_ASKED_ONCE);
    if (m->refusal == RAFT_REFUSED_HEARS_LEADER && asks_again) {
        retry_no_later_than(node, node->now_ms + node->options.early_prevote_ms_max);
    }
    retry_if_lost(node);
}

static void win_if_majority(struct raft_node *node, struct raft_update *update)
{
    assert(node->role == RAFT_CANDIDATE);
    if (!raft__quorum_reached(&node->configuration, node->votes_yes)) return;
    if (!raft__hard_is_durable(node)) return; /* the report comes, and this is asked again */
    uint64_t votes = 0;
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        if (node->votes_yes[i]) votes++;
    }
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_LEADER,
                                            .a = node->hard.term,
                                            .b = votes,
                                            .c = raft__voters_count(&node->configuration)});
    raft__become_leader(node, update);
}

void raft__on_vote_reply(struct raft_node *node, struct raft_update *update,
                         const struct raft_message *m, uint32_t member)
{
    if (m->term != node->hard.term) return;
    if (node->role != RAFT_CANDIDATE) return;
    trace_voted(update, m);
    node->progress[member].last_refusal = m->refusal;
    count_vote(node, m, member);
    win_if_majority(node, update);
    if (node->role == RAFT_CANDIDATE) retry_if_lost(node);
}

void raft__on_vote_durable(struct raft_node *node, struct raft_update *update,
                           struct raft_hard_state hard)
{
    assert(hard.term <= node->hard.term);
    bool newer = hard.term > node->hard_durable.term ||
                 (hard.term == node->hard_durable.term && hard.voted_for.node != 0);
    if (!newer) return;
    node->hard_durable = hard;
    if (node->role != RAFT_CANDIDATE) return;
    if (!raft__hard_is_durable(node)) return;
    assert(raft__same_replica(node->hard.voted_for, node->options.id));
    if (node->self != RAFT_MEMBERS_MAX) node->votes_yes[node->self] = true;
    win_if_majority(node, update);
}
