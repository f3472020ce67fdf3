/* Disk work of a node as jobs: log writes, the vote store, free space. */
#ifndef BROKER_NODE_DISK_H
#define BROKER_NODE_DISK_H

#include <stdbool.h>

struct group;
struct node;

void disk__pump_log(struct group *group, bool idle);
void disk__pump_store(struct node *node);
void disk__check_space(struct node *node);

#endif
