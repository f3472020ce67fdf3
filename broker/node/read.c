/* Reads of entries that are no longer in memory, as jobs: for fetches, for followers that are behind, for apply after a
 * restart. */
#include "read.h"

#include "group.h"
#include "internal.h"
#include "list.h"
#include "turn.h"

#include <inttypes.h>
#include <stdlib.h>

static struct group_read *read_of(struct group_job *job)
{
    return (struct group_read *)(void *)job; /* its first member */
}

static void run_read(struct io_job *job)
{
    segment_log_read_job_run(read_of(job->data)->read);
}

static void discard_read(struct group_job *job)
{
    struct group_read *read = read_of(job);
    struct segment_log_view view;
    if (segment_log_read_job_finish(job->group->log, read->read, &view, NULL) == SEGMENT_LOG_OK) {
        segment_log_view_release(&view);
    }
    free(read);
}

static void done_read(struct io_job *job)
{
    struct group_read *read = read_of(job->data);
    struct node *node = read->base.group->node;
    if (!node__enter(node)) {
        list_remove(&read->base.link);
        discard_read(&read->base);
        return;
    }
    struct segment_log_view view;
    struct segment_log_problem problem = {0};
    const enum segment_log_status status =
        segment_log_read_job_finish(read->base.group->log, read->read, &view, &problem);
    read->done(read, status, &view, &problem);
    if (node->state == NODE_FAILED) {
        list_remove(&read->base.link);
    } else {
        group__job_ended(&read->base); /* may free the group */
        node__post(node);
    }
    free(read);
}

void read__submit(struct group *group, struct group_read *read)
{
    read->base.job.run = run_read;
    read->base.job.done = done_read;
    read->base.discard = discard_read;
    group__submit(group, group->read_queue, &read->base);
}

enum segment_log_status read__start(struct group *group, struct group_read *read,
                                    enum segment_log_key key, uint64_t value, uint64_t last_index,
                                    size_t bytes_max)
{
    const enum segment_log_status status =
        segment_log_read_job_create(group->log, key, value, last_index, bytes_max, &read->read);
    if (status != SEGMENT_LOG_OK) {
        free(read);
        return status;
    }
    read__submit(group, read);
    return SEGMENT_LOG_OK;
}

void read__fatal(struct group *group, enum segment_log_status status,
                 const struct segment_log_problem *problem)
{
    node__fatal(group->node, status == SEGMENT_LOG_IO ? NODE_FATAL_DISK : NODE_FATAL_DAMAGE,
                "group %" PRIu64 ": %s at byte %" PRIu64 ", entry %" PRIu64 ": %s (%s)", group->id,
                problem->path, problem->pos, problem->index, problem->reason,
                segment_log_status_text(status));
}
