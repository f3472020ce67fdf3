#include "rare_paths.h"

#include <inttypes.h>
#include <string.h>

/* Of draw_stream(): the plan, then a stream for each point. */
#define PART_RARE       500u
#define PART_RARE_FIRST 501u

const char *rare_name(enum rare_point point)
{
    static const char *const names[] = {
#define X(name, one_in, what) #name,
        RARE_POINTS(X)
#undef X
    };
    return names[point];
}

const char *rare_meaning(enum rare_point point)
{
    static const char *const meanings[] = {
#define X(name, one_in, what) what,
        RARE_POINTS(X)
#undef X
    };
    return meanings[point];
}

bool rare_find(const char *name, enum rare_point *ret_point)
{
    for (int i = 0; i < RARE_POINTS_COUNT; i++) {
        if (strcmp(name, rare_name((enum rare_point)i)) != 0) continue;
        *ret_point = (enum rare_point)i;
        return true;
    }
    return false;
}

void rare_plan_draw(struct rare_plan *plan, uint64_t seed, const struct rare_wishes *wishes)
{
    static const uint64_t usual[] = {
#define X(name, one_in, what) one_in,
        RARE_POINTS(X)
#undef X
    };
    /* Of four: seldom, as the table says, often, very often. */
    static const uint64_t times[] = {4, 1, 1, 1}, divided_by[] = {1, 1, 4, 16};
    struct draw draw = draw_stream(seed, PART_RARE);
    const uint64_t on_in_six = draw_between(&draw, 1, 4); /* few points, or many at once */
    for (int i = 0; i < RARE_POINTS_COUNT; i++) {
        const bool is_drawn = draw_chance(&draw, on_in_six, 6);
        const uint64_t frequency = draw_below(&draw, 4);
        plan->one_in[i] = usual[i] * times[frequency] / divided_by[frequency];
        if (plan->one_in[i] < 2u)
            plan->one_in[i] = 2u; /* a path that is always taken ends nowhere */
        plan->is_on[i] = wishes->is_on && !wishes->without[i] && (is_drawn || wishes->with[i]);
    }
}

void rare_plan_print(const struct rare_plan *plan, FILE *out)
{
    const char *separator = "  rare paths: ";
    for (int i = 0; i < RARE_POINTS_COUNT; i++) {
        if (!plan->is_on[i]) continue;
        fprintf(out, "%s%s 1 in %" PRIu64, separator, rare_name((enum rare_point)i),
                plan->one_in[i]);
        separator = ", ";
    }
    if (separator[0] == ',') fputc('\n', out);
}

static bool take(void *data, enum rare_point point)
{
    struct rare_paths *paths = data;
    paths->counts.reached[point]++;
    if (paths->rests || !paths->plan.is_on[point]) return false;
    if (!draw_chance(&paths->draws[point], 1, paths->plan.one_in[point])) return false;
    paths->counts.taken[point]++;
    paths->taken(paths->data, point);
    return true;
}

bool rare_paths_begin(struct rare_paths *paths, const struct rare_plan *plan, uint64_t seed,
                      void (*taken)(void *data, enum rare_point point), void *data)
{
    *paths = (struct rare_paths){.plan = *plan, .taken = taken, .data = data};
    for (uint64_t i = 0; i < RARE_POINTS_COUNT; i++) {
        paths->draws[i] = draw_stream(seed, PART_RARE_FIRST + i);
    }
    return rare_set_hook(take, paths);
}

void rare_paths_end(struct rare_paths *paths)
{
    paths->rests = true;
    (void)rare_set_hook(NULL, NULL);
}
