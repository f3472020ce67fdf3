/* A path of events as sentences: what happened, and what the cores said to it. */
#ifndef EXPLORE_NARRATE_H
#define EXPLORE_NARRATE_H

#include "world.h"

/* From the start through path[length - 1]. `aborts`: the last one ends in an assertion of the core, so it is told and
 * not stepped again. */
void narrate(struct universe *universe, struct replica *replica, const uint32_t *path,
             uint32_t length, bool aborts);

#endif
