/* What must hold on all nodes after every event (sim_cluster.h lists it). A breach prints one line and aborts. */
#ifndef SIMULATOR_NODE_SIM_INVARIANTS_H
#define SIMULATOR_NODE_SIM_INVARIANTS_H

#include <broker/node_request.h>

struct sim;
struct cluster_invariants;

struct cluster_invariants *invariants_create(uint64_t seed);
void invariants_destroy(struct cluster_invariants *invariants);
void invariants_set_clock(struct cluster_invariants *invariants, const struct sim *sim);
void invariants_check(struct cluster_invariants *invariants, uint32_t node,
                      const struct node_group_status *groups, uint32_t count);
/* The process of this node is gone: what held within a process starts anew. */
void invariants_forget_process(struct cluster_invariants *invariants, uint32_t node);

#endif
