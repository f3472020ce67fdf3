/* Do those voters of a group that have something make a majority? Pure. */
#ifndef BROKER_NODE_QUORUM_H
#define BROKER_NODE_QUORUM_H

#include <raft/raft.h>

#include <stdbool.h>
#include <stdint.h>

/* Does this voter count? `at` is its place in the configuration. */
typedef bool (*quorum_counts_cb)(void *data, const struct raft_member *member, uint32_t at);

/* Of each half when joint. O(members). */
bool quorum__is_made(const struct raft_configuration *configuration, quorum_counts_cb counts,
                     void *data);

#endif
