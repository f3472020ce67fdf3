/* Produce on the leader: check, then propose together what one turn brought (PROTOCOL P1-P3). */
#ifndef BROKER_NODE_PRODUCE_H
#define BROKER_NODE_PRODUCE_H

#include <segment_log/segment_log.h>

struct group;
struct meta_command;
struct node_request;

/* It is on the leader, which takes batches: checked, and queued for the end of the turn; or answered. */
void produce__start(struct node_request *request, struct group *group);
void produce__propose(struct group *group); /* end of turn: propose what is queued */
/* Append a META command; the request waits for its entry. */
void produce__meta_command(struct node_request *request, const struct meta_command *command);
/* Append what was just proposed, with the term that the core gave it. */
enum segment_log_status produce__append(struct group *group, uint64_t term,
                                        uint64_t *ret_last_index);

#endif
