#include "rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct raft_term_run runs_memory[8];

static struct raft_options good_options(void)
{
    return (struct raft_options){.group = 1,
                                 .id = {1, 0},
                                 .election_timeout_ms_min = 300,
                                 .election_timeout_ms_max = 600,
                                 .heartbeat_ms = 50,
                                 .early_prevote_ms_max = 25,
                                 .append_entries_max = 10,
                                 .append_inflight_max = 4,
                                 .seed = 1,
                                 .process = 2,
                                 .trail_runs = runs_memory,
                                 .trail_runs_max = 8};
}

static struct raft_start good_start(void)
{
    return (struct raft_start){
        .configuration = {.members = {{.id = {1, 0}, .voter = true}}, .members_count = 1},
        .has_vote = true};
}

static enum raft_status init(const struct raft_options *options, const struct raft_start *start)
{
    struct raft_node *node = calloc(1, raft_node_bytes());
    enum raft_status status = raft_init(node, options, start);
    free(node);
    return status;
}

Test(raft_init, good_options_are_taken)
{
    struct raft_options options = good_options();
    struct raft_start start = good_start();
    cr_assert_eq(init(&options, &start), RAFT_OK);
}

Test(raft_init, a_heartbeat_of_a_fifth_of_the_timeout_is_refused)
{
    struct raft_options options = good_options();
    struct raft_start start = good_start();
    options.heartbeat_ms = 60;
    cr_assert_eq(init(&options, &start), RAFT_BAD_OPTIONS);
    options.heartbeat_ms = 59;
    cr_assert_eq(init(&options, &start), RAFT_OK);
    options.heartbeat_ms = 0;
    cr_assert_eq(init(&options, &start), RAFT_BAD_OPTIONS);
}

Test(raft_init, limits_out_of_range_are_refused)
{
    struct raft_start start = good_start();
    struct raft_options options = good_options();
    options.append_inflight_max = RAFT_INFLIGHT_MAX + 1;
    cr_expect_eq(init(&options, &start), RAFT_BAD_OPTIONS);
    options = good_options();
    options.append_inflight_max = 0;
    cr_expect_eq(init(&options, &start), RAFT_BAD_OPTIONS);
    options = good_options();
    options.append_entries_max = 0;
    cr_expect_eq(init(&options, &start), RAFT_BAD_OPTIONS);
    options = good_options();
    options.election_timeout_ms_max = 300;
    cr_expect_eq(init(&options, &start), RAFT_BAD_OPTIONS);
    options = good_options();
    options.process = 0;
    cr_expect_eq(init(&options, &start), RAFT_BAD_OPTIONS);
    options = good_options();
    options.id.node = 0;
    cr_expect_eq(init(&options, &start), RAFT_BAD_OPTIONS);
    options = good_options();
    options.trail_runs = NULL;
    cr_expect_eq(init(&options, &start), RAFT_BAD_OPTIONS);
}

Test(raft_init, a_log_with_a_hole_is_refused)
{
    struct raft_options options = good_options();
    struct raft_start start = good_start();
    struct raft_term_run runs[] = {{1, 3, 1}, {5, 1, 2}};
    start.runs = runs;
    start.runs_count = 2;
    cr_assert_eq(init(&options, &start), RAFT_BAD_OPTIONS);
    runs[1].first = 4;
    cr_assert_eq(init(&options, &start), RAFT_OK);
}

Test(raft_init, terms_that_fall_are_refused)
{
    struct raft_options options = good_options();
    struct raft_start start = good_start();
    struct raft_term_run runs[] = {{1, 3, 2}, {4, 1, 1}};
    start.runs = runs;
    start.runs_count = 2;
    cr_assert_eq(init(&options, &start), RAFT_BAD_OPTIONS);
}

Test(raft_init, a_commit_index_behind_the_log_is_refused)
{
    struct raft_options options = good_options();
    struct raft_start start = good_start();
    start.commit_index = 1;
    cr_assert_eq(init(&options, &start), RAFT_BAD_OPTIONS);
}

Test(raft_init, a_member_named_twice_is_refused)
{
    struct raft_options options = good_options();
    struct raft_start start = good_start();
    start.configuration.members[1] = start.configuration.members[0];
    start.configuration.members_count = 2;
    cr_assert_eq(init(&options, &start), RAFT_BAD_OPTIONS);
}

/* PROTOCOL V2: the term in use is the larger of store and log, and it is stored before anything rests on it. */
Test(raft_init, a_log_with_a_later_term_than_the_store_raises_the_term_and_clears_the_vote)
{
    struct raft_term_run runs[] = {{1, 3, 6}};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){
                       .runs = runs, .runs_count = 1, .hard = {.term = 4, .voted_for = {2, 4}}});
    cr_assert_eq(rig_view(&rig).term, 6);
    rig_tick(&rig, 0);
    cr_assert(rig.update->hard_state_changed);
    cr_assert_eq(rig.update->hard_state.term, 6);
    cr_assert_eq(rig.update->hard_state.voted_for.node, 0);
    rig_tick(&rig, 0);
    cr_assert_not(rig.update->hard_state_changed, "a hard state is told once");
    rig_close(&rig);
}

Test(raft_init, a_base_is_the_start_of_the_log_and_committed)
{
    struct raft_options options = good_options();
    struct raft_start start = good_start();
    struct raft_term_run runs[] = {{101, 5, 7}};
    start.base_index = 100;
    start.base_term = 6;
    start.runs = runs;
    start.runs_count = 1;
    start.commit_index = 100;
    struct raft_node *node = calloc(1, raft_node_bytes());
    cr_assert_eq(raft_init(node, &options, &start), RAFT_OK);
    struct raft_view view;
    raft_view(node, 0, &view);
    cr_expect_eq(view.commit_index, 100);
    cr_expect_eq(view.last_index, 105);
    cr_expect_eq(view.last_term, 7);
    cr_expect_eq(raft_term_at(node, 100), 6);
    cr_expect_eq(raft_term_at(node, 99), 0);
    cr_expect_eq(raft_term_at(node, 106), 0);
    free(node);
}

Test(raft_init, the_first_timer_lies_within_one_election_timeout)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct rig rig;
        rig_open(&rig, &(struct rig_setup){.seed = seed});
        uint64_t wait_ms = raft_timer_at_ms(rig.node) - rig.now_ms;
        cr_assert_geq(wait_ms, RIG_TIMEOUT_MS_MIN);
        cr_assert_lt(wait_ms, RIG_TIMEOUT_MS_MAX);
        rig_close(&rig);
    }
}
