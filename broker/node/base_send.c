/* Sending a base to a replica that needs entries which this log does not have any more (PROTOCOL S3).
 *
 *   opening ─ file is whole ─> offered ─ position wanted ─> sending ─ installed, or not ─> told to the core
 *                                 ^                            │
 *                                 └── connection was lost, or no answer for a while: asked how far it is
 *
 * At most NODE_BASE_SENDS_MAX per node and one per receiving replica. A few chunks are under way at once; one is read from
 * the file at a time, by a job. The object belongs to its group and lives until its last job has ended. */
#include "base_send.h"

#include "base.h"
#include "drop.h"
#include "group.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "perform.h"
#include "recall.h"
#include "snapshots.h"
#include "turn.h"

#include <broker/base_codec.h>
#include <planted/planted.h>
#include <rare/rare.h>
#include <snapshot/snapshot.h>
#include <snapshot/transfer.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_CHUNKS 4u
#define RETRY_US      300000u
#define REST_US       1000000u  /* after a refusal */
#define TELL_US       10000000u /* ... which is told so often */
#define GIVE_UP_US \
    10000000u /* a new one, for a new request of the core, goes on where this one was */

struct base_send {
    struct group_job base; /* opening, or reading a chunk */
    struct list_link link; /* group->sends */
    struct raft_replica_id to;
    uint64_t index; /* of the base, until it is open; 0: the newest */
    struct snapshot_source source;
    enum snapshot_status status; /* of opening */
    struct segment_log_problem problem;
    uint8_t *chunk; /* what the job reads, with room for the message in front */
    uint64_t chunk_position;
    size_t chunk_bytes;
    int read_error;
    bool is_busy; /* a job runs */
    bool is_open;
    bool is_asking; /* how far the receiver is is not known */
    bool has_begun; /* the receiver wanted it */
    bool has_ended; /* freed when the job has ended */
    uint64_t acked, sent;
    uint64_t heard_us, asked_us;
    uint64_t rests_until_us; /* then it is told to have failed; 0: it does not rest */
    bool has_place;          /* counted in node->base_sends_count */
};

static void free_send(struct base_send *send)
{
    list_remove(&send->link);
    snapshot_source_close(&send->source);
    free(send->chunk);
    free(send);
}

static void release_place(struct group *group, struct base_send *send)
{
    if (send->has_place) group->node->base_sends_count--;
    send->has_place = false;
}

static void end(struct group *group, struct base_send *send)
{
    if (send->has_ended) return;
    send->has_ended = true;
    release_place(group, send);
    if (!send->is_busy) free_send(send);
}

/* The core asks again at once when it is told of a failure, and never when it is not. So what cannot be done now is told a
 * little later. */
static void rest(struct group *group, struct base_send *send)
{
    release_place(group, send);
    send->rests_until_us = io_now_us(group->node->io) + REST_US;
}

/* The core asks again, unless it is installed. The send is gone afterwards. */
static void report(struct group *group, struct base_send *send, bool ok)
{
    struct raft_event event = {.type = RAFT_EVENT_SNAPSHOT_SENT};
    event.snapshot_sent.to = send->to;
    if (ok) event.snapshot_sent.index = send->source.identity.point.index;
    event.snapshot_sent.ok = ok;
    end(group, send);
    (void)group__step(group, &event);
}

static struct base_send *find(struct group *group, uint64_t node_id)
{
    for (struct list_link *link = group->sends.next; link != &group->sends; link = link->next) {
        struct base_send *send = list_entry(link, struct base_send, link);
        if (send->to.node == node_id && !send->has_ended) return send;
    }
    return NULL;
}

/* ---- messages ---------------------------------------------------------------------------------------------------------------- */

void base_send__name(struct base_message *message, const struct snapshot_identity *identity)
{
    message->base.index = identity->point.index;
    message->base.term = identity->point.term;
    message->base.chain = identity->point.chain;
    message->base.next_offset = identity->point.next_offset;
    message->base.timestamp_ms = identity->point.timestamp_ms;
    message->base.bytes = identity->bytes;
    message->base.hash = identity->hash;
}

static struct base_message message_of(const struct group *group, const struct base_send *send,
                                      enum base_message_type type)
{
    struct base_message message = {.type = type,
                                   .from_epoch = group->epoch,
                                   .to_epoch = send->to.epoch,
                                   .term = group->term,
                                   .commit_index = group->commit_index};
    base_send__name(&message, &send->source.identity);
    return message;
}

static void ask(struct group *group, struct base_send *send)
{
    send->is_asking = true;
    send->asked_us = io_now_us(group->node->io);
    const struct base_message message = message_of(group, send, BASE_OFFER);
    uint8_t body[BASE_CODEC_BYTES];
    base_codec_encode(&message, body);
    const struct io_buffer part = {.data = body, .bytes = sizeof(body)};
    (void)peer_send(group->node->hub, send->to.node, PEER_BULK, PEER_FRAME_BASE, group->id, &part,
                    1);
}

static bool has_room(struct node *node, uint64_t to)
{
    return peer_is_up(node->hub, to, PEER_BULK) &&
           peer_queue_bytes(node->hub, to, PEER_BULK) < NODE_BULK_QUEUE_BYTES_MAX;
}

uint64_t base_send__lowest(const struct group *group)
{
    uint64_t lowest = UINT64_MAX;
    for (const struct list_link *link = group->sends.next; link != &group->sends;
         link = link->next) {
        const struct base_send *send = list_entry(link, const struct base_send, link);
        if (!send->is_open || send->has_ended || send->rests_until_us) continue;
        const uint64_t index = send->source.identity.point.index;
        if (index < lowest) lowest = index;
    }
    return lowest;
}

static void send_chunk(struct group *group, struct base_send *send)
{
    struct base_message message = message_of(group, send, BASE_CHUNK);
    message.position = send->chunk_position;
    message.checksum = checksum64(send->chunk + BASE_CODEC_BYTES, send->chunk_bytes);
    base_codec_encode(&message, send->chunk);
    uint8_t *body = send->chunk;
    send->chunk = NULL;
    const struct io_buffer part = {.data = body,
                                   .bytes = BASE_CODEC_BYTES + send->chunk_bytes,
                                   .release = free,
                                   .owner = body};
    if (peer_send(group->node->hub, send->to.node, PEER_BULK, PEER_FRAME_BASE, group->id, &part,
                  1)) {
        send->sent += send->chunk_bytes;
        group->counters.base_bytes_sent += send->chunk_bytes;
    } else {
        send->is_asking = true; /* asked again by base_send__maintain */
    }
}

/* ---- reading ----------------------------------------------------------------------------------------------------------------- */

static void pump(struct group *group, struct base_send *send);

static void discard(struct group_job *job)
{
    free_send((struct base_send *)(void *)job);
}

/* False: the node is gone or going, and the send with it. */
static bool job_ended(struct base_send *send)
{
    struct group *group = send->base.group;
    struct node *node = group->node;
    send->is_busy = false;
    if (!node__enter(node)) {
        list_remove(&send->base.link);
        free_send(send);
        return false;
    }
    return true;
}

/* The last thing a completion does: it may free the group. */
static void leave_job(struct base_send *send)
{
    struct group_job job = {.group = send->base.group};
    list_remove(&send->base.link);
    if (send->has_ended) free_send(send);
    if (job.group->dropping) group__continue_drop(job.group);
}

static void run_read(struct io_job *job)
{
    struct base_send *send = job->data;
    send->read_error = snapshot_source_read(&send->source, send->chunk_position,
                                            send->chunk + BASE_CODEC_BYTES, send->chunk_bytes);
}

static void done_read(struct io_job *job)
{
    struct base_send *send = job->data;
    struct group *group = send->base.group;
    struct node *node = group->node;
    if (!job_ended(send)) return;
    const bool is_still_next = !send->is_asking && send->chunk_position == send->sent;
    if (send->has_ended || group->dropping) {
        /* freed below */
    } else if (send->read_error < 0) {
        node__log(node, "error",
                  "event=\"base cannot be read, sending it was given up\" group=%" PRIu64
                  " reason=\"%s\"",
                  group->id, strerror(-send->read_error));
        rest(group, send);
    } else {
        if (is_still_next) send_chunk(group, send);
        pump(group, send);
    }
    if (!send->is_busy) leave_job(send); /* may free the group */
    node__post(node);
}

static void submit(struct group *group, struct base_send *send, void (*run)(struct io_job *),
                   void (*done)(struct io_job *))
{
    list_remove(&send->base.link);
    send->is_busy = true;
    send->base.job.run = run;
    send->base.job.done = done;
    send->base.discard = discard;
    group__submit(group, group->read_queue, &send->base);
}

static void pump(struct group *group, struct base_send *send)
{
    const uint64_t bytes = send->source.identity.bytes;
    if (send->is_busy || send->is_asking || send->has_ended || !send->is_open) return;
    if (send->rests_until_us) return;
    const uint32_t chunk_bytes = group->node->options.base_chunk_bytes;
    if (send->sent == bytes) return;
    if (send->sent - send->acked >= (uint64_t)WINDOW_CHUNKS * chunk_bytes) return;
    if (!has_room(group->node, send->to.node)) return;
    if (!send->chunk) send->chunk = malloc(BASE_CODEC_BYTES + chunk_bytes);
    if (!send->chunk) abort();
    const uint64_t left = bytes - send->sent;
    send->chunk_position = send->sent;
    send->chunk_bytes = left < chunk_bytes ? (size_t)left : chunk_bytes;
    if (RARELY(BASE_CHUNK_IS_SHORT)) send->chunk_bytes = 1;
    submit(group, send, run_read, done_read);
}

/* ---- opening ----------------------------------------------------------------------------------------------------------------- */

/* What is in the way mostly stays for a while. */
static bool is_time_to_tell(struct group *group)
{
    const uint64_t now_us = io_now_us(group->node->io);
    if (group->sends_told_us != 0 && now_us - group->sends_told_us < TELL_US) return false;
    group->sends_told_us = now_us;
    return true;
}

static void run_open(struct io_job *job)
{
    struct base_send *send = job->data;
    struct group *group = send->base.group;
    send->status =
        snapshot_source_open(group->node->disk, group->directory, &group->node->identity.cluster,
                             group->id, send->index, &send->source, &send->problem);
}

static void done_open(struct io_job *job)
{
    struct base_send *send = job->data;
    struct group *group = send->base.group;
    struct node *node = group->node;
    if (!job_ended(send)) return;
    if (send->status == SNAPSHOT_IO) {
        list_remove(&send->base.link);
        node__fatal(node, NODE_FATAL_DISK, "base %s: %s", send->problem.path, send->problem.reason);
        return; /* freed with the group */
    }
    if (send->has_ended || group->dropping) {
        /* freed below */
    } else if (send->status != SNAPSHOT_OK) {
        if (is_time_to_tell(group)) {
            node__log(node, "error",
                      "event=\"base cannot be sent, mending it\" group=%" PRIu64 " to=%" PRIu64
                      " path=\"%s\" reason=\"%s\"",
                      group->id, send->to.node, send->problem.path, send->problem.reason);
        }
        snapshots__base_is_bad(group, send->problem.index);
        rest(group, send);
    } else {
        send->is_open = true;
        ask(group, send);
    }
    leave_job(send); /* may free the group */
    node__post(node);
}

void base_send__start(struct group *group, const struct raft_snapshot_request *request)
{
    struct node *node = group->node;
    struct base_send *send = find(group, request->to.node);
    if (send && send->to.epoch == request->to.epoch) return; /* it runs */
    if (send) end(group, send);
    if (group->dropping) return;
    send = calloc(1, sizeof(*send));
    if (!send) abort();
    send->to = request->to;
    send->heard_us = io_now_us(node->io);
    list_push_back(&group->sends, &send->link);
    /* Who is away will find newer bases when it is back. */
    if (node->base_sends_count == NODE_BASE_SENDS_MAX || RARELY(BASE_HAS_NO_PLACE) ||
        !peer_is_up(node->hub, send->to.node, PEER_BULK) ||
        recall__waits_for(group, send->to.node)) {
        rest(group, send);
        return;
    }
    node->base_sends_count++;
    send->has_place = true;
    send->index = base__to_send(group);
    submit(group, send, run_open, done_open);
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------ */

static bool is_about(const struct base_send *send, const struct base_message *answer)
{
    const struct snapshot_identity *identity = &send->source.identity;
    return send->is_open && answer->from_epoch == send->to.epoch &&
           answer->base.index == identity->point.index &&
           answer->base.term == identity->point.term &&
           answer->base.chain == identity->point.chain && answer->base.bytes == identity->bytes &&
           answer->base.hash == identity->hash;
}

static void tell_begun(struct group *group, struct base_send *send, uint64_t position)
{
    if (send->has_begun) return;
    send->has_begun = true;
    node__log(group->node, "info",
              "event=\"sends its base\" group=%" PRIu64 " to=%" PRIu64 " base=%" PRIu64
              " bytes=%" PRIu64 " from=%" PRIu64,
              group->id, send->to.node, send->source.identity.point.index,
              send->source.identity.bytes, position);
}

static void go_on(struct group *group, struct base_send *send, uint64_t position)
{
    tell_begun(group, send, position);
    const bool moved = position > send->acked;
    if (send->is_asking) {
        send->is_asking = false;
        send->acked = send->sent = position;
    } else if (moved) {
        send->acked = position;
        if (send->sent < position) send->sent = position;
    }
    pump(group, send);
    if (!moved) return;
    struct raft_event event = {.type = RAFT_EVENT_BULK_MOVED, .node = send->to.node};
    (void)group__step(group, &event);
}

static void refused(struct group *group, struct base_send *send, enum base_answer answer)
{
    if (is_time_to_tell(group)) {
        node__log(group->node, "warn",
                  "event=\"base was not taken, trying again\" group=%" PRIu64 " by=%" PRIu64
                  " reason=\"%s\"",
                  group->id, send->to.node, base_answer_text(answer));
    }
    rest(group, send);
}

void base_send__answer(struct group *group, uint64_t from, const struct base_message *answer)
{
    struct base_send *send = find(group, from);
    if (!send || send->rests_until_us || !is_about(send, answer)) return;
    send->heard_us = io_now_us(group->node->io);
    switch (answer->answer) {
    case BASE_WANTED:
        go_on(group, send, answer->position);
        return;
    case BASE_INSTALLED:
        node__log(group->node, "info",
                  "event=\"base arrived\" group=%" PRIu64 " at=%" PRIu64 " base=%" PRIu64,
                  group->id, from, answer->base.index);
        report(group, send, true);
        return;
    case BASE_BUSY:
    case BASE_NO_SPACE:
    case BASE_DAMAGED:
    case BASE_UNKNOWN:
        refused(group, send, answer->answer);
        return;
    }
}

/* ---- what must stay ----------------------------------------------------------------------------------------------------------- */

/* S5: whoever gets a base needs the entries behind it next. Without them a base that takes longer to arrive than two newer
 * ones to be made would be sent for ever. Within limits: a send that nobody answers is given up, and a log that grew too
 * long meanwhile is dropped all the same. */
bool base_send__holds(const struct group *group, uint64_t index)
{
    if (segment_log_bytes(group->log) >= group->node->options.base_hold_bytes) return false;
    if (PLANTED(S5_BASE_ON_ITS_WAY_IS_OUTRUN)) return false;
    for (const struct list_link *link = group->sends.next; link != &group->sends;
         link = link->next) {
        const struct base_send *send = list_entry(link, struct base_send, link);
        if (send->is_open && !send->has_ended && send->rests_until_us == 0 &&
            send->source.identity.point.index < index) {
            return true;
        }
    }
    return false;
}

/* ---- time --------------------------------------------------------------------------------------------------------------------- */

void base_send__peer_up(struct group *group, uint64_t node_id)
{
    struct base_send *send = find(group, node_id);
    if (!send) return;
    if (send->rests_until_us) {
        send->rests_until_us = io_now_us(group->node->io); /* told by base_send__maintain */
    } else if (send->is_open) {
        ask(group, send);
    }
}

void base_send__maintain(struct group *group)
{
    const uint64_t now_us = io_now_us(group->node->io);
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &group->sends) {
        struct base_send *send = list_entry(link, struct base_send, link);
        if (send->has_ended) continue;
        if (group->role != RAFT_LEADER) {
            end(group, send);
        } else if (send->rests_until_us ? now_us >= send->rests_until_us
                                        : now_us - send->heard_us >= GIVE_UP_US) {
            report(group, send, false);
            return; /* the step may have changed the list; the rest has its turn next time */
        } else if (send->rests_until_us) {
            continue;
        } else if (send->is_open && now_us - send->heard_us >= RETRY_US &&
                   now_us - send->asked_us >= RETRY_US) {
            ask(group, send);
        } else {
            pump(group, send); /* there may be room in the queue again */
        }
    }
}

void base_send__end_all(struct group *group)
{
    struct list_link *next;
    for (struct list_link *link = group->sends.next; link != &group->sends; link = next) {
        next = link->next;
        end(group, list_entry(link, struct base_send, link));
    }
}

void base_send__free_all(struct group *group)
{
    while (!list_is_empty(&group->sends)) {
        struct base_send *send = list_entry(group->sends.next, struct base_send, link);
        release_place(group, send);
        free_send(send);
    }
}
