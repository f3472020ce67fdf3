#include "finding.h"

#include "log.h"

#include <assert.h>

struct finding_place finding__place(const struct segment_log *log, const struct segment *segment,
                                    uint64_t index)
{
    struct finding_place place = {
        .sequence = segment->sequence,
        .sector_bytes = segment->sector_bytes,
    };
    const struct hole *hole = holes__from(log, index + 1);
    const struct segment *last = &log->segments[log->segments_count - 1];
    if (hole && hole->told.segment == segment->sequence) {
        if (hole->told.before.index > index) place.end = hole->told.before;
    } else if (segment != last) {
        place.end = segment[1].base;
        place.end_pos = segment->end_pos;
    } else if (segment->last_index == log->durable_index) {
        place.end = cache__point(&log->cache, log->durable_index);
        place.end_pos = segment->end_pos;
    }
    return place;
}

void finding__look(struct finding *finding, const struct finding_place *place,
                   struct disk_file *file, uint64_t group_seed, const struct segment_point *start,
                   uint64_t limit_pos)
{
    if (place->end.index <= start->before.index) return;
    struct stretch stretch;
    stretch__init(&stretch, file, group_seed, place->sector_bytes, start, &place->end,
                  place->end_pos, limit_pos);
    stretch.scan.trail = place->trail;
    struct segment_scan_record record;
    enum stretch_status status;
    do {
        status = stretch__next(&stretch, &record);
    } while (status == STRETCH_RECORD);
    finding->has_hole = status == STRETCH_HOLE;
    if (finding->has_hole) finding->hole = stretch.hole;
    stretch__close(&stretch);
}

void finding__lost_file(struct finding *finding, const struct finding_place *place,
                        const struct segment_log_point *base)
{
    if (place->end.index <= base->index) return;
    finding->has_hole = true;
    finding->hole = (struct stretch_hole){
        .first_index = base->index + 1,
        .last_index = place->end.index,
        .before = *base,
        .reason = "the file is missing",
        .reaches_end = true,
    };
}

/* The anchor at which the damage ends is the end of the segment still, or the front of a hole that is known. One at the end of
 * the log is neither when entries came behind it and the segment was closed: whole ones would stand behind a hole with no
 * place to read them from. */
static bool ends_at_anchor(const struct segment_log *log, const struct segment *segment,
                           const struct stretch_hole *found)
{
    const struct hole *hole = holes__from(log, found->last_index + 1u);
    return found->last_index == segment->last_index ||
           (hole && hole->told.segment == segment->sequence &&
            hole->told.first_index == found->last_index + 1u);
}

bool finding__register(struct segment_log *log, uint64_t sequence, const struct finding *finding)
{
    const struct stretch_hole *hole = &finding->hole;
    struct segment *segment = &log->segments[sequence - log->segments[0].sequence];
    assert(finding->has_hole);
    assert(segment->sequence == sequence);
    if (!holes__reserve(log)) return false;
    const struct segment *last = &log->segments[log->segments_count - 1];
    struct segment_point behind = hole->behind;
    bool has_behind = !hole->reaches_end;
    if (hole->reaches_end && segment != last && !ends_at_anchor(log, segment, hole)) return false;
    if (hole->reaches_end && segment == last) {
        /* What is written next stands right behind it. */
        if (hole->last_index != log->durable_index) return false;
        behind = (struct segment_point){
            .pos = segment->end_pos,
            .before = cache__point(&log->cache, log->durable_index),
        };
        has_behind = true;
    }
    if (has_behind && !segment__add_resume(segment, &behind)) return false;
    seal__give_up(log, sequence, sequence + 1);
    segment->unsealable = true; /* until it is repaired */
    /* Terms are in memory, and configurations were told when they came. */
    holes__add(log, sequence, hole, true, true);
    log->holes_found_total++;
    seal__plan(log);
    return true;
}
