/* Fetches, behind the barrier, on leader and followers alike.
 *
 * A fetch that finds nothing waits without a confirmation (POLL) and confirms when it is about to answer (R; DESIGN §5). */
#include "fetch.h"

#include "barrier.h"
#include "base.h"
#include "chains.h"
#include "dispatch.h"
#include "elsewhere.h"
#include "group.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "mending.h"
#include "offsets.h"
#include "read.h"
#include "repair.h"
#include "request.h"
#include "topic_info.h"

#include <planted/planted.h>
#include <segment_log/repair.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- fetch -------------------------------------------------------------------------------------------------------------------- */

struct fetch_read {
    struct group_read base;
    struct node_request *request; /* NULL: cancelled */
    enum segment_log_key key;
    uint64_t value;
    uint64_t last_index;
    bool
        ends_at_damage; /* last_index is in front of it; else all that was applied when it began is read */
    uint64_t end_offset; /* behind what was applied when it began */
};

/* Offsets behind the last and at the first DATA entry of a view. */
static void view_offsets(const struct segment_log_view *view, uint64_t *ret_first,
                         uint64_t *ret_next)
{
    bool first = true;
    for (uint32_t i = 0; i < view->parts_count; i++) {
        const uint8_t *at = view->parts[i].bytes;
        const uint8_t *end = at + view->parts[i].bytes_count;
        while (at < end) {
            const uint64_t base_offset = entry_base_offset(at);
            if (first) *ret_first = base_offset;
            first = false;
            *ret_next = base_offset + entry_record_count(at);
            at += entry_bytes(entry_payload_bytes(at));
        }
    }
}

/* D6: what this replica has may be no part of the topic, its state neither; also what a read of a quarantined one brings. Whoever
 * asks is parked: as a rule it is judged within a round trip, and else refused (request.c). */
static bool is_out_of_service(const struct group *group)
{
    return (chains__is_in_dispute(group) || group->quarantined) &&
           !PLANTED(D6_DISPUTED_REPLICA_SERVES);
}

/* R3: where old messages are allowed; the answer tells its lag. */
static bool is_unconfirmed(struct node_request *request)
{
    return request_state(request)->settings.local_reads && !request_state(request)->confirmed;
}

static void count_answer(struct node_request *request, struct group *group)
{
    if (request_state(request)->confirmed) {
        group->counters.reads_confirmed++;
    } else if (request_state(request)->settings.local_reads) {
        group->counters.reads_local++;
    } else {
        group->counters.reads_skipped++;
    }
}

static void fill_bounds(struct node_request *request, const struct group *group)
{
    request->ret_first_offset = base__first_offset(group);
    request->ret_high_watermark = group->partition.next_offset;
    /* Its log goes on, and nobody who reads to the end may believe to be there. */
    if (group->mending) {
        struct segment_log_info info;
        segment_log_info(group->log, &info);
        request->ret_high_watermark = info.next_offset;
    }
    request->ret_leader = group->leader;
    request->ret_term = group->term;
    request->ret_local_lag = 0;
    if (is_unconfirmed(request) && !PLANTED(R3_LAG_IS_NOT_TOLD)) {
        struct segment_log_info info;
        segment_log_info(group->log, &info);
        request->ret_local_lag = info.last_index - group->applied_index;
    }
}

static void answer_empty(struct node_request *request, struct group *group, uint64_t offset)
{
    fill_bounds(request, group);
    request->ret_fetch_offset = offset;
    request->ret_next_offset = offset;
    memset(&request->ret_view, 0, sizeof(request->ret_view));
    count_answer(request, group);
    request__finish(request, NODE_OK, NULL);
}

static void nothing_yet(struct node_request *request, struct group *group, uint64_t offset)
{
    struct request_state *state = request_state(request);
    const uint64_t now_us = io_now_us(state->node->io);
    if (state->poll_until_us == 0) {
        state->poll_until_us = now_us + (uint64_t)request->fetch.wait_ms * 1000u;
    }
    if (state->poll_expired || now_us >= state->poll_until_us) {
        answer_empty(request, group, offset);
        return;
    }
    state->parked_us = 0;
    /* From here on the fetch is for this offset, whatever "latest" will mean when it is answered. */
    request->fetch.from = NODE_FROM_OFFSET;
    request->fetch.value = offset;
    request->ret_fetch_offset = offset;
    state->group = group;
    request__move(request, STAGE_POLL, &group->polls);
}

static void answer_from(struct node_request *request, struct group *group, uint64_t offset);

static void answer_view(struct node_request *request, struct group *group,
                        struct segment_log_view *view, bool by_time)
{
    uint64_t first = 0;
    uint64_t next = 0;
    view_offsets(view, &first, &next);
    /* S5: the files may lag behind what is trimmed. Stamps never fall, so the first message that is left is the one. */
    if (by_time && first < base__first_offset(group)) {
        segment_log_view_release(view);
        answer_from(request, group, base__first_offset(group));
        return;
    }
    fill_bounds(request, group);
    request->ret_view = *view;
    if (by_time) request->ret_fetch_offset = first;
    request->ret_next_offset = next;
    group->counters.fetched_bytes += view->bytes_total;
    count_answer(request, group);
    request__finish(request, NODE_OK, NULL);
}

static void out_of_range(struct node_request *request, struct group *group, uint64_t offset)
{
    fill_bounds(request, group);
    request->ret_next_offset = group->partition.next_offset;
    request__finish(request, NODE_OFFSET_OUT_OF_RANGE,
                    "offset %" PRIu64 " is not in %" PRIu64 "..%" PRIu64
                    "; use earliest, latest or an offset in that range",
                    offset, base__first_offset(group), group->partition.next_offset);
}

/* ---- reads from segment files --------------------------------------------------------------------------------------------------- */

/* A read goes from a known place forward, and may meet damage on its way to what it is to read. From now on that is known, so
 * the next one begins behind it; met twice, it is in the way. */
static bool is_met_first(const struct fetch_read *read, const struct group *group,
                         const struct segment_log_problem *problem)
{
    struct request_state *state = request_state(read->request);
    struct segment_log_hole hole;
    if (read->key != SEGMENT_LOG_BY_OFFSET || problem->index <= state->damage_met) return false;
    if (!segment_log_hole_from(group->log, problem->index, &hole)) return false;
    if (hole.before.next_offset > read->value) return false; /* it is in front of the damage */
    if (PLANTED(D7_WHOLE_ENTRIES_BEHIND_DAMAGE_FAIL)) return false;
    state->damage_met = problem->index;
    return true;
}

/* Another replica may have what is damaged at `index` or behind it. Where none has, a read by offset fails by that, and one by time,
 * which has none, by the damage that it met. */
static void read_elsewhere(struct node_request *request, struct group *group,
                           enum segment_log_key key, uint64_t index)
{
    struct segment_log_hole hole;
    if (key == SEGMENT_LOG_BY_TIME && !PLANTED(D7_BY_TIME_FAILS_BY_ANOTHER_NAME)) {
        if (!segment_log_hole_from(group->log, index, &hole)) { /* repaired meanwhile */
            request__park(request, group);
            return;
        }
        request->ret_fetch_offset = hole.before.next_offset;
    }
    elsewhere__read(request, group);
}

/* D7: what lies in front of the damage is served, the damage itself by another replica. */
static void read_through(struct node_request *request, struct group *group,
                         enum segment_log_key key, uint64_t value, uint64_t last_index);

static void damaged_read(struct fetch_read *read, struct group *group,
                         const struct segment_log_problem *problem)
{
    struct node_request *request = read->request;
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    repair__run(group);
    if (group->dropping || problem->index == 0) {
        request__park(request, group);
    } else if (is_met_first(read, group, problem)) {
        const uint64_t last = read->ends_at_damage ? read->last_index : group->applied_index;
        read_through(request, group, read->key, read->value, last);
    } else if (problem->index > info.base.index + 1u && problem->index <= read->last_index) {
        read_through(request, group, read->key, read->value, problem->index - 1u);
    } else {
        read_elsewhere(request, group, read->key, problem->index);
    }
}

/* Nothing is as late as was asked for: the next message is, whenever it comes. It may have come while this was read. */
static void none_that_late(const struct fetch_read *read, struct group *group)
{
    const uint64_t start = base__first_offset(group);
    answer_from(read->request, group, read->end_offset > start ? read->end_offset : start);
}

static void fetch_read_done(struct group_read *base, enum segment_log_status status,
                            struct segment_log_view *view,
                            const struct segment_log_problem *problem)
{
    struct fetch_read *read = (struct fetch_read *)base;
    struct group *group = base->base.group;
    struct node_request *request = read->request;
    if (!request) {
        if (status == SEGMENT_LOG_OK) segment_log_view_release(view);
        return;
    }
    request_state(request)->reading = NULL;
    request_state(request)->stage = STAGE_NEW;
    if (status != SEGMENT_LOG_IO && is_out_of_service(group)) {
        if (status == SEGMENT_LOG_OK) segment_log_view_release(view);
        request__park(request, group);
    } else if (status == SEGMENT_LOG_OK) {
        answer_view(request, group, view, read->key == SEGMENT_LOG_BY_TIME);
    } else if (status == SEGMENT_LOG_DAMAGED) {
        damaged_read(read, group, problem);
    } else if (status == SEGMENT_LOG_IO) {
        read__fatal(group, status, problem);
    } else if (status == SEGMENT_LOG_OUT_OF_RANGE && group->dropping) {
        request__park(request, group);
    } else if (status == SEGMENT_LOG_OUT_OF_RANGE && read->ends_at_damage) {
        /* It stands in the damage, or behind it. */
        read_elsewhere(request, group, read->key, read->last_index + 1u);
    } else if (status == SEGMENT_LOG_OUT_OF_RANGE && read->key == SEGMENT_LOG_BY_TIME) {
        none_that_late(read, group);
    } else {
        request__park(request, group); /* cut or moved meanwhile: ask again */
    }
}

/* A proxied answer must fit in a frame, whatever the client asks for. */
static size_t bytes_max_of(const struct node_request *request)
{
    return request->fetch.bytes_max < NODE_FETCH_BYTES_MAX ? request->fetch.bytes_max
                                                           : NODE_FETCH_BYTES_MAX;
}

/* The log has nothing at that place, up to what is readable. */
static void not_there(struct node_request *request, struct group *group, enum segment_log_key key,
                      uint64_t value, uint64_t last_index)
{
    if (last_index < group->applied_index) {
        read_elsewhere(request, group, key, last_index + 1u);
    } else if (key == SEGMENT_LOG_BY_TIME) {
        nothing_yet(request, group, group->partition.next_offset);
    } else {
        out_of_range(request, group, value);
    }
}

static void start_read(struct node_request *request, struct group *group, enum segment_log_key key,
                       uint64_t value, uint64_t last_index)
{
    struct fetch_read *read = calloc(1, sizeof(*read));
    if (!read) abort();
    read->base.done = fetch_read_done;
    read->request = request;
    read->key = key;
    read->value = value;
    read->last_index = last_index;
    read->ends_at_damage = last_index < group->applied_index;
    read->end_offset = group->partition.next_offset;
    if (read__start(group, &read->base, key, value, last_index, bytes_max_of(request)) !=
        SEGMENT_LOG_OK) {
        not_there(request, group, key, value, last_index);
        return;
    }
    request__move(request, STAGE_READING, NULL);
    request_state(request)->reading = read;
}

void fetch__forget(struct node_request *request)
{
    struct request_state *state = request_state(request);
    if (state->stage == STAGE_READING && state->reading) {
        if (state->reads_range) {
            elsewhere__forget(state->reading);
        } else {
            ((struct fetch_read *)state->reading)->request = NULL;
        }
        state->reading = NULL;
    }
}

static void read_through(struct node_request *request, struct group *group,
                         enum segment_log_key key, uint64_t value, uint64_t last_index)
{
    struct segment_log_view view;
    switch (segment_log_read(group->log, key, value, last_index, bytes_max_of(request), &view)) {
    case SEGMENT_LOG_OK:
        answer_view(request, group, &view, key == SEGMENT_LOG_BY_TIME);
        return;
    case SEGMENT_LOG_NOT_CACHED:
        start_read(request, group, key, value, last_index);
        return;
    case SEGMENT_LOG_DAMAGED:
        read_elsewhere(request, group, key, 0);
        return;
    case SEGMENT_LOG_OUT_OF_RANGE:
        not_there(request, group, key, value, last_index);
        return;
    case SEGMENT_LOG_FULL:
    case SEGMENT_LOG_IO:
    case SEGMENT_LOG_LOST_POSITION:
    case SEGMENT_LOG_FOREIGN:
    case SEGMENT_LOG_MISSING:
    case SEGMENT_LOG_BAD_VERSION:
    case SEGMENT_LOG_BROKEN_CHAIN:
    case SEGMENT_LOG_BAD_ENTRY:
    case SEGMENT_LOG_SUPERSEDED:
        request__finish(request, NODE_DAMAGED, "the log of this node cannot be read");
        return;
    }
}

static void read_by(struct node_request *request, struct group *group, enum segment_log_key key,
                    uint64_t value)
{
    read_through(request, group, key, value, group->applied_index);
}

/* The offset is in the log, or its end. */
static void answer_from(struct node_request *request, struct group *group, uint64_t offset)
{
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    request->ret_fetch_offset = offset;
    if (offset < info.base.next_offset) {
        elsewhere__read(request, group);
        return;
    }
    if (offset == group->partition.next_offset) {
        nothing_yet(request, group, offset);
    } else {
        read_by(request, group, SEGMENT_LOG_BY_OFFSET, offset);
    }
}

/* R3: a refusal tells no lag, and what was acked may not have come here yet. So nothing is missing before the leader was
 * asked; what is trimmed here is so everywhere. */
static void behind_the_end(struct node_request *request, struct group *group, uint64_t offset)
{
    if (is_unconfirmed(request) && !PLANTED(R3_LAGGING_REPLICA_REFUSES)) {
        barrier__start(request, group);
    } else {
        out_of_range(request, group, offset);
    }
}

static void answer_fetch(struct node_request *request, struct group *group)
{
    const uint64_t start = base__first_offset(group);
    const uint64_t end = group->partition.next_offset;
    uint64_t offset = request->fetch.value;
    switch (request->fetch.from) {
    case NODE_FROM_OFFSET:
    case NODE_FROM_MESSAGE:
        break;
    case NODE_FROM_EARLIEST:
        offset = start;
        break;
    case NODE_FROM_LATEST:
        offset = end;
        break;
    case NODE_FROM_TAIL:
        offset = end - start > request->fetch.value ? end - request->fetch.value : start;
        break;
    case NODE_FROM_TIME:
        read_by(request, group, SEGMENT_LOG_BY_TIME, request->fetch.value);
        return;
    }
    const bool is_message = request->fetch.from == NODE_FROM_MESSAGE;
    if (offset < start) {
        out_of_range(request, group, offset);
    } else if (offset > end || (is_message && offset == end)) {
        behind_the_end(request, group, offset);
    } else {
        answer_from(request, group, offset);
    }
}

static void answer_offsets(struct node_request *request, struct group *group)
{
    fill_bounds(request, group);
    request->ret_next_offset = group->partition.next_offset;
    request__finish(request, NODE_OK, NULL);
}

/* The state here is as new as the request: answer from it, or look again at what was not believed before. */
void fetch__behind_barrier(struct node_request *request, struct group *group)
{
    struct request_state *state = request_state(request);
    if (is_out_of_service(group)) { /* since the read was confirmed */
        request__park(request, group);
        return;
    }
    switch (request->type) {
    case NODE_REQUEST_TOPIC_LIST:
    case NODE_REQUEST_TOPIC_GET:
        topic_info__answer(request);
        return;
    case NODE_REQUEST_FETCH:
        if (group->is_meta) break;
        answer_fetch(request, group);
        return;
    case NODE_REQUEST_OFFSETS:
        if (group->is_meta) break;
        answer_offsets(request, group);
        return;
    case NODE_REQUEST_GROUP_FETCH:
    case NODE_REQUEST_GROUP_LIST:
        if (group->is_meta) break;
        offsets__answer(request, group);
        return;
    case NODE_REQUEST_PRODUCE: /* of meta: the topic was looked for; of the partition: it may be refused */
    case NODE_REQUEST_GROUP_COMMIT:
        break;
    case NODE_REQUEST_TOPIC_CREATE:
    case NODE_REQUEST_TOPIC_DELETE:
    case NODE_REQUEST_TOPIC_SET:
    case NODE_REQUEST_PRODUCER_INIT:
    case NODE_REQUEST_NODE_ADD: /* asked whether this node still leads meta */
    case NODE_REQUEST_NODE_REMOVE:
    case NODE_REQUEST_NODE_REPLACE:
    case NODE_REQUEST_PLACE:
    case NODE_REQUEST_CHANGES:
        state->passed = true;
        break;
    case NODE_REQUEST_TRANSFER: /* of meta itself: it was asked whether this node still leads it */
        if (request->transfer.meta) state->passed = true;
        break;
    }
    if (state->internal) {
        request__finish(request, NODE_OK, NULL); /* the barrier is all it wants (reconfigure.c) */
        return;
    }
    if (group->is_meta) {
        state->meta_checked = true; /* the topic was looked for with everything applied (M8) */
    } else {
        state->passed = true;
    }
    request__dispatch(request);
}

/* R3: messages alone may be old, and their answer says by how much. Bounds and group offsets tell a consumer where it is
 * to go on, and have no place for a lag. */
static bool may_be_old(struct node_request *request)
{
    return request_state(request)->settings.local_reads &&
           (request->type == NODE_REQUEST_FETCH || PLANTED(R3_LOCAL_OFFSETS_ARE_OLD));
}

void fetch__start(struct node_request *request, struct group *group)
{
    struct request_state *state = request_state(request);
    if (is_out_of_service(group)) {
        request__park(request, group);
        return;
    }
    /* S3: a log that was just replaced is read like any other once it has what was committed then. */
    const bool is_local = may_be_old(request) && group->applied_index >= group->reads_from_index &&
                          !base__is_ahead_of_state(group);
    if (is_local || PLANTED(R1_FOLLOWER_READS_WITHOUT_ASKING)) {
        state->confirmed = false; /* also when meta was asked whether there is such a topic */
        request__move(request, STAGE_NEW, NULL);
        fetch__behind_barrier(request, group);
        return;
    }
    barrier__start(request, group);
}

/* What the state covers is committed and stays what it is; but this replica cannot know how far others have come meanwhile, so
 * it answers where such reads are allowed. */
bool fetch__from_halted(struct node_request *request)
{
    struct request_state *state = request_state(request);
    if (request->type != NODE_REQUEST_FETCH || !state->settings.local_reads) return false;
    const bool is_earliest = request->fetch.from == NODE_FROM_EARLIEST;
    const bool is_offset =
        request->fetch.from == NODE_FROM_OFFSET || request->fetch.from == NODE_FROM_MESSAGE;
    if (!is_earliest && !is_offset) return false;
    struct group *group = mending__readable(state->node, state->group_id);
    if (!group) return false;
    const uint64_t start = base__first_offset(group);
    const uint64_t offset = is_earliest ? start : request->fetch.value;
    if (offset < start || offset >= group->partition.next_offset) return false;
    state->confirmed = false; /* meta may have been asked whether there is such a topic */
    answer_from(request, group, offset);
    return true;
}

void fetch__wake_polls(struct group *group)
{
    if (group->is_meta || group->polls_offset == group->partition.next_offset) return;
    group->polls_offset = group->partition.next_offset;
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &group->polls) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        struct node_request *request = request_of_state(state);
        if (request->ret_fetch_offset >= group->partition.next_offset) continue;
        state->deadline_us = io_now_us(state->node->io) + (uint64_t)NODE_REQUEST_TIMEOUT_MS * 1000u;
        fetch__start(request, group);
    }
}

void fetch__park_polls(struct group *group)
{
    if (!is_out_of_service(group)) return;
    struct list_link *link;
    while ((link = group->polls.next) != &group->polls) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        state->deadline_us = io_now_us(state->node->io) + (uint64_t)NODE_REQUEST_TIMEOUT_MS * 1000u;
        request__park(request_of_state(state), group);
    }
}
