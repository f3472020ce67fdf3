/* What the cluster's operator asks for in the middle of everything, and what he may be answered. */
#ifndef RAFTMQ_SIM_OPERATOR_H
#define RAFTMQ_SIM_OPERATOR_H

#include "run.h"

/* Asks some node for a transfer of leadership: of meta, of a partition, or of all that a node leads; to a node or to the
 * best one. FAULT_TRANSFER is counted when it is answered OK. */
bool operator_transfers(struct run *run, struct draw *draw);

#endif
