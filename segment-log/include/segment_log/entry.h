/* One entry of a log: its header, the same 80 bytes on disk and on the wire, little endian (PROTOCOL L1-L3).
 *
 *   pos bytes field
 *     0     4 magic "RMQE"
 *     4     1 type            5  1 version (1)     6  2 header bytes (80)
 *     8     8 checksum        XXH3-64 seeded with checksum64_group(), over bytes 0..7 and 16..79
 *    16     4 payload bytes  20  4 record count    (count > 0 only in DATA)
 *    24     8 index          32  8 term
 *    40     8 base offset    48  8 timestamp ms    (leader's stamp, never falls within a group)
 *    56     8 payload hash   64  8 chain
 *    72     8 zero
 *
 * The payload follows, then zero bytes up to a multiple of 8. The payload hash of DATA covers the payload from
 * byte 16 onward (the 16 bytes before are the base offset and the leader epoch, which the broker writes, and the length
 * between them; they are checked against the header), of all other types the whole payload.
 * chain(i) = XXH3-64(chain(i-1) as 8 bytes, then header bytes 0..7, 16..63 and 72..79 of entry i). */
#ifndef SEGMENT_LOG_ENTRY_H
#define SEGMENT_LOG_ENTRY_H

#include <segment_log/checksum.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum entry_type {
    ENTRY_DATA = 1, /* one Kafka record batch v2 */
    ENTRY_NOOP,
    ENTRY_CONFIG,
    ENTRY_OFFSETS,
    ENTRY_SETTINGS,
    ENTRY_TRIM,
    ENTRY_RECOVERY,
    ENTRY_META,
};

#define ENTRY_HEADER_BYTES      80u
#define ENTRY_ALIGNMENT         8u
#define ENTRY_PAYLOAD_BYTES_MAX (17u * 1024u * 1024u)
#define ENTRY_DATA_HASH_SKIP    16u

struct entry_header {
    enum entry_type type;
    uint32_t payload_bytes;
    uint32_t record_count;
    uint64_t index;
    uint64_t term;
    uint64_t base_offset;
    int64_t timestamp_ms;
    uint64_t payload_hash;
    uint64_t chain;
};

/* Bytes that an entry takes: header, payload, padding. */
static inline size_t entry_bytes(uint32_t payload_bytes)
{
    return (ENTRY_HEADER_BYTES + (size_t)payload_bytes + ENTRY_ALIGNMENT - 1u) &
           ~(size_t)(ENTRY_ALIGNMENT - 1u);
}

/* Fields of a header that was checked already. */
static inline uint32_t entry__load_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}
static inline uint32_t entry_payload_bytes(const uint8_t *header)
{
    return entry__load_u32(header + 16);
}
static inline uint32_t entry_record_count(const uint8_t *header)
{
    return entry__load_u32(header + 20);
}
static inline uint64_t entry_base_offset(const uint8_t *header)
{
    return (uint64_t)entry__load_u32(header + 40) | (uint64_t)entry__load_u32(header + 44) << 32;
}

uint64_t entry_payload_hash(enum entry_type type, const void *payload, uint32_t payload_bytes);

/* Encode `header` into buffer[ENTRY_HEADER_BYTES]. Computes chain from previous_chain (and stores it in
 * header->chain) and the checksum; payload_hash must be set. */
void entry_encode_header(struct entry_header *header, uint64_t group_seed, uint64_t previous_chain,
                         uint8_t *buffer);

enum entry_decode_status {
    ENTRY_DECODE_OK,
    ENTRY_DECODE_SHORT,        /* fewer bytes than the header (or the header and payload) need */
    ENTRY_DECODE_NO_MAGIC,     /* no record starts here; zeros are such a case */
    ENTRY_DECODE_BAD_CHECKSUM, /* also a record of another cluster or group */
    ENTRY_DECODE_BAD_FIELD,    /* checksum fine but a field is out of range */
    ENTRY_DECODE_BAD_PAYLOAD,  /* payload hash, or the 16 stamped bytes of DATA, do not match */
};

/* Decode and check the header alone. Never reads past buffer[bytes]. */
enum entry_decode_status entry_decode_header(const uint8_t *buffer, size_t bytes,
                                             uint64_t group_seed, struct entry_header *ret_header);

/* Decode header and check the payload as well. *ret_payload is borrowed from buffer. */
enum entry_decode_status entry_decode(const uint8_t *buffer, size_t bytes, uint64_t group_seed,
                                      struct entry_header *ret_header, const uint8_t **ret_payload);

/* The chain that an entry with this header has behind previous_chain (header->chain is not read). */
uint64_t entry_chain(const struct entry_header *header, uint64_t previous_chain);

const char *entry_type_name(enum entry_type type);
const char *entry_decode_status_text(enum entry_decode_status status);

#endif
