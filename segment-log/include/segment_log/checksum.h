/* XXH3-64, the one checksum of raftmq's files and frames. Only checksum.c and checksum_wide.c include headers of xxHash.
 *
 * It guards against accidents, not against attackers: anyone can compute it (docs/FORMATS.md). */
#ifndef SEGMENT_LOG_CHECKSUM_H
#define SEGMENT_LOG_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

/* 128 random bits drawn when a cluster is founded; named by every file and every frame. All zero: no cluster yet. */
struct cluster_id {
    uint8_t bytes[16];
};

static inline bool cluster_id_is_zero(const struct cluster_id *cluster)
{
    static const struct cluster_id zero;
    return memcmp(cluster, &zero, sizeof(zero)) == 0;
}

static inline bool cluster_id_equal(const struct cluster_id *a, const struct cluster_id *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

uint64_t checksum64(const void *data, size_t bytes);
uint64_t checksum64_seeded(const void *data, size_t bytes, uint64_t seed);

/* The hash of the concatenation of the parts, without copying them together. */
uint64_t checksum64_parts(const struct iovec *parts, int parts_count, uint64_t seed);

/* The same for bytes that come piece by piece. NULL: no memory. */
struct checksum_stream;
struct checksum_stream *checksum_stream_create(uint64_t seed);
void checksum_stream_add(struct checksum_stream *stream, const void *data, size_t bytes);
uint64_t checksum_stream_value(const struct checksum_stream *stream);
void checksum_stream_destroy(struct checksum_stream *stream); /* accepts NULL */

/* XXH3-64(cluster id, group id): seed of the entry checksums and chain(0) of the group (PROTOCOL L1, L2). */
uint64_t checksum64_group(const struct cluster_id *cluster, uint64_t group);

#endif
