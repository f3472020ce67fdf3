/* Power cuts by choice: what a cut may decide on, one by one, and the disk that each decision leaves behind. */
#include "memory_disk_private.h"

#include <segment_log/checksum.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 512u

/* All files that a cut may bring to light, in an order that a clone has, too. */
struct files {
    struct inode *items[FILES_MAX];
    uint32_t count;
};

static void add_file(struct files *files, struct inode *inode)
{
    if (inode->is_directory) return;
    for (uint32_t i = 0; i < files->count; i++) {
        if (files->items[i] == inode) return;
    }
    assert(files->count < FILES_MAX);
    files->items[files->count++] = inode;
}

static void collect_files(const struct memory_disk *disk, struct files *files)
{
    files->count = 0;
    for (size_t i = 0; i < disk->cache.count; i++) {
        add_file(files, disk->cache.items[i].inode);
    }
    for (size_t i = 0; i < disk->medium.count; i++) {
        add_file(files, disk->medium.items[i].inode);
    }
    for (size_t i = 0; i < disk->pending_count; i++) {
        add_file(files, disk->pending[i].inode);
    }
}

/* ---- what is loose ------------------------------------------------------------------------------------------------ */

struct loose_list {
    struct memory_disk_loose *items;
    uint32_t max, count;
};

static void add_loose(struct loose_list *list, enum memory_disk_loose_kind kind, uint32_t number,
                      uint64_t pos)
{
    if (list->count < list->max) {
        list->items[list->count] = (struct memory_disk_loose){kind, number, pos};
    }
    list->count++;
}

static void add_sectors(struct loose_list *list, const struct inode *inode, uint32_t number)
{
    for (size_t p = inode->dirty_first; p < inode->dirty_end; p++) {
        if (!inode->dirty[p]) continue;
        for (size_t s = p * PAGE_SECTORS; s < (p + 1) * PAGE_SECTORS; s++) {
            if (!memory_inode__is_dirty(inode, s) || !memory_inode__differs(inode, s)) continue;
            add_loose(list, MEMORY_DISK_LOOSE_SECTOR, number, s * SECTOR_BYTES);
        }
    }
}

uint32_t memory_disk_loose(const struct disk *base, struct memory_disk_loose *ret_items,
                           uint32_t items_max)
{
    const struct memory_disk *disk = (const struct memory_disk *)base;
    struct loose_list list = {.items = ret_items, .max = items_max};
    for (uint32_t i = 0; i < disk->pending_count; i++) {
        add_loose(&list, MEMORY_DISK_LOOSE_NAME, i, 0);
    }
    struct files files;
    collect_files(disk, &files);
    for (uint32_t i = 0; i < files.count; i++) {
        const struct inode *inode = files.items[i];
        if (inode->medium_bytes != inode->cache_bytes) {
            add_loose(&list, MEMORY_DISK_LOOSE_SIZE, i, inode->cache_bytes);
        }
        add_sectors(&list, inode, i);
    }
    return list.count;
}

/* ---- the cut ------------------------------------------------------------------------------------------------------ */

static void decide_sector(struct memory_disk *disk, struct inode *inode, size_t sector,
                          enum memory_disk_fate fate)
{
    switch (fate) {
    case MEMORY_DISK_DROPPED:
        break;
    case MEMORY_DISK_KEPT:
        memory_inode__keep_sector(inode, sector);
        break;
    case MEMORY_DISK_TORN_FRONT:
        memory_inode__tear_sector(disk, inode, sector, SECTOR_BYTES / 2, 0);
        break;
    case MEMORY_DISK_TORN_BACK:
        memory_inode__tear_sector(disk, inode, sector, SECTOR_BYTES / 2, 1);
        break;
    case MEMORY_DISK_TORN_NOISE:
        memory_inode__tear_sector(disk, inode, sector, SECTOR_BYTES / 2, 2);
        break;
    }
}

struct disk *memory_disk_power_cut(const struct disk *base, const struct memory_disk_loose *items,
                                   const enum memory_disk_fate *fates, uint32_t count)
{
    struct disk *copy = memory_disk_clone(base, 1);
    struct memory_disk *disk = disk_of(copy);
    struct files files;
    collect_files(disk, &files);
    for (uint32_t i = 0; i < count; i++) {
        const struct memory_disk_loose *item = &items[i];
        if (item->kind == MEMORY_DISK_LOOSE_NAME) {
            assert(item->number < disk->pending_count);
            if (fates[i] != MEMORY_DISK_DROPPED) {
                memory_names__apply(&disk->medium, &disk->pending[item->number]);
            }
            continue;
        }
        assert(item->number < files.count);
        struct inode *inode = files.items[item->number];
        if (item->kind == MEMORY_DISK_LOOSE_SECTOR) {
            decide_sector(disk, inode, (size_t)item->pos / SECTOR_BYTES, fates[i]);
        } else if (fates[i] != MEMORY_DISK_DROPPED) {
            inode->medium_bytes = inode->cache_bytes;
        }
    }
    memory_disk__settle_names(disk);
    for (size_t i = 0; i < disk->cache.count; i++) {
        memory_inode__settle(disk->cache.items[i].inode);
    }
    return copy;
}

/* ---- equal disks ------------------------------------------------------------------------------------------------- */

static uint64_t hash_with(uint64_t hash, uint64_t value)
{
    const uint64_t parts[2] = {hash, value};
    return checksum64(parts, sizeof parts);
}

static uint64_t hash_names(const struct names *names, const char *part, bool of_medium)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < names->count; i++) {
        const struct name *name = &names->items[i];
        if (!memory_path__is_part(part, name->path)) continue;
        hash = hash_with(hash, checksum64(name->path, strlen(name->path)));
        if (name->inode->is_directory) continue;
        hash = hash_with(hash, memory_inode__hash(name->inode, of_medium));
    }
    return hash;
}

uint64_t memory_disk_hash(const struct disk *base, const char *part)
{
    const struct memory_disk *disk = (const struct memory_disk *)base;
    const uint64_t cache = hash_names(&disk->cache, part, false);
    const uint64_t medium = hash_names(&disk->medium, part, true);
    return cache == medium ? cache : hash_with(cache, medium);
}
