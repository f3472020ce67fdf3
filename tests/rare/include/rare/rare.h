/* Rare paths: places in product code where a legal path that hardly ever is the one (a queue that is full just now, a read that
 * finds little, a timer that fires early) can be taken on purpose, in builds with -DRAFTMQ_PLANTED_BUGS=ON and there only
 * when the simulator asks for it (docs/TESTING.md).
 *
 *     if (!bulk_has_room(node, to) || RARELY(BULK_IS_FULL)) return cut(...);
 *
 * Whatever is taken, real inputs, timing or limits could have led there, so every invariant must hold still: that is what
 * makes it another thing than a planted bug. In every other build RARELY() is the constant false, and no symbol, string or
 * branch of it is left. The pure core does not draw: what it gets to know here is an input like any other. */
#ifndef RARE_RARE_H
#define RARE_RARE_H

#include <stdbool.h>

#ifdef RAFTMQ_PLANTED_BUGS

#include <rare/hook.h>

#define RARELY(name) rare_is_taken(RARE_##name)

#else

#define RARELY(name) false

#endif

#endif
