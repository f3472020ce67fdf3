/* Committed entries go, in order, into the state (PROTOCOL P1, P4). */
#ifndef BROKER_NODE_APPLY_H
#define BROKER_NODE_APPLY_H

#include <stdint.h>

struct group;

/* Apply what is committed and not applied, as far as it is in memory; the rest follows behind a read job. */
void apply__run(struct group *group);
void apply__truncated(struct group *group, uint64_t from_index);

#endif
