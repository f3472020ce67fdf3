/* One turn of the loop: what its callbacks brought is proposed together, written together and sent together (group
 * commit), then finished requests are answered. Also the timers of the cores. */
#include "internal.h"

#include <string.h>

void node__post(struct node *node)
{
    if (node->state != NODE_FAILED && node->state != NODE_STOPPED) {
        io_post(node->io, &node->turn_timer);
    }
}

void node__dirty(struct group *group)
{
    if (!list_is_linked(&group->dirty_link)) {
        list_push_back(&group->node->dirty, &group->dirty_link);
    }
    node__post(group->node);
}

static void work_group(struct group *group)
{
    produce__propose(group);
    if (group->node->state == NODE_FAILED) return;
    apply__run(group);
    if (group->node->state == NODE_FAILED || group->dropping) return;
    barrier__applied(group);
    if (group->node->state == NODE_FAILED || group->dropping) return;
    fetch__wake_polls(group);
    barrier__ask(group);
    if (group->node->state == NODE_FAILED) return;
    disk__pump_log(group, false);
}

static void answer_done(struct node *node)
{
    struct list_link batch;
    list_init(&batch);
    list_splice_back(&batch, &node->done); /* answers may submit new requests */
    struct list_link *link;
    while ((link = list_pop_front(&batch))) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        struct node_request *request = request_of_state(state);
        list_remove(&state->all);
        node->inflight_bytes -= state->admitted_bytes;
        state->admitted_bytes = 0;
        request->done(request);
    }
}

/* Bounded: what one pass makes dirty again waits for the next turn, which is posted. */
static void on_turn(struct io_timer *timer)
{
    struct node *node = timer->data;
    if (!node__enter(node)) return;
    if (node->cluster_changed) {
        node->cluster_changed = false;
        peer_hub_set_cluster(node->hub, &node->identity.cluster);
    }
    struct list_link batch;
    list_init(&batch);
    for (int pass = 0; pass < 4 && !list_is_empty(&node->dirty); pass++) {
        list_splice_back(&batch, &node->dirty);
        struct list_link *link;
        while ((link = list_pop_front(&batch))) {
            work_group(list_entry(link, struct group, dirty_link));
            if (node->state == NODE_FAILED) return;
        }
    }
    replicate__flush_heartbeats(node);
    answer_done(node);
    if (node->state == NODE_FAILED || node->state == NODE_STOPPED) return;
    if (!list_is_empty(&node->dirty) || !list_is_empty(&node->done)) node__post(node);
}

/* ---- core timers ------------------------------------------------------------------------------------------------------ */

/* Leaders' heartbeats are due at multiples of the heartbeat interval, so those of all groups leave together and one digest
 * can stand for them (C6); election timers are not rounded, their randomness is the point. */
static uint64_t due_at(const struct group *group)
{
    if (group->role != RAFT_LEADER) return group->timer_at_ms;
    const uint64_t grid = group->node->options.heartbeat_ms;
    return (group->timer_at_ms + grid - 1u) / grid * grid;
}

void node__schedule_tick(struct node *node)
{
    uint64_t at = UINT64_MAX;
    for (struct list_link *link = node->groups.next; link != &node->groups; link = link->next) {
        const uint64_t due = due_at(list_entry(link, struct group, link));
        if (due < at) at = due;
    }
    if (at == node->tick_at_ms) return;
    node->tick_at_ms = at;
    if (at == UINT64_MAX) {
        io_timer_stop(node->io, &node->tick_timer);
        return;
    }
    const uint64_t now_us = io_now_us(node->io);
    const uint64_t at_us = at * 1000u;
    io_timer_start(node->io, &node->tick_timer, at_us > now_us ? at_us - now_us : 0);
}

static void on_tick(struct io_timer *timer)
{
    struct node *node = timer->data;
    if (!node__enter(node)) return;
    node->tick_at_ms = 0; /* none is set */
    const uint64_t now_ms = io_now_ms(node->io);
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        if (due_at(group) > now_ms) continue;
        struct raft_event event = {.type = RAFT_EVENT_TICK};
        (void)group__step(group, &event);
        if (node->state == NODE_FAILED) return;
    }
    node->tick_at_ms = 0;
    node__schedule_tick(node);
    node__post(node);
}

/* ---- maintenance ------------------------------------------------------------------------------------------------------- */

static bool is_settled(struct node *node)
{
    if (node->setup_jobs_count || node->store_running || node->space_running) return false;
    if (!list_is_empty(&node->dropping)) return false;
    bool settled = true;
    for (struct list_link *link = node->groups.next; link != &node->groups; link = link->next) {
        struct group *group = list_entry(link, struct group, link);
        if (!list_is_empty(&group->jobs)) settled = false;
        if (segment_log_has_unsynced_mark(group->log)) settled = false;
    }
    return settled;
}

/* True while there is leadership that somebody could take over; asks again where a transfer was given up. */
static bool hands_over(struct node *node)
{
    bool somebody = false;
    for (uint32_t i = 0; i < node->peers_count; i++) {
        const uint64_t id = node->peers[i].node_id;
        if (id != node->identity.node_id && peer_is_up(node->hub, id, PEER_BULK)) somebody = true;
    }
    if (!somebody) return false;
    /* Nobody took it in two election timeouts: the others stop as well, or lag too far. They elect without us. */
    const uint64_t patience_us = 2u * node->options.election_timeout_ms_max * 1000u;
    if (io_now_us(node->io) - node->stop_started_us > patience_us) return false;
    bool leads = false;
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        if (group->role != RAFT_LEADER) continue;
        if (raft_configuration_of(group->raft)->members_count < 2u) continue;
        leads = true;
        struct raft_view view;
        raft_view(group->raft, io_now_ms(node->io), &view);
        if (view.transferring) continue;
        struct raft_event event = {.type = RAFT_EVENT_TRANSFER, .node = 0};
        (void)group__step(group, &event);
    }
    return leads;
}

/* Stopping: leadership is handed over, requests are answered, marks are synced; then, or at the deadline, done. */
static void continue_stop(struct node *node)
{
    const uint64_t now_us = io_now_us(node->io);
    const bool late = now_us >= node->stop_deadline_us;
    if (!late && (hands_over(node) || !list_is_empty(&node->requests))) return;
    if (!list_is_empty(&node->requests)) {
        request__fail_all(node, NODE_SHUTTING_DOWN, "the node stopped before it could answer");
        node__post(node);
        return;
    }
    for (struct list_link *link = node->groups.next; link != &node->groups; link = link->next) {
        struct group *group = list_entry(link, struct group, link);
        disk__checkpoint(group, true);
        disk__pump_log(group, true);
    }
    /* Jobs that run now touch the groups: the node is stopped only when none is left. They end by themselves. */
    if (!is_settled(node)) return;
    node->state = NODE_STOPPED;
    io_timer_stop(node->io, &node->maintenance);
    io_timer_stop(node->io, &node->tick_timer);
    node->stopped(node->stopped_data);
}

static void on_maintenance(struct io_timer *timer)
{
    struct node *node = timer->data;
    if (!node__enter(node)) return;
    io_timer_start(node->io, &node->maintenance, NODE_MAINTENANCE_US);
    const uint64_t now_us = io_now_us(node->io);
    request__expire(node);
    topics__check_waiting(node);
    topics__register_nodes(node);
    disk__check_space(node);
    group__retry_births(node);
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        if (now_us - group->last_write_us >= NODE_MARK_IDLE_US) disk__pump_log(group, true);
        disk__checkpoint(group, false);
    }
    if (node->state == NODE_STOPPING) {
        continue_stop(node);
        if (node->state == NODE_STOPPED) return;
    }
    node__post(node);
}

void turn__init(struct node *node)
{
    node->turn_timer.fire = on_turn;
    node->turn_timer.data = node;
    node->tick_timer.fire = on_tick;
    node->tick_timer.data = node;
    node->maintenance.fire = on_maintenance;
    node->maintenance.data = node;
}
