/* What the cluster's operator does in the midst of everything: asks for leadership to move, for nodes to come, go and take
 * each other's place, and puts new disks into nodes that stopped over damaged ones. */
#ifndef RAFTMQ_SIM_OPERATOR_H
#define RAFTMQ_SIM_OPERATOR_H

#include "run.h"

void operator_starts(struct run *run);
void operator_free(struct run *run);

/* Asks some node for what the fault says. It is counted when it is answered OK. False: nothing was asked, since the cluster as it
 * stands gives no occasion. */
bool operator_strikes(struct run *run, enum fault fault, struct draw *draw);
/* Asked and not answered: something that may leave a group with fewer voters. */
bool operator_shrinks(const struct run *run);
/* How a node whose disk is empty is started again. */
void operator_configures(struct run *run, uint32_t node, struct draw *draw);
/* Every disk that may be damaged is replaced now, and what does not belong to the cluster is switched off. */
void operator_tidies(struct run *run);

#endif
