/* The base: the log may drop a prefix behind it, and a replica that needs more than the log has gets it whole
 * (thesis §5, PROTOCOL S3).
 *
 *     leader    COMPACTED ──> floor rises      an entry below is needed ──> update.snapshots
 *               RECALLED ──> floor falls       who was to get the base, and has more than that, is probed
 *               SNAPSHOT_SENT or an ack ──> probes behind the base
 *     receiver  INSTALLED ──> log kept, or log replaced and acknowledged
 *
 * Rules
 *  1. What lies below the floor is committed, so a message about it never conflicts: it is accepted as known
 *     (bug class "a compacted previous index deletes the log").
 *  2. An installed base replaces the log unless the log has the entry that the base ends with; then what follows
 *     it may be acknowledged already and is kept. A log that has another term there is replaced whole, or the
 *     leader would find the conflict again and send the base again.
 *  3. A base at or below the commit index is old and changes nothing. */
#include "internal.h"

#include <planted/planted.h>

#include <assert.h>

enum raft_status raft__compacted(struct raft_node *node, struct raft_update *update,
                                 raft_index index, raft_term term)
{
    if (index > node->commit_index) return RAFT_BAD_OPTIONS;
    if (index <= node->trail.floor_index) return RAFT_OK;
    if (raft__trail_term(&node->trail, index) != term) return RAFT_BAD_OPTIONS;
    raft__trail_forget(&node->trail, index);
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_COMPACTED, .index = index});
    return RAFT_OK;
}

enum raft_status raft__recalled(struct raft_node *node, struct raft_update *update,
                                const struct raft_recalled *recalled)
{
    if (recalled->index >= node->trail.floor_index) return RAFT_OK;
    if (!raft__trail_recall(&node->trail, recalled->index, recalled->term, recalled->runs,
                            recalled->runs_count)) {
        return RAFT_BAD_OPTIONS;
    }
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_COMPACTED,
                                            .index = node->trail.floor_index});
    if (node->role != RAFT_LEADER) return RAFT_OK;
    /* What they have tells whether they need a base still. */
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        if (node->progress[i].state == RAFT_PROGRESS_SNAPSHOT)
            raft__progress_probe(&node->progress[i], node->trail.last_index + 1);
    }
    return RAFT_OK;
}

bool raft_wants_base(const struct raft_node *node, raft_index index, raft_term term)
{
    if (index <= node->commit_index) return false;
    if (PLANTED(B17_BASE_KEEPS_CONFLICTING_LOG) && index <= node->trail.last_index) return false;
    return raft__trail_term(&node->trail, index) != term;
}

static void replace_log(struct raft_node *node, struct raft_update *update, raft_index index,
                        raft_term term, const struct raft_indexed_configuration *configuration)
{
    raft__trail_reset(&node->trail, index, term);
    node->durable_index = index;
    node->verified_index = index; /* committed, so every leader has it */
    node->commit_index = index;
    raft__history_reset(&node->history, configuration);
    raft__configuration_changed(node, update, /* back= */ false);
    update->log_replaced = true;
}

enum raft_status raft__installed(struct raft_node *node, struct raft_update *update,
                                 raft_index index, raft_term term,
                                 const struct raft_indexed_configuration *configuration)
{
    if (term == 0 || index == 0) return RAFT_BAD_OPTIONS;
    if (configuration->index > index) return RAFT_BAD_OPTIONS;
    if (!raft__configuration_is_complete(&configuration->configuration)) {
        return RAFT_BAD_CONFIGURATION;
    }
    bool replaces = raft_wants_base(node, index, term) || PLANTED(B18_OLD_BASE_REPLACES_LOG);
    if (PLANTED(B21_CANDIDATE_IGNORES_BASE) && node->role != RAFT_FOLLOWER) replaces = false;
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_INSTALLED,
                                            .index = index,
                                            .index_term = term,
                                            .b = replaces});
    if (!replaces) return RAFT_OK;
    /* A candidacy rests on the log that goes away. (A leader has all that is committed and never gets here; if
     * one does, its log is wrong and it must not lead.) */
    if (node->role != RAFT_FOLLOWER || term > node->hard.term) {
        raft__become_follower(node, update, raft__max(term, node->hard.term),
                              (struct raft_replica_id){0, 0});
    }
    replace_log(node, update, index, term, configuration);
    raft__follower_ack(node, update);
    return RAFT_OK;
}

void raft__snapshot_sent(struct raft_node *node, struct raft_replica_id to, raft_index index,
                         bool ok)
{
    if (node->role != RAFT_LEADER) return;
    uint32_t member = raft__member_find(&node->configuration, to);
    if (member == RAFT_MEMBERS_MAX) return;
    struct raft_progress *progress = &node->progress[member];
    if (progress->state != RAFT_PROGRESS_SNAPSHOT) return;
    if (!ok) {
        progress->snapshot_failed = true;
        return;
    }
    if (index > node->trail.last_index) return; /* nobody can have what was never written */
    raft_index known = raft__max(index, node->trail.floor_index);
    raft__progress_probe(progress, raft__max(known, progress->match) + 1);
}

void raft__snapshots_outbox(struct raft_node *node, struct raft_update *update)
{
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        struct raft_progress *progress = &node->progress[i];
        if (progress->state != RAFT_PROGRESS_SNAPSHOT || !progress->snapshot_wanted) continue;
        progress->snapshot_wanted = false;
        progress->asked_at_ms = node->now_ms;
        assert(update->snapshots_count < RAFT_MEMBERS_MAX);
        update->snapshots[update->snapshots_count++] = (struct raft_snapshot_request){
            .to = node->configuration.members[i].id, .at_least = node->trail.floor_index};
        raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_SNAPSHOT,
                                                .node = node->configuration.members[i].id.node,
                                                .index = node->trail.floor_index});
    }
}
