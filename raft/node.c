/* Init, views and names: everything about a node that is not a step. */
#include "internal.h"

#include <assert.h>
#include <string.h>

size_t raft_node_bytes(void)
{
    return sizeof(struct raft_node);
}

static bool options_are_valid(const struct raft_options *options)
{
    if (options->id.node == 0) return false;
    if (options->process == 0) return false;
    if (options->election_timeout_ms_min >= options->election_timeout_ms_max) return false;
    if (options->heartbeat_ms == 0) return false;
    /* Below five heartbeats per timeout a single lost packet starts elections (PROTOCOL C9). */
    if (options->heartbeat_ms >= options->election_timeout_ms_min / 5) return false;
    if (options->early_prevote_ms_max == 0) return false;
    if (options->early_prevote_ms_max >= options->election_timeout_ms_min) return false;
    if (options->append_entries_max == 0) return false;
    if (options->append_inflight_max == 0) return false;
    if (options->append_inflight_max > RAFT_INFLIGHT_MAX) return false;
    if (options->trail_runs == NULL) return false;
    if (options->trail_runs_max < 4) return false;
    return true;
}

static bool configuration_is_valid(const struct raft_configuration *configuration)
{
    if (configuration->members_count > RAFT_MEMBERS_MAX) return false;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->id.node == 0) return false;
        if (member->voter_old && !configuration->joint) return false;
        if (raft__member_find(configuration, member->id) != i) return false;
    }
    return true;
}

/* The runs of recovery must form a log: contiguous, terms never falling. Equal neighbours are merged. */
static bool load_trail(struct raft_node *node, const struct raft_start *start)
{
    struct raft_trail *trail = &node->trail;
    trail->runs = node->options.trail_runs;
    trail->runs_max = node->options.trail_runs_max;
    trail->runs_count = 0;
    trail->floor_index = start->base_index;
    trail->floor_term = start->base_term;
    trail->last_index = start->base_index;
    for (uint32_t i = 0; i < start->runs_count; i++) {
        const struct raft_term_run *run = &start->runs[i];
        if (run->first != trail->last_index + 1) return false;
        if (run->count == 0) return false;
        if (run->term == 0) return false;
        if (run->term < raft__trail_last_term(trail)) return false;
        if (!raft__trail_append(trail, run->count, run->term, start->commit_index)) return false;
    }
    return true;
}

enum raft_status raft_init(struct raft_node *node, const struct raft_options *options,
                           const struct raft_start *start)
{
    assert(node != NULL);
    if (!options_are_valid(options)) return RAFT_BAD_OPTIONS;
    if (!configuration_is_valid(&start->configuration)) return RAFT_BAD_OPTIONS;
    memset(node, 0, sizeof *node);
    node->options = *options;
    if (!load_trail(node, start)) return RAFT_BAD_OPTIONS;
    if (start->commit_index > node->trail.last_index) return RAFT_BAD_OPTIONS;

    node->now_ms = start->now_ms;
    /* Replicas of one group, and groups of one node, may be given one seed; they must not draw alike. */
    node->random = options->seed ^ (options->id.node * 0x9e3779b97f4a7c15u) ^
                   ((options->group + 1) * 0xd1342543de82ef95u);
    node->has_vote = start->has_vote;
    node->configuration = start->configuration;
    node->configuration_index = start->configuration_index;
    node->self = raft__member_find(&node->configuration, options->id);

    node->hard_told = start->hard_state;
    node->hard_durable = start->hard_state;
    node->hard = start->hard_state;
    raft_term last_term = raft__trail_last_term(&node->trail);
    if (last_term > node->hard.term) { /* PROTOCOL V2: the term in use is the larger of the two */
        node->hard.term = last_term;
        node->hard.voted_for = (struct raft_replica_id){0, 0};
    }
    node->role = RAFT_FOLLOWER;
    node->durable_index = node->trail.last_index;
    node->commit_index = raft__max(start->commit_index, node->trail.floor_index);
    node->transfer.target = RAFT_MEMBERS_MAX;
    raft__reset_election_timer(node);
    /* The only voter of a group has nobody to wait for. */
    if (raft__can_stand(node) && raft__voters_count(&node->configuration) == 1) {
        node->election_at_ms = node->now_ms;
    }
    return RAFT_OK;
}

static uint64_t min_ms(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t raft_timer_at_ms(const struct raft_node *node)
{
    if (node->backlog) return node->now_ms;
    uint64_t at = raft__reads_deadline_ms(node);
    if (node->role == RAFT_LEADER) {
        at = min_ms(at, node->heartbeat_at_ms);
        at = min_ms(at, raft__quorum_deadline_ms(node));
        if (raft__is_transferring(node)) at = min_ms(at, node->transfer.deadline_ms);
    } else {
        at = min_ms(at, node->election_at_ms);
    }
    return at;
}

void raft_view(const struct raft_node *node, uint64_t now_ms, struct raft_view *ret_view)
{
    (void)now_ms;
    ret_view->role = node->role;
    ret_view->term = node->hard.term;
    ret_view->leader = node->leader.node;
    ret_view->last_index = node->trail.last_index;
    ret_view->last_term = raft__trail_last_term(&node->trail);
    ret_view->durable_index = node->durable_index;
    ret_view->commit_index = node->commit_index;
    ret_view->own_term_committed = node->role == RAFT_LEADER && raft__own_term_committed(node);
    ret_view->transferring = raft__is_transferring(node);
    ret_view->members_count = 0;
    if (node->role != RAFT_LEADER) return;
    ret_view->members_count = node->configuration.members_count;
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        const struct raft_progress *progress = &node->progress[i];
        ret_view->members[i] = (struct raft_progress_view){
            .id = node->configuration.members[i].id,
            .voter = raft__is_voter(&node->configuration.members[i]),
            .state = progress->state,
            .match = progress->match,
            .next = progress->next,
            .inflight = progress->window_count,
            .heard_at_ms = i == node->self ? node->now_ms : progress->heard_at_ms,
            .last_refusal = progress->last_refusal,
        };
    }
}

raft_term raft_term_at(const struct raft_node *node, raft_index index)
{
    return raft__trail_term(&node->trail, index);
}

const struct raft_configuration *raft_configuration_of(const struct raft_node *node)
{
    return &node->configuration;
}

const char *raft_status_text(enum raft_status status)
{
    switch (status) {
#define X(name, text) \
    case name:        \
        return text;
        RAFT_STATUSES(X)
#undef X
    }
    return "unknown status";
}

const char *raft_refusal_text(enum raft_refusal refusal)
{
    switch (refusal) {
#define X(name, text) \
    case name:        \
        return text;
        RAFT_REFUSALS(X)
#undef X
    }
    return "unknown refusal";
}

const char *raft_role_name(enum raft_role role)
{
    switch (role) {
    case RAFT_FOLLOWER:
        return "follower";
    case RAFT_PRE_CANDIDATE:
        return "pre-candidate";
    case RAFT_CANDIDATE:
        return "candidate";
    case RAFT_LEADER:
        return "leader";
    }
    return "unknown role";
}
