/* The states that a crash can leave at one instant, and what a node makes of each.
 *
 * A state is what one part of the disk (the identity, the votes, the group) holds after the crash. Each distinct one is
 * started from once and what was found is kept: it is judged again, without another start, whenever it comes up under
 * other promises. The start itself is crashed at each of its calls, and what then starts is judged in the same way. */
#ifndef STATES_H
#define STATES_H

#include "history.h"
#include "start.h"

#include <stdio.h>

struct states;

struct states_options {
    uint32_t nested_in; /* crash every n-th start at each of its calls, too; 0: none */
    uint32_t
        goes_on_in; /* every n-th log that was found whole takes entries and loses power again; 0: none */
    uint32_t files_in; /* read all entries of every n-th from its files; 0: none */
    bool shows_all;    /* print every state */
};

struct states_figures {
    uint64_t instants;              /* at which crashes were tried */
    uint64_t crashes;               /* tried, equal ones included */
    uint64_t distinct[PARTS_COUNT]; /* states that were started from */
    uint64_t nested;                /* of them by a crash of a start */
    uint64_t nested_starts;         /* starts that were crashed at each of their calls */
    uint64_t went_on, files_read;
    uint64_t torn_logs; /* states whose log ended between what was promised and what was written */
    uint64_t bad;
};

/* `history`, `settings` and `disk` outlive it. */
struct states *states_create(const struct states_options *options, struct history *history,
                             const struct group_settings *settings);
void states_destroy(struct states *states);

/* Try the crashes of this instant. False: one was recovered wrongly; states_problem() tells. */
bool states_look(struct states *states, const struct disk *disk);
/* The same with one slot of the votes rotten, then the other: V1, when both are told to be durable. */
bool states_look_at_rotten_votes(struct states *states, const struct disk *disk);

const struct states_figures *states_figures(const struct states *states);
/* What went wrong, in words; "" nothing did. */
const char *states_problem(const struct states *states);

#endif
