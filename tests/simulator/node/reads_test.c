/* Goal: what a follower answers is as new as the question (PROTOCOL R1, R3). Method: simulated nodes; the leader's answers
 * are held on their way until a later question stands behind an earlier one. */
#include "founded.h"
#include "sim_cluster.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define SECOND_US 1000000u
#define VALUES    5u

static struct cluster_call *new_call(uint64_t offset)
{
    struct cluster_call *call = calloc(1, sizeof(*call));
    cr_assert_not_null(call);
    cluster_fill_fetch(call, "orders", offset, 0);
    return call;
}

static void expect_next_offset(struct cluster_call *call, uint64_t least)
{
    cr_assert(cluster_wait(call, 5 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
    cr_assert_geq(call->request.ret_next_offset, least);
    cluster_call_close(call);
    free(call);
}

static void ask_behind_an_older_question(uint64_t seed)
{
    struct cluster *cluster = founded(seed, 3);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    sim_run_for(cluster->sim, SECOND_US / 4u); /* all three have made it */
    const uint64_t group = cluster_group(cluster, 0, "orders");
    cr_assert_neq(group, 0);
    const int found = cluster_wait_leader(cluster, group, 5 * SECOND_US);
    cr_assert_geq(found, 0);
    const uint32_t leader = (uint32_t)found;
    const uint32_t follower = (leader + 1u) % 3u;
    for (uint64_t value = 0; value < VALUES; value++) {
        cr_assert_eq(cluster_produce(cluster, leader, "orders", value, -1, 0, NULL), NODE_OK);
    }
    sim_run_for(cluster->sim, SECOND_US / 4u);

    sim_set_link(cluster->sim, leader, follower, SIM_LINK_STALLED);
    struct cluster_call *older = new_call(VALUES);
    cluster_submit(cluster, follower, older);
    sim_run_for(cluster->sim, 5000); /* its question has left, the answer is held */
    cr_assert_eq(cluster_produce(cluster, leader, "orders", VALUES, -1, 0, NULL), NODE_OK);
    struct cluster_call *newer = new_call(VALUES);
    cluster_submit(cluster, follower, newer);
    sim_run_for(cluster->sim, 5000);
    cr_assert_not(older->is_done);
    sim_heal(cluster->sim);
    expect_next_offset(newer, VALUES + 1u);
    expect_next_offset(older, VALUES);
    cluster_destroy(cluster);
}

Test(simulated_reads, a_later_question_is_not_answered_by_an_earlier_index)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        ask_behind_an_older_question(seed);
    }
}
