/* Sends and acks. A batch is one record for all its attempts: the earliest that may have had its effect, the first ack,
 * the first definite failure. */
#include "history_private.h"
#include "checker_memory.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* Exactly the batch's values, in order. */
static bool ack_is_whole(const struct history_op *op)
{
    uint64_t told = 0;
    for (uint32_t i = 0; i < op->produce.runs_count; i++) {
        const struct history_run *run = &op->produce.runs[i];
        if (!history__range_is_good(run->offset, run->value, run->count)) return false;
        if (run->value != op->produce.value + told) return false;
        told += run->count;
    }
    return told == op->produce.count;
}

static bool same_identity(const struct history__batch *batch, const struct history_op *op)
{
    return batch->producer == op->produce.producer && batch->epoch == op->produce.epoch &&
           batch->sequence == op->produce.sequence;
}

static enum history_status check_resend(const struct history__batch *batch,
                                        const struct history_op *op)
{
    bool had_producer = (batch->flags & HISTORY__BATCH_PRODUCER) != 0;
    if (batch->value != op->produce.value || batch->count != op->produce.count) {
        return HISTORY_VALUE_REUSED;
    }
    if (had_producer != op->produce.has_producer) return HISTORY_RESENT;
    if (had_producer) return same_identity(batch, op) ? HISTORY_OK : HISTORY_RESENT;
    /* Without a producer id nothing tells a retry from a second message. */
    bool harmless =
        op->outcome == HISTORY_OUTCOME_FAIL || !(batch->flags & HISTORY__BATCH_POSSIBLE);
    return harmless ? HISTORY_OK : HISTORY_RESENT;
}

static enum history_status check(struct history__partition *partition, const struct history_op *op,
                                 uint32_t *ret_batch)
{
    bool ok = op->outcome == HISTORY_OUTCOME_OK;
    if (!ok && op->produce.runs_count > 0) return HISTORY_ANSWER_WITHOUT_OK;
    if (!history__range_is_good(0, op->produce.value, op->produce.count)) return HISTORY_BAD_RANGE;
    if (ok && !ack_is_whole(op)) return HISTORY_BAD_ACK;
    const struct history__message *first = paged_find(&partition->messages, op->produce.value);
    if (first != NULL && first->batch != 0) {
        *ret_batch = first->batch - 1;
        return check_resend(&partition->batches[*ret_batch], op);
    }
    for (uint32_t i = 1; i < op->produce.count; i++) {
        const struct history__message *message =
            paged_find(&partition->messages, op->produce.value + i);
        if (message != NULL && message->batch != 0) return HISTORY_VALUE_REUSED;
    }
    *ret_batch = ID_MAP_NONE;
    return HISTORY_OK;
}

static uint32_t batch_add(struct history__partition *partition, const struct history_op *op)
{
    uint32_t number = partition->batches_count;
    partition->batches = memory_grow(partition->batches, number, &partition->batches_capacity,
                                     sizeof(*partition->batches));
    partition->batches[number] = (struct history__batch){
        .value = op->produce.value,
        .count = op->produce.count,
        .producer = op->produce.producer,
        .epoch = op->produce.epoch,
        .sequence = op->produce.sequence,
        .flags = op->produce.has_producer ? HISTORY__BATCH_PRODUCER : 0,
    };
    partition->batches_count++;
    for (uint32_t i = 0; i < op->produce.count; i++) {
        struct history__message *message = paged_get(&partition->messages, op->produce.value + i);
        assert(message->batch == 0);
        message->batch = number + 1;
    }
    return number;
}

/* ---- places ---------------------------------------------------------------------------------------------------- */

static void report_two_acks(struct history *history, const struct history_op *op, uint64_t offset,
                            uint64_t value, uint64_t earlier)
{
    struct history__partition *partition = &history->partitions[op->partition];
    const struct history__message *message = paged_find(&partition->messages, earlier);
    assert(message != NULL && message->batch != 0);
    struct history__attempt ack = history__attempt_of(op);
    history__report(
        history, HISTORY_INCONSISTENT_OFFSETS,
        "%s: offset %" PRIu64 " was acked for value %s to %s, and for value %s to %s",
        history__partition_name(history, op->partition), offset,
        history__value_text(HISTORY__TEXT, earlier),
        history__who_text(HISTORY__TEXT, history, &partition->batches[message->batch - 1].ack),
        history__value_text(HISTORY__TEXT, value), history__who_text(HISTORY__TEXT, history, &ack));
}

static void take_places(struct history *history, const struct history_op *op)
{
    struct history__partition *partition = &history->partitions[op->partition];
    for (uint32_t i = 0; i < op->produce.runs_count; i++) {
        const struct history_run *run = &op->produce.runs[i];
        for (uint32_t j = 0; j < run->count; j++) {
            struct history__place *place = paged_get(&partition->places, run->offset + j);
            uint64_t value = run->value + j;
            if (!(place->flags & HISTORY__PLACE_ACKED)) {
                place->flags |= HISTORY__PLACE_ACKED;
                place->acked_value = value;
            } else if (place->acked_value != value &&
                       !(place->flags & HISTORY__PLACE_INCONSISTENT)) {
                place->flags |= HISTORY__PLACE_INCONSISTENT;
                report_two_acks(history, op, run->offset + j, value, place->acked_value);
            }
        }
    }
}

/* An ack of several runs: they must continue one another. */
static void check_contiguous(struct history *history, const struct history_op *op,
                             struct history__batch *batch)
{
    const struct history_run *runs = op->produce.runs;
    for (uint32_t i = 1; i < op->produce.runs_count; i++) {
        uint64_t expected = runs[i - 1].offset + runs[i - 1].count;
        if (runs[i].offset == expected) continue;
        batch->flags |= HISTORY__BATCH_TORN_APART;
        struct history__attempt ack = history__attempt_of(op);
        history__report(history, HISTORY_INT_NONMONOTONIC_SEND,
                        "%s: the ack of %s to %s %s: value %s at offset %" PRIu64
                        ", the one before it at %" PRIu64,
                        history__partition_name(history, op->partition),
                        history__values_text(HISTORY__TEXT, batch->value, batch->count),
                        history__who_text(HISTORY__TEXT, history, &ack),
                        runs[i].offset > expected ? "skips" : "goes back",
                        history__value_text(HISTORY__TEXT, runs[i].value), runs[i].offset,
                        expected - 1);
        return;
    }
}

/* ---- the order of sending --------------------------------------------------------------------------------------- */

static struct history__producer *producer_of(struct history__partition *partition, uint64_t id)
{
    uint32_t number = id_map_get(&partition->producer_of_id, id);
    if (number == ID_MAP_NONE) {
        number = partition->producers_count;
        partition->producers =
            memory_grow(partition->producers, number, &partition->producers_capacity,
                        sizeof(*partition->producers));
        partition->producers[number].batches_count = 0;
        partition->producers_count++;
        id_map_put(&partition->producer_of_id, id, number);
    }
    return &partition->producers[number];
}

static bool sent_before(const struct history__batch *a, const struct history__batch *b)
{
    return a->epoch != b->epoch ? a->epoch < b->epoch : a->sequence < b->sequence;
}

static void check_pair(struct history *history, uint32_t partition,
                       const struct history__batch *earlier, struct history__batch *later)
{
    if (!sent_before(earlier, later)) return; /* one sequence for two batches: no order to hold */
    if (earlier->base <= later->base) return; /* equal: two values at one offset */
    if (later->flags & HISTORY__BATCH_MISORDERED) return;
    later->flags |= HISTORY__BATCH_MISORDERED;
    history__report(history, HISTORY_NONMONOTONIC_SEND,
                    "%s: producer %" PRIu64 " got offset %" PRIu64 " for sequence %" PRIu64
                    " of epoch %" PRIu32 " (value %s, %s), and the lower offset %" PRIu64
                    " for the later sequence %" PRIu64 " of epoch %" PRIu32 " (value %s, %s)",
                    history__partition_name(history, partition), later->producer, earlier->base,
                    earlier->sequence, earlier->epoch,
                    history__value_text(HISTORY__TEXT, earlier->value),
                    history__who_text(HISTORY__TEXT, history, &earlier->ack), later->base,
                    later->sequence, later->epoch, history__value_text(HISTORY__TEXT, later->value),
                    history__who_text(HISTORY__TEXT, history, &later->ack));
}

/* Insert the batch among the producer's last ones and compare it with its neighbours: if any two acks are out of order,
 * then some two neighbours are, and the later inserted of the two finds it. */
static void check_sequence(struct history *history, uint32_t partition_number, uint32_t number)
{
    struct history__partition *partition = &history->partitions[partition_number];
    struct history__batch *batches = partition->batches, *batch = &batches[number];
    struct history__producer *producer = producer_of(partition, batch->producer);
    uint32_t at = producer->batches_count;
    while (at > 0 && sent_before(batch, &batches[producer->batches[at - 1]])) {
        at--;
    }
    if (at > 0) check_pair(history, partition_number, &batches[producer->batches[at - 1]], batch);
    if (at < producer->batches_count) {
        check_pair(history, partition_number, batch, &batches[producer->batches[at]]);
    }
    if (producer->batches_count == HISTORY__WINDOW) {
        if (at == 0) return; /* older than all that are kept */
        memmove(producer->batches, producer->batches + 1, (at - 1) * sizeof(uint32_t));
        producer->batches[at - 1] = number;
        return;
    }
    memmove(producer->batches + at + 1, producer->batches + at,
            (producer->batches_count - at) * sizeof(uint32_t));
    producer->batches[at] = number;
    producer->batches_count++;
}

/* A log grows at its end: a batch sent after offset n was known gets one above n, whoever sent it. An attempt that is not
 * recorded yet may have been earlier, so finish() decides. */
static void check_real_time(struct history__partition *partition, uint32_t number)
{
    const struct history__batch *batch = &partition->batches[number];
    const struct timeline_step *known = timeline_before(&partition->ends, batch->possible_invoked);
    if (known == NULL || batch->base >= known->value) return;
    partition->suspects = memory_grow(partition->suspects, partition->suspects_count,
                                      &partition->suspects_capacity, sizeof(*partition->suspects));
    partition->suspects[partition->suspects_count++] = number;
}

/* ---- acks ------------------------------------------------------------------------------------------------------- */

static void take_first_ack(struct history *history, const struct history_op *op, uint32_t number)
{
    struct history__partition *partition = &history->partitions[op->partition];
    struct history__batch *batch = &partition->batches[number];
    batch->flags |= HISTORY__BATCH_ACKED;
    batch->base = op->produce.runs[0].offset;
    batch->ack = history__attempt_of(op);
    check_contiguous(history, op, batch);
    take_places(history, op);
    if (batch->flags & HISTORY__BATCH_PRODUCER) check_sequence(history, op->partition, number);
    check_real_time(partition, number);
    uint64_t end = 0;
    for (uint32_t i = 0; i < op->produce.runs_count; i++) {
        uint64_t run_end = op->produce.runs[i].offset + op->produce.runs[i].count;
        if (run_end > end) end = run_end;
    }
    timeline_raise(&partition->ends, &(struct timeline_step){
                                         .time = op->completed,
                                         .value = end,
                                         .invoked = op->invoked,
                                         .session = op->session,
                                         .node = op->node,
                                     });
}

static void take_repeated_ack(struct history *history, const struct history_op *op,
                              struct history__batch *batch)
{
    uint64_t base = op->produce.runs[0].offset;
    if (base == batch->base || batch->flags & HISTORY__BATCH_DEDUP_BREACH) return;
    batch->flags |= HISTORY__BATCH_DEDUP_BREACH;
    struct history__attempt again = history__attempt_of(op);
    history__report(history, HISTORY_DEDUP_BREACH,
                    "%s: %s of producer %" PRIu64 " (epoch %" PRIu32 ", sequence %" PRIu64
                    ") were acked at offset %" PRIu64 " to %s, and again at offset %" PRIu64
                    " to %s",
                    history__partition_name(history, op->partition),
                    history__values_text(HISTORY__TEXT, batch->value, batch->count),
                    batch->producer, batch->epoch, batch->sequence, batch->base,
                    history__who_text(HISTORY__TEXT, history, &batch->ack), base,
                    history__who_text(HISTORY__TEXT, history, &again));
}

enum history_status history__produce(struct history *history, const struct history_op *op)
{
    struct history__partition *partition = &history->partitions[op->partition];
    uint32_t number;
    enum history_status status = check(partition, op, &number);
    if (status != HISTORY_OK) return status;
    if (number == ID_MAP_NONE) number = batch_add(partition, op);
    struct history__batch *batch = &partition->batches[number];
    if (op->outcome == HISTORY_OUTCOME_FAIL) {
        history->totals.produces_fail++;
        if (!(batch->flags & HISTORY__BATCH_FAILED) || op->invoked < batch->fail.invoked) {
            batch->fail = history__attempt_of(op);
        }
        batch->flags |= HISTORY__BATCH_FAILED;
        return HISTORY_OK;
    }
    if (!(batch->flags & HISTORY__BATCH_POSSIBLE) || op->invoked < batch->possible_invoked) {
        batch->possible_invoked = op->invoked;
    }
    batch->flags |= HISTORY__BATCH_POSSIBLE;
    if (op->outcome == HISTORY_OUTCOME_UNKNOWN) {
        history->totals.produces_unknown++;
        return HISTORY_OK;
    }
    history->totals.produces_ok++;
    if (batch->flags & HISTORY__BATCH_ACKED) {
        take_repeated_ack(history, op, batch);
    } else {
        take_first_ack(history, op, number);
    }
    return HISTORY_OK;
}
