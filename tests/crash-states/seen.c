#include "seen.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 4096u
/* Equal findings come close together. */
#define INTERN_LOOK_BACK 256u

static void *must(void *memory)
{
    if (!memory) abort();
    return memory;
}

void seen_init(struct seen *seen)
{
    *seen = (struct seen){.states_capacity = CAPACITY_MIN};
    seen->states = must(calloc(seen->states_capacity, sizeof *seen->states));
}

void seen_close(struct seen *seen)
{
    free(seen->states);
    free(seen->findings);
    free(seen->nested);
    *seen = (struct seen){0};
}

static struct seen_state *place_of(const struct seen *seen, uint64_t key)
{
    uint64_t at = key & (seen->states_capacity - 1);
    while (seen->states[at].key != 0 && seen->states[at].key != key) {
        at = (at + 1) & (seen->states_capacity - 1);
    }
    return &seen->states[at];
}

struct seen_state *seen_find(struct seen *seen, uint64_t key)
{
    struct seen_state *state = place_of(seen, key);
    return state->key == key ? state : NULL;
}

static void grow(struct seen *seen)
{
    struct seen old = *seen;
    seen->states_capacity *= 2;
    seen->states = must(calloc(seen->states_capacity, sizeof *seen->states));
    for (uint64_t i = 0; i < old.states_capacity; i++) {
        if (old.states[i].key != 0) *place_of(seen, old.states[i].key) = old.states[i];
    }
    free(old.states);
}

struct seen_state *seen_add(struct seen *seen, uint64_t key, uint32_t finding)
{
    assert(key != 0);
    if (seen->states_count * 2 >= seen->states_capacity) grow(seen);
    struct seen_state *state = place_of(seen, key);
    assert(state->key == 0);
    *state = (struct seen_state){.key = key, .finding = finding};
    seen->states_count++;
    return state;
}

uint32_t seen_intern(struct seen *seen, const struct finding *finding)
{
    const uint32_t count = seen->findings_count;
    for (uint32_t i = count; i > 0 && count - i < INTERN_LOOK_BACK; i--) {
        if (memcmp(&seen->findings[i - 1], finding, sizeof *finding) == 0) return i - 1;
    }
    if (count == seen->findings_capacity) {
        seen->findings_capacity = count ? 2 * count : 64;
        seen->findings =
            must(realloc(seen->findings, seen->findings_capacity * sizeof *seen->findings));
    }
    seen->findings[seen->findings_count++] = *finding;
    return count;
}

void seen_add_nested(struct seen *seen, uint32_t from, uint32_t finding)
{
    for (uint32_t i = from; i < seen->nested_count; i++) {
        if (seen->nested[i] == finding) return;
    }
    if (seen->nested_count == seen->nested_capacity) {
        seen->nested_capacity = seen->nested_capacity ? 2 * seen->nested_capacity : 256;
        seen->nested = must(realloc(seen->nested, seen->nested_capacity * sizeof *seen->nested));
    }
    seen->nested[seen->nested_count++] = finding;
}
