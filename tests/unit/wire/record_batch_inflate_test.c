/* Compressed batches: all four codecs as clients write them, the bound on what they inflate to, and damage. */
#include "golden_batch.h"
#include "record_batch_private.h"

#include <criterion/criterion.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define COMPRESSED_BYTES_MAX (4u << 20)

/* snappy comes in two dresses; gzip may have two members. */
enum form {
    FORM_GZIP,
    FORM_GZIP_TWO_MEMBERS,
    FORM_SNAPPY,
    FORM_SNAPPY_XERIAL,
    FORM_LZ4,
    FORM_LZ4_SIZED,
    FORM_ZSTD,
    FORM_ZSTD_STREAMED,
    FORMS_COUNT,
};

static const enum record_batch_codec codec_of[FORMS_COUNT] = {
    RECORD_BATCH_GZIP, RECORD_BATCH_GZIP, RECORD_BATCH_SNAPPY, RECORD_BATCH_SNAPPY,
    RECORD_BATCH_LZ4,  RECORD_BATCH_LZ4,  RECORD_BATCH_ZSTD,   RECORD_BATCH_ZSTD,
};

static size_t gzip(const uint8_t *input, size_t bytes, uint8_t *output)
{
    z_stream stream = {0};
    cr_assert_eq(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)input;
    stream.avail_in = (uInt)bytes;
    stream.next_out = output;
    stream.avail_out = COMPRESSED_BYTES_MAX;
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    size_t written = stream.total_out;
    deflateEnd(&stream);
    return written;
}

static size_t snappy(const uint8_t *input, size_t bytes, uint8_t *output)
{
    size_t written = COMPRESSED_BYTES_MAX;
    cr_assert_eq(snappy_compress((const char *)input, bytes, (char *)output, &written), SNAPPY_OK);
    return written;
}

/* As the Java client writes it: header, then blocks of at most 32 KiB behind their lengths. */
static size_t snappy_xerial(const uint8_t *input, size_t bytes, uint8_t *output)
{
    static const uint8_t head[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};
    memcpy(output, head, sizeof(head));
    size_t at = sizeof(head);
    for (size_t done = 0; done < bytes;) {
        size_t block = bytes - done < 32768 ? bytes - done : 32768;
        size_t written = snappy(input + done, block, output + at + 4);
        store_be32(output + at, (uint32_t)written);
        at += 4 + written;
        done += block;
    }
    return at;
}

static size_t lz4(const uint8_t *input, size_t bytes, uint8_t *output, bool is_sized)
{
    LZ4F_preferences_t preferences = {0};
    if (is_sized) {
        preferences.frameInfo.contentSize = bytes;
        preferences.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
    }
    size_t written = LZ4F_compressFrame(output, COMPRESSED_BYTES_MAX, input, bytes, &preferences);
    cr_assert_not(LZ4F_isError(written));
    return written;
}

static size_t zstd_streamed(const uint8_t *input, size_t bytes, uint8_t *output)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_inBuffer in = {input, bytes, 0};
    ZSTD_outBuffer out = {output, COMPRESSED_BYTES_MAX, 0};
    /* Flushed before it ends, so that the frame does not name its content size. */
    cr_assert_not(ZSTD_isError(ZSTD_compressStream2(context, &out, &in, ZSTD_e_flush)));
    cr_assert_eq(ZSTD_compressStream2(context, &out, &in, ZSTD_e_end), 0);
    ZSTD_freeCCtx(context);
    return out.pos;
}

static size_t compress_as(enum form form, const uint8_t *input, size_t bytes, uint8_t *output)
{
    size_t written;
    switch (form) {
    case FORM_GZIP:
        return gzip(input, bytes, output);
    case FORM_GZIP_TWO_MEMBERS:
        written = gzip(input, bytes / 2, output);
        return written + gzip(input + bytes / 2, bytes - bytes / 2, output + written);
    case FORM_SNAPPY:
        return snappy(input, bytes, output);
    case FORM_SNAPPY_XERIAL:
        return snappy_xerial(input, bytes, output);
    case FORM_LZ4:
    case FORM_LZ4_SIZED:
        return lz4(input, bytes, output, form == FORM_LZ4_SIZED);
    case FORM_ZSTD:
        written = ZSTD_compress(output, COMPRESSED_BYTES_MAX, input, bytes, 3);
        cr_assert_not(ZSTD_isError(written));
        return written;
    case FORM_ZSTD_STREAMED:
        return zstd_streamed(input, bytes, output);
    case FORMS_COUNT:
        break;
    }
    cr_assert_fail("no such form");
    return 0;
}

/* A batch of `count` records around `records`, compressed. malloc'ed to its exact size. */
static uint8_t *make_batch(enum form form, const uint8_t *records, size_t records_bytes,
                           uint32_t count, size_t *ret_bytes)
{
    uint8_t *batch = malloc(RECORD_BATCH_HEADER_BYTES + COMPRESSED_BYTES_MAX);
    memcpy(batch, golden_batch, RECORD_BATCH_HEADER_BYTES);
    size_t bytes = RECORD_BATCH_HEADER_BYTES +
                   compress_as(form, records, records_bytes, batch + RECORD_BATCH_HEADER_BYTES);
    store_be16(batch + POS_ATTRIBUTES, (uint16_t)codec_of[form]);
    store_be32(batch + POS_BATCH_LENGTH, (uint32_t)(bytes - BATCH_LENGTH_EXCLUDES));
    store_be32(batch + POS_RECORDS_COUNT, count);
    store_be32(batch + POS_LAST_OFFSET_DELTA, count - 1);
    store_be32(batch + POS_CRC, crc32c(0, batch + POS_ATTRIBUTES, bytes - POS_ATTRIBUTES));
    *ret_bytes = bytes;
    return realloc(batch, bytes);
}

/* Records of `count` messages with mixed content, as an uncompressed batch. */
static void build_plain(struct record_batch_builder *builder, uint32_t count)
{
    record_batch_builder_init(builder, 64u << 20);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t value[400];
        for (size_t k = 0; k < sizeof(value); k++) {
            value[k] = (uint8_t)(i % 3 ? i : i * k * 2654435761u >> 13);
        }
        struct record record = {
            .timestamp_ms = 1000 + i, .value = value, .value_bytes = 100 + i % 300};
        cr_assert_eq(record_batch_add(builder, &record), RECORD_BATCH_OK);
    }
    record_batch_finish(builder, -1, -1, -1);
}

Test(record_batch_inflate, every_codec_gives_the_records_of_the_plain_batch)
{
    static const uint32_t counts[] = {1, 2, 50, 3000};
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        struct record_batch_builder plain;
        build_plain(&plain, counts[c]);
        size_t records_bytes = plain.bytes - RECORD_BATCH_HEADER_BYTES;
        for (enum form form = 0; form < FORMS_COUNT; form++) {
            size_t bytes;
            uint8_t *batch = make_batch(form, plain.buffer + RECORD_BATCH_HEADER_BYTES,
                                        records_bytes, counts[c], &bytes);
            struct record_batch_header header;
            cr_assert_eq(record_batch_check(batch, bytes, &header), RECORD_BATCH_OK);
            cr_assert_eq(header.codec, codec_of[form]);
            struct record_batch_reader inflated;
            struct record_batch_reader expected;
            /* Exactly the size is enough. */
            cr_assert_eq(record_batch_reader_open(&inflated, batch, bytes, records_bytes),
                         RECORD_BATCH_OK, "form %d, %u records", (int)form, counts[c]);
            cr_assert_eq(record_batch_reader_open(&expected, plain.buffer, plain.bytes, 0),
                         RECORD_BATCH_OK);
            for (bool end = false; !end;) {
                struct record_view a;
                struct record_view b;
                bool a_end;
                cr_assert_eq(record_batch_reader_next(&inflated, &a, &a_end), RECORD_BATCH_OK);
                cr_assert_eq(record_batch_reader_next(&expected, &b, &end), RECORD_BATCH_OK);
                cr_assert_eq(a_end, end);
                if (end) break;
                cr_assert_eq(a.offset, b.offset);
                cr_assert_eq(a.value_bytes, b.value_bytes);
                cr_assert_eq(memcmp(a.value, b.value, a.value_bytes), 0);
            }
            record_batch_reader_close(&inflated);

            /* One byte less is not. */
            cr_assert_eq(record_batch_reader_open(&inflated, batch, bytes, records_bytes - 1),
                         RECORD_BATCH_CANNOT_INFLATE);
            cr_assert_null(inflated.inflated);
            free(batch);
        }
        record_batch_builder_close(&plain);
    }
}

/* Goal: a bomb costs no more than the limit. Method: 64 MiB of zeros in a few KiB, a limit of 1 MiB; the claimed sizes
 * inside of the streams are 64 MiB as well (3 MiB for snappy and lz4, which shrink less). The check never
 * inflates, so it takes the batch. */
Test(record_batch_inflate, a_bomb_ends_at_the_limit)
{
    size_t zeros_bytes = 64u << 20;
    uint8_t *zeros = calloc(1, zeros_bytes);
    for (enum form form = 0; form < FORMS_COUNT; form++) {
        size_t bytes;
        size_t bomb_bytes = form >= FORM_SNAPPY && form <= FORM_LZ4_SIZED ? 3u << 20 : zeros_bytes;
        uint8_t *batch = make_batch(form, zeros, bomb_bytes, 1, &bytes);
        struct record_batch_header header;
        cr_assert_eq(record_batch_check(batch, bytes, &header), RECORD_BATCH_OK);
        struct record_batch_reader reader;
        cr_assert_eq(record_batch_reader_open(&reader, batch, bytes, 1u << 20),
                     RECORD_BATCH_CANNOT_INFLATE, "form %d", (int)form);
        free(batch);
    }
    free(zeros);
}

Test(record_batch_inflate, a_count_that_does_not_fit_the_records_is_refused)
{
    for (enum form form = 0; form < FORMS_COUNT; form++) {
        for (uint32_t count = 1; count <= 3; count++) {
            if (count == 2) continue;
            struct record_batch_builder plain;
            build_plain(&plain, 2);
            size_t bytes;
            uint8_t *batch = make_batch(form, plain.buffer + RECORD_BATCH_HEADER_BYTES,
                                        plain.bytes - RECORD_BATCH_HEADER_BYTES, count, &bytes);
            struct record_batch_reader reader;
            cr_assert_eq(record_batch_reader_open(&reader, batch, bytes, 1u << 20),
                         RECORD_BATCH_OK);
            enum record_batch_status status = RECORD_BATCH_OK;
            for (bool end = false; status == RECORD_BATCH_OK && !end;) {
                struct record_view record;
                status = record_batch_reader_next(&reader, &record, &end);
            }
            cr_assert_eq(status, RECORD_BATCH_BAD_COUNT);
            record_batch_reader_close(&reader);
            free(batch);
            record_batch_builder_close(&plain);
        }
    }
}

static void read_all(const uint8_t *batch, size_t bytes)
{
    struct record_batch_reader reader;
    enum record_batch_status status = record_batch_reader_open(&reader, batch, bytes, 1u << 17);
    for (bool end = false; status == RECORD_BATCH_OK && !end;) {
        struct record_view record;
        status = record_batch_reader_next(&reader, &record, &end);
    }
    record_batch_reader_close(&reader);
}

Test(record_batch_inflate, every_truncation_is_refused)
{
    struct record_batch_builder plain;
    build_plain(&plain, 5);
    for (enum form form = 0; form < FORMS_COUNT; form++) {
        size_t bytes;
        uint8_t *batch = make_batch(form, plain.buffer + RECORD_BATCH_HEADER_BYTES,
                                    plain.bytes - RECORD_BATCH_HEADER_BYTES, 5, &bytes);
        for (size_t cut = RECORD_BATCH_HEADER_BYTES; cut < bytes; cut++) {
            uint8_t *exact = malloc(cut);
            memcpy(exact, batch, cut);
            store_be32(exact + POS_BATCH_LENGTH, (uint32_t)(cut - BATCH_LENGTH_EXCLUDES));
            struct record_batch_reader reader;
            enum record_batch_status status =
                record_batch_reader_open(&reader, exact, cut, 1u << 20);
            /* Cut between two members or blocks it inflates, to fewer records than it says. */
            for (bool end = false; status == RECORD_BATCH_OK;) {
                struct record_view record;
                status = record_batch_reader_next(&reader, &record, &end);
                cr_assert(!end, "form %d cut at %zu of %zu", (int)form, cut, bytes);
            }
            record_batch_reader_close(&reader);
            free(exact);
        }
        free(batch);
    }
    record_batch_builder_close(&plain);
}

Test(record_batch_inflate, random_damage_is_harmless)
{
    srand(7);
    struct record_batch_builder plain;
    build_plain(&plain, 20);
    for (enum form form = 0; form < FORMS_COUNT; form++) {
        size_t bytes;
        uint8_t *batch = make_batch(form, plain.buffer + RECORD_BATCH_HEADER_BYTES,
                                    plain.bytes - RECORD_BATCH_HEADER_BYTES, 20, &bytes);
        uint8_t *damaged = malloc(bytes);
        for (int round = 0; round < 3000; round++) {
            memcpy(damaged, batch, bytes);
            for (int i = rand() % 6; i >= 0; i--) {
                size_t at = RECORD_BATCH_HEADER_BYTES +
                            (size_t)rand() % (bytes - RECORD_BATCH_HEADER_BYTES);
                if (rand() % 2) at = RECORD_BATCH_HEADER_BYTES + at % 24; /* the codec's header */
                damaged[at] = (uint8_t)rand();
            }
            read_all(damaged, bytes);
        }
        free(damaged);
        free(batch);
    }
    record_batch_builder_close(&plain);
}

Test(record_batch_inflate, random_bytes_as_any_codec_are_harmless)
{
    srand(8);
    for (int round = 0; round < 20000; round++) {
        size_t bytes = RECORD_BATCH_HEADER_BYTES + (size_t)(rand() % 100);
        uint8_t *exact = malloc(bytes);
        for (size_t i = 0; i < bytes; i++) {
            exact[i] = (uint8_t)rand();
        }
        memcpy(exact, golden_batch, RECORD_BATCH_HEADER_BYTES);
        store_be32(exact + POS_BATCH_LENGTH, (uint32_t)(bytes - BATCH_LENGTH_EXCLUDES));
        store_be16(exact + POS_ATTRIBUTES, (uint16_t)(1 + rand() % 4));
        read_all(exact, bytes);
        free(exact);
    }
}

Test(record_batch_inflate, log_append_time_gives_every_record_the_batch_stamp)
{
    uint8_t batch[GOLDEN_BYTES];
    memcpy(batch, golden_batch, sizeof(batch));
    store_be16(batch + POS_ATTRIBUTES, ATTRIBUTE_LOG_APPEND_TIME);
    struct record_batch_reader reader;
    cr_assert_eq(record_batch_reader_open(&reader, batch, sizeof(batch), 0), RECORD_BATCH_OK);
    for (int i = 0; i < 3; i++) {
        struct record_view record;
        bool end;
        cr_assert_eq(record_batch_reader_next(&reader, &record, &end), RECORD_BATCH_OK);
        cr_assert_eq(record.timestamp_ms, 1700000003000);
    }
    record_batch_reader_close(&reader);
}
