/* Invariants of the disks: what a power cut at this very instant would leave. Copies lose power, the disks do not. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <memory_disk.h>
#include <segment_log/node_store.h>
#include <snapshot/transfer.h>

#include "failure.h"
#include "sim.h"
#include "sim_invariants_private.h"

#define DATA_DIRECTORY "/data" /* of every simulated node */

static struct disk *image_of(struct sim *sim, uint32_t number, const char *part, uint64_t seed)
{
    struct disk *image = memory_disk_clone_part(sim_memory_disk(sim, number), part, seed);
    memory_disk_crash(image, MEMORY_DISK_POWER);
    return image;
}

/* NULL: it cannot be opened, and `problem` says why. */
static struct segment_log *open_log(struct disk *image, const char *directory,
                                    const struct cluster_id *cluster, uint64_t group,
                                    struct segment_log_problem *problem)
{
    memset(problem, 0, sizeof(*problem));
    struct segment_log_point base;
    uint32_t bases_count = 0;
    if (snapshot_list_bases(image, directory, cluster, group, &base, 1, &bases_count, problem) !=
            SNAPSHOT_OK ||
        bases_count == 0) {
        return NULL;
    }
    const struct segment_log_options options = {
        .disk = image,
        .directory = directory,
        .cluster = *cluster,
        .group = group,
        .segment_bytes_max = 1u << 20,
        .cache_bytes_max = 1u << 20,
        .sector_bytes = 512,
        .base = &base,
    };
    struct segment_log *log = NULL;
    const enum segment_log_status status = segment_log_open(&options, &log, problem);
    if (status == SEGMENT_LOG_OK) return log;
    if (!problem->reason[0]) {
        snprintf(problem->reason, sizeof(problem->reason), "%s", segment_log_status_text(status));
    }
    return NULL;
}

/* ---- one node ------------------------------------------------------------------------------------------------ */

static void check_log(struct sim *sim, uint32_t number, const struct cluster_id *cluster,
                      const struct peek_group *group, uint64_t seed)
{
    struct disk *image = image_of(sim, number, group->directory, seed);
    struct segment_log_problem problem;
    struct segment_log *log = open_log(image, group->directory, cluster, group->group, &problem);
    if (!log) {
        failure("image-unusable",
                "n%u group %" PRIu64 ": after a power cut now: %s at byte %" PRIu64 ": %s",
                number + 1u, group->group, problem.path, problem.pos, problem.reason);
    }
    struct segment_log_info info;
    segment_log_info(log, &info);
    /* A base that is being installed may be there already, and replace a tail that was never committed. */
    const bool is_replaced = info.base.index > group->commit_index;
    if (info.last_index < group->durable_index && !is_replaced) {
        failure("not-durable",
                "n%u group %" PRIu64 ": durable through %" PRIu64
                ", but a power cut now leaves %" PRIu64,
                number + 1u, group->group, group->durable_index, info.last_index);
    }
    uint64_t chain;
    uint64_t term;
    struct segment_log_point point;
    if (peek_entry(group, group->durable_index, &chain, &term) &&
        segment_log_point_at(log, group->durable_index, &point) == SEGMENT_LOG_OK &&
        point.chain != chain) {
        failure("not-durable",
                "n%u group %" PRIu64 ": a power cut now leaves another entry at %" PRIu64,
                number + 1u, group->group, group->durable_index);
    }
    segment_log_close(log);
    memory_disk_destroy(image);
}

static void check_store(struct cluster_invariants *invariants, struct sim *sim, uint32_t number,
                        const struct cluster_id *cluster, uint32_t count, uint64_t seed)
{
    struct disk *image = image_of(sim, number, DATA_DIRECTORY "/votes", seed);
    struct node_store *store = NULL;
    struct segment_log_problem problem = {0};
    const enum segment_log_status status =
        node_store_open(image, DATA_DIRECTORY, cluster, number + 1u, false, &store, &problem);
    if (status != SEGMENT_LOG_OK) {
        failure("image-unusable", "n%u: after a power cut now the votes cannot be read: %s: %s",
                number + 1u, segment_log_status_text(status), problem.reason);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct peek_group *group = &invariants->scratch[i];
        const struct raft_hard_state *durable =
            &invariants__seen(invariants, number, group->group, group->epoch)->durable_state;
        struct node_record record;
        const bool is_there = node_store_get(store, group->group, &record);
        if (is_there && (record.state != NODE_REPLICA_MADE || record.epoch != group->epoch)) {
            failure("replica-unrecorded",
                    "n%u group %" PRIu64 ": a replica of epoch %" PRIu64
                    " takes part, a power cut now leaves the record of one %s of epoch %" PRIu64,
                    number + 1u, group->group, group->epoch,
                    record.state == NODE_REPLICA_MADE ? "made" : "dropped", record.epoch);
        }
        if (!is_there || record.term < durable->term ||
            (record.term == durable->term && durable->voted_for.node != 0 &&
             record.vote_node != durable->voted_for.node)) {
            failure("vote-not-durable",
                    "n%u group %" PRIu64 ": term %" PRIu64 " and vote for n%" PRIu64
                    " are called durable, a power cut now leaves %" PRIu64 " and n%" PRIu64,
                    number + 1u, group->group, durable->term, durable->voted_for.node,
                    is_there ? record.term : 0, is_there ? record.vote_node : 0);
        }
    }
    node_store_close(store);
    memory_disk_destroy(image);
}

void invariants_check_image(struct cluster_invariants *invariants, struct sim *sim, uint32_t number,
                            const struct node *node, uint64_t seed)
{
    const uint32_t count = peek_groups(node, invariants->scratch, PEEK_GROUPS_MAX);
    if (count == 0) return; /* not founded, or group 0 is still being made */
    const struct cluster_id cluster = peek_cluster(node);
    check_store(invariants, sim, number, &cluster, count, seed);
    for (uint32_t i = 0; i < count; i++) {
        check_log(sim, number, &cluster, &invariants->scratch[i], seed + i + 1u);
    }
}

/* ---- an ack ---------------------------------------------------------------------------------------------------- */

/* The header of the entry that holds the offset; false: the log ends before it. */
static bool find_offset(struct segment_log *log, const struct cluster_id *cluster, uint64_t group,
                        uint64_t offset, struct entry_header *ret_header)
{
    struct segment_log_info info;
    segment_log_info(log, &info);
    struct segment_log_view view;
    struct segment_log_problem problem;
    struct segment_log_read_job *job;
    if (segment_log_read_job_create(log, SEGMENT_LOG_BY_OFFSET, offset, info.last_index, 1, &job) !=
        SEGMENT_LOG_OK) {
        return false;
    }
    segment_log_read_job_run(job);
    if (segment_log_read_job_finish(log, job, &view, &problem) != SEGMENT_LOG_OK) return false;
    const uint64_t seed = checksum64_group(cluster, group);
    const bool found = entry_decode_header(view.parts[0].bytes, view.parts[0].bytes_count, seed,
                                           ret_header) == ENTRY_DECODE_OK;
    segment_log_view_release(&view);
    return found;
}

static bool holds(struct sim *sim, uint32_t number, const struct peek_group *group,
                  const struct cluster_id *cluster, uint64_t offset, uint64_t seed,
                  struct entry_header *ret_header)
{
    struct disk *image = image_of(sim, number, group->directory, seed);
    struct segment_log_problem problem;
    struct segment_log *log = open_log(image, group->directory, cluster, group->group, &problem);
    const bool found = log && find_offset(log, cluster, group->group, offset, ret_header);
    segment_log_close(log);
    memory_disk_destroy(image);
    return found;
}

void invariants_check_ack(struct cluster_invariants *invariants, struct sim *sim,
                          const struct node *node, uint64_t group_id, uint64_t offset,
                          uint64_t seed)
{
    struct peek_group group;
    if (!peek_group(node, group_id, &group)) return; /* dropped since */
    const struct cluster_id cluster = peek_cluster(node);
    struct raft_indexed_configuration committed;
    struct raft_indexed_configuration newest;
    if (!invariants_configurations(invariants, group_id, &committed, &newest)) return;
    if (newest.index != committed.index || committed.configuration.joint)
        return; /* a change runs */
    const struct raft_configuration *configuration = &committed.configuration;
    uint32_t voters_count = 0;
    uint32_t holders_count = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (!configuration->members[i].voter) continue;
        voters_count++;
        struct entry_header header;
        const uint32_t number = (uint32_t)configuration->members[i].id.node - 1u;
        if (!holds(sim, number, &group, &cluster, offset, seed + i, &header)) continue;
        uint64_t known;
        if (ledger_get(&invariants->chains, group_id, header.index, &known) &&
            known != header.chain) {
            continue; /* what is there is not what was committed */
        }
        holders_count++;
    }
    if (holders_count * 2u > voters_count) return;
    failure("ack-not-durable",
            "offset %" PRIu64 " of group %" PRIu64
            " is acked, a power cut now leaves it on %u of %u voters",
            offset, group_id, holders_count, voters_count);
}
