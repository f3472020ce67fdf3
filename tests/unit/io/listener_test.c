/* Listening: ports, errors, and a lack of descriptors. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "io_fixture.h"

TestSuite(io_listen, .init = fixture_setup, .fini = fixture_teardown);

static int accepted_count;
static int accepted_wanted;

static void accept_and_close(struct io_listener *listener, struct io_stream *stream)
{
    (void)listener;
    accepted_count++;
    io_stream_write(stream, &(struct io_buffer){.data = "k", .bytes = 1}, 1);
    io_stream_close(stream, false);
    if (accepted_count == accepted_wanted) io_uv_stop(fixture_io);
}

Test(io_listen, port_zero_takes_a_free_port_and_tells_it)
{
    struct io_listener *first, *second;
    int marker;
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", accept_and_close, &marker, &first), 0);
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", accept_and_close, NULL, &second), 0);
    cr_assert_neq(first->port, 0);
    cr_assert_neq(second->port, first->port);
    cr_assert_eq(first->data, &marker);
    io_listener_close(first);
    io_listener_close(second);
}

Test(io_listen, port_in_use_is_told_and_free_again_after_close)
{
    struct io_listener *first, *second;
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", accept_and_close, NULL, &first), 0);
    const char *address = fixture_address(first->port);
    cr_assert_eq(io_listen(fixture_io, address, accept_and_close, NULL, &second), -EADDRINUSE);
    io_listener_close(first);
    cr_assert_eq(io_listen(fixture_io, address, accept_and_close, NULL, &second), 0);
    io_listener_close(second);
}

Test(io_listen, an_address_that_could_be_had_is_told_without_taking_it)
{
    struct io_listener *first;
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", accept_and_close, NULL, &first), 0);
    const char *address = fixture_address(first->port);
    cr_assert_eq(io_uv_try_address(address), -EADDRINUSE);
    io_listener_close(first);
    cr_assert_eq(io_uv_try_address(address), 0);
    cr_assert_eq(io_uv_try_address(address), 0);
    cr_assert_eq(io_listen(fixture_io, address, accept_and_close, NULL, &first), 0);
    io_listener_close(first);
}

Test(io_listen, malformed_address_is_refused)
{
    static const char *const addresses[] = {"",
                                            "localhost",
                                            "127.0.0.1:",
                                            "127.0.0.1:http",
                                            "127.0.0.1:65536",
                                            "127.0.0.1:-1",
                                            "127.0.0.1:1 ",
                                            "::1:80",
                                            "[::1]80",
                                            "[::1",
                                            "[]:80",
                                            "127.0.0.1:000080"};
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct io_listener *listener;
        int status = io_listen(fixture_io, addresses[i], accept_and_close, NULL, &listener);
        cr_assert_eq(status, -EINVAL, "\"%s\": %d", addresses[i], status);
    }
    struct io_listener *listener;
    char long_address[400];
    snprintf(long_address, sizeof(long_address), "%0300d:1", 0);
    cr_assert_eq(io_listen(fixture_io, long_address, accept_and_close, NULL, &listener), -EINVAL);
}

Test(io_listen, foreign_address_is_refused)
{
    struct io_listener *listener;
    /* TEST-NET-1 belongs to nobody. */
    cr_assert_eq(io_listen(fixture_io, "192.0.2.1:0", accept_and_close, NULL, &listener),
                 -EADDRNOTAVAIL);
}

static int connect_raw(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

Test(io_listen, name_and_empty_host_accept_ipv4)
{
    static const char *const addresses[] = {"localhost:0", ":0", "0.0.0.0:0"};
    accepted_wanted = 3;
    for (int i = 0; i < 3; i++) {
        struct io_listener *listener;
        cr_assert_eq(io_listen(fixture_io, addresses[i], accept_and_close, NULL, &listener), 0);
        close(connect_raw(listener->port));
    }
    fixture_run(10);
}

static struct rlimit limit_before;

static void raise_limit(struct io_timer *timer)
{
    (void)timer;
    cr_assert_eq(accepted_count, 0, "accepted without descriptors");
    setrlimit(RLIMIT_NOFILE, &limit_before);
}

/* Connections that come while no descriptor is left wait in the backlog and are served later; none is dropped. */
Test(io_listen, lack_of_descriptors_delays_connections_and_drops_none)
{
    enum { CLIENTS = 5 };
    struct io_listener *listener;
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", accept_and_close, NULL, &listener), 0);
    int clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = connect_raw(listener->port);
    }
    getrlimit(RLIMIT_NOFILE, &limit_before);
    struct rlimit none = limit_before;
    none.rlim_cur = (rlim_t)clients[0]; /* every descriptor below is taken */
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct io_timer later = {.fire = raise_limit};
    io_timer_start(fixture_io, &later, 120000);
    accepted_wanted = CLIENTS;
    clock_t cpu = clock();
    fixture_run(10);
    cr_assert_eq(accepted_count, CLIENTS);
    cr_assert_lt(clock() - cpu, CLOCKS_PER_SEC / 20, "the loop spun while it could not accept");
    fixture_run_for_ms(5);
    for (int i = 0; i < CLIENTS; i++) {
        char byte = 0;
        cr_assert_eq(recv(clients[i], &byte, 1, 0), 1);
        cr_assert_eq(byte, 'k');
        close(clients[i]);
    }
    io_listener_close(listener);
}

Test(io_listen, burst_of_connections_is_accepted_whole)
{
    enum { CLIENTS = 200 };
    struct io_listener *listener;
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", accept_and_close, NULL, &listener), 0);
    int clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = connect_raw(listener->port);
    }
    accepted_wanted = CLIENTS;
    fixture_run(10);
    for (int i = 0; i < CLIENTS; i++) {
        close(clients[i]);
    }
    io_listener_close(listener);
}

static struct io_listener *next_listener;
static int next_clients[2];
static int next_accepted_count;

static void accept_next(struct io_listener *listener, struct io_stream *stream)
{
    (void)listener;
    io_stream_close(stream, false);
    if (++next_accepted_count == 1) io_uv_stop(fixture_io);
}

static void accept_and_replace(struct io_listener *listener, struct io_stream *stream)
{
    accepted_count++;
    io_stream_close(stream, false);
    io_listener_close(listener);
    /* Takes over the descriptor number of the closed one, and has a connection waiting. */
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", accept_next, NULL, &next_listener), 0);
    next_clients[1] = connect_raw(next_listener->port);
}

Test(io_listen, closed_inside_of_accept_takes_nothing_from_the_listener_that_follows)
{
    struct io_listener *listener;
    cr_assert_eq(io_listen(fixture_io, "127.0.0.1:0", accept_and_replace, NULL, &listener), 0);
    next_clients[0] = connect_raw(listener->port);
    fixture_run(10);
    cr_assert_eq(accepted_count, 1);
    cr_assert_eq(next_accepted_count, 1);
    close(next_clients[0]);
    close(next_clients[1]);
    io_listener_close(next_listener);
}
