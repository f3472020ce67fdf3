/* Where leaders are, and what nodes tell each other about replicas (PROTOCOL M7, M8). */
#ifndef BROKER_NODE_DIRECTORY_H
#define BROKER_NODE_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

struct group;
struct node;
struct peer_frame;

/* Where the leader of a group was last seen; also for groups without a replica here. */
struct leader_hint {
    struct leader_hint *next;
    uint64_t group;
    uint64_t term;
    uint64_t leader;
    uint64_t heard_us;
};

/* 0: not known. *ret_term is the term in which it leads, set when it is known. */
uint64_t directory__leader_of(struct node *node, uint64_t group_id, uint64_t *ret_term);
bool directory__has_led(struct node *node, uint64_t group_id); /* a leader was heard of */
void directory__heard(struct node *node, uint64_t group_id, uint64_t term, uint64_t leader);
/* The group was deleted. */
void directory__forget(struct node *node, uint64_t group_id);
/* From time to time: hints of groups that are not there go, one bucket a call. */
void directory__prune(struct node *node);
void directory__free(struct node *node);
void directory__tell_leads(struct group *group);
void directory__tell_made(struct group *group);
void directory__tell_made_to(struct group *group, uint64_t node_id);
void directory__tell_dropped(struct node *node, uint64_t group_id);
void directory__tell_all(struct node *node, uint64_t to); /* a node connected */
void directory__tell_lost(struct node *node, uint64_t to, uint64_t group_id, uint64_t epoch);
void directory__ask_who_leads(struct node *node, uint64_t group_id);
/* From time to time: for requests that wait for the leader of a group without a replica here. One group a call. */
void directory__ask_waiting(struct node *node);
void directory__ask_is_dropped(struct node *node, uint64_t group_id, uint64_t index, uint64_t to);
/* A TOPIC frame of a peer. */
void directory__notice(struct node *node, const struct peer_frame *frame);

#endif
