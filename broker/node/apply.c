/* Committed entries go, in order, into the state; whoever waits for an entry is answered here (PROTOCOL P1, P4). */
#include "apply.h"

#include "base.h"
#include "directory.h"
#include "group.h"
#include "internal.h"
#include "list.h"
#include "read.h"
#include "repair.h"
#include "replicas.h"
#include "request.h"
#include "topics.h"
#include "turn.h"

#include <segment_log/repair.h>

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define APPLY_BYTES_MAX (1024u * 1024u) /* in one go; then other groups have their turn */

static void complete_waiter(struct group *group, struct node_request *request,
                            const struct entry_header *header)
{
    request->ret_term = header->term;
    request->ret_leader = group->node->identity.node_id;
    if (request->type == NODE_REQUEST_PRODUCE) {
        request->ret_offset = header->base_offset;
        request->ret_count = header->record_count;
        request->ret_timestamp_ms = header->timestamp_ms;
    }
    if (request->type == NODE_REQUEST_GROUP_COMMIT) {
        /* A newer generation may have been applied since it was appended: then apply() left it out. */
        const struct partition_commit commit = {.group = request->group.group,
                                                .offset = request->group.offset,
                                                .generation = request->group.generation};
        if (partition_commit_is_fenced(&group->partition, &commit)) {
            request__finish(request, NODE_STALE_GENERATION, "generation %" PRId64 " is over",
                            request->group.generation);
            return;
        }
    }
    request__finish(request, NODE_OK, NULL);
}

/* Everybody who waited for an entry at this index learns now which one stands there (I4). */
static void complete_waiters(struct group *group, const struct entry_header *header)
{
    while (!list_is_empty(&group->waiting)) {
        struct request_state *state =
            list_entry(group->waiting.next, struct request_state, stage_link);
        assert(state->index >= header->index);
        if (state->index > header->index) return;
        struct node_request *request = request_of_state(state);
        if (state->term != header->term) {
            request__not_stored(request, group);
        } else if (group->is_meta) {
            /* topics__applied looks it up by its command */
            request__move(request, STAGE_TOPIC, &group->node->topics);
        } else {
            complete_waiter(group, request, header);
        }
    }
}

static bool apply_meta(struct group *group, const struct entry_header *header,
                       const uint8_t *payload)
{
    struct node *node = group->node;
    struct meta_result result;
    memset(&result, 0, sizeof(result));
    if (!meta_apply(&node->meta, header, payload, &result)) return false;
    complete_waiters(group, header);
    if (header->type == ENTRY_META) topics__applied(node, header->index, &result);
    free(result.topic);
    return true;
}

static bool apply_partition(struct group *group, const struct entry_header *header,
                            const uint8_t *payload)
{
    if (!partition_apply(&group->partition, header, payload)) return false;
    if (header->type == ENTRY_DATA) {
        group->counters.produced_batches++;
        group->counters.produced_records += header->record_count;
        group->counters.produced_bytes += header->payload_bytes;
    }
    complete_waiters(group, header);
    return true;
}

static bool apply_entry(struct group *group, const struct entry_header *header,
                        const uint8_t *payload)
{
    assert(header->index == group->applied_index + 1u);
    const bool applied = group->is_meta ? apply_meta(group, header, payload)
                                        : apply_partition(group, header, payload);
    if (!applied) {
        node__fatal(group->node, NODE_FATAL_DAMAGE,
                    "group %" PRIu64 ": entry %" PRIu64
                    " (%s) is not understood; was it written by a newer version?",
                    group->id, header->index, entry_type_name(header->type));
        return false;
    }
    group->applied_index = header->index;
    if (!group->dropping) base__applied(group);
    return true;
}

/* Apply the entries of a view; the bytes were checked when they entered the log or were read from its files. */
static bool apply_view(struct group *group, const struct segment_log_view *view)
{
    const uint64_t seed = checksum64_group(&group->node->identity.cluster, group->id);
    for (uint32_t i = 0; i < view->parts_count; i++) {
        const uint8_t *at = view->parts[i].bytes;
        const uint8_t *end = at + view->parts[i].bytes_count;
        while (at < end) {
            struct entry_header header;
            if (entry_decode_header(at, (size_t)(end - at), seed, &header) != ENTRY_DECODE_OK) {
                node__fatal(group->node, NODE_FATAL_DAMAGE,
                            "group %" PRIu64 ": the entry after %" PRIu64 " is damaged in memory",
                            group->id, group->applied_index);
                return false;
            }
            if (header.index > group->applied_index &&
                !apply_entry(group, &header, at + ENTRY_HEADER_BYTES)) {
                return false;
            }
            if (group->dropping) return false;
            at += entry_bytes(header.payload_bytes);
        }
    }
    return true;
}

static void after_apply(struct group *group)
{
    struct node *node = group->node;
    if (group->is_meta && node->replicas_stale && group->applied_index == group->commit_index) {
        replicas__reconcile(node);
    }
    if (group->role == RAFT_LEADER && !group->own_noop_applied &&
        group->applied_index >= group->own_noop_index && group->own_noop_index != 0) {
        group->own_noop_applied = true;
        directory__tell_leads(group);
        request__unpark(group->node, group);
    }
}

/* ---- entries that are no longer in memory: after a restart ---------------------------------------------------------------- */

static void apply_read_done(struct group_read *read, enum segment_log_status status,
                            struct segment_log_view *view,
                            const struct segment_log_problem *problem)
{
    struct group *group = read->base.group;
    group->apply_reading = false;
    /* Superseded: entries behind the committed ones were cut meanwhile. They are read again. Damaged: they are repaired first,
     * the group halts here until then (D7). */
    if (status == SEGMENT_LOG_DAMAGED) {
        if (!group->dropping) repair__run(group);
    } else if (status != SEGMENT_LOG_OK && status != SEGMENT_LOG_SUPERSEDED) {
        read__fatal(group, status, problem);
        return;
    }
    if (status == SEGMENT_LOG_OK) {
        if (!group->dropping && apply_view(group, view)) after_apply(group);
        segment_log_view_release(view);
    }
    if (!group->dropping) node__dirty(group);
}

static void cannot_be_read(struct group *group, enum segment_log_status status)
{
    node__fatal(group->node, NODE_FATAL_DAMAGE,
                "group %" PRIu64 ": committed entry %" PRIu64 " cannot be read: %s", group->id,
                group->applied_index + 1u, segment_log_status_text(status));
}

/* Up to damage that is known, nothing of it. False: it stands right here. */
static bool readable_through(const struct group *group, uint64_t *ret_last_index)
{
    struct segment_log_hole hole;
    *ret_last_index = group->commit_index;
    if (!segment_log_hole_from(group->log, group->applied_index + 1u, &hole)) return true;
    if (hole.first_index <= group->applied_index + 1u) return false;
    if (hole.first_index <= *ret_last_index) *ret_last_index = hole.first_index - 1u;
    return true;
}

static void start_apply_read(struct group *group)
{
    uint64_t last_index;
    if (!readable_through(group, &last_index)) return;
    struct group_read *read = calloc(1, sizeof(*read));
    if (!read) abort();
    read->done = apply_read_done;
    const enum segment_log_status status = read__start(
        group, read, SEGMENT_LOG_BY_INDEX, group->applied_index + 1u, last_index, APPLY_BYTES_MAX);
    if (status == SEGMENT_LOG_OK) {
        group->apply_reading = true;
    } else {
        cannot_be_read(group, status);
    }
}

void apply__run(struct group *group)
{
    if (group->apply_reading || group->dropping) return;
    if (group->applied_index >= group->commit_index) return;
    struct segment_log_view view;
    const enum segment_log_status status =
        segment_log_read(group->log, SEGMENT_LOG_BY_INDEX, group->applied_index + 1u,
                         group->commit_index, APPLY_BYTES_MAX, &view);
    if (status == SEGMENT_LOG_NOT_CACHED || status == SEGMENT_LOG_DAMAGED) {
        start_apply_read(group);
        return;
    }
    if (status != SEGMENT_LOG_OK) {
        cannot_be_read(group, status);
        return;
    }
    const bool more = view.last_index < group->commit_index;
    const bool applied = apply_view(group, &view);
    segment_log_view_release(&view);
    if (!applied) return;
    after_apply(group);
    if (more) node__dirty(group);
}

/* Entries from `from_index` on were cut. Their waiters go on waiting for what is applied there instead (I4). */
void apply__truncated(struct group *group, uint64_t from_index)
{
    assert(from_index > group->applied_index);
    if (!group->is_meta) partition_overlay_drop(&group->partition, from_index);
}
