/* Streams: connecting, reading, closing.
 *
 *              connected, accepted            close(linger)            all written            peer's end, 1 s
 *   CONNECTING ───────────────────► OPEN ───────────────────► FLUSHING ───────────► DRAINING ───────────────► CLOSED
 *        └────────── close ──────────┴───────── close ─────────────┴─ 5 s, error ──────┴──── 5 s ──────────────►
 *
 * The struct is freed in libuv's close callback, a later phase of the turn than any callback of the owner; so the owner
 * may close a stream inside of any callback, and code here may look at the state after each one. */
#include <errno.h>
#include <stdio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <string.h>
#include <unistd.h>

#include "io_uv_private.h"

static void event_fired(struct io_timer *timer);
static void linger_over(struct io_timer *timer);

static struct io_uv *loop_of(const struct io_uv_stream *stream)
{
    return io_uv_of(stream->base.io);
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static void stream_init(struct io_uv *io, struct io_uv_stream *stream,
                        enum io_uv_stream_state state)
{
    stream->base.io = &io->base;
    stream->state = state;
    stream->event = (struct io_timer){.fire = event_fired, .data = stream};
    stream->linger = (struct io_timer){.fire = linger_over, .data = stream};
    uv_tcp_init(&io->loop, &stream->tcp); /* makes no socket yet: cannot fail */
    stream->tcp.data = stream;
    stream->next = io->streams;
    stream->previous = &io->streams;
    if (stream->next) stream->next->previous = &stream->next;
    io->streams = stream;
}

static void handle_closed(uv_handle_t *handle)
{
    struct io_uv_stream *stream = handle->data;
    assert(stream->state == IO_UV_STREAM_CLOSED);
    io_uv__write_queue_release(stream);
    const struct io_stream_callbacks *callbacks = stream->callbacks;
    if (callbacks && callbacks->closed && !stream->is_abandoned) callbacks->closed(&stream->base);
    *stream->previous = stream->next;
    if (stream->next) stream->next->previous = stream->previous;
    free(stream);
}

static void close_now(struct io_uv_stream *stream)
{
    assert(stream->state != IO_UV_STREAM_CLOSED);
    stream->state = IO_UV_STREAM_CLOSED;
    io_uv__timer_stop(stream->base.io, &stream->event);
    io_uv__timer_stop(stream->base.io, &stream->linger);
    if (stream->lookup) stream->lookup->stream = NULL;
    stream->lookup = NULL;
    free(stream->addresses);
    stream->addresses = NULL;
    /* Closing already: an address failed, and attempt_closed() will see the state. */
    if (!uv_is_closing((uv_handle_t *)&stream->tcp)) {
        uv_close((uv_handle_t *)&stream->tcp, handle_closed);
    }
}

void io_uv__stream_abandon(struct io_uv_stream *stream)
{
    /* FLUSHING and beyond: the owner has closed it and waits for closed(). */
    if (stream->state == IO_UV_STREAM_CONNECTING || stream->state == IO_UV_STREAM_OPEN) {
        stream->is_abandoned = true;
    }
    if (stream->state != IO_UV_STREAM_CLOSED) close_now(stream);
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static void lend_read_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    struct io_uv_stream *stream = handle->data;
    buffer->base = (char *)loop_of(stream)->read_buffer;
    buffer->len = IO_UV_READ_BUFFER_BYTES;
}

static void bytes_arrived(uv_stream_t *handle, ssize_t bytes, const uv_buf_t *buffer)
{
    struct io_uv_stream *stream = handle->data;
    if (bytes == 0) return; /* libuv's EAGAIN */
    if (stream->state == IO_UV_STREAM_DRAINING) {
        if (bytes < 0) close_now(stream);
        return;
    }
    assert(stream->state == IO_UV_STREAM_OPEN); /* reading stops with it */
    if (bytes > 0) {
        stream->callbacks->read(&stream->base, (const uint8_t *)buffer->base, bytes);
        return;
    }
    stream->is_reading = false;
    stream->has_ended = true;
    uv_read_stop(handle);
    stream->callbacks->read(&stream->base, NULL, bytes == UV_EOF ? -EPIPE : bytes);
}

static void update_reading(struct io_uv_stream *stream)
{
    bool wants = stream->state == IO_UV_STREAM_OPEN && stream->callbacks && !stream->is_paused &&
                 !stream->has_ended && stream->failure == 0;
    if (wants == stream->is_reading) return;
    stream->is_reading = wants;
    if (!wants) {
        uv_read_stop((uv_stream_t *)&stream->tcp);
        return;
    }
    int status = uv_read_start((uv_stream_t *)&stream->tcp, lend_read_buffer, bytes_arrived);
    assert(status == 0); /* fails only on a handle that is closing or not connected */
    (void)status;
}

void io_uv__stream_start(struct io_stream *base, const struct io_stream_callbacks *callbacks,
                         void *data)
{
    struct io_uv_stream *stream = (struct io_uv_stream *)base;
    assert(callbacks->read);
    assert(!stream->callbacks);
    base->data = data;
    stream->callbacks = callbacks;
    if (stream->state != IO_UV_STREAM_OPEN) return; /* reads once connected */
    if (stream->failure < 0) {
        io_uv__post(base->io, &stream->event);
    } else {
        update_reading(stream);
    }
}

void io_uv__stream_pause(struct io_stream *base, bool paused)
{
    struct io_uv_stream *stream = (struct io_uv_stream *)base;
    stream->is_paused = paused;
    if (stream->state == IO_UV_STREAM_OPEN) update_reading(stream);
}

void io_uv__stream_failed(struct io_uv_stream *stream, int error)
{
    assert(error < 0);
    if (stream->failure < 0) return;
    if (stream->state == IO_UV_STREAM_FLUSHING) {
        close_now(stream); /* nothing more can be written */
        return;
    }
    stream->failure = error;
    /* Not released here, since a writer may be on the stack: by `event`. */
    io_uv__post(stream->base.io, &stream->event);
    if (stream->state == IO_UV_STREAM_OPEN) update_reading(stream);
}

/* ---- connecting -------------------------------------------------------------------------------------------- */

static void attempt(struct io_uv_stream *stream);

static void attempt_closed(uv_handle_t *handle)
{
    struct io_uv_stream *stream = handle->data;
    if (stream->state == IO_UV_STREAM_CLOSED) { /* by its owner meanwhile */
        handle_closed(handle);
        return;
    }
    uv_tcp_init(&loop_of(stream)->loop, &stream->tcp);
    stream->tcp.data = stream;
    attempt(stream);
}

/* A name may have an address nobody listens on (localhost is ::1 and 127.0.0.1): try them all, in order. When all fail
 * the first reason is told: the last may be no more than an ::1 that this machine cannot use. */
static void attempt_failed(struct io_uv_stream *stream, int status)
{
    if (stream->first_attempt == 0) stream->first_attempt = status;
    if (stream->addresses && stream->addresses_next < stream->addresses->items_count) {
        uv_close((uv_handle_t *)&stream->tcp, attempt_closed);
        return;
    }
    stream->failure = stream->first_attempt;
    io_uv__write_queue_release(stream);
    if (stream->state == IO_UV_STREAM_CONNECTING) stream->connected(&stream->base, stream->failure);
}

/* Small messages leave at once. A host that died without a word (power, cable) is noticed within seconds, where the kernel's
 * defaults take minutes: a node that comes back under a new identity is refused as long as its old connection stands
 * (PROTOCOL M2). */
static void set_options(struct io_uv_stream *stream)
{
    uv_tcp_nodelay(&stream->tcp, 1);
    uv_os_fd_t fd;
    if (uv_fileno((const uv_handle_t *)&stream->tcp, &fd) < 0) return;
    const int on = 1;
    const int idle_s = 4, interval_s = 2, probes = 3;
    const int unacknowledged_ms = 10000;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms,
                     sizeof(unacknowledged_ms));
}

static void attempt_done(uv_connect_t *request, int status)
{
    struct io_uv_stream *stream = request->data;
    if (stream->state != IO_UV_STREAM_CONNECTING) return; /* closed meanwhile */
    if (status < 0) {
        attempt_failed(stream, status);
        return;
    }
    set_options(stream);
    free(stream->addresses);
    stream->addresses = NULL;
    stream->state = IO_UV_STREAM_OPEN;
    update_reading(stream);
    io_uv__write_flush(stream);
    stream->connected(&stream->base, 0);
}

static void attempt(struct io_uv_stream *stream)
{
    const struct sockaddr_storage *address = &stream->addresses->items[stream->addresses_next++];
    stream->connect_request.data = stream;
    int status = uv_tcp_connect(&stream->connect_request, &stream->tcp,
                                (const struct sockaddr *)address, attempt_done);
    if (status < 0) {
        stream->attempt_status = status;
        io_uv__post(stream->base.io, &stream->event);
    }
}

void io_uv__stream_resolved(struct io_uv_stream *stream, int status,
                            const struct io_uv_addresses *addresses)
{
    assert(stream->state == IO_UV_STREAM_CONNECTING);
    stream->lookup = NULL;
    if (status < 0) {
        attempt_failed(stream, status);
        return;
    }
    stream->addresses = io_uv__allocate(sizeof(*stream->addresses));
    *stream->addresses = *addresses;
    attempt(stream);
}

/* 0: under way. */
static int connect_start(struct io_uv_stream *stream, const char *address)
{
    char host[IO_UV_HOST_MAX];
    uint16_t port;
    struct io_uv_addresses addresses;
    int status = io_uv__address_split(address, host, &port);
    if (status < 0) return status;
    if (host[0] == '\0' || port == 0) return -EINVAL;
    if (io_uv__resolve_numeric(host, port, &addresses) == 0) {
        io_uv__stream_resolved(stream, 0, &addresses);
        return 0;
    }
    stream->lookup = io_uv__lookup_start(loop_of(stream), stream, host, port);
    return stream->lookup ? 0 : -ENOMEM;
}

struct io_stream *io_uv__connect(struct io *base, const char *address, io_connect_cb connected,
                                 void *data)
{
    struct io_uv_stream *stream = io_uv__allocate(sizeof(*stream));
    assert(connected);
    stream_init(io_uv_of(base), stream, IO_UV_STREAM_CONNECTING);
    stream->base.data = data;
    stream->connected = connected;
    int status = connect_start(stream, address);
    if (status < 0) {
        stream->attempt_status = status;
        io_uv__post(base, &stream->event);
    }
    return &stream->base;
}

struct io_uv_stream *io_uv__stream_accept(struct io_uv *io, int fd)
{
    struct io_uv_stream *stream = calloc(1, sizeof(*stream));
    if (!stream) {
        close(fd);
        return NULL;
    }
    stream_init(io, stream, IO_UV_STREAM_OPEN);
    int status = uv_tcp_open(&stream->tcp, fd);
    if (status < 0) {
        close(fd);
        io_uv__stream_abandon(stream);
        return NULL;
    }
    set_options(stream);
    return stream;
}

/* An error that was met inside of a call of the owner is told here, in the same turn. */
static void event_fired(struct io_timer *timer)
{
    struct io_uv_stream *stream = timer->data;
    if (stream->state == IO_UV_STREAM_CONNECTING) {
        assert(stream->attempt_status < 0);
        attempt_failed(stream, stream->attempt_status);
        return;
    }
    assert(stream->failure < 0);
    assert(stream->state == IO_UV_STREAM_OPEN);
    io_uv__write_queue_release(stream);
    if (stream->state != IO_UV_STREAM_OPEN || !stream->callbacks || stream->has_ended) return;
    stream->has_ended = true;
    stream->callbacks->read(&stream->base, NULL, stream->failure);
}

/* ---- closing ------------------------------------------------------------------------------------------------- */

static void linger_over(struct io_timer *timer)
{
    close_now(timer->data);
}

/* A socket that is closed with unread bytes in it resets the connection, and the reset may overtake what we wrote: a
 * client that still sends its request would never read our refusal. So say the end, and read on until the peer says
 * its own. */
void io_uv__stream_flushed(struct io_uv_stream *stream)
{
    assert(stream->state == IO_UV_STREAM_FLUSHING);
    uv_os_fd_t fd;
    if (stream->has_ended || uv_fileno((uv_handle_t *)&stream->tcp, &fd) < 0 ||
        shutdown(fd, SHUT_WR) < 0 ||
        uv_read_start((uv_stream_t *)&stream->tcp, lend_read_buffer, bytes_arrived) < 0) {
        close_now(stream);
        return;
    }
    stream->state = IO_UV_STREAM_DRAINING;
    uint64_t now_us = io_uv__now_ns() / 1000u;
    uint64_t end_us = timer_node_of(&stream->linger)->deadline_us;
    if (end_us > now_us + IO_UV_DRAIN_US)
        io_uv__timer_start(stream->base.io, &stream->linger, IO_UV_DRAIN_US);
}

void io_uv__stream_close(struct io_stream *base, bool linger)
{
    struct io_uv_stream *stream = (struct io_uv_stream *)base;
    if (stream->is_abandoned) return; /* the loop is being destroyed */
    assert(stream->state == IO_UV_STREAM_CONNECTING ||
           stream->state == IO_UV_STREAM_OPEN); /* once */
    if (!linger || stream->state == IO_UV_STREAM_CONNECTING || stream->failure < 0) {
        close_now(stream);
        return;
    }
    stream->state = IO_UV_STREAM_FLUSHING;
    update_reading(stream);
    io_uv__timer_start(base->io, &stream->linger, IO_UV_LINGER_US);
    if (stream->queue.items_count == 0) io_uv__stream_flushed(stream);
}

void io_uv__stream_peer_address(const struct io_stream *base, char *buffer, size_t bytes)
{
    const struct io_uv_stream *stream = (const struct io_uv_stream *)base;
    struct sockaddr_storage address = {0};
    int address_bytes = sizeof(address);
    int status = uv_tcp_getpeername(&stream->tcp, (struct sockaddr *)&address, &address_bytes);
    if (status < 0) {
        snprintf(buffer, bytes, "unknown");
        return;
    }
    io_uv__address_format(&address, buffer, bytes);
}
