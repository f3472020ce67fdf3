#include "history.h"

#include <assert.h>
#include <string.h>

void raft__history_reset(struct raft_history *history,
                         const struct raft_indexed_configuration *newest)
{
    history->items[0] = *newest;
    history->count = 1;
}

void raft__history_push(struct raft_history *history,
                        const struct raft_indexed_configuration *newest)
{
    assert(history->count > 0);
    assert(newest->index > history->items[history->count - 1].index);
    if (history->count == RAFT_CONFIGURATIONS_MAX) {
        history->count--;
        memmove(history->items, history->items + 1, history->count * sizeof history->items[0]);
    }
    history->items[history->count++] = *newest;
}

bool raft__history_can_truncate(const struct raft_history *history, raft_index from)
{
    assert(history->count > 0);
    return history->items[0].index < from;
}

bool raft__history_truncate(struct raft_history *history, raft_index from)
{
    assert(raft__history_can_truncate(history, from));
    uint32_t count = history->count;
    while (history->items[history->count - 1].index >= from) {
        history->count--;
    }
    return history->count < count;
}

const struct raft_indexed_configuration *raft__history_newest(const struct raft_history *history)
{
    assert(history->count > 0);
    return &history->items[history->count - 1];
}

const struct raft_configuration *raft__history_previous(const struct raft_history *history)
{
    if (history->count < 2) return NULL;
    return &history->items[history->count - 2].configuration;
}
