/* Clusters of three in which one node sleeps until the others have dropped what it would need of group 0. */
#ifndef SIMULATOR_NODE_BEHIND_H
#define SIMULATOR_NODE_BEHIND_H

#include "peek.h"
#include "sim_cluster.h"

#define BEHIND_NODES       3u
#define BEHIND_CHUNK_BYTES 64u /* some twenty of them are a base of group 0 here */

/* Founded, with bases that travel in chunks of BEHIND_CHUNK_BYTES. The caller destroys it. */
struct cluster *behind_cluster(uint64_t seed);
/* A replica as it is now; it is there. */
struct peek_group behind_look(struct cluster *cluster, uint32_t node, uint64_t group);
/* A node that is not `leader`. */
uint32_t behind_other_than(struct cluster *cluster, int leader);
/* Make topics `from` and the following, asked of `node`, and delete every second one: entries of group 0. */
void behind_change_topics(struct cluster *cluster, uint32_t node, uint32_t from, uint32_t count);
/* Kill `sleeper`, and go on until the others have dropped all that it has. Returns the last index that it had. */
uint64_t behind_let_fall(struct cluster *cluster, uint32_t sleeper);
/* All replicas of the group come to the same state within 30 simulated seconds. */
void behind_expect_same(struct cluster *cluster, uint64_t group);

#endif
