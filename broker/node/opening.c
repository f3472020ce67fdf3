/* Opening recorded replicas at start (PROTOCOL M4): the newest state, the bases, the log behind them, and the core that goes on
 * from there. One that lost its position is noted as lost (PROTOCOL D2); what nobody could make again stops the node. */
#include "opening.h"

#include "base.h"
#include "founding.h"
#include "group.h"
#include "internal.h"
#include "limits.h"
#include "lost.h"
#include "mending.h"
#include "repair.h"
#include "scrub.h"

#include <broker/raft_codec.h>
#include <planted/planted.h>
#include <snapshot/snapshot.h>
#include <snapshot/transfer.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_skipped(void *data, const struct segment_log_problem *problem)
{
    struct group *group = data;
    group->opened_damaged = true;
    node__log(group->node, "warn",
              "event=\"damaged snapshot skipped, its copy or an older one is taken\" path=\"%s\" "
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
                ": %s; nothing was changed. Where other replicas of it are whole, move %s aside: "
                "a start without it gets it from them",
                group->id, what, problem->path[0] ? problem->path : group->directory, problem->pos,
                problem->index, problem->reason[0] ? problem->reason : what, group->directory);
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

/* S2, S3: the log must hold the newest base, or is replaced by it. Those that are damaged are left out. */
static bool find_bases(struct group *group, struct snapshot_damage *ret_damage)
{
    struct node *node = group->node;
    struct segment_log_problem problem = {0};
    const enum snapshot_status status = snapshot_list_bases(
        node->disk, group->directory, &node->identity.cluster, group->id, group->bases,
        GROUP_BASES_ROOM, &group->bases_count, ret_damage, &problem);
    if (ret_damage->count > 0) group->opened_damaged = true;
    if (status == SNAPSHOT_OK && group->bases_count + ret_damage->count > 0) return true;
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

/* Where the log starts stands a base that is damaged, and so is its copy. The log itself tells the point. */
static void take_damaged_start(struct group *group, const struct segment_log_info *info,
                               const struct snapshot_damage *damage)
{
    if (damage->count == 0 || damage->lowest != info->base.index) return;
    const uint32_t count = group->bases_count;
    if (count == GROUP_BASES_ROOM ||
        (count > 0 && group->bases[count - 1u].index <= damage->lowest)) {
        return;
    }
    group->bases[group->bases_count++] = info->base;
    snapshots__note_lost_start(group);
}

/* Does the log that was opened go with its snapshots? */
static bool check_extent(struct group *group, uint64_t state_index,
                         const struct snapshot_damage *damage)
{
    struct segment_log_problem problem = {0};
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    take_damaged_start(group, &info, damage);
    if (state_index < info.base.index) { /* segments are gone that no snapshot covers */
        snprintf(problem.reason, sizeof(problem.reason),
                 "the log begins behind %" PRIu64 ", its newest snapshot is of %" PRIu64,
                 info.base.index, state_index);
        return open_failed(group, "a gap between snapshot and log", &problem, OPEN_LOST);
    }
    const bool is_damage_behind = damage->count > 0 && damage->highest > info.last_index;
    if (state_index <= info.last_index && !is_damage_behind && group->bases_count > 0) return true;
    snprintf(problem.reason, sizeof(problem.reason),
             "the log ends at %" PRIu64 ", before its snapshot at %" PRIu64, info.last_index,
             is_damage_behind ? damage->highest : state_index);
    return open_failed(group, "log shorter than its state", &problem, OPEN_LOST);
}

static bool open_log(struct group *group, const struct snapshot_header *header,
                     struct found_configurations *found)
{
    struct snapshot_damage damage;
    if (!find_bases(group, &damage)) return false;
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
    if (group->bases_count > 0) {
        options.base = &group->bases[0];
        options.start = &group->bases[group->bases_count - 1u];
    }
    if (damage.count > 0 && (!options.base || damage.highest > options.base->index)) {
        options.damaged_base_index = damage.highest;
    }
    struct segment_log_problem problem = {0};
    const enum segment_log_status status = segment_log_open(&options, &group->log, &problem);
    if (status != SEGMENT_LOG_OK) {
        return open_failed(group, segment_log_status_text(status), &problem, log_failure(status));
    }
    return check_extent(group, header->point.index, &damage);
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
    return voters == 1 && is_self && !configuration->joint && !PLANTED(V3_SOLE_VOTER_GIVES_UP);
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
    /* By an older state than the newest it cannot be judged what was trimmed. */
    const enum open_failure failure = group->opened_damaged ? OPEN_LOST : OPEN_DAMAGED;
    if (info.base.index > oldest && !info.base_installed) {
        return open_failed(group, "the first segments are missing", &problem, failure);
    }
    if (oldest > info.base.index && oldest > group->trimmed_durable) {
        return open_failed(group, "the base at the start of the log is missing", &problem, failure);
    }
    if (oldest < info.base.index && group->bases[0].index >= info.base.index) {
        base__forget_below(group, info.base.index);
    }
    return true;
}

/* What is applied becomes the state, which is moved. False: it was written by a newer version. */
static bool restore(struct group *group, const struct snapshot_header *header, struct tree *state)
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
    if (!restore(group, header, state)) {
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
    if (group->opened_damaged) scrub__begin(group); /* what was skipped is mended */
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
