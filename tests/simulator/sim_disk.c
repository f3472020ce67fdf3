/* A node's disk: a memory disk, with each call in the trace and with crashes before a chosen call. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <memory_disk.h>

#include "sim_private.h"

struct sim_disk_file {
    struct disk_file base;
    struct disk_file *memory;
    uint64_t path_hash;
    struct sim_disk_file *next;
    struct sim_disk_file **previous;
};

static const struct disk_vtable sim_disk_vtable;

static struct sim_disk *disk_of(struct disk *disk)
{
    return (struct sim_disk *)disk;
}

static struct sim_disk_file *file_of(struct disk_file *file)
{
    return (struct sim_disk_file *)file;
}

static uint64_t path_hash_of(const char *path)
{
    return checksum64(path, strlen(path));
}

static void trace(struct sim_disk *disk, const char *what, uint64_t path_hash, uint64_t value,
                  uint64_t hash)
{
    sim__trace(disk->sim, what, disk->node, path_hash, value, hash);
}

/* Before each call that would change something. 0, or -EIO from the crash on. */
static int begin_change(struct sim_disk *disk)
{
    if (disk->is_armed && !disk->is_stopped) {
        if (disk->calls_left == 0) {
            sim_crash_soon(disk->sim, disk->node, disk->crash_mode);
        } else {
            disk->calls_left--;
        }
    }
    return disk->is_stopped ? -EIO : 0;
}

/* Of a sync that reached the disk. */
static int count_failure(struct sim_disk *disk, int status)
{
    if (status < 0) disk->sim->nodes[disk->node].failed_syncs_count++;
    return status;
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

struct sim_disk *sim__disk_create(struct sim *sim, uint32_t node)
{
    struct sim_disk *disk = sim__allocate(sizeof(*disk));
    disk->base.vtable = &sim_disk_vtable;
    disk->sim = sim;
    disk->node = node;
    disk->is_stopped = true; /* until the node starts */
    disk->memory = memory_disk_create(sim__random_next(&sim->random));
    return disk;
}

static void file_free(struct sim_disk_file *file)
{
    disk_close(file->memory);
    *file->previous = file->next;
    if (file->next) file->next->previous = file->previous;
    free(file);
}

void sim__disk_crash(struct sim_disk *disk, enum sim_crash mode)
{
    while (disk->files) {
        file_free(disk->files);
    }
    memory_disk_crash(disk->memory, mode == SIM_CRASH_POWER ? MEMORY_DISK_POWER : MEMORY_DISK_KILL);
    disk->is_stopped = true;
    disk->is_armed = false;
}

void sim__disk_destroy(struct sim_disk *disk)
{
    while (disk->files) {
        file_free(disk->files);
    }
    memory_disk_destroy(disk->memory);
    free(disk);
}

/* ---- files ------------------------------------------------------------------------------------------------------------ */

static int file_wrap(struct sim_disk *disk, const char *path, struct disk_file *memory,
                     struct disk_file **ret_file)
{
    struct sim_disk_file *file = sim__allocate(sizeof(*file));
    file->base.disk = &disk->base;
    file->memory = memory;
    file->path_hash = path_hash_of(path);
    file->next = disk->files;
    file->previous = &disk->files;
    if (file->next) file->next->previous = &file->next;
    disk->files = file;
    *ret_file = &file->base;
    return 0;
}

static int sim_open(struct disk *base, const char *path, enum disk_open_mode mode,
                    struct disk_file **ret_file)
{
    struct sim_disk *disk = disk_of(base);
    struct disk_file *memory;
    int status = mode == DISK_CREATE_NEW ? begin_change(disk) : disk->is_stopped ? -EIO : 0;
    if (status == 0) status = disk_open(disk->memory, path, mode, &memory);
    trace(disk, "open", path_hash_of(path), (uint64_t)mode, (uint64_t)-status);
    return status < 0 ? status : file_wrap(disk, path, memory, ret_file);
}

static int sim_lock(struct disk *base, const char *path, struct disk_file **ret_file)
{
    struct sim_disk *disk = disk_of(base);
    struct disk_file *memory;
    int status = begin_change(disk);
    if (status == 0) status = disk_lock(disk->memory, path, &memory);
    trace(disk, "lock", path_hash_of(path), 0, (uint64_t)-status);
    return status < 0 ? status : file_wrap(disk, path, memory, ret_file);
}

static void sim_close(struct disk_file *base)
{
    file_free(file_of(base));
}

static ssize_t sim_pread(struct disk_file *base, void *buffer, size_t bytes, uint64_t pos)
{
    struct sim_disk_file *file = file_of(base);
    struct sim_disk *disk = disk_of(base->disk);
    ssize_t status = disk->is_stopped ? -EIO : disk_pread(file->memory, buffer, bytes, pos);
    uint64_t hash = status < 0 ? (uint64_t)-status : checksum64(buffer, (size_t)status);
    trace(disk, "pread", file->path_hash, pos, hash);
    return status;
}

static int sim_pwritev(struct disk_file *base, const struct iovec *iov, int iov_count, uint64_t pos)
{
    struct sim_disk_file *file = file_of(base);
    struct sim_disk *disk = disk_of(base->disk);
    int status = begin_change(disk);
    if (status == 0)
        status = file->memory->disk->vtable->pwritev(file->memory, iov, iov_count, pos);
    trace(disk, "pwritev", file->path_hash, pos,
          checksum64_parts(iov, iov_count, (uint64_t)-status));
    return status;
}

static int sim_datasync(struct disk_file *base)
{
    struct sim_disk_file *file = file_of(base);
    struct sim_disk *disk = disk_of(base->disk);
    int status = begin_change(disk);
    if (status == 0) status = count_failure(disk, disk_datasync(file->memory));
    trace(disk, "datasync", file->path_hash, 0, (uint64_t)-status);
    return status;
}

static int sim_size(struct disk_file *base, uint64_t *ret_bytes)
{
    struct sim_disk *disk = disk_of(base->disk);
    return disk->is_stopped ? -EIO : disk_size(file_of(base)->memory, ret_bytes);
}

static int sim_truncate(struct disk_file *base, uint64_t bytes)
{
    struct sim_disk_file *file = file_of(base);
    struct sim_disk *disk = disk_of(base->disk);
    int status = begin_change(disk);
    if (status == 0) status = disk_truncate(file->memory, bytes);
    trace(disk, "truncate", file->path_hash, bytes, (uint64_t)-status);
    return status;
}

static int sim_allocate(struct disk_file *base, uint64_t pos, uint64_t bytes)
{
    struct sim_disk_file *file = file_of(base);
    struct sim_disk *disk = disk_of(base->disk);
    int status = begin_change(disk);
    if (status == 0) status = disk_allocate(file->memory, pos, bytes);
    trace(disk, "allocate", file->path_hash, pos + bytes, (uint64_t)-status);
    return status;
}

static int sim_drop_cache(struct disk_file *base)
{
    struct sim_disk_file *file = file_of(base);
    struct sim_disk *disk = disk_of(base->disk);
    int status = begin_change(disk);
    if (status == 0) status = count_failure(disk, disk_drop_cache(file->memory));
    trace(disk, "drop-cache", file->path_hash, 0, (uint64_t)-status);
    return status;
}

static void sim_forget_cache(struct disk_file *base)
{
    disk_forget_cache(file_of(base)->memory);
}

/* ---- names ------------------------------------------------------------------------------------------------------------ */

static int sim_make_directory(struct disk *base, const char *path)
{
    struct sim_disk *disk = disk_of(base);
    int status = begin_change(disk);
    if (status == 0) status = disk_make_directory(disk->memory, path);
    trace(disk, "make-directory", path_hash_of(path), 0, (uint64_t)-status);
    return status;
}

static int sim_sync_directory(struct disk *base, const char *path)
{
    struct sim_disk *disk = disk_of(base);
    int status = begin_change(disk);
    if (status == 0) status = disk_sync_directory(disk->memory, path);
    trace(disk, "sync-directory", path_hash_of(path), 0, (uint64_t)-status);
    return status;
}

static int sim_rename(struct disk *base, const char *from, const char *to)
{
    struct sim_disk *disk = disk_of(base);
    int status = begin_change(disk);
    if (status == 0) status = disk_rename(disk->memory, from, to);
    trace(disk, "rename", path_hash_of(from), path_hash_of(to), (uint64_t)-status);
    return status;
}

static int sim_unlink(struct disk *base, const char *path)
{
    struct sim_disk *disk = disk_of(base);
    int status = begin_change(disk);
    if (status == 0) status = disk_unlink(disk->memory, path);
    trace(disk, "unlink", path_hash_of(path), 0, (uint64_t)-status);
    return status;
}

static int sim_remove_directory(struct disk *base, const char *path)
{
    struct sim_disk *disk = disk_of(base);
    int status = begin_change(disk);
    if (status == 0) status = disk_remove_directory(disk->memory, path);
    trace(disk, "remove-directory", path_hash_of(path), 0, (uint64_t)-status);
    return status;
}

static int sim_list(struct disk *base, const char *path, disk_list_cb cb, void *data)
{
    struct sim_disk *disk = disk_of(base);
    return disk->is_stopped ? -EIO : disk_list(disk->memory, path, cb, data);
}

static int sim_free_bytes(struct disk *base, const char *path, uint64_t *ret_bytes)
{
    struct sim_disk *disk = disk_of(base);
    return disk->is_stopped ? -EIO : disk_free_bytes(disk->memory, path, ret_bytes);
}

static uint64_t sim_disk_now_us(struct disk *base)
{
    return disk_of(base)->sim->now_us;
}

static const struct disk_vtable sim_disk_vtable = {
    .open = sim_open,
    .close = sim_close,
    .pread = sim_pread,
    .pwritev = sim_pwritev,
    .datasync = sim_datasync,
    .size = sim_size,
    .truncate = sim_truncate,
    .allocate = sim_allocate,
    .drop_cache = sim_drop_cache,
    .forget_cache = sim_forget_cache,
    .make_directory = sim_make_directory,
    .sync_directory = sim_sync_directory,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .remove_directory = sim_remove_directory,
    .list = sim_list,
    .lock = sim_lock,
    .free_bytes = sim_free_bytes,
    .now_us = sim_disk_now_us,
};
