/* The heap against a plain model: what comes out first is always the least of what is in. */
#include "timer_heap.h"

#include <criterion/criterion.h>

#define TIMERS_COUNT 500u

static struct io_timer timers[TIMERS_COUNT];

static const struct timer_node *least_of_armed(void)
{
    const struct timer_node *least = NULL;
    for (uint32_t i = 0; i < TIMERS_COUNT; i++) {
        const struct timer_node *node = timer_node_of(&timers[i]);
        if (!node->armed) continue;
        if (!least || node->deadline_us < least->deadline_us ||
            (node->deadline_us == least->deadline_us && node->sequence < least->sequence)) {
            least = node;
        }
    }
    return least;
}

static uint64_t random_next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return *state >> 33;
}

Test(io_timer_heap, first_is_the_soonest_under_any_order_of_insert_and_remove)
{
    struct timer_heap heap = {0};
    uint64_t random = 7;
    uint64_t sequence = 0;
    for (uint32_t step = 0; step < 20000; step++) {
        struct timer_node *node = timer_node_of(&timers[random_next(&random) % TIMERS_COUNT]);
        if (node->armed) {
            timer_heap_remove(&heap, node);
        } else {
            node->deadline_us = random_next(&random) % 64u; /* few, so that many are equal */
            node->sequence = sequence++;
            timer_heap_insert(&heap, node);
        }
        cr_assert_eq(timer_heap_first(&heap), least_of_armed());
    }
}

Test(io_timer_heap, equal_deadlines_leave_in_the_order_they_came)
{
    struct timer_heap heap = {0};
    for (uint32_t i = 0; i < TIMERS_COUNT; i++) {
        struct timer_node *node = timer_node_of(&timers[i]);
        node->deadline_us = 5;
        node->sequence = i;
        timer_heap_insert(&heap, node);
    }
    for (uint32_t i = 0; i < TIMERS_COUNT; i++) {
        struct timer_node *first = timer_heap_first(&heap);
        cr_assert_eq(timer_of_node(first), &timers[i]);
        timer_heap_remove(&heap, first);
    }
    cr_assert_null(timer_heap_first(&heap));
}
