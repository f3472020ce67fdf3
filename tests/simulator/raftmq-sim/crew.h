/* The processes that run seeds. A seed that fails ends its worker; the crew notes it, and goes on with another worker
 * or stops. */
#ifndef RAFTMQ_SIM_CREW_H
#define RAFTMQ_SIM_CREW_H

#include "run.h"

#define CREW_JOBS_MAX 64u

struct crew_options {
    uint64_t first_seed;
    uint64_t count;
    uint64_t *seeds; /* array[seeds_count], instead of first_seed ...; NULL: those */
    uint32_t seeds_count;
    uint32_t jobs;
    struct plan_wishes wishes;
    bool tells;
    bool traces_events;
    bool prints_hashes;
    bool keeps_going;
    bool shrinks;
};

/* Runs all seeds and prints the sums. The exit code: 0, or 1 when a seed failed, or a fault that was switched on struck
 * in none of many, or a rare path was taken in none of them. */
int crew_run(const struct crew_options *options);

/* Runs the first seed; when it fails, again and again with less of everything, and prints the smallest command that fails in
 * the same way. The exit code: 0 when the seed does not fail. */
int crew_shrink(const struct crew_options *options);

#endif
