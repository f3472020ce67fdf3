/* Configurations that come with the log: from the leader, and from recovery. */
#include "rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define N(id) RIG_NODE(id)

static struct raft_indexed_configuration at(raft_index index, uint32_t voters)
{
    return (struct raft_indexed_configuration){.index = index,
                                               .configuration = rig_configuration(voters, 0)};
}

/* Entries 1..5 of term 1 from n2; the fourth adds a voter. */
static struct raft_message five(const struct rig *rig,
                                const struct raft_indexed_configuration *configurations,
                                uint32_t count)
{
    struct raft_message m = rig_append(rig, 2, 1, 0, 0, 5, 1, 0);
    m.append.configurations = configurations;
    m.append.configurations_count = count;
    return m;
}

static uint32_t members(const struct rig *rig)
{
    return raft_configuration_of(rig->node)->members_count;
}

Test(raft_received_configuration, it_is_used_as_soon_as_it_is_in_the_log)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 1}});
    struct raft_indexed_configuration four = at(4, N(1) | N(2) | N(3) | N(4));
    struct raft_message m = five(&rig, &four, 1);
    rig_receive(&rig, &m);
    cr_assert_eq(members(&rig), 4);
    cr_assert_eq(rig_view(&rig).configuration_index, 4);
    cr_assert(rig_view(&rig).change_in_progress);
    rig_close(&rig);
}

Test(raft_received_configuration, a_second_copy_changes_nothing)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 1}});
    struct raft_indexed_configuration four = at(4, N(1) | N(2) | N(3) | N(4));
    struct raft_message m = five(&rig, &four, 1);
    rig_receive(&rig, &m);
    rig_receive(&rig, &m);
    cr_assert_eq(members(&rig), 4);
    cr_assert_eq(rig_view(&rig).configuration_index, 4);
    rig_close(&rig);
}

/* Bug class: an uncommitted configuration that is cut goes on counting votes. */
Test(raft_received_configuration, one_that_is_cut_is_given_up)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 1}});
    struct raft_indexed_configuration four = at(4, N(1) | N(2) | N(3) | N(4));
    struct raft_message m = five(&rig, &four, 1);
    rig_receive(&rig, &m);
    struct raft_message other = rig_append(&rig, 3, 2, 3, 1, 1, 2, 0);
    rig_receive(&rig, &other);
    cr_assert_eq(rig.update->truncate_from, 4);
    cr_assert_eq(members(&rig), 3);
    cr_assert_eq(rig_view(&rig).configuration_index, 0);
    rig_close(&rig);
}

Test(raft_received_configuration, one_that_is_cut_may_be_replaced_in_the_same_message)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 1}});
    struct raft_indexed_configuration four = at(4, N(1) | N(2) | N(3) | N(4));
    struct raft_message m = five(&rig, &four, 1);
    rig_receive(&rig, &m);
    struct raft_indexed_configuration two = at(5, N(1) | N(2));
    struct raft_message other = rig_append(&rig, 3, 2, 3, 1, 3, 2, 0);
    other.append.configurations = &two;
    other.append.configurations_count = 1;
    rig_receive(&rig, &other);
    cr_assert_eq(members(&rig), 2);
    cr_assert_eq(rig_view(&rig).configuration_index, 5);
    rig_close(&rig);
}

Test(raft_received_configuration, what_lies_among_known_entries_is_not_taken_twice)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 1}});
    struct raft_indexed_configuration both[] = {at(2, N(1) | N(2)), at(4, N(1) | N(2) | N(4))};
    struct raft_message m = five(&rig, both, 2);
    m.append.last = 3; /* a shorter copy comes first */
    m.append.runs[0].count = 3;
    m.append.configurations_count = 1;
    rig_receive(&rig, &m);
    cr_assert_eq(members(&rig), 2);
    m = five(&rig, both, 2);
    rig_receive(&rig, &m);
    cr_assert_eq(members(&rig), 3);
    cr_assert_eq(rig_view(&rig).configuration_index, 4);
    rig_close(&rig);
}

Test(raft_received_configuration, malformed_ones_make_the_message_count_for_nothing)
{
    struct raft_indexed_configuration good = at(4, N(1) | N(2));
    struct raft_indexed_configuration bad[5];
    for (uint32_t i = 0; i < 5; i++) {
        bad[i] = good;
    }
    bad[0].index = 6;
    bad[1].index = 0;
    bad[2].configuration.members[0].voter = bad[2].configuration.members[1].voter = false;
    bad[3].configuration.members_count = RAFT_MEMBERS_MAX + 1;
    bad[4].configuration.joint = true; /* and nobody in the old half */
    for (uint32_t i = 0; i < 5; i++) {
        struct rig rig;
        rig_open(&rig, &(struct rig_setup){.hard = {.term = 1}});
        struct raft_message m = five(&rig, &bad[i], 1);
        rig_receive(&rig, &m);
        cr_expect_eq(rig_view(&rig).last_index, 0, "case %u", i);
        rig_close(&rig);
    }
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 1}});
    struct raft_indexed_configuration twice[] = {good, good};
    struct raft_message m = five(&rig, twice, 2);
    rig_receive(&rig, &m);
    cr_expect_eq(rig_view(&rig).last_index, 0, "the same index twice");
    m = five(&rig, &good, RAFT_MESSAGE_CONFIGURATIONS_MAX + 1);
    rig_receive(&rig, &m);
    cr_expect_eq(rig_view(&rig).last_index, 0, "too many");
    rig_close(&rig);
}

/* All but the newest are committed, so no honest leader asks for this. */
Test(raft_received_configuration, a_cut_below_all_that_are_remembered_is_refused)
{
    struct raft_indexed_configuration history[RAFT_CONFIGURATIONS_MAX];
    for (uint32_t i = 0; i < RAFT_CONFIGURATIONS_MAX; i++) {
        history[i] = at(1 + i, N(1) | N(2) | N(3 + i));
    }
    struct raft_configuration newest = rig_configuration(N(1) | N(2) | N(3), 0);
    struct raft_term_run run = {1, 9, 1};
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.hard = {.term = 1},
                                       .configuration = &newest,
                                       .configuration_index = 8,
                                       .history = history,
                                       .history_count = RAFT_CONFIGURATIONS_MAX,
                                       .runs = &run,
                                       .runs_count = 1});
    struct raft_message m = rig_append(&rig, 2, 2, 1, 1, 1, 2, 0);
    rig_receive(&rig, &m);
    cr_assert_eq(rig.update->truncate_from, 0);
    cr_assert_eq(rig_sent(&rig, RAFT_MESSAGE_APPEND_REPLY, 2)->refusal, RAFT_REFUSED_DIVERGED);
    m = rig_append(&rig, 2, 2, 2, 1, 1, 2, 0);
    rig_receive(&rig, &m);
    cr_assert_eq(rig.update->truncate_from, 3);
    cr_assert_eq(rig_view(&rig).configuration_index, 2);
    rig_close(&rig);
}

Test(raft_received_configuration, recovery_gives_the_newest_and_what_came_before)
{
    struct raft_indexed_configuration before = at(2, N(1) | N(2));
    struct raft_configuration newest = rig_configuration(N(1) | N(2) | N(3), 0);
    struct raft_term_run run = {1, 4, 1};
    struct rig_setup setup = {.hard = {.term = 1},
                              .configuration = &newest,
                              .configuration_index = 4,
                              .history = &before,
                              .history_count = 1,
                              .runs = &run,
                              .runs_count = 1};
    struct rig rig;
    rig_open(&rig, &setup);
    cr_assert_eq(members(&rig), 3);
    struct raft_message m = rig_append(&rig, 2, 2, 3, 1, 1, 2, 0);
    rig_receive(&rig, &m);
    cr_assert_eq(members(&rig), 2);
    cr_assert_eq(rig_view(&rig).configuration_index, 2);
    rig_close(&rig);
}

Test(raft_received_configuration, recovery_without_what_a_cut_may_need_is_refused)
{
    struct raft_term_run memory[8];
    struct raft_options options = {.group = 1,
                                   .id = rig_replica(1),
                                   .election_timeout_ms_min = 300,
                                   .election_timeout_ms_max = 600,
                                   .heartbeat_ms = 50,
                                   .early_prevote_ms_max = 25,
                                   .append_entries_max = 10,
                                   .append_inflight_max = 4,
                                   .process = 2,
                                   .trail_runs = memory,
                                   .trail_runs_max = 8};
    struct raft_term_run run = {1, 4, 1};
    struct raft_indexed_configuration before[] = {at(0, N(1)), at(1, N(1) | N(2))};
    struct raft_start start = {.hard_state = {.term = 1},
                               .configuration = rig_configuration(N(1) | N(2) | N(3), 0),
                               .configuration_index = 3,
                               .runs = &run,
                               .runs_count = 1,
                               .has_vote = true};
    struct raft_node *node = calloc(1, raft_node_bytes());
    cr_expect_eq(raft_init(node, &options, &start), RAFT_BAD_OPTIONS, "nothing to go back to");
    start.commit_index = 3;
    cr_expect_eq(raft_init(node, &options, &start), RAFT_OK, "nor needed");
    start.commit_index = 0;
    start.history = before;
    start.history_count = 2;
    cr_expect_eq(raft_init(node, &options, &start), RAFT_OK);
    before[0].index = 1;
    cr_expect_eq(raft_init(node, &options, &start), RAFT_BAD_OPTIONS, "indexes rise");
    before[0].index = 0;
    before[1].index = 3;
    cr_expect_eq(raft_init(node, &options, &start), RAFT_BAD_OPTIONS, "and stay below the newest");
    before[1].index = 1;
    start.configuration_index = 5;
    cr_expect_eq(raft_init(node, &options, &start), RAFT_BAD_OPTIONS, "an entry that is not there");
    free(node);
}

/* PROTOCOL C2: its own log calls it a learner, and the candidate needs its vote. */
Test(raft_received_configuration, a_learner_that_is_asked_votes)
{
    struct raft_configuration configuration = rig_configuration(N(2), N(1));
    struct rig rig;
    rig_open(&rig, &(struct rig_setup){.configuration = &configuration});
    struct raft_message m = rig_vote(&rig, RAFT_MESSAGE_VOTE, 2, 1, 3, 1);
    rig_receive(&rig, &m);
    cr_assert_eq(rig_sent_after_sync(&rig, RAFT_MESSAGE_VOTE_REPLY, 2)->refusal, RAFT_REFUSED_NOT);
    rig_tick(&rig, 2 * RIG_TIMEOUT_MS_MAX);
    cr_assert_eq(rig_view(&rig).role, RAFT_FOLLOWER, "but does not stand");
    rig_close(&rig);
}
