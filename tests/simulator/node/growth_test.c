/* Goal: nodes that are not of the founding take over, one place or all of them, while producers work (PROTOCOL M3, M5, M9).
 * Method: simulated clusters of three founders and nodes that know them and only join; requests as an operator sends them. */
#include "founded.h"
#include "members.h"
#include "thinned.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u
#define SETTLE_US (90u * SECOND_US)
#define TOPIC     "orders"
#define FOUNDERS  3u

static struct cluster *make(uint64_t seed, uint32_t nodes, uint64_t *ret_group)
{
    struct cluster_options options;
    cluster_options_init(&options, seed, nodes);
    options.founders_count = FOUNDERS;
    struct cluster *cluster = founded_with(&options);
    cr_assert_eq(cluster_create_topic(cluster, 0, TOPIC, FOUNDERS), NODE_OK);
    sim_run_for(cluster->sim, 2 * SECOND_US); /* the nodes register */
    *ret_group = peek_partition_group(cluster->nodes[0].node, TOPIC, 0);
    return cluster;
}

static void add(struct cluster *cluster, uint32_t through, uint32_t node)
{
    cr_assert_eq(members_change_surely(cluster, through, NODE_REQUEST_NODE_ADD, node, 0), NODE_OK);
}

static void replace(struct cluster *cluster, uint32_t through, uint32_t old, uint32_t new)
{
    cr_assert_eq(members_change_surely(cluster, through, NODE_REQUEST_NODE_REPLACE, old, new),
                 NODE_OK, "seed %" PRIu64, cluster->options.seed);
}

/* ---- one ------------------------------------------------------------------------------------------------------------------ */

Test(simulated_growth, a_partition_moves_to_a_node_that_was_added)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t group = 0;
        struct cluster *cluster = make(seed, 4, &group);
        struct load *load = calloc(1, sizeof(*load));
        load_start(load, cluster, TOPIC, 0x7u);
        add(cluster, 1, 3);
        cluster_start(cluster, 3);
        load_expect_settled(load, SETTLE_US, 0);
        cr_assert_eq(members_voters(cluster, 0, 0), 0xfu, "four vote in meta");
        cr_assert_eq(members_voters(cluster, 0, group), 0x7u, "nothing moves by itself");
        cr_assert_eq(members_place(cluster, 0, TOPIC, (const uint32_t[]){1, 2, 3}, 3), NODE_OK);
        load_expect_settled(load, SETTLE_US, 1);
        cr_assert_eq(members_voters(cluster, 1, group), 0xeu);
        cr_assert_not(members_has_replica(cluster, 0, group));
        load_check(load, 0xfu);
        free(load);
        cluster_destroy(cluster);
    }
}

/* A topic that is made later is spread over the new node, too. */
Test(simulated_growth, a_new_node_gets_replicas_of_new_topics)
{
    uint64_t group = 0;
    struct cluster *cluster = make(11, 4, &group);
    struct load *load = calloc(1, sizeof(*load));
    load_start(load, cluster, TOPIC, 0x7u);
    add(cluster, 0, 3);
    cluster_start(cluster, 3);
    load_expect_settled(load, SETTLE_US, 0);
    cr_assert_eq(cluster_create_topic(cluster, 3, "wide", 4), NODE_OK);
    /* The topic is there when a majority is; the fourth may take a moment longer, to hear of it, too. */
    uint64_t wide = 0;
    for (int i = 0; i < 20 && (wide == 0 || !members_has_replica(cluster, 3, wide)); i++) {
        load_run(load, 100000u);
        wide = peek_partition_group(cluster->nodes[3].node, "wide", 0);
    }
    cr_assert_neq(wide, 0);
    cr_assert(members_has_replica(cluster, 3, wide));
    load_check(load, 0xfu);
    free(load);
    cluster_destroy(cluster);
}

/* The operator decides before the new machine is up; the old node goes on meanwhile, and goes when it can be spared. */
Test(simulated_growth, a_node_is_replaced_by_one_that_is_started_later)
{
    for (uint64_t seed = 21; seed <= 25; seed++) {
        uint64_t group = 0;
        struct node_change change;
        struct cluster *cluster = make(seed, 4, &group);
        struct load *load = calloc(1, sizeof(*load));
        const uint32_t old = (uint32_t)(seed % FOUNDERS);
        const uint32_t witness = (old + 1u) % FOUNDERS;
        load_start(load, cluster, TOPIC, 0x7u & ~(1u << old));
        add(cluster, witness, 3);
        replace(cluster, witness, old, 3);
        load_run(load, 2 * SECOND_US);
        cr_assert(members_change_of(cluster, witness, group, &change));
        cr_assert_eq(change.state, NODE_CHANGE_WAITING);
        cr_assert(strstr(change.blocked, "n4 did not join"), "%s", change.blocked);
        cr_assert_eq(members_voters(cluster, witness, group), 0x7u);
        cr_assert_eq(members_voters(cluster, witness, 0), 0x7u, "it votes until it is relieved");
        if (seed % 2) cluster_crash(cluster, old, SIM_CRASH_POWER);
        load_run(load, SECOND_US);
        cluster_start(cluster, 3);
        load_expect_settled(load, SETTLE_US, witness);
        const uint32_t rest = 0xfu & ~(1u << old);
        cr_assert_eq(members_voters(cluster, 3, group), rest);
        cr_assert_eq(members_all(cluster, 3, 0), rest);
        load_check(load, rest);
        free(load);
        cluster_destroy(cluster);
    }
}

/* ---- all ------------------------------------------------------------------------------------------------------------------ */

/* One after the other the founders go. What is left knows them from the founding only. */
Test(simulated_growth, every_founder_is_replaced_and_the_cluster_starts_again_without_them)
{
    for (uint64_t seed = 31; seed <= 34; seed++) {
        uint64_t group = 0;
        struct cluster *cluster = make(seed, 6, &group);
        struct load *load = calloc(1, sizeof(*load));
        load_start(load, cluster, TOPIC, 0x3fu);
        for (uint32_t i = 0; i < FOUNDERS; i++) {
            const uint32_t new = FOUNDERS + i;
            const uint32_t through = (i + 1u) % FOUNDERS + (i == 2u ? FOUNDERS : 0u);
            add(cluster, through, new);
            cluster_start(cluster, new);
            replace(cluster, through, i, new);
            load_expect_settled(load, SETTLE_US, through);
            cluster_crash(cluster, i, SIM_CRASH_KILL);
            load->through &= ~(1u << i);
        }
        cr_assert_eq(members_voters(cluster, 4, group), 0x38u, "seed %" PRIu64, seed);
        cr_assert_eq(members_all(cluster, 4, 0), 0x38u, "seed %" PRIu64, seed);
        load_run(load, SECOND_US);
        for (uint32_t i = FOUNDERS; i < 6; i++) {
            cluster_crash(cluster, i, SIM_CRASH_POWER);
        }
        for (uint32_t i = FOUNDERS; i < 6; i++) {
            cluster_start(cluster, i);
        }
        cr_assert(load_run_until_settled(load, SETTLE_US, 4), "seed %" PRIu64, seed);
        cr_assert_eq(cluster_create_topic(cluster, 5, "afterwards", 3), NODE_OK);
        load_check(load, 0x38u);
        free(load);
        cluster_destroy(cluster);
    }
}

/* ---- crashes on the way ------------------------------------------------------------------------------------------------------ */

static void die_at(uint64_t seed, uint32_t victim, uint64_t after_us, enum sim_crash mode)
{
    uint64_t group = 0;
    struct cluster *cluster = make(seed, 4, &group);
    struct load *load = calloc(1, sizeof(*load));
    load_start(load, cluster, TOPIC, 0x7u);
    add(cluster, 0, 3);
    replace(cluster, 1, 2, 3);
    cluster_start(cluster, 3);
    load_run(load, after_us);
    cluster_crash(cluster, victim, mode);
    load_run(load, SECOND_US);
    cluster_start(cluster, victim);
    load->through = 0xbu;
    load_expect_settled(load, SETTLE_US, 0);
    cr_assert_eq(members_voters(cluster, 0, group), 0xbu, "seed %" PRIu64, seed);
    cr_assert_eq(members_all(cluster, 0, 0), 0xbu, "seed %" PRIu64, seed);
    load_check(load, 0xbu);
    free(load);
    cluster_destroy(cluster);
}

Test(simulated_growth, any_node_may_die_while_a_new_one_takes_a_place)
{
    uint64_t seed = 100;
    for (uint64_t after_us = 5000; after_us <= 1500000; after_us += 150000) {
        for (uint32_t victim = 0; victim < 4; victim++) {
            const enum sim_crash mode = victim % 2 ? SIM_CRASH_POWER : SIM_CRASH_KILL;
            if (thinned_takes(0, ++seed)) die_at(seed, victim, after_us, mode);
        }
    }
}

/* ---- as many as are wanted ------------------------------------------------------------------------------------------------ */

static void expect_state(struct cluster *cluster, uint32_t node, const char *state,
                         const char *problem)
{
    struct node_cluster_status status;
    node_cluster_status(cluster->nodes[node].node, &status);
    cr_assert_str_eq(status.state, state, "%s", status.problem);
    cr_assert_not_null(strstr(status.problem, problem), "%s", status.problem);
}

Test(simulated_growth, a_removal_that_shrinks_a_topic_is_refused_until_that_is_agreed_to)
{
    uint64_t group = 0;
    char detail[256];
    struct cluster *cluster = make(41, 4, &group);
    members_keep_replicas = true;
    cr_assert_eq(members_change(cluster, 0, NODE_REQUEST_NODE_REMOVE, 2, 0, detail),
                 NODE_NOT_ENOUGH_NODES);
    cr_assert_not_null(strstr(detail, "--shrink"), "%s", detail);
    cr_assert_not_null(strstr(detail, "nobody can take 1 replica of n3"), "%s", detail);
    cr_assert_eq(members_all(cluster, 0, group), 7u);
    members_keep_replicas = false;
    cr_assert_eq(members_change(cluster, 0, NODE_REQUEST_NODE_REMOVE, 2, 0, detail), NODE_OK);
    cluster_destroy(cluster);
}

/* Two removals that nobody could make up for, then two nodes: the topic is as it was, and nobody asked for it. */
Test(simulated_growth, a_topic_that_lost_replicas_says_so_and_grows_back_by_itself)
{
    for (uint64_t seed = 51; seed <= 54; seed++) {
        uint64_t group = 0;
        struct cluster *cluster = make(seed, 5, &group);
        struct load *load = calloc(1, sizeof(*load));
        load_start(load, cluster, TOPIC, 1u);
        expect_state(cluster, 0, "ready", "");
        cr_assert_eq(members_change_surely(cluster, 0, NODE_REQUEST_NODE_REMOVE, 2, 0), NODE_OK);
        load_expect_settled(load, SETTLE_US, 0);
        cluster_crash(cluster, 2, SIM_CRASH_KILL);
        expect_state(cluster, 0, "degraded", "2 of 3");
        cr_assert_eq(members_voters(cluster, 0, group), 3u);
        add(cluster, 0, 3);
        cluster_start(cluster, 3);
        for (int i = 0; i < 100 && members_voters(cluster, 0, group) != 0xbu; i++) {
            load_run(load, 100000u);
        }
        cr_assert_eq(members_voters(cluster, 0, group), 0xbu, "n4 took the place");
        load_expect_settled(load, SETTLE_US, 0);
        expect_state(cluster, 0, "ready", "");
        load_check(load, 0xbu);
        free(load);
        cluster_destroy(cluster);
    }
}
