/* The records in the tree of group 0: their keys, their encodings, and the check of a loaded state. */
#include "meta_state.h"

#include "codec.h"
#include "settings.h"

#include <broker/partition.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define RECORD_VERSION         1u
#define COUNTERS_BYTES         24u
#define TOPIC_RECORD_BYTES_MAX (24u + PARTITION_SETTINGS_BYTES_MAX + META_PARTITIONS_MAX * 8u)
#define GROUP_FIXED_BYTES      40u
#define GROUP_RECORD_BYTES_MAX                                                  \
    (GROUP_FIXED_BYTES + (2u * META_REPLICAS_MAX + META_NODES_MAX) * 16u + 2u + \
     META_TOPIC_NAME_BYTES_MAX)
#define NODE_RECORD_BYTES_MAX (40u + 3u * (2u + META_ADDRESS_BYTES_MAX))

/* The records of nodes and groups changed when members could; the others did not. */
#define MEMBERSHIP_VERSION 2u
/* That of nodes once more, when single replicas could be renewed. */
#define NODE_VERSION 3u

#define NODE_VOTER     0x01u
#define NODE_LEAVING   0x02u
#define NODE_FLAGS_ALL 0x03u

void *meta__allocate(size_t bytes)
{
    void *memory = malloc(bytes);
    if (!memory) {
        fprintf(stderr, "meta: out of memory for %zu bytes\n", bytes);
        abort();
    }
    return memory;
}

/* ---- keys --------------------------------------------------------------------------------------------------------- */

static struct tree_slice number_key(uint8_t buffer[META_KEY_BYTES_MAX], uint8_t tag,
                                    uint64_t number)
{
    buffer[0] = tag;
    put_u64_big(buffer + 1, number);
    return (struct tree_slice){.data = buffer, .bytes = 9};
}

/* The name is valid. */
static struct tree_slice topic_key(uint8_t buffer[META_KEY_BYTES_MAX], const char *name)
{
    size_t bytes = strlen(name);
    assert(bytes <= META_TOPIC_NAME_BYTES_MAX);
    buffer[0] = META_KEY_TOPIC;
    memcpy(buffer + 1, name, bytes);
    return (struct tree_slice){.data = buffer, .bytes = (uint32_t)(1u + bytes)};
}

/* ---- rules of values, shared with the commands ---------------------------------------------------------------------- */

const char *meta_name_problem(const char *name, size_t bytes)
{
    if (bytes == 0) return "a topic name is empty";
    if (bytes > META_TOPIC_NAME_BYTES_MAX) return "a topic name is longer than 128 bytes";
    for (size_t i = 0; i < bytes; i++) {
        char c = name[i];
        bool is_allowed = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                          (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
        if (!is_allowed) return "a topic name may hold only A-Z a-z 0-9 . _ -";
    }
    if ((bytes == 1 && name[0] == '.') || (bytes == 2 && name[0] == '.' && name[1] == '.')) {
        return "a topic cannot be named \".\" or \"..\"";
    }
    return NULL;
}

bool meta__is_name_valid(const char *name, size_t buffer_bytes)
{
    size_t bytes = strnlen(name, buffer_bytes);
    return bytes < buffer_bytes && !meta_name_problem(name, bytes);
}

/* Printable and without spaces: addresses are shown, logged and handed to clients as they are. */
bool meta__is_address_valid(const char address[META_ADDRESS_BYTES_MAX])
{
    size_t bytes = strnlen(address, META_ADDRESS_BYTES_MAX);
    for (size_t i = 0; i < bytes; i++) {
        if (address[i] <= ' ' || address[i] >= 0x7f) return false;
    }
    return bytes < META_ADDRESS_BYTES_MAX;
}

bool meta__is_node_valid(const struct meta_node *node)
{
    return node->node_id != 0 && meta__is_address_valid(node->http_address) &&
           meta__is_address_valid(node->peer_address) &&
           meta__is_address_valid(node->kafka_address);
}

bool meta__are_replicas_valid(const uint64_t *nodes, uint32_t nodes_count)
{
    for (uint32_t i = 0; i < nodes_count; i++) {
        if (nodes[i] == 0) return false;
        for (uint32_t j = 0; j < i; j++) {
            if (nodes[j] == nodes[i]) return false;
        }
    }
    return nodes_count > 0 && nodes_count <= META_REPLICAS_MAX;
}

/* ---- counters --------------------------------------------------------------------------------------------------------- */

static const struct tree_slice counters_key = {.data = (const uint8_t[]){META_KEY_COUNTERS},
                                               .bytes = 1};

static bool decode_counters(struct tree_slice value, struct meta_counters *ret_counters)
{
    struct reader reader = reader_of(value.data, value.bytes);
    uint16_t version = reader_u16(&reader);
    uint16_t zero = reader_u16(&reader);
    struct meta_counters counters = {.topics_count = reader_u32(&reader)};
    counters.next_group = reader_u64(&reader);
    counters.next_producer = reader_u64(&reader);
    if (!reader_is_done(&reader) || version != RECORD_VERSION || zero != 0) return false;
    if (counters.topics_count > META_TOPICS_MAX) return false;
    if (counters.next_group < 1 || counters.next_producer < 1) return false;
    if (counters.next_producer > INT64_MAX) return false;
    *ret_counters = counters;
    return true;
}

void meta__load_counters(const struct tree *state, struct meta_counters *ret_counters)
{
    struct tree_slice value;
    *ret_counters = (struct meta_counters){.next_group = 1, .next_producer = 1};
    if (!tree_get(state, counters_key, &value)) return;
    bool is_sound = decode_counters(value, ret_counters);
    assert(is_sound);
    (void)is_sound;
}

void meta__store_counters(struct tree **state, const struct meta_counters *counters)
{
    uint8_t buffer[COUNTERS_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    writer_u16(&writer, RECORD_VERSION);
    writer_u16(&writer, 0);
    writer_u32(&writer, counters->topics_count);
    writer_u64(&writer, counters->next_group);
    writer_u64(&writer, counters->next_producer);
    assert(writer.bytes == sizeof buffer);
    tree_put(state, counters_key, (struct tree_slice){.data = buffer, .bytes = sizeof buffer});
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------ */

static bool decode_node(uint64_t node_id, struct tree_slice value, struct meta_node *ret_node)
{
    struct reader reader = reader_of(value.data, value.bytes);
    uint16_t version = reader_u16(&reader);
    uint16_t flags = reader_u16(&reader);
    uint32_t zero = reader_u32(&reader);
    *ret_node = (struct meta_node){.node_id = node_id, .incarnation = reader_u64(&reader)};
    ret_node->incarnation_index = reader_u64(&reader);
    ret_node->voter = (flags & NODE_VOTER) != 0;
    ret_node->leaving = (flags & NODE_LEAVING) != 0;
    ret_node->replaced_by = reader_u64(&reader);
    ret_node->renewed_index = version >= NODE_VERSION ? reader_u64(&reader) : 0;
    reader_string(&reader, ret_node->http_address, META_ADDRESS_BYTES_MAX - 1u);
    reader_string(&reader, ret_node->peer_address, META_ADDRESS_BYTES_MAX - 1u);
    reader_string(&reader, ret_node->kafka_address, META_ADDRESS_BYTES_MAX - 1u);
    if (!reader_is_done(&reader)) return false;
    if (version != MEMBERSHIP_VERSION && version != NODE_VERSION) return false;
    if (zero != 0 || (flags & ~NODE_FLAGS_ALL) != 0) return false;
    return (ret_node->leaving || ret_node->replaced_by == 0) && meta__is_node_valid(ret_node);
}

bool meta__load_node(const struct tree *state, uint64_t node_id, struct meta_node *ret_node)
{
    uint8_t buffer[META_KEY_BYTES_MAX];
    struct tree_slice value;
    if (!tree_get(state, number_key(buffer, META_KEY_NODE, node_id), &value)) return false;
    bool is_sound = decode_node(node_id, value, ret_node);
    assert(is_sound);
    return is_sound;
}

void meta__store_node(struct tree **state, const struct meta_node *node)
{
    uint8_t key[META_KEY_BYTES_MAX], buffer[NODE_RECORD_BYTES_MAX];
    struct writer writer = writer_of(buffer, sizeof buffer);
    writer_u16(&writer, NODE_VERSION);
    writer_u16(&writer,
               (uint16_t)((node->voter ? NODE_VOTER : 0u) | (node->leaving ? NODE_LEAVING : 0u)));
    writer_u32(&writer, 0);
    writer_u64(&writer, node->incarnation);
    writer_u64(&writer, node->incarnation_index);
    writer_u64(&writer, node->replaced_by);
    writer_u64(&writer, node->renewed_index);
    writer_string(&writer, node->http_address);
    writer_string(&writer, node->peer_address);
    writer_string(&writer, node->kafka_address);
    assert(writer.bytes <= sizeof buffer);
    tree_put(state, number_key(key, META_KEY_NODE, node->node_id),
             (struct tree_slice){.data = buffer, .bytes = (uint32_t)writer.bytes});
}

void meta__remove_node(struct tree **state, uint64_t node_id)
{
    uint8_t key[META_KEY_BYTES_MAX];
    tree_remove(state, number_key(key, META_KEY_NODE, node_id));
}

/* ---- groups: one record per partition ----------------------------------------------------------------------------------- */

static bool read_replicas(struct reader *reader, struct meta_replica *replicas, uint32_t count,
                          uint32_t count_max)
{
    if (count > count_max) return false;
    for (uint32_t i = 0; i < count; i++) {
        replicas[i].node_id = reader_u64(reader);
        replicas[i].epoch = reader_u64(reader);
        if (replicas[i].node_id == 0) return false;
        for (uint32_t j = 0; j < i; j++) {
            if (replicas[j].node_id == replicas[i].node_id) return false;
        }
    }
    return true;
}

static void write_replicas(struct writer *writer, const struct meta_replica *replicas,
                           uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        writer_u64(writer, replicas[i].node_id);
        writer_u64(writer, replicas[i].epoch);
    }
}

/* Invariant 2. */
static bool is_partition_sound(const struct meta_partition *partition)
{
    if (partition->replicas_count == 0 || partition->founders_count == 0) return false;
    if (partition->settled && partition->lingering_count > 0) return false;
    if (partition->replicas_wanted > META_REPLICAS_MAX) return false;
    for (uint32_t i = 0; i < partition->replicas_count; i++) {
        for (uint32_t j = 0; j < partition->lingering_count; j++) {
            if (partition->lingering[j].node_id == partition->replicas[i].node_id) return false;
        }
    }
    return partition->number < META_PARTITIONS_MAX;
}

static bool decode_group(uint64_t group, struct tree_slice value, char *ret_name,
                         struct meta_partition *ret_partition)
{
    struct reader reader = reader_of(value.data, value.bytes);
    struct meta_partition *partition = ret_partition;
    uint16_t version = reader_u16(&reader);
    *partition = (struct meta_partition){.group = group, .replicas_count = reader_u16(&reader)};
    partition->number = reader_u32(&reader);
    partition->first_leader = reader_u64(&reader);
    partition->wish_index = reader_u64(&reader);
    partition->configuration_index = reader_u64(&reader);
    partition->founders_count = reader_u16(&reader);
    partition->lingering_count = reader_u16(&reader);
    uint32_t settled = reader_u16(&reader);
    partition->settled = settled == 1;
    partition->replicas_wanted = reader_u16(&reader);
    if (partition->replicas_wanted == 0) partition->replicas_wanted = partition->founders_count;
    if (settled > 1 || version != MEMBERSHIP_VERSION) return false;
    if (!read_replicas(&reader, partition->replicas, partition->replicas_count,
                       META_REPLICAS_MAX) ||
        !read_replicas(&reader, partition->founders, partition->founders_count,
                       META_REPLICAS_MAX) ||
        !read_replicas(&reader, partition->lingering, partition->lingering_count, META_NODES_MAX)) {
        return false;
    }
    char name[META_TOPIC_NAME_BYTES_MAX + 1];
    reader_string(&reader, name, META_TOPIC_NAME_BYTES_MAX);
    if (!reader_is_done(&reader) || !is_partition_sound(partition)) return false;
    if (!meta__is_name_valid(name, sizeof name)) return false;
    if (ret_name) memcpy(ret_name, name, sizeof name);
    return true;
}

bool meta__load_group(const struct tree *state, uint64_t group, char *ret_name,
                      struct meta_partition *ret_partition)
{
    uint8_t buffer[META_KEY_BYTES_MAX];
    struct tree_slice value;
    if (!tree_get(state, number_key(buffer, META_KEY_GROUP, group), &value)) return false;
    bool is_sound = decode_group(group, value, ret_name, ret_partition);
    assert(is_sound);
    return is_sound;
}

void meta__store_group(struct tree **state, const char *name,
                       const struct meta_partition *partition)
{
    uint8_t key[META_KEY_BYTES_MAX], buffer[GROUP_RECORD_BYTES_MAX];
    struct writer writer = writer_of(buffer, sizeof buffer);
    assert(is_partition_sound(partition));
    writer_u16(&writer, MEMBERSHIP_VERSION);
    writer_u16(&writer, (uint16_t)partition->replicas_count);
    writer_u32(&writer, partition->number);
    writer_u64(&writer, partition->first_leader);
    writer_u64(&writer, partition->wish_index);
    writer_u64(&writer, partition->configuration_index);
    writer_u16(&writer, (uint16_t)partition->founders_count);
    writer_u16(&writer, (uint16_t)partition->lingering_count);
    writer_u16(&writer, partition->settled);
    writer_u16(&writer, (uint16_t)partition->replicas_wanted);
    assert(writer.bytes == GROUP_FIXED_BYTES);
    write_replicas(&writer, partition->replicas, partition->replicas_count);
    write_replicas(&writer, partition->founders, partition->founders_count);
    write_replicas(&writer, partition->lingering, partition->lingering_count);
    writer_string(&writer, name);
    assert(writer.bytes <= sizeof buffer);
    tree_put(state, number_key(key, META_KEY_GROUP, partition->group),
             (struct tree_slice){.data = buffer, .bytes = (uint32_t)writer.bytes});
}

struct groups_list {
    uint64_t *ids;
    uint32_t count;
    uint32_t capacity;
};

static bool add_group(void *data, struct tree_slice key, struct tree_slice value)
{
    struct groups_list *list = data;
    (void)value;
    assert(key.bytes == 9);
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2u * list->capacity : 64u;
        list->ids = realloc(list->ids, list->capacity * sizeof *list->ids);
        if (!list->ids) abort();
    }
    list->ids[list->count++] = get_u64_big((const uint8_t *)key.data + 1);
    return true;
}

uint64_t *meta__groups(const struct tree *state, uint32_t *ret_count)
{
    uint8_t tag = META_KEY_GROUP;
    struct tree_slice prefix = {.data = &tag, .bytes = 1};
    struct groups_list list = {0};
    tree_visit(state, prefix, prefix, add_group, &list);
    *ret_count = list.count;
    return list.ids;
}

/* ---- topics --------------------------------------------------------------------------------------------------------- */

static bool decode_topic(struct tree_slice value, struct meta_topic_record *ret_record)
{
    struct reader reader = reader_of(value.data, value.bytes);
    struct meta_topic_record record;
    uint16_t version = reader_u16(&reader);
    uint16_t zero = reader_u16(&reader);
    record.partitions_count = reader_u32(&reader);
    record.created_index = reader_u64(&reader);
    record.created_ms = reader_i64(&reader);
    if (!settings__read(&reader, &record.settings)) return false;
    if (version != RECORD_VERSION || zero != 0) return false;
    if (record.partitions_count < 1 || record.partitions_count > META_PARTITIONS_MAX) return false;
    record.groups = reader_take(&reader, record.partitions_count * (size_t)8);
    if (!reader_is_done(&reader)) return false;
    *ret_record = record;
    return true;
}

uint64_t meta__record_group(const struct meta_topic_record *record, uint32_t partition)
{
    assert(partition < record->partitions_count);
    struct reader reader = reader_of(record->groups + partition * (size_t)8, 8);
    return reader_u64(&reader);
}

bool meta__load_topic(const struct tree *state, const char *name,
                      struct meta_topic_record *ret_record)
{
    uint8_t buffer[META_KEY_BYTES_MAX];
    struct tree_slice value;
    /* Names come from requests: one that cannot exist is looked up like any other. */
    if (!meta__is_name_valid(name, META_TOPIC_NAME_BYTES_MAX + 1u)) return false;
    if (!tree_get(state, topic_key(buffer, name), &value)) return false;
    bool is_sound = decode_topic(value, ret_record);
    assert(is_sound);
    return is_sound;
}

void meta__fill_topic(const struct tree *state, const char *name,
                      const struct meta_topic_record *record, struct meta_topic *ret_topic)
{
    *ret_topic = (struct meta_topic){
        .created_index = record->created_index,
        .created_ms = record->created_ms,
        .settings = record->settings,
        .partitions_count = record->partitions_count,
    };
    memcpy(ret_topic->name, name, strlen(name) + 1u);
    for (uint32_t i = 0; i < record->partitions_count; i++) {
        bool is_there =
            meta__load_group(state, meta__record_group(record, i), NULL, &ret_topic->partitions[i]);
        assert(is_there);
        (void)is_there;
    }
}

void meta__store_topic(struct tree **state, const struct meta_topic *topic)
{
    uint8_t key[META_KEY_BYTES_MAX], buffer[TOPIC_RECORD_BYTES_MAX];
    uint8_t settings[PARTITION_SETTINGS_BYTES_MAX];
    size_t settings_bytes = settings__encode(&topic->settings, settings, sizeof settings);
    assert(settings_bytes > 0);

    struct writer writer = writer_of(buffer, sizeof buffer);
    writer_u16(&writer, RECORD_VERSION);
    writer_u16(&writer, 0);
    writer_u32(&writer, topic->partitions_count);
    writer_u64(&writer, topic->created_index);
    writer_i64(&writer, topic->created_ms);
    writer_bytes(&writer, settings, settings_bytes);
    for (uint32_t i = 0; i < topic->partitions_count; i++) {
        writer_u64(&writer, topic->partitions[i].group);
        meta__store_group(state, topic->name, &topic->partitions[i]);
    }
    assert(writer.bytes <= sizeof buffer);
    tree_put(state, topic_key(key, topic->name),
             (struct tree_slice){.data = buffer, .bytes = (uint32_t)writer.bytes});
}

void meta__remove_topic(struct tree **state, const struct meta_topic *topic)
{
    uint8_t key[META_KEY_BYTES_MAX];
    for (uint32_t i = 0; i < topic->partitions_count; i++) {
        tree_remove(state, number_key(key, META_KEY_GROUP, topic->partitions[i].group));
    }
    tree_remove(state, topic_key(key, topic->name));
}

/* ---- the check of a loaded state -------------------------------------------------------------------------------------- */

struct check {
    const struct tree *state;
    struct meta_counters counters;
    uint64_t topics_count, partitions_count, groups_count;
    bool bad;
};

static bool is_topic_sound(struct check *check, struct tree_slice key, struct tree_slice value)
{
    char name[META_TOPIC_NAME_BYTES_MAX + 1] = {0}, group_name[META_TOPIC_NAME_BYTES_MAX + 1];
    if (key.bytes < 2 || key.bytes > META_KEY_BYTES_MAX) return false;
    memcpy(name, (const char *)key.data + 1, key.bytes - 1u);
    if (meta_name_problem(name, key.bytes - 1u)) return false;

    struct meta_topic_record record;
    if (!decode_topic(value, &record)) return false;
    for (uint32_t i = 0; i < record.partitions_count; i++) {
        uint8_t buffer[META_KEY_BYTES_MAX];
        uint64_t group = meta__record_group(&record, i);
        struct tree_slice group_value;
        struct meta_partition partition;
        if (!tree_get(check->state, number_key(buffer, META_KEY_GROUP, group), &group_value) ||
            !decode_group(group, group_value, group_name, &partition)) {
            return false;
        }
        if (partition.number != i || strcmp(group_name, name) != 0) return false;
    }
    check->topics_count++;
    check->partitions_count += record.partitions_count;
    return true;
}

static bool is_group_sound(struct check *check, uint64_t group, struct tree_slice value)
{
    struct meta_partition partition;
    check->groups_count++;
    return group >= 1 && group < check->counters.next_group &&
           decode_group(group, value, NULL, &partition);
}

static bool check_pair(void *data, struct tree_slice key, struct tree_slice value)
{
    struct check *check = data;
    const uint8_t *bytes = key.data;
    struct meta_node node;
    bool is_sound = false;
    switch (key.bytes > 0 ? bytes[0] : 0) {
    case META_KEY_COUNTERS:
        is_sound = key.bytes == 1;
        break;
    case META_KEY_GROUP:
        is_sound = key.bytes == 9 && is_group_sound(check, get_u64_big(bytes + 1), value);
        break;
    case META_KEY_NODE:
        is_sound = key.bytes == 9 && decode_node(get_u64_big(bytes + 1), value, &node);
        break;
    case META_KEY_TOPIC:
        is_sound = is_topic_sound(check, key, value);
        break;
    default:
        break;
    }
    check->bad = !is_sound;
    return is_sound;
}

bool meta__is_sound(const struct tree *state)
{
    struct check check = {.state = state};
    struct tree_slice none = {0}, value;
    if (tree_get(state, counters_key, &value) && !decode_counters(value, &check.counters))
        return false;
    meta__load_counters(state, &check.counters);
    tree_visit(state, none, none, check_pair, &check);
    return !check.bad && check.topics_count == check.counters.topics_count &&
           check.groups_count == check.partitions_count;
}
