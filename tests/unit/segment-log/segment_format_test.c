/* Goal: header and mark blocks are exactly the documented bytes, and no damaged block passes. */
#include "log_fixture.h"

#include "segment_format.h"

#include <criterion/criterion.h>
#include <string.h>

static struct segment_header example_header(void)
{
    return (struct segment_header){
        .cluster = fixture_cluster,
        .group = FIXTURE_GROUP,
        .sequence = 3,
        .base = {.index = 41, .term = 5, .chain = 0x1234, .next_offset = 77, .timestamp_ms = 99},
        .sector_bytes = 4096,
    };
}

static struct segment_mark example_mark(void)
{
    struct segment_mark mark = {
        .segment = 3,
        .sequence = 12,
        .end_pos = 12288 + 160,
        .point = {.index = 43, .term = 6, .chain = 0x5678, .next_offset = 80, .timestamp_ms = 100},
        .continued = true,
        .tail_bytes = 3,
    };
    memcpy(mark.tail, "abc", 3);
    return mark;
}

Test(segment_log_format, header_stands_where_the_format_says_and_comes_back)
{
    uint8_t block[SEGMENT_BLOCK_BYTES];
    struct segment_header header = example_header(), found;
    segment_format__encode_header(&header, block);
    cr_assert_eq(memcmp(block, "RMQS\x01\0\0\0", 8), 0);
    cr_assert_eq(memcmp(block + 16, fixture_cluster.bytes, 16), 0);
    cr_assert_eq(memcmp(block + 32, "\x07\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x2a\0\0\0\0\0\0\0", 24),
                 0);
    cr_assert_eq(memcmp(block + 56, "\x05\0\0\0\0\0\0\0\x34\x12\0\0\0\0\0\0\x4d\0\0\0\0\0\0\0", 24),
                 0);
    cr_assert_eq(memcmp(block + 80, "\x63\0\0\0\0\0\0\0\0\x10\0\0\0\x30\0\0", 16), 0);
    cr_assert_eq(segment_format__decode_header(block, &found), SEGMENT_FORMAT_OK);
    cr_assert_eq(found.sequence, 3);
    cr_assert_eq(found.group, FIXTURE_GROUP);
    cr_assert_eq(found.sector_bytes, 4096);
    cr_assert_eq(found.base.index, 41);
    cr_assert_eq(found.base.term, 5);
    cr_assert_eq(found.base.chain, 0x1234);
    cr_assert_eq(found.base.next_offset, 77);
    cr_assert_eq(found.base.timestamp_ms, 99);
}

Test(segment_log_format, mark_stands_where_the_format_says_and_comes_back)
{
    uint8_t block[SEGMENT_BLOCK_BYTES];
    struct segment_mark mark = example_mark(), found;
    segment_format__encode_mark(&mark, 55, block);
    cr_assert_eq(memcmp(block, "RMQM\x01\x01\x03\0", 8), 0);
    cr_assert_eq(memcmp(block + 16, "\x0c\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\xa0\x30\0\0\0\0\0\0", 24),
                 0);
    cr_assert_eq(memcmp(block + 40, "\x2b\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x78\x56\0\0\0\0\0\0", 24),
                 0);
    cr_assert_eq(memcmp(block + 64, "\x50\0\0\0\0\0\0\0\x64\0\0\0\0\0\0\0abc\0", 20), 0);
    cr_assert_eq(segment_format__decode_mark(block, 55, &found), SEGMENT_FORMAT_OK);
    cr_assert_eq(found.sequence, 12);
    cr_assert_eq(found.segment, 3);
    cr_assert_eq(found.end_pos, 12288 + 160);
    cr_assert(found.continued);
    cr_assert_eq(found.point.chain, 0x5678);
    cr_assert_eq(found.tail_bytes, 3);
    cr_assert_eq(memcmp(found.tail, "abc", 3), 0);
    cr_assert_eq(segment_format__decode_mark(block, 56, &found), SEGMENT_FORMAT_BAD,
                 "a mark of another group");
}

Test(segment_log_format, no_flipped_bit_passes)
{
    uint8_t header_block[SEGMENT_BLOCK_BYTES], mark_block[SEGMENT_BLOCK_BYTES];
    struct segment_header header = example_header(), found_header;
    struct segment_mark mark = example_mark(), found_mark;
    segment_format__encode_header(&header, header_block);
    segment_format__encode_mark(&mark, 55, mark_block);
    for (size_t bit = 0; bit < SEGMENT_BLOCK_BYTES * 8; bit++) {
        header_block[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        cr_assert_eq(segment_format__decode_header(header_block, &found_header), SEGMENT_FORMAT_BAD,
                     "header bit %zu", bit);
        header_block[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t bit = 0; bit < (SEGMENT_MARK_BYTES + mark.tail_bytes) * 8; bit++) {
        mark_block[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        cr_assert_eq(segment_format__decode_mark(mark_block, 55, &found_mark), SEGMENT_FORMAT_BAD,
                     "mark bit %zu", bit);
        mark_block[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

Test(segment_log_format, names_sort_like_their_sequences_and_nothing_else_is_one)
{
    char name[SEGMENT_NAME_BYTES], next[SEGMENT_NAME_BYTES];
    segment_format__name(9, name);
    segment_format__name(10, next);
    cr_assert_str_eq(name, "00000000000000000009.segment");
    cr_assert_lt(strcmp(name, next), 0);
    uint64_t sequence = 0;
    cr_assert(segment_format__parse_name(next, &sequence));
    cr_assert_eq(sequence, 10);
    cr_assert_not(segment_format__parse_name("00000000000000000000.segment", &sequence));
    cr_assert_not(segment_format__parse_name("0000000000000000000a.segment", &sequence));
    cr_assert_not(segment_format__parse_name("99999999999999999999.segment", &sequence));
    cr_assert_not(segment_format__parse_name("00000000000000000009.segment~", &sequence));
    cr_assert_not(segment_format__parse_name("snapshot", &sequence));
}
