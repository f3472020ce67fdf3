/* The frame parser alone: any way of cutting a stream gives the same frames, and no damage gets through. */
#include "frame.h"
#include "hello.h"

#include <by_hand.h>
#include <criterion/criterion.h>
#include <segment_log/checksum.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_COUNT 6u

static const size_t body_sizes[FRAMES_COUNT] = {0, 1, 7, 8, 300, 5000};

static size_t put_frame(uint8_t *at, size_t bytes, uint64_t group)
{
    struct frame_header header = {.body_bytes = (uint32_t)bytes,
                                  .type = PEER_FRAME_RAFT,
                                  .group = group,
                                  .cluster = {.bytes = {9}}};
    uint8_t *body = at + FRAME_HEADER_BYTES;
    for (size_t i = 0; i < bytes; i++) {
        body[i] = (uint8_t)(i * 7 + group);
    }
    memset(body + bytes, 0, frame_padding(bytes));
    struct iovec part = {.iov_base = body, .iov_len = bytes};
    header.body_hash = frame__hash_body(&part, 1);
    frame__encode_header(&header, at);
    return frame_total_bytes(bytes);
}

static uint8_t *make_stream(size_t *ret_bytes)
{
    uint8_t *stream = malloc(16384);
    size_t at = 0;
    for (uint32_t i = 0; i < FRAMES_COUNT; i++) {
        at += put_frame(stream + at, body_sizes[i], i);
    }
    *ret_bytes = at;
    return stream;
}

static void check_frame(const struct frame_header *header, const uint8_t *body, uint32_t number)
{
    cr_assert_eq(header->body_bytes, body_sizes[number]);
    cr_assert_eq(header->group, number);
    cr_assert_eq((uintptr_t)body % 8, 0, "frame %u is not aligned", number);
    for (size_t i = 0; i < header->body_bytes; i++) {
        cr_assert_eq(body[i], (uint8_t)(i * 7 + number));
    }
}

/* Feed bytes[0..count) from a fresh copy at the given alignment. Returns how many whole frames came. */
static uint32_t feed(struct frame_parser *parser, const uint8_t *bytes, size_t count,
                     size_t misalignment, uint32_t number)
{
    uint8_t *memory = malloc(count + misalignment + 1);
    memcpy(memory + misalignment, bytes, count);
    const uint8_t *data = memory + misalignment;
    enum frame_parse_status status;
    struct frame_header header;
    const uint8_t *body;
    while ((status = frame_parser__next(parser, &data, &count, PEER_FRAME_BYTES_MAX, &header,
                                        &body)) == FRAME_PARSED) {
        check_frame(&header, body, number++);
    }
    cr_assert_eq(status, FRAME_MORE);
    cr_assert_eq(count, 0);
    free(memory);
    return number;
}

Test(peer_frame, any_two_pieces_give_the_same_frames)
{
    size_t bytes;
    uint8_t *stream = make_stream(&bytes);
    for (size_t cut = 0; cut <= bytes; cut++) {
        struct frame_parser parser = {0};
        uint32_t number = feed(&parser, stream, cut, 0, 0);
        number = feed(&parser, stream + cut, bytes - cut, cut % 8, number);
        cr_assert_eq(number, FRAMES_COUNT, "cut at %zu", cut);
        frame_parser__close(&parser);
    }
    free(stream);
}

Test(peer_frame, pieces_of_any_one_size_give_the_same_frames)
{
    size_t bytes;
    uint8_t *stream = make_stream(&bytes);
    for (size_t piece = 1; piece < 200; piece++) {
        for (size_t misalignment = 0; misalignment < 8; misalignment += 3) {
            struct frame_parser parser = {0};
            uint32_t number = 0;
            for (size_t at = 0; at < bytes; at += piece) {
                size_t count = bytes - at < piece ? bytes - at : piece;
                number = feed(&parser, stream + at, count, misalignment, number);
            }
            cr_assert_eq(number, FRAMES_COUNT, "pieces of %zu", piece);
            frame_parser__close(&parser);
        }
    }
    free(stream);
}

/* Zero copy: a whole aligned frame is handed out where it lies. */
Test(peer_frame, a_whole_aligned_frame_is_not_copied)
{
    _Alignas(8) uint8_t stream[512];
    size_t bytes = put_frame(stream, 100, 3);
    bytes += put_frame(stream + bytes, 50, 3);
    struct frame_parser parser = {0};
    const uint8_t *data = stream;
    const uint8_t *body;
    struct frame_header header;
    cr_assert_eq(frame_parser__next(&parser, &data, &bytes, 1000, &header, &body), FRAME_PARSED);
    cr_assert_eq(body, stream + FRAME_HEADER_BYTES);
    cr_assert_eq(frame_parser__next(&parser, &data, &bytes, 1000, &header, &body), FRAME_PARSED);
    cr_assert_eq(body, stream + frame_total_bytes(100) + FRAME_HEADER_BYTES);
    cr_assert_null(parser.buffer);
}

/* Every single bit matters: header, body and padding. */
Test(peer_frame, every_flipped_bit_is_refused)
{
    _Alignas(8) uint8_t stream[256];
    size_t total = put_frame(stream, 61, 5);
    for (size_t bit = 0; bit < total * 8; bit++) {
        stream[bit / 8] ^= (uint8_t)(1u << bit % 8);
        for (size_t piece = 5; piece <= total; piece += total - 5) {
            struct frame_parser parser = {0};
            enum frame_parse_status status = FRAME_MORE;
            for (size_t at = 0; at < total && status == FRAME_MORE; at += piece) {
                const uint8_t *data = stream + at;
                size_t count = total - at < piece ? total - at : piece;
                struct frame_header header;
                const uint8_t *body;
                status = frame_parser__next(&parser, &data, &count, 1000, &header, &body);
            }
            cr_assert_eq(status, FRAME_BAD, "bit %zu", bit);
            frame_parser__close(&parser);
        }
        stream[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* A damaged length must be noticed by the header alone, before any byte is waited for. */
Test(peer_frame, a_damaged_length_is_refused_without_waiting_for_the_body)
{
    _Alignas(8) uint8_t stream[256];
    put_frame(stream, 61, 5);
    stream[6] ^= 0x01u; /* + 65536 bytes */
    struct frame_parser parser = {0};
    const uint8_t *data = stream;
    size_t bytes = FRAME_HEADER_BYTES;
    struct frame_header header;
    const uint8_t *body;
    cr_assert_eq(frame_parser__next(&parser, &data, &bytes, PEER_FRAME_BYTES_MAX, &header, &body),
                 FRAME_BAD);
    cr_assert_leq(parser.capacity, 4096);
    frame_parser__close(&parser);
}

Test(peer_frame, a_body_above_the_limit_is_refused_before_it_is_stored)
{
    _Alignas(8) uint8_t stream[256];
    put_frame(stream, 101, 5);
    struct frame_parser parser = {0};
    const uint8_t *data = stream;
    size_t bytes = FRAME_HEADER_BYTES;
    struct frame_header header;
    const uint8_t *body;
    cr_assert_eq(frame_parser__next(&parser, &data, &bytes, 100, &header, &body), FRAME_TOO_LARGE);
    frame_parser__close(&parser);
}

/* One large frame must not leave its memory behind on an idle connection. */
Test(peer_frame, memory_of_a_large_frame_is_given_back)
{
    size_t bytes = 8u * 1024u * 1024u;
    uint8_t *stream = malloc(frame_total_bytes(bytes));
    size_t total = put_frame(stream, bytes, 1);
    struct frame_parser parser = {0};
    struct frame_header header;
    const uint8_t *body;
    const uint8_t *data = stream;
    size_t count = 10;
    cr_assert_eq(frame_parser__next(&parser, &data, &count, bytes, &header, &body), FRAME_MORE);
    count = total - 10;
    cr_assert_eq(frame_parser__next(&parser, &data, &count, bytes, &header, &body), FRAME_PARSED);
    cr_assert_gt(parser.capacity, bytes);
    cr_assert_eq(frame_parser__next(&parser, &data, &count, bytes, &header, &body), FRAME_MORE);
    cr_assert_eq(parser.capacity, 0);
    free(stream);
}

/* Random bytes, and sound frames with random damage, in random pieces: never a crash, never a wrong body. */
Test(peer_frame, random_damage_never_passes)
{
    srand(3);
    size_t bytes;
    uint8_t *sound = make_stream(&bytes);
    uint8_t *stream = malloc(bytes);
    for (int round = 0; round < 2000; round++) {
        memcpy(stream, sound, bytes);
        for (int damage = rand() % 4; damage >= 0; damage--) {
            stream[(size_t)rand() % bytes] = (uint8_t)rand();
        }
        struct frame_parser parser = {0};
        enum frame_parse_status status = FRAME_MORE;
        uint32_t number = 0;
        for (size_t at = 0; at < bytes && status == FRAME_MORE;) {
            size_t piece = 1 + (size_t)rand() % 700;
            size_t count = bytes - at < piece ? bytes - at : piece;
            const uint8_t *data = stream + at;
            at += count;
            struct frame_header header;
            const uint8_t *body;
            while ((status = frame_parser__next(&parser, &data, &count, PEER_FRAME_BYTES_MAX,
                                                &header, &body)) == FRAME_PARSED) {
                check_frame(&header, body, number++);
            }
        }
        frame_parser__close(&parser);
    }
    free(stream);
    free(sound);
}

/* ---- HELLO ------------------------------------------------------------------------------------------------------ */

static size_t encode_largest_hello(uint8_t *body, size_t bytes)
{
    struct hello_message message = {.protocol = PEER_PROTOCOL_VERSION,
                                    .connection = PEER_BULK,
                                    .nonce = 5,
                                    .hello = {.node_id = 3, .incarnation = 8, .process = 9}};
    struct peer_hello *hello = &message.hello;
    memset(hello->http_address, 'h', sizeof(hello->http_address) - 1);
    memset(hello->kafka_address, 'k', sizeof(hello->kafka_address) - 1);
    memset(hello->version, 'v', sizeof(hello->version) - 1);
    hello->peers_count = PEER_NODES_MAX;
    for (uint32_t i = 0; i < PEER_NODES_MAX; i++) {
        hello->peers[i].node_id = i + 1;
        memset(hello->peers[i].address, 'p', sizeof(hello->peers[i].address) - 1);
    }
    return hello__encode(&message, body, bytes);
}

Test(peer_hello, the_largest_hello_fits_and_comes_back)
{
    uint8_t body[PEER_HELLO_BYTES_MAX];
    size_t bytes = encode_largest_hello(body, sizeof(body));
    cr_assert_leq(bytes, sizeof(body));
    struct hello_message decoded;
    cr_assert_eq(hello__decode(body, bytes, &decoded), HELLO_DECODED);
    cr_assert_eq(decoded.connection, PEER_BULK);
    cr_assert_eq(decoded.nonce, 5);
    cr_assert_eq(decoded.hello.peers_count, PEER_NODES_MAX);
    cr_assert_eq(strlen(decoded.hello.peers[15].address), PEER_ADDRESS_BYTES_MAX - 1);
    uint8_t again[PEER_HELLO_BYTES_MAX];
    cr_assert_eq(hello__encode(&decoded, again, sizeof(again)), bytes);
    cr_assert_arr_eq(again, body, bytes);
}

/* PROTOCOL M6: a node that only joins says so to everybody. */
Test(peer_hello, marks_come_back_and_unknown_ones_are_refused)
{
    uint8_t body[PEER_HELLO_BYTES_MAX];
    for (int marks = 0; marks < 4; marks++) {
        const struct hello_message message = {.protocol = PEER_PROTOCOL_VERSION,
                                              .hello = {.node_id = 3,
                                                        .incarnation = 8,
                                                        .process = 9,
                                                        .incarnation_index = 77,
                                                        .cannot_found = (marks & 1) != 0,
                                                        .is_joining = (marks & 2) != 0}};
        const size_t bytes = hello__encode(&message, body, sizeof(body));
        struct hello_message decoded;
        cr_assert_eq(hello__decode(body, bytes, &decoded), HELLO_DECODED);
        cr_assert_eq(decoded.hello.cannot_found, (marks & 1) != 0);
        cr_assert_eq(decoded.hello.is_joining, (marks & 2) != 0);
        cr_assert_eq(decoded.hello.incarnation_index, 77);
        body[4] |= 0x80;
        cr_assert_eq(hello__decode(body, bytes, &decoded), HELLO_MALFORMED);
    }
}

Test(peer_hello, every_truncation_and_every_tail_is_refused)
{
    uint8_t body[PEER_HELLO_BYTES_MAX + 1] = {0};
    size_t bytes = encode_largest_hello(body, sizeof(body));
    struct hello_message decoded;
    for (size_t cut = 0; cut < bytes; cut++) {
        uint8_t *copy = malloc(cut ? cut : 1); /* exact size: the sanitizer sees a read behind it */
        memcpy(copy, body, cut);
        cr_assert_eq(hello__decode(copy, cut, &decoded), HELLO_MALFORMED, "cut at %zu", cut);
        free(copy);
    }
    cr_assert_eq(hello__decode(body, bytes + 1, &decoded), HELLO_MALFORMED);
}

Test(peer_hello, random_bytes_are_harmless)
{
    srand(4);
    uint8_t sound[PEER_HELLO_BYTES_MAX];
    size_t sound_bytes = encode_largest_hello(sound, sizeof(sound));
    for (int round = 0; round < 20000; round++) {
        size_t bytes = (size_t)rand() % sound_bytes;
        uint8_t *body = malloc(bytes ? bytes : 1);
        memcpy(body, sound, bytes);
        for (int i = 0; i < 8 && bytes > 0; i++) {
            body[(size_t)rand() % bytes] = (uint8_t)rand();
        }
        struct hello_message message;
        enum hello_decode_status status = hello__decode(body, bytes, &message);
        cr_assert(status == HELLO_MALFORMED || status == HELLO_OTHER_VERSION ||
                  message.hello.node_id);
        char reason[HELLO_REASON_BYTES_MAX];
        (void)hello__decode_goodbye(body, bytes, reason);
        cr_assert_lt(strnlen(reason, sizeof(reason)), sizeof(reason));
        free(body);
    }
}

/* ---- docs/FORMATS.md, "Peer frames", written out by hand -------------------------------------------------------------- */

Test(peer_frame, a_frame_has_the_documented_bytes)
{
    const struct frame_header header = {.body_bytes = 5,
                                        .type = PEER_FRAME_REQUEST,
                                        .group = 7,
                                        .cluster = {.bytes = {8, 9}},
                                        .body_hash = UINT64_C(0x1122334455667788)};
    struct by_hand hand = {0};
    by_hand_put_bytes(&hand, "RMQP", 4);
    by_hand_put(&hand, 4, 5);  /* body bytes */
    by_hand_put(&hand, 2, 19); /* type: REQUEST */
    by_hand_put(&hand, 6, 0);  /* zero */
    by_hand_put(&hand, 8, 7);  /* group id */
    by_hand_put(&hand, 1, 8);  /* cluster id */
    by_hand_put(&hand, 15, 9);
    by_hand_put(&hand, 8, UINT64_C(0x1122334455667788)); /* body hash */
    by_hand_put(&hand, 8, checksum64(hand.bytes, 48));   /* header hash */
    uint8_t buffer[FRAME_HEADER_BYTES];
    frame__encode_header(&header, buffer);
    cr_assert_eq(hand.count, sizeof(buffer));
    cr_assert_arr_eq(buffer, hand.bytes, sizeof(buffer));
}

Test(peer_hello, a_hello_has_the_documented_bytes)
{
    struct hello_message message = {
        .protocol = 1,
        .connection = PEER_BULK,
        .nonce = 4,
        .hello = {.node_id = 1,
                  .incarnation = 2,
                  .process = 3,
                  .cluster = {.bytes = {5, 6}},
                  .incarnation_index = 7,
                  .is_joining = true,
                  .peers = {{.node_id = 1, .address = "n1:71"}, {.node_id = 9, .address = "n9:71"}},
                  .peers_count = 2,
                  .peer_address = "a:71",
                  .http_address = "a:70",
                  .kafka_address = "a:92",
                  .version = "0.1.0"}};
    struct by_hand hand = {0};
    by_hand_put(&hand, 2, 1); /* protocol version */
    by_hand_put(&hand, 1, 1); /* connection: bulk */
    by_hand_put(&hand, 1, 2); /* configured peers */
    by_hand_put(&hand, 1, 2); /* marks: it asks to join */
    by_hand_put(&hand, 3, 0); /* zero */
    by_hand_put(&hand, 8, 1); /* node id */
    by_hand_put(&hand, 8, 2); /* incarnation */
    by_hand_put(&hand, 8, 3); /* process number */
    by_hand_put(&hand, 8, 4); /* nonce */
    by_hand_put(&hand, 1, 5); /* cluster id */
    by_hand_put(&hand, 15, 6);
    by_hand_put(&hand, 8, 7); /* index of the meta entry that brought the incarnation */
    by_hand_put_text(&hand, "a:71");
    by_hand_put_text(&hand, "a:70");
    by_hand_put_text(&hand, "a:92");
    by_hand_put_text(&hand, "0.1.0");
    by_hand_put(&hand, 8, 1);
    by_hand_put_text(&hand, "n1:71");
    by_hand_put(&hand, 8, 9);
    by_hand_put_text(&hand, "n9:71");
    uint8_t buffer[512];
    cr_assert_eq(hello__encode(&message, buffer, sizeof(buffer)), hand.count);
    cr_assert_arr_eq(buffer, hand.bytes, hand.count);
}
