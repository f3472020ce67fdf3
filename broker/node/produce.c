/* Produce on the leader: check, refuse duplicates before they are appended (PROTOCOL P1-P3), propose together what one
 * turn brought, stamp and append.
 *
 * The verdict on a batch and its place in the overlay are settled before the core is stepped: within one turn the indexes
 * and offsets are known, because nothing else appends to the log of a leader. */
#include "produce.h"

#include "barrier.h"
#include "clock.h"
#include "damaged.h"
#include "group.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "perform.h"
#include "request.h"
#include "turn.h"

#include <broker/record_batch.h>
#include <planted/planted.h>
#include <rare/rare.h>

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void refuse_batch(struct node_request *request, enum record_batch_status status)
{
    request__finish(request, NODE_CORRUPT_BATCH, "%s", record_batch_status_text(status));
}

/* An id that meta never handed out would, once evicted, fence everybody below it (P3). This node's meta state may lag
 * behind the leader that handed it out, so "never" is believed only after a ReadIndex on meta, as a missing topic is. */
static bool producer_is_known(struct node_request *request, int64_t producer_id)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    if ((uint64_t)producer_id < meta_producer_next(&node->meta)) return true;
    if (!state->meta_checked && node->meta_group) {
        barrier__start(request, node->meta_group);
        return false;
    }
    request__finish(request, NODE_UNKNOWN_PRODUCER,
                    "producer id %" PRId64 " was never handed out; take one from /v1/producers",
                    producer_id);
    return false;
}

/* The header counts on top of what the topic takes, but no entry is larger than an entry may be. */
static size_t batch_bytes_max(const struct meta_settings *settings)
{
    const size_t bytes_max = settings->message_bytes_max + (size_t)RECORD_BATCH_HEADER_BYTES;
    return bytes_max < ENTRY_PAYLOAD_BYTES_MAX ? bytes_max : ENTRY_PAYLOAD_BYTES_MAX;
}

void produce__start(struct node_request *request, struct group *group)
{
    struct request_state *state = request_state(request);
    if (request->produce.bytes > batch_bytes_max(&state->settings)) {
        request__finish(request, NODE_TOO_LARGE,
                        "%zu bytes; topic \"%s\" takes batches of at most %u bytes",
                        request->produce.bytes, request->topic, state->settings.message_bytes_max);
        return;
    }
    struct record_batch_header header;
    const enum record_batch_status checked =
        record_batch_check(request->produce.batch, request->produce.bytes, &header);
    if (checked != RECORD_BATCH_OK) {
        refuse_batch(request, checked);
        return;
    }
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    if (info.unflushed_bytes > NODE_UNFLUSHED_BYTES_MAX) {
        group->node->counters.refused_overload++;
        request->retry_after_ms = 100;
        request__finish(request, NODE_OVERLOADED, "the disk is behind by %" PRIu64 " bytes",
                        info.unflushed_bytes);
        return;
    }
    if (header.producer_id >= 0 && !producer_is_known(request, header.producer_id)) return;
    if (!PLANTED(L11_WRITES_ARE_TAKEN_WHEN_FULL) && request__refuse_full(request, group)) return;
    state->group = group;
    request__move(request, STAGE_QUEUED, &group->queued);
    node__dirty(group);
}

/* Wait for the fate of an entry of this leader's term; the list stays in the order of indexes. */
static void wait_for(struct group *group, struct node_request *request, uint64_t index)
{
    struct request_state *state = request_state(request);
    list_remove(&state->stage_link);
    state->stage = STAGE_WAITING;
    state->index = index;
    state->term = group->term;
    state->may_be_stored = true;
    state->group = group;
    struct list_link *at = group->waiting.previous;
    while (at != &group->waiting &&
           list_entry(at, struct request_state, stage_link)->index > index) {
        at = at->previous;
    }
    state->stage_link.previous = at;
    state->stage_link.next = at->next;
    at->next->previous = &state->stage_link;
    at->next = &state->stage_link;
}

/* ---- verdicts ---------------------------------------------------------------------------------------------------------------- */

static void finish_duplicate(struct group *group, struct node_request *request, uint64_t offset,
                             uint32_t count)
{
    group->counters.duplicates++;
    request->ret_duplicate = true;
    request->ret_offset = offset;
    request->ret_count = count;
    request->ret_term = group->term;
    request->ret_leader = group->node->identity.node_id;
    /* The original is applied, hence committed; that this node still leads does not matter for it. */
    request__finish(request, NODE_OK, NULL);
}

/* What a leader appends it cannot commit once another one leads. But a "no" is an answer, and one that was paused gives it
 * by an old table: it is given only behind a barrier. */
static bool is_refusal(enum partition_verdict verdict)
{
    switch (verdict) {
    case PARTITION_OUT_OF_ORDER:
    case PARTITION_FENCED:
    case PARTITION_UNKNOWN_PRODUCER:
        return true;
    case PARTITION_ACCEPT:
    case PARTITION_DUPLICATE:
    case PARTITION_DUPLICATE_PENDING:
    case PARTITION_DUPLICATE_UNKNOWN:
    case PARTITION_TOO_MANY_IN_FLIGHT:
        return false;
    }
    return false;
}

/* True: append it at `index`. */
static bool judge(struct group *group, struct node_request *request,
                  const struct record_batch_header *header, uint64_t index, uint64_t base_offset)
{
    const struct partition_batch_id id = {
        .producer_id = header->producer_id,
        .producer_epoch = header->producer_epoch,
        .base_sequence = header->base_sequence,
        .records_count = header->records_count,
    };
    uint64_t offset = 0;
    uint64_t pending_index = 0;
    int32_t expected = -1;
    const enum partition_verdict verdict =
        partition_check(&group->partition, &id, &offset, &pending_index, &expected);
    if (is_refusal(verdict) && !barrier__is_passed(request, group)) return false;
    switch (verdict) {
    case PARTITION_ACCEPT:
        partition_overlay_add(&group->partition, &id, index, base_offset);
        return true;
    case PARTITION_DUPLICATE:
        finish_duplicate(group, request, offset, header->records_count);
        return false;
    case PARTITION_DUPLICATE_PENDING:
        group->counters.duplicates++;
        request->ret_duplicate = true;
        wait_for(group, request, pending_index);
        return false;
    case PARTITION_DUPLICATE_UNKNOWN:
        group->counters.duplicates++;
        request__finish(request, NODE_DUPLICATE_OFFSET_UNKNOWN,
                        "sequence %d was stored before the last %u batches of this producer",
                        header->base_sequence, PARTITION_BATCHES_KEPT);
        return false;
    case PARTITION_OUT_OF_ORDER:
        request__finish(request, NODE_OUT_OF_ORDER_SEQUENCE,
                        "producer %" PRId64 " sent sequence %d, expected %d", header->producer_id,
                        header->base_sequence, expected);
        return false;
    case PARTITION_FENCED:
        request__finish(request, NODE_PRODUCER_FENCED, "epoch %d of producer %" PRId64 " is over",
                        header->producer_epoch, header->producer_id);
        return false;
    case PARTITION_UNKNOWN_PRODUCER:
        request__finish(request, NODE_UNKNOWN_PRODUCER,
                        "producer %" PRId64 " wrote nothing for long and was forgotten",
                        header->producer_id);
        return false;
    case PARTITION_TOO_MANY_IN_FLIGHT:
        request->retry_after_ms = 10;
        request__finish(request, NODE_OVERLOADED, "at most %u batches of one producer in flight",
                        PARTITION_BATCHES_KEPT);
        return false;
    }
    return false;
}

/* ---- propose -------------------------------------------------------------------------------------------------------------- */

struct collector {
    struct list_link appended; /* requests of the proposals, in order */
    struct list_link commits;  /* requests that share the OFFSETS entry at the end */
    uint64_t next_index;
    uint64_t next_offset;
    int64_t timestamp_ms;
    struct partition_commit commit_list[PARTITION_COMMITS_MAX];
    uint32_t commits_count;
};

static void add_proposal(struct group *group, struct collector *collector, enum entry_type type,
                         const uint8_t *payload, uint32_t payload_bytes, uint32_t record_count)
{
    group->proposals[group->proposals_count++] = (struct proposal){
        .type = type,
        .record_count = record_count,
        .payload = payload,
        .payload_bytes = payload_bytes,
        .timestamp_ms = collector->timestamp_ms,
    };
    collector->next_index++;
    collector->next_offset += record_count;
}

static void collect_produce(struct group *group, struct collector *collector,
                            struct node_request *request)
{
    struct record_batch_header header;
    const enum record_batch_status decoded =
        record_batch_decode_header(request->produce.batch, request->produce.bytes, &header);
    if (decoded != RECORD_BATCH_OK) {
        refuse_batch(request, decoded);
        return;
    }
    if (!judge(group, request, &header, collector->next_index, collector->next_offset)) return;
    record_batch_stamp(request->produce.batch, collector->next_offset, (int32_t)group->term);
    add_proposal(group, collector, ENTRY_DATA, request->produce.batch,
                 (uint32_t)request->produce.bytes, header.records_count);
    list_push_back(&collector->appended, &request_state(request)->stage_link);
}

/* A comparison was made with what is applied; a commit of the same group that goes before it makes it void. */
static bool is_overtaken(const struct group *group, const struct collector *collector,
                         const char *name)
{
    if (partition_commits_in_flight(&group->partition, name)) return true;
    for (uint32_t i = 0; i < collector->commits_count; i++) {
        if (strcmp(collector->commit_list[i].group, name) == 0) return true;
    }
    return false;
}

static void collect_commit(struct group *group, struct collector *collector,
                           struct node_request *request)
{
    const struct partition_commit commit = {
        .group = request->group.group,
        .offset = request->group.offset,
        .generation = request->group.generation,
        .metadata = request->group.metadata,
        .metadata_bytes = request->group.metadata_bytes,
        .durable = request->group.durable,
    };
    if (request->group.has_if_offset && is_overtaken(group, collector, commit.group)) {
        request__park(request, group);
        return;
    }
    collector->commit_list[collector->commits_count++] = commit;
    list_push_back(&collector->commits, &request_state(request)->stage_link);
}

static void collect(struct group *group, struct collector *collector)
{
    while (!list_is_empty(&group->queued) && group->proposals_count + 2u < NODE_PROPOSALS_MAX &&
           collector->commits_count < PARTITION_COMMITS_MAX) {
        struct request_state *state =
            list_entry(list_pop_front(&group->queued), struct request_state, stage_link);
        struct node_request *request = request_of_state(state);
        if (state->payload) {
            add_proposal(group, collector, ENTRY_META, state->payload, state->payload_bytes, 0);
            list_push_back(&collector->appended, &state->stage_link);
        } else if (request->type == NODE_REQUEST_PRODUCE) {
            collect_produce(group, collector, request);
        } else {
            collect_commit(group, collector, request);
        }
        if (RARELY(PROPOSAL_OF_FEW)) break;
    }
}

static void add_offsets_entry(struct group *group, struct collector *collector)
{
    if (collector->commits_count == 0) return;
    size_t bytes = partition_encode_offsets(collector->commit_list, collector->commits_count,
                                            group->offsets_payload, group->offsets_capacity);
    assert(bytes > 0); /* offsets__commit refused what cannot be encoded */
    if (bytes > group->offsets_capacity) {
        free(group->offsets_payload);
        group->offsets_payload = malloc(bytes * 2u);
        if (!group->offsets_payload) abort();
        group->offsets_capacity = bytes * 2u;
        bytes = partition_encode_offsets(collector->commit_list, collector->commits_count,
                                         group->offsets_payload, group->offsets_capacity);
    }
    partition_overlay_add_commits(&group->partition, collector->commit_list,
                                  collector->commits_count, collector->next_index);
    add_proposal(group, collector, ENTRY_OFFSETS, group->offsets_payload, (uint32_t)bytes, 0);
}

enum segment_log_status produce__append(struct group *group, uint64_t term,
                                        uint64_t *ret_last_index)
{
    struct segment_log_entry entries[NODE_PROPOSALS_MAX];
    for (uint32_t i = 0; i < group->proposals_count; i++) {
        const struct proposal *proposal = &group->proposals[i];
        entries[i] = (struct segment_log_entry){
            .type = proposal->type,
            .record_count = proposal->record_count,
            .timestamp_ms = proposal->timestamp_ms,
            .payload = proposal->payload,
            .payload_bytes = proposal->payload_bytes,
        };
    }
    return segment_log_append(group->log, term, entries, group->proposals_count, ret_last_index);
}

/* What the leader proposes of itself stands behind what it was asked for. */
static void add_control(struct group *group, struct collector *collector)
{
    if (group->control.payload_bytes == 0) return;
    group->control.index = collector->next_index;
    add_proposal(group, collector, group->control.type, group->control.payload,
                 group->control.payload_bytes, 0);
    group->control.payload_bytes = 0;
}

static void repark(struct group *group, struct list_link *list)
{
    struct list_link *link;
    while ((link = list_pop_front(list))) {
        request__park(request_of_state(list_entry(link, struct request_state, stage_link)), group);
    }
}

/* Repeats of batches that were about to be appended and were not. Entries of earlier terms keep their waiters. */
static void unwait(struct group *group, uint64_t from_index)
{
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &group->waiting) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        if (state->index < from_index || state->term != group->term) continue;
        request__not_stored(request_of_state(state), group);
    }
}

/* Its entry goes into the reserve, or nobody could make room on a full disk (L11). */
static bool makes_room(const struct node_request *request)
{
    return request->type == NODE_REQUEST_TOPIC_DELETE || request->type == NODE_REQUEST_TOPIC_SET;
}

/* The log found no space for what it holds already (L11): nothing more is put upon it. */
static void refuse_queued(struct group *group)
{
    struct list_link *link;
    struct list_link *after;
    group->node->disk_full = true;
    list_for_each_safe(link, after, &group->queued) {
        struct node_request *request =
            request_of_state(list_entry(link, struct request_state, stage_link));
        if (!makes_room(request)) (void)request__refuse_full(request, group);
    }
}

static void propose_batch(struct group *group, struct collector *collector)
{
    const uint64_t first_index = collector->next_index - group->proposals_count;
    struct raft_event event = {.type = RAFT_EVENT_PROPOSE};
    event.propose.count = group->proposals_count;
    const enum raft_status status = group__step(group, &event);
    if (group->node->state == NODE_FAILED) return;
    if (status != RAFT_OK) {
        /* Nothing was appended: others may lead now, ask again from the start. */
        group->control.index = 0;
        if (!group->is_meta) partition_overlay_drop(&group->partition, first_index);
        unwait(group, first_index);
        repark(group, &collector->appended);
        repark(group, &collector->commits);
        return;
    }
    uint64_t index = first_index;
    struct list_link *link;
    while ((link = list_pop_front(&collector->appended))) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        free(state->payload);
        state->payload = NULL;
        wait_for(group, request_of_state(state), index++);
    }
    while ((link = list_pop_front(&collector->commits))) {
        wait_for(group, request_of_state(list_entry(link, struct request_state, stage_link)),
                 index);
    }
}

static bool has_work(const struct group *group)
{
    return !list_is_empty(&group->queued) || group->control.payload_bytes > 0;
}

void produce__propose(struct group *group)
{
    if (!has_work(group)) return;
    struct node *node = group->node;
    struct collector *collector = malloc(sizeof(*collector));
    if (!collector) abort();
    while (has_work(group) && node->state != NODE_FAILED) {
        bool is_ready = group->own_noop_applied || PLANTED(P1_TAKES_BATCHES_BEFORE_NOOP);
        if (damaged__holds_back(group)) is_ready = false;
        if (group->role != RAFT_LEADER || !is_ready) {
            repark(group, &group->queued);
            group->control.payload_bytes = 0;
            break;
        }
        struct segment_log_info info;
        segment_log_info(group->log, &info);
        if (info.full) {
            refuse_queued(group);
            if (!has_work(group)) break;
        }
        list_init(&collector->appended);
        list_init(&collector->commits);
        collector->next_index = info.last_index + 1u;
        collector->next_offset = info.next_offset;
        collector->commits_count = 0;
        /* C8: what a majority of the voters' clocks has reached, never behind the previous stamp. */
        const int64_t now_ms = clock__of_group(group);
        collector->timestamp_ms = now_ms > info.last_timestamp_ms ? now_ms : info.last_timestamp_ms;
        if (PLANTED(C8_STAMPS_GO_BACK)) collector->timestamp_ms = now_ms;
        group->proposals_count = 0;
        collect(group, collector);
        add_offsets_entry(group, collector);
        add_control(group, collector);
        if (group->proposals_count > 0) propose_batch(group, collector);
    }
    free(collector);
}

void produce__meta_command(struct node_request *request, const struct meta_command *command)
{
    struct request_state *state = request_state(request);
    struct group *group = state->node->meta_group;
    const size_t bytes = meta_command_encode(command, NULL, 0);
    if (bytes == 0) {
        request__finish(request, NODE_INVALID_ARGUMENT, "the command is not valid");
        return;
    }
    state->payload = malloc(bytes);
    if (!state->payload) abort();
    state->payload_bytes = (uint32_t)meta_command_encode(command, state->payload, bytes);
    assert(state->payload_bytes == bytes);
    state->command_request = command->request;
    state->group = group;
    request__move(request, STAGE_QUEUED, &group->queued);
    node__dirty(group);
}
