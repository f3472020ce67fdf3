/* Life, crashes and faults of the memory disk; its calls are in memory_disk_calls.c. */
#include "memory_disk_private.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct disk *memory_disk_create(uint64_t seed)
{
    struct memory_disk *disk = memory_disk__must(calloc(1, sizeof *disk));
    disk->disk.vtable = &memory_disk__vtable;
    disk->random = seed;
    disk->bytes_max = UINT64_MAX;
    return &disk->disk;
}

void memory_disk__drop_pending(struct memory_disk *disk)
{
    for (size_t i = 0; i < disk->pending_count; i++) {
        memory_inode__unref(disk->pending[i].inode);
    }
    disk->pending_count = 0;
}

void memory_disk_destroy(struct disk *base)
{
    if (!base) return;
    struct memory_disk *disk = disk_of(base);
    memory_disk__drop_pending(disk);
    memory_names__clear(&disk->cache);
    memory_names__clear(&disk->medium);
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

static struct inode *clone_inode(struct clone_map *map, struct inode *inode)
{
    for (size_t i = 0; i < map->count; i++) {
        if (map->from[i] == inode) return map->to[i];
    }
    struct inode *copy =
        memory_inode__clone(inode); /* one reference: the map's, dropped at the end */
    map->from = memory_disk__must(realloc(map->from, (map->count + 1) * sizeof *map->from));
    map->to = memory_disk__must(realloc(map->to, (map->count + 1) * sizeof *map->to));
    map->from[map->count] = inode;
    map->to[map->count++] = copy;
    return copy;
}

bool memory_path__is_part(const char *part, const char *path)
{
    if (!part || !part[0]) return true;
    size_t part_bytes = strlen(part);
    size_t path_bytes = strlen(path);
    size_t common = part_bytes < path_bytes ? part_bytes : path_bytes;
    if (strncmp(part, path, common) != 0) return false;
    if (part_bytes == path_bytes) return true;
    return part_bytes < path_bytes ? path[part_bytes] == '/' : part[path_bytes] == '/';
}

static void clone_names(struct clone_map *map, const char *part, const struct names *source,
                        struct names *target)
{
    for (size_t i = 0; i < source->count; i++) {
        const struct name *name = &source->items[i];
        if (!memory_path__is_part(part, name->path)) continue;
        memory_names__append(target, name->path, clone_inode(map, name->inode));
    }
}

static void clone_pending(struct clone_map *map, const char *part, const struct memory_disk *source,
                          struct memory_disk *copy)
{
    if (source->pending_count == 0) return;
    copy->pending = memory_disk__must(malloc(source->pending_count * sizeof *copy->pending));
    copy->pending_capacity = source->pending_count;
    for (size_t i = 0; i < source->pending_count; i++) {
        const struct pending *pending = &source->pending[i];
        const char *path = pending->to[0] ? pending->to : pending->from;
        if (!memory_path__is_part(part, path)) continue;
        copy->pending[copy->pending_count] = *pending;
        copy->pending[copy->pending_count++].inode =
            memory_inode__ref(clone_inode(map, pending->inode));
    }
}

struct disk *memory_disk_clone(const struct disk *base, uint64_t seed)
{
    return memory_disk_clone_part(base, NULL, seed);
}

struct disk *memory_disk_clone_part(const struct disk *base, const char *part, uint64_t seed)
{
    const struct memory_disk *source = (const struct memory_disk *)base;
    struct memory_disk *copy = disk_of(memory_disk_create(seed));
    struct clone_map map = {0};
    clone_names(&map, part, &source->cache, &copy->cache);
    clone_names(&map, part, &source->medium, &copy->medium);
    clone_pending(&map, part, source, copy);
    for (size_t i = 0; i < map.count; i++) {
        memory_inode__unref(map.to[i]);
    }
    free(map.from);
    free(map.to);
    copy->bytes_max = source->bytes_max;
    copy->now_us = source->now_us;
    return &copy->disk;
}

void memory_disk__settle_names(struct memory_disk *disk)
{
    memory_disk__drop_pending(disk);
    memory_names__copy(&disk->cache, &disk->medium);
    /* A directory whose own name was lost takes its files along. */
    for (size_t i = 0; i < disk->cache.count;) {
        char parent[DISK_PATH_MAX];
        memory_path__parent(parent, disk->cache.items[i].path);
        bool is_root = strcmp(parent, "/") == 0 || strcmp(parent, ".") == 0;
        if (is_root || memory_names__get(&disk->cache, parent)) {
            i++;
            continue;
        }
        memory_names__remove(&disk->cache, disk->cache.items[i].path);
        i = 0;
    }
    memory_names__copy(&disk->medium, &disk->cache);
}

static void end_process(struct memory_disk *disk)
{
    disk->generation++;
    disk->locks_count = 0;
    disk->stopped = false;
    disk->stop_at = disk->fail_call_at = disk->fail_sync_at = 0;
}

void memory_disk_crash(struct disk *base, enum memory_disk_crash mode)
{
    struct memory_disk *disk = disk_of(base);
    end_process(disk);
    if (mode == MEMORY_DISK_KILL) return;
    if (disk->lies) disk->has_lied = true;
    for (size_t i = 0; i < disk->pending_count; i++) {
        if (memory_disk__coin(disk)) memory_names__apply(&disk->medium, &disk->pending[i]);
    }
    memory_disk__settle_names(disk);
    for (size_t i = 0; i < disk->cache.count; i++) {
        memory_inode__crash(disk, disk->cache.items[i].inode);
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

void memory_disk_lie(struct disk *disk, bool lies)
{
    struct memory_disk *memory = disk_of(disk);
    for (size_t i = 0; memory->lies && !lies && i < memory->cache.count; i++) {
        memory_inode__sync(memory->cache.items[i].inode);
    }
    memory->lies = lies;
}

bool memory_disk_has_lied(struct disk *disk)
{
    struct memory_disk *memory = disk_of(disk);
    const bool has_lied = memory->has_lied;
    memory->has_lied = false;
    return has_lied;
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
    memory_path__copy(path, raw);
    struct inode *inode = memory_names__get(&memory->cache, path);
    if (!inode) return -ENOENT;
    if (pos >= inode->cache_bytes) return -EINVAL;
    memory_inode__flip(inode, pos, mask);
    return 0;
}

int memory_disk_unreadable(struct disk *disk, const char *raw, uint64_t pos, uint64_t bytes)
{
    struct memory_disk *memory = disk_of(disk);
    char path[DISK_PATH_MAX];
    memory_path__copy(path, raw);
    struct inode *inode = memory_names__get(&memory->cache, path);
    if (!inode) return -ENOENT;
    if (bytes == 0 || pos >= inode->cache_bytes) return -EINVAL;
    memory_inode__lose(inode, pos, bytes);
    return 0;
}

uint32_t memory_disk_unreadable_count(const struct disk *disk, const char *raw)
{
    const struct memory_disk *memory = (const struct memory_disk *)disk;
    char path[DISK_PATH_MAX];
    memory_path__copy(path, raw);
    const struct inode *inode = memory_names__get(&memory->cache, path);
    uint32_t count = 0;
    for (size_t i = 0; inode && i < inode->lost_count; i++) {
        count += !inode->lost[i].is_rewritten;
    }
    return count;
}

void memory_disk_set_now_us(struct disk *disk, uint64_t now_us)
{
    disk_of(disk)->now_us = now_us;
}
