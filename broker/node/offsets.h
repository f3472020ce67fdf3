/* Consumer offsets of groups (PROTOCOL P5). */
#ifndef BROKER_NODE_OFFSETS_H
#define BROKER_NODE_OFFSETS_H

struct group;
struct node_request;

/* On the leader (P5). Answered when it is applied. */
void offsets__commit(struct node_request *request, struct group *group);
/* Behind a barrier: one group's offset, or all of the partition. */
void offsets__answer(struct node_request *request, struct group *group);

#endif
