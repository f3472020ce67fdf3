/* Topics: create and delete, and what applying a META entry does on this node (PROTOCOL M4, M7, M8). */
#include "topics.h"

#include "directory.h"
#include "group.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "membership.h"
#include "placement.h"
#include "produce.h"
#include "registry.h"
#include "replicas.h"
#include "request.h"
#include "topic_info.h"

#include <planted/planted.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_EVERY_US 500000u

/* ---- create --------------------------------------------------------------------------------------------------------------------- */

/* True: no topic can have such a name, and that is answered. */
static bool refuse_name(struct node_request *request)
{
    const char *problem = meta_name_problem(request->topic, strlen(request->topic));
    if (problem) request__finish(request, NODE_INVALID_NAME, "topic name: %s", problem);
    return problem != NULL;
}

static struct meta_command *new_command(struct node *node, enum meta_command_type type)
{
    struct meta_command *command = calloc(1, sizeof(*command));
    if (!command) abort();
    command->type = type;
    command->request = node__random_number(node);
    return command;
}

void topics__create(struct node_request *request)
{
    struct node *node = request_state(request)->node;
    if (request__refuse_full(request, node->meta_group)) return;
    if (refuse_name(request)) return;
    const char *problem = meta_settings_problem(&request->create.settings);
    if (problem) {
        request__finish(request, NODE_INVALID_ARGUMENT, "%s", problem);
        return;
    }
    if (request->create.partitions_count < 1 ||
        request->create.partitions_count > META_PARTITIONS_MAX) {
        request__finish(request, NODE_INVALID_ARGUMENT, "partitions must be 1 to %u",
                        META_PARTITIONS_MAX);
        return;
    }
    uint64_t ids[RAFT_MEMBERS_MAX];
    const uint32_t nodes = placement__nodes(node, ids);
    uint32_t replicas = request->create.replicas_count;
    if (replicas == 0) replicas = nodes < 3u ? nodes : 3u;
    if (replicas > nodes || replicas > META_REPLICAS_MAX) {
        request__finish(request, NODE_NOT_ENOUGH_NODES,
                        "%u replicas are wanted, the cluster has %u node%s (at most %u replicas)",
                        replicas, nodes, nodes == 1 ? "" : "s", META_REPLICAS_MAX);
        return;
    }
    if (!placement__has_room(node, request->create.partitions_count)) {
        request__finish(request, NODE_TOO_MANY_TOPICS,
                        "a node would hold more than %u partition replicas; delete topics, or ask "
                        "for fewer partitions",
                        NODE_REPLICAS_MAX);
        return;
    }
    struct meta_command *command = new_command(node, META_TOPIC_CREATE);
    snprintf(command->create.name, sizeof(command->create.name), "%s", request->topic);
    command->create.settings = request->create.settings;
    command->create.partitions_count = request->create.partitions_count;
    command->create.replicas_count = replicas;
    placement__place(node, command);
    produce__meta_command(request, command);
    free(command);
}

void topics__delete(struct node_request *request)
{
    struct node *node = request_state(request)->node;
    if (refuse_name(request)) return;
    struct meta_command *command = new_command(node, META_TOPIC_DELETE);
    snprintf(command->delete_name, sizeof(command->delete_name), "%s", request->topic);
    produce__meta_command(request, command);
    free(command);
}

void topics__set(struct node_request *request)
{
    struct node *node = request_state(request)->node;
    if (refuse_name(request)) return;
    struct meta_command *command = new_command(node, META_TOPIC_SET);
    snprintf(command->set.name, sizeof(command->set.name), "%s", request->topic);
    command->set.fields = request->set.fields & (uint32_t)META_SET_ALL;
    /* What is not set has to be in range all the same. */
    command->set.settings = (struct meta_settings){
        .message_bytes_max = 1024u * 1024u, .retention_ms = -1, .retention_bytes = -1};
    meta_settings_merge(&command->set.settings, &request->create.settings, command->set.fields);
    const char *problem = meta_settings_problem(&command->set.settings);
    if (command->set.fields == 0) problem = "no setting is named";
    if (problem) {
        request__finish(request, NODE_INVALID_ARGUMENT, "%s", problem);
    } else {
        produce__meta_command(request, command);
    }
    free(command);
}

/* ---- applied ------------------------------------------------------------------------------------------------------------------- */

static struct request_state *waiting_for(struct node *node, uint64_t command_request)
{
    for (struct list_link *link = node->topics.next; link != &node->topics; link = link->next) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        if (state->command_request == command_request && command_request != 0) return state;
    }
    return NULL;
}

static bool topic_leads(struct node *node, const struct meta_topic *topic)
{
    for (uint32_t p = 0; p < topic->partitions_count; p++) {
        if (!directory__has_led(node, topic->partitions[p].group)) return false;
    }
    return true;
}

static void check_created(struct node *node, struct request_state *state)
{
    struct node_request *request = request_of_state(state);
    struct meta_topic *topic = NULL;
    if (!meta_topic_get(&node->meta, request->topic, &topic)) {
        request__finish(request, NODE_TOPIC_NOT_FOUND, "the topic was deleted meanwhile");
        return;
    }
    if (topic_leads(node, topic) || PLANTED(M8_CREATE_ANSWERS_AT_ONCE)) {
        request->ret_topics = topic_info__make(node, topic);
        request->ret_topics_count = 1;
        request__finish(request, NODE_OK, NULL);
    }
    free(topic);
}

static void created(struct node_request *request, const struct meta_result *result)
{
    struct request_state *state = request_state(request);
    switch (result->status) {
    case META_OK:
        request->ret_created = true;
        state->created = true; /* answered when its groups lead (M8) */
        state->asked_us = io_now_us(state->node->io);
        if (PLANTED(M8_CREATE_ANSWERS_AT_ONCE)) check_created(state->node, state);
        return;
    case META_TOPIC_EXISTS:
        if (result->topic_same) {
            state->created = true;
            check_created(state->node, state);
        } else {
            request__finish(request, NODE_TOPIC_EXISTS,
                            "see `raftmq topic describe %s`; `raftmq topic set %s` changes its "
                            "retention and consistency",
                            request->topic, request->topic);
        }
        return;
    case META_TOO_MANY_TOPICS:
        request__finish(request, NODE_TOO_MANY_TOPICS, "at most %u topics", META_TOPICS_MAX);
        return;
    case META_TOPIC_NOT_FOUND:
    case META_UNKNOWN_NODE:
    case META_NODE_EXISTS:
    case META_NODE_LEAVING:
    case META_TOO_MANY_NODES:
    case META_NOT_ENOUGH_NODES:
    case META_CHANGE_RUNNING:
    case META_STALE:
    case META_PARTITION_NOT_FOUND:
        request__finish(request, NODE_TOPIC_NOT_FOUND, NULL);
        return;
    }
}

static void deleted(struct node *node, uint64_t index, struct node_request *request,
                    struct meta_result *result)
{
    if (result->status != META_OK || !result->topic) {
        request__finish(request, NODE_TOPIC_NOT_FOUND, "no topic \"%s\"", request->topic);
        return;
    }
    if (PLANTED(M8_DELETE_ANSWERS_AT_ONCE)) {
        request__finish(request, NODE_OK, NULL);
        return;
    }
    struct drop_watch *watch = calloc(1, sizeof(*watch));
    if (!watch) abort();
    watch->topic = result->topic;
    result->topic = NULL;
    watch->request = request;
    watch->index = index;
    watch->asked_us = io_now_us(node->io);
    list_push_back(&node->drops, &watch->link);
}

/* Its partitions hear of it from their leaders (retention.c). */
static void set(struct node_request *request, const struct meta_result *result)
{
    struct node *node = request_state(request)->node;
    if (result->status != META_OK) {
        request__finish(request, NODE_TOPIC_NOT_FOUND, "no topic \"%s\"", request->topic);
        return;
    }
    request->ret_topics = topic_info__make(node, result->topic);
    request->ret_topics_count = 1;
    request__finish(request, NODE_OK, NULL);
}

void topics__applied(struct node *node, uint64_t index, struct meta_result *result)
{
    struct request_state *state = waiting_for(node, result->request);
    struct node_request *request = state ? request_of_state(state) : NULL;
    if (request) {
        request->ret_leader = node->identity.node_id;
        request->ret_term = node->meta_group->term;
    }
    switch (result->type) {
    case META_TOPIC_CREATE:
        if (result->status == META_OK && result->topic) replicas__make_topic(node, result->topic);
        if (request) created(request, result);
        break;
    case META_TOPIC_DELETE:
        if (result->status == META_OK && result->topic)
            replicas__drop_topic(node, index, result->topic);
        if (request) deleted(node, index, request, result);
        break;
    case META_TOPIC_SET:
        if (request) set(request, result);
        break;
    case META_PRODUCER_BLOCK_TAKE:
        if (!request) break;
        registry__block_taken(node, result->producer_first);
        request__finish(request, NODE_OK, NULL);
        break;
    case META_NODE_SET:
    case META_NODE_ADD:
    case META_NODE_REMOVE:
    case META_NODE_REPLACE:
    case META_PLACE:
    case META_CONFIG_RECORD:
    case META_REPLICA_RENEW:
        if (result->changed) {
            node->replicas_stale = true; /* compared when all that is committed is applied */
            node->members_version++;
            node->members_changed_us = io_now_us(node->io);
        }
        if (request) membership__applied(request, result);
        break;
    }
    request__unpark(node, NULL);
}

void topics__meta_replaced(struct node *node)
{
    node->members_changed_us = io_now_us(node->io);
    replicas__reconcile(node);
    topics__check_waiting(node);
    request__unpark(node, NULL);
}

/* ---- waiting creates and deletes (M8) ---------------------------------------------------------------------------------------- */

static bool majority_dropped(const struct drop_watch *watch)
{
    for (uint32_t p = 0; p < watch->topic->partitions_count; p++) {
        const uint32_t replicas = watch->topic->partitions[p].replicas_count;
        uint32_t dropped = 0;
        for (uint32_t r = 0; r < replicas; r++) {
            if (watch->dropped[p] & (1u << r)) dropped++;
        }
        if (dropped * 2u <= replicas) return false;
    }
    return true;
}

static void free_watch(struct drop_watch *watch)
{
    list_remove(&watch->link);
    free(watch->topic);
    free(watch);
}

void topics__dropped(struct node *node, uint64_t group_id, uint64_t by)
{
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->drops) {
        struct drop_watch *watch = list_entry(link, struct drop_watch, link);
        for (uint32_t p = 0; p < watch->topic->partitions_count; p++) {
            const struct meta_partition *partition = &watch->topic->partitions[p];
            if (partition->group != group_id) continue;
            for (uint32_t r = 0; r < partition->replicas_count; r++) {
                if (partition->replicas[r].node_id == by) watch->dropped[p] |= 1u << r;
            }
        }
        if (!majority_dropped(watch)) continue;
        struct node_request *request = watch->request;
        free_watch(watch); /* first: finishing a DELETE forgets its watch */
        request__finish(request, NODE_OK, NULL);
    }
}

void topics__free_watches(struct node *node)
{
    while (!list_is_empty(&node->drops)) {
        free_watch(list_entry(node->drops.next, struct drop_watch, link));
    }
}

/* The request is cancelled or finished otherwise: nobody waits for the drops any more. */
void topics__forget(struct node_request *request)
{
    struct node *node = request_state(request)->node;
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->drops) {
        struct drop_watch *watch = list_entry(link, struct drop_watch, link);
        if (watch->request == request) free_watch(watch);
    }
}

/* A replica of group 0 that is made again begins without any topic (lost.c): a state in front of a topic's entry tells nothing
 * of it. */
void topics__check_waiting(struct node *node)
{
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->topics) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        if (state->created && state->index <= node->meta.applied_index) check_created(node, state);
    }
}

/* Notices can be lost: ask for what is missing. */
static void ask_created(struct node *node, struct request_state *state)
{
    struct meta_topic *topic = NULL;
    if (!meta_topic_get(&node->meta, request_of_state(state)->topic, &topic)) return;
    for (uint32_t p = 0; p < topic->partitions_count; p++) {
        const uint64_t group_id = topic->partitions[p].group;
        if (!directory__has_led(node, group_id)) directory__ask_who_leads(node, group_id);
    }
    free(topic);
}

static void ask_dropped(struct node *node, const struct drop_watch *watch)
{
    for (uint32_t p = 0; p < watch->topic->partitions_count; p++) {
        const struct meta_partition *partition = &watch->topic->partitions[p];
        for (uint32_t r = 0; r < partition->replicas_count; r++) {
            const uint64_t id = partition->replicas[r].node_id;
            if (watch->dropped[p] & (1u << r) || id == node->identity.node_id) continue;
            directory__ask_is_dropped(node, partition->group, watch->index, id);
        }
    }
}

void topics__ask_waiting(struct node *node)
{
    const uint64_t now_us = io_now_us(node->io);
    struct list_link *link;
    for (link = node->topics.next; link != &node->topics; link = link->next) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        if (!state->created || now_us - state->asked_us < ASK_EVERY_US) continue;
        state->asked_us = now_us;
        ask_created(node, state);
    }
    for (link = node->drops.next; link != &node->drops; link = link->next) {
        struct drop_watch *watch = list_entry(link, struct drop_watch, link);
        if (now_us - watch->asked_us < ASK_EVERY_US) continue;
        watch->asked_us = now_us;
        ask_dropped(node, watch);
    }
}
