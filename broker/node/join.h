/* A directory that is new to its cluster comes in (PROTOCOL M2, M5). */
#ifndef BROKER_NODE_JOIN_H
#define BROKER_NODE_JOIN_H

struct node;
struct peer_frame;

void join__ask(struct node *node); /* from time to time */
void join__asked(struct node *node, const struct peer_frame *frame);
void join__answered(struct node *node, const struct peer_frame *frame);

#endif
