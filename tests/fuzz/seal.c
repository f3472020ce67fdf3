#include "seal.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

static uint32_t get_u32(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof value);
    return le32toh(value);
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof value);
    return le64toh(value);
}

static void put_u64(uint8_t *p, uint64_t value)
{
    value = htole64(value);
    memcpy(p, &value, sizeof value);
}

static void put_u64_big(uint8_t *p, uint64_t value)
{
    value = htobe64(value);
    memcpy(p, &value, sizeof value);
}

static void put_u32_big(uint8_t *p, uint32_t value)
{
    value = htobe32(value);
    memcpy(p, &value, sizeof value);
}

/* All our parts have their checksum at byte 8; it covers what is in front of it and what is behind it. */
static void seal_part(uint8_t *part, size_t count, uint64_t seed)
{
    const struct iovec pieces[] = {
        {.iov_base = part, .iov_len = 8},
        {.iov_base = part + 16, .iov_len = count - 16},
    };
    put_u64(part + 8, checksum64_parts(pieces, 2, seed));
}

/* ---- segments ------------------------------------------------------------------------------------------------------- */

enum { BLOCK = 4096, DATA_POS = 12288, ENTRY_HEADER = 80, ENTRY_DATA_TYPE = 1 };

static uint64_t group_seed(const uint8_t *header)
{
    struct cluster_id cluster;
    memcpy(cluster.bytes, header + 16, sizeof cluster.bytes);
    return checksum64_group(&cluster, get_u64(header + 32));
}

static uint64_t chain_behind(const uint8_t *entry, uint64_t previous)
{
    uint8_t before[8];
    put_u64(before, previous);
    const struct iovec pieces[] = {
        {.iov_base = before, .iov_len = 8},
        {.iov_base = (void *)(uintptr_t)entry, .iov_len = 8},
        {.iov_base = (void *)(uintptr_t)(entry + 16), .iov_len = 48},
        {.iov_base = (void *)(uintptr_t)(entry + 72), .iov_len = 8},
    };
    return checksum64_parts(pieces, 4, 0);
}

/* Bytes of the entry at `entry`; 0: none stands there. */
static size_t seal_entry(uint8_t *entry, size_t left, enum seal_depth depth, uint64_t seed,
                         uint64_t *chain)
{
    if (left < ENTRY_HEADER || memcmp(entry, "RMQE", 4) != 0) return 0;
    size_t payload_bytes = get_u32(entry + 16);
    if (payload_bytes > left - ENTRY_HEADER) return 0;
    uint8_t *payload = entry + ENTRY_HEADER;
    size_t padding = (8u - payload_bytes % 8u) % 8u;
    if (padding <= left - ENTRY_HEADER - payload_bytes) memset(payload + payload_bytes, 0, padding);
    size_t skip = entry[4] == ENTRY_DATA_TYPE && payload_bytes >= 16 ? 16 : 0;
    if (skip) {
        put_u64_big(payload, get_u64(entry + 40));
        put_u32_big(payload + 8, (uint32_t)payload_bytes - 12u);
        put_u32_big(payload + 12, get_u32(entry + 32));
    }
    put_u64(entry + 56, checksum64(payload + skip, payload_bytes - skip));
    if (depth == SEAL_CHAIN) put_u64(entry + 64, chain_behind(entry, *chain));
    *chain = get_u64(entry + 64);
    seal_part(entry, ENTRY_HEADER, seed);
    return (ENTRY_HEADER + payload_bytes + 7u) & ~(size_t)7u;
}

void seal_entries(uint8_t *bytes, size_t count, enum seal_depth depth, uint64_t seed,
                  uint64_t chain)
{
    for (size_t pos = 0; pos < count;) {
        size_t taken = seal_entry(bytes + pos, count - pos, depth, seed, &chain);
        /* Zeros up to the next sector, or a patch. */
        pos += taken ? taken : 8;
    }
}

void seal_find_footer(const struct fuzz_file *file, uint64_t *ret_footer, uint64_t *ret_trailer)
{
    *ret_footer = *ret_trailer = DATA_POS;
    if (file->count < DATA_POS + BLOCK || file->count % BLOCK != 0) return;
    const uint8_t *trailer = file->bytes + file->count - BLOCK;
    uint64_t footer = get_u64(trailer + 24);
    if (memcmp(trailer, "RMQF", 4) != 0 || footer > file->count - BLOCK) return;
    *ret_footer = footer;
    *ret_trailer = file->count - BLOCK;
}

/* Header block and entries, without what stands between them. */
static uint64_t content_hash(const uint8_t *bytes, uint64_t end)
{
    struct checksum_stream *hash = checksum_stream_create(0);
    if (!hash) abort();
    checksum_stream_add(hash, bytes, BLOCK);
    for (uint64_t pos = DATA_POS; pos + ENTRY_HEADER <= end;) {
        uint64_t count = 8;
        if (memcmp(bytes + pos, "RMQE", 4) == 0) {
            count = (ENTRY_HEADER + (uint64_t)get_u32(bytes + pos + 16) + 7u) & ~(uint64_t)7u;
            if (count > end - pos) break;
            checksum_stream_add(hash, bytes + pos, count);
        }
        pos += count;
    }
    const uint64_t value = checksum_stream_value(hash);
    checksum_stream_destroy(hash);
    return value;
}

static uint64_t whole_blocks(uint64_t bytes)
{
    return (bytes + BLOCK - 1u) & ~(uint64_t)(BLOCK - 1u);
}

/* Sparse index, facts and trailer, as far as their sizes lead. */
static void seal_footer(struct fuzz_file *file, uint64_t seed)
{
    uint64_t footer, trailer_pos;
    seal_find_footer(file, &footer, &trailer_pos);
    if (trailer_pos == DATA_POS) return;
    uint8_t *trailer = file->bytes + trailer_pos;
    uint64_t end = get_u64(trailer + 32), left = trailer_pos - footer;
    uint64_t index_bytes = whole_blocks((uint64_t)get_u32(trailer + 132) * get_u32(trailer + 144));
    uint64_t facts_pos = index_bytes;
    uint64_t facts_bytes = whole_blocks(get_u32(trailer + 148));
    if (end >= DATA_POS && end <= file->count)
        put_u64(trailer + 40, content_hash(file->bytes, end));
    if (index_bytes <= left)
        put_u64(trailer + 160, checksum64_seeded(file->bytes + footer, index_bytes, seed));
    if (facts_pos <= left && facts_bytes <= left - facts_pos) {
        const uint8_t *facts = file->bytes + footer + facts_pos;
        put_u64(trailer + 168, checksum64_seeded(facts, facts_bytes, seed));
    }
    seal_part(trailer, BLOCK, seed);
}

void seal_segment(struct fuzz_file *file, enum seal_depth depth)
{
    if (file->count < DATA_POS) return;
    uint8_t *bytes = file->bytes;
    uint64_t seed = group_seed(bytes);
    seal_part(bytes, BLOCK, seed);
    seal_entries(bytes + DATA_POS, file->count - DATA_POS, depth, seed, get_u64(bytes + 64));
    for (size_t mark = BLOCK; mark < DATA_POS; mark += BLOCK) {
        size_t tail = (size_t)(bytes[mark + 6] | bytes[mark + 7] << 8);
        if (tail <= BLOCK - 80) seal_part(bytes + mark, 80 + tail, seed);
    }
    seal_footer(file, seed);
}

/* ---- snapshots ------------------------------------------------------------------------------------------------------ */

void seal_snapshot(struct fuzz_file *file)
{
    uint8_t *bytes = file->bytes;
    if (file->count < 128) return;
    size_t pos = get_u32(bytes + 16);
    if (pos < 16 || pos > file->count) return;
    seal_part(bytes, pos, 0);
    uint64_t seed = get_u64(bytes + 8);
    while (file->count - pos >= 24) {
        uint8_t *part = bytes + pos;
        size_t left = file->count - pos;
        size_t count = memcmp(part, "RMQB", 4) == 0 ? 24u + (size_t)get_u32(part + 16) : 32u;
        if (count > left) return;
        seal_part(part, count, seed);
        seed = get_u64(part + 8);
        pos += count;
    }
}

/* ---- identity and votes --------------------------------------------------------------------------------------------- */

enum { SLOT = 266240, RECORD = 64, RECORDS_MAX = 4096, IDENTITY = 8192 };

void seal_votes(struct fuzz_file *file)
{
    for (size_t slot = 0; slot + SLOT <= file->count; slot += SLOT) {
        uint32_t records = get_u32(file->bytes + slot + 48);
        if (records > RECORDS_MAX) continue;
        seal_part(file->bytes + slot, BLOCK + (size_t)records * RECORD, 0);
    }
}

void seal_identity(struct fuzz_file *file)
{
    if (file->count >= IDENTITY) seal_part(file->bytes, IDENTITY, 0);
}

/* ---- what comes over the wire --------------------------------------------------------------------------------------- */

enum { FRAME_HEADER = 56, CRC_FROM = 21 };

void seal_frames(uint8_t *bytes, size_t count)
{
    size_t pos = 0;
    while (count - pos >= FRAME_HEADER) {
        uint8_t *frame = bytes + pos;
        size_t body = get_u32(frame + 4), left = count - pos - FRAME_HEADER;
        size_t whole = (body + 7u) & ~(size_t)7u;
        if (whole <= left) put_u64(frame + 40, checksum64(frame + FRAME_HEADER, body));
        put_u64(frame + 48, checksum64(frame, 48));
        if (whole > left) return;
        pos += FRAME_HEADER + whole;
    }
}

/* By the table, one bit at a time: slow, and no code of the broker. */
static uint32_t crc32c_of(const uint8_t *bytes, size_t count)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1u ? 0x82f63b78u : 0u);
    }
    return ~crc;
}

void seal_batch(uint8_t *bytes, size_t count)
{
    if (count < CRC_FROM) return;
    put_u32_big(bytes + 8, (uint32_t)count - 12u);
    put_u32_big(bytes + 17, crc32c_of(bytes + CRC_FROM, count - CRC_FROM));
}
