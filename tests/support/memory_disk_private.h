/* What the files of the memory disk share: its state, and the images of files and names. */
#ifndef SUPPORT_MEMORY_DISK_PRIVATE_H
#define SUPPORT_MEMORY_DISK_PRIVATE_H

#include "memory_disk.h"

#include <assert.h>

#define SECTOR_BYTES 512u
#define PAGE_BYTES   4096u
#define PAGE_SECTORS (PAGE_BYTES / SECTOR_BYTES)
static_assert(PAGE_SECTORS == 8, "the dirty sectors of a page are the bits of a byte");

/* Bytes that any number of files, images and clones of disks share until one of them changes its own. */
struct page {
    uint32_t refs;
    bool is_hashed;
    uint64_t hash;
    uint8_t bytes[PAGE_BYTES];
};

/* A page that the medium cannot give any more. */
struct lost_page {
    size_t page;
    bool is_rewritten; /* in the cache, and not synced */
};

/* A file, apart from its names.
 *
 * Invariants
 *  1. cache and medium are equal outside of dirty sectors, unless the file is astray;
 *  2. cache is zero from cache_bytes on;
 *  3. dirty pages lie in [dirty_first, dirty_end). */
struct inode {
    uint32_t refs; /* names (both images), pending operations, open files */
    bool is_directory;
    bool astray;          /* a sync failed: clean sectors may differ */
    struct page **cache;  /* as reads see it; NULL: a page of zeros */
    struct page **medium; /* as a power cut leaves it */
    uint8_t *dirty;       /* of each page the sectors written since the last sync, one bit each */
    size_t pages_count;
    size_t cache_bytes, medium_bytes;
    size_t dirty_first, dirty_end; /* pages */
    struct lost_page *lost;
    size_t lost_count;
};

struct name {
    char *path;
    struct inode *inode;
};

/* In the order of strcmp(). */
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
    bool has_lied;
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
/* `path` is `part`, in it, or a directory above it. NULL and "": everything is. */
bool memory_path__is_part(const char *part, const char *path);
void memory_path__parent(char target[DISK_PATH_MAX], const char *path);
void memory_inode__unref(struct inode *inode);
struct inode *memory_inode__ref(struct inode *inode);
struct inode *memory_names__get(const struct names *names, const char *path);
/* The first name that is not before `path`: what begins with it follows from there on. */
size_t memory_names__position(const struct names *names, const char *path);
void memory_names__remove(struct names *names, const char *path);
void memory_names__set(struct names *names, const char *path, struct inode *inode);
/* Behind all others; for copies of what is in order. */
void memory_names__append(struct names *names, const char *path, struct inode *inode);
void memory_names__clear(struct names *names);
void memory_names__copy(struct names *target, const struct names *source);
void memory_names__apply(struct names *names, const struct pending *pending);
void memory_disk__change_name(struct memory_disk *disk, const char *from, const char *to,
                              struct inode *inode);
struct inode *memory_inode__clone(const struct inode *inode);
void memory_inode__reserve(struct inode *inode, uint64_t bytes);
/* Mark all sectors of [from, to). */
void memory_inode__mark(struct inode *inode, uint64_t from, uint64_t to);
void memory_inode__put(struct memory_disk *disk, struct inode *inode, const uint8_t *bytes,
                       size_t bytes_count, uint64_t pos);
void memory_inode__get(const struct inode *inode, uint8_t *bytes, size_t bytes_count, uint64_t pos);
/* Zeros in the cache from here on; the file becomes that short. */
void memory_inode__cut(struct inode *inode, uint64_t bytes);
/* All pages that [pos, pos + bytes) touches are lost ... */
void memory_inode__lose(struct inode *inode, uint64_t pos, uint64_t bytes);
/* ... none of these is: a read gets its bytes ... */
bool memory_inode__is_readable(const struct inode *inode, uint64_t pos, uint64_t bytes);
/* ... none is that a write would have to read because it covers a part of it. */
bool memory_inode__is_writable(const struct inode *inode, uint64_t pos, uint64_t bytes);
/* Those that it covers as a whole are readable, and stay so from the next sync on. */
void memory_inode__rewrite(struct inode *inode, uint64_t pos, uint64_t bytes);
void memory_inode__flip(struct inode *inode, uint64_t pos, uint8_t mask);
void memory_inode__sync(struct inode *inode);
void memory_inode__sync_badly(struct memory_disk *disk, struct inode *inode);
/* The cache is what the medium holds. */
void memory_inode__forget_cache(struct inode *inode);
void memory_inode__crash(struct memory_disk *disk, struct inode *inode);

bool memory_inode__is_clean(const struct inode *inode);
bool memory_inode__is_dirty(const struct inode *inode, size_t sector);
/* Would a power cut show whether this sector was written back? */
bool memory_inode__differs(const struct inode *inode, size_t sector);
void memory_inode__keep_sector(struct inode *inode, size_t sector);
/* A part of the new bytes, the rest old or noise. `how` 0: the front is new; 1: the back is; 2: the front, then noise. */
void memory_inode__tear_sector(struct memory_disk *disk, struct inode *inode, size_t sector,
                               size_t cut, uint32_t how);
/* What was decided is all there is: the power is back. */
void memory_inode__settle(struct inode *inode);
uint64_t memory_inode__hash(const struct inode *inode, bool of_medium);

/* The names that the medium holds become the only ones; directories that lost their own name take their files along. */
void memory_disk__settle_names(struct memory_disk *disk);
void memory_disk__drop_pending(struct memory_disk *disk);

#endif
