/* A log-linear histogram of microseconds: bounded memory, relative error at most 1/64.
 *
 * Values below 64 have a bucket each; above, every power of two is split into 64 buckets. Values above the range are
 * counted in the last bucket, while max stays exact. */
#ifndef CLI_HISTOGRAM_H
#define CLI_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS (64u * 36u) /* up to 2^41 us, some 25 days */

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t sum;
    uint64_t min; /* UINT64_MAX when empty */
    uint64_t max;
};

void histogram_init(struct histogram *histogram);
void histogram_record(struct histogram *histogram, uint64_t value, uint64_t times);
/* The value at or below which `quantile` (0..1) of the values lie: the upper end of its bucket, never above max. 0 when
 * empty. */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

#endif
