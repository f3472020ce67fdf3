/* Goal: what is said about a base survives the wire, and nothing that no sender says is taken. Method: round trips of each
 * message, every cut, and every field driven out of its range. */
#include <broker/base_codec.h>

#include <criterion/criterion.h>
#include <string.h>

#define DATA_BYTES 24u

struct body {
    uint8_t bytes[BASE_CODEC_BYTES + DATA_BYTES];
    size_t count;
};

static struct base_message message_of(enum base_message_type type)
{
    struct base_message message = {
        .type = type, .from_epoch = 3, .to_epoch = 9, .term = 12, .position = 64};
    message.base.index = 1000;
    message.base.term = 11;
    message.base.chain = UINT64_C(0x1122334455667788);
    message.base.next_offset = 5000;
    message.base.timestamp_ms = -5;
    message.base.bytes = 64 + DATA_BYTES;
    message.base.hash = UINT64_C(0xffeeddccbbaa9988);
    if (type == BASE_OFFER) message.position = 0;
    if (type != BASE_ANSWER) message.commit_index = 1007;
    if (type == BASE_CHUNK) message.checksum = 77;
    if (type == BASE_ANSWER) message.answer = BASE_NO_SPACE;
    return message;
}

static struct body encode(const struct base_message *message)
{
    struct body body = {.count = BASE_CODEC_BYTES};
    base_codec_encode(message, body.bytes);
    if (message->type == BASE_CHUNK) body.count += DATA_BYTES;
    return body;
}

static size_t decode(const struct body *body, struct base_message *ret_message)
{
    return base_codec_decode(body->bytes, body->count, ret_message);
}

Test(base_codec, every_message_comes_back_as_it_was)
{
    for (enum base_message_type type = BASE_OFFER; type <= BASE_ANSWER; type++) {
        const struct base_message message = message_of(type);
        const struct body body = encode(&message);
        struct base_message got;
        cr_assert_eq(decode(&body, &got), BASE_CODEC_BYTES);
        cr_assert_eq(got.type, type);
        cr_assert_eq(got.from_epoch, 3);
        cr_assert_eq(got.to_epoch, 9);
        cr_assert_eq(got.term, 12);
        cr_assert_eq(got.base.index, 1000);
        cr_assert_eq(got.base.term, 11);
        cr_assert_eq(got.base.chain, message.base.chain);
        cr_assert_eq(got.base.next_offset, 5000);
        cr_assert_eq(got.base.timestamp_ms, -5);
        cr_assert_eq(got.base.bytes, message.base.bytes);
        cr_assert_eq(got.base.hash, message.base.hash);
        cr_assert_eq(got.position, message.position);
        cr_assert_eq(got.commit_index, message.commit_index);
        cr_assert_eq(got.checksum, message.checksum);
        cr_assert_eq(got.answer, message.answer);
    }
}

Test(base_codec, golden_bytes_of_an_offer_never_change)
{
    const struct base_message message = message_of(BASE_OFFER);
    const struct body body = encode(&message);
    static const uint8_t start[] = {1, 1, 0, 0, 0,    0, 0, 0, 3, 0, 0,  0, 0, 0,
                                    0, 0, 9, 0, 0,    0, 0, 0, 0, 0, 12, 0, 0, 0,
                                    0, 0, 0, 0, 0xe8, 3, 0, 0, 0, 0, 0,  0, 11};
    cr_assert_eq(memcmp(body.bytes, start, sizeof(start)), 0);
    cr_assert_eq(body.bytes[96], 1007 & 255); /* commit index */
}

Test(base_codec, no_cut_message_is_taken)
{
    for (enum base_message_type type = BASE_OFFER; type <= BASE_ANSWER; type++) {
        const struct base_message message = message_of(type);
        struct body body = encode(&message);
        const size_t whole = type == BASE_CHUNK ? BASE_CODEC_BYTES + 1u : BASE_CODEC_BYTES;
        for (body.count = 0; body.count < whole; body.count++) {
            struct base_message got;
            cr_assert_eq(decode(&body, &got), 0, "%zu bytes", body.count);
        }
    }
}

static bool is_refused(const struct base_message *message, size_t more)
{
    struct body body = encode(message);
    body.count += more;
    struct base_message got;
    return decode(&body, &got) == 0;
}

Test(base_codec, what_no_sender_says_is_refused)
{
    struct base_message message = message_of(BASE_OFFER);
    cr_assert(is_refused(&message, 8), "bytes behind an offer");
    message.base.index = 0;
    cr_assert(is_refused(&message, 0));
    message = message_of(BASE_OFFER);
    message.base.term = 0;
    cr_assert(is_refused(&message, 0));
    message = message_of(BASE_OFFER);
    message.base.bytes = 0;
    cr_assert(is_refused(&message, 0));
    message = message_of(BASE_OFFER);
    message.commit_index = 999; /* a base is committed */
    cr_assert(is_refused(&message, 0));
    message = message_of(BASE_CHUNK);
    message.position++; /* its bytes reach beyond the file */
    cr_assert(is_refused(&message, 0));
    message.position = message.base.bytes + 1u;
    cr_assert(is_refused(&message, 0));
    message = message_of(BASE_ANSWER);
    cr_assert(is_refused(&message, 8));
    message.position = message.base.bytes + 1u;
    cr_assert(is_refused(&message, 0));
    const size_t fixed[] = {0, 1, 2, 3, 7}; /* version, type, answer of an offer, zeros */
    for (size_t i = 0; i < 5; i++) {
        message = message_of(BASE_OFFER);
        struct body body = encode(&message);
        body.bytes[fixed[i]] ^= 0x40;
        struct base_message got;
        cr_assert_eq(decode(&body, &got), 0, "byte %zu", fixed[i]);
    }
}

Test(base_codec, a_chunk_is_bounded)
{
    static uint8_t body[BASE_CODEC_BYTES + BASE_CHUNK_BYTES_MAX + 1u];
    struct base_message message = message_of(BASE_CHUNK);
    message.base.bytes = 10u * BASE_CHUNK_BYTES_MAX;
    base_codec_encode(&message, body);
    struct base_message got;
    cr_assert_eq(base_codec_decode(body, sizeof(body) - 1u, &got), BASE_CODEC_BYTES);
    cr_assert_eq(base_codec_decode(body, sizeof(body), &got), 0);
}
