/* Requests that change who is in the cluster, on the leader of meta. */
#ifndef BROKER_NODE_MEMBERSHIP_H
#define BROKER_NODE_MEMBERSHIP_H

struct meta_result;
struct node_request;

void membership__start(struct node_request *request); /* on the leader of meta */
void membership__applied(struct node_request *request, const struct meta_result *result);

#endif
