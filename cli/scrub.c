/* `raftmq log scrub`: every node reads its logs from the first to the last byte, and repairs what is damaged from the others. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "clock.h"
#include "message.h"
#include "quantity.h"
#include "scrub_count.h"
#include "table.h"
#include "topic_info.h"
#include "verbs.h"

#define NODES_MAX 32u
#define POLL_US   200000u
/* A node that does not answer for so long is not waited for. */
#define SILENCE_US 10000000u

struct scrub_node {
    char name[REPLY_NODE_BYTES];
    char address[SERVER_ADDRESS_BYTES];
    struct client client;
    json_t *logs;   /* its last answer */
    json_t *before; /* its first one: counters as they were when this scrub began */
    uint64_t heard_us;
    bool is_done;
    bool is_lost;
};

struct scrub {
    struct scrub_node nodes[NODES_MAX];
    uint32_t nodes_count;
    char path[320];
    uint64_t until_us; /* 0: as long as it takes */
};

static void add_nodes(struct scrub *scrub, const struct client *client, const json_t *nodes)
{
    size_t i;
    json_t *node;
    json_array_foreach(nodes, i, node)
    {
        const char *address = reply_text(node, "http", "");
        if (strncmp(address, "http://", 7) == 0) address += 7;
        if (!address[0] || scrub->nodes_count == NODES_MAX) continue;
        struct scrub_node *to = &scrub->nodes[scrub->nodes_count++];
        reply_node(node, "id", to->name);
        snprintf(to->address, sizeof(to->address), "%s", address);
        client_init_for(&to->client, address, client->timeout_us);
        to->heard_us = clock_monotonic_us();
    }
}

static bool take(struct scrub_node *node, struct reply *reply, enum exit_code code)
{
    if (code == EXIT_CODE_OK) {
        json_decref(node->logs);
        node->logs = json_incref(json_object_get(reply->json, "logs"));
        node->heard_us = clock_monotonic_us();
    }
    reply_close(reply);
    return code == EXIT_CODE_OK;
}

static uint64_t sum(const struct scrub_node *node, const char *name)
{
    uint64_t total = 0;
    size_t i;
    json_t *log;
    json_array_foreach(node->logs, i, log)
    {
        total += reply_number(log, name, 0);
    }
    return total;
}

static uint32_t pending(const struct scrub_node *node)
{
    uint32_t count = 0;
    size_t i;
    json_t *log;
    json_array_foreach(node->logs, i, log)
    {
        if (json_is_true(json_object_get(log, "pending"))) count++;
    }
    return count;
}

static enum exit_code begin(struct scrub *scrub)
{
    enum exit_code worst = EXIT_CODE_OK;
    for (uint32_t i = 0; i < scrub->nodes_count; i++) {
        struct scrub_node *node = &scrub->nodes[i];
        struct reply reply;
        enum exit_code code = client_request(&node->client, "POST", scrub->path, NULL,
                                             /* repeatable= */ true, &reply);
        if (take(node, &reply, code)) {
            node->before = json_incref(node->logs);
            continue;
        }
        message_error("%s (%s) does not answer, its logs are not read", node->name, node->address);
        node->is_lost = true;
        worst = EXIT_CODE_UNAVAILABLE;
    }
    return worst;
}

/* Done: read through, and nothing is left that its peers could repair in a moment. */
static void look(struct scrub *scrub, struct scrub_node *node)
{
    struct reply reply;
    enum exit_code code = client_get_once(&node->client, scrub->path, &reply);
    if (!take(node, &reply, code)) {
        if (clock_monotonic_us() - node->heard_us < SILENCE_US) return;
        message_error("%s (%s) does not answer any more", node->name, node->address);
        node->is_lost = true;
        return;
    }
    node->is_done = pending(node) == 0 && sum(node, "damaged_ranges") == 0;
}

static void show_progress(const struct scrub *scrub)
{
    uint64_t done = 0, total = 0, damaged = 0;
    char done_text[QUANTITY_TEXT_BYTES], total_text[QUANTITY_TEXT_BYTES];
    for (uint32_t i = 0; i < scrub->nodes_count; i++) {
        total += sum(&scrub->nodes[i], "bytes_total");
        done += pending(&scrub->nodes[i]) == 0 ? sum(&scrub->nodes[i], "bytes_total")
                                               : sum(&scrub->nodes[i], "bytes_done");
        damaged += sum(&scrub->nodes[i], "damaged_ranges");
    }
    message_progress("read %s of %s, damaged ranges left: %" PRIu64,
                     quantity_bytes(done_text, done), quantity_bytes(total_text, total), damaged);
}

static enum exit_code wait_for_all(struct scrub *scrub)
{
    for (;;) {
        bool all = true;
        bool any_lost = false;
        uint64_t damaged = 0;
        for (uint32_t i = 0; i < scrub->nodes_count; i++) {
            struct scrub_node *node = &scrub->nodes[i];
            if (!node->is_done && !node->is_lost) look(scrub, node);
            if (!node->is_done && !node->is_lost) all = false;
            if (node->is_lost) any_lost = true;
            damaged += sum(node, "damaged_ranges");
        }
        show_progress(scrub);
        if (all) return any_lost ? EXIT_CODE_UNAVAILABLE : EXIT_CODE_OK;
        if (scrub->until_us && clock_monotonic_us() >= scrub->until_us) {
            message_error("not done in time; the nodes go on by themselves");
            return damaged > 0 ? EXIT_CODE_FAILED : EXIT_CODE_UNAVAILABLE;
        }
        clock_sleep_us(POLL_US);
    }
}

/* Of this scrub; a byte that was mended in its place was found and repaired. */
static void add_counts(struct table *table, const struct scrub_node *node)
{
    const uint64_t mended = scrub_count_since(node->before, node->logs, "blocks_mended");
    table_add_number(table, mended + scrub_count_since(node->before, node->logs, "damage_found"));
    table_add_number(table,
                     mended + scrub_count_since(node->before, node->logs, "segments_repaired"));
}

static void print(const struct scrub *scrub, const struct options *options)
{
    static const struct table_column columns[] = {
        {"NODE", "node", false},          {"LOGS", "logs", true},
        {"BYTES", "bytes", true},         {"PENDING", "pending", true},
        {"FOUND", "damage_found", true},  {"REPAIRED", "segments_repaired", true},
        {"LEFT", "damaged_ranges", true},
    };
    struct table table;
    char text[QUANTITY_TEXT_BYTES];
    table_init(&table, columns, 7);
    for (uint32_t i = 0; i < scrub->nodes_count; i++) {
        const struct scrub_node *node = &scrub->nodes[i];
        const uint64_t bytes = sum(node, "bytes_total");
        table_add_text(&table, node->name);
        table_add_number(&table, json_array_size(node->logs));
        table_add_measure(&table, bytes, quantity_bytes(text, bytes));
        table_add_number(&table, pending(node));
        if (options_is_set(options, "wait")) {
            add_counts(&table, node);
        } else {
            table_add_none(&table);
            table_add_none(&table);
        }
        table_add_number(&table, sum(node, "damaged_ranges"));
    }
    table_print(&table, table_format_of(options_text(options, "output"), stdout), stdout);
    table_close(&table);
    for (uint32_t i = 0; i < scrub->nodes_count; i++) {
        size_t k;
        json_t *log;
        json_array_foreach(scrub->nodes[i].logs, k, log)
        {
            const char *problem = reply_text(log, "problem", "");
            if (!problem[0]) continue;
            message_error("%s, %s/%" PRIu64 ": %s", scrub->nodes[i].name,
                          reply_text(log, "topic", "meta"), reply_number(log, "partition", 0),
                          problem);
        }
    }
}

static bool make_path(struct scrub *scrub, const char *topic)
{
    char segment[300];
    if (!topic) {
        snprintf(scrub->path, sizeof(scrub->path), "/v1/scrub");
        return true;
    }
    if (!topic_name_check("topic", topic)) return false;
    if (!client_encode_segment(topic, segment, sizeof(segment))) return false;
    snprintf(scrub->path, sizeof(scrub->path), "/v1/scrub?topic=%.296s", segment);
    return true;
}

/* Every node told of its logs, and none has one of that topic. */
static bool is_unknown(const struct scrub *scrub, const char *topic)
{
    for (uint32_t i = 0; i < scrub->nodes_count; i++) {
        const struct scrub_node *node = &scrub->nodes[i];
        if (node->is_lost || json_array_size(node->logs) > 0) return false;
    }
    return topic && scrub->nodes_count > 0;
}

int log_scrub_command(const struct options *options)
{
    struct client client;
    struct reply reply;
    struct scrub *scrub = calloc(1, sizeof(*scrub));
    if (!scrub) abort();
    if (!make_path(scrub, options_text(options, "topic")) || !client_init(&client, options)) {
        free(scrub);
        return EXIT_CODE_USAGE;
    }
    enum exit_code code = client_get(&client, "/v1/cluster", &reply);
    if (code == EXIT_CODE_OK) {
        add_nodes(scrub, &client, json_object_get(reply.json, "nodes"));
        const char *topic = options_text(options, "topic");
        code = begin(scrub);
        if (is_unknown(scrub, topic)) {
            message_error("no node has a log of a topic \"%s\"", topic);
            code = EXIT_CODE_NOT_FOUND;
        } else if (options_is_set(options, "wait")) {
            const uint64_t wait_us = options_number(options, "wait");
            if (wait_us) scrub->until_us = clock_monotonic_us() + wait_us;
            const enum exit_code waited = wait_for_all(scrub);
            if (code == EXIT_CODE_OK) code = waited;
        }
        message_progress_end();
        if (code != EXIT_CODE_NOT_FOUND) print(scrub, options);
        if (code == EXIT_CODE_OK && !options_is_set(options, "wait")) {
            message_note("begun; the nodes go on by themselves. With --wait it is told at the end "
                         "what they found and repaired");
        }
    } else {
        client_explain(&client, &reply, NULL);
    }
    reply_close(&reply);
    for (uint32_t i = 0; i < scrub->nodes_count; i++) {
        json_decref(scrub->nodes[i].logs);
        json_decref(scrub->nodes[i].before);
        client_close(&scrub->nodes[i].client);
    }
    client_close(&client);
    free(scrub);
    return (int)code;
}
