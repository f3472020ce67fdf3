/* The vote store is lost (PROTOCOL V3). */
#ifndef BROKER_NODE_VOTES_H
#define BROKER_NODE_VOTES_H

#include <stdbool.h>

struct node;

/* V3: both slots are bad, or the store is missing. What can go on goes on, with a new store; all else is set aside. False:
 * fatal was called. Blocks, at start. */
bool votes__recover(struct node *node);

#endif
