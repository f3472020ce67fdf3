/* Which disk work comes next, and the frame around doing it. */
#include "log.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include <assert.h>
#include <string.h>

/* Free space at which a log that was full takes entries again, whatever the reserve. */
#define SPACE_BYTES_MIN 65536u

bool job__fail(struct segment_log_job *job, const char *what, int error)
{
    char path[DISK_PATH_MAX];
    log__segment_path(job->log, job->writer.sequence, path);
    problem__set(&job->problem, path, job->writer.end_pos, job->start.index + 1, error, "%s", what);
    job->status = error__is_full(error) ? SEGMENT_LOG_FULL : SEGMENT_LOG_IO;
    return false;
}

void job__measure_space(struct segment_log_job *job)
{
    const struct segment_log_options *options = &job->log->options;
    if (options->reserve_bytes == 0 && job->kind != JOB_CHECK_SPACE && !job->log->full) return;
    uint64_t bytes;
    /* Not to know is no reason to refuse: the write itself will tell. */
    if (disk_free_bytes(options->disk, options->directory, &bytes) != 0) return;
    job->free_bytes = bytes;
    job->free_known = true;
}

static void reset(struct segment_log *log, enum job_kind kind)
{
    struct segment_log_job *job = &log->job;
    *job = (struct segment_log_job){
        .log = log,
        .kind = kind,
        .writer = log->writer,
        .status = SEGMENT_LOG_OK,
        .parts = job->parts,
        .chunks = job->chunks,
        .parts_capacity = job->parts_capacity,
        .points = job->points,
        .points_capacity = job->points_capacity,
    };
}

static bool freeze(struct segment_log *log, bool idle)
{
    struct segment_log_job *job = &log->job;
    if (log->cut_failed) {
        log->cut_failed = false;
        reset(log, JOB_TRUNCATE);
        job->status = SEGMENT_LOG_IO;
        job->problem = log->cut_problem;
        return true;
    }
    if (log->broken || log->install == INSTALL_BORN) return false;
    if (prefix__freeze(log)) {
        reset(log, JOB_REMOVE);
        return true;
    }
    if (log->install == INSTALL_WANTED) {
        reset(log, JOB_BIRTH);
        return true;
    }
    bool overtakes = PLANTED(B28_WRITE_OVERTAKES_CUT) && log->durable_index < log->last.index;
    if (log->cut_pending && !overtakes) {
        if (truncate__has_to_wait(log) || RARELY(CUT_WAITS)) return false;
        reset(log, JOB_TRUNCATE);
        truncate__freeze(log, job);
        return true;
    }
    if (repair__freeze_replace(log)) {
        reset(log, JOB_REPLACE);
        return true;
    }
    if (repair__wants_roll(log)) {
        reset(log, JOB_ROLL);
        return flush__freeze_roll(log, job);
    }
    if (log->scrub.mend_wanted) {
        reset(log, JOB_MEND);
        if (scrub__freeze_mend(log, job)) return true;
    }
    if (log->durable_index < log->last.index) {
        log->removed_last = false;
        reset(log, JOB_FLUSH);
        return flush__freeze(log, job);
    }
    if (flush__wants_fill(log)) {
        reset(log, JOB_FILL);
        return true;
    }
    if (log->writer.mark_unsynced && (idle || RARELY(MARK_IS_SYNCED_EARLY))) {
        reset(log, JOB_SYNC);
        return true;
    }
    if (log->full && log->space_wanted) {
        log->space_wanted = false;
        reset(log, JOB_CHECK_SPACE);
        return true;
    }
    return false;
}

struct segment_log_job *segment_log_next_job(struct segment_log *log, bool idle)
{
    if (log->job_outstanding) return NULL;
    log->cut_lowest_index = UINT64_MAX;
    if (!freeze(log, idle)) return NULL;
    log->job_outstanding = true;
    return &log->job;
}

/* A cut does so itself: it may go on in another file. */
static bool writes_behind_the_end(const struct segment_log_job *job)
{
    return job->kind == JOB_FLUSH || job->kind == JOB_ROLL || job->kind == JOB_MEND;
}

void segment_log_job_run(struct segment_log_job *job)
{
    job->ran = true;
    if (job->status != SEGMENT_LOG_OK) return;
    int error = writes_behind_the_end(job) ? writer__clean(&job->writer, &job->count) : 0;
    if (error) {
        job__fail(job, "overwriting what had no room failed", error);
        return;
    }
    switch (job->kind) {
    case JOB_REMOVE:
        prefix__run_remove(job);
        break;
    case JOB_BIRTH:
        prefix__run_birth(job);
        break;
    case JOB_TRUNCATE:
        truncate__run(job);
        break;
    case JOB_REPLACE:
        repair__run_replace(job);
        break;
    case JOB_ROLL:
        (void)roll__run(job); /* job->status tells */
        break;
    case JOB_MEND:
        scrub__run_mend(job);
        break;
    case JOB_FLUSH:
        flush__run(job);
        break;
    case JOB_FILL:
        flush__run_fill(job);
        break;
    case JOB_SYNC:
        error = writer__sync(&job->writer, &job->count);
        if (!error) break;
        job__fail(job, "syncing the mark failed", error);
        job->status = SEGMENT_LOG_IO;
        break;
    case JOB_CHECK_SPACE:
        job__measure_space(job);
        break;
    }
}

bool segment_log_job_has_failed(const struct segment_log_job *job)
{
    return job->status != SEGMENT_LOG_OK;
}

static void note_space(struct segment_log *log, const struct segment_log_job *job)
{
    if (job->status == SEGMENT_LOG_FULL) {
        log->full = true;
        return;
    }
    if (!job->free_known) return;
    uint64_t least = log->options.reserve_bytes;
    if (log->full && least < SPACE_BYTES_MIN) least = SPACE_BYTES_MIN;
    if (log->full && job->free_bytes >= least) log->seal_refused = false;
    log->full = job->free_bytes < least;
}

static void take_over(struct segment_log *log, struct segment_log_job *job)
{
    log->writer = job->writer;
    log->syncs_total += job->count.syncs;
    if (job->count.syncs > 0) log->sync_us_last = job->count.last_us;
    if (job->kind == JOB_FLUSH || job->kind == JOB_ROLL) flush__finish(log, job);
    if (job->kind == JOB_TRUNCATE) truncate__finish(log, job);
    if (job->kind == JOB_MEND) scrub__finish_mend(log, job);
    if (job->kind == JOB_REMOVE) prefix__finish_remove(log);
    if (job->kind == JOB_BIRTH) prefix__finish_birth(log, job);
    log->segments[log->segments_count - 1].file_bytes = log->writer.filled_pos;
    note_space(log, job);
    if (job->status == SEGMENT_LOG_IO) log->broken = true;
}

void segment_log_job_finish(struct segment_log *log, struct segment_log_job *job,
                            struct segment_log_job_result *ret_result)
{
    assert(log->job_outstanding);
    assert(job == &log->job);
    log->job_outstanding = false;
    if (job->kind == JOB_FLUSH) flush__release(job);
    if (job->ran) {
        take_over(log, job);
    } else if (job->kind == JOB_TRUNCATE && job->status == SEGMENT_LOG_OK) {
        truncate__put_back(log, job);
    }
    if (job->kind == JOB_REPLACE) repair__finish_replace(log, job);
    *ret_result = (struct segment_log_job_result){
        .status = job->status,
        .durable_index = log->durable_index,
        .durable_term = log__term_at(log, log->durable_index),
        .born = job->kind == JOB_BIRTH && job->ran && job->status == SEGMENT_LOG_OK,
        .repaired_segment = job->repaired_segment,
        .bytes_written = job->bytes_written,
        .sync_us = job->count.last_us,
    };
    if (job->status != SEGMENT_LOG_OK) ret_result->problem = job->problem;
    if (!log->broken) log__check(log);
}

bool segment_log_has_unsynced_mark(const struct segment_log *log)
{
    return log->writer.mark_unsynced;
}
