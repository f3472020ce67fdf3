/* Goal: wherever a crash hits a node while its cluster is founded and its first topic is made, one cluster with one id
 * comes of it, and the topic works (PROTOCOL M4, M6). Method: real nodes in the simulated world; the run is repeated with
 * a crash before the first disk call that changes something, before the second, ... until none is left to hit. */
#include "sim_cluster.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US  1000000u
#define POINTS_MAX 400u /* a bound: the runs below have between 40 and 150 crash points */
#define VALUES     5u

struct crash_point {
    uint64_t seed;
    uint32_t nodes_count;
    uint32_t victim;
    uint64_t disk_call;
    enum sim_crash mode;
};

static void describe(const struct crash_point *point, char *text, size_t bytes)
{
    snprintf(text, bytes, "seed %" PRIu64 ", %u nodes, n%u %s before disk call %" PRIu64,
             point->seed, point->nodes_count, point->victim + 1u,
             point->mode == SIM_CRASH_POWER ? "loses power" : "is killed", point->disk_call);
}

static bool is_down(void *data)
{
    const struct cluster *cluster = data;
    for (uint32_t i = 0; i < cluster->options.nodes_count; i++) {
        if (!sim_is_running(cluster->sim, i)) return true;
    }
    return false;
}

/* Bring back who is down as soon as it is down, for `us`; as often as it takes. */
static uint32_t run_and_restart(struct cluster *cluster, uint64_t us)
{
    uint32_t restarts_count = 0;
    const uint64_t end_us = sim_now_us(cluster->sim) + us;
    while (sim_now_us(cluster->sim) < end_us) {
        if (!sim_run_until_true(cluster->sim, end_us - sim_now_us(cluster->sim), is_down,
                                cluster)) {
            break;
        }
        sim_run_for(cluster->sim, sim_draw(cluster->sim, 300000));
        cluster_start_all(cluster);
        restarts_count++;
        cr_assert_leq(restarts_count, 3, "it does not stay up");
    }
    return restarts_count;
}

static void expect_one_cluster(struct cluster *cluster, const char *where)
{
    static const struct cluster_id none;
    struct node_cluster_status first;
    struct node_cluster_status status;
    node_cluster_status(cluster->nodes[0].node, &first);
    cr_assert_neq(memcmp(&first.cluster, &none, sizeof(none)), 0, "%s: not founded", where);
    for (uint32_t i = 1; i < cluster->options.nodes_count; i++) {
        node_cluster_status(cluster->nodes[i].node, &status);
        cr_assert_eq(memcmp(&first.cluster, &status.cluster, sizeof(none)), 0,
                     "%s: n1 and n%u are of different clusters", where, i + 1u);
        cr_assert_str_neq(status.state, "stranger", "%s", where);
    }
}

static void expect_working_topic(struct cluster *cluster, const char *where)
{
    const uint32_t nodes_count = cluster->options.nodes_count;
    /* The request that was under way may have made it already: then it is there with the same settings. */
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", nodes_count), NODE_OK, "%s", where);
    for (uint64_t value = 0; value < VALUES; value++) {
        uint64_t offset = 0;
        cr_assert_eq(cluster_produce(cluster, (uint32_t)value % nodes_count, "orders", value, -1, 0,
                                     &offset),
                     NODE_OK, "%s", where);
        cr_assert_eq(offset, value, "%s", where);
    }
    for (uint32_t node = 0; node < nodes_count; node++) {
        struct cluster_ack records[VALUES + 1u];
        cr_assert_eq(cluster_read_all(cluster, node, "orders", records, VALUES + 1u), (int)VALUES,
                     "%s: n%u", where, node + 1u);
        for (uint64_t i = 0; i < VALUES; i++) {
            cr_assert_eq(records[i].value, i, "%s: n%u", where, node + 1u);
        }
    }
}

/* True when there was such a disk call. */
static bool found_with_crash(const struct crash_point *point)
{
    char where[128];
    describe(point, where, sizeof(where));
    struct cluster_options options;
    cluster_options_init(&options, point->seed, point->nodes_count);
    struct cluster *cluster = cluster_create(&options);
    sim_crash_at_disk_call(cluster->sim, point->victim, point->disk_call, point->mode);
    cluster_start_all(cluster);
    uint32_t restarts_count = run_and_restart(cluster, 2 * SECOND_US);
    /* The request goes to a node that lives on, or to the only one. */
    const uint32_t asked = (point->victim + 1u) % point->nodes_count;
    struct cluster_call *create = malloc(sizeof(*create));
    cluster_fill_create(create, "orders", 1, point->nodes_count);
    cluster_submit(cluster, asked, create);
    restarts_count += run_and_restart(cluster, 3 * SECOND_US);
    cr_assert(create->is_done || point->nodes_count > 1, "%s", where);
    (void)cluster_wait(create, 15 * SECOND_US);
    cr_assert(create->is_done, "%s: the creation was never answered", where);
    cluster_call_close(create);
    free(create);
    sim_crash_at_disk_call(cluster->sim, point->victim, UINT64_MAX, point->mode);

    cr_assert_geq(cluster_wait_leader(cluster, 0, 5 * SECOND_US), 0, "%s: no leader", where);
    expect_one_cluster(cluster, where);
    expect_working_topic(cluster, where);
    cr_assert_eq(cluster->fatals_count, 0, "%s: %s", where, cluster->last_fatal_reason);
    cluster_destroy(cluster);
    return restarts_count > 0;
}

static void crash_everywhere(uint32_t nodes_count, uint32_t victim, enum sim_crash mode)
{
    struct crash_point point = {.nodes_count = nodes_count, .victim = victim, .mode = mode};
    for (point.disk_call = 0; point.disk_call < POINTS_MAX; point.disk_call++) {
        point.seed = 1000u + point.disk_call; /* another schedule each time */
        if (!found_with_crash(&point)) break;
    }
    cr_log_info("%" PRIu64 " crash points", point.disk_call);
    cr_assert_geq(point.disk_call, 30, "there are more disk calls than that in a founding");
    cr_assert_lt(point.disk_call, POINTS_MAX, "the runs have no end");
}

Test(simulated_founding, the_founder_may_be_killed_before_any_disk_call)
{
    crash_everywhere(3, 0, SIM_CRASH_KILL);
}

Test(simulated_founding, the_founder_may_lose_power_before_any_disk_call)
{
    crash_everywhere(3, 0, SIM_CRASH_POWER);
}

Test(simulated_founding, a_listed_node_may_be_killed_before_any_disk_call)
{
    crash_everywhere(3, 1, SIM_CRASH_KILL);
}

Test(simulated_founding, a_listed_node_may_lose_power_before_any_disk_call)
{
    crash_everywhere(3, 2, SIM_CRASH_POWER);
}

Test(simulated_founding, a_single_node_may_lose_power_before_any_disk_call)
{
    crash_everywhere(1, 0, SIM_CRASH_POWER);
}

Test(simulated_founding, both_of_a_pair_may_lose_power_before_any_disk_call)
{
    crash_everywhere(2, 0, SIM_CRASH_POWER);
    crash_everywhere(2, 1, SIM_CRASH_POWER);
}
