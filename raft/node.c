/* Init, views and names: everything about a node that is not a step. */
#include "internal.h"

#include <planted/planted.h>

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

/* The configurations of the log, oldest first. A replica that does not know its group yet has an empty one. */
static bool load_history(struct raft_node *node, const struct raft_start *start)
{
    raft_index previous = 0;
    node->history.count = 0;
    for (uint32_t i = 0; i <= start->history_count; i++) {
        struct raft_indexed_configuration item = {.index = start->configuration_index,
                                                  .configuration = start->configuration};
        if (i < start->history_count) item = start->history[i];
        if (!raft__configuration_is_valid(&item.configuration)) return false;
        if (i > 0 && item.index <= previous) return false;
        previous = item.index;
        if (node->history.count == 0) {
            raft__history_reset(&node->history, &item);
        } else {
            raft__history_push(&node->history, &item);
        }
    }
    if (start->configuration_index > node->trail.last_index) return false;
    raft_index settled = raft__max(start->commit_index, start->base_index);
    if (start->history_count == 0 && start->configuration_index > settled) return false;
    raft__configuration_load(node);
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
    memset(node, 0, sizeof *node);
    node->options = *options;
    if (!load_trail(node, start)) return RAFT_BAD_OPTIONS;
    if (!load_history(node, start)) return RAFT_BAD_OPTIONS;
    if (start->commit_index > node->trail.last_index) return RAFT_BAD_OPTIONS;

    node->now_ms = start->now_ms;
    /* Replicas of one group, and groups of one node, may be given one seed; they must not draw alike. */
    node->random = options->seed ^ (options->id.node * 0x9e3779b97f4a7c15u) ^
                   ((options->group + 1) * 0xd1342543de82ef95u);
    node->has_vote = start->has_vote;

    node->hard_told = start->hard_state;
    node->hard_durable = start->hard_state;
    node->hard = start->hard_state;
    raft_term last_term = raft__trail_last_term(&node->trail);
    bool is_later = last_term > node->hard.term && !PLANTED(V2_TERM_OF_THE_LOG_IS_IGNORED);
    if (is_later) { /* PROTOCOL V2: the term in use is the larger of the two */
        node->hard.term = last_term;
        node->hard.voted_for = (struct raft_replica_id){0, 0};
    }
    node->role = RAFT_FOLLOWER;
    node->durable_index = node->trail.last_index;
    node->commit_index = raft__max(start->commit_index, node->trail.floor_index);
    node->transfer.target = RAFT_MEMBERS_MAX;
    raft__reset_election_timer(node);
    /* The only voter of a group has nobody to wait for. */
    bool alone = raft__is_own_voter(node) && raft__voters_count(&node->configuration) == 1;
    if (alone && raft__can_stand(node)) {
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

bool raft_is_caught_up(const struct raft_node *node, struct raft_replica_id id)
{
    if (node->role != RAFT_LEADER) return false;
    uint32_t member = raft__member_find(&node->configuration, id);
    if (member == RAFT_MEMBERS_MAX) return false;
    if (member == node->self) return true;
    const struct raft_progress *progress = &node->progress[member];
    uint64_t timeout_ms = node->options.election_timeout_ms_min;
    if (progress->state == RAFT_PROGRESS_SNAPSHOT) return false;
    if (progress->heard_at_ms == 0) return false;
    if (node->now_ms - progress->heard_at_ms >= timeout_ms) return false;
    if (progress->catch_up_last_ms >= timeout_ms) return false;
    return !progress->catch_up_runs || node->now_ms - progress->catch_up_since_ms < timeout_ms;
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
    if (ret_view->transferring) {
        ret_view->transfer_target = node->configuration.members[node->transfer.target].id.node;
    }
    raft__reads_view(node, &ret_view->reads);
    ret_view->configuration_index = node->configuration_index;
    ret_view->change_in_progress =
        node->configuration.joint || !raft__configuration_is_committed(node);
    ret_view->pledged_index = node->pledged_index;
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
            .regressed = progress->counts_from != 0,
            .caught_up = raft_is_caught_up(node, node->configuration.members[i].id),
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

const struct raft_indexed_configuration *raft_configuration_at(const struct raft_node *node,
                                                               raft_index index)
{
    const struct raft_history *history = &node->history;
    for (uint32_t i = history->count; i > 0; i--) {
        if (history->items[i - 1].index <= index) return &history->items[i - 1];
    }
    return NULL;
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
