/* Entries for a peer whose disk has lost them (PROTOCOL D4): from whatever this replica holds, in any role, without a leader,
 * also while its own log is being mended. What leaves is whole and follows the chain that the asking one named; when it does
 * not, that is the answer. A few answers are read at once; who comes beyond that asks again. */
#include "repair_serve.h"

#include "attachment.h"
#include "expendable.h"
#include "group.h"
#include "internal.h"
#include "limits.h"
#include "mending.h"
#include "read.h"

#include <broker/repair_codec.h>
#include <rare/rare.h>
#include <segment_log/repair.h>

#include <stdlib.h>

struct serve {
    struct group_read base;
    struct repair_message request;
    uint64_t to;
};

static struct group *group_of(const struct node *node, uint64_t group_id)
{
    struct group *group = node__group(node, group_id);
    return group ? group : mending__find(node, group_id);
}

/* What every answer tells of this log. D4: a term counts when it is durable. */
static struct repair_message answer_to(struct group *group, uint64_t to,
                                       const struct repair_message *request,
                                       enum repair_answer answer)
{
    struct repair_message message = *request;
    message.type = REPAIR_ANSWER;
    message.answer = answer;
    message.from_epoch = 0;
    if (!group || answer == REPAIR_BUSY) return message;
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    message.from_epoch = group->epoch;
    message.log_start = info.base.index;
    message.log_last_index = info.last_index;
    message.term = group->hard_state_pending ? 0 : group->hard_state.term;
    message.would_go = false;
    /* Only one has the word at a time: who does not go by it shall not hold it. */
    message.leads_without_you =
        request->would_go && expendable__has_word(group, to, request->from_epoch);
    return message;
}

static void send_answer(struct node *node, uint64_t to, uint64_t group_id,
                        const struct repair_message *message, struct segment_log_view *view)
{
    uint8_t head[REPAIR_CODEC_BYTES];
    repair_codec_encode(message, head);
    struct io_buffer parts[1 + SEGMENT_LOG_VIEW_PARTS_MAX] = {
        {.data = head, .bytes = sizeof(head)}};
    int count = 1;
    if (view) count = attachment_add(parts, count, view);
    (void)peer_send(node->hub, to, PEER_BULK, PEER_FRAME_REPAIR, group_id, parts, count);
}

static void refuse(struct node *node, struct group *group, uint64_t to, uint64_t group_id,
                   const struct repair_message *request, enum repair_answer answer)
{
    const struct repair_message message = answer_to(group, to, request, answer);
    send_answer(node, to, group_id, &message, NULL);
}

static void refuse_damaged(struct group *group, const struct serve *serve,
                           const struct segment_log_problem *problem)
{
    struct repair_message message = answer_to(group, serve->to, &serve->request, REPAIR_DAMAGED);
    message.last_index = serve->request.index + 1u;
    if (problem->last_index > message.last_index) message.last_index = problem->last_index;
    send_answer(group->node, serve->to, group->id, &message, NULL);
}

static void serve_done(struct group_read *base, enum segment_log_status status,
                       struct segment_log_view *view, const struct segment_log_problem *problem)
{
    struct serve *serve = (struct serve *)base;
    struct group *group = base->base.group;
    struct node *node = group->node;
    node->repair_serves_count--;
    if (status == SEGMENT_LOG_IO) {
        read__fatal(group, status, problem);
    } else if (group->dropping) {
        if (status == SEGMENT_LOG_OK) segment_log_view_release(view);
        refuse(node, NULL, serve->to, group->id, &serve->request, REPAIR_UNKNOWN);
    } else if (status == SEGMENT_LOG_OK) {
        struct repair_message message =
            answer_to(group, serve->to, &serve->request, REPAIR_ENTRIES);
        message.last_index = view->last_index;
        group->counters.repair_bytes_served += view->bytes_total;
        send_answer(node, serve->to, group->id, &message, view);
    } else if (status == SEGMENT_LOG_DAMAGED) {
        refuse_damaged(group, serve, problem);
    } else if (status == SEGMENT_LOG_BROKEN_CHAIN) {
        refuse(node, group, serve->to, group->id, &serve->request, REPAIR_DIFFERS);
    } else {
        refuse(node, group, serve->to, group->id, &serve->request, REPAIR_BUSY);
    }
}

void repair_serve__request(struct node *node, uint64_t from, uint64_t group_id,
                           const struct repair_message *request)
{
    struct group *group = group_of(node, group_id);
    if (!group) {
        refuse(node, NULL, from, group_id, request, REPAIR_UNKNOWN);
        return;
    }
    const bool is_busy = node->repair_serves_count == NODE_REPAIR_SERVES_MAX ||
                         RARELY(REPAIR_IS_BUSY) || node->state == NODE_STOPPING ||
                         peer_queue_bytes(node->hub, from, PEER_BULK) > NODE_BULK_QUEUE_BYTES_MAX;
    if (is_busy) {
        refuse(node, group, from, group_id, request, REPAIR_BUSY);
        return;
    }
    struct serve *serve = calloc(1, sizeof(*serve));
    if (!serve) abort();
    serve->request = *request;
    serve->to = from;
    serve->base.done = serve_done;
    const size_t bytes_max = RARELY(REPAIR_ANSWER_IS_SHORT) ? 1u : REPAIR_ENTRIES_BYTES_MAX;
    const enum segment_log_status status =
        segment_log_repair_read_create(group->log, request->index, request->chain,
                                       request->last_index, bytes_max, &serve->base.read);
    if (status == SEGMENT_LOG_OK) {
        node->repair_serves_count++;
        read__submit(group, &serve->base);
        return;
    }
    free(serve);
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    refuse(node, group, from, group_id, request,
           status == SEGMENT_LOG_BROKEN_CHAIN  ? REPAIR_DIFFERS
           : request->index < info.base.index  ? REPAIR_BELOW_START
           : request->index >= info.last_index ? REPAIR_NEVER_HELD
                                               : REPAIR_BUSY);
}
