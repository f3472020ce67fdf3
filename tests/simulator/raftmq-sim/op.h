/* One request on its way: to a node, through node_submit(), and back.
 *
 *   send ── latency ──► submit (in the node's process) ── ... ── done ── latency ──► over()
 *                │                      │
 *             no process: NOT_SENT      process died: LOST
 *
 * over() comes exactly once. Times of the history are those at the node, the tightest there are: invoked at the submit,
 * completed at done(). */
#ifndef RAFTMQ_SIM_OP_H
#define RAFTMQ_SIM_OP_H

#include "run.h"

enum op_fate {
    OP_ANSWERED, /* request.status tells */
    OP_LOST,     /* it reached the node, and the connection broke */
    OP_NOT_SENT, /* it never reached a node */
};

enum op_stage {
    OP_UNDERWAY,  /* to the node */
    OP_SUBMITTED, /* waits for the node's done() */
    OP_RETURNING,
    OP_OVER, /* freed as soon as no event of its node points to it */
};

struct op {
    struct run *run;
    struct op *next, **previous;
    enum op_stage stage;
    enum op_fate fate;
    uint32_t node;
    uint64_t client_us; /* latency, each way */
    uint64_t sent_us, submitted_us;
    uint64_t invoked, completed; /* ticks */
    bool is_being_cancelled;     /* an event of the node points to it */
    struct node_request request;
    char topic[CLUSTER_NAME_MAX];
    char group[CLUSTER_NAME_MAX];
    uint8_t *bytes; /* of a produce: the node stamps them */
    /* In the node's process, at done(): what the history is told, while the answer's memory is there. May be NULL. */
    void (*answered)(struct op *op);
    /* Outside of the nodes. The op is freed behind it. */
    void (*over)(struct op *op);
    void *client;       /* of over() */
    void *subject;      /* of over(): a batch */
    uint32_t partition; /* number in run->partitions */
    uint64_t number;    /* of the client's own */
};

/* Zeroed, of this type, for a topic; the caller fills in the rest of the request. */
struct op *op_create(struct run *run, enum node_request_type type, const char *topic,
                     uint32_t partition);
void op_send(struct op *op, uint32_t node, uint64_t client_us);
/* The client goes away: the node is told when it still has the request. over() comes with OP_LOST. */
void op_cancel(struct op *op);
/* The process on this node is gone. */
void op_node_gone(struct run *run, uint32_t node);
/* Fails when a node that is up has left an op unanswered for too long. */
void op_check_answered(struct run *run);
void op_free_all(struct run *run);

#endif
