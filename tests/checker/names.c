#include "names.h"

#include "checker_memory.h"

#include <stdlib.h>
#include <string.h>

void names_close(struct names *names)
{
    for (uint32_t i = 0; i < names->count; i++) {
        free(names->texts[i]);
    }
    free(names->texts);
    free(names->next);
    id_map_close(&names->first_of_hash);
    *names = (struct names){0};
}

/* FNV-1a. Equal hashes are chained, so a poor spread costs time only. */
static uint64_t hash_of(const char *name, size_t bytes)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes; i++) {
        hash = (hash ^ (uint8_t)name[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static uint32_t add(struct names *names, const char *name, size_t bytes)
{
    uint32_t number = names->count;
    names->texts = memory_grow(names->texts, number, &names->texts_capacity, sizeof(char *));
    names->next = memory_grow(names->next, number, &names->next_capacity, sizeof(uint32_t));
    names->texts[number] = memory_array(bytes + 1, 1);
    memcpy(names->texts[number], name, bytes);
    names->next[number] = ID_MAP_NONE;
    names->count++;
    return number;
}

uint32_t names_number(struct names *names, const char *name, size_t bytes)
{
    uint64_t hash = hash_of(name, bytes);
    uint32_t number = id_map_get(&names->first_of_hash, hash);
    if (number == ID_MAP_NONE) {
        number = add(names, name, bytes);
        id_map_put(&names->first_of_hash, hash, number);
        return number;
    }
    while (strncmp(names->texts[number], name, bytes) != 0 || names->texts[number][bytes] != 0) {
        if (names->next[number] == ID_MAP_NONE) {
            uint32_t added = add(names, name, bytes);
            names->next[number] = added;
            return added;
        }
        number = names->next[number];
    }
    return number;
}
