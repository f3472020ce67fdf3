#include "problem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void problem__set(struct segment_log_problem *problem, const char *path, uint64_t pos,
                  uint64_t index, int error, const char *format, ...)
{
    if (!problem) return;
    problem->pos = pos;
    problem->index = index;
    problem->last_index = 0;
    problem->error = error < 0 ? -error : error;
    snprintf(problem->path, sizeof problem->path, "%s", path);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem->reason, sizeof problem->reason, format, arguments);
    va_end(arguments);
}

bool path__join(char path[DISK_PATH_MAX], const char *directory, const char *name)
{
    int length = snprintf(path, DISK_PATH_MAX, "%s/%s", directory, name);
    return length > 0 && (size_t)length < DISK_PATH_MAX;
}

void path__parent(char parent[DISK_PATH_MAX], const char *path)
{
    size_t length = strnlen(path, DISK_PATH_MAX - 1);
    while (length > 1 && path[length - 1] == '/') {
        length--;
    }
    while (length > 0 && path[length - 1] != '/') {
        length--;
    }
    while (length > 1 && path[length - 1] == '/') {
        length--;
    }
    if (length == 0) {
        memcpy(parent, ".", 2);
        return;
    }
    memcpy(parent, path, length);
    parent[length] = 0;
}

bool error__is_full(int error)
{
    return error == -ENOSPC || error == -EDQUOT || error == -EFBIG;
}
