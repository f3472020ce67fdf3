/* Disk work of a node as jobs: log writes, the vote store, checkpoints, free space. Completions come back here. */
#include "internal.h"

#include <planted/planted.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPACE_CHECK_US 1000000u
#define SPACE_BYTES_MIN \
    (1024u * 1024u) /* whatever the reserve: marks and votes go on needing some */
#define META_CHECKPOINT_US 1000000u

/* ---- log writes --------------------------------------------------------------------------------------------------------- */

static void run_write(struct io_job *job)
{
    segment_log_job_run(((struct group_job *)job->data)->group->write);
}

static void discard_write(struct group_job *job)
{
    if (!job->group->write) return; /* done_write ended in a fatal error */
    struct segment_log_job_result result;
    segment_log_job_finish(job->group->log, job->group->write, &result);
    job->group->write = NULL;
}

static void count_sync(struct node *node, uint64_t sync_us)
{
    if (sync_us == 0) return;
    node->counters.sync_count++;
    node->counters.sync_us_total += sync_us;
    if (sync_us > node->counters.sync_us_max) node->counters.sync_us_max = sync_us;
}

static void done_write(struct io_job *job)
{
    struct group *group = ((struct group_job *)job->data)->group;
    struct node *node = group->node;
    struct segment_log_job_result result;
    segment_log_job_finish(group->log, group->write, &result);
    group->write = NULL;
    if (!node__enter(node)) {
        list_remove(&group->write_job.link);
        return;
    }
    group->last_write_us = io_now_us(node->io);
    count_sync(node, result.sync_us);
    switch (result.status) {
    case SEGMENT_LOG_OK:
        group->write_refused = false;
        break;
    case SEGMENT_LOG_FULL:
        group->write_refused = true;
        node->disk_full = true; /* the job is tried again when there is space (disk__check_space) */
        break;
    case SEGMENT_LOG_IO:
    case SEGMENT_LOG_DAMAGED:
    case SEGMENT_LOG_LOST_POSITION:
    case SEGMENT_LOG_FOREIGN:
    case SEGMENT_LOG_MISSING:
    case SEGMENT_LOG_BAD_VERSION:
    case SEGMENT_LOG_BROKEN_CHAIN:
    case SEGMENT_LOG_BAD_ENTRY:
    case SEGMENT_LOG_NOT_CACHED:
    case SEGMENT_LOG_OUT_OF_RANGE:
    case SEGMENT_LOG_SUPERSEDED:
        if (PLANTED(B24_VOTES_AFTER_WRITE_ERROR)) break;
        /* L11: no ack, no vote after this; never try the sync again. */
        node__fatal(node, NODE_FATAL_DISK, "group %" PRIu64 ": write to %s failed: %s (errno %d)",
                    group->id, result.problem.path, result.problem.reason, result.problem.error);
        return;
    }
    if (result.durable_index && !group->dropping) {
        struct raft_event event = {.type = RAFT_EVENT_DURABLE};
        event.durable.index = result.durable_index;
        event.durable.term = result.durable_term;
        (void)group__step(group, &event);
        if (node->state == NODE_FAILED) return;
    }
    if (!group->dropping) base_receive__log_job_ended(group, &result);
    if (!group->dropping) node__dirty(group); /* what came meanwhile is written next */
    group__job_ended(&group->write_job);      /* may free the group */
}

void disk__pump_log(struct group *group, bool idle)
{
    struct node *node = group->node;
    if (group->write || group->dropping || node->state == NODE_FAILED) return;
    /* A full disk is tried again at the pace of the space check, not in a circle. */
    if (group->write_refused && io_now_us(node->io) - group->last_write_us < SPACE_CHECK_US / 4u) {
        return;
    }
    group->write = segment_log_next_job(group->log, idle);
    if (!group->write) return;
    group->write_started_us = io_now_us(node->io);
    group->write_job.job.run = run_write;
    group->write_job.job.done = done_write;
    group->write_job.discard = discard_write;
    group__submit(group, group->queue, &group->write_job);
}

/* ---- vote store ------------------------------------------------------------------------------------------------------------ */

static void run_store(struct io_job *job)
{
    node_store_job_run(((struct node *)job->data)->store_running);
}

static void done_store(struct io_job *job)
{
    struct node *node = job->data;
    struct segment_log_problem problem = {0};
    const int error = node_store_job_finish(node->store, node->store_running, &problem);
    node->store_running = NULL;
    if (!node__enter(node)) return;
    if (error < 0) {
        node__fatal(node, NODE_FATAL_DISK, "vote store %s: %s (errno %d)", problem.path,
                    problem.reason, -error);
        return;
    }
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        group__store_durable(list_entry(link, struct group, link));
        if (node->state == NODE_FAILED) return;
    }
    group__births_durable(node);
    if (node->state == NODE_FAILED) return;
    group__drops_durable(node);
    disk__pump_store(node);
    node__post(node);
}

void disk__pump_store(struct node *node)
{
    if (node->store_running || node->state == NODE_FAILED) return;
    node->store_running = node_store_next_job(node->store);
    if (!node->store_running) return;
    node->store_started_us = io_now_us(node->io);
    node->store_job.run = run_store;
    node->store_job.done = done_store;
    node->store_job.data = node;
    io_job_submit(node->io, node->store_queue, &node->store_job);
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------------------ */

struct checkpoint {
    struct group_job base;
    struct disk *disk;
    struct snapshot_header header;
    struct tree *state; /* one reference: frozen (S1) */
    enum snapshot_status status;
    struct segment_log_problem problem;
};

static void run_checkpoint(struct io_job *job)
{
    struct checkpoint *checkpoint = job->data;
    const char *directory = checkpoint->base.group->directory;
    checkpoint->status = snapshot_write(checkpoint->disk, directory, &checkpoint->header,
                                        checkpoint->state, &checkpoint->problem);
    if (checkpoint->status != SNAPSHOT_OK) return;
    const int error =
        snapshot_remove_older(checkpoint->disk, directory, checkpoint->header.point.index);
    if (error == 0) return;
    /* Nothing depends on them being gone, but on the disk that cannot sync a directory much does (L11). */
    checkpoint->status = SNAPSHOT_IO;
    snprintf(checkpoint->problem.path, sizeof(checkpoint->problem.path), "%s", directory);
    snprintf(checkpoint->problem.reason, sizeof(checkpoint->problem.reason),
             "removing older checkpoints failed");
    checkpoint->problem.error = error;
}

static void discard_checkpoint(struct group_job *job)
{
    struct checkpoint *checkpoint = (struct checkpoint *)(void *)job;
    tree_unref(checkpoint->state);
    free(checkpoint);
}

static void done_checkpoint(struct io_job *job)
{
    struct checkpoint *checkpoint = job->data;
    struct group *group = checkpoint->base.group;
    struct node *node = group->node;
    group->checkpoint_running = false;
    if (!node__enter(node)) {
        list_remove(&checkpoint->base.link);
    } else if (checkpoint->status == SNAPSHOT_OK || checkpoint->status == SNAPSHOT_FULL) {
        if (checkpoint->status == SNAPSHOT_OK) {
            /* An installed base may have gone past it meanwhile. */
            if (checkpoint->header.point.index > group->checkpoint_index) {
                group->checkpoint_index = checkpoint->header.point.index;
            }
            group->counters.checkpoints++;
            base__snapshot_durable(group, checkpoint->state);
        } else {
            node->disk_full = true; /* tried again when there is space */
        }
        group__job_ended(&checkpoint->base); /* may free the group */
    } else {
        list_remove(&checkpoint->base.link);
        node__fatal(node, NODE_FATAL_DISK, "checkpoint %s: %s", checkpoint->problem.path,
                    checkpoint->problem.reason);
    }
    discard_checkpoint(&checkpoint->base);
}

bool checkpoint__header(const struct group *group, enum snapshot_kind kind,
                        struct snapshot_header *ret_header)
{
    const struct raft_indexed_configuration *configuration =
        raft_configuration_at(group->raft, group->applied_index);
    if (!configuration) return false; /* several changes since, still to be applied */
    ret_header->kind = kind;
    ret_header->cluster = group->node->identity.cluster;
    ret_header->group = group->id;
    ret_header->log_start_offset = group->is_meta ? 0 : group->partition.log_start_offset;
    ret_header->configuration_index = configuration->index;
    ret_header->configuration_bytes = (uint32_t)raft_codec_encode_configuration(
        &configuration->configuration, ret_header->configuration,
        sizeof(ret_header->configuration));
    return segment_log_point_at(group->log, group->applied_index, &ret_header->point) ==
           SEGMENT_LOG_OK;
}

/* S2: a checkpoint is written only when the log is durable through its index. */
void disk__checkpoint(struct group *group, bool force)
{
    struct node *node = group->node;
    if (group->checkpoint_running || group->dropping || (node->disk_full && !force)) return;
    if (group->applied_index <= group->checkpoint_index) return;
    const uint64_t now_us = io_now_us(node->io);
    uint64_t wanted = node->options.checkpoint_entries;
    /* Meta changes seldom. After a restart it should know every topic at once: its commit index comes from a leader, which
     * may be out of reach while the partitions here are not. */
    if (group->is_meta && now_us - group->checkpoint_us >= META_CHECKPOINT_US) wanted = 1;
    if (!force && group->applied_index - group->checkpoint_index < wanted) return;
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    bool ahead = info.durable_index < group->applied_index;
    if (ahead && !PLANTED(S2_SNAPSHOT_IS_AHEAD_OF_THE_LOG)) return;
    struct checkpoint *checkpoint = calloc(1, sizeof(*checkpoint));
    if (!checkpoint) abort();
    if (!checkpoint__header(group, SNAPSHOT_CHECKPOINT, &checkpoint->header)) {
        free(checkpoint); /* the next one will do */
        return;
    }
    checkpoint->disk = node->disk;
    checkpoint->state = tree_ref(group->is_meta ? node->meta.state : group->partition.state);
    checkpoint->base.job.run = run_checkpoint;
    checkpoint->base.job.done = done_checkpoint;
    checkpoint->base.discard = discard_checkpoint;
    group->checkpoint_running = true;
    group->checkpoint_us = now_us;
    group__submit(group, group->read_queue, &checkpoint->base);
}

/* ---- free space --------------------------------------------------------------------------------------------------------------- */

static void run_space(struct io_job *job)
{
    struct node *node = job->data;
    if (disk_free_bytes(node->disk, node->data_directory, &node->space_found_bytes) < 0) {
        node->space_found_bytes = UINT64_MAX; /* unknown: writes tell */
    }
}

static void done_space(struct io_job *job)
{
    struct node *node = job->data;
    node->space_running = false;
    node->space_checked_us = io_now_us(node->io);
    node->free_bytes = node->space_found_bytes;
    if (!node__enter(node)) return;
    const bool full =
        node->free_bytes < SPACE_BYTES_MIN || node->free_bytes < node->options.reserve_bytes;
    if (full != node->disk_full) {
        node__log(node, full ? "error" : "info",
                  full ? "event=\"disk nearly full, refusing writes\" free_bytes=%" PRIu64
                       : "event=\"disk has space again, taking writes\" free_bytes=%" PRIu64,
                  node->free_bytes);
    }
    node->disk_full = full;
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        /* Nothing is put upon a full log, so it would not look by itself. */
        if (!full) segment_log_look_for_space(group->log);
        disk__pump_log(group, false);
    }
    node__post(node);
}

void disk__check_space(struct node *node)
{
    if (node->space_running || node->state == NODE_FAILED) return;
    if (node->space_checked_us && io_now_us(node->io) - node->space_checked_us < SPACE_CHECK_US) {
        return;
    }
    node->space_running = true;
    node->space_job.run = run_space;
    node->space_job.done = done_space;
    node->space_job.data = node;
    io_job_submit(node->io, node->setup_queue, &node->space_job);
}
