/* How much of the files lies where. */
#include "log.h"

uint64_t segment_log_bytes_behind(const struct segment_log *log, uint64_t index)
{
    uint64_t bytes = log->unflushed_bytes;
    for (uint32_t i = log->segments_count; i > 0; i--) {
        const struct segment *segment = &log->segments[i - 1];
        if (segment->last_index <= index && i < log->segments_count) break;
        bytes += segment->end_pos;
    }
    return bytes;
}
