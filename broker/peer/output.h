/* What one connection has to say in this turn of the loop: frames collected into one write. */
#ifndef PEER_OUTPUT_H
#define PEER_OUTPUT_H

#include "frame.h"

struct output_chunk;

/* All zero: empty. */
struct peer_output {
    struct io_buffer *pieces; /* in order; released by the stream */
    struct io_buffer *spare;  /* the array that the last flush used */
    uint32_t pieces_count;
    uint32_t pieces_capacity;
    uint32_t spare_capacity;
    struct output_chunk *chunk; /* takes small parts; partly with the stream already */
    size_t bytes;               /* of pieces */
};

/* Append a frame. False: no memory, nothing was appended; `parts` are untouched then. Otherwise each part with a release
 * function is released, in their order, now (all are small: they were copied) or when the stream has written them. */
bool output__append(struct peer_output *output, const struct frame_header *header,
                    const struct io_buffer *parts, int parts_count);

/* Hand everything to the stream as one write. Returns the bytes. */
size_t output__flush(struct peer_output *output, struct io_stream *stream);

/* Release what was not flushed. */
void output__close(struct peer_output *output);

#endif
