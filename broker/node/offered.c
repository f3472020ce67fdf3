/* A founding that is told to an empty node and does not list its directory: of the cluster that it is to join (PROTOCOL M6).
 *
 *   told ──> are all nodes of the list here? ──yes, or patience is over──> no two clusters among them ──> taken, for good
 *                       │no: wait                                               │two: named, and waited
 *
 * An empty directory binds itself to the cluster that it takes, so it looks at all the others before. Two clusters behind one
 * list of peers are a mistake of whoever started the nodes, and which one was meant is not for the order of frames to say.
 * A founding that lists this very directory is another matter: it was empty when that cluster was founded, and is of no other. */
#include "offered.h"

#include "founding.h"
#include "internal.h"
#include "peers.h"

#include <planted/planted.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Who is up answers within milliseconds; a node that is down must not keep others out. */
#define PATIENCE_US   1000000u
#define JOINS_NEITHER ", so this node joins neither"

void offered__note(struct node *node, uint64_t from, const struct founding *founding)
{
    struct peer_state *peer = node__peer(node, from);
    if (!peer) return;
    peer->offered = *founding;
    if (node->offered_us == 0) node->offered_us = io_now_us(node->io);
    offered__look(node);
}

static bool all_are_here(const struct node *node)
{
    for (uint32_t i = 0; i < node->options.peers_count; i++) {
        const uint64_t id = node->options.peers[i].node_id;
        if (id != node->identity.node_id && !peer_is_up(node->hub, id, PEER_CONTROL)) return false;
    }
    return true;
}

/* The first one that is here and told a founding; NULL: there is none. */
static const struct peer_state *teller(const struct node *node)
{
    for (uint32_t i = 0; i < node->peers_count; i++) {
        const struct peer_state *peer = &node->peers[i];
        if (peer->node_id == 0 || peer->offered.nodes_count == 0) continue;
        if (peer_is_up(node->hub, peer->node_id, PEER_CONTROL)) return peer;
    }
    return NULL;
}

/* One that is here and of another cluster than was told; NULL: there is none. */
static struct peer_state *stranger(struct node *node, const struct founding *founding)
{
    struct cluster_id offered;
    memcpy(offered.bytes, founding->cluster, sizeof(offered.bytes));
    for (uint32_t i = 0; i < node->peers_count; i++) {
        struct peer_state *peer = &node->peers[i];
        if (peer->node_id == 0 || !peer_is_up(node->hub, peer->node_id, PEER_CONTROL)) continue;
        const struct peer_hello *hello = peer_hello_of(node->hub, peer->node_id);
        if (!hello || cluster_id_is_zero(&hello->cluster)) continue;
        if (!cluster_id_equal(&hello->cluster, &offered)) return peer;
    }
    return NULL;
}

static void name_cluster(const uint8_t *cluster, char name[33])
{
    for (uint32_t i = 0; i < 16; i++) {
        snprintf(name + 2u * i, 3, "%02x", cluster[i]);
    }
}

static void name_both(struct node *node, const struct peer_state *first, struct peer_state *second)
{
    char text[NODE_STATUS_TEXT_BYTES];
    char names[2][33];
    name_cluster(first->offered.cluster, names[0]);
    name_cluster(peer_hello_of(node->hub, second->node_id)->cluster.bytes, names[1]);
    snprintf(text, sizeof(text),
             "n%" PRIu64 " is of cluster %.8s and n%" PRIu64 " of cluster %.8s" JOINS_NEITHER
             "; stop the one that does not belong here",
             first->node_id, names[0], second->node_id, names[1]);
    if (strcmp(second->trouble, text) == 0) return;
    memcpy(second->trouble, text, sizeof(text));
    node__log(node, "error",
              "event=\"two clusters among the peers, joining neither\" peer=%" PRIu64
              " cluster=%s other_peer=%" PRIu64 " other_cluster=%s",
              first->node_id, names[0], second->node_id, names[1]);
}

static void name_no_more(struct node *node)
{
    for (uint32_t i = 0; i < node->peers_count; i++) {
        if (strstr(node->peers[i].trouble, JOINS_NEITHER)) node->peers[i].trouble[0] = 0;
    }
}

void offered__look(struct node *node)
{
    if (node->state != NODE_FOUNDING || node->offered_us == 0) return;
    const struct peer_state *first = teller(node);
    if (!first) { /* it tells again when it is back */
        node->offered_us = io_now_us(node->io);
        return;
    }
    struct peer_state *second = stranger(node, &first->offered);
    if (second && !PLANTED(M6_FIRST_OF_TWO_CLUSTERS_IS_JOINED)) {
        name_both(node, first, second);
        node->offered_us =
            io_now_us(node->io); /* one that is away for a moment is of the two still */
        return;
    }
    const bool is_over = io_now_us(node->io) - node->offered_us >= PATIENCE_US;
    if (!is_over && !all_are_here(node) && !PLANTED(M6_FIRST_OF_TWO_CLUSTERS_IS_JOINED)) return;
    name_no_more(node);
    founding__take(node, first->node_id, &first->offered);
}
