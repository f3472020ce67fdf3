/* A disk in memory for one directory, which tells what was synced from what was not.
 *
 * A file has bytes as last written and bytes as last synced; the directory has names as last changed and names as last
 * synced. A crash makes every call from the n-th on fail without effect; then a power cut keeps or drops what was not
 * synced. A fault makes the n-th call alone fail: a write that fails has written its first half. */
#ifndef TESTS_CRASH_DISK_H
#define TESTS_CRASH_DISK_H

#include <segment_log/disk.h>

#define CRASH_DISK_FILES_MAX 16u
#define CRASH_DISK_DIRECTORY "d"

struct crash_disk_bytes {
    uint8_t *bytes;
    uint64_t count;
};

struct crash_disk_name {
    char name[64];
    uint32_t file; /* + 1; 0: free */
};

struct crash_disk {
    struct disk disk;
    struct {
        struct crash_disk_bytes written, synced;
    } files[CRASH_DISK_FILES_MAX];
    uint32_t files_count;
    struct crash_disk_name names[CRASH_DISK_FILES_MAX];
    struct crash_disk_name synced_names[CRASH_DISK_FILES_MAX];
    uint32_t calls;           /* so far */
    uint32_t crash_at;        /* this call and all behind it fail; 0: none */
    uint32_t fail_at;         /* this call fails; 0: none */
    int fail_error;           /* errno */
    bool failed_a_read;       /* ... and it was a pread */
    uint32_t unreadable_file; /* + 1; 0: none */
    uint64_t unreadable_pos;
    bool flips_writes; /* the last byte of every write lands with one bit changed */
    bool
        loses_writes; /* syncs say OK and bring nothing to the device: only a dropped cache shows it */
};

enum crash_disk_cut {
    CUT_KEEPS_ALL,
    CUT_DROPS_ALL,   /* names and bytes as last synced */
    CUT_DROPS_BYTES, /* names kept, bytes as last synced */
    CUT_DROPS_NAMES, /* bytes kept, names as last synced */
    CUT_TEARS_BYTES, /* names kept, files that were not synced end in the middle */
    CUTS_COUNT,
};

struct crash_disk *crash_disk_create(void);
void crash_disk_destroy(struct crash_disk *disk);
void crash_disk_power_cut(struct crash_disk *disk, enum crash_disk_cut cut);

/* The bytes of a file as last written; NULL when there is none of this name. To change them in place is the test's
 * way to damage a file. */
struct crash_disk_bytes *crash_disk_file(struct crash_disk *disk, const char *name);
/* Put a file, written and synced. */
void crash_disk_put(struct crash_disk *disk, const char *name, const void *bytes, uint64_t count);
/* A lost sector: from now on the byte at `pos` of the file that has this name cannot be read. Of one at a time. */
void crash_disk_unreadable(struct crash_disk *disk, const char *name, uint64_t pos);
uint32_t crash_disk_names_count(const struct crash_disk *disk);

#endif
