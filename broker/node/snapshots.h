/* Looking after the snapshot files of a replica: a copy of the base at the start of its log, and mending what rots of them
 * (PROTOCOL D, S2). */
#ifndef BROKER_NODE_SNAPSHOTS_H
#define BROKER_NODE_SNAPSHOTS_H

#include <snapshot/copy.h>

struct group;

struct snapshot_care {
    bool is_checking; /* a pass of the scrubber is under way ... */
    bool has_after;
    struct snapshot_file after; /* ... and goes on below this file */
    bool is_copied;             /* the base at copied_index has a copy, or one is on its way */
    uint64_t copied_index;
    uint32_t mends_count;   /* jobs that are out */
    uint64_t asked_us;      /* when snapshots__base_is_bad() began one last; 0: never */
    uint64_t mended_total;  /* files written again, or removed */
    bool is_vouching;       /* a base is read that the log is to start at ... */
    uint64_t vouched_index; /* ... and of the last one, here, it is known to be whole; 0: of none */
    uint64_t lost_index;    /* where has_lost is so */
    bool has_lost;          /* neither the base at the start of the log nor its copy is whole */
};

/* A pass over all snapshot files, one after the other; one that is under way starts again. */
void snapshots__check_begin(struct group *group);
/* Read the next one. False: the pass is over. */
bool snapshots__check_next(struct group *group);
/* One that was found bad is still being written again. A pass that goes on in the background is none of that. */
bool snapshots__are_mended(const struct group *group);
/* Whoever was to use the base at `index` found it damaged or missing: it is mended now, as a pass would when it gets there. One
 * that cannot be is tried again no sooner than a while later, however often it is told. */
void snapshots__base_is_bad(struct group *group, uint64_t index);
/* S5: the base at `index` was read from the device, all of it, so the log may start there. False: not yet, ask again; one that is
 * bad is mended as a pass would, and it may be another one that is asked for then. */
bool snapshots__vouch(struct group *group, uint64_t index);
/* Neither the base at the start of the log nor its copy is whole. */
void snapshots__note_lost_start(struct group *group);
bool snapshots__start_is_lost(const struct group *group);
/* The base at the start of the log gets its copy. */
void snapshots__maintain(struct group *group);

#endif
