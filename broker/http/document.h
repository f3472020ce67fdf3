/* A small JSON document of a request body, read with the JSON library behind the gate of json.h. Members are taken by
 * name; one that nobody took is an unknown field and refuses the document, so that a typo surfaces. */
#ifndef BROKER_HTTP_DOCUMENT_H
#define BROKER_HTTP_DOCUMENT_H

#include "buffer.h"

#include <jansson.h>

#define HTTP_DOCUMENT_MEMBERS_MAX 16u /* that a route knows */

struct http_document {
    json_t *root;                                 /* an object */
    const char *taken[HTTP_DOCUMENT_MEMBERS_MAX]; /* names, static strings */
    uint32_t taken_count;
    const char *problem_name; /* the first member that was not as expected */
    char problem[192];        /* why; empty = fine */
};

/* An empty body reads as {}. false: `problem` is set. Close in both cases. */
bool http__document_open(struct http_document *document, const uint8_t *text, size_t bytes);
void http__document_close(struct http_document *document);

/* The member, or NULL when absent or null-ed by an earlier problem; counts as known from now on. */
json_t *http__document_take(struct http_document *document, const char *name);
/* Absent: the value stays. A member of another kind or out of range sets `problem`. */
void http__document_u64(struct http_document *document, const char *name, uint64_t min,
                        uint64_t max, uint64_t *value, bool *ret_present);
/* A duration text like "7d"; "forever" is -1. */
void http__document_duration(struct http_document *document, const char *name, int64_t *value_ms);
/* A number of bytes or a text like "10G"; "unlimited" is -1. */
void http__document_size(struct http_document *document, const char *name, int64_t *value);
void http__document_problem(struct http_document *document, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* True when there was no problem and every member was taken. */
bool http__document_finish(struct http_document *document);

/* One JSON value of an array or a line, strict: duplicates refused, NUL in strings allowed. NULL: *ret_problem is set. */
json_t *http__document_load(const uint8_t *text, size_t bytes, char *ret_problem,
                            size_t problem_bytes);

#endif
