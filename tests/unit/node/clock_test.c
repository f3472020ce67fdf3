/* Goal: no minority of clocks moves the time of a group, forward or back (PROTOCOL C8). Method: readings by hand, and every
 * order of right and wrong clocks. */
#include "clock.h"

#include <criterion/criterion.h>

#define RIGHT INT64_C(1700000000000)
#define EARLY (RIGHT - INT64_C(315360000000))
#define LATE  (RIGHT + INT64_C(315360000000))

Test(node_clock, a_reading_goes_on_with_the_monotonic_clock_until_it_is_told_anew)
{
    struct clock_reading reading = {0};
    clock_take(&reading, RIGHT, 5000000);
    cr_assert(reading.is_known);
    cr_assert_eq(clock_read(&reading, 5000000), RIGHT);
    cr_assert_eq(clock_read(&reading, 65000000), RIGHT + 60000);
    clock_take(&reading, EARLY, 66000000);
    cr_assert_eq(clock_read(&reading, 66001000), EARLY + 1);
}

Test(node_clock, a_clock_out_of_range_is_as_good_as_none)
{
    struct clock_reading reading = {0};
    clock_take(&reading, RIGHT, 1);
    clock_take(&reading, -1, 2);
    cr_assert_not(reading.is_known);
    clock_take(&reading, INT64_MIN, 3);
    cr_assert_not(reading.is_known);
    clock_take(&reading, INT64_MAX, 4);
    cr_assert_not(reading.is_known);
    clock_take(&reading, CLOCK_WALL_MS_MAX, 5);
    cr_assert(reading.is_known);
    clock_take(&reading, 0, 6);
    cr_assert(reading.is_known);
}

/* All groups of 1 to 5 voters, each clock early, right, late or unknown. */
Test(node_clock, a_majority_of_the_clocks_stands_at_the_answer_or_past_it)
{
    for (uint32_t voters = 1; voters <= 5; voters++) {
        for (uint32_t pattern = 0; pattern < (1u << (2u * voters)); pattern++) {
            static const int64_t values[] = {EARLY, RIGHT, LATE};
            int64_t clocks[5];
            uint32_t known = 0;
            for (uint32_t i = 0; i < voters; i++) {
                const uint32_t kind = (pattern >> (2u * i)) & 3u;
                if (kind < 3u) clocks[known++] = values[kind] + i;
            }
            if (known == 0) continue;
            const int64_t answer = clock_median(clocks, known, voters);
            uint32_t at_or_past = 0;
            uint32_t at_or_before = 0;
            for (uint32_t i = 0; i < known; i++) {
                if (clocks[i] >= answer) at_or_past++;
                if (clocks[i] <= answer) at_or_before++;
            }
            cr_assert_gt(at_or_before, 0);
            if (known <= voters / 2u) {
                cr_assert_eq(at_or_past, known, "the lowest of those that are known");
                continue;
            }
            cr_assert_gt(at_or_past, voters / 2u);
            /* And no higher clock would do with all of them known: it is the median, not the minimum. */
            if (known == voters) cr_assert_geq(at_or_before, (voters + 1u) / 2u);
        }
    }
}

Test(node_clock, of_two_clocks_the_lower_counts_and_alone_the_own)
{
    int64_t pair[] = {LATE, RIGHT};
    cr_assert_eq(clock_median(pair, 2, 2), RIGHT);
    int64_t alone[] = {LATE};
    cr_assert_eq(clock_median(alone, 1, 1), LATE);
    int64_t half[] = {RIGHT};
    cr_assert_eq(clock_median(half, 1, 2), RIGHT);
}

/* ---- a clock that jumps, alone ------------------------------------------------------------------------------------------ */

#define DAY_MS 86400000u

static void look(struct clock_watch *watch, int64_t wall_ms, uint64_t ms)
{
    clock_watch_look(watch, wall_ms, ms * 1000u);
}

Test(node_clock_watch, a_clock_that_goes_or_is_slewed_is_no_reason_to_rest)
{
    struct clock_watch watch = {0};
    for (uint64_t ms = 0; ms < 100000; ms += 25) { /* a tenth too fast */
        look(&watch, RIGHT + (int64_t)(ms + ms / 10u), ms);
        cr_assert_not(clock_watch_rests(&watch, DAY_MS, ms * 1000u));
    }
}

Test(node_clock_watch, a_jump_ahead_rests_until_what_was_kept_is_as_old_as_it_looks)
{
    struct clock_watch watch = {0};
    look(&watch, RIGHT, 1000);
    look(&watch, LATE, 1025);
    cr_assert(clock_watch_rests(&watch, DAY_MS, 1025000));
    look(&watch, LATE + DAY_MS - 1, 1025 + DAY_MS - 1);
    cr_assert(clock_watch_rests(&watch, DAY_MS, (1025u + (uint64_t)DAY_MS - 1u) * 1000u));
    cr_assert_not(clock_watch_rests(&watch, DAY_MS, (1025u + (uint64_t)DAY_MS) * 1000u));
    cr_assert_not(clock_watch_rests(&watch, 0, 1025000), "nothing is to be kept");
}

Test(node_clock_watch, a_jump_that_is_taken_back_ends_the_rest)
{
    struct clock_watch watch = {0};
    look(&watch, RIGHT, 1000);
    look(&watch, LATE, 1025);
    look(&watch, RIGHT + 50, 1050);
    cr_assert_not(clock_watch_rests(&watch, DAY_MS, 1050000));
    look(&watch, EARLY, 1075); /* things look younger: no harm */
    cr_assert_not(clock_watch_rests(&watch, DAY_MS, 1075000));
    look(&watch, RIGHT + 100,
         1100); /* what was stamped before is older than it looks, and so is this */
    cr_assert(clock_watch_rests(&watch, DAY_MS, 1100000), "this node cannot tell the two apart");
}
