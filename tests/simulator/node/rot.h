/* Damage on the disks of a simulated cluster, and whether it was repaired. */
#ifndef SIMULATOR_NODE_ROT_H
#define SIMULATOR_NODE_ROT_H

#include "sim_cluster.h"

#define ROT_TOPIC "orders"

/* A topic with `replicas` replicas and `count` messages of rising values; segments of 4 KiB. Checkpoints after
 * checkpoint_entries. */
struct cluster *rot_cluster(uint64_t seed, uint32_t nodes, uint32_t replicas, uint32_t count,
                            uint64_t checkpoint_entries);

/* The n-th segment file of the topic's log on a node, oldest first. False: there is none. */
bool rot_segment(struct cluster *cluster, uint32_t node, uint32_t nth, char *path, size_t bytes,
                 uint64_t *ret_file_bytes);
/* The n-th file of a group's directory on a node whose name begins so, in the order of names. False: there is none. */
bool rot_file(struct cluster *cluster, uint32_t node, uint64_t group, const char *prefix,
              uint32_t nth, char *path, size_t bytes, uint64_t *ret_file_bytes);
/* Snapshots of a group on a node that are not whole. */
uint32_t rot_damaged_snapshots(struct cluster *cluster, uint32_t node, uint64_t group);
void rot_flip(struct cluster *cluster, uint32_t node, const char *path, uint64_t pos);
void rot_remove(struct cluster *cluster, uint32_t node, const char *path);
/* The record of the entry with this index: position and file. */
uint64_t rot_find(struct cluster *cluster, uint32_t node, uint64_t index, char *path, size_t bytes);

/* What `log verify` would name in the files of the topic's log on that node. */
uint64_t rot_problems(struct cluster *cluster, uint32_t node);

/* Of identity and votes: copies and slots that are not whole. */
uint32_t rot_damaged_node_files(struct cluster *cluster, uint32_t node);
/* Index of the newest snapshot of a group there; 0 also of a base at 0. */
uint64_t rot_newest_snapshot(struct cluster *cluster, uint32_t node, uint64_t group);
/* Lower *last until no node keeps the entries first .. *last in more than one file. */
void rot_clip_to_file(struct cluster *cluster, uint64_t first, uint64_t *last);

/* No log of any running node is damaged or being mended, within `us`. */
bool rot_is_repaired(struct cluster *cluster, uint64_t us);
/* A pass over all logs of the node was asked for and has ended, within `us`. Returns the damage that is left. */
uint32_t rot_scrub(struct cluster *cluster, uint32_t node, uint64_t us);
/* The scrubber's status of that log names a problem in such words. */
bool rot_names(struct cluster *cluster, uint32_t node, uint64_t group, const char *words);
uint64_t rot_repaired_segments(struct cluster *cluster, uint32_t node);
uint64_t rot_found(struct cluster *cluster, uint32_t node);

/* Every running node serves exactly the values 0 .. count - 1. */
void rot_expect_values(struct cluster *cluster, uint32_t count);

#endif
