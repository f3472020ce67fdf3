/* A step of the core, and its update, performed in the one safe order. */
#ifndef BROKER_NODE_PERFORM_H
#define BROKER_NODE_PERFORM_H

#include <raft/raft.h>

struct group;

/* Step the core and perform its update. The status is the core's. */
enum raft_status group__step(struct group *group, struct raft_event *event);
/* The node store is durable as far as it says: what waited for this group's vote leaves. */
void group__store_durable(struct group *group);

#endif
