/* Consumer groups: committed offsets. */
#include "document.h"
#include "routes.h"
#include "server.h"
#include "text.h"

#include <assert.h>
#include <stdlib.h>

static bool read_partition(struct http_exchange *exchange, const char *text)
{
    uint64_t partition;
    if (http__text_u64(text, strlen(text), &partition) && partition <= UINT32_MAX) {
        exchange->node.partition = (uint32_t)partition;
        return true;
    }
    http__reply_problem(exchange, HTTP_INVALID_ARGUMENT, "the partition is out of range");
    return false;
}

/* {g} and {t} of a path with a group, a topic and a partition. */
static bool read_place(struct http_exchange *exchange)
{
    exchange->node.group.group = exchange->arguments[0];
    exchange->node.topic = exchange->arguments[1];
    return read_partition(exchange, exchange->arguments[2]);
}

static void write_offset(struct http_json *json, const struct partition_offset *offset)
{
    http__json_member_u64(json, "offset", offset->offset);
    http__json_member_i64(json, "generation", offset->generation);
    http__json_key(json, "timestamp");
    http__json_time(json, offset->timestamp_ms);
    http__json_member_bool(json, "durable", offset->durable);
    http__json_member_u64(json, "expired", offset->expired);
    http__json_member_bytes(json, "metadata", "metadata_b64", offset->metadata,
                            offset->metadata_bytes);
}

/* ---- one offset ------------------------------------------------------------------------------------------- */

static void get_done(struct http_exchange *exchange)
{
    const struct node_request *node = &exchange->node;
    if (http__reply_failed(exchange)) return;
    struct http_json json = http__reply_json(exchange, 200);
    http__json_object_begin(&json);
    http__json_member_string(&json, "group", node->group.group);
    http__json_member_string(&json, "topic", node->topic);
    http__json_member_u64(&json, "partition", node->partition);
    if (node->ret_offsets_count > 0) {
        write_offset(&json, &node->ret_offsets[0]);
    } else {
        http__json_member_u64(&json, "offset", node->ret_offset);
    }
    http__json_object_end(&json);
    http__reply_finish(exchange);
}

void http__groups_get(struct http_exchange *exchange)
{
    if (!read_place(exchange)) return;
    exchange->node.group.generation = -1;
    http__exchange_submit(exchange, NODE_REQUEST_GROUP_FETCH, get_done);
}

static void put_done(struct http_exchange *exchange)
{
    const struct node_request *node = &exchange->node;
    if (node->status == NODE_STALE_GENERATION && node->group.has_if_offset &&
        node->group.generation < 0) {
        http__reply_problem(exchange, HTTP_OFFSET_MOVED,
                            "read the committed offset again and decide anew");
        return;
    }
    if (http__reply_failed(exchange)) return;
    http__reply_empty(exchange, 204);
}

static bool read_commit(struct http_exchange *exchange, struct http_document *document)
{
    struct node_request *node = &exchange->node;
    bool present;
    if (!http__document_open(document, exchange->body.data, exchange->body.bytes)) return false;
    http__document_u64(document, "offset", 0, INT64_MAX, &node->group.offset, &present);
    if (!present) http__document_problem(document, "\"offset\" is missing");
    http__document_u64(document, "if_offset", 0, INT64_MAX, &node->group.if_offset,
                       &node->group.has_if_offset);
    uint64_t generation = 0;
    http__document_u64(document, "generation", 0, INT32_MAX, &generation, &present);
    node->group.generation = present ? (int64_t)generation : -1;
    json_t *durable = http__document_take(document, "durable");
    if (durable && !json_is_boolean(durable)) {
        http__document_problem(document, "\"durable\" must be true or false");
    } else if (durable) {
        node->group.durable =
            json_is_true(durable) ? PARTITION_DURABLE_SET : PARTITION_DURABLE_CLEAR;
    }
    json_t *metadata = http__document_take(document, "metadata");
    if (metadata && (!json_is_string(metadata) ||
                     json_string_length(metadata) > PARTITION_METADATA_BYTES_MAX)) {
        http__document_problem(document, "\"metadata\" must be a string of at most %u bytes",
                               PARTITION_METADATA_BYTES_MAX);
    } else if (metadata) {
        /* The document is gone before the node answers. */
        http__buffer_append(&exchange->scratch, json_string_value(metadata),
                            json_string_length(metadata));
        if (exchange->scratch.failed) {
            http__document_problem(document, "the node is out of memory");
        }
        node->group.metadata = exchange->scratch.data;
        node->group.metadata_bytes = (uint32_t)exchange->scratch.bytes;
    }
    return http__document_finish(document);
}

void http__groups_put(struct http_exchange *exchange)
{
    struct http_document document;
    if (!read_place(exchange)) return;
    bool fine = read_commit(exchange, &document);
    http__document_close(&document);
    if (!fine) {
        http__reply_problem(exchange, HTTP_INVALID_JSON, "%s", document.problem);
        return;
    }
    http__exchange_submit(exchange, NODE_REQUEST_GROUP_COMMIT, put_done);
}

/* ---- all groups of one partition -------------------------------------------------------------------------- */

static bool topic_parameter(struct http_exchange *exchange)
{
    const struct http_parameter *topic = http__head_parameter(&exchange->head, "topic");
    if (topic && http__text_is_name(topic->value, topic->value_bytes)) {
        exchange->node.topic = topic->value;
        return true;
    }
    http__reply_problem(exchange, HTTP_INVALID_ARGUMENT, "?topic= must name a topic");
    return false;
}

static void list_done(struct http_exchange *exchange)
{
    const struct node_request *node = &exchange->node;
    if (http__reply_failed(exchange)) return;
    struct http_json json = http__reply_json(exchange, 200);
    http__json_object_begin(&json);
    http__json_member_string(&json, "topic", node->topic);
    http__json_member_u64(&json, "partition", node->partition);
    http__json_key(&json, "groups");
    http__json_array_begin(&json);
    for (uint32_t i = 0; i < node->ret_offsets_count; i++) {
        http__json_object_begin(&json);
        http__json_member_string(&json, "group", node->ret_offsets[i].group);
        write_offset(&json, &node->ret_offsets[i]);
        http__json_object_end(&json);
    }
    http__json_array_end(&json);
    http__json_object_end(&json);
    http__reply_finish(exchange);
}

void http__groups_list(struct http_exchange *exchange)
{
    uint64_t partition = 0;
    if (!topic_parameter(exchange) ||
        !http__exchange_parameter_u64(exchange, "partition", META_PARTITIONS_MAX - 1, &partition)) {
        return;
    }
    const struct http_parameter *after = http__head_parameter(&exchange->head, "after");
    if (after && !http__text_is_name(after->value, after->value_bytes)) {
        http__reply_problem(exchange, HTTP_INVALID_ARGUMENT,
                            "?after= must be the last group of the previous page");
        return;
    }
    exchange->node.group.group = after ? after->value : NULL;
    exchange->node.partition = (uint32_t)partition;
    http__exchange_submit(exchange, NODE_REQUEST_GROUP_LIST, list_done);
}

/* ---- one group over all partitions of a topic --------------------------------------------------------------- */

/* The topic is asked for first (a 404 needs the cluster's word), then partition after partition, on the one request. */
enum context_slot { /* exchange->context */
                    CONTEXT_PARTITIONS,
                    CONTEXT_COMMA,
};

static void next_partition(struct http_exchange *exchange);

static struct http_json resume_json(struct http_exchange *exchange)
{
    return (struct http_json){.out = &exchange->body_out,
                              .comma = exchange->context[CONTEXT_COMMA] != 0};
}

/* Make the node request new, keeping who asks for what. */
static void renew_request(struct http_exchange *exchange)
{
    struct node_request *node = &exchange->node;
    const char *topic = node->topic;
    uint32_t partition = node->partition;
    if (node->ret_topics) node_topics_free(node->ret_topics, node->ret_topics_count);
    free(node->ret_offsets);
    *node = (struct node_request){.topic = topic, .partition = partition};
    node->group.group = exchange->arguments[0];
    node->group.generation = -1;
}

static void partition_done(struct http_exchange *exchange)
{
    const struct node_request *node = &exchange->node;
    if (node->status != NODE_OK && node->status != NODE_NO_OFFSET) {
        http__reply_node_problem(exchange);
        return;
    }
    if (node->status == NODE_OK && node->ret_offsets_count > 0) {
        struct http_json json = resume_json(exchange);
        http__json_object_begin(&json);
        http__json_member_u64(&json, "partition", node->partition);
        write_offset(&json, &node->ret_offsets[0]);
        http__json_object_end(&json);
        exchange->context[CONTEXT_COMMA] = json.comma;
    }
    exchange->node.partition++;
    next_partition(exchange);
}

static void next_partition(struct http_exchange *exchange)
{
    if (exchange->node.partition < exchange->context[CONTEXT_PARTITIONS]) {
        renew_request(exchange);
        http__exchange_submit(exchange, NODE_REQUEST_GROUP_FETCH, partition_done);
        return;
    }
    struct http_json json = resume_json(exchange);
    http__json_array_end(&json);
    http__json_object_end(&json);
    exchange->status = 200;
    http__reply_finish(exchange);
}

static void topic_done(struct http_exchange *exchange)
{
    const struct node_request *node = &exchange->node;
    if (http__reply_failed(exchange)) return;
    exchange->context[CONTEXT_PARTITIONS] =
        node->ret_topics_count ? node->ret_topics[0].partitions_count : 0;
    struct http_json json = http__reply_json(exchange, 200);
    exchange->status = 0; /* not finished yet */
    http__json_object_begin(&json);
    http__json_member_string(&json, "group", exchange->arguments[0]);
    http__json_member_string(&json, "topic", node->topic);
    http__json_key(&json, "offsets");
    http__json_array_begin(&json);
    exchange->context[CONTEXT_COMMA] = json.comma;
    exchange->node.partition = 0;
    next_partition(exchange);
}

void http__groups_offsets(struct http_exchange *exchange)
{
    if (!topic_parameter(exchange)) return;
    http__exchange_submit(exchange, NODE_REQUEST_TOPIC_GET, topic_done);
}
