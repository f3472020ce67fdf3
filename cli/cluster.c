/* `raftmq cluster status`: what one node knows of the cluster, with what each node says about itself. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "change_watch.h"
#include "client.h"
#include "clock.h"
#include "message.h"
#include "quantity.h"
#include "table.h"
#include "verbs.h"

#define MEMBERS_MAX      32u
#define MEMBER_ANSWER_US 700000u
#define CHANGES_SHOWN    5u

/* One line of the table. */
struct member {
    char name[REPLY_NODE_BYTES];
    char http[SERVER_ADDRESS_BYTES];
    char role[32];
    char vote[12];
    char problem[256];
    char warning[256];
    char damage[256];
    bool reached;
    bool has_lost; /* damage that nobody repairs now */
    bool match_known;
    uint64_t match, applied, disk_bytes, uptime_us;
};

struct cluster_view {
    char id[48], leader[REPLY_NODE_BYTES], state[32], problem[256];
    uint64_t term, commit;
    struct member members[MEMBERS_MAX];
    uint32_t members_count;
    json_t *changes; /* what is not finished; owned; NULL: not known */
};

/* What a node says about itself; a node that does not answer within a moment counts as unreachable. */
static void ask_member(struct member *member)
{
    struct client client;
    struct reply reply;
    if (!member->http[0] || server_address_problem(member->http)) return;
    client_init_for(&client, member->http, MEMBER_ANSWER_US);
    if (client_get_once(&client, "/v1/cluster", &reply) == EXIT_CODE_OK) {
        char self[REPLY_NODE_BYTES];
        /* An advertised address may lead to another node: then what it says is not about this one. */
        member->reached = strcmp(reply_node(reply.json, "node", self), member->name) == 0;
        if (member->reached) {
            member->applied = reply_number(reply.json, "applied_index", 0);
            member->disk_bytes = reply_number(reply.json, "data_bytes", 0);
            member->uptime_us = reply_number(reply.json, "uptime_ms", 0) * 1000u;
            const char *problem = reply_text(reply.json, "problem", "");
            if (*problem) snprintf(member->problem, sizeof(member->problem), "%s", problem);
            snprintf(member->warning, sizeof(member->warning), "%s",
                     reply_text(reply.json, "warning", ""));
            snprintf(member->damage, sizeof(member->damage), "%s",
                     reply_text(reply.json, "damage", ""));
            member->has_lost = reply_number(reply.json, "unrepaired_ranges", 0) > 0;
        }
    }
    reply_close(&reply);
    client_close(&client);
}

static void read_member(const json_t *node, struct member *member)
{
    memset(member, 0, sizeof(*member));
    reply_node(node, "id", member->name);
    snprintf(member->http, sizeof(member->http), "%s", reply_text(node, "http", ""));
    snprintf(member->role, sizeof(member->role), "%s", reply_text(node, "role", "unknown"));
    snprintf(member->vote, sizeof(member->vote), "%s", reply_text(node, "vote", ""));
    snprintf(member->problem, sizeof(member->problem), "%s", reply_text(node, "problem", ""));
    member->match = reply_number(node, "match_index", UINT64_MAX);
    member->match_known = member->match != UINT64_MAX;
}

static void read_view(const json_t *json, struct cluster_view *view)
{
    memset(view, 0, sizeof(*view));
    snprintf(view->id, sizeof(view->id), "%s", reply_text(json, "cluster_id", "not founded"));
    snprintf(view->state, sizeof(view->state), "%s", reply_text(json, "state", ""));
    snprintf(view->problem, sizeof(view->problem), "%s", reply_text(json, "problem", ""));
    reply_node(json, "leader", view->leader);
    view->term = reply_number(json, "term", 0);
    view->commit = reply_number(json, "commit_index", 0);
    size_t i;
    json_t *node;
    json_array_foreach(json_object_get(json, "nodes"), i, node)
    {
        if (view->members_count < MEMBERS_MAX)
            read_member(node, &view->members[view->members_count++]);
    }
}

/* A node that was removed, or is cut off, knows no leader and an old state: another one on the list may know better. */
static void ask_who_knows_a_leader(struct client *client, struct reply *reply)
{
    char leader[REPLY_NODE_BYTES];
    for (uint32_t i = 1; i < client->servers.count; i++) {
        if (*reply_node(reply->json, "leader", leader)) return;
        struct client asking;
        struct reply answer;
        servers_next(&client->servers);
        client_init_for(&asking, servers_current(&client->servers), MEMBER_ANSWER_US);
        if (client_get_once(&asking, "/v1/cluster", &answer) == EXIT_CODE_OK &&
            *reply_node(answer.json, "leader", leader)) {
            reply_close(reply);
            *reply = answer;
        } else {
            reply_close(&answer);
        }
        client_close(&asking);
    }
}

/* Only the leader knows how far the others are: take its word where another node was asked. */
static void ask_leader(struct client *client, struct cluster_view *view, struct reply *reply)
{
    char self[REPLY_NODE_BYTES];
    reply_node(reply->json, "node", self);
    if (!view->leader[0] || strcmp(self, view->leader) == 0) return;
    for (uint32_t i = 0; i < view->members_count; i++) {
        const struct member *member = &view->members[i];
        if (strcmp(member->name, view->leader) != 0 || server_address_problem(member->http))
            continue;
        struct client asking;
        struct reply answer;
        client_init_for(&asking, member->http, MEMBER_ANSWER_US);
        if (client_get_once(&asking, "/v1/cluster", &answer) == EXIT_CODE_OK) {
            reply_close(reply);
            *reply = answer;
            read_view(reply->json, view);
        } else {
            reply_close(&answer);
        }
        client_close(&asking);
        return;
    }
    (void)client;
}

/* Answered by the leader of meta alone; a status page does not wait for one. */
static void ask_changes(const struct client *client, struct cluster_view *view)
{
    struct client asking;
    struct reply reply;
    if (!view->leader[0]) return;
    client_init_for(&asking, servers_current(&client->servers), MEMBER_ANSWER_US);
    if (client_get_once(&asking, "/v1/cluster/changes", &reply) == EXIT_CODE_OK) {
        view->changes = json_incref(json_object_get(reply.json, "changes"));
    }
    reply_close(&reply);
    client_close(&asking);
}

static uint32_t reached_count(const struct cluster_view *view)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < view->members_count; i++) {
        count += view->members[i].reached;
    }
    return count;
}

static bool is_healthy(const struct cluster_view *view)
{
    if (!view->leader[0] || view->problem[0] || view->members_count == 0) return false;
    for (uint32_t i = 0; i < view->members_count; i++) {
        const struct member *member = &view->members[i];
        if (!member->reached || member->problem[0] || member->has_lost) return false;
    }
    return true;
}

static const char *uptime_text(char *buffer, uint64_t us)
{
    if (us >= 60000000u) return quantity_duration(buffer, us);
    snprintf(buffer, QUANTITY_TEXT_BYTES, "%" PRIu64 "s", us / 1000000u);
    return buffer;
}

static void add_member(struct table *table, const struct cluster_view *view,
                       const struct member *member)
{
    char shown[QUANTITY_TEXT_BYTES];
    bool leads = strcmp(member->name, view->leader) == 0;
    table_add_text(table, member->name);
    table_add_text(table, member->reached || leads ? member->role : "unreachable");
    if (member->vote[0]) {
        table_add_text(table, member->vote);
    } else {
        table_add_none(table);
    }
    if (member->match_known) {
        table_add_number(table, member->match);
    } else {
        table_add_none(table);
    }
    if (member->match_known && !leads) {
        table_add_number(table, view->commit > member->match ? view->commit - member->match : 0);
    } else {
        table_add_none(table);
    }
    if (member->reached) {
        table_add_number(table, member->applied);
        table_add_measure(table, member->disk_bytes, quantity_bytes(shown, member->disk_bytes));
        table_add_measure(table, member->uptime_us / 1000, uptime_text(shown, member->uptime_us));
    } else {
        table_add_none(table);
        table_add_none(table);
        table_add_none(table);
    }
    table_add_text(table, member->http);
}

/* A few lines; `raftmq cluster changes` has them all. */
static void print_changes(const json_t *changes, FILE *out)
{
    size_t i;
    json_t *change;
    json_array_foreach(changes, i, change)
    {
        char name[320], progress[256];
        if (i == CHANGES_SHOWN) {
            fprintf(out, "... and %zu more: raftmq cluster changes\n",
                    json_array_size(changes) - i);
            return;
        }
        const char *blocked = reply_text(change, "blocked", "");
        change_progress(change, progress, sizeof(progress));
        fprintf(out, "change of %s: %s%s%s%s%s\n", change_name(change, name, sizeof(name)),
                reply_text(change, "state", "unknown"), progress[0] ? ", " : "", progress,
                blocked[0] ? "; " : "", blocked);
    }
}

/* What is wrong, and what is not finished. */
static void print_remarks(const struct cluster_view *view, FILE *out)
{
    if (view->problem[0]) fprintf(out, "problem: %s\n", view->problem);
    for (uint32_t i = 0; i < view->members_count; i++) {
        const struct member *member = &view->members[i];
        if (member->problem[0] && strcmp(member->problem, view->problem) != 0) {
            fprintf(out, "%s: %s\n", member->name, member->problem);
        }
        if (member->damage[0]) fprintf(out, "%s\n", member->damage);
        if (member->warning[0]) fprintf(out, "warning of %s: %s\n", member->name, member->warning);
    }
    print_changes(view->changes, out);
}

static void print_view(const struct cluster_view *view, enum table_format format, FILE *out)
{
    static const struct table_column columns[] = {
        {"NODE", "node", false},      {"ROLE", "role", false},   {"VOTE", "vote", false},
        {"MATCH", "match", true},     {"LAG", "lag", true},      {"APPLIED", "applied", true},
        {"DISK", "disk_bytes", true}, {"UP", "uptime_ms", true}, {"HTTP", "http", false}};
    char commit[QUANTITY_TEXT_BYTES];
    if (format == TABLE_TEXT) {
        bool whole = strlen(view->id) == 32;
        fprintf(out,
                "cluster %.*s%s  term %" PRIu64 "  leader %s  commit %s  %s (%" PRIu32 "/%" PRIu32
                ")\n",
                whole ? 8 : 32, view->id, whole ? "…" : "", view->term,
                view->leader[0] ? view->leader : "none", quantity_count(commit, view->commit),
                is_healthy(view) ? "healthy" : "NOT HEALTHY", reached_count(view),
                view->members_count);
    }
    struct table table;
    table_init(&table, columns, 9);
    for (uint32_t i = 0; i < view->members_count; i++) {
        add_member(&table, view, &view->members[i]);
    }
    table_print(&table, format, out);
    table_close(&table);
    if (format == TABLE_TEXT) print_remarks(view, out);
}

/* One look. */
static enum exit_code show_status(struct client *client, enum table_format format, FILE *out)
{
    struct reply reply;
    struct cluster_view view;
    enum exit_code code = client_get(client, "/v1/cluster", &reply);
    if (code != EXIT_CODE_OK) {
        client_explain(client, &reply, NULL);
        reply_close(&reply);
        return code;
    }
    ask_who_knows_a_leader(client, &reply);
    read_view(reply.json, &view);
    ask_leader(client, &view, &reply);
    ask_changes(client, &view);
    for (uint32_t i = 0; i < view.members_count; i++) {
        ask_member(&view.members[i]);
    }
    if (format == TABLE_JSON) {
        json_object_set_new(reply.json, "healthy", json_boolean(is_healthy(&view)));
        json_object_set(reply.json, "changes", view.changes ? view.changes : json_null());
        json_dumpf(reply.json, out, JSON_INDENT(2));
        fputc('\n', out);
    } else {
        print_view(&view, format, out);
    }
    /* Rows for a program have no place for it; people who look why it failed do not find it elsewhere. */
    if (format != TABLE_TEXT && out == stdout && message_output_flush()) {
        print_remarks(&view, stderr);
    }
    json_decref(view.changes);
    reply_close(&reply);
    return is_healthy(&view) ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

/* Print what fits on the terminal, over what stands there: nothing flickers, wraps or scrolls away. */
static void draw(const char *text)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    }
    fputs("\033[H", stdout);
    for (uint32_t row = 0; *text && row < size.ws_row; row++) {
        if (row > 0) putchar('\n');
        uint32_t column = 0;
        for (; *text && *text != '\n'; text++) {
            column +=
                ((unsigned char)*text & 0xc0) != 0x80; /* UTF-8 continuation bytes take none */
            if (column <= size.ws_col) putchar(*text);
        }
        fputs(column < size.ws_col ? "\033[K" : "", stdout);
        text += *text == '\n';
    }
    fputs("\033[J", stdout);
}

static void redraw(struct client *client, enum table_format format)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert(out);
    show_status(client, format, out);
    fclose(out);
    if (bytes > 0) draw(text);
    free(text);
}

int cluster_status_command(const struct options *options)
{
    struct client client;
    if (!client_init(&client, options)) return EXIT_CODE_USAGE;
    enum table_format format = table_format_of(options_text(options, "output"), stdout);
    if (!options_has(options, "watch")) {
        enum exit_code code = show_status(&client, format, stdout);
        client_close(&client);
        return (int)code;
    }
    uint64_t interval_us = options_number(options, "watch");
    if (interval_us < 50000) interval_us = 50000;
    bool redraws = isatty(STDOUT_FILENO);
    client_learn_servers(&client, NULL); /* the node that is asked may be the one that dies */
    if (redraws) fputs("\033[2J", stdout);
    for (;;) {
        if (redraws) {
            redraw(&client, format);
        } else {
            show_status(&client, format, stdout);
            putchar('\n');
        }
        if (!message_output_flush()) break;
        clock_sleep_us(interval_us);
    }
    client_close(&client);
    return EXIT_CODE_OK;
}
