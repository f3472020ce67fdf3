/* The HTTP/1.1 front end: translates requests to struct node_request and back (docs/HTTP.md is the API for people).
 *
 * Runs on the loop thread of struct io, over its streams and one timer. Everything is bounded: heads, bodies, requests
 * in flight per connection, bodies in memory, replies not yet taken by slow readers, connections. What is over a bound
 * is refused with a status and Retry-After, and nothing behind a malformed request is ever parsed. */
#ifndef BROKER_HTTP_H
#define BROKER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct io;
struct node;
struct http_server;

/* Every 0 means the default, named beside the field. */
struct http_limits {
    uint32_t request_line_bytes_max; /* 4 KiB; above: 414 */
    uint32_t head_bytes_max;         /* 16 KiB, request line included; above: 431 */
    uint32_t headers_max;            /* 64, at most HTTP_HEADERS_MAX; above: 431 */
    uint32_t chunks_max;             /* 65,536 chunks in one body; above: 413 */
    size_t body_bytes_max;           /* 16 MiB: a raw message or a batch; above: 413 */
    size_t
        json_body_bytes_max; /* 4 MiB: a JSON or NDJSON body (parsed on the loop thread); above: 413 */
    uint32_t pipeline_max;    /* 16 unanswered requests per connection; then reading stops */
    uint32_t connections_max; /* 10,000; above: 503 and close */
    size_t
        connection_body_bytes_max; /* 32 MiB of unanswered bodies per connection; above: 429. One body always
                                             fits */
    size_t body_bytes_total_max;  /* 256 MiB of unanswered bodies; above: 503 */
    size_t reply_bytes_total_max; /* 512 MiB of replies that readers have not taken; above: 503 */
    size_t fetch_bytes_default;   /* 1 MiB: fetch without max_bytes */
    size_t fetch_bytes_max;       /* 4 MiB: largest max_bytes */
    uint32_t
        head_timeout_ms; /* 10 s from the first byte of a head (or from connecting) to its end */
    uint32_t body_timeout_ms;  /* 60 s for a whole body; and at least 1 KiB/s after 5 s */
    uint32_t reply_timeout_ms; /* 10 s in which a reader takes no byte */
    uint32_t idle_timeout_ms;  /* 60 s between requests */
};

struct http_server_options {
    struct io *io;
    struct node *node;
    uint64_t node_id;           /* in every reply, as Raftmq-Node */
    const char *listen_address; /* "host:port"; port 0: any. Copied */
    bool
        auto_create_topics; /* a produce without ?auto_create asks the node to create a missing topic */
    const char *version; /* copied */
    /* One logfmt line without level and time; level is error, warn, info or debug. May be NULL. */
    void (*log)(void *data, const char *level, const char *line);
    void *data;
    struct http_limits limits;
};

/* Listen and serve. 0, or a negative errno (-EADDRINUSE, -ENOMEM, -EINVAL: a limit is out of range) with nothing left
 * behind. */
int http_server_create(const struct http_server_options *options, struct http_server **ret_server);

/* The port it listens on. */
uint16_t http_server_port(const struct http_server *server);

/* Connections that are open now. */
uint32_t http_server_connections(const struct http_server *server);

/* Begin a clean stop: listen no more, close idle connections, answer what is in flight with "Connection: close".
 * `stopped` (may be NULL) is called once, later, when no connection is left. */
void http_server_stop(struct http_server *server, void (*stopped)(void *data), void *data);

/* Cancel and close everything at once and free it; connections free themselves in their streams' closed callbacks, so
 * the loop must run once more. Call it before node_destroy(). Accepts NULL. */
void http_server_destroy(struct http_server *server);

#endif
