/* Damage of a log that is open (PROTOCOL D1, L10).
 *
 * A *hole* is a range of entries that are not whole on the disk. The log keeps its position all the same (D1): what lies
 * in front of a hole is proven from the front, what lies behind it by a chain that leads without a break to an *anchor*
 * (a synced mark, the header of the next segment). A hole lies inside one segment; a lost file is one hole.
 *
 * While there are holes: appending, flushing, rolling, reading beside them and dropping a prefix go on as always. A read
 * that touches a hole gives SEGMENT_LOG_DAMAGED, and problem.index .. problem.last_index is the hole. What is still in
 * memory of a hole is read from there. segment_log_truncate() may cut at the first index of a hole, or so that the log
 * ends behind it, never inside: the state in there is not known.
 *
 *     open, a read, a scrub find it --> hole --> repair session, fed by peers --> a whole new file --> no hole
 *                                        |
 *                                        +----> cut (segment_log_truncate) or dropped (segment_log_drop_prefix)
 *
 * All functions are of the owner's thread and never block, but segment_log_repair_job_run() and
 * segment_log_scrub_job_run(), which may run on any. */
#ifndef SEGMENT_LOG_REPAIR_H
#define SEGMENT_LOG_REPAIR_H

#include <segment_log/segment_log.h>

struct segment_log_hole {
    uint64_t first_index, last_index;
    /* Entries first_index .. first_damaged - 1 are whole and follow, but may be old ones, of which a lost write left the end: the
     * term rises over the damage, and no memory of terms says that they are the log's. Not read until they are settled. Of any
     * other hole: first_index. */
    uint64_t first_damaged;
    struct segment_log_point before; /* the state in front of first_index: always known, proven */
    uint64_t segment;                /* sequence of the file */
    uint64_t number;  /* rises with each that is found, also with one that is found to be larger */
    bool terms_known; /* segment_log_term_runs() covers it */
    /* CONFIG entries in it were told when the log was opened or appended. Else there may be some that nobody here knows. */
    bool configurations_known;
    uint64_t pos;       /* where in the file the damage was seen */
    const char *reason; /* static text */
};

/* The first hole that ends at or behind `index`. False: none. To walk all: index = 0, then each last_index + 1. */
bool segment_log_hole_from(const struct segment_log *log, uint64_t index,
                           struct segment_log_hole *ret_hole);

/* Offset of the first message behind a hole. False: only the files say it. O(segments). */
SEGMENT_LOG_CHECKED bool segment_log_offset_behind(const struct segment_log *log,
                                                   const struct segment_log_hole *hole,
                                                   uint64_t *ret_offset);

/* The same as a problem: file, place, range and reason. */
void segment_log_hole_problem(const struct segment_log *log, const struct segment_log_hole *hole,
                              struct segment_log_problem *ret_problem);

/* ---- serving a peer's repair ------------------------------------------------------------------------------ */

/* Whole entries that follow the entry (index, chain) through at most last_index and about bytes_max bytes, at least one: what
 * a peer needs for its hole. Also such that stand in a hole of this log: when they follow by their chain they are proven.
 * Run and finish as any read job. From create:
 *   OK            a job
 *   OUT_OF_RANGE  index < base.index (below my start), or index >= last_index of the log (never held it); see info
 *   BROKEN_CHAIN  index is the last one here, and has another chain
 *   IO            broken, or no memory
 * From finish, besides IO and SUPERSEDED (ask again):
 *   OK            the view
 *   DAMAGED       entry index + 1 is damaged here, too
 *   BROKEN_CHAIN  entry index + 1 is whole here and does not follow that chain */
SEGMENT_LOG_CHECKED enum segment_log_status segment_log_repair_read_create(
    struct segment_log *log, uint64_t index, uint64_t chain, uint64_t last_index, size_t bytes_max,
    struct segment_log_read_job **ret_job);

/* ---- repairing one segment --------------------------------------------------------------------------------- */

/* A session rewrites the segment of one hole into a new file: entries that are whole here are copied with all their checks,
 * the others come from the driver in chunks. Then the file is synced, read back from the device, and renamed over the old
 * one by a write job (segment_log_next_job). A crash at any instant leaves the old state or the new one. One session
 * of a log at a time; memory is bounded by one chunk.
 *
 *   begin --> WORKS <--> WANTS --> WORKS --> ENDED --> end
 *
 *   WORKS   run what segment_log_repair_next_job() gives, and write jobs (a hole in the last segment rolls first)
 *   WANTS   supply entries want_first.. at most want_last, which follow `want_before`, in one or several chunks from any
 *           peer; what is in memory is supplied by the log itself and never asked for. is_doubted: right in front
 *           of them stand entries of this file that may be old ones. A peer that has others there says so (BROKEN_CHAIN):
 *           settle it
 *   ENDED   status says how: OK: the segment is whole, its holes are gone. BROKEN_CHAIN: what was supplied does not lead to
 *           what stands behind it here: that peer's chain disagrees; nothing changed. SUPERSEDED: the segment was cut
 *           or dropped meanwhile. FULL: no space. DAMAGED: what was written does not read back. IO: the log is broken (L11) */
enum segment_log_repair_state {
    SEGMENT_LOG_REPAIR_NONE,
    SEGMENT_LOG_REPAIR_WORKS,
    SEGMENT_LOG_REPAIR_WANTS,
    SEGMENT_LOG_REPAIR_ENDED,
};

struct segment_log_repair_info {
    enum segment_log_repair_state state;
    uint64_t segment;
    uint64_t first_index, last_index;        /* of the segment */
    uint64_t at_index;                       /* entries through here stand in the new file */
    uint64_t supplied_count, supplied_bytes; /* entries that came from the driver so far */
    /* WANTS */
    uint64_t want_first, want_last;
    struct segment_log_point want_before;
    bool is_doubted;
    /* ENDED */
    enum segment_log_status status;
    struct segment_log_problem problem;
};

#define SEGMENT_LOG_REPAIR_SUPPLY_MAX (20u * 1024u * 1024u)

/* Repair the segment of the first hole that ends at or behind `index`. No session may be under way. Every CONFIG entry
 * of the repaired holes is told to `on_configuration` (may be NULL), rising, before the write job's finish that ends the
 * session returns.
 * OK; OUT_OF_RANGE: no such hole; SUPERSEDED: the session that was ended last has something outstanding, ask again; IO: no
 * memory, or the log is broken. */
SEGMENT_LOG_CHECKED enum segment_log_status segment_log_repair_begin(
    struct segment_log *log, uint64_t index, segment_log_configuration_cb on_configuration,
    void *on_configuration_data);

void segment_log_repair_info(const struct segment_log *log,
                             struct segment_log_repair_info *ret_info);

/* In state WANTS: whole encoded entries, back to back, the first one with index want_first; at most
 * SEGMENT_LOG_REPAIR_SUPPLY_MAX bytes. Copied. Each is checked (checksum, payload hash, chain from want_before, order); what lies
 * above want_last is left out.
 * OK: the state is WORKS. BAD_ENTRY, BROKEN_CHAIN: refused, the state is WANTS still, ask another peer. IO: no memory. */
SEGMENT_LOG_CHECKED enum segment_log_status segment_log_repair_supply(struct segment_log *log,
                                                                      const uint8_t *encoded,
                                                                      size_t bytes);

/* In state WANTS, is_doubted. Believed: the hole begins at want_first from now on, CONFIG entries in front of it are told, and the
 * session goes on (peers agree, or there is nobody to ask: then what follows by its chain is all there is); where something was
 * supplied in front, or without memory, nothing changes. Else: the session is to be ended, and the next one takes no entry of
 * that hole from the file. */
void segment_log_repair_settle(struct segment_log *log, bool are_believed);

/* The next piece of work (some MiB of reading and writing), NULL when none is due or one is outstanding. Independent of
 * write jobs: both may run at once. */
struct segment_log_repair_job;
struct segment_log_repair_job *segment_log_repair_next_job(struct segment_log *log);
void segment_log_repair_job_run(struct segment_log_repair_job *job);
/* Also of one that never ran. Look at segment_log_repair_info() behind it. */
void segment_log_repair_job_finish(struct segment_log *log, struct segment_log_repair_job *job);

/* Forget the session, in whatever state. An outstanding job is finished as always. */
void segment_log_repair_end(struct segment_log *log);

/* ---- the scrubber ---------------------------------------------------------------------------------------- */

/* One pass reads every byte that the log relies on from the device, piece by piece, oldest first: headers, marks, footers,
 * records and their chain. Bad headers, marks and footers are rebuilt by write jobs, for the log knows what they said;
 * bad records become holes. What is appended while a pass runs may be left for the next one.
 *
 *   segment_log_scrub_begin   start a pass; one that is under way starts again
 *   segment_log_scrub_job_*   pieces of at most about bytes_max: the driver's pace is its rate */
struct segment_log_scrub_info {
    bool active;
    uint64_t bytes_done, bytes_total; /* of this pass */
    uint64_t passes_total;
    uint64_t holes_found_total;   /* by scrubs and reads since open */
    uint64_t blocks_mended_total; /* headers, marks, footers rebuilt since open */
    uint32_t
        footers_owed; /* of these, footers that are not written again yet: ask for seal jobs; 0 on a full disk */
};
void segment_log_scrub_begin(struct segment_log *log);
void segment_log_scrub_info(const struct segment_log *log, struct segment_log_scrub_info *ret_info);

/* NULL: no pass is under way or it has just ended, a piece is outstanding, or a write job must come first: ask for one
 * (segment_log_next_job). */
struct segment_log_scrub_job;
struct segment_log_scrub_job *segment_log_scrub_next_job(struct segment_log *log, size_t bytes_max);
void segment_log_scrub_job_run(struct segment_log_scrub_job *job);
/* *ret_bytes: read by it. OK; DAMAGED: a new hole, *ret_problem tells; IO: the log is broken; SUPERSEDED: what it read was
 * cut or replaced meanwhile, or it never ran; the pass goes on. */
SEGMENT_LOG_CHECKED enum segment_log_status segment_log_scrub_job_finish(
    struct segment_log *log, struct segment_log_scrub_job *job, uint64_t *ret_bytes,
    struct segment_log_problem *ret_problem);

#endif
