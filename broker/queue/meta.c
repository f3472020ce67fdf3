/* apply() of group 0: one META entry in, a new version of the state and a result for the node out. */
#include "meta_state.h"

#include "settings.h"

#include <planted/planted.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void meta_init(struct meta_state *meta)
{
    *meta = (struct meta_state){0};
}

void meta_close(struct meta_state *meta)
{
    if (!meta) return;
    tree_unref(meta->state);
    *meta = (struct meta_state){0};
}

bool meta_restore(struct meta_state *meta, struct tree *state, uint64_t index, int64_t timestamp_ms)
{
    meta_close(meta);
    if (!meta__is_sound(state)) {
        tree_unref(state);
        return false;
    }
    *meta = (struct meta_state){
        .state = state, .applied_index = index, .applied_timestamp_ms = timestamp_ms};
    return true;
}

/* ---- commands ------------------------------------------------------------------------------------------------------- */

static void apply_create(struct meta_state *meta, const struct entry_header *header,
                         const struct meta_command *command, struct meta_result *result)
{
    struct meta_topic_record record;
    if (meta__load_topic(meta->state, command->create.name, &record)) {
        /* A repeated request is answered like the first one when it asks for what is there. */
        result->status = META_TOPIC_EXISTS;
        result->topic_same = record.partitions_count == command->create.partitions_count &&
                             settings__is_equal(&record.settings, &command->create.settings);
        return;
    }
    struct meta_counters counters;
    meta__load_counters(meta->state, &counters);
    if (counters.topics_count >= META_TOPICS_MAX) {
        result->status = META_TOO_MANY_TOPICS;
        return;
    }

    struct meta_topic *topic = meta__allocate(sizeof *topic);
    *topic = (struct meta_topic){
        .created_index = header->index,
        .created_ms = header->timestamp_ms,
        .settings = command->create.settings,
        .partitions_count = command->create.partitions_count,
    };
    memcpy(topic->name, command->create.name, sizeof topic->name);
    for (uint32_t i = 0; i < topic->partitions_count; i++) {
        struct meta_partition *partition = &topic->partitions[i];
        partition->number = i;
        partition->group = counters.next_group++;
        uint64_t nodes[META_REPLICAS_MAX];
        memcpy(nodes, command->create.replicas[i], sizeof nodes);
        /* Chosen when it was proposed; since then one of them may have been told to leave. */
        partition->replicas_count =
            meta__avoid_leaving(meta, nodes, command->create.replicas_count);
        partition->first_leader = nodes[0];
        for (uint32_t j = 0; j < partition->replicas_count; j++) {
            partition->replicas[j] =
                (struct meta_replica){.node_id = nodes[j], .epoch = header->index};
        }
        partition->replicas_wanted = command->create.replicas_count;
        memcpy(partition->founders, partition->replicas, sizeof partition->founders);
        partition->founders_count = partition->replicas_count;
        partition->wish_index = header->index;
        partition->settled = true;
    }
    meta__store_topic(&meta->state, topic);
    counters.topics_count++;
    meta__store_counters(&meta->state, &counters);
    result->topic = topic;
}

static void apply_delete(struct meta_state *meta, const struct meta_command *command,
                         struct meta_result *result)
{
    struct meta_topic_record record;
    if (!meta__load_topic(meta->state, command->delete_name, &record)) {
        result->status = META_TOPIC_NOT_FOUND;
        return;
    }
    result->topic = meta__allocate(sizeof *result->topic);
    meta__fill_topic(meta->state, command->delete_name, &record, result->topic);
    meta__remove_topic(&meta->state, result->topic);

    struct meta_counters counters;
    meta__load_counters(meta->state, &counters);
    assert(counters.topics_count > 0);
    counters.topics_count--;
    const struct meta_partition *first = &result->topic->partitions[0];
    bool is_newest = first->group + result->topic->partitions_count == counters.next_group;
    if (PLANTED(M1_GROUP_IDS_ARE_REUSED) && is_newest) counters.next_group = first->group;
    meta__store_counters(&meta->state, &counters);
}

static void apply_set(struct meta_state *meta, const struct entry_header *header,
                      const struct meta_command *command, struct meta_result *result)
{
    struct meta_topic_record record;
    if (!meta__load_topic(meta->state, command->set.name, &record)) {
        result->status = META_TOPIC_NOT_FOUND;
        return;
    }
    result->topic = meta__allocate(sizeof *result->topic);
    meta__fill_topic(meta->state, command->set.name, &record, result->topic);
    struct meta_settings settings = record.settings;
    meta_settings_merge(&settings, &command->set.settings, command->set.fields);
    if (settings__is_equal(&settings, &record.settings)) return;
    settings.changed_index = header->index;
    result->changed = true;
    result->topic->settings = settings;
    meta__store_topic(&meta->state, result->topic);
}

static bool apply_block_take(struct meta_state *meta, struct meta_result *result)
{
    struct meta_counters counters;
    meta__load_counters(meta->state, &counters);
    if (counters.next_producer > INT64_MAX - META_PRODUCER_BLOCK) return false;
    result->producer_first = counters.next_producer;
    counters.next_producer += META_PRODUCER_BLOCK;
    meta__store_counters(&meta->state, &counters);
    return true;
}

static bool apply_command(struct meta_state *meta, const struct entry_header *header,
                          const uint8_t *payload, struct meta_result *result)
{
    struct meta_command command;
    if (!meta_command_decode(payload, header->payload_bytes, &command)) return false;
    result->type = command.type;
    result->request = command.request;
    switch (command.type) {
    case META_NODE_SET:
        meta__apply_node_set(meta, header->index, &command, result);
        return true;
    case META_NODE_ADD:
        meta__apply_node_add(meta, &command, result);
        return true;
    case META_NODE_REMOVE:
        meta__apply_node_remove(meta, header->index, &command, result);
        return true;
    case META_NODE_REPLACE:
        meta__apply_node_replace(meta, header->index, &command, result);
        return true;
    case META_PLACE:
        meta__apply_place(meta, header->index, &command, result);
        return true;
    case META_CONFIG_RECORD:
        meta__apply_config_record(meta, &command, result);
        return true;
    case META_REPLICA_RENEW:
        meta__apply_replica_renew(meta, header->index, &command, result);
        return true;
    case META_TOPIC_CREATE:
        apply_create(meta, header, &command, result);
        return true;
    case META_TOPIC_DELETE:
        apply_delete(meta, &command, result);
        return true;
    case META_TOPIC_SET:
        apply_set(meta, header, &command, result);
        return true;
    case META_PRODUCER_BLOCK_TAKE:
        return apply_block_take(meta, result);
    }
    return false;
}

bool meta_apply(struct meta_state *meta, const struct entry_header *header, const uint8_t *payload,
                struct meta_result *ret_result)
{
    assert(header->index == meta->applied_index + 1u);
    struct meta_result result = {.status = META_OK};
    switch (header->type) {
    case ENTRY_META:
        if (!apply_command(meta, header, payload, &result)) return false;
        break;
    case ENTRY_DATA:
    case ENTRY_NOOP:
    case ENTRY_CONFIG:
    case ENTRY_OFFSETS:
    case ENTRY_SETTINGS:
    case ENTRY_TRIM:
    case ENTRY_RECOVERY:
        break;
    default: /* a number that this version has no name for */
        return false;
    }
    meta->applied_index = header->index;
    meta->applied_timestamp_ms = header->timestamp_ms;
    *ret_result = result;
    return true;
}
