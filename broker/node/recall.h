/* A replica whose damage hides terms starts behind it, as if its log began there. Repaired, it has its entries to offer again:
 * else who lags behind that place would be sent a base, and lose what it holds in front of it (PROTOCOL D4, S3). */
#ifndef BROKER_NODE_RECALL_H
#define BROKER_NODE_RECALL_H

#include <stdbool.h>
#include <stdint.h>

struct group;

/* Does every hole of the log tell its terms? */
bool recall__knows_terms(const struct group *group);
/* The core begins behind damage, and that peer may have what is missing: a base would take it from there. */
bool recall__waits_for(const struct group *group, uint64_t node_id);
/* Tells the core of its entries in front, when they are known. Called when the log was repaired. */
void recall__run(struct group *group);

#endif
