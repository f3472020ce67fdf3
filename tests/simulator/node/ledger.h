/* Facts that were seen once and may never be seen otherwise: (group, number) -> value. Grows as needed. */
#ifndef SIMULATOR_NODE_LEDGER_H
#define SIMULATOR_NODE_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

struct ledger_fact {
    uint64_t group;
    uint64_t number; /* 0: free */
    uint64_t value;
};

struct ledger {
    struct ledger_fact *facts; /* array[capacity], a power of two */
    uint64_t capacity;
    uint64_t count;
};

void ledger_init(struct ledger *ledger);
void ledger_close(struct ledger *ledger);

/* The value known for (group, number), after this one was noted if none was. number > 0. O(1). */
uint64_t ledger_note(struct ledger *ledger, uint64_t group, uint64_t number, uint64_t value);
bool ledger_get(const struct ledger *ledger, uint64_t group, uint64_t number, uint64_t *ret_value);

#endif
