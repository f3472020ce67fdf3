/* Building and walking batches: bytes as Kafka lays them out, and what goes in comes out. */
#include "golden_batch.h"
#include "record_batch_private.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (1u << 20)

static void add_golden_records(struct record_batch_builder *builder)
{
    char value[101] = "";
    for (int i = 0; i < 20; i++) {
        strcat(value, "world");
    }
    const struct record_header headers[2] = {
        {.name = "trace", .name_bytes = 5, .value = (const uint8_t *)"\x01\x02", .value_bytes = 2},
        {.name = "n", .name_bytes = 1},
    };
    const struct record records[3] = {
        {.timestamp_ms = 1700000000000,
         .key = (const uint8_t *)"k1",
         .key_bytes = 2,
         .value = (const uint8_t *)"hello",
         .value_bytes = 5},
        {.timestamp_ms = 1700000000000 - 250,
         .value = (const uint8_t *)value,
         .value_bytes = 100,
         .headers = headers,
         .headers_count = 2},
        {.timestamp_ms = 1700000003000, .key = (const uint8_t *)""},
    };
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(record_batch_add(builder, &records[i]), RECORD_BATCH_OK);
    }
}

Test(record_batch_build, bytes_are_those_of_the_protocol_guide)
{
    struct record_batch_builder builder;
    record_batch_builder_init(&builder, BYTES_MAX);
    for (int again = 0; again < 2; again++) { /* reusable */
        record_batch_begin(&builder);
        add_golden_records(&builder);
        record_batch_finish(&builder, 4711, 3, 42);
        cr_assert_eq(builder.bytes, GOLDEN_BYTES);
        cr_assert_arr_eq(builder.buffer, golden_batch, GOLDEN_BYTES);
    }
    record_batch_builder_close(&builder);
    record_batch_builder_close(NULL);
}

Test(record_batch_build, the_golden_batch_decodes_field_by_field)
{
    struct record_batch_header header;
    cr_assert_eq(record_batch_check(golden_batch, GOLDEN_BYTES, &header), RECORD_BATCH_OK);
    cr_assert_eq(header.base_offset, 0);
    cr_assert_eq(header.batch_length, 193);
    cr_assert_eq(header.leader_epoch, -1);
    cr_assert_eq(header.crc, 0x09472054u);
    cr_assert_eq(header.codec, RECORD_BATCH_NONE);
    cr_assert_not(header.transactional || header.control || header.log_append_time);
    cr_assert_eq(header.base_timestamp, 1700000000000);
    cr_assert_eq(header.max_timestamp, 1700000003000);
    cr_assert_eq(header.producer_id, 4711);
    cr_assert_eq(header.producer_epoch, 3);
    cr_assert_eq(header.base_sequence, 42);
    cr_assert_eq(header.records_count, 3);
}

Test(record_batch_build, the_reader_gives_every_record_with_its_offset)
{
    uint8_t batch[GOLDEN_BYTES];
    memcpy(batch, golden_batch, sizeof(batch));
    record_batch_stamp(batch, 1000, 5);
    struct record_batch_reader reader;
    cr_assert_eq(record_batch_reader_open(&reader, batch, sizeof(batch), 0), RECORD_BATCH_OK);
    struct record_view record;
    bool end;
    cr_assert_eq(record_batch_reader_next(&reader, &record, &end), RECORD_BATCH_OK);
    cr_assert(!end);
    cr_assert_eq(record.offset, 1000);
    cr_assert_eq(record.timestamp_ms, 1700000000000);
    cr_assert(record.key_bytes == 2 && memcmp(record.key, "k1", 2) == 0);
    cr_assert(record.value_bytes == 5 && memcmp(record.value, "hello", 5) == 0);
    cr_assert_eq(record.headers_count, 0);

    cr_assert_eq(record_batch_reader_next(&reader, &record, &end), RECORD_BATCH_OK);
    cr_assert_eq(record.offset, 1001);
    cr_assert_eq(record.timestamp_ms, 1700000000000 - 250);
    cr_assert_null(record.key);
    cr_assert_eq(record.value_bytes, 100);
    cr_assert_eq(record.headers_count, 2);
    cr_assert(record.headers[0].name_bytes == 5 && memcmp(record.headers[0].name, "trace", 5) == 0);
    cr_assert(record.headers[0].value_bytes == 2 && record.headers[0].value[1] == 2);
    cr_assert_null(record.headers[1].value);

    cr_assert_eq(record_batch_reader_next(&reader, &record, &end), RECORD_BATCH_OK);
    cr_assert_eq(record.offset, 1002);
    cr_assert_not_null(record.key, "an empty key is a key");
    cr_assert_eq(record.key_bytes, 0);
    cr_assert_null(record.value, "a tombstone");

    cr_assert_eq(record_batch_reader_next(&reader, &record, &end), RECORD_BATCH_OK);
    cr_assert(end);
    cr_assert_eq(record_batch_reader_next(&reader, &record, &end), RECORD_BATCH_OK);
    cr_assert(end, "and stays at the end");
    record_batch_reader_close(&reader);
}

/* PROTOCOL L3: what the broker writes lies outside of the crc. */
Test(record_batch_build, a_stamp_changes_twelve_bytes_and_keeps_the_crc)
{
    uint8_t batch[GOLDEN_BYTES];
    memcpy(batch, golden_batch, sizeof(batch));
    record_batch_stamp(batch, 0x0102030405060708, 0x0a0b0c0d);
    static const uint8_t stamped[16] = {1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0xc1, 0xa, 0xb, 0xc, 0xd};
    cr_assert_arr_eq(batch, stamped, sizeof(stamped));
    cr_assert_arr_eq(batch + 16, golden_batch + 16, GOLDEN_BYTES - 16);
    struct record_batch_header header;
    cr_assert_eq(record_batch_check(batch, sizeof(batch), &header), RECORD_BATCH_OK);
    cr_assert_eq(header.base_offset, 0x0102030405060708);
    cr_assert_eq(header.leader_epoch, 0x0a0b0c0d);
}

Test(record_batch_build, a_full_builder_refuses_and_stays_as_it_was)
{
    struct record_batch_builder builder;
    record_batch_builder_init(&builder, 200);
    uint8_t value[200] = {0};
    struct record small = {.timestamp_ms = 5, .value = value, .value_bytes = 40};
    struct record large = {.timestamp_ms = 900, .value = value, .value_bytes = 200};
    cr_assert_eq(record_batch_add(&builder, &small), RECORD_BATCH_OK);
    size_t bytes = builder.bytes;
    cr_assert_eq(record_batch_add(&builder, &large), RECORD_BATCH_TOO_LARGE);
    cr_assert_eq(builder.bytes, bytes);
    cr_assert_eq(builder.records_count, 1);
    cr_assert_eq(builder.max_timestamp, 5);
    /* 47 bytes a record: 61 + 2 * 47 = 155, a third one would make 202. */
    cr_assert_eq(record_batch_add(&builder, &small), RECORD_BATCH_OK);
    cr_assert_eq(record_batch_add(&builder, &small), RECORD_BATCH_TOO_LARGE);
    record_batch_finish(&builder, -1, -1, -1);
    struct record_batch_header header;
    cr_assert_eq(record_batch_check(builder.buffer, builder.bytes, &header), RECORD_BATCH_OK);
    cr_assert_eq(header.records_count, 2);
    cr_assert_eq(header.producer_id, -1);
    record_batch_builder_close(&builder);
}

Test(record_batch_build, the_limit_is_met_exactly)
{
    struct record_batch_builder builder;
    record_batch_builder_init(&builder, 61 + 47);
    uint8_t value[40] = {0};
    struct record record = {.value = value, .value_bytes = 40};
    cr_assert_eq(record_batch_add(&builder, &record), RECORD_BATCH_OK);
    cr_assert_eq(builder.bytes, 61 + 47);
    record_batch_builder_close(&builder);
}

Test(record_batch_build, impossible_records_are_refused)
{
    struct record_batch_builder builder;
    record_batch_builder_init(&builder, SIZE_MAX);
    static struct record_header headers[RECORD_HEADERS_MAX + 1];
    for (uint32_t i = 0; i <= RECORD_HEADERS_MAX; i++) {
        headers[i] = (struct record_header){.name = "n", .name_bytes = 1};
    }
    struct record record = {.headers = headers, .headers_count = RECORD_HEADERS_MAX + 1};
    cr_assert_eq(record_batch_add(&builder, &record), RECORD_BATCH_TOO_LARGE);
    record.headers_count = RECORD_HEADERS_MAX;
    record.timestamp_ms = INT64_MIN;
    cr_assert_eq(record_batch_add(&builder, &record), RECORD_BATCH_OK);
    record.timestamp_ms = 1; /* the delta would not fit in 64 bits */
    cr_assert_eq(record_batch_add(&builder, &record), RECORD_BATCH_TOO_LARGE);
    record.timestamp_ms = -1;
    cr_assert_eq(record_batch_add(&builder, &record), RECORD_BATCH_OK);
    record_batch_finish(&builder, 0, 0, 0);
    struct record_batch_header header;
    cr_assert_eq(record_batch_check(builder.buffer, builder.bytes, &header), RECORD_BATCH_OK);
    record_batch_builder_close(&builder);
}

static void fill_random(struct record *record, uint8_t *bytes, struct record_header *headers)
{
    *record = (struct record){.timestamp_ms = rand() % 100000 - 50000, .headers = headers};
    if (rand() % 3) {
        record->key = bytes;
        record->key_bytes = (uint32_t)(rand() % 200);
    }
    if (rand() % 4) {
        record->value = bytes + 100;
        record->value_bytes = (uint32_t)(rand() % 3000);
    }
    record->headers_count = rand() % 5 ? 0 : (uint32_t)(rand() % 8);
    for (uint32_t i = 0; i < record->headers_count; i++) {
        headers[i] = (struct record_header){.name = (const char *)bytes + i,
                                            .name_bytes = (uint32_t)(rand() % 40)};
        if (rand() % 2) {
            headers[i].value = bytes + 50;
            headers[i].value_bytes = (uint32_t)(rand() % 90);
        }
    }
}

static bool is_same(const uint8_t *a, uint32_t a_bytes, const uint8_t *b, uint32_t b_bytes)
{
    if (!a || !b) return !a && !b;
    return a_bytes == b_bytes && memcmp(a, b, a_bytes) == 0;
}

static void check_same(const struct record *record, const struct record_view *view)
{
    cr_assert_eq(view->timestamp_ms, record->timestamp_ms);
    cr_assert(is_same(view->key, view->key_bytes, record->key, record->key_bytes));
    cr_assert(is_same(view->value, view->value_bytes, record->value, record->value_bytes));
    cr_assert_eq(view->headers_count, record->headers_count);
    for (uint32_t i = 0; i < record->headers_count; i++) {
        const struct record_header *in = &record->headers[i];
        const struct record_header *out = &view->headers[i];
        cr_assert_eq(out->name_bytes, in->name_bytes);
        cr_assert_eq(memcmp(out->name, in->name, in->name_bytes), 0);
        cr_assert(is_same(out->value, out->value_bytes, in->value, in->value_bytes));
    }
}

Test(record_batch_build, whatever_goes_in_comes_out)
{
    srand(2);
    static uint8_t bytes[4096];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)rand();
    }
    static struct record records[100];
    static struct record_header headers[100][8];
    struct record_batch_builder builder;
    record_batch_builder_init(&builder, BYTES_MAX);
    for (int round = 0; round < 300; round++) {
        record_batch_begin(&builder);
        uint32_t count = 1 + (uint32_t)(rand() % 100);
        for (uint32_t i = 0; i < count; i++) {
            fill_random(&records[i], bytes, headers[i]);
            cr_assert_eq(record_batch_add(&builder, &records[i]), RECORD_BATCH_OK);
        }
        record_batch_finish(&builder, round, 1, round * 7);
        struct record_batch_header header;
        cr_assert_eq(record_batch_check(builder.buffer, builder.bytes, &header), RECORD_BATCH_OK);
        cr_assert_eq(header.records_count, count);
        struct record_batch_reader reader;
        cr_assert_eq(record_batch_reader_open(&reader, builder.buffer, builder.bytes, 0),
                     RECORD_BATCH_OK);
        for (uint32_t i = 0; i < count; i++) {
            struct record_view view;
            bool end;
            cr_assert_eq(record_batch_reader_next(&reader, &view, &end), RECORD_BATCH_OK);
            cr_assert(!end);
            check_same(&records[i], &view);
        }
        record_batch_reader_close(&reader);
    }
    record_batch_builder_close(&builder);
}

Test(record_batch_varint, every_length_comes_back)
{
    for (int shift = 0; shift < 64; shift++) {
        for (int64_t delta = -2; delta <= 2; delta++) {
            int64_t value = (int64_t)((uint64_t)1 << shift) + delta * (shift < 62);
            for (int sign = 0; sign < 2; sign++) {
                uint8_t bytes[VARLONG_BYTES_MAX];
                const uint8_t *end = varint_put(bytes, value);
                cr_assert_eq((size_t)(end - bytes), varint_bytes(value));
                const uint8_t *position = bytes;
                int64_t decoded;
                cr_assert(varlong_get(&position, end, &decoded));
                cr_assert_eq(decoded, value);
                cr_assert_eq(position, end);
                int32_t narrow;
                position = bytes;
                bool fits = value >= INT32_MIN && value <= INT32_MAX;
                cr_assert_eq(varint_get(&position, end, &narrow), fits, "%lld", (long long)value);
                value = (int64_t)(0 - (uint64_t)value);
            }
        }
    }
}

Test(record_batch_varint, overlong_and_cut_off_ones_are_refused)
{
    static const uint8_t endless[12] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                        0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t beyond_64_bits[10] = {0xff, 0xff, 0xff, 0xff, 0xff,
                                               0xff, 0xff, 0xff, 0xff, 0x02};
    int64_t value;
    int32_t narrow;
    for (size_t bytes = 0; bytes <= sizeof(endless); bytes++) {
        const uint8_t *position = endless;
        cr_assert_not(varlong_get(&position, endless + bytes, &value));
        position = endless;
        cr_assert_not(varint_get(&position, endless + bytes, &narrow));
    }
    const uint8_t *position = beyond_64_bits;
    cr_assert_not(varlong_get(&position, beyond_64_bits + 10, &value));
}
