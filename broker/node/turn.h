/* The end of a turn of the loop, and the timers of the cores. */
#ifndef BROKER_NODE_TURN_H
#define BROKER_NODE_TURN_H

#include <stdint.h>

struct group;
struct node;

/* There is something to do at the end of this turn. */
void node__post(struct node *node);
/* The same, for this group. */
void node__dirty(struct group *group);
void node__set_timer(struct group *group, uint64_t at_ms); /* of its core */
void turn__init(struct node *node);

#endif
