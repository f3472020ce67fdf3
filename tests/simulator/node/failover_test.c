/* Goal: a leader that dies is replaced long before an election timeout, because its closed connections tell (PROTOCOL C5);
 * one that is merely cut off, after one, and who waits at it is told what is not known (C9). Method: simulated nodes; the time without a leader in virtual milliseconds. */
#include "sim_cluster.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define SECOND_US 1000000u
#define SEEDS     20u

struct wait {
    struct cluster *cluster;
    uint64_t group;
    int old;
};

static bool another_leads(void *data)
{
    const struct wait *wait = data;
    const int leader = cluster_leader(wait->cluster, wait->group);
    return leader >= 0 && leader != wait->old;
}

static struct wait make(uint64_t seed)
{
    struct cluster_options options;
    cluster_options_init(&options, seed, 3);
    struct wait wait = {.cluster = cluster_create(&options)};
    cluster_start_all(wait.cluster);
    cr_assert_geq(cluster_wait_leader(wait.cluster, 0, 5 * SECOND_US), 0);
    cr_assert_eq(cluster_create_topic(wait.cluster, 0, "orders", 3), NODE_OK);
    wait.group = cluster_group(wait.cluster, 0, "orders");
    wait.old = cluster_wait_leader(wait.cluster, wait.group, 5 * SECOND_US);
    cr_assert_geq(wait.old, 0);
    sim_run_for(wait.cluster->sim, SECOND_US);
    cr_assert_eq(cluster_leader(wait.cluster, wait.group), wait.old);
    return wait;
}

static uint64_t us_until_another_leads(struct wait *wait)
{
    struct sim *sim = wait->cluster->sim;
    const uint64_t began_us = sim_now_us(sim);
    cr_assert(sim_run_until_true(sim, 10 * SECOND_US, another_leads, wait));
    return sim_now_us(sim) - began_us;
}

/* A heartbeat until the connection counts as lost, up to 25 ms by chance, two rounds of votes and their syncs. A split
 * costs another 50 to 100 ms. */
Test(simulated_failover, a_killed_leader_is_replaced_before_an_election_timeout)
{
    uint64_t total_us = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct wait wait = make(seed);
        cluster_crash(wait.cluster, (uint32_t)wait.old, SIM_CRASH_KILL);
        const uint64_t us = us_until_another_leads(&wait);
        cr_assert_lt(us, 300000, "seed %d: %d ms", (int)seed, (int)(us / 1000u));
        total_us += us;
        cluster_destroy(wait.cluster);
    }
    cr_assert_lt(total_us / SEEDS, 150000, "%d ms on average", (int)(total_us / SEEDS / 1000u));
}

static void cut_off(struct wait *wait)
{
    for (uint32_t node = 0; node < 3; node++) {
        if ((int)node == wait->old) continue;
        sim_set_link(wait->cluster->sim, (uint32_t)wait->old, node, SIM_LINK_STALLED);
        sim_set_link(wait->cluster->sim, node, (uint32_t)wait->old, SIM_LINK_STALLED);
    }
}

/* Nothing closes: the others hear nothing for an election timeout, and not much longer. */
Test(simulated_failover, a_leader_that_is_cut_off_is_replaced_after_an_election_timeout)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct wait wait = make(seed);
        cut_off(&wait);
        const uint64_t us = us_until_another_leads(&wait);
        cr_assert_gt(us, 200000, "seed %d: %d ms", (int)seed, (int)(us / 1000u));
        cr_assert_lt(us, 1500000, "seed %d: %d ms", (int)seed, (int)(us / 1000u));
        cluster_destroy(wait.cluster);
    }
}

/* One election timeout until it gives up, two more without a leader. */
Test(simulated_failover, who_waits_at_a_leader_that_is_cut_off_hears_of_the_unknown_soon)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct wait wait = make(seed);
        cut_off(&wait);
        struct cluster_call *call = malloc(sizeof(*call));
        cluster_fill_produce(call, "orders", 7, -1, 0);
        cluster_submit(wait.cluster, (uint32_t)wait.old, call);
        cr_assert(cluster_wait(call, 10 * SECOND_US));
        cr_assert_eq(call->request.status, NODE_OUTCOME_UNKNOWN, "%s", call->request.detail);
        const uint64_t us = call->done_us - call->submitted_us;
        cr_assert_gt(us, 1200000, "seed %d: %d ms", (int)seed, (int)(us / 1000u));
        cr_assert_lt(us, 2200000, "seed %d: %d ms", (int)seed, (int)(us / 1000u));
        cluster_call_close(call);
        free(call);
        cluster_destroy(wait.cluster);
    }
}

/* A cut of which the node hears a leader again in time: the true answer. */
Test(simulated_failover, who_waits_at_a_leader_that_comes_back_gets_an_offset)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct wait wait = make(seed);
        cut_off(&wait);
        struct cluster_call *call = malloc(sizeof(*call));
        cluster_fill_produce(call, "orders", 7, -1, 0);
        cluster_submit(wait.cluster, (uint32_t)wait.old, call);
        (void)us_until_another_leads(&wait);
        sim_heal(wait.cluster->sim);
        cr_assert(cluster_wait(call, 10 * SECOND_US));
        cr_assert_eq(call->request.status, NODE_OK, "seed %d: %s", (int)seed, call->request.detail);
        struct cluster_ack records[4];
        cr_assert_eq(cluster_read_all(wait.cluster, 0, "orders", records, 4), 1);
        cr_assert_eq(records[0].offset, call->request.ret_offset);
        cluster_call_close(call);
        free(call);
        cluster_destroy(wait.cluster);
    }
}

struct new_term {
    struct cluster *cluster;
    uint64_t group, old_term;
};

static bool leads_in_a_new_term(void *data)
{
    const struct new_term *wait = data;
    const int leader = cluster_leader(wait->cluster, wait->group);
    struct node_group_status status;
    return leader >= 0 &&
           cluster_group_status(wait->cluster, (uint32_t)leader, wait->group, &status) &&
           status.term > wait->old_term;
}

/* It is back before a lost connection counts as lost, and leads no more: whoever waits for an election timeout waits for
 * nothing. */
Test(simulated_failover, a_leader_that_is_back_at_once_as_another_process_is_replaced_as_soon)
{
    uint64_t total_us = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct wait wait = make(seed);
        struct new_term next = {.cluster = wait.cluster, .group = wait.group};
        struct node_group_status status;
        cr_assert(cluster_group_status(wait.cluster, (uint32_t)wait.old, wait.group, &status));
        next.old_term = status.term;
        cluster_crash(wait.cluster, (uint32_t)wait.old, SIM_CRASH_KILL);
        cluster_start(wait.cluster, (uint32_t)wait.old);
        const uint64_t began_us = sim_now_us(wait.cluster->sim);
        cr_assert(
            sim_run_until_true(wait.cluster->sim, 10 * SECOND_US, leads_in_a_new_term, &next));
        const uint64_t us = sim_now_us(wait.cluster->sim) - began_us;
        cr_assert_lt(us, 300000, "seed %d: %d ms", (int)seed, (int)(us / 1000u));
        total_us += us;
        cluster_destroy(wait.cluster);
    }
    cr_assert_lt(total_us / SEEDS, 150000, "%d ms on average", (int)(total_us / SEEDS / 1000u));
}
