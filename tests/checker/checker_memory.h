/* Memory of the checker: zeroed, and out of memory ends the program, for a history judged by half is worth nothing. */
#ifndef CHECKER_MEMORY_H
#define CHECKER_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* Zeroed; never NULL. */
void *memory_array(size_t count, size_t bytes);

/* Room for one more item behind items[count]: doubles *capacity when it is reached. Returns the array. */
void *memory_grow(void *items, uint32_t count, uint32_t *capacity, size_t bytes);

char *memory_text(const char *text);

#endif
