/* Damage that is found while the log is open, by a reader or the scrubber: what the job's thread saw, and what becomes of it
 * on the owner's. */
#ifndef SEGMENT_LOG_FINDING_H
#define SEGMENT_LOG_FINDING_H

#include "stretch.h"

/* Of one segment, frozen for a job: between which proven states it looks. */
struct finding_place {
    uint64_t sequence;
    uint32_t sector_bytes;
    struct segment_log_point end; /* the anchor; index 0: there is none right now */
    uint64_t end_pos;             /* 0: not known */
    struct term_trail trail;      /* of entries in front of it, borrowed; empty: not known */
};

struct finding {
    bool has_hole;
    struct stretch_hole hole;
};

/* Loop thread. The anchor is the state in front of the next known hole behind `index`, or the end of the segment. */
struct finding_place finding__place(const struct segment_log *log, const struct segment *segment,
                                    uint64_t index);
/* Job's thread. Something does not check out behind `start`, a proven place: how far does the damage reach? */
void finding__look(struct finding *finding, const struct finding_place *place,
                   struct disk_file *file, uint64_t group_seed, const struct segment_point *start,
                   uint64_t limit_pos);
/* Job's thread: there is no file. */
void finding__lost_file(struct finding *finding, const struct finding_place *place,
                        const struct segment_log_point *base);
/* Loop thread, of a segment that was neither cut nor replaced since. False: there is no memory for it; it is found again. */
bool finding__register(struct segment_log *log, uint64_t sequence, const struct finding *finding);

#endif
