/* The life of a log object, and what can be asked about it without a disk. */
#include "log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *segment_log_status_text(enum segment_log_status status)
{
    switch (status) {
#define X(name, text) \
    case name:        \
        return text;
        SEGMENT_LOG_STATUSES(X)
#undef X
    }
    return "unknown";
}

static struct segment_log_options with_defaults(const struct segment_log_options *options)
{
    struct segment_log_options result = *options;
    assert(result.disk);
    if (result.sector_bytes < SEGMENT_SECTOR_BYTES) result.sector_bytes = SEGMENT_SECTOR_BYTES;
    if (result.sector_bytes > SEGMENT_SECTOR_MAX) result.sector_bytes = SEGMENT_SECTOR_MAX;
    if ((result.sector_bytes & (result.sector_bytes - 1)) != 0) {
        result.sector_bytes = SEGMENT_SECTOR_MAX; /* no sector of any disk; the largest is safe */
    }
    uint64_t least = SEGMENT_DATA_POS + SEGMENT_BLOCK_BYTES;
    if (result.segment_bytes_max < least) result.segment_bytes_max = least;
    return result;
}

struct segment_log *log__new(const struct segment_log_options *options,
                             const struct segment_log_point *base)
{
    struct segment_log *log = calloc(1, sizeof *log);
    if (!log) return NULL;
    log->options = with_defaults(options);
    size_t length = strlen(options->directory);
    if (length + SEGMENT_NAME_BYTES + 1 > DISK_PATH_MAX) goto fail;
    memcpy(log->directory, options->directory, length + 1);
    log->options.directory = log->directory;
    log->options.base = NULL; /* borrowed by segment_log_open() only */
    log->options.on_configuration = NULL;
    log->options.on_configuration_data = NULL;
    log->seed = checksum64_group(&options->cluster, options->group);
    log->base = *base;
    log->last = *base;
    log->durable_index = base->index;
    log->attempted_index = base->index;
    log->cut_lowest_index = UINT64_MAX;
    log->seal_due_index = UINT64_MAX;
    size_t cache_bytes =
        options->cache_bytes_max > SIZE_MAX / 2 ? SIZE_MAX / 2 : (size_t)options->cache_bytes_max;
    if (!cache__init(&log->cache, cache_bytes, base)) goto fail;
    return log;
fail:
    segment_log_close(log);
    return NULL;
}

void segment_log_close(struct segment_log *log)
{
    if (!log) return;
    assert(!log->job_outstanding);
    assert(log->reads_outstanding == 0);
    seal__close(log);
    repair__close(log);
    scrub__close(log);
    index_cache__forget(&log->indexes, 0, UINT64_MAX);
    cache__close(&log->cache);
    for (uint32_t i = 0; i < log->segments_count; i++) {
        segment__close(&log->segments[i]);
    }
    disk_close(log->writer.file);
    disk_close(log->install_writer.file);
    free(log->segments);
    free(log->holes);
    free(log->runs);
    free(log->job.parts);
    free(log->job.chunks);
    free(log->job.points);
    free(log);
}

void log__check(const struct segment_log *log)
{
    assert(log->base.index <= log->durable_index);
    assert(log->durable_index <= log->last.index);
    assert(log->durable_index <= log->attempted_index || log->cut_pending);
    assert(log->cache.first_index <= log->durable_index + 1);
    assert(log->cache.first_index + log->cache.count == log->last.index + 1);
    assert(log->segments_count > 0);
    assert(log->segments[log->segments_count - 1].sequence == log->writer.sequence);
    assert((log->unflushed_bytes == 0) == (log->durable_index == log->last.index));
}

bool log__is_cutting(const struct segment_log *log)
{
    return log->cut_pending || (log->job_outstanding && log->job.kind == JOB_TRUNCATE);
}

bool log__is_replacing(const struct segment_log *log)
{
    return log->job_outstanding && log->job.kind == JOB_REPLACE;
}

void segment_log_info(const struct segment_log *log, struct segment_log_info *ret_info)
{
    *ret_info = (struct segment_log_info){
        .base = log->base,
        .base_installed = log->segments[0].installed,
        .last_index = log->last.index,
        .last_term = log->last.term,
        .last_chain = log->last.chain,
        .next_offset = log->last.next_offset,
        .last_timestamp_ms = log->last.timestamp_ms,
        .durable_index = log->durable_index,
        .cached_from_index = log->cache.first_index,
        .last_segment_base_index = log->segments[log->segments_count - 1].base.index,
        .last_segment_bytes = log->writer.end_pos - SEGMENT_DATA_POS,
        .unflushed_bytes = log->unflushed_bytes,
        .segments_count = log->segments_count,
        .syncs_total = log->syncs_total,
        .sync_us_last = log->sync_us_last,
        .full = log->full,
        .holes_count = log->holes_count,
    };
}

uint64_t segment_log_bytes(const struct segment_log *log)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < log->segments_count; i++) {
        bytes += log->segments[i].file_bytes;
    }
    return bytes;
}

uint32_t segment_log_sealed_count(const struct segment_log *log)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < log->segments_count; i++) {
        if (log->segments[i].sealed) count++;
    }
    return count;
}

/* ---- term runs -------------------------------------------------------------------------------------- */

bool log__reserve_run(struct segment_log *log)
{
    if (log->runs_count < log->runs_capacity) return true;
    uint32_t capacity = log->runs_capacity ? 2 * log->runs_capacity : 16;
    struct term_run *runs = realloc(log->runs, capacity * sizeof *runs);
    if (!runs) return false;
    log->runs = runs;
    log->runs_capacity = capacity;
    return true;
}

void log__add_term(struct segment_log *log, uint64_t index, uint64_t term)
{
    if (log->runs_count > 0 && log->runs[log->runs_count - 1].term == term) return;
    assert(log->runs_count < log->runs_capacity);
    log->runs[log->runs_count++] = (struct term_run){index, term};
}

void log__cut_runs(struct segment_log *log, uint64_t from_index)
{
    while (log->runs_count > 0 && log->runs[log->runs_count - 1].first_index >= from_index) {
        log->runs_count--;
    }
}

/* The term of `index`, 0 when it is not known, and behind which entry it ends. */
static uint64_t run_at(const struct segment_log *log, uint64_t index, uint64_t *ret_last_index)
{
    uint64_t term = 0;
    *ret_last_index = log->last.index;
    for (uint32_t i = 0; i < log->runs_count; i++) {
        if (log->runs[i].first_index > index) {
            *ret_last_index = log->runs[i].first_index - 1;
            break;
        }
        term = log->runs[i].term;
    }
    return term;
}

bool log__replace_runs(struct segment_log *log, uint64_t first_index, uint64_t last_index,
                       const struct term_run *runs, uint32_t runs_count)
{
    if (first_index > last_index) return true;
    struct term_run *old = log->runs;
    const uint32_t old_count = log->runs_count;
    const uint32_t capacity = old_count + runs_count + 1;
    struct term_run *merged = malloc(capacity * sizeof *merged);
    if (!merged) return false;
    uint64_t behind_last;
    const uint64_t behind_term =
        last_index < log->last.index ? run_at(log, last_index + 1, &behind_last) : 0;
    log->runs = merged;
    log->runs_capacity = capacity;
    log->runs_count = 0;
    uint32_t i = 0;
    for (; i < old_count && old[i].first_index < first_index; i++) {
        log__add_term(log, old[i].first_index, old[i].term);
    }
    for (uint32_t j = 0; j < runs_count; j++) {
        log__add_term(log, runs[j].first_index, runs[j].term);
    }
    if (last_index < log->last.index) log__add_term(log, last_index + 1, behind_term);
    for (; i < old_count; i++) {
        if (old[i].first_index > last_index + 1) {
            log__add_term(log, old[i].first_index, old[i].term);
        }
    }
    free(old);
    return true;
}

uint64_t log__term_at(const struct segment_log *log, uint64_t index)
{
    assert(index >= log->base.index && index <= log->last.index);
    if (index == log->base.index) return log->base.term;
    const struct term_trail trail = log__trail(log);
    return term_trail__at(&trail, index);
}

struct term_trail log__trail(const struct segment_log *log)
{
    return (struct term_trail){log->runs, log->runs_count, log->last.index};
}

bool log__copy_trail(const struct segment_log *log, uint64_t first_index, uint64_t last_index,
                     struct term_run **ret_runs, struct term_trail *ret_trail)
{
    const struct term_trail all = log__trail(log);
    const uint32_t from = term_trail__position(&all, first_index);
    uint32_t to = from;
    while (to < log->runs_count && log->runs[to].first_index <= last_index) {
        to++;
    }
    struct term_run *runs = malloc((to - from + 1) * sizeof *runs);
    if (!runs) return false;
    if (to > from) memcpy(runs, log->runs + from, (to - from) * sizeof *runs);
    *ret_runs = runs;
    *ret_trail = (struct term_trail){runs, to - from, last_index};
    return true;
}

void segment_log_term_runs(const struct segment_log *log, segment_log_run_cb cb, void *data)
{
    for (uint32_t i = 0; i < log->runs_count; i++) {
        uint64_t first = log->runs[i].first_index;
        uint64_t next =
            i + 1 < log->runs_count ? log->runs[i + 1].first_index : log->last.index + 1;
        if (log->runs[i].term != 0) cb(data, first, next - first, log->runs[i].term);
    }
}

/* ---- segments --------------------------------------------------------------------------------------- */

void log__segment_path(const struct segment_log *log, uint64_t sequence, char path[DISK_PATH_MAX])
{
    bool fits = segment_format__path(log->directory, sequence, path);
    assert(fits);
    (void)fits;
}

bool log__reserve_segment(struct segment_log *log)
{
    if (log->segments_count < log->segments_capacity) return true;
    uint32_t capacity = log->segments_capacity ? 2 * log->segments_capacity : 8;
    struct segment *segments = realloc(log->segments, capacity * sizeof *segments);
    if (!segments) return false;
    log->segments = segments;
    log->segments_capacity = capacity;
    return true;
}

struct segment *log__find_sequence(struct segment_log *log, uint64_t sequence)
{
    uint64_t first = log->segments[0].sequence;
    if (sequence < first || sequence - first >= log->segments_count) return NULL;
    return &log->segments[sequence - first];
}

struct segment_header log__header_of(const struct segment_log *log, const struct segment *segment)
{
    return (struct segment_header){
        .cluster = log->options.cluster,
        .group = log->options.group,
        .sequence = segment->sequence,
        .base = segment->base,
        .sector_bytes = segment->sector_bytes,
        .installed = segment->installed,
    };
}

uint32_t log__find_segment(const struct segment_log *log, uint64_t index)
{
    assert(log->segments_count > 0);
    assert(index >= log->base.index);
    uint32_t low = 0, high = log->segments_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (log->segments[middle].base.index <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

enum segment_log_status segment_log_point_at(const struct segment_log *log, uint64_t index,
                                             struct segment_log_point *ret_point)
{
    if (index < log->base.index || index > log->last.index) return SEGMENT_LOG_OUT_OF_RANGE;
    if (index == log->base.index) {
        *ret_point = log->base;
        return SEGMENT_LOG_OK;
    }
    if (index + 1 < log->cache.first_index) return SEGMENT_LOG_NOT_CACHED;
    *ret_point = cache__point(&log->cache, index);
    return SEGMENT_LOG_OK;
}

/* ---- making ----------------------------------------------------------------------------------------- */

static void find_segment_name(void *data, const char *name)
{
    uint64_t sequence;
    if (segment_format__parse_name(name, &sequence)) *(bool *)data = true;
}

static int make_directory(const struct segment_log *log, struct segment_log_problem *problem)
{
    struct disk *disk = log->options.disk;
    char parent[DISK_PATH_MAX];
    path__parent(parent, log->directory);
    int error = disk_make_directory(disk, log->directory);
    if (!error) error = disk_sync_directory(disk, parent);
    if (error) problem__set(problem, log->directory, 0, 0, error, "making the directory failed");
    bool occupied = false;
    if (!error) {
        error = disk_list(disk, log->directory, find_segment_name, &occupied);
        if (error) problem__set(problem, log->directory, 0, 0, error, "listing failed");
    }
    if (!error && occupied) {
        error = -EEXIST;
        problem__set(problem, log->directory, 0, 0, error, "the directory already holds segments");
    }
    return error;
}

enum segment_log_status segment_log_create(const struct segment_log_options *options,
                                           const struct segment_log_point *base,
                                           struct segment_log **ret_log,
                                           struct segment_log_problem *ret_problem)
{
    struct segment_log *log = log__new(options, base);
    if (!log || !log__reserve_segment(log)) {
        segment_log_close(log);
        problem__set(ret_problem, options->directory, 0, 0, 0,
                     "out of memory, or the directory's name is too long");
        return SEGMENT_LOG_IO;
    }
    struct segment_header header = {
        .cluster = options->cluster,
        .group = options->group,
        .sequence = 1,
        .base = *base,
        .sector_bytes = log->options.sector_bytes,
    };
    struct sync_count count = {0};
    int error = make_directory(log, ret_problem);
    if (!error) error = roll__birth(&log->options, &header, &log->writer, &count, ret_problem);
    if (error) {
        segment_log_close(log);
        return error__is_full(error) ? SEGMENT_LOG_FULL : SEGMENT_LOG_IO;
    }
    struct segment *segment = &log->segments[0];
    if (!segment__init(segment, &header)) {
        segment_log_close(log);
        problem__set(ret_problem, options->directory, 0, 0, 0, "out of memory");
        return SEGMENT_LOG_IO;
    }
    segment->file_bytes = log->writer.filled_pos;
    log->segments_count = 1;
    log->syncs_total = count.syncs;
    log->sync_us_last = count.last_us;
    log__check(log);
    *ret_log = log;
    return SEGMENT_LOG_OK;
}

struct removal {
    struct disk *disk;
    const char *directory;
    int error;
};

static void remove_segment(void *data, const char *name)
{
    struct removal *removal = data;
    uint64_t sequence;
    char path[DISK_PATH_MAX];
    if (!segment_format__parse_name(name, &sequence) && !segment_format__is_unfinished(name))
        return;
    if (!path__join(path, removal->directory, name)) return;
    int error = disk_unlink(removal->disk, path);
    if (error && !removal->error) removal->error = error;
}

int segment_log_remove(struct disk *disk, const char *directory)
{
    struct removal removal = {.disk = disk, .directory = directory};
    int error = disk_list(disk, directory, remove_segment, &removal);
    if (!error) error = removal.error;
    if (!error) error = disk_sync_directory(disk, directory);
    return error;
}
