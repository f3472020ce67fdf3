/* Goal: a replica that knows of damage in its log acknowledges nothing over it, takes nothing as a leader, and cuts only what
 * nobody can hold; a member that lacks what it acknowledged is brought up again (PROTOCOL D3, D4, D5, D8). Method: simulated
 * clusters in which the damage stands for a moment, looked at every 100 us; nobody mends it meanwhile, or nobody can. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <memory_disk.h>

#include "members.h"
#include "peek.h"
#include "poke.h"
#include "rot.h"
#include "sim_invariants.h"

#define SECOND_US 1000000u
#define MESSAGES  40u
#define NEVER     1000000u /* checkpoint_entries */

TestSuite(simulated_damaged, .timeout = 120);

struct trio {
    struct cluster *cluster;
    uint64_t group;
    uint32_t leader, follower, third;
};

static struct trio make_with(uint64_t seed, uint64_t checkpoint_entries)
{
    struct trio trio = {.cluster = rot_cluster(seed, 3, 3, MESSAGES, checkpoint_entries)};
    trio.group = cluster_group(trio.cluster, 0, ROT_TOPIC);
    const int leader = cluster_leader(trio.cluster, trio.group);
    cr_assert_geq(leader, 0);
    trio.leader = (uint32_t)leader;
    trio.follower = (trio.leader + 1u) % 3u;
    trio.third = (trio.leader + 2u) % 3u;
    return trio;
}

static struct trio make(uint64_t seed)
{
    return make_with(seed, NEVER);
}

static struct peek_group peek_at(const struct trio *trio, uint32_t node)
{
    struct peek_group peek;
    cr_assert_not_null(trio->cluster->nodes[node].node);
    cr_assert(peek_group(trio->cluster->nodes[node].node, trio->group, &peek));
    return peek;
}

static uint32_t holes_of(const struct trio *trio, uint32_t node)
{
    static struct node_scrub_status logs[64];
    const uint32_t count = node_scrub_status(trio->cluster->nodes[node].node, logs, 64);
    for (uint32_t i = 0; i < count; i++) {
        if (logs[i].group == trio->group) return logs[i].holes;
    }
    return 0;
}

/* A message more at the leader, and nobody waits for its answer. */
static struct cluster_call *send_message(const struct trio *trio, uint64_t value)
{
    struct cluster_call *call = calloc(1, sizeof(*call));
    cr_assert_not_null(call);
    cluster_fill_produce(call, ROT_TOPIC, value, -1, -1);
    cluster_submit(trio->cluster, trio->leader, call);
    return call;
}

static void forget(struct cluster_call *call)
{
    if (!call->is_done) cluster_cancel(call);
    cluster_call_close(call);
    free(call);
}

static void run_until_durable(const struct trio *trio, uint32_t node, uint64_t index)
{
    for (uint32_t i = 0; peek_at(trio, node).durable_index < index; i++) {
        cr_assert_lt(i, 5000u, "n%u has not got entry %" PRIu64, node + 1u, index);
        sim_run_for(trio->cluster->sim, 100);
    }
}

/* The disk of `node`, while it is down or not: the record of this entry rots. */
static void rot_entry(const struct trio *trio, uint32_t node, uint64_t index)
{
    char path[160];
    const uint64_t pos = rot_find(trio->cluster, node, index, path, sizeof(path));
    rot_flip(trio->cluster, node, path, pos + 3u);
    invariants_note_damage(trio->cluster->invariants, node);
}

/* ---- D3 ------------------------------------------------------------------------------------------------------------ */

/* An entry reaches the leader's disk and the follower's, the ack never arrives, and the follower's copy rots: there is one
 * whole copy. The leader sends the entry again, while the follower's disk hangs, so that nothing is repaired. An ack, which needs
 * no disk for what was durable, would commit the entry by a copy that is none. */
Test(simulated_damaged, a_follower_acknowledges_nothing_over_damage)
{
    for (uint64_t seed = 61; seed < 65; seed++) {
        struct trio trio = make(seed);
        struct sim *sim = trio.cluster->sim;
        const uint64_t index = peek_at(&trio, trio.leader).last_index + 1u;
        cluster_crash(trio.cluster, trio.third, SIM_CRASH_KILL);
        sim_set_link(sim, trio.follower, trio.leader, SIM_LINK_STALLED);
        struct cluster_call *call = send_message(&trio, MESSAGES);
        run_until_durable(&trio, trio.leader, index);
        run_until_durable(&trio, trio.follower, index);
        sim_isolate(sim, trio.follower, SIM_LINK_CUT);
        rot_entry(&trio, trio.follower, index);
        cr_assert_geq(rot_scrub(trio.cluster, trio.follower, 20 * SECOND_US), 1);
        sim_hang_disk(sim, trio.follower, true);
        sim_heal(sim);
        for (uint32_t i = 0; i < 4000; i++) {
            sim_run_for(sim, 100);
            cr_assert_gt(holes_of(&trio, trio.follower), 0);
            cr_assert_lt(peek_at(&trio, trio.leader).commit_index, index,
                         "seed %" PRIu64 ": committed over damage", seed);
        }
        const struct peek_group leader = peek_at(&trio, trio.leader);
        cr_assert_eq(leader.role, RAFT_LEADER);
        cr_assert_gt(peek_appends_rejected(&leader), 0, "it was sent again, and refused");
        sim_hang_disk(sim, trio.follower, false);
        cr_assert(rot_is_repaired(trio.cluster, 5 * SECOND_US));
        cr_assert(cluster_wait(call, 10 * SECOND_US));
        forget(call);
        cr_assert_geq(cluster_wait_leader(trio.cluster, trio.group, 10 * SECOND_US), 0);
        cr_assert(cluster_produce_once(trio.cluster, trio.leader, ROT_TOPIC, MESSAGES + 1u, -1, -1,
                                       10 * SECOND_US, NULL));
        cluster_start(trio.cluster, trio.third);
        rot_expect_values(trio.cluster, MESSAGES + 2u);
        cluster_destroy(trio.cluster);
    }
}

/* ---- D4: the cut --------------------------------------------------------------------------------------------------- */

/* Returns the index of an entry that only the leader's disk holds; all are down then. */
static uint64_t append_alone(const struct trio *trio)
{
    const uint64_t index = peek_at(trio, trio->leader).last_index + 1u;
    sim_isolate(trio->cluster->sim, trio->leader, SIM_LINK_CUT);
    struct cluster_call *call = send_message(trio, MESSAGES);
    run_until_durable(trio, trio->leader, index);
    for (uint32_t i = 0; i < 3; i++) {
        cluster_crash(trio->cluster, i, SIM_CRASH_KILL);
    }
    forget(call);
    sim_heal(trio->cluster->sim);
    return index;
}

/* Never committed, on one disk alone, and that rots: both others never held it, so nobody can miss it. */
Test(simulated_damaged, what_a_majority_never_held_is_cut)
{
    for (uint64_t seed = 71; seed < 75; seed++) {
        struct trio trio = make(seed);
        const uint64_t index = append_alone(&trio);
        rot_entry(&trio, trio.leader, index);
        cluster_start_all(trio.cluster);
        cr_assert(rot_is_repaired(trio.cluster, 10 * SECOND_US), "seed %" PRIu64, seed);
        cr_assert_geq(cluster_wait_leader(trio.cluster, trio.group, 10 * SECOND_US), 0);
        cr_assert(cluster_produce_once(trio.cluster, 0, ROT_TOPIC, MESSAGES, -1, -1, 10 * SECOND_US,
                                       NULL));
        rot_expect_values(trio.cluster, MESSAGES + 1u);
        cluster_destroy(trio.cluster);
    }
}

/* The same, and a file in front of it is lost on all, below a checkpoint: its repair is given up, and begun again for ever. Between
 * two such rounds no place of the node is taken: they are few, and other groups are to be mended. */
Test(simulated_damaged, a_cut_beside_damage_that_stays_takes_no_place_from_other_repairs)
{
    struct trio trio = {.cluster = rot_cluster(86, 3, 3, MESSAGES, 4)};
    trio.group = cluster_group(trio.cluster, 0, ROT_TOPIC);
    const int leader = cluster_leader(trio.cluster, trio.group);
    cr_assert_geq(leader, 0);
    trio.leader = (uint32_t)leader;
    const uint64_t index = append_alone(&trio);
    rot_entry(&trio, trio.leader, index);
    for (uint32_t i = 0; i < 3; i++) {
        char path[160];
        uint64_t bytes;
        cr_assert(rot_segment(trio.cluster, i, 1, path, sizeof(path), &bytes));
        rot_remove(trio.cluster, i, path);
        invariants_note_damage(trio.cluster->invariants, i);
    }
    cluster_start_all(trio.cluster);
    cr_assert_geq(cluster_wait_leader(trio.cluster, trio.group, 20 * SECOND_US), 0);
    sim_run_for(trio.cluster->sim, 5 * SECOND_US);
    cr_assert_gt(holes_of(&trio, trio.leader), 0, "nobody has that file");
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < 2000 && least > 0; i++) {
        sim_run_for(trio.cluster->sim, 1000);
        const uint32_t taken = peek_repairs(trio.cluster->nodes[trio.leader].node);
        if (taken < least) least = taken;
    }
    cr_assert_eq(least, 0, "%u places are taken for ever", least);
    cluster_destroy(trio.cluster);
}

/* A message is acked by two of three. One of these rots, the other one is away; the third never had it, and says so in a later
 * term. To cut it now, with two up of which neither has it, would lose it. */
Test(simulated_damaged, what_one_never_held_is_not_cut_while_another_may_hold_it)
{
    for (uint64_t seed = 81; seed < 85; seed++) {
        struct trio trio = make(seed);
        struct sim *sim = trio.cluster->sim;
        sim_isolate(sim, trio.follower, SIM_LINK_CUT);
        cr_assert_eq(cluster_produce(trio.cluster, trio.leader, ROT_TOPIC, MESSAGES, -1, -1, NULL),
                     NODE_OK);
        const uint64_t index = peek_at(&trio, trio.leader).last_index;
        run_until_durable(&trio, trio.third, index);
        const uint64_t term = peek_at(&trio, trio.leader).term;
        cluster_crash(trio.cluster, trio.leader, SIM_CRASH_KILL);
        sim_set_link(sim, trio.follower, trio.third, SIM_LINK_UP);
        sim_set_link(sim, trio.third, trio.follower, SIM_LINK_UP);
        /* The follower takes the new term with its vote, and then hears no more of the one it voted for. */
        for (uint32_t i = 0; peek_at(&trio, trio.follower).hard_state.term == term ||
                             !peek_at(&trio, trio.follower).hard_state_is_durable;
             i++) {
            cr_assert_lt(i, 100000u);
            sim_run_for(sim, 50);
        }
        cluster_crash(trio.cluster, trio.third, SIM_CRASH_KILL);
        cr_assert_lt(peek_at(&trio, trio.follower).last_index, index);
        rot_entry(&trio, trio.leader, index);
        sim_heal(sim);
        cluster_start(trio.cluster, trio.leader);
        sim_run_for(sim, 20 * SECOND_US);
        struct node_group_status status;
        cr_assert(cluster_group_status(trio.cluster, trio.leader, trio.group, &status));
        cr_assert_str_eq(status.role, "mending", "seed %" PRIu64, seed);
        cr_assert_geq(status.last_index, index, "nothing was cut");
        cluster_start(trio.cluster, trio.third);
        cr_assert(rot_is_repaired(trio.cluster, 10 * SECOND_US));
        cr_assert_geq(cluster_wait_leader(trio.cluster, trio.group, 10 * SECOND_US), 0);
        rot_expect_values(trio.cluster, MESSAGES + 1u);
        cluster_destroy(trio.cluster);
    }
}

/* ---- D5 ------------------------------------------------------------------------------------------------------------ */

Test(simulated_damaged, a_leader_takes_nothing_from_producers_until_it_is_whole)
{
    for (uint64_t seed = 91; seed < 95; seed++) {
        struct trio trio = make(seed);
        struct sim *sim = trio.cluster->sim;
        rot_entry(&trio, trio.leader, 20);
        cr_assert_gt(node_scrub(trio.cluster->nodes[trio.leader].node, NULL), 0);
        for (uint32_t i = 0; holes_of(&trio, trio.leader) == 0; i++) {
            cr_assert_lt(i, 200000u, "not found");
            sim_run_for(sim, 100);
        }
        cr_assert_eq(peek_at(&trio, trio.leader).role, RAFT_LEADER);
        const uint64_t last_index = peek_at(&trio, trio.leader).last_index;
        struct cluster_call *call = send_message(&trio, MESSAGES);
        uint32_t looks = 0;
        while (holes_of(&trio, trio.leader) > 0) {
            cr_assert_eq(peek_at(&trio, trio.leader).last_index, last_index,
                         "seed %" PRIu64 ": taken while it was damaged", seed);
            cr_assert_lt(looks++, 200000u, "never repaired");
            sim_run_for(sim, 100);
        }
        cr_assert_gt(looks, 3, "it was looked at while it was damaged");
        cr_assert(cluster_wait(call, 10 * SECOND_US));
        cr_assert_eq(call->request.status, NODE_OK, "taken when it is whole");
        forget(call);
        rot_expect_values(trio.cluster, MESSAGES + 1u);
        cluster_destroy(trio.cluster);
    }
}

/* ---- D7 ------------------------------------------------------------------------------------------------------------ */

/* In the newest file, which every start reads, and at or below a checkpoint of everybody: the group goes on without it. */
Test(simulated_damaged, what_is_damaged_everywhere_and_no_state_needs_halts_no_group)
{
    struct trio trio = {.cluster = rot_cluster(96, 3, 3, MESSAGES, 4)};
    trio.group = cluster_group(trio.cluster, 0, ROT_TOPIC);
    uint64_t index = UINT64_MAX;
    for (uint32_t i = 0; i < 3; i++) {
        const uint64_t checkpoint = peek_at(&trio, i).checkpoint_index;
        if (checkpoint < index) index = checkpoint;
    }
    for (uint32_t i = 0; i < 3; i++) {
        cluster_crash(trio.cluster, i, SIM_CRASH_KILL);
        rot_entry(&trio, i, index);
    }
    cluster_start_all(trio.cluster);
    for (uint32_t i = 0; i < 3; i++) {
        struct node_group_status status;
        cr_assert(cluster_group_status(trio.cluster, i, trio.group, &status));
        cr_assert_str_eq(status.role, "mending", "n%u found it", i + 1u);
    }
    cr_assert_geq(cluster_wait_leader(trio.cluster, trio.group, 20 * SECOND_US), 0);
    cr_assert(
        cluster_produce_once(trio.cluster, 0, ROT_TOPIC, MESSAGES, -1, -1, 20 * SECOND_US, NULL));
    cluster_destroy(trio.cluster);
}

/* ---- D8 ------------------------------------------------------------------------------------------------------------ */

/* What it acknowledged is gone with the power, as from a disk that lies about syncs: its files are those of a moment before. The
 * leader goes by that ack. Nothing is lost, for the third has it, too. */
Test(simulated_damaged, a_member_that_lacks_what_it_acknowledged_is_told_and_caught_up)
{
    for (uint64_t seed = 101; seed < 105; seed++) {
        struct trio trio = make(seed);
        struct sim *sim = trio.cluster->sim;
        const uint64_t term = peek_at(&trio, trio.leader).term;
        struct disk *before = memory_disk_clone(sim_memory_disk(sim, trio.follower), seed);
        for (uint64_t i = 0; i < 4; i++) {
            cr_assert_eq(
                cluster_produce(trio.cluster, trio.leader, ROT_TOPIC, MESSAGES + i, -1, -1, NULL),
                NODE_OK);
        }
        const uint64_t index = peek_at(&trio, trio.leader).last_index;
        run_until_durable(&trio, trio.follower, index);
        run_until_durable(&trio, trio.third, index);
        cluster_crash(trio.cluster, trio.follower, SIM_CRASH_KILL);
        sim_restore_disk(sim, trio.follower, before);
        invariants_excuse(trio.cluster->invariants, trio.follower);
        cluster_start(trio.cluster, trio.follower);
        cr_assert_lt(peek_at(&trio, trio.follower).last_index, index);
        run_until_durable(&trio, trio.follower, index);
        const struct peek_group leader = peek_at(&trio, trio.leader);
        cr_assert_eq(leader.term, term, "seed %" PRIu64 ": the same leader", seed);
        cr_assert_geq(peek_regressions(&leader), 1, "seed %" PRIu64, seed);
        cluster_crash(trio.cluster, trio.third, SIM_CRASH_KILL);
        cr_assert_eq(
            cluster_produce(trio.cluster, trio.leader, ROT_TOPIC, MESSAGES + 4u, -1, -1, NULL),
            NODE_OK, "it counts again");
        rot_expect_values(trio.cluster, MESSAGES + 5u);
        cluster_destroy(trio.cluster);
    }
}

/* The last entry that was committed rots on a node whose state has it, and whose tail lost: where the tail is to be cut only the
 * damaged entry knew the chain. The node runs, for its state covers the damage, and has nothing in memory. */
Test(simulated_damaged, a_tail_that_lost_right_behind_damage_is_cut_when_that_is_mended)
{
    for (uint64_t seed = 151; seed < 155; seed++) {
        struct trio trio = make_with(seed, 1);
        struct sim *sim = trio.cluster->sim;
        for (uint64_t i = 0; i < 5u; i++) { /* into the middle of a file */
            cr_assert_eq(cluster_produce(trio.cluster, trio.leader, ROT_TOPIC, i, -1, -1, NULL),
                         NODE_OK);
        }
        for (uint32_t i = 0;
             peek_at(&trio, trio.leader).checkpoint_index != peek_at(&trio, trio.leader).last_index;
             i++) {
            cr_assert_lt(i, 5000u);
            sim_run_for(sim, 1000);
        }
        const struct peek_group before = peek_at(&trio, trio.leader);
        sim_isolate(sim, trio.leader, SIM_LINK_CUT);
        struct cluster_call *calls[3];
        for (uint32_t i = 0; i < 3;
             i++) { /* more than one, so that no mark tells what is in front of them */
            calls[i] = send_message(&trio, MESSAGES);
            run_until_durable(&trio, trio.leader, before.last_index + 1u + i);
        }
        cluster_crash(trio.cluster, trio.leader, SIM_CRASH_KILL);
        for (uint32_t i = 0; i < 3; i++) {
            forget(calls[i]);
        }
        rot_entry(&trio, trio.leader, before.last_index);
        cr_assert(cluster_produce_once(trio.cluster, trio.third, ROT_TOPIC, MESSAGES, -1, -1,
                                       20 * SECOND_US, NULL));
        cluster_start(trio.cluster, trio.leader);
        sim_run_for(sim, 5 * SECOND_US);
        cr_assert_eq(peek_at(&trio, trio.leader).last_index, before.last_index + 3u);
        cr_assert_eq(rot_scrub(trio.cluster, trio.leader, 20 * SECOND_US), 1);
        sim_hang_disk(sim, trio.leader, true); /* entries come before it is mended */
        sim_heal(sim);
        sim_run_for(sim, SECOND_US / 2u);
        sim_hang_disk(sim, trio.leader, false);
        cr_assert(rot_is_repaired(trio.cluster, 20 * SECOND_US));
        sim_run_for(sim, SECOND_US);
        cr_assert_eq(peek_at(&trio, trio.leader).last_index, peek_at(&trio, trio.third).last_index);
        cluster_destroy(trio.cluster);
    }
}

/* ---- M5 ------------------------------------------------------------------------------------------------------------ */

/* The follower goes down with damage above its state. Returns where: a base follows the first of these messages, and the crash
 * comes before the next one is due. */
static uint64_t lose_above_the_state(const struct trio *trio, struct peek_group *ret_before)
{
    for (uint64_t i = 0; i < 12; i++) {
        if (i == 1) sim_run_for(trio->cluster->sim, 60000);
        cr_assert_eq(cluster_produce(trio->cluster, trio->leader, ROT_TOPIC, i, -1, -1, NULL),
                     NODE_OK);
    }
    run_until_durable(trio, trio->follower, peek_at(trio, trio->leader).last_index);
    *ret_before = peek_at(trio, trio->follower);
    const uint64_t index = ret_before->last_index - 1u;
    cr_assert_lt(ret_before->checkpoint_index, index);
    cluster_crash(trio->cluster, trio->follower, SIM_CRASH_KILL);
    rot_entry(trio, trio->follower, index);
    return index;
}

/* The others keep nothing of what this entry lies in. */
static void trim_behind(const struct trio *trio, uint64_t index)
{
    uint64_t value = MESSAGES;
    for (uint32_t i = 0; peek_at(trio, trio->leader).base_index <= index ||
                         peek_at(trio, trio->third).base_index <= index;
         i++) {
        cr_assert_lt(i, 100u, "never trimmed");
        for (uint32_t k = 0; k < 20; k++) {
            cr_assert_eq(
                cluster_produce(trio->cluster, trio->leader, ROT_TOPIC, value++, -1, -1, NULL),
                NODE_OK);
        }
        poke_make_base(trio->cluster->nodes[trio->leader].node, trio->group);
        poke_make_base(trio->cluster->nodes[trio->third].node, trio->group);
        sim_run_for(trio->cluster->sim, SECOND_US / 2u);
    }
}

struct voter_wait {
    const struct trio *trio;
    uint64_t epoch; /* of the replica that was lost */
};

static bool votes_again(void *data)
{
    const struct voter_wait *wait = data;
    const struct trio *trio = wait->trio;
    struct peek_group peek;
    if (!peek_group(trio->cluster->nodes[trio->follower].node, trio->group, &peek)) return false;
    return peek.epoch > wait->epoch &&
           members_voters(trio->cluster, trio->follower, trio->group) == 7u;
}

/* What it lacks, and its state does not hold, nobody keeps any more; the others go on without it. */
Test(simulated_damaged, a_replica_that_nobody_can_mend_is_made_again)
{
    for (uint64_t seed = 111; seed < 114; seed++) {
        struct trio trio = make(seed);
        struct sim *sim = trio.cluster->sim;
        struct peek_group before;
        const uint64_t index = lose_above_the_state(&trio, &before);
        trim_behind(&trio, index);
        cluster_start(trio.cluster, trio.follower);
        sim_run_for(sim, SECOND_US);
        struct node_group_status status;
        cr_assert(cluster_group_status(trio.cluster, trio.follower, trio.group, &status));
        cr_assert_str_eq(status.role, "mending", "seed %" PRIu64, seed);
        struct voter_wait wait = {.trio = &trio, .epoch = before.epoch};
        cr_assert(sim_run_until_true(sim, 60 * SECOND_US, votes_again, &wait),
                  "seed %" PRIu64 ": it waits", seed);
        cluster_crash(trio.cluster, trio.third, SIM_CRASH_KILL);
        cr_assert(cluster_produce_once(trio.cluster, trio.follower, ROT_TOPIC, 1, -1, -1,
                                       20 * SECOND_US, NULL),
                  "it counts");
        cluster_destroy(trio.cluster);
    }
}

/* The file in front of its state is lost, too. What is answered about that one takes nothing back. */
Test(simulated_damaged, a_replica_that_nobody_can_mend_is_made_again_whatever_else_is_bad)
{
    for (uint64_t seed = 111; seed < 114; seed++) {
        struct trio trio = make(seed);
        struct peek_group before;
        char path[160];
        uint64_t bytes;
        const uint64_t index = lose_above_the_state(&trio, &before);
        trim_behind(&trio, index);
        cr_assert(
            rot_file(trio.cluster, trio.follower, trio.group, NULL, 0, path, sizeof(path), &bytes));
        rot_remove(trio.cluster, trio.follower, path);
        cluster_start(trio.cluster, trio.follower);
        sim_run_for(trio.cluster->sim, SECOND_US);
        cr_assert_eq(holes_of(&trio, trio.follower), 2);
        struct voter_wait wait = {.trio = &trio, .epoch = before.epoch};
        cr_assert(sim_run_until_true(trio.cluster->sim, 60 * SECOND_US, votes_again, &wait),
                  "seed %" PRIu64 ": it waits", seed);
        cluster_destroy(trio.cluster);
    }
}

static void remove_newer(const struct trio *trio, uint32_t node, const char *prefix, uint64_t index)
{
    char path[160];
    uint64_t bytes;
    for (uint32_t nth = 0;
         rot_file(trio->cluster, node, trio->group, prefix, nth, path, sizeof(path), &bytes);) {
        if (strtoull(strrchr(path, '/') + 1 + strlen(prefix), NULL, 10) > index) {
            rot_remove(trio->cluster, node, path);
        } else {
            nth++;
        }
    }
}

/* The node goes down and loses its snapshots but the one in front of its log, and this entry. */
static void lose_newer_and(const struct trio *trio, uint32_t node, uint64_t index)
{
    const uint64_t base_index = peek_at(trio, node).base_index;
    cr_assert_lt(base_index, index);
    cluster_crash(trio->cluster, node, SIM_CRASH_KILL);
    rot_entry(trio, node, index);
    remove_newer(trio, node, "base-", base_index);
    remove_newer(trio, node, "checkpoint-", base_index);
}

/* The follower goes down and loses its newer snapshots, and an entry of a segment that a start does not read: it is next to be
 * applied then. The others keep nothing of it, and all that it has to be sent. Returns the entry. */
static uint64_t lose_behind_the_tail(const struct trio *trio, struct peek_group *ret_before)
{
    for (uint64_t i = 0; i < 160; i++) {
        cr_assert_eq(cluster_produce(trio->cluster, trio->leader, ROT_TOPIC, i, -1, -1, NULL),
                     NODE_OK);
    }
    run_until_durable(trio, trio->follower, peek_at(trio, trio->leader).last_index);
    *ret_before = peek_at(trio, trio->follower);
    const uint64_t index = ret_before->base_index + 60u;
    lose_newer_and(trio, trio->follower, index);
    poke_make_base(trio->cluster->nodes[trio->leader].node, trio->group);
    poke_make_base(trio->cluster->nodes[trio->third].node, trio->group);
    sim_run_for(trio->cluster->sim, SECOND_US);
    for (uint32_t other = 0; other < 3u; other++) {
        if (other == trio->follower) continue;
        const uint64_t base_index = peek_at(trio, other).base_index;
        cr_assert(base_index > index && base_index <= ret_before->last_index,
                  "n%u starts at %" PRIu64, other + 1u, base_index);
    }
    return index;
}

/* Its tail was never committed, and the others have gone another way: what they supply for the damaged front of it does not lead
 * to the rest. */
Test(simulated_damaged, a_replica_with_a_damaged_tail_that_lost_is_made_again)
{
    for (uint64_t seed = 116; seed < 119; seed++) {
        struct trio trio = make(seed);
        struct sim *sim = trio.cluster->sim;
        const struct peek_group before = peek_at(&trio, trio.leader);
        struct cluster_call *calls[4];
        sim_isolate(sim, trio.leader, SIM_LINK_CUT);
        for (uint32_t i = 0; i < 4; i++) {
            calls[i] = send_message(&trio, MESSAGES);
            run_until_durable(&trio, trio.leader, before.last_index + 1u + i);
        }
        cluster_crash(trio.cluster, trio.leader, SIM_CRASH_KILL);
        for (uint32_t i = 0; i < 4; i++) {
            forget(calls[i]);
        }
        rot_entry(&trio, trio.leader, before.last_index + 1u);
        sim_heal(sim);
        for (uint32_t i = 0; i < 4; i++) {
            cr_assert(cluster_produce_once(trio.cluster, trio.third, ROT_TOPIC, MESSAGES + i, -1,
                                           -1, 20 * SECOND_US, NULL));
        }
        trio.follower = trio.leader;
        cluster_start(trio.cluster, trio.follower);
        struct voter_wait wait = {.trio = &trio, .epoch = before.epoch};
        cr_assert(sim_run_until_true(sim, 60 * SECOND_US, votes_again, &wait),
                  "seed %" PRIu64 ": it waits", seed);
        rot_expect_values(trio.cluster, MESSAGES + 4u);
        cluster_destroy(trio.cluster);
    }
}

/* Found when it is applied: the replica runs by then, and answers its leader. */
Test(simulated_damaged, a_running_replica_that_nobody_can_mend_is_made_again)
{
    for (uint64_t seed = 121; seed < 124; seed++) {
        struct trio trio = make(seed);
        struct sim *sim = trio.cluster->sim;
        struct peek_group before;
        const uint64_t index = lose_behind_the_tail(&trio, &before);
        cluster_start(trio.cluster, trio.follower);
        sim_run_for(sim, SECOND_US);
        struct node_group_status status;
        cr_assert(cluster_group_status(trio.cluster, trio.follower, trio.group, &status));
        cr_assert_str_eq(status.role, "follower", "seed %" PRIu64, seed);
        cr_assert_lt(peek_at(&trio, trio.follower).applied_index, index);
        struct voter_wait wait = {.trio = &trio, .epoch = before.epoch};
        cr_assert(sim_run_until_true(sim, 60 * SECOND_US, votes_again, &wait),
                  "seed %" PRIu64 ": it waits", seed);
        cluster_destroy(trio.cluster);
    }
}

/* The leader's log, and the third's when it makes bases, too, starts inside a file of the others. Returns that start; 0: it is also
 * the end of a file of one of them. */
static uint64_t start_inside_of_files(const struct trio *trio, bool third_too)
{
    for (uint64_t i = 0; i < 120; i++) {
        cr_assert_eq(cluster_produce(trio->cluster, trio->leader, ROT_TOPIC, i, -1, -1, NULL),
                     NODE_OK);
        if (i != 60 && i != 70) continue; /* the second trims up to the base of the first */
        poke_make_base(trio->cluster->nodes[trio->leader].node, trio->group);
        if (third_too) poke_make_base(trio->cluster->nodes[trio->third].node, trio->group);
    }
    sim_run_for(trio->cluster->sim, SECOND_US);
    const uint64_t start = peek_at(trio, trio->leader).base_index;
    for (uint32_t node = 0; node < 3; node++) {
        char front[160], behind[160];
        if (node == trio->leader) continue;
        const uint64_t own_start = peek_at(trio, node).base_index;
        if (third_too && node == trio->third && own_start == start) continue;
        if (own_start >= start || (third_too && node == trio->third)) return 0;
        (void)rot_find(trio->cluster, node, start, front, sizeof(front));
        (void)rot_find(trio->cluster, node, start + 1u, behind, sizeof(behind));
        if (strcmp(front, behind) != 0) return 0;
        cluster_crash(trio->cluster, node, SIM_CRASH_KILL); /* nothing is in memory then */
        cluster_start(trio->cluster, node);
        sim_run_for(trio->cluster->sim, SECOND_US);
    }
    return start;
}

static void transfer_to(struct trio *trio, uint32_t node)
{
    cr_assert_eq(poke_transfer(trio->cluster->nodes[trio->leader].node, trio->group, node + 1u),
                 RAFT_OK);
    sim_run_for(trio->cluster->sim, SECOND_US);
    cr_assert_eq(cluster_leader(trio->cluster, trio->group), (int)node);
}

/* Entries rot that others keep, and in the same file others in front of them that they have dropped: it cannot be written again. */
static void lack_messages(const struct trio *trio, uint32_t node, uint64_t start)
{
    rot_entry(trio, node, start);
    rot_entry(trio, node, start + 1u);
}

static void find_damage(const struct trio *trio, uint32_t node)
{
    cr_assert_geq(rot_scrub(trio->cluster, node, 20 * SECOND_US), 1);
}

/* Its state has what is damaged, and it does everything but to give those messages; a leader, too, until it hands over. */
Test(simulated_damaged, a_replica_that_nobody_can_give_its_messages_is_made_again)
{
    uint32_t lacked = 0;
    for (uint64_t seed = 141; seed < 149; seed++) {
        struct trio trio = make(seed);
        struct voter_wait wait = {.trio = &trio, .epoch = peek_at(&trio, trio.follower).epoch};
        const uint64_t start = start_inside_of_files(&trio, true);
        if (start != 0) {
            if (seed % 2 == 0) transfer_to(&trio, trio.follower);
            lack_messages(&trio, trio.follower, start);
            /* and one in a file in front of it, which nobody keeps any more: its own matter changes nothing */
            rot_entry(&trio, trio.follower, peek_at(&trio, trio.follower).base_index + 1u);
            find_damage(&trio, trio.follower);
            cr_assert(sim_run_until_true(trio.cluster->sim, 60 * SECOND_US, votes_again, &wait),
                      "seed %" PRIu64 ": it waits", seed);
            cr_assert(rot_is_repaired(trio.cluster, 10 * SECOND_US));
            lacked |= 1u << seed % 2;
        }
        cluster_destroy(trio.cluster);
    }
    cr_assert_eq(lacked, 3, "no follower, or no leader lacked messages");
}

/* One of them leads: it hands over to the third, which is whole, and not to the other one, which would hand it back. */
Test(simulated_damaged, of_two_replicas_that_lack_messages_one_is_made_again_after_the_other)
{
    uint32_t lacked = 0;
    for (uint64_t seed = 161; seed < 171; seed++) {
        struct trio trio = make(seed);
        struct sim *sim = trio.cluster->sim;
        const uint32_t both[] = {trio.follower, trio.third};
        uint64_t epochs[2];
        const uint64_t start = start_inside_of_files(&trio, false);
        for (uint32_t i = 0; i < 2 && start != 0; i++) {
            epochs[i] = peek_at(&trio, both[i]).epoch;
            lack_messages(&trio, both[i], start);
        }
        if (start != 0) {
            transfer_to(&trio, both[0]);
            find_damage(&trio, both[0]);
            find_damage(&trio, both[1]);
        }
        for (uint32_t i = 0; i < 2 && start != 0; i++) {
            trio.follower = both[i];
            struct voter_wait wait = {.trio = &trio, .epoch = epochs[i]};
            cr_assert(sim_run_until_true(sim, 200 * SECOND_US, votes_again, &wait),
                      "seed %" PRIu64 ": n%u waits", seed, both[i] + 1u);
            lacked++;
        }
        if (start != 0) cr_assert(rot_is_repaired(trio.cluster, 10 * SECOND_US));
        cluster_destroy(trio.cluster);
    }
    cr_assert_gt(lacked, 0);
}

/* It brings nobody back, for the others would need that base first. It is whole otherwise, and lets another one lead. */
Test(simulated_damaged, a_leader_that_lost_its_start_hands_over_for_one_that_would_go)
{
    uint32_t lacked = 0;
    for (uint64_t seed = 141; seed < 149; seed++) {
        struct trio trio = make(seed);
        struct voter_wait wait = {.trio = &trio, .epoch = peek_at(&trio, trio.follower).epoch};
        const uint64_t start = start_inside_of_files(&trio, true);
        if (start != 0) {
            for (uint32_t nth = 0; nth < 2; nth++) { /* the base and its copy */
                char path[160];
                uint64_t bytes;
                cr_assert(rot_file(trio.cluster, trio.leader, trio.group, "base-", nth, path,
                                   sizeof(path), &bytes));
                rot_flip(trio.cluster, trio.leader, path, bytes / 2u);
            }
            lack_messages(&trio, trio.follower, start);
            find_damage(&trio, trio.follower);
            (void)rot_scrub(trio.cluster, trio.leader, 20 * SECOND_US);
            cr_assert(sim_run_until_true(trio.cluster->sim, 120 * SECOND_US, votes_again, &wait),
                      "seed %" PRIu64 ": it waits", seed);
            lacked++;
        }
        cluster_destroy(trio.cluster);
    }
    cr_assert_gt(lacked, 0);
}

/* The third asks for ever for what nobody keeps, until retention passes the file that it stands in. It would not go, so that it
 * has no place in front of one that would. */
Test(simulated_damaged, who_misses_nothing_that_is_kept_bars_nobody_from_going)
{
    uint32_t lacked = 0;
    for (uint64_t seed = 161; seed < 171; seed++) {
        struct trio trio = make(seed);
        struct voter_wait wait = {.trio = &trio, .epoch = peek_at(&trio, trio.follower).epoch};
        const uint64_t start = start_inside_of_files(&trio, false);
        if (start != 0) {
            const uint64_t epoch = peek_at(&trio, trio.third).epoch;
            rot_entry(&trio, trio.third, start);
            lack_messages(&trio, trio.follower, start);
            find_damage(&trio, trio.third); /* the follower finds its own when it is asked */
            cr_assert(sim_run_until_true(trio.cluster->sim, 60 * SECOND_US, votes_again, &wait),
                      "seed %" PRIu64 ": it waits", seed);
            cr_assert_eq(peek_at(&trio, trio.third).epoch, epoch, "it misses nothing");
            lacked++;
        }
        cluster_destroy(trio.cluster);
    }
    cr_assert_gt(lacked, 0);
}

static bool is_gone(const struct trio *trio, uint64_t epoch)
{
    struct peek_group peek;
    return !peek_group(trio->cluster->nodes[trio->follower].node, trio->group, &peek) ||
           peek.epoch != epoch;
}

/* As long as the third is away its answers make the majority: set aside it would stop the group. What the leader said before
 * counts for nothing when the third is back, and that is no majority before it has all that was acknowledged. */
Test(simulated_damaged, a_running_replica_that_is_needed_goes_on)
{
    struct trio trio = make(125);
    struct sim *sim = trio.cluster->sim;
    struct peek_group before;
    (void)lose_behind_the_tail(&trio, &before);
    cluster_start(trio.cluster, trio.follower);
    sim_run_for(sim, SECOND_US);
    cluster_crash(trio.cluster, trio.third, SIM_CRASH_KILL);
    sim_run_for(sim, 30 * SECOND_US);
    for (uint64_t i = 0; i < 2000; i++) {
        cr_assert_eq(cluster_produce(trio.cluster, trio.leader, ROT_TOPIC, i, -1, -1, NULL),
                     NODE_OK, "it counts");
    }
    cr_assert_not(is_gone(&trio, before.epoch));
    cluster_start(trio.cluster, trio.third);
    const uint64_t back_us = sim_now_us(sim);
    while (!is_gone(&trio, before.epoch) && sim_now_us(sim) - back_us < 60 * SECOND_US) {
        sim_run_for(sim, 1000);
    }
    cr_assert_geq(sim_now_us(sim) - back_us,
                  6u * trio.cluster->options.election_timeout_ms_max * 1000u);
    cr_assert_geq(peek_at(&trio, trio.third).durable_index,
                  peek_at(&trio, trio.leader).commit_index);
    struct voter_wait wait = {.trio = &trio, .epoch = before.epoch};
    cr_assert(sim_run_until_true(sim, 60 * SECOND_US, votes_again, &wait));
    cluster_destroy(trio.cluster);
}

/* The third goes down some time before the replica would have gone; 0: never. Returns when it went. */
static uint64_t go_while_the_third_dies(uint64_t early_us, uint64_t goes_us)
{
    struct trio trio = make(126);
    struct sim *sim = trio.cluster->sim;
    struct peek_group before;
    (void)lose_behind_the_tail(&trio, &before);
    cluster_start(trio.cluster, trio.follower);
    const uint64_t started_us = sim_now_us(sim);
    bool is_dead = early_us == 0;
    while (!is_gone(&trio, before.epoch) && sim_now_us(sim) - started_us < 15 * SECOND_US) {
        if (!is_dead && sim_now_us(sim) - started_us >= goes_us - early_us) {
            cluster_crash(trio.cluster, trio.third, SIM_CRASH_KILL);
            is_dead = true;
        }
        sim_run_for(sim, 1000);
    }
    const uint64_t went_us = sim_now_us(sim) - started_us;
    cluster_destroy(trio.cluster);
    return went_us;
}

/* It goes by what its leader says now, not by what it said a while ago. */
Test(simulated_damaged, a_running_replica_stays_when_another_one_dies_at_the_last_moment)
{
    const uint64_t goes_us = go_while_the_third_dies(0, 0);
    cr_assert_lt(goes_us, 15 * SECOND_US);
    for (uint64_t early_us = 1300000; early_us < goes_us; early_us += 300000) {
        cr_assert_geq(go_while_the_third_dies(early_us, goes_us), 15 * SECOND_US,
                      "it is gone though the third died %" PRIu64 " us before", early_us);
    }
}

/* Either of two could go while the other one stays. */
Test(simulated_damaged, of_two_running_replicas_that_nobody_can_mend_one_goes_after_the_other)
{
    struct trio trio = make(131);
    struct sim *sim = trio.cluster->sim;
    uint64_t epochs[3];
    for (uint64_t i = 0; i < 160; i++) {
        cr_assert_eq(cluster_produce(trio.cluster, trio.leader, ROT_TOPIC, i, -1, -1, NULL),
                     NODE_OK);
    }
    run_until_durable(&trio, trio.third, peek_at(&trio, trio.leader).last_index);
    lose_newer_and(&trio, trio.follower, 60);
    poke_make_base(trio.cluster->nodes[trio.leader].node, trio.group);
    sim_run_for(sim,
                5000); /* its base is committed, and its log not dropped yet: that needs a turn */
    lose_newer_and(&trio, trio.third, 60);
    sim_run_for(sim, SECOND_US);
    cr_assert_gt(peek_at(&trio, trio.leader).base_index, 60);
    cluster_start(trio.cluster, trio.follower);
    cluster_start(trio.cluster, trio.third);
    sim_run_for(sim, SECOND_US);
    for (uint32_t i = 0; i < 3; i++) {
        epochs[i] = peek_at(&trio, i).epoch;
        if (i != trio.leader) cr_assert_lt(peek_at(&trio, i).applied_index, 60, "n%u", i + 1u);
    }
    struct voter_wait wait = {.trio = &trio, .epoch = epochs[trio.follower]};
    cr_assert(sim_run_until_true(sim, 60 * SECOND_US, votes_again, &wait), "the one waits");
    trio.follower = trio.third;
    wait.epoch = epochs[trio.third];
    cr_assert(sim_run_until_true(sim, 60 * SECOND_US, votes_again, &wait), "the other one waits");
    cr_assert_eq(cluster_produce(trio.cluster, trio.leader, ROT_TOPIC, 1000, -1, -1, NULL),
                 NODE_OK);
    cluster_destroy(trio.cluster);
}

/* Two of three cannot do without it: it waits for the third, which may have what it lacks. */
Test(simulated_damaged, a_replica_that_is_needed_is_not_made_again)
{
    struct trio trio = make(115);
    struct peek_group before;
    const uint64_t index = lose_above_the_state(&trio, &before);
    trim_behind(&trio, index);
    cluster_crash(trio.cluster, trio.third, SIM_CRASH_KILL);
    cluster_start(trio.cluster, trio.follower);
    sim_run_for(trio.cluster->sim, 30 * SECOND_US);
    struct node_group_status status;
    cr_assert(cluster_group_status(trio.cluster, trio.follower, trio.group, &status));
    cr_assert_str_eq(status.role, "mending");
    struct voter_wait wait = {.trio = &trio, .epoch = before.epoch};
    cluster_start(trio.cluster, trio.third);
    cr_assert(sim_run_until_true(trio.cluster->sim, 60 * SECOND_US, votes_again, &wait));
    cluster_destroy(trio.cluster);
}
