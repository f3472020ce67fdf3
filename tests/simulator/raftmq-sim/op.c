#include "op.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

/* The node's own limit is 10 s, for a long poll behind its wait, a second time where a first step must be confirmed. */
#define ANSWER_US_MAX 35000000u

struct op *op_create(struct run *run, enum node_request_type type, const char *topic,
                     uint32_t partition)
{
    struct op *op = calloc(1, sizeof(*op));
    if (!op) abort();
    op->run = run;
    op->request.type = type;
    snprintf(op->topic, sizeof(op->topic), "%s", topic);
    op->request.topic = op->topic;
    op->request.partition = partition;
    op->next = run->ops;
    op->previous = &run->ops;
    if (op->next) op->next->previous = &op->next;
    run->ops = op;
    run->ops_count++;
    return op;
}

static void free_op(struct op *op)
{
    *op->previous = op->next;
    if (op->next) op->next->previous = op->previous;
    op->run->ops_count--;
    free(op->bytes);
    free(op);
}

static void arrive_back(void *data)
{
    struct op *op = data;
    op->over(op);
    op->stage = OP_OVER;
    if (!op->is_being_cancelled) free_op(op);
}

static void go_back(struct op *op, enum op_fate fate)
{
    op->stage = OP_RETURNING;
    op->fate = fate;
    sim_call_after(op->run->sim, op->client_us, arrive_back, op);
}

static void release_answer(struct node_request *request)
{
    segment_log_view_release(&request->ret_view);
    node_topics_free(request->ret_topics, request->ret_topics_count);
    free(request->ret_offsets);
    free(request->ret_changes);
    request->ret_topics = NULL;
    request->ret_offsets = NULL;
    request->ret_changes = NULL;
}

static void count_answer(struct run_totals *totals, const struct node_request *request)
{
    switch (request->status) {
    case NODE_OK:
        if (request->type == NODE_REQUEST_FETCH) {
            totals->reads++;
        } else if (request->type == NODE_REQUEST_PRODUCE) {
            totals->acked_batches++;
            totals->acked_messages += request->ret_count;
        } else {
            totals->other_ops++;
        }
        return;
    case NODE_OUTCOME_UNKNOWN:
        totals->unknown_ops++;
        return;
    case NODE_TOPIC_NOT_FOUND:
    case NODE_TOPIC_EXISTS:
    case NODE_NO_OFFSET:
        totals->other_ops++;
        return;
    case NODE_PARTITION_NOT_FOUND:
    case NODE_INVALID_NAME:
    case NODE_INVALID_ARGUMENT:
    case NODE_TOO_MANY_TOPICS:
    case NODE_NOT_ENOUGH_NODES:
    case NODE_CORRUPT_BATCH:
    case NODE_TOO_LARGE:
    case NODE_OUT_OF_ORDER_SEQUENCE:
    case NODE_DUPLICATE_OFFSET_UNKNOWN:
    case NODE_PRODUCER_FENCED:
    case NODE_UNKNOWN_PRODUCER:
    case NODE_STALE_GENERATION:
    case NODE_OFFSET_OUT_OF_RANGE:
    case NODE_NO_LEADER:
    case NODE_NOT_READY:
    case NODE_OVERLOADED:
    case NODE_DISK_FULL:
    case NODE_DAMAGED:
    case NODE_SHUTTING_DOWN:
    case NODE_TIMEOUT:
    case NODE_UNKNOWN_NODE:
    case NODE_NODE_EXISTS:
    case NODE_TOO_MANY_NODES:
    case NODE_QUORUM_AT_RISK:
    case NODE_CHANGE_RUNNING:
    case NODE_NOT_TRANSFERRED:
        totals->refused_ops++;
        return;
    }
}

static const char *type_name(enum node_request_type type)
{
    switch (type) {
    case NODE_REQUEST_PRODUCE:
        return "produce";
    case NODE_REQUEST_FETCH:
        return "fetch";
    case NODE_REQUEST_OFFSETS:
        return "offsets";
    case NODE_REQUEST_TOPIC_CREATE:
        return "create";
    case NODE_REQUEST_TOPIC_DELETE:
        return "delete";
    case NODE_REQUEST_TOPIC_LIST:
        return "list";
    case NODE_REQUEST_TOPIC_GET:
        return "get";
    case NODE_REQUEST_PRODUCER_INIT:
        return "producer-id";
    case NODE_REQUEST_GROUP_COMMIT:
        return "commit";
    case NODE_REQUEST_GROUP_FETCH:
        return "committed";
    case NODE_REQUEST_GROUP_LIST:
        return "groups";
    case NODE_REQUEST_NODE_ADD:
        return "add-node";
    case NODE_REQUEST_NODE_REMOVE:
        return "remove-node";
    case NODE_REQUEST_NODE_REPLACE:
        return "replace-node";
    case NODE_REQUEST_PLACE:
        return "place";
    case NODE_REQUEST_CHANGES:
        return "changes";
    case NODE_REQUEST_TRANSFER:
        return "transfer";
    case NODE_REQUEST_TOPIC_SET:
        return "set-topic";
    }
    return "?";
}

static void done(struct node_request *request)
{
    struct op *op = request->data;
    struct run *run = op->run;
    if (op->stage != OP_SUBMITTED) {
        failure("answered-twice", "n%u answered a %s twice", op->node + 1u,
                type_name(request->type));
    }
    op->completed = run_tick(run);
    const uint64_t note[4] = {(uint64_t)request->type, (uint64_t)request->status,
                              request->ret_offset, request->ret_next_offset};
    sim_trace_note(run->sim, note, sizeof(note));
    run_tell(run, "n%u %s %s/%u -> %s offset=%" PRIu64 " next=%" PRIu64 "%s%s", op->node + 1u,
             type_name(request->type), op->topic, request->partition,
             node_status_text(request->status), request->ret_offset, request->ret_next_offset,
             request->detail[0] ? ": " : "", request->detail);
    count_answer(&run->totals, request);
    if (op->answered) op->answered(op);
    release_answer(request);
    go_back(op, OP_ANSWERED);
}

static void submit(void *data)
{
    struct op *op = data;
    struct node *node = op->run->cluster->nodes[op->node].node;
    op->stage = OP_SUBMITTED;
    op->submitted_us = sim_now_us(op->run->sim);
    op->invoked = run_tick(op->run);
    op->request.done = done;
    op->request.data = op;
    if (op->bytes) op->request.produce.batch = op->bytes;
    node_submit(node, &op->request);
    if (op->stage != OP_SUBMITTED) {
        failure("answered-inside", "n%u answered a %s from inside of node_submit()", op->node + 1u,
                type_name(op->request.type));
    }
}

void op_send(struct op *op, uint32_t node, uint64_t client_us)
{
    op->node = node;
    op->client_us = client_us;
    op->sent_us = sim_now_us(op->run->sim);
    op->stage = OP_UNDERWAY;
    if (sim_is_running(op->run->sim, node) && op->run->cluster->nodes[node].node) {
        sim_call_in(op->run->sim, node, client_us, submit, op);
    } else {
        go_back(op, OP_NOT_SENT);
    }
}

static void cancel(void *data)
{
    struct op *op = data;
    op->is_being_cancelled = false;
    if (op->stage == OP_OVER) {
        free_op(op);
    } else if (op->stage == OP_SUBMITTED) { /* else the answer was faster */
        node_cancel(op->run->cluster->nodes[op->node].node, &op->request);
        go_back(op, OP_LOST);
    }
}

void op_cancel(struct op *op)
{
    if (op->stage != OP_SUBMITTED || op->is_being_cancelled) return;
    op->is_being_cancelled = true;
    sim_call_in(op->run->sim, op->node, 0, cancel, op);
}

void op_node_gone(struct run *run, uint32_t node)
{
    struct op *after;
    for (struct op *op = run->ops; op; op = after) {
        after = op->next;
        if (op->node != node) continue;
        op->is_being_cancelled = false; /* that event went with the process */
        if (op->stage == OP_OVER) {
            free_op(op);
        } else if (op->stage != OP_RETURNING) {
            go_back(op, op->stage == OP_SUBMITTED ? OP_LOST : OP_NOT_SENT);
        }
    }
}

void op_check_answered(struct run *run)
{
    const uint64_t now_us = sim_now_us(run->sim);
    for (const struct op *op = run->ops; op; op = op->next) {
        if (op->stage != OP_SUBMITTED || now_us - op->submitted_us < ANSWER_US_MAX) continue;
        failure("never-answered", "n%u has left a %s of %s/%u without an answer for %" PRIu64 " s",
                op->node + 1u, type_name(op->request.type), op->topic, op->request.partition,
                (now_us - op->submitted_us) / 1000000u);
    }
}

void op_free_all(struct run *run)
{
    while (run->ops) {
        free_op(run->ops);
    }
}
