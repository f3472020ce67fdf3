/* What the files of the invariants share. */
#ifndef SIMULATOR_NODE_SIM_INVARIANTS_PRIVATE_H
#define SIMULATOR_NODE_SIM_INVARIANTS_PRIVATE_H

#include "ledger.h"
#include "peek.h"
#include "sim_invariants.h"

#define INVARIANTS_NODES_MAX 8u

/* A replica as it was last seen. One that is dropped and made again, or was on a disk that is lost, comes back under another
 * epoch (PROTOCOL M3, M5), so it is another one. */
struct seen {
    uint64_t group;
    uint64_t epoch;
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t durable_index;
    uint64_t term;
    struct raft_hard_state hard_state;
    struct raft_hard_state durable_state;
    const struct group *inside; /* at the last look, as what follows */
    uint64_t raft_steps;
    bool is_new;     /* never seen: a configuration names it */
    bool is_fresh;   /* its process is gone; the next look is at a restarted one */
    bool is_excused; /* ... which may have lost what was durable */
};

struct seen_list {
    struct seen *items;
    uint32_t count, capacity;
    uint32_t next; /* replicas are looked at in one order, so here the next one is likely found */
};

/* Of a group, over all nodes. */
struct group_facts {
    uint64_t group;
    uint64_t commit_index;                               /* highest */
    uint64_t leader_term;                                /* newest that had a leader */
    struct raft_indexed_configuration committed, newest; /* that any node has used */
    /* The highest that a leader was seen to commit with a majority of disks behind it; what states up to it show. */
    uint64_t verified_index, verified_end;
};

struct group_facts_list {
    struct group_facts *items;
    uint32_t count, capacity;
};

struct cluster_invariants {
    uint32_t forged;       /* bit per node: the test wrote another history into a log of it */
    struct ledger leaders; /* of each group and term */
    struct ledger chains;  /* of each group and committed index */
    struct ledger digests; /* of each group and applied index */
    struct ledger starts;  /* offsets at which the log starts, likewise, plus one */
    struct ledger
        configurations; /* digests of them, of each group and index of a committed CONFIG entry */
    struct seen_list seen[INVARIANTS_NODES_MAX];
    struct peek_mark marks[INVARIANTS_NODES_MAX][PEEK_GROUPS_MAX];
    uint32_t marks_count[INVARIANTS_NODES_MAX];
    bool is_damaged[INVARIANTS_NODES_MAX];
    struct group_facts_list groups;
    uint64_t bases_installed;
    struct peek_group scratch[PEEK_GROUPS_MAX];
};

struct seen *invariants__seen(struct cluster_invariants *invariants, uint32_t number,
                              uint64_t group, uint64_t epoch);

/* Of the voters of one half of a configuration. */
struct invariants_tally {
    uint32_t voters_count;
    uint32_t for_count;
};
typedef bool (*invariants_is_for_cb)(void *data, const struct raft_member *member);

/* sim_invariants_quorum.c. True: a majority is for it, of either half when joint. *ret_tally is the half that lacks one, or
 * the new half. */
bool invariants__has_quorum(const struct raft_configuration *configuration,
                            invariants_is_for_cb is_for, void *data,
                            struct invariants_tally *ret_tally);
/* The replica has just become leader; it has just committed more; so has any replica. */
void invariants__check_votes(struct cluster_invariants *invariants, uint32_t number,
                             const struct peek_group *group);
void invariants__check_commit(struct cluster_invariants *invariants, uint32_t number,
                              const struct peek_group *group);
void invariants__check_configuration(struct cluster_invariants *invariants, uint32_t number,
                                     const struct peek_group *group, struct group_facts *facts);
/* Whatever it uses now. */
void invariants__note_configuration(const struct peek_group *group, struct group_facts *facts);

#endif
