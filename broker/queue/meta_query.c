/* Questions about the state of group 0. Names come from requests and may be anything. */
#include "meta_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool meta_topic_get(const struct meta_state *meta, const char *name, struct meta_topic **ret_topic)
{
    struct meta_topic_record record;
    if (!meta__load_topic(meta->state, name, &record)) return false;
    *ret_topic = meta__allocate(sizeof **ret_topic);
    meta__fill_topic(meta->state, name, &record, *ret_topic);
    return true;
}

bool meta_partition_get(const struct meta_state *meta, const char *name, uint32_t partition,
                        struct meta_partition *ret_partition, struct meta_settings *ret_settings,
                        uint32_t *ret_partitions_count)
{
    struct meta_topic_record record;
    if (!meta__load_topic(meta->state, name, &record)) return false;
    if (ret_partitions_count) *ret_partitions_count = record.partitions_count;
    if (partition >= record.partitions_count) return false;
    if (ret_settings) *ret_settings = record.settings;
    if (!ret_partition) return true;
    return meta__load_group(meta->state, meta__record_group(&record, partition), NULL,
                            ret_partition);
}

struct topics_visit {
    const struct meta_state *meta;
    meta_topic_cb cb;
    void *data;
    struct meta_topic *topic;
};

static bool visit_topic(void *data, struct tree_slice key, struct tree_slice value)
{
    struct topics_visit *visit = data;
    struct meta_topic_record record;
    char name[META_TOPIC_NAME_BYTES_MAX + 1];
    (void)value;
    assert(key.bytes >= 2 && key.bytes <= META_KEY_BYTES_MAX);
    memcpy(name, (const char *)key.data + 1, key.bytes - 1u);
    name[key.bytes - 1u] = '\0';
    bool is_there = meta__load_topic(visit->meta->state, name, &record);
    assert(is_there);
    (void)is_there;
    meta__fill_topic(visit->meta->state, name, &record, visit->topic);
    return visit->cb(visit->data, visit->topic);
}

void meta_topics_visit(const struct meta_state *meta, meta_topic_cb cb, void *data)
{
    uint8_t tag = META_KEY_TOPIC;
    struct tree_slice prefix = {.data = &tag, .bytes = 1};
    struct topics_visit visit = {.meta = meta, .cb = cb, .data = data};
    visit.topic = meta__allocate(sizeof *visit.topic);
    tree_visit(meta->state, prefix, prefix, visit_topic, &visit);
    free(visit.topic);
}

uint32_t meta_topics_count(const struct meta_state *meta)
{
    struct meta_counters counters;
    meta__load_counters(meta->state, &counters);
    return counters.topics_count;
}

uint64_t meta_producer_next(const struct meta_state *meta)
{
    struct meta_counters counters;
    meta__load_counters(meta->state, &counters);
    return counters.next_producer;
}

bool meta_node_get(const struct meta_state *meta, uint64_t node_id, struct meta_node *ret_node)
{
    return meta__load_node(meta->state, node_id, ret_node);
}

uint64_t meta_node_epoch_min(const struct meta_node *node)
{
    return node->renewed_index > node->incarnation_index ? node->renewed_index
                                                         : node->incarnation_index;
}

struct nodes_list {
    const struct meta_state *meta;
    struct meta_node *nodes;
    uint32_t count;
    uint32_t max;
};

static bool add_node(void *data, struct tree_slice key, struct tree_slice value)
{
    struct nodes_list *list = data;
    uint64_t node_id = 0;
    (void)value;
    assert(key.bytes == 9);
    for (uint32_t i = 1; i < key.bytes; i++)
        node_id = node_id << 8 | ((const uint8_t *)key.data)[i];
    bool is_there = meta__load_node(list->meta->state, node_id, &list->nodes[list->count]);
    assert(is_there);
    (void)is_there;
    return ++list->count < list->max;
}

uint32_t meta_nodes(const struct meta_state *meta, struct meta_node *ret_nodes, uint32_t max)
{
    if (max == 0) return 0;
    uint8_t tag = META_KEY_NODE;
    struct tree_slice prefix = {.data = &tag, .bytes = 1};
    struct nodes_list list = {.meta = meta, .nodes = ret_nodes, .max = max};
    tree_visit(meta->state, prefix, prefix, add_node, &list);
    return list.count;
}

static bool holds(const struct meta_replica *replicas, uint32_t count, uint64_t node_id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (replicas[i].node_id == node_id) return true;
    }
    return false;
}

bool meta_node_is_held(const struct meta_state *meta, uint64_t node_id)
{
    uint32_t count;
    uint64_t *groups = meta__groups(meta->state, &count);
    bool is_held = false;
    for (uint32_t i = 0; i < count && !is_held; i++) {
        struct meta_partition partition;
        (void)meta__load_group(meta->state, groups[i], NULL, &partition);
        is_held = holds(partition.replicas, partition.replicas_count, node_id) ||
                  holds(partition.lingering, partition.lingering_count, node_id);
    }
    free(groups);
    return is_held;
}

static bool has_replica(const struct meta_replica *replicas, uint32_t count, uint64_t node_id,
                        uint64_t epoch)
{
    for (uint32_t i = 0; i < count; i++) {
        if (replicas[i].node_id == node_id && replicas[i].epoch == epoch) return true;
    }
    return false;
}

bool meta_replica_is_held(const struct meta_state *meta, uint64_t group, uint64_t node_id,
                          uint64_t epoch)
{
    struct meta_partition partition;
    if (!meta__load_group(meta->state, group, NULL, &partition)) return false;
    return has_replica(partition.replicas, partition.replicas_count, node_id, epoch) ||
           has_replica(partition.lingering, partition.lingering_count, node_id, epoch);
}

void meta_partitions_visit(const struct meta_state *meta, meta_partition_cb cb, void *data)
{
    uint32_t count;
    uint64_t *groups = meta__groups(meta->state, &count);
    bool go_on = true;
    for (uint32_t i = 0; i < count && go_on; i++) {
        char name[META_TOPIC_NAME_BYTES_MAX + 1];
        struct meta_partition partition;
        (void)meta__load_group(meta->state, groups[i], name, &partition);
        go_on = cb(data, name, &partition);
    }
    free(groups);
}

bool meta_group_find(const struct meta_state *meta, uint64_t group, char *ret_name,
                     struct meta_partition *ret_partition, struct meta_settings *ret_settings)
{
    char name[META_TOPIC_NAME_BYTES_MAX + 1];
    struct meta_partition partition;
    struct meta_topic_record record;
    if (!meta__load_group(meta->state, group, name, &partition)) return false;
    bool is_there = meta__load_topic(meta->state, name, &record);
    assert(is_there);
    if (ret_name) memcpy(ret_name, name, strlen(name) + 1u);
    if (ret_partition) *ret_partition = partition;
    if (ret_settings) *ret_settings = record.settings;
    return is_there;
}
