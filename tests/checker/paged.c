#include "paged.h"

#include "checker_memory.h"

#include <assert.h>
#include <stdlib.h>

void paged_init(struct paged *paged, uint32_t entry_bytes)
{
    *paged = (struct paged){.entry_bytes = entry_bytes};
}

void paged_close(struct paged *paged)
{
    for (uint32_t i = 0; i < paged->pages_count; i++) {
        free(paged->pages[i].entries);
    }
    free(paged->pages);
    id_map_close(&paged->numbers);
    *paged = (struct paged){0};
}

static uint32_t page_add(struct paged *paged, uint64_t key)
{
    uint32_t number = paged->pages_count;
    paged->pages = memory_grow(paged->pages, number, &paged->pages_capacity, sizeof(*paged->pages));
    paged->pages[number] = (struct paged_page){
        .key = key,
        .entries = memory_array(PAGED_ENTRIES, paged->entry_bytes),
    };
    paged->pages_count++;
    id_map_put(&paged->numbers, key, number);
    return number;
}

static void *entry_of(const struct paged *paged, uint32_t number, uint64_t index)
{
    return paged->pages[number].entries + index % PAGED_ENTRIES * paged->entry_bytes;
}

void *paged_find(struct paged *paged, uint64_t index)
{
    assert(paged->entry_bytes > 0);
    uint64_t key = index / PAGED_ENTRIES;
    if (paged->pages_count == 0) return NULL;
    if (paged->pages[paged->last].key != key) {
        uint32_t number = id_map_get(&paged->numbers, key);
        if (number == ID_MAP_NONE) return NULL;
        paged->last = number;
    }
    return entry_of(paged, paged->last, index);
}

void *paged_get(struct paged *paged, uint64_t index)
{
    void *entry = paged_find(paged, index);
    if (entry != NULL) return entry;
    paged->last = page_add(paged, index / PAGED_ENTRIES);
    return entry_of(paged, paged->last, index);
}
