/* Disk work of a node as jobs: log writes, the vote store, free space. */
#ifndef BROKER_NODE_DISK_H
#define BROKER_NODE_DISK_H

#include <stdbool.h>

struct group;
struct node;

/* Start the next write of its log, unless one runs. idle: also a mark that nobody waits for. */
void disk__pump_log(struct group *group, bool idle);
/* Start the next write of the vote store, unless one runs. */
void disk__pump_store(struct node *node);
/* A follower takes what its leader had space for from its reserve, all but a part of it. Else the first disks to be nearly full
 * would leave their leader with entries that nobody confirms, where it could have refused them. */
bool disk__refuses_appends(const struct node *node);
/* From time to time: ask how much is free, off the loop. */
void disk__check_space(struct node *node);

#endif
