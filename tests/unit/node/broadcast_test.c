/* Goal: a network or disks that are slow for the election timeout are called so, and a single slow broadcast is not
 * (PROTOCOL C9). Method: times by hand, against a percentile by counting. */
#include "broadcast.h"

#include <criterion/criterion.h>

#define TIMEOUT_MS 300u

static void add(struct broadcast_times *times, uint64_t us, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        broadcast_add(times, us);
    }
}

Test(node_broadcast, of_few_nothing_is_said_and_one_slow_one_of_them_does_not_decide)
{
    struct broadcast_times times = {.count = 0};
    cr_assert_eq(broadcast_p99_us(&times), 0);
    add(&times, 900000, 1);
    add(&times, 500, BROADCAST_TIMES_MIN - 2u);
    cr_assert_eq(broadcast_p99_us(&times), 0);
    add(&times, 500, 1);
    cr_assert_eq(broadcast_p99_us(&times), 500);
    add(&times, 900000, 1);
    cr_assert_eq(broadcast_p99_us(&times), 900000, "two of 51 are more than a hundredth");
}

Test(node_broadcast, a_hundredth_is_longer_and_not_more)
{
    struct broadcast_times times = {.count = 0};
    for (uint32_t i = 0; i < BROADCAST_TIMES_MAX; i++) {
        broadcast_add(&times, 1u + (i * 7919u) % BROADCAST_TIMES_MAX); /* 1..1000, each once */
    }
    const uint64_t p99_us = broadcast_p99_us(&times);
    uint32_t longer = 0;
    for (uint32_t i = 0; i < BROADCAST_TIMES_MAX; i++) {
        if (times.us[i] > p99_us) longer++;
    }
    cr_assert_eq(longer, BROADCAST_TIMES_MAX / 100u);
}

Test(node_broadcast, only_the_newest_count)
{
    struct broadcast_times times = {.count = 0};
    add(&times, 70000, BROADCAST_TIMES_MAX);
    cr_assert_eq(broadcast_p99_us(&times), 70000);
    add(&times, 800, BROADCAST_TIMES_MAX - 11u);
    cr_assert_eq(broadcast_p99_us(&times), 70000);
    add(&times, 800, 1);
    cr_assert_eq(broadcast_p99_us(&times), 800);
    broadcast_add(&times, UINT64_MAX);
    cr_assert_eq(times.us[(times.next + BROADCAST_TIMES_MAX - 1u) % BROADCAST_TIMES_MAX],
                 UINT32_MAX);
}

Test(node_broadcast, slow_is_above_a_tenth_of_the_timeout_and_fine_below_a_fifteenth)
{
    cr_assert_not(broadcast_is_slow(0, TIMEOUT_MS, false));
    cr_assert_not(broadcast_is_slow(30000, TIMEOUT_MS, false));
    cr_assert(broadcast_is_slow(30001, TIMEOUT_MS, false));
    cr_assert(broadcast_is_slow(20001, TIMEOUT_MS, true));
    cr_assert_not(broadcast_is_slow(20000, TIMEOUT_MS, true));
    cr_assert_not(broadcast_is_slow(0, TIMEOUT_MS, true));
}
