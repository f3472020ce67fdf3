/* What a seed stands for: cluster, timing, sizes, workload, and which faults are on. Drawn first, and printed. */
#ifndef RAFTMQ_SIM_PLAN_H
#define RAFTMQ_SIM_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "rare_paths.h"

#define FAULTS(X)                                                                                 \
    X(FAULT_KILL, "kill", "kill -9 of a process")                                                 \
    X(FAULT_POWER, "power", "power cut of a node: unsynced sectors and names kept, lost or torn") \
    X(FAULT_KILL_AT_CALL, "kill-at-call", "kill -9 before a chosen disk call")                    \
    X(FAULT_POWER_AT_CALL, "power-at-call", "power cut before a chosen disk call")                \
    X(FAULT_BLACKOUT, "blackout", "power cut of all nodes at once")                               \
    X(FAULT_STOP, "stop", "SIGTERM: leadership is handed over, then the process ends")            \
    X(FAULT_PAUSE, "pause", "SIGSTOP, later SIGCONT")                                             \
    X(FAULT_ISOLATE, "isolate", "one node is cut off")                                            \
    X(FAULT_HALVES, "halves", "two sides that do not reach each other")                           \
    X(FAULT_BRIDGE, "bridge", "two sides that only one node reaches both of")                     \
    X(FAULT_ONE_WAY, "one-way", "what a node sends to another waits; the way back is open")       \
    X(FAULT_STALL, "stall",                                                                       \
      "what crosses all links of a node waits: lost packets that are resent")                     \
    X(FAULT_RESET, "reset", "connections of a node are reset")                                    \
    X(FAULT_LATENCY, "latency", "everything takes 10 to 50 times as long to cross")               \
    X(FAULT_SLOW_DISK, "slow-disk", "disk work of a node takes up to 100 times as long")          \
    X(FAULT_HUNG_DISK, "hung-disk", "disk work of a node stands still")                           \
    X(FAULT_SYNC_ERROR, "sync-error", "a sync fails with EIO, its pages are clean and lost")      \
    X(FAULT_CALL_ERROR, "call-error", "a changing disk call fails with EIO")                      \
    X(FAULT_DISK_FULL, "disk-full", "ENOSPC for a while")                                         \
    X(FAULT_TRANSFER, "transfer", "leadership is handed over on request")                         \
    X(FAULT_ADD, "add-node", "a new node is admitted and joins")                                  \
    X(FAULT_REMOVE, "remove-node", "a node is taken out of everything")                           \
    X(FAULT_REPLACE, "replace-node", "a node takes the place of another one, dead or alive")      \
    X(FAULT_PLACE, "move-replicas", "a partition is to be on other nodes")                        \
    X(FAULT_CLOCK, "clock", "wall clock of a node jumps by up to ten years")                      \
    X(FAULT_WIPE, "wipe", "an empty disk in the place of a node's")                               \
    X(FAULT_ROT, "rot",                                                                           \
      "a bit flips in a file of a node, while it is down or in what it does not write any more")  \
    X(FAULT_MISDIRECT, "misdirect",                                                               \
      "while a node is down: what it wrote at one place stands at another, too")                  \
    X(FAULT_LOST_FILE, "lost-file", "while a node is down: a file is gone, or cut")               \
    X(FAULT_LYING_SYNC, "lying-sync",                                                             \
      "syncs of a node do nothing for a while and say they did; then it loses power")             \
    X(FAULT_OLD_BACKUP, "old-backup", "an old copy in the place of a node's disk (only --with)")

enum fault {
#define X(name, text, meaning) name,
    FAULTS(X)
#undef X
};
#define X(name, text, meaning) +1
enum { FAULTS_COUNT = FAULTS(X) };
#undef X

const char *fault_name(enum fault fault);
const char *fault_meaning(enum fault fault);
/* False: there is no such fault. */
bool fault_find(const char *name, enum fault *ret_fault);

/* Kinds of clients that a run can do without; nothing does without producers. */
#define CLIENTS(X)                                                     \
    X(CLIENT_CONSUMERS, "consumers", "clients that follow partitions") \
    X(CLIENT_COMMITTERS, "committers", "clients that commit offsets")  \
    X(CLIENT_ADMIN, "admin", "topics that come and go")

enum client {
#define X(name, text, meaning) name,
    CLIENTS(X)
#undef X
};
#define X(name, text, meaning) +1
enum { CLIENTS_COUNT = CLIENTS(X) };
#undef X

const char *client_name(enum client client);
const char *client_meaning(enum client client);
bool client_find(const char *name, enum client *ret_client);

#define PLAN_NODES_MAX      7u
#define PLAN_FOUNDERS_MAX   5u
#define PLAN_PARTITIONS_MAX 8u
#define PLAN_TOPICS_MAX     3u

struct plan_topic {
    uint32_t partitions_count;
    uint32_t replicas_count;
    bool local_reads;
    int64_t retention_ms, retention_bytes; /* -1: none */
    bool until_consumed;
};

struct plan {
    uint64_t seed;
    uint32_t founders_count;
    uint32_t nodes_count; /* and those that may join later */
    uint64_t link_us_min, link_us_max;
    uint64_t job_us_min, job_us_max;
    uint64_t window_bytes;
    uint64_t heartbeat_ms, election_timeout_ms_min, election_timeout_ms_max;
    uint64_t segment_bytes_max, cache_bytes_max, inflight_bytes_max, checkpoint_entries,
        reserve_bytes;
    uint64_t meta_log_entries; /* after which group 0 makes a base */
    uint32_t base_chunk_bytes;
    uint64_t retention_check_ms;
    uint64_t set_every_us; /* mean time between changes of a topic's settings; 0: they stay */
    struct plan_topic topics[PLAN_TOPICS_MAX];
    uint32_t topics_count;

    uint32_t producers_count;
    uint32_t plain_producers_count; /* of them without a producer id */
    uint32_t window;                /* batches in flight per producer */
    uint32_t batch_records_max;
    uint32_t value_bytes_max;
    uint64_t produce_every_us; /* mean, per producer */
    uint32_t consumers_count;
    uint64_t consume_every_us;
    uint32_t committers_count;
    uint64_t commit_every_us;
    bool has_admin;         /* creates and deletes topics all the time */
    uint64_t client_us_max; /* latency between clients and nodes */

    bool fault_is_on[FAULTS_COUNT];
    uint64_t fault_every_us[FAULTS_COUNT]; /* mean */
    bool spares_majority; /* faults leave a majority of the nodes up and connected */
    uint64_t faults_from_us;
    uint64_t safety_us;      /* end of the phase in which anything may be down */
    uint64_t image_every_us; /* mean time between looks at what a power cut would leave */
    uint64_t ack_check_in;   /* one ack in so many is looked up on the disks */
    struct rare_plan rare;
};

/* What the caller insists on; zero: the seed decides. */
struct plan_wishes {
    uint32_t nodes_count;
    uint32_t producers_count, topics_count; /* not more of them than these */
    uint64_t until_ms;                      /* length of the safety phase */
    bool without[FAULTS_COUNT];
    bool with[FAULTS_COUNT]; /* on in every seed where it can be */
    bool without_client[CLIENTS_COUNT];
    bool canary
        [FAULTS_COUNT]; /* its third strike fails the run: for tests of what handles failures */
    struct rare_wishes rare;
};

/* A fault that is on takes a disk, and what it held, for good. */
bool plan_loses_disks(const struct plan *plan);
void plan_draw(struct plan *plan, uint64_t seed, const struct plan_wishes *wishes);
/* A few lines that tell everything that was drawn. */
void plan_print(const struct plan *plan, FILE *out);

#endif
