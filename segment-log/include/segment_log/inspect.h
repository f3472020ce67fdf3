/* What stands in a file, for people and programs that look at files of a stopped node: every field that can be read, and every
 * problem with its place. Nothing is written, nothing is believed, and a damaged file is told as far as it goes.
 *
 * Fields come as events of a tree, so that one inspection serves a table and a machine: objects and lists nest, everything in
 * an object has a name, items of a list have none (NULL). */
#ifndef SEGMENT_LOG_INSPECT_H
#define SEGMENT_LOG_INSPECT_H

#include <segment_log/segment_log.h>

struct inspect_sink {
    void *data;
    void (*begin)(void *data, const char *name, bool is_list);
    void (*end)(void *data);
    void (*number)(void *data, const char *name, uint64_t value);
    void (*signed_number)(void *data, const char *name, int64_t value);
    void (*text)(void *data, const char *name,
                 const char *value); /* also hashes and bytes, in hex */
    void (*flag)(void *data, const char *name, bool value);
    /* What is wrong, at this byte of the file. Between any two events. */
    void (*problem)(void *data, uint64_t pos, const char *text);
};

/* Short cuts for what all inspections tell. */
void inspect_hash(const struct inspect_sink *sink, const char *name, uint64_t value);
void inspect_bytes(const struct inspect_sink *sink, const char *name, const void *bytes,
                   size_t bytes_count);
void inspect_point(const struct inspect_sink *sink, const struct segment_log_point *point);

/* A segment file: header, both marks, what its records are, footer with sparse index, terms and configurations. */
void segment_log_inspect_segment(struct disk *disk, const char *path,
                                 const struct inspect_sink *sink);

/* The files of node_store.h. */
void node_identity_inspect(struct disk *disk, const char *path, const struct inspect_sink *sink);
void node_store_inspect(struct disk *disk, const char *path, const struct inspect_sink *sink);

#endif
