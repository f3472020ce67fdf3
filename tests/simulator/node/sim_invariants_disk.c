/* Invariants of the disks: what a power cut at this very instant would leave. Copies lose power, the disks do not. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <broker/raft_codec.h>
#include <memory_disk.h>
#include <segment_log/node_store.h>
#include <snapshot/transfer.h>

#include "failure.h"
#include "sim.h"
#include "sim_invariants_private.h"

#define DATA_DIRECTORY "/data" /* of every simulated node */
#define BASES_MAX      64u     /* more than a replica keeps */

static struct disk *image_of(struct sim *sim, uint32_t number, const char *part, uint64_t seed)
{
    struct disk *image = memory_disk_clone_part(sim_memory_disk(sim, number), part, seed);
    memory_disk_crash(image, MEMORY_DISK_POWER);
    return image;
}

/* NULL: it cannot be opened, and `problem` says why. */
static struct segment_log *open_log(struct disk *image, const char *directory,
                                    const struct cluster_id *cluster, uint64_t group,
                                    segment_log_configuration_cb on_configuration, void *data,
                                    struct segment_log_problem *problem)
{
    memset(problem, 0, sizeof(*problem));
    struct segment_log_point base;
    uint32_t bases_count = 0;
    if (snapshot_list_bases(image, directory, cluster, group, &base, 1, &bases_count, NULL,
                            problem) != SNAPSHOT_OK ||
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
        .on_configuration = on_configuration,
        .on_configuration_data = data,
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

/* S2: a base stands where the log starts, or behind that as far as is trimmed; nothing is missing in front of it. */
static void check_bases(struct disk *image, uint32_t number, const struct cluster_id *cluster,
                        const struct peek_group *group, const struct segment_log_info *info)
{
    struct segment_log_point bases[BASES_MAX];
    struct segment_log_problem problem;
    uint32_t count = 0;
    if (group->is_meta) return;
    if (snapshot_list_bases(image, group->directory, cluster, group->group, bases, BASES_MAX,
                            &count, NULL, &problem) != SNAPSHOT_OK ||
        count == 0) {
        failure("image-unusable", "n%u group %" PRIu64 ": a power cut now leaves no base: %s",
                number + 1u, group->group, problem.reason);
    }
    const uint64_t oldest = bases[count - 1u].index;
    const bool is_ahead = info->base.index > oldest && !info->base_installed;
    const bool is_behind = oldest > info->base.index && oldest > group->trimmed_index;
    /* Is being installed: it may be in place, and its log is not the one that runs. */
    const bool is_installing = bases[0].index > group->commit_index;
    if ((is_ahead || is_behind) && !is_installing) {
        failure("base-missing",
                "n%u group %" PRIu64 ": a power cut now leaves a log that starts behind %" PRIu64
                ", with its oldest base at %" PRIu64 "; trimmed through %" PRIu64,
                number + 1u, group->group, info->base.index, oldest, group->trimmed_index);
    }
}

/* ---- one node ------------------------------------------------------------------------------------------------ */

static void check_log(struct sim *sim, uint32_t number, const struct cluster_id *cluster,
                      const struct peek_group *group, uint64_t seed)
{
    struct disk *image = image_of(sim, number, group->directory, seed);
    struct segment_log_problem problem;
    struct segment_log *log =
        open_log(image, group->directory, cluster, group->group, NULL, NULL, &problem);
    if (!log) {
        failure("image-unusable",
                "n%u group %" PRIu64 ": after a power cut now: %s at byte %" PRIu64 ": %s",
                number + 1u, group->group, problem.path, problem.pos, problem.reason);
    }
    struct segment_log_info info;
    segment_log_info(log, &info);
    check_bases(image, number, cluster, group, &info);
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

#define CHANGES_MAX \
    64u /* two entries a log are one change of the group, which may not be committed */

/* What the group may be: what it is, and what entries that are newer make of it, on whichever disk or in whoever runs. */
struct ack_check {
    struct cluster_invariants *invariants;
    const struct peek_group *group;
    uint64_t committed_index; /* of the configuration that is committed */
    struct raft_configuration configurations[CHANGES_MAX];
    uint32_t configurations_count;
    uint32_t members; /* bit per node */
    bool holds[INVARIANTS_NODES_MAX];
};

static void add_configuration(struct ack_check *check,
                              const struct raft_configuration *configuration)
{
    assert(check->configurations_count < CHANGES_MAX);
    check->configurations[check->configurations_count++] = *configuration;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        check->members |= 1u << (configuration->members[i].id.node - 1u);
    }
}

static void on_configuration(void *data, uint64_t index, const uint8_t *payload,
                             uint32_t payload_bytes)
{
    struct ack_check *check = data;
    struct raft_configuration configuration;
    if (index <= check->committed_index) return;
    if (!raft_codec_decode_configuration(payload, payload_bytes, &configuration)) {
        failure("image-unusable", "group %" PRIu64 ": CONFIG %" PRIu64 " cannot be read",
                check->group->group, index);
    }
    add_configuration(check, &configuration);
}

/* After a power cut now; with the changes of the group that its log tells of. */
static bool holds(struct ack_check *check, struct sim *sim, uint32_t number,
                  const struct cluster_id *cluster, uint64_t offset, uint64_t seed)
{
    const struct peek_group *group = check->group;
    struct disk *image = image_of(sim, number, group->directory, seed);
    struct segment_log_problem problem;
    struct segment_log *log =
        open_log(image, group->directory, cluster, group->group, on_configuration, check, &problem);
    struct entry_header header;
    bool found = log && find_offset(log, cluster, group->group, offset, &header);
    struct segment_log_info info = {0};
    if (log) segment_log_info(log, &info);
    const bool is_trimmed = log && offset < info.base.next_offset; /* the repeat of an old one */
    segment_log_close(log);
    memory_disk_destroy(image);
    uint64_t known;
    if (found && ledger_get(&check->invariants->chains, group->group, header.index, &known)) {
        found = known == header.chain; /* else it is not what was committed */
    }
    return found || is_trimmed;
}

static bool member_holds(void *data, const struct raft_member *member)
{
    const struct ack_check *check = data;
    return check->holds[member->id.node - 1u];
}

/* What a leader counts by is in its log, durable there or not. */
static bool look_at_running(struct ack_check *check, const struct node *const *nodes,
                            uint32_t nodes_count, uint64_t group_id, struct peek_group *ret_group,
                            struct cluster_id *ret_cluster)
{
    bool is_found = false;
    for (uint32_t i = 0; i < nodes_count; i++) {
        struct peek_group peek;
        if (!nodes[i] || !peek_group(nodes[i], group_id, &peek)) continue;
        const struct raft_indexed_configuration *newest = peek_newest_configuration(&peek);
        if (newest && newest->index > check->committed_index) {
            add_configuration(check, &newest->configuration);
        }
        if (is_found) continue;
        is_found = true;
        *ret_group = peek;
        *ret_cluster = peek_cluster(nodes[i]);
    }
    return is_found;
}

bool invariants_check_ack(struct cluster_invariants *invariants, struct sim *sim,
                          const struct node *const *nodes, uint32_t nodes_count, uint64_t group_id,
                          uint64_t offset, uint64_t seed)
{
    struct raft_indexed_configuration committed;
    struct raft_indexed_configuration newest;
    if (!invariants_configurations(invariants, group_id, &committed, &newest)) return false;
    struct peek_group group;
    struct ack_check check = {
        .invariants = invariants, .group = &group, .committed_index = committed.index};
    struct cluster_id cluster;
    add_configuration(&check, &committed.configuration);
    if (!look_at_running(&check, nodes, nodes_count, group_id, &group, &cluster)) return false;
    uint32_t asked = 0;
    for (uint32_t next; (next = check.members & ~asked) != 0;) {
        const uint32_t number = (uint32_t)__builtin_ctz(next);
        assert(number < INVARIANTS_NODES_MAX);
        check.holds[number] = holds(&check, sim, number, &cluster, offset, seed + number);
        asked |= 1u << number;
    }
    struct invariants_tally tally = {0};
    for (uint32_t i = 0; i < check.configurations_count; i++) {
        if (invariants__has_quorum(&check.configurations[i], member_holds, &check, &tally)) {
            return true;
        }
    }
    failure("ack-not-durable",
            "offset %" PRIu64 " of group %" PRIu64
            " is acked, a power cut now leaves it on %u of %u voters",
            offset, group_id, tally.for_count, tally.voters_count);
}
