/* The model's producers, and the log that they append to (model.h). */
#include "model_private.h"

#include "checker_memory.h"

#include <assert.h>

static uint64_t value_of(const struct model *model, uint32_t batch)
{
    return (uint64_t)(model->batches[batch].session + 1) << 32 | model->batches[batch].sequence;
}

static void send_batch(struct model *model, uint32_t number)
{
    struct batch *batch = &model->batches[number];
    struct history_op op = {
        .kind = HISTORY_PRODUCE,
        .session = batch->session,
        .partition = batch->partition,
        .produce =
            {
                .value = value_of(model, number),
                .count = batch->count,
                .has_producer = model->sessions[batch->session].role == PRODUCER,
                .producer = 1000 + batch->session,
                .sequence = batch->sequence,
            },
    };
    batch->in_flight = true;
    model__ask(model, &op, number);
}

void model__produce_turn(struct model *model, uint32_t number)
{
    struct session *session = &model->sessions[number];
    uint32_t limit = session->role == PRODUCER ? WINDOW : 1;
    /* The oldest that is not in flight goes first, so that sequences arrive in order more often than not. */
    for (uint32_t i = 0; i < session->window_count; i++) {
        if (model->batches[session->window[i]].in_flight) continue;
        send_batch(model, session->window[i]);
        return;
    }
    if (session->window_count == limit || model->ending) return;
    uint32_t batch = model->batches_count;
    model->batches =
        memory_grow(model->batches, batch, &model->batches_capacity, sizeof(struct batch));
    model->batches[batch] = (struct batch){
        .session = number,
        .partition = session->partition,
        .count = 1 + model__draw(model, model->options.batch_count_max),
        .sequence = session->sequence,
    };
    session->sequence += model->batches[batch].count;
    model->batches_count++;
    session->window[session->window_count++] = batch;
    send_batch(model, batch);
}

static void append(struct model *model, uint32_t number)
{
    struct batch *batch = &model->batches[number];
    struct partition *partition = &model->partitions[batch->partition];
    batch->appended = true;
    batch->base = partition->end;
    for (uint32_t i = 0; i < batch->count; i++) {
        partition->values = memory_grow(partition->values, partition->end,
                                        &partition->values_capacity, sizeof(uint64_t));
        partition->batches = memory_grow(partition->batches, partition->end,
                                         &partition->batches_capacity, sizeof(uint32_t));
        partition->values[partition->end] = value_of(model, number) + i;
        partition->batches[partition->end] = number;
        partition->end++;
    }
    model__later(model, 1 + model__draw(model, 30), EVENT_COMMIT, batch->partition);
}

static void answer_produce(struct model *model, uint32_t number)
{
    struct request *request = &model->requests[number];
    const struct batch *batch = &model->batches[request->batch];
    uint32_t count = 0;
    bool split = model__chance(model, 10);
    assert(request->runs == NULL);
    request->runs = memory_array(batch->count, sizeof(*request->runs));
    for (uint32_t i = 0; i < batch->count; i++) {
        model__add_run(request->runs, &count, batch->base + i, value_of(model, request->batch) + i,
                       split);
    }
    request->told.produce.runs = request->runs;
    request->told.produce.runs_count = count;
    model__answer(model, number, HISTORY_OUTCOME_OK);
}

void model__arrive_produce(struct model *model, uint32_t number)
{
    struct request *request = &model->requests[number];
    struct batch *batch = &model->batches[request->batch];
    struct partition *partition = &model->partitions[batch->partition];
    bool idempotent = request->asked.produce.has_producer;
    if (model->options.faults && model__chance(model, 3)) { /* overloaded: nothing was stored */
        model__answer(model, number, HISTORY_OUTCOME_FAIL);
        return;
    }
    if (idempotent && batch->committed) {
        answer_produce(model, number);
        return;
    }
    if (idempotent && batch->appended) { /* a retry of one in flight waits for its fate */
        batch->waiting = number + 1;
        return;
    }
    if (idempotent && partition->expected[batch->session] != batch->sequence) {
        model__answer(model, number, HISTORY_OUTCOME_FAIL); /* out of order */
        return;
    }
    if (idempotent) partition->expected[batch->session] += batch->count;
    append(model, request->batch);
    batch->waiting = number + 1;
}

void model__commit(struct model *model, uint32_t number)
{
    struct partition *partition = &model->partitions[number];
    while (partition->committed < partition->end) {
        uint32_t batch_number = partition->batches[partition->committed];
        struct batch *batch = &model->batches[batch_number];
        batch->committed = true;
        partition->committed += batch->count;
        if (batch->waiting != 0) answer_produce(model, batch->waiting - 1);
        batch->waiting = 0;
        if (model__chance(model, 30)) break; /* the rest at the next event */
    }
    if (partition->committed < partition->end)
        model__later(model, 1 + model__draw(model, 30), EVENT_COMMIT, number);
}

/* A new leader lacks some of what was not committed. Who waits for a batch that was cut hears nothing any more. */
void model__failover(struct model *model, uint32_t number)
{
    struct partition *partition = &model->partitions[number];
    while (partition->end > partition->committed && model__chance(model, 60)) {
        struct batch *batch = &model->batches[partition->batches[partition->end - 1]];
        assert(batch->appended && !batch->committed);
        partition->end = (uint32_t)batch->base;
        batch->appended = false;
        batch->waiting = 0;
        if (model->sessions[batch->session].role == PRODUCER) {
            partition->expected[batch->session] = batch->sequence;
        }
    }
    if (!model->ending) model__later(model, 500 + model__draw(model, 3000), EVENT_FAILOVER, number);
}

void model__produced(struct model *model, uint32_t batch, const struct history_op *op)
{
    struct session *session = &model->sessions[op->session];
    model->batches[batch].in_flight = false;
    bool done = op->outcome == HISTORY_OUTCOME_OK;
    /* Without a producer id an unknown outcome stays unknown. */
    if (session->role == PLAIN && op->outcome == HISTORY_OUTCOME_UNKNOWN) done = true;
    if (!done) return;
    for (uint32_t i = 0; i < session->window_count; i++) {
        if (session->window[i] != batch) continue;
        for (uint32_t j = i + 1; j < session->window_count; j++) {
            session->window[j - 1] = session->window[j];
        }
        session->window_count--;
        return;
    }
}
