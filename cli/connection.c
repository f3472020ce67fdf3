#include "connection.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum connection_state {
    CONNECTION_CONNECTING,
    CONNECTION_HEAD, /* between answers, or inside a head */
    CONNECTION_BODY,
    CONNECTION_BROKEN, /* failed() was called */
    CONNECTION_CLOSED, /* the owner is done; the stream's closed callback frees the struct */
};

struct connection {
    struct io *io;
    struct io_stream *stream;
    const struct connection_callbacks *callbacks;
    void *data;
    enum connection_state state;
    bool in_callback; /* an answer is being delivered: connection_close() must not free under it */
    uint32_t unanswered; /* requests sent and not answered */
    uint64_t heard_us;
    char head[CONNECTION_HEAD_BYTES_MAX + 1];
    size_t head_bytes;
    uint8_t *body; /* kept and grown between answers */
    size_t body_bytes, body_capacity;
    size_t body_wanted;
    struct connection_answer answer;
};

static void fail(struct connection *connection, const char *reason)
{
    if (connection->state == CONNECTION_BROKEN || connection->state == CONNECTION_CLOSED) return;
    connection->state = CONNECTION_BROKEN;
    connection->callbacks->failed(connection->data, reason);
}

static bool parse_size(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 19 || text[digits] != '\0') return false;
    for (size_t i = 0; i < digits; i++) {
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *ret_value = value;
    return true;
}

/* One header line, NUL-terminated. False: the answer cannot be trusted. */
static bool take_header(struct connection *connection, char *line, bool *has_length)
{
    struct connection_answer *answer = &connection->answer;
    char *colon = strchr(line, ':');
    if (!colon || colon == line) return false;
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    for (size_t bytes = strlen(value); bytes > 0 && isspace((unsigned char)value[bytes - 1]);) {
        value[--bytes] = '\0';
    }
    uint64_t number = 0;
    if (strcasecmp(line, "content-length") == 0) {
        if (*has_length || !parse_size(value, &number) || number > CONNECTION_BODY_BYTES_MAX) {
            return false;
        }
        *has_length = true;
        connection->body_wanted = (size_t)number;
    } else if (strcasecmp(line, "transfer-encoding") == 0) {
        return false; /* the nodes answer these requests with a length; anything else is not one of them */
    } else if (strcasecmp(line, "connection") == 0) {
        answer->closes = strcasecmp(value, "close") == 0;
    } else if (strcasecmp(line, "content-type") == 0) {
        answer->binary = strcasecmp(value, "application/vnd.raftmq.batch") == 0;
    } else if (strcasecmp(line, "retry-after") == 0) {
        if (parse_size(value, &number) && number < 3600) {
            answer->retry_after_ms = (uint32_t)number * 1000u;
        }
    } else if (strcasecmp(line, "raftmq-next-offset") == 0) {
        answer->has_next_offset = parse_size(value, &answer->next_offset);
    } else if (strcasecmp(line, "raftmq-high-watermark") == 0) {
        answer->has_high_watermark = parse_size(value, &answer->high_watermark);
    } else if (strcasecmp(line, "raftmq-fetch-offset") == 0) {
        answer->has_fetch_offset = parse_size(value, &answer->fetch_offset);
    }
    return true;
}

/* The whole head is in connection->head, NUL-terminated and without its empty line. */
static bool parse_head(struct connection *connection)
{
    memset(&connection->answer, 0, sizeof(connection->answer));
    connection->body_wanted = 0;
    connection->body_bytes = 0;
    bool has_length = false;
    char *line = connection->head;
    if (strncmp(line, "HTTP/1.1 ", 9) != 0 || strlen(line) < 12) return false;
    for (int i = 9; i < 12; i++) {
        if (!isdigit((unsigned char)line[i])) return false;
        connection->answer.status = connection->answer.status * 10 + (line[i] - '0');
    }
    for (line = strstr(line, "\r\n"); line && line[2];) {
        line += 2;
        char *end = strstr(line, "\r\n");
        if (end) *end = '\0';
        if (!take_header(connection, line, &has_length)) return false;
        if (!end) break;
        line = end;
        line[0] = '\r';
    }
    bool bodyless = connection->answer.status == 204 || connection->answer.status == 304;
    return connection->answer.status >= 200 && (has_length || bodyless);
}

static bool reserve_body(struct connection *connection, size_t bytes)
{
    if (bytes <= connection->body_capacity) return true;
    uint8_t *grown = realloc(connection->body, bytes);
    if (!grown) return false;
    connection->body = grown;
    connection->body_capacity = bytes;
    return true;
}

static void free_connection(struct connection *connection)
{
    free(connection->body);
    free(connection);
}

static void deliver(struct connection *connection, const uint8_t *body)
{
    connection->state = CONNECTION_HEAD;
    connection->head_bytes = 0;
    connection->unanswered--;
    connection->answer.body = body;
    connection->answer.body_bytes = connection->body_wanted;
    bool closes = connection->answer.closes;
    connection->callbacks->answer(connection->data, &connection->answer);
    if (closes) fail(connection, "the node closed the connection");
}

/* Take bytes of a head up to its empty line. Returns how many were taken. */
static size_t take_head(struct connection *connection, const uint8_t *data, size_t bytes)
{
    size_t room = CONNECTION_HEAD_BYTES_MAX - connection->head_bytes;
    size_t part = bytes < room ? bytes : room;
    memcpy(connection->head + connection->head_bytes, data, part);
    size_t before = connection->head_bytes;
    size_t from = before > 3 ? before - 3 : 0;
    connection->head_bytes += part;
    char *end = memmem(connection->head + from, connection->head_bytes - from, "\r\n\r\n", 4);
    if (!end) {
        if (connection->head_bytes == CONNECTION_HEAD_BYTES_MAX) {
            fail(connection, "the answer's head is too long");
        }
        return part;
    }
    size_t taken = (size_t)(end - connection->head) + 4 - before;
    *end = '\0';
    if (connection->unanswered == 0) {
        fail(connection, "an answer came that nobody asked for");
    } else if (strlen(connection->head) != (size_t)(end - connection->head) ||
               !parse_head(connection) || !reserve_body(connection, connection->body_wanted)) {
        fail(connection,
             "the answer is not HTTP as a raftmq node speaks it; is this a raftmq port?");
    } else {
        connection->state = CONNECTION_BODY;
    }
    return taken;
}

static void take_bytes(struct connection *connection, const uint8_t *data, size_t bytes)
{
    while (connection->state == CONNECTION_HEAD || connection->state == CONNECTION_BODY) {
        if (connection->state == CONNECTION_HEAD) {
            if (bytes == 0) return;
            size_t taken = take_head(connection, data, bytes);
            data += taken;
            bytes -= taken;
            continue;
        }
        size_t missing = connection->body_wanted - connection->body_bytes;
        if (connection->body_bytes == 0 && bytes >= missing) { /* all here: no copy */
            const uint8_t *body = data;
            data += missing;
            bytes -= missing;
            deliver(connection, body);
            continue;
        }
        size_t part = bytes < missing ? bytes : missing;
        memcpy(connection->body + connection->body_bytes, data, part);
        connection->body_bytes += part;
        data += part;
        bytes -= part;
        if (connection->body_bytes < connection->body_wanted) return;
        deliver(connection, connection->body);
    }
}

static void on_read(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    struct connection *connection = stream->data;
    if (connection->state == CONNECTION_CLOSED) return;
    connection->in_callback = true;
    connection->heard_us = io_now_us(connection->io);
    if (bytes < 0) {
        fail(connection,
             bytes == -EPIPE ? "the node closed the connection" : strerror((int)-bytes));
    } else {
        take_bytes(connection, data, (size_t)bytes);
    }
    connection->in_callback = false;
}

static void on_closed(struct io_stream *stream)
{
    struct connection *connection = stream->data;
    assert(connection->state == CONNECTION_CLOSED);
    assert(!connection->in_callback);
    free_connection(connection);
}

static const struct io_stream_callbacks stream_callbacks = {.read = on_read, .closed = on_closed};

static void on_connected(struct io_stream *stream, int status)
{
    struct connection *connection = stream->data;
    if (connection->state == CONNECTION_CLOSED) return;
    assert(connection->state == CONNECTION_CONNECTING);
    if (status < 0) {
        char reason[128];
        snprintf(reason, sizeof(reason), "cannot connect: %s", strerror(-status));
        fail(connection, reason);
        return;
    }
    connection->state = CONNECTION_HEAD;
    connection->callbacks->connected(connection->data);
}

struct connection *connection_open(struct io *io, const char *address,
                                   const struct connection_callbacks *callbacks, void *data)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    assert(connection);
    connection->io = io;
    connection->callbacks = callbacks;
    connection->data = data;
    connection->state = CONNECTION_CONNECTING;
    connection->stream = io_connect(io, address, on_connected, connection);
    /* Started before it is connected, so that `closed` comes, and frees the struct, however early it is closed. */
    io_stream_start(connection->stream, &stream_callbacks, connection);
    return connection;
}

void connection_send(struct connection *connection, const char *head, size_t head_bytes,
                     const struct io_buffer *body)
{
    assert(connection->state == CONNECTION_HEAD || connection->state == CONNECTION_BODY);
    struct io_buffer buffers[2] = {{.data = head, .bytes = head_bytes}};
    int count = 1;
    if (body && body->data) buffers[count++] = *body;
    connection->unanswered++;
    io_stream_write(connection->stream, buffers, count);
}

uint64_t connection_heard_us(const struct connection *connection)
{
    return connection->heard_us;
}

void connection_close(struct connection *connection)
{
    if (!connection || connection->state == CONNECTION_CLOSED) return;
    connection->state = CONNECTION_CLOSED;
    io_stream_close(connection->stream, /* linger= */ false);
}
