/* Goal: questions and answers of a node that joins come back as they were, and hostile bytes are refused. */
#include <broker/join_codec.h>

#include <criterion/criterion.h>
#include <string.h>

static const struct join_question question = {.node_id = 3,
                                              .incarnation = 77,
                                              .is_passed_on = true,
                                              .number = 5,
                                              .knows_registered = true,
                                              .registered = 66,
                                              .is_lost = true,
                                              .lost_epoch = 4,
                                              .peer_address = "n3:7071",
                                              .http_address = "n3:7070",
                                              .kafka_address = ""};

static struct join_answer example_answer(enum join_verdict verdict)
{
    struct join_answer answer = {.verdict = verdict,
                                 .is_leaders = true,
                                 .node_id = 3,
                                 .incarnation = 77,
                                 .number = 5,
                                 .knows_registered = true,
                                 .registered = 66};
    if (verdict == JOIN_ACCEPTED) {
        answer.epoch = 9;
        answer.incarnation_index = 8;
    }
    memset(answer.text, 'x', sizeof(answer.text) - 1u);
    return answer;
}

Test(join_codec, a_question_comes_back_and_no_cut_of_it_does)
{
    uint8_t body[JOIN_BYTES_MAX];
    const size_t bytes = join_question_encode(&question, body, sizeof(body));
    struct join_question back;
    cr_assert(join_question_decode(body, bytes, &back));
    cr_assert_eq(back.node_id, 3);
    cr_assert_eq(back.incarnation, 77);
    cr_assert(back.is_passed_on);
    cr_assert_eq(back.number, 5);
    cr_assert(back.knows_registered);
    cr_assert_eq(back.registered, 66);
    cr_assert(back.is_lost);
    cr_assert_eq(back.lost_epoch, 4);
    cr_assert_str_eq(back.peer_address, "n3:7071");
    cr_assert_str_eq(back.http_address, "n3:7070");
    cr_assert_str_eq(back.kafka_address, "");
    for (size_t cut = 0; cut < bytes; cut++) {
        cr_assert_not(join_question_decode(body, cut, &back), "%zu bytes", cut);
    }
    cr_assert_not(join_question_decode(body, bytes + 1u, &back));
}

Test(join_codec, the_longest_question_and_answer_fit)
{
    uint8_t body[JOIN_BYTES_MAX];
    struct join_question longest = question;
    memset(longest.peer_address, 'p', sizeof(longest.peer_address) - 1u);
    memset(longest.http_address, 'h', sizeof(longest.http_address) - 1u);
    memset(longest.kafka_address, 'k', sizeof(longest.kafka_address) - 1u);
    cr_assert_leq(join_question_encode(&longest, body, sizeof(body)), sizeof(body));
    const struct join_answer answer = example_answer(JOIN_REFUSED);
    cr_assert_leq(join_answer_encode(&answer, body, sizeof(body)), sizeof(body));
}

Test(join_codec, an_answer_comes_back_and_no_cut_of_it_does)
{
    uint8_t body[JOIN_BYTES_MAX];
    for (int verdict = JOIN_WAIT; verdict <= JOIN_ACCEPTED; verdict++) {
        const struct join_answer answer = example_answer((enum join_verdict)verdict);
        const size_t bytes = join_answer_encode(&answer, body, sizeof(body));
        struct join_answer back;
        cr_assert(join_answer_decode(body, bytes, &back));
        cr_assert_eq(back.verdict, answer.verdict);
        cr_assert(back.is_leaders);
        cr_assert_eq(back.node_id, 3);
        cr_assert_eq(back.incarnation, 77);
        cr_assert_eq(back.epoch, answer.epoch);
        cr_assert_eq(back.number, 5);
        cr_assert(back.knows_registered);
        cr_assert_eq(back.registered, 66);
        cr_assert_eq(back.incarnation_index, answer.incarnation_index);
        cr_assert_str_eq(back.text, answer.text);
        for (size_t cut = 0; cut < bytes; cut++) {
            cr_assert_not(join_answer_decode(body, cut, &back), "%zu bytes", cut);
        }
    }
}

static bool is_answer_taken(const struct join_answer *answer)
{
    uint8_t body[JOIN_BYTES_MAX];
    struct join_answer back;
    return join_answer_decode(body, join_answer_encode(answer, body, sizeof(body)), &back);
}

/* An epoch at or below the entry that brought the incarnation is an older incarnation's: its votes are not this one's. */
Test(join_codec, an_epoch_that_is_not_of_this_incarnation_is_refused)
{
    struct join_answer answer = example_answer(JOIN_ACCEPTED);
    cr_assert(is_answer_taken(&answer));
    answer.epoch = answer.incarnation_index;
    cr_assert_not(is_answer_taken(&answer));
    answer.epoch = answer.incarnation_index = 0;
    cr_assert_not(is_answer_taken(&answer), "a founder's first one was never asked for");
    answer = example_answer(JOIN_WAIT);
    answer.epoch = 9;
    cr_assert_not(is_answer_taken(&answer));
    answer = example_answer(JOIN_WAIT);
    answer.node_id = 0;
    cr_assert_not(is_answer_taken(&answer));
}
