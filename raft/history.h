/* The configurations of one log, newest last: the one in use and the few before it.
 *
 * Invariants
 *  1. indexes rise strictly; there is always at least one;
 *  2. all but the newest are committed: a leader appends a CONFIG entry only when it knows the one before to be
 *     committed, and equal entries mean equal logs before them (log matching). So a cut takes back one at most,
 *     and remembering a few is enough, however far the known commit index lags behind. */
#ifndef RAFT_HISTORY_H
#define RAFT_HISTORY_H

#include <raft/raft.h>

struct raft_history {
    struct raft_indexed_configuration items[RAFT_CONFIGURATIONS_MAX];
    uint32_t count;
};

/* Forget all but this one. */
void raft__history_reset(struct raft_history *history,
                         const struct raft_indexed_configuration *newest);

/* The entry was appended: it lies above the newest. The oldest is forgotten when there is no room. */
void raft__history_push(struct raft_history *history,
                        const struct raft_indexed_configuration *newest);

/* Can the log be cut from `from` on with a configuration left? */
bool raft__history_can_truncate(const struct raft_history *history, raft_index from);

/* The log was cut from `from` on. True when another one is the newest now. */
bool raft__history_truncate(struct raft_history *history, raft_index from);

const struct raft_indexed_configuration *raft__history_newest(const struct raft_history *history);

/* The one before the newest; NULL when it is not remembered. */
const struct raft_configuration *raft__history_previous(const struct raft_history *history);

#endif
