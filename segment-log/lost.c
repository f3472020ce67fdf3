/* Recovery of files that lost their header, their marks, or themselves: the files beside them tell what they said. */
#include "recovery.h"
#include "stretch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* More files than this are not lost in one place: a stray file with a high number is no reason to look for them. */
#define GAP_MAX 4096u

static bool insert_absent(struct recovery *recovery, uint32_t position, uint64_t sequence,
                          uint32_t count)
{
    uint32_t needed = recovery->found_count + count;
    if (needed > recovery->found_capacity) {
        struct found_segment *found = realloc(recovery->found, needed * sizeof *found);
        if (!found) return false;
        recovery->found = found;
        recovery->found_capacity = needed;
    }
    memmove(recovery->found + position + count, recovery->found + position,
            (recovery->found_count - position) * sizeof *recovery->found);
    for (uint32_t i = 0; i < count; i++) {
        recovery->found[position + i] =
            (struct found_segment){.sequence = sequence + i, .is_absent = true};
    }
    recovery->found_count = needed;
    return true;
}

/* The log should start in front of what its first file says. */
static enum segment_log_status fill_front(struct recovery *recovery)
{
    const struct segment_log_point *start = recovery->options->start;
    struct found_segment *first = &recovery->found[0];
    if (!start || first->sequence == 1) return SEGMENT_LOG_OK;
    enum segment_log_status status = recovery__open_segment(recovery, first);
    recovery__close_segment(recovery);
    if (status != SEGMENT_LOG_OK || !first->header_is_whole) return status;
    if (first->header.installed || first->header.base.index <= start->index) return SEGMENT_LOG_OK;
    if (insert_absent(recovery, 0, first->sequence - 1, 1)) return SEGMENT_LOG_OK;
    return recovery__fail(recovery, SEGMENT_LOG_IO, 0, 0, -ENOMEM, "out of memory");
}

enum segment_log_status recovery__fill_gaps(struct recovery *recovery)
{
    for (uint32_t i = 1; i < recovery->found_count; i++) {
        uint64_t sequence = recovery->found[i - 1].sequence + 1;
        uint64_t gap = recovery->found[i].sequence - sequence;
        if (gap == 0 || gap > GAP_MAX) continue;
        if (!insert_absent(recovery, i, sequence, (uint32_t)gap)) {
            return recovery__fail(recovery, SEGMENT_LOG_IO, 0, 0, -ENOMEM, "out of memory");
        }
        i += (uint32_t)gap;
    }
    return fill_front(recovery);
}

/* Does the first record of the open file follow this point? */
static bool first_record_follows(struct recovery *recovery, const struct segment_log_point *point)
{
    struct segment_scan scan;
    struct segment_scan_record record;
    scan__init(&scan, recovery->file, recovery->seed, SEGMENT_SECTOR_BYTES, point, SEGMENT_DATA_POS,
               recovery->file_bytes);
    bool follows = scan__next(&scan, &record) == SEGMENT_SCAN_RECORD;
    scan__close(&scan);
    return follows;
}

bool recovery__find_first_base(struct recovery *recovery, const struct found_segment *found,
                               struct segment_log_point *ret_base)
{
    const struct segment_log_options *options = recovery->options;
    /* A mark of no entries is the point behind which the segment was born. */
    if (recovery->file && recovery->marks.newest >= 0) {
        const struct segment_mark *mark = &recovery->marks.mark[recovery->marks.newest];
        if (mark->end_pos == SEGMENT_DATA_POS) {
            *ret_base = mark->point;
            return true;
        }
    }
    const struct segment_log_point origin = {.chain = recovery->seed};
    const struct segment_log_point *candidates[] = {&origin, options->start, options->base};
    for (size_t i = found->sequence == 1 ? 0 : 1; i < sizeof candidates / sizeof *candidates; i++) {
        if (!recovery->file || !candidates[i]) continue;
        if (!first_record_follows(recovery, candidates[i])) continue;
        *ret_base = *candidates[i];
        return true;
    }
    if (!options->start) return false;
    *ret_base = *options->start;
    return true;
}

/* The first segment behind `position` that tells something about itself. An installed one is no successor of any. */
static enum segment_log_status find_usable(struct recovery *recovery, uint32_t position,
                                           uint32_t *ret_position)
{
    *ret_position = 0;
    for (uint32_t i = position + 1; i < recovery->found_count; i++) {
        struct found_segment *next = &recovery->found[i];
        recovery__close_segment(recovery);
        enum segment_log_status status = recovery__open_segment(recovery, next);
        if (status != SEGMENT_LOG_OK) return status;
        if (next->header_is_whole && next->header.installed) break;
        if (!next->header_is_whole && recovery->marks.newest < 0) continue;
        *ret_position = i;
        break;
    }
    return SEGMENT_LOG_OK;
}

/* How far the records follow from the base, when nothing else tells. */
static enum segment_log_status follow_front(struct recovery *recovery,
                                            const struct found_segment *found)
{
    struct segment_scan scan;
    scan__init(&scan, recovery->file, recovery->seed, found->header.sector_bytes,
               &found->header.base, SEGMENT_DATA_POS, recovery->file_bytes);
    struct segment_scan_record record;
    enum segment_scan_status status;
    do {
        status = scan__next(&scan, &record);
    } while (status == SEGMENT_SCAN_RECORD);
    recovery->end.end_pos = scan.pos;
    recovery->end.point = scan.at;
    int error = scan.error;
    scan__close(&scan);
    if (status != SEGMENT_SCAN_IO) return SEGMENT_LOG_OK;
    return recovery__fail(recovery, SEGMENT_LOG_IO, SEGMENT_DATA_POS, 0, error,
                          "reading records failed");
}

/* Open it again for its bytes alone: its header stays as it was settled. */
static enum segment_log_status open_again(struct recovery *recovery, struct found_segment *found)
{
    const struct found_segment settled = *found;
    recovery__close_segment(recovery);
    enum segment_log_status status = recovery__open_segment(recovery, found);
    *found = settled;
    return status;
}

/* The other mark is damaged. When the one that is left is an old one, which a lost write did not replace, everything behind
 * would be dropped with the next file. Should that file be left of a roll or a truncation that did not end, taking it for
 * the successor gives the log as it was before, of which nothing was acknowledged otherwise. Not one that was being born
 * when the power went, and lacks its marks: nothing was ever in it. */
enum segment_log_status recovery__has_successor(struct recovery *recovery, uint32_t position,
                                                bool *ret_has_successor)
{
    *ret_has_successor = false;
    uint32_t next;
    enum segment_log_status status = find_usable(recovery, position, &next);
    if (status != SEGMENT_LOG_OK) return status;
    *ret_has_successor = next == position + 1 && recovery->found[next].header_is_whole &&
                         recovery->marks.newest >= 0 &&
                         !marks__are_cut(&recovery->marks, recovery->file_bytes);
    return open_again(recovery, &recovery->found[position]);
}

enum segment_log_status recovery__find_end(struct recovery *recovery, uint32_t position,
                                           bool is_lost, bool *ret_found)
{
    *ret_found = false;
    struct found_segment *found = &recovery->found[position];
    uint32_t next;
    enum segment_log_status status = find_usable(recovery, position, &next);
    if (status != SEGMENT_LOG_OK || next == 0) return status;
    const struct segment_header header = recovery->found[next].header;
    const bool next_is_whole = recovery->found[next].header_is_whole;
    status = open_again(recovery, found);
    if (status != SEGMENT_LOG_OK) return status;
    recovery->end = (struct segment_mark){.segment = found->sequence, .continued = true};
    *ret_found = true;
    if (next_is_whole && (next == position + 1 || is_lost)) {
        recovery->end.point = header.base;
        if (is_lost) recovery->end.end_pos = SEGMENT_DATA_POS;
        return SEGMENT_LOG_OK;
    }
    /* The file behind this one is lost, too, or does not tell where it starts. */
    if (!is_lost) return follow_front(recovery, found);
    recovery->end.end_pos = SEGMENT_DATA_POS;
    recovery->end.point = found->header.base;
    return SEGMENT_LOG_OK;
}

/* Entries that would be in holes. */
static uint64_t count_lost(struct recovery *recovery, const struct segment_header *header,
                           const struct segment_mark *mark, uint32_t sector_bytes)
{
    const struct segment_point start = {.pos = SEGMENT_DATA_POS, .before = header->base};
    struct stretch stretch;
    stretch__init(&stretch, recovery->file, recovery->seed, sector_bytes, &start, &mark->point,
                  mark->end_pos, recovery->file_bytes);
    stretch.scan.restored = mark;
    uint64_t lost = 0;
    struct segment_scan_record record;
    enum stretch_status status;
    do {
        status = stretch__next(&stretch, &record);
        if (status == STRETCH_HOLE) {
            lost += stretch.hole.last_index - stretch.hole.first_index + 1;
        }
    } while (status == STRETCH_RECORD || status == STRETCH_HOLE);
    stretch__close(&stretch);
    return status == STRETCH_END ? lost : UINT64_MAX;
}

uint32_t recovery__find_sector_bytes(struct recovery *recovery, const struct segment_header *header,
                                     const struct segment_mark *mark)
{
    /* As the segments beside it, most likely; but what the mark keeps of a sector tells how large those are at least. */
    uint32_t best = header->sector_bytes;
    if (!recovery->file) return best;
    bool fits = marks__tail_fits(mark, best);
    uint64_t best_lost = fits ? count_lost(recovery, header, mark, best) : UINT64_MAX;
    for (uint32_t bytes = SEGMENT_SECTOR_BYTES;
         (!fits || best_lost > 0) && bytes <= SEGMENT_SECTOR_MAX; bytes *= 2) {
        if (!marks__tail_fits(mark, bytes)) continue;
        uint64_t lost = count_lost(recovery, header, mark, bytes);
        if (fits && lost >= best_lost) continue;
        fits = true;
        best = bytes;
        best_lost = lost;
    }
    assert(fits); /* marks__read() takes no mark that fits none */
    return best;
}
