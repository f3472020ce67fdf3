/* Goal: a received base that is lost, damaged or has no room for its copy in the moment in which it becomes the log costs nothing
 * (PROTOCOL S3).
 * Method: a node is far behind in group 0 and gets a base; at chosen instants of the switch its process ends, the disk is full
 * or a byte rots. */
#include "behind.h"
#include "peek.h"
#include "rot.h"
#include "sim_cluster.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <memory_disk.h>
#include <stdio.h>
#include <string.h>

#define SECOND_US 1000000u

static void run_to_switch(struct cluster *cluster, uint32_t node)
{
    struct peek_group peek = behind_look(cluster, node, 0);
    for (uint32_t i = 0; i < 400000 && !peek_is_switching(&peek); i++) {
        cr_assert(sim_step(cluster->sim));
        peek = behind_look(cluster, node, 0);
    }
    cr_assert(peek_is_switching(&peek));
}

static void name_base(uint64_t index, const char *suffix, char path[DISK_PATH_MAX])
{
    snprintf(path, DISK_PATH_MAX, "/data/groups/%020u/base-%020" PRIu64 ".snap%s", 0u, index,
             suffix);
}

/* It acknowledges what it has from the instant on in which the base is its log. Should the base be lost then, while files that it
 * replaced are there still, a start must not take those for the log (M5). */
static bool lose_base_at_switch(uint64_t calls, uint32_t *ret_lost)
{
    struct cluster *cluster = behind_cluster(4);
    const uint32_t sleeper = behind_other_than(cluster, cluster_leader(cluster, 0));
    behind_let_fall(cluster, sleeper);
    cluster_start(cluster, sleeper);
    struct peek_group peek = behind_look(cluster, sleeper, 0);
    const uint64_t epoch = peek.epoch;
    run_to_switch(cluster, sleeper);
    sim_crash_at_disk_call(cluster->sim, sleeper, calls, SIM_CRASH_KILL);
    bool is_installed = false;
    for (uint32_t i = 0; i < 4000 && sim_is_running(cluster->sim, sleeper); i++) {
        peek = behind_look(cluster, sleeper, 0);
        is_installed = peek_bases_installed(&peek) == 1;
        cr_assert(sim_step(cluster->sim));
    }
    const bool crashed = !sim_is_running(cluster->sim, sleeper);
    if (crashed && is_installed) {
        char path[DISK_PATH_MAX];
        name_base(peek.base_index, "", path);
        const uint64_t base_index = peek.base_index;
        rot_remove(cluster, sleeper, path);
        cluster_start(cluster, sleeper);
        peek = behind_look(cluster, sleeper, 0);
        cr_assert_eq(peek.epoch, epoch);
        cr_assert_eq(peek.base_index, base_index, "call %d: it forgot what it had", (int)calls);
        (*ret_lost)++;
    } else if (crashed) {
        cluster_start(cluster, sleeper);
    }
    behind_expect_same(cluster, 0);
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
    return !crashed;
}

Test(simulated_switch, a_base_that_is_lost_right_behind_the_switch_has_a_copy)
{
    uint32_t lost = 0;
    for (uint64_t calls = 0; calls < 80 && !lose_base_at_switch(calls, &lost); calls++)
        continue;
    cr_assert_gt(lost, 5);
}

/* Beside the one with which the group began. */
static bool has_second_base(struct cluster *cluster, uint32_t node, char path[DISK_PATH_MAX])
{
    char first[DISK_PATH_MAX];
    uint64_t bytes;
    name_base(0, "", first);
    for (uint32_t nth = 0; rot_file(cluster, node, 0, "base-", nth, path, DISK_PATH_MAX, &bytes);
         nth++) {
        const size_t length = strlen(path);
        if (strcmp(path, first) != 0 && strcmp(path + length - 5u, ".snap") == 0) return true;
    }
    return false;
}

/* True: the base was taken although there was no space for its copy, which comes later. */
static bool install_on_full_disk(uint64_t spare_bytes)
{
    struct cluster *cluster = behind_cluster(4);
    const uint32_t sleeper = behind_other_than(cluster, cluster_leader(cluster, 0));
    behind_let_fall(cluster, sleeper);
    cluster_start(cluster, sleeper);
    run_to_switch(cluster, sleeper);
    struct disk *disk = sim_memory_disk(cluster->sim, sleeper);
    memory_disk_set_capacity(disk, memory_disk_used(disk) + spare_bytes);
    struct peek_group peek = behind_look(cluster, sleeper, 0);
    for (uint32_t i = 0; i < 4000 && peek_is_switching(&peek); i++) {
        cr_assert(sim_step(cluster->sim));
        cr_assert(sim_is_running(cluster->sim, sleeper), "%s", cluster->last_fatal_reason);
        peek = behind_look(cluster, sleeper, 0);
    }
    cr_assert_not(peek_is_switching(&peek));
    char path[DISK_PATH_MAX];
    name_base(peek.base_index, ".copy", path);
    const bool is_taken = peek_bases_installed(&peek) == 1 && !disk_exists(disk, path);
    sim_run_for(cluster->sim, SECOND_US);
    memory_disk_set_capacity(disk, UINT64_MAX);
    behind_expect_same(cluster, 0);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    peek = behind_look(cluster, sleeper, 0);
    name_base(peek.base_index, ".copy", path);
    cr_assert(disk_exists(disk, path));
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
    return is_taken;
}

/* The files that it replaces may be what fills the disk. */
Test(simulated_switch, a_base_is_taken_though_its_copy_has_no_room)
{
    uint32_t taken = 0;
    for (uint64_t spare_bytes = 0; spare_bytes < 280000; spare_bytes += 2500) {
        taken += install_on_full_disk(spare_bytes);
    }
    cr_assert_geq(taken, 1);
}

/* It was whole before it had its name. Nothing was given up for it yet, and it is sent again. */
Test(simulated_switch, a_base_that_rots_before_its_copy_is_made_is_not_taken)
{
    struct cluster *cluster = behind_cluster(4);
    const uint32_t sleeper = behind_other_than(cluster, cluster_leader(cluster, 0));
    behind_let_fall(cluster, sleeper);
    cluster_start(cluster, sleeper);
    run_to_switch(cluster, sleeper);
    const uint64_t last_index = behind_look(cluster, sleeper, 0).last_index;
    sim_set_job_factor(cluster->sim, sleeper, 1000);
    struct disk *disk = sim_memory_disk(cluster->sim, sleeper);
    char path[DISK_PATH_MAX];
    for (uint32_t i = 0; i < 400000 && !has_second_base(cluster, sleeper, path); i++) {
        cr_assert(sim_step(cluster->sim));
    }
    cr_assert_eq(memory_disk_flip(disk, path, 100, 1), 0);
    for (uint32_t i = 0; i < 400000 && disk_exists(disk, path); i++) {
        cr_assert(sim_step(cluster->sim));
    }
    cr_assert_not(disk_exists(disk, path), "a damaged base was kept");
    struct peek_group peek = behind_look(cluster, sleeper, 0);
    cr_assert_eq(peek_bases_installed(&peek), 0);
    cr_assert_eq(peek.last_index, last_index);
    sim_set_job_factor(cluster->sim, sleeper, 1);
    behind_expect_same(cluster, 0);
    peek = behind_look(cluster, sleeper, 0);
    cr_assert_eq(peek_bases_installed(&peek), 1);
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
}
