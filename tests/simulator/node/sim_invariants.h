/* What must hold on all nodes after every event. A breach ends the process with one line to paste (failure.h).
 *
 *   one leader per group and term, by votes that are durable, and it has what was committed before · commit, applied and
 *   term never fall within a process · a leader commits by an entry of its own term, which a majority holds durably, while
 *   a joint configuration holds one of either half · no two nodes hold different chains, or configurations, at one
 *   committed index, over the whole run · equal applied index, equal state · what was durable, term and vote included, is
 *   there after a restart
 *
 * Looked at where something may have changed: on the node whose process ran in the last event. */
#ifndef SIMULATOR_NODE_SIM_INVARIANTS_H
#define SIMULATOR_NODE_SIM_INVARIANTS_H

#include <broker/node.h>
#include <raft/raft.h>

struct sim;
struct cluster_invariants;

struct cluster_invariants *invariants_create(void);
void invariants_destroy(struct cluster_invariants *invariants);

/* The process on this node ran. */
void invariants_check(struct cluster_invariants *invariants, uint32_t number,
                      const struct node *node);
/* The process on this node is gone: what holds within a process starts anew, what was durable must come back. */
void invariants_forget_process(struct cluster_invariants *invariants, uint32_t number);
/* A file of the node was damaged: its state may be an older one than it had written. */
void invariants_note_damage(struct cluster_invariants *invariants, uint32_t number);
/* The node's disk lied about syncs and lost power since: what it told of as durable may be gone. */
void invariants_excuse(struct cluster_invariants *invariants, uint32_t number);
/* Whether such a node may start, whatever it has lost: nobody needs its word any more. In every group a majority of running
 * voters without it has what is committed; what it said to have lies at or below that; and that majority is past every term
 * in which it may have voted, or has itself chosen the leader of the last one. nodes: NULL where none runs. */
bool invariants_may_return(struct cluster_invariants *invariants, const struct node *const *nodes,
                           uint32_t nodes_count, uint32_t number);
/* This replica of the group was seen on the node: it may have told others something. O(replicas of the node). */
bool invariants_has_run(const struct cluster_invariants *invariants, uint32_t number,
                        uint64_t group, uint64_t epoch);
/* Demand of every two replicas of a group on these nodes (NULL: down) that they are equal: after everything has settled.
 * Returns false, with the reason in `why`, while they differ. */
bool invariants_is_settled(struct cluster_invariants *invariants, const struct node *const *nodes,
                           uint32_t nodes_count, char *why, size_t why_bytes);

/* A test has written another history into a log of that node: it may come to lead by it, and must still commit nothing. */
void invariants_expect_forged(struct cluster_invariants *invariants, uint32_t number);

/* The node's disk as a power cut would leave it now is opened as after a restart: every log must be whole through what
 * the node calls durable, and the store must hold the terms and votes that it calls durable. O(disk). */
void invariants_check_image(struct cluster_invariants *invariants, struct sim *sim, uint32_t number,
                            const struct node *node, uint64_t seed);
/* The message at `offset` is acked at this instant: it must come back from the disks of a majority of the group's
 * replicas, if all of them lost power now. While the group changes, a majority of what it is, or of what a newer CONFIG
 * entry on one of these disks or in a running replica makes of it. nodes: NULL where none runs. False: none of them holds a
 * replica, so nothing can be said. O(disks). */
bool invariants_check_ack(struct cluster_invariants *invariants, struct sim *sim,
                          const struct node *const *nodes, uint32_t nodes_count, uint64_t group,
                          uint64_t offset, uint64_t seed);

/* At this instant a client is told that messages up to `told` (its end) are there: what a majority of the group's replicas
 * has on disk of them. False: who told it is gone, or the group is not known, and nothing can be said. */
bool invariants_durable_end(struct cluster_invariants *invariants, const struct node *const *nodes,
                            uint32_t nodes_count, uint64_t group, uint64_t told, uint64_t *ret_end);

/* Leaders that came up, over the whole run. */
uint64_t invariants_leaders_count(const struct cluster_invariants *invariants);
/* In some term. O(leaders). */
bool invariants_has_led(const struct cluster_invariants *invariants, uint64_t group,
                        uint64_t node_id);
/* The newest configuration of a group that any node calls committed, and the newest that any has used: one that was never
 * committed and is replaced by others may be called newest until a newer one is committed. False: not known yet. */
bool invariants_configurations(const struct cluster_invariants *invariants, uint64_t group,
                               struct raft_indexed_configuration *ret_committed,
                               struct raft_indexed_configuration *ret_newest);
/* CONFIG entries that were committed, over the whole run. */
uint64_t invariants_configurations_count(const struct cluster_invariants *invariants);
/* Logs that were replaced by a base of another replica, over the whole run. */
uint64_t invariants_bases_installed(const struct cluster_invariants *invariants);

#endif
