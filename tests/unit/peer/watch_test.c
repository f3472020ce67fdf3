/* Goal: the hub notices by itself that a connection is dead, and that nothing moves on bulk (PROTOCOL C4). Method: streams
 * of the fake world that go silent without an end, and a kernel that acknowledges nothing. */
#include "party.h"

#include <criterion/criterion.h>
#include <string.h>

#define SECOND_US 1000000u

static struct fake_io io;
static struct party n1;
static struct party n2;

static void open_two(uint64_t bulk_stall_us)
{
    fake_io_init(&io);
    party_open(&n1, &io,
               &(struct party_options){
                   .node_id = 1, .cluster = 7, .nodes_count = 2, .bulk_stall_us = bulk_stall_us});
    party_open(&n2, &io, &(struct party_options){.node_id = 2, .cluster = 7, .nodes_count = 2});
    fake_io_run(&io, SECOND_US / 10);
    party_news(&n1);
    party_news(&n2);
}

static void close_two(void)
{
    party_close(&n1);
    party_close(&n2);
    fake_io_run(&io, SECOND_US);
    fake_io_close(&io);
}

static uint64_t silent_count(const struct party *party)
{
    struct peer_counters counters;
    peer_hub_counters(party->hub, &counters);
    return counters.silent;
}

static uint64_t stalls_count(const struct party *party)
{
    struct peer_counters counters;
    peer_hub_counters(party->hub, &counters);
    return counters.bulk_stalls;
}

Test(peer_watch, an_idle_connection_lives_by_signs_of_life)
{
    open_two(SECOND_US / 2);
    fake_io_run(&io, 60 * SECOND_US);
    cr_assert_str_eq(party_news(&n1), "", "and they are no movement");
    cr_assert_str_eq(party_news(&n2), "");
    cr_assert_eq(silent_count(&n1) + silent_count(&n2), 0);
    cr_assert_eq(stalls_count(&n1), 0);
    close_two();
}

Test(peer_watch, a_connection_that_went_silent_is_made_anew_within_five_seconds)
{
    open_two(0);
    for (struct fake_stream *stream = io.streams; stream; stream = stream->next) {
        if (strcmp(stream->address, "n2:7071") == 0) fake_stream_cut(stream);
    }
    fake_io_run(&io, 2 * SECOND_US);
    cr_assert_eq(silent_count(&n1), 0);
    fake_io_run(&io, 3 * SECOND_US);
    cr_assert_geq(silent_count(&n1), 1);
    const char *news = party_news(&n1);
    cr_assert_not_null(strstr(news, "trouble n2: n2 is silent; connecting anew"), "%s", news);
    cr_assert(peer_is_up(n1.hub, 2, PEER_CONTROL));
    cr_assert(peer_is_up(n1.hub, 2, PEER_BULK));
    close_two();
}

/* SIGSTOP: what was not heard while the process slept proves nothing. */
Test(peer_watch, after_a_pause_nobody_is_taken_for_dead)
{
    open_two(SECOND_US / 2);
    cr_assert(party_send(&n1, 2, PEER_BULK, 1, "append"));
    io.now_us += 20 * SECOND_US;
    fake_io_run(&io, SECOND_US);
    cr_assert_eq(silent_count(&n1) + silent_count(&n2), 0);
    cr_assert_eq(stalls_count(&n1), 0);
    cr_assert(peer_is_up(n1.hub, 2, PEER_CONTROL));
    close_two();
}

Test(peer_watch, bulk_on_which_nothing_arrives_is_made_anew_and_suspect)
{
    open_two(SECOND_US / 2);
    io.unacknowledged_bytes = 1u << 20;
    cr_assert(party_send(&n1, 2, PEER_BULK, 1, "append"));
    fake_io_run(&io, SECOND_US * 4 / 10);
    cr_assert_eq(stalls_count(&n1), 0);
    cr_assert_not(peer_bulk_is_suspect(n1.hub, 2));
    fake_io_run(&io, SECOND_US / 4);
    cr_assert_eq(stalls_count(&n1), 1);
    cr_assert(peer_bulk_is_suspect(n1.hub, 2));
    const char *news = party_news(&n1);
    cr_assert_not_null(strstr(news, "bulk n2 closed\n"), "%s", news);
    cr_assert_not_null(strstr(news, "bulk n2 up\n"), "%s", news);
    cr_assert_null(strstr(news, "down n2"), "control stays: %s", news);
    cr_assert_eq(silent_count(&n1), 0);
    close_two();
}

/* A path that drops large packets lets the small ones of a new connection through. */
Test(peer_watch, little_that_arrives_after_a_stall_is_not_told_as_movement)
{
    open_two(SECOND_US / 2);
    io.unacknowledged_bytes = 1u << 20;
    cr_assert(party_send(&n1, 2, PEER_BULK, 1, "append"));
    fake_io_run(&io, SECOND_US);
    party_news(&n1);
    io.unacknowledged_bytes = 0;
    for (int i = 0; i < 20; i++) {
        cr_assert(party_send(&n1, 2, PEER_BULK, 1, "small"));
        fake_io_run(&io, SECOND_US / 20);
    }
    cr_assert_str_eq(party_news(&n1), "");
    cr_assert_eq(stalls_count(&n1), 1, "it does arrive");
    static char large[70000];
    memset(large, 'x', sizeof(large) - 1u);
    cr_assert(party_send(&n1, 2, PEER_BULK, 1, large));
    fake_io_run(&io, SECOND_US / 10);
    cr_assert_str_eq(party_news(&n1), "moved n2\n");
    cr_assert_not(peer_bulk_is_suspect(n1.hub, 2));
    close_two();
}

Test(peer_watch, an_append_after_a_long_idle_time_is_no_stall)
{
    open_two(SECOND_US / 2);
    fake_io_run(&io, 60 * SECOND_US);
    io.unacknowledged_bytes = 1u << 20;
    cr_assert(party_send(&n1, 2, PEER_BULK, 1, "append"));
    fake_io_run(&io, SECOND_US / 4);
    io.unacknowledged_bytes = 0;
    fake_io_run(&io, SECOND_US);
    cr_assert_eq(stalls_count(&n1), 0);
    cr_assert_str_eq(party_news(&n1), "moved n2\n");
    close_two();
}
