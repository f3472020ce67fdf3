#include "crashes.h"

#include <assert.h>

struct crashes {
    const struct memory_disk_loose *items;
    uint32_t count;
    enum memory_disk_fate fates[CRASH_LOOSE_MAX];
    crash_cb cb;
    void *data;
};

static void set_all(struct crashes *crashes, enum memory_disk_fate fate)
{
    for (uint32_t i = 0; i < crashes->count; i++) {
        crashes->fates[i] = fate;
    }
}

static bool try_it(struct crashes *crashes)
{
    return crashes->cb(crashes->data, crashes->fates);
}

/* One in `step` of the items, beginning with another one each turn, so that at most `max` are taken. */
static uint32_t step_for(uint32_t count, uint32_t max)
{
    return max == 0 ? count + 1 : (count + max - 1) / max > 0 ? (count + max - 1) / max : 1;
}

static bool try_singles(struct crashes *crashes, uint32_t max, uint32_t turn)
{
    const uint32_t step = step_for(crashes->count, max);
    for (uint32_t i = turn % step; i < crashes->count; i += step) {
        set_all(crashes, MEMORY_DISK_KEPT);
        crashes->fates[i] = MEMORY_DISK_DROPPED;
        if (!try_it(crashes)) return false;
        set_all(crashes, MEMORY_DISK_DROPPED);
        crashes->fates[i] = MEMORY_DISK_KEPT;
        if (!try_it(crashes)) return false;
    }
    return true;
}

static bool try_edges(struct crashes *crashes, uint32_t max, uint32_t turn)
{
    const uint32_t step = step_for(crashes->count, max);
    for (uint32_t edge = 1 + turn % step; edge < crashes->count; edge += step) {
        for (uint32_t front = 0; front < 2; front++) {
            for (uint32_t i = 0; i < crashes->count; i++) {
                crashes->fates[i] =
                    (i < edge) == (front == 0) ? MEMORY_DISK_KEPT : MEMORY_DISK_DROPPED;
            }
            if (!try_it(crashes)) return false;
        }
    }
    return true;
}

static bool try_torn(struct crashes *crashes, uint32_t max, uint32_t turn)
{
    static const enum memory_disk_fate ways[] = {MEMORY_DISK_TORN_NOISE, MEMORY_DISK_TORN_FRONT,
                                                 MEMORY_DISK_TORN_BACK};
    const uint32_t step = step_for(crashes->count, max);
    for (uint32_t i = turn % step; i < crashes->count; i += step) {
        if (crashes->items[i].kind != MEMORY_DISK_LOOSE_SECTOR) continue;
        for (uint32_t way = 0; way < 3; way++) {
            set_all(crashes, MEMORY_DISK_KEPT);
            crashes->fates[i] = ways[way];
            if (!try_it(crashes)) return false;
            set_all(crashes, MEMORY_DISK_DROPPED);
            crashes->fates[i] = ways[way];
            if (!try_it(crashes)) return false;
        }
    }
    return true;
}

static uint32_t draw(uint64_t *random, uint32_t below)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33) % below;
}

/* What the even choices never bring together: a torn mark here, half a new file there. */
static bool try_mixed(struct crashes *crashes, uint32_t count, uint32_t turn)
{
    static const enum memory_disk_fate torn[] = {MEMORY_DISK_TORN_NOISE, MEMORY_DISK_TORN_FRONT,
                                                 MEMORY_DISK_TORN_BACK};
    uint64_t random = turn;
    for (uint32_t n = 0; n < count; n++) {
        const uint32_t kept_in_8 = 1 + draw(&random, 7);
        for (uint32_t i = 0; i < crashes->count; i++) {
            const bool is_torn =
                crashes->items[i].kind == MEMORY_DISK_LOOSE_SECTOR && draw(&random, 6) == 0;
            crashes->fates[i] = is_torn                        ? torn[draw(&random, 3)]
                                : draw(&random, 8) < kept_in_8 ? MEMORY_DISK_KEPT
                                                               : MEMORY_DISK_DROPPED;
        }
        if (!try_it(crashes)) return false;
    }
    return true;
}

static bool try_names(struct crashes *crashes, uint32_t max)
{
    uint32_t names = 0;
    while (names < crashes->count && crashes->items[names].kind == MEMORY_DISK_LOOSE_NAME) {
        names++;
    }
    if (names > max) names = max;
    for (uint32_t choice = 1; names > 0 && choice + 1 < 1u << names; choice++) {
        for (uint32_t rest = 0; rest < 2; rest++) {
            set_all(crashes, rest ? MEMORY_DISK_KEPT : MEMORY_DISK_DROPPED);
            for (uint32_t i = 0; i < names; i++) {
                crashes->fates[i] = choice >> i & 1u ? MEMORY_DISK_KEPT : MEMORY_DISK_DROPPED;
            }
            if (!try_it(crashes)) return false;
        }
    }
    return true;
}

bool crashes_each(const struct memory_disk_loose *items, uint32_t count,
                  const struct crash_limits *limits, uint32_t turn, crash_cb cb, void *data)
{
    assert(count <= CRASH_LOOSE_MAX);
    struct crashes crashes = {.items = items, .count = count, .cb = cb, .data = data};
    set_all(&crashes, MEMORY_DISK_DROPPED);
    if (!try_it(&crashes)) return false;
    if (count == 0) return true;
    set_all(&crashes, MEMORY_DISK_KEPT);
    return try_it(&crashes) && try_singles(&crashes, limits->singles_max, turn) &&
           try_edges(&crashes, limits->edges_max, turn) &&
           try_torn(&crashes, limits->torn_max, turn) && try_names(&crashes, limits->names_max) &&
           try_mixed(&crashes, limits->mixed, turn);
}
