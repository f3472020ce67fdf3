/* Goal: nodes are replaced, removed and partitions moved while producers work; nothing acked is lost, and a replica goes
 * only when its group's configuration without it is recorded (PROTOCOL M3, M4, M9, C1). Method: real nodes in the simulated
 * world, changes by request, the history of the producers read back through the nodes that stay. */
#include "members.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>

#define SECOND_US 1000000u
#define SETTLE_US (60u * SECOND_US)
#define TOPIC     "orders"

static struct cluster *make(uint64_t seed, uint32_t nodes, uint32_t replicas, uint64_t *ret_group)
{
    struct cluster_options options;
    cluster_options_init(&options, seed, nodes);
    if (getenv("MEMBERS_LOG")) options.log = stderr;
    struct cluster *cluster = cluster_create(&options);
    cluster_start_all(cluster);
    cr_assert_geq(cluster_wait_leader(cluster, 0, 5 * SECOND_US), 0);
    cr_assert_eq(cluster_create_topic(cluster, 0, TOPIC, replicas), NODE_OK);
    *ret_group = peek_partition_group(cluster->nodes[0].node, TOPIC, 0);
    sim_run_for(cluster->sim, 3 * SECOND_US); /* the nodes register */
    return cluster;
}

static uint32_t all_of(const struct cluster *cluster)
{
    return (1u << cluster->options.nodes_count) - 1u;
}

static uint32_t leader_of(struct cluster *cluster, uint64_t group)
{
    const int leader = cluster_wait_leader(cluster, group, 10 * SECOND_US);
    cr_assert_geq(leader, 0);
    return (uint32_t)leader;
}

/* The only node without a replica. */
static uint32_t outsider(struct cluster *cluster, uint64_t group)
{
    uint32_t node = 0;
    while (node < cluster->options.nodes_count && members_has_replica(cluster, node, group))
        node++;
    cr_assert_lt(node, cluster->options.nodes_count, "every node has a replica");
    return node;
}

static uint32_t other_than(const struct cluster *cluster, uint32_t a, uint32_t b)
{
    uint32_t node = 0;
    while (node == a || node == b)
        node++;
    cr_assert_lt(node, cluster->options.nodes_count);
    return node;
}

static void expect_settled(struct load *load, uint32_t through)
{
    struct node_change change = {0};
    if (load_run_until_settled(load, SETTLE_US, through)) return;
    (void)members_changes(load->cluster, through, &change);
    cr_assert_fail("seed %" PRIu64 ": group %" PRIu64 " is still %s: %s",
                   load->cluster->options.seed, change.group, node_change_state_text(change.state),
                   change.blocked);
}

/* ---- replacing -------------------------------------------------------------------------------------------------------------- */

/* The replica of `old` moves to the fourth node, which then takes its place in group 0, too. */
static void replace_one(uint64_t seed, bool is_leader, bool is_dead)
{
    uint64_t group = 0;
    struct cluster *cluster = make(seed, 4, 3, &group);
    struct load *load = calloc(1, sizeof(*load));
    const uint32_t new = outsider(cluster, group);
    const uint32_t leader = leader_of(cluster, group);
    const uint32_t old = is_leader ? leader : other_than(cluster, leader, new);
    const uint32_t witness = other_than(cluster, old, new);
    load_start(load, cluster, TOPIC, all_of(cluster) & ~(1u << old));
    load_run(load, SECOND_US);
    if (is_dead) cluster_crash(cluster, old, SIM_CRASH_KILL);
    cr_assert_eq(members_change_surely(cluster, witness, NODE_REQUEST_NODE_REPLACE, old, new),
                 NODE_OK);
    expect_settled(load, witness);

    const uint32_t rest = all_of(cluster) & ~(1u << old);
    cr_assert_eq(members_voters(cluster, witness, group), rest);
    cr_assert_eq(members_voters(cluster, witness, 0), rest);
    cr_assert_eq(members_all(cluster, witness, 0), rest, "it left group 0, too");
    cr_assert_not(is_dead ? false : members_has_replica(cluster, old, group));
    load_check(load, rest);
    if (!is_dead) cr_assert_not(members_has_files(cluster, old, group), "seed %" PRIu64, seed);
    cr_assert_eq(members_change_surely(cluster, witness, NODE_REQUEST_NODE_REMOVE, old, 0),
                 NODE_UNKNOWN_NODE);
    free(load);
    cluster_destroy(cluster);
}

Test(simulated_membership, a_live_voter_is_replaced_under_load)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        replace_one(seed, /* is_leader= */ false, /* is_dead= */ false);
    }
}

Test(simulated_membership, the_leader_of_the_group_is_replaced_under_load)
{
    for (uint64_t seed = 11; seed <= 15; seed++) {
        replace_one(seed, /* is_leader= */ true, /* is_dead= */ false);
    }
}

Test(simulated_membership, a_dead_voter_is_replaced_under_load)
{
    for (uint64_t seed = 21; seed <= 25; seed++) {
        replace_one(seed, /* is_leader= */ seed % 2 == 0, /* is_dead= */ true);
    }
}
