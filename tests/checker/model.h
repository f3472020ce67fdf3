/* A model of a raftmq cluster and its clients that never errs: it makes histories that are clean whatever they look like.
 *
 * Each operation takes effect at one instant between its begin and its end, or, when its outcome is unknown to the
 * client, at any later one or never. Producers keep several batches in flight, time out and retry; leaders change and cut
 * what was not committed; requests arrive long after their client gave up; readers poll, wait, seek, jump and read
 * locally; the log is trimmed; groups commit offsets in any order. One seed, one history. */
#ifndef CHECKER_MODEL_H
#define CHECKER_MODEL_H

#include "recording.h"

struct model_options {
    uint64_t seed;
    uint32_t partitions, producers, plain_producers, readers, committers;
    uint32_t operations;      /* about how many are recorded */
    uint32_t batch_count_max; /* messages of a batch */
    uint32_t read_count_max;  /* messages of an answer */
    bool faults;              /* leaders change, requests are refused, lost or late */
    bool trims;
};

/* Options drawn from a seed: from one client to many, with and without faults. */
struct model_options model_options_draw(uint64_t seed);

/* The history, drained at its end. Closed by the caller. */
struct recording model_run(const struct model_options *options);

#endif
