#include "universe.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64's finisher. */
uint64_t universe_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void *universe_grow(void *items, uint64_t count, size_t bytes)
{
    void *grown = realloc(items, count * bytes);
    if (grown == NULL) {
        fprintf(stderr, "out of memory\n");
        abort();
    }
    return grown;
}

static uint64_t hash_words(uint64_t seed, const void *bytes, size_t count)
{
    uint64_t hash = universe_mix(seed ^ count);
    for (size_t i = 0; i < count; i += 8) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)bytes + i, 8);
        hash = universe_mix(hash ^ word);
    }
    return hash;
}

/* ---- renamed nodes -------------------------------------------------------------------------------- */

struct letter universe_rename_letter(const struct universe *universe, const struct letter *letter,
                                     uint32_t permutation)
{
    const uint8_t *name = universe->permutations[permutation];
    struct letter renamed = *letter;
    renamed.from = name[letter->from];
    renamed.to = name[letter->to];
    return renamed;
}

/* Who is asked first does not matter, so the order of the table of requests does not either. */
static void sort_forwards(struct local *local)
{
    for (uint32_t i = 1; i < local->forwards_count; i++) {
        for (uint32_t k = i; k > 0; k--) {
            if (local->forwards[k - 1].from < local->forwards[k].from) break;
            struct local_forward swapped = local->forwards[k];
            local->forwards[k] = local->forwards[k - 1];
            local->forwards[k - 1] = swapped;
        }
    }
}

/* Positions in the configuration are node ids less one as long as it does not change, which renaming demands. */
struct local universe_rename_local(const struct universe *universe, const struct local *local,
                                   uint32_t permutation)
{
    const uint8_t *name = universe->permutations[permutation];
    struct local renamed = *local;
    renamed.id = name[local->id];
    renamed.leader = name[local->leader];
    renamed.hard.vote = name[local->hard.vote];
    renamed.hard_told.vote = name[local->hard_told.vote];
    renamed.disk_hard.vote = name[local->disk_hard.vote];
    renamed.transfer_target = name[local->transfer_target];
    for (uint32_t i = 0; i < local->hard_count; i++) {
        renamed.hard_queue[i].vote = name[local->hard_queue[i].vote];
    }
    renamed.votes = 0;
    for (uint32_t i = 0; i < universe->plan.nodes; i++) {
        renamed.progress[name[i + 1] - 1] = local->progress[i];
        if (local->votes >> i & 1) renamed.votes |= (uint8_t)(1u << (name[i + 1] - 1));
    }
    for (uint32_t i = 0; i < local->forwards_count; i++) {
        renamed.forwards[i].from = name[local->forwards[i].from];
    }
    sort_forwards(&renamed);
    return renamed;
}

static uint64_t letter_hash(const struct universe *universe, const struct letter *letter,
                            uint32_t permutation)
{
    struct letter renamed = universe_rename_letter(universe, letter, permutation);
    return hash_words(1, &renamed, sizeof renamed);
}

/* Held letters have numbers, which say nothing; they are hashed by what they are, in no order. */
static uint64_t local_hash(const struct universe *universe, const struct local *local,
                           uint32_t permutation)
{
    struct local renamed = universe_rename_local(universe, local, permutation);
    uint64_t held = 0;
    for (uint32_t i = 0; i < local->held_count; i++) {
        held += universe_mix(universe_letter_hashes(universe, local->held[i].letter)[permutation] ^
                             local->held[i].syncs);
    }
    memset(renamed.held, 0, sizeof renamed.held);
    return universe_mix(hash_words(2, &renamed, sizeof renamed) + held);
}

/* All orders of 1..nodes when the nodes are alike, else only the one they have, which comes first. */
static void list_permutations(struct universe *universe)
{
    uint32_t nodes = universe->plan.nodes;
    bool alike = universe->plan.changes == 0 && universe->plan.founders == 0;
    uint32_t codes = 1;
    for (uint32_t i = 0; i < nodes; i++) {
        codes *= nodes;
    }
    for (uint32_t code = 0; code < codes; code++) {
        uint8_t name[EXPLORE_NODES_MAX + 1] = {0};
        uint32_t used = 0;
        uint32_t rest = code;
        bool is_sorted = true;
        for (uint32_t i = nodes; i >= 1; i--) {
            name[i] = (uint8_t)(rest % nodes + 1);
            rest /= nodes;
            used |= 1u << name[i];
            if (name[i] != i) is_sorted = false;
        }
        bool is_permutation = used == ((1u << nodes) - 1) << 1;
        if (!is_permutation || (!alike && !is_sorted)) continue;
        assert(universe->permutations_count < EXPLORE_PERMUTATIONS_MAX);
        memcpy(universe->permutations[universe->permutations_count++], name, sizeof name);
    }
}

/* ---- locals --------------------------------------------------------------------------------------- */

static uint64_t entries_word(const struct local_log *log)
{
    uint64_t word = 0;
    memcpy(&word, log->entries, log->count);
    return word;
}

static struct facts facts_of(const struct local *local)
{
    return (struct facts){
        .log = entries_word(&local->log),
        .disk = entries_word(&local->disk),
        .log_count = local->log.count,
        .disk_count = local->disk.count,
        .role = local->role,
        .term = local->hard.term,
        .disk_term = local->disk_hard.term,
        .disk_vote = local->disk_hard.vote,
        .commit = local->commit,
        .leader = local->leader,
        .jobs_count = local->jobs_count,
        .hard_count = local->hard_count,
        .reads_count = local->reads_count,
        .full = local->jobs_count >= LOCAL_JOBS_MAX - 1 ||
                local->hard_count >= LOCAL_HARD_MAX - 2 ||
                local->held_count >= LOCAL_HELD_MAX - 2 * EXPLORE_NODES_MAX,
        .untold = memcmp(&local->hard, &local->hard_told, sizeof local->hard) != 0,
    };
}

static void grow_locals(struct universe *universe)
{
    uint32_t capacity = universe->locals_capacity == 0 ? 4096 : universe->locals_capacity * 2;
    universe->locals = universe_grow(universe->locals, capacity, sizeof universe->locals[0]);
    universe->facts = universe_grow(universe->facts, capacity, sizeof universe->facts[0]);
    universe->local_hashes =
        universe_grow(universe->local_hashes, (uint64_t)capacity * universe->permutations_count,
                      sizeof universe->local_hashes[0]);
    universe->locals_capacity = capacity;

    free(universe->local_slots);
    universe->local_slots_count = capacity * 4;
    universe->local_slots = universe_grow(NULL, universe->local_slots_count, sizeof(uint32_t));
    memset(universe->local_slots, 0, universe->local_slots_count * sizeof(uint32_t));
    for (uint32_t i = 0; i < universe->locals_count; i++) {
        uint64_t at = hash_words(3, &universe->locals[i], sizeof(struct local));
        while (universe->local_slots[at & (universe->local_slots_count - 1)] != 0) {
            at++;
        }
        universe->local_slots[at & (universe->local_slots_count - 1)] = i + 1;
    }
}

uint32_t universe_local(struct universe *universe, const struct local *local)
{
    if (universe->locals_count == universe->locals_capacity) grow_locals(universe);
    uint64_t at = hash_words(3, local, sizeof *local);
    uint32_t *slot;
    while (*(slot = &universe->local_slots[at & (universe->local_slots_count - 1)]) != 0) {
        if (memcmp(&universe->locals[*slot - 1], local, sizeof *local) == 0) return *slot - 1;
        at++;
    }
    uint32_t number = universe->locals_count++;
    *slot = number + 1;
    universe->locals[number] = *local;
    universe->facts[number] = facts_of(local);
    for (uint32_t p = 0; p < universe->permutations_count; p++) {
        universe->local_hashes[(size_t)number * universe->permutations_count + p] =
            local_hash(universe, local, p);
    }
    return number;
}

/* ---- letters and configurations ------------------------------------------------------------------- */

uint16_t universe_letter(struct universe *universe, const struct letter *letter)
{
    const uint32_t mask = 4 * (UNIVERSE_LETTERS_MAX + 1) - 1;
    uint64_t at = hash_words(4, letter, sizeof *letter);
    uint32_t *slot;
    while (*(slot = &universe->letter_slots[at & mask]) != 0) {
        if (memcmp(&universe->letters[*slot - 1], letter, sizeof *letter) == 0) {
            return (uint16_t)(*slot - 1);
        }
        at++;
    }
    if (universe->letters_count == UNIVERSE_LETTERS_MAX) {
        fprintf(stderr, "more than %u different letters: choose narrower bounds\n",
                UNIVERSE_LETTERS_MAX);
        exit(2);
    }
    uint32_t number = universe->letters_count++;
    *slot = number + 1;
    universe->letters[number] = *letter;
    for (uint32_t p = 0; p < universe->permutations_count; p++) {
        universe->letter_hashes[(size_t)number * universe->permutations_count + p] =
            letter_hash(universe, letter, p);
    }
    return (uint16_t)number;
}

static bool same_configuration(const struct raft_configuration *a,
                               const struct raft_configuration *b)
{
    if (a->joint != b->joint || a->members_count != b->members_count) return false;
    for (uint32_t i = 0; i < a->members_count; i++) {
        const struct raft_member *x = &a->members[i];
        const struct raft_member *y = &b->members[i];
        if (x->id.node != y->id.node || x->voter != y->voter) return false;
        if (x->voter_old != y->voter_old || x->learner_after != y->learner_after) return false;
    }
    return true;
}

uint8_t universe_configuration(struct universe *universe,
                               const struct raft_configuration *configuration)
{
    struct local_configurations *known = &universe->configurations;
    for (uint32_t i = 0; i < known->count; i++) {
        if (same_configuration(&known->items[i], configuration)) return (uint8_t)(i + 1);
    }
    assert(known->count < EXPLORE_CONFIGURATIONS_MAX);
    known->items[known->count++] = *configuration;
    return (uint8_t)known->count;
}

/* ---- what events make of locals ------------------------------------------------------------------- */

const struct outcome *universe_known(const struct universe *universe, uint32_t local,
                                     uint32_t action)
{
    uint64_t key = ((uint64_t)local << 32 | action) + 1;
    uint64_t at = universe_memo_home(universe, local, action);
    while (universe->memo[at].key != key) {
        if (universe->memo[at].key == 0) return NULL;
        at = (at + 1) & (universe->memo_slots - 1);
    }
    return &universe->outcomes[universe->memo[at].outcome];
}

static void memo_insert(struct universe *universe, struct memo_slot slot)
{
    uint64_t at = universe_mix(slot.key - 1) & (universe->memo_slots - 1);
    while (universe->memo[at].key != 0) {
        at = (at + 1) & (universe->memo_slots - 1);
    }
    universe->memo[at] = slot;
}

static void memo_grow(struct universe *universe)
{
    struct memo_slot *old = universe->memo;
    uint64_t old_slots = universe->memo_slots;
    universe->memo_slots = old_slots == 0 ? 1u << 16 : old_slots * 2;
    universe->memo = calloc(universe->memo_slots, sizeof universe->memo[0]);
    assert(universe->memo != NULL);
    for (uint64_t i = 0; i < old_slots; i++) {
        if (old[i].key != 0) memo_insert(universe, old[i]);
    }
    free(old);
}

const struct outcome *universe_note(struct universe *universe, uint32_t local, uint32_t action,
                                    struct outcome outcome, const uint16_t *letters)
{
    if (2 * (universe->memo_count + 1) > universe->memo_slots) memo_grow(universe);
    if (universe->outcomes_count == universe->outcomes_capacity) {
        universe->outcomes_capacity = universe->outcomes_capacity * 2 + 1024;
        universe->outcomes = universe_grow(universe->outcomes, universe->outcomes_capacity,
                                           sizeof universe->outcomes[0]);
    }
    if (universe->sent_count + outcome.letters_count > universe->sent_capacity) {
        universe->sent_capacity = universe->sent_capacity * 2 + 1024;
        universe->sent =
            universe_grow(universe->sent, universe->sent_capacity, sizeof universe->sent[0]);
    }
    outcome.letters_at = (uint32_t)universe->sent_count;
    for (uint32_t i = 0; i < outcome.letters_count; i++) {
        universe->sent[universe->sent_count++] = letters[i];
    }
    uint64_t number = 0;
    if (outcome.done) {
        number = universe->outcomes_count++;
        universe->outcomes[number] = outcome;
    }
    memo_insert(universe,
                (struct memo_slot){.key = ((uint64_t)local << 32 | action) + 1, .outcome = number});
    universe->memo_count++;
    return &universe->outcomes[number];
}

/* ---- open and close ------------------------------------------------------------------------------- */

struct universe *universe_open(const struct explore_plan *plan)
{
    struct universe *universe = calloc(1, sizeof *universe);
    assert(universe != NULL);
    universe->plan = *plan;
    uint32_t founders = plan->founders == 0 ? plan->nodes : plan->founders;
    struct raft_configuration founding = {.members_count = founders};
    for (uint32_t i = 0; i < founders; i++) {
        founding.members[i] =
            (struct raft_member){.id = {.node = i + 1, .epoch = 0}, .voter = true};
    }
    (void)universe_configuration(universe, &founding);
    list_permutations(universe);
    universe->letters = universe_grow(NULL, UNIVERSE_LETTERS_MAX + 1, sizeof universe->letters[0]);
    universe->letter_hashes =
        universe_grow(NULL, (UNIVERSE_LETTERS_MAX + 1ull) * universe->permutations_count,
                      sizeof universe->letter_hashes[0]);
    memo_grow(universe);
    universe->outcomes_capacity = 1024;
    universe->outcomes =
        universe_grow(NULL, universe->outcomes_capacity, sizeof universe->outcomes[0]);
    universe->outcomes[universe->outcomes_count++] = (struct outcome){.done = false};
    return universe;
}

void universe_close(struct universe *universe)
{
    if (universe == NULL) return;
    free(universe->locals);
    free(universe->facts);
    free(universe->local_hashes);
    free(universe->local_slots);
    free(universe->letters);
    free(universe->letter_hashes);
    free(universe->outcomes);
    free(universe->sent);
    free(universe->memo);
    free(universe);
}
