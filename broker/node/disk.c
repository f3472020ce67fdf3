/* Disk work of a node as jobs: log writes, the vote store, free space. Completions come back here. */
#include "disk.h"

#include "base_receive.h"
#include "birth.h"
#include "drop.h"
#include "group.h"
#include "internal.h"
#include "list.h"
#include "perform.h"
#include "turn.h"

#include <planted/planted.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPACE_CHECK_US      1000000u
#define APPENDS_RESERVE_DIV 4u
#define SPACE_BYTES_MIN \
    (1024u * 1024u) /* whatever the reserve: marks and votes go on needing some */

/* ---- log writes --------------------------------------------------------------------------------------------------------- */

static uint64_t measure_space(const struct node *node)
{
    uint64_t bytes;
    /* Not to know is no reason to refuse: writes tell. */
    return disk_free_bytes(node->disk, node->data_directory, &bytes) < 0 ? UINT64_MAX : bytes;
}

static bool is_less_than(uint64_t free_bytes, uint64_t reserve_bytes)
{
    return free_bytes < SPACE_BYTES_MIN || free_bytes < reserve_bytes;
}

static bool is_too_little(const struct node *node, uint64_t free_bytes)
{
    return is_less_than(free_bytes, node->options.reserve_bytes);
}

bool disk__refuses_appends(const struct node *node)
{
    return node->disk_full &&
           is_less_than(node->free_bytes, node->options.reserve_bytes / APPENDS_RESERVE_DIV);
}

static void set_space(struct node *node, uint64_t free_bytes)
{
    const bool full = is_too_little(node, free_bytes);
    node->free_bytes = free_bytes;
    if (full != node->disk_full) {
        node__log(node, full ? "error" : "info",
                  full ? "event=\"disk nearly full, refusing writes\" free_bytes=%" PRIu64
                       : "event=\"disk has space again, taking writes\" free_bytes=%" PRIu64,
                  node->free_bytes);
    }
    node->disk_full = full;
}

/* The check of the free space comes once a second, in which a fast producer writes more than the reserve: what is taken then
 * and finds no room would wait, unanswered. So each write looks at what it leaves. */
static void run_write(struct io_job *job)
{
    struct group *group = ((struct group_job *)job->data)->group;
    segment_log_job_run(group->write);
    /* A failed sync ends the node: nothing stands between it and the end. */
    group->write_left_bytes =
        segment_log_job_has_failed(group->write) ? UINT64_MAX : measure_space(group->node);
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
    if (is_too_little(node, group->write_left_bytes)) {
        node->space_lacked_us = group->last_write_us;
        set_space(node, group->write_left_bytes);
    }
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

/* ---- free space --------------------------------------------------------------------------------------------------------------- */

static void run_space(struct io_job *job)
{
    struct node *node = job->data;
    node->space_found_bytes = measure_space(node);
}

static void done_space(struct io_job *job)
{
    struct node *node = job->data;
    node->space_running = false;
    node->space_checked_us = io_now_us(node->io);
    if (!node__enter(node)) return;
    /* What a write left since this was measured is newer. */
    if (node->space_lacked_us < node->space_asked_us ||
        is_too_little(node, node->space_found_bytes)) {
        set_space(node, node->space_found_bytes);
    }
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        /* Nothing is put upon a full log, so it would not look by itself. */
        if (!node->disk_full) segment_log_look_for_space(group->log);
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
    node->space_asked_us = io_now_us(node->io);
    node->space_job.run = run_space;
    node->space_job.done = done_space;
    node->space_job.data = node;
    io_job_submit(node->io, node->setup_queue, &node->space_job);
}
