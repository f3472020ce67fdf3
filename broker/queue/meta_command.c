/* The payload of META entries. Encoding refuses exactly what decoding refuses: a payload that decode rejects stops
 * every node that applies it, so it must never be proposed. */
#include "codec.h"
#include "meta_state.h"
#include "settings.h"

#include <broker/partition.h>

#include <assert.h>

#define COMMAND_VERSION 1u

static bool is_create_valid(const struct meta_command *command)
{
    if (!meta__is_name_valid(command->create.name, sizeof command->create.name)) return false;
    if (meta_settings_problem(&command->create.settings)) return false;
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

static bool is_valid(const struct meta_command *command)
{
    switch (command->type) {
    case META_NODE_SET:
        return meta__is_node_valid(&command->node);
    case META_TOPIC_CREATE:
        return is_create_valid(command);
    case META_TOPIC_DELETE:
        return meta__is_name_valid(command->delete_name, sizeof command->delete_name);
    case META_PRODUCER_BLOCK_TAKE:
        return true;
    }
    return false;
}

static void write_create(struct writer *writer, const struct meta_command *command)
{
    uint8_t settings[PARTITION_SETTINGS_BYTES];
    size_t settings_bytes = settings__encode(&command->create.settings, settings, sizeof settings);
    assert(settings_bytes == sizeof settings);
    writer_string(writer, command->create.name);
    writer_bytes(writer, settings, settings_bytes);
    writer_u32(writer, command->create.partitions_count);
    writer_u32(writer, command->create.replicas_count);
    for (uint32_t i = 0; i < command->create.partitions_count; i++) {
        for (uint32_t j = 0; j < command->create.replicas_count; j++) {
            writer_u64(writer, command->create.replicas[i][j]);
        }
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
        writer_u64(&writer, command->node.node_id);
        writer_u64(&writer, command->node.incarnation);
        writer_string(&writer, command->node.http_address);
        writer_string(&writer, command->node.peer_address);
        writer_string(&writer, command->node.kafka_address);
        break;
    case META_TOPIC_CREATE:
        write_create(&writer, command);
        break;
    case META_TOPIC_DELETE:
        writer_string(&writer, command->delete_name);
        break;
    case META_PRODUCER_BLOCK_TAKE:
        break;
    }
    return writer.bytes;
}

static void read_node(struct reader *reader, struct meta_node *node)
{
    node->node_id = reader_u64(reader);
    node->incarnation = reader_u64(reader);
    reader_string(reader, node->http_address, META_ADDRESS_BYTES_MAX - 1u);
    reader_string(reader, node->peer_address, META_ADDRESS_BYTES_MAX - 1u);
    reader_string(reader, node->kafka_address, META_ADDRESS_BYTES_MAX - 1u);
}

static bool read_create(struct reader *reader, struct meta_command *command)
{
    reader_string(reader, command->create.name, META_TOPIC_NAME_BYTES_MAX);
    const uint8_t *settings = reader_take(reader, PARTITION_SETTINGS_BYTES);
    command->create.partitions_count = reader_u32(reader);
    command->create.replicas_count = reader_u32(reader);
    if (reader->bad) return false;
    if (!settings__decode(settings, PARTITION_SETTINGS_BYTES, &command->create.settings))
        return false;
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
    switch (type) {
    case META_NODE_SET:
        read_node(&reader, &ret_command->node);
        break;
    case META_TOPIC_CREATE:
        if (!read_create(&reader, ret_command)) return false;
        break;
    case META_TOPIC_DELETE:
        reader_string(&reader, ret_command->delete_name, META_TOPIC_NAME_BYTES_MAX);
        break;
    case META_PRODUCER_BLOCK_TAKE:
        break;
    default:
        return false;
    }
    ret_command->type = (enum meta_command_type)type;
    return reader_is_done(&reader) && is_valid(ret_command);
}
