/* The small durable facts of a node: its identity, and for every group its term, vote and replica record.
 *
 * Files in the data directory:
 *   LOCK       held with an exclusive lock while the node runs
 *   identity   node id, incarnation, cluster id, founding, twice; written anew (temp, sync, rename, sync directory)
 *   votes      two slots, each with one checksum over all of it: term, vote and replica record of every group
 *              (PROTOCOL V, M4)
 *
 * Same two faces as the log: get and put change memory, jobs make it durable. One job writes slot A, syncs, writes
 * slot B, syncs; updates made meanwhile are collected for the next job (V1). */
#ifndef SEGMENT_LOG_NODE_STORE_H
#define SEGMENT_LOG_NODE_STORE_H

#include <segment_log/disk.h>
#include <segment_log/segment_log.h>

/* ---- identity --------------------------------------------------------------------------------------- */

#define NODE_FOUNDING_BYTES_MAX 4096u

struct node_identity {
    uint64_t node_id;
    uint64_t incarnation;      /* random, drawn when the directory was made (M2) */
    struct cluster_id cluster; /* zero: not founded or joined yet */
    /* of the meta entry that brought this incarnation into the cluster; 0: it is the founding's, or did not join yet */
    uint64_t incarnation_index;
    /* This node held another directory before: it never founds, it only joins (M6) */
    bool join_only;
    /* The vote store was made: it is never missing again by a crash. Durable before the first vote of any replica, so a
     * directory that lost its votes together with its replicas is damage and never one that has not voted yet (M4) */
    bool replicas_made;
    uint64_t meta_epoch; /* of its replica of group 0; 0: a founder's, or none yet */
    /* The vote store was found lost and is being made anew (V3): begun again after a crash */
    bool votes_lost;
    /* V3: the votes of all replicas with an epoch up to this one went with a lost store, unless they have a record again */
    uint64_t votes_lost_below;
    uint32_t founding_bytes; /* the founding as encoded by broker/wire (M6); 0 = none */
    uint8_t founding[NODE_FOUNDING_BYTES_MAX];
};

enum node_identity_status {
    NODE_IDENTITY_OK,
    NODE_IDENTITY_MISSING, /* an empty directory, or none */
    NODE_IDENTITY_DAMAGED, /* the file is there but unreadable, or files are there without it */
    NODE_IDENTITY_OTHER_VERSION, /* it is whole, and this version cannot read it */
    NODE_IDENTITY_IO,
};

/* Lock the data directory, making it (0700) if it is missing. -EAGAIN: another process holds it. */
int node_directory_lock(struct disk *disk, const char *directory, struct disk_file **ret_lock);
/* Of the two copies in the file one has to be whole; the other one is then written again. */
SEGMENT_LOG_CHECKED enum node_identity_status node_identity_load(
    struct disk *disk, const char *directory, struct node_identity *ret_identity,
    struct segment_log_problem *ret_problem);
/* Offline: what a load would give, without writing anything. False: it would not be OK. */
bool node_identity_peek(struct disk *disk, const char *directory,
                        struct node_identity *ret_identity);
/* Durable when it returns 0: temp file, sync, rename, directory sync. Blocks. */
int node_identity_save(struct disk *disk, const char *directory,
                       const struct node_identity *identity);
/* Read the file from the device and save it again unless both copies say this. 0 or a negative errno. Blocks. */
int node_identity_check(struct disk *disk, const char *directory,
                        const struct node_identity *identity, bool *ret_mended);

#define NODE_UNREADABLE_PREFIX "unreadable-"

/* Move what a node made in a directory whose identity cannot be read into <directory>/unreadable-<n>, durably. ret_path: that
 * one; "": nothing there was made by a node, and nothing was moved. 0, or a negative errno. May be repeated after a crash.
 * Blocks. */
int node_directory_set_aside(struct disk *disk, const char *directory,
                             char ret_path[DISK_PATH_MAX]);
bool node_directory_is_aside_name(const char *name);
/* A file or directory that a node makes in its data directory, but for LOCK. */
bool node_directory_is_node_name(const char *name);

/* Does a directory hold something, and nothing that a node made? 1: yes, and the names of the first few; 0: no, or there is no
 * such directory; or a negative errno. An empty lost+found counts for nothing; one that is used may hold a node's files, and is 0,
 * for a start to judge (node_identity_load()). Changes nothing. */
int node_directory_find_strangers(struct disk *disk, const char *directory, char *ret_names,
                                  size_t bytes);

/* Is a directory of this node beside `directory`, set aside by hand (PROTOCOL M6)? That is one whose name begins with the
 * directory's own, followed by one of ". - _ ~", and which holds what a node holds: an identity of this node with a
 * founding, an identity that cannot be read, or votes or replicas without one; or was one set aside inside `directory`? 1: yes, and its path; 0: none; or a
 * negative errno: it is not known. */
int node_directory_find_aside(struct disk *disk, const char *directory, uint64_t node_id,
                              char ret_path[DISK_PATH_MAX]);

/* ---- votes and replica records ------------------------------------------------------------------------ */

enum node_replica_state {
    NODE_REPLICA_NONE,
    NODE_REPLICA_MADE,    /* files and base are synced; missing files are damage from now on (M4) */
    NODE_REPLICA_DROPPED, /* entries at or below meta_index do nothing */
};

struct node_record {
    uint64_t group;
    uint64_t epoch; /* replica epoch (M3) */
    enum node_replica_state state;
    uint64_t meta_index; /* of the meta entry that made or dropped it */
    uint64_t term;
    uint64_t vote_node; /* 0 = none */
    uint64_t vote_epoch;
};

#define NODE_STORE_GROUPS_MAX 4096u

struct node_store;

/* Open, or make when missing and `create`; a bad slot is rewritten from the good one and synced before return (V2).
 * OK; DAMAGED: both slots are bad (V3), *ret_problem says where; FOREIGN; BAD_VERSION: a newer version wrote it, and nothing was
 * changed; MISSING; IO. Blocks. */
SEGMENT_LOG_CHECKED enum segment_log_status node_store_open(
    struct disk *disk, const char *directory, const struct cluster_id *cluster, uint64_t node_id,
    bool create, struct node_store **ret_store, struct segment_log_problem *ret_problem);
void node_store_close(struct node_store *store);

/* Offline: the records as a start would find them; nothing is written. False: there is no store here that can be read, and what
 * was told counts for nothing. */
bool node_store_peek(struct disk *disk, const char *directory,
                     void (*cb)(void *data, const struct node_record *record), void *data);

/* The record of a group as last put; false when there is none. */
bool node_store_get(const struct node_store *store, uint64_t group, struct node_record *ret_record);

/* Put a record (memory); returns its sequence: durable once node_store_durable_sequence() >= it. 0: the store is full
 * (NODE_STORE_GROUPS_MAX groups). */
uint64_t node_store_put(struct node_store *store, const struct node_record *record);
/* Forget a group (memory; durable with the next job): the caller knows that no meta entry at or below the index of its
 * record is ever applied again. Nothing when there is no record. */
void node_store_forget(struct node_store *store, uint64_t group);
uint64_t node_store_durable_sequence(const struct node_store *store);
uint32_t node_store_count(const struct node_store *store);
bool node_store_at(const struct node_store *store, uint32_t position,
                   struct node_record *ret_record);

/* The next job but those that make records durable reads both slots from the device, and writes both from memory if one is
 * not what was written, the bad one first (V2). */
void node_store_check_begin(struct node_store *store);
bool node_store_is_checking(const struct node_store *store);
uint64_t node_store_mended_total(const struct node_store *store); /* slots, since open */

struct node_store_job;
struct node_store_job *node_store_next_job(
    struct node_store *store); /* NULL: nothing to do, or one is outstanding */
void node_store_job_run(struct node_store_job *job);
/* 0, or the negative errno: the node must stop. Frees the job. */
int node_store_job_finish(struct node_store *store, struct node_store_job *job,
                          struct segment_log_problem *ret_problem);

#endif
