/* Kafka record batch v2: build, check, patch, walk. Pure: bytes in, bytes out (PROTOCOL L3; Kafka protocol guide).
 *
 *   baseOffset i64@0 · batchLength i32@8 · partitionLeaderEpoch i32@12 · magic i8@16 · crc u32@17 · attributes i16@21 ·
 *   lastOffsetDelta i32@23 · baseTimestamp i64@27 · maxTimestamp i64@35 · producerId i64@43 · producerEpoch i16@51 ·
 *   baseSequence i32@53 · recordCount i32@57 · records@61            big endian; crc = CRC-32C of byte 21 to the end
 *
 * The broker writes base offset and leader epoch (12 bytes outside of the crc), nothing else. */
#ifndef BROKER_RECORD_BATCH_H
#define BROKER_RECORD_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_BATCH_HEADER_BYTES 61u
/* base offset, length, leader epoch: not covered by the entry's payload hash */
#define RECORD_BATCH_STAMP_BYTES 16u
#define RECORD_HEADERS_MAX       64u

enum record_batch_codec {
    RECORD_BATCH_NONE = 0,
    RECORD_BATCH_GZIP = 1,
    RECORD_BATCH_SNAPPY = 2,
    RECORD_BATCH_LZ4 = 3,
    RECORD_BATCH_ZSTD = 4,
};

struct record_batch_header {
    int64_t base_offset;
    int32_t batch_length; /* bytes after the length field: total - 12 */
    int32_t leader_epoch;
    uint32_t crc;
    enum record_batch_codec codec;
    bool transactional;
    bool control;
    bool log_append_time;
    int64_t base_timestamp;
    int64_t max_timestamp;
    int64_t producer_id; /* -1: not idempotent */
    int16_t producer_epoch;
    int32_t base_sequence;
    uint32_t records_count;
};

#define RECORD_BATCH_STATUSES(X)                                                              \
    X(RECORD_BATCH_OK, "ok")                                                                  \
    X(RECORD_BATCH_SHORT, "the batch is cut off: fewer bytes than its length field says")     \
    X(RECORD_BATCH_TRAILING, "bytes follow the batch: exactly one batch is expected")         \
    X(RECORD_BATCH_BAD_MAGIC, "the record format is not version 2")                           \
    X(RECORD_BATCH_BAD_CRC, "the CRC-32C does not match the bytes")                           \
    X(RECORD_BATCH_BAD_COUNT, "record count, last offset delta and records do not agree")     \
    X(RECORD_BATCH_BAD_RECORD, "a record is malformed")                                       \
    X(RECORD_BATCH_BAD_CODEC, "the compression codec is unknown")                             \
    X(RECORD_BATCH_BAD_SEQUENCE, "a producer id needs a sequence and an epoch of at least 0") \
    X(RECORD_BATCH_TRANSACTIONAL, "transactional and control batches are not supported")      \
    X(RECORD_BATCH_TOO_LARGE, "a limit would be passed")                                      \
    X(RECORD_BATCH_CANNOT_INFLATE, "the compressed records are damaged or too large when "    \
                                   "inflated")

enum record_batch_status {
#define X(name, text) name,
    RECORD_BATCH_STATUSES(X)
#undef X
};
const char *record_batch_status_text(enum record_batch_status status);

/* CRC-32C (Castagnoli), SSE4.2 or ARMv8 when the processor has it. crc32c(0, "123456789", 9) == 0xE3069283. */
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);

/* Decode the header alone; checks lengths, magic and ranges, not the crc. */
enum record_batch_status record_batch_decode_header(const uint8_t *batch, size_t bytes,
                                                    struct record_batch_header *ret_header);

/* Everything a broker checks before it appends: exactly one batch, length, magic, crc, count > 0, lastOffsetDelta ==
 * count - 1, not control, not transactional, codec known, producer fields sane; of an uncompressed batch every record
 * is walked. Never inflates (a compression bomb costs the broker nothing). */
enum record_batch_status record_batch_check(const uint8_t *batch, size_t bytes,
                                            struct record_batch_header *ret_header);

/* Write base offset and leader epoch into batch[0..15]; batchLength stays. */
void record_batch_stamp(uint8_t *batch, uint64_t base_offset, int32_t leader_epoch);

/* ---- build -------------------------------------------------------------------------------------------------- */

struct record_header {
    const char *name;
    uint32_t name_bytes;
    const uint8_t *value; /* NULL: null value */
    uint32_t value_bytes;
};

struct record {
    int64_t timestamp_ms;
    const uint8_t *key; /* NULL: no key */
    uint32_t key_bytes;
    const uint8_t *value; /* NULL: null value (a tombstone) */
    uint32_t value_bytes;
    const struct record_header *headers;
    uint32_t headers_count;
};

/* A builder that grows one malloc'ed buffer. Reusable: begin again after finish. */
struct record_batch_builder {
    uint8_t *buffer;
    size_t bytes;
    size_t capacity;
    size_t bytes_max;
    uint32_t records_count;
    int64_t base_timestamp;
    int64_t max_timestamp;
};
void record_batch_builder_init(struct record_batch_builder *builder, size_t bytes_max);
void record_batch_builder_close(struct record_batch_builder *builder);
void record_batch_begin(struct record_batch_builder *builder);
/* OK, or TOO_LARGE: the batch stays as it was. */
enum record_batch_status record_batch_add(struct record_batch_builder *builder,
                                          const struct record *record);
/* Fill in the header (producer_id -1 for none) and the crc. The bytes stay the builder's. */
void record_batch_finish(struct record_batch_builder *builder, int64_t producer_id,
                         int16_t producer_epoch, int32_t base_sequence);

/* ---- walk --------------------------------------------------------------------------------------------------- */

struct record_view {
    uint64_t offset;
    int64_t timestamp_ms;
    /* borrowed from the batch or from the reader's inflated buffer; NULL = none */
    const uint8_t *key;
    uint32_t key_bytes;
    const uint8_t *value;
    uint32_t value_bytes;
    struct record_header headers[RECORD_HEADERS_MAX];
    uint32_t headers_count;
};

/* Walks the records of a checked batch; inflates gzip, snappy (plain and xerial), lz4 frame and zstd, bounded by
 * inflated_bytes_max. */
struct record_batch_reader {
    struct record_batch_header header;
    const uint8_t *position;
    const uint8_t *end;
    uint8_t *inflated; /* owned */
    uint32_t index;
};
enum record_batch_status record_batch_reader_open(struct record_batch_reader *reader,
                                                  const uint8_t *batch, size_t bytes,
                                                  size_t inflated_bytes_max);
/* OK: *ret_record is the next one. *ret_end = true (and OK) after the last. */
enum record_batch_status record_batch_reader_next(struct record_batch_reader *reader,
                                                  struct record_view *ret_record, bool *ret_end);
void record_batch_reader_close(struct record_batch_reader *reader);

#endif
