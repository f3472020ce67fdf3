/* A discrete-event model: a heap of events, partitions that append and commit, sessions that ask (model.h). */
#include "model.h"

#include "memory.h"

#include <assert.h>
#include <stdlib.h>

enum {
    TIMEOUT = 400,
    WINDOW = 5, /* batches in flight per producer (PROTOCOL P2) */
    NODES = 3,
};

enum event_type {
    EVENT_TURN = 1, /* a session does something */
    EVENT_ARRIVE,   /* a request reaches the partition's leader, or the node that reads */
    EVENT_REPLY,
    EVENT_TIMEOUT, /* the client gives up */
    EVENT_COMMIT,
    EVENT_FAILOVER,
    EVENT_TRIM,
};

struct event {
    uint64_t time;
    uint64_t order; /* first in, first out at equal times */
    enum event_type type;
    uint32_t subject; /* session, request or partition */
};

/* A batch of some producer; its values are producer << 32 | sequence. */
struct batch {
    uint32_t session, partition, count;
    uint64_t sequence;
    bool appended, committed, in_flight;
    uint64_t base;    /* while appended */
    uint32_t waiting; /* request + 1 that waits for the commit */
};

struct request {
    struct history_op asked;  /* as the client knows it */
    struct history_op told;   /* with the answer */
    struct history_run *runs; /* of the answer */
    uint32_t batch;
    bool ended;          /* for the client */
    uint64_t wait_until; /* of a long poll */
};

struct partition {
    uint64_t *values; /* by offset */
    uint32_t *batches;
    uint32_t end, values_capacity, batches_capacity;
    uint32_t committed, first;
    uint32_t node_end[NODES]; /* how far each node's own knowledge goes */
    uint64_t *expected;       /* next sequence by session */
};

enum role { PRODUCER, PLAIN, READER, COMMITTER };

struct session {
    enum role role;
    uint32_t partition;
    uint32_t *window; /* batches not acked yet, in order */
    uint32_t window_count;
    uint64_t sequence;
    uint64_t position;
    bool seeks; /* the next fetch */
    bool busy;
};

struct model {
    struct model_options options;
    struct dice dice;
    struct recording recording;
    uint64_t now, order;
    struct event *heap;
    uint32_t heap_count, heap_capacity;
    struct request *requests;
    uint32_t requests_count, requests_capacity;
    struct batch *batches;
    uint32_t batches_count, batches_capacity;
    struct partition *partitions;
    struct session *sessions;
    uint64_t *offsets; /* committed consumer offset + 1, by group and partition */
    bool ending;
};

/* ---- events -------------------------------------------------------------------------------------------------------- */

static bool is_earlier(const struct event *a, const struct event *b)
{
    return a->time != b->time ? a->time < b->time : a->order < b->order;
}

static void later(struct model *model, uint64_t delay, enum event_type type, uint32_t subject)
{
    struct event event = {
        .time = model->now + delay, .order = model->order++, .type = type, .subject = subject};
    model->heap = memory_grow(model->heap, model->heap_count, &model->heap_capacity, sizeof(event));
    uint32_t at = model->heap_count++;
    while (at > 0 && is_earlier(&event, &model->heap[(at - 1) / 2])) {
        model->heap[at] = model->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    model->heap[at] = event;
}

static struct event next_event(struct model *model)
{
    assert(model->heap_count > 0);
    struct event first = model->heap[0], last = model->heap[--model->heap_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child >= model->heap_count) break;
        if (child + 1 < model->heap_count &&
            is_earlier(&model->heap[child + 1], &model->heap[child]))
            child++;
        if (!is_earlier(&model->heap[child], &last)) break;
        model->heap[at] = model->heap[child];
        at = child;
    }
    model->heap[at] = last;
    return first;
}

static uint32_t draw(struct model *model, uint32_t sides)
{
    return dice_below(&model->dice, sides);
}

static bool chance(struct model *model, uint32_t percent)
{
    return dice_chance(&model->dice, percent);
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

static uint32_t ask(struct model *model, const struct history_op *op, uint32_t batch)
{
    uint32_t number = model->requests_count;
    model->requests =
        memory_grow(model->requests, number, &model->requests_capacity, sizeof(struct request));
    struct request *request = &model->requests[number];
    *request = (struct request){.asked = *op, .batch = batch};
    request->asked.invoked = model->now;
    request->asked.node = 1 + draw(model, NODES);
    request->told = request->asked;
    model->requests_count++;
    bool lost = model->options.faults && chance(model, 3);
    bool late = model->options.faults && chance(model, 3);
    if (!lost)
        later(model, late ? TIMEOUT + draw(model, 3 * TIMEOUT) : draw(model, 20), EVENT_ARRIVE,
              number);
    later(model, TIMEOUT, EVENT_TIMEOUT, number);
    return number;
}

/* The answer is decided; the client hears it later, unless it is lost on the way. */
static void answer(struct model *model, uint32_t number, enum history_outcome outcome)
{
    model->requests[number].told.outcome = outcome;
    if (model->options.faults && chance(model, 2)) return;
    later(model, draw(model, 20), EVENT_REPLY, number);
}

/* Joined to the last run where it continues that, unless `split`. */
static void add_run(struct history_run *runs, uint32_t *count, uint64_t offset, uint64_t value,
                    bool split)
{
    if (*count > 0 && !split) {
        struct history_run *last = &runs[*count - 1];
        if (last->offset + last->count == offset && last->value + last->count == value) {
            last->count++;
            return;
        }
    }
    runs[(*count)++] = (struct history_run){.offset = offset, .value = value, .count = 1};
}

/* ---- producers ------------------------------------------------------------------------------------------------------ */

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
    ask(model, &op, number);
}

static void produce_turn(struct model *model, uint32_t number)
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
        .count = 1 + draw(model, model->options.batch_count_max),
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
    later(model, 1 + draw(model, 30), EVENT_COMMIT, batch->partition);
}

static void answer_produce(struct model *model, uint32_t number)
{
    struct request *request = &model->requests[number];
    const struct batch *batch = &model->batches[request->batch];
    uint32_t count = 0;
    bool split = chance(model, 10);
    assert(request->runs == NULL);
    request->runs = memory_array(batch->count, sizeof(*request->runs));
    for (uint32_t i = 0; i < batch->count; i++) {
        add_run(request->runs, &count, batch->base + i, value_of(model, request->batch) + i, split);
    }
    request->told.produce.runs = request->runs;
    request->told.produce.runs_count = count;
    answer(model, number, HISTORY_OUTCOME_OK);
}

static void arrive_produce(struct model *model, uint32_t number)
{
    struct request *request = &model->requests[number];
    struct batch *batch = &model->batches[request->batch];
    struct partition *partition = &model->partitions[batch->partition];
    bool idempotent = request->asked.produce.has_producer;
    if (model->options.faults && chance(model, 3)) { /* overloaded: nothing was stored */
        answer(model, number, HISTORY_OUTCOME_FAIL);
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
        answer(model, number, HISTORY_OUTCOME_FAIL); /* out of order */
        return;
    }
    if (idempotent) partition->expected[batch->session] += batch->count;
    append(model, request->batch);
    batch->waiting = number + 1;
}

static void commit(struct model *model, uint32_t number)
{
    struct partition *partition = &model->partitions[number];
    while (partition->committed < partition->end) {
        uint32_t batch_number = partition->batches[partition->committed];
        struct batch *batch = &model->batches[batch_number];
        batch->committed = true;
        partition->committed += batch->count;
        if (batch->waiting != 0) answer_produce(model, batch->waiting - 1);
        batch->waiting = 0;
        if (chance(model, 30)) break; /* the rest at the next event */
    }
    if (partition->committed < partition->end)
        later(model, 1 + draw(model, 30), EVENT_COMMIT, number);
}

/* A new leader lacks some of what was not committed. Who waits for a batch that was cut hears nothing any more. */
static void failover(struct model *model, uint32_t number)
{
    struct partition *partition = &model->partitions[number];
    while (partition->end > partition->committed && chance(model, 60)) {
        struct batch *batch = &model->batches[partition->batches[partition->end - 1]];
        assert(batch->appended && !batch->committed);
        partition->end = (uint32_t)batch->base;
        batch->appended = false;
        batch->waiting = 0;
        if (model->sessions[batch->session].role == PRODUCER) {
            partition->expected[batch->session] = batch->sequence;
        }
    }
    if (!model->ending) later(model, 500 + draw(model, 3000), EVENT_FAILOVER, number);
}

static void produced(struct model *model, uint32_t batch, const struct history_op *op)
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

/* ---- readers --------------------------------------------------------------------------------------------------------- */

static void read_turn(struct model *model, uint32_t number)
{
    struct session *session = &model->sessions[number];
    if (session->busy) return;
    struct partition *partition = &model->partitions[session->partition];
    struct history_op op = {
        .kind = HISTORY_FETCH, .session = number, .partition = session->partition};
    if (!model->ending && chance(model, 5)) {
        session->seeks = true;
        session->position = draw(model, partition->committed + 1);
    }
    if (!model->ending && chance(model, 3)) {
        op.kind = HISTORY_OFFSETS;
    } else {
        op.fetch.seek = session->seeks;
        op.fetch.local = !model->ending && chance(model, 10);
        op.fetch.from = history_known(session->position);
    }
    session->busy = true;
    uint32_t request = ask(model, &op, 0);
    if (chance(model, 50))
        model->requests[request].wait_until = model->now + draw(model, TIMEOUT / 2);
}

static void fill_fetch(struct model *model, struct request *request, uint32_t end)
{
    struct partition *partition = &model->partitions[request->asked.partition];
    uint64_t from = request->asked.fetch.from.value;
    uint32_t limit = 1 + draw(model, model->options.read_count_max);
    uint64_t to = from + limit < end ? from + limit : end;
    uint32_t count = 0;
    bool split = chance(model, 10);
    assert(request->runs == NULL);
    if (to > from) request->runs = memory_array(to - from, sizeof(*request->runs));
    for (uint64_t offset = from; offset < to; offset++) {
        add_run(request->runs, &count, offset, partition->values[offset], split);
    }
    request->told.fetch.runs = request->runs;
    request->told.fetch.runs_count = count;
    if (chance(model, 80)) request->told.fetch.next = history_known(to > from ? to : from);
    if (chance(model, 20)) request->told.fetch.durable = history_known(partition->committed);
}

static void arrive_fetch(struct model *model, uint32_t number)
{
    struct request *request = &model->requests[number];
    struct partition *partition = &model->partitions[request->asked.partition];
    uint32_t *node_end = &partition->node_end[request->asked.node - 1];
    if (!request->asked.fetch.local || chance(model, 30)) *node_end = partition->committed;
    uint32_t end = *node_end;
    if (request->asked.kind == HISTORY_OFFSETS) {
        request->told.fetch.end = history_known(end);
        request->told.fetch.first = history_known(partition->first);
        answer(model, number, HISTORY_OUTCOME_OK);
        return;
    }
    uint64_t from = request->asked.fetch.from.value;
    if (from < partition->first || from > end) {
        answer(model, number, HISTORY_OUTCOME_FAIL); /* out of range */
        return;
    }
    if (from == end && request->wait_until > model->now) {
        later(model, 10 + draw(model, 20), EVENT_ARRIVE, number); /* a long poll looks again */
        return;
    }
    if (chance(model, 80)) request->told.fetch.end = history_known(end);
    if (chance(model, 30)) request->told.fetch.first = history_known(partition->first);
    fill_fetch(model, request, end);
    answer(model, number, HISTORY_OUTCOME_OK);
}

static void fetched(struct model *model, const struct history_op *op)
{
    struct session *session = &model->sessions[op->session];
    session->busy = false;
    if (op->kind != HISTORY_FETCH) return;
    if (op->outcome == HISTORY_OUTCOME_OK) {
        session->seeks = false;
        if (op->fetch.runs_count > 0) {
            const struct history_run *last = &op->fetch.runs[op->fetch.runs_count - 1];
            session->position = last->offset + last->count;
        }
    } else if (op->outcome ==
               HISTORY_OUTCOME_FAIL) { /* out of range: below the log start, or a node behind */
        uint32_t first = model->partitions[op->partition].first;
        if (session->position < first) {
            session->position = first;
            session->seeks = true;
        }
    }
}

static void trim(struct model *model, uint32_t number)
{
    struct partition *partition = &model->partitions[number];
    partition->first += draw(model, (partition->committed - partition->first) / 2 + 1);
    if (!model->ending) later(model, 500 + draw(model, 2000), EVENT_TRIM, number);
}

/* ---- consumer offsets -------------------------------------------------------------------------------------------------- */

static void commit_turn(struct model *model, uint32_t number)
{
    struct session *session = &model->sessions[number];
    if (session->busy) return;
    uint32_t partition = draw(model, model->options.partitions);
    struct history_op op = {
        .kind = chance(model, 50) ? HISTORY_COMMIT : HISTORY_COMMITTED,
        .session = number,
        .partition = partition,
        .commit = {.group = draw(model, 2)},
    };
    if (op.kind == HISTORY_COMMIT) op.commit.offset = history_known(draw(model, 20));
    session->busy = true;
    ask(model, &op, 0);
}

static void arrive_commit(struct model *model, uint32_t number)
{
    struct request *request = &model->requests[number];
    uint64_t *offset = &model->offsets[request->asked.commit.group * model->options.partitions +
                                       request->asked.partition];
    if (model->options.faults && chance(model, 5)) { /* a stale generation */
        answer(model, number, HISTORY_OUTCOME_FAIL);
        return;
    }
    if (request->asked.kind == HISTORY_COMMIT) {
        *offset = request->asked.commit.offset.value + 1;
    } else if (*offset > 0) {
        request->told.commit.offset = history_known(*offset - 1);
    }
    answer(model, number, HISTORY_OUTCOME_OK);
}

/* ---- the run ------------------------------------------------------------------------------------------------------------ */

static void free_runs(struct request *request)
{
    free(request->runs);
    request->runs = NULL;
    request->told.produce.runs = request->told.fetch.runs = NULL;
    request->told.produce.runs_count = request->told.fetch.runs_count = 0;
}

/* The client hears the answer, or gives up. */
static void end_request(struct model *model, uint32_t number, bool heard)
{
    struct request *request = &model->requests[number];
    if (!request->ended) {
        request->ended = true;
        struct history_op op = heard ? request->told : request->asked;
        if (!heard) op.outcome = HISTORY_OUTCOME_UNKNOWN;
        op.completed = model->now;
        recording_add(&model->recording, &op);
        switch (op.kind) {
        case HISTORY_PRODUCE:
            produced(model, request->batch, &op);
            break;
        case HISTORY_FETCH:
        case HISTORY_OFFSETS:
            fetched(model, &op);
            break;
        case HISTORY_COMMIT:
        case HISTORY_COMMITTED:
            model->sessions[op.session].busy = false;
            break;
        case HISTORY_DRAINED:
            abort();
        }
    }
    if (heard) free_runs(request);
}

static void turn(struct model *model, uint32_t number)
{
    switch (model->sessions[number].role) {
    case PRODUCER:
    case PLAIN:
        produce_turn(model, number);
        break;
    case READER:
        read_turn(model, number);
        break;
    case COMMITTER:
        commit_turn(model, number);
        break;
    }
    if (!model->ending) later(model, 1 + draw(model, 60), EVENT_TURN, number);
}

static void arrive(struct model *model, uint32_t number)
{
    switch (model->requests[number].asked.kind) {
    case HISTORY_PRODUCE:
        arrive_produce(model, number);
        return;
    case HISTORY_FETCH:
    case HISTORY_OFFSETS:
        arrive_fetch(model, number);
        return;
    case HISTORY_COMMIT:
    case HISTORY_COMMITTED:
        arrive_commit(model, number);
        return;
    case HISTORY_DRAINED:
        break;
    }
    abort();
}

static void step(struct model *model)
{
    struct event event = next_event(model);
    assert(event.time >= model->now);
    model->now = event.time;
    switch (event.type) {
    case EVENT_TURN:
        turn(model, event.subject);
        break;
    case EVENT_ARRIVE:
        arrive(model, event.subject);
        break;
    case EVENT_REPLY:
        end_request(model, event.subject, true);
        break;
    case EVENT_TIMEOUT:
        end_request(model, event.subject, false);
        break;
    case EVENT_COMMIT:
        commit(model, event.subject);
        break;
    case EVENT_FAILOVER:
        failover(model, event.subject);
        break;
    case EVENT_TRIM:
        trim(model, event.subject);
        break;
    }
}

/* When nothing is under way any more, a session of its own reads every partition from its start to its end. */
static void drain(struct model *model)
{
    uint32_t reader = model->recording.sessions_count - 1;
    for (uint32_t i = 0; i < model->options.partitions; i++) {
        struct partition *partition = &model->partitions[i];
        uint64_t began = ++model->now;
        assert(partition->committed == partition->end);
        for (uint64_t from = partition->first; from < partition->end;) {
            struct request request = {.asked = {
                                          .kind = HISTORY_FETCH,
                                          .outcome = HISTORY_OUTCOME_OK,
                                          .session = reader,
                                          .partition = i,
                                          .node = 1 + draw(model, NODES),
                                          .fetch = {.from = history_known(from)},
                                      }};
            request.asked.invoked = ++model->now;
            request.asked.completed = ++model->now;
            request.told = request.asked;
            fill_fetch(model, &request, partition->end);
            request.told.fetch.end = history_known(partition->end);
            recording_add(&model->recording, &request.told);
            const struct history_run *last = &request.runs[request.told.fetch.runs_count - 1];
            from = last->offset + last->count;
            free_runs(&request);
        }
        recording_add(&model->recording, &(struct history_op){
                                             .kind = HISTORY_DRAINED,
                                             .outcome = HISTORY_OUTCOME_OK,
                                             .invoked = began,
                                             .completed = ++model->now,
                                             .session = reader,
                                             .partition = i,
                                             .fetch = {.first = history_known(partition->first)},
                                         });
    }
}

static void model_init(struct model *model, const struct model_options *options)
{
    *model = (struct model){.options = *options, .dice = {.state = options->seed}, .now = 1};
    uint32_t roles[] = {options->producers, options->plain_producers, options->readers,
                        options->committers};
    uint32_t sessions_count = roles[PRODUCER] + roles[PLAIN] + roles[READER] + roles[COMMITTER];
    model->recording.sessions_count = sessions_count + 1; /* one drains */
    model->recording.partitions_count = options->partitions;
    model->recording.groups_count = 2;
    model->partitions = memory_array(options->partitions, sizeof(struct partition));
    model->sessions = memory_array(sessions_count, sizeof(struct session));
    model->offsets = memory_array(2 * options->partitions, sizeof(uint64_t));
    uint32_t number = 0;
    for (enum role role = PRODUCER; role <= COMMITTER; role++) {
        for (uint32_t i = 0; i < roles[role]; i++) {
            struct session *session = &model->sessions[number];
            session->role = role;
            session->partition = i % options->partitions;
            session->window = memory_array(WINDOW, sizeof(uint32_t));
            session->seeks = true;
            later(model, draw(model, 50), EVENT_TURN, number++);
        }
    }
    for (uint32_t i = 0; i < options->partitions; i++) {
        model->partitions[i].expected = memory_array(sessions_count, sizeof(uint64_t));
        if (options->faults) later(model, draw(model, 1000), EVENT_FAILOVER, i);
        if (options->trims) later(model, draw(model, 1000), EVENT_TRIM, i);
    }
}

static void model_close(struct model *model)
{
    for (uint32_t i = 0; i < model->options.partitions; i++) {
        free(model->partitions[i].values);
        free(model->partitions[i].batches);
        free(model->partitions[i].expected);
    }
    for (uint32_t i = 0; i + 1 < model->recording.sessions_count; i++) {
        free(model->sessions[i].window);
    }
    for (uint32_t i = 0; i < model->requests_count; i++) {
        free(model->requests[i].runs);
    }
    free(model->partitions);
    free(model->sessions);
    free(model->offsets);
    free(model->requests);
    free(model->batches);
    free(model->heap);
}

struct recording model_run(const struct model_options *options)
{
    struct model model;
    model_init(&model, options);
    while (model.recording.ops_count < options->operations) {
        step(&model);
    }
    model.ending = true;
    while (model.heap_count > 0) {
        step(&model);
    }
    drain(&model);
    model_close(&model);
    return model.recording;
}

struct model_options model_options_draw(uint64_t seed)
{
    struct dice dice = {.state = ~seed};
    return (struct model_options){
        .seed = seed,
        .partitions = 1 + dice_below(&dice, 4),
        .producers = 1 + dice_below(&dice, 5),
        .plain_producers = dice_below(&dice, 3),
        .readers = 1 + dice_below(&dice, 6),
        .committers = dice_below(&dice, 5),
        .operations = 200 + dice_below(&dice, 1500),
        .batch_count_max = 1 + dice_below(&dice, 6),
        .read_count_max = 1 + dice_below(&dice, 30),
        .faults = dice_chance(&dice, 80),
        .trims = dice_chance(&dice, 50),
    };
}
