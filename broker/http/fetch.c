/* GET /v1/topics/{t}/messages and one message of them. */
#include "routes.h"
#include "server.h"
#include "text.h"

#include <segment_log/entry.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define WAIT_MS_MAX        60000
#define LIMIT_DEFAULT      100u
#define LIMIT_MAX          10000u
#define INFLATED_BYTES_MAX (32u * 1024u * 1024u) /* of one compressed batch shown as JSON */

enum fetch_form {
    FORM_JSON,
    FORM_NDJSON,
    FORM_BATCH,
};

enum context_slot { /* exchange->context */
                    CONTEXT_FORM,
                    CONTEXT_LIMIT,
                    CONTEXT_BYTES_MAX,
                    CONTEXT_OFFSET,
};

/* ---- the batches of a view -------------------------------------------------------------------------------- */

struct batch_cursor {
    const struct segment_log_view *view;
    uint32_t part;
    size_t pos;
};

struct batch_slice {
    const uint8_t *data;
    uint32_t bytes;
    uint64_t base_offset;
    uint32_t records_count;
};

static uint32_t load_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t load_u64(const uint8_t *at)
{
    return (uint64_t)load_u32(at) | (uint64_t)load_u32(at + 4) << 32;
}

/* The next DATA entry of the view. The log checked every byte before it handed the view out, so only the shape is looked
 * at (entry.h), and never past the part. false: no further one, or the shape is wrong (*ret_damaged). */
static bool next_batch(struct batch_cursor *cursor, struct batch_slice *ret_batch,
                       bool *ret_damaged)
{
    *ret_damaged = false;
    while (cursor->part < cursor->view->parts_count) {
        const uint8_t *bytes = cursor->view->parts[cursor->part].bytes;
        size_t left = cursor->view->parts[cursor->part].bytes_count - cursor->pos;
        if (left == 0) {
            cursor->part++;
            cursor->pos = 0;
            continue;
        }
        const uint8_t *entry = bytes + cursor->pos;
        *ret_damaged = true;
        if (left < ENTRY_HEADER_BYTES || memcmp(entry, "RMQE", 4) != 0) return false;
        uint32_t payload_bytes = entry_payload_bytes(entry);
        if (payload_bytes > left - ENTRY_HEADER_BYTES) return false;
        *ret_damaged = false;
        size_t whole = entry_bytes(payload_bytes);
        cursor->pos += whole < left ? whole : left;
        if (entry[4] != ENTRY_DATA) continue;
        *ret_batch = (struct batch_slice){.data = entry + ENTRY_HEADER_BYTES,
                                          .bytes = payload_bytes,
                                          .records_count = load_u32(entry + 20),
                                          .base_offset = load_u64(entry + 40)};
        return true;
    }
    return false;
}

static void reply_damaged_view(struct http_exchange *exchange)
{
    http__server_log(
        http__exchange_server(exchange), "error",
        "event=\"a fetched range has no entry where one must be\" topic=%s partition=%u",
        exchange->node.topic, exchange->node.partition);
    http__reply_problem(exchange, HTTP_INTERNAL, "fetch from another node");
}

/* ---- one message as JSON ---------------------------------------------------------------------------------- */

/* Headers are an object when that loses nothing: text names that differ, text values. */
static bool headers_fit_object(const struct record_view *record)
{
    for (uint32_t i = 0; i < record->headers_count; i++) {
        const struct record_header *header = &record->headers[i];
        if (!http__text_is_utf8((const uint8_t *)header->name, header->name_bytes)) return false;
        if (header->value && !http__text_is_utf8(header->value, header->value_bytes)) return false;
        for (uint32_t k = 0; k < i; k++) {
            const struct record_header *other = &record->headers[k];
            if (other->name_bytes == header->name_bytes &&
                memcmp(other->name, header->name, header->name_bytes) == 0) {
                return false;
            }
        }
    }
    return true;
}

static void write_headers_object(struct http_json *json, const struct record_view *record)
{
    http__json_object_begin(json);
    for (uint32_t i = 0; i < record->headers_count; i++) {
        const struct record_header *header = &record->headers[i];
        /* A key that needs escapes: written as a text, then the colon. */
        http__json_text(json, header->name, header->name_bytes);
        http__buffer_append(json->out, ":", 1);
        json->comma = false;
        if (header->value) {
            http__json_text(json, header->value, header->value_bytes);
        } else {
            http__json_null(json);
        }
    }
    http__json_object_end(json);
}

static void write_headers_array(struct http_json *json, const struct record_view *record)
{
    http__json_array_begin(json);
    for (uint32_t i = 0; i < record->headers_count; i++) {
        const struct record_header *header = &record->headers[i];
        http__json_object_begin(json);
        http__json_member_bytes(json, "name", "name_b64", (const uint8_t *)header->name,
                                header->name_bytes);
        http__json_member_bytes(json, "value", "value_b64", header->value, header->value_bytes);
        http__json_object_end(json);
    }
    http__json_array_end(json);
}

static void write_message(struct http_json *json, uint32_t partition,
                          const struct record_view *record)
{
    http__json_object_begin(json);
    http__json_member_u64(json, "partition", partition);
    http__json_member_u64(json, "offset", record->offset);
    http__json_key(json, "timestamp");
    http__json_time(json, record->timestamp_ms);
    http__json_member_bytes(json, "key", "key_b64", record->key, record->key_bytes);
    http__json_key(json, "headers");
    if (headers_fit_object(record)) {
        write_headers_object(json, record);
    } else {
        write_headers_array(json, record);
    }
    http__json_member_bytes(json, "value", "value_b64", record->value, record->value_bytes);
    http__json_object_end(json);
}

/* ---- many messages ---------------------------------------------------------------------------------------- */

enum batch_outcome {
    BATCH_DONE,
    BATCH_FULL,       /* the reply has what was asked for */
    BATCH_UNREADABLE, /* cannot be inflated, or is malformed inside */
};

struct message_writer {
    struct http_exchange *exchange;
    struct http_json json;
    uint64_t count;
    uint64_t next_offset; /* behind the last message written */
    const char *why;      /* of UNREADABLE */
};

static bool writer_is_full(const struct message_writer *writer)
{
    const struct http_exchange *exchange = writer->exchange;
    return writer->count >= exchange->context[CONTEXT_LIMIT] ||
           (writer->count > 0 && exchange->body_out.bytes >= exchange->context[CONTEXT_BYTES_MAX]);
}

static enum batch_outcome write_batch(struct message_writer *writer,
                                      const struct batch_slice *batch)
{
    struct http_exchange *exchange = writer->exchange;
    struct record_batch_reader reader;
    struct record_view record;
    bool end = false;
    enum record_batch_status status =
        record_batch_reader_open(&reader, batch->data, batch->bytes, INFLATED_BYTES_MAX);
    if (status != RECORD_BATCH_OK) {
        writer->why = record_batch_status_text(status);
        return BATCH_UNREADABLE;
    }
    enum batch_outcome outcome = BATCH_DONE;
    while (outcome == BATCH_DONE) {
        status = record_batch_reader_next(&reader, &record, &end);
        if (status != RECORD_BATCH_OK) {
            writer->why = record_batch_status_text(status);
            outcome = BATCH_UNREADABLE;
            break;
        }
        if (end) break;
        if (record.offset < exchange->node.ret_fetch_offset) continue;
        if (writer_is_full(writer)) {
            outcome = BATCH_FULL;
            break;
        }
        write_message(&writer->json, exchange->node.partition, &record);
        if (exchange->context[CONTEXT_FORM] == FORM_NDJSON) {
            http__buffer_append(&exchange->body_out, "\n", 1);
            writer->json.comma = false;
        }
        writer->count++;
        writer->next_offset = record.offset + 1;
    }
    record_batch_reader_close(&reader);
    return outcome;
}

static void position_headers(struct http_exchange *exchange, uint64_t next_offset)
{
    const struct node_request *node = &exchange->node;
    http__reply_header(exchange, "Raftmq-Next-Offset", "%" PRIu64, next_offset);
    http__reply_header(exchange, "Raftmq-High-Watermark", "%" PRIu64, node->ret_high_watermark);
    http__reply_header(exchange, "Raftmq-First-Offset", "%" PRIu64, node->ret_first_offset);
    http__reply_header(exchange, "Raftmq-Fetch-Offset", "%" PRIu64, node->ret_fetch_offset);
    if (node->ret_local_lag) {
        http__reply_header(exchange, "Raftmq-Local-Lag", "%" PRIu64, node->ret_local_lag);
    }
}

static void end_json(struct message_writer *writer)
{
    const struct node_request *node = &writer->exchange->node;
    struct http_json *json = &writer->json;
    http__json_array_end(json);
    http__json_member_u64(json, "next_offset", writer->next_offset);
    http__json_member_u64(json, "high_watermark", node->ret_high_watermark);
    http__json_member_u64(json, "first_offset", node->ret_first_offset);
    if (node->ret_local_lag) {
        http__json_member_u64(json, "local_lag", node->ret_local_lag);
    }
    http__json_object_end(json);
}

static void reply_messages(struct http_exchange *exchange)
{
    struct node_request *node = &exchange->node;
    bool ndjson = exchange->context[CONTEXT_FORM] == FORM_NDJSON;
    struct message_writer writer = {.exchange = exchange, .next_offset = node->ret_next_offset};
    struct batch_cursor cursor = {.view = &node->ret_view};
    struct batch_slice batch;
    enum batch_outcome outcome = BATCH_DONE;
    bool damaged = false;
    writer.json = http__reply_json(exchange, 200);
    if (ndjson) {
        exchange->content_type = "application/x-ndjson";
    } else {
        http__json_object_begin(&writer.json);
        http__json_key(&writer.json, "messages");
        http__json_array_begin(&writer.json);
    }
    while (outcome == BATCH_DONE && next_batch(&cursor, &batch, &damaged)) {
        outcome = write_batch(&writer, &batch);
    }
    if (damaged && writer.count == 0) {
        reply_damaged_view(exchange);
        return;
    }
    if (outcome == BATCH_UNREADABLE && writer.count == 0) {
        http__reply_problem(exchange, HTTP_NOT_ACCEPTABLE,
                            "the batch at offset %" PRIu64
                            " cannot be shown as JSON (%s); fetch it "
                            "with Accept: application/vnd.raftmq.batch",
                            batch.base_offset, writer.why);
        return;
    }
    /* Everything was shown: the node knows best where to go on (it may have passed control entries). */
    if (outcome == BATCH_DONE && !damaged) writer.next_offset = node->ret_next_offset;
    position_headers(exchange, writer.next_offset);
    if (!ndjson) end_json(&writer);
    segment_log_view_release(&node->ret_view);
    node->ret_view = (struct segment_log_view){0};
    http__reply_finish(exchange);
}

/* The batches as they are stored, back to back: nothing is decoded, payload bytes are written from the view. */
static void reply_batches(struct http_exchange *exchange)
{
    struct node_request *node = &exchange->node;
    struct batch_cursor cursor;
    struct batch_slice batch;
    bool damaged = false;
    exchange->status = 200;
    exchange->content_type = "application/vnd.raftmq.batch";
    position_headers(exchange, node->ret_next_offset);
    if (node->ret_view.parts_count > 0) {
        if (!http__reply_hold_view(exchange, &node->ret_view)) {
            http__reply_problem(exchange, HTTP_SERVER_BUSY, "the node is out of memory");
            return;
        }
        cursor = (struct batch_cursor){.view = &exchange->hold->view};
        while (next_batch(&cursor, &batch, &damaged)) {
            http__reply_segment(exchange, batch.data, batch.bytes);
        }
        if (damaged) {
            reply_damaged_view(exchange);
            return;
        }
    }
    http__reply_finish(exchange);
}

static void fetch_done(struct http_exchange *exchange)
{
    struct node_request *node = &exchange->node;
    struct http_server *server = http__exchange_server(exchange);
    if (http__reply_failed(exchange)) return;
    if (server->output_bytes + node->ret_view.bytes_total > server->limits.reply_bytes_total_max) {
        server->metrics.budget_refused++;
        segment_log_view_release(&node->ret_view);
        node->ret_view = (struct segment_log_view){0};
        http__reply_problem(exchange, HTTP_SERVER_BUSY,
                            "slow readers hold all of the memory for replies; try again");
        return;
    }
    if (exchange->context[CONTEXT_FORM] == FORM_BATCH) {
        reply_batches(exchange);
    } else {
        reply_messages(exchange);
    }
}

/* ---- the request ------------------------------------------------------------------------------------------ */

static bool read_from(struct http_exchange *exchange)
{
    struct node_request *node = &exchange->node;
    const struct http_parameter *from = http__head_parameter(&exchange->head, "offset");
    int64_t time_ms;
    node->fetch.from = NODE_FROM_EARLIEST;
    if (!from || strcmp(from->value, "earliest") == 0) return true;
    if (strcmp(from->value, "latest") == 0) {
        node->fetch.from = NODE_FROM_LATEST;
        return true;
    }
    if (from->value[0] == '-') {
        node->fetch.from = NODE_FROM_TAIL;
        if (http__text_u64(from->value + 1, from->value_bytes - 1, &node->fetch.value)) return true;
    } else if (from->value[0] == '@') {
        node->fetch.from = NODE_FROM_TIME;
        if (http__text_time(from->value + 1, from->value_bytes - 1, &time_ms) && time_ms >= 0) {
            node->fetch.value = (uint64_t)time_ms;
            return true;
        }
    } else {
        node->fetch.from = NODE_FROM_OFFSET;
        if (http__text_u64(from->value, from->value_bytes, &node->fetch.value) &&
            node->fetch.value <= INT64_MAX) {
            return true;
        }
    }
    http__reply_problem(exchange, HTTP_INVALID_ARGUMENT,
                        "?offset= must be a decimal offset, earliest, latest, -N (the last N), or "
                        "@time (Unix ms or RFC 3339)");
    return false;
}

/* The first of our types that Accept names; everything else gets JSON. */
static enum fetch_form form_of(const struct http_head *head)
{
    const char *accept = http__head_find(head, "accept");
    if (accept && strcasestr(accept, "application/vnd.raftmq.batch")) return FORM_BATCH;
    if (accept && strcasestr(accept, "application/x-ndjson")) return FORM_NDJSON;
    return FORM_JSON;
}

void http__fetch(struct http_exchange *exchange)
{
    const struct http_limits *limits = &http__exchange_server(exchange)->limits;
    struct node_request *node = &exchange->node;
    uint64_t partition = 0, limit = LIMIT_DEFAULT, bytes_max = limits->fetch_bytes_default;
    int64_t wait_ms = 0;
    enum fetch_form form = form_of(&exchange->head);
    if (!http__exchange_parameter_u64(exchange, "partition", META_PARTITIONS_MAX - 1, &partition) ||
        !http__exchange_parameter_u64(exchange, "limit", LIMIT_MAX, &limit) ||
        !http__exchange_parameter_size(exchange, "max_bytes", limits->fetch_bytes_max,
                                       &bytes_max) ||
        !http__exchange_parameter_duration(exchange, "wait", WAIT_MS_MAX, &wait_ms) ||
        !read_from(exchange)) {
        return;
    }
    if (limit == 0) {
        http__reply_problem(exchange, HTTP_INVALID_ARGUMENT, "?limit= must be at least 1");
        return;
    }
    if (form == FORM_BATCH && http__head_parameter(&exchange->head, "limit")) {
        http__reply_problem(exchange, HTTP_INVALID_ARGUMENT,
                            "?limit= counts messages, which a fetch of whole batches does not; use "
                            "?max_bytes=");
        return;
    }
    exchange->context[CONTEXT_FORM] = form;
    exchange->context[CONTEXT_LIMIT] = limit;
    exchange->context[CONTEXT_BYTES_MAX] = bytes_max;
    node->topic = exchange->arguments[0];
    node->partition = (uint32_t)partition;
    node->fetch.bytes_max = (size_t)bytes_max;
    node->fetch.wait_ms = (uint32_t)wait_ms;
    http__exchange_submit(exchange, NODE_REQUEST_FETCH, fetch_done);
}

/* ---- one message ------------------------------------------------------------------------------------------ */

/* A record's key or header as a header of the reply, when it can stand there. */
static bool fits_header(const void *value, size_t bytes)
{
    const uint8_t *at = value;
    if (bytes > 256) return false;
    for (size_t i = 0; i < bytes; i++) {
        if (at[i] < 0x20 || at[i] == 0x7f) return false;
    }
    return true;
}

static bool fits_header_name(const char *name, size_t bytes)
{
    if (bytes == 0 || bytes > 128) return false;
    for (size_t i = 0; i < bytes; i++) {
        char c = name[i];
        bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.';
        if (!allowed) return false;
    }
    return true;
}

static void reply_record(struct http_exchange *exchange, const struct record_view *record)
{
    char text[HTTP_TIME_BYTES];
    exchange->status = 200;
    exchange->content_type = "application/octet-stream";
    http__text_format_time(record->timestamp_ms, text);
    http__reply_header(exchange, "Raftmq-Offset", "%" PRIu64, record->offset);
    http__reply_header(exchange, "Raftmq-Timestamp", "%s", text);
    if (record->key && fits_header(record->key, record->key_bytes)) {
        http__reply_header(exchange, "Raftmq-Key", "%.*s", (int)record->key_bytes,
                           (const char *)record->key);
    }
    for (uint32_t i = 0; i < record->headers_count; i++) {
        const struct record_header *header = &record->headers[i];
        char name[160];
        if (!fits_header_name(header->name, header->name_bytes) || !header->value ||
            !fits_header(header->value, header->value_bytes)) {
            continue;
        }
        snprintf(name, sizeof name, "Raftmq-Header-%.*s", (int)header->name_bytes, header->name);
        http__reply_header(exchange, name, "%.*s", (int)header->value_bytes,
                           (const char *)header->value);
    }
    if (!record->value) http__reply_header(exchange, "Raftmq-Value", "null");
    http__buffer_append(&exchange->body_out, record->value, record->value_bytes);
    http__reply_finish(exchange);
}

/* false: the offset is not in the batch. */
static bool reply_record_of(struct http_exchange *exchange, const struct batch_slice *batch)
{
    struct record_batch_reader reader;
    struct record_view record;
    uint64_t offset = exchange->context[CONTEXT_OFFSET];
    bool end = false, found = false;
    enum record_batch_status status =
        record_batch_reader_open(&reader, batch->data, batch->bytes, INFLATED_BYTES_MAX);
    if (status == RECORD_BATCH_OK) {
        while (!found && status == RECORD_BATCH_OK && !end) {
            status = record_batch_reader_next(&reader, &record, &end);
            found = status == RECORD_BATCH_OK && !end && record.offset == offset;
        }
        if (found) reply_record(exchange, &record);
        record_batch_reader_close(&reader);
    }
    if (status != RECORD_BATCH_OK) {
        http__reply_problem(exchange, HTTP_NOT_ACCEPTABLE, "the message cannot be read: %s",
                            record_batch_status_text(status));
        return true;
    }
    return found;
}

static void message_done(struct http_exchange *exchange)
{
    struct node_request *node = &exchange->node;
    uint64_t offset = exchange->context[CONTEXT_OFFSET];
    if (node->status == NODE_OFFSET_OUT_OF_RANGE && offset < node->ret_first_offset) {
        http__reply_problem(exchange, HTTP_MESSAGE_TRIMMED,
                            "the first message that is still there has offset %" PRIu64,
                            node->ret_first_offset);
        return;
    }
    if (node->status != NODE_OK && node->status != NODE_OFFSET_OUT_OF_RANGE) {
        http__reply_node_problem(exchange);
        return;
    }
    struct batch_cursor cursor = {.view = &node->ret_view};
    struct batch_slice batch;
    bool damaged = false, found = false;
    while (!found && node->status == NODE_OK && next_batch(&cursor, &batch, &damaged)) {
        if (offset < batch.base_offset || offset - batch.base_offset >= batch.records_count)
            continue;
        found = reply_record_of(exchange, &batch);
    }
    if (found) return;
    if (damaged) {
        reply_damaged_view(exchange);
        return;
    }
    http__reply_problem(exchange, HTTP_MESSAGE_NOT_FOUND, "no message has this offset (yet)");
}

void http__fetch_message(struct http_exchange *exchange)
{
    struct node_request *node = &exchange->node;
    uint64_t partition, offset;
    const char *partition_text = exchange->arguments[1];
    const char *offset_text = exchange->arguments[2];
    if (!http__text_u64(partition_text, strlen(partition_text), &partition) ||
        partition > UINT32_MAX || !http__text_u64(offset_text, strlen(offset_text), &offset) ||
        offset > INT64_MAX) {
        http__reply_problem(exchange, HTTP_INVALID_ARGUMENT,
                            "partition and offset in the path are out of range");
        return;
    }
    exchange->context[CONTEXT_OFFSET] = offset;
    node->topic = exchange->arguments[0];
    node->partition = (uint32_t)partition;
    node->fetch.from = NODE_FROM_MESSAGE;
    node->fetch.value = offset;
    node->fetch.bytes_max = 1;
    http__exchange_submit(exchange, NODE_REQUEST_FETCH, message_done);
}
