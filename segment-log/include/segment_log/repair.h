/* Damage of a log that is open (PROTOCOL D1, L10).
 *
 * A *hole* is a range of entries that are not whole on the disk. The log keeps its position all the same (D1): what lies
 * in front of a hole is proven from the front, what lies behind it by a chain that leads without a break to an *anchor*
 * (a synced mark, the header of the next segment). A hole lies inside one segment; a lost file is one hole.
 *
 * While there are holes: appending, flushing, rolling, reading beside them and dropping a prefix go on as always. A read
 * that touches a hole gives SEGMENT_LOG_DAMAGED, and problem.index .. problem.last_index is the hole. What is still in
 * memory of a hole is read from there. segment_log_truncate() may cut at the first index of a hole, or so that the log
 * ends behind it, never inside: the state in there is not known.
 *
 * All functions are of the owner's thread and never block. */
#ifndef SEGMENT_LOG_REPAIR_H
#define SEGMENT_LOG_REPAIR_H

#include <segment_log/segment_log.h>

struct segment_log_hole {
    uint64_t first_index, last_index;
    struct segment_log_point before; /* the state in front of first_index: always known, proven */
    uint64_t segment;                /* sequence of the file */
    bool terms_known;                /* segment_log_term_runs() covers it */
    /* CONFIG entries in it were told when the log was opened or appended. Else there may be some that nobody here knows. */
    bool configurations_known;
    uint64_t pos;       /* where in the file the damage was seen */
    const char *reason; /* static text */
};

/* The first hole that ends at or behind `index`. False: none. To walk all: index = 0, then each last_index + 1. */
bool segment_log_hole_from(const struct segment_log *log, uint64_t index,
                           struct segment_log_hole *ret_hole);

/* The same as a problem: file, place, range and reason. */
void segment_log_hole_problem(const struct segment_log *log, const struct segment_log_hole *hole,
                              struct segment_log_problem *ret_problem);

#endif
