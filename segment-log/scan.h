/* Reading records one behind the other from a segment file: the one place that decides where a log ends.
 *
 * The next record is looked for at the end of the last one, then at the next sector boundary (the first record after a
 * sync starts there, PROTOCOL L4), and is taken only when its header checksum, its payload hash and its chain from the
 * record before hold, its index and base offset follow, and its term and time do not fall. Where the caller knows the
 * term of that index, it must be that: a lost write leaves old records, which follow as well. What fails that is no
 * record, whatever it looks like; whether that is a torn tail or damage the caller tells by the mark (L10). */
#ifndef SEGMENT_LOG_SCAN_H
#define SEGMENT_LOG_SCAN_H

#include "segment.h"

struct segment_scan {
    struct disk_file *file;
    uint64_t group_seed;
    uint32_t sector_bytes;
    uint64_t limit_pos; /* no record reaches beyond */
    bool zeros_behind;  /* where the file is shorter than that, zeros stand for it */
    uint64_t zeros_pos; /* what stands from here on reads as zeros; 0: nothing does */
    const struct segment_mark *restored; /* its tail stands for the bytes on disk; NULL = none */

    struct segment_log_point at; /* state behind the last record */
    uint64_t pos;                /* end of the last record */
    bool lone; /* the next record is known by its own chain (struct segment_point) */
    uint64_t lone_chain;
    struct term_trail trail; /* what the caller knows besides; empty: nothing */

    uint8_t *buffer;
    size_t buffer_capacity;
    size_t buffer_bytes;
    uint64_t buffer_pos;

    const char *reason; /* after SEGMENT_SCAN_END: why no record stands here ... */
    uint64_t bad_pos;   /* ... where it was looked for */
    bool bad_is_blank;  /* ... and whether there is nothing but zeros: a clean end */
    int error;          /* after SEGMENT_SCAN_IO: negative errno */
    bool
        is_unreadable; /* the disk could not read a part of what was looked at; it counts as zeros */
    bool met_unreadable; /* ... or of anything since the start */
};

struct segment_scan_record {
    uint64_t pos;
    const uint8_t *bytes; /* whole encoded entry, valid until the next call */
    size_t bytes_count;
    const uint8_t *payload;
    struct entry_header header;
};

enum segment_scan_status { SEGMENT_SCAN_RECORD, SEGMENT_SCAN_END, SEGMENT_SCAN_IO };

/* Start behind `at`, whose record ends at `pos`. Nothing is allocated before the first record is read. */
void scan__init(struct segment_scan *scan, struct disk_file *file, uint64_t group_seed,
                uint32_t sector_bytes, const struct segment_log_point *at, uint64_t pos,
                uint64_t limit_pos);
/* The same from a point of a segment. */
void scan__start(struct segment_scan *scan, struct disk_file *file, uint64_t group_seed,
                 uint32_t sector_bytes, const struct segment_point *start, uint64_t limit_pos);
/* Go on from another place of the same file. */
void scan__restart(struct segment_scan *scan, const struct segment_point *start);
void scan__close(struct segment_scan *scan);
enum segment_scan_status scan__next(struct segment_scan *scan, struct segment_scan_record *ret);

/* At least one byte and at most `bytes` at `pos`, fewer only at limit_pos; NULL with scan->error set, or at the end. */
const uint8_t *scan__load(struct segment_scan *scan, uint64_t pos, size_t bytes, size_t *ret_bytes);

/* The state behind an entry that follows `before`. */
struct segment_log_point scan__point_behind(const struct entry_header *header);

#endif
