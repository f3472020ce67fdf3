/* APPEND and HEARTBEAT at a follower (Raft §5.3; PROTOCOL C3, L7). */
#include "rig.h"

#include <criterion/criterion.h>

/* Log 1..3@1 4..6@2, term 2; node 2 leads. */
static const struct raft_term_run two_terms[] = {{1, 3, 1}, {4, 3, 2}};

static struct rig open_follower(void)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.runs = two_terms, .runs_count = 2, .hard = {.term = 2}});
    return rig;
}

static void receive_append(struct rig *rig, raft_term term, raft_index previous,
                           raft_term previous_term, uint64_t count, raft_term entries_term,
                           raft_index commit)
{
    struct raft_message m =
        rig_append(rig, 2, term, previous, previous_term, count, entries_term, commit);
    rig_receive(rig, &m);
}

static const struct raft_message *reply_of(const struct rig *rig)
{
    return rig_sent(rig, RAFT_MESSAGE_APPEND_REPLY, 2);
}

/* "If the follower does not find an entry in its log with the same index and term, then it refuses" (§5.3). */
Test(raft_append, a_gap_is_refused_with_a_hint)
{
    struct rig rig = open_follower();
    receive_append(&rig, 2, 9, 2, 1, 2, 0);
    cr_assert_eq(reply_of(&rig)->refusal, RAFT_REFUSED_LOG_GAP);
    cr_assert_eq(reply_of(&rig)->append_reply.request_index, 9);
    cr_assert_eq(reply_of(&rig)->append_reply.hint_index, 6);
    cr_assert_eq(reply_of(&rig)->append_reply.hint_term, 2);
    cr_assert_eq(rig.update->append.source, RAFT_APPEND_NONE);
    rig_close(&rig);
}

Test(raft_append, another_term_at_the_previous_index_is_refused_with_a_hint_below_that_term)
{
    struct rig rig = open_follower();
    receive_append(&rig, 3, 5, 1, 1, 3, 0);
    cr_assert_eq(reply_of(&rig)->refusal, RAFT_REFUSED_LOG_CONFLICT);
    cr_assert_eq(reply_of(&rig)->append_reply.hint_index, 3, "4..6 are of term 2, above 1");
    cr_assert_eq(reply_of(&rig)->append_reply.hint_term, 1);
    cr_assert_eq(rig.update->truncate_from, 0, "a refusal cuts nothing");
    rig_close(&rig);
}

Test(raft_append, new_entries_are_taken_and_acknowledged_only_when_durable)
{
    struct rig rig = open_follower();
    receive_append(&rig, 2, 6, 2, 4, 2, 0);
    cr_assert_eq(rig.update->append.source, RAFT_APPEND_RECEIVED);
    cr_assert_eq(rig.update->append.first, 7);
    cr_assert_eq(rig.update->append.last, 10);
    cr_assert_null(reply_of(&rig));
    rig_durable(&rig, 8);
    cr_assert_eq(reply_of(&rig)->append_reply.match_index, 8);
    rig_durable(&rig, 10);
    cr_assert_eq(reply_of(&rig)->append_reply.match_index, 10);
    rig_close(&rig);
}

Test(raft_append, entries_that_are_durable_already_are_acknowledged_at_once)
{
    struct rig rig = open_follower();
    receive_append(&rig, 2, 3, 1, 3, 2, 0);
    cr_assert_eq(rig.update->append.source, RAFT_APPEND_NONE);
    cr_assert_eq(reply_of(&rig)->refusal, RAFT_REFUSED_NOT);
    cr_assert_eq(reply_of(&rig)->append_reply.match_index, 6);
    rig_close(&rig);
}

/* An ack may name only what was shown to equal the leader's log in this term. */
Test(raft_append, an_ack_does_not_name_entries_behind_the_verified_ones)
{
    struct rig rig = open_follower();
    receive_append(&rig, 3, 2, 1, 1, 1, 0);
    rig_sync_vote(&rig);
    receive_append(&rig, 3, 2, 1, 1, 1, 0);
    cr_assert_eq(reply_of(&rig)->append_reply.match_index, 3, "4..6 may be another leader's");
    rig_close(&rig);
}

/* "If an existing entry conflicts with a new one ..., delete the existing entry and all that follow it" (figure 2). */
Test(raft_append, a_conflict_is_cut_with_all_behind_it)
{
    struct rig rig = open_follower();
    receive_append(&rig, 3, 4, 2, 1, 3, 0);
    cr_assert_eq(rig.update->truncate_from, 5);
    cr_assert_eq(rig.update->append.first, 5);
    cr_assert_eq(rig.update->append.last, 5);
    cr_assert_eq(rig_view(&rig).last_index, 5);
    cr_assert_eq(rig_view(&rig).last_term, 3);
    cr_assert_eq(rig_view(&rig).durable_index, 4);
    rig_close(&rig);
}

/* B16: an older or shorter copy that contradicts nothing cuts nothing. */
Test(raft_append, a_shorter_copy_cuts_nothing)
{
    struct rig rig = open_follower();
    receive_append(&rig, 2, 1, 1, 2, 1, 0);
    receive_append(&rig, 2, 3, 1, 1, 2, 0);
    cr_assert_eq(rig.update->truncate_from, 0);
    cr_assert_eq(rig_view(&rig).last_index, 6);
    rig_close(&rig);
}

Test(raft_append, only_the_part_behind_the_agreement_is_taken)
{
    struct rig rig = open_follower();
    struct raft_message m = rig_append(&rig, 2, 3, 2, 1, 0, 0, 0);
    m.append.last = 8;
    m.append.runs[0] = (struct raft_term_run){3, 1, 1};
    m.append.runs[1] = (struct raft_term_run){4, 2, 2};
    m.append.runs[2] = (struct raft_term_run){6, 3, 3};
    m.append.runs_count = 3;
    rig_receive(&rig, &m);
    cr_assert_eq(rig.update->truncate_from, 6);
    cr_assert_eq(rig.update->append.first, 6);
    cr_assert_eq(rig.update->append.last, 8);
    rig_close(&rig);
}

/* B13: the commit index is bounded by what was verified, not by the own last entry. */
Test(raft_append, the_commit_index_stops_at_the_last_verified_entry)
{
    struct rig rig = open_follower();
    receive_append(&rig, 3, 3, 1, 0, 0, 6);
    cr_assert_eq(rig.update->commit_index, 3);
    receive_append(&rig, 3, 3, 1, 2, 2, 6);
    cr_assert_eq(rig.update->commit_index, 5);
    rig_close(&rig);
}

Test(raft_append, a_heartbeat_commits_nothing_that_is_not_verified)
{
    struct rig rig = open_follower();
    struct raft_message heartbeat = rig_heartbeat(&rig, 2, 3, 6, 0);
    rig_receive(&rig, &heartbeat);
    cr_assert_eq(rig.update->commit_index, 0);
    receive_append(&rig, 3, 6, 2, 0, 0, 0);
    rig_receive(&rig, &heartbeat);
    cr_assert_eq(rig.update->commit_index, 6);
    rig_close(&rig);
}

Test(raft_append, verification_starts_anew_in_each_term)
{
    struct rig rig = open_follower();
    receive_append(&rig, 2, 6, 2, 0, 0, 0);
    cr_assert_eq(reply_of(&rig)->append_reply.match_index, 6);
    struct raft_message heartbeat = rig_heartbeat(&rig, 3, 5, 6, 1);
    rig_receive(&rig, &heartbeat);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_HEARTBEAT_REPLY, 3)->heartbeat_reply.match_index, 0);
    cr_assert_eq(rig.update->commit_index, 0);
    rig_close(&rig);
}

/* B12, B14: a late APPEND from before what is committed is agreed to, and takes nothing away. */
Test(raft_append, a_late_append_below_the_commit_index_changes_nothing)
{
    struct rig rig = open_follower();
    receive_append(&rig, 2, 6, 2, 0, 0, 5);
    cr_assert_eq(rig.update->commit_index, 5);
    receive_append(&rig, 2, 1, 1, 1, 1, 0);
    cr_assert_eq(rig.update->truncate_from, 0);
    cr_assert_eq(rig.update->commit_index, 5);
    cr_assert_eq(reply_of(&rig)->refusal, RAFT_REFUSED_NOT);
    rig_close(&rig);
}

/* D6: the same index committed under another term is divergence: never cut, always said. */
Test(raft_append, a_leader_that_contradicts_the_committed_log_is_refused_as_diverged)
{
    struct rig rig = open_follower();
    receive_append(&rig, 2, 6, 2, 0, 0, 5);
    receive_append(&rig, 4, 5, 3, 1, 4, 0);
    cr_assert_eq(reply_of(&rig)->refusal, RAFT_REFUSED_DIVERGED);
    cr_assert_eq(rig_view(&rig).last_index, 6);
    rig_close(&rig);
}

/* B10: entries of an older term's leader are not taken. */
/* The same, where the previous entry agrees: 5@1 behind 3@1, with 5@2 committed, up to an entry behind the end. */
Test(raft_append, entries_that_contradict_the_committed_log_are_refused_as_diverged)
{
    struct rig rig = open_follower();
    receive_append(&rig, 2, 6, 2, 0, 0, 6);
    receive_append(&rig, 4, 3, 1, 6, 1, 0);
    cr_assert_eq(reply_of(&rig)->refusal, RAFT_REFUSED_DIVERGED);
    cr_assert_eq(rig.update->truncate_from, 0);
    cr_assert_eq(rig.update->append.source, RAFT_APPEND_NONE);
    cr_assert_eq(rig.update->commit_index, 6);
    rig_close(&rig);
}

Test(raft_append, an_older_leader_is_refused_and_told_the_term)
{
    struct rig rig = open_follower();
    receive_append(&rig, 1, 6, 2, 1, 2, 6);
    cr_assert_eq(reply_of(&rig)->refusal, RAFT_REFUSED_STALE_TERM);
    cr_assert_eq(reply_of(&rig)->term, 2);
    cr_assert_eq(rig_view(&rig).last_index, 6);
    cr_assert_eq(rig.update->commit_index, 0);
    cr_assert_eq(rig_view(&rig).leader, 0);
    rig_close(&rig);
}

Test(raft_append, a_second_leader_of_one_term_is_not_believed)
{
    struct rig rig = open_follower();
    receive_append(&rig, 2, 6, 2, 0, 0, 0);
    struct raft_message m = rig_append(&rig, 3, 2, 3, 1, 1, 1, 0);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).leader, 2);
    cr_assert_eq(rig_view(&rig).last_index, 6);
    rig_close(&rig);
}

Test(raft_append, malformed_runs_are_ignored)
{
    struct rig rig = open_follower();
    struct raft_message good = rig_append(&rig, 2, 2, 6, 2, 3, 2, 0);
    struct raft_message bad[9];
    for (uint32_t i = 0; i < 9; i++) {
        bad[i] = good;
    }
    bad[0].append.first = 8;
    bad[1].append.runs[0].count = 2;
    bad[2].append.runs[0].count = UINT64_MAX;
    bad[3].append.runs[0].term = 3;
    bad[4].append.runs[0].term = 1;
    bad[5].append.runs_count = RAFT_MESSAGE_RUNS_MAX + 1;
    bad[6].append.runs[0].first = 8;
    bad[7].append.previous_index = UINT64_MAX;
    bad[7].append.first = 0;
    bad[8].append.runs_count = 0;
    for (uint32_t i = 0; i < 9; i++) {
        rig_receive(&rig, &bad[i]);
        cr_expect_eq(rig.update->append.source, RAFT_APPEND_NONE, "case %u", i);
        cr_expect_eq(rig_view(&rig).last_index, 6, "case %u", i);
        cr_expect_eq(rig.update->messages_now_count, 0, "case %u", i);
    }
    rig_receive(&rig, &good);
    cr_expect_eq(rig_view(&rig).last_index, 9);
    rig_close(&rig);
}

/* B30: the entry that was written is not the entry that stands there now. */
Test(raft_append, a_completion_of_a_cut_write_is_ignored)
{
    struct rig rig = open_follower();
    receive_append(&rig, 2, 6, 2, 4, 2, 0); /* 7..10@2, being written */
    receive_append(&rig, 3, 6, 2, 2, 3, 0); /* cut, 7..8@3 instead */
    cr_assert_eq(rig.update->truncate_from, 7);
    rig_sync_vote(&rig);
    for (raft_index index = 7; index <= 10; index++) {
        rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_DURABLE,
                                           .durable = {.index = index, .term = 2}});
        cr_assert_null(reply_of(&rig));
        cr_assert_eq(rig_view(&rig).durable_index, 6);
    }
    rig_durable(&rig, 8);
    cr_assert_eq(reply_of(&rig)->append_reply.match_index, 8);
    rig_close(&rig);
}

Test(raft_append, an_ack_under_a_new_term_waits_for_the_term)
{
    struct rig rig = open_follower();
    receive_append(&rig, 3, 6, 2, 1, 3, 0);
    rig_durable(&rig, 7);
    cr_assert_null(rig_sent_now(&rig, RAFT_MESSAGE_APPEND_REPLY, 2));
    cr_assert_not_null(rig_sent_after_sync(&rig, RAFT_MESSAGE_APPEND_REPLY, 2));
    rig_close(&rig);
}

/* A question without entries tells at once what arrived, also when the disk is slow. */
Test(raft_append, an_empty_append_is_answered_at_once_with_what_arrived)
{
    struct rig rig = open_follower();
    receive_append(&rig, 2, 6, 2, 4, 2, 0);
    receive_append(&rig, 2, 10, 2, 0, 0, 0);
    cr_assert_eq(reply_of(&rig)->refusal, RAFT_REFUSED_NOT);
    cr_assert_eq(reply_of(&rig)->append_reply.match_index, 6);
    cr_assert_eq(reply_of(&rig)->append_reply.request_index, 10);
    rig_close(&rig);
}

Test(raft_heartbeat, an_old_heartbeat_is_answered_with_the_newer_term)
{
    struct rig rig = open_follower();
    struct raft_message m = rig_heartbeat(&rig, 3, 1, 6, 4);
    rig_receive(&rig, &m);
    const struct raft_message *reply = rig_sent(&rig, RAFT_MESSAGE_HEARTBEAT_REPLY, 3);
    cr_assert_eq(reply->refusal, RAFT_REFUSED_STALE_TERM);
    cr_assert_eq(reply->term, 2);
    cr_assert_eq(rig.update->commit_index, 0);
    rig_close(&rig);
}

Test(raft_heartbeat, the_round_and_process_come_back)
{
    struct rig rig = open_follower();
    struct raft_message m = rig_heartbeat(&rig, 3, 2, 0, 41);
    m.heartbeat.process = 99;
    rig_receive(&rig, &m);
    const struct raft_message *reply = rig_sent(&rig, RAFT_MESSAGE_HEARTBEAT_REPLY, 3);
    cr_assert_eq(reply->heartbeat_reply.round, 41);
    cr_assert_eq(reply->heartbeat_reply.process, 99);
    rig_close(&rig);
}

Test(raft_heartbeat, a_burst_of_commit_news_is_answered_once_and_rounds_always)
{
    struct rig rig = open_follower();
    uint32_t replies = 0;
    for (uint32_t i = 0; i < 20; i++) {
        struct raft_message m = rig_heartbeat(&rig, 2, 2, 0, 0);
        rig_receive(&rig, &m);
        replies += rig_sent_count(&rig, RAFT_MESSAGE_HEARTBEAT_REPLY);
        rig.now_ms++;
    }
    cr_assert_eq(replies, 1);
    struct raft_message m = rig_heartbeat(&rig, 2, 2, 0, 8);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_sent_count(&rig, RAFT_MESSAGE_HEARTBEAT_REPLY), 1);
    rig_close(&rig);
}

Test(raft_heartbeat, the_pulse_of_a_leader_is_always_answered)
{
    struct rig rig = open_follower();
    for (uint32_t i = 0; i < 20; i++) {
        struct raft_message m = rig_heartbeat(&rig, 2, 2, 0, 0);
        rig_receive(&rig, &m);
        cr_assert_eq(rig_sent_count(&rig, RAFT_MESSAGE_HEARTBEAT_REPLY), 1);
        rig.now_ms += RIG_HEARTBEAT_MS;
    }
    rig_close(&rig);
}

/* B38: what recovery knew to be committed is never taken back. */
Test(raft_append, a_restarted_follower_keeps_the_commit_index_it_started_with)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){
                       .runs = two_terms, .runs_count = 2, .hard = {.term = 2}, .commit_index = 4});
    receive_append(&rig, 2, 2, 1, 1, 1, 2);
    cr_assert_eq(rig.update->commit_index, 4);
    cr_assert_eq(reply_of(&rig)->append_reply.match_index, 4, "committed counts as verified");
    rig_close(&rig);
}
