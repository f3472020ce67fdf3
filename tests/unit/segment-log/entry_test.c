/* Goal: the bytes of an entry are exactly the documented ones, and no other bytes are taken for an entry. */
#include "log_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOAD_BYTES 37u

static uint64_t seed(void)
{
    return checksum64_group(&fixture_cluster, FIXTURE_GROUP);
}

static struct entry_header example(enum entry_type type, uint8_t *buffer, uint32_t payload_bytes)
{
    struct entry_header header = {
        .type = type,
        .payload_bytes = payload_bytes,
        .record_count = type == ENTRY_DATA ? 4 : 0,
        .index = 0x1122334455667788u,
        .term = 9,
        .base_offset = 1000,
        .timestamp_ms = 1700000000123,
    };
    memset(buffer, 0, entry_bytes(payload_bytes));
    fixture_payload(buffer + ENTRY_HEADER_BYTES, payload_bytes, type, header.index,
                    header.base_offset, header.term);
    header.payload_hash = entry_payload_hash(type, buffer + ENTRY_HEADER_BYTES, payload_bytes);
    entry_encode_header(&header, seed(), 0xabcdef, buffer);
    return header;
}

/* Put a right checksum under fields that were changed by hand. */
static void sign(uint8_t *buffer)
{
    uint8_t hashed[72];
    memcpy(hashed, buffer, 8);
    memcpy(hashed + 8, buffer + 16, 64);
    uint64_t checksum = checksum64_seeded(hashed, sizeof hashed, seed());
    for (int i = 0; i < 8; i++) {
        buffer[8 + i] = (uint8_t)(checksum >> (8 * i));
    }
}

Test(segment_log_entry, header_fields_stand_where_the_format_says)
{
    uint8_t buffer[256];
    struct entry_header header = example(ENTRY_DATA, buffer, PAYLOAD_BYTES);
    cr_assert_eq(memcmp(buffer, "RMQE\x01\x01\x50\x00", 8), 0);
    cr_assert_eq(memcmp(buffer + 16, "\x25\0\0\0\x04\0\0\0", 8), 0);
    cr_assert_eq(memcmp(buffer + 24, "\x88\x77\x66\x55\x44\x33\x22\x11", 8), 0);
    cr_assert_eq(memcmp(buffer + 32, "\x09\0\0\0\0\0\0\0", 8), 0);
    cr_assert_eq(memcmp(buffer + 40, "\xe8\x03\0\0\0\0\0\0", 8), 0);
    cr_assert_eq(memcmp(buffer + 48, "\x7b\x68\xe5\xcf\x8b\x01\0\0", 8), 0);
    cr_assert_eq(memcmp(buffer + 72, "\0\0\0\0\0\0\0\0", 8), 0);
    uint64_t hash = checksum64(buffer + 80 + 16, PAYLOAD_BYTES - 16);
    cr_assert_eq(memcmp(buffer + 56, &hash, 8), 0);
    uint8_t chained[72] = {0xef, 0xcd, 0xab};
    memcpy(chained + 8, buffer, 8);
    memcpy(chained + 16, buffer + 16, 48);
    memcpy(chained + 64, buffer + 72, 8);
    uint64_t chain = checksum64(chained, sizeof chained);
    cr_assert_eq(memcmp(buffer + 64, &chain, 8), 0);
    cr_assert_eq(header.chain, chain);
    uint8_t before[8];
    memcpy(before, buffer + 8, 8);
    sign(buffer);
    cr_assert_eq(memcmp(before, buffer + 8, 8), 0);
}

Test(segment_log_entry, golden_bytes_of_a_noop_never_change)
{
    static const uint8_t golden[ENTRY_HEADER_BYTES] = {
        0x52, 0x4d, 0x51, 0x45, 0x02, 0x01, 0x50, 0x00, 0x35, 0x29, 0xba, 0x63, 0x46, 0x4e,
        0xdb, 0x1c, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0xc2, 0x94, 0xd3, 0x38, 0x05, 0x80, 0x06, 0x2d, 0x2d, 0x53, 0x56, 0x83, 0x47, 0xc9,
        0x6e, 0xb2, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    };
    struct entry_header header = {.type = ENTRY_NOOP, .index = 1, .term = 1, .timestamp_ms = 5};
    uint8_t buffer[ENTRY_HEADER_BYTES];
    header.payload_hash = entry_payload_hash(ENTRY_NOOP, NULL, 0);
    entry_encode_header(&header, seed(), seed(), buffer);
    cr_assert_arr_eq(buffer, golden, sizeof golden);
}

Test(segment_log_entry, every_type_comes_back_as_it_went)
{
    for (int type = ENTRY_DATA; type <= ENTRY_META; type++) {
        for (uint32_t bytes = 16; bytes < 40; bytes++) {
            uint8_t buffer[256];
            struct entry_header header = example((enum entry_type)type, buffer, bytes), found;
            const uint8_t *payload;
            cr_assert_eq(entry_decode(buffer, entry_bytes(bytes), seed(), &found, &payload),
                         ENTRY_DECODE_OK);
            cr_assert_eq(found.type, header.type);
            cr_assert_eq(found.payload_bytes, bytes);
            cr_assert_eq(found.record_count, header.record_count);
            cr_assert_eq(found.index, header.index);
            cr_assert_eq(found.term, header.term);
            cr_assert_eq(found.base_offset, header.base_offset);
            cr_assert_eq(found.timestamp_ms, header.timestamp_ms);
            cr_assert_eq(found.payload_hash, header.payload_hash);
            cr_assert_eq(found.chain, header.chain);
            cr_assert_eq(entry_chain(&found, 0xabcdef), header.chain);
            cr_assert_eq(payload, buffer + ENTRY_HEADER_BYTES);
            cr_assert_str_neq(entry_type_name(found.type), "UNKNOWN");
        }
    }
}

Test(segment_log_entry, no_flipped_bit_passes)
{
    for (int type = ENTRY_DATA; type <= ENTRY_NOOP; type++) {
        uint8_t buffer[256];
        example((enum entry_type)type, buffer, PAYLOAD_BYTES);
        size_t bytes = entry_bytes(PAYLOAD_BYTES);
        for (size_t bit = 0; bit < bytes * 8; bit++) {
            buffer[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            struct entry_header found;
            const uint8_t *payload;
            cr_assert_neq(entry_decode(buffer, bytes, seed(), &found, &payload), ENTRY_DECODE_OK,
                          "bit %zu", bit);
            buffer[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
    }
}

Test(segment_log_entry, no_shorter_buffer_passes_or_is_read_beyond)
{
    uint8_t buffer[256];
    example(ENTRY_DATA, buffer, PAYLOAD_BYTES);
    size_t bytes = entry_bytes(PAYLOAD_BYTES);
    for (size_t given = 0; given < bytes; given++) {
        /* On the heap, so that a sanitizer sees a read beyond. */
        uint8_t *part = malloc(given + 1);
        memcpy(part, buffer, given);
        uint8_t *exact = realloc(part, given ? given : 1);
        struct entry_header found;
        const uint8_t *payload;
        cr_assert_eq(entry_decode(exact, given, seed(), &found, &payload), ENTRY_DECODE_SHORT);
        free(exact);
    }
}

Test(segment_log_entry, entry_of_another_group_or_cluster_is_refused)
{
    uint8_t buffer[256];
    example(ENTRY_DATA, buffer, PAYLOAD_BYTES);
    struct entry_header found;
    uint64_t other_group = checksum64_group(&fixture_cluster, FIXTURE_GROUP + 1);
    cr_assert_eq(entry_decode_header(buffer, 80, other_group, &found), ENTRY_DECODE_BAD_CHECKSUM);
}

Test(segment_log_entry, zeros_are_no_entry)
{
    uint8_t buffer[256] = {0};
    struct entry_header found;
    cr_assert_eq(entry_decode_header(buffer, sizeof buffer, seed(), &found), ENTRY_DECODE_NO_MAGIC);
}

Test(segment_log_entry, stamped_bytes_are_checked_against_the_header_and_not_hashed)
{
    uint8_t buffer[256];
    example(ENTRY_DATA, buffer, PAYLOAD_BYTES);
    uint64_t before = entry_payload_hash(ENTRY_DATA, buffer + ENTRY_HEADER_BYTES, PAYLOAD_BYTES);
    for (size_t i = 0; i < ENTRY_DATA_HASH_SKIP; i++) {
        buffer[ENTRY_HEADER_BYTES + i] ^= 1;
        struct entry_header found;
        const uint8_t *payload;
        cr_assert_eq(entry_payload_hash(ENTRY_DATA, buffer + ENTRY_HEADER_BYTES, PAYLOAD_BYTES),
                     before);
        cr_assert_eq(entry_decode(buffer, entry_bytes(PAYLOAD_BYTES), seed(), &found, &payload),
                     ENTRY_DECODE_BAD_PAYLOAD);
        buffer[ENTRY_HEADER_BYTES + i] ^= 1;
    }
}

Test(segment_log_entry, fields_out_of_range_are_refused_under_a_right_checksum)
{
    static const struct {
        size_t pos;
        uint8_t value;
    } changes[] = {
        {4, 0},
        {4, 9},
        {5, 2},
        {6, 81},
        {19, 2} /* payload too long */,
        {20, 0} /* no records */,
        {47, 0x80} /* offset beyond int64 */,
        {36, 1} /* term beyond int32 */,
        {72, 1},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        uint8_t buffer[256];
        example(ENTRY_DATA, buffer, PAYLOAD_BYTES);
        buffer[changes[i].pos] = changes[i].value;
        sign(buffer);
        struct entry_header found;
        cr_assert_eq(entry_decode_header(buffer, sizeof buffer, seed(), &found),
                     ENTRY_DECODE_BAD_FIELD, "byte %zu", changes[i].pos);
    }
    uint8_t buffer[256];
    example(ENTRY_CONFIG, buffer, PAYLOAD_BYTES);
    buffer[20] = 1; /* only DATA has records */
    sign(buffer);
    struct entry_header found;
    cr_assert_eq(entry_decode_header(buffer, sizeof buffer, seed(), &found),
                 ENTRY_DECODE_BAD_FIELD);
}
