/* Topics: create and delete, and what applying a META entry does on this node (PROTOCOL M4, M7, M8). */
#ifndef BROKER_NODE_TOPICS_H
#define BROKER_NODE_TOPICS_H

#include "list.h"

#include <broker/meta.h>

struct node;
struct node_request;

/* Replicas of a deleted group that told that they are gone (M8). */
struct drop_watch {
    struct list_link link;
    struct meta_topic *topic;
    uint64_t index; /* of the meta entry that deleted it */
    uint64_t asked_us;
    struct node_request *request;
    uint32_t dropped[META_PARTITIONS_MAX]; /* bit per replica position */
};

/* On the leader of meta, as the two below: checked, then proposed. */
void topics__create(struct node_request *request);
void topics__delete(struct node_request *request);
void topics__set(struct node_request *request);
/* A META entry was applied: replicas come and go, and who waits for it is answered. */
void topics__applied(struct node *node, uint64_t index, struct meta_result *result);
void topics__check_waiting(struct node *node); /* creates whose groups may lead now */
void topics__ask_waiting(struct node *node);   /* for notices that were lost */
void topics__dropped(struct node *node, uint64_t group_id, uint64_t by);
/* It waits for no drops any more. */
void topics__forget(struct node_request *request);
/* The state of meta was replaced by that of a base: whoever waits for what it says is told. */
void topics__meta_replaced(struct node *node);
void topics__free_watches(struct node *node);

#endif
