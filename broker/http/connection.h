/* One connection: reads requests, lets exchanges run, writes replies in order, watches the time.
 *
 * Reading stops while 16 requests are unanswered, while the reader has not taken what was written, and after the last
 * request. The struct is freed in the closed callback of its stream. */
#ifndef BROKER_HTTP_CONNECTION_H
#define BROKER_HTTP_CONNECTION_H

#include "exchange.h"
#include "http_parser.h"

enum http_connection_state {
    HTTP_CONNECTION_OPEN,
    HTTP_CONNECTION_LAST, /* no further request is read, what comes is dropped: a reply that closes is on its way */
    HTTP_CONNECTION_CLOSED, /* waits for the closed callback */
};

struct http_connection {
    struct http_server *server; /* NULL: the server is gone */
    struct http_connection *next, *previous;
    struct io_stream *stream;
    enum http_connection_state state;
    struct http_parser parser;
    struct http_exchange *reading; /* receives the bytes of the parser; NULL between requests */
    struct http_exchange *first,
        *last; /* exchanges in order, `reading` among them once its head is complete */
    uint32_t exchanges_count;
    struct http_buffer backlog; /* bytes that arrived before reading could stop */
    size_t backlog_taken;       /* of them, already parsed */
    bool paused;
    bool in_parse;         /* guards against parsing from inside of parsing */
    struct io_timer flush; /* posted: write what is ready at the end of this turn */
    bool flush_posted;
    size_t body_charged;   /* bytes of unanswered bodies */
    size_t output_bytes;   /* of the write queue, as counted in the server's budget */
    uint64_t output_total; /* ever written */
    uint64_t output_taken; /* ... of it taken by the kernel, as of output_moved_us */
    uint64_t output_moved_us;
    uint64_t phase_us; /* since when it is in its phase: idle, reading a head, reading a body */
    uint64_t body_received; /* bytes of the current body */
    bool served;            /* at least one request was read */
};

void http__connection_accept(struct http_server *server, struct io_stream *stream);
/* `exchange` is READY: write it if it is first. */
void http__connection_ready(struct http_connection *connection, struct http_exchange *exchange);
/* Once a tick of the server. */
void http__connection_check_time(struct http_connection *connection, uint64_t now_us);
/* Finish what is in flight, then close. */
void http__connection_stop(struct http_connection *connection);
/* Cancel everything and close. linger: let written replies go out. */
void http__connection_close(struct http_connection *connection, bool linger);
/* Charge body bytes to the budgets; false: over one of them, *ret_problem says which. */
bool http__connection_charge(struct http_exchange *exchange, size_t bytes,
                             enum http_problem *ret_problem);
void http__connection_uncharge(struct http_exchange *exchange);

#endif
