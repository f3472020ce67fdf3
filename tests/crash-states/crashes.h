/* The power cuts that are tried at one instant: which of the loose things are kept, dropped or torn.
 *
 *   all kept; all dropped
 *   each one alone dropped; each one alone kept
 *   everything up to each one kept, and the rest dropped, and the other way round: a write torn at a sector's edge
 *   each sector torn, the others kept, or dropped
 *   fates drawn for each of them
 *   every choice of names, with all sectors kept, and with all dropped */
#ifndef CRASHES_H
#define CRASHES_H

#include <memory_disk.h>

#define CRASH_LOOSE_MAX 512u

/* How many of the many: of sectors beyond this number an even choice is tried. */
struct crash_limits {
    uint32_t singles_max, edges_max, torn_max, names_max, mixed;
};

/* False: stop. */
typedef bool (*crash_cb)(void *data, const enum memory_disk_fate *fates);

/* Call `cb` with the fates of each crash. `turn` moves the choice among many sectors. */
bool crashes_each(const struct memory_disk_loose *items, uint32_t count,
                  const struct crash_limits *limits, uint32_t turn, crash_cb cb, void *data);

#endif
