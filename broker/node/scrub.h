/* Reading everything from time to time, so that damage is found while another replica is whole (PROTOCOL D). */
#ifndef BROKER_NODE_SCRUB_H
#define BROKER_NODE_SCRUB_H

struct node;

void scrub__run(struct node *node);

#endif
