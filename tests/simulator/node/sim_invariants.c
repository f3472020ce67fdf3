#include "sim_invariants.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "ledger.h"
#include "peek.h"
#include "sim.h"
#include "sim_invariants_private.h"

#define CHAINS_PER_CHECK 256u /* newest committed indexes that one look notes the chains of */
#define DIGEST_EVERY     8u   /* applied indexes; the same ones on all nodes */

struct cluster_invariants *invariants_create(void)
{
    struct cluster_invariants *invariants = calloc(1, sizeof(*invariants));
    if (!invariants) abort();
    ledger_init(&invariants->leaders);
    ledger_init(&invariants->chains);
    ledger_init(&invariants->digests);
    ledger_init(&invariants->starts);
    ledger_init(&invariants->configurations);
    return invariants;
}

void invariants_destroy(struct cluster_invariants *invariants)
{
    if (!invariants) return;
    ledger_close(&invariants->leaders);
    ledger_close(&invariants->chains);
    ledger_close(&invariants->digests);
    ledger_close(&invariants->starts);
    ledger_close(&invariants->configurations);
    for (uint32_t i = 0; i < INVARIANTS_NODES_MAX; i++) {
        free(invariants->seen[i].items);
    }
    free(invariants->groups.items);
    free(invariants);
}

/* ---- what was seen ------------------------------------------------------------------------------------------- */

struct seen *invariants__seen(struct cluster_invariants *invariants, uint32_t number,
                              uint64_t group, uint64_t epoch)
{
    struct seen_list *list = &invariants->seen[number];
    for (uint32_t i = 0; i < list->count; i++) {
        const uint32_t at =
            list->next + i < list->count ? list->next + i : list->next + i - list->count;
        struct seen *seen = &list->items[at];
        if (seen->group != group || seen->epoch != epoch) continue;
        list->next = at + 1u < list->count ? at + 1u : 0;
        return seen;
    }
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2u * list->capacity : 16u;
        list->items = realloc(list->items, list->capacity * sizeof(*list->items));
        if (!list->items) abort();
    }
    struct seen *seen = &list->items[list->count++];
    *seen = (struct seen){.group = group, .epoch = epoch, .is_new = true};
    return seen;
}

static struct group_facts *facts_of(struct cluster_invariants *invariants, uint64_t group)
{
    struct group_facts_list *list = &invariants->groups;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i].group == group) return &list->items[i];
    }
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2u * list->capacity : 16u;
        list->items = realloc(list->items, list->capacity * sizeof(*list->items));
        if (!list->items) abort();
    }
    struct group_facts *facts = &list->items[list->count++];
    *facts = (struct group_facts){.group = group};
    return facts;
}

void invariants_forget_process(struct cluster_invariants *invariants, uint32_t number)
{
    struct seen_list *list = &invariants->seen[number];
    invariants->marks_count[number] = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        list->items[i].is_fresh = true;
    }
}

void invariants_excuse(struct cluster_invariants *invariants, uint32_t number)
{
    struct seen_list *list = &invariants->seen[number];
    invariants->is_damaged[number] = true;
    for (uint32_t i = 0; i < list->count; i++) {
        list->items[i].is_excused = true;
    }
}

void invariants_note_damage(struct cluster_invariants *invariants, uint32_t number)
{
    invariants->is_damaged[number] = true;
}

bool invariants_has_run(const struct cluster_invariants *invariants, uint32_t number,
                        uint64_t group, uint64_t epoch)
{
    const struct seen_list *list = &invariants->seen[number];
    for (uint32_t i = 0; i < list->count; i++) {
        const struct seen *seen = &list->items[i];
        if (seen->group == group && seen->epoch == epoch) return !seen->is_new;
    }
    return false;
}

uint64_t invariants_leaders_count(const struct cluster_invariants *invariants)
{
    return invariants->leaders.count;
}

bool invariants_has_led(const struct cluster_invariants *invariants, uint64_t group,
                        uint64_t node_id)
{
    const struct ledger *leaders = &invariants->leaders;
    for (uint64_t i = 0; i < leaders->capacity; i++) {
        const struct ledger_fact *fact = &leaders->facts[i];
        if (fact->number == 0 || fact->group != group) continue;
        if (fact->value % (INVARIANTS_NODES_MAX + 1u) == node_id) return true;
    }
    return false;
}

uint64_t invariants_bases_installed(const struct cluster_invariants *invariants)
{
    return invariants->bases_installed;
}

uint64_t invariants_configurations_count(const struct cluster_invariants *invariants)
{
    return invariants->configurations.count;
}

bool invariants_configurations(const struct cluster_invariants *invariants, uint64_t group,
                               struct raft_indexed_configuration *ret_committed,
                               struct raft_indexed_configuration *ret_newest)
{
    for (uint32_t i = 0; i < invariants->groups.count; i++) {
        const struct group_facts *facts = &invariants->groups.items[i];
        if (facts->group != group) continue;
        /* What stands below the commit index and was not committed was cut. */
        const bool is_open = facts->newest.index > facts->commit_index;
        *ret_committed = facts->committed;
        *ret_newest = is_open ? facts->newest : facts->committed;
        return facts->committed.configuration.members_count > 0;
    }
    return false;
}

/* ---- one replica --------------------------------------------------------------------------------------------------- */

/* The first look at a replica since its process started. Damaged entries that were never committed are cut (D4). */
static void check_restart(const struct cluster_invariants *invariants, uint32_t number,
                          const struct peek_group *group, const struct seen *seen,
                          const struct group_facts *facts)
{
    if (seen->is_excused) return;
    uint64_t durable_index = seen->durable_index;
    if (invariants->is_damaged[number] && durable_index > facts->commit_index) {
        durable_index = facts->commit_index;
    }
    /* A base that was being installed replaces a tail that was never committed. */
    const bool is_replaced = group->base_index > seen->commit_index;
    if (group->last_index < durable_index && !is_replaced) {
        failure("lost-durable",
                "n%u group %" PRIu64 ": the log ends at %" PRIu64 ", %" PRIu64
                " was durable before the restart",
                number + 1u, group->group, group->last_index, durable_index);
    }
    const struct raft_hard_state *now = &group->hard_state;
    const struct raft_hard_state *before = &seen->durable_state;
    if (now->term < before->term || (now->term == before->term && before->voted_for.node != 0 &&
                                     now->voted_for.node != before->voted_for.node)) {
        failure("lost-vote",
                "n%u group %" PRIu64 ": term %" PRIu64 " and vote for n%" PRIu64
                " were durable, after the restart they are %" PRIu64 " and n%" PRIu64,
                number + 1u, group->group, before->term, before->voted_for.node, now->term,
                now->voted_for.node);
    }
}

static void check_process(uint32_t number, const struct peek_group *group, const struct seen *seen)
{
    if (group->commit_index < seen->commit_index || group->applied_index < seen->applied_index ||
        group->term < seen->term) {
        failure("went-back",
                "n%u group %" PRIu64 ": commit %" PRIu64 " -> %" PRIu64 ", applied %" PRIu64
                " -> %" PRIu64 ", term %" PRIu64 " -> %" PRIu64,
                number + 1u, group->group, seen->commit_index, group->commit_index,
                seen->applied_index, group->applied_index, seen->term, group->term);
    }
    const struct raft_hard_state *now = &group->hard_state;
    const struct raft_hard_state *before = &seen->hard_state;
    if (now->term == before->term && before->voted_for.node != 0 &&
        now->voted_for.node != before->voted_for.node) {
        failure("voted-twice",
                "n%u group %" PRIu64 " term %" PRIu64 ": for n%" PRIu64 ", then for n%" PRIu64,
                number + 1u, group->group, now->term, before->voted_for.node, now->voted_for.node);
    }
}

static void check_positions(uint32_t number, const struct peek_group *group)
{
    if (group->applied_index <= group->commit_index && group->commit_index <= group->last_index &&
        group->durable_index <= group->last_index && group->base_index <= group->applied_index) {
        return;
    }
    failure("positions",
            "n%u group %" PRIu64 ": base %" PRIu64 " applied %" PRIu64 " commit %" PRIu64
            " durable %" PRIu64 " last %" PRIu64,
            number + 1u, group->group, group->base_index, group->applied_index, group->commit_index,
            group->durable_index, group->last_index);
}

void invariants_expect_forged(struct cluster_invariants *invariants, uint32_t number)
{
    invariants->forged |= 1u << number;
}

/* Leader Completeness: what a leader of an older term has committed is in the log of the next one. */
static void check_new_leader(struct cluster_invariants *invariants, uint32_t number,
                             const struct peek_group *group, struct group_facts *facts)
{
    /* Two replicas on one node, one after the other, are two. */
    const uint64_t own = group->epoch * (INVARIANTS_NODES_MAX + 1u) + number + 1u;
    const uint64_t leader = ledger_note(&invariants->leaders, group->group, group->term, own);
    if (leader != own) {
        failure("two-leaders",
                "group %" PRIu64 " term %" PRIu64 ": n%" PRIu64 " (epoch %" PRIu64
                ") and n%u (epoch %" PRIu64 ") lead",
                group->group, group->term, leader % (INVARIANTS_NODES_MAX + 1u),
                leader / (INVARIANTS_NODES_MAX + 1u), number + 1u, group->epoch);
    }
    if (group->term <= facts->leader_term) return; /* elected late: newer leaders have come since */
    facts->leader_term = group->term;
    invariants__check_votes(invariants, number, group);
    if (group->last_index < facts->commit_index) {
        failure("leader-incomplete",
                "n%u leads group %" PRIu64 " in term %" PRIu64 ", its log ends at %" PRIu64
                ", %" PRIu64 " was committed",
                number + 1u, group->group, group->term, group->last_index, facts->commit_index);
    }
    uint64_t chain;
    uint64_t term;
    uint64_t known;
    if (invariants->forged & 1u << number) return;
    if (facts->commit_index > 0 && peek_entry(group, facts->commit_index, &chain, &term) &&
        ledger_get(&invariants->chains, group->group, facts->commit_index, &known) &&
        chain != known) {
        failure("leader-incomplete",
                "n%u leads group %" PRIu64 " in term %" PRIu64 " with another entry at %" PRIu64
                " than was committed",
                number + 1u, group->group, group->term, facts->commit_index);
    }
}

static void check_chains(struct cluster_invariants *invariants, uint32_t number,
                         const struct peek_group *group, uint64_t from_index)
{
    uint64_t index = from_index + 1u;
    if (group->commit_index - from_index > CHAINS_PER_CHECK) {
        index = group->commit_index - CHAINS_PER_CHECK + 1u;
    }
    for (; index <= group->commit_index; index++) {
        uint64_t chain;
        uint64_t term;
        if (!peek_entry(group, index, &chain, &term)) continue;
        const uint64_t known = ledger_note(&invariants->chains, group->group, index, chain);
        if (chain != known) {
            failure("committed-differ",
                    "n%u group %" PRIu64 " entry %" PRIu64
                    ": another one was committed elsewhere or before",
                    number + 1u, group->group, index);
        }
    }
}

static void check_state(struct cluster_invariants *invariants, uint32_t number,
                        const struct peek_group *group)
{
    if (group->applied_index % DIGEST_EVERY != 0 || group->applied_index == 0) return;
    const uint64_t digest = peek_state_digest(group);
    const uint64_t known =
        ledger_note(&invariants->digests, group->group, group->applied_index, digest);
    if (digest != known) {
        failure("states-differ",
                "n%u group %" PRIu64 ": another state than a replica had at %" PRIu64, number + 1u,
                group->group, group->applied_index);
    }
}

/* S4, S5: where the log starts is a matter of what is applied, and the files hold it all. A replica whose log was replaced
 * by a base knows it when it has applied what was committed then; one that was started since, or found its newest
 * checkpoint damaged, may not know yet. */
static void check_start(struct cluster_invariants *invariants, uint32_t number,
                        const struct peek_group *group)
{
    if (group->is_meta || group->applied_index == 0) return;
    const uint64_t known = ledger_note(&invariants->starts, group->group, group->applied_index,
                                       group->log_start_offset + 1u);
    if (known != group->log_start_offset + 1u) {
        failure("starts-differ",
                "n%u group %" PRIu64 " at %" PRIu64 ": the log starts at offset %" PRIu64
                ", elsewhere at %" PRIu64,
                number + 1u, group->group, group->applied_index, group->log_start_offset,
                known - 1u);
    }
    if (group->base_is_installed || group->applied_index < group->reads_from_index) return;
    if (group->skipped_checkpoint || invariants->is_damaged[number]) return;
    if (group->base_next_offset > group->log_start_offset ||
        group->base_index > group->trimmed_index) {
        failure("files-lead",
                "n%u group %" PRIu64 ": the files start behind entry %" PRIu64 " at offset %" PRIu64
                ", what is applied was trimmed through %" PRIu64 " and offset %" PRIu64,
                number + 1u, group->group, group->base_index, group->base_next_offset,
                group->trimmed_index, group->log_start_offset);
    }
}

static void check_group(struct cluster_invariants *invariants, uint32_t number,
                        const struct peek_group *group)
{
    struct seen *seen = invariants__seen(invariants, number, group->group, group->epoch);
    struct group_facts *facts = facts_of(invariants, group->group);
    const bool core_is_unchanged = !seen->is_fresh && !seen->is_new &&
                                   seen->inside == group->inside &&
                                   seen->raft_steps == group->raft_steps;
    if (seen->is_fresh) {
        check_restart(invariants, number, group, seen, facts);
        *seen = (struct seen){.group = group->group, .epoch = group->epoch};
    } else if (seen->is_new) {
        seen->is_new = false;
    } else {
        check_process(number, group, seen);
        if (group->base_index > seen->commit_index) invariants->bases_installed++;
    }
    check_positions(number, group);
    if (!core_is_unchanged) peek_check_core(group);
    seen->inside = group->inside;
    seen->raft_steps = group->raft_steps;
    const uint64_t old_commit_index = seen->commit_index;
    const uint64_t old_applied_index = seen->applied_index;
    seen->commit_index = group->commit_index;
    seen->applied_index = group->applied_index;
    seen->durable_index = group->durable_index;
    seen->term = group->term;
    seen->hard_state = group->hard_state;
    if (group->hard_state_is_durable) seen->durable_state = group->hard_state;

    invariants__note_configuration(group, facts);
    if (group->role == RAFT_LEADER) check_new_leader(invariants, number, group, facts);
    if (group->commit_index > old_commit_index) {
        if (group->role == RAFT_LEADER) {
            invariants__check_commit(invariants, number, group);
            if (group->commit_index > facts->verified_index)
                facts->verified_index = group->commit_index;
        }
        invariants__check_configuration(invariants, number, group, facts);
        check_chains(invariants, number, group, old_commit_index);
        if (group->commit_index > facts->commit_index) facts->commit_index = group->commit_index;
    }
    if (group->applied_index > old_applied_index) check_state(invariants, number, group);
    if (group->applied_index <= facts->verified_index &&
        group->applied_next_offset > facts->verified_end) {
        facts->verified_end = group->applied_next_offset;
    }
    check_start(invariants, number, group);
}

void invariants_check(struct cluster_invariants *invariants, uint32_t number,
                      const struct node *node)
{
    assert(number < INVARIANTS_NODES_MAX);
    /* In the others nothing has changed, and all would be found as it was the last time. */
    const uint32_t count = peek_changed_groups(
        node, invariants->marks[number], &invariants->marks_count[number], invariants->scratch);
    for (uint32_t i = 0; i < count; i++) {
        check_group(invariants, number, &invariants->scratch[i]);
    }
}

/* ---- at rest --------------------------------------------------------------------------------------------------------- */

static bool are_equal(const struct peek_group *a, const struct peek_group *b, char *why,
                      size_t why_bytes)
{
    if (a->last_index != b->last_index || a->commit_index != b->commit_index ||
        a->applied_index != b->applied_index || a->commit_index != a->last_index) {
        snprintf(why, why_bytes,
                 "group %" PRIu64 ": last %" PRIu64 "/%" PRIu64 " commit %" PRIu64 "/%" PRIu64
                 " applied %" PRIu64 "/%" PRIu64,
                 a->group, a->last_index, b->last_index, a->commit_index, b->commit_index,
                 a->applied_index, b->applied_index);
        return false;
    }
    if (peek_state_digest(a) != peek_state_digest(b)) {
        failure("states-differ", "group %" PRIu64 ": two replicas differ at rest, at %" PRIu64,
                a->group, a->applied_index);
    }
    return true;
}

bool invariants_is_settled(struct cluster_invariants *invariants, const struct node *const *nodes,
                           uint32_t nodes_count, char *why, size_t why_bytes)
{
    for (uint32_t i = 0; i < nodes_count; i++) {
        if (!nodes[i]) continue;
        const uint32_t count = peek_groups(nodes[i], invariants->scratch, PEEK_GROUPS_MAX);
        for (uint32_t g = 0; g < count; g++) {
            const struct peek_group *group = &invariants->scratch[g];
            if (group->leader == 0) {
                snprintf(why, why_bytes, "n%u knows no leader of group %" PRIu64, i + 1u,
                         group->group);
                return false;
            }
            for (uint32_t j = i + 1u; j < nodes_count; j++) {
                struct peek_group other;
                if (!nodes[j] || !peek_group(nodes[j], group->group, &other)) continue;
                if (!are_equal(group, &other, why, why_bytes)) return false;
            }
        }
    }
    return true;
}
