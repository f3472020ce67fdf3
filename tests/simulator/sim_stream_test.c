/* Simulated streams: delivery, back-pressure, ends. */
#include <errno.h>
#include <string.h>

#include <criterion/criterion.h>

#include "sim_pair.h"

TestSuite(sim_stream, .init = pair_setup, .fini = pair_teardown);

Test(sim_stream, bytes_arrive_in_order_and_cut_at_other_places_than_written)
{
    pair_connect();
    for (uint64_t i = 0; i < 200; i++) {
        pair_write(pair_client.stream, i * 1000, 1000);
        sim_run_for(pair_sim, 50);
    }
    sim_run_for(pair_sim, 100000);
    cr_assert_eq(pair_server.got, 200000u);
    cr_assert_eq(pair_releases_count, 200);
    cr_assert_neq(pair_server.reads_count, 200);
}

Test(sim_stream, both_directions_are_independent)
{
    pair_connect();
    pair_write(pair_client.stream, 0, 5000);
    pair_write(pair_server.stream, 0, 7000);
    sim_run_for(pair_sim, 20000);
    cr_assert_eq(pair_server.got, 5000u);
    cr_assert_eq(pair_client.got, 7000u);
}

Test(sim_stream, paused_reader_holds_the_writer_and_drained_follows)
{
    enum { BYTES = 2 * 1024 * 1024 };
    pair_connect();
    io_stream_pause(pair_server.stream, true);
    for (uint64_t i = 0; i < BYTES; i += 65536) {
        pair_write(pair_client.stream, i, 65536);
    }
    sim_run_for(pair_sim, 1000000);
    cr_assert_eq(pair_server.got, 0u);
    cr_assert_eq(pair_client.drained_count, 0);
    cr_assert_gt(io_stream_write_queue_bytes(pair_client.stream), IO_WRITE_LOW_WATER_BYTES);
    io_stream_pause(pair_server.stream, false);
    sim_run_for(pair_sim, 1000000);
    cr_assert_eq(pair_server.got, BYTES);
    cr_assert_eq(pair_client.drained_count, 1);
    cr_assert_eq(io_stream_write_queue_bytes(pair_client.stream), 0u);
    cr_assert_eq(pair_releases_count, BYTES / 65536);
}

Test(sim_stream, linger_close_delivers_all_and_then_the_end)
{
    enum { BYTES = 2 * 1024 * 1024 };
    pair_connect();
    pair_write(pair_server.stream, 0, 100); /* never read: it must not reset what follows */
    pair_write(pair_client.stream, 0, BYTES);
    io_stream_pause(pair_client.stream, true);
    sim_run_for(pair_sim, 10);
    io_stream_close(pair_client.stream, true);
    sim_run_for(pair_sim, 3000000);
    cr_assert_eq(pair_server.got, BYTES);
    cr_assert_eq(pair_server.ends_count, 1);
    cr_assert_eq(pair_server.end_status, -EPIPE);
    cr_assert_eq(pair_client.closed_count, 1);
    cr_assert_eq(pair_client.ends_count, 0);
    io_stream_close(pair_server.stream, false);
    sim_run_for(pair_sim, 1000);
    cr_assert_eq(pair_server.closed_count, 1);
}

Test(sim_stream, linger_close_gives_up_after_five_seconds)
{
    pair_connect();
    io_stream_pause(pair_server.stream, true);
    pair_write(pair_client.stream, 0, 1024 * 1024);
    io_stream_close(pair_client.stream, true);
    sim_run_for(pair_sim, 4900000);
    cr_assert_eq(pair_client.closed_count, 0);
    sim_run_for(pair_sim, 200000);
    cr_assert_eq(pair_client.closed_count, 1);
    cr_assert_eq(pair_releases_count, 1);
}

Test(sim_stream, close_with_unread_bytes_resets_the_peer)
{
    pair_connect();
    io_stream_pause(pair_server.stream, true);
    pair_write(pair_client.stream, 0, 100);
    sim_run_for(pair_sim, 5000);
    io_stream_close(pair_server.stream, false);
    sim_run_for(pair_sim, 5000);
    cr_assert_eq(pair_client.ends_count, 1);
    cr_assert_eq(pair_client.end_status, -ECONNRESET);
    /* What is written now goes nowhere, but comes back. */
    pair_write(pair_client.stream, 0, 100);
    sim_run_for(pair_sim, 5000);
    cr_assert_eq(pair_releases_count, 2);
}

Test(sim_stream, write_to_a_reset_stream_is_told_once_though_it_is_paused)
{
    pair_connect();
    io_stream_pause(pair_client.stream, true);
    io_stream_pause(pair_server.stream, true);
    pair_write(pair_client.stream, 0, 100);
    sim_run_for(pair_sim, 5000);
    io_stream_close(pair_server.stream, false);
    sim_run_for(pair_sim, 5000);
    cr_assert_eq(pair_client.ends_count, 0);
    pair_write(pair_client.stream, 0, 100);
    pair_write(pair_client.stream, 0, 100);
    cr_assert_eq(pair_client.ends_count, 0, "told inside of the write");
    sim_run_for(pair_sim, 5000);
    cr_assert_eq(pair_client.ends_count, 1);
    cr_assert_eq(pair_client.end_status, -EPIPE);
    cr_assert_eq(pair_releases_count, 3);
}

static int status_of_last;
static int connects_count;

static void note_status(struct io_stream *stream, int status)
{
    status_of_last = status;
    connects_count++;
    io_stream_close(stream, false);
}

static int connect_status(const char *address)
{
    connects_count = 0;
    io_connect(pair_io[0], address, note_status, NULL);
    cr_assert_eq(connects_count, 0, "told inside of io_connect");
    sim_run_for(pair_sim, 100000);
    cr_assert_eq(connects_count, 1);
    return status_of_last;
}

Test(sim_stream, connect_tells_why_it_failed)
{
    cr_assert_eq(connect_status("n2:7001"), -ECONNREFUSED);
    cr_assert_eq(connect_status("n3:7000"), -ECONNREFUSED, "n3 does not run");
    cr_assert_eq(connect_status("n9:7000"), -ENXIO);
    cr_assert_eq(connect_status("n2"), -EINVAL);
    cr_assert_eq(connect_status("n2:x"), -EINVAL);
    cr_assert_eq(connect_status("n2:7000"), 0);
}

static void ignore_accept(struct io_listener *listener, struct io_stream *stream)
{
    (void)listener;
    io_stream_close(stream, false);
}

Test(sim_stream, port_in_use_is_told_and_free_after_close)
{
    struct io_listener *second;
    cr_assert_eq(io_listen(pair_io[1], "0.0.0.0:7000", ignore_accept, NULL, &second), -EADDRINUSE);
    cr_assert_eq(io_listen(pair_io[1], "n1:7000", ignore_accept, NULL, &second), -EADDRNOTAVAIL);
    cr_assert_eq(io_listen(pair_io[0], ":7000", ignore_accept, NULL, &second), 0, "another node");
    io_listener_close(second);
    io_listener_close(pair_listener);
    cr_assert_eq(connect_status("n2:7000"), -ECONNREFUSED);
    cr_assert_eq(io_listen(pair_io[1], ":7000", ignore_accept, NULL, &second), 0);
    cr_assert_eq(connect_status("n2:7000"), 0);
}

static void start_client(struct io_stream *stream, int status)
{
    cr_assert_eq(status, 0);
    io_stream_start(stream, &pair_callbacks, &pair_client);
}

Test(sim_stream, written_before_it_is_connected_arrives)
{
    struct io_stream *stream = io_connect(pair_io[0], "n2:7000", start_client, NULL);
    pair_write(stream, 0, 3000);
    pair_write(stream, 3000, 3000);
    sim_run_for(pair_sim, 20000);
    cr_assert_eq(pair_server.got, 6000u);
    cr_assert_eq(pair_releases_count, 2);
}

Test(sim_stream, closed_before_it_is_connected_is_never_told)
{
    struct io_stream *stream = io_connect(pair_io[0], "n2:7000", note_status, NULL);
    pair_write(stream, 0, 3000);
    io_stream_close(stream, false);
    sim_run_for(pair_sim, 20000);
    cr_assert_eq(connects_count, 0);
    cr_assert_eq(pair_releases_count, 1);
}

Test(sim_stream, peer_address_names_node_and_port)
{
    char address[IO_ADDRESS_MAX];
    pair_connect();
    io_stream_peer_address(pair_client.stream, address, sizeof(address));
    cr_assert_str_eq(address, "n2:7000");
    io_stream_peer_address(pair_server.stream, address, sizeof(address));
    cr_assert_eq(strncmp(address, "n1:", 3), 0);
}
