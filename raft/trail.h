/* The trail: all that the core knows of the log is which term wrote which stretch of it.
 *
 *     floor          runs[0]          runs[1]        runs[count - 1]
 *     (index, term)  [floor+1 .. ]    [ .. ]   ...   [ .. last_index]
 *
 * Invariants
 *  1. runs are contiguous: runs[0].first == floor_index + 1, each run starts where the one before ends;
 *  2. terms grow strictly from run to run and are never below floor_term;
 *  3. last_index is the end of the last run, or floor_index when there is none;
 *  4. everything at or below the floor is committed.
 *
 * The floor starts at the base of the log. When the array of runs is full, the oldest committed runs are
 * forgotten and the floor moves up: the node then cannot probe a follower below it, nothing else is lost. */
#ifndef RAFT_TRAIL_H
#define RAFT_TRAIL_H

#include <raft/message.h>
#include <raft/types.h>

struct raft_trail {
    struct raft_term_run *runs; /* array[runs_max], the caller's */
    uint32_t runs_max;
    uint32_t runs_count;
    raft_index floor_index;
    raft_term floor_term;
    raft_index last_index;
};

/* Term of the entry at `index`; 0 below the floor and above the end. The floor itself is known. */
raft_term raft__trail_term(const struct raft_trail *trail, raft_index index);
raft_term raft__trail_last_term(const struct raft_trail *trail);

/* Last index of the run that holds `index`, floor_index < index <= last_index. */
raft_index raft__trail_run_end(const struct raft_trail *trail, raft_index index);

/* Highest position at or below `index` whose term is at or below `term`: where two logs can still agree
 * (Raft §5.3, one round trip per term instead of one per entry). An index below the floor comes back as it
 * is; otherwise the floor is the lowest answer. */
raft_index raft__trail_highest_at_term(const struct raft_trail *trail, raft_index index,
                                       raft_term term);

/* Cut everything from `from` on, floor_index < from <= last_index. */
void raft__trail_truncate(struct raft_trail *trail, raft_index from);

/* Append `count` >= 1 entries of `term`. False, and nothing changes, when a new run is needed, the array is
 * full and no run lies wholly at or below commit_index. */
bool raft__trail_append(struct raft_trail *trail, uint64_t count, raft_term term,
                        raft_index commit_index);

/* Move the floor up to `index`, floor_index < index <= last_index: what lies below is forgotten. */
void raft__trail_forget(struct raft_trail *trail, raft_index index);

/* The opposite: the floor goes down to (index, term), below which nothing is known; `runs` tell of index + 1 .. the old floor.
 * Of more runs than there is room for the oldest stay forgotten. False, and nothing changes, when they do not lead there. */
bool raft__trail_recall(struct raft_trail *trail, raft_index index, raft_term term,
                        const struct raft_term_run *runs, uint32_t runs_count);

/* Nothing but a floor at (index, term). */
void raft__trail_reset(struct raft_trail *trail, raft_index index, raft_term term);

/* Could an entry of a new term be appended? */
bool raft__trail_has_room(const struct raft_trail *trail, raft_index commit_index);

#endif
