#include "world.h"

#include <assert.h>
#include <string.h>

void world_first(struct replica *replica, const struct explore_plan *plan, struct world *world)
{
    memset(world, 0, sizeof *world);
    for (uint32_t i = 0; i < plan->nodes; i++) {
        world->locals[i] = replica_first(replica, (uint8_t)(i + 1));
    }
}

/* ---- what may happen ------------------------------------------------------------------------------ */

struct action_list {
    uint32_t *actions;
    uint32_t count;
    uint32_t node;
};

static void list(struct action_list *list, enum action_kind kind, uint32_t argument)
{
    assert(list->count < WORLD_ACTIONS_MAX);
    list->actions[list->count++] = world_action(list->node, action_make(kind, argument));
}

/* Every prefix of each queue may have reached the disk. All of both: the process died, the machine did not. */
static void list_crashes(struct action_list *out, const struct facts *facts)
{
    for (uint32_t jobs = 0; jobs <= facts->jobs_count; jobs++) {
        for (uint32_t hards = 0; hards <= facts->hard_count; hards++) {
            list(out, ACTION_CRASH, jobs | hards << 4);
            if (facts->commit > 0) list(out, ACTION_CRASH, jobs | hards << 4 | 1u << 8);
        }
    }
}

static void list_leader(struct action_list *out, const struct explore_plan *plan,
                        const struct facts *facts, const struct world_past *past)
{
    if (facts->log_count < plan->entries) list(out, ACTION_PROPOSE, 0);
    if (plan->asks) list(out, ACTION_HEARTBEAT, 0);
    if (plan->silence) list(out, ACTION_SILENCE, 0);
    if (past->time_gaps < plan->time_gaps) list(out, ACTION_TIME_GAP, 0);
    if (past->changes < plan->changes) list(out, ACTION_CONFIGURE, 0);
    for (uint32_t to = 1; past->transfers < plan->transfers && to <= plan->nodes; to++) {
        if (to != out->node + 1) list(out, ACTION_TRANSFER, to);
    }
}

static void list_node(struct action_list *out, const struct explore_plan *plan,
                      const struct facts *facts, const struct world_past *past)
{
    if (facts->jobs_count > 0) list(out, ACTION_SYNC_LOG, 0);
    if (facts->hard_count > 0) list(out, ACTION_SYNC_VOTE, 0);
    if (past->crashes < plan->crashes) list_crashes(out, facts);
    if (facts->full) return;
    if (facts->untold) list(out, ACTION_TICK, 0);
    if (facts->role == RAFT_LEADER) {
        list_leader(out, plan, facts, past);
    } else {
        if (facts->term < plan->terms) list(out, ACTION_TIMEOUT, 0);
        if (plan->leader_lost && facts->leader != 0) list(out, ACTION_LEADER_LOST, 0);
    }
    if (past->reads_begun < plan->reads && facts->leader != 0) {
        list(out, ACTION_READ, past->reads_begun + 1u);
    }
}

uint32_t world_actions(const struct universe *universe, const struct world *world,
                       uint32_t actions[WORLD_ACTIONS_MAX])
{
    const struct explore_plan *plan = &universe->plan;
    struct action_list out = {.actions = actions};
    for (out.node = 0; out.node < plan->nodes; out.node++) {
        list_node(&out, plan, &universe->facts[world->locals[out.node]], &world->past);
    }
    for (uint32_t i = 0; i < world->letters_count; i++) {
        const struct letter *letter = &universe->letters[world->letters[i]];
        out.node = letter->to - 1u;
        const struct facts *facts = &universe->facts[world->locals[out.node]];
        if (facts->full) continue;
        list(&out, ACTION_DELIVER, (uint32_t)world->letters[i] << 1);
        if (replica_letter_asks_time(facts, letter)) {
            list(&out, ACTION_DELIVER, (uint32_t)world->letters[i] << 1 | 1);
        }
    }
    return out.count;
}

/* ---- promises ------------------------------------------------------------------------------------- */

static uint64_t first_bytes(uint64_t word, uint32_t count)
{
    return count == 0 ? 0 : word << (64 - 8 * count) >> (64 - 8 * count);
}

static local_entry entry_of(uint64_t word, uint32_t i)
{
    return (local_entry)(word >> (8 * i));
}

static bool prefixes_agree(uint64_t a, uint64_t b, uint32_t count)
{
    return first_bytes(a ^ b, count) == 0;
}

/* Raft figure 3: equal index and term mean equal logs up to there. */
static bool logs_match(uint64_t a, uint32_t a_count, uint64_t b, uint32_t b_count)
{
    uint32_t count = a_count < b_count ? a_count : b_count;
    uint64_t differ = first_bytes(a ^ b, count);
    if (differ == 0) return true;
    for (uint32_t i = (uint32_t)__builtin_ctzll(differ) / 8; i < count; i++) {
        if (local_entry_term(entry_of(a, i)) == local_entry_term(entry_of(b, i))) return false;
    }
    return true;
}

static const struct facts *facts_at(const struct universe *universe, const struct world *world,
                                    uint32_t node)
{
    return &universe->facts[world->locals[node]];
}

static bool matches_all(const struct universe *universe, const struct world *world, uint32_t node,
                        const struct facts *now)
{
    if (!logs_match(now->log, now->log_count, now->disk, now->disk_count)) return false;
    for (uint32_t i = 0; i < universe->plan.nodes; i++) {
        if (i == node) continue;
        const struct facts *other = facts_at(universe, world, i);
        if (!logs_match(now->log, now->log_count, other->log, other->log_count)) return false;
        if (!logs_match(now->log, now->log_count, other->disk, other->disk_count)) return false;
    }
    return true;
}

static uint8_t committed_in(const struct world_past *past, uint32_t i)
{
    return (uint8_t)(past->committed_in >> (4 * i) & 0xf);
}

/* A slow winner of an old term may know less than a newer one has committed since: what counts is the term in which an
 * entry was committed. */
static const char *judge_leader(const struct facts *now, uint32_t node, struct world_past *past)
{
    uint32_t shift = 4u * (now->term - 1u);
    if ((past->leaders >> shift & 0xf) != 0) return "election safety: a term has one leader, once";
    past->leaders = (uint16_t)(past->leaders | (node + 1) << shift);
    for (uint32_t i = 0; i < past->committed_count; i++) {
        if (committed_in(past, i) >= now->term) continue;
        bool has = i < now->log_count && prefixes_agree(now->log, past->committed, i + 1);
        if (!has) return "leader completeness: a new leader has what was committed before";
    }
    return NULL;
}

static bool half_holds(const struct universe *universe, const struct world *world, uint32_t node,
                       const struct facts *now, const struct raft_configuration *configuration,
                       bool old_half, uint64_t log, uint32_t count)
{
    uint32_t voters = 0;
    uint32_t holders = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (!(old_half ? member->voter_old : member->voter)) continue;
        voters++;
        uint32_t position = (uint32_t)member->id.node - 1;
        const struct facts *disk = position == node ? now : facts_at(universe, world, position);
        if (disk->disk_count >= count && prefixes_agree(disk->disk, log, count)) holders++;
    }
    return holders > voters / 2;
}

static bool is_held(const struct universe *universe, const struct world *world, uint32_t node,
                    const struct facts *now, const struct raft_configuration *configuration,
                    const struct world_past *past)
{
    uint32_t count = past->committed_count;
    if (!half_holds(universe, world, node, now, configuration, false, past->committed, count)) {
        return false;
    }
    return !configuration->joint ||
           half_holds(universe, world, node, now, configuration, true, past->committed, count);
}

static const struct raft_configuration *newest_configuration(const struct universe *universe,
                                                             const struct facts *now)
{
    for (uint32_t i = now->log_count; i > 0; i--) {
        uint8_t number = local_entry_configuration(entry_of(now->log, i - 1));
        if (number != 0) return &universe->configurations.items[number - 1];
    }
    return &universe->configurations.items[0];
}

/* A leader of a higher term that leads still must have it too: it was elected before this was committed. */
static bool higher_leaders_have(const struct universe *universe, const struct world *world,
                                uint32_t node, const struct facts *now)
{
    for (uint32_t i = 0; i < universe->plan.nodes; i++) {
        const struct facts *other = facts_at(universe, world, i);
        if (i == node || other->role != RAFT_LEADER || other->term <= now->term) continue;
        if (other->log_count < now->commit) return false;
        if (!prefixes_agree(other->log, now->log, now->commit)) return false;
    }
    return true;
}

static const char *judge_commit(const struct universe *universe, const struct world *world,
                                uint32_t node, const struct facts *now, struct world_past *past)
{
    uint32_t known = now->commit < past->committed_count ? now->commit : past->committed_count;
    if (!prefixes_agree(now->log, past->committed, known)) {
        return "state machine safety: one entry per committed index";
    }
    if (now->commit <= past->committed_count) return NULL;
    if (now->role != RAFT_LEADER) return "a leader commits first";
    if (local_entry_term(entry_of(now->log, now->commit - 1u)) != now->term) {
        return "a leader counts only entries of its own term (Raft figure 8)";
    }
    for (uint32_t i = past->committed_count; i < now->commit; i++) {
        past->committed_in |= (uint32_t)now->term << (4 * i);
    }
    past->committed = first_bytes(now->log, now->commit);
    past->committed_count = now->commit;
    if (!is_held(universe, world, node, now, newest_configuration(universe, now), past)) {
        return "committed is durable on a majority";
    }
    if (!higher_leaders_have(universe, world, node, now)) {
        return "leader completeness: nothing is committed behind the back of a later leader";
    }
    return NULL;
}

static const char *judge_reads(const struct outcome *outcome, struct world_past *past)
{
    for (uint32_t i = 0; i < outcome->reads_count; i++) {
        const struct ended_read *read = &outcome->reads[i];
        uint8_t *begun = &past->reads[read->id - 1];
        if (*begun == 0) return "a read ends once";
        uint8_t at_least = (uint8_t)(*begun - 1);
        *begun = 0;
        if (!read->answered) continue;
        if (read->index < at_least) {
            return "linearizable: a read sees what was committed before it began";
        }
        if (read->index > past->committed_count) return "a read sees only what is committed";
    }
    return NULL;
}

static void count_action(uint32_t action, struct world_past *past)
{
    switch (action_kind(action)) {
    case ACTION_CRASH:
        past->crashes++;
        break;
    case ACTION_READ:
        past->reads[past->reads_begun++] = (uint8_t)(1 + past->committed_count);
        break;
    case ACTION_TIME_GAP:
        past->time_gaps++;
        break;
    case ACTION_TRANSFER:
        past->transfers++;
        break;
    case ACTION_CONFIGURE:
        past->changes++;
        break;
    case ACTION_DELIVER:
    case ACTION_TIMEOUT:
    case ACTION_TICK:
    case ACTION_HEARTBEAT:
    case ACTION_SILENCE:
    case ACTION_LEADER_LOST:
    case ACTION_PROPOSE:
    case ACTION_SYNC_LOG:
    case ACTION_SYNC_VOTE:
        break;
    }
}

const char *world_judge(const struct universe *universe, const struct world *world, uint32_t action,
                        const struct outcome *outcome, struct world_past *past)
{
    uint32_t node = world_action_node(action);
    const struct facts *before = facts_at(universe, world, node);
    const struct facts *now = &universe->facts[outcome->local];
    *past = world->past;
    count_action(world_action_own(action), past);
    if (now->log != before->log || now->log_count != before->log_count) {
        if (!matches_all(universe, world, node, now)) return "log matching";
    }
    const char *broken = NULL;
    if (now->role == RAFT_LEADER && (before->role != RAFT_LEADER || before->term != now->term)) {
        broken = judge_leader(now, node, past);
    }
    if (broken == NULL && now->commit != before->commit) {
        broken = judge_commit(universe, world, node, now, past);
    }
    bool disk_changed = now->disk != before->disk || now->disk_count != before->disk_count;
    if (broken == NULL && disk_changed && universe->plan.changes == 0 &&
        !is_held(universe, world, node, now, &universe->configurations.items[0], past)) {
        broken = "committed stays durable on a majority";
    }
    return broken != NULL ? broken : judge_reads(outcome, past);
}

bool world_letter_is_dead(const struct universe *universe, const struct world *world,
                          uint16_t letter, uint32_t node, uint32_t local)
{
    if (universe->keeps_dead) return false;
    const struct letter *l = &universe->letters[letter];
    uint32_t to = l->to - 1u == node ? local : world->locals[l->to - 1];
    uint32_t from = l->from - 1u == node ? local : world->locals[l->from - 1];
    return letter_is_dead(l, universe->facts[to].disk_term, universe->facts[from].disk_term,
                          (uint8_t)universe->plan.terms);
}

/* ---- fingerprints --------------------------------------------------------------------------------- */

void world_past_sums(const struct universe *universe, const struct world_past *past, uint64_t *sums)
{
    struct world_past plain = *past;
    plain.leaders = 0;
    uint64_t words[sizeof plain / 8];
    _Static_assert(sizeof words == sizeof plain, "hashed by words");
    memcpy(words, &plain, sizeof words);
    uint64_t hash = 5;
    for (uint32_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        hash = universe_mix(hash ^ words[i]);
    }
    for (uint32_t p = 0; p < universe->permutations_count; p++) {
        uint64_t leaders = 0;
        for (uint32_t i = 0; i < EXPLORE_TERMS_MAX; i++) {
            uint32_t leader = past->leaders >> (4 * i) & 0xf;
            leaders |= (uint64_t)universe->permutations[p][leader] << (4 * i);
        }
        sums[p] = universe_mix(hash ^ leaders);
    }
}

void world_sums(const struct universe *universe, const struct world *world, uint64_t *sums)
{
    const uint32_t count = universe->permutations_count;
    memset(sums, 0, count * sizeof sums[0]);
    for (uint32_t i = 0; i < universe->plan.nodes; i++) {
        const uint64_t *hashes = universe_local_hashes(universe, world->locals[i]);
        for (uint32_t p = 0; p < count; p++) {
            sums[p] += hashes[p];
        }
    }
    for (uint32_t i = 0; i < world->letters_count; i++) {
        const uint64_t *hashes = universe_letter_hashes(universe, world->letters[i]);
        for (uint32_t p = 0; p < count; p++) {
            sums[p] += hashes[p];
        }
    }
}

uint64_t world_fingerprint(const struct universe *universe, const uint64_t *sums)
{
    uint64_t fingerprint = 0;
    for (uint32_t p = 0; p < universe->permutations_count; p++) {
        fingerprint += universe_mix(sums[p]);
    }
    return fingerprint == 0 ? 1 : fingerprint;
}
