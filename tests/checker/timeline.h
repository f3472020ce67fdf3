/* A number that only grows over real time, and who raised it: "what was known before this operation began?"
 *
 * Steps are added in the order of their time; only those that raise the number are kept. */
#ifndef CHECKER_TIMELINE_H
#define CHECKER_TIMELINE_H

#include <stdint.h>

struct timeline_step {
    uint64_t time;
    uint64_t value;
    uint64_t invoked; /* of the operation that raised it */
    uint32_t session, node;
    uint64_t detail; /* the caller's */
};

struct timeline {
    struct timeline_step *steps;
    uint32_t steps_count, steps_capacity;
};

void timeline_close(struct timeline *timeline);
void timeline_raise(struct timeline *timeline, const struct timeline_step *step);
/* The last step before `time`, NULL when there is none. Cost: the logarithm of the number of steps since then, which is
 * the concurrency and not the length of the history. Borrowed until the next raise. */
const struct timeline_step *timeline_before(const struct timeline *timeline, uint64_t time);

#endif
