/* What a node knows about itself and its cluster, for status pages, readiness and metrics. */
#include "internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Entries between commit and apply that are not "behind" but work in progress. */
#define BEHIND_MAX 1000u

static bool is_reached(struct node *node, uint64_t node_id)
{
    return peer_is_up(node->hub, node_id, PEER_CONTROL) && node__peer_is_usable(node, node_id);
}

static uint32_t voters_reached(struct node *node, uint32_t *ret_voters)
{
    uint32_t reached = 0;
    for (uint32_t i = 0; i < node->founding.nodes_count; i++) {
        const uint64_t id = node->founding.nodes[i].node_id;
        if (id == node->identity.node_id || is_reached(node, id)) reached++;
    }
    *ret_voters = node->founding.nodes_count;
    return reached;
}

static void add_text(char *buffer, size_t bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void add_text(char *buffer, size_t bytes, const char *format, ...)
{
    const size_t used = strlen(buffer);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(buffer + used, bytes - used, format, arguments);
    va_end(arguments);
}

/* What matters most first: the text may be cut. */
static void founding_problem(struct node *node, char *buffer, size_t bytes)
{
    snprintf(buffer, bytes, "not founded yet:");
    if (node->founding_barred) {
        add_text(buffer, bytes,
                 " too many nodes held a cluster before and only join, so nobody founds; start a "
                 "majority on their old directories;");
    }
    if (node->identity.join_only) {
        add_text(buffer, bytes, " this node (n%" PRIu64 ") only joins;", node->identity.node_id);
    }
    for (uint32_t i = 0; i < node->peers_count; i++) {
        const struct peer_state *peer = &node->peers[i];
        if (peer->node_id == node->identity.node_id) continue;
        if (peer->trouble[0]) {
            add_text(buffer, bytes, " %s;", peer->trouble);
        } else if (!peer_is_up(node->hub, peer->node_id, PEER_CONTROL)) {
            add_text(buffer, bytes, " n%" PRIu64 " does not answer, start it;", peer->node_id);
        } else if (founding__cannot_found(node, peer->node_id)) {
            add_text(buffer, bytes, " n%" PRIu64 " only joins;", peer->node_id);
        }
    }
}

static void running_state(struct node *node, struct node_cluster_status *status)
{
    uint32_t voters = 0;
    const uint32_t reached = voters_reached(node, &voters);
    if (status->leader != 0) {
        snprintf(status->state, sizeof(status->state), "ready");
        return;
    }
    if (reached * 2u > voters) {
        snprintf(status->state, sizeof(status->state), "electing");
        snprintf(status->problem, sizeof(status->problem),
                 "no leader yet, an election is under way");
        return;
    }
    char missing[64] = "";
    for (uint32_t i = 0; i < node->founding.nodes_count; i++) {
        const uint64_t id = node->founding.nodes[i].node_id;
        if (id == node->identity.node_id || is_reached(node, id)) continue;
        const size_t used = strlen(missing);
        snprintf(missing + used, sizeof(missing) - used, "%sn%" PRIu64, used ? ", " : "", id);
    }
    snprintf(status->state, sizeof(status->state), "no quorum");
    snprintf(status->problem, sizeof(status->problem),
             "no quorum: this node reaches %u of %u nodes (itself included), a majority is %u; "
             "writes are refused until more nodes are back (missing: %s)",
             reached, voters, voters / 2u + 1u, missing);
}

static void fill_state(struct node *node, struct node_cluster_status *status)
{
    switch (node->state) {
    case NODE_FOUNDING:
        snprintf(status->state, sizeof(status->state), "founding");
        founding_problem(node, status->problem, sizeof(status->problem));
        break;
    case NODE_JOINING:
        snprintf(status->state, sizeof(status->state), "joining");
        break;
    case NODE_RUNNING:
        running_state(node, status);
        break;
    case NODE_STRANGER:
        snprintf(status->state, sizeof(status->state), "stranger");
        snprintf(status->problem, sizeof(status->problem),
                 "this data directory is new (incarnation %016" PRIx64
                 ") and the cluster knows n%" PRIu64
                 " by another one: it votes in no group; start it on its old directory",
                 node->identity.incarnation, node->identity.node_id);
        break;
    case NODE_STOPPING:
    case NODE_STOPPED:
        snprintf(status->state, sizeof(status->state), "stopping");
        break;
    case NODE_FAILED:
        snprintf(status->state, sizeof(status->state), "failed");
        break;
    }
    if (node->disk_full && !status->problem[0]) {
        snprintf(status->problem, sizeof(status->problem),
                 "disk nearly full: %" PRIu64 " bytes free; writes are refused", node->free_bytes);
    }
}

static void member_role(struct node *node, struct node_member_status *member)
{
    const struct group *meta = node->meta_group;
    const char *role = "unreachable";
    const struct peer_state *peer = node__peer(node, member->node_id);
    if (member->self) {
        role = meta ? raft_role_name(meta->role)
                    : (node->state == NODE_STRANGER ? "stranger" : "starting");
    } else if (peer && peer->stranger) {
        role = "stranger";
    } else if (member->connected) {
        role = meta && meta->leader == member->node_id ? "leader" : "follower";
    }
    snprintf(member->role, sizeof(member->role), "%s", role);
}

static void member_vote(const struct group *meta, struct node_member_status *member)
{
    if (!meta) return;
    const struct raft_configuration *configuration = raft_configuration_of(meta->raft);
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (configuration->members[i].id.node != member->node_id) continue;
        snprintf(member->vote, sizeof(member->vote), "%s",
                 configuration->members[i].voter ? "voter" : "learner");
    }
}

static void fill_member(struct node *node, struct peer_state *peer,
                        struct node_member_status *member, const struct raft_view *view)
{
    member->node_id = peer->node_id;
    member->self = peer->node_id == node->identity.node_id;
    const struct peer_hello *hello = member->self ? NULL : peer_hello_of(node->hub, peer->node_id);
    member->connected = member->self || peer_is_up(node->hub, peer->node_id, PEER_CONTROL);
    struct meta_node known;
    const bool is_known = meta_node_get(&node->meta, peer->node_id, &known);
    member->incarnation = member->self ? node->identity.incarnation
                          : hello      ? hello->incarnation
                          : is_known   ? known.incarnation
                                       : 0;
    const char *http = member->self ? node->options.advertise_http
                       : hello      ? hello->http_address
                       : is_known   ? known.http_address
                                    : "";
    snprintf(member->http_address, sizeof(member->http_address), "%s", http);
    const char *version = member->self ? node->options.version : hello ? hello->version : "";
    snprintf(member->version, sizeof(member->version), "%s", version);
    for (uint32_t i = 0; i < node->options.peers_count; i++) {
        if (node->options.peers[i].node_id != peer->node_id) continue;
        snprintf(member->peer_address, sizeof(member->peer_address), "%s",
                 node->options.peers[i].address);
    }
    if (peer->trouble[0]) {
        snprintf(member->problem, sizeof(member->problem), "%s", peer->trouble);
    } else if (!member->connected) {
        snprintf(member->problem, sizeof(member->problem), "not connected");
    }
    for (uint32_t i = 0; view && i < view->members_count; i++) {
        if (view->members[i].id.node != peer->node_id) continue;
        member->match_index = view->members[i].match;
        member->match_known = true;
    }
    member_role(node, member);
    member_vote(node->meta_group, member);
}

void node_cluster_status(struct node *node, struct node_cluster_status *ret_status)
{
    memset(ret_status, 0, sizeof(*ret_status));
    ret_status->cluster = node->identity.cluster;
    ret_status->node_id = node->identity.node_id;
    ret_status->incarnation = node->identity.incarnation;
    ret_status->uptime_ms = (io_now_us(node->io) - node->started_us) / 1000u;
    ret_status->groups_count = node->groups_count;
    ret_status->topics_count = meta_topics_count(&node->meta);
    struct raft_view *view = NULL;
    struct raft_view meta_view;
    const struct group *meta = node->meta_group;
    if (meta) {
        raft_view(meta->raft, io_now_ms(node->io), &meta_view);
        ret_status->leader = meta->leader;
        ret_status->term = meta->term;
        ret_status->commit_index = meta->commit_index;
        ret_status->applied_index = meta->applied_index;
        if (meta_view.role == RAFT_LEADER) view = &meta_view;
    }
    for (struct list_link *link = node->groups.next; link != &node->groups; link = link->next) {
        const struct group *group = list_entry(link, struct group, link);
        struct segment_log_info info;
        segment_log_info(group->log, &info);
        ret_status->data_bytes += info.bytes;
        if (group->role == RAFT_LEADER) ret_status->groups_led++;
    }
    fill_state(node, ret_status);
    ret_status->members_count = node->peers_count;
    for (uint32_t i = 0; i < node->peers_count; i++) {
        fill_member(node, &node->peers[i], &ret_status->members[i], view);
    }
}

/* ---- readiness ------------------------------------------------------------------------------------------------------------------ */

static void check_line(char *why, size_t why_bytes, bool good, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void check_line(char *why, size_t why_bytes, bool good, const char *format, ...)
{
    const size_t used = strlen(why);
    if (used + 4u >= why_bytes) return;
    char text[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    snprintf(why + used, why_bytes - used, "[%c]%s\n", good ? '+' : '-', text);
}

bool node_is_ready(struct node *node, char *why, size_t why_bytes)
{
    assert(why_bytes > 0);
    why[0] = 0;
    const bool running = node->state == NODE_RUNNING;
    struct node_cluster_status *status = calloc(1, sizeof(*status));
    if (!status) abort();
    node_cluster_status(node, status);
    check_line(why, why_bytes, running, "node %s %s", status->state, status->problem);
    free(status);
    bool ready = running && node->meta_group;
    uint32_t without_leader = 0;
    uint64_t behind = 0;
    for (struct list_link *link = node->groups.next; link != &node->groups; link = link->next) {
        const struct group *group = list_entry(link, struct group, link);
        if (group->leader == 0) without_leader++;
        /* Before anything of this term is committed a node cannot know how far it is behind. */
        if (group->commit_index == 0 || group->applied_index + BEHIND_MAX < group->commit_index) {
            behind++;
        }
    }
    check_line(why, why_bytes, without_leader == 0, "leaders known, missing in %u of %u groups",
               without_leader, node->groups_count);
    check_line(why, why_bytes, behind == 0, "applied, behind in %" PRIu64 " groups", behind);
    check_line(why, why_bytes, !node->disk_full, "disk space");
    ready = ready && without_leader == 0 && behind == 0;
    return ready;
}

/* ---- groups ---------------------------------------------------------------------------------------------------------------------- */

static void fill_group(const struct group *group, struct node_group_status *status)
{
    memset(status, 0, sizeof(*status));
    struct node *node = group->node;
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    status->group = group->id;
    struct meta_partition partition;
    struct meta_settings settings;
    if (!group->is_meta &&
        meta_group_find(&node->meta, group->id, status->topic, &partition, &settings)) {
        status->partition = partition.number;
    }
    snprintf(status->role, sizeof(status->role), "%s", raft_role_name(group->role));
    status->leader = group->leader;
    status->term = group->term;
    status->last_index = info.last_index;
    status->durable_index = info.durable_index;
    status->commit_index = group->commit_index;
    status->applied_index = group->applied_index;
    status->next_offset = group->is_meta ? 0 : group->partition.next_offset;
    status->first_offset = group->is_meta ? 0 : group->partition.log_start_offset;
    status->reads_confirmed = group->counters.reads_confirmed;
    status->reads_skipped = group->counters.reads_skipped;
    status->reads_local = group->counters.reads_local;
    struct segment_log_point point;
    if (segment_log_point_at(group->log, group->commit_index, &point) == SEGMENT_LOG_OK) {
        status->chain_at_commit = point.chain;
    }
    memcpy(status->problem, group->problem, sizeof(status->problem));
}

uint32_t node_groups_status(struct node *node, struct node_group_status *ret_groups, uint32_t max)
{
    uint32_t count = 0;
    for (struct list_link *link = node->groups.next; link != &node->groups && count < max;
         link = link->next) {
        fill_group(list_entry(link, struct group, link), &ret_groups[count++]);
    }
    return count;
}
