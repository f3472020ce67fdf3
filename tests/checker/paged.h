/* An array with 64-bit indexes of which few are used, mostly in runs: pages of 32 zeroed entries, found by hash.
 * Entries never move. */
#ifndef CHECKER_PAGED_H
#define CHECKER_PAGED_H

#include "id_map.h"

#include <stdint.h>

#define PAGED_ENTRIES 32u

struct paged {
    uint32_t entry_bytes;
    struct id_map numbers; /* page key -> number */
    struct paged_page {
        uint64_t key;
        char *entries;
    } * pages;
    uint32_t pages_count, pages_capacity;
    uint32_t last; /* number of the page that was used last, while there is any */
};

void paged_init(struct paged *paged, uint32_t entry_bytes);
void paged_close(struct paged *paged);
/* The entry, made (all zero) if needed. */
void *paged_get(struct paged *paged, uint64_t index);
/* The entry, or NULL when its page was never made. */
void *paged_find(struct paged *paged, uint64_t index);

static inline uint64_t paged_bytes(const struct paged *paged)
{
    return (uint64_t)paged->pages_count * PAGED_ENTRIES * paged->entry_bytes;
}

#endif
