/* For tests that change the members of a simulated cluster: the requests, waiting for their end, and producers that work
 * meanwhile and whose acks are checked afterwards. */
#ifndef SIMULATOR_NODE_MEMBERS_H
#define SIMULATOR_NODE_MEMBERS_H

#include "peek.h"
#include "sim_cluster.h"

/* ---- requests: nodes are counted from 0, as everywhere in these tests ---------------------------------------------------- */

/* REMOVE, REPLACE or ADD, sent through `through`, and the answer. `detail` (may be NULL) holds 256 bytes. */
enum node_status members_change(struct cluster *cluster, uint32_t through,
                                enum node_request_type type, uint32_t node, uint32_t with,
                                char *detail);
/* A REMOVE that would leave a partition with fewer replicas than wanted is refused; else members_change() agrees to it. */
extern bool members_keep_replicas;
/* The same, tried again while there is no leader or the outcome is unknown. */
enum node_status members_change_surely(struct cluster *cluster, uint32_t through,
                                       enum node_request_type type, uint32_t node, uint32_t with);
enum node_status members_place(struct cluster *cluster, uint32_t through, const char *topic,
                               const uint32_t *nodes, uint32_t count);
/* What is not finished, as `through` is told: the count, or -1 when it is not told. Copies the first of them. */
int members_changes(struct cluster *cluster, uint32_t through, struct node_change *ret_first);
/* The change of one group; false: none, or it is not told. */
bool members_change_of(struct cluster *cluster, uint32_t through, uint64_t group,
                       struct node_change *ret_change);

/* ---- looking ------------------------------------------------------------------------------------------------------------ */

/* Nodes (bit n: node n) that vote in the group, or are members of it, as node `as_seen_by` has it in its log. */
uint32_t members_voters(struct cluster *cluster, uint32_t as_seen_by, uint64_t group);
uint32_t members_all(struct cluster *cluster, uint32_t as_seen_by, uint64_t group);
bool members_has_replica(struct cluster *cluster, uint32_t node, uint64_t group);
/* Files of that group on its disk. */
bool members_has_files(struct cluster *cluster, uint32_t node, uint64_t group);

/* ---- producers ------------------------------------------------------------------------------------------------------------ */

#define LOAD_PRODUCERS_MAX 4u
#define LOAD_ACKS_MAX      16384u

struct load_producer {
    struct cluster_call call;
    int64_t id;
    int32_t sequence;
    uint64_t value;
    uint64_t retry_us; /* 0: submitted */
};

/* Idempotent producers, each with one message in flight, which they send until it is acked. */
struct load {
    struct cluster *cluster;
    const char *topic;
    uint32_t through; /* bit per node: where they send to */
    struct load_producer producers[LOAD_PRODUCERS_MAX];
    uint32_t producers_count;
    struct cluster_ack acks[LOAD_ACKS_MAX];
    uint32_t acks_count;
    uint64_t next_value;
    uint64_t acked_us; /* of the last ack */
    uint64_t silence_us_max;
    /* Every so many acks what is acked is looked up on the disks of a majority, as a power cut would leave them; 0: never. Not
     * where a disk is lost. */
    uint32_t acks_per_look;
};

void load_start(struct load *load, struct cluster *cluster, const char *topic, uint32_t through);
void load_run(struct load *load, uint64_t us);
/* Until a condition holds, looked at every 5 ms; false: not within `us`. */
bool load_run_until(struct load *load, uint64_t us, bool (*is_true)(void *data), void *data);
/* Until nothing is unfinished, as `through` is told. */
bool load_run_until_settled(struct load *load, uint64_t us, uint32_t through);
/* Else the test fails, and says what goes on. */
void load_expect_settled(struct load *load, uint64_t us, uint32_t through);
/* Let what is in flight end, then read everything through each node of the mask: each ack is there once, at its offset, and
 * nobody has anything twice. */
void load_check(struct load *load, uint32_t readers);

#endif
