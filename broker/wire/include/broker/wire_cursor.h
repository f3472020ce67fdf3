/* Cursors over little-endian bytes, for every codec of the wire and for the peer handshake.
 *
 * A writer counts what it is given, also past its capacity, so that one function serves "how large" and "write it". A
 * reader turns to `failed` at the first byte that is missing or not allowed, and from then on gives zeros: a decoder
 * reads straight through and asks once at the end. */
#ifndef BROKER_WIRE_CURSOR_H
#define BROKER_WIRE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire_writer {
    uint8_t *buffer; /* may be NULL when capacity = 0 */
    size_t capacity;
    size_t bytes; /* encoded size so far; the bytes are whole only when bytes <= capacity */
};

static inline void wire_put(struct wire_writer *writer, const void *data, size_t bytes)
{
    size_t at = writer->bytes;
    writer->bytes += bytes;
    if (bytes > 0 && writer->bytes <= writer->capacity) memcpy(writer->buffer + at, data, bytes);
}

static inline void wire_put_u8(struct wire_writer *writer, uint8_t value)
{
    wire_put(writer, &value, 1);
}

static inline void wire_put_u16(struct wire_writer *writer, uint16_t value)
{
    uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
    wire_put(writer, bytes, sizeof(bytes));
}

static inline void wire_put_u32(struct wire_writer *writer, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                        (uint8_t)(value >> 24)};
    wire_put(writer, bytes, sizeof(bytes));
}

static inline void wire_put_u64(struct wire_writer *writer, uint64_t value)
{
    wire_put_u32(writer, (uint32_t)value);
    wire_put_u32(writer, (uint32_t)(value >> 32));
}

static inline void wire_put_zeros(struct wire_writer *writer, size_t bytes)
{
    static const uint8_t zeros[8];
    for (; bytes > sizeof(zeros); bytes -= sizeof(zeros)) {
        wire_put(writer, zeros, sizeof(zeros));
    }
    wire_put(writer, zeros, bytes);
}

/* u16 length, then the bytes. */
static inline void wire_put_string(struct wire_writer *writer, const char *text)
{
    size_t bytes = strlen(text);
    if (bytes > UINT16_MAX) bytes = UINT16_MAX;
    wire_put_u16(writer, (uint16_t)bytes);
    wire_put(writer, text, bytes);
}

/* Zeros up to a multiple of 8 of everything written. */
static inline void wire_put_padding(struct wire_writer *writer)
{
    wire_put_zeros(writer, (8u - writer->bytes % 8u) % 8u);
}

struct wire_reader {
    const uint8_t *start;
    const uint8_t *position;
    const uint8_t *end;
    bool failed;
};

static inline struct wire_reader wire_reader_of(const uint8_t *body, size_t bytes)
{
    return (struct wire_reader){
        .start = body, .position = body, .end = body ? body + bytes : body, .failed = !body};
}

static inline size_t wire_left(const struct wire_reader *reader)
{
    return reader->failed ? 0 : (size_t)(reader->end - reader->position);
}

/* The next bytes, borrowed, or NULL (then the reader has failed). */
static inline const uint8_t *wire_get(struct wire_reader *reader, size_t bytes)
{
    if (reader->failed || bytes > (size_t)(reader->end - reader->position)) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *data = reader->position;
    reader->position += bytes;
    return data;
}

static inline uint16_t wire_load_u16(const uint8_t *data)
{
    return (uint16_t)(data[0] | data[1] << 8);
}

static inline uint32_t wire_load_u32(const uint8_t *data)
{
    return (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
           (uint32_t)data[3] << 24;
}

static inline uint64_t wire_load_u64(const uint8_t *data)
{
    return (uint64_t)wire_load_u32(data) | (uint64_t)wire_load_u32(data + 4) << 32;
}

static inline uint8_t wire_get_u8(struct wire_reader *reader)
{
    const uint8_t *data = wire_get(reader, 1);
    return data ? *data : 0;
}

static inline uint16_t wire_get_u16(struct wire_reader *reader)
{
    const uint8_t *data = wire_get(reader, 2);
    return data ? wire_load_u16(data) : 0;
}

static inline uint32_t wire_get_u32(struct wire_reader *reader)
{
    const uint8_t *data = wire_get(reader, 4);
    return data ? wire_load_u32(data) : 0;
}

static inline uint64_t wire_get_u64(struct wire_reader *reader)
{
    const uint8_t *data = wire_get(reader, 8);
    return data ? wire_load_u64(data) : 0;
}

/* A byte that must be 0 or 1. */
static inline bool wire_get_bool(struct wire_reader *reader)
{
    uint8_t value = wire_get_u8(reader);
    if (value > 1) reader->failed = true;
    return value == 1;
}

/* Reserved bytes: anything but zero comes from another version or from damage. */
static inline void wire_get_zeros(struct wire_reader *reader, size_t bytes)
{
    const uint8_t *data = wire_get(reader, bytes);
    for (size_t i = 0; data && i < bytes; i++) {
        if (data[i] != 0) reader->failed = true;
    }
}

static inline void wire_get_padding(struct wire_reader *reader)
{
    if (reader->failed) return;
    wire_get_zeros(reader, (8u - (size_t)(reader->position - reader->start) % 8u) % 8u);
}

/* A string of wire_put_string into text[capacity], NUL-terminated. Fails when it does not fit or holds a control
 * character: such text ends in logs, paths and terminals. */
static inline void wire_get_string(struct wire_reader *reader, char *text, size_t capacity)
{
    text[0] = '\0';
    size_t bytes = wire_get_u16(reader);
    if (bytes >= capacity) reader->failed = true;
    const uint8_t *data = wire_get(reader, bytes);
    if (!data) return;
    for (size_t i = 0; i < bytes; i++) {
        if (data[i] < 0x20 || data[i] == 0x7f) {
            reader->failed = true;
            text[0] = '\0';
            return;
        }
        text[i] = (char)data[i];
    }
    text[bytes] = '\0';
}

/* Nothing failed and nothing is left. */
static inline bool wire_is_complete(const struct wire_reader *reader)
{
    return !reader->failed && reader->position == reader->end;
}

#endif
