/* Goal: a node that lost its data directory comes back by itself, as a new incarnation, as a learner and then as a voter, and
 * nothing acked is lost on the way; the old directory is of no use any more (PROTOCOL M2, M3, M5). Method: real nodes in the
 * simulated world, disks that are wiped or moved aside under load, crashes at every disk call of the return. */
#include "founded.h"
#include "members.h"
#include "poke.h"
#include "thinned.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <memory_disk.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US  1000000u
#define BACK_US    (60u * SECOND_US)
#define POINTS_MAX 1000u
#define TOPIC      "orders"

static void wipe(struct cluster *cluster, uint32_t node)
{
    if (sim_is_running(cluster->sim, node)) cluster_crash(cluster, node, SIM_CRASH_POWER);
    sim_wipe_disk(cluster->sim, node);
}

static uint64_t incarnation_of(struct cluster *cluster, uint32_t node)
{
    struct node_cluster_status status;
    node_cluster_status(cluster->nodes[node].node, &status);
    return status.incarnation;
}

static void expect_status(struct cluster *cluster, uint32_t node, const char *state,
                          const char *problem)
{
    struct node_cluster_status status;
    node_cluster_status(cluster->nodes[node].node, &status);
    cr_assert_str_eq(status.state, state, "n%u: %s", node + 1u, status.problem);
    cr_assert_not_null(strstr(status.problem, problem), "n%u: %s", node + 1u, status.problem);
}

struct return_wait {
    struct cluster *cluster;
    uint64_t group;
};

/* Every node votes in both groups, as every node has it, and follows a leader. */
static bool are_all_back(void *data)
{
    const struct return_wait *wait = data;
    const uint32_t all = founded_mask(wait->cluster);
    const uint64_t groups[] = {0, wait->group};
    for (uint32_t node = 0; node < wait->cluster->options.nodes_count; node++) {
        for (uint32_t i = 0; i < 2u; i++) {
            struct node_group_status status;
            if (!cluster_group_status(wait->cluster, node, groups[i], &status)) return false;
            if (status.leader == 0) return false;
            if (members_voters(wait->cluster, node, groups[i]) != all) return false;
        }
    }
    return true;
}

static void expect_all_back(struct load *load, uint64_t group)
{
    struct return_wait wait = {.cluster = load->cluster, .group = group};
    cr_assert(load_run_until(load, BACK_US, are_all_back, &wait),
              "seed %" PRIu64 ": not all vote again", load->cluster->options.seed);
    cr_assert(load_run_until_settled(load, BACK_US, 0), "seed %" PRIu64 ": not recorded",
              load->cluster->options.seed);
}

/* ---- one, under load ------------------------------------------------------------------------------------------------- */

enum role {
    FOLLOWER,
    LEADER,
};

static void wipe_under_load(uint64_t seed, enum role role, uint32_t times)
{
    uint64_t group;
    struct cluster *cluster = founded_with_topic(seed, 3, TOPIC, 3, &group);
    struct load *load = calloc(1, sizeof(*load));
    const uint32_t leader = founded_leader(cluster, group);
    const uint32_t victim = role == LEADER ? leader : (leader + 1u + (uint32_t)(seed % 2u)) % 3u;
    const uint64_t old = incarnation_of(cluster, victim);
    load_start(load, cluster, TOPIC, founded_mask(cluster));
    load_run(load, SECOND_US);
    for (uint32_t i = 0; i < times; i++) {
        wipe(cluster, victim);
        load_run(load, sim_draw(cluster->sim, SECOND_US));
        cluster_start(cluster, victim);
        cr_assert_not(members_has_replica(cluster, victim, group));
        cr_assert_not(members_has_replica(cluster, victim, 0), "no replica, no vote");
        if (i + 1u < times) load_run(load, sim_draw(cluster->sim, 3u * SECOND_US));
    }
    expect_all_back(load, group);
    cr_assert_neq(incarnation_of(cluster, victim), old);
    load_check(load, founded_mask(cluster));
    free(load);
    cluster_destroy(cluster);
}

Test(simulated_wipe, a_wiped_follower_votes_again_by_itself)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        wipe_under_load(seed, FOLLOWER, 1);
    }
}

Test(simulated_wipe, a_wiped_leader_votes_again_by_itself)
{
    for (uint64_t seed = 11; seed <= 16; seed++) {
        wipe_under_load(seed, LEADER, 1);
    }
}

Test(simulated_wipe, a_node_that_is_wiped_again_while_it_comes_back_votes_again)
{
    for (uint64_t seed = 21; seed <= 30; seed++) {
        wipe_under_load(seed, seed % 2u ? FOLLOWER : LEADER, 3);
    }
}

/* ---- more than one ------------------------------------------------------------------------------------------------------ */

/* What was acked by the leader and one follower is on the leader alone when that follower is wiped: it must not be acked by
 * an empty log, nor be outvoted by the one that lacks it. */
Test(simulated_wipe, what_only_the_wiped_follower_had_besides_the_leader_is_not_lost)
{
    for (uint64_t seed = 41; seed <= 46; seed++) {
        uint64_t group;
        struct cluster *cluster = founded_with_topic(seed, 3, TOPIC, 3, &group);
        struct load *load = calloc(1, sizeof(*load));
        const uint32_t leader = founded_leader(cluster, group);
        const uint32_t behind = (leader + 1u) % 3u;
        const uint32_t victim = (leader + 2u) % 3u;
        load_start(load, cluster, TOPIC, founded_mask(cluster));
        load_run(load, SECOND_US);
        cluster_crash(cluster, behind, SIM_CRASH_POWER);
        load_run(load, SECOND_US);
        const uint32_t acks_count = load->acks_count;
        cr_assert_gt(acks_count, 20);
        wipe(cluster, victim);
        cluster_start(cluster, victim);
        load_run(load, 3u * SECOND_US);
        cr_assert_leq(load->acks_count, acks_count + LOAD_PRODUCERS_MAX, "nobody is there to ack");
        cr_assert_not(members_has_replica(cluster, victim, 0));
        cluster_start(cluster, behind);
        expect_all_back(load, group);
        load_check(load, founded_mask(cluster));
        free(load);
        cluster_destroy(cluster);
    }
}

Test(simulated_wipe, two_of_five_may_be_wiped_at_once)
{
    for (uint64_t seed = 51; seed <= 56; seed++) {
        uint64_t group;
        struct cluster *cluster = founded_with_topic(seed, 5, TOPIC, 5, &group);
        struct load *load = calloc(1, sizeof(*load));
        const uint32_t leader = founded_leader(cluster, group);
        const uint32_t first =
            (leader + (uint32_t)(seed % 2u)) % 5u; /* every other time it leads */
        const uint32_t second = (first + 2u) % 5u;
        load_start(load, cluster, TOPIC, founded_mask(cluster));
        load_run(load, SECOND_US);
        wipe(cluster, first);
        wipe(cluster, second);
        cluster_start(cluster, first);
        cluster_start(cluster, second);
        expect_all_back(load, group);
        load_check(load, founded_mask(cluster));
        free(load);
        cluster_destroy(cluster);
    }
}

/* ---- crashes of the return ------------------------------------------------------------------------------------------------ */

static bool is_victim_down(void *data)
{
    const struct return_wait *wait = data;
    for (uint32_t i = 0; i < wait->cluster->options.nodes_count; i++) {
        if (!sim_is_running(wait->cluster->sim, i)) return true;
    }
    return are_all_back(data);
}

/* True: there was such a disk call. */
static bool returns_with_crash(uint64_t seed, uint64_t disk_call, enum sim_crash mode)
{
    uint64_t group;
    struct cluster *cluster = founded_with_topic(seed, 3, TOPIC, 3, &group);
    const uint32_t victim = (uint32_t)(seed % 3u);
    for (uint64_t value = 0; value < 5; value++) {
        cr_assert_eq(cluster_produce(cluster, (victim + 1u) % 3u, TOPIC, value, -1, 0, NULL),
                     NODE_OK);
    }
    wipe(cluster, victim);
    sim_crash_at_disk_call(cluster->sim, victim, disk_call, mode);
    cluster_start(cluster, victim);
    struct return_wait wait = {.cluster = cluster, .group = group};
    const char *const blow = mode == SIM_CRASH_POWER ? "power cut" : "kill";
    cr_assert(sim_run_until_true(cluster->sim, BACK_US, is_victim_down, &wait),
              "%s at %" PRIu64 ": not back", blow, disk_call);
    const bool was_hit = !sim_is_running(cluster->sim, victim);
    if (was_hit) {
        sim_run_for(cluster->sim, sim_draw(cluster->sim, SECOND_US / 2u));
        cluster_start(cluster, victim);
        cr_assert(sim_run_until_true(cluster->sim, BACK_US, are_all_back, &wait),
                  "%s at %" PRIu64 ": not back", blow, disk_call);
    }
    sim_crash_at_disk_call(cluster->sim, victim, UINT64_MAX, SIM_CRASH_KILL);
    struct cluster_ack records[6];
    cr_assert_eq(cluster_read_all(cluster, victim, TOPIC, records, 6), 5, "%s at %" PRIu64, blow,
                 disk_call);
    cr_assert_eq(cluster->fatals_count, 0, "%s at %" PRIu64 ": %s", blow, disk_call,
                 cluster->last_fatal_reason);
    cluster_destroy(cluster);
    return was_hit;
}

static void strike_everywhere(enum sim_crash mode)
{
    uint64_t disk_call = 0;
    while (!thinned_takes(mode, disk_call) ||
           returns_with_crash(1000u + disk_call, disk_call, mode)) {
        disk_call++;
        cr_assert_lt(disk_call, POINTS_MAX, "the return has no end");
    }
    cr_log_info("%" PRIu64 " crash points", disk_call);
    cr_assert_geq(disk_call, 40, "there are more disk calls than that in a return");
}

Test(simulated_wipe, a_node_may_lose_power_before_any_disk_call_of_its_return)
{
    strike_everywhere(SIM_CRASH_POWER);
}

Test(simulated_wipe, a_node_may_be_killed_before_any_disk_call_of_its_return)
{
    strike_everywhere(SIM_CRASH_KILL);
}

/* ---- the old directory ------------------------------------------------------------------------------------------------------ */

static void move_directory(struct cluster *cluster, uint32_t node, const char *from, const char *to)
{
    struct disk *disk = sim_memory_disk(cluster->sim, node);
    cr_assert_eq(disk_rename(disk, from, to), 0);
    cr_assert_eq(disk_sync_directory(disk, to), 0);
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
}

Test(simulated_wipe, a_directory_whose_place_another_one_took_is_refused_for_good)
{
    for (uint64_t seed = 61; seed <= 64; seed++) {
        uint64_t group;
        struct cluster *cluster = founded_with_topic(seed, 3, TOPIC, 3, &group);
        struct load *load = calloc(1, sizeof(*load));
        const uint32_t victim = (uint32_t)(seed % 3u);
        const uint32_t others = founded_mask(cluster) & ~(1u << victim);
        load_start(load, cluster, TOPIC, others);
        load_run(load, SECOND_US);
        cluster_crash(cluster, victim, SIM_CRASH_KILL);
        move_directory(cluster, victim, "/data", "/data.old");
        cluster_start(cluster, victim);
        expect_all_back(load, group);

        cluster_crash(cluster, victim, SIM_CRASH_KILL);
        move_directory(cluster, victim, "/data", "/new");
        move_directory(cluster, victim, "/data.old", "/data");
        cluster_start(cluster, victim);
        load_run(load, 5u * SECOND_US);
        expect_status(cluster, victim, "no quorum", "that another one took the place of");
        struct node_group_status status;
        cr_assert(cluster_group_status(cluster, victim, group, &status));
        cr_assert_eq(status.leader, 0, "it neither leads nor follows");

        cluster_crash(cluster, victim, SIM_CRASH_KILL);
        move_directory(cluster, victim, "/data", "/old");
        move_directory(cluster, victim, "/new", "/data");
        cluster_start(cluster, victim);
        expect_all_back(load, group);
        load_check(load, founded_mask(cluster));
        free(load);
        cluster_destroy(cluster);
    }
}

/* It answers its peers and its clients meanwhile. */
Test(simulated_wipe, a_disk_that_hangs_while_its_node_is_taken_in_delays_that_alone)
{
    uint64_t group;
    struct cluster *cluster = founded_with_topic(97, 3, TOPIC, 3, &group);
    const uint32_t leader = founded_leader(cluster, 0), victim = (leader + 1u) % 3u;
    wipe(cluster, victim);
    cluster_start(cluster, victim);
    sim_hang_disk(cluster->sim, victim, true);
    sim_run_for(cluster->sim, 10 * SECOND_US);
    cr_assert_not(members_has_replica(cluster, victim, 0));
    expect_status(cluster, victim, "joining", "");
    struct node_cluster_status status;
    node_cluster_status(cluster->nodes[leader].node, &status);
    bool is_connected = false;
    for (uint32_t i = 0; i < status.members_count; i++) {
        if (status.members[i].node_id == victim + 1u) is_connected = status.members[i].connected;
    }
    cr_assert(is_connected);
    sim_hang_disk(cluster->sim, victim, false);
    struct return_wait wait = {.cluster = cluster, .group = group};
    cr_assert(sim_run_until_true(cluster->sim, BACK_US, are_all_back, &wait));
    cluster_destroy(cluster);
}

/* ---- late requests ------------------------------------------------------------------------------------------------------------ */

static uint64_t registered(struct cluster *cluster, uint32_t node)
{
    const int leader = cluster_leader(cluster, 0);
    cr_assert_geq(leader, 0);
    struct meta_node known;
    cr_assert(meta_node_get(peek_meta(cluster->nodes[leader].node), node + 1u, &known));
    return known.incarnation;
}

/* A peer slept with the request of a directory that was emptied once more before the peer woke up. */
Test(simulated_wipe, a_late_request_of_a_directory_that_was_replaced_takes_no_place)
{
    for (uint64_t seed = 91; seed <= 94; seed++) {
        uint64_t group;
        struct cluster *cluster = founded_with_topic(seed, 3, TOPIC, 3, &group);
        struct load *load = calloc(1, sizeof(*load));
        load_start(load, cluster, TOPIC, founded_mask(cluster));
        const uint32_t leader = founded_leader(cluster, 0);
        const uint32_t victim = (leader + 1u) % 3u, sleeper = (leader + 2u) % 3u;
        struct join_question late = {.node_id = victim + 1u,
                                     .incarnation = 4711,
                                     .is_passed_on = true,
                                     .number = 1,
                                     .knows_registered = true,
                                     .registered = registered(cluster, victim)};
        wipe(cluster, victim);
        cluster_start(cluster, victim);
        expect_all_back(load, group);
        const uint64_t newest = registered(cluster, victim);
        cr_assert_eq(newest, incarnation_of(cluster, victim));
        cluster_crash(cluster, victim, SIM_CRASH_KILL);
        load_run(load, SECOND_US);
        for (uint32_t i = 0; i < 2u; i++) {
            const int decides = cluster_leader(cluster, 0);
            cr_assert_geq(decides, 0);
            poke_join(cluster->nodes[decides].node, sleeper + 1u, &late);
            load_run(load, 2u * SECOND_US);
            cr_assert_eq(registered(cluster, victim), newest);
            late.knows_registered = false; /* nor does one that knows of none */
            late.registered = 0;
        }
        cluster_start(cluster, victim);
        expect_all_back(load, group);
        load_check(load, founded_mask(cluster));
        free(load);
        cluster_destroy(cluster);
    }
}

/* The epoch that it names may be over: by it the replica would vote for ever in vain. */
Test(simulated_wipe, an_answer_to_an_earlier_asking_is_not_taken)
{
    uint64_t group;
    struct cluster *cluster = founded_with_topic(95, 3, TOPIC, 3, &group);
    const uint32_t leader = founded_leader(cluster, 0);
    const uint32_t victim = (leader + 1u) % 3u;
    wipe(cluster, victim);
    cluster_crash(cluster, leader, SIM_CRASH_KILL); /* nobody takes it in */
    cluster_start(cluster, victim);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    const struct join_answer old = {.verdict = JOIN_ACCEPTED,
                                    .is_leaders = true,
                                    .node_id = victim + 1u,
                                    .incarnation = incarnation_of(cluster, victim),
                                    .number = 4711,
                                    .epoch = 20,
                                    .incarnation_index = 19};
    poke_join_answer(cluster->nodes[victim].node, leader + 1u, &old);
    sim_run_for(cluster->sim, SECOND_US);
    cr_assert_not(members_has_replica(cluster, victim, 0));
    cluster_start(cluster, leader);
    struct return_wait wait = {.cluster = cluster, .group = group};
    cr_assert(sim_run_until_true(cluster->sim, BACK_US, are_all_back, &wait));
    cluster_destroy(cluster);
}

Test(simulated_wipe, a_node_whose_address_cannot_be_written_down_is_told_so)
{
    uint64_t group;
    struct cluster *cluster = founded_with_topic(96, 3, TOPIC, 3, &group);
    const uint32_t victim = (founded_leader(cluster, 0) + 1u) % 3u;
    cluster->starts[victim].http_address = "here and there:80";
    wipe(cluster, victim);
    cluster_start(cluster, victim);
    sim_run_for(cluster->sim, 3 * SECOND_US);
    expect_status(cluster, victim, "refused", "tells an address");
    cluster_crash(cluster, victim, SIM_CRASH_KILL);
    cluster->starts[victim].http_address = NULL;
    cluster_start(cluster, victim);
    struct return_wait wait = {.cluster = cluster, .group = group};
    cr_assert(sim_run_until_true(cluster->sim, BACK_US, are_all_back, &wait));
    cluster_destroy(cluster);
}

/* ---- a node that is new ------------------------------------------------------------------------------------------------------ */

static bool is_in_meta(void *data)
{
    const struct return_wait *wait = data;
    return members_voters(wait->cluster, 0, 0) == founded_mask(wait->cluster) &&
           members_has_replica(wait->cluster, 3, 0);
}

/* n1, n2 and n3 never had n4 in their lists: they learn its address from meta. */
Test(simulated_wipe, a_new_node_comes_in_when_it_is_admitted_and_not_before)
{
    struct cluster_options options;
    cluster_options_init(&options, 71, 4);
    options.founders_count = 3;
    struct cluster *cluster = founded_with(&options);
    cluster_start(cluster, 3);
    sim_run_for(cluster->sim, 10 * SECOND_US);
    expect_status(cluster, 3, "founding", "admit it with `raftmq cluster add n4=n4:7071`");
    cr_assert_eq(members_all(cluster, 0, 0), 7u);

    cr_assert_eq(members_change_surely(cluster, 0, NODE_REQUEST_NODE_ADD, 3, 0), NODE_OK);
    struct return_wait wait = {.cluster = cluster};
    cr_assert(sim_run_until_true(cluster->sim, BACK_US, is_in_meta, &wait));
    cr_assert_eq(cluster_create_topic(cluster, 3, TOPIC, 4), NODE_OK);
    for (uint32_t node = 0; node < 4u; node++) {
        cr_assert_eq(cluster_produce(cluster, node, TOPIC, node, -1, 0, NULL), NODE_OK);
    }
    /* It finds its way back by what it knows now, also without the one that it was told of. */
    cluster_crash(cluster, 0, SIM_CRASH_KILL);
    cluster_crash(cluster, 3, SIM_CRASH_POWER);
    cluster_start(cluster, 3);
    cr_assert_geq(cluster_wait_leader(cluster, 0, 10 * SECOND_US), 0);
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
}

/* It was removed, is admitted again, and starts on what it had: those replicas are over (M4), and nobody waits for them. */
Test(simulated_wipe, a_directory_of_a_former_membership_is_refused_with_the_way_out)
{
    struct cluster_options options;
    cluster_options_init(&options, 82, 4);
    options.founders_count = 3;
    struct cluster *cluster = founded_with(&options);
    cr_assert_eq(cluster_create_topic(cluster, 0, TOPIC, 3), NODE_OK);
    cluster_start(cluster, 3);
    cr_assert_eq(members_change_surely(cluster, 0, NODE_REQUEST_NODE_ADD, 3, 0), NODE_OK);
    struct load *load = calloc(1, sizeof(*load));
    load_start(load, cluster, TOPIC, 7u);
    cr_assert(load_run_until_settled(load, BACK_US, 0));
    cr_assert_eq(members_change_surely(cluster, 0, NODE_REQUEST_NODE_REMOVE, 3, 0), NODE_OK);
    cr_assert(load_run_until_settled(load, BACK_US, 0));
    cluster_crash(cluster, 3, SIM_CRASH_KILL);
    load_run(load, 2u * SECOND_US);
    cr_assert_eq(members_change_surely(cluster, 0, NODE_REQUEST_NODE_ADD, 3, 0), NODE_OK);
    cluster_start(cluster, 3);
    load_run(load, 5u * SECOND_US);
    expect_status(cluster, 3, "no quorum", "of a former membership");
    struct node_change change;
    cr_assert_geq(members_changes(cluster, 0, &change), 1);
    cr_assert_not_null(strstr(change.blocked, "start it on an empty data directory"), "%s",
                       change.blocked);
    wipe(cluster, 3);
    cluster_start(cluster, 3);
    cr_assert(load_run_until_settled(load, BACK_US, 0));
    load_check(load, 7u);
    free(load);
    cluster_destroy(cluster);
}

/* PROTOCOL: a node that was removed learns why nobody talks to it. */
Test(simulated_wipe, a_removed_node_is_told_so)
{
    uint64_t group;
    struct cluster *cluster = founded_with_topic(81, 4, TOPIC, 3, &group);
    cluster_crash(cluster, 3, SIM_CRASH_KILL);
    cr_assert_eq(members_change_surely(cluster, 0, NODE_REQUEST_NODE_REMOVE, 3, 0), NODE_OK);
    struct load *load = calloc(1, sizeof(*load));
    load_start(load, cluster, TOPIC, 7u);
    cr_assert(load_run_until_settled(load, BACK_US, 0));
    load_run(load, 5u * SECOND_US);
    cluster_start(cluster, 3);
    load_run(load, 5u * SECOND_US);
    expect_status(cluster, 3, "removed", "(n4) was removed from the cluster");
    load_check(load, 7u);
    free(load);
    cluster_destroy(cluster);
}
