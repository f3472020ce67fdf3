/* Replicas: the struct, its jobs, and the start of its core. They are made in birth.c, opened in opening.c and
 * dropped in drop.c. */
#include "group.h"

#include "base.h"
#include "base_receive.h"
#include "base_send.h"
#include "drop.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "mending.h"
#include "repair.h"
#include "term_runs.h"
#include "turn.h"

#include <planted/planted.h>
#include <snapshot/transfer.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t hash_of(uint64_t id)
{
    return (uint32_t)(id % NODE_GROUPS_HASH);
}

struct group *node__group(const struct node *node, uint64_t id)
{
    for (struct group *group = node->groups_hash[hash_of(id)]; group; group = group->hash_next) {
        if (group->id == id) return group;
    }
    return NULL;
}

bool group__is_member(const struct group *group)
{
    const struct raft_configuration *configuration = raft_configuration_of(group->raft);
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_replica_id *id = &configuration->members[i].id;
        if (id->node == group->node->identity.node_id && id->epoch == group->epoch) return true;
    }
    return false;
}

void group__directory(const struct node *node, uint64_t id, char *buffer, size_t bytes)
{
    snprintf(buffer, bytes, "%.400s/groups/%020" PRIu64, node->data_directory, id);
}

static void count_name(void *data, const char *name)
{
    (void)name;
    (*(uint32_t *)data)++;
}

bool group__any_directory(const struct node *node)
{
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof(path), "%.400s/groups", node->data_directory);
    uint32_t count = 0;
    const int error = disk_list(node->disk, path, count_name, &count);
    return error == 0 && count > 0;
}

struct segment_log_options group__log_options(const struct node *node, uint64_t id,
                                              const char *directory)
{
    return (struct segment_log_options){
        .disk = node->disk,
        .directory = directory,
        .cluster = node->identity.cluster,
        .group = id,
        .segment_bytes_max = node->options.segment_bytes_max,
        .extend_bytes = id == 0 ? 256u * 1024u : 4u * 1024u * 1024u,
        .cache_bytes_max = node->options.cache_bytes_max,
        .reserve_bytes = 0, /* the node watches the space of the whole disk (disk.c) */
        .sector_bytes = node->sector_bytes,
    };
}

/* ---- the struct ---------------------------------------------------------------------------------------------------- */

static uint32_t trail_runs_max(const struct node *node)
{
    return node->options.trail_runs_max ? node->options.trail_runs_max : NODE_TRAIL_RUNS_MAX;
}

struct group *group__new(struct node *node, uint64_t id, uint64_t epoch)
{
    struct group *group = calloc(1, sizeof(*group));
    void *raft = calloc(1, raft_node_bytes());
    struct raft_term_run *trail = calloc(trail_runs_max(node), sizeof(*trail));
    if (!group || !raft || !trail) abort();
    group->node = node;
    group->id = id;
    group->epoch = epoch;
    group->is_meta = id == 0;
    group->raft = raft;
    group->trail = trail;
    group->queue = io_job_queue_create(node->io);
    group->read_queue = io_job_queue_create(node->io);
    group->held_tail = &group->held;
    list_init(&group->jobs);
    list_init(&group->parked);
    list_init(&group->queued);
    list_init(&group->waiting);
    list_init(&group->unasked);
    list_init(&group->barriers);
    list_init(&group->confirmed);
    list_init(&group->polls);
    list_init(&group->sends);
    group->drops_prefix = group->is_meta;
    group->base_due_us = io_now_us(node->io);
    if (!group->is_meta) partition_init(&group->partition);
    group__directory(node, id, group->directory, sizeof(group->directory));
    return group;
}

void group__attach(struct group *group)
{
    struct node *node = group->node;
    group->hash_next = node->groups_hash[hash_of(group->id)];
    node->groups_hash[hash_of(group->id)] = group;
    group->scrubbed_us = io_now_us(node->io); /* it was just opened, or is new */
    list_push_back(&node->groups, &group->link);
    node->groups_count++;
    if (group->is_meta) node->meta_group = group;
    node__set_timer(group, raft_timer_at_ms(group->raft));
}

void group__detach(struct group *group)
{
    struct node *node = group->node;
    struct group **at = &node->groups_hash[hash_of(group->id)];
    while (*at && *at != group) {
        at = &(*at)->hash_next;
    }
    if (!*at) return;
    *at = group->hash_next;
    group->hash_next = NULL;
    list_remove(&group->link);
    node->groups_count--;
    if (node->meta_group == group) node->meta_group = NULL;
}

static void free_held(struct group *group)
{
    while (group->held) {
        struct held_message *next = group->held->next;
        free(group->held);
        group->held = next;
    }
    group->held_tail = &group->held;
}

void group__free(struct group *group)
{
    assert(list_is_empty(&group->jobs));
    group__detach(group);
    list_remove(&group->link);
    list_remove(&group->dirty_link);
    free_held(group);
    base_send__free_all(group);
    base_receive__free(group);
    base__free(group);
    repair__free(group);
    mending__free(group);
    segment_log_close(group->log);
    if (!group->is_meta) partition_close(&group->partition);
    io_job_queue_destroy(group->node->io, group->queue);
    io_job_queue_destroy(group->node->io, group->read_queue);
    free(group->offsets_payload);
    free(group->trail);
    free(group->raft);
    free(group);
}

/* ---- jobs -------------------------------------------------------------------------------------------------------------- */

void group__submit(struct group *group, struct io_job_queue *queue, struct group_job *job)
{
    job->group = group;
    job->job.data = job;
    list_push_back(&group->jobs, &job->link);
    io_job_submit(group->node->io, queue, &job->job);
}

void group__job_ended(struct group_job *job)
{
    struct group *group = job->group;
    list_remove(&job->link);
    if (group->dropping) group__continue_drop(group);
}

void group__discard_jobs(struct group *group)
{
    struct list_link *link;
    while ((link = list_pop_front(&group->jobs))) {
        struct group_job *job = list_entry(link, struct group_job, link);
        job->discard(job);
    }
}

/* ---- start of the core ---------------------------------------------------------------------------------------------- */

bool group__start_core(struct group *group, const struct raft_hard_state *hard_state,
                       const struct raft_indexed_configuration *configurations, uint32_t count,
                       uint64_t commit_index)
{
    return group__start_core_behind(group, NULL, hard_state, configurations, count, commit_index);
}

bool group__start_core_behind(struct group *group, const struct segment_log_point *begin,
                              const struct raft_hard_state *hard_state,
                              const struct raft_indexed_configuration *configurations,
                              uint32_t count, uint64_t commit_index)
{
    assert(count > 0);
    struct node *node = group->node;
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    if (!begin) begin = &info.base;
    group->begun_behind = begin->index > info.base.index ? begin->index : 0;
    struct term_runs runs;
    term_runs__collect(group->log, begin->index + 1u, UINT64_MAX, &runs);
    struct raft_options options = {
        .group = group->id,
        .id = {.node = node->identity.node_id, .epoch = group->epoch},
        .election_timeout_ms_min = node->options.election_timeout_ms_min,
        .election_timeout_ms_max = node->options.election_timeout_ms_max,
        /* Leaders' timers are rounded up to multiples of the heartbeat interval (turn.c). Without slack, one that fires a
         * little late would skip every other multiple. */
        .heartbeat_ms = node->options.heartbeat_ms - node->options.heartbeat_ms / 10u,
        .early_prevote_ms_max = 25,
        .append_entries_max = 4096,
        .append_inflight_max = RAFT_INFLIGHT_MAX,
        .process = node->process,
        .trail_runs = group->trail,
        .trail_runs_max = trail_runs_max(node),
    };
    io_random(node->io, &options.seed, sizeof(options.seed));
    const struct raft_start start = {
        .hard_state = *hard_state,
        .configuration = configurations[count - 1u].configuration,
        .configuration_index = configurations[count - 1u].index,
        .history = configurations,
        .history_count = count - 1u,
        .base_index = begin->index,
        .base_term = begin->term,
        .runs = runs.items,
        .runs_count = runs.count,
        .commit_index = PLANTED(B38_COMMIT_INDEX_GOES_BACK) ? begin->index : commit_index,
        .has_vote = true,
        .now_ms = io_now_ms(node->io),
    };
    const enum raft_status status = raft_init(group->raft, &options, &start);
    term_runs__free(&runs);
    if (status != RAFT_OK) {
        node__fatal(node, NODE_FATAL_CONFIG, "group %" PRIu64 ": %s", group->id,
                    raft_status_text(status));
        return false;
    }
    group->hard_state = *hard_state;
    group->term = hard_state->term;
    group->commit_index = start.commit_index;
    group->applied_index = commit_index;
    if (PLANTED(B36_APPLIES_SNAPSHOTS_LAST_AGAIN) && commit_index > info.base.index)
        group->applied_index--;
    group->checkpoint_index = commit_index;
    return true;
}
