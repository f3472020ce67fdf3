/* Files of a replica that went while its node was down: a hole that is repaired, never a log that is taken for a shorter or a
 * later one. */
#include <criterion/criterion.h>
#include <memory_disk.h>

#include "sim_cluster.h"

TestSuite(simulated_damage, .timeout = 300);

static struct cluster *make_cluster(void)
{
    struct cluster_options options;
    cluster_options_init(&options, 17, 3);
    options.segment_bytes_max = 16384;
    options.checkpoint_entries = 1000000; /* the snapshot is the one it was born with */
    struct cluster *cluster = cluster_create(&options);
    cluster_start_all(cluster);
    cr_assert_geq(cluster_wait_leader(cluster, 0, 10000000), 0);
    cr_assert_eq(cluster_create_topic(cluster, 0, "t", 3), NODE_OK);
    for (uint64_t i = 0; i < 300; i++) {
        cr_assert(cluster_produce_once(cluster, 0, "t", i, -1, -1, 10000000, NULL));
    }
    return cluster;
}

/* S2: first_index = base.last_index + 1, and the state is of the base or later. */
Test(simulated_damage, a_log_that_begins_behind_its_snapshot_gets_its_first_file_back)
{
    struct cluster *cluster = make_cluster();
    const int leader = cluster_leader(cluster, cluster_group(cluster, 0, "t"));
    cr_assert_geq(leader, 0);
    const uint32_t node = ((uint32_t)leader + 1u) % 3u;
    char path[128];
    snprintf(path, sizeof(path), "/data/groups/%020u/%020u.segment",
             (unsigned)cluster_group(cluster, node, "t"), 1u);
    cluster_crash(cluster, node, SIM_CRASH_KILL);
    struct disk *disk = sim_memory_disk(cluster->sim, node);
    cr_assert_eq(disk_unlink(disk, path), 0);
    *strrchr(path, '/') = '\0';
    cr_assert_eq(disk_sync_directory(disk, path), 0);

    cluster_start(cluster, node);
    sim_run_for(cluster->sim, 1000000);
    cr_assert(sim_is_running(cluster->sim, node));
    struct disk_file *file;
    snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%020u.segment", 1u);
    cr_assert_eq(disk_open(disk, path, DISK_READ, &file), 0, "it is made again");
    disk_close(file);
    struct cluster_ack records[301];
    cr_assert_eq(cluster_read_all(cluster, node, "t", records, 301), 300);
    cr_assert_eq(cluster_produce(cluster, (uint32_t)leader, "t", 300, -1, -1, NULL), NODE_OK,
                 "the others go on");
    cluster_destroy(cluster);
}
