/* Topics: create, delete, list; what applying a META entry does on this node; where leaders are (PROTOCOL M). */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGISTER_EVERY_US 1000000u
#define TELL_EVERY_US     500000u

enum notice {
    NOTICE_LEADS = 1,
    NOTICE_DROPPED = 2,
    NOTICE_MADE = 3,
};
#define NOTICE_BYTES 9u

/* ---- where leaders are --------------------------------------------------------------------------------------------------------- */

static struct leader_hint *find_hint(struct node *node, uint64_t group_id)
{
    struct leader_hint *hint = node->hints[group_id % NODE_GROUPS_HASH];
    while (hint && hint->group != group_id) {
        hint = hint->next;
    }
    return hint;
}

static void set_hint(struct node *node, uint64_t group_id, uint64_t term, uint64_t leader)
{
    struct leader_hint *hint = find_hint(node, group_id);
    if (!hint) {
        hint = calloc(1, sizeof(*hint));
        if (!hint) abort();
        hint->group = group_id;
        hint->next = node->hints[group_id % NODE_GROUPS_HASH];
        node->hints[group_id % NODE_GROUPS_HASH] = hint;
    }
    if (term < hint->term) return;
    hint->term = term;
    hint->leader = leader;
}

static void forget_hint(struct node *node, uint64_t group_id)
{
    struct leader_hint **at = &node->hints[group_id % NODE_GROUPS_HASH];
    while (*at && (*at)->group != group_id) {
        at = &(*at)->next;
    }
    struct leader_hint *hint = *at;
    if (!hint) return;
    *at = hint->next;
    free(hint);
}

/* A leader that told that it leads and takes requests; what a core believes is newer for groups that live here. */
uint64_t topics__leader_of(struct node *node, uint64_t group_id, uint64_t *ret_term)
{
    const struct group *group = node__group(node, group_id);
    if (group && group->leader != 0) {
        *ret_term = group->term;
        return group->leader;
    }
    const struct leader_hint *hint = find_hint(node, group_id);
    if (hint && group && hint->term < group->term)
        return 0; /* of a leader before the election under way */
    if (!hint || !peer_is_up(node->hub, hint->leader, PEER_CONTROL)) return 0;
    *ret_term = hint->term;
    return hint->leader;
}

static void send_notice(struct node *node, uint64_t to, enum notice notice, uint64_t group_id,
                        uint64_t term)
{
    uint8_t body[NOTICE_BYTES];
    body[0] = (uint8_t)notice;
    for (uint32_t i = 0; i < 8u; i++) {
        body[1u + i] = (uint8_t)(term >> (8u * i));
    }
    const struct io_buffer part = {.data = body, .bytes = sizeof(body)};
    (void)peer_send(node->hub, to, PEER_CONTROL, PEER_FRAME_TOPIC, group_id, &part, 1);
}

static void broadcast(struct node *node, enum notice notice, uint64_t group_id, uint64_t term)
{
    for (uint32_t i = 0; i < node->peers_count; i++) {
        if (node->peers[i].node_id == node->identity.node_id) continue;
        send_notice(node, node->peers[i].node_id, notice, group_id, term);
    }
}

void topics__tell_leads(struct group *group)
{
    set_hint(group->node, group->id, group->term, group->node->identity.node_id);
    group->leads_told_term = group->term;
    broadcast(group->node, NOTICE_LEADS, group->id, group->term);
    topics__check_waiting(group->node);
}

void topics__tell_made(struct group *group)
{
    broadcast(group->node, NOTICE_MADE, group->id, 0);
}

void topics__tell_made_to(struct group *group, uint64_t node_id)
{
    send_notice(group->node, node_id, NOTICE_MADE, group->id, 0);
}

void topics__tell_all(struct node *node, uint64_t to)
{
    for (struct list_link *link = node->groups.next; link != &node->groups; link = link->next) {
        const struct group *group = list_entry(link, struct group, link);
        if (group->term == 0) send_notice(node, to, NOTICE_MADE, group->id, 0);
        if (group->role != RAFT_LEADER || !group->own_noop_applied) continue;
        send_notice(node, to, NOTICE_LEADS, group->id, group->term);
    }
}

void topics__notice(struct node *node, const struct peer_frame *frame)
{
    if (frame->bytes != NOTICE_BYTES) {
        node->counters.bad_frames++;
        return;
    }
    uint64_t term = 0;
    for (uint32_t i = 0; i < 8u; i++) {
        term |= (uint64_t)frame->body[1u + i] << (8u * i);
    }
    if (frame->body[0] == NOTICE_LEADS) {
        set_hint(node, frame->group, term, frame->node_id);
        request__unpark(node, NULL);
        topics__check_waiting(node);
    } else if (frame->body[0] == NOTICE_DROPPED) {
        topics__dropped(node, frame->group, frame->node_id);
    } else if (frame->body[0] == NOTICE_MADE) {
        group__made_on(node, frame->group, frame->node_id);
    } else {
        node->counters.bad_frames++;
    }
}

/* ---- create --------------------------------------------------------------------------------------------------------------------- */

static uint64_t new_command_request(struct node *node)
{
    uint64_t request;
    do {
        io_random(node->io, &request, sizeof(request));
    } while (request == 0);
    return request;
}

/* Nodes that may hold replicas, those that are connected first: a first leader should be there. */
static uint32_t placement_nodes(struct node *node, uint64_t *ret_ids)
{
    uint32_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < node->founding.nodes_count; i++) {
            const uint64_t id = node->founding.nodes[i].node_id;
            const bool here =
                id == node->identity.node_id ||
                (peer_is_up(node->hub, id, PEER_CONTROL) && node__peer_is_usable(node, id));
            if (here == (pass == 0)) ret_ids[count++] = id;
        }
    }
    return count;
}

static uint32_t connected_nodes(struct node *node)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->founding.nodes_count; i++) {
        const uint64_t id = node->founding.nodes[i].node_id;
        if (id == node->identity.node_id ||
            (peer_is_up(node->hub, id, PEER_CONTROL) && node__peer_is_usable(node, id))) {
            count++;
        }
    }
    return count;
}

static void place(struct node *node, struct meta_command *command)
{
    uint64_t ids[FOUNDING_NODES_MAX];
    const uint32_t nodes = placement_nodes(node, ids);
    const uint32_t leaders = connected_nodes(node);
    const uint64_t spread =
        checksum64(command->create.name, strlen(command->create.name)) % FOUNDING_NODES_MAX;
    for (uint32_t p = 0; p < command->create.partitions_count; p++) {
        const uint32_t first = (uint32_t)((spread + p) % leaders);
        command->create.replicas[p][0] = ids[first];
        uint32_t taken = 1;
        for (uint32_t i = 1; i < nodes && taken < command->create.replicas_count; i++) {
            command->create.replicas[p][taken++] = ids[(first + i) % nodes];
        }
    }
}

void topics__create(struct node_request *request)
{
    struct node *node = request_state(request)->node;
    const char *problem = meta_name_problem(request->topic, strlen(request->topic));
    if (problem) {
        request__finish(request, NODE_INVALID_NAME, "topic name: %s", problem);
        return;
    }
    problem = meta_settings_problem(&request->create.settings);
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
    const uint32_t nodes = node->founding.nodes_count;
    uint32_t replicas = request->create.replicas_count;
    if (replicas == 0) replicas = nodes < 3u ? nodes : 3u;
    if (replicas > nodes || replicas > META_REPLICAS_MAX) {
        request__finish(request, NODE_NOT_ENOUGH_NODES,
                        "%u replicas are wanted, the cluster has %u nodes (at most %u replicas)",
                        replicas, nodes, META_REPLICAS_MAX);
        return;
    }
    struct meta_command *command = calloc(1, sizeof(*command));
    if (!command) abort();
    command->type = META_TOPIC_CREATE;
    command->request = new_command_request(node);
    snprintf(command->create.name, sizeof(command->create.name), "%s", request->topic);
    command->create.settings = request->create.settings;
    command->create.partitions_count = request->create.partitions_count;
    command->create.replicas_count = replicas;
    place(node, command);
    produce__meta_command(request, command);
    free(command);
}

void topics__delete(struct node_request *request)
{
    struct node *node = request_state(request)->node;
    const char *problem = meta_name_problem(request->topic, strlen(request->topic));
    if (problem) {
        request__finish(request, NODE_INVALID_NAME, "topic name: %s", problem);
        return;
    }
    struct meta_command *command = calloc(1, sizeof(*command));
    if (!command) abort();
    command->type = META_TOPIC_DELETE;
    command->request = new_command_request(node);
    snprintf(command->delete_name, sizeof(command->delete_name), "%s", request->topic);
    produce__meta_command(request, command);
    free(command);
}

/* ---- applied ------------------------------------------------------------------------------------------------------------------- */

static void partition_configuration(const struct meta_partition *partition,
                                    struct raft_configuration *ret_configuration)
{
    memset(ret_configuration, 0, sizeof(*ret_configuration));
    for (uint32_t i = 0; i < partition->replicas_count; i++) {
        ret_configuration->members[i] = (struct raft_member){
            .id = {.node = partition->replicas[i].node_id, .epoch = partition->replicas[i].epoch},
            .voter = true,
        };
    }
    ret_configuration->members_count = partition->replicas_count;
}

static void make_replicas(struct node *node, const struct meta_topic *topic)
{
    for (uint32_t p = 0; p < topic->partitions_count; p++) {
        const struct meta_partition *partition = &topic->partitions[p];
        for (uint32_t r = 0; r < partition->replicas_count; r++) {
            if (partition->replicas[r].node_id != node->identity.node_id) continue;
            struct raft_configuration configuration;
            partition_configuration(partition, &configuration);
            group__make(node, partition->group, partition->replicas[r].epoch,
                        partition->replicas[r].epoch, &configuration,
                        partition->first_leader == node->identity.node_id, topic->name,
                        partition->number);
        }
    }
}

static void drop_replicas(struct node *node, uint64_t index, const struct meta_topic *topic)
{
    for (uint32_t p = 0; p < topic->partitions_count; p++) {
        const uint64_t group_id = topic->partitions[p].group;
        forget_hint(node, group_id);
        struct group *group = node__group(node, group_id);
        if (group) {
            group__drop(group, index);
        } else {
            (void)group__cancel_birth(node, group_id, index);
        }
    }
}

static struct request_state *waiting_for(struct node *node, uint64_t command_request)
{
    for (struct list_link *link = node->topics.next; link != &node->topics; link = link->next) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        if (state->command_request == command_request && command_request != 0) return state;
    }
    return NULL;
}

static void created(struct node_request *request, const struct meta_result *result)
{
    struct request_state *state = request_state(request);
    switch (result->status) {
    case META_OK:
        request->ret_created = true;
        state->created = true; /* answered when its groups lead (M8) */
        return;
    case META_TOPIC_EXISTS:
        if (result->topic_same) {
            state->created = true;
        } else {
            request__finish(request, NODE_TOPIC_EXISTS,
                            "see `raftmq topic describe %s`; delete it first, or ask for the same "
                            "settings",
                            request->topic);
        }
        return;
    case META_TOO_MANY_TOPICS:
        request__finish(request, NODE_TOO_MANY_TOPICS, "at most %u topics", META_TOPICS_MAX);
        return;
    case META_TOPIC_NOT_FOUND:
        request__finish(request, NODE_TOPIC_NOT_FOUND, NULL);
        return;
    }
}

static void deleted(struct node *node, struct node_request *request, struct meta_result *result)
{
    if (result->status != META_OK || !result->topic) {
        request__finish(request, NODE_TOPIC_NOT_FOUND, "no topic \"%s\"", request->topic);
        return;
    }
    struct drop_watch *watch = calloc(1, sizeof(*watch));
    if (!watch) abort();
    watch->topic = result->topic;
    result->topic = NULL;
    watch->request = request;
    list_push_back(&node->drops, &watch->link);
}

static void block_taken(struct node *node, struct node_request *request,
                        const struct meta_result *result)
{
    node->producer_next = (int64_t)result->producer_first;
    node->producer_end = node->producer_next + (int64_t)META_PRODUCER_BLOCK;
    node->producer_taking = false;
    if (request) {
        request_state(request)->may_be_stored = false;
        topics__producer_init(request);
    }
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
        if (result->status == META_OK && result->topic) make_replicas(node, result->topic);
        if (request) created(request, result);
        break;
    case META_TOPIC_DELETE:
        if (result->status == META_OK && result->topic) drop_replicas(node, index, result->topic);
        if (request) deleted(node, request, result);
        break;
    case META_PRODUCER_BLOCK_TAKE:
        /* A block belongs to the leader that asked for it and still waits. */
        if (request && node->meta_group->role == RAFT_LEADER) {
            block_taken(node, request, result);
        } else if (request) {
            state->may_be_stored = false;
            request__park(request, node->meta_group);
        }
        break;
    case META_NODE_SET:
        if (request) request__finish(request, NODE_OK, NULL);
        break;
    }
    request__unpark(node, NULL);
}

/* At start: what meta says and the store does not hold yet, because the crash came between the two (M4). Safe to run on any
 * applied prefix: creations at or below a recorded index do nothing. */
static bool reconcile_topic(void *data, const struct meta_topic *topic)
{
    make_replicas(data, topic);
    return true;
}

void topics__reconcile(struct node *node)
{
    meta_topics_visit(&node->meta, reconcile_topic, node);
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        if (group->is_meta) continue;
        struct meta_partition partition;
        struct meta_settings settings;
        if (meta_group_find(&node->meta, group->id, group->topic, &partition, &settings)) {
            group->partition_number = partition.number;
        } else if (group->epoch <= node->meta.applied_index) {
            group__drop(group,
                        node->meta.applied_index); /* deleted, and the drop was not recorded */
        }
    }
}

/* ---- waiting creates and deletes (M8) ---------------------------------------------------------------------------------------- */

static bool topic_leads(struct node *node, const struct meta_topic *topic)
{
    for (uint32_t p = 0; p < topic->partitions_count; p++) {
        if (!find_hint(node, topic->partitions[p].group)) return false;
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
    if (topic_leads(node, topic)) {
        request->ret_topics = topics__info(node, topic);
        request->ret_topics_count = 1;
        request__finish(request, NODE_OK, NULL);
    }
    free(topic);
}

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

void topics__tell_dropped(struct node *node, uint64_t group_id)
{
    broadcast(node, NOTICE_DROPPED, group_id, 0);
    topics__dropped(node, group_id, node->identity.node_id);
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

void topics__check_waiting(struct node *node)
{
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->topics) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        if (state->created) check_created(node, state);
    }
}

/* ---- auto-create ----------------------------------------------------------------------------------------------------------------- */

static void auto_created(struct node_request *child)
{
    struct node_request *parent = child->data;
    if (parent) {
        request_state(parent)->child = NULL;
        if (child->status == NODE_OK) {
            request__dispatch(parent);
        } else {
            parent->retry_after_ms = child->retry_after_ms;
            const enum node_status status =
                child->status == NODE_OUTCOME_UNKNOWN ? NODE_NO_LEADER : child->status;
            request__finish(parent, status, "the topic could not be created: %.200s",
                            child->detail[0] ? child->detail : node_status_text(child->status));
        }
    }
    node_topics_free(child->ret_topics, child->ret_topics_count);
    free(child);
}

void topics__auto_create(struct node_request *request)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    struct node_request *child = calloc(1, sizeof(*child));
    if (!child) abort();
    child->type = NODE_REQUEST_TOPIC_CREATE;
    child->topic = request->topic;
    child->create.settings = (struct meta_settings){
        .message_bytes_max = 1024u * 1024u, .retention_ms = -1, .retention_bytes = -1};
    child->create.partitions_count = 1;
    child->done = auto_created;
    child->data = request;
    state->child = child;
    state->command_request = 0;
    state->created = false;
    request__move(request, STAGE_TOPIC, &node->topics);
    node_submit(node, child);
    request_state(child)->owned = true;
}

/* ---- nodes and producer ids ---------------------------------------------------------------------------------------------------- */

static void registered(struct node_request *request)
{
    struct node *node = request->data;
    node->registering = false;
    free(request);
}

static void register_node(struct node *node, const struct meta_node *wanted)
{
    struct meta_node known;
    if (meta_node_get(&node->meta, wanted->node_id, &known) &&
        known.incarnation == wanted->incarnation &&
        strcmp(known.http_address, wanted->http_address) == 0 &&
        strcmp(known.peer_address, wanted->peer_address) == 0 &&
        strcmp(known.kafka_address, wanted->kafka_address) == 0) {
        return;
    }
    struct meta_command *command = calloc(1, sizeof(*command));
    struct node_request *request = calloc(1, sizeof(*request));
    if (!command || !request) abort();
    command->type = META_NODE_SET;
    command->request = new_command_request(node);
    command->node = *wanted;
    request->type = NODE_REQUEST_PRODUCER_INIT; /* any type that the meta leader serves */
    request->done = registered;
    request->data = node;
    struct request_state *state = request_state(request);
    state->node = node;
    state->internal = true;
    state->owned = true;
    state->deadline_us = io_now_us(node->io) + (uint64_t)NODE_REQUEST_TIMEOUT_MS * 1000u;
    list_push_back(&node->requests, &state->all);
    node->registering = true;
    produce__meta_command(request, command);
    free(command);
}

static const char *peer_address_of(const struct node *node, uint64_t node_id)
{
    for (uint32_t i = 0; i < node->options.peers_count; i++) {
        if (node->options.peers[i].node_id == node_id) return node->options.peers[i].address;
    }
    return "";
}

/* The leader of meta writes down what the nodes tell in their handshakes. */
void topics__register_nodes(struct node *node)
{
    struct group *meta = node->meta_group;
    if (!meta || meta->role != RAFT_LEADER || !meta->own_noop_applied || node->registering) return;
    if (node->state != NODE_RUNNING) return;
    const uint64_t now_us = io_now_us(node->io);
    if (node->registered_us && now_us - node->registered_us < REGISTER_EVERY_US / 4u) return;
    node->registered_us = now_us;
    for (uint32_t i = 0; i < node->founding.nodes_count && !node->registering; i++) {
        struct meta_node wanted = {.node_id = node->founding.nodes[i].node_id,
                                   .incarnation = node->founding.nodes[i].incarnation};
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

void topics__producer_init(struct node_request *request)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    if (node->producer_next < node->producer_end) {
        request->ret_producer_id = node->producer_next++;
        request->ret_producer_epoch = 0;
        request->ret_leader = node->identity.node_id;
        request__finish(request, NODE_OK, NULL);
        return;
    }
    struct meta_command *command = calloc(1, sizeof(*command));
    if (!command) abort();
    command->type = META_PRODUCER_BLOCK_TAKE;
    command->request = new_command_request(node);
    produce__meta_command(request, command);
    free(command);
}

/* ---- describe ----------------------------------------------------------------------------------------------------------------- */

static void fill_progress(struct node_partition_info *info, const struct group *group)
{
    struct raft_view view;
    raft_view(group->raft, io_now_ms(group->node->io), &view);
    if (view.role != RAFT_LEADER) return;
    info->progress_known = true;
    for (uint32_t r = 0; r < info->replicas_count; r++) {
        for (uint32_t m = 0; m < view.members_count; m++) {
            if (view.members[m].id.node != info->replicas[r].node_id) continue;
            info->progress[r].match = view.members[m].match;
            info->progress[r].lag = view.last_index - view.members[m].match;
        }
    }
}

static void fill_partition(struct node *node, const struct meta_partition *partition,
                           struct node_partition_info *info)
{
    info->number = partition->number;
    info->group = partition->group;
    info->leader = topics__leader_of(node, partition->group, &info->term);
    info->replicas_count = partition->replicas_count;
    memcpy(info->replicas, partition->replicas, sizeof(info->replicas));
    const struct group *group = node__group(node, partition->group);
    if (!group) return;
    info->offsets_known = true;
    info->first_offset = group->partition.log_start_offset;
    info->next_offset = group->partition.next_offset;
    info->commit_index = group->commit_index;
    fill_progress(info, group);
}

static void fill_topic(struct node *node, const struct meta_topic *topic,
                       struct node_topic_info *info)
{
    memcpy(info->name, topic->name, sizeof(info->name));
    info->created_index = topic->created_index;
    info->created_ms = topic->created_ms;
    info->settings = topic->settings;
    info->partitions_count = topic->partitions_count;
    info->partitions = calloc(topic->partitions_count, sizeof(*info->partitions));
    if (!info->partitions) abort();
    for (uint32_t p = 0; p < topic->partitions_count; p++) {
        fill_partition(node, &topic->partitions[p], &info->partitions[p]);
    }
}

struct node_topic_info *topics__info(struct node *node, const struct meta_topic *topic)
{
    struct node_topic_info *info = calloc(1, sizeof(*info));
    if (!info) abort();
    fill_topic(node, topic, info);
    return info;
}

void node_topics_free(struct node_topic_info *topics, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(topics[i].partitions);
    }
    free(topics);
}

struct topic_list {
    struct node *node;
    struct node_topic_info *topics;
    uint32_t count;
    uint32_t capacity;
};

static bool add_topic(void *data, const struct meta_topic *topic)
{
    struct topic_list *list = data;
    if (list->count == list->capacity) return false;
    fill_topic(list->node, topic, &list->topics[list->count++]);
    return true;
}

void topics__answer_list(struct node_request *request)
{
    struct node *node = request_state(request)->node;
    request->ret_leader = node->meta_group ? node->meta_group->leader : 0;
    request->ret_term = node->meta_group ? node->meta_group->term : 0;
    if (request->type == NODE_REQUEST_TOPIC_GET) {
        struct meta_topic *topic = NULL;
        if (!meta_topic_get(&node->meta, request->topic, &topic)) {
            request__finish(request, NODE_TOPIC_NOT_FOUND,
                            "no topic \"%s\"; see `raftmq topic list`", request->topic);
            return;
        }
        request->ret_topics = topics__info(node, topic);
        request->ret_topics_count = 1;
        free(topic);
        request__finish(request, NODE_OK, NULL);
        return;
    }
    struct topic_list list = {.node = node, .capacity = meta_topics_count(&node->meta)};
    list.topics = calloc(list.capacity ? list.capacity : 1u, sizeof(*list.topics));
    if (!list.topics) abort();
    meta_topics_visit(&node->meta, add_topic, &list);
    request->ret_topics = list.topics;
    request->ret_topics_count = list.count;
    request__finish(request, NODE_OK, NULL);
}

bool node_topic_partitions(struct node *node, const char *topic, uint32_t *ret_partitions_count,
                           uint32_t *ret_message_bytes_max)
{
    struct meta_partition partition;
    struct meta_settings settings;
    if (!meta_partition_get(&node->meta, topic, 0, &partition, &settings, ret_partitions_count)) {
        return false;
    }
    *ret_message_bytes_max = settings.message_bytes_max;
    return true;
}
