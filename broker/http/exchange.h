/* One request and its reply.
 *
 *   READING ──complete──► WAITING ──its turn──► RUNNING ──finish──► READY ──written──► back to the pool
 *      └── refused at its head: the reply is made at once, the body is read and dropped, or the connection closes
 *
 * Exchanges of a connection stand in a list in the order of their requests and are answered in that order. Produces run
 * side by side; every other request waits until all before it are answered, so a client that pipelines reads its own
 * writes (RFC 9112 §9.3.2 allows no more). */
#ifndef BROKER_HTTP_EXCHANGE_H
#define BROKER_HTTP_EXCHANGE_H

#include "buffer.h"
#include "head.h"
#include "json.h"
#include "status.h"

#include <broker/io.h>
#include <broker/node_request.h>
#include <broker/record_batch.h>

struct http_connection;
struct http_exchange;
struct http_server;

enum http_op { /* label of the metrics */
               HTTP_OP_OTHER,
               HTTP_OP_PRODUCE,
               HTTP_OP_FETCH,
               HTTP_OP_MESSAGE,
               HTTP_OP_TOPICS,
               HTTP_OP_OFFSETS,
               HTTP_OP_PRODUCERS,
               HTTP_OP_MEMBERSHIP,
               HTTP_OP_STATUS,
               HTTP_OPS_COUNT,
};

enum http_body_policy {
    HTTP_BODY_NONE,     /* a body is refused */
    HTTP_BODY_JSON,     /* a small JSON document */
    HTTP_BODY_MESSAGES, /* messages: the limit depends on the content type */
};

struct http_route {
    const char *method;
    const char *path; /* "/v1/topics/{t}/messages": {t} topic, {g} group, {n} a number */
    enum http_op op;
    enum http_body_policy body;
    bool parallel; /* may run beside produces before it */
    bool bulk; /* the reply is large: it waits until the reader has taken what was written before */
    const char *parameters; /* names of query parameters, separated by spaces */
    void (*handle)(struct http_exchange *exchange);
};

enum http_exchange_state {
    HTTP_EXCHANGE_READING,
    HTTP_EXCHANGE_WAITING,
    HTTP_EXCHANGE_RUNNING,
    HTTP_EXCHANGE_READY,
};

/* Keeps a fetched view while the stream still writes from it. */
struct http_hold {
    struct segment_log_view view;
    uint32_t references;
};

#define HTTP_ARGUMENTS_MAX 3u

struct http_exchange {
    struct http_exchange *next; /* of the connection, or of the pool */
    struct http_connection *connection;
    enum http_exchange_state state;
    uint64_t id;         /* instance of a problem */
    uint64_t started_us; /* the head was complete */
    struct http_head head;
    const struct http_route *route;            /* NULL: none matched, or the head is bad */
    const char *arguments[HTTP_ARGUMENTS_MAX]; /* of the path, in its order */
    struct http_buffer body;
    size_t body_bytes_max;
    size_t body_charged; /* counted in the budgets of connection and server */
    bool drop_body;      /* refused: read on, keep nothing */
    bool submitted;      /* `node` is the node's until done() */
    bool
        continue_due; /* "100 Continue" is to be sent when it is first in line and no byte of the body came */
    bool close;        /* close after the reply */
    bool unread_input; /* ... and read no further byte of this request */

    /* ---- of the handler ---- */
    struct node_request node;
    void (*answered)(struct http_exchange *exchange); /* when the node answered `node` */
    struct record_batch_builder builder;              /* of a produce */
    bool builder_ready;
    struct http_buffer target;  /* raw path and query, kept for a redirect when one is wished */
    struct http_buffer scratch; /* lives as long as the exchange: decoded keys, header arrays */
    uint64_t context[4];        /* small state of a handler between callbacks */

    /* ---- reply ---- */
    int status;
    const char *content_type;       /* NULL: no body */
    struct http_buffer headers_out; /* further header lines, each with CRLF */
    struct http_buffer body_out;
    struct http_buffer head_out;
    struct http_hold *hold;
    struct io_buffer *segments; /* body by reference and by copy, instead of body_out */
    size_t segments_count, segments_capacity;
    size_t segments_bytes;
    uint32_t retry_after_ms;
    uint64_t leader, term; /* 0 = unknown */
};

/* ---- life, used by connection.c ---- */
struct http_exchange *http__exchange_create(void);
/* Ready for the next request: keeps small buffers. */
void http__exchange_recycle(struct http_exchange *exchange);
void http__exchange_destroy(struct http_exchange *exchange);
/* The head is complete: find the route, judge what can be judged before the body. Refusals are replied at once. */
void http__exchange_head(struct http_exchange *exchange);
/* A piece of the body. */
void http__exchange_body(struct http_exchange *exchange, const uint8_t *data, size_t bytes);

/* ---- for handlers ---- */

/* Submit exchange->node; `done` is called when the node answered, unless the client goes away before. */
void http__exchange_submit(struct http_exchange *exchange, enum node_request_type type,
                           void (*done)(struct http_exchange *exchange));
struct http_server *http__exchange_server(const struct http_exchange *exchange);

/* Strict query parameters; a malformed one is answered with 400 and false returned. Absent: the default stays. */
bool http__exchange_parameter_u64(struct http_exchange *exchange, const char *name, uint64_t max,
                                  uint64_t *value);
bool http__exchange_parameter_size(struct http_exchange *exchange, const char *name, uint64_t max,
                                   uint64_t *value);
bool http__exchange_parameter_duration(struct http_exchange *exchange, const char *name,
                                       int64_t max_ms, int64_t *value_ms);
bool http__exchange_parameter_bool(struct http_exchange *exchange, const char *name, bool *value);

/* ---- replies: begin or fill, then finish once ---- */

void http__reply_header(struct http_exchange *exchange, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct http_json http__reply_json(struct http_exchange *exchange, int status);
/* The exchange has its whole reply: it is written when all before it are. */
void http__reply_finish(struct http_exchange *exchange);
void http__reply_empty(struct http_exchange *exchange,
                       int status); /* ... without body, and finish */
void http__reply_text(struct http_exchange *exchange, int status,
                      const char *text); /* ... and finish */
/* A problem document; `detail` says what to do next. Drops what was begun; finishes. */
void http__reply_problem(struct http_exchange *exchange, enum http_problem problem,
                         const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The problem that the node answered in exchange->node (a redirect, if wished, becomes 307). Finishes. */
void http__reply_node_problem(struct http_exchange *exchange);
/* True: the node did not answer OK, and its problem is the reply. */
bool http__reply_failed(struct http_exchange *exchange);
/* The same as the two above, for a problem with members of its own: begin, add members, end (which finishes). */
struct http_json http__reply_problem_begin(struct http_exchange *exchange,
                                           struct http_status status, const char *detail);
void http__reply_problem_end(struct http_exchange *exchange, struct http_json *json);

/* Make head_out: status line and headers. Called when the reply is about to be written. */
void http__reply_compose(struct http_exchange *exchange);

/* Append to a body that is sent in pieces: by copy (small) or by reference to the view in exchange->hold. */
void http__reply_segment(struct http_exchange *exchange, const uint8_t *data, size_t bytes);
/* Move the fetched view into exchange->hold. false: out of memory, the view is released. */
bool http__reply_hold_view(struct http_exchange *exchange, struct segment_log_view *view);
void http__hold_unref(struct http_hold *hold);

#endif
