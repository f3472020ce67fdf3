/* Goal: the stamps of messages follow what a majority of the voters' clocks says, whichever node leads and whatever its own
 * clock says, and never go back (PROTOCOL C8). Method: simulated nodes with clocks ten years off. */
#include "founded.h"
#include "sim_cluster.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define SECOND_US        1000000u
#define WALL_MS_AT_START INT64_C(1700000000000) /* of the simulated world */
#define TEN_YEARS_MS     INT64_C(315360000000)
#define SLACK_MS         1000

static struct cluster *make(uint64_t seed, uint32_t nodes_count)
{
    struct cluster *cluster = founded(seed, nodes_count);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", nodes_count), NODE_OK);
    return cluster;
}

static uint32_t leader_of(struct cluster *cluster)
{
    const uint64_t group = cluster_group(cluster, 0, "orders");
    const int leader = cluster_wait_leader(cluster, group, 10 * SECOND_US);
    cr_assert_geq(leader, 0);
    return (uint32_t)leader;
}

/* The stamp of one more message, sent to `node`. */
static int64_t stamp(struct cluster *cluster, uint32_t node)
{
    struct cluster_call *call = malloc(sizeof(*call));
    cluster_fill_produce(call, "orders", 1, -1, 0);
    cluster_submit(cluster, node, call);
    cr_assert(cluster_wait(call, 12 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
    const int64_t stamp_ms = call->request.ret_timestamp_ms;
    cluster_call_close(call);
    free(call);
    return stamp_ms;
}

static int64_t right_ms(const struct cluster *cluster)
{
    return WALL_MS_AT_START + (int64_t)(sim_now_us(cluster->sim) / 1000u);
}

static void expect_right(const struct cluster *cluster, int64_t stamp_ms)
{
    cr_assert_leq(stamp_ms, right_ms(cluster) + SLACK_MS);
    cr_assert_geq(stamp_ms, right_ms(cluster) - SLACK_MS);
}

Test(simulated_clock, a_leader_whose_clock_is_ten_years_off_does_not_spoil_the_stamps)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct cluster *cluster = make(seed, seed % 2u ? 3u : 5u);
        const uint32_t leader = leader_of(cluster);
        expect_right(cluster, stamp(cluster, leader));
        sim_set_wall_skew_ms(cluster->sim, leader, TEN_YEARS_MS);
        expect_right(cluster, stamp(cluster, leader));
        sim_run_for(cluster->sim, SECOND_US);
        expect_right(cluster, stamp(cluster, leader));
        sim_set_wall_skew_ms(cluster->sim, leader, -TEN_YEARS_MS);
        sim_run_for(cluster->sim, SECOND_US);
        expect_right(cluster, stamp(cluster, leader));
        cr_assert_eq(leader_of(cluster), leader);
        cluster_destroy(cluster);
    }
}

/* The first stamp of a new leader, and one with a dead node in the group. */
Test(simulated_clock, a_new_leader_with_a_wrong_clock_knows_the_others_from_its_first_stamp_on)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct cluster *cluster = make(seed, 3);
        const uint32_t old = leader_of(cluster);
        for (uint32_t node = 0; node < 3; node++) {
            if (node != old) sim_set_wall_skew_ms(cluster->sim, node, TEN_YEARS_MS);
        }
        /* One of the two is right again: whoever leads next, a majority of the three clocks is. */
        sim_set_wall_skew_ms(cluster->sim, (old + 1u + (uint32_t)(seed % 2u)) % 3u, 0);
        sim_run_for(cluster->sim, SECOND_US);
        cluster_crash(cluster, old, SIM_CRASH_KILL);
        sim_run_for(cluster->sim, SECOND_US);
        expect_right(cluster, stamp(cluster, (old + 1u) % 3u));
        expect_right(cluster, stamp(cluster, (old + 2u) % 3u));
        cluster_destroy(cluster);
    }
}

/* Nobody knows anybody's clock, and what is stamped first waits for the election. */
Test(simulated_clock, the_first_stamp_after_a_restart_of_all_is_right)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct cluster *cluster = make(seed, 3);
        (void)stamp(cluster, 0);
        sim_set_wall_skew_ms(cluster->sim, (uint32_t)(seed % 3u), TEN_YEARS_MS);
        for (uint32_t node = 0; node < 3; node++) {
            cluster_crash(cluster, node, SIM_CRASH_POWER);
        }
        cluster_start_all(cluster);
        expect_right(cluster, stamp(cluster, (uint32_t)(seed / 3u % 3u)));
        cluster_destroy(cluster);
    }
}

Test(simulated_clock, stamps_never_go_back_when_all_clocks_do)
{
    struct cluster *cluster = make(3, 3);
    int64_t before_ms = stamp(cluster, 0);
    for (uint32_t node = 0; node < 3; node++) {
        sim_set_wall_skew_ms(cluster->sim, node, -TEN_YEARS_MS);
    }
    sim_run_for(cluster->sim, SECOND_US);
    cr_assert_eq(stamp(cluster, 0), before_ms);
    const uint32_t leader = leader_of(cluster);
    cluster_crash(cluster, leader, SIM_CRASH_POWER);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    cr_assert_eq(stamp(cluster, (leader + 1u) % 3u), before_ms, "a no-op lies between");
    cluster_destroy(cluster);
}

Test(simulated_clock, half_of_a_pair_follows_the_lower_clock_and_one_alone_its_own)
{
    struct cluster *pair = make(4, 2);
    const uint32_t leader = leader_of(pair);
    sim_set_wall_skew_ms(pair->sim, leader, TEN_YEARS_MS);
    sim_run_for(pair->sim, SECOND_US);
    expect_right(pair, stamp(pair, leader));
    cluster_destroy(pair);

    struct cluster *alone = make(4, 1);
    sim_set_wall_skew_ms(alone->sim, 0, TEN_YEARS_MS);
    cr_assert_geq(stamp(alone, 0), right_ms(alone) + TEN_YEARS_MS - SLACK_MS);
    cluster_destroy(alone);
}
