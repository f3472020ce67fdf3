/* POST /v1/topics/{t}/messages and POST /v1/producers. */
#include "document.h"
#include "records.h"
#include "routes.h"
#include "server.h"
#include "text.h"

#include <strings.h>

enum body_kind {
    BODY_RAW,
    BODY_NDJSON,
    BODY_JSON,
    BODY_BATCH,
};

/* The media type alone counts, not its parameters. */
static enum body_kind kind_of_body(const struct http_head *head)
{
    static const struct {
        const char *type;
        enum body_kind kind;
    } kinds[] = {{"application/vnd.raftmq.batch", BODY_BATCH},
                 {"application/x-ndjson", BODY_NDJSON},
                 {"application/json", BODY_JSON}};
    const char *type = http__head_find(head, "content-type");
    if (!type) return BODY_RAW;
    size_t bytes = strcspn(type, "; \t");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strlen(kinds[i].type) == bytes && strncasecmp(kinds[i].type, type, bytes) == 0) {
            return kinds[i].kind;
        }
    }
    return BODY_RAW;
}

/* ---- idempotence ------------------------------------------------------------------------------------------ */

struct producer {
    bool given;
    uint64_t id, epoch, sequence;
};

static bool read_producer(struct http_exchange *exchange, struct producer *ret_producer)
{
    static const struct {
        const char *name;
        uint64_t max;
    } fields[3] = {{"raftmq-producer-id", INT64_MAX},
                   {"raftmq-producer-epoch", INT16_MAX},
                   {"raftmq-sequence", INT32_MAX}};
    uint64_t values[3] = {0};
    uint32_t given = 0;
    for (size_t i = 0; i < 3; i++) {
        uint32_t count = http__head_count(&exchange->head, fields[i].name);
        if (count == 0) continue;
        const char *text = http__head_find(&exchange->head, fields[i].name);
        given++;
        if (count > 1 || !http__text_u64(text, strlen(text), &values[i]) ||
            values[i] > fields[i].max) {
            http__reply_problem(exchange, HTTP_INVALID_ARGUMENT,
                                "%s must be one decimal number from 0 to %llu", fields[i].name,
                                (unsigned long long)fields[i].max);
            return false;
        }
    }
    if (given != 0 && given != 3) {
        http__reply_problem(exchange, HTTP_INVALID_ARGUMENT,
                            "Raftmq-Producer-Id, Raftmq-Producer-Epoch and Raftmq-Sequence belong "
                            "together; POST /v1/producers hands out an id and epoch");
        return false;
    }
    *ret_producer = (struct producer){given == 3, values[0], values[1], values[2]};
    return true;
}

/* ---- partition -------------------------------------------------------------------------------------------- */

static bool need_partition(struct http_exchange *exchange, const char *why)
{
    http__reply_problem(exchange, HTTP_INVALID_ARGUMENT,
                        "the topic has several partitions and %s: name one with ?partition=", why);
    return false;
}

/* The request named no partition and the topic has several. */
static bool choose_partition(struct http_exchange *exchange, enum body_kind kind,
                             const struct producer *producer, const struct http_keys *keys)
{
    /* Sequences count per partition: a retry that lands elsewhere would be stored twice. */
    if (producer->given) return need_partition(exchange, "producer sequences count per partition");
    if (kind == BODY_BATCH) return need_partition(exchange, "a batch is not looked into");
    if (keys->mixed || (keys->keyed && keys->unkeyed)) {
        return need_partition(exchange, "the keys of these messages lead to different ones");
    }
    struct http_server *server = http__exchange_server(exchange);
    exchange->node.partition = keys->keyed
                                   ? keys->partition
                                   : (uint32_t)(server->partition_turn++ % keys->partitions_count);
    return true;
}

/* ---- the answer ------------------------------------------------------------------------------------------- */

/* When its first message is said to be from: that is in the batch, not in the log around it, whose own times are the leader's. A
 * compressed batch is not looked into: its header says it. */
static bool message_time(const struct node_request *node, int64_t *ret_time_ms)
{
    struct record_batch_header header;
    if (record_batch_decode_header(node->produce.batch, node->produce.bytes, &header) !=
        RECORD_BATCH_OK) {
        return false;
    }
    *ret_time_ms = header.log_append_time ? header.max_timestamp : header.base_timestamp;
    if (header.codec != RECORD_BATCH_NONE) return true;
    struct record_batch_reader reader;
    struct record_view record;
    bool end = false;
    if (record_batch_reader_open(&reader, node->produce.batch, node->produce.bytes, 0) !=
        RECORD_BATCH_OK) {
        return false;
    }
    const bool found = record_batch_reader_next(&reader, &record, &end) == RECORD_BATCH_OK && !end;
    if (found) *ret_time_ms = record.timestamp_ms;
    record_batch_reader_close(&reader);
    return found;
}

static void produce_done(struct http_exchange *exchange)
{
    const struct node_request *node = &exchange->node;
    bool forgotten = node->status == NODE_DUPLICATE_OFFSET_UNKNOWN;
    if (node->status != NODE_OK && !forgotten) {
        http__reply_node_problem(exchange);
        return;
    }
    bool duplicate = forgotten || node->ret_duplicate;
    int64_t time_ms;
    struct http_json json = http__reply_json(exchange, duplicate ? 200 : 201);
    http__json_object_begin(&json);
    http__json_member_string(&json, "topic", node->topic);
    http__json_member_u64(&json, "partition", node->partition);
    http__json_key(&json, "offset");
    if (forgotten) {
        http__json_null(&json);
    } else {
        http__json_u64(&json, node->ret_offset);
        http__json_member_u64(&json, "count", node->ret_count);
        http__json_key(&json, "timestamp");
        /* The repeat may have been stamped anew; what is stored is with the first one. */
        if (!duplicate && message_time(node, &time_ms)) {
            http__json_time(&json, time_ms);
        } else {
            http__json_null(&json);
        }
    }
    if (node->ret_term) {
        http__json_member_u64(&json, "term", node->ret_term);
    }
    if (duplicate) {
        http__json_member_bool(&json, "duplicate", true);
    }
    http__json_object_end(&json);
    http__reply_finish(exchange);
}

/* ---- the request ------------------------------------------------------------------------------------------ */

static bool build(struct http_exchange *exchange, enum body_kind kind,
                  const struct producer *producer, struct http_keys *keys)
{
    struct node_request *node = &exchange->node;
    if (kind == BODY_BATCH) {
        if (exchange->body.bytes == 0) {
            http__reply_problem(exchange, HTTP_BAD_REQUEST, "the body must be one record batch");
            return false;
        }
        if (producer->given) {
            http__reply_problem(
                exchange, HTTP_INVALID_ARGUMENT,
                "a record batch carries its producer id, epoch and sequence inside");
            return false;
        }
        node->produce.batch = exchange->body.data; /* as it was read, without a copy */
        node->produce.bytes = exchange->body.bytes;
        return true;
    }
    bool built = kind == BODY_RAW      ? http__records_raw(exchange, keys)
                 : kind == BODY_NDJSON ? http__records_ndjson(exchange, keys)
                                       : http__records_json(exchange, keys);
    if (!built) return false;
    record_batch_finish(&exchange->builder, producer->given ? (int64_t)producer->id : -1,
                        producer->given ? (int16_t)producer->epoch : -1,
                        producer->given ? (int32_t)producer->sequence : -1);
    node->produce.batch = exchange->builder.buffer;
    node->produce.bytes = exchange->builder.bytes;
    return true;
}

void http__produce(struct http_exchange *exchange)
{
    struct http_server *server = http__exchange_server(exchange);
    struct node_request *node = &exchange->node;
    enum body_kind kind = kind_of_body(&exchange->head);
    struct producer producer;
    struct http_keys keys = {.partitions_count = 1};
    uint64_t partition = 0;
    uint32_t message_bytes_max;
    bool auto_create = server->auto_create_topics;
    node->topic = exchange->arguments[0];
    if (!http__exchange_parameter_u64(exchange, "partition", META_PARTITIONS_MAX - 1, &partition) ||
        !http__exchange_parameter_bool(exchange, "auto_create", &auto_create) ||
        !read_producer(exchange, &producer)) {
        return;
    }
    node->auto_create = auto_create;
    node->partition = (uint32_t)partition;
    bool chosen = http__head_parameter(&exchange->head, "partition") != NULL;
    if (!chosen) {
        /* A topic that this node does not know (yet) gets partition 0: every topic has one. */
        if (!node_topic_partitions(server->node, node->topic, &keys.partitions_count,
                                   &message_bytes_max)) {
            keys.partitions_count = 1;
        }
    }
    if (!build(exchange, kind, &producer, &keys)) return;
    if (!chosen && keys.partitions_count > 1 &&
        !choose_partition(exchange, kind, &producer, &keys)) {
        return;
    }
    http__exchange_submit(exchange, NODE_REQUEST_PRODUCE, produce_done);
}

/* ---- producers -------------------------------------------------------------------------------------------- */

static void producer_done(struct http_exchange *exchange)
{
    const struct node_request *node = &exchange->node;
    if (http__reply_failed(exchange)) return;
    struct http_json json = http__reply_json(exchange, 201);
    http__json_object_begin(&json);
    http__json_member_i64(&json, "producer_id", node->ret_producer_id);
    http__json_member_i64(&json, "epoch", node->ret_producer_epoch);
    http__json_object_end(&json);
    http__reply_finish(exchange);
}

void http__producers_create(struct http_exchange *exchange)
{
    struct http_document document;
    bool fine = http__document_open(&document, exchange->body.data, exchange->body.bytes) &&
                http__document_finish(&document);
    http__document_close(&document);
    if (!fine) {
        http__reply_problem(exchange, HTTP_INVALID_JSON, "%s", document.problem);
        return;
    }
    http__exchange_submit(exchange, NODE_REQUEST_PRODUCER_INIT, producer_done);
}
