/* Connections between the nodes of a cluster: handshake, checksummed frames, two connections per node pair.
 *
 * *control* carries votes, heartbeats, acks, ReadIndex and notices about groups, members and chains; *bulk* carries appends,
 * proxied requests and their answers, bases and repairs (PROTOCOL C4). Nothing relies on an order between the two.
 * The node with the lower id dials both and redials when one closes (at once, then backing off from 20 ms to 250 ms with
 * jitter); the other one accepts, and dials, too, when nothing came for 2 s: a node that moved to another address is not
 * found by those who dial. Every frame: length, type, cluster id, group id, checksum, checked before anything else looks at
 * it; a bad one closes the connection and is counted. No frame above PEER_HELLO_BYTES_MAX is accepted before the handshake
 * is complete.
 *
 * Handshake: both sides send HELLO (protocol version, cluster id or zero, node id, incarnation, process number, a nonce,
 * list of configured peers, advertised addresses, connection kind), then HELLO_ACK returning the other's nonce. A
 * connection is up when both acks arrived. Refused with a GOODBYE frame that carries the reason in words, which the
 * refused side logs and shows: another cluster id, own node id, a node that the owner does not want, a second incarnation of
 * a node id that is connected (M2), another protocol version. A zero cluster id (an empty node) is no other cluster.
 *
 * A connection on which nothing came for 1 s is asked for a sign of life, and closed after 3 s without one: a path that went
 * silent would stand until TCP gives up. A bulk connection on which bytes wait and none arrived for bulk_stall_us is made
 * anew (C4); its node is then *suspect*: what little moves on the new one is not told as movement, for a path that drops
 * large packets lets small ones through.
 *
 * Nodes come and go at run time (peer_hub_set_node, peer_hub_remove_node), at most PEER_KNOWN_MAX at once. One that the owner
 * does not refuse although the hub does not know it is a *guest*: it is forgotten with its last connection.
 *
 * Messages sent in one turn of the loop leave in one write per connection. */
#ifndef BROKER_PEER_H
#define BROKER_PEER_H

#include <broker/io.h>
#include <segment_log/checksum.h>

#define PEER_PROTOCOL_VERSION 1u
#define PEER_NODES_MAX        16u
/* Nodes that a hub knows at once, this one included: those of its list stay, though the cluster may consist of others by
 * now, and there may be guests. */
#define PEER_KNOWN_MAX         (2u * PEER_NODES_MAX)
#define PEER_ADDRESS_BYTES_MAX 256u
#define PEER_HELLO_BYTES_MAX   8192u /* PEER_NODES_MAX addresses of the greatest length fit in */
#define PEER_FRAME_BYTES_MAX   (20u * 1024u * 1024u)
/* unsent per connection; above it peer_send refuses */
#define PEER_QUEUE_BYTES_MAX (64u * 1024u * 1024u)
#define PEER_PARTS_MAX       32u /* of one frame */

enum peer_connection {
    PEER_CONTROL,
    PEER_BULK,
};

enum peer_frame_type {
    PEER_FRAME_HELLO = 1,
    PEER_FRAME_HELLO_ACK,
    PEER_FRAME_GOODBYE,
    PEER_FRAME_PING,
    PEER_FRAME_PONG,
    /* above: of the hub itself; below: handed to the owner */
    /* one raft message (raft_codec.h), in an APPEND followed by encoded entries */
    PEER_FRAME_RAFT = 16,
    PEER_FRAME_HEARTBEATS, /* coalesced heartbeats (PROTOCOL C6) */
    PEER_FRAME_FOUNDING,
    PEER_FRAME_REQUEST, /* a proxied client request and its answer */
    PEER_FRAME_RESPONSE,
    PEER_FRAME_UNKNOWN_GROUP, /* "unknown group, meta at i" (M7) */
    /* notices about a group, and questions for them: who leads it, a replica is made, dropped, lost (M8) */
    PEER_FRAME_TOPIC,
    PEER_FRAME_BASE,   /* a base on its way to a replica that is far behind (base_codec.h) */
    PEER_FRAME_CHANGE, /* how a change of members stands, to the leader of meta */
    PEER_FRAME_JOIN,   /* a node asks to join (join_codec.h, M5) */
    PEER_FRAME_JOIN_ANSWER,
    PEER_FRAME_CHAIN,  /* replicas compare their chains (PROTOCOL D6) */
    PEER_FRAME_REPAIR, /* entries that a replica has lost, asked of any other (repair_codec.h) */
    PEER_FRAME_CANCEL, /* nobody waits for the answer to a REQUEST any more */
};
#define PEER_FRAME_LAST PEER_FRAME_CANCEL

struct peer_config {
    uint64_t node_id;
    char address[PEER_ADDRESS_BYTES_MAX]; /* host:port */
};

/* What the other side said in its HELLO. */
struct peer_hello {
    uint64_t node_id;
    uint64_t incarnation;
    uint64_t process;
    struct cluster_id cluster; /* zero: empty node */
    /* of the meta entry that brought the incarnation into the cluster; 0: it is the founding's, or has not joined yet */
    uint64_t incarnation_index;
    bool is_joining;   /* it has no replica of the meta group and asks to join (PROTOCOL M5) */
    bool cannot_found; /* it held another directory before: it only joins (PROTOCOL M6) */
    /* its configured list, itself included, by ascending id */
    struct peer_config peers[PEER_NODES_MAX];
    uint32_t peers_count;
    char peer_address[PEER_ADDRESS_BYTES_MAX]; /* advertised to nodes */
    char http_address[PEER_ADDRESS_BYTES_MAX]; /* advertised to clients */
    char kafka_address[PEER_ADDRESS_BYTES_MAX];
    char version[32];
};

struct peer_frame {
    uint64_t node_id; /* from */
    enum peer_connection connection;
    enum peer_frame_type type;
    uint64_t group;
    const uint8_t *body; /* borrowed until return, 8-byte aligned */
    size_t bytes;
};

/* Called on the loop, never from inside a function of this header. A callback may call all of them but destroy. */
struct peer_callbacks {
    /* The control connection came up (again): hello is borrowed until return. */
    void (*up)(void *data, const struct peer_hello *hello);
    /* The control connection closed; `process` as in its hello. A new connection that replaces an old one
     * (half-open TCP) is told by down, then up: what was queued on the old one is lost. */
    void (*down)(void *data, uint64_t node_id, uint64_t process);
    /* The bulk connection came up or closed. Frames queued on it are lost when it closes, also when a new one replaces
     * it: then it is told as closed and up again. */
    void (*bulk)(void *data, uint64_t node_id, bool up);
    void (*frame)(void *data, const struct peer_frame *frame);
    /* Bytes arrived at the peer's kernel on the bulk connection since the last call (C4): at most every 20 ms. At once
     * with drained = true when its queue fell to or below IO_WRITE_LOW_WATER_BYTES after it was above it. */
    void (*bulk_moved)(void *data, uint64_t node_id, bool drained);
    /* A peer refused us, we refused it, or it cannot be reached: a sentence for the log and for status. The same one is
     * repeated at most every 10 s. node_id 0: somebody who did not say who he is. */
    void (*trouble)(void *data, uint64_t node_id, const char *reason);
    /* A node introduced itself, and nothing speaks against it but perhaps the owner: NULL, or why it is refused, in words
     * that both sides read, in `text`. It may be one that the hub does not know. Called in the middle of a handshake: it
     * must call nothing of this header but peer_hello_of() and peer_is_up(). NULL: all that the hub knows are welcome. */
    const char *(*refuse)(void *data, const struct peer_hello *hello, char *text,
                          size_t text_bytes);
    /* The hub does not know this node any more: it was removed, or a guest that went. May be NULL. */
    void (*forgotten)(void *data, uint64_t node_id);
};

struct peer_hub;

struct peer_hub_options {
    struct io *io;
    uint64_t node_id;
    uint64_t incarnation;
    uint64_t process;
    struct cluster_id cluster;
    uint64_t incarnation_index;
    bool cannot_found;
    bool is_joining;
    uint64_t bulk_stall_us; /* 0: bulk connections are not watched for movement */
    const char *listen_address;
    const struct peer_config *peers; /* array[peers_count], this node included; copied */
    uint32_t peers_count;
    const char *peer_address;
    const char *http_address;
    const char *kafka_address;
    const char *version;
    const struct peer_callbacks *callbacks; /* borrowed for the hub's life */
    void *data;
};

/* Listen and start to dial. 0 or a negative errno (-EADDRINUSE ...; -EINVAL: ids of 0, twice, more than PEER_NODES_MAX,
 * this node not among the peers, or a text that is too long). A hub of a single-node cluster listens as well. */
int peer_hub_create(const struct peer_hub_options *options, struct peer_hub **ret_hub);
void peer_hub_destroy(struct peer_hub *hub); /* closes everything; no callback follows */

/* What this node is changed (founded, joined): all connections are closed and made again under it. The callbacks that tell
 * so come later in this turn. Nothing happens when it is so already. */
void peer_hub_set_membership(struct peer_hub *hub, const struct cluster_id *cluster,
                             uint64_t incarnation_index, bool is_joining);

/* Know this node, by this address from now on, besides the one of the configured list: both are tried in turn. "": only by
 * that. A node that was known as a guest is one no more. False: PEER_KNOWN_MAX nodes are known, or the node is this one. */
bool peer_hub_set_node(struct peer_hub *hub, uint64_t node_id, const char *address);
/* Close its connections, after a GOODBYE with the reason, and dial it no more. What was up is told as down, then the node
 * as forgotten, later in this turn. */
void peer_hub_remove_node(struct peer_hub *hub, uint64_t node_id, const char *reason);
/* Close its connections, after a GOODBYE with the reason. It is dialed again, and judged anew. */
void peer_hub_dismiss(struct peer_hub *hub, uint64_t node_id, const char *reason);

/* Queue one frame made of `parts` (copied when release is NULL), at most PEER_PARTS_MAX. False: not connected, the queue is
 * full, or the body is above PEER_FRAME_BYTES_MAX; then every part with a release function has been released. Small
 * parts are copied and released at once, too. Releases come in the order of the parts, and none before all parts in front
 * of it were copied or written, so the last part may own the memory of all. Leaves at the end of this turn of the loop. */
bool peer_send(struct peer_hub *hub, uint64_t node_id, enum peer_connection connection,
               enum peer_frame_type type, uint64_t group, const struct io_buffer *parts,
               int parts_count);

bool peer_is_up(const struct peer_hub *hub, uint64_t node_id, enum peer_connection connection);
/* When bytes came from there last; 0: not connected. A path that went silent stands for seconds before TCP ends it. */
uint64_t peer_heard_us(const struct peer_hub *hub, uint64_t node_id,
                       enum peer_connection connection);
size_t peer_queue_bytes(const struct peer_hub *hub, uint64_t node_id,
                        enum peer_connection connection);
/* Its bulk connection was made anew because nothing moved, and not much has moved since. */
bool peer_bulk_is_suspect(const struct peer_hub *hub, uint64_t node_id);
/* NULL when the node never completed a handshake in this process. Borrowed until the next callback. */
const struct peer_hello *peer_hello_of(const struct peer_hub *hub, uint64_t node_id);

struct peer_counters {
    uint64_t frames_in, frames_out, bytes_in, bytes_out, bad_frames, connects, disconnects;
    uint64_t silent, bulk_stalls; /* connections closed for it */
};
void peer_hub_counters(const struct peer_hub *hub, struct peer_counters *ret_counters);

#endif
