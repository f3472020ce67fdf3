/* The armed timers of one loop, soonest first, and equal deadlines in the order they were armed: an intrusive pairing
 * heap, so arming a timer allocates nothing and there is no limit on their number.
 *
 * Insert and first are O(1), remove is O(log n) amortized. */
#ifndef RAFTMQ_TIMER_HEAP_H
#define RAFTMQ_TIMER_HEAP_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <broker/io.h>

/* Lives in io_timer.io_private, which the owner clears as an array of integers: hence may_alias. All zero: idle. */
struct timer_node {
    uint64_t deadline_us;
    uint64_t sequence;
    struct timer_node *child;    /* the first of the later ones below this one */
    struct timer_node *next;     /* sibling */
    struct timer_node *previous; /* sibling, or the parent of a first child */
    struct timer_node *post_next;
    struct timer_node *post_previous;
    uint64_t armed; /* 1: in the heap */
} __attribute__((may_alias));

static_assert(sizeof(struct timer_node) <= sizeof(((struct io_timer *)0)->io_private),
              "the node lives inside of the owner's timer");

static inline struct timer_node *timer_node_of(struct io_timer *timer)
{
    return (struct timer_node *)timer->io_private;
}

static inline struct io_timer *timer_of_node(struct timer_node *node)
{
    return (struct io_timer *)(void *)((char *)node - offsetof(struct io_timer, io_private));
}

struct timer_heap {
    struct timer_node *root;
};

/* deadline_us and sequence are set by the caller before insert; they must not change until remove. */
void timer_heap_insert(struct timer_heap *heap, struct timer_node *node);
void timer_heap_remove(struct timer_heap *heap, struct timer_node *node);

/* The soonest, or NULL. */
static inline struct timer_node *timer_heap_first(const struct timer_heap *heap)
{
    return heap->root;
}

#endif
