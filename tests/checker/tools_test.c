/* The tools under the checker against the simplest thing that does the same. */
#include "id_map.h"
#include "names.h"
#include "paged.h"
#include "recording.h"
#include "timeline.h"

#include <criterion/criterion.h>
#include <string.h>

#define STEPS 300

Test(history_timeline, tells_the_last_step_before_a_time)
{
    struct dice dice = {.state = 1};
    for (uint32_t round = 0; round < 50; round++) {
        struct timeline timeline = {.steps = NULL};
        struct timeline_step all[STEPS];
        uint64_t time = 10;
        for (uint32_t i = 0; i < STEPS; i++) {
            time += dice_below(&dice, 3); /* equal times too */
            all[i] = (struct timeline_step){.time = time, .value = dice_below(&dice, 5 + i)};
            timeline_raise(&timeline, &all[i]);
        }
        for (uint64_t at = 0; at < time + 5; at++) {
            uint64_t highest = 0;
            for (uint32_t i = 0; i < STEPS && all[i].time < at; i++) {
                if (all[i].value > highest) highest = all[i].value;
            }
            const struct timeline_step *step = timeline_before(&timeline, at);
            cr_assert_eq(step == NULL ? 0 : step->value, highest, "at %lu", (unsigned long)at);
        }
        timeline_close(&timeline);
    }
}

Test(history_id_map, finds_what_was_put_and_nothing_else)
{
    struct id_map map = {.slots = NULL};
    cr_expect_eq(id_map_get(&map, 0), ID_MAP_NONE);
    for (uint32_t i = 0; i < 5000; i++) {
        id_map_put(&map, (uint64_t)i << 32 | i / 3, i);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        cr_assert_eq(id_map_get(&map, (uint64_t)i << 32 | i / 3), i);
        cr_assert_eq(id_map_get(&map, (uint64_t)i << 32 | (i / 3 + 1)), ID_MAP_NONE);
    }
    id_map_close(&map);
}

Test(history_paged, entries_are_zero_at_first_and_stay_where_they_are)
{
    struct paged paged;
    paged_init(&paged, sizeof(uint64_t));
    static const uint64_t indexes[] = {0, 1, 31, 32, 33, 1000, UINT64_MAX, UINT64_MAX - 32};
    uint64_t *entries[sizeof(indexes) / sizeof(indexes[0])];
    cr_expect_null(paged_find(&paged, 0));
    for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
        entries[i] = paged_get(&paged, indexes[i]);
        cr_assert_eq(*entries[i], 0);
        *entries[i] = indexes[i] + 7;
    }
    for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
        cr_assert_eq(paged_find(&paged, indexes[i]), entries[i]);
        cr_assert_eq(*entries[i], indexes[i] + 7);
    }
    cr_expect_null(paged_find(&paged, 64));
    paged_close(&paged);
}

Test(history_names, are_numbered_in_the_order_of_their_first_use)
{
    struct names names = {.texts = NULL};
    char text[32];
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 1000; i++) {
            int bytes = snprintf(text, sizeof(text), "name-%u", i);
            cr_assert_eq(names_number(&names, text, (size_t)bytes), i);
        }
    }
    cr_expect_eq(names_number(&names, "name-7 and more", 6), 7);
    cr_expect_eq(names.count, 1000);
    names_close(&names);
}
