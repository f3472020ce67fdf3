/* Header, checks and stamp of a record batch, and the walk of one record that check and reader share.
 *
 *   record: length varint · attributes i8 · timestamp delta varlong · offset delta varint · key length varint (-1: none) ·
 *   key · value length varint (-1: null) · value · header count varint · headers
 *   header: name length varint · name · value length varint (-1: null) · value
 *
 * Every length comes from a client and is compared with what is left before it is used. */
#include <broker/record_batch.h>

#include "record_batch_private.h"

#include <assert.h>

const char *record_batch_status_text(enum record_batch_status status)
{
    switch (status) {
#define X(name, text) \
    case name:        \
        return text;
        RECORD_BATCH_STATUSES(X)
#undef X
    }
    return "unknown status";
}

/* The one gateway from bytes to lengths: afterwards total_bytes lies in HEADER_BYTES .. bytes. */
static enum record_batch_status measure(const uint8_t *batch, size_t bytes, size_t *ret_total_bytes)
{
    if (bytes <= POS_MAGIC) return RECORD_BATCH_SHORT;
    /* Older formats carry their magic at the same place, so the answer can name the reason. */
    if (batch[POS_MAGIC] != 2) return RECORD_BATCH_BAD_MAGIC;
    if (bytes < RECORD_BATCH_HEADER_BYTES) return RECORD_BATCH_SHORT;
    int32_t length = (int32_t)load_be32(batch + POS_BATCH_LENGTH);
    if (length < (int32_t)(RECORD_BATCH_HEADER_BYTES - BATCH_LENGTH_EXCLUDES)) {
        return RECORD_BATCH_SHORT;
    }
    size_t total_bytes = (size_t)length + BATCH_LENGTH_EXCLUDES;
    if (total_bytes > bytes) return RECORD_BATCH_SHORT;
    *ret_total_bytes = total_bytes;
    return RECORD_BATCH_OK;
}

enum record_batch_status record_batch_decode_header(const uint8_t *batch, size_t bytes,
                                                    struct record_batch_header *ret_header)
{
    size_t total_bytes;
    enum record_batch_status status = measure(batch, bytes, &total_bytes);
    if (status != RECORD_BATCH_OK) return status;

    uint16_t attributes = load_be16(batch + POS_ATTRIBUTES);
    if ((attributes & ATTRIBUTE_CODEC_MASK) > RECORD_BATCH_ZSTD) return RECORD_BATCH_BAD_CODEC;
    int32_t count = (int32_t)load_be32(batch + POS_RECORDS_COUNT);
    int32_t last_offset_delta = (int32_t)load_be32(batch + POS_LAST_OFFSET_DELTA);
    if (count <= 0 || last_offset_delta != count - 1) return RECORD_BATCH_BAD_COUNT;

    *ret_header = (struct record_batch_header){
        .base_offset = (int64_t)load_be64(batch + POS_BASE_OFFSET),
        .batch_length = (int32_t)(total_bytes - BATCH_LENGTH_EXCLUDES),
        .leader_epoch = (int32_t)load_be32(batch + POS_LEADER_EPOCH),
        .crc = load_be32(batch + POS_CRC),
        .codec = (enum record_batch_codec)(attributes & ATTRIBUTE_CODEC_MASK),
        .transactional = (attributes & ATTRIBUTE_TRANSACTIONAL) != 0,
        .control = (attributes & ATTRIBUTE_CONTROL) != 0,
        .log_append_time = (attributes & ATTRIBUTE_LOG_APPEND_TIME) != 0,
        .base_timestamp = (int64_t)load_be64(batch + POS_BASE_TIMESTAMP),
        .max_timestamp = (int64_t)load_be64(batch + POS_MAX_TIMESTAMP),
        .producer_id = (int64_t)load_be64(batch + POS_PRODUCER_ID),
        .producer_epoch = (int16_t)load_be16(batch + POS_PRODUCER_EPOCH),
        .base_sequence = (int32_t)load_be32(batch + POS_BASE_SEQUENCE),
        .records_count = (uint32_t)count,
    };
    return RECORD_BATCH_OK;
}

void record_batch_stamp(uint8_t *batch, uint64_t base_offset, int32_t leader_epoch)
{
    assert(base_offset <= INT64_MAX);
    assert(leader_epoch >= 0);
    store_be64(batch + POS_BASE_OFFSET, base_offset);
    store_be32(batch + POS_LEADER_EPOCH, (uint32_t)leader_epoch);
}

/* ---- the walk of one record --------------------------------------------------------------------------------- */

/* A length and that many bytes; -1 = none, allowed only where `nullable`. */
static bool take_bytes(const uint8_t **position, const uint8_t *end, bool nullable,
                       const uint8_t **ret_data, uint32_t *ret_bytes)
{
    int32_t bytes;
    if (!varint_get(position, end, &bytes)) return false;
    *ret_data = NULL;
    *ret_bytes = 0;
    if (bytes < 0) return nullable && bytes == -1;
    if (bytes > end - *position) return false;
    *ret_data = *position;
    *ret_bytes = (uint32_t)bytes;
    *position += bytes;
    return true;
}

static enum record_batch_status walk_headers(const uint8_t **position, const uint8_t *end,
                                             struct record_view *record)
{
    int32_t count;
    if (!varint_get(position, end, &count) || count < 0) return RECORD_BATCH_BAD_RECORD;
    if ((uint32_t)count > RECORD_HEADERS_MAX) return RECORD_BATCH_TOO_LARGE;
    for (int32_t i = 0; i < count; i++) {
        struct record_header header;
        const uint8_t *name;
        if (!take_bytes(position, end, false, &name, &header.name_bytes) ||
            !take_bytes(position, end, true, &header.value, &header.value_bytes)) {
            return RECORD_BATCH_BAD_RECORD;
        }
        header.name = (const char *)name;
        if (record) record->headers[i] = header;
    }
    if (record) record->headers_count = (uint32_t)count;
    return RECORD_BATCH_OK;
}

/* LogAppendTime: one stamp for all; else the base plus a delta that a client may have made up. */
static bool timestamp_of(const struct record_batch_header *header, int64_t delta,
                         int64_t *ret_timestamp_ms)
{
    if (header->log_append_time) {
        *ret_timestamp_ms = header->max_timestamp;
        return true;
    }
    return !__builtin_add_overflow(header->base_timestamp, delta, ret_timestamp_ms);
}

enum record_batch_status record_batch__walk_record(const struct record_batch_header *header,
                                                   uint32_t index, const uint8_t **position,
                                                   const uint8_t *end,
                                                   struct record_view *ret_record)
{
    int32_t bytes;
    if (!varint_get(position, end, &bytes)) return RECORD_BATCH_BAD_RECORD;
    if (bytes < 1 || bytes > end - *position) return RECORD_BATCH_BAD_RECORD;
    const uint8_t *at = *position + 1; /* behind the attributes, which are unused */
    const uint8_t *record_end = *position + bytes;

    int64_t timestamp_delta;
    int32_t offset_delta;
    int64_t timestamp_ms;
    const uint8_t *key;
    const uint8_t *value;
    uint32_t key_bytes;
    uint32_t value_bytes;
    if (!varlong_get(&at, record_end, &timestamp_delta) ||
        !varint_get(&at, record_end, &offset_delta) ||
        !timestamp_of(header, timestamp_delta, &timestamp_ms) || offset_delta < 0 ||
        (uint32_t)offset_delta != index || !take_bytes(&at, record_end, true, &key, &key_bytes) ||
        !take_bytes(&at, record_end, true, &value, &value_bytes)) {
        return RECORD_BATCH_BAD_RECORD;
    }
    enum record_batch_status status = walk_headers(&at, record_end, ret_record);
    if (status != RECORD_BATCH_OK) return status;
    if (at != record_end) return RECORD_BATCH_BAD_RECORD;

    *position = record_end;
    if (ret_record) {
        ret_record->offset = (uint64_t)header->base_offset + index;
        ret_record->timestamp_ms = timestamp_ms;
        ret_record->key = key;
        ret_record->key_bytes = key_bytes;
        ret_record->value = value;
        ret_record->value_bytes = value_bytes;
    }
    return RECORD_BATCH_OK;
}

/* ---- check ----------------------------------------------------------------------------------------------------- */

static enum record_batch_status check_records(const struct record_batch_header *header,
                                              const uint8_t *records, const uint8_t *end)
{
    for (uint32_t i = 0; i < header->records_count; i++) {
        if (records == end) return RECORD_BATCH_BAD_COUNT;
        enum record_batch_status status = record_batch__walk_record(header, i, &records, end, NULL);
        if (status != RECORD_BATCH_OK) return status;
    }
    return records == end ? RECORD_BATCH_OK : RECORD_BATCH_BAD_COUNT;
}

static bool has_sane_producer(const struct record_batch_header *header)
{
    if (header->producer_id < 0) return header->producer_id == -1;
    return header->producer_epoch >= 0 && header->base_sequence >= 0;
}

enum record_batch_status record_batch_check(const uint8_t *batch, size_t bytes,
                                            struct record_batch_header *ret_header)
{
    /* Length and checksum come first: until they hold, no other field is worth an answer. */
    size_t total_bytes;
    enum record_batch_status status = measure(batch, bytes, &total_bytes);
    if (status != RECORD_BATCH_OK) return status;
    if (total_bytes < bytes) return RECORD_BATCH_TRAILING;
    uint32_t crc = crc32c(0, batch + POS_ATTRIBUTES, bytes - POS_ATTRIBUTES);
    if (crc != load_be32(batch + POS_CRC)) return RECORD_BATCH_BAD_CRC;

    struct record_batch_header header;
    status = record_batch_decode_header(batch, bytes, &header);
    if (status != RECORD_BATCH_OK) return status;
    if (header.transactional || header.control) return RECORD_BATCH_TRANSACTIONAL;
    if (!has_sane_producer(&header)) return RECORD_BATCH_BAD_SEQUENCE;
    if (header.codec == RECORD_BATCH_NONE) {
        status = check_records(&header, batch + RECORD_BATCH_HEADER_BYTES, batch + bytes);
        if (status != RECORD_BATCH_OK) return status;
    }
    *ret_header = header;
    return RECORD_BATCH_OK;
}
