/* Founded clusters, as most tests begin with one. With SIM_VERBOSE in the environment the nodes' log lines go to stderr. */
#ifndef SIMULATOR_NODE_FOUNDED_H
#define SIMULATOR_NODE_FOUNDED_H

#include "sim_cluster.h"

/* Its founders run, and meta has a leader. `options`: borrowed until return. The test destroys it. */
struct cluster *founded_with(struct cluster_options *options);
struct cluster *founded(uint64_t seed, uint32_t nodes_count);
/* The same, and all nodes are known to meta; `topic` has one partition on so many of them. */
struct cluster *founded_with_topic(uint64_t seed, uint32_t nodes_count, const char *topic,
                                   uint32_t replicas, uint64_t *ret_group);

/* Bit per node. */
uint32_t founded_mask(const struct cluster *cluster);
/* The node that leads a group, waited for. */
uint32_t founded_leader(struct cluster *cluster, uint64_t group);
/* What a node says of all; the caller frees it. */
struct node_cluster_status *founded_status(const struct cluster *cluster, uint32_t node);

#endif
