/* What only the end tells, batch by batch: lost, unseen, aborted, torn, apart.
 *
 * "Never read" is held against the log only where somebody looked: a read found another value at that offset, a fetch
 * passed over it, or the caller says that all was drained. */
#include "history_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

/* ---- where somebody looked -------------------------------------------------------------------------------------- */

static int compare_gaps(const void *left, const void *right)
{
    const struct history__gap *a = left, *b = right;
    return a->from < b->from ? -1 : a->from > b->from;
}

/* Sorted and disjoint. There are gaps only in a history with anomalies. */
static void gaps_merge(struct history__partition *partition)
{
    if (partition->gaps_count == 0) return;
    struct history__gap *gaps = partition->gaps;
    qsort(gaps, partition->gaps_count, sizeof(*gaps), compare_gaps);
    uint32_t last = 0;
    for (uint32_t i = 1; i < partition->gaps_count; i++) {
        if (gaps[i].from > gaps[last].to) {
            gaps[++last] = gaps[i];
        } else if (gaps[i].to > gaps[last].to) {
            gaps[last].to = gaps[i].to;
        }
    }
    partition->gaps_count = last + 1;
}

static bool in_gap(const struct history__partition *partition, uint64_t offset)
{
    uint32_t low = 0, high = partition->gaps_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (partition->gaps[middle].to <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < partition->gaps_count && partition->gaps[low].from <= offset;
}

/* A read looked at the offset; what it saw, if anything, is not the value in question. */
static bool was_passed(struct history__partition *partition, uint64_t offset)
{
    const struct history__place *place = paged_find(&partition->places, offset);
    if (place != NULL && place->flags & HISTORY__PLACE_READ) return true;
    return in_gap(partition, offset);
}

static bool was_drained(const struct history__partition *partition, uint64_t offset)
{
    return partition->drained && offset >= partition->drained_first;
}

static const char *found_text(struct history__text *text, struct history *history,
                              struct history__partition *partition, uint64_t offset)
{
    const struct history__place *place = paged_find(&partition->places, offset);
    if (place == NULL || !(place->flags & HISTORY__PLACE_READ)) {
        snprintf(text->text, sizeof(text->text), "nothing was read at offset %" PRIu64, offset);
        return text->text;
    }
    const struct history__message *message = paged_find(&partition->messages, place->read_value);
    assert(message != NULL);
    snprintf(text->text, sizeof(text->text),
             "offset %" PRIu64 " held value %s when %.60s read it from n%" PRIu32 " at %" PRIu64,
             offset, history__value_text(HISTORY__TEXT, place->read_value),
             history__session_name(history, message->read_session), message->read_node,
             message->read_completed);
    return text->text;
}

/* ---- one batch ---------------------------------------------------------------------------------------------------- */

struct batch_view {
    struct history *history;
    struct history__partition *partition;
    const char *name; /* of the partition */
    struct history__batch *batch;
    uint32_t read_count;
    bool has_duplicate; /* reported already: its offsets tell nothing more */
    uint32_t anchor; /* number within the batch of the first message read, while read_count > 0 */
    uint64_t anchor_offset;
};

static const struct history__message *message_of(const struct batch_view *view, uint32_t i)
{
    const struct history__message *message =
        paged_find(&view->partition->messages, view->batch->value + i);
    assert(message != NULL);
    return message;
}

static struct history__attempt reader_of(const struct history__message *message)
{
    return (struct history__attempt){
        .invoked = message->read_completed,
        .completed = message->read_completed,
        .session = message->read_session,
        .node = message->read_node,
    };
}

static struct batch_view view_batch(struct history *history, uint32_t partition, uint32_t number)
{
    struct batch_view view = {
        .history = history,
        .partition = &history->partitions[partition],
        .name = history__partition_name(history, partition),
        .batch = &history->partitions[partition].batches[number],
    };
    for (uint32_t i = 0; i < view.batch->count; i++) {
        const struct history__message *message = message_of(&view, i);
        if (!(message->flags & HISTORY__MESSAGE_READ)) continue;
        if (message->flags & HISTORY__MESSAGE_DUPLICATE) view.has_duplicate = true;
        if (view.read_count++ == 0) {
            view.anchor = i;
            view.anchor_offset = message->read_offset;
        }
    }
    return view;
}

static const char *batch_text(struct history__text *text, const struct batch_view *view)
{
    return history__values_text(text, view->batch->value, view->batch->count);
}

/* A message was read although, until then, every attempt to send it had failed or none had begun. Returns whether the
 * batch has a right to be read at all. */
static bool check_sent(const struct batch_view *view)
{
    const struct history__batch *batch = view->batch;
    bool possible = (batch->flags & HISTORY__BATCH_POSSIBLE) != 0;
    bool failed = (batch->flags & HISTORY__BATCH_FAILED) != 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct history__message *message = message_of(view, i);
        if (!(message->flags & HISTORY__MESSAGE_READ)) continue;
        if (possible && batch->possible_invoked <= message->read_completed) continue;
        view->batch->flags |= HISTORY__BATCH_READ_UNSENT;
        struct history__attempt reader = reader_of(message);
        if (failed && batch->fail.invoked <= message->read_completed) {
            history__report(view->history, HISTORY_ABORTED_READ,
                            "%s: value %s was read at offset %" PRIu64
                            " by %s, but the send by %s failed for certain",
                            view->name, history__value_text(HISTORY__TEXT, batch->value + i),
                            message->read_offset,
                            history__who_text(HISTORY__TEXT, view->history, &reader),
                            history__who_text(HISTORY__TEXT, view->history, &batch->fail));
        } else {
            history__report(
                view->history, HISTORY_PHANTOM,
                "%s: value %s was read at offset %" PRIu64 " by %s, before anybody sent it",
                view->name, history__value_text(HISTORY__TEXT, batch->value + i),
                message->read_offset, history__who_text(HISTORY__TEXT, view->history, &reader));
        }
        break; /* once per batch */
    }
    return possible;
}

static void check_apart(struct batch_view *view)
{
    if (view->has_duplicate || view->batch->flags & HISTORY__BATCH_TORN_APART) return;
    for (uint32_t i = view->anchor + 1; i < view->batch->count; i++) {
        const struct history__message *message = message_of(view, i);
        uint64_t expected = view->anchor_offset + (i - view->anchor);
        if (!(message->flags & HISTORY__MESSAGE_READ) || message->read_offset == expected) continue;
        view->batch->flags |= HISTORY__BATCH_TORN_APART;
        struct history__attempt reader = reader_of(message);
        history__report(view->history, HISTORY_INT_NONMONOTONIC_SEND,
                        "%s: %s of one batch: value %s stands at offset %" PRIu64
                        ", value %s at %" PRIu64 " (read by %s), not at %" PRIu64,
                        view->name, batch_text(HISTORY__TEXT, view),
                        history__value_text(HISTORY__TEXT, view->batch->value + view->anchor),
                        view->anchor_offset,
                        history__value_text(HISTORY__TEXT, view->batch->value + i),
                        message->read_offset,
                        history__who_text(HISTORY__TEXT, view->history, &reader), expected);
        return;
    }
}

/* The offset where the i-th message of a batch must stand, by those that were read. False: below the log's beginning. */
static bool expected_offset(const struct batch_view *view, uint32_t i, uint64_t *ret_offset)
{
    if (i < view->anchor && view->anchor - i > view->anchor_offset) return false;
    *ret_offset = view->anchor_offset + i - view->anchor;
    return true;
}

static void check_torn(const struct batch_view *view)
{
    if (view->read_count == view->batch->count) return;
    if (view->batch->flags & HISTORY__BATCH_TORN_APART)
        return; /* where the rest belongs is unclear */
    for (uint32_t i = 0; i < view->batch->count; i++) {
        if (message_of(view, i)->flags & HISTORY__MESSAGE_READ) continue;
        uint64_t offset;
        bool looked = !expected_offset(view, i, &offset) || was_passed(view->partition, offset) ||
                      was_drained(view->partition, offset);
        if (!looked) continue;
        struct history__attempt reader = reader_of(message_of(view, view->anchor));
        history__report(
            view->history, HISTORY_TORN_BATCH,
            "%s: %s of one batch%s: value %s was read at offset %" PRIu64 " by %s, value %s never",
            view->name, batch_text(HISTORY__TEXT, view),
            view->batch->flags & HISTORY__BATCH_ACKED ? ", acked" : "",
            history__value_text(HISTORY__TEXT, view->batch->value + view->anchor),
            view->anchor_offset, history__who_text(HISTORY__TEXT, view->history, &reader),
            history__value_text(HISTORY__TEXT, view->batch->value + i));
        return;
    }
}

/* Acked here, read there. */
static void check_misplaced(const struct batch_view *view)
{
    const struct history__batch *batch = view->batch;
    if (view->has_duplicate) return;
    if (batch->flags & (HISTORY__BATCH_TORN_APART | HISTORY__BATCH_DEDUP_BREACH)) return;
    if (view->anchor_offset == batch->base + view->anchor) return;
    struct history__attempt reader = reader_of(message_of(view, view->anchor));
    history__report(
        view->history, HISTORY_DUPLICATE,
        "%s: value %s was acked at offset %" PRIu64 " to %s, but read at offset %" PRIu64 " by %s",
        view->name, history__value_text(HISTORY__TEXT, batch->value + view->anchor),
        batch->base + view->anchor, history__who_text(HISTORY__TEXT, view->history, &batch->ack),
        view->anchor_offset, history__who_text(HISTORY__TEXT, view->history, &reader));
}

/* Nothing of an acked batch was read. */
static void check_lost(const struct batch_view *view)
{
    struct history__partition *partition = view->partition;
    const struct history__batch *batch = view->batch;
    bool drained_after = partition->drained && batch->ack.completed < partition->drained_invoked;
    for (uint32_t i = 0; i < batch->count; i++) {
        uint64_t offset = batch->base + i;
        bool passed = was_passed(partition, offset);
        bool drained = drained_after && was_drained(partition, offset);
        if (!passed && !drained) continue;
        bool lost = passed || (partition->any_read && offset <= partition->read_highest);
        history__report(view->history, lost ? HISTORY_LOST_WRITE : HISTORY_UNSEEN,
                        "%s: %s acked at offset %" PRIu64 " to %s: %s; %s", view->name,
                        batch_text(HISTORY__TEXT, view), batch->base,
                        history__who_text(HISTORY__TEXT, view->history, &batch->ack),
                        lost ? "never read" : "still unread after the drain",
                        found_text(HISTORY__TEXT, view->history, partition, offset));
        return;
    }
}

static void finish_batch(struct batch_view *view)
{
    bool acked = (view->batch->flags & HISTORY__BATCH_ACKED) != 0;
    if (view->read_count == 0) {
        if (acked) check_lost(view);
        return;
    }
    if (!check_sent(view)) return;
    check_apart(view);
    check_torn(view);
    if (acked) check_misplaced(view);
}

/* ---- one partition ------------------------------------------------------------------------------------------------- */

static void finish_suspects(struct history *history, uint32_t number)
{
    const struct history__partition *partition = &history->partitions[number];
    for (uint32_t i = 0; i < partition->suspects_count; i++) {
        struct history__batch *batch = &partition->batches[partition->suspects[i]];
        /* Asked again, for an earlier attempt may have turned up since. */
        const struct timeline_step *known =
            timeline_before(&partition->ends, batch->possible_invoked);
        if (known == NULL || batch->base >= known->value) continue;
        /* A message that stood before it was sent has no place in the order of sending. */
        if (batch->flags & (HISTORY__BATCH_MISORDERED | HISTORY__BATCH_READ_UNSENT)) continue;
        batch->flags |= HISTORY__BATCH_MISORDERED;
        struct history__attempt knower = history__attempt_of_step(known);
        history__report(history, HISTORY_NONMONOTONIC_SEND,
                        "%s: %s, first sent at %" PRIu64 ", got offset %" PRIu64
                        " by %s, but the log was known to reach offset %" PRIu64 " by %s",
                        history__partition_name(history, number),
                        history__values_text(HISTORY__TEXT, batch->value, batch->count),
                        batch->possible_invoked, batch->base,
                        history__who_text(HISTORY__TEXT, history, &batch->ack), known->value - 1,
                        history__who_text(HISTORY__TEXT, history, &knower));
    }
}

static void finish_phantoms(struct history *history, uint32_t number)
{
    const struct paged *messages = &history->partitions[number].messages;
    for (uint32_t i = 0; i < messages->pages_count; i++) {
        const struct history__message *page =
            (const struct history__message *)(const void *)messages->pages[i].entries;
        for (uint32_t j = 0; j < PAGED_ENTRIES; j++) {
            if (page[j].batch != 0 || !(page[j].flags & HISTORY__MESSAGE_READ)) continue;
            struct history__attempt reader = reader_of(&page[j]);
            history__report(
                history, HISTORY_PHANTOM,
                "%s: value %s was read at offset %" PRIu64 " by %s, but nobody sent it there",
                history__partition_name(history, number),
                history__value_text(HISTORY__TEXT, messages->pages[i].key * PAGED_ENTRIES + j),
                page[j].read_offset, history__who_text(HISTORY__TEXT, history, &reader));
        }
    }
}

void history__finish_partition(struct history *history, uint32_t number)
{
    struct history__partition *partition = &history->partitions[number];
    gaps_merge(partition);
    for (uint32_t i = 0; i < partition->batches_count; i++) {
        struct batch_view view = view_batch(history, number, i);
        finish_batch(&view);
    }
    finish_suspects(history, number);
    if (!history->options.open) finish_phantoms(history, number);
}
