/* `raftmq cluster transfer`: leadership of a topic, of one partition, of meta, or of all that a node leads. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "clock.h"
#include "message.h"
#include "peers.h"
#include "quantity.h"
#include "table.h"
#include "topic_info.h"
#include "verbs.h"

struct transfer {
    struct client client;
    char topic[256];          /* "": meta, or from a node */
    bool partition_is_chosen; /* else all of the topic */
    uint64_t partition;
    uint64_t from, to; /* node ids; 0: none */
    struct table table;
};

static bool refuse(const char *text, const char *hint)
{
    message_error("cluster transfer: %s", text);
    message_hint("%s", hint);
    return false;
}

static bool read_node(const struct options *options, const char *name, uint64_t *ret_id)
{
    const char *text = options_text(options, name);
    if (!text || peers_parse_node_id(text, ret_id)) return true;
    message_error("cluster transfer: --%s: '%.60s' is not a node such as n2", name, text);
    message_hint("raftmq cluster status   shows the nodes");
    return false;
}

/* "orders", "orders/3" */
static bool read_subject(struct transfer *transfer, const char *text)
{
    size_t bytes = strcspn(text, "/");
    if (bytes >= sizeof(transfer->topic)) bytes = sizeof(transfer->topic) - 1;
    memcpy(transfer->topic, text, bytes);
    if (!topic_name_check("topic", transfer->topic)) return false;
    if (text[bytes] == '\0') return true;
    const char *number = text + bytes + 1;
    size_t digits = strspn(number, "0123456789");
    if (digits == 0 || digits > 9 || number[digits] != '\0') {
        return refuse("the partition is not a number",
                      "raftmq cluster transfer orders/0 --to n2   hands over one partition");
    }
    transfer->partition_is_chosen = true;
    transfer->partition = strtoull(number, NULL, 10);
    return true;
}

static bool read_options(struct transfer *transfer, const struct options *options)
{
    const bool meta = options_on(options, "meta");
    const bool from = options_has(options, "from");
    const int named = options->arguments_count + meta + from;
    if (named != 1) {
        return refuse(named == 0
                          ? "say what is handed over: one of TOPIC, --meta and --from NODE"
                          : "more than one was given; name one of TOPIC, --meta and --from NODE",
                      "raftmq cluster transfer orders --to n2");
    }
    if (!read_node(options, "from", &transfer->from) || !read_node(options, "to", &transfer->to)) {
        return false;
    }
    if (from && transfer->from == transfer->to) {
        return refuse("--from and --to are the same node", "raftmq cluster transfer --from n2");
    }
    return options->arguments_count == 0 || read_subject(transfer, options->arguments[0]);
}

/* One request; on OK a row of the table. */
static enum exit_code hand_over(struct transfer *transfer, json_t *body, const char *subject)
{
    struct reply reply;
    char shown[QUANTITY_TEXT_BYTES], leader[REPLY_NODE_BYTES];
    const uint64_t began_us = clock_monotonic_us();
    if (transfer->to) {
        json_object_set_new(body, "to", json_integer((json_int_t)transfer->to));
    }
    /* Who leads already is told so, unless anybody else was good enough: asked twice, it would move on. */
    enum exit_code code = client_request(&transfer->client, "POST", "/v1/cluster/transfer", body,
                                         /* repeatable= */ transfer->to != 0, &reply);
    json_decref(body);
    if (code != EXIT_CODE_OK) {
        /* A topic that is not there has no partitions either. */
        const bool lacks_topic = strcmp(reply.slug, "topic-not-found") == 0;
        client_explain(&transfer->client, &reply, lacks_topic ? transfer->topic : subject);
        reply_close(&reply);
        return code;
    }
    const uint64_t took_us = clock_monotonic_us() - began_us;
    table_add_text(&transfer->table, subject);
    if (transfer->from) {
        table_add_number(&transfer->table, reply_number(reply.json, "groups", 0));
    } else {
        table_add_text(&transfer->table, reply_node(reply.json, "leader", leader));
        table_add_number(&transfer->table, reply_number(reply.json, "term", 0));
    }
    table_add_measure(&transfer->table, took_us / 1000u, quantity_duration(shown, took_us));
    reply_close(&reply);
    return EXIT_CODE_OK;
}

static enum exit_code hand_over_partition(struct transfer *transfer, uint64_t partition)
{
    char subject[300];
    snprintf(subject, sizeof(subject), "%s/%" PRIu64, transfer->topic, partition);
    json_t *body =
        json_pack("{s:s, s:I}", "topic", transfer->topic, "partition", (json_int_t)partition);
    assert(body);
    message_progress("handing over %s", subject);
    return hand_over(transfer, body, subject);
}

/* All partitions of the topic; the first that is refused ends it, those before it are handed over. */
static enum exit_code hand_over_topic(struct transfer *transfer)
{
    if (transfer->partition_is_chosen) return hand_over_partition(transfer, transfer->partition);
    struct topic_info info;
    enum exit_code code = topic_info_get(&transfer->client, transfer->topic, &info);
    if (code == EXIT_CODE_OK && !info.exists) {
        message_error("there is no topic %s", transfer->topic);
        message_hint("raftmq topic list   shows all topics");
        return EXIT_CODE_NOT_FOUND;
    }
    for (uint32_t p = 0; code == EXIT_CODE_OK && p < info.partitions_count; p++) {
        code = hand_over_partition(transfer, p);
    }
    return code;
}

static enum exit_code hand_over_from(struct transfer *transfer)
{
    char subject[REPLY_NODE_BYTES];
    snprintf(subject, sizeof(subject), "n%" PRIu64, transfer->from);
    json_t *body = json_pack("{s:I}", "from", (json_int_t)transfer->from);
    assert(body);
    message_progress("handing over all that %s leads", subject);
    return hand_over(transfer, body, subject);
}

static enum exit_code run(struct transfer *transfer)
{
    if (transfer->from) return hand_over_from(transfer);
    if (transfer->topic[0]) return hand_over_topic(transfer);
    json_t *body = json_pack("{s:b}", "meta", 1);
    assert(body);
    return hand_over(transfer, body, "meta");
}

int cluster_transfer_command(const struct options *options)
{
    static const struct table_column of_groups[] = {{"GROUP", "group", false},
                                                    {"LEADER", "leader", false},
                                                    {"TERM", "term", true},
                                                    {"TOOK", "took_ms", true}};
    static const struct table_column of_nodes[] = {
        {"NODE", "node", false}, {"GROUPS", "groups", true}, {"TOOK", "took_ms", true}};
    struct transfer transfer = {0};
    if (!read_options(&transfer, options)) return EXIT_CODE_USAGE;
    if (!client_init(&transfer.client, options)) return EXIT_CODE_USAGE;
    if (transfer.from) {
        table_init(&transfer.table, of_nodes, 3);
    } else {
        table_init(&transfer.table, of_groups, 4);
    }
    enum exit_code code = run(&transfer);
    message_progress_end();
    if (transfer.table.cells_count > 0) {
        table_print(&transfer.table, table_format_of(options_text(options, "output"), stdout),
                    stdout);
    }
    table_close(&transfer.table);
    client_close(&transfer.client);
    return (int)code;
}
