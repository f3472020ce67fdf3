#include "stretch.h"

#include <planted/planted.h>

#include "entry.h"

#include <assert.h>
#include <errno.h>

bool points__are_equal(const struct segment_log_point *a, const struct segment_log_point *b)
{
    return a->index == b->index && a->term == b->term && a->chain == b->chain &&
           a->next_offset == b->next_offset && a->timestamp_ms == b->timestamp_ms;
}

/* The scan stands at the anchor. */
static bool is_at_end(const struct stretch *stretch, const struct segment_scan *scan)
{
    return points__are_equal(&scan->at, &stretch->end) &&
           (stretch->end_pos == 0 || scan->pos == stretch->end_pos);
}

void stretch__init(struct stretch *stretch, struct disk_file *file, uint64_t group_seed,
                   uint32_t sector_bytes, const struct segment_point *start,
                   const struct segment_log_point *end, uint64_t end_pos, uint64_t limit_pos)
{
    *stretch = (struct stretch){.start = start->before, .end = *end, .end_pos = end_pos};
    if (end_pos != 0 && limit_pos > end_pos) limit_pos = end_pos;
    scan__start(&stretch->scan, file, group_seed, sector_bytes, start, limit_pos);
    stretch->is_unsound = start->before.index >= end->index && !is_at_end(stretch, &stretch->scan);
}

void stretch__close(struct stretch *stretch)
{
    scan__close(&stretch->scan);
}

/* The scan has come as far as the anchor, and is not there: what it followed is another history. */
static bool is_past_end(const struct stretch *stretch, const struct segment_scan *scan)
{
    if (is_at_end(stretch, scan)) return false;
    return scan->at.index >= stretch->end.index ||
           (stretch->end_pos != 0 && scan->pos >= stretch->end_pos);
}

/* ---- behind the damage ------------------------------------------------------------------------------- */

/* A record that checks out by itself, whatever is in front of it. */
static bool looks_whole(struct segment_scan *scan, uint64_t pos, struct entry_header *ret_header)
{
    size_t got;
    const uint8_t *bytes = scan__load(scan, pos, ENTRY_HEADER_BYTES, &got);
    if (!bytes ||
        entry_decode_header(bytes, got, scan->group_seed, ret_header) != ENTRY_DECODE_OK) {
        return false;
    }
    if (!term_trail__allows(&scan->trail, ret_header->index, ret_header->term)) return false;
    const size_t size = entry_bytes(ret_header->payload_bytes);
    bytes = scan__load(scan, pos, size, &got);
    return bytes && got == size && entry__payload_matches(bytes, ret_header);
}

/* Does the chain lead from this record to the anchor? Else *ret_break_pos is where it breaks. */
static bool leads_to_end(const struct stretch *stretch, struct segment_scan *scan,
                         const struct entry_header *header, uint64_t pos, uint64_t *ret_break_pos)
{
    scan->at = scan__point_behind(header);
    scan->pos = pos + entry_bytes(header->payload_bytes);
    struct segment_scan_record record;
    while (!is_at_end(stretch, scan)) {
        if (is_past_end(stretch, scan) || scan__next(scan, &record) != SEGMENT_SCAN_RECORD) {
            *ret_break_pos = scan->pos;
            return false;
        }
    }
    return true;
}

/* The first record at or behind `pos` from which the chain leads to the anchor. */
static bool find_behind(const struct stretch *stretch, uint64_t pos,
                        struct entry_header *ret_header, uint64_t *ret_pos)
{
    /* A scan of its own, so that the one of the stretch stays where it is. */
    struct segment_scan scan;
    scan__init(&scan, stretch->scan.file, stretch->scan.group_seed, stretch->scan.sector_bytes,
               &stretch->start, pos, stretch->scan.limit_pos);
    scan.restored = stretch->scan.restored;
    scan.zeros_behind = stretch->scan.zeros_behind;
    scan.trail = stretch->scan.trail;
    bool found = false;
    while (!found && pos + ENTRY_HEADER_BYTES <= scan.limit_pos) {
        uint64_t next_pos = pos + ENTRY_ALIGNMENT;
        /* A record at start + 1 would have been the first one in front of the damage. */
        if (looks_whole(&scan, pos, ret_header) && ret_header->index > stretch->start.index + 1 &&
            ret_header->index <= stretch->end.index) {
            uint64_t break_pos;
            found = leads_to_end(stretch, &scan, ret_header, pos, &break_pos) ||
                    PLANTED(D1_BROKEN_CHAIN_IS_BELIEVED);
            if (found) *ret_pos = pos;
            /* Every record up to the break is followed by the same ones. */
            if (!found && break_pos > next_pos) next_pos = break_pos;
        }
        pos = next_pos;
    }
    scan__close(&scan);
    return found;
}

/* ---- the hole ---------------------------------------------------------------------------------------- */

static struct segment_point place_behind(const struct entry_header *header, uint64_t pos)
{
    return (struct segment_point){
        .pos = pos,
        .before = {.index = header->index - 1,
                   .term = header->term,
                   .next_offset = header->base_offset,
                   .timestamp_ms = header->timestamp_ms},
        .lone = true,
        .lone_chain = header->chain,
    };
}

/* What stands behind the damage was written in a later term than what is in front of it, and that memory knows nothing of. */
static bool is_front_doubted(const struct stretch *stretch, uint64_t behind_term)
{
    const struct segment_scan *scan = &stretch->scan;
    if (scan->at.index == stretch->start.index || PLANTED(D1_OLD_FRONT_IS_BELIEVED)) return false;
    return scan->at.term != behind_term && term_trail__at(&scan->trail, scan->at.index) == 0;
}

/* The records break behind scan.at, in front of the anchor; or they lead past it. */
static enum stretch_status make_hole(struct stretch *stretch, uint64_t pos, const char *reason)
{
    struct segment_scan *scan = &stretch->scan;
    struct stretch_hole *hole = &stretch->hole;
    struct entry_header header;
    uint64_t behind_pos;
    bool is_past = is_past_end(stretch, scan);
    bool found = !is_past && find_behind(stretch, scan->pos, &header, &behind_pos);
    *hole = (struct stretch_hole){
        .pos = pos,
        .reason = reason,
        .distrusts_front = is_past || (found && header.index <= scan->at.index + 1),
        .reaches_end = !found,
    };
    const uint64_t behind_term = found ? header.term : stretch->end.term;
    const bool is_doubted = !hole->distrusts_front && is_front_doubted(stretch, behind_term);
    hole->before = hole->distrusts_front || is_doubted ? stretch->start : scan->at;
    hole->first_index = hole->before.index + 1;
    hole->first_damaged = is_doubted ? scan->at.index + 1 : 0;
    hole->last_index = found ? header.index - 1 : stretch->end.index;
    assert(hole->first_index <= hole->last_index);
    if (found) {
        hole->behind = place_behind(&header, behind_pos);
        scan__restart(scan, &hole->behind);
        stretch->start = scan__point_behind(&header);
    } else {
        scan->at = stretch->end;
        if (stretch->end_pos != 0) scan->pos = stretch->end_pos;
        stretch->end_pos = scan->pos;
        stretch->start = stretch->end;
    }
    return STRETCH_HOLE;
}

enum stretch_status stretch__next(struct stretch *stretch, struct segment_scan_record *ret)
{
    struct segment_scan *scan = &stretch->scan;
    if (stretch->is_unsound) return STRETCH_UNSOUND;
    if (is_at_end(stretch, scan)) return STRETCH_END;
    const bool is_behind_hole = scan->lone && stretch->hole.last_index == scan->at.index;
    switch (scan__next(scan, ret)) {
    case SEGMENT_SCAN_IO:
        return STRETCH_IO;
    case SEGMENT_SCAN_END:
        if (is_behind_hole) { /* it was whole a moment ago: such a disk tells nothing */
            scan->error = -EIO;
            return STRETCH_IO;
        }
        return make_hole(stretch, scan->bad_pos, scan->reason);
    case SEGMENT_SCAN_RECORD:
        break;
    }
    if (!is_past_end(stretch, scan)) return STRETCH_RECORD;
    return make_hole(stretch, ret->pos, "the chain does not lead to the synced mark");
}
