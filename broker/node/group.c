/* Replicas: made from an applied meta entry, opened at start, dropped (PROTOCOL M4, M7).
 *
 * Making one: files and base are synced, then the record in the node store, then the first vote. Files without a record
 * are left-overs of a crash and are removed before a replica is made; a record without files is damage. */
#include "internal.h"

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

static struct segment_log_options log_options(const struct node *node, uint64_t id,
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
        .sector_bytes = 512,
    };
}

/* ---- the struct ---------------------------------------------------------------------------------------------------- */

static struct group *group_new(struct node *node, uint64_t id, uint64_t epoch)
{
    struct group *group = calloc(1, sizeof(*group));
    void *raft = calloc(1, raft_node_bytes());
    struct raft_term_run *trail = calloc(NODE_TRAIL_RUNS_MAX, sizeof(*trail));
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
    list_init(&group->parked);
    list_init(&group->queued);
    list_init(&group->waiting);
    list_init(&group->barriers);
    list_init(&group->polls);
    if (!group->is_meta) partition_init(&group->partition);
    group__directory(node, id, group->directory, sizeof(group->directory));
    return group;
}

static void attach(struct group *group)
{
    struct node *node = group->node;
    group->hash_next = node->groups_hash[hash_of(group->id)];
    node->groups_hash[hash_of(group->id)] = group;
    list_push_back(&node->groups, &group->link);
    node->groups_count++;
    if (group->is_meta) node->meta_group = group;
}

static void detach(struct group *group)
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
    detach(group);
    list_remove(&group->link);
    list_remove(&group->dirty_link);
    free_held(group);
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        struct append_read *read = group->append_reads[i];
        if (!read) continue;
        struct segment_log_view view;
        struct segment_log_problem problem;
        if (segment_log_read_job_finish(group->log, read->read, &view, &problem) ==
            SEGMENT_LOG_OK) {
            segment_log_view_release(&view);
        }
        free(read);
    }
    if (group->write) {
        struct segment_log_job_result result;
        segment_log_job_finish(group->log, group->write, &result);
    }
    segment_log_close(group->log);
    if (!group->is_meta) partition_close(&group->partition);
    io_job_queue_destroy(group->node->io, group->queue);
    io_job_queue_destroy(group->node->io, group->read_queue);
    free(group->offsets_payload);
    free(group->trail);
    free(group->raft);
    free(group);
}

void group__job_done(struct group *group)
{
    assert(group->jobs_count > 0);
    group->jobs_count--;
    if (group->dropping && group->jobs_count == 0) group->drop_done(group);
}

/* ---- start of the core ---------------------------------------------------------------------------------------------- */

struct run_list {
    struct raft_term_run *runs;
    uint32_t count, capacity;
};

static void collect_run(void *data, uint64_t first, uint64_t count, uint64_t term)
{
    struct run_list *list = data;
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2u : 64u;
        list->runs = realloc(list->runs, list->capacity * sizeof(*list->runs));
        if (!list->runs) abort();
    }
    list->runs[list->count++] =
        (struct raft_term_run){.first = first, .count = count, .term = term};
}

static bool start_core(struct group *group, const struct raft_hard_state *hard_state,
                       const struct raft_configuration *configuration, uint64_t configuration_index,
                       uint64_t commit_index)
{
    struct node *node = group->node;
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    struct run_list runs = {0};
    segment_log_term_runs(group->log, collect_run, &runs);
    struct raft_options options = {
        .group = group->id,
        .id = {.node = node->identity.node_id, .epoch = group->epoch},
        .election_timeout_ms_min = node->options.election_timeout_ms_min,
        .election_timeout_ms_max = node->options.election_timeout_ms_max,
        .heartbeat_ms = node->options.heartbeat_ms,
        .early_prevote_ms_max = 25,
        .append_entries_max = 4096,
        .append_inflight_max = RAFT_INFLIGHT_MAX,
        .process = node->process,
        .trail_runs = group->trail,
        .trail_runs_max = NODE_TRAIL_RUNS_MAX,
    };
    io_random(node->io, &options.seed, sizeof(options.seed));
    const struct raft_start start = {
        .hard_state = *hard_state,
        .configuration = *configuration,
        .configuration_index = configuration_index,
        .base_index = info.base.index,
        .base_term = info.base.term,
        .runs = runs.runs,
        .runs_count = runs.count,
        .commit_index = commit_index,
        .has_vote = true,
        .now_ms = io_now_ms(node->io),
    };
    const enum raft_status status = raft_init(group->raft, &options, &start);
    free(runs.runs);
    if (status != RAFT_OK) {
        node__fatal(node, NODE_FATAL_CONFIG, "group %" PRIu64 ": %s", group->id,
                    raft_status_text(status));
        return false;
    }
    group->hard_state = *hard_state;
    group->term = hard_state->term;
    group->commit_index = commit_index;
    group->applied_index = commit_index;
    group->checkpoint_index = commit_index;
    group->timer_at_ms = raft_timer_at_ms(group->raft);
    return true;
}

/* ---- birth ------------------------------------------------------------------------------------------------------------- */

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

static int prepare_directory(struct group_birth *birth, char *directory, size_t bytes)
{
    struct node *node = birth->node;
    char groups[DISK_PATH_MAX];
    snprintf(groups, sizeof(groups), "%.400s/groups", node->data_directory);
    int error = disk_make_directory(node->disk, groups);
    if (error == 0) error = disk_sync_directory(node->disk, node->data_directory);
    if (error < 0) return error;
    group__directory(node, birth->group_id, directory, bytes);
    struct left_over left = {.disk = node->disk, .directory = directory};
    (void)disk_list(node->disk, directory, remove_left_over,
                    &left); /* M4: unrecorded files are dropped */
    error = disk_make_directory(node->disk, directory);
    if (error < 0) return error;
    return disk_sync_directory(node->disk, groups);
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
    const struct segment_log_options options = log_options(node, birth->group_id, directory);
    const enum segment_log_status made =
        segment_log_create(&options, &base, &birth->log, &birth->problem);
    if (made != SEGMENT_LOG_OK) {
        birth->error = birth->problem.error ? birth->problem.error : -EIO;
        return;
    }
    struct snapshot_header *header = calloc(1, sizeof(*header));
    if (!header) abort();
    header->kind = SNAPSHOT_BASE;
    header->cluster = node->identity.cluster;
    header->group = birth->group_id;
    header->point = base;
    header->configuration_bytes = (uint32_t)raft_codec_encode_configuration(
        &birth->configuration, header->configuration, sizeof(header->configuration));
    const enum snapshot_status written =
        snapshot_write(node->disk, directory, header, NULL, &birth->problem);
    free(header);
    if (written != SNAPSHOT_OK) birth->error = birth->problem.error ? birth->problem.error : -EIO;
}

static void birth_failed(struct group_birth *birth)
{
    node__fatal(birth->node, NODE_FATAL_DISK, "group %" PRIu64 " cannot be made: %s: %s",
                birth->group_id, birth->problem.path, strerror(abs(birth->error)));
}

static void done_birth(struct io_job *job)
{
    struct group_birth *birth = job->data;
    struct node *node = birth->node;
    node->setup_jobs_count--;
    if (!node__enter(node)) return;
    if (birth->error < 0) {
        birth_failed(birth);
        return;
    }
    const struct node_record record = {
        .group = birth->group_id,
        .epoch = birth->epoch,
        .state = NODE_REPLICA_MADE,
        .meta_index = birth->meta_index,
    };
    birth->store_sequence = node_store_put(node->store, &record);
    if (birth->store_sequence == 0) {
        node__fatal(node, NODE_FATAL_CONFIG, "this node holds its limit of %u replicas",
                    NODE_STORE_GROUPS_MAX);
        return;
    }
    disk__pump_store(node);
    node__post(node);
}

void group__make(struct node *node, uint64_t group_id, uint64_t epoch, uint64_t meta_index,
                 const struct raft_configuration *configuration, bool campaign, const char *topic,
                 uint32_t partition_number)
{
    struct node_record record;
    /* M4: an entry at or below the recorded index does nothing. */
    if (node_store_get(node->store, group_id, &record) && record.state != NODE_REPLICA_NONE &&
        record.meta_index >= meta_index) {
        return;
    }
    if (node__group(node, group_id) || group__is_being_made(node, group_id)) return;
    struct group_birth *birth = calloc(1, sizeof(*birth));
    if (!birth) abort();
    birth->node = node;
    birth->group_id = group_id;
    birth->epoch = epoch;
    birth->meta_index = meta_index;
    birth->configuration = *configuration;
    birth->campaign = campaign;
    snprintf(birth->topic, sizeof(birth->topic), "%s", topic);
    birth->partition_number = partition_number;
    birth->job.run = run_birth;
    birth->job.done = done_birth;
    birth->job.data = birth;
    list_push_back(&node->births, &birth->link);
    node->setup_jobs_count++;
    io_job_submit(node->io, node->setup_queue, &birth->job);
}

bool group__is_being_made(const struct node *node, uint64_t id)
{
    const struct list_link *link;
    for (link = node->births.next; link != &node->births; link = link->next) {
        if (list_entry(link, struct group_birth, link)->group_id == id) return true;
    }
    return false;
}

/* The record is durable: from here on the replica may vote. */
static void bring_to_life(struct group_birth *birth)
{
    struct node *node = birth->node;
    struct group *group = group_new(node, birth->group_id, birth->epoch);
    group->log = birth->log;
    birth->log = NULL;
    snprintf(group->topic, sizeof(group->topic), "%s", birth->topic);
    group->partition_number = birth->partition_number;
    const struct raft_hard_state none = {0};
    if (!start_core(group, &none, &birth->configuration, 0, 0)) {
        group__free(group);
        return;
    }
    attach(group);
    node__log(node, "info", "event=\"replica made\" group=%" PRIu64 " topic=\"%s\" partition=%u",
              group->id, group->topic, group->partition_number);
    if (group->is_meta) node__start_running(node);
    group->campaign_wanted = birth->campaign;
    group->made_mask = birth->made_mask;
    struct raft_event event = {.type = RAFT_EVENT_TICK};
    (void)group__step(group, &event);
    topics__tell_made(group);
    group__made_on(node, group->id, node->identity.node_id);
    request__unpark(node, NULL);
}

static void note_made(uint32_t *mask, const struct raft_configuration *configuration,
                      uint64_t node_id)
{
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (configuration->members[i].id.node == node_id) *mask |= 1u << i;
    }
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
        struct list_link *link;
        for (link = node->births.next; link != &node->births; link = link->next) {
            struct group_birth *birth = list_entry(link, struct group_birth, link);
            if (birth->group_id == group_id) {
                note_made(&birth->made_mask, &birth->configuration, node_id);
            }
        }
        return;
    }
    note_made(&group->made_mask, raft_configuration_of(group->raft), node_id);
    if (!group->campaign_wanted || !made_on_majority(group)) return;
    group->campaign_wanted = false;
    if (group->leader != 0 || group->term != 0) return; /* somebody was faster */
    struct raft_event event = {.type = RAFT_EVENT_CAMPAIGN};
    (void)group__step(group, &event);
}

void group__births_durable(struct node *node)
{
    const uint64_t durable = node_store_durable_sequence(node->store);
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->births) {
        struct group_birth *birth = list_entry(link, struct group_birth, link);
        if (birth->store_sequence == 0 || birth->store_sequence > durable) continue;
        list_remove(link);
        bring_to_life(birth);
        free(birth);
        if (node->state == NODE_FAILED) return;
    }
}

void group__free_births(struct node *node)
{
    struct list_link *link;
    while ((link = list_pop_front(&node->births))) {
        struct group_birth *birth = list_entry(link, struct group_birth, link);
        segment_log_close(birth->log);
        free(birth);
    }
}

/* ---- open at start ------------------------------------------------------------------------------------------------------ */

static void on_skipped(void *data, const struct segment_log_problem *problem)
{
    struct group *group = data;
    node__log(group->node, "warn",
              "event=\"damaged checkpoint skipped, replaying more of the log\" path=\"%s\" "
              "reason=\"%s\"",
              problem->path, problem->reason);
}

static bool open_failed(struct group *group, const char *what,
                        const struct segment_log_problem *problem, bool io)
{
    node__fatal(group->node, io ? NODE_FATAL_DISK : NODE_FATAL_DAMAGE,
                "group %" PRIu64 " (%s): %s at byte %" PRIu64 ", entry %" PRIu64
                ": %s; nothing was changed",
                group->id, what, problem->path[0] ? problem->path : group->directory, problem->pos,
                problem->index, problem->reason[0] ? problem->reason : what);
    return false;
}

static bool open_state(struct group *group, struct snapshot_header *header, struct tree **ret_state)
{
    struct node *node = group->node;
    struct segment_log_problem problem = {0};
    const enum snapshot_status loaded =
        snapshot_load_newest(node->disk, group->directory, &node->identity.cluster, group->id,
                             on_skipped, group, header, ret_state, &problem);
    if (loaded == SNAPSHOT_OK) return true;
    if (loaded == SNAPSHOT_MISSING) {
        snprintf(problem.reason, sizeof(problem.reason),
                 "recorded as made, but its base snapshot is missing");
    }
    return open_failed(group, snapshot_status_text(loaded), &problem, loaded == SNAPSHOT_IO);
}

static bool open_log(struct group *group)
{
    struct segment_log_problem problem = {0};
    const struct segment_log_options options =
        log_options(group->node, group->id, group->directory);
    const enum segment_log_status status = segment_log_open(&options, &group->log, &problem);
    if (status == SEGMENT_LOG_OK) return true;
    return open_failed(group, segment_log_status_text(status), &problem, status == SEGMENT_LOG_IO);
}

bool group__open(struct node *node, const struct node_record *record)
{
    struct group *group = group_new(node, record->group, record->epoch);
    struct snapshot_header *header = calloc(1, sizeof(*header));
    if (!header) abort();
    struct tree *state = NULL;
    struct raft_configuration configuration;
    bool opened = open_state(group, header, &state) && open_log(group);
    if (opened) {
        struct segment_log_info info;
        segment_log_info(group->log, &info);
        struct segment_log_problem problem = {0};
        if (header->point.index > info.last_index) {
            snprintf(problem.reason, sizeof(problem.reason),
                     "the log ends at %" PRIu64 ", before its checkpoint at %" PRIu64,
                     info.last_index, header->point.index);
            opened = open_failed(group, "log shorter than its state", &problem, false);
        } else if (!raft_codec_decode_configuration(header->configuration,
                                                    header->configuration_bytes, &configuration)) {
            opened = open_failed(group, "configuration cannot be read", &problem, false);
        }
    }
    if (opened) {
        struct tree *moved = state;
        state = NULL;
        const bool restored =
            group->is_meta
                ? meta_restore(&node->meta, moved, header->point.index, header->point.timestamp_ms)
                : partition_restore(&group->partition, moved, header->point.index,
                                    header->point.next_offset, header->log_start_offset,
                                    header->point.timestamp_ms);
        struct segment_log_problem problem = {.index = header->point.index};
        if (!restored) {
            opened =
                open_failed(group, "the state was written by a newer version", &problem, false);
        }
    }
    if (opened) {
        const struct raft_hard_state hard_state = {
            .term = record->term,
            .voted_for = {.node = record->vote_node, .epoch = record->vote_epoch},
        };
        opened = start_core(group, &hard_state, &configuration, header->configuration_index,
                            header->point.index);
    }
    tree_unref(state);
    free(header);
    if (!opened) {
        group__free(group);
        return false;
    }
    attach(group);
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    node__log(node, "info",
              "event=\"replica opened\" group=%" PRIu64 " last_index=%" PRIu64 " term=%" PRIu64
              " next_offset=%" PRIu64 " applied=%" PRIu64,
              group->id, info.last_index, info.last_term, info.next_offset, group->applied_index);
    return true;
}

/* ---- drop ------------------------------------------------------------------------------------------------------------------- */

struct group_removal {
    struct io_job job;
    struct node *node;
    uint64_t group_id;
};

static void run_removal(struct io_job *job)
{
    struct group_removal *removal = job->data;
    char directory[DISK_PATH_MAX];
    group__directory(removal->node, removal->group_id, directory, sizeof(directory));
    struct left_over left = {.disk = removal->node->disk, .directory = directory};
    (void)disk_list(removal->node->disk, directory, remove_left_over, &left);
    (void)disk_remove_directory(removal->node->disk, directory);
}

static void done_removal(struct io_job *job)
{
    struct group_removal *removal = job->data;
    struct node *node = removal->node;
    node->setup_jobs_count--;
    if (node__enter(node)) {
        topics__tell_dropped(node, removal->group_id);
        node__post(node);
    }
    free(removal);
}

/* No job points at the group any more: forget it, then its files. */
static void drop_settled(struct group *group)
{
    struct node *node = group->node;
    struct group_removal *removal = calloc(1, sizeof(*removal));
    if (!removal) abort();
    removal->node = node;
    removal->group_id = group->id;
    removal->job.run = run_removal;
    removal->job.done = done_removal;
    removal->job.data = removal;
    group__free(group);
    node->setup_jobs_count++;
    io_job_submit(node->io, node->setup_queue, &removal->job);
}

static void fail_list(struct list_link *list)
{
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, list) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        request__finish(request_of_state(state), NODE_TOPIC_NOT_FOUND, "the topic was deleted");
    }
}

void group__drop(struct group *group, uint64_t meta_index)
{
    struct node *node = group->node;
    const struct node_record record = {
        .group = group->id,
        .epoch = group->epoch,
        .state = NODE_REPLICA_DROPPED,
        .meta_index = meta_index,
    };
    (void)node_store_put(node->store, &record);
    disk__pump_store(node);
    fail_list(&group->parked);
    fail_list(&group->queued);
    fail_list(&group->waiting);
    fail_list(&group->barriers);
    fail_list(&group->polls);
    detach(group);
    list_remove(&group->dirty_link);
    list_push_back(&node->dropping, &group->link);
    group->dropping = true;
    group->drop_done = drop_settled;
    if (group->jobs_count == 0) drop_settled(group);
}
