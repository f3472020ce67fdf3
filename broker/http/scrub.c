/* Reading the logs of this node to find damage, on request (`raftmq log scrub`). Each node answers for itself. */
#include "routes.h"
#include "server.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#define LOGS_MAX 4096u

static void write_log(struct http_json *json, const struct node_scrub_status *log)
{
    http__json_object_begin(json);
    http__json_member_u64(json, "group", log->group);
    http__json_member_text(json, "topic", log->topic);
    http__json_member_u64(json, "partition", log->partition);
    http__json_member_bool(json, "pending", log->is_asked);
    http__json_member_bool(json, "active", log->is_active);
    http__json_member_u64(json, "bytes_done", log->bytes_done);
    http__json_member_u64(json, "bytes_total", log->bytes_total);
    http__json_member_u64(json, "passes", log->passes);
    http__json_member_u64(json, "damaged_ranges", log->holes);
    http__json_member_u64(json, "damage_found", log->holes_found);
    http__json_member_u64(json, "blocks_mended", log->blocks_mended);
    http__json_member_u64(json, "segments_repaired", log->segments_repaired);
    http__json_member_u64(json, "entries_repaired", log->entries_repaired);
    http__json_member_text(json, "problem", log->problem);
    http__json_object_end(json);
}

/* False: a problem was replied. NULL: all topics. */
static bool take_topic(struct http_exchange *exchange, const char **ret_topic)
{
    const struct http_parameter *parameter = http__head_parameter(&exchange->head, "topic");
    *ret_topic = parameter ? parameter->value : NULL;
    if (!*ret_topic || http__text_is_name(*ret_topic, strlen(*ret_topic))) return true;
    http__reply_problem(exchange, HTTP_INVALID_NAME, "no topic has such a name");
    return false;
}

static void reply_logs(struct http_exchange *exchange, int status, const char *topic)
{
    struct node *node = http__exchange_server(exchange)->node;
    struct node_scrub_status *logs = calloc(LOGS_MAX, sizeof *logs);
    if (!logs) {
        http__reply_problem(exchange, HTTP_SERVER_BUSY, "the node is out of memory");
        return;
    }
    const uint32_t count = node_scrub_status(node, logs, LOGS_MAX);
    uint32_t pending = 0, damaged = 0;
    struct http_json json = http__reply_json(exchange, status);
    http__json_object_begin(&json);
    http__json_key(&json, "logs");
    http__json_array_begin(&json);
    for (uint32_t i = 0; i < count; i++) {
        if (topic && strcmp(topic, logs[i].topic) != 0) continue;
        if (logs[i].is_asked) pending++;
        damaged += logs[i].holes;
        write_log(&json, &logs[i]);
    }
    http__json_array_end(&json);
    http__json_member_u64(&json, "pending", pending);
    http__json_member_u64(&json, "damaged_ranges", damaged);
    http__json_object_end(&json);
    free(logs);
    http__reply_finish(exchange);
}

void http__scrub_begin(struct http_exchange *exchange)
{
    const char *topic;
    if (!take_topic(exchange, &topic)) return;
    (void)node_scrub(http__exchange_server(exchange)->node, topic);
    reply_logs(exchange, 202, topic);
}

void http__scrub_get(struct http_exchange *exchange)
{
    const char *topic;
    if (take_topic(exchange, &topic)) reply_logs(exchange, 200, topic);
}
