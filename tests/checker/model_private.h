/* What model.c (events, requests, readers, groups) and model_produce.c (producers and their log) share. */
#ifndef CHECKER_MODEL_PRIVATE_H
#define CHECKER_MODEL_PRIVATE_H

#include "model.h"

enum {
    TIMEOUT = 400,
    WINDOW = 5, /* batches in flight per producer (PROTOCOL P2) */
    NODES = 3,
};

enum event_type {
    EVENT_TURN = 1, /* a session does something */
    EVENT_ARRIVE,   /* a request reaches the partition's leader, or the node that reads */
    EVENT_REPLY,
    EVENT_TIMEOUT, /* the client gives up */
    EVENT_COMMIT,
    EVENT_FAILOVER,
    EVENT_TRIM,
};

struct event {
    uint64_t time;
    uint64_t order; /* first in, first out at equal times */
    enum event_type type;
    uint32_t subject; /* session, request or partition */
};

/* A batch of some producer; its values are producer << 32 | sequence. */
struct batch {
    uint32_t session, partition, count;
    uint64_t sequence;
    bool appended, committed, in_flight;
    uint64_t base;    /* while appended */
    uint32_t waiting; /* request + 1 that waits for the commit */
};

struct request {
    struct history_op asked;  /* as the client knows it */
    struct history_op told;   /* with the answer */
    struct history_run *runs; /* of the answer */
    uint32_t batch;
    bool ended;          /* for the client */
    uint64_t wait_until; /* of a long poll */
};

struct partition {
    uint64_t *values; /* by offset */
    uint32_t *batches;
    uint32_t end, values_capacity, batches_capacity;
    uint32_t committed, first;
    uint32_t node_end[NODES]; /* how far each node's own knowledge goes */
    uint64_t *expected;       /* next sequence by session */
};

enum role { PRODUCER, PLAIN, READER, COMMITTER };

struct session {
    enum role role;
    uint32_t partition;
    uint32_t *window; /* batches not acked yet, in order */
    uint32_t window_count;
    uint64_t sequence;
    uint64_t position;
    bool seeks; /* the next fetch */
    bool busy;
};

struct model {
    struct model_options options;
    struct dice dice;
    struct recording recording;
    uint64_t now, order;
    struct event *heap;
    uint32_t heap_count, heap_capacity;
    struct request *requests;
    uint32_t requests_count, requests_capacity;
    struct batch *batches;
    uint32_t batches_count, batches_capacity;
    struct partition *partitions;
    struct session *sessions;
    uint64_t *offsets; /* committed consumer offset + 1, by group and partition */
    bool ending;
};

/* ---- model.c ---------------------------------------------------------------------------------------------------- */
void model__later(struct model *model, uint64_t delay, enum event_type type, uint32_t subject);
uint32_t model__draw(struct model *model, uint32_t sides);
bool model__chance(struct model *model, uint32_t percent);
uint32_t model__ask(struct model *model, const struct history_op *op, uint32_t batch);
void model__answer(struct model *model, uint32_t number, enum history_outcome outcome);
void model__add_run(struct history_run *runs, uint32_t *count, uint64_t offset, uint64_t value,
                    bool split);

/* ---- model_produce.c -------------------------------------------------------------------------------------------- */
void model__produce_turn(struct model *model, uint32_t number);
void model__arrive_produce(struct model *model, uint32_t number);
void model__commit(struct model *model, uint32_t number);
void model__failover(struct model *model, uint32_t number);
void model__produced(struct model *model, uint32_t batch, const struct history_op *op);

#endif
