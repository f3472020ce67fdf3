/* Fetches, behind the barrier, on leader and followers alike. */
#ifndef BROKER_NODE_FETCH_H
#define BROKER_NODE_FETCH_H

#include <stdbool.h>

struct group;
struct node_request;

/* The state here is new enough: answer, read, or wait for more. */
void fetch__behind_barrier(struct node_request *request, struct group *group);
void fetch__wake_polls(struct group *group); /* the end of the log may have moved */
/* A dispute began: those that wait for messages wait for its end instead, or are refused (D6). */
void fetch__park_polls(struct group *group);
void fetch__forget(struct node_request *request);
/* Behind a barrier, unless the topic takes local reads. */
void fetch__start(struct node_request *request, struct group *group);
/* While its group stands still by damage (D7): what lies in front of that. False: not a fetch of such messages. */
bool fetch__from_halted(struct node_request *request);

#endif
