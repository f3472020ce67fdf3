/* A disk that stands still, or is full, under a leader (PROTOCOL C7). */
#ifndef BROKER_NODE_STALL_H
#define BROKER_NODE_STALL_H

struct node;

/* From time to time: a leader whose disk stands still hands over. */
void stall__check(struct node *node);

#endif
