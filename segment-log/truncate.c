/* Cutting the log (PROTOCOL L7).
 *
 * In memory at once; on disk one job, in this order, so that a crash at any instant leaves a prefix of the old log that
 * holds at least what is kept:
 *   1. both marks of the segment that will be last: lowered, not continued, each synced
 *   2. later segments unlinked, newest first; the directory synced
 *   3. everything behind the kept end overwritten with zeros, synced
 *
 * Step 3 is what keeps a cut record from ever being found again: recovery looks for the next record right behind the last
 * one, and a cut record there still follows by its chain. It may share its first sector with the last kept record. That
 * sector is rewritten in place; should the rewrite be torn, recovery takes the kept bytes from the mark of step 1. */
#include "log.h"

#include <planted/planted.h>

#include "scan.h"

#include "bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Read forward from `start` to the entry `index` and tell the state behind it and where reading ended: behind its record, or at
 * `start`. The trail is empty on a job's thread: terms are the loop's. */
static bool find_end(const struct segment_log *log, const struct segment *segment,
                     const struct segment_point *start, const struct term_trail *trail,
                     struct disk_file *file, const char *path, uint64_t index,
                     struct segment_log_point *ret_point, uint64_t *ret_pos,
                     struct segment_log_problem *problem)
{
    uint64_t size;
    int error = disk_size(file, &size);
    if (error) {
        problem__set(problem, path, 0, index, error, "asking for the size failed");
        return false;
    }
    struct segment_scan scan;
    scan__start(&scan, file, log->seed, segment->sector_bytes, start, size);
    scan.trail = *trail;
    bool found = true;
    while (found && scan.at.index < index) {
        struct segment_scan_record record;
        if (scan__next(&scan, &record) == SEGMENT_SCAN_RECORD) continue;
        problem__set(problem, path, scan.bad_pos, scan.at.index + 1, scan.error, "%s",
                     scan.error ? "reading failed" : scan.reason);
        found = false;
    }
    *ret_point = scan.at;
    *ret_pos = scan.pos;
    scan__close(&scan);
    return found;
}

/* The state behind an entry that is no longer cached. Blocks; see segment_log_truncate(). */
static bool read_point(const struct segment_log *log, uint64_t index,
                       struct segment_log_point *ret_point, struct segment_log_problem *problem)
{
    const struct segment *segment = &log->segments[log__find_segment(log, index)];
    if (index == segment->base.index) {
        *ret_point = segment->base;
        return true;
    }
    if (log->read_point.index == index && log->read_point_cuts == log->cuts_total) {
        *ret_point = log->read_point;
        return true;
    }
    char path[DISK_PATH_MAX];
    log__segment_path(log, segment->sequence, path);
    struct disk_file *file;
    int error = disk_open(log->options.disk, path, DISK_READ, &file);
    if (error) {
        problem__set(problem, path, 0, index, error, "opening failed");
        return false;
    }
    uint64_t pos;
    const struct term_trail trail = log__trail(log);
    /* The last place from which the state behind `index` can be reached, that state itself included. */
    const struct segment_point *start = segment__find(segment, SEGMENT_LOG_BY_INDEX, index + 1);
    bool found = find_end(log, segment, start, &trail, file, path, index, ret_point, &pos, problem);
    if (!found && log__is_replacing(log)) {
        /* This may be the repaired file already, in which only the first record stands where it stood. */
        start = &segment->points[0];
        found = find_end(log, segment, start, &trail, file, path, index, ret_point, &pos, problem);
    }
    disk_close(file);
    return found;
}

/* The state behind `index` can be told. Inside of a hole only memory tells it, but behind one that an anchor ends the disk. */
static bool is_known(const struct segment_log *log, uint64_t index)
{
    struct segment_log_point point;
    if (segment_log_point_at(log, index, &point) == SEGMENT_LOG_OK) return true;
    const struct hole *hole = holes__from(log, index);
    if (!hole || hole->told.first_index > index) return true;
    if (hole->told.last_index != index) return false;
    const struct segment *segment = &log->segments[log__find_segment(log, index)];
    const struct segment_point *at = segment__find(segment, SEGMENT_LOG_BY_INDEX, index + 1);
    return at->before.index == index && !at->lone;
}

bool segment_log_read_point(struct segment_log *log, uint64_t index,
                            struct segment_log_point *ret_point)
{
    const enum segment_log_status status = segment_log_point_at(log, index, ret_point);
    if (status != SEGMENT_LOG_NOT_CACHED) return status == SEGMENT_LOG_OK;
    if (log->broken || !is_known(log, index)) return false;
    struct segment_log_problem problem = {0};
    if (!read_point(log, index, ret_point, &problem)) return false; /* a cut there would tell */
    log->read_point = *ret_point;
    log->read_point_cuts = log->cuts_total;
    return true;
}

bool segment_log_can_truncate(const struct segment_log *log, uint64_t from_index)
{
    const struct hole *hole = holes__from(log, from_index);
    if (hole && hole->told.first_index < from_index) return false;
    return is_known(log, from_index - 1);
}

void segment_log_truncate(struct segment_log *log, uint64_t from_index)
{
    assert(from_index > log->base.index);
    assert(from_index <= log->last.index + 1);
    if (from_index == log->last.index + 1) return;
    assert(is_known(log, from_index - 1));
    struct segment_log_point end;
    enum segment_log_status status = segment_log_point_at(log, from_index - 1, &end);
    if (status == SEGMENT_LOG_NOT_CACHED &&
        !read_point(log, from_index - 1, &end, &log->cut_problem)) {
        log->broken = true;
        log->cut_failed = true;
        return;
    }
    if (from_index >= log->cache.first_index) {
        cache__cut(&log->cache, from_index);
    } else {
        cache__reset(&log->cache, &end);
    }
    log__cut_runs(log, from_index);
    holes__cut(log, from_index);
    /* Of the segment that will be last, too: its end is another one then. */
    repair__give_up(log, log->segments[log__find_segment(log, end.index)].sequence, UINT64_MAX);
    log->last = end;
    if (log->durable_index > end.index) log->durable_index = end.index;
    log->unflushed_bytes = 0;
    for (uint64_t i = log->durable_index + 1; i <= end.index; i++) {
        log->unflushed_bytes += cache__meta(&log->cache, i)->bytes;
    }
    if (log->roll_index >= from_index) log->roll_wanted = false;
    if (log->drop_index > end.index) log->drop_index = end.index;
    log->cuts_total++;
    if (from_index < log->cut_lowest_index) log->cut_lowest_index = from_index;
    /* What no job has been given yet is not on disk: nothing to cut there. */
    if (from_index > log->attempted_index) return;
    log->attempted_index = end.index;
    if (!log->cut_pending || end.index < log->cut.index) log->cut = end;
    log->cut_pending = true;
}

bool truncate__has_to_wait(const struct segment_log *log)
{
    uint64_t index = log->cut.index < log->durable_index ? log->cut.index : log->durable_index;
    return seal__is_busy_from(log, log->segments[log__find_segment(log, index)].sequence);
}

/* From where the record of the kept entry is read, so that its end is known. A place that is remembered behind the entry tells
 * where the next one begins, on a sector boundary: marks that called this the end would not be those of the records in front.
 * Behind damage that reaches through the entry there is no other place. */
static struct segment_point place_before_end(const struct segment_log *log, uint64_t index)
{
    const struct segment *segment = &log->segments[log__find_segment(log, index)];
    const struct hole *hole = holes__from(log, index);
    const bool is_in_hole = hole && hole->told.first_index <= index;
    const bool is_behind = is_in_hole || PLANTED(L7_CUT_ENDS_WHERE_THE_NEXT_BEGAN);
    return *segment__find(segment, SEGMENT_LOG_BY_INDEX, is_behind ? index + 1 : index);
}

void truncate__freeze(struct segment_log *log, struct segment_log_job *job)
{
    log->cut_pending = false;
    /* Kept entries that a flush tried to write and could not (a full disk) are written again behind the cut. */
    job->end = log->cut.index > log->durable_index ? cache__point(&log->cache, log->durable_index)
                                                   : log->cut;
    job->start = job->end;
    job->keep_segment = log__find_segment(log, job->end.index);
    job->keep_place = place_before_end(log, job->end.index);
    seal__give_up(log, log->segments[job->keep_segment].sequence, UINT64_MAX);
    /* The segment that is kept may be committed as a whole, and is open again when this job has ended: no footer is begun
     * meanwhile, for entries will follow. */
    log->seal_due_index = UINT64_MAX;
}

void truncate__put_back(struct segment_log *log, const struct segment_log_job *job)
{
    if (!log->cut_pending || job->end.index < log->cut.index) log->cut = job->end;
    log->cut_pending = true;
    seal__plan(log);
}

static bool fail(struct segment_log_job *job, const char *what, int error)
{
    job__fail(job, what, error);
    /* Also when the disk has no room: a truncation that stopped halfway is no state to go on from. */
    job->status = SEGMENT_LOG_IO;
    return false;
}

/* Make the segment that will be last the one that job->writer writes. */
static bool switch_segment(struct segment_log_job *job)
{
    const struct segment_log *log = job->log;
    const struct segment *segment = &log->segments[job->keep_segment];
    if (segment->sequence == job->writer.sequence) return true;
    char path[DISK_PATH_MAX];
    log__segment_path(log, segment->sequence, path);
    struct disk_file *file;
    int error = disk_open(log->options.disk, path, DISK_WRITE, &file);
    if (error) return fail(job, "opening the segment that is cut failed", error);
    const struct segment_header header = {.sequence = segment->sequence,
                                          .sector_bytes = segment->sector_bytes,
                                          .base = segment->base};
    struct segment_marks marks;
    uint64_t size = 0;
    error = marks__read(file, log->seed, &header, &marks);
    if (!error) error = disk_size(file, &size);
    if (error) {
        disk_close(file);
        return fail(job, "reading the marks of the segment that is cut failed", error);
    }
    disk_close(job->writer.file);
    if (marks.newest >= 0) {
        writer__init(&job->writer, file, &header, &marks, size);
        return true;
    }
    /* Both rotted: they are written anew, as everything that they said is in memory. */
    job->writer = (struct segment_writer){
        .file = file,
        .sequence = segment->sequence,
        .sector_bytes = segment->sector_bytes,
        .end_pos = segment->end_pos,
        .filled_pos = size,
        .mark_block = 1,
    };
    return true;
}

/* The segment that will be last has no file, and nothing in it is kept: it is born anew. Once that is durable the log ends
 * there, whatever is left behind it. */
static bool bear_again(struct segment_log_job *job)
{
    const struct segment_log *log = job->log;
    const struct segment *segment = &log->segments[job->keep_segment];
    assert(job->end.index == segment->base.index);
    const struct segment_header header = log__header_of(log, segment);
    struct segment_writer fresh = {0};
    if (roll__birth(&log->options, &header, &fresh, &job->count, &job->problem)) {
        job->status = SEGMENT_LOG_IO;
        return false;
    }
    disk_close(job->writer.file);
    job->writer = fresh;
    return true;
}

/* The kept part of the sector in which the cut is, for the mark; none when nothing but zeros follows in it. What the disk cannot
 * read of a hole stays a hole as zeros; what is cut behind it must not become readable again. */
static bool keep_tail(struct segment_log_job *job, uint64_t end_pos, bool is_in_hole,
                      struct segment_mark *mark, bool *ret_lost)
{
    const struct segment_writer *writer = &job->writer;
    uint32_t tail_bytes = (uint32_t)(end_pos % writer->sector_bytes);
    if (tail_bytes == 0) return true;
    uint8_t sector[SEGMENT_SECTOR_MAX] = {0};
    ssize_t got = disk_pread(writer->file, sector, writer->sector_bytes, end_pos - tail_bytes);
    const bool is_lost = got == -EIO && is_in_hole;
    if (is_lost) memset(sector, 0, sizeof sector);
    if (got < 0 && !is_lost) return fail(job, "reading the sector of the cut failed", (int)got);
    if (!is_lost && bytes_are_zero(sector + tail_bytes, writer->sector_bytes - tail_bytes)) {
        return true;
    }
    /* What does not fit leaves less than a header in the sector: overwrite() spoils that header behind it. */
    if (tail_bytes > SEGMENT_TAIL_BYTES_MAX) return true;
    *ret_lost = is_lost;
    mark->tail_bytes = tail_bytes;
    memcpy(mark->tail, sector, tail_bytes);
    return true;
}

static bool drop_later_segments(struct segment_log_job *job)
{
    const struct segment_log *log = job->log;
    if (job->keep_segment + 1 == log->segments_count) return true;
    for (uint32_t i = log->segments_count - 1; i > job->keep_segment; i--) {
        char path[DISK_PATH_MAX];
        log__segment_path(log, log->segments[i].sequence, path);
        int error = disk_unlink(log->options.disk, path);
        if (error == -ENOENT) error = 0; /* lost before */
        if (error) return fail(job, "removing a cut segment failed", error);
    }
    int error = disk_sync_directory(log->options.disk, log->directory);
    return error ? fail(job, "syncing the directory failed", error) : true;
}

/* Never beyond the end of the file: what is cut takes no room, so that a full disk does not stop it. */
static int overwrite(struct segment_writer *writer, uint64_t end_pos,
                     const struct segment_mark *mark, bool is_tail_lost)
{
    uint64_t boundary = align_up(end_pos, writer->sector_bytes);
    uint64_t size;
    int error = disk_size(writer->file, &size);
    if (!error && is_tail_lost) error = writer__heal(writer, end_pos - mark->tail_bytes);
    if (!error && mark->tail_bytes > 0) error = writer__restore_tail(writer, mark, size);
    if (!error) error = writer__zero_behind(writer, boundary);
    /* A header that begins in the last 72 bytes of the sector reaches here; its checksum, or its field that is always zero,
     * fails now, whatever its payload holds. */
    if (!error && end_pos % writer->sector_bytes > SEGMENT_TAIL_BYTES_MAX) {
        error = writer__spoil(writer, boundary);
    }
    return error;
}

void truncate__run(struct segment_log_job *job)
{
    const struct segment_log *log = job->log;
    if (log->segments[job->keep_segment].missing) {
        if (bear_again(job)) (void)drop_later_segments(job); /* job->status tells */
        return;
    }
    if (!switch_segment(job)) return;
    struct segment_writer *writer = &job->writer;
    const int cleaning = writer__clean(writer, &job->count);
    if (cleaning) {
        fail(job, "overwriting what had no room failed", cleaning);
        return;
    }
    char path[DISK_PATH_MAX];
    log__segment_path(log, writer->sequence, path);
    struct segment_log_point end;
    uint64_t end_pos;
    if (!find_end(log, &log->segments[job->keep_segment], &job->keep_place, &(struct term_trail){0},
                  writer->file, path, job->end.index, &end, &end_pos, &job->problem)) {
        job->status = SEGMENT_LOG_IO;
        return;
    }
    /* The kept entry is the last one of a hole: where the next one began is known, and in front of that nothing is read. */
    const bool is_in_hole = job->keep_place.lone && job->keep_place.before.index == job->end.index;
    if (is_in_hole) {
        end = job->end;
    } else if (end.chain != job->end.chain) {
        fail(job, "the kept entry has another chain in the file than in memory", 0);
        return;
    }
    struct segment_mark mark = {.end_pos = end_pos, .point = end};
    bool is_tail_lost = false;
    if (!keep_tail(job, end_pos, is_in_hole, &mark, &is_tail_lost)) return;
    int error = PLANTED(L7_MARKS_STAY_ABOVE_CUT)
                    ? 0
                    : writer__write_both_marks(writer, log->seed, &mark, &job->count);
    if (error) {
        fail(job, "lowering the marks failed", error);
        return;
    }
    if (!drop_later_segments(job)) return;
    error = overwrite(writer, end_pos, &mark, is_tail_lost);
    if (!error) error = writer__sync(writer, &job->count);
    if (!error) error = disk_size(writer->file, &writer->filled_pos);
    if (error) {
        fail(job, "overwriting the cut entries failed", error);
        return;
    }
    writer->end_pos = end_pos;
}

/* What is written next stands right behind the damage. The place to read it from was cut with what stood there. */
static void resume_behind_hole(const struct segment_log *log, struct segment *segment,
                               const struct segment_log_job *job)
{
    const struct hole *hole = holes__from(log, job->end.index);
    if (!hole || hole->told.segment != segment->sequence ||
        hole->told.last_index != job->end.index) {
        return;
    }
    const struct segment_point place = {.pos = job->writer.end_pos, .before = job->end};
    if (!segment__add_resume(segment, &place)) abort(); /* there was room for the other one */
}

void truncate__finish(struct segment_log *log, struct segment_log_job *job)
{
    /* When it failed the list may name files that are gone, but the log is broken then and does no more work. */
    if (job->status != SEGMENT_LOG_OK) return;
    log->cuts_total++; /* who began to look meanwhile knew the segments as they were */
    while (log->segments_count > job->keep_segment + 1) {
        segment__close(&log->segments[--log->segments_count]);
    }
    struct segment *segment = &log->segments[job->keep_segment];
    segment->last_index = job->end.index;
    segment->end_pos = job->writer.end_pos;
    segment->missing = false;
    segment__cut_points(segment, job->end.index + 1);
    resume_behind_hole(log, segment, job);
    /* Its mark says so since step 1, and the footer was overwritten in step 3. A read may have loaded its index meanwhile. */
    segment__unseal(segment);
    index_cache__forget(&log->indexes, segment->sequence, UINT64_MAX);
    seal__plan(log);
}
