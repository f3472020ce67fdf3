#include <segment_log/checksum.h>

#include "bytes.h"
#include "checksum_wide.h"

#include <assert.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Up to here parts are copied together: the state of a streamed hash alone is as long. Most frames between nodes are. */
#define SHORT_BYTES 512u

/* Above this XXH3 works with vectors. Below, what is compiled in needs no call. */
#define WIDE_BYTES_MIN (RAFTMQ_CHECKSUM_WIDE ? 241u : SIZE_MAX)

uint64_t checksum64(const void *data, size_t bytes)
{
    return checksum64_seeded(data, bytes, 0);
}

uint64_t checksum64_seeded(const void *data, size_t bytes, uint64_t seed)
{
    if (bytes >= WIDE_BYTES_MIN) return checksum_wide(data, bytes, seed);
    return XXH3_64bits_withSeed(data, bytes, seed);
}

/* The sum of the parts' lengths; of more than `max`, some number above it. */
static size_t bytes_of(const struct iovec *parts, int parts_count, size_t max)
{
    size_t bytes = 0;
    for (int i = 0; i < parts_count && bytes <= max; i++) {
        if (parts[i].iov_len > max) return max + 1u;
        bytes += parts[i].iov_len;
    }
    return bytes;
}

static uint64_t hash_short(const struct iovec *parts, int parts_count, uint64_t seed)
{
    uint8_t together[SHORT_BYTES];
    size_t bytes = 0;
    for (int i = 0; i < parts_count; i++) {
        if (parts[i].iov_len == 0) continue;
        memcpy(together + bytes, parts[i].iov_base, parts[i].iov_len);
        bytes += parts[i].iov_len;
    }
    return checksum64_seeded(together, bytes, seed);
}

uint64_t checksum64_parts(const struct iovec *parts, int parts_count, uint64_t seed)
{
    assert(parts_count >= 0);
    if (parts_count == 1) return checksum64_seeded(parts[0].iov_base, parts[0].iov_len, seed);
    if (bytes_of(parts, parts_count, SHORT_BYTES) <= SHORT_BYTES) {
        return hash_short(parts, parts_count, seed);
    }
    uint64_t hash;
    if (RAFTMQ_CHECKSUM_WIDE && checksum_wide_parts(parts, parts_count, seed, &hash)) return hash;
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    XXH_errorcode error = XXH3_64bits_reset_withSeed(&state, seed);
    assert(error == XXH_OK);
    for (int i = 0; i < parts_count; i++) {
        if (parts[i].iov_len == 0) continue;
        error = XXH3_64bits_update(&state, parts[i].iov_base, parts[i].iov_len);
        assert(error == XXH_OK);
    }
    (void)error;
    return XXH3_64bits_digest(&state);
}

struct checksum_stream {
    XXH3_state_t state;
};

struct checksum_stream *checksum_stream_create(uint64_t seed)
{
    /* The state wants the alignment of the widest vectors. */
    struct checksum_stream *stream = aligned_alloc(_Alignof(XXH3_state_t), sizeof *stream);
    if (!stream) return NULL;
    XXH3_INITSTATE(&stream->state);
    XXH_errorcode error = XXH3_64bits_reset_withSeed(&stream->state, seed);
    assert(error == XXH_OK);
    (void)error;
    return stream;
}

void checksum_stream_add(struct checksum_stream *stream, const void *data, size_t bytes)
{
    if (bytes == 0) return;
    XXH_errorcode error = XXH3_64bits_update(&stream->state, data, bytes);
    assert(error == XXH_OK);
    (void)error;
}

uint64_t checksum_stream_value(const struct checksum_stream *stream)
{
    return XXH3_64bits_digest(&stream->state);
}

void checksum_stream_destroy(struct checksum_stream *stream)
{
    free(stream);
}

uint64_t checksum64_group(const struct cluster_id *cluster, uint64_t group)
{
    uint8_t name[sizeof cluster->bytes + 8];
    memcpy(name, cluster->bytes, sizeof cluster->bytes);
    put_u64(name + sizeof cluster->bytes, group);
    return XXH3_64bits(name, sizeof name);
}
