/* A clean history with one thing changed, as a broken log would change it, is not clean any more: for every class, at
 * random places of histories of the model. */
#include "model.h"

#include "checker_memory.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS   60
#define APPLIED 20 /* of them, at least: a mutation that finds no place proves nothing */

/* Values that the model never sends. */
#define STRANGE (UINT64_C(0x7fffffff) << 32)

/* ---- tools ------------------------------------------------------------------------------------------------------ */

static bool is_ok(const struct history_op *op, enum history_kind kind)
{
    return op->kind == kind && op->outcome == HISTORY_OUTCOME_OK;
}

static void fetch_replace(struct history_op *op, struct history_run *runs, uint32_t count)
{
    uint32_t old;
    free(recording_runs(op, &old));
    op->fetch.runs = runs;
    op->fetch.runs_count = count;
}

/* One run per message in every answer, so that messages can be changed one by one. */
static void explode(struct recording *recording)
{
    for (uint32_t i = 0; i < recording->ops_count; i++) {
        struct history_op *op = &recording->ops[i];
        if (!is_ok(op, HISTORY_FETCH) || op->fetch.runs_count == 0) continue;
        uint32_t messages = 0;
        for (uint32_t j = 0; j < op->fetch.runs_count; j++) {
            messages += op->fetch.runs[j].count;
        }
        struct history_run *runs = memory_array(messages, sizeof(*runs));
        uint32_t count = 0;
        for (uint32_t j = 0; j < op->fetch.runs_count; j++) {
            const struct history_run *run = &op->fetch.runs[j];
            for (uint32_t k = 0; k < run->count; k++) {
                runs[count++] = (struct history_run){run->offset + k, run->value + k, 1};
            }
        }
        fetch_replace(op, runs, count);
    }
}

/* In every answer of the partition, `from` reads `to`. Returns how often. */
static uint32_t replace_value(struct recording *recording, uint32_t partition, uint64_t from,
                              uint64_t to)
{
    uint32_t replaced = 0;
    for (uint32_t i = 0; i < recording->ops_count; i++) {
        struct history_op *op = &recording->ops[i];
        if (!is_ok(op, HISTORY_FETCH) || op->partition != partition) continue;
        uint32_t count;
        struct history_run *runs = recording_runs(op, &count);
        for (uint32_t j = 0; j < count; j++) {
            if (runs[j].value != from) continue;
            runs[j].value = to;
            replaced++;
        }
    }
    return replaced;
}

/* An operation before all others: a send whose outcome is unknown, so its values may be read anywhere. */
static void add_unknown_send(struct recording *recording, uint32_t partition, uint32_t count)
{
    struct history_op op = {
        .kind = HISTORY_PRODUCE,
        .outcome = HISTORY_OUTCOME_UNKNOWN,
        .partition = partition,
        .produce = {.value = STRANGE, .count = count},
    };
    recording_add(recording, &op);
    struct history_op added = recording->ops[recording->ops_count - 1];
    memmove(recording->ops + 1, recording->ops, (recording->ops_count - 1) * sizeof(added));
    recording->ops[0] = added;
}

static uint64_t after_all(const struct recording *recording)
{
    return recording->ops[recording->ops_count - 1].completed + 1;
}

/* A random operation for which `fits` holds; NULL when there is none. */
typedef bool fits_fn(const struct recording *recording, const struct history_op *op);

static struct history_op *pick(struct recording *recording, struct dice *dice, fits_fn *fits)
{
    uint32_t start = dice_below(dice, recording->ops_count);
    for (uint32_t i = 0; i < recording->ops_count; i++) {
        struct history_op *op = &recording->ops[(start + i) % recording->ops_count];
        if (fits(recording, op)) return op;
    }
    return NULL;
}

/* How many of the batch's messages the final drain read. */
static uint32_t drained_count(const struct recording *recording, const struct history_op *produce)
{
    uint32_t read = 0;
    for (uint32_t i = 0; i < recording->ops_count; i++) {
        const struct history_op *op = &recording->ops[i];
        if (!is_ok(op, HISTORY_FETCH) || op->session != recording->sessions_count - 1) continue;
        if (op->partition != produce->partition) continue;
        for (uint32_t j = 0; j < op->fetch.runs_count; j++) {
            uint64_t value = op->fetch.runs[j].value;
            read += value >= produce->produce.value &&
                    value < produce->produce.value + produce->produce.count;
        }
    }
    return read;
}

static bool acked_and_read(const struct recording *recording, const struct history_op *op)
{
    return is_ok(op, HISTORY_PRODUCE) && drained_count(recording, op) == op->produce.count;
}

static bool acked_pair_and_read(const struct recording *recording, const struct history_op *op)
{
    return acked_and_read(recording, op) && op->produce.count >= 2;
}

static bool several_read(const struct recording *recording, const struct history_op *op)
{
    (void)recording;
    return is_ok(op, HISTORY_FETCH) && op->fetch.runs_count >= 3;
}

/* ---- what a broken log does ---------------------------------------------------------------------------------------- */

static bool lose_write(struct recording *recording, struct dice *dice)
{
    const struct history_op *picked = pick(recording, dice, acked_and_read);
    if (picked == NULL) return false;
    struct history_op op = *picked;
    for (uint32_t i = 0; i < op.produce.count; i++) {
        uint32_t replaced =
            replace_value(recording, op.partition, op.produce.value + i, STRANGE + i);
        cr_assert_gt(replaced, 0);
    }
    add_unknown_send(recording, op.partition, op.produce.count);
    return true;
}

static bool lose_tail(struct recording *recording, struct dice *dice)
{
    /* The last acked batch vanishes from every answer, and every end that was told with it. */
    uint32_t partition = dice_below(dice, recording->partitions_count);
    const struct history_op *last = NULL;
    for (uint32_t i = 0; i < recording->ops_count; i++) {
        const struct history_op *op = &recording->ops[i];
        if (op->partition != partition || !acked_and_read(recording, op)) continue;
        if (last == NULL || op->produce.runs[0].offset > last->produce.runs[0].offset) last = op;
    }
    if (last == NULL) return false;
    uint64_t base = last->produce.runs[0].offset;
    for (uint32_t i = 0; i < recording->ops_count; i++) {
        struct history_op *op = &recording->ops[i];
        if (op->kind == HISTORY_PRODUCE || op->partition != partition) continue;
        while (op->fetch.runs_count > 0 &&
               op->fetch.runs[op->fetch.runs_count - 1].offset >= base) {
            op->fetch.runs_count--;
        }
        op->fetch.next.known = op->fetch.end.known = false;
    }
    return true;
}

static bool store_twice(struct recording *recording, struct dice *dice)
{
    struct history_op *op = pick(recording, dice, several_read);
    if (op == NULL) return false;
    uint32_t count;
    struct history_run *runs = recording_runs(op, &count);
    runs[count - 1].value = runs[0].value;
    return true;
}

static bool was_read_elsewhere(const struct recording *recording, const struct history_op *op)
{
    if (!is_ok(op, HISTORY_FETCH) || op->fetch.runs_count == 0) return false;
    for (uint32_t i = 0; i < recording->ops_count; i++) {
        const struct history_op *other = &recording->ops[i];
        if (other == op || !is_ok(other, HISTORY_FETCH)) continue;
        if (other->partition != op->partition) continue;
        for (uint32_t j = 0; j < other->fetch.runs_count; j++) {
            if (other->fetch.runs[j].offset == op->fetch.runs[0].offset) return true;
        }
    }
    return false;
}

static bool part_logs(struct recording *recording, struct dice *dice)
{
    struct history_op *op = pick(recording, dice, was_read_elsewhere);
    if (op == NULL) return false;
    uint32_t count, partition = op->partition;
    recording_runs(op, &count)[0].value = STRANGE;
    add_unknown_send(recording, partition, 1);
    return true;
}

static bool append_refused(struct recording *recording, struct dice *dice)
{
    const struct history_op *picked = pick(recording, dice, acked_and_read);
    if (picked == NULL) return false;
    uint64_t value = picked->produce.value;
    for (uint32_t i = 0; i < recording->ops_count; i++) {
        struct history_op *op = &recording->ops[i];
        if (op->kind != HISTORY_PRODUCE || op->produce.value != value) continue;
        uint32_t count;
        free(recording_runs(op, &count));
        op->produce.runs = NULL;
        op->produce.runs_count = 0;
        op->outcome = HISTORY_OUTCOME_FAIL;
    }
    return true;
}

static bool serve_early(struct recording *recording, struct dice *dice)
{
    struct history_op *op = pick(recording, dice, several_read);
    if (op == NULL) return false;
    op->fetch.durable = history_known(op->fetch.runs[op->fetch.runs_count - 1].offset);
    return true;
}

static bool tear_batch(struct recording *recording, struct dice *dice)
{
    const struct history_op *picked = pick(recording, dice, acked_pair_and_read);
    if (picked == NULL) return false;
    struct history_op op = *picked;
    uint64_t last = op.produce.value + op.produce.count - 1;
    cr_assert_gt(replace_value(recording, op.partition, last, STRANGE), 0);
    add_unknown_send(recording, op.partition, 1);
    return true;
}

/* A fetch that goes on where the session's last one ended. */
static bool goes_on(const struct recording *recording, const struct history_op *op)
{
    if (!several_read(recording, op) || op->fetch.seek) return false;
    for (const struct history_op *at = op; at > recording->ops;) {
        at--;
        if (at->session != op->session || !is_ok(at, HISTORY_FETCH)) continue;
        if (at->partition == op->partition) return at->fetch.runs_count > 0;
    }
    return false;
}

static bool skip_poll(struct recording *recording, struct dice *dice)
{
    struct history_op *op = pick(recording, dice, goes_on);
    if (op == NULL) return false;
    op->fetch.from.known = dice_chance(dice, 50);
    uint32_t count;
    struct history_run *runs = recording_runs(op, &count);
    memmove(runs, runs + 1, (count - 1) * sizeof(*runs));
    op->fetch.runs_count--;
    return true;
}

static bool repeat_poll(struct recording *recording, struct dice *dice)
{
    struct history_op *op = pick(recording, dice, goes_on);
    if (op == NULL) return false;
    /* What the session got last comes again, by itself. */
    const struct history_op *before = op - 1;
    while (before->session != op->session || !is_ok(before, HISTORY_FETCH)) {
        before--;
    }
    struct history_run *run = memory_array(1, sizeof(*run));
    *run = before->fetch.runs[before->fetch.runs_count - 1];
    fetch_replace(op, run, 1);
    op->fetch.next.known = false;
    return true;
}

static bool skip_inside(struct recording *recording, struct dice *dice)
{
    struct history_op *op = pick(recording, dice, several_read);
    if (op == NULL) return false;
    uint32_t count;
    struct history_run *runs = recording_runs(op, &count);
    uint32_t at = 1 + dice_below(dice, count - 2);
    memmove(runs + at, runs + at + 1, (count - at - 1) * sizeof(*runs));
    op->fetch.runs_count--;
    return true;
}

static bool repeat_inside(struct recording *recording, struct dice *dice)
{
    struct history_op *op = pick(recording, dice, several_read);
    if (op == NULL) return false;
    uint32_t count;
    struct history_run *runs = recording_runs(op, &count);
    uint32_t at = 1 + dice_below(dice, count - 2);
    struct history_run first = runs[at];
    runs[at] = runs[at + 1];
    runs[at + 1] = first;
    return true;
}

/* Two batches of one producer change places, in acks and reads alike. */
static bool swap_sends(struct recording *recording, struct dice *dice)
{
    struct history_op *a = pick(recording, dice, acked_and_read), *b = NULL;
    if (a == NULL || !a->produce.has_producer) return false;
    for (uint32_t i = 0; i < recording->ops_count && b == NULL; i++) {
        struct history_op *op = &recording->ops[i];
        if (op->session == a->session && op->produce.value != a->produce.value &&
            acked_and_read(recording, op) && op->produce.count == a->produce.count) {
            b = op;
        }
    }
    if (b == NULL) return false;
    uint64_t base_a = a->produce.runs[0].offset, base_b = b->produce.runs[0].offset;
    uint64_t value_a = a->produce.value, value_b = b->produce.value;
    uint32_t partition = a->partition, batch = a->produce.count;
    for (uint32_t i = 0; i < recording->ops_count; i++) {
        struct history_op *op = &recording->ops[i];
        if (!is_ok(op, HISTORY_PRODUCE)) continue;
        uint32_t count;
        struct history_run *runs = recording_runs(op, &count);
        for (uint32_t j = 0; j < count; j++) {
            if (op->produce.value == value_a) runs[j].offset += base_b - base_a;
            if (op->produce.value == value_b) runs[j].offset += base_a - base_b;
        }
    }
    for (uint32_t i = 0; i < batch; i++) {
        replace_value(recording, partition, value_a + i, STRANGE);
        replace_value(recording, partition, value_b + i, value_a + i);
        replace_value(recording, partition, STRANGE, value_b + i);
    }
    return true;
}

static bool shuffle_batch(struct recording *recording, struct dice *dice)
{
    const struct history_op *picked = pick(recording, dice, acked_pair_and_read);
    if (picked == NULL) return false;
    struct history_op op = *picked;
    replace_value(recording, op.partition, op.produce.value, STRANGE);
    replace_value(recording, op.partition, op.produce.value + 1, op.produce.value);
    replace_value(recording, op.partition, STRANGE, op.produce.value + 1);
    return true;
}

/* The end that was acked before the operation began. */
static uint64_t acked_end_before(const struct recording *recording, const struct history_op *op)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < recording->ops_count; i++) {
        const struct history_op *ack = &recording->ops[i];
        if (!is_ok(ack, HISTORY_PRODUCE) || ack->partition != op->partition) continue;
        if (ack->completed >= op->invoked) continue;
        uint64_t ack_end = ack->produce.runs[0].offset + ack->produce.count;
        if (ack_end > end) end = ack_end;
    }
    return end;
}

static bool could_be_stale(const struct recording *recording, const struct history_op *op)
{
    return is_ok(op, HISTORY_FETCH) && !op->fetch.local && acked_end_before(recording, op) > 0;
}

static bool answer_stale(struct recording *recording, struct dice *dice)
{
    struct history_op *op = pick(recording, dice, could_be_stale);
    if (op == NULL) return false;
    fetch_replace(op, NULL, 0);
    op->fetch.next.known = false;
    op->fetch.end = history_known(acked_end_before(recording, op) - 1);
    return true;
}

static bool answer_empty(struct recording *recording, struct dice *dice)
{
    struct history_op *op = pick(recording, dice, could_be_stale);
    if (op == NULL || op->fetch.from.value >= acked_end_before(recording, op)) return false;
    fetch_replace(op, NULL, 0);
    op->fetch.next.known = op->fetch.end.known = false;
    return true;
}

static bool reads_committed(const struct recording *recording, const struct history_op *op)
{
    (void)recording;
    return is_ok(op, HISTORY_COMMITTED);
}

static bool invent_offset(struct recording *recording, struct dice *dice)
{
    struct history_op *op = pick(recording, dice, reads_committed);
    if (op == NULL) return false;
    op->commit.offset = history_known(777);
    return true;
}

/* A read returns what an earlier acked commit set and a later one, that ended before the read began, replaced. */
static bool lose_offset(struct recording *recording, struct dice *dice)
{
    struct history_op *picked = pick(recording, dice, reads_committed);
    if (picked == NULL) return false;
    uint64_t now = after_all(recording);
    struct history_op op = *picked;
    for (uint32_t i = 0; i < 3; i++) {
        op.kind = i < 2 ? HISTORY_COMMIT : HISTORY_COMMITTED;
        op.invoked = now++;
        op.completed = now++;
        op.commit.offset = history_known(i == 1 ? 1001 : 1000);
        recording_add(recording, &op);
    }
    return true;
}

static bool acked_idempotent(const struct recording *recording, const struct history_op *op)
{
    (void)recording;
    return is_ok(op, HISTORY_PRODUCE) && op->produce.has_producer;
}

static bool forget_producer(struct recording *recording, struct dice *dice)
{
    const struct history_op *picked = pick(recording, dice, acked_idempotent);
    if (picked == NULL) return false;
    struct history_op op = *picked;
    struct history_run run = {
        .offset = 100000, .value = op.produce.value, .count = op.produce.count};
    op.invoked = op.completed = after_all(recording);
    op.produce.runs = &run;
    op.produce.runs_count = 1;
    recording_add(recording, &op);
    return true;
}

static bool invent_message(struct recording *recording, struct dice *dice)
{
    struct history_op *op = pick(recording, dice, several_read);
    if (op == NULL) return false;
    uint32_t count;
    struct history_run *runs = recording_runs(op, &count);
    runs[dice_below(dice, count)].value = STRANGE;
    return true;
}

/* ---- the test ---------------------------------------------------------------------------------------------------------- */

static const struct mutation {
    const char *name;
    enum history_anomaly anomaly;
    bool alone; /* nothing else is wrong */
    bool (*apply)(struct recording *recording, struct dice *dice);
} mutations[] = {
    {"lose_write", HISTORY_LOST_WRITE, true, lose_write},
    {"lose_tail", HISTORY_UNSEEN, false, lose_tail},
    {"store_twice", HISTORY_DUPLICATE, false, store_twice},
    {"part_logs", HISTORY_INCONSISTENT_OFFSETS, false, part_logs},
    {"append_refused", HISTORY_ABORTED_READ, true, append_refused},
    {"serve_early", HISTORY_PRECOMMITTED_READ, true, serve_early},
    {"tear_batch", HISTORY_TORN_BATCH, true, tear_batch},
    {"skip_poll", HISTORY_NONMONOTONIC_POLL, false, skip_poll},
    {"repeat_poll", HISTORY_NONMONOTONIC_POLL, false, repeat_poll},
    {"skip_inside", HISTORY_INT_NONMONOTONIC_POLL, false, skip_inside},
    {"repeat_inside", HISTORY_INT_NONMONOTONIC_POLL, false, repeat_inside},
    {"swap_sends", HISTORY_NONMONOTONIC_SEND, false, swap_sends},
    {"shuffle_batch", HISTORY_INT_NONMONOTONIC_SEND, true, shuffle_batch},
    {"answer_stale", HISTORY_STALE_READ, false, answer_stale},
    {"answer_empty", HISTORY_STALE_READ, false, answer_empty},
    {"invent_offset", HISTORY_OFFSET_LOSS, true, invent_offset},
    {"lose_offset", HISTORY_OFFSET_LOSS, true, lose_offset},
    {"forget_producer", HISTORY_DEDUP_BREACH, true, forget_producer},
    {"invent_message", HISTORY_PHANTOM, false, invent_message},
};
#define MUTATIONS_COUNT (sizeof(mutations) / sizeof(mutations[0]))

/* Returns whether the mutation found its place. */
static bool try_mutation(const struct mutation *mutation, const struct recording *clean,
                         uint64_t seed)
{
    struct recording recording = recording_copy(clean);
    struct dice dice = {.state = seed * MUTATIONS_COUNT + (uint64_t)(mutation - mutations)};
    bool applied = mutation->apply(&recording, &dice);
    if (applied) {
        struct history *history = history_create(&(struct history_options){0});
        enum history_status status = recording_judge(&recording, history);
        cr_assert_eq(status, HISTORY_OK, "seed %lu, %s: %s", (unsigned long)seed, mutation->name,
                     history_status_text(status));
        uint64_t found = history_anomaly_count(history, mutation->anomaly);
        cr_expect_gt(found, 0, "seed %lu: %s is not called %s", (unsigned long)seed, mutation->name,
                     history_anomaly_name(mutation->anomaly));
        if (mutation->alone && found != history_anomalies(history)) {
            history_print(history, stderr);
            cr_expect_fail("seed %lu: %s is called more than %s", (unsigned long)seed,
                           mutation->name, history_anomaly_name(mutation->anomaly));
        }
        history_destroy(history);
    }
    recording_close(&recording);
    return applied;
}

Test(history_mutation, what_a_broken_log_does_to_a_clean_history_is_found, .timeout = 240)
{
    uint32_t applied[MUTATIONS_COUNT] = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct model_options options = model_options_draw(seed);
        options.operations = 300;
        struct recording clean = model_run(&options);
        explode(&clean);
        for (size_t i = 0; i < MUTATIONS_COUNT; i++) {
            applied[i] += try_mutation(&mutations[i], &clean, seed);
        }
        recording_close(&clean);
    }
    for (size_t i = 0; i < MUTATIONS_COUNT; i++) {
        cr_log_info("%s: %u times", mutations[i].name, applied[i]);
        cr_expect_geq(applied[i], APPLIED, "%s was applied only %u times", mutations[i].name,
                      applied[i]);
    }
}
