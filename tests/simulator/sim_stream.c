/* The process's side of a stream: what the owner sees of it. The kernel's side is in sim_network.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim_private.h"

#define LINGER_US         5000000u
#define LINGER_PEER_US    1000000u
#define PUMP_DELAY_US     100u
#define CLOSED_DELAY_US   20u
#define LATER_WRITE_IN    4u      /* one write in so many finds the kernel's buffer busy */
#define RESET_US_MAX      300000u /* after a power cut the machine is back, and knows nothing ... */
#define SLOW_RESET_IN     6u      /* ... or, one time in so many, ... */
#define SLOW_RESET_US_MAX 10000000u /* ... it stays away, and the other kernel gives up */
#define SHORT_READ_IN     4u
#define ONE_BYTE_READ_IN  16u

struct sim_stream *sim__stream_create(struct sim_io *io, enum sim_stream_state state)
{
    struct sim_stream *stream = sim__allocate(sizeof(*stream));
    stream->base.io = &io->base;
    stream->state = state;
    stream->next = io->streams;
    stream->previous = &io->streams;
    if (stream->next) stream->next->previous = &stream->next;
    io->streams = stream;
    return stream;
}

static struct sim_io *stream_io(const struct sim_stream *stream)
{
    return sim_io_of(stream->base.io);
}

static struct sim_event *add_event(struct sim_stream *stream, enum sim_event_kind kind,
                                   uint64_t delay_us)
{
    struct sim_event *event = sim__event_add(stream_io(stream)->sim, kind, delay_us);
    event->io = stream_io(stream);
    event->stream = stream;
    return event;
}

static void cancel_event(struct sim_stream *stream, struct sim_event **event)
{
    if (*event) sim__event_cancel(stream_io(stream)->sim, *event);
    *event = NULL;
}

static bool is_reset(const struct sim_stream *stream)
{
    return stream->connection && stream->connection->is_reset[stream->side];
}

/* ---- the write queue ------------------------------------------------------------------------------------------- */

static void queue_push(struct sim_stream *stream, const struct io_buffer *buffer)
{
    struct sim_buffer *item = sim__allocate_raw(sizeof(*item));
    *item = (struct sim_buffer){.data = buffer->data,
                                .bytes = buffer->bytes,
                                .release = buffer->release,
                                .owner = buffer->owner};
    if (!item->release) {
        void *copy = sim__allocate_raw(buffer->bytes);
        if (buffer->bytes > 0) memcpy(copy, buffer->data, buffer->bytes);
        item->data = item->owner = copy;
        item->release = free;
    }
    if (stream->queue_tail) {
        stream->queue_tail->next = item;
    } else {
        stream->queue_head = item;
    }
    stream->queue_tail = item;
    stream->queue_bytes += item->bytes;
}

static void release_list(struct sim_buffer *list)
{
    while (list) {
        struct sim_buffer *item = list;
        list = item->next;
        item->release(item->owner);
        free(item);
    }
}

static void queue_release(struct sim_stream *stream)
{
    struct sim_buffer *list = stream->queue_head;
    stream->queue_head = stream->queue_tail = NULL;
    stream->queue_bytes = 0;
    release_list(list);
}

/* Give the kernel what it takes. Returns the buffers that are written, to be released by the caller when everything
 * else is in order, since release() may call back. */
static struct sim_buffer *queue_take(struct sim_stream *stream)
{
    struct sim_buffer *done = NULL;
    struct sim_buffer **done_tail = &done;
    while (stream->queue_head) {
        struct sim_buffer *item = stream->queue_head;
        size_t taken = sim__pipe_write(stream_io(stream)->sim, stream->connection, stream->side,
                                       item->data, item->bytes);
        item->data += taken;
        item->bytes -= taken;
        stream->queue_bytes -= taken;
        if (item->bytes > 0) break;
        stream->queue_head = item->next;
        if (!stream->queue_head) stream->queue_tail = NULL;
        item->next = NULL;
        *done_tail = item;
        done_tail = &item->next;
    }
    return done;
}

/* ---- leaving ------------------------------------------------------------------------------------------------------- */

static void cancel_events(struct sim_stream *stream)
{
    cancel_event(stream, &stream->connected_event);
    cancel_event(stream, &stream->read_event);
    cancel_event(stream, &stream->pump_event);
    cancel_event(stream, &stream->failure_event);
    cancel_event(stream, &stream->linger_event);
}

static void leave_connection(struct sim_stream *stream, bool is_discarding)
{
    struct sim_connection *connection = stream->connection;
    if (!connection) return;
    stream->connection = NULL;
    sim__connection_leave(stream_io(stream)->sim, connection, stream->side, is_discarding);
    sim__connection_unref(stream_io(stream)->sim, connection);
}

static void finish(struct sim_stream *stream, bool is_discarding, uint64_t delay_us)
{
    assert(stream->state != SIM_STREAM_CLOSED);
    stream->state = SIM_STREAM_CLOSED;
    cancel_events(stream);
    leave_connection(stream, is_discarding);
    add_event(stream, SIM_EVENT_CLOSED, delay_us);
}

static void finish_flushed(struct sim_stream *stream)
{
    finish(stream, true, sim_draw(stream_io(stream)->sim, LINGER_PEER_US));
}

static void unlink_and_free(struct sim_stream *stream)
{
    *stream->previous = stream->next;
    if (stream->next) stream->next->previous = stream->previous;
    free(stream);
}

static void tell_closed(struct sim_stream *stream)
{
    queue_release(stream);
    if (stream->callbacks && stream->callbacks->closed) stream->callbacks->closed(&stream->base);
    unlink_and_free(stream);
}

void sim__streams_crash(struct sim_io *io, enum sim_crash mode)
{
    struct sim *sim = io->sim;
    for (struct sim_stream *stream = io->streams; stream; stream = stream->next) {
        struct sim_connection *connection = stream->connection;
        if (!connection) continue;
        switch (mode) {
        case SIM_CRASH_KILL: /* the kernel closes the socket */
            leave_connection(stream, false);
            break;
        case SIM_CRASH_POWER: /* nobody answers until the machine is back and knows nothing of it */
            connection->ends[stream->side] = NULL;
            stream->connection = NULL;
            sim__connection_reset(sim, connection, 1u - stream->side,
                                  sim__draw_between(sim, 1000,
                                                    sim_draw(sim, SLOW_RESET_IN) == 0
                                                        ? SLOW_RESET_US_MAX
                                                        : RESET_US_MAX));
            sim__connection_unref(sim, connection);
            break;
        }
    }
}

void sim__streams_free(struct sim_io *io)
{
    while (io->streams) {
        struct sim_stream *stream = io->streams;
        bool was_closed =
            stream->state == SIM_STREAM_FLUSHING || stream->state == SIM_STREAM_CLOSED;
        if (was_closed) {
            tell_closed(stream);
        } else {
            queue_release(stream);
            unlink_and_free(stream);
        }
    }
}

/* ---- calls of the owner --------------------------------------------------------------------------------------------- */

void sim__stream_wake_reader(struct sim_stream *stream, uint64_t delay_us)
{
    if (stream->read_event || stream->state != SIM_STREAM_OPEN || !stream->callbacks) return;
    if (stream->is_paused || stream->has_ended || stream->failure < 0) return;
    const struct sim_pipe *pipe = &stream->connection->pipes[1u - stream->side];
    bool is_at_end = pipe->has_fin && pipe->in_flight_bytes == 0;
    if (pipe->arrived_bytes == 0 && !is_at_end && !is_reset(stream)) return;
    stream->read_event = add_event(stream, SIM_EVENT_READ, delay_us);
}

void sim__stream_wake_writer(struct sim_stream *stream, uint64_t delay_us)
{
    if (stream->pump_event || !stream->queue_head) return;
    if (stream->state != SIM_STREAM_OPEN && stream->state != SIM_STREAM_FLUSHING) return;
    stream->pump_event = add_event(stream, SIM_EVENT_PUMP, delay_us);
}

void sim__stream_start(struct io_stream *base, const struct io_stream_callbacks *callbacks,
                       void *data)
{
    struct sim_stream *stream = (struct sim_stream *)base;
    assert(callbacks->read);
    assert(!stream->callbacks);
    base->data = data;
    stream->callbacks = callbacks;
    if (stream_io(stream)->is_dead) return;
    assert(!stream_io(stream)->is_in_job);
    if (stream->state == SIM_STREAM_OPEN && stream->failure < 0 && !stream->failure_event) {
        stream->failure_event = add_event(stream, SIM_EVENT_FAILURE, 0);
    }
    sim__stream_wake_reader(stream, 0);
}

void sim__stream_pause(struct io_stream *base, bool paused)
{
    struct sim_stream *stream = (struct sim_stream *)base;
    if (stream_io(stream)->is_dead) return;
    assert(!stream_io(stream)->is_in_job);
    stream->is_paused = paused;
    if (paused) {
        cancel_event(stream, &stream->read_event);
    } else if (stream->state == SIM_STREAM_OPEN) {
        sim__stream_wake_reader(stream, 0);
    }
}

static void fail(struct sim_stream *stream, int error)
{
    if (stream->failure < 0) return;
    stream->failure = error;
    cancel_event(stream, &stream->read_event);
    stream->failure_event = add_event(stream, SIM_EVENT_FAILURE, 0);
}

static void release_buffers(const struct io_buffer *buffers, int count)
{
    for (int i = 0; i < count; i++) {
        if (buffers[i].release) buffers[i].release(buffers[i].owner);
    }
}

void sim__stream_write(struct io_stream *base, const struct io_buffer *buffers, int count)
{
    struct sim_stream *stream = (struct sim_stream *)base;
    struct sim_io *io = stream_io(stream);
    bool is_writable = stream->state == SIM_STREAM_CONNECTING || stream->state == SIM_STREAM_OPEN;
    if (io->is_dead || !is_writable || stream->failure < 0) {
        release_buffers(buffers, count);
        return;
    }
    assert(!io->is_in_job);
    if (is_reset(stream)) {
        fail(stream, -EPIPE);
        release_buffers(buffers, count);
        return;
    }
    bool is_first = !stream->queue_head;
    for (int i = 0; i < count; i++) {
        queue_push(stream, &buffers[i]);
    }
    struct sim_buffer *done = NULL;
    if (stream->state == SIM_STREAM_OPEN && is_first) {
        if (sim_draw(io->sim, LATER_WRITE_IN) == 0) {
            sim__stream_wake_writer(stream, sim_draw(io->sim, PUMP_DELAY_US));
        } else {
            done = queue_take(stream);
        }
    }
    if (stream->queue_bytes > IO_WRITE_LOW_WATER_BYTES) stream->is_high = true;
    release_list(done);
}

size_t sim__stream_write_queue_bytes(const struct io_stream *base)
{
    return ((const struct sim_stream *)base)->queue_bytes;
}

size_t sim__stream_unacknowledged_bytes(const struct io_stream *base)
{
    const struct sim_stream *stream = (const struct sim_stream *)base;
    if (!stream->connection || stream->state == SIM_STREAM_CONNECTING) return 0;
    return stream->connection->pipes[stream->side].unacknowledged_bytes;
}

void sim__stream_close(struct io_stream *base, bool linger)
{
    struct sim_stream *stream = (struct sim_stream *)base;
    struct sim_io *io = stream_io(stream);
    assert(stream->state == SIM_STREAM_CONNECTING || stream->state == SIM_STREAM_OPEN); /* once */
    if (io->is_dead) {
        stream->state = SIM_STREAM_CLOSED; /* closed() comes when its io goes */
        queue_release(stream);
        return;
    }
    assert(!io->is_in_job);
    if (!linger || stream->state == SIM_STREAM_CONNECTING || stream->failure < 0 ||
        is_reset(stream)) {
        finish(stream, false, sim_draw(io->sim, CLOSED_DELAY_US));
        return;
    }
    stream->state = SIM_STREAM_FLUSHING;
    cancel_event(stream, &stream->read_event);
    if (!stream->queue_head) {
        finish_flushed(stream);
    } else {
        stream->linger_event = add_event(stream, SIM_EVENT_LINGER, LINGER_US);
    }
}

/* ---- events -------------------------------------------------------------------------------------------------------- */

static void on_connected(struct sim_stream *stream, int status)
{
    sim__trace(stream_io(stream)->sim, "connected", stream_io(stream)->node,
               stream->connection ? stream->connection->id : 0, (uint64_t)-status, 0);
    struct sim_buffer *done = NULL;
    if (status < 0) {
        stream->failure = status;
        done = stream->queue_head;
        stream->queue_head = stream->queue_tail = NULL;
        stream->queue_bytes = 0;
    } else {
        stream->state = SIM_STREAM_OPEN;
        done = queue_take(stream);
        sim__stream_wake_reader(stream, 0);
    }
    release_list(done);
    if (stream->state != SIM_STREAM_CLOSED && !stream_io(stream)->is_dead) {
        stream->connected(&stream->base, status);
    }
}

static void tell_end(struct sim_stream *stream, int error)
{
    sim__trace(stream_io(stream)->sim, "end", stream_io(stream)->node, stream->connection->id,
               (uint64_t)-error, 0);
    stream->has_ended = true;
    stream->callbacks->read(&stream->base, NULL, error);
}

/* The whole of it, a part, or one byte: a stream has no message boundaries. */
static size_t draw_read_bytes(struct sim *sim, size_t arrived)
{
    if (sim_draw(sim, ONE_BYTE_READ_IN) == 0) return 1;
    if (sim_draw(sim, SHORT_READ_IN) == 0) return 1u + sim_draw(sim, arrived);
    return arrived;
}

static void on_read(struct sim_stream *stream)
{
    struct sim_io *io = stream_io(stream);
    struct sim_connection *connection = stream->connection;
    const struct sim_pipe *pipe = &connection->pipes[1u - stream->side];
    if (is_reset(stream)) {
        queue_release(stream);
        if (stream->state == SIM_STREAM_OPEN && !io->is_dead) tell_end(stream, -ECONNRESET);
        return;
    }
    if (pipe->arrived_bytes == 0) {
        if (pipe->has_fin && pipe->in_flight_bytes == 0) tell_end(stream, -EPIPE);
        return;
    }
    size_t bytes = draw_read_bytes(io->sim, pipe->arrived_bytes);
    /* A block of its own, so that a reader that keeps the pointer or reads past it is found by ASan. */
    uint8_t *data = sim__allocate_raw(bytes);
    bytes = sim__pipe_read(io->sim, connection, stream->side, data, bytes);
    sim__stream_wake_reader(stream, 0); /* for what is left; goes if the owner pauses or closes */
    sim__trace(io->sim, "read", io->node, connection->id, bytes, checksum64(data, bytes));
    stream->callbacks->read(&stream->base, data, (ssize_t)bytes);
    free(data);
}

static void on_pump(struct sim_stream *stream)
{
    struct sim_io *io = stream_io(stream);
    if (is_reset(stream)) {
        if (stream->state == SIM_STREAM_FLUSHING) {
            finish(stream, false, 0);
        } else {
            fail(stream, -EPIPE);
        }
        return;
    }
    sim__trace(io->sim, "pump", io->node, stream->connection->id, stream->queue_bytes, 0);
    release_list(queue_take(stream));
    if (io->is_dead) return;
    if (stream->state == SIM_STREAM_FLUSHING && !stream->queue_head) {
        finish_flushed(stream);
    } else if (stream->state == SIM_STREAM_OPEN && stream->is_high &&
               stream->queue_bytes <= IO_WRITE_LOW_WATER_BYTES) {
        stream->is_high = false;
        if (stream->callbacks && stream->callbacks->drained)
            stream->callbacks->drained(&stream->base);
    }
}

static void on_failure(struct sim_stream *stream)
{
    queue_release(stream);
    if (stream->state != SIM_STREAM_OPEN || stream_io(stream)->is_dead) return;
    if (stream->callbacks && !stream->has_ended) tell_end(stream, stream->failure);
}

void sim__stream_event(struct sim_io *io, struct sim_event *event)
{
    struct sim_stream *stream = event->stream;
    assert(stream_io(stream) == io);
    switch (event->kind) {
    case SIM_EVENT_CONNECTED:
        stream->connected_event = NULL;
        on_connected(stream, event->status);
        break;
    case SIM_EVENT_READ:
        stream->read_event = NULL;
        on_read(stream);
        break;
    case SIM_EVENT_PUMP:
        stream->pump_event = NULL;
        on_pump(stream);
        break;
    case SIM_EVENT_FAILURE:
        stream->failure_event = NULL;
        on_failure(stream);
        break;
    case SIM_EVENT_LINGER:
        stream->linger_event = NULL;
        finish(stream, false, 0);
        break;
    case SIM_EVENT_CLOSED:
        sim__trace(io->sim, "closed", io->node, 0, 0, 0);
        tell_closed(stream);
        break;
    case SIM_EVENT_NONE:
    case SIM_EVENT_TIMER:
    case SIM_EVENT_POSTS:
    case SIM_EVENT_JOB_RUN:
    case SIM_EVENT_JOB_DONE:
    case SIM_EVENT_CALL:
    case SIM_EVENT_SYN:
    case SIM_EVENT_SYN_ANSWER:
    case SIM_EVENT_ARRIVE:
    case SIM_EVENT_FIN:
    case SIM_EVENT_RESET:
    case SIM_EVENT_TIMEOUT:
        assert(false);
        break;
    }
}
