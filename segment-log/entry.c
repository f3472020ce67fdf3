#include "entry.h"

#include "bytes.h"

#include <planted/planted.h>

#include <assert.h>

#define ENTRY_MAGIC   0x45514d52u /* "RMQE" */
#define ENTRY_VERSION 1u

enum {
    POS_TYPE = 4,
    POS_VERSION = 5,
    POS_HEADER_BYTES = 6,
    POS_CHECKSUM = 8,
    POS_PAYLOAD_BYTES = 16,
    POS_RECORD_COUNT = 20,
    POS_INDEX = 24,
    POS_TERM = 32,
    POS_BASE_OFFSET = 40,
    POS_TIMESTAMP = 48,
    POS_PAYLOAD_HASH = 56,
    POS_CHAIN = 64,
    POS_ZERO = 72,
};

/* Both hashes cover 72 bytes, so that one short buffer and one call do: the checksum is seeded and covers the chain,
 * the chain covers its predecessor instead. */
#define HASHED_BYTES 72u
static_assert(ENTRY_HEADER_BYTES == HASHED_BYTES + 8u, "the checksum covers all but itself");

uint64_t entry_payload_hash(enum entry_type type, const void *payload, uint32_t payload_bytes)
{
    if (type != ENTRY_DATA) return checksum64(payload, payload_bytes);
    if (payload_bytes <= ENTRY_DATA_HASH_SKIP) return checksum64("", 0);
    return checksum64((const uint8_t *)payload + ENTRY_DATA_HASH_SKIP,
                      payload_bytes - ENTRY_DATA_HASH_SKIP);
}

static void put_fields(const struct entry_header *header, uint8_t *buffer)
{
    put_u32(buffer, ENTRY_MAGIC);
    buffer[POS_TYPE] = (uint8_t)header->type;
    buffer[POS_VERSION] = ENTRY_VERSION;
    put_u16(buffer + POS_HEADER_BYTES, ENTRY_HEADER_BYTES);
    put_u32(buffer + POS_PAYLOAD_BYTES, header->payload_bytes);
    put_u32(buffer + POS_RECORD_COUNT, header->record_count);
    put_u64(buffer + POS_INDEX, header->index);
    put_u64(buffer + POS_TERM, header->term);
    put_u64(buffer + POS_BASE_OFFSET, header->base_offset);
    put_u64(buffer + POS_TIMESTAMP, (uint64_t)header->timestamp_ms);
    put_u64(buffer + POS_PAYLOAD_HASH, header->payload_hash);
    put_u64(buffer + POS_ZERO, 0);
}

static uint64_t chain_of(const uint8_t *buffer, uint64_t previous_chain)
{
    uint8_t hashed[HASHED_BYTES];
    put_u64(hashed, previous_chain);
    memcpy(hashed + 8, buffer, POS_CHECKSUM);
    memcpy(hashed + 16, buffer + POS_PAYLOAD_BYTES, POS_CHAIN - POS_PAYLOAD_BYTES);
    memcpy(hashed + 64, buffer + POS_ZERO, 8);
    return checksum64(hashed, sizeof hashed);
}

static uint64_t checksum_of(const uint8_t *buffer, uint64_t group_seed)
{
    uint8_t hashed[HASHED_BYTES];
    memcpy(hashed, buffer, POS_CHECKSUM);
    memcpy(hashed + 8, buffer + POS_PAYLOAD_BYTES, ENTRY_HEADER_BYTES - POS_PAYLOAD_BYTES);
    return checksum64_seeded(hashed, sizeof hashed,
                             PLANTED(L1_CHECKSUM_NAMES_NO_GROUP) ? 0 : group_seed);
}

void entry_encode_header(struct entry_header *header, uint64_t group_seed, uint64_t previous_chain,
                         uint8_t *buffer)
{
    assert(entry__fields_are_valid(header));
    put_fields(header, buffer);
    header->chain = chain_of(buffer, previous_chain);
    put_u64(buffer + POS_CHAIN, header->chain);
    put_u64(buffer + POS_CHECKSUM, checksum_of(buffer, group_seed));
}

uint64_t entry_chain(const struct entry_header *header, uint64_t previous_chain)
{
    uint8_t buffer[ENTRY_HEADER_BYTES];
    put_fields(header, buffer);
    return chain_of(buffer, previous_chain);
}

void entry__parse(const uint8_t *buffer, struct entry_header *ret_header)
{
    *ret_header = (struct entry_header){
        .type = (enum entry_type)buffer[POS_TYPE],
        .payload_bytes = get_u32(buffer + POS_PAYLOAD_BYTES),
        .record_count = get_u32(buffer + POS_RECORD_COUNT),
        .index = get_u64(buffer + POS_INDEX),
        .term = get_u64(buffer + POS_TERM),
        .base_offset = get_u64(buffer + POS_BASE_OFFSET),
        .timestamp_ms = (int64_t)get_u64(buffer + POS_TIMESTAMP),
        .payload_hash = get_u64(buffer + POS_PAYLOAD_HASH),
        .chain = get_u64(buffer + POS_CHAIN),
    };
}

bool entry__fields_are_valid(const struct entry_header *header)
{
    if (header->type < ENTRY_DATA || header->type > ENTRY_META) return false;
    if (header->payload_bytes > ENTRY_PAYLOAD_BYTES_MAX) return false;
    if (header->index == 0) return false;
    if (header->base_offset > (uint64_t)INT64_MAX - UINT32_MAX) return false;
    if (header->type != ENTRY_DATA) return header->record_count == 0;
    /* The leader epoch of a record batch is an int32 (PROTOCOL L3). */
    return header->record_count > 0 && header->payload_bytes >= ENTRY_DATA_HASH_SKIP &&
           header->term <= INT32_MAX;
}

bool entry__stamp_matches(const uint8_t *payload, uint32_t payload_bytes, uint64_t base_offset,
                          uint64_t term)
{
    /* Record batch v2: base offset i64, length behind this field i32, leader epoch i32, all big endian. */
    if (payload_bytes < ENTRY_DATA_HASH_SKIP) return false;
    return get_u64_big(payload) == base_offset && get_u32_big(payload + 8) == payload_bytes - 12u &&
           get_u32_big(payload + 12) == term;
}

bool entry__payload_matches(const uint8_t *buffer, const struct entry_header *header)
{
    const uint8_t *payload = buffer + ENTRY_HEADER_BYTES;
    size_t end = ENTRY_HEADER_BYTES + (size_t)header->payload_bytes;
    if (!bytes_are_zero(buffer + end, entry_bytes(header->payload_bytes) - end)) return false;
    if (header->type == ENTRY_DATA && !PLANTED(L3_STAMP_IS_NOT_COMPARED) &&
        !entry__stamp_matches(payload, header->payload_bytes, header->base_offset, header->term)) {
        return false;
    }
    return entry_payload_hash(header->type, payload, header->payload_bytes) == header->payload_hash;
}

enum entry_decode_status entry_decode_header(const uint8_t *buffer, size_t bytes,
                                             uint64_t group_seed, struct entry_header *ret_header)
{
    if (bytes < 4) return ENTRY_DECODE_SHORT;
    if (get_u32(buffer) != ENTRY_MAGIC) return ENTRY_DECODE_NO_MAGIC;
    if (bytes < ENTRY_HEADER_BYTES) return ENTRY_DECODE_SHORT;
    if (get_u64(buffer + POS_CHECKSUM) != checksum_of(buffer, group_seed)) {
        return ENTRY_DECODE_BAD_CHECKSUM;
    }
    if (buffer[POS_VERSION] != ENTRY_VERSION) return ENTRY_DECODE_BAD_FIELD;
    if (get_u16(buffer + POS_HEADER_BYTES) != ENTRY_HEADER_BYTES) return ENTRY_DECODE_BAD_FIELD;
    if (get_u64(buffer + POS_ZERO) != 0) return ENTRY_DECODE_BAD_FIELD;
    struct entry_header header;
    entry__parse(buffer, &header);
    if (!entry__fields_are_valid(&header)) return ENTRY_DECODE_BAD_FIELD;
    *ret_header = header;
    return ENTRY_DECODE_OK;
}

enum entry_decode_status entry_decode(const uint8_t *buffer, size_t bytes, uint64_t group_seed,
                                      struct entry_header *ret_header, const uint8_t **ret_payload)
{
    struct entry_header header;
    enum entry_decode_status status = entry_decode_header(buffer, bytes, group_seed, &header);
    if (status != ENTRY_DECODE_OK) return status;
    if (bytes < entry_bytes(header.payload_bytes)) return ENTRY_DECODE_SHORT;
    if (!entry__payload_matches(buffer, &header)) return ENTRY_DECODE_BAD_PAYLOAD;
    *ret_header = header;
    *ret_payload = buffer + ENTRY_HEADER_BYTES;
    return ENTRY_DECODE_OK;
}

const char *entry_type_name(enum entry_type type)
{
    switch (type) {
    case ENTRY_DATA:
        return "DATA";
    case ENTRY_NOOP:
        return "NOOP";
    case ENTRY_CONFIG:
        return "CONFIG";
    case ENTRY_OFFSETS:
        return "OFFSETS";
    case ENTRY_SETTINGS:
        return "SETTINGS";
    case ENTRY_TRIM:
        return "TRIM";
    case ENTRY_RECOVERY:
        return "RECOVERY";
    case ENTRY_META:
        return "META";
    }
    return "UNKNOWN";
}

const char *entry_decode_status_text(enum entry_decode_status status)
{
    switch (status) {
    case ENTRY_DECODE_OK:
        return "ok";
    case ENTRY_DECODE_SHORT:
        return "the record is cut off";
    case ENTRY_DECODE_NO_MAGIC:
        return "no record starts here";
    case ENTRY_DECODE_BAD_CHECKSUM:
        return "the header checksum does not match";
    case ENTRY_DECODE_BAD_FIELD:
        return "a header field is out of range";
    case ENTRY_DECODE_BAD_PAYLOAD:
        return "the payload does not match its header";
    }
    return "unknown";
}
