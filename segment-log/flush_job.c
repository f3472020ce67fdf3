/* The flush: everything appended so far as one write, one sync and the mark (group commit), and zeros ahead of it.
 *
 *   [roll] -> pwritev of the records -> fdatasync -> mark (pwrite, durable with the next sync) -> durable
 *
 * The records are written from the cache's chunks without a copy. The first goes to a sector boundary, so that no write
 * in flight touches a synced byte (PROTOCOL L4). */
#include "log.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include "bytes.h"

#include <assert.h>
#include <stdlib.h>

/* Bounds how long one job keeps the next entries waiting. */
#define FLUSH_BYTES_MAX    (16u * 1024u * 1024u)
#define FILL_STEP_MIN      262144u
#define FILL_JOB_BYTES_MAX (1024u * 1024u)

static bool add_part(struct segment_log_job *job, const struct entry_meta *meta)
{
    const uint8_t *bytes = cache__bytes(meta);
    if (job->parts_count > 0) {
        struct iovec *last = &job->parts[job->parts_count - 1];
        if ((const uint8_t *)last->iov_base + last->iov_len == bytes &&
            job->chunks[job->parts_count - 1] == meta->chunk) {
            last->iov_len += meta->bytes;
            return true;
        }
    }
    if (job->parts_count == job->parts_capacity) {
        uint32_t capacity = job->parts_capacity ? 2 * job->parts_capacity : 16;
        struct iovec *parts = realloc(job->parts, capacity * sizeof *parts);
        if (parts) job->parts = parts;
        struct segment_log_chunk **chunks = realloc(job->chunks, capacity * sizeof(*chunks));
        if (chunks) job->chunks = chunks;
        if (!parts || !chunks) return false;
        job->parts_capacity = capacity;
    }
    job->parts[job->parts_count].iov_base = (void *)(uintptr_t)bytes;
    job->parts[job->parts_count].iov_len = meta->bytes;
    job->chunks[job->parts_count] = meta->chunk;
    job->parts_count++;
    chunk__ref(meta->chunk);
    return true;
}

static void add_point(struct segment_log_job *job, uint64_t pos,
                      const struct segment_log_point *before)
{
    if (job->points_count == job->points_capacity) {
        uint32_t capacity = job->points_capacity ? 2 * job->points_capacity : 16;
        struct segment_point *points = realloc(job->points, capacity * sizeof *points);
        if (!points) return; /* a sparse index with fewer points */
        job->points = points;
        job->points_capacity = capacity;
    }
    job->points[job->points_count++] = (struct segment_point){.pos = pos, .before = *before};
}

/* Where in the files the frozen records will stand, for the sparse index. */
static void freeze_points(const struct segment_log *log, struct segment_log_job *job)
{
    const struct segment *segment = &log->segments[log->segments_count - 1];
    uint64_t last_pos =
        job->roll ? SEGMENT_DATA_POS : segment->points[segment->points_count - 1].pos;
    uint64_t pos = job->write_pos;
    for (uint64_t index = job->start.index + 1; index <= job->end.index; index++) {
        if (pos - last_pos >= SEGMENT_SPARSE_BYTES) {
            struct segment_log_point before = cache__point(&log->cache, index - 1);
            add_point(job, pos, &before);
            last_pos = pos;
        }
        pos += cache__meta(&log->cache, index)->bytes;
    }
}

bool flush__freeze(struct segment_log *log, struct segment_log_job *job)
{
    assert(log->durable_index < log->last.index);
    /* A roll needs a place in the list when it is finished, where nothing may fail. */
    if (!log__reserve_segment(log)) return false;
    uint64_t bytes_max = log->options.segment_bytes_max - SEGMENT_DATA_POS;
    if (bytes_max > FLUSH_BYTES_MAX) bytes_max = FLUSH_BYTES_MAX;
    uint64_t index = log->durable_index;
    uint64_t last_index = log->last.index;
    if (log->roll_wanted && log->roll_index > index) last_index = log->roll_index;
    while (index < last_index) {
        const struct entry_meta *meta = cache__meta(&log->cache, index + 1);
        /* An entry larger than a segment gets one that exceeds the limit for it alone. */
        if (job->bytes > 0 && meta->bytes > bytes_max - job->bytes) break;
        if (!add_part(job, meta)) break;
        job->bytes += meta->bytes;
        index++;
        if (job->bytes >= bytes_max || RARELY(FLUSH_OF_FEW_ENTRIES)) break;
    }
    if (index == log->durable_index) return false;
    job->start = cache__point(&log->cache, log->durable_index);
    job->end = cache__point(&log->cache, index);
    const struct segment_writer *writer = &log->writer;
    job->write_pos = align_up(writer->end_pos, writer->sector_bytes);
    if (PLANTED(L4_WRITE_TOUCHES_SYNCED_SECTOR)) job->write_pos = writer->end_pos;
    bool is_boundary = log->roll_wanted && log->roll_index == log->durable_index;
    if (writer->end_pos == SEGMENT_DATA_POS) {
        job->roll = false;
        if (is_boundary) log->roll_wanted = false; /* it is one already */
    } else {
        job->roll = is_boundary || job->write_pos + job->bytes > log->options.segment_bytes_max;
        if (RARELY(SEGMENT_ROLLS_EARLY)) job->roll = true;
    }
    if (job->roll) job->write_pos = SEGMENT_DATA_POS;
    freeze_points(log, job);
    if (log->attempted_index < index) log->attempted_index = index;
    return true;
}

bool flush__freeze_roll(struct segment_log *log, struct segment_log_job *job)
{
    if (!log__reserve_segment(log)) return false;
    job->start = job->end = cache__point(&log->cache, log->durable_index);
    return true;
}

static uint64_t fill_step(const struct segment_log *log, uint64_t end_pos)
{
    /* Grows with the segment, so that many small groups do not take extend_bytes each. */
    uint64_t step = end_pos - SEGMENT_DATA_POS;
    if (step < FILL_STEP_MIN) step = FILL_STEP_MIN;
    return step > log->options.extend_bytes ? log->options.extend_bytes : step;
}

static uint64_t fill_target(const struct segment_log *log, uint64_t end_pos)
{
    uint64_t target = end_pos + fill_step(log, end_pos);
    if (target > log->options.segment_bytes_max) target = log->options.segment_bytes_max;
    if (target < end_pos) target = end_pos;
    return align_up(target, SEGMENT_BLOCK_BYTES);
}

bool flush__wants_fill(const struct segment_log *log)
{
    const struct segment_writer *writer = &log->writer;
    if (log->options.extend_bytes == 0 || log->full) return false;
    if (fill_target(log, writer->end_pos) <= writer->filled_pos) return false;
    return writer->filled_pos - writer->end_pos < fill_step(log, writer->end_pos) / 2;
}

void flush__run_fill(struct segment_log_job *job)
{
    struct segment_writer *writer = &job->writer;
    uint64_t target = fill_target(job->log, writer->end_pos);
    if (target > writer->filled_pos + FILL_JOB_BYTES_MAX) {
        target = writer->filled_pos + FILL_JOB_BYTES_MAX;
    }
    int error = writer__zero(writer, writer->filled_pos, target);
    if (error) {
        job__fail(job, "extending the segment failed", error);
        return;
    }
    error = writer__sync(writer, &job->count);
    if (error) {
        job__fail(job, "syncing the extended segment failed", error);
        job->status = SEGMENT_LOG_IO;
        return;
    }
    writer->filled_pos = target;
    job__measure_space(job);
}

/* When the records passed the end of the filled part: fill the next stretch with the same sync, so that under load every
 * step is paid once and the appends behind it go into written blocks. */
static bool fill_behind(struct segment_log_job *job, uint64_t end_pos)
{
    struct segment_writer *writer = &job->writer;
    if (end_pos <= writer->filled_pos) return true;
    writer->filled_pos = end_pos;
    if (job->log->options.extend_bytes == 0) return true;
    uint64_t target = fill_target(job->log, end_pos);
    int error = writer__zero(writer, end_pos, target);
    if (!error) {
        writer->filled_pos = target;
    } else if (!error__is_full(error)) {
        return job__fail(job, "extending the segment failed", error);
    }
    return true;
}

static bool write_records(struct segment_log_job *job)
{
    struct segment_writer *writer = &job->writer;
    assert(job->write_pos % writer->sector_bytes == 0 || PLANTED(L4_WRITE_TOUCHES_SYNCED_SECTOR));
    int error = disk_pwritev(writer->file, job->parts, (int)job->parts_count, job->write_pos);
    uint64_t end_pos = job->write_pos + job->bytes;
    if (error && PLANTED(B34_FULL_DISK_LEAVES_A_GAP)) writer->end_pos = end_pos;
    if (error) {
        writer->is_unclean = !PLANTED(L11_WRITE_WITHOUT_ROOM_STAYS);
        return job__fail(job, "writing records failed", error);
    }
    if (!fill_behind(job, end_pos)) return false;
    if (PLANTED(B29_MARK_TELLS_OF_MORE)) {
        struct segment_mark early = {.end_pos = end_pos, .point = job->end};
        error = writer__write_mark(writer, job->log->seed, &early);
        if (error) return job__fail(job, "writing the synced mark failed", error);
    }
    error = PLANTED(L5_RECORDS_UNSYNCED) ? 0 : writer__sync(writer, &job->count);
    if (error) {
        job__fail(job, "syncing records failed", error);
        job->status = SEGMENT_LOG_IO;
        return false;
    }
    writer->end_pos = end_pos;
    job->bytes_written = job->bytes;
    return true;
}

void flush__run(struct segment_log_job *job)
{
    if (job->roll && !roll__run(job)) return;
    if (!write_records(job)) return;
    struct segment_mark mark = {.end_pos = job->writer.end_pos, .point = job->end};
    if (PLANTED(L5_ACK_BEFORE_MARK)) return;
    int error = writer__write_mark(&job->writer, job->log->seed, &mark);
    if (error) {
        job__fail(job, "writing the synced mark failed", error);
        /* The records are synced but may not be told of: no state that a retry could start from. */
        job->status = SEGMENT_LOG_IO;
        return;
    }
    job__measure_space(job);
}

static void take_over_roll(struct segment_log *log, const struct segment_log_job *job)
{
    struct segment segment;
    /* The log's list has room (freeze); the points array is small, and without it the process cannot go on. */
    if (!segment__init(&segment, &job->rolled_header)) abort();
    assert(log->segments_count < log->segments_capacity);
    segment.file_bytes = job->writer.filled_pos;
    log->segments[log->segments_count++] = segment;
}

void flush__release(struct segment_log_job *job)
{
    for (uint32_t i = 0; i < job->parts_count; i++) {
        chunk__unref(job->chunks[i]);
    }
    job->parts_count = 0;
}

void flush__finish(struct segment_log *log, struct segment_log_job *job)
{
    if (job->rolled) {
        take_over_roll(log, job);
        if (log->roll_index <= job->rolled_header.base.index) log->roll_wanted = false;
        log->seal_refused = false;
        seal__plan(log);
    }
    if (job->status != SEGMENT_LOG_OK) return;
    struct segment *segment = &log->segments[log->segments_count - 1];
    segment->last_index = job->end.index;
    segment->end_pos = job->writer.end_pos;
    for (uint32_t i = 0; i < job->points_count; i++) {
        segment__add_point(segment, job->points[i].pos, &job->points[i].before);
    }
    /* A truncation that came meanwhile takes back what it cut (L7); its own job follows. */
    uint64_t durable_index = job->end.index;
    bool is_cut = durable_index >= log->cut_lowest_index;
    if (is_cut && !PLANTED(L7_CUT_WRITE_IS_DURABLE)) durable_index = log->cut_lowest_index - 1;
    if (durable_index > log->last.index) durable_index = log->last.index;
    if (durable_index <= log->durable_index) return;
    for (uint64_t i = log->durable_index + 1; i <= durable_index; i++) {
        log->unflushed_bytes -= cache__meta(&log->cache, i)->bytes;
    }
    log->durable_index = durable_index;
    cache__evict(&log->cache, durable_index);
}
