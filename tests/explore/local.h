/* One replica in some two hundred bytes: all of its protocol state, in its canonical form.
 *
 * A core is captured into a `struct local` after each event and restored from it before the next, so what is not
 * written down here cannot influence the search. Left out, and why that loses nothing:
 *
 *   - clocks, timers, random numbers: every timer may fire whenever it is armed. Questions that the core answers by
 *     the clock (does it hear its leader? is an answer due?) are asked of the search: it tries both answers where the
 *     answer changes the state, else the one that sends more, because not to send is to lose.
 *   - refusals counted against a candidacy: they only shorten a timer.
 *   - what a former leader or candidate remembers of others: reset before it is looked at again.
 *   - rounds of catching up, last refusals: told to people, never decided by.
 *
 * Not explored, which is a limitation: replica epochs and wiped nodes, bases and compaction, a stalled disk, APPENDs
 * cut short by the driver, updates too full for all messages. Random histories (tests/scenario) go there. */
#ifndef EXPLORE_LOCAL_H
#define EXPLORE_LOCAL_H

#include "internal.h"
#include "plan.h"

#define LOCAL_JOBS_MAX   6u
#define LOCAL_HARD_MAX   8u
#define LOCAL_HELD_MAX   12u
#define LOCAL_WINDOW_MAX 4u

/* An entry: its term, and which configuration it holds (0 = none). Index and term name an entry for good, because a
 * term has one leader and a leader only appends; both are among the promises that are checked. */
typedef uint8_t local_entry;

static inline uint8_t local_entry_term(local_entry entry)
{
    return entry & 0x0f;
}

static inline uint8_t local_entry_configuration(local_entry entry)
{
    return entry >> 4;
}

struct local_log {
    uint8_t count;
    local_entry entries[EXPLORE_ENTRIES_MAX];
};

/* Cut at `cut` (0 = nothing to cut), then write entries from `first`. */
struct local_job {
    uint8_t cut;
    uint8_t first;
    uint8_t count;
    local_entry entries[EXPLORE_ENTRIES_MAX];
};

struct local_hard {
    uint8_t term;
    uint8_t vote;
};

/* A letter that leaves after so many more hard states are durable. */
struct local_held {
    uint16_t letter;
    uint8_t syncs;
    uint8_t unused;
};

struct local_progress {
    uint8_t state;
    uint8_t match;
    uint8_t received;
    uint8_t next;
    uint8_t commit_told;
    uint8_t marks; /* bit 0 probe_sent, 1 check_wanted */
    uint8_t round_acked;
    uint8_t window_count;
    uint8_t window[LOCAL_WINDOW_MAX];
};

struct local_forward {
    uint8_t from;
    uint8_t process;
    uint8_t number;
    uint8_t round;
};

/* No padding and no byte unset: two locals are equal when their bytes are. */
struct local {
    /* The core. */
    uint8_t id;
    uint8_t process; /* starts of this node before */
    uint8_t role;
    uint8_t leader;
    struct local_hard hard;
    struct local_hard hard_told;
    uint8_t commit;
    uint8_t durable;
    uint8_t verified;
    uint8_t noop;
    uint8_t votes;           /* bit per position in the configuration */
    uint8_t transfer_target; /* position + 1; 0 = none */
    uint8_t transfer_sent;
    uint8_t founded; /* it knows the configuration that the group began with */
    struct local_progress progress[EXPLORE_NODES_MAX];
    uint8_t read_number;
    uint8_t read_flying;
    uint8_t reads_covered;
    uint8_t reads_count;
    uint8_t reads[EXPLORE_READS_MAX];
    uint8_t read_index;
    uint8_t forwards_count;
    struct local_forward forwards[EXPLORE_NODES_MAX];
    /* What surrounds it. */
    struct local_log log;  /* in memory */
    struct local_log disk; /* what a power cut leaves */
    struct local_hard disk_hard;
    uint8_t jobs_count;
    uint8_t hard_count;
    struct local_job jobs[LOCAL_JOBS_MAX];
    struct local_hard hard_queue[LOCAL_HARD_MAX];
    struct local_held held[LOCAL_HELD_MAX];
    uint8_t held_count;
    uint8_t unused[7];
};
_Static_assert(sizeof(struct local) % 8 == 0, "hashed by words");

/* The configurations that entries may hold, number 1 the one of the founding; grows as a change goes on. */
struct local_configurations {
    struct raft_configuration items[EXPLORE_CONFIGURATIONS_MAX];
    uint32_t count;
};

#define LOCAL_NOW_MS              1000000u
#define LOCAL_ELECTION_TIMEOUT_MS 600u
#define LOCAL_HEARTBEAT_MS        50u
#define LOCAL_GROUP               7u

/* Number of a process among those of its node, as the core knows it, and back. */
uint64_t local_process(uint8_t node, uint8_t starts);
uint8_t local_process_starts(uint64_t process);

struct raft_options local_options(const struct explore_plan *plan, uint8_t id, uint8_t starts,
                                  struct raft_term_run *runs, uint32_t runs_max);
/* Runs of the whole log; their number. */
uint32_t local_log_runs(const struct local_log *log, struct raft_term_run *runs);
/* Configurations of the log, oldest first; their number. history: array[EXPLORE_ENTRIES_MAX + 1]. */
uint32_t local_log_history(const struct local_configurations *configurations,
                           const struct local_log *log, bool founded,
                           struct raft_indexed_configuration *history);

/* `hears`: a follower heard from its leader a moment ago. runs: array[EXPLORE_ENTRIES_MAX + 1], used by the core. */
void local_restore(const struct explore_plan *plan,
                   const struct local_configurations *configurations, const struct local *local,
                   bool hears, struct raft_term_run *runs, struct raft_node *node);
/* Fills in the core's half only. */
void local_capture(const struct raft_node *node, struct local *local);

#endif
