#include "server.h"

#include "text.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_US        (500u * 1000u)
#define POOL_MAX       256u /* exchanges kept for reuse: about 5 KB each when small */
#define REFUSED_LOG_US (1000u * 1000u)

/* ---- limits ----------------------------------------------------------------------------------------------- */

static void default_u32(uint32_t *value, uint32_t otherwise)
{
    if (*value == 0) *value = otherwise;
}

static void default_size(size_t *value, size_t otherwise)
{
    if (*value == 0) *value = otherwise;
}

static bool complete_limits(struct http_limits *limits)
{
    default_u32(&limits->request_line_bytes_max, 4u * 1024u);
    default_u32(&limits->head_bytes_max, 16u * 1024u);
    default_u32(&limits->headers_max, HTTP_HEADERS_MAX);
    default_u32(&limits->chunks_max, 64u * 1024u);
    default_size(&limits->body_bytes_max, 16u * 1024u * 1024u);
    default_size(&limits->json_body_bytes_max, 4u * 1024u * 1024u);
    default_u32(&limits->pipeline_max, 16u);
    default_u32(&limits->connections_max, 10000u);
    default_size(&limits->connection_body_bytes_max, 32u * 1024u * 1024u);
    default_size(&limits->body_bytes_total_max, 256u * 1024u * 1024u);
    default_size(&limits->reply_bytes_total_max, 512u * 1024u * 1024u);
    default_size(&limits->fetch_bytes_default, 1024u * 1024u);
    default_size(&limits->fetch_bytes_max, 4u * 1024u * 1024u);
    default_u32(&limits->head_timeout_ms, 10u * 1000u);
    default_u32(&limits->body_timeout_ms, 60u * 1000u);
    default_u32(&limits->reply_timeout_ms, 10u * 1000u);
    default_u32(&limits->idle_timeout_ms, 60u * 1000u);
    return limits->headers_max <= HTTP_HEADERS_MAX &&
           limits->request_line_bytes_max <= limits->head_bytes_max &&
           limits->fetch_bytes_default <= limits->fetch_bytes_max &&
           limits->body_bytes_max <= limits->body_bytes_total_max;
}

/* ---- accepting -------------------------------------------------------------------------------------------- */

static void tick(struct io_timer *timer)
{
    struct http_server *server = timer->data;
    uint64_t now_us = io_now_us(server->io);
    struct http_connection *next;
    for (struct http_connection *connection = server->connections; connection; connection = next) {
        next = connection->next;
        http__connection_check_time(connection, now_us);
    }
    if (server->connections) io_timer_start(server->io, &server->tick, TICK_US);
}

/* In a node's own words, so that a client knows that nothing was done; none of its request is read. */
#define TOO_MANY                                                                              \
    "{\"type\":\"urn:raftmq:problem:overloaded\",\"title\":\"too many connections are open; " \
    "nothing was stored\",\"status\":503,\"retry_after_ms\":1000}\n"

static void refuse_connection(struct http_server *server, struct io_stream *stream)
{
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\n"
                               "Content-Type: application/problem+json\r\nContent-Length: 136\r\n"
                               "Retry-After: 1\r\nConnection: close\r\n\r\n" TOO_MANY;
    static_assert(sizeof(TOO_MANY) - 1 == 136, "the Content-Length above");
    uint64_t now_us = io_now_us(server->io);
    uint64_t refused = ++server->metrics.connections_refused;
    if (server->refused_log_us == 0 || now_us - server->refused_log_us > REFUSED_LOG_US) {
        server->refused_log_us = now_us;
        http__server_log(
            server, "warn",
            "event=\"too many HTTP connections, refusing new ones\" open=%u refused_total=%llu",
            server->connections_count, (unsigned long long)refused);
    }
    struct io_buffer buffer = {.data = text, .bytes = sizeof text - 1};
    io_stream_write(stream, &buffer, 1);
    io_stream_close(stream, /* linger= */ true);
}

static void on_accept(struct io_listener *listener, struct io_stream *stream)
{
    struct http_server *server = listener->data;
    if (server->stopping) {
        io_stream_close(stream, /* linger= */ false);
        return;
    }
    if (server->connections_count >= server->limits.connections_max) {
        refuse_connection(server, stream);
        return;
    }
    if (!server->connections) io_timer_start(server->io, &server->tick, TICK_US);
    http__connection_accept(server, stream);
}

void http__server_forget(struct http_server *server, struct http_connection *connection)
{
    if (connection->previous) {
        connection->previous->next = connection->next;
    } else {
        assert(server->connections == connection);
        server->connections = connection->next;
    }
    if (connection->next) connection->next->previous = connection->previous;
    connection->next = connection->previous = NULL;
    assert(server->connections_count > 0);
    server->connections_count--;
    if (server->stopping && server->connections_count == 0) {
        io_post(server->io, &server->stopped_post);
    }
}

/* ---- exchanges -------------------------------------------------------------------------------------------- */

struct http_exchange *http__server_take_exchange(struct http_server *server)
{
    struct http_exchange *exchange = server->pool;
    if (!exchange) return http__exchange_create();
    server->pool = exchange->next;
    server->pool_count--;
    exchange->next = NULL;
    return exchange;
}

void http__server_return_exchange(struct http_server *server, struct http_exchange *exchange)
{
    http__exchange_recycle(exchange);
    if (server->pool_count == POOL_MAX) {
        http__exchange_destroy(exchange);
        return;
    }
    exchange->next = server->pool;
    server->pool = exchange;
    server->pool_count++;
}

const char *http__server_date(struct http_server *server)
{
    int64_t wall_ms = io_wall_ms(server->io);
    if (wall_ms / 1000 != server->date_second || server->date[0] == '\0') {
        server->date_second = wall_ms / 1000;
        static_assert(sizeof server->date >= HTTP_TIME_BYTES, "a date fits");
        http__text_format_date(wall_ms, server->date);
    }
    return server->date;
}

void http__server_log(struct http_server *server, const char *level, const char *format, ...)
{
    if (!server->log) return;
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    server->log(server->data, level, line);
}

/* ---- life ------------------------------------------------------------------------------------------------- */

static void on_stopped(struct io_timer *timer)
{
    struct http_server *server = timer->data;
    void (*stopped)(void *) = server->stopped;
    server->stopped = NULL;
    if (stopped) stopped(server->stopped_data);
}

static void free_server(struct http_server *server)
{
    while (server->pool) {
        struct http_exchange *exchange = server->pool;
        server->pool = exchange->next;
        http__exchange_destroy(exchange);
    }
    free(server->version);
    free(server);
}

int http_server_create(const struct http_server_options *options, struct http_server **ret_server)
{
    assert(options->io);
    assert(options->node);
    struct http_server *server = calloc(1, sizeof *server);
    if (!server) return -ENOMEM;
    server->io = options->io;
    server->node = options->node;
    server->node_id = options->node_id;
    server->auto_create_topics = options->auto_create_topics;
    server->log = options->log;
    server->data = options->data;
    server->limits = options->limits;
    server->version = strdup(options->version ? options->version : "");
    server->tick = (struct io_timer){.fire = tick, .data = server};
    server->stopped_post = (struct io_timer){.fire = on_stopped, .data = server};
    io_random(server->io, &server->request_ids, sizeof server->request_ids);
    int status = 0;
    if (!server->version) {
        status = -ENOMEM;
    } else if (!complete_limits(&server->limits)) {
        status = -EINVAL;
    } else {
        status =
            io_listen(server->io, options->listen_address, on_accept, server, &server->listener);
    }
    if (status != 0) {
        free_server(server);
        return status;
    }
    *ret_server = server;
    return 0;
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->listener ? server->listener->port : 0;
}

uint32_t http_server_connections(const struct http_server *server)
{
    return server->connections_count;
}

void http_server_stop(struct http_server *server, void (*stopped)(void *data), void *data)
{
    assert(!server->stopping);
    server->stopping = true;
    server->stopped = stopped;
    server->stopped_data = data;
    io_listener_close(server->listener);
    server->listener = NULL;
    if (server->connections_count == 0) {
        io_post(server->io, &server->stopped_post);
        return;
    }
    struct http_connection *next;
    for (struct http_connection *connection = server->connections; connection; connection = next) {
        next = connection->next;
        http__connection_stop(connection);
    }
}

void http_server_destroy(struct http_server *server)
{
    if (!server) return;
    io_listener_close(server->listener);
    server->listener = NULL;
    while (server->connections) {
        http__connection_close(server->connections, /* linger= */ false);
    }
    io_timer_stop(server->io, &server->tick);
    io_timer_stop(server->io, &server->stopped_post);
    free_server(server);
}
