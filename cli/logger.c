#include "logger.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "quantity.h"

#define LINE_BYTES_MAX 2048

int logger_level(const char *name)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(names[i], name) == 0) return i;
    }
    return -1;
}

void logger_line(const struct logger *logger, const char *level, const char *line)
{
    int rank = logger_level(level);
    if (rank > logger->level_max) return;
    char text[LINE_BYTES_MAX], time[QUANTITY_TEXT_BYTES];
    int bytes = snprintf(text, sizeof(text) - 1, "time=%s level=%s node=%" PRIu64 " %s",
                         quantity_time(time, clock_wall_ms()), level, logger->node_id, line);
    if (bytes > (int)sizeof(text) - 2) bytes = (int)sizeof(text) - 2;
    for (int i = 0; i < bytes; i++) {
        if (text[i] == '\n' || text[i] == '\r') text[i] = ' '; /* one event, one line */
    }
    text[bytes++] = '\n';
    /* The log is no reason to stop: when stderr cannot take the line it is lost. */
    ssize_t written = write(logger->fd, text, (size_t)bytes);
    (void)written;
}

void logger_format(const struct logger *logger, const char *level, const char *format, ...)
{
    char line[LINE_BYTES_MAX - 128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    logger_line(logger, level, line);
}
