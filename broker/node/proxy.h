/* Requests for another node, and those of other nodes for this one. */
#ifndef BROKER_NODE_PROXY_H
#define BROKER_NODE_PROXY_H

#include <stdbool.h>
#include <stdint.h>

struct node;
struct node_request;
struct peer_frame;

/* Hand the request to another node; false: not connected. */
bool proxy__send(struct node_request *request, uint64_t to);
/* Nobody waits for the answer any more: a node that waits for messages in this one's stead need not. */
void proxy__cancel(struct node_request *request);
/* A REQUEST of a peer, or that it needs no answer any more, or the RESPONSE to one of this node's. */
void proxy__frame(struct node *node, const struct peer_frame *frame);
/* What it was asked is asked again elsewhere, or its outcome is unknown. */
void proxy__peer_down(struct node *node, uint64_t node_id);
/* Somebody else may lead by now. */
void proxy__check_leader(struct node_request *request, uint64_t now_us);
void proxy__free_all(struct node *node);

#endif
