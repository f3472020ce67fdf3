/* The write side of a stream.
 *
 * While nothing waits, bytes go to the kernel inside of io_stream_write(), without a copy, an allocation or another turn
 * of the loop. What the kernel does not take waits in a ring of buffers, of which up to 64 (or 1 MiB) are with libuv.
 *
 * release() may call back into the stream, so it is called only when ring and state are consistent again. */
#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "io_uv_private.h"

/* ---- the ring ------------------------------------------------------------------------------------------------- */

static struct io_uv_pending *item_at(const struct io_uv_write_queue *queue, uint32_t index)
{
    return &queue->items[(queue->head + index) & (queue->items_capacity - 1u)];
}

static bool queue_grow(struct io_uv_write_queue *queue)
{
    uint32_t capacity = queue->items_capacity ? queue->items_capacity * 2u : 16u;
    struct io_uv_pending *items = malloc(capacity * sizeof(*items));
    if (!items) return false;
    for (uint32_t i = 0; i < queue->items_count; i++) {
        items[i] = *item_at(queue, i);
    }
    free(queue->items);
    queue->items = items;
    queue->items_capacity = capacity;
    queue->head = 0;
    return true;
}

/* False: no memory, nothing changed. */
static bool queue_push(struct io_uv_write_queue *queue, const uint8_t *data, size_t bytes,
                       const struct io_buffer *buffer)
{
    if (queue->items_count == queue->items_capacity && !queue_grow(queue)) return false;
    struct io_uv_pending pending = {
        .data = data, .bytes = bytes, .release = buffer->release, .owner = buffer->owner};
    if (!buffer->release) {
        void *copy = malloc(bytes);
        if (!copy) return false;
        memcpy(copy, data, bytes);
        pending =
            (struct io_uv_pending){.data = copy, .bytes = bytes, .release = free, .owner = copy};
    }
    queue->items_count++;
    *item_at(queue, queue->items_count - 1u) = pending;
    queue->bytes += bytes;
    return true;
}

static struct io_uv_pending queue_pop(struct io_uv_write_queue *queue)
{
    assert(queue->items_count > 0);
    struct io_uv_pending pending = *item_at(queue, 0);
    queue->head = (queue->head + 1u) & (queue->items_capacity - 1u);
    queue->items_count--;
    queue->bytes -= pending.bytes;
    return pending;
}

/* Items that are with libuv stay; write_done() releases them. */
void io_uv__write_queue_release(struct io_uv_stream *stream)
{
    struct io_uv_write_queue *queue = &stream->queue;
    while (queue->items_count > queue->in_flight_count) {
        struct io_uv_pending pending = *item_at(queue, queue->items_count - 1u);
        queue->items_count--;
        queue->bytes -= pending.bytes;
        pending.release(pending.owner);
    }
    if (queue->items_count > 0) return;
    free(queue->items);
    queue->items = NULL;
    queue->items_capacity = queue->head = 0;
}

size_t io_uv__stream_write_queue_bytes(const struct io_stream *base)
{
    const struct io_uv_stream *stream = (const struct io_uv_stream *)base;
    const struct io_uv_write_queue *queue = &stream->queue;
    if (queue->in_flight_count == 0) return queue->bytes;
    size_t left = uv_stream_get_write_queue_size((const uv_stream_t *)&stream->tcp);
    assert(left <= queue->in_flight_bytes);
    return queue->bytes - (queue->in_flight_bytes - left);
}

size_t io_uv__stream_unacknowledged_bytes(const struct io_stream *base)
{
    const struct io_uv_stream *stream = (const struct io_uv_stream *)base;
    uv_os_fd_t fd;
    int bytes;
    if (uv_fileno((const uv_handle_t *)&stream->tcp, &fd) < 0) return 0;
    if (ioctl(fd, SIOCOUTQ, &bytes) < 0 || bytes < 0) return 0;
    return (size_t)bytes;
}

/* ---- through libuv ----------------------------------------------------------------------------------------- */

static void tell_drained(struct io_uv_stream *stream)
{
    struct io_uv_write_queue *queue = &stream->queue;
    if (!queue->is_high ||
        io_uv__stream_write_queue_bytes(&stream->base) > IO_WRITE_LOW_WATER_BYTES)
        return;
    queue->is_high = false;
    if (stream->callbacks && stream->callbacks->drained) stream->callbacks->drained(&stream->base);
}

static void write_done(uv_write_t *request, int status)
{
    struct io_uv_stream *stream = request->data;
    struct io_uv_write_queue *queue = &stream->queue;
    struct io_uv_pending done[IO_UV_WRITE_BUFFERS_MAX];
    uint32_t done_count = queue->in_flight_count;
    for (uint32_t i = 0; i < done_count; i++) {
        done[i] = queue_pop(queue);
    }
    queue->in_flight_count = 0;
    queue->in_flight_bytes = 0;
    if (stream->state != IO_UV_STREAM_CLOSED) {
        if (status < 0) {
            io_uv__stream_failed(stream, status);
        } else {
            io_uv__write_flush(stream);
        }
    }
    for (uint32_t i = 0; i < done_count; i++) {
        done[i].release(done[i].owner);
    }
    if (stream->state == IO_UV_STREAM_OPEN && stream->failure == 0) tell_drained(stream);
    if (stream->state == IO_UV_STREAM_FLUSHING && queue->items_count == 0)
        io_uv__stream_flushed(stream);
}

void io_uv__write_flush(struct io_uv_stream *stream)
{
    struct io_uv_write_queue *queue = &stream->queue;
    if (stream->state != IO_UV_STREAM_OPEN && stream->state != IO_UV_STREAM_FLUSHING) return;
    if (queue->in_flight_count > 0 || queue->items_count == 0 || stream->failure < 0) return;
    uv_buf_t vector[IO_UV_WRITE_BUFFERS_MAX];
    uint32_t count = 0;
    size_t bytes = 0;
    while (count < queue->items_count && count < IO_UV_WRITE_BUFFERS_MAX &&
           bytes < IO_UV_WRITE_BYTES_MAX) {
        const struct io_uv_pending *pending = item_at(queue, count);
        vector[count].base = (char *)(uintptr_t)pending->data;
        vector[count].len = pending->bytes;
        bytes += pending->bytes;
        count++;
    }
    stream->write_request.data = stream;
    int status =
        uv_write(&stream->write_request, (uv_stream_t *)&stream->tcp, vector, count, write_done);
    if (status < 0) {
        io_uv__stream_failed(stream, status);
        return;
    }
    queue->in_flight_count = count;
    queue->in_flight_bytes = bytes;
}

/* ---- at once --------------------------------------------------------------------------------------------------- */

/* How far into the caller's buffers the kernel has taken them. */
struct write_cursor {
    int index;
    size_t offset;
};

static void cursor_advance(struct write_cursor *cursor, const struct io_buffer *buffers, int count,
                           size_t bytes)
{
    while (cursor->index < count && bytes >= buffers[cursor->index].bytes - cursor->offset) {
        bytes -= buffers[cursor->index].bytes - cursor->offset;
        cursor->index++;
        cursor->offset = 0;
    }
    cursor->offset += bytes;
}

/* Give the kernel what it takes without waiting. 0 or a negative errno. */
static int write_now(struct io_uv_stream *stream, const struct io_buffer *buffers, int count,
                     struct write_cursor *cursor)
{
    while (cursor->index < count) {
        uv_buf_t vector[IO_UV_WRITE_BUFFERS_MAX];
        uint32_t vector_count = 0;
        size_t wanted = 0;
        size_t offset = cursor->offset;
        for (int i = cursor->index; i < count && vector_count < IO_UV_WRITE_BUFFERS_MAX; i++) {
            vector[vector_count].base = (char *)(uintptr_t)buffers[i].data + offset;
            vector[vector_count].len = buffers[i].bytes - offset;
            wanted += vector[vector_count].len;
            vector_count++;
            offset = 0;
        }
        int written =
            wanted == 0 ? 0 : uv_try_write((uv_stream_t *)&stream->tcp, vector, vector_count);
        if (written == UV_EAGAIN) return 0;
        if (written < 0) return written;
        cursor_advance(cursor, buffers, count, (size_t)written);
        if ((size_t)written < wanted) return 0;
    }
    return 0;
}

/* 0 or -ENOMEM. The cursor stands behind what was queued. */
static int write_later(struct io_uv_stream *stream, const struct io_buffer *buffers, int count,
                       struct write_cursor *cursor)
{
    while (cursor->index < count) {
        const struct io_buffer *buffer = &buffers[cursor->index];
        const uint8_t *data = (const uint8_t *)buffer->data + cursor->offset;
        if (!queue_push(&stream->queue, data, buffer->bytes - cursor->offset, buffer))
            return -ENOMEM;
        cursor->index++;
        cursor->offset = 0;
    }
    return 0;
}

static void release_range(const struct io_buffer *buffers, int begin, int end)
{
    for (int i = begin; i < end; i++) {
        if (buffers[i].release) buffers[i].release(buffers[i].owner);
    }
}

void io_uv__stream_write(struct io_stream *base, const struct io_buffer *buffers, int count)
{
    struct io_uv_stream *stream = (struct io_uv_stream *)base;
    bool is_writable =
        stream->state == IO_UV_STREAM_CONNECTING || stream->state == IO_UV_STREAM_OPEN;
    if (!is_writable || stream->failure < 0) {
        release_range(buffers, 0, count);
        return;
    }
    struct write_cursor cursor = {0};
    int status = 0;
    if (stream->state == IO_UV_STREAM_OPEN && stream->queue.items_count == 0) {
        status = write_now(stream, buffers, count, &cursor);
    }
    /* What is written is released here, what is queued by the ring, what neither took here again. */
    int queued_from = cursor.index;
    if (status == 0) status = write_later(stream, buffers, count, &cursor);
    int queued_to = cursor.index;
    if (status < 0) {
        io_uv__stream_failed(stream, status);
    } else {
        if (stream->queue.bytes > IO_WRITE_LOW_WATER_BYTES) stream->queue.is_high = true;
        io_uv__write_flush(stream);
    }
    release_range(buffers, 0, queued_from);
    release_range(buffers, queued_to, count);
}
