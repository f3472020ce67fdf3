/* How the state of group 0 lies in its tree. Private to queue/.
 *
 *   key                  value (little endian; docs/FORMATS.md)
 *   "c"                  counters: topics, next group id, next producer id
 *   "g" group id, u64 BE the partition that this Raft group is, its replicas, its topic
 *   "n" node id, u64 BE  incarnation, addresses, whether it leaves
 *   "t" topic name       settings, birth, the group ids of its partitions in order
 *
 * So the data path finds a partition with two look-ups and decodes no other partition of the topic.
 *
 * Invariants:
 *   1. The groups of all topics and the "g" records are the same set, each below counters.next_group.
 *   2. No partition names a node both as wished and as lingering; a settled one has none lingering.
 *   3. Values were written by apply() or checked by meta_restore(): reading one asserts its form. */
#ifndef BROKER_QUEUE_META_STATE_H
#define BROKER_QUEUE_META_STATE_H

#include <broker/meta.h>

#define META_KEY_COUNTERS 'c'
#define META_KEY_GROUP    'g'
#define META_KEY_NODE     'n'
#define META_KEY_TOPIC    't'

#define META_KEY_BYTES_MAX (1u + META_TOPIC_NAME_BYTES_MAX)

struct meta_counters {
    uint32_t topics_count;
    uint64_t next_group;    /* from 1: group 0 is meta itself */
    uint64_t next_producer; /* from 1 */
};
void meta__load_counters(const struct tree *state, struct meta_counters *ret_counters);
void meta__store_counters(struct tree **state, const struct meta_counters *counters);

bool meta__load_node(const struct tree *state, uint64_t node_id, struct meta_node *ret_node);
void meta__store_node(struct tree **state, const struct meta_node *node);
void meta__remove_node(struct tree **state, uint64_t node_id);

/* What a topic record holds but for its partitions. */
struct meta_topic_record {
    uint64_t created_index;
    int64_t created_ms;
    struct meta_settings settings;
    uint32_t partitions_count;
    const uint8_t *groups; /* partitions_count numbers of 8 bytes, borrowed from the state */
};
uint64_t meta__record_group(const struct meta_topic_record *record, uint32_t partition);
bool meta__load_topic(const struct tree *state, const char *name,
                      struct meta_topic_record *ret_record);

/* ret_name[META_TOPIC_NAME_BYTES_MAX + 1] may be NULL. */
bool meta__load_group(const struct tree *state, uint64_t group, char *ret_name,
                      struct meta_partition *ret_partition);
/* Of a group that has a record already. */
void meta__store_group(struct tree **state, const char *name,
                       const struct meta_partition *partition);
/* The ids of all groups, ascending; malloc'ed. */
uint64_t *meta__groups(const struct tree *state, uint32_t *ret_count);

/* The whole topic, partitions included; it exists. */
void meta__fill_topic(const struct tree *state, const char *name,
                      const struct meta_topic_record *record, struct meta_topic *ret_topic);
void meta__store_topic(struct tree **state, const struct meta_topic *topic);
void meta__remove_topic(struct tree **state, const struct meta_topic *topic);

/* Every value has its form and the invariants hold. O(n log n). */
bool meta__is_sound(const struct tree *state);

/* Shared with the codec of the commands. */
bool meta__is_node_valid(const struct meta_node *node);
bool meta__is_address_valid(const char address[META_ADDRESS_BYTES_MAX]);
bool meta__is_name_valid(const char *name, size_t buffer_bytes);
/* Node ids: none 0, none twice. */
bool meta__are_replicas_valid(const uint64_t *nodes, uint32_t nodes_count);

/* Membership (meta_membership.c). */
void meta__apply_node_set(struct meta_state *meta, uint64_t index,
                          const struct meta_command *command, struct meta_result *result);
void meta__apply_node_add(struct meta_state *meta, const struct meta_command *command,
                          struct meta_result *result);
/* Of the nodes that a new partition was to be on: who leaves gives its place to one that stays, or there is one replica less.
 * ids: array[count], changed in place. Returns their count, at least 1. */
uint32_t meta__avoid_leaving(const struct meta_state *meta, uint64_t *ids, uint32_t count);
void meta__apply_node_remove(struct meta_state *meta, uint64_t index,
                             const struct meta_command *command, struct meta_result *result);
void meta__apply_node_replace(struct meta_state *meta, uint64_t index,
                              const struct meta_command *command, struct meta_result *result);
void meta__apply_place(struct meta_state *meta, uint64_t index, const struct meta_command *command,
                       struct meta_result *result);
void meta__apply_replica_renew(struct meta_state *meta, uint64_t index,
                               const struct meta_command *command, struct meta_result *result);
void meta__apply_config_record(struct meta_state *meta, const struct meta_command *command,
                               struct meta_result *result);

void *meta__allocate(size_t bytes);

#endif
