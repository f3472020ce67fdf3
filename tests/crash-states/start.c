#include "start.h"

#include <segment_log/repair.h>
#include <snapshot/transfer.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_PAIRS       12u
#define STATE_VALUE_BYTES 90u
#define READ_BYTES        1000000u
#define BASES_MAX         64u /* as many as a node looks for */

const struct cluster_id node_cluster = {{9, 8, 7, 6, 5, 4, 3, 2, 1, 2, 3, 4, 5, 6, 7, 8}};

const char *part_name(enum part part)
{
    static const char *const names[PARTS_COUNT] = {"identity", "votes", "group"};
    return names[part];
}

const char *part_path(enum part part)
{
    static const char *const paths[PARTS_COUNT] = {IDENTITY_PATH, VOTES_PATH, GROUP_PATH};
    return paths[part];
}

struct segment_log_options group_options(struct disk *disk, const struct group_settings *settings)
{
    return (struct segment_log_options){
        .disk = disk,
        .directory = GROUP_PATH,
        .cluster = node_cluster,
        .group = GROUP_ID,
        .segment_bytes_max = settings->segment_bytes_max,
        .extend_bytes = settings->extend_bytes,
        .cache_bytes_max = settings->cache_bytes_max,
        .sector_bytes = settings->sector_bytes,
    };
}

/* ---- the state --------------------------------------------------------------------------------------------------- */

struct tree *state_of(const struct past_entry *entry)
{
    struct tree *tree = NULL;
    uint8_t value[STATE_VALUE_BYTES];
    for (uint64_t i = 0; i < STATE_PAIRS; i++) {
        const uint64_t seed[2] = {i, entry->digest};
        const uint64_t word = checksum64(seed, sizeof seed);
        for (size_t at = 0; at < sizeof value; at++) {
            value[at] = (uint8_t)(word >> (at % 8 * 8));
        }
        if (i == 0) memcpy(value, &entry->digest, sizeof entry->digest);
        char key[16];
        const int bytes = snprintf(key, sizeof key, "key %02" PRIu64, i);
        tree_put(&tree, (struct tree_slice){.data = (const uint8_t *)key, .bytes = (uint32_t)bytes},
                 (struct tree_slice){.data = value, .bytes = sizeof value});
    }
    return tree;
}

bool state_is(const struct tree *state, const struct past_entry *entry)
{
    if (entry->point.index == 0) return tree_count(state) == 0;
    struct tree *expected = state_of(entry);
    const bool is_equal =
        tree_count(state) == tree_count(expected) && tree_digest(state) == tree_digest(expected);
    tree_unref(expected);
    return is_equal;
}

/* ---- identity and votes ------------------------------------------------------------------------------------------ */

#define found(finding, ...) snprintf((finding)->problem, sizeof(finding)->problem, __VA_ARGS__)

static void start_identity(struct disk *disk, struct finding *finding)
{
    struct node_identity identity;
    struct segment_log_problem problem = {0};
    switch (node_identity_load(disk, NODE_DIRECTORY, &identity, &problem)) {
    case NODE_IDENTITY_OK:
        finding->identity_version = identity.incarnation_index;
        break;
    case NODE_IDENTITY_MISSING:
        finding->is_missing = true;
        break;
    case NODE_IDENTITY_DAMAGED:
    case NODE_IDENTITY_OTHER_VERSION:
    case NODE_IDENTITY_IO:
        found(finding, "%.60s: %.150s", problem.path, problem.reason);
        break;
    }
}

static void start_votes(struct disk *disk, bool store_is_made, struct finding *finding)
{
    struct node_store *store = NULL;
    struct segment_log_problem problem = {0};
    const enum segment_log_status status = node_store_open(
        disk, NODE_DIRECTORY, &node_cluster, NODE_ID, !store_is_made, &store, &problem);
    if (status != SEGMENT_LOG_OK) {
        found(finding, "%.60s: %s: %.130s", problem.path, segment_log_status_text(status),
              problem.reason);
        return;
    }
    struct node_record record = {0};
    (void)node_store_get(store, GROUP_ID, &record);
    node_store_close(store);
    /* Field by field: findings are compared as bytes. */
    finding->record.group = record.group;
    finding->record.epoch = record.epoch;
    finding->record.state = record.state;
    finding->record.meta_index = record.meta_index;
    finding->record.term = record.term;
    finding->record.vote_node = record.vote_node;
    finding->record.vote_epoch = record.vote_epoch;
}

/* ---- the group --------------------------------------------------------------------------------------------------- */

static void count_skipped(void *data, const struct segment_log_problem *problem)
{
    struct finding *finding = data;
    if (finding->problem[0]) return;
    found(finding, "a snapshot is damaged: %.60s: %.130s", problem->path, problem->reason);
}

#define CONFIGURATIONS_MAX 4096u

/* As they were told by the log. */
struct configurations {
    uint32_t count;
    struct {
        uint64_t index, hash;
    } told[CONFIGURATIONS_MAX];
};

static void note_configuration(void *data, uint64_t index, const uint8_t *payload,
                               uint32_t payload_bytes)
{
    struct configurations *noted = data;
    assert(noted->count < CONFIGURATIONS_MAX);
    noted->told[noted->count].index = index;
    noted->told[noted->count++].hash = checksum64(payload, payload_bytes);
}

/* The entries of the log as they are in memory, held against those that were, and folded into the digest of the snapshot.
 * NULL: they are the same. */
struct replay {
    const struct history *history;
    const uint32_t *path; /* past entries of base.index + 1 .. */
    uint64_t base_index, at_index;
    uint64_t snapshot_index, digest;
    bool lacks_entries; /* behind the snapshot: the digest says nothing */
};

static const char *replay_entry(struct replay *replay, const struct entry_header *header,
                                const uint8_t *payload)
{
    if (header->index != replay->at_index + 1) return "entries are not read in order";
    replay->at_index++;
    const struct past_entry *past =
        &replay->history->entries[replay->path[header->index - replay->base_index - 1]];
    if (header->chain != past->point.chain || header->payload_bytes != past->payload_bytes ||
        header->type != past->type || header->term != past->point.term) {
        return "an entry is another one than was appended";
    }
    if (memcmp(payload, past->payload, past->payload_bytes) != 0) return "a wrong byte";
    if (header->index > replay->snapshot_index) {
        replay->digest = history_digest(replay->digest, header);
    }
    return NULL;
}

static const char *replay_view(struct replay *replay, const struct segment_log_view *view)
{
    const uint64_t seed = checksum64_group(&node_cluster, GROUP_ID);
    const char *why = NULL;
    for (uint32_t i = 0; i < view->parts_count && !why; i++) {
        for (size_t pos = 0; pos < view->parts[i].bytes_count && !why;) {
            struct entry_header header;
            const uint8_t *payload;
            if (entry_decode(view->parts[i].bytes + pos, view->parts[i].bytes_count - pos, seed,
                             &header, &payload) != ENTRY_DECODE_OK) {
                return "an entry that is read does not decode";
            }
            why = replay_entry(replay, &header, payload);
            pos += entry_bytes(header.payload_bytes);
        }
    }
    return why;
}

/* Stands in front of a hole: behind it. Returns up to where there is none. */
static uint64_t pass_hole(struct replay *replay, const struct segment_log *log, uint64_t last_index)
{
    struct segment_log_hole hole;
    while (segment_log_hole_from(log, replay->at_index + 1, &hole)) {
        if (hole.first_index > replay->at_index + 1) return hole.first_index - 1;
        replay->at_index = hole.last_index;
        replay->lacks_entries |= hole.last_index > replay->snapshot_index;
    }
    return last_index;
}

static const char *replay_all(struct replay *replay, struct segment_log *log, uint64_t end_index,
                              bool from_files)
{
    const char *why = NULL;
    while (!why) {
        const uint64_t last_index = pass_hole(replay, log, end_index);
        if (replay->at_index >= end_index) break;
        struct segment_log_view view;
        enum segment_log_status status = SEGMENT_LOG_NOT_CACHED;
        if (!from_files) {
            status = segment_log_read(log, SEGMENT_LOG_BY_INDEX, replay->at_index + 1, last_index,
                                      READ_BYTES, &view);
        }
        if (status == SEGMENT_LOG_NOT_CACHED) {
            struct segment_log_read_job *job;
            status = segment_log_read_job_create(log, SEGMENT_LOG_BY_INDEX, replay->at_index + 1,
                                                 last_index, READ_BYTES, &job);
            if (status == SEGMENT_LOG_OK) {
                segment_log_read_job_run(job);
                status = segment_log_read_job_finish(log, job, &view, NULL);
            }
        }
        /* Whoever reads a sealed segment finds what is damaged of it: a start reads its footer alone. */
        struct segment_log_hole hole;
        if (status == SEGMENT_LOG_DAMAGED &&
            segment_log_hole_from(log, replay->at_index + 1, &hole) &&
            hole.first_index == replay->at_index + 1) {
            continue;
        }
        if (status != SEGMENT_LOG_OK) return segment_log_status_text(status);
        why = replay_view(replay, &view);
        segment_log_view_release(&view);
    }
    return why;
}

/* Past entries behind `base_index` up to the tip; NULL: the log that ends with the tip starts elsewhere. */
static uint32_t *path_to(const struct history *history, uint32_t tip, uint64_t base_index)
{
    const uint64_t count = history->entries[tip].point.index - base_index;
    uint32_t *path = malloc((count + 1) * sizeof *path);
    if (!path) abort();
    for (uint64_t i = count; i > 0; i--) {
        path[i - 1] = tip;
        tip = history->entries[tip].parent;
        if (tip == NOBODY) {
            free(path);
            return NULL;
        }
    }
    return path;
}

/* Every CONFIG entry was told, in order, and nothing else; of damaged ones those that a footer tells. */
static bool are_those_of(const struct configurations *noted, const struct segment_log *log,
                         const struct history *history, const uint32_t *path,
                         const struct replay *replay)
{
    uint32_t at = 0;
    for (uint64_t index = replay->base_index + 1; index <= replay->at_index; index++) {
        const struct past_entry *past = &history->entries[path[index - replay->base_index - 1]];
        if (past->type != ENTRY_CONFIG) continue;
        if (at < noted->count && noted->told[at].index == index) {
            if (noted->told[at++].hash != checksum64(past->payload, past->payload_bytes)) {
                return false;
            }
            continue;
        }
        struct segment_log_hole hole;
        if (!segment_log_hole_from(log, index, &hole) || hole.first_index > index) return false;
    }
    return at == noted->count;
}

/* Snapshot and log together are the state that was. */
static void check_state(struct segment_log *log, const struct history *history,
                        const struct snapshot_header *header, const struct tree *state,
                        const struct configurations *configurations, struct finding *finding)
{
    const uint32_t stands = history_at(history, finding->tip, header->point.index);
    if (stands == NOBODY || history->entries[stands].point.chain != header->point.chain) {
        found(finding, "the snapshot of %" PRIu64 " is not of this log", header->point.index);
        return;
    }
    if (!state_is(state, &history->entries[stands])) {
        found(finding, "the snapshot of %" PRIu64 " holds another state", header->point.index);
        return;
    }
    uint32_t *path = path_to(history, finding->tip, finding->base_index);
    if (!path) {
        found(finding, "the log starts behind %" PRIu64 ", where none did", finding->base_index);
        return;
    }
    struct replay replay = {
        .history = history,
        .path = path,
        .base_index = finding->base_index,
        .at_index = finding->base_index,
        .snapshot_index = header->point.index,
        .digest = history->entries[stands].digest,
    };
    const struct past_entry *tip = &history->entries[finding->tip];
    const char *why = replay_all(&replay, log, tip->point.index, false);
    if (!why && !replay.lacks_entries && replay.digest != tip->digest)
        why = "snapshot and tail are not the state";
    if (!why && !are_those_of(configurations, log, history, path, &replay)) {
        why = "the configurations that were told are not those of the log";
    }
    if (why) found(finding, "entry %" PRIu64 ": %s", replay.at_index, why);
    free(path);
}

const char *start_check_files(struct segment_log *log, const struct history *history, uint32_t tip)
{
    struct segment_log_info info;
    segment_log_info(log, &info);
    uint32_t *path = path_to(history, tip, info.base.index);
    if (!path) return "the log starts where none did";
    struct replay replay = {
        .history = history,
        .path = path,
        .base_index = info.base.index,
        .at_index = info.base.index,
        .snapshot_index = UINT64_MAX,
    };
    const char *why = replay_all(&replay, log, history->entries[tip].point.index, true);
    free(path);
    return why;
}

static void note_holes(const struct segment_log *log, struct finding *finding)
{
    struct segment_log_hole hole;
    for (uint64_t from = 0; segment_log_hole_from(log, from, &hole); from = hole.last_index + 1) {
        if (finding->hole_first == 0) finding->hole_first = hole.first_damaged;
        finding->hole_last = hole.last_index;
    }
}

static void check_group(struct segment_log *log, const struct history *history,
                        const struct snapshot_header *header, const struct tree *state,
                        const struct configurations *configurations, struct finding *finding)
{
    struct segment_log_info info;
    segment_log_info(log, &info);
    finding->base_index = info.base.index;
    finding->snapshot_index = header->point.index;
    finding->tip = history_find(history, info.last_index, info.last_chain);
    if (finding->tip == NOBODY) {
        found(finding, "the last entry, %" PRIu64 ", was never appended", info.last_index);
    } else if (info.durable_index != info.last_index) {
        found(finding, "the log is open and not durable");
    } else if (header->point.index < info.base.index) {
        found(finding, "the log begins behind %" PRIu64 ", its newest snapshot is of %" PRIu64,
              info.base.index, header->point.index);
    } else if (header->point.index > info.last_index) {
        found(finding, "the log ends at %" PRIu64 ", before its snapshot of %" PRIu64,
              info.last_index, header->point.index);
    } else {
        check_state(log, history, header, state, configurations, finding);
    }
    note_holes(log, finding);
}

/* What `log verify` says of the same files, before a start changes them. */
struct verdict {
    uint64_t problems_count;
    uint64_t of_log_count; /* files that are missing, or do not go with the others */
    char first[200];
};

static void note_remark(void *data, const struct segment_log_walk_item *item)
{
    struct verdict *verdict = data;
    if (!item->problem) return;
    verdict->problems_count++;
    if (!item->of_log || verdict->of_log_count++ > 0) return;
    snprintf(verdict->first, sizeof verdict->first, "%.80s: %.110s", item->path, item->text);
}

static struct verdict verify_group(struct disk *disk)
{
    struct verdict verdict = {.problems_count = 0};
    struct segment_log_snapshots snapshots;
    struct segment_log_walk_summary summary;
    struct segment_log_problem problem = {0};
    const bool is_known = snapshot_survey(disk, GROUP_PATH, &snapshots, &problem) == SNAPSHOT_OK;
    const enum segment_log_status status = segment_log_walk(
        disk, GROUP_PATH, is_known ? &snapshots : NULL, note_remark, &verdict, &summary, &problem);
    if (status != SEGMENT_LOG_OK) {
        verdict.problems_count++;
        verdict.of_log_count++;
    }
    return verdict;
}

/* It names a log that is not whole, and says of no other one that something of it is missing. A mark or a footer that the crash
 * tore looks like one that rotted. */
static void check_verdict(const struct verdict *verdict, struct finding *finding)
{
    if (finding->problem[0] || finding->hole_first > 0) {
        if (verdict->problems_count > 0) return;
        found(finding, "`log verify` calls it whole, a start does not");
    } else if (verdict->of_log_count > 0) {
        found(finding, "a start calls it whole, `log verify` does not: %.180s", verdict->first);
    }
}

static void start_group(struct disk *disk, const struct history *history,
                        const struct group_settings *settings, struct finding *finding,
                        struct segment_log **ret_log)
{
    struct segment_log_problem problem = {0};
    struct snapshot_header header;
    struct tree *state = NULL;
    const enum snapshot_status loaded =
        snapshot_load_newest(disk, GROUP_PATH, &node_cluster, GROUP_ID, count_skipped, finding,
                             &header, &state, &problem);
    if (loaded != SNAPSHOT_OK) {
        found(finding, "%.80s: %s: %.120s", problem.path, snapshot_status_text(loaded),
              problem.reason);
        return;
    }
    struct segment_log_point bases[BASES_MAX];
    uint32_t bases_count = 0;
    const enum snapshot_status listed = snapshot_list_bases(
        disk, GROUP_PATH, &node_cluster, GROUP_ID, bases, BASES_MAX, &bases_count, NULL, &problem);
    struct segment_log *log = NULL;
    if (listed != SNAPSHOT_OK || bases_count == 0) {
        found(finding, "%.80s: %s: %.120s", problem.path, snapshot_status_text(listed),
              bases_count == 0 ? "no base" : problem.reason);
    } else {
        struct configurations *configurations = malloc(sizeof *configurations);
        if (!configurations) abort();
        configurations->count = 0;
        struct segment_log_options options = group_options(disk, settings);
        options.base = &bases[0];
        options.start = &bases[bases_count - 1];
        options.on_configuration = note_configuration;
        options.on_configuration_data = configurations;
        const enum segment_log_status status = segment_log_open(&options, &log, &problem);
        if (status != SEGMENT_LOG_OK) {
            found(finding, "%.70s at %" PRIu64 ", entry %" PRIu64 ": %s: %.80s (%d)", problem.path,
                  problem.pos, problem.index, segment_log_status_text(status), problem.reason,
                  problem.error);
        } else if (!finding->problem[0]) {
            check_group(log, history, &header, state, configurations, finding);
        }
        free(configurations);
    }
    tree_unref(state);
    if (ret_log && !finding->problem[0]) {
        *ret_log = log;
    } else {
        segment_log_close(log);
    }
}

void start_part(enum part part, struct disk *disk, const struct history *history,
                const struct group_settings *settings, bool store_is_made,
                struct finding *ret_finding, struct segment_log **ret_log)
{
    memset(ret_finding, 0, sizeof *ret_finding);
    ret_finding->tip = NOBODY;
    if (ret_log) *ret_log = NULL;
    struct verdict verdict;
    switch (part) {
    case PART_IDENTITY:
        start_identity(disk, ret_finding);
        break;
    case PART_VOTES:
        start_votes(disk, store_is_made, ret_finding);
        break;
    case PART_GROUP:
        verdict = verify_group(disk);
        start_group(disk, history, settings, ret_finding, ret_log);
        check_verdict(&verdict, ret_finding);
        if (!ret_log || !ret_finding->problem[0]) break;
        segment_log_close(*ret_log);
        *ret_log = NULL;
        break;
    }
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

static const char *judge_group(const struct finding *finding, const struct history *history)
{
    const struct promise *promise = &history->promise;
    const char *why = history_judge_tip(history, finding->tip);
    if (why) return why;
    const bool is_installed = promise->installed != NOBODY && finding->tip == promise->installed;
    if (is_installed) return NULL;
    if (finding->snapshot_index < promise->snapshot_durable)
        return "a snapshot that was durable is gone";
    if (finding->snapshot_index > promise->snapshot_issued)
        return "a snapshot that was never written";
    if (finding->base_index > promise->dropped_index)
        return "the log starts behind what was dropped";
    if (finding->hole_last > 0 && (finding->hole_first < promise->damaged_first ||
                                   finding->hole_last > promise->damaged_last)) {
        return "entries are damaged that nobody damaged, or that were repaired";
    }
    return NULL;
}

const char *finding_judge(enum part part, const struct finding *finding,
                          const struct history *history)
{
    const struct promise *promise = &history->promise;
    if (finding->problem[0]) return finding->problem;
    switch (part) {
    case PART_IDENTITY:
        if (finding->is_missing && promise->identity_durable > 0) return "the identity is gone";
        if (finding->identity_version < promise->identity_durable) return "the identity is old";
        if (finding->identity_version > promise->identity_issued) return "a foreign identity";
        return NULL;
    case PART_VOTES:
        return history_judge_record(history, &finding->record);
    case PART_GROUP:
        return judge_group(finding, history);
    }
    return NULL;
}
