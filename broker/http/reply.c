/* Making replies: status line, headers, problem documents, bodies by copy and by reference. */
#include "exchange.h"

#include "connection.h"
#include "server.h"
#include "text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_AFTER_MS_DEFAULT 1000u
/* Below this size a copy is cheaper than one more element in the kernel's write vector. */
#define SEGMENT_COPY_BYTES 1024u

/* ---- finishing -------------------------------------------------------------------------------------------- */

static bool has_lost_bytes(const struct http_exchange *exchange)
{
    return exchange->body_out.failed || exchange->headers_out.failed || exchange->scratch.failed;
}

static void forget_reply(struct http_exchange *exchange)
{
    for (size_t i = 0; i < exchange->segments_count; i++) {
        struct io_buffer *segment = &exchange->segments[i];
        if (segment->release) segment->release(segment->owner);
    }
    exchange->segments_count = 0;
    exchange->segments_bytes = 0;
    if (exchange->hold) http__hold_unref(exchange->hold);
    exchange->hold = NULL;
    http__buffer_clear(&exchange->body_out, SIZE_MAX);
    http__buffer_clear(&exchange->headers_out, SIZE_MAX);
    exchange->content_type = NULL;
}

static bool is_json(const struct http_exchange *exchange)
{
    return exchange->content_type && exchange->body_out.bytes > 0 &&
           (strcmp(exchange->content_type, "application/json") == 0 ||
            strcmp(exchange->content_type, "application/problem+json") == 0);
}

void http__reply_finish(struct http_exchange *exchange)
{
    assert(exchange->status >= 200);
    assert(!exchange->submitted);
    if (is_json(exchange))
        http__buffer_append(&exchange->body_out, "\n", 1); /* for who reads it in a terminal */
    if (has_lost_bytes(exchange)) {
        /* Out of memory in the middle of a reply: say so in one that needs none. */
        forget_reply(exchange);
        exchange->scratch.failed = false;
        exchange->status = 503;
        exchange->retry_after_ms = RETRY_AFTER_MS_DEFAULT;
    }
    http__connection_ready(exchange->connection, exchange);
}

static void header_number(struct http_buffer *out, const char *name, uint64_t value)
{
    http__buffer_text(out, name);
    http__buffer_u64(out, value);
    http__buffer_append(out, "\r\n", 2);
}

void http__reply_compose(struct http_exchange *exchange)
{
    struct http_server *server = http__exchange_server(exchange);
    struct http_buffer *out = &exchange->head_out;
    http__buffer_clear(out, SIZE_MAX);
    http__buffer_text(out, "HTTP/1.1 ");
    http__buffer_u64(out, (uint64_t)exchange->status);
    http__buffer_text(out, " ");
    http__buffer_text(out, http__status_reason(exchange->status));
    http__buffer_text(out, "\r\nDate: ");
    http__buffer_text(out, http__server_date(server));
    http__buffer_text(out, "\r\n");
    if (exchange->content_type) {
        http__buffer_text(out, "Content-Type: ");
        http__buffer_text(out, exchange->content_type);
        http__buffer_text(out, "\r\n");
    }
    if (exchange->status != 204) {
        header_number(out, "Content-Length: ",
                      exchange->segments_count ? exchange->segments_bytes
                                               : exchange->body_out.bytes);
    }
    header_number(out, "Raftmq-Node: ", server->node_id);
    if (exchange->leader) header_number(out, "Raftmq-Leader: ", exchange->leader);
    if (exchange->term) header_number(out, "Raftmq-Term: ", exchange->term);
    if (exchange->retry_after_ms) {
        header_number(out, "Retry-After: ", ((uint64_t)exchange->retry_after_ms + 999u) / 1000u);
    }
    http__buffer_append(out, exchange->headers_out.data, exchange->headers_out.bytes);
    if (exchange->close) http__buffer_text(out, "Connection: close\r\n");
    http__buffer_text(out, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n");
}

void http__reply_header(struct http_exchange *exchange, const char *name, const char *format, ...)
{
    char value[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    assert(length >= 0);
    if ((size_t)length >= sizeof value) return;
    /* A header's value never ends its line: what would is not sent at all. */
    for (int i = 0; i < length; i++) {
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f) return;
    }
    http__buffer_format(&exchange->headers_out, "%s: %s\r\n", name, value);
}

struct http_json http__reply_json(struct http_exchange *exchange, int status)
{
    struct http_json json;
    forget_reply(exchange);
    exchange->status = status;
    exchange->content_type = "application/json";
    http__json_init(&json, &exchange->body_out);
    return json;
}

void http__reply_empty(struct http_exchange *exchange, int status)
{
    exchange->status = status;
    exchange->content_type = NULL;
    http__reply_finish(exchange);
}

void http__reply_text(struct http_exchange *exchange, int status, const char *text)
{
    exchange->status = status;
    exchange->content_type = "text/plain; charset=utf-8";
    http__buffer_text(&exchange->body_out, text);
    http__reply_finish(exchange);
}

/* ---- problems --------------------------------------------------------------------------------------------- */

struct http_json http__reply_problem_begin(struct http_exchange *exchange,
                                           struct http_status status, const char *detail)
{
    struct http_json json = http__reply_json(exchange, status.code);
    exchange->content_type = "application/problem+json";
    if (!status.retry) {
        exchange->retry_after_ms = 0;
    } else if (exchange->retry_after_ms == 0) {
        exchange->retry_after_ms = RETRY_AFTER_MS_DEFAULT;
    }
    char text[96];
    http__json_object_begin(&json);
    http__json_key(&json, "type");
    snprintf(text, sizeof text, "urn:raftmq:problem:%s", status.slug);
    http__json_string(&json, text);
    http__json_member_string(&json, "title", status.title);
    http__json_member_u64(&json, "status", (uint64_t)status.code);
    if (*detail) {
        http__json_key(&json, "detail");
        /* A detail may quote what came from outside. */
        bool utf8 = http__text_is_utf8((const uint8_t *)detail, strlen(detail));
        http__json_string(&json, utf8 ? detail : status.title);
    }
    http__json_key(&json, "instance");
    snprintf(text, sizeof text, "urn:raftmq:request:%016" PRIx64, exchange->id);
    http__json_string(&json, text);
    return json;
}

void http__reply_problem_end(struct http_exchange *exchange, struct http_json *json)
{
    if (exchange->leader) {
        http__json_member_u64(json, "leader", exchange->leader);
    }
    if (exchange->term) {
        http__json_member_u64(json, "term", exchange->term);
    }
    if (exchange->retry_after_ms) {
        http__json_member_u64(json, "retry_after_ms", exchange->retry_after_ms);
    }
    http__json_object_end(json);
    http__reply_finish(exchange);
}

void http__reply_problem(struct http_exchange *exchange, enum http_problem problem,
                         const char *format, ...)
{
    char detail[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    struct http_json json =
        http__reply_problem_begin(exchange, http__status_of_problem(problem), detail);
    http__reply_problem_end(exchange, &json);
}

static bool is_printable(const char *text)
{
    for (; *text; text++) {
        if (*text <= 0x20 || *text >= 0x7f) return false;
    }
    return true;
}

/* The leader's advertised HTTP address, as this node knows it. */
static bool leader_address(struct http_exchange *exchange, char *ret_address)
{
    struct node_cluster_status *status = calloc(1, sizeof *status);
    bool found = false;
    if (!status) return false;
    node_cluster_status(http__exchange_server(exchange)->node, status);
    for (uint32_t i = 0; i < status->members_count && !found; i++) {
        const struct node_member_status *member = &status->members[i];
        if (member->node_id != exchange->leader || member->http_address[0] == '\0') continue;
        if (!is_printable(member->http_address)) continue;
        snprintf(ret_address, META_ADDRESS_BYTES_MAX, "%s", member->http_address);
        found = true;
    }
    free(status);
    return found;
}

/* The client asked for a redirect instead of a proxied request, and another node leads. */
static bool redirect_to_leader(struct http_exchange *exchange)
{
    char address[META_ADDRESS_BYTES_MAX];
    const struct http_server *server = http__exchange_server(exchange);
    if (exchange->node.status != NODE_NO_LEADER || !exchange->node.redirect) return false;
    if (exchange->leader == 0 || exchange->leader == server->node_id) return false;
    if (exchange->target.failed || exchange->target.bytes == 0) return false;
    if (!leader_address(exchange, address)) return false;
    forget_reply(exchange);
    exchange->retry_after_ms = 0;
    /* The target came through the gate: printable ASCII. It may be longer than http__reply_header takes. */
    http__buffer_format(&exchange->headers_out, "Location: http://%s", address);
    http__buffer_append(&exchange->headers_out, exchange->target.data, exchange->target.bytes);
    http__buffer_text(&exchange->headers_out, "\r\n");
    http__reply_empty(exchange, 307);
    return true;
}

void http__reply_node_problem(struct http_exchange *exchange)
{
    struct node_request *node = &exchange->node;
    if (redirect_to_leader(exchange)) return;
    exchange->retry_after_ms = node->retry_after_ms;
    node->detail[sizeof node->detail - 1] = '\0';
    struct http_json json =
        http__reply_problem_begin(exchange, http__status_of_node(node->status), node->detail);
    if (node->status == NODE_OFFSET_OUT_OF_RANGE) {
        http__json_member_u64(&json, "first_offset", node->ret_first_offset);
        http__json_member_u64(&json, "next_offset", node->ret_next_offset);
    } else if (node->status == NODE_DAMAGED && node->ret_next_offset > 0) {
        http__json_member_u64(&json, "next_offset", node->ret_next_offset);
    }
    http__reply_problem_end(exchange, &json);
}

bool http__reply_failed(struct http_exchange *exchange)
{
    if (exchange->node.status == NODE_OK) return false;
    http__reply_node_problem(exchange);
    return true;
}

/* ---- bodies by reference ---------------------------------------------------------------------------------- */

void http__hold_unref(struct http_hold *hold)
{
    assert(hold->references > 0);
    if (--hold->references > 0) return;
    segment_log_view_release(&hold->view);
    free(hold);
}

static void release_hold(void *owner)
{
    http__hold_unref(owner);
}

bool http__reply_hold_view(struct http_exchange *exchange, struct segment_log_view *view)
{
    assert(!exchange->hold);
    struct http_hold *hold = malloc(sizeof *hold);
    if (!hold) {
        segment_log_view_release(view);
        *view = (struct segment_log_view){0};
        return false;
    }
    *hold = (struct http_hold){.view = *view, .references = 1};
    *view = (struct segment_log_view){0};
    exchange->hold = hold;
    return true;
}

static struct io_buffer *add_segment(struct http_exchange *exchange)
{
    if (exchange->segments_count == exchange->segments_capacity) {
        size_t capacity = exchange->segments_capacity ? exchange->segments_capacity * 2 : 16;
        struct io_buffer *segments =
            realloc(exchange->segments, capacity * sizeof exchange->segments[0]);
        if (!segments) return NULL;
        exchange->segments = segments;
        exchange->segments_capacity = capacity;
    }
    struct io_buffer *segment = &exchange->segments[exchange->segments_count++];
    *segment = (struct io_buffer){0};
    return segment;
}

void http__reply_segment(struct http_exchange *exchange, const uint8_t *data, size_t bytes)
{
    if (bytes == 0) return;
    struct io_buffer *last =
        exchange->segments_count ? &exchange->segments[exchange->segments_count - 1] : NULL;
    bool copy = bytes < SEGMENT_COPY_BYTES;
    if (copy && last && !last->release) {
        /* Small pieces gather in body_out; a copied segment is a range of it, found when it is written. */
        last->bytes += bytes;
    } else {
        struct io_buffer *segment = add_segment(exchange);
        if (!segment) {
            exchange->body_out.failed = true;
            return;
        }
        segment->bytes = bytes;
        if (!copy) {
            segment->data = data;
            segment->release = release_hold;
            segment->owner = exchange->hold;
            exchange->hold->references++;
        }
    }
    exchange->segments_bytes += bytes;
    if (copy) http__buffer_append(&exchange->body_out, data, bytes);
}
