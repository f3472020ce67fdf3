#include "id_map.h"

#include "checker_memory.h"

#include <assert.h>
#include <stdlib.h>

void id_map_close(struct id_map *map)
{
    free(map->slots);
    *map = (struct id_map){0};
}

/* Keys are page numbers and pairs of small numbers: the multiplication spreads the low bits into the high ones, of which
 * the slot number is made. */
static uint32_t slot_of(const struct id_map *map, uint64_t key)
{
    uint64_t mixed = (key ^ (key >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t i = (uint32_t)(mixed >> 32) & (map->slots_count - 1);
    while (map->slots[i].value != ID_MAP_NONE && map->slots[i].key != key) {
        i = (i + 1) & (map->slots_count - 1);
    }
    return i;
}

uint32_t id_map_get(const struct id_map *map, uint64_t key)
{
    if (map->slots_count == 0) return ID_MAP_NONE;
    return map->slots[slot_of(map, key)].value;
}

static void grow(struct id_map *map)
{
    struct id_map larger = {.slots_count = map->slots_count == 0 ? 16 : map->slots_count * 2};
    assert(larger.slots_count > map->slots_count);
    larger.slots = memory_array(larger.slots_count, sizeof(*larger.slots));
    for (uint32_t i = 0; i < larger.slots_count; i++) {
        larger.slots[i].value = ID_MAP_NONE;
    }
    for (uint32_t i = 0; i < map->slots_count; i++) {
        if (map->slots[i].value != ID_MAP_NONE) {
            larger.slots[slot_of(&larger, map->slots[i].key)] = map->slots[i];
        }
    }
    larger.used = map->used;
    free(map->slots);
    *map = larger;
}

void id_map_put(struct id_map *map, uint64_t key, uint32_t value)
{
    assert(value != ID_MAP_NONE);
    if (map->used >= map->slots_count / 8 * 5) grow(map);
    struct id_map_slot *slot = &map->slots[slot_of(map, key)];
    assert(slot->value == ID_MAP_NONE);
    *slot = (struct id_map_slot){.key = key, .value = value};
    map->used++;
}
