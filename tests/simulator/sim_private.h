/* What the files of the simulator share. */
#ifndef SIMULATOR_SIM_PRIVATE_H
#define SIMULATOR_SIM_PRIVATE_H

#include <assert.h>

#include <segment_log/checksum.h>

#include "sim.h"

struct sim_io;
struct sim_stream;
struct sim_connection;
struct sim_disk;

/* ---- events (sim_event.c) -------------------------------------------------------------------------------- */

/* Events of a process are bound to its io and go with it; events of a kernel are bound to a node. */
enum sim_event_kind {
    SIM_EVENT_NONE, /* cancelled while its node is paused */
    /* of a process */
    SIM_EVENT_TIMER,
    SIM_EVENT_POSTS,
    SIM_EVENT_JOB_RUN,
    SIM_EVENT_JOB_DONE,
    SIM_EVENT_CONNECTED,
    SIM_EVENT_READ,
    SIM_EVENT_PUMP,
    SIM_EVENT_FAILURE,
    SIM_EVENT_LINGER,
    SIM_EVENT_CLOSED,
    SIM_EVENT_CALL, /* without an io: of the test */
    /* of a kernel */
    SIM_EVENT_SYN,
    SIM_EVENT_SYN_ANSWER,
    SIM_EVENT_ARRIVE,
    SIM_EVENT_FIN,
    SIM_EVENT_RESET,
    SIM_EVENT_TIMEOUT,
};

struct sim_event {
    uint64_t time_us;
    uint64_t sequence;
    enum sim_event_kind kind;
    struct sim_io *io; /* NULL: of a kernel */
    struct io_timer *timer;
    struct sim_queue *queue;
    struct sim_stream *stream;
    void (*call)(void *data);
    void *call_data;
    struct sim_connection *connection; /* counted reference */
    unsigned side;                     /* the end of the connection that it reaches */
    size_t bytes;
    int status;
    size_t heap_index; /* SIZE_MAX: not in the heap */
};

/* By (time, sequence), which stand here, too: whoever compares two events reads one array. */
struct sim_event_heap {
    struct sim_event_slot {
        uint64_t time_us;
        uint64_t sequence;
        struct sim_event *event;
    } * slots;
    size_t slots_count;
    size_t slots_capacity;
};

struct sim_event_list {
    struct sim_event **items;
    size_t items_count;
    size_t items_capacity;
};

/* A new event after `delay_us`, in the heap; the caller fills in what it carries. */
struct sim_event *sim__event_add(struct sim *sim, enum sim_event_kind kind, uint64_t delay_us);
struct sim_event *sim__event_pop(struct sim *sim); /* NULL: none */
/* Back into the heap at event->time_us, behind those of the same time. */
void sim__event_push(struct sim *sim, struct sim_event *event);
void sim__event_cancel(struct sim *sim, struct sim_event *event);
void sim__event_free(struct sim *sim, struct sim_event *event);
void sim__events_drop(struct sim *sim, const struct sim_io *io); /* all of a process */
/* Move the events of this kind of a process: what is left of their time, times factor / old_factor. */
void sim__events_rescale(struct sim *sim, const struct sim_io *io, enum sim_event_kind kind,
                         uint64_t factor, uint64_t old_factor);
/* Those of a process, out of a list that is not the heap. */
void sim__events_free_of(struct sim *sim, struct sim_event_list *list, const struct sim_io *io);
void sim__events_append(struct sim_event_list *list, struct sim_event *event);
void sim__events_free(struct sim *sim, struct sim_event_list *list);

/* ---- a process (sim_io.c, sim_job.c) ------------------------------------------------------------------------ */

struct sim_timer_list {
    struct io_timer **items;
    size_t items_count;
    size_t items_capacity;
};

struct sim_queue {
    struct sim_io *io;
    bool is_background;
    struct io_job *waiting_head;
    struct io_job *waiting_tail;
    struct io_job *complete_head;
    struct io_job *complete_tail;
    uint64_t run_us;  /* when the last one submitted runs */
    uint64_t done_us; /* when the last one run is told */
    uint64_t pending_count;
    struct sim_queue *next;
    struct sim_queue **previous;
};

struct sim_listener {
    struct io_listener base;
    io_accept_cb accept;
    struct sim_listener *next;
    struct sim_listener **previous;
};

struct sim_io {
    struct io base;
    struct sim *sim;
    uint32_t node;
    bool is_dead; /* every call is accepted and does nothing */
    bool is_in_job;
    uint64_t clock_offset_us;
    uint64_t random;
    struct sim_timer_list posts;
    struct sim_timer_list posts_running; /* of the turn: taken out by a stop, too */
    struct sim_event *posts_event;
    struct sim_queue *queues;
    struct sim_listener *listeners;
    struct sim_stream *streams;
    uint16_t next_port;
};

struct sim_io *sim__io_create(struct sim *sim, uint32_t node);
void sim__io_destroy(struct sim_io *io); /* dead, without streams */
void sim__io_event(struct sim_io *io, struct sim_event *event);

struct io_job_queue *sim__job_queue_create(struct io *io, bool is_background);
void sim__job_queue_destroy(struct io *io, struct io_job_queue *queue);
void sim__job_submit(struct io *io, struct io_job_queue *queue, struct io_job *job);
void sim__job_event(struct sim_io *io, struct sim_event *event);
/* What is left until waiting jobs run, times factor / old_factor. */
void sim__jobs_rescale(struct sim_io *io, uint64_t factor, uint64_t old_factor);

static inline struct sim_io *sim_io_of(struct io *io)
{
    return (struct sim_io *)io;
}

/* ---- streams (sim_stream.c, sim_network.c) ---------------------------------------------------------------- */

enum sim_stream_state {
    SIM_STREAM_CONNECTING,
    SIM_STREAM_OPEN,
    SIM_STREAM_FLUSHING, /* closed with linger, not all written */
    SIM_STREAM_CLOSED,   /* by its owner: has left its connection */
};

struct sim_buffer {
    struct sim_buffer *next;
    const uint8_t *data;
    size_t bytes;
    void (*release)(void *owner);
    void *owner;
};

struct sim_stream {
    struct io_stream base;
    enum sim_stream_state state;
    const struct io_stream_callbacks *callbacks;
    io_connect_cb connected;
    struct sim_connection *connection; /* counted; NULL: the address was wrong, or closed */
    unsigned side;
    bool is_paused;
    bool has_ended;
    bool is_high;
    int failure;
    struct sim_buffer *queue_head;
    struct sim_buffer *queue_tail;
    size_t queue_bytes;
    struct sim_event *connected_event;
    struct sim_event *read_event;
    struct sim_event *pump_event;
    struct sim_event *failure_event;
    struct sim_event *linger_event;
    struct sim_stream *next;
    struct sim_stream **previous;
};

/* One direction: written by one end, read by the other. ring[capacity] holds in_flight bytes behind arrived ones. */
struct sim_pipe {
    uint8_t *ring;
    size_t head;
    size_t arrived_bytes;
    size_t in_flight_bytes;
    size_t unacknowledged_bytes; /* in flight, lost, or arrived while the way back was shut */
    uint64_t arrive_us;          /* when the last of them arrives: later ones do not overtake */
    bool has_fin;                /* the end arrived, if not all bytes before it */
    uint64_t stalled_count;      /* of times that a link held something of it back ... */
    bool is_stalled;             /* ... and holds it now */
};

struct sim_connection {
    uint32_t references;
    uint64_t id;
    struct sim_stream *ends[2]; /* 0 connects, 1 accepts; NULL: closed, or gone */
    uint32_t nodes[2];
    uint16_t ports[2];
    struct sim_pipe pipes[2]; /* pipes[i] is written by end i */
    bool is_discarding[2];    /* a closed end that takes what still comes: linger */
    bool is_broken;           /* nothing more arrives */
    bool is_reset[2];         /* and this end knows */
};

int sim__listen(struct io *io, const char *address, io_accept_cb accept, void *data,
                struct io_listener **ret_listener);
void sim__listener_close(struct io_listener *listener);
struct io_stream *sim__connect(struct io *io, const char *address, io_connect_cb connected,
                               void *data);
void sim__stream_start(struct io_stream *stream, const struct io_stream_callbacks *callbacks,
                       void *data);
void sim__stream_pause(struct io_stream *stream, bool paused);
void sim__stream_write(struct io_stream *stream, const struct io_buffer *buffers, int count);
size_t sim__stream_write_queue_bytes(const struct io_stream *stream);
size_t sim__stream_unacknowledged_bytes(const struct io_stream *stream);
void sim__stream_close(struct io_stream *stream, bool linger);
void sim__stream_peer_address(const struct io_stream *stream, char *buffer, size_t bytes);

struct sim_stream *sim__stream_create(struct sim_io *io, enum sim_stream_state state);
void sim__stream_event(struct sim_io *io, struct sim_event *event);
/* There is something to be read, an end included. */
void sim__stream_wake_reader(struct sim_stream *stream, uint64_t delay_us);
void sim__stream_wake_writer(struct sim_stream *stream, uint64_t delay_us);
/* A crash: leave the connections, then, after destroy(), go. */
void sim__streams_crash(struct sim_io *io, enum sim_crash mode);
void sim__streams_free(struct sim_io *io);

/* The kernels' side. Bytes that fit into the pipe, taken from `data`. */
size_t sim__pipe_write(struct sim *sim, struct sim_connection *connection, unsigned side,
                       const uint8_t *data, size_t bytes);
/* Up to `bytes` arrived ones, in order. */
size_t sim__pipe_read(struct sim *sim, struct sim_connection *connection, unsigned side,
                      uint8_t *data, size_t bytes);
/* The end of `side` closes in order (FIN), or not (RESET). */
void sim__connection_leave(struct sim *sim, struct sim_connection *connection, unsigned side,
                           bool is_discarding);
/* Nothing more arrives at either end; `side_told` learns of it after the delay, when the link lets it. */
void sim__connection_reset(struct sim *sim, struct sim_connection *connection, unsigned side_told,
                           uint64_t delay_us);
void sim__connection_unref(struct sim *sim, struct sim_connection *connection);
void sim__network_event(struct sim *sim, struct sim_event *event);
uint64_t sim__link_delay_us(struct sim *sim, uint32_t from, uint32_t to);
const char *sim__event_name(enum sim_event_kind kind);

/* ---- disks (sim_disk.c) -------------------------------------------------------------------------------------- */

struct sim_disk {
    struct disk base;
    struct sim *sim;
    uint32_t node;
    struct disk *memory; /* below this one, which adds trace and crash points */
    bool is_stopped;     /* the process is gone: calls that would change something return -EIO */
    bool is_armed;       /* for a crash at a call */
    uint64_t calls_left;
    enum sim_crash crash_mode;
    struct sim_disk_file *files; /* open */
};

struct sim_disk *sim__disk_create(struct sim *sim, uint32_t node);
void sim__disk_destroy(struct sim_disk *disk);
/* To the image that a restart finds. The process's open files and locks go. */
void sim__disk_crash(struct sim_disk *disk, enum sim_crash mode);

/* ---- the world (sim.c) ----------------------------------------------------------------------------------------- */

struct sim_node {
    struct sim_io *io; /* NULL: does not run */
    struct sim_disk *disk;
    const struct sim_program *program;
    void *instance;
    bool is_paused;
    bool must_crash;
    enum sim_crash crash_mode;
    int64_t wall_skew_ms;
    uint64_t job_factor;
    uint64_t background_factor;
    bool is_disk_hung;
    uint64_t failed_syncs_count;
    struct sim_event_list parked; /* while paused */
    struct sim_event_list hung;   /* jobs that are due, while the disk hangs */
};

struct sim {
    struct sim_options options;
    uint64_t now_us;
    uint64_t sequence;
    uint64_t random;
    uint64_t trace_hash;
    uint64_t events_count;
    uint64_t connections_count;
    uint32_t event_node;
    struct sim_io *running; /* whose callback is on the stack */
    struct sim_event_heap heap;
    struct sim_node nodes[SIM_NODES_MAX];
    enum sim_link links[SIM_NODES_MAX][SIM_NODES_MAX];
    struct sim_event_list held[SIM_NODES_MAX][SIM_NODES_MAX]; /* on a stalled link */
    struct sim_connection **connections; /* all that live, in the order they were made */
    size_t connections_live_count;
    size_t connections_capacity;
};

void *sim__allocate(size_t bytes);     /* zeroed */
void *sim__allocate_raw(size_t bytes); /* never NULL, also for no bytes */
void *sim__reallocate(void *memory, size_t bytes);
uint64_t sim__draw_between(struct sim *sim, uint64_t first, uint64_t last);
/* Into the hash, and the trace file if there is one. subject: a connection's id, a path's hash, 0.
 * node: SIM_NODES_MAX for none. */
void sim__trace(struct sim *sim, const char *what, uint32_t node, uint64_t subject, uint64_t value,
                uint64_t hash);
static inline uint64_t sim__random_next(uint64_t *state)
{
    /* SplitMix64: one word of state, all seeds good. */
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#endif
