/* Answers to proxied requests as bytes (docs/FORMATS.md, "Proxied requests"). Counts are compared with the bytes that are
 * left before anything is allocated for them. */
#include <broker/request_codec.h>

#include "change_codec.h"
#include "settings_codec.h"

#include <assert.h>
#include <stdlib.h>

#define RESPONSE_VERSION 2u

#define FLAG_DUPLICATE 0x01u
#define FLAG_CREATED   0x02u
#define FLAGS_ALL      0x03u

#define PARTITION_OFFSETS_KNOWN  0x01u
#define PARTITION_PROGRESS_KNOWN 0x02u
#define PARTITION_FLAGS_ALL      0x03u

/* The smallest encoding of each, to judge a count before it is believed. */
#define TOPIC_BYTES_MIN     54u
#define PARTITION_BYTES_MIN 56u
#define OFFSET_BYTES_MIN    42u

#define STATUSES_COUNT_X(name, text) +1
#define STATUSES_COUNT               (0 NODE_STATUSES(STATUSES_COUNT_X))

/* ---- encode ---------------------------------------------------------------------------------------------------- */

static void put_partition(struct wire_writer *writer, const struct node_partition_info *partition)
{
    assert(partition->replicas_count <= META_REPLICAS_MAX);
    wire_put_u32(writer, partition->number);
    wire_put_u8(writer, (uint8_t)((partition->offsets_known ? PARTITION_OFFSETS_KNOWN : 0u) |
                                  (partition->progress_known ? PARTITION_PROGRESS_KNOWN : 0u)));
    wire_put_u8(writer, (uint8_t)partition->replicas_count);
    wire_put_zeros(writer, 2);
    wire_put_u64(writer, partition->group);
    wire_put_u64(writer, partition->leader);
    wire_put_u64(writer, partition->term);
    wire_put_u64(writer, partition->first_offset);
    wire_put_u64(writer, partition->next_offset);
    wire_put_u64(writer, partition->commit_index);
    for (uint32_t i = 0; i < partition->replicas_count; i++) {
        wire_put_u64(writer, partition->replicas[i].node_id);
        wire_put_u64(writer, partition->replicas[i].epoch);
        wire_put_u64(writer, partition->progress[i].match);
        wire_put_u64(writer, partition->progress[i].lag);
    }
}

static void put_topic(struct wire_writer *writer, const struct node_topic_info *topic)
{
    wire_put_string(writer, topic->name);
    wire_put_u64(writer, topic->created_index);
    wire_put_u64(writer, (uint64_t)topic->created_ms);
    settings_put(writer, &topic->settings);
    wire_put_u32(writer, topic->partitions_count);
    for (uint32_t i = 0; i < topic->partitions_count; i++) {
        put_partition(writer, &topic->partitions[i]);
    }
}

static void put_offset(struct wire_writer *writer, const struct partition_offset *offset)
{
    assert(offset->metadata_bytes <= PARTITION_METADATA_BYTES_MAX);
    wire_put_string(writer, offset->group);
    wire_put_u64(writer, offset->offset);
    wire_put_u64(writer, (uint64_t)offset->generation);
    wire_put_u64(writer, (uint64_t)offset->timestamp_ms);
    wire_put_u64(writer, offset->expired);
    wire_put_u8(writer, offset->durable);
    wire_put_zeros(writer, 3);
    wire_put_u32(writer, offset->metadata_bytes);
    wire_put(writer, offset->metadata, offset->metadata_bytes);
}

static bool is_within_bounds(const struct node_request *request)
{
    if (request->ret_topics_count > META_TOPICS_MAX) return false;
    if (request->ret_offsets_count > RESPONSE_CODEC_OFFSETS_MAX) return false;
    if (request->ret_changes_count > RESPONSE_CODEC_CHANGES_MAX) return false;
    uint64_t partitions_count = 0;
    for (uint32_t i = 0; i < request->ret_topics_count; i++) {
        if (request->ret_topics[i].partitions_count > META_PARTITIONS_MAX) return false;
        partitions_count += request->ret_topics[i].partitions_count;
    }
    return partitions_count <= RESPONSE_CODEC_PARTITIONS_MAX &&
           request->ret_view.bytes_total <= UINT32_MAX;
}

static void put_scalars(struct wire_writer *writer, const struct node_request *request)
{
    wire_put_u64(writer, request->ret_leader);
    wire_put_u64(writer, request->ret_term);
    wire_put_u64(writer, request->ret_offset);
    wire_put_u32(writer, request->ret_count);
    wire_put_u16(writer, (uint16_t)request->ret_producer_epoch);
    wire_put_zeros(writer, 2);
    wire_put_u64(writer, (uint64_t)request->ret_timestamp_ms);
    wire_put_u64(writer, request->ret_first_offset);
    wire_put_u64(writer, request->ret_next_offset);
    wire_put_u64(writer, request->ret_high_watermark);
    wire_put_u64(writer, request->ret_local_lag);
    wire_put_u64(writer, request->ret_fetch_offset);
    wire_put_u64(writer, (uint64_t)request->ret_producer_id);
}

size_t response_codec_encode(uint64_t number, const struct node_request *request, uint8_t *buffer,
                             size_t bytes)
{
    if (!is_within_bounds(request)) return 0;
    struct wire_writer writer = {.buffer = buffer, .capacity = bytes};
    wire_put_u8(&writer, RESPONSE_VERSION);
    wire_put_u8(&writer, (uint8_t)((request->ret_duplicate ? FLAG_DUPLICATE : 0u) |
                                   (request->ret_created ? FLAG_CREATED : 0u)));
    wire_put_u16(&writer, (uint16_t)request->status);
    wire_put_u32(&writer, request->retry_after_ms);
    wire_put_u64(&writer, number);
    put_scalars(&writer, request);
    wire_put_u64(&writer, request->ret_view.first_index);
    wire_put_u64(&writer, request->ret_view.last_index);
    wire_put_u32(&writer, (uint32_t)request->ret_view.bytes_total);
    wire_put_u32(&writer, request->ret_topics_count);
    wire_put_u32(&writer, request->ret_offsets_count);
    wire_put_u32(&writer, request->ret_changes_count);
    change_codec_put_text(&writer, request->detail, sizeof(request->detail));
    for (uint32_t i = 0; i < request->ret_topics_count; i++) {
        put_topic(&writer, &request->ret_topics[i]);
    }
    for (uint32_t i = 0; i < request->ret_offsets_count; i++) {
        put_offset(&writer, &request->ret_offsets[i]);
    }
    for (uint32_t i = 0; i < request->ret_changes_count; i++) {
        change_codec_put(&writer, &request->ret_changes[i]);
    }
    wire_put_padding(&writer);
    return writer.bytes;
}

/* ---- decode ---------------------------------------------------------------------------------------------------- */

static void get_partition(struct wire_reader *reader, struct node_partition_info *partition)
{
    partition->number = wire_get_u32(reader);
    uint8_t flags = wire_get_u8(reader);
    partition->offsets_known = (flags & PARTITION_OFFSETS_KNOWN) != 0;
    partition->progress_known = (flags & PARTITION_PROGRESS_KNOWN) != 0;
    partition->replicas_count = wire_get_u8(reader);
    wire_get_zeros(reader, 2);
    if ((flags & ~PARTITION_FLAGS_ALL) != 0 || partition->replicas_count > META_REPLICAS_MAX) {
        partition->replicas_count = 0;
        reader->failed = true;
    }
    partition->group = wire_get_u64(reader);
    partition->leader = wire_get_u64(reader);
    partition->term = wire_get_u64(reader);
    partition->first_offset = wire_get_u64(reader);
    partition->next_offset = wire_get_u64(reader);
    partition->commit_index = wire_get_u64(reader);
    for (uint32_t i = 0; i < partition->replicas_count; i++) {
        partition->replicas[i].node_id = wire_get_u64(reader);
        partition->replicas[i].epoch = wire_get_u64(reader);
        partition->progress[i].match = wire_get_u64(reader);
        partition->progress[i].lag = wire_get_u64(reader);
    }
}

/* partitions_left: how many this response may still have. On failure the topic is whole enough to be freed. */
static void get_topic(struct wire_reader *reader, struct node_topic_info *topic,
                      uint32_t *partitions_left)
{
    wire_get_string(reader, topic->name, sizeof(topic->name));
    topic->created_index = wire_get_u64(reader);
    topic->created_ms = (int64_t)wire_get_u64(reader);
    settings_get(reader, &topic->settings);
    uint32_t count = wire_get_u32(reader);
    if (count > META_PARTITIONS_MAX || count > *partitions_left ||
        count > wire_left(reader) / PARTITION_BYTES_MIN) {
        reader->failed = true;
    }
    if (reader->failed || count == 0) return;
    topic->partitions = calloc(count, sizeof(*topic->partitions));
    if (!topic->partitions) {
        reader->failed = true;
        return;
    }
    topic->partitions_count = count;
    *partitions_left -= count;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        get_partition(reader, &topic->partitions[i]);
    }
}

static void get_topics(struct wire_reader *reader, struct node_request *decoded, uint32_t count)
{
    if (count > META_TOPICS_MAX || count > wire_left(reader) / TOPIC_BYTES_MIN) {
        reader->failed = true;
    }
    if (reader->failed || count == 0) return;
    decoded->ret_topics = calloc(count, sizeof(*decoded->ret_topics));
    if (!decoded->ret_topics) {
        reader->failed = true;
        return;
    }
    decoded->ret_topics_count = count;
    uint32_t partitions_left = RESPONSE_CODEC_PARTITIONS_MAX;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        get_topic(reader, &decoded->ret_topics[i], &partitions_left);
    }
}

static void get_offset(struct wire_reader *reader, struct partition_offset *offset)
{
    wire_get_string(reader, offset->group, sizeof(offset->group));
    offset->offset = wire_get_u64(reader);
    offset->generation = (int64_t)wire_get_u64(reader);
    offset->timestamp_ms = (int64_t)wire_get_u64(reader);
    offset->expired = wire_get_u64(reader);
    offset->durable = wire_get_bool(reader);
    wire_get_zeros(reader, 3);
    uint32_t bytes = wire_get_u32(reader);
    if (bytes > sizeof(offset->metadata)) reader->failed = true;
    const uint8_t *metadata = wire_get(reader, bytes);
    if (!metadata) return;
    memcpy(offset->metadata, metadata, bytes);
    offset->metadata_bytes = bytes;
}

static void get_offsets(struct wire_reader *reader, struct node_request *decoded, uint32_t count)
{
    if (count > RESPONSE_CODEC_OFFSETS_MAX || count > wire_left(reader) / OFFSET_BYTES_MIN) {
        reader->failed = true;
    }
    if (reader->failed || count == 0) return;
    decoded->ret_offsets = calloc(count, sizeof(*decoded->ret_offsets));
    if (!decoded->ret_offsets) {
        reader->failed = true;
        return;
    }
    decoded->ret_offsets_count = count;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        get_offset(reader, &decoded->ret_offsets[i]);
    }
}

static void get_changes(struct wire_reader *reader, struct node_request *decoded, uint32_t count)
{
    if (count > RESPONSE_CODEC_CHANGES_MAX || count > wire_left(reader) / CHANGE_CODEC_BYTES_MIN) {
        reader->failed = true;
    }
    if (reader->failed || count == 0) return;
    decoded->ret_changes = calloc(count, sizeof(*decoded->ret_changes));
    if (!decoded->ret_changes) {
        reader->failed = true;
        return;
    }
    decoded->ret_changes_count = count;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        change_codec_get(reader, &decoded->ret_changes[i]);
    }
}

static void get_scalars(struct wire_reader *reader, struct node_request *decoded)
{
    decoded->ret_leader = wire_get_u64(reader);
    decoded->ret_term = wire_get_u64(reader);
    decoded->ret_offset = wire_get_u64(reader);
    decoded->ret_count = wire_get_u32(reader);
    decoded->ret_producer_epoch = (int16_t)wire_get_u16(reader);
    wire_get_zeros(reader, 2);
    decoded->ret_timestamp_ms = (int64_t)wire_get_u64(reader);
    decoded->ret_first_offset = wire_get_u64(reader);
    decoded->ret_next_offset = wire_get_u64(reader);
    decoded->ret_high_watermark = wire_get_u64(reader);
    decoded->ret_local_lag = wire_get_u64(reader);
    decoded->ret_fetch_offset = wire_get_u64(reader);
    decoded->ret_producer_id = (int64_t)wire_get_u64(reader);
}

static void free_decoded(struct node_request *decoded)
{
    for (uint32_t i = 0; i < decoded->ret_topics_count; i++) {
        free(decoded->ret_topics[i].partitions);
    }
    free(decoded->ret_topics);
    free(decoded->ret_offsets);
    free(decoded->ret_changes);
}

/* Move the output fields alone; everything else of the request is its owner's. */
static void adopt(struct node_request *request, const struct node_request *decoded)
{
    request->status = decoded->status;
    memcpy(request->detail, decoded->detail, sizeof(request->detail));
    request->retry_after_ms = decoded->retry_after_ms;
    request->ret_leader = decoded->ret_leader;
    request->ret_term = decoded->ret_term;
    request->ret_offset = decoded->ret_offset;
    request->ret_count = decoded->ret_count;
    request->ret_timestamp_ms = decoded->ret_timestamp_ms;
    request->ret_duplicate = decoded->ret_duplicate;
    request->ret_created = decoded->ret_created;
    request->ret_first_offset = decoded->ret_first_offset;
    request->ret_next_offset = decoded->ret_next_offset;
    request->ret_high_watermark = decoded->ret_high_watermark;
    request->ret_local_lag = decoded->ret_local_lag;
    request->ret_fetch_offset = decoded->ret_fetch_offset;
    request->ret_producer_id = decoded->ret_producer_id;
    request->ret_producer_epoch = decoded->ret_producer_epoch;
    request->ret_topics = decoded->ret_topics;
    request->ret_topics_count = decoded->ret_topics_count;
    request->ret_offsets = decoded->ret_offsets;
    request->ret_offsets_count = decoded->ret_offsets_count;
    request->ret_changes = decoded->ret_changes;
    request->ret_changes_count = decoded->ret_changes_count;
}

/* Everything in front of the number; the same in both decoders. */
static void get_head(struct wire_reader *reader, struct node_request *decoded, uint64_t *ret_number)
{
    if (wire_get_u8(reader) != RESPONSE_VERSION) reader->failed = true;
    uint8_t flags = wire_get_u8(reader);
    uint16_t status = wire_get_u16(reader);
    if ((flags & ~FLAGS_ALL) != 0 || status >= STATUSES_COUNT) reader->failed = true;
    decoded->ret_duplicate = (flags & FLAG_DUPLICATE) != 0;
    decoded->ret_created = (flags & FLAG_CREATED) != 0;
    decoded->status = (enum node_status)status;
    decoded->retry_after_ms = wire_get_u32(reader);
    *ret_number = wire_get_u64(reader);
}

bool response_codec_decode_number(const uint8_t *body, size_t bytes, uint64_t *ret_number)
{
    struct wire_reader reader = wire_reader_of(body, bytes);
    struct node_request head;
    uint64_t number;
    get_head(&reader, &head, &number);
    if (reader.failed) return false;
    *ret_number = number;
    return true;
}

bool response_codec_decode(const uint8_t *body, size_t bytes, struct node_request *request,
                           struct response_codec_view *ret_view)
{
    assert(!request->ret_topics);
    assert(!request->ret_offsets);
    assert(!request->ret_changes);
    struct wire_reader reader = wire_reader_of(body, bytes);
    struct node_request decoded;
    memset(&decoded, 0, sizeof(decoded));
    uint64_t number;
    get_head(&reader, &decoded, &number);
    get_scalars(&reader, &decoded);

    struct response_codec_view view = {.first_index = wire_get_u64(&reader)};
    view.last_index = wire_get_u64(&reader);
    view.bytes_count = wire_get_u32(&reader);
    uint32_t topics_count = wire_get_u32(&reader);
    uint32_t offsets_count = wire_get_u32(&reader);
    uint32_t changes_count = wire_get_u32(&reader);
    wire_get_string(&reader, decoded.detail, sizeof(decoded.detail));
    get_topics(&reader, &decoded, topics_count);
    get_offsets(&reader, &decoded, offsets_count);
    get_changes(&reader, &decoded, changes_count);
    wire_get_padding(&reader);
    const uint8_t *entries = wire_get(&reader, view.bytes_count);
    if (!wire_is_complete(&reader)) {
        free_decoded(&decoded);
        return false;
    }
    if (view.bytes_count > 0) view.bytes = entries;
    adopt(request, &decoded);
    *ret_view = view;
    return true;
}
