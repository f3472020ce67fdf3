/* Reading what a disk can still give of a file: a sector that it lost is damage of that place, and of nothing beside it. */
#ifndef SEGMENT_LOG_SALVAGE_H
#define SEGMENT_LOG_SALVAGE_H

#include <segment_log/disk.h>

/* Block by block, with zeros for each that cannot be read (-EIO), which sets *ret_unreadable: it is never cleared. Bytes, fewer
 * only at the end of the file, or another negative errno. For what disk_pread() has failed to read as one. */
ssize_t salvage__blocks(struct disk_file *file, void *buffer, size_t bytes, uint64_t pos,
                        bool *ret_unreadable);

/* As one, and block by block where that fails with -EIO. */
ssize_t salvage__read(struct disk_file *file, void *buffer, size_t bytes, uint64_t pos,
                      bool *ret_unreadable);

#endif
