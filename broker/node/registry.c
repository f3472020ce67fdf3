/* What the leader of meta writes down of its own accord: the nodes, as they told in their handshakes, and blocks of producer
 * ids. Its commands are requests that it owns itself; they end with its leadership, and the next leader does them anew. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGISTER_EVERY_US 250000u

static void propose(struct node *node, const struct meta_command *command,
                    void (*done)(struct node_request *request))
{
    struct node_request *request = calloc(1, sizeof(*request));
    if (!request) abort();
    request->type = NODE_REQUEST_PRODUCER_INIT; /* any type that the leader of meta serves */
    request->done = done;
    request->data = node;
    struct request_state *state = request_state(request);
    state->node = node;
    state->internal = true;
    state->owned = true;
    state->deadline_us = io_now_us(node->io) + (uint64_t)NODE_REQUEST_TIMEOUT_MS * 1000u;
    list_push_back(&node->requests, &state->all);
    produce__meta_command(request, command);
}

/* ---- nodes ---------------------------------------------------------------------------------------------------------------- */

static void registered(struct node_request *request)
{
    struct node *node = request->data;
    node->registering = false;
    free(request);
}

static bool is_known(const struct node *node, const struct meta_node *wanted)
{
    struct meta_node known;
    return meta_node_get(&node->meta, wanted->node_id, &known) &&
           known.incarnation == wanted->incarnation &&
           strcmp(known.http_address, wanted->http_address) == 0 &&
           strcmp(known.peer_address, wanted->peer_address) == 0 &&
           strcmp(known.kafka_address, wanted->kafka_address) == 0;
}

static void register_node(struct node *node, const struct meta_node *wanted)
{
    if (is_known(node, wanted)) return;
    struct meta_command *command = calloc(1, sizeof(*command));
    if (!command) abort();
    command->type = META_NODE_SET;
    command->request = node__random_number(node);
    command->node = *wanted;
    command->founder = true;
    node->registering = true;
    propose(node, command, registered);
    free(command);
}

static const char *peer_address_of(const struct node *node, uint64_t node_id)
{
    for (uint32_t i = 0; i < node->options.peers_count; i++) {
        if (node->options.peers[i].node_id == node_id) return node->options.peers[i].address;
    }
    return "";
}

void registry__register_nodes(struct node *node)
{
    const struct group *meta = node->meta_group;
    if (!meta || meta->role != RAFT_LEADER || !meta->own_noop_applied || node->registering) return;
    if (node->state != NODE_RUNNING || node->disk_full) return;
    const uint64_t now_us = io_now_us(node->io);
    if (node->registered_us && now_us - node->registered_us < REGISTER_EVERY_US) return;
    node->registered_us = now_us;
    for (uint32_t i = 0; i < node->founding.nodes_count && !node->registering; i++) {
        struct meta_node wanted = {.node_id = node->founding.nodes[i].node_id,
                                   .incarnation = node->founding.nodes[i].incarnation,
                                   .voter = i < META_VOTERS_MAX};
        const bool self = wanted.node_id == node->identity.node_id;
        const struct peer_hello *hello = self ? NULL : peer_hello_of(node->hub, wanted.node_id);
        if (!self && (!hello || !node__peer_is_usable(node, wanted.node_id))) continue;
        snprintf(wanted.http_address, sizeof(wanted.http_address), "%s",
                 self ? node->options.advertise_http : hello->http_address);
        snprintf(wanted.kafka_address, sizeof(wanted.kafka_address), "%s",
                 self ? node->options.advertise_kafka : hello->kafka_address);
        snprintf(wanted.peer_address, sizeof(wanted.peer_address), "%s",
                 peer_address_of(node, wanted.node_id));
        register_node(node, &wanted);
    }
}

/* ---- producer ids ----------------------------------------------------------------------------------------------------------- */

static void block_ended(struct node_request *request)
{
    struct node *node = request->data;
    node->producer_taking = false;
    /* Else those who wait ask again at the next maintenance. */
    if (request->status == NODE_OK && node->meta_group) request__unpark(node, node->meta_group);
    free(request);
}

/* A block belongs to the leader that asked for it and still leads; nobody else ever hands out of it. */
void registry__block_taken(struct node *node, uint64_t first)
{
    if (node->meta_group->role != RAFT_LEADER) return;
    node->producer_next = (int64_t)first;
    node->producer_end = (int64_t)(first + META_PRODUCER_BLOCK);
}

static void take_block(struct node *node)
{
    if (node->producer_taking) return;
    node->producer_taking = true;
    struct meta_command *command = calloc(1, sizeof(*command));
    if (!command) abort();
    command->type = META_PRODUCER_BLOCK_TAKE;
    command->request = node__random_number(node);
    propose(node, command, block_ended);
    free(command);
}

void registry__producer_init(struct node_request *request)
{
    struct node *node = request_state(request)->node;
    if (node->producer_next >= node->producer_end) {
        request__park(request, node->meta_group);
        take_block(node);
        return;
    }
    request->ret_producer_id = node->producer_next++;
    request->ret_producer_epoch = 0;
    request->ret_leader = node->identity.node_id;
    request__finish(request, NODE_OK, NULL);
}
