/* Reading from memory: search in the cache's ring, and views that borrow its chunks. */
#include "log.h"

#include <rare/rare.h>

#include <assert.h>

/* The first cached entry at or behind from_index whose state in front does not precede `value`. For offset and time this
 * is one behind the wanted entry at most by entries without records, which the caller skips. */
static uint64_t lower_bound(const struct cache *cache, enum segment_log_key key, uint64_t value,
                            uint64_t from_index)
{
    uint64_t low = from_index, high = cache->first_index + cache->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const struct entry_meta *meta = cache__meta(cache, middle);
        bool before = key == SEGMENT_LOG_BY_OFFSET ? meta->base_offset + meta->record_count <= value
                                                   : meta->timestamp_ms < (int64_t)value;
        if (before) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint64_t log__find_cached(const struct segment_log *log, enum segment_log_key key, uint64_t value,
                          uint64_t from_index)
{
    const struct cache *cache = &log->cache;
    if (from_index < cache->first_index) from_index = cache->first_index;
    if (key == SEGMENT_LOG_BY_INDEX) {
        return value >= from_index && cache__has(cache, value) ? value : 0;
    }
    uint64_t index = lower_bound(cache, key, value, from_index);
    while (cache__has(cache, index) && cache__meta(cache, index)->record_count == 0) {
        index++;
    }
    return cache__has(cache, index) ? index : 0;
}

void log__view(const struct segment_log *log, uint64_t first_index, uint64_t last_index,
               size_t bytes_max, struct segment_log_view *ret_view)
{
    const struct cache *cache = &log->cache;
    assert(cache__has(cache, first_index));
    assert(cache__has(cache, last_index));
    ret_view->parts_count = 0;
    ret_view->bytes_total = 0;
    ret_view->first_index = first_index;
    const uint8_t *end = NULL;
    uint64_t index = first_index;
    for (; index <= last_index; index++) {
        const struct entry_meta *meta = cache__meta(cache, index);
        if (index > first_index && meta->bytes > bytes_max - ret_view->bytes_total) break;
        if (index > first_index && RARELY(VIEW_OF_FEW_ENTRIES)) break;
        const uint8_t *bytes = cache__bytes(meta);
        if (bytes != end || ret_view->parts[ret_view->parts_count - 1].chunk != meta->chunk) {
            if (ret_view->parts_count == SEGMENT_LOG_VIEW_PARTS_MAX) break;
            uint32_t part = ret_view->parts_count++;
            ret_view->parts[part].bytes = bytes;
            ret_view->parts[part].bytes_count = 0;
            ret_view->parts[part].chunk = meta->chunk;
            chunk__ref(meta->chunk);
        }
        ret_view->parts[ret_view->parts_count - 1].bytes_count += meta->bytes;
        ret_view->bytes_total += meta->bytes;
        end = bytes + meta->bytes;
        if (ret_view->bytes_total >= bytes_max) {
            index++;
            break;
        }
    }
    ret_view->last_index = index - 1;
}

enum segment_log_status log__check_range(const struct segment_log *log, enum segment_log_key key,
                                         uint64_t value, uint64_t *last_index)
{
    if (log->broken) return SEGMENT_LOG_IO;
    if (*last_index > log->last.index) *last_index = log->last.index;
    if (*last_index <= log->base.index) return SEGMENT_LOG_OUT_OF_RANGE;
    if (key == SEGMENT_LOG_BY_INDEX && (value <= log->base.index || value > *last_index)) {
        return SEGMENT_LOG_OUT_OF_RANGE;
    }
    if (key == SEGMENT_LOG_BY_OFFSET &&
        (value < log->base.next_offset || value >= log->last.next_offset)) {
        return SEGMENT_LOG_OUT_OF_RANGE;
    }
    return SEGMENT_LOG_OK;
}

enum segment_log_status segment_log_read(struct segment_log *log, enum segment_log_key key,
                                         uint64_t value, uint64_t last_index, size_t bytes_max,
                                         struct segment_log_view *ret_view)
{
    const enum segment_log_status status = log__check_range(log, key, value, &last_index);
    if (status != SEGMENT_LOG_OK) return status;
    /* What lies in front of the cache may hold it unless the state there is already too early. */
    bool before_cache = !segment__point_precedes(&log->cache.before, key, value);
    if (before_cache && log->cache.first_index > log->base.index + 1) return SEGMENT_LOG_NOT_CACHED;
    uint64_t index = log__find_cached(log, key, value, log->base.index + 1);
    if (index == 0 || index > last_index) return SEGMENT_LOG_OUT_OF_RANGE;
    log__view(log, index, last_index, bytes_max, ret_view);
    return SEGMENT_LOG_OK;
}

void segment_log_view_release(struct segment_log_view *view)
{
    for (uint32_t i = 0; i < view->parts_count; i++) {
        chunk__unref(view->parts[i].chunk);
    }
    view->parts_count = 0;
    view->bytes_total = 0;
}
