/* Whether a replica that cannot be mended is to be made again (PROTOCOL M5): what it knows of its leader, and of what the others
 * keep. Who is made again gives up its vote for a while, so it goes only when
 *
 *   its state needs what is damaged, or messages that all others keep are damaged, and nobody can give them
 *     and a leader that does without it (expendable.c) says so again and again, in one term, and says so now */
#ifndef BROKER_NODE_UNMENDABLE_H
#define BROKER_NODE_UNMENDABLE_H

#include "repair_verdicts.h"

#include <stdbool.h>
#include <stdint.h>

struct group;

/* Zero is a replica of which nothing is known yet. */
struct unmendable {
    struct { /* a leader that does without this replica and cannot give what is needed */
        uint64_t node, term;      /* 0: none */
        uint64_t since_us, at_us; /* it said so again and again, and last */
    } refused;
    struct { /* a leader that does without this replica, and cannot give what is wanted now */
        uint64_t node, term; /* 0: none */
        uint64_t at_us;
    } word;
    /* The others keep messages between these, and nobody can give them, for what is in front of them is gone. 0: none. Of one file:
     * another one that is damaged changes nothing */
    uint64_t kept_behind, kept_last;
    bool asked_to_go; /* the request under way asks for the leader's word */
};

/* Another stretch of entries is wanted, or the same once more. */
void unmendable__asks(struct unmendable *unmendable);
/* Before each request: should the leader give its word to this replica, would it be made again? */
bool unmendable__would_go(struct unmendable *unmendable, const struct group *group,
                          const struct segment_log_repair_info *info);
/* A peer cannot give what is wanted. */
void unmendable__refused(struct unmendable *unmendable, const struct group *group, uint64_t from,
                         const struct repair_message *answer,
                         const struct segment_log_repair_info *info);
/* What came from a leader that does without this replica does not lead to what stands behind the damage. */
void unmendable__led_elsewhere(struct unmendable *unmendable, const struct group *group,
                               uint64_t from, uint64_t term,
                               const struct segment_log_repair_info *info);
/* Nobody gave what is wanted. Group 0, which holds no messages, drops it behind its next base. */
void unmendable__given_up(struct unmendable *unmendable, struct group *group,
                          struct repair_verdicts *verdicts,
                          const struct segment_log_repair_info *info);

bool unmendable__lacks_messages(const struct unmendable *unmendable, const struct group *group);
bool unmendable__is_hopeless(const struct unmendable *unmendable, const struct group *group);

#endif
