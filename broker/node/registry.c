/* What the leader of meta writes down of its own accord: the nodes, as they told in their handshakes, and blocks of producer
 * ids. Its commands are requests that it owns itself; they end with its leadership, and the next leader does them anew. */
#include "registry.h"

#include "group.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "placement.h"
#include "produce.h"
#include "request.h"

#include <broker/raft_codec.h>
#include <planted/planted.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGISTER_EVERY_US 250000u
#define FOUNDER_WAIT_US   5000000u

void registry__propose(struct node *node, const struct meta_command *command, uint64_t group_id,
                       void (*done)(struct node_request *request))
{
    struct node_request *request = calloc(1, sizeof(*request));
    if (!request) abort();
    request->type = NODE_REQUEST_PRODUCER_INIT; /* any type that the leader of meta serves */
    request->done = done;
    request->data = node;
    struct request_state *state = request_state(request);
    state->node = node;
    state->group_id = group_id;
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
    if (request->status == NODE_OK) node->registered_us = 0; /* the next one at once */
    free(request);
}

/* An address that nobody told leaves the known one. */
static bool is_same_address(const char *known, const char *told)
{
    return told[0] == '\0' || strcmp(known, told) == 0;
}

static bool is_known(const struct node *node, const struct meta_node *wanted)
{
    struct meta_node known;
    return meta_node_get(&node->meta, wanted->node_id, &known) &&
           known.incarnation == wanted->incarnation &&
           strcmp(known.http_address, wanted->http_address) == 0 &&
           strcmp(known.kafka_address, wanted->kafka_address) == 0 &&
           is_same_address(known.peer_address, wanted->peer_address);
}

bool registry__can_be_set(const struct meta_node *wanted)
{
    struct meta_command *command = calloc(1, sizeof(*command));
    if (!command) abort();
    command->type = META_NODE_SET;
    command->node = *wanted;
    const bool can = meta_command_encode(command, NULL, 0) > 0;
    free(command);
    return can;
}

bool registry__set_node(struct node *node, const struct meta_node *wanted, uint64_t replaces,
                        bool founder)
{
    if (node->registering) return false;
    struct meta_command *command = calloc(1, sizeof(*command));
    if (!command) abort();
    command->type = META_NODE_SET;
    command->request = node__random_number(node);
    command->node = *wanted;
    command->replaces = replaces;
    command->founder = founder;
    node->registering = true;
    registry__propose(node, command, 0, registered);
    free(command);
    return true;
}

/* As that incarnation told in its handshake. False: it is not connected as a member. */
static bool told_addresses(struct node *node, struct meta_node *wanted)
{
    const bool self = wanted->node_id == node->identity.node_id;
    const struct peer_hello *hello = self ? NULL : peer_hello_of(node->hub, wanted->node_id);
    if (self && wanted->incarnation != node->identity.incarnation) return false;
    if (!self && (!placement__is_reached(node, wanted->node_id) || !hello ||
                  hello->incarnation != wanted->incarnation)) {
        return false;
    }
    snprintf(wanted->http_address, sizeof(wanted->http_address), "%s",
             self ? node->options.advertise_http : hello->http_address);
    snprintf(wanted->kafka_address, sizeof(wanted->kafka_address), "%s",
             self ? node->options.advertise_kafka : hello->kafka_address);
    snprintf(wanted->peer_address, sizeof(wanted->peer_address), "%s",
             self ? node->options.advertise_peer : hello->peer_address);
    return true;
}

static const char *configured_address(const struct node *node, uint64_t node_id)
{
    for (uint32_t i = 0; i < node->options.peers_count; i++) {
        if (node->options.peers[i].node_id == node_id) return node->options.peers[i].address;
    }
    return "";
}

/* A founder that never came is registered without being heard, after a while: else nobody could replace it. */
static bool is_overdue(const struct node *node, struct meta_node *wanted)
{
    if (io_now_us(node->io) - node->led_meta_us < FOUNDER_WAIT_US) return false;
    snprintf(wanted->peer_address, sizeof(wanted->peer_address), "%s",
             configured_address(node, wanted->node_id));
    return true;
}

static bool is_founding_member(const struct node *node, uint64_t node_id)
{
    const struct raft_configuration *configuration = raft_configuration_of(node->meta_group->raft);
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_replica_id *id = &configuration->members[i].id;
        if (id->node == node_id && id->epoch == 0) return true;
    }
    return false;
}

static void register_founders(struct node *node)
{
    for (uint32_t i = 0; i < node->founding.nodes_count && !node->registering; i++) {
        struct meta_node wanted = {.node_id = node->founding.nodes[i].node_id,
                                   .incarnation = node->founding.nodes[i].incarnation,
                                   .voter = i < META_VOTERS_MAX || PLANTED(M9_ALL_VOTE_IN_META)};
        struct meta_node known;
        if (meta_node_get(&node->meta, wanted.node_id, &known)) continue;
        /* One that was removed is in the founding still. */
        if (!is_founding_member(node, wanted.node_id)) continue;
        if (!told_addresses(node, &wanted) && !is_overdue(node, &wanted)) continue;
        (void)registry__set_node(node, &wanted, 0, /* founder= */ true);
    }
}

/* Only addresses: a new incarnation comes in by asking (join.c). */
static void register_addresses(struct node *node)
{
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t count = meta_nodes(&node->meta, nodes, META_NODES_MAX);
    for (uint32_t i = 0; i < count && !node->registering; i++) {
        struct meta_node wanted = {.node_id = nodes[i].node_id,
                                   .incarnation = nodes[i].incarnation};
        if (wanted.incarnation == 0 || !told_addresses(node, &wanted)) continue;
        if (!is_known(node, &wanted))
            (void)registry__set_node(node, &wanted, 0, /* founder= */ false);
    }
}

/* A founder that votes and is not registered yet has a vote that meta does not count. */
static bool are_members_known(const struct node *node, const struct raft_configuration *members)
{
    struct meta_node known;
    for (uint32_t i = 0; i < members->members_count; i++) {
        if (!meta_node_get(&node->meta, members->members[i].id.node, &known)) return false;
    }
    return true;
}

/* Whoever has the log can vote at once, so no other change of group 0 waits for it. */
static bool can_vote(struct node *node, const struct raft_view *view, const struct meta_node *known)
{
    if (!placement__is_reached(node, known->node_id)) return false;
    for (uint32_t i = 0; i < view->members_count; i++) {
        const struct raft_progress_view *member = &view->members[i];
        if (member->id.node != known->node_id) continue;
        return member->caught_up && member->id.epoch >= meta_node_epoch_min(known);
    }
    return false;
}

/* M9: when a voter of group 0 was removed and no other node was there, its vote went to nobody. The first that can take it
 * gets it: whether it is to vote is settled in apply(). */
static void give_vote(struct node *node)
{
    const struct group *meta = node->meta_group;
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t count = meta_nodes(&node->meta, nodes, META_NODES_MAX);
    const struct meta_node *taker = NULL;
    struct raft_view view;
    uint32_t voters = 0;
    raft_view(meta->raft, io_now_ms(node->io), &view);
    for (uint32_t i = 0; i < count; i++) {
        if (nodes[i].leaving) continue;
        if (nodes[i].voter) {
            voters++;
        } else if (!taker && nodes[i].incarnation != 0 && can_vote(node, &view, &nodes[i])) {
            taker = &nodes[i];
        }
    }
    if (!taker || voters >= META_VOTERS_MAX || PLANTED(M9_VOTE_IN_META_STAYS_LOST)) return;
    if (!are_members_known(node, raft_configuration_of(meta->raft))) return;
    struct meta_node wanted = {
        .node_id = taker->node_id, .incarnation = taker->incarnation, .voter = true};
    if (!told_addresses(node, &wanted) || !registry__set_node(node, &wanted, 0, false)) return;
    node__log(node, "info",
              "event=\"node gets a vote in the meta group\" node=%" PRIu64 " voters=%u",
              wanted.node_id, voters + 1u);
}

void registry__register_nodes(struct node *node)
{
    const struct group *meta = node->meta_group;
    const uint64_t now_us = io_now_us(node->io);
    if (!meta || meta->role != RAFT_LEADER || !meta->own_noop_applied) {
        node->led_meta_us = now_us;
        return;
    }
    if (node->state != NODE_RUNNING || node->disk_full || node->registering) return;
    if (node->registered_us && now_us - node->registered_us < REGISTER_EVERY_US) return;
    node->registered_us = now_us;
    register_founders(node);
    register_addresses(node);
    if (!node->registering) give_vote(node);
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
    registry__propose(node, command, 0, block_ended);
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
