/* How a cluster comes to be (PROTOCOL M6), and how a node finds its place in one. */
#ifndef BROKER_NODE_FOUNDING_H
#define BROKER_NODE_FOUNDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct founding;
struct founding_entry;
struct node;

/* From time to time, while the cluster is not founded: ask the others, and found it when all agree. */
void founding__check(struct node *node);
/* A FOUNDING frame of a peer: what it is, and what it lists. */
void founding__received(struct node *node, uint64_t from, const uint8_t *body, size_t bytes);
/* Make it durable, and start as one of its nodes or ask to join it. */
void founding__take(struct node *node, uint64_t from, const struct founding *founding);
/* Tell a peer what this directory is. */
void founding__send(struct node *node, uint64_t to);
/* It held another directory before: it only joins (M6). */
bool founding__cannot_found(struct node *node, uint64_t node_id);
/* The cluster took this directory in: its replica of group 0 is made, as a learner at first. */
void founding__joined(struct node *node, uint64_t epoch, uint64_t incarnation_index);
void founding__free_entry(struct founding_entry *entry);
/* The replica of group 0 was lost and its files are aside: the cluster is asked for another one. */
void founding__ask_again(struct node *node, uint64_t lost_epoch);
bool founding__lists_me(const struct node *node); /* by this very directory */
bool founding__start(struct node *node); /* after the identity is loaded: make or open group 0 */

#endif
