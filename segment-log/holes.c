#include "holes.h"

#include "log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool holes__reserve(struct segment_log *log)
{
    if (log->holes_count < log->holes_capacity) return true;
    uint32_t capacity = log->holes_capacity ? 2 * log->holes_capacity : 4;
    struct hole *holes = realloc(log->holes, capacity * sizeof *holes);
    if (!holes) return false;
    log->holes = holes;
    log->holes_capacity = capacity;
    return true;
}

static void remove_at(struct segment_log *log, uint32_t position)
{
    log->holes_count--;
    memmove(log->holes + position, log->holes + position + 1,
            (log->holes_count - position) * sizeof *log->holes);
}

static bool meets(const struct hole *hole, const struct hole *other)
{
    return hole->told.segment == other->told.segment &&
           hole->told.first_index <= other->told.last_index + 1 &&
           other->told.first_index <= hole->told.last_index + 1;
}

static bool covers(const struct hole *hole, const struct hole *other)
{
    return hole->told.first_index <= other->told.first_index &&
           hole->told.last_index >= other->told.last_index;
}

static void grow(struct hole *hole, const struct hole *other)
{
    struct segment_log_hole *told = &hole->told;
    if (other->told.first_index < told->first_index) {
        told->first_index = other->told.first_index;
        told->before = other->told.before;
    }
    if (other->told.last_index > told->last_index) told->last_index = other->told.last_index;
    if (other->told.first_damaged < told->first_damaged) {
        told->first_damaged = other->told.first_damaged;
    }
    told->terms_known &= other->told.terms_known;
    told->configurations_known &= other->told.configurations_known;
    hole->distrusted |= other->distrusted;
}

void holes__add(struct segment_log *log, uint64_t sequence, const struct stretch_hole *found,
                bool terms_known, bool configurations_known)
{
    assert(log->holes_count < log->holes_capacity);
    assert(found->first_index <= found->last_index);
    assert(found->before.index + 1 == found->first_index);
    struct hole hole = {
        .told = {.first_index = found->first_index,
                 .last_index = found->last_index,
                 .first_damaged = found->first_damaged > found->first_index ? found->first_damaged
                                                                            : found->first_index,
                 .before = found->before,
                 .segment = sequence,
                 .terms_known = terms_known,
                 .configurations_known = configurations_known,
                 .pos = found->pos,
                 .reason = found->reason},
        .distrusted = found->distrusts_front,
    };
    uint32_t at = 0;
    while (at < log->holes_count) {
        if (meets(&log->holes[at], &hole)) {
            if (covers(&log->holes[at], &hole)) hole.told.number = log->holes[at].told.number;
            grow(&hole, &log->holes[at]);
            remove_at(log, at);
        } else if (log->holes[at].told.first_index < hole.told.first_index) {
            at++;
        } else {
            break;
        }
    }
    if (hole.told.number == 0) hole.told.number = ++log->holes_numbered;
    memmove(log->holes + at + 1, log->holes + at, (log->holes_count - at) * sizeof *log->holes);
    log->holes[at] = hole;
    log->holes_count++;
}

const struct hole *holes__from(const struct segment_log *log, uint64_t index)
{
    uint32_t low = 0, high = log->holes_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (log->holes[middle].told.last_index >= index) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low < log->holes_count ? &log->holes[low] : NULL;
}

const struct hole *holes__holding(const struct segment_log *log, uint64_t sequence, uint64_t index)
{
    const struct hole *hole = holes__from(log, index);
    if (!hole || hole->told.first_index > index || hole->told.segment != sequence) return NULL;
    return hole;
}

void holes__believe(struct hole *hole, const struct segment_log_point *before)
{
    struct segment_log_hole *told = &hole->told;
    assert(before->index >= told->first_index && before->index < told->last_index);
    told->first_index = before->index + 1;
    told->before = *before;
    if (told->first_damaged < told->first_index) told->first_damaged = told->first_index;
}

void holes__cut(struct segment_log *log, uint64_t from_index)
{
    while (log->holes_count > 0 &&
           log->holes[log->holes_count - 1].told.first_index >= from_index) {
        log->holes_count--;
    }
}

void holes__drop(struct segment_log *log, uint64_t base_index)
{
    while (log->holes_count > 0 && log->holes[0].told.last_index <= base_index) {
        remove_at(log, 0);
    }
}

void holes__forget_segment(struct segment_log *log, uint64_t sequence)
{
    for (uint32_t i = log->holes_count; i > 0; i--) {
        if (log->holes[i - 1].told.segment == sequence) remove_at(log, i - 1);
    }
}

void holes__forget_all(struct segment_log *log)
{
    log->holes_count = 0;
}

/* ---- public ------------------------------------------------------------------------------------------- */

bool segment_log_hole_from(const struct segment_log *log, uint64_t index,
                           struct segment_log_hole *ret_hole)
{
    const struct hole *hole = holes__from(log, index);
    if (!hole) return false;
    *ret_hole = hole->told;
    return true;
}

/* Where reading goes on inside of the segment there is a point; else the next segment begins there. */
bool segment_log_offset_behind(const struct segment_log *log, const struct segment_log_hole *hole,
                               uint64_t *ret_offset)
{
    if (hole->last_index == log->last.index) {
        *ret_offset = log->last.next_offset;
        return true;
    }
    for (uint32_t i = 0; i < log->segments_count; i++) {
        const struct segment *segment = &log->segments[i];
        if (segment->base.index == hole->last_index) {
            *ret_offset = segment->base.next_offset;
            return true;
        }
        for (uint32_t at = 0; segment->sequence == hole->segment && at < segment->points_count;
             at++) {
            if (segment->points[at].before.index != hole->last_index) continue;
            *ret_offset = segment->points[at].before.next_offset;
            return true;
        }
    }
    return false;
}

void segment_log_hole_problem(const struct segment_log *log, const struct segment_log_hole *hole,
                              struct segment_log_problem *ret_problem)
{
    char path[DISK_PATH_MAX];
    log__segment_path(log, hole->segment, path);
    problem__set(ret_problem, path, hole->pos, hole->first_index, 0, "%s", hole->reason);
    ret_problem->last_index = hole->last_index;
}
