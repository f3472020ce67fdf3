/* Sending a base to a replica that needs entries which this log does not have any more (PROTOCOL S3). */
#ifndef BROKER_NODE_BASE_SEND_H
#define BROKER_NODE_BASE_SEND_H

#include <stdbool.h>
#include <stdint.h>

struct base_message;
struct group;
struct raft_snapshot_request;
struct snapshot_identity;

/* Say in a message which base it is about. */
void base_send__name(struct base_message *message, const struct snapshot_identity *identity);
/* The core asks for it. Does nothing while one is on its way to that replica. */
void base_send__start(struct group *group, const struct raft_snapshot_request *request);
void base_send__answer(struct group *group, uint64_t from, const struct base_message *answer);
/* What was on its way there goes on where its receiver says. */
void base_send__peer_up(struct group *group, uint64_t node_id);
/* May the log not be dropped up to that index yet? */
bool base_send__holds(const struct group *group, uint64_t index);
void base_send__maintain(struct group *group);
void base_send__end_all(struct group *group); /* nobody needs one any more */
void base_send__free_all(struct group *group);
uint64_t base_send__lowest(const struct group *group); /* base on its way; UINT64_MAX: none */

#endif
