/* The states that were started from, by the hash of what they hold. */
#ifndef SEEN_H
#define SEEN_H

#include "start.h"

/* What a start from a state found, and what starts found that came after a crash of that start. */
struct seen_state {
    uint64_t key; /* 0: free */
    uint32_t finding;
    uint32_t nested_first, nested_count; /* in seen->nested */
};

struct seen {
    struct seen_state *states;
    uint64_t states_count, states_capacity; /* a power of two */
    struct finding *findings;               /* distinct ones */
    uint32_t findings_count, findings_capacity;
    uint32_t *nested; /* findings */
    uint32_t nested_count, nested_capacity;
};

void seen_init(struct seen *seen);
void seen_close(struct seen *seen);

/* The state with this key, or NULL. Valid until the next one is added. */
struct seen_state *seen_find(struct seen *seen, uint64_t key);
struct seen_state *seen_add(struct seen *seen, uint64_t key, uint32_t finding);

/* The number of a finding, the same for equal ones. */
uint32_t seen_intern(struct seen *seen, const struct finding *finding);

/* The findings of `from` on are those of the state, each once. */
void seen_add_nested(struct seen *seen, uint32_t from, uint32_t finding);

#endif
