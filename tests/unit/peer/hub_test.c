/* The life of connections: redial, restart, replacement, damage, a new cluster id, the end. */
#include "party.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u

static struct fake_io io;
static struct party n1;
static struct party n2;
static struct party n3;

static void open_node(struct party *party, uint64_t node_id, uint64_t process)
{
    party_open(party, &io,
               &(struct party_options){
                   .node_id = node_id, .process = process, .cluster = 7, .nodes_count = 3});
}

static void open_three(void)
{
    fake_io_init(&io);
    open_node(&n1, 1, 0);
    open_node(&n2, 2, 0);
    open_node(&n3, 3, 0);
    fake_io_run(&io, SECOND_US / 10);
}

static void close_three(void)
{
    party_close(&n1);
    party_close(&n2);
    party_close(&n3);
    fake_io_close(&io);
}

Test(peer_hub, three_nodes_find_each_other_in_any_order_of_start)
{
    static const int orders[6][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3},
                                     {2, 3, 1}, {3, 1, 2}, {3, 2, 1}};
    struct party *parties[3] = {&n1, &n2, &n3};
    for (int order = 0; order < 6; order++) {
        fake_io_init(&io);
        for (int i = 0; i < 3; i++) {
            int node_id = orders[order][i];
            open_node(parties[node_id - 1], (uint64_t)node_id, 0);
            fake_io_run(&io, SECOND_US);
        }
        for (uint64_t from = 1; from <= 3; from++) {
            for (uint64_t to = 1; to <= 3; to++) {
                bool is_up = peer_is_up(parties[from - 1]->hub, to, PEER_CONTROL) &&
                             peer_is_up(parties[from - 1]->hub, to, PEER_BULK);
                cr_assert_eq(is_up, from != to);
            }
        }
        close_three();
    }
}

Test(peer_hub, a_cluster_of_one_listens_and_sends_nothing)
{
    fake_io_init(&io);
    party_open(&n1, &io, &(struct party_options){.node_id = 1, .cluster = 7, .nodes_count = 1});
    fake_io_run(&io, SECOND_US);
    cr_assert_null(io.streams);
    cr_assert_not_null(io.listeners);
    cr_assert_not(party_send(&n1, 1, PEER_CONTROL, 0, "to myself"));
    cr_assert_eq(peer_queue_bytes(n1.hub, 1, PEER_BULK), 0);
    party_close(&n1);
    fake_io_close(&io);
}

Test(peer_hub, a_port_in_use_is_an_error)
{
    fake_io_init(&io);
    open_node(&n1, 1, 0);
    struct peer_callbacks none = {0};
    struct peer_config self = {.node_id = 1, .address = "n1:7071"};
    struct peer_hub_options options = {.io = &io.base,
                                       .node_id = 1,
                                       .listen_address = "n1:7071",
                                       .peers = &self,
                                       .peers_count = 1,
                                       .peer_address = "",
                                       .http_address = "",
                                       .kafka_address = "",
                                       .version = "",
                                       .callbacks = &none};
    struct peer_hub *hub = NULL;
    cr_assert_eq(peer_hub_create(&options, &hub), -EADDRINUSE);
    cr_assert_null(hub);
    party_close(&n1);
    fake_io_close(&io);
}

Test(peer_hub, impossible_options_are_refused)
{
    fake_io_init(&io);
    struct peer_callbacks none = {0};
    struct peer_config peers[3] = {{1, "a:1"}, {2, "b:1"}, {2, "c:1"}};
    struct peer_hub_options options = {.io = &io.base,
                                       .node_id = 1,
                                       .listen_address = "a:1",
                                       .peers = peers,
                                       .peers_count = 3,
                                       .peer_address = "",
                                       .http_address = "",
                                       .kafka_address = "",
                                       .version = "",
                                       .callbacks = &none};
    struct peer_hub *hub;
    cr_assert_eq(peer_hub_create(&options, &hub), -EINVAL, "an id twice");
    options.peers_count = 2;
    options.node_id = 4;
    cr_assert_eq(peer_hub_create(&options, &hub), -EINVAL, "not among the peers");
    options.node_id = 1;
    peers[0].node_id = 0;
    cr_assert_eq(peer_hub_create(&options, &hub), -EINVAL, "id 0");
    peers[0].node_id = 1;
    options.version = "a version text that is longer than thirty-one bytes";
    cr_assert_eq(peer_hub_create(&options, &hub), -EINVAL, "a text too long");
    options.version = "bell \a";
    cr_assert_eq(peer_hub_create(&options, &hub), -EINVAL, "a text that no peer would take");
    options.version = "";
    options.peers_count = 0;
    cr_assert_eq(peer_hub_create(&options, &hub), -EINVAL, "no peers");
    fake_io_close(&io);
}

/* kill -9 and restart: the survivor hears down at once and up with the new process, after a redial by backoff. */
Test(peer_hub, a_restarted_peer_is_told_as_down_then_up_with_its_new_process)
{
    open_three();
    party_news(&n1);
    fake_io_run(&io, SECOND_US);
    party_close(&n2);
    fake_io_run(&io, 1000);
    cr_assert_str_eq(party_news(&n1), "down n2 process 102\nbulk n2 closed\n");
    fake_io_run(&io, SECOND_US / 10);
    open_node(&n2, 2, 202);
    fake_io_run(&io, SECOND_US / 2);
    cr_assert_str_eq(party_news(&n1), "up n2 process 202\nbulk n2 up\n");
    cr_assert_eq(peer_hello_of(n1.hub, 2)->process, 202);
    close_three();
}

/* The backoff never exceeds 250 ms, so a peer is back at most that long after it listens again. */
Test(peer_hub, redials_back_off_to_a_quarter_of_a_second)
{
    open_three();
    party_close(&n3);
    fake_io_run(&io, 20 * SECOND_US);
    open_node(&n3, 3, 303);
    party_news(&n1);
    fake_io_run(&io, 251 * 1000);
    cr_assert(peer_is_up(n1.hub, 3, PEER_CONTROL));
    cr_assert(peer_is_up(n2.hub, 3, PEER_CONTROL));
    close_three();
}

/* Goal: a dead peer costs few dials. Method: count the turns of 10 s; 2 connections * 40 dials are the most, besides the
 * watch over the living, of two hubs: 4 looks a second, and a sign of life and its answer on two connections. */
Test(peer_hub, a_dead_peer_is_not_dialed_in_a_tight_loop)
{
    open_three();
    party_close(&n3);
    fake_io_run(&io, SECOND_US);
    uint32_t turns = io.turns_count;
    fake_io_run(&io, 10 * SECOND_US);
    cr_assert_lt(io.turns_count - turns, 2u * 2u * 2u * 60u + 2u * 10u * (4u + 2u * 4u));
    const char *news = party_news(&n1);
    cr_assert_not_null(
        strstr(news, "trouble n3: cannot connect to n3 at n3:7071: Connection refused"), "%s",
        news);
    open_node(&n3, 3, 0);
    close_three();
}

Test(peer_hub, an_address_that_never_answers_is_dialed_anew)
{
    fake_io_init(&io);
    io.silent = "n2:7071";
    party_open(&n1, &io, &(struct party_options){.node_id = 1, .cluster = 7, .nodes_count = 2});
    fake_io_run(&io, 10 * SECOND_US);
    cr_assert_str_eq(party_news(&n1), "trouble n2: n2 cannot be reached: no answer in 2 s\n");
    party_open(&n2, &io, &(struct party_options){.node_id = 2, .cluster = 7, .nodes_count = 2});
    io.silent = NULL;
    fake_io_run(&io, SECOND_US * 5 / 2);
    cr_assert(peer_is_up(n1.hub, 2, PEER_CONTROL));
    party_close_two(&io, &n1, &n2);
}

/* The list of peers leads to the wrong machine. */
Test(peer_hub, a_node_that_answers_for_another_is_refused_on_both_sides)
{
    fake_io_init(&io);
    party_open(&n1, &io, &(struct party_options){.node_id = 1, .cluster = 7, .nodes_count = 3});
    party_open(&n3, &io,
               &(struct party_options){
                   .node_id = 3, .cluster = 7, .nodes_count = 3, .address = "n2:7071"});
    fake_io_run(&io, SECOND_US);
    const char *news = party_news(&n1);
    cr_assert_not_null(strstr(news, "n3 answers at the address that n1 has for n2"), "%s", news);
    cr_assert_null(strstr(news, "up n2"));
    cr_assert_not(peer_is_up(n1.hub, 2, PEER_CONTROL));
    party_close(&n1);
    party_close(&n3);
    fake_io_close(&io);
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

Test(peer_hub, a_damaged_frame_closes_the_connection_is_counted_and_redialed)
{
    party_open_two(&io, &n1, &n2);
    struct fake_stream *stream = fake_io_dialed(&io, "n2:7071"); /* the newest: bulk */
    stream->other->flip_at = stream->other->received_total + 60;
    cr_assert(party_send(&n1, 2, PEER_BULK, 5, "an append that gets damaged"));
    fake_io_run(&io, SECOND_US / 10);
    cr_assert_eq(n2.frames_count, 0);
    struct peer_counters counters;
    peer_hub_counters(n2.hub, &counters);
    cr_assert_eq(counters.bad_frames, 1);
    cr_assert_eq(counters.disconnects, 1);
    cr_assert_eq(counters.connects, 3);
    const char *news = party_news(&n2);
    cr_assert_not_null(strstr(news, "bulk n1 closed\n"), "%s", news);
    cr_assert_not_null(strstr(news, "trouble n1: a damaged frame from"), "%s", news);
    cr_assert_not_null(strstr(news, "bulk n1 up\n"), "%s", news);
    cr_assert_null(strstr(news, "down"), "the control connection is another one");
    party_close_two(&io, &n1, &n2);
}

/* Goal: no byte of a frame can be changed without notice. Method: flip each one in turn, on a live connection. */
Test(peer_hub, no_damaged_frame_ever_reaches_the_owner)
{
    party_open_two(&io, &n1, &n2);
    for (uint64_t at = 0; at < 56 + 16; at++) {
        struct fake_stream *stream = fake_io_dialed(&io, "n2:7071");
        stream->other->flip_at = stream->other->received_total + at;
        cr_assert(party_send(&n1, 2, PEER_BULK, 5, "sixteen bytes ok"));
        fake_io_run(&io, SECOND_US);
        cr_assert_eq(n2.frames_count, 0, "byte %u", (unsigned)at);
        cr_assert(peer_is_up(n1.hub, 2, PEER_BULK));
    }
    party_close_two(&io, &n1, &n2);
}

/* ---- half-open connections ------------------------------------------------------------------------------------------ */

static void dial_by_hand(struct stranger *stranger, enum peer_connection kind, uint64_t process)
{
    stranger_dial(stranger, &io, "n2:7071");
    struct hello_message hello = stranger_hello();
    hello.connection = kind;
    hello.hello.process = process;
    stranger_shake(stranger, &io, &hello);
}

/* n1 lost its connections without n2 noticing (a firewall forgot them) and dials anew. What n2 had queued is lost. */
Test(peer_hub, a_new_connection_that_replaces_an_old_one_is_told_as_down_and_up)
{
    static struct stranger old;
    static struct stranger fresh;
    fake_io_init(&io);
    party_open(&n2, &io, &(struct party_options){.node_id = 2, .cluster = 7, .nodes_count = 2});
    dial_by_hand(&old, PEER_CONTROL, 101);
    fake_stream_cut((struct fake_stream *)old.stream);
    party_news(&n2);
    dial_by_hand(&fresh, PEER_CONTROL, 101);
    cr_assert_str_eq(party_news(&n2), "down n1 process 101\nup n1 process 101\n");
    cr_assert(party_send(&n2, 1, PEER_CONTROL, 1, "hello"));
    size_t before = fresh.received_bytes;
    fake_io_run(&io, 1000);
    cr_assert_gt(fresh.received_bytes, before, "what is sent goes to the new one");
    stranger_close(&old);
    stranger_close(&fresh);
    party_close(&n2);
    fake_io_close(&io);
}

/* Both dialed at once: the one of the lower id stays, and nothing is lost. */
Test(peer_hub, a_second_connection_of_the_higher_id_is_closed_while_the_first_lives)
{
    static struct stranger second;
    fake_io_init(&io);
    party_open(&n1, &io, &(struct party_options){.node_id = 1, .cluster = 7, .nodes_count = 2});
    party_open(&n2, &io, &(struct party_options){.node_id = 2, .cluster = 7, .nodes_count = 2});
    fake_io_run(&io, SECOND_US / 10);
    party_news(&n1);
    struct hello_message hello = stranger_hello();
    hello.hello.node_id = 2;
    hello.hello.incarnation = 1002;
    hello.hello.process = 102;
    stranger_dial(&second, &io, "n1:7071");
    stranger_shake(&second, &io, &hello);
    fake_io_run(&io, SECOND_US / 10);
    cr_assert(second.has_end);
    cr_assert_str_eq(party_news(&n1), "");
    cr_assert(party_send(&n2, 1, PEER_CONTROL, 1, "hello"));
    fake_io_run(&io, SECOND_US / 10);
    cr_assert_not_null(strstr(party_news(&n1), "\"hello\""));
    stranger_close(&second);
    party_close_two(&io, &n1, &n2);
}

/* Frames queued on the old bulk connection are lost, so the owner must hear of it. */
Test(peer_hub, a_replaced_bulk_connection_is_told_as_closed_and_up)
{
    static struct stranger old;
    static struct stranger fresh;
    fake_io_init(&io);
    party_open(&n2, &io, &(struct party_options){.node_id = 2, .cluster = 7, .nodes_count = 2});
    dial_by_hand(&old, PEER_BULK, 101);
    fake_stream_cut((struct fake_stream *)old.stream);
    party_news(&n2);
    dial_by_hand(&fresh, PEER_BULK, 101);
    cr_assert_str_eq(party_news(&n2), "bulk n1 closed\nbulk n1 up\n");
    stranger_close(&old);
    stranger_close(&fresh);
    party_close(&n2);
    fake_io_close(&io);
}

/* The machine of n1 lost power and came back: n2 never saw an end. Its old bulk connection goes with the old process. */
Test(peer_hub, a_new_process_is_told_as_down_then_up_and_ends_all_connections_of_the_old_one)
{
    static struct stranger old[2];
    static struct stranger fresh;
    fake_io_init(&io);
    party_open(&n2, &io, &(struct party_options){.node_id = 2, .cluster = 7, .nodes_count = 2});
    dial_by_hand(&old[0], PEER_CONTROL, 101);
    dial_by_hand(&old[1], PEER_BULK, 101);
    fake_stream_cut((struct fake_stream *)old[0].stream);
    fake_stream_cut((struct fake_stream *)old[1].stream);
    party_news(&n2);
    dial_by_hand(&fresh, PEER_CONTROL, 999);
    cr_assert_str_eq(party_news(&n2), "bulk n1 closed\ndown n1 process 101\nup n1 process 999\n");
    cr_assert_not(peer_is_up(n2.hub, 1, PEER_BULK));
    stranger_close(&old[0]);
    stranger_close(&old[1]);
    stranger_close(&fresh);
    party_close(&n2);
    fake_io_close(&io);
}

/* ---- the cluster id becomes known -------------------------------------------------------------------------------------- */

static struct cluster_id adopted;

static void adopt_on_frame(struct party *party, const struct peer_frame *frame)
{
    if (frame->type == PEER_FRAME_RAFT) peer_hub_set_membership(party->hub, &adopted, 0, false);
}

/* Both are founded while connected, one of them from inside of its frame callback, as a FOUNDING frame does. */
Test(peer_hub, set_cluster_makes_all_connections_again_under_it)
{
    fake_io_init(&io);
    party_open(&n1, &io, &(struct party_options){.node_id = 1, .nodes_count = 2});
    party_open(&n2, &io, &(struct party_options){.node_id = 2, .nodes_count = 2});
    fake_io_run(&io, SECOND_US / 2);
    party_news(&n1);
    party_news(&n2);
    adopted = party_cluster(7);
    n2.on_frame = adopt_on_frame;
    cr_assert(party_send(&n1, 2, PEER_CONTROL, 0, "founding"));
    cr_assert(
        party_send(&n1, 2, PEER_CONTROL, 0, "never arrives: the first one closes the connection"));
    fake_io_run(&io, SECOND_US / 2);
    cr_assert_str_eq(party_news(&n2), "frame n1 control type 16 group 0 \"founding\"\n"
                                      "bulk n1 closed\ndown n1 process 101\n"
                                      "up n1 process 101\nbulk n1 up\n");
    cr_assert_str_eq(party_news(&n1), "down n2 process 102\nbulk n2 closed\n"
                                      "up n2 process 102\nbulk n2 up\n");
    const struct peer_hello *hello = peer_hello_of(n1.hub, 2);
    cr_assert(cluster_id_equal(&hello->cluster, &adopted));

    peer_hub_set_membership(n1.hub, &adopted, 0, false);
    cr_assert_not(peer_is_up(n1.hub, 2, PEER_CONTROL));
    cr_assert_str_eq(party_news(&n1), "", "no callback from inside of set_cluster");
    fake_io_run(&io, SECOND_US / 2);
    cr_assert_str_eq(party_news(&n1), "bulk n2 closed\ndown n2 process 102\n"
                                      "up n2 process 102\nbulk n2 up\n");
    peer_hub_set_membership(n1.hub, &adopted, 0, false);
    fake_io_run(&io, SECOND_US / 2);
    cr_assert_str_eq(party_news(&n1), "", "the same id again changes nothing");
    party_close_two(&io, &n1, &n2);
}

static void adopt_on_up(struct party *party, const struct peer_hello *hello)
{
    (void)hello;
    peer_hub_set_membership(party->hub, &adopted, 0, false);
}

Test(peer_hub, set_cluster_inside_of_up_is_told_as_down_at_once)
{
    fake_io_init(&io);
    party_open(&n1, &io, &(struct party_options){.node_id = 1, .nodes_count = 2});
    party_open(&n2, &io, &(struct party_options){.node_id = 2, .nodes_count = 2});
    adopted = party_cluster(7);
    n1.on_up = adopt_on_up;
    fake_io_run(&io, SECOND_US);
    cr_assert_str_eq(party_news(&n1), "up n2 process 102\ndown n2 process 102\n"
                                      "up n2 process 102\nbulk n2 up\n");
    party_close_two(&io, &n1, &n2);
}

/* ---- the end --------------------------------------------------------------------------------------------------------------- */

/* Goal: destroy is safe at any moment. Method: let a pair run n turns for every n until all is quiet, then destroy one
 * side, then the other, with frames queued; the sanitizer and fake_io_close() see what is left behind. */
Test(peer_hub, destroy_is_safe_at_every_moment)
{
    for (uint32_t turns = 0; turns < 40; turns++) {
        fake_io_init(&io);
        io.read_bytes_max = 100;
        party_open(&n1, &io, &(struct party_options){.node_id = 1, .cluster = 7, .nodes_count = 2});
        party_open(&n2, &io, &(struct party_options){.node_id = 2, .cluster = 7, .nodes_count = 2});
        fake_io_run(&io, 0); /* the dials start */
        for (uint32_t i = 0; i < turns; i++) {
            fake_io_turn(&io);
        }
        (void)party_send(&n1, 2, PEER_CONTROL, 1, "on its way");
        (void)party_send(&n2, 1, PEER_BULK, 1, "on its way");
        party_close(turns % 2 ? &n1 : &n2);
        size_t told = (turns % 2 ? &n1 : &n2)->log_bytes;
        fake_io_run(&io, SECOND_US * (turns % 3));
        cr_assert_eq((turns % 2 ? &n1 : &n2)->log_bytes, told, "a callback after destroy");
        party_close(turns % 2 ? &n2 : &n1);
        fake_io_close(&io);
    }
    peer_hub_destroy(NULL);
}

/* Goal: whatever dies when, the survivors agree with the truth in the end. Method: random restarts, cuts and damage for
 * a while, then quiet; every pair must be up, and what each was told must alternate. */
static void check_alternation(const char *news)
{
    int up[4] = {0};
    int bulk[4] = {0};
    for (const char *line = news; *line; line = strchr(line, '\n') + 1) {
        int node = 0;
        char word[16] = "";
        if (sscanf(line, "up n%d", &node) == 1) {
            cr_assert_eq(up[node]++, 0, "up twice: %.80s", line);
        } else if (sscanf(line, "down n%d", &node) == 1) {
            cr_assert_eq(up[node]--, 1, "down twice: %.80s", line);
        } else if (sscanf(line, "bulk n%d %15s", &node, word) == 2) {
            bulk[node] += strcmp(word, "up") == 0 ? 1 : -1;
            cr_assert(bulk[node] == 0 || bulk[node] == 1, "bulk told twice: %.80s", line);
        }
    }
}

static void restart(struct party *party, uint64_t node_id, uint64_t process)
{
    check_alternation(party_news(party));
    party_close(party);
    fake_io_run(&io, (uint64_t)(rand() % 60) * 1000u);
    open_node(party, node_id, process);
    party->logs_frames = false;
}

static void damage_some_stream(void)
{
    int number = rand() % 8;
    struct fake_stream *stream = io.streams;
    for (; stream && number > 0; stream = stream->next) {
        number--;
    }
    if (!stream || stream->is_closed) return;
    if (rand() % 2) {
        stream->flip_at = stream->received_total + (uint64_t)(rand() % 200);
    } else if (stream->other) { /* the network resets it: both ends see an end */
        stream->has_end = true;
        stream->other->has_end = true;
    }
}

Test(peer_hub, after_random_restarts_and_damage_every_pair_is_up_again)
{
    struct party *parties[3] = {&n1, &n2, &n3};
    for (unsigned seed = 0; seed < 40; seed++) {
        srand(seed);
        open_three();
        for (int i = 0; i < 3; i++) {
            parties[i]->logs_frames = false;
        }
        for (uint64_t step = 0; step < 60; step++) {
            io.read_bytes_max = 1 + (size_t)(rand() % 400);
            struct party *party = parties[rand() % 3];
            switch (rand() % 4) {
            case 0:
                restart(party, party->node_id, 1000 + step);
                break;
            case 1:
                damage_some_stream();
                break;
            default:
                for (uint64_t to = 1; to <= 3; to++) {
                    (void)party_send(party, to, rand() % 2 ? PEER_BULK : PEER_CONTROL, 1,
                                     "some bytes");
                }
            }
            fake_io_run(&io, (uint64_t)(rand() % 100) * 1000u);
        }
        for (struct fake_stream *stream = io.streams; stream; stream = stream->next) {
            stream->flip_at = UINT64_MAX;
        }
        fake_io_run(&io, 5 * SECOND_US);
        for (int i = 0; i < 3; i++) {
            check_alternation(party_news(parties[i]));
            for (uint64_t to = 1; to <= 3; to++) {
                if (to == parties[i]->node_id) continue;
                cr_assert(peer_is_up(parties[i]->hub, to, PEER_CONTROL), "seed %u", seed);
                cr_assert(peer_is_up(parties[i]->hub, to, PEER_BULK), "seed %u", seed);
            }
            cr_assert_not(parties[i]->is_misaligned);
        }
        close_three();
    }
}
