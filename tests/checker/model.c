/* A discrete-event model: a heap of events, partitions that append and commit, sessions that ask (model.h). */
#include "model_private.h"

#include "checker_memory.h"

#include <assert.h>
#include <stdlib.h>

/* ---- events -------------------------------------------------------------------------------------------------------- */

static bool is_earlier(const struct event *a, const struct event *b)
{
    return a->time != b->time ? a->time < b->time : a->order < b->order;
}

void model__later(struct model *model, uint64_t delay, enum event_type type, uint32_t subject)
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

uint32_t model__draw(struct model *model, uint32_t sides)
{
    return dice_below(&model->dice, sides);
}

bool model__chance(struct model *model, uint32_t percent)
{
    return dice_chance(&model->dice, percent);
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

uint32_t model__ask(struct model *model, const struct history_op *op, uint32_t batch)
{
    uint32_t number = model->requests_count;
    model->requests =
        memory_grow(model->requests, number, &model->requests_capacity, sizeof(struct request));
    struct request *request = &model->requests[number];
    *request = (struct request){.asked = *op, .batch = batch};
    request->asked.invoked = model->now;
    request->asked.node = 1 + model__draw(model, NODES);
    request->told = request->asked;
    model->requests_count++;
    bool lost = model->options.faults && model__chance(model, 3);
    bool late = model->options.faults && model__chance(model, 3);
    if (!lost)
        model__later(model,
                     late ? TIMEOUT + model__draw(model, 3 * TIMEOUT) : model__draw(model, 20),
                     EVENT_ARRIVE, number);
    model__later(model, TIMEOUT, EVENT_TIMEOUT, number);
    return number;
}

/* The answer is decided; the client hears it later, unless it is lost on the way. */
void model__answer(struct model *model, uint32_t number, enum history_outcome outcome)
{
    model->requests[number].told.outcome = outcome;
    if (model->options.faults && model__chance(model, 2)) return;
    model__later(model, model__draw(model, 20), EVENT_REPLY, number);
}

/* Joined to the last run where it continues that, unless `split`. */
void model__add_run(struct history_run *runs, uint32_t *count, uint64_t offset, uint64_t value,
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

/* ---- readers --------------------------------------------------------------------------------------------------------- */

static void read_turn(struct model *model, uint32_t number)
{
    struct session *session = &model->sessions[number];
    if (session->busy) return;
    struct partition *partition = &model->partitions[session->partition];
    struct history_op op = {
        .kind = HISTORY_FETCH, .session = number, .partition = session->partition};
    if (!model->ending && model__chance(model, 5)) {
        session->seeks = true;
        session->position = model__draw(model, partition->committed + 1);
    }
    if (!model->ending && model__chance(model, 3)) {
        op.kind = HISTORY_OFFSETS;
    } else {
        op.fetch.seek = session->seeks;
        op.fetch.local = !model->ending && model__chance(model, 10);
        op.fetch.from = history_known(session->position);
    }
    session->busy = true;
    uint32_t request = model__ask(model, &op, 0);
    if (model__chance(model, 50))
        model->requests[request].wait_until = model->now + model__draw(model, TIMEOUT / 2);
}

static void fill_fetch(struct model *model, struct request *request, uint32_t end)
{
    struct partition *partition = &model->partitions[request->asked.partition];
    uint64_t from = request->asked.fetch.from.value;
    uint32_t limit = 1 + model__draw(model, model->options.read_count_max);
    uint64_t to = from + limit < end ? from + limit : end;
    uint32_t count = 0;
    bool split = model__chance(model, 10);
    assert(request->runs == NULL);
    if (to > from) request->runs = memory_array(to - from, sizeof(*request->runs));
    for (uint64_t offset = from; offset < to; offset++) {
        model__add_run(request->runs, &count, offset, partition->values[offset], split);
    }
    request->told.fetch.runs = request->runs;
    request->told.fetch.runs_count = count;
    if (model__chance(model, 80)) request->told.fetch.next = history_known(to > from ? to : from);
    if (model__chance(model, 20)) request->told.fetch.durable = history_known(partition->committed);
}

static void arrive_fetch(struct model *model, uint32_t number)
{
    struct request *request = &model->requests[number];
    struct partition *partition = &model->partitions[request->asked.partition];
    uint32_t *node_end = &partition->node_end[request->asked.node - 1];
    if (!request->asked.fetch.local || model__chance(model, 30)) *node_end = partition->committed;
    uint32_t end = *node_end;
    if (request->asked.kind == HISTORY_OFFSETS) {
        request->told.fetch.end = history_known(end);
        request->told.fetch.first = history_known(partition->first);
        model__answer(model, number, HISTORY_OUTCOME_OK);
        return;
    }
    uint64_t from = request->asked.fetch.from.value;
    if (from < partition->first || from > end) {
        model__answer(model, number, HISTORY_OUTCOME_FAIL); /* out of range */
        return;
    }
    if (from == end && request->wait_until > model->now) {
        model__later(model, 10 + model__draw(model, 20), EVENT_ARRIVE,
                     number); /* a long poll looks again */
        return;
    }
    if (model__chance(model, 80)) request->told.fetch.end = history_known(end);
    if (model__chance(model, 30)) request->told.fetch.first = history_known(partition->first);
    fill_fetch(model, request, end);
    model__answer(model, number, HISTORY_OUTCOME_OK);
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
    partition->first += model__draw(model, (partition->committed - partition->first) / 2 + 1);
    if (!model->ending) model__later(model, 500 + model__draw(model, 2000), EVENT_TRIM, number);
}

/* ---- consumer offsets -------------------------------------------------------------------------------------------------- */

static void commit_turn(struct model *model, uint32_t number)
{
    struct session *session = &model->sessions[number];
    if (session->busy) return;
    uint32_t partition = model__draw(model, model->options.partitions);
    enum history_kind kind = model__chance(model, 50) ? HISTORY_COMMIT : HISTORY_COMMITTED;
    uint32_t group = model__draw(model, 2);
    struct history_op op = {
        .kind = kind,
        .session = number,
        .partition = partition,
        .commit = {.group = group},
    };
    if (op.kind == HISTORY_COMMIT) op.commit.offset = history_known(model__draw(model, 20));
    session->busy = true;
    model__ask(model, &op, 0);
}

static void arrive_commit(struct model *model, uint32_t number)
{
    struct request *request = &model->requests[number];
    uint64_t *offset = &model->offsets[request->asked.commit.group * model->options.partitions +
                                       request->asked.partition];
    if (model->options.faults && model__chance(model, 5)) { /* a stale generation */
        model__answer(model, number, HISTORY_OUTCOME_FAIL);
        return;
    }
    if (request->asked.kind == HISTORY_COMMIT) {
        *offset = request->asked.commit.offset.value + 1;
    } else if (*offset > 0) {
        request->told.commit.offset = history_known(*offset - 1);
    }
    model__answer(model, number, HISTORY_OUTCOME_OK);
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
            model__produced(model, request->batch, &op);
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
        model__produce_turn(model, number);
        break;
    case READER:
        read_turn(model, number);
        break;
    case COMMITTER:
        commit_turn(model, number);
        break;
    }
    if (!model->ending) model__later(model, 1 + model__draw(model, 60), EVENT_TURN, number);
}

static void arrive(struct model *model, uint32_t number)
{
    switch (model->requests[number].asked.kind) {
    case HISTORY_PRODUCE:
        model__arrive_produce(model, number);
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
        model__commit(model, event.subject);
        break;
    case EVENT_FAILOVER:
        model__failover(model, event.subject);
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
                                          .node = 1 + model__draw(model, NODES),
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
            model__later(model, model__draw(model, 50), EVENT_TURN, number++);
        }
    }
    for (uint32_t i = 0; i < options->partitions; i++) {
        model->partitions[i].expected = memory_array(sessions_count, sizeof(uint64_t));
        if (options->faults) model__later(model, model__draw(model, 1000), EVENT_FAILOVER, i);
        if (options->trims) model__later(model, model__draw(model, 1000), EVENT_TRIM, i);
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
    /* One statement each: an initializer may be evaluated in any order. */
    struct model_options options = {.seed = seed};
    options.partitions = 1 + dice_below(&dice, 4);
    options.producers = 1 + dice_below(&dice, 5);
    options.plain_producers = dice_below(&dice, 3);
    options.readers = 1 + dice_below(&dice, 6);
    options.committers = dice_below(&dice, 5);
    options.operations = 200 + dice_below(&dice, 1500);
    options.batch_count_max = 1 + dice_below(&dice, 6);
    options.read_count_max = 1 + dice_below(&dice, 30);
    options.faults = dice_chance(&dice, 80);
    options.trims = dice_chance(&dice, 50);
    return options;
}
