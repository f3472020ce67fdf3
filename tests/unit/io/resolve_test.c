/* Connecting by number and by name. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "io_fixture.h"
#include "io_uv_private.h"

TestSuite(io_connect, .init = fixture_setup, .fini = fixture_teardown);

static int connected_count;
static int connected_status;
static bool is_inside;

static void note_connected(struct io_stream *stream, int status)
{
    cr_assert(!is_inside, "told inside of io_connect");
    connected_count++;
    connected_status = status;
    io_stream_close(stream, false);
    io_uv_stop(fixture_io);
}

static void accept_and_close(struct io_listener *listener, struct io_stream *stream)
{
    (void)listener;
    io_stream_close(stream, false);
}

static int connect_to(const char *address)
{
    connected_count = 0;
    is_inside = true;
    struct io_stream *stream = io_connect(fixture_io, address, note_connected, NULL);
    is_inside = false;
    cr_assert_not_null(stream);
    fixture_run(30);
    cr_assert_eq(connected_count, 1);
    return connected_status;
}

/* A port that is taken and where nobody listens: one that was merely closed may be another test's by now. */
static uint16_t take_port(int *ret_fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(*ret_fd, 0);
    cr_assert_eq(bind(*ret_fd, (struct sockaddr *)&address, bytes), 0);
    cr_assert_eq(getsockname(*ret_fd, (struct sockaddr *)&address, &bytes), 0);
    return ntohs(address.sin_port);
}

Test(io_connect, nobody_listens_is_refused)
{
    int fd;
    uint16_t port = take_port(&fd);
    cr_assert_eq(connect_to(fixture_address(port)), -ECONNREFUSED);
    close(fd);
}

/* localhost is often ::1 first, where nobody listens: the other address is tried. */
Test(io_connect, name_with_several_addresses_reaches_the_one_that_listens)
{
    struct io_listener *listener;
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", accept_and_close, NULL, &listener), 0);
    char address[IO_ADDRESS_MAX];
    snprintf(address, sizeof(address), "localhost:%u", listener->port);
    cr_assert_eq(connect_to(address), 0);
    io_listener_close(listener);

    int fd;
    snprintf(address, sizeof(address), "localhost:%u", take_port(&fd));
    cr_assert_eq(connect_to(address), -ECONNREFUSED);
    close(fd);
}

static void add_address(struct io_uv_addresses *addresses, uint32_t host, uint16_t port)
{
    struct sockaddr_in *address = (struct sockaddr_in *)&addresses->items[addresses->items_count++];
    *address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(host)};
}

/* What the lookup finds is put in its place here, since no name with dead addresses is everywhere. */
static int connect_to_addresses(const struct io_uv_addresses *addresses)
{
    connected_count = 0;
    struct io_stream *base =
        io_connect(fixture_io, "no-such-name.invalid:80", note_connected, NULL);
    struct io_uv_stream *stream = (struct io_uv_stream *)base;
    stream->lookup->stream = NULL;
    io_uv__stream_resolved(stream, 0, addresses);
    fixture_run(30);
    cr_assert_eq(connected_count, 1);
    return connected_status;
}

Test(io_connect, addresses_are_tried_in_order_until_one_answers)
{
    struct io_listener *listener;
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", accept_and_close, NULL, &listener), 0);
    struct io_uv_addresses addresses = {0};
    add_address(&addresses, 0x7f000002u, listener->port); /* nobody listens on 127.0.0.2 */
    add_address(&addresses, 0x7f000003u, listener->port);
    cr_assert_eq(connect_to_addresses(&addresses), -ECONNREFUSED);
    add_address(&addresses, INADDR_LOOPBACK, listener->port);
    cr_assert_eq(connect_to_addresses(&addresses), 0);
    io_listener_close(listener);
}

static void never_connected(struct io_stream *stream, int status)
{
    (void)stream;
    cr_assert_fail("connected with %d after close", status);
}

static struct io_stream *retrying;

static void close_retrying(struct io_timer *timer)
{
    (void)timer;
    io_stream_close(retrying, false);
}

/* Closed at any point of a row of attempts, also between two of them. */
Test(io_connect, closed_between_two_attempts_is_never_told)
{
    struct io_listener *listener;
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", accept_and_close, NULL, &listener), 0);
    struct io_uv_addresses addresses = {0};
    for (uint32_t i = 0; i < IO_UV_ADDRESSES_MAX; i++) {
        add_address(&addresses, 0x7f000002u + i, listener->port);
    }
    for (uint64_t delay_us = 0; delay_us < 150; delay_us += 10) {
        struct io_timer timer = {.fire = close_retrying};
        retrying = io_connect(fixture_io, "no-such-name.invalid:80", never_connected, NULL);
        struct io_uv_stream *stream = (struct io_uv_stream *)retrying;
        stream->lookup->stream = NULL;
        /* The attempts take longer than this: each is a turn or two of the loop. */
        io_timer_start(fixture_io, &timer, delay_us % 30u);
        io_uv__stream_resolved(stream, 0, &addresses);
        fixture_run_for_ms(2);
    }
    io_listener_close(listener);
}

Test(io_connect, unknown_name_is_an_error)
{
    /* .invalid never exists (RFC 6761); without a name server the lookup itself fails. */
    int status = connect_to("no-such-name.invalid:80");
    cr_assert(status == -ENXIO || status == -EAGAIN, "%d", status);
}

Test(io_connect, malformed_address_is_an_error_and_told_later)
{
    static const char *const addresses[] = {"", "localhost", "127.0.0.1:x", ":80", "127.0.0.1:0"};
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        cr_assert_eq(connect_to(addresses[i]), -EINVAL, "\"%s\"", addresses[i]);
    }
}

Test(io_connect, ipv6_in_brackets_connects_where_the_machine_has_it)
{
    struct io_listener *listener;
    int status = io_listen(fixture_io, "[::1]:0", accept_and_close, NULL, &listener);
    if (status == -EAFNOSUPPORT || status == -EADDRNOTAVAIL) return;
    cr_assert_eq(status, 0);
    char address[IO_ADDRESS_MAX];
    snprintf(address, sizeof(address), "[::1]:%u", listener->port);
    cr_assert_eq(connect_to(address), 0);
    io_listener_close(listener);
}

static int left;

static void note_one_of_many(struct io_stream *stream, int status)
{
    cr_assert_eq(status, 0);
    io_stream_close(stream, false);
    if (--left == 0) io_uv_stop(fixture_io);
}

Test(io_connect, more_names_than_lookup_threads_are_all_resolved)
{
    struct io_listener *listener;
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", accept_and_close, NULL, &listener), 0);
    char address[IO_ADDRESS_MAX];
    snprintf(address, sizeof(address), "localhost:%u", listener->port);
    left = 50;
    for (int i = 0; i < 50; i++) {
        io_connect(fixture_io, address, note_one_of_many, NULL);
    }
    fixture_run(30);
    io_listener_close(listener);
}

static void connected_by_name_is_lost(struct io_stream *stream, int status)
{
    (void)stream;
    (void)status;
    cr_assert_fail("called after the loop");
}

/* The end of the process does not wait for a name server. */
Test(io_connect, destroy_does_not_wait_for_a_lookup)
{
    io_connect(fixture_io, "no-such-name.invalid:80", connected_by_name_is_lost, NULL);
    uint64_t begin_us = io_now_us(fixture_io);
    io_uv_destroy(fixture_io);
    fixture_setup();
    cr_assert_lt(io_now_us(fixture_io) - begin_us, 1000000u);
}
