/* Names as dense numbers, in the order of their first use. */
#ifndef CHECKER_NAMES_H
#define CHECKER_NAMES_H

#include "id_map.h"

#include <stddef.h>
#include <stdint.h>

struct names {
    char **texts;
    uint32_t *next; /* the next name with the same hash, ID_MAP_NONE at the end */
    uint32_t count, texts_capacity, next_capacity;
    struct id_map first_of_hash;
};

void names_close(struct names *names);
/* The number of the name, made if needed; copied, `bytes` long, no NUL needed. */
uint32_t names_number(struct names *names, const char *name, size_t bytes);

#endif
