/* The head of one request: its bytes and slices of them. The slices are NUL-terminated and decoded in place, so a
 * request needs no allocation beside its one buffer. */
#ifndef BROKER_HTTP_HEAD_H
#define BROKER_HTTP_HEAD_H

#include "buffer.h"
#include "status.h"

#define HTTP_HEADERS_MAX  64u
#define HTTP_SEGMENTS_MAX 8u
#define HTTP_QUERY_MAX    16u

enum http_method {
    HTTP_METHOD_OTHER, /* known to HTTP, used by no endpoint: OPTIONS, PATCH, TRACE, ... */
    HTTP_METHOD_GET,
    HTTP_METHOD_HEAD,
    HTTP_METHOD_POST,
    HTTP_METHOD_PUT,
    HTTP_METHOD_DELETE,
};

struct http_header {
    const char *name; /* NUL-terminated, as sent */
    uint32_t name_bytes;
    uint32_t value_bytes;
    const char *value; /* NUL-terminated, without space around it */
};

struct http_parameter {
    const char *name;
    const char *value;
    size_t value_bytes;
};

struct http_head {
    struct http_buffer raw;
    char *target; /* raw, NUL-terminated; until http__head_split() cuts it up */
    size_t target_bytes;
    enum http_method method;
    int minor; /* HTTP/1.minor */
    struct http_header headers[HTTP_HEADERS_MAX];
    uint32_t headers_count;
    bool has_body; /* a Content-Length above 0, or chunked */
    bool chunked;
    bool has_content_length;
    uint64_t content_length;
    bool close; /* the client wants, or HTTP/1.0 means, no further request */
    bool expects_continue;
    const char *segments[HTTP_SEGMENTS_MAX]; /* of the path, percent-decoded once */
    size_t segments_bytes[HTTP_SEGMENTS_MAX];
    uint32_t segments_count;
    struct http_parameter query[HTTP_QUERY_MAX];
    uint32_t query_count;
};

void http__head_clear(struct http_head *head);
void http__head_close(struct http_head *head);

/* The value of a header that may stand once, NULL when absent. Names compare without case. */
const char *http__head_find(const struct http_head *head, const char *name);
/* How often it stands there. */
uint32_t http__head_count(const struct http_head *head, const char *name);

/* What the headers mean for the message: framing, Host, Connection, Expect (RFC 9112 §3.2, §6). Anything that two
 * readers could understand in two ways is refused. false: *ret_problem and *ret_detail are set. */
bool http__head_judge(struct http_head *head, enum http_problem *ret_problem,
                      const char **ret_detail);

/* Cut the target into segments and query parameters and decode them, in place; `target` is gone then. false:
 * *ret_detail says what is wrong (a bad escape, too many pieces, a parameter twice). */
bool http__head_split(struct http_head *head, const char **ret_detail);

const struct http_parameter *http__head_parameter(const struct http_head *head, const char *name);

/* The request comes from a web page of another site: Origin names another host than Host, or is "null". */
bool http__head_is_foreign(const struct http_head *head);

#endif
