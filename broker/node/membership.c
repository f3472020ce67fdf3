/* Requests that change who is in the cluster, on the leader of meta: checked, proposed, answered when applied.
 *
 * What a command would do is found out by applying it to a copy of the state, which costs nothing: the state is a
 * copy-on-write tree. So the refusal of what would lose a quorum judges exactly the wishes that the entry would make. */
#include "membership.h"

#include "barrier.h"
#include "group.h"
#include "internal.h"
#include "placement.h"
#include "produce.h"
#include "request.h"

#include <planted/planted.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what would come of it -------------------------------------------------------------------------------------------------- */

/* The state as it would be; meta_close() it. */
static struct meta_result foresee(struct node *node, const struct meta_command *command,
                                  struct meta_state *ret_after)
{
    uint8_t payload[4096];
    const size_t bytes = meta_command_encode(command, payload, sizeof(payload));
    assert(bytes > 0 && bytes <= sizeof(payload));
    *ret_after = node->meta;
    ret_after->state = tree_ref(node->meta.state);
    const struct entry_header header = {.type = ENTRY_META,
                                        .payload_bytes = (uint32_t)bytes,
                                        .index = node->meta.applied_index + 1u,
                                        .timestamp_ms = node->meta.applied_timestamp_ms};
    struct meta_result result;
    const bool applied = meta_apply(ret_after, &header, payload, &result);
    assert(applied);
    (void)applied;
    return result;
}

struct quorum {
    struct node *node;
    const struct meta_state *after;
    char why[NODE_STATUS_TEXT_BYTES]; /* empty: no quorum would be lost */
};

struct count {
    uint32_t voters, good;
    char missing[64];
    uint64_t first_missing; /* 0: none */
};

static void count_voter(struct count *count, uint64_t node_id, bool is_good)
{
    count->voters++;
    if (is_good) {
        count->good++;
        return;
    }
    if (count->first_missing == 0) count->first_missing = node_id;
    const size_t used = strlen(count->missing);
    snprintf(count->missing + used, sizeof(count->missing) - used, "%sn%" PRIu64, used ? ", " : "",
             node_id);
}

static bool has_majority(const struct count *count)
{
    return count->good * 2u > count->voters;
}

static bool is_replica(const struct meta_replica *replicas, uint32_t count, uint64_t node_id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (replicas[i].node_id == node_id) return true;
    }
    return false;
}

/* Those that are to vote, and do already or may, must be reached; new ones get the log first and are waited for. */
static bool check_partition(void *data, const char *name, const struct meta_partition *partition)
{
    struct quorum *quorum = data;
    struct node *node = quorum->node;
    if (partition->wish_index <= node->meta.applied_index) return true; /* it stays as it is */
    struct meta_partition before;
    if (!meta_group_find(&node->meta, partition->group, NULL, &before, NULL)) return true;
    struct count now = {0};
    struct count then = {0};
    for (uint32_t i = 0; i < before.replicas_count; i++) {
        const uint64_t id = before.replicas[i].node_id;
        count_voter(&now, id, placement__is_reached(node, id));
    }
    for (uint32_t i = 0; i < partition->replicas_count; i++) {
        const uint64_t id = partition->replicas[i].node_id;
        const bool is_new = !is_replica(before.replicas, before.replicas_count, id) &&
                            !is_replica(before.lingering, before.lingering_count, id);
        count_voter(&then, id, is_new || placement__is_reached(node, id));
    }
    if (!has_majority(&now)) {
        snprintf(quorum->why, sizeof(quorum->why),
                 "%.64s/%u reaches %u of %u replicas and needs a majority to change; start %s",
                 name, partition->number, now.good, now.voters, now.missing);
    } else if (!has_majority(&then)) {
        snprintf(
            quorum->why, sizeof(quorum->why),
            "%.64s/%u would have %u replicas of which %u %s reached; start %s first, or replace "
            "n%" PRIu64 " first: raftmq cluster replace n%" PRIu64 " NEW=HOST:PORT",
            name, partition->number, then.voters, then.good, then.good == 1 ? "is" : "are",
            then.missing, then.first_missing, then.first_missing);
    }
    return quorum->why[0] == '\0';
}

static bool votes_now(const struct node *node, uint64_t node_id)
{
    const struct raft_configuration *configuration = raft_configuration_of(node->meta_group->raft);
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (configuration->members[i].id.node == node_id) return configuration->members[i].voter;
    }
    return false;
}

static void check_meta(struct quorum *quorum)
{
    struct node *node = quorum->node;
    const struct raft_configuration *configuration = raft_configuration_of(node->meta_group->raft);
    struct meta_node known;
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t nodes_count = meta_nodes(quorum->after, nodes, META_NODES_MAX);
    struct count then = {0};
    for (uint32_t i = 0; i < nodes_count; i++) {
        if (!nodes[i].voter || nodes[i].leaving) continue;
        const uint64_t id = nodes[i].node_id;
        count_voter(&then, id, !votes_now(node, id) || placement__is_reached(node, id));
    }
    for (uint32_t i = 0; i < configuration->members_count; i++) { /* founders, not registered yet */
        const struct raft_member *member = &configuration->members[i];
        if (!member->voter || meta_node_get(quorum->after, member->id.node, &known)) continue;
        count_voter(&then, member->id.node, placement__is_reached(node, member->id.node));
    }
    if (has_majority(&then)) return;
    const int used = snprintf(quorum->why, sizeof(quorum->why),
                              "the meta group would have %u voters of which %u %s reached; start "
                              "%s first",
                              then.voters, then.good, then.good == 1 ? "is" : "are",
                              then.missing[0] ? then.missing : "another node");
    assert(used > 0 && (size_t)used < sizeof(quorum->why));
    if (then.first_missing == 0) return;
    snprintf(quorum->why + used, sizeof(quorum->why) - (size_t)used,
             ", or replace n%" PRIu64 " first: raftmq cluster replace n%" PRIu64 " NEW=HOST:PORT",
             then.first_missing, then.first_missing);
}

static bool keeps_quorums(struct node *node, const struct meta_state *after, struct quorum *quorum)
{
    *quorum = (struct quorum){.node = node, .after = after};
    meta_partitions_visit(after, check_partition, quorum);
    if (!quorum->why[0]) check_meta(quorum);
    return quorum->why[0] == '\0' || PLANTED(M9_CHANGE_MAY_LOSE_THE_QUORUM);
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------ */

/* The first that the request names and meta does not know. */
static uint64_t unknown_node(struct node_request *request)
{
    struct node *node = request_state(request)->node;
    struct meta_node known;
    for (uint32_t i = 0; i < request->place.nodes_count; i++) {
        if (!meta_node_get(&node->meta, request->place.nodes[i], &known)) {
            return request->place.nodes[i];
        }
    }
    const bool knows_id = meta_node_get(&node->meta, request->node.id, &known);
    return knows_id && request->node.with ? request->node.with : request->node.id;
}

/* Partitions that would be left with fewer replicas than are wanted when a node goes. */
struct shrinking {
    const struct node *node;
    uint64_t leaving;
    uint32_t spares;
    uint32_t partitions;
    char topic[META_TOPIC_NAME_BYTES_MAX + 1]; /* of the first */
    uint32_t left, wanted;
    bool is_last; /* of some nothing would be left */
};

static bool count_shrinking(void *data, const char *name, const struct meta_partition *partition)
{
    struct shrinking *shrinking = data;
    const uint32_t count = partition->replicas_count;
    if (!is_replica(partition->replicas, count, shrinking->leaving)) return true;
    if (count <= shrinking->spares) return true; /* one of them has no replica of it yet */
    if (count == 1) shrinking->is_last = true;
    if (shrinking->partitions++ > 0) return true;
    snprintf(shrinking->topic, sizeof(shrinking->topic), "%s", name);
    shrinking->left = count - 1u;
    shrinking->wanted = partition->replicas_wanted;
    return true;
}

static bool refuse_to_shrink(struct node_request *request)
{
    struct node *node = request_state(request)->node;
    uint64_t spares[RAFT_MEMBERS_MAX];
    const bool is_replace = request->type == NODE_REQUEST_NODE_REPLACE;
    if (request->node.shrinks || (!is_replace && request->type != NODE_REQUEST_NODE_REMOVE)) {
        return false;
    }
    struct shrinking shrinking = {.node = node, .leaving = request->node.id};
    shrinking.spares = placement__spares(node, request->node.id, spares);
    meta_partitions_visit(&node->meta, count_shrinking, &shrinking);
    if (shrinking.partitions == 0 || shrinking.is_last) return false;
    if (is_replace) {
        request__finish(request, NODE_NOT_ENOUGH_NODES,
                        "n%" PRIu64 " and the others hold what n%" PRIu64
                        " holds already (%.64s would keep %u of %u); name a new node, or `raftmq "
                        "cluster remove n%" PRIu64 " --shrink`",
                        request->node.with, request->node.id, shrinking.topic, shrinking.left,
                        shrinking.wanted, request->node.id);
        return true;
    }
    request__finish(request, NODE_NOT_ENOUGH_NODES,
                    "nobody can take %u replica%s of n%" PRIu64
                    " (%.64s would keep %u of %u); add a node first, or `raftmq cluster remove "
                    "n%" PRIu64 " --shrink`",
                    shrinking.partitions, shrinking.partitions == 1 ? "" : "s", request->node.id,
                    shrinking.topic, shrinking.left, shrinking.wanted, request->node.id);
    return true;
}

static void refuse_address(struct node_request *request)
{
    struct meta_node known = {0};
    const uint64_t id = request->node.id;
    (void)meta_node_get(&request_state(request)->node->meta, id, &known);
    request__finish(request, NODE_NODE_EXISTS,
                    "n%" PRIu64 " is a member already, at %.100s; to move it, restart it with "
                    "--advertise-peer HOST:PORT",
                    id, known.peer_address);
}

static void refuse(struct node_request *request, enum meta_result_status status)
{
    const uint64_t id = request->node.id;
    switch (status) {
    case META_UNKNOWN_NODE:
        request__finish(request, NODE_UNKNOWN_NODE,
                        "n%" PRIu64 " is no member, see `raftmq cluster status`; a new node is "
                        "admitted with `raftmq cluster add`",
                        unknown_node(request));
        return;
    case META_NODE_EXISTS:
        refuse_address(request);
        return;
    case META_NODE_LEAVING:
        request__finish(request, NODE_CHANGE_RUNNING, "the node is leaving the cluster");
        return;
    case META_TOO_MANY_NODES:
        request__finish(request, NODE_TOO_MANY_NODES, "at most %u nodes; remove one first",
                        META_NODES_MAX);
        return;
    case META_NOT_ENOUGH_NODES:
        if (refuse_to_shrink(request)) return;
        request__finish(request, NODE_NOT_ENOUGH_NODES,
                        "n%" PRIu64
                        " is the last one that holds some partition, and no other node is there "
                        "to take it; add one first",
                        id);
        return;
    case META_CHANGE_RUNNING:
        request__finish(request, NODE_CHANGE_RUNNING,
                        "n%" PRIu64 " is leaving already, in another way; see `raftmq cluster "
                        "status`",
                        id);
        return;
    case META_PARTITION_NOT_FOUND:
        request__finish(request, NODE_PARTITION_NOT_FOUND, NULL);
        return;
    case META_OK:
    case META_STALE:
    case META_TOPIC_EXISTS:
    case META_TOPIC_NOT_FOUND:
    case META_TOO_MANY_TOPICS:
        request__finish(request, NODE_OK, NULL);
        return;
    }
}

void membership__applied(struct node_request *request, const struct meta_result *result)
{
    request->ret_created = result->changed;
    if (request_state(request)->internal) {
        request__finish(request, NODE_OK, NULL);
    } else {
        refuse(request, result->status);
    }
}

/* ---- proposing ----------------------------------------------------------------------------------------------------------------- */

/* That it would shrink a topic is told only where that is all that stands against it. */
static bool risks_quorum_when_shrunk(struct node *node, const struct meta_command *command,
                                     struct quorum *quorum)
{
    if (command->type != META_NODE_REMOVE || command->change.shrinks) return false;
    struct meta_command *agreed = malloc(sizeof(*agreed));
    if (!agreed) abort();
    *agreed = *command;
    agreed->change.shrinks = true;
    struct meta_state after;
    const struct meta_result result = foresee(node, agreed, &after);
    const bool risks =
        result.status == META_OK && result.changed && !keeps_quorums(node, &after, quorum);
    meta_close(&after);
    free(agreed);
    return risks;
}

static void propose(struct node_request *request, const struct meta_command *command)
{
    struct node *node = request_state(request)->node;
    if (meta_command_encode(command, NULL, 0) == 0) {
        request__finish(request, NODE_INVALID_ARGUMENT,
                        "node ids begin at 1, no node twice, an address is host:port");
        return;
    }
    struct meta_state after;
    struct quorum quorum;
    const struct meta_result result = foresee(node, command, &after);
    if (result.status == META_NOT_ENOUGH_NODES &&
        risks_quorum_when_shrunk(node, command, &quorum)) {
        request__finish(request, NODE_QUORUM_AT_RISK, "%s", quorum.why);
    } else if (result.status != META_OK || !result.changed) {
        /* "No" and "it is so already" are answers: not from an old state. */
        if (barrier__is_passed(request, node->meta_group)) refuse(request, result.status);
    } else if (command->type != META_NODE_ADD && !keeps_quorums(node, &after, &quorum)) {
        request__finish(request, NODE_QUORUM_AT_RISK, "%s", quorum.why);
    } else {
        produce__meta_command(request, command);
    }
    meta_close(&after);
}

static bool has_room_for_a_node(struct node *node)
{
    struct meta_node known;
    const struct raft_configuration *configuration = raft_configuration_of(node->meta_group->raft);
    struct meta_node nodes[META_NODES_MAX];
    uint32_t count = meta_nodes(&node->meta, nodes, META_NODES_MAX);
    for (uint32_t i = 0; i < configuration->members_count; i++) { /* founders that never came */
        if (!meta_node_get(&node->meta, configuration->members[i].id.node, &known)) count++;
    }
    return count < META_NODES_MAX;
}

/* Who is up at that address; 0: nobody. The place of a dead node may be taken on its own machine. */
static uint64_t occupant(struct node *node, const char *peer_address, uint64_t newcomer)
{
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t count = meta_nodes(&node->meta, nodes, META_NODES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t id = nodes[i].node_id;
        const bool is_same = strcmp(nodes[i].peer_address, peer_address) == 0;
        if (is_same && id != newcomer && placement__is_reached(node, id)) return id;
    }
    return 0;
}

static bool fill_change(struct node_request *request, struct meta_command *command)
{
    struct node *node = request_state(request)->node;
    command->change.node_id = request->node.id;
    if (request->type == NODE_REQUEST_NODE_ADD) {
        const char *address = request->node.peer_address ? request->node.peer_address : "";
        struct meta_node known;
        command->type = META_NODE_ADD;
        snprintf(command->change.peer_address, sizeof(command->change.peer_address), "%s", address);
        const uint64_t other = occupant(node, address, request->node.id);
        if (other) {
            request__finish(request, NODE_NODE_EXISTS, "%s is the address of n%" PRIu64, address,
                            other);
            return false;
        }
        if (meta_node_get(&node->meta, request->node.id, &known) || has_room_for_a_node(node)) {
            return true;
        }
        refuse(request, META_TOO_MANY_NODES);
        return false;
    }
    const bool is_replace = request->type == NODE_REQUEST_NODE_REPLACE;
    command->type = is_replace ? META_NODE_REPLACE : META_NODE_REMOVE;
    command->change.with = is_replace ? request->node.with : 0;
    command->change.shrinks = !is_replace && request->node.shrinks;
    command->change.spares_count =
        placement__spares(node, request->node.id, command->change.spares);
    return true;
}

static bool fill_place(struct node_request *request, struct meta_command *command)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    struct meta_partition partition;
    uint32_t partitions_count = 0;
    command->type = META_PLACE;
    if (request->topic && meta_partition_get(&node->meta, request->topic, request->partition,
                                             &partition, NULL, &partitions_count)) {
        command->place.group = partition.group;
        command->place.nodes_count = request->place.nodes_count;
        memcpy(command->place.nodes, request->place.nodes, sizeof(command->place.nodes));
        return true;
    }
    if (barrier__is_passed(request, node->meta_group)) {
        request__finish(request, partitions_count ? NODE_PARTITION_NOT_FOUND : NODE_TOPIC_NOT_FOUND,
                        NULL);
    }
    return false;
}

/* Founders are members from the founding on, and written down by the leader of meta within a moment (registry.c). Before
 * that, it cannot be judged who is unknown and who is the last. */
static bool lacks_founders(const struct node *node)
{
    const struct raft_configuration *configuration = raft_configuration_of(node->meta_group->raft);
    struct meta_node known;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (!meta_node_get(&node->meta, configuration->members[i].id.node, &known)) return true;
    }
    return false;
}

void membership__start(struct node_request *request)
{
    struct node *node = request_state(request)->node;
    if (lacks_founders(node)) {
        request__park(request, node->meta_group);
        return;
    }
    if (request->type != NODE_REQUEST_NODE_REMOVE &&
        request__refuse_full(request, node->meta_group)) {
        return;
    }
    struct meta_command *command = calloc(1, sizeof(*command));
    if (!command) abort();
    command->request = node__random_number(node);
    const bool is_filled = request->type == NODE_REQUEST_PLACE ? fill_place(request, command)
                                                               : fill_change(request, command);
    if (is_filled) propose(request, command);
    free(command);
}
