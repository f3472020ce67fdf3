/* Where replicas go. */
#ifndef BROKER_NODE_PLACEMENT_H
#define BROKER_NODE_PLACEMENT_H

#include <raft/raft.h>

#include <stdbool.h>

struct meta_command;
struct node;

/* This node itself is. */
bool placement__is_reached(struct node *node, uint64_t node_id);
/* On a member of group 0: the nodes that can hold replicas and stay. */
uint32_t placement__nodes(struct node *node, uint64_t ret_ids[RAFT_MEMBERS_MAX]);
void placement__place(struct node *node, struct meta_command *command); /* a TOPIC_CREATE */
bool placement__has_room(struct node *node, uint32_t partitions_count);
/* Of these the ones that are reached, but `except`; those with the fewest replicas first. */
uint32_t placement__spares(struct node *node, uint64_t except, uint64_t ret_ids[RAFT_MEMBERS_MAX]);

#endif
