/* Performing one update of the core, in the one safe order. Read perform() top to bottom: it is the safety argument.
 *
 *  1. The log first: replaced by an installed base that is durable already, cut, then append. Both only enter the log's disk queue, which is first in, first out, so a later
 *     write never overtakes the cut (PROTOCOL L7). Nothing here claims durability: that is the DURABLE event, sent when
 *     fdatasync returned and the mark is written (L5), and only then does the core emit acks (match = durable).
 *  2. The hard state enters the node store.
 *  3. Messages that depend on no unsynced hard state leave.
 *  4. Messages that do, wait (held) until the store reports their hard state durable, in order (V1).
 *  5. Committed entries are applied; waiters of entries are answered.
 *  6. Reads get their index and wait for applied >= index (R3).
 *  7. Bases begin their way to members that need what the log has no more (S3). */
#include "perform.h"

#include "apply.h"
#include "barrier.h"
#include "base.h"
#include "base_receive.h"
#include "base_send.h"
#include "broadcast.h"
#include "chains.h"
#include "disk.h"
#include "group.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "produce.h"
#include "reconfigure.h"
#include "replicate.h"
#include "request.h"
#include "turn.h"

#include <broker/raft_codec.h>
#include <planted/planted.h>
#include <rare/rare.h>
#include <snapshot/snapshot.h>

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* C8: like a no-op, a CONFIG entry repeats the previous stamp. */
static enum segment_log_status append_configuration(struct group *group,
                                                    const struct raft_update *update,
                                                    uint64_t *ret_last_index)
{
    uint8_t payload[SNAPSHOT_CONFIGURATION_BYTES_MAX];
    const size_t bytes =
        raft_codec_encode_configuration(&update->append.configuration, payload, sizeof(payload));
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    const struct segment_log_entry entry = {.type = ENTRY_CONFIG,
                                            .payload = payload,
                                            .payload_bytes = (uint32_t)bytes,
                                            .timestamp_ms = info.last_timestamp_ms};
    return segment_log_append(group->log, update->append.term, &entry, 1, ret_last_index);
}

static void perform_log(struct group *group, const struct raft_update *update)
{
    struct node *node = group->node;
    if (update->log_replaced) base_receive__replace_log(group);
    if (update->truncate_from) {
        base__truncated(group, update->truncate_from);
        segment_log_truncate(group->log, update->truncate_from);
        apply__truncated(group, update->truncate_from);
        chains__truncated(group, update->truncate_from);
    }
    enum segment_log_status status = SEGMENT_LOG_OK;
    uint64_t last_index = update->append.last;
    switch (update->append.source) {
    case RAFT_APPEND_NONE:
        return;
    case RAFT_APPEND_NOOP: {
        struct segment_log_info info;
        segment_log_info(group->log, &info);
        /* C8: a no-op repeats the previous stamp. */
        const struct segment_log_entry noop = {.type = ENTRY_NOOP,
                                               .timestamp_ms = info.last_timestamp_ms};
        status = segment_log_append(group->log, update->append.term, &noop, 1, &last_index);
        group->own_noop_index = update->append.first;
        break;
    }
    case RAFT_APPEND_CONFIGURATION:
        status = append_configuration(group, update, &last_index);
        break;
    case RAFT_APPEND_PROPOSED:
        status = produce__append(group, update->append.term, &last_index);
        break;
    case RAFT_APPEND_RECEIVED:
        status = replicate__append(group, update->append.first, update->append.last);
        break;
    }
    if (status != SEGMENT_LOG_OK) {
        node__fatal(node, status == SEGMENT_LOG_BROKEN_CHAIN ? NODE_FATAL_DAMAGE : NODE_FATAL_DISK,
                    "group %" PRIu64 " %s: entries %" PRIu64 "..%" PRIu64 " of term %" PRIu64
                    " cannot be appended: %s",
                    group->id, group->directory, update->append.first, update->append.last,
                    update->append.term, segment_log_status_text(status));
        return;
    }
    assert(last_index == update->append.last);
    if (update->append.source != RAFT_APPEND_RECEIVED) {
        broadcast__appended(group, last_index, update->append.term);
    }
    node__dirty(group);
}

static void perform_hard_state(struct group *group, const struct raft_update *update)
{
    if (!update->hard_state_changed) return;
    struct node_record record;
    if (!node_store_get(group->node->store, group->id, &record)) {
        node__fatal(group->node, NODE_FATAL_DAMAGE, "group %" PRIu64 " has no record of its vote",
                    group->id);
        return;
    }
    record.term = update->hard_state.term;
    record.vote_node = update->hard_state.voted_for.node;
    record.vote_epoch = update->hard_state.voted_for.epoch;
    group->hard_state = update->hard_state;
    group->hard_state_sequence = node_store_put(group->node->store, &record);
    group->hard_state_pending = true;
    disk__pump_store(group->node);
}

/* Bounded: while the store hangs the same answers are drawn again and again, and every message may be lost. */
static void hold(struct group *group, const struct raft_message *message)
{
    if (group->held_count == NODE_HELD_MAX || RARELY(HELD_MESSAGE_IS_LOST)) return;
    group->held_count++;
    struct held_message *held = malloc(sizeof(*held));
    if (!held) abort();
    held->next = NULL;
    held->sequence = group->hard_state_sequence;
    held->message = *message;
    *group->held_tail = held;
    group->held_tail = &held->next;
}

struct cut_list {
    struct append_cut cuts[RAFT_MESSAGES_MAX];
    uint32_t count;
};

static void send_or_cut(struct group *group, const struct raft_message *message,
                        struct cut_list *cuts)
{
    struct append_cut cut;
    if (!replicate__send(group, message, &cut)) return;
    if (cuts->count < RAFT_MESSAGES_MAX) cuts->cuts[cuts->count++] = cut;
}

static void perform_messages(struct group *group, const struct raft_update *update,
                             struct cut_list *cuts)
{
    for (uint32_t i = 0; i < update->messages_now_count; i++) {
        send_or_cut(group, &update->messages_now[i], cuts);
    }
    for (uint32_t i = 0; i < update->messages_after_sync_count; i++) {
        if (group->hard_state_pending && !PLANTED(V1_HELD_MESSAGES_LEAVE)) {
            hold(group, &update->messages_after_sync[i]);
        } else {
            send_or_cut(group, &update->messages_after_sync[i], cuts);
        }
    }
}

static void log_role(struct group *group, const struct raft_view *view)
{
    struct node *node = group->node;
    if (view->role == RAFT_LEADER && group->role != RAFT_LEADER) {
        node__log(node, "info", "event=\"became leader\" group=%" PRIu64 " term=%" PRIu64,
                  group->id, view->term);
    } else if (group->role == RAFT_LEADER && view->role != RAFT_LEADER) {
        node__log(node, "info", "event=\"no longer leader\" group=%" PRIu64 " term=%" PRIu64,
                  group->id, view->term);
    } else if (view->leader != group->leader && view->leader != 0) {
        node__log(node, "info",
                  "event=\"follows\" group=%" PRIu64 " term=%" PRIu64 " leader=%" PRIu64, group->id,
                  view->term, view->leader);
    }
}

/* Never: the entries are in the log, and whoever leads next may commit them (C9). */
static void fail_waiters(struct group *group)
{
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &group->waiting) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        request__finish(request_of_state(state), NODE_NO_LEADER, "not the leader any more");
    }
}

static void note_role(struct group *group)
{
    struct raft_view view;
    raft_view(group->raft, io_now_ms(group->node->io), &view);
    log_role(group, &view);
    const bool leader_changed = view.leader != group->leader || view.term != group->term;
    if (view.leader != group->leader && view.leader) group->counters.leader_changes++;
    if (group->role == RAFT_LEADER && (view.role != RAFT_LEADER || view.term != group->term)) {
        /* P1: a former leader's overlay says nothing any more; its entries may be cut or not. */
        bool drops = !group->is_meta && !PLANTED(P1_OVERLAY_SURVIVES_STEP_DOWN);
        if (drops) partition_overlay_drop(&group->partition, 0);
        if (PLANTED(B31_UNKNOWN_FATE_IS_CALLED_FAILED)) fail_waiters(group);
        group->own_noop_applied = false;
        if (group->is_meta) group->node->producer_next = group->node->producer_end = 0;
    }
    if (view.role == RAFT_LEADER && (group->role != RAFT_LEADER || view.term != group->term)) {
        /* So what a leader judges repeats by was appended in its own term. That they are judged only when its no-op is
         * applied, and with it all from before, says the same once more. */
        assert(group->is_meta || partition_overlay_is_empty(&group->partition));
        group->own_noop_applied = false;
        memset(group->regressing, 0, sizeof(group->regressing)); /* it is for this term (D8) */
        reconfigure__elected(group);
    }
    group->role = view.role;
    group->term = view.term;
    group->leader = view.leader;
    if (view.leader != 0) {
        group->leaderless_us = 0;
    } else if (group->leaderless_us == 0) {
        group->leaderless_us = io_now_us(group->node->io);
    }
    if (leader_changed) {
        request__unpark(group->node, group);
        node__dirty(group);
    }
}

static void perform(struct group *group, const struct raft_update *update, struct cut_list *cuts)
{
    perform_log(group, update);
    if (group->node->state == NODE_FAILED) return;
    perform_hard_state(group, update);
    perform_messages(group, update, cuts);
    assert(update->commit_index >= group->commit_index);
    if (update->commit_index > group->commit_index) {
        group->commit_index = update->commit_index;
        broadcast__committed(group);
        node__dirty(group);
    }
    for (uint32_t i = 0; i < update->reads_count; i++) {
        barrier__read_state(group, &update->reads[i]);
    }
    for (uint32_t i = 0; i < update->snapshots_count; i++) {
        base_send__start(group, &update->snapshots[i]);
    }
    node__set_timer(group, update->timer_at_ms);
}

/* One step never calls another from inside: what performing discovers (an APPEND that left with fewer entries) is
 * stepped afterwards. */
enum raft_status group__step(struct group *group, struct raft_event *event)
{
    struct node *node = group->node;
    assert(!node->stepping);
    if (group->dropping || group->mending || node->state == NODE_FAILED) return RAFT_NOT_LEADER;
    struct cut_list cuts = {.count = 0};
    event->now_ms = io_now_ms(node->io);
    node->stepping = true;
    group->counters.raft_steps++;
    const enum raft_status status = raft_step(group->raft, event, &node->update);
    perform(group, &node->update, &cuts);
    const bool role_changed = node->update.role_changed;
    node->stepping = false;
    if (node->state == NODE_FAILED) return status;
    if (role_changed) note_role(group);
    for (uint32_t i = 0; i < cuts.count; i++) {
        struct raft_event cut = {.type = RAFT_EVENT_APPEND_CUT};
        cut.cut.to = cuts.cuts[i].to;
        cut.cut.last = cuts.cuts[i].last;
        (void)group__step(group, &cut);
    }
    return status;
}

/* The store made more hard states durable: tell the core, then let go what waited for them. */
void group__store_durable(struct group *group)
{
    if (!group->hard_state_pending) return;
    const uint64_t durable = node_store_durable_sequence(group->node->store);
    struct cut_list cuts = {.count = 0};
    while (group->held && group->held->sequence <= durable) {
        struct held_message *held = group->held;
        group->held = held->next;
        if (!group->held) group->held_tail = &group->held;
        group->held_count--;
        send_or_cut(group, &held->message, &cuts);
        free(held);
    }
    for (uint32_t i = 0; i < cuts.count; i++) {
        struct raft_event cut = {.type = RAFT_EVENT_APPEND_CUT};
        cut.cut.to = cuts.cuts[i].to;
        cut.cut.last = cuts.cuts[i].last;
        (void)group__step(group, &cut);
    }
    if (group->hard_state_sequence > durable) return;
    group->hard_state_pending = false;
    struct raft_event event = {.type = RAFT_EVENT_VOTE_DURABLE};
    event.vote_durable = group->hard_state;
    (void)group__step(group, &event);
}
