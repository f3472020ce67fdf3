/* A damaged replica that its leader does without (PROTOCOL M5). */
#ifndef BROKER_NODE_EXPENDABLE_H
#define BROKER_NODE_EXPENDABLE_H

#include <stdbool.h>
#include <stdint.h>

struct group;

/* To whom the leader gave its word last. */
struct expendable {
    uint64_t node, epoch; /* 0: to nobody */
    uint64_t at_us;
    uint64_t missed_us; /* one that would go asked, and this leader is damaged itself */
};

/* The leader's word for the replica of that epoch on that node: this group leads, is whole, and commits with a majority that it is
 * no part of. Only one replica has it at a time, for two that go at once may be all that the leader has. O(members). */
bool expendable__has_word(struct group *group, uint64_t node_id, uint64_t epoch);
/* A replica would be made again, and this leader cannot give its word, whatever the others have. */
bool expendable__is_missed(const struct group *group);
/* This group leads: a majority besides that node is caught up, of each half when joint. O(members). */
bool expendable__commits_without(const struct group *group, uint64_t node_id);

#endif
