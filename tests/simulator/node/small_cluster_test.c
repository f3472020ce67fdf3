/* Goal: clusters of one and two nodes follow the same rules as larger ones (PROTOCOL M9): an ack is durable, a restart
 * loses nothing, and half of a pair refuses instead of guessing. Method: real nodes in the simulated world. */
#include "founded.h"
#include "sim_cluster.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u
#define VALUES    50u

static struct cluster *make(uint64_t seed, uint32_t nodes_count)
{
    struct cluster *cluster = founded(seed, nodes_count);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", nodes_count), NODE_OK);
    return cluster;
}

static void produce_values(struct cluster *cluster, uint32_t node, uint64_t from, uint64_t to)
{
    for (uint64_t value = from; value < to; value++) {
        uint64_t offset = 0;
        cr_assert_eq(cluster_produce(cluster, node, "orders", value, -1, 0, &offset), NODE_OK);
        cr_assert_eq(offset, value);
    }
}

static void expect_values(struct cluster *cluster, uint32_t node, uint64_t count)
{
    struct cluster_ack records[2 * VALUES];
    cr_assert_eq(cluster_read_all(cluster, node, "orders", records, 2 * VALUES), (int)count);
    for (uint64_t i = 0; i < count; i++) {
        cr_assert_eq(records[i].offset, i);
        cr_assert_eq(records[i].value, i);
    }
}

Test(simulated_small_cluster, what_a_single_node_acked_is_there_after_a_power_cut)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *cluster = make(seed, 1);
        produce_values(cluster, 0, 0, VALUES);
        cluster_crash(cluster, 0, SIM_CRASH_POWER);
        cluster_start(cluster, 0);
        expect_values(cluster, 0, VALUES);
        produce_values(cluster, 0, VALUES, VALUES + 10u);
        cluster_crash(cluster, 0, SIM_CRASH_KILL);
        cluster_start(cluster, 0);
        expect_values(cluster, 0, VALUES + 10u);
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}

Test(simulated_small_cluster, what_a_pair_acked_is_there_when_both_lost_power_at_once)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *cluster = make(seed, 2);
        produce_values(cluster, 0, 0, VALUES);
        cluster_crash(cluster, 0, SIM_CRASH_POWER);
        cluster_crash(cluster, 1, SIM_CRASH_POWER);
        cluster_start_all(cluster);
        expect_values(cluster, 1, VALUES);
        produce_values(cluster, 1, VALUES, VALUES + 10u);
        expect_values(cluster, 0, VALUES + 10u);
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}

Test(simulated_small_cluster, half_of_a_pair_refuses_and_names_who_is_missing)
{
    struct cluster *cluster = make(7, 2);
    produce_values(cluster, 0, 0, 10);
    cluster_crash(cluster, 1, SIM_CRASH_KILL);
    sim_run_for(cluster->sim, 3 * SECOND_US); /* it notices, and steps down */

    struct cluster_call *call = malloc(sizeof(*call));
    cluster_fill_produce(call, "orders", 10, -1, 0);
    cluster_submit(cluster, 0, call);
    cr_assert(cluster_wait(call, 12 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_NO_LEADER, "%s",
                 node_status_text(call->request.status));
    cr_assert_not_null(strstr(call->request.detail, "n2"), "it does not say who is missing: \"%s\"",
                       call->request.detail);
    cr_assert_gt(call->request.retry_after_ms, 0);
    cluster_call_close(call);

    cluster_fill_fetch(call, "orders", 0, 0);
    cluster_submit(cluster, 0, call);
    cr_assert(cluster_wait(call, 12 * SECOND_US));
    cr_assert_neq(call->request.status, NODE_OK, "a read without a quorum cannot be linearizable");
    cluster_call_close(call);
    free(call);

    struct node_cluster_status status;
    node_cluster_status(cluster->nodes[0].node, &status);
    cr_assert_str_eq(status.state, "no quorum");

    cluster_start(cluster, 1);
    expect_values(cluster, 0, 10); /* the refused one was never stored */
    produce_values(cluster, 0, 10, 20);
    expect_values(cluster, 1, 20);
    cluster_destroy(cluster);
}

static bool has_stepped_down(void *data)
{
    return cluster_leader(data, 0) < 0;
}

Test(simulated_small_cluster, an_entry_that_only_half_of_a_pair_holds_is_of_unknown_fate)
{
    struct cluster *cluster = make(8, 2);
    const uint64_t group = cluster_group(cluster, 0, "orders");
    const int leader = cluster_wait_leader(cluster, group, 5 * SECOND_US);
    cr_assert_geq(leader, 0);
    const uint32_t other = 1u - (uint32_t)leader;
    struct cluster_call *call = malloc(sizeof(*call));
    cluster_fill_produce(call, "orders", 0, -1, 0);
    cluster_crash(cluster, other, SIM_CRASH_KILL);
    cluster_submit(cluster, (uint32_t)leader, call); /* it does not know yet that it is alone */
    cr_assert(cluster_wait(call, 15 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_OUTCOME_UNKNOWN, "%s",
                 node_status_text(call->request.status));
    cluster_call_close(call);
    free(call);
    cr_assert(sim_run_until_true(cluster->sim, 5 * SECOND_US, has_stepped_down, cluster));
    cluster_start(cluster, other);
    struct cluster_ack records[4];
    const int count = cluster_read_all(cluster, other, "orders", records, 4);
    cr_assert(count == 0 || (count == 1 && records[0].value == 0));
    cluster_destroy(cluster);
}

Test(simulated_small_cluster, an_acked_sequence_is_stored_once_however_often_it_is_sent)
{
    struct cluster *cluster = make(9, 2);
    struct cluster_call *call = malloc(sizeof(*call));
    memset(call, 0, sizeof(*call));
    call->request.type = NODE_REQUEST_PRODUCER_INIT;
    cluster_submit(cluster, 0, call);
    cr_assert(cluster_wait(call, 5 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_OK);
    const int64_t producer_id = call->request.ret_producer_id;
    free(call);
    uint64_t first = UINT64_MAX;
    cr_assert_eq(cluster_produce(cluster, 0, "orders", 42, producer_id, 0, &first), NODE_OK);
    cluster_crash(cluster, 0, SIM_CRASH_POWER);
    cluster_crash(cluster, 1, SIM_CRASH_POWER);
    cluster_start_all(cluster);
    for (uint32_t node = 0; node < 2; node++) {
        uint64_t again = UINT64_MAX;
        cr_assert_eq(cluster_produce(cluster, node, "orders", 42, producer_id, 0, &again), NODE_OK);
        cr_assert_eq(again, first, "a repeat got another offset");
    }
    struct cluster_ack records[4];
    cr_assert_eq(cluster_read_all(cluster, 1, "orders", records, 4), 1);
    cluster_destroy(cluster);
}
