/* A disk that makes no progress (PROTOCOL C7). */
#include "rig.h"

#include <criterion/criterion.h>

static struct rig open_leader(void)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 3});
    rig_lead_and_commit(&rig);
    return rig;
}

static void stall(struct rig *rig)
{
    rig_step(rig, (struct raft_event){.type = RAFT_EVENT_DISK_STALLED});
}

static void answer(struct rig *rig, raft_node_id from)
{
    struct raft_message m = rig_heartbeat_reply(rig, from, 1, 0, 1);
    rig_receive(rig, &m);
}

Test(raft_disk_stalled, a_leader_hands_over_and_says_nothing_that_keeps_leadership)
{
    struct rig rig = open_leader();
    rig_propose(&rig, 1);
    struct raft_message ack = rig_ack(&rig, 3, 1, 2);
    rig_receive(&rig, &ack);
    stall(&rig);
    cr_assert(rig_view(&rig).transferring);
    cr_assert_not_null(rig_sent(&rig, RAFT_MESSAGE_TIMEOUT_NOW, 3), "to the one that has it all");
    rig_tick(&rig, RIG_HEARTBEAT_MS);
    cr_assert_null(rig_sent(&rig, RAFT_MESSAGE_HEARTBEAT, 0));
    cr_assert_not_null(rig_sent(&rig, RAFT_MESSAGE_TIMEOUT_NOW, 3));
    rig_close(&rig);
}

Test(raft_disk_stalled, a_leader_that_nobody_relieves_steps_down_and_does_not_stand)
{
    struct rig rig = open_leader();
    rig_propose(&rig, 1);
    stall(&rig);
    for (uint32_t i = 0; i < RIG_TIMEOUT_MS_MAX / RIG_HEARTBEAT_MS; i++) {
        cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
        answer(&rig, 2);
        answer(&rig, 3);
        rig_tick(&rig, RIG_HEARTBEAT_MS);
    }
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    for (uint32_t i = 0; i < 5; i++) {
        stall(&rig);
        rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
        cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    }
    rig_durable(&rig, 2);
    rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
    cr_assert_eq(rig_view(&rig).role, RAFT_PRE_CANDIDATE, "but as soon as the disk works");
    rig_close(&rig);
}

/* The report that would end it may never come: the write was cut, or its completion was superseded. */
Test(raft_disk_stalled, it_is_forgotten_when_it_is_not_told_again)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    stall(&rig);
    rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
    cr_assert_eq(rig_view(&rig).role, RAFT_PRE_CANDIDATE);
    rig_close(&rig);
}

Test(raft_disk_stalled, with_nobody_in_sight_it_steps_down_at_once)
{
    struct rig rig = open_leader();
    rig.now_ms += RIG_TIMEOUT_MS_MAX - 1;
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_TIME_GAP});
    rig.now_ms += 1;
    stall(&rig);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    cr_assert_eq(rig.update->traces[0].c, RAFT_STEP_DOWN_DISK_STALLED);
    rig_close(&rig);
}

Test(raft_disk_stalled, a_disk_that_works_again_keeps_a_leader_that_was_not_relieved)
{
    struct rig rig = open_leader();
    rig_propose(&rig, 1);
    stall(&rig);
    rig_durable(&rig, 2);
    for (uint32_t i = 0; i < RIG_TIMEOUT_MS_MAX / RIG_HEARTBEAT_MS; i++) {
        answer(&rig, 2);
        rig_tick(&rig, RIG_HEARTBEAT_MS);
    }
    cr_assert_not_null(rig_sent(&rig, RAFT_MESSAGE_HEARTBEAT, 2));
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    cr_assert_not(rig_view(&rig).transferring);
    rig_close(&rig);
}

Test(raft_disk_stalled, pre_votes_that_come_meanwhile_start_no_election)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_CAMPAIGN});
    stall(&rig);
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_PREVOTE_REPLY, 2, 1);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    cr_assert_eq(rig_view(&rig).term, 0);
    rig_close(&rig);
}

Test(raft_disk_stalled, the_only_voter_leads_on)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 1, .learners = 1});
    rig_lead_and_commit(&rig);
    stall(&rig);
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    rig_read(&rig, 1);
    cr_assert_eq(rig.update->reads_count, 1, "and serves reads");
    rig_close(&rig);
}
