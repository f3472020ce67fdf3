/* A read job, as its two kinds see it: read_job.c finds entries by a key, repair_read.c what a peer has lost. */
#ifndef SEGMENT_LOG_READ_JOB_H
#define SEGMENT_LOG_READ_JOB_H

#include "finding.h"
#include "log.h"
#include "scan.h"

/* One segment to look through. A search by time may go on in the next ones: a stretch without DATA can be long. */
struct read_part {
    uint64_t sequence;
    uint32_t sector_bytes;
    struct segment_point start;
    uint64_t last_index; /* durable ones only */
    uint64_t end_pos;
    bool has_index; /* a better start is in its footer */
    struct segment_footer footer;
    /* The first hole behind `start`, of which nothing is believed; index 0: there is none. */
    uint64_t hole_index;
    const char *hole_reason;
    bool is_in_hole; /* what is looked for */
    struct segment_log_point base;
    struct finding_place place; /* should something not check out */
};

struct segment_log_read_job {
    struct segment_log_read_job *next; /* outstanding ones of the log */
    struct disk *disk;
    char directory[DISK_PATH_MAX];
    uint64_t seed;
    enum segment_log_key key;
    uint64_t value;
    uint64_t last_index;
    size_t bytes_max;
    uint64_t cuts_total; /* of the log when the job was made */
    uint64_t replaces_total;
    bool is_for_repair; /* entries behind `value`, by the chain of that one */
    uint64_t chain;
    struct read_part *parts;
    uint32_t parts_count;
    struct term_run *terms; /* of the entries in the parts ... */
    struct term_trail trail;

    enum segment_log_status status;
    struct segment_log_problem problem;
    struct segment_log_chunk *chunk; /* the result, entries back to back */
    uint64_t first_index;
    uint64_t found_last_index;
    uint64_t searched_index;            /* nothing was found through here */
    struct footer_point *loaded_points; /* the index of this segment, for the next job */
    struct segment_footer loaded_footer;
    struct finding finding; /* damage that is not known yet, in ... */
    uint64_t finding_sequence;
    uint64_t bad_footer; /* sequence of a segment whose footer does not check out; 0: none */
};

/* Make it and add it to those of the log, with room for parts. NULL: no memory. */
struct segment_log_read_job *read_job__new(struct segment_log *log, enum segment_log_key key,
                                           uint64_t value, uint64_t last_index, size_t bytes_max,
                                           uint32_t parts_count);
void read_job__add_part(struct segment_log *log, struct segment_log_read_job *job,
                        const struct segment *segment);
/* All parts are added: what is known of their entries. False: no memory; the job is freed. */
bool read_job__complete(struct segment_log *log, struct segment_log_read_job *job);
/* False: the result is complete. */
bool read_job__take_record(struct segment_log_read_job *job, const struct read_part *part,
                           const struct segment_scan_record *record);
/* Open its segment and find the best place to start. False: job->status tells why not. */
bool read_job__open_part(struct segment_log_read_job *job, struct read_part *part,
                         char path[DISK_PATH_MAX], struct disk_file **ret_file);

/* repair_read.c */
void repair_read__run(struct segment_log_read_job *job);

#endif
