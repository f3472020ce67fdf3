/* The judge of a failover run finds what was lost, doubled and out of order, and nothing else. */
#include <criterion/criterion.h>
#include <string.h>

#include "bench_history.h"

#define BYTES 64

static struct bench_history history;
static uint8_t values[8][BYTES];

static void make_eight(void)
{
    bench_history_init(&history, 0xabcdef);
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(bench_history_make(&history, values[i], BYTES), (uint64_t)i);
    }
    bench_history_ack(&history, 0, 3);
    bench_history_ack(&history, 3, 4); /* the last one is not acknowledged */
}

static void read_in_order(const int *order, int count)
{
    bench_history_begin_reading(&history);
    for (int i = 0; i < count; i++) {
        bench_history_read(&history, values[order[i]], BYTES);
    }
    bench_history_end_reading(&history);
}

Test(cli_bench_history, a_whole_history_is_clean_with_or_without_the_unacknowledged,
     .init = make_eight)
{
    read_in_order((const int[]){0, 1, 2, 3, 4, 5, 6, 7}, 8);
    read_in_order((const int[]){0, 1, 2, 3, 4, 5, 6}, 7);
    cr_assert_eq(history.lost + history.duplicated + history.reordered, 0);
    cr_assert_eq(history.acked_count, 7);
    cr_assert_eq(history.read_count, 15);
    bench_history_close(&history);
}

Test(cli_bench_history, each_fault_is_counted_as_what_it_is, .init = make_eight)
{
    read_in_order((const int[]){0, 1, 3, 4, 5, 6}, 6);
    cr_assert_eq(history.lost, 1);
    read_in_order((const int[]){0, 1, 2, 2, 3, 4, 5, 6}, 8);
    cr_assert_eq(history.duplicated, 1);
    read_in_order((const int[]){0, 2, 1, 3, 4, 5, 6}, 7);
    cr_assert_eq(history.reordered, 1);
    cr_assert_eq(history.lost, 1);
    cr_assert_eq(history.duplicated, 1);
    bench_history_close(&history);
}

Test(cli_bench_history, an_empty_reading_loses_all_that_was_acknowledged, .init = make_eight)
{
    read_in_order(NULL, 0);
    cr_assert_eq(history.lost, 7);
    bench_history_close(&history);
}

Test(cli_bench_history, messages_of_other_runs_and_strangers_are_not_judged, .init = make_eight)
{
    uint8_t other[BYTES];
    memcpy(other, values[0], BYTES);
    other[0] = '1';
    bench_history_begin_reading(&history);
    bench_history_read(&history, other, BYTES);
    bench_history_read(&history, (const uint8_t *)"hi", 2);
    cr_assert_eq(history.read_count, 0);
    bench_history_close(&history);
}
