/* A world of streams and timers in memory: no socket, no thread, a clock that moves only when nothing is left to do.
 * Everything happens in one fixed order, so a test that fails fails always.
 *
 * What a real network may do is under the test's control: how many bytes a read brings and where in memory they lie, how
 * many a receiver takes, a flipped byte, an address that nobody listens at or that never answers, a path that goes silent
 * without an end (half-open TCP). */
#ifndef TESTS_PEER_FAKE_IO_H
#define TESTS_PEER_FAKE_IO_H

#include <broker/io.h>

#define FAKE_TIMERS_MAX 512u

struct fake_stream {
    struct io_stream base;
    struct fake_io *io;
    const struct io_stream_callbacks *callbacks;
    io_connect_cb connected;
    char address[IO_ADDRESS_MAX]; /* dialed, or "accepted" */
    struct fake_stream *other;    /* the far end; NULL once that is gone */
    struct fake_stream *next;
    struct io_buffer *queue; /* written, not yet taken by the "kernel"; all with release */
    size_t queue_count;
    size_t queue_capacity;
    size_t queue_head_done;
    size_t queue_bytes;
    uint8_t *inbox; /* arrived, not yet read */
    size_t inbox_bytes;
    size_t inbox_capacity;
    uint64_t received_total; /* bytes that ever entered the inbox */
    uint64_t flip_at;        /* flip a bit of this received byte; UINT64_MAX = none */
    uint32_t writes_count;   /* io_stream_write calls */
    bool is_connecting;
    bool is_started;
    bool is_closed;    /* by its owner */
    bool is_lingering; /* closed, but the queue still goes out */
    bool has_end;      /* the far end closed */
    bool end_told;
    bool is_cut; /* nothing arrives or leaves any more, not even an end */
};

struct fake_io {
    struct io base;
    uint64_t now_us;
    uint64_t random_state;
    struct io_timer *timers[FAKE_TIMERS_MAX]; /* active */
    size_t timers_count;
    struct io_timer *posts[FAKE_TIMERS_MAX]; /* in order */
    size_t posts_count;
    uint64_t timers_sequence;
    struct io_listener *listeners;
    struct fake_stream *streams;
    /* Knobs, free to change at any time. */
    size_t read_bytes_max;       /* per read callback */
    size_t misalignment;         /* of the memory that a read callback sees */
    size_t inbox_bytes_max;      /* what a receiver's kernel takes */
    size_t unacknowledged_bytes; /* what every stream says of its kernel */
    const char *silent;          /* this address never answers; NULL = none */
    uint32_t turns_count;
};

void fake_io_init(struct fake_io *io);
/* Run until the clock stands at now + duration and nothing is left to do before. */
void fake_io_run(struct fake_io *io, uint64_t duration_us);
/* One turn without moving the clock. False: there was nothing to do. */
bool fake_io_turn(struct fake_io *io);
void fake_io_close(struct fake_io *io); /* every stream must have been closed by its owner */

/* The newest stream that was dialed to this address and is still open; NULL = none. */
struct fake_stream *fake_io_dialed(struct fake_io *io, const char *address);
/* Half-open: both ends keep their streams and hear nothing more. */
void fake_stream_cut(struct fake_stream *stream);

#endif
