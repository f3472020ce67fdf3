/* Partitions with fewer replicas than are wanted get new ones: on the leader of meta. */
#ifndef BROKER_NODE_GROWTH_H
#define BROKER_NODE_GROWTH_H

struct node;

/* From time to time, on the leader of meta. */
void growth__run(struct node *node);

#endif
