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
/* From time to time: ask how much is free, off the loop. */
void disk__check_space(struct node *node);

#endif
