#include "quorum.h"

#include <criterion/criterion.h>

static struct raft_configuration plain(uint32_t voters, uint32_t learners)
{
    struct raft_configuration configuration = {.members_count = voters + learners};
    for (uint32_t i = 0; i < configuration.members_count; i++) {
        configuration.members[i] = (struct raft_member){.id = {i + 1, 0}, .voter = i < voters};
    }
    return configuration;
}

/* Old half: the first `old_count` members; new half: the last `new_count`. */
static struct raft_configuration joint(uint32_t count, uint32_t old_count, uint32_t new_count)
{
    struct raft_configuration configuration = {.members_count = count, .joint = true};
    for (uint32_t i = 0; i < count; i++) {
        configuration.members[i] = (struct raft_member){
            .id = {i + 1, 0}, .voter = i >= count - new_count, .voter_old = i < old_count};
    }
    return configuration;
}

/* By definition: the highest v that more than half of a half's voters have reached. */
static uint64_t slow_half(const struct raft_configuration *configuration, const uint64_t *values,
                          bool old_half, uint64_t value_max)
{
    uint64_t best = 0;
    for (uint64_t v = 0; v <= value_max; v++) {
        uint32_t voters = 0;
        uint32_t reached = 0;
        for (uint32_t i = 0; i < configuration->members_count; i++) {
            const struct raft_member *member = &configuration->members[i];
            if (!(old_half ? member->voter_old : member->voter)) continue;
            voters++;
            if (values[i] >= v) reached++;
        }
        if (2 * reached > voters) best = v;
    }
    return best;
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

Test(raft_quorum, the_value_is_what_a_majority_has_for_every_small_group)
{
    uint64_t random = 1;
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t count = 1 + (uint32_t)(next_random(&random) % 7);
        uint32_t old_count = 1 + (uint32_t)(next_random(&random) % count);
        uint32_t new_count = 1 + (uint32_t)(next_random(&random) % count);
        bool is_joint = next_random(&random) % 2 == 0;
        struct raft_configuration configuration =
            is_joint ? joint(count, old_count, new_count) : plain(new_count, count - new_count);
        uint64_t values[RAFT_MEMBERS_MAX] = {0};
        for (uint32_t i = 0; i < count; i++) {
            values[i] = next_random(&random) % 10;
        }
        uint64_t expected = slow_half(&configuration, values, false, 10);
        if (is_joint) {
            uint64_t expected_old = slow_half(&configuration, values, true, 10);
            if (expected_old < expected) expected = expected_old;
        }
        cr_assert_eq(raft__quorum_value(&configuration, values), expected);
    }
}

Test(raft_quorum, two_of_two_are_needed_and_two_of_three_are_enough)
{
    struct raft_configuration two = plain(2, 0);
    struct raft_configuration three = plain(3, 0);
    bool one_yes[RAFT_MEMBERS_MAX] = {true};
    bool two_yes[RAFT_MEMBERS_MAX] = {true, true};
    cr_expect_not(raft__quorum_reached(&two, one_yes));
    cr_expect(raft__quorum_reached(&two, two_yes));
    cr_expect_not(raft__quorum_reached(&three, one_yes));
    cr_expect(raft__quorum_reached(&three, two_yes));
}

Test(raft_quorum, learners_never_count)
{
    struct raft_configuration configuration = plain(3, 4);
    bool yes[RAFT_MEMBERS_MAX] = {true, false, false, true, true, true, true};
    cr_assert_not(raft__quorum_reached(&configuration, yes));
    uint64_t values[RAFT_MEMBERS_MAX] = {5, 0, 0, 9, 9, 9, 9};
    cr_assert_eq(raft__quorum_value(&configuration, values), 0);
}

Test(raft_quorum, a_joint_configuration_needs_both_halves)
{
    /* Old 1,2,3; new 3,4,5. */
    struct raft_configuration configuration = joint(5, 3, 3);
    bool only_old[RAFT_MEMBERS_MAX] = {true, true, true};
    bool only_new[RAFT_MEMBERS_MAX] = {false, false, true, true, true};
    bool both[RAFT_MEMBERS_MAX] = {true, true, false, true, true};
    cr_expect_not(raft__quorum_reached(&configuration, only_old));
    cr_expect_not(raft__quorum_reached(&configuration, only_new));
    cr_expect(raft__quorum_reached(&configuration, both));
    uint64_t values[RAFT_MEMBERS_MAX] = {9, 9, 9, 4, 2};
    cr_expect_eq(raft__quorum_value(&configuration, values), 4);
}

Test(raft_quorum, an_empty_half_decides_nothing)
{
    struct raft_configuration nobody = plain(0, 3);
    bool yes[RAFT_MEMBERS_MAX] = {true, true, true};
    bool no[RAFT_MEMBERS_MAX] = {false};
    cr_expect_not(raft__quorum_reached(&nobody, yes));
    cr_expect_not(raft__quorum_possible(&nobody, no));
}

Test(raft_quorum, a_vote_is_lost_when_no_majority_can_say_yes)
{
    struct raft_configuration configuration = plain(5, 0);
    bool two_no[RAFT_MEMBERS_MAX] = {false, true, true};
    bool three_no[RAFT_MEMBERS_MAX] = {false, true, true, true};
    cr_expect(raft__quorum_possible(&configuration, two_no));
    cr_expect_not(raft__quorum_possible(&configuration, three_no));
}

Test(raft_quorum, members_are_found_by_node_and_epoch)
{
    struct raft_configuration configuration = plain(3, 0);
    configuration.members[1].id.epoch = 8;
    cr_expect_eq(raft__member_find(&configuration, (struct raft_replica_id){2, 8}), 1);
    cr_expect_eq(raft__member_find(&configuration, (struct raft_replica_id){2, 0}),
                 RAFT_MEMBERS_MAX);
    cr_expect_eq(raft__member_find_node(&configuration, 2), 1);
}
