/* The heap of events, by (time, sequence): the sequence makes the order total, so it does not depend on how the heap is
 * laid out. */
#include <stdlib.h>
#include <string.h>

#include "sim_private.h"

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    if (a->time_us != b->time_us) return a->time_us < b->time_us;
    return a->sequence < b->sequence;
}

static void place(struct sim_event_list *heap, size_t index, struct sim_event *event)
{
    heap->items[index] = event;
    event->heap_index = index;
}

static void sift_up(struct sim_event_list *heap, size_t index)
{
    struct sim_event *event = heap->items[index];
    while (index > 0 && is_before(event, heap->items[(index - 1u) / 2u])) {
        place(heap, index, heap->items[(index - 1u) / 2u]);
        index = (index - 1u) / 2u;
    }
    place(heap, index, event);
}

static void sift_down(struct sim_event_list *heap, size_t index)
{
    struct sim_event *event = heap->items[index];
    for (;;) {
        size_t child = 2u * index + 1u;
        if (child >= heap->items_count) break;
        if (child + 1u < heap->items_count &&
            is_before(heap->items[child + 1u], heap->items[child])) {
            child++;
        }
        if (!is_before(heap->items[child], event)) break;
        place(heap, index, heap->items[child]);
        index = child;
    }
    place(heap, index, event);
}

/* The hole sinks to a leaf along the lesser children and the last event rises from there: it comes from a leaf and mostly
 * ends near one, so comparing it on the way down, too, would be in vain. */
static void heap_remove(struct sim_event_list *heap, struct sim_event *event)
{
    size_t index = event->heap_index;
    assert(heap->items[index] == event);
    struct sim_event *last = heap->items[--heap->items_count];
    event->heap_index = SIZE_MAX;
    if (last == event) return;
    for (size_t child = 2u * index + 1u; child < heap->items_count; child = 2u * index + 1u) {
        if (child + 1u < heap->items_count &&
            is_before(heap->items[child + 1u], heap->items[child])) {
            child++;
        }
        place(heap, index, heap->items[child]);
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
    event->sequence = sim->sequence++;
    sim__events_append(&sim->heap, event);
    sift_up(&sim->heap, sim->heap.items_count - 1u);
}

struct sim_event *sim__event_add(struct sim *sim, enum sim_event_kind kind, uint64_t delay_us)
{
    struct sim_event *event = sim__allocate(sizeof(*event));
    event->kind = kind;
    event->time_us = delay_us > UINT64_MAX - sim->now_us ? UINT64_MAX : sim->now_us + delay_us;
    sim__event_push(sim, event);
    return event;
}

struct sim_event *sim__event_pop(struct sim *sim)
{
    if (sim->heap.items_count == 0) return NULL;
    struct sim_event *first = sim->heap.items[0];
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
    struct sim_event_list *heap = &sim->heap;
    size_t kept_count = 0;
    for (size_t i = 0; i < heap->items_count; i++) {
        struct sim_event *event = heap->items[i];
        if (event->io == io) {
            sim__event_free(sim, event);
        } else {
            place(heap, kept_count++, event);
        }
    }
    heap->items_count = kept_count;
    for (size_t i = kept_count / 2u; i-- > 0;) {
        sift_down(heap, i);
    }
}

void sim__events_rescale(struct sim *sim, const struct sim_io *io, enum sim_event_kind kind,
                         uint64_t factor, uint64_t old_factor)
{
    struct sim_event_list *heap = &sim->heap;
    for (size_t i = 0; i < heap->items_count; i++) {
        struct sim_event *event = heap->items[i];
        if (event->io != io || event->kind != kind) continue;
        event->time_us = sim->now_us + (event->time_us - sim->now_us) * factor / old_factor;
    }
    for (size_t i = heap->items_count / 2u; i-- > 0;) {
        sift_down(heap, i);
    }
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
