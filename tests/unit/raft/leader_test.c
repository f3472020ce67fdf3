/* The leader: replication, counting, pipelining, CheckQuorum (Raft §5.3, §5.4.2; thesis §6.2, §10.2.1; PROTOCOL C3, C4). */
#include "rig.h"

#include <criterion/criterion.h>

static void ack_from(struct rig *rig, raft_node_id from, raft_index match)
{
    struct raft_message m = rig_ack(rig, from, rig_view(rig).term, match);
    rig_receive(rig, &m);
}

static void heard_from(struct rig *rig, raft_node_id from, raft_index match)
{
    struct raft_message m = rig_heartbeat_reply(rig, from, rig_view(rig).term, 0, match);
    rig_receive(rig, &m);
}

/* ---- counting ------------------------------------------------------------------------------------- */

Test(raft_commit, an_entry_is_committed_once_a_majority_has_it_durably)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 5});
    rig_lead(&rig);
    ack_from(&rig, 2, 1);
    ack_from(&rig, 3, 1);
    cr_assert_eq(rig.update->commit_index, 0, "two followers; the own disk has it not");
    rig_durable(&rig, 1);
    cr_assert_eq(rig.update->commit_index, 1);
    rig_close(&rig);
}

/* Thesis §10.2.1: the leader may commit before its own write is done, if a majority of the others has the entry. */
Test(raft_commit, followers_alone_may_be_the_majority)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead(&rig);
    ack_from(&rig, 2, 1);
    ack_from(&rig, 3, 1);
    cr_assert_eq(rig.update->commit_index, 1);
    cr_assert_eq(rig_view(&rig).durable_index, 0);
    rig_close(&rig);
}

/* B1, Raft §5.4.2 and figure 8: only an entry of the own term is committed by counting, the older ones with it. */
Test(raft_commit, older_terms_are_committed_only_with_an_entry_of_the_own)
{
    struct raft_term_run runs[] = {{1, 2, 1}, {3, 4, 2}};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.runs = runs, .runs_count = 2, .hard = {.term = 2}});
    rig_lead(&rig);
    rig_durable(&rig, 7);
    ack_from(&rig, 2, 6);
    ack_from(&rig, 3, 6);
    cr_assert_eq(rig.update->commit_index, 0, "6@2 stands on all three");
    cr_assert_not(rig_view(&rig).own_term_committed);
    ack_from(&rig, 2, 7);
    cr_assert_eq(rig.update->commit_index, 7);
    cr_assert(rig_view(&rig).own_term_committed);
    rig_close(&rig);
}

Test(raft_commit, learners_do_not_count)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 3, .learners = 3});
    rig_lead(&rig);
    rig_durable(&rig, 1);
    ack_from(&rig, 4, 1);
    ack_from(&rig, 5, 1);
    ack_from(&rig, 6, 1);
    cr_assert_eq(rig.update->commit_index, 0);
    ack_from(&rig, 2, 1);
    cr_assert_eq(rig.update->commit_index, 1);
    rig_close(&rig);
}

Test(raft_commit, acks_of_another_term_identity_or_beyond_the_log_count_for_nothing)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 4}});
    rig_lead(&rig);
    rig_durable(&rig, 1);
    struct raft_message old_term = rig_ack(&rig, 2, 4, 1);
    struct raft_message other_epoch = rig_ack(&rig, 2, 5, 1);
    other_epoch.from.epoch = 99;
    struct raft_message beyond = rig_ack(&rig, 2, 5, 50);
    rig_receive(&rig, &old_term);
    rig_receive(&rig, &other_epoch);
    rig_receive(&rig, &beyond);
    cr_assert_eq(rig.update->commit_index, 0);
    rig_close(&rig);
}

Test(raft_commit, a_late_ack_does_not_lower_the_match)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead_and_commit(&rig);
    rig_propose(&rig, 5);
    ack_from(&rig, 2, 6);
    ack_from(&rig, 2, 2);
    struct raft_view view = rig_view(&rig);
    cr_assert_eq(rig_member(&view, 2)->match, 6);
    rig_close(&rig);
}

/* ---- sending -------------------------------------------------------------------------------------- */

Test(raft_replicate, a_new_leader_sends_its_no_op_and_a_heartbeat_to_all_at_once)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.learners = 1});
    rig_lead(&rig);
    cr_assert_eq(rig_sent_count(&rig, RAFT_MESSAGE_HEARTBEAT), 3);
    cr_assert_eq(rig_sent_count(&rig, RAFT_MESSAGE_APPEND), 3);
    const struct raft_message *m = rig_sent_now(&rig, RAFT_MESSAGE_APPEND, 2);
    cr_assert_eq(m->append.previous_index, 0);
    cr_assert_eq(m->append.first, 1);
    cr_assert_eq(m->append.last, 1);
    rig_close(&rig);
}

Test(raft_replicate, proposals_leave_before_the_own_disk_has_them)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead_and_commit(&rig);
    rig_propose(&rig, 3);
    cr_assert_eq(rig.update->append.source, RAFT_APPEND_PROPOSED);
    cr_assert_eq(rig.update->append.first, 2);
    cr_assert_eq(rig.update->append.last, 4);
    const struct raft_message *m = rig_sent_now(&rig, RAFT_MESSAGE_APPEND, 3);
    cr_assert_eq(m->append.previous_index, 1);
    cr_assert_eq(m->append.previous_term, 1);
    cr_assert_eq(m->append.last, 4);
    cr_assert_eq(m->append.commit_index, 1);
    rig_close(&rig);
}

Test(raft_replicate, appends_are_pipelined_up_to_the_window)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.append_inflight_max = 3, .append_entries_max = 2});
    rig_lead_and_commit(&rig);
    rig_propose(&rig, 20);
    cr_assert_eq(rig_sent_count(&rig, RAFT_MESSAGE_APPEND), 6, "three to each of two");
    struct raft_view view = rig_view(&rig);
    cr_assert_eq(rig_member(&view, 2)->inflight, 3);
    cr_assert_eq(rig_member(&view, 2)->next, 8);
    ack_from(&rig, 2, 3);
    cr_assert_eq(rig_sent_count(&rig, RAFT_MESSAGE_APPEND), 1, "one place is free");
    cr_assert_eq(rig_sent_now(&rig, RAFT_MESSAGE_APPEND, 2)->append.first, 8);
    rig_close(&rig);
}

Test(raft_replicate, an_update_without_room_goes_on_with_the_next)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 15,
                                       .append_inflight_max = RAFT_INFLIGHT_MAX,
                                       .append_entries_max = 1});
    rig_lead_and_commit(&rig);
    rig_propose(&rig, 30);
    uint32_t sent = rig_sent_count(&rig, RAFT_MESSAGE_APPEND);
    for (uint32_t i = 0; i < 20 && rig.update->timer_at_ms == rig.now_ms; i++) {
        cr_assert_leq(rig.update->messages_now_count, RAFT_MESSAGES_MAX);
        rig_tick(&rig, 0);
        sent += rig_sent_count(&rig, RAFT_MESSAGE_APPEND);
    }
    cr_assert_eq(sent, 14 * 30);
    cr_assert_gt(rig.update->timer_at_ms, rig.now_ms);
    rig_close(&rig);
}

Test(raft_replicate, nobody_but_the_leader_takes_proposals)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    enum raft_status status =
        rig_try(&rig, (struct raft_event){.type = RAFT_EVENT_PROPOSE, .propose = {.count = 1}});
    cr_assert_eq(status, RAFT_NOT_LEADER);
    cr_assert_eq(rig.update->append.source, RAFT_APPEND_NONE);
    cr_assert_eq(rig_view(&rig).last_index, 0);
    rig_close(&rig);
}

Test(raft_replicate, a_lost_append_is_found_by_an_empty_one)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead_and_commit(&rig);
    rig_propose(&rig, 3);
    ack_from(&rig, 3, 4);
    uint32_t questions = 0;
    for (uint32_t i = 0; i < 4; i++) {
        heard_from(&rig, 2, 1);
        rig_tick(&rig, RIG_HEARTBEAT_MS);
        const struct raft_message *m = rig_sent_now(&rig, RAFT_MESSAGE_APPEND, 2);
        cr_assert_null(rig_sent_now(&rig, RAFT_MESSAGE_APPEND, 3), "nothing is missing there");
        if (m == NULL) continue;
        questions++;
        cr_assert_eq(m->append.previous_index, 4);
        cr_assert_eq(m->append.last, 4, "no entry is sent on suspicion");
    }
    cr_assert_geq(questions, 1);
    struct raft_message refused = rig_ack(&rig, 2, 1, 1);
    refused.refusal = RAFT_REFUSED_LOG_GAP;
    refused.append_reply.request_index = 4;
    refused.append_reply.hint_index = 1;
    refused.append_reply.hint_term = 1;
    rig_receive(&rig, &refused);
    const struct raft_message *m = rig_sent_now(&rig, RAFT_MESSAGE_APPEND, 2);
    cr_assert_eq(m->append.first, 2);
    cr_assert_eq(m->append.last, 4);
    rig_close(&rig);
}

Test(raft_replicate, late_copies_of_a_refusal_move_nothing)
{
    struct raft_term_run runs[] = {{1, 9, 1}};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.runs = runs, .runs_count = 1, .hard = {.term = 1}});
    rig_lead(&rig);
    struct raft_message refused = rig_ack(&rig, 2, 2, 0);
    refused.refusal = RAFT_REFUSED_LOG_GAP;
    refused.append_reply.request_index = 9;
    refused.append_reply.hint_index = 4;
    refused.append_reply.hint_term = 1;
    rig_receive(&rig, &refused);
    cr_assert_eq(rig_sent_now(&rig, RAFT_MESSAGE_APPEND, 2)->append.first, 5);
    rig_receive(&rig, &refused);
    cr_assert_null(rig_sent_now(&rig, RAFT_MESSAGE_APPEND, 2), "the probe is at 4 now");
    ack_from(&rig, 2, 10);
    rig_receive(&rig, &refused);
    struct raft_view view = rig_view(&rig);
    cr_assert_eq(rig_member(&view, 2)->state, RAFT_PROGRESS_REPLICATE);
    cr_assert_eq(rig_member(&view, 2)->match, 10);
    rig_close(&rig);
}

Test(raft_replicate, after_a_partial_send_the_rest_follows_at_once)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead_and_commit(&rig);
    rig_propose(&rig, 10);
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_APPEND_CUT, .cut = {.to = 2, .last = 4}});
    const struct raft_message *m = rig_sent_now(&rig, RAFT_MESSAGE_APPEND, 2);
    cr_assert_eq(m->append.first, 5);
    cr_assert_eq(m->append.last, 11);
    rig_close(&rig);
}

Test(raft_replicate, after_a_send_of_nothing_the_leader_waits_for_bytes_to_move)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead_and_commit(&rig);
    rig_propose(&rig, 10);
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_APPEND_CUT, .cut = {.to = 2, .last = 1}});
    cr_assert_null(rig_sent_now(&rig, RAFT_MESSAGE_APPEND, 2), "no loop with a dead connection");
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_BULK_MOVED, .node = 2});
    cr_assert_eq(rig_sent_now(&rig, RAFT_MESSAGE_APPEND, 2)->append.first, 2);
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_APPEND_CUT, .cut = {.to = 2, .last = 1}});
    heard_from(&rig, 2, 1);
    rig_tick(&rig, RIG_HEARTBEAT_MS);
    cr_assert_eq(rig_sent_now(&rig, RAFT_MESSAGE_APPEND, 2)->append.first, 2, "or a heartbeat");
    rig_close(&rig);
}

/* "The leader keeps track of the highest index it knows to be committed, and includes that index in future
 * AppendEntries RPCs (including heartbeats)" (§5.3); and a follower that serves reads hears it at once. */
Test(raft_replicate, commit_news_travel_at_once_and_once)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead_and_commit(&rig);
    rig_propose(&rig, 1);
    rig_durable(&rig, 2);
    ack_from(&rig, 2, 2);
    const struct raft_message *m = rig_sent_now(&rig, RAFT_MESSAGE_HEARTBEAT, 2);
    cr_assert_not_null(m);
    cr_assert_eq(m->heartbeat.commit_index, 2);
    cr_assert_null(rig_sent_now(&rig, RAFT_MESSAGE_HEARTBEAT, 3), "n3 cannot use it yet");
    ack_from(&rig, 3, 2);
    cr_assert_eq(rig_sent_now(&rig, RAFT_MESSAGE_HEARTBEAT, 3)->heartbeat.commit_index, 2);
    cr_assert_null(rig_sent_now(&rig, RAFT_MESSAGE_HEARTBEAT, 2), "n2 knows");
    rig_close(&rig);
}

Test(raft_replicate, commit_news_ride_on_an_append_that_leaves_anyway)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.append_inflight_max = 1, .append_entries_max = 1});
    rig_lead_and_commit(&rig);
    rig_propose(&rig, 2);
    rig_durable(&rig, 3);
    ack_from(&rig, 2, 2);
    cr_assert_eq(rig_sent_now(&rig, RAFT_MESSAGE_APPEND, 2)->append.commit_index, 2);
    cr_assert_null(rig_sent_now(&rig, RAFT_MESSAGE_HEARTBEAT, 2));
    rig_close(&rig);
}

Test(raft_replicate, a_heartbeat_carries_a_commit_index_clamped_to_the_match)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 5});
    rig_lead(&rig);
    rig_durable(&rig, 1);
    ack_from(&rig, 2, 1);
    ack_from(&rig, 3, 1);
    cr_assert_eq(rig.update->commit_index, 1);
    rig_tick(&rig, RIG_HEARTBEAT_MS);
    cr_assert_eq(rig_sent_now(&rig, RAFT_MESSAGE_HEARTBEAT, 2)->heartbeat.commit_index, 1);
    cr_assert_eq(rig_sent_now(&rig, RAFT_MESSAGE_HEARTBEAT, 4)->heartbeat.commit_index, 0);
    rig_close(&rig);
}

Test(raft_replicate, a_follower_that_restarted_within_the_term_is_asked_again)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead_and_commit(&rig);
    rig_tick(&rig, RIG_HEARTBEAT_MS);
    heard_from(&rig, 2, 0);
    const struct raft_message *m = rig_sent_now(&rig, RAFT_MESSAGE_APPEND, 2);
    cr_assert_not_null(m);
    cr_assert_eq(m->append.previous_index, 1);
    cr_assert_eq(m->append.last, 1);
    cr_assert_eq(m->append.commit_index, 1);
    rig_close(&rig);
}

/* The base is where the own log begins; a follower that needs more waits for a snapshot. */
Test(raft_replicate, a_follower_below_the_floor_waits_for_a_snapshot)
{
    struct raft_term_run runs[64];
    for (uint32_t i = 0; i < 64; i++) {
        runs[i] = (struct raft_term_run){i + 1, 1, i + 1};
    }
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){
                       .runs = runs, .runs_count = 64, .hard = {.term = 64}, .commit_index = 60});
    rig_lead_and_commit(&rig);
    /* Step down and lead often enough that the trail forgets its oldest runs. */
    for (uint32_t i = 0; i < 220; i++) {
        struct raft_message m =
            rig_message(&rig, RAFT_MESSAGE_APPEND_REPLY, 2, rig_view(&rig).term + 1);
        m.refusal = RAFT_REFUSED_STALE_TERM;
        rig_receive(&rig, &m);
        rig_sync_vote(&rig);
        rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
        rig_lead_and_commit(&rig);
    }
    cr_assert_eq(raft_term_at(rig.node, 5), 0, "forgotten");
    struct raft_message newer =
        rig_message(&rig, RAFT_MESSAGE_APPEND_REPLY, 2, rig_view(&rig).term + 1);
    newer.refusal = RAFT_REFUSED_STALE_TERM;
    rig_receive(&rig, &newer);
    rig_sync_vote(&rig);
    rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
    rig_lead(&rig);

    struct raft_view view = rig_view(&rig);
    struct raft_message refused = rig_ack(&rig, 2, view.term, 0);
    refused.refusal = RAFT_REFUSED_LOG_GAP;
    refused.append_reply.request_index = view.last_index - 1;
    refused.append_reply.hint_index = 5;
    refused.append_reply.hint_term = 5;
    rig_receive(&rig, &refused);
    cr_assert_null(rig_sent(&rig, RAFT_MESSAGE_APPEND, 2));
    view = rig_view(&rig);
    cr_assert_eq(rig_member(&view, 2)->state, RAFT_PROGRESS_SNAPSHOT);
    for (uint32_t i = 0; i < 5; i++) {
        heard_from(&rig, 2, 0);
        rig_tick(&rig, RIG_HEARTBEAT_MS);
        cr_assert_null(rig_sent(&rig, RAFT_MESSAGE_APPEND, 2));
        cr_assert_not_null(rig_sent(&rig, RAFT_MESSAGE_HEARTBEAT, 2));
    }
    heard_from(&rig, 2, view.last_index - 2); /* it got the rest in another way */
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_APPEND, 2)->append.previous_index,
                 view.last_index - 2);
    rig_close(&rig);
}

/* ---- CheckQuorum ---------------------------------------------------------------------------------- */

Test(raft_check_quorum, a_leader_without_answers_gives_up_after_an_election_timeout)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead_and_commit(&rig);
    rig_tick(&rig, RIG_TIMEOUT_MS_MAX - 1);
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    rig_tick(&rig, 1);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    cr_assert_eq(rig_view(&rig).term, 1, "the term stays");
    rig_close(&rig);
}

Test(raft_check_quorum, a_majority_of_answers_keeps_it)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 5, .learners = 2});
    rig_lead_and_commit(&rig);
    for (uint32_t i = 0; i < 100; i++) {
        heard_from(&rig, 2, 1);
        heard_from(&rig, 3, 1);
        rig_tick(&rig, RIG_HEARTBEAT_MS);
        cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    }
    for (uint32_t i = 0; i < 20; i++) { /* one voter and two learners are no majority of five */
        heard_from(&rig, 2, 1);
        heard_from(&rig, 6, 1);
        heard_from(&rig, 7, 1);
        rig_tick(&rig, RIG_HEARTBEAT_MS);
    }
    cr_assert_neq(rig_view(&rig).role, RAFT_LEADER);
    rig_close(&rig);
}

/* C4: heartbeats get through and appends do not. */
Test(raft_check_quorum, a_follower_that_lacks_entries_counts_only_while_something_moves)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead_and_commit(&rig);
    rig_propose(&rig, 1);
    uint64_t started_ms = rig.now_ms;
    while (rig_view(&rig).role == RAFT_LEADER && rig.now_ms < started_ms + 10000) {
        heard_from(&rig, 2, 1);
        heard_from(&rig, 3, 1);
        rig_tick(&rig, 10);
    }
    cr_assert_geq(rig.now_ms - started_ms, 2 * RIG_TIMEOUT_MS_MAX - 10);
    cr_assert_leq(rig.now_ms - started_ms, 2 * RIG_TIMEOUT_MS_MAX + 10);
    rig_close(&rig);
}

Test(raft_check_quorum, moving_bytes_count_while_the_match_stands)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead_and_commit(&rig);
    rig_propose(&rig, 1);
    for (uint32_t i = 0; i < 100; i++) {
        heard_from(&rig, 2, 1);
        rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_BULK_MOVED, .node = 2});
        rig_tick(&rig, RIG_HEARTBEAT_MS);
        cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    }
    rig_close(&rig);
}

Test(raft_check_quorum, a_follower_with_a_slow_disk_that_received_all_still_counts)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead_and_commit(&rig);
    rig_propose(&rig, 1);
    for (uint32_t i = 0; i < 100; i++) {
        heard_from(&rig, 2, 1);
        rig_tick(&rig, RIG_HEARTBEAT_MS);
        cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
        if (rig_sent_now(&rig, RAFT_MESSAGE_APPEND, 2) == NULL) continue;
        struct raft_message m = rig_ack(&rig, 2, 1, 1);
        m.append_reply.request_index = 2; /* it is there, not durable */
        rig_receive(&rig, &m);
    }
    rig_close(&rig);
}

/* C7: after a pause what was heard before it counts for nothing. */
Test(raft_check_quorum, after_a_time_gap_the_quorum_must_answer_anew)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead_and_commit(&rig);
    rig.now_ms += 5000;
    rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_TIME_GAP});
    cr_assert_eq(rig_sent_count(&rig, RAFT_MESSAGE_HEARTBEAT), 2, "asked at once");
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    rig_tick(&rig, RIG_TIMEOUT_MS_MAX - 1);
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    rig_tick(&rig, 1);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    rig_close(&rig);
}

Test(raft_check_quorum, a_sole_voter_never_gives_up)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.voters = 1, .learners = 1});
    rig_lead_and_commit(&rig);
    for (uint32_t i = 0; i < 50; i++) {
        rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
    }
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    rig_close(&rig);
}

Test(raft_check_quorum, the_timer_is_never_later_than_the_next_heartbeat)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){0});
    rig_lead_and_commit(&rig);
    for (uint32_t i = 0; i < 50; i++) {
        heard_from(&rig, 2, 1);
        cr_assert_leq(rig.update->timer_at_ms, rig.now_ms + RIG_HEARTBEAT_MS);
        rig.now_ms = rig.update->timer_at_ms;
        rig_tick(&rig, 0);
    }
    cr_assert_eq(rig_view(&rig).role, RAFT_LEADER);
    rig_close(&rig);
}
