/* Reading and writing the payloads and records of the state machines: little endian, bounded. Private to queue/.
 *
 * A reader never reads past its bytes: the first field that does not fit makes it bad, everything read afterwards is
 * zero or NULL, and the caller asks reader_is_done() once at the end. A writer counts on when its buffer is full, so
 * one pass gives the size that is needed. */
#ifndef BROKER_QUEUE_CODEC_H
#define BROKER_QUEUE_CODEC_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct reader {
    const uint8_t *bytes;
    size_t left;
    bool bad;
};

static inline struct reader reader_of(const void *bytes, size_t bytes_count)
{
    return (struct reader){.bytes = bytes, .left = bytes_count};
}

/* The next `bytes_count` bytes, borrowed; NULL when there are fewer. */
static inline const uint8_t *reader_take(struct reader *reader, size_t bytes_count)
{
    if (reader->bad || reader->left < bytes_count) {
        reader->bad = true;
        return NULL;
    }
    const uint8_t *taken = reader->bytes;
    reader->bytes += bytes_count;
    reader->left -= bytes_count;
    return taken;
}

/* At most 8 bytes, as in writer_number(). */
static inline uint64_t reader_number(struct reader *reader, size_t bytes_count)
{
    const uint8_t *bytes = reader_take(reader, bytes_count);
    uint64_t value = 0;
    if (bytes) memcpy(&value, bytes, bytes_count);
    return le64toh(value);
}

static inline uint8_t reader_u8(struct reader *reader)
{
    return (uint8_t)reader_number(reader, 1);
}
static inline uint16_t reader_u16(struct reader *reader)
{
    return (uint16_t)reader_number(reader, 2);
}
static inline uint32_t reader_u32(struct reader *reader)
{
    return (uint32_t)reader_number(reader, 4);
}
static inline uint64_t reader_u64(struct reader *reader)
{
    return reader_number(reader, 8);
}
static inline int64_t reader_i64(struct reader *reader)
{
    return (int64_t)reader_number(reader, 8);
}

/* A string of at most `bytes_max` bytes without NUL behind its u16 length, copied with a NUL into
 * ret_string[bytes_max + 1]. */
static inline void reader_string(struct reader *reader, char *ret_string, size_t bytes_max)
{
    size_t bytes = reader_u16(reader);
    if (bytes > bytes_max) reader->bad = true;
    const uint8_t *string = reader_take(reader, bytes);
    if (string && memchr(string, 0, bytes)) reader->bad = true;
    if (reader->bad) {
        ret_string[0] = '\0';
        return;
    }
    if (bytes > 0) memcpy(ret_string, string, bytes);
    ret_string[bytes] = '\0';
}

/* Everything was there and nothing is left. */
static inline bool reader_is_done(const struct reader *reader)
{
    return !reader->bad && reader->left == 0;
}

struct writer {
    uint8_t *buffer;
    size_t bytes_max;
    size_t bytes; /* written, or wanted when above bytes_max */
};

static inline struct writer writer_of(void *buffer, size_t bytes_max)
{
    return (struct writer){.buffer = buffer, .bytes_max = bytes_max};
}

static inline void writer_bytes(struct writer *writer, const void *bytes, size_t bytes_count)
{
    if (bytes_count > 0 && writer->bytes <= writer->bytes_max &&
        bytes_count <= writer->bytes_max - writer->bytes) {
        memcpy(writer->buffer + writer->bytes, bytes, bytes_count);
    }
    writer->bytes += bytes_count;
}

static inline void writer_number(struct writer *writer, uint64_t value, size_t bytes_count)
{
    value = htole64(value);
    writer_bytes(writer, &value, bytes_count);
}

static inline void writer_u8(struct writer *writer, uint8_t value)
{
    writer_number(writer, value, 1);
}
static inline void writer_u16(struct writer *writer, uint16_t value)
{
    writer_number(writer, value, 2);
}
static inline void writer_u32(struct writer *writer, uint32_t value)
{
    writer_number(writer, value, 4);
}
static inline void writer_u64(struct writer *writer, uint64_t value)
{
    writer_number(writer, value, 8);
}
static inline void writer_i64(struct writer *writer, int64_t value)
{
    writer_number(writer, (uint64_t)value, 8);
}
static inline void writer_string(struct writer *writer, const char *string)
{
    size_t bytes = strlen(string);
    writer_u16(writer, (uint16_t)bytes);
    writer_bytes(writer, string, bytes);
}

/* Numbers in keys are big endian: so the order of the keys is the order of the numbers. */
static inline void put_u64_big(uint8_t *bytes, uint64_t value)
{
    value = htobe64(value);
    memcpy(bytes, &value, sizeof(value));
}

static inline uint64_t get_u64_big(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return be64toh(value);
}

#endif
