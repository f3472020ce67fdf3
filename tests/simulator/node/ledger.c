#include "ledger.h"

#include <assert.h>
#include <stdlib.h>

#define CAPACITY_MIN 4096u

void ledger_init(struct ledger *ledger)
{
    *ledger = (struct ledger){.capacity = CAPACITY_MIN};
    ledger->facts = calloc(ledger->capacity, sizeof(*ledger->facts));
    if (!ledger->facts) abort();
}

void ledger_close(struct ledger *ledger)
{
    free(ledger->facts);
    *ledger = (struct ledger){0};
}

static struct ledger_fact *find(const struct ledger *ledger, uint64_t group, uint64_t number)
{
    uint64_t at = (group * UINT64_C(0x9e3779b97f4a7c15) + number) * UINT64_C(0xbf58476d1ce4e5b9);
    for (at >>= 20;; at++) {
        struct ledger_fact *fact = &ledger->facts[at & (ledger->capacity - 1u)];
        if (fact->number == 0 || (fact->number == number && fact->group == group)) return fact;
    }
}

static void grow(struct ledger *ledger)
{
    struct ledger old = *ledger;
    ledger->capacity = 2u * old.capacity;
    ledger->facts = calloc(ledger->capacity, sizeof(*ledger->facts));
    if (!ledger->facts) abort();
    for (uint64_t i = 0; i < old.capacity; i++) {
        const struct ledger_fact *fact = &old.facts[i];
        if (fact->number != 0) *find(ledger, fact->group, fact->number) = *fact;
    }
    free(old.facts);
}

uint64_t ledger_note(struct ledger *ledger, uint64_t group, uint64_t number, uint64_t value)
{
    assert(number > 0);
    struct ledger_fact *fact = find(ledger, group, number);
    if (fact->number != 0) return fact->value;
    *fact = (struct ledger_fact){.group = group, .number = number, .value = value};
    if (++ledger->count > ledger->capacity / 2u) grow(ledger);
    return value;
}

bool ledger_get(const struct ledger *ledger, uint64_t group, uint64_t number, uint64_t *ret_value)
{
    const struct ledger_fact *fact = find(ledger, group, number);
    if (fact->number == 0) return false;
    *ret_value = fact->value;
    return true;
}
