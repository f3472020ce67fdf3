#include <broker/base_codec.h>

#include <broker/wire_cursor.h>

#include <assert.h>

#define VERSION 1u

const char *base_answer_text(enum base_answer answer)
{
    switch (answer) {
#define X(name, text) \
    case name:        \
        return text;
        BASE_ANSWERS(X)
#undef X
    }
    return "unknown answer";
}

void base_codec_encode(const struct base_message *message, uint8_t *buffer)
{
    struct wire_writer writer = {.buffer = buffer, .capacity = BASE_CODEC_BYTES};
    wire_put_u8(&writer, VERSION);
    wire_put_u8(&writer, (uint8_t)message->type);
    wire_put_u8(&writer, message->type == BASE_ANSWER ? (uint8_t)message->answer : 0);
    wire_put_zeros(&writer, 5);
    wire_put_u64(&writer, message->from_epoch);
    wire_put_u64(&writer, message->to_epoch);
    wire_put_u64(&writer, message->term);
    wire_put_u64(&writer, message->base.index);
    wire_put_u64(&writer, message->base.term);
    wire_put_u64(&writer, message->base.chain);
    wire_put_u64(&writer, message->base.next_offset);
    wire_put_u64(&writer, (uint64_t)message->base.timestamp_ms);
    wire_put_u64(&writer, message->base.bytes);
    wire_put_u64(&writer, message->base.hash);
    wire_put_u64(&writer, message->type == BASE_OFFER ? 0 : message->position);
    wire_put_u64(&writer, message->type == BASE_ANSWER ? 0 : message->commit_index);
    wire_put_u64(&writer, message->type == BASE_CHUNK ? message->checksum : 0);
    assert(writer.bytes == BASE_CODEC_BYTES);
}

static bool is_sane(const struct base_message *message, uint8_t answer, size_t behind)
{
    if (message->base.index == 0 || message->base.term == 0 || message->base.bytes == 0) {
        return false;
    }
    if (message->position > message->base.bytes) return false;
    if (message->type != BASE_ANSWER &&
        (answer != 0 || message->commit_index < message->base.index)) {
        return false;
    }
    switch (message->type) {
    case BASE_OFFER:
        return behind == 0 && message->position == 0 && message->checksum == 0;
    case BASE_CHUNK:
        return behind > 0 && behind <= BASE_CHUNK_BYTES_MAX &&
               behind <= message->base.bytes - message->position;
    case BASE_ANSWER:
        return behind == 0 && answer <= BASE_UNKNOWN && message->commit_index == 0 &&
               message->checksum == 0;
    }
    return false;
}

size_t base_codec_decode(const uint8_t *body, size_t bytes, struct base_message *ret_message)
{
    struct wire_reader reader = wire_reader_of(body, bytes);
    struct base_message message;
    memset(&message, 0, sizeof(message));
    if (bytes < BASE_CODEC_BYTES || wire_get_u8(&reader) != VERSION) return 0;
    message.type = (enum base_message_type)wire_get_u8(&reader);
    const uint8_t answer = wire_get_u8(&reader);
    wire_get_zeros(&reader, 5);
    message.from_epoch = wire_get_u64(&reader);
    message.to_epoch = wire_get_u64(&reader);
    message.term = wire_get_u64(&reader);
    message.base.index = wire_get_u64(&reader);
    message.base.term = wire_get_u64(&reader);
    message.base.chain = wire_get_u64(&reader);
    message.base.next_offset = wire_get_u64(&reader);
    message.base.timestamp_ms = (int64_t)wire_get_u64(&reader);
    message.base.bytes = wire_get_u64(&reader);
    message.base.hash = wire_get_u64(&reader);
    message.position = wire_get_u64(&reader);
    message.commit_index = wire_get_u64(&reader);
    message.checksum = wire_get_u64(&reader);
    if (reader.failed || !is_sane(&message, answer, bytes - BASE_CODEC_BYTES)) return 0;
    message.answer = (enum base_answer)answer;
    *ret_message = message;
    return BASE_CODEC_BYTES;
}
