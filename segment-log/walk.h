/* Reading a log offline: what walk.c, the segments, and walk_log.c, the log as a whole, share. */
#ifndef SEGMENT_LOG_WALK_H
#define SEGMENT_LOG_WALK_H

#include "mark.h"

struct walk {
    struct disk *disk;
    const char *directory;
    segment_log_walk_cb cb;
    void *data;
    struct segment_log_walk_summary *summary;
    uint64_t *sequences;
    size_t sequences_count, sequences_capacity;
    bool out_of_memory;
    bool started; /* a header was read: `at` and the ids are known */
    struct segment_log_point at;
    const struct segment_log_snapshots *snapshots; /* NULL: not known */
    bool has_base;                                 /* the point of the newest base was passed */
    bool base_differs;                             /* another entry stands there */
    bool start_is_known;                           /* by the header of the first file ... */
    bool lacks_start;                              /* ... in front of which one is missing: told */
    uint64_t seed;
    char path[DISK_PATH_MAX];
};

/* Where the segments lead that were walked. */
enum walk_end {
    WALK_ENDS,    /* the last one was the log's last one */
    WALK_GOES_ON, /* it says that it is continued */
    WALK_UNKNOWN, /* nothing in it tells */
};

/* A look at a file from the one beside it, nothing is told. */
struct walk_glimpse {
    bool is_whole; /* its header is */
    bool has_mark;
    struct segment_header header;
};
struct walk_glimpse walk__look_at(const struct walk *walk, uint64_t sequence);

void walk__set_path(struct walk *walk, uint64_t sequence);
/* What no file tells alone; of the one at walk->path. */
void walk__say_of_log(struct walk *walk, bool problem, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

bool walk__has_bases(const struct walk *walk);
bool walk__is_newest_base(const struct walk *walk, const struct segment_log_point *point);

/* The nth segment: all that is in it, and how it goes with the one before. */
enum walk_end walk__segment(struct walk *walk, size_t at);

/* One segment for those who look at a single file: every record and every problem of it, behind header->base; mark NULL: none
 * is valid. */
void walk__records(struct disk_file *file, const char *path, const struct segment_header *header,
                   const struct segment_mark *mark, uint64_t file_bytes, segment_log_walk_cb cb,
                   void *data);

#endif
