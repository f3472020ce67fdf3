/* For who decides which rare paths are taken: the simulator. */
#ifndef RARE_HOOK_H
#define RARE_HOOK_H

#include <stdbool.h>

#include <rare/points.h>

enum rare_point {
#define X(name, one_in, what) RARE_##name,
    RARE_POINTS(X)
#undef X
};
#define X(name, one_in, what) +1
enum { RARE_POINTS_COUNT = RARE_POINTS(X) };
#undef X

/* Asked each time a point is reached. */
typedef bool (*rare_take_cb)(void *data, enum rare_point point);

#ifdef RAFTMQ_PLANTED_BUGS

/* NULL: nothing is taken, as at first. One thread alone may reach points while a hook is set. False: this build has no points. */
bool rare_set_hook(rare_take_cb take, void *data);
bool rare_is_taken(enum rare_point point);

#else

static inline bool rare_set_hook(rare_take_cb take, void *data)
{
    (void)take;
    (void)data;
    return false;
}

#endif

#endif
