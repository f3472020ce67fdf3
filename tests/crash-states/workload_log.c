/* The log of the replica: entries, cuts, and its disk work. */
#include "workload_private.h"

#include <segment_log/repair.h>

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOAD_BYTES_MAX 24000u

/* ---- entries ----------------------------------------------------------------------------------------------------- */

static void put_big(uint8_t *bytes, uint64_t value, int count)
{
    for (int i = 0; i < count; i++) {
        bytes[i] = (uint8_t)(value >> (8 * (count - 1 - i)));
    }
}

static void fill_payload(struct workload *w, uint8_t *payload, uint32_t bytes, enum entry_type type,
                         uint64_t base_offset)
{
    uint64_t word = workload__draw(w, UINT64_MAX);
    for (uint32_t i = 0; i < bytes; i++) {
        word = word * 6364136223846793005u + 1442695040888963407u;
        payload[i] = (uint8_t)(word >> 56);
    }
    /* Zeros are also what a file has where nothing was written. */
    if (workload__draw(w, 2)) {
        const uint64_t from = bytes > 16 ? 16 + workload__draw(w, bytes - 16) : bytes;
        memset(payload + from, 0, bytes - from);
    }
    if (type != ENTRY_DATA) return;
    put_big(payload, base_offset, 8);
    put_big(payload + 8, bytes - 12u, 4);
    put_big(payload + 12, w->term, 4);
}

static enum entry_type draw_type(struct workload *w, uint32_t *bytes)
{
    switch (workload__draw(w, 12)) {
    case 0:
        *bytes = 0;
        return ENTRY_NOOP;
    case 1:
        return ENTRY_CONFIG;
    case 2:
        return ENTRY_OFFSETS;
    case 3:
        *bytes = 16;
        return ENTRY_TRIM;
    default:
        return ENTRY_DATA;
    }
}

static uint32_t draw_bytes(struct workload *w)
{
    if (workload__draw(w, 120) == 0) return 23000; /* larger than some segments may be */
    if (workload__draw(w, 6) == 0) return (uint32_t)(16 + workload__draw(w, 4000));
    return (uint32_t)(16 + workload__draw(w, 500));
}

bool workload__append_entry(struct workload *w, enum entry_type type, const uint8_t *payload,
                            uint32_t bytes)
{
    const struct segment_log_info before = workload__info(w);
    const struct segment_log_entry entry = {
        .type = type,
        .record_count = type == ENTRY_DATA ? 1 + (uint32_t)workload__draw(w, 3) : 0,
        .timestamp_ms = before.last_timestamp_ms + (int64_t)workload__draw(w, 20),
        .payload = payload,
        .payload_bytes = bytes,
    };
    uint64_t last_index;
    const enum segment_log_status status =
        segment_log_append(w->log, w->term, &entry, 1, &last_index);
    if (status == SEGMENT_LOG_FULL) return false;
    if (status != SEGMENT_LOG_OK) {
        workload__fail(w, "append: %s", segment_log_status_text(status));
        return false;
    }
    const struct segment_log_info after = workload__info(w);
    const struct entry_header header = {
        .type = type,
        .payload_bytes = bytes,
        .record_count = entry.record_count,
        .index = after.last_index,
        .term = w->term,
        .base_offset = before.next_offset,
        .timestamp_ms = after.last_timestamp_ms,
        .payload_hash = entry_payload_hash(type, payload, bytes),
        .chain = after.last_chain,
    };
    w->current[after.last_index] =
        history_add(&w->history, w->current[before.last_index], &header, payload);
    return true;
}

static bool append_one(struct workload *w)
{
    const struct segment_log_info info = workload__info(w);
    if (info.last_index + 1 >= INDEX_MAX) return false;
    uint32_t bytes = draw_bytes(w);
    const enum entry_type type = draw_type(w, &bytes);
    uint8_t payload[PAYLOAD_BYTES_MAX];
    assert(bytes <= sizeof payload);
    fill_payload(w, payload, bytes, type, info.next_offset);
    return workload__append_entry(w, type, payload, bytes);
}

void workload__append(struct workload *w)
{
    if (workload__draw(w, 6) == 0) w->term++;
    for (uint64_t count = 1 + workload__draw(w, 4); count > 0; count--) {
        if (!append_one(w)) return;
    }
}

void workload__cut_from(struct workload *w, uint64_t from_index)
{
    const uint64_t last_index = workload__info(w).last_index;
    for (uint64_t i = from_index; i <= last_index; i++) {
        w->history.entries[w->current[i]].is_cut = true;
    }
    segment_log_truncate(w->log, from_index);
    if (from_index <= w->boundary_index) w->boundary_index = 0;
    if (from_index <= w->trim_index) w->trim_index = 0;
    w->term++; /* what comes instead is never the same */
    w->result->kinds[WORKLOAD_CUTS]++;
}

void workload__cut(struct workload *w)
{
    const struct segment_log_info info = workload__info(w);
    uint64_t least = w->committed > info.base.index ? w->committed : info.base.index;
    if (info.last_index <= least) return;
    uint64_t back = 1 + workload__draw(w, workload__draw(w, 3) ? 6 : 90);
    if (back > info.last_index - least) back = info.last_index - least;
    uint64_t from_index = info.last_index - back + 1;
    /* Never inside of a hole: the state there is not known. */
    struct segment_log_hole hole;
    if (segment_log_hole_from(w->log, from_index - 1, &hole) && hole.first_index < from_index) {
        from_index = hole.first_index;
    }
    if (from_index > least) workload__cut_from(w, from_index);
}

/* ---- disk work --------------------------------------------------------------------------------------------------- */

/* Nothing is left to do on the disk: what was cut is gone. */
static void settle(struct workload *w)
{
    if (segment_log_is_installing(w->log) || w->is_sealing) return;
    for (uint32_t i = 0; i < w->history.count; i++) {
        struct past_entry *entry = &w->history.entries[i];
        if (entry->is_cut) entry->is_dead = true;
    }
    /* Nor are holes that were cut or dropped. */
    struct promise *promise = &w->history.promise;
    if (workload__info(w).holes_count == 0) promise->damaged_first = promise->damaged_last = 0;
}

static void note_kind(struct workload *w, const struct segment_log_info *before)
{
    const struct segment_log_info after = workload__info(w);
    uint64_t *kinds = w->result->kinds;
    if (after.durable_index > before->durable_index) kinds[WORKLOAD_FLUSHES]++;
    if (after.segments_count > before->segments_count) kinds[WORKLOAD_ROLLS]++;
    if (after.segments_count < before->segments_count && after.base.index == before->base.index) {
        kinds[WORKLOAD_CUTS_EARLIER]++;
    }
}

static void disturb(struct workload *w, bool is_disturbed)
{
    if (!is_disturbed) return;
    if (workload__draw(w, 6) == 0) workload__append(w);
    if (workload__draw(w, 14) == 0) workload__cut(w);
}

void workload__do_job(struct workload *w, bool is_disturbed)
{
    const uint64_t base_index = workload__info(w).base.index;
    w->job = segment_log_next_job(w->log, workload__draw(w, 3) == 0);
    if (!w->job) {
        if (!segment_log_has_unsynced_mark(w->log)) settle(w);
        return;
    }
    if (workload__info(w).base.index > base_index) w->result->kinds[WORKLOAD_DROPS]++;
    const char *const doing = w->doing;
    w->doing = "disk work of the log";
    /* What happens between a job's freezing and its run, and between its run and its end. */
    disturb(w, is_disturbed);
    const struct segment_log_info before = workload__info(w);
    segment_log_job_run(w->job);
    disturb(w, is_disturbed);
    struct segment_log_job_result result;
    segment_log_job_finish(w->log, w->job, &result);
    w->job = NULL;
    note_kind(w, &before);
    w->doing = doing;
    if (result.status == SEGMENT_LOG_OK) return;
    if (!w->is_full) {
        workload__fail(w, "%s", result.problem.reason);
        return;
    }
    w->result->kinds[WORKLOAD_FULL_DISKS]++;
    /* Half a hand-over or half a cut: the process ends, and another one begins with room. */
    if (result.status == SEGMENT_LOG_IO) w->must_restart = true;
}

void workload__do_jobs(struct workload *w)
{
    for (uint32_t i = 0; i < 10000 && !workload__is_over(w) && !w->must_restart; i++) {
        struct segment_log_job *job = segment_log_next_job(w->log, true);
        if (!job) {
            settle(w);
            return;
        }
        const struct segment_log_info before = workload__info(w);
        struct segment_log_job_result result;
        w->job = job;
        segment_log_job_run(job);
        segment_log_job_finish(w->log, job, &result);
        w->job = NULL;
        note_kind(w, &before);
        if (result.status == SEGMENT_LOG_OK) continue;
        if (!w->is_full) {
            workload__fail(w, "%s", result.problem.reason);
            return;
        }
        w->result->kinds[WORKLOAD_FULL_DISKS]++;
        if (result.status == SEGMENT_LOG_IO) w->must_restart = true;
        return;
    }
}

/* ---- footers ----------------------------------------------------------------------------------------------------- */

void workload__commit(struct workload *w)
{
    const uint64_t durable_index = workload__info(w).durable_index;
    if (durable_index <= w->committed) return;
    w->committed += 1 + workload__draw(w, durable_index - w->committed);
}

void workload__seal(struct workload *w)
{
    w->doing = "sealing segments";
    workload__commit(w);
    segment_log_committed(w->log, w->committed);
    struct segment_log_seal_job *job;
    while (!workload__is_over(w) && !w->must_restart &&
           (job = segment_log_next_seal_job(w->log)) != NULL) {
        const uint32_t before = segment_log_sealed_count(w->log);
        w->is_sealing = w->is_beside = true;
        segment_log_seal_job_run(job);
        w->is_sealing = w->is_beside = false;
        struct segment_log_problem problem = {0};
        const enum segment_log_status status = segment_log_seal_job_finish(w->log, job, &problem);
        if (segment_log_sealed_count(w->log) > before) w->result->kinds[WORKLOAD_SEALS]++;
        if (status == SEGMENT_LOG_OK) continue;
        if (!w->is_full) workload__fail(w, "sealing: %s", problem.reason);
        if (status == SEGMENT_LOG_IO) w->must_restart = true;
        return;
    }
}
