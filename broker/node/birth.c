/* Making replicas (PROTOCOL M4, M7): files and base are synced, then the record in the node store, then the first vote.
 *
 *   make ─> run (files, base) ─> record put ─> record durable ─> the replica lives
 *              │ no space: tried again          └ deleted meanwhile: lives and is dropped at once
 *              └ deleted meanwhile: files removed, nothing was recorded
 *
 * Files without a record are left-overs of a crash and are removed first. */
#include "birth.h"

#include "base.h"
#include "directory.h"
#include "disk.h"
#include "drop.h"
#include "group.h"
#include "internal.h"
#include "list.h"
#include "lost.h"
#include "mending.h"
#include "perform.h"
#include "request.h"
#include "turn.h"

#include <broker/raft_codec.h>
#include <planted/planted.h>
#include <snapshot/snapshot.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_US 1000000u

/* ---- files and base, off the loop ------------------------------------------------------------------------------------- */

static int prepare_directory(struct group_birth *birth, char *directory, size_t bytes)
{
    struct node *node = birth->node;
    char groups[DISK_PATH_MAX];
    snprintf(groups, sizeof(groups), "%.400s/groups", node->data_directory);
    int error = disk_make_directory(node->disk, groups);
    if (error == 0) error = disk_sync_directory(node->disk, node->data_directory);
    if (error < 0) return error;
    group__directory(node, birth->group_id, directory, bytes);
    group__remove_files(node->disk, directory); /* M4: unrecorded files are dropped */
    error = disk_make_directory(node->disk, directory);
    if (error < 0) return error;
    return disk_sync_directory(node->disk, groups);
}

static int write_base(struct group_birth *birth, const char *directory,
                      const struct segment_log_point *base)
{
    struct node *node = birth->node;
    struct snapshot_header *header = calloc(1, sizeof(*header));
    if (!header) abort();
    header->kind = SNAPSHOT_BASE;
    header->cluster = node->identity.cluster;
    header->group = birth->group_id;
    header->point = *base;
    header->configuration_bytes = (uint32_t)raft_codec_encode_configuration(
        &birth->configuration, header->configuration, sizeof(header->configuration));
    const enum snapshot_status written =
        snapshot_write(node->disk, directory, header, NULL, &birth->problem);
    free(header);
    if (written == SNAPSHOT_OK) return 0;
    if (written == SNAPSHOT_FULL) return -ENOSPC;
    return birth->problem.error ? -birth->problem.error : -EIO;
}

static void run_birth(struct io_job *job)
{
    struct group_birth *birth = job->data;
    struct node *node = birth->node;
    char directory[DISK_PATH_MAX];
    birth->error = prepare_directory(birth, directory, sizeof(directory));
    if (birth->error < 0) return;
    const struct segment_log_point base = {
        .chain = checksum64_group(&node->identity.cluster, birth->group_id)};
    const struct segment_log_options options = group__log_options(node, birth->group_id, directory);
    const enum segment_log_status made =
        segment_log_create(&options, &base, &birth->log, &birth->problem);
    if (made == SEGMENT_LOG_OK) {
        birth->error = write_base(birth, directory, &base);
    } else if (made == SEGMENT_LOG_FULL) {
        birth->error = -ENOSPC;
    } else {
        birth->error = birth->problem.error ? -birth->problem.error : -EIO;
    }
}

/* ---- the record --------------------------------------------------------------------------------------------------------- */

static void submit(struct group_birth *birth)
{
    birth->running = true;
    birth->node->setup_jobs_count++;
    io_job_submit(birth->node->io, birth->node->setup_queue, &birth->job);
}

static void free_birth(struct group_birth *birth)
{
    list_remove(&birth->link);
    segment_log_close(birth->log);
    free(birth);
}

static bool lacks_space(int error)
{
    return error == -ENOSPC || error == -EDQUOT;
}

/* No space on the disk, or in the node store until deleted replicas are forgotten: that may change. */
static void wait_for_room(struct group_birth *birth, const char *what)
{
    segment_log_close(birth->log);
    birth->log = NULL;
    birth->retry_at_us = io_now_us(birth->node->io) + RETRY_US;
    node__log(birth->node, "warn",
              "event=\"replica cannot be made, trying again\" group=%" PRIu64 " reason=\"%s\"",
              birth->group_id, what);
}

static void put_record(struct group_birth *birth)
{
    struct node *node = birth->node;
    const struct node_record record = {
        .group = birth->group_id,
        .epoch = birth->epoch,
        .state = NODE_REPLICA_MADE,
        .meta_index = birth->meta_index,
    };
    birth->store_sequence = node_store_put(node->store, &record);
    if (birth->store_sequence == 0) wait_for_room(birth, "the node holds its limit of replicas");
    disk__pump_store(node);
    if (PLANTED(M4_LIVES_BEFORE_ITS_RECORD)) group__births_durable(node);
}

static void done_birth(struct io_job *job)
{
    struct group_birth *birth = job->data;
    struct node *node = birth->node;
    node->setup_jobs_count--;
    birth->running = false;
    if (!node__enter(node)) return;
    if (birth->error < 0 &&
        !lacks_space(birth->error)) { /* L11, also when nobody wants it any more */
        node__fatal(node, NODE_FATAL_DISK, "group %" PRIu64 " cannot be made: %s: %s",
                    birth->group_id, birth->problem.path, strerror(abs(birth->error)));
        return;
    }
    if (birth->drop_index) {
        const uint64_t group_id = birth->group_id;
        free_birth(birth);
        group__remove(node, group_id);
        node->replicas_stale = true; /* another replica of that group may wait for the place */
    } else if (birth->error < 0) {
        node->disk_full = true;
        wait_for_room(birth, "no space is left on the disk");
    } else {
        put_record(birth);
    }
    node__post(node);
}

/* ---- births under way --------------------------------------------------------------------------------------------------- */

static struct group_birth *find_birth(const struct node *node, uint64_t id)
{
    const struct list_link *link;
    for (link = node->births.next; link != &node->births; link = link->next) {
        struct group_birth *birth = list_entry(link, struct group_birth, link);
        if (birth->group_id == id) return birth;
    }
    return NULL;
}

bool group__is_being_made(const struct node *node, uint64_t id)
{
    return find_birth(node, id) != NULL;
}

/* V3: it may have lived and voted before the vote store was lost, and nothing here would tell. */
static bool is_vote_lost(const struct node *node, uint64_t group_id, uint64_t epoch)
{
    struct node_record record;
    if (epoch > node->identity.votes_lost_below || node->identity.votes_lost_below == 0) {
        return false;
    }
    if (PLANTED(V3_VOTELESS_REPLICA_IS_MADE_AS_IT_WAS)) return false;
    return !node_store_get(node->store, group_id, &record);
}

void group__make(struct node *node, uint64_t group_id, uint64_t epoch, uint64_t meta_index,
                 const struct raft_configuration *configuration, bool campaign, const char *topic,
                 uint32_t partition_number)
{
    struct node_record record;
    /* M4: an entry at or below the recorded index does nothing. */
    bool looks = !PLANTED(M4_REPLAYED_ENTRY_MAKES_A_REPLICA);
    if (looks && node_store_get(node->store, group_id, &record) &&
        record.state != NODE_REPLICA_NONE && record.meta_index >= meta_index) {
        return;
    }
    /* One that is dropped keeps its files until its record is durable; then this is tried again. A removal of files that is
     * under way ends before the files are made, in the same queue. */
    if (node__group(node, group_id) || group__is_being_made(node, group_id)) return;
    if (group__is_dropping(node, group_id) || lost__has(node, group_id)) return;
    if (mending__find(node, group_id)) return;
    if (is_vote_lost(node, group_id, epoch)) {
        lost__note(node, group_id, epoch, "its vote went with the vote store");
        return;
    }
    struct group_birth *birth = calloc(1, sizeof(*birth));
    if (!birth) abort();
    birth->node = node;
    birth->group_id = group_id;
    birth->epoch = epoch;
    birth->meta_index = meta_index;
    birth->configuration = *configuration;
    birth->campaign = campaign && !PLANTED(M7_FIRST_LEADER_WAITS);
    snprintf(birth->topic, sizeof(birth->topic), "%s", topic);
    birth->partition_number = partition_number;
    birth->job.run = run_birth;
    birth->job.done = done_birth;
    birth->job.data = birth;
    list_push_back(&node->births, &birth->link);
    submit(birth);
}

bool group__cancel_birth(struct node *node, uint64_t group_id, uint64_t meta_index)
{
    struct group_birth *birth = find_birth(node, group_id);
    if (!birth) return false;
    birth->drop_index = meta_index;
    if (birth->running || birth->store_sequence) return true; /* done_birth, or bring_to_life */
    free_birth(birth);
    group__remove(node, group_id);
    return true;
}

void group__retry_births(struct node *node)
{
    const uint64_t now_us = io_now_us(node->io);
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->births) {
        struct group_birth *birth = list_entry(link, struct group_birth, link);
        if (birth->running || birth->store_sequence || now_us < birth->retry_at_us) continue;
        birth->error = 0;
        submit(birth);
    }
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */

/* The record is durable: from here on the replica may vote. */
static void bring_to_life(struct group_birth *birth)
{
    struct node *node = birth->node;
    struct group *group = group__new(node, birth->group_id, birth->epoch);
    group->log = birth->log;
    birth->log = NULL;
    snprintf(group->topic, sizeof(group->topic), "%s", birth->topic);
    group->partition_number = birth->partition_number;
    const struct raft_hard_state none = {0};
    const struct raft_indexed_configuration first = {.configuration = birth->configuration};
    if (!group__start_core(group, &none, &first, 1, 0)) {
        group__free(group);
        return;
    }
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    base__note(group, &info.base);
    group__attach(group);
    if (birth->drop_index) {
        group__drop(group, birth->drop_index, /* is_deleted= */ true);
        return;
    }
    node__log(node, "info", "event=\"replica made\" group=%" PRIu64 " topic=\"%s\" partition=%u",
              group->id, group->topic, group->partition_number);
    if (group->is_meta) node__start_running(node);
    group->campaign_wanted = birth->campaign;
    group->made_mask = birth->made_mask;
    struct raft_event event = {.type = RAFT_EVENT_TICK};
    (void)group__step(group, &event);
    directory__tell_made(group);
    group__made_on(node, group->id, node->identity.node_id);
    request__unpark(node, NULL);
}

void group__births_durable(struct node *node)
{
    const uint64_t durable = node_store_durable_sequence(node->store);
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->births) {
        struct group_birth *birth = list_entry(link, struct group_birth, link);
        if (birth->store_sequence == 0) continue;
        if (birth->store_sequence > durable && !PLANTED(M4_LIVES_BEFORE_ITS_RECORD)) continue;
        list_remove(link);
        bring_to_life(birth);
        free(birth);
        if (node->state == NODE_FAILED) return;
    }
}

void group__free_births(struct node *node)
{
    while (!list_is_empty(&node->births)) {
        free_birth(list_entry(node->births.next, struct group_birth, link));
    }
}

/* ---- the first leader --------------------------------------------------------------------------------------------------- */

/* True: that was news. */
static bool note_made(uint32_t *mask, const struct raft_configuration *configuration,
                      uint64_t node_id)
{
    const uint32_t before = *mask;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (configuration->members[i].id.node == node_id) *mask |= 1u << i;
    }
    return *mask != before;
}

static bool made_on_majority(const struct group *group)
{
    const struct raft_configuration *configuration = raft_configuration_of(group->raft);
    uint32_t voters = 0;
    uint32_t made = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (!configuration->members[i].voter) continue;
        voters++;
        if (group->made_mask & (1u << i)) made++;
    }
    return made * 2u > voters;
}

/* M6, M7: the first leader stands at once, that is, when a majority is there to answer; votes asked of replicas that are
 * still being made would be lost, and the next try is an election timeout away. */
void group__made_on(struct node *node, uint64_t group_id, uint64_t node_id)
{
    struct group *group = node__group(node, group_id);
    if (!group) {
        struct group_birth *birth = find_birth(node, group_id);
        if (birth) (void)note_made(&birth->made_mask, &birth->configuration, node_id);
        return;
    }
    const bool is_news = note_made(&group->made_mask, raft_configuration_of(group->raft), node_id);
    /* That node was not there yet when this one told: what it was told then, it could not note. */
    if (is_news && node_id != node->identity.node_id && group->term == 0) {
        directory__tell_made_to(group, node_id);
    }
    if (!group->campaign_wanted || !made_on_majority(group)) return;
    group->campaign_wanted = false;
    if (group->leader != 0 || group->term != 0) return; /* somebody was faster */
    struct raft_event event = {.type = RAFT_EVENT_CAMPAIGN};
    (void)group__step(group, &event);
}
