/* Requests for another node, and those of other nodes for us: REQUEST and RESPONSE frames on the bulk connection.
 *
 * A produce that left is never sent again (PROTOCOL P4): if the connection breaks before the answer its outcome is
 * unknown. An answer "I do not lead" is definite, nothing was stored, and the request looks for the leader again.
 *
 * A fetch that waits for messages costs the other node memory for up to its wait. When its client goes it is taken back by
 * a CANCEL frame, so a node serves no more of them than the clients that wait at the others. */
#include "proxy.h"

#include "attachment.h"
#include "directory.h"
#include "elsewhere.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "peers.h"
#include "request.h"
#include "transfer.h"

#include <broker/request_codec.h>
#include <broker/wire_cursor.h>
#include <planted/planted.h>
#include <rare/rare.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANCEL_BYTES 8u

/* A request of a peer while it is served here. */
struct guest {
    struct request_codec_decoded decoded;
    struct node *node;
    uint64_t from;
    uint64_t process; /* of the asking node: an answer for an earlier process is dropped */
    uint8_t *batch;
    struct list_link link;
};

/* ---- asking ---------------------------------------------------------------------------------------------------------------- */

static struct list_link *bucket_of(struct node *node, uint64_t number)
{
    return &node->proxied[number % NODE_PROXIED_BUCKETS];
}

/* The other node waits for data in this one's stead, for what is left of the wait; then it must still answer. */
static void prepare_fetch(struct node_request *request)
{
    struct request_state *state = request_state(request);
    if (request->type != NODE_REQUEST_FETCH) return;
    const uint64_t now_us = io_now_us(state->node->io);
    if (state->poll_until_us == 0) {
        state->poll_until_us = now_us + (uint64_t)request->fetch.wait_ms * 1000u;
    }
    const uint64_t deadline_us = state->poll_until_us + (uint64_t)NODE_REQUEST_TIMEOUT_MS * 1000u;
    if (state->deadline_us < deadline_us) state->deadline_us = deadline_us;
    request->fetch.wait_ms =
        now_us < state->poll_until_us ? (uint32_t)((state->poll_until_us - now_us) / 1000u) : 0;
}

bool proxy__send(struct node_request *request, uint64_t to)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    if (!peer_is_up(node->hub, to, PEER_BULK) || RARELY(PROXY_FINDS_NO_ROOM)) return false;
    if (peer_queue_bytes(node->hub, to, PEER_BULK) > NODE_BULK_QUEUE_BYTES_MAX) return false;
    prepare_fetch(request);
    uint8_t head[REQUEST_CODEC_BYTES_MAX];
    state->proxy_number = node->next_number++;
    const size_t bytes = request_codec_encode(state->proxy_number, request, head, sizeof(head));
    if (bytes == 0 || bytes > sizeof(head)) {
        request__finish(request, NODE_INVALID_NAME, "a name is too long");
        return true;
    }
    /* The batch is copied: the client may go away while it is queued. */
    struct io_buffer parts[2] = {{.data = head, .bytes = bytes}};
    int count = 1;
    if (request->type == NODE_REQUEST_PRODUCE) {
        parts[count++] =
            (struct io_buffer){.data = request->produce.batch, .bytes = request->produce.bytes};
    }
    if (!peer_send(node->hub, to, PEER_BULK, PEER_FRAME_REQUEST, 0, parts, count)) return false;
    node->counters.proxied_out++;
    state->proxy_node = to;
    state->deposed_us = 0;
    request__move(request, STAGE_PROXIED, bucket_of(node, state->proxy_number));
    return true;
}

void proxy__cancel(struct node_request *request)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    if (state->stage != STAGE_PROXIED || request->type != NODE_REQUEST_FETCH) return;
    if (io_now_us(node->io) >= state->poll_until_us) return; /* it is about to be answered */
    uint8_t body[CANCEL_BYTES];
    struct wire_writer writer = {.buffer = body, .capacity = sizeof(body)};
    wire_put_u64(&writer, state->proxy_number);
    const struct io_buffer part = {.data = body, .bytes = sizeof(body)};
    /* Where it does not leave the wait ends by its time, and nothing more is sent there until it could. */
    (void)peer_send(node->hub, state->proxy_node, PEER_BULK, PEER_FRAME_CANCEL, 0, &part, 1);
}

static void answer_lost(struct node_request *request, uint64_t node_id)
{
    if (request->type == NODE_REQUEST_TRANSFER) {
        transfer__answer_lost(request, node_id);
        return;
    }
    if (request__effect(request->type) == REQUEST_READS || PLANTED(P4_PROXY_SENDS_AGAIN)) {
        proxy__cancel(request); /* it may be up, and only lead no more */
        elsewhere__lost(request, node_id);
        request__park(request, NULL); /* asked again, of whoever can answer then */
        return;
    }
    request__finish(
        request, NODE_OUTCOME_UNKNOWN,
        "node n%" PRIu64 " took the request, and was lost or deposed before it answered", node_id);
}

/* Somebody else leads now. The old leader may still answer, for what it appended may be committed by the new one; but one
 * that hangs would keep its clients until their time runs out. */
void proxy__check_leader(struct node_request *request, uint64_t now_us)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    uint64_t term = 0;
    const uint64_t leader = directory__leader_of(node, state->group_id, &term);
    if (leader == 0 || leader == state->proxy_node) {
        state->deposed_us = 0;
        return;
    }
    if (state->deposed_us == 0) state->deposed_us = now_us;
    if (now_us - state->deposed_us < node->options.election_timeout_ms_min * 1000u) return;
    answer_lost(request, state->proxy_node);
}

void proxy__peer_down(struct node *node, uint64_t node_id)
{
    for (uint32_t i = 0; i < NODE_PROXIED_BUCKETS; i++) {
        struct list_link *link;
        struct list_link *after;
        list_for_each_safe(link, after, &node->proxied[i]) {
            struct request_state *state = list_entry(link, struct request_state, stage_link);
            if (state->proxy_node == node_id) answer_lost(request_of_state(state), node_id);
        }
    }
}

static struct node_request *find_asked(struct node *node, uint64_t number, uint64_t from)
{
    const struct list_link *bucket = bucket_of(node, number);
    for (struct list_link *link = bucket->next; link != bucket; link = link->next) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        if (state->proxy_number == number && state->proxy_node == from) {
            return request_of_state(state);
        }
    }
    return NULL;
}

static bool take_view(struct node_request *request, const struct response_codec_view *view)
{
    memset(&request->ret_view, 0, sizeof(request->ret_view));
    if (!view->bytes) return true;
    return segment_log_view_copy(view->bytes, view->bytes_count, view->first_index,
                                 view->last_index, &request->ret_view);
}

static void received_response(struct node *node, const struct peer_frame *frame)
{
    uint64_t number = 0;
    if (!response_codec_decode_number(frame->body, frame->bytes, &number)) {
        node->counters.bad_frames++;
        return;
    }
    struct node_request *request = find_asked(node, number, frame->node_id);
    if (!request) return; /* answered by its deadline, or cancelled */
    struct response_codec_view view;
    if (!response_codec_decode(frame->body, frame->bytes, request, &view) ||
        !take_view(request, &view)) {
        node->counters.bad_frames++;
        answer_lost(request, frame->node_id);
        return;
    }
    if (request->status == NODE_NO_LEADER || request->status == NODE_SHUTTING_DOWN) {
        /* It may know who leads now; a node without a replica learns it from such answers, too. */
        if (request->ret_leader && request->ret_leader != frame->node_id) {
            directory__heard(node, request_state(request)->group_id, request->ret_term,
                             request->ret_leader);
        }
        elsewhere__lost(request, frame->node_id);
        request__park(request, NULL);
        return;
    }
    if (request->status == NODE_DAMAGED && elsewhere__damaged_there(request, frame->node_id)) {
        return;
    }
    char detail[sizeof(request->detail)];
    memcpy(detail, request->detail, sizeof(detail));
    detail[sizeof(detail) - 1] = 0;
    request__finish(request, request->status, "%s", detail);
}

/* ---- answering --------------------------------------------------------------------------------------------------------------- */

static struct list_link *guests_of(struct node *node, uint64_t number)
{
    return &node->guests[number % NODE_PROXIED_BUCKETS];
}

static void free_guest(struct guest *guest)
{
    struct node_request *request = &guest->decoded.request;
    request__drop_outputs(request);
    free(guest->batch);
    list_remove(&guest->link);
    free(guest);
}

/* Large answers must not pile up before a slow node, or keep appends from it: it asks again. */
static void shorten(struct node_request *request)
{
    if (request->status != NODE_OK || request__effect(request->type) != REQUEST_READS) {
        return;
    }
    request->status = NODE_OVERLOADED;
    request->retry_after_ms = 100;
    request__drop_outputs(request);
}

static void guest_done(struct node_request *request)
{
    struct guest *guest = request->data;
    struct node *node = guest->node;
    const struct peer_state *peer = node__peer(node, guest->from);
    if (peer && peer->process == guest->process) {
        if (peer_queue_bytes(node->hub, guest->from, PEER_BULK) > NODE_BULK_QUEUE_BYTES_MAX ||
            RARELY(GUEST_IS_PUT_OFF)) {
            shorten(request);
        }
        size_t bytes = response_codec_encode(guest->decoded.number, request, NULL, 0);
        if (bytes == 0) {
            request->status = NODE_TOO_LARGE;
            request__drop_outputs(request);
            bytes = response_codec_encode(guest->decoded.number, request, NULL, 0);
        }
        uint8_t *head = malloc(bytes);
        if (!head) abort();
        (void)response_codec_encode(guest->decoded.number, request, head, bytes);
        struct io_buffer parts[1 + SEGMENT_LOG_VIEW_PARTS_MAX] = {
            {.data = head, .bytes = bytes, .release = free, .owner = head}};
        const int count = attachment_add(parts, 1, &request->ret_view);
        (void)peer_send(node->hub, guest->from, PEER_BULK, PEER_FRAME_RESPONSE, 0, parts, count);
    }
    free_guest(guest);
}

/* A node that only asks to join has no clients to ask for (M5). Who has no cluster yet knows no members, and serves nobody. */
static bool is_stranger(const struct node *node, uint64_t node_id)
{
    return !cluster_id_is_zero(&node->identity.cluster) && !peers__came_as_member(node, node_id);
}

static void refuse_stranger(struct node_request *request)
{
    const struct guest *guest = request->data;
    request->status = NODE_NO_LEADER; /* definite: nothing was stored */
    request->retry_after_ms = 50;
    snprintf(request->detail, sizeof(request->detail),
             "n%" PRIu64 " is no member of the cluster as far as n%" PRIu64 " knows", guest->from,
             guest->node->identity.node_id);
    guest_done(request);
}

static void received_request(struct node *node, const struct peer_frame *frame)
{
    struct guest *guest = calloc(1, sizeof(*guest));
    if (!guest) abort();
    if (!request_codec_decode(frame->body, frame->bytes, &guest->decoded)) {
        node->counters.bad_frames++;
        free(guest);
        return;
    }
    guest->node = node;
    guest->from = frame->node_id;
    const struct peer_state *peer = node__peer(node, frame->node_id);
    guest->process = peer ? peer->process : 0;
    struct node_request *request = &guest->decoded.request;
    if (guest->decoded.batch_bytes > 0) {
        guest->batch = malloc(guest->decoded.batch_bytes);
        if (!guest->batch) abort();
        memcpy(guest->batch, guest->decoded.batch, guest->decoded.batch_bytes);
        request->produce.batch = guest->batch;
        request->produce.bytes = guest->decoded.batch_bytes;
    }
    request->from_peer = true;
    request->done = guest_done;
    request->data = guest;
    list_push_back(guests_of(node, guest->decoded.number), &guest->link);
    if (is_stranger(node, frame->node_id)) {
        refuse_stranger(request);
        return;
    }
    node->counters.proxied_in++;
    node_submit(node, request);
}

/* Numbers begin anew with each process of a peer. */
static struct guest *find_guest(struct node *node, uint64_t number, uint64_t from)
{
    const struct peer_state *peer = node__peer(node, from);
    const uint64_t process = peer ? peer->process : 0;
    const struct list_link *bucket = guests_of(node, number);
    for (struct list_link *link = bucket->next; link != bucket; link = link->next) {
        struct guest *guest = list_entry(link, struct guest, link);
        if (guest->decoded.number == number && guest->from == from && guest->process == process) {
            return guest;
        }
    }
    return NULL;
}

static void received_cancel(struct node *node, const struct peer_frame *frame)
{
    struct wire_reader reader = wire_reader_of(frame->body, frame->bytes);
    const uint64_t number = wire_get_u64(&reader);
    if (!wire_is_complete(&reader)) {
        node->counters.bad_frames++;
        return;
    }
    struct guest *guest = find_guest(node, number, frame->node_id);
    if (!guest || guest->decoded.request.type != NODE_REQUEST_FETCH) return; /* answered */
    node_cancel(node, &guest->decoded.request);
    free_guest(guest);
}

void proxy__free_all(struct node *node)
{
    for (uint32_t i = 0; i < NODE_PROXIED_BUCKETS; i++) {
        struct list_link *link;
        struct list_link *after;
        list_for_each_safe(link, after, &node->guests[i]) {
            free_guest(list_entry(link, struct guest, link));
        }
    }
}

void proxy__frame(struct node *node, const struct peer_frame *frame)
{
    if (frame->type == PEER_FRAME_REQUEST) {
        received_request(node, frame);
    } else if (frame->type == PEER_FRAME_CANCEL) {
        received_cancel(node, frame);
    } else {
        received_response(node, frame);
    }
}
