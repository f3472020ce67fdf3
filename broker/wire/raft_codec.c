/* Raft messages as bytes (docs/FORMATS.md, "Raft messages").
 *
 *   pos bytes field
 *     0     1 version (1)    1  1 type    2  1 refusal    3  1 transfer (votes only)    4  4 zero
 *     8    16 from: node, replica epoch
 *    24    16 to: node, replica epoch
 *    40     8 term
 *    48     - 0 to 6 words of 8 bytes, by type
 *
 * All sizes are multiples of 8, so the entries behind an APPEND keep the alignment of the frame's body. */
#include <broker/raft_codec.h>

#include <broker/wire_cursor.h>

#include <assert.h>

#define MESSAGE_VERSION 1u

#define REFUSALS_COUNT_X(name, text) +1
#define REFUSALS_COUNT               (0 RAFT_REFUSALS(REFUSALS_COUNT_X))

static void put_id(struct wire_writer *writer, struct raft_replica_id id)
{
    wire_put_u64(writer, id.node);
    wire_put_u64(writer, id.epoch);
}

static struct raft_replica_id get_id(struct wire_reader *reader)
{
    struct raft_replica_id id = {.node = wire_get_u64(reader)};
    id.epoch = wire_get_u64(reader);
    if (id.node == 0) reader->failed = true;
    return id;
}

static bool is_vote(enum raft_message_type type)
{
    return type == RAFT_MESSAGE_PREVOTE || type == RAFT_MESSAGE_VOTE;
}

/* ---- encode ---------------------------------------------------------------------------------------------------- */

static void put_append(struct wire_writer *writer, const struct raft_message *message)
{
    wire_put_u64(writer, message->append.previous_index);
    wire_put_u64(writer, message->append.previous_term);
    wire_put_u64(writer, message->append.previous_chain);
    wire_put_u64(writer, message->append.first);
    wire_put_u64(writer, message->append.last);
    wire_put_u64(writer, message->append.commit_index);
}

static void put_body(struct wire_writer *writer, const struct raft_message *message)
{
    switch (message->type) {
    case RAFT_MESSAGE_PREVOTE:
    case RAFT_MESSAGE_VOTE:
        wire_put_u64(writer, message->vote.last_index);
        wire_put_u64(writer, message->vote.last_term);
        return;
    case RAFT_MESSAGE_PREVOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
        wire_put_u64(writer, message->vote_reply.voter_term);
        return;
    case RAFT_MESSAGE_APPEND:
        put_append(writer, message);
        return;
    case RAFT_MESSAGE_APPEND_REPLY:
        wire_put_u64(writer, message->append_reply.match_index);
        wire_put_u64(writer, message->append_reply.request_index);
        wire_put_u64(writer, message->append_reply.hint_index);
        wire_put_u64(writer, message->append_reply.hint_term);
        return;
    case RAFT_MESSAGE_HEARTBEAT:
        wire_put_u64(writer, message->heartbeat.commit_index);
        wire_put_u64(writer, message->heartbeat.commit_chain);
        wire_put_u64(writer, message->heartbeat.round);
        wire_put_u64(writer, message->heartbeat.process);
        return;
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
        wire_put_u64(writer, message->heartbeat_reply.round);
        wire_put_u64(writer, message->heartbeat_reply.process);
        wire_put_u64(writer, message->heartbeat_reply.match_index);
        return;
    case RAFT_MESSAGE_READ_INDEX:
    case RAFT_MESSAGE_READ_INDEX_REPLY:
        wire_put_u64(writer, message->read_index.process);
        wire_put_u64(writer, message->read_index.number);
        wire_put_u64(writer, message->read_index.index);
        return;
    case RAFT_MESSAGE_REGRESSED:
        wire_put_u64(writer, message->regressed.index);
        wire_put_u64(writer, message->regressed.term);
        return;
    case RAFT_MESSAGE_TIMEOUT_NOW:
        return;
    }
    assert(false && "a message without a type");
}

size_t raft_codec_encode_message(const struct raft_message *message, uint8_t *buffer, size_t bytes)
{
    assert(message->from.node != 0);
    assert(message->to.node != 0);
    struct wire_writer writer = {.buffer = buffer, .capacity = bytes};
    wire_put_u8(&writer, MESSAGE_VERSION);
    wire_put_u8(&writer, (uint8_t)message->type);
    wire_put_u8(&writer, (uint8_t)message->refusal);
    wire_put_u8(&writer, is_vote(message->type) && message->vote.transfer);
    wire_put_zeros(&writer, 4);
    put_id(&writer, message->from);
    put_id(&writer, message->to);
    wire_put_u64(&writer, message->term);
    put_body(&writer, message);
    assert(writer.bytes <= RAFT_CODEC_MESSAGE_BYTES_MAX);
    assert(writer.bytes % 8 == 0);
    return writer.bytes;
}

/* ---- decode ---------------------------------------------------------------------------------------------------- */

static void get_append(struct wire_reader *reader, struct raft_message *message)
{
    message->append.previous_index = wire_get_u64(reader);
    message->append.previous_term = wire_get_u64(reader);
    message->append.previous_chain = wire_get_u64(reader);
    message->append.first = wire_get_u64(reader);
    message->append.last = wire_get_u64(reader);
    message->append.commit_index = wire_get_u64(reader);
    message->append.runs_count = 0;
    if (message->append.previous_index == UINT64_MAX ||
        message->append.first != message->append.previous_index + 1) {
        reader->failed = true;
    }
}

static void get_body(struct wire_reader *reader, struct raft_message *message)
{
    switch (message->type) {
    case RAFT_MESSAGE_PREVOTE:
    case RAFT_MESSAGE_VOTE:
        message->vote.last_index = wire_get_u64(reader);
        message->vote.last_term = wire_get_u64(reader);
        return;
    case RAFT_MESSAGE_PREVOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
        message->vote_reply.voter_term = wire_get_u64(reader);
        return;
    case RAFT_MESSAGE_APPEND:
        get_append(reader, message);
        return;
    case RAFT_MESSAGE_APPEND_REPLY:
        message->append_reply.match_index = wire_get_u64(reader);
        message->append_reply.request_index = wire_get_u64(reader);
        message->append_reply.hint_index = wire_get_u64(reader);
        message->append_reply.hint_term = wire_get_u64(reader);
        return;
    case RAFT_MESSAGE_HEARTBEAT:
        message->heartbeat.commit_index = wire_get_u64(reader);
        message->heartbeat.commit_chain = wire_get_u64(reader);
        message->heartbeat.round = wire_get_u64(reader);
        message->heartbeat.process = wire_get_u64(reader);
        return;
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
        message->heartbeat_reply.round = wire_get_u64(reader);
        message->heartbeat_reply.process = wire_get_u64(reader);
        message->heartbeat_reply.match_index = wire_get_u64(reader);
        return;
    case RAFT_MESSAGE_READ_INDEX:
    case RAFT_MESSAGE_READ_INDEX_REPLY:
        message->read_index.process = wire_get_u64(reader);
        message->read_index.number = wire_get_u64(reader);
        message->read_index.index = wire_get_u64(reader);
        return;
    case RAFT_MESSAGE_REGRESSED:
        message->regressed.index = wire_get_u64(reader);
        message->regressed.term = wire_get_u64(reader);
        return;
    case RAFT_MESSAGE_TIMEOUT_NOW:
        return;
    }
    reader->failed = true;
}

size_t raft_codec_decode_message(const uint8_t *body, size_t bytes,
                                 struct raft_message *ret_message)
{
    struct wire_reader reader = wire_reader_of(body, bytes);
    struct raft_message message;
    memset(&message, 0, sizeof(message));
    if (wire_get_u8(&reader) != MESSAGE_VERSION) return 0;
    uint8_t type = wire_get_u8(&reader);
    uint8_t refusal = wire_get_u8(&reader);
    bool transfer = wire_get_bool(&reader);
    wire_get_zeros(&reader, 4);
    if (type < RAFT_MESSAGE_PREVOTE || type > RAFT_MESSAGE_REGRESSED) return 0;
    if (refusal >= REFUSALS_COUNT) return 0;

    message.type = (enum raft_message_type)type;
    message.refusal = (enum raft_refusal)refusal;
    message.from = get_id(&reader);
    message.to = get_id(&reader);
    message.term = wire_get_u64(&reader);
    get_body(&reader, &message);
    if (is_vote(message.type)) {
        message.vote.transfer = transfer;
    } else if (transfer) {
        return 0;
    }
    if (reader.failed) return 0;
    *ret_message = message;
    return (size_t)(reader.position - body);
}
