#include <broker/repair_codec.h>

#include <broker/wire_cursor.h>

#include <assert.h>

#define VERSION 1u
/* The smallest entry, and what is sent when one entry alone is larger than what was asked for. */
#define ENTRY_BYTES_MIN 80u
#define BYTES_MAX       (18u * 1024u * 1024u)

const char *repair_answer_text(enum repair_answer answer)
{
    switch (answer) {
#define X(name, text) \
    case name:        \
        return text;
        REPAIR_ANSWERS(X)
#undef X
    }
    return "unknown answer";
}

void repair_codec_encode(const struct repair_message *message, uint8_t *buffer)
{
    struct wire_writer writer = {.buffer = buffer, .capacity = REPAIR_CODEC_BYTES};
    const bool is_answer = message->type == REPAIR_ANSWER;
    wire_put_u8(&writer, VERSION);
    wire_put_u8(&writer, (uint8_t)message->type);
    wire_put_u8(&writer, is_answer ? (uint8_t)message->answer : 0);
    wire_put_u8(&writer, (is_answer ? message->leads_without_you : message->would_go) ? 1 : 0);
    wire_put_zeros(&writer, 4);
    wire_put_u64(&writer, message->number);
    wire_put_u64(&writer, message->from_epoch);
    wire_put_u64(&writer, message->index);
    wire_put_u64(&writer, message->chain);
    wire_put_u64(&writer, message->last_index);
    wire_put_u64(&writer, is_answer ? message->log_start : 0);
    wire_put_u64(&writer, is_answer ? message->log_last_index : 0);
    wire_put_u64(&writer, is_answer ? message->term : 0);
    wire_put_zeros(&writer, 8);
    assert(writer.bytes == REPAIR_CODEC_BYTES);
}

static bool is_sane_answer(const struct repair_message *message, uint8_t answer, size_t behind)
{
    if (answer != REPAIR_ENTRIES && behind != 0) return false;
    switch ((enum repair_answer)answer) {
    case REPAIR_ENTRIES:
        return behind >= ENTRY_BYTES_MIN && behind <= BYTES_MAX &&
               message->last_index > message->index &&
               message->last_index <= message->log_last_index;
    case REPAIR_NEVER_HELD:
        return message->log_last_index <= message->index;
    case REPAIR_DAMAGED:
        return message->last_index > message->index;
    case REPAIR_BELOW_START:
        return message->log_start > message->index;
    case REPAIR_DIFFERS:
    case REPAIR_BUSY:
    case REPAIR_UNKNOWN:
        return true;
    }
    return false;
}

static bool is_sane(const struct repair_message *message, uint8_t answer, size_t behind)
{
    if (message->number == 0 || message->log_start > message->log_last_index) return false;
    switch (message->type) {
    case REPAIR_REQUEST:
        return answer == 0 && behind == 0 && message->last_index > message->index &&
               message->log_last_index == 0 && message->term == 0;
    case REPAIR_ANSWER:
        return is_sane_answer(message, answer, behind);
    }
    return false;
}

size_t repair_codec_decode(const uint8_t *body, size_t bytes, struct repair_message *ret_message)
{
    struct wire_reader reader = wire_reader_of(body, bytes);
    struct repair_message message;
    memset(&message, 0, sizeof(message));
    if (bytes < REPAIR_CODEC_BYTES || wire_get_u8(&reader) != VERSION) return 0;
    message.type = (enum repair_message_type)wire_get_u8(&reader);
    const uint8_t answer = wire_get_u8(&reader);
    const uint8_t goes = wire_get_u8(&reader);
    wire_get_zeros(&reader, 4);
    message.would_go = message.type == REPAIR_REQUEST && goes == 1;
    message.leads_without_you = message.type == REPAIR_ANSWER && goes == 1;
    message.number = wire_get_u64(&reader);
    message.from_epoch = wire_get_u64(&reader);
    message.index = wire_get_u64(&reader);
    message.chain = wire_get_u64(&reader);
    message.last_index = wire_get_u64(&reader);
    message.log_start = wire_get_u64(&reader);
    message.log_last_index = wire_get_u64(&reader);
    message.term = wire_get_u64(&reader);
    wire_get_zeros(&reader, 8);
    if (goes > 1) return 0;
    if (reader.failed || !is_sane(&message, answer, bytes - REPAIR_CODEC_BYTES)) return 0;
    message.answer = (enum repair_answer)answer;
    *ret_message = message;
    return REPAIR_CODEC_BYTES;
}
