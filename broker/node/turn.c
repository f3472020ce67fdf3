/* One turn of the loop: what its callbacks brought is proposed together, written together and sent together (group
 * commit), then finished requests are answered. Also the timers of the cores. */
#include "turn.h"

#include "apply.h"
#include "barrier.h"
#include "base.h"
#include "base_receive.h"
#include "base_send.h"
#include "birth.h"
#include "broadcast.h"
#include "chains.h"
#include "changes.h"
#include "checkpoint.h"
#include "clock.h"
#include "damaged.h"
#include "directory.h"
#include "disk.h"
#include "fetch.h"
#include "group.h"
#include "growth.h"
#include "internal.h"
#include "join.h"
#include "limits.h"
#include "list.h"
#include "lost.h"
#include "mending.h"
#include "offered.h"
#include "peers.h"
#include "perform.h"
#include "produce.h"
#include "reconfigure.h"
#include "registry.h"
#include "repair.h"
#include "replicas.h"
#include "replicate.h"
#include "request.h"
#include "retention.h"
#include "scrub.h"
#include "seal.h"
#include "stall.h"
#include "topics.h"
#include "transfer.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include <string.h>

#define TURN_PASSES 4

void node__post(struct node *node)
{
    if (node->state != NODE_FAILED) io_post(node->io, &node->turn_timer);
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
    if (group->mending) {
        disk__pump_log(group, false);
        return;
    }
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
    seal__pump(group);
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

/* Bounded: what the last pass makes dirty again waits for the next turn, which is posted. */
static void work_dirty(struct node *node)
{
    for (int pass = 0; pass < TURN_PASSES && !list_is_empty(&node->dirty); pass++) {
        if (pass > 0 && RARELY(TURN_ENDS_EARLY)) break;
        list_splice_back(&node->working, &node->dirty);
        struct list_link *link;
        while ((link = list_pop_front(&node->working))) {
            work_group(list_entry(link, struct group, dirty_link));
            if (node->state == NODE_FAILED) return;
        }
    }
}

static void on_turn(struct io_timer *timer)
{
    struct node *node = timer->data;
    if (node->state == NODE_STOPPED) answer_done(node); /* whoever came too late is told so */
    if (!node__enter(node)) return;
    if (node->cluster_changed) {
        node->cluster_changed = false;
        peer_hub_set_membership(node->hub, &node->identity.cluster,
                                node->identity.incarnation_index, node->state == NODE_ASKING);
    }
    work_dirty(node);
    if (node->state == NODE_FAILED) return;
    transfer__check(node);
    if (node->state == NODE_FAILED) return;
    replicate__flush_heartbeats(node);
    answer_done(node);
    if (node->state == NODE_FAILED) return;
    if (!list_is_empty(&node->dirty) || !list_is_empty(&node->done)) node__post(node);
}

/* ---- core timers ------------------------------------------------------------------------------------------------------ */

static void start_tick(struct node *node, uint64_t at_ms)
{
    const uint64_t now_us = io_now_us(node->io);
    const uint64_t at_us = at_ms * 1000u;
    node->tick_at_ms = at_ms;
    io_timer_start(node->io, &node->tick_timer, at_us > now_us ? at_us - now_us : 0);
}

/* O(1): the timer is only ever moved forward here; on_tick() finds the next one.
 *
 * What a leader waits for is due at multiples of the heartbeat interval, so that the heartbeats of all groups leave
 * together and one digest can stand for them (C6). Election timers are not rounded, their randomness is the point, nor is
 * "at once". */
void node__set_timer(struct group *group, uint64_t at_ms)
{
    struct node *node = group->node;
    if (group->role == RAFT_LEADER && at_ms > io_now_ms(node->io)) {
        const uint64_t grid_ms = node->options.heartbeat_ms;
        at_ms = (at_ms + grid_ms - 1u) / grid_ms * grid_ms;
    }
    group->due_ms = at_ms;
    if (node->ticking || (node->tick_at_ms != 0 && node->tick_at_ms <= at_ms)) return;
    start_tick(node, at_ms);
}

static void on_tick(struct io_timer *timer)
{
    struct node *node = timer->data;
    if (!node__enter(node)) return;
    node->tick_at_ms = 0;
    if (node->stop_quiet) return;
    const uint64_t now_ms = io_now_ms(node->io);
    uint64_t next_ms = UINT64_MAX;
    struct list_link *link;
    struct list_link *after;
    node->ticking = true;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        if (group->due_ms <= now_ms) {
            struct raft_event event = {.type = RAFT_EVENT_TICK};
            (void)group__step(group, &event);
            if (node->state == NODE_FAILED) return;
        }
    }
    node->ticking = false;
    /* Anew: a step of one group may have moved the timer of another. */
    for (link = node->groups.next; link != &node->groups; link = link->next) {
        const struct group *group = list_entry(link, struct group, link);
        if (group->due_ms < next_ms) next_ms = group->due_ms;
    }
    if (next_ms != UINT64_MAX) start_tick(node, next_ms);
    node__post(node);
}

/* ---- maintenance ------------------------------------------------------------------------------------------------------- */

static bool is_settled(struct node *node)
{
    if (node->setup_jobs_count || node->store_running || node->space_running) return false;
    if (!list_is_empty(&node->dropping)) return false;
    bool settled = true;
    for (struct list_link *link = node->mending.next; link != &node->mending; link = link->next) {
        if (!list_is_empty(&list_entry(link, struct group, link)->jobs)) settled = false;
    }
    for (struct list_link *link = node->groups.next; link != &node->groups; link = link->next) {
        struct group *group = list_entry(link, struct group, link);
        if (!list_is_empty(&group->jobs)) settled = false;
        /* What a full disk cannot take stays unwritten, and nobody was told that it was. */
        if (segment_log_has_unsynced_mark(group->log) && !node->disk_full) settled = false;
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

static bool has_unanswered(const struct node *node)
{
    for (struct list_link *link = node->requests.next; link != &node->requests; link = link->next) {
        if (list_entry(link, struct request_state, all)->stage != STAGE_DONE) return true;
    }
    return false;
}

/* Stopping, in two steps. First leadership is handed over and requests are answered, or time runs out. Then the node turns
 * quiet: it hears no peer any more, else appends of a leader would keep its disk busy for ever; what it has is written, its
 * marks are synced, and when no job is left it has stopped. */
static void continue_stop(struct node *node)
{
    if (!node->stop_quiet) {
        const bool late = io_now_us(node->io) >= node->stop_deadline_us;
        const bool hands = !PLANTED(C7_STOPS_WITHOUT_HANDOVER) && !late && hands_over(node);
        if (!late && (hands || has_unanswered(node))) return;
        if (late) {
            request__fail_all(node, NODE_SHUTTING_DOWN, "the node stopped before it could answer");
        }
        node->stop_quiet = true;
    }
    for (struct list_link *link = node->groups.next; link != &node->groups; link = link->next) {
        struct group *group = list_entry(link, struct group, link);
        if (!node->disk_full) checkpoint__maintain(group, true);
        disk__pump_log(group, true);
    }
    if (!is_settled(node)) return;
    answer_done(node);
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
    clock_watch_look(&node->clock_watch, io_wall_ms(node->io), now_us);
    request__expire(node);
    topics__check_waiting(node);
    topics__ask_waiting(node);
    offered__look(node);
    if (node->state == NODE_FAILED) return;
    directory__ask_waiting(node);
    join__ask(node);
    peers__follow_meta(node);
    registry__register_nodes(node);
    chains__run(node);
    lost__run(node);
    if (node->replicas_stale && !RARELY(RECONCILE_WAITS)) replicas__reconcile(node);
    reconfigure__run(node);
    growth__run(node);
    if (node->state == NODE_FAILED) return;
    changes__prune(node);
    directory__prune(node);
    disk__check_space(node);
    stall__check(node);
    if (node->state == NODE_FAILED) return;
    broadcast__check(node);
    group__retry_births(node);
    mending__run(node);
    if (node->state == NODE_FAILED) return;
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        if (now_us - group->last_write_us >= NODE_MARK_IDLE_US) disk__pump_log(group, true);
        checkpoint__maintain(group, false);
        retention__maintain(group);
        base__maintain(group);
        base_send__maintain(group);
        base_receive__maintain(group);
        repair__run(group);
        if (node->state == NODE_FAILED) return;
        if (damaged__make_again_if_hopeless(group))
            break; /* others may go with it; their turn comes */
    }
    scrub__run(node);
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
