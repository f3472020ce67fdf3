#include "poke.h"

/* With peek.c the only test file that knows the private structs of broker/node. */
#include "base.h"
#include "chains.h"
#include "directory.h"
#include "disk.h"
#include "drop.h"
#include "founding.h"
#include "group.h"
#include "internal.h"
#include "join.h"
#include "perform.h"
#include "proxy.h"
#include "replicate.h"
#include "turn.h"

#include <broker/wire_cursor.h>

enum raft_status poke_configure(struct node *node, uint64_t group_id,
                                const struct raft_configuration *target)
{
    struct group *group = node__group(node, group_id);
    if (!group) return RAFT_NOT_LEADER;
    struct raft_event event = {.type = RAFT_EVENT_CONFIGURE};
    event.configure.target = target;
    return group__step(group, &event);
}

void poke_hold_changes(struct node *node)
{
    node->wish_barrier_running = true; /* and never ends */
}

void poke_founding(struct node *node, uint64_t from, const struct founding *founding)
{
    uint8_t body[NODE_FOUNDING_BYTES_MAX];
    founding__received(node, from, body, founding_encode(founding, body, sizeof(body)));
    node__post(node);
}

static void take_frame(struct node *node, uint64_t from, enum peer_frame_type type,
                       const uint8_t *body, size_t bytes)
{
    const struct peer_frame frame = {
        .node_id = from, .connection = PEER_CONTROL, .type = type, .body = body, .bytes = bytes};
    if (type == PEER_FRAME_JOIN) {
        join__asked(node, &frame);
    } else {
        join__answered(node, &frame);
    }
    node__post(node);
}

void poke_join(struct node *node, uint64_t from, const struct join_question *question)
{
    uint8_t body[JOIN_BYTES_MAX];
    take_frame(node, from, PEER_FRAME_JOIN, body,
               join_question_encode(question, body, sizeof(body)));
}

void poke_join_answer(struct node *node, uint64_t from, const struct join_answer *answer)
{
    uint8_t body[JOIN_BYTES_MAX];
    take_frame(node, from, PEER_FRAME_JOIN_ANSWER, body,
               join_answer_encode(answer, body, sizeof(body)));
}

bool poke_send(struct node *node, uint64_t to, enum peer_frame_type type, const uint8_t *body,
               size_t bytes)
{
    const struct io_buffer part = {.data = (uint8_t *)(uintptr_t)body, .bytes = bytes};
    return peer_send(node->hub, to, PEER_BULK, type, 0, &part, 1);
}

void poke_request(struct node *node, uint64_t from, const uint8_t *body, size_t bytes)
{
    const struct peer_frame frame = {.node_id = from,
                                     .connection = PEER_BULK,
                                     .type = PEER_FRAME_REQUEST,
                                     .body = body,
                                     .bytes = bytes};
    proxy__frame(node, &frame);
    node__post(node);
}

void poke_message(struct node *node, const struct raft_message *message)
{
    uint8_t body[RAFT_CODEC_MESSAGE_BYTES_MAX];
    const struct peer_frame frame = {
        .node_id = message->from.node,
        .connection = PEER_CONTROL,
        .type = PEER_FRAME_RAFT,
        .group = message->group,
        .body = body,
        .bytes = raft_codec_encode_message(message, body, sizeof(body)),
    };
    replicate__frame(node, &frame);
    node__post(node);
}

void poke_chain(struct node *node, uint64_t group, const struct raft_replica_id *from,
                uint64_t index, uint64_t term, uint64_t chain)
{
    uint8_t body[CHAINS_BYTES];
    struct wire_writer writer = {.buffer = body, .capacity = sizeof(body)};
    wire_put_u8(&writer, 2); /* TELL ... */
    wire_put_u8(&writer, 1); /* ... of an entry that it has ... */
    wire_put_u8(&writer, 1); /* ... and that is committed */
    wire_put_zeros(&writer, 5);
    wire_put_u64(&writer, from->epoch);
    wire_put_u64(&writer, index);
    wire_put_u64(&writer, term);
    wire_put_u64(&writer, chain);
    const struct peer_frame frame = {
        .node_id = from->node,
        .connection = PEER_CONTROL,
        .type = PEER_FRAME_CHAIN,
        .group = group,
        .body = body,
        .bytes = writer.bytes,
    };
    chains__received(node, &frame);
    node__post(node);
}

void poke_forget_leader(struct node *node, uint64_t group)
{
    directory__forget(node, group);
}

void poke_make_base(struct node *node, uint64_t group_id)
{
    struct group *group = node__group(node, group_id);
    if (!group) return;
    base__begin(group);
    if (group->is_meta || group->role != RAFT_LEADER || group->control.payload_bytes > 0) return;
    /* As by retention, but up to the newest base. */
    const struct segment_log_point *start = &group->bases[0];
    group->control.type = ENTRY_TRIM;
    group->control.payload_bytes =
        (uint32_t)partition_encode_trim(PARTITION_TRIM_RETENTION, start->index, start->next_offset,
                                        group->control.payload, sizeof(group->control.payload));
    node__dirty(group);
}

bool poke_drop_prefix(struct node *node, uint64_t group_id)
{
    struct group *group = node__group(node, group_id);
    if (!group || group->bases_count == 0) return false;
    const struct segment_log_point start = group->bases[0];
    struct segment_log_info before, after;
    segment_log_info(group->log, &before);
    struct raft_event event = {.type = RAFT_EVENT_COMPACTED};
    event.compacted.index = start.index;
    event.compacted.term = start.term;
    if (group__step(group, &event) != RAFT_OK) return false;
    segment_log_drop_prefix(group->log, start.index);
    disk__pump_log(group, /* idle= */ false);
    node__post(node);
    segment_log_info(group->log, &after);
    return after.base.index > before.base.index;
}

void poke_quarantine(struct node *node, uint64_t group_id)
{
    struct group *group = node__group(node, group_id);
    if (!group) return;
    group__quarantine(group, "a test says so");
    node__post(node);
}

enum raft_status poke_transfer(struct node *node, uint64_t group_id, uint64_t to)
{
    struct group *group = node__group(node, group_id);
    if (!group) return RAFT_NOT_LEADER;
    struct raft_event event = {.type = RAFT_EVENT_TRANSFER, .node = to};
    return group__step(group, &event);
}
