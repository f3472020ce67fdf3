/* Entries for a peer whose disk has lost them (PROTOCOL D4). */
#ifndef BROKER_NODE_REPAIR_SERVE_H
#define BROKER_NODE_REPAIR_SERVE_H

#include <stdint.h>

struct node;
struct repair_message;

/* Answered at once, or when the entries have been read. */
void repair_serve__request(struct node *node, uint64_t from, uint64_t group_id,
                           const struct repair_message *request);

#endif
