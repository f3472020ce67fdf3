/* The 56 bytes in front of every body, and the parser that finds whole frames in a stream (docs/FORMATS.md, "Peer
 * frames"). */
#ifndef PEER_FRAME_H
#define PEER_FRAME_H

#include <broker/peer.h>

#define FRAME_HEADER_BYTES 56u
#define FRAME_ALIGNMENT    8u

struct frame_header {
    uint32_t body_bytes;
    uint16_t type;
    uint64_t group;
    struct cluster_id cluster;
    uint64_t body_hash;
};

/* Zero bytes behind the body: every frame starts at a multiple of 8 of the stream, so that a body which lies in an aligned
 * read buffer can be used where it is. */
static inline size_t frame_padding(size_t body_bytes)
{
    return (FRAME_ALIGNMENT - body_bytes % FRAME_ALIGNMENT) % FRAME_ALIGNMENT;
}

static inline size_t frame_total_bytes(size_t body_bytes)
{
    return FRAME_HEADER_BYTES + body_bytes + frame_padding(body_bytes);
}

void frame__encode_header(const struct frame_header *header, uint8_t *buffer);
/* False: no frame of ours, or damaged. */
bool frame__decode_header(const uint8_t *buffer, struct frame_header *ret_header);

uint64_t frame__hash_body(const struct iovec *parts, int parts_count);

/* ---- parser ------------------------------------------------------------------------------------------------ */

enum frame_parse_status {
    FRAME_PARSED,    /* a whole, checked frame */
    FRAME_MORE,      /* all bytes are taken, the next frame is not whole */
    FRAME_BAD,       /* damaged, or not a frame at all: nothing behind it can be trusted */
    FRAME_TOO_LARGE, /* its header is sound, but the body is above bytes_max */
    FRAME_NO_MEMORY,
};

/* Holds the beginning of a frame whose end has not arrived. All zero: fresh. */
struct frame_parser {
    uint8_t *buffer;
    size_t bytes;
    size_t capacity;
    bool is_delivered; /* the frame in the buffer was handed out: the next call starts over */
};

/* Take the next frame from *data, moving *data and *bytes on. The body is borrowed from *data or from the parser until the
 * next call; 8-byte aligned. */
enum frame_parse_status frame_parser__next(struct frame_parser *parser, const uint8_t **data,
                                           size_t *bytes, size_t body_bytes_max,
                                           struct frame_header *ret_header,
                                           const uint8_t **ret_body);
void frame_parser__close(struct frame_parser *parser);

#endif
