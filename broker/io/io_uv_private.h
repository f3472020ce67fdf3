/* What the files of io_uv share. Everything here is touched by the loop thread alone unless a comment says otherwise. */
#ifndef RAFTMQ_IO_UV_PRIVATE_H
#define RAFTMQ_IO_UV_PRIVATE_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include <uv.h>

#include <broker/io.h>
#include <broker/io_uv.h>

#include "timer_heap.h"

#define IO_UV_WORKERS_MAX       16u
#define IO_UV_READ_BUFFER_BYTES (256u * 1024u)
#define IO_UV_HOST_MAX          256u
#define IO_UV_ADDRESSES_MAX     8u
#define IO_UV_LOOKUPS_MAX       8u /* lookups that run at once, each on a thread of its own */
#define IO_UV_WRITE_BUFFERS_MAX 64u
#define IO_UV_WRITE_BYTES_MAX   (1024u * 1024u)
#define IO_UV_LINGER_US         5000000u
#define IO_UV_DRAIN_US          1000000u
#define IO_UV_ACCEPT_RETRY_US   50000u
#define IO_UV_ACCEPTS_MAX       64 /* per turn and listener */

struct io_uv;

/* ---- addresses (io_uv_resolve.c) -------------------------------------------------------------------- */

struct io_uv_addresses {
    struct sockaddr_storage items[IO_UV_ADDRESSES_MAX];
    uint32_t items_count;
};

/* A lookup under way. Its thread owns all but `stream`, which is the loop's. */
struct io_uv_lookup {
    struct io_uv_lookup *next;
    struct io_uv_stream *stream; /* NULL once the stream was closed: the result is dropped */
    char host[IO_UV_HOST_MAX];
    uint16_t port;
    int status;
    struct io_uv_addresses addresses;
};

/* Shared by the loop and the lookup threads, freed by the last of them: a name server that does not answer must not
 * hold up the end of the process, so nobody waits for these threads. */
struct io_uv_resolver {
    pthread_mutex_t mutex; /* guards all below */
    uv_async_t *wake;      /* NULL once the loop is gone */
    struct io_uv_lookup *waiting_head;
    struct io_uv_lookup *waiting_tail;
    struct io_uv_lookup *finished;
    uint32_t threads_count;
};

/* Split "host:port" or "[v6]:port". 0 or -EINVAL. host: char[IO_UV_HOST_MAX], empty for ":port". */
int io_uv__address_split(const char *address, char *host, uint16_t *ret_port);
/* Addresses of a numeric host, without any lookup. 0, or a negative errno when the host is a name. */
int io_uv__resolve_numeric(const char *host, uint16_t port, struct io_uv_addresses *ret_addresses);
/* Addresses to bind to; blocks while a name is looked up. IPv4 first. */
int io_uv__resolve_passive(const char *host, uint16_t port, struct io_uv_addresses *ret_addresses);
/* Look a name up off the loop; io_uv__stream_resolved() follows in a later turn. NULL: no memory. */
struct io_uv_lookup *io_uv__lookup_start(struct io_uv *io, struct io_uv_stream *stream,
                                         const char *host, uint16_t port);
int io_uv__resolver_init(struct io_uv *io);
void io_uv__resolver_close(struct io_uv *io);
void io_uv__address_format(const struct sockaddr_storage *address, char *buffer, size_t bytes);
socklen_t io_uv__address_bytes(const struct sockaddr_storage *address);

/* ---- timers and posts (io_uv_timer.c) -------------------------------------------------------------- */

struct io_uv_timers {
    struct timer_heap heap;
    struct timer_node posted; /* ring through post_next, in the order of posting */
    uint64_t sequence;
    uint64_t alarm_us; /* what the timerfd is set to; 0: not set, or it went off */
    bool alarm_is_due; /* the timerfd went off and is readable until it is set anew */
    int fd;
    uv_poll_t poll;
};

int io_uv__timers_init(struct io_uv *io);
void io_uv__timers_close(struct io_uv *io);
void io_uv__timers_arm(struct io_uv *io); /* before the loop blocks */
bool io_uv__has_posts(const struct io_uv *io);
void io_uv__timers_run(struct io_uv *io);
void io_uv__posts_run(struct io_uv *io);
void io_uv__timer_start(struct io *io, struct io_timer *timer, uint64_t delay_us);
void io_uv__timer_stop(struct io *io, struct io_timer *timer);
void io_uv__post(struct io *io, struct io_timer *timer);

/* ---- jobs (io_uv_job.c) ------------------------------------------------------------------------------- */

/* Queues with a job that no worker of theirs has taken, and those workers. Guarded by the pool's mutex. */
struct io_uv_ready {
    struct io_job_queue *head;
    struct io_job_queue *tail;
    pthread_cond_t wanted; /* a queue became ready, or stop */
    uint32_t sleepers_count;
};

struct io_job_queue {
    struct io_uv_ready *ready;       /* the pool's foreground or background */
    struct io_job_queue *next_ready; /* guarded by the pool's mutex, like head, tail and is_taken */
    struct io_job *head;
    struct io_job *tail;
    bool is_taken;             /* in the ready list or with a worker */
    uint64_t pending_count;    /* submitted and not yet done; the loop's */
    struct io_job_queue *next; /* all queues of the pool; the loop's */
    struct io_job_queue **previous;
};

struct io_uv_pool {
    pthread_mutex_t mutex;
    struct io_uv_ready foreground;
    struct io_uv_ready background; /* one worker, of low priority */
    bool is_stopping;

    _Atomic(struct io_job *) completed; /* a stack, pushed by workers, taken whole by the loop */
    atomic_bool loop_sleeps; /* set by the loop before it blocks, cleared by who wakes it */
    uv_async_t wake;

    struct io_job_queue *queues;
    pthread_t threads[IO_UV_WORKERS_MAX + 1]; /* the last one is the background's */
    uint32_t threads_count;
};

int io_uv__pool_init(struct io_uv *io, uint32_t workers_count);
void io_uv__pool_close(struct io_uv *io); /* wait for what runs, drop what does not */
void io_uv__pool_free(struct io_uv *io);
bool io_uv__pool_may_sleep(struct io_uv *io); /* false: completions wait */
void io_uv__pool_collect(struct io_uv *io);   /* call done() of what is complete */
struct io_job_queue *io_uv__job_queue_create(struct io *io, bool is_background);
void io_uv__job_queue_destroy(struct io *io, struct io_job_queue *queue);
void io_uv__job_submit(struct io *io, struct io_job_queue *queue, struct io_job *job);

/* ---- streams (io_uv_stream.c, io_uv_write.c, io_uv_listener.c) -------------------------------------- */

enum io_uv_stream_state {
    IO_UV_STREAM_CONNECTING, /* also after `connected` was called with an error */
    IO_UV_STREAM_OPEN,
    IO_UV_STREAM_FLUSHING, /* closed by its owner with linger: writes go on */
    IO_UV_STREAM_DRAINING, /* all written and shut down: waits for the peer's end */
    IO_UV_STREAM_CLOSED,   /* uv_close was called */
};

struct io_uv_pending {
    const uint8_t *data;
    size_t bytes;
    void (*release)(void *owner);
    void *owner;
};

/* What the kernel did not take yet. The first in_flight_count items are with libuv. */
struct io_uv_write_queue {
    struct io_uv_pending *items; /* ring[items_capacity] */
    uint32_t items_capacity;     /* 0 or a power of two */
    uint32_t head;
    uint32_t items_count;
    uint32_t in_flight_count;
    size_t in_flight_bytes;
    size_t bytes; /* of all items */
    bool is_high; /* passed the low water mark: drained() is owed */
};

struct io_uv_stream {
    struct io_stream base;
    enum io_uv_stream_state state;
    const struct io_stream_callbacks *callbacks; /* NULL before stream_start */
    io_connect_cb connected;
    bool is_paused;
    bool is_reading;
    bool has_ended;     /* the last read callback was given */
    bool is_abandoned;  /* never closed by its owner, who gets no callback any more */
    int failure;        /* of a write, told by `event`; or of the connect as a whole */
    int attempt_status; /* of an attempt that failed inside of a call, told by `event` */
    int first_attempt;  /* why the first address failed; 0: it did not */
    struct io_timer event;
    struct io_timer linger;
    struct io_uv_lookup *lookup;
    struct io_uv_addresses *addresses; /* while connecting */
    uint32_t addresses_next;
    struct io_uv_write_queue queue;
    uv_tcp_t tcp;
    uv_connect_t connect_request;
    uv_write_t write_request;
    struct io_uv_stream *next; /* all streams of the loop */
    struct io_uv_stream **previous;
};

struct io_uv_listener {
    struct io_listener base;
    io_accept_cb accept;
    int fd;
    bool is_closed;
    struct io_timer retry;
    uv_poll_t poll;
    struct io_uv_listener *next; /* all listeners of the loop */
    struct io_uv_listener **previous;
};

/* Take over an accepted socket. NULL: the socket was closed. */
struct io_uv_stream *io_uv__stream_accept(struct io_uv *io, int fd);
struct io_stream *io_uv__connect(struct io *io, const char *address, io_connect_cb connected,
                                 void *data);
void io_uv__stream_resolved(struct io_uv_stream *stream, int status,
                            const struct io_uv_addresses *addresses);
void io_uv__stream_start(struct io_stream *stream, const struct io_stream_callbacks *callbacks,
                         void *data);
void io_uv__stream_pause(struct io_stream *stream, bool paused);
void io_uv__stream_close(struct io_stream *stream, bool linger);
void io_uv__stream_abandon(struct io_uv_stream *stream);
void io_uv__stream_peer_address(const struct io_stream *stream, char *buffer, size_t bytes);
void io_uv__stream_failed(struct io_uv_stream *stream, int error); /* a write failed */
/* The write queue is empty while FLUSHING. */
void io_uv__stream_flushed(struct io_uv_stream *stream);

void io_uv__stream_write(struct io_stream *stream, const struct io_buffer *buffers, int count);
size_t io_uv__stream_write_queue_bytes(const struct io_stream *stream);
size_t io_uv__stream_unacknowledged_bytes(const struct io_stream *stream);
void io_uv__write_flush(struct io_uv_stream *stream);
void io_uv__write_queue_release(struct io_uv_stream *stream);

int io_uv__listen(struct io *io, const char *address, io_accept_cb accept, void *data,
                  struct io_listener **ret_listener);
void io_uv__listener_close(struct io_listener *listener);

/* ---- the loop (io_uv.c) ------------------------------------------------------------------------------- */

struct io_uv_signal {
    uv_signal_t handle;
    void (*cb)(void *data, int signal);
    void *data;
    struct io_uv_signal *next;
};

struct io_uv {
    struct io base;
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* active: the loop must not block */
    struct io_uv_timers timers;
    struct io_uv_pool pool;
    struct io_uv_resolver *resolver;
    uv_async_t lookup_wake;
    struct io_uv_stream *streams;
    struct io_uv_listener *listeners;
    struct io_uv_signal *signals;
    uint8_t *read_buffer; /* one for all streams: a read callback borrows it */
};

static inline struct io_uv *io_uv_of(struct io *io)
{
    return (struct io_uv *)io;
}

/* Memory that a call which cannot fail must have. No memory for a few hundred bytes: nothing useful is left to do. */
void *io_uv__allocate(size_t bytes);
uint64_t io_uv__now_ns(void);

#endif
