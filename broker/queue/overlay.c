/* The leader's overlay: what it appended and has not applied (PROTOCOL P1).
 *
 * Batches stand in a ring in the order of their index: apply() takes them from its front, a truncation from its back.
 * A table finds the batches of one producer: open addressing, at most half full, entries removed by shifting back.
 * Both double together up to PARTITION_OVERLAY_BATCHES_MAX batches, and are freed when the leader steps down.
 *
 * Offset commits need no list: the question is only whether one of a group is in flight. pending_commits[] keeps the
 * highest index of an appended commit for every hash of a group name. A collision, or a truncation that leaves an
 * index behind, makes the answer "in flight" for longer than needed: then a commit is appended that did not have to
 * be, which is never wrong. */
#include "partition_state.h"

#include <planted/planted.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OVERLAY_BATCHES_MIN   64u
#define OVERLAY_COMMIT_HASHES 256u

static_assert((PARTITION_OVERLAY_BATCHES_MAX & (PARTITION_OVERLAY_BATCHES_MAX - 1u)) == 0,
              "positions are taken modulo the capacity, which doubles up to this");

struct overlay_producer {
    int64_t producer_id;
    uint32_t count; /* 0: the slot is free */
    uint32_t positions[PARTITION_BATCHES_KEPT];
};

struct partition_overlay {
    uint32_t capacity; /* of the ring; the table has twice as many slots */
    uint32_t head;     /* position of the oldest batch; positions grow and wrap at 2^32 */
    uint32_t tail;     /* position behind the newest */
    struct overlay_batch *ring;
    struct overlay_producer *table;
    uint64_t pending_commits[OVERLAY_COMMIT_HASHES];
};

/* As in the tree: without memory there is nothing to fall back to. */
static void *allocate_zeroed(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);
    if (!memory) {
        fprintf(stderr, "overlay: out of memory for %zu bytes\n", count * bytes);
        abort();
    }
    return memory;
}

static struct partition_overlay *overlay_of(struct partition *partition)
{
    if (!partition->overlay) {
        partition->overlay = allocate_zeroed(1, sizeof *partition->overlay);
    }
    return partition->overlay;
}

void overlay__destroy(struct partition_overlay *overlay)
{
    if (!overlay) return;
    free(overlay->ring);
    free(overlay->table);
    free(overlay);
}

static struct overlay_batch *batch_at(const struct partition_overlay *overlay, uint32_t position)
{
    assert(position - overlay->head < overlay->tail - overlay->head);
    return &overlay->ring[position & (overlay->capacity - 1u)];
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static uint32_t home_slot(const struct partition_overlay *overlay, int64_t producer_id)
{
    uint64_t hash = (uint64_t)producer_id * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(hash >> 32) & (overlay->capacity * 2u - 1u);
}

/* The slot of the producer, or the free one where it belongs. */
static struct overlay_producer *find_producer(const struct partition_overlay *overlay,
                                              int64_t producer_id)
{
    uint32_t mask = overlay->capacity * 2u - 1u;
    uint32_t slot = home_slot(overlay, producer_id);
    while (overlay->table[slot].count > 0 && overlay->table[slot].producer_id != producer_id) {
        slot = (slot + 1u) & mask;
    }
    return &overlay->table[slot];
}

/* Free a slot and move back what stands behind it on the way from its own home, so that no search ends too early. */
static void free_producer(struct partition_overlay *overlay, struct overlay_producer *producer)
{
    uint32_t mask = overlay->capacity * 2u - 1u;
    uint32_t hole = (uint32_t)(producer - overlay->table);
    for (uint32_t slot = (hole + 1u) & mask; overlay->table[slot].count > 0;
         slot = (slot + 1u) & mask) {
        uint32_t home = home_slot(overlay, overlay->table[slot].producer_id);
        if (((slot - home) & mask) >= ((slot - hole) & mask)) {
            overlay->table[hole] = overlay->table[slot];
            hole = slot;
        }
    }
    memset(&overlay->table[hole], 0, sizeof overlay->table[hole]);
}

static void table_add(struct partition_overlay *overlay, uint32_t position)
{
    int64_t producer_id = batch_at(overlay, position)->producer_id;
    struct overlay_producer *producer = find_producer(overlay, producer_id);
    assert(producer->count < PARTITION_BATCHES_KEPT);
    producer->producer_id = producer_id;
    producer->positions[producer->count++] = position;
}

/* ---- the ring --------------------------------------------------------------------------------------------------- */

static void grow(struct partition_overlay *overlay)
{
    struct partition_overlay old = *overlay;
    overlay->capacity = old.capacity > 0 ? old.capacity * 2u : OVERLAY_BATCHES_MIN;
    assert(overlay->capacity <= PARTITION_OVERLAY_BATCHES_MAX);
    overlay->ring = allocate_zeroed(overlay->capacity, sizeof *overlay->ring);
    overlay->table = allocate_zeroed(overlay->capacity * 2u, sizeof *overlay->table);
    for (uint32_t position = old.head; position != old.tail; position++) {
        *batch_at(overlay, position) = *batch_at(&old, position);
        table_add(overlay, position);
    }
    free(old.ring);
    free(old.table);
}

static void drop_oldest(struct partition_overlay *overlay)
{
    const struct overlay_batch *batch = batch_at(overlay, overlay->head);
    struct overlay_producer *producer = find_producer(overlay, batch->producer_id);
    assert(producer->count > 0);
    assert(producer->positions[0] == overlay->head);
    overlay->head++;
    producer->count--;
    memmove(producer->positions, producer->positions + 1,
            producer->count * sizeof producer->positions[0]);
    if (producer->count == 0) free_producer(overlay, producer);
}

static void drop_newest(struct partition_overlay *overlay)
{
    const struct overlay_batch *batch = batch_at(overlay, overlay->tail - 1u);
    struct overlay_producer *producer = find_producer(overlay, batch->producer_id);
    assert(producer->count > 0);
    assert(producer->positions[producer->count - 1u] == overlay->tail - 1u);
    overlay->tail--;
    if (producer->count > 1) {
        producer->count--;
    } else {
        free_producer(overlay, producer);
    }
}

void partition_overlay_add(struct partition *partition, const struct partition_batch_id *batch,
                           uint64_t index, uint64_t base_offset)
{
    assert(index > partition->applied_index);
    if (batch->producer_id < 0) return;
    assert(batch->base_sequence >= 0);
    assert(batch->records_count > 0);

    struct partition_overlay *overlay = overlay_of(partition);
    if (overlay->tail != overlay->head) {
        assert(batch_at(overlay, overlay->tail - 1u)->index < index);
    }
    if (overlay->tail - overlay->head == overlay->capacity) grow(overlay);
    uint32_t position = overlay->tail++;
    uint32_t first = (uint32_t)batch->base_sequence;
    *batch_at(overlay, position) = (struct overlay_batch){
        .producer_id = batch->producer_id,
        .producer_epoch = batch->producer_epoch,
        .first_sequence = first,
        .last_sequence = sequence_add(first, batch->records_count - 1u),
        .index = index,
        .base_offset = base_offset,
    };
    table_add(overlay, position);
}

void overlay__applied(struct partition_overlay *overlay, uint64_t index)
{
    if (!overlay) return;
    while (overlay->head != overlay->tail && batch_at(overlay, overlay->head)->index <= index) {
        drop_oldest(overlay);
    }
}

void partition_overlay_drop(struct partition *partition, uint64_t from_index)
{
    struct partition_overlay *overlay = partition->overlay;
    if (!overlay) return;
    if (from_index == 0) {
        overlay__destroy(overlay);
        partition->overlay = NULL;
        return;
    }
    while (overlay->head != overlay->tail &&
           batch_at(overlay, overlay->tail - 1u)->index >= from_index) {
        drop_newest(overlay);
    }
    for (uint32_t i = 0; i < OVERLAY_COMMIT_HASHES; i++) {
        /* An older commit of the same hash may still be in flight below the cut. */
        if (overlay->pending_commits[i] >= from_index)
            overlay->pending_commits[i] = from_index - 1u;
    }
}

bool partition_overlay_is_empty(const struct partition *partition)
{
    const struct partition_overlay *overlay = partition->overlay;
    return !overlay || overlay->head == overlay->tail;
}

uint32_t overlay__batches(const struct partition_overlay *overlay, int64_t producer_id,
                          struct overlay_batch ret_batches[PARTITION_BATCHES_KEPT])
{
    if (!overlay || overlay->capacity == 0) return 0;
    if (PLANTED(P1_OVERLAY_IS_NOT_ASKED)) return 0;
    const struct overlay_producer *producer = find_producer(overlay, producer_id);
    for (uint32_t i = 0; i < producer->count; i++) {
        ret_batches[i] = *batch_at(overlay, producer->positions[i]);
        assert(ret_batches[i].producer_id == producer_id);
    }
    return producer->count;
}

bool overlay__is_full(const struct partition_overlay *overlay)
{
    return overlay && overlay->tail - overlay->head >= PARTITION_OVERLAY_BATCHES_MAX;
}

/* ---- commits ------------------------------------------------------------------------------------------------------ */

static uint32_t hash_name(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
    return (uint32_t)(hash >> 32) % OVERLAY_COMMIT_HASHES;
}

void partition_overlay_add_commits(struct partition *partition,
                                   const struct partition_commit *commits, uint32_t commits_count,
                                   uint64_t index)
{
    assert(index > partition->applied_index);
    struct partition_overlay *overlay = overlay_of(partition);
    for (uint32_t i = 0; i < commits_count; i++) {
        overlay->pending_commits[hash_name(commits[i].group)] = index;
    }
}

bool overlay__has_commit(const struct partition_overlay *overlay, const char *group,
                         uint64_t applied_index)
{
    return overlay && overlay->pending_commits[hash_name(group)] > applied_index;
}

bool partition_commits_in_flight(const struct partition *partition, const char *group)
{
    return overlay__has_commit(partition->overlay, group, partition->applied_index);
}
