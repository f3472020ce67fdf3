/* The other nodes: who may be connected, by which address, and what the hub tells of them (PROTOCOL M2, M3, M5).
 *
 * Who a node is, is told by its HELLO, and judged by what is known here: the nodes that meta holds, and for founders that meta
 * has not met yet the founding and the configuration of group 0. A node's incarnations are ordered by the meta entries that
 * brought them. So a directory that was replaced is refused for good, and one that is newer than what is applied here is
 * not: this node may lag, and the leader that it must learn from may be that very one. */
#include "peers.h"

#include "base_receive.h"
#include "base_send.h"
#include "chains.h"
#include "changes.h"
#include "directory.h"
#include "founding.h"
#include "group.h"
#include "heartbeat.h"
#include "internal.h"
#include "join.h"
#include "list.h"
#include "offered.h"
#include "perform.h"
#include "proxy.h"
#include "repair.h"
#include "replicate.h"
#include "request.h"
#include "turn.h"

#include <broker/raft_codec.h>
#include <planted/planted.h>
#include <rare/rare.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct peer_state *node__peer(struct node *node, uint64_t node_id)
{
    for (uint32_t i = 0; node_id != 0 && i < node->peers_count; i++) {
        if (node->peers[i].node_id == node_id) return &node->peers[i];
    }
    return NULL;
}

/* Raft traffic goes only to and from nodes that connected as members of this cluster: not to those that still ask to join.
 * That they are right ones was judged at the handshake. */
bool node__peer_is_usable(struct node *node, uint64_t node_id)
{
    const struct peer_state *peer = node__peer(node, node_id);
    return peer && peer->is_member;
}

/* ---- who may be connected ------------------------------------------------------------------------------------------- */

static bool is_configured(const struct node *node, uint64_t node_id)
{
    for (uint32_t i = 0; i < node->options.peers_count; i++) {
        if (node->options.peers[i].node_id == node_id) return true;
    }
    return false;
}

static bool founded_as(const struct node *node, uint64_t node_id, uint64_t *ret_incarnation)
{
    for (uint32_t i = 0; i < node->founding.nodes_count; i++) {
        if (node->founding.nodes[i].node_id != node_id) continue;
        *ret_incarnation = node->founding.nodes[i].incarnation;
        return true;
    }
    return false;
}

/* Also true while group 0 is being changed: what is not committed may be taken back. */
bool peers__may_be_in_meta(const struct node *node, uint64_t node_id)
{
    if (!node->meta_group) return true;
    struct raft_view view;
    raft_view(node->meta_group->raft, io_now_ms(node->io), &view);
    if (view.change_in_progress) return true;
    const struct raft_configuration *configuration = raft_configuration_of(node->meta_group->raft);
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (configuration->members[i].id.node == node_id) return true;
    }
    return false;
}

/* It says that it is a member. */
static const char *refuse_member(struct node *node, const struct peer_hello *hello, char *text,
                                 size_t bytes)
{
    struct meta_node known;
    if (meta_node_get(&node->meta, hello->node_id, &known)) {
        if (known.incarnation == hello->incarnation) return NULL;
        const bool is_over = known.incarnation == 0 && hello->incarnation_index != 0 &&
                             hello->incarnation_index <= node->meta.applied_index;
        if (is_over) { /* it was a member before, was removed, and is admitted again */
            snprintf(text, bytes,
                     "n%" PRIu64 " runs on the data directory of a former membership; stop it, "
                     "empty that directory, and start it again",
                     hello->node_id);
            return text;
        }
        if (hello->incarnation_index > known.incarnation_index) return NULL; /* news */
        /* Not registered yet, with the directory of the founding. */
        if (known.incarnation == 0 && hello->incarnation_index == 0) return NULL;
        snprintf(text, bytes,
                 "n%" PRIu64 " runs on a data directory that another one took the place of "
                 "(incarnation %016" PRIx64 "); keep it away, start n%" PRIu64
                 " on the other one or on an empty one",
                 hello->node_id, known.incarnation, hello->node_id);
        return text;
    }
    uint64_t incarnation;
    if (founded_as(node, hello->node_id, &incarnation) && incarnation == hello->incarnation &&
        peers__may_be_in_meta(node, hello->node_id)) {
        return NULL;
    }
    if (!node->meta_group || hello->incarnation_index > node->meta.applied_index) return NULL;
    snprintf(text, bytes, "n%" PRIu64 " " PEERS_REMOVED, hello->node_id);
    return text;
}

/* It has no replica of group 0: an empty node, or one that asks to join. */
static const char *refuse_newcomer(struct node *node, const struct peer_hello *hello, char *text,
                                   size_t bytes)
{
    struct meta_node known;
    uint64_t incarnation;
    if (meta_node_get(&node->meta, hello->node_id, &known)) {
        if (!known.leaving) return NULL;
        snprintf(text, bytes, "n%" PRIu64 " is being removed from the cluster", hello->node_id);
        return text;
    }
    if (!node->meta_group) {
        if (is_configured(node, hello->node_id)) return NULL;
    } else if (founded_as(node, hello->node_id, &incarnation) &&
               peers__may_be_in_meta(node, hello->node_id)) {
        return NULL;
    }
    snprintf(text, bytes,
             "n%" PRIu64 " is no member of the cluster; admit it with `raftmq cluster add n%" PRIu64
             "=%s`",
             hello->node_id, hello->node_id, hello->peer_address);
    return text;
}

static bool is_newcomer(const struct peer_hello *hello)
{
    return hello->is_joining || cluster_id_is_zero(&hello->cluster);
}

bool peers__came_as_member(const struct node *node, uint64_t node_id)
{
    const struct peer_hello *hello = peer_hello_of(node->hub, node_id);
    return hello && !is_newcomer(hello) &&
           cluster_id_equal(&hello->cluster, &node->identity.cluster);
}

static const char *on_refuse(void *data, const struct peer_hello *hello, char *text, size_t bytes)
{
    struct node *node = data;
    if (node->state == NODE_FOUNDING && is_newcomer(hello)) {
        if (is_configured(node, hello->node_id)) return NULL;
        snprintf(text, bytes, "n%" PRIu64 " is not in the list of peers of n%" PRIu64,
                 hello->node_id, node->identity.node_id);
        return text;
    }
    if (node->state == NODE_FOUNDING) return NULL; /* it knows a cluster */
    return is_newcomer(hello) ? refuse_newcomer(node, hello, text, bytes)
                              : refuse_member(node, hello, text, bytes);
}

/* ---- the nodes known here --------------------------------------------------------------------------------------------- */

static void on_lost_timer(struct io_timer *timer);

/* The hub knows no more than PEER_KNOWN_MAX nodes, and tells when it forgets one: so there is a slot. */
static struct peer_state *add_peer(struct node *node, uint64_t node_id)
{
    struct peer_state *peer = node__peer(node, node_id);
    if (peer) return peer;
    uint32_t at = 0;
    while (at < node->peers_count && node->peers[at].node_id != 0) {
        at++;
    }
    assert(at < PEER_KNOWN_MAX);
    if (at == node->peers_count) node->peers_count++;
    peer = &node->peers[at];
    *peer = (struct peer_state){.node = node, .node_id = node_id};
    peer->lost_timer.fire = on_lost_timer;
    peer->lost_timer.data = peer;
    return peer;
}

void peers__init(struct node *node)
{
    for (uint32_t i = 0; i < node->options.peers_count; i++) {
        (void)add_peer(node, node->options.peers[i].node_id);
    }
}

static void close_peer(struct peer_state *peer)
{
    io_timer_stop(peer->node->io, &peer->lost_timer);
    heartbeat_books_close(&peer->heartbeats);
    *peer = (struct peer_state){0};
}

void peers__close(struct node *node)
{
    for (uint32_t i = 0; i < node->peers_count; i++) {
        if (node->peers[i].node_id != 0) close_peer(&node->peers[i]);
    }
}

static void on_forgotten(void *data, uint64_t node_id)
{
    struct node *node = data;
    struct peer_state *peer = node__peer(node, node_id);
    if (peer) close_peer(peer);
}

/* ---- what meta says ------------------------------------------------------------------------------------------------------ */

static void learn_addresses(struct node *node)
{
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t count = meta_nodes(&node->meta, nodes, META_NODES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (nodes[i].node_id == node->identity.node_id || !nodes[i].peer_address[0]) continue;
        if (peer_hub_set_node(node->hub, nodes[i].node_id, nodes[i].peer_address)) {
            add_peer(node, nodes[i].node_id)->is_learned = true;
        } else {
            node__log(node, "error",
                      "event=\"no room for one more peer\" peer=%" PRIu64 " known=%u",
                      nodes[i].node_id, PEER_KNOWN_MAX);
        }
    }
}

static bool says_removed(const struct peer_state *peer, uint64_t own_id)
{
    char refusal[NODE_STATUS_TEXT_BYTES];
    if (peer->node_id == 0 || !peer->trouble[0]) return false;
    snprintf(refusal, sizeof(refusal), " refuses n%" PRIu64 ": n%" PRIu64 " " PEERS_REMOVED, own_id,
             own_id);
    return strstr(peer->trouble, refusal) != NULL;
}

bool peers__was_removed(const struct node *node)
{
    for (uint32_t i = 0; i < node->peers_count; i++) {
        if (says_removed(&node->peers[i], node->identity.node_id)) return true;
    }
    return false;
}

static void forget_removed(struct node *node, struct peer_state *peer)
{
    struct meta_node known;
    if (!peer->is_learned || meta_node_get(&node->meta, peer->node_id, &known)) return;
    peer->is_learned = false;
    if (is_configured(node, peer->node_id)) {
        (void)peer_hub_set_node(node->hub, peer->node_id, "");
        return;
    }
    char text[NODE_STATUS_TEXT_BYTES];
    snprintf(text, sizeof(text), "n%" PRIu64 " was removed from the cluster", peer->node_id);
    peer_hub_remove_node(node->hub, peer->node_id, text);
}

static void judge_again(struct node *node, struct peer_state *peer)
{
    const struct peer_hello *hello = peer_hello_of(node->hub, peer->node_id);
    if (!hello || !peer_is_up(node->hub, peer->node_id, PEER_CONTROL)) return;
    char text[NODE_STATUS_TEXT_BYTES];
    const char *reason = on_refuse(node, hello, text, sizeof(text));
    if (!reason) return;
    node__log(node, "warn", "event=\"peer dismissed\" peer=%" PRIu64 " reason=\"%s\"",
              peer->node_id, reason);
    peer_hub_dismiss(node->hub, peer->node_id, reason);
}

void peers__follow_meta(struct node *node)
{
    if (!node->meta_group) return;
    struct raft_view view;
    raft_view(node->meta_group->raft, io_now_ms(node->io), &view);
    if (node->followed_index == node->meta.applied_index &&
        node->followed_configuration == view.configuration_index) {
        return;
    }
    node->followed_index = node->meta.applied_index;
    node->followed_configuration = view.configuration_index;
    learn_addresses(node);
    for (uint32_t i = 0; i < node->peers_count; i++) {
        struct peer_state *peer = &node->peers[i];
        if (peer->node_id == 0 || peer->node_id == node->identity.node_id) continue;
        forget_removed(node, peer);
        judge_again(node, peer);
    }
}

/* ---- what the hub tells ---------------------------------------------------------------------------------------------- */

static void leader_lost(struct node *node, uint64_t node_id)
{
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        if (group->leader != node_id) continue;
        struct raft_event event = {.type = RAFT_EVENT_LEADER_LOST, .node = node_id};
        (void)group__step(group, &event);
    }
}

static void on_lost_timer(struct io_timer *timer)
{
    struct peer_state *peer = timer->data;
    struct node *node = peer->node;
    if (!node__enter(node) || !peer->lost_pending) return;
    peer->lost_pending = false;
    leader_lost(node, peer->node_id);
    node__post(node);
}

static void note_membership(struct node *node, struct peer_state *peer,
                            const struct peer_hello *hello)
{
    peer->is_member =
        !is_newcomer(hello) && cluster_id_equal(&hello->cluster, &node->identity.cluster);
    peer->is_joining = !peer->is_member && !cluster_id_is_zero(&node->identity.cluster);
    if (!peer->is_joining) return;
    node__log(node, "info", "event=\"peer asks to join\" peer=%" PRIu64 " incarnation=%016" PRIx64,
              peer->node_id, hello->incarnation);
}

static void on_up(void *data, const struct peer_hello *hello)
{
    struct node *node = data;
    if (!node__enter(node)) return;
    struct peer_state *peer = add_peer(node, hello->node_id);
    const bool other_process = peer->process && peer->process != hello->process;
    peer->process = hello->process;
    heartbeat_books_clear(&peer->heartbeats);
    peer->trouble[0] = 0;
    peer->offered.nodes_count = 0;
    if (peer->lost_pending) {
        peer->lost_pending = false;
        io_timer_stop(node->io, &peer->lost_timer);
        if (other_process && !PLANTED(C5_OTHER_PROCESS_IS_THE_SAME))
            leader_lost(node, hello->node_id);
    }
    node__log(node, "info", "event=\"peer connected\" peer=%" PRIu64, hello->node_id);
    note_membership(node, peer, hello);
    if (node->state == NODE_FOUNDING) {
        offered__look(node);
        if (node->state == NODE_FOUNDING) founding__check(node);
    } else if (cluster_id_is_zero(&hello->cluster)) {
        founding__send(node, hello->node_id);
    }
    if (node__peer_is_usable(node, hello->node_id)) peer->heartbeats.greets = true;
    directory__tell_all(node, hello->node_id);
    request__unpark(node, NULL);
    node__post(node);
}

static void on_down(void *data, uint64_t node_id, uint64_t process)
{
    struct node *node = data;
    (void)process;
    if (!node__enter(node)) return;
    struct peer_state *peer = node__peer(node, node_id);
    if (!peer) return;
    node__log(node, "warn", "event=\"peer disconnected, redialing\" peer=%" PRIu64, node_id);
    peer->lost_pending = true;
    const uint64_t wait_ms = RARELY(PEER_IS_LOST_AT_ONCE) ? 0 : node->options.heartbeat_ms;
    io_timer_start(node->io, &peer->lost_timer, wait_ms * 1000u);
    node__post(node);
}

static void bulk_moved(struct node *node, uint64_t node_id)
{
    if (PLANTED(C4_MOVEMENT_IS_NOT_TOLD)) return;
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        if (group->role != RAFT_LEADER) continue;
        struct raft_event event = {.type = RAFT_EVENT_BULK_MOVED, .node = node_id};
        (void)group__step(group, &event);
    }
}

static void resume_bases(struct node *node, uint64_t node_id)
{
    for (struct list_link *link = node->groups.next; link != &node->groups; link = link->next) {
        base_send__peer_up(list_entry(link, struct group, link), node_id);
    }
}

static void on_bulk(void *data, uint64_t node_id, bool up)
{
    struct node *node = data;
    if (!node__enter(node)) return;
    if (up) {
        /* What found no connection leaves now. Not after a stall: that a connection was made is no movement (C4), and what
         * waits leaves with the next heartbeat. */
        if (!peer_bulk_is_suspect(node->hub, node_id)) bulk_moved(node, node_id);
        resume_bases(node, node_id);
    } else {
        if (peer_bulk_is_suspect(node->hub, node_id)) {
            node__log(node, "warn",
                      "event=\"nothing moved on the bulk connection, connecting anew\" "
                      "peer=%" PRIu64,
                      node_id);
        }
        proxy__peer_down(node, node_id);
    }
    node__post(node);
}

static void on_bulk_moved(void *data, uint64_t node_id, bool drained)
{
    struct node *node = data;
    if (!node__enter(node)) return;
    struct peer_state *peer = node__peer(node, node_id);
    if (!peer) return;
    /* Every write would be too often: CheckQuorum asks whether anything moved within election timeouts (C4). */
    const uint64_t now_us = io_now_us(node->io);
    if (!drained && now_us - peer->moved_told_us < node->options.heartbeat_ms * 500u) return;
    peer->moved_told_us = now_us;
    bulk_moved(node, node_id);
    node__post(node);
}

static void on_frame(void *data, const struct peer_frame *frame)
{
    struct node *node = data;
    if (!node__enter(node) || node->quiesced) return;
    switch (frame->type) {
    case PEER_FRAME_RAFT:
    case PEER_FRAME_HEARTBEATS:
        replicate__frame(node, frame);
        break;
    case PEER_FRAME_FOUNDING:
        founding__received(node, frame->node_id, frame->body, frame->bytes);
        break;
    case PEER_FRAME_REQUEST:
    case PEER_FRAME_RESPONSE:
    case PEER_FRAME_CANCEL:
        proxy__frame(node, frame);
        break;
    case PEER_FRAME_JOIN:
        join__asked(node, frame);
        break;
    case PEER_FRAME_JOIN_ANSWER:
        join__answered(node, frame);
        break;
    case PEER_FRAME_UNKNOWN_GROUP:
        if (frame->bytes == REPLICATE_UNKNOWN_BYTES) {
            node->counters.unknown_told++;
        } else {
            node->counters.bad_frames++;
        }
        break;
    case PEER_FRAME_TOPIC:
        if (node__peer_is_usable(node, frame->node_id)) directory__notice(node, frame);
        break;
    case PEER_FRAME_CHANGE:
        if (node__peer_is_usable(node, frame->node_id)) changes__received(node, frame);
        break;
    case PEER_FRAME_CHAIN:
        if (node__peer_is_usable(node, frame->node_id)) chains__received(node, frame);
        break;
    case PEER_FRAME_BASE:
        base_receive__frame(node, frame);
        break;
    case PEER_FRAME_REPAIR:
        if (node__peer_is_usable(node, frame->node_id)) repair__frame(node, frame);
        break;
    case PEER_FRAME_HELLO:
    case PEER_FRAME_HELLO_ACK:
    case PEER_FRAME_GOODBYE:
    case PEER_FRAME_PING:
    case PEER_FRAME_PONG:
        node->counters.bad_frames++;
        break;
    }
    node__post(node);
}

static void on_trouble(void *data, uint64_t node_id, const char *reason)
{
    struct node *node = data;
    if (!node__enter(node)) return;
    struct peer_state *peer = node__peer(node, node_id);
    if (peer) {
        snprintf(peer->trouble, sizeof(peer->trouble), "%s", reason);
        peer->trouble_us = io_now_us(node->io);
    }
    node__log(node, "warn", "event=\"peer trouble\" peer=%" PRIu64 " reason=\"%s\"", node_id,
              reason);
}

const struct peer_callbacks peers__callbacks = {
    .up = on_up,
    .down = on_down,
    .bulk = on_bulk,
    .frame = on_frame,
    .bulk_moved = on_bulk_moved,
    .trouble = on_trouble,
    .refuse = on_refuse,
    .forgotten = on_forgotten,
};
