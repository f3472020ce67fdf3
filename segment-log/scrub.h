/* Where the pass of the scrubber is (scrub_job.c). */
#ifndef SEGMENT_LOG_SCRUB_H
#define SEGMENT_LOG_SCRUB_H

#include "segment.h"

#include <segment_log/repair.h>

struct segment_log_job;

struct scrub {
    bool active;
    bool begins_anew; /* asked for while a piece was out */
    uint64_t sequence;
    struct segment_point at;             /* checked through here, ... */
    uint64_t cuts_total, replaces_total; /* ... when the log had seen so many */
    bool is_at_front; /* header and marks of the segment are still to be looked at */
    bool mend_wanted; /* by the next write job */
    uint64_t mend_sequence;
    struct segment_log_scrub_job *job;
    uint64_t bytes_done, bytes_total;
    uint64_t passes_total;
};

bool scrub__freeze_mend(struct segment_log *log, struct segment_log_job *job);
void scrub__run_mend(struct segment_log_job *job);
void scrub__finish_mend(struct segment_log *log, const struct segment_log_job *job);
void scrub__close(struct segment_log *log);

#endif
