/* Checkpoints: the state of a group, so that a restart applies little of the log again (PROTOCOL S1, S2). */
#ifndef BROKER_NODE_CHECKPOINT_H
#define BROKER_NODE_CHECKPOINT_H

#include <snapshot/snapshot.h>

#include <stdbool.h>

struct group;

/* Take and write one when it is due, or `force`d and there is anything new. */
void checkpoint__maintain(struct group *group, bool force);

/* The header of a snapshot of what is applied. False: where that is in the log, or which configuration it has, is not known
 * any more. */
bool checkpoint__header(const struct group *group, enum snapshot_kind kind,
                        struct snapshot_header *ret_header);

#endif
