/* The vocabulary of the consensus core: scalars, identities, configurations.
 *
 * Everything here is plain data. A struct may be copied with assignment and compared field by field. */
#ifndef RAFT_TYPES_H
#define RAFT_TYPES_H

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t raft_term;     /* 0 = before the first election */
typedef uint64_t raft_index;    /* position in the log, 1-based; 0 = before the first entry */
typedef uint64_t raft_group_id; /* 0 = the meta group */
typedef uint64_t raft_node_id;  /* 1-based; 0 = nobody */

/* A voter is a node *and* the epoch of its replica (PROTOCOL M3): a replica that was dropped and made
 * again on the same node is another voter. The epoch is the index of the meta entry that placed the
 * replica; for the meta group itself the index of its CONFIG entry (0 = the founding). */
struct raft_replica_id {
    raft_node_id node;
    uint64_t epoch;
};

/* Members of one group, voters and learners together. Bounds every array in the core. */
#define RAFT_MEMBERS_MAX 16u

/* A member's part in the configuration. In a joint configuration (Raft thesis §4.3) a voter may belong
 * to the new half, the old half or both; outside of a joint phase `voter_old` and `learner_after` are
 * false everywhere. */
struct raft_member {
    struct raft_replica_id id;
    bool voter;     /* of the only, or of the new half */
    bool voter_old; /* of the old half while joint */
    /* a voter of the old half only, that goes on as a learner when the joint phase ends; without it
     * such a member is removed then */
    bool learner_after;
};

struct raft_configuration {
    struct raft_member members[RAFT_MEMBERS_MAX];
    uint32_t members_count;
    bool joint;
};

/* The configuration that the CONFIG entry at `index` holds; index 0: the one of the founding. */
struct raft_indexed_configuration {
    raft_index index;
    struct raft_configuration configuration;
};

/* What must be durable before any message that depends on it leaves (PROTOCOL V). */
struct raft_hard_state {
    raft_term term;
    struct raft_replica_id voted_for; /* node = 0: no vote in this term */
};

enum raft_role {
    RAFT_FOLLOWER,
    RAFT_PRE_CANDIDATE,
    RAFT_CANDIDATE,
    RAFT_LEADER,
};

/* Why a request was refused. Travels in every reply; the trace tells it in words. */
#define RAFT_REFUSALS(X)                                                                \
    X(RAFT_REFUSED_NOT, "not refused")                                                  \
    X(RAFT_REFUSED_STALE_TERM, "its term is older than mine")                           \
    X(RAFT_REFUSED_ALREADY_VOTED, "I voted for another candidate in this term")         \
    X(RAFT_REFUSED_LOG_BEHIND, "its log is behind mine")                                \
    X(RAFT_REFUSED_HEARS_LEADER, "I still hear the leader")                             \
    X(RAFT_REFUSED_WRONG_IDENTITY, "the request names another replica epoch than mine") \
    X(RAFT_REFUSED_NO_VOTE, "this replica has no vote until it is made again")          \
    X(RAFT_REFUSED_LOG_GAP, "my log does not reach the previous index")                 \
    X(RAFT_REFUSED_LOG_CONFLICT, "my log has another term at the previous index")       \
    X(RAFT_REFUSED_NOT_LEADER, "I am not the leader")                                   \
    X(RAFT_REFUSED_NO_OWN_ENTRY, "no entry of my own term is committed yet")            \
    X(RAFT_REFUSED_DIVERGED, "same index and term with another chain")                  \
    X(RAFT_REFUSED_DAMAGED, "what it touches is damaged on my disk and being repaired")

enum raft_refusal {
#define X(name, text) name,
    RAFT_REFUSALS(X)
#undef X
};

#endif
