/* Reads: every message of an answer, the order within it, the session's place, what the answer should have known. */
#include "history_private.h"
#include "checker_memory.h"

#include <assert.h>
#include <inttypes.h>

static struct history__position *position_of(struct history *history, const struct history_op *op)
{
    uint64_t key = (uint64_t)op->session << 32 | op->partition;
    uint32_t number = id_map_get(&history->position_of, key);
    if (number == ID_MAP_NONE) {
        number = history->positions_count;
        history->positions = memory_grow(history->positions, number, &history->positions_capacity,
                                         sizeof(*history->positions));
        history->positions[number] = (struct history__position){.known = false};
        history->positions_count++;
        id_map_put(&history->position_of, key, number);
    }
    return &history->positions[number];
}

static bool runs_are_good(const struct history_op *op)
{
    for (uint32_t i = 0; i < op->fetch.runs_count; i++) {
        const struct history_run *run = &op->fetch.runs[i];
        if (!history__range_is_good(run->offset, run->value, run->count)) return false;
    }
    return true;
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

static struct history__attempt first_read(const struct history__message *message)
{
    return (struct history__attempt){
        .invoked = message->read_completed, /* only the end of a first read is kept */
        .completed = message->read_completed,
        .session = message->read_session,
        .node = message->read_node,
    };
}

static void report_inconsistent(struct history *history, const struct history_op *op,
                                uint64_t offset, uint64_t value, uint64_t earlier)
{
    struct history__partition *partition = &history->partitions[op->partition];
    const struct history__message *message = paged_find(&partition->messages, earlier);
    assert(message != NULL);
    struct history__attempt before = first_read(message), now = history__attempt_of(op);
    history__report(
        history, HISTORY_INCONSISTENT_OFFSETS,
        "%s: offset %" PRIu64 " holds value %s as read by %s, and value %s as read by %s",
        history__partition_name(history, op->partition), offset,
        history__value_text(HISTORY__TEXT, earlier),
        history__who_text(HISTORY__TEXT, history, &before),
        history__value_text(HISTORY__TEXT, value), history__who_text(HISTORY__TEXT, history, &now));
}

static void report_duplicate(struct history *history, const struct history_op *op, uint64_t offset,
                             uint64_t value, const struct history__message *message)
{
    struct history__attempt before = first_read(message), now = history__attempt_of(op);
    history__report(
        history, HISTORY_DUPLICATE,
        "%s: value %s was read at offset %" PRIu64 " by %s, and at offset %" PRIu64 " by %s",
        history__partition_name(history, op->partition), history__value_text(HISTORY__TEXT, value),
        message->read_offset, history__who_text(HISTORY__TEXT, history, &before), offset,
        history__who_text(HISTORY__TEXT, history, &now));
}

static void take_message(struct history *history, const struct history_op *op, uint64_t offset,
                         uint64_t value)
{
    struct history__partition *partition = &history->partitions[op->partition];
    struct history__place *place = paged_get(&partition->places, offset);
    struct history__message *message = paged_get(&partition->messages, value);
    if (!(message->flags & HISTORY__MESSAGE_READ)) {
        message->flags |= HISTORY__MESSAGE_READ;
        message->read_offset = offset;
        message->read_completed = op->completed;
        message->read_session = op->session;
        message->read_node = op->node;
    } else if (message->read_offset != offset && !(message->flags & HISTORY__MESSAGE_DUPLICATE)) {
        message->flags |= HISTORY__MESSAGE_DUPLICATE;
        report_duplicate(history, op, offset, value, message);
    }
    if (!(place->flags & HISTORY__PLACE_READ)) {
        place->flags |= HISTORY__PLACE_READ;
        place->read_value = value;
    } else if (place->read_value != value && !(place->flags & HISTORY__PLACE_INCONSISTENT)) {
        place->flags |= HISTORY__PLACE_INCONSISTENT;
        report_inconsistent(history, op, offset, value, place->read_value);
    }
}

static void take_messages(struct history *history, const struct history_op *op)
{
    struct history__partition *partition = &history->partitions[op->partition];
    for (uint32_t i = 0; i < op->fetch.runs_count; i++) {
        const struct history_run *run = &op->fetch.runs[i];
        for (uint32_t j = 0; j < run->count; j++) {
            take_message(history, op, run->offset + j, run->value + j);
        }
        uint64_t last = run->offset + run->count - 1;
        if (!partition->any_read || last > partition->read_highest) partition->read_highest = last;
        partition->any_read = true;
        history->totals.messages_read += run->count;
    }
}

/* ---- the order of polls ------------------------------------------------------------------------------------------ */

static void gap_add(struct history__partition *partition, uint64_t from, uint64_t to)
{
    assert(from < to);
    partition->gaps = memory_grow(partition->gaps, partition->gaps_count, &partition->gaps_capacity,
                                  sizeof(*partition->gaps));
    partition->gaps[partition->gaps_count++] = (struct history__gap){.from = from, .to = to};
}

static void report_poll(struct history *history, const struct history_op *op, const char *what,
                        uint64_t expected, uint64_t got)
{
    struct history__attempt now = history__attempt_of(op);
    history__report(history, HISTORY_NONMONOTONIC_POLL, "%s: %s %s: %s %" PRIu64 ", not %" PRIu64,
                    history__partition_name(history, op->partition),
                    history__who_text(HISTORY__TEXT, history, &now),
                    got > expected ? "skips messages" : "goes back", what, got, expected);
}

/* Inside one answer every run continues the one before. Returns the offset behind the highest message. */
static uint64_t check_inside(struct history *history, const struct history_op *op)
{
    const struct history_run *runs = op->fetch.runs;
    uint64_t end = runs[0].offset + runs[0].count;
    for (uint32_t i = 1; i < op->fetch.runs_count; i++) {
        if (runs[i].offset != end) {
            struct history__attempt now = history__attempt_of(op);
            history__report(history, HISTORY_INT_NONMONOTONIC_POLL,
                            "%s: one answer to %s %s from offset %" PRIu64 " to %" PRIu64,
                            history__partition_name(history, op->partition),
                            history__who_text(HISTORY__TEXT, history, &now),
                            runs[i].offset > end ? "skips" : "goes back", end - 1, runs[i].offset);
            if (runs[i].offset > end) {
                gap_add(&history->partitions[op->partition], end, runs[i].offset);
            }
        }
        uint64_t run_end = runs[i].offset + runs[i].count;
        if (run_end > end) end = run_end;
    }
    return end;
}

static void check_start(struct history *history, const struct history_op *op,
                        const struct history__position *position)
{
    uint64_t start = op->fetch.runs[0].offset;
    bool asked = op->fetch.from.known;
    if (asked && start > op->fetch.from.value) {
        gap_add(&history->partitions[op->partition], op->fetch.from.value, start);
    }
    if (position->known && start != position->offset) {
        report_poll(history, op, "the answer starts at offset", position->offset, start);
    } else if (asked && start != op->fetch.from.value) {
        report_poll(history, op, "the answer starts at offset", op->fetch.from.value, start);
    }
}

static void check_polls(struct history *history, const struct history_op *op,
                        struct history__position *position)
{
    bool empty = op->fetch.runs_count == 0;
    struct history_optional end = op->fetch.from;
    if (!empty) {
        check_start(history, op, position);
        end = history_known(check_inside(history, op));
    }
    struct history_optional next = op->fetch.next;
    bool moves = !empty || !position->known;
    if (end.known && next.known && next.value != end.value) {
        moves = true;
        report_poll(history, op, "the next fetch is to start at", end.value, next.value);
        if (next.value > end.value) {
            gap_add(&history->partitions[op->partition], end.value, next.value);
        }
        end = next;
    }
    if (!end.known) end = next;
    if (moves) {
        position->known = end.known;
        position->offset = end.value;
    }
}

/* ---- what the answer should have known ----------------------------------------------------------------------------- */

static void check_durable(struct history *history, const struct history_op *op, uint64_t read_end)
{
    if (!op->fetch.durable.known) return;
    uint64_t durable = op->fetch.durable.value;
    uint64_t told =
        op->fetch.end.known && op->fetch.end.value > read_end ? op->fetch.end.value : read_end;
    if (told <= durable) return;
    struct history__attempt now = history__attempt_of(op);
    history__report(history, HISTORY_PRECOMMITTED_READ,
                    "%s: %s %s offset %" PRIu64 ", but a majority had only those below %" PRIu64
                    " on disk",
                    history__partition_name(history, op->partition),
                    history__who_text(HISTORY__TEXT, history, &now),
                    told == read_end ? "read" : "was told the end behind", told - 1, durable);
}

static void report_stale(struct history *history, const struct history_op *op, const char *what,
                         uint64_t got, const struct timeline_step *known)
{
    struct history__attempt now = history__attempt_of(op);
    struct history__attempt before = history__attempt_of_step(known);
    history__report(history, HISTORY_STALE_READ,
                    "%s: %s %s %" PRIu64 ", but %" PRIu64 " was known to %s before that began",
                    history__partition_name(history, op->partition),
                    history__who_text(HISTORY__TEXT, history, &now), what, got, known->value,
                    history__who_text(HISTORY__TEXT, history, &before));
}

/* A linearizable answer knows every end, and every log start, that was known to anyone before it was asked for: an ack,
 * a message read, a high watermark told by any node. */
static void check_stale(struct history *history, const struct history_op *op,
                        struct history_optional end)
{
    if (op->fetch.local) return;
    struct history__partition *partition = &history->partitions[op->partition];
    const struct timeline_step *known = timeline_before(&partition->ends, op->invoked);
    if (known != NULL) {
        bool empty = op->kind == HISTORY_FETCH && op->fetch.runs_count == 0;
        bool missed = empty && op->fetch.from.known && op->fetch.from.value < known->value;
        if (end.known && end.value < known->value) {
            report_stale(history, op, "saw the log end at", end.value, known);
        } else if (missed) {
            report_stale(history, op, "saw nothing from offset", op->fetch.from.value, known);
        }
    }
    known = timeline_before(&partition->firsts, op->invoked);
    if (known != NULL && op->fetch.first.known && op->fetch.first.value < known->value) {
        report_stale(history, op, "saw the log start at", op->fetch.first.value, known);
    }
}

static void take_knowledge(struct history *history, const struct history_op *op, uint64_t read_end)
{
    struct history__partition *partition = &history->partitions[op->partition];
    /* Messages without an end told are no proof of staleness: the answer may have been cut short by its size. */
    struct history_optional end = op->fetch.end;
    if (end.known && read_end > end.value) end.value = read_end;
    check_stale(history, op, end);
    uint64_t told = end.known ? end.value : read_end;
    if (told > 0) {
        struct timeline_step step = history__step_of(op, told);
        timeline_raise(&partition->ends, &step);
    }
    if (op->fetch.first.known && op->fetch.first.value > 0) {
        struct timeline_step step = history__step_of(op, op->fetch.first.value);
        timeline_raise(&partition->firsts, &step);
    }
}

/* ---- operations ---------------------------------------------------------------------------------------------------- */

static bool carries_answer(const struct history_op *op)
{
    return op->fetch.runs_count > 0 || op->fetch.next.known || op->fetch.end.known ||
           op->fetch.first.known || op->fetch.durable.known;
}

enum history_status history__fetch(struct history *history, const struct history_op *op)
{
    bool ok = op->outcome == HISTORY_OUTCOME_OK;
    if (!ok && carries_answer(op)) return HISTORY_ANSWER_WITHOUT_OK;
    if (!runs_are_good(op)) return HISTORY_BAD_RANGE;
    struct history__position *position = position_of(history, op);
    if (op->invoked < position->fetch_completed) return HISTORY_SESSION_OVERLAP;

    position->fetch_completed = op->completed;
    if (op->fetch.seek) {
        position->known = op->fetch.from.known;
        position->offset = op->fetch.from.value;
    }
    if (!ok) {
        history->totals.fetches_not_ok++;
        return HISTORY_OK;
    }
    history->totals.fetches_ok++;
    check_polls(history, op, position);
    take_messages(history, op);
    uint64_t read_end = 0;
    for (uint32_t i = 0; i < op->fetch.runs_count; i++) {
        uint64_t run_end = op->fetch.runs[i].offset + op->fetch.runs[i].count;
        if (run_end > read_end) read_end = run_end;
    }
    check_durable(history, op, read_end);
    take_knowledge(history, op, read_end);
    return HISTORY_OK;
}

enum history_status history__offsets(struct history *history, const struct history_op *op)
{
    if (op->outcome != HISTORY_OUTCOME_OK) {
        return carries_answer(op) ? HISTORY_ANSWER_WITHOUT_OK : HISTORY_OK;
    }
    if (!op->fetch.end.known && !op->fetch.first.known) return HISTORY_ANSWER_MISSING;
    history->totals.fetches_ok++;
    check_durable(history, op, 0);
    take_knowledge(history, op, 0);
    return HISTORY_OK;
}
