#include "memory_disk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR_BYTES 512u

/* A file, apart from its names. */
struct inode {
    uint32_t refs; /* names (both images), pending operations, open files */
    bool is_directory;
    uint8_t *cache;  /* as reads see it */
    uint8_t *medium; /* as a power cut leaves it */
    uint8_t *dirty;  /* per sector: written since the last sync */
    size_t cache_bytes, medium_bytes, capacity;
};

struct name {
    char path[DISK_PATH_MAX];
    struct inode *inode;
};

struct names {
    struct name *items;
    size_t count, capacity;
};

/* A name operation that its directory was not synced for. */
struct pending {
    char from[DISK_PATH_MAX]; /* removed; "" = none */
    char to[DISK_PATH_MAX];   /* set to inode; "" = none */
    struct inode *inode;
};

struct memory_disk {
    struct disk disk;
    uint64_t random;
    uint64_t generation; /* counts crashes: open files of an older one are dead */
    struct names cache, medium;
    struct pending *pending;
    size_t pending_count, pending_capacity;
    char (*locks)[DISK_PATH_MAX];
    size_t locks_count;
    uint64_t calls, syncs;
    memory_disk_hook hook;
    void *hook_data;
    uint64_t fail_call_at, fail_sync_at, sync_calls, stop_at;
    int fail_error;
    bool stopped;
    uint64_t bytes_max;
    uint64_t now_us;
};

struct memory_file {
    struct disk_file file;
    struct inode *inode;
    uint64_t generation;
    bool writable;
    bool is_lock;
    char path[DISK_PATH_MAX];
};

/* ---- small parts -------------------------------------------------------------------------------------- */

static struct memory_disk *disk_of(struct disk *disk)
{
    return (struct memory_disk *)disk;
}

static void *must(void *memory)
{
    /* A test without memory has nothing to tell. */
    if (!memory) abort();
    return memory;
}

static uint64_t draw(struct memory_disk *disk)
{
    /* splitmix64: every seed, 0 too, gives a good sequence. */
    uint64_t z = disk->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool coin(struct memory_disk *disk)
{
    return (draw(disk) >> 32) & 1u;
}

static void copy_path(char target[DISK_PATH_MAX], const char *path)
{
    int length = snprintf(target, DISK_PATH_MAX, "%s", path);
    assert(length >= 0 && (size_t)length < DISK_PATH_MAX);
    while (length > 1 && target[length - 1] == '/') {
        target[--length] = 0;
    }
}

static void parent_of(char target[DISK_PATH_MAX], const char *path)
{
    copy_path(target, path);
    char *slash = strrchr(target, '/');
    if (!slash) {
        copy_path(target, ".");
    } else if (slash == target) {
        target[1] = 0;
    } else {
        *slash = 0;
    }
}

static void inode_unref(struct inode *inode)
{
    assert(inode->refs > 0);
    if (--inode->refs > 0) return;
    free(inode->cache);
    free(inode->medium);
    free(inode->dirty);
    free(inode);
}

static struct inode *inode_ref(struct inode *inode)
{
    inode->refs++;
    return inode;
}

/* ---- names -------------------------------------------------------------------------------------------- */

static size_t name_position(const struct names *names, const char *path)
{
    size_t low = 0, high = names->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(names->items[middle].path, path) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct inode *names_get(const struct names *names, const char *path)
{
    size_t position = name_position(names, path);
    if (position == names->count || strcmp(names->items[position].path, path) != 0) return NULL;
    return names->items[position].inode;
}

static void names_remove(struct names *names, const char *path)
{
    size_t position = name_position(names, path);
    if (position == names->count || strcmp(names->items[position].path, path) != 0) return;
    inode_unref(names->items[position].inode);
    names->count--;
    memmove(&names->items[position], &names->items[position + 1],
            (names->count - position) * sizeof *names->items);
}

static void names_set(struct names *names, const char *path, struct inode *inode)
{
    inode_ref(inode);
    names_remove(names, path);
    if (names->count == names->capacity) {
        names->capacity = names->capacity ? 2 * names->capacity : 16;
        names->items = must(realloc(names->items, names->capacity * sizeof *names->items));
    }
    size_t position = name_position(names, path);
    memmove(&names->items[position + 1], &names->items[position],
            (names->count - position) * sizeof *names->items);
    copy_path(names->items[position].path, path);
    names->items[position].inode = inode;
    names->count++;
}

static void names_clear(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        inode_unref(names->items[i].inode);
    }
    free(names->items);
    *names = (struct names){0};
}

static void names_copy(struct names *target, const struct names *source)
{
    names_clear(target);
    for (size_t i = 0; i < source->count; i++) {
        names_set(target, source->items[i].path, source->items[i].inode);
    }
}

static void apply(struct names *names, const struct pending *pending)
{
    if (pending->from[0]) {
        /* A rename whose source name was never made durable still moves only its own file. */
        struct inode *inode = names_get(names, pending->from);
        if (!pending->to[0] || inode == pending->inode) names_remove(names, pending->from);
    }
    if (pending->to[0]) names_set(names, pending->to, pending->inode);
}

static void change_name(struct memory_disk *disk, const char *from, const char *to,
                        struct inode *inode)
{
    if (disk->pending_count == disk->pending_capacity) {
        disk->pending_capacity = disk->pending_capacity ? 2 * disk->pending_capacity : 16;
        disk->pending =
            must(realloc(disk->pending, disk->pending_capacity * sizeof *disk->pending));
    }
    struct pending *pending = &disk->pending[disk->pending_count++];
    copy_path(pending->from, from);
    copy_path(pending->to, to);
    pending->inode = inode_ref(inode);
    apply(&disk->cache, pending);
}

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

/* ---- bytes -------------------------------------------------------------------------------------------- */

static size_t align_sector(uint64_t bytes)
{
    return (size_t)((bytes + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES);
}

static void inode_reserve(struct inode *inode, size_t bytes)
{
    if (bytes <= inode->capacity) return;
    size_t capacity = inode->capacity ? inode->capacity : 4096;
    while (capacity < bytes) {
        capacity *= 2;
    }
    inode->cache = must(realloc(inode->cache, capacity));
    inode->medium = must(realloc(inode->medium, capacity));
    inode->dirty = must(realloc(inode->dirty, capacity / SECTOR_BYTES));
    memset(inode->cache + inode->capacity, 0, capacity - inode->capacity);
    memset(inode->medium + inode->capacity, 0, capacity - inode->capacity);
    memset(inode->dirty + inode->capacity / SECTOR_BYTES, 0,
           (capacity - inode->capacity) / SECTOR_BYTES);
    inode->capacity = capacity;
}

static void sector_to_medium(struct inode *inode, size_t sector)
{
    memcpy(inode->medium + sector * SECTOR_BYTES, inode->cache + sector * SECTOR_BYTES,
           SECTOR_BYTES);
    size_t end = (sector + 1) * SECTOR_BYTES;
    if (end > inode->cache_bytes) end = inode->cache_bytes;
    if (end > inode->medium_bytes) inode->medium_bytes = end;
}

static void put_bytes(struct memory_disk *disk, struct inode *inode, const uint8_t *bytes,
                      size_t bytes_count, uint64_t pos)
{
    if (bytes_count == 0) return;
    inode_reserve(inode, align_sector(pos + bytes_count));
    for (size_t s = pos / SECTOR_BYTES; s <= (pos + bytes_count - 1) / SECTOR_BYTES; s++) {
        /* The kernel may have written an earlier version of the sector back at any time. */
        if (inode->dirty[s] && coin(disk)) sector_to_medium(inode, s);
        inode->dirty[s] = 1;
    }
    memcpy(inode->cache + pos, bytes, bytes_count);
    if (pos + bytes_count > inode->cache_bytes) inode->cache_bytes = pos + bytes_count;
}

static void sync_inode(struct inode *inode)
{
    for (size_t s = 0; s < inode->capacity / SECTOR_BYTES; s++) {
        if (inode->dirty[s]) sector_to_medium(inode, s);
        inode->dirty[s] = 0;
    }
    inode->medium_bytes = inode->cache_bytes;
}

/* A sync that fails: what it could not write counts as clean from now on. */
static void sync_inode_badly(struct memory_disk *disk, struct inode *inode)
{
    for (size_t s = 0; s < inode->capacity / SECTOR_BYTES; s++) {
        if (inode->dirty[s] && coin(disk)) sector_to_medium(inode, s);
        inode->dirty[s] = 0;
    }
}

static void tear_sector(struct memory_disk *disk, struct inode *inode, size_t sector)
{
    uint8_t *medium = inode->medium + sector * SECTOR_BYTES;
    const uint8_t *cache = inode->cache + sector * SECTOR_BYTES;
    size_t cut = draw(disk) % (SECTOR_BYTES + 1);
    switch (draw(disk) % 3) {
    case 0:
        memcpy(medium, cache, cut);
        break;
    case 1:
        memcpy(medium + cut, cache + cut, SECTOR_BYTES - cut);
        break;
    default:
        memcpy(medium, cache, cut);
        for (size_t i = cut; i < SECTOR_BYTES; i++) {
            medium[i] = (uint8_t)draw(disk);
        }
    }
    size_t end = (sector + 1) * SECTOR_BYTES;
    if (end > inode->cache_bytes) end = inode->cache_bytes;
    if (end > inode->medium_bytes) inode->medium_bytes = end;
}

static void crash_inode(struct memory_disk *disk, struct inode *inode)
{
    if (inode->medium_bytes != inode->cache_bytes && coin(disk)) {
        inode->medium_bytes = inode->cache_bytes;
    }
    /* How likely a sector is kept differs from crash to crash, so that all kept and none kept both come up. */
    uint64_t kept = draw(disk) % 5, torn = draw(disk) % 3;
    for (size_t s = 0; s < inode->capacity / SECTOR_BYTES; s++) {
        if (!inode->dirty[s]) continue;
        inode->dirty[s] = 0;
        uint64_t fate = draw(disk) % 4;
        if (fate < kept) {
            sector_to_medium(inode, s);
        } else if (torn > 0 && draw(disk) % 4 < torn) {
            tear_sector(disk, inode, s);
        }
    }
    inode->cache_bytes = inode->medium_bytes;
    if (inode->cache) {
        memcpy(inode->cache, inode->medium, inode->capacity);
        memset(inode->cache + inode->cache_bytes, 0, inode->capacity - inode->cache_bytes);
        memset(inode->medium + inode->cache_bytes, 0, inode->capacity - inode->cache_bytes);
    }
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
    struct memory_file *file = must(calloc(1, sizeof *file));
    file->file.disk = &disk->disk;
    file->inode = inode_ref(inode);
    file->generation = disk->generation;
    file->writable = writable;
    copy_path(file->path, path);
    *ret_file = &file->file;
    return 0;
}

static int make_inode(struct memory_disk *disk, const char *path, bool is_directory)
{
    char parent[DISK_PATH_MAX];
    parent_of(parent, path);
    struct inode *directory = names_get(&disk->cache, parent);
    bool is_root = strcmp(parent, "/") == 0 || strcmp(parent, ".") == 0;
    if (!is_root && !directory) return -ENOENT;
    if (directory && !directory->is_directory) return -ENOTDIR;
    struct inode *inode = must(calloc(1, sizeof *inode));
    inode->is_directory = is_directory;
    inode->refs = 1;
    change_name(disk, "", path, inode);
    inode_unref(inode);
    return 0;
}

static int memory_open(struct disk *disk, const char *raw, enum disk_open_mode mode,
                       struct disk_file **ret_file)
{
    struct memory_disk *memory = disk_of(disk);
    char path[DISK_PATH_MAX];
    copy_path(path, raw);
    if (memory->stopped) return -EIO;
    struct inode *inode = names_get(&memory->cache, path);
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
    new_file(memory, names_get(&memory->cache, path), path, true, ret_file);
    return leave(memory);
}

static void memory_close(struct disk_file *base)
{
    struct memory_file *file = file_of(base);
    struct memory_disk *disk = disk_of(base->disk);
    if (file->is_lock && file->generation == disk->generation) {
        for (size_t i = 0; i < disk->locks_count; i++) {
            if (strcmp(disk->locks[i], file->path) != 0) continue;
            copy_path(disk->locks[i], disk->locks[--disk->locks_count]);
            break;
        }
    }
    inode_unref(file->inode);
    free(file);
}

static ssize_t memory_pread(struct disk_file *base, void *buffer, size_t bytes, uint64_t pos)
{
    struct memory_file *file = file_of(base);
    if (is_dead(file)) return -EIO;
    const struct inode *inode = file->inode;
    if (pos >= inode->cache_bytes) return 0;
    if (bytes > inode->cache_bytes - pos) bytes = inode->cache_bytes - (size_t)pos;
    memcpy(buffer, inode->cache + pos, bytes);
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
    uint64_t allowed = bytes;
    uint64_t used = memory_disk_used(&disk->disk), size = file->inode->cache_bytes;
    uint64_t room = disk->bytes_max > used ? disk->bytes_max - used : 0;
    if (pos + bytes > size && pos + bytes - size > room) {
        if (!error) error = -ENOSPC;
        allowed = size + room > pos ? size + room - pos : 0;
    }
    /* A write that fails has written some of its bytes. */
    if (error && allowed > 0) allowed = draw(disk) % (allowed + 1);
    for (int i = 0; i < iov_count && allowed > 0; i++) {
        size_t part = iov[i].iov_len < allowed ? iov[i].iov_len : (size_t)allowed;
        put_bytes(disk, file->inode, iov[i].iov_base, part, pos);
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
    if (error && !disk->stopped) sync_inode_badly(disk, file->inode);
    if (error) return error;
    sync_inode(file->inode);
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
    inode_reserve(inode, align_sector(bytes));
    if (bytes < inode->cache_bytes) {
        /* What is cut reads as zeros if the file grows again; on the medium only once it is written. */
        for (size_t s = bytes / SECTOR_BYTES; s * SECTOR_BYTES < inode->cache_bytes; s++) {
            inode->dirty[s] = 1;
        }
        memset(inode->cache + bytes, 0, inode->cache_bytes - (size_t)bytes);
    }
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
    if (inode->cache) memcpy(inode->cache, inode->medium, inode->capacity);
    return 0;
}

/* ---- names and directories ----------------------------------------------------------------------------- */

static int memory_make_directory(struct disk *disk, const char *raw)
{
    struct memory_disk *memory = disk_of(disk);
    char path[DISK_PATH_MAX];
    copy_path(path, raw);
    int error = enter(memory, false);
    if (error) return error;
    struct inode *inode = names_get(&memory->cache, path);
    if (inode) return inode->is_directory ? 0 : -ENOTDIR;
    error = make_inode(memory, path, true);
    return error ? error : leave(memory);
}

static bool is_in(const char *path, const char *directory)
{
    char parent[DISK_PATH_MAX];
    if (!path[0]) return false;
    parent_of(parent, path);
    return strcmp(parent, directory) == 0;
}

static int memory_sync_directory(struct disk *disk, const char *raw)
{
    struct memory_disk *memory = disk_of(disk);
    char path[DISK_PATH_MAX];
    copy_path(path, raw);
    int error = enter(memory, true);
    if (error) return error;
    bool is_root = strcmp(path, "/") == 0 || strcmp(path, ".") == 0;
    if (!is_root && !names_get(&memory->cache, path)) return -ENOENT;
    size_t left = 0;
    for (size_t i = 0; i < memory->pending_count; i++) {
        struct pending *pending = &memory->pending[i];
        if (is_in(pending->from, path) || is_in(pending->to, path)) {
            apply(&memory->medium, pending);
            inode_unref(pending->inode);
        } else {
            memory->pending[left++] = *pending;
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
    copy_path(from, raw_from);
    copy_path(to, raw_to);
    int error = enter(memory, false);
    if (error) return error;
    struct inode *inode = names_get(&memory->cache, from);
    if (!inode) return -ENOENT;
    /* A directory moves with all its names, as one operation each. */
    char prefix[DISK_PATH_MAX + 1];
    size_t prefix_length = (size_t)snprintf(prefix, sizeof prefix, "%s/", from);
    for (size_t i = 0; inode->is_directory && i < memory->cache.count;) {
        struct name *name = &memory->cache.items[i++];
        if (strncmp(name->path, prefix, prefix_length) != 0) continue;
        char old[DISK_PATH_MAX], moved[2 * DISK_PATH_MAX];
        copy_path(old, name->path);
        snprintf(moved, sizeof moved, "%s/%s", to, old + prefix_length);
        change_name(memory, old, moved, name->inode);
        i = 0;
    }
    change_name(memory, from, to, inode);
    return leave(memory);
}

static bool has_children(const struct memory_disk *disk, const char *path)
{
    for (size_t i = 0; i < disk->cache.count; i++) {
        if (is_in(disk->cache.items[i].path, path)) return true;
    }
    return false;
}

static int remove_name(struct memory_disk *disk, const char *raw, bool is_directory)
{
    char path[DISK_PATH_MAX];
    copy_path(path, raw);
    int error = enter(disk, false);
    if (error) return error;
    struct inode *inode = names_get(&disk->cache, path);
    if (!inode) return -ENOENT;
    if (inode->is_directory != is_directory) return is_directory ? -ENOTDIR : -EISDIR;
    if (is_directory && has_children(disk, path)) return -ENOTEMPTY;
    change_name(disk, path, "", inode);
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
    copy_path(path, raw);
    if (memory->stopped) return -EIO;
    bool is_root = strcmp(path, "/") == 0 || strcmp(path, ".") == 0;
    struct inode *inode = names_get(&memory->cache, path);
    if (!is_root && !inode) return -ENOENT;
    if (inode && !inode->is_directory) return -ENOTDIR;
    /* The callback may change names: work on a copy. */
    struct names copy = {0};
    names_copy(&copy, &memory->cache);
    for (size_t i = 0; i < copy.count; i++) {
        if (!is_in(copy.items[i].path, path)) continue;
        const char *slash = strrchr(copy.items[i].path, '/');
        cb(data, slash ? slash + 1 : copy.items[i].path);
    }
    names_clear(&copy);
    return 0;
}

static int memory_lock(struct disk *disk, const char *raw, struct disk_file **ret_file)
{
    struct memory_disk *memory = disk_of(disk);
    char path[DISK_PATH_MAX];
    copy_path(path, raw);
    if (memory->stopped) return -EIO;
    for (size_t i = 0; i < memory->locks_count; i++) {
        if (strcmp(memory->locks[i], path) == 0) return -EAGAIN;
    }
    if (!names_get(&memory->cache, path)) {
        int error = make_inode(memory, path, false);
        if (error) return error;
    }
    memory->locks = must(realloc(memory->locks, (memory->locks_count + 1) * sizeof *memory->locks));
    copy_path(memory->locks[memory->locks_count++], path);
    new_file(memory, names_get(&memory->cache, path), path, true, ret_file);
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

static const struct disk_vtable memory_vtable = {
    .open = memory_open,
    .close = memory_close,
    .pread = memory_pread,
    .pwritev = memory_pwritev,
    .datasync = memory_datasync,
    .size = memory_size,
    .truncate = memory_truncate,
    .allocate = memory_allocate,
    .drop_cache = memory_drop_cache,
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

/* ---- life, crash, faults ------------------------------------------------------------------------------- */

struct disk *memory_disk_create(uint64_t seed)
{
    struct memory_disk *disk = must(calloc(1, sizeof *disk));
    disk->disk.vtable = &memory_vtable;
    disk->random = seed;
    disk->bytes_max = UINT64_MAX;
    return &disk->disk;
}

static void drop_pending(struct memory_disk *disk)
{
    for (size_t i = 0; i < disk->pending_count; i++) {
        inode_unref(disk->pending[i].inode);
    }
    disk->pending_count = 0;
}

void memory_disk_destroy(struct disk *base)
{
    if (!base) return;
    struct memory_disk *disk = disk_of(base);
    drop_pending(disk);
    names_clear(&disk->cache);
    names_clear(&disk->medium);
    free(disk->pending);
    free(disk->locks);
    free(disk);
}

/* Old inode to its copy, so that a file with several names stays one file. */
struct clone_map {
    const struct inode **from;
    struct inode **to;
    size_t count;
};

static struct inode *clone_inode(struct clone_map *map, const struct inode *inode)
{
    for (size_t i = 0; i < map->count; i++) {
        if (map->from[i] == inode) return map->to[i];
    }
    struct inode *copy = must(malloc(sizeof *copy));
    *copy = *inode;
    copy->refs = 1; /* the map's, dropped at the end */
    if (inode->capacity > 0) {
        copy->cache = must(malloc(inode->capacity));
        copy->medium = must(malloc(inode->capacity));
        copy->dirty = must(malloc(inode->capacity / SECTOR_BYTES));
        memcpy(copy->cache, inode->cache, inode->capacity);
        memcpy(copy->medium, inode->medium, inode->capacity);
        memcpy(copy->dirty, inode->dirty, inode->capacity / SECTOR_BYTES);
    }
    map->from = must(realloc(map->from, (map->count + 1) * sizeof *map->from));
    map->to = must(realloc(map->to, (map->count + 1) * sizeof *map->to));
    map->from[map->count] = inode;
    map->to[map->count++] = copy;
    return copy;
}

struct disk *memory_disk_clone(const struct disk *base, uint64_t seed)
{
    const struct memory_disk *source = (const struct memory_disk *)base;
    struct memory_disk *copy = disk_of(memory_disk_create(seed));
    struct clone_map map = {0};
    for (size_t i = 0; i < source->cache.count; i++) {
        const struct name *name = &source->cache.items[i];
        names_set(&copy->cache, name->path, clone_inode(&map, name->inode));
    }
    for (size_t i = 0; i < source->medium.count; i++) {
        const struct name *name = &source->medium.items[i];
        names_set(&copy->medium, name->path, clone_inode(&map, name->inode));
    }
    if (source->pending_count > 0) {
        copy->pending = must(malloc(source->pending_count * sizeof *copy->pending));
    }
    copy->pending_capacity = copy->pending_count = source->pending_count;
    for (size_t i = 0; i < source->pending_count; i++) {
        copy->pending[i] = source->pending[i];
        copy->pending[i].inode = inode_ref(clone_inode(&map, source->pending[i].inode));
    }
    for (size_t i = 0; i < map.count; i++) {
        inode_unref(map.to[i]);
    }
    free(map.from);
    free(map.to);
    copy->bytes_max = source->bytes_max;
    copy->now_us = source->now_us;
    return &copy->disk;
}

void memory_disk_crash(struct disk *base, enum memory_disk_crash mode)
{
    struct memory_disk *disk = disk_of(base);
    disk->generation++;
    disk->locks_count = 0;
    disk->stopped = false;
    disk->stop_at = disk->fail_call_at = disk->fail_sync_at = 0;
    if (mode == MEMORY_DISK_KILL) return;
    for (size_t i = 0; i < disk->pending_count; i++) {
        if (coin(disk)) apply(&disk->medium, &disk->pending[i]);
    }
    drop_pending(disk);
    names_copy(&disk->cache, &disk->medium);
    /* A directory whose own name was lost takes its files along. */
    for (size_t i = 0; i < disk->cache.count;) {
        char parent[DISK_PATH_MAX];
        parent_of(parent, disk->cache.items[i].path);
        bool is_root = strcmp(parent, "/") == 0 || strcmp(parent, ".") == 0;
        if (is_root || names_get(&disk->cache, parent)) {
            i++;
            continue;
        }
        names_remove(&disk->cache, disk->cache.items[i].path);
        i = 0;
    }
    names_copy(&disk->medium, &disk->cache);
    for (size_t i = 0; i < disk->cache.count; i++) {
        crash_inode(disk, disk->cache.items[i].inode);
    }
}

uint64_t memory_disk_calls(const struct disk *disk)
{
    return ((const struct memory_disk *)disk)->calls;
}

uint64_t memory_disk_syncs(const struct disk *disk)
{
    return ((const struct memory_disk *)disk)->syncs;
}

void memory_disk_set_hook(struct disk *disk, memory_disk_hook hook, void *data)
{
    disk_of(disk)->hook = hook;
    disk_of(disk)->hook_data = data;
}

void memory_disk_fail_call(struct disk *disk, uint64_t nth, int error)
{
    struct memory_disk *memory = disk_of(disk);
    memory->fail_call_at = nth ? memory->calls + nth : 0;
    memory->fail_error = error;
}

void memory_disk_fail_sync(struct disk *disk, uint64_t nth)
{
    struct memory_disk *memory = disk_of(disk);
    memory->fail_sync_at = nth ? memory->sync_calls + nth : 0;
}

void memory_disk_stop_at(struct disk *disk, uint64_t nth)
{
    struct memory_disk *memory = disk_of(disk);
    memory->stop_at = nth ? memory->calls + nth : 0;
}

void memory_disk_set_capacity(struct disk *disk, uint64_t bytes)
{
    disk_of(disk)->bytes_max = bytes;
}

int memory_disk_flip(struct disk *disk, const char *raw, uint64_t pos, uint8_t mask)
{
    struct memory_disk *memory = disk_of(disk);
    char path[DISK_PATH_MAX];
    copy_path(path, raw);
    struct inode *inode = names_get(&memory->cache, path);
    if (!inode) return -ENOENT;
    if (pos >= inode->cache_bytes) return -EINVAL;
    inode->cache[pos] ^= mask;
    inode->medium[pos] ^= mask;
    return 0;
}

void memory_disk_set_now_us(struct disk *disk, uint64_t now_us)
{
    disk_of(disk)->now_us = now_us;
}
