/* How a cluster comes to be (PROTOCOL M6), and how a node finds its place in one.
 *
 *   empty ──all configured peers are empty, lists equal, most of them may found,
 *     │                     and of these I have the lowest id──> founding durable ──> vote store ──> mark ──> group 0
 *     └──────────────a founding arrives from any peer, it lists my incarnation──────────^
 *     └──────────────a founding arrives that does not list this directory (offered.c)──> asks to join (join.c) ──joined──^
 *
 * A node that held another directory before has a durable mark: it never founds. A cluster once was, and if most nodes say
 * so, it may have acknowledged what a new one would not have: then nobody founds. With a majority that never held anything
 * no cluster over this list can have acknowledged anything.
 *
 * A node makes one founding durable, ever. It is the base of group 0 at index 0. A founded node sends it to every empty
 * node that connects, so a lost frame costs nothing but the reconnect. */
#include "founding.h"

#include "birth.h"
#include "drop.h"
#include "group.h"
#include "internal.h"
#include "lost.h"
#include "mending.h"
#include "offered.h"
#include "opening.h"
#include "peers.h"
#include "turn.h"
#include "votes.h"

#include <broker/raft_codec.h>
#include <planted/planted.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool lists_equal(const struct node *node, const struct peer_hello *hello)
{
    if (hello->peers_count != node->options.peers_count) return false;
    for (uint32_t i = 0; i < hello->peers_count; i++) {
        bool found = false;
        for (uint32_t j = 0; j < node->options.peers_count; j++) {
            if (hello->peers[i].node_id == node->options.peers[j].node_id) found = true;
        }
        if (!found) return false;
    }
    return true;
}

static void founding_configuration(const struct founding *founding,
                                   struct raft_configuration *ret_configuration)
{
    memset(ret_configuration, 0, sizeof(*ret_configuration));
    for (uint32_t i = 0; i < founding->nodes_count; i++) {
        /* M9: above 5 nodes meta has 5 voters, the rest are its learners. */
        ret_configuration->members[i] = (struct raft_member){
            .id = {.node = founding->nodes[i].node_id, .epoch = 0},
            .voter = i < META_VOTERS_MAX || PLANTED(M9_ALL_VOTE_IN_META),
        };
    }
    ret_configuration->members_count = founding->nodes_count;
}

/* M6: the founding is durable before anybody hears of it. Blocks for two syncs, once in the life of a directory. */
static bool make_durable(struct node *node, const struct founding *founding)
{
    const size_t bytes =
        founding_encode(founding, node->identity.founding, sizeof(node->identity.founding));
    assert(bytes > 0 && bytes <= sizeof(node->identity.founding));
    node->identity.founding_bytes = (uint32_t)bytes;
    memcpy(node->identity.cluster.bytes, founding->cluster, sizeof(founding->cluster));
    if (PLANTED(M6_FOUNDING_IS_NOT_DURABLE)) return true;
    if (node_identity_save(node->disk, node->data_directory, &node->identity) == 0) return true;
    node__fatal(node, NODE_FATAL_DISK, "cannot make the founding durable in %s",
                node->data_directory);
    return false;
}

/* The founding names me by this very directory. */
static bool lists_me(const struct node *node, const struct founding *founding)
{
    for (uint32_t i = 0; i < founding->nodes_count; i++) {
        if (founding->nodes[i].node_id == node->identity.node_id) {
            return founding->nodes[i].incarnation == node->identity.incarnation ||
                   PLANTED(M5_ANY_INCARNATION_IS_LISTED);
        }
    }
    return false;
}

bool founding__lists_me(const struct node *node)
{
    return lists_me(node, &node->founding);
}

static void store_failed(struct node *node, enum segment_log_status status,
                         const struct segment_log_problem *problem)
{
    if (status == SEGMENT_LOG_BAD_VERSION) {
        node__fatal(node, NODE_FATAL_CONFIG,
                    "%s: %s; start the version of raftmq that wrote it, or a newer one",
                    problem->path, problem->reason);
        return;
    }
    const enum node_fatal code = status == SEGMENT_LOG_IO || status == SEGMENT_LOG_FULL
                                     ? NODE_FATAL_DISK
                                     : NODE_FATAL_DAMAGE;
    node__fatal(node, code, "%s at %" PRIu64 ": %s (%s)%s",
                problem->path[0] ? problem->path : node->data_directory, problem->pos,
                problem->reason[0] ? problem->reason : "cannot be opened",
                segment_log_status_text(status),
                code == NODE_FATAL_DAMAGE
                    ? "; move the directory aside, keep it, and start on an empty one, which joins "
                      "the others"
                    : "");
}

static bool open_store(struct node *node, bool create)
{
    struct segment_log_problem problem = {0};
    if (node->identity.votes_lost) return votes__recover(node); /* a crash came between */
    const enum segment_log_status status =
        node_store_open(node->disk, node->data_directory, &node->identity.cluster,
                        node->identity.node_id, create, &node->store, &problem);
    if (status == SEGMENT_LOG_OK) return true;
    const bool is_lost = status == SEGMENT_LOG_DAMAGED || status == SEGMENT_LOG_MISSING;
    if (is_lost && node->identity.replicas_made) {
        node__log(node, "error",
                  "event=\"the votes of this node are lost\" path=\"%s\" reason=\"%s\"",
                  problem.path, problem.reason);
        return votes__recover(node);
    }
    store_failed(node, status, &problem);
    return false;
}

/* M4: from here on the store is never missing by a crash. Before the first replica, so before the first vote. */
static bool mark_replicas_made(struct node *node)
{
    if (node->identity.replicas_made) return true;
    node->identity.replicas_made = true;
    if (node_identity_save(node->disk, node->data_directory, &node->identity) == 0) return true;
    node__fatal(node, NODE_FATAL_DISK, "cannot mark %s/identity", node->data_directory);
    return false;
}

/* Its base at index 0 is the founding on every node. Epoch 0: a founder's; else that of the CONFIG entry that took this
 * directory in, by which it is a learner until the group makes it a voter (M3, M5). */
static void make_group_zero(struct node *node, uint64_t epoch)
{
    struct raft_configuration configuration;
    founding_configuration(&node->founding, &configuration);
    node->state = NODE_JOINING;
    const bool campaign = epoch == 0 && node->founding.founder == node->identity.node_id;
    group__make(node, 0, epoch, epoch, &configuration, campaign, "", 0);
}

static void start_asking(struct node *node)
{
    node->state = NODE_ASKING;
    node->join.number = node__random_number(node);
    node->join.knows_registered = false;
    node->join.registered = 0;
    node->join.asked_us = 0;
    if (node->join.is_lost) {
        node__log(node, "warn",
                  "event=\"the replica of group 0 is lost, asking for another one\" epoch=%" PRIu64,
                  node->join.lost_epoch);
        return;
    }
    node__log(node, "warn",
              "event=\"this data directory is new to the cluster, asking to join\" "
              "incarnation=%016" PRIx64,
              node->identity.incarnation);
}

/* Open every recorded replica. Group 0 is made when its record is missing, which is the crash between founding, or joining,
 * and record (M4); where the crash took the epoch with it, the cluster is asked again. */
static bool open_groups(struct node *node)
{
    bool has_meta = false;
    for (uint32_t i = 0; i < node_store_count(node->store); i++) {
        struct node_record record;
        if (!node_store_at(node->store, i, &record)) break;
        if (record.state != NODE_REPLICA_MADE) continue;
        if (!group__open(node, &record)) return false;
        if (record.group == 0) has_meta = node->meta_group != NULL;
    }
    group__sweep(node);
    const bool went_with_votes = node->identity.votes_lost_below == UINT64_MAX;
    struct node_record meta;
    const bool is_dropped =
        node_store_get(node->store, 0, &meta) && meta.state == NODE_REPLICA_DROPPED;
    if (mending__find(node, 0)) {
        node->state = NODE_JOINING; /* until it is mended */
    } else if (has_meta) {
        node__start_running(node);
    } else if (node->state == NODE_ASKING) { /* its replica of group 0 was lost */
        return true;
    } else if (went_with_votes) {
        founding__ask_again(node, node->identity.meta_epoch);
    } else if (is_dropped) {
        founding__ask_again(node, meta.epoch);
    } else if (lists_me(node, &node->founding) && node->identity.meta_epoch == 0) {
        make_group_zero(node, 0);
    } else {
        start_asking(node);
    }
    return true;
}

void founding__ask_again(struct node *node, uint64_t lost_epoch)
{
    node->join.is_lost = true;
    node->join.lost_epoch = lost_epoch;
    meta_close(&node->meta);
    meta_init(&node->meta);
    node->cluster_changed = true;
    start_asking(node);
}

bool founding__start(struct node *node)
{
    if (node->identity.founding_bytes == 0) return true;
    if (!founding_decode(node->identity.founding, node->identity.founding_bytes, &node->founding)) {
        node__fatal(node, NODE_FATAL_DAMAGE, "%s/identity: the founding cannot be read",
                    node->data_directory);
        return false;
    }
    if (!lists_me(node, &node->founding) && node->identity.incarnation_index == 0) {
        start_asking(node);
        return true;
    }
    /* The store is born right after the founding, then the identity is marked. It is missing only when the crash came
     * before the mark; there are no groups then either, which tells more in a directory older than the mark (M4). */
    const bool fresh = !node->identity.replicas_made && !group__any_directory(node);
    if (!open_store(node, fresh) || !mark_replicas_made(node)) return false;
    return open_groups(node);
}

/* A founding is known and durable: start as one of its nodes, or stay out. */
static void adopt(struct node *node)
{
    node->cluster_changed = true;
    node__post(node);
    if (!lists_me(node, &node->founding)) {
        start_asking(node);
        return;
    }
    if (!open_store(node, true) || !mark_replicas_made(node)) return;
    make_group_zero(node, 0);
}

/* ---- taken in ----------------------------------------------------------------------------------------------------------------- */

/* What makes this directory a member's is written by a job: a disk that hangs is no reason not to answer meanwhile. */
struct founding_entry {
    struct io_job job;
    struct node *node;
    struct node_identity identity;
    struct node_store *store; /* made by the job; NULL: there is one */
    bool has_store;
    int error;
    enum segment_log_status status; /* of the store */
    struct segment_log_problem problem;
};

static void run_entry(struct io_job *job)
{
    struct founding_entry *entry = job->data;
    struct node *node = entry->node;
    entry->error = node_identity_save(node->disk, node->data_directory, &entry->identity);
    if (entry->error < 0) return;
    if (!entry->has_store) {
        entry->status = node_store_open(node->disk, node->data_directory, &entry->identity.cluster,
                                        entry->identity.node_id, !entry->identity.replicas_made,
                                        &entry->store, &entry->problem);
        if (entry->status != SEGMENT_LOG_OK) return;
    }
    if (entry->identity.replicas_made) return;
    entry->identity.replicas_made =
        true; /* M4: before the first replica, so before the first vote */
    entry->error = node_identity_save(node->disk, node->data_directory, &entry->identity);
}

static void done_entry(struct io_job *job)
{
    struct founding_entry *entry = job->data;
    struct node *node = entry->node;
    node->setup_jobs_count--;
    if (!node__enter(node)) return; /* freed with the node */
    node->entry = NULL;
    if (entry->error < 0) {
        node__fatal(node, NODE_FATAL_DISK, "cannot write %s/identity", node->data_directory);
    } else if (entry->status != SEGMENT_LOG_OK) {
        store_failed(node, entry->status, &entry->problem);
    } else {
        node->identity = entry->identity;
        if (!entry->has_store) node->store = entry->store;
        entry->store = NULL;
        node->cluster_changed = true;
        node->join.is_lost = false;
        node__log(node, "info", "event=\"joined the cluster\" epoch=%" PRIu64,
                  node->identity.meta_epoch);
        /* One that stops takes no part any more; its next life asks again. */
        if (node->state == NODE_JOINING) make_group_zero(node, node->identity.meta_epoch);
        node__post(node);
    }
    founding__free_entry(entry);
}

void founding__free_entry(struct founding_entry *entry)
{
    if (!entry) return;
    node_store_close(entry->store);
    free(entry);
}

void founding__joined(struct node *node, uint64_t epoch, uint64_t incarnation_index)
{
    assert(node->state == NODE_ASKING);
    assert(epoch > incarnation_index);
    assert(!node->entry);
    if (!lost__end_meta(node)) return; /* it asks again */
    struct founding_entry *entry = calloc(1, sizeof(*entry));
    if (!entry) abort();
    entry->node = node;
    entry->identity = node->identity;
    entry->identity.incarnation_index = incarnation_index;
    entry->identity.meta_epoch = epoch;
    /* V3: from here on it is known which epochs this node may have voted by. */
    if (entry->identity.votes_lost_below == UINT64_MAX) {
        entry->identity.votes_lost_below = epoch - 1u;
    }
    entry->has_store = node->store != NULL;
    entry->job = (struct io_job){.run = run_entry, .done = done_entry, .data = entry};
    node->state = NODE_JOINING;
    node->entry = entry;
    node->setup_jobs_count++;
    io_job_submit(node->io, node->setup_queue, &entry->job);
    node__post(node);
}

static void propose_founding(struct node *node)
{
    struct founding founding = {.founder = node->identity.node_id};
    do {
        io_random(node->io, founding.cluster, sizeof(founding.cluster));
    } while (cluster_id_is_zero((const struct cluster_id *)(const void *)founding.cluster));
    /* By ascending node id: insertion sort of at most FOUNDING_NODES_MAX. */
    for (uint32_t i = 0; i < node->options.peers_count; i++) {
        const uint64_t id = node->options.peers[i].node_id;
        const struct peer_hello *hello =
            id == node->identity.node_id ? NULL : peer_hello_of(node->hub, id);
        const uint64_t incarnation = hello ? hello->incarnation : node->identity.incarnation;
        uint32_t at = founding.nodes_count++;
        while (at > 0 && founding.nodes[at - 1].node_id > id) {
            founding.nodes[at] = founding.nodes[at - 1];
            at--;
        }
        founding.nodes[at].node_id = id;
        founding.nodes[at].incarnation = incarnation;
    }
    if (!make_durable(node, &founding)) return;
    node->founding = founding;
    node__log(node, "info", "event=\"founded the cluster\" nodes=%u", founding.nodes_count);
    adopt(node);
}

/* All configured peers are here and empty, with the same list. */
static bool all_are_empty(struct node *node)
{
    for (uint32_t i = 0; i < node->options.peers_count; i++) {
        const uint64_t id = node->options.peers[i].node_id;
        if (id == node->identity.node_id) continue;
        const struct peer_hello *hello = peer_hello_of(node->hub, id);
        if (!hello || !peer_is_up(node->hub, id, PEER_CONTROL)) return false;
        if (!cluster_id_is_zero(&hello->cluster)) return false; /* it will send its founding */
        if (lists_equal(node, hello)) continue;
        struct peer_state *peer = node__peer(node, id);
        snprintf(peer->trouble, sizeof(peer->trouble),
                 "n%" PRIu64 " was started with another list of peers; start all nodes with "
                 "the same --peers",
                 id);
        node__log(node, "error", "event=\"lists of peers differ, not founding\" peer=%" PRIu64, id);
        if (PLANTED(M6_UNEQUAL_LISTS_FOUND)) continue;
        return false;
    }
    return true;
}

/* Count of the nodes that may found, and the lowest id among them. */
static uint32_t founders(struct node *node, uint64_t *ret_lowest)
{
    uint32_t count = 0;
    *ret_lowest = UINT64_MAX;
    for (uint32_t i = 0; i < node->options.peers_count; i++) {
        const uint64_t id = node->options.peers[i].node_id;
        if (founding__cannot_found(node, id)) continue;
        count++;
        if (id < *ret_lowest) *ret_lowest = id;
    }
    return count;
}

bool founding__cannot_found(struct node *node, uint64_t node_id)
{
    if (PLANTED(M6_MARKED_NODE_FOUNDS)) return false;
    if (node_id == node->identity.node_id) return node->identity.join_only;
    const struct peer_hello *hello = peer_hello_of(node->hub, node_id);
    return hello && hello->cannot_found;
}

void founding__check(struct node *node)
{
    assert(node->state == NODE_FOUNDING);
    node->founding_barred = false;
    if (!all_are_empty(node)) return;
    uint64_t lowest;
    const uint32_t count = founders(node, &lowest);
    if (count * 2u <= node->options.peers_count) {
        node->founding_barred = true;
        node__log(node, "error",
                  "event=\"too few nodes may found, not founding\" may_found=%u nodes=%u", count,
                  node->options.peers_count);
        return;
    }
    bool is_first = lowest == node->identity.node_id;
    if (is_first || PLANTED(M6_ANY_NODE_FOUNDS)) propose_founding(node);
}

void founding__send(struct node *node, uint64_t to)
{
    if (node->identity.founding_bytes == 0) return;
    const struct io_buffer part = {.data = node->identity.founding,
                                   .bytes = node->identity.founding_bytes};
    (void)peer_send(node->hub, to, PEER_CONTROL, PEER_FRAME_FOUNDING, 0, &part, 1);
}

void founding__received(struct node *node, uint64_t from, const uint8_t *body, size_t bytes)
{
    /* One founding, ever. */
    if (node->state != NODE_FOUNDING && !PLANTED(M6_SECOND_FOUNDING_IS_TAKEN)) return;
    struct founding founding;
    if (bytes > NODE_FOUNDING_BYTES_MAX || !founding_decode(body, bytes, &founding)) {
        node->counters.bad_frames++;
        return;
    }
    if (PLANTED(M6_FOUNDING_ONLY_FROM_ITS_FOUNDER) && from != founding.founder) return;
    if (lists_me(node, &founding)) {
        founding__take(node, from, &founding);
    } else {
        offered__note(node, from, &founding);
    }
}

void founding__take(struct node *node, uint64_t from, const struct founding *founding)
{
    if (!make_durable(node, founding)) return;
    node->founding = *founding;
    node__log(node, "info", "event=\"knows the cluster\" told_by=%" PRIu64, from);
    adopt(node);
}
