/* What is known in memory of one segment file: where it starts and ends, and a sparse index into it. */
#ifndef SEGMENT_LOG_SEGMENT_H
#define SEGMENT_LOG_SEGMENT_H

#include "segment_format.h"

#define SEGMENT_SPARSE_BYTES 65536u /* one point per this many bytes of records */

/* A place from which records can be read and their chain checked: the state in front of the record found from `pos`. */
struct segment_point {
    uint64_t pos;
    struct segment_log_point before;
};

struct segment {
    uint64_t sequence;
    uint32_t sector_bytes;
    struct segment_log_point base;
    uint64_t last_index; /* last entry on disk; base.index: none */
    uint64_t end_pos;    /* end of its record */
    uint64_t file_bytes;
    struct segment_point *points; /* points[0] is always the start of the records */
    uint32_t points_count, points_capacity;
};

/* False: no memory. */
bool segment__init(struct segment *segment, const struct segment_header *header);
void segment__close(struct segment *segment);

/* Remember the place `pos`, in front of which the state is `before`, when the last point is far enough. Out of memory
 * only makes reading slower. */
void segment__add_point(struct segment *segment, uint64_t pos,
                        const struct segment_log_point *before);
/* Forget points at or behind entry from_index. */
void segment__cut_points(struct segment *segment, uint64_t from_index);

/* The last point from which `value` can be reached going forward. */
const struct segment_point *segment__find(const struct segment *segment, enum segment_log_key key,
                                          uint64_t value);
/* The state `before` does not lie behind what `value` asks for. */
bool segment__point_precedes(const struct segment_log_point *before, enum segment_log_key key,
                             uint64_t value);

#endif
