/* Goal: an operator who asks for a change of nodes is told the truth at any moment, also right after the founding and right
 * after the change was decided. Method: whole simulated nodes, requests without a pause between them. */
#include "founded.h"
#include "members.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u

/* Founders are written into meta one by one after the founding; until then nobody may be told that they are unknown. */
Test(simulated_operator, a_founder_may_be_asked_for_right_after_the_founding)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        for (uint32_t node = 0; node < 5; node++) {
            char why[256] = "";
            struct cluster *cluster = founded(seed, 5);
            const uint32_t through = (node + 1u) % 5u;
            const enum node_status status =
                members_change(cluster, through, NODE_REQUEST_NODE_REMOVE, node, 0, why);
            cr_assert_eq(status, NODE_OK, "seed %d, node %u: %s: %s", (int)seed, node,
                         node_status_text(status), why);
            cluster_destroy(cluster);
        }
    }
}

Test(simulated_operator, the_one_that_is_unknown_is_named)
{
    struct cluster *cluster = founded(1, 3);
    char why[256];
    cr_assert_eq(members_change(cluster, 0, NODE_REQUEST_NODE_REMOVE, 8, 0, why),
                 NODE_UNKNOWN_NODE);
    cr_assert_not_null(strstr(why, "n9 is no member"), "%s", why);
    cr_assert_eq(members_change(cluster, 0, NODE_REQUEST_NODE_REPLACE, 1, 8, why),
                 NODE_UNKNOWN_NODE);
    cr_assert_not_null(strstr(why, "n9 is no member"), "%s", why);
    cluster_destroy(cluster);
}

/* Between the decision and the first report of a group's leader nothing is wrong, so nothing is said to be. */
Test(simulated_operator, no_leader_is_missed_before_it_could_report)
{
    struct cluster *cluster = founded(2, 4);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    sim_run_for(cluster->sim, SECOND_US);
    const uint32_t leader = (uint32_t)cluster_leader(cluster, 0);
    const uint32_t node = (leader + 1u) % 4u;
    cr_assert_eq(members_change(cluster, leader, NODE_REQUEST_NODE_REMOVE, node, 0, NULL), NODE_OK);
    struct cluster_call *call = malloc(sizeof(*call));
    for (int i = 0; i < 50; i++) {
        memset(call, 0, sizeof(*call));
        call->request.type = NODE_REQUEST_CHANGES;
        cluster_submit(cluster, leader, call);
        cr_assert(cluster_wait(call, SECOND_US));
        cr_assert_eq(call->request.status, NODE_OK);
        for (uint32_t c = 0; c < call->request.ret_changes_count; c++) {
            const char *blocked = call->request.ret_changes[c].blocked;
            cr_assert_null(strstr(blocked, "no leader"), "after %d looks: %s", i, blocked);
        }
        cluster_call_close(call);
        sim_run_for(cluster->sim, SECOND_US / 1000);
    }
    free(call);
    cluster_destroy(cluster);
}

static bool is_settled(void *data)
{
    struct cluster *cluster = data;
    struct node_change first;
    return members_changes(cluster, 0, &first) == 0;
}

/* It stands in every list of peers still, and runs; but it is no member, and knows it. */
Test(simulated_operator, a_node_that_was_removed_is_missed_by_nobody_and_says_so_itself)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct cluster *cluster = founded(seed, 4);
        cr_assert_eq(members_change(cluster, 0, NODE_REQUEST_NODE_REMOVE, 3, 0, NULL), NODE_OK);
        for (int i = 0; i < 100 && !is_settled(cluster); i++) {
            sim_run_for(cluster->sim, SECOND_US / 10);
        }
        cr_assert(is_settled(cluster));
        sim_run_for(cluster->sim, 5 * SECOND_US);
        for (uint32_t node = 0; node < 3; node++) {
            struct node_cluster_status *status = founded_status(cluster, node);
            cr_assert_str_eq(status->state, "ready");
            cr_assert_eq(status->members_count, 3, "n%u lists %u nodes", node + 1u,
                         status->members_count);
            free(status);
        }
        struct node_cluster_status *status = founded_status(cluster, 3);
        cr_assert_str_eq(status->state, "removed", "%s: %s", status->state, status->problem);
        cr_assert_not_null(strstr(status->problem, "(n4) was removed from the cluster; stop it"));
        free(status);
        char why[1024];
        cr_assert_not(node_is_ready(cluster->nodes[3].node, why, sizeof(why)));
        cr_assert_not_null(strstr(why, "[-]node removed"), "%s", why);
        const uint64_t asked_us = sim_now_us(cluster->sim);
        cr_assert_eq(members_change(cluster, 3, NODE_REQUEST_NODE_REMOVE, 2, 0, why),
                     NODE_NO_LEADER);
        cr_assert_lt(sim_now_us(cluster->sim) - asked_us, SECOND_US / 5,
                     "whoever asks it first goes on at once");
        cr_assert_not_null(strstr(why, "(n4) was removed from the cluster; ask another"), "%s",
                           why);
        cluster_destroy(cluster);
    }
}

/* Who takes the places of a node and has them already: a replica of each partition would be gone without a word. */
Test(simulated_operator, a_replacement_by_a_node_that_has_all_already_is_refused_with_the_way_out)
{
    uint64_t group;
    char why[512];
    struct cluster *cluster = founded_with_topic(5, 3, "orders", 3, &group);
    cr_assert_eq(members_change(cluster, 0, NODE_REQUEST_NODE_REPLACE, 1, 2, why),
                 NODE_NOT_ENOUGH_NODES);
    cr_assert_not_null(strstr(why, "orders would keep 2 of 3"), "%s", why);
    cr_assert_not_null(strstr(why, "`raftmq cluster remove n2 --shrink`"), "%s", why);
    cr_assert_eq(members_voters(cluster, 0, group), 7u);
    cluster_destroy(cluster);
}
