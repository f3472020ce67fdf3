/* Sealing the closed segments of a group's log as jobs, piece by piece (PROTOCOL L8): on the queue of the reads, since a
 * segment that is full must not hold up the writes into the next one. */
#include "seal.h"

#include "group.h"
#include "internal.h"
#include "list.h"
#include "turn.h"

#include <inttypes.h>

static void run_seal(struct io_job *job)
{
    segment_log_seal_job_run(((struct group_job *)job->data)->group->seal);
}

static void discard_seal(struct group_job *job)
{
    struct group *group = job->group;
    if (!group->seal) return; /* done_seal ended in a fatal error */
    /* The node is going away: whatever it says, the next start finds out anew. */
    const enum segment_log_status status =
        segment_log_seal_job_finish(group->log, group->seal, NULL);
    (void)status;
    group->seal = NULL;
}

static void done_seal(struct io_job *job)
{
    struct group *group = ((struct group_job *)job->data)->group;
    struct node *node = group->node;
    if (!node__enter(node)) {
        list_remove(&group->seal_job.link);
        discard_seal(&group->seal_job);
        return;
    }
    struct segment_log_problem problem = {0};
    const enum segment_log_status status =
        segment_log_seal_job_finish(group->log, group->seal, &problem);
    group->seal = NULL;
    if (status == SEGMENT_LOG_IO) {
        list_remove(&group->seal_job.link);
        node__fatal(node, NODE_FATAL_DISK, "group %" PRIu64 ": footer of %s: %s (errno %d)",
                    group->id, problem.path, problem.reason, problem.error);
        return;
    }
    if (status != SEGMENT_LOG_OK) {
        node__log(node, status == SEGMENT_LOG_DAMAGED ? "error" : "warn",
                  "event=\"segment gets no footer\" group=%" PRIu64 " file=%s pos=%" PRIu64
                  " index=%" PRIu64 " reason=\"%s\"",
                  group->id, problem.path, problem.pos, problem.index, problem.reason);
    }
    if (!group->dropping) node__dirty(group); /* the next piece; and a truncation may have waited */
    group__job_ended(&group->seal_job);       /* may free the group */
}

void seal__pump(struct group *group)
{
    const struct node *node = group->node;
    if (group->seal || group->dropping || node->stop_quiet || node->disk_full) return;
    segment_log_committed(group->log, group->commit_index);
    group->seal = segment_log_next_seal_job(group->log);
    if (!group->seal) return;
    group->seal_job.job.run = run_seal;
    group->seal_job.job.done = done_seal;
    group->seal_job.discard = discard_seal;
    group__submit(group, group->read_queue, &group->seal_job);
}
