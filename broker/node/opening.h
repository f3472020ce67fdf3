/* Opening recorded replicas at start (PROTOCOL M4): state, bases, log, and the core that goes on from them. */
#ifndef BROKER_NODE_OPENING_H
#define BROKER_NODE_OPENING_H

#include <raft/raft.h>

#include <stdbool.h>

struct group;
struct node;
struct node_record;
struct segment_log_point;
struct snapshot_header;
struct tree;

/* At start. False: fatal was called. One that lost its position is noted (lost.c) and not there. */
bool group__open(struct node *node, const struct node_record *record);
/* V3: the votes are lost. True: by its log this node is the group's only voter, and *ret_record is how it goes on. Blocks. */
bool group__survives_lost_vote(struct node *node, uint64_t group_id, uint64_t *ret_last_index,
                               struct node_record *ret_record);

/* Configurations that the core is to know: array[count], index rising. The newest, with as many before it as it remembers. */
struct found_configurations {
    struct raft_indexed_configuration items[RAFT_CONFIGURATIONS_MAX];
    uint32_t count;
    uint64_t unreadable_index; /* 0: none */
};
/* In its place by its index. What the entries up to the first one, the state's, say is over. */
void group__found_configuration(struct found_configurations *found, uint64_t index,
                                const uint8_t *payload, uint32_t payload_bytes);
/* A recorded replica begins to live: state (moved), core, found by others from here on. `begin`: the core begins behind it, as
 * behind a base; NULL: where the log begins. False: fatal was called. */
bool group__start(struct group *group, const struct segment_log_point *begin,
                  const struct raft_hard_state *hard_state, const struct snapshot_header *header,
                  struct tree *state, const struct found_configurations *found);

#endif
