/* The payload of META entries. Encoding refuses exactly what decoding refuses: a payload that decode rejects stops
 * every node that applies it, so it must never be proposed. */
#include "codec.h"
#include "meta_state.h"
#include "settings.h"

#include <broker/partition.h>

#include <assert.h>

#define COMMAND_VERSION 3u

#define NODE_FOUNDER 0x01u
#define NODE_VOTER   0x02u

static bool is_create_valid(const struct meta_command *command)
{
    if (!meta__is_name_valid(command->create.name, sizeof command->create.name)) return false;
    if (meta_settings_problem(&command->create.settings)) return false;
    if (command->create.settings.changed_index != 0) return false;
    if (command->create.partitions_count < 1) return false;
    if (command->create.partitions_count > META_PARTITIONS_MAX) return false;
    for (uint32_t i = 0; i < command->create.partitions_count; i++) {
        if (!meta__are_replicas_valid(command->create.replicas[i],
                                      command->create.replicas_count)) {
            return false;
        }
    }
    return true;
}

/* A node id, and spares that are other ones; only a REPLACE has `with`. */
static bool is_change_valid(const struct meta_command *command)
{
    const uint64_t *spares = command->change.spares;
    const uint32_t count = command->change.spares_count;
    if (command->change.node_id == 0 || count > META_NODES_MAX) return false;
    const bool is_replace = command->type == META_NODE_REPLACE;
    if ((command->change.with != 0) != is_replace) return false;
    if (command->change.with == command->change.node_id) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (spares[i] == 0 || spares[i] == command->change.node_id) return false;
        for (uint32_t j = 0; j < i; j++) {
            if (spares[j] == spares[i]) return false;
        }
    }
    return true;
}

static bool is_record_valid(const struct meta_command *command)
{
    const struct meta_member *members = command->record.members;
    const uint32_t count = command->record.members_count;
    if (count < 1 || count > META_NODES_MAX) return false;
    bool has_voter = false;
    for (uint32_t i = 0; i < count; i++) {
        if (members[i].node_id == 0) return false;
        has_voter = has_voter || members[i].voter;
        for (uint32_t j = 0; j < i; j++) {
            if (members[j].node_id == members[i].node_id) return false;
        }
    }
    return has_voter;
}

static bool is_valid(const struct meta_command *command)
{
    switch (command->type) {
    case META_NODE_SET:
        return meta__is_node_valid(&command->node) && command->node.incarnation != 0 &&
               command->replaces != command->node.incarnation;
    case META_NODE_ADD:
        return command->change.node_id != 0 && command->change.peer_address[0] != '\0' &&
               meta__is_address_valid(command->change.peer_address);
    case META_NODE_REMOVE:
    case META_NODE_REPLACE:
        return is_change_valid(command);
    case META_PLACE:
        return command->place.group != 0 &&
               meta__are_replicas_valid(command->place.nodes, command->place.nodes_count);
    case META_CONFIG_RECORD:
        return is_record_valid(command);
    case META_REPLICA_RENEW:
        return command->renew.node_id != 0;
    case META_TOPIC_CREATE:
        return is_create_valid(command);
    case META_TOPIC_DELETE:
        return meta__is_name_valid(command->delete_name, sizeof command->delete_name);
    case META_TOPIC_SET:
        return meta__is_name_valid(command->set.name, sizeof command->set.name) &&
               command->set.fields != 0 && (command->set.fields & ~(uint32_t)META_SET_ALL) == 0 &&
               !meta_settings_problem(&command->set.settings);
    case META_PRODUCER_BLOCK_TAKE:
        return true;
    }
    return false;
}

static void write_settings(struct writer *writer, const struct meta_settings *settings)
{
    uint8_t buffer[PARTITION_SETTINGS_BYTES_MAX];
    const size_t bytes = settings__encode(settings, buffer, sizeof buffer);
    assert(bytes > 0);
    writer_bytes(writer, buffer, bytes);
}

static void write_create(struct writer *writer, const struct meta_command *command)
{
    writer_string(writer, command->create.name);
    write_settings(writer, &command->create.settings);
    writer_u32(writer, command->create.partitions_count);
    writer_u32(writer, command->create.replicas_count);
    for (uint32_t i = 0; i < command->create.partitions_count; i++) {
        for (uint32_t j = 0; j < command->create.replicas_count; j++) {
            writer_u64(writer, command->create.replicas[i][j]);
        }
    }
}

static void write_node(struct writer *writer, const struct meta_command *command)
{
    writer_u64(writer, command->node.node_id);
    writer_u64(writer, command->node.incarnation);
    writer_u64(writer, command->replaces);
    writer_u32(writer,
               (command->founder ? NODE_FOUNDER : 0u) | (command->node.voter ? NODE_VOTER : 0u));
    writer_string(writer, command->node.http_address);
    writer_string(writer, command->node.peer_address);
    writer_string(writer, command->node.kafka_address);
}

static void write_change(struct writer *writer, const struct meta_command *command)
{
    writer_u64(writer, command->change.node_id);
    writer_u64(writer, command->change.with);
    writer_u32(writer, command->change.shrinks);
    writer_u32(writer, command->change.spares_count);
    for (uint32_t i = 0; i < command->change.spares_count; i++)
        writer_u64(writer, command->change.spares[i]);
}

static void write_place(struct writer *writer, const struct meta_command *command)
{
    writer_u64(writer, command->place.group);
    writer_u64(writer, command->place.grows_wish);
    writer_u32(writer, command->place.nodes_count);
    for (uint32_t i = 0; i < command->place.nodes_count; i++)
        writer_u64(writer, command->place.nodes[i]);
}

static void write_record(struct writer *writer, const struct meta_command *command)
{
    writer_u64(writer, command->record.group);
    writer_u64(writer, command->record.configuration_index);
    writer_u64(writer, command->record.wish_index);
    writer_u32(writer, command->record.members_count);
    for (uint32_t i = 0; i < command->record.members_count; i++) {
        writer_u64(writer, command->record.members[i].node_id);
        writer_u64(writer, command->record.members[i].epoch);
        writer_u32(writer, command->record.members[i].voter);
    }
}

size_t meta_command_encode(const struct meta_command *command, uint8_t *buffer, size_t bytes)
{
    if (!is_valid(command)) return 0;
    struct writer writer = writer_of(buffer, bytes);
    writer_u16(&writer, COMMAND_VERSION);
    writer_u16(&writer, (uint16_t)command->type);
    writer_u32(&writer, 0);
    writer_u64(&writer, command->request);
    switch (command->type) {
    case META_NODE_SET:
        write_node(&writer, command);
        break;
    case META_NODE_ADD:
        writer_u64(&writer, command->change.node_id);
        writer_string(&writer, command->change.peer_address);
        break;
    case META_NODE_REMOVE:
    case META_NODE_REPLACE:
        write_change(&writer, command);
        break;
    case META_PLACE:
        write_place(&writer, command);
        break;
    case META_CONFIG_RECORD:
        write_record(&writer, command);
        break;
    case META_REPLICA_RENEW:
        writer_u64(&writer, command->renew.group);
        writer_u64(&writer, command->renew.node_id);
        writer_u64(&writer, command->renew.epoch);
        break;
    case META_TOPIC_CREATE:
        write_create(&writer, command);
        break;
    case META_TOPIC_DELETE:
        writer_string(&writer, command->delete_name);
        break;
    case META_TOPIC_SET:
        writer_string(&writer, command->set.name);
        writer_u32(&writer, command->set.fields);
        write_settings(&writer, &command->set.settings);
        break;
    case META_PRODUCER_BLOCK_TAKE:
        break;
    }
    return writer.bytes;
}

static bool read_node(struct reader *reader, struct meta_command *command)
{
    struct meta_node *node = &command->node;
    node->node_id = reader_u64(reader);
    node->incarnation = reader_u64(reader);
    command->replaces = reader_u64(reader);
    const uint32_t flags = reader_u32(reader);
    command->founder = (flags & NODE_FOUNDER) != 0;
    node->voter = (flags & NODE_VOTER) != 0;
    reader_string(reader, node->http_address, META_ADDRESS_BYTES_MAX - 1u);
    reader_string(reader, node->peer_address, META_ADDRESS_BYTES_MAX - 1u);
    reader_string(reader, node->kafka_address, META_ADDRESS_BYTES_MAX - 1u);
    return (flags & ~(NODE_FOUNDER | NODE_VOTER)) == 0;
}

static bool read_change(struct reader *reader, struct meta_command *command)
{
    command->change.node_id = reader_u64(reader);
    command->change.with = reader_u64(reader);
    const uint32_t shrinks = reader_u32(reader);
    command->change.shrinks = shrinks == 1;
    if (shrinks > 1) return false;
    command->change.spares_count = reader_u32(reader);
    if (command->change.spares_count > META_NODES_MAX) return false;
    for (uint32_t i = 0; i < command->change.spares_count; i++)
        command->change.spares[i] = reader_u64(reader);
    return true;
}

static bool read_place(struct reader *reader, struct meta_command *command)
{
    command->place.group = reader_u64(reader);
    command->place.grows_wish = reader_u64(reader);
    command->place.nodes_count = reader_u32(reader);
    if (command->place.nodes_count > META_REPLICAS_MAX) return false;
    for (uint32_t i = 0; i < command->place.nodes_count; i++)
        command->place.nodes[i] = reader_u64(reader);
    return true;
}

static bool read_record(struct reader *reader, struct meta_command *command)
{
    command->record.group = reader_u64(reader);
    command->record.configuration_index = reader_u64(reader);
    command->record.wish_index = reader_u64(reader);
    command->record.members_count = reader_u32(reader);
    if (command->record.members_count > META_NODES_MAX) return false;
    for (uint32_t i = 0; i < command->record.members_count; i++) {
        struct meta_member *member = &command->record.members[i];
        member->node_id = reader_u64(reader);
        member->epoch = reader_u64(reader);
        const uint32_t voter = reader_u32(reader);
        if (voter > 1) return false;
        member->voter = voter == 1;
    }
    return true;
}

static bool read_create(struct reader *reader, struct meta_command *command)
{
    reader_string(reader, command->create.name, META_TOPIC_NAME_BYTES_MAX);
    if (!settings__read(reader, &command->create.settings)) return false;
    command->create.partitions_count = reader_u32(reader);
    command->create.replicas_count = reader_u32(reader);
    if (reader->bad) return false;
    if (command->create.partitions_count > META_PARTITIONS_MAX) return false;
    if (command->create.replicas_count > META_REPLICAS_MAX) return false;
    for (uint32_t i = 0; i < command->create.partitions_count; i++) {
        for (uint32_t j = 0; j < command->create.replicas_count; j++) {
            command->create.replicas[i][j] = reader_u64(reader);
        }
    }
    return true;
}

bool meta_command_decode(const uint8_t *payload, size_t bytes, struct meta_command *ret_command)
{
    struct reader reader = reader_of(payload, bytes);
    memset(ret_command, 0, sizeof *ret_command);
    uint16_t version = reader_u16(&reader);
    uint16_t type = reader_u16(&reader);
    uint32_t zero = reader_u32(&reader);
    ret_command->request = reader_u64(&reader);
    if (reader.bad || version != COMMAND_VERSION || zero != 0) return false;
    ret_command->type = (enum meta_command_type)type;
    switch (type) {
    case META_NODE_SET:
        if (!read_node(&reader, ret_command)) return false;
        break;
    case META_NODE_ADD:
        ret_command->change.node_id = reader_u64(&reader);
        reader_string(&reader, ret_command->change.peer_address, META_ADDRESS_BYTES_MAX - 1u);
        break;
    case META_NODE_REMOVE:
    case META_NODE_REPLACE:
        if (!read_change(&reader, ret_command)) return false;
        break;
    case META_PLACE:
        if (!read_place(&reader, ret_command)) return false;
        break;
    case META_CONFIG_RECORD:
        if (!read_record(&reader, ret_command)) return false;
        break;
    case META_REPLICA_RENEW:
        ret_command->renew.group = reader_u64(&reader);
        ret_command->renew.node_id = reader_u64(&reader);
        ret_command->renew.epoch = reader_u64(&reader);
        break;
    case META_TOPIC_CREATE:
        if (!read_create(&reader, ret_command)) return false;
        break;
    case META_TOPIC_DELETE:
        reader_string(&reader, ret_command->delete_name, META_TOPIC_NAME_BYTES_MAX);
        break;
    case META_TOPIC_SET:
        reader_string(&reader, ret_command->set.name, META_TOPIC_NAME_BYTES_MAX);
        ret_command->set.fields = reader_u32(&reader);
        if (!settings__read(&reader, &ret_command->set.settings)) return false;
        break;
    case META_PRODUCER_BLOCK_TAKE:
        break;
    default:
        return false;
    }
    return reader_is_done(&reader) && is_valid(ret_command);
}
