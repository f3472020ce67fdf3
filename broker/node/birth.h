/* Making replicas: files and base, the record in the node store, then the first vote (PROTOCOL M4, M7). */
#ifndef BROKER_NODE_BIRTH_H
#define BROKER_NODE_BIRTH_H

#include "list.h"

#include <broker/io.h>
#include <broker/meta.h>
#include <raft/raft.h>
#include <segment_log/segment_log.h>

struct node;
struct segment_log;

/* Everything that a new replica needs. Runs off the loop. */
struct group_birth {
    struct io_job job;
    struct node *node;
    uint64_t group_id;
    uint64_t epoch;
    uint64_t meta_index;
    struct raft_configuration configuration;
    bool campaign;
    uint32_t made_mask; /* as in struct group, while this replica is being made */
    char topic[META_TOPIC_NAME_BYTES_MAX + 1];
    uint32_t partition_number;
    int error;
    struct segment_log_problem problem;
    struct segment_log *log;
    uint64_t store_sequence; /* of its record; 0: not put yet */
    uint64_t drop_index;     /* meta entry that deleted it meanwhile; 0: none */
    uint64_t retry_at_us;    /* not running and no record: there was no room, tried again */
    bool running;
    struct list_link link;
};
/* Make a replica on this node, unless it is there, being made or lost, or `meta_index` is not behind its record (M4). No room:
 * tried again from time to time. */
void group__make(struct node *node, uint64_t group_id, uint64_t epoch, uint64_t meta_index,
                 const struct raft_configuration *configuration, bool campaign, const char *topic,
                 uint32_t partition_number);

/* The node store is durable as far as it says: the replicas whose records are begin to live. */
void group__births_durable(struct node *node);
bool group__is_being_made(const struct node *node, uint64_t id);
/* The group was deleted by this meta entry while it was being made; false: it is not being made. */
bool group__cancel_birth(struct node *node, uint64_t group_id, uint64_t meta_index);
void group__retry_births(struct node *node);
void group__free_births(struct node *node);
/* The replica on `node_id` told that it is made. */
void group__made_on(struct node *node, uint64_t group_id, uint64_t node_id);

#endif
