/* One run of one seed: a cluster of real nodes in the simulated world, clients, faults, a history, and what must hold.
 *
 *   safety:   faults come and go, anything may be down; whatever is answered must be right
 *   core:     a majority is healed, the rest stays broken: it must elect and take writes again
 *   rest:     all are healed: everything settles, all nodes end equal, and what they return is judged
 *
 * Everything is driven by events of the world, so a run is one sequence of them and the seed repeats it. */
#ifndef RAFTMQ_SIM_RUN_H
#define RAFTMQ_SIM_RUN_H

#include <history_checker.h>

#include "damage.h"
#include "draw.h"
#include "plan.h"
#include "sim_cluster.h"

/* Parts of draw_stream(); 1 and 2 are the plan's. */
enum run_part {
    PART_RUN = 3,
    PART_NEMESIS,
    PART_IMAGES,
    PART_OPERATOR,
    PART_FAULT_FIRST = 100,  /* + fault */
    PART_CLIENT_FIRST = 200, /* + client */
};

struct op;
struct producer;
struct consumer;
struct committer;
struct admin;
struct nemesis;
struct operator_state;

struct partition_facts {
    char topic[CLUSTER_NAME_MAX];
    uint32_t number;
    uint32_t history; /* its number there */
    bool local_reads;
    bool is_created;  /* its topic's creation was acked */
    uint64_t end;     /* offset behind the highest acked message */
    uint64_t trimmed; /* messages, as seen at the end */
    uint32_t replicas_count;
};

/* What a run did, for the sums at the end. */
struct run_totals {
    uint64_t events;
    uint64_t simulated_us;
    uint64_t cpu_us;
    uint64_t acked_batches, acked_messages;
    uint64_t reads, read_messages; /* answered */
    uint64_t other_ops;            /* answered: offsets, commits, topics, producer ids */
    uint64_t refused_ops, unknown_ops;
    uint64_t leaders;
    uint64_t bases_installed;
    uint64_t trimmed_messages; /* in front of the starts of the partitions at the end */
    uint64_t changes;          /* of members: CONFIG entries that were committed */
    uint64_t faults[FAULTS_COUNT];
    uint64_t images, ack_checks;
    uint64_t returns;       /* of nodes that had lost their disk */
    uint64_t lies_believed; /* starts of nodes that may have lost what they had told of */
    uint64_t damage_found;  /* nodes that stopped for what had befallen their disk */
    struct rare_counts rare;
    uint64_t trace_hash;
};

struct run_options {
    uint64_t seed;
    struct plan_wishes wishes;
    FILE *story; /* what happens: faults, operations, the nodes' logs. NULL: untold */
    FILE *trace; /* every event of the world. NULL: none */
    const char *replay;
};

struct run {
    struct run_options options;
    struct plan plan;
    struct cluster *cluster;
    struct sim *sim;
    struct history *history;
    struct run_totals totals;
    struct draw draw;

    struct partition_facts partitions[PLAN_PARTITIONS_MAX];
    uint32_t partitions_count;
    uint32_t topics_created_count;

    struct op *ops; /* all that are not over */
    uint32_t ops_count;
    bool is_draining; /* clients begin nothing new */
    uint64_t next_value_producer;

    struct producer *producers;
    struct consumer *consumers;
    struct committer *committers;
    struct admin *admin;
    struct nemesis *nemesis;
    struct operator_state *operator_state;

    uint32_t founders; /* bit per node */
    struct {           /* the newest state of meta that any node has applied */
        uint64_t index;
        uint32_t known, wished;
    } meta;
    uint32_t joined; /* ... that has held group 0 since its disk is what it is */
    uint64_t empty_since[PLAN_NODES_MAX]; /* meta.index when it got an empty disk; 0: never */
    uint32_t lost; /* ... whose disk was lost or damaged, until it is a whole member again */
    struct damage damage;
    struct rare_paths rare;
    struct draw images;
    uint64_t next_image_us;
    uint64_t
        failed_sync_us[PLAN_NODES_MAX]; /* since when the node knows of a failed sync; 0: none */
};

/* The whole run; ends the process when something does not hold (failure.h). */
void run_seed(const struct run_options *options, struct run_totals *ret_totals);

/* One line of the story. */
void run_tell(const struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The number of the event that happens: the time of the history. */
uint64_t run_tick(const struct run *run);
/* Add to the history, and fail at once when it shows an anomaly. */
void run_record(struct run *run, const struct history_op *op);

#endif
