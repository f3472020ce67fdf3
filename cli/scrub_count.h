/* What one scrub found and repaired, by counters that nodes keep from their start on. */
#ifndef CLI_SCRUB_COUNT_H
#define CLI_SCRUB_COUNT_H

#include <jansson.h>
#include <stdint.h>

/* How much the counter `name` grew in all logs between two answers of one node, "logs" of /v1/scrub. A log that is new
 * counts from 0, and so does one whose counter fell: its node was started again. NULL: no logs. */
uint64_t scrub_count_since(const json_t *before, const json_t *after, const char *name);

#endif
