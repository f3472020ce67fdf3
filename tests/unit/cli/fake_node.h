/* An HTTP server in the test's own loop that answers by a script: what a node may say, at the moment the test wants. */
#ifndef UNIT_CLI_FAKE_NODE_H
#define UNIT_CLI_FAKE_NODE_H

#include <broker/io.h>

#define FAKE_NODE_REQUESTS_MAX 256

struct fake_node;

struct fake_request {
    int32_t base_sequence; /* of the batch in the body; -2 without one */
    uint32_t records;
    int connection; /* which connection of this node it came on, from 0 */
};

struct fake_client;

struct fake_node {
    struct io *io;
    struct fake_client *clients; /* open connections */
    struct io_listener *listener;
    char address[64];
    struct fake_request requests[FAKE_NODE_REQUESTS_MAX];
    int requests_count;
    int connections_count;
    /* Answer request number `index`: the whole bytes to send, "" to stay silent, NULL to close the connection. */
    const char *(*answer)(struct fake_node *node, int index);
    void *data;
};

void fake_node_listen(struct fake_node *node, struct io *io,
                      const char *(*answer)(struct fake_node *node, int index));

/* Send what `answer` kept back; `client` is one of the open connections. */
void fake_node_answer(struct fake_client *client, const char *answer);

/* After the loop is destroyed, which drops streams without a word: free what they left. */
void fake_node_close(struct fake_node *node);

/* Run the loop until *done or, so that a broken promise cannot hang the test, until 10 s have passed: then it fails. */
void fake_node_run_until(struct io *io, const bool *done);
/* Stop what fake_node_run_until runs: to be called where *done is set. */
void fake_node_wake(struct io *io);

#endif
