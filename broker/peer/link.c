/* One TCP connection: connect or accept, handshake, frames in, writes out, close. */
#include "hub.h"

#include <planted/planted.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void link_deadline(struct io_timer *timer);
static void link_read(struct io_stream *stream, const uint8_t *data, ssize_t bytes);
static void link_drained(struct io_stream *stream);
static void link_closed(struct io_stream *stream);

static const struct io_stream_callbacks link_callbacks = {
    .read = link_read,
    .drained = link_drained,
    .closed = link_closed,
};

/* ---- life ---------------------------------------------------------------------------------------------------- */

static struct peer_link *link_create(struct peer_hub *hub, enum link_state state)
{
    struct peer_link *link = calloc(1, sizeof(*link));
    if (!link) return NULL;
    link->hub = hub;
    link->io = hub->io;
    link->state = state;
    link->number = ++hub->links_number;
    link->deadline = (struct io_timer){.fire = link_deadline, .data = link};
    io_random(hub->io, &link->nonce, sizeof(link->nonce));
    link->next = hub->links;
    hub->links = link;
    hub->links_count++;
    return link;
}

static void link_free(struct peer_link *link)
{
    struct peer_hub *hub = link->hub;
    if (hub) {
        struct peer_link **at = &hub->links;
        while (*at != link) {
            at = &(*at)->next;
        }
        *at = link->next;
        hub->links_count--;
    }
    frame_parser__close(&link->parser);
    output__close(&link->output);
    free(link);
}

static void link_closed(struct io_stream *stream)
{
    link_free(stream->data);
}

/* Changes no state of the owner's and calls nothing of his, so it is safe anywhere. The bytes of a frame that is being
 * delivered stay until the stream's last callback. */
void link__close(struct peer_link *link, bool linger)
{
    if (link->state == LINK_CLOSED) return;
    bool was_started = link->state != LINK_CONNECTING;
    if (linger) link__flush(link);
    hub__link_gone(link->hub, link);
    link->state = LINK_CLOSED;
    io_timer_stop(link->io, &link->deadline);
    output__close(&link->output);
    struct io_stream *stream = link->stream;
    if (!was_started) {
        link_free(link); /* a stream that never started has no last callback */
    }
    io_stream_close(stream, linger && was_started);
}

/* ---- out ----------------------------------------------------------------------------------------------------- */

size_t link__queue_bytes(const struct peer_link *link)
{
    return link->output.bytes + io_stream_write_queue_bytes(link->stream);
}

void link__flush(struct peer_link *link)
{
    /* Nothing waits: the time in which nothing arrives begins now. */
    if (link->written_bytes == link->arrived_bytes) link->arrived_us = io_now_us(link->io);
    link->written_bytes += output__flush(&link->output, link->stream);
}

/* A frame of the hub's own; leaves at once. */
static void link_send(struct peer_link *link, enum peer_frame_type type, const uint8_t *body,
                      size_t bytes)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)body, .iov_len = bytes};
    struct frame_header header = {
        .body_bytes = (uint32_t)bytes,
        .type = (uint16_t)type,
        .cluster = link->hub->hello.cluster,
        .body_hash = frame__hash_body(&part, 1),
    };
    struct io_buffer buffer = {.data = body, .bytes = bytes};
    if (!output__append(&link->output, &header, &buffer, 1)) return; /* the deadline ends it */
    link->hub->counters.frames_out++;
    link->hub->counters.bytes_out += frame_total_bytes(bytes);
    link__flush(link);
}

static void send_hello(struct peer_link *link)
{
    uint8_t body[PEER_HELLO_BYTES_MAX];
    struct hello_message message = {
        .protocol = PEER_PROTOCOL_VERSION,
        .connection = link->kind,
        .nonce = link->nonce,
        .hello = link->hub->hello,
    };
    size_t bytes = hello__encode(&message, body, sizeof(body));
    assert(bytes <= sizeof(body)); /* checked when the hub was made */
    link_send(link, PEER_FRAME_HELLO, body, bytes);
}

static void send_ack(struct peer_link *link, uint64_t nonce)
{
    uint8_t body[HELLO_ACK_BYTES];
    hello__encode_ack(nonce, body);
    link_send(link, PEER_FRAME_HELLO_ACK, body, sizeof(body));
}

void link__refuse(struct peer_link *link, const char *reason)
{
    uint8_t body[HELLO_REASON_BYTES_MAX + 2u];
    size_t bytes = hello__encode_goodbye(reason, body, sizeof(body));
    assert(bytes <= sizeof(body));
    link_send(link, PEER_FRAME_GOODBYE, body, bytes);
    link__close(link, true);
}

/* `node_id` of the trouble: as far as known. */
static void refuse(struct peer_link *link, uint64_t node_id, const char *reason)
{
    struct peer_hub *hub = link->hub;
    link__refuse(link, reason);
    hub__trouble(hub, node_id, "%s", reason);
}

/* A sign of life is no movement of the owner's bytes. */
static void send_sign(struct peer_link *link, enum peer_frame_type type)
{
    uint64_t before_bytes = link->written_bytes + link->output.bytes;
    link_send(link, type, (const uint8_t *)"", 0);
    if (link->kind != PEER_BULK) return;
    uint64_t bytes = link->written_bytes + link->output.bytes - before_bytes;
    link->told_bytes += bytes;
    link->up_bytes += bytes;
    hub__start_moved(link->hub);
}

void link__ping(struct peer_link *link)
{
    send_sign(link, PEER_FRAME_PING);
}

/* ---- dial, accept -------------------------------------------------------------------------------------------- */

static void link_connected(struct io_stream *stream, int status)
{
    struct peer_link *link = stream->data;
    struct peer_hub *hub = link->hub;
    if (status < 0) {
        struct peer_node *node = hub__node(hub, link->node_id);
        bool is_lasting = node->slots[link->kind].backoff_ms >= BACKOFF_MS_MAX;
        uint64_t node_id = link->node_id;
        char address[PEER_ADDRESS_BYTES_MAX];
        snprintf(address, sizeof(address), "%s", link->address);
        link__close(link, false);
        /* Nodes start one after the other: only what lasts is worth a word. */
        if (is_lasting) {
            hub__trouble(hub, node_id, "cannot connect to n%" PRIu64 " at %s: %s", node_id, address,
                         strerror(-status));
        }
        return;
    }
    link->state = LINK_HELLO_WANTED;
    io_timer_start(link->io, &link->deadline, HANDSHAKE_US_MAX);
    io_stream_start(stream, &link_callbacks, link);
    send_hello(link);
}

struct peer_link *link__dial(struct peer_hub *hub, struct peer_node *node,
                             enum peer_connection kind, const char *address)
{
    struct peer_link *link = link_create(hub, LINK_CONNECTING);
    if (!link) return NULL;
    link->is_dialed = true;
    link->node_id = node->config.node_id;
    link->kind = kind;
    io_timer_start(link->io, &link->deadline, CONNECT_US_MAX);
    snprintf(link->address, sizeof(link->address), "%s", address);
    link->stream = io_connect(hub->io, link->address, link_connected, link);
    return link;
}

void link__accept(struct peer_hub *hub, struct io_stream *stream)
{
    struct peer_link *link =
        hub->links_count < LINKS_MAX ? link_create(hub, LINK_HELLO_WANTED) : NULL;
    if (!link) {
        io_stream_close(stream, false);
        return;
    }
    link->stream = stream;
    io_timer_start(link->io, &link->deadline, HANDSHAKE_US_MAX);
    io_stream_start(stream, &link_callbacks, link);
}

static void link_deadline(struct io_timer *timer)
{
    struct peer_link *link = timer->data;
    struct peer_hub *hub = link->hub;
    uint64_t node_id = link->node_id;
    bool was_connecting = link->state == LINK_CONNECTING;
    assert(link->state != LINK_UP);
    assert(link->state != LINK_CLOSED);
    link__close(link, false);
    if (node_id == 0) return; /* somebody connected and kept silent */
    hub__trouble(hub, node_id,
                 was_connecting ? "n%" PRIu64 " cannot be reached: no answer in 2 s"
                                : "n%" PRIu64 " did not finish the handshake in 2 s",
                 node_id);
}

/* ---- handshake ----------------------------------------------------------------------------------------------- */

static void bad_frame(struct peer_link *link, const char *what)
{
    struct peer_hub *hub = link->hub;
    uint64_t node_id = link->node_id;
    char address[IO_ADDRESS_MAX];
    io_stream_peer_address(link->stream, address, sizeof(address));
    hub->counters.bad_frames++;
    link__close(link, false);
    hub__trouble(hub, node_id, "%s from %s; the connection was closed", what, address);
}

static void take_hello(struct peer_link *link, const uint8_t *body, size_t bytes)
{
    struct peer_hub *hub = link->hub;
    char text[HELLO_REASON_BYTES_MAX];
    struct hello_message message;
    enum hello_decode_status status = hello__decode(body, bytes, &message);
    if (status == HELLO_MALFORMED) {
        bad_frame(link, "a malformed HELLO");
        return;
    }
    if (status == HELLO_OTHER_VERSION) {
        snprintf(text, sizeof(text),
                 "n%" PRIu64 " speaks version %u of the peer protocol, the other node version %u; "
                 "run versions that fit together",
                 hub->hello.node_id, PEER_PROTOCOL_VERSION, message.protocol);
        refuse(link, link->node_id, text);
        return;
    }
    const char *reason = hub__refusal(hub, link, &message, text, sizeof(text));
    if (reason) {
        refuse(link, link->is_dialed ? link->node_id : message.hello.node_id, reason);
        return;
    }
    link->node_id = message.hello.node_id;
    link->kind = message.connection;
    link->hello = message.hello;
    link->state = LINK_ACK_WANTED;
    if (!link->is_dialed) send_hello(link);
    send_ack(link, message.nonce);
}

static void take_ack(struct peer_link *link, const uint8_t *body, size_t bytes)
{
    uint64_t nonce;
    if (!hello__decode_ack(body, bytes, &nonce) || nonce != link->nonce) {
        bad_frame(link, "a HELLO_ACK with another nonce");
        return;
    }
    /* Another incarnation may have come up since its HELLO was judged. */
    if (hub__has_other_incarnation(link->hub, &link->hello)) {
        refuse(link, link->node_id, "another data directory of the same node connected first");
        return;
    }
    link->state = LINK_UP;
    link->up_at_us = io_now_us(link->io);
    /* The handshake is no movement of the owner's bytes. */
    link->up_bytes = link->arrived_bytes = link->told_bytes = link->written_bytes;
    link->arrived_us = link->up_at_us;
    io_timer_stop(link->io, &link->deadline);
    if (!hub__link_up(link->hub, link)) {
        refuse(link, link->node_id, "the other node knows as many nodes as it can");
    }
}

static void take_goodbye(struct peer_link *link, const uint8_t *body, size_t bytes)
{
    struct peer_hub *hub = link->hub;
    uint64_t node_id = link->node_id;
    char reason[HELLO_REASON_BYTES_MAX];
    if (!hello__decode_goodbye(body, bytes, reason)) {
        bad_frame(link, "a malformed GOODBYE");
        return;
    }
    link__close(link, false);
    hub__trouble(hub, node_id, "n%" PRIu64 " refuses n%" PRIu64 ": %s", node_id, hub->hello.node_id,
                 reason);
}

/* ---- in ------------------------------------------------------------------------------------------------------- */

static bool is_owner_type(uint16_t type)
{
    return type >= PEER_FRAME_RAFT && type <= PEER_FRAME_LAST;
}

/* A frame names the cluster that its sender knows: none, ours, or, while we have none, the one of its HELLO. */
static bool is_cluster_allowed(const struct peer_link *link, const struct cluster_id *cluster)
{
    const struct cluster_id *ours = &link->hub->hello.cluster;
    if (cluster_id_is_zero(cluster) || cluster_id_equal(cluster, ours)) return true;
    return cluster_id_is_zero(ours) && cluster_id_equal(cluster, &link->hello.cluster);
}

static void take_owner_frame(struct peer_link *link, const struct frame_header *header,
                             const uint8_t *body)
{
    struct peer_hub *hub = link->hub;
    if (!is_owner_type(header->type)) {
        bad_frame(link, "a frame of unknown type");
        return;
    }
    bool any_cluster = PLANTED(M1_FRAME_OF_ANOTHER_CLUSTER_IS_TAKEN);
    if (!is_cluster_allowed(link, &header->cluster) && !any_cluster) {
        bad_frame(link, "a frame of another cluster");
        return;
    }
    struct peer_frame frame = {
        .node_id = link->node_id,
        .connection = link->kind,
        .type = (enum peer_frame_type)header->type,
        .group = header->group,
        .body = body,
        .bytes = header->body_bytes,
    };
    hub->callbacks->frame(hub->data, &frame);
}

static void take_frame(struct peer_link *link, const struct frame_header *header,
                       const uint8_t *body)
{
    link->hub->counters.frames_in++;
    if (header->type == PEER_FRAME_GOODBYE) {
        take_goodbye(link, body, header->body_bytes);
    } else if (link->state == LINK_UP && header->type == PEER_FRAME_PING) {
        send_sign(link, PEER_FRAME_PONG);
    } else if (link->state == LINK_UP && header->type == PEER_FRAME_PONG) {
        /* That it came is all it says. */
    } else if (link->state == LINK_UP) {
        take_owner_frame(link, header, body);
    } else if (link->state == LINK_HELLO_WANTED && header->type == PEER_FRAME_HELLO) {
        take_hello(link, body, header->body_bytes);
    } else if (link->state == LINK_ACK_WANTED && header->type == PEER_FRAME_HELLO_ACK) {
        take_ack(link, body, header->body_bytes);
    } else {
        bad_frame(link, "a frame out of order in the handshake");
    }
}

/* Every frame may close the link, so its state is asked anew for each. */
static void link_parse(struct peer_link *link, const uint8_t *data, size_t bytes)
{
    while (link->state != LINK_CLOSED) {
        size_t bytes_max = link->state == LINK_UP ? PEER_FRAME_BYTES_MAX : PEER_HELLO_BYTES_MAX;
        struct frame_header header;
        const uint8_t *body;
        switch (frame_parser__next(&link->parser, &data, &bytes, bytes_max, &header, &body)) {
        case FRAME_PARSED:
            take_frame(link, &header, body);
            break;
        case FRAME_MORE:
            return;
        case FRAME_BAD:
            bad_frame(link, "a damaged frame");
            return;
        case FRAME_TOO_LARGE:
            bad_frame(link, "a frame above the size limit");
            return;
        case FRAME_NO_MEMORY:
            bad_frame(link, "a frame that memory does not suffice for");
            return;
        }
    }
}

static void link_read(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    struct peer_link *link = stream->data;
    struct peer_hub *hub = link->hub;
    if (link->state == LINK_CLOSED) return;
    if (bytes < 0) {
        link__close(link, false);
    } else {
        hub->counters.bytes_in += (uint64_t)bytes;
        link->heard_us = io_now_us(link->io);
        link_parse(link, data, (size_t)bytes);
    }
    hub__tell(hub);
}

static void link_drained(struct io_stream *stream)
{
    struct peer_link *link = stream->data;
    if (link->state == LINK_UP) hub__moved(link->hub, link, true);
}
