/* The log of one group: an append-only sequence of checksummed, chained entries in segment files.
 *
 * Two faces. The *loop face* (append, truncate, read from memory, info) changes memory only, never blocks and is
 * called from one thread, the owner's. The *disk face* is jobs: segment_log_next_job() freezes what has to reach the
 * disk, segment_log_job_run() does it on any thread, segment_log_job_finish() takes the result back on the owner's
 * thread. At most one write job of a log is outstanding, so disk work is first in, first out and a truncation
 * never overtakes a write (PROTOCOL L7); what is appended meanwhile is collected for the next job, which is the
 * group commit.
 *
 *     append ──> tail in memory ──next_job──> write + fdatasync + mark (off the loop) ──finish──> durable
 *
 * Words: *appended* = in memory and queued; *durable* = fdatasync returned and the synced mark is written. The newest
 * entries (options.cache_bytes_max) stay in memory in their on-disk encoding, in reference-counted chunks, and serve
 * replication and consumers without a copy; older ones are read by read jobs.
 *
 * Files, marks, recovery and the end of the log: PROTOCOL L1-L11 and docs/FORMATS.md. */
#ifndef SEGMENT_LOG_SEGMENT_LOG_H
#define SEGMENT_LOG_SEGMENT_LOG_H

#include <segment_log/disk.h>
#include <segment_log/entry.h>

#define SEGMENT_LOG_CHECKED __attribute__((warn_unused_result))

#define SEGMENT_LOG_STATUSES(X)                                                                 \
    X(SEGMENT_LOG_OK, "ok")                                                                     \
    X(SEGMENT_LOG_FULL, "less than the reserve is free on the disk; log unchanged")             \
    X(SEGMENT_LOG_IO, "the disk returned an error; this node must stop (PROTOCOL L11)")         \
    X(SEGMENT_LOG_DAMAGED, "a synced record is damaged; nothing was cut")                       \
    X(SEGMENT_LOG_LOST_POSITION, "no valid mark, or a missing successor segment")               \
    X(SEGMENT_LOG_FOREIGN, "the files belong to another cluster or group")                      \
    X(SEGMENT_LOG_MISSING, "the directory holds no log")                                        \
    X(SEGMENT_LOG_BAD_VERSION, "a file was written by another format version")                  \
    X(SEGMENT_LOG_BROKEN_CHAIN, "an entry does not follow the log by its chain; log unchanged") \
    X(SEGMENT_LOG_BAD_ENTRY, "an entry is malformed or damaged; log unchanged")                 \
    X(SEGMENT_LOG_NOT_CACHED, "not in memory; use a read job")                                  \
    X(SEGMENT_LOG_OUT_OF_RANGE, "outside of the log")                                           \
    X(SEGMENT_LOG_SUPERSEDED, "the log was cut below this range while the job ran")

enum segment_log_status {
#define X(name, text) name,
    SEGMENT_LOG_STATUSES(X)
#undef X
};
const char *segment_log_status_text(enum segment_log_status status);

struct segment_log;

/* The point behind which a log starts: its base. All zero but the chain for a new group at index 0. */
struct segment_log_point {
    uint64_t index;
    uint64_t term;
    uint64_t chain; /* of a new group: checksum64_group() */
    uint64_t next_offset;
    int64_t timestamp_ms;
};

/* The payload is borrowed until return. */
typedef void (*segment_log_configuration_cb)(void *data, uint64_t index, const uint8_t *payload,
                                             uint32_t payload_bytes);

struct segment_log_options {
    struct disk *disk;
    const char *directory; /* copied */
    struct cluster_id cluster;
    uint64_t group;
    uint64_t segment_bytes_max; /* roll when a flush would pass it */
    uint64_t extend_bytes;      /* zero-fill ahead in steps of this at most; 0: not at all */
    uint64_t cache_bytes_max;   /* newest entries kept in memory */
    uint64_t reserve_bytes;     /* free space below which appends are refused (L11) */
    uint32_t sector_bytes;      /* 512, or the device's if larger, up to 4096 (L4) */
    /* segment_log_open: called for every CONFIG entry of the log, index rising, which the core must know of
     * (raft_start.history). May be NULL */
    segment_log_configuration_cb on_configuration;
    void *on_configuration_data;
    /* segment_log_open: the point of the newest base snapshot; NULL: none is known. A log that holds this entry is kept; one
     * that lacks it is replaced when it was installed (segment_log_install), else it is damaged or lost its position. */
    const struct segment_log_point *base;
    /* segment_log_open: a base snapshot at this index, newer than `base`, is damaged; 0: none is. A log that it was installed over
     * is not taken for the log again: its position is lost. */
    uint64_t damaged_base_index;
    /* segment_log_open: the log starts here or in front of it: the oldest base snapshot behind which nothing was dropped yet.
     * When the first file starts behind it, or tells no start at all, files were lost, and the entries from here on are a
     * hole. NULL: the first file is believed, and one whose header is damaged is DAMAGED unless something proves it. */
    const struct segment_log_point *start;
};

/* Where and what, for an error that an operator reads. */
struct segment_log_problem {
    char path[DISK_PATH_MAX];
    uint64_t pos;
    uint64_t index;      /* entry concerned, 0 = unknown */
    uint64_t last_index; /* of a hole that begins with `index`; else 0 */
    char reason[160];
    int error; /* errno, or 0 */
};

/* Make the directory and the first segment (L6) of a new log behind `base` and sync them. Blocks. The directory must
 * hold no segment. OK; FULL; IO: also when there is no memory, or the name is too long. On error nothing valid is left
 * behind. */
SEGMENT_LOG_CHECKED enum segment_log_status segment_log_create(
    const struct segment_log_options *options, const struct segment_log_point *base,
    struct segment_log **ret_log, struct segment_log_problem *ret_problem);

/* Open and recover (L9, L10): reads every segment from the device until the chain ends, cuts a torn tail above the
 * durable mark, syncs, writes a fresh mark. Blocks; call it before the log is shared.
 * OK also of a log that is damaged at or below its mark, when its position is known (D1): info.holes_count tells, repair.h
 * tells more, and *ret_problem is about the first hole. A header or a mark that the files beside it prove is written again.
 * On DAMAGED (nobody knows where the log starts), LOST_POSITION (or where it ends), MISSING (there is no segment), FOREIGN, IO or
 * BAD_VERSION nothing was changed and *ret_problem names file, place and reason. `options->base`, `->start` and
 * `->on_configuration` are read here. */
SEGMENT_LOG_CHECKED enum segment_log_status segment_log_open(
    const struct segment_log_options *options, struct segment_log **ret_log,
    struct segment_log_problem *ret_problem);

/* Remove the segment files of a directory, whatever is in them, and sync it: for the files of a replica that was never
 * recorded, or was dropped (PROTOCOL M4). The log must not be open. 0 or a negative errno. Blocks. */
int segment_log_remove(struct disk *disk, const char *directory);

/* Free everything. No job may be outstanding; views may be. Unflushed entries are forgotten. Accepts NULL. */
void segment_log_close(struct segment_log *log);

/* ---- loop face: state ----------------------------------------------------------------------------- */

struct segment_log_info {
    struct segment_log_point base; /* first_index = base.index + 1 */
    bool base_installed;           /* the log began there by segment_log_install() */
    uint64_t last_index;           /* appended */
    uint64_t last_term;
    uint64_t last_chain;
    uint64_t next_offset; /* base_offset of the next entry */
    int64_t last_timestamp_ms;
    uint64_t durable_index;
    uint64_t cached_from_index;       /* lowest index in memory; last_index + 1 when none */
    uint64_t last_segment_base_index; /* the last segment holds what lies behind this entry */
    uint64_t last_segment_bytes;      /* of records in the last one, durable */
    uint64_t unflushed_bytes;         /* appended, not yet durable: the driver bounds it */
    uint32_t segments_count;
    uint64_t syncs_total;  /* fdatasync calls that returned */
    uint64_t sync_us_last; /* duration of the last one, as told by job_finish */
    /* appends are refused as FULL, but of what a leader cannot go without (segment_log_look_for_space) */
    bool full;
    uint32_t holes_count; /* ranges of damaged entries (repair.h) */
};
/* O(1): drivers ask before every append. */
void segment_log_info(const struct segment_log *log, struct segment_log_info *ret_info);
/* Of all segment files. O(segments). */
uint64_t segment_log_bytes(const struct segment_log *log);
/* Of the segments that hold entries behind `index`, without what is zero-filled ahead. O(segments). */
uint64_t segment_log_bytes_behind(const struct segment_log *log, uint64_t index);

/* Walk the term runs of base.index + 1 .. last_index in order. Where a hole hides them there are none. */
typedef void (*segment_log_run_cb)(void *data, uint64_t first, uint64_t count, uint64_t term);
void segment_log_term_runs(const struct segment_log *log, segment_log_run_cb cb, void *data);

/* Term and chain of an entry in memory (also of base.index). OK, NOT_CACHED or OUT_OF_RANGE. */
SEGMENT_LOG_CHECKED enum segment_log_status segment_log_point_at(
    const struct segment_log *log, uint64_t index, struct segment_log_point *ret_point);

/* The same, read from the files when it is no longer in memory: blocks then. For who is about to cut the log behind it, which
 * would read it (segment_log_truncate). False: it has no such entry, or that is in a hole, or cannot be read. */
SEGMENT_LOG_CHECKED bool segment_log_read_point(struct segment_log *log, uint64_t index,
                                                struct segment_log_point *ret_point);

/* ---- loop face: write ----------------------------------------------------------------------------- */

struct segment_log_entry {
    enum entry_type type;
    uint32_t record_count; /* DATA only */
    int64_t timestamp_ms;  /* >= the previous entry's */
    /* borrowed until return; copied. In DATA the base offset and the leader epoch are next_offset and term already */
    const void *payload;
    uint32_t payload_bytes;
};

/* Append own entries of `term` at the tail, in memory. Index, base offset, hash, chain and checksum are filled in.
 * OK; FULL (never for entries that a leader cannot go without, or that make room: NOOP, CONFIG, TRIM, SETTINGS and META alone); BAD_ENTRY: a size, count, stamp or time that
 * no entry may have; IO: the log is broken. Log unchanged unless OK. After FULL the next job looks at the free space again, so the log recovers by itself. */
SEGMENT_LOG_CHECKED enum segment_log_status segment_log_append(
    struct segment_log *log, uint64_t term, const struct segment_log_entry *entries,
    uint32_t entries_count, uint64_t *ret_last_index);

/* Append entries as received from a leader: `bytes` of whole encoded entries, back to back, the first one with index
 * last_index + 1. Each is checked (checksum, payload hash, chain, contiguity) before the log changes.
 * OK; BAD_ENTRY; BROKEN_CHAIN (the first entry that does not follow: divergence, PROTOCOL D6); FULL; IO: the log is broken.
 * Log unchanged unless OK. */
SEGMENT_LOG_CHECKED enum segment_log_status segment_log_append_encoded(struct segment_log *log,
                                                                       const uint8_t *encoded,
                                                                       size_t bytes);

/* Are they all of the kinds that a full log takes, into its reserve? For whoever must know before it appends them; checks
 * nothing else. */
bool segment_log_is_taken_when_full(const uint8_t *encoded, size_t bytes);

/* Cut the log so that from_index is the next index. Memory at once; the disk work (L7) is the next job.
 * from_index in base.index + 1 .. last_index + 1. Blocks for a read, the one case on this face, when from_index - 1 is no
 * longer in memory; should that read fail, the log is broken and the next job says why. The entry from_index - 1 is in no hole
 * (repair.h), unless it is in memory or ends one behind which the next segment begins. Holes behind are gone. */
void segment_log_truncate(struct segment_log *log, uint64_t from_index);

/* Is from_index, in the range of segment_log_truncate(), neither inside of a hole nor right behind one that nothing tells the
 * end of? Else the cut has to wait for the repair. */
bool segment_log_can_truncate(const struct segment_log *log, uint64_t from_index);

/* ---- loop face: a log that starts behind a base ------------------------------------------------------ */

/* What is appended from now on goes into a new segment, so that a base at the present last entry, whose index is returned,
 * stands at a segment boundary (PROTOCOL S2). Forgotten when the log is cut at or below that index. Asked again before
 * it happened, the boundary moves to the last entry of that time. */
uint64_t segment_log_roll(struct segment_log *log);

/* Drop whole segments that hold no entry above base_index, oldest first (PROTOCOL S5). For the caller to know: a verified
 * base snapshot at or above base_index is durable, and the log is durable through it. Never the last segment, nor one that
 * a read job holds, nor one behind it; ask again later. What the log is cut to meanwhile ends it, too. The next job removes
 * the files and then syncs the directory, one by one, so that a crash at any instant leaves a log without a hole. info.base
 * tells where the log starts from now on. */
void segment_log_drop_prefix(struct segment_log *log, uint64_t base_index);

/* Start anew behind a base that another replica made (PROTOCOL S3), in these steps:
 *
 *   1. segment_log_install: once no job is outstanding, the next one gives birth to a segment behind `base` (result.born)
 *   2. the caller renames the base snapshot into place and syncs the directory: from here on recovery prefers the base to
 *      a log that lacks its entry
 *   3. segment_log_install_end, with replace = true: the log is the base and nothing else, what was appended and not yet
 *      flushed is forgotten; the next job removes the old files, before anything is written behind the base. With
 *      replace = false, also instead of 2: the log stays, the next job removes the new segment.
 *
 * Between 1 and 3 no other job is given out; entries can be appended and cut. When the birth finds no space (FULL)
 * nothing is left of it, and the install has ended. */
void segment_log_install(struct segment_log *log, const struct segment_log_point *base);
bool segment_log_is_installing(const struct segment_log *log);
void segment_log_install_end(struct segment_log *log, bool replace);

/* ---- disk face: write jobs ------------------------------------------------------------------------- */

struct segment_log_job;

/* The next disk work, or NULL when there is none or a job is outstanding. In order: files to be removed, and the birth of a
 * segment behind an installed base; a pending truncation; the flush of
 * all entries appended so far (rolling segments as needed); zero-filling ahead. `idle` = true asks also for the
 * sync of a mark that is written but not yet durable (L5: after 20 ms of idleness and on stop). A job that came back FULL is
 * offered again at once: wait a moment (100 ms) before asking. */
struct segment_log_job *segment_log_next_job(struct segment_log *log, bool idle);

/* Do it. Blocks; any thread. */
void segment_log_job_run(struct segment_log_job *job);
/* It was run, on the same thread, and failed. */
bool segment_log_job_has_failed(const struct segment_log_job *job);

struct segment_log_job_result {
    enum segment_log_status status; /* OK, FULL (nothing written, will be tried again), IO */
    /* Durable through here, and the term of that entry. A truncation that came while the job ran is taken into account: what
     * it cut is not reported (L7). */
    uint64_t durable_index;
    uint64_t durable_term;
    bool born; /* the segment of segment_log_install() is durable */
    uint64_t
        repaired_segment; /* sequence of the file that was put in place by it (repair.h); 0: none */
    uint64_t bytes_written;
    uint64_t sync_us;
    struct segment_log_problem problem; /* status != OK */
};

/* Take the result back and free the job, also one that never ran. Owner's thread. After IO every further append, job and read fails. */
void segment_log_job_finish(struct segment_log *log, struct segment_log_job *job,
                            struct segment_log_job_result *ret_result);

/* ---- disk face: sealing ------------------------------------------------------------------------------ */

/* Everything through `index` is committed: a truncation will not touch it. Indices that went back are ignored. Segments
 * that are closed and all committed get a footer by seal jobs (PROTOCOL L8), after which opening the log does not read
 * their records. */
void segment_log_committed(struct segment_log *log, uint64_t index);

/* The next piece of that, or NULL when there is none or one is outstanding. Runs beside write and read jobs, on any thread;
 * a piece reads some MiB, the last one of a segment also writes and syncs its footer. Ask after segment_log_committed() and
 * after each finish; and ask for a write job after each finish, since a truncation may have waited for it. O(1) when there
 * is nothing to do. */
struct segment_log_seal_job;
struct segment_log_seal_job *segment_log_next_seal_job(struct segment_log *log);
void segment_log_seal_job_run(struct segment_log_seal_job *job);

/* Owner's thread; also for a job that never ran. OK; FULL: no room or no memory, tried again later; IO: the log is broken
 * (L11); anything else: this segment gets no footer before the next start, ret_problem (may be NULL) says why. DAMAGED: a
 * record, the header or the mark does not check out. */
SEGMENT_LOG_CHECKED enum segment_log_status segment_log_seal_job_finish(
    struct segment_log *log, struct segment_log_seal_job *job,
    struct segment_log_problem *ret_problem);

/* Segments with a footer. O(segments). */
uint32_t segment_log_sealed_count(const struct segment_log *log);

/* There may be space again: the next job looks, when the log is full. For drivers that see info.full and append nothing;
 * a refused append asks for the same. */
void segment_log_look_for_space(struct segment_log *log);

/* A mark is written but not durable. */
bool segment_log_has_unsynced_mark(const struct segment_log *log);

/* ---- reading ---------------------------------------------------------------------------------------- */

/* A stretch of whole encoded entries in memory, first_index..last_index. Parts are contiguous runs of whole entries;
 * no entry straddles two parts. Holds references: release it on the owner's thread. */
#define SEGMENT_LOG_VIEW_PARTS_MAX 8u
struct segment_log_chunk;
struct segment_log_view {
    struct {
        const uint8_t *bytes;
        size_t bytes_count;
        struct segment_log_chunk *chunk;
    } parts[SEGMENT_LOG_VIEW_PARTS_MAX];
    uint32_t parts_count;
    uint64_t first_index;
    uint64_t last_index;
    size_t bytes_total;
};
void segment_log_view_release(struct segment_log_view *view);

/* A view of its own copy of `encoded`: whole entries that another node served. False: no memory, or no whole entries. */
bool segment_log_view_copy(const uint8_t *encoded, size_t bytes, uint64_t first_index,
                           uint64_t last_index, struct segment_log_view *ret_view);

enum segment_log_key {
    SEGMENT_LOG_BY_INDEX,  /* the entry with this index */
    SEGMENT_LOG_BY_OFFSET, /* the DATA entry that contains this offset */
    SEGMENT_LOG_BY_TIME,   /* the first DATA entry whose leader stamp is >= this (ms) */
};

/* Find an entry by `key` and view whole entries from there up to last_index, at least one and at most about
 * bytes_max bytes. Entries of every type are included; the reader skips what it does not want.
 * OK; NOT_CACHED: use a read job; OUT_OF_RANGE: below the base, or no such entry at or below last_index; IO: the log is
 * broken. */
SEGMENT_LOG_CHECKED enum segment_log_status segment_log_read(struct segment_log *log,
                                                             enum segment_log_key key,
                                                             uint64_t value, uint64_t last_index,
                                                             size_t bytes_max,
                                                             struct segment_log_view *ret_view);

/* The same from the files. create and finish on the owner's thread, run on any. Several read jobs may be outstanding,
 * and the segments they use stay open meanwhile. Every byte is checked before it is handed out: a damaged record
 * gives DAMAGED with the problem, never its bytes. SUPERSEDED when a truncation came between. From create: OK; OUT_OF_RANGE;
 * IO: the log is broken, or there is no memory. */
struct segment_log_read_job;
SEGMENT_LOG_CHECKED enum segment_log_status segment_log_read_job_create(
    struct segment_log *log, enum segment_log_key key, uint64_t value, uint64_t last_index,
    size_t bytes_max, struct segment_log_read_job **ret_job);
void segment_log_read_job_run(struct segment_log_read_job *job);
/* Frees the job, also one that never ran (SUPERSEDED). The view is set only on OK; ret_problem may be NULL. */
SEGMENT_LOG_CHECKED enum segment_log_status segment_log_read_job_finish(
    struct segment_log *log, struct segment_log_read_job *job, struct segment_log_view *ret_view,
    struct segment_log_problem *ret_problem);

/* ---- offline: dump and verify ------------------------------------------------------------------------ */

/* One callback per record found and one per problem, walking the segment files of a directory read-only, without
 * repairing or writing anything; also of a damaged log. `header` NULL: `text` tells about a file, mark or problem. */
struct segment_log_walk_item {
    const char *path; /* also of a file that should be there */
    uint64_t pos;
    const struct entry_header *header;
    const uint8_t *payload;
    uint64_t group; /* of the entry */
    bool problem;
    bool of_log; /* no file tells it alone: one is missing, or does not go with those beside it */
    const char *text;
};
typedef void (*segment_log_walk_cb)(void *data, const struct segment_log_walk_item *item);
struct segment_log_walk_summary {
    struct cluster_id cluster;
    uint64_t group;
    uint64_t first_index, last_index, last_term, last_chain, next_offset;
    uint64_t mark_index; /* of the newest valid mark */
    uint64_t entries_count, records_count, segments_count, problems_count, torn_bytes;
    uint64_t sealed_count; /* segments with a footer that counts */
};
/* What the snapshots beside the segments say of the log (snapshot_survey): where it starts, and what it must hold. */
struct segment_log_snapshots {
    bool has_ids; /* one of them is whole */
    struct cluster_id cluster;
    uint64_t group;
    uint32_t bases_count; /* whole ones; 0: the two points are not set */
    struct segment_log_point newest_base, oldest_base;
    uint32_t damaged_count; /* bases that are not whole, and have no whole copy */
    uint64_t damaged_lowest, damaged_highest;
    uint64_t state_index; /* of the newest whole one of any kind; 0: or there is none */
};
/* snapshots NULL: not known, and the segments are held against each other alone. MISSING: there are no segments. */
SEGMENT_LOG_CHECKED enum segment_log_status segment_log_walk(
    struct disk *disk, const char *directory, const struct segment_log_snapshots *snapshots,
    segment_log_walk_cb cb, void *data, struct segment_log_walk_summary *ret_summary,
    struct segment_log_problem *ret_problem);

#endif
