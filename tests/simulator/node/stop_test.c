/* Goal: a node that is told to stop gives its leadership away before it is gone (PROTOCOL C7). Method: simulated nodes, asked
 * at the instant at which the stop is reported; a leader that only goes away is replaced by an election, so a look later
 * would show nothing. */
#include "founded.h"
#include "sim_cluster.h"

#include <criterion/criterion.h>

#define SECOND_US 1000000u
#define NODES     3u

struct stop {
    struct cluster *cluster;
    uint64_t group;
    bool is_stopped;
    int meta_leader, group_leader; /* when it was reported */
};

static void on_stopped(void *data)
{
    struct stop *stop = data;
    stop->meta_leader = cluster_leader(stop->cluster, 0);
    stop->group_leader = cluster_leader(stop->cluster, stop->group);
    stop->is_stopped = true;
}

static bool is_stopped(void *data)
{
    return ((const struct stop *)data)->is_stopped;
}

static void stop_node(struct stop *stop, uint32_t node)
{
    stop->is_stopped = false;
    node_stop(stop->cluster->nodes[node].node, 5000, on_stopped, stop);
    cr_assert(sim_run_until_true(stop->cluster->sim, 8 * SECOND_US, is_stopped, stop));
    cluster_crash(stop->cluster, node, SIM_CRASH_KILL);
}

Test(simulated_stop, leadership_is_elsewhere_when_the_stop_is_reported)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct stop stop = {0};
        stop.cluster = founded_with_topic(seed, NODES, "orders", NODES, &stop.group);
        const uint32_t leaders[] = {founded_leader(stop.cluster, stop.group),
                                    founded_leader(stop.cluster, 0)};
        for (uint32_t i = 0; i < 2; i++) {
            const uint32_t victim = leaders[i];
            if (i == 1 && victim == leaders[0]) break;
            stop_node(&stop, victim);
            cr_assert_geq(stop.group_leader, 0, "seed %d: nobody leads", (int)seed);
            cr_assert_geq(stop.meta_leader, 0, "seed %d: nobody leads meta", (int)seed);
            cr_assert_neq(stop.group_leader, (int)victim, "seed %d: n%u leads", (int)seed,
                          victim + 1u);
            cr_assert_neq(stop.meta_leader, (int)victim, "seed %d: n%u leads meta", (int)seed,
                          victim + 1u);
            cluster_start(stop.cluster, victim);
            (void)founded_leader(stop.cluster, stop.group);
            (void)founded_leader(stop.cluster, 0);
            sim_run_for(stop.cluster->sim, SECOND_US);
        }
        cluster_destroy(stop.cluster);
    }
}
