/* Messages between the replicas of one group.
 *
 * A message names log *ranges*, never bytes: the driver attaches the encoded entries to an APPEND when it
 * sends it and hands the term runs of received entries to the core (PROTOCOL C; Raft thesis chapters 3, 6, 9).
 *
 * Control connection: everything but APPEND. Bulk connection: APPEND (PROTOCOL C4). No rule relies on an
 * order between the two, and every handler tolerates loss, duplication and reordering. */
#ifndef RAFT_MESSAGE_H
#define RAFT_MESSAGE_H

#include <raft/types.h>

enum raft_message_type {
    RAFT_MESSAGE_PREVOTE = 1,
    RAFT_MESSAGE_PREVOTE_REPLY,
    RAFT_MESSAGE_VOTE,
    RAFT_MESSAGE_VOTE_REPLY,
    RAFT_MESSAGE_APPEND,
    RAFT_MESSAGE_APPEND_REPLY,
    RAFT_MESSAGE_HEARTBEAT,
    RAFT_MESSAGE_HEARTBEAT_REPLY,
    RAFT_MESSAGE_READ_INDEX,
    RAFT_MESSAGE_READ_INDEX_REPLY,
    RAFT_MESSAGE_TIMEOUT_NOW, /* leadership transfer, thesis §3.10 */
    RAFT_MESSAGE_REGRESSED,   /* to who lacks what it acknowledged (PROTOCOL D8) */
};

/* A maximal stretch of entries of one term. `count` entries from `first`. */
struct raft_term_run {
    raft_index first;
    uint64_t count;
    raft_term term;
};

/* Term runs that one APPEND may carry; the driver sends fewer entries rather than more runs. */
#define RAFT_MESSAGE_RUNS_MAX 32u

/* CONFIG entries among the entries of one APPEND. The receiving driver shortens a message that holds more
 * before the first one too many: fewer entries than were sent are always right. */
#define RAFT_MESSAGE_CONFIGURATIONS_MAX 8u

struct raft_message {
    enum raft_message_type type;
    raft_group_id group;
    struct raft_replica_id from;
    struct raft_replica_id to;
    /* the sender's; for PREVOTE the term it would stand in, which is not its own yet */
    raft_term term;
    enum raft_refusal refusal; /* in replies; RAFT_REFUSED_NOT = granted, accepted, confirmed */
    union {
        struct { /* PREVOTE, VOTE */
            raft_index last_index;
            raft_term last_term;
            bool transfer; /* overrides leader stickiness (thesis §4.2.3) */
        } vote;
        struct { /* PREVOTE_REPLY: `term` of the message echoes the asked term when granted */
            raft_term voter_term; /* the voter's own term */
        } vote_reply;
        struct { /* APPEND: entries first..last of `runs`; empty (a probe) when last < first */
            raft_index previous_index;
            raft_term previous_term;
            uint64_t previous_chain; /* filled in and checked by the driver (PROTOCOL C3) */
            raft_index first;        /* == previous_index + 1 */
            raft_index last;
            raft_index commit_index;
            /* filled in by the receiving driver */
            struct raft_term_run runs[RAFT_MESSAGE_RUNS_MAX];
            uint32_t runs_count;
            /* the CONFIG entries among first..last, index rising; filled in by the receiving driver,
             * borrowed until return. NULL and 0 = none */
            const struct raft_indexed_configuration *configurations;
            uint32_t configurations_count;
        } append;
        struct { /* APPEND_REPLY */
            /* accepted: durable on the sender and verified against the leader in this term */
            raft_index match_index;
            raft_index
                request_index; /* refused: previous_index of the refused APPEND; accepted: verified through
                                         here, perhaps not durable yet (>= match_index) */
            raft_index hint_index; /* refused: highest index worth probing */
            raft_term hint_term;   /* refused: the follower's term at hint_index, 0 = none */
        } append_reply;
        /* HEARTBEAT: proof of leadership, commit news, ReadIndex round */
        struct {
            raft_index commit_index; /* already clamped to the receiver's verified match */
            /* chain at commit_index, filled in by the driver; 0 = not known */
            uint64_t commit_chain;
            uint64_t round;   /* ReadIndex round; 0 = none outstanding */
            uint64_t process; /* random number of the leader's process (PROTOCOL R1) */
        } heartbeat;
        struct {
            uint64_t round; /* echoed */
            uint64_t process;
            /* durable and verified in this term; 0 = nothing verified yet */
            raft_index match_index;
        } heartbeat_reply;
        struct { /* READ_INDEX and its reply: matched by (process, number) of the asking replica */
            uint64_t process;
            uint64_t number;
            raft_index index; /* in a granted reply */
        } read_index;
        struct
        { /* REGRESSED: a committed position, at or behind all that counted with the receiver's acks */
            raft_index index;
            raft_term term;
        } regressed;
    };
};

#endif
