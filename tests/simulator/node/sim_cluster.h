/* A simulated cluster: real nodes (core, log, snapshots, node code, peer connections) over simulated io and disk, and the
 * clients of a test, in one thread.
 *
 *   test ── call ──► node_submit ── ... ── done ──► call->is_done
 *
 * Invariants are held against the node of each event (sim_invariants.h); a breach aborts with one line that names seed
 * and time. */
#ifndef SIMULATOR_NODE_SIM_CLUSTER_H
#define SIMULATOR_NODE_SIM_CLUSTER_H

#include <broker/node.h>
#include <stdio.h>

#include "sim.h"

#define CLUSTER_NODES_MAX 7u
#define CLUSTER_NAME_MAX  64u

struct cluster;

struct cluster_options {
    uint64_t seed;
    uint32_t nodes_count;
    /* The first ones found the cluster and know nothing of the others, which know the founders and only join; 0: all found */
    uint32_t founders_count;
    struct sim_options world; /* after_event and data are the cluster's */
    uint64_t heartbeat_ms;
    uint64_t election_timeout_ms_min;
    uint64_t election_timeout_ms_max;
    uint64_t segment_bytes_max;
    uint64_t cache_bytes_max;
    uint64_t inflight_bytes_max;
    uint64_t checkpoint_entries;
    uint64_t meta_log_entries;
    uint64_t retention_check_ms; /* 0: 1,000 */
    uint32_t base_chunk_bytes;
    uint64_t base_hold_bytes;
    uint64_t reserve_bytes;
    bool auto_create;
    const char *replay; /* command that repeats the run, for the line of a failure; may be NULL */
    FILE *log;          /* the nodes' log lines; NULL: none */
    /* Each may be NULL. After each event, behind the invariants; a process ends with a fatal error; a process is gone, and
     * with it what was submitted to it. */
    void (*after_event)(void *data);
    void (*fatal)(void *data, uint32_t node, enum node_fatal code, const char *reason);
    void (*gone)(void *data, uint32_t node);
    void *data;
};

/* What an acked message is compared by. */
struct cluster_ack {
    uint64_t offset;
    uint64_t value;
};

/* The program on one node. */
struct cluster_node {
    struct cluster *cluster;
    uint32_t number; /* from 0 */
    struct node *node;
    struct peer_config peers[CLUSTER_NODES_MAX]; /* the node's options point to these */
    char peer_address[32];
    char http_address[32];
    int fatal_code; /* of this process; 0: none */
    char fatal_reason[256];
    bool is_stopped;       /* node_stop() has reported */
    bool led_when_stopped; /* some group, at that instant */
};

/* With what configuration a node is started. */
struct cluster_start {
    uint32_t peers; /* bit per node that its list names; itself is named always. 0: all */
    bool join_only;
    const char *http_address; /* that it tells; NULL: its own */
};

/* One request of the test. Zero it, fill in call->request, give it to cluster_submit. */
struct cluster_call {
    struct node_request request;
    struct cluster *cluster;
    struct cluster_call *next;
    uint32_t node;
    bool is_done;
    bool is_lost; /* the node died before it answered; is_done is set, too */
    uint64_t submitted_us, done_us;
    uint8_t batch[4096];
    char topic[CLUSTER_NAME_MAX];
    char group[CLUSTER_NAME_MAX];
};

struct cluster {
    struct cluster_options options;
    struct sim *sim;
    struct cluster_node nodes[CLUSTER_NODES_MAX];
    struct cluster_start starts[CLUSTER_NODES_MAX];
    struct cluster_call *calls; /* submitted and not done */
    struct cluster_invariants *invariants;
    int last_fatal_code; /* of any node, kept after its crash */
    char last_fatal_reason[256];
    uint64_t fatals_count;
};

void cluster_options_init(struct cluster_options *options, uint64_t seed, uint32_t nodes_count);
struct cluster *cluster_create(const struct cluster_options *options);
void cluster_destroy(struct cluster *cluster);

/* "n4:7071" */
void cluster_peer_address(uint32_t node, char *buffer, size_t bytes);
void cluster_start(struct cluster *cluster, uint32_t node);
void cluster_start_all(struct cluster *cluster);
void cluster_crash(struct cluster *cluster, uint32_t node, enum sim_crash mode);
/* SIGTERM: true when the node reported the end of its stop within `us`. The process is then gone. */
bool cluster_stop(struct cluster *cluster, uint32_t node, uint32_t drain_ms, uint64_t us);

/* ---- looking ------------------------------------------------------------------------------------------------- */

/* Number (from 0) of the running node that leads the group in the highest term; -1: none. */
int cluster_leader(struct cluster *cluster, uint64_t group);
/* Raft group of a partition as `node` knows it; 0: unknown. */
uint64_t cluster_group(struct cluster *cluster, uint32_t node, const char *topic);
bool cluster_group_status(struct cluster *cluster, uint32_t node, uint64_t group,
                          struct node_group_status *ret_status);
/* A leader of `group` that every running node follows, within `us`; -1: not reached. */
int cluster_wait_leader(struct cluster *cluster, uint64_t group, uint64_t us);

/* ---- asking -------------------------------------------------------------------------------------------------- */

void cluster_submit(struct cluster *cluster, uint32_t node, struct cluster_call *call);
void cluster_cancel(struct cluster_call *call);
/* Free what the answer holds. */
void cluster_call_close(struct cluster_call *call);
/* Run until the call is done, at most for `us`. */
bool cluster_wait(struct cluster_call *call, uint64_t us);

void cluster_fill_create(struct cluster_call *call, const char *topic, uint32_t partitions,
                         uint32_t replicas);
void cluster_fill_delete(struct cluster_call *call, const char *topic);
/* One record with an 8-byte value; producer_id -1: not idempotent. */
void cluster_fill_produce(struct cluster_call *call, const char *topic, uint64_t value,
                          int64_t producer_id, int32_t sequence);
void cluster_fill_fetch(struct cluster_call *call, const char *topic, uint64_t offset,
                        uint32_t wait_ms);
void cluster_fill_commit(struct cluster_call *call, const char *topic, const char *group,
                         uint64_t offset);

/* Leadership of the topic's partition 0 (NULL: of meta) to node `to` (from 0; -1: whoever is best). */
void cluster_fill_transfer(struct cluster_call *call, const char *topic, int to);
/* Of all groups that node `from` leads. */
void cluster_fill_transfer_from(struct cluster_call *call, uint32_t from, int to);

/* The same, and wait for the answer: its status. */
enum node_status cluster_create_topic(struct cluster *cluster, uint32_t node, const char *topic,
                                      uint32_t replicas);
enum node_status cluster_delete_topic(struct cluster *cluster, uint32_t node, const char *topic);
enum node_status cluster_allow_local_reads(struct cluster *cluster, uint32_t node,
                                           const char *topic);
enum node_status cluster_produce(struct cluster *cluster, uint32_t node, const char *topic,
                                 uint64_t value, int64_t producer_id, int32_t sequence,
                                 uint64_t *ret_offset);
/* A producer id from meta; -1: none was given. */
int64_t cluster_producer_id(struct cluster *cluster, uint32_t node);
/* As a client does it: the same id and sequence again until it is stored; false: not within `us`. */
bool cluster_produce_once(struct cluster *cluster, uint32_t node, const char *topic, uint64_t value,
                          int64_t producer_id, int32_t sequence, uint64_t us, uint64_t *ret_offset);

/* Read the whole topic linearizably through `node`: (offset, value) of each record in order, at most `max`. Returns the
 * count, or -1 - status. */
int cluster_read_all(struct cluster *cluster, uint32_t node, const char *topic,
                     struct cluster_ack *ret_records, uint32_t max);

#endif
