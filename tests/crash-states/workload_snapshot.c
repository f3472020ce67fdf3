/* Checkpoints, bases and what goes behind them, and bases that another replica made. */
#include "workload_private.h"

#include <snapshot/copy.h>
#include <snapshot/transfer.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void make_header(const struct workload *w, enum snapshot_kind kind,
                        const struct past_entry *entry, struct snapshot_header *header)
{
    (void)w;
    memset(header, 0, sizeof *header);
    header->kind = kind;
    header->cluster = node_cluster;
    header->group = GROUP_ID;
    header->point = entry->point;
    header->configuration_bytes = 64;
    memset(header->configuration, 0x33, 64);
}

/* True: it is durable. */
static bool write_snapshot(struct workload *w, enum snapshot_kind kind, uint64_t index)
{
    struct promise *promise = &w->history.promise;
    const struct past_entry entry = *workload__entry(w, index);
    struct snapshot_header header;
    make_header(w, kind, &entry, &header);
    struct tree *state = state_of(&entry);
    if (index > promise->snapshot_issued) promise->snapshot_issued = index;
    struct segment_log_problem problem = {0};
    w->is_beside = true;
    const enum snapshot_status status =
        snapshot_write(w->disk, GROUP_PATH, &header, state, &problem);
    w->is_beside = false;
    tree_unref(state);
    if (status == SNAPSHOT_OK) {
        if (index > promise->snapshot_durable) promise->snapshot_durable = index;
        return true;
    }
    if (status != SNAPSHOT_FULL || !w->is_full) {
        workload__fail(w, "%s: %s", snapshot_status_text(status), problem.reason);
    }
    return false;
}

void workload__checkpoint(struct workload *w)
{
    workload__commit(w);
    if (w->committed <= w->history.promise.snapshot_durable) return;
    w->doing = "writing a checkpoint";
    const uint64_t index = w->committed;
    if (!write_snapshot(w, SNAPSHOT_CHECKPOINT, index)) return;
    w->result->kinds[WORKLOAD_CHECKPOINTS]++;
    if (snapshot_remove_older(w->disk, GROUP_PATH, index) != 0) {
        workload__fail(w, "an older checkpoint cannot be removed");
    }
}

/* The log starts at the base before the newest one. As in a node, older bases are gone for good before the files go that they
 * stand in front of. */
static void drop_behind(struct workload *w, uint64_t index)
{
    if (index <= workload__info(w).base.index) return;
    w->doing = "dropping a prefix";
    if (index > w->history.promise.dropped_index) w->history.promise.dropped_index = index;
    w->is_beside = true;
    if (snapshot_remove_below(w->disk, GROUP_PATH, index) != 0) {
        workload__fail(w, "an older base cannot be removed");
    }
    w->is_beside = false;
    segment_log_drop_prefix(w->log, index);
}

/* What stands in front of a base goes when a TRIM that says so is committed (PROTOCOL S4, S5). */
static void order_trim(struct workload *w, uint64_t index)
{
    if (w->trim_index > 0) return;
    const struct segment_log_info info = workload__info(w);
    uint8_t payload[16];
    memcpy(payload, &index, 8);
    memcpy(payload + 8, &info.next_offset, 8);
    if (info.last_index + 1 >= INDEX_MAX ||
        !workload__append_entry(w, ENTRY_TRIM, payload, sizeof payload)) {
        return;
    }
    w->trim_index = info.last_index + 1;
    w->trim_to = index;
}

void workload__base(struct workload *w)
{
    workload__commit(w);
    if (w->trim_index > 0 && w->committed >= w->trim_index) {
        w->trim_index = 0;
        w->result->kinds[WORKLOAD_TRIMS]++;
        drop_behind(w, w->trim_to);
    }
    const struct segment_log_info info = workload__info(w);
    if (w->boundary_index == 0) {
        if (info.last_index > w->bases[0]) w->boundary_index = segment_log_roll(w->log);
        return;
    }
    if (w->committed < w->boundary_index) return;
    const uint64_t index = w->boundary_index;
    w->boundary_index = 0;
    if (index <= w->bases[0]) return;
    w->doing = "writing a base";
    if (!write_snapshot(w, SNAPSHOT_BASE, index)) return;
    w->result->kinds[WORKLOAD_BASES]++;
    w->bases[1] = w->bases[0];
    w->bases[0] = index;
    if (w->bases[1] > 0) order_trim(w, w->bases[1]);
}

/* ---- a base of another replica ----------------------------------------------------------------------------------- */

struct received {
    struct snapshot_identity identity;
    uint8_t *bytes;
    uint32_t root; /* past entry */
};

/* The file as the sender has it, on a disk of the sender's. */
static void make_received(struct workload *w, struct received *received)
{
    const struct segment_log_info info = workload__info(w);
    const struct segment_log_point point = {
        .index = info.last_index + 1 + workload__draw(w, 40),
        .term = ++w->term,
        .chain = workload__draw(w, UINT64_MAX),
        .next_offset = info.next_offset + workload__draw(w, 100),
        .timestamp_ms = info.last_timestamp_ms + 5,
    };
    w->term++;
    received->root = history_add_root(&w->history, &point, workload__draw(w, UINT64_MAX));
    const struct past_entry *entry = &w->history.entries[received->root];
    struct disk *disk = memory_disk_create(1);
    struct snapshot_header header;
    make_header(w, SNAPSHOT_BASE, entry, &header);
    struct tree *state = state_of(entry);
    struct snapshot_source source;
    if (disk_make_directory(disk, "/s") != 0 ||
        snapshot_write(disk, "/s", &header, state, NULL) != SNAPSHOT_OK ||
        snapshot_source_open(disk, "/s", &node_cluster, GROUP_ID, 0, &source, NULL) !=
            SNAPSHOT_OK) {
        abort();
    }
    tree_unref(state);
    received->identity = source.identity;
    received->bytes = malloc(source.identity.bytes);
    if (!received->bytes ||
        snapshot_source_read(&source, 0, received->bytes, source.identity.bytes) != 0) {
        abort();
    }
    snapshot_source_close(&source);
    memory_disk_destroy(disk);
}

static bool receive(struct workload *w, const struct received *received, struct snapshot_sink *sink)
{
    struct segment_log_problem problem = {0};
    enum snapshot_status status =
        snapshot_sink_open(w->disk, GROUP_PATH, &received->identity, sink, &problem);
    while (status == SNAPSHOT_OK && sink->received < received->identity.bytes) {
        uint64_t bytes = 1 + workload__draw(w, 1500);
        const uint64_t left = received->identity.bytes - sink->received;
        if (bytes > left) bytes = left;
        status =
            snapshot_sink_write(sink, received->bytes + sink->received, (size_t)bytes, &problem);
    }
    struct snapshot_header header;
    struct tree *state = NULL;
    if (status == SNAPSHOT_OK) {
        status = snapshot_sink_verify(sink, &node_cluster, GROUP_ID, &header, &state, &problem);
    }
    tree_unref(state);
    if (status != SNAPSHOT_OK) workload__fail(w, "receiving a base: %s", problem.reason);
    return status == SNAPSHOT_OK;
}

/* The base is durable beside the log: the log is the base and nothing else. */
static void replace_log(struct workload *w, const struct received *received)
{
    struct promise *promise = &w->history.promise;
    const uint64_t index = received->identity.point.index;
    promise->durable = received->root;
    promise->installed = NOBODY;
    promise->snapshot_durable = promise->snapshot_issued = index;
    promise->dropped_index = index;
    promise->damaged_first = promise->damaged_last = 0;
    w->trim_index = 0;
    w->is_replaced = true;
    for (uint32_t i = 0; i < w->history.count; i++) {
        w->history.entries[i].is_dead = i != received->root;
    }
    w->current[index] = received->root;
    w->committed = index;
    w->bases[0] = index;
    w->bases[1] = 0;
    w->boundary_index = 0;
    segment_log_install_end(w->log, /* replace= */ true);
    w->is_replaced = false;
    workload__do_jobs(w);
    if (snapshot_remove_below(w->disk, GROUP_PATH, index) != 0) {
        workload__fail(w, "what the base replaces cannot be removed");
    }
    w->result->kinds[WORKLOAD_INSTALLS]++;
}

static void give_birth(struct workload *w, const struct received *received,
                       struct snapshot_sink *sink)
{
    segment_log_install(w->log, &received->identity.point);
    workload__do_jobs(w);
    if (workload__is_over(w)) return;
    if (workload__draw(w, 2)) workload__append(w);
    if (workload__draw(w, 2)) workload__cut(w);
    if (workload__draw(w, 4) == 0) {
        segment_log_install_end(w->log, /* replace= */ false);
        snapshot_sink_close(sink, /* remove= */ true);
        workload__do_jobs(w);
        w->result->kinds[WORKLOAD_INSTALLS_ENDED]++;
        return;
    }
    struct segment_log_problem problem = {0};
    w->history.promise.installed = received->root;
    w->doing = "publishing an installed base";
    if (snapshot_sink_publish(sink, &problem) != SNAPSHOT_OK) {
        workload__fail(w, "publishing: %s", problem.reason);
        return;
    }
    w->doing = "copying an installed base";
    if (snapshot_copy_base(w->disk, GROUP_PATH, &node_cluster, GROUP_ID,
                           received->identity.point.index, &problem) != SNAPSHOT_OK) {
        workload__fail(w, "copying: %s", problem.reason);
        return;
    }
    replace_log(w, received);
}

void workload__install(struct workload *w)
{
    if (w->is_full || workload__info(w).last_index + 200 >= INDEX_MAX) return;
    w->doing = "installing a base";
    struct received received;
    make_received(w, &received);
    struct snapshot_sink sink = {.file = NULL};
    if (receive(w, &received, &sink)) give_birth(w, &received, &sink);
    snapshot_sink_close(&sink, /* remove= */ false);
    free(received.bytes);
}
