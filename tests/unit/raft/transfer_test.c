/* Leadership transfer (thesis §3.10). */
#include "rig.h"

#include <criterion/criterion.h>

static enum raft_status transfer(struct rig *rig, raft_node_id to)
{
    return rig_try(rig, (struct raft_event){.type = RAFT_EVENT_TRANSFER, .node = to});
}

static struct rig open_leader(void)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 3, .learners = 1});
    rig_lead_and_commit(&rig);
    return rig;
}

Test(raft_transfer, a_target_that_has_everything_is_told_at_once)
{
    struct rig rig = open_leader();
    cr_assert_eq(transfer(&rig, 2), RAFT_OK);
    cr_assert_not_null(rig_sent_now(&rig, RAFT_MESSAGE_TIMEOUT_NOW, 2));
    cr_assert(rig_view(&rig).transferring);
    rig_close(&rig);
}

Test(raft_transfer, proposals_are_refused_meanwhile_and_taken_again_after_an_election_timeout)
{
    struct rig rig = open_leader();
    cr_assert_eq(transfer(&rig, 2), RAFT_OK);
    struct raft_event propose = {.type = RAFT_EVENT_PROPOSE, .propose = {.count = 1}};
    cr_assert_eq(rig_try(&rig, propose), RAFT_TRANSFERRING);
    for (uint32_t i = 0; i < RIG_TIMEOUT_MS_MAX / RIG_HEARTBEAT_MS; i++) {
        cr_assert(rig_view(&rig).transferring);
        struct raft_message m = rig_heartbeat_reply(&rig, 3, 1, 0, 1);
        rig_receive(&rig, &m);
        rig_tick(&rig, RIG_HEARTBEAT_MS);
    }
    cr_assert_not(rig_view(&rig).transferring);
    cr_assert_eq(rig_try(&rig, propose), RAFT_OK);
    rig_close(&rig);
}

Test(raft_transfer, a_target_that_lacks_entries_is_caught_up_first)
{
    struct rig rig = open_leader();
    rig_propose(&rig, 3);
    cr_assert_eq(transfer(&rig, 2), RAFT_OK);
    cr_assert_null(rig_sent(&rig, RAFT_MESSAGE_TIMEOUT_NOW, 0));
    struct raft_message ack = rig_ack(&rig, 2, 1, 4);
    rig_receive(&rig, &ack);
    cr_assert_not_null(rig_sent(&rig, RAFT_MESSAGE_TIMEOUT_NOW, 2));
    rig_close(&rig);
}

Test(raft_transfer, a_lost_message_is_repeated_with_the_next_heartbeat)
{
    struct rig rig = open_leader();
    cr_assert_eq(transfer(&rig, 2), RAFT_OK);
    struct raft_message m = rig_heartbeat_reply(&rig, 3, 1, 0, 1);
    rig_receive(&rig, &m);
    cr_assert_null(rig_sent(&rig, RAFT_MESSAGE_TIMEOUT_NOW, 0));
    rig_tick(&rig, RIG_HEARTBEAT_MS);
    cr_assert_not_null(rig_sent(&rig, RAFT_MESSAGE_TIMEOUT_NOW, 2));
    rig_close(&rig);
}

Test(raft_transfer, without_a_name_the_follower_with_the_longest_log_is_chosen)
{
    struct rig rig = open_leader();
    rig_propose(&rig, 3);
    struct raft_message ack = rig_ack(&rig, 3, 1, 4);
    rig_receive(&rig, &ack);
    cr_assert_eq(transfer(&rig, 0), RAFT_OK);
    cr_assert_not_null(rig_sent(&rig, RAFT_MESSAGE_TIMEOUT_NOW, 3));
    rig_close(&rig);
}

Test(raft_transfer, learners_strangers_itself_and_the_dead_are_no_targets)
{
    struct rig rig = open_leader();
    cr_expect_eq(transfer(&rig, 4), RAFT_BAD_OPTIONS);
    cr_expect_eq(transfer(&rig, 9), RAFT_BAD_OPTIONS);
    cr_expect_eq(transfer(&rig, 1), RAFT_BAD_OPTIONS);
    rig.now_ms += RIG_TIMEOUT_MS_MAX;
    cr_expect_eq(transfer(&rig, 0), RAFT_BAD_OPTIONS);
    rig_close(&rig);
    rig_open(&rig, &(struct rig_setup){0});
    cr_expect_eq(transfer(&rig, 2), RAFT_NOT_LEADER);
    rig_close(&rig);
}

Test(raft_transfer, the_target_stands_at_once_and_overrides_stickiness)
{
    struct rig rig = rig_open_follower();
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_TIMEOUT_NOW, 2, 2);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).role, RAFT_CANDIDATE);
    cr_assert_eq(rig_view(&rig).term, 3);
    cr_assert(rig_sent_after_sync(&rig, RAFT_MESSAGE_VOTE, 3)->vote.transfer);
    rig_close(&rig);
}

Test(raft_transfer, an_old_or_foreign_order_starts_nothing)
{
    struct rig rig = rig_open_follower();
    struct raft_message old = rig_message(&rig, RAFT_MESSAGE_TIMEOUT_NOW, 2, 1);
    struct raft_message foreign = rig_message(&rig, RAFT_MESSAGE_TIMEOUT_NOW, 3, 2);
    rig_receive(&rig, &old);
    rig_receive(&rig, &foreign);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    cr_assert_eq(rig_view(&rig).term, 2);
    rig_close(&rig);
}

Test(raft_transfer, a_replica_without_a_vote_does_not_stand_on_order)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.has_no_vote = true, .hard = {.term = 2}});
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_TIMEOUT_NOW, 2, 2);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    rig_close(&rig);
}

/* The vote of the old leader is asked with the transfer flag, so it gives up at once. */
Test(raft_transfer, the_old_leader_votes_for_its_successor)
{
    struct rig rig = open_leader();
    cr_assert_eq(transfer(&rig, 2), RAFT_OK);
    struct raft_message m = rig_vote(&rig, RAFT_MESSAGE_VOTE, 2, 2, 1, 1);
    m.vote.transfer = true;
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    cr_assert_not(rig_view(&rig).transferring);
    cr_assert_eq(rig_sent_after_sync(&rig, RAFT_MESSAGE_VOTE_REPLY, 2)->refusal, RAFT_REFUSED_NOT);
    rig_close(&rig);
}
