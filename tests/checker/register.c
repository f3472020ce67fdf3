/* Committed consumer offsets: one register per group and partition.
 *
 * A read may return what some write W set, unless W was overwritten for certain before the read began: an acked write
 * began after W had ended, and ended before the read began. So per value it is enough to keep when it was last written
 * for certain, and over time when the latest acked write had begun. A write of unknown outcome may have its effect at
 * any later time. A good read is as good as an acked write of the same value over the same time: the value stood then.
 *
 * A read may return a write that is still under way and comes later in the history; it is a suspect until then. */
#include "history_private.h"
#include "checker_memory.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

void history__register_close(struct history__register *reg)
{
    id_map_close(&reg->setting_of_offset);
    free(reg->settings);
    timeline_close(&reg->overwrites);
}

static struct history__setting *setting_of(struct history__register *reg, uint64_t offset)
{
    uint32_t number = id_map_get(&reg->setting_of_offset, offset);
    if (number == ID_MAP_NONE) {
        number = reg->settings_count;
        reg->settings =
            memory_grow(reg->settings, number, &reg->settings_capacity, sizeof(*reg->settings));
        reg->settings[number] = (struct history__setting){.possible = false};
        reg->settings_count++;
        id_map_put(&reg->setting_of_offset, offset, number);
    }
    return &reg->settings[number];
}

static struct history__register *register_of(struct history *history, const struct history_op *op)
{
    uint64_t key = (uint64_t)op->commit.group << 32 | op->partition;
    uint32_t number = id_map_get(&history->register_of, key);
    if (number == ID_MAP_NONE) {
        number = history->registers_count;
        history->registers = memory_grow(history->registers, number, &history->registers_capacity,
                                         sizeof(*history->registers));
        history->registers[number] = (struct history__register){.settings = NULL};
        history->registers_count++;
        id_map_put(&history->register_of, key, number);
        /* In the beginning there is no offset, as if that had been written before all. */
        struct history__setting *none = setting_of(&history->registers[number], HISTORY__NO_OFFSET);
        none->acked = true;
        none->acked_completed = 0;
    }
    return &history->registers[number];
}

static void stands_for_certain(struct history__register *reg, struct history__setting *setting,
                               const struct history_op *op, uint64_t offset)
{
    setting->acked = true;
    setting->acked_completed = op->completed;
    struct timeline_step step = history__step_of(op, op->invoked);
    step.detail = offset;
    timeline_raise(&reg->overwrites, &step);
}

/* A write explains the reads of its value that ended after it began: the latest suspects, for they are chained in the
 * order of completion. */
static void explain(struct history *history, struct history__setting *setting, uint64_t invoked)
{
    while (setting->suspect != 0) {
        struct history__read_suspect *suspect = &history->suspects[setting->suspect - 1];
        if (suspect->read.completed < invoked) return;
        suspect->explained = true;
        setting->suspect = suspect->next;
    }
}

enum history_status history__commit(struct history *history, const struct history_op *op)
{
    if (op->commit.group >= history->group_names.count) return HISTORY_UNKNOWN_NAME;
    if (!op->commit.offset.known) return HISTORY_ANSWER_MISSING;
    if (op->commit.offset.value == HISTORY__NO_OFFSET) return HISTORY_BAD_RANGE;
    history->totals.commits++;
    if (op->outcome == HISTORY_OUTCOME_FAIL) return HISTORY_OK;
    struct history__register *reg = register_of(history, op);
    struct history__setting *setting = setting_of(reg, op->commit.offset.value);
    explain(history, setting, op->invoked);
    if (op->outcome == HISTORY_OUTCOME_OK) {
        stands_for_certain(reg, setting, op, op->commit.offset.value);
    } else if (!setting->possible || op->invoked < setting->possible_invoked) {
        setting->possible = true;
        setting->possible_invoked = op->invoked;
    }
    return HISTORY_OK;
}

/* NULL when the value may have stood during the read; else what had overwritten it, or a step without time. */
static const struct timeline_step *overwritten(const struct history__register *reg,
                                               const struct history__setting *setting,
                                               const struct history_op *op)
{
    static const struct timeline_step never_written;
    if (setting->possible && setting->possible_invoked <= op->completed) return NULL;
    if (!setting->acked) return &never_written;
    const struct timeline_step *over = timeline_before(&reg->overwrites, op->invoked);
    if (over == NULL || over->value <= setting->acked_completed) return NULL;
    return over;
}

enum history_status history__committed(struct history *history, const struct history_op *op)
{
    if (op->commit.group >= history->group_names.count) return HISTORY_UNKNOWN_NAME;
    if (op->outcome != HISTORY_OUTCOME_OK) {
        return op->commit.offset.known ? HISTORY_ANSWER_WITHOUT_OK : HISTORY_OK;
    }
    if (op->commit.offset.known && op->commit.offset.value == HISTORY__NO_OFFSET) {
        return HISTORY_BAD_RANGE;
    }
    history->totals.commit_reads++;
    uint64_t offset = op->commit.offset.known ? op->commit.offset.value : HISTORY__NO_OFFSET;
    struct history__register *reg = register_of(history, op);
    struct history__setting *setting = setting_of(reg, offset);
    const struct timeline_step *over = overwritten(reg, setting, op);
    if (over == NULL) {
        stands_for_certain(reg, setting, op, offset);
        return HISTORY_OK;
    }
    uint32_t number = history->suspects_count;
    history->suspects = memory_grow(history->suspects, number, &history->suspects_capacity,
                                    sizeof(*history->suspects));
    history->suspects[number] = (struct history__read_suspect){
        .partition = op->partition,
        .group = op->commit.group,
        .offset = offset,
        .read = history__attempt_of(op),
        .over = *over,
        .next = setting->suspect,
    };
    history->suspects_count++;
    setting->suspect = number + 1;
    return HISTORY_OK;
}

static const char *offset_text(struct history__text *text, uint64_t offset)
{
    if (offset == HISTORY__NO_OFFSET) return "no offset";
    snprintf(text->text, sizeof(text->text), "offset %" PRIu64, offset);
    return text->text;
}

static void report(struct history *history, const struct history__read_suspect *suspect)
{
    const char *partition = history__partition_name(history, suspect->partition);
    const char *group = history->group_names.texts[suspect->group];
    const char *read = offset_text(HISTORY__TEXT, suspect->offset);
    const char *reader = history__who_text(HISTORY__TEXT, history, &suspect->read);
    if (suspect->over.time == 0 && suspect->over.value == 0) {
        history__report(history, HISTORY_OFFSET_LOSS,
                        "%s: group %s: %s read %s, which nobody had committed", partition, group,
                        reader, read);
        return;
    }
    struct history__attempt over = history__attempt_of_step(&suspect->over);
    history__report(history, HISTORY_OFFSET_LOSS,
                    "%s: group %s: %s read %s, but %s had replaced it before, by %s", partition,
                    group, reader, read, offset_text(HISTORY__TEXT, suspect->over.detail),
                    history__who_text(HISTORY__TEXT, history, &over));
}

void history__finish_registers(struct history *history)
{
    for (uint32_t i = 0; i < history->suspects_count; i++) {
        if (!history->suspects[i].explained) report(history, &history->suspects[i]);
    }
}
