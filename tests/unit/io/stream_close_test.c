/* Closing streams: at once, with linger, and inside of every callback. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "io_fixture.h"

TestSuite(io_close, .init = fixture_setup, .fini = fixture_teardown);

static struct fixture_pair pair;
static int closed_count;
static int releases_count;
static uint64_t received;
static bool has_ended;
static int closes_count; /* callbacks that closed their stream */

static void note_closed(struct io_stream *stream)
{
    (void)stream;
    closed_count++;
}

static void closed_stop(struct io_stream *stream)
{
    (void)stream;
    closed_count++;
    io_uv_stop(fixture_io);
}

static void count_release(void *owner)
{
    (void)owner;
    cr_assert_eq(closed_count, 0, "released after closed()");
    releases_count++;
}

static void read_pattern(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    (void)stream;
    if (bytes < 0) {
        cr_assert_eq(bytes, -EPIPE, "%zd", bytes);
        has_ended = true;
        io_uv_stop(fixture_io);
        return;
    }
    cr_assert(fixture_pattern_matches(data, (size_t)bytes, received));
    received += (uint64_t)bytes;
}

static void read_never(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    (void)stream;
    (void)data;
    cr_assert_fail("read %zd", bytes);
}

static const struct io_stream_callbacks reading = {.read = read_pattern};
static const struct io_stream_callbacks stop_when_closed = {.read = read_never,
                                                            .closed = closed_stop};

static uint8_t *pattern_of(size_t bytes)
{
    uint8_t *data = malloc(bytes);
    fixture_pattern_fill(data, bytes, 0);
    return data;
}

static void write_owned(struct io_stream *stream, const uint8_t *data, size_t bytes)
{
    io_stream_write(stream,
                    &(struct io_buffer){.data = data, .bytes = bytes, .release = count_release}, 1);
}

#define BIG_BYTES (8u * 1024u * 1024u)

Test(io_close, linger_writes_out_what_is_queued)
{
    uint8_t *data = pattern_of(BIG_BYTES);
    fixture_connect(&pair);
    io_stream_start(pair.client, &stop_when_closed, NULL);
    write_owned(pair.client, data, BIG_BYTES);
    cr_assert_gt(io_stream_write_queue_bytes(pair.client), 0u);
    io_stream_close(pair.client, true);
    io_stream_start(pair.server, &reading, NULL);
    fixture_run(10);
    cr_assert(has_ended);
    cr_assert_eq(received, BIG_BYTES);
    cr_assert_eq(releases_count, 1);
    io_stream_close(pair.server, false);
    fixture_run(10);
    cr_assert_eq(closed_count, 1);
    free(data);
}

/* A socket closed with unread bytes resets the connection. The peer must get our last words all the same: this is how a
 * refusal reaches a client that still sends. */
Test(io_close, linger_delivers_although_the_peer_has_sent_what_nobody_read)
{
    static const uint8_t unread[100000];
    uint8_t *data = pattern_of(BIG_BYTES);
    fixture_connect(&pair);
    io_stream_start(pair.client, &stop_when_closed, NULL);
    io_stream_pause(pair.client, true);
    io_stream_write(pair.server, &(struct io_buffer){.data = unread, .bytes = sizeof(unread)}, 1);
    fixture_run_for_ms(5);
    write_owned(pair.client, data, BIG_BYTES);
    io_stream_close(pair.client, true);
    fixture_run_for_ms(20);
    io_stream_start(pair.server, &reading, NULL);
    fixture_run(10);
    cr_assert(has_ended);
    cr_assert_eq(received, BIG_BYTES);
    io_stream_close(pair.server, false);
    fixture_run(10);
    free(data);
}

Test(io_close, linger_ends_after_five_seconds_when_the_peer_does_not_read)
{
    uint8_t *data = pattern_of(BIG_BYTES);
    fixture_connect(&pair);
    io_stream_start(pair.client, &stop_when_closed, NULL);
    write_owned(pair.client, data, BIG_BYTES);
    uint64_t begin_us = io_now_us(fixture_io);
    io_stream_close(pair.client, true);
    fixture_run(10);
    uint64_t passed_us = io_now_us(fixture_io) - begin_us;
    cr_assert_geq(passed_us, 5000000u);
    cr_assert_leq(passed_us, 6500000u);
    cr_assert_eq(releases_count, 1);
    cr_assert_eq(closed_count, 1);
    io_stream_close(pair.server, false);
    free(data);
}

/* All is written, but the peer never says its own end: one second, then the descriptor is ours again. */
Test(io_close, linger_does_not_wait_long_for_the_end_of_the_peer)
{
    fixture_connect(&pair);
    io_stream_start(pair.client, &stop_when_closed, NULL);
    uint64_t begin_us = io_now_us(fixture_io);
    io_stream_close(pair.client, true);
    fixture_run(10);
    cr_assert_leq(io_now_us(fixture_io) - begin_us, 2500000u);
    io_stream_close(pair.server, false);
}

Test(io_close, at_once_releases_the_queue_and_is_the_last_callback)
{
    uint8_t *data = pattern_of(BIG_BYTES);
    fixture_connect(&pair);
    io_stream_start(pair.client, &stop_when_closed, NULL);
    for (int i = 0; i < 100; i++) {
        write_owned(pair.client, data, BIG_BYTES / 100);
    }
    io_stream_write(pair.client, &(struct io_buffer){.data = data, .bytes = 100000}, 1);
    io_stream_close(pair.client, false);
    cr_assert_eq(closed_count, 0, "told inside of the close");
    write_owned(pair.client, data, 1); /* after close: released at once */
    fixture_run(10);
    cr_assert_eq(releases_count, 101);
    cr_assert_eq(closed_count, 1);
    io_stream_close(pair.server, false);
    free(data);
}

/* ---- inside of callbacks ------------------------------------------------------------------------------------ */

static void read_and_close(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    (void)data;
    (void)bytes;
    closes_count++;
    io_stream_close(stream, stream->data != NULL);
}

static void drained_and_close(struct io_stream *stream)
{
    closes_count++;
    io_stream_close(stream, stream->data != NULL);
}

static const struct io_stream_callbacks close_in_read = {.read = read_and_close,
                                                         .closed = closed_stop};
static const struct io_stream_callbacks close_in_drained = {
    .read = read_never, .drained = drained_and_close, .closed = closed_stop};

static void close_server_in_read(bool linger)
{
    int marker;
    uint8_t *data = pattern_of(BIG_BYTES);
    fixture_connect(&pair);
    io_stream_start(pair.server, &close_in_read, linger ? &marker : NULL);
    io_stream_write(pair.client, &(struct io_buffer){.data = data, .bytes = BIG_BYTES}, 1);
    fixture_run(10);
    cr_assert_eq(closes_count, 1);
    cr_assert_eq(closed_count, 1);
    io_stream_close(pair.client, false);
    free(data);
}

Test(io_close, inside_of_read)
{
    close_server_in_read(false);
}

Test(io_close, with_linger_inside_of_read)
{
    close_server_in_read(true);
}

Test(io_close, inside_of_the_read_that_tells_the_end)
{
    fixture_connect(&pair);
    io_stream_start(pair.server, &close_in_read, NULL);
    io_stream_close(pair.client, false);
    fixture_run(10);
    cr_assert_eq(closes_count, 1);
}

static void close_client_in_drained(bool linger)
{
    int marker;
    static const struct io_stream_callbacks ignoring = {.read = read_pattern};
    uint8_t *data = pattern_of(BIG_BYTES);
    fixture_connect(&pair);
    io_stream_start(pair.client, &close_in_drained, linger ? &marker : NULL);
    io_stream_write(pair.client, &(struct io_buffer){.data = data, .bytes = BIG_BYTES}, 1);
    io_stream_start(pair.server, &ignoring, NULL);
    fixture_run(10);
    if (closed_count == 0) { /* the server's end came first */
        io_stream_close(pair.server, false);
        pair.server = NULL;
        fixture_run(10);
    }
    cr_assert_eq(closed_count, 1);
    io_stream_close(pair.server, false);
    free(data);
}

Test(io_close, inside_of_drained)
{
    close_client_in_drained(false);
}

Test(io_close, with_linger_inside_of_drained)
{
    close_client_in_drained(true);
}

static void release_and_close(void *owner)
{
    releases_count++;
    if (releases_count == 1) io_stream_close(owner, false);
}

Test(io_close, inside_of_a_release_while_more_is_queued)
{
    uint8_t *data = pattern_of(BIG_BYTES);
    fixture_connect(&pair);
    io_stream_start(pair.client, &stop_when_closed, NULL);
    for (int i = 0; i < 200; i++) {
        io_stream_write(
            pair.client,
            &(struct io_buffer){
                .data = data, .bytes = 100000, .release = release_and_close, .owner = pair.client},
            1);
    }
    static const struct io_stream_callbacks dropping = {.read = read_and_close};
    io_stream_start(pair.server, &dropping, NULL);
    fixture_run(10);
    cr_assert_eq(releases_count, 200);
    cr_assert_eq(closed_count, 1);
    free(data);
}

static void release_and_write(void *owner)
{
    static const uint8_t last[1] = {0};
    releases_count++;
    if (releases_count == 1) {
        io_stream_write(owner, &(struct io_buffer){.data = last, .bytes = 1}, 1);
    }
}

static uint8_t last_byte;

static void keep_last_byte(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    (void)stream;
    cr_assert_gt(bytes, 0);
    received += (uint64_t)bytes;
    last_byte = data[bytes - 1];
    if (received == 3001) io_uv_stop(fixture_io);
}

/* The first buffer's release writes: its byte must not slip in before the other buffers of the same call. */
Test(io_close, write_inside_of_a_release_goes_behind_the_call_that_is_running)
{
    static const struct io_stream_callbacks keeping = {.read = keep_last_byte};
    uint8_t ones[1000];
    memset(ones, 1, sizeof(ones));
    last_byte = 1;
    fixture_connect(&pair);
    io_stream_start(pair.server, &keeping, NULL);
    struct io_buffer buffers[3];
    for (int i = 0; i < 3; i++) {
        buffers[i] = (struct io_buffer){.data = ones,
                                        .bytes = sizeof(ones),
                                        .release = release_and_write,
                                        .owner = pair.client};
    }
    io_stream_write(pair.client, buffers, 3);
    fixture_run(10);
    cr_assert_eq(last_byte, 0);
    io_stream_close(pair.client, false);
    io_stream_close(pair.server, false);
}

static void connected_and_close(struct io_stream *stream, int status)
{
    (void)status;
    closes_count++;
    io_stream_close(stream, false);
    io_uv_stop(fixture_io);
}

static void accepted_and_close(struct io_listener *listener, struct io_stream *stream)
{
    io_stream_close(stream, false);
    io_listener_close(listener);
}

Test(io_close, inside_of_connected_and_of_accept_also_the_listener)
{
    struct io_listener *listener;
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", accepted_and_close, NULL, &listener), 0);
    io_connect(fixture_io, fixture_address(listener->port), connected_and_close, NULL);
    fixture_run(10);
    fixture_run_for_ms(20);
    cr_assert_eq(closes_count, 1);
}

static void never_connected(struct io_stream *stream, int status)
{
    (void)stream;
    cr_assert_fail("connected with %d", status);
}

static void never_accepted(struct io_listener *listener, struct io_stream *stream)
{
    (void)listener;
    io_stream_close(stream, false);
}

Test(io_close, before_it_is_connected_the_owner_hears_only_closed)
{
    static const char *const names[] = {"localhost", "no-such-name.invalid", "127.0.0.1"};
    static const struct io_stream_callbacks callbacks = {.read = read_never, .closed = note_closed};
    struct io_listener *listener;
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", never_accepted, NULL, &listener), 0);
    for (int i = 0; i < 3; i++) {
        char address[IO_ADDRESS_MAX];
        snprintf(address, sizeof(address), "%s:%u", names[i], listener->port);
        struct io_stream *stream = io_connect(fixture_io, address, never_connected, NULL);
        io_stream_start(stream, &callbacks, NULL);
        io_stream_write(stream, &(struct io_buffer){.data = "x", .bytes = 1}, 1);
        io_stream_close(stream, i == 1);
    }
    fixture_run_for_ms(100);
    cr_assert_eq(closed_count, 3);
    io_listener_close(listener);
}
