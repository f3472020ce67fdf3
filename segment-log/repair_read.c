/* Reading for a peer that has lost entries: what follows an entry whose chain the peer knows. With that chain an entry is
 * proven wherever it stands, so what is whole inside of a hole of this log is served as well. */
#include "read_job.h"

#include "entry.h"

#include <assert.h>
#include <string.h>

/* From memory, at once. */
static void take_cached(const struct segment_log *log, struct segment_log_read_job *job)
{
    if (cache__point(&log->cache, job->value - 1).chain != job->chain) {
        job->status = SEGMENT_LOG_BROKEN_CHAIN;
        return;
    }
    struct segment_log_view view;
    log__view(log, job->value, job->last_index, job->bytes_max, &view);
    job->chunk = chunk__create(view.bytes_total);
    if (job->chunk) {
        for (uint32_t i = 0; i < view.parts_count; i++) {
            memcpy(job->chunk->bytes + job->chunk->used, view.parts[i].bytes,
                   view.parts[i].bytes_count);
            job->chunk->used += view.parts[i].bytes_count;
        }
        job->first_index = view.first_index;
        job->found_last_index = view.last_index;
    }
    job->status = job->chunk ? SEGMENT_LOG_OK : SEGMENT_LOG_IO;
    segment_log_view_release(&view);
}

enum segment_log_status segment_log_repair_read_create(struct segment_log *log, uint64_t index,
                                                       uint64_t chain, uint64_t last_index,
                                                       size_t bytes_max,
                                                       struct segment_log_read_job **ret_job)
{
    if (log->broken) return SEGMENT_LOG_IO;
    /* It never held what follows, and what it holds last is another one. */
    if (index == log->last.index && chain != log->last.chain) return SEGMENT_LOG_BROKEN_CHAIN;
    if (index < log->base.index || index >= log->last.index) return SEGMENT_LOG_OUT_OF_RANGE;
    if (last_index > log->last.index) last_index = log->last.index;
    if (last_index <= index) return SEGMENT_LOG_OUT_OF_RANGE;
    struct segment_log_read_job *job =
        read_job__new(log, SEGMENT_LOG_BY_INDEX, index + 1, last_index, bytes_max, 1);
    if (!job) return SEGMENT_LOG_IO;
    job->is_for_repair = true;
    job->chain = chain;
    /* The segment that holds the entry behind `index`. It is held until the job is finished also when memory serves. */
    read_job__add_part(log, job, &log->segments[log__find_segment(log, index)]);
    if (!read_job__complete(log, job)) return SEGMENT_LOG_IO;
    if (cache__has(&log->cache, index + 1)) take_cached(log, job);
    *ret_job = job;
    return SEGMENT_LOG_OK;
}

/* Go on from where the chain of the peer leads to, wherever that stands behind scan->pos. */
static bool find_follower(const struct segment_log_read_job *job, struct segment_scan *scan)
{
    for (uint64_t pos = scan->pos; pos + ENTRY_HEADER_BYTES <= scan->limit_pos;
         pos += ENTRY_ALIGNMENT) {
        size_t got;
        struct entry_header header;
        const uint8_t *bytes = scan__load(scan, pos, ENTRY_HEADER_BYTES, &got);
        if (!bytes) return false;
        if (entry_decode_header(bytes, got, scan->group_seed, &header) != ENTRY_DECODE_OK ||
            header.index != job->value || header.chain != entry_chain(&header, job->chain)) {
            continue;
        }
        const struct segment_point start = {
            .pos = pos,
            .before = {.index = header.index - 1},
            .lone = true,
            .lone_chain = header.chain,
        };
        scan__restart(scan, &start);
        return true;
    }
    return false;
}

/* Come to the entry in front of what is wanted, as far as this log believes its own ones. False: the peer's is another. */
static bool reach(const struct segment_log_read_job *job, const struct read_part *part,
                  struct segment_scan *scan, bool *ret_is_there)
{
    const uint64_t index = job->value - 1;
    struct segment_scan_record record;
    while (scan->at.index < index && scan->at.index + 1 != part->hole_index &&
           scan__next(scan, &record) == SEGMENT_SCAN_RECORD) {
    }
    *ret_is_there = scan->at.index == index;
    if (!*ret_is_there) return true;
    if (!scan->lone) return scan->at.chain == job->chain;
    /* Behind a hole the entry in front is not known here, but the one behind it tells its chain. */
    struct segment_scan_record first;
    const struct segment_point start = {
        .pos = scan->pos, .before = scan->at, .lone = true, .lone_chain = scan->lone_chain};
    *ret_is_there = scan__next(scan, &first) == SEGMENT_SCAN_RECORD;
    bool follows = !*ret_is_there || first.header.chain == entry_chain(&first.header, job->chain);
    scan__restart(scan, &start);
    return follows;
}

static void read_followers(struct segment_log_read_job *job, const struct read_part *part,
                           struct segment_scan *scan)
{
    bool is_there;
    job->status = SEGMENT_LOG_OK;
    if (!reach(job, part, scan, &is_there)) {
        job->status = SEGMENT_LOG_BROKEN_CHAIN;
        return;
    }
    bool is_damaged = !is_there || part->hole_index == job->value;
    struct segment_scan_record record;
    if (!is_damaged && scan__next(scan, &record) != SEGMENT_SCAN_RECORD) is_damaged = true;
    if (is_damaged) {
        if (!find_follower(job, scan) || scan__next(scan, &record) != SEGMENT_SCAN_RECORD) {
            job->status = SEGMENT_LOG_DAMAGED;
            return;
        }
    }
    while (read_job__take_record(job, part, &record) &&
           scan__next(scan, &record) == SEGMENT_SCAN_RECORD) {
    }
}

void repair_read__run(struct segment_log_read_job *job)
{
    if (job->status != SEGMENT_LOG_SUPERSEDED) return; /* memory served it */
    struct read_part *part = &job->parts[0];
    char path[DISK_PATH_MAX];
    bool fits = segment_format__path(job->directory, part->sequence, path);
    assert(fits);
    (void)fits;
    struct disk_file *file;
    if (!read_job__open_part(job, part, path, &file)) return;
    struct segment_scan scan;
    scan__start(&scan, file, job->seed, part->sector_bytes, &part->start, part->end_pos);
    scan.trail = job->trail;
    read_followers(job, part, &scan);
    if (job->status == SEGMENT_LOG_DAMAGED) {
        problem__set(&job->problem, path, scan.pos, job->value, scan.error,
                     "no whole entry here follows");
    }
    scan__close(&scan);
    disk_close(file);
}
