/* Nodes for the tests: a hub each, in one fake world, that write down what they are told, one line per callback. */
#ifndef TESTS_PEER_PARTY_H
#define TESTS_PEER_PARTY_H

#include "fake_io.h"
#include "hello.h"

#define PARTY_LOG_BYTES 65536u

struct party {
    struct fake_io *io;
    struct peer_hub *hub;
    uint64_t node_id;
    char log[PARTY_LOG_BYTES];
    size_t log_bytes;
    uint32_t frames_count;
    uint64_t frames_bytes;
    bool logs_frames;
    bool is_misaligned; /* a body was once not 8-byte aligned */
    /* Called on each frame, before it is written down. */
    void (*on_frame)(struct party *party, const struct peer_frame *frame);
    void (*on_up)(struct party *party, const struct peer_hello *hello);
    const char *(*refuse)(const struct peer_hello *hello);
};

struct party_options {
    uint64_t node_id;
    uint64_t incarnation; /* 0: 1000 + node id */
    uint64_t process;     /* 0: 100 + node id */
    uint8_t cluster;      /* first byte of the cluster id, 0 = none */
    uint32_t nodes_count; /* n1..n<count>, at "n1:7071" ... */
    const char *address;  /* NULL: "n<id>:7071" */
    uint64_t incarnation_index;
    bool is_joining;
    uint64_t bulk_stall_us;
    /* The owner's judgement: NULL, or why not. Set: nodes that the hub does not know may be guests. */
    const char *(*refuse)(const struct peer_hello *hello);
};

void party_open(struct party *party, struct fake_io *io, const struct party_options *options);
void party_close(struct party *party);

/* A new world with the two nodes of one cluster in it, up for half a second. What they told until then is forgotten. */
void party_open_two(struct fake_io *io, struct party *n1, struct party *n2);
void party_close_two(struct fake_io *io, struct party *n1, struct party *n2);
/* The lines since the last call. */
const char *party_news(struct party *party);
struct cluster_id party_cluster(uint8_t first);
bool party_send(struct party *party, uint64_t to, enum peer_connection connection, uint64_t group,
                const char *text);

/* A stream that is spoken by hand. */
struct stranger {
    struct io_stream *stream;
    uint8_t received[65536];
    size_t received_bytes;
    bool has_end;
    bool is_closed;
};
void stranger_dial(struct stranger *stranger, struct fake_io *io, const char *address);
void stranger_send(struct stranger *stranger, uint16_t type, const void *body, size_t bytes);
void stranger_send_raw(struct stranger *stranger, const void *data, size_t bytes);
/* A HELLO of node 1 in a cluster of two; change what the test is about. */
struct hello_message stranger_hello(void);
void stranger_send_hello(struct stranger *stranger, const struct hello_message *message);
/* Shake hands properly as node 1; the stream stays open. */
void stranger_shake(struct stranger *stranger, struct fake_io *io,
                    const struct hello_message *message);
/* The reason of the GOODBYE that came, "" when none did. */
const char *stranger_goodbye(const struct stranger *stranger);
void stranger_close(struct stranger *stranger);

#endif
