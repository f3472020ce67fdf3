/* The clients of a run. Each draws from a stream of its own, asks any node, and goes on after whatever it is answered.
 *
 *   producer    idempotent ones send again until they are acked, some of it twice; plain ones send once
 *   consumer    follows a partition from any node, polls long, now and then seeks
 *   committer   commits and reads offsets of a consumer group
 *   admin       makes the topics of the run; then, when the plan says so, makes and deletes others */
#ifndef RAFTMQ_SIM_CLIENTS_H
#define RAFTMQ_SIM_CLIENTS_H

#include "run.h"

void clients_start(struct run *run);
void clients_free(struct run *run);
/* Nothing that must still be acked is left, and no client waits for an answer. */
bool clients_are_idle(const struct run *run);
/* A node to ask: mostly one that is up. */
uint32_t clients_pick_node(const struct run *run, struct draw *draw);
uint64_t clients_latency_us(const struct run *run, struct draw *draw);
/* To such a node, with such a latency. */
void clients_send(struct op *op, struct draw *draw);
/* Statuses after which nothing can have been stored. */
bool clients_is_definite(enum node_status status);
/* Fails when the answer says that something is missing that was acked to be there, or is worse than that. */
void clients_check_status(const struct run *run, uint32_t node, const struct node_request *request,
                          uint32_t partition);

/* What the history knows a batch by. */
struct sent_batch {
    uint64_t value; /* of the first message */
    uint32_t count;
    uint32_t session;
    int64_t producer_id; /* -1: none */
    int32_t sequence;
};

/* One attempt at op->partition, with the answer that is in the op. */
void producers_record(const struct op *op, const struct sent_batch *sent,
                      enum history_outcome outcome, uint64_t completed);
void producers_start(struct run *run);
void producers_free(struct run *run);
bool producers_are_idle(const struct run *run);
void consumers_start(struct run *run);
void consumers_free(struct run *run);
void committers_start(struct run *run);
void committers_free(struct run *run);
void admin_start(struct run *run);
void admin_free(struct run *run);

/* ---- after the faults ---- */

/* Each of these partitions (bit per number in run->partitions) must take a new message by then, whichever of these nodes
 * (bit per node) is asked. Runs the world. */
void clients_demand_writes(struct run *run, uint32_t nodes, uint32_t partitions, uint64_t us);
/* Read every partition from each of these nodes to its end, each fetch within `us`, and tell the history that it was
 * drained. They must be equal and at rest. Runs the world. */
void clients_read_everything(struct run *run, uint32_t nodes, uint64_t us);

#endif
