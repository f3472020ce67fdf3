/* Followers, candidates, leaders and their timers (Raft §5.1, §5.2; thesis §9.6; PROTOCOL C1, C2, C5). */
#include "rig.h"

#include <criterion/criterion.h>

static void stand(struct rig *rig)
{
    rig_tick(rig, RIG_TIMEOUT_MS_MAX);
}

/* From follower to candidate of 3: one pre-vote is enough. */
static void become_candidate(struct rig *rig)
{
    stand(rig);
    raft_term term = rig_view(rig).term + 1;
    struct raft_message m = rig_message(rig, RAFT_MESSAGE_PREVOTE_REPLY, 2, term);
    m.vote_reply.voter_term = term - 1;
    rig_receive(rig, &m);
    cr_assert_eq(rig_view(rig).role, RAFT_CANDIDATE);
}

/* "When servers start up, they begin as followers" (§5.2). */
Test(raft_election, a_server_starts_as_a_follower)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    cr_assert_eq(rig_view(&rig).leader, 0);
    rig_close(&rig);
}

/* "A server remains in follower state as long as it receives valid RPCs from a leader" (§5.2). */
Test(raft_election, heartbeats_keep_a_follower_a_follower)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    for (uint32_t i = 0; i < 200; i++) {
        struct raft_message heartbeat = rig_heartbeat(&rig, 2, 1, 0, 0);
        rig_receive(&rig, &heartbeat);
        rig_tick(&rig, RIG_HEARTBEAT_MS);
        cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
        cr_assert_eq(rig_view(&rig).leader, 2);
    }
    rig_close(&rig);
}

/* "If a follower receives no communication over ... the election timeout, then it ... begins an election" (§5.2), with
 * a pre-vote first, which changes nothing. */
Test(raft_election, silence_makes_a_follower_ask_for_pre_votes_in_its_old_term)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 3}});
    stand(&rig);
    cr_assert_eq(rig_view(&rig).role, RAFT_PRE_CANDIDATE);
    cr_assert_eq(rig_view(&rig).term, 3);
    cr_assert_not(rig.update->hard_state_changed);
    cr_assert_eq(rig_sent_count(&rig, RAFT_MESSAGE_PREVOTE), 2);
    cr_assert_eq(rig_sent_now(&rig, RAFT_MESSAGE_PREVOTE, 2)->term, 4);
    rig_close(&rig);
}

/* "A follower increments its current term ..., votes for itself and issues RequestVote RPCs in parallel" (§5.2). The
 * requests leave after the own vote is durable. */
Test(raft_election, a_candidate_raises_its_term_votes_for_itself_and_asks_all_after_the_sync)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 3}});
    become_candidate(&rig);
    cr_assert_eq(rig_view(&rig).term, 4);
    cr_assert(rig.update->hard_state_changed);
    cr_assert_eq(rig.update->hard_state.voted_for.node, 1);
    cr_assert_eq(rig.update->hard_state.voted_for.epoch, rig_replica(1).epoch);
    cr_assert_eq(rig.update->messages_now_count, 0);
    cr_assert_not_null(rig_sent_after_sync(&rig, RAFT_MESSAGE_VOTE, 2));
    cr_assert_not_null(rig_sent_after_sync(&rig, RAFT_MESSAGE_VOTE, 3));
    rig_close(&rig);
}

/* "A candidate wins an election if it receives votes from a majority" (§5.2). */
Test(raft_election, a_majority_of_votes_wins)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 5});
    stand(&rig);
    for (raft_node_id from = 2; from <= 3; from++) {
        struct raft_message m = rig_message(&rig, RAFT_MESSAGE_PREVOTE_REPLY, from, 1);
        rig_receive(&rig, &m);
    }
    rig_sync_vote(&rig);
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_VOTE_REPLY, 2, 1);
    rig_receive(&rig, &m);
    rig_receive(&rig, &m); /* a copy is no second vote */
    cr_assert_eq(rig_view(&rig).role, RAFT_CANDIDATE);
    m = rig_message(&rig, RAFT_MESSAGE_VOTE_REPLY, 4, 1);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    cr_assert_eq(rig.update->append.source, RAFT_APPEND_NOOP);
    cr_assert_eq(rig.update->append.first, 1);
    cr_assert_eq(rig.update->append.term, 1);
    rig_close(&rig);
}

Test(raft_election, the_own_vote_counts_only_when_it_is_durable)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    become_candidate(&rig);
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_VOTE_REPLY, 2, 1);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).role, RAFT_CANDIDATE, "one of three, the own is not on the disk");
    rig_sync_vote(&rig);
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    rig_close(&rig);
}

/* Even a majority of others does not make a leader whose own vote a power cut may still take back. */
Test(raft_election, nobody_leads_a_term_that_is_not_on_its_disk)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    become_candidate(&rig);
    struct raft_hard_state hard = rig.update->hard_state;
    for (raft_node_id from = 2; from <= 3; from++) {
        struct raft_message m = rig_message(&rig, RAFT_MESSAGE_VOTE_REPLY, from, 1);
        rig_receive(&rig, &m);
        cr_assert_eq(rig_view(&rig).role, RAFT_CANDIDATE);
    }
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_VOTE_DURABLE, .vote_durable = hard});
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    rig_close(&rig);
}

Test(raft_election, the_report_of_an_older_hard_state_does_not_count_the_vote)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 1});
    rig_tick(&rig, 0);
    cr_assert_eq(rig_view(&rig).role, RAFT_CANDIDATE);
    rig_step(&rig,
             (struct raft_event){.type = RAFT_EVENT_VOTE_DURABLE, .vote_durable = {.term = 1}});
    cr_assert_eq(rig_view(&rig).role, RAFT_CANDIDATE);
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_VOTE_DURABLE,
                                       .vote_durable = {.term = 1, .voted_for = rig_replica(1)}});
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    rig_close(&rig);
}

/* B9: votes of strangers, learners and other epochs count for nothing. */
Test(raft_election, only_voters_in_their_present_epoch_count)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 3, .learners = 1});
    become_candidate(&rig);
    rig_sync_vote(&rig);
    struct raft_message stranger = rig_message(&rig, RAFT_MESSAGE_VOTE_REPLY, 9, 1);
    struct raft_message learner = rig_message(&rig, RAFT_MESSAGE_VOTE_REPLY, 4, 1);
    struct raft_message other_epoch = rig_message(&rig, RAFT_MESSAGE_VOTE_REPLY, 2, 1);
    other_epoch.from.epoch++;
    rig_receive(&rig, &stranger);
    rig_receive(&rig, &learner);
    rig_receive(&rig, &other_epoch);
    cr_assert_eq(rig_view(&rig).role, RAFT_CANDIDATE);
    stranger.term = 50;
    rig_receive(&rig, &stranger);
    cr_assert_eq(rig_view(&rig).term, 1, "a stranger's answer does not move the term");
    rig_close(&rig);
}

Test(raft_election, votes_of_an_older_term_count_for_nothing)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 7}});
    become_candidate(&rig);
    rig_sync_vote(&rig);
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_VOTE_REPLY, 2, 7);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).role, RAFT_CANDIDATE);
    rig_close(&rig);
}

/* "If the leader's term ... is at least as large as the candidate's current term, then the candidate recognizes the
 * leader" (§5.2). */
Test(raft_election, a_candidate_follows_a_leader_of_its_term_and_refuses_an_older_one)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 3}});
    become_candidate(&rig);
    struct raft_message old = rig_append(&rig, 3, 3, 0, 0, 1, 3, 0);
    rig_receive(&rig, &old);
    cr_assert_eq(rig_view(&rig).role, RAFT_CANDIDATE);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_APPEND_REPLY, 3)->refusal, RAFT_REFUSED_STALE_TERM);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_APPEND_REPLY, 3)->term, 4);
    struct raft_message present = rig_append(&rig, 3, 4, 0, 0, 1, 4, 0);
    rig_receive(&rig, &present);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    cr_assert_eq(rig_view(&rig).leader, 3);
    rig_close(&rig);
}

/* "If a candidate or leader discovers that its term is out of date, it immediately reverts to follower" (§5.1). */
Test(raft_election, a_newer_term_in_any_answer_ends_leadership)
{
    static const enum raft_message_type answers[] = {
        RAFT_MESSAGE_APPEND_REPLY, RAFT_MESSAGE_HEARTBEAT_REPLY, RAFT_MESSAGE_VOTE_REPLY,
        RAFT_MESSAGE_READ_INDEX_REPLY};
    for (uint32_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct rig rig;
        rig_open(&rig, &(struct rig_setup){0});
        rig_lead(&rig);
        struct raft_message m = rig_message(&rig, answers[i], 2, 9);
        m.refusal = RAFT_REFUSED_STALE_TERM;
        rig_receive(&rig, &m);
        cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
        cr_assert_eq(rig_view(&rig).term, 9);
        cr_assert_eq(rig_view(&rig).leader, 0);
        cr_assert(rig.update->role_changed);
        cr_assert(rig.update->hard_state_changed);
        rig_close(&rig);
    }
}

/* "Election timeouts are chosen randomly from a fixed interval" (§5.2). */
Test(raft_election, timeouts_spread_over_the_interval)
{
    uint32_t buckets[6] = {0};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.seed = 3});
    for (uint32_t i = 0; i < 3000; i++) {
        struct raft_message heartbeat = rig_heartbeat(&rig, 2, 1, 0, 0);
        rig_receive(&rig, &heartbeat);
        uint64_t wait_ms = raft_timer_at_ms(rig.node) - rig.now_ms;
        cr_assert_geq(wait_ms, RIG_TIMEOUT_MS_MIN);
        cr_assert_lt(wait_ms, RIG_TIMEOUT_MS_MAX);
        buckets[(wait_ms - RIG_TIMEOUT_MS_MIN) / 50]++;
        rig.now_ms++;
    }
    for (uint32_t i = 0; i < 6; i++) {
        cr_assert_gt(buckets[i], 300, "bucket %u has %u of 500", i, buckets[i]);
    }
    rig_close(&rig);
}

Test(raft_election, replicas_with_one_seed_draw_different_timeouts)
{
    struct rig a;
    struct rig b;
    rig_open(&a, &(struct rig_setup){.id = 1, .seed = 5});
    rig_open(&b, &(struct rig_setup){.id = 2, .seed = 5});
    uint32_t equal = 0;
    for (uint32_t i = 0; i < 20; i++) {
        rig_step(&a, (struct raft_event){.type = RAFT_EVENT_TIME_GAP});
        rig_step(&b, (struct raft_event){.type = RAFT_EVENT_TIME_GAP});
        if (raft_timer_at_ms(a.node) == raft_timer_at_ms(b.node)) equal++;
    }
    cr_assert_lt(equal, 5);
    rig_close(&a);
    rig_close(&b);
}

/* B33: whatever interleaves, the timer of a node that does not lead is never further away than a timeout. The
 * invariant is checked after each step; here the messages come in every order. */
Test(raft_election, overlapping_pre_votes_and_votes_leave_a_timer)
{
    for (uint32_t order = 0; order < 64; order++) {
        struct rig rig;
        rig_open(&rig, &(struct rig_setup){.seed = order});
        stand(&rig);
        for (uint32_t bit = 0; bit < 6; bit++) {
            bool flag = (order >> bit) & 1;
            raft_term term = rig_view(&rig).term;
            struct raft_message m =
                flag ? rig_vote(&rig, RAFT_MESSAGE_VOTE, 2, term + 1, 9, 9)
                     : rig_message(&rig, RAFT_MESSAGE_PREVOTE_REPLY, 3, term + 1);
            rig_receive(&rig, &m);
            if (rig.update->hard_state_changed && flag) rig_sync_vote(&rig);
        }
        if (rig_view(&rig).role != RAFT_LEADER) {
            cr_assert_leq(raft_timer_at_ms(rig.node), rig.now_ms + RIG_TIMEOUT_MS_MAX);
            rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
            cr_assert_neq(rig_view(&rig).role, RAFT_FOLLOWER, "it stands again");
        }
        rig_close(&rig);
    }
}

/* B19: a candidate with a low term climbs to the term of those that refuse it. */
Test(raft_election, a_refused_pre_candidate_learns_the_newer_term)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 3}});
    stand(&rig);
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_PREVOTE_REPLY, 2, 8);
    m.refusal = RAFT_REFUSED_STALE_TERM;
    m.vote_reply.voter_term = 8;
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).term, 8);
    stand(&rig);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_PREVOTE, 2)->term, 9);
    rig_close(&rig);
}

Test(raft_election, the_answer_to_an_older_pre_vote_counts_for_nothing)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 3}});
    stand(&rig);
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_PREVOTE_REPLY, 2, 3);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).role, RAFT_PRE_CANDIDATE);
    rig_close(&rig);
}

Test(raft_election, learners_and_replicas_without_a_vote_do_not_stand)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.id = 3, .voters = 2, .learners = 1});
    stand(&rig);
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_CAMPAIGN});
    cr_expect_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    rig_close(&rig);
    rig_open(&rig, &(struct rig_setup){.has_no_vote = true});
    stand(&rig);
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_CAMPAIGN});
    cr_expect_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    rig_close(&rig);
}

/* B26: a group of one commits only what its own disk has. */
Test(raft_election, a_sole_voter_stands_at_once_and_leads_after_its_sync)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 1});
    cr_assert_eq(raft_timer_at_ms(rig.node), rig.now_ms);
    rig_tick(&rig, 0);
    cr_assert_eq(rig_view(&rig).role, RAFT_CANDIDATE);
    rig_sync_vote(&rig);
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    cr_assert_eq(rig_view(&rig).commit_index, 0);
    rig_durable(&rig, 1);
    cr_assert_eq(rig_view(&rig).commit_index, 1);
    rig_close(&rig);
}

/* A joint candidate needs both halves: old 1,2,3 and new 1,4,5. */
Test(raft_election, a_joint_candidate_needs_a_majority_of_both_halves)
{
    struct raft_configuration joint = {.members_count = 5, .joint = true};
    for (uint32_t i = 0; i < 5; i++) {
        joint.members[i] = (struct raft_member){
            .id = rig_replica(i + 1), .voter = i == 0 || i >= 3, .voter_old = i < 3};
    }
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.configuration = &joint});
    stand(&rig);
    for (raft_node_id from = 2; from <= 4; from += 2) {
        cr_assert_eq(rig_view(&rig).role, RAFT_PRE_CANDIDATE);
        struct raft_message m = rig_message(&rig, RAFT_MESSAGE_PREVOTE_REPLY, from, 1);
        rig_receive(&rig, &m);
    }
    rig_sync_vote(&rig);
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_VOTE_REPLY, 2, 1);
    rig_receive(&rig, &m);
    m = rig_message(&rig, RAFT_MESSAGE_VOTE_REPLY, 3, 1);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).role, RAFT_CANDIDATE, "all of the old half, one of the new");
    m = rig_message(&rig, RAFT_MESSAGE_VOTE_REPLY, 5, 1);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    rig_close(&rig);
}

/* ---- early PreVote (C5) --------------------------------------------------------------------------- */

static void lose_leader(struct rig *rig)
{
    struct raft_message heartbeat = rig_heartbeat(rig, 3, 1, 0, 0);
    rig_receive(rig, &heartbeat);
    rig_step(rig, (struct raft_event){.type = RAFT_EVENT_LEADER_LOST, .node = 3});
}

Test(raft_early_prevote, a_lost_leader_starts_a_pre_vote_within_25_ms)
{
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct rig rig;
        rig_open(&rig, &(struct rig_setup){.seed = seed});
        lose_leader(&rig);
        cr_assert_eq(rig_view(&rig).leader, 0);
        cr_assert_leq(rig.update->timer_at_ms, rig.now_ms + 25);
        rig_tick(&rig, 25);
        cr_assert_eq(rig_view(&rig).role, RAFT_PRE_CANDIDATE);
        rig_close(&rig);
    }
}

Test(raft_early_prevote, the_loss_of_somebody_else_starts_nothing)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    struct raft_message heartbeat = rig_heartbeat(&rig, 3, 1, 0, 0);
    rig_receive(&rig, &heartbeat);
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_LEADER_LOST, .node = 2});
    cr_assert_eq(rig_view(&rig).leader, 3);
    rig_tick(&rig, 30);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    rig_close(&rig);
}

Test(raft_early_prevote, a_voter_that_hears_the_leader_is_asked_again_after_25_ms)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    lose_leader(&rig);
    rig_tick(&rig, 25);
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_PREVOTE_REPLY, 2, 1);
    m.refusal = RAFT_REFUSED_HEARS_LEADER;
    m.vote_reply.voter_term = 1;
    rig_receive(&rig, &m);
    cr_assert_eq(rig.update->timer_at_ms, rig.now_ms + 25);
    rig_tick(&rig, 25);
    cr_assert_eq(rig_sent_count(&rig, RAFT_MESSAGE_PREVOTE), 2);
    rig_close(&rig);
}

/* Nodes 1 and 2 stand at once, so each has voted for itself; node 3, the leader that was lost, never answers. */
Test(raft_early_prevote, a_split_is_tried_again_after_50_to_100_ms)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    lose_leader(&rig);
    rig_tick(&rig, 25);
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_PREVOTE_REPLY, 2, 2);
    m.vote_reply.voter_term = 1;
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).role, RAFT_CANDIDATE);
    rig_sync_vote(&rig);
    m = rig_message(&rig, RAFT_MESSAGE_VOTE_REPLY, 2, 2);
    m.refusal = RAFT_REFUSED_ALREADY_VOTED;
    rig_receive(&rig, &m);
    cr_assert_geq(rig.update->timer_at_ms, rig.now_ms + 50);
    cr_assert_leq(rig.update->timer_at_ms, rig.now_ms + 100);
    rig_close(&rig);
}

Test(raft_early_prevote, quick_retries_end_after_one_election_timeout)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    lose_leader(&rig);
    uint64_t lost_at_ms = rig.now_ms;
    uint32_t attempts = 0;
    while (rig.now_ms < lost_at_ms + RIG_TIMEOUT_MS_MAX + 25) {
        rig.now_ms = raft_timer_at_ms(rig.node);
        rig_tick(&rig, 0);
        attempts++;
    }
    cr_assert_geq(attempts, 6);
    cr_assert_leq(attempts, 15);
    cr_assert_geq(rig.update->timer_at_ms, rig.now_ms + RIG_TIMEOUT_MS_MIN, "ordinary time again");
    rig_close(&rig);
}

Test(raft_early_prevote, a_heartbeat_ends_it)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    lose_leader(&rig);
    rig_tick(&rig, 25);
    struct raft_message heartbeat = rig_heartbeat(&rig, 3, 1, 0, 0);
    rig_receive(&rig, &heartbeat);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    cr_assert_geq(rig.update->timer_at_ms, rig.now_ms + RIG_TIMEOUT_MS_MIN);
    rig_close(&rig);
}

Test(raft_campaign, the_first_leader_of_a_group_asks_again_quickly)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_CAMPAIGN});
    cr_assert_eq(rig_sent_count(&rig, RAFT_MESSAGE_PREVOTE), 2);
    cr_assert_leq(rig.update->timer_at_ms, rig.now_ms + 100);
    rig_close(&rig);
}
