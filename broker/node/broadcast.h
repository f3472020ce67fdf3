/* How long it takes until what a leader says is durable at a majority: the broadcast time of "broadcast ≪ election timeout ≪
 * time between failures" (Raft §5.6, PROTOCOL C9). With a shorter election timeout than some broadcasts, leaders are
 * replaced that are well.
 *
 * Taken from entries of the leader itself, one of each group at a time: from the append to the commit, so the disks count, as
 * they do for a vote. The newest BROADCAST_TIMES_MAX are kept. Pure. */
#ifndef BROKER_NODE_BROADCAST_H
#define BROKER_NODE_BROADCAST_H

#include <stdbool.h>
#include <stdint.h>

#define BROADCAST_TIMES_MAX 1000u
#define BROADCAST_TIMES_MIN 50u /* of fewer nothing is said: a hundredth of them is nobody */

struct broadcast_times {
    uint32_t us[BROADCAST_TIMES_MAX]; /* a ring */
    uint32_t count;
    uint32_t next;
};

/* The entry of a group that is timed; index 0: none. */
struct broadcast_sample {
    uint64_t index;
    uint64_t term;
    uint64_t since_us;
};

void broadcast_add(struct broadcast_times *times, uint64_t us);
/* 99 of 100 were no longer. 0: too few are known. O(BROADCAST_TIMES_MAX). */
uint64_t broadcast_p99_us(const struct broadcast_times *times);

/* The shortest election timeout is below 10 times that. What was called slow before stays so up to 15 times: at the border it
 * is not told over and over. */
bool broadcast_is_slow(uint64_t p99_us, uint64_t election_timeout_ms_min, bool was_slow);

/* ---- of the groups of a node --------------------------------------------------------------------------------------- */

struct group;
struct node;

void broadcast__appended(struct group *group, uint64_t index, uint64_t term); /* by its leader */
void broadcast__committed(struct group *group);
void broadcast__check(struct node *node); /* from time to time: tells when they are slow (C9) */
/* An election timeout that such broadcasts fit into. */
uint64_t broadcast__wanted_ms(uint64_t p99_us);

#endif
