/* Bases in the model: logs that drop a prefix, transfers out of band, replicas made again (PROTOCOL S3, M5). */
#include "cluster_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool cluster_compact(struct cluster *cluster, raft_node_id id, raft_index index)
{
    struct cluster_node *node = &cluster->nodes[id];
    assert(node->up);
    if (index <= node->log.base) return true;
    if (index > node->commit_index) return false;
    uint64_t chain = cluster__log_at(&node->log, index)->chain;
    if (!cluster__log_has(&node->disk, index, chain)) return false;
    for (uint32_t i = 0; i < node->jobs_count; i++) {
        raft_index cut = node->jobs[i].truncate_from;
        if (cut != 0 && cut <= index) return false;
    }
    node->log.base = index;
    node->disk.base = index;
    enum raft_status status =
        cluster__step(cluster, id,
                      (struct raft_event){
                          .type = RAFT_EVENT_COMPACTED,
                          .compacted = {.index = index, .term = node->log.entries[index - 1].term}},
                      NULL);
    assert(status == RAFT_OK);
    return true;
}

/* ---- transfers ------------------------------------------------------------------------------------ */

void cluster__send_bases(struct cluster *cluster, struct cluster_node *node)
{
    for (uint32_t i = 0; i < cluster->update.snapshots_count; i++) {
        const struct raft_snapshot_request *request = &cluster->update.snapshots[i];
        /* One transfer per pair; a newer request replaces what an earlier leadership began. */
        struct cluster_transfer *transfer = NULL;
        for (uint32_t k = 0; k < cluster->transfers_count; k++) {
            struct cluster_transfer *other = &cluster->transfers[k];
            bool same = other->from.node == node->id && other->to.node == request->to.node &&
                        other->to.epoch == request->to.epoch;
            if (same) transfer = other;
        }
        if (transfer == NULL) {
            assert(cluster->transfers_count < CLUSTER_TRANSFERS_MAX);
            transfer = &cluster->transfers[cluster->transfers_count++];
        }
        transfer->from = (struct raft_replica_id){node->id, node->epoch};
        transfer->from_process = node->process;
        transfer->to = request->to;
        transfer->begun_ms = cluster->now_ms;
        raft_index base = node->log.base;
        if (base < request->at_least) base = request->at_least; /* terms below are forgotten */
        cluster__require(cluster, base <= node->commit_index,
                         "a base covers only what is committed");
        cluster__log_copy_base(&transfer->base, &node->log, base);
    }
}

static void tell_sender(struct cluster *cluster, struct raft_replica_id from, uint64_t process,
                        struct raft_replica_id to, raft_index index, bool ok)
{
    const struct cluster_node *sender = &cluster->nodes[from.node];
    if (!sender->up || sender->process != process) return;
    enum raft_status status =
        cluster__step(cluster, from.node,
                      (struct raft_event){.type = RAFT_EVENT_SNAPSHOT_SENT,
                                          .snapshot_sent = {.to = to, .index = index, .ok = ok}},
                      NULL);
    assert(status == RAFT_OK);
}

void cluster_land(struct cluster *cluster, uint32_t i, bool ok)
{
    assert(i < cluster->transfers_count);
    struct cluster_transfer transfer = cluster->transfers[i];
    cluster->transfers_count--;
    cluster->transfers[i] = cluster->transfers[cluster->transfers_count];
    memset(&cluster->transfers[cluster->transfers_count], 0, sizeof transfer);

    struct cluster_node *node = &cluster->nodes[transfer.to.node];
    raft_index index = transfer.base.count;
    bool there = node->up && node->epoch == transfer.to.epoch && node->beside.count == 0 &&
                 !cluster->blocked[transfer.from.node][transfer.to.node];
    if (ok && there) {
        raft_term term = cluster__log_at(&transfer.base, index)->term;
        if (raft_wants_base(node->core, index, term)) {
            cluster__log_copy(&node->beside, &transfer.base);
            node->beside_from = transfer.from;
            node->beside_from_process = transfer.from_process;
        } else { /* it has all that, and says so */
            tell_sender(cluster, transfer.from, transfer.from_process, transfer.to, index, true);
        }
    } else {
        tell_sender(cluster, transfer.from, transfer.from_process, transfer.to, index, false);
    }
    free(transfer.base.entries);
}

void cluster_install(struct cluster *cluster, raft_node_id id, bool told)
{
    struct cluster_node *node = &cluster->nodes[id];
    assert(node->up);
    assert(node->beside.count > 0);
    raft_index index = node->beside.count;
    struct raft_event event = {.type = RAFT_EVENT_INSTALLED};
    event.installed.index = index;
    event.installed.term = cluster__log_at(&node->beside, index)->term;
    event.installed.configuration = cluster__log_configuration(
        cluster, &node->beside, index, &event.installed.configuration_index);
    enum raft_status status = cluster__step(cluster, id, event, NULL);
    assert(status == RAFT_OK);
    if (node->beside.count > 0) cluster->bases_kept_log++;
    node->beside.count = 0; /* not needed: the log has it */
    tell_sender(cluster, node->beside_from, node->beside_from_process,
                (struct raft_replica_id){node->id, node->epoch}, index, told);
}

void cluster__replace_log(struct cluster *cluster, struct cluster_node *node)
{
    assert(node->beside.count > 0);
    cluster__require(cluster, node->beside.count > node->commit_index,
                     "an old base replaces nothing");
    /* The old files go, and what was queued for them; their reports are not told (raft/raft.h). */
    cluster__drop_jobs(node);
    cluster__log_copy(&node->log, &node->beside);
    cluster__log_copy(&node->disk, &node->beside);
    node->beside.count = 0;
    cluster->bases_installed++;
}

void cluster__recover_base(struct cluster_node *node)
{
    raft_index index = node->beside.count;
    if (index == 0) return;
    if (!cluster__log_has(&node->disk, index, cluster__log_at(&node->beside, index)->chain)) {
        cluster__log_copy(&node->disk, &node->beside);
    }
    node->beside.count = 0;
}

void cluster__drop_transfers(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->transfers_count; i++) {
        free(cluster->transfers[i].base.entries);
    }
    cluster->transfers_count = 0;
}

/* ---- nodes ---------------------------------------------------------------------------------------- */

void cluster_add_node(struct cluster *cluster, raft_node_id id)
{
    assert(id > 0);
    assert(id < CLUSTER_NODES_MAX);
    struct cluster_node *node = &cluster->nodes[id];
    assert(!node->exists);
    node->id = id;
    node->exists = true;
    node->has_vote = true;
    node->core = cluster__allocate(1, raft_node_bytes());
    node->core_before = cluster__allocate(1, raft_node_bytes());
    node->runs = NULL; /* sized at each start */
    node->timer_at_ms = UINT64_MAX;
}

void cluster_wipe(struct cluster *cluster, raft_node_id id)
{
    struct cluster_node *node = &cluster->nodes[id];
    assert(!node->up);
    assert(cluster->graves_count < CLUSTER_GRAVES_MAX);
    cluster->graves[cluster->graves_count++] =
        (struct cluster_grave){.id = {id, node->epoch}, .disk = node->disk};
    node->disk = (struct cluster_log){.entries = NULL};
    node->beside.count = 0;
    node->hard_durable = (struct raft_hard_state){0, {0, 0}};
    node->commit_index = 0;
    node->epoch = ++cluster->epochs_total;
    cluster->wipes++;
}
