/* Goal: whole nodes keep their promises through crashes, power cuts and partitions. Method: real nodes (core, log,
 * snapshots, node code, peer connections) in one thread over simulated io and disk; sim_cluster.h lists the invariants that
 * are held against every node after every event. */
#include "founded.h"
#include "sim_cluster.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US   1000000u
#define RECORDS_MAX 4096u

static uint32_t other_than(const struct cluster *cluster, int node)
{
    return (uint32_t)(node + 1) % cluster->options.nodes_count;
}

/* One producer with retries, as clients do it. */
static void produce_many(struct cluster *cluster, uint32_t node, const char *topic,
                         int64_t producer_id, uint64_t from, uint64_t to)
{
    for (uint64_t value = from; value < to; value++) {
        uint64_t offset = UINT64_MAX;
        cr_assert(cluster_produce_once(cluster, node, topic, value, producer_id, (int32_t)value,
                                       5 * SECOND_US, &offset));
        cr_assert_eq(offset, value);
    }
}

/* Values from..to stand in this order behind each other, and nothing else. */
static void expect_values(struct cluster *cluster, uint32_t node, const char *topic, uint64_t count)
{
    struct cluster_ack *records = calloc(RECORDS_MAX, sizeof(*records));
    const int got = cluster_read_all(cluster, node, topic, records, RECORDS_MAX);
    cr_assert_eq(got, (int)count, "n%u returned %d records, not %d", node + 1u, got, (int)count);
    for (uint64_t i = 0; i < count; i++) {
        cr_assert_eq(records[i].offset, i);
        cr_assert_eq(records[i].value, i);
    }
    free(records);
}

static uint64_t crash_and_recover(uint64_t seed, enum sim_crash mode)
{
    struct cluster *cluster = founded(seed, 3);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    const uint64_t group = cluster_group(cluster, 0, "orders");
    cr_assert_neq(group, 0);
    const int64_t producer_id = cluster_producer_id(cluster, 2);
    cr_assert_gt(producer_id, 0);
    produce_many(cluster, 1, "orders", producer_id, 0, 100);

    const int leader = cluster_wait_leader(cluster, group, 5 * SECOND_US);
    cr_assert_geq(leader, 0);
    cluster_crash(cluster, (uint32_t)leader, mode);
    const uint32_t other = other_than(cluster, leader);
    produce_many(cluster, other, "orders", producer_id, 100, 200);
    expect_values(cluster, other, "orders", 200);

    cluster_start(cluster, (uint32_t)leader);
    cr_assert_geq(cluster_wait_leader(cluster, group, 5 * SECOND_US), 0);
    for (uint32_t node = 0; node < 3; node++) {
        expect_values(cluster, node, "orders", 200);
    }
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    const uint64_t hash = sim_trace_hash(cluster->sim);
    cluster_destroy(cluster);
    return hash;
}

Test(simulated_node, a_killed_leader_loses_nothing_and_the_same_seed_gives_the_same_run)
{
    const uint64_t first = crash_and_recover(1, SIM_CRASH_KILL);
    cr_assert_eq(crash_and_recover(1, SIM_CRASH_KILL), first);
    cr_assert_neq(crash_and_recover(2, SIM_CRASH_KILL), first);
}

Test(simulated_node, a_leader_without_power_loses_nothing_and_the_same_seed_gives_the_same_run)
{
    const uint64_t first = crash_and_recover(3, SIM_CRASH_POWER);
    cr_assert_eq(crash_and_recover(3, SIM_CRASH_POWER), first);
    for (uint64_t seed = 4; seed < 12; seed++) {
        (void)crash_and_recover(seed, SIM_CRASH_POWER);
    }
}

static bool has_leader(void *data)
{
    return cluster_leader(data, 0) >= 0;
}

/* PROTOCOL V1. Two are left of three, and one of them cannot write: neither its vote nor its candidacy may count. */
Test(simulated_node, nobody_leads_by_a_vote_that_is_not_durable)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster_options options;
        cluster_options_init(&options, seed, 3);
        struct cluster *cluster = cluster_create(&options);
        cluster_start_all(cluster);
        const int leader = cluster_wait_leader(cluster, 0, 5000000);
        cr_assert_geq(leader, 0);
        sim_run_for(cluster->sim, 500000);
        const uint32_t hung = ((uint32_t)leader + 1u) % 3u;
        sim_hang_disk(cluster->sim, hung, true);
        cluster_crash(cluster, (uint32_t)leader, SIM_CRASH_KILL);
        cr_assert_not(sim_run_until_true(cluster->sim, 4000000, has_leader, cluster), "seed %llu",
                      (unsigned long long)seed);
        sim_hang_disk(cluster->sim, hung, false);
        cr_assert(sim_run_until_true(cluster->sim, 10000000, has_leader, cluster));
        cluster_destroy(cluster);
    }
}
