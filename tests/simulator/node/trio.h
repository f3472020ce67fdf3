/* A cluster of three with one partition, and what tests of damage do to one of its nodes. */
#ifndef TRIO_H
#define TRIO_H

#include "peek.h"
#include "sim_cluster.h"

#include <stdint.h>

#define TRIO_MESSAGES 40u

struct trio {
    struct cluster *cluster;
    uint64_t group;
    uint32_t leader, follower, third;
};

/* Founded, its topic holds TRIO_MESSAGES; checkpoints come after so many entries. cluster_destroy() it. */
struct trio trio_make_with(uint64_t seed, uint64_t checkpoint_entries);
/* ... never. */
struct trio trio_make(uint64_t seed);
struct peek_group trio_peek(const struct trio *trio, uint32_t node);
/* Of a struct trio, for sim_run_until_true(). */
bool trio_follower_leads(void *data);
uint32_t trio_holes(const struct trio *trio, uint32_t node);

/* A message more at the leader, and nobody waits for its answer. trio_forget() it. */
struct cluster_call *trio_send(const struct trio *trio, uint64_t value);
void trio_forget(struct cluster_call *call);
void trio_run_until_durable(const struct trio *trio, uint32_t node, uint64_t index);

/* The disk of `node`, while it is down or not: the record of this entry rots. */
void trio_rot_entry(const struct trio *trio, uint32_t node, uint64_t index);

#endif
