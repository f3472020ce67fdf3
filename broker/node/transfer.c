/* Leadership handed over because somebody asked for it (thesis §3.10): of one group, or of all that a node leads.
 *
 *   asked of the leader ── who may lead is chosen ──> told to the core ── another leader, and its own entry applied ──> OK
 *          │                                                 └── the core gave up, another one leads ──> refused: why
 *          └── no voter, behind, not reached, a transfer runs ──> refused: why
 *
 * Produces that come meanwhile are parked by the leader and find the next one; nothing is answered for it here. */
#include "transfer.h"

#include "barrier.h"
#include "group.h"
#include "internal.h"
#include "list.h"
#include "perform.h"
#include "proxy.h"
#include "request.h"
#include "turn.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WHY_BYTES 192u

enum judgement {
    TRANSFER_GOES,
    TRANSFER_NOT_YET, /* may change by itself within a moment */
    TRANSFER_NEVER,
};

/* ---- who may lead ------------------------------------------------------------------------------------------------------- */

static bool member_may_lead(struct node *node, const struct raft_view *view,
                            const struct raft_progress_view *member, char *why)
{
    const uint64_t id = member->id.node;
    if (!peer_is_up(node->hub, id, PEER_CONTROL) || !node__peer_is_usable(node, id)) {
        snprintf(why, WHY_BYTES, "n%" PRIu64 " is not connected to its leader n%" PRIu64, id,
                 node->identity.node_id);
        return false;
    }
    const uint64_t silent_ms = io_now_ms(node->io) - member->heard_at_ms;
    if (member->heard_at_ms == 0 || silent_ms >= node->options.election_timeout_ms_max) {
        snprintf(why, WHY_BYTES, "n%" PRIu64 " does not answer its leader n%" PRIu64, id,
                 node->identity.node_id);
        return false;
    }
    if (!member->caught_up) {
        snprintf(why, WHY_BYTES, "n%" PRIu64 " has not caught up, it is %" PRIu64 " entries behind",
                 id, view->last_index - member->match);
        return false;
    }
    return true;
}

/* Founders are members before meta has written them down. */
static bool is_known(const struct node *node, uint64_t node_id)
{
    struct meta_node known;
    if (meta_node_get(&node->meta, node_id, &known)) return true;
    const struct raft_configuration *configuration = raft_configuration_of(node->meta_group->raft);
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (configuration->members[i].id.node == node_id) return true;
    }
    return false;
}

static enum judgement judge_one(struct node *node, const struct raft_view *view, uint64_t to,
                                char *why)
{
    const struct raft_progress_view *found = NULL;
    for (uint32_t i = 0; i < view->members_count; i++) {
        if (view->members[i].id.node == to) found = &view->members[i];
    }
    if (!found &&
        !is_known(node, to)) { /* said of this node: another one may have heard more of meta */
        snprintf(why, WHY_BYTES,
                 "n%" PRIu64 " is no member that n%" PRIu64
                 " knows of, see `raftmq cluster status`",
                 to, node->identity.node_id);
        return TRANSFER_NEVER;
    }
    if (!found) {
        snprintf(why, WHY_BYTES, "n%" PRIu64 " has no replica of it", to);
        return TRANSFER_NEVER;
    }
    if (!found->voter) {
        snprintf(why, WHY_BYTES,
                 "n%" PRIu64 " is a learner there, without a vote; it may lead once it is promoted",
                 to);
        return TRANSFER_NEVER;
    }
    return member_may_lead(node, view, found, why) ? TRANSFER_GOES : TRANSFER_NOT_YET;
}

static enum judgement judge_best(struct node *node, const struct raft_view *view,
                                 uint64_t *ret_target, char *why)
{
    const struct raft_progress_view *best = NULL;
    uint32_t others = 0;
    for (uint32_t i = 0; i < view->members_count; i++) {
        const struct raft_progress_view *member = &view->members[i];
        if (!member->voter || member->id.node == node->identity.node_id) continue;
        others++;
        if (!member_may_lead(node, view, member, why)) continue;
        if (!best || member->match > best->match) best = member;
    }
    if (others == 0) {
        snprintf(why, WHY_BYTES, "it has no other voter than n%" PRIu64, node->identity.node_id);
        return TRANSFER_NEVER;
    }
    if (!best) return TRANSFER_NOT_YET;
    *ret_target = best->id.node;
    return TRANSFER_GOES;
}

/* Whom those that wait longer than this one want to lead; 0: nobody in particular. */
static uint64_t wished_before(const struct group *group)
{
    for (const struct list_link *link = group->parked.next; link != &group->parked;
         link = link->next) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        const struct node_request *request = request_of_state(state);
        const bool waits = request->type == NODE_REQUEST_TRANSFER && state->asked_us != 0;
        if (waits && request->transfer.to != 0) return request->transfer.to;
    }
    return 0;
}

/* Two operators who pull in different directions are told so; who wants what happens anyway waits for it. */
static enum judgement judge(struct group *group, uint64_t to, uint64_t *ret_target, char *why)
{
    struct raft_view view;
    raft_view(group->raft, io_now_ms(group->node->io), &view);
    if (view.transferring) {
        *ret_target = view.transfer_target;
        if (to == 0 || to == view.transfer_target) return TRANSFER_GOES;
        snprintf(why, WHY_BYTES, "a transfer to n%" PRIu64 " is running", view.transfer_target);
        return TRANSFER_NEVER;
    }
    const uint64_t before = wished_before(group);
    if (before != 0 && to != 0 && to != before) {
        snprintf(why, WHY_BYTES, "a transfer to n%" PRIu64 " was asked for before", before);
        return TRANSFER_NEVER;
    }
    if (to == 0) to = before;
    *ret_target = to;
    if (to == 0) return judge_best(group->node, &view, ret_target, why);
    return judge_one(group->node, &view, to, why);
}

static bool tell_core(struct group *group, uint64_t target)
{
    struct raft_event event = {.type = RAFT_EVENT_TRANSFER, .node = target};
    return group__step(group, &event) == RAFT_OK;
}

/* A leader that was elected a moment ago has not heard of everybody yet. */
static bool may_wait(const struct request_state *state)
{
    const struct node *node = state->node;
    const uint64_t waited_us = io_now_us(node->io) - state->asked_us;
    return waited_us < 2u * node->options.election_timeout_ms_max * 1000u;
}

/* ---- of one group --------------------------------------------------------------------------------------------------------- */

void transfer__start(struct node_request *request, struct group *group)
{
    struct request_state *state = request_state(request);
    struct node *node = group->node;
    const uint64_t self = node->identity.node_id;
    if (transfer__is_answered_by(request, self)) return;
    request->ret_leader = self;
    request->ret_term = group->term;
    if (request->transfer.to == self) {
        if (barrier__is_passed(request, group)) request__finish(request, NODE_OK, NULL);
        return;
    }
    if (state->asked_us == 0) state->asked_us = io_now_us(node->io);
    uint64_t target = 0;
    char why[WHY_BYTES] = "";
    const enum judgement judgement = judge(group, request->transfer.to, &target, why);
    if (judgement == TRANSFER_NEVER || (judgement == TRANSFER_NOT_YET && !may_wait(state))) {
        request__finish(request, NODE_NOT_TRANSFERRED, "%s", why);
        return;
    }
    if (judgement == TRANSFER_NOT_YET || !tell_core(group, target)) {
        request__park(request, group);
        return;
    }
    state->term = group->term;
    state->transfer_target = target;
    request__move(request, STAGE_TRANSFER, &node->transfers);
    node__post(node);
}

static void finish_by(struct node_request *request, uint64_t leader, uint64_t term)
{
    const uint64_t to = request->transfer.to;
    request->ret_leader = leader;
    request->ret_term = term;
    if (to == 0 || leader == to) {
        request__finish(request, NODE_OK, NULL);
    } else {
        request__finish(request, NODE_NOT_TRANSFERRED,
                        "n%" PRIu64 " leads now; n%" PRIu64 " did not take over", leader, to);
    }
}

static void check_one(struct node_request *request)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    const uint64_t self = node->identity.node_id;
    struct group *group = node__group(node, state->group_id);
    if (!group || group->dropping) { /* deleted, or moved elsewhere: whoever leads now is asked */
        transfer__answer_lost(request, self);
        return;
    }
    if (group->term == state->term && group->role == RAFT_LEADER) {
        struct raft_view view;
        raft_view(group->raft, io_now_ms(node->io), &view);
        if (view.transferring) return;
        request__finish(request, NODE_NOT_TRANSFERRED,
                        "n%" PRIu64 " did not take over within %" PRIu64 " ms; n%" PRIu64
                        " goes on leading",
                        state->transfer_target, node->options.election_timeout_ms_max, self);
        return;
    }
    /* The first entry of a new leader is applied: it is no pretender, and takes requests. */
    if (group->leader == 0 || group->term <= state->term) return;
    if (raft_term_at(group->raft, group->applied_index) != group->term) return;
    if (group->leader == self) {
        request__finish(request, NODE_NOT_TRANSFERRED,
                        "n%" PRIu64 " did not win the vote, n%" PRIu64 " leads again",
                        state->transfer_target, self);
        return;
    }
    finish_by(request, group->leader, group->term);
}

/* ---- of all groups that this node leads ---------------------------------------------------------------------------------------- */

static bool is_led(const struct group *group)
{
    return group->role == RAFT_LEADER && !group->dropping;
}

void transfer__start_from(struct node_request *request)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    const uint64_t from = request->transfer.from;
    if (state->asked_us == 0) state->asked_us = io_now_us(node->io);
    if (from == node->identity.node_id) {
        state->index = 0; /* groups that it led */
        for (struct list_link *link = node->groups.next; link != &node->groups; link = link->next) {
            if (is_led(list_entry(link, struct group, link))) state->index++;
        }
        request__move(request, STAGE_TRANSFER, &node->transfers);
        node__post(node);
    } else if (request->from_peer) {
        request__finish(request, NODE_INVALID_ARGUMENT, "n%" PRIu64 " is another node", from);
    } else if (!proxy__send(request, from)) {
        if (may_wait(state)) {
            request__park(request, NULL);
        } else if (!is_known(node, from)) {
            /* Believed only after a ReadIndex on meta: the node may have been admitted just now (as M8 for topics). */
            if (state->meta_checked) {
                request__finish(request, NODE_UNKNOWN_NODE, NULL);
            } else {
                barrier__start(request, node->meta_group);
            }
        } else {
            request__finish(request, NODE_NOT_TRANSFERRED,
                            "n%" PRIu64 " is not connected to n%" PRIu64
                            "; a node that is down leads nothing",
                            from, node->identity.node_id);
        }
    }
}

static void group_name(const struct group *group, char *buffer, size_t bytes)
{
    char topic[META_TOPIC_NAME_BYTES_MAX + 1] = "";
    struct meta_partition partition;
    struct meta_settings settings;
    if (!group->is_meta &&
        meta_group_find(&group->node->meta, group->id, topic, &partition, &settings)) {
        snprintf(buffer, bytes, "%s/%u", topic, partition.number);
    } else {
        snprintf(buffer, bytes, "%s", group->is_meta ? "meta" : "a deleted topic");
    }
}

struct leftover {
    uint64_t stays; /* led, and nobody may take it over now */
    uint64_t runs;  /* led, and it may be taken over */
    bool hopeless;  /* of one of those that stay this will not change by waiting */
    char why[sizeof(((struct node_request *)0)->detail)];
};

static bool is_handed_over(const struct group *group)
{
    struct raft_view view;
    raft_view(group->raft, io_now_ms(group->node->io), &view);
    return view.transferring;
}

/* Each attempt keeps produces waiting, so one that fails is not repeated for long. */
static void move_group(struct node_request *request, struct group *group, struct leftover *left)
{
    uint64_t target = 0;
    char why[WHY_BYTES] = "";
    enum judgement judgement = judge(group, request->transfer.to, &target, why);
    if (judgement == TRANSFER_GOES && (may_wait(request_state(request)) || is_handed_over(group))) {
        left->runs++;
        (void)tell_core(group, target); /* given up: it is tried again for a moment */
        return;
    }
    if (judgement == TRANSFER_GOES) {
        snprintf(why, sizeof(why), "n%" PRIu64 " did not take over", target);
        judgement = TRANSFER_NOT_YET;
    }
    left->stays++;
    if (judgement == TRANSFER_NEVER) left->hopeless = true;
    if (left->why[0] && judgement == TRANSFER_NOT_YET) return;
    char name[META_TOPIC_NAME_BYTES_MAX + 16];
    group_name(group, name, sizeof(name));
    snprintf(left->why, sizeof(left->why), "%.150s: %.100s", name, why);
}

static void finish_from(struct node_request *request, const struct leftover *left)
{
    const struct request_state *state = request_state(request);
    const uint64_t led = left->stays + left->runs;
    request->ret_leader = 0;
    request->ret_count = (uint32_t)(state->index > led ? state->index - led : 0);
    if (led == 0) {
        request__finish(request, NODE_OK, NULL);
    } else {
        request__finish(request, NODE_NOT_TRANSFERRED,
                        "%u groups were handed over, %" PRIu64 " stay with n%" PRIu64 " (%.180s)",
                        request->ret_count, led, request->transfer.from,
                        left->why[0] ? left->why : "the others did not take over in time");
    }
}

static void check_from(struct node_request *request)
{
    const struct request_state *state = request_state(request);
    struct node *node = state->node;
    struct leftover left = {0};
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        if (is_led(group)) move_group(request, group, &left);
        if (node->state == NODE_FAILED) return;
    }
    if (left.runs > 0) return;
    if (left.stays == 0 || left.hopeless || !may_wait(state)) finish_from(request, &left);
}

void transfer__timed_out(struct node_request *request)
{
    const struct request_state *state = request_state(request);
    if (request->transfer.from == 0) {
        request__finish(request, NODE_TIMEOUT,
                        "n%" PRIu64 " was told to lead, and no leader is known yet",
                        state->transfer_target);
        return;
    }
    struct leftover left = {0};
    const struct node *node = state->node;
    for (struct list_link *link = node->groups.next; link != &node->groups; link = link->next) {
        if (is_led(list_entry(link, struct group, link))) left.runs++;
    }
    finish_from(request, &left);
}

/* ---- asked of another node -------------------------------------------------------------------------------------------------------- */

void transfer__answer_lost(struct node_request *request, uint64_t node_id)
{
    if (request->transfer.from != 0) {
        request__finish(request, NODE_TIMEOUT, "n%" PRIu64 " was lost before it answered", node_id);
        return;
    }
    request_state(request)->transfer_lost_by = node_id;
    request__park(request, NULL);
}

bool transfer__is_answered_by(struct node_request *request, uint64_t leader)
{
    const struct request_state *state = request_state(request);
    if (state->transfer_lost_by == 0 || leader == 0 || leader == state->transfer_lost_by) {
        return false;
    }
    finish_by(request, leader, request->ret_term);
    return true;
}

void transfer__check(struct node *node)
{
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->transfers) {
        struct node_request *request =
            request_of_state(list_entry(link, struct request_state, stage_link));
        if (request->transfer.from != 0) {
            check_from(request);
        } else {
            check_one(request);
        }
        if (node->state == NODE_FAILED) return;
    }
}
