/* Goal: a cluster that nobody asks anything stays as it is: the same leaders in the same terms, and the marks of its logs
 * made durable soon after the last write (PROTOCOL C1, L5). Method: simulated nodes, left alone. */
#include "founded.h"
#include "peek.h"
#include "sim_cluster.h"

#include <criterion/criterion.h>

#define SECOND_US 1000000u
#define NODES     3u

static struct cluster *make(uint64_t seed)
{
    struct cluster *cluster = founded(seed, NODES);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", NODES), NODE_OK);
    cr_assert_eq(cluster_produce(cluster, 0, "orders", 0, -1, 0, NULL), NODE_OK);
    sim_run_for(cluster->sim, SECOND_US / 4u); /* all three have made it */
    cr_assert_neq(cluster_group(cluster, 0, "orders"), 0);
    return cluster;
}

static void expect_no_change(struct cluster *cluster, uint64_t seconds)
{
    const uint64_t groups[] = {0, cluster_group(cluster, 0, "orders")};
    struct peek_group before[NODES][2];
    for (uint32_t node = 0; node < NODES; node++) {
        for (uint32_t i = 0; i < 2; i++) {
            cr_assert(peek_group(cluster->nodes[node].node, groups[i], &before[node][i]));
        }
    }
    sim_run_for(cluster->sim, seconds * SECOND_US);
    for (uint32_t node = 0; node < NODES; node++) {
        for (uint32_t i = 0; i < 2; i++) {
            struct peek_group now;
            cr_assert(peek_group(cluster->nodes[node].node, groups[i], &now));
            cr_assert_eq(now.term, before[node][i].term);
            cr_assert_eq(now.leader, before[node][i].leader);
            cr_assert_eq(now.role, before[node][i].role);
            cr_assert_eq(now.last_index, before[node][i].last_index);
        }
    }
}

Test(simulated_idle, a_minute_of_nothing_changes_no_leader_and_no_term)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct cluster *cluster = make(seed);
        sim_run_for(cluster->sim, SECOND_US);
        expect_no_change(cluster, 60);
        cluster_destroy(cluster);
    }
}

/* As far apart as the two sides of an ocean. */
Test(simulated_idle, ten_minutes_at_a_round_trip_of_50_ms_see_no_election)
{
    struct cluster *cluster = make(11);
    sim_set_link_us(cluster->sim, 24000, 26000);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    expect_no_change(cluster, 600);
    cluster_destroy(cluster);
}

/* 20 ms by the rule, up to 25 for the pace of the node's maintenance, the rest for the write before it and the sync. */
Test(simulated_idle, the_mark_of_the_last_write_is_synced_within_100_ms)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster *cluster = make(seed);
        const uint64_t group = cluster_group(cluster, 0, "orders");
        for (uint64_t value = 1; value <= 5; value++) {
            cr_assert_eq(cluster_produce(cluster, 0, "orders", value, -1, 0, NULL), NODE_OK);
            sim_run_for(cluster->sim, 100000);
            for (uint32_t node = 0; node < NODES; node++) {
                struct peek_group now;
                cr_assert(peek_group(cluster->nodes[node].node, group, &now));
                cr_assert_eq(now.durable_index, now.last_index, "seed %d, n%u", (int)seed,
                             node + 1u);
                cr_assert(now.mark_is_durable, "seed %d, n%u", (int)seed, node + 1u);
            }
        }
        cluster_destroy(cluster);
    }
}
