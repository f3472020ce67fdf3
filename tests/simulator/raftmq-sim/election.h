/* After a majority was healed: it must elect. */
#ifndef RAFTMQ_SIM_ELECTION_H
#define RAFTMQ_SIM_ELECTION_H

#include "run.h"

/* Every group that has a majority on these nodes (bit per node) must have a leader that takes writes, within ten election
 * timeouts. Runs the world. */
void election_demand(struct run *run, uint32_t core);
/* Where every replica stands, when something does not get on. */
void election_print(const struct run *run);

#endif
