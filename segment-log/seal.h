/* Sealing: a closed segment whose entries are all committed is read once more, from its first to its last byte, and gets a
 * footer (footer.h, PROTOCOL L8).
 *
 *     plan ──> next job ──> run: a bounded piece ──> finish ──┬──> next job ...
 *                                                             └──> footer written and synced: sealed
 *
 * Its jobs run beside the write jobs of the log, since nobody else writes into a closed segment. The exception is a
 * truncation of what is not committed: it waits for the piece under way, and what is being sealed there is given up. */
#ifndef SEGMENT_LOG_SEAL_H
#define SEGMENT_LOG_SEAL_H

#include <segment_log/segment_log.h>

struct segment_log_seal_job;

/* Which segment is next: to be asked when a segment was closed, cut, dropped or sealed. */
void seal__plan(struct segment_log *log);
/* A truncation that keeps segments through `sequence` may touch what is being sealed right now. */
bool seal__is_busy_from(const struct segment_log *log, uint64_t sequence);
/* Segments from `first` to before `end` are cut or dropped: give up what is sealed there. */
void seal__give_up(struct segment_log *log, uint64_t first, uint64_t end);
/* The footer of this segment turned out to be damaged: it is written again. */
void seal__anew(struct segment_log *log, uint64_t sequence);
/* Header or marks of this segment are whole again; its entries may be, too. */
void seal__try_again(struct segment_log *log, uint64_t sequence);
/* Damaged footers that were found and are not written again yet. */
uint32_t seal__owed_count(const struct segment_log *log);
void seal__close(struct segment_log *log);

#endif
