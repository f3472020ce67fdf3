#include "salvage.h"

#include "segment_format.h"

#include <errno.h>
#include <string.h>

ssize_t salvage__blocks(struct disk_file *file, void *buffer, size_t bytes, uint64_t pos,
                        bool *ret_unreadable)
{
    uint8_t *target = buffer;
    size_t done = 0;
    while (done < bytes) {
        size_t step = SEGMENT_BLOCK_BYTES - (size_t)((pos + done) % SEGMENT_BLOCK_BYTES);
        if (step > bytes - done) step = bytes - done;
        ssize_t got = disk_pread(file, target + done, step, pos + done);
        if (got == -EIO) {
            *ret_unreadable = true;
            memset(target + done, 0, step);
            got = (ssize_t)step;
        }
        if (got < 0) return got;
        done += (size_t)got;
        if ((size_t)got < step) break;
    }
    return (ssize_t)done;
}

ssize_t salvage__read(struct disk_file *file, void *buffer, size_t bytes, uint64_t pos,
                      bool *ret_unreadable)
{
    const ssize_t got = disk_pread(file, buffer, bytes, pos);
    return got == -EIO ? salvage__blocks(file, buffer, bytes, pos, ret_unreadable) : got;
}
