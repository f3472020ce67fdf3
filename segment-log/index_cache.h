/* The sparse indexes of the sealed segments that were looked into last. A read job loads one from the footer and leaves it
 * here when it is finished, so that a reader who goes through a segment loads it once; the one that was not used for the
 * longest time makes room. At most INDEX_CACHE_MAX * FOOTER_POINTS_MAX points per log, some 230 KB. */
#ifndef SEGMENT_LOG_INDEX_CACHE_H
#define SEGMENT_LOG_INDEX_CACHE_H

#include "footer.h"

#define INDEX_CACHE_MAX 4u /* segments */

struct index_cache {
    struct {
        uint64_t sequence; /* of the segment; 0: free */
        struct footer_point *points;
        uint32_t points_count;
        uint64_t used; /* the higher, the later */
    } items[INDEX_CACHE_MAX];
    uint64_t uses_total;
};

/* The last point of segment `sequence` from which `value` can be reached. NULL: its index is not here. */
const struct segment_point *index_cache__find(struct index_cache *cache, uint64_t sequence,
                                              enum segment_log_key key, uint64_t value);
/* `points` is moved. */
void index_cache__put(struct index_cache *cache, uint64_t sequence, struct footer_point *points,
                      uint32_t points_count);
/* Of segments from `first` to before `end`: they are cut, dropped or sealed anew. */
void index_cache__forget(struct index_cache *cache, uint64_t first, uint64_t end);

#endif
