/* Goal: wherever a crash or a disk error hits a node while its cluster is founded and its first topic is made, one cluster
 * with one id comes of it, and the topic works (PROTOCOL M4, M6, L11). Method: real nodes in the simulated world; the run
 * is repeated with a crash before, or an error of, the first disk call that changes something, the second, ... until none
 * is left to hit. */
#include "sim_cluster.h"
#include "thinned.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <memory_disk.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US  1000000u
#define POINTS_MAX 400u /* a bound: the runs below have between 40 and 150 crash points */
#define VALUES     5u

enum blow {
    BLOW_KILL,
    BLOW_POWER,
    BLOW_ERROR, /* the call fails with EIO */
};

struct crash_point {
    uint64_t seed;
    uint32_t nodes_count;
    uint32_t victim;
    uint64_t disk_call;
    enum blow blow;
};

static void describe(const struct crash_point *point, char *text, size_t bytes)
{
    static const char *const blows[] = {"is killed before", "loses power before", "gets EIO from"};
    snprintf(text, bytes, "seed %" PRIu64 ", %u nodes, n%u %s disk call %" PRIu64, point->seed,
             point->nodes_count, point->victim + 1u, blows[point->blow], point->disk_call);
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

static void strike(struct cluster *cluster, const struct crash_point *point)
{
    switch (point->blow) {
    case BLOW_KILL:
        sim_crash_at_disk_call(cluster->sim, point->victim, point->disk_call, SIM_CRASH_KILL);
        return;
    case BLOW_POWER:
        sim_crash_at_disk_call(cluster->sim, point->victim, point->disk_call, SIM_CRASH_POWER);
        return;
    case BLOW_ERROR:
        memory_disk_fail_call(sim_memory_disk(cluster->sim, point->victim), point->disk_call + 1u,
                              -EIO);
        return;
    }
}

static void strike_no_more(struct cluster *cluster, const struct crash_point *point)
{
    sim_crash_at_disk_call(cluster->sim, point->victim, UINT64_MAX, SIM_CRASH_KILL);
    memory_disk_fail_call(sim_memory_disk(cluster->sim, point->victim), 0, 0);
}

/* A disk error ends the process with a code that says so; nothing else does. */
static void expect_fatals(const struct cluster *cluster, const struct crash_point *point,
                          const char *where)
{
    if (point->blow != BLOW_ERROR) {
        cr_assert_eq(cluster->fatals_count, 0, "%s: %s", where, cluster->last_fatal_reason);
        return;
    }
    cr_assert_leq(cluster->fatals_count, 1, "%s", where);
    if (cluster->fatals_count == 0) return; /* of what is only tidied up nothing depends */
    cr_assert(cluster->last_fatal_code == NODE_FATAL_DISK ||
                  cluster->last_fatal_code == NODE_FATAL_CONFIG,
              "%s: code %d: %s", where, cluster->last_fatal_code, cluster->last_fatal_reason);
}

/* True when there was such a disk call. */
static bool found_with_crash(const struct crash_point *point)
{
    char where[128];
    describe(point, where, sizeof(where));
    struct cluster_options options;
    cluster_options_init(&options, point->seed, point->nodes_count);
    struct cluster *cluster = cluster_create(&options);
    strike(cluster, point);
    cluster_start_all(cluster);
    (void)run_and_restart(cluster, 2 * SECOND_US);
    /* The request goes to a node that lives on, or to the only one. */
    const uint32_t asked = (point->victim + 1u) % point->nodes_count;
    struct cluster_call *create = malloc(sizeof(*create));
    cluster_fill_create(create, "orders", 1, point->nodes_count);
    cluster_submit(cluster, asked, create);
    (void)run_and_restart(cluster, 3 * SECOND_US);
    const bool was_hit =
        memory_disk_calls(sim_memory_disk(cluster->sim, point->victim)) > point->disk_call;
    cr_assert(create->is_done || point->nodes_count > 1, "%s", where);
    (void)cluster_wait(create, 15 * SECOND_US);
    cr_assert(create->is_done, "%s: the creation was never answered", where);
    cluster_call_close(create);
    free(create);
    strike_no_more(cluster, point);

    cr_assert_geq(cluster_wait_leader(cluster, 0, 5 * SECOND_US), 0, "%s: no leader", where);
    expect_one_cluster(cluster, where);
    expect_working_topic(cluster, where);
    expect_fatals(cluster, point, where);
    cluster_destroy(cluster);
    return was_hit;
}

static void strike_everywhere(uint32_t nodes_count, uint32_t victim, enum blow blow)
{
    struct crash_point point = {.nodes_count = nodes_count, .victim = victim, .blow = blow};
    for (point.disk_call = 0; point.disk_call < POINTS_MAX; point.disk_call++) {
        point.seed = 1000u + point.disk_call; /* another schedule each time */
        if (!thinned_takes(8u * nodes_count + 4u * victim + blow, point.disk_call)) continue;
        if (!found_with_crash(&point)) break;
    }
    cr_log_info("%" PRIu64 " crash points", point.disk_call);
    cr_assert_geq(point.disk_call, 30, "there are more disk calls than that in a founding");
    cr_assert_lt(point.disk_call, POINTS_MAX, "the runs have no end");
}

Test(simulated_founding, the_founder_may_be_killed_before_any_disk_call)
{
    strike_everywhere(3, 0, BLOW_KILL);
}

Test(simulated_founding, the_founder_may_lose_power_before_any_disk_call)
{
    strike_everywhere(3, 0, BLOW_POWER);
}

Test(simulated_founding, a_listed_node_may_be_killed_before_any_disk_call)
{
    strike_everywhere(3, 1, BLOW_KILL);
}

Test(simulated_founding, a_listed_node_may_lose_power_before_any_disk_call)
{
    strike_everywhere(3, 2, BLOW_POWER);
}

Test(simulated_founding, a_single_node_may_lose_power_before_any_disk_call)
{
    strike_everywhere(1, 0, BLOW_POWER);
}

Test(simulated_founding, both_of_a_pair_may_lose_power_before_any_disk_call)
{
    strike_everywhere(2, 0, BLOW_POWER);
    strike_everywhere(2, 1, BLOW_POWER);
}

Test(simulated_founding, any_disk_call_of_the_founder_may_fail)
{
    strike_everywhere(3, 0, BLOW_ERROR);
}

Test(simulated_founding, any_disk_call_of_a_listed_node_may_fail)
{
    strike_everywhere(3, 1, BLOW_ERROR);
}

Test(simulated_founding, any_disk_call_of_a_single_node_may_fail)
{
    strike_everywhere(1, 0, BLOW_ERROR);
}
