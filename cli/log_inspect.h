/* Showing a single file of a node, whatever it is: for `raftmq log`. */
#ifndef CLI_LOG_INSPECT_H
#define CLI_LOG_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

enum log_file_kind {
    LOG_FILE_NONE, /* none that a node writes */
    LOG_FILE_SEGMENT,
    LOG_FILE_SNAPSHOT,
    LOG_FILE_IDENTITY,
    LOG_FILE_VOTES,
};

/* By its name, and when that says nothing by its first bytes: files may have been copied from anywhere. */
enum log_file_kind log_file_kind(const char *path);

enum log_inspect_output {
    LOG_INSPECT_TABLE,
    LOG_INSPECT_JSON,    /* one object, no line end */
    LOG_INSPECT_VERDICT, /* one line: ok, or the problems */
    LOG_INSPECT_VERDICT_JSON,
};

/* Print the file to stdout. Returns the number of problems. with_pairs: of snapshots, every key and value. */
uint64_t log_inspect_file(const char *path, enum log_file_kind kind, enum log_inspect_output output,
                          bool with_pairs);

/* A JSON string; bytes that are not ASCII one by one, since a path need not be UTF-8. */
void log_print_json_text(const char *text);

#endif
