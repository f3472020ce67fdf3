#include "party.h"

#include "frame.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void note(struct party *party, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(party->log + party->log_bytes, sizeof(party->log) - party->log_bytes,
                          format, arguments);
    va_end(arguments);
    assert(bytes > 0);
    party->log_bytes += (size_t)bytes;
    assert(party->log_bytes < sizeof(party->log));
}

static void on_up(void *data, const struct peer_hello *hello)
{
    struct party *party = data;
    note(party, "up n%" PRIu64 " process %" PRIu64 "\n", hello->node_id, hello->process);
    if (party->on_up) party->on_up(party, hello);
}

static void on_down(void *data, uint64_t node_id, uint64_t process)
{
    note(data, "down n%" PRIu64 " process %" PRIu64 "\n", node_id, process);
}

static void on_bulk(void *data, uint64_t node_id, bool up)
{
    note(data, "bulk n%" PRIu64 " %s\n", node_id, up ? "up" : "closed");
}

static void on_frame(void *data, const struct peer_frame *frame)
{
    struct party *party = data;
    party->frames_count++;
    party->frames_bytes += frame->bytes;
    if ((uintptr_t)frame->body % 8u != 0) party->is_misaligned = true;
    if (party->on_frame) party->on_frame(party, frame);
    if (!party->logs_frames) return;
    note(party, "frame n%" PRIu64 " %s type %d group %" PRIu64 " \"%.*s\"\n", frame->node_id,
         frame->connection == PEER_BULK ? "bulk" : "control", (int)frame->type, frame->group,
         frame->bytes > 64 ? 64 : (int)frame->bytes, (const char *)frame->body);
}

static void on_bulk_moved(void *data, uint64_t node_id, bool drained)
{
    note(data, "moved n%" PRIu64 "%s\n", node_id, drained ? " drained" : "");
}

static void on_trouble(void *data, uint64_t node_id, const char *reason)
{
    note(data, "trouble n%" PRIu64 ": %s\n", node_id, reason);
}

static const char *on_refuse(void *data, const struct peer_hello *hello, char *text,
                             size_t text_bytes)
{
    const struct party *party = data;
    const char *reason = party->refuse(hello);
    if (!reason) return NULL;
    snprintf(text, text_bytes, "%s", reason);
    return text;
}

static void on_forgotten(void *data, uint64_t node_id)
{
    note(data, "forgotten n%" PRIu64 "\n", node_id);
}

static const struct peer_callbacks callbacks = {
    .up = on_up,
    .down = on_down,
    .bulk = on_bulk,
    .frame = on_frame,
    .bulk_moved = on_bulk_moved,
    .trouble = on_trouble,
    .forgotten = on_forgotten,
};

static const struct peer_callbacks judging_callbacks = {
    .up = on_up,
    .down = on_down,
    .bulk = on_bulk,
    .frame = on_frame,
    .bulk_moved = on_bulk_moved,
    .trouble = on_trouble,
    .refuse = on_refuse,
    .forgotten = on_forgotten,
};

struct cluster_id party_cluster(uint8_t first)
{
    return (struct cluster_id){.bytes = {first}};
}

void party_open(struct party *party, struct fake_io *io, const struct party_options *options)
{
    struct peer_config peers[PEER_NODES_MAX];
    for (uint32_t i = 0; i < options->nodes_count; i++) {
        peers[i].node_id = i + 1;
        snprintf(peers[i].address, sizeof(peers[i].address), "n%u:7071", i + 1);
    }
    char address[IO_ADDRESS_MAX];
    snprintf(address, sizeof(address), "n%" PRIu64 ":7071", options->node_id);
    struct peer_hub_options hub_options = {
        .io = &io->base,
        .node_id = options->node_id,
        .incarnation = options->incarnation ? options->incarnation : 1000 + options->node_id,
        .process = options->process ? options->process : 100 + options->node_id,
        .cluster = party_cluster(options->cluster),
        .listen_address = options->address ? options->address : address,
        .peers = peers,
        .peers_count = options->nodes_count,
        .peer_address = options->address ? options->address : address,
        .http_address = "127.0.0.1:7070",
        .kafka_address = "",
        .version = "0.1.0",
        .incarnation_index = options->incarnation_index,
        .is_joining = options->is_joining,
        .bulk_stall_us = options->bulk_stall_us,
        .callbacks = options->refuse ? &judging_callbacks : &callbacks,
        .data = party,
    };
    memset(party, 0, sizeof(*party));
    party->io = io;
    party->node_id = options->node_id;
    party->logs_frames = true;
    party->refuse = options->refuse;
    int status = peer_hub_create(&hub_options, &party->hub);
    assert(status == 0);
}

void party_close(struct party *party)
{
    peer_hub_destroy(party->hub);
    party->hub = NULL;
}

const char *party_news(struct party *party)
{
    static char news[PARTY_LOG_BYTES];
    memcpy(news, party->log, party->log_bytes);
    news[party->log_bytes] = '\0';
    party->log_bytes = 0;
    return news;
}

bool party_send(struct party *party, uint64_t to, enum peer_connection connection, uint64_t group,
                const char *text)
{
    struct io_buffer part = {.data = text, .bytes = strlen(text)};
    return peer_send(party->hub, to, connection, PEER_FRAME_RAFT, group, &part, 1);
}

/* ---- strangers ---------------------------------------------------------------------------------------------------- */

static void stranger_read(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    struct stranger *stranger = stream->data;
    if (bytes < 0) {
        stranger->has_end = true;
        return;
    }
    assert(stranger->received_bytes + (size_t)bytes <= sizeof(stranger->received));
    memcpy(stranger->received + stranger->received_bytes, data, (size_t)bytes);
    stranger->received_bytes += (size_t)bytes;
}

static void stranger_closed(struct io_stream *stream)
{
    struct stranger *stranger = stream->data;
    stranger->is_closed = true;
}

static const struct io_stream_callbacks stranger_callbacks = {
    .read = stranger_read,
    .closed = stranger_closed,
};

static void stranger_connected(struct io_stream *stream, int status)
{
    assert(status == 0);
    io_stream_start(stream, &stranger_callbacks, stream->data);
}

void stranger_dial(struct stranger *stranger, struct fake_io *io, const char *address)
{
    memset(stranger, 0, sizeof(*stranger));
    stranger->stream = io_connect(&io->base, address, stranger_connected, stranger);
    while (fake_io_turn(io)) {
    }
}

void stranger_send_raw(struct stranger *stranger, const void *data, size_t bytes)
{
    struct io_buffer buffer = {.data = data, .bytes = bytes};
    io_stream_write(stranger->stream, &buffer, 1);
}

void stranger_send(struct stranger *stranger, uint16_t type, const void *body, size_t bytes)
{
    size_t total_bytes = frame_total_bytes(bytes);
    uint8_t *frame = calloc(1, total_bytes);
    assert(frame);
    struct iovec part = {.iov_base = (void *)(uintptr_t)body, .iov_len = bytes};
    struct frame_header header = {.body_bytes = (uint32_t)bytes,
                                  .type = type,
                                  .cluster = party_cluster(7),
                                  .body_hash = frame__hash_body(&part, 1)};
    frame__encode_header(&header, frame);
    if (bytes > 0) memcpy(frame + FRAME_HEADER_BYTES, body, bytes);
    stranger_send_raw(stranger, frame, total_bytes);
    free(frame);
}

struct hello_message stranger_hello(void)
{
    struct hello_message message = {
        .protocol = PEER_PROTOCOL_VERSION,
        .connection = PEER_CONTROL,
        .nonce = 77,
        .hello = {.node_id = 1,
                  .incarnation = 1001,
                  .process = 101,
                  .cluster = party_cluster(7),
                  .peers = {{1, "n1:7071"}, {2, "n2:7071"}},
                  .peers_count = 2,
                  .http_address = "n1:7070",
                  .version = "0.1.0"},
    };
    return message;
}

void stranger_send_hello(struct stranger *stranger, const struct hello_message *message)
{
    uint8_t body[PEER_HELLO_BYTES_MAX];
    size_t bytes = hello__encode(message, body, sizeof(body));
    assert(bytes <= sizeof(body));
    stranger_send(stranger, PEER_FRAME_HELLO, body, bytes);
}

/* The first frame of this type that came; NULL = none. */
static const uint8_t *find_frame(const struct stranger *stranger, uint16_t type,
                                 struct frame_header *ret_header)
{
    size_t at = 0;
    while (stranger->received_bytes - at >= FRAME_HEADER_BYTES) {
        const uint8_t *frame = stranger->received + at;
        if (!frame__decode_header(frame, ret_header)) return NULL;
        if (ret_header->type == type) return frame + FRAME_HEADER_BYTES;
        at += frame_total_bytes(ret_header->body_bytes);
    }
    return NULL;
}

void stranger_shake(struct stranger *stranger, struct fake_io *io,
                    const struct hello_message *message)
{
    stranger_send_hello(stranger, message);
    while (fake_io_turn(io)) {
    }
    struct frame_header header;
    const uint8_t *body = find_frame(stranger, PEER_FRAME_HELLO, &header);
    assert(body);
    struct hello_message answer;
    enum hello_decode_status status = hello__decode(body, header.body_bytes, &answer);
    assert(status == HELLO_DECODED);
    uint8_t ack[HELLO_ACK_BYTES];
    hello__encode_ack(answer.nonce, ack);
    stranger_send(stranger, PEER_FRAME_HELLO_ACK, ack, sizeof(ack));
    while (fake_io_turn(io)) {
    }
}

const char *stranger_goodbye(const struct stranger *stranger)
{
    static char reason[HELLO_REASON_BYTES_MAX];
    struct frame_header header;
    const uint8_t *body = find_frame(stranger, PEER_FRAME_GOODBYE, &header);
    if (!body || !hello__decode_goodbye(body, header.body_bytes, reason)) return "";
    return reason;
}

void stranger_close(struct stranger *stranger)
{
    io_stream_close(stranger->stream, false);
}

void party_open_two(struct fake_io *io, struct party *n1, struct party *n2)
{
    fake_io_init(io);
    party_open(n1, io, &(struct party_options){.node_id = 1, .cluster = 7, .nodes_count = 2});
    party_open(n2, io, &(struct party_options){.node_id = 2, .cluster = 7, .nodes_count = 2});
    fake_io_run(io, 500000);
    party_news(n1);
    party_news(n2);
}

void party_close_two(struct fake_io *io, struct party *n1, struct party *n2)
{
    party_close(n1);
    party_close(n2);
    fake_io_close(io);
}
