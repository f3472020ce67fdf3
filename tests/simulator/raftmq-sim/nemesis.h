/* The faults of a run: each kind that is on strikes at drawn times, and is taken back after a drawn while. */
#ifndef RAFTMQ_SIM_NEMESIS_H
#define RAFTMQ_SIM_NEMESIS_H

#include "run.h"

/* Starts the nodes, one after the other, and then the faults. */
void nemesis_start(struct run *run);
void nemesis_free(struct run *run);

/* The process on this node is gone, or ends with a fatal error. */
void nemesis_node_gone(struct run *run, uint32_t node);
void nemesis_node_fatal(struct run *run, uint32_t node, enum node_fatal code, const char *reason);

/* One more of these has struck: for those of which it is known only later. */
void nemesis_count(struct run *run, enum fault fault);

/* Nobody starts it but who says so; it is started some time later. */
void nemesis_stay_down(struct run *run, uint32_t node);
void nemesis_start_soon(struct run *run, uint32_t node, uint64_t us);

/* No new faults. */
void nemesis_stop(struct run *run);
/* All disks work again: leadership moves away from a full or hanging disk, but not within the time that an election has. */
void nemesis_heal_disks(struct run *run);
/* These nodes (bit per node) are up, well, and connected with each other from now on. */
void nemesis_heal(struct run *run, uint32_t nodes);
/* Nothing passes between these nodes and the others. */
void nemesis_cut_off(struct run *run, uint32_t nodes, enum sim_link link);

#endif
