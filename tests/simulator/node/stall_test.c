/* Goal: a leader whose disk stands still, or is full, does not keep the cluster from writing while others could lead
 * (PROTOCOL C7), and nobody gives way when there is nobody better (L11). Method: the disk of a leader of simulated nodes
 * hangs, or has no room. */
#include "founded.h"
#include "sim_cluster.h"

#include <memory_disk.h>

#include <criterion/criterion.h>

#define SECOND_US 1000000u
#define NODES     3u
#define TOPIC     "orders"

static struct cluster *make(uint64_t seed, uint64_t *ret_group, uint32_t *ret_leader)
{
    struct cluster *cluster = founded(seed, NODES);
    cr_assert_eq(cluster_create_topic(cluster, 0, TOPIC, NODES), NODE_OK);
    *ret_group = cluster_group(cluster, 0, TOPIC);
    const int leader = cluster_wait_leader(cluster, *ret_group, 5 * SECOND_US);
    cr_assert_geq(leader, 0);
    *ret_leader = (uint32_t)leader;
    return cluster;
}

static bool produce(struct cluster *cluster, uint32_t node, uint64_t value, uint64_t us)
{
    return cluster_produce_once(cluster, node, TOPIC, value, -1, 0, us, NULL);
}

struct elsewhere {
    struct cluster *cluster;
    uint64_t group;
    uint32_t not_here;
};

static bool leads_elsewhere(void *data)
{
    const struct elsewhere *elsewhere = data;
    const int leader = cluster_leader(elsewhere->cluster, elsewhere->group);
    return leader >= 0 && leader != (int)elsewhere->not_here;
}

Test(simulated_stall, a_leader_whose_disk_hangs_gives_way_and_does_not_come_back_on_it)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t group;
        uint32_t leader;
        struct cluster *cluster = make(seed, &group, &leader);
        cr_assert(produce(cluster, leader, 0, SECOND_US));
        sim_hang_disk(cluster->sim, leader, true);
        /* The others are a majority: what is written commits, and shows that the leader's own disk does nothing. */
        cr_assert(produce(cluster, leader, 1, 5 * SECOND_US));
        struct elsewhere elsewhere = {.cluster = cluster, .group = group, .not_here = leader};
        cr_assert(sim_run_until_true(cluster->sim, 10 * SECOND_US, leads_elsewhere, &elsewhere),
                  "seed %lu", (unsigned long)seed);
        for (uint32_t i = 0; i < 100; i++) {
            sim_run_for(cluster->sim, SECOND_US / 10u);
            cr_assert_neq(cluster_leader(cluster, group), (int)leader, "it leads on a dead disk");
        }
        cr_assert(produce(cluster, (leader + 1u) % NODES, 2, 5 * SECOND_US));
        sim_hang_disk(cluster->sim, leader, false);
        sim_run_for(cluster->sim, 2 * SECOND_US);
        /* It is as good as any again: alone with another one it may lead. */
        const uint32_t other = (uint32_t)cluster_leader(cluster, group);
        cluster_crash(cluster, other, SIM_CRASH_KILL);
        cr_assert(produce(cluster, leader, 3, 10 * SECOND_US));
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}

static void set_full(struct cluster *cluster, uint32_t node, bool is_full)
{
    struct disk *disk = sim_memory_disk(cluster->sim, node);
    memory_disk_set_capacity(disk, is_full ? memory_disk_used(disk) + 1000u : UINT64_MAX);
}

Test(simulated_stall, a_leader_whose_disk_is_full_hands_over_and_writes_go_on)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t group;
        uint32_t leader;
        struct cluster *cluster = make(seed, &group, &leader);
        cr_assert(produce(cluster, leader, 0, SECOND_US));
        set_full(cluster, leader, true);
        struct elsewhere elsewhere = {.cluster = cluster, .group = group, .not_here = leader};
        cr_assert(sim_run_until_true(cluster->sim, 10 * SECOND_US, leads_elsewhere, &elsewhere),
                  "seed %lu", (unsigned long)seed);
        cr_assert(produce(cluster, (leader + 1u) % NODES, 1, 5 * SECOND_US));
        set_full(cluster, leader, false);
        sim_run_for(cluster->sim, 3 * SECOND_US);
        cr_assert(produce(cluster, leader, 2, 5 * SECOND_US));
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}

Test(simulated_stall, when_all_disks_are_full_reads_go_on_under_the_same_leader)
{
    uint64_t group;
    uint32_t leader;
    struct cluster *cluster = make(3, &group, &leader);
    cr_assert(produce(cluster, leader, 0, SECOND_US));
    for (uint32_t i = 0; i < NODES; i++) {
        set_full(cluster, i, true);
    }
    sim_run_for(cluster->sim, 3 * SECOND_US);
    for (uint32_t i = 0; i < 100; i++) {
        sim_run_for(cluster->sim, SECOND_US / 10u);
        cr_assert_eq(cluster_leader(cluster, group), (int)leader);
        struct cluster_ack records[4];
        cr_assert_eq(cluster_read_all(cluster, i % NODES, TOPIC, records, 4), 1);
    }
    cr_assert_eq(cluster_produce(cluster, leader, TOPIC, 1, -1, 0, NULL), NODE_DISK_FULL);
    for (uint32_t i = 0; i < NODES; i++) {
        set_full(cluster, i, false);
    }
    cr_assert(produce(cluster, leader, 2, 5 * SECOND_US));
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
}

/* What the leader took nobody would confirm, and its producers would be told that nobody knows. */
Test(simulated_stall, when_a_majority_is_full_producers_are_told_so_by_a_leader_with_space)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t group;
        uint32_t leader;
        struct cluster *cluster = make(seed, &group, &leader);
        cr_assert(produce(cluster, leader, 0, SECOND_US));
        for (uint32_t i = 1; i < NODES; i++) {
            set_full(cluster, (leader + i) % NODES, true);
        }
        sim_run_for(cluster->sim, 3 * SECOND_US);
        cr_assert_eq(cluster_leader(cluster, group), (int)leader);
        for (uint64_t i = 0; i < 20; i++) {
            cr_assert_eq(cluster_produce(cluster, leader, TOPIC, 1, -1, 0, NULL), NODE_DISK_FULL);
        }
        set_full(cluster, (leader + 1u) % NODES, false);
        sim_run_for(cluster->sim, 2 * SECOND_US);
        cr_assert(produce(cluster, leader, 1, SECOND_US), "one of them is enough");
        /* Who is not there is no matter of space. */
        cluster_crash(cluster, (leader + 2u) % NODES, SIM_CRASH_KILL);
        sim_run_for(cluster->sim, SECOND_US);
        cr_assert(produce(cluster, leader, 2, SECOND_US));
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}
