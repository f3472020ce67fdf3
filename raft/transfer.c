/* Leadership transfer (thesis §3.10): stop taking proposals, bring the target up to date, tell it to stand.
 *
 * The target skips PreVote and its votes override stickiness, so the outage is one round of votes. If no new
 * term is seen within an election timeout the leader goes on as before. */
#include "internal.h"

#include <rare/rare.h>

#include <assert.h>

bool raft__is_transferring(const struct raft_node *node)
{
    return node->transfer.target != RAFT_MEMBERS_MAX;
}

void raft__transfer_clear(struct raft_node *node)
{
    node->transfer.target = RAFT_MEMBERS_MAX;
    node->transfer.sent = false;
}

static bool may_lead(const struct raft_node *node, uint32_t member)
{
    return member != node->self && node->configuration.members[member].voter;
}

/* Of the voters heard lately the one with the longest log. */
static uint32_t best_target(const struct raft_node *node)
{
    uint32_t best = RAFT_MEMBERS_MAX;
    for (uint32_t i = 0; i < node->configuration.members_count; i++) {
        const struct raft_progress *progress = &node->progress[i];
        if (!may_lead(node, i)) continue;
        if (progress->heard_at_ms == 0) continue;
        if (node->now_ms - progress->heard_at_ms >= node->options.election_timeout_ms_max) continue;
        if (best == RAFT_MEMBERS_MAX || progress->match > node->progress[best].match) best = i;
    }
    return best;
}

enum raft_status raft__transfer_start(struct raft_node *node, struct raft_update *update,
                                      raft_node_id to)
{
    if (node->role != RAFT_LEADER) return RAFT_NOT_LEADER;
    uint32_t target =
        to == 0 ? best_target(node) : raft__member_find_node(&node->configuration, to);
    if (target == RAFT_MEMBERS_MAX) return RAFT_BAD_OPTIONS;
    if (!may_lead(node, target)) return RAFT_BAD_OPTIONS;
    if (target == node->transfer.target) return RAFT_OK;
    node->transfer.target = target;
    node->transfer.deadline_ms = node->now_ms + node->options.election_timeout_ms_max;
    node->transfer.sent = false;
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_TRANSFER,
                                            .node = node->configuration.members[target].id.node});
    return RAFT_OK;
}

void raft__transfer_tick(struct raft_node *node, struct raft_update *update)
{
    assert(node->role == RAFT_LEADER);
    if (!raft__is_transferring(node)) return;
    if (node->now_ms < node->transfer.deadline_ms) return;
    if (raft__must_leave(node)) {
        raft__step_down(node, update,
                        raft__disk_is_stalled(node) ? RAFT_STEP_DOWN_DISK_STALLED
                                                    : RAFT_STEP_DOWN_REMOVED);
    } else {
        raft__transfer_clear(node);
    }
}

/* Only a target that has the whole log can win, so it is told when its match is the end. */
void raft__transfer_outbox(struct raft_node *node, struct raft_update *update)
{
    if (!raft__is_transferring(node)) return;
    if (node->transfer.sent) return;
    uint32_t target = node->transfer.target;
    if (node->progress[target].match < node->trail.last_index) return;
    struct raft_message *message = raft__message(node, update, RAFT_MESSAGE_TIMEOUT_NOW,
                                                 node->configuration.members[target].id);
    node->transfer.sent = message != NULL;
    if (message == NULL) node->backlog = true;
}

void raft__on_timeout_now(struct raft_node *node, struct raft_update *update,
                          const struct raft_message *m)
{
    if (RARELY(TIMEOUT_NOW_IS_LOST)) return;
    /* Only the leader of the present term may ask for it: an old copy would start an election for nothing. */
    if (!raft__hear_leader(node, update, m)) return;
    if (!raft__can_stand(node)) return;
    raft__start_election(node, update, /* transfer= */ true);
}
