/* JOIN and JOIN_ANSWER, little endian; a text is its length (u16) and its bytes:
 *
 *   question   u8 version, u8 passed on, u8 knows registered, u8 lost, 4 zero; u64 node id, incarnation, number, registered,
 *              lost epoch; peer, HTTP and Kafka address
 *   answer     u8 version, u8 verdict, u8 leader's, u8 knows registered, 4 zero; u64 node id, incarnation, number, registered,
 *              epoch, incarnation index; text */
#include <broker/join_codec.h>

#include <broker/wire_cursor.h>

#define JOIN_VERSION 2u

size_t join_question_encode(const struct join_question *question, uint8_t *buffer, size_t bytes)
{
    struct wire_writer writer = {.buffer = buffer, .capacity = bytes};
    wire_put_u8(&writer, JOIN_VERSION);
    wire_put_u8(&writer, question->is_passed_on);
    wire_put_u8(&writer, question->knows_registered);
    wire_put_u8(&writer, question->is_lost);
    wire_put_zeros(&writer, 4);
    wire_put_u64(&writer, question->node_id);
    wire_put_u64(&writer, question->incarnation);
    wire_put_u64(&writer, question->number);
    wire_put_u64(&writer, question->registered);
    wire_put_u64(&writer, question->lost_epoch);
    wire_put_string(&writer, question->peer_address);
    wire_put_string(&writer, question->http_address);
    wire_put_string(&writer, question->kafka_address);
    return writer.bytes;
}

bool join_question_decode(const uint8_t *body, size_t bytes, struct join_question *ret_question)
{
    struct wire_reader reader = wire_reader_of(body, bytes);
    struct join_question question;
    memset(&question, 0, sizeof(question));
    if (wire_get_u8(&reader) != JOIN_VERSION) return false;
    question.is_passed_on = wire_get_bool(&reader);
    question.knows_registered = wire_get_bool(&reader);
    question.is_lost = wire_get_bool(&reader);
    wire_get_zeros(&reader, 4);
    question.node_id = wire_get_u64(&reader);
    question.incarnation = wire_get_u64(&reader);
    question.number = wire_get_u64(&reader);
    question.registered = wire_get_u64(&reader);
    question.lost_epoch = wire_get_u64(&reader);
    wire_get_string(&reader, question.peer_address, sizeof(question.peer_address));
    wire_get_string(&reader, question.http_address, sizeof(question.http_address));
    wire_get_string(&reader, question.kafka_address, sizeof(question.kafka_address));
    if (!wire_is_complete(&reader)) return false;
    if (question.node_id == 0 || question.incarnation == 0) return false;
    if (!question.knows_registered && question.registered != 0) return false;
    if (!question.is_lost && question.lost_epoch != 0) return false;
    *ret_question = question;
    return true;
}

size_t join_answer_encode(const struct join_answer *answer, uint8_t *buffer, size_t bytes)
{
    struct wire_writer writer = {.buffer = buffer, .capacity = bytes};
    wire_put_u8(&writer, JOIN_VERSION);
    wire_put_u8(&writer, (uint8_t)answer->verdict);
    wire_put_u8(&writer, answer->is_leaders);
    wire_put_u8(&writer, answer->knows_registered);
    wire_put_zeros(&writer, 4);
    wire_put_u64(&writer, answer->node_id);
    wire_put_u64(&writer, answer->incarnation);
    wire_put_u64(&writer, answer->number);
    wire_put_u64(&writer, answer->registered);
    wire_put_u64(&writer, answer->epoch);
    wire_put_u64(&writer, answer->incarnation_index);
    wire_put_string(&writer, answer->text);
    return writer.bytes;
}

static bool is_sane_answer(const struct join_answer *answer)
{
    if (answer->node_id == 0 || answer->incarnation == 0) return false;
    if (!answer->knows_registered && answer->registered != 0) return false;
    if (answer->verdict != JOIN_ACCEPTED) return answer->epoch == 0;
    return answer->epoch > answer->incarnation_index; /* of a founder that one is 0 */
}

bool join_answer_decode(const uint8_t *body, size_t bytes, struct join_answer *ret_answer)
{
    struct wire_reader reader = wire_reader_of(body, bytes);
    struct join_answer answer;
    memset(&answer, 0, sizeof(answer));
    if (wire_get_u8(&reader) != JOIN_VERSION) return false;
    const uint8_t verdict = wire_get_u8(&reader);
    if (verdict < JOIN_WAIT || verdict > JOIN_ACCEPTED) return false;
    answer.verdict = (enum join_verdict)verdict;
    answer.is_leaders = wire_get_bool(&reader);
    answer.knows_registered = wire_get_bool(&reader);
    wire_get_zeros(&reader, 4);
    answer.node_id = wire_get_u64(&reader);
    answer.incarnation = wire_get_u64(&reader);
    answer.number = wire_get_u64(&reader);
    answer.registered = wire_get_u64(&reader);
    answer.epoch = wire_get_u64(&reader);
    answer.incarnation_index = wire_get_u64(&reader);
    wire_get_string(&reader, answer.text, sizeof(answer.text));
    if (!wire_is_complete(&reader) || !is_sane_answer(&answer)) return false;
    *ret_answer = answer;
    return true;
}
