/* Replicas that found damage when they were opened: their cores start when the log is whole (PROTOCOL D4). */
#ifndef BROKER_NODE_MENDING_H
#define BROKER_NODE_MENDING_H

#include <stdbool.h>
#include <stdint.h>

struct found_configurations;
struct group;
struct node;
struct raft_configuration;
struct raft_hard_state;
struct snapshot_header;
struct tree;

/* At start: the log has holes. Takes over `state`; the group is not attached. */
void mending__begin(struct group *group, const struct raft_hard_state *hard_state,
                    const struct snapshot_header *header, struct tree *state,
                    const struct found_configurations *found);
/* From time to time: repair goes on, and what is ready starts. */
void mending__run(struct node *node);
/* NULL: no such replica is being mended. */
struct group *mending__find(const struct node *node, uint64_t group_id);
/* The same, when others could not mend it so far and it cannot start without; its partition and applied index are those of its state then. */
struct group *mending__readable(const struct node *node, uint64_t group_id);
/* The newest that is known. */
const struct raft_configuration *mending__configuration(const struct group *group);
/* What its state holds; without the entries behind it the core cannot start. */
uint64_t mending__state_index(const struct group *group);
/* A repair brought one. */
void mending__note_configuration(struct group *group, uint64_t index, const uint8_t *payload,
                                 uint32_t payload_bytes);
/* Nobody ever held what is damaged from here on: it is cut (D4). */
void mending__cut(struct group *group, uint64_t from_index);
void mending__free(struct group *group);

#endif
