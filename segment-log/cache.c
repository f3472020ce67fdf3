#include "cache.h"

#include <rare/rare.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES_MAX (1024u * 1024u)
#define CHUNK_BYTES_MIN 4096u
#define FREE_CHUNKS_MAX 4u
#define RING_START      256u

/* Outlives the cache while views hold chunks, so that a view released after segment_log_close() is safe. */
struct chunk_pool {
    struct segment_log_chunk *free_list;
    uint32_t free_count;
    uint32_t chunks_alive; /* in the list, in the free list or held by views and jobs */
    size_t chunk_bytes;
    bool closed;
};

static void pool_free_if_last(struct chunk_pool *pool)
{
    if (pool->closed && pool->chunks_alive == 0) free(pool);
}

static struct segment_log_chunk *chunk_alloc(size_t capacity)
{
    struct segment_log_chunk *chunk =
        aligned_alloc(64, (sizeof *chunk + capacity + 63u) & ~(size_t)63u);
    if (!chunk) return NULL;
    *chunk = (struct segment_log_chunk){.refs = 1, .capacity = capacity, .first_index = 1};
    return chunk;
}

struct segment_log_chunk *chunk__create(size_t capacity)
{
    return chunk_alloc(capacity);
}

static struct segment_log_chunk *pool_take(struct chunk_pool *pool, size_t bytes)
{
    struct segment_log_chunk *chunk = pool->free_list;
    if (chunk && bytes <= pool->chunk_bytes) {
        pool->free_list = chunk->next;
        pool->free_count--;
        *chunk = (struct segment_log_chunk){
            .pool = pool, .refs = 1, .capacity = chunk->capacity, .first_index = 1};
        return chunk;
    }
    chunk = chunk_alloc(bytes > pool->chunk_bytes ? bytes : pool->chunk_bytes);
    if (!chunk) return NULL;
    chunk->pool = pool;
    pool->chunks_alive++;
    return chunk;
}

void chunk__ref(struct segment_log_chunk *chunk)
{
    assert(chunk->refs > 0);
    chunk->refs++;
}

void chunk__unref(struct segment_log_chunk *chunk)
{
    assert(chunk->refs > 0);
    if (--chunk->refs > 0) return;
    struct chunk_pool *pool = chunk->pool;
    if (!pool) {
        free(chunk);
        return;
    }
    if (!pool->closed && chunk->capacity == pool->chunk_bytes &&
        pool->free_count < FREE_CHUNKS_MAX) {
        chunk->next = pool->free_list;
        pool->free_list = chunk;
        pool->free_count++;
        return;
    }
    assert(pool->chunks_alive > 0);
    pool->chunks_alive--;
    free(chunk);
    pool_free_if_last(pool);
}

static size_t chunk_bytes_for(size_t bytes_max)
{
    size_t bytes = bytes_max / 8u;
    if (bytes > CHUNK_BYTES_MAX) return CHUNK_BYTES_MAX;
    return bytes < CHUNK_BYTES_MIN ? CHUNK_BYTES_MIN : bytes & ~(size_t)63u;
}

bool cache__init(struct cache *cache, size_t bytes_max, const struct segment_log_point *before)
{
    *cache = (struct cache){
        .bytes_max = bytes_max,
        .ring_capacity = RING_START,
        .before = *before,
        .first_index = before->index + 1,
    };
    cache->pool = calloc(1, sizeof *cache->pool);
    cache->ring = calloc(RING_START, sizeof *cache->ring);
    if (!cache->pool || !cache->ring) {
        free(cache->pool);
        free(cache->ring);
        *cache = (struct cache){0};
        return false;
    }
    cache->pool->chunk_bytes = chunk_bytes_for(bytes_max);
    return true;
}

void cache__close(struct cache *cache)
{
    struct chunk_pool *pool = cache->pool;
    if (!pool) return;
    while (pool->free_list) {
        struct segment_log_chunk *chunk = pool->free_list;
        pool->free_list = chunk->next;
        pool->chunks_alive--;
        free(chunk);
    }
    pool->free_count = 0;
    /* Keep the pool alive through the releases below. */
    pool->chunks_alive++;
    pool->closed = true;
    while (cache->head) {
        struct segment_log_chunk *chunk = cache->head;
        cache->head = chunk->next;
        chunk->next = NULL;
        chunk__unref(chunk);
    }
    pool->chunks_alive--;
    pool_free_if_last(pool);
    free(cache->ring);
    *cache = (struct cache){0};
}

static bool ring_reserve(struct cache *cache)
{
    if (cache->count < cache->ring_capacity) return true;
    uint64_t capacity = 2 * cache->ring_capacity;
    struct entry_meta *ring = malloc(capacity * sizeof *ring);
    if (!ring) return false;
    for (uint64_t i = 0; i < cache->count; i++) {
        uint64_t index = cache->first_index + i;
        ring[index & (capacity - 1)] = *cache__meta(cache, index);
    }
    free(cache->ring);
    cache->ring = ring;
    cache->ring_capacity = capacity;
    return true;
}

uint8_t *cache__place(struct cache *cache, size_t bytes)
{
    assert(bytes <= UINT32_MAX);
    if (!ring_reserve(cache)) return NULL;
    struct segment_log_chunk *tail = cache->tail;
    if (!tail || tail->capacity - tail->used < bytes) {
        tail = pool_take(cache->pool, bytes);
        if (!tail) return NULL;
        if (cache->tail) {
            cache->tail->next = tail;
        } else {
            cache->head = tail;
        }
        cache->tail = tail;
    }
    return tail->bytes + tail->used;
}

void cache__add(struct cache *cache, const struct entry_header *header, size_t bytes)
{
    struct segment_log_chunk *chunk = cache->tail;
    assert(chunk && chunk->capacity - chunk->used >= bytes);
    assert(header->index == cache->first_index + cache->count);
    assert(cache->count < cache->ring_capacity);
    cache->ring[header->index & (cache->ring_capacity - 1)] = (struct entry_meta){
        .chunk = chunk,
        .pos = (uint32_t)chunk->used,
        .bytes = (uint32_t)bytes,
        .term = header->term,
        .chain = header->chain,
        .base_offset = header->base_offset,
        .timestamp_ms = header->timestamp_ms,
        .record_count = header->record_count,
        .type = header->type,
    };
    cache->count++;
    if (chunk->first_index > chunk->last_index) chunk->first_index = header->index;
    chunk->last_index = header->index;
    chunk->used += bytes;
    cache->bytes += bytes;
}

static void drop_chunks_behind(struct cache *cache, struct segment_log_chunk *last)
{
    struct segment_log_chunk *chunk = last ? last->next : cache->head;
    if (last) {
        last->next = NULL;
    } else {
        cache->head = NULL;
    }
    cache->tail = last;
    while (chunk) {
        struct segment_log_chunk *next = chunk->next;
        chunk->next = NULL;
        cache->bytes -= chunk->used;
        chunk__unref(chunk);
        chunk = next;
    }
}

void cache__cut(struct cache *cache, uint64_t from_index)
{
    assert(from_index >= cache->first_index);
    if (!cache__has(cache, from_index)) return;
    cache->count = from_index - cache->first_index;
    struct segment_log_chunk *last = NULL;
    for (struct segment_log_chunk *chunk = cache->head; chunk; chunk = chunk->next) {
        if (chunk->first_index > chunk->last_index || chunk->first_index >= from_index) break;
        if (chunk->last_index >= from_index) chunk->last_index = from_index - 1;
        last = chunk;
    }
    /* The bytes of cut entries in a chunk that stays are not written again: a job or a view may hold them. */
    drop_chunks_behind(cache, last);
}

void cache__reset(struct cache *cache, const struct segment_log_point *before)
{
    drop_chunks_behind(cache, NULL);
    assert(cache->bytes == 0);
    cache->count = 0;
    cache->before = *before;
    cache->first_index = before->index + 1;
}

void cache__evict(struct cache *cache, uint64_t durable_index)
{
    const size_t bytes_max = RARELY(CACHE_LETS_GO) ? 0 : cache->bytes_max;
    while (cache->bytes > bytes_max && cache->head != cache->tail &&
           cache->head->last_index <= durable_index) {
        struct segment_log_chunk *chunk = cache->head;
        assert(chunk->first_index == cache->first_index);
        cache->before = cache__point(cache, chunk->last_index);
        cache->count -= chunk->last_index - cache->first_index + 1;
        cache->first_index = chunk->last_index + 1;
        cache->head = chunk->next;
        chunk->next = NULL;
        cache->bytes -= chunk->used;
        chunk__unref(chunk);
    }
}

struct segment_log_point cache__point(const struct cache *cache, uint64_t index)
{
    if (index + 1 == cache->first_index) return cache->before;
    assert(cache__has(cache, index));
    const struct entry_meta *meta = cache__meta(cache, index);
    return (struct segment_log_point){
        .index = index,
        .term = meta->term,
        .chain = meta->chain,
        .next_offset = meta->base_offset + meta->record_count,
        .timestamp_ms = meta->timestamp_ms,
    };
}
