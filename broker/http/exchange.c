#include "exchange.h"

#include "connection.h"
#include "routes.h"
#include "server.h"
#include "text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define BODY_KEPT_BYTES     (64u * 1024u)
#define REPLY_KEPT_BYTES    (64u * 1024u)
#define JSON_DOCUMENT_BYTES (64u * 1024u) /* of a body that is not messages */
/* A refused body up to this size is read and dropped and the connection goes on; behind a larger one it closes. */
#define DROPPED_BODY_BYTES (1024u * 1024u)
/* Memory taken ahead for a body of known length: the rest is taken as bytes arrive, so a promise costs little. */
#define BODY_AHEAD_BYTES (1024u * 1024u)

/* ---- life ------------------------------------------------------------------------------------------------- */

struct http_exchange *http__exchange_create(void)
{
    return calloc(1, sizeof(struct http_exchange));
}

static void release_segments(struct http_exchange *exchange)
{
    for (size_t i = 0; i < exchange->segments_count; i++) {
        struct io_buffer *segment = &exchange->segments[i];
        if (segment->release) segment->release(segment->owner);
    }
    exchange->segments_count = 0;
    exchange->segments_bytes = 0;
}

static void drop_reply(struct http_exchange *exchange)
{
    release_segments(exchange);
    if (exchange->hold) http__hold_unref(exchange->hold);
    exchange->hold = NULL;
    http__buffer_clear(&exchange->headers_out, REPLY_KEPT_BYTES);
    http__buffer_clear(&exchange->body_out, REPLY_KEPT_BYTES);
    http__buffer_clear(&exchange->head_out, REPLY_KEPT_BYTES);
    exchange->content_type = NULL;
    exchange->status = 0;
}

/* What a node answered and nobody took: it is malloc'ed or referenced. */
static void drop_node_results(struct node_request *node)
{
    if (node->ret_view.parts_count > 0) segment_log_view_release(&node->ret_view);
    if (node->ret_topics) node_topics_free(node->ret_topics, node->ret_topics_count);
    free(node->ret_offsets);
    free(node->ret_changes);
    *node = (struct node_request){0};
}

void http__exchange_recycle(struct http_exchange *exchange)
{
    assert(!exchange->submitted);
    assert(exchange->body_charged == 0);
    drop_reply(exchange);
    drop_node_results(&exchange->node);
    http__head_clear(&exchange->head);
    http__buffer_clear(&exchange->body, BODY_KEPT_BYTES);
    http__buffer_clear(&exchange->scratch, BODY_KEPT_BYTES);
    http__buffer_clear(&exchange->target, BODY_KEPT_BYTES);
    if (exchange->builder_ready && exchange->builder.capacity > BODY_KEPT_BYTES) {
        record_batch_builder_close(&exchange->builder);
        exchange->builder_ready = false;
    }
    exchange->next = NULL;
    exchange->connection = NULL;
    exchange->state = HTTP_EXCHANGE_READING;
    exchange->route = NULL;
    exchange->started_us = 0;
    exchange->drop_body = exchange->continue_due = exchange->close = exchange->unread_input = false;
    exchange->retry_after_ms = 0;
    exchange->leader = exchange->term = 0;
    memset(exchange->context, 0, sizeof exchange->context);
}

void http__exchange_destroy(struct http_exchange *exchange)
{
    if (!exchange) return;
    assert(!exchange->submitted);
    drop_reply(exchange);
    drop_node_results(&exchange->node);
    http__head_close(&exchange->head);
    http__buffer_close(&exchange->body);
    http__buffer_close(&exchange->scratch);
    http__buffer_close(&exchange->target);
    http__buffer_close(&exchange->headers_out);
    http__buffer_close(&exchange->body_out);
    http__buffer_close(&exchange->head_out);
    if (exchange->builder_ready) record_batch_builder_close(&exchange->builder);
    free(exchange->segments);
    free(exchange);
}

struct http_server *http__exchange_server(const struct http_exchange *exchange)
{
    assert(exchange->connection->server);
    return exchange->connection->server;
}

/* ---- head and body ---------------------------------------------------------------------------------------- */

/* The body is not wanted any more. When it is small it is read and dropped, and the connection goes on. A client that
 * waits for "100 Continue" may or may not send it now, so what comes next is ambiguous: close. */
static void refuse_body(struct http_exchange *exchange)
{
    const struct http_head *head = &exchange->head;
    if (!head->has_body) return;
    exchange->drop_body = true;
    bool small = !head->chunked && head->content_length <= DROPPED_BODY_BYTES;
    if (!small || exchange->continue_due) {
        exchange->close = exchange->unread_input = true;
    }
    exchange->continue_due = false;
}

static bool is_ndjson_or_json(const struct http_head *head)
{
    const char *type = http__head_find(head, "content-type");
    return type && (strncasecmp(type, "application/json", 16) == 0 ||
                    strncasecmp(type, "application/x-ndjson", 20) == 0);
}

static size_t body_limit(const struct http_exchange *exchange)
{
    const struct http_server *server = http__exchange_server(exchange);
    if (exchange->route->body == HTTP_BODY_JSON) return JSON_DOCUMENT_BYTES;
    if (is_ndjson_or_json(&exchange->head)) return server->limits.json_body_bytes_max;
    /* A raw message or a batch is refused by the topic's own limit before it is read, as far as this node knows it. */
    uint32_t partitions_count, message_bytes_max;
    size_t limit = server->limits.body_bytes_max;
    if (node_topic_partitions(server->node, exchange->arguments[0], &partitions_count,
                              &message_bytes_max) &&
        message_bytes_max < limit) {
        limit = message_bytes_max;
    }
    return limit;
}

static bool judge_body(struct http_exchange *exchange)
{
    const struct http_head *head = &exchange->head;
    if (exchange->route->body == HTTP_BODY_NONE) {
        if (!head->has_body) return true;
        http__reply_problem(exchange, HTTP_BAD_REQUEST, "this request takes no body");
        return false;
    }
    const char *encoding = http__head_find(head, "content-encoding");
    if (encoding && strcasecmp(encoding, "identity") != 0) {
        http__reply_problem(exchange, HTTP_UNSUPPORTED_ENCODING,
                            "send the body without Content-Encoding; a record batch may be "
                            "compressed inside");
        return false;
    }
    exchange->body_bytes_max = body_limit(exchange);
    if (head->content_length > exchange->body_bytes_max) {
        http__reply_problem(exchange, HTTP_BODY_TOO_LARGE, "send at most %zu bytes",
                            exchange->body_bytes_max);
        exchange->close = exchange->unread_input = true;
        return false;
    }
    return true;
}

void http__exchange_head(struct http_exchange *exchange)
{
    struct http_head *head = &exchange->head;
    const char *detail;
    exchange->continue_due = head->expects_continue;
    exchange->close = head->close;
    bool foreign = head->method != HTTP_METHOD_GET && head->method != HTTP_METHOD_HEAD &&
                   http__head_is_foreign(head);
    bool fine = false;
    if (http__head_find(head, "raftmq-redirect")) {
        /* Splitting cuts the target up; the Location of a redirect needs it whole. */
        http__buffer_append(&exchange->target, head->target, head->target_bytes);
    }
    if (foreign) {
        http__reply_problem(exchange, HTTP_FOREIGN_ORIGIN,
                            "the Origin header names another host than Host");
    } else if (!http__head_split(head, &detail)) {
        http__reply_problem(exchange, HTTP_BAD_REQUEST, "%s", detail);
    } else if (http__routes_match(exchange)) {
        fine = judge_body(exchange);
    }
    if (!fine) refuse_body(exchange);
}

/* The whole body was refused while it came in. */
static void refuse_midway(struct http_exchange *exchange, enum http_problem problem,
                          const char *detail)
{
    http__buffer_close(&exchange->body);
    http__connection_uncharge(exchange);
    http__reply_problem(exchange, problem, "%s", detail);
    exchange->drop_body = true;
    if (exchange->head.chunked || problem == HTTP_BODY_TOO_LARGE) {
        exchange->close = exchange->unread_input = true;
    }
}

static bool reserve_body(struct http_exchange *exchange, size_t bytes)
{
    struct http_buffer *body = &exchange->body;
    if (bytes <= body->capacity - body->bytes) return true;
    size_t more = bytes;
    if (exchange->head.has_content_length) {
        size_t left = (size_t)exchange->head.content_length - body->bytes;
        size_t ahead = left < BODY_AHEAD_BYTES ? left : BODY_AHEAD_BYTES;
        if (ahead > more) more = ahead;
    }
    return http__buffer_reserve(body, more);
}

void http__exchange_body(struct http_exchange *exchange, const uint8_t *data, size_t bytes)
{
    exchange->continue_due = false;
    if (exchange->drop_body) return;
    if (bytes > exchange->body_bytes_max - exchange->body.bytes) {
        char detail[80];
        snprintf(detail, sizeof detail, "send at most %zu bytes", exchange->body_bytes_max);
        refuse_midway(exchange, HTTP_BODY_TOO_LARGE, detail);
        return;
    }
    enum http_problem problem;
    if (!http__connection_charge(exchange, bytes, &problem)) {
        refuse_midway(exchange, problem,
                      "wait for answers, or send less at a time; nothing was stored");
        return;
    }
    if (!reserve_body(exchange, bytes)) {
        refuse_midway(exchange, HTTP_SERVER_BUSY, "the node is out of memory; nothing was stored");
        return;
    }
    http__buffer_append(&exchange->body, data, bytes);
}

/* ---- for handlers ----------------------------------------------------------------------------------------- */

static void node_done(struct node_request *request)
{
    struct http_exchange *exchange = request->data;
    assert(exchange->submitted);
    exchange->submitted = false;
    exchange->leader = request->ret_leader;
    exchange->term = request->ret_term;
    exchange->answered(exchange);
}

void http__exchange_submit(struct http_exchange *exchange, enum node_request_type type,
                           void (*done)(struct http_exchange *exchange))
{
    struct node_request *request = &exchange->node;
    assert(!exchange->submitted);
    request->type = type;
    request->done = node_done;
    request->data = exchange;
    const char *redirect = http__head_find(&exchange->head, "raftmq-redirect");
    request->redirect = redirect && strcmp(redirect, "1") == 0;
    exchange->answered = done;
    exchange->submitted = true;
    node_submit(http__exchange_server(exchange)->node, request);
}

static bool refuse_parameter(struct http_exchange *exchange, const char *name, const char *form)
{
    http__reply_problem(exchange, HTTP_INVALID_ARGUMENT, "?%s= must be %s", name, form);
    return false;
}

bool http__exchange_parameter_u64(struct http_exchange *exchange, const char *name, uint64_t max,
                                  uint64_t *value)
{
    const struct http_parameter *parameter = http__head_parameter(&exchange->head, name);
    uint64_t number;
    if (!parameter) return true;
    if (!http__text_u64(parameter->value, parameter->value_bytes, &number) || number > max) {
        char form[64];
        snprintf(form, sizeof form, "a decimal number from 0 to %" PRIu64, max);
        return refuse_parameter(exchange, name, form);
    }
    *value = number;
    return true;
}

bool http__exchange_parameter_size(struct http_exchange *exchange, const char *name, uint64_t max,
                                   uint64_t *value)
{
    const struct http_parameter *parameter = http__head_parameter(&exchange->head, name);
    uint64_t number;
    if (!parameter) return true;
    if (!http__text_size(parameter->value, parameter->value_bytes, &number) || number > max ||
        number == 0) {
        char form[80];
        snprintf(form, sizeof form, "a number of bytes from 1 to %" PRIu64 ", or like 64K or 1M",
                 max);
        return refuse_parameter(exchange, name, form);
    }
    *value = number;
    return true;
}

bool http__exchange_parameter_duration(struct http_exchange *exchange, const char *name,
                                       int64_t max_ms, int64_t *value_ms)
{
    const struct http_parameter *parameter = http__head_parameter(&exchange->head, name);
    int64_t ms;
    if (!parameter) return true;
    if (!http__text_duration(parameter->value, parameter->value_bytes, &ms) || ms > max_ms) {
        char form[80];
        snprintf(form, sizeof form, "a duration like 500ms or 30s, at most %" PRId64 "s",
                 max_ms / 1000);
        return refuse_parameter(exchange, name, form);
    }
    *value_ms = ms;
    return true;
}

bool http__exchange_parameter_bool(struct http_exchange *exchange, const char *name, bool *value)
{
    const struct http_parameter *parameter = http__head_parameter(&exchange->head, name);
    if (!parameter) return true;
    if (strcmp(parameter->value, "1") != 0 && strcmp(parameter->value, "0") != 0) {
        return refuse_parameter(exchange, name, "1 or 0");
    }
    *value = parameter->value[0] == '1';
    return true;
}
