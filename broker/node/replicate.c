/* Raft messages to and from peers: entries are attached here, as the bytes that are in the log already.
 *
 * An APPEND leaves with the entries that are in memory, at most NODE_APPEND_BYTES_MAX of them; what does not fit, or a
 * full queue, is told to the core as a *cut*. Entries that are no longer in memory are read by a job; meanwhile later
 * APPENDs to the same member are dropped, and the cut after the read makes the core send them again. */
#include "replicate.h"

#include "attachment.h"
#include "chains.h"
#include "clock.h"
#include "damaged.h"
#include "disk.h"
#include "group.h"
#include "heartbeat.h"
#include "internal.h"
#include "limits.h"
#include "peers.h"
#include "perform.h"
#include "read.h"
#include "received.h"
#include "regress.h"
#include "repair.h"
#include "turn.h"

#include <broker/raft_codec.h>
#include <planted/planted.h>
#include <rare/rare.h>
#include <segment_log/repair.h>

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- sending ------------------------------------------------------------------------------------------------------------ */

static enum peer_connection connection_of(enum raft_message_type type)
{
    return type == RAFT_MESSAGE_APPEND ? PEER_BULK : PEER_CONTROL;
}

/* The message and the entries of `view`, which is moved (NULL: none). False: not connected, or the queue is full. */
static bool send_append(struct group *group, const struct raft_message *message,
                        struct segment_log_view *view)
{
    struct node *node = group->node;
    uint8_t head[RAFT_CODEC_MESSAGE_BYTES_MAX];
    struct io_buffer parts[1 + SEGMENT_LOG_VIEW_PARTS_MAX];
    parts[0] = (struct io_buffer){.data = head,
                                  .bytes = raft_codec_encode_message(message, head, sizeof(head))};
    assert(parts[0].bytes > 0 && parts[0].bytes <= sizeof(head));
    int count = 1;
    if (view) count = attachment_add(parts, count, view);
    return peer_send(node->hub, message->to.node, PEER_BULK, PEER_FRAME_RAFT, group->id, parts,
                     count);
}

static bool bulk_has_room(struct node *node, uint64_t to)
{
    return peer_is_up(node->hub, to, PEER_BULK) &&
           peer_queue_bytes(node->hub, to, PEER_BULK) < NODE_BULK_QUEUE_BYTES_MAX;
}

/* ---- entries that are no longer in memory ---------------------------------------------------------------------------- */

struct append_read {
    struct group_read base;
    struct raft_message message;
};

/* The slot of `node_id` (0: a free one), or RAFT_MEMBERS_MAX. */
static uint32_t reading_slot(const struct group *group, uint64_t node_id)
{
    uint32_t slot = 0;
    while (slot < RAFT_MEMBERS_MAX && group->append_reading[slot] != node_id) {
        slot++;
    }
    return slot;
}

static void append_read_done(struct group_read *base, enum segment_log_status status,
                             struct segment_log_view *view,
                             const struct segment_log_problem *problem)
{
    struct append_read *read = (struct append_read *)base;
    struct group *group = base->base.group;
    struct node *node = group->node;
    struct raft_message *message = &read->message;
    group->append_reading[reading_slot(group, message->to.node)] = 0;
    if (status == SEGMENT_LOG_IO) {
        read__fatal(group, status, problem);
        return;
    }
    if (status == SEGMENT_LOG_DAMAGED && !group->dropping) repair__run(group); /* then sent */
    const bool still_leads =
        group->role == RAFT_LEADER && group->term == message->term && !group->dropping;
    uint64_t sent = message->append.previous_index;
    if (status == SEGMENT_LOG_OK) {
        if (still_leads && bulk_has_room(node, message->to.node)) {
            message->append.last = view->last_index;
            if (send_append(group, message, view)) sent = message->append.last;
        } else {
            segment_log_view_release(view);
        }
    }
    if (!still_leads) return;
    struct raft_event cut = {.type = RAFT_EVENT_APPEND_CUT};
    cut.cut.to = message->to.node;
    cut.cut.last = sent;
    (void)group__step(group, &cut);
}

/* True: the read is under way. */
static bool start_append_read(struct group *group, const struct raft_message *message)
{
    /* All taken: reads for members that were removed meanwhile are among them. */
    const uint32_t slot = reading_slot(group, 0);
    if (slot == RAFT_MEMBERS_MAX || RARELY(READ_PLACES_ARE_TAKEN)) return false;
    uint64_t last = message->append.last;
    struct segment_log_hole hole;
    if (segment_log_hole_from(group->log, message->append.first, &hole)) {
        if (hole.first_index <= message->append.first) return false;
        if (hole.first_index <= last) last = hole.first_index - 1u;
    }
    struct append_read *read = calloc(1, sizeof(*read));
    if (!read) abort();
    read->base.done = append_read_done;
    read->message = *message;
    if (read__start(group, &read->base, SEGMENT_LOG_BY_INDEX, message->append.first, last,
                    NODE_APPEND_BYTES_MAX) != SEGMENT_LOG_OK) {
        return false;
    }
    group->append_reading[slot] = message->to.node;
    return true;
}

/* C3: the receiver compares the chain behind which the entries stand. 0 = not in memory, not compared. */
static uint64_t chain_at(struct group *group, uint64_t index)
{
    struct segment_log_point point;
    return segment_log_point_at(group->log, index, &point) == SEGMENT_LOG_OK ? point.chain : 0;
}

static bool cut_to(struct append_cut *cut, const struct raft_message *message, uint64_t last)
{
    cut->to = message->to.node;
    cut->last = last;
    return true;
}

static bool send_entries(struct group *group, const struct raft_message *original,
                         struct append_cut *ret_cut)
{
    struct node *node = group->node;
    struct raft_message message = *original;
    /* the cut after the read makes up for it */
    if (reading_slot(group, message.to.node) < RAFT_MEMBERS_MAX) return false;
    if (!bulk_has_room(node, message.to.node) || RARELY(BULK_IS_FULL)) {
        return cut_to(ret_cut, &message, message.append.previous_index);
    }
    message.append.previous_chain = chain_at(group, message.append.previous_index);
    if (message.append.last < message.append.first) { /* a probe */
        (void)send_append(group, &message, NULL);
        return false;
    }
    struct segment_log_view view;
    const enum segment_log_status status =
        segment_log_read(group->log, SEGMENT_LOG_BY_INDEX, message.append.first,
                         message.append.last, NODE_APPEND_BYTES_MAX, &view);
    if (status == SEGMENT_LOG_NOT_CACHED && start_append_read(group, &message)) {
        return false;
    }
    if (status != SEGMENT_LOG_OK) {
        return cut_to(ret_cut, &message, message.append.previous_index);
    }
    const uint64_t wanted = message.append.last;
    message.append.last = view.last_index;
    const uint64_t sent_last = view.last_index;
    if (!send_append(group, &message, &view)) {
        return cut_to(ret_cut, &message, message.append.previous_index);
    }
    return sent_last < wanted ? cut_to(ret_cut, &message, sent_last) : false;
}

/* ---- coalesced heartbeats (C6) ------------------------------------------------------------------------------------------ */

static void coalesce(struct peer_state *peer, enum heartbeat_kind kind,
                     const struct raft_message *message)
{
    uint8_t body[RAFT_CODEC_MESSAGE_BYTES_MAX];
    const size_t bytes = raft_codec_encode_message(message, body, sizeof(body));
    heartbeat_offer(&peer->heartbeats, kind, message->group, body, bytes);
    node__post(peer->node);
}

void replicate__flush_heartbeats(struct node *node)
{
    const struct heartbeat_head head = {.wall_ms = io_wall_ms(node->io),
                                        .is_full = node->disk_full};
    for (uint32_t i = 0; i < node->peers_count; i++) {
        struct peer_state *peer = &node->peers[i];
        if (RARELY(HEARTBEATS_LEAVE_LATER)) continue;
        size_t bytes = 0;
        uint8_t *body = heartbeat_build(&peer->heartbeats, &head, &bytes);
        if (!body) continue;
        const struct io_buffer part = {
            .data = body, .bytes = bytes, .release = free, .owner = body};
        (void)peer_send(node->hub, peer->node_id, PEER_CONTROL, PEER_FRAME_HEARTBEATS, 0, &part, 1);
    }
}

bool replicate__send(struct group *group, const struct raft_message *message,
                     struct append_cut *ret_cut)
{
    struct node *node = group->node;
    if (!node__peer_is_usable(node, message->to.node) || chains__is_in_dispute(group)) {
        if (message->type != RAFT_MESSAGE_APPEND) return false;
        return cut_to(ret_cut, message, message->append.previous_index);
    }
    switch (message->type) {
    case RAFT_MESSAGE_APPEND:
        return send_entries(group, message, ret_cut);
    case RAFT_MESSAGE_HEARTBEAT: {
        struct raft_message heartbeat = *message;
        heartbeat.heartbeat.commit_chain = chain_at(group, message->heartbeat.commit_index);
        coalesce(node__peer(node, message->to.node), HEARTBEAT_BEATS, &heartbeat);
        return false;
    }
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
        coalesce(node__peer(node, message->to.node), HEARTBEAT_REPLIES, message);
        return false;
    case RAFT_MESSAGE_PREVOTE:
    case RAFT_MESSAGE_PREVOTE_REPLY:
    case RAFT_MESSAGE_VOTE:
    case RAFT_MESSAGE_VOTE_REPLY:
    case RAFT_MESSAGE_APPEND_REPLY:
    case RAFT_MESSAGE_READ_INDEX:
    case RAFT_MESSAGE_READ_INDEX_REPLY:
    case RAFT_MESSAGE_TIMEOUT_NOW:
    case RAFT_MESSAGE_REGRESSED: {
        uint8_t body[RAFT_CODEC_MESSAGE_BYTES_MAX];
        const struct io_buffer part = {
            .data = body, .bytes = raft_codec_encode_message(message, body, sizeof(body))};
        if (RARELY(MESSAGE_LEAVES_TWICE))
            (void)peer_send(node->hub, message->to.node, connection_of(message->type),
                            PEER_FRAME_RAFT, group->id, &part, 1);
        (void)peer_send(node->hub, message->to.node, connection_of(message->type), PEER_FRAME_RAFT,
                        group->id, &part, 1);
        return false;
    }
    }
    return false;
}

/* ---- receiving -------------------------------------------------------------------------------------------------------------- */

enum segment_log_status replicate__append(struct group *group, uint64_t first, uint64_t last)
{
    struct node *node = group->node;
    const uint8_t *entries = node->received_entries;
    size_t bytes = node->received_bytes;
    uint64_t index = node->received_first;
    assert(first >= index);
    size_t skip = 0;
    while (index < first) {
        skip += entry_bytes(entry_payload_bytes(entries + skip));
        index++;
    }
    size_t end = skip;
    while (index <= last) {
        end += entry_bytes(entry_payload_bytes(entries + end));
        index++;
    }
    assert(end <= bytes);
    return segment_log_append_encoded(group->log, entries + skip, end - skip);
}

static void receive_append(struct group *group, struct raft_message *message,
                           const uint8_t *entries, size_t bytes)
{
    struct node *node = group->node;
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    /* Bounded memory: what the disk cannot take yet is not taken from the network either; it is sent again. */
    if (bytes > 0 && info.unflushed_bytes > NODE_UNFLUSHED_BYTES_MAX) return;
    if (bytes > 0 && RARELY(APPEND_IS_NOT_TAKEN)) return;
    if ((disk__refuses_appends(node) || info.full) &&
        !segment_log_is_taken_when_full(entries, bytes)) {
        return;
    }
    const uint64_t seed = checksum64_group(&node->identity.cluster, group->id);
    struct raft_indexed_configuration configurations[RAFT_MESSAGE_CONFIGURATIONS_MAX];
    if (received_check(message, configurations, seed, entries, bytes) != RECEIVED_OK) {
        node->counters.bad_frames++;
        return;
    }
    if (!chains__agree(group, message)) return;
    if (message->to.epoch == group->epoch && damaged__refuses(group, message)) return;
    if (!chains__follow(group, message, entries, bytes)) return;
    node->received_entries = entries;
    node->received_bytes = bytes;
    node->received_first = message->append.first;
    struct raft_event event = {.type = RAFT_EVENT_MESSAGE, .message = message};
    (void)group__step(group, &event);
    node->received_entries = NULL;
}

static void tell_unknown_group(struct node *node, uint64_t to, uint64_t group_id)
{
    node->counters.unknown_groups++;
    if (PLANTED(M7_UNKNOWN_GROUP_IS_NOT_ANSWERED)) return;
    uint8_t body[REPLICATE_UNKNOWN_BYTES];
    for (uint32_t i = 0; i < sizeof(body); i++) {
        body[i] = (uint8_t)(node->meta.applied_index >> (8u * i));
    }
    const struct io_buffer part = {.data = body, .bytes = sizeof(body)};
    (void)peer_send(node->hub, to, PEER_CONTROL, PEER_FRAME_UNKNOWN_GROUP, group_id, &part, 1);
}

static void receive_message(struct node *node, uint64_t from, uint64_t group_id,
                            const uint8_t *body, size_t bytes)
{
    struct raft_message message;
    const size_t used = raft_codec_decode_message(body, bytes, &message);
    if (used == 0 || message.from.node != from) {
        node->counters.bad_frames++;
        return;
    }
    message.group = group_id;
    struct group *group = node__group(node, group_id);
    if (!group) {
        if (node->meta_group) tell_unknown_group(node, from, group_id);
        return;
    }
    if (chains__is_in_dispute(group)) return;
    if (message.type == RAFT_MESSAGE_APPEND) {
        receive_append(group, &message, body + used, bytes - used);
        return;
    }
    if (used != bytes) {
        node->counters.bad_frames++;
        return;
    }
    if (message.type == RAFT_MESSAGE_APPEND_REPLY && message.refusal != RAFT_REFUSED_NOT) {
        group->counters.appends_rejected++;
    }
    /* A node that stops takes no leadership: nodes that stop together would hand it round and round. */
    if (message.type == RAFT_MESSAGE_TIMEOUT_NOW && node->state == NODE_STOPPING) return;
    /* Nor does one without space: those that have none would do the same (C7). */
    if (message.type == RAFT_MESSAGE_TIMEOUT_NOW && node->disk_full) return;
    /* Nor a replica that is damaged (D5). */
    if (message.type == RAFT_MESSAGE_TIMEOUT_NOW && damaged__holds_back(group)) return;
    if (!chains__agree(group, &message)) return;
    struct raft_event event = {.type = RAFT_EVENT_MESSAGE, .message = &message};
    (void)group__step(group, &event);
    if (message.type == RAFT_MESSAGE_APPEND_REPLY) regress__replied(group, &message);
}

struct heartbeat_source {
    struct node *node;
    uint64_t from;
};

static void receive_heartbeat(void *data, uint64_t group_id, const uint8_t *message, size_t bytes)
{
    const struct heartbeat_source *source = data;
    if (source->node->state == NODE_FAILED) return;
    receive_message(source->node, source->from, group_id, message, bytes);
}

static void receive_heartbeats(struct node *node, const struct peer_frame *frame)
{
    struct peer_state *peer = node__peer(node, frame->node_id);
    struct heartbeat_source source = {.node = node, .from = frame->node_id};
    struct heartbeat_head head;
    if (heartbeat_read_head(frame->body, frame->bytes, &head)) {
        clock_take(&peer->clock, head.wall_ms, io_now_us(node->io));
        peer->is_full = head.is_full;
    }
    if (!heartbeat_read(&peer->heartbeats, frame->body, frame->bytes, receive_heartbeat, &source)) {
        node->counters.bad_frames++;
    }
}

void replicate__frame(struct node *node, const struct peer_frame *frame)
{
    if (node->stop_quiet || !node__peer_is_usable(node, frame->node_id)) return;
    if (frame->type == PEER_FRAME_HEARTBEATS) {
        receive_heartbeats(node, frame);
    } else {
        receive_message(node, frame->node_id, frame->group, frame->body, frame->bytes);
    }
}
