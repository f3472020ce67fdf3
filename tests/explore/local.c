#include "local.h"

#include <assert.h>
#include <string.h>

#define LONG_AGO_MS (LOCAL_NOW_MS - 100 * LOCAL_ELECTION_TIMEOUT_MS)

uint64_t local_process(uint8_t node, uint8_t starts)
{
    return (uint64_t)node << 8 | (uint64_t)(starts + 1);
}

uint8_t local_process_starts(uint64_t process)
{
    assert((process & 0xff) != 0);
    return (uint8_t)((process & 0xff) - 1);
}

struct raft_options local_options(const struct explore_plan *plan, uint8_t id, uint8_t starts,
                                  struct raft_term_run *runs, uint32_t runs_max)
{
    return (struct raft_options){
        .group = LOCAL_GROUP,
        .id = {.node = id, .epoch = 0},
        .election_timeout_ms_min = LOCAL_ELECTION_TIMEOUT_MS / 2,
        .election_timeout_ms_max = LOCAL_ELECTION_TIMEOUT_MS,
        .heartbeat_ms = LOCAL_HEARTBEAT_MS,
        .early_prevote_ms_max = 25,
        .append_entries_max = plan->entries_sent,
        .append_inflight_max = plan->inflight,
        .seed = 1,
        .process = local_process(id, starts),
        .trail_runs = runs,
        .trail_runs_max = runs_max,
    };
}

uint32_t local_log_runs(const struct local_log *log, struct raft_term_run *runs)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < log->count; i++) {
        raft_term term = local_entry_term(log->entries[i]);
        if (count > 0 && runs[count - 1].term == term) {
            runs[count - 1].count++;
        } else {
            runs[count++] = (struct raft_term_run){.first = i + 1, .count = 1, .term = term};
        }
    }
    return count;
}

uint32_t local_log_history(const struct local_configurations *configurations,
                           const struct local_log *log, bool founded,
                           struct raft_indexed_configuration *history)
{
    static const struct raft_configuration empty;
    uint32_t count = 0;
    history[count].index = 0;
    history[count].configuration = founded ? configurations->items[0] : empty;
    count++;
    for (uint32_t i = 0; i < log->count; i++) {
        uint8_t number = local_entry_configuration(log->entries[i]);
        if (number == 0) continue;
        assert(number <= configurations->count);
        history[count].index = i + 1;
        history[count].configuration = configurations->items[number - 1];
        count++;
    }
    return count;
}

/* ---- restore -------------------------------------------------------------------------------------- */

static struct raft_replica_id replica(uint8_t node)
{
    return (struct raft_replica_id){.node = node, .epoch = 0};
}

static struct raft_hard_state hard_state(struct local_hard hard)
{
    return (struct raft_hard_state){.term = hard.term, .voted_for = replica(hard.vote)};
}

static void restore_configuration(const struct local_configurations *configurations,
                                  const struct local *local, struct raft_node *node)
{
    struct raft_indexed_configuration history[EXPLORE_ENTRIES_MAX + 1];
    uint32_t count = local_log_history(configurations, &local->log, local->founded, history);
    raft__history_reset(&node->history, &history[0]);
    for (uint32_t i = 1; i < count; i++) {
        raft__history_push(&node->history, &history[i]);
    }
    raft__configuration_load(node);
}

static void restore_progress(const struct local *local, struct raft_node *node)
{
    for (uint32_t i = 0; i < EXPLORE_NODES_MAX; i++) {
        const struct local_progress *from = &local->progress[i];
        struct raft_progress *progress = &node->progress[i];
        raft__progress_reset(progress, 0, LOCAL_NOW_MS);
        progress->state = (enum raft_progress_state)from->state;
        progress->match = from->match;
        progress->received = from->received;
        progress->next = from->next;
        progress->commit_told = from->commit_told;
        progress->heard_at_ms = LOCAL_NOW_MS;
        progress->moved_at_ms = LOCAL_NOW_MS;
        progress->asked_at_ms = LONG_AGO_MS;
        progress->probe_sent = (from->marks & 1) != 0;
        progress->check_wanted = (from->marks & 2) != 0;
        progress->round_acked = from->round_acked;
        progress->window_count = from->window_count;
        for (uint32_t k = 0; k < from->window_count; k++) {
            progress->window[k] = from->window[k];
        }
    }
}

static void restore_reads(const struct local *local, struct raft_node *node)
{
    struct raft_reads *reads = &node->reads;
    reads->count = local->reads_count;
    reads->covered = local->reads_covered;
    reads->flying = local->read_flying != 0;
    reads->number = local->read_number;
    reads->index = local->read_index;
    reads->sent_ms = LONG_AGO_MS;
    for (uint32_t i = 0; i < local->reads_count; i++) {
        reads->waiting[i] =
            (struct raft_waiting_read){.id = local->reads[i], .arrived_ms = LOCAL_NOW_MS};
    }
    reads->forwards_count = local->forwards_count;
    for (uint32_t i = 0; i < local->forwards_count; i++) {
        const struct local_forward *from = &local->forwards[i];
        reads->forwards[i] =
            (struct raft_forward){.from = replica(from->from),
                                  .process = local_process(from->from, from->process),
                                  .number = from->number,
                                  .round = from->round};
    }
}

void local_restore(const struct explore_plan *plan,
                   const struct local_configurations *configurations, const struct local *local,
                   bool hears, struct raft_term_run *runs, struct raft_node *node)
{
    node->options = local_options(plan, local->id, local->process, runs, EXPLORE_ENTRIES_MAX + 1);
    node->random = 1;
    node->now_ms = LOCAL_NOW_MS;
    node->has_vote = true;
    node->hard = hard_state(local->hard);
    node->hard_told = hard_state(local->hard_told);
    node->hard_durable = hard_state(local->disk_hard);
    node->role = (enum raft_role)local->role;
    node->leader = replica(local->leader);
    node->leader_heard_ms = hears ? LOCAL_NOW_MS : LONG_AGO_MS;
    node->election_at_ms = LOCAL_NOW_MS + LOCAL_ELECTION_TIMEOUT_MS;
    node->early_until_ms = 0;
    node->lost_leader = (struct raft_replica_id){0};
    node->trail = (struct raft_trail){.runs = runs, .runs_max = EXPLORE_ENTRIES_MAX + 1};
    node->trail.runs_count = local_log_runs(&local->log, runs);
    node->trail.last_index = local->log.count;
    node->durable_index = local->durable;
    node->verified_index = local->verified;
    node->commit_index = local->commit;
    node->replied_ms = LONG_AGO_MS;
    node->disk_stalled_until_ms = 0;
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        node->votes_yes[i] = (local->votes >> i & 1) != 0;
        node->votes_no[i] = false;
    }
    node->noop_index = local->noop;
    node->heartbeat_at_ms = LOCAL_NOW_MS + LOCAL_HEARTBEAT_MS;
    node->quorum_since_ms = LOCAL_NOW_MS;
    node->backlog = false;
    node->transfer.target =
        local->transfer_target == 0 ? RAFT_MEMBERS_MAX : local->transfer_target - 1u;
    node->transfer.deadline_ms = LOCAL_NOW_MS + LOCAL_ELECTION_TIMEOUT_MS;
    node->transfer.sent = local->transfer_sent != 0;
    restore_configuration(configurations, local, node);
    restore_progress(local, node);
    restore_reads(local, node);
}

/* ---- capture -------------------------------------------------------------------------------------- */

static uint8_t byte(uint64_t value)
{
    assert(value <= UINT8_MAX);
    return (uint8_t)value;
}

static struct local_hard local_hard(struct raft_hard_state hard)
{
    return (struct local_hard){.term = byte(hard.term), .vote = byte(hard.voted_for.node)};
}

static void capture_progress(const struct raft_node *node, struct local *local)
{
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        const struct raft_progress *progress = &node->progress[i];
        struct local_progress *to = &local->progress[i];
        assert(!progress->cut_off);
        assert(!progress->snapshot_wanted);
        assert(i == node->self || !progress->heartbeat_wanted);
        to->state = (uint8_t)progress->state;
        to->match = byte(progress->match);
        to->received = byte(progress->received);
        to->next = byte(progress->next);
        to->commit_told = byte(progress->commit_told);
        to->marks = (uint8_t)(progress->probe_sent | progress->check_wanted << 1);
        to->round_acked = byte(progress->round_acked);
        to->window_count = byte(progress->window_count);
        assert(to->window_count <= LOCAL_WINDOW_MAX);
        for (uint32_t k = 0; k < to->window_count; k++) {
            to->window[k] = byte(progress->window[(progress->window_head + k) % RAFT_INFLIGHT_MAX]);
        }
    }
}

static void capture_reads(const struct raft_node *node, struct local *local)
{
    const struct raft_reads *reads = &node->reads;
    assert(reads->count <= EXPLORE_READS_MAX);
    assert(reads->forwards_count <= EXPLORE_NODES_MAX);
    local->read_number = byte(reads->number);
    local->read_flying = reads->flying;
    local->reads_covered = byte(reads->covered);
    local->reads_count = byte(reads->count);
    for (uint32_t i = 0; i < reads->count; i++) {
        local->reads[i] = byte(reads->waiting[i].id);
    }
    bool round = reads->flying && node->role == RAFT_LEADER;
    local->read_index = round ? byte(reads->index) : 0;
    local->forwards_count = byte(reads->forwards_count);
    for (uint32_t i = 0; i < reads->forwards_count; i++) {
        const struct raft_forward *forward = &reads->forwards[i];
        assert(!forward->confirmed);
        local->forwards[i] =
            (struct local_forward){.from = byte(forward->from.node),
                                   .process = local_process_starts(forward->process),
                                   .number = byte(forward->number),
                                   .round = byte(forward->round)};
    }
}

/* The trail and the configuration must say what the log says. */
static void check_log(const struct raft_node *node, const struct local *local)
{
    assert(node->trail.floor_index == 0);
    assert(node->trail.last_index == local->log.count);
    raft_index configured = 0;
    for (uint32_t i = 0; i < local->log.count; i++) {
        assert(raft__trail_term(&node->trail, i + 1) == local_entry_term(local->log.entries[i]));
        if (local_entry_configuration(local->log.entries[i]) != 0) configured = i + 1;
    }
    assert(node->configuration_index == configured);
}

void local_capture(const struct raft_node *node, struct local *local)
{
    assert(!node->backlog);
    check_log(node, local);
    assert(local->id == node->options.id.node);
    local->role = (uint8_t)node->role;
    local->leader = byte(node->leader.node);
    local->hard = local_hard(node->hard);
    local->hard_told = local_hard(node->hard_told);
    assert(node->hard_durable.term == local->disk_hard.term);
    assert(node->hard_durable.voted_for.node == local->disk_hard.vote);
    local->commit = byte(node->commit_index);
    local->durable = byte(node->durable_index);
    local->verified = byte(node->verified_index);
    local->noop = node->role == RAFT_LEADER ? byte(node->noop_index) : 0;
    local->votes = 0;
    bool counts = node->role == RAFT_PRE_CANDIDATE || node->role == RAFT_CANDIDATE;
    for (uint32_t i = 0; counts && i < EXPLORE_NODES_MAX; i++) {
        if (node->votes_yes[i]) local->votes |= (uint8_t)(1u << i);
    }
    bool transfers = node->transfer.target != RAFT_MEMBERS_MAX;
    local->transfer_target = transfers ? byte(node->transfer.target + 1) : 0;
    local->transfer_sent = transfers && node->transfer.sent;
    memset(local->progress, 0, sizeof local->progress);
    if (node->role == RAFT_LEADER) capture_progress(node, local);
    memset(local->reads, 0, sizeof local->reads);
    memset(local->forwards, 0, sizeof local->forwards);
    capture_reads(node, local);
}
