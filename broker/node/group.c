/* Replicas: the struct, its jobs, the start of its core, and opening recorded ones at start (PROTOCOL M4). They are made in
 * birth.c and dropped in drop.c. */
#include "internal.h"

#include <planted/planted.h>
#include <snapshot/transfer.h>

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
        .sector_bytes = 512,
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

struct run_list {
    struct raft_term_run *runs;
    uint32_t count, capacity;
    uint64_t from_index; /* what is in front of it is left out */
};

static void collect_run(void *data, uint64_t first, uint64_t count, uint64_t term)
{
    struct run_list *list = data;
    if (first + count <= list->from_index) return;
    if (first < list->from_index) {
        count -= list->from_index - first;
        first = list->from_index;
    }
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2u : 64u;
        list->runs = realloc(list->runs, list->capacity * sizeof(*list->runs));
        if (!list->runs) abort();
    }
    list->runs[list->count++] =
        (struct raft_term_run){.first = first, .count = count, .term = term};
}

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
    struct run_list runs = {.from_index = begin->index + 1u};
    segment_log_term_runs(group->log, collect_run, &runs);
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
        .runs = runs.runs,
        .runs_count = runs.count,
        .commit_index = PLANTED(B38_COMMIT_INDEX_GOES_BACK) ? begin->index : commit_index,
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
    group->commit_index = start.commit_index;
    group->applied_index = commit_index;
    if (PLANTED(B36_APPLIES_SNAPSHOTS_LAST_AGAIN) && commit_index > info.base.index)
        group->applied_index--;
    group->checkpoint_index = commit_index;
    return true;
}

/* ---- open at start ------------------------------------------------------------------------------------------------------ */

static void on_skipped(void *data, const struct segment_log_problem *problem)
{
    struct group *group = data;
    group->skipped_checkpoint = true;
    node__log(group->node, "warn",
              "event=\"damaged checkpoint skipped, replaying more of the log\" path=\"%s\" "
              "reason=\"%s\"",
              problem->path, problem->reason);
}

/* What becomes of a replica that cannot be opened: LOST, it is made again from the others (lost.c); else the node stops. */
enum open_failure {
    OPEN_DAMAGED,
    OPEN_IO,
    OPEN_LOST,
};

static bool is_only_voter(const struct node *node, const struct raft_configuration *configuration);

/* Group 0 as it was founded, where nothing newer can be read. */
static bool is_only_founder(const struct node *node)
{
    return node->founding.nodes_count == 1 && founding__lists_me(node);
}

static bool open_failed(struct group *group, const char *what,
                        const struct segment_log_problem *problem, enum open_failure failure)
{
    /* Nobody could make group 0 again: then the files had better stay as they are. */
    const bool is_alone =
        group->is_meta && (group->opened_as_only_voter ||
                           (!group->opened_configuration && is_only_founder(group->node)));
    if (failure == OPEN_LOST && !is_alone && !PLANTED(D2_LOST_POSITION_STOPS_THE_NODE)) {
        snprintf(group->problem, sizeof(group->problem), "%.60s: %.120s", what,
                 problem->reason[0] ? problem->reason : "cannot be opened");
        return false;
    }
    node__fatal(group->node, failure == OPEN_IO ? NODE_FATAL_DISK : NODE_FATAL_DAMAGE,
                "group %" PRIu64 " (%s): %s at byte %" PRIu64 ", entry %" PRIu64
                ": %s; nothing was changed",
                group->id, what, problem->path[0] ? problem->path : group->directory, problem->pos,
                problem->index, problem->reason[0] ? problem->reason : what);
    return false;
}

static enum open_failure snapshot_failure(enum snapshot_status status)
{
    if (status == SNAPSHOT_IO) return OPEN_IO;
    const bool is_gone =
        status == SNAPSHOT_MISSING || status == SNAPSHOT_DAMAGED || status == SNAPSHOT_OK;
    return is_gone ? OPEN_LOST : OPEN_DAMAGED;
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
    return open_failed(group, snapshot_status_text(loaded), &problem, snapshot_failure(loaded));
}

/* The newest are kept: those that a repair brings may stand between others. */
static void add_configuration(struct found_configurations *found, uint64_t index,
                              const struct raft_configuration *configuration)
{
    uint32_t at = found->count;
    while (at > 0 && found->items[at - 1u].index > index) {
        at--;
    }
    if (at > 0 && found->items[at - 1u].index == index) return;
    if (found->count == RAFT_CONFIGURATIONS_MAX) {
        if (at == 0) return;
        found->count--;
        at--;
        memmove(found->items, found->items + 1, found->count * sizeof(found->items[0]));
    }
    memmove(found->items + at + 1u, found->items + at,
            (found->count - at) * sizeof(found->items[0]));
    found->items[at] =
        (struct raft_indexed_configuration){.index = index, .configuration = *configuration};
    found->count++;
}

void group__found_configuration(struct found_configurations *found, uint64_t index,
                                const uint8_t *payload, uint32_t payload_bytes)
{
    struct raft_configuration configuration;
    if (raft_codec_decode_configuration(payload, payload_bytes, &configuration)) {
        add_configuration(found, index, &configuration);
    } else if (found->unreadable_index == 0) {
        found->unreadable_index = index;
    }
}

/* What the entries up to the state's configuration say is over. */
static void on_configuration(void *data, uint64_t index, const uint8_t *payload,
                             uint32_t payload_bytes)
{
    struct found_configurations *found = data;
    if (found->count > 0 && index <= found->items[found->count - 1u].index) return;
    group__found_configuration(found, index, payload, payload_bytes);
}

static bool unreadable_configuration(struct group *group, uint64_t index)
{
    const struct segment_log_problem problem = {.index = index};
    return open_failed(group, "configuration cannot be read", &problem, OPEN_DAMAGED);
}

/* S2, S3: the log must hold the newest base, or is replaced by it. */
static bool find_bases(struct group *group)
{
    struct node *node = group->node;
    struct segment_log_problem problem = {0};
    const enum snapshot_status status =
        snapshot_list_bases(node->disk, group->directory, &node->identity.cluster, group->id,
                            group->bases, GROUP_BASES_ROOM, &group->bases_count, &problem);
    if (status == SNAPSHOT_OK && group->bases_count > 0) return true;
    if (status == SNAPSHOT_OK) {
        snprintf(problem.reason, sizeof(problem.reason), "recorded as made, but it has no base");
    }
    return open_failed(group, snapshot_status_text(status), &problem, snapshot_failure(status));
}

/* D2: a position that is not known is never taken for a shorter log. M4: nor is a log that is gone. */
static enum open_failure log_failure(enum segment_log_status status)
{
    if (status == SEGMENT_LOG_IO) return OPEN_IO;
    const bool is_lost = status == SEGMENT_LOG_LOST_POSITION || status == SEGMENT_LOG_MISSING;
    return is_lost ? OPEN_LOST : OPEN_DAMAGED;
}

static bool open_log(struct group *group, const struct snapshot_header *header,
                     struct found_configurations *found)
{
    if (!find_bases(group)) return false;
    struct raft_configuration configuration;
    if (!raft_codec_decode_configuration(header->configuration, header->configuration_bytes,
                                         &configuration)) {
        return unreadable_configuration(group, header->point.index);
    }
    add_configuration(found, header->configuration_index, &configuration);
    group->opened_configuration = true;
    group->opened_as_only_voter = is_only_voter(group->node, &configuration);
    struct segment_log_options options =
        group__log_options(group->node, group->id, group->directory);
    options.on_configuration = on_configuration;
    options.on_configuration_data = found;
    options.base = &group->bases[0];
    options.start = &group->bases[group->bases_count - 1u];
    struct segment_log_problem problem = {0};
    const enum segment_log_status status = segment_log_open(&options, &group->log, &problem);
    if (status != SEGMENT_LOG_OK) {
        return open_failed(group, segment_log_status_text(status), &problem, log_failure(status));
    }
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    if (header->point.index < info.base.index) { /* segments are gone that no snapshot covers */
        snprintf(problem.reason, sizeof(problem.reason),
                 "the log begins behind %" PRIu64 ", its newest snapshot is of %" PRIu64,
                 info.base.index, header->point.index);
        return open_failed(group, "a gap between snapshot and log", &problem, OPEN_LOST);
    }
    if (header->point.index <= info.last_index) return true;
    snprintf(problem.reason, sizeof(problem.reason),
             "the log ends at %" PRIu64 ", before its checkpoint at %" PRIu64, info.last_index,
             header->point.index);
    return open_failed(group, "log shorter than its state", &problem, OPEN_LOST);
}

/* Does the group commit by this node alone? */
static bool is_only_voter(const struct node *node, const struct raft_configuration *configuration)
{
    uint32_t voters = 0;
    bool is_self = false;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (!member->voter && !member->voter_old) continue;
        voters++;
        is_self = member->id.node == node->identity.node_id;
    }
    return voters == 1 && is_self && !configuration->joint;
}

static uint64_t own_epoch(const struct node *node, const struct raft_configuration *configuration)
{
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_replica_id *id = &configuration->members[i].id;
        if (id->node == node->identity.node_id) return id->epoch;
    }
    return 0;
}

bool group__survives_lost_vote(struct node *node, uint64_t group_id, uint64_t *ret_last_index,
                               struct node_record *ret_record)
{
    struct group *group = group__new(node, group_id, 0);
    struct snapshot_header *header = calloc(1, sizeof(*header));
    if (!header) abort();
    struct tree *state = NULL;
    struct found_configurations found = {.count = 0};
    bool survives = open_state(group, header, &state) && open_log(group, header, &found);
    const struct raft_configuration *newest =
        survives ? &found.items[found.count - 1u].configuration : NULL;
    survives = survives && is_only_voter(node, newest);
    if (survives) {
        struct segment_log_info info;
        segment_log_info(group->log, &info);
        const uint64_t epoch = own_epoch(node, newest);
        *ret_last_index = info.last_index;
        *ret_record = (struct node_record){.group = group_id,
                                           .epoch = epoch,
                                           .state = NODE_REPLICA_MADE,
                                           .meta_index = epoch,
                                           .term = info.last_term + 1u};
    }
    tree_unref(state);
    free(header);
    group__free(group);
    return survives;
}

/* False: fatal was called. */
static bool note_lost(struct group *group)
{
    struct node *node = group->node;
    const uint64_t group_id = group->id;
    const uint64_t epoch = group->epoch;
    char why[NODE_STATUS_TEXT_BYTES];
    memcpy(why, group->problem, sizeof(why));
    group__free(group);
    if (node->state == NODE_FAILED) return false;
    if (group_id == 0) return lost__note_meta_at_start(node, epoch, why);
    lost__note(node, group_id, epoch, why);
    return true;
}

/* Where a partition's log starts its oldest base stands (S2), or behind that, as far as is trimmed: older bases go before
 * the files that they stand in front of (base.c). Else a file is missing that nobody removed. A base that was installed
 * stands at the start while older ones still go. */
static bool check_start(struct group *group)
{
    struct segment_log_info info;
    if (group->is_meta) return true;
    segment_log_info(group->log, &info);
    group->trimmed_durable = partition_trimmed_index(&group->partition);
    const uint64_t oldest = group->bases[group->bases_count - 1u].index;
    struct segment_log_problem problem = {.index = info.base.index};
    snprintf(problem.reason, sizeof(problem.reason),
             "the log begins behind %" PRIu64 ", its oldest base is of %" PRIu64, info.base.index,
             oldest);
    if (info.base.index > oldest && !info.base_installed) {
        return open_failed(group, "the first segments are missing", &problem, false);
    }
    if (oldest > info.base.index && oldest > group->trimmed_durable) {
        return open_failed(group, "the base at the start of the log is missing", &problem, false);
    }
    if (oldest < info.base.index && group->bases[0].index >= info.base.index) {
        base__forget_below(group, info.base.index);
    }
    return true;
}

bool group__restore(struct group *group, const struct snapshot_header *header, struct tree *state)
{
    if (group->is_meta) {
        return meta_restore(&group->node->meta, state, header->point.index,
                            header->point.timestamp_ms);
    }
    return partition_restore(&group->partition, state, header->point.index,
                             header->point.next_offset, header->log_start_offset,
                             header->point.timestamp_ms);
}

static void tell_opened(struct group *group)
{
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    node__log(group->node, "info",
              "event=\"replica opened\" group=%" PRIu64 " last_index=%" PRIu64 " term=%" PRIu64
              " next_offset=%" PRIu64 " applied=%" PRIu64 " holes=%u",
              group->id, info.last_index, info.last_term, info.next_offset, group->applied_index,
              info.holes_count);
}

bool group__start(struct group *group, const struct segment_log_point *begin,
                  const struct raft_hard_state *hard_state, const struct snapshot_header *header,
                  struct tree *state, const struct found_configurations *found)
{
    const struct segment_log_problem problem = {.index = header->point.index};
    if (found->unreadable_index) return unreadable_configuration(group, found->unreadable_index);
    if (!group__restore(group, header, state)) {
        return open_failed(group, "the state was written by a newer version", &problem,
                           OPEN_DAMAGED);
    }
    if (!check_start(group)) return false;
    if (!group__start_core_behind(group, begin, hard_state, found->items, found->count,
                                  header->point.index)) {
        return false;
    }
    group__attach(group);
    tell_opened(group);
    return true;
}

bool group__open(struct node *node, const struct node_record *record)
{
    struct group *group = group__new(node, record->group, record->epoch);
    struct snapshot_header *header = calloc(1, sizeof(*header));
    if (!header) abort();
    struct tree *state = NULL;
    struct found_configurations found = {.count = 0};
    const struct raft_hard_state hard_state = {
        .term = record->term,
        .voted_for = {.node = record->vote_node, .epoch = record->vote_epoch},
    };
    bool opened = open_state(group, header, &state) && open_log(group, header, &found);
    if (opened && repair__is_needed(group)) {
        mending__begin(group, &hard_state, header, state, &found);
    } else if (opened) {
        opened = group__start(group, NULL, &hard_state, header, state, &found);
    } else {
        tree_unref(state);
    }
    free(header);
    if (!opened) return note_lost(group);
    return true;
}
