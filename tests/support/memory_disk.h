/* A disk in memory that can lose power: `struct disk` for tests and for the simulator.
 *
 * Every file has two images: what the page cache shows and what is on the medium. A write reaches the medium, sector by
 * sector of 512 bytes, when it is synced; until then any of its sectors may be there or not, also in an earlier version.
 * Names (create, rename, unlink) reach the medium when their directory is synced. memory_disk_crash() decides what was
 * there:
 *
 *   MEMORY_DISK_KILL    the process died: the page cache, locks excepted, survives. What was never synced is still only
 *                       there: it is lost by a later power cut unless it is synced first.
 *   MEMORY_DISK_POWER   each unsynced sector is kept, dropped or torn (part new, part old, part noise); each unsynced
 *                       name operation and size is kept or dropped.
 *
 * After a crash every open file and lock is dead: its calls return -EIO, only close works. All choices are drawn from the
 * seed, so that the same calls give the same disk. Not for more than one thread at a time. */
#ifndef SUPPORT_MEMORY_DISK_H
#define SUPPORT_MEMORY_DISK_H

#include <segment_log/disk.h>

struct memory_disk;

struct disk *memory_disk_create(uint64_t seed);
void memory_disk_destroy(struct disk *disk);

/* The same disk at this instant, with its unsynced state, but with choices of its own from `seed`, and without open
 * files, faults or hook: a crash of the copy is one of the crashes the original could have had here. */
struct disk *memory_disk_clone(const struct disk *disk, uint64_t seed);
/* The same of one directory with everything in it, and of the directories above it. */
struct disk *memory_disk_clone_part(const struct disk *disk, const char *path, uint64_t seed);

enum memory_disk_crash { MEMORY_DISK_KILL, MEMORY_DISK_POWER };
void memory_disk_crash(struct disk *disk, enum memory_disk_crash mode);

/* ---- power cuts by choice ----------------------------------------------------------------------------- */

enum memory_disk_loose_kind {
    MEMORY_DISK_LOOSE_NAME,   /* a name that was made, moved or removed */
    MEMORY_DISK_LOOSE_SIZE,   /* of a file */
    MEMORY_DISK_LOOSE_SECTOR, /* written, and not what it was */
};

/* One thing that a power cut at this instant may decide on, apart from all others. */
struct memory_disk_loose {
    enum memory_disk_loose_kind kind;
    uint32_t number; /* of the operation or the file, in the disk's own order */
    uint64_t pos;    /* of the sector */
};

/* The first `items_max` of them: names in the order of their operations, then file by file the size and the sectors by
 * position. Returns how many there are. */
uint32_t memory_disk_loose(const struct disk *disk, struct memory_disk_loose *ret_items,
                           uint32_t items_max);

enum memory_disk_fate {
    MEMORY_DISK_DROPPED,
    MEMORY_DISK_KEPT,
    /* of sectors; names and sizes are kept then */
    MEMORY_DISK_TORN_FRONT, /* the front half is new */
    MEMORY_DISK_TORN_BACK,  /* the back half is new */
    MEMORY_DISK_TORN_NOISE, /* the front half is new, the back half is noise */
};

/* A copy of the disk as it is after the power failed and `items` had these fates; what is not among them is dropped. */
struct disk *memory_disk_power_cut(const struct disk *disk, const struct memory_disk_loose *items,
                                   const enum memory_disk_fate *fates, uint32_t count);

/* Equal for disks on which the files under `path`, and the directories above it, are the same, what a power cut may leave
 * of them included. Cheap when little has changed since it was asked last, of this disk or of one that it was cloned from. */
uint64_t memory_disk_hash(const struct disk *disk, const char *path);

/* Counted are calls that change something or sync: create, pwritev, datasync, truncate, allocate, drop_cache,
 * make_directory, sync_directory, rename, unlink, remove_directory. */
uint64_t memory_disk_calls(const struct disk *disk);
uint64_t memory_disk_syncs(
    const struct disk *disk); /* datasync, drop_cache and sync_directory that returned 0 */

/* Called behind each counted call that succeeded, for a look at the disk (memory_disk_clone) at that instant. */
typedef void (*memory_disk_hook)(void *data, struct disk *disk);
void memory_disk_set_hook(struct disk *disk, memory_disk_hook hook, void *data);

/* ---- faults ------------------------------------------------------------------------------------------- */

/* The nth counted call from now (1 = the next) fails with `error` (negative errno), once; it may have done a part. 0 takes
 * the fault back. */
void memory_disk_fail_call(struct disk *disk, uint64_t nth, int error);
/* The nth datasync or drop_cache from now fails with -EIO. As in Linux, the pages that it could not write are clean
 * afterwards: reads show them, no later sync writes them, a dropped cache or power cut shows they are not there. */
void memory_disk_fail_sync(struct disk *disk, uint64_t nth);
/* From now on datasync and drop_cache return 0 and do nothing: what they should have written is only as durable as what
 * nobody synced. False: it is honest again, and everything that it held back is written. Syncs of directories stay honest. */
void memory_disk_lie(struct disk *disk, bool lies);
/* The power failed while it lied, or a sync did, since this was asked last: what was called durable may be gone. */
bool memory_disk_has_lied(struct disk *disk);
/* From the nth counted call from now on nothing happens any more and all calls return -EIO, until memory_disk_crash():
 * the process is as good as dead. */
void memory_disk_stop_at(struct disk *disk, uint64_t nth);
/* Room for this many bytes of files in all; beyond it writes fail with -ENOSPC. UINT64_MAX: no limit. */
void memory_disk_set_capacity(struct disk *disk, uint64_t bytes);
uint64_t memory_disk_used(const struct disk *disk);

/* Damage a file at rest, in cache and on the medium: XOR `mask` into the byte at `pos`. 0, -ENOENT or -EINVAL. */
int memory_disk_flip(struct disk *disk, const char *path, uint64_t pos, uint8_t mask);
/* Lost sectors: from now on every block of 4 KiB that [pos, pos + bytes) touches cannot be read, as a kernel reads and keeps
 * whole ones: reads that touch it fail with -EIO, and so does a write of a part of it, for which the rest would have to be read.
 * A write of the whole block puts a good one in its place, for good once it is synced. 0, -ENOENT or -EINVAL. */
int memory_disk_unreadable(struct disk *disk, const char *path, uint64_t pos, uint64_t bytes);
/* How many blocks of it cannot be read. */
uint32_t memory_disk_unreadable_count(const struct disk *disk, const char *path);

/* The clock that now_us() shows; starts at 0 and stands still unless set. */
void memory_disk_set_now_us(struct disk *disk, uint64_t now_us);

#endif
