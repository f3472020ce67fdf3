/* /v1/cluster/...: nodes come, go and replace each other; leadership is handed over; what is not finished. */
#include "document.h"
#include "routes.h"
#include "text.h"

#include <inttypes.h>

#define NODE_ID_MAX 65535u

static void refuse_document(struct http_exchange *exchange, struct http_document *document)
{
    http__reply_problem(exchange, HTTP_INVALID_JSON, "%s", document->problem);
    http__document_close(document);
}

static bool take_node_id(struct http_exchange *exchange, const char *text, uint64_t *ret_id)
{
    if (http__text_u64(text, strlen(text), ret_id) && *ret_id > 0 && *ret_id <= NODE_ID_MAX) {
        return true;
    }
    http__reply_problem(exchange, HTTP_INVALID_ARGUMENT, "a node id is a number from 1 to %u",
                        NODE_ID_MAX);
    return false;
}

/* ---- leadership ------------------------------------------------------------------------------------------- */

static void transfer_done(struct http_exchange *exchange)
{
    const struct node_request *node = &exchange->node;
    if (http__reply_failed(exchange)) return;
    struct http_json json = http__reply_json(exchange, 200);
    http__json_object_begin(&json);
    if (node->transfer.from) {
        http__json_member_u64(&json, "from", node->transfer.from);
        http__json_member_u64(&json, "groups", node->ret_count);
    } else {
        http__json_key(&json, "topic");
        if (node->transfer.meta) {
            http__json_null(&json);
        } else {
            http__json_string(&json, node->topic);
        }
        http__json_member_u64(&json, "partition", node->partition);
        http__json_member_u64(&json, "leader", node->ret_leader);
        http__json_member_u64(&json, "term", node->ret_term);
    }
    http__json_object_end(&json);
    http__reply_finish(exchange);
}

/* Exactly one of a topic, meta and from says what is handed over. */
static bool read_transfer(struct http_exchange *exchange, struct http_document *document)
{
    struct node_request *node = &exchange->node;
    uint64_t partition = 0;
    bool has_partition, has_from;
    if (!http__document_open(document, exchange->body.data, exchange->body.bytes)) return false;
    json_t *topic = http__document_take(document, "topic");
    json_t *meta = http__document_take(document, "meta");
    http__document_u64(document, "partition", 0, META_PARTITIONS_MAX - 1u, &partition,
                       &has_partition);
    http__document_u64(document, "from", 1, NODE_ID_MAX, &node->transfer.from, &has_from);
    http__document_u64(document, "to", 1, NODE_ID_MAX, &node->transfer.to, NULL);
    if (topic && !json_is_string(topic)) {
        http__document_problem(document, "\"topic\" must be a text");
    }
    if (meta && !json_is_true(meta)) http__document_problem(document, "\"meta\" must be true");
    if ((topic != NULL) + (meta != NULL) + has_from != 1) {
        http__document_problem(document, "give one of \"topic\", \"meta\" and \"from\"");
    }
    if (has_partition && !topic) {
        http__document_problem(document, "\"partition\" goes with \"topic\"");
    }
    if (has_from && node->transfer.to == node->transfer.from) {
        http__document_problem(document, "\"from\" and \"to\" are the same node");
    }
    node->transfer.meta = meta != NULL;
    node->partition = (uint32_t)partition;
    return http__document_finish(document);
}

void http__membership_transfer(struct http_exchange *exchange)
{
    struct http_document document;
    if (!read_transfer(exchange, &document)) {
        refuse_document(exchange, &document);
        return;
    }
    json_t *topic = json_object_get(document.root, "topic");
    if (topic) {
        const char *name = json_string_value(topic);
        if (!http__text_is_name(name, json_string_length(topic))) {
            http__document_close(&document);
            http__reply_problem(exchange, HTTP_INVALID_NAME, "that is no topic's name");
            return;
        }
        /* The document goes, the name must stay. */
        http__buffer_append(&exchange->scratch, name, strlen(name) + 1u);
        exchange->node.topic = (const char *)exchange->scratch.data;
    }
    http__document_close(&document);
    http__exchange_submit(exchange, NODE_REQUEST_TRANSFER, transfer_done);
}

/* ---- members ---------------------------------------------------------------------------------------------- */

static void member_done(struct http_exchange *exchange)
{
    const struct node_request *node = &exchange->node;
    if (http__reply_failed(exchange)) return;
    const bool adds = node->type == NODE_REQUEST_NODE_ADD;
    /* Decided, and worked on from now on: GET /v1/cluster/changes tells how far it is. */
    struct http_json json = http__reply_json(exchange, !adds ? 202 : node->ret_created ? 201 : 200);
    http__json_object_begin(&json);
    http__json_member_u64(&json, "node", node->node.id);
    if (adds) {
        http__json_member_string(&json, "peer", node->node.peer_address);
    }
    if (node->node.with) http__json_member_u64(&json, "with", node->node.with);
    http__json_object_end(&json);
    http__reply_finish(exchange);
}

static bool is_address(const char *text, size_t bytes)
{
    const char *colon = memrchr(text, ':', bytes);
    uint64_t port;
    if (!colon || colon == text || bytes >= META_ADDRESS_BYTES_MAX) return false;
    for (size_t i = 0; i < bytes; i++) {
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] > '~') return false;
    }
    return http__text_u64(colon + 1, bytes - (size_t)(colon + 1 - text), &port) && port > 0 &&
           port <= 65535;
}

void http__membership_add(struct http_exchange *exchange)
{
    struct http_document document;
    bool has_node = false;
    bool fine = http__document_open(&document, exchange->body.data, exchange->body.bytes);
    if (fine) {
        http__document_u64(&document, "node", 1, NODE_ID_MAX, &exchange->node.node.id, &has_node);
        json_t *peer = http__document_take(&document, "peer");
        if (!has_node) http__document_problem(&document, "\"node\" is missing");
        if (!peer || !json_is_string(peer) ||
            !is_address(json_string_value(peer), json_string_length(peer))) {
            http__document_problem(&document,
                                   "\"peer\" must be the host:port where other nodes reach it");
        }
        fine = http__document_finish(&document);
        if (fine) {
            http__buffer_append(&exchange->scratch, json_string_value(peer),
                                json_string_length(peer) + 1u);
            exchange->node.node.peer_address = (const char *)exchange->scratch.data;
        }
    }
    if (!fine) {
        refuse_document(exchange, &document);
        return;
    }
    http__document_close(&document);
    http__exchange_submit(exchange, NODE_REQUEST_NODE_ADD, member_done);
}

void http__membership_remove(struct http_exchange *exchange)
{
    if (!take_node_id(exchange, exchange->arguments[0], &exchange->node.node.id)) return;
    if (!http__exchange_parameter_bool(exchange, "shrink", &exchange->node.node.shrinks)) return;
    http__exchange_submit(exchange, NODE_REQUEST_NODE_REMOVE, member_done);
}

void http__membership_replace(struct http_exchange *exchange)
{
    struct http_document document;
    struct node_request *node = &exchange->node;
    bool has_with = false;
    if (!take_node_id(exchange, exchange->arguments[0], &node->node.id)) return;
    bool fine = http__document_open(&document, exchange->body.data, exchange->body.bytes);
    if (fine) {
        http__document_u64(&document, "with", 1, NODE_ID_MAX, &node->node.with, &has_with);
        if (!has_with) http__document_problem(&document, "\"with\" is missing");
        if (node->node.with == node->node.id) {
            http__document_problem(&document, "a node cannot take its own place");
        }
        fine = http__document_finish(&document);
    }
    if (!fine) {
        refuse_document(exchange, &document);
        return;
    }
    http__document_close(&document);
    http__exchange_submit(exchange, NODE_REQUEST_NODE_REPLACE, member_done);
}

/* ---- replicas of one partition ------------------------------------------------------------------------------ */

static void place_done(struct http_exchange *exchange)
{
    const struct node_request *node = &exchange->node;
    if (http__reply_failed(exchange)) return;
    struct http_json json = http__reply_json(exchange, 202);
    http__json_object_begin(&json);
    http__json_member_string(&json, "topic", node->topic);
    http__json_member_u64(&json, "partition", node->partition);
    http__json_key(&json, "nodes");
    http__json_array_begin(&json);
    for (uint32_t i = 0; i < node->place.nodes_count; i++) {
        http__json_u64(&json, node->place.nodes[i]);
    }
    http__json_array_end(&json);
    http__json_object_end(&json);
    http__reply_finish(exchange);
}

static bool read_nodes(struct http_exchange *exchange, struct http_document *document)
{
    struct node_request *node = &exchange->node;
    if (!http__document_open(document, exchange->body.data, exchange->body.bytes)) return false;
    const json_t *nodes = http__document_take(document, "nodes");
    const size_t count = json_array_size(nodes);
    if (count < 1 || count > META_REPLICAS_MAX) {
        http__document_problem(document, "\"nodes\" must be an array of 1 to %u nodes",
                               META_REPLICAS_MAX);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(nodes, i);
        const json_int_t id = json_integer_value(item); /* 0 for other kinds */
        if (id < 1 || id > (json_int_t)NODE_ID_MAX) {
            http__document_problem(document, "a node id is a number from 1 to %u", NODE_ID_MAX);
            return false;
        }
        for (uint32_t j = 0; j < node->place.nodes_count; j++) {
            if (node->place.nodes[j] != (uint64_t)id) continue;
            http__document_problem(document, "node %" PRId64 " is named twice", (int64_t)id);
            return false;
        }
        node->place.nodes[node->place.nodes_count++] = (uint64_t)id;
    }
    return http__document_finish(document);
}

void http__membership_place(struct http_exchange *exchange)
{
    struct http_document document;
    uint64_t partition;
    const char *text = exchange->arguments[1];
    if (!http__text_u64(text, strlen(text), &partition) || partition > UINT32_MAX) {
        http__reply_problem(exchange, HTTP_INVALID_ARGUMENT, "the partition is out of range");
        return;
    }
    if (!read_nodes(exchange, &document)) {
        refuse_document(exchange, &document);
        return;
    }
    http__document_close(&document);
    exchange->node.topic = exchange->arguments[0];
    exchange->node.partition = (uint32_t)partition;
    http__exchange_submit(exchange, NODE_REQUEST_PLACE, place_done);
}

/* ---- what is not finished ----------------------------------------------------------------------------------- */

static const char *role_name(enum node_change_role role)
{
    switch (role) {
    case NODE_CHANGE_VOTER:
        return "voter";
    case NODE_CHANGE_LEARNER:
        return "learner";
    case NODE_CHANGE_ABSENT:
        return "absent";
    }
    return "unknown";
}

static void write_member(struct http_json *json, const struct node_change_member *member)
{
    http__json_object_begin(json);
    http__json_member_u64(json, "node", member->node_id);
    http__json_member_u64(json, "epoch", member->epoch);
    http__json_member_string(json, "role", role_name(member->role));
    http__json_member_bool(json, "wished", member->wished);
    http__json_member_bool(json, "connected", member->connected);
    http__json_key(json, "match");
    if (member->match_known) {
        http__json_u64(json, member->match);
    } else {
        http__json_null(json);
    }
    http__json_object_end(json);
}

static void write_change(struct http_json *json, const struct node_change *change)
{
    http__json_object_begin(json);
    http__json_member_u64(json, "group", change->group);
    http__json_key(json, "topic");
    if (change->meta) {
        http__json_null(json);
    } else {
        http__json_string(json, change->topic);
    }
    http__json_member_u64(json, "partition", change->partition);
    http__json_member_string(json, "state", node_change_state_text(change->state));
    http__json_member_text(json, "blocked", change->blocked);
    http__json_key(json, "leader");
    http__json_id(json, change->leader);
    http__json_member_u64(json, "last_index", change->last_index);
    http__json_key(json, "members");
    http__json_array_begin(json);
    for (uint32_t i = 0; i < change->members_count && i < NODE_CHANGE_MEMBERS_MAX; i++) {
        write_member(json, &change->members[i]);
    }
    http__json_array_end(json);
    http__json_object_end(json);
}

static void changes_done(struct http_exchange *exchange)
{
    const struct node_request *node = &exchange->node;
    if (http__reply_failed(exchange)) return;
    struct http_json json = http__reply_json(exchange, 200);
    http__json_object_begin(&json);
    http__json_key(&json, "changes");
    http__json_array_begin(&json);
    for (uint32_t i = 0; i < node->ret_changes_count; i++) {
        write_change(&json, &node->ret_changes[i]);
    }
    http__json_array_end(&json);
    http__json_object_end(&json);
    http__reply_finish(exchange);
}

void http__membership_changes(struct http_exchange *exchange)
{
    http__exchange_submit(exchange, NODE_REQUEST_CHANGES, changes_done);
}
