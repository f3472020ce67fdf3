/* The driver of changes: on the leader of a group, it makes the group what is wished (PROTOCOL C1, M3, M5, M9).
 *
 * It keeps no plan. Each look compares two states, the wish W of the applied meta state and the configuration C of the group,
 * and does the first of these that is due:
 *
 *   1 a change in progress, or nothing of this term committed yet ──> wait
 *   2 (n, old epoch) in C, (n, new epoch) in W                    ──> C without the old one, with the new one as learner
 *   3 members of W that C lacks                                   ──> C and these as learners
 *   4 all that W wants as voters are members and caught up        ──> W
 *   5 C is W, committed, and meta has not recorded it             ──> report it (changes.c)
 *
 * So it goes on after any change of leader, in the middle of anything.
 *
 * Invariants
 *   1 A configuration that it asks for holds no node twice.
 *   2 It never acts on a wish that is older than the one an earlier leader of the group acted on: it waits for a read index of
 *     meta that was asked for after its election. Else it would lead the group back, and a replica that meta let go might
 *     become a voter again. The leader of meta itself needs none, its own term is in its log.
 *   3 It does not enter a configuration of which no majority is there.
 *   4 It reports what is to be recorded only when a read index of the group, asked for with that wish applied, has shown that
 *     it leads still. A leader that was replaced may hold the very configuration that is wished again, while the group has
 *     gone on to another one: its report would let members of that one go (M4). Who is elected later acts on no older wish,
 *     by invariant 2. */
#include "reconfigure.h"

#include "barrier.h"
#include "changes.h"
#include "group.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "perform.h"
#include "placement.h"
#include "request.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY_US 100000u
#define LINGER_US \
    2000000u /* a node that leaves hears of its last record before it leaves group 0 */

/* ---- configurations -------------------------------------------------------------------------------------------------------- */

static const struct raft_member *find_node(const struct raft_configuration *configuration,
                                           uint64_t node_id)
{
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (configuration->members[i].id.node == node_id) return &configuration->members[i];
    }
    return NULL;
}

static const struct raft_member *find_replica(const struct raft_configuration *configuration,
                                              struct raft_replica_id id)
{
    const struct raft_member *member = find_node(configuration, id.node);
    return member && member->id.epoch == id.epoch ? member : NULL;
}

static void add_member(struct raft_configuration *configuration, struct raft_replica_id id,
                       bool voter)
{
    if (configuration->members_count == RAFT_MEMBERS_MAX) return;
    configuration->members[configuration->members_count++] =
        (struct raft_member){.id = id, .voter = voter};
}

static bool is_same(const struct raft_configuration *a, const struct raft_configuration *b)
{
    if (a->members_count != b->members_count || a->joint || b->joint) return false;
    for (uint32_t i = 0; i < a->members_count; i++) {
        const struct raft_member *member = find_replica(b, a->members[i].id);
        if (!member || member->voter != a->members[i].voter) return false;
    }
    return true;
}

/* ---- the wish --------------------------------------------------------------------------------------------------------------- */

static bool wish_of_partition(struct group *group, struct reconfigure_wish *wish)
{
    struct meta_partition partition;
    if (!meta_group_find(&group->node->meta, group->id, NULL, &partition, NULL)) return false;
    for (uint32_t i = 0; i < partition.replicas_count; i++) {
        add_member(&wish->target,
                   (struct raft_replica_id){.node = partition.replicas[i].node_id,
                                            .epoch = partition.replicas[i].epoch},
                   /* voter= */ true);
    }
    wish->index = partition.wish_index;
    wish->is_recorded = partition.settled;
    return true;
}

static bool has_joined(const struct node *node, uint64_t node_id)
{
    struct meta_node known;
    return !meta_node_get(&node->meta, node_id, &known) || known.incarnation != 0;
}

/* What a node that leaves is in group 0 until it is gone: a voter while its successor is awaited, then a learner that drops
 * its replicas as the records come. False: nothing any more. */
static bool stays(struct group *group, const struct meta_node *leaving,
                  const struct raft_member *member, bool *ret_voter)
{
    struct node *node = group->node;
    if (!member) return false;
    *ret_voter =
        member->voter && leaving->replaced_by != 0 && !has_joined(node, leaving->replaced_by);
    if (*ret_voter || meta_node_is_held(&node->meta, leaving->node_id)) return true;
    return placement__is_reached(node, leaving->node_id) &&
           io_now_us(node->io) - node->members_changed_us < LINGER_US;
}

/* Every node that has joined is a member, by the epoch that it has if that is of its incarnation. A new one gets that of the
 * CONFIG entry that brings it, which is the next (M3). */
static bool wish_of_meta(struct group *group, const struct raft_view *view,
                         struct reconfigure_wish *wish)
{
    struct node *node = group->node;
    const struct raft_configuration *now = raft_configuration_of(group->raft);
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t count = meta_nodes(&node->meta, nodes, META_NODES_MAX);
    wish->is_recorded = true;
    for (uint32_t i = 0; i < now->members_count; i++) { /* founders that did not register yet */
        struct meta_node known;
        const struct raft_member *member = &now->members[i];
        if (meta_node_get(&node->meta, member->id.node, &known)) continue;
        add_member(&wish->target, member->id, member->voter || member->voter_old);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct raft_member *member = find_node(now, nodes[i].node_id);
        bool voter = nodes[i].voter;
        if (nodes[i].incarnation == 0) continue;
        if (member && member->id.epoch < meta_node_epoch_min(&nodes[i]) &&
            !PLANTED(M5_DEAD_META_REPLICA_STAYS)) {
            member = NULL;
        }
        if (nodes[i].leaving) {
            wish->is_recorded = false;
            if (!stays(group, &nodes[i], member, &voter)) continue;
        }
        const struct raft_replica_id next = {.node = nodes[i].node_id,
                                             .epoch = view->last_index + 1u};
        add_member(&wish->target, member ? member->id : next, voter);
    }
    return true;
}

static bool has_voter(const struct raft_configuration *configuration)
{
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (configuration->members[i].voter) return true;
    }
    return false;
}

static bool wish_of(struct group *group, const struct raft_view *view,
                    struct reconfigure_wish *wish)
{
    *wish = (struct reconfigure_wish){.is_recorded = false};
    const bool is_known =
        group->is_meta ? wish_of_meta(group, view, wish) : wish_of_partition(group, wish);
    return is_known && has_voter(&wish->target);
}

/* ---- words ------------------------------------------------------------------------------------------------------------------- */

struct missing {
    uint32_t voters, reached;
    char names[96];
};

static void miss(struct missing *missing, uint64_t node_id)
{
    const size_t used = strlen(missing->names);
    snprintf(missing->names + used, sizeof(missing->names) - used, "%sn%" PRIu64, used ? ", " : "",
             node_id);
}

static struct missing look_for(struct node *node, const struct raft_configuration *configuration,
                               bool old_half)
{
    struct missing missing = {0};
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (!(old_half ? member->voter_old : member->voter)) continue;
        missing.voters++;
        if (placement__is_reached(node, member->id.node)) {
            missing.reached++;
        } else {
            miss(&missing, member->id.node);
        }
    }
    return missing;
}

/* False: and plan->blocked says who is missing. */
static bool has_majority(struct node *node, const struct raft_configuration *configuration,
                         bool old_half, struct reconfigure_plan *plan)
{
    const struct missing missing = look_for(node, configuration, old_half);
    if (missing.voters == 0 || missing.reached * 2u > missing.voters) return true;
    snprintf(plan->blocked, sizeof(plan->blocked),
             "%u of %u voters of the %s members are reached, a majority is %u; start %s",
             missing.reached, missing.voters, old_half ? "old" : "new", missing.voters / 2u + 1u,
             missing.names);
    return false;
}

/* ---- the steps --------------------------------------------------------------------------------------------------------------- */

static void in_progress(struct group *group, struct reconfigure_plan *plan)
{
    const struct raft_configuration *now = raft_configuration_of(group->raft);
    plan->state = now->joint ? NODE_CHANGE_SWITCHING : NODE_CHANGE_ADDING;
    if (has_majority(group->node, now, /* old_half= */ false, plan)) {
        (void)has_majority(group->node, now, /* old_half= */ true, plan);
    }
}

static void ask_for(struct node *node, struct reconfigure_plan *plan)
{
    plan->acts =
        has_voter(&plan->target) && has_majority(node, &plan->target, /* old_half= */ false, plan);
}

/* One at a time, so that the step is never joint: a joint configuration would hold the node twice. */
static bool renew(struct group *group, const struct reconfigure_wish *wish,
                  struct reconfigure_plan *plan)
{
    const struct raft_configuration *now = raft_configuration_of(group->raft);
    for (uint32_t i = 0; i < now->members_count; i++) {
        const struct raft_member *old = &now->members[i];
        const struct raft_member *new = find_node(&wish->target, old->id.node);
        if (!new || new->id.epoch == old->id.epoch) continue;
        plan->state = NODE_CHANGE_ADDING;
        plan->target = *now;
        plan->target.members[i] = (struct raft_member){.id = new->id, .voter = false};
        if (has_voter(&plan->target)) {
            ask_for(group->node, plan);
        } else {
            snprintf(plan->blocked, sizeof(plan->blocked),
                     "its only voter was on a data directory of n%" PRIu64 " that is gone",
                     old->id.node);
        }
        return true;
    }
    return false;
}

static bool add_learners(struct group *group, const struct reconfigure_wish *wish,
                         struct reconfigure_plan *plan)
{
    const struct raft_configuration *now = raft_configuration_of(group->raft);
    struct missing absent = {0};
    uint32_t added = 0;
    plan->target = (struct raft_configuration){.joint = false};
    for (uint32_t i = 0; i < now->members_count; i++) {
        const struct raft_member *member = &now->members[i];
        if (!member->voter && !find_replica(&wish->target, member->id)) continue;
        add_member(&plan->target, member->id, member->voter);
    }
    for (uint32_t i = 0; i < wish->target.members_count; i++) {
        const struct raft_member *member = &wish->target.members[i];
        if (find_replica(now, member->id)) continue;
        if (has_joined(group->node, member->id.node)) {
            add_member(&plan->target, member->id, /* voter= */ false);
            added++;
        } else {
            miss(&absent, member->id.node);
        }
    }
    if (added > 0) {
        plan->state = NODE_CHANGE_ADDING;
        ask_for(group->node, plan);
        return true;
    }
    if (!absent.names[0]) return false;
    plan->state = NODE_CHANGE_WAITING;
    snprintf(plan->blocked, sizeof(plan->blocked), "%s did not join the cluster yet; start it",
             absent.names);
    return true;
}

static bool is_caught_up(const struct raft_view *view, struct raft_replica_id id)
{
    if (PLANTED(C1_PROMOTED_WHEN_BEHIND)) return true;
    if (RARELY(LEARNER_IS_BEHIND)) return false;
    for (uint32_t i = 0; i < view->members_count; i++) {
        const struct raft_progress_view *member = &view->members[i];
        if (member->id.node == id.node && member->id.epoch == id.epoch) return member->caught_up;
    }
    return false;
}

static void switch_over(struct group *group, const struct raft_view *view,
                        const struct reconfigure_wish *wish, struct reconfigure_plan *plan)
{
    const struct raft_configuration *now = raft_configuration_of(group->raft);
    struct missing silent = {0};
    bool is_copying = false;
    for (uint32_t i = 0; i < wish->target.members_count; i++) {
        const struct raft_member *member = &wish->target.members[i];
        const struct raft_member *here = find_replica(now, member->id);
        assert(here); /* add_learners() */
        if (!member->voter || here->voter || is_caught_up(view, member->id)) continue;
        is_copying = true;
        if (!placement__is_reached(group->node, member->id.node)) miss(&silent, member->id.node);
    }
    if (is_copying) {
        plan->state = NODE_CHANGE_COPYING;
        if (silent.names[0]) {
            snprintf(plan->blocked, sizeof(plan->blocked),
                     "%s is not reached and cannot get the log; start it", silent.names);
        }
        return;
    }
    plan->state = NODE_CHANGE_SWITCHING;
    plan->target = wish->target;
    ask_for(group->node, plan);
}

static void judge(struct group *group, const struct raft_view *view,
                  const struct reconfigure_wish *wish, struct reconfigure_plan *plan)
{
    const struct raft_configuration *now = raft_configuration_of(group->raft);
    *plan = (struct reconfigure_plan){.state = NODE_CHANGE_WAITING};
    if (!view->own_term_committed || view->transferring) {
        snprintf(plan->blocked, sizeof(plan->blocked), "%s",
                 view->transferring ? "leadership is being handed over"
                                    : "a new leader has not committed anything yet");
    } else if (view->change_in_progress) {
        in_progress(group, plan);
    } else if (is_same(now, &wish->target)) {
        plan->state = NODE_CHANGE_RECORDING;
        plan->is_reached = true;
    } else if (!renew(group, wish, plan) && !add_learners(group, wish, plan)) {
        switch_over(group, view, wish, plan);
    }
}

/* ---- acting ------------------------------------------------------------------------------------------------------------------- */

static void configure(struct group *group, const struct reconfigure_plan *plan)
{
    struct raft_event event = {.type = RAFT_EVENT_CONFIGURE};
    event.configure.target = &plan->target;
    const enum raft_status status = group__step(group, &event);
    if (group->node->state == NODE_FAILED) return;
    node__log(group->node, status == RAFT_OK ? "info" : "warn",
              "event=\"changing members\" group=%" PRIu64 " step=%s members=%u result=\"%s\"",
              group->id, node_change_state_text(plan->state), plan->target.members_count,
              raft_status_text(status));
}

static struct node_request *internal_request(struct node *node,
                                             void (*done)(struct node_request *request))
{
    struct node_request *request = calloc(1, sizeof(*request));
    if (!request) abort();
    request->type = NODE_REQUEST_CHANGES;
    request->done = done;
    request->data = node;
    struct request_state *state = request_state(request);
    state->node = node;
    state->internal = true;
    state->owned = true;
    state->deadline_us = io_now_us(node->io) + (uint64_t)NODE_REQUEST_TIMEOUT_MS * 1000u;
    list_push_back(&node->requests, &state->all);
    return request;
}

/* ---- is it still the leader? (invariant 4) -------------------------------------------------------------------------------------- */

static void confirmed(struct node_request *request)
{
    struct node *node = request->data;
    struct group *group = node__group(node, request_state(request)->group_id);
    if (group && group->is_confirming) {
        group->is_confirming = false;
        if (request->status == NODE_OK) {
            group->confirmed_wish = group->confirming_wish;
            group->confirmed_term = group->confirming_term;
            group->looked_us = 0;
        }
    }
    free(request);
}

/* The leader of meta reads the record of group 0 from its own log, which only a leader adds to. */
static bool leads_for_certain(struct group *group, const struct reconfigure_wish *wish)
{
    if (group->is_meta || PLANTED(M4_REPORTS_UNCONFIRMED)) return true;
    if (group->confirmed_wish == wish->index && group->confirmed_term == group->term) return true;
    if (group->is_confirming) return false;
    group->is_confirming = true;
    group->confirming_wish = wish->index;
    group->confirming_term = group->term;
    struct node_request *request = internal_request(group->node, confirmed);
    request_state(request)->group_id = group->id;
    barrier__start(request, group);
    return false;
}

static void drive(struct group *group)
{
    struct raft_view view;
    struct reconfigure_wish wish;
    struct reconfigure_plan plan;
    raft_view(group->raft, io_now_ms(group->node->io), &view);
    if (view.role != RAFT_LEADER || !wish_of(group, &view, &wish)) return;
    judge(group, &view, &wish, &plan);
    if (plan.is_reached && wish.is_recorded) {
        group->settled_version = group->node->members_version;
        return;
    }
    if (plan.is_reached && !leads_for_certain(group, &wish)) return;
    changes__report(group, &view, &wish, &plan);
    if (plan.acts && !RARELY(CHANGE_WAITS)) configure(group, &plan);
}

bool reconfigure__look(struct group *group, struct raft_view *view, struct reconfigure_wish *wish,
                       struct reconfigure_plan *plan)
{
    raft_view(group->raft, io_now_ms(group->node->io), view);
    if (view->role != RAFT_LEADER || !wish_of(group, view, wish)) return false;
    judge(group, view, wish, plan);
    return true;
}

/* ---- the barrier on meta (invariant 2) ------------------------------------------------------------------------------------------ */

static void barrier_ended(struct node_request *request)
{
    struct node *node = request->data;
    node->wish_barrier_running = false;
    if (request->status == NODE_OK) node->wish_barrier_passed = node->wish_barrier_started;
    free(request);
}

static void start_barrier(struct node *node)
{
    struct node_request *request = internal_request(node, barrier_ended);
    node->wish_barrier_started++;
    node->wish_barrier_running = true;
    barrier__start(request, node->meta_group);
}

void reconfigure__elected(struct group *group)
{
    group->wish_barrier = group->node->wish_barrier_started + 1u;
    group->looked_us = 0;
    group->settled_version = 0;
}

/* ---- every now and then --------------------------------------------------------------------------------------------------------- */

void reconfigure__run(struct node *node)
{
    if (node->state != NODE_RUNNING || !node->meta_group) return;
    const uint64_t now_us = io_now_us(node->io);
    bool wants_barrier = false;
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        if (group->role != RAFT_LEADER || !group->own_noop_applied) continue;
        if (group->settled_version == node->members_version) continue;
        if (now_us - group->looked_us < LOOK_EVERY_US) continue;
        if (!group->is_meta && group->wish_barrier > node->wish_barrier_passed &&
            !PLANTED(M4_FOLLOWS_AN_OLD_WISH)) {
            wants_barrier = true;
            continue;
        }
        group->looked_us = now_us;
        drive(group);
        if (node->state == NODE_FAILED) return;
    }
    if (wants_barrier && !node->wish_barrier_running) start_barrier(node);
}
