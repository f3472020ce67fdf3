/* Who may connect with whom. The sentences are read on both sides, so they name nodes, never "you" or "me". */
#include "hub.h"

#include <planted/planted.h>

#include <inttypes.h>
#include <stdio.h>

#define CLUSTER_TEXT_BYTES 33u

static const char *cluster_text(const struct cluster_id *cluster, char *text)
{
    for (size_t i = 0; i < sizeof(cluster->bytes); i++) {
        snprintf(text + 2 * i, 3, "%02x", cluster->bytes[i]);
    }
    return text;
}

bool hub__has_other_incarnation(struct peer_hub *hub, const struct peer_hello *hello)
{
    const struct peer_node *node = hub__node(hub, hello->node_id);
    for (uint32_t kind = 0; node && kind < CONNECTION_KINDS; kind++) {
        const struct peer_link *up = node->slots[kind].up;
        if (PLANTED(M2_SECOND_INCARNATION_IS_ADMITTED)) continue;
        if (up && up->hello.incarnation != hello->incarnation) return true;
    }
    return false;
}

/* A node without a cluster is accepted by everybody: it will be founded or join. */
static bool is_other_cluster(const struct cluster_id *a, const struct cluster_id *b)
{
    return !cluster_id_is_zero(a) && !cluster_id_is_zero(b) && !cluster_id_equal(a, b);
}

static const char *refused_by_owner(struct peer_hub *hub, const struct peer_hello *theirs,
                                    char *text, size_t text_bytes)
{
    const struct peer_callbacks *callbacks = hub->callbacks;
    const char *reason =
        callbacks->refuse ? callbacks->refuse(hub->data, theirs, text, text_bytes) : NULL;
    if (reason || hub__node(hub, theirs->node_id)) return reason;
    if (!callbacks->refuse) {
        snprintf(text, text_bytes, "n%" PRIu64 " is not in the list of peers of n%" PRIu64,
                 theirs->node_id, hub->hello.node_id);
        return text;
    }
    if (hub__has_room(hub)) return NULL;
    snprintf(text, text_bytes,
             "n%" PRIu64 " knows %u nodes already, there is no room for n%" PRIu64,
             hub->hello.node_id, PEER_KNOWN_MAX, theirs->node_id);
    return text;
}

const char *hub__refusal(struct peer_hub *hub, const struct peer_link *link,
                         const struct hello_message *message, char *text, size_t text_bytes)
{
    const struct peer_hello *theirs = &message->hello;
    const struct peer_hello *ours = &hub->hello;
    if (theirs->node_id == ours->node_id) {
        snprintf(text, text_bytes,
                 "both nodes have the id n%" PRIu64 "; give each node an id of its own",
                 ours->node_id);
        return text;
    }
    if (link->is_dialed && theirs->node_id != link->node_id) {
        snprintf(text, text_bytes,
                 "n%" PRIu64 " answers at the address that n%" PRIu64 " has for n%" PRIu64
                 "; correct the list of peers",
                 theirs->node_id, ours->node_id, link->node_id);
        return text;
    }
    if (link->is_dialed && message->connection != link->kind) {
        snprintf(text, text_bytes, "n%" PRIu64 " took the connection for another kind",
                 theirs->node_id);
        return text;
    }
    if (is_other_cluster(&theirs->cluster, &ours->cluster)) {
        char their_cluster[CLUSTER_TEXT_BYTES];
        char our_cluster[CLUSTER_TEXT_BYTES];
        snprintf(text, text_bytes,
                 "n%" PRIu64 " belongs to cluster %s, n%" PRIu64
                 " to cluster %s; one of them has the wrong data directory or list of peers",
                 theirs->node_id, cluster_text(&theirs->cluster, their_cluster), ours->node_id,
                 cluster_text(&ours->cluster, our_cluster));
        return text;
    }
    /* The owner first: of a directory that is of no use any more it is no help to stop the other one. */
    const char *reason = refused_by_owner(hub, theirs, text, text_bytes);
    if (reason) return reason;
    if (hub__has_other_incarnation(hub, theirs)) {
        snprintf(text, text_bytes,
                 "n%" PRIu64 " is connected to n%" PRIu64
                 " with another data directory; stop one of the two processes",
                 theirs->node_id, ours->node_id);
        return text;
    }
    return NULL;
}
