/* The file interface of raftmq: a table of calls with a real implementation (disk_posix.c) and a simulated one
 * (tests/simulator). Everything that reaches a disk goes through it; nothing else opens a file.
 *
 * Every call may block and may be made from any thread; calls on one file from two threads at once are allowed
 * where pread and pwritev allow them. All calls return 0 (or a byte count) or a negative errno. Short writes and
 * EINTR are handled inside: pwritev returns OK only when all bytes were taken. */
#ifndef SEGMENT_LOG_DISK_H
#define SEGMENT_LOG_DISK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct disk;
struct disk_file;

enum disk_open_mode {
    DISK_READ,       /* existing, read only */
    DISK_WRITE,      /* existing, read and write */
    DISK_CREATE_NEW, /* must not exist; mode 0600, O_NOFOLLOW */
};

typedef void (*disk_list_cb)(void *data, const char *name);

struct disk_vtable {
    int (*open)(struct disk *disk, const char *path, enum disk_open_mode mode,
                struct disk_file **ret_file);
    void (*close)(struct disk_file *file);
    /* Bytes read, fewer than `bytes` only at the end of the file. */
    ssize_t (*pread)(struct disk_file *file, void *buffer, size_t bytes, uint64_t pos);
    int (*pwritev)(struct disk_file *file, const struct iovec *iov, int iov_count, uint64_t pos);
    int (*datasync)(struct disk_file *file);
    int (*size)(struct disk_file *file, uint64_t *ret_bytes);
    int (*truncate)(struct disk_file *file, uint64_t bytes);
    int (*allocate)(struct disk_file *file, uint64_t pos,
                    uint64_t bytes); /* reserve; ENOSPC early */
    int (*drop_cache)(
        struct disk_file *file); /* sync, then forget cached pages: the next read comes from the
                                                  device (PROTOCOL L9) */
    /* Forget cached pages without a sync: the next read comes from the device where nothing waits to be written. May be
     * NULL: nothing is forgotten. */
    void (*forget_cache)(struct disk_file *file);
    int (*make_directory)(struct disk *disk, const char *path); /* mode 0700; existing is OK */
    int (*sync_directory)(struct disk *disk, const char *path);
    int (*rename)(struct disk *disk, const char *from, const char *to);
    int (*unlink)(struct disk *disk, const char *path);
    int (*remove_directory)(struct disk *disk, const char *path); /* must be empty */
    int (*list)(struct disk *disk, const char *path, disk_list_cb cb,
                void *data); /* sorted by name, no . or .. */
    /* Are there directories in this one? 1, 0 or a negative errno. Asks for no right to read it. May be NULL: nobody knows. */
    int (*has_subdirectories)(struct disk *disk, const char *path);
    int (*lock)(struct disk *disk, const char *path,
                struct disk_file **ret_file); /* exclusive; -EAGAIN when held.
                                                                                      Released by close */
    int (*free_bytes)(struct disk *disk, const char *path, uint64_t *ret_bytes);
    /* What the device under a directory writes as one: a write in flight may spoil all of it when the power goes. Bytes; 0: nobody
     * knows. May be NULL: nobody knows. */
    uint32_t (*sector_bytes)(struct disk *disk, const char *path);
    /* Monotonic microseconds, to tell how long a sync took. May be NULL: durations are then 0. */
    uint64_t (*now_us)(struct disk *disk);
};

/* Implementations embed these as their first member. */
struct disk {
    const struct disk_vtable *vtable;
};
struct disk_file {
    struct disk *disk;
};

/* The real disk. One static instance without state; never freed. */
struct disk *disk_posix(void);

#define DISK_PATH_MAX 512u

static inline int disk_open(struct disk *disk, const char *path, enum disk_open_mode mode,
                            struct disk_file **ret_file)
{
    return disk->vtable->open(disk, path, mode, ret_file);
}
static inline void disk_close(struct disk_file *file)
{
    if (file) file->disk->vtable->close(file);
}
static inline ssize_t disk_pread(struct disk_file *file, void *buffer, size_t bytes, uint64_t pos)
{
    return file->disk->vtable->pread(file, buffer, bytes, pos);
}
static inline int disk_pwritev(struct disk_file *file, const struct iovec *iov, int iov_count,
                               uint64_t pos)
{
    return file->disk->vtable->pwritev(file, iov, iov_count, pos);
}
static inline int disk_pwrite(struct disk_file *file, const void *buffer, size_t bytes,
                              uint64_t pos)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = bytes};
    return file->disk->vtable->pwritev(file, &iov, 1, pos);
}
static inline int disk_datasync(struct disk_file *file)
{
    return file->disk->vtable->datasync(file);
}
static inline int disk_size(struct disk_file *file, uint64_t *ret_bytes)
{
    return file->disk->vtable->size(file, ret_bytes);
}
static inline int disk_truncate(struct disk_file *file, uint64_t bytes)
{
    return file->disk->vtable->truncate(file, bytes);
}
static inline int disk_allocate(struct disk_file *file, uint64_t pos, uint64_t bytes)
{
    return file->disk->vtable->allocate(file, pos, bytes);
}
static inline int disk_drop_cache(struct disk_file *file)
{
    return file->disk->vtable->drop_cache(file);
}
static inline void disk_forget_cache(struct disk_file *file)
{
    if (file->disk->vtable->forget_cache) file->disk->vtable->forget_cache(file);
}
static inline int disk_make_directory(struct disk *disk, const char *path)
{
    return disk->vtable->make_directory(disk, path);
}
static inline int disk_sync_directory(struct disk *disk, const char *path)
{
    return disk->vtable->sync_directory(disk, path);
}
static inline int disk_rename(struct disk *disk, const char *from, const char *to)
{
    return disk->vtable->rename(disk, from, to);
}
static inline int disk_unlink(struct disk *disk, const char *path)
{
    return disk->vtable->unlink(disk, path);
}
static inline int disk_remove_directory(struct disk *disk, const char *path)
{
    return disk->vtable->remove_directory(disk, path);
}
static inline uint32_t disk_sector_bytes(struct disk *disk, const char *path)
{
    return disk->vtable->sector_bytes ? disk->vtable->sector_bytes(disk, path) : 0;
}
static inline int disk_has_subdirectories(struct disk *disk, const char *path)
{
    if (!disk->vtable->has_subdirectories) return -ENOSYS;
    return disk->vtable->has_subdirectories(disk, path);
}
static inline int disk_list(struct disk *disk, const char *path, disk_list_cb cb, void *data)
{
    return disk->vtable->list(disk, path, cb, data);
}
/* False: there is no such file. Whatever else stands in the way of opening it is something that is there. */
static inline bool disk_exists(struct disk *disk, const char *path)
{
    struct disk_file *file = NULL;
    const int error = disk_open(disk, path, DISK_READ, &file);
    if (error == 0) disk_close(file);
    return error != -ENOENT;
}

static inline int disk_lock(struct disk *disk, const char *path, struct disk_file **ret_file)
{
    return disk->vtable->lock(disk, path, ret_file);
}
static inline int disk_free_bytes(struct disk *disk, const char *path, uint64_t *ret_bytes)
{
    return disk->vtable->free_bytes(disk, path, ret_bytes);
}
static inline uint64_t disk_now_us(struct disk *disk)
{
    return disk->vtable->now_us ? disk->vtable->now_us(disk) : 0;
}

#endif
