#include "bench_history.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_BYTES 38 /* "run/number/" in hex and decimal: 16 + 1 + 20 + 1 */

static bool has_bit(const uint8_t *bits, uint64_t number)
{
    return (bits[number / 8] >> (number % 8) & 1) != 0;
}

static void set_bit(uint8_t *bits, uint64_t number)
{
    bits[number / 8] = (uint8_t)(bits[number / 8] | 1u << (number % 8));
}

void bench_history_init(struct bench_history *history, uint64_t run)
{
    memset(history, 0, sizeof(*history));
    history->run = run;
}

void bench_history_close(struct bench_history *history)
{
    free(history->acked);
    free(history->seen);
    memset(history, 0, sizeof(*history));
}

static void reserve(struct bench_history *history, uint64_t count)
{
    if (count <= history->capacity) return;
    uint64_t capacity = history->capacity ? history->capacity * 2 : 65536;
    history->acked = realloc(history->acked, capacity / 8);
    history->seen = realloc(history->seen, capacity / 8);
    assert(history->acked);
    assert(history->seen);
    memset(history->acked + history->capacity / 8, 0, (capacity - history->capacity) / 8);
    memset(history->seen + history->capacity / 8, 0, (capacity - history->capacity) / 8);
    history->capacity = capacity;
}

uint64_t bench_history_make(struct bench_history *history, uint8_t *value, size_t value_bytes)
{
    assert(value_bytes >= BENCH_HISTORY_VALUE_BYTES_MIN);
    char prefix[PREFIX_BYTES + 1];
    uint64_t number = history->made++;
    reserve(history, history->made);
    snprintf(prefix, sizeof(prefix), "%016" PRIx64 "/%020" PRIu64 "/", history->run, number);
    memcpy(value, prefix, PREFIX_BYTES);
    memset(value + PREFIX_BYTES, 'x', value_bytes - PREFIX_BYTES);
    return number;
}

void bench_history_ack(struct bench_history *history, uint64_t first, uint32_t count)
{
    assert(first + count <= history->made);
    for (uint32_t i = 0; i < count; i++) {
        set_bit(history->acked, first + i);
    }
    history->acked_count += count;
}

void bench_history_begin_reading(struct bench_history *history)
{
    if (history->seen) memset(history->seen, 0, history->capacity / 8);
    history->any_read = false;
    history->last_read = 0;
}

void bench_history_read(struct bench_history *history, const uint8_t *value, size_t value_bytes)
{
    char prefix[PREFIX_BYTES + 1], run[18];
    if (value_bytes < PREFIX_BYTES) return;
    memcpy(prefix, value, PREFIX_BYTES);
    prefix[PREFIX_BYTES] = '\0';
    snprintf(run, sizeof(run), "%016" PRIx64 "/", history->run);
    if (strncmp(prefix, run, 17) != 0) return;
    uint64_t number = strtoull(prefix + 17, NULL, 10);
    if (number >= history->made) return;
    history->read_count++;
    if (has_bit(history->seen, number)) {
        history->duplicated++;
    } else if (history->any_read && number < history->last_read) {
        history->reordered++;
    }
    set_bit(history->seen, number);
    if (!history->any_read || number > history->last_read) history->last_read = number;
    history->any_read = true;
}

void bench_history_end_reading(struct bench_history *history)
{
    for (uint64_t number = 0; number < history->made; number++) {
        if (has_bit(history->acked, number) && !has_bit(history->seen, number)) history->lost++;
    }
}
