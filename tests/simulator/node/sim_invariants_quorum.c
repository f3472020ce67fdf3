/* Invariants of majorities: by whose votes a leader came up, on whose disks a commit stands, whom a group consists of, and who
 * can do without a node. */
#include <assert.h>
#include <inttypes.h>

#include <segment_log/checksum.h>

#include "failure.h"
#include "sim_invariants_private.h"

static bool is_majority(const struct invariants_tally *tally)
{
    return tally->for_count * 2u > tally->voters_count;
}

bool invariants__has_quorum(const struct raft_configuration *configuration,
                            invariants_is_for_cb is_for, void *data,
                            struct invariants_tally *ret_tally)
{
    struct invariants_tally new_half = {0};
    struct invariants_tally old_half = {0};
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        const bool agrees = is_for(data, member);
        if (member->voter) {
            new_half.voters_count++;
            if (agrees) new_half.for_count++;
        }
        if (member->voter_old) {
            old_half.voters_count++;
            if (agrees) old_half.for_count++;
        }
    }
    const bool old_is_for = !configuration->joint || is_majority(&old_half);
    *ret_tally = old_is_for ? new_half : old_half;
    return old_is_for && is_majority(&new_half);
}

/* Who is judged for a leader: what was seen of the members of its group. */
struct jury {
    struct cluster_invariants *invariants;
    const struct peek_group *leader;
    uint32_t number; /* of the leader's node */
};

/* Also when its disk is gone since: what it told of before stays told, and its identity must never come back. */
static const struct seen *seen_member(const struct jury *jury, const struct raft_member *member)
{
    assert(member->id.node >= 1 && member->id.node <= INVARIANTS_NODES_MAX);
    return invariants__seen(jury->invariants, (uint32_t)member->id.node - 1u, jury->leader->group,
                            member->id.epoch);
}

static bool has_voted(void *data, const struct raft_member *member)
{
    const struct jury *jury = data;
    const struct raft_hard_state *durable = &seen_member(jury, member)->durable_state;
    if (durable->term > jury->leader->term) return true; /* it has gone on since */
    return durable->term == jury->leader->term && durable->voted_for.node == jury->number + 1u &&
           durable->voted_for.epoch == jury->leader->epoch;
}

/* PROTOCOL V: a vote is durable before it is told, so at the moment of an election a majority holds it durably, or has
 * gone on to a later term since. */
void invariants__check_votes(struct cluster_invariants *invariants, uint32_t number,
                             const struct peek_group *group)
{
    struct jury jury = {.invariants = invariants, .leader = group, .number = number};
    struct invariants_tally tally;
    if (invariants__has_quorum(peek_configuration(group), has_voted, &jury, &tally)) return;
    failure("votes-not-durable",
            "n%u leads group %" PRIu64 " in term %" PRIu64 " by votes of which only %u of %u are "
            "durable",
            number + 1u, group->group, group->term, tally.for_count, tally.voters_count);
}

static bool holds_commit(void *data, const struct raft_member *member)
{
    const struct jury *jury = data;
    return seen_member(jury, member)->durable_index >= jury->leader->commit_index;
}

/* PROTOCOL C3, and "match means durable": what a leader commits is of its own term and durable at a majority. */
void invariants__check_commit(struct cluster_invariants *invariants, uint32_t number,
                              const struct peek_group *group)
{
    uint64_t chain;
    uint64_t term;
    if (peek_entry(group, group->commit_index, &chain, &term) && term != group->term) {
        failure("commit-by-counting",
                "n%u, leader of group %" PRIu64 " in term %" PRIu64 ", commits %" PRIu64
                " of term %" PRIu64,
                number + 1u, group->group, group->term, group->commit_index, term);
    }
    struct jury jury = {.invariants = invariants, .leader = group, .number = number};
    struct invariants_tally tally;
    if (invariants__has_quorum(peek_configuration(group), holds_commit, &jury, &tally)) return;
    failure("commit-not-durable",
            "n%u commits %" PRIu64 " of group %" PRIu64 " in term %" PRIu64
            ", durable on %u of %u voters",
            number + 1u, group->commit_index, group->group, group->term, tally.for_count,
            tally.voters_count);
}

static uint64_t digest_of(const struct raft_configuration *configuration)
{
    uint64_t words[1u + 3u * RAFT_MEMBERS_MAX] = {configuration->joint};
    uint32_t count = 1;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        words[count++] = member->id.node;
        words[count++] = member->id.epoch;
        words[count++] = (uint64_t)member->voter | (uint64_t)member->voter_old << 1u |
                         (uint64_t)member->learner_after << 2u;
    }
    return checksum64(words, count * sizeof(words[0]));
}

/* Replicas that committed the same CONFIG entry must mean the same members by it: the core is told of the entry, and after
 * a restart of its bytes or of a snapshot, by different code. */
void invariants__check_configuration(struct cluster_invariants *invariants, uint32_t number,
                                     const struct peek_group *group, struct group_facts *facts)
{
    const struct raft_indexed_configuration *committed = peek_committed_configuration(group);
    if (!committed) return;
    const bool is_first = facts->committed.configuration.members_count == 0;
    if (is_first || committed->index > facts->committed.index) facts->committed = *committed;
    if (committed->index == 0) return;
    const uint64_t digest = digest_of(&committed->configuration);
    const uint64_t known =
        ledger_note(&invariants->configurations, group->group, committed->index, digest);
    if (digest == known) return;
    failure("configurations-differ",
            "n%u group %" PRIu64 " takes CONFIG %" PRIu64 " for another one than others do",
            number + 1u, group->group, committed->index);
}

void invariants__note_configuration(const struct peek_group *group, struct group_facts *facts)
{
    const struct raft_indexed_configuration *newest = peek_newest_configuration(group);
    if (!newest || newest->index < facts->newest.index) return;
    const bool is_first = facts->committed.configuration.members_count == 0;
    if (newest->index == 0 && is_first) facts->committed = *newest; /* what a group is born with */
    const bool is_settled = newest->index <= facts->committed.index;
    if (newest->index == facts->newest.index && is_settled) return;
    facts->newest = *newest;
}

/* ---- what clients are told ------------------------------------------------------------------------------------------- */

struct shown {
    struct cluster_invariants *invariants;
    const struct node *const *nodes;
    uint32_t nodes_count;
    uint64_t group, index;
};

/* In the midst of an event the node that runs may have more than was seen of it last. */
static bool holds_shown(void *data, const struct raft_member *member)
{
    const struct shown *shown = data;
    const uint32_t at = (uint32_t)member->id.node - 1u;
    struct peek_group peek;
    if (at < shown->nodes_count && shown->nodes[at] &&
        peek_group(shown->nodes[at], shown->group, &peek) && peek.epoch == member->id.epoch &&
        peek.durable_index >= shown->index) {
        return true;
    }
    return invariants__seen(shown->invariants, at, shown->group, member->id.epoch)->durable_index >=
           shown->index;
}

static bool is_held(struct shown *shown, const struct peek_group *by)
{
    struct raft_indexed_configuration committed;
    struct raft_indexed_configuration newest;
    struct invariants_tally tally;
    if (invariants__has_quorum(peek_configuration(by), holds_shown, shown, &tally)) return true;
    return invariants_configurations(shown->invariants, shown->group, &committed, &newest) &&
           (invariants__has_quorum(&committed.configuration, holds_shown, shown, &tally) ||
            invariants__has_quorum(&newest.configuration, holds_shown, shown, &tally));
}

static const struct group_facts *find_facts(const struct cluster_invariants *invariants,
                                            uint64_t group)
{
    for (uint32_t i = 0; i < invariants->groups.count; i++) {
        if (invariants->groups.items[i].group == group) return &invariants->groups.items[i];
    }
    return NULL;
}

/* Nearly always it was committed, and looked at, in an earlier event. */
bool invariants_durable_end(struct cluster_invariants *invariants, const struct node *const *nodes,
                            uint32_t nodes_count, uint64_t group, uint64_t told, uint64_t *ret_end)
{
    const struct group_facts *facts = find_facts(invariants, group);
    if (!facts) return false;
    *ret_end = facts->verified_end;
    if (told <= facts->verified_end) return true;
    struct shown shown = {
        .invariants = invariants, .nodes = nodes, .nodes_count = nodes_count, .group = group};
    bool is_known = false;
    for (uint32_t i = 0; i < nodes_count; i++) {
        struct peek_group peek;
        if (!nodes[i] || !peek_group(nodes[i], group, &peek)) continue;
        if (peek.applied_next_offset < told) continue;
        is_known = true;
        shown.index = peek.applied_index;
        if (!is_held(&shown, &peek)) continue;
        *ret_end = peek.applied_next_offset;
        return true;
    }
    return is_known;
}

/* ---- who may have lost what it said to have ------------------------------------------------------------------------ */

struct return_check {
    struct cluster_invariants *invariants;
    const struct node *const *nodes;
    uint32_t nodes_count;
    uint32_t number; /* of the node that is to come back */
    const struct group_facts *facts;
    const struct seen *seen; /* its replica */
};

static bool is_past_its_votes(const struct return_check *check, const struct raft_member *member)
{
    const struct seen *seen = invariants__seen(check->invariants, (uint32_t)member->id.node - 1u,
                                               check->facts->group, member->id.epoch);
    const struct raft_hard_state *durable = &seen->durable_state;
    const uint64_t term = check->seen->durable_state.term;
    uint64_t leader = 0;
    if (durable->term > term) return true;
    if (durable->term < term) return false;
    if (!ledger_get(&check->invariants->leaders, check->facts->group, term, &leader)) return false;
    leader %= INVARIANTS_NODES_MAX + 1u;
    return leader != check->number + 1u && durable->voted_for.node == leader;
}

static bool does_without_it(void *data, const struct raft_member *member)
{
    const struct return_check *check = data;
    const uint32_t at = (uint32_t)member->id.node - 1u;
    struct peek_group peek;
    if (at == check->number || at >= check->nodes_count || !check->nodes[at]) return false;
    if (!peek_group(check->nodes[at], check->facts->group, &peek)) return false;
    return peek.epoch == member->id.epoch && peek.commit_index >= check->facts->commit_index &&
           peek.durable_index >= check->facts->commit_index && is_past_its_votes(check, member);
}

static bool has_member(const struct raft_configuration *configuration, uint64_t node_id,
                       uint64_t epoch)
{
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_replica_id *id = &configuration->members[i].id;
        if (id->node == node_id && id->epoch == epoch) return true;
    }
    return false;
}

static bool may_return_to(struct return_check *check)
{
    const struct group_facts *facts = check->facts;
    const bool is_open = facts->newest.index > facts->commit_index;
    const struct raft_configuration *committed = &facts->committed.configuration;
    const struct raft_configuration *newest = is_open ? &facts->newest.configuration : committed;
    const uint64_t node_id = check->number + 1u;
    struct invariants_tally tally;
    if (!has_member(committed, node_id, check->seen->epoch) &&
        !has_member(newest, node_id, check->seen->epoch)) {
        return true;
    }
    return check->seen->durable_index <= facts->commit_index &&
           invariants__has_quorum(committed, does_without_it, check, &tally) &&
           invariants__has_quorum(newest, does_without_it, check, &tally);
}

bool invariants_may_return(struct cluster_invariants *invariants, const struct node *const *nodes,
                           uint32_t nodes_count, uint32_t number)
{
    struct return_check check = {
        .invariants = invariants, .nodes = nodes, .nodes_count = nodes_count, .number = number};
    for (uint32_t i = 0; i < invariants->groups.count; i++) {
        check.facts = &invariants->groups.items[i];
        for (uint32_t k = 0; k < invariants->seen[number].count; k++) {
            check.seen = &invariants->seen[number].items[k];
            if (check.seen->group == check.facts->group && !may_return_to(&check)) return false;
        }
    }
    return true;
}
