/* The disk side of a repair session: building the new file, and reading it back. */
#include "session.h"

#include <planted/planted.h>

#include "entry.h"
#include "problem.h"
#include "stretch.h"

#include "bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How much one job reads and writes. */
#define PIECE_BYTES  4194304u
#define BUFFER_BYTES 1048576u

void repair__end_with(struct segment_log_repair_job *job, enum segment_log_status status,
                      uint64_t pos, int error, const char *reason)
{
    job->phase = REPAIR_ENDED;
    job->wants = false;
    job->status = status;
    problem__set(&job->problem, job->path, pos, job->scan.at.index + 1, error, "%s", reason);
}

static bool write_failed(struct segment_log_repair_job *job, int error, const char *reason)
{
    repair__end_with(job, error__is_full(error) ? SEGMENT_LOG_FULL : SEGMENT_LOG_IO, job->write_pos,
                     error, reason);
    return false;
}

/* ---- the new file ----------------------------------------------------------------------------------- */

static bool begin(struct segment_log_repair_job *job)
{
    int error = disk_open(job->disk, job->path, DISK_READ, &job->old_file);
    if (error && error != -ENOENT && error != -EIO) {
        return write_failed(job, error, "opening the damaged segment failed");
    }
    if (error) job->old_file = NULL;
    uint64_t old_bytes = 0;
    if (job->old_file && disk_size(job->old_file, &old_bytes)) old_bytes = 0;
    if (job->old_limit_pos > old_bytes) job->old_limit_pos = old_bytes;
    job->buffer = malloc(BUFFER_BYTES);
    if (!job->buffer) return write_failed(job, -ENOSPC, "out of memory");
    error = disk_open(job->disk, job->new_path, DISK_CREATE_NEW, &job->new_file);
    if (error == -EEXIST) { /* of a session that came to no end */
        error = disk_unlink(job->disk, job->new_path);
        if (!error) error = disk_open(job->disk, job->new_path, DISK_CREATE_NEW, &job->new_file);
    }
    if (error) {
        job->new_file = NULL;
        return write_failed(job, error, "creating the repaired segment failed");
    }
    job->write_pos = SEGMENT_DATA_POS;
    job->has_begun = true;
    return true;
}

static bool write_buffer(struct segment_log_repair_job *job)
{
    if (job->buffered == 0) return true;
    int error = disk_pwrite(job->new_file, job->buffer, job->buffered, job->write_pos);
    if (error) return write_failed(job, error, "writing the repaired segment failed");
    job->write_pos += job->buffered;
    job->buffered = 0;
    return true;
}

static bool write_record(struct segment_log_repair_job *job, const uint8_t *bytes, size_t count)
{
    if (job->buffered + count > BUFFER_BYTES && !write_buffer(job)) return false;
    if (count <= BUFFER_BYTES) {
        memcpy(job->buffer + job->buffered, bytes, count);
        job->buffered += count;
        return true;
    }
    int error = disk_pwrite(job->new_file, bytes, count, job->write_pos);
    if (error) return write_failed(job, error, "writing the repaired segment failed");
    job->write_pos += count;
    return true;
}

/* Header and marks, as those of a segment that is closed. */
static int write_front(struct segment_log_repair_job *job)
{
    uint8_t blocks[3][SEGMENT_BLOCK_BYTES];
    struct segment_mark mark = {
        .segment = job->header.sequence,
        .end_pos = job->write_pos,
        .point = job->end,
        .continued = true,
    };
    segment_format__encode_header(&job->header, blocks[0]);
    for (uint32_t i = 0; i < 2; i++) {
        mark.sequence = i + 1;
        segment_format__encode_mark(&mark, job->seed, blocks[1 + i]);
    }
    return disk_pwrite(job->new_file, blocks, sizeof blocks, 0);
}

static void complete(struct segment_log_repair_job *job)
{
    if (PLANTED(D4_ANCHOR_IS_NOT_MET)) job->end = job->scan.at;
    if (!points__are_equal(&job->scan.at, &job->end)) {
        repair__end_with(job, SEGMENT_LOG_BROKEN_CHAIN, job->scan.pos, 0,
                         "what was supplied does not lead to what follows it here");
        return;
    }
    if (!write_buffer(job)) return;
    int error = write_front(job);
    /* Also brings the bytes that are read back from the device. A sync that finds no room has lost pages (L11). */
    if (!error) {
        error = disk_drop_cache(job->new_file);
        if (error__is_full(error)) error = -EIO;
    }
    if (error) {
        (void)write_failed(job, error, "syncing the repaired segment failed");
        return;
    }
    job->phase = REPAIR_CHECKS;
}

/* ---- what the old file still has ----------------------------------------------------------------------- */

static bool is_follower(const struct segment_log_repair_job *job, const struct entry_header *header)
{
    return header->index == job->scan.at.index + 1 &&
           header->chain == entry_chain(header, job->scan.at.chain);
}

/* Look for the next entry anywhere behind. It may stand between two holes, where nothing but this chain proves it. Otherwise
 * job->next_whole_index tells which one is there next. */
static bool find_follower(struct segment_log_repair_job *job)
{
    struct segment_scan scan;
    scan__init(&scan, job->old_file, job->seed, job->header.sector_bytes, &job->scan.at,
               job->scan.pos, job->old_limit_pos);
    uint64_t lowest = job->end.index + 1;
    bool found = false;
    for (uint64_t pos = job->scan.pos; !found && pos + ENTRY_HEADER_BYTES <= job->old_limit_pos;
         pos += ENTRY_ALIGNMENT) {
        size_t got;
        struct entry_header header;
        const uint8_t *bytes = scan__load(&scan, pos, ENTRY_HEADER_BYTES, &got);
        if (!bytes) break;
        if (entry_decode_header(bytes, got, job->seed, &header) != ENTRY_DECODE_OK) continue;
        if (!term_trail__allows(&job->trail, header.index, header.term)) continue; /* an old one */
        const bool is_next = is_follower(job, &header);
        if (!is_next && (header.index <= job->scan.at.index + 1 || header.index >= lowest))
            continue;
        const size_t size = entry_bytes(header.payload_bytes);
        bytes = scan__load(&scan, pos, size, &got);
        if (!bytes || got < size || !entry__payload_matches(bytes, &header)) continue;
        if (is_next) {
            job->scan.pos = pos;
            found = true;
        } else {
            lowest = header.index;
        }
    }
    scan__close(&scan);
    job->next_whole_index = found ? 0 : lowest;
    return found;
}

static bool next_local(struct segment_log_repair_job *job, struct segment_scan_record *ret)
{
    const uint64_t index = job->scan.at.index + 1;
    if (!job->old_file) return false;
    if (index >= job->distrust_first && index <= job->distrust_last) return false;
    if (job->next_whole_index > index) return false;
    if (scan__next(&job->scan, ret) == SEGMENT_SCAN_RECORD) return true;
    return find_follower(job) && scan__next(&job->scan, ret) == SEGMENT_SCAN_RECORD;
}

static uint64_t last_wanted(const struct segment_log_repair_job *job)
{
    const uint64_t index = job->scan.at.index + 1;
    if (index >= job->distrust_first && index <= job->distrust_last) return job->distrust_last;
    uint64_t last = job->end.index;
    if (job->next_whole_index > index) last = job->next_whole_index - 1;
    return last;
}

static bool note_term(struct segment_log_repair_job *job, const struct entry_header *header)
{
    if (job->terms_count > 0 && job->terms[job->terms_count - 1].term == header->term) return true;
    if (job->terms_count == job->terms_capacity) {
        uint32_t capacity = job->terms_capacity ? 2 * job->terms_capacity : 16;
        struct term_run *terms = realloc(job->terms, capacity * sizeof *terms);
        if (!terms) return write_failed(job, -ENOSPC, "out of memory");
        job->terms = terms;
        job->terms_capacity = capacity;
    }
    job->terms[job->terms_count++] = (struct term_run){header->index, header->term};
    return true;
}

static bool note_configuration(struct segment_log_repair_job *job,
                               const struct segment_scan_record *record)
{
    if (record->header.type != ENTRY_CONFIG || !job->on_configuration) return true;
    const uint32_t bytes = record->header.payload_bytes;
    struct repair_configuration *found = malloc(sizeof *found + bytes);
    if (!found) return write_failed(job, -ENOSPC, "out of memory");
    found->next = NULL;
    found->index = record->header.index;
    found->payload_bytes = bytes;
    if (bytes > 0) memcpy(found->payload, record->payload, bytes);
    *job->configurations_tail = found;
    job->configurations_tail = &found->next;
    return true;
}

/* ---- pieces ------------------------------------------------------------------------------------------ */

static bool take_supplied(struct segment_log_repair_job *job)
{
    struct entry_header header;
    const uint8_t *bytes = job->supply + job->supply_done;
    entry__parse(bytes, &header); /* checked when it was supplied */
    const size_t size = entry_bytes(header.payload_bytes);
    if (!note_term(job, &header) || !write_record(job, bytes, size)) return false;
    job->scan.at = scan__point_behind(&header);
    job->at_is_local = false;
    job->supply_done += size;
    if (job->supply_done < job->supply_bytes) return true;
    free(job->supply);
    job->supply = NULL;
    job->supply_bytes = job->supply_done = 0;
    return true;
}

void repair__run_build(struct segment_log_repair_job *job)
{
    if (!job->has_begun) {
        if (!begin(job)) return;
        scan__init(&job->scan, job->old_file, job->seed, job->header.sector_bytes,
                   &job->header.base, SEGMENT_DATA_POS, job->old_limit_pos);
        job->scan.trail = job->trail;
    }
    size_t done = 0;
    while (job->scan.at.index < job->end.index) {
        struct segment_scan_record record;
        if (done >= PIECE_BYTES) return;
        if (job->supply) {
            const size_t before = job->supply_done;
            if (!take_supplied(job)) return;
            done += job->supply ? job->supply_done - before : ENTRY_HEADER_BYTES;
        } else if (next_local(job, &record)) {
            if (!note_term(job, &record.header) || !note_configuration(job, &record) ||
                !write_record(job, record.bytes, record.bytes_count)) {
                return;
            }
            job->at_is_local = true;
            done += record.bytes_count;
        } else {
            if (job->scan.error) {
                repair__end_with(job, SEGMENT_LOG_IO, job->scan.pos, job->scan.error,
                                 "reading the damaged segment failed");
                return;
            }
            job->wants = true;
            job->want_last = last_wanted(job);
            return;
        }
    }
    complete(job);
}

/* ---- reading back -------------------------------------------------------------------------------------- */

static bool check_front(struct segment_log_repair_job *job)
{
    uint8_t block[SEGMENT_BLOCK_BYTES] = {0};
    struct segment_header header;
    struct segment_marks marks;
    if (disk_pread(job->new_file, block, sizeof block, 0) != (ssize_t)sizeof block ||
        segment_format__decode_header(block, &header) != SEGMENT_FORMAT_OK ||
        marks__read(job->new_file, job->seed, &header, &marks) != 0) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        const struct segment_mark *mark = &marks.mark[i];
        if (!marks.valid[i] || !mark->continued || mark->end_pos != job->write_pos ||
            !points__are_equal(&mark->point, &job->end)) {
            return false;
        }
    }
    return header.sequence == job->header.sequence &&
           points__are_equal(&header.base, &job->header.base) &&
           segment__init(&job->fresh, &job->header);
}

void repair__run_check(struct segment_log_repair_job *job)
{
    static const char not_whole[] = "the repaired segment does not read back whole";
    if (!job->fresh.points) {
        if (!check_front(job)) {
            repair__end_with(job, SEGMENT_LOG_DAMAGED, 0, 0, not_whole);
            return;
        }
        repair__forget_configurations(job);
        job->terms_count = 0;
        scan__init(&job->check, job->new_file, job->seed, job->header.sector_bytes,
                   &job->header.base, SEGMENT_DATA_POS, job->write_pos);
    }
    const uint64_t until_pos = job->check.pos + PIECE_BYTES;
    while (job->check.at.index < job->end.index) {
        const struct segment_log_point before = job->check.at;
        struct segment_scan_record record;
        if (job->check.pos >= until_pos) return;
        if (scan__next(&job->check, &record) != SEGMENT_SCAN_RECORD) {
            repair__end_with(job, SEGMENT_LOG_DAMAGED, job->check.pos, job->check.error, not_whole);
            return;
        }
        segment__add_point(&job->fresh, record.pos, &before);
        if (!note_term(job, &record.header) || !note_configuration(job, &record)) return;
    }
    if (!points__are_equal(&job->check.at, &job->end) || job->check.pos != job->write_pos) {
        repair__end_with(job, SEGMENT_LOG_DAMAGED, job->check.pos, 0, not_whole);
        return;
    }
    job->fresh.last_index = job->end.index;
    job->fresh.end_pos = job->fresh.file_bytes = job->write_pos;
    job->phase = REPAIR_READY;
}
