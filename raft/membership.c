/* Membership: how a group becomes another group (thesis chapter 4, PROTOCOL C1).
 *
 *     C-old --CONFIGURE--> C-new                                   at most one voter differs
 *     C-old --CONFIGURE--> C-old,new --committed--> C-new          anything else
 *
 * Rules
 *  1. A configuration is used as soon as its entry is in the log, and given up when the entry is cut.
 *  2. The leader appends one only when an entry of its own term is committed and the configuration before is
 *     committed too. Without the first half two leaders may each change the group by one voter and end with
 *     majorities that do not meet (Ongaro, 2015).
 *  3. Old and new majorities always share a voter: when at most one voter differs any two do, and a joint
 *     configuration asks for both.
 *  4. A leader outside of the newest configuration leads on, without counting itself, until that is committed;
 *     then it hands over and steps down.
 *  5. Learners get every entry and never count. */
#include "internal.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include <assert.h>

/* ---- configurations as values --------------------------------------------------------------------- */

bool raft__configuration_is_valid(const struct raft_configuration *configuration)
{
    if (configuration->members_count > RAFT_MEMBERS_MAX) return false;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->id.node == 0) return false;
        if (member->voter_old && !configuration->joint) return false;
        if (member->learner_after && (member->voter || !member->voter_old)) return false;
        if (raft__member_find(configuration, member->id) != i) return false;
    }
    return true;
}

static uint32_t half_count(const struct raft_configuration *configuration, bool old_half)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (old_half ? member->voter_old : member->voter) count++;
    }
    return count;
}

/* What a CONFIG entry may hold: a half without voters would never decide anything again. */
bool raft__configuration_is_complete(const struct raft_configuration *configuration)
{
    if (!raft__configuration_is_valid(configuration)) return false;
    if (half_count(configuration, /* old_half= */ false) == 0) return false;
    return !configuration->joint || half_count(configuration, /* old_half= */ true) > 0;
}

static bool target_is_valid(const struct raft_configuration *target)
{
    if (target->joint) return false;
    if (!raft__configuration_is_complete(target)) return false;
    for (uint32_t i = 0; i < target->members_count; i++) {
        for (uint32_t k = 0; k < i; k++) { /* a node holds one replica of a group */
            if (target->members[k].id.node == target->members[i].id.node) return false;
        }
    }
    return true;
}

static bool is_voter_of(const struct raft_configuration *configuration, struct raft_replica_id id)
{
    uint32_t member = raft__member_find(configuration, id);
    return member != RAFT_MEMBERS_MAX && raft__is_voter(&configuration->members[member]);
}

/* Voters of either one that are no voters of the other. */
static uint32_t voters_that_differ(const struct raft_configuration *a,
                                   const struct raft_configuration *b)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < a->members_count; i++) {
        if (a->members[i].voter && !is_voter_of(b, a->members[i].id)) count++;
    }
    for (uint32_t i = 0; i < b->members_count; i++) {
        if (b->members[i].voter && !is_voter_of(a, b->members[i].id)) count++;
    }
    return count;
}

/* Neither is joint; the order of members says nothing. */
static bool same_members(const struct raft_configuration *a, const struct raft_configuration *b)
{
    if (a->members_count != b->members_count) return false;
    for (uint32_t i = 0; i < a->members_count; i++) {
        uint32_t member = raft__member_find(b, a->members[i].id);
        if (member == RAFT_MEMBERS_MAX) return false;
        if (b->members[member].voter != a->members[i].voter) return false;
    }
    return true;
}

/* C-old,new. False when the two have more members than one configuration may. Learners of the old one that are
 * not wanted any more are gone at once; they count for nothing anyway. */
static bool join(const struct raft_configuration *old, const struct raft_configuration *target,
                 struct raft_configuration *ret_joint)
{
    struct raft_configuration joint = {.joint = true};
    for (uint32_t i = 0; i < target->members_count; i++) {
        const struct raft_member *member = &target->members[i];
        bool voter_old = is_voter_of(old, member->id);
        joint.members[joint.members_count++] =
            (struct raft_member){.id = member->id,
                                 .voter = member->voter,
                                 .voter_old = voter_old,
                                 .learner_after = voter_old && !member->voter};
    }
    for (uint32_t i = 0; i < old->members_count; i++) {
        const struct raft_member *member = &old->members[i];
        if (!member->voter) continue;
        if (raft__member_find(target, member->id) != RAFT_MEMBERS_MAX) continue;
        if (joint.members_count == RAFT_MEMBERS_MAX) return false;
        joint.members[joint.members_count++] =
            (struct raft_member){.id = member->id, .voter_old = true};
    }
    *ret_joint = joint;
    return true;
}

/* C-new, from C-old,new alone: the leader that ends a joint phase need not be the one that began it. */
static struct raft_configuration new_half(const struct raft_configuration *joint)
{
    struct raft_configuration half = {.joint = false};
    for (uint32_t i = 0; i < joint->members_count; i++) {
        const struct raft_member *member = &joint->members[i];
        bool only_old = member->voter_old && !member->voter;
        if (only_old && !member->learner_after) continue;
        half.members[half.members_count++] =
            (struct raft_member){.id = member->id, .voter = member->voter};
    }
    return half;
}

/* ---- the configuration in use --------------------------------------------------------------------- */

bool raft__configuration_is_committed(const struct raft_node *node)
{
    return node->configuration_index <= node->commit_index;
}

bool raft__is_own_voter(const struct raft_node *node)
{
    return node->self != RAFT_MEMBERS_MAX &&
           raft__is_voter(&node->configuration.members[node->self]);
}

bool raft__was_own_voter(const struct raft_node *node)
{
    const struct raft_configuration *previous = raft__history_previous(&node->history);
    if (previous == NULL) return false;
    if (raft__configuration_is_committed(node)) return false;
    return is_voter_of(previous, node->options.id);
}

/* What a leader knows of those who stay goes with them to their new positions. */
static void move_progress(struct raft_node *node, const struct raft_configuration *old)
{
    struct raft_progress before[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        before[i] = node->progress[i];
    }
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        uint32_t from = RAFT_MEMBERS_MAX;
        if (i < node->configuration.members_count) {
            from = raft__member_find(old, node->configuration.members[i].id);
        }
        if (from != RAFT_MEMBERS_MAX) {
            node->progress[i] = before[from];
            continue;
        }
        raft__progress_reset(&node->progress[i], node->trail.last_index, node->now_ms);
        node->progress[i].heartbeat_wanted = true;
    }
}

static void move_transfer(struct raft_node *node, const struct raft_configuration *old)
{
    if (!raft__is_transferring(node)) return;
    uint32_t target =
        raft__member_find(&node->configuration, old->members[node->transfer.target].id);
    if (target == RAFT_MEMBERS_MAX || !node->configuration.members[target].voter) {
        raft__transfer_clear(node);
    } else {
        node->transfer.target = target;
    }
}

static void use_newest(struct raft_node *node)
{
    const struct raft_indexed_configuration *newest = raft__history_newest(&node->history);
    node->configuration = newest->configuration;
    node->configuration_index = newest->index;
    node->self = raft__member_find(&node->configuration, node->options.id);
}

void raft__configuration_load(struct raft_node *node)
{
    use_newest(node);
}

void raft__configuration_changed(struct raft_node *node, struct raft_update *update, bool back)
{
    assert(node->role == RAFT_FOLLOWER || node->role == RAFT_LEADER);
    struct raft_configuration old = node->configuration;
    use_newest(node);
    raft__trace(update, (struct raft_trace){.type = RAFT_TRACE_CONFIGURATION,
                                            .index = node->configuration_index,
                                            .b = back,
                                            .configuration = &node->configuration});
    move_progress(node, &old);
    if (node->role != RAFT_LEADER) return;
    move_transfer(node, &old);
    raft__reads_members_changed(node, update);
    /* A new voter was never heard, which says nothing about it yet. */
    node->quorum_since_ms = node->now_ms;
    raft__commit_advance(node, update);
}

void raft__configurations_received(struct raft_node *node, struct raft_update *update,
                                   const struct raft_message *m, raft_index first, raft_index last)
{
    bool changed = false;
    for (uint32_t i = 0; i < m->append.configurations_count; i++) {
        const struct raft_indexed_configuration *received = &m->append.configurations[i];
        if (received->index < first || received->index > last) continue;
        raft__history_push(&node->history, received);
        changed = true;
    }
    if (changed) raft__configuration_changed(node, update, /* back= */ false);
}

/* ---- changes by the leader ------------------------------------------------------------------------ */

static void append_configuration(struct raft_node *node, struct raft_update *update,
                                 const struct raft_configuration *configuration)
{
    assert(raft__own_term_committed(node));
    assert(raft__configuration_is_committed(node) || PLANTED(C1_TWO_CHANGES_AT_ONCE));
    raft__leader_append(node, update, RAFT_APPEND_CONFIGURATION, 1);
    update->append.configuration = *configuration;
    struct raft_indexed_configuration newest = {.index = node->trail.last_index,
                                                .configuration = *configuration};
    raft__history_push(&node->history, &newest);
    raft__configuration_changed(node, update, /* back= */ false);
}

enum raft_status raft__configure(struct raft_node *node, struct raft_update *update,
                                 const struct raft_configuration *target, bool always_joint)
{
    if (node->role != RAFT_LEADER) return RAFT_NOT_LEADER;
    if (raft__is_transferring(node)) return RAFT_TRANSFERRING;
    if (!target_is_valid(target)) return RAFT_BAD_CONFIGURATION;
    if (!raft__own_term_committed(node) && !PLANTED(B7_CHANGES_BEFORE_NOOP)) return RAFT_NOT_READY;
    bool is_settled = raft__configuration_is_committed(node) || PLANTED(C1_TWO_CHANGES_AT_ONCE);
    if (node->configuration.joint || !is_settled) {
        return RAFT_CHANGE_IN_PROGRESS;
    }
    if (same_members(&node->configuration, target)) return RAFT_OK;
    struct raft_configuration next = *target;
    uint32_t free = PLANTED(C1_TWO_VOTERS_WITHOUT_JOINT) ? RAFT_MEMBERS_MAX : 1;
    if (always_joint || voters_that_differ(&node->configuration, target) > free) {
        if (!join(&node->configuration, target, &next)) return RAFT_BAD_CONFIGURATION;
    }
    append_configuration(node, update, &next);
    return RAFT_OK;
}

bool raft__must_leave(const struct raft_node *node)
{
    assert(node->role == RAFT_LEADER);
    if (raft__disk_is_stalled(node)) return true;
    return !raft__is_own_voter(node) && raft__configuration_is_committed(node);
}

/* Hand over if anybody is there to take it, else step down. */
static void leave(struct raft_node *node, struct raft_update *update)
{
    assert(raft__must_leave(node));
    if (raft__transfer_start(node, update, /* to= */ 0) == RAFT_OK) return;
    raft__step_down(node, update,
                    raft__disk_is_stalled(node) ? RAFT_STEP_DOWN_DISK_STALLED
                                                : RAFT_STEP_DOWN_REMOVED);
}

void raft__membership_advance(struct raft_node *node, struct raft_update *update)
{
    assert(node->role == RAFT_LEADER);
    if (raft__is_transferring(node)) return; /* one thing at a time: the successor ends the phase */
    if (raft__must_leave(node)) {
        leave(node, update);
        return;
    }
    if (!node->configuration.joint || RARELY(JOINT_PHASE_LASTS)) return;
    if (!raft__configuration_is_committed(node)) return;
    if (!raft__own_term_committed(node)) return;
    if (update->append.source != RAFT_APPEND_NONE) { /* an update names one append */
        node->backlog = true;
        return;
    }
    struct raft_configuration next = new_half(&node->configuration);
    append_configuration(node, update, &next);
}
