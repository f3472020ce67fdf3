/* A world of one thread for the front end: a clock that stands until it is moved, posts, timers, streams whose other
 * end is the test. Callbacks run only inside of fake_io_run() and fake_io_advance(). */
#ifndef TEST_HTTP_FAKE_IO_H
#define TEST_HTTP_FAKE_IO_H

#include <broker/io.h>

struct fake_stream {
    struct io_stream base;
    struct fake_stream *next;
    const struct io_stream_callbacks *callbacks;
    uint8_t *input; /* sent by the test, not yet read by the server */
    size_t input_bytes;
    bool input_ended;
    int end_error; /* what the read callback gets at the end */
    bool end_told;
    uint8_t *output; /* taken by the reader */
    size_t output_bytes;
    struct fake_write *writes; /* not taken yet, in order */
    struct fake_write *writes_last;
    size_t writes_bytes;
    size_t appetite; /* bytes the reader still takes; SIZE_MAX: all */
    bool was_high;
    bool paused;
    bool closed; /* by the server */
    bool linger;
    bool closed_told;
    uint32_t references_written; /* buffers that came with a release callback */
    size_t reference_bytes;
    const void *reference_first; /* the first of them */
};

struct fake_io {
    struct io base;
    uint64_t now_us;
    int64_t wall_ms;
    struct io_timer *posts[256];
    int posts_count;
    struct {
        struct io_timer *timer;
        uint64_t deadline_us;
    } timers[256];
    int timers_count;
    struct fake_stream *streams;
    struct io_listener *listener;
    io_accept_cb accept;
    int listen_status;     /* what listen answers */
    size_t read_bytes_max; /* largest read; 0: 64 KiB */
};

void fake_io_init(struct fake_io *io);
void fake_io_close(struct fake_io *io);
/* Deliver input, posts and closed callbacks until nothing happens any more. */
void fake_io_run(struct fake_io *io);
/* Move the clock in steps of 100 ms, firing timers and running. */
void fake_io_advance(struct fake_io *io, uint64_t ms);

struct fake_stream *fake_io_connect(struct fake_io *io);
void fake_stream_send(struct fake_stream *stream, const void *data, size_t bytes);
void fake_stream_end(struct fake_stream *stream, int error);
/* The reader takes this many bytes more (SIZE_MAX: whatever comes). */
void fake_stream_take(struct fake_stream *stream, size_t bytes);

#endif
