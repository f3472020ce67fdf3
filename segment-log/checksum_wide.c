#include "checksum_wide.h"

#include <assert.h>
#include <xxh_x86dispatch.h>

uint64_t checksum_wide(const void *data, size_t bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, bytes, seed);
}

bool checksum_wide_parts(const struct iovec *parts, int parts_count, uint64_t seed,
                         uint64_t *ret_hash)
{
    /* Not on the stack: only the library knows how large it is. */
    XXH3_state_t *state = XXH3_createState();
    if (!state) return false;
    XXH_errorcode error = XXH3_64bits_reset_withSeed(state, seed);
    assert(error == XXH_OK);
    for (int i = 0; i < parts_count; i++) {
        if (parts[i].iov_len == 0) continue;
        error = XXH3_64bits_update(state, parts[i].iov_base, parts[i].iov_len);
        assert(error == XXH_OK);
    }
    (void)error;
    *ret_hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return true;
}
