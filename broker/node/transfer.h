/* Leadership handed over because somebody asked for it (thesis §3.10). */
#ifndef BROKER_NODE_TRANSFER_H
#define BROKER_NODE_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

struct group;
struct node;
struct node_request;

/* On the leader of `group`, with its own-term no-op applied. */
void transfer__start(struct node_request *request, struct group *group);
void transfer__start_from(struct node_request *request); /* of all groups that a node leads */
/* Who waits may be answered: a leader or its applied index changed, or time went by. */
void transfer__check(struct node *node);
/* Answered with what is known so far. */
void transfer__timed_out(struct node_request *request);
/* The node that was asked to hand over was lost or deposed before it answered: another leader is an answer, too. */
void transfer__answer_lost(struct node_request *request, uint64_t node_id);
/* True: answered, because whoever leads now does so since the asked one was lost. */
bool transfer__is_answered_by(struct node_request *request, uint64_t leader);

#endif
