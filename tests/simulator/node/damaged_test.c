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
#include "trio.h"

#define SECOND_US 1000000u

TestSuite(simulated_damaged, .timeout = 900);

/* ---- D3 ------------------------------------------------------------------------------------------------------------ */

/* An entry reaches the leader's disk and the follower's, the ack never arrives, and the follower's copy rots: there is one
 * whole copy. The leader sends the entry again, while the follower's disk hangs, so that nothing is repaired. An ack, which needs
 * no disk for what was durable, would commit the entry by a copy that is none. */
Test(simulated_damaged, a_follower_acknowledges_nothing_over_damage)
{
    for (uint64_t seed = 61; seed < 65; seed++) {
        struct trio trio = trio_make(seed);
        struct sim *sim = trio.cluster->sim;
        const uint64_t index = trio_peek(&trio, trio.leader).last_index + 1u;
        cluster_crash(trio.cluster, trio.third, SIM_CRASH_KILL);
        sim_set_link(sim, trio.follower, trio.leader, SIM_LINK_STALLED);
        struct cluster_call *call = trio_send(&trio, TRIO_MESSAGES);
        trio_run_until_durable(&trio, trio.leader, index);
        trio_run_until_durable(&trio, trio.follower, index);
        sim_isolate(sim, trio.follower, SIM_LINK_CUT);
        trio_rot_entry(&trio, trio.follower, index);
        cr_assert_geq(rot_scrub(trio.cluster, trio.follower, 20 * SECOND_US), 1);
        sim_hang_disk(sim, trio.follower, true);
        sim_heal(sim);
        for (uint32_t i = 0; i < 4000; i++) {
            sim_run_for(sim, 100);
            cr_assert_gt(trio_holes(&trio, trio.follower), 0);
            cr_assert_lt(trio_peek(&trio, trio.leader).commit_index, index,
                         "seed %" PRIu64 ": committed over damage", seed);
        }
        const struct peek_group leader = trio_peek(&trio, trio.leader);
        cr_assert_eq(leader.role, RAFT_LEADER);
        cr_assert_gt(peek_appends_rejected(&leader), 0, "it was sent again, and refused");
        sim_hang_disk(sim, trio.follower, false);
        cr_assert(rot_is_repaired(trio.cluster, 5 * SECOND_US));
        cr_assert(cluster_wait(call, 10 * SECOND_US));
        trio_forget(call);
        cr_assert_geq(cluster_wait_leader(trio.cluster, trio.group, 10 * SECOND_US), 0);
        cr_assert(cluster_produce_once(trio.cluster, trio.leader, ROT_TOPIC, TRIO_MESSAGES + 1u, -1,
                                       -1, 10 * SECOND_US, NULL));
        cluster_start(trio.cluster, trio.third);
        rot_expect_values(trio.cluster, TRIO_MESSAGES + 2u);
        cluster_destroy(trio.cluster);
    }
}

/* ---- D4: the cut --------------------------------------------------------------------------------------------------- */

/* Returns the index of an entry that only the leader's disk holds; all are down then. */
static uint64_t append_alone(const struct trio *trio)
{
    const uint64_t index = trio_peek(trio, trio->leader).last_index + 1u;
    sim_isolate(trio->cluster->sim, trio->leader, SIM_LINK_CUT);
    struct cluster_call *call = trio_send(trio, TRIO_MESSAGES);
    trio_run_until_durable(trio, trio->leader, index);
    for (uint32_t i = 0; i < 3; i++) {
        cluster_crash(trio->cluster, i, SIM_CRASH_KILL);
    }
    trio_forget(call);
    sim_heal(trio->cluster->sim);
    return index;
}

/* Never committed, on one disk alone, and that rots: both others never held it, so nobody can miss it. */
Test(simulated_damaged, what_a_majority_never_held_is_cut)
{
    for (uint64_t seed = 71; seed < 75; seed++) {
        struct trio trio = trio_make(seed);
        const uint64_t index = append_alone(&trio);
        trio_rot_entry(&trio, trio.leader, index);
        cluster_start_all(trio.cluster);
        cr_assert(rot_is_repaired(trio.cluster, 10 * SECOND_US), "seed %" PRIu64, seed);
        cr_assert_geq(cluster_wait_leader(trio.cluster, trio.group, 10 * SECOND_US), 0);
        cr_assert(cluster_produce_once(trio.cluster, 0, ROT_TOPIC, TRIO_MESSAGES, -1, -1,
                                       10 * SECOND_US, NULL));
        rot_expect_values(trio.cluster, TRIO_MESSAGES + 1u);
        cluster_destroy(trio.cluster);
    }
}

/* The same, and a file in front of it is lost on all, below a checkpoint: its repair is given up, and begun again for ever. Between
 * two such rounds no place of the node is taken: they are few, and other groups are to be mended. */
Test(simulated_damaged, a_cut_beside_damage_that_stays_takes_no_place_from_other_repairs)
{
    struct trio trio = {.cluster = rot_cluster(86, 3, 3, TRIO_MESSAGES, 4)};
    trio.group = cluster_group(trio.cluster, 0, ROT_TOPIC);
    const int leader = cluster_leader(trio.cluster, trio.group);
    cr_assert_geq(leader, 0);
    trio.leader = (uint32_t)leader;
    const uint64_t index = append_alone(&trio);
    trio_rot_entry(&trio, trio.leader, index);
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
    cr_assert_gt(trio_holes(&trio, trio.leader), 0, "nobody has that file");
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
        struct trio trio = trio_make(seed);
        struct sim *sim = trio.cluster->sim;
        sim_isolate(sim, trio.follower, SIM_LINK_CUT);
        cr_assert_eq(
            cluster_produce(trio.cluster, trio.leader, ROT_TOPIC, TRIO_MESSAGES, -1, -1, NULL),
            NODE_OK);
        const uint64_t index = trio_peek(&trio, trio.leader).last_index;
        trio_run_until_durable(&trio, trio.third, index);
        const uint64_t term = trio_peek(&trio, trio.leader).term;
        cluster_crash(trio.cluster, trio.leader, SIM_CRASH_KILL);
        sim_set_link(sim, trio.follower, trio.third, SIM_LINK_UP);
        sim_set_link(sim, trio.third, trio.follower, SIM_LINK_UP);
        /* The follower takes the new term with its vote, and then hears no more of the one it voted for. */
        for (uint32_t i = 0; trio_peek(&trio, trio.follower).hard_state.term == term ||
                             !trio_peek(&trio, trio.follower).hard_state_is_durable;
             i++) {
            cr_assert_lt(i, 100000u);
            sim_run_for(sim, 50);
        }
        cluster_crash(trio.cluster, trio.third, SIM_CRASH_KILL);
        cr_assert_lt(trio_peek(&trio, trio.follower).last_index, index);
        trio_rot_entry(&trio, trio.leader, index);
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
        rot_expect_values(trio.cluster, TRIO_MESSAGES + 1u);
        cluster_destroy(trio.cluster);
    }
}

/* ---- D5 ------------------------------------------------------------------------------------------------------------ */

Test(simulated_damaged, a_leader_takes_nothing_from_producers_until_it_is_whole)
{
    for (uint64_t seed = 91; seed < 95; seed++) {
        struct trio trio = trio_make(seed);
        struct sim *sim = trio.cluster->sim;
        trio_rot_entry(&trio, trio.leader, 20);
        cr_assert_gt(node_scrub(trio.cluster->nodes[trio.leader].node, NULL), 0);
        for (uint32_t i = 0; trio_holes(&trio, trio.leader) == 0; i++) {
            cr_assert_lt(i, 200000u, "not found");
            sim_run_for(sim, 100);
        }
        cr_assert_eq(trio_peek(&trio, trio.leader).role, RAFT_LEADER);
        const uint64_t last_index = trio_peek(&trio, trio.leader).last_index;
        struct cluster_call *call = trio_send(&trio, TRIO_MESSAGES);
        uint32_t looks = 0;
        while (trio_holes(&trio, trio.leader) > 0) {
            cr_assert_eq(trio_peek(&trio, trio.leader).last_index, last_index,
                         "seed %" PRIu64 ": taken while it was damaged", seed);
            cr_assert_lt(looks++, 200000u, "never repaired");
            sim_run_for(sim, 100);
        }
        cr_assert_gt(looks, 3, "it was looked at while it was damaged");
        cr_assert(cluster_wait(call, 10 * SECOND_US));
        cr_assert_eq(call->request.status, NODE_OK, "taken when it is whole");
        trio_forget(call);
        rot_expect_values(trio.cluster, TRIO_MESSAGES + 1u);
        cluster_destroy(trio.cluster);
    }
}

static struct trio trio_with_needless_damage(uint64_t seed)
{
    struct trio trio = trio_make_with(seed, 4);
    for (uint32_t i = 0; i < 3; i++) {
        cluster_crash(trio.cluster, i, SIM_CRASH_KILL); /* what is sealed is in no memory then */
        trio_rot_entry(&trio, i, 20);
    }
    cluster_start_all(trio.cluster);
    cr_assert_geq(cluster_wait_leader(trio.cluster, trio.group, 20 * SECOND_US), 0);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(rot_scrub(trio.cluster, i, 20 * SECOND_US), 1);
    }
    cr_assert(cluster_produce_once(trio.cluster, 0, ROT_TOPIC, TRIO_MESSAGES, -1, -1,
                                   20 * SECOND_US, NULL));
    sim_run_for(trio.cluster->sim, 5 * SECOND_US);
    trio.leader = (uint32_t)cluster_leader(trio.cluster, trio.group);
    trio.follower = (trio.leader + 1u) % 3u;
    trio.third = (trio.leader + 2u) % 3u;
    cr_assert_eq(trio_holes(&trio, trio.leader), 1);
    return trio;
}

/* More of the leader rots and is found; it takes nothing until that is repaired. */
static void expect_held_back(struct trio *trio, uint64_t seed)
{
    struct sim *sim = trio->cluster->sim;
    trio_rot_entry(trio, trio->leader, 8);
    cr_assert_gt(node_scrub(trio->cluster->nodes[trio->leader].node, NULL), 0);
    for (uint32_t i = 0; trio_holes(trio, trio->leader) == 1; i++) {
        cr_assert_lt(i, 200000u, "not found");
        sim_run_for(sim, 100);
    }
    cr_assert_eq(trio_peek(trio, trio->leader).role, RAFT_LEADER);
    const uint64_t last_index = trio_peek(trio, trio->leader).last_index;
    struct cluster_call *call = trio_send(trio, TRIO_MESSAGES + 1u);
    uint32_t looks = 0;
    while (trio_holes(trio, trio->leader) > 1) {
        const struct peek_group peek = trio_peek(trio, trio->leader);
        if (peek.role !=
            RAFT_LEADER) { /* it handed over: who is whole takes it, or the client asks again */
            trio_forget(call);
            return;
        }
        cr_assert_eq(peek.last_index, last_index, "seed %" PRIu64 ": taken while it was damaged",
                     seed);
        cr_assert_lt(looks++, 200000u, "never repaired");
        sim_run_for(sim, 100);
    }
    cr_assert_gt(looks, 3, "it was looked at while it was damaged");
    cr_assert(cluster_wait(call, 20 * SECOND_US));
    trio_forget(call);
    cr_assert_eq(rot_found(trio->cluster, trio->leader), 2, "each is told once");
}

/* Damage that nobody can mend and no state needs holds nothing back. What is found beside it was not tried yet. */
Test(simulated_damaged, a_leader_takes_nothing_when_more_damage_is_found_until_that_was_tried)
{
    for (uint64_t seed = 121; seed < 125; seed++) {
        struct trio trio = trio_with_needless_damage(seed);
        expect_held_back(&trio, seed);
        cluster_destroy(trio.cluster);
    }
}

/* ... also not by the round that is under way, which has passed it already and ends in vain. One member is silent, so that
 * rounds last. */
Test(simulated_damaged, a_round_of_repair_counts_for_nothing_that_was_found_while_it_ran)
{
    for (uint64_t seed = 131; seed < 139; seed++) {
        struct trio trio = trio_with_needless_damage(seed);
        sim_set_link(trio.cluster->sim, trio.third, trio.leader, SIM_LINK_STALLED);
        sim_run_for(trio.cluster->sim, (seed - 130u) * SECOND_US / 8u);
        expect_held_back(&trio, seed);
        cluster_destroy(trio.cluster);
    }
}

/* ---- D7 ------------------------------------------------------------------------------------------------------------ */

/* In the newest file, which every start reads, and at or below a checkpoint of everybody: the group goes on without it. */
Test(simulated_damaged, what_is_damaged_everywhere_and_no_state_needs_halts_no_group)
{
    struct trio trio = {.cluster = rot_cluster(96, 3, 3, TRIO_MESSAGES, 4)};
    trio.group = cluster_group(trio.cluster, 0, ROT_TOPIC);
    uint64_t index = UINT64_MAX;
    for (uint32_t i = 0; i < 3; i++) {
        const uint64_t checkpoint = trio_peek(&trio, i).checkpoint_index;
        if (checkpoint < index) index = checkpoint;
    }
    for (uint32_t i = 0; i < 3; i++) {
        cluster_crash(trio.cluster, i, SIM_CRASH_KILL);
        trio_rot_entry(&trio, i, index);
    }
    cluster_start_all(trio.cluster);
    for (uint32_t i = 0; i < 3; i++) {
        struct node_group_status status;
        cr_assert(cluster_group_status(trio.cluster, i, trio.group, &status));
        cr_assert_str_eq(status.role, "mending", "n%u found it", i + 1u);
    }
    cr_assert_geq(cluster_wait_leader(trio.cluster, trio.group, 20 * SECOND_US), 0);
    cr_assert(cluster_produce_once(trio.cluster, 0, ROT_TOPIC, TRIO_MESSAGES, -1, -1,
                                   20 * SECOND_US, NULL));
    cluster_destroy(trio.cluster);
}

/* ---- D8 ------------------------------------------------------------------------------------------------------------ */

/* What it acknowledged is gone with the power, as from a disk that lies about syncs: its files are those of a moment before. The
 * leader goes by that ack. Nothing is lost, for the third has it, too. */
Test(simulated_damaged, a_member_that_lacks_what_it_acknowledged_is_told_and_caught_up)
{
    for (uint64_t seed = 101; seed < 105; seed++) {
        struct trio trio = trio_make(seed);
        struct sim *sim = trio.cluster->sim;
        const uint64_t term = trio_peek(&trio, trio.leader).term;
        struct disk *before = memory_disk_clone(sim_memory_disk(sim, trio.follower), seed);
        for (uint64_t i = 0; i < 4; i++) {
            cr_assert_eq(cluster_produce(trio.cluster, trio.leader, ROT_TOPIC, TRIO_MESSAGES + i,
                                         -1, -1, NULL),
                         NODE_OK);
        }
        const uint64_t index = trio_peek(&trio, trio.leader).last_index;
        trio_run_until_durable(&trio, trio.follower, index);
        trio_run_until_durable(&trio, trio.third, index);
        cluster_crash(trio.cluster, trio.follower, SIM_CRASH_KILL);
        sim_restore_disk(sim, trio.follower, before);
        invariants_excuse(trio.cluster->invariants, trio.follower);
        cluster_start(trio.cluster, trio.follower);
        cr_assert_lt(trio_peek(&trio, trio.follower).last_index, index);
        trio_run_until_durable(&trio, trio.follower, index);
        const struct peek_group leader = trio_peek(&trio, trio.leader);
        cr_assert_eq(leader.term, term, "seed %" PRIu64 ": the same leader", seed);
        cr_assert_geq(peek_regressions(&leader), 1, "seed %" PRIu64, seed);
        cluster_crash(trio.cluster, trio.third, SIM_CRASH_KILL);
        cr_assert_eq(
            cluster_produce(trio.cluster, trio.leader, ROT_TOPIC, TRIO_MESSAGES + 4u, -1, -1, NULL),
            NODE_OK, "it counts again");
        rot_expect_values(trio.cluster, TRIO_MESSAGES + 5u);
        cluster_destroy(trio.cluster);
    }
}

/* Only the leader and a member whose disk lies have the newest messages; it hears so from the leader, which is gone before it is
 * caught up. With the third it would be a majority that has lost them: it gives no vote, and they wait for the leader. */
Test(simulated_damaged, a_member_that_lacks_what_it_acknowledged_elects_nobody_who_lacks_it)
{
    uint32_t cut_short = 0;
    for (uint64_t seed = 111; seed < 119; seed++) {
        struct trio trio = trio_make(seed);
        struct sim *sim = trio.cluster->sim;
        struct disk *before = memory_disk_clone(sim_memory_disk(sim, trio.follower), seed);
        cluster_crash(trio.cluster, trio.third, SIM_CRASH_KILL);
        for (uint64_t i = 0; i < 4; i++) {
            cr_assert_eq(cluster_produce(trio.cluster, trio.leader, ROT_TOPIC, TRIO_MESSAGES + i,
                                         -1, -1, NULL),
                         NODE_OK);
        }
        const uint64_t index = trio_peek(&trio, trio.leader).last_index;
        cluster_crash(trio.cluster, trio.follower, SIM_CRASH_KILL);
        sim_restore_disk(sim, trio.follower, before);
        invariants_excuse(trio.cluster->invariants, trio.follower);
        cluster_start(trio.cluster, trio.follower);
        struct peek_group follower;
        for (uint32_t i = 0; i < 2000000u; i++) {
            follower = trio_peek(&trio, trio.follower);
            if (peek_pledged_index(&follower) != 0) break;
            cr_assert(sim_step(sim));
        }
        cr_assert_eq(peek_pledged_index(&follower), index, "seed %" PRIu64, seed);
        sim_isolate(sim, trio.leader, SIM_LINK_CUT);
        follower = trio_peek(&trio, trio.follower);
        cut_short += follower.last_index < index;
        cluster_start(trio.cluster, trio.third);
        sim_run_for(sim, 20 * SECOND_US);
        const struct peek_group third = trio_peek(&trio, trio.third);
        if (follower.last_index < index) {
            cr_assert_neq(third.role, RAFT_LEADER, "seed %" PRIu64, seed);
        }
        sim_heal(sim);
        cr_assert_geq(cluster_wait_leader(trio.cluster, trio.group, 20 * SECOND_US), 0);
        rot_expect_values(trio.cluster, TRIO_MESSAGES + 4u);
        cluster_destroy(trio.cluster);
    }
    cr_assert_gt(cut_short, 0);
}

static void refuse_late(const struct trio *trio)
{
    const struct peek_group leader = trio_peek(trio, trio->leader);
    const struct peek_group follower = trio_peek(trio, trio->follower);
    const struct raft_message refusal = {
        .type = RAFT_MESSAGE_APPEND_REPLY,
        .group = trio->group,
        .from = {.node = trio->follower + 1u, .epoch = follower.epoch},
        .to = {.node = trio->leader + 1u, .epoch = leader.epoch},
        .term = leader.term,
        .refusal = RAFT_REFUSED_LOG_GAP,
        .append_reply = {.request_index = 2, .hint_index = 1, .hint_term = 1},
    };
    poke_message(trio->cluster->nodes[trio->leader].node, &refusal);
}

static void hand_over(const struct trio *trio, uint32_t from, uint32_t to)
{
    cr_assert_eq(poke_transfer(trio->cluster->nodes[from].node, trio->group, to + 1u), RAFT_OK);
    for (uint32_t i = 0; trio_peek(trio, to).role != RAFT_LEADER; i++) {
        cr_assert_lt(i, 5000u);
        sim_run_for(trio->cluster->sim, 1000);
    }
}

/* Once is no time: an answer may have been on its way for long. One in a term and one in a later term are once each. */
Test(simulated_damaged, a_late_refusal_of_an_earlier_term_is_not_held_against_a_member)
{
    struct trio trio = trio_make(111);
    struct sim *sim = trio.cluster->sim;
    const uint64_t durable = trio_peek(&trio, trio.follower).durable_index;
    sim_isolate(sim, trio.follower, SIM_LINK_CUT);
    sim_run_for(sim, SECOND_US);
    cr_assert_eq(trio_peek(&trio, trio.leader).role, RAFT_LEADER);
    refuse_late(&trio);
    hand_over(&trio, trio.leader, trio.third);
    hand_over(&trio, trio.third, trio.leader);
    /* It answers a heartbeat in this term, and no APPEND yet. */
    const struct peek_group leader = trio_peek(&trio, trio.leader);
    const struct peek_group follower = trio_peek(&trio, trio.follower);
    const struct raft_message beat = {
        .type = RAFT_MESSAGE_HEARTBEAT_REPLY,
        .group = trio.group,
        .from = {.node = trio.follower + 1u, .epoch = follower.epoch},
        .to = {.node = trio.leader + 1u, .epoch = leader.epoch},
        .term = leader.term,
        .heartbeat_reply = {.match_index = durable},
    };
    poke_message(trio.cluster->nodes[trio.leader].node, &beat);
    refuse_late(&trio);
    const struct peek_group first = trio_peek(&trio, trio.leader);
    cr_assert_eq(peek_regressions(&first), 0, "the first one in this term");
    refuse_late(&trio);
    const struct peek_group second = trio_peek(&trio, trio.leader);
    cr_assert_eq(peek_regressions(&second), 1, "and the second");
    cluster_destroy(trio.cluster);
}

/* The last entry that was committed rots on a node whose state has it, and whose tail lost: where the tail is to be cut only the
 * damaged entry knew the chain. The node runs, for its state covers the damage, and has nothing in memory. */
Test(simulated_damaged, a_tail_that_lost_right_behind_damage_is_cut_when_that_is_mended)
{
    for (uint64_t seed = 151; seed < 155; seed++) {
        struct trio trio = trio_make_with(seed, 1);
        struct sim *sim = trio.cluster->sim;
        for (uint64_t i = 0; i < 5u; i++) { /* into the middle of a file */
            cr_assert_eq(cluster_produce(trio.cluster, trio.leader, ROT_TOPIC, i, -1, -1, NULL),
                         NODE_OK);
        }
        for (uint32_t i = 0; trio_peek(&trio, trio.leader).checkpoint_index !=
                             trio_peek(&trio, trio.leader).last_index;
             i++) {
            cr_assert_lt(i, 5000u);
            sim_run_for(sim, 1000);
        }
        const struct peek_group before = trio_peek(&trio, trio.leader);
        sim_isolate(sim, trio.leader, SIM_LINK_CUT);
        struct cluster_call *calls[3];
        for (uint32_t i = 0; i < 3;
             i++) { /* more than one, so that no mark tells what is in front of them */
            calls[i] = trio_send(&trio, TRIO_MESSAGES);
            trio_run_until_durable(&trio, trio.leader, before.last_index + 1u + i);
        }
        cluster_crash(trio.cluster, trio.leader, SIM_CRASH_KILL);
        for (uint32_t i = 0; i < 3; i++) {
            trio_forget(calls[i]);
        }
        trio_rot_entry(&trio, trio.leader, before.last_index);
        cr_assert(cluster_produce_once(trio.cluster, trio.third, ROT_TOPIC, TRIO_MESSAGES, -1, -1,
                                       20 * SECOND_US, NULL));
        cluster_start(trio.cluster, trio.leader);
        sim_run_for(sim, 5 * SECOND_US);
        cr_assert_eq(trio_peek(&trio, trio.leader).last_index, before.last_index + 3u);
        cr_assert_eq(rot_scrub(trio.cluster, trio.leader, 20 * SECOND_US), 1);
        sim_hang_disk(sim, trio.leader, true); /* entries come before it is mended */
        sim_heal(sim);
        sim_run_for(sim, SECOND_US / 2u);
        sim_hang_disk(sim, trio.leader, false);
        cr_assert(rot_is_repaired(trio.cluster, 20 * SECOND_US));
        sim_run_for(sim, SECOND_US);
        cr_assert_eq(trio_peek(&trio, trio.leader).last_index,
                     trio_peek(&trio, trio.third).last_index);
        cluster_destroy(trio.cluster);
    }
}

/* ---- entries in doubt ------------------------------------------------------------------------------------------------ */

/* The follower comes to lead, and nobody hears of it: the first entry of its term is on its disk alone, and rots while all nodes are
 * down. Returns whether the others have the entry `last` in front of it and nothing behind. */
static bool rot_a_first_entry(struct trio *trio, uint64_t last)
{
    struct cluster *cluster = trio->cluster;
    struct sim *sim = cluster->sim;
    cr_assert_eq(poke_transfer(cluster->nodes[trio->leader].node, trio->group, trio->follower + 1u),
                 RAFT_OK);
    while (!trio_follower_leads(trio)) {
        sim_run_for(sim, 5);
    }
    sim_isolate(sim, trio->follower, SIM_LINK_CUT);
    trio_run_until_durable(trio, trio->follower, last + 1u);
    sim_run_for(sim, 50000); /* its mark, too */
    const bool is_alone = trio_peek(trio, trio->leader).last_index == last &&
                          trio_peek(trio, trio->third).last_index <= last;
    for (uint32_t i = 0; i < 3u; i++) {
        cluster_crash(cluster, i, SIM_CRASH_KILL);
    }
    sim_heal(sim);
    trio_rot_entry(trio, trio->follower, last + 1u);
    return is_alone;
}

static uint32_t produce_some(const struct trio *trio, uint32_t values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(cluster_produce_once(trio->cluster, trio->leader, ROT_TOPIC, values++, -1, -1,
                                       10 * SECOND_US, NULL));
    }
    return values;
}

/* What follows by its chain in front of it is in doubt, for the damage begins a term; and it is believed when the damage goes. */
Test(simulated_damaged, what_a_majority_never_held_is_cut_behind_entries_in_doubt)
{
    uint32_t tried = 0;
    for (uint32_t count = 0; count < 19u; count++) {
        struct trio trio = trio_make(71 + count);
        struct cluster *cluster = trio.cluster;
        const uint32_t values = produce_some(&trio, TRIO_MESSAGES, count);
        sim_run_for(cluster->sim, 20000);
        if (rot_a_first_entry(&trio, trio_peek(&trio, trio.leader).last_index)) {
            tried++;
            cluster_start_all(cluster);
            cr_assert(rot_is_repaired(cluster, 10 * SECOND_US));
            cr_assert(
                cluster_produce_once(cluster, 0, ROT_TOPIC, values, -1, -1, 10 * SECOND_US, NULL));
            rot_expect_values(cluster, values + 1u);
            cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        }
        cluster_destroy(cluster);
    }
    cr_assert_gt(tried, 10);
}

static bool follower_works(void *data)
{
    const struct trio *trio = data;
    struct node_group_status status;
    return cluster_group_status(trio->cluster, trio->follower, trio->group, &status) &&
           status.role[0] && strcmp(status.role, "mending") != 0;
}

/* Two have an acked message, one of them in front of such damage: it counts on it when the other one is away. */
Test(simulated_damaged, what_was_acked_is_kept_among_entries_in_doubt)
{
    uint32_t tried = 0;
    for (uint32_t count = 0; count < 12u; count++) {
        struct trio trio = trio_make(71 + count);
        struct cluster *cluster = trio.cluster;
        struct sim *sim = cluster->sim;
        uint32_t values = produce_some(&trio, TRIO_MESSAGES, count);
        sim_run_for(sim, 20000);
        sim_isolate(sim, trio.third, SIM_LINK_CUT);
        values = produce_some(&trio, values, 1);
        sim_run_for(sim, 20000);
        const uint64_t last = trio_peek(&trio, trio.leader).last_index;
        if (rot_a_first_entry(&trio, last)) {
            tried++;
            cluster_start_all(cluster);
            cr_assert(sim_run_until_true(sim, 10 * SECOND_US, follower_works, &trio));
            cluster_crash(cluster, trio.leader, SIM_CRASH_KILL);
            sim_run_for(sim, 5 * SECOND_US);
            cluster_start(cluster, trio.leader);
            sim_run_for(sim, 5 * SECOND_US);
            cr_assert(cluster_produce_once(cluster, trio.third, ROT_TOPIC, values, -1, -1,
                                           20 * SECOND_US, NULL));
            rot_expect_values(cluster, values + 1u);
            cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        }
        cluster_destroy(cluster);
    }
    cr_assert_gt(tried, 6);
}
