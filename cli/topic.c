/* `raftmq topic create|list|describe|set|delete` */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "message.h"
#include "quantity.h"
#include "table.h"
#include "topic_info.h"
#include "verbs.h"

static void topic_path(char *path, size_t bytes, const char *topic)
{
    snprintf(path, bytes, "/v1/topics/%s", topic);
}

/* Whoever means days and says 7 would lose what is older than seven seconds. */
static bool says_unit(const char *text)
{
    if (!text || text[strspn(text, "0123456789.")] != '\0') return true;
    message_error("--retention %s says no unit: %ss, %sh or %sd?", text, text, text, text);
    return false;
}

static json_t *create_body(const struct options *options)
{
    json_t *body = json_object();
    if (options_has(options, "partitions")) {
        json_object_set_new(body, "partitions",
                            json_integer((json_int_t)options_number(options, "partitions")));
    }
    if (options_has(options, "replicas")) {
        json_object_set_new(body, "replicas",
                            json_integer((json_int_t)options_number(options, "replicas")));
    }
    if (options_has(options, "retention")) {
        char text[QUANTITY_TEXT_BYTES];
        snprintf(text, sizeof(text), "%" PRIu64 "ms", options_number(options, "retention") / 1000);
        json_object_set_new(body, "retention", json_string(text));
    }
    if (options_has(options, "retention-bytes")) {
        json_object_set_new(body, "retention_bytes",
                            json_integer((json_int_t)options_number(options, "retention-bytes")));
    }
    if (options_has(options, "max-message-bytes")) {
        json_object_set_new(body, "max_message_bytes",
                            json_integer((json_int_t)options_number(options, "max-message-bytes")));
    }
    if (options_has(options, "consistency")) {
        json_object_set_new(body, "consistency", json_string(options_text(options, "consistency")));
    }
    if (options_has(options, "retain-until-consumed")) {
        json_object_set_new(body, "retain_until_consumed",
                            json_boolean(options_on(options, "retain-until-consumed")));
    }
    return body;
}

static uint64_t replicas_of(const json_t *topic)
{
    const json_t *first = json_array_get(reply_partitions(topic), 0);
    return json_array_size(json_object_get(first, "replicas"));
}

static uint64_t partitions_of(const json_t *topic)
{
    return reply_number(topic, "partitions", 1);
}

static void print_created(const struct reply *reply, const char *topic)
{
    uint64_t partitions = partitions_of(reply->json), replicas = replicas_of(reply->json);
    char replicas_text[48] = "";
    if (replicas > 0) {
        snprintf(replicas_text, sizeof(replicas_text), ", %" PRIu64 " replica%s", replicas,
                 replicas == 1 ? "" : "s");
    }
    printf("%s %s (%" PRIu64 " partition%s%s)\n",
           reply->status == 201 ? "created" : "exists:", topic, partitions,
           partitions == 1 ? "" : "s", replicas_text);
}

int topic_create_command(const struct options *options)
{
    struct client client;
    struct reply reply;
    char path[256];
    const char *topic = options->arguments[0];
    if (!topic_name_check("topic", topic)) return EXIT_CODE_USAGE;
    if (!says_unit(options_text(options, "retention"))) return EXIT_CODE_USAGE;
    if (!client_init(&client, options)) return EXIT_CODE_USAGE;
    topic_path(path, sizeof(path), topic);
    json_t *body = create_body(options);
    /* Repeatable: creating the same topic again answers 200. */
    enum exit_code code =
        client_request(&client, "PUT", path, body, /* repeatable= */ true, &reply);
    enum table_format format = table_format_of(options_text(options, "output"), stdout);
    if (code == EXIT_CODE_OK && (format == TABLE_JSON || format == TABLE_NDJSON)) {
        reply_print(&reply, format == TABLE_NDJSON);
    } else if (code == EXIT_CODE_OK) {
        print_created(&reply, topic);
    } else if (code == EXIT_CODE_CONFLICT && options_on(options, "if-not-exists")) {
        printf("exists: %s\n", topic);
        code = EXIT_CODE_OK;
    } else {
        client_explain(&client, &reply, topic);
    }
    json_decref(body);
    reply_close(&reply);
    client_close(&client);
    return (int)code;
}

static void print_list(const json_t *topics, enum table_format format)
{
    static const struct table_column columns[] = {{"TOPIC", "name", false},
                                                  {"PARTITIONS", "partitions", true},
                                                  {"REPLICAS", "replicas", true},
                                                  {"MESSAGES", "messages", true}};
    struct table table;
    table_init(&table, columns, 4);
    size_t i;
    json_t *topic;
    json_array_foreach(topics, i, topic)
    {
        table_add_text(&table, reply_text(topic, "name", "?"));
        table_add_number(&table, partitions_of(topic));
        table_add_number(&table, reply_number(topic, "replicas", 0));
        table_add_number(&table, reply_number(topic, "messages", 0));
    }
    table_print(&table, format, stdout);
    table_close(&table);
}

/* An answer of a node without a replica lacks the offsets: with them it is what a node with one would say. */
static enum exit_code complete_partitions(struct client *client, json_t *topic,
                                          uint64_t *ret_messages)
{
    const char *name = reply_text(topic, "name", "");
    size_t i;
    json_t *partition;
    *ret_messages = 0;
    json_array_foreach(json_object_get(topic, "partition_list"), i, partition)
    {
        uint64_t first = 0, next = 0;
        enum exit_code code = topic_partition_offsets(client, name, partition, &first, &next);
        if (code != EXIT_CODE_OK) return code;
        *ret_messages += next - first;
        json_object_set_new(partition, "first_offset", json_integer((json_int_t)first));
        json_object_set_new(partition, "next_offset", json_integer((json_int_t)next));
    }
    return EXIT_CODE_OK;
}

/* The list has no offsets: each topic is asked for. A topic that is deleted meanwhile is left out. */
static enum exit_code complete_topics(struct client *client, json_t *topics)
{
    for (size_t i = 0; i < json_array_size(topics);) {
        struct reply reply;
        char path[256];
        uint64_t messages;
        json_t *topic = json_array_get(topics, i);
        topic_path(path, sizeof(path), reply_text(topic, "name", ""));
        enum exit_code code = client_get(client, path, &reply);
        if (code == EXIT_CODE_NOT_FOUND) {
            json_array_remove(topics, i);
            reply_close(&reply);
            continue;
        }
        if (code == EXIT_CODE_OK) {
            code = complete_partitions(client, reply.json, &messages);
            json_object_set_new(topic, "messages", json_integer((json_int_t)messages));
        } else {
            client_explain(client, &reply, reply_text(topic, "name", ""));
        }
        reply_close(&reply);
        if (code != EXIT_CODE_OK) return code;
        i++;
    }
    return EXIT_CODE_OK;
}

int topic_list_command(const struct options *options)
{
    struct client client;
    struct reply reply;
    if (!client_init(&client, options)) return EXIT_CODE_USAGE;
    enum exit_code code = client_get(&client, "/v1/topics", &reply);
    enum table_format format = table_format_of(options_text(options, "output"), stdout);
    json_t *topics = json_object_get(reply.json, "topics");
    if (code != EXIT_CODE_OK) {
        client_explain(&client, &reply, NULL);
    } else {
        code = complete_topics(&client, topics);
    }
    if (code == EXIT_CODE_OK && format == TABLE_JSON) {
        reply_print(&reply, /* compact= */ false);
    } else if (code == EXIT_CODE_OK) {
        print_list(topics, format);
        if (format == TABLE_TEXT && json_array_size(topics) == 0) {
            message_hint("no topics yet;  raftmq topic create NAME   makes one");
        }
    }
    reply_close(&reply);
    client_close(&client);
    return (int)code;
}

/* "n1 n2* n3": the leader is marked, a lagging replica says by how much. */
static void replicas_text(const json_t *partition, char *text, size_t bytes)
{
    char leader[REPLY_NODE_BYTES], node[REPLY_NODE_BYTES];
    size_t i, used = 0;
    reply_node(partition, "leader", leader);
    json_t *replica;
    text[0] = '\0';
    json_array_foreach(json_object_get(partition, "replicas"), i, replica)
    {
        reply_node(replica, "node", node);
        uint64_t lag = reply_number(replica, "lag", 0);
        bool leads = strcmp(node, leader) == 0;
        int length = lag > 0 && !leads ? snprintf(text + used, bytes - used, "%s%s(-%" PRIu64 ")",
                                                  i ? " " : "", node, lag)
                                       : snprintf(text + used, bytes - used, "%s%s%s", i ? " " : "",
                                                  node, leads ? "*" : "");
        if (length < 0 || (size_t)length >= bytes - used) break;
        used += (size_t)length;
    }
}

static void add_number_or_none(struct table *table, const json_t *object, const char *name)
{
    uint64_t number = reply_number(object, name, UINT64_MAX);
    if (number == UINT64_MAX) {
        table_add_none(table);
    } else {
        table_add_number(table, number);
    }
}

static void print_partitions(const json_t *topic, enum table_format format)
{
    static const struct table_column columns[] = {
        {"PARTITION", "partition", true}, {"LEADER", "leader", false},
        {"TERM", "term", true},           {"FIRST", "first_offset", true},
        {"NEXT", "next_offset", true},    {"REPLICAS", "replicas", false}};
    struct table table;
    table_init(&table, columns, 6);
    size_t i;
    json_t *partition;
    json_array_foreach(reply_partitions(topic), i, partition)
    {
        char replicas[256], leader[REPLY_NODE_BYTES];
        add_number_or_none(&table, partition, "partition");
        if (*reply_node(partition, "leader", leader)) {
            table_add_text(&table, leader);
        } else {
            table_add_none(&table);
        }
        add_number_or_none(&table, partition, "term");
        add_number_or_none(&table, partition, "first_offset");
        add_number_or_none(&table, partition, "next_offset");
        replicas_text(partition, replicas, sizeof(replicas));
        table_add_text(&table, replicas);
    }
    table_print(&table, format, stdout);
    table_close(&table);
}

/* "orders  1 partition  3 replicas  batches up to 1.0 MB  linearizable" */
static void print_settings(const json_t *topic)
{
    char shown[QUANTITY_TEXT_BYTES];
    uint64_t partitions = partitions_of(topic), replicas = replicas_of(topic);
    uint64_t retention_ms = reply_number(topic, "retention_ms", UINT64_MAX);
    uint64_t retention_bytes = reply_number(topic, "retention_bytes", UINT64_MAX);
    printf("%s  %" PRIu64 " partition%s  %" PRIu64 " replica%s", reply_text(topic, "name", "?"),
           partitions, partitions == 1 ? "" : "s", replicas, replicas == 1 ? "" : "s");
    printf("  batches up to %s",
           quantity_bytes(shown, reply_number(topic, "max_message_bytes", 0)));
    if (retention_ms != UINT64_MAX) {
        printf("  retention %s", quantity_duration(shown, retention_ms * 1000u));
    }
    if (retention_bytes != UINT64_MAX) {
        printf("  retention %s", quantity_bytes(shown, retention_bytes));
    }
    if (json_is_true(json_object_get(topic, "retain_until_consumed"))) {
        printf("  until consumed");
    }
    printf("  %s\n", reply_text(topic, "consistency", ""));
}

/* ---- set --------------------------------------------------------------------------------------------------------- */

static bool add_retention(json_t *body, const char *text)
{
    uint64_t us;
    if (strcmp(text, "forever") == 0) {
        json_object_set_new(body, "retention", json_string(text));
        return true;
    }
    if (!says_unit(text)) return false;
    if (!quantity_parse_duration(text, &us) || us < 1000) {
        message_error("--retention must be a duration such as 36h or 7d, or forever");
        return false;
    }
    char milliseconds[QUANTITY_TEXT_BYTES];
    snprintf(milliseconds, sizeof(milliseconds), "%" PRIu64 "ms", us / 1000);
    json_object_set_new(body, "retention", json_string(milliseconds));
    return true;
}

static bool add_retention_bytes(json_t *body, const char *text)
{
    uint64_t bytes;
    if (strcmp(text, "unlimited") == 0) {
        json_object_set_new(body, "retention_bytes", json_string(text));
        return true;
    }
    if (!quantity_parse_bytes(text, &bytes) || bytes == 0 || bytes > INT64_MAX) {
        message_error("--retention-bytes must be a size such as 10GiB, or unlimited");
        return false;
    }
    json_object_set_new(body, "retention_bytes", json_integer((json_int_t)bytes));
    return true;
}

static bool set_body(const struct options *options, json_t *body)
{
    const char *retention = options_text(options, "retention");
    const char *retention_bytes = options_text(options, "retention-bytes");
    if (retention && !add_retention(body, retention)) return false;
    if (retention_bytes && !add_retention_bytes(body, retention_bytes)) return false;
    if (options_has(options, "consistency")) {
        json_object_set_new(body, "consistency", json_string(options_text(options, "consistency")));
    }
    if (options_has(options, "retain-until-consumed")) {
        json_object_set_new(body, "retain_until_consumed",
                            json_boolean(options_on(options, "retain-until-consumed")));
    }
    if (options_has(options, "max-message-bytes")) {
        json_object_set_new(body, "max_message_bytes",
                            json_integer((json_int_t)options_number(options, "max-message-bytes")));
    }
    if (json_object_size(body) > 0) return true;
    message_error("topic set needs a setting");
    message_hint("raftmq topic set %s --retention 7d", options->arguments[0]);
    return false;
}

int topic_set_command(const struct options *options)
{
    struct client client;
    struct reply reply;
    char path[256];
    const char *topic = options->arguments[0];
    if (!topic_name_check("topic", topic)) return EXIT_CODE_USAGE;
    json_t *body = json_object();
    if (!set_body(options, body) || !client_init(&client, options)) {
        json_decref(body);
        return EXIT_CODE_USAGE;
    }
    snprintf(path, sizeof(path), "/v1/topics/%s/settings", topic);
    enum exit_code code =
        client_request(&client, "PUT", path, body, /* repeatable= */ true, &reply);
    enum table_format format = table_format_of(options_text(options, "output"), stdout);
    if (code == EXIT_CODE_OK && (format == TABLE_JSON || format == TABLE_NDJSON)) {
        reply_print(&reply, format == TABLE_NDJSON);
    } else if (code == EXIT_CODE_OK) {
        print_settings(reply.json);
    } else {
        client_explain(&client, &reply, topic);
    }
    json_decref(body);
    reply_close(&reply);
    client_close(&client);
    return (int)code;
}

int topic_describe_command(const struct options *options)
{
    struct client client;
    struct reply reply;
    char path[256];
    const char *topic = options->arguments[0];
    if (!topic_name_check("topic", topic)) return EXIT_CODE_USAGE;
    if (!client_init(&client, options)) return EXIT_CODE_USAGE;
    topic_path(path, sizeof(path), topic);
    uint64_t messages;
    enum exit_code code = client_get(&client, path, &reply);
    enum table_format format = table_format_of(options_text(options, "output"), stdout);
    if (code != EXIT_CODE_OK) {
        client_explain(&client, &reply, topic);
    } else {
        code = complete_partitions(&client, reply.json, &messages);
    }
    if (code == EXIT_CODE_OK && format == TABLE_JSON) {
        reply_print(&reply, /* compact= */ false);
    } else if (code == EXIT_CODE_OK) {
        if (format == TABLE_TEXT) print_settings(reply.json);
        print_partitions(reply.json, format);
    }
    reply_close(&reply);
    client_close(&client);
    return (int)code;
}

static bool confirm_delete(const char *topic)
{
    char answer[160];
    if (!isatty(STDIN_FILENO)) {
        message_error("not a terminal to ask on");
        message_hint("raftmq topic delete %s --yes   deletes without asking", topic);
        return false;
    }
    fprintf(stderr, "Delete %s and all its messages? Type its name to confirm: ", topic);
    if (!fgets(answer, sizeof(answer), stdin)) return false;
    answer[strcspn(answer, "\n")] = '\0';
    if (strcmp(answer, topic) == 0) return true;
    message_note("nothing was deleted");
    return false;
}

int topic_delete_command(const struct options *options)
{
    struct client client;
    struct reply reply;
    char path[256];
    const char *topic = options->arguments[0];
    if (!topic_name_check("topic", topic)) return EXIT_CODE_USAGE;
    if (!options_on(options, "yes") && !confirm_delete(topic)) return EXIT_CODE_FAILED;
    if (!client_init(&client, options)) return EXIT_CODE_USAGE;
    topic_path(path, sizeof(path), topic);
    /* Not repeatable: the second answer would be "not found", which is not what happened. */
    enum exit_code code =
        client_request(&client, "DELETE", path, NULL, /* repeatable= */ false, &reply);
    if (code == EXIT_CODE_OK) {
        message_note("deleted %s", topic);
    } else {
        client_explain(&client, &reply, topic);
    }
    reply_close(&reply);
    client_close(&client);
    return (int)code;
}
