/* All locals and letters that were ever met, each once and with a number, and what events make of locals.
 *
 * A local and an event always lead to the same local and the same letters, so the real core steps once for each such
 * pair, and a state of the whole group is a handful of numbers. That is where the speed comes from: the same two
 * thousand local histories meet in millions of ways.
 *
 * Every local and letter has one random-looking hash for each renaming of the nodes. The hash of a state is a sum of
 * them, which costs one addition per change, and one that does not know the nodes' names is a sum over all renamings. */
#ifndef EXPLORE_UNIVERSE_H
#define EXPLORE_UNIVERSE_H

#include "letter.h"

#include <stddef.h>

#define UNIVERSE_LETTERS_MAX 65535u

/* What promises of the whole group are judged by, and what actions are enabled by. */
struct facts {
    uint64_t log; /* byte i = entry of index i + 1 */
    uint64_t disk;
    uint8_t log_count;
    uint8_t disk_count;
    uint8_t role;
    uint8_t term;
    uint8_t disk_term;
    uint8_t disk_vote;
    uint8_t commit;
    uint8_t leader;
    uint8_t jobs_count;
    uint8_t hard_count;
    uint8_t reads_count;
    uint8_t full;   /* a queue of its surroundings has no room for another event */
    uint8_t untold; /* the driver has not heard of its term yet */
    uint8_t unused[3];
};

/* The end of a read: answered at `index`, or refused or lost with its process. */
struct ended_read {
    uint8_t id;
    uint8_t answered;
    uint8_t index;
};

/* What an event made of a local. */
struct outcome {
    uint32_t local;
    uint32_t letters_at; /* into universe.sent */
    uint8_t letters_count;
    uint8_t reads_count;
    bool done; /* false: the event is refused, changes nothing, or leaves the bounds */
    struct ended_read reads[EXPLORE_READS_MAX];
};

struct memo_slot {
    uint64_t key; /* local << 32 | action, plus 1; 0 = free */
    uint64_t outcome;
};

struct universe {
    struct explore_plan plan;
    bool keeps_dead; /* dead letters stay in the network (assumptions.h) */
    struct local_configurations configurations;
    uint32_t permutations_count;
    uint8_t permutations[EXPLORE_PERMUTATIONS_MAX][EXPLORE_NODES_MAX + 1]; /* 0 stays 0 */

    struct local *locals;
    struct facts *facts;
    uint64_t *local_hashes; /* [local][permutation] */
    uint32_t locals_count;
    uint32_t locals_capacity;
    uint32_t *local_slots;
    uint32_t local_slots_count;

    struct letter *letters;
    uint64_t *letter_hashes; /* [letter][permutation] */
    uint32_t letters_count;
    uint32_t letter_slots[4 * (UNIVERSE_LETTERS_MAX + 1)];

    struct outcome *outcomes; /* number 0: nothing was done */
    uint64_t outcomes_count;
    uint64_t outcomes_capacity;
    uint16_t *sent;
    uint64_t sent_count;
    uint64_t sent_capacity;
    struct memo_slot *memo;
    uint64_t memo_count;
    uint64_t memo_slots;
};

uint64_t universe_mix(uint64_t x);
void *universe_grow(void *items, uint64_t count, size_t bytes);

struct universe *universe_open(const struct explore_plan *plan);
void universe_close(struct universe *universe);

uint32_t universe_local(struct universe *universe, const struct local *local);
uint16_t universe_letter(struct universe *universe, const struct letter *letter);
/* Number of the configuration, a new one if need be. */
uint8_t universe_configuration(struct universe *universe,
                               const struct raft_configuration *configuration);

/* The same with other names for the nodes. Letters that a local holds stay what they are. */
struct letter universe_rename_letter(const struct universe *universe, const struct letter *letter,
                                     uint32_t permutation);
struct local universe_rename_local(const struct universe *universe, const struct local *local,
                                   uint32_t permutation);

static inline const uint64_t *universe_local_hashes(const struct universe *universe, uint32_t local)
{
    return universe->local_hashes + (size_t)local * universe->permutations_count;
}

static inline const uint64_t *universe_letter_hashes(const struct universe *universe,
                                                     uint16_t letter)
{
    return universe->letter_hashes + (size_t)letter * universe->permutations_count;
}

static inline uint64_t universe_memo_home(const struct universe *universe, uint32_t local,
                                          uint32_t action)
{
    return universe_mix((uint64_t)local << 32 | action) & (universe->memo_slots - 1);
}

/* What is known of this pair; NULL = nothing yet. Valid until the next universe_note(). */
const struct outcome *universe_known(const struct universe *universe, uint32_t local,
                                     uint32_t action);
const struct outcome *universe_note(struct universe *universe, uint32_t local, uint32_t action,
                                    struct outcome outcome, const uint16_t *letters);

#endif
