/* Streams: bytes, order, back-pressure, errors. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "io_fixture.h"

TestSuite(io_stream, .init = fixture_setup, .fini = fixture_teardown);

static struct fixture_pair pair;
static uint64_t received;
static uint64_t wanted;
static int ends_count;
static ssize_t end_status;
static int drained_count;
static size_t queue_bytes_when_drained;
static int releases_count;

static void close_pair(void)
{
    io_stream_close(pair.client, false);
    io_stream_close(pair.server, false);
}

static void count_release(void *owner)
{
    (void)owner;
    releases_count++;
}

static void read_pattern(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    (void)stream;
    cr_assert_neq(bytes, 0);
    if (bytes < 0) {
        ends_count++;
        end_status = bytes;
        io_uv_stop(fixture_io);
        return;
    }
    cr_assert_eq(ends_count, 0);
    cr_assert(fixture_pattern_matches(data, (size_t)bytes, received), "near byte %lu", received);
    received += (uint64_t)bytes;
    if (received == wanted) io_uv_stop(fixture_io);
}

static void note_drained(struct io_stream *stream)
{
    drained_count++;
    queue_bytes_when_drained = io_stream_write_queue_bytes(stream);
}

static const struct io_stream_callbacks pattern_callbacks = {.read = read_pattern,
                                                             .drained = note_drained};

static void echo(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    cr_assert_gt(bytes, 0);
    io_stream_write(stream, &(struct io_buffer){.data = data, .bytes = (size_t)bytes}, 1);
}

static const struct io_stream_callbacks echo_callbacks = {.read = echo};

Test(io_stream, echoes_a_message)
{
    uint8_t message[100];
    fixture_pattern_fill(message, sizeof(message), 0);
    fixture_connect(&pair);
    io_stream_start(pair.server, &echo_callbacks, NULL);
    io_stream_start(pair.client, &pattern_callbacks, NULL);
    wanted = sizeof(message);
    io_stream_write(pair.client, &(struct io_buffer){.data = message, .bytes = sizeof(message)}, 1);
    fixture_run(10);
    close_pair();
}

/* Buffers of every kind and size, also empty ones, in calls of one to many, past what the kernel takes at once: the
 * bytes arrive in order, each buffer is released once, and a copied one may be overwritten at once. */
Test(io_stream, buffers_of_all_sizes_arrive_in_order_and_are_released_once)
{
    enum { ROUNDS = 400, PER_ROUND = 9 };
    static const size_t sizes[PER_ROUND] = {1, 0, 17, 4096, 1, 65536, 0, 300, 20000};
    size_t round_bytes = 0;
    for (int i = 0; i < PER_ROUND; i++) {
        round_bytes += sizes[i];
    }
    wanted = ROUNDS * round_bytes;
    uint8_t *all = malloc(wanted);
    fixture_pattern_fill(all, wanted, 0);
    fixture_connect(&pair);
    uint64_t pos = 0;
    int owned_count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct io_buffer buffers[PER_ROUND];
        uint8_t *copied[PER_ROUND] = {NULL};
        for (int i = 0; i < PER_ROUND; i++) {
            buffers[i] = (struct io_buffer){.data = all + pos, .bytes = sizes[i]};
            if ((round + i) % 3 == 0 && sizes[i] > 0) {
                copied[i] = malloc(sizes[i]);
                memcpy(copied[i], all + pos, sizes[i]);
                buffers[i].data = copied[i];
            } else {
                buffers[i].release = count_release;
                owned_count++;
            }
            pos += sizes[i];
        }
        io_stream_write(pair.client, buffers, PER_ROUND);
        for (int i = 0; i < PER_ROUND; i++) {
            if (copied[i]) memset(copied[i], 0xee, sizes[i]);
            free(copied[i]);
        }
    }
    cr_assert_gt(io_stream_write_queue_bytes(pair.client), 1000000u);
    io_stream_start(pair.server, &pattern_callbacks, NULL);
    fixture_run(20);
    fixture_run_for_ms(20);
    cr_assert_eq(received, wanted);
    cr_assert_eq(releases_count, owned_count);
    cr_assert_eq(io_stream_write_queue_bytes(pair.client), 0u);
    close_pair();
    free(all);
}

/* Nobody reads, so the receiver's window closes and our kernel keeps what it took; then all of it is acknowledged. */
Test(io_stream, unacknowledged_bytes_are_those_that_the_peer_does_not_have)
{
    enum { BYTES = 32 << 20 };
    uint8_t *bytes = malloc(BYTES);
    fixture_pattern_fill(bytes, BYTES, 0);
    fixture_connect(&pair);
    cr_assert_eq(io_stream_unacknowledged_bytes(pair.client), 0u);
    struct io_buffer buffer = {.data = bytes, .bytes = BYTES, .release = count_release};
    io_stream_write(pair.client, &buffer, 1);
    fixture_run_for_ms(50);
    size_t unacknowledged = io_stream_unacknowledged_bytes(pair.client);
    cr_assert_gt(unacknowledged, 0u);
    cr_assert_leq(unacknowledged, BYTES - io_stream_write_queue_bytes(pair.client));
    io_stream_start(pair.server, &pattern_callbacks, NULL);
    wanted = BYTES;
    fixture_run(20);
    for (int i = 0; i < 100 && io_stream_unacknowledged_bytes(pair.client) > 0; i++) {
        fixture_run_for_ms(5);
    }
    cr_assert_eq(io_stream_unacknowledged_bytes(pair.client), 0u);
    close_pair();
    free(bytes);
}

Test(io_stream, more_buffers_than_one_system_call_takes_go_out_in_one_call)
{
    enum { COUNT = 3000 };
    static uint8_t bytes[COUNT];
    static struct io_buffer buffers[COUNT];
    fixture_pattern_fill(bytes, COUNT, 0);
    for (int i = 0; i < COUNT; i++) {
        buffers[i] = (struct io_buffer){.data = &bytes[i], .bytes = 1, .release = count_release};
    }
    fixture_connect(&pair);
    io_stream_start(pair.server, &pattern_callbacks, NULL);
    wanted = COUNT;
    io_stream_write(pair.client, buffers, COUNT);
    fixture_run(10);
    cr_assert_eq(releases_count, COUNT);
    close_pair();
}

/* The kernel takes a part of one call and stops in the middle of a buffer: the rest of that buffer and all behind it
 * follow later, copied or owned. */
Test(io_stream, call_that_the_kernel_takes_in_part_arrives_whole)
{
    enum { COUNT = 120, BYTES = 100003 };
    uint8_t *all = malloc((size_t)COUNT * BYTES);
    fixture_pattern_fill(all, (size_t)COUNT * BYTES, 0);
    struct io_buffer buffers[COUNT];
    for (int i = 0; i < COUNT; i++) {
        buffers[i] = (struct io_buffer){.data = all + (size_t)i * BYTES, .bytes = BYTES};
        if (i % 2 == 0) buffers[i].release = count_release;
    }
    fixture_connect(&pair);
    io_stream_write(pair.client, buffers, COUNT);
    size_t left = io_stream_write_queue_bytes(pair.client);
    cr_assert_gt(left, 0u);
    cr_assert_lt(left, (size_t)COUNT * BYTES);
    io_stream_start(pair.server, &pattern_callbacks, NULL);
    wanted = (uint64_t)COUNT * BYTES;
    fixture_run(20);
    fixture_run_for_ms(5);
    cr_assert_eq(releases_count, COUNT / 2);
    close_pair();
    free(all);
}

/* A reader that pauses fills the writer's queue; drained() comes once, after the queue has fallen to the mark. */
Test(io_stream, drained_follows_a_queue_above_the_low_water_mark)
{
    enum { BYTES = 16 * 1024 * 1024 };
    uint8_t *all = malloc(BYTES);
    fixture_pattern_fill(all, BYTES, 0);
    fixture_connect(&pair);
    io_stream_start(pair.client, &pattern_callbacks, NULL);
    io_stream_start(pair.server, &pattern_callbacks, NULL);
    io_stream_pause(pair.server, true);
    for (int i = 0; i < 256; i++) {
        io_stream_write(pair.client,
                        &(struct io_buffer){.data = all + i * (BYTES / 256),
                                            .bytes = BYTES / 256,
                                            .release = count_release},
                        1);
    }
    fixture_run_for_ms(30);
    cr_assert_eq(received, 0u, "a paused stream read");
    cr_assert_eq(drained_count, 0);
    cr_assert_gt(io_stream_write_queue_bytes(pair.client), IO_WRITE_LOW_WATER_BYTES);
    wanted = BYTES;
    io_stream_pause(pair.server, false);
    fixture_run(20);
    fixture_run_for_ms(5);
    cr_assert_eq(drained_count, 1);
    cr_assert_leq(queue_bytes_when_drained, IO_WRITE_LOW_WATER_BYTES);
    cr_assert_eq(releases_count, 256);
    close_pair();
    free(all);
}

static void pause_after_each_read(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    cr_assert_gt(bytes, 0);
    read_pattern(stream, data, bytes);
    io_stream_pause(stream, true);
    io_post(fixture_io, stream->data);
}

static void resume_server(struct io_timer *timer)
{
    (void)timer;
    io_stream_pause(pair.server, false);
}

Test(io_stream, pause_inside_of_read_loses_no_byte)
{
    enum { BYTES = 4 * 1024 * 1024 };
    static const struct io_stream_callbacks callbacks = {.read = pause_after_each_read};
    uint8_t *all = malloc(BYTES);
    fixture_pattern_fill(all, BYTES, 0);
    struct io_timer resume = {.fire = resume_server};
    fixture_connect(&pair);
    io_stream_start(pair.server, &callbacks, &resume);
    wanted = BYTES;
    io_stream_write(pair.client,
                    &(struct io_buffer){.data = all, .bytes = BYTES, .release = count_release}, 1);
    fixture_run(20);
    cr_assert_eq(received, wanted);
    io_timer_stop(fixture_io, &resume);
    close_pair();
    free(all);
}

Test(io_stream, end_of_the_peer_is_told_once_after_its_bytes)
{
    uint8_t message[10];
    fixture_pattern_fill(message, sizeof(message), 0);
    fixture_connect(&pair);
    io_stream_write(pair.client, &(struct io_buffer){.data = message, .bytes = sizeof(message)}, 1);
    io_stream_close(pair.client, true);
    io_stream_start(pair.server, &pattern_callbacks, NULL);
    fixture_run(10);
    fixture_run_for_ms(10);
    cr_assert_eq(received, sizeof(message));
    cr_assert_eq(ends_count, 1);
    cr_assert_eq(end_status, -EPIPE);
    io_stream_close(pair.server, false);
}

static struct io_listener *raw_listener;

static void raw_accepted(struct io_listener *listener, struct io_stream *stream)
{
    (void)listener;
    pair.server = stream;
    io_uv_stop(fixture_io);
}

static int connect_raw(void)
{
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", raw_accepted, NULL, &raw_listener), 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(raw_listener->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    fixture_run(10);
    io_listener_close(raw_listener);
    return fd;
}

static void reset_raw(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
}

Test(io_stream, reset_by_the_peer_is_told_with_its_errno)
{
    int fd = connect_raw();
    io_stream_start(pair.server, &pattern_callbacks, NULL);
    reset_raw(fd);
    fixture_run(10);
    cr_assert_eq(ends_count, 1);
    cr_assert_eq(end_status, -ECONNRESET);
    io_stream_close(pair.server, false);
}

/* Paused, so that the failed write is the only way to notice; it is told by one read callback and not inside of the
 * write, and buffers are released all the same. */
Test(io_stream, failed_write_is_told_by_one_read_callback)
{
    uint8_t byte = 0;
    int fd = connect_raw();
    io_stream_start(pair.server, &pattern_callbacks, NULL);
    io_stream_pause(pair.server, true);
    reset_raw(fd);
    fixture_run_for_ms(5);
    for (int i = 0; i < 5; i++) {
        io_stream_write(pair.server,
                        &(struct io_buffer){.data = &byte, .bytes = 1, .release = count_release},
                        1);
        cr_assert_eq(ends_count, 0, "told inside of the write");
    }
    fixture_run(10);
    fixture_run_for_ms(5);
    cr_assert_eq(ends_count, 1);
    cr_assert_lt(end_status, 0);
    cr_assert_eq(releases_count, 5);
    io_stream_close(pair.server, false);
}

Test(io_stream, write_that_waits_when_the_peer_resets_is_released_and_told)
{
    enum { BYTES = 16 * 1024 * 1024 };
    uint8_t *all = calloc(1, BYTES);
    int fd = connect_raw();
    io_stream_start(pair.server, &pattern_callbacks, NULL);
    io_stream_pause(pair.server, true);
    struct io_buffer buffers[2] = {
        {.data = all, .bytes = BYTES / 2, .release = count_release},
        {.data = all + BYTES / 2, .bytes = BYTES / 2, .release = count_release}};
    io_stream_write(pair.server, buffers, 2);
    cr_assert_gt(io_stream_write_queue_bytes(pair.server), 0u);
    reset_raw(fd);
    fixture_run(10);
    cr_assert_eq(ends_count, 1);
    cr_assert_eq(releases_count, 2);
    io_stream_close(pair.server, false);
    free(all);
}

static void ignore_connected(struct io_stream *stream, int status)
{
    (void)stream;
    cr_assert_eq(status, 0);
}

/* The owner may write and start to read before the connection stands. */
Test(io_stream, written_before_it_is_connected_arrives)
{
    struct io_listener *listener;
    uint8_t message[1000];
    fixture_pattern_fill(message, sizeof(message), 0);
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", raw_accepted, NULL, &listener), 0);
    pair.client = io_connect(fixture_io, fixture_address(listener->port), ignore_connected, NULL);
    io_stream_start(pair.client, &pattern_callbacks, NULL);
    for (size_t i = 0; i < sizeof(message); i += 100) {
        io_stream_write(pair.client, &(struct io_buffer){.data = message + i, .bytes = 100}, 1);
    }
    fixture_run(10);
    io_stream_start(pair.server, &pattern_callbacks, NULL);
    wanted = sizeof(message);
    fixture_run(10);
    close_pair();
    io_listener_close(listener);
}

Test(io_stream, peer_address_names_host_and_port)
{
    char client_sees[IO_ADDRESS_MAX], server_sees[IO_ADDRESS_MAX];
    struct io_listener *listener;
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", raw_accepted, NULL, &listener), 0);
    char address[IO_ADDRESS_MAX];
    snprintf(address, sizeof(address), "%s", fixture_address(listener->port));
    pair.client = io_connect(fixture_io, address, ignore_connected, NULL);
    fixture_run(10);
    fixture_run_for_ms(5);
    io_stream_peer_address(pair.client, client_sees, sizeof(client_sees));
    io_stream_peer_address(pair.server, server_sees, sizeof(server_sees));
    cr_assert_str_eq(client_sees, address);
    cr_assert_eq(strncmp(server_sees, "127.0.0.1:", 10), 0);
    cr_assert_str_neq(server_sees, address);
    close_pair();
    io_listener_close(listener);
}
