/* Damage to files as an input describes it, and checksums made right again.
 *
 * Almost every byte that our files hold stands behind a checksum, so bytes at random never get past it. A fuzz target
 * therefore has two modes: the damage alone, which must be found, and damage whose checksums are computed anew (seal_*),
 * which shows the code behind them every field in every value. */
#ifndef FUZZ_PATCH_H
#define FUZZ_PATCH_H

#include "input.h"

#include <segment_log/disk.h>

#include <stdbool.h>

/* A file as a whole: read, changed in memory, written back and synced. */
struct fuzz_file {
    uint8_t *bytes;
    size_t count;
    size_t capacity;
};
#define FUZZ_FILE_BYTES_MAX (1u << 20)

void fuzz_file_load(struct disk *disk, const char *path, struct fuzz_file *ret_file);
void fuzz_file_store(struct disk *disk, const char *path, const struct fuzz_file *file);
void fuzz_file_close(struct fuzz_file *file);

/* Positions in front of which fields stand close together: a patch names one, and a distance from it. */
struct fuzz_regions {
    const uint64_t *starts;
    size_t count;
};

/* Take one patch from the input and do it: bytes replaced, flipped, copied from elsewhere in the file, or the end moved. True:
 * it is a fault of one byte or of the size, which is always to be told from a power cut; false: it may have struck several
 * blocks at once. */
bool fuzz_patch(struct fuzz_file *file, struct fuzz_input *input,
                const struct fuzz_regions *regions);

#endif
