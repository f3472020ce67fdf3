/* What is explored, and how far: a group of replicas, the events that may strike it, the bounds.
 *
 * The bounds that make the space finite: terms, entries, crashes, reads, changes. Loss, duplication and reordering
 * need none: a letter that was ever sent may arrive at any later time, any number of times, or never (world.h). */
#ifndef EXPLORE_PLAN_H
#define EXPLORE_PLAN_H

#include <raft/raft.h>

#define EXPLORE_NODES_MAX          4u
#define EXPLORE_TERMS_MAX          4u
#define EXPLORE_ENTRIES_MAX        7u /* in one log, no-ops included; 8 bytes of a word less one */
#define EXPLORE_READS_MAX          2u
#define EXPLORE_CONFIGURATIONS_MAX 6u
#define EXPLORE_PERMUTATIONS_MAX   24u

/* Negative controls: what a driver must never do, done. */
#define EXPLORE_BUGS(X)                                                                           \
    X(EXPLORE_BUG_NONE, "none", "")                                                               \
    X(EXPLORE_BUG_VOTE_BEFORE_SYNC, "vote-before-sync", "a vote leaves before it is durable")     \
    X(EXPLORE_BUG_VOTE_FORGOTTEN, "vote-forgotten", "a restart keeps the term, not the vote")     \
    X(EXPLORE_BUG_ACK_BEFORE_SYNC, "ack-before-sync", "entries are reported durable at once")     \
    X(EXPLORE_BUG_SYNC_LOST, "sync-lost", "a crash takes the last durable entry")                 \
    X(EXPLORE_BUG_STALE_REPORT, "stale-report", "a write is reported though a cut superseded it") \
    X(EXPLORE_BUG_TERM_FORGOTTEN, "term-forgotten", "a restart takes its term from the log alone")

enum explore_bug {
#define X(name, word, text) name,
    EXPLORE_BUGS(X)
#undef X
        EXPLORE_BUGS_COUNT
};

struct explore_plan {
    const char *name;
    const char *goal;
    uint32_t nodes;
    uint32_t founders; /* the first of the nodes are voters from the start; 0 = all */
    uint32_t terms;
    uint32_t entries; /* a leader proposes while its log is shorter */
    uint32_t crashes; /* with every prefix of what was not synced kept, and with all of it */
    uint32_t reads;
    uint32_t rounds; /* ReadIndex rounds and requests of one process */
    uint32_t time_gaps;
    uint32_t transfers;
    uint32_t changes;   /* how often target is asked for */
    uint32_t target;    /* bit i = node i + 1 is a voter of the configuration asked for */
    bool target_joint;  /* by a joint phase in any case */
    bool prevote;       /* else a pre-vote is always granted, and nothing of it is seen */
    bool heartbeats;    /* else heartbeats are always lost, unless a read waits for their answer */
    bool asks;          /* a leader's heartbeat timer fires: it asks again what arrived */
    bool silence;       /* a leader may find itself alone */
    bool leader_lost;   /* a follower may lose its connection to the leader */
    bool votes_at_once; /* a term or vote is durable before anything else happens */
    bool log_at_once;   /* so are entries */
    uint32_t entries_sent; /* in one APPEND */
    uint32_t inflight;     /* APPENDs on their way to one member */
    enum explore_bug bug;
};

/* The plans that ctest and the long run go through; `quick_states` bounds the former. */
struct explore_preset {
    struct explore_plan plan;
    uint64_t states_quick;
};

const struct explore_preset *explore_presets(uint32_t *ret_count);
const char *explore_bug_word(enum explore_bug bug);
const char *explore_bug_text(enum explore_bug bug);

#endif
