/* What the search takes for granted about the real core, tried out (see search_check_assumptions). */
#ifndef EXPLORE_ASSUMPTIONS_H
#define EXPLORE_ASSUMPTIONS_H

#include "replica.h"

/* Over the pairs of a local and an event that the universe has met by now. It kept dead letters, so there are such
 * deliveries among them. Comparisons made; 0 = one failed. */
uint64_t assumptions_check(struct universe *universe, struct replica *replica,
                           const char **ret_wrong);

#endif
