#include "counting_disk.h"

#include <errno.h>
#include <stdlib.h>

struct counting_disk {
    struct disk base;
    struct disk *target;
    uint64_t read_bytes, reads;
};

struct counting_file {
    struct disk_file base;
    struct disk_file *target;
};

static struct counting_disk *counting(struct disk *disk)
{
    return (struct counting_disk *)disk;
}

static struct disk *target_of(struct disk *disk)
{
    return counting(disk)->target;
}

static struct disk_file *file_of(struct disk_file *file)
{
    return ((struct counting_file *)file)->target;
}

static int wrap(struct disk *disk, struct disk_file *target, struct disk_file **ret_file)
{
    struct counting_file *file = calloc(1, sizeof *file);
    if (!file) {
        disk_close(target);
        return -ENOMEM;
    }
    file->base.disk = disk;
    file->target = target;
    *ret_file = &file->base;
    return 0;
}

static int count_open(struct disk *disk, const char *path, enum disk_open_mode mode,
                      struct disk_file **ret_file)
{
    struct disk_file *target;
    int error = disk_open(target_of(disk), path, mode, &target);
    return error ? error : wrap(disk, target, ret_file);
}

static void count_close(struct disk_file *file)
{
    disk_close(file_of(file));
    free(file);
}

static ssize_t count_pread(struct disk_file *file, void *buffer, size_t bytes, uint64_t pos)
{
    ssize_t got = disk_pread(file_of(file), buffer, bytes, pos);
    counting(file->disk)->reads++;
    if (got > 0) counting(file->disk)->read_bytes += (uint64_t)got;
    return got;
}

static int count_pwritev(struct disk_file *file, const struct iovec *iov, int iov_count,
                         uint64_t pos)
{
    return disk_pwritev(file_of(file), iov, iov_count, pos);
}

static int count_datasync(struct disk_file *file)
{
    return disk_datasync(file_of(file));
}

static int count_size(struct disk_file *file, uint64_t *ret_bytes)
{
    return disk_size(file_of(file), ret_bytes);
}

static int count_truncate(struct disk_file *file, uint64_t bytes)
{
    return disk_truncate(file_of(file), bytes);
}

static int count_allocate(struct disk_file *file, uint64_t pos, uint64_t bytes)
{
    return disk_allocate(file_of(file), pos, bytes);
}

static int count_drop_cache(struct disk_file *file)
{
    return disk_drop_cache(file_of(file));
}

static void count_forget_cache(struct disk_file *file)
{
    disk_forget_cache(file_of(file));
}

static int count_make_directory(struct disk *disk, const char *path)
{
    return disk_make_directory(target_of(disk), path);
}

static int count_sync_directory(struct disk *disk, const char *path)
{
    return disk_sync_directory(target_of(disk), path);
}

static int count_rename(struct disk *disk, const char *from, const char *to)
{
    return disk_rename(target_of(disk), from, to);
}

static int count_unlink(struct disk *disk, const char *path)
{
    return disk_unlink(target_of(disk), path);
}

static int count_remove_directory(struct disk *disk, const char *path)
{
    return disk_remove_directory(target_of(disk), path);
}

static int count_list(struct disk *disk, const char *path, disk_list_cb cb, void *data)
{
    return disk_list(target_of(disk), path, cb, data);
}

static int count_lock(struct disk *disk, const char *path, struct disk_file **ret_file)
{
    struct disk_file *target;
    int error = disk_lock(target_of(disk), path, &target);
    return error ? error : wrap(disk, target, ret_file);
}

static int count_free_bytes(struct disk *disk, const char *path, uint64_t *ret_bytes)
{
    return disk_free_bytes(target_of(disk), path, ret_bytes);
}

static uint64_t count_now_us(struct disk *disk)
{
    return disk_now_us(target_of(disk));
}

struct disk *counting_disk_create(struct disk *target)
{
    static const struct disk_vtable vtable = {
        .open = count_open,
        .close = count_close,
        .pread = count_pread,
        .pwritev = count_pwritev,
        .datasync = count_datasync,
        .size = count_size,
        .truncate = count_truncate,
        .allocate = count_allocate,
        .drop_cache = count_drop_cache,
        .forget_cache = count_forget_cache,
        .make_directory = count_make_directory,
        .sync_directory = count_sync_directory,
        .rename = count_rename,
        .unlink = count_unlink,
        .remove_directory = count_remove_directory,
        .list = count_list,
        .lock = count_lock,
        .free_bytes = count_free_bytes,
        .now_us = count_now_us,
    };
    struct counting_disk *disk = calloc(1, sizeof *disk);
    if (!disk) abort();
    disk->base.vtable = &vtable;
    disk->target = target;
    return &disk->base;
}

void counting_disk_destroy(struct disk *disk)
{
    free(disk);
}

uint64_t counting_disk_read_bytes(const struct disk *disk)
{
    return ((const struct counting_disk *)disk)->read_bytes;
}

uint64_t counting_disk_reads(const struct disk *disk)
{
    return ((const struct counting_disk *)disk)->reads;
}

void counting_disk_reset(struct disk *disk)
{
    counting(disk)->read_bytes = counting(disk)->reads = 0;
}
