/* Reads of what this node's disk has lost go to the other replicas (PROTOCOL D7). */
#ifndef BROKER_NODE_ELSEWHERE_H
#define BROKER_NODE_ELSEWHERE_H

#include <stdbool.h>
#include <stdint.h>

struct group;
struct node_request;

/* What a fetch asks for is damaged here: another replica answers it, or it fails and names what is lost. */
void elsewhere__read(struct node_request *request, struct group *group);
/* The answer of that node will not come. */
void elsewhere__lost(struct node_request *request, uint64_t node_id);
/* The replica that was asked is damaged there, too. False: nothing was done, its answer is the answer. */
bool elsewhere__damaged_there(struct node_request *request, uint64_t node_id);
void elsewhere__forget(void *reading);

#endif
