/* The records between two states of a segment that are proven: where it starts, and an *anchor* behind, a synced mark or the
 * base of the next segment. Whatever is damaged between them becomes at most one hole at a time.
 *
 * What is believed (PROTOCOL D1, D3, L10):
 *   - in front of the damage: records that follow from the start by their chain;
 *   - behind it: records whose chain leads without a break to the anchor. A record that only looks whole is not enough: a
 *     lost or misdirected write leaves old ones that are consistent in themselves (F7);
 *   - when a believed record behind the damage has a place in front of its end, or the last record is not the one that the
 *     anchor names, then some record in front is such an old one. Nobody can tell which, so none of them is believed, and
 *     the hole begins at the start;
 *   - when the term rises over the damage, and nobody remembers the terms in front of it (term_trail), the records there may
 *     be old ones, cut and written anew by writes that were lost with the damage. They are in doubt: the hole begins at the
 *     start, too, but they are used where peers agree with the last of them. With the same term on both sides they are the
 *     log's own (log matching). */
#ifndef SEGMENT_LOG_STRETCH_H
#define SEGMENT_LOG_STRETCH_H

#include "scan.h"
#include "segment.h"

struct stretch_hole {
    uint64_t first_index, last_index;
    uint64_t
        first_damaged; /* in doubt: what is in front of it in the hole is whole; else not above first_index */
    struct segment_log_point before; /* in front of first_index */
    uint64_t pos;                    /* where the damage was seen */
    const char *reason;
    /* Records in front of the damage, told already, are not believed any more: some old one is among them. */
    bool distrusts_front;
    bool reaches_end;            /* through the anchor: no record follows */
    struct segment_point behind; /* else: where to go on reading */
};

struct stretch {
    struct segment_scan scan; /* .at and .pos: how far it is */
    struct segment_log_point
        start; /* proven; may be moved to where the scan is, when that is proven, too */
    struct segment_log_point end; /* the anchor */
    uint64_t end_pos;             /* of its record; 0: not known */
    bool is_unsound;
    struct stretch_hole hole;
};

enum stretch_status {
    STRETCH_RECORD,
    STRETCH_HOLE,    /* stretch->hole; goes on behind it */
    STRETCH_END,     /* stretch->scan stands at the anchor */
    STRETCH_UNSOUND, /* start and anchor contradict each other: one of them is not of this log */
    STRETCH_IO,      /* scan.error */
};

/* `start` is proven (it may be a place behind a hole). No record behind limit_pos is looked at. */
void stretch__init(struct stretch *stretch, struct disk_file *file, uint64_t group_seed,
                   uint32_t sector_bytes, const struct segment_point *start,
                   const struct segment_log_point *end, uint64_t end_pos, uint64_t limit_pos);
void stretch__close(struct stretch *stretch);
enum stretch_status stretch__next(struct stretch *stretch, struct segment_scan_record *ret);

bool points__are_equal(const struct segment_log_point *a, const struct segment_log_point *b);

#endif
