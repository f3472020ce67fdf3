/* Goal: what replicas say when one lacks entries survives the wire, and nothing that no replica says is taken. Method: round
 * trips of each message, every cut, every byte flipped, and every field driven out of its range. */
#include <broker/repair_codec.h>

#include <criterion/criterion.h>
#include <string.h>

#define ENTRIES_BYTES 160u

struct body {
    uint8_t bytes[REPAIR_CODEC_BYTES + ENTRIES_BYTES];
    size_t count;
};

static struct repair_message request(void)
{
    return (struct repair_message){.type = REPAIR_REQUEST,
                                   .number = 7,
                                   .from_epoch = 3,
                                   .index = 1000,
                                   .chain = UINT64_C(0x1122334455667788),
                                   .last_index = 1020};
}

static struct repair_message answer(enum repair_answer what)
{
    struct repair_message message = request();
    message.type = REPAIR_ANSWER;
    message.answer = what;
    message.log_start = 500;
    message.log_last_index = 2000;
    message.term = 12;
    if (what == REPAIR_NEVER_HELD) message.log_last_index = 999;
    if (what == REPAIR_BELOW_START) message.log_start = 1001;
    return message;
}

static struct body encode(const struct repair_message *message)
{
    struct body body = {.count = REPAIR_CODEC_BYTES};
    repair_codec_encode(message, body.bytes);
    if (message->type == REPAIR_ANSWER && message->answer == REPAIR_ENTRIES) {
        body.count += ENTRIES_BYTES;
    }
    return body;
}

static bool is_taken(const struct body *body)
{
    struct repair_message got;
    return repair_codec_decode(body->bytes, body->count, &got) == REPAIR_CODEC_BYTES;
}

Test(repair_codec, a_request_comes_back_as_it_was)
{
    const struct repair_message message = request();
    const struct body body = encode(&message);
    struct repair_message got;
    cr_assert_eq(repair_codec_decode(body.bytes, body.count, &got), REPAIR_CODEC_BYTES);
    cr_assert_eq(got.type, REPAIR_REQUEST);
    cr_assert_eq(got.number, 7);
    cr_assert_eq(got.from_epoch, 3);
    cr_assert_eq(got.index, 1000);
    cr_assert_eq(got.chain, message.chain);
    cr_assert_eq(got.last_index, 1020);
}

Test(repair_codec, every_answer_comes_back_as_it_was)
{
    for (enum repair_answer what = REPAIR_ENTRIES; what <= REPAIR_UNKNOWN; what++) {
        const struct repair_message message = answer(what);
        const struct body body = encode(&message);
        struct repair_message got;
        cr_assert_eq(repair_codec_decode(body.bytes, body.count, &got), REPAIR_CODEC_BYTES, "%s",
                     repair_answer_text(what));
        cr_assert_eq(got.answer, what);
        cr_assert_eq(got.number, 7);
        cr_assert_eq(got.log_start, message.log_start);
        cr_assert_eq(got.log_last_index, message.log_last_index);
        cr_assert_eq(got.term, 12);
    }
}

static struct repair_message there(const struct repair_message *message)
{
    const struct body body = encode(message);
    struct repair_message got;
    cr_assert_eq(repair_codec_decode(body.bytes, body.count, &got), REPAIR_CODEC_BYTES);
    return got;
}

/* One byte is for the one in a request, for the other in an answer. */
Test(repair_codec, who_would_go_asks_so_and_who_leads_a_whole_log_answers_so)
{
    struct repair_message ask = request();
    struct repair_message tell = answer(REPAIR_BELOW_START);
    cr_assert_not(there(&ask).would_go);
    cr_assert_not(there(&tell).leads_without_you);
    ask.would_go = tell.leads_without_you = true;
    cr_assert(there(&ask).would_go);
    cr_assert_not(there(&ask).leads_without_you);
    cr_assert(there(&tell).leads_without_you);
    cr_assert_not(there(&tell).would_go);
    struct body asked = encode(&ask);
    struct body told = encode(&tell);
    asked.bytes[3] = told.bytes[3] = 2;
    cr_assert_not(is_taken(&asked));
    cr_assert_not(is_taken(&told));
}

Test(repair_codec, what_only_the_other_one_says_is_not_sent)
{
    struct repair_message ask = request();
    struct repair_message tell = answer(REPAIR_BELOW_START);
    ask.leads_without_you = tell.would_go = true;
    cr_assert_eq(encode(&ask).bytes[3], 0);
    cr_assert_eq(encode(&tell).bytes[3], 0);
}

Test(repair_codec, golden_bytes_of_a_request_never_change)
{
    const struct repair_message message = request();
    const struct body body = encode(&message);
    static const uint8_t start[] = {1,    1,    0,    0,    0,    0,    0,    0,    7, 0, 0,
                                    0,    0,    0,    0,    0,    3,    0,    0,    0, 0, 0,
                                    0,    0,    0xe8, 3,    0,    0,    0,    0,    0, 0, 0x88,
                                    0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0xfc, 3};
    cr_assert_eq(memcmp(body.bytes, start, sizeof(start)), 0);
}

Test(repair_codec, no_cut_message_is_taken)
{
    for (enum repair_answer what = REPAIR_ENTRIES; what <= REPAIR_UNKNOWN; what++) {
        const struct repair_message message = answer(what);
        struct body body = encode(&message);
        const size_t whole = what == REPAIR_ENTRIES ? REPAIR_CODEC_BYTES + 80u : body.count;
        for (body.count = 0; body.count < whole; body.count++) {
            cr_assert_not(is_taken(&body), "%zu bytes", body.count);
        }
    }
}

static bool is_refused(const struct repair_message *message, size_t more)
{
    struct body body = encode(message);
    body.count += more;
    return !is_taken(&body);
}

Test(repair_codec, what_no_replica_asks_is_refused)
{
    struct repair_message message = request();
    cr_assert(is_refused(&message, 80), "entries behind a request");
    message.number = 0;
    cr_assert(is_refused(&message, 0));
    message = request();
    message.last_index = message.index; /* nothing */
    cr_assert(is_refused(&message, 0));
    const struct repair_message good = request();
    const size_t fixed[] = {0, 1, 2, 3, 7, 48, 56, 64, 72, 79};
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        struct body body = encode(&good);
        body.bytes[fixed[i]] ^= 0x40;
        cr_assert_not(is_taken(&body), "byte %zu", fixed[i]);
    }
}

Test(repair_codec, what_no_replica_answers_is_refused)
{
    struct repair_message message = answer(REPAIR_ENTRIES);
    message.last_index = message.index; /* none, in so many bytes */
    cr_assert(is_refused(&message, 0));
    message = answer(REPAIR_ENTRIES);
    message.log_last_index = message.last_index - 1u; /* more than it has */
    cr_assert(is_refused(&message, 0));
    message = answer(REPAIR_NEVER_HELD);
    cr_assert(is_refused(&message, 80), "entries that it never held");
    message.log_last_index = message.index + 1u; /* it holds one */
    cr_assert(is_refused(&message, 0));
    message = answer(REPAIR_BELOW_START);
    message.log_start = message.index; /* that is not below */
    cr_assert(is_refused(&message, 0));
    message = answer(REPAIR_DAMAGED);
    message.last_index = message.index;
    cr_assert(is_refused(&message, 0));
    message = answer(REPAIR_DIFFERS);
    message.log_start = message.log_last_index + 1u; /* a log that ends before it starts */
    cr_assert(is_refused(&message, 0));
    message = answer(REPAIR_UNKNOWN);
    message.answer = (enum repair_answer)(REPAIR_UNKNOWN + 1);
    cr_assert(is_refused(&message, 0));
}

/* Whatever the bytes: taken or not, never read past their end, never a length that does not fit. */
Test(repair_codec, flipped_bytes_are_refused_or_harmless)
{
    for (enum repair_answer what = REPAIR_ENTRIES; what <= REPAIR_UNKNOWN; what++) {
        const struct repair_message message = answer(what);
        const struct body good = encode(&message);
        for (size_t i = 0; i < REPAIR_CODEC_BYTES * 8u; i++) {
            struct body body = good;
            body.bytes[i / 8u] ^= (uint8_t)(1u << i % 8u);
            struct repair_message got;
            if (repair_codec_decode(body.bytes, body.count, &got) == 0) continue;
            cr_assert_neq(got.number, 0);
            cr_assert_leq(got.log_start, got.log_last_index);
            if (got.type != REPAIR_ANSWER || got.answer != REPAIR_ENTRIES) {
                cr_assert_eq(body.count, REPAIR_CODEC_BYTES);
            }
        }
    }
}

Test(repair_codec, an_answer_is_bounded)
{
    static uint8_t body[REPAIR_CODEC_BYTES + 18u * 1024u * 1024u + 1u];
    const struct repair_message message = answer(REPAIR_ENTRIES);
    repair_codec_encode(&message, body);
    struct repair_message got;
    cr_assert_eq(repair_codec_decode(body, sizeof(body) - 1u, &got), REPAIR_CODEC_BYTES);
    cr_assert_eq(repair_codec_decode(body, sizeof(body), &got), 0);
}
