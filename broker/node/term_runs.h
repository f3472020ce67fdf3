/* Which terms wrote which stretch of a log, as the core wants to be told of it. */
#ifndef BROKER_NODE_TERM_RUNS_H
#define BROKER_NODE_TERM_RUNS_H

#include <raft/raft.h>
#include <segment_log/segment_log.h>
#include <stdint.h>

struct term_runs {
    struct raft_term_run *items; /* array[count], oldest first */
    uint32_t count, capacity;
    uint64_t from_index, to_index;
};

/* Of the entries from_index..to_index, as far as the log has them. Give back with term_runs__free(). O(runs of the log). */
void term_runs__collect(const struct segment_log *log, uint64_t from_index, uint64_t to_index,
                        struct term_runs *ret_runs);
void term_runs__free(struct term_runs *runs);

#endif
