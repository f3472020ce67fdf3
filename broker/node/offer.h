/* Leadership offered by who leads and should not (PROTOCOL C7, D5). */
#ifndef BROKER_NODE_OFFER_H
#define BROKER_NODE_OFFER_H

#include <stdint.h>

struct group;

/* To another voter with each call, at most once in every_us: who cannot take it says nothing, and the next one is asked then.
 * Nothing when this replica does not lead. `why` is for people. */
void offer__to_next(struct group *group, uint64_t every_us, const char *why);

#endif
