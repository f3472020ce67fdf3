/* Bases that a replica makes of its own state, and the prefix of its log that goes behind them (PROTOCOL S2, S5).
 *
 *   enough entries ─> roll: boundary = last entry ─> applied there: state frozen ─> durable there: written
 *        ─> the newest base; the log starts at the one before it, so that a follower that lags a little is sent entries
 *
 * The boundary is chosen before anything behind it can be applied, so the state at exactly that entry is never missed; when
 * it is cut, it is chosen again. */
#include "base.h"

#include "base_send.h"
#include "checkpoint.h"
#include "disk.h"
#include "drop.h"
#include "group.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "perform.h"
#include "retention.h"
#include "snapshots.h"

#include <planted/planted.h>
#include <rare/rare.h>
#include <snapshot/snapshot.h>
#include <snapshot/transfer.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEARD_MS      5000u
#define HOLD_US       30000000u /* a drop waits so long for a member that lags ... */
#define HOLD_SEGMENTS 2u        /* ... and for so much log at most */
#define CHECKPOINT_US 1000000u

struct base_write {
    struct group_job base;
    struct disk *disk;
    struct snapshot_header header;
    struct tree *state; /* one reference: frozen (S1) */
    enum snapshot_status status;
    struct segment_log_problem problem;
};

static void free_write(struct base_write *write)
{
    tree_unref(write->state);
    free(write);
}

/* ---- what is known of them ----------------------------------------------------------------------------------------------- */

/* A damaged checkpoint is skipped at a start, a base never: no entry up to it is applied again (M4). The newest base may be
 * lost with nobody noticing, as long as the log starts at the one before it. */
static void forget_dropped(const struct group *group)
{
    const uint64_t index = group->bases[group->bases_count - 1u].index;
    if (group->is_meta) group__forget_dropped(group->node, index);
}

/* Too many: of those between the log start and the newest two the one that is missed least. Its file is removed. */
static void thin(struct group *group)
{
    uint32_t least = 2;
    for (uint32_t i = 2; i + 1u < group->bases_count; i++) {
        const uint64_t gap = group->bases[i - 1u].index - group->bases[i + 1u].index;
        if (gap < group->bases[least - 1u].index - group->bases[least + 1u].index) least = i;
    }
    base__remove_one(group, group->bases[least].index);
    group->bases_count--;
    memmove(group->bases + least, group->bases + least + 1,
            (group->bases_count - least) * sizeof(group->bases[0]));
}

void base__note(struct group *group, const struct segment_log_point *point)
{
    if (group->bases_count > 0 && point->index <= group->bases[0].index) return;
    if (group->drops_prefix) {
        if (group->bases_count >= META_BASES_MAX) group->bases_count = META_BASES_MAX - 1u;
    } else {
        while (group->bases_count >= GROUP_BASES_MAX)
            thin(group);
    }
    memmove(group->bases + 1, group->bases, group->bases_count * sizeof(group->bases[0]));
    group->bases[0] = *point;
    group->bases_count++;
}

void base__installed(struct group *group, const struct segment_log_point *point)
{
    group->boundary_wanted = false;
    if (group->base_frozen) free_write(group->base_frozen);
    group->base_frozen = NULL;
    group->bases[0] = *point;
    group->bases_count = 1;
    group->trimmed_durable = group->is_meta ? 0 : partition_trimmed_index(&group->partition);
    group->drop_held_us = 0;
    forget_dropped(group);
}

uint64_t base__to_send(const struct group *group)
{
    /* Its log starts where this one does: it is to have all messages (S3). */
    return group->drops_prefix ? 0 : group->bases[group->bases_count - 1u].index;
}

uint64_t base__first_offset(const struct group *group)
{
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    if (PLANTED(S5_START_IS_PER_REPLICA)) return info.base.next_offset;
    return group->partition.log_start_offset;
}

uint64_t base__first_offset_kept(const struct group *group)
{
    struct segment_log_info info;
    if (group->is_meta) return 0;
    segment_log_info(group->log, &info);
    /* A state that is behind, after a start or an installed base, does not know the newest TRIM yet. */
    return group->partition.log_start_offset > info.base.next_offset
               ? group->partition.log_start_offset
               : info.base.next_offset;
}

bool base__is_ahead_of_state(const struct group *group)
{
    struct segment_log_info info;
    if (group->is_meta) return false;
    segment_log_info(group->log, &info);
    return info.base.index > partition_trimmed_index(&group->partition);
}

void base__snapshot_durable(struct group *group, struct tree *state)
{
    if (group->is_meta) return;
    const uint64_t trimmed_index = partition_trimmed_index_of_state(state);
    if (trimmed_index > group->trimmed_durable) group->trimmed_durable = trimmed_index;
}

void base__free(struct group *group)
{
    if (group->base_frozen) free_write(group->base_frozen);
    group->base_frozen = NULL;
}

/* ---- older files ------------------------------------------------------------------------------------------------------------ */

struct base_cleaning {
    struct group_job base;
    uint64_t below_index; /* 0: the one base at ... */
    uint64_t index;
    int error;
};

static void run_cleaning(struct io_job *job)
{
    struct base_cleaning *cleaning = job->data;
    struct group *group = cleaning->base.group;
    struct disk *disk = group->node->disk;
    cleaning->error = cleaning->below_index > 0
                          ? snapshot_remove_below(disk, group->directory, cleaning->below_index)
                          : snapshot_remove_base(disk, group->directory, cleaning->index);
}

static void discard_cleaning(struct group_job *job)
{
    free(job);
}

static void done_cleaning(struct io_job *job)
{
    struct base_cleaning *cleaning = job->data;
    struct group *group = cleaning->base.group;
    struct node *node = group->node;
    const int error = cleaning->error;
    if (!node__enter(node)) {
        list_remove(&cleaning->base.link);
    } else if (error < 0) {
        list_remove(&cleaning->base.link);
        /* Nothing depends on them being gone, but on the disk that cannot sync a directory much does (L11). */
        node__fatal(node, NODE_FATAL_DISK, "group %" PRIu64 ": removing older bases from %s: %s",
                    group->id, group->directory, strerror(-error));
    } else {
        if (cleaning->below_index > group->cleaned_below)
            group->cleaned_below = cleaning->below_index;
        group__job_ended(&cleaning->base); /* may free the group */
    }
    free(cleaning);
}

static void clean(struct group *group, uint64_t below_index, uint64_t index)
{
    struct base_cleaning *cleaning = calloc(1, sizeof(*cleaning));
    if (!cleaning) abort();
    cleaning->below_index = below_index;
    cleaning->index = index;
    cleaning->base.job.run = run_cleaning;
    cleaning->base.job.done = done_cleaning;
    cleaning->base.discard = discard_cleaning;
    group__submit(group, group->node->background_queue, &cleaning->base);
}

void base__remove_older(struct group *group, uint64_t below_index)
{
    clean(group, below_index, 0);
}

void base__remove_one(struct group *group, uint64_t index)
{
    clean(group, 0, index);
}

/* ---- the prefix ------------------------------------------------------------------------------------------------------------- */

/* The newest base that a committed TRIM covers, as a start of this node would know it. NULL: there is none. */
static const struct segment_log_point *trimmed_start(struct group *group)
{
    const uint64_t trimmed_index = partition_trimmed_index(&group->partition);
    for (uint32_t i = 0; i < group->bases_count; i++) {
        if (group->bases[i].index > trimmed_index) continue;
        if (group->bases[i].index <= group->trimmed_durable ||
            PLANTED(S5_DROPS_BEFORE_ITS_TRIM_IS_DURABLE)) {
            return &group->bases[i];
        }
        if (io_now_us(group->node->io) - group->checkpoint_us >= CHECKPOINT_US)
            checkpoint__maintain(group, /* force= */ true); /* then it is */
        return NULL;
    }
    return NULL;
}

/* Once the log starts behind the damage, this is as if it had never been. */
static bool covers_damage(const struct group *group, const struct segment_log_info *info)
{
    return group->cover_index > info->base.index;
}

/* S5: the log starts at the base before the newest one, or, of a partition, behind what is trimmed. */
static const struct segment_log_point *start_of(struct group *group,
                                                const struct segment_log_info *info)
{
    if (!group->drops_prefix) return trimmed_start(group);
    if (covers_damage(group, info) && group->bases_count > 0 &&
        group->bases[0].index >= group->cover_index) {
        return &group->bases[0];
    }
    return group->bases_count >= META_BASES_MAX ? &group->bases[META_BASES_MAX - 1u] : NULL;
}

/* Within limits nothing goes that a member is about to get: one that answers, and lags; one that is sent a base and goes on
 * behind it. */
static bool is_needed(struct group *group, uint64_t start_index)
{
    if (group->role != RAFT_LEADER || group->node->disk_full) return false;
    const uint64_t now_ms = io_now_ms(group->node->io);
    struct raft_view view;
    raft_view(group->raft, now_ms, &view);
    for (uint32_t i = 0; i < view.members_count; i++) {
        const struct raft_progress_view *member = &view.members[i];
        if (member->match >= start_index || member->id.node == group->node->identity.node_id) {
            continue;
        }
        if (member->heard_at_ms != 0 && now_ms - member->heard_at_ms < HEARD_MS &&
            member->state != RAFT_PROGRESS_SNAPSHOT) {
            return true;
        }
    }
    return base_send__lowest(group) < start_index;
}

static bool is_held_up(struct group *group, uint64_t start_index)
{
    const uint64_t now_us = io_now_us(group->node->io);
    if (group->drops_prefix || !is_needed(group, start_index)) {
        group->drop_held_us = 0;
        return false;
    }
    if (group->drop_held_us == 0) group->drop_held_us = now_us;
    const uint64_t kept =
        segment_log_bytes_behind(group->log, 0) - segment_log_bytes_behind(group->log, start_index);
    return now_us - group->drop_held_us < HOLD_US &&
           kept <= HOLD_SEGMENTS * group->node->options.segment_bytes_max;
}

void base__forget_below(struct group *group, uint64_t index)
{
    while (group->bases_count > 0 && group->bases[group->bases_count - 1u].index < index) {
        group->bases_count--;
    }
    assert(group->bases_count > 0);
}

/* The older bases are gone: the files follow. False: the bases are on their way. A drop that has begun is ended, however fast the
 * start moves on meanwhile. */
static bool end_drop(struct group *group, const struct segment_log_info *info)
{
    if (group->dropped_below <= info->base.index) return true;
    if (PLANTED(S5_DROP_THAT_BEGAN_IS_OUTRUN)) {
        const struct segment_log_point *start = start_of(group, info);
        if (!start || start->index != group->dropped_below) return true;
    }
    if (group->cleaned_below < group->dropped_below) return false;
    segment_log_drop_prefix(group->log, group->dropped_below);
    disk__pump_log(group, false);
    return true;
}

/* S5: `start`, or the last base that was read whole, when that is newer than where the log starts: under load TRIMs may come faster
 * than bases are read. */
static bool find_vouched(struct group *group, struct segment_log_point *start)
{
    if (snapshots__vouch(group, start->index)) return true;
    if (PLANTED(S5_BASE_THAT_WAS_READ_IS_OUTRUN)) return false;
    for (uint32_t i = 0; i < group->bases_count; i++) {
        const struct segment_log_point *base = &group->bases[i];
        if (base->index != group->snapshots.vouched_index || base->index > start->index) continue;
        if (base->index <= group->dropped_below) return false;
        *start = *base;
        return true;
    }
    return false;
}

/* The core is told first: from then on it offers nothing older. The older bases go before the files: what the log holds in
 * front of its oldest base is on its way out, and a log that begins behind it has lost a file (group.c). */
static void drop_prefix(struct group *group)
{
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    if (!end_drop(group, &info)) return;
    const struct segment_log_point *found = start_of(group, &info);
    if (!found || found->index == group->dropped_below) return;
    struct segment_log_point start = *found;
    if (start.index <= info.base.index || start.index > group->applied_index) return;
    if (start.index > info.durable_index) return; /* cut, and taken again */
    if (is_held_up(group, start.index)) return;
    /* Tried again by base__maintain(). Of a partition is_held_up() has judged. */
    if (group->drops_prefix && base_send__holds(group, start.index)) return;
    if (!find_vouched(group, &start) || start.index <= info.base.index) return;
    struct raft_event event = {.type = RAFT_EVENT_COMPACTED};
    event.compacted.index = start.index;
    event.compacted.term = start.term;
    if (group__step(group, &event) != RAFT_OK) return;
    group->dropped_below = start.index;
    base__forget_below(group, start.index);
    base__remove_older(group, start.index);
    if (PLANTED(S2_BASE_MISSING_AT_TRIM) && group->bases_count > 1)
        base__remove_one(group, start.index);
    node__log(group->node, "info",
              "event=\"log drops what is behind its base\" group=%" PRIu64 " base=%" PRIu64
              " first_offset=%" PRIu64,
              group->id, start.index, base__first_offset_kept(group));
}

/* ---- writing one -------------------------------------------------------------------------------------------------------------- */

static void run_write(struct io_job *job)
{
    struct base_write *write = job->data;
    write->status = snapshot_write(write->disk, write->base.group->directory, &write->header,
                                   write->state, &write->problem);
}

static void discard_write(struct group_job *job)
{
    free_write((struct base_write *)(void *)job);
}

static void done_write(struct io_job *job)
{
    struct base_write *write = job->data;
    struct group *group = write->base.group;
    struct node *node = group->node;
    group->base_writing = false;
    if (!node__enter(node)) {
        list_remove(&write->base.link);
    } else if (write->status == SNAPSHOT_OK || write->status == SNAPSHOT_FULL) {
        if (write->status == SNAPSHOT_OK) {
            base__note(group, &write->header.point);
            base__snapshot_durable(group, write->state);
            forget_dropped(group);
            node__log(node, "debug", "event=\"base written\" group=%" PRIu64 " base=%" PRIu64,
                      group->id, write->header.point.index);
            if (!group->dropping) drop_prefix(group);
        } else {
            node->disk_full = true; /* the next boundary is another chance */
        }
        if (node->state == NODE_FAILED) {
            list_remove(&write->base.link);
        } else {
            group__job_ended(&write->base); /* may free the group */
        }
    } else {
        list_remove(&write->base.link);
        node__fatal(node, NODE_FATAL_DISK, "base %s: %s", write->problem.path,
                    write->problem.reason);
    }
    free_write(write);
}

/* S2: only when the log is durable through it. */
static void write_frozen(struct group *group)
{
    struct base_write *write = group->base_frozen;
    if (!write || group->base_writing) return;
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    if (info.durable_index < write->header.point.index && !PLANTED(S2_BASE_IS_AHEAD_OF_THE_LOG)) {
        return;
    }
    group->base_frozen = NULL;
    group->base_writing = true;
    write->base.job.run = run_write;
    write->base.job.done = done_write;
    write->base.discard = discard_write;
    group__submit(group, group->node->background_queue, &write->base);
}

/* The state is the one at the boundary: freeze it. */
static void freeze(struct group *group)
{
    group->boundary_wanted = false;
    struct base_write *write = calloc(1, sizeof(*write));
    if (!write) abort();
    if (!checkpoint__header(group, SNAPSHOT_BASE, &write->header)) {
        free(write); /* the next boundary will do */
        return;
    }
    write->disk = group->node->disk;
    write->state = tree_ref(group->is_meta ? group->node->meta.state : group->partition.state);
    if (group->base_frozen) free_write(group->base_frozen);
    group->base_frozen = write;
}

void base__applied(struct group *group)
{
    if (group->boundary_wanted && group->applied_index == group->boundary_index) freeze(group);
}

void base__truncated(struct group *group, uint64_t from_index)
{
    if (from_index <= group->boundary_index) group->boundary_wanted = false;
}

void base__cover(struct group *group, uint64_t index)
{
    assert(group->drops_prefix);
    if (PLANTED(D4_UNMENDABLE_META_STAYS_DAMAGED)) return;
    if (index > group->cover_index) group->cover_index = index;
}

void base__begin(struct group *group)
{
    if (group->boundary_wanted || group->base_frozen || group->base_writing) return;
    if (group->receive || group->dropping) return;
    group->boundary_index = segment_log_roll(group->log);
    group->base_due_us = io_now_us(group->node->io);
    group->boundary_wanted = true;
    base__applied(group);
}

static bool is_due_of_meta(const struct group *group, const struct segment_log_info *info,
                           uint64_t since)
{
    const struct node_options *options = &group->node->options;
    const bool stands_in_front = covers_damage(group, info) && since < group->cover_index;
    if (stands_in_front && group->applied_index >= group->cover_index) return true;
    if (info->last_index - since >= options->meta_log_entries) return true;
    /* Most of it are replicas that were deleted, which only a base lets be forgotten. */
    if (node_store_count(group->node->store) >= NODE_STORE_GROUPS_MAX / 4u * 3u) return true;
    /* The segment in front of the newest boundary is still the last one until something follows it: it was counted. */
    if (info->last_segment_base_index < since) return false;
    return info->last_segment_bytes >= options->meta_log_bytes;
}

/* One at each segment boundary, so that whatever is trimmed has a base near it. A log in which nothing but control entries
 * was appended since waits until they are worth it. */
static bool is_due_of_partition(const struct group *group, const struct segment_log_info *info,
                                uint64_t since)
{
    if (info->last_segment_base_index < since) return false;
    if (segment_log_bytes_behind(group->log, since) >= retention__base_bytes(group)) return true;
    if (info->next_offset == group->bases[0].next_offset) return false;
    return io_now_us(group->node->io) - group->base_due_us >= retention__base_us(group);
}

static bool is_due(const struct group *group)
{
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    const uint64_t since = group->bases_count > 0 ? group->bases[0].index : info.base.index;
    if (info.last_index <= since) return false;
    if (RARELY(BASE_IS_DUE)) return group->is_meta || group->bases_count > 0;
    if (group->is_meta) return is_due_of_meta(group, &info, since);
    return group->bases_count > 0 && is_due_of_partition(group, &info, since);
}

/* Group 0 drops its prefix by size, for it holds no messages; partitions do it when they are trimmed (S4). Space that is
 * made is made also on a full disk, and there above all. */
void base__maintain(struct group *group)
{
    struct node *node = group->node;
    if (group->dropping) return;
    if (!node->disk_full) {
        if (node->state == NODE_RUNNING && is_due(group)) base__begin(group);
        write_frozen(group);
    }
    drop_prefix(group);
    snapshots__maintain(group);
}
