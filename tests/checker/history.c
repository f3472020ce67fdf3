/* Takes operations, gives numbers to names, owns everything. */
#include "history_checker.h"

#include "history_private.h"
#include "checker_memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WITNESSES_DEFAULT 5u
#define WITNESSES_MAX     10000u

struct history *history_create(const struct history_options *options)
{
    assert(options->witnesses_max <= WITNESSES_MAX);
    struct history *history = memory_array(1, sizeof(*history));
    history->options = *options;
    if (options->witnesses_max == 0) history->options.witnesses_max = WITNESSES_DEFAULT;
    history->witnesses = memory_array(
        (size_t)HISTORY_ANOMALIES_COUNT * history->options.witnesses_max, sizeof(char *));
    return history;
}

static void partition_close(struct history__partition *partition)
{
    paged_close(&partition->messages);
    paged_close(&partition->places);
    free(partition->batches);
    id_map_close(&partition->producer_of_id);
    free(partition->producers);
    timeline_close(&partition->ends);
    timeline_close(&partition->firsts);
    free(partition->suspects);
    free(partition->gaps);
}

void history_destroy(struct history *history)
{
    if (history == NULL) return;
    for (uint32_t i = 0; i < history->partitions_count; i++) {
        partition_close(&history->partitions[i]);
    }
    for (uint32_t i = 0; i < history->registers_count; i++) {
        history__register_close(&history->registers[i]);
    }
    for (uint32_t i = 0; i < HISTORY_ANOMALIES_COUNT * history->options.witnesses_max; i++) {
        free(history->witnesses[i]);
    }
    names_close(&history->partition_names);
    names_close(&history->session_names);
    names_close(&history->group_names);
    id_map_close(&history->position_of);
    id_map_close(&history->register_of);
    free(history->partitions);
    free(history->positions);
    free(history->registers);
    free(history->suspects);
    free(history->witnesses);
    free(history);
}

uint32_t history__partition_number(struct history *history, const char *name, size_t bytes)
{
    uint32_t number = names_number(&history->partition_names, name, bytes);
    if (number == history->partitions_count) {
        history->partitions =
            memory_grow(history->partitions, number, &history->partitions_capacity,
                        sizeof(*history->partitions));
        struct history__partition *partition = &history->partitions[number];
        *partition = (struct history__partition){0};
        paged_init(&partition->messages, sizeof(struct history__message));
        paged_init(&partition->places, sizeof(struct history__place));
        history->partitions_count++;
    }
    assert(history->partitions_count == history->partition_names.count);
    return number;
}

uint32_t history_partition(struct history *history, const char *name)
{
    return history__partition_number(history, name, strlen(name));
}

uint32_t history_session(struct history *history, const char *name)
{
    return names_number(&history->session_names, name, strlen(name));
}

uint32_t history_group(struct history *history, const char *name)
{
    return names_number(&history->group_names, name, strlen(name));
}

static enum history_status drained(struct history *history, const struct history_op *op)
{
    if (op->outcome != HISTORY_OUTCOME_OK) return HISTORY_ANSWER_MISSING;
    struct history__partition *partition = &history->partitions[op->partition];
    partition->drained = true;
    partition->drained_invoked = op->invoked;
    partition->drained_first = op->fetch.first.known ? op->fetch.first.value : 0;
    return HISTORY_OK;
}

static enum history_status take(struct history *history, const struct history_op *op)
{
    switch (op->kind) {
    case HISTORY_PRODUCE:
        return history__produce(history, op);
    case HISTORY_FETCH:
        return history__fetch(history, op);
    case HISTORY_OFFSETS:
        return history__offsets(history, op);
    case HISTORY_COMMIT:
        return history__commit(history, op);
    case HISTORY_COMMITTED:
        return history__committed(history, op);
    case HISTORY_DRAINED:
        return drained(history, op);
    }
    abort();
}

enum history_status history_add(struct history *history, const struct history_op *op)
{
    if (history->finished) return HISTORY_FINISHED;
    if (op->completed < op->invoked) return HISTORY_TIME_REVERSED;
    if (op->completed < history->completed) return HISTORY_OUT_OF_ORDER;
    if (op->partition >= history->partitions_count) return HISTORY_UNKNOWN_NAME;
    if (op->session >= history->session_names.count) return HISTORY_UNKNOWN_NAME;
    enum history_status status = take(history, op);
    if (status != HISTORY_OK) return status;
    history->completed = op->completed;
    history->totals.operations++;
    return HISTORY_OK;
}

void history_finish(struct history *history)
{
    assert(!history->finished);
    history->finished = true;
    for (uint32_t i = 0; i < history->partitions_count; i++) {
        history__finish_partition(history, i);
    }
    history__finish_registers(history);
}

static uint64_t partition_bytes(const struct history__partition *partition)
{
    return paged_bytes(&partition->messages) + paged_bytes(&partition->places) +
           partition->batches_capacity * sizeof(*partition->batches) +
           partition->producers_capacity * sizeof(*partition->producers) +
           (partition->ends.steps_capacity + partition->firsts.steps_capacity) *
               sizeof(struct timeline_step);
}

static uint64_t messages_distinct(const struct history__partition *partition)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < partition->messages.pages_count; i++) {
        const struct history__message *messages =
            (const struct history__message *)(const void *)partition->messages.pages[i].entries;
        for (uint32_t j = 0; j < PAGED_ENTRIES; j++) {
            count += messages[j].batch != 0 || messages[j].flags != 0;
        }
    }
    return count;
}

void history_totals(const struct history *history, struct history_totals *ret_totals)
{
    *ret_totals = history->totals;
    for (uint32_t i = 0; i < history->partitions_count; i++) {
        ret_totals->messages_distinct += messages_distinct(&history->partitions[i]);
        ret_totals->memory_bytes += partition_bytes(&history->partitions[i]);
    }
    for (uint32_t i = 0; i < history->registers_count; i++) {
        const struct history__register *reg = &history->registers[i];
        ret_totals->memory_bytes += reg->settings_capacity * sizeof(*reg->settings) +
                                    reg->overwrites.steps_capacity * sizeof(struct timeline_step);
    }
}
