/* Replicas whose disk lost entries (PROTOCOL D5), and members whose disk lied about syncs (D8). */
#include "rig.h"

#include <criterion/criterion.h>

static void damage(struct rig *rig, bool damaged)
{
    struct raft_event event = {.type = RAFT_EVENT_DAMAGED};
    event.damaged.stands_last = damaged;
    rig_step(rig, event);
}

static void expect_third_timeout_stands(struct rig *rig)
{
    for (uint32_t i = 0; i < 2; i++) {
        rig_tick(rig, RIG_TIMEOUT_MS_MAX);
        cr_assert_eq(rig_view(rig).role, RAFT_FOLLOWER);
        cr_assert_eq(rig_sent_count(rig, RAFT_MESSAGE_PREVOTE), 0);
    }
    rig_tick(rig, RIG_TIMEOUT_MS_MAX);
    cr_assert_eq(rig_view(rig).role, RAFT_PRE_CANDIDATE);
}

Test(raft_damaged, it_stands_only_when_nobody_has_won_for_three_timeouts)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 3});
    damage(&rig, true);
    expect_third_timeout_stands(&rig);
    rig_close(&rig);
}

Test(raft_damaged, a_leader_that_is_heard_gives_whole_voters_three_timeouts_again)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 3});
    damage(&rig, true);
    rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
    rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
    struct raft_message heartbeat = rig_heartbeat(&rig, 2, 1, 0, 0);
    rig_receive(&rig, &heartbeat);
    expect_third_timeout_stands(&rig);
    rig_close(&rig);
}

Test(raft_damaged, it_votes_and_stands_at_once_when_it_is_whole_again)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 3});
    damage(&rig, true);
    struct raft_message ask = rig_vote(&rig, RAFT_MESSAGE_PREVOTE, 2, 1, 0, 0);
    rig_receive(&rig, &ask);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_PREVOTE_REPLY, 2)->refusal, RAFT_REFUSED_NOT);
    damage(&rig, false);
    rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
    cr_assert_eq(rig_view(&rig).role, RAFT_PRE_CANDIDATE);
    rig_close(&rig);
}

Test(raft_damaged, the_only_voter_stands_as_ever)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 1});
    damage(&rig, true);
    rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
    cr_assert_neq(rig_view(&rig).role, RAFT_FOLLOWER);
    rig_close(&rig);
}

/* ---- D3 ------------------------------------------------------------------------------------------------- */

static void damage_from(struct rig *rig, raft_index from)
{
    struct raft_event event = {.type = RAFT_EVENT_DAMAGED};
    event.damaged.stands_last = from != 0;
    event.damaged.from = from;
    rig_step(rig, event);
}

Test(raft_damaged, no_answer_of_a_follower_counts_for_what_is_damaged)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 3});
    struct raft_message append = rig_append(&rig, 2, 1, 0, 0, 3, 1, 0);
    rig_receive(&rig, &append);
    rig_durable(&rig, 3);
    struct raft_message heartbeat = rig_heartbeat(&rig, 2, 1, 0, 1);
    rig_receive(&rig, &heartbeat);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_HEARTBEAT_REPLY, 2)->heartbeat_reply.match_index, 3);
    damage_from(&rig, 2);
    heartbeat = rig_heartbeat(&rig, 2, 1, 0, 2);
    rig_receive(&rig, &heartbeat);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_HEARTBEAT_REPLY, 2)->heartbeat_reply.match_index, 1);
    damage_from(&rig, 0);
    heartbeat = rig_heartbeat(&rig, 2, 1, 0, 3);
    rig_receive(&rig, &heartbeat);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_HEARTBEAT_REPLY, 2)->heartbeat_reply.match_index, 3);
    rig_close(&rig);
}

static void ack(struct rig *rig, raft_node_id from, raft_index match)
{
    struct raft_message m = rig_ack(rig, from, 1, match);
    rig_receive(rig, &m);
}

Test(raft_damaged, a_leader_does_not_count_its_own_damaged_copy)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 3});
    rig_lead_and_commit(&rig);
    rig_propose(&rig, 2);
    rig_durable(&rig, 3);
    damage_from(&rig, 3);
    ack(&rig, 2, 3);
    cr_assert_eq(rig_view(&rig).commit_index, 2);
    damage_from(&rig, 0);
    cr_assert_eq(rig_view(&rig).commit_index, 3, "it counts when it is whole again");
    rig_close(&rig);
}

/* ---- D8 ------------------------------------------------------------------------------------------------- */

static void regress(struct rig *rig, raft_node_id node, raft_index has)
{
    struct raft_event event = {.type = RAFT_EVENT_REGRESSED};
    event.regressed.of = rig_message(rig, RAFT_MESSAGE_APPEND_REPLY, node, 1).from;
    event.regressed.hint_index = has;
    event.regressed.hint_term = 1;
    rig_step(rig, event);
}

/* It leads, and node 2 has acknowledged 1..5, which are committed. */
static struct rig open_acknowledged(void)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 3});
    rig_lead_and_commit(&rig);
    rig_propose(&rig, 4);
    rig_durable(&rig, 5);
    ack(&rig, 2, 5);
    return rig;
}

Test(raft_regressed, a_match_that_went_back_counts_for_nothing_until_it_is_caught_up)
{
    struct rig rig = open_acknowledged();
    cr_assert_eq(rig_view(&rig).commit_index, 5);
    rig_propose(&rig, 1);
    rig_durable(&rig, 6);
    regress(&rig, 2, 2);
    struct raft_view view = rig_view(&rig);
    cr_assert(rig_member(&view, 2)->regressed);
    cr_assert_eq(rig_member(&view, 2)->match, 0, "nothing is believed");
    cr_assert_eq(view.commit_index, 5, "what is committed stays so");
    ack(&rig, 2, 4);
    cr_assert_eq(rig_view(&rig).commit_index, 5);
    ack(&rig, 2, 6);
    view = rig_view(&rig);
    cr_assert_not(rig_member(&view, 2)->regressed);
    cr_assert_eq(view.commit_index, 6);
    rig_close(&rig);
}

Test(raft_regressed, what_it_lost_is_sent_again)
{
    struct rig rig = open_acknowledged();
    regress(&rig, 2, 2);
    const struct raft_message *probe = rig_sent(&rig, RAFT_MESSAGE_APPEND, 2);
    cr_assert_not_null(probe);
    cr_assert_eq(probe->append.previous_index, 2);
    cr_assert_eq(probe->append.last, 5);
    rig_close(&rig);
}

static const struct raft_message *told(struct rig *rig)
{
    return rig_sent(rig, RAFT_MESSAGE_REGRESSED, 2);
}

Test(raft_regressed, it_is_told_what_is_committed_until_it_is_caught_up)
{
    struct rig rig = open_acknowledged();
    rig_tick(&rig, RIG_HEARTBEAT_MS);
    cr_assert_null(told(&rig), "nothing is lost");
    regress(&rig, 2, 2);
    cr_assert_not_null(told(&rig), "at once");
    cr_assert_eq(told(&rig)->regressed.index, 5);
    cr_assert_eq(told(&rig)->regressed.term, 1);
    cr_assert_null(rig_sent(&rig, RAFT_MESSAGE_REGRESSED, 3));
    rig_tick(&rig, RIG_HEARTBEAT_MS);
    cr_assert_not_null(told(&rig), "again with each heartbeat");
    ack(&rig, 2, 5);
    rig_tick(&rig, RIG_HEARTBEAT_MS);
    cr_assert_null(told(&rig));
    rig_close(&rig);
}

/* C7: it is heard as a leader by whoever gets it. */
Test(raft_regressed, a_leader_whose_disk_stands_still_tells_nobody)
{
    struct rig rig = open_acknowledged();
    regress(&rig, 2, 2);
    cr_assert_not_null(told(&rig));
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_DISK_STALLED});
    for (uint32_t i = 0; i < 3; i++) {
        rig_tick(&rig, RIG_HEARTBEAT_MS);
        cr_assert_null(told(&rig));
    }
    rig_close(&rig);
}

/* Node 1 follows node 2 in term 2 with entries 1..3 of term 1, and has acknowledged 1..6 of term 2 at most. */
static struct rig open_regressed(raft_index index, raft_term term)
{
    static const struct raft_term_run runs[] = {{.first = 1, .count = 3, .term = 1}};
    struct rig rig;
    rig_open(&rig,
             &(struct rig_setup){.voters = 3, .runs = runs, .runs_count = 1, .hard = {.term = 2}});
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_REGRESSED, 2, 2);
    m.regressed.index = index;
    m.regressed.term = term;
    rig_receive(&rig, &m);
    return rig;
}

/* After so long nobody is heard any more, so only the logs are judged. */
static enum raft_refusal ask(struct rig *rig, raft_index last_index, raft_term last_term)
{
    struct rig later = *rig;
    struct raft_message m = rig_vote(&later, RAFT_MESSAGE_PREVOTE, 3, 3, last_index, last_term);
    later.now_ms += RIG_TIMEOUT_MS_MIN;
    rig_receive(&later, &m);
    rig->now_ms = later.now_ms;
    return rig_sent(rig, RAFT_MESSAGE_PREVOTE_REPLY, 3)->refusal;
}

Test(raft_regressed, who_lost_what_it_acknowledged_votes_for_nobody_who_lacks_it)
{
    struct rig rig = open_regressed(6, 2);
    cr_assert_eq(rig_view(&rig).pledged_index, 6);
    cr_assert_eq(ask(&rig, 3, 1), RAFT_REFUSED_LOG_BEHIND, "as long as its own");
    cr_assert_eq(ask(&rig, 5, 2), RAFT_REFUSED_LOG_BEHIND);
    cr_assert_eq(ask(&rig, 9, 1), RAFT_REFUSED_LOG_BEHIND);
    cr_assert_eq(ask(&rig, 6, 2), RAFT_REFUSED_NOT, "who has it gets the vote");
    rig_close(&rig);
}

Test(raft_regressed, who_lost_what_it_acknowledged_stands_when_it_has_it_again)
{
    struct rig rig = open_regressed(6, 2);
    struct raft_message go = rig_message(&rig, RAFT_MESSAGE_TIMEOUT_NOW, 2, 2);
    for (uint32_t i = 0; i < 4; i++) {
        rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
        cr_assert_null(rig_sent(&rig, RAFT_MESSAGE_PREVOTE, 3));
    }
    rig_receive(&rig, &go);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    struct raft_message append = rig_append(&rig, 2, 2, 3, 1, 3, 2, 6);
    rig_receive(&rig, &append);
    rig_durable(&rig, 6);
    rig_receive(&rig, &go);
    cr_assert_eq(rig_view(&rig).role, RAFT_CANDIDATE);
    rig_close(&rig);
}

Test(raft_regressed, only_the_leader_of_the_term_tells_it_and_never_less_than_before)
{
    struct rig rig = open_regressed(6, 2);
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_REGRESSED, 2, 2);
    m.regressed.index = 9;
    m.regressed.term = 3; /* of no log that this leader can have */
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).pledged_index, 6);
    m.regressed.index = 8;
    m.regressed.term = 1;
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).pledged_index, 6);
    m = rig_message(&rig, RAFT_MESSAGE_REGRESSED, 3, 2);
    m.regressed.index = 8;
    m.regressed.term = 2;
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).pledged_index, 6, "another one leads");
    m = rig_message(&rig, RAFT_MESSAGE_REGRESSED, 3, 1);
    m.regressed.index = 8;
    m.regressed.term = 1;
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).pledged_index, 6, "of an older term");
    rig_close(&rig);
}
