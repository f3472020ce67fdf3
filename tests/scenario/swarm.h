/* The faults that one seed of the random test draws, and its source of chance. */
#ifndef SCENARIO_SWARM_H
#define SCENARIO_SWARM_H

#include "cluster.h"

struct swarm {
    uint64_t random;
    uint64_t voters_count; /* nodes 1..voters_count begin as the group */
    uint64_t nodes_count;  /* the others know nothing of it at first */
    uint64_t loss_percent;
    uint64_t duplicate_percent;
    uint64_t delay_ms_max;
    uint64_t disk_ms_max;
    uint64_t crash_permille;
    uint64_t partition_permille;
    uint64_t pause_permille;
    uint64_t cut_percent;
    uint64_t propose_permille;
    uint64_t read_permille;
    uint64_t transfer_permille;
    uint64_t leader_lost_permille;
    uint64_t configure_permille;
    uint64_t compact_permille;
    uint64_t wipe_permille;
    uint64_t stall_permille;
    uint64_t entries_max; /* of one proposal */
    bool quiet;           /* liveness phase */
    uint64_t paused_until_ms[CLUSTER_NODES_MAX];
    bool was_paused[CLUSTER_NODES_MAX];
    uint64_t restart_at_ms[CLUSTER_NODES_MAX];
    uint64_t job_at_ms[CLUSTER_NODES_MAX];
    uint64_t report_at_ms[CLUSTER_NODES_MAX];
    uint64_t hard_at_ms[CLUSTER_NODES_MAX];
    uint64_t install_at_ms[CLUSTER_NODES_MAX];
    uint64_t answered[CLUSTER_NODES_MAX];
    uint64_t stalls;
};

uint64_t swarm_draw(struct swarm *swarm, uint64_t below);
bool swarm_chance(struct swarm *swarm, uint64_t of_thousand);
raft_node_id swarm_any_node(struct swarm *swarm);
/* Up and not paused. */
bool swarm_can_step(const struct cluster *cluster, raft_node_id id);
void swarm_crash(struct cluster *cluster, struct swarm *swarm, raft_node_id id);

/* ---- swarm_changes.c ---- */

/* A leader is told to make the group another one. */
void swarm_configure(struct cluster *cluster, struct swarm *swarm);
/* Some node drops a prefix of its log. */
void swarm_compact(struct cluster *cluster, struct swarm *swarm);
/* Some node loses its disk, if the group can bear it. */
void swarm_wipe(struct cluster *cluster, struct swarm *swarm);
/* Some node with work for its disk is told that it makes no progress. */
void swarm_stall(struct cluster *cluster, struct swarm *swarm);
/* Bases under way land, fail and are installed. */
void swarm_run_bases(struct cluster *cluster, struct swarm *swarm);
/* Liveness: bring all nodes in as learners, promote them when they are caught up. True when it is done. */
bool swarm_gather(struct cluster *cluster, struct swarm *swarm);

#endif
