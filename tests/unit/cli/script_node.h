/* A node that answers one request after the other by a script, in a thread of its own: for clients that block. */
#ifndef UNIT_CLI_SCRIPT_NODE_H
#define UNIT_CLI_SCRIPT_NODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What happens to one request that was read to its end. */
struct script_step {
    uint32_t after_ms;
    const char *answer; /* the whole bytes; NULL: the connection is closed without a word */
    bool keeps;         /* the connection stays open for the next request */
    bool dies;          /* nobody listens any more behind this */
};

struct script_node {
    const struct script_step *steps; /* borrowed; the last one holds for all that follow */
    int steps_count;
    int listener;
    int stopping[2]; /* a pipe: readable when it is over */
    char address[64];
    atomic_int requests_count;
    atomic_bool got_write; /* a request that is no GET */
    pthread_t thread;
};

void script_node_start(struct script_node *node, const struct script_step *steps, int steps_count);
void script_node_stop(struct script_node *node);

#endif
