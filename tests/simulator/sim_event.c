/* The heap of events, by (time, sequence): the sequence makes the order total, so it does not depend on how the heap is
 * laid out. */
#include <stdlib.h>
#include <string.h>

#include "sim_private.h"

#define CHILDREN 4u /* half the levels of a binary heap; those of one lie side by side */

/* Without branches, which nobody could predict. */
static bool is_before(const struct sim_event_slot *a, const struct sim_event_slot *b)
{
    const unsigned is_earlier = a->time_us < b->time_us;
    const unsigned is_same = a->time_us == b->time_us;
    const unsigned is_older = a->sequence < b->sequence;
    return (is_earlier | (is_same & is_older)) != 0;
}

static void place(struct sim_event_heap *heap, size_t index, struct sim_event_slot slot)
{
    heap->slots[index] = slot;
    slot.event->heap_index = index;
}

static void sift_up(struct sim_event_heap *heap, size_t index)
{
    const struct sim_event_slot slot = heap->slots[index];
    while (index > 0) {
        const size_t parent = (index - 1u) / CHILDREN;
        if (!is_before(&slot, &heap->slots[parent])) break;
        place(heap, index, heap->slots[parent]);
        index = parent;
    }
    place(heap, index, slot);
}

/* Of those from `child` on, of which there is one at least. */
static size_t least_child(const struct sim_event_heap *heap, size_t child)
{
    size_t end = child + CHILDREN;
    if (end > heap->slots_count) end = heap->slots_count;
    size_t least = child;
    while (++child < end) {
        least = is_before(&heap->slots[child], &heap->slots[least]) ? child : least;
    }
    return least;
}

static void sift_down(struct sim_event_heap *heap, size_t index)
{
    const struct sim_event_slot slot = heap->slots[index];
    for (size_t child; (child = CHILDREN * index + 1u) < heap->slots_count;) {
        child = least_child(heap, child);
        if (!is_before(&heap->slots[child], &slot)) break;
        place(heap, index, heap->slots[child]);
        index = child;
    }
    place(heap, index, slot);
}

/* All of them, after changes in any place. */
static void heapify(struct sim_event_heap *heap)
{
    for (size_t i = (heap->slots_count + CHILDREN - 2u) / CHILDREN; i-- > 0;) {
        sift_down(heap, i);
    }
}

/* The hole sinks to a leaf along the least children and the last event rises from there: it comes from a leaf and mostly
 * ends near one, so comparing it on the way down, too, would be in vain. */
static void heap_remove(struct sim_event_heap *heap, struct sim_event *event)
{
    size_t index = event->heap_index;
    assert(heap->slots[index].event == event);
    const struct sim_event_slot last = heap->slots[--heap->slots_count];
    event->heap_index = SIZE_MAX;
    if (last.event == event) return;
    for (size_t child; (child = CHILDREN * index + 1u) < heap->slots_count;) {
        child = least_child(heap, child);
        place(heap, index, heap->slots[child]);
        index = child;
    }
    place(heap, index, last);
    sift_up(heap, index);
}

void sim__events_append(struct sim_event_list *list, struct sim_event *event)
{
    if (list->items_count == list->items_capacity) {
        list->items_capacity = list->items_capacity ? 2u * list->items_capacity : 64u;
        list->items = sim__reallocate(list->items, list->items_capacity * sizeof(*list->items));
    }
    list->items[list->items_count++] = event;
}

void sim__event_push(struct sim *sim, struct sim_event *event)
{
    struct sim_event_heap *heap = &sim->heap;
    event->sequence = sim->sequence++;
    if (heap->slots_count == heap->slots_capacity) {
        heap->slots_capacity = heap->slots_capacity ? 2u * heap->slots_capacity : 1024u;
        heap->slots = sim__reallocate(heap->slots, heap->slots_capacity * sizeof(*heap->slots));
    }
    heap->slots[heap->slots_count++] =
        (struct sim_event_slot){event->time_us, event->sequence, event};
    sift_up(heap, heap->slots_count - 1u);
}

struct sim_event *sim__event_add(struct sim *sim, enum sim_event_kind kind, uint64_t delay_us)
{
    /* Not zeroed memory: calloc() passes the thread's cache of small blocks by. */
    struct sim_event *event = sim__allocate_raw(sizeof(*event));
    *event = (struct sim_event){
        .kind = kind,
        .time_us = delay_us > UINT64_MAX - sim->now_us ? UINT64_MAX : sim->now_us + delay_us,
    };
    sim__event_push(sim, event);
    return event;
}

struct sim_event *sim__event_pop(struct sim *sim)
{
    if (sim->heap.slots_count == 0) return NULL;
    struct sim_event *first = sim->heap.slots[0].event;
    heap_remove(&sim->heap, first);
    return first;
}

void sim__event_free(struct sim *sim, struct sim_event *event)
{
    if (event->connection) sim__connection_unref(sim, event->connection);
    free(event);
}

void sim__event_cancel(struct sim *sim, struct sim_event *event)
{
    if (event->heap_index == SIZE_MAX) {
        event->kind = SIM_EVENT_NONE; /* parked with its paused node: forgotten on resume */
        return;
    }
    heap_remove(&sim->heap, event);
    sim__event_free(sim, event);
}

void sim__events_free_of(struct sim *sim, struct sim_event_list *list, const struct sim_io *io)
{
    size_t kept_count = 0;
    for (size_t i = 0; i < list->items_count; i++) {
        struct sim_event *event = list->items[i];
        if (event->io == io) {
            sim__event_free(sim, event);
        } else {
            list->items[kept_count++] = event;
        }
    }
    list->items_count = kept_count;
}

void sim__events_drop(struct sim *sim, const struct sim_io *io)
{
    struct sim_event_heap *heap = &sim->heap;
    size_t kept_count = 0;
    for (size_t i = 0; i < heap->slots_count; i++) {
        const struct sim_event_slot slot = heap->slots[i];
        if (slot.event->io == io) {
            sim__event_free(sim, slot.event);
        } else {
            place(heap, kept_count++, slot);
        }
    }
    heap->slots_count = kept_count;
    heapify(heap);
}

void sim__events_rescale(struct sim *sim, const struct sim_io *io, enum sim_event_kind kind,
                         uint64_t factor, uint64_t old_factor)
{
    struct sim_event_heap *heap = &sim->heap;
    for (size_t i = 0; i < heap->slots_count; i++) {
        struct sim_event *event = heap->slots[i].event;
        if (event->io != io || event->kind != kind) continue;
        event->time_us = sim->now_us + (event->time_us - sim->now_us) * factor / old_factor;
        heap->slots[i].time_us = event->time_us;
    }
    heapify(heap);
}

void sim__events_free(struct sim *sim, struct sim_event_list *list)
{
    for (size_t i = 0; i < list->items_count; i++) {
        sim__event_free(sim, list->items[i]);
    }
    free(list->items);
    *list = (struct sim_event_list){0};
}

const char *sim__event_name(enum sim_event_kind kind)
{
    switch (kind) {
    case SIM_EVENT_NONE:
        return "none";
    case SIM_EVENT_TIMER:
        return "timer";
    case SIM_EVENT_POSTS:
        return "posts";
    case SIM_EVENT_JOB_RUN:
        return "job-run";
    case SIM_EVENT_JOB_DONE:
        return "job-done";
    case SIM_EVENT_CONNECTED:
        return "connected";
    case SIM_EVENT_READ:
        return "read";
    case SIM_EVENT_PUMP:
        return "pump";
    case SIM_EVENT_FAILURE:
        return "failure";
    case SIM_EVENT_LINGER:
        return "linger";
    case SIM_EVENT_CLOSED:
        return "closed";
    case SIM_EVENT_CALL:
        return "call";
    case SIM_EVENT_SYN:
        return "syn";
    case SIM_EVENT_SYN_ANSWER:
        return "syn-answer";
    case SIM_EVENT_ARRIVE:
        return "arrive";
    case SIM_EVENT_FIN:
        return "fin";
    case SIM_EVENT_RESET:
        return "reset";
    case SIM_EVENT_TIMEOUT:
        return "timeout";
    }
    assert(false);
    return "";
}
