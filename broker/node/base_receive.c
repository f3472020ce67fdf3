/* Receiving a base, and becoming it (PROTOCOL S3).
 *
 *   OPENING ─> RECEIVING ─ all bytes ─> VERIFYING ─ whole, and wanted ─> BIRTH ─> PUBLISHING ─> COPYING ─> the core decides
 *                  │                        │ damaged, or the log has caught up     │ no space               │ log replaced: done
 *                  └────────────────────────┴──────────────> CLOSING <─────────────┴───── UNPUBLISHING <─────┘ log kept
 *
 * The copy comes before the files that the base replaces go: one that is lost behind that is told by its copy, where a start
 * would take the log in front of it for the log, as if it had never had its name.
 *
 * One per replica, at most NODE_BASE_RECEIVES_MAX per node. Disk work is one job at a time; chunks that arrive meanwhile wait,
 * at most CHUNKS_MAX of them. From BIRTH on the log gives out no other disk work (segment_log_install), so what is published
 * and what is in the log cannot come apart. A new process begins again: what a process before received is not trusted. */
#include "base_receive.h"

#include "base.h"
#include "base_send.h"
#include "chains.h"
#include "disk.h"
#include "drop.h"
#include "group.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "perform.h"
#include "received.h"
#include "request.h"
#include "topics.h"
#include "turn.h"

#include <broker/base_codec.h>
#include <broker/raft_codec.h>
#include <planted/planted.h>
#include <rare/rare.h>
#include <snapshot/copy.h>
#include <snapshot/snapshot.h>
#include <snapshot/transfer.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNKS_MAX 8u
#define IDLE_US    30000000u /* no byte for so long: its place is given up */

enum stage {
    RECEIVE_OPENING,
    RECEIVE_OPEN,
    RECEIVE_VERIFYING,
    RECEIVE_BIRTH,
    RECEIVE_PUBLISHING,
    RECEIVE_COPYING,
    RECEIVE_UNPUBLISHING,
    RECEIVE_CLOSING,
};

struct chunk {
    struct chunk *next;
    size_t bytes_count;
    uint8_t bytes[];
};

struct base_receive {
    struct group_job base;
    enum stage stage;
    bool is_busy; /* a job runs */
    struct raft_replica_id from;
    struct snapshot_identity identity;
    uint64_t commit_index; /* of the group, highest told */
    uint64_t moved_us;
    uint64_t expected; /* behind the last chunk that was taken */
    struct chunk *queue, **queue_tail;
    uint32_t queue_count;

    /* the job's */
    struct snapshot_sink sink;
    struct chunk *writing;
    enum snapshot_status status;
    struct segment_log_problem problem;
    struct snapshot_header header;
    struct tree *state;

    struct raft_configuration configuration;
    bool is_restored; /* the state is in one of these, checked */
    bool is_damaged;  /* it had its name, and could not be read back for its copy */
    struct meta_state meta;
    struct partition partition;
};

static void free_chunks(struct chunk *chunk)
{
    while (chunk) {
        struct chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

static void free_receive(struct group *group, struct base_receive *receive)
{
    assert(group->receive == receive);
    group->receive = NULL;
    group->node->base_receives_count--;
    free_chunks(receive->queue);
    free_chunks(receive->writing);
    tree_unref(receive->state);
    if (receive->is_restored && group->is_meta) meta_close(&receive->meta);
    if (receive->is_restored && !group->is_meta) partition_close(&receive->partition);
    snapshot_sink_close(&receive->sink, /* remove= */ false);
    free(receive);
}

bool base_receive__is_switching(const struct group *group)
{
    return group->receive && group->receive->stage >= RECEIVE_BIRTH &&
           group->receive->stage <= RECEIVE_UNPUBLISHING;
}

void base_receive__free(struct group *group)
{
    if (group->receive) free_receive(group, group->receive);
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------ */

static void answer_about(struct node *node, uint64_t group_id, uint64_t term, uint64_t to,
                         const struct base_message *message, enum base_answer answer,
                         uint64_t position)
{
    struct base_message reply = *message;
    reply.type = BASE_ANSWER;
    reply.from_epoch = message->to_epoch;
    reply.to_epoch = message->from_epoch;
    reply.term = term;
    reply.answer = answer;
    reply.position = position;
    uint8_t body[BASE_CODEC_BYTES];
    base_codec_encode(&reply, body);
    const struct io_buffer part = {.data = body, .bytes = sizeof(body)};
    (void)peer_send(node->hub, to, PEER_BULK, PEER_FRAME_BASE, group_id, &part, 1);
}

static void answer(struct group *group, enum base_answer what, uint64_t position)
{
    const struct base_receive *receive = group->receive;
    struct base_message message = {.from_epoch = receive->from.epoch, .to_epoch = group->epoch};
    base_send__name(&message, &receive->identity);
    answer_about(group->node, group->id, group->term, receive->from.node, &message, what, position);
}

/* ---- jobs --------------------------------------------------------------------------------------------------------------------- */

static void done_job(struct io_job *job);

static void discard(struct group_job *job)
{
    free_receive(job->group, (struct base_receive *)(void *)job);
}

static void write_chunks(struct base_receive *receive)
{
    for (const struct chunk *chunk = receive->writing; chunk; chunk = chunk->next) {
        receive->status = snapshot_sink_write(&receive->sink, chunk->bytes, chunk->bytes_count,
                                              &receive->problem);
        if (receive->status != SNAPSHOT_OK) return;
    }
}

static void run_job(struct io_job *job)
{
    struct base_receive *receive = job->data;
    const struct group *group = receive->base.group;
    struct node *node = group->node;
    receive->status = SNAPSHOT_OK;
    switch (receive->stage) {
    case RECEIVE_OPENING:
        receive->status = snapshot_sink_open(node->disk, group->directory, &receive->identity,
                                             &receive->sink, &receive->problem);
        break;
    case RECEIVE_OPEN:
        write_chunks(receive);
        break;
    case RECEIVE_VERIFYING:
        receive->status =
            snapshot_sink_verify(&receive->sink, &node->identity.cluster, group->id,
                                 &receive->header, &receive->state, &receive->problem);
        break;
    case RECEIVE_BIRTH: /* a job of the log */
        break;
    case RECEIVE_PUBLISHING:
        receive->status = snapshot_sink_publish(&receive->sink, &receive->problem);
        break;
    case RECEIVE_COPYING:
        receive->status =
            snapshot_copy_base(node->disk, group->directory, &node->identity.cluster, group->id,
                               receive->identity.point.index, &receive->problem);
        break;
    case RECEIVE_UNPUBLISHING:
        receive->status = snapshot_sink_unpublish(&receive->sink, &receive->problem);
        break;
    case RECEIVE_CLOSING:
        snapshot_sink_close(&receive->sink, /* remove= */ true);
        break;
    }
}

static void submit(struct group *group, struct base_receive *receive, enum stage stage)
{
    assert(!receive->is_busy);
    receive->stage = stage;
    receive->is_busy = true;
    receive->base.job.run = run_job;
    receive->base.job.done = done_job;
    receive->base.discard = discard;
    /* What is published is ordered with the writes of the log; receiving must not hold those up. */
    const bool is_log_work = stage >= RECEIVE_PUBLISHING && stage <= RECEIVE_UNPUBLISHING;
    group__submit(group, is_log_work ? group->queue : group->read_queue, &receive->base);
}

static void close_it(struct group *group)
{
    submit(group, group->receive, RECEIVE_CLOSING);
}

static void write_queue(struct group *group)
{
    struct base_receive *receive = group->receive;
    if (receive->is_busy || receive->stage != RECEIVE_OPEN || !receive->queue) return;
    receive->writing = receive->queue;
    receive->queue = NULL;
    receive->queue_tail = &receive->queue;
    receive->queue_count = 0;
    submit(group, receive, RECEIVE_OPEN);
}

/* ---- the switch --------------------------------------------------------------------------------------------------------------- */

/* What cannot be read is not installed. The temporary state is checked here, before anything is given up for it. */
static bool restore(struct group *group, struct base_receive *receive)
{
    const struct snapshot_header *header = &receive->header;
    struct tree *moved = receive->state;
    receive->state = NULL;
    if (group->is_meta) {
        meta_init(&receive->meta);
        receive->is_restored =
            meta_restore(&receive->meta, moved, header->point.index, header->point.timestamp_ms);
    } else {
        partition_init(&receive->partition);
        receive->is_restored = partition_restore(
            &receive->partition, moved, header->point.index, header->point.next_offset,
            header->log_start_offset, header->point.timestamp_ms);
    }
    return receive->is_restored &&
           raft_codec_decode_configuration(header->configuration, header->configuration_bytes,
                                           &receive->configuration);
}

static bool is_wanted(const struct group *group)
{
    const struct segment_log_point *point = &group->receive->identity.point;
    return raft_wants_base(group->raft, point->index, point->term);
}

static void verified(struct group *group)
{
    struct base_receive *receive = group->receive;
    if (!is_wanted(group)) {
        answer(group, BASE_INSTALLED, receive->identity.bytes);
        close_it(group);
    } else if (!restore(group, receive)) {
        node__log(group->node, "error",
                  "event=\"received a base that this version cannot read\" group=%" PRIu64
                  " base=%" PRIu64,
                  group->id, receive->identity.point.index);
        answer(group, BASE_DAMAGED, 0);
        close_it(group);
    } else {
        receive->stage = RECEIVE_BIRTH;
        if (PLANTED(S3_OLD_BASES_GO_FIRST)) {
            base__remove_older(group, receive->identity.point.index);
        }
        segment_log_install(group->log, &receive->identity.point);
        disk__pump_log(group, false);
    }
}

/* The base is durable, beside the log, and stands twice: the core judges once more. */
static void copied(struct group *group)
{
    struct base_receive *receive = group->receive;
    struct raft_event event = {.type = RAFT_EVENT_INSTALLED};
    event.installed.index = receive->identity.point.index;
    event.installed.term = receive->identity.point.term;
    event.installed.configuration = &receive->configuration;
    event.installed.configuration_index = receive->header.configuration_index;
    (void)group__step(group, &event);
    if (group->node->state == NODE_FAILED) return;
    if (receive->stage == RECEIVE_CLOSING) { /* base_receive__replace_log was called */
        answer(group, BASE_INSTALLED, receive->identity.bytes);
        snapshot_sink_close(&receive->sink, /* remove= */ false);
        const uint64_t index = receive->identity.point.index;
        free_receive(group, receive);
        base__remove_older(group, index);
        if (group->is_meta) topics__meta_replaced(group->node);
    } else {
        submit(group, receive, RECEIVE_UNPUBLISHING);
    }
}

void base_receive__log_job_ended(struct group *group, const struct segment_log_job_result *result)
{
    struct base_receive *receive = group->receive;
    if (!receive || receive->stage != RECEIVE_BIRTH) return;
    if (result->born && PLANTED(S3_ACKED_BEFORE_PUBLISHED)) {
        receive->stage = RECEIVE_COPYING;
        copied(group);
    } else if (result->born) {
        submit(group, receive, RECEIVE_PUBLISHING);
    } else if (!segment_log_is_installing(group->log)) {
        answer(group, BASE_NO_SPACE, receive->identity.bytes);
        close_it(group);
    }
}

/* Entries up to the base are committed or were never: who waits for one of them is not told any more which. */
static void answer_waiters(struct group *group, uint64_t index)
{
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &group->waiting) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        if (state->index > index) return;
        request__finish(request_of_state(state), NODE_OUTCOME_UNKNOWN,
                        "this replica fell behind and was replaced before it saw the outcome");
    }
}

void base_receive__replace_log(struct group *group)
{
    struct base_receive *receive = group->receive;
    assert(receive && receive->stage == RECEIVE_COPYING && receive->is_restored);
    struct node *node = group->node;
    const struct segment_log_point *point = &receive->identity.point;
    segment_log_install_end(group->log, /* replace= */ true);
    if (group->is_meta) {
        meta_close(&node->meta);
        node->meta = receive->meta;
    } else {
        partition_close(&group->partition);
        group->partition = receive->partition;
    }
    receive->is_restored = false;
    receive->stage = RECEIVE_CLOSING;
    group->applied_index = point->index;
    group->commit_index = point->index;
    group->checkpoint_index = point->index;
    if (!PLANTED(S3_READS_BEFORE_CAUGHT_UP)) group->reads_from_index = receive->commit_index;
    group->counters.bases_installed++;
    base__installed(group, point);
    chains__replaced(group);
    answer_waiters(group, point->index);
    node__log(node, "info",
              "event=\"log replaced by a base\" group=%" PRIu64 " base=%" PRIu64
              " next_offset=%" PRIu64 " from=%" PRIu64,
              group->id, point->index, point->next_offset, receive->from.node);
    node__dirty(group);
}

/* ---- after a job -------------------------------------------------------------------------------------------------------------- */

static void open_goes_on(struct group *group)
{
    struct base_receive *receive = group->receive;
    receive->stage = RECEIVE_OPEN;
    free_chunks(receive->writing);
    receive->writing = NULL;
    if (receive->sink.received == receive->identity.bytes) {
        submit(group, receive, RECEIVE_VERIFYING);
    } else {
        answer(group, BASE_WANTED, receive->sink.received);
        write_queue(group);
    }
}

static void tell_not_taken(const struct group *group)
{
    const struct base_receive *receive = group->receive;
    node__log(group->node, "warn",
              "event=\"base not taken\" group=%" PRIu64 " from=%" PRIu64 " reason=\"%s\"",
              group->id, receive->from.node, receive->problem.reason);
}

static void could_not(struct group *group)
{
    const struct base_receive *receive = group->receive;
    const bool full = receive->status == SNAPSHOT_FULL;
    if (full) group->node->disk_full = true;
    tell_not_taken(group);
    answer(group, full ? BASE_NO_SPACE : BASE_DAMAGED, 0);
    close_it(group);
}

/* Without space for a copy the base is taken all the same: the files that it replaces are what fills the disk. A base that
 * cannot be read back is not: the log is kept, and another one is sent. */
static void after_copying(struct group *group)
{
    struct base_receive *receive = group->receive;
    if (receive->status == SNAPSHOT_OK || receive->status == SNAPSHOT_FULL) {
        copied(group);
    } else {
        tell_not_taken(group);
        receive->is_damaged = true;
        submit(group, receive, RECEIVE_UNPUBLISHING);
    }
}

static void after_job(struct group *group)
{
    struct base_receive *receive = group->receive;
    if (receive->stage == RECEIVE_COPYING) {
        after_copying(group);
        return;
    }
    if (receive->status != SNAPSHOT_OK) {
        could_not(group);
        return;
    }
    switch (receive->stage) {
    case RECEIVE_OPENING:
    case RECEIVE_OPEN:
        open_goes_on(group);
        break;
    case RECEIVE_VERIFYING:
        verified(group);
        break;
    case RECEIVE_PUBLISHING:
        if (PLANTED(S3_COPY_COMES_LATER)) {
            receive->stage = RECEIVE_COPYING;
            copied(group);
        } else {
            submit(group, receive, RECEIVE_COPYING);
        }
        break;
    case RECEIVE_UNPUBLISHING:
        segment_log_install_end(group->log, /* replace= */ false);
        disk__pump_log(group, false);
        answer(group, receive->is_damaged ? BASE_DAMAGED : BASE_INSTALLED, receive->identity.bytes);
        close_it(group);
        break;
    case RECEIVE_CLOSING:
        free_receive(group, receive);
        break;
    case RECEIVE_BIRTH:
    case RECEIVE_COPYING:
        assert(false);
        break;
    }
}

/* Nothing of the disk is trusted any more (L11): a failed sync, or a name that may be there or not. */
static bool is_fatal(const struct base_receive *receive)
{
    const bool is_naming =
        receive->stage == RECEIVE_PUBLISHING || receive->stage == RECEIVE_UNPUBLISHING;
    return receive->status == SNAPSHOT_IO || (is_naming && receive->status != SNAPSHOT_OK);
}

static void done_job(struct io_job *job)
{
    struct base_receive *receive = job->data;
    struct group *group = receive->base.group;
    struct node *node = group->node;
    receive->is_busy = false;
    list_remove(&receive->base.link);
    if (!node__enter(node)) return; /* freed with the group */
    if (is_fatal(receive)) {
        node__fatal(node, NODE_FATAL_DISK, "group %" PRIu64 ": receiving a base: %s: %s", group->id,
                    receive->problem.path, receive->problem.reason);
        return;
    }
    if (group->dropping) {
        group__continue_drop(group); /* may free it */
    } else {
        after_job(group);
    }
    node__post(node);
}

/* ---- messages ----------------------------------------------------------------------------------------------------------------- */

static struct snapshot_identity identity_of(const struct base_message *message)
{
    return (struct snapshot_identity){
        .point = {.index = message->base.index,
                  .term = message->base.term,
                  .chain = message->base.chain,
                  .next_offset = message->base.next_offset,
                  .timestamp_ms = message->base.timestamp_ms},
        .bytes = message->base.bytes,
        .hash = message->base.hash,
    };
}

static void begin(struct group *group, uint64_t from, const struct base_message *message)
{
    struct node *node = group->node;
    struct base_receive *receive = calloc(1, sizeof(*receive));
    if (!receive) abort();
    receive->from = (struct raft_replica_id){.node = from, .epoch = message->from_epoch};
    receive->identity = identity_of(message);
    receive->commit_index = message->commit_index;
    receive->moved_us = io_now_us(node->io);
    receive->queue_tail = &receive->queue;
    group->receive = receive;
    node->base_receives_count++;
    node__log(node, "info",
              "event=\"receives a base\" group=%" PRIu64 " from=%" PRIu64 " base=%" PRIu64
              " bytes=%" PRIu64,
              group->id, from, receive->identity.point.index, receive->identity.bytes);
    submit(group, receive, RECEIVE_OPENING);
}

static void answer_offer(struct group *group, uint64_t to, const struct base_message *message,
                         enum base_answer what)
{
    answer_about(group->node, group->id, group->term, to, message, what, 0);
}

static void offered(struct group *group, uint64_t from, const struct base_message *message)
{
    struct node *node = group->node;
    struct base_receive *receive = group->receive;
    const struct snapshot_identity identity = identity_of(message);
    if (receive && receive->stage != RECEIVE_CLOSING &&
        snapshot_identity_is_same(&receive->identity, &identity)) {
        receive->from = (struct raft_replica_id){.node = from, .epoch = message->from_epoch};
        if (message->commit_index > receive->commit_index) {
            receive->commit_index = message->commit_index;
        }
        answer(group, BASE_WANTED, receive->expected);
    } else if (!raft_wants_base(group->raft, message->base.index, message->base.term)) {
        answer_offer(group, from, message, BASE_INSTALLED);
    } else if (receive) {
        /* This one comes in its place, unless the other is about to be the log; the sender asks again. */
        if (!receive->is_busy && receive->stage == RECEIVE_OPEN) close_it(group);
    } else if (node->base_receives_count == NODE_BASE_RECEIVES_MAX || RARELY(BASE_IS_NOT_TAKEN)) {
        answer_offer(group, from, message, BASE_BUSY);
    } else if (node->disk_full) {
        answer_offer(group, from, message, BASE_NO_SPACE);
    } else {
        begin(group, from, message);
    }
}

/* What does not follow was lost on the way, or is here already; the sender asks when it hears nothing. */
static void take_chunk(struct group *group, const struct base_message *message,
                       const uint8_t *bytes, size_t bytes_count)
{
    struct base_receive *receive = group->receive;
    const struct snapshot_identity identity = identity_of(message);
    if (!receive || receive->stage > RECEIVE_OPEN ||
        !snapshot_identity_is_same(&receive->identity, &identity)) {
        return;
    }
    if (checksum64(bytes, bytes_count) != message->checksum) {
        group->node->counters.bad_frames++;
        return;
    }
    bool follows = message->position == receive->expected || PLANTED(S3_CHUNK_AT_ANY_POSITION);
    if (!follows || receive->queue_count == CHUNKS_MAX) return;
    struct chunk *chunk = malloc(sizeof(*chunk) + bytes_count);
    if (!chunk) abort();
    chunk->next = NULL;
    chunk->bytes_count = bytes_count;
    memcpy(chunk->bytes, bytes, bytes_count);
    *receive->queue_tail = chunk;
    receive->queue_tail = &chunk->next;
    receive->queue_count++;
    receive->expected += bytes_count;
    receive->moved_us = io_now_us(group->node->io);
    if (message->commit_index > receive->commit_index) {
        receive->commit_index = message->commit_index;
    }
    write_queue(group);
}

void base_receive__frame(struct node *node, const struct peer_frame *frame)
{
    struct base_message message;
    const size_t used = base_codec_decode(frame->body, frame->bytes, &message);
    if (used == 0) {
        node->counters.bad_frames++;
        return;
    }
    if (node->stop_quiet || !node__peer_is_usable(node, frame->node_id)) return;
    struct group *group = node__group(node, frame->group);
    if (!group || message.to_epoch != group->epoch) {
        if (message.type == BASE_OFFER) {
            answer_about(node, frame->group, 0, frame->node_id, &message, BASE_UNKNOWN, 0);
        }
        return;
    }
    switch (message.type) {
    case BASE_OFFER:
        if (message.term >= group->term) offered(group, frame->node_id, &message);
        break;
    case BASE_CHUNK:
        take_chunk(group, &message, frame->body + used, frame->bytes - used);
        break;
    case BASE_ANSWER:
        base_send__answer(group, frame->node_id, &message);
        break;
    }
}

void base_receive__maintain(struct group *group)
{
    struct base_receive *receive = group->receive;
    if (!receive || receive->is_busy || receive->stage != RECEIVE_OPEN) return;
    const bool is_idle = io_now_us(group->node->io) - receive->moved_us >= IDLE_US;
    if (is_idle || RARELY(BASE_IS_GIVEN_UP)) close_it(group);
}
