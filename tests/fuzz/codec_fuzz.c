/* libFuzzer on each decoder of what nodes send each other, without frames around it (codec.h).
 *
 * layout: kind (1; bit 7: checksums of entries are computed anew), then the body */
#include "codec.h"
#include "seal.h"

#include <string.h>

static const struct cluster_id cluster = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1 || bytes > FUZZ_FILE_BYTES_MAX) return 0;
    enum codec_kind kind = (enum codec_kind)(data[0] % 128u % CODEC_KINDS);
    size_t count = bytes - 1;
    /* A buffer of exactly these bytes, aligned as a frame's body is: the sanitizer watches its end. */
    uint8_t *body = malloc(count ? count : 1);
    fuzz_check(body, "no memory");
    memcpy(body, data + 1, count);
    uint64_t seed = checksum64_group(&cluster, 7);
    if (kind == CODEC_ENTRIES && data[0] >= 128) seal_entries(body, count, SEAL_CHAIN, seed, seed);
    codec_try(kind, body, count);
    free(body);
    return 0;
}
