/* Logs that begin behind a base (PROTOCOL S3). */
#include "rig.h"

#include <criterion/criterion.h>

#define N(id) RIG_NODE(id)

static enum raft_status compact(struct rig *rig, raft_index index, raft_term term)
{
    return rig_try(rig, (struct raft_event){.type = RAFT_EVENT_COMPACTED,
                                            .compacted = {.index = index, .term = term}});
}

static enum raft_status install(struct rig *rig, raft_index index, raft_term term,
                                const struct raft_configuration *configuration)
{
    return rig_try(rig, (struct raft_event){.type = RAFT_EVENT_INSTALLED,
                                            .installed = {.index = index,
                                                          .term = term,
                                                          .configuration = configuration,
                                                          .configuration_index = 0}});
}

/* n1 leads term 2 with log 1..10@1 11@2, all of it committed, known to be at 2; n3 has not answered an APPEND yet. */
static struct rig open_leader(void)
{
    static const struct raft_term_run run = {1, 10, 1};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 1}, .runs = &run, .runs_count = 1});
    rig_lead(&rig);
    rig_durable(&rig, 11);
    struct raft_message m = rig_ack(&rig, 2, 2, 11);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_view(&rig).commit_index, 11);
    return rig;
}

static void refuse(struct rig *rig, raft_node_id from, raft_index asked, raft_index hint)
{
    struct raft_message m = rig_message(rig, RAFT_MESSAGE_APPEND_REPLY, from, 2);
    m.refusal = RAFT_REFUSED_LOG_GAP;
    m.append_reply.request_index = asked;
    m.append_reply.hint_index = hint;
    rig_receive(rig, &m);
}

static struct raft_progress_view third(const struct rig *rig)
{
    struct raft_view view = rig_view(rig);
    return *rig_member(&view, 3);
}

/* ---- the own prefix goes --------------------------------------------------------------------------- */

Test(raft_base, entries_at_and_below_are_forgotten_but_the_term_of_the_base_is_known)
{
    struct rig rig = open_leader();
    cr_assert_eq(compact(&rig, 6, 1), RAFT_OK);
    cr_assert_eq(raft_term_at(rig.node, 5), 0);
    cr_assert_eq(raft_term_at(rig.node, 6), 1);
    cr_assert_eq(raft_term_at(rig.node, 7), 1);
    cr_assert_eq(raft_term_at(rig.node, 11), 2);
    cr_assert_eq(compact(&rig, 10, 1), RAFT_OK, "at the end of a term");
    cr_assert_eq(raft_term_at(rig.node, 11), 2);
    cr_assert_eq(compact(&rig, 11, 2), RAFT_OK, "all of it");
    cr_assert_eq(raft_term_at(rig.node, 11), 2);
    cr_assert_eq(compact(&rig, 3, 1), RAFT_OK, "an older base says nothing");
    cr_assert_eq(rig_view(&rig).last_index, 11);
    rig_propose(&rig, 2);
    cr_assert_eq(rig_view(&rig).last_index, 13);
    rig_close(&rig);
}

Test(raft_base, what_is_not_committed_is_never_compacted)
{
    struct rig rig = open_leader();
    rig_propose(&rig, 1);
    cr_assert_eq(compact(&rig, 12, 2), RAFT_BAD_OPTIONS);
    cr_assert_eq(compact(&rig, 9, 2), RAFT_BAD_OPTIONS, "nor what has another term");
    rig_close(&rig);
}

/* Bug class: a previous index that is gone is taken for a conflict, and the log is deleted. */
Test(raft_base, an_append_whose_previous_entry_is_gone_is_accepted_as_known)
{
    static const struct raft_term_run run = {1, 10, 1};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){
                       .hard = {.term = 1}, .runs = &run, .runs_count = 1, .commit_index = 8});
    cr_assert_eq(compact(&rig, 6, 1), RAFT_OK);
    struct raft_message m = rig_append(&rig, 2, 1, 3, 1, 9, 1, 8);
    rig_receive(&rig, &m);
    cr_assert_eq(rig.update->truncate_from, 0);
    cr_assert_eq(rig.update->append.first, 11);
    cr_assert_eq(rig.update->append.last, 12);
    rig_close(&rig);
}

/* ---- a member that needs more than the log has ------------------------------------------------------- */

Test(raft_base, a_member_below_the_base_is_named_once)
{
    struct rig rig = open_leader();
    cr_assert_eq(compact(&rig, 6, 1), RAFT_OK);
    refuse(&rig, 3, 10, 5);
    cr_assert_eq(rig.update->snapshots_count, 1);
    cr_assert_eq(rig.update->snapshots[0].to.node, 3);
    cr_assert_eq(rig.update->snapshots[0].at_least, 6);
    cr_assert_eq(third(&rig).state, RAFT_PROGRESS_SNAPSHOT);
    rig_propose(&rig, 1);
    cr_assert_null(rig_sent(&rig, RAFT_MESSAGE_APPEND, 3));
    struct raft_message m = rig_heartbeat_reply(&rig, 2, 2, 0, 11);
    rig_receive(&rig, &m);
    rig_tick(&rig, RIG_HEARTBEAT_MS);
    cr_assert_eq(rig.update->snapshots_count, 0);
    cr_assert_not_null(rig_sent(&rig, RAFT_MESSAGE_HEARTBEAT, 3));
    rig_close(&rig);
}

Test(raft_base, a_member_at_the_base_gets_the_log)
{
    struct rig rig = open_leader();
    cr_assert_eq(compact(&rig, 6, 1), RAFT_OK);
    refuse(&rig, 3, 10, 6);
    cr_assert_eq(rig.update->snapshots_count, 0);
    const struct raft_message *m = rig_sent(&rig, RAFT_MESSAGE_APPEND, 3);
    cr_assert_eq(m->append.previous_index, 6);
    cr_assert_eq(m->append.previous_term, 1);
    rig_close(&rig);
}

static struct rig open_waiting(void)
{
    struct rig rig = open_leader();
    cr_assert_eq(compact(&rig, 6, 1), RAFT_OK);
    refuse(&rig, 3, 10, 0);
    cr_assert_eq(third(&rig).state, RAFT_PROGRESS_SNAPSHOT);
    return rig;
}

static void sent(struct rig *rig, raft_index index, bool ok)
{
    rig_step(rig, (struct raft_event){
                      .type = RAFT_EVENT_SNAPSHOT_SENT,
                      .snapshot_sent = {.to = rig_replica(3), .index = index, .ok = ok}});
}

Test(raft_base, one_that_failed_is_asked_for_again_with_the_next_heartbeat)
{
    struct rig rig = open_waiting();
    sent(&rig, 0, false);
    cr_assert_eq(rig.update->snapshots_count, 0);
    rig_tick(&rig, RIG_HEARTBEAT_MS);
    cr_assert_eq(rig.update->snapshots_count, 1);
    rig_tick(&rig, RIG_HEARTBEAT_MS);
    cr_assert_eq(rig.update->snapshots_count, 0);
    rig_close(&rig);
}

Test(raft_base, one_that_does_not_move_is_asked_for_again)
{
    struct rig rig = open_waiting();
    uint32_t asked = 0;
    for (uint32_t i = 0; i < 4 * RIG_TIMEOUT_MS_MAX / RIG_HEARTBEAT_MS; i++) {
        struct raft_message m = rig_heartbeat_reply(&rig, 2, 2, 0, 11);
        rig_receive(&rig, &m);
        rig_tick(&rig, RIG_HEARTBEAT_MS);
        asked += rig.update->snapshots_count;
    }
    cr_assert_eq(asked, 2);
    for (uint32_t i = 0; i < 4 * RIG_TIMEOUT_MS_MAX / RIG_HEARTBEAT_MS; i++) {
        rig_step(&rig, (struct raft_event){.type = RAFT_EVENT_BULK_MOVED, .node = 3});
        struct raft_message m = rig_heartbeat_reply(&rig, 2, 2, 0, 11);
        rig_receive(&rig, &m);
        rig_tick(&rig, RIG_HEARTBEAT_MS);
        cr_assert_eq(rig.update->snapshots_count, 0, "but not while bytes move");
    }
    rig_close(&rig);
}

/* n1 began behind its first six entries, for they were damaged; it knows of them again. */
Test(raft_base, who_was_to_get_one_is_probed_when_the_log_is_whole_again)
{
    static const struct raft_term_run front = {1, 6, 1}, other = {1, 5, 1};
    struct rig rig = open_waiting();
    struct raft_event event = {.type = RAFT_EVENT_RECALLED,
                               .recalled = {.runs = &other, .runs_count = 1}};
    cr_assert_eq(rig_try(&rig, event), RAFT_BAD_OPTIONS, "they do not lead to what is known");
    cr_assert_eq(third(&rig).state, RAFT_PROGRESS_SNAPSHOT);
    event.recalled.runs = &front;
    cr_assert_eq(rig_try(&rig, event), RAFT_OK);
    cr_assert_eq(raft_term_at(rig.node, 1), 1);
    cr_assert_eq(third(&rig).state, RAFT_PROGRESS_PROBE);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_APPEND, 3)->append.previous_index, 11);
    refuse(&rig, 3, 11, 2);
    cr_assert_eq(rig.update->snapshots_count, 0);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_APPEND, 3)->append.previous_index, 2);
    cr_assert_eq(rig_try(&rig, event), RAFT_OK, "what is known already says nothing");
    rig_close(&rig);
}

Test(raft_base, one_that_arrived_is_probed_behind)
{
    struct rig rig = open_waiting();
    sent(&rig, 6, true);
    cr_assert_eq(third(&rig).state, RAFT_PROGRESS_PROBE);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_APPEND, 3)->append.previous_index, 6);
    struct raft_message m = rig_ack(&rig, 3, 2, 11);
    rig_receive(&rig, &m);
    cr_assert_eq(third(&rig).state, RAFT_PROGRESS_REPLICATE);
    sent(&rig, 6, true);
    cr_assert_eq(third(&rig).state, RAFT_PROGRESS_REPLICATE, "a late report says nothing");
    rig_close(&rig);
}

Test(raft_base, an_ack_tells_of_the_base_as_well)
{
    struct rig rig = open_waiting();
    struct raft_message m = rig_ack(&rig, 3, 2, 6);
    rig_receive(&rig, &m);
    cr_assert_eq(third(&rig).match, 6);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_APPEND, 3)->append.first, 7);
    rig_close(&rig);
}

Test(raft_base, one_that_is_too_old_meanwhile_is_asked_for_again)
{
    struct rig rig = open_waiting();
    cr_assert_eq(compact(&rig, 9, 1), RAFT_OK);
    sent(&rig, 6, true);
    refuse(&rig, 3, 9, 6);
    cr_assert_eq(rig.update->snapshots_count, 1);
    cr_assert_eq(rig.update->snapshots[0].at_least, 9);
    rig_close(&rig);
}

/* ---- a base arrives ---------------------------------------------------------------------------------- */

/* n1 follows n2 in term 2 with log 1..4@1, of which 2 are known to be committed. */
static struct rig open_follower(void)
{
    static const struct raft_term_run run = {1, 4, 1};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){
                       .hard = {.term = 2}, .runs = &run, .runs_count = 1, .commit_index = 2});
    struct raft_message m = rig_heartbeat(&rig, 2, 2, 0, 0);
    rig_receive(&rig, &m);
    return rig;
}

Test(raft_base, a_log_that_lacks_the_base_starts_anew_behind_it)
{
    struct rig rig = open_follower();
    struct raft_configuration two = rig_configuration(N(1) | N(2), 0);
    cr_assert(raft_wants_base(rig.node, 9, 2));
    cr_assert_eq(install(&rig, 9, 2, &two), RAFT_OK);
    cr_assert(rig.update->log_replaced);
    cr_assert_eq(rig.update->commit_index, 9);
    struct raft_view view = rig_view(&rig);
    cr_assert_eq(view.last_index, 9);
    cr_assert_eq(view.last_term, 2);
    cr_assert_eq(view.durable_index, 9);
    cr_assert_eq(raft_configuration_of(rig.node)->members_count, 2);
    const struct raft_message *ack = rig_sent(&rig, RAFT_MESSAGE_APPEND_REPLY, 2);
    cr_assert_eq(ack->refusal, RAFT_REFUSED_NOT);
    cr_assert_eq(ack->append_reply.match_index, 9);
    struct raft_message m = rig_append(&rig, 2, 2, 9, 2, 1, 2, 9);
    rig_receive(&rig, &m);
    cr_assert_eq(rig.update->append.first, 10);
    rig_close(&rig);
}

/* Bug class: a base keeps a conflicting entry, and is sent again and again. */
Test(raft_base, a_log_with_another_term_at_the_base_starts_anew)
{
    struct rig rig = open_follower();
    struct raft_configuration three = rig_configuration(N(1) | N(2) | N(3), 0);
    cr_assert_eq(install(&rig, 3, 2, &three), RAFT_OK);
    cr_assert(rig.update->log_replaced);
    cr_assert_eq(rig_view(&rig).last_index, 3);
    cr_assert_eq(rig_view(&rig).last_term, 2);
    rig_close(&rig);
}

/* Bug class: an old snapshot truncates a newer log. */
Test(raft_base, a_log_that_has_the_base_is_kept)
{
    struct rig rig = open_follower();
    struct raft_configuration one = rig_configuration(N(1), 0);
    cr_assert_not(raft_wants_base(rig.node, 3, 1));
    cr_assert_eq(install(&rig, 3, 1, &one), RAFT_OK);
    cr_assert_not(rig.update->log_replaced);
    cr_assert_eq(rig_view(&rig).last_index, 4);
    cr_assert_eq(raft_configuration_of(rig.node)->members_count, 3, "with its configuration");
    rig_close(&rig);
}

Test(raft_base, an_old_base_changes_nothing)
{
    struct rig rig = open_follower();
    struct raft_configuration one = rig_configuration(N(1), 0);
    cr_assert_not(raft_wants_base(rig.node, 1, 2));
    cr_assert_eq(install(&rig, 1, 2, &one), RAFT_OK);
    cr_assert_not(rig.update->log_replaced);
    cr_assert_eq(rig_view(&rig).last_index, 4);
    cr_assert_eq(rig_view(&rig).commit_index, 2);
    rig_close(&rig);
}

Test(raft_base, what_no_base_can_be_is_refused)
{
    struct rig rig = open_follower();
    struct raft_configuration good = rig_configuration(N(1), 0);
    struct raft_configuration empty = {.members_count = 0};
    cr_expect_eq(install(&rig, 9, 0, &good), RAFT_BAD_OPTIONS);
    cr_expect_eq(install(&rig, 0, 2, &good), RAFT_BAD_OPTIONS);
    cr_expect_eq(install(&rig, 9, 2, &empty), RAFT_BAD_CONFIGURATION);
    struct raft_event above = {
        .type = RAFT_EVENT_INSTALLED,
        .installed = {.index = 9, .term = 2, .configuration = &good, .configuration_index = 10}};
    cr_expect_eq(rig_try(&rig, above), RAFT_BAD_OPTIONS);
    cr_expect_eq(rig_view(&rig).last_index, 4);
    rig_close(&rig);
}

Test(raft_base, a_write_of_the_old_log_says_nothing_about_the_new_one)
{
    struct rig rig = open_follower();
    struct raft_message m = rig_append(&rig, 2, 2, 4, 1, 8, 2, 0);
    rig_receive(&rig, &m); /* 5..12@2, not durable */
    struct raft_configuration three = rig_configuration(N(1) | N(2) | N(3), 0);
    m = rig_append(&rig, 3, 3, 4, 1, 2, 3, 0);
    rig_receive(&rig, &m); /* 5..6@3 instead */
    rig_sync_vote(&rig);
    cr_assert_eq(install(&rig, 9, 3, &three), RAFT_OK);
    cr_assert(rig.update->log_replaced);
    rig_step(&rig,
             (struct raft_event){.type = RAFT_EVENT_DURABLE, .durable = {.index = 12, .term = 2}});
    cr_assert_eq(rig_view(&rig).durable_index, 9);
    rig_step(&rig,
             (struct raft_event){.type = RAFT_EVENT_DURABLE, .durable = {.index = 6, .term = 3}});
    cr_assert_eq(rig_view(&rig).durable_index, 9);
    rig_close(&rig);
}

Test(raft_base, a_candidate_that_gets_one_follows_again)
{
    struct rig rig = open_follower();
    rig_tick(&rig, RIG_TIMEOUT_MS_MAX);
    cr_assert_eq(rig_view(&rig).role, RAFT_PRE_CANDIDATE);
    struct raft_configuration two = rig_configuration(N(2) | N(3), 0);
    cr_assert_eq(install(&rig, 9, 2, &two), RAFT_OK);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    rig_close(&rig);
}

Test(raft_base, the_term_of_a_base_is_seen)
{
    struct rig rig = open_follower();
    struct raft_configuration three = rig_configuration(N(1) | N(2) | N(3), 0);
    cr_assert_eq(install(&rig, 9, 5, &three), RAFT_OK);
    cr_assert_eq(rig_view(&rig).term, 5);
    cr_assert(rig.update->hard_state_changed);
    cr_assert_eq(rig.update->hard_state.term, 5);
    rig_close(&rig);
}

Test(raft_base, a_new_replica_that_knows_nobody_learns_its_group_from_the_base)
{
    struct raft_configuration nobody = {.members_count = 0};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.configuration = &nobody});
    rig_tick(&rig, 2 * RIG_TIMEOUT_MS_MAX);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER);
    struct raft_message m = rig_append(&rig, 2, 2, 9, 2, 0, 0, 9);
    rig_receive(&rig, &m);
    struct raft_configuration group = rig_configuration(N(2) | N(3), N(1));
    cr_assert_eq(install(&rig, 9, 2, &group), RAFT_OK);
    cr_assert_eq(raft_configuration_of(rig.node)->members_count, 3);
    rig_close(&rig);
}
