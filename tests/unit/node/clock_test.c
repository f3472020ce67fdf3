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
