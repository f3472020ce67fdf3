/* Goal: leadership goes where an operator asks for it, nothing that clients wait for is failed by it, and what cannot be is
 * refused with the reason. Method: whole simulated nodes, with and without load. */
#include "founded.h"
#include "sim_cluster.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u
#define LOADS     16u

static uint64_t group_of_orders(struct cluster *cluster)
{
    uint64_t group = 0;
    for (uint32_t node = 0; node < cluster->options.nodes_count && group == 0; node++) {
        group = cluster_group(cluster, node, "orders"); /* known where a replica is */
    }
    return group;
}

static struct cluster *make_with_topic(uint64_t seed, uint32_t nodes_count, uint32_t replicas)
{
    struct cluster *cluster = founded(seed, nodes_count);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", replicas), NODE_OK);
    const uint64_t group = group_of_orders(cluster);
    cr_assert_neq(group, 0);
    cr_assert_geq(cluster_wait_leader(cluster, group, 5 * SECOND_US), 0);
    return cluster;
}

static int leader_of_orders(struct cluster *cluster)
{
    return cluster_leader(cluster, group_of_orders(cluster));
}

static struct cluster_call *asked(struct cluster *cluster, uint32_t through, const char *topic,
                                  int to)
{
    struct cluster_call *call = malloc(sizeof(*call));
    cr_assert_not_null(call);
    cluster_fill_transfer(call, topic, to);
    cluster_submit(cluster, through, call);
    return call;
}

/* Its status; `why` gets the reason. */
static enum node_status ended(struct cluster_call *call, char *why)
{
    cr_assert(cluster_wait(call, 15 * SECOND_US), "a transfer was never answered");
    const enum node_status status = call->request.status;
    if (why) memcpy(why, call->request.detail, sizeof(call->request.detail));
    cluster_call_close(call);
    free(call);
    return status;
}

/* ---- under load --------------------------------------------------------------------------------------------------------- */

static struct cluster *load_cluster;
static struct cluster_call *load_calls;
static uint64_t load_done;

/* Each call is a client of its own at a node of its own; whatever is not OK was failed by the hand-over. */
static void keep_busy(void *data)
{
    (void)data;
    for (uint32_t i = 0; i < LOADS; i++) {
        struct cluster_call *call = &load_calls[i];
        if (call->cluster && !call->is_done) continue;
        if (call->cluster) {
            cr_assert_eq(call->request.status, NODE_OK, "%s: %s",
                         node_status_text(call->request.status), call->request.detail);
            load_done++;
        }
        cluster_call_close(call);
        cluster_fill_produce(call, "orders", load_done, -1, 0);
        cluster_submit(load_cluster, i % load_cluster->options.nodes_count, call);
    }
}

Test(simulated_transfer, leadership_goes_where_it_is_asked_for_and_no_produce_is_failed)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct cluster *cluster = load_cluster = make_with_topic(seed, 3, 3);
        load_calls = calloc(LOADS, sizeof(*load_calls));
        load_done = 0;
        cluster->options.after_event = keep_busy;
        sim_run_for(cluster->sim, SECOND_US / 5);
        for (int round = 0; round < 20; round++) {
            const int old = leader_of_orders(cluster);
            cr_assert_geq(old, 0);
            const int to = (old + 1 + round % 2) % 3;
            const uint32_t through = (uint32_t)sim_draw(cluster->sim, 3);
            const uint64_t began_us = sim_now_us(cluster->sim);
            const uint64_t done_before = load_done;
            char why[256];
            cr_assert_eq(ended(asked(cluster, through, "orders", to), why), NODE_OK,
                         "seed %d round %d: %s", (int)seed, round, why);
            cr_assert_eq(leader_of_orders(cluster), to, "seed %d round %d", (int)seed, round);
            const uint64_t took_us = sim_now_us(cluster->sim) - began_us;
            cr_assert_lt(took_us, SECOND_US / 2, "seed %d round %d: %d ms", (int)seed, round,
                         (int)(took_us / 1000u));
            sim_run_for(cluster->sim, SECOND_US / 10);
            cr_assert_gt(load_done, done_before, "seed %d round %d: nothing is stored any more",
                         (int)seed, round);
        }
        cluster->options.after_event = NULL;
        for (uint32_t i = 0; i < LOADS; i++) {
            cr_assert(cluster_wait(&load_calls[i], 15 * SECOND_US));
            cluster_call_close(&load_calls[i]);
        }
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        free(load_calls);
        cluster_destroy(cluster);
    }
}

/* ---- what is asked for ---------------------------------------------------------------------------------------------------- */

Test(simulated_transfer, meta_and_whoever_is_best_can_be_asked_for)
{
    struct cluster *cluster = make_with_topic(3, 3, 3);
    const int meta = cluster_leader(cluster, 0);
    const int to = (meta + 1) % 3;
    cr_assert_eq(ended(asked(cluster, (uint32_t)(meta + 2) % 3u, NULL, to), NULL), NODE_OK);
    cr_assert_eq(cluster_leader(cluster, 0), to);
    const int old = leader_of_orders(cluster);
    struct cluster_call *call = asked(cluster, 0, "orders", -1);
    cr_assert(cluster_wait(call, 15 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
    cr_assert_neq(leader_of_orders(cluster), old);
    cr_assert_eq(call->request.ret_leader, (uint64_t)leader_of_orders(cluster) + 1u);
    cr_assert_eq(ended(call, NULL), NODE_OK);
    cluster_destroy(cluster);
}

Test(simulated_transfer, to_who_leads_already_is_done_at_once)
{
    struct cluster *cluster = make_with_topic(4, 3, 3);
    const int leader = leader_of_orders(cluster);
    struct node_group_status before, after;
    const uint64_t group = group_of_orders(cluster);
    cr_assert(cluster_group_status(cluster, (uint32_t)leader, group, &before));
    for (uint32_t through = 0; through < 3; through++) {
        cr_assert_eq(ended(asked(cluster, through, "orders", leader), NULL), NODE_OK);
    }
    cr_assert(cluster_group_status(cluster, (uint32_t)leader, group, &after));
    cr_assert_eq(before.term, after.term, "nobody stood for election");
    cluster_destroy(cluster);
}

Test(simulated_transfer, a_node_hands_over_all_that_it_leads)
{
    struct cluster *cluster = founded(5, 3);
    struct cluster_call *call = malloc(sizeof(*call));
    cluster_fill_create(call, "orders", 7, 3);
    cluster_submit(cluster, 0, call);
    cr_assert_eq(ended(call, NULL), NODE_OK);
    sim_run_for(cluster->sim, SECOND_US);
    for (uint32_t from = 0; from < 3; from++) {
        sim_run_for(cluster->sim, SECOND_US / 2); /* all know who leads what */
        struct node_cluster_status *status = calloc(1, sizeof(*status));
        node_cluster_status(cluster->nodes[from].node, status);
        const uint32_t led = status->groups_led;
        call = malloc(sizeof(*call));
        cluster_fill_transfer_from(call, from, from == 0 ? 2 : -1);
        cluster_submit(cluster, (from + 1u) % 3u, call);
        cr_assert(cluster_wait(call, 15 * SECOND_US));
        cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
        cr_assert_eq(call->request.ret_count, led);
        cr_assert_eq(ended(call, NULL), NODE_OK);
        node_cluster_status(cluster->nodes[from].node, status);
        cr_assert_eq(status->groups_led, 0);
        free(status);
    }
    cluster_destroy(cluster);
}

/* ---- what cannot be ----------------------------------------------------------------------------------------------------------- */

static void check_refused(struct cluster *cluster, uint32_t through, const char *topic, int to,
                          const char *wanted)
{
    char why[256];
    cr_assert_eq(ended(asked(cluster, through, topic, to), why), NODE_NOT_TRANSFERRED, "%s", why);
    cr_assert_not_null(strstr(why, wanted), "\"%s\" says nothing of \"%s\"", why, wanted);
}

Test(simulated_transfer, who_cannot_lead_is_refused_with_the_reason)
{
    struct cluster *cluster = make_with_topic(6, 5, 3);
    bool has_replica[5] = {false};
    int follower = -1;
    for (uint32_t node = 0; node < 5; node++) {
        struct node_group_status status;
        const uint64_t group = group_of_orders(cluster);
        has_replica[node] = cluster_group_status(cluster, node, group, &status);
        if (has_replica[node] && leader_of_orders(cluster) != (int)node) follower = (int)node;
    }
    int stranger = 0;
    while (has_replica[stranger]) {
        stranger++;
    }
    check_refused(cluster, 0, "orders", stranger, "has no replica");
    check_refused(cluster, 1, "orders", 6, "n7 is no member that n");
    cr_assert_eq(ended(asked(cluster, 2, "nothing", 0), NULL), NODE_TOPIC_NOT_FOUND);
    cr_assert_geq(follower, 0);
    cluster_crash(cluster, (uint32_t)follower, SIM_CRASH_KILL);
    const uint32_t through = (uint32_t)(follower + 1) % 5u;
    const int leader = leader_of_orders(cluster);
    check_refused(cluster, through, "orders", follower, "is not connected");
    cr_assert_eq(leader_of_orders(cluster), leader, "it leads as before");
    struct cluster_call *call = malloc(sizeof(*call));
    cluster_fill_transfer_from(call, (uint32_t)follower, -1);
    cluster_submit(cluster, through, call);
    char why[256];
    cr_assert_eq(ended(call, why), NODE_NOT_TRANSFERRED);
    cr_assert_not_null(strstr(why, "leads nothing"), "%s", why);
    call = malloc(sizeof(*call));
    cluster_fill_transfer_from(call, 6, -1);
    cluster_submit(cluster, through, call);
    cr_assert_eq(ended(call, why), NODE_UNKNOWN_NODE);
    cluster_destroy(cluster);
}

Test(simulated_transfer, a_cluster_of_one_has_nobody_to_hand_over_to)
{
    struct cluster *cluster = make_with_topic(7, 1, 1);
    check_refused(cluster, 0, "orders", -1, "no other voter");
    check_refused(cluster, 0, NULL, 1, "n2 is no member");
    struct cluster_call *call = malloc(sizeof(*call));
    cluster_fill_transfer_from(call, 0, -1);
    cluster_submit(cluster, 0, call);
    char why[256];
    cr_assert_eq(ended(call, why), NODE_NOT_TRANSFERRED);
    cr_assert_not_null(strstr(why, "no other voter"), "%s", why);
    cluster_destroy(cluster);
}

Test(simulated_transfer, a_replica_that_is_behind_is_not_told_to_lead)
{
    struct cluster *cluster = load_cluster = make_with_topic(8, 3, 3);
    const int leader = leader_of_orders(cluster);
    const uint32_t slow = (uint32_t)(leader + 1) % 3u;
    sim_set_job_factor(cluster->sim, slow, 2000);
    load_calls = calloc(LOADS, sizeof(*load_calls));
    cluster->options.after_event = keep_busy;
    sim_run_for(cluster->sim, SECOND_US);
    check_refused(cluster, (uint32_t)leader, "orders", (int)slow, "has not caught up");
    cr_assert_eq(leader_of_orders(cluster), leader);
    const int other = (leader + 2) % 3;
    cr_assert_eq(ended(asked(cluster, (uint32_t)leader, "orders", -1), NULL), NODE_OK);
    cr_assert_eq(leader_of_orders(cluster), other, "the best is one that has caught up");
    cluster->options.after_event = NULL;
    sim_set_job_factor(cluster->sim, slow, 1);
    for (uint32_t i = 0; i < LOADS; i++) {
        cr_assert(cluster_wait(&load_calls[i], 15 * SECOND_US));
        cluster_call_close(&load_calls[i]);
    }
    free(load_calls);
    cluster_destroy(cluster);
}

/* Also of a leader that was elected a moment ago, and has not heard of the one that is wished before it hears of the other. */
Test(simulated_transfer, two_that_ask_for_the_same_are_both_answered_and_another_wish_is_refused)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *cluster = make_with_topic(seed, 3, 3);
        const int leader = leader_of_orders(cluster);
        const int to = (leader + 1) % 3;
        struct cluster_call *first = asked(cluster, (uint32_t)leader, "orders", to);
        struct cluster_call *second = asked(cluster, (uint32_t)leader, "orders", to);
        struct cluster_call *third = asked(cluster, (uint32_t)leader, "orders", (leader + 2) % 3);
        char why[256];
        char named[32];
        snprintf(named, sizeof(named), "a transfer to n%d ", to + 1);
        cr_assert_eq(ended(first, why), NODE_OK, "seed %d: %s", (int)seed, why);
        cr_assert_eq(ended(second, why), NODE_OK, "seed %d: %s", (int)seed, why);
        cr_assert_eq(ended(third, why), NODE_NOT_TRANSFERRED, "seed %d", (int)seed);
        cr_assert_not_null(strstr(why, named), "seed %d: %s", (int)seed, why);
        cr_assert_eq(leader_of_orders(cluster), to, "seed %d", (int)seed);
        cluster_destroy(cluster);
    }
}

/* The leader that was asked dies at any moment of it: whoever asked is answered, and is told no lie. */
Test(simulated_transfer, the_loss_of_the_asked_leader_is_no_loss_of_the_answer)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct cluster *cluster = make_with_topic(seed, 3, 3);
        const int leader = leader_of_orders(cluster);
        const int to = (leader + 1) % 3;
        const uint32_t through = (uint32_t)(leader + 2) % 3u;
        struct cluster_call *call = asked(cluster, through, "orders", to);
        sim_run_for(cluster->sim, sim_draw(cluster->sim, 4000));
        cluster_crash(cluster, (uint32_t)leader, SIM_CRASH_KILL);
        cr_assert(cluster_wait(call, 15 * SECOND_US), "seed %d", (int)seed);
        const uint64_t named = call->request.ret_leader;
        const enum node_status status = call->request.status;
        cr_assert(status == NODE_OK || status == NODE_NOT_TRANSFERRED, "seed %d: %s %s", (int)seed,
                  node_status_text(status), call->request.detail);
        if (status == NODE_OK) cr_assert_eq(named, (uint64_t)to + 1u, "seed %d", (int)seed);
        (void)ended(call, NULL);
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}

/* And when no leader is left that could tell what became of it, nobody says that nothing did. */
Test(simulated_transfer, what_a_lost_leader_was_asked_for_is_not_called_refused)
{
    int lost = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster *cluster = make_with_topic(seed, 3, 3);
        const int leader = leader_of_orders(cluster);
        const int to = (leader + 1) % 3;
        const uint32_t through = (uint32_t)(leader + 2) % 3u;
        struct cluster_call *call = asked(cluster, through, "orders", to);
        sim_run_for(cluster->sim, sim_draw(cluster->sim, 500));
        cluster_crash(cluster, (uint32_t)leader, SIM_CRASH_KILL);
        cluster_crash(cluster, (uint32_t)to, SIM_CRASH_KILL);
        cr_assert(cluster_wait(call, 15 * SECOND_US), "seed %d", (int)seed);
        const enum node_status status = call->request.status;
        cr_assert(status == NODE_TIMEOUT || status == NODE_OK, "seed %d: %s %s", (int)seed,
                  node_status_text(status), call->request.detail);
        lost += status == NODE_TIMEOUT;
        (void)ended(call, NULL);
        cluster_destroy(cluster);
    }
    cr_assert_gt(lost, 0, "no seed met it");
}
