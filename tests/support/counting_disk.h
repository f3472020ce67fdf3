/* A disk that counts what is read from another one, for tests that promise how little is read. */
#ifndef SUPPORT_COUNTING_DISK_H
#define SUPPORT_COUNTING_DISK_H

#include <segment_log/disk.h>

/* `target` is borrowed until destroy; closing files and destroying is the caller's order. */
struct disk *counting_disk_create(struct disk *target);
void counting_disk_destroy(struct disk *disk);

/* Bytes that pread returned, and its calls, since the last reset. */
uint64_t counting_disk_read_bytes(const struct disk *disk);
uint64_t counting_disk_reads(const struct disk *disk);
void counting_disk_reset(struct disk *disk);

#endif
