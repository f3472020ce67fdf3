/* What befalls a disk apart from power cuts: it is lost, or something on it is not what was written there. */
#ifndef RAFTMQ_SIM_DAMAGE_H
#define RAFTMQ_SIM_DAMAGE_H

#include <broker/node.h>

#include "draw.h"
#include "plan.h"

struct run;
struct cut;

/* Of a run. */
struct damage {
    uint32_t damaged; /* bit per node that may find damage, and must then stop and say so */
    uint32_t found;   /* ... and did */
    uint32_t lying;   /* ... whose disk lies about syncs now */
    uint32_t
        waits; /* ... and lost power meanwhile: it starts when nobody needs what it may have lost */
    struct cut *cuts;                     /* of power, that are due or over */
    struct disk *backups[PLAN_NODES_MAX]; /* NULL: none was made */
};

/* The node runs, and is killed when the fault needs it. False: nothing was struck (yet). */
bool damage_strike(struct run *run, enum fault fault, uint32_t node, struct draw *draw);
/* The node is about to start. True: not yet, for its disk lied, and others still count on what it told of. Such a node is one of
 * those that may fail: what it lost silently, a vote among it, no rule can give back (docs/TESTING.md). */
bool damage_holds_start(struct run *run, uint32_t node);
/* Its disk lies no more. */
void damage_ends_lie(struct run *run, uint32_t node);
/* A process may end with this code because of what befell its disk. */
bool damage_explains(struct run *run, uint32_t node, enum node_fatal code);
/* It did: no start of this node will end otherwise. */
bool damage_is_final(const struct run *run, uint32_t node);
/* Its disk is not what it was, or will not be after a power cut. */
bool damage_is_on(const struct run *run, uint32_t node);
/* A look at what its disk would be after a power cut shows nothing but what befell it. */
bool damage_hides_image(const struct run *run, uint32_t node);
/* Another disk is in the place of its. */
void damage_forget(struct run *run, uint32_t node);
void damage_close(struct damage *damage);

#endif
