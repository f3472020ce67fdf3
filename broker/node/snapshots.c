/* Of a snapshot that rots another one takes the place (PROTOCOL D, S2):
 *
 *   a checkpoint                the state in memory is written as a new one
 *   a base, not the oldest      is forgotten and removed: a state can be had from an older one, and the next boundary gets a base
 *   the oldest base             is written again from its copy, or the copy from it: nothing else tells the state there
 *
 * Should the oldest base and its copy be lost at once, the replica goes on without: its state is a newer one, and the log behind
 * that base is whole. Group 0 makes a newer base and drops that start. A partition cannot bring a member that is far behind
 * as far back as its log reaches, until it is trimmed; it says so. */
#include "snapshots.h"

#include "base.h"
#include "checkpoint.h"
#include "group.h"
#include "internal.h"
#include "scrub.h"
#include "turn.h"

#include <planted/planted.h>
#include <snapshot/transfer.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASKED_AGAIN_US 10000000u

enum mend_action {
    MEND_REMOVE,
    MEND_RESTORE,     /* the base from its copy */
    MEND_COPY,        /* the copy from the base */
    MEND_COPY_UNLESS, /* ... unless it is there */
};

struct snapshot_mend {
    struct group_job base;
    struct snapshot_file file;
    enum mend_action action;
    enum snapshot_status status;
    bool has_changed;
    struct segment_log_problem problem;
};

struct snapshot_check {
    struct group_job base;
    struct snapshot_file after, found;
    bool has_after;
    uint64_t bytes;
    enum snapshot_status status;
    struct segment_log_problem problem;
};

static uint64_t start_index(const struct group *group)
{
    return group->bases[group->bases_count - 1u].index;
}

void snapshots__note_lost_start(struct group *group)
{
    group->snapshots.has_lost = true;
    group->snapshots.lost_index = start_index(group);
}

/* Not any more once the log starts elsewhere. */
bool snapshots__start_is_lost(const struct group *group)
{
    const struct snapshot_care *care = &group->snapshots;
    return care->has_lost && group->bases_count > 0 && care->lost_index == start_index(group);
}

/* ---- mending ------------------------------------------------------------------------------------------------------------ */

static void run_mend(struct io_job *job)
{
    struct snapshot_mend *mend = job->data;
    const struct group *group = mend->base.group;
    struct disk *disk = group->node->disk;
    const struct cluster_id *cluster = &group->node->identity.cluster;
    const uint64_t index = mend->file.index;
    int error;
    mend->has_changed = true;
    switch (mend->action) {
    case MEND_REMOVE:
        error = snapshot_remove_file(disk, group->directory, &mend->file);
        mend->status = error == 0 ? SNAPSHOT_OK : SNAPSHOT_IO;
        if (error == 0) return;
        snprintf(mend->problem.reason, sizeof(mend->problem.reason), "removing it failed: %s",
                 strerror(-error));
        return;
    case MEND_RESTORE:
        mend->status = snapshot_restore_base(disk, group->directory, cluster, group->id, index,
                                             &mend->problem);
        return;
    case MEND_COPY_UNLESS:
        mend->has_changed = !snapshot_has_copy(disk, group->directory, cluster, group->id, index);
        mend->status = SNAPSHOT_OK;
        if (!mend->has_changed) return;
        /* fall through */
    case MEND_COPY:
        mend->status =
            snapshot_copy_base(disk, group->directory, cluster, group->id, index, &mend->problem);
        return;
    }
}

static void discard_mend(struct group_job *job)
{
    free(job);
}

static void take_mended(struct snapshot_mend *mend)
{
    struct group *group = mend->base.group;
    if (mend->action == MEND_COPY_UNLESS) return; /* nothing was damaged */
    group->snapshots.mended_total++;
    if (mend->file.index == group->snapshots.lost_index) group->snapshots.has_lost = false;
    node__log(group->node, "info",
              "event=\"damaged snapshot mended\" group=%" PRIu64 " index=%" PRIu64 " how=\"%s\"",
              group->id, mend->file.index,
              mend->action == MEND_REMOVE    ? "removed, another one serves"
              : mend->action == MEND_RESTORE ? "from its copy"
                                             : "its copy written anew");
}

/* Neither the base nor its copy is whole. It may have been dropped meanwhile, too. */
static void take_lost(struct snapshot_mend *mend)
{
    struct group *group = mend->base.group;
    if (group->dropping || mend->file.index != start_index(group)) return;
    snapshots__note_lost_start(group);
    node__log(group->node, "error",
              "event=\"the base at the start of the log is lost, and its copy\" group=%" PRIu64
              " index=%" PRIu64 " reason=\"%s\"",
              group->id, mend->file.index, mend->problem.reason);
    if (group->is_meta) base__begin(group); /* its log starts at a newer one soon */
}

static void done_mend(struct io_job *job)
{
    struct snapshot_mend *mend = job->data;
    struct group *group = mend->base.group;
    struct node *node = group->node;
    group->snapshots.mends_count--;
    if (!node__enter(node)) {
        list_remove(&mend->base.link);
        free(mend);
        return;
    }
    if (mend->status == SNAPSHOT_IO) {
        list_remove(&mend->base.link);
        node__fatal(node, NODE_FATAL_DISK, "snapshot %" PRIu64 " of group %" PRIu64 ": %s",
                    mend->file.index, group->id, mend->problem.reason);
        free(mend);
        return;
    }
    if (mend->status == SNAPSHOT_OK) {
        take_mended(mend);
    } else if (mend->status == SNAPSHOT_FULL) {
        node->disk_full = true;
        group->snapshots.is_copied = false; /* tried again when there is space */
    } else {
        take_lost(mend);
    }
    group__job_ended(&mend->base); /* may free the group */
    node__post(node);
    free(mend);
}

static void submit_mend(struct group *group, const struct snapshot_file *file,
                        enum mend_action action)
{
    struct snapshot_mend *mend = calloc(1, sizeof(*mend));
    if (!mend) abort();
    mend->file = *file;
    mend->action = action;
    mend->base.job.run = run_mend;
    mend->base.job.done = done_mend;
    mend->base.discard = discard_mend;
    group->snapshots.mends_count++;
    group__submit(group, group->node->background_queue, &mend->base);
}

static void forget_base(struct group *group, uint64_t index)
{
    for (uint32_t i = 0; i + 1u < group->bases_count; i++) {
        if (group->bases[i].index != index) continue;
        group->bases_count--;
        memmove(group->bases + i, group->bases + i + 1,
                (group->bases_count - i) * sizeof(group->bases[0]));
        if (i == 0) base__begin(group);
        return;
    }
}

static void mend_checkpoint(struct group *group, const struct snapshot_file *file)
{
    submit_mend(group, file, MEND_REMOVE);
    if (group->checkpoint_running) return; /* a newer one is being written */
    if (group->checkpoint_index > group->bases[0].index) {
        group->checkpoint_index = group->bases[0].index;
    }
    checkpoint__maintain(group, /* force= */ true);
}

static void mend(struct group *group, const struct snapshot_file *file)
{
    if (PLANTED(S2_ROTTEN_SNAPSHOT_STAYS)) return;
    if (file->kind == SNAPSHOT_CHECKPOINT) {
        mend_checkpoint(group, file);
    } else if (file->index == start_index(group)) {
        submit_mend(group, file, file->form == SNAPSHOT_COPY ? MEND_COPY : MEND_RESTORE);
    } else if (file->index <= group->bases[0].index) {
        forget_base(group, file->index);
        submit_mend(group, file, MEND_REMOVE);
    }
    /* A newer one is just being made: the next pass will know it. */
}

void snapshots__base_is_bad(struct group *group, uint64_t index)
{
    struct snapshot_care *care = &group->snapshots;
    const uint64_t now_us = io_now_us(group->node->io);
    if (group->dropping || care->mends_count > 0) return;
    if (care->asked_us != 0 && now_us - care->asked_us < ASKED_AGAIN_US) return;
    for (uint32_t i = 0; i < group->bases_count; i++) {
        if (group->bases[i].index != index) continue;
        const struct snapshot_file file = {
            .kind = SNAPSHOT_BASE, .form = SNAPSHOT_FINAL, .index = index};
        care->asked_us = now_us;
        mend(group, &file);
        return;
    }
}

/* ---- jobs that read ----------------------------------------------------------------------------------------------------- */

/* One has ended. False: the node is going, or goes because its disk failed; nothing is to be taken of it. */
static bool has_read(struct group_job *job, enum snapshot_status status,
                     const struct segment_log_problem *problem)
{
    struct node *node = job->group->node;
    const bool goes_on = node__enter(node);
    if (goes_on && status != SNAPSHOT_IO) return true;
    list_remove(&job->link);
    if (goes_on) {
        node__fatal(node, NODE_FATAL_DISK, "snapshot %s: %s", problem->path, problem->reason);
    }
    return false;
}

static void tell_damaged(const struct group *group, const struct segment_log_problem *problem)
{
    node__log(group->node, "warn",
              "event=\"damaged snapshot found\" group=%" PRIu64 " path=\"%s\" pos=%" PRIu64
              " reason=\"%s\"",
              group->id, problem->path, problem->pos, problem->reason);
}

/* ---- before the log starts at one --------------------------------------------------------------------------------------- */

struct snapshot_vouch {
    struct group_job base;
    uint64_t index;
    enum snapshot_status status;
    struct segment_log_problem problem;
};

static void run_vouch(struct io_job *job)
{
    struct snapshot_vouch *vouch = job->data;
    const struct group *group = vouch->base.group;
    struct snapshot_source source;
    vouch->status =
        snapshot_source_open(group->node->disk, group->directory, &group->node->identity.cluster,
                             group->id, vouch->index, &source, &vouch->problem);
    if (vouch->status == SNAPSHOT_OK) snapshot_source_close(&source);
}

static void discard_vouch(struct group_job *job)
{
    free(job);
}

static void take_vouch(const struct snapshot_vouch *vouch)
{
    struct group *group = vouch->base.group;
    if (vouch->status == SNAPSHOT_OK) {
        group->snapshots.vouched_index = vouch->index;
        return;
    }
    tell_damaged(group, &vouch->problem);
    const struct snapshot_file file = {
        .kind = SNAPSHOT_BASE, .form = SNAPSHOT_FINAL, .index = vouch->index};
    mend(group, &file);
}

static void done_vouch(struct io_job *job)
{
    struct snapshot_vouch *vouch = job->data;
    struct group *group = vouch->base.group;
    struct node *node = group->node;
    group->snapshots.is_vouching = false;
    if (has_read(&vouch->base, vouch->status, &vouch->problem)) {
        if (!group->dropping) {
            take_vouch(vouch);
            node__dirty(group);
        }
        group__job_ended(&vouch->base); /* may free the group */
        node__post(node);
    }
    free(vouch);
}

bool snapshots__vouch(struct group *group, uint64_t index)
{
    struct snapshot_care *care = &group->snapshots;
    if (care->vouched_index == index || PLANTED(S5_LOG_STARTS_AT_ANY_BASE)) return true;
    if (care->is_vouching || care->mends_count > 0) return false;
    /* It would be read in vain. */
    if (snapshots__start_is_lost(group) && index == start_index(group)) return false;
    struct snapshot_vouch *vouch = calloc(1, sizeof(*vouch));
    if (!vouch) abort();
    care->is_vouching = true;
    vouch->index = index;
    vouch->base.job.run = run_vouch;
    vouch->base.job.done = done_vouch;
    vouch->base.discard = discard_vouch;
    group__submit(group, group->node->background_queue, &vouch->base);
    return false;
}

/* ---- a pass of the scrubber --------------------------------------------------------------------------------------------- */

static void run_check(struct io_job *job)
{
    struct snapshot_check *check = job->data;
    const struct group *group = check->base.group;
    check->status = snapshot_check_next(
        group->node->disk, group->directory, &group->node->identity.cluster, group->id,
        check->has_after ? &check->after : NULL, &check->found, &check->bytes, &check->problem);
}

static void discard_check(struct group_job *job)
{
    struct snapshot_check *check = (struct snapshot_check *)(void *)job;
    check->base.group->node->scrub.is_reading = false;
    free(check);
}

static void take_check(struct snapshot_check *check)
{
    struct group *group = check->base.group;
    struct snapshot_care *care = &group->snapshots;
    if (check->status == SNAPSHOT_MISSING) {
        care->is_checking = false;
        return;
    }
    care->after = check->found;
    care->has_after = true;
    const bool is_stale =
        check->found.form == SNAPSHOT_COPY && check->found.index != start_index(group);
    if (check->status == SNAPSHOT_OK && !is_stale) return;
    if (check->status != SNAPSHOT_OK) tell_damaged(group, &check->problem);
    mend(group, &check->found);
}

static void done_check(struct io_job *job)
{
    struct snapshot_check *check = job->data;
    struct group *group = check->base.group;
    struct node *node = group->node;
    node->scrub.is_reading = false;
    node->scrub.credit_bytes -= (int64_t)check->bytes;
    node->counters.scrubbed_bytes += check->bytes;
    if (has_read(&check->base, check->status, &check->problem)) {
        if (!group->dropping) take_check(check);
        group__job_ended(&check->base); /* may free the group */
        scrub__run(node);
        node__post(node);
    }
    free(check);
}

void snapshots__check_begin(struct group *group)
{
    group->snapshots.is_checking = true;
    group->snapshots.has_after = false;
}

bool snapshots__check_next(struct group *group)
{
    struct snapshot_care *care = &group->snapshots;
    if (!care->is_checking) return false;
    struct snapshot_check *check = calloc(1, sizeof(*check));
    if (!check) abort();
    check->after = care->after;
    check->has_after = care->has_after;
    check->base.job.run = run_check;
    check->base.job.done = done_check;
    check->base.discard = discard_check;
    group->node->scrub.is_reading = true;
    group__submit(group, group->read_queue, &check->base);
    return true;
}

bool snapshots__are_mended(const struct group *group)
{
    return group->snapshots.mends_count > 0;
}

void snapshots__maintain(struct group *group)
{
    struct snapshot_care *care = &group->snapshots;
    if (group->dropping || group->node->disk_full || group->bases_count == 0) return;
    const uint64_t index = start_index(group);
    if (care->is_copied && care->copied_index == index) return;
    care->is_copied = true;
    care->copied_index = index;
    const struct snapshot_file file = {
        .kind = SNAPSHOT_BASE, .form = SNAPSHOT_COPY, .index = index};
    submit_mend(group, &file, MEND_COPY_UNLESS);
}
