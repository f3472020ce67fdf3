/* Reads of what this node's disk has lost (PROTOCOL D7): they go to the other replicas, one after the other, until one is
 * whole there. When none is, exactly that range fails, with topic, offsets and nodes named; everything beside it is read as
 * ever. A node that was asked by a peer answers for itself: the one that the client asked goes round. */
#include "elsewhere.h"

#include "base.h"
#include "group.h"
#include "internal.h"
#include "list.h"
#include "proxy.h"
#include "read.h"
#include "repair.h"
#include "request.h"

#include <planted/planted.h>
#include <segment_log/repair.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct range_read {
    struct group_read base;
    struct node_request *request; /* NULL: cancelled */
    uint64_t first_offset;
};

static void fail(struct node_request *request, uint64_t first_offset, uint64_t next_offset)
{
    struct request_state *state = request_state(request);
    const struct node *node = state->node;
    char who[96];
    snprintf(who, sizeof(who), "n%" PRIu64, node->identity.node_id);
    for (uint32_t i = 0; i < node->peers_count; i++) {
        if (!(state->damaged_at & 1u << i)) continue;
        const size_t used = strlen(who);
        snprintf(who + used, sizeof(who) - used, ", n%" PRIu64, node->peers[i].node_id);
    }
    request->retry_after_ms = 1000;
    request->ret_next_offset = next_offset > first_offset ? next_offset : 0;
    request__finish(request, NODE_DAMAGED,
                    "offsets %" PRIu64 "..%" PRIu64
                    " of topic \"%.60s\" partition %u are damaged on %s; what lies beside them can "
                    "be read",
                    first_offset, next_offset > first_offset ? next_offset - 1u : first_offset,
                    request->topic, request->partition, who);
}

static void range_read_done(struct group_read *base, enum segment_log_status status,
                            struct segment_log_view *view,
                            const struct segment_log_problem *problem)
{
    struct range_read *read = (struct range_read *)base;
    struct node_request *request = read->request;
    uint64_t next_offset = read->first_offset;
    if (status == SEGMENT_LOG_OK) {
        next_offset = entry_base_offset(view->parts[0].bytes);
        segment_log_view_release(view);
    } else if (status == SEGMENT_LOG_IO) {
        read__fatal(base->base.group, status, problem);
        return;
    }
    if (!request) return;
    request_state(request)->reading = NULL;
    request_state(request)->reads_range = false;
    request_state(request)->stage = STAGE_NEW;
    fail(request, read->first_offset, next_offset);
}

/* Where the damage ends in offsets is told by the entry behind it. */
static void fail_by_name(struct node_request *request, struct group *group)
{
    struct segment_log_info log;
    segment_log_info(group->log, &log);
    if (request->ret_fetch_offset < log.base.next_offset) { /* its base stepped over damage */
        fail(request, base__first_offset(group), log.base.next_offset);
        return;
    }
    struct segment_log_hole hole = {0};
    struct segment_log_hole next;
    uint64_t index = 0;
    while (segment_log_hole_from(group->log, index, &next)) {
        if (index > 0 && next.before.next_offset > request->ret_fetch_offset) break;
        hole = next;
        index = next.last_index + 1u;
    }
    if (index == 0) { /* repaired meanwhile */
        request__park(request, group);
        return;
    }
    if (hole.last_index >= log.last_index) {
        fail(request, hole.before.next_offset, log.next_offset);
        return;
    }
    struct segment_log_view view;
    if (segment_log_read(group->log, SEGMENT_LOG_BY_INDEX, index, index, 1, &view) ==
        SEGMENT_LOG_OK) {
        const uint64_t next_offset = entry_base_offset(view.parts[0].bytes);
        segment_log_view_release(&view);
        fail(request, hole.before.next_offset, next_offset);
        return;
    }
    struct range_read *read = calloc(1, sizeof(*read));
    if (!read) abort();
    read->base.done = range_read_done;
    read->request = request;
    read->first_offset = hole.before.next_offset;
    if (read__start(group, &read->base, SEGMENT_LOG_BY_INDEX, index, index, 1) != SEGMENT_LOG_OK) {
        fail(request, hole.before.next_offset, hole.before.next_offset);
        return;
    }
    request__move(request, STAGE_READING, NULL);
    request_state(request)->reading = read;
    request_state(request)->reads_range = true;
}

void elsewhere__forget(void *reading)
{
    ((struct range_read *)reading)->request = NULL;
}

static bool holds_replica(const struct meta_partition *partition, uint64_t node_id)
{
    for (uint32_t i = 0; i < partition->replicas_count; i++) {
        if (partition->replicas[i].node_id == node_id) return true;
    }
    for (uint32_t i = 0; i < partition->lingering_count; i++) {
        if (partition->lingering[i].node_id == node_id) return true;
    }
    return false;
}

/* False: nobody is left who was not asked. */
static bool ask_next(struct node_request *request)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    struct meta_partition partition;
    uint32_t partitions_count = 0;
    if (!meta_partition_get(&node->meta, request->topic, request->partition, &partition,
                            &state->settings, &partitions_count)) {
        return false;
    }
    _Static_assert(PEER_KNOWN_MAX <= 32u, "damaged_at has a bit per peer");
    for (uint32_t i = 0; i < node->peers_count; i++) {
        const uint64_t id = node->peers[i].node_id;
        if (state->damaged_at & 1u << i || id == node->identity.node_id || id == 0) continue;
        if (!holds_replica(&partition, id) || !node__peer_is_usable(node, id)) continue;
        if (!proxy__send(request, id)) continue;
        state->damaged_at |= 1u << i;
        state->silent_at &= ~(1u << i);
        return true;
    }
    return false;
}

/* Who was asked and lost before it answered may be whole: it is asked again, a little later, as long as there is time. */
static bool waits_for_silent(struct node_request *request, struct group *group)
{
    struct request_state *state = request_state(request);
    if (state->silent_at == 0) return false;
    state->damaged_at &= ~state->silent_at;
    state->silent_at = 0;
    request__park(request, group);
    return true;
}

void elsewhere__lost(struct node_request *request, uint64_t node_id)
{
    struct request_state *state = request_state(request);
    const struct node *node = state->node;
    for (uint32_t i = 0; i < node->peers_count; i++) {
        if (node->peers[i].node_id == node_id) state->silent_at |= state->damaged_at & 1u << i;
    }
}

void elsewhere__read(struct node_request *request, struct group *group)
{
    /* The log was replaced while this was read, and the state does not know yet from where on it is. */
    if (group->applied_index < group->reads_from_index) {
        request__park(request, group);
        return;
    }
    if (!request->from_peer && ask_next(request)) return;
    if (waits_for_silent(request, group)) return;
    fail_by_name(request, group);
}

bool elsewhere__damaged_there(struct node_request *request, uint64_t node_id)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    if (request->type != NODE_REQUEST_FETCH || request->from_peer) return false;
    for (uint32_t i = 0; i < node->peers_count; i++) {
        if (node->peers[i].node_id == node_id) state->damaged_at |= 1u << i;
    }
    if (ask_next(request) || waits_for_silent(request, NULL)) return true;
    struct group *group = node__group(node, state->group_id);
    if (!group || !repair__is_needed(group)) return false;
    list_remove(&state->stage_link);
    state->stage = STAGE_NEW;
    fail_by_name(request, group);
    return true;
}
