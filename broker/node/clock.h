/* The time that stamps are made of (PROTOCOL C8): no single clock, but what a majority of a group's voters agrees on.
 *
 * Nodes tell each other their wall clocks with every frame of heartbeats. A clock that was told is a reading: it goes on
 * with this node's monotonic time until it is told anew, so a voter that is down goes on counting with what it had.
 *
 * Pure. Safety and elections never look at any of this. */
#ifndef BROKER_NODE_CLOCK_H
#define BROKER_NODE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_WALL_MS_MAX INT64_C(253402300799999) /* the end of the year 9999 */

struct clock_reading {
    int64_t wall_ms;
    uint64_t taken_us; /* monotonic, of this node */
    bool is_known;
};

/* A clock that says less than 0 or more than CLOCK_WALL_MS_MAX is as good as none. */
void clock_take(struct clock_reading *reading, int64_t wall_ms, uint64_t now_us);
int64_t clock_read(const struct clock_reading *reading, uint64_t now_us);

/* The lower median of the clocks of `voters_count` voters, of which `clocks_count` are known; the unknown ones count as
 * the lowest. So at least a majority of the voters' clocks stand at the answer or past it, whatever the others say, except
 * that the lowest known clock is the answer when fewer than a majority are known. 1 <= clocks_count <= voters_count.
 * Sorts `clocks`. */
int64_t clock_median(int64_t *clocks, uint32_t clocks_count, uint32_t voters_count);

/* This node's own clock against monotonic time. Alone, nobody else's clock speaks against one that jumps ahead, and what
 * was kept for days would be old in an instant. So retention by time rests after a jump, until the clock has jumped back,
 * or until everything that was stamped before is as old as it looks. */
#define CLOCK_JUMP_MS 5000

struct clock_watch {
    bool is_started;
    int64_t wall_ms;
    uint64_t seen_us;
    int64_t
        ahead_ms; /* what jumps came to since the clock was right; above CLOCK_JUMP_MS: it is ahead */
    uint64_t jumped_us;
};

/* Often: a clock that is slewed is none that jumps. */
void clock_watch_look(struct clock_watch *watch, int64_t wall_ms, uint64_t now_us);
bool clock_watch_rests(const struct clock_watch *watch, uint64_t retention_ms, uint64_t now_us);

/* ---- of the groups of a node --------------------------------------------------------------------------------------- */

struct group;

/* What time it is for the stamps of a group that this node leads (PROTOCOL C8). */
int64_t clock__of_group(struct group *group);

#endif
