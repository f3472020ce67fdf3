/* The scrubber: everything that the log relies on is read from the device and checked, piece by piece.
 *
 * A pass goes through the segments in order. The first piece of a segment also looks at header, marks and footer; a bad
 * header or mark is written again by a write job, for which the pass waits, a bad footer by sealing the segment again. In
 * the last segment, which is being written, header and marks are the business of that write job alone, so that nobody reads
 * a mark while it is written; and records are looked at as far as they were durable when the piece began. */
#include "finding.h"
#include "footer.h"
#include "log.h"

#include <planted/planted.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct segment_log_scrub_job {
    struct disk *disk;
    char path[DISK_PATH_MAX];
    uint64_t seed;
    struct segment_header header;
    struct segment_point start; /* proven */
    uint64_t last_index;        /* records through here */
    uint64_t end_pos;
    struct finding_place place;
    struct term_run *terms; /* of place.trail */
    bool looks_at_front;    /* header, marks and footer as well */
    bool is_sealed;
    struct segment_footer footer;
    size_t bytes_max;
    uint64_t cuts_total, replaces_total;

    bool ran;
    enum segment_log_status status; /* OK or IO */
    struct segment_log_problem problem;
    uint64_t bytes;
    bool front_is_bad, footer_is_bad;
    struct finding finding;
    struct segment_point reached;
};

/* ---- the owner's side --------------------------------------------------------------------------------- */

static void enter(struct segment_log *log, const struct segment *segment)
{
    log->scrub.sequence = segment->sequence;
    log->scrub.at = segment->points[0];
    log->scrub.is_at_front = true;
}

/* Where the last piece ended there may be no record any more: entries were cut there, or the file was written anew. */
static void begin_segment_again_if_changed(struct segment_log *log)
{
    struct scrub *scrub = &log->scrub;
    if (scrub->cuts_total == log->cuts_total && scrub->replaces_total == log->replaces_total)
        return;
    scrub->cuts_total = log->cuts_total;
    scrub->replaces_total = log->replaces_total;
    const struct segment *segment = log__find_sequence(log, scrub->sequence);
    if (segment) enter(log, segment);
}

void segment_log_scrub_begin(struct segment_log *log)
{
    struct scrub *scrub = &log->scrub;
    scrub->active = true;
    scrub->begins_anew = scrub->job != NULL;
    scrub->bytes_done = scrub->bytes_total = 0;
    for (uint32_t i = 0; i < log->segments_count; i++) {
        if (!log->segments[i].missing) scrub->bytes_total += log->segments[i].end_pos;
    }
    enter(log, &log->segments[0]);
}

void segment_log_scrub_info(const struct segment_log *log, struct segment_log_scrub_info *ret_info)
{
    *ret_info = (struct segment_log_scrub_info){
        .active = log->scrub.active,
        .bytes_done = log->scrub.bytes_done,
        .bytes_total = log->scrub.bytes_total,
        .passes_total = log->scrub.passes_total,
        .holes_found_total = log->holes_found_total,
        .blocks_mended_total = log->blocks_mended_total,
        .footers_owed = seal__owed_count(log),
    };
}

static bool is_last(const struct segment_log *log, const struct segment *segment)
{
    return segment == &log->segments[log->segments_count - 1];
}

static uint64_t last_index_of(const struct segment_log *log, const struct segment *segment)
{
    return segment->last_index < log->durable_index ? segment->last_index : log->durable_index;
}

/* Behind the holes that are known already, also behind one that just became larger. */
static void skip_holes(struct segment_log *log, const struct segment *segment)
{
    struct segment_point *at = &log->scrub.at;
    for (;;) {
        const struct hole *hole = holes__from(log, at->before.index + 1);
        if (!hole || hole->told.segment != segment->sequence ||
            hole->told.first_index > at->before.index + 1) {
            return;
        }
        const struct segment_point *behind =
            segment__find(segment, SEGMENT_LOG_BY_INDEX, hole->told.last_index + 1);
        *at = *behind;
        if (behind->before.index == hole->told.last_index) continue;
        at->before.index = segment->last_index; /* it reaches the end */
        return;
    }
}

/* Where the pass goes on. NULL: it is over. */
static struct segment *find_next(struct segment_log *log)
{
    struct scrub *scrub = &log->scrub;
    struct segment *segment = log__find_sequence(log, scrub->sequence);
    if (!segment && scrub->sequence > log->segments[0].sequence) return NULL; /* cut */
    if (!segment) enter(log, &log->segments[0]);                              /* dropped */
    segment = log__find_sequence(log, scrub->sequence);
    for (;;) {
        if (!segment->missing) skip_holes(log, segment);
        const bool has_records = scrub->at.before.index < last_index_of(log, segment);
        if (!segment->missing && (scrub->is_at_front || has_records)) return segment;
        if (is_last(log, segment)) return NULL;
        segment++;
        enter(log, segment);
    }
}

static struct segment_log_scrub_job *create(struct segment_log *log, const struct segment *segment,
                                            size_t bytes_max)
{
    struct segment_log_scrub_job *job = calloc(1, sizeof *job);
    if (!job) return NULL;
    job->disk = log->options.disk;
    log__segment_path(log, segment->sequence, job->path);
    job->seed = log->seed;
    job->header = log__header_of(log, segment);
    job->start = job->reached = log->scrub.at;
    job->last_index = last_index_of(log, segment);
    const struct hole *hole = holes__from(log, job->start.before.index + 1);
    if (hole && hole->told.first_index <= job->last_index) {
        job->last_index = hole->told.first_index - 1;
    }
    job->end_pos = segment->end_pos;
    job->place = finding__place(log, segment, job->start.before.index);
    if (!log__copy_trail(log, job->start.before.index + 1, segment->last_index, &job->terms,
                         &job->place.trail)) {
        free(job);
        return NULL;
    }
    job->looks_at_front = log->scrub.is_at_front && !is_last(log, segment);
    job->is_sealed = segment->sealed;
    job->footer = segment->footer;
    job->bytes_max = bytes_max;
    job->cuts_total = log->cuts_total;
    job->replaces_total = log->replaces_total;
    return job;
}

struct segment_log_scrub_job *segment_log_scrub_next_job(struct segment_log *log, size_t bytes_max)
{
    struct scrub *scrub = &log->scrub;
    if (!scrub->active || scrub->job || scrub->mend_wanted || log->broken) return NULL;
    if (log->install != INSTALL_NONE) return NULL;
    if (log__is_cutting(log) || log__is_replacing(log)) return NULL;
    begin_segment_again_if_changed(log);
    const struct segment *segment = find_next(log);
    if (!segment) {
        scrub->active = false;
        scrub->passes_total++;
        return NULL;
    }
    if (scrub->is_at_front && is_last(log, segment)) {
        scrub->is_at_front = false;
        scrub->mend_wanted = true;
        scrub->mend_sequence = segment->sequence;
        return NULL;
    }
    scrub->job = create(log, segment, bytes_max);
    return scrub->job;
}

static enum segment_log_status take_finding(struct segment_log *log,
                                            const struct segment_log_scrub_job *job,
                                            struct segment_log_problem *ret_problem)
{
    if (!job->finding.has_hole) return SEGMENT_LOG_OK;
    if (!finding__register(log, job->header.sequence, &job->finding)) return SEGMENT_LOG_OK;
    const struct hole *hole = holes__from(log, job->finding.hole.first_index);
    if (ret_problem) segment_log_hole_problem(log, &hole->told, ret_problem);
    return SEGMENT_LOG_DAMAGED;
}

enum segment_log_status segment_log_scrub_job_finish(struct segment_log *log,
                                                     struct segment_log_scrub_job *job,
                                                     uint64_t *ret_bytes,
                                                     struct segment_log_problem *ret_problem)
{
    struct scrub *scrub = &log->scrub;
    assert(job == scrub->job);
    scrub->job = NULL;
    *ret_bytes = job->bytes;
    const bool is_current = job->ran && job->cuts_total == log->cuts_total &&
                            job->replaces_total == log->replaces_total && !log__is_replacing(log) &&
                            log__find_sequence(log, job->header.sequence) != NULL;
    enum segment_log_status status = SEGMENT_LOG_SUPERSEDED;
    if (log->broken || (job->ran && job->status == SEGMENT_LOG_IO)) {
        log->broken = true;
        status = SEGMENT_LOG_IO;
        if (ret_problem) *ret_problem = job->problem;
    } else if (is_current) {
        status = take_finding(log, job, ret_problem);
        if (job->footer_is_bad && !PLANTED(L8_ROTTEN_FOOTER_STAYS)) {
            seal__anew(log, job->header.sequence);
        }
        if (job->front_is_bad) {
            scrub->mend_wanted = true;
            scrub->mend_sequence = job->header.sequence;
        }
    }
    if (is_current && !scrub->begins_anew) {
        scrub->bytes_done += job->bytes;
        scrub->at = job->reached;
        scrub->is_at_front = false;
    } else if (job->ran && !scrub->begins_anew) {
        const struct segment *segment = log__find_sequence(log, job->header.sequence);
        if (segment) enter(log, segment);
    }
    scrub->begins_anew = false;
    free(job->terms);
    free(job);
    return status;
}

void scrub__close(struct segment_log *log)
{
    assert(!log->scrub.job);
}

/* ---- on any thread ------------------------------------------------------------------------------------- */

static bool front_is_whole(struct segment_log_scrub_job *job, struct disk_file *file)
{
    uint8_t block[SEGMENT_BLOCK_BYTES] = {0}, wanted[SEGMENT_BLOCK_BYTES];
    struct segment_marks marks;
    segment_format__encode_header(&job->header, wanted);
    if (disk_pread(file, block, sizeof block, 0) != (ssize_t)sizeof block ||
        memcmp(block, wanted, sizeof block) != 0 ||
        marks__read(file, job->seed, &job->header, &marks) != 0) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (!marks.valid[i] || !marks.mark[i].continued || marks.mark[i].end_pos != job->end_pos) {
            return false;
        }
    }
    return true;
}

static bool footer_is_whole(struct segment_log_scrub_job *job, struct disk_file *file)
{
    struct segment_footer footer;
    struct footer_point *points;
    uint8_t *facts;
    uint64_t size;
    int error;
    if (disk_size(file, &size) != 0 ||
        footer__read(file, job->seed, size, &footer, &error) != FOOTER_OK ||
        footer.points_checksum != job->footer.points_checksum ||
        footer.facts_checksum != job->footer.facts_checksum) {
        return false;
    }
    if (footer__read_points(file, job->seed, &footer, &points, &error) != FOOTER_OK) return false;
    free(points);
    if (footer__read_facts(file, job->seed, &footer, &facts, &error) != FOOTER_OK) return false;
    free(facts);
    return true;
}

static void look_at_front(struct segment_log_scrub_job *job, struct disk_file *file)
{
    /* Everything of a closed segment was synced when it was closed; this brings it from the device. */
    int error = disk_drop_cache(file);
    if (error) {
        job->status = SEGMENT_LOG_IO;
        problem__set(&job->problem, job->path, 0, 0, error, "syncing the segment failed");
        return;
    }
    job->front_is_bad = !front_is_whole(job, file);
    job->footer_is_bad = job->is_sealed && !footer_is_whole(job, file);
    job->bytes += SEGMENT_DATA_POS;
}

static void look_at_records(struct segment_log_scrub_job *job, struct disk_file *file)
{
    struct segment_scan scan;
    scan__start(&scan, file, job->seed, job->header.sector_bytes, &job->start, job->end_pos);
    scan.trail = job->place.trail;
    bool is_whole = true;
    while (is_whole && scan.at.index < job->last_index &&
           scan.pos - job->start.pos < job->bytes_max) {
        struct segment_scan_record record;
        is_whole = scan__next(&scan, &record) == SEGMENT_SCAN_RECORD;
    }
    job->bytes += scan.pos - job->start.pos;
    if (scan.error && scan.error != -EIO) {
        job->status = SEGMENT_LOG_IO;
        problem__set(&job->problem, job->path, scan.pos, scan.at.index + 1, scan.error,
                     "reading records failed");
    } else if (!is_whole || (scan.at.index == job->place.end.index &&
                             !points__are_equal(&scan.at, &job->place.end))) {
        finding__look(&job->finding, &job->place, file, job->seed, &job->start, job->end_pos);
    }
    job->reached = (struct segment_point){
        .pos = scan.pos, .before = scan.at, .lone = scan.lone, .lone_chain = scan.lone_chain};
    if (job->finding.has_hole) job->reached.before = job->finding.hole.before;
    scan__close(&scan);
}

void segment_log_scrub_job_run(struct segment_log_scrub_job *job)
{
    job->ran = true;
    job->status = SEGMENT_LOG_OK;
    struct disk_file *file;
    int error = disk_open(job->disk, job->path, DISK_READ, &file);
    if (error == -ENOENT || error == -EIO) {
        finding__lost_file(&job->finding, &job->place, &job->header.base);
        job->reached.before = job->header.base;
        return;
    }
    if (error) {
        job->status = SEGMENT_LOG_IO;
        problem__set(&job->problem, job->path, 0, 0, error, "opening the segment failed");
        return;
    }
    if (job->looks_at_front) look_at_front(job, file);
    if (job->status == SEGMENT_LOG_OK) look_at_records(job, file);
    disk_close(file);
}

/* ---- the write job that mends --------------------------------------------------------------------------- */

bool scrub__freeze_mend(struct segment_log *log, struct segment_log_job *job)
{
    if (!log->scrub.mend_wanted) return false;
    const struct segment *segment = log__find_sequence(log, log->scrub.mend_sequence);
    if (!segment || segment->missing) {
        log->scrub.mend_wanted = false;
        return false;
    }
    job->mend_is_last = is_last(log, segment);
    if (job->mend_is_last && segment->last_index != log->durable_index) return false;
    job->mend_header = log__header_of(log, segment);
    job->mend_end =
        job->mend_is_last ? cache__point(&log->cache, log->durable_index) : segment[1].base;
    job->mend_end_pos = segment->end_pos;
    return true;
}

void scrub__run_mend(struct segment_log_job *job)
{
    const struct segment_log *log = job->log;
    const struct mend mend = {
        .header = &job->mend_header, .end_pos = job->mend_end_pos, .end = job->mend_end};
    char path[DISK_PATH_MAX];
    log__segment_path(log, job->mend_header.sequence, path);
    int error = job->mend_is_last
                    ? mend__last_segment(&job->writer, &mend, &job->count, &job->mended_blocks)
                    : mend__closed_segment(log->options.disk, path, &mend, &job->mended_blocks);
    if (error == -ENOENT) error = 0; /* lost as a whole: its records tell */
    if (!error) return;
    problem__set(&job->problem, path, 0, 0, error, "writing a header or mark again failed");
    job->status = SEGMENT_LOG_IO;
}

void scrub__finish_mend(struct segment_log *log, const struct segment_log_job *job)
{
    log->scrub.mend_wanted = false;
    log->blocks_mended_total += job->mended_blocks;
    /* A segment that could not be sealed for them; one whose entries are damaged is refused once more. */
    if (job->ran && job->status == SEGMENT_LOG_OK && job->mended_blocks > 0) {
        seal__try_again(log, job->mend_header.sequence);
    }
}
