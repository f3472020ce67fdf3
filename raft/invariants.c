/* What always holds, on a state and on a step: the proof obligations of the core in one place.
 *
 * Run after every step of a simulation or scenario; never in the running broker. The trail's array belongs to
 * the caller and is shared by a node and its copy, so of the previous trail only the scalars are read. */
#include "internal.h"

#include <assert.h>

/* ---- on a state ----------------------------------------------------------------------------------- */

static void check_trail(const struct raft_node *node)
{
    const struct raft_trail *trail = &node->trail;
    raft_index last = trail->floor_index;
    raft_term term = trail->floor_term;
    assert(trail->runs_count <= trail->runs_max);
    for (uint32_t i = 0; i < trail->runs_count; i++) {
        const struct raft_term_run *run = &trail->runs[i];
        assert(run->first == last + 1);
        assert(run->count > 0);
        assert(run->term > 0);
        assert(run->term >= term);
        if (i > 0) assert(run->term > term);
        last = run->first + run->count - 1;
        term = run->term;
    }
    assert(trail->last_index == last);
}

static void check_positions(const struct raft_node *node)
{
    assert(node->hard.term >= raft__trail_last_term(&node->trail));
    assert(node->commit_index >= node->trail.floor_index);
    assert(node->commit_index <= node->trail.last_index);
    assert(node->durable_index <= node->trail.last_index);
    assert(node->verified_index <= node->trail.last_index);
    assert(node->hard_durable.term <= node->hard.term);
}

/* The configuration in use is the newest of the log, and of all that are remembered only it may be uncommitted
 * (which this node alone cannot know: its commit index may lag). */
static void check_history(const struct raft_node *node)
{
    const struct raft_history *history = &node->history;
    assert(history->count > 0);
    assert(history->count <= RAFT_CONFIGURATIONS_MAX);
    for (uint32_t i = 0; i < history->count; i++) {
        assert(raft__configuration_is_valid(&history->items[i].configuration));
        if (i > 0) assert(history->items[i].index > history->items[i - 1].index);
    }
    const struct raft_indexed_configuration *newest = raft__history_newest(history);
    assert(newest->index == node->configuration_index);
    assert(newest->index <= node->trail.last_index);
    assert(newest->configuration.members_count == node->configuration.members_count);
    assert(newest->configuration.joint == node->configuration.joint);
    assert(node->self == raft__member_find(&node->configuration, node->options.id));
}

static void check_role(const struct raft_node *node)
{
    bool is_voter = raft__is_own_voter(node);
    bool may_stand = is_voter || raft__was_own_voter(node);
    switch (node->role) {
    case RAFT_FOLLOWER:
        assert(!raft__same_replica(node->leader, node->options.id));
        break;
    case RAFT_PRE_CANDIDATE:
        assert(node->leader.node == 0);
        assert(node->has_vote);
        assert(may_stand);
        break;
    case RAFT_CANDIDATE:
        assert(node->leader.node == 0);
        assert(node->has_vote);
        assert(may_stand);
        assert(raft__same_replica(node->hard.voted_for, node->options.id));
        break;
    case RAFT_LEADER:
        assert(raft__same_replica(node->leader, node->options.id));
        assert(node->has_vote);
        assert(raft__same_replica(node->hard.voted_for, node->options.id));
        assert(raft__hard_is_durable(node));
        /* Removed for good, or standing still: on its way out. */
        if (!is_voter && raft__configuration_is_committed(node))
            assert(raft__is_transferring(node));
        if (raft__disk_is_stalled(node)) assert(raft__is_transferring(node));
        break;
    }
    if (node->role != RAFT_LEADER) {
        /* There is always a timer, and never one that is further away than a timeout. */
        assert(node->election_at_ms <= node->now_ms + node->options.election_timeout_ms_max);
        assert(!raft__is_transferring(node));
    }
}

static void check_reads(const struct raft_node *node)
{
    const struct raft_reads *reads = &node->reads;
    assert(reads->count <= RAFT_READS_MAX);
    assert(reads->covered <= reads->count);
    assert(reads->forwards_count <= RAFT_READ_FORWARDS_MAX);
    if (!reads->flying) assert(reads->covered == 0);
    if (node->leader.node == 0) assert(reads->count == 0);
    if (node->role != RAFT_LEADER) assert(reads->forwards_count == 0);
    if (node->role == RAFT_LEADER && reads->flying) {
        assert(raft__own_term_committed(node));
        assert(reads->index <= node->commit_index);
        assert(reads->index >= node->noop_index);
    }
    for (uint32_t i = 1; i < reads->count; i++) {
        assert(reads->waiting[i - 1].arrived_ms <= reads->waiting[i].arrived_ms);
    }
}

static void check_window(const struct raft_node *node, const struct raft_progress *progress)
{
    assert(progress->window_count <= node->options.append_inflight_max);
    if (progress->state != RAFT_PROGRESS_REPLICATE) assert(progress->window_count == 0);
    if (progress->state != RAFT_PROGRESS_PROBE) assert(!progress->probe_sent);
    raft_index previous = progress->match;
    for (uint32_t i = 0; i < progress->window_count; i++) {
        raft_index end = progress->window[(progress->window_head + i) % RAFT_INFLIGHT_MAX];
        assert(end > previous);
        assert(end < progress->next);
        previous = end;
    }
}

static void check_leader(const struct raft_node *node)
{
    if (node->role != RAFT_LEADER) return;
    raft_index last = node->trail.last_index;
    assert(node->noop_index <= last);
    if (node->noop_index >= node->trail.floor_index) {
        assert(raft__trail_term(&node->trail, node->noop_index) == node->hard.term);
    }
    assert(raft__trail_last_term(&node->trail) == node->hard.term);
    uint64_t match[RAFT_MEMBERS_MAX] = {0};
    bool is_whole = true; /* no disk is known to have lost what it said to have (PROTOCOL D8) */
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        const struct raft_progress *progress = &node->progress[i];
        match[i] = progress->match;
        if (progress->counts_from != 0) {
            assert(progress->match < progress->counts_from);
            assert(progress->counts_from <= last);
            is_whole = false;
        }
        assert(progress->match <= progress->received);
        assert(progress->received < progress->next);
        assert(progress->next <= last + 1);
        assert(progress->commit_told <= node->commit_index);
        assert(progress->round_acked <= node->reads.number);
        if (i != node->self) check_window(node, progress);
        if (progress->state == RAFT_PROGRESS_SNAPSHOT) {
            assert(!(progress->snapshot_wanted && progress->snapshot_failed));
        }
    }
    if (node->self != RAFT_MEMBERS_MAX) {
        assert(node->progress[node->self].match <= node->durable_index);
    }
    /* What a majority has in this term is committed, and nothing of this term is without a majority. */
    raft_index counted = raft__quorum_value(&node->configuration, match);
    if (counted >= node->noop_index) assert(node->commit_index >= counted);
    /* A configuration that is not committed yet may ask more of what was committed before it. */
    if (is_whole && raft__own_term_committed(node) && raft__configuration_is_committed(node)) {
        assert(counted >= node->commit_index);
    }
    if (!raft__configuration_is_committed(node) && node->configuration_index >= node->noop_index) {
        assert(raft__own_term_committed(node)); /* Ongaro 2015 */
    }
}

/* ---- on a step ------------------------------------------------------------------------------------ */

static void check_same_term(const struct raft_node *node, const struct raft_node *previous)
{
    if (previous->hard.voted_for.node != 0) {
        assert(raft__same_replica(node->hard.voted_for, previous->hard.voted_for));
    }
    bool both_known = node->leader.node != 0 && previous->leader.node != 0;
    if (both_known) assert(raft__same_replica(node->leader, previous->leader));
    if (node->role == RAFT_LEADER) {
        assert(previous->role == RAFT_LEADER || previous->role == RAFT_CANDIDATE);
    }
    /* What equals the leader's log stays equal: a leader takes nothing back, so neither does who follows it. */
    assert(node->verified_index >= previous->verified_index);
    if (node->role != RAFT_LEADER || previous->role != RAFT_LEADER) return;
    assert(node->trail.last_index >=
           previous->trail.last_index); /* Leader Append-Only, Raft figure 3 */
    assert(node->durable_index >= previous->durable_index);
    assert(node->noop_index == previous->noop_index);
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        assert(node->progress[i].heard_at_ms <= node->now_ms);
        uint32_t before =
            raft__member_find(&previous->configuration, node->configuration.members[i].id);
        if (before == RAFT_MEMBERS_MAX) continue;
        if (node->progress[i].counts_from != 0) continue;         /* PROTOCOL D8 */
        if (i == node->self && node->damaged_from != 0) continue; /* D3 */
        assert(node->progress[i].match >= previous->progress[before].match);
    }
}

/* Raft figure 4: who leads was a candidate of that term before, and who led follows. */
static void check_edge(const struct raft_node *node, const struct raft_node *previous)
{
    if (node->role == RAFT_LEADER && previous->role != RAFT_LEADER) {
        assert(previous->role == RAFT_CANDIDATE);
    }
    if (node->role == RAFT_LEADER) assert(node->hard.term == previous->hard.term);
    if (previous->role == RAFT_LEADER) {
        assert(node->role == RAFT_LEADER || node->role == RAFT_FOLLOWER);
    }
}

static void check_step(const struct raft_node *node, const struct raft_node *previous)
{
    assert(node->now_ms >= previous->now_ms);
    assert(node->hard.term >= previous->hard.term);
    assert(node->hard_durable.term >= previous->hard_durable.term);
    assert(node->commit_index >= previous->commit_index);
    assert(node->reads.number >= previous->reads.number);
    /* It falls by RECALLED alone, and what was known stays. */
    assert(raft__trail_term(&node->trail, previous->trail.floor_index) ==
               previous->trail.floor_term ||
           node->trail.floor_index > previous->trail.floor_index);
    check_edge(node, previous);
    if (node->hard.term == previous->hard.term) {
        check_same_term(node, previous);
    } else if (node->hard.voted_for.node != 0 &&
               raft__same_replica(node->hard.voted_for, node->options.id)) {
        assert(node->hard.term ==
               previous->hard.term + 1); /* a candidate takes the next term, no other */
    }
}

void raft_check_invariants(const struct raft_node *node, const struct raft_node *previous)
{
    check_trail(node);
    check_positions(node);
    check_history(node);
    check_role(node);
    check_reads(node);
    check_leader(node);
    if (previous != NULL) check_step(node, previous);
}
