/* Replicas that are of no use any more, while their node is (PROTOCOL D2, D6, V3, M5). */
#ifndef BROKER_NODE_LOST_H
#define BROKER_NODE_LOST_H

#include <segment_log/disk.h>

#include <stdbool.h>
#include <stdint.h>

struct node;
struct node_group_status;

bool lost__has(const struct node *node, uint64_t group_id);
/* A replica cannot be opened: it is set aside, and another one asked for. */
void lost__note(struct node *node, uint64_t group_id, uint64_t epoch, const char *why);
/* That of group 0, before the loop runs. False: fatal was called. Blocks. */
bool lost__note_meta_at_start(struct node *node, uint64_t epoch, const char *why);
/* The struct of a quarantined replica is gone: its files follow, unless it may be the only one there is. */
void lost__quarantine_ended(struct node *node, uint64_t group_id, uint64_t epoch, const char *why);
/* Durable when it returns 0; "" is where nothing was. Blocks. */
int lost__set_aside(struct node *node, uint64_t group_id, char ret_path[DISK_PATH_MAX]);
/* That of group 0, when the cluster gave another one. False: not yet, its record is on its way to the disk. */
bool lost__end_meta(struct node *node);
/* From time to time: whatever is next for each of them. */
void lost__run(struct node *node);
/* On the leader of meta: end that replica, unless another one is being ended; false: it is, or this node does not lead. */
bool lost__renew(struct node *node, uint64_t group_id, uint64_t node_id, uint64_t epoch);
/* On the leader of meta: a node lost a replica of its own. */
void lost__told(struct node *node, uint64_t from, uint64_t group_id, uint64_t epoch);
/* For status, by their order. False: there are no more. */
bool lost__at(const struct node *node, uint32_t at, struct node_group_status *ret_status);
void lost__free_all(struct node *node);

#endif
