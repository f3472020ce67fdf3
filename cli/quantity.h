/* Numbers with units, as people type and read them: counts, sizes, durations, rates, points in time.
 *
 * Parsers take the whole text or nothing: true and *ret_x set, or false and *ret_x untouched. They refuse signs, empty
 * text, trailing bytes and values that do not fit. Formatters write NUL-terminated text into buffers of
 * QUANTITY_TEXT_BYTES and return it, so that they can stand in an argument list. */
#ifndef CLI_QUANTITY_H
#define CLI_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

#define QUANTITY_TEXT_BYTES 48u

/* "1500", "1k" = 1,000, "2M" = 2,000,000, "1G". Fractions with a suffix: "1.5k". */
bool quantity_parse_count(const char *text, uint64_t *ret_count);
/* "100", "64K" = "64KiB" = 65,536, "1M", "2G"; decimal only when written out: "1kB" = 1,000, "1MB". */
bool quantity_parse_bytes(const char *text, uint64_t *ret_bytes);
/* "250us", "5ms", "10s", "2m", "3h", "7d", "2w"; a bare number is seconds. */
bool quantity_parse_duration(const char *text, uint64_t *ret_us);
/* "2000/s" or "2000" or "2k/s": events in a second. */
bool quantity_parse_rate(const char *text, uint64_t *ret_per_second);
/* Unix milliseconds, or RFC 3339 "2026-01-31T12:00:00Z", also with fraction and "+01:00"; a date alone is midnight
 * UTC. */
bool quantity_parse_time(const char *text, int64_t *ret_unix_ms);
bool quantity_parse_switch(const char *text, bool *ret_on); /* on off true false yes no 1 0 */

char *quantity_count(char *buffer, uint64_t count); /* 1,234,567 */
char *quantity_bytes(char *buffer, uint64_t bytes); /* 1.2 GB, decimal units */
char *quantity_duration(char *buffer, uint64_t us); /* 850 us, 2.1 ms, 1.25 s, 3h12m */
char *quantity_time(char *buffer, int64_t unix_ms); /* 2026-01-31T12:00:00.000Z */
char *quantity_byte_rate(char *buffer, uint64_t bytes, uint64_t us);  /* 96.2 MB/s */
char *quantity_count_rate(char *buffer, uint64_t count, uint64_t us); /* 12,345 */

#endif
