/* Reading everything from time to time, so that damage is found while another replica is whole (PROTOCOL D). */
#ifndef BROKER_NODE_SCRUB_H
#define BROKER_NODE_SCRUB_H

struct group;
struct node;

/* From time to time, and when a piece has ended: read the next one, if its time has come. */
void scrub__run(struct node *node);
/* A pass over this replica, before those of the background and faster. */
void scrub__begin(struct group *group);

#endif
