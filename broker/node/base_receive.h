/* Receiving a base, and becoming it (PROTOCOL S3). */
#ifndef BROKER_NODE_BASE_RECEIVE_H
#define BROKER_NODE_BASE_RECEIVE_H

#include <stdbool.h>

struct group;
struct node;
struct peer_frame;
struct segment_log_job_result;

/* The new log is being born, or the base published; until that has ended the log writes nothing. */
bool base_receive__is_switching(const struct group *group);
/* OFFER and CHUNK of a sender, and ANSWER for this one's own sends. Hostile bytes are counted and dropped. */
void base_receive__frame(struct node *node, const struct peer_frame *frame);
void base_receive__log_job_ended(struct group *group, const struct segment_log_job_result *result);
/* update.log_replaced: the log and the state become the base that was just published. */
void base_receive__replace_log(struct group *group);
/* Time went by: a sender that fell silent is given up. */
void base_receive__maintain(struct group *group);
void base_receive__free(struct group *group);

#endif
