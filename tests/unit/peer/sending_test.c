/* What peer_send promises: one write per turn, order, ownership of parts, the bound of the queue, movement. */
#include "party.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u

static struct fake_io io;
static struct party n1;
static struct party n2;

/* A part that counts its releases. */
struct owned {
    uint8_t *data;
    size_t bytes;
    int releases;
};

static void owned_release(void *owner)
{
    struct owned *owned = owner;
    owned->releases++;
    /* Freed here, so a use after release is seen. */
    free(owned->data);
    owned->data = NULL;
}

static void release_nothing(void *owner)
{
    (void)owner;
}

static struct io_buffer owned_part(struct owned *owned, size_t bytes, uint8_t fill)
{
    *owned = (struct owned){.data = malloc(bytes), .bytes = bytes};
    memset(owned->data, fill, bytes);
    return (struct io_buffer){
        .data = owned->data, .bytes = bytes, .release = owned_release, .owner = owned};
}

static bool send_parts(const struct io_buffer *parts, int count)
{
    return peer_send(n1.hub, 2, PEER_BULK, PEER_FRAME_RAFT, 9, parts, count);
}

Test(peer_send, frames_of_one_turn_leave_in_one_write_and_in_order)
{
    party_open_two(&io, &n1, &n2);
    struct fake_stream *bulk = fake_io_dialed(&io, "n2:7071");
    uint32_t writes = bulk->writes_count;
    for (int i = 0; i < 100; i++) {
        char text[8] = {(char)('0' + i / 10), (char)('0' + i % 10)};
        cr_assert(party_send(&n1, 2, PEER_BULK, (uint64_t)i, text));
    }
    cr_assert_eq(bulk->writes_count, writes, "nothing leaves before the end of the turn");
    fake_io_run(&io, 1000);
    cr_assert_eq(bulk->writes_count, writes + 1);
    cr_assert_eq(n2.frames_count, 100);
    const char *news = party_news(&n2);
    const char *previous = news;
    for (int i = 0; i < 100; i++) {
        char text[8] = {'"', (char)('0' + i / 10), (char)('0' + i % 10), '"'};
        const char *found = strstr(previous, text);
        cr_assert_not_null(found);
        previous = found;
    }
    party_close_two(&io, &n1, &n2);
}

static uint8_t expected[70000];
static uint32_t checked_count;

static void check_body(struct party *party, const struct peer_frame *frame)
{
    (void)party;
    cr_assert_eq(frame->bytes, 3 + 1024 + 1025 + 0 + 60000 + 5);
    const uint8_t *at = frame->body;
    cr_assert_eq(memcmp(at, "abc", 3), 0);
    memset(expected, 1, 1024);
    cr_assert_eq(memcmp(at + 3, expected, 1024), 0);
    memset(expected, 2, 1025);
    cr_assert_eq(memcmp(at + 1027, expected, 1025), 0);
    memset(expected, 3, 60000);
    cr_assert_eq(memcmp(at + 2052, expected, 60000), 0);
    cr_assert_eq(memcmp(at + 62052, "defgh", 5), 0);
    checked_count++;
}

/* Copied and referenced parts, mixed, at every size class, arrive as one body; each owner is released exactly once. */
Test(peer_send, mixed_parts_arrive_in_order_and_are_released_once)
{
    party_open_two(&io, &n1, &n2);
    n2.on_frame = check_body;
    struct owned owned[3][4];
    for (int i = 0; i < 3; i++) {
        struct io_buffer parts[6] = {
            {.data = "abc", .bytes = 3},        owned_part(&owned[i][0], 1024, 1),
            owned_part(&owned[i][1], 1025, 2),  {.data = NULL, .bytes = 0},
            owned_part(&owned[i][2], 60000, 3), {.data = "defgh", .bytes = 5},
        };
        cr_assert(send_parts(parts, 6));
        cr_assert_eq(owned[i][0].releases, 0, "a small one beside a large one is kept, too");
        cr_assert_eq(owned[i][1].releases, 0, "a large one is kept");
    }
    fake_io_run(&io, 1000);
    cr_assert_eq(checked_count, 3);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++) {
            cr_assert_eq(owned[i][k].releases, 1);
        }
    }
    party_close_two(&io, &n1, &n2);
}

Test(peer_send, small_parts_are_copied_and_released_at_once)
{
    party_open_two(&io, &n1, &n2);
    struct owned owned[2];
    struct io_buffer parts[2] = {owned_part(&owned[0], 1024, '1'), owned_part(&owned[1], 10, '2')};
    cr_assert(send_parts(parts, 2));
    cr_assert_eq(owned[0].releases, 1);
    cr_assert_eq(owned[1].releases, 1);
    fake_io_run(&io, 1000);
    cr_assert_eq(n2.frames_bytes, 1034);
    party_close_two(&io, &n1, &n2);
}

/* The parts of a view have one owner, released by the last part, however small that is. */
Test(peer_send, the_last_part_may_own_the_memory_of_all)
{
    party_open_two(&io, &n1, &n2);
    io.inbox_bytes_max = 1000; /* the first part is written in many steps */
    n2.logs_frames = false;
    struct owned owned;
    struct io_buffer whole = owned_part(&owned, 70000, 6);
    struct io_buffer parts[2] = {whole, whole};
    parts[0].bytes = 69990;
    parts[0].release = release_nothing;
    parts[1].data = (const uint8_t *)whole.data + 69990;
    parts[1].bytes = 10;
    cr_assert(send_parts(parts, 2));
    cr_assert_eq(owned.releases, 0);
    fake_io_turn(&io);
    cr_assert_eq(owned.releases, 0, "the first part is still on its way");
    fake_io_run(&io, SECOND_US);
    cr_assert_eq(owned.releases, 1);
    cr_assert_eq(n2.frames_count, 1);
    party_close_two(&io, &n1, &n2);
}

Test(peer_send, parts_are_released_when_nobody_is_connected)
{
    fake_io_init(&io);
    party_open(&n1, &io, &(struct party_options){.node_id = 1, .cluster = 7, .nodes_count = 2});
    struct owned owned;
    struct io_buffer part = owned_part(&owned, 5000, 1);
    cr_assert_not(send_parts(&part, 1));
    cr_assert_eq(owned.releases, 1);
    part = owned_part(&owned, 5000, 1);
    cr_assert_not(peer_send(n1.hub, 77, PEER_BULK, PEER_FRAME_RAFT, 0, &part, 1), "unknown node");
    cr_assert_eq(owned.releases, 1);
    party_close(&n1);
    fake_io_close(&io);
}

Test(peer_send, parts_are_released_when_the_connection_dies_before_they_leave)
{
    party_open_two(&io, &n1, &n2);
    struct owned owned[2];
    struct io_buffer part = owned_part(&owned[0], 5000, 1);
    cr_assert(send_parts(&part, 1));
    party_close(&n1); /* in the same turn: never flushed, or flushed and never taken */
    fake_io_run(&io, 1000);
    cr_assert_eq(owned[0].releases, 1);

    party_close(&n2);
    party_open_two(&io, &n1, &n2);
    io.inbox_bytes_max = 0; /* the receiver takes nothing */
    part = owned_part(&owned[1], 5000, 1);
    cr_assert(send_parts(&part, 1));
    fake_io_run(&io, 1000);
    cr_assert_eq(owned[1].releases, 0);
    party_close(&n2);
    fake_io_run(&io, 1000);
    cr_assert_eq(owned[1].releases, 1);
    party_close(&n1);
    fake_io_close(&io);
}

/* Bounded memory: above PEER_QUEUE_BYTES_MAX unsent bytes peer_send refuses, and takes again when they have moved. */
Test(peer_send, a_full_queue_refuses_until_it_moves)
{
    party_open_two(&io, &n1, &n2);
    io.inbox_bytes_max = 1000;
    n2.logs_frames = false;
    static struct owned owned[80];
    int sent = 0;
    for (; sent < 80; sent++) {
        struct io_buffer part = owned_part(&owned[sent], 1024 * 1024, 1);
        if (!send_parts(&part, 1)) break;
    }
    cr_assert_eq(sent, 63, "64 MiB hold 63 frames of 1 MiB and a header: %d", sent);
    cr_assert_eq(owned[sent].releases, 1);
    cr_assert_leq(peer_queue_bytes(n1.hub, 2, PEER_BULK), PEER_QUEUE_BYTES_MAX);
    cr_assert(party_send(&n1, 2, PEER_CONTROL, 1, "control is not held up"));
    io.inbox_bytes_max = 65536;
    fake_io_run(&io, SECOND_US);
    cr_assert_eq(n2.frames_count, 64);
    cr_assert_eq(peer_queue_bytes(n1.hub, 2, PEER_BULK), 0);
    struct io_buffer part = owned_part(&owned[sent], 1024 * 1024, 1);
    cr_assert(send_parts(&part, 1));
    fake_io_run(&io, SECOND_US);
    cr_assert_eq(n2.frames_count, 65);
    for (int i = 0; i <= sent; i++) {
        cr_assert_eq(owned[i].releases, 1);
    }
    party_close_two(&io, &n1, &n2);
}

Test(peer_send, the_largest_frame_passes_and_one_byte_more_is_refused)
{
    party_open_two(&io, &n1, &n2);
    n2.logs_frames = false;
    struct owned owned;
    struct io_buffer part = owned_part(&owned, PEER_FRAME_BYTES_MAX, 4);
    cr_assert(send_parts(&part, 1));
    fake_io_run(&io, SECOND_US);
    cr_assert_eq(n2.frames_count, 1);
    cr_assert_eq(n2.frames_bytes, PEER_FRAME_BYTES_MAX);
    part = owned_part(&owned, PEER_FRAME_BYTES_MAX + 1, 4);
    cr_assert_not(send_parts(&part, 1));
    cr_assert_eq(owned.releases, 1);
    party_close_two(&io, &n1, &n2);
}

/* Goal: small frames that wait for a slow receiver cost memory in proportion to their bytes. Method: 20,000 turns with a
 * frame of 100 bytes each; a fresh chunk per turn would be 320 MB. The sanitizer's allocator or not, the pieces' bytes
 * must lie close together. */
Test(peer_send, small_frames_of_many_turns_share_their_memory)
{
    party_open_two(&io, &n1, &n2);
    io.inbox_bytes_max = 0;
    n2.logs_frames = false;
    for (int i = 0; i < 20000; i++) {
        cr_assert(party_send(&n1, 2, PEER_BULK, 1, "0123456789012345678901234567890123456789"));
        fake_io_turn(&io);
    }
    const struct fake_stream *bulk = fake_io_dialed(&io, "n2:7071");
    size_t neighbours = 0;
    for (size_t i = 1; i < bulk->queue_count; i++) {
        const uint8_t *previous_end =
            (const uint8_t *)bulk->queue[i - 1].data + bulk->queue[i - 1].bytes;
        neighbours += previous_end == bulk->queue[i].data;
    }
    cr_assert_gt(neighbours, bulk->queue_count * 98 / 100);
    io.inbox_bytes_max = 65536;
    fake_io_run(&io, SECOND_US);
    cr_assert_eq(n2.frames_count, 20000);
    party_close_two(&io, &n1, &n2);
}

/* ---- movement (PROTOCOL C4) ------------------------------------------------------------------------------------------- */

Test(peer_send, bulk_movement_is_told_while_one_large_frame_is_half_way)
{
    party_open_two(&io, &n1, &n2);
    n2.logs_frames = false;
    io.inbox_bytes_max = 0;
    struct owned owned;
    struct io_buffer part = owned_part(&owned, 10u * 1024u * 1024u, 1);
    cr_assert(send_parts(&part, 1));
    fake_io_run(&io, SECOND_US);
    cr_assert_str_eq(party_news(&n1), "", "nothing was taken, nothing is told");
    for (int i = 0; i < 3; i++) {
        io.inbox_bytes_max = 1000; /* some bytes get through, then it stalls again */
        fake_io_turn(&io);
        io.inbox_bytes_max = 0;
        fake_io_run(&io, SECOND_US);
        cr_assert_str_eq(party_news(&n1), "moved n2\n", "once per movement");
        cr_assert_eq(owned.releases, 0);
    }
    io.inbox_bytes_max = 1u << 20;
    fake_io_run(&io, SECOND_US);
    cr_assert_not_null(strstr(party_news(&n1), "moved n2 drained\n"));
    cr_assert_eq(n2.frames_count, 1);
    party_close_two(&io, &n1, &n2);
}

/* A path that lets only small packets through: the own kernel takes every repeat of what never arrives. */
Test(peer_send, bytes_that_only_our_kernel_took_have_not_moved)
{
    party_open_two(&io, &n1, &n2);
    io.unacknowledged_bytes = 1u << 20;
    for (int i = 0; i < 3; i++) {
        cr_assert(party_send(&n1, 2, PEER_BULK, 1, "append"));
        fake_io_run(&io, SECOND_US);
        cr_assert_str_eq(party_news(&n1), "");
    }
    io.unacknowledged_bytes = 1;
    fake_io_run(&io, SECOND_US);
    cr_assert_str_eq(party_news(&n1), "moved n2\n");
    io.unacknowledged_bytes = 0;
    fake_io_run(&io, SECOND_US);
    cr_assert_str_eq(party_news(&n1), "moved n2\n", "the last byte, too, without another write");
    fake_io_run(&io, SECOND_US);
    cr_assert_str_eq(party_news(&n1), "");
    party_close_two(&io, &n1, &n2);
}

Test(peer_send, a_peer_was_heard_when_its_last_bytes_came)
{
    party_open_two(&io, &n1, &n2);
    fake_io_run(&io, SECOND_US);
    cr_assert_eq(peer_heard_us(n1.hub, 3, PEER_CONTROL), 0u, "not connected");
    const uint64_t before = peer_heard_us(n1.hub, 2, PEER_CONTROL);
    cr_assert_gt(before, 0u, "its hello");
    cr_assert(party_send(&n1, 2, PEER_CONTROL, 1, "heartbeat"));
    fake_io_run(&io, SECOND_US / 1000);
    cr_assert_eq(peer_heard_us(n1.hub, 2, PEER_CONTROL), before, "what is sent says nothing");
    cr_assert(party_send(&n2, 1, PEER_CONTROL, 1, "reply"));
    fake_io_run(&io, SECOND_US / 1000);
    cr_assert_gt(peer_heard_us(n1.hub, 2, PEER_CONTROL), before + SECOND_US / 2);
    party_close_two(&io, &n1, &n2);
}

Test(peer_send, control_frames_are_no_bulk_movement)
{
    party_open_two(&io, &n1, &n2);
    cr_assert(party_send(&n1, 2, PEER_CONTROL, 1, "heartbeat"));
    fake_io_run(&io, SECOND_US);
    cr_assert_str_eq(party_news(&n1), "");
    cr_assert(party_send(&n1, 2, PEER_BULK, 1, "append"));
    fake_io_run(&io, SECOND_US);
    cr_assert_str_eq(party_news(&n1), "moved n2\n");
    party_close_two(&io, &n1, &n2);
}

Test(peer_send, counters_count_frames_and_bytes_of_both_sides)
{
    party_open_two(&io, &n1, &n2);
    struct peer_counters before;
    struct peer_counters after;
    peer_hub_counters(n2.hub, &before);
    cr_assert_eq(before.connects, 2);
    cr_assert(party_send(&n1, 2, PEER_CONTROL, 1, "0123456789"));
    fake_io_run(&io, 1000);
    peer_hub_counters(n2.hub, &after);
    cr_assert_eq(after.frames_in - before.frames_in, 1);
    cr_assert_eq(after.bytes_in - before.bytes_in, 56 + 16);
    struct peer_counters sender;
    peer_hub_counters(n1.hub, &sender);
    cr_assert_eq(sender.bytes_out, after.bytes_in);
    cr_assert_eq(sender.frames_out, after.frames_in);
    party_close_two(&io, &n1, &n2);
}

/* An answer sent from inside of a callback leaves in the same turn. */
static void echo(struct party *party, const struct peer_frame *frame)
{
    struct io_buffer part = {.data = frame->body, .bytes = frame->bytes};
    cr_assert(peer_send(party->hub, frame->node_id, frame->connection, PEER_FRAME_RESPONSE,
                        frame->group, &part, 1));
}

Test(peer_send, a_callback_may_answer)
{
    party_open_two(&io, &n1, &n2);
    n2.on_frame = echo;
    cr_assert(party_send(&n1, 2, PEER_CONTROL, 4, "question"));
    fake_io_run(&io, 1000);
    cr_assert_str_eq(party_news(&n1), "frame n2 control type 20 group 4 \"question\"\n");
    party_close_two(&io, &n1, &n2);
}
