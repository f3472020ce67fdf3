/* What the model of a cluster (cluster.c) and the judge of its promises (promises.c) share. */
#ifndef SCENARIO_CLUSTER_INTERNAL_H
#define SCENARIO_CLUSTER_INTERNAL_H

#include "cluster.h"

#include <stddef.h>

void cluster__require(const struct cluster *cluster, bool holds, const char *promise);
void *cluster__allocate(size_t count, size_t bytes);
uint64_t cluster__mix(uint64_t x);

/* ---- cluster_log.c ---- */

void cluster__log_apply(struct cluster_log *log, const struct cluster_disk_job *job);
void cluster__log_copy(struct cluster_log *target, const struct cluster_log *source);
/* The first `count` entries of source, all of them covered by a base. */
void cluster__log_copy_base(struct cluster_log *target, const struct cluster_log *source,
                            raft_index count);
bool cluster__log_has(const struct cluster_log *log, raft_index index, uint64_t chain);
/* What the newest CONFIG entry at or below `index` says; its index. */
const struct raft_configuration *cluster__log_configuration(const struct cluster *cluster,
                                                            const struct cluster_log *log,
                                                            raft_index index,
                                                            raft_index *ret_index);
void cluster__packets_push(struct cluster_packets *packets, struct cluster_packet packet);
struct cluster_packet cluster__packets_take(struct cluster_packets *packets, uint32_t i);
void cluster__packets_clear(struct cluster_packets *packets);
uint32_t cluster__append_count(const struct raft_message *m);

/* ---- cluster.c ---- */

enum raft_status cluster__step(struct cluster *cluster, raft_node_id id, struct raft_event event,
                               const struct cluster_packet *received);
void cluster__drop_jobs(struct cluster_node *node);

/* ---- cluster_base.c ---- */

/* The update names members that need a base. */
void cluster__send_bases(struct cluster *cluster, struct cluster_node *node);
/* The update says that the log starts anew. */
void cluster__replace_log(struct cluster *cluster, struct cluster_node *node);
/* Recovery: an installed base is preferred to a log that lacks it. */
void cluster__recover_base(struct cluster_node *node);
void cluster__drop_transfers(struct cluster *cluster);

/* ---- promises.c ---- */

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
/* A CONFIG entry that a leader is about to append. */
void cluster__check_change(const struct cluster *cluster, const struct cluster_node *node);
/* After each step. */
void cluster__check_configuration(const struct cluster *cluster, const struct cluster_node *node);
/* The node has judged a PREVOTE; its update is in the cluster. */
void cluster__check_asked(const struct cluster *cluster, const struct cluster_node *node);
/* What a step gives out disturbs nobody that hears a leader. */
void cluster__check_peace(const struct cluster *cluster, const struct cluster_node *node,
                          const struct raft_event *event);
/* Of the configuration that the node uses, both halves. */
uint32_t cluster__voters_count(const struct cluster_node *node);
/* After each tick. */
void cluster__check_stalled(const struct cluster *cluster, const struct cluster_node *node);
/* Whom a message goes to, when the core gives it out. */
void cluster__check_addressee(const struct cluster *cluster, const struct cluster_node *node,
                              const struct raft_message *m);
/* A message that leaves now. */
void cluster__check_sent(const struct cluster *cluster, const struct cluster_node *node,
                         const struct raft_message *m);
/* Acks are judged when the core gives them out, also those that wait for a vote to be durable. */
void cluster__check_ack(const struct cluster *cluster, const struct cluster_node *node,
                        const struct raft_message *m);

#endif
