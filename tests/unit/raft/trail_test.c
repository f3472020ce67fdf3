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

Test(raft_trail, what_was_not_known_in_front_is_recalled)
{
    struct raft_term_run runs[4];
    struct raft_trail trail = empty_trail(runs, 4);
    const struct raft_term_run front[] = {{11, 10, 2}, {21, 10, 3}, {31, 20, 4}};
    raft__trail_reset(&trail, 50, 4);
    cr_assert(raft__trail_append(&trail, 2, 4, 50));
    cr_assert(raft__trail_append(&trail, 2, 5, 50));

    cr_expect_not(raft__trail_recall(&trail, 10, 2, front, 2), "it ends in front of the floor");
    cr_expect_not(raft__trail_recall(&trail, 11, 2, front, 3), "it begins behind a gap");
    cr_expect_not(raft__trail_recall(&trail, 10, 3, front, 3), "terms fall");
    const struct raft_term_run other[] = {{11, 40, 3}};
    cr_expect_not(raft__trail_recall(&trail, 10, 2, other, 1), "another term at the floor");
    cr_expect_eq(trail.floor_index, 50, "a refused recall changes nothing");
    cr_expect_eq(trail.runs_count, 2);

    cr_assert(raft__trail_recall(&trail, 10, 1, front, 3));
    cr_expect_eq(trail.runs_count, 4, "the run at the floor is one with the one behind it");
    cr_expect_eq(trail.floor_index, 10);
    cr_expect_eq(trail.floor_term, 1);
    cr_expect_eq(trail.last_index, 54);
    const struct raft_term_run known[] = {
        {10, 1, 1}, {11, 10, 2}, {21, 10, 3}, {31, 22, 4}, {53, 2, 5}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        for (raft_index index = known[i].first; index < known[i].first + known[i].count; index++)
            cr_expect_eq(raft__trail_term(&trail, index), known[i].term);
    }
}

Test(raft_trail, of_more_than_there_is_room_for_the_newest_is_recalled)
{
    struct raft_term_run runs[3];
    struct raft_trail trail = empty_trail(runs, 3);
    const struct raft_term_run front[] = {{1, 10, 1}, {11, 10, 2}, {21, 10, 3}};
    raft__trail_reset(&trail, 30, 3);
    cr_assert(raft__trail_append(&trail, 1, 4, 30));
    cr_assert(raft__trail_recall(&trail, 0, 0, front, 3));
    cr_expect_eq(trail.runs_count, 3);
    cr_expect_eq(trail.floor_index, 10);
    cr_expect_eq(trail.floor_term, 1);
    cr_expect_eq(raft__trail_term(&trail, 11), 2);
    cr_expect_eq(raft__trail_last_term(&trail), 4);
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
