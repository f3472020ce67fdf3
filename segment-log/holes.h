/* What is damaged of a log that is open (repair.h tells what a hole is).
 *
 * Invariant: holes are in order, do not overlap, and each lies inside one segment. */
#ifndef SEGMENT_LOG_HOLES_H
#define SEGMENT_LOG_HOLES_H

#include "stretch.h"

#include <segment_log/repair.h>

struct hole {
    struct segment_log_hole told;
    /* Among the entries in front of the damage is an old one, or peers say so of what was in doubt: what stands in the file is not
     * used to repair it. */
    bool distrusted;
};

/* Room for one more. False: no memory. */
bool holes__reserve(struct segment_log *log);
/* Add one of segment `sequence`, or let the ones that it meets grow. There is room. */
void holes__add(struct segment_log *log, uint64_t sequence, const struct stretch_hole *found,
                bool terms_known, bool configurations_known);
/* The first one that ends at or behind `index`; NULL: none. */
const struct hole *holes__from(const struct segment_log *log, uint64_t index);
/* The one that holds entry `index` of segment `sequence`; NULL: none. */
const struct hole *holes__holding(const struct segment_log *log, uint64_t sequence, uint64_t index);
/* Entries of it through `before` are not in doubt any more (stretch.h): the hole begins behind them. */
void holes__believe(struct hole *hole, const struct segment_log_point *before);
/* Forget those that lie at or behind from_index, through base_index, in a segment, or all. */
void holes__cut(struct segment_log *log, uint64_t from_index);
void holes__drop(struct segment_log *log, uint64_t base_index);
void holes__forget_segment(struct segment_log *log, uint64_t sequence);
void holes__forget_all(struct segment_log *log);

#endif
