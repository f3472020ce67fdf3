/* Which part of the node serves a request, and which node. */
#ifndef BROKER_NODE_DISPATCH_H
#define BROKER_NODE_DISPATCH_H

struct node_request;

/* (Re)start it from the beginning. Not once something of it may be in a log (P4). */
void request__dispatch(struct node_request *request);

#endif
