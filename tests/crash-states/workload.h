/* What a node does to its disk, drawn from a seed: entries, group commits, rolls, cuts, votes, the identity, checkpoints,
 * bases, trims and the drop of a prefix behind them, installs of a base, replicas made, dropped and made again, a full disk, damage
 * and its repair, restarts. */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include "states.h"

#define WORKLOAD_KINDS(X)                      \
    X(FLUSHES, "group commits")                \
    X(ROLLS, "rolls")                          \
    X(CUTS, "truncations")                     \
    X(CUTS_EARLIER, "into an earlier segment") \
    X(VOTES, "votes")                          \
    X(IDENTITIES, "identities")                \
    X(CHECKPOINTS, "checkpoints")              \
    X(BASES, "bases")                          \
    X(SEALS, "footers")                        \
    X(TRIMS, "trims")                          \
    X(DROPS, "prefixes dropped")               \
    X(INSTALLS, "bases installed")             \
    X(INSTALLS_ENDED, "installs given up")     \
    X(REPLICAS, "replicas made")               \
    X(FULL_DISKS, "writes that found no room") \
    X(ROT, "records that rotted")              \
    X(LOST_ENDS, "files that lost their end")  \
    X(LOST_FILES, "files that were lost")      \
    X(LOST_FRONTS, "headers and marks lost")   \
    X(REPAIRS, "segments repaired")            \
    X(REPAIRS_IN_LAST, "of them the last")     \
    X(REPAIRS_REFUSED, "wrong peers refused")  \
    X(HOLES_CUT, "holes that were cut")        \
    X(RESTARTS, "restarts")

enum workload_kind {
#define X(name, text) WORKLOAD_##name,
    WORKLOAD_KINDS(X)
#undef X
        WORKLOAD_KINDS_COUNT
};

struct workload_result {
    uint64_t calls, syncs;
    uint64_t kinds[WORKLOAD_KINDS_COUNT];
    struct states_figures figures;
    char problem[800]; /* "": none */
};

void workload_run(uint64_t seed, uint64_t calls_max, const struct states_options *options,
                  struct workload_result *ret_result);
const char *workload_kind_text(enum workload_kind kind);

#endif
