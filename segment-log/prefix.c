/* Where a log starts: dropping a prefix behind a base, and starting anew behind an installed one (PROTOCOL S2, S3, S5).
 *
 * Both end in whole files that are removed by a job of their own, before anything else is written:
 *
 *   drop     memory first: segments, term runs, base; then the files, oldest first, the directory synced behind each. The
 *            names that are left after a crash are then always the newest ones, without a hole.
 *   install  birth of a segment that says so in its header (roll.c); the caller publishes the base; then memory; then the
 *            old files. While both are there nothing stands behind the installed base, and nothing that the log got since
 *            the birth is on the disk. So the new segment, once its base is published, decides (recovery.c). */
#include "log.h"

#include <rare/rare.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REMOVES_MAX 2u /* segments that one job drops */

uint64_t segment_log_roll(struct segment_log *log)
{
    log->roll_wanted = true;
    log->roll_index = log->last.index;
    return log->roll_index;
}

/* ---- dropping ---------------------------------------------------------------------------------------- */

void segment_log_drop_prefix(struct segment_log *log, uint64_t base_index)
{
    assert(base_index <= log->durable_index);
    if (base_index > log->drop_index) log->drop_index = base_index;
}

static uint32_t droppable(const struct segment_log *log)
{
    const uint64_t held = read_job__lowest_sequence(log);
    uint32_t count = 0;
    while (count + 1 < log->segments_count && log->segments[count].sequence < held &&
           log->segments[count + 1].base.index <= log->drop_index) {
        count++;
    }
    return count;
}

static void drop_runs(struct segment_log *log, uint64_t first_index)
{
    uint32_t gone = 0;
    while (gone + 1 < log->runs_count && log->runs[gone + 1].first_index <= first_index) {
        gone++;
    }
    log->runs_count -= gone;
    memmove(log->runs, log->runs + gone, log->runs_count * sizeof *log->runs);
    if (log->runs_count == 0) return;
    if (log->runs[0].first_index < first_index) log->runs[0].first_index = first_index;
    if (first_index > log->last.index) log->runs_count = 0;
}

static void drop_segments(struct segment_log *log, uint32_t count)
{
    log->doomed_from = log->segments[0].sequence;
    log->doomed_to = log->segments[count].sequence;
    seal__give_up(log, log->doomed_from, log->doomed_to);
    repair__give_up(log, log->doomed_from, log->doomed_to);
    for (uint32_t i = 0; i < count; i++) {
        segment__close(&log->segments[i]);
    }
    log->segments_count -= count;
    memmove(log->segments, log->segments + count, log->segments_count * sizeof *log->segments);
    log->base = log->segments[0].base;
    holes__drop(log, log->base.index);
    drop_runs(log, log->base.index + 1);
    seal__plan(log);
}

bool prefix__freeze(struct segment_log *log)
{
    /* Each file takes an unlink and a sync of the directory: few at a time, and what was appended has its turn between. */
    const bool waits = log->removed_last && log->durable_index < log->last.index;
    if (log->doomed_from == log->doomed_to && log->drop_index > log->base.index && !waits) {
        uint32_t count = droppable(log);
        if (count > 0 && RARELY(PREFIX_DROP_WAITS)) count = 0;
        if (count > REMOVES_MAX) count = REMOVES_MAX;
        if (count > 0) drop_segments(log, count);
    }
    return log->doomed_from != log->doomed_to;
}

void prefix__run_remove(struct segment_log_job *job)
{
    const struct segment_log *log = job->log;
    for (uint64_t sequence = log->doomed_from; sequence < log->doomed_to; sequence++) {
        char path[DISK_PATH_MAX];
        log__segment_path(log, sequence, path);
        int error = disk_unlink(log->options.disk, path);
        if (error == -ENOENT) error = 0; /* lost before */
        if (!error) error = disk_sync_directory(log->options.disk, log->directory);
        if (!error) continue;
        problem__set(&job->problem, path, 0, 0, error, "removing a dropped segment failed");
        job->status = SEGMENT_LOG_IO; /* also without room: a name may be there or not */
        return;
    }
}

void prefix__finish_remove(struct segment_log *log)
{
    log->doomed_from = log->doomed_to = 0;
    log->removed_last = true;
}

/* ---- installing -------------------------------------------------------------------------------------- */

void segment_log_install(struct segment_log *log, const struct segment_log_point *base)
{
    assert(log->install == INSTALL_NONE);
    assert(base->index > 0);
    log->install = INSTALL_WANTED;
    log->install_base = *base;
}

void prefix__run_birth(struct segment_log_job *job)
{
    const struct segment_log *log = job->log;
    job->born_header = (struct segment_header){
        .cluster = log->options.cluster,
        .group = log->options.group,
        .sequence = job->writer.sequence + 1,
        .base = log->install_base,
        .sector_bytes = log->options.sector_bytes,
        .installed = true,
    };
    int error =
        roll__birth(&log->options, &job->born_header, &job->born, &job->count, &job->problem);
    if (error) job->status = error__is_full(error) ? SEGMENT_LOG_FULL : SEGMENT_LOG_IO;
}

void prefix__finish_birth(struct segment_log *log, const struct segment_log_job *job)
{
    if (job->status != SEGMENT_LOG_OK) {
        log->install = INSTALL_NONE;
        return;
    }
    log->install = INSTALL_BORN;
    log->install_writer = job->born;
    log->install_header = job->born_header;
}

static void start_anew(struct segment_log *log)
{
    const struct segment_log_point *base = &log->install_base;
    log->doomed_from = log->segments[0].sequence;
    log->doomed_to = log->install_header.sequence;
    seal__give_up(log, log->doomed_from, log->doomed_to);
    repair__give_up(log, log->doomed_from, log->doomed_to);
    for (uint32_t i = 0; i < log->segments_count; i++) {
        segment__close(&log->segments[i]);
    }
    /* There is room for one; without the small array of points the process cannot go on. */
    if (!segment__init(&log->segments[0], &log->install_header)) abort();
    log->segments[0].file_bytes = log->install_writer.filled_pos;
    log->segments_count = 1;
    seal__plan(log);
    disk_close(log->writer.file);
    log->writer = log->install_writer;
    log->base = log->last = *base;
    log->durable_index = log->attempted_index = base->index;
    log->unflushed_bytes = 0;
    log->runs_count = 0;
    holes__forget_all(log);
    cache__reset(&log->cache, base);
    log->roll_wanted = false;
    log->drop_index = 0;
    log->cut_pending = log->cut_failed = false;
    log->cuts_total++; /* what reads found in the old files counts for nothing */
}

bool segment_log_is_installing(const struct segment_log *log)
{
    return log->install != INSTALL_NONE;
}

void segment_log_install_end(struct segment_log *log, bool replace)
{
    assert(!log->job_outstanding);
    assert(!replace || log->install == INSTALL_BORN);
    if (log->install == INSTALL_BORN) {
        assert(log->doomed_from == log->doomed_to);
        if (replace) {
            start_anew(log);
        } else {
            disk_close(log->install_writer.file);
            log->doomed_from = log->install_header.sequence;
            log->doomed_to = log->doomed_from + 1;
        }
        log->install_writer.file = NULL;
    }
    log->install = INSTALL_NONE;
    log__check(log);
}
