/* What the files of recovery share: what was found in a directory, and the log that it becomes. */
#ifndef SEGMENT_LOG_RECOVERY_H
#define SEGMENT_LOG_RECOVERY_H

#include "log.h"
#include "scan.h"

struct found_segment {
    uint64_t sequence;
    bool is_absent; /* there is no file of this sequence, but of others on both sides */
    struct segment_header header;
    bool header_is_whole;
    /* Of a closed segment: what has to be written again. */
    bool mend_header; /* `header` was told by what stands beside it */
    bool mend_marks;  /* one of the blocks does not say "continued", or neither does */
    bool make_empty;  /* there is no file, and no entry that should be in it */
    bool drop_footer; /* it is over the header that is lost */
};

/* A CONFIG entry, told when all of the log is known to be whole. */
struct found_configuration {
    struct found_configuration *next;
    uint64_t index;
    uint32_t payload_bytes;
    uint8_t payload[];
};

struct recovery {
    struct segment_log *log; /* made when the first header is known */
    const struct segment_log_options *options;
    struct segment_log_problem *problem;
    uint64_t seed;
    struct found_segment *found;
    uint32_t found_count, found_capacity;
    bool out_of_memory;
    bool is_installed;  /* the newest file was born behind the newest base, which was published */
    uint64_t *replaced; /* sequences in front of an installed base, rising */
    uint32_t replaced_count;
    bool has_base; /* the entry of options->base was passed */
    struct found_configuration *configurations, **configurations_tail;

    char path[DISK_PATH_MAX]; /* the segment being looked at */
    struct disk_file *file;   /* NULL: absent */
    struct segment_marks marks;
    struct segment_mark
        end; /* when neither mark is valid: what tells the end of the segment instead */
    uint64_t file_bytes;
    bool
        spoils_tail; /* the torn tail of the last segment must not be zeros from its first sector on */
    bool met_unreadable; /* the disk could not read all of it */
    bool has_footer;     /* that checks out, about this sequence */
    struct segment_footer footer;
};

enum segment_log_status recovery__fail(struct recovery *recovery, enum segment_log_status status,
                                       uint64_t pos, uint64_t index, int error, const char *reason);

/* Open a segment, have its bytes come from the device, read header and marks. What does not check out of them is no error: the
 * caller knows what it means. Neither is a file that is not there. */
enum segment_log_status recovery__open_segment(struct recovery *recovery,
                                               struct found_segment *found);
void recovery__close_segment(struct recovery *recovery);
enum segment_log_status recovery__out_of_memory(struct recovery *recovery);

/* recovery_records.c */

/* Follow the records of the segment at hand from the device. */
enum segment_log_status recovery__read_records(struct recovery *recovery, struct segment *segment,
                                               const struct segment_mark *mark);
/* L9: a valid footer stands for the records. False when there is none: that is no damage, the segment is walked and gets a
 * new one. */
bool recovery__adopt_footer(struct recovery *recovery, struct segment *segment,
                            const struct segment_header *header, const struct segment_mark *mark);
/* All entries of a segment whose file is lost. */
enum segment_log_status recovery__take_lost(struct recovery *recovery, struct found_segment *found,
                                            struct segment *segment,
                                            const struct segment_log_point *end);
void recovery__note_base(struct recovery *recovery, const struct segment_log_point *at);
/* Of entries at or behind from_index: they are not of this log. */
void recovery__forget_configurations(struct recovery *recovery, uint64_t from_index);

/* lost.c: what is known of files that do not tell it themselves ... */

/* Entries for the files that are absent between others, and in front of the first one (options->start). */
enum segment_log_status recovery__fill_gaps(struct recovery *recovery);
/* ... where the first one starts. False: nobody knows. Its file is open. */
bool recovery__find_first_base(struct recovery *recovery, const struct found_segment *found,
                               struct segment_log_point *ret_base);
/* ... where a segment ends that has no valid mark: in recovery->end. False: nothing behind it tells that it was closed. Its
 * file is open, and opened again; when it is lost, nothing in it tells anything. */
enum segment_log_status recovery__find_end(struct recovery *recovery, uint32_t position,
                                           bool is_lost, bool *ret_found);
/* ... whether it goes on in the next file although its only valid mark does not say so. */
enum segment_log_status recovery__has_successor(struct recovery *recovery, uint32_t position,
                                                bool *ret_has_successor);
/* ... and to what its entries are aligned. Its file is open, header.base is known. */
uint32_t recovery__find_sector_bytes(struct recovery *recovery, const struct segment_header *header,
                                     const struct segment_mark *mark);

#endif
