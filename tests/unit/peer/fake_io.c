#include "fake_io.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fake_io *fake_of(struct io *io)
{
    return (struct fake_io *)io;
}

/* ---- clock, randomness --------------------------------------------------------------------------------------- */

static uint64_t fake_now_us(struct io *io)
{
    return fake_of(io)->now_us;
}

static int64_t fake_wall_ms(struct io *io)
{
    return (int64_t)(fake_of(io)->now_us / 1000u) + 1700000000000;
}

static void fake_random(struct io *io, void *buffer, size_t bytes)
{
    uint8_t *at = buffer;
    for (size_t i = 0; i < bytes; i++) {
        uint64_t *state = &fake_of(io)->random_state;
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        at[i] = (uint8_t)(*state >> 56);
    }
}

/* ---- timers: io_private[0] deadline, [1] sequence, [2] active, [3] posted ------------------------------------------ */

static void list_remove(struct io_timer **list, size_t *count, const struct io_timer *timer)
{
    size_t at = 0;
    while (list[at] != timer) {
        at++;
        assert(at < *count);
    }
    --*count;
    memmove(&list[at], &list[at + 1], (*count - at) * sizeof(list[0]));
}

static void timer_unlink(struct fake_io *io, struct io_timer *timer)
{
    list_remove(io->timers, &io->timers_count, timer);
    timer->io_private[2] = 0;
}

static void post_unlink(struct fake_io *io, struct io_timer *timer)
{
    list_remove(io->posts, &io->posts_count, timer);
    timer->io_private[3] = 0;
}

static void fake_timer_stop(struct io *io, struct io_timer *timer)
{
    if (timer->io_private[2]) timer_unlink(fake_of(io), timer);
    if (timer->io_private[3]) post_unlink(fake_of(io), timer);
}

static void fake_timer_start(struct io *base, struct io_timer *timer, uint64_t delay_us)
{
    struct fake_io *io = fake_of(base);
    assert(timer->fire);
    if (timer->io_private[2]) timer_unlink(io, timer);
    assert(io->timers_count < FAKE_TIMERS_MAX);
    timer->io_private[0] = io->now_us + delay_us;
    timer->io_private[1] = io->timers_sequence++;
    timer->io_private[2] = 1;
    io->timers[io->timers_count++] = timer;
}

static struct io_timer *first_timer(const struct fake_io *io)
{
    struct io_timer *first = NULL;
    for (size_t i = 0; i < io->timers_count; i++) {
        struct io_timer *timer = io->timers[i];
        if (!first || timer->io_private[0] < first->io_private[0] ||
            (timer->io_private[0] == first->io_private[0] &&
             timer->io_private[1] < first->io_private[1])) {
            first = timer;
        }
    }
    return first;
}

static void fake_post(struct io *base, struct io_timer *timer)
{
    struct fake_io *io = fake_of(base);
    if (timer->io_private[3]) return;
    assert(io->posts_count < FAKE_TIMERS_MAX);
    timer->io_private[3] = 1;
    io->posts[io->posts_count++] = timer;
}

/* ---- listeners ------------------------------------------------------------------------------------------------- */

struct fake_listener {
    struct io_listener base;
    char address[IO_ADDRESS_MAX];
    io_accept_cb accept;
    struct fake_listener *next;
};

static struct fake_listener *find_listener(struct fake_io *io, const char *address)
{
    struct fake_listener *listener = (struct fake_listener *)io->listeners;
    while (listener && strcmp(listener->address, address) != 0) {
        listener = listener->next;
    }
    return listener;
}

static int fake_listen(struct io *base, const char *address, io_accept_cb accept, void *data,
                       struct io_listener **ret_listener)
{
    struct fake_io *io = fake_of(base);
    if (find_listener(io, address)) return -EADDRINUSE;
    struct fake_listener *listener = calloc(1, sizeof(*listener));
    assert(listener);
    listener->base.io = base;
    listener->base.data = data;
    listener->accept = accept;
    snprintf(listener->address, sizeof(listener->address), "%s", address);
    listener->next = (struct fake_listener *)io->listeners;
    io->listeners = &listener->base;
    *ret_listener = &listener->base;
    return 0;
}

static void fake_listener_close(struct io_listener *base)
{
    struct fake_io *io = fake_of(base->io);
    struct fake_listener **at = (struct fake_listener **)&io->listeners;
    while (&(*at)->base != base) {
        at = &(*at)->next;
    }
    struct fake_listener *listener = *at;
    *at = listener->next;
    free(listener);
}

/* ---- streams --------------------------------------------------------------------------------------------------- */

static struct fake_stream *stream_of(struct io_stream *base)
{
    return (struct fake_stream *)base;
}

static struct fake_stream *stream_create(struct fake_io *io, const char *address, void *data)
{
    struct fake_stream *stream = calloc(1, sizeof(*stream));
    assert(stream);
    stream->base.io = &io->base;
    stream->base.data = data;
    stream->io = io;
    stream->flip_at = UINT64_MAX;
    snprintf(stream->address, sizeof(stream->address), "%s", address);
    struct fake_stream **at = &io->streams;
    while (*at) {
        at = &(*at)->next;
    }
    *at = stream;
    return stream;
}

static struct io_stream *fake_connect(struct io *base, const char *address, io_connect_cb connected,
                                      void *data)
{
    struct fake_stream *stream = stream_create(fake_of(base), address, data);
    stream->connected = connected;
    stream->is_connecting = true;
    return &stream->base;
}

static void fake_stream_start(struct io_stream *base, const struct io_stream_callbacks *callbacks,
                              void *data)
{
    struct fake_stream *stream = stream_of(base);
    stream->callbacks = callbacks;
    stream->base.data = data;
    stream->is_started = true;
}

static void fake_stream_pause(struct io_stream *base, bool paused)
{
    (void)base;
    (void)paused;
    assert(false && "the hub does not pause");
}

static void queue_push(struct fake_stream *stream, const struct io_buffer *buffer)
{
    if (stream->queue_count == stream->queue_capacity) {
        stream->queue_capacity = stream->queue_capacity ? stream->queue_capacity * 2 : 16;
        stream->queue = realloc(stream->queue, stream->queue_capacity * sizeof(stream->queue[0]));
        assert(stream->queue);
    }
    struct io_buffer copy = *buffer;
    if (!copy.release) {
        void *data = malloc(buffer->bytes ? buffer->bytes : 1);
        assert(data);
        memcpy(data, buffer->data, buffer->bytes);
        copy = (struct io_buffer){
            .data = data, .bytes = buffer->bytes, .release = free, .owner = data};
    }
    stream->queue[stream->queue_count++] = copy;
    stream->queue_bytes += copy.bytes;
}

static void queue_drop(struct fake_stream *stream)
{
    while (stream->queue_count > 0) {
        struct io_buffer buffer = stream->queue[--stream->queue_count];
        buffer.release(buffer.owner);
    }
    stream->queue_bytes = 0;
    stream->queue_head_done = 0;
}

static void inbox_put(struct fake_stream *stream, const uint8_t *data, size_t bytes)
{
    size_t wanted = stream->inbox_bytes + bytes;
    if (wanted > stream->inbox_capacity) {
        stream->inbox_capacity = wanted * 2;
        stream->inbox = realloc(stream->inbox, stream->inbox_capacity);
        assert(stream->inbox);
    }
    memcpy(stream->inbox + stream->inbox_bytes, data, bytes);
    if (stream->flip_at >= stream->received_total &&
        stream->flip_at < stream->received_total + bytes) {
        stream->inbox[stream->inbox_bytes + (stream->flip_at - stream->received_total)] ^= 0x10u;
    }
    stream->inbox_bytes = wanted;
    stream->received_total += bytes;
}

/* The "kernel": moves what fits into the far end's inbox. Returns whether anything moved. */
static bool stream_pump(struct fake_stream *stream)
{
    struct fake_stream *other = stream->other;
    if (stream->is_connecting || stream->is_cut || stream->queue_count == 0) return false;
    if (!other || other->is_closed) {
        queue_drop(stream);
        return true;
    }
    bool moved = false;
    bool was_above = stream->queue_bytes > IO_WRITE_LOW_WATER_BYTES;
    while (stream->queue_count > 0 && other->inbox_bytes < stream->io->inbox_bytes_max) {
        struct io_buffer *head = &stream->queue[0];
        size_t room = stream->io->inbox_bytes_max - other->inbox_bytes;
        size_t left = head->bytes - stream->queue_head_done;
        size_t taken = left < room ? left : room;
        inbox_put(other, (const uint8_t *)head->data + stream->queue_head_done, taken);
        stream->queue_head_done += taken;
        stream->queue_bytes -= taken;
        moved = true;
        if (stream->queue_head_done < head->bytes) break;
        struct io_buffer done = *head;
        stream->queue_count--;
        memmove(stream->queue, stream->queue + 1, stream->queue_count * sizeof(done));
        stream->queue_head_done = 0;
        done.release(done.owner);
    }
    bool is_drained = was_above && stream->queue_bytes <= IO_WRITE_LOW_WATER_BYTES;
    if (is_drained && !stream->is_closed && stream->callbacks->drained) {
        stream->callbacks->drained(&stream->base);
    }
    return moved;
}

static void fake_stream_write(struct io_stream *base, const struct io_buffer *buffers, int count)
{
    struct fake_stream *stream = stream_of(base);
    assert(!stream->is_closed);
    stream->writes_count++;
    for (int i = 0; i < count; i++) {
        queue_push(stream, &buffers[i]);
    }
}

static size_t fake_stream_write_queue_bytes(const struct io_stream *base)
{
    return ((const struct fake_stream *)base)->queue_bytes;
}

static size_t fake_stream_unacknowledged_bytes(const struct io_stream *base)
{
    return ((const struct fake_stream *)base)->io->unacknowledged_bytes;
}

static void fake_stream_close(struct io_stream *base, bool linger)
{
    struct fake_stream *stream = stream_of(base);
    assert(!stream->is_closed);
    stream->is_closed = true;
    stream->is_lingering = linger && stream->queue_count > 0;
    if (!stream->is_lingering) queue_drop(stream);
}

static void fake_stream_peer_address(const struct io_stream *base, char *buffer, size_t bytes)
{
    snprintf(buffer, bytes, "%s", ((const struct fake_stream *)base)->address);
}

/* ---- turns -------------------------------------------------------------------------------------------------------- */

static bool stream_connect_step(struct fake_stream *stream)
{
    struct fake_io *io = stream->io;
    if (io->silent && strcmp(io->silent, stream->address) == 0) return false;
    stream->is_connecting = false;
    struct fake_listener *listener = find_listener(io, stream->address);
    if (!listener) {
        stream->connected(&stream->base, -ECONNREFUSED);
        return true;
    }
    struct fake_stream *far = stream_create(io, "accepted", NULL);
    far->other = stream;
    stream->other = far;
    listener->accept(&listener->base, &far->base);
    stream->connected(&stream->base, 0);
    return true;
}

static void stream_read_step(struct fake_stream *stream)
{
    struct fake_io *io = stream->io;
    size_t bytes =
        stream->inbox_bytes < io->read_bytes_max ? stream->inbox_bytes : io->read_bytes_max;
    /* A copy of its own for each read, so that a use after return is seen by the sanitizer. */
    uint8_t *memory = malloc(bytes + io->misalignment);
    assert(memory);
    uint8_t *lent = memory + io->misalignment;
    memcpy(lent, stream->inbox, bytes);
    stream->inbox_bytes -= bytes;
    memmove(stream->inbox, stream->inbox + bytes, stream->inbox_bytes);
    stream->callbacks->read(&stream->base, lent, (ssize_t)bytes);
    free(memory);
}

static bool stream_step(struct fake_stream *stream)
{
    if (stream->is_closed) {
        if (stream->is_lingering && stream_pump(stream)) return true;
        stream->is_lingering = false;
        return false;
    }
    if (stream->is_connecting) return stream_connect_step(stream);
    bool moved = stream_pump(stream);
    if (stream->is_closed || !stream->is_started || stream->is_cut) return moved;
    if (stream->inbox_bytes > 0) {
        stream_read_step(stream);
        return true;
    }
    if (stream->has_end && !stream->end_told) {
        stream->end_told = true;
        stream->callbacks->read(&stream->base, NULL, -EPIPE);
        return true;
    }
    return moved;
}

/* Streams whose owner is done with them: tell the far end, then the owner for the last time. */
static bool reap(struct fake_io *io)
{
    bool reaped = false;
    struct fake_stream **at = &io->streams;
    while (*at) {
        struct fake_stream *stream = *at;
        if (!stream->is_closed || stream->is_lingering) {
            at = &stream->next;
            continue;
        }
        reaped = true;
        *at = stream->next;
        if (stream->other) {
            if (!stream->is_cut) stream->other->has_end = true;
            stream->other->other = NULL;
        }
        queue_drop(stream);
        if (stream->is_started && stream->callbacks->closed) {
            stream->callbacks->closed(&stream->base);
        }
        free(stream->queue);
        free(stream->inbox);
        free(stream);
        at = &io->streams; /* closed() may have changed the list */
    }
    return reaped;
}

static bool run_posts(struct fake_io *io)
{
    bool ran = false;
    while (io->posts_count > 0) {
        struct io_timer *timer = io->posts[0];
        post_unlink(io, timer);
        timer->fire(timer);
        ran = true;
    }
    return ran;
}

bool fake_io_turn(struct fake_io *io)
{
    bool worked = false;
    io->turns_count++;
    /* Streams made in this turn wait for the next one; nothing is freed before reap(). */
    struct fake_stream *last = io->streams;
    while (last && last->next) {
        last = last->next;
    }
    for (struct fake_stream *stream = io->streams; stream; stream = stream->next) {
        worked = stream_step(stream) || worked;
        if (stream == last) break;
    }
    worked = run_posts(io) || worked;
    return reap(io) || worked;
}

void fake_io_run(struct fake_io *io, uint64_t duration_us)
{
    uint64_t end_us = io->now_us + duration_us;
    for (;;) {
        while (fake_io_turn(io)) {
        }
        struct io_timer *timer = first_timer(io);
        if (!timer || timer->io_private[0] > end_us) break;
        if (timer->io_private[0] > io->now_us) io->now_us = timer->io_private[0];
        timer_unlink(io, timer);
        timer->fire(timer);
    }
    io->now_us = end_us;
}

struct fake_stream *fake_io_dialed(struct fake_io *io, const char *address)
{
    struct fake_stream *found = NULL;
    for (struct fake_stream *stream = io->streams; stream; stream = stream->next) {
        if (!stream->is_closed && strcmp(stream->address, address) == 0) found = stream;
    }
    return found;
}

void fake_stream_cut(struct fake_stream *stream)
{
    stream->is_cut = true;
    if (stream->other) stream->other->is_cut = true;
}

static const struct io_vtable fake_vtable = {
    .now_us = fake_now_us,
    .wall_ms = fake_wall_ms,
    .random = fake_random,
    .timer_start = fake_timer_start,
    .timer_stop = fake_timer_stop,
    .post = fake_post,
    .listen = fake_listen,
    .listener_close = fake_listener_close,
    .connect = fake_connect,
    .stream_start = fake_stream_start,
    .stream_pause = fake_stream_pause,
    .stream_write = fake_stream_write,
    .stream_write_queue_bytes = fake_stream_write_queue_bytes,
    .stream_unacknowledged_bytes = fake_stream_unacknowledged_bytes,
    .stream_close = fake_stream_close,
    .stream_peer_address = fake_stream_peer_address,
};

void fake_io_init(struct fake_io *io)
{
    *io = (struct fake_io){
        .base = {.vtable = &fake_vtable},
        .now_us = 1000000,
        .random_state = 42,
        .read_bytes_max = 65536,
        .inbox_bytes_max = SIZE_MAX / 2,
    };
}

void fake_io_close(struct fake_io *io)
{
    while (fake_io_turn(io)) {
    }
    assert(!io->streams);
    assert(!io->listeners);
    assert(io->timers_count == 0);
    assert(io->posts_count == 0);
}
