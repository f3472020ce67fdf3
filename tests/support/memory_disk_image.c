/* Files and names as the page cache shows them and as the medium holds them. */
#include "memory_disk_private.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- small parts -------------------------------------------------------------------------------------- */

void *memory_disk__must(void *memory)
{
    /* A test without memory has nothing to tell. */
    if (!memory) abort();
    return memory;
}

uint64_t memory_disk__draw(struct memory_disk *disk)
{
    /* splitmix64: every seed, 0 too, gives a good sequence. */
    uint64_t z = disk->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

bool memory_disk__coin(struct memory_disk *disk)
{
    return (memory_disk__draw(disk) >> 32) & 1u;
}

void memory_path__copy(char target[DISK_PATH_MAX], const char *path)
{
    size_t length = strlen(path);
    assert(length < DISK_PATH_MAX);
    while (length > 1 && path[length - 1] == '/') {
        length--;
    }
    memmove(target, path, length);
    target[length] = 0;
}

bool memory_path__is_in(const char *path, const char *directory)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return path[0] && strcmp(directory, ".") == 0;
    if (slash == path) return strcmp(directory, "/") == 0;
    size_t length = (size_t)(slash - path);
    return strncmp(path, directory, length) == 0 && directory[length] == 0;
}

void memory_path__parent(char target[DISK_PATH_MAX], const char *path)
{
    memory_path__copy(target, path);
    char *slash = strrchr(target, '/');
    if (!slash) {
        memory_path__copy(target, ".");
    } else if (slash == target) {
        target[1] = 0;
    } else {
        *slash = 0;
    }
}

void memory_inode__unref(struct inode *inode)
{
    assert(inode->refs > 0);
    if (--inode->refs > 0) return;
    if (inode->sharers && --*inode->sharers > 0) {
        free(inode);
        return;
    }
    free(inode->sharers);
    free(inode->cache);
    free(inode->medium);
    free(inode->dirty);
    free(inode);
}

struct inode *memory_inode__ref(struct inode *inode)
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

struct inode *memory_names__get(const struct names *names, const char *path)
{
    size_t position = name_position(names, path);
    if (position == names->count || strcmp(names->items[position].path, path) != 0) return NULL;
    return names->items[position].inode;
}

void memory_names__remove(struct names *names, const char *path)
{
    size_t position = name_position(names, path);
    if (position == names->count || strcmp(names->items[position].path, path) != 0) return;
    memory_inode__unref(names->items[position].inode);
    names->count--;
    memmove(&names->items[position], &names->items[position + 1],
            (names->count - position) * sizeof *names->items);
}

static void names_reserve(struct names *names)
{
    if (names->count < names->capacity) return;
    names->capacity = names->capacity ? 2 * names->capacity : 16;
    names->items = memory_disk__must(realloc(names->items, names->capacity * sizeof *names->items));
}

void memory_names__set(struct names *names, const char *path, struct inode *inode)
{
    memory_inode__ref(inode);
    memory_names__remove(names, path);
    names_reserve(names);
    size_t position = name_position(names, path);
    memmove(&names->items[position + 1], &names->items[position],
            (names->count - position) * sizeof *names->items);
    memory_path__copy(names->items[position].path, path);
    names->items[position].inode = inode;
    names->count++;
}

void memory_names__append(struct names *names, const char *path, struct inode *inode)
{
    memory_inode__ref(inode);
    names_reserve(names);
    memory_path__copy(names->items[names->count].path, path);
    names->items[names->count++].inode = inode;
}

void memory_names__clear(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        memory_inode__unref(names->items[i].inode);
    }
    free(names->items);
    *names = (struct names){0};
}

void memory_names__copy(struct names *target, const struct names *source)
{
    memory_names__clear(target);
    for (size_t i = 0; i < source->count; i++) {
        memory_names__append(target, source->items[i].path, source->items[i].inode);
    }
}

void memory_names__apply(struct names *names, const struct pending *pending)
{
    if (pending->from[0]) {
        /* A rename whose source name was never made durable still moves only its own file. */
        struct inode *inode = memory_names__get(names, pending->from);
        if (!pending->to[0] || inode == pending->inode) memory_names__remove(names, pending->from);
    }
    if (pending->to[0]) memory_names__set(names, pending->to, pending->inode);
}

void memory_disk__change_name(struct memory_disk *disk, const char *from, const char *to,
                              struct inode *inode)
{
    if (disk->pending_count == disk->pending_capacity) {
        disk->pending_capacity = disk->pending_capacity ? 2 * disk->pending_capacity : 16;
        disk->pending = memory_disk__must(
            realloc(disk->pending, disk->pending_capacity * sizeof *disk->pending));
    }
    struct pending *pending = &disk->pending[disk->pending_count++];
    memory_path__copy(pending->from, from);
    memory_path__copy(pending->to, to);
    pending->inode = memory_inode__ref(inode);
    memory_names__apply(&disk->cache, pending);
}

/* ---- bytes -------------------------------------------------------------------------------------------- */

size_t memory_inode__align(uint64_t bytes)
{
    return (size_t)((bytes + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES);
}

static uint8_t *copy_of(const uint8_t *bytes, size_t count)
{
    uint8_t *copy = memory_disk__must(malloc(count));
    memcpy(copy, bytes, count);
    return copy;
}

void memory_inode__own(struct inode *inode)
{
    if (!inode->sharers) return;
    if (*inode->sharers == 1) { /* the others are gone */
        free(inode->sharers);
    } else {
        --*inode->sharers;
        inode->cache = copy_of(inode->cache, inode->capacity);
        inode->medium = copy_of(inode->medium, inode->capacity);
        inode->dirty = copy_of(inode->dirty, inode->capacity / SECTOR_BYTES);
    }
    inode->sharers = NULL;
}

void memory_inode__share(struct inode *inode)
{
    if (!inode->sharers) {
        inode->sharers = memory_disk__must(malloc(sizeof *inode->sharers));
        *inode->sharers = 1;
    }
    ++*inode->sharers;
}

static bool is_clean(const struct inode *inode)
{
    return inode->dirty_first >= inode->dirty_end;
}

void memory_inode__mark(struct inode *inode, size_t sector)
{
    assert(!inode->sharers);
    if (is_clean(inode)) {
        inode->dirty_first = sector;
        inode->dirty_end = sector + 1;
    }
    if (sector < inode->dirty_first) inode->dirty_first = sector;
    if (sector + 1 > inode->dirty_end) inode->dirty_end = sector + 1;
    inode->dirty[sector] = 1;
}

void memory_inode__reserve(struct inode *inode, size_t bytes)
{
    if (bytes <= inode->capacity) return;
    memory_inode__own(inode);
    size_t capacity = inode->capacity ? inode->capacity : 4096;
    while (capacity < bytes) {
        capacity *= 2;
    }
    inode->cache = memory_disk__must(realloc(inode->cache, capacity));
    inode->medium = memory_disk__must(realloc(inode->medium, capacity));
    inode->dirty = memory_disk__must(realloc(inode->dirty, capacity / SECTOR_BYTES));
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

void memory_inode__put(struct memory_disk *disk, struct inode *inode, const uint8_t *bytes,
                       size_t bytes_count, uint64_t pos)
{
    if (bytes_count == 0) return;
    memory_inode__reserve(inode, memory_inode__align(pos + bytes_count));
    memory_inode__own(inode);
    for (size_t s = pos / SECTOR_BYTES; s <= (pos + bytes_count - 1) / SECTOR_BYTES; s++) {
        /* The kernel may have written an earlier version of the sector back at any time. */
        if (inode->dirty[s] && memory_disk__coin(disk)) sector_to_medium(inode, s);
        memory_inode__mark(inode, s);
    }
    memcpy(inode->cache + pos, bytes, bytes_count);
    if (pos + bytes_count > inode->cache_bytes) inode->cache_bytes = pos + bytes_count;
}

void memory_inode__sync(struct inode *inode)
{
    if (!is_clean(inode)) memory_inode__own(inode);
    for (size_t s = inode->dirty_first; s < inode->dirty_end; s++) {
        if (inode->dirty[s]) sector_to_medium(inode, s);
        inode->dirty[s] = 0;
    }
    inode->dirty_first = inode->dirty_end = 0;
    inode->medium_bytes = inode->cache_bytes;
}

/* A sync that fails: what it could not write counts as clean from now on. */
void memory_inode__sync_badly(struct memory_disk *disk, struct inode *inode)
{
    if (is_clean(inode)) return;
    memory_inode__own(inode);
    for (size_t s = inode->dirty_first; s < inode->dirty_end; s++) {
        if (inode->dirty[s] && memory_disk__coin(disk)) sector_to_medium(inode, s);
        inode->dirty[s] = 0;
    }
    inode->dirty_first = inode->dirty_end = 0;
    inode->astray = true;
}

static void tear_sector(struct memory_disk *disk, struct inode *inode, size_t sector)
{
    uint8_t *medium = inode->medium + sector * SECTOR_BYTES;
    const uint8_t *cache = inode->cache + sector * SECTOR_BYTES;
    size_t cut = memory_disk__draw(disk) % (SECTOR_BYTES + 1);
    switch (memory_disk__draw(disk) % 3) {
    case 0:
        memcpy(medium, cache, cut);
        break;
    case 1:
        memcpy(medium + cut, cache + cut, SECTOR_BYTES - cut);
        break;
    default:
        memcpy(medium, cache, cut);
        for (size_t i = cut; i < SECTOR_BYTES; i++) {
            medium[i] = (uint8_t)memory_disk__draw(disk);
        }
    }
    size_t end = (sector + 1) * SECTOR_BYTES;
    if (end > inode->cache_bytes) end = inode->cache_bytes;
    if (end > inode->medium_bytes) inode->medium_bytes = end;
}

void memory_inode__crash(struct memory_disk *disk, struct inode *inode)
{
    if (inode->medium_bytes != inode->cache_bytes && memory_disk__coin(disk)) {
        inode->medium_bytes = inode->cache_bytes;
    }
    /* How likely a sector is kept differs from crash to crash, so that all kept and none kept both come up. */
    uint64_t kept = memory_disk__draw(disk) % 5, torn = memory_disk__draw(disk) % 3;
    bool settled = is_clean(inode) && !inode->astray;
    if (!settled) memory_inode__own(inode);
    for (size_t s = inode->dirty_first; s < inode->dirty_end; s++) {
        if (!inode->dirty[s]) continue;
        inode->dirty[s] = 0;
        uint64_t fate = memory_disk__draw(disk) % 4;
        if (fate < kept) {
            sector_to_medium(inode, s);
        } else if (torn > 0 && memory_disk__draw(disk) % 4 < torn) {
            tear_sector(disk, inode, s);
        }
    }
    inode->dirty_first = inode->dirty_end = 0;
    inode->astray = false;
    inode->cache_bytes = inode->medium_bytes;
    if (settled || !inode->cache) return; /* both are the same bytes, and zeros behind */
    memcpy(inode->cache, inode->medium, inode->capacity);
    memset(inode->cache + inode->cache_bytes, 0, inode->capacity - inode->cache_bytes);
    memset(inode->medium + inode->cache_bytes, 0, inode->capacity - inode->cache_bytes);
}
