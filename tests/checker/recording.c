#include "recording.h"

#include "checker_memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct history_run *recording_runs(struct history_op *op, uint32_t *ret_count)
{
    bool produce = op->kind == HISTORY_PRODUCE;
    *ret_count = produce ? op->produce.runs_count : op->fetch.runs_count;
    /* A recording owns its runs; const is for the checker, which does not. */
    return (struct history_run *)(uintptr_t)(produce ? op->produce.runs : op->fetch.runs);
}

void recording_close(struct recording *recording)
{
    for (uint32_t i = 0; i < recording->ops_count; i++) {
        uint32_t count;
        free(recording_runs(&recording->ops[i], &count));
    }
    free(recording->ops);
    *recording = (struct recording){.ops = NULL};
}

void recording_add(struct recording *recording, const struct history_op *op)
{
    recording->ops = memory_grow(recording->ops, recording->ops_count, &recording->ops_capacity,
                                 sizeof(*recording->ops));
    struct history_op *copy = &recording->ops[recording->ops_count++];
    *copy = *op;
    uint32_t count;
    struct history_run *runs = recording_runs(copy, &count), *own = NULL;
    if (count > 0) {
        own = memory_array(count, sizeof(*own));
        memcpy(own, runs, count * sizeof(*own));
    }
    if (copy->kind == HISTORY_PRODUCE) {
        copy->produce.runs = own;
    } else {
        copy->fetch.runs = own;
    }
}

struct recording recording_copy(const struct recording *recording)
{
    struct recording copy = *recording;
    copy.ops = NULL;
    copy.ops_count = copy.ops_capacity = 0;
    for (uint32_t i = 0; i < recording->ops_count; i++) {
        recording_add(&copy, &recording->ops[i]);
    }
    return copy;
}

void recording_names(const struct recording *recording, struct history *history)
{
    char name[32];
    for (uint32_t i = 0; i < recording->partitions_count; i++) {
        snprintf(name, sizeof(name), "t/%u", i);
        uint32_t number = history_partition(history, name);
        assert(number == i);
    }
    for (uint32_t i = 0; i < recording->sessions_count; i++) {
        snprintf(name, sizeof(name), "s%u", i);
        uint32_t number = history_session(history, name);
        assert(number == i);
    }
    for (uint32_t i = 0; i < recording->groups_count; i++) {
        snprintf(name, sizeof(name), "g%u", i);
        uint32_t number = history_group(history, name);
        assert(number == i);
    }
}

enum history_status recording_judge(const struct recording *recording, struct history *history)
{
    recording_names(recording, history);
    for (uint32_t i = 0; i < recording->ops_count; i++) {
        enum history_status status = history_add(history, &recording->ops[i]);
        if (status != HISTORY_OK) return status;
    }
    history_finish(history);
    return HISTORY_OK;
}

static uint64_t roll(struct dice *dice)
{
    uint64_t mixed = dice->state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

uint32_t dice_below(struct dice *dice, uint32_t sides)
{
    assert(sides > 0);
    return (uint32_t)((roll(dice) >> 32) * sides >> 32);
}

bool dice_chance(struct dice *dice, uint32_t percent)
{
    return dice_below(dice, 100) < percent;
}
