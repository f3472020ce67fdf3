/* Shared by the files of the record batch: field positions, big-endian words, varints, the walk of one record. */
#ifndef WIRE_RECORD_BATCH_PRIVATE_H
#define WIRE_RECORD_BATCH_PRIVATE_H

#include <broker/record_batch.h>

/* Field positions (Kafka protocol guide, "Record Batch"). */
#define POS_BASE_OFFSET       0u
#define POS_BATCH_LENGTH      8u
#define POS_LEADER_EPOCH      12u
#define POS_MAGIC             16u
#define POS_CRC               17u
#define POS_ATTRIBUTES        21u
#define POS_LAST_OFFSET_DELTA 23u
#define POS_BASE_TIMESTAMP    27u
#define POS_MAX_TIMESTAMP     35u
#define POS_PRODUCER_ID       43u
#define POS_PRODUCER_EPOCH    51u
#define POS_BASE_SEQUENCE     53u
#define POS_RECORDS_COUNT     57u

#define BATCH_LENGTH_EXCLUDES 12u /* base offset and the length field itself */

#define ATTRIBUTE_CODEC_MASK      0x07u
#define ATTRIBUTE_LOG_APPEND_TIME 0x08u
#define ATTRIBUTE_TRANSACTIONAL   0x10u
#define ATTRIBUTE_CONTROL         0x20u

static inline uint16_t load_be16(const uint8_t *data)
{
    return (uint16_t)(data[0] << 8 | data[1]);
}

static inline uint32_t load_be32(const uint8_t *data)
{
    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static inline uint64_t load_be64(const uint8_t *data)
{
    return (uint64_t)load_be32(data) << 32 | load_be32(data + 4);
}

static inline void store_be16(uint8_t *data, uint16_t value)
{
    data[0] = (uint8_t)(value >> 8);
    data[1] = (uint8_t)value;
}

static inline void store_be32(uint8_t *data, uint32_t value)
{
    store_be16(data, (uint16_t)(value >> 16));
    store_be16(data + 2, (uint16_t)value);
}

static inline void store_be64(uint8_t *data, uint64_t value)
{
    store_be32(data, (uint32_t)(value >> 32));
    store_be32(data + 4, (uint32_t)value);
}

/* ---- varints: 7 bits a byte, least first, zigzag ---------------------------------------------------------- */

#define VARINT_BYTES_MAX  5u
#define VARLONG_BYTES_MAX 10u

static inline uint64_t zigzag_encode(int64_t value)
{
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0u);
}

static inline size_t varint_bytes(int64_t value)
{
    uint64_t rest = zigzag_encode(value);
    size_t bytes = 1;
    for (; rest >= 0x80u; rest >>= 7) {
        bytes++;
    }
    return bytes;
}

/* Returns the position behind it. */
static inline uint8_t *varint_put(uint8_t *position, int64_t value)
{
    uint64_t rest = zigzag_encode(value);
    for (; rest >= 0x80u; rest >>= 7) {
        *position++ = (uint8_t)(rest | 0x80u);
    }
    *position++ = (uint8_t)rest;
    return position;
}

/* Moves *position. False: cut off, longer than bytes_max, or beyond 64 bits. */
static inline bool varint_get_bits(const uint8_t **position, const uint8_t *end, unsigned bytes_max,
                                   int64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes_max; i++) {
        if (*position == end) return false;
        uint8_t byte = *(*position)++;
        if (i == VARLONG_BYTES_MAX - 1u && byte > 1) return false; /* bit 63 alone is left */
        value |= (uint64_t)(byte & 0x7fu) << 7u * i;
        if (byte < 0x80u) {
            *ret_value = (int64_t)(value >> 1 ^ (value & 1u ? UINT64_MAX : 0u));
            return true;
        }
    }
    return false;
}

static inline bool varlong_get(const uint8_t **position, const uint8_t *end, int64_t *ret_value)
{
    return varint_get_bits(position, end, VARLONG_BYTES_MAX, ret_value);
}

/* Also false beyond 32 bits. */
static inline bool varint_get(const uint8_t **position, const uint8_t *end, int32_t *ret_value)
{
    int64_t value;
    if (!varint_get_bits(position, end, VARINT_BYTES_MAX, &value)) return false;
    if (value < INT32_MIN || value > INT32_MAX) return false;
    *ret_value = (int32_t)value;
    return true;
}

/* ---- shared between files ------------------------------------------------------------------------------------ */

/* Walk the record number `index` at *position and move behind it. ret_record NULL: check only.
 * OK, BAD_RECORD, or TOO_LARGE (more than RECORD_HEADERS_MAX headers). */
enum record_batch_status record_batch__walk_record(const struct record_batch_header *header,
                                                   uint32_t index, const uint8_t **position,
                                                   const uint8_t *end,
                                                   struct record_view *ret_record);

/* Inflate into a malloc'ed buffer of at most inflated_bytes_max bytes; the caller frees it. OK or CANNOT_INFLATE. */
enum record_batch_status record_batch__inflate(enum record_batch_codec codec, const uint8_t *input,
                                               size_t input_bytes, size_t inflated_bytes_max,
                                               uint8_t **ret_output, size_t *ret_output_bytes);

#endif
