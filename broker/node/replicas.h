/* The replicas that the applied state of meta puts on this node (PROTOCOL M4, M5, M7). */
#ifndef BROKER_NODE_REPLICAS_H
#define BROKER_NODE_REPLICAS_H

#include <stdbool.h>
#include <stdint.h>

struct meta_topic;
struct node;

/* Those of it that are on this node. */
void replicas__make_topic(struct node *node, const struct meta_topic *topic);
/* Deleted by the meta entry at `index`. */
void replicas__drop_topic(struct node *node, uint64_t index, const struct meta_topic *topic);
/* The applied state does not hold this replica of the node any more. */
bool replicas__is_let_go(const struct node *node, uint64_t group_id, uint64_t epoch);
/* What a dropped replica is recorded with: entries at or below it make no other one (M4). */
uint64_t replicas__drop_index(const struct node *node, uint64_t group_id, uint64_t epoch);
/* Make and drop what the applied state says. */
void replicas__reconcile(struct node *node);

#endif
