/* The loop and its life.
 *
 * One turn of the loop, in this order:
 *   prepare   set the alarm for the soonest timer; note whether the loop may block
 *   poll      (libuv) block in epoll, then run the callbacks of sockets, signals and lookups
 *   check     done() of complete jobs, then due timers, then what was posted
 *   closing   (libuv) closed() of streams
 * What is posted while posts run, or in `closing`, runs in the next turn, which then does not block. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "io_uv_private.h"

static const struct io_vtable io_uv_vtable;

void *io_uv__allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (!memory) {
        fprintf(stderr, "level=error event=\"out of memory\" bytes=%zu\n", bytes);
        abort();
    }
    return memory;
}

/* ---- clock and randomness ------------------------------------------------------------------------------- */

uint64_t io_uv__now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t io_uv_now_us(struct io *io)
{
    (void)io;
    return io_uv__now_ns() / 1000u;
}

static int64_t io_uv_wall_ms(struct io *io)
{
    (void)io;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void io_uv_random(struct io *io, void *buffer, size_t bytes)
{
    (void)io;
    uint8_t *next = buffer;
    while (bytes > 0) {
        ssize_t drawn = getrandom(next, bytes, 0);
        if (drawn < 0) {
            if (errno == EINTR) continue;
            /* Ids and election timeouts that repeat would be worse than no node. */
            perror("level=error event=\"no randomness\" getrandom");
            abort();
        }
        next += drawn;
        bytes -= (size_t)drawn;
    }
}

/* ---- the turn ---------------------------------------------------------------------------------------------- */

static void stay_awake(uv_idle_t *idle)
{
    (void)idle; /* an active idle handle keeps libuv from blocking; nothing else is to be done */
}

static void before_poll(uv_prepare_t *prepare)
{
    struct io_uv *io = prepare->data;
    io_uv__timers_arm(io);
    if (!io_uv__has_posts(io) && io_uv__pool_may_sleep(io)) {
        uv_idle_stop(&io->idle);
    } else {
        uv_idle_start(&io->idle, stay_awake);
    }
}

static void after_poll(uv_check_t *check)
{
    struct io_uv *io = check->data;
    io_uv__pool_collect(io);
    io_uv__timers_run(io);
    io_uv__posts_run(io);
}

/* ---- life ----------------------------------------------------------------------------------------------------- */

static void turn_init(struct io_uv *io)
{
    /* These three only link the handle into the loop: they cannot fail. */
    uv_prepare_init(&io->loop, &io->prepare);
    uv_check_init(&io->loop, &io->check);
    uv_idle_init(&io->loop, &io->idle);
    io->prepare.data = io->check.data = io->idle.data = io;
    uv_prepare_start(&io->prepare, before_poll);
    uv_check_start(&io->check, after_poll);
}

struct io *io_uv_create(uint32_t workers_count)
{
    assert(workers_count >= 1 && workers_count <= IO_UV_WORKERS_MAX);
    /* A write to a connection that the peer closed is an error of that stream, not the end of the process. */
    signal(SIGPIPE, SIG_IGN);
    /* A write beyond the largest file that this process may make (RLIMIT_FSIZE) is EFBIG, which counts as a full disk. */
    signal(SIGXFSZ, SIG_IGN);
    struct io_uv *io = calloc(1, sizeof(*io));
    if (!io) return NULL;
    io->base.vtable = &io_uv_vtable;
    io->read_buffer = malloc(IO_UV_READ_BUFFER_BYTES);
    if (!io->read_buffer) goto free_io;
    if (uv_loop_init(&io->loop) < 0) goto free_io;
    if (io_uv__timers_init(io) < 0) goto close_loop;
    if (io_uv__resolver_init(io) < 0) goto close_timers;
    if (io_uv__pool_init(io, workers_count) < 0) goto close_resolver;
    turn_init(io);
    return &io->base;

close_resolver:
    io_uv__resolver_close(io);
close_timers:
    io_uv__timers_close(io);
close_loop:
    uv_run(&io->loop, UV_RUN_DEFAULT); /* the handles that were made are closing */
    uv_loop_close(&io->loop);
free_io:
    free(io->read_buffer);
    free(io);
    return NULL;
}

int io_uv_run(struct io *base)
{
    uv_run(&io_uv_of(base)->loop, UV_RUN_DEFAULT);
    return 0;
}

void io_uv_stop(struct io *base)
{
    uv_stop(&io_uv_of(base)->loop);
}

static void signal_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_owned_handles(struct io_uv *io)
{
    for (struct io_uv_stream *stream = io->streams; stream; stream = stream->next) {
        io_uv__stream_abandon(stream);
    }
    while (io->listeners) {
        io_uv__listener_close(&io->listeners->base);
    }
    while (io->signals) {
        struct io_uv_signal *signal = io->signals;
        io->signals = signal->next;
        uv_close((uv_handle_t *)&signal->handle, signal_closed);
    }
}

void io_uv_destroy(struct io *base)
{
    if (!base) return;
    struct io_uv *io = io_uv_of(base);
    io_uv__pool_close(io);
    close_owned_handles(io);
    io_uv__resolver_close(io);
    io_uv__timers_close(io);
    uv_close((uv_handle_t *)&io->prepare, NULL);
    uv_close((uv_handle_t *)&io->check, NULL);
    uv_close((uv_handle_t *)&io->idle, NULL);
    while (uv_loop_alive(&io->loop)) {
        uv_run(&io->loop, UV_RUN_DEFAULT); /* returns early once when a stop was asked for */
    }
    assert(!io->streams);
    int status = uv_loop_close(&io->loop);
    assert(status == 0);
    (void)status;
    io_uv__pool_free(io); /* last: a closed() callback may destroy a queue */
    free(io->read_buffer);
    free(io);
}

/* ---- signals ---------------------------------------------------------------------------------------------------- */

static void signal_arrived(uv_signal_t *handle, int number)
{
    struct io_uv_signal *signal = handle->data;
    signal->cb(signal->data, number);
}

void io_uv_on_signal(struct io *base, int number, void (*cb)(void *data, int signal), void *data)
{
    struct io_uv *io = io_uv_of(base);
    struct io_uv_signal *signal = io_uv__allocate(sizeof(*signal));
    *signal = (struct io_uv_signal){.cb = cb, .data = data, .next = io->signals};
    io->signals = signal;
    uv_signal_init(&io->loop, &signal->handle);
    signal->handle.data = signal;
    int status = uv_signal_start(&signal->handle, signal_arrived, number);
    assert(status == 0); /* only a number that cannot be caught fails */
    (void)status;
}

static const struct io_vtable io_uv_vtable = {
    .now_us = io_uv_now_us,
    .wall_ms = io_uv_wall_ms,
    .random = io_uv_random,
    .timer_start = io_uv__timer_start,
    .timer_stop = io_uv__timer_stop,
    .post = io_uv__post,
    .job_queue_create = io_uv__job_queue_create,
    .job_queue_destroy = io_uv__job_queue_destroy,
    .job_submit = io_uv__job_submit,
    .listen = io_uv__listen,
    .listener_close = io_uv__listener_close,
    .connect = io_uv__connect,
    .stream_start = io_uv__stream_start,
    .stream_pause = io_uv__stream_pause,
    .stream_write = io_uv__stream_write,
    .stream_write_queue_bytes = io_uv__stream_write_queue_bytes,
    .stream_unacknowledged_bytes = io_uv__stream_unacknowledged_bytes,
    .stream_close = io_uv__stream_close,
    .stream_peer_address = io_uv__stream_peer_address,
};
