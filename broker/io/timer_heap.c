#include "timer_heap.h"

static bool is_before(const struct timer_node *a, const struct timer_node *b)
{
    if (a->deadline_us != b->deadline_us) return a->deadline_us < b->deadline_us;
    return a->sequence < b->sequence;
}

/* Join two trees whose roots have no siblings; the later root becomes the first child of the sooner. */
static struct timer_node *merge(struct timer_node *a, struct timer_node *b)
{
    if (!a) return b;
    if (!b) return a;
    if (is_before(b, a)) {
        struct timer_node *sooner = b;
        b = a;
        a = sooner;
    }
    b->next = a->child;
    if (a->child) a->child->previous = b;
    b->previous = a;
    a->child = b;
    return a;
}

/* Join a list of siblings: in pairs from left to right, then the pairs from right to left. Both passes are loops, so
 * the depth of the stack does not depend on the number of timers. */
static struct timer_node *merge_siblings(struct timer_node *first)
{
    struct timer_node *pairs = NULL; /* a stack through `next` */
    while (first) {
        struct timer_node *a = first;
        struct timer_node *b = a->next;
        first = b ? b->next : NULL;
        a->next = a->previous = NULL;
        if (b) b->next = b->previous = NULL;
        a = merge(a, b);
        a->next = pairs;
        pairs = a;
    }
    struct timer_node *root = NULL;
    while (pairs) {
        struct timer_node *pair = pairs;
        pairs = pair->next;
        pair->next = NULL;
        root = merge(root, pair);
    }
    return root;
}

void timer_heap_insert(struct timer_heap *heap, struct timer_node *node)
{
    assert(!node->armed);
    node->child = node->next = node->previous = NULL;
    node->armed = 1;
    heap->root = merge(heap->root, node);
}

void timer_heap_remove(struct timer_heap *heap, struct timer_node *node)
{
    assert(node->armed);
    assert(heap->root);
    if (heap->root == node) {
        heap->root = merge_siblings(node->child);
    } else {
        if (node->previous->child == node) {
            node->previous->child = node->next;
        } else {
            node->previous->next = node->next;
        }
        if (node->next) node->next->previous = node->previous;
        heap->root = merge(heap->root, merge_siblings(node->child));
    }
    node->child = node->next = node->previous = NULL;
    node->armed = 0;
}
