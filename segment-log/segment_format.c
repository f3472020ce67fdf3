#include "segment_format.h"

#include "bytes.h"
#include "problem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define HEADER_MAGIC 0x53514d52u /* "RMQS" */
#define MARK_MAGIC   0x4d514d52u /* "RMQM" */
#define VERSION      1u

/* Magic, version and checksum stand at the same place in both blocks. */
enum { POS_VERSION = 4, POS_CHECKSUM = 8, POS_BODY = 16 };

enum {
    HEADER_FLAGS = 6,
    HEADER_CLUSTER = 16,
    HEADER_GROUP = 32,
    HEADER_SEQUENCE = 40,
    HEADER_FIRST_INDEX = 48,
    HEADER_TERM = 56,
    HEADER_CHAIN = 64,
    HEADER_NEXT_OFFSET = 72,
    HEADER_TIMESTAMP = 80,
    HEADER_SECTOR_BYTES = 88,
    HEADER_DATA_POS = 92,
    HEADER_END = 96, /* zeros from here on */
};

enum {
    MARK_FLAGS = 5,
    MARK_TAIL_BYTES = 6,
    MARK_SEQUENCE = 16,
    MARK_SEGMENT = 24,
    MARK_END_POS = 32,
    MARK_INDEX = 40,
    MARK_TERM = 48,
    MARK_CHAIN = 56,
    MARK_NEXT_OFFSET = 64,
    MARK_TIMESTAMP = 72,
};
#define MARK_CONTINUED 1u
#define FLAG_INSTALLED 1u

static_assert(MARK_TIMESTAMP + 8u == SEGMENT_MARK_BYTES, "the mark and its tail fill the block");
/* An entry that lies wholly inside one sector leaves at most sector - 80 kept bytes before it: they fit the tail. */
static_assert(SEGMENT_SECTOR_MAX - ENTRY_HEADER_BYTES <= SEGMENT_TAIL_BYTES_MAX,
              "a mark can hold the kept part of a sector");

static uint64_t block_checksum(const uint8_t *block, size_t bytes, uint64_t seed)
{
    const struct iovec parts[] = {
        {.iov_base = (void *)(uintptr_t)block, .iov_len = POS_CHECKSUM},
        {.iov_base = (void *)(uintptr_t)(block + POS_BODY), .iov_len = bytes - POS_BODY},
    };
    return checksum64_parts(parts, 2, seed);
}

void segment_format__encode_header(const struct segment_header *header,
                                   uint8_t block[SEGMENT_BLOCK_BYTES])
{
    memset(block, 0, SEGMENT_BLOCK_BYTES);
    put_u32(block, HEADER_MAGIC);
    put_u16(block + POS_VERSION, VERSION);
    put_u16(block + HEADER_FLAGS, header->installed ? FLAG_INSTALLED : 0);
    memcpy(block + HEADER_CLUSTER, header->cluster.bytes, sizeof header->cluster.bytes);
    put_u64(block + HEADER_GROUP, header->group);
    put_u64(block + HEADER_SEQUENCE, header->sequence);
    put_u64(block + HEADER_FIRST_INDEX, header->base.index + 1);
    put_u64(block + HEADER_TERM, header->base.term);
    put_u64(block + HEADER_CHAIN, header->base.chain);
    put_u64(block + HEADER_NEXT_OFFSET, header->base.next_offset);
    put_u64(block + HEADER_TIMESTAMP, (uint64_t)header->base.timestamp_ms);
    put_u32(block + HEADER_SECTOR_BYTES, header->sector_bytes);
    put_u32(block + HEADER_DATA_POS, SEGMENT_DATA_POS);
    uint64_t seed = checksum64_group(&header->cluster, header->group);
    put_u64(block + POS_CHECKSUM, block_checksum(block, SEGMENT_BLOCK_BYTES, seed));
}

struct segment_header segment_format__ids(const uint8_t block[SEGMENT_BLOCK_BYTES])
{
    struct segment_header header = {.group = get_u64(block + HEADER_GROUP)};
    memcpy(header.cluster.bytes, block + HEADER_CLUSTER, sizeof header.cluster.bytes);
    return header;
}

static bool sector_is_valid(uint32_t bytes)
{
    return bytes >= SEGMENT_SECTOR_BYTES && bytes <= SEGMENT_SECTOR_MAX &&
           (bytes & (bytes - 1u)) == 0;
}

enum segment_format_status segment_format__decode_header(const uint8_t block[SEGMENT_BLOCK_BYTES],
                                                         struct segment_header *ret_header)
{
    if (get_u32(block) != HEADER_MAGIC) return SEGMENT_FORMAT_BAD;
    struct segment_header header;
    memcpy(header.cluster.bytes, block + HEADER_CLUSTER, sizeof header.cluster.bytes);
    header.group = get_u64(block + HEADER_GROUP);
    uint64_t seed = checksum64_group(&header.cluster, header.group);
    /* The checksum first: place and seed of it are the same in every version, so a rotten version is no version. */
    if (get_u64(block + POS_CHECKSUM) != block_checksum(block, SEGMENT_BLOCK_BYTES, seed)) {
        return SEGMENT_FORMAT_BAD;
    }
    if (get_u16(block + POS_VERSION) != VERSION) return SEGMENT_FORMAT_VERSION;
    const uint16_t flags = get_u16(block + HEADER_FLAGS);
    if ((flags & ~FLAG_INSTALLED) != 0) return SEGMENT_FORMAT_VERSION;
    header.installed = (flags & FLAG_INSTALLED) != 0;
    if (get_u32(block + HEADER_DATA_POS) != SEGMENT_DATA_POS) return SEGMENT_FORMAT_VERSION;
    if (!bytes_are_zero(block + HEADER_END, SEGMENT_BLOCK_BYTES - HEADER_END)) {
        return SEGMENT_FORMAT_VERSION;
    }
    header.sequence = get_u64(block + HEADER_SEQUENCE);
    header.sector_bytes = get_u32(block + HEADER_SECTOR_BYTES);
    if (!sector_is_valid(header.sector_bytes)) return SEGMENT_FORMAT_VERSION;
    uint64_t first_index = get_u64(block + HEADER_FIRST_INDEX);
    if (first_index == 0) return SEGMENT_FORMAT_BAD;
    header.base = (struct segment_log_point){
        .index = first_index - 1,
        .term = get_u64(block + HEADER_TERM),
        .chain = get_u64(block + HEADER_CHAIN),
        .next_offset = get_u64(block + HEADER_NEXT_OFFSET),
        .timestamp_ms = (int64_t)get_u64(block + HEADER_TIMESTAMP),
    };
    *ret_header = header;
    return SEGMENT_FORMAT_OK;
}

void segment_format__encode_mark(const struct segment_mark *mark, uint64_t group_seed,
                                 uint8_t block[SEGMENT_BLOCK_BYTES])
{
    assert(mark->tail_bytes <= SEGMENT_TAIL_BYTES_MAX);
    assert(mark->end_pos >= SEGMENT_DATA_POS);
    memset(block, 0, SEGMENT_BLOCK_BYTES);
    put_u32(block, MARK_MAGIC);
    block[POS_VERSION] = VERSION;
    block[MARK_FLAGS] = mark->continued ? MARK_CONTINUED : 0;
    put_u16(block + MARK_TAIL_BYTES, (uint16_t)mark->tail_bytes);
    put_u64(block + MARK_SEQUENCE, mark->sequence);
    put_u64(block + MARK_SEGMENT, mark->segment);
    put_u64(block + MARK_END_POS, mark->end_pos);
    put_u64(block + MARK_INDEX, mark->point.index);
    put_u64(block + MARK_TERM, mark->point.term);
    put_u64(block + MARK_CHAIN, mark->point.chain);
    put_u64(block + MARK_NEXT_OFFSET, mark->point.next_offset);
    put_u64(block + MARK_TIMESTAMP, (uint64_t)mark->point.timestamp_ms);
    memcpy(block + SEGMENT_MARK_BYTES, mark->tail, mark->tail_bytes);
    put_u64(block + POS_CHECKSUM,
            block_checksum(block, SEGMENT_MARK_BYTES + mark->tail_bytes, group_seed));
}

enum segment_format_status segment_format__decode_mark(const uint8_t block[SEGMENT_BLOCK_BYTES],
                                                       uint64_t group_seed,
                                                       struct segment_mark *ret_mark)
{
    if (get_u32(block) != MARK_MAGIC) return SEGMENT_FORMAT_BAD;
    uint32_t tail_bytes = get_u16(block + MARK_TAIL_BYTES);
    if (tail_bytes > SEGMENT_TAIL_BYTES_MAX) return SEGMENT_FORMAT_BAD;
    if (get_u64(block + POS_CHECKSUM) !=
        block_checksum(block, SEGMENT_MARK_BYTES + tail_bytes, group_seed)) {
        return SEGMENT_FORMAT_BAD;
    }
    if (block[POS_VERSION] != VERSION) return SEGMENT_FORMAT_VERSION;
    if ((block[MARK_FLAGS] & ~MARK_CONTINUED) != 0) return SEGMENT_FORMAT_VERSION;
    ret_mark->continued = (block[MARK_FLAGS] & MARK_CONTINUED) != 0;
    ret_mark->sequence = get_u64(block + MARK_SEQUENCE);
    ret_mark->segment = get_u64(block + MARK_SEGMENT);
    ret_mark->end_pos = get_u64(block + MARK_END_POS);
    ret_mark->point = (struct segment_log_point){
        .index = get_u64(block + MARK_INDEX),
        .term = get_u64(block + MARK_TERM),
        .chain = get_u64(block + MARK_CHAIN),
        .next_offset = get_u64(block + MARK_NEXT_OFFSET),
        .timestamp_ms = (int64_t)get_u64(block + MARK_TIMESTAMP),
    };
    ret_mark->tail_bytes = tail_bytes;
    memcpy(ret_mark->tail, block + SEGMENT_MARK_BYTES, tail_bytes);
    if (ret_mark->end_pos < SEGMENT_DATA_POS || ret_mark->end_pos % ENTRY_ALIGNMENT != 0) {
        return SEGMENT_FORMAT_BAD;
    }
    return SEGMENT_FORMAT_OK;
}

void segment_format__name(uint64_t sequence, char name[SEGMENT_NAME_BYTES])
{
    int length = snprintf(name, SEGMENT_NAME_BYTES, "%020" PRIu64 ".segment", sequence);
    assert(length == 28);
    (void)length;
}

bool segment_format__parse_name(const char *name, uint64_t *ret_sequence)
{
    if (strlen(name) != 28 || strcmp(name + 20, ".segment") != 0) return false;
    uint64_t sequence = 0;
    for (int i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9') return false;
        uint64_t digit = (uint64_t)(name[i] - '0');
        if (sequence > (UINT64_MAX - digit) / 10u) return false;
        sequence = sequence * 10u + digit;
    }
    *ret_sequence = sequence;
    return sequence > 0;
}

bool segment_format__is_unfinished(const char *name)
{
    char segment[SEGMENT_NAME_BYTES];
    uint64_t sequence;
    const size_t length = strlen(name);
    if (length < 4 || length - 4 >= sizeof segment || strcmp(name + length - 4, ".new") != 0) {
        return false;
    }
    memcpy(segment, name, length - 4);
    segment[length - 4] = 0;
    return segment_format__parse_name(segment, &sequence);
}

bool segment_format__path(const char *directory, uint64_t sequence, char path[DISK_PATH_MAX])
{
    char name[SEGMENT_NAME_BYTES];
    segment_format__name(sequence, name);
    return path__join(path, directory, name);
}
