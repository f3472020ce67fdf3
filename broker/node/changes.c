/* Changes that are not finished: leaders of groups report them, the leader of meta knows them all.
 *
 *   leader of a group ── CHANGE frame, again and again ──> leader of meta ──> what CHANGES answers
 *                                                               └── "it is what is wished" ──> CONFIG_RECORD (M4)
 *
 * Reports are soft: the next one is never far, a lost one costs a quarter of a second, and a new leader of meta has heard
 * them all after that time. */
#include "changes.h"

#include "barrier.h"
#include "directory.h"
#include "group.h"
#include "internal.h"
#include "limits.h"
#include "placement.h"
#include "reconfigure.h"
#include "registry.h"
#include "request.h"

#include <broker/request_codec.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_EVERY_US 250000u
#define REPORT_AGE_US   3000000u /* an older one says nothing any more */
#define FRESH_US        1000000u /* of a wish: its groups' leaders have not reported yet */

struct change_entry {
    struct change_entry *next;
    uint64_t heard_us;
    bool is_recording; /* a CONFIG_RECORD of it is under way */
    struct change_report report;
};

/* ---- what a group's leader says ----------------------------------------------------------------------------------------------- */

static struct node_change_member *add_member(struct node_change *change, struct raft_replica_id id)
{
    for (uint32_t i = 0; i < change->members_count; i++) {
        struct node_change_member *member = &change->members[i];
        if (member->node_id == id.node && member->epoch == id.epoch) return member;
    }
    if (change->members_count == NODE_CHANGE_MEMBERS_MAX) return NULL;
    struct node_change_member *member = &change->members[change->members_count++];
    *member = (struct node_change_member){
        .node_id = id.node, .epoch = id.epoch, .role = NODE_CHANGE_ABSENT};
    return member;
}

static void fill_members(struct group *group, const struct raft_view *view,
                         const struct reconfigure_wish *wish, struct node_change *change)
{
    const struct raft_configuration *now = raft_configuration_of(group->raft);
    for (uint32_t i = 0; i < now->members_count; i++) {
        struct node_change_member *member = add_member(change, now->members[i].id);
        if (!member) break;
        const bool votes = now->members[i].voter || now->members[i].voter_old;
        member->role = votes ? NODE_CHANGE_VOTER : NODE_CHANGE_LEARNER;
    }
    for (uint32_t i = 0; i < wish->target.members_count; i++) {
        struct node_change_member *member = add_member(change, wish->target.members[i].id);
        if (member) member->wished = true;
    }
    for (uint32_t i = 0; i < view->members_count; i++) {
        struct node_change_member *member = add_member(change, view->members[i].id);
        if (!member) break;
        member->match = view->members[i].match;
        member->match_known = true;
    }
    for (uint32_t i = 0; i < change->members_count; i++) {
        struct node_change_member *member = &change->members[i];
        member->connected = placement__is_reached(group->node, member->node_id);
    }
}

static void fill_change(struct group *group, const struct raft_view *view,
                        const struct reconfigure_wish *wish, const struct reconfigure_plan *plan,
                        struct node_change *change)
{
    memset(change, 0, sizeof(*change));
    change->group = group->id;
    change->meta = group->is_meta;
    memcpy(change->topic, group->topic, sizeof(change->topic));
    change->partition = group->partition_number;
    change->leader = group->node->identity.node_id;
    change->last_index = view->last_index;
    change->state = plan->state;
    memcpy(change->blocked, plan->blocked, sizeof(change->blocked));
    fill_members(group, view, wish, change);
}

static void send_report(struct node *node, uint64_t to, const struct change_report *report)
{
    uint8_t body[CHANGE_REPORT_BYTES_MAX];
    const size_t bytes = change_report_encode(report, body, sizeof(body));
    assert(bytes <= sizeof(body));
    const struct io_buffer part = {.data = body, .bytes = bytes};
    (void)peer_send(node->hub, to, PEER_CONTROL, PEER_FRAME_CHANGE, report->change.group, &part, 1);
}

/* ---- what the leader of meta hears ---------------------------------------------------------------------------------------------- */

static struct change_entry **bucket_of(struct node *node, uint64_t group_id)
{
    return &node->changes[group_id % NODE_GROUPS_HASH];
}

static struct change_entry *find_entry(struct node *node, uint64_t group_id)
{
    struct change_entry *entry = *bucket_of(node, group_id);
    while (entry && entry->report.change.group != group_id) {
        entry = entry->next;
    }
    return entry;
}

static bool leads_meta(const struct node *node)
{
    const struct group *meta = node->meta_group;
    return meta && meta->role == RAFT_LEADER && meta->own_noop_applied;
}

static void recorded(struct node_request *request)
{
    struct node *node = request->data;
    struct change_entry *entry = find_entry(node, request_state(request)->group_id);
    if (entry) entry->is_recording = false;
    free(request);
}

static bool is_member(const struct node_change *change, uint64_t node_id)
{
    for (uint32_t i = 0; i < change->members_count; i++) {
        if (change->members[i].node_id == node_id) return true;
    }
    return false;
}

/* Does a record of group 0 let any node go? */
static bool lets_a_node_go(const struct node *node, const struct node_change *change)
{
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t count = meta_nodes(&node->meta, nodes, META_NODES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (!nodes[i].leaving || is_member(change, nodes[i].node_id)) continue;
        if (!meta_node_is_held(&node->meta, nodes[i].node_id)) return true;
    }
    return false;
}

static bool is_news(const struct node *node, const struct change_report *report)
{
    struct meta_partition partition;
    if (report->change.state != NODE_CHANGE_RECORDING) return false;
    if (report->change.group == 0) return lets_a_node_go(node, &report->change);
    return meta_group_find(&node->meta, report->change.group, NULL, &partition, NULL) &&
           !partition.settled && partition.wish_index == report->wish_index;
}

static void record(struct node *node, struct change_entry *entry)
{
    const struct change_report *report = &entry->report;
    if (entry->is_recording || node->disk_full || !is_news(node, report)) return;
    struct meta_command *command = calloc(1, sizeof(*command));
    if (!command) abort();
    command->type = META_CONFIG_RECORD;
    command->request = node__random_number(node);
    command->record.group = report->change.group;
    command->record.configuration_index = report->configuration_index;
    command->record.wish_index = report->wish_index;
    for (uint32_t i = 0; i < report->change.members_count && i < META_NODES_MAX; i++) {
        const struct node_change_member *member = &report->change.members[i];
        if (member->role == NODE_CHANGE_ABSENT) continue;
        command->record.members[command->record.members_count++] =
            (struct meta_member){.node_id = member->node_id,
                                 .epoch = member->epoch,
                                 .voter = member->role == NODE_CHANGE_VOTER};
    }
    if (meta_command_encode(command, NULL, 0) > 0) { /* it came from the network */
        entry->is_recording = true;
        registry__propose(node, command, report->change.group, recorded);
    }
    free(command);
}

static void take(struct node *node, const struct change_report *report)
{
    struct change_entry *entry = find_entry(node, report->change.group);
    if (!entry) {
        entry = calloc(1, sizeof(*entry));
        if (!entry) abort();
        entry->next = *bucket_of(node, report->change.group);
        *bucket_of(node, report->change.group) = entry;
    }
    entry->report = *report;
    entry->heard_us = io_now_us(node->io);
    record(node, entry);
}

void changes__received(struct node *node, const struct peer_frame *frame)
{
    struct change_report *report = malloc(sizeof(*report));
    if (!report) abort();
    if (!change_report_decode(frame->body, frame->bytes, report) ||
        report->change.group != frame->group || report->change.leader != frame->node_id) {
        node->counters.bad_frames++;
    } else if (leads_meta(node) && frame->group != 0 &&
               meta_group_find(&node->meta, frame->group, NULL, NULL, NULL)) {
        take(node, report);
    }
    free(report);
}

void changes__report(struct group *group, const struct raft_view *view,
                     const struct reconfigure_wish *wish, const struct reconfigure_plan *plan)
{
    struct node *node = group->node;
    const uint64_t now_us = io_now_us(node->io);
    const bool is_new = group->reported_state != (uint32_t)plan->state;
    if (!is_new && now_us - group->reported_us < REPORT_EVERY_US) return;
    group->reported_state = (uint32_t)plan->state;
    group->reported_us = now_us;
    struct change_report *report = malloc(sizeof(*report));
    if (!report) abort();
    report->configuration_index = view->configuration_index;
    report->wish_index = wish->index;
    fill_change(group, view, wish, plan, &report->change);
    uint64_t term = 0;
    const uint64_t leader = directory__leader_of(node, 0, &term);
    if (leads_meta(node)) {
        take(node, report);
    } else if (leader != 0 && leader != node->identity.node_id) {
        send_report(node, leader, report);
    }
    free(report);
}

/* One bucket a call. */
void changes__prune(struct node *node)
{
    const uint64_t now_us = io_now_us(node->io);
    struct change_entry **at = &node->changes[node->prune_bucket % NODE_GROUPS_HASH];
    while (*at) {
        struct change_entry *entry = *at;
        if (now_us - entry->heard_us > REPORT_AGE_US && !entry->is_recording) {
            *at = entry->next;
            free(entry);
        } else {
            at = &entry->next;
        }
    }
}

void changes__free(struct node *node)
{
    for (uint32_t i = 0; i < NODE_GROUPS_HASH; i++) {
        while (node->changes[i]) {
            struct change_entry *entry = node->changes[i];
            node->changes[i] = entry->next;
            free(entry);
        }
    }
}

/* ---- the answer --------------------------------------------------------------------------------------------------------------- */

struct answer {
    struct node *node;
    struct node_change *changes;
    uint32_t count;
    uint32_t capacity;
};

static struct node_change *next_change(struct answer *answer)
{
    if (answer->count == NODE_CHANGES_MAX) return NULL;
    if (answer->count == answer->capacity) {
        answer->capacity = answer->capacity ? 2u * answer->capacity : 16u;
        answer->changes = realloc(answer->changes, answer->capacity * sizeof(*answer->changes));
        if (!answer->changes) abort();
    }
    struct node_change *change = &answer->changes[answer->count++];
    memset(change, 0, sizeof(*change));
    return change;
}

/* Nobody reports. What is wished is known all the same. */
static void fill_silent(const struct meta_partition *partition, bool is_fresh,
                        struct node_change *change)
{
    change->state = NODE_CHANGE_UNKNOWN;
    for (uint32_t i = 0; i < partition->replicas_count; i++) {
        const struct meta_replica *replica = &partition->replicas[i];
        struct node_change_member *member = add_member(
            change, (struct raft_replica_id){.node = replica->node_id, .epoch = replica->epoch});
        if (member) member->wished = true;
    }
    for (uint32_t i = 0; i < partition->lingering_count; i++) {
        const struct meta_replica *replica = &partition->lingering[i];
        struct node_change_member *member = add_member(
            change, (struct raft_replica_id){.node = replica->node_id, .epoch = replica->epoch});
        if (member) member->role = NODE_CHANGE_VOTER;
    }
    if (is_fresh) return;
    snprintf(change->blocked, sizeof(change->blocked),
             "no leader of this partition reports to the leader of the meta group; is a majority "
             "of its replicas up?");
}

static bool add_partition(void *data, const char *name, const struct meta_partition *partition)
{
    struct answer *answer = data;
    struct node *node = answer->node;
    if (partition->settled) return true;
    struct node_change *change = next_change(answer);
    if (!change) return false;
    const struct change_entry *entry = find_entry(node, partition->group);
    if (entry && io_now_us(node->io) - entry->heard_us <= REPORT_AGE_US) {
        *change = entry->report.change;
    } else {
        const uint64_t age_us = io_now_us(node->io) - node->members_changed_us;
        fill_silent(partition, /* is_fresh= */ age_us < FRESH_US, change);
    }
    change->group = partition->group;
    change->meta = false;
    change->partition = partition->number;
    snprintf(change->topic, sizeof(change->topic), "%s", name);
    for (uint32_t i = 0; i < change->members_count && change->leader == 0; i++) {
        change->members[i].connected = placement__is_reached(node, change->members[i].node_id);
    }
    return true;
}

/* Nodes that were admitted and wait to be started. */
static void add_expected(struct node *node, struct node_change *change)
{
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t count = meta_nodes(&node->meta, nodes, META_NODES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (nodes[i].incarnation != 0) continue;
        struct node_change_member *member =
            add_member(change, (struct raft_replica_id){.node = nodes[i].node_id});
        if (member) member->wished = true;
        if (change->blocked[0]) continue;
        snprintf(change->blocked, sizeof(change->blocked),
                 "n%" PRIu64
                 " was admitted and did not join yet; start it on an empty data directory",
                 nodes[i].node_id);
    }
}

/* Nodes that have left but for what they hold. */
static void explain_leaving(struct node *node, struct node_change *change)
{
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t count = meta_nodes(&node->meta, nodes, META_NODES_MAX);
    for (uint32_t i = 0; i < count && !change->blocked[0]; i++) {
        if (!nodes[i].leaving || !meta_node_is_held(&node->meta, nodes[i].node_id)) continue;
        snprintf(change->blocked, sizeof(change->blocked),
                 "n%" PRIu64 " stays until the partitions that it holds have moved",
                 nodes[i].node_id);
    }
}

static bool has_expected(const struct node *node)
{
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t count = meta_nodes(&node->meta, nodes, META_NODES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (nodes[i].incarnation == 0) return true;
    }
    return false;
}

static void add_meta(struct answer *answer)
{
    struct node *node = answer->node;
    struct raft_view view;
    struct reconfigure_wish wish;
    struct reconfigure_plan plan;
    if (!reconfigure__look(node->meta_group, &view, &wish, &plan)) return;
    const bool is_done = plan.is_reached && wish.is_recorded;
    if (is_done && !has_expected(node)) return;
    struct node_change *change = next_change(answer);
    if (!change) return;
    fill_change(node->meta_group, &view, &wish, &plan, change);
    if (is_done) change->state = NODE_CHANGE_WAITING;
    if (plan.is_reached) explain_leaving(node, change);
    add_expected(node, change);
}

void changes__answer(struct node_request *request)
{
    struct node *node = request_state(request)->node;
    if (!barrier__is_passed(request, node->meta_group)) return;
    struct answer answer = {.node = node};
    add_meta(&answer);
    meta_partitions_visit(&node->meta, add_partition, &answer);
    request->ret_changes = answer.changes;
    request->ret_changes_count = answer.count;
    request->ret_leader = node->identity.node_id;
    request->ret_term = node->meta_group->term;
    request__finish(request, NODE_OK, NULL);
}
