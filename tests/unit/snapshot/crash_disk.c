#include "crash_disk.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct open_file {
    struct disk_file base;
    uint32_t file;
    bool writable;
};

static struct crash_disk *disk_of(struct disk *disk)
{
    return (struct crash_disk *)disk;
}

static struct open_file *open_of(struct disk_file *file)
{
    return (struct open_file *)file;
}

/* Every call passes here first. */
static int gate(struct crash_disk *disk)
{
    disk->calls++;
    if (disk->crash_at > 0 && disk->calls >= disk->crash_at) return -EIO;
    if (disk->fail_at > 0 && disk->calls == disk->fail_at) return -disk->fail_error;
    return 0;
}

static void bytes_copy(struct crash_disk_bytes *target, const struct crash_disk_bytes *source)
{
    free(target->bytes);
    target->bytes = malloc(source->count + 1);
    target->count = source->count;
    if (source->count > 0) memcpy(target->bytes, source->bytes, source->count);
}

static const char *name_in_directory(const char *path)
{
    size_t bytes = strlen(CRASH_DISK_DIRECTORY);
    cr_assert_eq(strncmp(path, CRASH_DISK_DIRECTORY "/", bytes + 1), 0, "a foreign path: %s", path);
    return path + bytes + 1;
}

static struct crash_disk_name *find_name(struct crash_disk *disk, const char *name)
{
    for (uint32_t i = 0; i < CRASH_DISK_FILES_MAX; i++) {
        struct crash_disk_name *entry = &disk->names[i];
        if (entry->file > 0 && strcmp(entry->name, name) == 0) return entry;
    }
    return NULL;
}

static struct crash_disk_name *add_name(struct crash_disk *disk, const char *name, uint32_t file)
{
    for (uint32_t i = 0; i < CRASH_DISK_FILES_MAX; i++) {
        struct crash_disk_name *entry = &disk->names[i];
        if (entry->file > 0) continue;
        cr_assert_lt(strlen(name), sizeof entry->name);
        strcpy(entry->name, name);
        entry->file = file;
        return entry;
    }
    cr_assert_fail("too many names");
    return NULL;
}

static uint32_t add_file(struct crash_disk *disk)
{
    cr_assert_lt(disk->files_count, CRASH_DISK_FILES_MAX);
    return ++disk->files_count;
}

/* ---- the calls ---------------------------------------------------------------------------------------------------- */

static int call_open(struct disk *base, const char *path, enum disk_open_mode mode,
                     struct disk_file **ret_file)
{
    struct crash_disk *disk = disk_of(base);
    int error = gate(disk);
    if (error != 0) return error;
    struct crash_disk_name *name = find_name(disk, name_in_directory(path));
    if (mode == DISK_CREATE_NEW) {
        if (name) return -EEXIST;
        name = add_name(disk, name_in_directory(path), add_file(disk));
    }
    if (!name) return -ENOENT;
    struct open_file *file = calloc(1, sizeof *file);
    file->base.disk = base;
    file->file = name->file - 1;
    file->writable = mode != DISK_READ;
    *ret_file = &file->base;
    return 0;
}

static void call_close(struct disk_file *file)
{
    free(open_of(file));
}

static ssize_t call_pread(struct disk_file *base, void *buffer, size_t bytes, uint64_t pos)
{
    struct crash_disk *disk = disk_of(base->disk);
    int error = gate(disk);
    if (error != 0 && disk->calls == disk->fail_at) disk->failed_a_read = true;
    if (error != 0) return error;
    const uint64_t lost_pos = disk->unreadable_pos;
    if (disk->unreadable_file == open_of(base)->file + 1u && lost_pos >= pos &&
        lost_pos - pos < bytes) {
        return -EIO;
    }
    const struct crash_disk_bytes *file = &disk->files[open_of(base)->file].written;
    if (pos >= file->count) return 0;
    if (bytes > file->count - pos) bytes = (size_t)(file->count - pos);
    memcpy(buffer, file->bytes + pos, bytes);
    return (ssize_t)bytes;
}

static int call_pwritev(struct disk_file *base, const struct iovec *iov, int iov_count,
                        uint64_t pos)
{
    struct crash_disk *disk = disk_of(base->disk);
    int error = gate(disk);
    cr_assert(open_of(base)->writable);
    size_t total = 0;
    for (int i = 0; i < iov_count; i++)
        total += iov[i].iov_len;
    if (disk->crash_at > 0 && disk->calls > disk->crash_at) return error;
    size_t left = error != 0 ? total / 2 : total;
    struct crash_disk_bytes *file = &disk->files[open_of(base)->file].written;
    if (pos + left > file->count) {
        file->bytes = realloc(file->bytes, pos + left + 1);
        memset(file->bytes + file->count, 0, pos + left - file->count);
        file->count = pos + left;
    }
    for (int i = 0; i < iov_count && left > 0; i++) {
        size_t bytes = iov[i].iov_len < left ? iov[i].iov_len : left;
        memcpy(file->bytes + pos, iov[i].iov_base, bytes);
        pos += bytes;
        left -= bytes;
    }
    if (disk->flips_writes && total > 0) file->bytes[pos - 1] ^= 1;
    return error;
}

static int call_datasync(struct disk_file *base)
{
    struct crash_disk *disk = disk_of(base->disk);
    int error = gate(disk);
    if (error != 0) return error;
    if (disk->loses_writes) return 0;
    uint32_t file = open_of(base)->file;
    bytes_copy(&disk->files[file].synced, &disk->files[file].written);
    return 0;
}

static int call_drop_cache(struct disk_file *base)
{
    struct crash_disk *disk = disk_of(base->disk);
    int error = call_datasync(base);
    if (error != 0) return error;
    uint32_t file = open_of(base)->file;
    if (disk->loses_writes) bytes_copy(&disk->files[file].written, &disk->files[file].synced);
    return 0;
}

static int call_size(struct disk_file *base, uint64_t *ret_bytes)
{
    struct crash_disk *disk = disk_of(base->disk);
    int error = gate(disk);
    if (error != 0) return error;
    *ret_bytes = disk->files[open_of(base)->file].written.count;
    return 0;
}

static int call_sync_directory(struct disk *base, const char *path)
{
    struct crash_disk *disk = disk_of(base);
    int error = gate(disk);
    if (error != 0) return error;
    cr_assert_str_eq(path, CRASH_DISK_DIRECTORY);
    memcpy(disk->synced_names, disk->names, sizeof disk->names);
    return 0;
}

static int call_rename(struct disk *base, const char *from, const char *to)
{
    struct crash_disk *disk = disk_of(base);
    int error = gate(disk);
    if (error != 0) return error;
    struct crash_disk_name *source = find_name(disk, name_in_directory(from));
    struct crash_disk_name *target = find_name(disk, name_in_directory(to));
    if (!source) return -ENOENT;
    uint32_t file = source->file;
    source->file = 0;
    if (target) {
        target->file = file;
    } else {
        add_name(disk, name_in_directory(to), file);
    }
    return 0;
}

static int call_unlink(struct disk *base, const char *path)
{
    struct crash_disk *disk = disk_of(base);
    int error = gate(disk);
    if (error != 0) return error;
    struct crash_disk_name *name = find_name(disk, name_in_directory(path));
    if (!name) return -ENOENT;
    name->file = 0;
    return 0;
}

static int call_list(struct disk *base, const char *path, disk_list_cb cb, void *data)
{
    struct crash_disk *disk = disk_of(base);
    int error = gate(disk);
    if (error != 0) return error;
    if (strcmp(path, CRASH_DISK_DIRECTORY) != 0) return -ENOENT;
    for (uint32_t i = 0; i < CRASH_DISK_FILES_MAX; i++) {
        if (disk->names[i].file > 0) cb(data, disk->names[i].name);
    }
    return 0;
}

/* What a snapshot has no use for is left NULL: a call of it ends the test. */
static const struct disk_vtable vtable = {
    .open = call_open,
    .close = call_close,
    .pread = call_pread,
    .pwritev = call_pwritev,
    .datasync = call_datasync,
    .size = call_size,
    .drop_cache = call_drop_cache,
    .sync_directory = call_sync_directory,
    .rename = call_rename,
    .unlink = call_unlink,
    .list = call_list,
};

/* ---- the test's side ------------------------------------------------------------------------------------------------ */

struct crash_disk *crash_disk_create(void)
{
    struct crash_disk *disk = calloc(1, sizeof *disk);
    disk->disk.vtable = &vtable;
    return disk;
}

void crash_disk_destroy(struct crash_disk *disk)
{
    for (uint32_t i = 0; i < disk->files_count; i++) {
        free(disk->files[i].written.bytes);
        free(disk->files[i].synced.bytes);
    }
    free(disk);
}

void crash_disk_power_cut(struct crash_disk *disk, enum crash_disk_cut cut)
{
    if (cut == CUT_DROPS_ALL || cut == CUT_DROPS_NAMES) {
        memcpy(disk->names, disk->synced_names, sizeof disk->names);
    }
    for (uint32_t i = 0; i < disk->files_count; i++) {
        struct crash_disk_bytes *written = &disk->files[i].written,
                                *synced = &disk->files[i].synced;
        if (cut == CUT_DROPS_ALL || cut == CUT_DROPS_BYTES) bytes_copy(written, synced);
        if (cut == CUT_TEARS_BYTES && written->count > synced->count) {
            written->count = synced->count + (written->count - synced->count) / 2;
        }
    }
    disk->crash_at = 0;
    disk->fail_at = 0;
    disk->calls = 0;
}

struct crash_disk_bytes *crash_disk_file(struct crash_disk *disk, const char *name)
{
    struct crash_disk_name *entry = find_name(disk, name);
    return entry ? &disk->files[entry->file - 1].written : NULL;
}

void crash_disk_put(struct crash_disk *disk, const char *name, const void *bytes, uint64_t count)
{
    struct crash_disk_bytes source = {.bytes = (uint8_t *)(uintptr_t)bytes, .count = count};
    struct crash_disk_name *entry = find_name(disk, name);
    if (!entry) entry = add_name(disk, name, add_file(disk));
    bytes_copy(&disk->files[entry->file - 1].written, &source);
    bytes_copy(&disk->files[entry->file - 1].synced, &source);
    memcpy(disk->synced_names, disk->names, sizeof disk->names);
}

void crash_disk_unreadable(struct crash_disk *disk, const char *name, uint64_t pos)
{
    const struct crash_disk_name *found = find_name(disk, name);
    cr_assert_not_null(found);
    disk->unreadable_file = found->file;
    disk->unreadable_pos = pos;
}

uint32_t crash_disk_names_count(const struct crash_disk *disk)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < CRASH_DISK_FILES_MAX; i++)
        count += disk->names[i].file > 0;
    return count;
}
