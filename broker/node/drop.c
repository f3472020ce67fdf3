/* Dropping replicas (PROTOCOL M4): the record first, the files after it is durable, then everybody is told.
 *
 *   drop ─> record put ─> its jobs have ended and the record is durable ─> files removed ─> told (M8)
 *
 * The other way round a crash would leave a record of files that are gone, which is damage. Files that a crash left behind
 * the record are swept at start. */
#include "drop.h"

#include "birth.h"
#include "directory.h"
#include "disk.h"
#include "group.h"
#include "internal.h"
#include "list.h"
#include "lost.h"
#include "mending.h"
#include "request.h"
#include "turn.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- files --------------------------------------------------------------------------------------------------------------- */

struct left_over {
    struct disk *disk;
    const char *directory;
};

static void remove_left_over(void *data, const char *name)
{
    const struct left_over *left = data;
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof(path), "%.300s/%.200s", left->directory, name);
    (void)disk_unlink(left->disk, path);
}

void group__remove_files(struct disk *disk, const char *directory)
{
    struct left_over left = {.disk = disk, .directory = directory};
    (void)disk_list(disk, directory, remove_left_over, &left);
}

struct group_removal {
    struct io_job job;
    struct node *node;
    uint64_t group_id;
    struct list_link link; /* node->removals */
};

static void run_removal(struct io_job *job)
{
    struct group_removal *removal = job->data;
    char directory[DISK_PATH_MAX];
    group__directory(removal->node, removal->group_id, directory, sizeof(directory));
    group__remove_files(removal->node->disk, directory);
    /* What cannot be removed stays, takes space, and is swept at the next start: nothing depends on it. */
    (void)disk_remove_directory(removal->node->disk, directory);
}

static void done_removal(struct io_job *job)
{
    struct group_removal *removal = job->data;
    struct node *node = removal->node;
    const uint64_t group_id = removal->group_id;
    node->setup_jobs_count--;
    list_remove(&removal->link);
    free(removal);
    if (!node__enter(node)) return;
    directory__tell_dropped(node, group_id);
    node__post(node);
}

void group__remove(struct node *node, uint64_t group_id)
{
    struct group_removal *removal = calloc(1, sizeof(*removal));
    if (!removal) abort();
    removal->node = node;
    removal->group_id = group_id;
    removal->job.run = run_removal;
    removal->job.done = done_removal;
    removal->job.data = removal;
    list_push_back(&node->removals, &removal->link);
    node->setup_jobs_count++;
    io_job_submit(node->io, node->setup_queue, &removal->job);
}

void group__free_removals(struct node *node)
{
    struct list_link *link;
    while ((link = list_pop_front(&node->removals))) {
        free(list_entry(link, struct group_removal, link));
    }
}

/* ---- dropping ------------------------------------------------------------------------------------------------------------- */

/* An entry that was appended here may be committed elsewhere, and read there, before that node hears of a deletion (C9, P4). Of a
 * deleted topic nothing else is to be had any more; one that moved is served elsewhere. */
static void leave_list(struct list_link *list, bool is_deleted)
{
    struct list_link *link;
    while ((link = list->next) != list) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        struct node_request *request = request_of_state(state);
        if (state->may_be_stored) {
            request__finish(request, NODE_OUTCOME_UNKNOWN,
                            is_deleted ? "the topic was deleted before it was confirmed"
                                       : "the partition left this node before it was confirmed");
        } else if (is_deleted) {
            request__finish(request, NODE_TOPIC_NOT_FOUND, "the topic was deleted");
        } else {
            request__park(request, NULL);
        }
    }
}

static void leave(struct group *group, bool is_deleted)
{
    struct node *node = group->node;
    leave_list(&group->parked, is_deleted);
    leave_list(&group->queued, is_deleted);
    leave_list(&group->waiting, is_deleted);
    leave_list(&group->unasked, is_deleted);
    leave_list(&group->barriers, is_deleted);
    leave_list(&group->confirmed, is_deleted);
    leave_list(&group->polls, is_deleted);
    group__detach(group);
    list_remove(&group->dirty_link);
    list_push_back(&node->dropping, &group->link);
    group->dropping = true;
    group__continue_drop(group);
}

void group__drop(struct group *group, uint64_t meta_index, bool is_deleted)
{
    struct node *node = group->node;
    const struct node_record record = {
        .group = group->id,
        .epoch = group->epoch,
        .state = NODE_REPLICA_DROPPED,
        .meta_index = meta_index,
    };
    group->drop_sequence = node_store_put(node->store, &record);
    assert(group->drop_sequence != 0); /* its record of being made is there */
    disk__pump_store(node);
    leave(group, is_deleted);
}

void group__quarantine(struct group *group, const char *why)
{
    if (group->dropping) return;
    snprintf(group->problem, sizeof(group->problem), "%s", why);
    group->quarantined = true;
    leave(group, /* is_deleted= */ false);
}

static void end_quarantine(struct group *group)
{
    struct node *node = group->node;
    const uint64_t group_id = group->id;
    const uint64_t epoch = group->epoch;
    char why[NODE_STATUS_TEXT_BYTES];
    memcpy(why, group->problem, sizeof(why));
    group__free(group);
    lost__quarantine_ended(node, group_id, epoch, why);
}

void group__continue_drop(struct group *group)
{
    struct node *node = group->node;
    assert(group->dropping);
    if (!list_is_empty(&group->jobs)) return;
    if (group->quarantined) {
        end_quarantine(group);
        return;
    }
    if (node_store_durable_sequence(node->store) < group->drop_sequence) return;
    const uint64_t group_id = group->id;
    group__free(group);
    group__remove(node, group_id);
    node->replicas_stale = true; /* another replica of that group may wait for the place */
}

void group__drops_durable(struct node *node)
{
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->dropping) {
        group__continue_drop(list_entry(link, struct group, link));
    }
}

bool group__is_dropping(const struct node *node, uint64_t group_id)
{
    const struct list_link *link;
    for (link = node->dropping.next; link != &node->dropping; link = link->next) {
        if (list_entry(link, struct group, link)->id == group_id) return true;
    }
    return false;
}

bool group__is_gone(const struct node *node, uint64_t group_id)
{
    if (node__group(node, group_id) || group__is_being_made(node, group_id)) return false;
    if (group__is_dropping(node, group_id) || lost__has(node, group_id)) return false;
    if (mending__find(node, group_id)) return false;
    const struct list_link *link;
    for (link = node->removals.next; link != &node->removals; link = link->next) {
        if (list_entry(link, struct group_removal, link)->group_id == group_id) return false;
    }
    return true;
}

/* A base of meta is durable at `meta_index`: what deleted these replicas is never applied again, so nothing
 * has to remember that they are gone (M4). Else the store fills up with them. */
void group__forget_dropped(struct node *node, uint64_t meta_index)
{
    for (uint32_t i = node_store_count(node->store); i-- > 0;) {
        struct node_record record;
        if (!node_store_at(node->store, i, &record)) continue;
        if (record.state != NODE_REPLICA_DROPPED || record.meta_index > meta_index) continue;
        if (group__is_gone(node, record.group)) node_store_forget(node->store, record.group);
    }
    disk__pump_store(node);
}

/* ---- at start --------------------------------------------------------------------------------------------------------------- */

static void sweep_name(void *data, const char *name)
{
    struct node *node = data;
    char *end = NULL;
    const uint64_t group_id = strtoull(name, &end, 10);
    char path[DISK_PATH_MAX];
    char expected[DISK_PATH_MAX];
    group__directory(node, group_id, expected, sizeof(expected));
    snprintf(path, sizeof(path), "%.400s/groups/%.90s", node->data_directory, name);
    if (strcmp(path, expected) != 0) return; /* not one of ours */
    struct node_record record;
    if (node_store_get(node->store, group_id, &record) && record.state == NODE_REPLICA_MADE) return;
    if (lost__has(node, group_id)) return;
    group__remove(node, group_id);
}

/* M4: unrecorded files, and those of replicas that are recorded as dropped. */
void group__sweep(struct node *node)
{
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof(path), "%.400s/groups", node->data_directory);
    (void)disk_list(node->disk, path, sweep_name, node);
}
