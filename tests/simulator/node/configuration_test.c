/* Goal: a CONFIG entry is used by every replica that has it, from the append on and after a restart, and given up when it is
 * cut (PROTOCOL C1; thesis §4.1). Method: the core of a leader is told to change the configuration of a group of simulated
 * nodes; then they are killed at chosen instants. */
#include "founded.h"
#include "peek.h"
#include "poke.h"
#include "sim_cluster.h"

#include <criterion/criterion.h>

#define SECOND_US 1000000u
#define NODES     3u

/* What is wished would be made of the group again. */
static void hold_changes(struct cluster *cluster)
{
    for (uint32_t i = 0; i < NODES; i++) {
        poke_hold_changes(cluster->nodes[i].node);
    }
}

static struct cluster *make(uint64_t seed, uint64_t checkpoint_entries, uint64_t *ret_group)
{
    struct cluster_options options;
    cluster_options_init(&options, seed, NODES);
    options.checkpoint_entries = checkpoint_entries;
    struct cluster *cluster = cluster_create(&options);
    cluster_start_all(cluster);
    hold_changes(cluster);
    cr_assert_geq(cluster_wait_leader(cluster, 0, 5 * SECOND_US), 0);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", NODES), NODE_OK);
    *ret_group = cluster_group(cluster, 0, "orders");
    return cluster;
}

static struct peek_group look(struct cluster *cluster, uint32_t node, uint64_t group)
{
    struct peek_group peek;
    cr_assert(peek_group(cluster->nodes[node].node, group, &peek));
    return peek;
}

static uint32_t voters_of(struct cluster *cluster, uint32_t node, uint64_t group)
{
    const struct peek_group peek = look(cluster, node, group);
    const struct raft_configuration *configuration = peek_configuration(&peek);
    uint32_t voters = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (configuration->members[i].voter) voters++;
    }
    return voters;
}

/* Make a voter of the group that `node` is not into a learner, or (node: NODES) all members voters. */
static enum raft_status change(struct cluster *cluster, uint32_t leader, uint64_t group,
                               uint32_t learner)
{
    const struct peek_group peek = look(cluster, leader, group);
    struct raft_configuration target = *peek_configuration(&peek);
    for (uint32_t i = 0; i < target.members_count; i++) {
        target.members[i].voter = target.members[i].id.node != learner + 1u;
    }
    return poke_configure(cluster->nodes[leader].node, group, &target);
}

static void produce(struct cluster *cluster, uint64_t from, uint64_t to)
{
    for (uint64_t value = from; value < to; value++) {
        cr_assert_eq(cluster_produce(cluster, 0, "orders", value, -1, 0, NULL), NODE_OK);
    }
}

static void restart_all(struct cluster *cluster, enum sim_crash mode)
{
    for (uint32_t i = 0; i < NODES; i++) {
        cluster_crash(cluster, i, mode);
    }
    cluster_start_all(cluster);
    hold_changes(cluster);
}

static void expect_voters(struct cluster *cluster, uint64_t group, uint32_t voters)
{
    for (uint32_t i = 0; i < NODES; i++) {
        cr_assert_eq(voters_of(cluster, i, group), voters, "node %u", i);
    }
}

/* checkpoint_entries: small, so that the CONFIG entry is below the checkpoint; large, so that it is found in the log. */
static void change_and_restart(uint64_t seed, uint64_t checkpoint_entries)
{
    uint64_t group = 0;
    struct cluster *cluster = make(seed, checkpoint_entries, &group);
    produce(cluster, 0, 10);
    const uint32_t leader = founded_leader(cluster, group);
    cr_assert_eq(change(cluster, leader, group, (leader + 1u) % NODES), RAFT_OK);
    produce(cluster, 10, 30);
    sim_run_for(cluster->sim, SECOND_US);
    expect_voters(cluster, group, NODES - 1u);
    restart_all(cluster, SIM_CRASH_POWER);
    expect_voters(cluster, group, NODES - 1u);
    produce(cluster, 30, 40);
    /* A voter of the configuration before may stand once more, until it knows that the change is committed. */
    sim_run_for(cluster->sim, 2 * SECOND_US);
    const uint32_t next = founded_leader(cluster, group);
    cr_assert_neq(next, (leader + 1u) % NODES, "a learner leads");
    cr_assert_eq(change(cluster, next, group, NODES), RAFT_OK);
    produce(cluster, 40, 50);
    sim_run_for(cluster->sim, SECOND_US);
    expect_voters(cluster, group, NODES);
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
}

Test(simulated_configuration, a_change_reaches_every_log_and_is_found_there_after_a_power_cut)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        change_and_restart(seed, 1000000);
    }
}

Test(simulated_configuration, a_change_below_a_checkpoint_is_found_in_it)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        change_and_restart(seed, 4);
    }
}

/* The old configuration is known again though it is older than the checkpoint: the core is told of both at the start. */
Test(simulated_configuration, an_uncommitted_change_outlives_a_restart_and_is_taken_back_when_cut)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t group = 0;
        struct cluster *cluster = make(seed, 4, &group);
        produce(cluster, 0, 20);
        sim_run_for(cluster->sim, SECOND_US);
        const uint32_t leader = founded_leader(cluster, group);
        sim_isolate(cluster->sim, leader, SIM_LINK_CUT);
        cr_assert_eq(change(cluster, leader, group, (leader + 1u) % NODES), RAFT_OK);
        sim_run_for(cluster->sim, SECOND_US / 5u); /* durable, and nobody else has it */
        cluster_crash(cluster, leader, SIM_CRASH_KILL);
        cluster_start(cluster, leader);
        hold_changes(cluster);
        cr_assert_eq(voters_of(cluster, leader, group), NODES - 1u);
        sim_run_for(cluster->sim, 3 * SECOND_US); /* the others elect one of them */
        cr_assert_eq(voters_of(cluster, (leader + 1u) % NODES, group), NODES);
        sim_heal(cluster->sim);
        cr_assert_neq(founded_leader(cluster, group), leader);
        produce(cluster, 20, 30);
        sim_run_for(cluster->sim, SECOND_US);
        expect_voters(cluster, group, NODES);
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}

/* The state is older than the change, so the change must not be in its header: a restart from there alone would believe it. */
Test(simulated_configuration, a_checkpoint_below_a_change_holds_the_configuration_before_it)
{
    uint64_t group = 0;
    struct cluster *cluster = make(3, 1000000, &group);
    produce(cluster, 0, 5);
    sim_run_for(cluster->sim, SECOND_US);
    const uint32_t leader = founded_leader(cluster, group);
    sim_isolate(cluster->sim, leader, SIM_LINK_CUT);
    cr_assert_eq(change(cluster, leader, group, (leader + 1u) % NODES), RAFT_OK);
    cr_assert(cluster_stop(cluster, leader, 100, 10 * SECOND_US)); /* writes a checkpoint */
    cluster_start(cluster, leader);
    hold_changes(cluster);
    sim_heal(cluster->sim);
    produce(cluster, 5, 10);
    sim_run_for(cluster->sim, SECOND_US);
    expect_voters(cluster, group, NODES);
    cluster_destroy(cluster);
}
