/* The calls of struct disk on the memory disk. */
#include "memory_disk_private.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the frame of a call ------------------------------------------------------------------------------ */

/* Count a call and draw its fate: 0, or the error it fails with. */
static int enter(struct memory_disk *disk, bool is_sync)
{
    if (disk->stopped) return -EIO;
    disk->calls++;
    if (is_sync) disk->sync_calls++;
    if (disk->stop_at && disk->calls >= disk->stop_at) {
        disk->stopped = true;
        return -EIO;
    }
    if (disk->fail_call_at && disk->calls == disk->fail_call_at) return disk->fail_error;
    if (is_sync && disk->fail_sync_at && disk->sync_calls == disk->fail_sync_at) return -EIO;
    return 0;
}

static int leave(struct memory_disk *disk)
{
    if (disk->hook) disk->hook(disk->hook_data, &disk->disk);
    return 0;
}

static struct memory_file *file_of(struct disk_file *file)
{
    return (struct memory_file *)file;
}

static bool is_dead(const struct memory_file *file)
{
    const struct memory_disk *disk = (const struct memory_disk *)file->file.disk;
    return disk->stopped || file->generation != disk->generation;
}

uint64_t memory_disk_used(const struct disk *disk)
{
    const struct memory_disk *memory = (const struct memory_disk *)disk;
    uint64_t bytes = 0;
    for (size_t i = 0; i < memory->cache.count; i++) {
        bytes += memory->cache.items[i].inode->cache_bytes;
    }
    return bytes;
}

/* ---- files -------------------------------------------------------------------------------------------- */

static int new_file(struct memory_disk *disk, struct inode *inode, const char *path, bool writable,
                    struct disk_file **ret_file)
{
    struct memory_file *file = memory_disk__must(calloc(1, sizeof *file));
    file->file.disk = &disk->disk;
    file->inode = memory_inode__ref(inode);
    file->generation = disk->generation;
    file->writable = writable;
    memory_path__copy(file->path, path);
    *ret_file = &file->file;
    return 0;
}

static int make_inode(struct memory_disk *disk, const char *path, bool is_directory)
{
    char parent[DISK_PATH_MAX];
    memory_path__parent(parent, path);
    struct inode *directory = memory_names__get(&disk->cache, parent);
    bool is_root = strcmp(parent, "/") == 0 || strcmp(parent, ".") == 0;
    if (!is_root && !directory) return -ENOENT;
    if (directory && !directory->is_directory) return -ENOTDIR;
    struct inode *inode = memory_disk__must(calloc(1, sizeof *inode));
    inode->is_directory = is_directory;
    inode->refs = 1;
    memory_disk__change_name(disk, "", path, inode);
    memory_inode__unref(inode);
    return 0;
}

static int memory_open(struct disk *disk, const char *raw, enum disk_open_mode mode,
                       struct disk_file **ret_file)
{
    struct memory_disk *memory = disk_of(disk);
    char path[DISK_PATH_MAX];
    memory_path__copy(path, raw);
    if (memory->stopped) return -EIO;
    struct inode *inode = memory_names__get(&memory->cache, path);
    if (mode != DISK_CREATE_NEW) {
        if (!inode) return -ENOENT;
        if (inode->is_directory) return -EINVAL;
        return new_file(memory, inode, path, mode == DISK_WRITE, ret_file);
    }
    int error = enter(memory, false);
    if (error) return error;
    if (inode) return -EEXIST;
    error = make_inode(memory, path, false);
    if (error) return error;
    new_file(memory, memory_names__get(&memory->cache, path), path, true, ret_file);
    return leave(memory);
}

static void memory_close(struct disk_file *base)
{
    struct memory_file *file = file_of(base);
    struct memory_disk *disk = disk_of(base->disk);
    if (file->is_lock && file->generation == disk->generation) {
        for (size_t i = 0; i < disk->locks_count; i++) {
            if (strcmp(disk->locks[i], file->path) != 0) continue;
            memory_path__copy(disk->locks[i], disk->locks[--disk->locks_count]);
            break;
        }
    }
    memory_inode__unref(file->inode);
    free(file);
}

static ssize_t memory_pread(struct disk_file *base, void *buffer, size_t bytes, uint64_t pos)
{
    struct memory_file *file = file_of(base);
    if (is_dead(file)) return -EIO;
    const struct inode *inode = file->inode;
    if (pos >= inode->cache_bytes) return 0;
    if (bytes > inode->cache_bytes - pos) bytes = inode->cache_bytes - (size_t)pos;
    if (!memory_inode__is_readable(inode, pos, bytes)) return -EIO;
    memory_inode__get(inode, buffer, bytes, pos);
    return (ssize_t)bytes;
}

static int memory_pwritev(struct disk_file *base, const struct iovec *iov, int iov_count,
                          uint64_t pos)
{
    struct memory_file *file = file_of(base);
    struct memory_disk *disk = disk_of(base->disk);
    if (is_dead(file)) return -EIO;
    if (!file->writable) return -EBADF;
    int error = enter(disk, false);
    uint64_t bytes = 0;
    for (int i = 0; i < iov_count; i++) {
        bytes += iov[i].iov_len;
    }
    if (!error && !memory_inode__is_writable(file->inode, pos, bytes)) return -EIO;
    uint64_t allowed = bytes;
    uint64_t used = memory_disk_used(&disk->disk), size = file->inode->cache_bytes;
    uint64_t room = disk->bytes_max > used ? disk->bytes_max - used : 0;
    if (pos + bytes > size && pos + bytes - size > room) {
        if (!error) error = -ENOSPC;
        allowed = size + room > pos ? size + room - pos : 0;
    }
    /* A write that fails has written some of its bytes. */
    if (error && allowed > 0) allowed = memory_disk__draw(disk) % (allowed + 1);
    memory_inode__rewrite(file->inode, pos, allowed);
    for (int i = 0; i < iov_count && allowed > 0; i++) {
        size_t part = iov[i].iov_len < allowed ? iov[i].iov_len : (size_t)allowed;
        memory_inode__put(disk, file->inode, iov[i].iov_base, part, pos);
        pos += part;
        allowed -= part;
    }
    return error ? error : leave(disk);
}

static int memory_datasync(struct disk_file *base)
{
    struct memory_file *file = file_of(base);
    struct memory_disk *disk = disk_of(base->disk);
    if (is_dead(file)) return -EIO;
    int error = enter(disk, true);
    if (error && !disk->stopped) {
        if (disk->lies) disk->has_lied = true; /* what it drops may have been called synced */
        memory_inode__sync_badly(disk, file->inode);
    }
    if (error) return error;
    if (!disk->lies) memory_inode__sync(file->inode);
    disk->syncs++;
    return leave(disk);
}

static int memory_size(struct disk_file *base, uint64_t *ret_bytes)
{
    struct memory_file *file = file_of(base);
    if (is_dead(file)) return -EIO;
    *ret_bytes = file->inode->cache_bytes;
    return 0;
}

static int memory_truncate(struct disk_file *base, uint64_t bytes)
{
    struct memory_file *file = file_of(base);
    struct memory_disk *disk = disk_of(base->disk);
    if (is_dead(file)) return -EIO;
    int error = enter(disk, false);
    if (error) return error;
    struct inode *inode = file->inode;
    memory_inode__reserve(inode, bytes);
    if (bytes < inode->cache_bytes) memory_inode__cut(inode, bytes);
    inode->cache_bytes = (size_t)bytes;
    return leave(disk);
}

static int memory_allocate(struct disk_file *base, uint64_t pos, uint64_t bytes)
{
    struct memory_file *file = file_of(base);
    struct memory_disk *disk = disk_of(base->disk);
    if (is_dead(file)) return -EIO;
    int error = enter(disk, false);
    if (error) return error;
    uint64_t used = memory_disk_used(&disk->disk), size = file->inode->cache_bytes;
    if (pos + bytes > size && used + (pos + bytes - size) > disk->bytes_max) return -ENOSPC;
    return leave(disk);
}

static int memory_drop_cache(struct disk_file *base)
{
    int error = memory_datasync(base);
    if (error) return error;
    struct inode *inode = file_of(base)->inode;
    const bool lies = disk_of(base->disk)->lies;
    if (lies || !inode->astray) return 0; /* they are the same bytes */
    memory_inode__forget_cache(inode);
    inode->astray = false;
    return 0;
}

/* Only of a file without unsynced writes; where some wait, all of it stays, which a real system may do as well. */
static void memory_forget_cache(struct disk_file *base)
{
    struct inode *inode = file_of(base)->inode;
    if (is_dead(file_of(base)) || !inode->astray || !memory_inode__is_clean(inode)) return;
    memory_inode__forget_cache(inode);
    inode->astray = false;
}

/* ---- names and directories ----------------------------------------------------------------------------- */

static int memory_make_directory(struct disk *disk, const char *raw)
{
    struct memory_disk *memory = disk_of(disk);
    char path[DISK_PATH_MAX];
    memory_path__copy(path, raw);
    int error = enter(memory, false);
    if (error) return error;
    struct inode *inode = memory_names__get(&memory->cache, path);
    if (inode) return inode->is_directory ? 0 : -ENOTDIR;
    error = make_inode(memory, path, true);
    return error ? error : leave(memory);
}

static int memory_sync_directory(struct disk *disk, const char *raw)
{
    struct memory_disk *memory = disk_of(disk);
    char path[DISK_PATH_MAX];
    memory_path__copy(path, raw);
    int error = enter(memory, true);
    if (error) return error;
    bool is_root = strcmp(path, "/") == 0 || strcmp(path, ".") == 0;
    if (!is_root && !memory_names__get(&memory->cache, path)) return -ENOENT;
    size_t left = 0;
    for (size_t i = 0; i < memory->pending_count; i++) {
        struct pending *pending = &memory->pending[i];
        if (memory_path__is_in(pending->from, path) || memory_path__is_in(pending->to, path)) {
            memory_names__apply(&memory->medium, pending);
            memory_inode__unref(pending->inode);
        } else {
            if (left != i) memory->pending[left] = *pending;
            left++;
        }
    }
    memory->pending_count = left;
    memory->syncs++;
    return leave(memory);
}

static int memory_rename(struct disk *disk, const char *raw_from, const char *raw_to)
{
    struct memory_disk *memory = disk_of(disk);
    char from[DISK_PATH_MAX], to[DISK_PATH_MAX];
    memory_path__copy(from, raw_from);
    memory_path__copy(to, raw_to);
    int error = enter(memory, false);
    if (error) return error;
    struct inode *inode = memory_names__get(&memory->cache, from);
    if (!inode) return -ENOENT;
    /* A directory moves with all its names, as one operation each. */
    char prefix[DISK_PATH_MAX + 1];
    size_t prefix_length = (size_t)snprintf(prefix, sizeof prefix, "%s/", from);
    for (size_t i = 0; inode->is_directory && i < memory->cache.count;) {
        struct name *name = &memory->cache.items[i++];
        if (strncmp(name->path, prefix, prefix_length) != 0) continue;
        char old[DISK_PATH_MAX], moved[2 * DISK_PATH_MAX];
        memory_path__copy(old, name->path);
        snprintf(moved, sizeof moved, "%s/%s", to, old + prefix_length);
        memory_disk__change_name(memory, old, moved, name->inode);
        i = 0;
    }
    memory_disk__change_name(memory, from, to, inode);
    return leave(memory);
}

static bool has_children(const struct memory_disk *disk, const char *path)
{
    for (size_t i = 0; i < disk->cache.count; i++) {
        if (memory_path__is_in(disk->cache.items[i].path, path)) return true;
    }
    return false;
}

static int remove_name(struct memory_disk *disk, const char *raw, bool is_directory)
{
    char path[DISK_PATH_MAX];
    memory_path__copy(path, raw);
    int error = enter(disk, false);
    if (error) return error;
    struct inode *inode = memory_names__get(&disk->cache, path);
    if (!inode) return -ENOENT;
    if (inode->is_directory != is_directory) return is_directory ? -ENOTDIR : -EISDIR;
    if (is_directory && has_children(disk, path)) return -ENOTEMPTY;
    memory_disk__change_name(disk, path, "", inode);
    return leave(disk);
}

static int memory_unlink(struct disk *disk, const char *path)
{
    return remove_name(disk_of(disk), path, false);
}

static int memory_remove_directory(struct disk *disk, const char *path)
{
    return remove_name(disk_of(disk), path, true);
}

static int memory_list(struct disk *disk, const char *raw, disk_list_cb cb, void *data)
{
    struct memory_disk *memory = disk_of(disk);
    char path[DISK_PATH_MAX];
    memory_path__copy(path, raw);
    if (memory->stopped) return -EIO;
    bool is_root = strcmp(path, "/") == 0 || strcmp(path, ".") == 0;
    struct inode *inode = memory_names__get(&memory->cache, path);
    if (!is_root && !inode) return -ENOENT;
    if (inode && !inode->is_directory) return -ENOTDIR;
    char prefix[DISK_PATH_MAX + 1] = "";
    if (!is_root) snprintf(prefix, sizeof prefix, "%s/", path);
    const size_t prefix_length = strlen(prefix);
    /* The callback may change names: work on a copy. */
    struct names copy = {0};
    for (size_t i = memory_names__position(&memory->cache, prefix); i < memory->cache.count; i++) {
        const struct name *name = &memory->cache.items[i];
        if (strncmp(name->path, prefix, prefix_length) != 0) break;
        if (memory_path__is_in(name->path, path)) {
            memory_names__append(&copy, name->path, name->inode);
        }
    }
    for (size_t i = 0; i < copy.count; i++) {
        const char *slash = strrchr(copy.items[i].path, '/');
        cb(data, slash ? slash + 1 : copy.items[i].path);
    }
    memory_names__clear(&copy);
    return 0;
}

static int memory_lock(struct disk *disk, const char *raw, struct disk_file **ret_file)
{
    struct memory_disk *memory = disk_of(disk);
    char path[DISK_PATH_MAX];
    memory_path__copy(path, raw);
    if (memory->stopped) return -EIO;
    for (size_t i = 0; i < memory->locks_count; i++) {
        if (strcmp(memory->locks[i], path) == 0) return -EAGAIN;
    }
    if (!memory_names__get(&memory->cache, path)) {
        int error = make_inode(memory, path, false);
        if (error) return error;
    }
    memory->locks = memory_disk__must(
        realloc(memory->locks, (memory->locks_count + 1) * sizeof *memory->locks));
    memory_path__copy(memory->locks[memory->locks_count++], path);
    new_file(memory, memory_names__get(&memory->cache, path), path, true, ret_file);
    file_of(*ret_file)->is_lock = true;
    return 0;
}

static int memory_free_bytes(struct disk *disk, const char *path, uint64_t *ret_bytes)
{
    (void)path;
    const struct memory_disk *memory = disk_of(disk);
    if (memory->stopped) return -EIO;
    uint64_t used = memory_disk_used(disk);
    *ret_bytes = memory->bytes_max > used ? memory->bytes_max - used : 0;
    return 0;
}

static uint64_t memory_now_us(struct disk *disk)
{
    return disk_of(disk)->now_us;
}

const struct disk_vtable memory_disk__vtable = {
    .open = memory_open,
    .close = memory_close,
    .pread = memory_pread,
    .pwritev = memory_pwritev,
    .datasync = memory_datasync,
    .size = memory_size,
    .truncate = memory_truncate,
    .allocate = memory_allocate,
    .drop_cache = memory_drop_cache,
    .forget_cache = memory_forget_cache,
    .make_directory = memory_make_directory,
    .sync_directory = memory_sync_directory,
    .rename = memory_rename,
    .unlink = memory_unlink,
    .remove_directory = memory_remove_directory,
    .list = memory_list,
    .lock = memory_lock,
    .free_bytes = memory_free_bytes,
    .now_us = memory_now_us,
};
