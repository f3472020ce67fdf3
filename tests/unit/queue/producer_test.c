/* Idempotent producers (PROTOCOL P1-P3): every verdict, from the applied state and from the overlay. */
#include "queue_support.h"

Test(producer_check, a_batch_without_a_producer_id_is_always_accepted)
{
    struct partition partition;
    partition_init(&partition);
    for (uint32_t i = 0; i < 3; i++) {
        expect_verdict(&partition, test_id(-1, -1, -1, 5), PARTITION_ACCEPT);
        test_apply_batch(&partition, test_id(-1, -1, -1, 5));
    }
    cr_assert_eq(partition.next_offset, 15);
    cr_assert_null(partition.state, "and leaves no trace in the table");
    partition_close(&partition);
}

Test(producer_check, an_unknown_producer_starts_at_sequence_0)
{
    struct partition partition;
    partition_init(&partition);
    expect_verdict(&partition, test_id(4, 0, 0, 1), PARTITION_ACCEPT);
    expect_verdict(&partition, test_id(4, 9, 0, 1), PARTITION_ACCEPT);
    struct test_answer answer = test_check(&partition, test_id(4, 0, 3, 1));
    cr_assert_eq(answer.verdict, PARTITION_OUT_OF_ORDER);
    cr_assert_eq(answer.expected, 0);
    cr_assert_eq(answer.offset, TEST_UNSET);
    cr_assert_eq(answer.index, TEST_UNSET);
    partition_close(&partition);
}

Test(producer_check, an_exact_repeat_of_each_of_the_last_five_gets_its_original_offset)
{
    struct partition partition;
    partition_init(&partition);
    uint64_t offsets[8];
    for (int32_t i = 0; i < 8; i++) {
        test_apply_batch(&partition, test_id(-1, -1, -1, 3)); /* others in between */
        offsets[i] = test_apply_batch(&partition, test_id(4, 0, i * 10, 10));
    }
    for (int32_t i = 3; i < 8; i++) {
        struct test_answer answer = test_check(&partition, test_id(4, 0, i * 10, 10));
        cr_assert_eq(answer.verdict, PARTITION_DUPLICATE);
        cr_assert_eq(answer.offset, offsets[i]);
        cr_assert_eq(answer.index, TEST_UNSET);
    }
    for (int32_t i = 0; i < 3; i++) {
        expect_verdict(&partition, test_id(4, 0, i * 10, 10), PARTITION_DUPLICATE_UNKNOWN);
    }
    expect_verdict(&partition, test_id(4, 0, 0, 30), PARTITION_DUPLICATE_UNKNOWN);
    expect_verdict(&partition, test_id(4, 0, 7, 3), PARTITION_DUPLICATE_UNKNOWN);
    expect_verdict(&partition, test_id(4, 0, 80, 10), PARTITION_ACCEPT);
    partition_close(&partition);
}

Test(producer_check, a_gap_and_an_overlap_without_equality_are_out_of_order)
{
    struct partition partition;
    partition_init(&partition);
    for (int32_t i = 0; i < 6; i++)
        test_apply_batch(&partition, test_id(4, 0, i * 10, 10));
    /* Kept: 10..59. */
    static const struct {
        int32_t first;
        uint32_t count;
    } ranges[] = {
        {61, 1}, {70, 10}, {59, 1}, {59, 2}, {50, 9}, {50, 11},
        {51, 9}, {10, 20}, {5, 10}, {9, 2},  {0, 11}, {0, 60},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        struct test_answer answer =
            test_check(&partition, test_id(4, 0, ranges[i].first, ranges[i].count));
        cr_assert_eq(answer.verdict, PARTITION_OUT_OF_ORDER, "%d + %u", ranges[i].first,
                     ranges[i].count);
        cr_assert_eq(answer.expected, 60);
    }
    partition_close(&partition);
}

Test(producer_check, duplicate_is_only_said_of_what_was_written)
{
    /* Three batches from 0 on: nothing was ever written "below" the window, also not by wrapping around. */
    struct partition partition;
    partition_init(&partition);
    for (int32_t i = 0; i < 3; i++)
        test_apply_batch(&partition, test_id(4, 0, i * 10, 10));
    expect_verdict(&partition, test_id(4, 0, INT32_MAX, 1), PARTITION_OUT_OF_ORDER);
    expect_verdict(&partition, test_id(4, 0, INT32_MAX - 9, 10), PARTITION_OUT_OF_ORDER);
    expect_verdict(&partition, test_id(4, 0, 1 << 30, 1), PARTITION_OUT_OF_ORDER);
    partition_close(&partition);
}

Test(producer_check, malformed_ids_are_never_accepted)
{
    struct partition partition;
    partition_init(&partition);
    for (uint32_t known = 0; known < 2; known++) {
        expect_verdict(&partition, test_id(4, 0, -1, 1), PARTITION_OUT_OF_ORDER);
        expect_verdict(&partition, test_id(4, 0, 0, 0), PARTITION_OUT_OF_ORDER);
        expect_verdict(&partition, test_id(4, 0, 0, UINT32_MAX), PARTITION_OUT_OF_ORDER);
        expect_verdict(&partition, test_id(4, -1, 0, 1), PARTITION_FENCED);
        test_apply_batch(&partition, test_id(4, 0, 0, 2));
    }
    partition_close(&partition);
}

Test(producer_check, a_lower_epoch_is_fenced_and_a_new_one_starts_at_0)
{
    struct partition partition;
    partition_init(&partition);
    test_apply_batch(&partition, test_id(4, 3, 0, 10));
    expect_verdict(&partition, test_id(4, 2, 0, 10), PARTITION_FENCED);
    expect_verdict(&partition, test_id(4, 2, 10, 10), PARTITION_FENCED);
    struct test_answer answer = test_check(&partition, test_id(4, 4, 10, 10));
    cr_assert_eq(answer.verdict, PARTITION_OUT_OF_ORDER);
    cr_assert_eq(answer.expected, 0);
    expect_verdict(&partition, test_id(4, 4, 0, 10), PARTITION_ACCEPT);

    uint64_t offset = test_apply_batch(&partition, test_id(4, 4, 0, 10));
    expect_verdict(&partition, test_id(4, 3, 0, 10), PARTITION_FENCED);
    cr_assert_eq(test_check(&partition, test_id(4, 4, 0, 10)).offset, offset,
                 "the repeat is the new epoch's");
    partition_close(&partition);
}

Test(producer_check, sequences_wrap_from_the_highest_to_0)
{
    struct partition partition;
    partition_init(&partition);
    /* One batch up to just below the wrap (the header's count says so), then across it. */
    test_apply_batch(&partition, test_id(4, 0, 0, INT32_MAX - 3));
    uint64_t first = test_apply_batch(&partition, test_id(4, 0, INT32_MAX - 3, 2));
    uint64_t across = test_apply_batch(&partition, test_id(4, 0, INT32_MAX - 1, 5)); /* ..2 */
    cr_assert_eq(test_check(&partition, test_id(4, 0, INT32_MAX - 3, 2)).offset, first);
    cr_assert_eq(test_check(&partition, test_id(4, 0, INT32_MAX - 1, 5)).offset, across);
    expect_verdict(&partition, test_id(4, 0, 3, 1), PARTITION_ACCEPT);
    expect_verdict(&partition, test_id(4, 0, 4, 1), PARTITION_OUT_OF_ORDER);
    expect_verdict(&partition, test_id(4, 0, 0, 3), PARTITION_OUT_OF_ORDER);
    cr_assert_eq(test_check(&partition, test_id(4, 0, 7, 1)).expected, 3);

    for (int32_t i = 0; i < 5; i++)
        test_apply_batch(&partition, test_id(4, 0, 3 + i, 1));
    /* The window is 3..7; what stands below it, on both sides of the wrap, was written. */
    expect_verdict(&partition, test_id(4, 0, INT32_MAX - 1, 5), PARTITION_DUPLICATE_UNKNOWN);
    expect_verdict(&partition, test_id(4, 0, 2, 1), PARTITION_DUPLICATE_UNKNOWN);
    expect_verdict(&partition, test_id(4, 0, INT32_MAX - 100, 10), PARTITION_DUPLICATE_UNKNOWN);
    expect_verdict(&partition, test_id(4, 0, 2, 2), PARTITION_OUT_OF_ORDER);
    expect_verdict(&partition, test_id(4, 0, 9, 1), PARTITION_OUT_OF_ORDER);
    expect_verdict(&partition, test_id(4, 0, 8, 1), PARTITION_ACCEPT);
    partition_close(&partition);
}

Test(producer_check, a_batch_that_ends_at_the_highest_sequence_is_followed_by_0)
{
    struct partition partition;
    partition_init(&partition);
    test_apply_batch(&partition, test_id(4, 0, 0, INT32_MAX));
    test_apply_batch(&partition, test_id(4, 0, INT32_MAX, 1));
    expect_verdict(&partition, test_id(4, 0, 0, 7), PARTITION_ACCEPT);
    expect_verdict(&partition, test_id(4, 0, INT32_MAX, 1), PARTITION_DUPLICATE);
    partition_close(&partition);
}

/* ---- overlay (P1) ---------------------------------------------------------------------------------------------------- */

static void add(struct partition *partition, struct partition_batch_id id, uint64_t index,
                uint64_t base_offset)
{
    expect_verdict(partition, id, PARTITION_ACCEPT);
    partition_overlay_add(partition, &id, index, base_offset);
}

Test(producer_overlay, a_retry_of_one_in_flight_waits_for_its_fate)
{
    struct partition partition;
    partition_init(&partition);
    test_apply_batch(&partition, test_id(4, 0, 0, 10));
    add(&partition, test_id(4, 0, 10, 10), 2, 10);
    add(&partition, test_id(4, 0, 20, 10), 5, 40);
    struct test_answer answer = test_check(&partition, test_id(4, 0, 10, 10));
    cr_assert_eq(answer.verdict, PARTITION_DUPLICATE_PENDING);
    cr_assert_eq(answer.index, 2);
    cr_assert_eq(answer.offset, 10);
    cr_assert_eq(test_check(&partition, test_id(4, 0, 20, 10)).index, 5);
    expect_verdict(&partition, test_id(4, 0, 0, 10), PARTITION_DUPLICATE);
    expect_verdict(&partition, test_id(4, 0, 15, 10), PARTITION_OUT_OF_ORDER);
    cr_assert_eq(test_check(&partition, test_id(4, 0, 31, 1)).expected, 30);
    expect_verdict(&partition, test_id(4, 0, 30, 1), PARTITION_ACCEPT);

    cr_assert_eq(test_apply_batch(&partition, test_id(4, 0, 10, 10)), 10);
    answer = test_check(&partition, test_id(4, 0, 10, 10));
    cr_assert_eq(answer.verdict, PARTITION_DUPLICATE, "once applied it is a plain repeat");
    cr_assert_eq(answer.offset, 10);
    expect_verdict(&partition, test_id(4, 0, 20, 10), PARTITION_DUPLICATE_PENDING);
    partition_close(&partition);
}

Test(producer_overlay, a_producer_known_only_in_flight_counts)
{
    struct partition partition;
    partition_init(&partition);
    add(&partition, test_id(4, 1, 0, 10), 1, 0);
    expect_verdict(&partition, test_id(4, 1, 0, 10), PARTITION_DUPLICATE_PENDING);
    expect_verdict(&partition, test_id(4, 1, 0, 9), PARTITION_OUT_OF_ORDER);
    expect_verdict(&partition, test_id(4, 0, 0, 10), PARTITION_FENCED);
    expect_verdict(&partition, test_id(4, 1, INT32_MAX, 1), PARTITION_OUT_OF_ORDER);
    partition_close(&partition);
}

Test(producer_overlay, an_epoch_in_flight_is_the_newest_one)
{
    struct partition partition;
    partition_init(&partition);
    test_apply_batch(&partition, test_id(4, 0, 0, 10));
    add(&partition, test_id(4, 0, 10, 10), 2, 10);
    add(&partition, test_id(4, 1, 0, 5), 3, 20);
    expect_verdict(&partition, test_id(4, 0, 20, 10), PARTITION_FENCED);
    expect_verdict(&partition, test_id(4, 0, 10, 10), PARTITION_FENCED);
    expect_verdict(&partition, test_id(4, 1, 0, 5), PARTITION_DUPLICATE_PENDING);
    expect_verdict(&partition, test_id(4, 1, 10, 10),
                   PARTITION_OUT_OF_ORDER); /* the old epoch's range */
    expect_verdict(&partition, test_id(4, 1, 0, 10), PARTITION_OUT_OF_ORDER);
    expect_verdict(&partition, test_id(4, 1, 5, 5), PARTITION_ACCEPT);
    partition_overlay_drop(&partition, 3);
    expect_verdict(&partition, test_id(4, 0, 20, 10), PARTITION_ACCEPT);
    expect_verdict(&partition, test_id(4, 0, 10, 10), PARTITION_DUPLICATE_PENDING);
    partition_close(&partition);
}

Test(producer_overlay, a_sixth_batch_in_flight_is_refused_until_one_is_applied)
{
    struct partition partition;
    partition_init(&partition);
    for (int32_t i = 0; i < 5; i++) {
        add(&partition, test_id(4, 0, i, 1), (uint64_t)i + 1, (uint64_t)i);
    }
    expect_verdict(&partition, test_id(4, 0, 5, 1), PARTITION_TOO_MANY_IN_FLIGHT);
    expect_verdict(&partition, test_id(4, 1, 0, 1), PARTITION_TOO_MANY_IN_FLIGHT);
    expect_verdict(&partition, test_id(4, 0, 2, 1), PARTITION_DUPLICATE_PENDING);
    expect_verdict(&partition, test_id(4, 0, 6, 1), PARTITION_OUT_OF_ORDER);
    expect_verdict(&partition, test_id(5, 0, 0, 1), PARTITION_ACCEPT);
    test_apply_batch(&partition, test_id(4, 0, 0, 1));
    expect_verdict(&partition, test_id(4, 0, 5, 1), PARTITION_ACCEPT);
    partition_close(&partition);
}

Test(producer_overlay, truncation_drops_from_its_index_on_and_step_down_drops_all)
{
    struct partition partition;
    partition_init(&partition);
    test_apply_batch(&partition, test_id(4, 0, 0, 1));
    for (int32_t i = 1; i < 5; i++) {
        add(&partition, test_id(4, 0, i, 1), (uint64_t)i * 2, (uint64_t)i);
        add(&partition, test_id(5, 0, i - 1, 1), (uint64_t)i * 2 + 1, (uint64_t)i);
    }
    partition_overlay_drop(&partition, 5); /* 2, 3, 4 stay */
    expect_verdict(&partition, test_id(4, 0, 2, 1), PARTITION_DUPLICATE_PENDING);
    expect_verdict(&partition, test_id(4, 0, 3, 1), PARTITION_ACCEPT);
    expect_verdict(&partition, test_id(5, 0, 0, 1), PARTITION_DUPLICATE_PENDING);
    expect_verdict(&partition, test_id(5, 0, 1, 1), PARTITION_ACCEPT);
    cr_assert_not(partition_overlay_is_empty(&partition));
    partition_overlay_drop(&partition, 0);
    cr_assert_null(partition.overlay);
    cr_assert(partition_overlay_is_empty(&partition));
    expect_verdict(&partition, test_id(4, 0, 1, 1), PARTITION_ACCEPT);
    expect_verdict(&partition, test_id(5, 0, 0, 1), PARTITION_ACCEPT);
    expect_verdict(&partition, test_id(4, 0, 0, 1), PARTITION_DUPLICATE);
    partition_close(&partition);
}

Test(producer_overlay, it_is_bounded_over_all_producers)
{
    struct partition partition;
    partition_init(&partition);
    uint32_t added = 0;
    for (; added < PARTITION_OVERLAY_BATCHES_MAX; added++) {
        struct partition_batch_id id = test_id(added / 5, 0, (int32_t)(added % 5), 1);
        partition_overlay_add(&partition, &id, added + 1, added);
    }
    expect_verdict(&partition, test_id(1000000, 0, 0, 1), PARTITION_TOO_MANY_IN_FLIGHT);
    expect_verdict(&partition, test_id(7, 0, 3, 1), PARTITION_DUPLICATE_PENDING);
    expect_verdict(&partition, test_id(-1, -1, -1, 1), PARTITION_ACCEPT);
    test_apply_batch(&partition, test_id(0, 0, 0, 1));
    expect_verdict(&partition, test_id(1000000, 0, 0, 1), PARTITION_ACCEPT);
    partition_close(&partition);
}

/* One batch per producer, so that every apply and every cut frees a slot of the table in the middle of others. */
Test(producer_overlay, producers_that_come_and_go_are_all_found_and_nobody_else)
{
    static struct {
        int64_t producer;
        uint64_t offset;
    } pending[400];
    struct partition partition;
    partition_init(&partition);
    uint64_t random = 5, first = 0, last = 0; /* pending[i % 400] for first <= i < last */
    uint64_t next_index = 1;
    int64_t next_producer = 0;
    for (uint32_t step = 0; step < 20000; step++) {
        uint64_t dice = test_draw(&random) % 100;
        if (dice < 50 && last - first < 400) {
            next_producer += 1 + (int64_t)(test_draw(&random) % 1000);
            struct partition_batch_id id = test_id(next_producer, 0, 0, 1);
            partition_overlay_add(&partition, &id, next_index++, last);
            pending[last % 400].producer = next_producer;
            pending[last % 400].offset = last;
            last++;
        } else if (dice < 95 && last > first) {
            test_apply_batch(&partition, test_id(pending[first++ % 400].producer, 0, 0, 1));
        } else if (last > first) {
            uint64_t cut = test_draw(&random) % 3 % (last - first);
            partition_overlay_drop(&partition, next_index - cut);
            next_index -= cut;
            last -= cut;
        }
        if (last > first) {
            uint64_t i = first + test_draw(&random) % (last - first);
            struct test_answer answer =
                test_check(&partition, test_id(pending[i % 400].producer, 0, 0, 1));
            cr_assert_eq(answer.verdict, PARTITION_DUPLICATE_PENDING);
            cr_assert_eq(answer.offset, pending[i % 400].offset);
        }
        expect_verdict(&partition, test_id(next_producer + 1, 0, 0, 1), PARTITION_ACCEPT);
    }
    partition_close(&partition);
}

/* ---- eviction (P3) ---------------------------------------------------------------------------------------------------- */

Test(producer_eviction, the_least_recently_used_goes_and_its_id_is_fenced)
{
    struct partition partition;
    partition_init(&partition);
    for (int64_t id = 1; id <= PARTITION_PRODUCERS_MAX; id++) {
        test_apply_batch(&partition, test_id(id + 100, 0, 0, 1));
    }
    test_apply_batch(&partition, test_id(101, 0, 1, 1)); /* the oldest comes back */
    test_apply_batch(&partition, test_id(900000, 0, 0, 1));

    expect_verdict(&partition, test_id(101, 0, 1, 1), PARTITION_DUPLICATE);
    expect_verdict(&partition, test_id(102, 0, 0, 1), PARTITION_UNKNOWN_PRODUCER);
    expect_verdict(&partition, test_id(102, 0, 1, 1), PARTITION_UNKNOWN_PRODUCER);
    expect_verdict(&partition, test_id(102, 5, 0, 1), PARTITION_UNKNOWN_PRODUCER);
    expect_verdict(&partition, test_id(50, 0, 0, 1), PARTITION_UNKNOWN_PRODUCER);
    expect_verdict(&partition, test_id(0, 0, 0, 1), PARTITION_UNKNOWN_PRODUCER);
    expect_verdict(&partition, test_id(103, 0, 0, 1), PARTITION_DUPLICATE);
    expect_verdict(&partition, test_id(800000, 0, 0, 1), PARTITION_ACCEPT);
    expect_verdict(&partition, test_id(800000, 0, 1, 1), PARTITION_OUT_OF_ORDER);
    /* Two keys per producer and the counters: the table does not grow. */
    cr_assert_eq(tree_count(partition.state), 2u * PARTITION_PRODUCERS_MAX + 1u);
    for (int64_t id = 1; id <= 500; id++)
        test_apply_batch(&partition, test_id(950000 + id, 0, 0, 1));
    cr_assert_eq(tree_count(partition.state), 2u * PARTITION_PRODUCERS_MAX + 1u);
    expect_verdict(&partition, test_id(602, 0, 0, 1), PARTITION_UNKNOWN_PRODUCER);
    expect_verdict(&partition, test_id(603, 0, 0, 1), PARTITION_DUPLICATE);
    partition_close(&partition);
}

Test(producer_eviction, the_fence_never_falls)
{
    struct partition partition;
    partition_init(&partition);
    test_apply_batch(&partition, test_id(500000, 0, 0, 1));
    for (int64_t id = 1; id <= PARTITION_PRODUCERS_MAX + 5; id++) {
        test_apply_batch(&partition, test_id(id, 0, 0, 1));
    }
    expect_verdict(&partition, test_id(499999, 0, 0, 1), PARTITION_UNKNOWN_PRODUCER);
    expect_verdict(&partition, test_id(500001, 0, 0, 1), PARTITION_ACCEPT);
    partition_close(&partition);
}

Test(producer_eviction, a_batch_that_was_in_flight_while_its_producer_was_evicted_is_noted)
{
    struct partition partition;
    partition_init(&partition);
    for (int32_t i = 0; i < 8; i++)
        test_apply_batch(&partition, test_id(77, 0, i, 1));
    for (int64_t id = 1000; id < 1000 + PARTITION_PRODUCERS_MAX; id++) {
        test_apply_batch(&partition, test_id(id, 0, 0, 1));
    }
    expect_verdict(&partition, test_id(77, 0, 8, 1), PARTITION_UNKNOWN_PRODUCER);
    uint64_t offset = test_apply_batch(&partition, test_id(77, 0, 8, 1));
    cr_assert_eq(test_check(&partition, test_id(77, 0, 8, 1)).offset, offset);
    expect_verdict(&partition, test_id(77, 0, 3, 1), PARTITION_DUPLICATE_UNKNOWN);
    expect_verdict(&partition, test_id(77, 0, 9, 1), PARTITION_ACCEPT);
    partition_close(&partition);
}
