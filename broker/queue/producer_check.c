/* The judgement over an idempotent batch before it is appended (PROTOCOL P1, P2). Reads only.
 *
 * A producer's *history* is what its newest epoch wrote, oldest first: the batches kept in the applied state, then
 * those of the overlay. Sequences have 31 bits and wrap, so places are compared as distances within the history, never
 * as numbers:
 *
 *     | written before, offsets forgotten | kept, applied | in flight |  next
 *     |<------- records_before ---------->|<- batches --------------->|
 */
#include "partition_state.h"

#include <planted/planted.h>

#include <assert.h>

#define HISTORY_BATCHES_MAX (2u * PARTITION_BATCHES_KEPT)

/* A distance above it cannot be told from the same place one turn of the sequence earlier or later. */
#define SEQUENCE_BEHIND_MAX (SEQUENCE_MASK / 2u)

struct history {
    int16_t epoch;
    uint64_t records_before;
    uint32_t batches_count; /* >= 1 */
    struct history_batch {
        struct producer_batch batch;
        uint64_t index; /* of the overlay; 0: applied */
    } batches[HISTORY_BATCHES_MAX];
};

struct answer {
    uint64_t offset;
    uint64_t index;
    int32_t expected_sequence;
};

static void add_applied(struct history *history, const struct producer *producer)
{
    history->records_before = producer->records_total;
    for (uint32_t i = 0; i < producer->batches_count; i++) {
        const struct producer_batch *batch = &producer->batches[i];
        history->records_before -=
            sequence_distance(batch->first_sequence, batch->last_sequence) + 1u;
        history->batches[history->batches_count++].batch = *batch;
    }
}

static void add_pending(struct history *history, const struct overlay_batch *pending)
{
    /* Nothing of this epoch is applied: it began at 0. */
    if (history->batches_count == 0) history->records_before = pending->first_sequence;
    history->batches[history->batches_count++] = (struct history_batch){
        .batch = {.first_sequence = pending->first_sequence,
                  .last_sequence = pending->last_sequence,
                  .base_offset = pending->base_offset},
        .index = pending->index,
    };
}

/* The history of the newest epoch; false: nothing is known of this producer. */
static bool load_history(const struct partition *partition, int64_t producer_id,
                         const struct overlay_batch *pending, uint32_t pending_count,
                         struct history *ret_history)
{
    struct producer producer;
    bool is_applied = producer__load(partition, producer_id, &producer);
    if (!is_applied && pending_count == 0) return false;

    struct history history = {.epoch = is_applied ? producer.epoch : 0};
    if (pending_count > 0) history.epoch = pending[pending_count - 1u].producer_epoch;
    if (is_applied && producer.epoch == history.epoch) add_applied(&history, &producer);
    for (uint32_t i = 0; i < pending_count; i++) {
        if (pending[i].producer_epoch == history.epoch) add_pending(&history, &pending[i]);
    }
    assert(history.batches_count > 0);
    *ret_history = history;
    return true;
}

/* A batch of the history's own epoch that is not its continuation. */
static enum partition_verdict judge_repeat(const struct history *history,
                                           const struct producer_batch *batch,
                                           struct answer *answer)
{
    for (uint32_t i = history->batches_count; i > 0; i--) {
        const struct history_batch *kept = &history->batches[i - 1u];
        if (kept->batch.first_sequence != batch->first_sequence) continue;
        bool ends_alike = kept->batch.last_sequence == batch->last_sequence;
        if (!ends_alike && !PLANTED(P2_OVERLAP_IS_A_DUPLICATE)) continue;
        answer->offset = kept->batch.base_offset;
        answer->index = kept->index;
        return kept->index > 0 ? PARTITION_DUPLICATE_PENDING : PARTITION_DUPLICATE;
    }

    /* "Duplicate" is an answer of success: it is given only for a range that was written in whole. */
    uint32_t window_first = history->batches[0].batch.first_sequence;
    uint32_t behind = sequence_distance(batch->first_sequence, window_first);
    uint32_t records = sequence_distance(batch->first_sequence, batch->last_sequence) + 1u;
    if (behind >= records && behind <= history->records_before && behind <= SEQUENCE_BEHIND_MAX) {
        return PARTITION_DUPLICATE_UNKNOWN;
    }
    return PARTITION_OUT_OF_ORDER;
}

static enum partition_verdict judge(const struct partition *partition,
                                    const struct partition_batch_id *id, struct answer *answer)
{
    struct overlay_batch pending[PARTITION_BATCHES_KEPT];
    uint32_t pending_count = overlay__batches(partition->overlay, id->producer_id, pending);
    struct history history = {0};
    bool is_known = load_history(partition, id->producer_id, pending, pending_count, &history);

    if (!is_known) {
        struct partition_counters counters;
        counters__load(partition, &counters);
        if (id->producer_id <= counters.fenced_below) return PARTITION_UNKNOWN_PRODUCER;
    }
    if (id->producer_epoch < 0) return PARTITION_FENCED;
    bool is_old = is_known && id->producer_epoch < history.epoch;
    if (is_old && PLANTED(P2_OLDER_EPOCH_IS_ACCEPTED)) return PARTITION_ACCEPT;
    if (is_old) return PARTITION_FENCED;

    if (is_known && id->producer_epoch == history.epoch) {
        uint32_t last = history.batches[history.batches_count - 1u].batch.last_sequence;
        answer->expected_sequence = (int32_t)sequence_add(last, 1);
    }
    /* Kept out of the table's arithmetic; the codec of the front ends refuses them with a better text. */
    if (id->base_sequence < 0) return PARTITION_OUT_OF_ORDER;
    if (id->records_count == 0 || id->records_count > SEQUENCE_MASK) return PARTITION_OUT_OF_ORDER;

    bool is_gap =
        PLANTED(P2_GAP_IS_ACCEPTED) && is_known && id->base_sequence > answer->expected_sequence;
    if (id->base_sequence != answer->expected_sequence && !is_gap) {
        bool is_later = is_known && id->producer_epoch > history.epoch;
        if (!is_known && PLANTED(P3_UNKNOWN_ID_STARTS_ANYWHERE)) return PARTITION_ACCEPT;
        if (is_later && PLANTED(P2_NEW_EPOCH_STARTS_ANYWHERE)) return PARTITION_ACCEPT;
        if (!is_known || is_later) return PARTITION_OUT_OF_ORDER;
        uint32_t first = (uint32_t)id->base_sequence;
        struct producer_batch batch = {
            .first_sequence = first,
            .last_sequence = sequence_add(first, id->records_count - 1u),
        };
        return judge_repeat(&history, &batch, answer);
    }
    if (pending_count >= PARTITION_BATCHES_KEPT && !PLANTED(P2_SIXTH_IN_FLIGHT_IS_TAKEN))
        return PARTITION_TOO_MANY_IN_FLIGHT;
    if (overlay__is_full(partition->overlay)) return PARTITION_TOO_MANY_IN_FLIGHT;
    return PARTITION_ACCEPT;
}

enum partition_verdict partition_check(const struct partition *partition,
                                       const struct partition_batch_id *batch, uint64_t *ret_offset,
                                       uint64_t *ret_index, int32_t *ret_expected_sequence)
{
    if (batch->producer_id < 0) return PARTITION_ACCEPT;
    struct answer answer = {0};
    enum partition_verdict verdict = judge(partition, batch, &answer);
    bool is_pending = verdict == PARTITION_DUPLICATE_PENDING;
    if (ret_offset && (verdict == PARTITION_DUPLICATE || is_pending)) *ret_offset = answer.offset;
    if (ret_index && is_pending) *ret_index = answer.index;
    if (ret_expected_sequence && verdict == PARTITION_OUT_OF_ORDER) {
        *ret_expected_sequence = answer.expected_sequence;
    }
    return verdict;
}
