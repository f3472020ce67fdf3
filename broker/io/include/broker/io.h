/* The world outside of a node: clock, randomness, timers, streams, and threads for blocking work.
 *
 * Two implementations: io_uv (broker/io, the only place that includes <uv.h>) and the simulator's
 * (tests/simulator). Node, peer and HTTP code see this header alone, so the same code runs for real and in one thread
 * from one seed.
 *
 * One loop thread calls everything and receives every callback; only a job's run() is called elsewhere. A callback is
 * never called from inside the function that asked for it; io_buffer's release() alone may be, by io_stream_write().
 * Structs for timers and jobs are embedded in the caller's
 * own and must stay where they are while active. Status codes are 0 or a negative errno (ECANCELED: closed meanwhile). */
#ifndef BROKER_IO_H
#define BROKER_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct io;
struct io_timer;
struct io_job;
struct io_listener;
struct io_stream;

/* ---- timers: one-shot --------------------------------------------------------------------------------- */

struct io_timer {
    void (*fire)(struct io_timer *timer); /* set by the owner before start */
    void *data;
    uint64_t io_private[24]; /* the implementation's; zero before the first start */
};

/* ---- jobs: blocking work off the loop ------------------------------------------------------------------- */

struct io_job {
    /* On a worker thread: may block; touches only what the job owns. */
    void (*run)(struct io_job *job);
    /* On the loop, after run returned. */
    void (*done)(struct io_job *job);
    void *data;
    struct io_job *io_next; /* the implementation's */
    uint64_t io_private[4];
};

/* Jobs of one queue run first in, first out, one at a time; queues run beside each other. */
struct io_job_queue;

/* ---- streams ---------------------------------------------------------------------------------------------- */

#define IO_ADDRESS_MAX 300u /* "host:port" */

struct io_stream_callbacks {
    /* Bytes arrived. Borrowed until return. bytes < 0: the stream is at its end (0 is never passed) or failed with
     * this errno (-ECONNRESET ...; end of stream is -EPIPE); no more reads follow; the owner calls io_stream_close. */
    void (*read)(struct io_stream *stream, const uint8_t *data, ssize_t bytes);
    /* All writes up to now were taken by the kernel, called when the write queue falls to or below the low water mark
     * after it was above it. May be NULL. */
    void (*drained)(struct io_stream *stream);
    /* Last callback of a stream, after io_stream_close: the struct is gone when it returns. May be NULL. */
    void (*closed)(struct io_stream *stream);
};

/* A write buffer that the stream holds until it is written or the stream closes. */
struct io_buffer {
    const void *data;
    size_t bytes;
    /* Called once, on the loop, maybe before io_stream_write() returns. NULL: `data` is taken or copied at once. */
    void (*release)(void *owner);
    void *owner;
};

#define IO_WRITE_LOW_WATER_BYTES (256u * 1024u)

typedef void (*io_accept_cb)(struct io_listener *listener, struct io_stream *stream);
typedef void (*io_connect_cb)(struct io_stream *stream,
                              int status); /* on error the owner closes the stream */

struct io_vtable {
    uint64_t (*now_us)(struct io *io); /* monotonic; read anew on each call */
    int64_t (*wall_ms)(struct io *io); /* Unix time */
    void (*random)(struct io *io, void *buffer, size_t bytes);

    /* Restarts when active. */
    void (*timer_start)(struct io *io, struct io_timer *timer, uint64_t delay_us);
    /* No fire after this, of start or of post. */
    void (*timer_stop)(struct io *io, struct io_timer *timer);

    /* Call fire(timer) once, soon, in this turn of the loop, after the callbacks that are ready: batches what one
     * turn brought. Nothing to do when it is posted already. A post made by a post runs in the next turn. Independent
     * of timer_start: a timer may be posted while it is started, and then fires for each. */
    void (*post)(struct io *io, struct io_timer *timer);

    /* Jobs of a background queue run on a thread of their own and with lower priority than all others: long work that
     * nobody waits for. */
    struct io_job_queue *(*job_queue_create)(struct io *io, bool is_background);
    /* The queue must be empty; the last done() may destroy it. */
    void (*job_queue_destroy)(struct io *io, struct io_job_queue *queue);
    void (*job_submit)(struct io *io, struct io_job_queue *queue, struct io_job *job);

    /* Listen on "host:port" (port 0: any; "[::1]:7070" for IPv6; empty host: every address). 0 or a negative errno:
     * -EADDRINUSE, -EADDRNOTAVAIL, -EINVAL (not "host:port"), -ENXIO (no such name). A name is looked up at once, and
     * may block. */
    int (*listen)(struct io *io, const char *address, io_accept_cb accept, void *data,
                  struct io_listener **ret_listener);
    void (*listener_close)(struct io_listener *listener);

    /* Connect to "host:port", resolving the name off the loop. Always returns a stream, and calls `connected` later
     * (never after io_stream_close). Status 0, or -ECONNREFUSED ..., -EINVAL (not "host:port"), -ENXIO (no such name),
     * -EAGAIN (the name server does not answer). There is no time limit: the owner closes what takes too long. What is
     * written before the connection stands waits for it. */
    struct io_stream *(*connect)(struct io *io, const char *address, io_connect_cb connected,
                                 void *data);
    /* Begin to read. The callbacks are borrowed for the stream's life. */
    void (*stream_start)(struct io_stream *stream, const struct io_stream_callbacks *callbacks,
                         void *data);
    /* Stop or resume reading: back-pressure. */
    void (*stream_pause)(struct io_stream *stream, bool paused);
    /* Queue buffers in order. Never fails: an error shows up as a read callback. After close the buffers are released
     * at once. */
    void (*stream_write)(struct io_stream *stream, const struct io_buffer *buffers, int count);
    size_t (*stream_write_queue_bytes)(const struct io_stream *stream);
    /* Bytes that the kernel took and the peer's kernel has not acknowledged. 0: none, not connected, or not known; NULL:
     * never known. */
    size_t (*stream_unacknowledged_bytes)(const struct io_stream *stream);
    /* Close after what is queued has been written (linger = true, at most 5 s; then up to 1 s more for the peer's own
     * end, so that bytes it still sends do not reset what we wrote), or at once. Only release() and closed() follow. A
     * stream that is not connected yet, or that failed, closes at once. Call it once. */
    void (*stream_close)(struct io_stream *stream, bool linger);
    void (*stream_peer_address)(const struct io_stream *stream, char *buffer, size_t bytes);
};

/* Implementations embed these as their first member. */
struct io {
    const struct io_vtable *vtable;
};
struct io_listener {
    struct io *io;
    void *data;    /* as passed to listen */
    uint16_t port; /* bound */
};
struct io_stream {
    struct io *io;
    void *data;
};

static inline uint64_t io_now_us(struct io *io)
{
    return io->vtable->now_us(io);
}
static inline uint64_t io_now_ms(struct io *io)
{
    return io->vtable->now_us(io) / 1000u;
}
static inline int64_t io_wall_ms(struct io *io)
{
    return io->vtable->wall_ms(io);
}
static inline void io_random(struct io *io, void *buffer, size_t bytes)
{
    io->vtable->random(io, buffer, bytes);
}
static inline void io_timer_start(struct io *io, struct io_timer *timer, uint64_t delay_us)
{
    io->vtable->timer_start(io, timer, delay_us);
}
static inline void io_timer_stop(struct io *io, struct io_timer *timer)
{
    io->vtable->timer_stop(io, timer);
}
static inline void io_post(struct io *io, struct io_timer *timer)
{
    io->vtable->post(io, timer);
}
static inline struct io_job_queue *io_job_queue_create(struct io *io)
{
    return io->vtable->job_queue_create(io, /* is_background= */ false);
}
static inline struct io_job_queue *io_job_queue_create_background(struct io *io)
{
    return io->vtable->job_queue_create(io, /* is_background= */ true);
}
static inline void io_job_queue_destroy(struct io *io, struct io_job_queue *queue)
{
    if (queue) io->vtable->job_queue_destroy(io, queue);
}
static inline void io_job_submit(struct io *io, struct io_job_queue *queue, struct io_job *job)
{
    io->vtable->job_submit(io, queue, job);
}
static inline int io_listen(struct io *io, const char *address, io_accept_cb accept, void *data,
                            struct io_listener **ret_listener)
{
    return io->vtable->listen(io, address, accept, data, ret_listener);
}
static inline void io_listener_close(struct io_listener *listener)
{
    if (listener) listener->io->vtable->listener_close(listener);
}
static inline struct io_stream *io_connect(struct io *io, const char *address,
                                           io_connect_cb connected, void *data)
{
    return io->vtable->connect(io, address, connected, data);
}
static inline void io_stream_start(struct io_stream *stream,
                                   const struct io_stream_callbacks *callbacks, void *data)
{
    stream->io->vtable->stream_start(stream, callbacks, data);
}
static inline void io_stream_pause(struct io_stream *stream, bool paused)
{
    stream->io->vtable->stream_pause(stream, paused);
}
static inline void io_stream_write(struct io_stream *stream, const struct io_buffer *buffers,
                                   int count)
{
    stream->io->vtable->stream_write(stream, buffers, count);
}
static inline size_t io_stream_write_queue_bytes(const struct io_stream *stream)
{
    return stream->io->vtable->stream_write_queue_bytes(stream);
}
static inline size_t io_stream_unacknowledged_bytes(const struct io_stream *stream)
{
    const struct io_vtable *vtable = stream->io->vtable;
    return vtable->stream_unacknowledged_bytes ? vtable->stream_unacknowledged_bytes(stream) : 0;
}
static inline void io_stream_close(struct io_stream *stream, bool linger)
{
    if (stream) stream->io->vtable->stream_close(stream, linger);
}
static inline void io_stream_peer_address(const struct io_stream *stream, char *buffer,
                                          size_t bytes)
{
    stream->io->vtable->stream_peer_address(stream, buffer, bytes);
}

#endif
