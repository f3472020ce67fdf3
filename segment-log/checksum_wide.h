/* XXH3-64 of long inputs with the widest vectors of the processor it runs on. The values are the same; checksum.c, which is
 * compiled for any processor, takes several times as long for them. */
#ifndef SEGMENT_LOG_CHECKSUM_WIDE_H
#define SEGMENT_LOG_CHECKSUM_WIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

uint64_t checksum_wide(const void *data, size_t bytes, uint64_t seed);
/* False: no memory. */
bool checksum_wide_parts(const struct iovec *parts, int parts_count, uint64_t seed,
                         uint64_t *ret_hash);

#endif
