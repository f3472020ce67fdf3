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
#define PATIENCE_US      2000000u /* without a connection; then the node with the higher id dials, too */
#define WATCH_PERIOD_US  250000u
#define QUIET_US_MAX     1000000u /* then a sign of life is asked for, and again as long as it lasts */
#define SILENCE_US_MAX   3000000u /* then the connection is closed */
#define SUSPECT_BYTES    65536u /* that move end a suspicion: more than any path takes in one packet */
/* Links alive at once, the closing ones too, above which nobody is accepted: 2 to each node of a cluster twice over, and strangers. */
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
    uint64_t number;                      /* unique in this hub */
    uint64_t node_id;                     /* dialed, or from its HELLO; 0 = not known yet */
    enum peer_connection kind;            /* dialed, or from its HELLO */
    char address[PEER_ADDRESS_BYTES_MAX]; /* dialed */
    uint64_t nonce;                       /* ours, comes back in its ACK */
    struct peer_hello hello;              /* from ACK_WANTED on */
    struct io_timer deadline;             /* of connecting and handshake */
    uint64_t up_at_us;
    uint64_t heard_us; /* the last bytes came */
    uint64_t asked_us; /* a PING left */
    struct frame_parser parser;
    struct peer_output output;
    uint64_t written_bytes; /* handed to the stream */
    uint64_t arrived_bytes; /* of them, acknowledged by the peer's kernel */
    uint64_t arrived_us;    /* some did, or there were none that could */
    uint64_t told_bytes;    /* of these, told to the owner as movement */
    uint64_t up_bytes;      /* written when it came up */
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
    struct peer_config config; /* node id 0: a free slot; address "": none known but `learned` */
    char learned[PEER_ADDRESS_BYTES_MAX]; /* from the owner; "": none */
    uint32_t dials_count;
    bool is_configured;
    bool is_guest;   /* goes with its last connection */
    bool is_removed; /* goes as soon as the owner knows that it is down */
    bool is_bulk_suspect;
    struct peer_slot slots[CONNECTION_KINDS];
    struct peer_hello hello; /* of the last link that came up */
    bool has_hello;
    uint64_t told_control; /* number of the link, 0 = told that there is none */
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
    struct peer_node nodes[PEER_KNOWN_MAX]; /* this one included */
    uint32_t nodes_end;                     /* from here on no slot was ever used */
    struct peer_link *links;
    uint32_t links_count;
    uint64_t links_number;
    struct io_timer turn;  /* posted: tell, flush */
    struct io_timer moved; /* runs while bytes wait on bulk links */
    bool is_moved_running;
    uint64_t bulk_stall_us;
    struct io_timer watch;
    uint64_t watched_us;
    uint64_t
        awake_us; /* the process slept until then: what it did not hear before proves nothing */
    struct peer_trouble strangers;
    struct peer_counters counters;
};

struct peer_node *hub__node(struct peer_hub *hub,
                            uint64_t node_id); /* NULL: unknown, or ourselves */

/* nodes.c */
void hub__init_node(struct peer_hub *hub, struct peer_node *node, uint64_t node_id);
/* A slot for a node that the hub does not know; NULL: there is none left. */
struct peer_node *hub__add_node(struct peer_hub *hub, uint64_t node_id);
bool hub__has_room(const struct peer_hub *hub);
/* Where to dial it next; NULL: no address is known. */
const char *hub__next_address(struct peer_node *node);
/* It is removed, or a guest without a connection, and the owner was told that it is down: the slot is free. */
bool hub__forget(struct peer_hub *hub, struct peer_node *node);

/* watch.c */
void hub__moved(struct peer_hub *hub, struct peer_link *link, bool at_once);
void hub__start_moved(struct peer_hub *hub);
void hub__init_watch(struct peer_hub *hub);
void hub__stop_watch(struct peer_hub *hub);

/* hub.c: what a link reports. False: there is no room for one more node. */
bool hub__link_up(struct peer_hub *hub, struct peer_link *link);
/* It closed, or never came up; `hub` forgets it and redials when that is its part. */
void hub__link_gone(struct peer_hub *hub, struct peer_link *link);
void hub__tell(struct peer_hub *hub);
void hub__trouble(struct peer_hub *hub, uint64_t node_id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void hub__redial_due(struct io_timer *timer);
/* Dial again: at once when the link that ended had been up for a while. */
void hub__schedule_dial(struct peer_slot *slot, bool was_good);

/* refusal.c: NULL, or why this hub and the sender of `message` must not be connected by `link`, in words for both. */
const char *hub__refusal(struct peer_hub *hub, const struct peer_link *link,
                         const struct hello_message *message, char *text, size_t text_bytes);
/* True when a link of the node with another incarnation is up (PROTOCOL M2). */
bool hub__has_other_incarnation(struct peer_hub *hub, const struct peer_hello *hello);

/* link.c */
struct peer_link *link__dial(struct peer_hub *hub, struct peer_node *node,
                             enum peer_connection kind, const char *address);
void link__accept(struct peer_hub *hub, struct io_stream *stream);
size_t link__queue_bytes(const struct peer_link *link);
void link__flush(struct peer_link *link);
void link__close(struct peer_link *link, bool linger);
void link__refuse(struct peer_link *link, const char *reason); /* say why, then close */
void link__ping(struct peer_link *link);

#endif
