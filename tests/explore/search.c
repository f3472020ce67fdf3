#include "search.h"

#include "assumptions.h"
#include "narrate.h"
#include "queue.h"

#include <assert.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A state that an event leads to, before it is known to be new. */
struct candidate {
    uint64_t fingerprint;
    uint32_t action;
    uint32_t local;
    uint32_t letters_at; /* into universe.sent */
    uint32_t letters_count;
    struct world_past past;
};

struct search {
    struct universe *universe;
    struct replica *replica;
    const struct search_limits *limits;
    struct search_result *result;
    struct queue queue;
    uint64_t *visited; /* hash table of fingerprints; 0 = free */
    uint64_t visited_slots;
    /* How each state was first reached, by its number. */
    uint32_t *parents;
    uint32_t *arrivals;
    uint64_t arrivals_capacity;
    uint64_t level_end; /* number of the first state that lies one event farther */

    uint32_t actions[WORLD_ACTIONS_MAX];
    struct candidate candidates[WORLD_ACTIONS_MAX];
    uint32_t candidates_count;
    bool in_network[UNIVERSE_LETTERS_MAX + 1];
    uint32_t trying; /* the event at hand, for a core that aborts */
    struct timespec begun;
};

static sigjmp_buf on_abort;

/* An assertion of the core failed. The search tells the path that led there before it ends. */
static void catch_abort(int signal_number)
{
    siglongjmp(on_abort, signal_number);
}

static double seconds_since(const struct timespec *begun)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begun->tv_sec) + 1e-9 * (double)(now.tv_nsec - begun->tv_nsec);
}

/* ---- the states seen ------------------------------------------------------------------------------ */

static void visited_insert(struct search *search, uint64_t fingerprint)
{
    uint64_t at = fingerprint & (search->visited_slots - 1);
    while (search->visited[at] != 0) {
        at = (at + 1) & (search->visited_slots - 1);
    }
    search->visited[at] = fingerprint;
}

static void visited_grow(struct search *search)
{
    uint64_t *old = search->visited;
    uint64_t old_slots = search->visited_slots;
    search->visited_slots = old_slots == 0 ? 1u << 16 : 2 * old_slots;
    search->visited = calloc(search->visited_slots, sizeof search->visited[0]);
    if (search->visited == NULL) {
        fprintf(stderr, "out of memory\n");
        abort();
    }
    for (uint64_t i = 0; i < old_slots; i++) {
        if (old[i] != 0) visited_insert(search, old[i]);
    }
    free(old);
}

static bool is_visited(const struct search *search, uint64_t fingerprint)
{
    uint64_t at = fingerprint & (search->visited_slots - 1);
    while (search->visited[at] != 0) {
        if (search->visited[at] == fingerprint) return true;
        at = (at + 1) & (search->visited_slots - 1);
    }
    return false;
}

static void add_state(struct search *search, const struct world *world, uint64_t fingerprint,
                      uint64_t parent, uint32_t action)
{
    struct search_result *result = search->result;
    if (3 * (result->states + 1) > 2 * search->visited_slots) visited_grow(search);
    if (result->states == search->arrivals_capacity) {
        search->arrivals_capacity = 2 * search->arrivals_capacity + 4096;
        search->parents =
            universe_grow(search->parents, search->arrivals_capacity, sizeof search->parents[0]);
        search->arrivals =
            universe_grow(search->arrivals, search->arrivals_capacity, sizeof search->arrivals[0]);
    }
    visited_insert(search, fingerprint);
    search->parents[result->states] = (uint32_t)parent;
    search->arrivals[result->states] = action;
    result->states++;
    queue_push(&search->queue, world);
}

/* ---- a broken promise ----------------------------------------------------------------------------- */

static void tell_path(struct search *search, uint64_t state, uint32_t last, bool aborts)
{
    uint32_t length = 1;
    for (uint64_t at = state; at != 0; at = search->parents[at]) {
        length++;
    }
    uint32_t *path = universe_grow(NULL, length, sizeof path[0]);
    path[length - 1] = last;
    uint32_t i = length - 1;
    for (uint64_t at = state; at != 0; at = search->parents[at]) {
        path[--i] = search->arrivals[at];
    }
    search->result->path_length = length;
    if (!search->limits->quiet) narrate(search->universe, search->replica, path, length, aborts);
    free(path);
}

static void report_broken(struct search *search, uint64_t state, uint32_t action,
                          const char *promise, bool aborts)
{
    search->result->broken = promise;
    tell_path(search, state, action, aborts);
    if (!search->limits->quiet) printf("BROKEN: %s\n", promise);
}

/* ---- one state ------------------------------------------------------------------------------------ */

static void add_sums(uint64_t *sums, const uint64_t *more, uint32_t count)
{
    for (uint32_t p = 0; p < count; p++) {
        sums[p] += more[p];
    }
}

static void take_sums(uint64_t *sums, const uint64_t *less, uint32_t count)
{
    for (uint32_t p = 0; p < count; p++) {
        sums[p] -= less[p];
    }
}

/* What the letters sent, and those that die with a term that became durable, change. */
static bool letters_change(struct search *search, const struct world *world, uint32_t node,
                           const struct outcome *outcome, uint64_t *sums)
{
    const struct universe *universe = search->universe;
    const uint32_t count = universe->permutations_count;
    bool changed = false;
    for (uint32_t i = 0; i < outcome->letters_count; i++) {
        uint16_t letter = universe->sent[outcome->letters_at + i];
        if (search->in_network[letter]) continue;
        if (world_letter_is_dead(universe, world, letter, node, outcome->local)) continue;
        add_sums(sums, universe_letter_hashes(universe, letter), count);
        changed = true;
    }
    uint8_t term_before = universe->facts[world->locals[node]].disk_term;
    if (universe->facts[outcome->local].disk_term == term_before) return changed;
    for (uint32_t i = 0; i < world->letters_count; i++) {
        uint16_t letter = world->letters[i];
        if (!world_letter_is_dead(universe, world, letter, node, outcome->local)) continue;
        take_sums(sums, universe_letter_hashes(universe, letter), count);
        changed = true;
    }
    return changed;
}

static void note_candidate(struct search *search, const struct world *world, uint32_t action,
                           const struct outcome *outcome, const uint64_t *base,
                           const struct world_past *past)
{
    const struct universe *universe = search->universe;
    const uint32_t count = universe->permutations_count;
    uint32_t node = world_action_node(action);
    uint64_t sums[EXPLORE_PERMUTATIONS_MAX];
    memcpy(sums, base, count * sizeof sums[0]);
    bool changed = letters_change(search, world, node, outcome, sums);
    bool moved = outcome->local != world->locals[node];
    if (!changed && !moved && memcmp(past, &world->past, sizeof *past) == 0) return;
    if (moved) {
        take_sums(sums, universe_local_hashes(universe, world->locals[node]), count);
        add_sums(sums, universe_local_hashes(universe, outcome->local), count);
    }
    uint64_t past_sums[EXPLORE_PERMUTATIONS_MAX];
    world_past_sums(universe, past, past_sums);
    add_sums(sums, past_sums, count);
    struct candidate *candidate = &search->candidates[search->candidates_count++];
    candidate->fingerprint = world_fingerprint(universe, sums);
    candidate->action = action;
    candidate->local = outcome->local;
    candidate->letters_at = outcome->letters_at;
    candidate->letters_count = outcome->letters_count;
    candidate->past = *past;
    __builtin_prefetch(&search->visited[candidate->fingerprint & (search->visited_slots - 1)]);
}

static void count_reached(struct search *search, const struct world *world,
                          const struct candidate *candidate)
{
    struct search_result *result = search->result;
    const struct world_past *past = &candidate->past;
    for (uint32_t t = 1; t <= EXPLORE_TERMS_MAX; t++) {
        bool led = (past->leaders >> (4 * (t - 1)) & 0xf) != 0;
        if (led && t > result->terms_led) result->terms_led = t;
    }
    if (past->committed_count > result->committed) result->committed = past->committed_count;
    if (past->crashes > world->past.crashes) result->crashes++;
    uint32_t node = world_action_node(candidate->action);
    const struct facts *before = &search->universe->facts[world->locals[node]];
    const struct facts *now = &search->universe->facts[candidate->local];
    uint64_t common = before->log ^ now->log;
    uint32_t equal = common == 0 ? 8 : (uint32_t)__builtin_ctzll(common) / 8;
    if (equal < before->log_count && past->crashes == world->past.crashes) result->cuts++;
    for (uint32_t i = 0; i < EXPLORE_READS_MAX; i++) {
        bool ended = world->past.reads[i] != 0 && past->reads[i] == 0;
        if (ended && past->crashes == world->past.crashes) result->reads_answered++;
    }
}

static void make_world(struct search *search, const struct world *world,
                       const struct candidate *candidate, struct world *made)
{
    const struct universe *universe = search->universe;
    uint32_t node = world_action_node(candidate->action);
    made->past = candidate->past;
    memcpy(made->locals, world->locals, sizeof made->locals);
    made->locals[node] = candidate->local;
    made->letters_count = 0;
    for (uint32_t i = 0; i < world->letters_count; i++) {
        uint16_t letter = world->letters[i];
        if (world_letter_is_dead(universe, made, letter, node, candidate->local)) continue;
        made->letters[made->letters_count++] = letter;
    }
    for (uint32_t i = 0; i < candidate->letters_count; i++) {
        uint16_t letter = universe->sent[candidate->letters_at + i];
        if (search->in_network[letter]) continue;
        if (world_letter_is_dead(universe, made, letter, node, candidate->local)) continue;
        if (made->letters_count == WORLD_LETTERS_MAX) {
            fprintf(stderr, "more than %u letters in one state: choose narrower bounds\n",
                    WORLD_LETTERS_MAX);
            exit(2);
        }
        made->letters[made->letters_count++] = letter;
    }
}

static void prefetch_outcomes(const struct search *search, const struct world *world,
                              uint32_t count)
{
    const struct universe *universe = search->universe;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t action = search->actions[i];
        uint64_t home = universe_memo_home(universe, world->locals[world_action_node(action)],
                                           world_action_own(action));
        __builtin_prefetch(&universe->memo[home]);
    }
}

/* All events at a state; false when a promise broke. */
static bool try_events(struct search *search, const struct world *world, uint64_t state)
{
    uint64_t base[EXPLORE_PERMUTATIONS_MAX];
    world_sums(search->universe, world, base);
    uint32_t count = world_actions(search->universe, world, search->actions);
    prefetch_outcomes(search, world, count);
    search->candidates_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t action = search->trying = search->actions[i];
        const char *broken = NULL;
        const struct outcome *outcome =
            replica_act(search->replica, world->locals[world_action_node(action)],
                        world_action_own(action), &broken);
        struct world_past past;
        if (outcome != NULL && !outcome->done) continue;
        if (outcome != NULL) {
            broken = world_judge(search->universe, world, action, outcome, &past);
        }
        if (broken != NULL) {
            report_broken(search, state, action, broken, false);
            return false;
        }
        note_candidate(search, world, action, outcome, base, &past);
    }
    search->result->events += count;
    return true;
}

static void keep_new(struct search *search, const struct world *world, uint64_t state)
{
    for (uint32_t i = 0; i < search->candidates_count; i++) {
        const struct candidate *candidate = &search->candidates[i];
        if (is_visited(search, candidate->fingerprint)) continue;
        struct world made;
        make_world(search, world, candidate, &made);
        count_reached(search, world, candidate);
        add_state(search, &made, candidate->fingerprint, state, candidate->action);
    }
}

static void mark_network(struct search *search, const struct world *world, bool there)
{
    for (uint32_t i = 0; i < world->letters_count; i++) {
        search->in_network[world->letters[i]] = there;
    }
}

/* ---- the whole ------------------------------------------------------------------------------------ */

static bool limit_reached(const struct search *search)
{
    if (search->result->states >= search->limits->states) return true;
    if (search->limits->seconds == 0 || search->result->expanded % 1024 != 0) return false;
    return seconds_since(&search->begun) >= (double)search->limits->seconds;
}

static void go(struct search *search)
{
    struct search_result *result = search->result;
    while (search->queue.count > 0 && !limit_reached(search)) {
        uint64_t state = result->expanded++;
        if (state == search->level_end) {
            search->level_end = result->states;
            result->depth++;
        }
        const struct world *world = queue_pop(&search->queue);
        mark_network(search, world, true);
        bool held = try_events(search, world, state);
        if (held) keep_new(search, world, state);
        mark_network(search, world, false);
        if (!held) return;
    }
    result->exhausted = search->queue.count == 0;
}

/* SIGABRT of a failed assertion in the core comes back here, in the middle of go(). */
static void guard(struct search *search)
{
    struct sigaction action = {.sa_handler = catch_abort, .sa_flags = (int)SA_NODEFER};
    struct sigaction old;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGABRT, &action, &old);
    if (sigsetjmp(on_abort, 1) == 0) {
        go(search);
    } else {
        (void)sigaction(SIGABRT, &old, NULL);
        report_broken(search, search->result->expanded - 1, search->trying, SEARCH_ASSERTION, true);
    }
    (void)sigaction(SIGABRT, &old, NULL);
}

static struct search *search_open(const struct explore_plan *plan,
                                  const struct search_limits *limits, struct search_result *result)
{
    *result = (struct search_result){.depth = 0};
    struct search *search = calloc(1, sizeof *search);
    assert(search != NULL);
    search->universe = universe_open(plan);
    search->replica = replica_open(search->universe);
    search->limits = limits;
    search->result = result;
    clock_gettime(CLOCK_MONOTONIC, &search->begun);

    struct world first;
    world_first(search->replica, plan, &first);
    uint64_t sums[EXPLORE_PERMUTATIONS_MAX];
    world_sums(search->universe, &first, sums);
    visited_grow(search);
    add_state(search, &first, world_fingerprint(search->universe, sums), 0, 0);
    search->level_end = 1;
    return search;
}

static void search_close(struct search *search)
{
    queue_clear(&search->queue);
    free(search->visited);
    free(search->parents);
    free(search->arrivals);
    replica_close(search->replica);
    universe_close(search->universe);
    free(search);
}

void search_run(const struct explore_plan *plan, const struct search_limits *limits,
                struct search_result *result)
{
    struct search *search = search_open(plan, limits, result);
    guard(search);
    result->seconds = seconds_since(&search->begun);
    result->steps = search->universe->memo_count;
    result->locals = search->universe->locals_count;
    result->letters = search->universe->letters_count;
    search_close(search);
}

uint64_t search_check_assumptions(const struct explore_plan *plan, uint64_t states,
                                  const char **ret_wrong)
{
    struct search_limits limits = {.states = states, .quiet = true};
    struct search_result result;
    struct search *search = search_open(plan, &limits, &result);
    search->universe->keeps_dead = true;
    guard(search);
    *ret_wrong = result.broken;
    uint64_t compared = 0;
    if (result.broken == NULL) {
        compared = assumptions_check(search->universe, search->replica, ret_wrong);
    }
    search_close(search);
    return compared;
}
