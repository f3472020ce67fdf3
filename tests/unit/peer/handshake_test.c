/* Who gets in: two hubs with each other, and strangers who speak the protocol by hand to the hub of n2. */
#include "party.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND_US 1000000u

static struct fake_io io;
static struct party n1;
static struct party n2;
static struct stranger stranger;

static void open_pair(uint8_t cluster_1, uint8_t cluster_2)
{
    fake_io_init(&io);
    party_open(&n2, &io,
               &(struct party_options){.node_id = 2, .cluster = cluster_2, .nodes_count = 2});
    party_open(&n1, &io,
               &(struct party_options){.node_id = 1, .cluster = cluster_1, .nodes_count = 2});
    fake_io_run(&io, SECOND_US / 10);
}

static void close_pair(void)
{
    party_close(&n1);
    party_close(&n2);
    fake_io_close(&io);
}

/* n2 alone, so that a stranger can play n1. */
static void open_n2(void)
{
    fake_io_init(&io);
    party_open(&n2, &io, &(struct party_options){.node_id = 2, .cluster = 7, .nodes_count = 3});
    /* n2 dials n3, who is not there. */
    io.silent = "n3:7071";
}

static void close_n2(void)
{
    stranger_close(&stranger);
    party_close(&n2);
    fake_io_close(&io);
}

static uint64_t bad_frames(void)
{
    struct peer_counters counters;
    peer_hub_counters(n2.hub, &counters);
    return counters.bad_frames;
}

Test(peer_handshake, both_connections_come_up_on_both_sides)
{
    open_pair(7, 7);
    cr_assert_str_eq(party_news(&n1), "up n2 process 102\nbulk n2 up\n");
    cr_assert_str_eq(party_news(&n2), "up n1 process 101\nbulk n1 up\n");
    cr_assert(peer_is_up(n1.hub, 2, PEER_CONTROL));
    cr_assert(peer_is_up(n1.hub, 2, PEER_BULK));
    cr_assert(peer_is_up(n2.hub, 1, PEER_CONTROL));
    const struct peer_hello *hello = peer_hello_of(n2.hub, 1);
    cr_assert_not_null(hello);
    cr_assert_eq(hello->incarnation, 1001);
    cr_assert_eq(hello->peers_count, 2);
    cr_assert_str_eq(hello->peers[1].address, "n2:7071");
    cr_assert_str_eq(hello->http_address, "127.0.0.1:7070");
    cr_assert_str_eq(hello->version, "0.1.0");
    cr_assert_null(peer_hello_of(n2.hub, 2), "a node is no peer of its own");
    close_pair();
}

/* Every byte of the handshake and of the first frames in a read of its own, at every alignment. */
Test(peer_handshake, reads_of_one_byte_change_nothing)
{
    for (size_t misalignment = 0; misalignment < 8; misalignment++) {
        fake_io_init(&io);
        io.read_bytes_max = 1;
        io.misalignment = misalignment;
        party_open(&n2, &io, &(struct party_options){.node_id = 2, .cluster = 7, .nodes_count = 2});
        party_open(&n1, &io, &(struct party_options){.node_id = 1, .cluster = 7, .nodes_count = 2});
        fake_io_run(&io, SECOND_US / 10);
        cr_assert(party_send(&n1, 2, PEER_CONTROL, 5, "vote for me"));
        cr_assert(party_send(&n1, 2, PEER_CONTROL, 6, ""));
        fake_io_run(&io, SECOND_US / 10);
        cr_assert_str_eq(party_news(&n2), "up n1 process 101\nbulk n1 up\n"
                                          "frame n1 control type 16 group 5 \"vote for me\"\n"
                                          "frame n1 control type 16 group 6 \"\"\n");
        cr_assert_not(n2.is_misaligned);
        close_pair();
    }
}

/* PROTOCOL M6: an empty node asks every peer, founded or not. */
Test(peer_handshake, a_node_without_a_cluster_is_accepted_by_everybody)
{
    for (int founded = 0; founded < 3; founded++) {
        open_pair(founded == 1 ? 7 : 0, founded == 2 ? 7 : 0);
        cr_assert_str_eq(party_news(&n1), "up n2 process 102\nbulk n2 up\n");
        cr_assert(party_send(&n1, 2, PEER_CONTROL, 0, "from n1"));
        cr_assert(party_send(&n2, 1, PEER_CONTROL, 0, "from n2"));
        fake_io_run(&io, SECOND_US / 10);
        cr_assert_str_eq(party_news(&n1), "frame n2 control type 16 group 0 \"from n2\"\n");
        cr_assert_not_null(strstr(party_news(&n2), "\"from n1\""));
        close_pair();
    }
}

Test(peer_handshake, two_clusters_refuse_each_other_and_both_say_so)
{
    open_pair(7, 8);
    const char *news = party_news(&n1);
    cr_assert_not_null(strstr(news, "trouble n2: n2 refuses n1: n1 belongs to cluster 0700"), "%s",
                       news);
    news = party_news(&n2);
    cr_assert_not_null(strstr(news, "trouble n1: n1 belongs to cluster 0700"), "%s", news);
    cr_assert_not_null(strstr(news, "n2 to cluster 0800"), "%s", news);
    cr_assert_not(peer_is_up(n1.hub, 2, PEER_CONTROL));
    close_pair();
}

Test(peer_handshake, the_same_trouble_is_told_once_in_ten_seconds)
{
    open_pair(7, 8);
    /* n2 is dialed, refuses, and after a while dials itself and is refused: a sentence for each. */
    static const char of_n2[] = "trouble n1: n1 belongs to cluster 0700";
    cr_assert_not_null(strstr(party_news(&n2), of_n2));
    fake_io_run(&io, 9 * SECOND_US);
    cr_assert_null(strstr(party_news(&n2), of_n2));
    fake_io_run(&io, 2 * SECOND_US);
    const char *news = party_news(&n2);
    const char *first = strstr(news, of_n2);
    cr_assert_not_null(first);
    cr_assert_null(strstr(first + 1, of_n2));
    close_pair();
}

static void refuse_stranger(const struct hello_message *hello, const char *reason)
{
    open_n2();
    stranger_dial(&stranger, &io, "n2:7071");
    stranger_send_hello(&stranger, hello);
    fake_io_run(&io, SECOND_US / 10);
    cr_assert_not_null(strstr(stranger_goodbye(&stranger), reason), "%s",
                       stranger_goodbye(&stranger));
    cr_assert(stranger.has_end);
    cr_assert_not_null(strstr(party_news(&n2), reason));
    close_n2();
}

Test(peer_handshake, its_own_node_id_is_refused)
{
    struct hello_message hello = stranger_hello();
    hello.hello.node_id = 2;
    refuse_stranger(&hello, "both nodes have the id n2");
}

Test(peer_handshake, an_unknown_node_id_is_refused)
{
    struct hello_message hello = stranger_hello();
    hello.hello.node_id = 9;
    refuse_stranger(&hello, "n9 is not in the list of peers of n2");
}

Test(peer_handshake, another_protocol_version_is_refused)
{
    struct hello_message hello = stranger_hello();
    hello.protocol = PEER_PROTOCOL_VERSION + 1;
    refuse_stranger(&hello, "n2 speaks version 1 of the peer protocol, the other node version 2");
}

/* PROTOCOL M2. */
Test(peer_handshake, a_second_incarnation_is_refused_while_the_first_is_connected)
{
    open_pair(7, 7);
    party_news(&n2);
    struct hello_message hello = stranger_hello();
    hello.hello.incarnation = 5555;
    stranger_dial(&stranger, &io, "n2:7071");
    stranger_send_hello(&stranger, &hello);
    fake_io_run(&io, SECOND_US / 10);
    cr_assert_not_null(
        strstr(stranger_goodbye(&stranger), "n1 is connected to n2 with another data directory"));
    cr_assert(peer_is_up(n2.hub, 1, PEER_CONTROL), "the first one stays");
    cr_assert_null(strstr(party_news(&n2), "down"));
    stranger_close(&stranger);

    /* Once the first one is gone, the second one is welcome. */
    party_close(&n1);
    stranger_dial(&stranger, &io, "n2:7071");
    stranger_shake(&stranger, &io, &hello);
    cr_assert(peer_is_up(n2.hub, 1, PEER_CONTROL));
    cr_assert_eq(peer_hello_of(n2.hub, 1)->incarnation, 5555);
    close_n2();
}

/* Both incarnations are half way through the handshake: the first to finish wins. */
Test(peer_handshake, of_two_incarnations_that_shake_hands_together_one_gets_in)
{
    static struct stranger second;
    open_n2();
    struct hello_message hello = stranger_hello();
    struct hello_message other = hello;
    other.hello.incarnation = 5555;
    stranger_dial(&stranger, &io, "n2:7071");
    stranger_dial(&second, &io, "n2:7071");
    stranger_send_hello(&second, &other);
    while (fake_io_turn(&io)) {
    }
    stranger_shake(&stranger, &io, &hello);
    /* The second one's ack: its HELLO was accepted before. */
    struct hello_message answer;
    struct {
        uint64_t aligned[1024];
    } copy;
    memcpy(&copy, second.received,
           second.received_bytes < sizeof(copy) ? second.received_bytes : sizeof(copy));
    cr_assert_eq(hello__decode((const uint8_t *)&copy + 56,
                               ((const uint32_t *)(const void *)&copy)[1], &answer),
                 HELLO_DECODED);
    uint8_t ack[HELLO_ACK_BYTES];
    hello__encode_ack(answer.nonce, ack);
    stranger_send(&second, PEER_FRAME_HELLO_ACK, ack, sizeof(ack));
    fake_io_run(&io, SECOND_US / 10);
    cr_assert(second.has_end);
    cr_assert_neq(stranger_goodbye(&second)[0], '\0');
    cr_assert_eq(peer_hello_of(n2.hub, 1)->incarnation, 1001);
    stranger_close(&second);
    close_n2();
}

Test(peer_handshake, a_nonce_that_does_not_come_back_closes_the_connection)
{
    open_n2();
    stranger_dial(&stranger, &io, "n2:7071");
    struct hello_message hello = stranger_hello();
    stranger_send_hello(&stranger, &hello);
    uint8_t ack[HELLO_ACK_BYTES] = {1, 2, 3};
    stranger_send(&stranger, PEER_FRAME_HELLO_ACK, ack, sizeof(ack));
    fake_io_run(&io, SECOND_US / 10);
    cr_assert(stranger.has_end);
    cr_assert_eq(bad_frames(), 1);
    cr_assert_not(peer_is_up(n2.hub, 1, PEER_CONTROL));
    close_n2();
}

Test(peer_handshake, a_large_frame_before_the_handshake_is_refused_unread)
{
    open_n2();
    stranger_dial(&stranger, &io, "n2:7071");
    static uint8_t body[PEER_HELLO_BYTES_MAX + 1];
    stranger_send(&stranger, PEER_FRAME_HELLO, body, sizeof(body));
    fake_io_run(&io, SECOND_US / 10);
    cr_assert(stranger.has_end);
    cr_assert_eq(bad_frames(), 1);
    cr_assert_eq(stranger.received_bytes, 0, "a scan of the port learns nothing");
    close_n2();
}

Test(peer_handshake, an_owner_frame_before_the_handshake_is_refused)
{
    open_n2();
    stranger_dial(&stranger, &io, "n2:7071");
    stranger_send(&stranger, PEER_FRAME_RAFT, "vote", 4);
    fake_io_run(&io, SECOND_US / 10);
    cr_assert(stranger.has_end);
    cr_assert_eq(n2.frames_count, 0);
    cr_assert_eq(bad_frames(), 1);
    close_n2();
}

Test(peer_handshake, bytes_of_another_protocol_are_refused)
{
    open_n2();
    stranger_dial(&stranger, &io, "n2:7071");
    const char *request =
        "GET /v1/cluster HTTP/1.1\r\nHost: n2:7071\r\nUser-Agent: curl/7.88.1\r\n\r\n";
    stranger_send_raw(&stranger, request, strlen(request));
    fake_io_run(&io, SECOND_US / 10);
    cr_assert(stranger.has_end);
    cr_assert_eq(stranger.received_bytes, 0);
    cr_assert_not_null(strstr(party_news(&n2), "trouble n0: a damaged frame"));
    close_n2();
}

Test(peer_handshake, silence_is_closed_after_two_seconds)
{
    open_n2();
    stranger_dial(&stranger, &io, "n2:7071");
    fake_io_run(&io, SECOND_US * 19 / 10);
    cr_assert_not(stranger.has_end);
    fake_io_run(&io, SECOND_US * 2 / 10);
    cr_assert(stranger.has_end);
    close_n2();
}

Test(peer_handshake, half_a_handshake_is_closed_after_two_seconds)
{
    open_n2();
    stranger_dial(&stranger, &io, "n2:7071");
    struct hello_message hello = stranger_hello();
    stranger_send_hello(&stranger, &hello);
    fake_io_run(&io, SECOND_US * 19 / 10);
    cr_assert_not(stranger.has_end);
    fake_io_run(&io, SECOND_US * 2 / 10);
    cr_assert(stranger.has_end);
    cr_assert_not_null(
        strstr(party_news(&n2), "trouble n1: n1 did not finish the handshake in 2 s"));
    close_n2();
}

/* A frame of another cluster is damage or misrouting, even on a connection that is up. */
Test(peer_handshake, a_frame_of_another_cluster_closes_the_connection)
{
    fake_io_init(&io);
    party_open(&n2, &io, &(struct party_options){.node_id = 2, .cluster = 8, .nodes_count = 2});
    stranger_dial(&stranger, &io, "n2:7071");
    struct hello_message hello = stranger_hello();
    hello.hello.cluster = party_cluster(8);
    stranger_shake(&stranger, &io, &hello);
    cr_assert(peer_is_up(n2.hub, 1, PEER_CONTROL));
    stranger_send(&stranger, PEER_FRAME_RAFT, "vote", 4); /* names cluster 7 */
    fake_io_run(&io, SECOND_US / 10);
    cr_assert_eq(n2.frames_count, 0);
    cr_assert(stranger.has_end);
    cr_assert_eq(bad_frames(), 1);
    close_n2();
}

Test(peer_handshake, a_frame_of_an_unknown_type_closes_the_connection)
{
    open_n2();
    stranger_dial(&stranger, &io, "n2:7071");
    struct hello_message hello = stranger_hello();
    stranger_shake(&stranger, &io, &hello);
    stranger_send(&stranger, PEER_FRAME_LAST + 1, "", 0);
    fake_io_run(&io, SECOND_US / 10);
    cr_assert_eq(n2.frames_count, 0);
    cr_assert(stranger.has_end);
    close_n2();
}

Test(peer_handshake, a_flood_of_silent_connections_is_bounded)
{
    static struct stranger flood[300];
    open_n2();
    for (int i = 0; i < 300; i++) {
        stranger_dial(&flood[i], &io, "n2:7071");
    }
    int open_count = 0;
    for (int i = 0; i < 300; i++) {
        open_count += !flood[i].has_end;
    }
    cr_assert_lt(open_count, 150);
    fake_io_run(&io, 3 * SECOND_US);
    stranger_dial(&stranger, &io, "n2:7071");
    struct hello_message hello = stranger_hello();
    stranger_shake(&stranger, &io, &hello);
    cr_assert(peer_is_up(n2.hub, 1, PEER_CONTROL), "once they are timed out, peers get in again");
    for (int i = 0; i < 300; i++) {
        stranger_close(&flood[i]);
    }
    close_n2();
}
