/* What the files of the memory disk share: its state, and the images of files and names. */
#ifndef SUPPORT_MEMORY_DISK_PRIVATE_H
#define SUPPORT_MEMORY_DISK_PRIVATE_H

#include "memory_disk.h"

#define SECTOR_BYTES 512u

/* A file, apart from its names. Clones of a disk share the bytes until one of them changes its own.
 *
 * Invariants
 *  1. cache and medium are equal outside of dirty sectors, unless the file is astray;
 *  2. cache is zero from cache_bytes on;
 *  3. dirty sectors lie in [dirty_first, dirty_end). */
struct inode {
    uint32_t refs; /* names (both images), pending operations, open files */
    bool is_directory;
    bool astray;       /* a sync failed: clean sectors may differ */
    uint32_t *sharers; /* inodes that share the three arrays; NULL as long as there are none */
    uint8_t *cache;    /* as reads see it */
    uint8_t *medium;   /* as a power cut leaves it */
    uint8_t *dirty;    /* per sector: written since the last sync */
    size_t cache_bytes, medium_bytes, capacity;
    size_t dirty_first, dirty_end;
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
    bool lies; /* of files: syncs do nothing */
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

static inline struct memory_disk *disk_of(struct disk *disk)
{
    return (struct memory_disk *)disk;
}

extern const struct disk_vtable memory_disk__vtable;

void *memory_disk__must(void *memory);
uint64_t memory_disk__draw(struct memory_disk *disk);
bool memory_disk__coin(struct memory_disk *disk);
void memory_path__copy(char target[DISK_PATH_MAX], const char *path);
/* Does the name lie in the directory, not deeper? */
bool memory_path__is_in(const char *path, const char *directory);
void memory_path__parent(char target[DISK_PATH_MAX], const char *path);
void memory_inode__unref(struct inode *inode);
struct inode *memory_inode__ref(struct inode *inode);
struct inode *memory_names__get(const struct names *names, const char *path);
void memory_names__remove(struct names *names, const char *path);
void memory_names__set(struct names *names, const char *path, struct inode *inode);
/* Behind all others; for copies of what is in order. */
void memory_names__append(struct names *names, const char *path, struct inode *inode);
void memory_names__clear(struct names *names);
void memory_names__copy(struct names *target, const struct names *source);
void memory_names__apply(struct names *names, const struct pending *pending);
void memory_disk__change_name(struct memory_disk *disk, const char *from, const char *to,
                              struct inode *inode);
size_t memory_inode__align(uint64_t bytes);
/* Before the first change of bytes: they are this inode's alone from now on. */
void memory_inode__own(struct inode *inode);
void memory_inode__share(struct inode *inode);
void memory_inode__mark(struct inode *inode, size_t sector);
void memory_inode__reserve(struct inode *inode, size_t bytes);
void memory_inode__put(struct memory_disk *disk, struct inode *inode, const uint8_t *bytes,
                       size_t bytes_count, uint64_t pos);
void memory_inode__sync(struct inode *inode);
void memory_inode__sync_badly(struct memory_disk *disk, struct inode *inode);
void memory_inode__crash(struct memory_disk *disk, struct inode *inode);

#endif
