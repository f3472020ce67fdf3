/* A request, from the door to its answer: the stages that it is in, and what the node keeps of it meanwhile. */
#ifndef BROKER_NODE_REQUEST_PRIVATE_H
#define BROKER_NODE_REQUEST_PRIVATE_H

#include "list.h"

#include <broker/meta.h>
#include <broker/node.h>

#include <stddef.h>

struct group;
struct node;

enum request_stage {
    STAGE_NEW,
    STAGE_PARKED,  /* waits for a leader, or for the leader's own-term no-op to be applied */
    STAGE_QUEUED,  /* will be proposed at the end of this turn */
    STAGE_WAITING, /* its entry is appended at `index`: waits for apply or truncation */
    STAGE_BARRIER, /* waits to ask for a read index, then for the index, then for applied >= index */
    STAGE_POLL,    /* long poll: waits for data, or for the end of its wait */
    STAGE_READING, /* owned by a read job */
    STAGE_PROXIED, /* sent to another node */
    STAGE_TOPIC, /* CREATE waits for its groups to lead, DELETE for a majority to have dropped them */
    STAGE_TRANSFER, /* waits until another replica leads (transfer.c) */
    STAGE_DONE,     /* answered at the end of the turn */
};

/* What the node keeps in node_request.node_private. */
struct request_state {
    struct list_link all; /* node->requests */
    struct list_link stage_link;
    enum request_stage stage;
    struct node *node;
    struct group *group; /* of this stage, may be NULL */
    uint64_t deadline_us;
    uint64_t poll_until_us; /* fetch: end of the long poll */
    uint64_t index;         /* WAITING: entry; BARRIER: read index once known, else 0 */
    uint64_t term;          /* WAITING: of the entry */
    uint64_t barrier_id;    /* BARRIER: of the READ event; all requests of one turn share one */
    uint64_t proxy_number;
    uint64_t proxy_node;
    uint64_t deposed_us;      /* PROXIED: since when another node leads; 0: not */
    uint64_t command_request; /* meta command: random number of its entry */
    uint64_t admitted_bytes;
    uint64_t group_id;
    bool passed;        /* a barrier of its partition was passed since it came */
    bool meta_checked;  /* a miss was confirmed by a ReadIndex on meta (PROTOCOL M8) */
    bool created;       /* TOPIC_CREATE: the entry is applied */
    bool may_be_stored; /* an entry of it may be in a log: failure is "unknown" */
    bool poll_expired;
    bool confirmed; /* the read was confirmed by a ReadIndex round */
    uint64_t
        damage_met; /* fetch: entry at which its last read from here met damage that nobody knew of; 0: none */
    uint32_t
        damaged_at;     /* fetch: bit per peer that was asked because of damage (elsewhere.c) ... */
    uint32_t silent_at; /* ... and did not answer */
    bool
        internal; /* a command of this leader of meta itself (registry.c): ends with its leadership */
    bool owned;   /* malloc'ed by the node itself, freed by its done() */
    struct meta_settings settings;
    void *reading;    /* READING: the job */
    bool reads_range; /* READING: of elsewhere.c */
    uint8_t *payload; /* QUEUED: an encoded META command, owned */
    uint32_t payload_bytes;
    uint64_t parked_us;
    uint64_t asked_us; /* TOPIC: when a lost notice was asked for last; TRANSFER: when it came */
    uint64_t transfer_target; /* TRANSFER: who was told to lead */
    uint64_t
        transfer_lost_by; /* PROXIED: the leader that was asked to hand over, and did not answer */
};
_Static_assert(sizeof(struct request_state) <= sizeof(((struct node_request *)0)->node_private),
               "node_request.node_private must hold the node's part");

static inline struct request_state *request_state(struct node_request *request)
{
    return (struct request_state *)(void *)request->node_private;
}

static inline struct node_request *request_of_state(struct request_state *state)
{
    return (struct node_request *)(void *)((char *)state -
                                           offsetof(struct node_request, node_private));
}

/* What a request may have done when nobody answered it. */
enum request_effect {
    REQUEST_READS,  /* nothing: it may be asked again */
    REQUEST_STORES, /* an entry of it may be in a log: the outcome is unknown */
    REQUEST_ACTS,   /* nothing that is stored, but not to be done twice */
};
enum request_effect request__effect(enum node_request_type type);

/* Free what an answer has put into it. */
void request__drop_outputs(struct node_request *request);
/* Answered at the end of the turn. The first answer counts. */
void request__finish(struct node_request *request, enum node_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* To another stage, and onto its list; NULL: onto none. */
void request__move(struct node_request *request, enum request_stage stage, struct list_link *list);
/* Until a leader is known, or takes requests. NULL: no replica is here. */
void request__park(struct node_request *request, struct group *group);
/* Its entry is known never to be committed: it may be tried again (P4). */
void request__not_stored(struct node_request *request, struct group *group);
void request__unpark(struct node *node,
                     struct group *group); /* NULL: those without a replica here */
void request__expire(struct node *node);
/* True: finished, because this disk has no room for what it would store, or too few of those that would have to confirm it.
 * This node leads the group. O(members). */
bool request__refuse_full(struct node_request *request, const struct group *group);
/* The node goes: what may be stored is answered as unknown. */
void request__fail_all(struct node *node, enum node_status status, const char *why);

#endif
