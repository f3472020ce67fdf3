/* Frames: header, checks, parser.
 *
 *   pos bytes field
 *     0     4 magic "RMQP"
 *     4     4 body bytes, without the padding
 *     8     2 type            10  6 zero
 *    16     8 group id
 *    24    16 cluster id      zero: the sender belongs to none yet
 *    40     8 body hash       XXH3-64 of the body
 *    48     8 header hash     XXH3-64 of bytes 0..47
 *    56     - body, then zeros up to a multiple of 8
 *
 * The header has a hash of its own because its length must be right before the body is waited for: one flipped bit there
 * would make the receiver swallow megabytes of good frames before it noticed. */
#include "frame.h"

#include <planted/planted.h>

#include <broker/wire_cursor.h>

#include <assert.h>
#include <stdlib.h>

#define MAGIC               0x50514d52u /* "RMQP" */
#define HEADER_HASHED_BYTES 48u

#define CAPACITY_FIRST 4096u
/* A buffer that grew beyond this for one frame is given back after it: 30 connections must not keep 20 MiB each. */
#define CAPACITY_KEPT (2u * 1024u * 1024u)

static_assert(HEADER_HASHED_BYTES + 8u == FRAME_HEADER_BYTES, "the hash ends the header");
static_assert(FRAME_HEADER_BYTES % FRAME_ALIGNMENT == 0, "bodies are aligned as frames are");

void frame__encode_header(const struct frame_header *header, uint8_t *buffer)
{
    struct wire_writer writer = {.buffer = buffer, .capacity = FRAME_HEADER_BYTES};
    wire_put_u32(&writer, MAGIC);
    wire_put_u32(&writer, header->body_bytes);
    wire_put_u16(&writer, header->type);
    wire_put_zeros(&writer, 6);
    wire_put_u64(&writer, header->group);
    wire_put(&writer, header->cluster.bytes, sizeof(header->cluster.bytes));
    wire_put_u64(&writer, header->body_hash);
    wire_put_u64(&writer, checksum64(buffer, HEADER_HASHED_BYTES));
    assert(writer.bytes == FRAME_HEADER_BYTES);
}

bool frame__decode_header(const uint8_t *buffer, struct frame_header *ret_header)
{
    struct wire_reader reader = wire_reader_of(buffer, FRAME_HEADER_BYTES);
    if (wire_get_u32(&reader) != MAGIC) return false;
    struct frame_header header = {.body_bytes = wire_get_u32(&reader)};
    header.type = wire_get_u16(&reader);
    wire_get_zeros(&reader, 6);
    header.group = wire_get_u64(&reader);
    const uint8_t *cluster = wire_get(&reader, sizeof(header.cluster.bytes));
    header.body_hash = wire_get_u64(&reader);
    uint64_t header_hash = wire_get_u64(&reader);
    if (!wire_is_complete(&reader)) return false;
    if (header_hash != checksum64(buffer, HEADER_HASHED_BYTES)) return false;
    memcpy(header.cluster.bytes, cluster, sizeof(header.cluster.bytes));
    *ret_header = header;
    return true;
}

uint64_t frame__hash_body(const struct iovec *parts, int parts_count)
{
    return checksum64_parts(parts, parts_count, 0);
}

/* ---- parser ------------------------------------------------------------------------------------------------ */

/* `frame` holds all bytes of the frame of `header`. */
static bool is_body_whole(const uint8_t *frame, const struct frame_header *header)
{
    const uint8_t *body = frame + FRAME_HEADER_BYTES;
    for (size_t i = 0; i < frame_padding(header->body_bytes); i++) {
        if (body[header->body_bytes + i] != 0) return false;
    }
    return checksum64_seeded(body, header->body_bytes, 0) == header->body_hash;
}

static enum frame_parse_status judge_header(const uint8_t *buffer, size_t body_bytes_max,
                                            struct frame_header *ret_header)
{
    if (!frame__decode_header(buffer, ret_header)) return FRAME_BAD;
    bool bounded = !PLANTED(B35_LENGTH_IS_NOT_BOUNDED);
    return bounded && ret_header->body_bytes > body_bytes_max ? FRAME_TOO_LARGE : FRAME_PARSED;
}

static bool parser_reserve(struct frame_parser *parser, size_t bytes)
{
    if (bytes <= parser->capacity) return true;
    size_t capacity = bytes > CAPACITY_FIRST ? bytes : CAPACITY_FIRST;
    uint8_t *buffer = realloc(parser->buffer, capacity);
    if (!buffer) return false;
    parser->buffer = buffer;
    parser->capacity = capacity;
    return true;
}

static void parser_start_over(struct frame_parser *parser)
{
    if (!parser->is_delivered) return;
    parser->is_delivered = false;
    parser->bytes = 0;
    if (parser->capacity > CAPACITY_KEPT) frame_parser__close(parser);
}

/* Copy from *data until the parser holds `wanted` bytes. False: *data came to its end before. */
static bool parser_gather(struct frame_parser *parser, const uint8_t **data, size_t *bytes,
                          size_t wanted)
{
    assert(wanted <= parser->capacity);
    if (parser->bytes < wanted) {
        size_t missing = wanted - parser->bytes;
        size_t taken = *bytes < missing ? *bytes : missing;
        if (taken > 0) memcpy(parser->buffer + parser->bytes, *data, taken);
        parser->bytes += taken;
        *data += taken;
        *bytes -= taken;
    }
    return parser->bytes >= wanted;
}

/* The whole frame lies in *data, aligned: no copy. FRAME_MORE: it does not. */
static enum frame_parse_status parse_in_place(const uint8_t **data, size_t *bytes,
                                              size_t body_bytes_max,
                                              struct frame_header *ret_header,
                                              const uint8_t **ret_body)
{
    if ((uintptr_t)*data % FRAME_ALIGNMENT != 0 || *bytes < FRAME_HEADER_BYTES) return FRAME_MORE;
    enum frame_parse_status status = judge_header(*data, body_bytes_max, ret_header);
    if (status != FRAME_PARSED) return status;
    size_t total_bytes = frame_total_bytes(ret_header->body_bytes);
    if (*bytes < total_bytes) return FRAME_MORE;
    if (!is_body_whole(*data, ret_header)) return FRAME_BAD;
    *ret_body = *data + FRAME_HEADER_BYTES;
    *data += total_bytes;
    *bytes -= total_bytes;
    return FRAME_PARSED;
}

static enum frame_parse_status parse_gathered(struct frame_parser *parser, const uint8_t **data,
                                              size_t *bytes, size_t body_bytes_max,
                                              struct frame_header *ret_header,
                                              const uint8_t **ret_body)
{
    if (!parser_reserve(parser, FRAME_HEADER_BYTES)) return FRAME_NO_MEMORY;
    if (!parser_gather(parser, data, bytes, FRAME_HEADER_BYTES)) return FRAME_MORE;
    enum frame_parse_status status = judge_header(parser->buffer, body_bytes_max, ret_header);
    if (status != FRAME_PARSED) return status;
    size_t total_bytes = frame_total_bytes(ret_header->body_bytes);
    if (!parser_reserve(parser, total_bytes)) return FRAME_NO_MEMORY;
    if (!parser_gather(parser, data, bytes, total_bytes)) return FRAME_MORE;
    if (!is_body_whole(parser->buffer, ret_header)) return FRAME_BAD;
    parser->is_delivered = true;
    *ret_body = parser->buffer + FRAME_HEADER_BYTES;
    return FRAME_PARSED;
}

enum frame_parse_status frame_parser__next(struct frame_parser *parser, const uint8_t **data,
                                           size_t *bytes, size_t body_bytes_max,
                                           struct frame_header *ret_header,
                                           const uint8_t **ret_body)
{
    parser_start_over(parser);
    if (*bytes == 0) return FRAME_MORE;
    if (parser->bytes == 0) {
        enum frame_parse_status status =
            parse_in_place(data, bytes, body_bytes_max, ret_header, ret_body);
        if (status != FRAME_MORE) return status;
    }
    return parse_gathered(parser, data, bytes, body_bytes_max, ret_header, ret_body);
}

void frame_parser__close(struct frame_parser *parser)
{
    free(parser->buffer);
    *parser = (struct frame_parser){0};
}
