#include "connection.h"

#include "server.h"

#include <assert.h>
#include <stdlib.h>

#define BODY_GRACE_US     (5u * 1000u * 1000u)
#define BODY_BYTES_PER_S  1024u
#define WRITE_BUFFERS_MAX 64
#define OWNED_REPLY_BYTES (16u * 1024u) /* larger bodies are handed over instead of copied */

static void parse_backlog(struct http_connection *connection);

/* ---- budgets ---------------------------------------------------------------------------------------------- */

bool http__connection_charge(struct http_exchange *exchange, size_t bytes,
                             enum http_problem *ret_problem)
{
    struct http_connection *connection = exchange->connection;
    struct http_server *server = connection->server;
    size_t others = connection->body_charged - exchange->body_charged;
    bool alone = others == 0; /* one body always fits */
    if (!alone && connection->body_charged + bytes > server->limits.connection_body_bytes_max) {
        server->metrics.budget_refused++;
        *ret_problem = HTTP_CONNECTION_BUSY;
        return false;
    }
    if (server->body_charged + bytes > server->limits.body_bytes_total_max) {
        server->metrics.budget_refused++;
        *ret_problem = HTTP_SERVER_BUSY;
        return false;
    }
    exchange->body_charged += bytes;
    connection->body_charged += bytes;
    server->body_charged += bytes;
    return true;
}

void http__connection_uncharge(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    assert(connection->body_charged >= exchange->body_charged);
    assert(connection->server->body_charged >= exchange->body_charged);
    connection->body_charged -= exchange->body_charged;
    connection->server->body_charged -= exchange->body_charged;
    exchange->body_charged = 0;
}

/* Bring the count of bytes that the reader has not taken up to date. */
static void account_output(struct http_connection *connection, uint64_t now_us)
{
    struct http_server *server = connection->server;
    bool closed = connection->state == HTTP_CONNECTION_CLOSED;
    size_t queued = closed ? 0 : io_stream_write_queue_bytes(connection->stream);
    server->output_bytes = server->output_bytes - connection->output_bytes + queued;
    connection->output_bytes = queued;
    uint64_t taken = connection->output_total - queued;
    if (taken != connection->output_taken || queued == 0) {
        connection->output_taken = taken;
        connection->output_moved_us = now_us;
    }
}

/* ---- ends ------------------------------------------------------------------------------------------------- */

static void on_closed(struct io_stream *stream)
{
    struct http_connection *connection = stream->data;
    assert(connection->state == HTTP_CONNECTION_CLOSED);
    http__buffer_close(&connection->backlog);
    free(connection);
}

static void return_exchange(struct http_exchange *exchange)
{
    struct http_server *server = exchange->connection->server;
    http__connection_uncharge(exchange);
    http__server_return_exchange(server, exchange);
}

static void cancel(struct http_exchange *exchange)
{
    struct http_server *server = exchange->connection->server;
    if (exchange->submitted) {
        node_cancel(server->node, &exchange->node);
        exchange->submitted = false;
        server->metrics.cancelled++;
    }
    return_exchange(exchange);
}

void http__connection_close(struct http_connection *connection, bool linger)
{
    struct http_server *server = connection->server;
    if (connection->state == HTTP_CONNECTION_CLOSED) return;
    /* A head that is not complete belongs to no list yet. */
    if (connection->reading && connection->parser.phase == HTTP_PARSER_HEAD) {
        return_exchange(connection->reading);
    }
    connection->reading = NULL;
    while (connection->first) {
        struct http_exchange *exchange = connection->first;
        connection->first = exchange->next;
        cancel(exchange);
    }
    connection->last = NULL;
    connection->exchanges_count = 0;
    connection->state = HTTP_CONNECTION_CLOSED;
    account_output(connection, io_now_us(server->io));
    io_timer_stop(server->io, &connection->flush);
    http__server_forget(server, connection);
    connection->server = NULL;
    io_stream_close(connection->stream, linger);
}

/* No further request will be read; what is in flight is still answered. */
static void read_no_more(struct http_connection *connection)
{
    connection->reading = NULL;
    if (connection->state == HTTP_CONNECTION_OPEN) connection->state = HTTP_CONNECTION_LAST;
    http__buffer_close(&connection->backlog);
    connection->backlog_taken = 0;
}

void http__connection_stop(struct http_connection *connection)
{
    if (connection->state != HTTP_CONNECTION_OPEN) return;
    if (!connection->first && !connection->reading) {
        http__connection_close(connection, /* linger= */ true);
        return;
    }
    /* The reply to the newest request says "Connection: close"; nothing behind it is read. */
    if (connection->reading) {
        connection->reading->close = true;
    } else {
        connection->last->close = true;
        read_no_more(connection);
    }
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

struct writer {
    struct http_connection *connection;
    struct io_buffer buffers[WRITE_BUFFERS_MAX];
    int count;
};

static void writer_flush(struct writer *writer)
{
    if (writer->count == 0) return;
    io_stream_write(writer->connection->stream, writer->buffers, writer->count);
    writer->count = 0;
}

static void writer_push(struct writer *writer, struct io_buffer buffer)
{
    if (buffer.bytes == 0) {
        if (buffer.release) buffer.release(buffer.owner);
        return;
    }
    if (writer->count == WRITE_BUFFERS_MAX) writer_flush(writer);
    writer->buffers[writer->count++] = buffer;
    writer->connection->output_total += buffer.bytes;
    writer->connection->server->metrics.bytes_out += buffer.bytes;
}

static void push_segments(struct writer *writer, struct http_exchange *exchange)
{
    size_t copied = 0; /* segments without data are the next bytes of body_out */
    for (size_t i = 0; i < exchange->segments_count; i++) {
        struct io_buffer segment = exchange->segments[i];
        if (!segment.release) {
            segment.data = exchange->body_out.data + copied;
            copied += segment.bytes;
        }
        writer_push(writer, segment);
    }
    assert(copied == exchange->body_out.bytes);
    exchange->segments_count = 0; /* their references are the stream's now */
}

static void push_reply(struct writer *writer, struct http_exchange *exchange)
{
    http__reply_compose(exchange);
    struct http_buffer *head = &exchange->head_out;
    struct http_buffer *body = &exchange->body_out;
    writer_push(writer, (struct io_buffer){.data = head->data, .bytes = head->bytes});
    if (exchange->head.method == HTTP_METHOD_HEAD) return; /* recycling releases the segments */
    if (exchange->segments_count > 0) {
        push_segments(writer, exchange);
    } else if (body->bytes >= OWNED_REPLY_BYTES) {
        writer_push(writer, (struct io_buffer){.data = body->data,
                                               .bytes = body->bytes,
                                               .release = free,
                                               .owner = body->data});
        *body = (struct http_buffer){0};
    } else {
        writer_push(writer, (struct io_buffer){.data = body->data, .bytes = body->bytes});
    }
}

static void write_ready(struct http_connection *connection)
{
    struct writer writer = {.connection = connection};
    struct http_exchange *written = NULL;
    bool close = false;
    while (connection->first && connection->first->state == HTTP_EXCHANGE_READY && !close) {
        struct http_exchange *exchange = connection->first;
        push_reply(&writer, exchange);
        http__metrics_count(connection->server, exchange);
        close = exchange->close;
        connection->first = exchange->next;
        if (!connection->first) connection->last = NULL;
        connection->exchanges_count--;
        exchange->next = written;
        written = exchange;
    }
    writer_flush(&writer);
    while (written) { /* not before the write: small replies are copied from their buffers by it */
        struct http_exchange *next = written->next;
        return_exchange(written);
        written = next;
    }
    uint64_t now_us = io_now_us(connection->server->io);
    if (!connection->first && !connection->reading)
        connection->phase_us = now_us; /* idle from here */
    account_output(connection, now_us);
    /* The stream waits a while for the client's own end, so that what it still sends does not reset the reply. */
    if (close) http__connection_close(connection, /* linger= */ true);
}

/* ---- running ---------------------------------------------------------------------------------------------- */

static void send_continue(struct http_connection *connection, struct http_exchange *exchange)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct io_buffer buffer = {.data = text, .bytes = sizeof text - 1};
    exchange->continue_due = false;
    io_stream_write(connection->stream, &buffer, 1);
    connection->output_total += buffer.bytes;
    connection->server->metrics.bytes_out += buffer.bytes;
}

static bool reader_is_slow(const struct http_connection *connection)
{
    return io_stream_write_queue_bytes(connection->stream) > IO_WRITE_LOW_WATER_BYTES;
}

static bool may_start(const struct http_connection *connection,
                      const struct http_exchange *exchange, bool all_ready, bool all_parallel)
{
    if (exchange->route->parallel) return all_parallel;
    if (!all_ready) return false;
    return !exchange->route->bulk || (exchange == connection->first && !reader_is_slow(connection));
}

/* Let waiting exchanges run, in order. Called when one was read or became ready. */
static void advance(struct http_connection *connection)
{
    bool all_ready = true, all_parallel = true;
    struct http_exchange *next;
    for (struct http_exchange *exchange = connection->first; exchange; exchange = next) {
        if (exchange->state == HTTP_EXCHANGE_WAITING) {
            if (!may_start(connection, exchange, all_ready, all_parallel)) break;
            exchange->state = HTTP_EXCHANGE_RUNNING;
            exchange->route->handle(exchange);
        }
        if (exchange->state == HTTP_EXCHANGE_READING) {
            if (exchange == connection->first && exchange->continue_due && exchange->status == 0) {
                send_continue(connection, exchange);
            }
            break;
        }
        if (exchange->state != HTTP_EXCHANGE_READY) {
            all_ready = false;
            if (!exchange->route->parallel) all_parallel = false;
        }
        next = exchange->next;
    }
}

static void post_flush(struct http_connection *connection)
{
    if (connection->flush_posted) return;
    connection->flush_posted = true;
    io_post(connection->server->io, &connection->flush);
}

static bool may_read(const struct http_connection *connection)
{
    if (connection->state != HTTP_CONNECTION_OPEN) return false;
    if (connection->reading) return true;
    return connection->exchanges_count < connection->server->limits.pipeline_max &&
           !reader_is_slow(connection);
}

/* Stop or resume reading to match may_read(). While paused no clock of the client runs. Behind the last request reading
 * goes on, to drop what comes and to see the client go away. */
static void update_pause(struct http_connection *connection)
{
    bool pause = connection->state == HTTP_CONNECTION_OPEN &&
                 (connection->backlog.bytes > connection->backlog_taken || !may_read(connection));
    if (pause == connection->paused) return;
    connection->paused = pause;
    if (!pause) connection->phase_us = io_now_us(connection->server->io);
    io_stream_pause(connection->stream, pause);
}

static void on_flush(struct io_timer *timer)
{
    struct http_connection *connection = timer->data;
    connection->flush_posted = false;
    if (connection->state == HTTP_CONNECTION_CLOSED) return;
    write_ready(connection);
    if (connection->state == HTTP_CONNECTION_CLOSED) return;
    advance(connection);
    parse_backlog(connection);
}

void http__connection_ready(struct http_connection *connection, struct http_exchange *exchange)
{
    /* Replied before its body was read: on_event() goes on from here. */
    if (exchange == connection->reading) return;
    assert(exchange->state != HTTP_EXCHANGE_READY);
    exchange->state = HTTP_EXCHANGE_READY;
    post_flush(connection);
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

static void append_exchange(struct http_connection *connection, struct http_exchange *exchange)
{
    exchange->next = NULL;
    if (connection->last) {
        connection->last->next = exchange;
    } else {
        connection->first = exchange;
    }
    connection->last = exchange;
    connection->exchanges_count++;
}

static bool begin_exchange(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct http_exchange *exchange = http__server_take_exchange(server);
    if (!exchange) return false;
    exchange->connection = connection;
    exchange->id = server->request_ids++;
    connection->reading = exchange;
    connection->phase_us = io_now_us(server->io);
    connection->body_received = 0;
    http__parser_begin(&connection->parser, &exchange->head, &server->limits);
    return true;
}

/* The request being read has its reply already and the rest of its body is not wanted. */
static void stop_at_refusal(struct http_connection *connection, struct http_exchange *exchange)
{
    read_no_more(connection);
    http__connection_ready(connection, exchange);
}

static void on_bad(struct http_connection *connection, const struct http_event *event)
{
    struct http_exchange *exchange = connection->reading;
    bool in_list = connection->last == exchange;
    connection->server->metrics.bad_requests++;
    /* Nothing of a bad head counts, not even its method: the reply is made as if it had none. */
    if (!in_list) {
        exchange->head.method = HTTP_METHOD_OTHER;
        exchange->started_us = io_now_us(connection->server->io);
        append_exchange(connection, exchange);
    }
    exchange->close = exchange->unread_input = true;
    if (exchange->status == 0) {
        http__reply_problem(exchange, event->problem, "%s", event->detail);
    }
    stop_at_refusal(connection, exchange);
}

static void on_event(struct http_connection *connection, const struct http_event *event)
{
    struct http_exchange *exchange = connection->reading;
    switch (event->type) {
    case HTTP_EVENT_MORE:
        return;
    case HTTP_EVENT_BAD:
        on_bad(connection, event);
        return;
    case HTTP_EVENT_HEAD:
        exchange->started_us = connection->phase_us = io_now_us(connection->server->io);
        append_exchange(connection, exchange);
        http__exchange_head(exchange);
        if (connection->server->stopping) exchange->close = true;
        break;
    case HTTP_EVENT_BODY:
        connection->body_received += event->bytes;
        http__exchange_body(exchange, event->data, event->bytes);
        break;
    case HTTP_EVENT_COMPLETE:
        connection->reading = NULL;
        connection->served = true;
        connection->phase_us = io_now_us(connection->server->io);
        if (exchange->close) read_no_more(connection);
        if (exchange->status != 0) {
            http__connection_ready(connection, exchange);
        } else {
            exchange->state = HTTP_EXCHANGE_WAITING;
            advance(connection);
        }
        return;
    }
    if (exchange->status != 0 && exchange->unread_input) stop_at_refusal(connection, exchange);
}

/* Parse as far as allowed; returns how many bytes were taken. */
static size_t parse(struct http_connection *connection, const uint8_t *data, size_t bytes)
{
    size_t taken = 0;
    connection->in_parse = true;
    while (taken < bytes && may_read(connection)) {
        if (!connection->reading && !begin_exchange(connection)) {
            http__connection_close(connection, /* linger= */ true);
            break;
        }
        struct http_event event;
        do { /* a request may be complete without a further byte */
            taken += http__parser_feed(&connection->parser, data + taken, bytes - taken, &event);
            on_event(connection, &event);
        } while (event.type != HTTP_EVENT_MORE && connection->reading);
    }
    connection->in_parse = false;
    if (connection->reading && connection->first == connection->reading &&
        connection->reading->continue_due) {
        advance(connection);
    }
    return taken;
}

static void parse_backlog(struct http_connection *connection)
{
    if (connection->in_parse) return;
    struct http_buffer *backlog = &connection->backlog;
    if (backlog->bytes > connection->backlog_taken) {
        size_t taken = parse(connection, backlog->data + connection->backlog_taken,
                             backlog->bytes - connection->backlog_taken);
        connection->backlog_taken += taken;
    }
    if (connection->state == HTTP_CONNECTION_CLOSED) return;
    if (connection->backlog_taken >= backlog->bytes) {
        http__buffer_close(backlog);
        connection->backlog_taken = 0;
    }
    update_pause(connection);
}

/* The client closed, or the connection broke: nobody waits for the answers. */
static void on_end(struct http_connection *connection)
{
    /* Replies that are ready but not yet handed over still go out: an end of stream may be only the client's side. */
    write_ready(connection);
    http__connection_close(connection, /* linger= */ true);
}

static void on_read(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    struct http_connection *connection = stream->data;
    if (connection->state == HTTP_CONNECTION_CLOSED) return;
    if (bytes < 0) {
        on_end(connection);
        return;
    }
    connection->server->metrics.bytes_in += (uint64_t)bytes;
    if (connection->state != HTTP_CONNECTION_OPEN) return; /* behind the last request: dropped */
    size_t taken = 0;
    if (connection->backlog.bytes == 0) taken = parse(connection, data, (size_t)bytes);
    if (connection->state == HTTP_CONNECTION_OPEN && taken < (size_t)bytes) {
        http__buffer_append(&connection->backlog, data + taken, (size_t)bytes - taken);
        if (connection->backlog.failed) {
            http__connection_close(connection, /* linger= */ false);
            return;
        }
    }
    if (connection->state != HTTP_CONNECTION_CLOSED) update_pause(connection);
}

static void on_drained(struct io_stream *stream)
{
    struct http_connection *connection = stream->data;
    if (connection->state == HTTP_CONNECTION_CLOSED) return;
    account_output(connection, io_now_us(connection->server->io));
    post_flush(connection);
}

/* ---- time ------------------------------------------------------------------------------------------------- */

static void time_out(struct http_connection *connection)
{
    connection->server->metrics.timeouts++;
    struct http_event event = {.type = HTTP_EVENT_BAD,
                               .problem = HTTP_REQUEST_TIMEOUT,
                               .detail = "send the whole request without delay"};
    connection->parser.phase = HTTP_PARSER_DEAD;
    on_bad(connection, &event);
}

static bool body_is_slow(const struct http_connection *connection, uint64_t elapsed_us)
{
    if (elapsed_us > connection->server->limits.body_timeout_ms * UINT64_C(1000)) return true;
    if (elapsed_us <= BODY_GRACE_US) return false;
    return connection->body_received < (elapsed_us - BODY_GRACE_US) / 1000000u * BODY_BYTES_PER_S;
}

void http__connection_check_time(struct http_connection *connection, uint64_t now_us)
{
    const struct http_limits *limits = &connection->server->limits;
    uint64_t elapsed_us = now_us - connection->phase_us;
    account_output(connection, now_us);
    if (connection->output_bytes > 0 &&
        now_us - connection->output_moved_us > limits->reply_timeout_ms * UINT64_C(1000)) {
        connection->server->metrics.timeouts++;
        http__connection_close(connection, /* linger= */ false);
        return;
    }
    if (connection->paused || connection->state != HTTP_CONNECTION_OPEN) return;
    if (connection->reading) {
        bool head = connection->parser.phase == HTTP_PARSER_HEAD;
        bool slow = head ? elapsed_us > limits->head_timeout_ms * UINT64_C(1000)
                         : body_is_slow(connection, elapsed_us);
        if (slow) time_out(connection);
        return;
    }
    if (connection->first) return; /* it waits for us */
    uint32_t idle_ms = connection->served ? limits->idle_timeout_ms : limits->head_timeout_ms;
    if (elapsed_us > idle_ms * UINT64_C(1000))
        http__connection_close(connection, /* linger= */ true);
}

/* ---- accepting -------------------------------------------------------------------------------------------- */

static const struct io_stream_callbacks callbacks = {
    .read = on_read,
    .drained = on_drained,
    .closed = on_closed,
};

void http__connection_accept(struct http_server *server, struct io_stream *stream)
{
    struct http_connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        io_stream_close(stream, /* linger= */ false);
        return;
    }
    uint64_t now_us = io_now_us(server->io);
    connection->server = server;
    connection->stream = stream;
    connection->phase_us = connection->output_moved_us = now_us;
    connection->flush = (struct io_timer){.fire = on_flush, .data = connection};
    http__parser_init(&connection->parser);
    connection->next = server->connections;
    if (server->connections) server->connections->previous = connection;
    server->connections = connection;
    server->connections_count++;
    server->metrics.connections_total++;
    io_stream_start(stream, &callbacks, connection);
}
