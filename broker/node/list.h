/* An intrusive doubly linked list: a link is on at most one list and can leave it in O(1). */
#ifndef BROKER_NODE_LIST_H
#define BROKER_NODE_LIST_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

struct list_link {
    struct list_link *previous;
    struct list_link *next; /* NULL: on no list */
};

static inline void list_init(struct list_link *list)
{
    list->previous = list;
    list->next = list;
}

static inline bool list_is_empty(const struct list_link *list)
{
    return list->next == list || !list->next;
}

static inline bool list_is_linked(const struct list_link *link)
{
    return link->next != NULL;
}

static inline void list_push_back(struct list_link *list, struct list_link *link)
{
    assert(!list_is_linked(link));
    link->previous = list->previous;
    link->next = list;
    list->previous->next = link;
    list->previous = link;
}

static inline void list_remove(struct list_link *link)
{
    if (!link->next) return;
    link->previous->next = link->next;
    link->next->previous = link->previous;
    link->previous = NULL;
    link->next = NULL;
}

static inline struct list_link *list_pop_front(struct list_link *list)
{
    if (list_is_empty(list)) return NULL;
    struct list_link *link = list->next;
    list_remove(link);
    return link;
}

/* Move everything of `from` to the end of `to`. */
static inline void list_splice_back(struct list_link *to, struct list_link *from)
{
    struct list_link *link;
    while ((link = list_pop_front(from))) {
        list_push_back(to, link);
    }
}

#define list_entry(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

#define list_for_each_safe(link, after, list)                             \
    for ((link) = (list)->next, (after) = (link)->next; (link) != (list); \
         (link) = (after), (after) = (link)->next)

#endif
