#include "records.h"

#include "document.h"
#include "server.h"
#include "text.h"

#include <segment_log/checksum.h>

#include <assert.h>
#include <stdio.h>
#include <strings.h>

#define HEADER_PREFIX       "raftmq-header-"
#define HEADER_PREFIX_BYTES (sizeof HEADER_PREFIX - 1)

/* ---- the builder ------------------------------------------------------------------------------------------ */

static void begin_batch(struct http_exchange *exchange)
{
    if (!exchange->builder_ready) {
        /* The topic's own limit is the node's to judge; this one bounds memory. */
        record_batch_builder_init(&exchange->builder,
                                  http__exchange_server(exchange)->limits.body_bytes_max +
                                      64u * 1024u);
        exchange->builder_ready = true;
    }
    record_batch_begin(&exchange->builder);
}

static void note_key(struct http_keys *keys, const struct record *record)
{
    if (!record->key) {
        keys->unkeyed = true;
        return;
    }
    if (keys->partitions_count < 2) return;
    uint32_t partition =
        (uint32_t)(checksum64(record->key, record->key_bytes) % keys->partitions_count);
    if (keys->keyed && partition != keys->partition) keys->mixed = true;
    keys->keyed = true;
    keys->partition = partition;
}

static bool add_record(struct http_exchange *exchange, const struct record *record,
                       struct http_keys *keys)
{
    note_key(keys, record);
    enum record_batch_status status = record_batch_add(&exchange->builder, record);
    if (status == RECORD_BATCH_OK) return true;
    http__reply_problem(exchange, HTTP_BODY_TOO_LARGE, "send fewer messages at a time");
    return false;
}

/* ---- a raw message ---------------------------------------------------------------------------------------- */

static bool raw_headers(struct http_exchange *exchange, struct record_header *headers,
                        struct record *record)
{
    const struct http_head *head = &exchange->head;
    for (uint32_t i = 0; i < head->headers_count; i++) {
        const struct http_header *header = &head->headers[i];
        if (header->name_bytes < HEADER_PREFIX_BYTES ||
            strncasecmp(header->name, HEADER_PREFIX, HEADER_PREFIX_BYTES) != 0) {
            continue;
        }
        if (header->name_bytes == HEADER_PREFIX_BYTES) {
            http__reply_problem(exchange, HTTP_INVALID_ARGUMENT,
                                "Raftmq-Header- must be followed by the header's name");
            return false;
        }
        assert(record->headers_count < HTTP_HEADERS_MAX);
        headers[record->headers_count++] = (struct record_header){
            .name = header->name + HEADER_PREFIX_BYTES,
            .name_bytes = header->name_bytes - (uint32_t)HEADER_PREFIX_BYTES,
            .value = (const uint8_t *)header->value,
            .value_bytes = header->value_bytes,
        };
    }
    record->headers = headers;
    return true;
}

bool http__records_raw(struct http_exchange *exchange, struct http_keys *keys)
{
    static_assert(HTTP_HEADERS_MAX <= RECORD_HEADERS_MAX, "every header of a head fits");
    static const uint8_t nothing[1];
    struct record_header headers[HTTP_HEADERS_MAX];
    const struct http_head *head = &exchange->head;
    struct record record = {
        .timestamp_ms = io_wall_ms(http__exchange_server(exchange)->io),
        .value = exchange->body.bytes ? exchange->body.data : nothing,
        .value_bytes = (uint32_t)exchange->body.bytes,
    };
    if (http__head_count(head, "raftmq-key") > 1 ||
        http__head_count(head, "raftmq-timestamp") > 1) {
        http__reply_problem(exchange, HTTP_INVALID_ARGUMENT,
                            "Raftmq-Key and Raftmq-Timestamp may be given once");
        return false;
    }
    const char *key = http__head_find(head, "raftmq-key");
    const char *time = http__head_find(head, "raftmq-timestamp");
    if (key) {
        record.key = (const uint8_t *)key;
        record.key_bytes = (uint32_t)strlen(key);
    }
    if (time && !http__text_time(time, strlen(time), &record.timestamp_ms)) {
        http__reply_problem(exchange, HTTP_INVALID_ARGUMENT,
                            "Raftmq-Timestamp must be Unix milliseconds or RFC 3339, like "
                            "2026-01-31T12:00:00Z");
        return false;
    }
    if (!raw_headers(exchange, headers, &record)) return false;
    begin_batch(exchange);
    return add_record(exchange, &record, keys);
}

/* ---- messages in JSON ------------------------------------------------------------------------------------- */

/* "name": text or null, or "name_b64": base64. Decoded bytes go to exchange->scratch, which has room for all of them. */
static bool take_bytes(struct http_exchange *exchange, json_t *object, const char *name,
                       const char *name_b64, uint32_t *taken, bool *ret_present,
                       const uint8_t **ret_data, uint32_t *ret_bytes, const char **ret_why)
{
    static const uint8_t nothing[1];
    json_t *plain = json_object_get(object, name);
    json_t *encoded = json_object_get(object, name_b64);
    *taken += (plain ? 1u : 0u) + (encoded ? 1u : 0u);
    *ret_present = plain || encoded;
    *ret_data = NULL;
    *ret_bytes = 0;
    if (plain && encoded) {
        *ret_why = "a text and its base64 form exclude each other";
        return false;
    }
    if (plain && json_is_null(plain)) return true;
    if (plain) {
        if (!json_is_string(plain)) {
            *ret_why = "keys, values and headers must be strings or null";
            return false;
        }
        *ret_data = (const uint8_t *)json_string_value(plain);
        *ret_bytes = (uint32_t)json_string_length(plain);
        return true;
    }
    if (encoded) {
        const char *text = json_string_value(encoded);
        struct http_buffer *scratch = &exchange->scratch;
        size_t bytes = 0;
        if (text) {
            assert(HTTP_BASE64_DECODED_MAX(json_string_length(encoded)) <=
                   scratch->capacity - scratch->bytes);
        }
        uint8_t *at = scratch->data + scratch->bytes;
        if (!text || !http__text_base64_decode(text, json_string_length(encoded), at, &bytes)) {
            *ret_why = "a base64 text is malformed";
            return false;
        }
        scratch->bytes += bytes;
        *ret_data = bytes ? at : nothing;
        *ret_bytes = (uint32_t)bytes;
    }
    return true;
}

/* {"name": "text" or null, ...} */
static bool headers_of_object(json_t *object, struct record_header *headers, struct record *record,
                              const char **ret_why)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        if (record->headers_count == RECORD_HEADERS_MAX) {
            *ret_why = "a message has more than 64 headers";
            return false;
        }
        if (!json_is_string(value) && !json_is_null(value)) {
            *ret_why = "keys, values and headers must be strings or null";
            return false;
        }
        headers[record->headers_count++] = (struct record_header){
            .name = name,
            .name_bytes = (uint32_t)strlen(name),
            .value = (const uint8_t *)json_string_value(value), /* NULL for null */
            .value_bytes = (uint32_t)json_string_length(value),
        };
    }
    return true;
}

/* [{"name": "...", "value": "..." | "value_b64": "..."}, ...]: repeated names and binary values. */
static bool headers_of_array(struct http_exchange *exchange, json_t *array,
                             struct record_header *headers, struct record *record,
                             const char **ret_why)
{
    size_t index;
    json_t *item;
    json_array_foreach(array, index, item)
    {
        json_t *name = json_object_get(item, "name");
        uint32_t taken = 1;
        bool present;
        struct record_header *header = &headers[record->headers_count];
        if (record->headers_count == RECORD_HEADERS_MAX) {
            *ret_why = "a message has more than 64 headers";
            return false;
        }
        if (!json_is_string(name)) {
            *ret_why = "a header of the array form needs a \"name\"";
            return false;
        }
        if (!take_bytes(exchange, item, "value", "value_b64", &taken, &present, &header->value,
                        &header->value_bytes, ret_why)) {
            return false;
        }
        if (!present || taken != json_object_size(item)) {
            *ret_why = "a header of the array form has \"name\" and \"value\" or \"value_b64\"";
            return false;
        }
        header->name = json_string_value(name);
        header->name_bytes = (uint32_t)json_string_length(name);
        record->headers_count++;
    }
    return true;
}

static bool take_headers(struct http_exchange *exchange, json_t *message, uint32_t *taken,
                         struct record_header *headers, struct record *record, const char **ret_why)
{
    json_t *given = json_object_get(message, "headers");
    record->headers = headers;
    if (!given) return true;
    (*taken)++;
    if (json_is_null(given)) return true;
    if (json_is_object(given)) return headers_of_object(given, headers, record, ret_why);
    if (json_is_array(given)) return headers_of_array(exchange, given, headers, record, ret_why);
    *ret_why = "\"headers\" must be an object or an array";
    return false;
}

static bool take_timestamp(json_t *message, uint32_t *taken, struct record *record,
                           const char **ret_why)
{
    json_t *given = json_object_get(message, "timestamp");
    if (!given) return true;
    (*taken)++;
    if (json_is_integer(given)) {
        record->timestamp_ms = json_integer_value(given);
        return true;
    }
    const char *text = json_string_value(given);
    if (text && http__text_time(text, json_string_length(given), &record->timestamp_ms))
        return true;
    *ret_why = "\"timestamp\" must be Unix milliseconds or an RFC 3339 text";
    return false;
}

static bool read_message(struct http_exchange *exchange, json_t *message,
                         struct record_header *headers, struct record *ret_record,
                         const char **ret_why)
{
    uint32_t taken = 0;
    bool present;
    if (!json_is_object(message)) {
        *ret_why = "a message must be a JSON object";
        return false;
    }
    exchange->scratch.bytes = 0;
    if (!take_bytes(exchange, message, "key", "key_b64", &taken, &present, &ret_record->key,
                    &ret_record->key_bytes, ret_why)) {
        return false;
    }
    if (!take_bytes(exchange, message, "value", "value_b64", &taken, &present, &ret_record->value,
                    &ret_record->value_bytes, ret_why)) {
        return false;
    }
    if (!present) {
        *ret_why = "a message needs \"value\" or \"value_b64\"";
        return false;
    }
    if (!take_headers(exchange, message, &taken, headers, ret_record, ret_why) ||
        !take_timestamp(message, &taken, ret_record, ret_why)) {
        return false;
    }
    if (taken != json_object_size(message)) {
        *ret_why = "a message has an unknown field; known are key, key_b64, value, value_b64, "
                   "headers, timestamp";
        return false;
    }
    return true;
}

/* where: "line" or "message", 1-based, for the person who has to find it. */
static bool add_message(struct http_exchange *exchange, json_t *message, struct http_keys *keys,
                        const char *where, size_t number)
{
    struct record_header headers[RECORD_HEADERS_MAX];
    struct record record = {.timestamp_ms = io_wall_ms(http__exchange_server(exchange)->io)};
    const char *why;
    if (read_message(exchange, message, headers, &record, &why)) {
        return add_record(exchange, &record, keys);
    }
    http__reply_problem(exchange, HTTP_INVALID_JSON, "%s %zu: %s; nothing was stored", where,
                        number, why);
    return false;
}

static bool begin_messages(struct http_exchange *exchange)
{
    begin_batch(exchange);
    /* What base64 decodes to is shorter than the body it stands in. */
    if (http__buffer_reserve(&exchange->scratch, exchange->body.bytes)) return true;
    http__reply_problem(exchange, HTTP_SERVER_BUSY, "the node is out of memory");
    return false;
}

static bool refuse_empty(struct http_exchange *exchange)
{
    http__reply_problem(exchange, HTTP_INVALID_JSON, "the body has no message");
    return false;
}

static bool check_count(struct http_exchange *exchange)
{
    return exchange->builder.records_count > 0 || refuse_empty(exchange);
}

bool http__records_ndjson(struct http_exchange *exchange, struct http_keys *keys)
{
    if (exchange->body.bytes == 0) return refuse_empty(exchange);
    if (!begin_messages(exchange)) return false;
    const uint8_t *at = exchange->body.data;
    const uint8_t *end = at + exchange->body.bytes;
    for (size_t line = 1; at < end; line++) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        const uint8_t *line_end = newline ? newline : end;
        const uint8_t *next = newline ? newline + 1 : end;
        if (line_end > at && line_end[-1] == '\r') line_end--;
        if (line_end > at) {
            char problem[128];
            json_t *message =
                http__document_load(at, (size_t)(line_end - at), problem, sizeof problem);
            if (!message) {
                http__reply_problem(exchange, HTTP_INVALID_JSON, "line %zu: %s; nothing was stored",
                                    line, problem);
                return false;
            }
            bool added = add_message(exchange, message, keys, "line", line);
            json_decref(message);
            if (!added) return false;
        }
        at = next;
    }
    return check_count(exchange);
}

bool http__records_json(struct http_exchange *exchange, struct http_keys *keys)
{
    struct http_document document;
    if (!begin_messages(exchange)) return false;
    bool fine = http__document_open(&document, exchange->body.data, exchange->body.bytes);
    json_t *messages = fine ? http__document_take(&document, "messages") : NULL;
    if (fine && !json_is_array(messages)) {
        http__document_problem(&document, "the body must be {\"messages\": [...]}");
    }
    if (!fine || !http__document_finish(&document)) {
        http__reply_problem(exchange, HTTP_INVALID_JSON, "%s; nothing was stored",
                            document.problem);
        http__document_close(&document);
        return false;
    }
    size_t index;
    json_t *message;
    bool added = true;
    json_array_foreach(messages, index, message)
    {
        added = add_message(exchange, message, keys, "message", index + 1);
        if (!added) break;
    }
    http__document_close(&document);
    return added && check_count(exchange);
}
