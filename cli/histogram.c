#include "histogram.h"

#include <assert.h>
#include <math.h>
#include <string.h>

void histogram_init(struct histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
    histogram->min = UINT64_MAX;
}

static uint32_t bucket_of(uint64_t value)
{
    if (value < 64) return (uint32_t)value;
    uint32_t exponent = 63u - (uint32_t)__builtin_clzll(value); /* >= 6 */
    uint32_t within = (uint32_t)(value >> (exponent - 6)) & 63u;
    uint32_t bucket = (exponent - 5) * 64u + within;
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The largest value that falls into the bucket. */
static uint64_t bucket_end(uint32_t bucket)
{
    if (bucket < 64) return bucket;
    uint32_t exponent = bucket / 64u + 5;
    uint64_t width = 1ull << (exponent - 6);
    return (1ull << exponent) + (bucket % 64u + 1) * width - 1;
}

void histogram_record(struct histogram *histogram, uint64_t value, uint64_t times)
{
    if (times == 0) return;
    histogram->counts[bucket_of(value)] += times;
    histogram->count += times;
    histogram->sum += value * times;
    if (value < histogram->min) histogram->min = value;
    if (value > histogram->max) histogram->max = value;
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile)
{
    assert(quantile >= 0);
    assert(quantile <= 1);
    if (histogram->count == 0) return 0;
    uint64_t rank = (uint64_t)ceil(quantile * (double)histogram->count);
    if (rank == 0) rank = 1;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen >= rank) {
            uint64_t end = bucket_end(i);
            return end < histogram->max ? end : histogram->max;
        }
    }
    return histogram->max;
}
