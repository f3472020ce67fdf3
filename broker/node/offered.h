/* A founding that is told to an empty node and does not list its directory (PROTOCOL M6). */
#ifndef BROKER_NODE_OFFERED_H
#define BROKER_NODE_OFFERED_H

#include <stdint.h>

struct founding;
struct node;

/* `founding`: copied. Takes it at once when nothing speaks against it. */
void offered__note(struct node *node, uint64_t from, const struct founding *founding);
/* Somebody came, or time has passed: may what was told be taken now? Does nothing when nothing was told. */
void offered__look(struct node *node);

#endif
