#include "trail.h"

#include <criterion/criterion.h>
#include <string.h>

static struct raft_trail empty_trail(struct raft_term_run *runs, uint32_t runs_max)
{
    return (struct raft_trail){.runs = runs, .runs_max = runs_max};
}

Test(raft_trail, terms_are_found_in_every_run_and_nowhere_else)
{
    struct raft_term_run runs[8];
    struct raft_trail trail = empty_trail(runs, 8);
    cr_assert(raft__trail_append(&trail, 3, 1, 0));
    cr_assert(raft__trail_append(&trail, 2, 4, 0));
    cr_assert(raft__trail_append(&trail, 1, 4, 0));
    cr_assert(raft__trail_append(&trail, 5, 9, 0));
    static const raft_term expected[] = {0, 1, 1, 1, 4, 4, 4, 9, 9, 9, 9, 9, 0};
    for (raft_index i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        cr_expect_eq(raft__trail_term(&trail, i), expected[i]);
    }
    cr_expect_eq(trail.runs_count, 3, "one run for one term");
    cr_expect_eq(raft__trail_run_end(&trail, 4), 6);
}

Test(raft_trail, a_cut_takes_everything_behind_it)
{
    struct raft_term_run runs[8];
    struct raft_trail trail = empty_trail(runs, 8);
    cr_assert(raft__trail_append(&trail, 3, 1, 0));
    cr_assert(raft__trail_append(&trail, 3, 2, 0));
    cr_assert(raft__trail_append(&trail, 3, 3, 0));
    raft__trail_truncate(&trail, 5);
    cr_expect_eq(trail.last_index, 4);
    cr_expect_eq(raft__trail_last_term(&trail), 2);
    raft__trail_truncate(&trail, 4);
    cr_expect_eq(trail.last_index, 3);
    cr_expect_eq(raft__trail_last_term(&trail), 1);
    raft__trail_truncate(&trail, 1);
    cr_expect_eq(trail.last_index, 0);
    cr_expect_eq(raft__trail_last_term(&trail), 0);
}

Test(raft_trail, agreement_is_sought_one_run_at_a_time)
{
    struct raft_term_run runs[8];
    struct raft_trail trail = empty_trail(runs, 8);
    cr_assert(raft__trail_append(&trail, 10, 1, 0));
    cr_assert(raft__trail_append(&trail, 10, 3, 0));
    cr_assert(raft__trail_append(&trail, 10, 5, 0));
    cr_expect_eq(raft__trail_highest_at_term(&trail, 25, 5), 25);
    cr_expect_eq(raft__trail_highest_at_term(&trail, 25, 4), 20);
    cr_expect_eq(raft__trail_highest_at_term(&trail, 25, 2), 10);
    cr_expect_eq(raft__trail_highest_at_term(&trail, 25, 0), 0);
    cr_expect_eq(raft__trail_highest_at_term(&trail, 99, 9), 30);
}

Test(raft_trail, a_full_trail_forgets_committed_runs_only)
{
    struct raft_term_run runs[4];
    struct raft_trail trail = empty_trail(runs, 4);
    for (raft_term term = 1; term <= 4; term++) {
        cr_assert(raft__trail_append(&trail, 1, term, 0));
    }
    cr_expect_not(raft__trail_has_room(&trail, 0));
    cr_expect_not(raft__trail_append(&trail, 1, 5, 0));
    cr_expect_eq(trail.last_index, 4, "a refused append changes nothing");
    cr_expect(raft__trail_append(&trail, 7, 4, 0), "the newest run may always grow");

    cr_expect(raft__trail_has_room(&trail, 1));
    cr_expect(raft__trail_append(&trail, 1, 5, 1));
    cr_expect_eq(trail.floor_index, 1);
    cr_expect_eq(trail.floor_term, 1);
    cr_expect_eq(raft__trail_term(&trail, 1), 1);
    cr_expect_eq(raft__trail_term(&trail, 2), 2);
    cr_expect_eq(raft__trail_last_term(&trail), 5);
}

Test(raft_trail, below_the_floor_nothing_is_known)
{
    struct raft_term_run runs[4];
    struct raft_trail trail = empty_trail(runs, 4);
    trail.floor_index = 50;
    trail.floor_term = 3;
    trail.last_index = 50;
    cr_expect_eq(raft__trail_last_term(&trail), 3);
    cr_assert(raft__trail_append(&trail, 2, 4, 50));
    cr_expect_eq(raft__trail_term(&trail, 49), 0);
    cr_expect_eq(raft__trail_term(&trail, 50), 3);
    cr_expect_eq(raft__trail_highest_at_term(&trail, 52, 1), 50, "the floor is the lowest answer");
    cr_expect_eq(raft__trail_highest_at_term(&trail, 30, 1), 30);
}
