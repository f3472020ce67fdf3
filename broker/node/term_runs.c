#include "term_runs.h"

#include <stdlib.h>

static void add(void *data, uint64_t first, uint64_t count, uint64_t term)
{
    struct term_runs *runs = data;
    uint64_t last = first + count - 1u;
    if (first < runs->from_index) first = runs->from_index;
    if (last > runs->to_index) last = runs->to_index;
    if (first > last) return;
    if (runs->count == runs->capacity) {
        runs->capacity = runs->capacity ? runs->capacity * 2u : 64u;
        runs->items = realloc(runs->items, runs->capacity * sizeof(*runs->items));
        if (!runs->items) abort();
    }
    runs->items[runs->count++] =
        (struct raft_term_run){.first = first, .count = last - first + 1u, .term = term};
}

void term_runs__collect(const struct segment_log *log, uint64_t from_index, uint64_t to_index,
                        struct term_runs *ret_runs)
{
    *ret_runs = (struct term_runs){.from_index = from_index, .to_index = to_index};
    segment_log_term_runs(log, add, ret_runs);
}

void term_runs__free(struct term_runs *runs)
{
    free(runs->items);
    *runs = (struct term_runs){0};
}
