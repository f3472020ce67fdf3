/* Inside of the hub: its nodes and their links. A *link* is one TCP connection, from the dial or accept to its last
 * callback; a node has at most one that is up of each kind.
 *
 *   dialing side:    CONNECTING ──connected: send HELLO──► HELLO_WANTED ──its HELLO: send ACK──► ACK_WANTED ──its ACK──► UP
 *   accepting side:                                        HELLO_WANTED ──its HELLO: send HELLO, ACK──► ACK_WANTED ──► UP
 *   any state ──closed, refused, bad frame, 2 s without progress to UP──► CLOSED ──last callback of the stream──► freed
 *
 * The accepting side says nothing before it has heard a sound HELLO, so a scan of the port learns nothing.
 *
 * What the owner was told and what is so are two things: links change at any time, the owner hears of it in
 * hub__tell(), which compares both and is called only where a callback is allowed. */
#ifndef PEER_HUB_H
#define PEER_HUB_H

#include "hello.h"
#include "output.h"

#define CONNECT_US_MAX \
    2000000u /* shorter than the kernel's second SYN retry: a healed path is found within a second */
#define HANDSHAKE_US_MAX 2000000u
#define BACKOFF_MS_MIN   20u
#define BACKOFF_MS_MAX   250u
#define MOVED_PERIOD_US  20000u
/* Links alive at once, the closing ones too, above which nobody is accepted: 2 to each node twice over, and strangers. */
#define LINKS_MAX        (4u * PEER_NODES_MAX + 64u)
#define TROUBLES_KEPT    4u
#define TROUBLE_US_MIN   10000000u
#define CONNECTION_KINDS 2u

enum link_state {
    LINK_CONNECTING,
    LINK_HELLO_WANTED,
    LINK_ACK_WANTED,
    LINK_UP,
    LINK_CLOSED,
};

struct peer_link {
    struct peer_hub *hub; /* NULL once the hub is gone */
    struct io *io;
    struct io_stream *stream;
    struct peer_link *next; /* of the hub */
    enum link_state state;
    bool is_dialed;
    uint64_t number;           /* unique in this hub */
    uint64_t node_id;          /* dialed, or from its HELLO; 0 = not known yet */
    enum peer_connection kind; /* dialed, or from its HELLO */
    uint64_t nonce;            /* ours, comes back in its ACK */
    struct peer_hello hello;   /* from ACK_WANTED on */
    struct io_timer deadline;  /* of connecting and handshake */
    uint64_t up_at_us;
    uint64_t heard_us; /* the last bytes came */
    struct frame_parser parser;
    struct peer_output output;
    uint64_t written_bytes; /* handed to the stream */
    uint64_t moved_bytes;   /* of them, acknowledged by the peer's kernel, as told to the owner */
    bool was_above_low_water;
};

struct peer_slot {
    struct peer_link *up;
    struct peer_link *dialing;
    struct io_timer redial;
    uint32_t backoff_ms;
    struct peer_node *node;
    enum peer_connection kind;
};

struct peer_trouble {
    uint64_t hash;
    uint64_t at_us; /* 0 = empty */
};

struct peer_node {
    struct peer_hub *hub;
    struct peer_config config;
    struct peer_slot slots[CONNECTION_KINDS];
    struct peer_hello hello; /* of the last link that came up */
    bool has_hello;
    bool told_up;
    uint64_t told_process;
    uint64_t told_bulk; /* number of the link, 0 = told that there is none */
    struct peer_trouble troubles[TROUBLES_KEPT];
};

struct peer_hub {
    struct io *io;
    struct peer_hello hello; /* ours */
    const struct peer_callbacks *callbacks;
    void *data;
    struct io_listener *listener;
    struct peer_node nodes[PEER_NODES_MAX]; /* by ascending id, this one included */
    uint32_t nodes_count;
    struct peer_link *links;
    uint32_t links_count;
    uint64_t links_number;
    struct io_timer turn;  /* posted: tell, flush */
    struct io_timer moved; /* runs while bytes wait on bulk links */
    bool is_moved_running;
    struct peer_trouble strangers;
    struct peer_counters counters;
};

struct peer_node *hub__node(struct peer_hub *hub,
                            uint64_t node_id); /* NULL: unknown, or ourselves */

/* hub.c: what a link reports. */
void hub__link_up(struct peer_hub *hub, struct peer_link *link);
/* It closed, or never came up; `hub` forgets it and redials when that is its part. */
void hub__link_gone(struct peer_hub *hub, struct peer_link *link);
void hub__tell(struct peer_hub *hub);
void hub__trouble(struct peer_hub *hub, uint64_t node_id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void hub__moved(struct peer_hub *hub, struct peer_link *link, bool at_once);

/* refusal.c: NULL, or why this hub and the sender of `message` must not be connected by `link`, in words for both. */
const char *hub__refusal(struct peer_hub *hub, const struct peer_link *link,
                         const struct hello_message *message, char *text, size_t text_bytes);
/* True when a link of the node with another incarnation is up (PROTOCOL M2). */
bool hub__has_other_incarnation(struct peer_hub *hub, const struct peer_hello *hello);

/* link.c */
struct peer_link *link__dial(struct peer_hub *hub, struct peer_node *node,
                             enum peer_connection kind);
void link__accept(struct peer_hub *hub, struct io_stream *stream);
size_t link__queue_bytes(const struct peer_link *link);
void link__flush(struct peer_link *link);
void link__close(struct peer_link *link, bool linger);

#endif
