/* Builds uncompressed record batches, as native producers (command line, HTTP) send them. */
#include <broker/record_batch.h>

#include "record_batch_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_FIRST 4096u

void record_batch_builder_init(struct record_batch_builder *builder, size_t bytes_max)
{
    *builder = (struct record_batch_builder){.bytes_max = bytes_max};
    if (builder->bytes_max > INT32_MAX) builder->bytes_max = INT32_MAX; /* the length is an int32 */
    record_batch_begin(builder);
}

void record_batch_builder_close(struct record_batch_builder *builder)
{
    if (!builder) return;
    free(builder->buffer);
    *builder = (struct record_batch_builder){0};
}

void record_batch_begin(struct record_batch_builder *builder)
{
    builder->bytes = RECORD_BATCH_HEADER_BYTES;
    builder->records_count = 0;
    builder->base_timestamp = 0;
    builder->max_timestamp = 0;
}

/* ---- sizes ------------------------------------------------------------------------------------------------------ */

static uint64_t bytes_with_length(const void *data, uint32_t bytes)
{
    if (!data) return varint_bytes(-1);
    return varint_bytes(bytes) + (uint64_t)bytes;
}

/* A header's name is never null; an empty one may come with a NULL pointer. */
static uint64_t name_bytes_with_length(const struct record_header *header)
{
    return varint_bytes(header->name_bytes) + (uint64_t)header->name_bytes;
}

/* Bytes of the record without its own length; cannot overflow: at most 2 + 2 * RECORD_HEADERS_MAX strings of 4 GiB. */
static uint64_t body_bytes(const struct record *record, int64_t timestamp_delta,
                           uint32_t offset_delta)
{
    uint64_t bytes = 1 + varint_bytes(timestamp_delta) + varint_bytes(offset_delta);
    bytes += bytes_with_length(record->key, record->key_bytes);
    bytes += bytes_with_length(record->value, record->value_bytes);
    bytes += varint_bytes(record->headers_count);
    for (uint32_t i = 0; i < record->headers_count; i++) {
        const struct record_header *header = &record->headers[i];
        bytes += name_bytes_with_length(header);
        bytes += bytes_with_length(header->value, header->value_bytes);
    }
    return bytes;
}

static bool reserve(struct record_batch_builder *builder, size_t bytes)
{
    if (bytes <= builder->capacity) return true;
    size_t capacity = builder->capacity ? builder->capacity : CAPACITY_FIRST;
    while (capacity < bytes) {
        capacity *= 2;
    }
    if (capacity > builder->bytes_max) capacity = builder->bytes_max;
    uint8_t *buffer = realloc(builder->buffer, capacity);
    if (!buffer) return false;
    builder->buffer = buffer;
    builder->capacity = capacity;
    return true;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

static uint8_t *put_string(uint8_t *position, const void *data, uint32_t bytes)
{
    position = varint_put(position, bytes);
    if (bytes > 0) memcpy(position, data, bytes);
    return position + bytes;
}

static uint8_t *put_nullable(uint8_t *position, const void *data, uint32_t bytes)
{
    return data ? put_string(position, data, bytes) : varint_put(position, -1);
}

static uint8_t *put_record(uint8_t *position, const struct record *record, int64_t timestamp_delta,
                           uint32_t offset_delta)
{
    *position++ = 0; /* attributes: none are defined */
    position = varint_put(position, timestamp_delta);
    position = varint_put(position, offset_delta);
    position = put_nullable(position, record->key, record->key_bytes);
    position = put_nullable(position, record->value, record->value_bytes);
    position = varint_put(position, record->headers_count);
    for (uint32_t i = 0; i < record->headers_count; i++) {
        const struct record_header *header = &record->headers[i];
        position = put_string(position, header->name, header->name_bytes);
        position = put_nullable(position, header->value, header->value_bytes);
    }
    return position;
}

enum record_batch_status record_batch_add(struct record_batch_builder *builder,
                                          const struct record *record)
{
    int64_t base = builder->records_count > 0 ? builder->base_timestamp : record->timestamp_ms;
    int64_t delta;
    if (record->headers_count > RECORD_HEADERS_MAX || builder->records_count == INT32_MAX ||
        __builtin_sub_overflow(record->timestamp_ms, base, &delta)) {
        return RECORD_BATCH_TOO_LARGE;
    }
    uint64_t body = body_bytes(record, delta, builder->records_count);
    uint64_t bytes = builder->bytes + varint_bytes((int64_t)body) + body;
    if (bytes > builder->bytes_max || !reserve(builder, bytes)) return RECORD_BATCH_TOO_LARGE;

    uint8_t *position = varint_put(builder->buffer + builder->bytes, (int64_t)body);
    position = put_record(position, record, delta, builder->records_count);
    assert(position == builder->buffer + bytes);

    if (builder->records_count == 0 || record->timestamp_ms > builder->max_timestamp) {
        builder->max_timestamp = record->timestamp_ms;
    }
    builder->base_timestamp = base;
    builder->bytes = bytes;
    builder->records_count++;
    return RECORD_BATCH_OK;
}

void record_batch_finish(struct record_batch_builder *builder, int64_t producer_id,
                         int16_t producer_epoch, int32_t base_sequence)
{
    assert(builder->records_count > 0);
    assert(builder->bytes <= builder->bytes_max);
    uint8_t *batch = builder->buffer;
    store_be64(batch + POS_BASE_OFFSET, 0);
    store_be32(batch + POS_BATCH_LENGTH, (uint32_t)(builder->bytes - BATCH_LENGTH_EXCLUDES));
    store_be32(batch + POS_LEADER_EPOCH, UINT32_MAX); /* -1: not stamped by a leader yet */
    batch[POS_MAGIC] = 2;
    store_be16(batch + POS_ATTRIBUTES, 0);
    store_be32(batch + POS_LAST_OFFSET_DELTA, builder->records_count - 1);
    store_be64(batch + POS_BASE_TIMESTAMP, (uint64_t)builder->base_timestamp);
    store_be64(batch + POS_MAX_TIMESTAMP, (uint64_t)builder->max_timestamp);
    store_be64(batch + POS_PRODUCER_ID, (uint64_t)producer_id);
    store_be16(batch + POS_PRODUCER_EPOCH, (uint16_t)producer_epoch);
    store_be32(batch + POS_BASE_SEQUENCE, (uint32_t)base_sequence);
    store_be32(batch + POS_RECORDS_COUNT, builder->records_count);
    store_be32(batch + POS_CRC, crc32c(0, batch + POS_ATTRIBUTES, builder->bytes - POS_ATTRIBUTES));
}
