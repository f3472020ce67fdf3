/* Replicas that found damage when they were opened: their cores start when the log is whole, or when what is damaged is known
 * not to matter (PROTOCOL D1, D4, D7).
 *
 *   opened with holes ─> mending: serves repairs, sends no vote, ack or read ─> whole, or cut ───────────────────> its core starts
 *                                     ├ all holes lie below its state, and nobody could mend them for a while ───────^
 *                                     └ nobody can, and a majority does without it for a while: made again (M5, lost.c)
 *
 * A hole above the newest state is needed, for it is applied next. One below is not: the replica works without it, serves
 * everything else, and goes on repairing. Where the terms in such a hole are unknown the core begins behind its state, as
 * behind a base.
 *
 * A mending replica is not among the groups of the node: nothing steps it, and requests look for another replica. When nobody
 * could mend it, its group may stand still; what its newest state covers is committed, and local reads get it meanwhile (D7). */
#include "mending.h"

#include "base.h"
#include "disk.h"
#include "drop.h"
#include "group.h"
#include "internal.h"
#include "list.h"
#include "opening.h"
#include "recall.h"
#include "repair.h"
#include "replicas.h"
#include "request.h"
#include "turn.h"

#include <planted/planted.h>
#include <segment_log/repair.h>
#include <snapshot/snapshot.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_TIMEOUTS 3u

struct mending {
    struct raft_hard_state hard_state;
    struct snapshot_header header;
    struct tree *state;
    struct found_configurations found;
    uint64_t since_us;
    bool is_restored; /* group->partition is that of the state */
};

struct group *mending__find(const struct node *node, uint64_t group_id)
{
    const struct list_link *link;
    for (link = node->mending.next; link != &node->mending; link = link->next) {
        struct group *group = list_entry(link, struct group, link);
        if (group->id == group_id) return group;
    }
    return NULL;
}

const struct raft_configuration *mending__configuration(const struct group *group)
{
    const struct found_configurations *found = &group->mending->found;
    return &found->items[found->count - 1u].configuration;
}

void mending__begin(struct group *group, const struct raft_hard_state *hard_state,
                    const struct snapshot_header *header, struct tree *state,
                    const struct found_configurations *found)
{
    struct node *node = group->node;
    struct mending *mending = calloc(1, sizeof(*mending));
    if (!mending) abort();
    assert(found->count > 0);
    mending->hard_state = *hard_state;
    mending->header = *header;
    mending->state = state;
    mending->found = *found;
    mending->since_us = io_now_us(node->io);
    group->mending = mending;
    group->hard_state = *hard_state;
    group->term = hard_state->term;
    list_push_back(&node->mending, &group->link);
    struct segment_log_hole hole;
    if (PLANTED(B23_DAMAGED_MINORITY_DECIDES) &&
        segment_log_hole_from(group->log, header->point.index + 1u, &hole)) {
        const uint64_t state_index = header->point.index;
        mending__cut(group, hole.first_index > state_index ? hole.first_index : state_index + 1u);
    }
}

void mending__free(struct group *group)
{
    struct mending *mending = group->mending;
    if (!mending) return;
    tree_unref(mending->state);
    free(mending);
    group->mending = NULL;
}

uint64_t mending__state_index(const struct group *group)
{
    return group->mending->header.point.index;
}

static bool state_covers_holes(const struct group *group)
{
    struct segment_log_hole hole;
    return !segment_log_hole_from(group->log, group->mending->header.point.index + 1u, &hole);
}

struct group *mending__readable(const struct node *node, uint64_t group_id)
{
    struct group *group = mending__find(node, group_id);
    if (!group || group->is_meta || !repair__was_tried(group)) return NULL;
    /* It starts soon, and reads would keep it from that. */
    if (state_covers_holes(group)) return NULL;
    struct mending *mending = group->mending;
    if (!mending->is_restored) {
        const struct segment_log_point *point = &mending->header.point;
        mending->is_restored = partition_restore(
            &group->partition, tree_ref(mending->state), point->index, point->next_offset,
            mending->header.log_start_offset, point->timestamp_ms);
        group->applied_index = mending->is_restored ? point->index : 0;
    }
    return mending->is_restored ? group : NULL;
}

void mending__note_configuration(struct group *group, uint64_t index, const uint8_t *payload,
                                 uint32_t payload_bytes)
{
    if (index <= group->mending->header.configuration_index) return; /* it is over */
    group__found_configuration(&group->mending->found, index, payload, payload_bytes);
}

void mending__cut(struct group *group, uint64_t from_index)
{
    struct found_configurations *found = &group->mending->found;
    assert(from_index > group->mending->header.point.index);
    while (found->count > 1 && found->items[found->count - 1u].index >= from_index) {
        found->count--;
    }
    segment_log_truncate(group->log, from_index);
    disk__pump_log(group, false);
}

/* ---- the core starts ------------------------------------------------------------------------------------------------------ */

/* The log is whole, and on the disk is what memory says. */
static bool is_ready(const struct group *group)
{
    const struct node *node = group->node;
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    if (group->write || !list_is_empty(&group->jobs)) return false;
    if (info.holes_count == 0) return info.durable_index == info.last_index;
    if (!state_covers_holes(group) || PLANTED(D7_DAMAGE_BELOW_A_CHECKPOINT_HALTS)) return false;
    /* Peers that are there answer within one; those that start at the same time are waited for a little. */
    const uint64_t timeouts = repair__was_tried(group) ? 1u : PATIENCE_TIMEOUTS;
    const uint64_t patience_us = timeouts * node->options.election_timeout_ms_max * 1000u;
    return io_now_us(node->io) - group->mending->since_us >= patience_us;
}

static void start(struct group *group)
{
    struct node *node = group->node;
    struct mending *mending = group->mending;
    struct tree *state = mending->state;
    const struct segment_log_point *begin =
        recall__knows_terms(group) ? NULL : &mending->header.point;
    mending->state = NULL;
    list_remove(&group->link);
    group->mending = NULL;
    const bool started =
        group__start(group, begin, &mending->hard_state, &mending->header, state, &mending->found);
    /* Who needs entries from in front of where this core begins is sent a base that reaches there. */
    if (started && begin && group->bases[0].index < begin->index) base__begin(group);
    free(mending);
    if (!started && node->state == NODE_FAILED) {
        list_push_back(&node->mending, &group->link); /* freed with the node */
        return;
    }
    if (!started) { /* what stands in front of its log is damaged, too: it is made again (M5) */
        char why[NODE_STATUS_TEXT_BYTES];
        memcpy(why, group->problem, sizeof(why));
        group__quarantine(group, why);
        return;
    }
    if (group->is_meta) node__start_running(node);
    replicas__reconcile(node); /* its name, and whether it is still wished */
    request__unpark(node, NULL);
    node__dirty(group);
}

/* ---- time ------------------------------------------------------------------------------------------------------------------- */

/* With its topic, or to make room for another one: also what is damaged is dropped. */
static bool drop_if_let_go(struct group *group)
{
    struct node *node = group->node;
    if (node->state != NODE_RUNNING || group->is_meta) return false;
    if (!replicas__is_let_go(node, group->id, group->epoch)) return false;
    const bool is_deleted = !meta_group_find(&node->meta, group->id, NULL, NULL, NULL);
    list_remove(&group->link);
    mending__free(group);
    group__drop(group, replicas__drop_index(node, group->id, group->epoch), is_deleted);
    return true;
}

/* M5: nobody can mend it, and the others do without it. Its files are kept, apart. */
static bool make_again_if_hopeless(struct group *group)
{
    char why[NODE_STATUS_TEXT_BYTES];
    if (!repair__is_hopeless(group) || group->write || group->node->disk_full) return false;
    if (group->node->state == NODE_STOPPING) return false;
    repair__describe(group, why, sizeof(why));
    list_remove(&group->link);
    mending__free(group);
    group__quarantine(group, why);
    return true;
}

/* False: it is no mending replica any more, and others may have gone with it (a start of meta tells what is let go). */
static bool run_one(struct group *group)
{
    struct node *node = group->node;
    if (drop_if_let_go(group)) return false;
    repair__run(group);
    if (node->state == NODE_FAILED) return true;
    if (make_again_if_hopeless(group)) return false;
    disk__pump_log(group, false);
    if (node->state == NODE_STOPPING || !is_ready(group)) return true;
    start(group);
    return false;
}

void mending__run(struct node *node)
{
    struct list_link *link = node->mending.next;
    while (link != &node->mending && node->state != NODE_FAILED) {
        const bool stays = run_one(list_entry(link, struct group, link));
        link = stays ? link->next : node->mending.next; /* each round ends with one less */
    }
}
