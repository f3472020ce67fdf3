#include "checker_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_die(void *memory)
{
    if (memory == NULL) {
        fputs("history checker: out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *memory_array(size_t count, size_t bytes)
{
    return or_die(calloc(count, bytes));
}

void *memory_grow(void *items, uint32_t count, uint32_t *capacity, size_t bytes)
{
    if (count < *capacity) return items;
    if (*capacity > UINT32_MAX / 4) or_die(NULL);
    *capacity = *capacity == 0 ? 8 : *capacity * 2;
    return or_die(reallocarray(items, *capacity, bytes));
}

char *memory_text(const char *text)
{
    return or_die(strdup(text));
}
