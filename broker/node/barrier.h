/* The barrier in front of linearizable reads (ReadIndex, PROTOCOL R). */
#ifndef BROKER_NODE_BARRIER_H
#define BROKER_NODE_BARRIER_H

#include <stdbool.h>

struct group;
struct node_request;
struct raft_read;

/* Wait until the state here is at least as new as when the request came; then fetch__behind_barrier(). */
void barrier__start(struct node_request *request, struct group *group);
/* For answers that a leader gives from its own state. False: not yet, the barrier is started and the request is then
 * dispatched anew. */
bool barrier__is_passed(struct node_request *request, struct group *group);
void barrier__ask(struct group *group);     /* end of turn: one READ event for all that came */
void barrier__applied(struct group *group); /* applied_index may have moved */
void barrier__read_state(struct group *group, const struct raft_read *read);

#endif
