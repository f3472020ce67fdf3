/* Reading from the files: entries that are no longer cached. Each job opens its own descriptors, so that old segments cost
 * none while nobody reads them, and a truncation that unlinks a file does not disturb a job that has it open.
 *
 * A job starts at a sparse point and follows the chain from there: every byte handed out is checked against its header, its
 * place and its predecessor (PROTOCOL L2, R3). */
#include "read_job.h"

#include "footer.h"
#include "log.h"
#include "scan.h"

#include <rare/rare.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void read_job__add_part(struct segment_log *log, struct segment_log_read_job *job,
                        const struct segment *segment)
{
    struct read_part *part = &job->parts[job->parts_count++];
    *part = (struct read_part){
        .sequence = segment->sequence,
        .sector_bytes = segment->sector_bytes,
        .start = *segment__find(segment, job->key, job->value),
        .last_index = segment->last_index,
        .end_pos = segment->end_pos,
        .base = segment->base,
        .has_index = segment->sealed,
        .footer = segment->footer,
    };
    const struct segment_point *start =
        segment->sealed && !RARELY(INDEX_IS_FORGOTTEN)
            ? index_cache__find(&log->indexes, segment->sequence, job->key, job->value)
            : NULL;
    if (start) {
        if (start->pos > part->start.pos) part->start = *start;
        part->has_index = false; /* it was here */
    }
    if (part->last_index > log->durable_index) part->last_index = log->durable_index;
    part->place = finding__place(log, segment, part->start.before.index);
    const struct hole *hole = holes__from(log, part->start.before.index + 1);
    if (!hole || hole->told.segment != segment->sequence) return;
    part->hole_index = hole->told.first_index;
    part->hole_reason = hole->told.reason;
    /* `start` is the last place in front of it, and there is one behind every hole. */
    part->is_in_hole = segment__point_precedes(&hole->told.before, job->key, job->value);
}

uint64_t read_job__lowest_sequence(const struct segment_log *log)
{
    uint64_t lowest = UINT64_MAX;
    for (const struct segment_log_read_job *job = log->reads; job; job = job->next) {
        if (job->parts[0].sequence < lowest) lowest = job->parts[0].sequence;
    }
    return lowest;
}

/* The last segment whose base precedes the value; segment 0 when none does. */
static uint32_t first_segment(const struct segment_log *log, enum segment_log_key key,
                              uint64_t value)
{
    uint32_t low = 0, high = log->segments_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (segment__point_precedes(&log->segments[middle].base, key, value)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

struct segment_log_read_job *read_job__new(struct segment_log *log, enum segment_log_key key,
                                           uint64_t value, uint64_t last_index, size_t bytes_max,
                                           uint32_t parts_count)
{
    struct segment_log_read_job *job = calloc(1, sizeof *job);
    struct read_part *parts = calloc(parts_count, sizeof *parts);
    if (!job || !parts) {
        free(job);
        free(parts);
        return NULL;
    }
    job->disk = log->options.disk;
    memcpy(job->directory, log->directory, sizeof job->directory);
    job->seed = log->seed;
    job->key = key;
    job->value = value;
    job->last_index = last_index;
    job->bytes_max = bytes_max;
    job->cuts_total = log->cuts_total;
    job->replaces_total = log->replaces_total;
    job->parts = parts;
    job->status = SEGMENT_LOG_SUPERSEDED; /* until it runs */
    log->reads_outstanding++;
    job->next = log->reads;
    log->reads = job;
    return job;
}

static void leave(struct segment_log *log, struct segment_log_read_job *job)
{
    assert(log->reads_outstanding > 0);
    log->reads_outstanding--;
    struct segment_log_read_job **at = &log->reads;
    while (*at != job) {
        at = &(*at)->next;
    }
    *at = job->next;
}

static void free_job(struct segment_log_read_job *job)
{
    if (job->chunk) chunk__unref(job->chunk);
    free(job->terms);
    free(job->parts);
    free(job);
}

bool read_job__complete(struct segment_log *log, struct segment_log_read_job *job)
{
    const uint64_t first_index = job->parts[0].start.before.index + 1;
    uint64_t last_index = job->parts[job->parts_count - 1].last_index;
    if (last_index > job->last_index) last_index = job->last_index;
    if (log__copy_trail(log, first_index, last_index, &job->terms, &job->trail)) return true;
    leave(log, job);
    free_job(job);
    return false;
}

enum segment_log_status segment_log_read_job_create(struct segment_log *log,
                                                    enum segment_log_key key, uint64_t value,
                                                    uint64_t last_index, size_t bytes_max,
                                                    struct segment_log_read_job **ret_job)
{
    const enum segment_log_status status = log__check_range(log, key, value, &last_index);
    if (status != SEGMENT_LOG_OK) return status;
    uint32_t first = first_segment(log, key, value);
    uint32_t count = key == SEGMENT_LOG_BY_TIME ? log->segments_count - first : 1;
    struct segment_log_read_job *job = read_job__new(log, key, value, last_index, bytes_max, count);
    if (!job) return SEGMENT_LOG_IO;
    for (uint32_t i = 0; i < count; i++) {
        read_job__add_part(log, job, &log->segments[first + i]);
    }
    if (!read_job__complete(log, job)) return SEGMENT_LOG_IO;
    *ret_job = job;
    return SEGMENT_LOG_OK;
}

static bool is_wanted(const struct segment_log_read_job *job, const struct entry_header *header)
{
    switch (job->key) {
    case SEGMENT_LOG_BY_INDEX:
        return header->index >= job->value;
    case SEGMENT_LOG_BY_OFFSET:
        return header->record_count > 0 && header->base_offset + header->record_count > job->value;
    case SEGMENT_LOG_BY_TIME:
        return header->record_count > 0 && header->timestamp_ms >= (int64_t)job->value;
    }
    assert(false);
    return false;
}

/* Room for the entries from `record` on: what was asked for, or what is left of the segment, or the one entry. */
static bool make_chunk(struct segment_log_read_job *job, const struct read_part *part,
                       const struct segment_scan_record *record)
{
    size_t capacity = job->bytes_max;
    if (capacity > part->end_pos - record->pos) capacity = (size_t)(part->end_pos - record->pos);
    if (capacity < record->bytes_count) capacity = record->bytes_count;
    job->chunk = chunk__create(capacity);
    if (job->chunk) return true;
    job->status = SEGMENT_LOG_IO;
    problem__set(&job->problem, job->directory, record->pos, record->header.index, -ENOMEM,
                 "out of memory");
    return false;
}

/* False: the result is complete. */
bool read_job__take_record(struct segment_log_read_job *job, const struct read_part *part,
                           const struct segment_scan_record *record)
{
    struct segment_log_chunk *chunk = job->chunk;
    if (!chunk) {
        if (!is_wanted(job, &record->header)) {
            job->searched_index = record->header.index;
            return true;
        }
        if (record->header.index > job->last_index) {
            job->status = SEGMENT_LOG_OUT_OF_RANGE;
            return false;
        }
        if (!make_chunk(job, part, record)) return false;
        chunk = job->chunk;
        job->first_index = record->header.index;
    }
    if (record->header.index > job->last_index) return false;
    if (chunk->capacity - chunk->used < record->bytes_count) return false;
    if (chunk->used > 0 && RARELY(READ_OF_FEW_ENTRIES)) return false;
    memcpy(chunk->bytes + chunk->used, record->bytes, record->bytes_count);
    chunk->used += record->bytes_count;
    job->found_last_index = record->header.index;
    return true;
}

static void note_bad_record(struct segment_log_read_job *job, const struct segment_scan *scan,
                            const char *path)
{
    /* What was gathered in front of it is whole; the next read starts at the damage and tells. */
    if (job->chunk && job->chunk->used > 0) return;
    /* A sector that cannot be read is damage of these records; other errors are the node's. */
    bool damaged = scan->error == 0 || scan->error == -EIO;
    job->status = damaged ? SEGMENT_LOG_DAMAGED : SEGMENT_LOG_IO;
    problem__set(&job->problem, path, scan->error ? scan->pos : scan->bad_pos, scan->at.index + 1,
                 scan->error, "%s", scan->error ? "reading failed" : scan->reason);
}

/* A place near to what is looked for, from the segment's own index; without one the search begins at its start. */
static void find_start(struct segment_log_read_job *job, struct read_part *part,
                       struct disk_file *file)
{
    struct footer_point *points;
    const struct segment_point *found;
    int error;
    switch (footer__read_points(file, job->seed, &part->footer, &points, &error)) {
    case FOOTER_OK:
        found = footer__find(points, part->footer.points_count, job->key, job->value);
        if (found->pos > part->start.pos) part->start = *found;
        free(job->loaded_points);
        job->loaded_points = points;
        job->loaded_footer = part->footer;
        break;
    case FOOTER_NONE:
    case FOOTER_BAD:
    case FOOTER_VERSION:
        job->bad_footer = part->sequence;
        break;
    case FOOTER_IO:
        if (error == -EIO) job->bad_footer = part->sequence;
        break;
    }
}

static void note_hole(struct segment_log_read_job *job, const struct read_part *part, uint64_t pos,
                      const char *path)
{
    if (job->chunk && job->chunk->used > 0) return;
    job->status = SEGMENT_LOG_DAMAGED;
    problem__set(&job->problem, path, pos, part->hole_index, 0, "%s", part->hole_reason);
}

bool read_job__open_part(struct segment_log_read_job *job, struct read_part *part,
                         char path[DISK_PATH_MAX], struct disk_file **ret_file)
{
    int error = disk_open(job->disk, path, DISK_READ, ret_file);
    if (error) {
        job->status = error == -ENOENT || error == -EIO ? SEGMENT_LOG_DAMAGED : SEGMENT_LOG_IO;
        problem__set(&job->problem, path, 0, part->start.before.index + 1, error,
                     "opening the segment failed");
        job->finding_sequence = part->sequence;
        if (error == -ENOENT) finding__lost_file(&job->finding, &part->place, &part->base);
        return false;
    }
    if (part->has_index) find_start(job, part, *ret_file);
    return true;
}

/* False: the job is done, with or without a result. */
static bool read_part(struct segment_log_read_job *job, struct read_part *part)
{
    if (part->start.before.index >= part->last_index) return true;
    char path[DISK_PATH_MAX];
    bool fits = segment_format__path(job->directory, part->sequence, path);
    assert(fits);
    (void)fits;
    if (part->is_in_hole) {
        note_hole(job, part, part->start.pos, path);
        return false;
    }
    struct disk_file *file;
    if (!read_job__open_part(job, part, path, &file)) return false;
    struct segment_scan scan;
    scan__start(&scan, file, job->seed, part->sector_bytes, &part->start, part->end_pos);
    scan.trail = job->trail;
    bool more = true;
    while (more && scan.at.index < part->last_index) {
        struct segment_scan_record record;
        if (scan.at.index + 1 == part->hole_index) {
            note_hole(job, part, scan.pos, path);
            more = false;
        } else if (scan__next(&scan, &record) == SEGMENT_SCAN_RECORD) {
            more = read_job__take_record(job, part, &record);
        } else {
            note_bad_record(job, &scan, path);
            job->finding_sequence = part->sequence;
            part->place.trail = job->trail;
            finding__look(&job->finding, &part->place, file, job->seed, &part->start,
                          part->end_pos);
            more = false;
        }
    }
    scan__close(&scan);
    disk_close(file);
    return more && !job->chunk;
}

void segment_log_read_job_run(struct segment_log_read_job *job)
{
    if (job->is_for_repair) return repair_read__run(job);
    job->status = SEGMENT_LOG_OK;
    for (uint32_t i = 0; i < job->parts_count; i++) {
        if (!read_part(job, &job->parts[i])) break;
    }
    if (job->status == SEGMENT_LOG_OK && !job->chunk) job->status = SEGMENT_LOG_OUT_OF_RANGE;
}

/* The files hold nothing of that time: the entry is one that was not durable when the job was made, and is cached. */
static enum segment_log_status find_behind(struct segment_log *log,
                                           const struct segment_log_read_job *job,
                                           struct segment_log_view *ret_view)
{
    if (job->key != SEGMENT_LOG_BY_TIME) return SEGMENT_LOG_OUT_OF_RANGE;
    uint64_t from_index = job->searched_index + 1;
    if (from_index < log->cache.first_index) return SEGMENT_LOG_SUPERSEDED;
    uint64_t index = log__find_cached(log, job->key, job->value, from_index);
    if (index == 0 || index > job->last_index) return SEGMENT_LOG_OUT_OF_RANGE;
    log__view(log, index, job->last_index, job->bytes_max, ret_view);
    return SEGMENT_LOG_OK;
}

/* Unless the segment was dropped, cut or sealed anew meanwhile. */
static void keep_index(struct segment_log *log, struct segment_log_read_job *job)
{
    if (!job->loaded_points) return;
    const struct segment *segment = log__find_sequence(log, job->loaded_footer.sequence);
    if (segment && segment->sealed && job->cuts_total == log->cuts_total &&
        segment->footer.points_checksum == job->loaded_footer.points_checksum) {
        index_cache__put(&log->indexes, segment->sequence, job->loaded_points,
                         job->loaded_footer.points_count);
    } else {
        free(job->loaded_points);
    }
}

enum segment_log_status segment_log_read_job_finish(struct segment_log *log,
                                                    struct segment_log_read_job *job,
                                                    struct segment_log_view *ret_view,
                                                    struct segment_log_problem *ret_problem)
{
    leave(log, job);
    keep_index(log, job);
    const bool is_replaced = job->replaces_total != log->replaces_total || log__is_replacing(log);
    const bool is_current = job->cuts_total == log->cuts_total && !is_replaced;
    if (job->bad_footer != 0 && is_current) seal__anew(log, job->bad_footer);
    /* Made while a cut is under way it looked for damage as far as entries that are gone. */
    const bool is_believed =
        is_current && !log__is_cutting(log) && job->finding_sequence >= log->segments[0].sequence;
    if (job->finding.has_hole && is_believed) {
        /* Without memory for it: it is found again. */
        (void)finding__register(log, job->finding_sequence, &job->finding);
    }
    enum segment_log_status status = job->status;
    if (log->broken) {
        status = SEGMENT_LOG_IO;
    } else if (job->cuts_total != log->cuts_total) {
        /* Bytes may have been overwritten under the job: neither its result nor its complaint counts. */
        status = SEGMENT_LOG_SUPERSEDED;
    } else if (is_replaced && status != SEGMENT_LOG_OK) {
        status =
            SEGMENT_LOG_SUPERSEDED; /* it may have looked for places of the old file in the new one */
    } else if (status == SEGMENT_LOG_OK && !job->chunk) {
        status = SEGMENT_LOG_SUPERSEDED; /* it never ran: its owner is going away */
    } else if (status == SEGMENT_LOG_OUT_OF_RANGE) {
        status = find_behind(log, job, ret_view);
    } else if (status == SEGMENT_LOG_OK) {
        ret_view->parts[0].bytes = job->chunk->bytes;
        ret_view->parts[0].bytes_count = job->chunk->used;
        ret_view->parts[0].chunk = job->chunk;
        ret_view->parts_count = 1;
        ret_view->first_index = job->first_index;
        ret_view->last_index = job->found_last_index;
        ret_view->bytes_total = job->chunk->used;
        job->chunk = NULL;
    }
    if (status != SEGMENT_LOG_OK && ret_problem) *ret_problem = job->problem;
    if (status == SEGMENT_LOG_DAMAGED && ret_problem) {
        const struct hole *hole = holes__from(log, job->problem.index);
        if (hole && hole->told.first_index <= job->problem.index) {
            ret_problem->index = hole->told.first_index;
            ret_problem->last_index = hole->told.last_index;
        }
    }
    free_job(job);
    return status;
}
