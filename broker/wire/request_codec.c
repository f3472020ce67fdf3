/* Proxied requests as bytes (docs/FORMATS.md, "Proxied requests"). One layout for all types: a field that a type does not
 * use travels as it is, so no type can be encoded by another one's rules. */
#include <broker/request_codec.h>

#include "settings_codec.h"

#include <assert.h>

#define REQUEST_VERSION 2u

#define FLAG_AUTO_CREATE   0x01u
#define FLAG_HAS_IF_OFFSET 0x02u
#define FLAG_HAS_TOPIC     0x04u
#define FLAG_HAS_GROUP     0x08u
#define FLAG_HAS_ADDRESS   0x10u
#define FLAG_TRANSFER_META 0x20u
#define FLAGS_ALL          0x3fu

/* What wire_get_string() on the other side would take. */
static bool is_sendable_name(const char *name, size_t bytes_max)
{
    if (!name) return true;
    size_t bytes = strlen(name);
    if (bytes > bytes_max) return false;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)name[i];
        if (byte < 0x20 || byte == 0x7f) return false;
    }
    return true;
}

static uint8_t flags_of(const struct node_request *request)
{
    unsigned flags = request->auto_create ? FLAG_AUTO_CREATE : 0u;
    if (request->group.has_if_offset) flags |= FLAG_HAS_IF_OFFSET;
    if (request->topic) flags |= FLAG_HAS_TOPIC;
    if (request->group.group) flags |= FLAG_HAS_GROUP;
    if (request->node.peer_address) flags |= FLAG_HAS_ADDRESS;
    if (request->transfer.meta) flags |= FLAG_TRANSFER_META;
    return (uint8_t)flags;
}

static void put_membership(struct wire_writer *writer, const struct node_request *request)
{
    wire_put_u64(writer, request->node.id);
    wire_put_u64(writer, request->node.with);
    wire_put_u64(writer, request->node.shrinks);
    wire_put_u64(writer, request->transfer.from);
    wire_put_u64(writer, request->transfer.to);
    wire_put_u32(writer, request->place.nodes_count);
    for (uint32_t i = 0; i < META_REPLICAS_MAX; i++) {
        wire_put_u64(writer, i < request->place.nodes_count ? request->place.nodes[i] : 0);
    }
}

size_t request_codec_encode(uint64_t number, const struct node_request *request, uint8_t *buffer,
                            size_t bytes)
{
    bool is_produce = request->type == NODE_REQUEST_PRODUCE;
    size_t batch_bytes = is_produce ? request->produce.bytes : 0;
    if (!is_sendable_name(request->topic, META_TOPIC_NAME_BYTES_MAX) ||
        !is_sendable_name(request->group.group, PARTITION_GROUP_NAME_BYTES_MAX) ||
        !is_sendable_name(request->node.peer_address, META_ADDRESS_BYTES_MAX - 1u) ||
        request->place.nodes_count > META_REPLICAS_MAX ||
        request->group.metadata_bytes > PARTITION_METADATA_BYTES_MAX || batch_bytes > UINT32_MAX) {
        return 0;
    }
    struct wire_writer writer = {.buffer = buffer, .capacity = bytes};
    wire_put_u8(&writer, REQUEST_VERSION);
    wire_put_u8(&writer, (uint8_t)request->type);
    wire_put_u8(&writer, flags_of(request));
    wire_put_u8(&writer, (uint8_t)request->fetch.from);
    wire_put_u32(&writer, request->timeout_ms);
    wire_put_u64(&writer, number);
    wire_put_u32(&writer, request->partition);
    wire_put_u32(&writer, request->fetch.wait_ms);
    wire_put_u64(&writer, request->fetch.value);
    wire_put_u64(&writer, request->fetch.bytes_max);
    settings_put(&writer, &request->create.settings);
    wire_put_u32(&writer, request->create.partitions_count);
    wire_put_u32(&writer, request->create.replicas_count);
    wire_put_u64(&writer, request->group.offset);
    wire_put_u64(&writer, (uint64_t)request->group.generation);
    wire_put_u64(&writer, request->group.if_offset);
    wire_put_u32(&writer, request->group.metadata_bytes);
    wire_put_u32(&writer, (uint32_t)batch_bytes);
    wire_put_u32(&writer, request->set.fields);
    wire_put_u8(&writer, (uint8_t)request->group.durable);
    wire_put_zeros(&writer, 3);
    put_membership(&writer, request);
    wire_put_string(&writer, request->topic ? request->topic : "");
    wire_put_string(&writer, request->group.group ? request->group.group : "");
    wire_put_string(&writer, request->node.peer_address ? request->node.peer_address : "");
    wire_put(&writer, request->group.metadata, request->group.metadata_bytes);
    wire_put_padding(&writer);
    assert(writer.bytes <= REQUEST_CODEC_BYTES_MAX);
    return writer.bytes;
}

/* ---- decode ---------------------------------------------------------------------------------------------------- */

static bool is_request_type(uint8_t type)
{
    return type >= NODE_REQUEST_PRODUCE && type <= NODE_REQUEST_TOPIC_SET;
}

static void get_membership(struct wire_reader *reader, struct node_request *request)
{
    request->node.id = wire_get_u64(reader);
    request->node.with = wire_get_u64(reader);
    const uint64_t shrinks = wire_get_u64(reader);
    request->node.shrinks = shrinks == 1;
    if (shrinks > 1) reader->failed = true;
    request->transfer.from = wire_get_u64(reader);
    request->transfer.to = wire_get_u64(reader);
    request->place.nodes_count = wire_get_u32(reader);
    for (uint32_t i = 0; i < META_REPLICAS_MAX; i++) {
        request->place.nodes[i] = wire_get_u64(reader);
        const bool is_room = i >= request->place.nodes_count;
        if (is_room && request->place.nodes[i] != 0) reader->failed = true;
    }
    if (request->place.nodes_count <= META_REPLICAS_MAX) return;
    request->place.nodes_count = 0;
    reader->failed = true;
}

static void get_fixed_fields(struct wire_reader *reader, struct request_codec_decoded *decoded,
                             uint8_t *ret_flags)
{
    struct node_request *request = &decoded->request;
    uint8_t type = wire_get_u8(reader);
    uint8_t flags = wire_get_u8(reader);
    uint8_t from = wire_get_u8(reader);
    if (!is_request_type(type) || (flags & ~FLAGS_ALL) != 0 || from > NODE_FROM_MESSAGE) {
        reader->failed = true;
    }
    request->type = (enum node_request_type)type;
    request->auto_create = (flags & FLAG_AUTO_CREATE) != 0;
    request->group.has_if_offset = (flags & FLAG_HAS_IF_OFFSET) != 0;
    request->transfer.meta = (flags & FLAG_TRANSFER_META) != 0;
    request->fetch.from = (enum node_fetch_from)from;
    request->timeout_ms = wire_get_u32(reader);
    decoded->number = wire_get_u64(reader);
    request->partition = wire_get_u32(reader);
    request->fetch.wait_ms = wire_get_u32(reader);
    request->fetch.value = wire_get_u64(reader);
    request->fetch.bytes_max = wire_get_u64(reader);
    settings_get(reader, &request->create.settings);
    request->create.partitions_count = wire_get_u32(reader);
    request->create.replicas_count = wire_get_u32(reader);
    request->group.offset = wire_get_u64(reader);
    request->group.generation = (int64_t)wire_get_u64(reader);
    request->group.if_offset = wire_get_u64(reader);
    request->group.metadata_bytes = wire_get_u32(reader);
    decoded->batch_bytes = wire_get_u32(reader);
    request->set.fields = wire_get_u32(reader);
    const uint8_t durable = wire_get_u8(reader);
    wire_get_zeros(reader, 3);
    if (durable > PARTITION_DURABLE_CLEAR) reader->failed = true;
    request->group.durable = (enum partition_durable)durable;
    get_membership(reader, request);
    *ret_flags = flags;
}

/* NULL when it was not given; then the name must be empty. */
static const char *get_name(struct wire_reader *reader, char *buffer, size_t bytes, bool is_given)
{
    wire_get_string(reader, buffer, bytes);
    if (is_given) return buffer;
    if (buffer[0] != '\0') reader->failed = true;
    return NULL;
}

static void get_names(struct wire_reader *reader, struct request_codec_decoded *decoded,
                      uint8_t flags)
{
    struct node_request *request = &decoded->request;
    request->topic =
        get_name(reader, decoded->topic, sizeof(decoded->topic), (flags & FLAG_HAS_TOPIC) != 0);
    request->group.group =
        get_name(reader, decoded->group, sizeof(decoded->group), (flags & FLAG_HAS_GROUP) != 0);
    request->node.peer_address =
        get_name(reader, decoded->peer_address, sizeof(decoded->peer_address),
                 (flags & FLAG_HAS_ADDRESS) != 0);
    if (request->group.metadata_bytes > sizeof(decoded->metadata)) reader->failed = true;
    const uint8_t *metadata = wire_get(reader, request->group.metadata_bytes);
    if (!metadata || request->group.metadata_bytes == 0) return;
    memcpy(decoded->metadata, metadata, request->group.metadata_bytes);
    request->group.metadata = decoded->metadata;
}

/* What the node takes for given in a request of this type: its own front ends never leave it out, another node might. */
static bool has_what_it_needs(const struct node_request *request)
{
    const bool has_topic = request->topic != NULL;
    switch (request->type) {
    case NODE_REQUEST_PRODUCE:
    case NODE_REQUEST_FETCH:
    case NODE_REQUEST_OFFSETS:
    case NODE_REQUEST_TOPIC_CREATE:
    case NODE_REQUEST_TOPIC_DELETE:
    case NODE_REQUEST_TOPIC_GET:
    case NODE_REQUEST_TOPIC_SET:
    case NODE_REQUEST_GROUP_LIST: /* of all groups, or of those behind a name */
    case NODE_REQUEST_PLACE:
        return has_topic;
    case NODE_REQUEST_GROUP_COMMIT:
    case NODE_REQUEST_GROUP_FETCH:
        return has_topic && request->group.group;
    case NODE_REQUEST_TRANSFER:
        return has_topic || request->transfer.meta || request->transfer.from != 0;
    case NODE_REQUEST_TOPIC_LIST:
    case NODE_REQUEST_PRODUCER_INIT:
    case NODE_REQUEST_NODE_ADD:
    case NODE_REQUEST_NODE_REMOVE:
    case NODE_REQUEST_NODE_REPLACE:
    case NODE_REQUEST_CHANGES:
        return true;
    }
    return false;
}

bool request_codec_decode(const uint8_t *body, size_t bytes,
                          struct request_codec_decoded *ret_decoded)
{
    struct wire_reader reader = wire_reader_of(body, bytes);
    memset(ret_decoded, 0, sizeof(*ret_decoded));
    if (wire_get_u8(&reader) != REQUEST_VERSION) return false;
    uint8_t flags;
    get_fixed_fields(&reader, ret_decoded, &flags);
    get_names(&reader, ret_decoded, flags);
    wire_get_padding(&reader);
    if (reader.failed || !has_what_it_needs(&ret_decoded->request)) return false;

    bool is_produce = ret_decoded->request.type == NODE_REQUEST_PRODUCE;
    if (!is_produce && ret_decoded->batch_bytes > 0) return false;
    const uint8_t *batch = wire_get(&reader, ret_decoded->batch_bytes);
    if (!wire_is_complete(&reader)) return false;
    if (is_produce) ret_decoded->batch = batch;
    ret_decoded->request.from_peer = true;
    return true;
}
