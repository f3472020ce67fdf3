/* Checkpoints: the state of a group, so that a restart applies little of the log again (PROTOCOL S1, S2).
 *
 * Taking one is a reference to the root of the state, on the loop. It is written by a background job, while commits go on.
 * The replicas of a group take theirs at different entries, so that not all of them are busy with it at once. */
#include "checkpoint.h"

#include "base.h"
#include "group.h"
#include "internal.h"
#include "list.h"

#include <broker/raft_codec.h>
#include <planted/planted.h>
#include <rare/rare.h>
#include <snapshot/snapshot.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define META_CHECKPOINT_US 1000000u

struct checkpoint {
    struct group_job base;
    struct disk *disk;
    struct snapshot_header header;
    struct tree *state; /* one reference: frozen (S1) */
    uint64_t take_us;
    uint64_t write_us;
    enum snapshot_status status;
    struct segment_log_problem problem;
};

static void run_checkpoint(struct io_job *job)
{
    struct checkpoint *checkpoint = job->data;
    const char *directory = checkpoint->base.group->directory;
    const uint64_t begun_us = disk_now_us(checkpoint->disk);
    checkpoint->status = snapshot_write(checkpoint->disk, directory, &checkpoint->header,
                                        checkpoint->state, &checkpoint->problem);
    checkpoint->write_us = disk_now_us(checkpoint->disk) - begun_us;
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

static void tell(const struct checkpoint *checkpoint)
{
    const struct group *group = checkpoint->base.group;
    node__log(group->node, "debug",
              "event=\"checkpoint written\" group=%" PRIu64 " index=%" PRIu64 " pairs=%" PRIu64
              " bytes=%" PRIu64 " take_us=%" PRIu64 " write_ms=%" PRIu64,
              group->id, checkpoint->header.point.index, tree_count(checkpoint->state),
              tree_bytes(checkpoint->state), checkpoint->take_us, checkpoint->write_us / 1000u);
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
            tell(checkpoint);
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

/* How many entries this replica's checkpoints are shifted against those of the first of n voters: an nth part of the
 * distance between two for each voter in front of it. */
static uint64_t shift_of(const struct group *group, uint64_t wanted)
{
    const struct raft_indexed_configuration *configuration =
        raft_configuration_at(group->raft, group->applied_index);
    if (!configuration) return 0;
    uint32_t before = 0;
    uint32_t voters = 0;
    for (uint32_t i = 0; i < configuration->configuration.members_count; i++) {
        const struct raft_member *member = &configuration->configuration.members[i];
        if (!member->voter) continue;
        voters++;
        if (member->id.node < group->node->options.node_id) before++;
    }
    return voters > 0 ? wanted / voters * before : 0;
}

static bool is_due(const struct group *group)
{
    if (RARELY(CHECKPOINT_IS_DUE)) return true;
    const struct node *node = group->node;
    const uint64_t wanted = node->options.checkpoint_entries;
    /* Meta changes seldom. After a restart it should know every topic at once: its commit index comes from a leader, which
     * may be out of reach while the partitions here are not. */
    if (group->is_meta && io_now_us(node->io) - group->checkpoint_us >= META_CHECKPOINT_US) {
        return true;
    }
    if (group->applied_index - group->checkpoint_index >= wanted) return true;
    const uint64_t shift = shift_of(group, wanted);
    if (wanted == 0 || group->applied_index < shift) return wanted == 0;
    const uint64_t newest = (group->applied_index - shift) / wanted * wanted + shift;
    return newest > group->checkpoint_index && newest > 0;
}

/* S2: a checkpoint is written only when the log is durable through its index. */
void checkpoint__maintain(struct group *group, bool force)
{
    struct node *node = group->node;
    if (group->checkpoint_running || group->dropping || (node->disk_full && !force)) return;
    if (group->applied_index <= group->checkpoint_index) return;
    if (!force && (!is_due(group) || RARELY(CHECKPOINT_WAITS))) return;
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    bool ahead = info.durable_index < group->applied_index;
    if (ahead && !PLANTED(S2_SNAPSHOT_IS_AHEAD_OF_THE_LOG)) return;
    const uint64_t begun_us = io_now_us(node->io);
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
    group->checkpoint_us = begun_us;
    checkpoint->take_us = io_now_us(node->io) - begun_us;
    group__submit(group, node->background_queue, &checkpoint->base);
}
