/* Replicas that are made, dropped and made again (PROTOCOL M4). */
#include "workload_private.h"

#include <snapshot/snapshot.h>

#include <string.h>

static void remove_name(void *data, const char *name)
{
    struct workload *w = data;
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "%s/%.200s", GROUP_PATH, name);
    (void)disk_unlink(w->disk, path);
}

static void remove_files(struct workload *w)
{
    (void)disk_list(w->disk, GROUP_PATH, remove_name, w);
}

static void make_files(struct workload *w)
{
    const struct segment_log_point origin = {.chain = checksum64_group(&node_cluster, GROUP_ID)};
    int error = disk_make_directory(w->disk, GROUPS_PATH);
    if (error == 0) error = disk_sync_directory(w->disk, NODE_DIRECTORY);
    remove_files(w);
    if (error == 0) error = disk_make_directory(w->disk, GROUP_PATH);
    if (error == 0) error = disk_sync_directory(w->disk, GROUPS_PATH);
    struct segment_log_problem problem = {0};
    const struct segment_log_options options = group_options(w->disk, &w->settings);
    if (error != 0 || segment_log_create(&options, &origin, &w->log, &problem) != SEGMENT_LOG_OK) {
        workload__fail(w, "the log cannot be made: %s", problem.reason);
        return;
    }
    struct snapshot_header header = {.kind = SNAPSHOT_BASE, .group = GROUP_ID, .point = origin};
    header.cluster = node_cluster;
    if (snapshot_write(w->disk, GROUP_PATH, &header, NULL, &problem) != SNAPSHOT_OK) {
        workload__fail(w, "the first base cannot be written: %s", problem.reason);
    }
}

/* The files first, then the record; nothing is promised of the log before that. */
void workload__make_replica(struct workload *w)
{
    w->doing = "making a replica";
    const struct segment_log_point origin = {.chain = checksum64_group(&node_cluster, GROUP_ID)};
    struct promise *promise = &w->history.promise;
    for (uint32_t i = 0; i < w->history.count; i++) {
        w->history.entries[i].is_dead = true;
    }
    /* Every replica of the group begins with the same point. */
    w->current[0] = history_find(&w->history, 0, origin.chain);
    if (w->current[0] == NOBODY) {
        w->current[0] = history_add_root(&w->history, &origin, origin.chain);
    }
    w->history.entries[w->current[0]].is_dead = false;
    promise->durable = w->current[0];
    promise->installed = NOBODY;
    promise->dropped_index = promise->snapshot_durable = promise->snapshot_issued = 0;
    w->committed = w->boundary_index = w->bases[0] = w->bases[1] = 0;
    promise->damaged_first = promise->damaged_last = 0;
    w->trim_index = 0;
    w->is_replaced = false;
    w->term += 5;
    make_files(w);
    if (workload__is_over(w)) return;
    struct node_record record = w->record;
    record.group = GROUP_ID;
    record.epoch++;
    record.state = NODE_REPLICA_MADE;
    record.meta_index++;
    record.term = w->term;
    record.vote_node = 0;
    workload__put_record(w, &record);
    workload__store_job(w);
    w->result->kinds[WORKLOAD_REPLICAS]++;
}

void workload__remake_replica(struct workload *w)
{
    if (w->is_full) return;
    w->doing = "dropping a replica";
    struct node_record record = w->record;
    record.state = NODE_REPLICA_DROPPED;
    record.meta_index++;
    workload__put_record(w, &record);
    workload__store_job(w);
    if (workload__is_over(w)) return;
    segment_log_close(w->log);
    w->log = NULL;
    remove_files(w);
    if (workload__draw(w, 2)) (void)disk_remove_directory(w->disk, GROUP_PATH);
    workload__make_replica(w);
}
