/* Goal: a replica that nobody can mend, and that its leader does without, is made again, one at a time; one that is needed stays
 * (PROTOCOL M5, docs/decisions/0011). Method: simulated clusters in which what is damaged on one node was trimmed on the others,
 * above its state or below, found at its start or while it runs. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
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

TestSuite(simulated_unmendable, .timeout = 900);

/* The follower goes down with damage above its state. Returns where: a base follows the first of these messages, and the crash
 * comes before the next one is due. */
static uint64_t lose_above_the_state(const struct trio *trio, struct peek_group *ret_before)
{
    for (uint64_t i = 0; i < 12; i++) {
        if (i == 1) sim_run_for(trio->cluster->sim, 60000);
        cr_assert_eq(cluster_produce(trio->cluster, trio->leader, ROT_TOPIC, i, -1, -1, NULL),
                     NODE_OK);
    }
    trio_run_until_durable(trio, trio->follower, trio_peek(trio, trio->leader).last_index);
    *ret_before = trio_peek(trio, trio->follower);
    const uint64_t index = ret_before->last_index - 1u;
    cr_assert_lt(ret_before->checkpoint_index, index);
    cluster_crash(trio->cluster, trio->follower, SIM_CRASH_KILL);
    trio_rot_entry(trio, trio->follower, index);
    return index;
}

/* The others keep nothing of what this entry lies in. */
static void trim_behind(const struct trio *trio, uint64_t index)
{
    uint64_t value = TRIO_MESSAGES;
    for (uint32_t i = 0; trio_peek(trio, trio->leader).base_index <= index ||
                         trio_peek(trio, trio->third).base_index <= index;
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
Test(simulated_unmendable, a_replica_that_nobody_can_mend_is_made_again)
{
    for (uint64_t seed = 111; seed < 114; seed++) {
        struct trio trio = trio_make(seed);
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
Test(simulated_unmendable, a_replica_that_nobody_can_mend_is_made_again_whatever_else_is_bad)
{
    for (uint64_t seed = 111; seed < 114; seed++) {
        struct trio trio = trio_make(seed);
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
        cr_assert_eq(trio_holes(&trio, trio.follower), 2);
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
    const uint64_t base_index = trio_peek(trio, node).base_index;
    cr_assert_lt(base_index, index);
    cluster_crash(trio->cluster, node, SIM_CRASH_KILL);
    trio_rot_entry(trio, node, index);
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
    trio_run_until_durable(trio, trio->follower, trio_peek(trio, trio->leader).last_index);
    *ret_before = trio_peek(trio, trio->follower);
    const uint64_t index = ret_before->base_index + 60u;
    lose_newer_and(trio, trio->follower, index);
    poke_make_base(trio->cluster->nodes[trio->leader].node, trio->group);
    poke_make_base(trio->cluster->nodes[trio->third].node, trio->group);
    sim_run_for(trio->cluster->sim, SECOND_US);
    for (uint32_t other = 0; other < 3u; other++) {
        if (other == trio->follower) continue;
        const uint64_t base_index = trio_peek(trio, other).base_index;
        cr_assert(base_index > index && base_index <= ret_before->last_index,
                  "n%u starts at %" PRIu64, other + 1u, base_index);
    }
    return index;
}

/* Its tail was never committed, and the others have gone another way: what they supply for the damaged front of it does not lead
 * to the rest. */
Test(simulated_unmendable, a_replica_with_a_damaged_tail_that_lost_is_made_again)
{
    for (uint64_t seed = 116; seed < 119; seed++) {
        struct trio trio = trio_make(seed);
        struct sim *sim = trio.cluster->sim;
        const struct peek_group before = trio_peek(&trio, trio.leader);
        struct cluster_call *calls[4];
        sim_isolate(sim, trio.leader, SIM_LINK_CUT);
        for (uint32_t i = 0; i < 4; i++) {
            calls[i] = trio_send(&trio, TRIO_MESSAGES);
            trio_run_until_durable(&trio, trio.leader, before.last_index + 1u + i);
        }
        cluster_crash(trio.cluster, trio.leader, SIM_CRASH_KILL);
        for (uint32_t i = 0; i < 4; i++) {
            trio_forget(calls[i]);
        }
        trio_rot_entry(&trio, trio.leader, before.last_index + 1u);
        sim_heal(sim);
        for (uint32_t i = 0; i < 4; i++) {
            cr_assert(cluster_produce_once(trio.cluster, trio.third, ROT_TOPIC, TRIO_MESSAGES + i,
                                           -1, -1, 20 * SECOND_US, NULL));
        }
        trio.follower = trio.leader;
        cluster_start(trio.cluster, trio.follower);
        struct voter_wait wait = {.trio = &trio, .epoch = before.epoch};
        cr_assert(sim_run_until_true(sim, 60 * SECOND_US, votes_again, &wait),
                  "seed %" PRIu64 ": it waits", seed);
        rot_expect_values(trio.cluster, TRIO_MESSAGES + 4u);
        cluster_destroy(trio.cluster);
    }
}

/* Found when it is applied: the replica runs by then, and answers its leader. */
Test(simulated_unmendable, a_running_replica_that_nobody_can_mend_is_made_again)
{
    for (uint64_t seed = 121; seed < 124; seed++) {
        struct trio trio = trio_make(seed);
        struct sim *sim = trio.cluster->sim;
        struct peek_group before;
        const uint64_t index = lose_behind_the_tail(&trio, &before);
        cluster_start(trio.cluster, trio.follower);
        sim_run_for(sim, SECOND_US);
        struct node_group_status status;
        cr_assert(cluster_group_status(trio.cluster, trio.follower, trio.group, &status));
        cr_assert_str_eq(status.role, "follower", "seed %" PRIu64, seed);
        cr_assert_lt(trio_peek(&trio, trio.follower).applied_index, index);
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
    const uint64_t start = trio_peek(trio, trio->leader).base_index;
    for (uint32_t node = 0; node < 3; node++) {
        char front[160], behind[160];
        if (node == trio->leader) continue;
        const uint64_t own_start = trio_peek(trio, node).base_index;
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

/* Such clusters, one after the other: from the seed on, up to last. */
struct gaps {
    uint64_t seed, last;
    bool third_too;
    struct trio trio;
    uint64_t start;
    struct voter_wait wait; /* for the follower; set its place anew for another one */
};

/* False: no more. Else cluster_destroy() it. */
static bool next_gap(struct gaps *gaps)
{
    while (gaps->seed < gaps->last) {
        gaps->trio = trio_make(++gaps->seed);
        gaps->start = start_inside_of_files(&gaps->trio, gaps->third_too);
        gaps->wait = (struct voter_wait){
            .trio = &gaps->trio, .epoch = trio_peek(&gaps->trio, gaps->trio.follower).epoch};
        if (gaps->start != 0) return true;
        cluster_destroy(gaps->trio.cluster);
    }
    return false;
}

static void wait_for_vote(struct gaps *gaps, uint64_t us)
{
    cr_assert(sim_run_until_true(gaps->trio.cluster->sim, us, votes_again, &gaps->wait),
              "seed %" PRIu64 ": n%u waits", gaps->seed, gaps->trio.follower + 1u);
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
    trio_rot_entry(trio, node, start);
    trio_rot_entry(trio, node, start + 1u);
}

static void find_damage(const struct trio *trio, uint32_t node)
{
    cr_assert_geq(rot_scrub(trio->cluster, node, 20 * SECOND_US), 1);
}

/* Its state has what is damaged, and it does everything but to give those messages; a leader, too, until it hands over. */
Test(simulated_unmendable, a_replica_that_nobody_can_give_its_messages_is_made_again)
{
    uint32_t lacked = 0;
    struct gaps gaps = {.seed = 140, .last = 148, .third_too = true};
    while (next_gap(&gaps)) {
        struct trio *trio = &gaps.trio;
        if (gaps.seed % 2 == 0) transfer_to(trio, trio->follower);
        lack_messages(trio, trio->follower, gaps.start);
        /* and one in a file in front of it, which nobody keeps any more: its own matter changes nothing */
        trio_rot_entry(trio, trio->follower, trio_peek(trio, trio->follower).base_index + 1u);
        find_damage(trio, trio->follower);
        wait_for_vote(&gaps, 60 * SECOND_US);
        cr_assert(rot_is_repaired(trio->cluster, 10 * SECOND_US));
        lacked |= 1u << gaps.seed % 2;
        cluster_destroy(trio->cluster);
    }
    cr_assert_eq(lacked, 3, "no follower, or no leader lacked messages");
}

/* One of them leads: it hands over to the third, which is whole, and not to the other one, which would hand it back. */
Test(simulated_unmendable, of_two_replicas_that_lack_messages_one_is_made_again_after_the_other)
{
    uint32_t lacked = 0;
    struct gaps gaps = {.seed = 160, .last = 170};
    while (next_gap(&gaps)) {
        struct trio *trio = &gaps.trio;
        const uint64_t epoch_of_third = trio_peek(trio, trio->third).epoch;
        lack_messages(trio, trio->follower, gaps.start);
        lack_messages(trio, trio->third, gaps.start);
        transfer_to(trio, trio->follower);
        find_damage(trio, trio->follower);
        find_damage(trio, trio->third);
        wait_for_vote(&gaps, 200 * SECOND_US);
        trio->follower = trio->third;
        gaps.wait.epoch = epoch_of_third;
        wait_for_vote(&gaps, 200 * SECOND_US);
        cr_assert(rot_is_repaired(trio->cluster, 10 * SECOND_US));
        lacked++;
        cluster_destroy(trio->cluster);
    }
    cr_assert_gt(lacked, 0);
}

/* It brings nobody back, for the others would need that base first. It is whole otherwise, and lets another one lead. */
Test(simulated_unmendable, a_leader_that_lost_its_start_hands_over_for_one_that_would_go)
{
    uint32_t lacked = 0;
    struct gaps gaps = {.seed = 140, .last = 148, .third_too = true};
    while (next_gap(&gaps)) {
        struct trio *trio = &gaps.trio;
        for (uint32_t nth = 0; nth < 2; nth++) { /* the base and its copy */
            char path[160];
            uint64_t bytes;
            cr_assert(rot_file(trio->cluster, trio->leader, trio->group, "base-", nth, path,
                               sizeof(path), &bytes));
            rot_flip(trio->cluster, trio->leader, path, bytes / 2u);
        }
        lack_messages(trio, trio->follower, gaps.start);
        find_damage(trio, trio->follower);
        (void)rot_scrub(trio->cluster, trio->leader, 20 * SECOND_US);
        wait_for_vote(&gaps, 120 * SECOND_US);
        lacked++;
        cluster_destroy(trio->cluster);
    }
    cr_assert_gt(lacked, 0);
}

/* The third asks for what nobody keeps, until retention passes the file that it stands in. It would not go, so that it has no place
 * in front of one that would; and no message that is kept is damaged there, so nobody is told to act. */
Test(simulated_unmendable, who_misses_nothing_that_is_kept_bars_nobody_from_going)
{
    uint32_t lacked = 0;
    struct gaps gaps = {.seed = 160, .last = 170};
    while (next_gap(&gaps)) {
        struct trio *trio = &gaps.trio;
        const uint64_t epoch = trio_peek(trio, trio->third).epoch;
        trio_rot_entry(trio, trio->third, gaps.start);
        lack_messages(trio, trio->follower, gaps.start);
        cr_assert_eq(rot_scrub(trio->cluster, trio->third, 20 * SECOND_US), 0);
        cr_assert_geq(rot_found(trio->cluster, trio->third), 1);
        wait_for_vote(&gaps, 60 * SECOND_US); /* the follower finds its own when it is asked */
        cr_assert_eq(trio_peek(trio, trio->third).epoch, epoch, "it misses nothing");
        lacked++;
        cluster_destroy(trio->cluster);
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
Test(simulated_unmendable, a_running_replica_that_is_needed_goes_on)
{
    struct trio trio = trio_make(125);
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
    cr_assert_geq(trio_peek(&trio, trio.third).durable_index,
                  trio_peek(&trio, trio.leader).commit_index);
    struct voter_wait wait = {.trio = &trio, .epoch = before.epoch};
    cr_assert(sim_run_until_true(sim, 60 * SECOND_US, votes_again, &wait));
    cluster_destroy(trio.cluster);
}

/* The third goes down some time before the replica would have gone; 0: never. Returns when it went. */
static uint64_t go_while_the_third_dies(uint64_t early_us, uint64_t goes_us)
{
    struct trio trio = trio_make(126);
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
Test(simulated_unmendable, a_running_replica_stays_when_another_one_dies_at_the_last_moment)
{
    const uint64_t goes_us = go_while_the_third_dies(0, 0);
    cr_assert_lt(goes_us, 15 * SECOND_US);
    for (uint64_t early_us = 1300000; early_us < goes_us; early_us += 300000) {
        cr_assert_geq(go_while_the_third_dies(early_us, goes_us), 15 * SECOND_US,
                      "it is gone though the third died %" PRIu64 " us before", early_us);
    }
}

/* Either of two could go while the other one stays. */
Test(simulated_unmendable, of_two_running_replicas_that_nobody_can_mend_one_goes_after_the_other)
{
    struct trio trio = trio_make(131);
    struct sim *sim = trio.cluster->sim;
    uint64_t epochs[3];
    for (uint64_t i = 0; i < 160; i++) {
        cr_assert_eq(cluster_produce(trio.cluster, trio.leader, ROT_TOPIC, i, -1, -1, NULL),
                     NODE_OK);
    }
    trio_run_until_durable(&trio, trio.third, trio_peek(&trio, trio.leader).last_index);
    lose_newer_and(&trio, trio.follower, 60);
    poke_make_base(trio.cluster->nodes[trio.leader].node, trio.group);
    sim_run_for(sim,
                5000); /* its base is committed, and its log not dropped yet: that needs a turn */
    lose_newer_and(&trio, trio.third, 60);
    sim_run_for(sim, SECOND_US);
    cr_assert_gt(trio_peek(&trio, trio.leader).base_index, 60);
    cluster_start(trio.cluster, trio.follower);
    cluster_start(trio.cluster, trio.third);
    sim_run_for(sim, SECOND_US);
    for (uint32_t i = 0; i < 3; i++) {
        epochs[i] = trio_peek(&trio, i).epoch;
        if (i != trio.leader) cr_assert_lt(trio_peek(&trio, i).applied_index, 60, "n%u", i + 1u);
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
Test(simulated_unmendable, a_replica_that_is_needed_is_not_made_again)
{
    struct trio trio = trio_make(115);
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

/* ---- group 0 ---------------------------------------------------------------------------------------------------------------- */

#define META        0u
#define RECORDS_POS 12288u /* of the first record in a segment file */

static struct peek_group peek_group_0(const struct trio *trio, uint32_t node)
{
    struct peek_group peek;
    cr_assert(peek_group(trio->cluster->nodes[node].node, META, &peek));
    return peek;
}

/* The others start their logs behind what this follower still has, in one file or, `rolled`, in two. */
static void leave_behind_in_meta(const struct trio *trio, bool rolled)
{
    struct cluster *cluster = trio->cluster;
    if (rolled) poke_make_base(cluster->nodes[trio->follower].node, META);
    for (uint32_t i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof(name), "more-%u", i);
        cr_assert_eq(cluster_create_topic(cluster, trio->leader, name, 3), NODE_OK);
        sim_run_for(cluster->sim, SECOND_US);
        if (i == 2) break; /* the checkpoint of all is newer than the damage */
        poke_make_base(cluster->nodes[trio->leader].node, META);
        poke_make_base(cluster->nodes[trio->third].node, META);
        sim_run_for(cluster->sim, SECOND_US);
    }
    cr_assert_gt(peek_group_0(trio, trio->leader).base_index, 1);
    cr_assert_gt(peek_group_0(trio, trio->third).base_index, 1);
    cr_assert_eq(peek_group_0(trio, trio->follower).base_index, 0);
}

/* Nothing is written to group 0 any more, so it is no later base that makes up for it. */
Test(simulated_unmendable, group_0_starts_behind_what_nobody_can_mend)
{
    for (uint64_t seed = 160; seed < 163; seed++) {
        const bool is_lost = seed == 162;
        struct trio trio = trio_make_with(seed, 1);
        struct cluster *cluster = trio.cluster;
        leave_behind_in_meta(&trio, /* rolled= */ seed != 160);
        char path[160];
        uint64_t file_bytes;
        cr_assert(rot_file(cluster, trio.follower, META, NULL, 0, path, sizeof(path), &file_bytes));
        cluster_crash(cluster, trio.follower, SIM_CRASH_KILL);
        if (is_lost) {
            rot_remove(cluster, trio.follower, path);
        } else {
            rot_flip(cluster, trio.follower, path, RECORDS_POS + 3u);
        }
        invariants_note_damage(cluster->invariants, trio.follower);
        cluster_start(cluster, trio.follower);
        sim_run_for(cluster->sim, SECOND_US);
        (void)rot_scrub(cluster, trio.follower, 20 * SECOND_US);
        cr_assert_geq(rot_found(cluster, trio.follower), 1);
        cr_assert(rot_is_repaired(cluster, 60 * SECOND_US), "seed %" PRIu64 ": still damaged",
                  seed);
        cr_assert_gt(peek_group_0(&trio, trio.follower).base_index, 1);
        cr_assert_eq(cluster_create_topic(cluster, trio.leader, "last", 3), NODE_OK);
        cluster_destroy(cluster);
    }
}

/* What is damaged on every replica nobody can mend, either. */
Test(simulated_unmendable, a_sole_group_0_starts_behind_its_damage)
{
    struct cluster *cluster = rot_cluster(164, 1, 1, 10, /* checkpoint_entries= */ 1);
    char path[160];
    uint64_t file_bytes;
    cr_assert(rot_file(cluster, 0, META, NULL, 0, path, sizeof(path), &file_bytes));
    cluster_crash(cluster, 0, SIM_CRASH_KILL);
    rot_flip(cluster, 0, path, RECORDS_POS + 3u);
    invariants_note_damage(cluster->invariants, 0);
    cluster_start(cluster, 0);
    sim_run_for(cluster->sim, SECOND_US);
    (void)rot_scrub(cluster, 0, 20 * SECOND_US);
    cr_assert_geq(rot_found(cluster, 0), 1);
    cr_assert(rot_is_repaired(cluster, 60 * SECOND_US));
    cluster_crash(cluster, 0, SIM_CRASH_KILL);
    cluster_start(cluster, 0);
    cr_assert(cluster_produce_once(cluster, 0, ROT_TOPIC, 10, -1, -1, 10 * SECOND_US, NULL));
    rot_expect_values(cluster, 11);
    cluster_destroy(cluster);
}
