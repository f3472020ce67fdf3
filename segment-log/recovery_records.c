/* Recovery of what a segment holds: its records from the device, or its footer instead, and what is lost of them. */
#include "recovery.h"

#include <planted/planted.h>

#include "bytes.h"
#include "footer.h"
#include "stretch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_base(const struct recovery *recovery, const struct segment_log_point *at)
{
    const struct segment_log_point *base = recovery->options->base;
    return base && at->index == base->index && at->term == base->term && at->chain == base->chain;
}

void recovery__note_base(struct recovery *recovery, const struct segment_log_point *at)
{
    if (is_base(recovery, at)) recovery->has_base = true;
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

/* Of entries at or behind from_index: they are not of this log. */
void recovery__forget_configurations(struct recovery *recovery, uint64_t from_index)
{
    struct found_configuration **at = &recovery->configurations;
    while (*at && (*at)->index < from_index) {
        at = &(*at)->next;
    }
    while (*at) {
        struct found_configuration *next = (*at)->next;
        free(*at);
        *at = next;
    }
    recovery->configurations_tail = at;
}

enum segment_log_status recovery__out_of_memory(struct recovery *recovery)
{
    return recovery__fail(recovery, SEGMENT_LOG_IO, 0, 0, -ENOMEM, "out of memory");
}

/* `before` is NULL for the first record behind a hole: what is in front of it is not known. */
static enum segment_log_status take_record(struct recovery *recovery, struct segment *segment,
                                           const struct segment_log_point *before,
                                           const struct segment_scan_record *record)
{
    struct segment_log *log = recovery->log;
    if (!log__reserve_run(log)) return recovery__out_of_memory(recovery);
    log__add_term(log, record->header.index, record->header.term);
    const struct segment_log_point behind = scan__point_behind(&record->header);
    recovery__note_base(recovery, &behind);
    if (record->header.type == ENTRY_CONFIG &&
        !add_configuration(recovery, record->header.index, record->payload,
                           record->header.payload_bytes)) {
        return recovery__out_of_memory(recovery);
    }
    if (!before) {
        cache__reset(&log->cache, &behind);
        return SEGMENT_LOG_OK;
    }
    segment__add_point(segment, record->pos, before);
    uint8_t *place = cache__place(&log->cache, record->bytes_count);
    if (!place) return recovery__out_of_memory(recovery);
    memcpy(place, record->bytes, record->bytes_count);
    cache__add(&log->cache, &record->header, record->bytes_count);
    /* Everything is durable by the time open returns; the newest entries stay in memory. */
    cache__evict(&log->cache, record->header.index);
    return SEGMENT_LOG_OK;
}

/* What was taken from there on is not believed any more. */
static void take_back(struct recovery *recovery, struct segment *segment,
                      const struct segment_log_point *before)
{
    log__cut_runs(recovery->log, before->index + 1);
    segment__cut_points(segment, before->index + 1);
    recovery__forget_configurations(recovery, before->index + 1);
}

/* Terms of a hole are known when they are the same on both sides; of its last entry also when the anchor is its end. */
static bool take_terms(struct recovery *recovery, const struct stretch_hole *hole,
                       const struct segment_log_point *end, bool *ret_known)
{
    struct segment_log *log = recovery->log;
    uint64_t behind_term = hole->reaches_end ? end->term : hole->behind.before.term;
    *ret_known = hole->before.term == behind_term ||
                 (hole->reaches_end && hole->first_index == hole->last_index);
    if (!log__reserve_run(log)) return false;
    log__add_term(log, hole->first_index, *ret_known ? behind_term : 0);
    if (!hole->reaches_end) return true;
    if (!log__reserve_run(log)) return false;
    log__add_term(log, hole->last_index, behind_term);
    return true;
}

static enum segment_log_status take_hole(struct recovery *recovery, struct segment *segment,
                                         const struct stretch_hole *hole,
                                         const struct segment_log_point *end)
{
    struct segment_log *log = recovery->log;
    take_back(recovery, segment, &hole->before); /* records told already, not believed any more */
    bool terms_known;
    if (!holes__reserve(log) || !take_terms(recovery, hole, end, &terms_known)) {
        return recovery__out_of_memory(recovery);
    }
    holes__add(log, segment->sequence, hole, terms_known, false);
    segment->unsealable = true; /* until it is repaired */
    if (hole->reaches_end) {
        cache__reset(&log->cache, end);
    } else if (!segment__add_resume(segment, &hole->behind)) {
        return recovery__out_of_memory(recovery);
    }
    return SEGMENT_LOG_OK;
}

/* The records through the mark, which were all synced: what does not check out of them is damage, whatever stands behind. */
static enum segment_log_status read_synced(struct recovery *recovery, struct segment *segment,
                                           struct stretch *stretch)
{
    for (;;) {
        const struct segment_log_point before = stretch->scan.at;
        const bool is_behind_hole = stretch->scan.lone;
        struct segment_scan_record record;
        enum segment_log_status status = SEGMENT_LOG_OK;
        switch (stretch__next(stretch, &record)) {
        case STRETCH_RECORD:
            status = take_record(recovery, segment, is_behind_hole ? NULL : &before, &record);
            /* Whatever made the base had the log through there. */
            if (is_base(recovery, &stretch->scan.at)) stretch->start = stretch->scan.at;
            break;
        case STRETCH_HOLE:
            if (PLANTED(L10_DAMAGE_IS_A_SHORT_LOG)) {
                stretch->scan.at = stretch->hole.before;
                stretch->scan.pos = stretch->hole.pos;
                return SEGMENT_LOG_OK;
            }
            status = take_hole(recovery, segment, &stretch->hole, &stretch->end);
            break;
        case STRETCH_END:
            return SEGMENT_LOG_OK;
        case STRETCH_UNSOUND:
            return recovery__fail(recovery, SEGMENT_LOG_LOST_POSITION, SEGMENT_BLOCK_BYTES,
                                  stretch->end.index, 0,
                                  "the synced mark is not one of this segment's log");
        case STRETCH_IO:
            return recovery__fail(recovery, SEGMENT_LOG_IO, stretch->scan.pos,
                                  stretch->scan.at.index + 1, stretch->scan.error,
                                  "reading records failed");
        }
        if (status != SEGMENT_LOG_OK) return status;
    }
}

/* What is torn behind the end is overwritten with zeros from the next sector on (recovery.c). A record that begins in the
 * sector of the end, and lacks nothing but such zeros, would be whole then: this start has not counted it, the next one would. */
static bool zeros_would_end_a_record(const struct segment_scan *tail)
{
    const uint64_t boundary = align_up(tail->pos, tail->sector_bytes);
    struct segment_scan scan;
    scan__init(&scan, tail->file, tail->group_seed, tail->sector_bytes, &tail->at, tail->pos,
               tail->limit_pos);
    scan.restored = tail->restored;
    scan.zeros_behind = true;
    scan.zeros_pos = boundary;
    struct segment_scan_record record;
    const bool is_ended = tail->pos < boundary && scan__next(&scan, &record) == SEGMENT_SCAN_RECORD;
    scan__close(&scan);
    return is_ended;
}

/* What follows the mark in the last segment, as far as the chain leads: the rest is a torn tail (L10). */
static enum segment_log_status read_tail(struct recovery *recovery, struct segment *segment,
                                         struct segment_scan *scan)
{
    /* The next writes make the file longer, with zeros. A record that only these complete must not come up then, perhaps in
     * front of what is acknowledged: it counts now. */
    scan->limit_pos = align_up(recovery->file_bytes, scan->sector_bytes);
    scan->zeros_behind = !PLANTED(L10_LONGER_FILE_ENDS_A_RECORD);
    if (scan->zeros_behind) scan->limit_pos += entry_bytes(ENTRY_PAYLOAD_BYTES_MAX);
    for (;;) {
        const struct segment_log_point before = scan->at;
        struct segment_scan_record record;
        switch (scan__next(scan, &record)) {
        case SEGMENT_SCAN_RECORD:
            break;
        case SEGMENT_SCAN_END:
            recovery->spoils_tail = zeros_would_end_a_record(scan);
            return SEGMENT_LOG_OK;
        case SEGMENT_SCAN_IO:
            return recovery__fail(recovery, SEGMENT_LOG_IO, scan->pos, scan->at.index + 1,
                                  scan->error, "reading records failed");
        }
        enum segment_log_status status = take_record(recovery, segment, &before, &record);
        if (status != SEGMENT_LOG_OK) return status;
    }
}

/* What was never written is zeros; what the disk cannot read was not. */
static bool holds_something(const struct recovery *recovery, const struct segment *segment)
{
    uint8_t sector[SEGMENT_SECTOR_MAX];
    const ssize_t got = disk_pread(recovery->file, sector, segment->sector_bytes, SEGMENT_DATA_POS);
    return got < 0 || !bytes_are_zero(sector, (size_t)got);
}

/* One lost write can hit the newer mark, which stands in front of the entries, all of them, and what was acknowledged since the
 * older mark: then nothing tells how far the log went. A crash that tears a mark damages nothing in front of the other, nor the
 * first entries when the other says that there are none: they were synced before the one in flight was written. */
static bool is_newer_mark_lost(const struct recovery *recovery, const struct segment *segment,
                               const struct segment_mark *mark)
{
    const struct segment_log *log = recovery->log;
    const struct segment_marks *marks = &recovery->marks;
    if (marks->newest < 0 || marks->valid[1 - marks->newest]) return false;
    if (log->last.index != mark->point.index) return false;
    if (mark->end_pos == SEGMENT_DATA_POS) return holds_something(recovery, segment);
    return holes__holding(log, segment->sequence, mark->point.index) != NULL;
}

/* When both marks and the last entries are lost, nobody knows where these ended: somewhere up to the end of the file. No mark may
 * say that it was right behind those in front: these would contradict it, and what is whole further back would not be looked for. */
static uint64_t end_behind_hole(const struct recovery *recovery, const struct segment *segment,
                                const struct stretch *stretch)
{
    const struct hole *hole = holes__holding(recovery->log, segment->sequence, stretch->end.index);
    if (!hole) return stretch->scan.pos;
    const uint64_t missing = hole->told.last_index - hole->told.first_damaged + 1;
    const uint64_t least = stretch->scan.pos + missing * ENTRY_HEADER_BYTES;
    const uint64_t end = align_up(recovery->file_bytes, ENTRY_ALIGNMENT);
    return end > least ? end : least;
}

/* Follow the records of one segment from the device. */
enum segment_log_status recovery__read_records(struct recovery *recovery, struct segment *segment,
                                               const struct segment_mark *mark)
{
    struct stretch stretch;
    /* Behind the end of a continued segment nothing counts, so nothing there is even looked at. */
    stretch__init(&stretch, recovery->file, recovery->seed, segment->sector_bytes,
                  &segment->points[0], &mark->point, mark->end_pos, recovery->file_bytes);
    stretch.scan.restored = mark;
    if (mark->tail_bytes > 0) stretch.scan.limit_pos = mark->end_pos;
    /* The last file gets an end back that it lost (recovery.c): read as it will be, or the next start finds another log. */
    if (!mark->continued) {
        stretch.scan.limit_pos = mark->end_pos;
        stretch.scan.zeros_behind = true;
    }
    enum segment_log_status status = read_synced(recovery, segment, &stretch);
    if (status == SEGMENT_LOG_OK && !mark->continued) {
        const struct segment_point behind = {.pos = stretch.scan.pos, .before = stretch.scan.at};
        /* Should the last synced entries be a hole, reading goes on right behind them. */
        if (recovery->log->holes_count > 0 && !segment__add_resume(segment, &behind)) {
            status = recovery__out_of_memory(recovery);
        }
        if (status == SEGMENT_LOG_OK) status = read_tail(recovery, segment, &stretch.scan);
    }
    segment->end_pos = stretch.scan.pos;
    if (mark->end_pos == 0) segment->end_pos = end_behind_hole(recovery, segment, &stretch);
    segment->last_index = stretch.scan.at.index;
    segment->file_bytes = recovery->file_bytes;
    recovery->log->last = stretch.scan.at;
    recovery->met_unreadable = stretch.scan.met_unreadable;
    stretch__close(&stretch);
    if (status == SEGMENT_LOG_OK && !mark->continued &&
        is_newer_mark_lost(recovery, segment, mark)) {
        return recovery__fail(
            recovery, SEGMENT_LOG_LOST_POSITION, SEGMENT_BLOCK_BYTES, mark->point.index, 0,
            "one synced mark is damaged, and so are the entries in front of the other");
    }
    return status;
}

/* All entries of a segment whose file is lost. */
enum segment_log_status recovery__take_lost(struct recovery *recovery, struct found_segment *found,
                                            struct segment *segment,
                                            const struct segment_log_point *end)
{
    const bool is_empty = points__are_equal(&segment->base, end);
    if (!is_empty && end->index <= segment->base.index) {
        return recovery__fail(recovery, SEGMENT_LOG_LOST_POSITION, 0, end->index, 0,
                              "the segments on both sides of this one contradict each other");
    }
    segment->last_index = end->index;
    segment->missing = !is_empty;
    found->make_empty = is_empty;
    recovery->log->last = *end;
    if (is_empty) return SEGMENT_LOG_OK;
    const struct stretch_hole hole = {
        .first_index = segment->base.index + 1,
        .last_index = end->index,
        .before = segment->base,
        .reason = recovery->file ? "the file holds no segment" : "the file is missing",
        .reaches_end = true,
    };
    return take_hole(recovery, segment, &hole, end);
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
    scan__start(&scan, recovery->file, recovery->seed, footer->sector_bytes, start,
                footer->end_pos);
    struct segment_scan_record record;
    while (scan.at.index < base->index && scan__next(&scan, &record) == SEGMENT_SCAN_RECORD) {
    }
    bool found = scan.at.index == base->index;
    if (found) recovery__note_base(recovery, &scan.at);
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

bool recovery__adopt_footer(struct recovery *recovery, struct segment *segment,
                            const struct segment_header *header, const struct segment_mark *mark)
{
    const struct segment_footer *footer = &recovery->footer;
    if (!recovery->has_footer || !footer__matches(footer, header, mark)) return false;
    const struct segment_log_point *base = recovery->options->base;
    bool has_base_inside =
        base && base->index > footer->base.index && base->index < footer->last.index;
    if (has_base_inside && !find_base(recovery, footer)) return false;
    uint8_t *facts;
    int error;
    if (footer__read_facts(recovery->file, recovery->seed, footer, &facts, &error) != FOOTER_OK) {
        return false;
    }
    bool taken = take_facts(recovery, footer, facts);
    free(facts);
    if (!taken) {
        take_back(recovery, segment, &segment->base);
        return false;
    }
    segment->last_index = footer->last.index;
    segment->end_pos = footer->end_pos;
    segment->file_bytes = recovery->file_bytes;
    segment__seal(segment, footer);
    recovery->log->last = footer->last;
    recovery__note_base(recovery, &footer->last);
    cache__reset(&recovery->log->cache, &footer->last);
    return true;
}
