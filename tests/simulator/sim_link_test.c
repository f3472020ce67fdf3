/* Links that stall, are cut and heal; nodes that pause. */
#include <errno.h>

#include <criterion/criterion.h>

#include "sim_pair.h"

TestSuite(sim_link, .init = pair_setup, .fini = pair_teardown);

Test(sim_link, stalled_link_holds_bytes_and_delivers_them_when_it_is_up)
{
    pair_connect();
    sim_set_link(pair_sim, 0, 1, SIM_LINK_STALLED);
    pair_write(pair_client.stream, 0, 5000);
    pair_write(pair_server.stream, 0, 5000);
    sim_run_for(pair_sim, 10000000);
    cr_assert_eq(pair_server.got, 0u);
    cr_assert_eq(pair_client.got, 5000u, "the other direction is up");
    cr_assert_eq(pair_client.ends_count, 0);
    sim_set_link(pair_sim, 0, 1, SIM_LINK_UP);
    sim_run_for(pair_sim, 10000);
    cr_assert_eq(pair_server.got, 5000u);
}

static size_t unacknowledged(const struct pair_end *end)
{
    return io_stream_unacknowledged_bytes(end->stream);
}

/* What a kernel has sent it keeps until the other one has told of it: a stall in either direction is in the way. */
Test(sim_link, bytes_are_unacknowledged_until_they_arrived_and_that_was_told)
{
    pair_connect();
    cr_assert_eq(unacknowledged(&pair_client), 0u);
    sim_set_link(pair_sim, 0, 1, SIM_LINK_STALLED);
    pair_write(pair_client.stream, 0, 3000);
    sim_run_for(pair_sim, 1000000);
    cr_assert_eq(unacknowledged(&pair_client), 3000u);
    sim_set_link(pair_sim, 0, 1, SIM_LINK_UP);
    sim_run_for(pair_sim, 10000);
    cr_assert_eq(unacknowledged(&pair_client), 0u);

    sim_set_link(pair_sim, 1, 0, SIM_LINK_STALLED);
    pair_write(pair_client.stream, 3000, 2000);
    sim_run_for(pair_sim, 1000000);
    cr_assert_eq(pair_server.got, 5000u);
    cr_assert_eq(unacknowledged(&pair_client), 2000u, "they arrived, but who tells?");
    sim_set_link(pair_sim, 1, 0, SIM_LINK_UP);
    cr_assert_eq(unacknowledged(&pair_client), 0u);
}

Test(sim_link, what_is_written_into_a_lost_connection_stays_unacknowledged)
{
    pair_connect();
    sim_crash(pair_sim, 1, SIM_CRASH_POWER);
    pair_write(pair_client.stream, 0, 700);
    sim_run_for(pair_sim, 100);
    cr_assert_eq(unacknowledged(&pair_client), 700u);
}

Test(sim_link, order_holds_across_a_stall)
{
    pair_connect();
    for (uint64_t i = 0; i < 300; i++) {
        if (i % 30 == 10) sim_set_link(pair_sim, 0, 1, SIM_LINK_STALLED);
        if (i % 30 == 20) sim_heal(pair_sim);
        pair_write(pair_client.stream, i * 100, 100);
        sim_run_for(pair_sim, 40);
    }
    io_stream_close(pair_client.stream, true);
    sim_heal(pair_sim);
    sim_run_for(pair_sim, 100000);
    cr_assert_eq(pair_server.got, 30000u);
    cr_assert_eq(pair_server.end_status, -EPIPE);
}

/* What a stall held is let go at drawn times: the end must not overtake the bytes. */
Test(sim_link, end_does_not_overtake_held_bytes)
{
    for (int round = 0; round < 30; round++) {
        pair_client = (struct pair_end){0};
        pair_server = (struct pair_end){0};
        pair_connect();
        sim_set_link(pair_sim, 0, 1, SIM_LINK_STALLED);
        for (uint64_t i = 0; i < 5; i++) {
            pair_write(pair_client.stream, i * 100, 100);
            sim_run_for(pair_sim, 200);
        }
        io_stream_close(pair_client.stream, true);
        sim_run_for(pair_sim, 2000000);
        sim_heal(pair_sim);
        sim_run_for(pair_sim, 10000);
        cr_assert_eq(pair_server.got, 500u);
        cr_assert_eq(pair_server.end_status, -EPIPE);
        io_stream_close(pair_server.stream, false);
        sim_run_for(pair_sim, 10000);
    }
}

Test(sim_link, cut_resets_both_ends_and_a_healed_link_carries_again)
{
    pair_connect();
    pair_write(pair_client.stream, 0, 100);
    sim_set_link(pair_sim, 1, 0, SIM_LINK_CUT);
    sim_run_for(pair_sim, 10000);
    cr_assert_eq(pair_client.end_status, -ECONNRESET);
    cr_assert_eq(pair_server.end_status, -ECONNRESET);
    io_stream_close(pair_client.stream, false);
    io_stream_close(pair_server.stream, false);
    sim_heal(pair_sim);
    sim_run_for(pair_sim, 10000); /* both ends closed: their counters are free */
    pair_client = (struct pair_end){0};
    pair_server = (struct pair_end){0};
    pair_connect();
    pair_write(pair_client.stream, 0, 100);
    sim_run_for(pair_sim, 10000);
    cr_assert_eq(pair_server.got, 100u);
}

Test(sim_link, a_stall_that_lasts_breaks_the_connection_at_both_ends)
{
    pair_connect();
    sim_set_link(pair_sim, 0, 1, SIM_LINK_STALLED);
    pair_write(pair_client.stream, 0, 100);
    sim_run_for(pair_sim, 9000000);
    cr_assert_eq(pair_client.ends_count, 0);
    sim_run_for(pair_sim, 2000000);
    cr_assert_eq(pair_client.ends_count, 1);
    cr_assert_eq(pair_server.ends_count, 1);
    cr_assert_eq(pair_server.got, 0u);
    io_stream_close(pair_client.stream, false);
    io_stream_close(pair_server.stream, false);
}

Test(sim_link, a_stall_that_ends_in_time_breaks_nothing)
{
    pair_connect();
    for (uint64_t i = 0; i < 3; i++) {
        sim_set_link(pair_sim, 0, 1, SIM_LINK_STALLED);
        pair_write(pair_client.stream, 100 * i, 100);
        sim_run_for(pair_sim, 6000000);
        sim_set_link(pair_sim, 0, 1, SIM_LINK_UP);
        sim_run_for(pair_sim, 100000);
        cr_assert_eq(pair_server.got, 100u * (i + 1u));
    }
    sim_run_for(pair_sim, 20000000);
    cr_assert_eq(pair_client.ends_count, 0);
    cr_assert_eq(pair_server.ends_count, 0);
}

Test(sim_link, the_end_of_a_machine_is_told_when_the_link_that_was_cut_is_healed)
{
    pair_connect();
    sim_crash(pair_sim, 1, SIM_CRASH_POWER);
    sim_set_link(pair_sim, 0, 1, SIM_LINK_CUT);
    sim_run_for(pair_sim, 20000000);
    sim_heal(pair_sim);
    sim_run_for(pair_sim, 100000);
    cr_assert_eq(pair_client.ends_count, 1);
    io_stream_close(pair_client.stream, false);
}

static void note_connected(struct io_stream *stream, int status)
{
    struct pair_end *end = stream->data;
    end->connected_count++;
    end->connected_status = status;
    io_stream_close(stream, false);
}

Test(sim_link, connecting_over_a_cut_link_fails_and_over_a_stalled_one_waits)
{
    struct pair_end cut = {0}, stalled = {0};
    sim_set_link(pair_sim, 0, 1, SIM_LINK_CUT);
    io_connect(pair_io[0], "n2:7000", note_connected, &cut);
    sim_run_for(pair_sim, 100000);
    cr_assert_eq(cut.connected_status, -EHOSTUNREACH);
    sim_set_link(pair_sim, 0, 1, SIM_LINK_STALLED);
    io_connect(pair_io[0], "n2:7000", note_connected, &stalled);
    sim_run_for(pair_sim, 10000000);
    cr_assert_eq(stalled.connected_count, 0);
    sim_heal(pair_sim);
    sim_run_for(pair_sim, 10000);
    cr_assert_eq(stalled.connected_count, 1);
    cr_assert_eq(stalled.connected_status, 0);
}

Test(sim_link, cut_while_connecting_is_told)
{
    struct pair_end end = {0};
    sim_set_link(pair_sim, 0, 1, SIM_LINK_STALLED);
    io_connect(pair_io[0], "n2:7000", note_connected, &end);
    sim_run_for(pair_sim, 10000);
    sim_set_link(pair_sim, 0, 1, SIM_LINK_CUT);
    sim_run_for(pair_sim, 100000);
    cr_assert_eq(end.connected_count, 1);
    cr_assert_eq(end.connected_status, -EHOSTUNREACH);
}

Test(sim_link, isolated_node_reaches_nobody_until_all_is_healed)
{
    struct pair_end end = {0};
    sim_isolate(pair_sim, 1, SIM_LINK_CUT);
    io_connect(pair_io[0], "n2:7000", note_connected, &end);
    sim_run_for(pair_sim, 100000);
    cr_assert_eq(end.connected_status, -EHOSTUNREACH);
    sim_heal(pair_sim);
    pair_connect();
}

static int fired_count;

static void fire(struct io_timer *timer)
{
    (void)timer;
    fired_count++;
}

Test(sim_link, paused_process_does_nothing_and_catches_up_on_resume)
{
    struct io_timer timer = {.fire = fire}, stopped = {.fire = fire};
    pair_connect();
    io_timer_start(pair_io[1], &timer, 1000);
    io_timer_start(pair_io[1], &stopped, 1000);
    sim_pause(pair_sim, 1);
    pair_write(pair_client.stream, 0, 2000);
    sim_run_for(pair_sim, 500000);
    cr_assert_eq(fired_count, 0);
    cr_assert_eq(pair_server.got, 0u);
    cr_assert_eq(pair_client.ends_count, 0, "its kernel holds the connection");
    io_timer_stop(pair_io[1], &stopped);
    sim_resume(pair_sim, 1);
    sim_run_for(pair_sim, 10000);
    cr_assert_eq(fired_count, 1);
    cr_assert_eq(pair_server.got, 2000u);
}

Test(sim_link, connection_to_a_paused_process_is_accepted_on_resume_and_refused_by_its_death)
{
    struct pair_end first = {0}, second = {0};
    sim_pause(pair_sim, 1);
    io_connect(pair_io[0], "n2:7000", note_connected, &first);
    sim_run_for(pair_sim, 100000);
    cr_assert_eq(first.connected_count, 0);
    sim_resume(pair_sim, 1);
    sim_run_for(pair_sim, 10000);
    cr_assert_eq(first.connected_status, 0);
    cr_assert_eq(first.connected_count, 1);
    sim_pause(pair_sim, 1);
    io_connect(pair_io[0], "n2:7000", note_connected, &second);
    sim_run_for(pair_sim, 100000);
    sim_crash(pair_sim, 1, SIM_CRASH_KILL);
    sim_run_for(pair_sim, 10000);
    cr_assert_eq(second.connected_status, -ECONNREFUSED);
}
