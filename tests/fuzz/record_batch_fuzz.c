/* libFuzzer on record batches: checked as a broker does before it stores one, then read as a consumer does.
 *
 * The oracle: of an uncompressed batch that is accepted, every record is readable, and there are as many as the header
 * counts; whatever is inflated stays below its limit.
 *
 * layout: flags (1), then the batch */
#include "seal.h"

#include <broker/record_batch.h>

#include <string.h>

enum { FLAG_SEAL = 1 /* length and CRC are computed anew */ };

#define INFLATED_BYTES_MAX 262144u

static void check_record(const struct record_view *record)
{
    uint64_t bytes = (uint64_t)record->key_bytes + record->value_bytes;
    fuzz_check(record->headers_count <= RECORD_HEADERS_MAX, "headers");
    uint64_t digest = 0;
    if (record->key) digest = checksum64_seeded(record->key, record->key_bytes, digest);
    if (record->value) digest = checksum64_seeded(record->value, record->value_bytes, digest);
    for (uint32_t i = 0; i < record->headers_count; i++) {
        const struct record_header *header = &record->headers[i];
        digest = checksum64_seeded(header->name, header->name_bytes, digest);
        if (header->value) digest = checksum64_seeded(header->value, header->value_bytes, digest);
        bytes += (uint64_t)header->name_bytes + header->value_bytes;
    }
    fuzz_check(bytes <= FUZZ_FILE_BYTES_MAX + INFLATED_BYTES_MAX, "a record without bounds");
}

static void read_batch(const uint8_t *batch, size_t count, bool is_accepted)
{
    struct record_batch_reader reader;
    if (record_batch_reader_open(&reader, batch, count, INFLATED_BYTES_MAX) != RECORD_BATCH_OK) {
        fuzz_check(!is_accepted, "an accepted batch cannot be read");
        return;
    }
    uint32_t records = 0;
    for (bool end = false; !end;) {
        struct record_view record;
        enum record_batch_status status = record_batch_reader_next(&reader, &record, &end);
        if (status != RECORD_BATCH_OK) {
            fuzz_check(!is_accepted, "an accepted record cannot be read");
            break;
        }
        if (end) {
            fuzz_check(records == reader.header.records_count, "records are missing");
            break;
        }
        check_record(&record);
        fuzz_check(++records <= reader.header.records_count, "more records than counted");
    }
    record_batch_reader_close(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1 || bytes > FUZZ_FILE_BYTES_MAX) return 0;
    size_t count = bytes - 1;
    uint8_t *batch = malloc(count ? count : 1);
    fuzz_check(batch, "no memory");
    memcpy(batch, data + 1, count);
    if (data[0] & FLAG_SEAL) seal_batch(batch, count);
    struct record_batch_header header;
    enum record_batch_status status = record_batch_check(batch, count, &header);
    bool is_plain = status == RECORD_BATCH_OK && header.codec == RECORD_BATCH_NONE;
    /* A reader asks for a checked batch; whether it is one is told by the codec when it is compressed. */
    if (status == RECORD_BATCH_OK) read_batch(batch, count, is_plain);
    free(batch);
    return 0;
}
