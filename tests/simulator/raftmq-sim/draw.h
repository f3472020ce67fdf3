/* Streams of random numbers, one for each part of a run, all from its seed: what one part draws does not shift the
 * others. */
#ifndef RAFTMQ_SIM_DRAW_H
#define RAFTMQ_SIM_DRAW_H
/* Never draw twice in the arguments of one call: C leaves their order to the compiler, and the runs of two compilers
 * would differ. */

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

struct draw {
    uint64_t state;
};

static inline uint64_t draw_next(struct draw *draw)
{
    /* SplitMix64: one word of state, all seeds good. */
    uint64_t z = (draw->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* The stream of part number `part` of the run with this seed. */
static inline struct draw draw_stream(uint64_t seed, uint64_t part)
{
    struct draw draw = {.state = seed};
    draw.state = draw_next(&draw) ^ (part * UINT64_C(0xd1342543de82ef95));
    return draw;
}

/* [0, end), end > 0. The bias of the remainder is below 2^-24 for what a run draws. */
static inline uint64_t draw_below(struct draw *draw, uint64_t end)
{
    assert(end > 0);
    return draw_next(draw) % end;
}

/* [first, last] */
static inline uint64_t draw_between(struct draw *draw, uint64_t first, uint64_t last)
{
    assert(first <= last);
    return first + draw_below(draw, last - first + 1u);
}

/* True `times` out of `of`. */
static inline bool draw_chance(struct draw *draw, uint64_t times, uint64_t of)
{
    return draw_below(draw, of) < times;
}

/* One of the items of an array. */
#define DRAW_FROM(draw, items) ((items)[draw_below((draw), sizeof(items) / sizeof((items)[0]))])

/* Around `mean`, from almost 0 to 4 times as much: the time to the next of events that come by chance. Without floating
 * point, so that every compiler draws the same. */
static inline uint64_t draw_interval(struct draw *draw, uint64_t mean)
{
    uint64_t sum = 0;
    const uint64_t parts = draw_chance(draw, 1, 4) ? 2 : 1;
    for (uint64_t i = 0; i < parts; i++) {
        sum += draw_below(draw, 2u * mean + 1u);
    }
    return draw_chance(draw, 1, 5) ? sum / 8u : sum;
}

#endif
