/* Checksums made right again over whatever a file or a stream holds, by docs/FORMATS.md. Nothing here is checked: what has
 * no shape stays as it is. */
#ifndef FUZZ_SEAL_H
#define FUZZ_SEAL_H

#include "patch.h"

#include <segment_log/checksum.h>

enum seal_depth {
    SEAL_CHECKSUMS, /* checksums and payload hashes; a broken chain stays broken */
    SEAL_CHAIN,     /* the chain as well: every entry follows the one in front of it */
};

void seal_segment(struct fuzz_file *file, enum seal_depth depth);
/* Position of a footer and of its trailer; without one both are those of the first entry. */
void seal_find_footer(const struct fuzz_file *file, uint64_t *ret_footer, uint64_t *ret_trailer);
/* Entries back to back, as they stand in an APPEND. */
void seal_entries(uint8_t *bytes, size_t count, enum seal_depth depth, uint64_t seed,
                  uint64_t chain);
void seal_snapshot(struct fuzz_file *file);
void seal_votes(struct fuzz_file *file);
void seal_identity(struct fuzz_file *file);
/* Peer frames back to back, as far as their lengths lead. */
void seal_frames(uint8_t *bytes, size_t count);
/* The CRC-32C of a record batch. */
void seal_batch(uint8_t *bytes, size_t count);

#endif
