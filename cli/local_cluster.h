/* A cluster of node processes on this machine: what `raftmq dev` and `raftmq bench failover` run.
 *
 * Nodes cannot outlive the process that started them: each gets SIGKILL from the kernel when its parent dies
 * (PR_SET_PDEATHSIG), and watches a pipe that only the parent holds open, in case the signal is lost on the way. */
#ifndef CLI_LOCAL_CLUSTER_H
#define CLI_LOCAL_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "servers.h"

#define LOCAL_CLUSTER_NODES_MAX  9u
#define LOCAL_CLUSTER_PATH_BYTES 400u

struct local_node {
    uint32_t number; /* 1.. */
    pid_t pid;       /* 0: not running */
    char http[SERVER_ADDRESS_BYTES];
    char peer[SERVER_ADDRESS_BYTES];
};

struct local_cluster_options {
    uint32_t nodes_count;
    uint32_t base_port;    /* HTTP of n1; peers at the next one; nodes 10 apart */
    const char *directory; /* NULL: a fresh one, removed at the end */
    bool keep;
    const char *pid_directory; /* NULL: none */
    const char *segment_bytes; /* NULL: default of serve */
    const char *log_level;
};

struct local_cluster {
    struct local_cluster_options options;
    char directory[LOCAL_CLUSTER_PATH_BYTES];
    bool is_fresh;
    struct local_node nodes[LOCAL_CLUSTER_NODES_MAX];
    int pipe_read, pipe_write;
    char error[512];
};

/* Make directories and pipe; starts nothing. Option strings are borrowed for the cluster's life. False: error is set. */
bool local_cluster_init(struct local_cluster *cluster, const struct local_cluster_options *options);
/* Before the first start: a node's port that somebody uses would answer in our name. False: error is set. */
bool local_cluster_ports_are_free(struct local_cluster *cluster);
/* Start one node; from the thread that lives as long as the process. False: error is set. */
bool local_cluster_start(struct local_cluster *cluster, uint32_t number);
/* Collect one node that has ended, without waiting: its number and wait status, or 0. */
uint32_t local_cluster_reap(struct local_cluster *cluster, int *ret_status);
/* SIGTERM to all, SIGKILL to what is left after `patience_us`; waits for all. */
void local_cluster_stop(struct local_cluster *cluster, uint64_t patience_us);
/* Kills what runs, removes a fresh directory unless keep is set. */
void local_cluster_close(struct local_cluster *cluster);

void local_cluster_log_path(const struct local_cluster *cluster, uint32_t number, char *buffer,
                            size_t buffer_bytes);
/* The last error line of a node's log, or its last line; "" when there is none. */
void local_cluster_last_words(const struct local_cluster *cluster, uint32_t number, char *buffer,
                              size_t buffer_bytes);

/* Blocking; for a worker thread. Wait until every node is ready and one leads; true and the leader's number (0: it has
 * none), or false when *give_up became true or the time was over. */
bool local_cluster_wait_ready(const struct local_cluster *cluster, uint64_t timeout_us,
                              const volatile bool *give_up, uint32_t *ret_leader);

#endif
