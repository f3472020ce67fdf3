#include "seal.h"

#include "footer.h"
#include "log.h"
#include "scan.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include "bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* How much one job reads: some milliseconds, so that readers who share the queue hardly wait. */
#define PIECE_BYTES 4194304u
/* Of a batch: where its highest message time stands (docs/FORMATS.md). */
#define BATCH_MAX_TIME_POS 35u

struct segment_log_seal_job {
    struct disk *disk;
    char path[DISK_PATH_MAX];
    uint64_t seed;
    struct segment_header header;
    struct segment_log_point last; /* what the segment in memory ends with */
    uint64_t end_pos;

    struct disk_file *file;
    struct segment_scan scan;
    struct checksum_stream *hash; /* of header block and records, through scan.pos */
    struct footer_point *points;
    uint64_t points_spacing;
    uint8_t *terms, *configurations; /* encoded */
    size_t terms_bytes, terms_capacity;
    size_t configurations_bytes, configurations_capacity;
    uint64_t term;
    struct segment_footer footer;
    uint64_t file_bytes; /* with the footer */

    bool outstanding; /* given out by segment_log_next_seal_job() */
    bool given_up;    /* meanwhile */
    bool sealed;
    enum segment_log_status status;
    struct segment_log_problem problem;
};

static void destroy(struct segment_log_seal_job *job)
{
    if (!job) return;
    disk_close(job->file);
    scan__close(&job->scan);
    checksum_stream_destroy(job->hash);
    free(job->points);
    free(job->terms);
    free(job->configurations);
    free(job);
}

/* ---- loop face -------------------------------------------------------------------------------------- */

/* One without entries, as recovery makes it in the place of a lost file that had none, has nothing to be indexed: a start
 * walks it as fast as it would read a footer. */
static bool is_candidate(const struct segment *segment)
{
    const bool is_empty = segment->last_index == segment->base.index;
    return !segment->sealed && !segment->unsealable && !segment->missing && !is_empty;
}

void seal__plan(struct segment_log *log)
{
    log->seal_due_index = UINT64_MAX;
    for (uint32_t i = 0; i + 1 < log->segments_count; i++) {
        if (!is_candidate(&log->segments[i])) continue;
        log->seal_due_index = log->segments[i].last_index;
        return;
    }
}

void segment_log_committed(struct segment_log *log, uint64_t index)
{
    if (index > log->committed_index) log->committed_index = index;
}

void seal__anew(struct segment_log *log, uint64_t sequence)
{
    struct segment *segment = log__find_sequence(log, sequence);
    if (!segment || !segment->sealed) return;
    index_cache__forget(&log->indexes, sequence, sequence + 1);
    segment__unseal(segment);
    segment->footer_owed = true;
    log->blocks_mended_total++;
    /* It had one, so all of it is committed, whether the driver knows that already or not. */
    segment_log_committed(log, segment->last_index);
    seal__plan(log);
}

void seal__try_again(struct segment_log *log, uint64_t sequence)
{
    struct segment *segment = log__find_sequence(log, sequence);
    if (!segment || !segment->unsealable) return;
    segment->unsealable = false;
    seal__plan(log);
}

uint32_t seal__owed_count(const struct segment_log *log)
{
    uint32_t count = 0;
    if (log->seal_refused) return 0; /* a footer is no need */
    for (uint32_t i = 0; i + 1 < log->segments_count; i++) {
        count += log->segments[i].footer_owed && is_candidate(&log->segments[i]);
    }
    return count;
}

static struct segment_log_seal_job *create(const struct segment_log *log, uint32_t position)
{
    const struct segment *segment = &log->segments[position];
    struct segment_log_seal_job *job = calloc(1, sizeof *job);
    if (!job) return NULL;
    job->disk = log->options.disk;
    job->seed = log->seed;
    log__segment_path(log, segment->sequence, job->path);
    job->header = (struct segment_header){
        .cluster = log->options.cluster,
        .group = log->options.group,
        .sequence = segment->sequence,
        .base = segment->base,
        .sector_bytes = segment->sector_bytes,
    };
    job->last = log->segments[position + 1].base;
    job->end_pos = segment->end_pos;
    assert(job->last.index == segment->last_index);
    return job;
}

struct segment_log_seal_job *segment_log_next_seal_job(struct segment_log *log)
{
    struct segment_log_seal_job *job = log->seal;
    if (log->broken || (job && job->outstanding)) return NULL;
    /* Until a cut is done its segments are still in the list; one without entries, closed for a repair, counts as committed. */
    if (log__is_cutting(log)) return NULL;
    if (!job) {
        bool is_due = log->committed_index >= log->seal_due_index ||
                      (PLANTED(L8_FOOTER_BEFORE_COMMIT) && log->seal_due_index != UINT64_MAX);
        if (!is_due || log->seal_refused || RARELY(FOOTER_WAITS)) return NULL;
        uint32_t position = 0;
        while (!is_candidate(&log->segments[position])) {
            position++;
        }
        assert(position + 1 < log->segments_count);
        job = create(log, position);
        if (!job) return NULL; /* no memory: the next commit asks again */
        log->seal = job;
    }
    job->outstanding = true;
    job->status = SEGMENT_LOG_OK;
    return job;
}

bool seal__is_busy_from(const struct segment_log *log, uint64_t sequence)
{
    return log->seal && log->seal->outstanding && log->seal->header.sequence >= sequence;
}

void seal__give_up(struct segment_log *log, uint64_t first, uint64_t end)
{
    index_cache__forget(&log->indexes, first, end);
    struct segment_log_seal_job *job = log->seal;
    if (!job || job->header.sequence < first || job->header.sequence >= end) return;
    job->given_up = true;
    if (job->outstanding) return; /* finish does it */
    destroy(job);
    log->seal = NULL;
}

void seal__close(struct segment_log *log)
{
    assert(!log->seal || !log->seal->outstanding);
    destroy(log->seal);
    log->seal = NULL;
}

static void take_over(struct segment_log *log, const struct segment_log_seal_job *job,
                      enum segment_log_status status)
{
    struct segment *segment = log__find_sequence(log, job->header.sequence);
    assert(segment);
    switch (status) {
    case SEGMENT_LOG_OK:
        segment__seal(segment, &job->footer);
        segment->file_bytes = job->file_bytes;
        break;
    case SEGMENT_LOG_FULL:
        log->seal_refused = true; /* until there is space again: a footer is no need */
        break;
    case SEGMENT_LOG_IO:
        break;
    case SEGMENT_LOG_DAMAGED:
    case SEGMENT_LOG_LOST_POSITION:
    case SEGMENT_LOG_FOREIGN:
    case SEGMENT_LOG_MISSING:
    case SEGMENT_LOG_BAD_VERSION:
    case SEGMENT_LOG_BROKEN_CHAIN:
    case SEGMENT_LOG_BAD_ENTRY:
    case SEGMENT_LOG_NOT_CACHED:
    case SEGMENT_LOG_OUT_OF_RANGE:
    case SEGMENT_LOG_SUPERSEDED:
        segment->unsealable = true; /* as it is: a start walks it */
        break;
    }
}

enum segment_log_status segment_log_seal_job_finish(struct segment_log *log,
                                                    struct segment_log_seal_job *job,
                                                    struct segment_log_problem *ret_problem)
{
    assert(job == log->seal);
    assert(job->outstanding);
    job->outstanding = false;
    enum segment_log_status status = job->status;
    if (log->broken) status = SEGMENT_LOG_IO;
    if (status == SEGMENT_LOG_IO) log->broken = true;
    if (status == SEGMENT_LOG_OK && !job->given_up && !job->sealed) return status; /* goes on */
    if (job->given_up) {
        /* What it found is no longer of this log. */
        if (status != SEGMENT_LOG_IO) status = SEGMENT_LOG_OK;
    } else {
        take_over(log, job, status);
    }
    if (status != SEGMENT_LOG_OK && ret_problem) *ret_problem = job->problem;
    destroy(job);
    log->seal = NULL;
    if (!log->broken) seal__plan(log);
    return status;
}

/* ---- disk face -------------------------------------------------------------------------------------- */

static bool fail(struct segment_log_seal_job *job, enum segment_log_status status, uint64_t pos,
                 int error, const char *reason)
{
    job->status = status;
    problem__set(&job->problem, job->path, pos, job->scan.at.index + 1, error, "%s", reason);
    return false;
}

/* The first job: the file is opened, its header and mark say what the log in memory says. */
static bool begin(struct segment_log_seal_job *job)
{
    uint64_t bytes = job->end_pos - SEGMENT_DATA_POS;
    job->points_spacing = SEGMENT_SPARSE_BYTES;
    if (bytes / (FOOTER_POINTS_MAX - 1u) >= job->points_spacing) {
        job->points_spacing = bytes / (FOOTER_POINTS_MAX - 1u) + 1u;
    }
    job->points = calloc(FOOTER_POINTS_MAX, sizeof *job->points);
    job->hash = checksum_stream_create(0);
    if (!job->points || !job->hash) {
        return fail(job, SEGMENT_LOG_FULL, 0, -ENOMEM, "out of memory");
    }
    int error = disk_open(job->disk, job->path, DISK_WRITE, &job->file);
    if (error) {
        return fail(job, error == -ENOENT ? SEGMENT_LOG_DAMAGED : SEGMENT_LOG_IO, 0, error,
                    "opening the segment failed");
    }
    uint8_t block[SEGMENT_BLOCK_BYTES] = {0};
    ssize_t got = disk_pread(job->file, block, sizeof block, 0);
    if (got < 0) return fail(job, SEGMENT_LOG_DAMAGED, 0, (int)got, "reading the header failed");
    struct segment_header header;
    if (segment_format__decode_header(block, &header) != SEGMENT_FORMAT_OK ||
        header.sequence != job->header.sequence || header.base.chain != job->header.base.chain) {
        return fail(job, SEGMENT_LOG_DAMAGED, 0, 0, "the header is damaged");
    }
    struct segment_marks marks;
    error = marks__read(job->file, job->seed, &header, &marks);
    if (error || marks.newest < 0 || !marks.mark[marks.newest].continued ||
        marks.mark[marks.newest].end_pos != job->end_pos) {
        return fail(job, SEGMENT_LOG_DAMAGED, SEGMENT_BLOCK_BYTES, error,
                    "no synced mark says where the records end");
    }
    checksum_stream_add(job->hash, block, sizeof block);
    scan__init(&job->scan, job->file, job->seed, header.sector_bytes, &header.base,
               SEGMENT_DATA_POS, job->end_pos);
    job->footer.max_message_time_ms = FOOTER_NO_TIME;
    return true;
}

/* Room for `more` bytes behind `used`. */
static uint8_t *reserve(uint8_t **buffer, size_t *capacity, size_t used, size_t more)
{
    if (used + more > *capacity) {
        size_t wanted = 2 * (used + more);
        uint8_t *grown = realloc(*buffer, wanted);
        if (!grown) return NULL;
        *buffer = grown;
        *capacity = wanted;
    }
    return *buffer + used;
}

static bool note_term(struct segment_log_seal_job *job, const struct entry_header *header)
{
    if (job->terms_bytes > 0 && header->term == job->term) return true;
    uint8_t *place =
        reserve(&job->terms, &job->terms_capacity, job->terms_bytes, FOOTER_TERM_BYTES);
    if (!place) return false;
    const struct footer_term term = {.first_index = header->index, .term = header->term};
    footer__encode_term(&term, place);
    job->terms_bytes += FOOTER_TERM_BYTES;
    job->footer.terms_count++;
    job->term = header->term;
    return true;
}

static bool note_configuration(struct segment_log_seal_job *job,
                               const struct segment_scan_record *record)
{
    const struct footer_configuration configuration = {
        .index = record->header.index,
        .payload = record->payload,
        .payload_bytes = record->header.payload_bytes,
    };
    size_t bytes = footer__configuration_bytes(configuration.payload_bytes);
    uint8_t *place = reserve(&job->configurations, &job->configurations_capacity,
                             job->configurations_bytes, bytes);
    if (!place) return false;
    footer__encode_configuration(&configuration, place);
    job->configurations_bytes += bytes;
    job->footer.configurations_count++;
    return true;
}

static void note_point(struct segment_log_seal_job *job, const struct segment_log_point *before,
                       uint64_t pos)
{
    uint32_t count = job->footer.points_count;
    if (count > 0 && pos - job->points[count - 1].point.pos < job->points_spacing) return;
    assert(count < FOOTER_POINTS_MAX);
    job->points[job->footer.points_count++] = (struct footer_point){
        .point = {.pos = pos, .before = *before},
        .max_message_time_ms = job->footer.max_message_time_ms,
    };
}

static void note_message_time(struct segment_log_seal_job *job,
                              const struct segment_scan_record *record)
{
    if (record->header.type != ENTRY_DATA) return;
    if (record->header.payload_bytes < BATCH_MAX_TIME_POS + 8u) return;
    int64_t time_ms = (int64_t)get_u64_big(record->payload + BATCH_MAX_TIME_POS);
    if (time_ms > job->footer.max_message_time_ms) job->footer.max_message_time_ms = time_ms;
}

/* What stands between records means nothing to anybody, and is not of the hash either. */
static bool take_record(struct segment_log_seal_job *job, const struct segment_log_point *before,
                        const struct segment_scan_record *record)
{
    checksum_stream_add(job->hash, record->bytes, record->bytes_count);
    note_point(job, before, record->pos);
    note_message_time(job, record);
    if (!note_term(job, &record->header) ||
        (record->header.type == ENTRY_CONFIG && !note_configuration(job, record))) {
        return fail(job, SEGMENT_LOG_FULL, record->pos, -ENOMEM, "out of memory");
    }
    if (job->terms_bytes + job->configurations_bytes > FOOTER_FACTS_BYTES_MAX) {
        return fail(job, SEGMENT_LOG_OUT_OF_RANGE, record->pos, 0,
                    "too many terms or configurations for a footer");
    }
    return true;
}

static void write_footer(struct segment_log_seal_job *job)
{
    struct segment_footer *footer = &job->footer;
    if (job->scan.pos != job->end_pos || job->scan.at.chain != job->last.chain) {
        fail(job, SEGMENT_LOG_DAMAGED, job->scan.pos, 0, "the chain does not lead to the mark");
        return;
    }
    size_t bytes = job->terms_bytes + job->configurations_bytes;
    uint8_t *facts = malloc(bytes);
    if (!facts) {
        fail(job, SEGMENT_LOG_FULL, job->end_pos, -ENOMEM, "out of memory");
        return;
    }
    memcpy(facts, job->terms, job->terms_bytes);
    if (job->configurations_bytes > 0) {
        memcpy(facts + job->terms_bytes, job->configurations, job->configurations_bytes);
    }
    footer->sequence = job->header.sequence;
    footer->sector_bytes = job->header.sector_bytes;
    footer->base = job->header.base;
    footer->last = job->last;
    footer->end_pos = job->end_pos;
    footer->file_hash = checksum_stream_value(job->hash);
    footer->facts_bytes = (uint32_t)bytes;
    int error = footer__write(job->file, job->seed, footer, job->points, facts);
    free(facts);
    if (error) {
        fail(job, error__is_full(error) ? SEGMENT_LOG_FULL : SEGMENT_LOG_IO, job->end_pos, error,
             "writing the footer failed");
        return;
    }
    error = disk_size(job->file, &job->file_bytes);
    if (error) {
        fail(job, SEGMENT_LOG_IO, job->end_pos, error, "asking for the size failed");
        return;
    }
    /* A sync that finds no room has lost pages all the same (L11). */
    error = disk_datasync(job->file);
    if (error) {
        fail(job, SEGMENT_LOG_IO, job->end_pos, error, "syncing the footer failed");
        return;
    }
    job->sealed = true;
}

void segment_log_seal_job_run(struct segment_log_seal_job *job)
{
    if (!job->file && !begin(job)) return;
    uint64_t until_pos = job->scan.pos + PIECE_BYTES;
    while (job->scan.at.index < job->last.index && job->scan.pos < until_pos) {
        const struct segment_log_point before = job->scan.at;
        struct segment_scan_record record;
        if (scan__next(&job->scan, &record) != SEGMENT_SCAN_RECORD) {
            fail(job, job->scan.error == -ENOMEM ? SEGMENT_LOG_FULL : SEGMENT_LOG_DAMAGED,
                 job->scan.error ? job->scan.pos : job->scan.bad_pos, job->scan.error,
                 job->scan.error ? "reading failed" : job->scan.reason);
            return;
        }
        if (!take_record(job, &before, &record)) return;
    }
    if (job->scan.at.index == job->last.index) write_footer(job);
}
