/* The log of a node: logfmt on stderr, one event per line.
 *
 *     time=2026-01-31T12:00:00.000Z level=info node=2 term=7 event="became leader" votes=2/3
 */
#ifndef CLI_LOGGER_H
#define CLI_LOGGER_H

#include <stdbool.h>
#include <stdint.h>

struct logger {
    uint64_t node_id;
    int level_max; /* 0 error, 1 warn, 2 info, 3 debug */
    int fd;
};

/* "error", "warn", "info", "debug" to 0..3; -1 otherwise. */
int logger_level(const char *name);
/* `line` is logfmt without time and level. One write, so that lines of several processes do not mix. */
void logger_line(const struct logger *logger, const char *level, const char *line);
void logger_format(const struct logger *logger, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
