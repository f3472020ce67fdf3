/* Open-addressing hash from 64-bit keys to small indexes, the one hash of the checker. */
#ifndef CHECKER_ID_MAP_H
#define CHECKER_ID_MAP_H

#include <stdint.h>

#define ID_MAP_NONE UINT32_MAX

struct id_map_slot {
    uint64_t key;
    uint32_t value; /* ID_MAP_NONE: free */
};

/* All zero is an empty map. */
struct id_map {
    struct id_map_slot *slots;
    uint32_t slots_count; /* a power of two, or 0 */
    uint32_t used;
};

void id_map_close(struct id_map *map);
/* ID_MAP_NONE when the key is not in the map. */
uint32_t id_map_get(const struct id_map *map, uint64_t key);
/* The key must not be in the map yet; value != ID_MAP_NONE. */
void id_map_put(struct id_map *map, uint64_t key, uint32_t value);

#endif
