/* /v1/topics: create, list, describe, set, delete; offsets of one partition. */
#include "document.h"
#include "routes.h"
#include "server.h"
#include "text.h"

#include <inttypes.h>

#define MESSAGE_BYTES_DEFAULT (1024u * 1024u)
#define MESSAGE_BYTES_MAX     (16u * 1024u * 1024u)

/* ---- what a topic looks like ------------------------------------------------------------------------------ */

static void write_limit(struct http_json *json, const char *name, int64_t value)
{
    http__json_key(json, name);
    if (value < 0) {
        http__json_null(json); /* none */
    } else {
        http__json_i64(json, value);
    }
}

static void write_replica(struct http_json *json, const struct node_partition_info *partition,
                          uint32_t index)
{
    http__json_object_begin(json);
    http__json_member_u64(json, "node", partition->replicas[index].node_id);
    if (partition->progress_known) {
        http__json_member_u64(json, "match", partition->progress[index].match);
        http__json_key(json, "lag");
        if (partition->progress[index].lag == UINT64_MAX) {
            http__json_null(json);
        } else {
            http__json_u64(json, partition->progress[index].lag);
        }
    }
    http__json_object_end(json);
}

static void write_partition(struct http_json *json, const struct node_partition_info *partition)
{
    http__json_object_begin(json);
    http__json_member_u64(json, "partition", partition->number);
    http__json_member_u64(json, "group", partition->group);
    http__json_key(json, "leader");
    http__json_id(json, partition->leader);
    http__json_member_u64(json, "term", partition->term);
    if (partition->offsets_known) {
        http__json_member_u64(json, "first_offset", partition->first_offset);
        http__json_member_u64(json, "next_offset", partition->next_offset);
        http__json_member_u64(json, "commit_index", partition->commit_index);
    }
    http__json_key(json, "replicas");
    http__json_array_begin(json);
    for (uint32_t i = 0; i < partition->replicas_count && i < META_REPLICAS_MAX; i++) {
        write_replica(json, partition, i);
    }
    http__json_array_end(json);
    http__json_object_end(json);
}

static void write_topic(struct http_json *json, const struct node_topic_info *topic,
                        bool with_partitions)
{
    http__json_object_begin(json);
    http__json_member_string(json, "name", topic->name);
    http__json_member_u64(json, "partitions", topic->partitions_count);
    http__json_member_u64(json, "replicas",
                          topic->partitions_count ? topic->partitions[0].replicas_count : 0);
    write_limit(json, "retention_ms", topic->settings.retention_ms);
    write_limit(json, "retention_bytes", topic->settings.retention_bytes);
    http__json_member_bool(json, "retain_until_consumed", topic->settings.until_consumed);
    http__json_member_u64(json, "max_message_bytes", topic->settings.message_bytes_max);
    http__json_member_string(json, "consistency",
                             topic->settings.local_reads ? "local" : "linearizable");
    http__json_key(json, "created");
    http__json_time(json, topic->created_ms);
    if (with_partitions) {
        http__json_key(json, "partition_list");
        http__json_array_begin(json);
        for (uint32_t i = 0; i < topic->partitions_count; i++) {
            write_partition(json, &topic->partitions[i]);
        }
        http__json_array_end(json);
    }
    http__json_object_end(json);
}

static void reply_topic(struct http_exchange *exchange, int status)
{
    if (exchange->node.ret_topics_count == 0) {
        http__reply_problem(exchange, HTTP_INTERNAL, "the node answered without the topic");
        return;
    }
    struct http_json json = http__reply_json(exchange, status);
    write_topic(&json, &exchange->node.ret_topics[0], true);
    http__reply_finish(exchange);
}

/* ---- list, describe, delete ------------------------------------------------------------------------------- */

static void list_done(struct http_exchange *exchange)
{
    const struct node_request *node = &exchange->node;
    if (http__reply_failed(exchange)) return;
    struct http_json json = http__reply_json(exchange, 200);
    http__json_object_begin(&json);
    http__json_key(&json, "topics");
    http__json_array_begin(&json);
    for (uint32_t i = 0; i < node->ret_topics_count; i++) {
        write_topic(&json, &node->ret_topics[i], false);
    }
    http__json_array_end(&json);
    http__json_object_end(&json);
    http__reply_finish(exchange);
}

void http__topics_list(struct http_exchange *exchange)
{
    http__exchange_submit(exchange, NODE_REQUEST_TOPIC_LIST, list_done);
}

static void get_done(struct http_exchange *exchange)
{
    if (http__reply_failed(exchange)) return;
    reply_topic(exchange, 200);
}

void http__topics_get(struct http_exchange *exchange)
{
    exchange->node.topic = exchange->arguments[0];
    http__exchange_submit(exchange, NODE_REQUEST_TOPIC_GET, get_done);
}

static void delete_done(struct http_exchange *exchange)
{
    if (http__reply_failed(exchange)) return;
    http__reply_empty(exchange, 204);
}

void http__topics_delete(struct http_exchange *exchange)
{
    exchange->node.topic = exchange->arguments[0];
    http__exchange_submit(exchange, NODE_REQUEST_TOPIC_DELETE, delete_done);
}

/* ---- settings ---------------------------------------------------------------------------------------------- */

static const struct meta_settings settings_default = {
    .message_bytes_max = MESSAGE_BYTES_DEFAULT, .retention_ms = -1, .retention_bytes = -1};

/* Each notes which settings the body names; the others stay as they are. */
static void read_limits(struct http_document *document, struct meta_settings *settings,
                        uint32_t *fields)
{
    const json_t *root = document->root;
    if (json_object_get(root, "retention")) *fields |= META_SET_RETENTION_MS;
    if (json_object_get(root, "retention_bytes")) *fields |= META_SET_RETENTION_BYTES;
    http__document_duration(document, "retention", &settings->retention_ms);
    http__document_size(document, "retention_bytes", &settings->retention_bytes);
    json_t *consumed = http__document_take(document, "retain_until_consumed");
    if (!consumed) return;
    *fields |= META_SET_UNTIL_CONSUMED;
    settings->until_consumed = json_is_true(consumed);
    if (!json_is_boolean(consumed)) {
        http__document_problem(document, "\"retain_until_consumed\" must be true or false");
    }
}

static void read_message_bytes(struct http_document *document, struct meta_settings *settings,
                               uint32_t *fields)
{
    int64_t bytes = settings->message_bytes_max;
    if (json_object_get(document->root, "max_message_bytes")) *fields |= META_SET_MESSAGE_BYTES_MAX;
    http__document_size(document, "max_message_bytes", &bytes);
    if (bytes < 1 || bytes > (int64_t)MESSAGE_BYTES_MAX) {
        http__document_problem(document, "\"max_message_bytes\" must be from 1 to %u",
                               MESSAGE_BYTES_MAX);
        return;
    }
    settings->message_bytes_max = (uint32_t)bytes;
}

static void read_consistency(struct http_document *document, struct meta_settings *settings,
                             uint32_t *fields)
{
    json_t *consistency = http__document_take(document, "consistency");
    if (!consistency) return;
    const char *text = json_string_value(consistency);
    *fields |= META_SET_LOCAL_READS;
    settings->local_reads = text && strcmp(text, "local") == 0;
    if (!text || (strcmp(text, "local") != 0 && strcmp(text, "linearizable") != 0)) {
        http__document_problem(document, "\"consistency\" must be \"linearizable\" or \"local\"");
    }
}

static bool read_changes(struct http_exchange *exchange, struct http_document *document)
{
    struct meta_settings *settings = &exchange->node.create.settings;
    uint32_t *fields = &exchange->node.set.fields;
    *settings = settings_default;
    if (!http__document_open(document, exchange->body.data, exchange->body.bytes)) return false;
    read_limits(document, settings, fields);
    read_message_bytes(document, settings, fields);
    read_consistency(document, settings, fields);
    if (*fields == 0) http__document_problem(document, "the body names no setting");
    return http__document_finish(document);
}

static void set_done(struct http_exchange *exchange)
{
    if (http__reply_failed(exchange)) return;
    reply_topic(exchange, 200);
}

void http__topics_set(struct http_exchange *exchange)
{
    struct http_document document;
    bool fine = read_changes(exchange, &document);
    http__document_close(&document);
    if (!fine) {
        http__reply_problem(exchange, HTTP_INVALID_JSON, "%s", document.problem);
        return;
    }
    exchange->node.topic = exchange->arguments[0];
    http__exchange_submit(exchange, NODE_REQUEST_TOPIC_SET, set_done);
}

/* ---- create ----------------------------------------------------------------------------------------------- */

static void create_done(struct http_exchange *exchange)
{
    if (http__reply_failed(exchange)) return;
    reply_topic(exchange, exchange->node.ret_created ? 201 : 200);
}

static bool read_settings(struct http_exchange *exchange, struct http_document *document)
{
    struct node_request *node = &exchange->node;
    struct meta_settings *settings = &node->create.settings;
    uint64_t partitions = 1, replicas = 0;
    uint32_t fields = 0;
    *settings = settings_default;
    if (!http__document_open(document, exchange->body.data, exchange->body.bytes)) return false;
    http__document_u64(document, "partitions", 1, META_PARTITIONS_MAX, &partitions, NULL);
    http__document_u64(document, "replicas", 1, META_REPLICAS_MAX, &replicas, NULL);
    read_limits(document, settings, &fields);
    read_message_bytes(document, settings, &fields);
    read_consistency(document, settings, &fields);
    node->create.partitions_count = (uint32_t)partitions;
    node->create.replicas_count = (uint32_t)replicas;
    return http__document_finish(document);
}

void http__topics_create(struct http_exchange *exchange)
{
    struct http_document document;
    bool fine = read_settings(exchange, &document);
    http__document_close(&document);
    if (!fine) {
        http__reply_problem(exchange, HTTP_INVALID_JSON, "%s", document.problem);
        return;
    }
    exchange->node.topic = exchange->arguments[0];
    http__exchange_submit(exchange, NODE_REQUEST_TOPIC_CREATE, create_done);
}

/* ---- offsets of one partition ----------------------------------------------------------------------------- */

static void partition_done(struct http_exchange *exchange)
{
    const struct node_request *node = &exchange->node;
    if (http__reply_failed(exchange)) return;
    struct http_json json = http__reply_json(exchange, 200);
    http__json_object_begin(&json);
    http__json_member_string(&json, "topic", exchange->arguments[0]);
    http__json_member_u64(&json, "partition", node->partition);
    http__json_member_u64(&json, "first_offset", node->ret_first_offset);
    http__json_member_u64(&json, "next_offset", node->ret_next_offset);
    http__json_object_end(&json);
    http__reply_finish(exchange);
}

void http__topics_partition(struct http_exchange *exchange)
{
    uint64_t partition;
    const char *text = exchange->arguments[1];
    if (!http__text_u64(text, strlen(text), &partition) || partition > UINT32_MAX) {
        http__reply_problem(exchange, HTTP_INVALID_ARGUMENT, "the partition is out of range");
        return;
    }
    exchange->node.topic = exchange->arguments[0];
    exchange->node.partition = (uint32_t)partition;
    http__exchange_submit(exchange, NODE_REQUEST_OFFSETS, partition_done);
}
