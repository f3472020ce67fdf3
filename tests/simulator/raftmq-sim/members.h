/* Who belongs to the cluster, seen from above: of the newest meta state that any running node has applied, and of the
 * configurations that the groups have used. Sets of nodes are a bit per node. */
#ifndef RAFTMQ_SIM_MEMBERS_H
#define RAFTMQ_SIM_MEMBERS_H

#include "run.h"

static inline uint32_t members_count(uint32_t nodes)
{
    return (uint32_t)__builtin_popcount(nodes);
}

uint32_t members_all_nodes(const struct run *run);
/* NULL: no node that runs has applied the newest state. Valid until a node runs again. */
const struct meta_state *members_meta(const struct run *run);
/* Those that are to stay, admitted ones included that have not joined yet. Before the founding: those that found. */
uint32_t members_wished(const struct run *run);
/* Known to meta in any way: admitted, member, or leaving. */
uint32_t members_known(const struct run *run);

/* The node's process ran. */
void members_look(struct run *run, uint32_t node);
/* Its disk is another one: it belongs to nothing any more. */
void members_forget(struct run *run, uint32_t node);
/* Those of `nodes` that are members and have what they had; of these a majority is drawn that must get on alone. */
uint32_t members_whole(const struct run *run, uint32_t nodes);

/* The replicas of a group on these nodes are a majority of it: of the newest configuration that was committed and of the
 * newest that was used, of either half when joint. */
bool members_have_majority(const struct run *run, uint32_t nodes, uint64_t group);
/* Every group outlives it that this node loses all it has: those that it votes in have three voters and more, of either half
 * when joint. */
bool members_can_lose(const struct run *run, uint32_t node);
/* No group falls below three voters while a disk is lost, or damaged and not found out, when `node` leaves and `with` takes its
 * place (UINT32_MAX: nobody at once). */
bool members_can_leave(const struct run *run, uint32_t node, uint32_t with);
/* Fails when a group still counts on a node that meta does not know any more: whoever switches it off would be wrong. */
void members_check_forgotten(const struct run *run, uint32_t node);
/* No group counts on what the node has lost, and it is a whole member again, or none at all. */
bool members_is_back(const struct run *run, uint32_t node);
/* Everything is as it was wished: every node, in every group. Why not is written into `why`. */
bool members_are_settled(const struct run *run, char *why, size_t why_bytes);

#endif
