/* Dropping replicas (PROTOCOL M4): the record first, the files after it is durable, then everybody is told. */
#ifndef BROKER_NODE_DROP_H
#define BROKER_NODE_DROP_H

#include <stdbool.h>
#include <stdint.h>

struct disk;
struct group;
struct node;

/* is_deleted: with its topic; else the group goes on without this replica. */
void group__drop(struct group *group, uint64_t meta_index, bool is_deleted);
/* D6: from now on it sends and answers nothing; it is set aside when its jobs have ended. */
void group__quarantine(struct group *group, const char *why);
void group__continue_drop(struct group *group); /* may free it */
void group__drops_durable(struct node *node);
void group__remove(struct node *node, uint64_t group_id); /* its files; then tell (M8) */
void group__remove_files(struct disk *disk, const char *directory);
bool group__is_dropping(const struct node *node, uint64_t group_id); /* not yet recorded */
bool group__is_gone(const struct node *node,
                    uint64_t group_id); /* nothing of it is here any more */
void group__sweep(struct node *node);
/* What deleted these replicas, through this index of meta, is never applied again: their records go. */
void group__forget_dropped(struct node *node, uint64_t meta_index);
void group__free_removals(struct node *node);

#endif
