/* Opening a log after anything (PROTOCOL L6, L9, L10).
 *
 *   look   every file: sync and drop the cache, read header and marks, follow the chain from the device. Nothing is
 *          changed; any verdict but OK ends here.
 *   mend   what a crash left half done, always towards the state that was looked at: restore the sector that a truncation
 *          was rewriting, unlink segments behind the last one and in front of an installed base, zero the torn tail, sync, write fresh marks.
 *
 * Where the log ends:
 *   - the first segment whose newest mark does not say "continued" is the last; files behind it hold nothing that was
 *     ever acknowledged (an unfinished roll) or are being dropped (a truncation).
 *   - in a continued segment everything up to the mark must be whole; what stands behind is ignored.
 *   - in the last one the chain ends the log, but not in front of the mark: that is damage. */
#include "log.h"

#include <planted/planted.h>

#include "footer.h"
#include "scan.h"

#include "bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct found_segment {
    uint64_t sequence;
    struct segment_header header;
    bool mend_marks; /* continued, but one of its blocks does not say so */
};

/* A CONFIG entry, told when all of the log is known to be whole. */
struct found_configuration {
    struct found_configuration *next;
    uint64_t index;
    uint32_t payload_bytes;
    uint8_t payload[];
};

struct recovery {
    struct segment_log *log; /* made when the first header is known */
    const struct segment_log_options *options;
    struct segment_log_problem *problem;
    uint64_t seed;
    struct found_segment *found;
    uint32_t found_count, found_capacity;
    bool out_of_memory;
    uint64_t *replaced; /* sequences in front of an installed base, rising */
    uint32_t replaced_count;
    bool has_base; /* the entry of options->base was passed */
    struct found_configuration *configurations, **configurations_tail;

    char path[DISK_PATH_MAX]; /* the segment being looked at */
    struct disk_file *file;
    struct segment_marks marks;
    uint64_t file_bytes;
};

static enum segment_log_status fail(struct recovery *recovery, enum segment_log_status status,
                                    uint64_t pos, uint64_t index, int error, const char *reason)
{
    problem__set(recovery->problem, recovery->path, pos, index, error, "%s", reason);
    return status;
}

/* ---- look ------------------------------------------------------------------------------------------- */

static void add_name(void *data, const char *name)
{
    struct recovery *recovery = data;
    uint64_t sequence;
    if (!segment_format__parse_name(name, &sequence)) return;
    if (recovery->found_count == recovery->found_capacity) {
        uint32_t capacity = recovery->found_capacity ? 2 * recovery->found_capacity : 16;
        struct found_segment *found = realloc(recovery->found, capacity * sizeof *found);
        if (!found) {
            recovery->out_of_memory = true;
            return;
        }
        recovery->found = found;
        recovery->found_capacity = capacity;
    }
    recovery->found[recovery->found_count++] = (struct found_segment){.sequence = sequence};
}

static enum segment_log_status list_segments(struct recovery *recovery)
{
    const struct segment_log_options *options = recovery->options;
    memcpy(recovery->path, "", 1);
    size_t length = strlen(options->directory);
    if (length + SEGMENT_NAME_BYTES + 1 > DISK_PATH_MAX) {
        return fail(recovery, SEGMENT_LOG_IO, 0, 0, -ENAMETOOLONG,
                    "the directory's name is too long");
    }
    memcpy(recovery->path, options->directory, length + 1);
    int error = disk_list(options->disk, options->directory, add_name, recovery);
    if (error == -ENOENT) {
        return fail(recovery, SEGMENT_LOG_MISSING, 0, 0, error, "there is no such directory");
    }
    if (!error && recovery->out_of_memory) error = -ENOMEM;
    if (error) return fail(recovery, SEGMENT_LOG_IO, 0, 0, error, "listing the directory failed");
    if (recovery->found_count == 0) {
        return fail(recovery, SEGMENT_LOG_MISSING, 0, 0, 0, "the directory holds no segment");
    }
    return SEGMENT_LOG_OK;
}

/* Open a segment, have its bytes come from the device, read header and marks. *ret_whole is false when its header is not
 * there (an unfinished birth, or damage: the caller knows which). */
static enum segment_log_status open_segment(struct recovery *recovery, struct found_segment *found,
                                            bool *ret_whole)
{
    *ret_whole = false;
    bool fits = segment_format__path(recovery->options->directory, found->sequence, recovery->path);
    assert(fits);
    (void)fits;
    int error = disk_open(recovery->options->disk, recovery->path, DISK_WRITE, &recovery->file);
    if (error) return fail(recovery, SEGMENT_LOG_IO, 0, 0, error, "opening the segment failed");
    if (!PLANTED(L9_PAGE_CACHE_IS_TRUSTED)) error = disk_drop_cache(recovery->file);
    if (error) return fail(recovery, SEGMENT_LOG_IO, 0, 0, error, "syncing the segment failed");
    uint8_t block[SEGMENT_BLOCK_BYTES] = {0};
    ssize_t got = disk_pread(recovery->file, block, sizeof block, 0);
    if (got < 0) return fail(recovery, SEGMENT_LOG_IO, 0, 0, (int)got, "reading the header failed");
    switch (segment_format__decode_header(block, &found->header)) {
    case SEGMENT_FORMAT_BAD:
        return SEGMENT_LOG_OK;
    case SEGMENT_FORMAT_VERSION:
        return fail(recovery, SEGMENT_LOG_BAD_VERSION, 0, 0, 0,
                    "the segment has another format version");
    case SEGMENT_FORMAT_OK:
        break;
    }
    const struct segment_header *header = &found->header;
    if (memcmp(&header->cluster, &recovery->options->cluster, sizeof header->cluster) != 0) {
        return fail(recovery, SEGMENT_LOG_FOREIGN, 0, 0, 0, "the segment is of another cluster");
    }
    if (header->group != recovery->options->group) {
        return fail(recovery, SEGMENT_LOG_FOREIGN, 0, 0, 0, "the segment is of another group");
    }
    if (header->sequence != found->sequence) return SEGMENT_LOG_OK;
    error = marks__read(recovery->file, recovery->seed, header, &recovery->marks);
    if (!error) error = disk_size(recovery->file, &recovery->file_bytes);
    if (error) return fail(recovery, SEGMENT_LOG_IO, 0, 0, error, "reading the marks failed");
    if (recovery->marks.other_version) {
        return fail(recovery, SEGMENT_LOG_BAD_VERSION, SEGMENT_BLOCK_BYTES, 0, 0,
                    "a synced mark has another format version");
    }
    *ret_whole = true;
    return SEGMENT_LOG_OK;
}

static void close_segment(struct recovery *recovery)
{
    disk_close(recovery->file);
    recovery->file = NULL;
}

static bool points_are_equal(const struct segment_log_point *a, const struct segment_log_point *b)
{
    return a->index == b->index && a->term == b->term && a->chain == b->chain &&
           a->next_offset == b->next_offset && a->timestamp_ms == b->timestamp_ms;
}

static void note_base(struct recovery *recovery, const struct segment_log_point *at)
{
    const struct segment_log_point *base = recovery->options->base;
    if (base && at->index == base->index && at->term == base->term && at->chain == base->chain) {
        recovery->has_base = true;
    }
}

static bool add_configuration(struct recovery *recovery, uint64_t index, const uint8_t *payload,
                              uint32_t bytes)
{
    if (!recovery->options->on_configuration) return true;
    struct found_configuration *found = malloc(sizeof *found + bytes);
    if (!found) return false;
    found->next = NULL;
    found->index = index;
    found->payload_bytes = bytes;
    if (bytes > 0) memcpy(found->payload, payload, bytes);
    *recovery->configurations_tail = found;
    recovery->configurations_tail = &found->next;
    return true;
}

static void forget_configurations(struct recovery *recovery)
{
    while (recovery->configurations) {
        struct found_configuration *next = recovery->configurations->next;
        free(recovery->configurations);
        recovery->configurations = next;
    }
    recovery->configurations_tail = &recovery->configurations;
}

static enum segment_log_status take_record(struct recovery *recovery, struct segment *segment,
                                           const struct segment_log_point *before,
                                           const struct segment_scan_record *record)
{
    struct segment_log *log = recovery->log;
    segment__add_point(segment, record->pos, before);
    uint8_t *place = log__reserve_run(log) ? cache__place(&log->cache, record->bytes_count) : NULL;
    if (!place) return fail(recovery, SEGMENT_LOG_IO, record->pos, 0, -ENOMEM, "out of memory");
    memcpy(place, record->bytes, record->bytes_count);
    cache__add(&log->cache, &record->header, record->bytes_count);
    log__add_term(log, record->header.index, record->header.term);
    const struct segment_log_point behind = scan__point_behind(&record->header);
    note_base(recovery, &behind);
    if (record->header.type == ENTRY_CONFIG &&
        !add_configuration(recovery, record->header.index, record->payload,
                           record->header.payload_bytes)) {
        return fail(recovery, SEGMENT_LOG_IO, record->pos, 0, -ENOMEM, "out of memory");
    }
    /* Everything is durable by the time open returns; the newest entries stay in memory. */
    cache__evict(&log->cache, record->header.index);
    return SEGMENT_LOG_OK;
}

/* Follow the records of one segment from the device. */
static enum segment_log_status read_records(struct recovery *recovery, struct segment *segment,
                                            const struct segment_mark *mark)
{
    struct segment_scan scan;
    /* Behind the end of a continued segment nothing counts, so nothing there is even looked at. */
    uint64_t limit_pos = mark->continued ? mark->end_pos : recovery->file_bytes;
    scan__init(&scan, recovery->file, recovery->seed, segment->sector_bytes, &segment->base,
               SEGMENT_DATA_POS, limit_pos);
    scan.restored = mark;
    enum segment_log_status status = SEGMENT_LOG_OK;
    for (;;) {
        if (scan.pos == mark->end_pos && !points_are_equal(&scan.at, &mark->point)) {
            status = fail(recovery, SEGMENT_LOG_DAMAGED, scan.pos, scan.at.index, 0,
                          "the chain does not lead to the synced mark");
            break;
        }
        struct segment_log_point before = scan.at;
        uint64_t before_pos = scan.pos;
        struct segment_scan_record record;
        enum segment_scan_status found = scan__next(&scan, &record);
        if (found == SEGMENT_SCAN_IO) {
            status = fail(recovery, SEGMENT_LOG_IO, scan.pos, scan.at.index + 1, scan.error,
                          "reading records failed");
            break;
        }
        if (found == SEGMENT_SCAN_END) {
            /* Not in front of the mark: what was synced and is not there is damage, never a short log (L10). */
            if (scan.pos < mark->end_pos && !PLANTED(L10_DAMAGE_IS_A_SHORT_LOG)) {
                status = fail(recovery, SEGMENT_LOG_DAMAGED, scan.bad_pos, scan.at.index + 1, 0,
                              scan.reason);
            }
            break;
        }
        if (before_pos < mark->end_pos && scan.pos > mark->end_pos) {
            status = fail(recovery, SEGMENT_LOG_DAMAGED, record.pos, record.header.index, 0,
                          "a record reaches across the synced mark");
            break;
        }
        status = take_record(recovery, segment, &before, &record);
        if (status != SEGMENT_LOG_OK) break;
    }
    segment->end_pos = scan.pos;
    segment->last_index = scan.at.index;
    segment->file_bytes = recovery->file_bytes;
    recovery->log->last = scan.at;
    scan__close(&scan);
    return status;
}

/* ---- sealed segments: footers instead of records ------------------------------------------------------ */

/* The chain from the point in front of it leads to the base that the log must hold. */
static bool find_base(struct recovery *recovery, const struct segment_footer *footer)
{
    const struct segment_log_point *base = recovery->options->base;
    struct footer_point *points;
    int error;
    if (footer__read_points(recovery->file, recovery->seed, footer, &points, &error) != FOOTER_OK) {
        return false;
    }
    const struct segment_point *start =
        footer__find(points, footer->points_count, SEGMENT_LOG_BY_INDEX, base->index);
    struct segment_scan scan;
    scan__init(&scan, recovery->file, recovery->seed, footer->sector_bytes, &start->before,
               start->pos, footer->end_pos);
    struct segment_scan_record record;
    while (scan.at.index < base->index && scan__next(&scan, &record) == SEGMENT_SCAN_RECORD) {
    }
    bool found = scan.at.index == base->index;
    if (found) note_base(recovery, &scan.at);
    scan__close(&scan);
    free(points);
    return found;
}

static bool take_facts(struct recovery *recovery, const struct segment_footer *footer,
                       const uint8_t *facts)
{
    struct segment_log *log = recovery->log;
    for (uint32_t i = 0; i < footer->terms_count; i++) {
        if (!log__reserve_run(log)) return false;
        const struct footer_term term = footer__term(facts, i);
        log__add_term(log, term.first_index, term.term);
    }
    size_t at = footer__configurations_pos(footer);
    for (uint32_t i = 0; i < footer->configurations_count; i++) {
        const struct footer_configuration found = footer__next_configuration(facts, &at);
        if (!add_configuration(recovery, found.index, found.payload, found.payload_bytes)) {
            return false;
        }
    }
    return true;
}

/* L9: a valid footer stands for the records. *ret_adopted is false when there is none: that is no damage, the segment is
 * walked and gets a new one. */
static enum segment_log_status adopt_footer(struct recovery *recovery, struct segment *segment,
                                            const struct segment_header *header,
                                            const struct segment_mark *mark, bool *ret_adopted)
{
    *ret_adopted = false;
    struct segment_footer footer;
    uint8_t *facts;
    int error;
    if (footer__read(recovery->file, recovery->seed, recovery->file_bytes, &footer, &error) !=
            FOOTER_OK ||
        !footer__matches(&footer, header, mark)) {
        return SEGMENT_LOG_OK;
    }
    const struct segment_log_point *base = recovery->options->base;
    bool has_base_inside =
        base && base->index > footer.base.index && base->index < footer.last.index;
    if (has_base_inside && !find_base(recovery, &footer)) return SEGMENT_LOG_OK;
    if (footer__read_facts(recovery->file, recovery->seed, &footer, &facts, &error) != FOOTER_OK) {
        return SEGMENT_LOG_OK;
    }
    bool taken = take_facts(recovery, &footer, facts);
    free(facts);
    if (!taken) return fail(recovery, SEGMENT_LOG_IO, 0, 0, -ENOMEM, "out of memory");
    segment->last_index = footer.last.index;
    segment->end_pos = footer.end_pos;
    segment->file_bytes = recovery->file_bytes;
    segment__seal(segment, &footer);
    recovery->log->last = footer.last;
    note_base(recovery, &footer.last);
    cache__reset(&recovery->log->cache, &footer.last);
    *ret_adopted = true;
    return SEGMENT_LOG_OK;
}

static enum segment_log_status look_at_segment(struct recovery *recovery, uint32_t position,
                                               bool *ret_continued)
{
    struct found_segment *found = &recovery->found[position];
    bool whole;
    enum segment_log_status status = open_segment(recovery, found, &whole);
    if (status != SEGMENT_LOG_OK) return status;
    if (position == 0) {
        if (!whole) {
            return fail(recovery, SEGMENT_LOG_DAMAGED, 0, 0, 0,
                        "the header of the first segment is damaged");
        }
        recovery->log = log__new(recovery->options, &found->header.base);
        if (!recovery->log) return fail(recovery, SEGMENT_LOG_IO, 0, 0, -ENOMEM, "out of memory");
    }
    struct segment_log *log = recovery->log;
    note_base(recovery, &found->header.base);
    if (!whole || found->sequence != recovery->found[0].sequence + position ||
        !points_are_equal(&found->header.base, &log->last)) {
        return fail(recovery, SEGMENT_LOG_LOST_POSITION, 0, log->last.index + 1, 0,
                    "the segment before says it is continued, but this does not follow it");
    }
    if (recovery->marks.newest < 0) {
        return fail(recovery, SEGMENT_LOG_LOST_POSITION, SEGMENT_BLOCK_BYTES, 0, 0,
                    "neither synced mark is valid");
    }
    if (!log__reserve_segment(log)) {
        return fail(recovery, SEGMENT_LOG_IO, 0, 0, -ENOMEM, "out of memory");
    }
    struct segment *segment = &log->segments[log->segments_count];
    if (!segment__init(segment, &found->header)) {
        return fail(recovery, SEGMENT_LOG_IO, 0, 0, -ENOMEM, "out of memory");
    }
    log->segments_count++;
    const struct segment_mark *mark = &recovery->marks.mark[recovery->marks.newest];
    const struct segment_mark *other = &recovery->marks.mark[1 - recovery->marks.newest];
    *ret_continued = mark->continued;
    found->mend_marks = mark->continued && !(recovery->marks.valid[1 - recovery->marks.newest] &&
                                             other->continued && other->end_pos == mark->end_pos);
    bool adopted;
    status = adopt_footer(recovery, segment, &found->header, mark, &adopted);
    if (status != SEGMENT_LOG_OK || adopted) return status;
    return read_records(recovery, segment, mark);
}

static enum segment_log_status look_at_segments(struct recovery *recovery)
{
    bool continued = true;
    for (uint32_t i = 0; continued; i++) {
        if (i == recovery->found_count) {
            return fail(recovery, SEGMENT_LOG_LOST_POSITION, 0, recovery->log->last.index + 1, 0,
                        "the segment says it is continued, but there is none behind it");
        }
        close_segment(recovery);
        enum segment_log_status status = look_at_segment(recovery, i, &continued);
        if (status != SEGMENT_LOG_OK) return status;
    }
    const struct segment_log_point *base = recovery->options->base;
    if (!base || recovery->has_base) return SEGMENT_LOG_OK;
    const uint64_t last_index = recovery->log->last.index;
    return fail(recovery,
                base->index > last_index ? SEGMENT_LOG_LOST_POSITION : SEGMENT_LOG_DAMAGED, 0,
                base->index, 0, "the log does not hold the entry of its newest base");
}

/* The newest file, when it was born behind the newest base and that base has been published. */
static enum segment_log_status find_installed(struct recovery *recovery, bool *ret_found)
{
    *ret_found = false;
    if (!recovery->options->base || recovery->found_count < 2) return SEGMENT_LOG_OK;
    bool whole;
    struct found_segment *newest = &recovery->found[recovery->found_count - 1];
    enum segment_log_status status = open_segment(recovery, newest, &whole);
    close_segment(recovery);
    if (status != SEGMENT_LOG_OK || !whole || !newest->header.installed) return status;
    *ret_found = points_are_equal(&newest->header.base, recovery->options->base);
    return SEGMENT_LOG_OK;
}

/* Forget what was looked at; the newest file alone is the log. */
static bool keep_installed(struct recovery *recovery)
{
    const uint32_t count = recovery->found_count - 1;
    recovery->replaced = calloc(count, sizeof *recovery->replaced);
    if (!recovery->replaced) return false;
    for (uint32_t i = 0; i < count; i++) {
        recovery->replaced[i] = recovery->found[i].sequence;
    }
    recovery->replaced_count = count;
    recovery->found[0] = recovery->found[count];
    recovery->found_count = 1;
    segment_log_close(recovery->log);
    recovery->log = NULL;
    recovery->has_base = false;
    forget_configurations(recovery);
    return true;
}

/* S3: an installed base is preferred to a log that lacks its entry, also when that log cannot even be read: nothing was
 * written into it since the birth. A log that has the entry is kept. */
static enum segment_log_status look(struct recovery *recovery)
{
    bool installed;
    enum segment_log_status status = list_segments(recovery);
    if (status == SEGMENT_LOG_OK) status = find_installed(recovery, &installed);
    if (status != SEGMENT_LOG_OK) return status;
    status = look_at_segments(recovery);
    if (!installed) return status;
    if (status != SEGMENT_LOG_DAMAGED && status != SEGMENT_LOG_LOST_POSITION) return status;
    close_segment(recovery);
    if (!keep_installed(recovery)) {
        return fail(recovery, SEGMENT_LOG_IO, 0, 0, -ENOMEM, "out of memory");
    }
    return look_at_segments(recovery);
}

/* ---- mend ------------------------------------------------------------------------------------------- */

/* A crash between the two marks of a hand-over: write the second one now, so that one rotten block can never make an older
 * "not continued" speak again. */
static int mend_continued(struct recovery *recovery, const struct found_segment *found)
{
    struct segment_log *log = recovery->log;
    log__segment_path(log, found->sequence, recovery->path);
    struct disk_file *file;
    int error = disk_open(log->options.disk, recovery->path, DISK_WRITE, &file);
    if (error) return error;
    struct segment_marks marks;
    error = marks__read(file, log->seed, &found->header, &marks);
    if (!error && marks.newest < 0) error = -EIO;
    if (!error) {
        struct segment_writer writer;
        struct sync_count count = {0};
        writer__init(&writer, file, &found->header, &marks, 0);
        struct segment_mark mark = marks.mark[marks.newest];
        error = writer__write_mark(&writer, log->seed, &mark);
        if (!error) error = writer__sync(&writer, &count);
    }
    disk_close(file);
    return error;
}

/* Files that hold nothing of the log: in front of an installed base, and behind the last segment. */
static int unlink_others(struct recovery *recovery)
{
    struct segment_log *log = recovery->log;
    for (uint32_t i = 0; i < recovery->replaced_count; i++) {
        log__segment_path(log, recovery->replaced[i], recovery->path);
        int error = disk_unlink(log->options.disk, recovery->path);
        if (error) return error;
    }
    for (uint32_t i = recovery->found_count; i > log->segments_count; i--) {
        log__segment_path(log, recovery->found[i - 1].sequence, recovery->path);
        int error = disk_unlink(log->options.disk, recovery->path);
        if (error) return error;
    }
    return 0;
}

/* The last segment: finish what a truncation began, cut the torn tail, write fresh marks. recovery->file is it. */
static int mend_last(struct recovery *recovery)
{
    struct segment_log *log = recovery->log;
    const struct found_segment *found = &recovery->found[log->segments_count - 1];
    const struct segment *segment = &log->segments[log->segments_count - 1];
    const struct segment_mark *old = &recovery->marks.mark[recovery->marks.newest];
    struct segment_writer *writer = &log->writer;
    writer__init(writer, recovery->file, &found->header, &recovery->marks, recovery->file_bytes);
    recovery->file = NULL;
    log__segment_path(log, segment->sequence, recovery->path);
    int error = 0;
    if (old->tail_bytes > 0) error = writer__restore_tail(writer, old, recovery->file_bytes);
    /* From the next sector on: the sector of the last record is not written again, and the bytes behind that record in it
     * are no record, or the chain would not end here. */
    uint64_t behind = align_up(segment->end_pos, writer->sector_bytes);
    if (!error) error = writer__zero_behind(writer, behind);
    struct sync_count count = {0};
    if (!error) error = writer__sync(writer, &count);
    if (!error) error = disk_size(writer->file, &writer->filled_pos);
    if (error) return error;
    writer->end_pos = segment->end_pos;
    struct segment_mark mark = {.end_pos = segment->end_pos, .point = log->last};
    error = writer__write_both_marks(writer, log->seed, &mark, &count);
    log->syncs_total = count.syncs;
    log->sync_us_last = count.last_us;
    return error;
}

static enum segment_log_status mend(struct recovery *recovery)
{
    struct segment_log *log = recovery->log;
    int error = 0;
    for (uint32_t i = 0; !error && i + 1 < log->segments_count; i++) {
        if (recovery->found[i].mend_marks) error = mend_continued(recovery, &recovery->found[i]);
    }
    if (!error) error = unlink_others(recovery);
    if (!error) error = disk_sync_directory(log->options.disk, log->directory);
    if (!error) error = mend_last(recovery);
    if (error) {
        return fail(recovery, SEGMENT_LOG_IO, 0, log->last.index + 1, error,
                    "writing the recovered state failed");
    }
    struct segment *segment = &log->segments[log->segments_count - 1];
    segment->file_bytes = log->writer.filled_pos;
    log->durable_index = log->last.index;
    log->attempted_index = log->last.index;
    return SEGMENT_LOG_OK;
}

static void tell_configurations(const struct recovery *recovery)
{
    const struct segment_log_options *options = recovery->options;
    for (const struct found_configuration *found = recovery->configurations; found;
         found = found->next) {
        options->on_configuration(options->on_configuration_data, found->index, found->payload,
                                  found->payload_bytes);
    }
}

enum segment_log_status segment_log_open(const struct segment_log_options *options,
                                         struct segment_log **ret_log,
                                         struct segment_log_problem *ret_problem)
{
    struct recovery *recovery = calloc(1, sizeof *recovery);
    if (!recovery) {
        problem__set(ret_problem, options->directory, 0, 0, -ENOMEM, "out of memory");
        return SEGMENT_LOG_IO;
    }
    recovery->options = options;
    recovery->problem = ret_problem;
    recovery->seed = checksum64_group(&options->cluster, options->group);
    recovery->configurations_tail = &recovery->configurations;
    enum segment_log_status status = look(recovery);
    if (status == SEGMENT_LOG_OK) status = mend(recovery);
    close_segment(recovery);
    if (status == SEGMENT_LOG_OK) {
        seal__plan(recovery->log);
        log__check(recovery->log);
        tell_configurations(recovery);
        *ret_log = recovery->log;
    } else {
        segment_log_close(recovery->log);
    }
    forget_configurations(recovery);
    free(recovery->replaced);
    free(recovery->found);
    free(recovery);
    return status;
}
