/* A pipelining HTTP/1.1 connection to a raftmq node over struct io: the data path of produce, consume and bench.
 *
 * Requests leave in the order of the calls and answers come back in that order, so a producer keeps several batches in
 * flight on one connection and the node sees them in sequence. libcurl is used where one request waits for one answer
 * (client.h); at tens of thousands of requests a second its cost would be measured instead of the broker's.
 *
 * Answers are checked as bytes from the network: bounded head and body, a status line, Content-Length. Anything else
 * ends the connection with a reason. */
#ifndef CLI_CONNECTION_H
#define CLI_CONNECTION_H

#include <broker/io.h>

#define CONNECTION_HEAD_BYTES_MAX (16u * 1024u)
#define CONNECTION_BODY_BYTES_MAX (64u * 1024u * 1024u)

struct connection;

struct connection_answer {
    int status;
    const uint8_t *body; /* borrowed until return */
    size_t body_bytes;
    uint32_t retry_after_ms; /* 0: none was named */
    bool binary;             /* the body is record batches */
    bool has_next_offset;
    uint64_t next_offset; /* Raftmq-Next-Offset */
    bool has_high_watermark;
    uint64_t high_watermark; /* Raftmq-High-Watermark */
    bool has_fetch_offset;
    uint64_t fetch_offset; /* Raftmq-Fetch-Offset */
    bool closes;           /* the node closes after this answer */
};

struct connection_callbacks {
    void (*connected)(void *data);
    void (*answer)(void *data, const struct connection_answer *answer);
    /* The connection cannot be used any more; what was not answered has an unknown fate, except that nothing was sent
     * when `connected` never came. Called at most once; the owner then calls connection_close. */
    void (*failed)(void *data, const char *reason);
};

/* Connect to host:port. Callbacks are borrowed for the connection's life. */
struct connection *connection_open(struct io *io, const char *address,
                                   const struct connection_callbacks *callbacks, void *data);

/* Send one request: head (copied, ends with an empty line) and body (borrowed until release; body.data may be NULL). Only
 * after `connected`. */
void connection_send(struct connection *connection, const char *head, size_t head_bytes,
                     const struct io_buffer *body);

/* When its newest bytes came; 0: none did yet. */
uint64_t connection_heard_us(const struct connection *connection);

/* No callback follows. Borrowed bodies are released at once. Accepts NULL. */
void connection_close(struct connection *connection);

#endif
