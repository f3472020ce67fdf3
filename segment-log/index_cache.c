#include "index_cache.h"

#include <assert.h>
#include <stdlib.h>

const struct segment_point *index_cache__find(struct index_cache *cache, uint64_t sequence,
                                              enum segment_log_key key, uint64_t value)
{
    assert(sequence > 0);
    for (uint32_t i = 0; i < INDEX_CACHE_MAX; i++) {
        if (cache->items[i].sequence != sequence) continue;
        cache->items[i].used = ++cache->uses_total;
        return footer__find(cache->items[i].points, cache->items[i].points_count, key, value);
    }
    return NULL;
}

void index_cache__put(struct index_cache *cache, uint64_t sequence, struct footer_point *points,
                      uint32_t points_count)
{
    assert(sequence > 0);
    assert(points_count > 0);
    /* Two jobs may have loaded the same one. */
    index_cache__forget(cache, sequence, sequence + 1);
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < INDEX_CACHE_MAX; i++) {
        if (cache->items[i].used < cache->items[oldest].used) oldest = i;
    }
    free(cache->items[oldest].points);
    cache->items[oldest].sequence = sequence;
    cache->items[oldest].points = points;
    cache->items[oldest].points_count = points_count;
    cache->items[oldest].used = ++cache->uses_total;
}

void index_cache__forget(struct index_cache *cache, uint64_t first, uint64_t end)
{
    for (uint32_t i = 0; i < INDEX_CACHE_MAX; i++) {
        uint64_t sequence = cache->items[i].sequence;
        if (sequence == 0 || sequence < first || sequence >= end) continue;
        free(cache->items[i].points);
        cache->items[i].sequence = 0;
        cache->items[i].points = NULL;
        cache->items[i].used = 0;
    }
}
