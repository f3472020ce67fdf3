/* Footers of the closed segments of a log, written by jobs (PROTOCOL L8). */
#ifndef BROKER_NODE_SEAL_H
#define BROKER_NODE_SEAL_H

struct group;

/* Start the next piece of it, unless one runs. Cheap when every closed segment has its footer. */
void seal__pump(struct group *group);

#endif
