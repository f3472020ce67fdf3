/* Goal: two nodes that hold different entries at the same index and term notice it, and the one whose log is told to go on
 * stops instead of acknowledging (PROTOCOL C3). Method: between two lives of a follower, another history is written into its
 * log: whole records under a right mark, so nothing but the leader's chain can tell. */
#include "sim_cluster.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <segment_log/segment_log.h>
#include <string.h>

#define SECOND_US 1000000u
#define VALUES    20u

static void finish_jobs(struct segment_log *log)
{
    struct segment_log_job *job;
    while ((job = segment_log_next_job(log, /* idle= */ true))) {
        struct segment_log_job_result result;
        segment_log_job_run(job);
        segment_log_job_finish(log, job, &result);
        cr_assert_eq(result.status, SEGMENT_LOG_OK, "%s", result.problem.reason);
    }
}

/* Replace the last entry of the group's log on a node that is down by another of the same index and term. */
static void replace_last(struct cluster *cluster, uint32_t node, uint64_t group,
                         const struct cluster_id *id)
{
    char directory[DISK_PATH_MAX];
    snprintf(directory, sizeof(directory), "/data/groups/%020" PRIu64, group);
    const struct segment_log_options options = {
        .disk = sim_memory_disk(cluster->sim, node),
        .directory = directory,
        .cluster = *id,
        .group = group,
        .segment_bytes_max = 1u << 20,
        .cache_bytes_max = 1u << 20,
        .sector_bytes = 512,
    };
    struct segment_log *log = NULL;
    struct segment_log_problem problem = {0};
    cr_assert_eq(segment_log_open(&options, &log, &problem), SEGMENT_LOG_OK, "%s", problem.reason);
    struct segment_log_info before;
    segment_log_info(log, &before);
    segment_log_truncate(log, before.last_index);
    const struct segment_log_entry other = {.type = ENTRY_NOOP,
                                            .timestamp_ms = before.last_timestamp_ms};
    uint64_t last_index = 0;
    cr_assert_eq(segment_log_append(log, before.last_term, &other, 1, &last_index), SEGMENT_LOG_OK);
    cr_assert_eq(last_index, before.last_index);
    finish_jobs(log);
    struct segment_log_info after;
    segment_log_info(log, &after);
    cr_assert_eq(after.last_term, before.last_term);
    cr_assert_neq(after.last_chain, before.last_chain);
    segment_log_close(log);
}

static bool has_fallen(void *data)
{
    return ((struct cluster *)data)->fatals_count > 0;
}

Test(simulated_divergence, a_follower_with_another_history_stops_and_names_the_entry)
{
    struct cluster_options options;
    cluster_options_init(&options, 3, 3);
    struct cluster *cluster = cluster_create(&options);
    cluster_start_all(cluster);
    cr_assert_geq(cluster_wait_leader(cluster, 0, 5 * SECOND_US), 0);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    const uint64_t group = cluster_group(cluster, 0, "orders");
    const int found = cluster_wait_leader(cluster, group, 5 * SECOND_US);
    cr_assert_geq(found, 0);
    for (uint64_t value = 0; value < VALUES; value++) {
        cr_assert_eq(cluster_produce(cluster, 0, "orders", value, -1, 0, NULL), NODE_OK);
    }
    sim_run_for(cluster->sim, SECOND_US);
    struct node_cluster_status status;
    node_cluster_status(cluster->nodes[0].node, &status);
    const uint32_t follower = ((uint32_t)found + 1u) % 3u;
    cluster_crash(cluster, follower, SIM_CRASH_KILL);
    replace_last(cluster, follower, group, &status.cluster);
    cluster_start(cluster, follower);

    cr_assert(sim_run_until_true(cluster->sim, 5 * SECOND_US, has_fallen, cluster));
    cr_assert_eq(cluster->last_fatal_code, NODE_FATAL_DAMAGE);
    cr_assert_not_null(strstr(cluster->last_fatal_reason, "differs from the leader"), "%s",
                       cluster->last_fatal_reason);
    cr_assert_eq(cluster->fatals_count, 1);
    cluster_destroy(cluster);
}
