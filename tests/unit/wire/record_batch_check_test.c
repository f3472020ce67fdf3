/* What a broker refuses before it appends: every field out of its range gets its own answer, no damage passes, and no bytes
 * at all can harm. Every case keeps its crc right, else the crc alone would answer. */
#include "golden_batch.h"
#include "record_batch_private.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static uint8_t batch[GOLDEN_BYTES + 16];

static void start(void)
{
    memcpy(batch, golden_batch, GOLDEN_BYTES);
    memset(batch + GOLDEN_BYTES, 0, sizeof(batch) - GOLDEN_BYTES);
}

static void fix_crc(size_t bytes)
{
    store_be32(batch + POS_CRC, crc32c(0, batch + POS_ATTRIBUTES, bytes - POS_ATTRIBUTES));
}

static enum record_batch_status check(size_t bytes)
{
    struct record_batch_header header;
    return record_batch_check(batch, bytes, &header);
}

static enum record_batch_status check_fixed(void)
{
    fix_crc(GOLDEN_BYTES);
    return check(GOLDEN_BYTES);
}

TestSuite(record_batch_check, .init = start);

Test(record_batch_check, every_truncation_is_short)
{
    for (size_t bytes = 0; bytes < GOLDEN_BYTES; bytes++) {
        uint8_t *exact = malloc(bytes ? bytes : 1);
        memcpy(exact, golden_batch, bytes);
        struct record_batch_header header;
        cr_assert_eq(record_batch_check(exact, bytes, &header), RECORD_BATCH_SHORT, "%zu", bytes);
        cr_assert_eq(record_batch_decode_header(exact, bytes, &header), RECORD_BATCH_SHORT);
        free(exact);
    }
}

Test(record_batch_check, bytes_behind_the_batch_are_refused)
{
    cr_assert_eq(check(GOLDEN_BYTES + 1), RECORD_BATCH_TRAILING);
    struct record_batch_header header;
    cr_assert_eq(record_batch_decode_header(batch, GOLDEN_BYTES + 1, &header), RECORD_BATCH_OK,
                 "the header alone is sound: batches may follow each other");
}

/* All but the 12 stamped bytes and the magic, which have answers of their own. */
Test(record_batch_check, every_flipped_bit_is_seen)
{
    for (size_t bit = 0; bit < GOLDEN_BYTES * 8; bit++) {
        size_t at = bit / 8;
        batch[at] ^= (uint8_t)(1u << bit % 8);
        enum record_batch_status status = check(GOLDEN_BYTES);
        if (at < POS_BATCH_LENGTH || (at >= POS_LEADER_EPOCH && at < POS_MAGIC)) {
            cr_assert_eq(status, RECORD_BATCH_OK, "bit %zu is the broker's to write", bit);
        } else if (at == POS_MAGIC) {
            cr_assert_eq(status, RECORD_BATCH_BAD_MAGIC);
        } else if (at < POS_LEADER_EPOCH) {
            cr_assert(status == RECORD_BATCH_SHORT || status == RECORD_BATCH_TRAILING);
        } else {
            cr_assert_eq(status, RECORD_BATCH_BAD_CRC, "bit %zu", bit);
        }
        batch[at] ^= (uint8_t)(1u << bit % 8);
    }
}

Test(record_batch_check, older_formats_are_named_even_when_short)
{
    batch[POS_MAGIC] = 1;
    cr_assert_eq(check(30), RECORD_BATCH_BAD_MAGIC);
    batch[POS_MAGIC] = 0;
    cr_assert_eq(check(GOLDEN_BYTES), RECORD_BATCH_BAD_MAGIC);
}

Test(record_batch_check, lengths_below_the_header_and_negative_ones_are_short)
{
    static const int32_t lengths[] = {0, 48, -1, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        store_be32(batch + POS_BATCH_LENGTH, (uint32_t)lengths[i]);
        cr_assert_eq(check(GOLDEN_BYTES), RECORD_BATCH_SHORT);
    }
}

Test(record_batch_check, unknown_codecs_are_refused)
{
    for (uint16_t codec = 5; codec < 8; codec++) {
        store_be16(batch + POS_ATTRIBUTES, codec);
        cr_assert_eq(check_fixed(), RECORD_BATCH_BAD_CODEC);
    }
}

Test(record_batch_check, transactional_and_control_batches_are_refused)
{
    store_be16(batch + POS_ATTRIBUTES, ATTRIBUTE_TRANSACTIONAL);
    cr_assert_eq(check_fixed(), RECORD_BATCH_TRANSACTIONAL);
    store_be16(batch + POS_ATTRIBUTES, ATTRIBUTE_CONTROL);
    cr_assert_eq(check_fixed(), RECORD_BATCH_TRANSACTIONAL);
}

Test(record_batch_check, a_producer_id_needs_epoch_and_sequence)
{
    store_be16(batch + POS_PRODUCER_EPOCH, UINT16_MAX);
    cr_assert_eq(check_fixed(), RECORD_BATCH_BAD_SEQUENCE);
    store_be16(batch + POS_PRODUCER_EPOCH, 0);
    store_be32(batch + POS_BASE_SEQUENCE, UINT32_MAX);
    cr_assert_eq(check_fixed(), RECORD_BATCH_BAD_SEQUENCE);
    store_be64(batch + POS_PRODUCER_ID, UINT64_MAX);
    cr_assert_eq(check_fixed(), RECORD_BATCH_OK, "-1: not idempotent, the rest does not matter");
    store_be64(batch + POS_PRODUCER_ID, (uint64_t)-2);
    cr_assert_eq(check_fixed(), RECORD_BATCH_BAD_SEQUENCE);
}

Test(record_batch_check, counts_must_agree)
{
    static const struct {
        int32_t count, last_delta;
    } cases[] = {{0, -1},
                 {-1, -2},
                 {3, 3},
                 {3, 1},
                 {2, 1},
                 {4, 3},
                 {INT32_MIN, INT32_MAX},
                 {INT32_MAX, INT32_MAX - 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        store_be32(batch + POS_RECORDS_COUNT, (uint32_t)cases[i].count);
        store_be32(batch + POS_LAST_OFFSET_DELTA, (uint32_t)cases[i].last_delta);
        cr_assert_eq(check_fixed(), RECORD_BATCH_BAD_COUNT, "case %zu", i);
    }
}

/* Goal: no single byte of the records can be changed into something that is not noticed as malformed or is another sound
 * batch. Method: change each byte to each value, keep the crc right; what passes the check must also be readable. */
Test(record_batch_check, what_passes_the_check_can_be_read)
{
    uint32_t passed = 0;
    for (size_t at = RECORD_BATCH_HEADER_BYTES; at < GOLDEN_BYTES; at++) {
        for (unsigned value = 0; value < 256; value++) {
            uint8_t before = batch[at];
            batch[at] = (uint8_t)value;
            uint8_t *exact = malloc(GOLDEN_BYTES);
            fix_crc(GOLDEN_BYTES);
            memcpy(exact, batch, GOLDEN_BYTES);
            struct record_batch_header header;
            struct record_batch_reader reader;
            enum record_batch_status expected = record_batch_check(exact, GOLDEN_BYTES, &header);
            enum record_batch_status status =
                record_batch_reader_open(&reader, exact, GOLDEN_BYTES, 0);
            bool end = false;
            while (status == RECORD_BATCH_OK && !end) {
                struct record_view record;
                status = record_batch_reader_next(&reader, &record, &end);
            }
            cr_assert_eq(status, expected, "byte %zu = %u", at, value);
            passed += status == RECORD_BATCH_OK;
            record_batch_reader_close(&reader);
            free(exact);
            batch[at] = before;
        }
    }
    cr_assert_gt(passed, 100u * 255u, "the bytes of values may be anything");
}

/* A batch with one record whose bytes are given. */
static enum record_batch_status check_record(const uint8_t *record, size_t bytes)
{
    size_t total = RECORD_BATCH_HEADER_BYTES + bytes;
    memcpy(batch + RECORD_BATCH_HEADER_BYTES, record, bytes);
    store_be32(batch + POS_BATCH_LENGTH, (uint32_t)(total - BATCH_LENGTH_EXCLUDES));
    store_be32(batch + POS_RECORDS_COUNT, 1);
    store_be32(batch + POS_LAST_OFFSET_DELTA, 0);
    fix_crc(total);
    return check(total);
}

#define CHECK_RECORD(...) \
    check_record((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

Test(record_batch_check, malformed_records_are_refused)
{
    /* length, attributes, timestamp, offset, key, value, headers; zigzag: 2n, -1 = 1 */
    cr_assert_eq(CHECK_RECORD(12, 0, 0, 0, 1, 1, 0), RECORD_BATCH_OK, "the smallest record");
    cr_assert_eq(CHECK_RECORD(0), RECORD_BATCH_BAD_RECORD, "length 0");
    cr_assert_eq(CHECK_RECORD(1, 0, 0, 0, 1, 1, 0), RECORD_BATCH_BAD_RECORD, "length -1");
    cr_assert_eq(CHECK_RECORD(14, 0, 0, 0, 1, 1, 0), RECORD_BATCH_BAD_RECORD, "too long");
    cr_assert_eq(CHECK_RECORD(10, 0, 0, 0, 1, 1, 0), RECORD_BATCH_BAD_RECORD, "too short");
    cr_assert_eq(CHECK_RECORD(14, 0, 0, 0, 1, 1, 0, 0), RECORD_BATCH_BAD_RECORD, "a byte unused");
    cr_assert_eq(CHECK_RECORD(12, 0, 0, 2, 1, 1, 0), RECORD_BATCH_BAD_RECORD, "offset 1");
    cr_assert_eq(CHECK_RECORD(12, 0, 0, 1, 1, 1, 0), RECORD_BATCH_BAD_RECORD, "offset -1");
    cr_assert_eq(CHECK_RECORD(12, 0, 0, 0, 3, 1, 0), RECORD_BATCH_BAD_RECORD, "key length -2");
    cr_assert_eq(CHECK_RECORD(12, 0, 0, 0, 8, 1, 0), RECORD_BATCH_BAD_RECORD, "key beyond the end");
    cr_assert_eq(CHECK_RECORD(12, 0, 0, 0, 1, 3, 0), RECORD_BATCH_BAD_RECORD, "value length -2");
    cr_assert_eq(CHECK_RECORD(12, 0, 0, 0, 1, 1, 1), RECORD_BATCH_BAD_RECORD, "-1 headers");
    cr_assert_eq(CHECK_RECORD(12, 0, 0, 0, 1, 1, 2), RECORD_BATCH_BAD_RECORD, "no header there");
    cr_assert_eq(CHECK_RECORD(16, 0, 0, 0, 1, 1, 2, 1, 1), RECORD_BATCH_BAD_RECORD, "null name");
    cr_assert_eq(CHECK_RECORD(16, 0, 0, 0, 1, 1, 2, 0, 1), RECORD_BATCH_OK,
                 "empty name, null value");
    cr_assert_eq(CHECK_RECORD(14, 0, 0, 0, 1, 1, 0x82, 1), RECORD_BATCH_TOO_LARGE, "65 headers");
    cr_assert_eq(CHECK_RECORD(20, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 0),
                 RECORD_BATCH_BAD_RECORD, "key of 2 GiB");
    cr_assert_eq(CHECK_RECORD(0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 1, 1, 0),
                 RECORD_BATCH_BAD_RECORD, "record of 2 GiB");
}

Test(record_batch_check, a_timestamp_beyond_64_bits_is_refused)
{
    store_be64(batch + POS_BASE_TIMESTAMP, INT64_MAX);
    cr_assert_eq(CHECK_RECORD(12, 0, 0, 0, 1, 1, 0), RECORD_BATCH_OK);
    cr_assert_eq(CHECK_RECORD(12, 0, 2, 0, 1, 1, 0), RECORD_BATCH_BAD_RECORD);
}

Test(record_batch_check, random_records_are_harmless)
{
    srand(5);
    for (int round = 0; round < 100000; round++) {
        size_t bytes = RECORD_BATCH_HEADER_BYTES + (size_t)(rand() % 60);
        uint8_t *exact = malloc(bytes);
        for (size_t i = RECORD_BATCH_HEADER_BYTES; i < bytes; i++) {
            /* Small numbers are more often sound. */
            exact[i] = (uint8_t)(rand() % 3 ? rand() % 24 : rand());
        }
        memcpy(exact, golden_batch, RECORD_BATCH_HEADER_BYTES);
        store_be32(exact + POS_BATCH_LENGTH, (uint32_t)(bytes - BATCH_LENGTH_EXCLUDES));
        uint32_t count = 1 + (uint32_t)(rand() % 3);
        store_be32(exact + POS_RECORDS_COUNT, count);
        store_be32(exact + POS_LAST_OFFSET_DELTA, count - 1);
        store_be16(exact + POS_ATTRIBUTES, (uint16_t)(rand() % 10 ? 0 : rand() % 16));
        store_be32(exact + POS_CRC, crc32c(0, exact + POS_ATTRIBUTES, bytes - POS_ATTRIBUTES));
        struct record_batch_header header;
        (void)record_batch_check(exact, bytes, &header);
        struct record_batch_reader reader;
        enum record_batch_status status = record_batch_reader_open(&reader, exact, bytes, 4096);
        bool end = false;
        uint32_t read = 0;
        while (status == RECORD_BATCH_OK && !end) {
            struct record_view record;
            status = record_batch_reader_next(&reader, &record, &end);
            cr_assert_leq(++read, count + 1);
        }
        record_batch_reader_close(&reader);
        free(exact);
    }
}

Test(record_batch_check, random_bytes_are_harmless)
{
    srand(6);
    for (int round = 0; round < 100000; round++) {
        size_t bytes = (size_t)(rand() % 150);
        uint8_t *exact = malloc(bytes ? bytes : 1);
        for (size_t i = 0; i < bytes; i++) {
            exact[i] = (uint8_t)(rand() % 2 ? 0 : rand());
        }
        if (bytes > POS_MAGIC) exact[POS_MAGIC] = 2;
        struct record_batch_header header;
        cr_assert_neq(record_batch_check(exact, bytes, &header), RECORD_BATCH_OK);
        (void)record_batch_decode_header(exact, bytes, &header);
        free(exact);
    }
}

Test(record_batch_check, every_status_has_a_text)
{
    for (int status = RECORD_BATCH_OK; status <= RECORD_BATCH_CANNOT_INFLATE; status++) {
        cr_assert_gt(strlen(record_batch_status_text((enum record_batch_status)status)), 1);
    }
}
