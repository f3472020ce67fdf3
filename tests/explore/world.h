/* A state of the whole group, and the promises that only the whole group can break.
 *
 * The network is the set of all letters ever sent. Delivering one takes nothing away, so every letter may arrive at any
 * later time, again, or never: loss, duplication and reordering without bounds and without events of their own. What
 * can have no effect any more is left out (letter_is_dead), which makes equal what is equal.
 *
 * Some memory of the past is part of the state, because later judgements depend on it: who led each term, what was
 * committed and by the leader of which term, what was committed when each open read began, what the bounds still
 * allow. */
#ifndef EXPLORE_WORLD_H
#define EXPLORE_WORLD_H

#include "replica.h"

#define WORLD_LETTERS_MAX 250u

struct world_past {
    uint64_t committed;    /* byte i = entry of index i + 1 */
    uint32_t committed_in; /* 4 bits each: the term of the leader that committed it */
    uint16_t leaders;      /* 4 bits each: who led term i + 1 */
    uint8_t committed_count;
    uint8_t crashes;
    uint8_t reads_begun;
    uint8_t changes;
    uint8_t transfers;
    uint8_t time_gaps;
    uint8_t reads[EXPLORE_READS_MAX]; /* 0 = not open; 1 + what was committed when it began */
    uint8_t unused[2];
};

struct world {
    struct world_past past;
    uint32_t locals[EXPLORE_NODES_MAX];
    uint16_t letters_count;
    uint16_t letters[WORLD_LETTERS_MAX];
};

/* An action of the group: of which node, and what. */
static inline uint32_t world_action(uint32_t node, uint32_t action)
{
    return action | node << 30; /* 0-based */
}

static inline uint32_t world_action_node(uint32_t action)
{
    return action >> 30;
}

static inline uint32_t world_action_own(uint32_t action)
{
    return action & ((1u << 30) - 1);
}

static inline size_t world_bytes(const struct world *world)
{
    size_t bytes = offsetof(struct world, letters) + world->letters_count * sizeof(uint16_t);
    return (bytes + 7) & ~(size_t)7;
}

void world_first(struct replica *replica, const struct explore_plan *plan, struct world *world);

#define WORLD_ACTIONS_MAX (2 * WORLD_LETTERS_MAX + 128 * EXPLORE_NODES_MAX)

/* All events that the bounds allow here; their number. */
uint32_t world_actions(const struct universe *universe, const struct world *world,
                       uint32_t actions[WORLD_ACTIONS_MAX]);

/* The past after `action` had this outcome. NULL, or the promise that broke. */
const char *world_judge(const struct universe *universe, const struct world *world, uint32_t action,
                        const struct outcome *outcome, struct world_past *ret_past);

/* Can the letter be left out, seen that `node` is `local` now? */
bool world_letter_is_dead(const struct universe *universe, const struct world *world,
                          uint16_t letter, uint32_t node, uint32_t local);

/* Sum over all that makes the state, one for each renaming; what a single change adds or takes. */
void world_sums(const struct universe *universe, const struct world *world, uint64_t *sums);
void world_past_sums(const struct universe *universe, const struct world_past *past,
                     uint64_t *sums);
uint64_t world_fingerprint(const struct universe *universe, const uint64_t *sums);

#endif
