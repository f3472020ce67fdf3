#include "founded.h"

#include "peek.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define SECOND_US 1000000u

struct cluster *founded_with(struct cluster_options *options)
{
    if (getenv("SIM_VERBOSE")) options->log = stderr;
    struct cluster *cluster = cluster_create(options);
    const uint32_t founders =
        options->founders_count ? options->founders_count : options->nodes_count;
    for (uint32_t node = 0; node < founders; node++) {
        cluster_start(cluster, node);
    }
    cr_assert_geq(cluster_wait_leader(cluster, 0, 5 * SECOND_US), 0, "no leader of meta");
    return cluster;
}

struct cluster *founded(uint64_t seed, uint32_t nodes_count)
{
    struct cluster_options options;
    cluster_options_init(&options, seed, nodes_count);
    return founded_with(&options);
}

struct cluster *founded_with_topic(uint64_t seed, uint32_t nodes_count, const char *topic,
                                   uint32_t replicas, uint64_t *ret_group)
{
    struct cluster *cluster = founded(seed, nodes_count);
    cr_assert_eq(cluster_create_topic(cluster, 0, topic, replicas), NODE_OK);
    sim_run_for(cluster->sim, 2 * SECOND_US); /* the nodes register */
    *ret_group = peek_partition_group(cluster->nodes[0].node, topic, 0);
    cr_assert_neq(*ret_group, 0);
    return cluster;
}

uint32_t founded_mask(const struct cluster *cluster)
{
    return (1u << cluster->options.nodes_count) - 1u;
}

uint32_t founded_leader(struct cluster *cluster, uint64_t group)
{
    const int leader = cluster_wait_leader(cluster, group, 10 * SECOND_US);
    cr_assert_geq(leader, 0, "no leader of group %llu", (unsigned long long)group);
    return (uint32_t)leader;
}

struct node_cluster_status *founded_status(const struct cluster *cluster, uint32_t node)
{
    struct node_cluster_status *status = calloc(1, sizeof(*status));
    cr_assert_not_null(status);
    node_cluster_status(cluster->nodes[node].node, status);
    return status;
}
