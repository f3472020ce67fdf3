/* Bases that a replica makes of its own state, and the prefix of its log that goes behind them (PROTOCOL S2, S5). */
#ifndef BROKER_NODE_BASE_H
#define BROKER_NODE_BASE_H

#include <stdbool.h>
#include <stdint.h>

struct group;
struct segment_log_point;
struct tree;

void base__note(struct group *group, const struct segment_log_point *point); /* it is durable */
void base__installed(struct group *group, const struct segment_log_point *point);
/* Older ones are not sent any more: the log starts at `index`, where one stands. Their files go with the next prefix. */
void base__forget_below(struct group *group, uint64_t index);
/* Make a base of what the log holds now, when that is applied and durable. Does nothing while one is being made. */
void base__begin(struct group *group);
void base__applied(struct group *group); /* one more entry */
void base__truncated(struct group *group, uint64_t from_index);
/* Their files go, as a job. */
void base__remove_older(struct group *group, uint64_t below_index);
void base__remove_one(struct group *group, uint64_t index);
/* Make one when it is due, and drop the prefix that nobody needs. */
void base__maintain(struct group *group);
/* Group 0: damage that nobody can mend reaches to `index`. A base behind it is due, at which the log starts. */
void base__cover(struct group *group, uint64_t index);
void base__free(struct group *group);
/* S3: which base a replica gets that lacks entries; 0: the newest. */
uint64_t base__to_send(const struct group *group);
/* A snapshot of this state is durable. */
void base__snapshot_durable(struct group *group, struct tree *state);
/* The state does not know yet of the TRIM by which the log's files went: it is that of an installed base, or of an older
 * snapshot than the newest, which was damaged. */
bool base__is_ahead_of_state(const struct group *group);
/* The visible start of the log (S5), by a state that is as new as a read wants it. This replica may miss messages behind it, when a base
 * stepped over damage: others have them (elsewhere.c). */
uint64_t base__first_offset(const struct group *group);
/* First offset that is read here; for people. */
uint64_t base__first_offset_kept(const struct group *group);

#endif
