/* The state of one log, shared by the files of this component.
 *
 * Invariants (checked by log__check):
 *   - base.index <= durable_index <= last.index; every entry behind durable_index is cached.
 *   - segments are contiguous in sequence and in index; the last one is `writer`'s. Those before may be damaged or lost,
 *     the last one is there and its synced mark is known.
 *   - while a job is outstanding only the loop's own fields change: cache, last, runs, cut. Segments and writer are
 *     read-only for both threads; the job works on copies and finish() puts them back.
 *   - files of sequences [doomed_from, doomed_to) belong to no segment any more; nothing is written before they are gone.
 *   - attempted_index is the highest entry that any job may have written: what lies above it can be cut in memory. */
#ifndef SEGMENT_LOG_LOG_H
#define SEGMENT_LOG_LOG_H

#include "cache.h"
#include "holes.h"
#include "index_cache.h"
#include "job.h"
#include "mark.h"
#include "problem.h"
#include "scrub.h"
#include "seal.h"
#include "segment.h"
#include "session.h"

enum install_state { INSTALL_NONE, INSTALL_WANTED, INSTALL_BORN };

struct segment_log {
    struct segment_log_options options; /* .directory points to `directory` */
    char directory[DISK_PATH_MAX];
    uint64_t seed; /* checksum64_group() */

    struct segment_log_point base, last;
    uint64_t durable_index;
    uint64_t attempted_index;
    uint64_t unflushed_bytes;
    bool broken;       /* a sync or a write failed: nothing goes on (L11) */
    bool full;         /* the disk had no room, or less than the reserve, when last seen */
    bool space_wanted; /* an append was refused since, or the driver asked: look again */

    struct cache cache;
    struct term_run *runs;
    uint32_t runs_count, runs_capacity;

    struct segment *segments;
    uint32_t segments_count, segments_capacity;
    struct segment_writer writer;
    struct hole *holes;
    uint32_t holes_count, holes_capacity;
    uint64_t holes_numbered;

    bool cut_pending;             /* a truncation waits for its job ... */
    struct segment_log_point cut; /* ... which keeps this point as the end */
    bool cut_failed;              /* ... or could not even be computed: the next job tells why */
    struct segment_log_problem cut_problem;
    uint64_t cuts_total;                 /* rises with each, and again when it is on the disk */
    struct segment_log_point read_point; /* the newest that segment_log_read_point() read ... */
    uint64_t read_point_cuts;            /* ... and cuts_total then. No index: none */
    uint64_t cut_lowest_index; /* lowest from_index since the outstanding job was frozen */

    bool roll_wanted; /* a new segment is to begin behind ... */
    uint64_t roll_index;
    uint64_t drop_index; /* segments that end at or below may go; 0: none */
    uint64_t doomed_from, doomed_to;
    bool removed_last; /* no flush since the last removal */
    enum install_state install;
    struct segment_log_point install_base;
    struct segment_header install_header; /* INSTALL_BORN */
    struct segment_writer install_writer;

    struct segment_log_job job;
    bool job_outstanding;

    uint64_t committed_index; /* as the driver last said */
    uint64_t
        seal_due_index; /* the first segment without a footer ends here; UINT64_MAX: there is none */
    bool seal_refused;  /* the disk had no room for a footer */
    struct segment_log_seal_job *seal;

    struct segment_log_repair_job *repair; /* the session under way; NULL: none */
    uint64_t replaces_total;
    struct scrub scrub;
    uint64_t holes_found_total, blocks_mended_total; /* since it was opened */
    struct index_cache indexes;

    uint64_t syncs_total;
    uint64_t sync_us_last;
    uint32_t reads_outstanding;
    struct segment_log_read_job *reads;
};

/* Make an empty log object behind `base`, without files. NULL: no memory or the directory's name is too long. */
struct segment_log *log__new(const struct segment_log_options *options,
                             const struct segment_log_point *base);
void log__check(const struct segment_log *log);
/* A truncation is not on the disk yet: segments that it cuts are still in the list, and their ends lead nowhere. */
bool log__is_cutting(const struct segment_log *log);
/* A repaired file may stand in the place of the old one, whose records stood elsewhere, already. */
bool log__is_replacing(const struct segment_log *log);

/* Term runs. reserve first; then add cannot fail. */
bool log__reserve_run(struct segment_log *log);
void log__add_term(struct segment_log *log, uint64_t index, uint64_t term);
void log__cut_runs(struct segment_log *log, uint64_t from_index);
/* What is known of entries first_index .. last_index is these runs from now on. False: no memory, nothing changed. */
bool log__replace_runs(struct segment_log *log, uint64_t first_index, uint64_t last_index,
                       const struct term_run *runs, uint32_t runs_count);
uint64_t log__term_at(const struct segment_log *log, uint64_t index);
/* All of them, borrowed until the next change. */
struct term_trail log__trail(const struct segment_log *log);
/* Those of entries first_index .. last_index, for a job: *ret_trail borrows *ret_runs, which the caller frees. False: no memory. */
bool log__copy_trail(const struct segment_log *log, uint64_t first_index, uint64_t last_index,
                     struct term_run **ret_runs, struct term_trail *ret_trail);

/* The name was checked to fit when the log was made. */
void log__segment_path(const struct segment_log *log, uint64_t sequence, char path[DISK_PATH_MAX]);
bool log__reserve_segment(struct segment_log *log);
/* What its header block says. */
struct segment_header log__header_of(const struct segment_log *log, const struct segment *segment);
/* NULL: there is none. */
struct segment *log__find_sequence(struct segment_log *log, uint64_t sequence);
/* The segment that holds entry `index`, or whose base it is. */
uint32_t log__find_segment(const struct segment_log *log, uint64_t index);

/* First cached entry for `key`, at or behind from_index; 0 = none. */
uint64_t log__find_cached(const struct segment_log *log, enum segment_log_key key, uint64_t value,
                          uint64_t from_index);
/* What the limits of the log say of a read: OK, OUT_OF_RANGE or IO. *last_index falls to the end of the log. */
enum segment_log_status log__check_range(const struct segment_log *log, enum segment_log_key key,
                                         uint64_t value, uint64_t *last_index);
/* View of cached entries first_index .. at most last_index. */
void log__view(const struct segment_log *log, uint64_t first_index, uint64_t last_index,
               size_t bytes_max, struct segment_log_view *ret_view);

/* read_job.c: the lowest segment that a read job may open; UINT64_MAX: none. */
uint64_t read_job__lowest_sequence(const struct segment_log *log);

#endif
