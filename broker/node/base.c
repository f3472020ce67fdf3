/* Bases that a replica makes of its own state, and the prefix of its log that goes behind them (PROTOCOL S2, S5).
 *
 *   enough entries ─> roll: boundary = last entry ─> applied there: state frozen ─> durable there: written
 *        ─> the newest base; the log starts at the one before it, so that a follower that lags a little is sent entries
 *
 * The boundary is chosen before anything behind it can be applied, so the state at exactly that entry is never missed; when
 * it is cut, it is chosen again. */
#include "internal.h"

#include <snapshot/transfer.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* A damaged checkpoint is skipped at a start, a base never: no entry up to it is applied again (M4). */
static void forget_dropped(const struct group *group)
{
    if (group->is_meta) group__forget_dropped(group->node, group->bases[0].index);
}

void base__note(struct group *group, const struct segment_log_point *point)
{
    if (group->bases_count > 0 && point->index <= group->bases[0].index) return;
    if (group->bases_count == GROUP_BASES_MAX) group->bases_count--;
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
    forget_dropped(group);
}

void base__free(struct group *group)
{
    if (group->base_frozen) free_write(group->base_frozen);
    group->base_frozen = NULL;
}

/* ---- older files ------------------------------------------------------------------------------------------------------------ */

struct base_cleaning {
    struct group_job base;
    uint64_t below_index;
    int error;
};

static void run_cleaning(struct io_job *job)
{
    struct base_cleaning *cleaning = job->data;
    struct group *group = cleaning->base.group;
    cleaning->error =
        snapshot_remove_below(group->node->disk, group->directory, cleaning->below_index);
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
        group__job_ended(&cleaning->base); /* may free the group */
    }
    free(cleaning);
}

void base__remove_older(struct group *group, uint64_t below_index)
{
    struct base_cleaning *cleaning = calloc(1, sizeof(*cleaning));
    if (!cleaning) abort();
    cleaning->below_index = below_index;
    cleaning->base.job.run = run_cleaning;
    cleaning->base.job.done = done_cleaning;
    cleaning->base.discard = discard_cleaning;
    group__submit(group, group->read_queue, &cleaning->base);
}

/* ---- the prefix ------------------------------------------------------------------------------------------------------------- */

/* S5: the log starts at the base before the newest one. The core is told first: from then on it offers nothing older. */
static void drop_prefix(struct group *group)
{
    if (!group->drops_prefix || group->bases_count < GROUP_BASES_MAX) return;
    const struct segment_log_point *start = &group->bases[GROUP_BASES_MAX - 1u];
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    if (start->index <= info.base.index || start->index > group->applied_index) return;
    struct raft_event event = {.type = RAFT_EVENT_COMPACTED};
    event.compacted.index = start->index;
    event.compacted.term = start->term;
    if (group__step(group, &event) != RAFT_OK) return;
    segment_log_drop_prefix(group->log, start->index);
    disk__pump_log(group, false);
    if (group->dropped_below == start->index) return; /* asked again: a reader held it up */
    group->dropped_below = start->index;
    base__remove_older(group, start->index);
    node__log(group->node, "info",
              "event=\"log drops what is behind its base\" group=%" PRIu64 " base=%" PRIu64,
              group->id, start->index);
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
    if (info.durable_index < write->header.point.index) return;
    group->base_frozen = NULL;
    group->base_writing = true;
    write->base.job.run = run_write;
    write->base.job.done = done_write;
    write->base.discard = discard_write;
    group__submit(group, group->read_queue, &write->base);
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

void base__begin(struct group *group)
{
    if (group->boundary_wanted || group->base_frozen || group->base_writing) return;
    if (group->receive || group->dropping) return;
    group->boundary_index = segment_log_roll(group->log);
    group->boundary_wanted = true;
    base__applied(group);
}

static bool is_due(const struct group *group)
{
    const struct node_options *options = &group->node->options;
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    const uint64_t since = group->bases_count > 0 ? group->bases[0].index : info.base.index;
    if (info.last_index <= since) return false;
    if (info.last_index - since >= options->meta_log_entries) return true;
    /* Most of it are replicas that were deleted, which only a base lets be forgotten. */
    if (node_store_count(group->node->store) >= NODE_STORE_GROUPS_MAX / 4u * 3u) return true;
    /* The segment in front of the newest boundary is still the last one until something follows it: it was counted. */
    if (info.last_segment_base_index < since) return false;
    return info.last_segment_bytes >= options->meta_log_bytes;
}

/* Group 0 drops its prefix by size, for it holds no messages; partitions do it when they are trimmed (S4). */
void base__maintain(struct group *group)
{
    struct node *node = group->node;
    if (group->dropping || node->disk_full) return;
    if (group->is_meta && node->state == NODE_RUNNING && is_due(group)) base__begin(group);
    write_frozen(group);
    drop_prefix(group);
}
