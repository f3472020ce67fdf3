/* A node: owns every replica on this machine, drives the consensus cores, performs their updates in the one safe order
 * (perform.c), and serves node_request. Runs over struct io and struct disk, so the same code runs for real and in the
 * simulator. One thread. */
#ifndef BROKER_NODE_H
#define BROKER_NODE_H

#include <broker/io.h>
#include <broker/node_request.h>
#include <broker/peer.h>
#include <segment_log/disk.h>

enum node_fatal {
    NODE_FATAL_DISK = 74,   /* exit codes of the process, as in sysexits: EX_IOERR */
    NODE_FATAL_DAMAGE = 65, /* EX_DATAERR: damage that this version does not repair */
    NODE_FATAL_CONFIG = 78, /* EX_CONFIG */
    NODE_FATAL_BUSY = 75,   /* EX_TEMPFAIL: port or directory in use */
};

/* A longer path is refused at the start: those of the files in it have to fit, too. */
#define NODE_DATA_DIRECTORY_BYTES_MAX 400u

/* Strings and `peers` are borrowed for the node's life; data_directory is copied. 0 stands for a default only where a line
 * says so; a number behind a name alone is what `raftmq serve` gives. */
struct node_options {
    struct io *io;
    struct disk *disk;
    const char *data_directory;
    uint64_t node_id;
    const char *listen_peer;         /* host:port */
    const char *advertise_peer;      /* host:port other nodes use */
    const char *advertise_http;      /* host:port clients use */
    const char *advertise_kafka;     /* or "" */
    const struct peer_config *peers; /* array[peers_count], this node included */
    uint32_t peers_count;
    bool join_only; /* an empty directory founds no cluster, it only joins one (PROTOCOL M6) */
    bool auto_create_topics;
    uint64_t heartbeat_ms;            /* 50 */
    uint64_t election_timeout_ms_min; /* 300 */
    uint64_t election_timeout_ms_max; /* 600 */
    uint64_t segment_bytes_max;
    uint64_t cache_bytes_max; /* per group */
    /* produce bytes admitted and not yet answered, of the node; above: OVERLOADED */
    uint64_t inflight_bytes_max;
    uint64_t checkpoint_entries; /* write a checkpoint after this many applied entries; 100,000 */
    /* group 0 makes a base, and drops what lies behind the one before, after so much of its log; 0: 10,000 and 1 MiB */
    uint64_t meta_log_entries;
    uint64_t meta_log_bytes;
    /* So long may a log get behind a base that is on its way to a replica; 0: 64 MiB. */
    uint64_t base_hold_bytes;
    uint32_t
        base_chunk_bytes; /* of a base on its way to another node; 0: 256 KiB, which is the most */
    uint64_t retention_check_ms; /* how often a leader looks what may be trimmed; 0: 1,000 */
    uint64_t reserve_bytes;      /* free disk space kept */
    uint32_t trail_runs_max;     /* terms that a group's core remembers; 0: 65,536 */
    /* Trust in the disk is lost or the node cannot go on: the process must exit with `code` at once. Called at most
     * once; the node does nothing any more. */
    void (*fatal)(void *data, enum node_fatal code, const char *reason);
    /* One logfmt line without level and time; level is error, warn, info or debug. */
    void (*log)(void *data, const char *level, const char *line);
    void *data;
    const char *version;
};

/* Open the data directory, recover every replica, listen for peers. Blocks while it reads. NULL on error, after
 * `fatal` was called with the reason. */
struct node *node_create(const struct node_options *options);

/* Begin a clean stop: refuse new requests, hand leadership over, answer what is in flight (at most drain_ms); then hear no
 * peer any more, write what is there, sync marks, and call stopped(data), from a callback of the loop. Requests that come
 * after it are refused. Call it once. */
void node_stop(struct node *node, uint32_t drain_ms, void (*stopped)(void *data), void *data);

/* Free everything at once, as after a crash or after stopped(). Requests that are not done yet must still be in place: what
 * the node keeps in them is freed, they are not answered. Over the real io no job may be running, that is: after stopped(),
 * or before the loop ran. Not from inside a callback. */
void node_destroy(struct node *node);

#endif
