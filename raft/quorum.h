/* Majorities, single and joint (Raft thesis §4.3): every decision of a group goes through this file.
 *
 * Arrays are parallel to configuration->members. Learners never count. An empty half never has a majority:
 * a replica that does not know its group decides nothing. */
#ifndef RAFT_QUORUM_H
#define RAFT_QUORUM_H

#include <raft/types.h>

/* The highest value that a majority has reached: of the voters, and while joint of the old half too. 0 when
 * a half is empty. Serves match indexes (what is committed) and times of last contact alike. */
uint64_t raft__quorum_value(const struct raft_configuration *configuration,
                            const uint64_t values[RAFT_MEMBERS_MAX]);

/* Has a majority (of both halves while joint) said yes? */
bool raft__quorum_reached(const struct raft_configuration *configuration,
                          const bool yes[RAFT_MEMBERS_MAX]);

/* Can a majority still be reached when those in `no` never say yes? */
bool raft__quorum_possible(const struct raft_configuration *configuration,
                           const bool no[RAFT_MEMBERS_MAX]);

bool raft__is_voter(const struct raft_member *member);
uint32_t raft__voters_count(const struct raft_configuration *configuration);

/* Position of the member with exactly this node and epoch; RAFT_MEMBERS_MAX = not a member. */
uint32_t raft__member_find(const struct raft_configuration *configuration,
                           struct raft_replica_id id);
uint32_t raft__member_find_node(const struct raft_configuration *configuration, raft_node_id node);
bool raft__same_replica(struct raft_replica_id a, struct raft_replica_id b);

#endif
