#include "payload.h"

#include <broker/record_batch.h>
#include <inttypes.h>
#include <segment_log/checksum.h>
#include <segment_log/entry.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

#define VALUE_BYTES    8u
#define LENGTHS        7u /* messages of one batch differ in length */
#define BATCH_MAX      (4u << 20)
#define RECORD_TIME_MS INT64_C(1700000000000)

static uint32_t message_bytes(uint64_t value, uint32_t value_bytes_max)
{
    const uint32_t less = (uint32_t)(value % LENGTHS) * (value_bytes_max - VALUE_BYTES) / LENGTHS;
    return value_bytes_max - less;
}

static void fill_message(uint64_t value, uint8_t *bytes, uint32_t bytes_count)
{
    memcpy(bytes, &value, VALUE_BYTES);
    const uint64_t start = value * UINT64_C(0x9e3779b97f4a7c15);
    for (uint32_t i = VALUE_BYTES; i < bytes_count; i++) {
        bytes[i] = (uint8_t)((start >> (8u * (i % 8u))) + i);
    }
}

uint8_t *payload_batch(uint64_t value, uint32_t count, uint32_t value_bytes, int64_t producer_id,
                       int16_t epoch, int32_t sequence, size_t *ret_bytes)
{
    uint8_t *message = malloc(value_bytes);
    struct record_batch_builder builder;
    if (!message) abort();
    record_batch_builder_init(&builder, BATCH_MAX);
    record_batch_begin(&builder);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t bytes = message_bytes(value + i, value_bytes);
        fill_message(value + i, message, bytes);
        const struct record record = {
            .timestamp_ms = RECORD_TIME_MS, .value = message, .value_bytes = bytes};
        if (record_batch_add(&builder, &record) != RECORD_BATCH_OK) abort();
    }
    record_batch_finish(&builder, producer_id, epoch, sequence);
    free(message);
    uint8_t *copy = malloc(builder.bytes);
    if (!copy) abort();
    memcpy(copy, builder.buffer, builder.bytes);
    *ret_bytes = builder.bytes;
    record_batch_builder_close(&builder);
    return copy;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

struct sink {
    struct history_run *runs;
    uint32_t count, capacity;
    uint64_t from_offset;
    uint64_t messages_count;
};

static void check_message(const struct record_view *record)
{
    uint8_t expected[4096];
    if (record->value_bytes >= VALUE_BYTES && record->value_bytes <= sizeof(expected)) {
        uint64_t value;
        memcpy(&value, record->value, VALUE_BYTES);
        fill_message(value, expected, record->value_bytes);
        if (memcmp(expected, record->value, record->value_bytes) == 0) return;
    }
    failure("bytes-changed", "the message at offset %" PRIu64 " is not as it was sent",
            record->offset);
}

static void take_message(struct sink *sink, uint64_t offset, uint64_t value)
{
    if (offset < sink->from_offset) return;
    sink->messages_count++;
    if (sink->count > 0) {
        struct history_run *last = &sink->runs[sink->count - 1];
        if (last->offset + last->count == offset && last->value + last->count == value) {
            last->count++;
            return;
        }
    }
    if (sink->count == sink->capacity) {
        sink->capacity = sink->capacity ? 2u * sink->capacity : 16u;
        sink->runs = realloc(sink->runs, sink->capacity * sizeof(*sink->runs));
        if (!sink->runs) abort();
    }
    sink->runs[sink->count++] = (struct history_run){.offset = offset, .value = value, .count = 1};
}

static void take_batch(struct sink *sink, const uint8_t *batch, uint32_t bytes)
{
    struct record_batch_header header;
    struct record_batch_reader reader;
    if (record_batch_check(batch, bytes, &header) != RECORD_BATCH_OK ||
        record_batch_reader_open(&reader, batch, bytes, BATCH_MAX) != RECORD_BATCH_OK) {
        failure("bytes-changed", "a batch that was read is malformed");
    }
    for (;;) {
        struct record_view record;
        bool end = false;
        if (record_batch_reader_next(&reader, &record, &end) != RECORD_BATCH_OK) {
            failure("bytes-changed", "a record that was read is malformed");
        }
        if (end) break;
        check_message(&record);
        uint64_t value;
        memcpy(&value, record.value, VALUE_BYTES);
        take_message(sink, record.offset, value);
    }
    record_batch_reader_close(&reader);
}

struct history_run *payload_runs(const struct segment_log_view *view, uint64_t from_offset,
                                 uint32_t *ret_runs_count, uint64_t *ret_messages_count)
{
    struct sink sink = {.from_offset = from_offset};
    for (uint32_t i = 0; i < view->parts_count; i++) {
        const uint8_t *at = view->parts[i].bytes;
        const uint8_t *end = at + view->parts[i].bytes_count;
        while (at < end) {
            const uint32_t bytes = entry_payload_bytes(at);
            if (at[4] == ENTRY_DATA) take_batch(&sink, at + ENTRY_HEADER_BYTES, bytes);
            at += entry_bytes(bytes);
        }
    }
    *ret_runs_count = sink.count;
    *ret_messages_count = sink.messages_count;
    return sink.runs;
}
