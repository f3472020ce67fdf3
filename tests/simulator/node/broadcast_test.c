/* Goal: a leader whose broadcasts take too long for its election timeout says so, in its log, its status and its metrics, and
 * takes it back when they are quick again (PROTOCOL C9). Method: simulated nodes on slow links. */
#include "sim_cluster.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u
#define NODES     3u

struct rig {
    struct cluster *cluster;
    uint32_t leader; /* of the topic and, soon, of all that is timed */
    char *log;
    size_t log_bytes;
    FILE *log_file;
    uint64_t value;
};

static void make(struct rig *rig)
{
    memset(rig, 0, sizeof(*rig));
    struct cluster_options options;
    cluster_options_init(&options, 3, NODES);
    rig->log_file = open_memstream(&rig->log, &rig->log_bytes);
    options.log = rig->log_file;
    rig->cluster = cluster_create(&options);
    cluster_start_all(rig->cluster);
    cr_assert_geq(cluster_wait_leader(rig->cluster, 0, 5 * SECOND_US), 0);
    cr_assert_eq(cluster_create_topic(rig->cluster, 0, "orders", NODES), NODE_OK);
    const uint64_t group = cluster_group(rig->cluster, 0, "orders");
    const int leader = cluster_wait_leader(rig->cluster, group, 5 * SECOND_US);
    cr_assert_geq(leader, 0);
    rig->leader = (uint32_t)leader;
}

static void destroy(struct rig *rig)
{
    cluster_destroy(rig->cluster);
    fclose(rig->log_file);
    free(rig->log);
}

static void produce(struct rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(
            cluster_produce(rig->cluster, rig->leader, "orders", rig->value++, -1, 0, NULL),
            NODE_OK);
    }
    sim_run_for(rig->cluster->sim, 11 * SECOND_US); /* it is looked at every 10 s */
}

static bool is_in_log(struct rig *rig, const char *text)
{
    fflush(rig->log_file);
    return strstr(rig->log, text) != NULL;
}

static bool is_in_metrics(struct rig *rig, const char *text)
{
    size_t bytes = 0;
    char *metrics = node_metrics_text(rig->cluster->nodes[rig->leader].node, &bytes);
    const bool is_there = strstr(metrics, text) != NULL;
    free(metrics);
    return is_there;
}

static void expect_slow(struct rig *rig, bool is_slow)
{
    struct node_cluster_status *status = calloc(1, sizeof(*status));
    node_cluster_status(rig->cluster->nodes[rig->leader].node, status);
    cr_assert_eq(status->warning[0] != '\0', is_slow, "\"%s\"", status->warning);
    cr_assert_str_empty(status->problem, "it serves: %s", status->problem);
    if (is_slow) cr_assert_not_null(strstr(status->warning, "--election-timeout-ms-min"));
    cr_assert(is_in_metrics(rig, is_slow ? "\nraftmq_broadcast_is_slow 1\n"
                                         : "\nraftmq_broadcast_is_slow 0\n"));
    cr_assert_not(is_in_metrics(rig, "\nraftmq_broadcast_seconds_p99 0.000000\n"));
    free(status);
}

Test(simulated_broadcast, on_a_good_network_nothing_is_said)
{
    struct rig rig;
    make(&rig);
    produce(&rig, 100);
    expect_slow(&rig, false);
    cr_assert_not(is_in_log(&rig, "broadcasts"));
    destroy(&rig);
}

/* 300 ms are no ten times 40 to 50 of a round trip. */
Test(simulated_broadcast, slow_ones_are_told_and_taken_back)
{
    struct rig rig;
    make(&rig);
    sim_set_link_us(rig.cluster->sim, 20000, 25000);
    produce(&rig, 100);
    expect_slow(&rig, true);
    cr_assert(is_in_log(&rig, "level=warn event=\"broadcasts are slow for the election timeout"));
    cr_assert_not(is_in_log(&rig, "again"));
    sim_set_link_us(rig.cluster->sim, 50, 500);
    produce(&rig, 1100);
    expect_slow(&rig, false);
    cr_assert(is_in_log(&rig, "event=\"broadcasts fit into the election timeout again\""));
    destroy(&rig);
}
