/* Driving a repair session of a log on a memory disk, with other logs for peers. */
#ifndef REPAIR_DRIVER_H
#define REPAIR_DRIVER_H

#include "log_fixture.h"

#include <segment_log/repair.h>

/* Entries for what is wanted, from a peer; the status of its read, or of the supply. */
enum segment_log_status repair_supply_from(struct segment_log *log, struct segment_log *peer,
                                           const struct segment_log_repair_info *wanted);
/* One step of the session. False: nobody can supply what it wants, or it ended. */
bool repair_step(struct segment_log *log, struct segment_log **peers, uint32_t peers_count,
                 struct segment_log_repair_info *ret_info);
/* The first hole at or behind `index`. OK; DAMAGED: nobody has what is wanted; else how the session ended. */
enum segment_log_status repair_first_from(struct segment_log *log, uint64_t index,
                                          struct segment_log **peers, uint32_t peers_count);
/* A session, without peers, until it wants something. */
void repair_want_all(struct segment_log *log, struct segment_log_repair_info *ret_wanted);
void repair_expect_unread(struct segment_log *log, uint64_t index);

#endif
