#include "assumptions.h"

#include <stdlib.h>
#include <string.h>

/* Enough of them, evenly spread. */
#define PAIRS_TRIED_MAX 20000u

struct check {
    struct universe *universe;
    struct replica *replica;
    uint64_t compared;
    const char *wrong;
};

static bool require(struct check *check, bool holds, const char *assumption)
{
    check->compared++;
    if (!holds && check->wrong == NULL) check->wrong = assumption;
    return holds;
}

/* A copy: universe_note() may move them. */
static struct outcome act(struct check *check, uint32_t local, uint32_t action)
{
    const char *broken = NULL;
    const struct outcome *outcome = replica_act(check->replica, local, action, &broken);
    if (outcome != NULL) return *outcome;
    check->wrong = broken;
    return (struct outcome){.done = false};
}

/* The local without the answers that wait for a sync and will be dead when they leave. */
static uint32_t without_dead_held(struct check *check, uint32_t local, uint8_t term)
{
    struct universe *universe = check->universe;
    uint8_t terms = (uint8_t)universe->plan.terms;
    struct local stripped = universe->locals[local];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < stripped.held_count; i++) {
        struct letter letter = universe->letters[stripped.held[i].letter];
        if (letter_is_dead(&letter, terms, term, terms)) continue;
        stripped.held[kept++] = stripped.held[i];
    }
    memset(stripped.held + kept, 0, (stripped.held_count - kept) * sizeof stripped.held[0]);
    stripped.held_count = (uint8_t)kept;
    return universe_local(universe, &stripped);
}

/* A request is dead only when its sender's term on disk is the highest there can be. */
static void check_dead(struct check *check, uint32_t local, uint16_t number)
{
    struct universe *universe = check->universe;
    struct letter letter = universe->letters[number];
    uint8_t receiver_term = universe->facts[local].disk_term;
    uint8_t terms = (uint8_t)universe->plan.terms;
    if (!letter_is_dead(&letter, receiver_term, terms, terms)) return;
    struct outcome outcome = act(check, local, action_make(ACTION_DELIVER, (uint32_t)number << 1));
    struct outcome tick = act(check, local, action_make(ACTION_TICK, 0));
    uint32_t changed = without_dead_held(check, outcome.local, receiver_term);
    uint32_t unchanged = without_dead_held(check, tick.done ? tick.local : local, receiver_term);
    require(check, !outcome.done || changed == unchanged,
            "a dead letter changes nothing that a look at the clock does not");
    for (uint32_t i = 0; outcome.done && i < outcome.letters_count; i++) {
        struct letter answer = universe->letters[universe->sent[outcome.letters_at + i]];
        require(check, letter_is_dead(&answer, terms, receiver_term, terms),
                "what answers a dead letter is dead");
    }
}

static uint32_t rename_local(struct check *check, uint32_t local, uint32_t permutation)
{
    struct universe *universe = check->universe;
    struct local renamed = universe_rename_local(universe, &universe->locals[local], permutation);
    for (uint32_t i = 0; i < renamed.held_count; i++) {
        struct letter letter = universe_rename_letter(
            universe, &universe->letters[renamed.held[i].letter], permutation);
        renamed.held[i].letter = universe_letter(universe, &letter);
    }
    return universe_local(universe, &renamed);
}

/* Sum of what an outcome is made of, under the names of the permutation. */
static uint64_t outcome_sum(const struct universe *universe, const struct outcome *outcome,
                            uint32_t permutation)
{
    if (!outcome->done) return 0;
    uint64_t sum = universe_local_hashes(universe, outcome->local)[permutation];
    for (uint32_t i = 0; i < outcome->letters_count; i++) {
        uint16_t letter = universe->sent[outcome->letters_at + i];
        sum += universe_letter_hashes(universe, letter)[permutation];
    }
    return sum;
}

static uint32_t rename_action(struct check *check, uint32_t action, uint32_t permutation)
{
    struct universe *universe = check->universe;
    uint32_t argument = action_argument(action);
    if (action_kind(action) == ACTION_TRANSFER) {
        return action_make(ACTION_TRANSFER, universe->permutations[permutation][argument]);
    }
    if (action_kind(action) != ACTION_DELIVER) return action;
    struct letter letter =
        universe_rename_letter(universe, &universe->letters[argument >> 1], permutation);
    uint32_t number = universe_letter(universe, &letter);
    return action_make(ACTION_DELIVER, number << 1 | (argument & 1));
}

static void check_alike(struct check *check, uint32_t local, uint32_t action, uint32_t permutation)
{
    struct universe *universe = check->universe;
    uint32_t renamed_action = rename_action(check, action, permutation);
    uint32_t renamed = rename_local(check, local, permutation);
    struct outcome plain = act(check, local, action);
    struct outcome other = act(check, renamed, renamed_action);
    /* Permutation 0 leaves the names as they are. */
    require(check, outcome_sum(universe, &plain, permutation) == outcome_sum(universe, &other, 0),
            "nodes are alike");
}

static void check_pair(struct check *check, uint32_t local, uint32_t action)
{
    const struct universe *universe = check->universe;
    require(check, replica_round_trip(check->replica, local), "a core is what its local says");
    if (action_kind(action) == ACTION_DELIVER) {
        check_dead(check, local, (uint16_t)(action_argument(action) >> 1));
    }
    for (uint32_t p = 1; p < universe->permutations_count; p++) {
        check_alike(check, local, action, p);
    }
}

uint64_t assumptions_check(struct universe *universe, struct replica *replica,
                           const char **ret_wrong)
{
    struct check check = {.universe = universe, .replica = replica};
    uint64_t count = 0;
    uint64_t *pairs = universe_grow(NULL, universe->memo_count + 1, sizeof pairs[0]);
    for (uint64_t i = 0; i < universe->memo_slots; i++) {
        if (universe->memo[i].key != 0) pairs[count++] = universe->memo[i].key - 1;
    }
    uint64_t stride = count / PAIRS_TRIED_MAX + 1;
    for (uint64_t i = 0; i < count && check.wrong == NULL; i += stride) {
        check_pair(&check, (uint32_t)(pairs[i] >> 32), (uint32_t)pairs[i]);
    }
    free(pairs);
    *ret_wrong = check.wrong;
    return check.wrong == NULL ? check.compared : 0;
}
