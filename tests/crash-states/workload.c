#include "workload_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *workload_kind_text(enum workload_kind kind)
{
    static const char *const texts[] = {
#define X(name, text) text,
        WORKLOAD_KINDS(X)
#undef X
    };
    return texts[kind];
}

/* ---- small parts ------------------------------------------------------------------------------------------------- */

uint64_t workload__draw(struct workload *w, uint64_t below)
{
    uint64_t z = w->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((z ^ (z >> 31)) >> 8) % below;
}

void workload__fail(struct workload *w, const char *format, ...)
{
    if (w->result->problem[0]) return;
    char text[sizeof w->result->problem - 100];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(w->result->problem, sizeof w->result->problem, "call %" PRIu64 " (%.60s): %s",
             memory_disk_calls(w->disk), w->doing, text);
}

bool workload__is_over(const struct workload *w)
{
    return w->result->problem[0] || memory_disk_calls(w->disk) >= w->calls_max;
}

struct segment_log_info workload__info(const struct workload *w)
{
    struct segment_log_info info;
    segment_log_info(w->log, &info);
    return info;
}

const struct past_entry *workload__entry(const struct workload *w, uint64_t index)
{
    return &w->history.entries[w->current[index]];
}

/* Behind every call that reached the disk. */
static void behind_call(void *data, struct disk *disk)
{
    struct workload *w = data;
    if (w->result->problem[0]) return;
    if (w->log && !w->is_replaced) {
        w->history.promise.durable = w->current[workload__info(w).durable_index];
    }
    if (!states_look(w->states, disk)) {
        workload__fail(w, "%s", states_problem(w->states));
        return;
    }
    /* Snapshots are written beside the disk work of the log. */
    if (w->is_beside && w->log && !w->job && workload__draw(w, 4) == 0) workload__do_job(w, false);
}

void workload__look_away(struct workload *w, bool looks_away)
{
    memory_disk_set_hook(w->disk, looks_away ? NULL : behind_call, w);
}

/* ---- the node's small files -------------------------------------------------------------------------------------- */

static void save_identity(struct workload *w)
{
    struct promise *promise = &w->history.promise;
    w->doing = "writing the identity";
    w->identity.incarnation_index = ++promise->identity_issued;
    if (node_identity_save(w->disk, NODE_DIRECTORY, &w->identity) != 0) {
        if (w->is_full) return;
        workload__fail(w, "the identity cannot be written");
        return;
    }
    promise->identity_durable = promise->identity_issued;
    w->result->kinds[WORKLOAD_IDENTITIES]++;
}

void workload__put_record(struct workload *w, const struct node_record *record)
{
    struct promise *promise = &w->history.promise;
    if (promise->records_count == RECORDS_MAX) {
        const uint32_t gone = promise->record_durable;
        promise->records_count -= gone;
        memmove(promise->records, promise->records + gone,
                promise->records_count * sizeof *promise->records);
        promise->record_durable = 0;
    }
    w->record = *record;
    promise->records[promise->records_count++] = *record;
    if (node_store_put(w->store, record) == 0) workload__fail(w, "the store is full");
}

void workload__store_job(struct workload *w)
{
    struct node_store_job *job = node_store_next_job(w->store);
    if (!job) return;
    const uint32_t durable = w->history.promise.records_count - 1;
    node_store_job_run(job);
    struct segment_log_problem problem;
    if (node_store_job_finish(w->store, job, &problem) != 0) {
        workload__fail(w, "%s", problem.reason);
        return;
    }
    w->history.promise.record_durable = durable;
    if (!states_look_at_rotten_votes(w->states, w->disk)) {
        workload__fail(w, "with a rotten slot: %s", states_problem(w->states));
    }
}

static void vote(struct workload *w)
{
    w->doing = "voting";
    for (uint64_t count = 1 + workload__draw(w, 3); count > 0; count--) {
        struct node_record record = w->record;
        record.term++;
        record.vote_node = workload__draw(w, 4);
        workload__put_record(w, &record);
    }
    workload__store_job(w);
    w->result->kinds[WORKLOAD_VOTES]++;
}

static void make_directory(struct workload *w)
{
    w->doing = "making the directory";
    if (disk_make_directory(w->disk, NODE_PARENT) != 0 || disk_sync_directory(w->disk, "/") != 0 ||
        node_directory_lock(w->disk, NODE_DIRECTORY, &w->lock) != 0) {
        workload__fail(w, "the directory cannot be made");
        return;
    }
    w->identity = (struct node_identity){.node_id = NODE_ID, .incarnation = 77};
    w->identity.cluster = node_cluster;
    save_identity(w);
    struct segment_log_problem problem = {0};
    if (node_store_open(w->disk, NODE_DIRECTORY, &node_cluster, NODE_ID, true, &w->store,
                        &problem) != SEGMENT_LOG_OK) {
        workload__fail(w, "%s", problem.reason);
        return;
    }
    w->identity.replicas_made = true;
    save_identity(w);
    w->history.promise.store_is_made = true;
}

/* ---- restarts ---------------------------------------------------------------------------------------------------- */

static void close_all(struct workload *w)
{
    if (w->job) {
        struct segment_log_job_result result;
        segment_log_job_finish(w->log, w->job, &result);
    }
    w->job = NULL;
    segment_log_close(w->log);
    node_store_close(w->store);
    disk_close(w->lock);
    w->log = NULL;
    w->store = NULL;
    w->lock = NULL;
}

/* The log is what was found. What else was in flight may come back until something durable stands in its place. */
static void take_over(struct workload *w, const struct finding *group)
{
    struct history *history = &w->history;
    uint32_t at = group->tip;
    while (at != NOBODY) {
        struct past_entry *entry = &history->entries[at];
        entry->is_cut = false;
        w->current[entry->point.index] = at;
        at = entry->parent;
    }
    struct promise *promise = &history->promise;
    promise->durable = group->tip;
    promise->installed = NOBODY;
    promise->snapshot_durable = promise->snapshot_issued = group->snapshot_index;
    if (group->base_index > promise->dropped_index) promise->dropped_index = group->base_index;
    if (history->entries[group->tip].point.index < w->committed) {
        w->committed = history->entries[group->tip].point.index;
    }
    if (history->entries[group->tip].point.index < w->trim_index) w->trim_index = 0;
    w->is_replaced = false;
    w->boundary_index = 0;
    w->term += 10;
}

static bool find_part(struct workload *w, enum part part, struct finding *finding)
{
    start_part(part, w->disk, &w->history, &w->settings, w->history.promise.store_is_made, finding,
               part == PART_GROUP ? &w->log : NULL);
    /* The hook looks at the group from here on as at one that runs. */
    const char *why = finding_judge(part, finding, &w->history);
    if (why) workload__fail(w, "the %s after a restart: %s", part_name(part), why);
    return !why;
}

void workload__restart(struct workload *w, enum memory_disk_crash mode)
{
    w->doing = mode == MEMORY_DISK_KILL ? "starting after a kill" : "starting after a power cut";
    memory_disk_set_capacity(w->disk, UINT64_MAX);
    w->is_full = w->must_restart = false;
    close_all(w);
    memory_disk_crash(w->disk, mode);
    struct promise *promise = &w->history.promise;
    struct finding identity, votes, group;
    if (node_directory_lock(w->disk, NODE_DIRECTORY, &w->lock) != 0) {
        workload__fail(w, "the directory cannot be locked");
        return;
    }
    if (!find_part(w, PART_IDENTITY, &identity)) return;
    promise->identity_durable = promise->identity_issued = identity.identity_version;
    if (!find_part(w, PART_VOTES, &votes)) return;
    struct segment_log_problem problem = {0};
    if (node_store_open(w->disk, NODE_DIRECTORY, &node_cluster, NODE_ID, false, &w->store,
                        &problem) != SEGMENT_LOG_OK) {
        workload__fail(w, "%s", problem.reason);
        return;
    }
    promise->records[0] = votes.record;
    promise->records_count = 1;
    promise->record_durable = 0;
    w->record = votes.record;
    w->result->kinds[WORKLOAD_RESTARTS]++;
    if (votes.record.state != NODE_REPLICA_MADE) {
        workload__make_replica(w);
        return;
    }
    if (!find_part(w, PART_GROUP, &group)) return;
    take_over(w, &group);
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static void lift(struct workload *w)
{
    memory_disk_set_capacity(w->disk, UINT64_MAX);
    segment_log_look_for_space(w->log);
    workload__do_jobs(w); /* it recovers by itself */
    w->is_full = false;
}

static void full_disk(struct workload *w)
{
    w->doing = "working on a full disk";
    if (w->is_full) {
        lift(w);
        return;
    }
    w->is_full = true;
    memory_disk_set_capacity(w->disk, memory_disk_used(w->disk) + workload__draw(w, 9000));
    if (workload__draw(w, 2)) return; /* for a while */
    for (uint32_t i = 0; i < 4 && !workload__is_over(w) && !w->must_restart; i++) {
        workload__append(w);
        workload__do_job(w, false);
    }
    if (!w->must_restart) lift(w);
}

static void step(struct workload *w)
{
    const uint64_t kind = workload__draw(w, 1000);
    w->doing = "appending";
    if (kind < 360) workload__append(w);
    if (kind >= 360 && kind < 430) workload__cut(w);
    if (kind >= 430 && kind < 450 && !w->is_full) vote(w);
    if (kind >= 450 && kind < 458 && !w->is_full) save_identity(w);
    if (kind >= 458 && kind < 480) workload__checkpoint(w);
    if (kind >= 480 && kind < 530) workload__base(w);
    if (kind >= 547 && kind < 570) workload__seal(w);
    if (kind >= 530 && kind < 537) workload__install(w);
    if (kind >= 537 && kind < 539) workload__remake_replica(w);
    if (kind >= 539 && kind < 547) {
        workload__restart(w, workload__draw(w, 3) == 0 ? MEMORY_DISK_KILL : MEMORY_DISK_POWER);
    }
    if (kind >= 570 && kind < (w->is_full ? 640u : 575u)) full_disk(w);
    if (kind >= 575 && kind < 590 && !w->is_full) workload__damage(w);
    if (kind >= 590 && kind < 640) workload__repair(w);
    if (kind >= 640) workload__do_job(w, true);
}

static void draw_settings(struct workload *w)
{
    w->settings = (struct group_settings){
        .segment_bytes_max = 12288 + 4096 * (2 + workload__draw(w, 5)),
        .extend_bytes = workload__draw(w, 2) ? 4096u << workload__draw(w, 3) : 0u,
        .cache_bytes_max = 4096u << workload__draw(w, 4),
        .sector_bytes = workload__draw(w, 2) ? 512 : 4096,
    };
    w->states_settings = w->settings;
    w->states_settings.cache_bytes_max = 1u << 20;
}

void workload_run(uint64_t seed, uint64_t calls_max, const struct states_options *options,
                  struct workload_result *ret_result)
{
    struct workload *w = calloc(1, sizeof *w);
    if (!w) abort();
    memset(ret_result, 0, sizeof *ret_result);
    w->result = ret_result;
    w->random = seed;
    w->calls_max = calls_max;
    w->doing = "beginning";
    draw_settings(w);
    history_init(&w->history);
    w->states = states_create(options, &w->history, &w->states_settings);
    w->disk = memory_disk_create(seed);
    memory_disk_set_hook(w->disk, behind_call, w);
    make_directory(w);
    if (!workload__is_over(w)) workload__make_replica(w);
    while (!workload__is_over(w)) {
        step(w);
        if (w->must_restart) workload__restart(w, MEMORY_DISK_KILL);
    }
    memory_disk_set_hook(w->disk, NULL, NULL);
    ret_result->calls = memory_disk_calls(w->disk);
    ret_result->syncs = memory_disk_syncs(w->disk);
    ret_result->figures = *states_figures(w->states);
    close_all(w);
    memory_disk_destroy(w->disk);
    states_destroy(w->states);
    history_close(&w->history);
    free(w);
}
