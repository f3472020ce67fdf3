/* The newest entries of a log in memory, in their on-disk encoding, with a small record of each.
 *
 *   chunks   a list of reference-counted buffers, oldest first; entries stand back to back, none straddles two. New ones
 *            go into the last. A buffer is never moved or written again where an entry stands, so views and
 *            disk jobs borrow its bytes.
 *   ring     one entry_meta per cached entry, slot = index & mask; binary search by index, offset and time.
 *
 * Invariants: the ring covers first_index .. first_index + count - 1 without a hole; `before` is the state in front of
 * it; every chunk in the list but the last holds at least one of its entries.
 * All of it belongs to the owner's thread; a job's thread only reads bytes that were frozen for it. */
#ifndef SEGMENT_LOG_CACHE_H
#define SEGMENT_LOG_CACHE_H

#include <segment_log/segment_log.h>

struct chunk_pool;

struct segment_log_chunk {
    struct chunk_pool *pool; /* NULL: a read job's own */
    struct segment_log_chunk *next;
    uint32_t refs;
    size_t capacity, used;
    uint64_t first_index, last_index; /* live entries; first > last: none */
    uint8_t bytes[] __attribute__((aligned(64)));
};

struct entry_meta {
    struct segment_log_chunk *chunk;
    uint32_t pos; /* in chunk->bytes */
    uint32_t bytes;
    uint64_t term;
    uint64_t chain;
    uint64_t base_offset;
    int64_t timestamp_ms;
    uint32_t record_count;
    enum entry_type type;
};

struct cache {
    struct chunk_pool *pool;
    struct segment_log_chunk *head, *tail;
    size_t bytes; /* of all chunks in the list, used part */
    size_t bytes_max;
    struct entry_meta *ring;
    uint64_t ring_capacity;
    uint64_t first_index;
    uint64_t count;
    struct segment_log_point before;
};

/* Empty, behind `before`. False: no memory. */
bool cache__init(struct cache *cache, size_t bytes_max, const struct segment_log_point *before);
/* Chunks that views still hold live on until those are released. */
void cache__close(struct cache *cache);

/* Room for one entry of `bytes` behind the last one. NULL: no memory, nothing changed. The caller encodes the entry there
 * and adds it. */
uint8_t *cache__place(struct cache *cache, size_t bytes);
/* The entry just placed. */
void cache__add(struct cache *cache, const struct entry_header *header, size_t bytes);

/* Forget entries >= from_index. */
void cache__cut(struct cache *cache, uint64_t from_index);
/* Forget everything and start again behind `before`. */
void cache__reset(struct cache *cache, const struct segment_log_point *before);
/* Forget the oldest entries beyond bytes_max, only durable ones, whole chunks at a time. */
void cache__evict(struct cache *cache, uint64_t durable_index);

static inline bool cache__has(const struct cache *cache, uint64_t index)
{
    return index >= cache->first_index && index - cache->first_index < cache->count;
}
static inline const struct entry_meta *cache__meta(const struct cache *cache, uint64_t index)
{
    return &cache->ring[index & (cache->ring_capacity - 1)];
}
static inline const uint8_t *cache__bytes(const struct entry_meta *meta)
{
    return meta->chunk->bytes + meta->pos;
}
/* The state behind entry `index`, which is cached, or behind `before`. */
struct segment_log_point cache__point(const struct cache *cache, uint64_t index);

/* A chunk of its own, outside of any cache, refs = 1. NULL: no memory. Any thread. */
struct segment_log_chunk *chunk__create(size_t capacity);
void chunk__ref(struct segment_log_chunk *chunk);
void chunk__unref(struct segment_log_chunk *chunk);

#endif
