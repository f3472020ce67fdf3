/* Collects frames. Headers, padding and small parts are copied into chunks, one behind the other; parts of a large frame
 * that can be released stay where they are. A chunk belongs to its pieces: it lives until the stream has written the last of them,
 * which may be after the connection is gone. The open chunk is filled to its end over several turns, because a new one
 * per turn would let a slow receiver hold 16 KiB for every small frame that waits. */
#include "output.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 16384u
/* Up to here a copy is cheaper than one more element in writev() and a release. */
#define COPY_BYTES_MAX 1024u
#define PIECES_FIRST   64u

struct output_chunk {
    uint32_t references; /* of the output while it is open, and of each piece */
    size_t used;
    size_t capacity;
    uint8_t bytes[];
};

static void chunk_unref(void *owner)
{
    struct output_chunk *chunk = owner;
    assert(chunk->references > 0);
    if (--chunk->references == 0) free(chunk);
}

/* Parts of a frame are released in their order, none before all parts in front of it were copied or written: callers let
 * the last part own the memory of all. So an owned part is copied (and released at once) only when all of them are. */
static bool keeps_owned(const struct io_buffer *parts, int parts_count)
{
    for (int i = 0; i < parts_count; i++) {
        if (parts[i].release && parts[i].bytes > COPY_BYTES_MAX) return true;
    }
    return false;
}

static bool is_copied(const struct io_buffer *part, bool keeps)
{
    return !part->release || !keeps;
}

/* ---- room ---------------------------------------------------------------------------------------------------- */

static bool reserve_pieces(struct peer_output *output, uint32_t count)
{
    uint32_t wanted = output->pieces_count + count;
    if (wanted <= output->pieces_capacity) return true;
    uint32_t capacity = output->pieces_capacity ? output->pieces_capacity : PIECES_FIRST;
    while (capacity < wanted) {
        capacity *= 2;
    }
    struct io_buffer *pieces = realloc(output->pieces, capacity * sizeof(*pieces));
    if (!pieces) return false;
    output->pieces = pieces;
    output->pieces_capacity = capacity;
    return true;
}

/* Make the open chunk have `bytes` of room in one stretch. */
static bool reserve_chunk(struct peer_output *output, size_t bytes)
{
    struct output_chunk *chunk = output->chunk;
    if (chunk && chunk->references == 1) chunk->used = 0; /* every piece of it is written */
    if (chunk && chunk->capacity - chunk->used >= bytes) return true;
    size_t capacity = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    struct output_chunk *fresh = malloc(sizeof(*fresh) + capacity);
    if (!fresh) return false;
    *fresh = (struct output_chunk){.references = 1, .capacity = capacity};
    if (chunk) chunk_unref(chunk);
    output->chunk = fresh;
    return true;
}

/* ---- bytes --------------------------------------------------------------------------------------------------- */

/* Room was reserved. Goes on in the last piece when that ends where this begins. */
static uint8_t *take_room(struct peer_output *output, size_t bytes)
{
    struct output_chunk *chunk = output->chunk;
    uint8_t *room = chunk->bytes + chunk->used;
    assert(chunk->capacity - chunk->used >= bytes);
    chunk->used += bytes;
    output->bytes += bytes;
    struct io_buffer *last =
        output->pieces_count > 0 ? &output->pieces[output->pieces_count - 1] : NULL;
    if (last && last->owner == chunk && (const uint8_t *)last->data + last->bytes == room) {
        last->bytes += bytes;
        return room;
    }
    assert(output->pieces_count < output->pieces_capacity);
    chunk->references++;
    output->pieces[output->pieces_count++] =
        (struct io_buffer){.data = room, .bytes = bytes, .release = chunk_unref, .owner = chunk};
    return room;
}

static void append_part(struct peer_output *output, const struct io_buffer *part, bool keeps)
{
    if (!is_copied(part, keeps)) {
        assert(output->pieces_count < output->pieces_capacity);
        output->pieces[output->pieces_count++] = *part;
        output->bytes += part->bytes;
        return;
    }
    if (part->bytes > 0) memcpy(take_room(output, part->bytes), part->data, part->bytes);
}

bool output__append(struct peer_output *output, const struct frame_header *header,
                    const struct io_buffer *parts, int parts_count)
{
    bool keeps = keeps_owned(parts, parts_count);
    size_t padding = frame_padding(header->body_bytes);
    size_t copied = FRAME_HEADER_BYTES + padding;
    for (int i = 0; i < parts_count; i++) {
        if (is_copied(&parts[i], keeps)) copied += parts[i].bytes;
    }
    /* At worst a piece for each part, one between any two, one for the header. */
    if (!reserve_pieces(output, 2u * (uint32_t)parts_count + 2u)) return false;
    if (!reserve_chunk(output, copied)) return false;

    frame__encode_header(header, take_room(output, FRAME_HEADER_BYTES));
    for (int i = 0; i < parts_count; i++) {
        append_part(output, &parts[i], keeps);
    }
    if (padding > 0) memset(take_room(output, padding), 0, padding);
    /* The frame is complete: only now may foreign code run, which might append the next one. */
    for (int i = 0; !keeps && i < parts_count; i++) {
        if (parts[i].release) parts[i].release(parts[i].owner);
    }
    return true;
}

size_t output__flush(struct peer_output *output, struct io_stream *stream)
{
    struct io_buffer *pieces = output->pieces;
    uint32_t pieces_capacity = output->pieces_capacity;
    uint32_t pieces_count = output->pieces_count;
    size_t bytes = output->bytes;
    if (pieces_count == 0) return 0;

    /* release functions run inside of the write and may append: they get the other array. */
    output->pieces = output->spare;
    output->pieces_capacity = output->spare_capacity;
    output->spare = NULL;
    output->spare_capacity = 0;
    output->pieces_count = 0;
    output->bytes = 0;
    if (output->chunk && output->chunk->capacity > CHUNK_BYTES) { /* made for one large copy */
        chunk_unref(output->chunk);
        output->chunk = NULL;
    }
    io_stream_write(stream, pieces, (int)pieces_count);
    output->spare = pieces;
    output->spare_capacity = pieces_capacity;
    return bytes;
}

void output__close(struct peer_output *output)
{
    struct io_buffer *pieces = output->pieces;
    uint32_t pieces_count = output->pieces_count;
    struct output_chunk *chunk = output->chunk;
    struct io_buffer *spare = output->spare;
    *output = (struct peer_output){0};
    for (uint32_t i = 0; i < pieces_count; i++) {
        if (pieces[i].release) pieces[i].release(pieces[i].owner);
    }
    if (chunk) chunk_unref(chunk);
    free(pieces);
    free(spare);
}
