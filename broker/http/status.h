/* The one table from what went wrong to what HTTP says about it: status, slug (of urn:raftmq:problem:<slug>), title. */
#ifndef BROKER_HTTP_STATUS_H
#define BROKER_HTTP_STATUS_H

#include <broker/node_request.h>

/* Problems of HTTP itself; those of the broker are enum node_status. */
#define HTTP_PROBLEMS(X)                                                                         \
    X(HTTP_BAD_REQUEST, 400, "bad-request", "the request is malformed")                          \
    X(HTTP_INVALID_ARGUMENT, 400, "invalid-argument", "an argument is not valid")                \
    X(HTTP_INVALID_JSON, 400, "invalid-json", "the JSON body is not valid")                      \
    X(HTTP_INVALID_NAME, 422, "invalid-name", "the name is not allowed")                         \
    X(HTTP_FOREIGN_ORIGIN, 403, "foreign-origin", "requests from foreign web pages are refused") \
    X(HTTP_NO_SUCH_ENDPOINT, 404, "no-such-endpoint", "there is no such endpoint")               \
    X(HTTP_MESSAGE_NOT_FOUND, 404, "message-not-found", "there is no such message")              \
    X(HTTP_MESSAGE_TRIMMED, 410, "message-trimmed", "the message was trimmed")                   \
    X(HTTP_METHOD_NOT_ALLOWED, 405, "method-not-allowed", "the endpoint has no such method")     \
    X(HTTP_NOT_ACCEPTABLE, 406, "not-acceptable", "the reply cannot be made in this form")       \
    X(HTTP_REQUEST_TIMEOUT, 408, "request-timeout", "the request did not arrive in time")        \
    X(HTTP_OFFSET_MOVED, 409, "offset-moved", "the committed offset is another one")             \
    X(HTTP_BODY_TOO_LARGE, 413, "too-large", "the body is larger than allowed")                  \
    X(HTTP_URI_TOO_LONG, 414, "uri-too-long", "the request line is too long")                    \
    X(HTTP_UNSUPPORTED_ENCODING, 415, "unsupported-encoding",                                    \
      "compressed bodies are not supported")                                                     \
    X(HTTP_EXPECTATION_FAILED, 417, "expectation-failed", "only 100-continue can be expected")   \
    X(HTTP_CONNECTION_BUSY, 429, "overloaded", "this connection has too much in flight")         \
    X(HTTP_HEAD_TOO_LARGE, 431, "head-too-large", "the request head is too large")               \
    X(HTTP_INTERNAL, 500, "internal", "the node could not make the reply")                       \
    X(HTTP_NOT_IMPLEMENTED, 501, "not-implemented", "the method is unknown")                     \
    X(HTTP_SERVER_BUSY, 503, "overloaded", "this node has too much in flight")                   \
    X(HTTP_VERSION_UNSUPPORTED, 505, "version-unsupported", "only HTTP/1.0 and HTTP/1.1 are served")

enum http_problem {
    HTTP_NO_PROBLEM = 0,
#define X(name, status, slug, title) name,
    HTTP_PROBLEMS(X)
#undef X
};

struct http_status {
    int code;
    const char *slug;
    const char *title;
    bool retry; /* the same request may succeed later: Retry-After is sent */
};

struct http_status http__status_of_problem(enum http_problem problem);
/* NODE_OK is 200 without slug. */
struct http_status http__status_of_node(enum node_status status);
const char *http__status_reason(int code);

#endif
