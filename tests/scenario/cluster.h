/* N cores in one thread with a model of what surrounds each: log, disk queue, vote store and network.
 *
 * The scenario runner and the random test share it. It does a driver's duties in the order that raft/raft.h gives,
 * and after every step it checks the invariants of the core and the promises of the group:
 *
 *   election safety      one leader per term
 *   log matching         equal index and term mean an equal prefix (a chain hash over the entries)
 *   leader completeness  a leader has everything that leaders of earlier terms committed
 *   state machine safety one entry per committed index, ever, on any node
 *   durability           what is committed stands on the disks of a majority
 *   vote and ack rules   a vote, a candidacy, an ack and a term leave a node only when they are on its disk
 *   linearizable reads   a read index is at least what was committed anywhere when the read began
 *   membership           a node uses the newest configuration of its log, changes start one after the other, and
 *                        nobody asks or tells anything of whom it does not know as a member
 *   bases                what a base covers is committed, and nothing below it is ever sent
 *
 * A broken promise ends the process with a sentence that names it. */
#ifndef SCENARIO_CLUSTER_H
#define SCENARIO_CLUSTER_H

#include <raft/raft.h>

#define CLUSTER_NODES_MAX               8u /* node ids 1..7; 0 is not used */
#define CLUSTER_READS_MAX               4096u
#define CLUSTER_GROUP                   7u
#define CLUSTER_ELECTION_TIMEOUT_MS_MIN 300u
#define CLUSTER_ELECTION_TIMEOUT_MS_MAX 600u

struct cluster_entry {
    raft_term term;
    uint64_t value;                                 /* unique per proposal */
    uint64_t chain;                                 /* hash of this entry and all before it */
    const struct raft_configuration *configuration; /* of a CONFIG entry; the cluster's */
};

/* Entries at and below `base` are gone, only the judge still looks at them: they stand for the state in the base. */
struct cluster_log {
    struct cluster_entry *entries; /* entries[i] has index i + 1 */
    raft_index count;
    raft_index capacity;
    raft_index base;
    raft_index configured; /* the newest CONFIG entry; 0 = none */
    bool founded; /* index 0 has the configuration that the cluster began with, not an empty one */
};

/* Cut at truncate_from (when not 0), then write `count` entries from `first`. */
struct cluster_disk_job {
    raft_index truncate_from;
    raft_index first;
    uint32_t count;
    struct cluster_entry *entries;
};

/* "Durable through (index, term)", not told to the core yet. */
struct cluster_report {
    raft_index index;
    raft_term term;
    raft_index cut_since; /* lowest cut after the write was queued; 0 = none */
};

struct cluster_packet {
    struct raft_message message;
    struct cluster_entry *entries; /* of an APPEND */
    uint64_t deliver_at_ms;
    uint64_t after_hard; /* held until this many hard states are durable */
};

struct cluster_packets {
    struct cluster_packet *items;
    uint32_t count;
    uint32_t capacity;
};

#define CLUSTER_JOBS_MAX 4096u
#define CLUSTER_HARD_MAX 256u

struct cluster_node {
    bool up;
    bool exists;
    bool has_vote;
    raft_node_id id;
    uint64_t epoch; /* of the replica; a wiped node gets another one */
    uint64_t process;
    struct raft_node *core;
    struct raft_node *core_before;
    struct raft_term_run *runs;
    struct cluster_log log;  /* in memory */
    struct cluster_log disk; /* what a power cut leaves */
    /* an installed base that is durable beside the log; count 0 = none (PROTOCOL S3) */
    struct cluster_log beside;
    struct raft_replica_id beside_from;
    uint64_t beside_from_process;
    struct cluster_disk_job jobs[CLUSTER_JOBS_MAX];
    uint32_t jobs_count;
    struct cluster_report reports[CLUSTER_JOBS_MAX];
    uint32_t reports_count;
    struct raft_hard_state hard_queue[CLUSTER_HARD_MAX];
    uint32_t hard_queue_count;
    struct raft_hard_state hard_durable;
    uint64_t hard_queued_total;
    uint64_t hard_durable_total;
    struct cluster_packets held; /* messages_after_sync */
    uint64_t timer_at_ms;
    raft_index commit_index;
    bool leads;
    uint64_t heard_ms;   /* its leader, last */
    uint64_t stalled_ms; /* told that its disk stands still, and nothing reported since; 0 = not */
};

/* A base on its way. */
struct cluster_transfer {
    struct raft_replica_id from;
    uint64_t from_process;
    struct raft_replica_id to;
    struct cluster_log base;
    uint64_t begun_ms;
};

/* What a replica had on its disk when the disk was lost. It may have acknowledged that before, and a leader counts
 * it; the judge must know that it was true. */
struct cluster_grave {
    struct raft_replica_id id;
    struct cluster_log disk;
};

#define CLUSTER_GRAVES_MAX         64u
#define CLUSTER_TRANSFERS_MAX      128u
#define CLUSTER_CONFIGURATIONS_MAX 4096u

struct cluster_read {
    bool open;
    raft_node_id node;
    raft_index at_least;
};

struct cluster_options {
    uint64_t seed;
    uint32_t trail_runs_max;
    uint32_t append_entries_max;
    uint32_t append_inflight_max;
    uint32_t append_runs_max; /* an APPEND with more runs is cut by the driver */
};

struct cluster_known {
    raft_index index;
    raft_term term;
    uint64_t chain;
};

struct cluster {
    struct cluster_options options;
    struct raft_configuration founding;
    struct raft_configuration
        *configurations[CLUSTER_CONFIGURATIONS_MAX]; /* of all CONFIG entries */
    uint32_t configurations_count;
    struct cluster_node nodes[CLUSTER_NODES_MAX];
    struct cluster_packets network;
    bool blocked[CLUSTER_NODES_MAX][CLUSTER_NODES_MAX]; /* [from][to] */
    uint64_t now_ms;
    uint64_t values_total;
    uint64_t processes_total;
    uint64_t epochs_total;
    struct cluster_transfer transfers[CLUSTER_TRANSFERS_MAX];
    uint32_t transfers_count;
    struct cluster_grave graves[CLUSTER_GRAVES_MAX];
    uint32_t graves_count;
    struct raft_indexed_configuration received[RAFT_MESSAGE_CONFIGURATIONS_MAX];

    /* What was ever seen of the whole group. */
    struct cluster_log committed;
    struct cluster_log committed_in; /* .term = the term of the leader that committed the index */
    struct cluster_known *known;     /* hash table of (index, term) -> chain */
    uint64_t known_capacity;
    uint64_t known_count;
    raft_node_id *leader_of_term;
    raft_term leader_of_term_capacity;
    struct cluster_read reads[CLUSTER_READS_MAX];
    uint64_t reads_begun;
    uint64_t reads_answered;
    uint64_t reads_refused;
    uint64_t elections;
    uint64_t changes; /* CONFIG entries committed */
    uint64_t changes_joint;
    uint64_t configurations_cut;
    uint64_t bases_installed;
    uint64_t bases_kept_log;
    uint64_t wipes;

    /* Hooks; may be NULL. */
    void (*on_trace)(struct cluster *cluster, raft_node_id node, const struct raft_trace *trace);
    void (*on_read)(struct cluster *cluster, raft_node_id node, const struct raft_read *read);
    /* How much of an APPEND the driver sends: last, or less, or previous_index for nothing. */
    raft_index (*on_send_append)(struct cluster *cluster, const struct raft_message *message);
    /* When the packet arrives; UINT64_MAX = never. */
    uint64_t (*on_send)(struct cluster *cluster, const struct raft_message *message);
    void *hook_data;

    struct raft_update update;
};

/* `cluster` is large: allocate it. */
void cluster_open(struct cluster *cluster, const struct cluster_options *options,
                  const struct raft_configuration *configuration);
void cluster_close(struct cluster *cluster);
/* One more node, that knows nothing and is down. */
void cluster_add_node(struct cluster *cluster, raft_node_id id);
/* A node that is down loses its disk; its replica is made again under another epoch. At most CLUSTER_GRAVES_MAX times
 * in all. */
void cluster_wipe(struct cluster *cluster, raft_node_id id);

/* Give a node that is down a log of these terms, on disk. Equal positions get equal entries. */
void cluster_set_disk(struct cluster *cluster, raft_node_id id, const raft_term *terms,
                      uint32_t terms_count, struct raft_hard_state hard);

/* Start a node from its disk; it must be down. */
void cluster_start(struct cluster *cluster, raft_node_id id);
/* Kill it: the first jobs_kept disk jobs and hard_kept hard states still reach the disk, unreported. */
void cluster_crash(struct cluster *cluster, raft_node_id id, uint32_t jobs_kept,
                   uint32_t hard_kept);

/* Step a node that is up and perform the update. */
enum raft_status cluster_step(struct cluster *cluster, raft_node_id id, struct raft_event event);
enum raft_status cluster_event(struct cluster *cluster, raft_node_id id, enum raft_event_type type);
enum raft_status cluster_propose(struct cluster *cluster, raft_node_id id, uint32_t count);
enum raft_status cluster_configure(struct cluster *cluster, raft_node_id id,
                                   const struct raft_configuration *target, bool always_joint);
/* Drop everything through `index` behind a base. False when it is not committed and durable there. */
bool cluster_compact(struct cluster *cluster, raft_node_id id, raft_index index);
/* Transfer i is over: with ok the base is durable beside the log of its receiver, if that is still there and wants it;
 * it is installed by cluster_install(). Else the sender hears of the failure. */
void cluster_land(struct cluster *cluster, uint32_t i, bool ok);
/* The receiver's core decides about the base beside its log; the sender hears of it when `told`. */
void cluster_install(struct cluster *cluster, raft_node_id id, bool told);
/* Begin a read; returns its id, 0 when it was refused as busy. */
uint64_t cluster_read(struct cluster *cluster, raft_node_id id);

/* The oldest disk job of the node reaches the disk; it is reported by cluster_report_oldest(). */
void cluster_finish_job(struct cluster *cluster, raft_node_id id);
void cluster_report_oldest(struct cluster *cluster, raft_node_id id);
void cluster_finish_hard(struct cluster *cluster, raft_node_id id);

/* Take packet i out of the network and give it to its node, unless that is down or cut off. */
void cluster_deliver(struct cluster *cluster, uint32_t i);
void cluster_drop(struct cluster *cluster, uint32_t i);
/* Put a copy of the packet into the network again. */
void cluster_duplicate(struct cluster *cluster, const struct cluster_packet *packet,
                       uint64_t deliver_at_ms);
struct cluster_packet cluster_packet_copy(const struct cluster_packet *packet);
void cluster_packet_free(struct cluster_packet *packet);

raft_node_id cluster_leader(const struct cluster *cluster); /* of the highest term; 0 = none */
void cluster_fail(const struct cluster *cluster, const char *promise) __attribute__((noreturn));

#endif
