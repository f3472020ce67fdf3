/* Operations kept in memory, so that tests can judge a history, change it and judge it again. */
#ifndef CHECKER_RECORDING_H
#define CHECKER_RECORDING_H

#include "history_checker.h"

/* Sessions, partitions and groups are numbers from 0; their names are "s0", "t/0", "g0", ... */
struct recording {
    struct history_op *ops; /* in the order of completion; each owns its runs */
    uint32_t ops_count, ops_capacity;
    uint32_t sessions_count, partitions_count, groups_count;
};

void recording_close(struct recording *recording);
/* Copies the operation with its runs. */
void recording_add(struct recording *recording, const struct history_op *op);
/* A copy with runs of its own. */
struct recording recording_copy(const struct recording *recording);
/* Give the history the recording's names, in the order of their numbers. */
void recording_names(const struct recording *recording, struct history *history);
/* Names, adds everything and finishes. Anything but OK stops at once. */
HISTORY_CHECKED enum history_status recording_judge(const struct recording *recording,
                                                    struct history *history);

/* The operation's runs, whatever its kind. */
struct history_run *recording_runs(struct history_op *op, uint32_t *ret_count);

/* A small random number generator (splitmix64), so that a seed means the same everywhere. */
struct dice {
    uint64_t state;
};
/* [0, sides) */
uint32_t dice_below(struct dice *dice, uint32_t sides);
bool dice_chance(struct dice *dice, uint32_t percent);

#endif
