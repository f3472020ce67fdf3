#ifndef SEGMENT_LOG_PROBLEM_H
#define SEGMENT_LOG_PROBLEM_H

#include <segment_log/segment_log.h>

/* Fill *problem (may be NULL). `error` is a negative errno or 0; the reason is cut to its field. */
void problem__set(struct segment_log_problem *problem, const char *path, uint64_t pos,
                  uint64_t index, int error, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* directory/name; false when it does not fit. */
bool path__join(char path[DISK_PATH_MAX], const char *directory, const char *name);

/* The directory that holds `path`: what has to be synced to make a new name durable. */
void path__parent(char parent[DISK_PATH_MAX], const char *path);

/* The disk has no room, as opposed to a disk that fails. */
bool error__is_full(int error);

#endif
