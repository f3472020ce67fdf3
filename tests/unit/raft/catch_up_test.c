/* Rounds of catching up (thesis §4.2.1): when is a learner worth a vote? */
#include "rig.h"

#include <criterion/criterion.h>

/* n1 leads alone; n2 learns. Entry 1 is the no-op. */
static struct rig open_leader(void)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 1, .learners = 1});
    rig_lead_and_commit(&rig);
    return rig;
}

static void ack(struct rig *rig, raft_index match)
{
    struct raft_message m = rig_ack(rig, 2, 1, match);
    rig_receive(rig, &m);
}

static bool caught_up(const struct rig *rig)
{
    return raft_is_caught_up(rig->node, rig_replica(2));
}

Test(raft_catch_up, a_member_that_never_answered_is_not)
{
    struct rig rig = open_leader();
    cr_assert_not(caught_up(&rig));
    rig_tick(&rig, 2 * RIG_TIMEOUT_MS_MAX);
    cr_assert_not(caught_up(&rig));
    rig_close(&rig);
}

Test(raft_catch_up, a_short_round_shows_it)
{
    struct rig rig = open_leader();
    rig_tick(&rig, RIG_TIMEOUT_MS_MIN - 1);
    ack(&rig, 1);
    cr_assert(caught_up(&rig));
    cr_assert(rig_view(&rig).members[1].caught_up);
    rig_close(&rig);
}

Test(raft_catch_up, a_long_round_does_not_but_the_short_one_after_it_does)
{
    struct rig rig = open_leader();
    ack(&rig, 1);
    rig_propose(&rig, 50);
    rig_tick(&rig, 5000);
    ack(&rig, 40);
    rig_propose(&rig, 2); /* meanwhile */
    cr_assert_not(caught_up(&rig));
    ack(&rig, 51);
    cr_assert_not(caught_up(&rig), "the round took five seconds");
    rig_tick(&rig, 20);
    ack(&rig, 53);
    cr_assert(caught_up(&rig), "the next one began with 53 entries and took 20 ms");
    rig_close(&rig);
}

/* Else a group without traffic would wait for ever. */
Test(raft_catch_up, one_that_lacks_nothing_is_however_long_it_took)
{
    struct rig rig = open_leader();
    ack(&rig, 1);
    rig_propose(&rig, 50);
    rig_tick(&rig, 5000);
    ack(&rig, 51);
    cr_assert(caught_up(&rig));
    rig_close(&rig);
}

Test(raft_catch_up, one_that_falls_behind_again_is_no_longer)
{
    struct rig rig = open_leader();
    ack(&rig, 1);
    rig_propose(&rig, 1);
    cr_assert(caught_up(&rig));
    rig_tick(&rig, RIG_TIMEOUT_MS_MIN);
    struct raft_message m = rig_heartbeat_reply(&rig, 2, 1, 0, 1);
    rig_receive(&rig, &m);
    cr_assert_not(caught_up(&rig), "heard, but the round is too long by now");
    rig_close(&rig);
}

Test(raft_catch_up, one_that_fell_silent_is_no_longer)
{
    struct rig rig = open_leader();
    ack(&rig, 1);
    cr_assert(caught_up(&rig));
    rig_tick(&rig, RIG_TIMEOUT_MS_MIN);
    cr_assert_not(caught_up(&rig));
    rig_close(&rig);
}

Test(raft_catch_up, strangers_and_other_epochs_are_not_and_only_a_leader_knows)
{
    struct rig rig = open_leader();
    ack(&rig, 1);
    cr_assert_not(raft_is_caught_up(rig.node, rig_replica(3)));
    struct raft_replica_id other = rig_replica(2);
    other.epoch++;
    cr_assert_not(raft_is_caught_up(rig.node, other));
    cr_assert(raft_is_caught_up(rig.node, rig_replica(1)));
    rig_close(&rig);
    rig_open(&rig, &(struct rig_setup){0});
    cr_assert_not(caught_up(&rig));
    rig_close(&rig);
}
