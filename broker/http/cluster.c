/* What the node says about itself: cluster, health, metrics, version. */
#include "routes.h"
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define GROUPS_MAX 4096u
#define WHY_BYTES  8192u

static void out_of_memory(struct http_exchange *exchange)
{
    http__reply_problem(exchange, HTTP_SERVER_BUSY, "the node is out of memory");
}

/* ---- cluster ---------------------------------------------------------------------------------------------- */

static void hex_member(struct http_json *json, const char *name, const uint8_t *bytes, size_t count)
{
    char text[33];
    for (size_t i = 0; i < count && i < 16; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    http__json_member_text(json, name, text);
}

/* 64-bit identities as hex: JSON numbers lose bits above 2^53 in many readers. */
static void identity_member(struct http_json *json, const char *name, uint64_t value)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, value);
    http__json_member_string(json, name, text);
}

static void write_member(struct http_json *json, const struct node_member_status *member_status)
{
    http__json_object_begin(json);
    http__json_member_u64(json, "id", member_status->node_id);
    http__json_member_bool(json, "self", member_status->self);
    http__json_member_bool(json, "connected", member_status->connected);
    http__json_member_text(json, "role", member_status->role);
    http__json_member_text(json, "vote", member_status->vote);
    identity_member(json, "incarnation", member_status->incarnation);
    http__json_key(json, "match_index");
    if (member_status->match_known) {
        http__json_u64(json, member_status->match_index);
    } else {
        http__json_null(json);
    }
    http__json_member_text(json, "http", member_status->http_address);
    http__json_member_text(json, "peer", member_status->peer_address);
    http__json_member_text(json, "version", member_status->version);
    http__json_member_text(json, "problem", member_status->problem);
    http__json_object_end(json);
}

/* A round answers nothing below an entry of the leader's own term, so no index is 0. */
static void write_round(struct http_json *json, const struct node_group_status *group)
{
    http__json_key(json, "read_round");
    if (group->round_index == 0) {
        http__json_null(json);
        return;
    }
    http__json_object_begin(json);
    http__json_member_u64(json, "index", group->round_index);
    http__json_member_u64(json, "reads", group->round_reads);
    http__json_member_u64(json, "acks", group->round_acks);
    http__json_member_u64(json, "voters", group->round_voters);
    http__json_object_end(json);
}

static void write_group(struct http_json *json, const struct node_group_status *group)
{
    http__json_object_begin(json);
    http__json_member_u64(json, "group", group->group);
    http__json_member_text(json, "topic", group->topic);
    http__json_member_u64(json, "partition", group->partition);
    http__json_member_text(json, "role", group->role);
    http__json_key(json, "leader");
    http__json_id(json, group->leader);
    http__json_member_u64(json, "term", group->term);
    http__json_member_u64(json, "last_index", group->last_index);
    http__json_member_u64(json, "durable_index", group->durable_index);
    http__json_member_u64(json, "commit_index", group->commit_index);
    http__json_member_u64(json, "applied_index", group->applied_index);
    http__json_member_u64(json, "first_offset", group->first_offset);
    http__json_member_u64(json, "next_offset", group->next_offset);
    http__json_member_u64(json, "reads_confirmed", group->reads_confirmed);
    http__json_member_u64(json, "reads_skipped", group->reads_skipped);
    http__json_member_u64(json, "reads_local", group->reads_local);
    http__json_member_u64(json, "reads_waiting", group->reads_waiting);
    http__json_member_u64(json, "read_requests", group->read_requests);
    write_round(json, group);
    if (group->chain_at_commit) identity_member(json, "chain_at_commit", group->chain_at_commit);
    http__json_member_text(json, "problem", group->problem);
    http__json_object_end(json);
}

static void write_groups(struct http_exchange *exchange, struct http_json *json)
{
    struct node_group_status *groups = calloc(GROUPS_MAX, sizeof *groups);
    if (!groups) return;
    uint32_t count = node_groups_status(http__exchange_server(exchange)->node, groups, GROUPS_MAX);
    http__json_key(json, "groups");
    http__json_array_begin(json);
    for (uint32_t i = 0; i < count && i < GROUPS_MAX; i++)
        write_group(json, &groups[i]);
    http__json_array_end(json);
    free(groups);
}

static void write_cluster(struct http_json *json, const struct node_cluster_status *status)
{
    static const struct cluster_id none;
    bool founded = memcmp(&status->cluster, &none, sizeof none) != 0;
    if (founded) {
        hex_member(json, "cluster_id", status->cluster.bytes, sizeof status->cluster.bytes);
    } else {
        http__json_member_text(json, "cluster_id", "");
    }
    http__json_member_text(json, "state", status->state);
    http__json_member_text(json, "problem", status->problem);
    http__json_member_text(json, "warning", status->warning);
    http__json_member_u64(json, "damaged_ranges", status->damaged_ranges);
    http__json_member_u64(json, "unrepaired_ranges", status->unrepaired_ranges);
    http__json_member_text(json, "damage", status->damage);
    http__json_member_u64(json, "node", status->node_id);
    identity_member(json, "incarnation", status->incarnation);
    http__json_key(json, "leader");
    http__json_id(json, status->leader);
    http__json_member_u64(json, "term", status->term);
    http__json_member_u64(json, "commit_index", status->commit_index);
    http__json_member_u64(json, "applied_index", status->applied_index);
    http__json_member_u64(json, "topics", status->topics_count);
    http__json_member_u64(json, "groups_hosted", status->groups_count);
    http__json_member_u64(json, "groups_led", status->groups_led);
    http__json_member_u64(json, "data_bytes", status->data_bytes);
    http__json_member_u64(json, "uptime_ms", status->uptime_ms);
    http__json_key(json, "nodes");
    http__json_array_begin(json);
    for (uint32_t i = 0; i < status->members_count; i++) {
        write_member(json, &status->members[i]);
    }
    http__json_array_end(json);
}

void http__status_cluster(struct http_exchange *exchange)
{
    bool with_groups = false;
    if (!http__exchange_parameter_bool(exchange, "groups", &with_groups)) return;
    struct node_cluster_status *status = calloc(1, sizeof *status);
    if (!status) {
        out_of_memory(exchange);
        return;
    }
    node_cluster_status(http__exchange_server(exchange)->node, status);
    exchange->leader = status->leader;
    exchange->term = status->term;
    struct http_json json = http__reply_json(exchange, 200);
    http__json_object_begin(&json);
    write_cluster(&json, status);
    free(status);
    if (with_groups) write_groups(exchange, &json);
    http__json_object_end(&json);
    http__reply_finish(exchange);
}

/* ---- health ----------------------------------------------------------------------------------------------- */

void http__status_livez(struct http_exchange *exchange)
{
    http__reply_text(exchange, 200, "ok\n");
}

void http__status_readyz(struct http_exchange *exchange)
{
    struct http_server *server = http__exchange_server(exchange);
    char *why = calloc(1, WHY_BYTES);
    if (!why) {
        out_of_memory(exchange);
        return;
    }
    bool ready = node_is_ready(server->node, why, WHY_BYTES) && !server->stopping;
    bool verbose = http__head_parameter(&exchange->head, "verbose") != NULL;
    why[WHY_BYTES - 1] = '\0';
    if (!ready) exchange->retry_after_ms = 1000;
    if (verbose && *why) {
        http__buffer_text(&exchange->body_out, why);
        if (why[strlen(why) - 1] != '\n') http__buffer_append(&exchange->body_out, "\n", 1);
    }
    free(why);
    http__reply_text(exchange, ready ? 200 : 503, ready ? "ok\n" : "not ready\n");
}

/* ---- metrics and version ---------------------------------------------------------------------------------- */

void http__status_metrics(struct http_exchange *exchange)
{
    struct http_server *server = http__exchange_server(exchange);
    size_t bytes = 0;
    char *text = node_metrics_text(server->node, &bytes);
    if (text) http__buffer_append(&exchange->body_out, text, bytes);
    if (text && bytes > 0 && text[bytes - 1] != '\n') {
        http__buffer_append(&exchange->body_out, "\n", 1);
    }
    free(text);
    http__metrics_text(server, &exchange->body_out);
    exchange->status = 200;
    exchange->content_type = "text/plain; version=0.0.4; charset=utf-8";
    http__reply_finish(exchange);
}

void http__status_version(struct http_exchange *exchange)
{
    struct http_json json = http__reply_json(exchange, 200);
    http__json_object_begin(&json);
    http__json_member_string(&json, "name", "raftmq");
    http__json_member_string(&json, "version", http__exchange_server(exchange)->version);
    http__json_object_end(&json);
    http__reply_finish(exchange);
}
