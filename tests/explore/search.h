/* Breadth first over all states within the bounds, each visited once: the first violation found is one of the shortest.
 *
 * Visited states are remembered by a 64-bit fingerprint. Two states that share one would hide the second; over n
 * states the chance that this ever happened is about n * n / 2^65, 3 in 100,000 for 30 million. */
#ifndef EXPLORE_SEARCH_H
#define EXPLORE_SEARCH_H

#include "world.h"

#define SEARCH_ASSERTION "an assertion of the core"

struct search_limits {
    uint64_t states;  /* distinct ones */
    uint64_t seconds; /* 0 = no limit */
    bool quiet;
};

struct search_result {
    bool exhausted; /* nothing within the bounds is left */
    uint64_t states;
    uint64_t expanded; /* of them, all their events were tried */
    uint64_t events;
    uint64_t steps; /* of the real core: distinct pairs of a local and an event */
    uint32_t locals;
    uint32_t letters;
    uint32_t depth; /* events from the start to the farthest state */
    double seconds;
    /* What the states reached, to show that the space is not empty. */
    uint32_t terms_led;
    uint32_t committed;
    uint64_t crashes;
    uint64_t reads_answered;
    uint64_t cuts;
    const char *broken; /* a promise; NULL = all held */
    uint32_t path_length;
};

/* What the search takes for granted, tried out on a part of the space, on all of its locals and letters:
 *
 *   - a core restored from a local is captured as the same local;
 *   - a letter that is left out as dead changes nothing where it arrives, and what is answered is dead too;
 *   - nodes are alike: with other names, an event does the same under other names.
 *
 * Returns how many comparisons were made; 0 = one failed, and ret_wrong tells which. */
uint64_t search_check_assumptions(const struct explore_plan *plan, uint64_t states,
                                  const char **ret_wrong);

/* A broken promise is told with its path on stdout; result->broken names it. */
void search_run(const struct explore_plan *plan, const struct search_limits *limits,
                struct search_result *result);

#endif
