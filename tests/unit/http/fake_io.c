#include "fake_io.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct fake_write {
    struct fake_write *next;
    const uint8_t *data;
    size_t bytes;
    void (*release)(void *owner);
    void *owner;
    uint8_t copy[];
};

static struct fake_io *fake_of(struct io *io)
{
    return (struct fake_io *)io;
}

/* ---- clock, timers, posts ---------------------------------------------------------------------------------- */

static uint64_t now_us(struct io *io)
{
    return fake_of(io)->now_us;
}

static int64_t wall_ms(struct io *io)
{
    return fake_of(io)->wall_ms;
}

static void fill_random(struct io *io, void *buffer, size_t bytes)
{
    (void)io;
    memset(buffer, 0, bytes);
}

static void timer_stop(struct io *base, struct io_timer *timer)
{
    struct fake_io *io = fake_of(base);
    for (int i = 0; i < io->timers_count; i++) {
        if (io->timers[i].timer != timer) continue;
        io->timers[i] = io->timers[--io->timers_count];
        i--;
    }
    for (int i = 0; i < io->posts_count; i++) {
        if (io->posts[i] == timer) io->posts[i] = NULL;
    }
}

static void timer_start(struct io *base, struct io_timer *timer, uint64_t delay_us)
{
    struct fake_io *io = fake_of(base);
    for (int i = 0; i < io->timers_count; i++) {
        if (io->timers[i].timer == timer) io->timers[i] = io->timers[--io->timers_count];
    }
    assert(io->timers_count < 256);
    io->timers[io->timers_count].timer = timer;
    io->timers[io->timers_count++].deadline_us = io->now_us + delay_us;
}

static void post(struct io *base, struct io_timer *timer)
{
    struct fake_io *io = fake_of(base);
    for (int i = 0; i < io->posts_count; i++) {
        if (io->posts[i] == timer) return;
    }
    assert(io->posts_count < 256);
    io->posts[io->posts_count++] = timer;
}

static bool run_posts(struct fake_io *io)
{
    struct io_timer *posts[256];
    int count = io->posts_count;
    memcpy(posts, io->posts, sizeof posts);
    io->posts_count = 0;
    /* One at a time from the array of the fake, so that a stop reaches posts that are due. */
    memcpy(io->posts, posts, sizeof posts);
    io->posts_count = count;
    for (int i = 0; i < count; i++) {
        struct io_timer *timer = io->posts[i];
        io->posts[i] = NULL;
        if (timer) timer->fire(timer);
    }
    int left = io->posts_count - count;
    memmove(io->posts, io->posts + count, (size_t)left * sizeof io->posts[0]);
    io->posts_count = left;
    return count > 0;
}

/* ---- streams ------------------------------------------------------------------------------------------------ */

static void write_out(struct fake_stream *stream)
{
    while (stream->writes && stream->appetite > 0) {
        struct fake_write *write = stream->writes;
        size_t bytes = write->bytes < stream->appetite ? write->bytes : stream->appetite;
        stream->output = realloc(stream->output, stream->output_bytes + bytes + 1);
        memcpy(stream->output + stream->output_bytes, write->data, bytes);
        stream->output_bytes += bytes;
        stream->output[stream->output_bytes] = '\0';
        if (stream->appetite != SIZE_MAX) stream->appetite -= bytes;
        stream->writes_bytes -= bytes;
        write->data += bytes;
        write->bytes -= bytes;
        if (write->bytes > 0) break;
        stream->writes = write->next;
        if (!stream->writes) stream->writes_last = NULL;
        if (write->release) write->release(write->owner);
        free(write);
    }
}

static void stream_start(struct io_stream *base, const struct io_stream_callbacks *callbacks,
                         void *data)
{
    struct fake_stream *stream = (struct fake_stream *)base;
    stream->callbacks = callbacks;
    base->data = data;
}

static void stream_pause(struct io_stream *base, bool paused)
{
    struct fake_stream *stream = (struct fake_stream *)base;
    assert(!stream->closed);
    stream->paused = paused;
}

static void stream_write(struct io_stream *base, const struct io_buffer *buffers, int count)
{
    struct fake_stream *stream = (struct fake_stream *)base;
    for (int i = 0; i < count; i++) {
        const struct io_buffer *buffer = &buffers[i];
        assert(!stream->closed);
        assert(buffer->bytes > 0);
        size_t copied = buffer->release ? 0 : buffer->bytes;
        struct fake_write *write = malloc(sizeof *write + copied);
        memcpy(write->copy, copied ? buffer->data : "", copied);
        write->next = NULL;
        write->data = copied ? write->copy : buffer->data;
        write->bytes = buffer->bytes;
        write->release = buffer->release;
        write->owner = buffer->owner;
        if (buffer->release && buffer->release != free) {
            if (!stream->reference_first) stream->reference_first = buffer->data;
            stream->references_written++;
            stream->reference_bytes += buffer->bytes;
        }
        if (stream->writes_last) {
            stream->writes_last->next = write;
        } else {
            stream->writes = write;
        }
        stream->writes_last = write;
        stream->writes_bytes += buffer->bytes;
    }
    write_out(stream);
    if (stream->writes_bytes > IO_WRITE_LOW_WATER_BYTES) stream->was_high = true;
}

static size_t write_queue_bytes(const struct io_stream *base)
{
    return ((const struct fake_stream *)base)->writes_bytes;
}

static void drop_writes(struct fake_stream *stream)
{
    while (stream->writes) {
        struct fake_write *write = stream->writes;
        stream->writes = write->next;
        if (write->release) write->release(write->owner);
        free(write);
    }
    stream->writes_last = NULL;
    stream->writes_bytes = 0;
}

static void stream_close(struct io_stream *base, bool linger)
{
    struct fake_stream *stream = (struct fake_stream *)base;
    assert(!stream->closed);
    stream->closed = true;
    stream->linger = linger;
    if (linger) write_out(stream);
    drop_writes(stream);
}

static void peer_address(const struct io_stream *stream, char *buffer, size_t bytes)
{
    (void)stream;
    strncpy(buffer, "test:1", bytes);
}

/* One read, one drained or one closed callback. */
static bool run_stream(struct fake_io *io, struct fake_stream *stream)
{
    if (stream->closed) {
        if (stream->closed_told) return false;
        stream->closed_told = true;
        if (stream->callbacks && stream->callbacks->closed)
            stream->callbacks->closed(&stream->base);
        return true;
    }
    if (!stream->callbacks) return false;
    if (stream->was_high && stream->writes_bytes <= IO_WRITE_LOW_WATER_BYTES) {
        stream->was_high = false;
        stream->callbacks->drained(&stream->base);
        return true;
    }
    if (stream->paused) return false;
    if (stream->input_bytes > 0) {
        size_t most = io->read_bytes_max ? io->read_bytes_max : 65536;
        size_t bytes = stream->input_bytes < most ? stream->input_bytes : most;
        /* A read of exact size on the heap: the sanitizer sees every byte too many. */
        uint8_t *data = malloc(bytes);
        memcpy(data, stream->input, bytes);
        memmove(stream->input, stream->input + bytes, stream->input_bytes - bytes);
        stream->input_bytes -= bytes;
        stream->callbacks->read(&stream->base, data, (ssize_t)bytes);
        free(data);
        return true;
    }
    if (stream->input_ended && !stream->end_told) {
        stream->end_told = true;
        stream->callbacks->read(&stream->base, NULL, stream->end_error);
        return true;
    }
    return false;
}

void fake_io_run(struct fake_io *io)
{
    for (int turn = 0; turn < 1000000; turn++) {
        bool busy = false;
        for (struct fake_stream *stream = io->streams; stream; stream = stream->next) {
            busy |= run_stream(io, stream);
        }
        busy |= run_posts(io);
        if (!busy) return;
    }
    abort(); /* the loop never comes to rest */
}

void fake_io_advance(struct fake_io *io, uint64_t ms)
{
    uint64_t end_us = io->now_us + ms * 1000;
    while (io->now_us < end_us) {
        uint64_t step = end_us - io->now_us < 100000 ? end_us - io->now_us : 100000;
        io->now_us += step;
        io->wall_ms += (int64_t)(step / 1000);
        for (int i = 0; i < io->timers_count; i++) {
            if (io->timers[i].deadline_us > io->now_us) continue;
            struct io_timer *timer = io->timers[i].timer;
            io->timers[i] = io->timers[--io->timers_count];
            i = -1;
            timer->fire(timer);
        }
        fake_io_run(io);
    }
}

/* ---- the test's side ------------------------------------------------------------------------------------------ */

struct fake_stream *fake_io_connect(struct fake_io *io)
{
    struct fake_stream *stream = calloc(1, sizeof *stream);
    stream->base.io = &io->base;
    stream->appetite = SIZE_MAX;
    stream->output = calloc(1, 1);
    stream->next = io->streams;
    io->streams = stream;
    io->accept(io->listener, &stream->base);
    return stream;
}

void fake_stream_send(struct fake_stream *stream, const void *data, size_t bytes)
{
    stream->input = realloc(stream->input, stream->input_bytes + bytes + 1);
    memcpy(stream->input + stream->input_bytes, data, bytes);
    stream->input_bytes += bytes;
}

void fake_stream_end(struct fake_stream *stream, int error)
{
    stream->input_ended = true;
    stream->end_error = error;
}

void fake_stream_take(struct fake_stream *stream, size_t bytes)
{
    stream->appetite = bytes;
    write_out(stream);
}

static int io_listen_fake(struct io *base, const char *address, io_accept_cb accept, void *data,
                          struct io_listener **ret_listener)
{
    struct fake_io *io = fake_of(base);
    (void)address;
    if (io->listen_status != 0) return io->listen_status;
    io->listener = calloc(1, sizeof *io->listener);
    *io->listener = (struct io_listener){.io = base, .data = data, .port = 7070};
    io->accept = accept;
    *ret_listener = io->listener;
    return 0;
}

static void listener_close(struct io_listener *listener)
{
    fake_of(listener->io)->listener = NULL;
    free(listener);
}

static const struct io_vtable vtable = {
    .now_us = now_us,
    .wall_ms = wall_ms,
    .random = fill_random,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
    .post = post,
    .listen = io_listen_fake,
    .listener_close = listener_close,
    .stream_start = stream_start,
    .stream_pause = stream_pause,
    .stream_write = stream_write,
    .stream_write_queue_bytes = write_queue_bytes,
    .stream_close = stream_close,
    .stream_peer_address = peer_address,
};

void fake_io_init(struct fake_io *io)
{
    *io = (struct fake_io){.base.vtable = &vtable,
                           .now_us = 1000000,
                           .wall_ms = 1767225600000}; /* 2026-01-01T00:00:00Z */
}

void fake_io_close(struct fake_io *io)
{
    while (io->streams) {
        struct fake_stream *stream = io->streams;
        io->streams = stream->next;
        assert(stream->closed_told || !stream->callbacks);
        drop_writes(stream);
        free(stream->input);
        free(stream->output);
        free(stream);
    }
}
