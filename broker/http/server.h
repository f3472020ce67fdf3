#ifndef BROKER_HTTP_SERVER_H
#define BROKER_HTTP_SERVER_H

#include "connection.h"

#include <broker/http.h>

#define HTTP_HISTOGRAM_BUCKETS 14u

struct http_metrics {
    uint64_t requests[HTTP_OPS_COUNT][6]; /* by status / 100; [0] unused */
    uint64_t seconds_buckets[HTTP_OPS_COUNT]
                            [HTTP_HISTOGRAM_BUCKETS + 1]; /* not cumulative; the last is +Inf */
    uint64_t seconds_us[HTTP_OPS_COUNT];                  /* sum */
    uint64_t bytes_in, bytes_out;
    uint64_t connections_total, connections_refused;
    uint64_t bad_requests;   /* refused by gate or parser */
    uint64_t timeouts;       /* connections closed for slowness, idle ones not counted */
    uint64_t cancelled;      /* clients that went away while a request ran */
    uint64_t budget_refused; /* bodies and replies refused by a byte budget */
};

struct http_server {
    struct io *io;
    struct node *node;
    uint64_t node_id;
    bool auto_create_topics;
    char *version;
    void (*log)(void *data, const char *level, const char *line);
    void *data;
    struct http_limits limits;
    struct io_listener *listener;
    struct io_timer tick; /* looks after the clocks of all connections */
    struct http_connection *connections;
    uint32_t connections_count;
    struct http_exchange *pool;
    uint32_t pool_count;
    size_t body_charged;
    size_t output_bytes;
    uint64_t request_ids;
    uint64_t partition_turn; /* round robin of produces without key and partition */
    uint64_t refused_log_us; /* when "too many connections" was last logged */
    bool stopping;
    void (*stopped)(void *data);
    void *stopped_data;
    struct io_timer stopped_post;
    struct http_metrics metrics;
    int64_t date_second; /* of the cached Date header */
    char date[32];
};

void http__server_log(struct http_server *server, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The connection left the list. */
void http__server_forget(struct http_server *server, struct http_connection *connection);
struct http_exchange *http__server_take_exchange(struct http_server *server);
void http__server_return_exchange(struct http_server *server, struct http_exchange *exchange);
/* The Date header's value, made once a second. */
const char *http__server_date(struct http_server *server);

void http__metrics_count(struct http_server *server, const struct http_exchange *exchange);
void http__metrics_text(const struct http_server *server, struct http_buffer *out);

#endif
