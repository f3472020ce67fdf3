#include "sim_invariants.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define NODES_MAX  8u
#define GROUPS_MAX 64u
#define SLOTS      65536u /* of each table, a power of two; more entries than half of it end the run */

/* A fact that was seen once and may never be seen otherwise: (kind, group, number) -> value. */
struct fact {
    uint64_t group;
    uint64_t number; /* term, or commit index; 0: free */
    uint64_t value;  /* leader, or chain */
};

struct table {
    struct fact facts[SLOTS];
    uint32_t count;
};

struct seen {
    uint64_t group;
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t term;
};

struct cluster_invariants {
    uint64_t seed;
    const struct sim *sim;
    struct table leaders; /* of each group and term */
    struct table chains;  /* of each group and commit index */
    struct seen seen[NODES_MAX][GROUPS_MAX];
    uint32_t seen_count[NODES_MAX];
};

static void fail(const struct cluster_invariants *invariants, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));
static void fail(const struct cluster_invariants *invariants, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "FAILED seed=%" PRIu64 " time_us=%" PRIu64 ": ", invariants->seed,
            sim_now_us(invariants->sim));
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

struct cluster_invariants *invariants_create(uint64_t seed)
{
    struct cluster_invariants *invariants = calloc(1, sizeof(*invariants));
    if (!invariants) abort();
    invariants->seed = seed;
    return invariants;
}

void invariants_destroy(struct cluster_invariants *invariants)
{
    free(invariants);
}

void invariants_set_clock(struct cluster_invariants *invariants, const struct sim *sim)
{
    invariants->sim = sim;
}

void invariants_forget_process(struct cluster_invariants *invariants, uint32_t node)
{
    invariants->seen_count[node] = 0;
}

/* The value known for (group, number), after this one was noted if none was. */
static uint64_t note(const struct cluster_invariants *invariants, struct table *table,
                     uint64_t group, uint64_t number, uint64_t value)
{
    uint64_t at = (group * UINT64_C(0x9e3779b97f4a7c15) + number) * UINT64_C(0xbf58476d1ce4e5b9);
    for (at >>= 32;; at++) {
        struct fact *fact = &table->facts[at & (SLOTS - 1u)];
        if (fact->number == number && fact->group == group) return fact->value;
        if (fact->number != 0) continue;
        if (++table->count > SLOTS / 2u) fail(invariants, "the run is too long for its checker");
        *fact = (struct fact){.group = group, .number = number, .value = value};
        return value;
    }
}

static struct seen *seen_of(struct cluster_invariants *invariants, uint32_t node, uint64_t group)
{
    for (uint32_t i = 0; i < invariants->seen_count[node]; i++) {
        if (invariants->seen[node][i].group == group) return &invariants->seen[node][i];
    }
    if (invariants->seen_count[node] == GROUPS_MAX) fail(invariants, "too many groups");
    struct seen *seen = &invariants->seen[node][invariants->seen_count[node]++];
    *seen = (struct seen){.group = group};
    return seen;
}

static void check_group(struct cluster_invariants *invariants, uint32_t node,
                        const struct node_group_status *status)
{
    const uint64_t group = status->group;
    struct seen *seen = seen_of(invariants, node, group);
    if (status->commit_index < seen->commit_index || status->applied_index < seen->applied_index ||
        status->term < seen->term) {
        fail(invariants, "n%u group %" PRIu64 ": commit, applied or term went back", node + 1u,
             group);
    }
    if (status->applied_index > status->commit_index || status->commit_index > status->last_index ||
        status->durable_index > status->last_index) {
        fail(invariants,
             "n%u group %" PRIu64 ": applied %" PRIu64 " commit %" PRIu64 " durable %" PRIu64
             " last %" PRIu64,
             node + 1u, group, status->applied_index, status->commit_index, status->durable_index,
             status->last_index);
    }
    if (strcmp(status->role, "leader") == 0) {
        const uint64_t leader =
            note(invariants, &invariants->leaders, group, status->term, node + 1u);
        if (leader != node + 1u) {
            fail(invariants, "group %" PRIu64 " term %" PRIu64 ": n%" PRIu64 " and n%u lead", group,
                 status->term, leader, node + 1u);
        }
    }
    if (status->commit_index > seen->commit_index && status->chain_at_commit != 0) {
        const uint64_t chain = note(invariants, &invariants->chains, group, status->commit_index,
                                    status->chain_at_commit);
        if (chain != status->chain_at_commit) {
            fail(invariants,
                 "group %" PRIu64 " index %" PRIu64 ": n%u has another history than a node before",
                 group, status->commit_index, node + 1u);
        }
    }
    seen->commit_index = status->commit_index;
    seen->applied_index = status->applied_index;
    seen->term = status->term;
}

void invariants_check(struct cluster_invariants *invariants, uint32_t node,
                      const struct node_group_status *groups, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        check_group(invariants, node, &groups[i]);
    }
}
