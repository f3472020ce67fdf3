/* Which rare paths of the product (tests/rare/) a run takes, and how often: a part of what its seed stands for.
 *
 * Each point is on or off for the whole run (swarm), with a frequency of its own, and draws from a stream of its own: one
 * that is added or switched off shifts nothing that another one draws. They come to rest with the faults. */
#ifndef RAFTMQ_SIM_RARE_PATHS_H
#define RAFTMQ_SIM_RARE_PATHS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <rare/hook.h>

#include "draw.h"

/* What the caller insists on. */
struct rare_wishes {
    bool is_on; /* else nothing is taken */
    bool without[RARE_POINTS_COUNT];
    bool with[RARE_POINTS_COUNT]; /* on whatever the seed says */
};

struct rare_counts {
    uint64_t reached[RARE_POINTS_COUNT];
    uint64_t taken[RARE_POINTS_COUNT];
};

struct rare_plan {
    bool is_on[RARE_POINTS_COUNT];
    uint64_t one_in[RARE_POINTS_COUNT];
};

struct rare_paths {
    struct rare_plan plan;
    struct draw draws[RARE_POINTS_COUNT];
    struct rare_counts counts;
    bool rests; /* nothing is taken any more */
    void (*taken)(void *data, enum rare_point point);
    void *data;
};

const char *rare_name(enum rare_point point);
const char *rare_meaning(enum rare_point point);
bool rare_find(const char *name, enum rare_point *ret_point);

void rare_plan_draw(struct rare_plan *plan, uint64_t seed, const struct rare_wishes *wishes);
void rare_plan_print(const struct rare_plan *plan, FILE *out);

/* From now on the product's points ask these, until rare_paths_end(). `taken` is told of each that is taken. False: this
 * build has no points. */
bool rare_paths_begin(struct rare_paths *paths, const struct rare_plan *plan, uint64_t seed,
                      void (*taken)(void *data, enum rare_point point), void *data);
void rare_paths_end(struct rare_paths *paths);

#endif
