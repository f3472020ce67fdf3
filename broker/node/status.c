/* What a node knows about itself and its cluster, for status pages, readiness and metrics. */
#include "base.h"
#include "broadcast.h"
#include "founding.h"
#include "group.h"
#include "holes.h"
#include "internal.h"
#include "list.h"
#include "lost.h"
#include "mending.h"
#include "peers.h"
#include "repair.h"

#include <broker/raft_codec.h>
#include <snapshot/snapshot.h>

#include <assert.h>
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

/* Voters of group 0: by the configuration in use, before there is one by the founding. */
static uint32_t meta_voters(struct node *node, uint64_t *ret_ids)
{
    uint32_t count = 0;
    if (!node->meta_group) {
        for (uint32_t i = 0; i < node->founding.nodes_count && i < META_VOTERS_MAX; i++) {
            ret_ids[count++] = node->founding.nodes[i].node_id;
        }
        return count;
    }
    const struct raft_configuration *configuration = raft_configuration_of(node->meta_group->raft);
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->voter) ret_ids[count++] = member->id.node;
    }
    return count;
}

static const struct raft_member *meta_member(const struct node *node, uint64_t node_id)
{
    if (!node->meta_group) return NULL;
    const struct raft_configuration *configuration = raft_configuration_of(node->meta_group->raft);
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (configuration->members[i].id.node == node_id) return &configuration->members[i];
    }
    return NULL;
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
        if (peer->node_id == 0 || peer->node_id == node->identity.node_id) continue;
        if (peer->trouble[0]) {
            add_text(buffer, bytes, " %s;", peer->trouble);
        } else if (!peer_is_up(node->hub, peer->node_id, PEER_CONTROL)) {
            add_text(buffer, bytes, " n%" PRIu64 " does not answer, start it;", peer->node_id);
        } else if (founding__cannot_found(node, peer->node_id)) {
            add_text(buffer, bytes, " n%" PRIu64 " only joins;", peer->node_id);
        }
    }
}

/* What a peer said last, when it refused this node: more than that it is missing. */
static void add_refusal(struct node *node, char *text, size_t bytes)
{
    for (uint32_t i = 0; i < node->peers_count; i++) {
        const struct peer_state *peer = &node->peers[i];
        if (peer->node_id == 0 || !strstr(peer->trouble, " refuses ")) continue;
        add_text(text, bytes, "; %s", peer->trouble);
        return;
    }
}

struct thin {
    uint32_t partitions;                       /* with fewer replicas than are wanted */
    char topic[META_TOPIC_NAME_BYTES_MAX + 1]; /* of the first */
    uint32_t replicas, wanted;
};

static bool count_thin(void *data, const char *name, const struct meta_partition *partition)
{
    struct thin *thin = data;
    if (partition->replicas_count >= partition->replicas_wanted) return true;
    if (thin->partitions++ > 0) return true;
    snprintf(thin->topic, sizeof(thin->topic), "%s", name);
    thin->replicas = partition->replicas_count;
    thin->wanted = partition->replicas_wanted;
    return true;
}

static void led_state(struct node *node, struct node_cluster_status *status)
{
    struct thin thin = {0};
    meta_partitions_visit(&node->meta, count_thin, &thin);
    if (thin.partitions == 0) {
        snprintf(status->state, sizeof(status->state), "ready");
        return;
    }
    snprintf(status->state, sizeof(status->state), "degraded");
    snprintf(status->problem, sizeof(status->problem),
             "%u partition%s fewer replicas than wanted (%.64s %u of %u); they grow back by "
             "themselves when a node is added with `raftmq cluster add`",
             thin.partitions, thin.partitions == 1 ? " has" : "s have", thin.topic, thin.replicas,
             thin.wanted);
}

static void running_state(struct node *node, struct node_cluster_status *status)
{
    if (status->leader != 0) {
        led_state(node, status);
        return;
    }
    if (peers__was_removed(node)) {
        snprintf(status->state, sizeof(status->state), "removed");
        snprintf(status->problem, sizeof(status->problem), "this node (n%" PRIu64 ") %s",
                 node->identity.node_id, PEERS_REMOVED);
        return;
    }
    uint64_t ids[RAFT_MEMBERS_MAX];
    const uint32_t voters = meta_voters(node, ids);
    uint32_t reached = 0;
    char missing[64] = "";
    for (uint32_t i = 0; i < voters; i++) {
        if (ids[i] == node->identity.node_id || is_reached(node, ids[i])) {
            reached++;
        } else {
            add_text(missing, sizeof(missing), "%sn%" PRIu64, missing[0] ? ", " : "", ids[i]);
        }
    }
    if (reached * 2u > voters) {
        snprintf(status->state, sizeof(status->state), "electing");
        snprintf(status->problem, sizeof(status->problem),
                 "no leader yet, an election is under way");
        return;
    }
    snprintf(status->state, sizeof(status->state), "no quorum");
    snprintf(status->problem, sizeof(status->problem),
             "no quorum: this node reaches %u of %u nodes (itself included), a majority is %u; "
             "writes are refused until more nodes are back (missing: %s)",
             reached, voters, voters / 2u + 1u, missing);
    add_refusal(node, status->problem, sizeof(status->problem));
}

static void asking_state(struct node *node, struct node_cluster_status *status)
{
    snprintf(status->state, sizeof(status->state), "%s",
             node->join.refused ? "refused" : "joining");
    if (node->join.is_lost) {
        snprintf(status->problem, sizeof(status->problem),
                 "this node's replica of the meta group is lost and asked for anew: %.150s",
                 node->join.text[0] ? node->join.text : "no member answers yet");
        return;
    }
    snprintf(status->problem, sizeof(status->problem),
             "this data directory is new (incarnation %016" PRIx64
             "), it has no vote until the cluster took it in: ",
             node->identity.incarnation);
    if (node->join.text[0]) {
        add_text(status->problem, sizeof(status->problem), "%s", node->join.text);
        return;
    }
    add_text(status->problem, sizeof(status->problem), "no member answers yet");
    add_refusal(node, status->problem, sizeof(status->problem));
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
        if (mending__find(node, 0)) {
            repair__describe(mending__find(node, 0), status->problem, sizeof(status->problem));
        }
        break;
    case NODE_RUNNING:
        running_state(node, status);
        break;
    case NODE_ASKING:
        asking_state(node, status);
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

static void fill_warning(const struct node *node, struct node_cluster_status *status)
{
    if (!node->broadcast_is_slow) return;
    snprintf(
        status->warning, sizeof(status->warning),
        "1 of 100 broadcasts of this node took %.1f ms or longer, too long for election timeouts "
        "from %" PRIu64 " ms on: leaders may be replaced that are well; start the nodes with "
        "--election-timeout-ms-min %" PRIu64 " or more",
        (double)node->broadcast_p99_us / 1000.0, node->options.election_timeout_ms_min,
        broadcast__wanted_ms(node->broadcast_p99_us));
}

/* A role that is known only on the member itself, or what stands between it and one. */
static const char *role_of(struct node *node, const struct node_member_status *member,
                           const struct meta_node *known)
{
    const struct group *meta = node->meta_group;
    const struct peer_state *peer = node__peer(node, member->node_id);
    const struct raft_member *place = meta_member(node, member->node_id);
    if (member->self && node->state == NODE_ASKING) return "joining";
    if (member->self && !meta) return "starting";
    if (!member->self && peer && peer->is_joining && member->connected) return "joining";
    if (known && known->leaving && meta && !place) return "leaving";
    if (!member->self && !member->connected) {
        return known && known->incarnation == 0 ? "not started yet" : "unreachable";
    }
    if (!member->self && meta && meta->leader == member->node_id) return "leader";
    if (meta && !place) return "joining";
    if (meta && !place->voter) return "learner";
    return member->self ? raft_role_name(meta->role) : "follower";
}

static void member_problem(struct node *node, const struct peer_state *peer,
                           const struct meta_node *known, struct node_member_status *member)
{
    char *problem = member->problem;
    const size_t bytes = sizeof(member->problem);
    if (known && known->leaving) {
        snprintf(problem, bytes, "is being removed");
        if (known->replaced_by)
            add_text(problem, bytes, ", n%" PRIu64 " takes its place", known->replaced_by);
    } else if (known && known->incarnation == 0) {
        snprintf(problem, bytes, "admitted, not started yet");
    } else if (peer->is_joining && member->connected) {
        snprintf(problem, bytes, "runs on a new data directory and asks to join");
    } else if (!member->connected && !peer->trouble[0]) {
        snprintf(problem, bytes, "not connected");
    }
    if (peer_bulk_is_suspect(node->hub, peer->node_id)) {
        add_text(problem, bytes, "%snothing moves on its bulk connection", problem[0] ? "; " : "");
    }
    if (peer->trouble[0]) add_text(problem, bytes, "%s%s", problem[0] ? "; " : "", peer->trouble);
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
    const char *address = member->self ? node->options.advertise_peer
                          : hello      ? hello->peer_address
                          : is_known   ? known.peer_address
                                       : "";
    snprintf(member->peer_address, sizeof(member->peer_address), "%s", address);
    for (uint32_t i = 0; !address[0] && i < node->options.peers_count; i++) {
        if (node->options.peers[i].node_id != peer->node_id) continue;
        snprintf(member->peer_address, sizeof(member->peer_address), "%s",
                 node->options.peers[i].address);
    }
    if (!member->self) member_problem(node, peer, is_known ? &known : NULL, member);
    for (uint32_t i = 0; view && i < view->members_count; i++) {
        if (view->members[i].id.node != peer->node_id) continue;
        member->match_index = view->members[i].match;
        member->match_known = true;
    }
    snprintf(member->role, sizeof(member->role), "%s",
             role_of(node, member, is_known ? &known : NULL));
    member_vote(node->meta_group, member);
}

static_assert(NODE_MEMBERS_MAX >= PEER_KNOWN_MAX, "every peer can be told of");

/* In the list of peers that this node was started with, and no member: removed, or not admitted. What it lacks is no problem of
 * the cluster. */
static bool is_outsider(struct node *node, const struct peer_state *peer)
{
    struct meta_node known;
    return node->state == NODE_RUNNING && peer->node_id != node->identity.node_id &&
           !peer_is_up(node->hub, peer->node_id, PEER_CONTROL) &&
           !meta_node_get(&node->meta, peer->node_id, &known) && !meta_member(node, peer->node_id);
}

/* Nodes are met in any order, and told of by their numbers. */
static void sort_in(struct node_member_status *members, uint32_t at)
{
    for (; at > 0 && members[at - 1].node_id > members[at].node_id; at--) {
        const struct node_member_status member = members[at];
        members[at] = members[at - 1];
        members[at - 1] = member;
    }
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
        ret_status->data_bytes += segment_log_bytes(group->log);
        if (group->role == RAFT_LEADER) ret_status->groups_led++;
    }
    fill_state(node, ret_status);
    fill_warning(node, ret_status);
    holes__describe(node, ret_status);
    for (uint32_t i = 0; i < node->peers_count; i++) {
        if (node->peers[i].node_id == 0 || is_outsider(node, &node->peers[i])) continue;
        const uint32_t at = ret_status->members_count++;
        fill_member(node, &node->peers[i], &ret_status->members[at], view);
        sort_in(ret_status->members, at);
    }
}

/* ---- readiness ------------------------------------------------------------------------------------------------------------------ */

static void add_check(char *why, size_t why_bytes, char mark, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void add_check(char *why, size_t why_bytes, char mark, const char *format, ...)
{
    const size_t used = strlen(why);
    if (used + 4u >= why_bytes) return;
    char text[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    snprintf(why + used, why_bytes - used, "[%c]%s\n", mark, text);
}

static char mark_of(bool is_good)
{
    return is_good ? '+' : '-';
}

/* Replicas whose core waits for a repair that may come. Lost everywhere, it will not: to be out of service would mend nothing,
 * and what else is here is served. */
static uint32_t replicas_waiting(const struct node *node)
{
    uint32_t count = 0;
    for (const struct list_link *link = node->mending.next; link != &node->mending;
         link = link->next) {
        if (!repair__is_lost(list_entry(link, struct group, link))) count++;
    }
    return count;
}

/* Told, and no reason to send clients away: all else is served here, and another node may be no better. */
static void add_damage(const struct node_cluster_status *status, char *why, size_t why_bytes)
{
    if (status->damaged_ranges == 0) return;
    add_check(
        why, why_bytes, '!', "damage on this node: %u range%s, %u of them nobody can repair now",
        status->damaged_ranges, status->damaged_ranges == 1 ? "" : "s", status->unrepaired_ranges);
}

bool node_is_ready(struct node *node, char *why, size_t why_bytes)
{
    assert(why_bytes > 0);
    why[0] = 0;
    const bool running = node->state == NODE_RUNNING;
    struct node_cluster_status *status = calloc(1, sizeof(*status));
    if (!status) abort();
    node_cluster_status(node, status);
    const bool is_removed = running && status->leader == 0 && peers__was_removed(node);
    add_check(why, why_bytes, mark_of(running && !is_removed), "node %s %s", status->state,
              status->problem);
    bool ready = running && !is_removed && node->meta_group;
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
    add_check(why, why_bytes, mark_of(without_leader == 0),
              "leaders known, missing in %u of %u groups", without_leader, node->groups_count);
    add_check(why, why_bytes, mark_of(behind == 0), "applied, behind in %" PRIu64 " groups",
              behind);
    add_check(why, why_bytes, node->disk_full ? '!' : '+',
              node->disk_full ? "disk space, writes are refused" : "disk space");
    const uint32_t waiting = replicas_waiting(node);
    add_check(why, why_bytes, mark_of(waiting == 0), "repaired, waited for in %u replica%s",
              waiting, waiting == 1 ? "" : "s");
    add_damage(status, why, why_bytes);
    free(status);
    ready = ready && waiting == 0;
    ready = ready && without_leader == 0 && behind == 0;
    return ready;
}

/* ---- groups ---------------------------------------------------------------------------------------------------------------------- */

/* Its core has not started. */
static void fill_mending(const struct group *group, struct node_group_status *status)
{
    memset(status, 0, sizeof(*status));
    struct segment_log_info info;
    struct meta_partition partition;
    segment_log_info(group->log, &info);
    status->group = group->id;
    if (!group->is_meta &&
        meta_group_find(&group->node->meta, group->id, status->topic, &partition, NULL)) {
        status->partition = partition.number;
    }
    snprintf(status->role, sizeof(status->role), "mending");
    status->term = group->term;
    status->last_index = info.last_index;
    status->durable_index = info.durable_index;
    repair__describe(group, status->problem, sizeof(status->problem));
}

static void fill_reads(const struct group *group, struct node_group_status *status)
{
    struct raft_view view;
    raft_view(group->raft, io_now_ms(group->node->io), &view);
    status->reads_waiting = view.reads.waiting;
    status->read_requests = view.reads.requests;
    status->round_reads = view.reads.covered;
    status->round_index = view.reads.index;
    status->round_acks = view.reads.acks;
    status->round_voters = view.reads.voters;
}

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
    status->first_offset = base__first_offset_kept(group);
    status->reads_confirmed = group->counters.reads_confirmed;
    status->reads_skipped = group->counters.reads_skipped;
    status->reads_local = group->counters.reads_local;
    fill_reads(group, status);
    struct segment_log_point point;
    if (segment_log_point_at(group->log, group->commit_index, &point) == SEGMENT_LOG_OK) {
        status->chain_at_commit = point.chain;
    }
    memcpy(status->problem, group->problem, sizeof(status->problem));
    if (info.holes_count > 0) repair__describe(group, status->problem, sizeof(status->problem));
}

uint32_t node_groups_status(struct node *node, struct node_group_status *ret_groups, uint32_t max)
{
    uint32_t count = 0;
    for (struct list_link *link = node->groups.next; link != &node->groups && count < max;
         link = link->next) {
        fill_group(list_entry(link, struct group, link), &ret_groups[count++]);
    }
    for (uint32_t at = 0; count < max && lost__at(node, at, &ret_groups[count]); at++) {
        count++;
    }
    for (struct list_link *link = node->mending.next; link != &node->mending && count < max;
         link = link->next) {
        fill_mending(list_entry(link, struct group, link), &ret_groups[count++]);
    }
    return count;
}
