/* What befalls a disk apart from power cuts: it is lost, or something on it is not what was written there. */
#ifndef RAFTMQ_SIM_DAMAGE_H
#define RAFTMQ_SIM_DAMAGE_H

#include <broker/node.h>

#include "draw.h"
#include "plan.h"

struct run;

/* Of a run. */
struct damage {
    uint32_t damaged; /* bit per node that may find damage, and must then stop and say so */
    uint32_t found;   /* ... and did */
    struct disk *backups[PLAN_NODES_MAX]; /* NULL: none was made */
};

/* The node runs, and is killed when the fault needs it. False: nothing was struck (yet). */
bool damage_strike(struct run *run, enum fault fault, uint32_t node, struct draw *draw);
/* A process may end with this code because of what befell its disk. */
bool damage_explains(struct run *run, uint32_t node, enum node_fatal code);
/* It did: no start of this node will end otherwise. */
bool damage_is_final(const struct run *run, uint32_t node);
/* A look at what its disk would be after a power cut shows nothing but what befell it. */
bool damage_hides_image(const struct run *run, uint32_t node);
void damage_close(struct damage *damage);

#endif
