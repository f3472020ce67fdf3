/* `raftmq cluster add|remove|replace|changes` and `topic place`: nodes that come, go, and take each other's place.
 *
 *     asked ──► decided by the cluster, which works on it by itself ──► watched here until nothing of it is left
 *
 * Asking again for what was decided is fine, so a command that was interrupted may simply be repeated. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "change_watch.h"
#include "client.h"
#include "clock.h"
#include "message.h"
#include "peers.h"
#include "quantity.h"
#include "start_command.h"
#include "table.h"
#include "topic_info.h"
#include "verbs.h"

#define PATH_BYTES 128u
/* Nobody looks, and nothing moves: a script is not kept for ever. */
#define STANDSTILL_US 120000000u
#define BEHIND_US     1000000u

struct membership {
    const struct options *options;
    const char *verb; /* "add", "remove", "replace", "place" */
    struct client client;
    uint64_t node;                   /* who comes (add), goes (remove), is replaced */
    uint64_t with;                   /* replace: who takes the place; 0: none */
    char peer[SERVER_ADDRESS_BYTES]; /* of who comes; "": not given */
    bool peer_is_guessed;            /* by the name alone, as in a network of containers */
    char topic[256];                 /* place: "orders" */
    char group[300];                 /* place: "orders/0"; "": not of one group */
};

/* ---- what was asked for ------------------------------------------------------------------------------------------- */

static const char *noun(const char *verb)
{
    return strcmp(verb, "place") == 0 ? "topic" : "cluster";
}

static bool read_node(const char *verb, const char *text, uint64_t *ret_id)
{
    if (peers_parse_node_id(text, ret_id)) return true;
    message_error("%s %s: '%.60s' is not a node such as n2", noun(verb), verb, text);
    message_hint("raftmq cluster status   shows the nodes");
    return false;
}

/* "n4", or "n4=host:port" */
static bool read_newcomer(struct membership *membership, const char *text, uint64_t *ret_id)
{
    if (!strchr(text, '=')) return read_node(membership->verb, text, ret_id);
    struct peer_config peers[PEER_NODES_MAX];
    uint32_t count;
    char error[PEERS_ERROR_BYTES] = "";
    const char *problem = strchr(text, ',') ? "one node at a time" : NULL;
    if (problem || !peers_parse(text, peers, &count, error)) {
        /* The parser names the setting; here it is an argument. */
        const size_t prefix = strncmp(error, "peers: ", 7) == 0 && !problem ? 7 : 0;
        message_error("cluster %s: %s", membership->verb, problem ? problem : error + prefix);
        message_hint("for example  raftmq cluster %s %sn4=10.0.0.4:7071", membership->verb,
                     strcmp(membership->verb, "replace") == 0 ? "n2 " : "");
        return false;
    }
    *ret_id = peers[0].node_id;
    snprintf(membership->peer, sizeof(membership->peer), "%s", peers[0].address);
    return true;
}

static bool begin(struct membership *membership, const struct options *options, const char *verb)
{
    *membership = (struct membership){.options = options, .verb = verb};
    if (!options_on(options, "no-wait") || !options_has(options, "wait")) return true;
    message_error("%s %s: --wait and --no-wait exclude each other", noun(verb), verb);
    return false;
}

/* ---- requests ----------------------------------------------------------------------------------------------------- */

static const char *node_name(uint64_t node, char *buffer)
{
    snprintf(buffer, REPLY_NODE_BYTES, "n%" PRIu64, node);
    return buffer;
}

static enum exit_code ask(struct membership *membership, const char *method, const char *path,
                          json_t *body, const char *subject)
{
    struct reply reply;
    enum exit_code code =
        client_request(&membership->client, method, path, body, /* repeatable= */ true, &reply);
    if (strcmp(reply.slug, "topic-not-found") == 0) subject = membership->topic;
    /* The sentence begins with it, or with another node that the command names. */
    if (strcmp(reply.slug, "node-exists") == 0) subject = NULL;
    if (strcmp(reply.slug, "unknown-node") == 0) subject = NULL;
    if (code != EXIT_CODE_OK) client_explain(&membership->client, &reply, subject);
    /* Too few nodes is a state of the cluster, and no wrong argument. */
    if (reply.status == 422) code = EXIT_CODE_CONFLICT;
    json_decref(body);
    reply_close(&reply);
    return code;
}

static enum exit_code add_node(struct membership *membership, uint64_t node)
{
    char name[REPLY_NODE_BYTES];
    json_t *body = json_pack("{s:I, s:s}", "node", (json_int_t)node, "peer", membership->peer);
    assert(body);
    return ask(membership, "POST", "/v1/cluster/members", body, node_name(node, name));
}

static const json_t *find_member(const json_t *cluster, uint64_t node)
{
    size_t i;
    json_t *member;
    json_array_foreach(json_object_get(cluster, "nodes"), i, member)
    {
        if (reply_number(member, "id", 0) == node) return member;
    }
    return NULL;
}

/* Does the cluster know who is to be replaced? */
static enum exit_code check_member(struct membership *membership)
{
    struct reply reply;
    bool is_known = false;
    enum exit_code code = client_get(&membership->client, "/v1/cluster", &reply);
    if (code != EXIT_CODE_OK) {
        client_explain(&membership->client, &reply, NULL);
    } else {
        is_known = find_member(reply.json, membership->node) != NULL;
    }
    reply_close(&reply);
    if (code != EXIT_CODE_OK || is_known) return code;
    message_error("n%" PRIu64 ": the cluster knows no such node; nothing was changed",
                  membership->node);
    message_hint("raftmq cluster status   shows the nodes");
    return EXIT_CODE_NOT_FOUND;
}

/* Without an address: the one by which the cluster knows the node already, or else its name, as in a network of containers. */
static enum exit_code fill_address(struct membership *membership)
{
    struct reply reply;
    if (membership->peer[0]) return EXIT_CODE_OK;
    const enum exit_code code = client_get(&membership->client, "/v1/cluster", &reply);
    if (code != EXIT_CODE_OK) client_explain(&membership->client, &reply, NULL);
    const json_t *member = find_member(reply.json, membership->node);
    const char *known = member ? reply_text(member, "peer", "") : "";
    if (*known) {
        snprintf(membership->peer, sizeof(membership->peer), "%s", known);
    } else {
        membership->peer_is_guessed = true;
        snprintf(membership->peer, sizeof(membership->peer), "n%" PRIu64 ":%u", membership->node,
                 PEERS_DEFAULT_PORT);
    }
    reply_close(&reply);
    return code;
}

static enum exit_code remove_node(struct membership *membership)
{
    char path[PATH_BYTES], name[REPLY_NODE_BYTES];
    snprintf(path, sizeof(path), "/v1/cluster/members/%" PRIu64 "%s", membership->node,
             options_on(membership->options, "shrink") ? "?shrink=1" : "");
    return ask(membership, "DELETE", path, NULL, node_name(membership->node, name));
}

static enum exit_code replace_node(struct membership *membership)
{
    char path[PATH_BYTES], name[REPLY_NODE_BYTES];
    snprintf(path, sizeof(path), "/v1/cluster/members/%" PRIu64 "/replace", membership->node);
    json_t *body = json_pack("{s:I}", "with", (json_int_t)membership->with);
    assert(body);
    return ask(membership, "POST", path, body, node_name(membership->node, name));
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void add_node_cell(struct table *table, uint64_t node)
{
    char name[REPLY_NODE_BYTES];
    if (node) {
        table_add_text(table, node_name(node, name));
    } else {
        table_add_none(table);
    }
}

static void print_row(const struct membership *membership, bool is_done, uint64_t took_us)
{
    static const struct table_column of_nodes[] = {{"CHANGE", "change", false},
                                                   {"NODE", "node", false},
                                                   {"WITH", "with", false},
                                                   {"STATE", "state", false},
                                                   {"TOOK", "took_ms", true}};
    static const struct table_column of_group[] = {{"CHANGE", "change", false},
                                                   {"GROUP", "group", false},
                                                   {"NODES", "nodes", false},
                                                   {"STATE", "state", false},
                                                   {"TOOK", "took_ms", true}};
    char text[QUANTITY_TEXT_BYTES];
    struct table table;
    table_init(&table, membership->group[0] ? of_group : of_nodes, 5);
    table_add_text(&table, membership->verb);
    if (membership->group[0]) {
        table_add_text(&table, membership->group);
        table_add_text(&table, membership->options->arguments[1]);
    } else {
        add_node_cell(&table, membership->node);
        add_node_cell(&table, membership->with);
    }
    table_add_text(&table, is_done ? "done" : "decided");
    if (is_done) {
        table_add_measure(&table, took_us / 1000u, quantity_duration(text, took_us));
    } else {
        table_add_none(&table);
    }
    table_print(&table, table_format_of(options_text(membership->options, "output"), stdout),
                stdout);
    table_close(&table);
}

static void hint_start(struct membership *membership, uint64_t node)
{
    struct reply reply;
    char command[START_COMMAND_BYTES];
    (void)client_get(&membership->client, "/v1/cluster", &reply);
    const json_t *member = find_member(reply.json, node);
    if (member && *reply_text(member, "vote", "")) {
        message_note("n%" PRIu64 " is a member already", node);
    } else {
        message_note("n%" PRIu64
                     " is expected; start it on an empty directory, if it does not run yet:",
                     node);
        start_command(node, membership->peer_is_guessed ? NULL : membership->peer,
                      json_object_get(reply.json, "nodes"), command);
        message_note("  %s", command);
    }
    reply_close(&reply);
}

static void hint_take_back(const struct membership *membership)
{
    message_hint("raftmq cluster remove n%" PRIu64 "   takes it back", membership->node);
}

/* False: somebody has taken the addition back meanwhile. A node that was asked may be behind for a moment. */
static bool is_still_admitted(struct membership *membership)
{
    const uint64_t deadline_us = clock_monotonic_us() + BEHIND_US;
    for (;;) {
        struct reply reply;
        const enum exit_code code = client_get(&membership->client, "/v1/cluster", &reply);
        const bool is_missing = code == EXIT_CODE_OK && !find_member(reply.json, membership->node);
        reply_close(&reply);
        if (!is_missing) return true;
        if (clock_monotonic_us() >= deadline_us) return false;
        clock_sleep_us(BEHIND_US / 20u);
    }
}

static enum exit_code wait_until_done(struct membership *membership)
{
    /* Who is a member already does not wait for others that come or go. */
    const bool comes = strcmp(membership->verb, "add") == 0;
    struct change_watch watch = {
        .client = &membership->client,
        .filter = {.name = membership->group[0] ? membership->group : NULL,
                   .node = comes ? 0 : membership->node,
                   .newcomer = comes ? membership->node : membership->with},
        .limit_us = options_number(membership->options, "wait")};
    if (!options_has(membership->options, "wait") && !isatty(STDERR_FILENO)) {
        watch.standstill_us = STANDSTILL_US;
    }
    enum exit_code code = change_watch(&watch);
    if (code == EXIT_CODE_OK && comes && !is_still_admitted(membership)) {
        message_error("n%" PRIu64 ": the addition was taken back, it is no member",
                      membership->node);
        return EXIT_CODE_CONFLICT;
    }
    if (code == EXIT_CODE_OK) {
        print_row(membership, true, watch.took_us);
        return code;
    }
    if (code == EXIT_CODE_INTERRUPTED) message_interrupted();
    if (code == EXIT_CODE_FAILED) {
        message_error("%s %s: not done yet%s", noun(membership->verb), membership->verb,
                      watch.stood_still ? ", and nothing has moved for two minutes" : "");
    }
    message_hint("the cluster goes on by itself;  raftmq cluster changes   shows how far it is");
    if (comes) hint_take_back(membership);
    return code;
}

static int end(struct membership *membership, enum exit_code code)
{
    if (code == EXIT_CODE_OK && options_on(membership->options, "no-wait")) {
        print_row(membership, false, 0);
    } else if (code == EXIT_CODE_OK) {
        code = wait_until_done(membership);
        const bool leaves = strcmp(membership->verb, "remove") == 0 || membership->with;
        if (code == EXIT_CODE_OK && leaves) {
            message_note("n%" PRIu64 " is in no group any more: it can be stopped, and its data "
                         "thrown away",
                         membership->node);
        }
    }
    client_close(&membership->client);
    return (int)code;
}

/* ---- verbs -------------------------------------------------------------------------------------------------------- */

int cluster_add_command(const struct options *options)
{
    struct membership membership;
    if (!begin(&membership, options, "add")) return EXIT_CODE_USAGE;
    if (!read_newcomer(&membership, options->arguments[0], &membership.node)) {
        return EXIT_CODE_USAGE;
    }
    if (!client_init(&membership.client, options)) return EXIT_CODE_USAGE;
    enum exit_code code = fill_address(&membership);
    if (code == EXIT_CODE_OK) code = add_node(&membership, membership.node);
    if (code == EXIT_CODE_OK) hint_start(&membership, membership.node);
    return end(&membership, code);
}

int cluster_remove_command(const struct options *options)
{
    struct membership membership;
    if (!begin(&membership, options, "remove")) return EXIT_CODE_USAGE;
    if (!read_node("remove", options->arguments[0], &membership.node)) return EXIT_CODE_USAGE;
    if (!client_init(&membership.client, options)) return EXIT_CODE_USAGE;
    return end(&membership, remove_node(&membership));
}

int cluster_replace_command(const struct options *options)
{
    struct membership membership;
    if (!begin(&membership, options, "replace")) return EXIT_CODE_USAGE;
    if (!read_node("replace", options->arguments[0], &membership.node)) return EXIT_CODE_USAGE;
    if (!read_newcomer(&membership, options->arguments[1], &membership.with)) {
        return EXIT_CODE_USAGE;
    }
    if (membership.node == membership.with) {
        message_error("cluster replace: a node cannot take its own place");
        message_hint("a wiped node comes back by itself: start it on its empty directory");
        return EXIT_CODE_USAGE;
    }
    if (!client_init(&membership.client, options)) return EXIT_CODE_USAGE;
    /* A node is not admitted to take the place of a typo. */
    enum exit_code code = membership.peer[0] ? check_member(&membership) : EXIT_CODE_OK;
    if (code == EXIT_CODE_OK && membership.peer[0]) {
        code = add_node(&membership, membership.with);
        if (code == EXIT_CODE_OK) hint_start(&membership, membership.with);
    }
    if (code == EXIT_CODE_OK) code = replace_node(&membership);
    return end(&membership, code);
}

/* ---- replicas of one partition ----------------------------------------------------------------------------------------- */

/* "orders/0" */
static bool read_group(struct membership *membership, const char *text, uint64_t *ret_partition)
{
    const char *slash = strchr(text, '/');
    const size_t digits = slash ? strspn(slash + 1, "0123456789") : 0;
    if (digits == 0 || digits > 9 || slash[1 + digits] != '\0' ||
        (size_t)(slash - text) >= sizeof(membership->topic)) {
        message_error("topic place: '%.140s' is not a partition such as orders/0", text);
        message_hint("raftmq topic describe TOPIC   shows the partitions");
        return false;
    }
    memcpy(membership->topic, text, (size_t)(slash - text));
    membership->topic[slash - text] = '\0';
    *ret_partition = strtoull(slash + 1, NULL, 10);
    snprintf(membership->group, sizeof(membership->group), "%s/%" PRIu64, membership->topic,
             *ret_partition);
    return topic_name_check("topic", membership->topic);
}

/* "n1,n2,n4" */
static json_t *read_nodes(const char *list)
{
    json_t *nodes = json_array();
    for (const char *item = list;; item++) {
        char text[32];
        uint64_t id;
        const size_t bytes = strcspn(item, ",");
        snprintf(text, sizeof(text), "%.*s", bytes > 31 ? 31 : (int)bytes, item);
        if (!read_node("place", text, &id)) {
            json_decref(nodes);
            return NULL;
        }
        json_array_append_new(nodes, json_integer((json_int_t)id));
        item += bytes;
        if (*item == '\0') return nodes;
    }
}

static uint64_t count_replicas(struct membership *membership, uint64_t partition)
{
    size_t i;
    uint64_t count = 0;
    json_t *item;
    struct reply reply;
    char path[PATH_BYTES + sizeof(membership->topic)];
    snprintf(path, sizeof(path), "/v1/topics/%s", membership->topic);
    (void)client_get(&membership->client, path, &reply);
    json_array_foreach(reply_partitions(reply.json), i, item)
    {
        if (reply_number(item, "partition", UINT64_MAX) != partition) continue;
        count = json_array_size(json_object_get(item, "replicas"));
    }
    reply_close(&reply);
    return count;
}

/* Fewer are a wish like another one, but nobody gives the missing ones back: who meant to name a node more should know. */
static void note_fewer(const struct membership *membership, uint64_t before, uint64_t now)
{
    if (now >= before) return;
    message_note("%s is to have %" PRIu64 " replica%s from now on, not %" PRIu64
                 " as before: %s of them may fail",
                 membership->group, now, now == 1 ? "" : "s", before,
                 now < 3   ? "none"
                 : now < 5 ? "one"
                           : "two");
}

int topic_place_command(const struct options *options)
{
    struct membership membership;
    char path[400];
    uint64_t partition;
    if (!begin(&membership, options, "place")) return EXIT_CODE_USAGE;
    if (!read_group(&membership, options->arguments[0], &partition)) return EXIT_CODE_USAGE;
    json_t *nodes = read_nodes(options->arguments[1]);
    if (!nodes) return EXIT_CODE_USAGE;
    if (!client_init(&membership.client, options)) {
        json_decref(nodes);
        return EXIT_CODE_USAGE;
    }
    snprintf(path, sizeof(path), "/v1/topics/%s/partitions/%" PRIu64 "/replicas", membership.topic,
             partition);
    const uint64_t before = count_replicas(&membership, partition), now = json_array_size(nodes);
    json_t *body = json_pack("{s:o}", "nodes", nodes);
    assert(body);
    const enum exit_code code = ask(&membership, "PUT", path, body, membership.group);
    if (code == EXIT_CODE_OK) note_fewer(&membership, before, now);
    return end(&membership, code);
}

/* ---- what is not finished ------------------------------------------------------------------------------------------ */

/* "n1 n2 -n3 +n4": who stays, goes, comes. */
static void members_text(const json_t *change, char *text, size_t bytes)
{
    size_t i, used = 0;
    json_t *member;
    text[0] = '\0';
    json_array_foreach(json_object_get(change, "members"), i, member)
    {
        char node[REPLY_NODE_BYTES];
        const bool is_voter = strcmp(reply_text(member, "role", ""), "voter") == 0;
        const bool is_wished = json_is_true(json_object_get(member, "wished"));
        int length = snprintf(text + used, bytes - used, "%s%s%s", i ? " " : "",
                              !is_wished ? "-"
                              : is_voter ? ""
                                         : "+",
                              reply_node(member, "node", node));
        if (length < 0 || (size_t)length >= bytes - used) break;
        used += (size_t)length;
    }
}

static void print_changes(const json_t *changes, enum table_format format)
{
    static const struct table_column columns[] = {
        {"GROUP", "group", false},       {"STATE", "state", false},
        {"LEADER", "leader", false},     {"MEMBERS", "members", false},
        {"PROGRESS", "progress", false}, {"BLOCKED BY", "blocked", false}};
    struct table table;
    table_init(&table, columns, 6);
    size_t i;
    json_t *change;
    json_array_foreach(changes, i, change)
    {
        char name[320], leader[REPLY_NODE_BYTES], members[512], progress[256];
        table_add_text(&table, change_name(change, name, sizeof(name)));
        table_add_text(&table, reply_text(change, "state", "unknown"));
        if (*reply_node(change, "leader", leader)) {
            table_add_text(&table, leader);
        } else {
            table_add_none(&table);
        }
        members_text(change, members, sizeof(members));
        table_add_text(&table, members);
        table_add_text(&table, change_progress(change, progress, sizeof(progress)));
        table_add_text(&table, reply_text(change, "blocked", ""));
    }
    table_print(&table, format, stdout);
    table_close(&table);
}

int cluster_changes_command(const struct options *options)
{
    struct client client;
    struct reply reply;
    if (!client_init(&client, options)) return EXIT_CODE_USAGE;
    enum table_format format = table_format_of(options_text(options, "output"), stdout);
    enum exit_code code = client_get(&client, "/v1/cluster/changes", &reply);
    const json_t *changes = json_object_get(reply.json, "changes");
    if (code != EXIT_CODE_OK) {
        client_explain(&client, &reply, NULL);
    } else if (format == TABLE_JSON) {
        reply_print(&reply, /* compact= */ false);
    } else if (format == TABLE_TEXT && json_array_size(changes) == 0) {
        message_note("nothing is under way: every group has the members that it should have");
    } else {
        print_changes(changes, format);
    }
    reply_close(&reply);
    client_close(&client);
    return (int)code;
}
