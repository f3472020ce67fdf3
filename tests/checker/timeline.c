#include "timeline.h"

#include "checker_memory.h"

#include <assert.h>
#include <stdlib.h>

void timeline_close(struct timeline *timeline)
{
    free(timeline->steps);
    *timeline = (struct timeline){0};
}

void timeline_raise(struct timeline *timeline, const struct timeline_step *step)
{
    if (timeline->steps_count > 0) {
        const struct timeline_step *last = &timeline->steps[timeline->steps_count - 1];
        assert(last->time <= step->time);
        if (step->value <= last->value) return;
    }
    timeline->steps = memory_grow(timeline->steps, timeline->steps_count, &timeline->steps_capacity,
                                  sizeof(*timeline->steps));
    timeline->steps[timeline->steps_count++] = *step;
}

const struct timeline_step *timeline_before(const struct timeline *timeline, uint64_t time)
{
    /* Gallop from the end until a step before `time` is found, then halve. Steps [0, low) are before, [high, count)
     * are not. */
    uint32_t high = timeline->steps_count, low = 0;
    for (uint32_t width = 1; high > 0; width *= 2) {
        uint32_t probe = high > width ? high - width : 0;
        if (timeline->steps[probe].time < time) {
            low = probe + 1;
            break;
        }
        high = probe;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (timeline->steps[middle].time < time) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? NULL : &timeline->steps[low - 1];
}
