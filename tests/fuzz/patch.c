#include "patch.h"

#include <string.h>

/* How far a patch may move the end of a file. */
#define ROOM_BYTES 65536u

void fuzz_file_load(struct disk *disk, const char *path, struct fuzz_file *ret_file)
{
    struct disk_file *file = NULL;
    *ret_file = (struct fuzz_file){0};
    uint64_t bytes = 0;
    fuzz_check(disk_open(disk, path, DISK_READ, &file) == 0, "%s", path);
    fuzz_check(disk_size(file, &bytes) == 0 && bytes <= FUZZ_FILE_BYTES_MAX, "%s", path);
    ret_file->count = (size_t)bytes;
    ret_file->capacity = ret_file->count + ROOM_BYTES;
    ret_file->bytes = malloc(ret_file->capacity);
    fuzz_check(ret_file->bytes, "no memory");
    fuzz_check(disk_pread(file, ret_file->bytes, ret_file->count, 0) == (ssize_t)bytes, "%s", path);
    disk_close(file);
}

void fuzz_file_store(struct disk *disk, const char *path, const struct fuzz_file *data)
{
    struct disk_file *file = NULL;
    fuzz_check(disk_open(disk, path, DISK_WRITE, &file) == 0, "%s", path);
    fuzz_check(disk_truncate(file, data->count) == 0, "%s", path);
    if (data->count) fuzz_check(disk_pwrite(file, data->bytes, data->count, 0) == 0, "%s", path);
    fuzz_check(disk_datasync(file) == 0, "%s", path);
    disk_close(file);
}

void fuzz_file_close(struct fuzz_file *file)
{
    free(file->bytes);
    *file = (struct fuzz_file){0};
}

static void replace(struct fuzz_file *file, size_t pos, const uint8_t *bytes, size_t count)
{
    if (pos + count > file->capacity) return;
    if (pos + count > file->count) {
        memset(file->bytes + file->count, 0, pos + count - file->count);
        file->count = pos + count;
    }
    if (count) memcpy(file->bytes + pos, bytes, count);
}

static void set_end(struct fuzz_file *file, size_t end)
{
    if (end > file->capacity) end = file->capacity;
    if (end > file->count) memset(file->bytes + file->count, 0, end - file->count);
    file->count = end;
}

/* what (1), region (1), distance (2), then by what. */
bool fuzz_patch(struct fuzz_file *file, struct fuzz_input *input,
                const struct fuzz_regions *regions)
{
    uint8_t what = fuzz_take_u8(input);
    size_t region = fuzz_take_u8(input) % (regions->count + 1u);
    size_t distance = fuzz_take_u16(input);
    /* The last region is the end of the file, backwards. */
    size_t pos = region < regions->count  ? (size_t)regions->starts[region] + distance
                 : distance < file->count ? file->count - distance
                                          : 0;
    size_t count = 0;
    switch (what % 6u) {
    case 0: { /* other bytes */
        const uint8_t *bytes = fuzz_take(input, 1u + what / 6u, &count);
        replace(file, pos, bytes, count);
        return false;
    }
    case 1: { /* a flip */
        uint8_t mask = fuzz_take_u8(input);
        if (pos < file->count) file->bytes[pos] ^= mask;
        return true;
    }
    case 2: /* the end */
        set_end(file, pos);
        return true;
    case 3: { /* misdirected: a stretch of this file at another place of it */
        size_t from = fuzz_take_u16(input);
        size_t bytes = (size_t)(fuzz_take_u8(input) + 1u) * 8u;
        if (from + bytes > file->count || pos + bytes > file->count) return false;
        memmove(file->bytes + pos, file->bytes + from, bytes);
        return false;
    }
    case 4: { /* zeros, as of a sector that was lost */
        size_t bytes = (size_t)(fuzz_take_u8(input) + 1u) * 16u;
        if (pos >= file->count) return false;
        if (bytes > file->count - pos) bytes = file->count - pos;
        memset(file->bytes + pos, 0, bytes);
        return false;
    }
    default: { /* a number near a bound */
        static const uint64_t bounds[] = {0,
                                          1,
                                          INT32_MAX,
                                          UINT32_MAX,
                                          INT64_MAX,
                                          UINT64_MAX,
                                          UINT64_C(1) << 63,
                                          17u * 1024u * 1024u,
                                          UINT64_C(1) << 62,
                                          12288};
        uint8_t which = fuzz_take_u8(input);
        uint64_t number = bounds[which % (sizeof bounds / sizeof *bounds)];
        number += (uint64_t)(int64_t)(int8_t)fuzz_take_u8(input);
        uint8_t bytes[8];
        for (size_t i = 0; i < 8; i++)
            bytes[i] = (uint8_t)(number >> (8 * i));
        replace(file, pos, bytes, which & 0x80 ? 4 : 8);
        return false;
    }
    }
}
