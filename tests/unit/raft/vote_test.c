/* The vote rule (Raft §5.2, §5.4.1; thesis §4.2.3; PROTOCOL C1, C2, D2, V). */
#include "rig.h"

#include <criterion/criterion.h>

/* The voter is node 1 in term 5, its log ends at 10@4. */
static const struct raft_term_run voter_log[] = {{1, 4, 2}, {5, 6, 4}};

enum vote_before { VOTE_FREE, VOTE_SAME, VOTE_OTHER };

struct vote_case {
    raft_term asked;
    enum vote_before before;
    raft_index last_index;
    raft_term last_term;
    bool hears_leader;
    bool transfer;
    bool has_no_vote;
    bool prevote;
};

/* The rule again, in the order of the texts. Candidate 2; a heard leader is node 3. */
static bool should_grant(const struct vote_case *c)
{
    bool log_is_as_recent =
        c->last_term > 4 || (c->last_term == 4 && c->last_index >= 10); /* §5.4.1 */
    if (c->has_no_vote) return false;
    if (c->asked < 5) return false;                             /* §5.1 */
    if (c->hears_leader && !c->transfer) return false;          /* thesis §4.2.3 */
    if (c->asked == 5 && c->before == VOTE_OTHER) return false; /* §5.2: one vote per term */
    if (c->asked == 5 && c->hears_leader && c->before == VOTE_FREE)
        return false; /* has its leader */
    return log_is_as_recent;
}

static void check_case(const struct vote_case *c)
{
    struct raft_hard_state hard = {.term = 5};
    if (c->before == VOTE_SAME) hard.voted_for = rig_replica(2);
    if (c->before == VOTE_OTHER) hard.voted_for = rig_replica(3);
    struct rig rig;
    rig_open(&rig,
             &(struct rig_setup){
                 .runs = voter_log, .runs_count = 2, .hard = hard, .has_no_vote = c->has_no_vote});
    if (c->hears_leader) {
        struct raft_message heartbeat = rig_heartbeat(&rig, 3, 5, 0, 0);
        rig_receive(&rig, &heartbeat);
    }
    uint64_t timer_before = raft_timer_at_ms(rig.node);
    struct raft_message m = rig_vote(&rig, c->prevote ? RAFT_MESSAGE_PREVOTE : RAFT_MESSAGE_VOTE, 2,
                                     c->asked, c->last_index, c->last_term);
    m.vote.transfer = c->transfer;
    rig.now_ms += 10;
    rig_receive(&rig, &m);

    bool granted = should_grant(c);
    const struct raft_message *reply =
        rig_sent(&rig, c->prevote ? RAFT_MESSAGE_PREVOTE_REPLY : RAFT_MESSAGE_VOTE_REPLY, 2);
    cr_assert_not_null(reply);
    cr_assert_eq(reply->refusal == RAFT_REFUSED_NOT, granted,
                 "asked=%d before=%d log=%d@%d hears=%d transfer=%d prevote=%d: %s", (int)c->asked,
                 (int)c->before, (int)c->last_index, (int)c->last_term, c->hears_leader,
                 c->transfer, c->prevote, raft_refusal_text(reply->refusal));
    if (c->prevote) { /* C1: neither term nor vote nor timer */
        cr_assert_eq(rig_view(&rig).term, 5);
        cr_assert_not(rig.update->hard_state_changed);
        cr_assert_eq(raft_timer_at_ms(rig.node), timer_before);
        cr_assert_eq(reply->vote_reply.voter_term, 5);
        cr_assert_eq(reply->term, granted ? c->asked : 5);
    } else if (granted && (c->before != VOTE_SAME || c->asked > 5)) { /* V1: durable before told */
        cr_assert(rig.update->hard_state_changed);
        cr_assert_eq(rig.update->hard_state.voted_for.node, 2);
        cr_assert_eq(rig.update->hard_state.term, c->asked);
        cr_assert_null(rig_sent_now(&rig, RAFT_MESSAGE_VOTE_REPLY, 2));
    }
    rig_close(&rig);
}

Test(raft_vote, the_truth_table_of_the_rule_holds_for_votes_and_pre_votes)
{
    static const struct raft_term_run candidate_logs[] = {
        {10, 0, 4}, {9, 0, 4}, {11, 0, 4}, {3, 0, 5}, {99, 0, 3}};
    for (raft_term asked = 4; asked <= 6; asked++) {
        for (int before = VOTE_FREE; before <= VOTE_OTHER; before++) {
            for (uint32_t log = 0; log < 5; log++) {
                for (uint32_t bits = 0; bits < 16; bits++) {
                    struct vote_case c = {.asked = asked,
                                          .before = (enum vote_before)before,
                                          .last_index = candidate_logs[log].first,
                                          .last_term = candidate_logs[log].term,
                                          .hears_leader = bits & 1,
                                          .transfer = bits & 2,
                                          .has_no_vote = bits & 4,
                                          .prevote = bits & 8};
                    check_case(&c);
                }
            }
        }
    }
}

static struct rig open_voter(raft_term term, raft_node_id voted_for)
{
    struct raft_hard_state hard = {.term = term};
    if (voted_for != 0) hard.voted_for = rig_replica(voted_for);
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.runs = voter_log, .runs_count = 2, .hard = hard});
    return rig;
}

/* B3: a second copy of the request must not be answered while the first vote is still on its way to the disk. */
Test(raft_vote, a_repeated_grant_too_waits_for_the_sync)
{
    struct rig rig = open_voter(5, 0);
    struct raft_message m = rig_vote(&rig, RAFT_MESSAGE_VOTE, 2, 6, 10, 4);
    rig_receive(&rig, &m);
    cr_assert_not_null(rig_sent_after_sync(&rig, RAFT_MESSAGE_VOTE_REPLY, 2));
    rig_receive(&rig, &m);
    cr_assert_null(rig_sent_now(&rig, RAFT_MESSAGE_VOTE_REPLY, 2));
    const struct raft_message *again = rig_sent_after_sync(&rig, RAFT_MESSAGE_VOTE_REPLY, 2);
    cr_assert_not_null(again);
    cr_assert_eq(again->refusal, RAFT_REFUSED_NOT);
    rig_close(&rig);
}

Test(raft_vote, a_repeated_grant_after_the_sync_is_told_at_once)
{
    struct rig rig = open_voter(5, 2);
    struct raft_message m = rig_vote(&rig, RAFT_MESSAGE_VOTE, 2, 5, 10, 4);
    rig_receive(&rig, &m);
    const struct raft_message *reply = rig_sent_now(&rig, RAFT_MESSAGE_VOTE_REPLY, 2);
    cr_assert_not_null(reply);
    cr_assert_eq(reply->refusal, RAFT_REFUSED_NOT);
    rig_close(&rig);
}

/* V: a term is durable before any answer at it, a refusal too. */
Test(raft_vote, a_refusal_at_a_new_term_waits_for_the_sync)
{
    struct rig rig = open_voter(5, 0);
    struct raft_message m = rig_vote(&rig, RAFT_MESSAGE_VOTE, 2, 8, 1, 1);
    rig_receive(&rig, &m);
    cr_assert_null(rig_sent_now(&rig, RAFT_MESSAGE_VOTE_REPLY, 2));
    const struct raft_message *reply = rig_sent_after_sync(&rig, RAFT_MESSAGE_VOTE_REPLY, 2);
    cr_assert_not_null(reply);
    cr_assert_eq(reply->refusal, RAFT_REFUSED_LOG_BEHIND);
    cr_assert_eq(reply->term, 8);
    rig_close(&rig);
}

/* B2: only a new term clears a vote. */
Test(raft_vote, following_a_leader_of_the_same_term_keeps_the_vote)
{
    struct rig rig = open_voter(5, 2);
    struct raft_message heartbeat = rig_heartbeat(&rig, 3, 5, 0, 0);
    rig_receive(&rig, &heartbeat);
    cr_assert_eq(rig.update->hard_state.voted_for.node, 2);
    rig_close(&rig);
}

Test(raft_vote, a_newer_term_frees_the_vote)
{
    struct rig rig = open_voter(5, 3);
    struct raft_message m = rig_vote(&rig, RAFT_MESSAGE_VOTE, 2, 6, 10, 4);
    rig_receive(&rig, &m);
    cr_assert_eq(rig.update->hard_state.voted_for.node, 2);
    rig_close(&rig);
}

/* C2: whoever is asked by its full identity votes, even when its own log calls it a learner. */
Test(raft_vote, a_learner_addressed_as_a_voter_votes)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.id = 3, .voters = 2, .learners = 1});
    struct raft_message m = rig_vote(&rig, RAFT_MESSAGE_VOTE, 2, 1, 0, 0);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_VOTE_REPLY, 2)->refusal, RAFT_REFUSED_NOT);
    rig_close(&rig);
}

/* M3: a vote asked of another epoch of this replica is refused, and changes nothing. */
Test(raft_vote, a_request_to_another_epoch_is_refused_and_changes_nothing)
{
    struct rig rig = open_voter(5, 0);
    struct raft_message m = rig_vote(&rig, RAFT_MESSAGE_VOTE, 2, 9, 99, 8);
    m.to.epoch++;
    rig_receive(&rig, &m);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_VOTE_REPLY, 2)->refusal, RAFT_REFUSED_WRONG_IDENTITY);
    cr_assert_eq(rig_view(&rig).term, 5);
    cr_assert_not(rig.update->hard_state_changed);
    rig_close(&rig);
}

Test(raft_vote, messages_of_another_group_or_node_are_ignored)
{
    struct rig rig = open_voter(5, 0);
    struct raft_message m = rig_vote(&rig, RAFT_MESSAGE_VOTE, 2, 9, 99, 8);
    m.group++;
    rig_receive(&rig, &m);
    cr_assert_null(rig_sent(&rig, RAFT_MESSAGE_VOTE_REPLY, 0));
    m = rig_vote(&rig, RAFT_MESSAGE_VOTE, 2, 9, 99, 8);
    m.to.node = 3;
    rig_receive(&rig, &m);
    cr_assert_null(rig_sent(&rig, RAFT_MESSAGE_VOTE_REPLY, 0));
    m = rig_vote(&rig, RAFT_MESSAGE_VOTE, 1, 9, 99, 8); /* claims to come from here */
    rig_receive(&rig, &m);
    cr_assert_null(rig_sent(&rig, RAFT_MESSAGE_VOTE_REPLY, 0));
    cr_assert_eq(rig_view(&rig).term, 5);
    rig_close(&rig);
}

/* Stickiness ends with the lease: when the connection to the leader is closed (C5), or the time is over. */
Test(raft_vote, the_lease_ends_when_the_leader_is_lost_or_silent)
{
    struct rig rig = open_voter(5, 0);
    struct raft_message heartbeat = rig_heartbeat(&rig, 3, 5, 0, 0);
    struct raft_message m = rig_vote(&rig, RAFT_MESSAGE_PREVOTE, 2, 6, 10, 4);
    rig_receive(&rig, &heartbeat);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_PREVOTE_REPLY, 2)->refusal, RAFT_REFUSED_HEARS_LEADER);
    rig.now_ms += RIG_TIMEOUT_MS_MIN - 1;
    rig_receive(&rig, &m);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_PREVOTE_REPLY, 2)->refusal, RAFT_REFUSED_HEARS_LEADER);
    rig.now_ms += 1;
    rig_receive(&rig, &m);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_PREVOTE_REPLY, 2)->refusal, RAFT_REFUSED_NOT);

    rig_receive(&rig, &heartbeat);
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_LEADER_LOST, .node = 3});
    rig_receive(&rig, &m);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_PREVOTE_REPLY, 2)->refusal, RAFT_REFUSED_NOT);
    rig_close(&rig);
}

Test(raft_vote, a_candidate_kept_off_by_a_leader_does_not_raise_the_term)
{
    struct rig rig = open_voter(5, 0);
    struct raft_message heartbeat = rig_heartbeat(&rig, 3, 5, 0, 0);
    rig_receive(&rig, &heartbeat);
    struct raft_message m = rig_vote(&rig, RAFT_MESSAGE_VOTE, 2, 9, 99, 8);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).term, 5);
    cr_assert_eq(rig_view(&rig).leader, 3);
    rig_close(&rig);
}
