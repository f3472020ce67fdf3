/* The owner's side of a repair session (session.h). */
#include "session.h"

#include <planted/planted.h>

#include "entry.h"
#include "log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Entries in memory that the log supplies itself, at once. */
#define OWN_SUPPLY_BYTES 4194304u

void repair__forget_configurations(struct segment_log_repair_job *job)
{
    while (job->configurations) {
        struct repair_configuration *next = job->configurations->next;
        free(job->configurations);
        job->configurations = next;
    }
    job->configurations_tail = &job->configurations;
}

static void destroy(struct segment_log_repair_job *job)
{
    if (!job) return;
    disk_close(job->old_file);
    disk_close(job->new_file);
    scan__close(&job->scan);
    scan__close(&job->check);
    segment__close(&job->fresh);
    free(job->supply);
    free(job->buffer);
    free(job->terms);
    free(job->known_terms);
    repair__forget_configurations(job);
    free(job);
}

static uint32_t find_position(const struct segment_log *log, uint64_t sequence)
{
    assert(sequence >= log->segments[0].sequence);
    assert(sequence - log->segments[0].sequence < log->segments_count);
    return (uint32_t)(sequence - log->segments[0].sequence);
}

static bool is_last(const struct segment_log *log, const struct segment_log_repair_job *job)
{
    return find_position(log, job->header.sequence) + 1 == log->segments_count;
}

/* The segment is closed: from here on it stays as it is until it is replaced, cut or dropped. */
static void start_building(const struct segment_log *log, struct segment_log_repair_job *job)
{
    const uint32_t position = find_position(log, job->header.sequence);
    const struct segment *segment = &log->segments[position];
    job->header.sector_bytes = segment->sector_bytes;
    job->header.base = segment->base;
    job->end = log->segments[position + 1].base;
    /* Where the records ended; the file of a lost one may hold some all the same. */
    job->old_limit_pos = segment->missing ? UINT64_MAX : segment->end_pos;
    for (uint32_t i = 0; i < log->holes_count; i++) {
        const struct hole *hole = &log->holes[i];
        if (hole->told.segment != segment->sequence || !hole->distrusted) continue;
        if (job->distrust_first == 0) job->distrust_first = hole->told.first_index;
        job->distrust_last = hole->told.last_index;
    }
    job->scan.at = segment->base;
    job->phase = REPAIR_BUILDS;
    /* Without memory for it the chain alone proves: should old records lead it astray, the session ends without a result. */
    (void)log__copy_trail(log, segment->base.index + 1, job->end.index, &job->known_terms,
                          &job->trail);
}

static bool name_files(const struct segment_log *log, struct segment_log_repair_job *job)
{
    memcpy(job->directory, log->directory, sizeof job->directory);
    log__segment_path(log, job->header.sequence, job->path);
    int length = snprintf(job->new_path, sizeof job->new_path, "%s.new", job->path);
    return length > 0 && (size_t)length < sizeof job->new_path;
}

enum segment_log_status segment_log_repair_begin(struct segment_log *log, uint64_t index,
                                                 segment_log_configuration_cb on_configuration,
                                                 void *on_configuration_data)
{
    if (log->broken) return SEGMENT_LOG_IO;
    if (log->repair) {
        assert(log->repair->forgotten);
        return SEGMENT_LOG_SUPERSEDED;
    }
    const struct hole *hole = holes__from(log, index);
    if (!hole) return SEGMENT_LOG_OUT_OF_RANGE;
    struct segment_log_repair_job *job = calloc(1, sizeof *job);
    if (!job) return SEGMENT_LOG_IO;
    const struct segment *segment = &log->segments[find_position(log, hole->told.segment)];
    job->header = log__header_of(log, segment);
    job->disk = log->options.disk;
    job->seed = log->seed;
    job->on_configuration = on_configuration;
    job->on_configuration_data = on_configuration_data;
    job->configurations_tail = &job->configurations;
    job->scan.at = segment->base;
    if (!name_files(log, job)) {
        free(job);
        return SEGMENT_LOG_IO;
    }
    job->phase = REPAIR_ROLLS;
    if (!is_last(log, job)) start_building(log, job);
    log->repair = job;
    return SEGMENT_LOG_OK;
}

/* What the new file ends with stands in the hole, and comes from the old one: with the same term on both sides it is the log's (log
 * matching), else it may be an old one. */
static bool is_doubted(const struct segment_log_repair_job *job, const struct hole *hole)
{
    return job->at_is_local && !hole->distrusted && !hole->told.terms_known &&
           hole->told.first_index <= job->scan.at.index;
}

void segment_log_repair_info(const struct segment_log *log,
                             struct segment_log_repair_info *ret_info)
{
    const struct segment_log_repair_job *job = log->repair;
    *ret_info = (struct segment_log_repair_info){.state = SEGMENT_LOG_REPAIR_NONE};
    if (!job || job->forgotten) return;
    const bool is_building = job->phase != REPAIR_ROLLS;
    *ret_info = (struct segment_log_repair_info){
        .state = SEGMENT_LOG_REPAIR_WORKS,
        .segment = job->header.sequence,
        .first_index = job->header.base.index + 1,
        .last_index = is_building ? job->end.index : log->durable_index,
        .supplied_count = job->supplied_count,
        .supplied_bytes = job->supplied_bytes,
    };
    if (job->outstanding || job->replacing) return; /* what it does is not for this thread to see */
    ret_info->at_index = job->scan.at.index;
    if (job->phase == REPAIR_ENDED) {
        ret_info->state = SEGMENT_LOG_REPAIR_ENDED;
        ret_info->status = job->status;
        if (job->status != SEGMENT_LOG_OK) ret_info->problem = job->problem;
    } else if (job->wants) {
        ret_info->state = SEGMENT_LOG_REPAIR_WANTS;
        ret_info->want_before = job->scan.at;
        ret_info->want_first = job->scan.at.index + 1;
        ret_info->want_last = job->want_last;
        const struct hole *hole = holes__from(log, ret_info->want_first);
        ret_info->is_doubted = hole && is_doubted(job, hole);
    }
}

/* ---- supplies ----------------------------------------------------------------------------------------- */

/* Entries that follow `at` one by one, through last_index: how many bytes and entries. */
static enum segment_log_status check_supply(const struct segment_log_repair_job *job,
                                            const uint8_t *encoded, size_t bytes, size_t *ret_bytes,
                                            uint64_t *ret_count)
{
    struct segment_log_point at = job->scan.at;
    size_t pos = 0;
    while (pos < bytes && at.index < job->want_last) {
        struct entry_header header;
        const uint8_t *payload;
        if (entry_decode(encoded + pos, bytes - pos, job->seed, &header, &payload) !=
                ENTRY_DECODE_OK ||
            header.index != at.index + 1) {
            return SEGMENT_LOG_BAD_ENTRY;
        }
        if (header.chain != entry_chain(&header, at.chain)) return SEGMENT_LOG_BROKEN_CHAIN;
        if (header.term < at.term || header.base_offset != at.next_offset ||
            header.timestamp_ms < at.timestamp_ms) {
            return SEGMENT_LOG_BAD_ENTRY;
        }
        at = scan__point_behind(&header);
        pos += entry_bytes(header.payload_bytes);
    }
    *ret_bytes = pos;
    *ret_count = at.index - job->scan.at.index;
    return *ret_count > 0 ? SEGMENT_LOG_OK : SEGMENT_LOG_BAD_ENTRY;
}

enum segment_log_status segment_log_repair_supply(struct segment_log *log, const uint8_t *encoded,
                                                  size_t bytes)
{
    struct segment_log_repair_job *job = log->repair;
    assert(job && job->wants);
    assert(!job->outstanding);
    assert(!job->supply);
    if (bytes > SEGMENT_LOG_REPAIR_SUPPLY_MAX) return SEGMENT_LOG_BAD_ENTRY;
    size_t taken;
    uint64_t count;
    enum segment_log_status status = check_supply(job, encoded, bytes, &taken, &count);
    if (status != SEGMENT_LOG_OK) return status;
    job->supply = malloc(taken);
    if (!job->supply) return SEGMENT_LOG_IO;
    memcpy(job->supply, encoded, taken);
    job->supply_bytes = taken;
    job->supply_done = 0;
    job->supplied_count += count;
    job->supplied_bytes += taken;
    job->wants = false;
    return SEGMENT_LOG_OK;
}

/* What is wanted may still be in memory. */
static void supply_from_memory(struct segment_log *log, struct segment_log_repair_job *job)
{
    const uint64_t first = job->scan.at.index + 1;
    if (!cache__has(&log->cache, first)) return;
    uint64_t last = job->want_last;
    if (!cache__has(&log->cache, last)) last = log->last.index;
    struct segment_log_view view;
    log__view(log, first, last, OWN_SUPPLY_BYTES, &view);
    uint8_t *encoded = malloc(view.bytes_total);
    size_t bytes = 0;
    for (uint32_t i = 0; encoded && i < view.parts_count; i++) {
        memcpy(encoded + bytes, view.parts[i].bytes, view.parts[i].bytes_count);
        bytes += view.parts[i].bytes_count;
    }
    segment_log_view_release(&view);
    size_t taken;
    uint64_t count;
    if (encoded && check_supply(job, encoded, bytes, &taken, &count) == SEGMENT_LOG_OK) {
        job->supply = encoded;
        job->supply_bytes = taken;
        job->supply_done = 0;
        job->wants = false;
    } else {
        free(encoded);
    }
}

/* ---- pieces ------------------------------------------------------------------------------------------- */

struct segment_log_repair_job *segment_log_repair_next_job(struct segment_log *log)
{
    struct segment_log_repair_job *job = log->repair;
    if (!job || log->broken || job->outstanding || job->replacing || job->wants) return NULL;
    if (job->phase == REPAIR_ROLLS && !is_last(log, job)) start_building(log, job);
    if (job->phase != REPAIR_BUILDS && job->phase != REPAIR_CHECKS) return NULL;
    job->outstanding = true;
    return job;
}

void segment_log_repair_job_run(struct segment_log_repair_job *job)
{
    if (job->phase == REPAIR_BUILDS) {
        repair__run_build(job);
    } else {
        repair__run_check(job);
    }
}

/* Nothing of it is out: free it, or tell that it ended. */
static void settle(struct segment_log *log)
{
    struct segment_log_repair_job *job = log->repair;
    if (job->outstanding || job->replacing) return;
    if (job->forgotten) {
        destroy(job);
        log->repair = NULL;
        return;
    }
    if (job->given_up && job->phase != REPAIR_ENDED) {
        repair__end_with(job, SEGMENT_LOG_SUPERSEDED, 0, 0, "the segment was cut or dropped");
    }
}

/* Nobody supplied anything, and what was found in the file does not lead to what stands behind: old ones are among it. */
static void distrust_file(struct segment_log *log, const struct segment_log_repair_job *job)
{
    for (uint32_t i = 0; i < log->holes_count; i++) {
        struct hole *hole = &log->holes[i];
        if (hole->told.segment == job->header.sequence) hole->distrusted = true;
    }
}

void segment_log_repair_job_finish(struct segment_log *log, struct segment_log_repair_job *job)
{
    assert(job == log->repair);
    assert(job->outstanding);
    job->outstanding = false;
    const bool has_ended = job->phase == REPAIR_ENDED;
    if (has_ended && job->status == SEGMENT_LOG_IO) log->broken = true;
    if (has_ended && job->status == SEGMENT_LOG_BROKEN_CHAIN && job->supplied_count == 0) {
        distrust_file(log, job);
    }
    if (job->wants && !job->given_up && !job->forgotten) supply_from_memory(log, job);
    settle(log);
}

void segment_log_repair_end(struct segment_log *log)
{
    if (!log->repair) return;
    log->repair->forgotten = true;
    settle(log);
}

void repair__give_up(struct segment_log *log, uint64_t first, uint64_t end)
{
    struct segment_log_repair_job *job = log->repair;
    if (!job || job->header.sequence < first || job->header.sequence >= end) return;
    if (job->replacing) return; /* the cut comes behind it, and finds the new file */
    job->given_up = true;
    settle(log);
}

void repair__close(struct segment_log *log)
{
    assert(!log->repair || !log->repair->outstanding);
    destroy(log->repair);
    log->repair = NULL;
}

/* ---- write jobs --------------------------------------------------------------------------------------- */

bool repair__wants_roll(const struct segment_log *log)
{
    const struct segment_log_repair_job *job = log->repair;
    return job && job->phase == REPAIR_ROLLS && !job->forgotten && is_last(log, job);
}

bool repair__freeze_replace(struct segment_log *log)
{
    struct segment_log_repair_job *job = log->repair;
    if (!job || job->outstanding || job->forgotten || job->phase != REPAIR_READY) return false;
    /* A piece of sealing has the old file open. Sealing starts again with the new one. */
    if (seal__is_busy_from(log, job->header.sequence)) return false;
    seal__give_up(log, job->header.sequence, job->header.sequence + 1);
    job->replacing = true;
    return true;
}

void repair__run_replace(struct segment_log_job *write)
{
    struct segment_log_repair_job *job = write->log->repair;
    disk_close(job->old_file);
    disk_close(job->new_file);
    job->old_file = job->new_file = NULL;
    int error = disk_rename(job->disk, job->new_path, job->path);
    if (!error) error = disk_sync_directory(job->disk, job->directory);
    if (!error) return;
    /* Also without room: the name may be the old file's or the new one's. */
    problem__set(&write->problem, job->path, 0, job->header.base.index + 1, error,
                 "putting the repaired segment in place failed");
    write->status = SEGMENT_LOG_IO;
}

static void tell_configurations(const struct segment_log *log, struct segment_log_repair_job *job,
                                uint64_t last_index)
{
    for (const struct repair_configuration *at = job->configurations; at; at = at->next) {
        const struct hole *hole = holes__from(log, at->index);
        if (at->index > last_index || !hole || hole->told.first_index > at->index) continue;
        if (hole->told.configurations_known) continue;
        job->on_configuration(job->on_configuration_data, at->index, at->payload,
                              at->payload_bytes);
    }
}

void segment_log_repair_settle(struct segment_log *log, bool are_believed)
{
    struct segment_log_repair_job *job = log->repair;
    assert(job && job->wants && !job->outstanding);
    struct hole *hole = &log->holes[holes__from(log, job->scan.at.index + 1) - log->holes];
    assert(is_doubted(job, hole));
    if (!are_believed) {
        hole->distrusted = true;
        return;
    }
    /* What was supplied is not in this file yet. */
    if (job->supplied_count > 0 || hole->told.first_damaged == hole->told.first_index) return;
    /* A cut may follow, and then there is no hole to tell that terms are missing. Without memory for them it is not believed. */
    if (!PLANTED(D4_BELIEVED_ENTRIES_HAVE_NO_TERMS) &&
        !log__replace_runs(log, job->header.base.index + 1, job->scan.at.index, job->terms,
                           job->terms_count)) {
        return;
    }
    if (job->on_configuration) tell_configurations(log, job, job->scan.at.index);
    holes__believe(hole, &job->scan.at);
}

/* The file is in place. What was cut while the write job was under way is not in it for long. */
static void take_over(struct segment_log *log, struct segment_log_repair_job *job)
{
    struct segment *segment = &log->segments[find_position(log, job->header.sequence)];
    assert(job->fresh.last_index == segment->last_index);
    segment__close(segment);
    *segment = job->fresh;
    job->fresh.points = NULL;
    index_cache__forget(&log->indexes, segment->sequence, segment->sequence + 1);
    log->replaces_total++;
    uint64_t last_index = segment->last_index;
    if (last_index > log->last.index) last_index = log->last.index;
    if (log->cut_pending && last_index > log->cut.index) last_index = log->cut.index;
    while (job->terms_count > 0 && job->terms[job->terms_count - 1].first_index > last_index) {
        job->terms_count--;
    }
    /* Without memory for it the terms of the hole stay unknown, which they were. */
    (void)log__replace_runs(log, segment->base.index + 1, last_index, job->terms, job->terms_count);
    if (job->on_configuration && !job->forgotten) tell_configurations(log, job, last_index);
    holes__forget_segment(log, segment->sequence);
    seal__plan(log);
}

void repair__finish_replace(struct segment_log *log, struct segment_log_job *write)
{
    struct segment_log_repair_job *job = log->repair;
    job->replacing = false;
    if (!write->ran) return settle(log);
    job->phase = REPAIR_ENDED;
    job->status = write->status;
    job->problem = write->problem;
    if (write->status == SEGMENT_LOG_OK) {
        write->repaired_segment = job->header.sequence;
        take_over(log, job);
    }
    settle(log);
}
