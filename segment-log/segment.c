#include "segment.h"

#include <planted/planted.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool segment__init(struct segment *segment, const struct segment_header *header)
{
    *segment = (struct segment){
        .sequence = header->sequence,
        .sector_bytes = header->sector_bytes,
        .installed = header->installed,
        .base = header->base,
        .last_index = header->base.index,
        .end_pos = SEGMENT_DATA_POS,
        .points_count = 1,
        .points_capacity = 4,
    };
    segment->points = malloc(segment->points_capacity * sizeof *segment->points);
    if (!segment->points) return false;
    segment->points[0] = (struct segment_point){.pos = SEGMENT_DATA_POS, .before = header->base};
    return true;
}

void segment__close(struct segment *segment)
{
    free(segment->points);
    segment->points = NULL;
}

static bool reserve_point(struct segment *segment)
{
    if (segment->points_count < segment->points_capacity) return true;
    uint32_t capacity = 2 * segment->points_capacity;
    struct segment_point *points = realloc(segment->points, capacity * sizeof *points);
    if (!points) return false;
    segment->points = points;
    segment->points_capacity = capacity;
    return true;
}

void segment__add_point(struct segment *segment, uint64_t pos,
                        const struct segment_log_point *before)
{
    assert(segment->points_count > 0);
    const struct segment_point *last = &segment->points[segment->points_count - 1];
    assert(pos >= last->pos);
    if (pos - last->pos < SEGMENT_SPARSE_BYTES || !reserve_point(segment)) return;
    segment->points[segment->points_count++] =
        (struct segment_point){.pos = pos, .before = *before};
}

bool segment__add_resume(struct segment *segment, const struct segment_point *point)
{
    uint32_t at = segment->points_count;
    while (at > 1 && segment->points[at - 1].before.index >= point->before.index) {
        at--;
    }
    if (at < segment->points_count && segment->points[at].before.index == point->before.index) {
        segment->points[at] = *point;
        return true;
    }
    if (!reserve_point(segment)) return false;
    memmove(segment->points + at + 1, segment->points + at,
            (segment->points_count - at) * sizeof *point);
    segment->points[at] = *point;
    segment->points_count++;
    return true;
}

void segment__cut_points(struct segment *segment, uint64_t from_index)
{
    while (segment->points_count > 1 &&
           segment->points[segment->points_count - 1].before.index + 1 >= from_index) {
        segment->points_count--;
    }
}

void segment__seal(struct segment *segment, const struct segment_footer *footer)
{
    assert(footer->end_pos == segment->end_pos);
    assert(footer->last.index == segment->last_index);
    segment->sealed = true;
    segment->footer_owed = false;
    segment->footer = *footer;
    segment->points_count = 1;
    struct segment_point *points = realloc(segment->points, sizeof *points);
    if (!points) return;
    segment->points = points;
    segment->points_capacity = 1;
}

void segment__unseal(struct segment *segment)
{
    segment->sealed = segment->unsealable = segment->footer_owed = false;
}

bool segment__point_precedes(const struct segment_log_point *before, enum segment_log_key key,
                             uint64_t value)
{
    switch (key) {
    case SEGMENT_LOG_BY_INDEX:
        return before->index < value;
    case SEGMENT_LOG_BY_OFFSET:
        return before->next_offset <= value;
    /* Stamps never fall: all entries in front of a state with a lower stamp are too early. */
    case SEGMENT_LOG_BY_TIME:
        return before->timestamp_ms < (int64_t)value;
    }
    assert(false);
    return false;
}

const struct segment_point *segment__find(const struct segment *segment, enum segment_log_key key,
                                          uint64_t value)
{
    uint32_t low = 0, high = segment->points_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (segment__point_precedes(&segment->points[middle].before, key, value)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &segment->points[low];
}

uint32_t term_trail__position(const struct term_trail *trail, uint64_t index)
{
    uint32_t low = 0, high = trail->count;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (trail->runs[middle].first_index <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

uint64_t term_trail__at(const struct term_trail *trail, uint64_t index)
{
    if (trail->count == 0 || index > trail->last_index || index < trail->runs[0].first_index) {
        return 0;
    }
    return trail->runs[term_trail__position(trail, index)].term;
}

bool term_trail__allows(const struct term_trail *trail, uint64_t index, uint64_t term)
{
    const uint64_t known = term_trail__at(trail, index);
    return known == 0 || known == term || PLANTED(L2_TERM_TRAIL_IS_NOT_ASKED);
}
