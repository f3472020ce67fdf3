/* Consumer offsets of groups (PROTOCOL P5). */
#ifndef BROKER_NODE_OFFSETS_H
#define BROKER_NODE_OFFSETS_H

struct group;
struct node_request;

void offsets__commit(struct node_request *request, struct group *group);
void offsets__answer(struct node_request *request, struct group *group);

#endif
