/* Replicas compare their chains (PROTOCOL C3, D6). */
#ifndef BROKER_NODE_CHAINS_H
#define BROKER_NODE_CHAINS_H

#include <raft/raft.h>

struct group;
struct node;
struct peer_frame;

/* Whether this replica or another one has diverged (chains.c). */
struct chain_dispute {
    uint64_t index;       /* 0: none */
    uint64_t term, chain; /* what this replica has there */
    uint64_t asked_us;
    struct { /* of whom: a leader goes on changing its members, who then stand elsewhere */
        struct raft_replica_id of;
        uint64_t chain;
    } told[RAFT_MEMBERS_MAX];
    uint32_t told_count;
    uint64_t found_with; /* through this index it was found to be with the majority */
};

#define CHAINS_BYTES 40u
/* Of a HEARTBEAT or an APPEND. False: its sender has another chain, and it is not to be stepped. */
bool chains__agree(struct group *group, const struct raft_message *message);
/* Of an APPEND whose entries were checked: the first one that this log lacks, or has of another term, follows what it has in
 * front of it, whether sender or log have that in memory or not. False: a dispute, and it is not to be stepped. Blocks for a
 * read where the log is about to be cut behind what is no longer in memory, which the cut would read. */
bool chains__follow(struct group *group, const struct raft_message *append, const uint8_t *entries,
                    size_t bytes);
/* No message of the core is taken or sent, and no read is served. */
bool chains__is_in_dispute(const struct group *group);
/* A CHAIN frame of a peer: a question, an answer, or that it differs. */
void chains__received(struct node *node, const struct peer_frame *frame);
void chains__truncated(struct group *group, uint64_t from_index);
/* A base took the place of the log: what was found out about its entries, or is in dispute, says nothing any more. */
void chains__replaced(struct group *group);
/* From time to time: who is in dispute asks again. */
void chains__run(struct node *node);

#endif
