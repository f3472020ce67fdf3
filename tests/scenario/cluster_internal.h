/* What the model of a cluster (cluster.c) and the judge of its promises (promises.c) share. */
#ifndef SCENARIO_CLUSTER_INTERNAL_H
#define SCENARIO_CLUSTER_INTERNAL_H

#include "cluster.h"

#include <stddef.h>

void cluster__require(const struct cluster *cluster, bool holds, const char *promise);
void *cluster__allocate(size_t count, size_t bytes);
uint64_t cluster__mix(uint64_t x);

/* Append; the chain of the entry is computed here. */
void cluster__log_push(struct cluster_log *log, struct cluster_entry entry);
const struct cluster_entry *cluster__log_at(const struct cluster_log *log, raft_index index);

/* An entry that a node has just taken. */
void cluster__check_log_matching(struct cluster *cluster, const struct cluster_log *log,
                                 raft_index index);
/* A node that has just won `term`. */
void cluster__check_leader(struct cluster *cluster, const struct cluster_node *node,
                           raft_term term);
/* The commit index that a node in `term` tells; recorded when it is news. */
void cluster__check_commit(struct cluster *cluster, struct cluster_node *node, raft_index index,
                           raft_term term);
/* A message that leaves now. */
void cluster__check_sent(const struct cluster *cluster, const struct cluster_node *node,
                         const struct raft_message *m);
/* Acks are judged when the core gives them out, also those that wait for a vote to be durable. */
void cluster__check_ack(const struct cluster *cluster, const struct cluster_node *node,
                        const struct raft_message *m);

#endif
