/* What a failover run sent, what was acknowledged, and what each node served afterwards.
 *
 * Messages carry the run's id and a number that counts up, so the judgement needs nothing but the values read back:
 * a number read twice is duplicated, one below its predecessor is reordered, an acknowledged one that is missing is
 * lost. */
#ifndef CLI_BENCH_HISTORY_H
#define CLI_BENCH_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_HISTORY_VALUE_BYTES_MIN 40u

struct bench_history {
    uint64_t run;   /* random */
    uint8_t *acked; /* a bit per number */
    uint8_t *seen;  /* of the reading in progress */
    uint64_t capacity;
    uint64_t made, acked_count;
    /* of the reading in progress */
    bool any_read;
    uint64_t last_read;
    /* over all readings */
    uint64_t read_count, lost, duplicated, reordered;
};

void bench_history_init(struct bench_history *history, uint64_t run);
void bench_history_close(struct bench_history *history);
/* Write the next message's value (value_bytes >= BENCH_HISTORY_VALUE_BYTES_MIN) and return its number. */
uint64_t bench_history_make(struct bench_history *history, uint8_t *value, size_t value_bytes);
void bench_history_ack(struct bench_history *history, uint64_t first, uint32_t count);
void bench_history_begin_reading(struct bench_history *history);
/* A value as a node served it; values of other runs are skipped. */
void bench_history_read(struct bench_history *history, const uint8_t *value, size_t value_bytes);
void bench_history_end_reading(struct bench_history *history);

#endif
