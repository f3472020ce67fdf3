/* Goal: a node that held another directory before founds no empty cluster beside what it held, and one that lost its votes
 * with its replicas is damaged, not new (PROTOCOL M4, M6). Method: real nodes in the simulated world, whose directories are
 * moved and emptied between their processes. */
#include "members.h"
#include "peek.h"
#include "sim_cluster.h"

#include <broker/raft_codec.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <memory_disk.h>
#include <segment_log/node_store.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US  1000000u
#define POINTS_MAX 400u

static struct cluster *make(uint64_t seed, uint32_t nodes_count)
{
    struct cluster_options options;
    cluster_options_init(&options, seed, nodes_count);
    options.log = getenv("SIM_VERBOSE") ? stderr : NULL;
    return cluster_create(&options);
}

/* What is left of a directory that was moved away because its identity could not be read. */
static void leave_aside(struct cluster *cluster, uint32_t node)
{
    struct disk *disk = sim_memory_disk(cluster->sim, node);
    cr_assert_eq(disk_make_directory(disk, "/data.bad"), 0);
    cr_assert_eq(disk_make_directory(disk, "/data.bad/groups"), 0);
    cr_assert_eq(disk_sync_directory(disk, "/data.bad"), 0);
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
}

static void take_away(struct cluster *cluster, uint32_t node)
{
    struct disk *disk = sim_memory_disk(cluster->sim, node);
    cr_assert_eq(disk_remove_directory(disk, "/data.bad/groups"), 0);
    cr_assert_eq(disk_remove_directory(disk, "/data.bad"), 0);
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
}

static bool is_founded(struct cluster *cluster, uint32_t node)
{
    static const struct cluster_id none;
    struct node_cluster_status status;
    node_cluster_status(cluster->nodes[node].node, &status);
    return memcmp(&status.cluster, &none, sizeof(none)) != 0;
}

static void expect_problem(struct cluster *cluster, uint32_t node, const char *part)
{
    struct node_cluster_status status;
    node_cluster_status(cluster->nodes[node].node, &status);
    cr_assert_not_null(strstr(status.problem, part), "n%u: %s", node + 1u, status.problem);
}

static void read_identity(struct cluster *cluster, uint32_t node,
                          struct node_identity *ret_identity)
{
    struct segment_log_problem problem;
    cr_assert_eq(
        node_identity_load(sim_memory_disk(cluster->sim, node), "/data", ret_identity, &problem),
        NODE_IDENTITY_OK);
}

static uint64_t founder_by(struct cluster *cluster, uint32_t node)
{
    struct node_identity identity;
    struct founding founding;
    read_identity(cluster, node, &identity);
    cr_assert(founding_decode(identity.founding, identity.founding_bytes, &founding));
    return founding.founder;
}

static void expect_service(struct cluster *cluster)
{
    cr_assert_geq(cluster_wait_leader(cluster, 0, 5 * SECOND_US), 0, "no leader of meta");
    const enum node_status created =
        cluster_create_topic(cluster, 0, "orders", cluster->options.nodes_count);
    cr_assert_eq(created, NODE_OK, "%s", node_status_text(created));
    for (uint32_t node = 0; node < cluster->options.nodes_count; node++) {
        cr_assert_eq(cluster_produce(cluster, node, "orders", node, -1, 0, NULL), NODE_OK);
    }
}

Test(simulated_aside, the_lowest_of_those_that_never_held_anything_founds)
{
    for (uint32_t marked = 0; marked < 3; marked++) {
        struct cluster *cluster = make(300 + marked, 3);
        leave_aside(cluster, marked);
        cluster_start_all(cluster);
        expect_service(cluster);
        cr_assert_eq(founder_by(cluster, marked), marked == 0 ? 2 : 1);
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}

Test(simulated_aside, when_most_held_a_cluster_before_nobody_founds_and_all_say_so)
{
    for (uint32_t nodes_count = 1; nodes_count <= 5; nodes_count++) {
        struct cluster *cluster = make(310 + nodes_count, nodes_count);
        const uint32_t marked_count = (nodes_count + 1u) / 2u;
        for (uint32_t node = nodes_count - marked_count; node < nodes_count; node++) {
            leave_aside(cluster, node);
        }
        cluster_start_all(cluster);
        sim_run_for(cluster->sim, 10 * SECOND_US);
        for (uint32_t node = 0; node < nodes_count; node++) {
            cr_assert_not(is_founded(cluster, node), "%u nodes, n%u", nodes_count, node + 1u);
            expect_problem(cluster, node, "nobody founds");
            char name[32];
            snprintf(name, sizeof(name), "n%u", nodes_count);
            expect_problem(cluster, node, name);
            expect_problem(cluster, node, "only joins");
        }
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}

Test(simulated_aside, the_mark_outlives_the_other_directory)
{
    struct cluster *cluster = make(320, 1);
    leave_aside(cluster, 0);
    cluster_start_all(cluster);
    sim_run_for(cluster->sim, SECOND_US);
    cluster_crash(cluster, 0, SIM_CRASH_POWER);
    take_away(cluster, 0);
    cluster_start_all(cluster);
    sim_run_for(cluster->sim, 5 * SECOND_US);
    cr_assert_not(is_founded(cluster, 0));
    expect_problem(cluster, 0, "only joins");
    cluster_destroy(cluster);
}

Test(simulated_aside, an_empty_node_that_is_restarted_beside_another_directory_is_marked_then)
{
    struct cluster *cluster = make(321, 2);
    cluster_start(cluster, 0);
    sim_run_for(cluster->sim, SECOND_US);
    cluster_crash(cluster, 0, SIM_CRASH_POWER);
    leave_aside(cluster, 0);
    cluster_start_all(cluster);
    sim_run_for(cluster->sim, 5 * SECOND_US);
    cr_assert_not(is_founded(cluster, 0));
    expect_problem(cluster, 1, "n1 only joins");
    cluster_destroy(cluster);
}

/* Whoever told that it cannot found is marked for good, wherever the power went. */
static bool is_marked_with_power_cut(uint64_t disk_call)
{
    struct cluster *cluster = make(400 + disk_call, 3);
    leave_aside(cluster, 0);
    const uint64_t calls_before = memory_disk_calls(sim_memory_disk(cluster->sim, 0));
    sim_crash_at_disk_call(cluster->sim, 0, disk_call, SIM_CRASH_POWER);
    cluster_start_all(cluster);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    const bool was_hit = !sim_is_running(cluster->sim, 0);
    sim_crash_at_disk_call(cluster->sim, 0, UINT64_MAX, SIM_CRASH_KILL);
    cr_assert_gt(memory_disk_calls(sim_memory_disk(cluster->sim, 0)) + 1u, calls_before);
    if (was_hit) cluster_start(cluster, 0);
    sim_run_for(cluster->sim,
                SECOND_US); /* connections of before the cut are reset some time later */
    expect_service(cluster);
    cluster_crash(cluster, 0, SIM_CRASH_POWER);
    struct node_identity identity;
    read_identity(cluster, 0, &identity);
    cr_assert(identity.join_only, "power cut before disk call %" PRIu64, disk_call);
    cr_assert(identity.replicas_made);
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
    return was_hit;
}

Test(simulated_aside, a_marked_node_may_lose_power_before_any_disk_call)
{
    uint64_t disk_call = 0;
    while (is_marked_with_power_cut(disk_call)) {
        disk_call++;
        cr_assert_lt(disk_call, POINTS_MAX);
    }
    cr_assert_geq(disk_call, 15);
}

/* ---- lost votes ------------------------------------------------------------------------------------------------- */

static void remove_all(struct disk *disk, const char *path);

struct removal {
    struct disk *disk;
    const char *path;
};

static void remove_child(void *data, const char *name)
{
    const struct removal *removal = data;
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", removal->path, name);
    remove_all(removal->disk, path);
}

static void remove_all(struct disk *disk, const char *path)
{
    struct removal removal = {.disk = disk, .path = path};
    if (disk_list(disk, path, remove_child, &removal) == 0) {
        cr_assert_eq(disk_remove_directory(disk, path), 0, "%s", path);
    } else {
        cr_assert_eq(disk_unlink(disk, path), 0, "%s", path);
    }
}

Test(simulated_aside, votes_lost_with_the_replicas_are_asked_for_anew_and_nothing_is_founded)
{
    struct cluster *cluster = make(330, 3);
    cluster_start_all(cluster);
    expect_service(cluster);
    cluster_crash(cluster, 1, SIM_CRASH_KILL);
    struct disk *disk = sim_memory_disk(cluster->sim, 1);
    remove_all(disk, "/data/votes");
    remove_all(disk, "/data/groups");
    cluster_start(cluster, 1);
    struct peek_group again;
    cr_assert_not(peek_group(cluster->nodes[1].node, 0, &again), "no replica of the founding");
    sim_run_for(cluster->sim, 10 * SECOND_US);
    cr_assert(peek_group(cluster->nodes[1].node, 0, &again));
    cr_assert_gt(again.epoch, 0);
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
}

/* ---- unreadable directories ------------------------------------------------------------------------------------ */

struct spoiling {
    struct cluster *cluster;
    struct disk *disk;
    const char *path;
};

static void spoil_all(struct cluster *cluster, struct disk *disk, const char *path);

static void spoil_child(void *data, const char *name)
{
    const struct spoiling *spoiling = data;
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", spoiling->path, name);
    spoil_all(spoiling->cluster, spoiling->disk, path);
}

/* Random bytes into every file. */
static void spoil_all(struct cluster *cluster, struct disk *disk, const char *path)
{
    struct spoiling spoiling = {.cluster = cluster, .disk = disk, .path = path};
    if (disk_list(disk, path, spoil_child, &spoiling) == 0) return;
    struct disk_file *file = NULL;
    uint64_t bytes = 0;
    cr_assert_eq(disk_open(disk, path, DISK_WRITE, &file), 0, "%s", path);
    cr_assert_eq(disk_size(file, &bytes), 0);
    for (uint64_t pos = 0; pos < bytes; pos += 512u) {
        uint64_t block[64];
        for (uint32_t i = 0; i < 64u; i++) {
            block[i] = sim_draw(cluster->sim, UINT64_MAX);
        }
        cr_assert_eq(disk_pwrite(file, block, bytes - pos < 512u ? bytes - pos : 512u, pos), 0);
    }
    cr_assert_eq(disk_datasync(file), 0);
    disk_close(file);
}

struct back_wait {
    struct cluster *cluster;
    uint32_t node;
    uint64_t group;
};

static bool is_back_or_down(void *data)
{
    const struct back_wait *wait = data;
    if (!sim_is_running(wait->cluster->sim, wait->node)) return true;
    return members_voters(wait->cluster, wait->node, 0) == 7u &&
           members_voters(wait->cluster, wait->node, wait->group) == 7u &&
           members_voters(wait->cluster, (wait->node + 1u) % 3u, wait->group) == 7u;
}

/* A power cut may have spread it over two. */
static bool is_kept(struct disk *disk)
{
    for (uint32_t number = 1; number <= 2; number++) {
        struct disk_file *file = NULL;
        char path[DISK_PATH_MAX];
        snprintf(path, sizeof(path), "/data/unreadable-%u/votes", number);
        if (disk_open(disk, path, DISK_READ, &file) != 0) continue;
        disk_close(file);
        return true;
    }
    return false;
}

/* True: there was such a disk call. */
static bool comes_back_with_power_cut(uint64_t disk_call)
{
    struct cluster *cluster = make(600 + disk_call, 3);
    cluster_start_all(cluster);
    cr_assert_geq(cluster_wait_leader(cluster, 0, 5 * SECOND_US), 0);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    for (uint64_t value = 0; value < 5; value++) {
        cr_assert_eq(cluster_produce(cluster, 0, "orders", value, -1, 0, NULL), NODE_OK);
    }
    sim_run_for(cluster->sim, 2 * SECOND_US);
    const uint32_t victim = (uint32_t)(disk_call % 3u);
    struct back_wait wait = {
        .cluster = cluster, .node = victim, .group = cluster_group(cluster, victim, "orders")};
    struct node_identity before, after;
    read_identity(cluster, victim, &before);
    cluster_crash(cluster, victim, SIM_CRASH_KILL);
    spoil_all(cluster, sim_memory_disk(cluster->sim, victim), "/data");
    sim_crash_at_disk_call(cluster->sim, victim, disk_call, SIM_CRASH_POWER);
    cluster_start(cluster, victim);
    cr_assert(sim_run_until_true(cluster->sim, 60 * SECOND_US, is_back_or_down, &wait));
    const bool was_hit = !sim_is_running(cluster->sim, victim);
    sim_crash_at_disk_call(cluster->sim, victim, UINT64_MAX, SIM_CRASH_KILL);
    if (was_hit) {
        cluster_start(cluster, victim);
        cr_assert(sim_run_until_true(cluster->sim, 60 * SECOND_US, is_back_or_down, &wait),
                  "power cut before disk call %" PRIu64, disk_call);
    }
    read_identity(cluster, victim, &after);
    cr_assert_neq(after.incarnation, before.incarnation);
    cr_assert(after.join_only, "power cut before disk call %" PRIu64, disk_call);
    struct cluster_ack records[6];
    for (uint32_t node = 0; node < 3u; node++) {
        cr_assert_eq(cluster_read_all(cluster, node, "orders", records, 6), 5, "n%u", node + 1u);
    }
    cr_assert(is_kept(sim_memory_disk(cluster->sim, victim)), "what was there is kept");
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
    return was_hit;
}

/* Nobody empties the directory by hand, and no power cut makes an empty cluster or a second vote of it. */
Test(simulated_aside, an_unreadable_directory_is_set_aside_and_its_node_joins_anew)
{
    uint64_t disk_call = 0;
    while (comes_back_with_power_cut(disk_call)) {
        disk_call++;
        cr_assert_lt(disk_call, POINTS_MAX);
    }
    cr_assert_geq(disk_call, 40);
}

Test(simulated_aside, a_readable_identity_of_another_node_or_version_is_refused_and_nothing_moves)
{
    struct cluster *cluster = make(700, 3);
    cluster_start_all(cluster);
    expect_service(cluster);
    cluster_crash(cluster, 1, SIM_CRASH_KILL);
    struct disk *disk = sim_memory_disk(cluster->sim, 1);
    struct node_identity foreign;
    read_identity(cluster, 1, &foreign);
    foreign.node_id = 3;
    cr_assert_eq(node_identity_save(disk, "/data", &foreign), 0);
    cluster_start(cluster, 1);
    cr_assert_eq(cluster->last_fatal_code, NODE_FATAL_CONFIG, "%s", cluster->last_fatal_reason);
    cr_assert_eq(cluster->fatals_count, 1);
    struct disk_file *file = NULL;
    cr_assert_eq(disk_open(disk, "/data/unreadable-1/identity", DISK_READ, &file), -ENOENT);
    cr_assert_eq(disk_open(disk, "/data/votes", DISK_READ, &file), 0);
    disk_close(file);
    cluster_destroy(cluster);
}

/* There is nobody to join. */
Test(simulated_aside, a_single_node_with_an_unreadable_directory_stops_and_touches_nothing)
{
    struct cluster *cluster = make(701, 1);
    cluster_start_all(cluster);
    cr_assert_geq(cluster_wait_leader(cluster, 0, 5 * SECOND_US), 0);
    cluster_crash(cluster, 0, SIM_CRASH_KILL);
    struct disk *disk = sim_memory_disk(cluster->sim, 0);
    spoil_all(cluster, disk, "/data/identity");
    cluster_start(cluster, 0);
    cr_assert_eq(cluster->fatals_count, 1);
    cr_assert_eq(cluster->last_fatal_code, NODE_FATAL_DAMAGE, "%s", cluster->last_fatal_reason);
    struct disk_file *file = NULL;
    cr_assert_eq(disk_open(disk, "/data/votes", DISK_READ, &file), 0);
    disk_close(file);
    cluster_destroy(cluster);
}
