/* A disk job: what was frozen for it, the copies it works on, and its result. Embedded in the log, since at most one
 * write job is outstanding. */
#ifndef SEGMENT_LOG_JOB_H
#define SEGMENT_LOG_JOB_H

#include "mark.h"
#include "segment.h"

struct segment_log;
struct segment_log_chunk;

enum job_kind {
    JOB_REMOVE, /* dropped files */
    JOB_BIRTH,  /* of the segment behind an installed base */
    JOB_TRUNCATE,
    JOB_REPLACE, /* a segment by its repaired file */
    JOB_ROLL,    /* so that the damaged last segment can be repaired */
    JOB_MEND,    /* header and marks of a segment */
    JOB_FLUSH,
    JOB_FILL,
    JOB_SYNC,
    JOB_CHECK_SPACE,
};

struct segment_log_job {
    struct segment_log *log;
    enum job_kind kind;
    struct segment_writer writer; /* copy; put back by finish */

    /* JOB_FLUSH: entries behind `start`, through `end`. */
    struct segment_log_point start, end;
    bool roll;           /* into a new segment first */
    uint64_t write_pos;  /* where the first record goes */
    uint64_t bytes;      /* of records */
    struct iovec *parts; /* borrowed from chunks[] */
    struct segment_log_chunk **chunks;
    uint32_t parts_count, parts_capacity;
    struct segment_point *points; /* sparse points of the new records */
    uint32_t points_count, points_capacity;

    /* JOB_TRUNCATE: keep entries through `end`. */
    uint32_t keep_segment;           /* position in log->segments */
    struct segment_point keep_place; /* from where the end of the last one is found */

    /* JOB_BIRTH */
    struct segment_header born_header;
    struct segment_writer born;

    /* result */
    bool ran; /* a driver that shuts down may finish a job that never ran */
    enum segment_log_status status;
    struct segment_log_problem problem;
    struct segment_header rolled_header;
    bool rolled; /* writer.file is a new segment; the old file is closed */
    struct sync_count count;
    uint64_t bytes_written;
    uint64_t free_bytes;
    bool free_known;
    /* JOB_MEND: what header and marks are to say */
    struct segment_header mend_header;
    struct segment_log_point mend_end;
    uint64_t mend_end_pos;
    bool mend_is_last;
    uint32_t mended_blocks;

    uint64_t repaired_segment; /* JOB_REPLACE: its sequence */
};

/* Set status and problem from a negative errno: FULL or IO. Returns false. */
bool job__fail(struct segment_log_job *job, const char *what, int error);
void job__measure_space(struct segment_log_job *job);

/* flush_job.c */
bool flush__freeze(struct segment_log *log, struct segment_log_job *job);
void flush__run(struct segment_log_job *job);
/* Give the borrowed chunks back. */
void flush__release(struct segment_log_job *job);
void flush__finish(struct segment_log *log, struct segment_log_job *job);
/* A roll without entries; flush__finish() takes it over. False: no memory. */
bool flush__freeze_roll(struct segment_log *log, struct segment_log_job *job);
/* How far a file whose records end at end_pos should be filled with zeros. */
bool flush__wants_fill(const struct segment_log *log);
void flush__run_fill(struct segment_log_job *job);

/* prefix.c */
bool prefix__freeze(struct segment_log *log); /* true: there are files to remove */
void prefix__run_remove(struct segment_log_job *job);
void prefix__finish_remove(struct segment_log *log);
void prefix__run_birth(struct segment_log_job *job);
void prefix__finish_birth(struct segment_log *log, const struct segment_log_job *job);

/* roll.c: the birth of a segment (L6) */
int roll__birth(const struct segment_log_options *options, const struct segment_header *header,
                struct segment_writer *ret_writer, struct sync_count *count,
                struct segment_log_problem *problem);
bool roll__run(struct segment_log_job *job);

/* truncate.c */
/* A piece of sealing is under way where it cuts: ask again when that is finished. */
bool truncate__has_to_wait(const struct segment_log *log);
void truncate__freeze(struct segment_log *log, struct segment_log_job *job);
void truncate__run(struct segment_log_job *job);
void truncate__finish(struct segment_log *log, struct segment_log_job *job);
/* The job did not run: the cut is pending again, or a lower one that came meanwhile. */
void truncate__put_back(struct segment_log *log, const struct segment_log_job *job);

#endif
