/* Goal: heartbeats of many groups travel as names of what changed and one digest for the rest, and the receiver acts as if
 * every message had arrived (PROTOCOL C6). Method: two sets of books, frames carried by hand. */
#include "heartbeat.h"

#include <by_hand.h>
#include <criterion/criterion.h>
#include <segment_log/checksum.h>
#include <stdlib.h>
#include <string.h>

struct heard {
    uint64_t groups[64];
    uint8_t first_bytes[64];
    uint32_t count;
};

static void hear(void *data, uint64_t group, const uint8_t *message, size_t bytes)
{
    struct heard *heard = data;
    cr_assert_gt(bytes, 0);
    cr_assert_lt(heard->count, 64);
    heard->groups[heard->count] = group;
    heard->first_bytes[heard->count] = message[0];
    heard->count++;
}

static void offer(struct heartbeat_books *books, uint64_t group, uint8_t value)
{
    uint8_t message[40];
    memset(message, value, sizeof(message));
    heartbeat_offer(books, HEARTBEAT_BEATS, group, message, sizeof(message));
}

/* Carry the next frame; returns its size, 0 when there was none. */
static size_t carry(struct heartbeat_books *from, struct heartbeat_books *to, struct heard *heard)
{
    memset(heard, 0, sizeof(*heard));
    size_t bytes = 0;
    const struct heartbeat_head head = {.wall_ms = 7};
    uint8_t *body = heartbeat_build(from, &head, &bytes);
    if (!body) return 0;
    cr_assert(heartbeat_read(to, body, bytes, hear, heard));
    free(body);
    return bytes;
}

Test(node_heartbeat, names_what_is_new_and_digests_what_is_repeated)
{
    struct heartbeat_books a = {0};
    struct heartbeat_books b = {0};
    struct heard heard;
    for (uint64_t group = 1; group <= 20; group++) {
        offer(&a, group, (uint8_t)group);
    }
    const size_t named = carry(&a, &b, &heard);
    cr_assert_eq(heard.count, 20);
    for (uint64_t group = 1; group <= 20; group++) {
        offer(&a, group, (uint8_t)group);
    }
    const size_t digested = carry(&a, &b, &heard);
    cr_assert_eq(heard.count, 20);
    for (uint32_t i = 0; i < 20; i++) {
        cr_assert_eq(heard.groups[i], i + 1);
        cr_assert_eq(heard.first_bytes[i], i + 1);
    }
    cr_assert_lt(digested, 64, "20 unchanged groups took %zu bytes", digested);
    cr_assert_gt(named, 20 * 40);
    heartbeat_books_close(&a);
    heartbeat_books_close(&b);
}

Test(node_heartbeat, a_changed_group_is_named_beside_the_digest_of_the_others)
{
    struct heartbeat_books a = {0};
    struct heartbeat_books b = {0};
    struct heard heard;
    for (int round = 0; round < 3; round++) {
        for (uint64_t group = 1; group <= 5; group++) {
            offer(&a, group, (uint8_t)(group == 3 ? 100 + round : (int)group));
        }
        (void)carry(&a, &b, &heard);
        cr_assert_eq(heard.count, 5);
        for (uint32_t i = 0; i < 5; i++) {
            const uint8_t expected =
                (uint8_t)(heard.groups[i] == 3 ? 100 + round : (int)heard.groups[i]);
            cr_assert_eq(heard.first_bytes[i], expected);
        }
    }
    heartbeat_books_close(&a);
    heartbeat_books_close(&b);
}

Test(node_heartbeat, groups_that_are_not_repeated_are_not_acted_on)
{
    struct heartbeat_books a = {0};
    struct heartbeat_books b = {0};
    struct heard heard;
    offer(&a, 1, 1);
    offer(&a, 2, 2);
    (void)carry(&a, &b, &heard);
    offer(&a, 1, 1);
    (void)carry(&a, &b, &heard);
    cr_assert_eq(heard.count, 1);
    cr_assert_eq(heard.groups[0], 1);
    heartbeat_books_close(&a);
    heartbeat_books_close(&b);
}

Test(node_heartbeat, a_differing_digest_delivers_nothing_and_asks_for_the_list)
{
    struct heartbeat_books a = {0};
    struct heartbeat_books b = {0};
    struct heard heard;
    offer(&a, 1, 1);
    offer(&a, 2, 2);
    (void)carry(&a, &b, &heard);
    b.in[HEARTBEAT_BEATS].lines[0].message[5] ^= 1; /* the receiver's book went wrong */
    offer(&a, 1, 1);
    offer(&a, 2, 2);
    (void)carry(&a, &b, &heard);
    cr_assert_eq(heard.count, 0);
    cr_assert(heartbeat_wants_frame(&b));
    (void)carry(&b, &a, &heard); /* "list wanted" */
    offer(&a, 1, 1);
    offer(&a, 2, 2);
    (void)carry(&a, &b, &heard);
    cr_assert_eq(heard.count, 2, "the next heartbeat names everything again");
    offer(&a, 1, 1);
    offer(&a, 2, 2);
    (void)carry(&a, &b, &heard);
    cr_assert_eq(heard.count, 2, "and digests work again");
    heartbeat_books_close(&a);
    heartbeat_books_close(&b);
}

Test(node_heartbeat, what_waits_for_the_next_frame_is_sent_when_the_list_is_asked_for_meanwhile)
{
    struct heartbeat_books a = {0};
    struct heartbeat_books b = {0};
    struct heard heard;
    offer(&a, 1, 1);
    offer(&a, 2, 2);
    (void)carry(&a, &b, &heard);
    b.in[HEARTBEAT_BEATS].lines[0].message[5] ^= 1;
    offer(&a, 1, 1);
    offer(&a, 2, 2);
    (void)carry(&a, &b, &heard);
    offer(&a, 1, 1);
    offer(&a, 2, 9);
    (void)carry(&b, &a, &heard); /* "list wanted" comes when both are offered already */
    (void)carry(&a, &b, &heard);
    cr_assert_eq(heard.count, 2);
    cr_assert_eq(heard.first_bytes[0], 1);
    cr_assert_eq(heard.first_bytes[1], 9);
    heartbeat_books_close(&a);
    heartbeat_books_close(&b);
}

Test(node_heartbeat, a_group_that_is_led_no_more_heals_through_the_digest)
{
    struct heartbeat_books a = {0};
    struct heartbeat_books b = {0};
    struct heard heard;
    offer(&a, 1, 1);
    offer(&a, 2, 2);
    (void)carry(&a, &b, &heard);
    bool asked = false;
    uint32_t delivered = 0;
    for (uint32_t frame = 0; frame < HEARTBEAT_IDLE_FRAMES + 4u; frame++) {
        offer(&a, 1, 1); /* group 2 is led by somebody else now */
        (void)carry(&a, &b, &heard);
        if (heard.count == 1) delivered++;
        if (heartbeat_wants_frame(&b)) {
            asked = true;
            (void)carry(&b, &a, &heard);
        }
    }
    cr_assert(asked);
    cr_assert_geq(delivered, HEARTBEAT_IDLE_FRAMES + 2u, "one heartbeat may be lost, not more");
    cr_assert_eq(b.in[HEARTBEAT_BEATS].count, 1);
    heartbeat_books_close(&a);
    heartbeat_books_close(&b);
}

Test(node_heartbeat, any_bytes_are_survived)
{
    struct heartbeat_books a = {0};
    struct heartbeat_books b = {0};
    struct heard heard;
    for (uint64_t group = 1; group <= 4; group++) {
        offer(&a, group, (uint8_t)group);
    }
    size_t bytes = 0;
    const struct heartbeat_head head = {.wall_ms = 7};
    uint8_t *body = heartbeat_build(&a, &head, &bytes);
    for (size_t cut = 0; cut < bytes; cut++) {
        memset(&heard, 0, sizeof(heard));
        cr_assert_not(heartbeat_read(&b, body, cut, hear, &heard));
    }
    uint32_t state = 1;
    for (int round = 0; round < 20000; round++) {
        state = state * 1664525u + 1013904223u;
        uint8_t *copy = malloc(bytes);
        memcpy(copy, body, bytes);
        copy[(state >> 8) % bytes] ^= (uint8_t)(1u << (state % 8u));
        memset(&heard, 0, sizeof(heard));
        (void)heartbeat_read(&b, copy, bytes, hear, &heard);
        heartbeat_books_clear(&b);
        free(copy);
    }
    free(body);
    heartbeat_books_close(&a);
    heartbeat_books_close(&b);
}

Test(node_heartbeat, every_frame_says_time_and_space_and_a_greeting_nothing_else)
{
    struct heartbeat_books a = {0};
    struct heartbeat_books b = {0};
    struct heard heard = {0};
    size_t bytes = 0;
    const struct heartbeat_head full = {.wall_ms = 1700000000123, .is_full = true};
    const struct heartbeat_head early = {.wall_ms = -5};
    struct heartbeat_head head;
    cr_assert_null(heartbeat_build(&a, &full, &bytes));
    a.greets = true;
    uint8_t *body = heartbeat_build(&a, &full, &bytes);
    cr_assert_not_null(body);
    cr_assert(heartbeat_read_head(body, bytes, &head));
    cr_assert_eq(head.wall_ms, full.wall_ms);
    cr_assert(head.is_full);
    cr_assert(heartbeat_read(&b, body, bytes, hear, &heard));
    cr_assert_eq(heard.count, 0);
    cr_assert_not(heartbeat_read_head(body, 11, &head));
    free(body);
    cr_assert_null(heartbeat_build(&a, &early, &bytes), "it greets once");
    offer(&a, 1, 1);
    body = heartbeat_build(&a, &early, &bytes);
    cr_assert(heartbeat_read_head(body, bytes, &head));
    cr_assert_eq(head.wall_ms, -5);
    cr_assert_not(head.is_full);
    cr_assert(heartbeat_read(&b, body, bytes, hear, &heard));
    cr_assert_eq(heard.count, 1);
    free(body);
    heartbeat_books_close(&a);
    heartbeat_books_close(&b);
}

/* docs/FORMATS.md, "Heartbeats", written out by hand: group 3 is named, 2 and 5 are told by the digest, a reply is named. */
Test(node_heartbeat, a_frame_has_the_documented_bytes)
{
    static const uint8_t two[] = {2, 2}, three[] = {3}, five[] = {5, 5, 5};
    struct heartbeat_books books = {0};
    const struct heartbeat_head head = {.wall_ms = 1000, .is_full = true};
    size_t bytes;
    heartbeat_offer(&books, HEARTBEAT_BEATS, 5, five, sizeof(five));
    heartbeat_offer(&books, HEARTBEAT_BEATS, 2, two, sizeof(two));
    free(heartbeat_build(&books, &head, &bytes));
    heartbeat_offer(&books, HEARTBEAT_BEATS, 2, two, sizeof(two));
    heartbeat_offer(&books, HEARTBEAT_BEATS, 5, five, sizeof(five));
    heartbeat_offer(&books, HEARTBEAT_BEATS, 3, three, sizeof(three));
    heartbeat_offer(&books, HEARTBEAT_REPLIES, 7, five, sizeof(five));
    uint8_t *body = heartbeat_build(&books, &head, &bytes);
    cr_assert_not_null(body);

    struct by_hand line = {0};
    by_hand_put(&line, 8, 2);
    by_hand_put_bytes(&line, two, sizeof(two));
    uint64_t digest = checksum64_seeded(line.bytes, line.count, 0);
    line.count = 0;
    by_hand_put(&line, 8, 5);
    by_hand_put_bytes(&line, five, sizeof(five));
    digest = checksum64_seeded(line.bytes, line.count, digest);

    struct by_hand hand = {0};
    by_hand_put(&hand, 8, 1000);   /* wall clock */
    by_hand_put(&hand, 4, 2);      /* flags: no space */
    by_hand_put(&hand, 4, 2);      /* lines covered by the digest */
    by_hand_put(&hand, 8, digest); /* digest */
    by_hand_put(&hand, 4, 1);      /* named messages */
    by_hand_put(&hand, 8, 3);      /* group id */
    by_hand_put(&hand, 4, 1);      /* bytes */
    by_hand_put_bytes(&hand, three, sizeof(three));
    by_hand_put(&hand, 4, 0); /* of the replies: flags, no digest, one named */
    by_hand_put(&hand, 4, 0);
    by_hand_put(&hand, 8, 0);
    by_hand_put(&hand, 4, 1);
    by_hand_put(&hand, 8, 7);
    by_hand_put(&hand, 4, 3);
    by_hand_put_bytes(&hand, five, sizeof(five));
    cr_assert_eq(bytes, hand.count);
    cr_assert_arr_eq(body, hand.bytes, bytes);
    free(body);
    heartbeat_books_close(&books);
}
