/* What a node tells of the holes in its logs (PROTOCOL D1, D7). */
#ifndef BROKER_NODE_HOLES_H
#define BROKER_NODE_HOLES_H

#include <broker/node_request.h>

struct group;
struct segment_log_hole;

/* Ranges of a log in which something that is kept is damaged, and the first one; NULL: not wanted. What lies in front of the start
 * that retention gave the log counts for nothing: no message that is kept is in it, and it goes with its file. O(holes). */
uint32_t holes__kept(const struct group *group, struct segment_log_hole *ret_first);
/* Sets damaged_ranges, unrepaired_ranges and damage. */
void holes__describe(const struct node *node, struct node_cluster_status *status);

#endif
