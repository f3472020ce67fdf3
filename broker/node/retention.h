/* What a leader proposes of itself about its partition (PROTOCOL M7, S4). */
#ifndef BROKER_NODE_RETENTION_H
#define BROKER_NODE_RETENTION_H

#include <stdint.h>

struct group;

/* From time to time: on its leader, propose what is due. */
void retention__maintain(struct group *group);
/* How much log, and how much time, lies between two bases of this partition; UINT64_MAX: no limit. */
uint64_t retention__base_bytes(const struct group *group);
uint64_t retention__base_us(const struct group *group);

#endif
