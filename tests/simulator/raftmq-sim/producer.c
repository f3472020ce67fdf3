/* Producers. A batch of an idempotent one is sent again, under its sequence and to any node, until an ack comes back;
 * sometimes while an earlier attempt is still on its way, sometimes after the ack. A plain one sends again only when
 * nothing can have been stored. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clients.h"
#include "failure.h"
#include "ledger.h"
#include "op.h"
#include "payload.h"
#include "peek.h"
#include "sim_invariants.h"

#define BACKOFF_US_MAX     200000u
#define REPEAT_IN          40u  /* one acked batch in so many is sent again */
#define RESTART_IN         400u /* one batch in so many is the last of its producer id */
#define PLAIN_ATTEMPTS_MAX 8u
#define REDIRECT_IN \
    12u /* one attempt in so many wants to be told who leads, and is not handed on */

struct batch {
    struct batch *next; /* of the producer, newest first */
    struct producer *producer;
    struct batch *previous_in_partition; /* of the same producer id */
    uint32_t partition;                  /* number in run->partitions */
    struct sent_batch sent;
    uint8_t *bytes; /* as built; each attempt gets a copy */
    size_t bytes_count;
    struct op *op; /* the attempt that is waited for */
    uint64_t patience_us;
    uint64_t acked_tick; /* 0: not acked */
    uint32_t attempts_count;
    bool may_be_stored;
    bool is_finished; /* nothing more is done for it */
    bool is_repeated;
};

struct producer {
    struct run *run;
    uint32_t number;
    struct draw draw;
    bool is_plain;
    int64_t id; /* -1: has none yet */
    bool asks_id;
    uint32_t session;
    uint32_t sessions_count;
    uint64_t value_base; /* its values are value_base + 0, 1, ... */
    uint64_t values_count;
    int32_t next_sequence[PLAN_PARTITIONS_MAX];
    struct batch *newest[PLAN_PARTITIONS_MAX];
    struct batch *batches;
    uint32_t unfinished_count;
    uint32_t node; /* asked last, or next */
    bool has_hint; /* somebody said that this one leads */
};

static struct ledger handed_out; /* producer ids; of one run at a time */

static void send_batch(struct batch *batch);
static void try_again(void *data);

/* ---- what an attempt shows ------------------------------------------------------------------------------------ */

void producers_record(const struct op *op, const struct sent_batch *sent,
                      enum history_outcome outcome, uint64_t completed)
{
    const struct history_run run = {
        .offset = op->request.ret_offset, .value = sent->value, .count = sent->count};
    const bool ok = outcome == HISTORY_OUTCOME_OK;
    const bool has_producer = sent->producer_id >= 0;
    const struct history_op entry = {
        .kind = HISTORY_PRODUCE,
        .outcome = outcome,
        .invoked = op->invoked,
        .completed = completed,
        .session = sent->session,
        .node = op->node + 1u,
        .partition = op->run->partitions[op->partition].history,
        .produce = {.value = sent->value,
                    .count = sent->count,
                    .has_producer = has_producer,
                    .producer = has_producer ? (uint64_t)sent->producer_id : 0,
                    .sequence = has_producer ? (uint64_t)sent->sequence : 0,
                    .runs = ok ? &run : NULL,
                    .runs_count = ok ? 1u : 0u},
    };
    run_record(op->run, &entry);
}

static void record(const struct op *op, enum history_outcome outcome, uint64_t completed)
{
    const struct batch *batch = op->subject;
    producers_record(op, &batch->sent, outcome, completed);
}

static void check_disks(struct op *op)
{
    struct run *run = op->run;
    if (!draw_chance(&run->images, 1, run->plan.ack_check_in)) return;
    if (run->lost) return; /* what is acked again may have stood on the lost one */
    const uint64_t group =
        peek_partition_group(run->cluster->nodes[op->node].node, op->topic, op->request.partition);
    const struct node *nodes[CLUSTER_NODES_MAX];
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        nodes[i] = run->cluster->nodes[i].node;
    }
    if (invariants_check_ack(run->cluster->invariants, run->sim, nodes, run->plan.nodes_count,
                             group, op->request.ret_offset, draw_next(&run->images))) {
        run->totals.ack_checks++;
    }
}

static void take_ack(struct op *op)
{
    struct batch *batch = op->subject;
    struct partition_facts *facts = &op->run->partitions[batch->partition];
    if (op->request.ret_count != batch->sent.count) {
        failure("ack-count", "n%u acks %u messages of a batch of %u", op->node + 1u,
                op->request.ret_count, batch->sent.count);
    }
    record(op, HISTORY_OUTCOME_OK, op->completed);
    batch->acked_tick = op->completed;
    const uint64_t end = op->request.ret_offset + batch->sent.count;
    if (end > facts->end) facts->end = end;
    check_disks(op);
}

/* Nothing but a gap may be called one: the batch before was acked before this attempt began. */
static void check_sequence(const struct op *op)
{
    const struct batch *batch = op->subject;
    const struct batch *previous = batch->previous_in_partition;
    if (previous && (previous->acked_tick == 0 || previous->acked_tick >= op->invoked)) return;
    failure("sequence-forgotten",
            "n%u refuses sequence %d of producer %" PRId64
            " in %s/%u, though the one before it was "
            "acked: %s",
            op->node + 1u, batch->sent.sequence, batch->sent.producer_id, op->topic,
            op->request.partition, op->request.detail);
}

static void attempt_answered(struct op *op)
{
    struct batch *batch = op->subject;
    clients_check_status(op->run, op->node, &op->request, batch->partition);
    const enum node_status status = op->request.status;
    if (status == NODE_OK) {
        take_ack(op);
        return;
    }
    if (status == NODE_NO_LEADER && op->request.redirect && op->request.ret_leader != 0) {
        batch->producer->node = (uint32_t)op->request.ret_leader - 1u;
        batch->producer->has_hint = true;
    }
    if (status == NODE_OUT_OF_ORDER_SEQUENCE) check_sequence(op);
    if (status == NODE_PRODUCER_FENCED || status == NODE_UNKNOWN_PRODUCER) {
        failure("producer-forgotten", "n%u refuses producer %" PRId64 " in %s/%u: %s: %s",
                op->node + 1u, batch->sent.producer_id, op->topic, op->request.partition,
                node_status_text(status), op->request.detail);
    }
    const bool definite = clients_is_definite(status);
    record(op, definite ? HISTORY_OUTCOME_FAIL : HISTORY_OUTCOME_UNKNOWN, op->completed);
    if (!definite) batch->may_be_stored = true;
    if (status == NODE_DUPLICATE_OFFSET_UNKNOWN) batch->acked_tick = op->completed;
}

/* ---- the life of a batch -------------------------------------------------------------------------------------- */

static void finish(struct batch *batch)
{
    if (batch->is_finished) return;
    batch->is_finished = true;
    batch->op = NULL;
    assert(batch->producer->unfinished_count > 0);
    batch->producer->unfinished_count--;
    free(batch->bytes);
    batch->bytes = NULL;
}

static void send_later(struct batch *batch)
{
    struct producer *producer = batch->producer;
    batch->op = NULL;
    sim_call_after(producer->run->sim, draw_between(&producer->draw, 100, BACKOFF_US_MAX),
                   try_again, batch);
}

static void go_on(struct batch *batch)
{
    struct producer *producer = batch->producer;
    if (batch->acked_tick != 0) {
        if (!producer->is_plain && !batch->is_repeated &&
            draw_chance(&producer->draw, 1, REPEAT_IN)) {
            batch->is_repeated = true;
            send_later(batch);
        } else {
            finish(batch);
        }
        return;
    }
    const bool gives_up =
        producer->is_plain && (batch->may_be_stored || batch->attempts_count >= PLAIN_ATTEMPTS_MAX);
    if (gives_up) {
        finish(batch);
    } else {
        send_later(batch);
    }
}

static void attempt_over(struct op *op)
{
    struct batch *batch = op->subject;
    if (op->fate == OP_LOST) {
        batch->may_be_stored = true;
        record(op, HISTORY_OUTCOME_UNKNOWN, run_tick(op->run));
    }
    if (batch->is_finished || batch->op != op) return; /* nobody waits for this one any more */
    go_on(batch);
}

/* The client does not wait any longer: it goes away, or it just asks again elsewhere. */
static void lose_patience(void *data)
{
    struct batch *batch = data;
    struct producer *producer = batch->producer;
    if (batch->is_finished || !batch->op || sim_now_us(producer->run->sim) < batch->patience_us) {
        return;
    }
    if (draw_chance(&producer->draw, 1, 2)) op_cancel(batch->op);
    batch->may_be_stored = true;
    go_on(batch);
}

static void try_again(void *data)
{
    struct batch *batch = data;
    if (!batch->is_finished && !batch->op) send_batch(batch);
}

static void send_batch(struct batch *batch)
{
    struct producer *producer = batch->producer;
    struct run *run = producer->run;
    struct draw *draw = &producer->draw;
    const struct partition_facts *facts = &run->partitions[batch->partition];
    struct op *op = op_create(run, NODE_REQUEST_PRODUCE, facts->topic, facts->number);
    op->bytes = malloc(batch->bytes_count);
    if (!op->bytes) abort();
    memcpy(op->bytes, batch->bytes, batch->bytes_count);
    op->request.produce.bytes = batch->bytes_count;
    static const uint32_t timeouts_ms[] = {0, 0, 0, 300, 2000};
    op->request.timeout_ms = DRAW_FROM(draw, timeouts_ms);
    op->request.redirect = draw_chance(draw, 1, REDIRECT_IN);
    op->answered = attempt_answered;
    op->over = attempt_over;
    op->subject = batch;
    op->partition = batch->partition;
    batch->op = op;
    batch->attempts_count++;
    if (producer->has_hint) {
        producer->has_hint = false;
    } else if (batch->attempts_count > 1 || draw_chance(draw, 1, 3)) {
        producer->node = clients_pick_node(run, draw);
    }
    op_send(op, producer->node, clients_latency_us(run, draw));
    const uint64_t patience_us =
        draw_chance(draw, 1, 6) ? draw_between(draw, 20000, 2000000) : 15000000u;
    batch->patience_us = sim_now_us(run->sim) + patience_us;
    sim_call_after(run->sim, patience_us, lose_patience, batch);
}

static void begin_batch(struct producer *producer, uint32_t partition)
{
    struct run *run = producer->run;
    struct batch *batch = calloc(1, sizeof(*batch));
    if (!batch) abort();
    batch->next = producer->batches;
    producer->batches = batch;
    producer->unfinished_count++;
    batch->producer = producer;
    batch->partition = partition;
    batch->sent.count = (uint32_t)draw_between(&producer->draw, 1, run->plan.batch_records_max);
    batch->sent.value = producer->value_base + producer->values_count;
    producer->values_count += batch->sent.count;
    batch->sent.session = producer->session;
    batch->sent.producer_id = producer->is_plain ? -1 : producer->id;
    if (!producer->is_plain) {
        batch->sent.sequence = producer->next_sequence[partition];
        producer->next_sequence[partition] += (int32_t)batch->sent.count;
        batch->previous_in_partition = producer->newest[partition];
        producer->newest[partition] = batch;
    }
    batch->bytes =
        payload_batch(batch->sent.value, batch->sent.count, run->plan.value_bytes_max,
                      batch->sent.producer_id, producer->is_plain ? -1 : 0,
                      producer->is_plain ? -1 : batch->sent.sequence, &batch->bytes_count);
    send_batch(batch);
}

/* ---- the producer ---------------------------------------------------------------------------------------------- */

static void begin_session(struct producer *producer)
{
    char name[32];
    snprintf(name, sizeof(name), "p%u.%u", producer->number + 1u, ++producer->sessions_count);
    producer->session = history_session(producer->run->history, name);
    producer->id = -1;
    memset(producer->next_sequence, 0, sizeof(producer->next_sequence));
    memset(producer->newest, 0, sizeof(producer->newest));
    producer->value_base = ++producer->run->next_value_producer << 32;
    producer->values_count = 0;
}

/* As if it had crashed: it comes back with another id, and nobody will know what became of its last batches. */
static void restart(struct producer *producer)
{
    for (struct batch *batch = producer->batches; batch; batch = batch->next) {
        finish(batch);
    }
    begin_session(producer);
}

static void id_over(struct op *op)
{
    struct producer *producer = op->client;
    producer->asks_id = false;
    if (op->fate != OP_ANSWERED || op->request.status != NODE_OK) return;
    const int64_t id = op->request.ret_producer_id;
    if (ledger_note(&handed_out, 0, (uint64_t)id, producer->session + 1u) !=
        producer->session + 1u) {
        failure("producer-id-twice", "producer id %" PRId64 " was handed out twice", id);
    }
    producer->id = id;
}

static void ask_id(struct producer *producer)
{
    struct op *op = op_create(producer->run, NODE_REQUEST_PRODUCER_INIT, "", 0);
    op->over = id_over;
    op->client = producer;
    producer->asks_id = true;
    clients_send(op, &producer->draw);
}

static void think(void *data)
{
    struct producer *producer = data;
    struct run *run = producer->run;
    if (run->is_draining) return;
    sim_call_after(run->sim, draw_interval(&producer->draw, run->plan.produce_every_us), think,
                   producer);
    const uint32_t partition = (uint32_t)draw_below(&producer->draw, run->partitions_count);
    if (!producer->is_plain && producer->id < 0) {
        if (!producer->asks_id) ask_id(producer);
        return;
    }
    if (!run->partitions[partition].is_created) return;
    if (producer->unfinished_count >= run->plan.window) return;
    if (draw_chance(&producer->draw, 1, RESTART_IN)) {
        restart(producer);
        return;
    }
    begin_batch(producer, partition);
}

void producers_start(struct run *run)
{
    ledger_init(&handed_out);
    run->producers = calloc(run->plan.producers_count, sizeof(*run->producers));
    if (!run->producers) abort();
    for (uint32_t i = 0; i < run->plan.producers_count; i++) {
        struct producer *producer = &run->producers[i];
        producer->run = run;
        producer->number = i;
        producer->draw = draw_stream(run->plan.seed, PART_CLIENT_FIRST + i);
        producer->is_plain = i < run->plan.plain_producers_count;
        begin_session(producer);
        sim_call_after(run->sim, draw_below(&producer->draw, 100000), think, producer);
    }
}

void producers_free(struct run *run)
{
    for (uint32_t i = 0; i < run->plan.producers_count; i++) {
        struct batch *batch = run->producers[i].batches;
        while (batch) {
            struct batch *next = batch->next;
            free(batch->bytes);
            free(batch);
            batch = next;
        }
    }
    free(run->producers);
    ledger_close(&handed_out);
}

bool producers_are_idle(const struct run *run)
{
    for (uint32_t i = 0; i < run->plan.producers_count; i++) {
        if (run->producers[i].unfinished_count > 0) return false;
    }
    return true;
}
