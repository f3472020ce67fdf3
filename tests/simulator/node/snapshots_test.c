/* Goal: whichever snapshot of a replica rots, while its node runs or not, it is whole again behind a pass of the scrubber, the
 * node starts all the same, and no state is another one than before (PROTOCOL D, S2).
 * Method: one byte of every snapshot file of a partition and of group 0, at many places. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "peek.h"
#include "rot.h"

#define SECOND_US   1000000u
#define MESSAGES    124u
#define CHECKPOINTS 30u

TestSuite(simulated_snapshots, .timeout = 900);

static uint32_t follower_of(struct cluster *cluster)
{
    const int leader = cluster_leader(cluster, cluster_group(cluster, 0, ROT_TOPIC));
    cr_assert_geq(leader, 0);
    return ((uint32_t)leader + 1u) % cluster->options.nodes_count;
}

static void expect_snapshots_whole(struct cluster *cluster, uint32_t node, const char *path,
                                   uint64_t pos)
{
    const uint64_t groups[] = {0, cluster_group(cluster, node, ROT_TOPIC)};
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(rot_damaged_snapshots(cluster, node, groups[i]), 0, "byte %" PRIu64 " of %s",
                     pos, path);
    }
}

/* Returns how many bytes were flipped. */
static uint32_t flip_snapshots(struct cluster *cluster, uint32_t node, uint64_t group,
                               const char *prefix, bool is_down)
{
    uint32_t flips = 0;
    for (uint32_t nth = 0; nth < 6; nth++) {
        char path[160];
        uint64_t bytes = 0;
        for (uint64_t pos = 3; pos < 900; pos += 37) {
            if (!rot_file(cluster, node, group, prefix, nth, path, sizeof(path), &bytes)) break;
            if (pos >= bytes) break;
            if (is_down) cluster_crash(cluster, node, SIM_CRASH_KILL);
            rot_flip(cluster, node, path, pos);
            if (is_down) cluster_start(cluster, node);
            sim_run_for(cluster->sim, is_down ? SECOND_US : SECOND_US / 10u);
            cr_assert(sim_is_running(cluster->sim, node), "byte %" PRIu64 " of %s: %s", pos, path,
                      cluster->last_fatal_reason);
            cr_assert_eq(rot_scrub(cluster, node, 20 * SECOND_US), 0);
            expect_snapshots_whole(cluster, node, path, pos);
            flips++;
        }
    }
    return flips;
}

static void flip_all(bool is_down)
{
    struct cluster *cluster = rot_cluster(51, 3, 3, MESSAGES, CHECKPOINTS);
    const uint32_t node = follower_of(cluster);
    const uint64_t groups[] = {0, cluster_group(cluster, node, ROT_TOPIC)};
    for (int i = 0; i < 2; i++) {
        cr_assert_gt(flip_snapshots(cluster, node, groups[i], "base-", is_down), 8);
        cr_assert_gt(flip_snapshots(cluster, node, groups[i], "checkpoint-", is_down), 0);
    }
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    struct node_group_status status;
    cr_assert(cluster_group_status(cluster, node, groups[1], &status));
    cr_assert_str_neq(status.role, "lost");
    rot_expect_values(cluster, MESSAGES);
    cluster_destroy(cluster);
}

Test(simulated_snapshots, one_that_rots_under_a_running_node_is_whole_behind_a_scrub)
{
    flip_all(false);
}

Test(simulated_snapshots, one_that_rots_while_its_node_is_down_stops_no_start)
{
    flip_all(true);
}

/* No second one is left of the state at the start of the log. All of the log is there, and the newest state. */
Test(simulated_snapshots, a_start_that_is_lost_with_its_copy_is_named_and_costs_no_message)
{
    struct cluster *cluster = rot_cluster(52, 3, 3, MESSAGES, CHECKPOINTS);
    const uint32_t node = follower_of(cluster);
    const uint64_t group = cluster_group(cluster, node, ROT_TOPIC);
    char base[160], copy[160];
    uint64_t bytes = 0;
    cr_assert(rot_file(cluster, node, group, "base-", 0, base, sizeof(base), &bytes));
    cr_assert(rot_file(cluster, node, group, "base-", 1, copy, sizeof(copy), &bytes));
    cr_assert(strstr(copy, ".copy"));
    for (int is_down = 0; is_down < 2; is_down++) {
        if (is_down) {
            cluster_crash(cluster, node, SIM_CRASH_KILL);
            cluster_start(cluster, node);
        } else {
            rot_flip(cluster, node, base, 40);
            rot_flip(cluster, node, copy, 50);
        }
        sim_run_for(cluster->sim, SECOND_US);
        cr_assert(sim_is_running(cluster->sim, node), "%s", cluster->last_fatal_reason);
        cr_assert_eq(rot_scrub(cluster, node, 20 * SECOND_US), 0);
        cr_assert(rot_names(cluster, node, group, "base at the start"));
    }
    rot_expect_values(cluster, MESSAGES);
    cluster_destroy(cluster);
}

static uint64_t base_of_meta(struct cluster *cluster, uint32_t node)
{
    struct peek_group peek;
    cr_assert(peek_group(cluster->nodes[node].node, 0, &peek));
    return peek.base_index;
}

static void rot_newest_base_of_meta(struct cluster *cluster, uint32_t node)
{
    char path[160], newest[160] = "";
    uint64_t bytes;
    for (uint32_t nth = 0; rot_file(cluster, node, 0, "base-", nth, path, sizeof(path), &bytes);
         nth++) {
        if (!strstr(path, ".copy")) memcpy(newest, path, sizeof(newest));
    }
    rot_flip(cluster, node, newest, 300);
}

/* It rots before the log starts there. A newer base makes another one the start, and no pass of the scrubber is needed for that. */
Test(simulated_snapshots, group_0_goes_on_to_drop_when_a_start_was_lost)
{
    struct cluster *cluster = rot_cluster(52, 3, 3, 10, CHECKPOINTS);
    const uint32_t node = follower_of(cluster);
    for (uint32_t i = 0; i < 90; i++) {
        char name[32];
        snprintf(name, sizeof(name), "t%u", i);
        cr_assert_eq(cluster_create_topic(cluster, i % 3u, name, 1), NODE_OK);
        sim_run_for(cluster->sim, SECOND_US / 10u);
        if (i == 25) rot_newest_base_of_meta(cluster, node);
    }
    const uint64_t base_index = base_of_meta(cluster, (node + 1u) % 3u);
    cr_assert_gt(base_index, 60);
    cr_assert_gt(base_of_meta(cluster, node) + 25u, base_index);
    cr_assert_eq(rot_names(cluster, node, 0, "base at the start"), false);
    cluster_destroy(cluster);
}
