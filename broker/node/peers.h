/* The other nodes: what is known of each, and who may be connected (PROTOCOL M2, M3, M5). */
#ifndef BROKER_NODE_PEERS_H
#define BROKER_NODE_PEERS_H

#include "clock.h"
#include "heartbeat.h"

#include <broker/io.h>
#include <broker/node.h>
#include <broker/peer.h>
#include <broker/raft_codec.h>

struct node;

/* Another node, from the first time that it was heard of. */
struct peer_state {
    bool is_learned; /* meta names it */
    bool
        is_member; /* it connected last as a member of this cluster: Raft traffic goes to and from it */
    bool is_joining; /* it connected last without a replica of group 0 */
    uint64_t process;
    uint64_t moved_told_us;     /* last BULK_MOVED that was stepped */
    struct io_timer lost_timer; /* PROTOCOL C5: one heartbeat after the control connection closed */
    bool lost_pending;
    struct node *node;
    uint64_t node_id;
    char trouble[NODE_STATUS_TEXT_BYTES];
    uint64_t trouble_us;
    struct heartbeat_books heartbeats; /* PROTOCOL C6 */
    struct clock_reading clock;        /* PROTOCOL C8; kept while it is away */
    struct founding offered; /* by it, on this connection (offered.c); no nodes: none was */
    bool is_full;            /* it takes no messages, for lack of space, as it said last */
};

/* What a node that was removed is told, behind its name (status.c knows it again). */
#define PEERS_REMOVED                                                                        \
    "was removed from the cluster; stop it, or empty its data directory and admit it again " \
    "with `raftmq cluster add`"

extern const struct peer_callbacks peers__callbacks;
/* From the list that the node was started with. */
void peers__init(struct node *node);
void peers__close(struct node *node); /* the hub is gone */
/* Nodes come, move and go as the applied state of meta says. Cheap when nothing changed. */
void peers__follow_meta(struct node *node);
/* Others let this node go: what it holds is worth nothing any more, and nobody is missing. */
bool peers__was_removed(const struct node *node);
/* A member of group 0 by the configuration in use, or by one that is being changed. */
bool peers__may_be_in_meta(const struct node *node, uint64_t node_id);
/* By what it said last of itself, on either connection: a request may come before its control connection is up. */
bool peers__came_as_member(const struct node *node, uint64_t node_id);

#endif
