/* ReadIndex (thesis §6.4; PROTOCOL R1, R2). */
#include "rig.h"

#include <criterion/criterion.h>

static void confirm(struct rig *rig, raft_node_id from, uint64_t round)
{
    raft_term term = rig_view(rig).term;
    struct raft_message m = rig_heartbeat_reply(rig, from, term, round, 0);
    rig_receive(rig, &m);
}

static uint64_t round_sent(const struct rig *rig)
{
    const struct raft_message *m = rig_sent(rig, RAFT_MESSAGE_HEARTBEAT, 0);
    return m == NULL ? 0 : m->heartbeat.round;
}

/* ---- the leader ----------------------------------------------------------------------------------- */

Test(raft_read, a_round_starts_at_once_and_a_majority_confirms_it)
{
    struct rig rig = rig_open_leader(5, 0);
    rig_read(&rig, 70);
    uint64_t round = round_sent(&rig);
    cr_assert_neq(round, 0);
    cr_assert_eq(rig_sent_count(&rig, RAFT_MESSAGE_HEARTBEAT), 4);
    cr_assert_eq(rig.update->reads_count, 0);
    confirm(&rig, 2, round);
    cr_assert_eq(rig.update->reads_count, 0);
    confirm(&rig, 2, round);
    cr_assert_eq(rig.update->reads_count, 0, "one voter is one voter");
    confirm(&rig, 3, round);
    cr_assert_eq(rig.update->reads_count, 1);
    cr_assert_eq(rig.update->reads[0].id, 70);
    cr_assert_eq(rig.update->reads[0].refusal, RAFT_REFUSED_NOT);
    cr_assert_eq(rig.update->reads[0].index, 1);
    rig_close(&rig);
}

Test(raft_read, the_index_is_the_commit_index_when_the_round_starts)
{
    struct rig rig = rig_open_leader(3, 0);
    rig_propose(&rig, 4);
    rig_durable(&rig, 5);
    struct raft_message ack = rig_ack(&rig, 2, 1, 5);
    rig_receive(&rig, &ack);
    rig_read(&rig, 1);
    confirm(&rig, 3, round_sent(&rig));
    cr_assert_eq(rig.update->reads[0].index, 5);
    rig_close(&rig);
}

/* R1: reads that come while a round flies wait for the next, which starts when it is done. */
Test(raft_read, later_reads_share_the_next_round)
{
    struct rig rig = rig_open_leader(3, 0);
    rig_read(&rig, 1);
    uint64_t first = round_sent(&rig);
    rig_read(&rig, 2);
    cr_assert_eq(rig_sent_count(&rig, RAFT_MESSAGE_HEARTBEAT), 0);
    rig_read(&rig, 3);
    confirm(&rig, 2, first);
    cr_assert_eq(rig.update->reads_count, 1);
    cr_assert_eq(rig.update->reads[0].id, 1);
    uint64_t second = round_sent(&rig);
    cr_assert_gt(second, first);
    confirm(&rig, 3, first);
    cr_assert_eq(rig.update->reads_count, 0, "B5: a late answer to the first round");
    confirm(&rig, 3, second);
    cr_assert_eq(rig.update->reads_count, 2);
    rig_close(&rig);
}

Test(raft_read, answers_of_another_process_round_term_or_of_learners_confirm_nothing)
{
    struct rig rig = rig_open_leader(3, 2);
    rig_read(&rig, 1);
    uint64_t round = round_sent(&rig);
    struct raft_message other_process = rig_heartbeat_reply(&rig, 2, 1, round, 0);
    other_process.heartbeat_reply.process = RIG_PROCESS + 1;
    struct raft_message no_round = rig_heartbeat_reply(&rig, 2, 1, 0, 0);
    struct raft_message future = rig_heartbeat_reply(&rig, 2, 1, round + 1, 0);
    struct raft_message old_term = rig_heartbeat_reply(&rig, 2, 0, round, 0);
    struct raft_message refused = rig_heartbeat_reply(&rig, 2, 1, round, 0);
    refused.refusal = RAFT_REFUSED_STALE_TERM;
    struct raft_message other_epoch = rig_heartbeat_reply(&rig, 2, 1, round, 0);
    other_epoch.from.epoch = 0;
    struct raft_message learner = rig_heartbeat_reply(&rig, 4, 1, round, 0);
    struct raft_message other_learner = rig_heartbeat_reply(&rig, 5, 1, round, 0);
    const struct raft_message *all[] = {&other_process, &no_round,    &future,  &old_term,
                                        &refused,       &other_epoch, &learner, &other_learner};
    for (uint32_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        rig_receive(&rig, all[i]);
        cr_expect_eq(rig.update->reads_count, 0, "case %u", i);
    }
    confirm(&rig, 2, round);
    cr_expect_eq(rig.update->reads_count, 1);
    rig_close(&rig);
}

/* B4: before the own-term no-op is committed there is no read index; reads are held. */
Test(raft_read, reads_wait_for_the_no_op_and_then_start_a_round)
{
    struct raft_term_run runs[] = {{1, 5, 1}};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.runs = runs, .runs_count = 1, .hard = {.term = 1}});
    rig_lead(&rig);
    rig_read(&rig, 1);
    cr_assert_eq(round_sent(&rig), 0);
    rig_tick(&rig, RIG_HEARTBEAT_MS);
    cr_assert_eq(round_sent(&rig), 0);
    rig_durable(&rig, 6);
    struct raft_message ack = rig_ack(&rig, 2, 2, 6);
    rig_receive(&rig, &ack);
    uint64_t round = round_sent(&rig);
    cr_assert_neq(round, 0);
    confirm(&rig, 2, round);
    cr_assert_eq(rig.update->reads[0].index, 6);
    rig_close(&rig);
}

Test(raft_read, a_held_read_is_refused_when_the_no_op_does_not_commit_in_time)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead(&rig);
    rig_read(&rig, 1);
    uint64_t until_ms = rig.now_ms + RIG_TIMEOUT_MS_MAX;
    uint32_t ended = 0;
    while (rig.now_ms < until_ms) {
        struct raft_message m = rig_heartbeat_reply(&rig, 2, 1, 0, 0);
        rig_receive(&rig, &m);
        rig_tick(&rig, RIG_HEARTBEAT_MS);
        ended += rig.update->reads_count;
    }
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    cr_assert_eq(ended, 1);
    cr_assert_eq(rig.update->reads[0].refusal, RAFT_REFUSED_NO_OWN_ENTRY);
    rig_close(&rig);
}

Test(raft_read, a_sole_voter_confirms_itself_once_its_no_op_is_committed)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 1, .learners = 1});
    rig_lead(&rig);
    rig_read(&rig, 1);
    cr_assert_eq(rig.update->reads_count, 0);
    rig_durable(&rig, 1);
    cr_assert_eq(rig.update->reads_count, 1);
    cr_assert_eq(rig.update->reads[0].index, 1);
    rig_read(&rig, 2);
    cr_assert_eq(rig.update->reads_count, 1, "at once from now on");
    rig_close(&rig);
}

Test(raft_read, all_reads_are_refused_when_leadership_ends)
{
    struct rig rig = rig_open_leader(3, 0);
    rig_read(&rig, 1);
    rig_read(&rig, 2);
    struct raft_message m = rig_vote(&rig, RAFT_MESSAGE_VOTE, 2, 5, 99, 4);
    m.vote.transfer = true;
    rig_receive(&rig, &m);
    cr_assert_eq(rig.update->reads_count, 2);
    cr_assert_eq(rig.update->reads[0].refusal, RAFT_REFUSED_NOT_LEADER);
    cr_assert_eq(rig.update->reads[1].refusal, RAFT_REFUSED_NOT_LEADER);
    rig_close(&rig);
}

/* B6: a pause between the round and its answers makes the round worthless. */
Test(raft_read, a_time_gap_drops_the_round_and_asks_anew)
{
    struct rig rig = rig_open_leader(3, 0);
    rig_read(&rig, 1);
    uint64_t before = round_sent(&rig);
    rig.now_ms += 200;
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_TIME_GAP});
    uint64_t after = round_sent(&rig);
    cr_assert_gt(after, before);
    confirm(&rig, 2, before);
    cr_assert_eq(rig.update->reads_count, 0);
    confirm(&rig, 2, after);
    cr_assert_eq(rig.update->reads_count, 1);
    rig_close(&rig);
}

Test(raft_read, a_lost_round_is_asked_again_by_the_next_heartbeat)
{
    struct rig rig = rig_open_leader(3, 0);
    rig_read(&rig, 1);
    uint64_t round = round_sent(&rig);
    rig_tick(&rig, RIG_HEARTBEAT_MS);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_HEARTBEAT, 2)->heartbeat.round, round);
    rig_close(&rig);
}

Test(raft_read, more_reads_than_there_is_room_for_are_refused_as_busy)
{
    struct rig rig = rig_open_leader(3, 0);
    for (uint64_t id = 1; id <= RAFT_READS_MAX; id++) {
        rig_read(&rig, id);
    }
    cr_assert_eq(rig_try(&rig, (struct raft_event){.type = RAFT_EVENT_READ, .read = {.id = 9999}}),
                 RAFT_BUSY);
    cr_assert_eq(rig.update->reads_count, 0);
    uint64_t round = 1;
    for (uint64_t done = 0; done < RAFT_READS_MAX; round++) {
        confirm(&rig, 2, round);
        done += rig.update->reads_count;
        cr_assert_leq(round, 3);
    }
    rig_close(&rig);
}

Test(raft_read, a_joint_round_needs_both_halves)
{
    struct raft_configuration joint = {.members_count = 5, .joint = true};
    for (uint32_t i = 0; i < 5; i++) {
        joint.members[i] = (struct raft_member){
            .id = rig_replica(i + 1), .voter = i == 0 || i >= 3, .voter_old = i < 3};
    }
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.configuration = &joint});
    rig_lead(&rig);
    rig_durable(&rig, 1);
    struct raft_message ack = rig_ack(&rig, 2, 1, 1);
    rig_receive(&rig, &ack);
    cr_assert_eq(rig.update->commit_index, 0);
    ack = rig_ack(&rig, 4, 1, 1);
    rig_receive(&rig, &ack);
    cr_assert_eq(rig.update->commit_index, 1);
    rig_read(&rig, 1);
    uint64_t round = round_sent(&rig);
    confirm(&rig, 2, round);
    confirm(&rig, 3, round);
    cr_assert_eq(rig.update->reads_count, 0);
    confirm(&rig, 5, round);
    cr_assert_eq(rig.update->reads_count, 1);
    rig_close(&rig);
}

/* ---- requests of others at the leader ------------------------------------------------------------- */

static void ask(struct rig *rig, raft_node_id from, uint64_t process, uint64_t number)
{
    struct raft_message m = rig_message(rig, RAFT_MESSAGE_READ_INDEX, from, rig_view(rig).term);
    m.read_index.process = process;
    m.read_index.number = number;
    rig_receive(rig, &m);
}

Test(raft_read_request, a_request_joins_a_round_and_is_answered_with_its_number)
{
    struct rig rig = rig_open_leader(3, 1);
    ask(&rig, 4, 55, 8);
    uint64_t round = round_sent(&rig);
    cr_assert_neq(round, 0);
    confirm(&rig, 2, round);
    const struct raft_message *reply = rig_sent(&rig, RAFT_MESSAGE_READ_INDEX_REPLY, 4);
    cr_assert_not_null(reply);
    cr_assert_eq(reply->refusal, RAFT_REFUSED_NOT);
    cr_assert_eq(reply->read_index.process, 55);
    cr_assert_eq(reply->read_index.number, 8);
    cr_assert_eq(reply->read_index.index, 1);
    rig_close(&rig);
}

Test(raft_read_request, a_repeated_request_is_answered_once_and_a_newer_one_replaces_it)
{
    struct rig rig = rig_open_leader(3, 0);
    ask(&rig, 3, 55, 8);
    uint64_t round = round_sent(&rig);
    ask(&rig, 3, 55, 8);
    ask(&rig, 3, 55, 7);
    confirm(&rig, 2, round);
    cr_assert_eq(rig_sent_count(&rig, RAFT_MESSAGE_READ_INDEX_REPLY), 1);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_READ_INDEX_REPLY, 3)->read_index.number, 8);

    ask(&rig, 3, 55, 9);
    round = round_sent(&rig);
    ask(&rig, 3, 56, 1); /* it restarted: the round that flies began before this request */
    confirm(&rig, 2, round);
    cr_assert_eq(rig_sent_count(&rig, RAFT_MESSAGE_READ_INDEX_REPLY), 0);
    confirm(&rig, 2, round_sent(&rig));
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_READ_INDEX_REPLY, 3)->read_index.process, 56);
    rig_close(&rig);
}

Test(raft_read_request, followers_old_terms_and_strangers_are_refused)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 3}});
    ask(&rig, 2, 1, 1);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_READ_INDEX_REPLY, 2)->refusal,
                 RAFT_REFUSED_NOT_LEADER);
    struct raft_message old = rig_message(&rig, RAFT_MESSAGE_READ_INDEX, 2, 2);
    rig_receive(&rig, &old);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_READ_INDEX_REPLY, 2)->refusal,
                 RAFT_REFUSED_STALE_TERM);
    rig_lead_and_commit(&rig);
    ask(&rig, 9, 1, 1);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_READ_INDEX_REPLY, 9)->refusal,
                 RAFT_REFUSED_WRONG_IDENTITY);
    rig_close(&rig);
}

Test(raft_read_request, requests_are_refused_when_leadership_ends)
{
    struct rig rig = rig_open_leader(3, 0);
    ask(&rig, 3, 55, 8);
    rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_READ_INDEX_REPLY, 3)->refusal,
                 RAFT_REFUSED_NOT_LEADER);
    rig_close(&rig);
}

/* ---- the follower --------------------------------------------------------------------------------- */

static void answer(struct rig *rig, uint64_t process, uint64_t number, raft_index index)
{
    struct raft_message m = rig_message(rig, RAFT_MESSAGE_READ_INDEX_REPLY, 2, 2);
    m.read_index.process = process;
    m.read_index.number = number;
    m.read_index.index = index;
    rig_receive(rig, &m);
}

Test(raft_read_follower, a_read_without_a_leader_is_refused_at_once)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_read(&rig, 5);
    cr_assert_eq(rig.update->reads_count, 1);
    cr_assert_eq(rig.update->reads[0].id, 5);
    cr_assert_eq(rig.update->reads[0].refusal, RAFT_REFUSED_NOT_LEADER);
    rig_close(&rig);
}

Test(raft_read_follower, a_request_covers_what_came_before_it_and_the_rest_shares_the_next)
{
    struct rig rig = rig_open_follower();
    rig_read(&rig, 1);
    const struct raft_message *request = rig_sent_now(&rig, RAFT_MESSAGE_READ_INDEX, 2);
    cr_assert_not_null(request);
    cr_assert_eq(request->read_index.process, RIG_PROCESS);
    uint64_t number = request->read_index.number;
    rig_read(&rig, 2);
    rig_read(&rig, 3);
    cr_assert_null(rig_sent(&rig, RAFT_MESSAGE_READ_INDEX, 2));
    answer(&rig, RIG_PROCESS, number, 17);
    cr_assert_eq(rig.update->reads_count, 1);
    cr_assert_eq(rig.update->reads[0].index, 17);
    request = rig_sent_now(&rig, RAFT_MESSAGE_READ_INDEX, 2);
    cr_assert_eq(request->read_index.number, number + 1);
    answer(&rig, RIG_PROCESS, number, 17);
    cr_assert_eq(rig.update->reads_count, 0, "a copy of the first answer");
    answer(&rig, RIG_PROCESS, number + 1, 20);
    cr_assert_eq(rig.update->reads_count, 2);
    rig_close(&rig);
}

Test(raft_read_follower, answers_of_another_process_or_replica_are_ignored)
{
    struct rig rig = rig_open_follower();
    rig_read(&rig, 1);
    uint64_t number = rig_sent_now(&rig, RAFT_MESSAGE_READ_INDEX, 2)->read_index.number;
    answer(&rig, RIG_PROCESS + 1, number, 17);
    cr_assert_eq(rig.update->reads_count, 0);
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_READ_INDEX_REPLY, 3, 2);
    m.read_index.process = RIG_PROCESS;
    m.read_index.number = number;
    rig_receive(&rig, &m);
    cr_assert_eq(rig.update->reads_count, 0);
    rig_close(&rig);
}

Test(raft_read_follower, a_lost_request_is_repeated_under_its_number)
{
    struct rig rig = rig_open_follower();
    rig_read(&rig, 1);
    uint64_t number = rig_sent_now(&rig, RAFT_MESSAGE_READ_INDEX, 2)->read_index.number;
    rig.now_ms += 2 * RIG_HEARTBEAT_MS;
    struct raft_message heartbeat = rig_heartbeat(&rig, 2, 2, 0, 0);
    rig_receive(&rig, &heartbeat);
    const struct raft_message *again = rig_sent_now(&rig, RAFT_MESSAGE_READ_INDEX, 2);
    cr_assert_not_null(again);
    cr_assert_eq(again->read_index.number, number);
    rig_close(&rig);
}

Test(raft_read_follower, a_read_ends_after_an_election_timeout_even_under_a_live_leader)
{
    struct rig rig = rig_open_follower();
    rig_read(&rig, 1);
    uint32_t ended = 0;
    for (uint32_t i = 0; i < 20; i++) {
        struct raft_message heartbeat = rig_heartbeat(&rig, 2, 2, 0, 0);
        rig_receive(&rig, &heartbeat);
        rig_tick(&rig, RIG_HEARTBEAT_MS);
        ended += rig.update->reads_count;
    }
    cr_assert_eq(ended, 1);
    rig_read(&rig, 2);
    cr_assert_not_null(rig_sent_now(&rig, RAFT_MESSAGE_READ_INDEX, 2), "the next one is asked for");
    rig_close(&rig);
}

Test(raft_read_follower, reads_are_refused_when_the_leader_or_the_term_changes)
{
    struct rig rig = rig_open_follower();
    rig_read(&rig, 1);
    struct raft_message newer = rig_heartbeat(&rig, 3, 3, 0, 0);
    rig_receive(&rig, &newer);
    cr_assert_eq(rig.update->reads_count, 1);
    cr_assert_eq(rig.update->reads[0].refusal, RAFT_REFUSED_NOT_LEADER);
    rig_sync_vote(&rig);
    rig_read(&rig, 2);
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_LEADER_LOST, .node = 3});
    cr_assert_eq(rig.update->reads_count, 1);
    rig_close(&rig);
}

Test(raft_read_follower, a_refused_request_refuses_its_reads)
{
    struct rig rig = rig_open_follower();
    rig_read(&rig, 1);
    uint64_t number = rig_sent_now(&rig, RAFT_MESSAGE_READ_INDEX, 2)->read_index.number;
    struct raft_message m = rig_message(&rig, RAFT_MESSAGE_READ_INDEX_REPLY, 2, 2);
    m.refusal = RAFT_REFUSED_NOT_LEADER;
    m.read_index.process = RIG_PROCESS;
    m.read_index.number = number;
    rig_receive(&rig, &m);
    cr_assert_eq(rig.update->reads_count, 1);
    cr_assert_eq(rig.update->reads[0].refusal, RAFT_REFUSED_NOT_LEADER);
    rig_close(&rig);
}
