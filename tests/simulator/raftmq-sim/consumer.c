/* Consumers: each follows one partition from whatever node it likes, and looks at its bounds now and then. */
#include <inttypes.h>
#include <stdlib.h>

#include "clients.h"
#include "failure.h"
#include "op.h"
#include "payload.h"
#include "peek.h"
#include "sim_invariants.h"

#define SEEK_IN          60u
#define BOUNDS_IN        8u
#define PATIENCE_US      12000000u
#define WALL_MS_AT_START UINT64_C(1700000000000) /* of the simulated world */
#define WALL_MS_SPAN     70000u

struct consumer {
    struct run *run;
    uint32_t number;
    struct draw draw;
    uint32_t partition;
    uint32_t session, sessions_count;
    uint64_t position;
    bool seeks; /* the next fetch does not start where the last one ended */
    struct op *op;
    uint64_t patience_us;
};

/* PROTOCOL R: nobody is told of what no majority has on disk, local reads included. Not judged while a disk is lost: what
 * it had is missing without anybody having told too early. */
static struct history_optional durable_end(const struct op *op, uint64_t told)
{
    const struct run *run = op->run;
    const struct node *nodes[CLUSTER_NODES_MAX];
    uint64_t end;
    if (run->lost) return (struct history_optional){0};
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        nodes[i] = run->cluster->nodes[i].node;
    }
    const uint64_t group = peek_partition_group(nodes[op->node], op->topic, op->request.partition);
    if (group == 0 || !invariants_durable_end(run->cluster->invariants, nodes,
                                              run->plan.nodes_count, group, told, &end)) {
        return (struct history_optional){0};
    }
    return history_known(end);
}

/* Of a question for them they are as new as the question, also where messages may be old (PROTOCOL R3). */
static void record_bounds(const struct op *op, uint32_t session)
{
    const bool may_be_old = op->request.type == NODE_REQUEST_FETCH &&
                            op->request.fetch.value < op->request.ret_first_offset &&
                            op->run->partitions[op->partition].local_reads;
    const struct history_op entry = {
        .kind = HISTORY_OFFSETS,
        .outcome = HISTORY_OUTCOME_OK,
        .invoked = op->invoked,
        .completed = op->completed,
        .session = session,
        .node = op->node + 1u,
        .partition = op->run->partitions[op->partition].history,
        .fetch = {.local = may_be_old,
                  .durable = durable_end(op, op->request.ret_next_offset),
                  .first = history_known(op->request.ret_first_offset),
                  .end = history_known(op->request.ret_next_offset)},
    };
    run_record(op->run, &entry);
}

static void record_failed_fetch(const struct op *op, uint32_t session, uint64_t completed)
{
    const struct history_op entry = {
        .kind = HISTORY_FETCH,
        .outcome = HISTORY_OUTCOME_FAIL,
        .invoked = op->invoked,
        .completed = completed,
        .session = session,
        .node = op->node + 1u,
        .partition = op->run->partitions[op->partition].history,
        .fetch = {.local = op->run->partitions[op->partition].local_reads},
    };
    run_record(op->run, &entry);
}

/* The messages of an answer, from the offset that was asked for. */
static void record_fetch(struct op *op, uint32_t session, bool seeks)
{
    const struct node_request *request = &op->request;
    uint32_t runs_count = 0;
    uint64_t messages_count = 0;
    struct history_run *runs =
        payload_runs(&request->ret_view, request->ret_fetch_offset, &runs_count, &messages_count);
    op->run->totals.read_messages += messages_count;
    const uint64_t told = request->ret_high_watermark > request->ret_next_offset
                              ? request->ret_high_watermark
                              : request->ret_next_offset;
    const struct history_op entry = {
        .kind = HISTORY_FETCH,
        .outcome = HISTORY_OUTCOME_OK,
        .invoked = op->invoked,
        .completed = op->completed,
        .session = session,
        .node = op->node + 1u,
        .partition = op->run->partitions[op->partition].history,
        .fetch = {.seek = seeks,
                  .local = op->run->partitions[op->partition].local_reads,
                  .durable = durable_end(op, told),
                  .from = history_known(request->ret_fetch_offset),
                  .runs = runs,
                  .runs_count = runs_count,
                  .next = history_known(request->ret_next_offset),
                  .end = history_known(request->ret_high_watermark),
                  .first = history_known(request->ret_first_offset)},
    };
    run_record(op->run, &entry);
    free(runs);
}

/* What lies in the range that the answer itself tells is refused to nobody. */
static void check_range(const struct op *op)
{
    const struct node_request *request = &op->request;
    if (request->fetch.from != NODE_FROM_OFFSET ||
        request->fetch.value < request->ret_first_offset ||
        request->fetch.value > request->ret_next_offset) {
        return;
    }
    failure("refused-wrongly",
            "n%u refuses offset %" PRIu64 " of %s/%u, and says it has %" PRIu64 " to %" PRIu64,
            op->node + 1u, request->fetch.value, op->topic, request->partition,
            request->ret_first_offset, request->ret_next_offset);
}

static void fetch_answered(struct op *op)
{
    struct consumer *consumer = op->client;
    clients_check_status(op->run, op->node, &op->request, op->partition);
    const uint32_t session = (uint32_t)op->number;
    if (op->request.status == NODE_OK) {
        record_fetch(op, session, consumer->seeks || consumer->op != op);
        if (consumer->op == op) {
            consumer->position = op->request.ret_next_offset;
            consumer->seeks = false;
        }
        return;
    }
    record_failed_fetch(op, session, op->completed);
    if (op->request.status != NODE_OFFSET_OUT_OF_RANGE) return;
    record_bounds(op, session);
    check_range(op);
    if (consumer->op != op || consumer->position >= op->request.ret_first_offset) return;
    consumer->position = op->request.ret_first_offset; /* it was trimmed before it was read */
    consumer->seeks = true;
}

static void bounds_answered(struct op *op)
{
    clients_check_status(op->run, op->node, &op->request, op->partition);
    if (op->request.status == NODE_OK) record_bounds(op, (uint32_t)op->number);
}

static void over(struct op *op)
{
    struct consumer *consumer = op->client;
    if (op->fate == OP_LOST && op->request.type == NODE_REQUEST_FETCH) {
        record_failed_fetch(op, (uint32_t)op->number, run_tick(op->run));
    }
    if (consumer->op == op) consumer->op = NULL;
}

static void begin_session(struct consumer *consumer)
{
    char name[32];
    snprintf(name, sizeof(name), "c%u.%u", consumer->number + 1u, ++consumer->sessions_count);
    consumer->session = history_session(consumer->run->history, name);
    consumer->seeks = true;
}

static void seek(struct consumer *consumer)
{
    consumer->seeks = true;
    consumer->position =
        draw_chance(&consumer->draw, 1, 4)
            ? 0
            : draw_below(&consumer->draw, consumer->run->partitions[consumer->partition].end + 1u);
}

static void fill_fetch(struct consumer *consumer, struct op *op)
{
    struct node_request *request = &op->request;
    request->fetch.from = NODE_FROM_OFFSET;
    request->fetch.value = consumer->position;
    if (consumer->seeks && draw_chance(&consumer->draw, 1, 4)) {
        static const enum node_fetch_from places[] = {NODE_FROM_EARLIEST, NODE_FROM_LATEST,
                                                      NODE_FROM_TAIL, NODE_FROM_TIME};
        request->fetch.from = DRAW_FROM(&consumer->draw, places);
        request->fetch.value = request->fetch.from == NODE_FROM_TIME
                                   ? WALL_MS_AT_START + draw_below(&consumer->draw, WALL_MS_SPAN)
                                   : 1u + draw_below(&consumer->draw, 20);
    }
    static const size_t sizes[] = {1, 1000, 16384, 65536};
    static const uint32_t waits_ms[] = {0, 0, 50, 500, 3000};
    request->fetch.bytes_max = DRAW_FROM(&consumer->draw, sizes);
    request->fetch.wait_ms = DRAW_FROM(&consumer->draw, waits_ms);
    op->answered = fetch_answered;
}

static void ask(struct consumer *consumer)
{
    struct run *run = consumer->run;
    const struct partition_facts *facts = &run->partitions[consumer->partition];
    const bool bounds = draw_chance(&consumer->draw, 1, BOUNDS_IN);
    struct op *op = op_create(run, bounds ? NODE_REQUEST_OFFSETS : NODE_REQUEST_FETCH, facts->topic,
                              facts->number);
    op->partition = consumer->partition;
    op->client = consumer;
    op->number = consumer->session;
    op->over = over;
    if (bounds) {
        op->answered = bounds_answered;
    } else {
        if (draw_chance(&consumer->draw, 1, SEEK_IN)) seek(consumer);
        fill_fetch(consumer, op);
    }
    consumer->op = op;
    consumer->patience_us = sim_now_us(run->sim) + PATIENCE_US;
    clients_send(op, &consumer->draw);
}

static void think(void *data)
{
    struct consumer *consumer = data;
    struct run *run = consumer->run;
    if (run->is_draining) return;
    sim_call_after(run->sim, draw_interval(&consumer->draw, run->plan.consume_every_us), think,
                   consumer);
    if (consumer->op && sim_now_us(run->sim) > consumer->patience_us) {
        if (draw_chance(&consumer->draw, 1, 2)) op_cancel(consumer->op);
        consumer->op = NULL;
        begin_session(consumer);
    }
    if (consumer->op) {
        /* Some clients just go away. */
        if (draw_chance(&consumer->draw, 1, 200)) op_cancel(consumer->op);
        return;
    }
    if (run->partitions[consumer->partition].is_created) ask(consumer);
}

void consumers_start(struct run *run)
{
    run->consumers = calloc(run->plan.consumers_count, sizeof(*run->consumers));
    if (!run->consumers) abort();
    for (uint32_t i = 0; i < run->plan.consumers_count; i++) {
        struct consumer *consumer = &run->consumers[i];
        consumer->run = run;
        consumer->number = i;
        consumer->draw = draw_stream(run->plan.seed, PART_CLIENT_FIRST + 20u + i);
        consumer->partition = (uint32_t)draw_below(&consumer->draw, run->partitions_count);
        begin_session(consumer);
        sim_call_after(run->sim, draw_below(&consumer->draw, 100000), think, consumer);
    }
}

void consumers_free(struct run *run)
{
    free(run->consumers);
}

/* ---- everything, from every node --------------------------------------------------------------------------------- */

struct sweep {
    struct run *run;
    uint32_t node;
    uint32_t partition;
    uint32_t session;
    uint64_t first, position;
    uint64_t begun; /* tick */
    bool begins;
    bool is_over;
    bool is_refused;
    bool was_answered;
};

/* A node without a replica asks the leader, and that one may find that it cannot read what it has. Others can. */
static void check_refusal(struct op *op)
{
    const struct node *node = op->run->cluster->nodes[op->node].node;
    const uint64_t group = peek_partition_group(node, op->topic, op->request.partition);
    struct peek_group replica;
    if (!peek_group(node, group, &replica)) return;
    failure("refused-wrongly", "n%u calls its own replica of %s/%u damaged: %s", op->node + 1u,
            op->topic, op->request.partition, op->request.detail);
}

static void sweep_answered(struct op *op)
{
    struct sweep *sweep = op->client;
    clients_check_status(op->run, op->node, &op->request, op->partition);
    if (op->request.status == NODE_DAMAGED) {
        check_refusal(op);
        sweep->is_refused = true;
    }
    if (op->request.status == NODE_OFFSET_OUT_OF_RANGE) {
        check_range(op);
        /* Trimmed meanwhile: again from where the log starts now. */
        sweep->begins = true;
        sweep->was_answered = true;
        sweep->begun = run_tick(op->run);
    }
    if (op->request.status != NODE_OK) return;
    record_fetch(op, sweep->session, sweep->begins);
    if (sweep->begins) sweep->first = op->request.ret_fetch_offset;
    sweep->begins = false;
    sweep->was_answered = true;
    sweep->is_over = op->request.ret_next_offset >= op->request.ret_high_watermark;
    sweep->position = op->request.ret_next_offset;
}

static void sweep_over(struct op *op)
{
    (void)op;
}

static void sweep_ask(struct sweep *sweep)
{
    struct run *run = sweep->run;
    const struct partition_facts *facts = &run->partitions[sweep->partition];
    struct op *op = op_create(run, NODE_REQUEST_FETCH, facts->topic, facts->number);
    op->partition = sweep->partition;
    op->request.fetch.from = sweep->begins ? NODE_FROM_EARLIEST : NODE_FROM_OFFSET;
    op->request.fetch.value = sweep->position;
    op->request.fetch.bytes_max = 256u * 1024u;
    op->answered = sweep_answered;
    op->over = sweep_over;
    op->client = sweep;
    sweep->was_answered = false;
    op_send(op, sweep->node, 100);
}

static bool no_op_is_live(void *data)
{
    return ((struct run *)data)->ops_count == 0;
}

/* Every fetch must get on within `us`. */
static void sweep_partition(struct run *run, uint32_t node, uint32_t partition, uint64_t us)
{
    char name[32];
    snprintf(name, sizeof(name), "sweep.n%u", node + 1u);
    struct sweep sweep = {.run = run,
                          .node = node,
                          .partition = partition,
                          .session = history_session(run->history, name),
                          .begun = run_tick(run),
                          .begins = true};
    uint64_t end_us = sim_now_us(run->sim) + us;
    while (!sweep.is_over && !sweep.is_refused) {
        sweep_ask(&sweep);
        const uint64_t now_us = sim_now_us(run->sim);
        if (now_us >= end_us ||
            !sim_run_until_true(run->sim, end_us - now_us, no_op_is_live, run)) {
            failure("unreadable", "%s/%u cannot be read from n%u, though everything is healed",
                    run->partitions[partition].topic, run->partitions[partition].number, node + 1u);
        }
        if (!sweep.was_answered) {
            sim_run_for(run->sim, 50000);
        } else {
            end_us = sim_now_us(run->sim) + us;
        }
    }
    if (sweep.is_refused) return;
    if (sweep.first > run->partitions[partition].trimmed) {
        run->partitions[partition].trimmed = sweep.first;
    }
    const struct history_op drained = {
        .kind = HISTORY_DRAINED,
        .outcome = HISTORY_OUTCOME_OK,
        .invoked = sweep.begun,
        .completed = run_tick(run),
        .session = sweep.session,
        .node = node + 1u,
        .partition = run->partitions[partition].history,
        .fetch = {.first = history_known(sweep.first), .end = history_known(sweep.position)},
    };
    run_record(run, &drained);
}

void clients_read_everything(struct run *run, uint32_t nodes, uint64_t us)
{
    for (uint32_t partition = 0; partition < run->partitions_count; partition++) {
        if (!run->partitions[partition].is_created) continue;
        for (uint32_t node = 0; node < run->plan.nodes_count; node++) {
            if (!(nodes & 1u << node)) continue;
            sweep_partition(run, node, partition, us);
        }
    }
}
