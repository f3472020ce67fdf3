/* problem+json (RFC 9457) as raftmq answers it, and what a person can do about each. */
#ifndef CLI_PROBLEM_H
#define CLI_PROBLEM_H

#include <jansson.h>
#include <stddef.h>

/* Fill slug and detail from an error answer; json may be NULL or anything at all. */
void problem_read(const json_t *json, int http_status, char *ret_slug, size_t slug_bytes,
                  char *ret_detail, size_t detail_bytes);

/* The next step, with at most one %s for the subject; NULL when the detail says it all. */
const char *problem_hint(const char *slug, int http_status);

#endif
