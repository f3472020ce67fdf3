/* Goal: whoever meets whom first, a node belongs to the one cluster that its list of peers means, or to none (PROTOCOL M6).
 * Method: simulated nodes with lists, links and disks that make the first one to be heard the wrong one. */
#include "founded.h"
#include "peek.h"
#include "poke.h"
#include "sim_cluster.h"

#include <criterion/criterion.h>
#include <memory_disk.h>
#include <segment_log/node_store.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u
#define NODES     3u

static struct cluster *make(uint64_t seed)
{
    struct cluster_options options;
    cluster_options_init(&options, seed, NODES);
    options.log = getenv("SIM_VERBOSE") ? stderr : NULL;
    return cluster_create(&options);
}

static bool is_founded(struct cluster *cluster, uint32_t node)
{
    const struct cluster_id id = peek_cluster(cluster->nodes[node].node);
    return !cluster_id_is_zero(&id);
}

static void expect_problem(struct cluster *cluster, uint32_t node, const char *part)
{
    struct node_cluster_status status;
    node_cluster_status(cluster->nodes[node].node, &status);
    cr_assert_not_null(strstr(status.problem, part), "n%u: %s", node + 1u, status.problem);
}

/* The one that would found is the one whose list lacks somebody: nothing else holds it back. */
Test(simulated_founders, the_lowest_of_unequal_lists_founds_nothing_and_names_the_other)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct cluster *cluster = make(seed);
        cluster->starts[0].peers = 1u << 0 | 1u << 1;
        cluster_start_all(cluster);
        sim_run_for(cluster->sim, 5 * SECOND_US);
        for (uint32_t node = 0; node < NODES; node++) {
            cr_assert_not(is_founded(cluster, node), "seed %d: n%u", (int)seed, node + 1u);
        }
        expect_problem(cluster, 0, "n2 was started with another list of peers");
        cluster_crash(cluster, 0, SIM_CRASH_KILL);
        cluster->starts[0].peers = 0;
        cluster_start(cluster, 0);
        cr_assert_geq(cluster_wait_leader(cluster, 0, 5 * SECOND_US), 0, "seed %d", (int)seed);
        cluster_destroy(cluster);
    }
}

static bool first_has_founded(void *data)
{
    return is_founded(data, 0);
}

/* n1 founds and is never seen again by n3, which hears of it from n2. */
Test(simulated_founders, a_listed_node_takes_the_founding_from_another_than_the_founder)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct cluster *cluster = make(seed);
        cluster_start_all(cluster);
        cr_assert(sim_run_until_true(cluster->sim, 5 * SECOND_US, first_has_founded, cluster));
        cr_assert_not(is_founded(cluster, 2), "it knew too early");
        sim_set_link(cluster->sim, 0, 2, SIM_LINK_CUT);
        sim_set_link(cluster->sim, 2, 0, SIM_LINK_CUT);
        sim_run_for(cluster->sim, 5 * SECOND_US);
        cr_assert(is_founded(cluster, 1));
        cr_assert(is_founded(cluster, 2), "seed %d: n3 knows nothing of the cluster", (int)seed);
        const struct cluster_id first = peek_cluster(cluster->nodes[0].node);
        const struct cluster_id third = peek_cluster(cluster->nodes[2].node);
        cr_assert(cluster_id_equal(&first, &third));
        cluster_destroy(cluster);
    }
}

/* Also when that one lists this very directory. */
Test(simulated_founders, a_node_that_knows_its_cluster_takes_no_other_founding)
{
    struct cluster *cluster = founded(1, NODES);
    struct node_identity before, after;
    struct segment_log_problem problem;
    for (uint32_t node = 0; node < NODES; node++) {
        struct disk *disk = sim_memory_disk(cluster->sim, node);
        cr_assert_eq(node_identity_load(disk, "/data", &before, &problem), NODE_IDENTITY_OK);
        struct founding other = {.cluster = {7}, .founder = node + 1u, .nodes_count = 1};
        other.nodes[0].node_id = node + 1u;
        other.nodes[0].incarnation = before.incarnation;
        poke_founding(cluster->nodes[node].node, (node + 1u) % NODES + 1u, &other);
        sim_run_for(cluster->sim, SECOND_US);
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cr_assert_eq(node_identity_load(disk, "/data", &after, &problem), NODE_IDENTITY_OK);
        cr_assert(cluster_id_equal(&before.cluster, &after.cluster), "n%u", node + 1u);
        cr_assert_eq(before.founding_bytes, after.founding_bytes);
        cr_assert_eq(memcmp(before.founding, after.founding, before.founding_bytes), 0);
    }
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", NODES), NODE_OK);
    cluster_destroy(cluster);
}

/* ---- two clusters ---------------------------------------------------------------------------------------------------- */

static bool second_is_founded(void *data)
{
    return is_founded(data, 1);
}

/* The disk of n1, a member of a cluster of its own. */
static struct disk *disk_of_a_member(uint64_t seed)
{
    struct cluster *other = founded(seed, NODES);
    sim_run_for(other->sim, SECOND_US);
    cluster_crash(other, 0, SIM_CRASH_KILL);
    struct disk *disk = memory_disk_clone(sim_memory_disk(other->sim, 0), seed);
    cluster_destroy(other);
    return disk;
}

/* The disk of n2, which knows a cluster and has no replica yet: with two members of two clusters in one world the
 * invariants would take the second for a fork of the first. */
static struct disk *disk_of_a_joining_node(uint64_t seed)
{
    struct cluster *other = founded(seed, NODES);
    sim_run_for(other->sim, SECOND_US);
    cluster_crash(other, 1, SIM_CRASH_KILL);
    sim_wipe_disk(other->sim, 1);
    cluster_start(other, 1);
    cr_assert(sim_run_until_true(other->sim, 5 * SECOND_US, second_is_founded, other));
    cluster_crash(other, 1, SIM_CRASH_KILL);
    struct disk *disk = memory_disk_clone(sim_memory_disk(other->sim, 1), seed);
    cluster_destroy(other);
    return disk;
}

static struct cluster *make_with_two_clusters(uint64_t seed)
{
    struct disk *first = disk_of_a_member(seed + 100u);
    struct disk *second = disk_of_a_joining_node(seed + 200u);
    struct cluster *cluster = make(seed);
    sim_restore_disk(cluster->sim, 0, first);
    sim_restore_disk(cluster->sim, 1, second);
    cluster_start_all(cluster);
    return cluster;
}

/* Both list n3, but not by its present directory, which is empty. */
Test(simulated_founders, an_empty_node_between_two_clusters_joins_neither_and_names_both)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct cluster *cluster = make_with_two_clusters(seed);
        sim_run_for(cluster->sim, 5 * SECOND_US);
        cr_assert_not(is_founded(cluster, 2), "seed %d", (int)seed);
        struct node_cluster_status status;
        node_cluster_status(cluster->nodes[2].node, &status);
        cr_assert_not_null(strstr(status.problem, "joins neither"), "%s", status.problem);
        cr_assert_not_null(strstr(status.problem, "n1 "), "%s", status.problem);
        cr_assert_not_null(strstr(status.problem, "n2 "), "%s", status.problem);
        cr_assert_not_null(strstr(status.problem, "of cluster "), "%s", status.problem);

        /* Nothing of it is kept, also when it starts anew; without the stranger it knows where it belongs. */
        cluster_crash(cluster, 2, SIM_CRASH_POWER);
        cluster_start(cluster, 2);
        sim_run_for(cluster->sim, 3 * SECOND_US);
        cr_assert_not(is_founded(cluster, 2), "seed %d", (int)seed);
        const struct cluster_id first = peek_cluster(cluster->nodes[0].node);
        cluster_crash(cluster, 1, SIM_CRASH_KILL);
        sim_run_for(cluster->sim, 3 * SECOND_US);
        const struct cluster_id third = peek_cluster(cluster->nodes[2].node);
        cr_assert(cluster_id_equal(&first, &third), "seed %d", (int)seed);
        cluster_destroy(cluster);
    }
}

/* The one where it belongs is started anew: for that moment the other is the only one that it hears. */
Test(simulated_founders,
     an_empty_node_between_two_clusters_does_not_join_the_one_that_stays_while_the_other_restarts)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct cluster *cluster = make_with_two_clusters(seed);
        sim_run_for(cluster->sim, 5 * SECOND_US);
        for (uint32_t i = 0; i < 2; i++) {
            cluster_crash(cluster, i, SIM_CRASH_KILL);
            sim_run_for(cluster->sim, SECOND_US / 5u);
            cluster_start(cluster, i);
            sim_run_for(cluster->sim, 3 * SECOND_US);
            cr_assert_not(is_founded(cluster, 2), "seed %d", (int)seed);
        }
        cluster_destroy(cluster);
    }
}

/* Whoever is down must not keep it out, and need not be asked. */
Test(simulated_founders, an_empty_node_that_hears_one_cluster_alone_joins_it_soon)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct disk *first = disk_of_a_member(seed + 100u);
        struct cluster *cluster = make(seed);
        sim_restore_disk(cluster->sim, 0, first);
        cluster_start(cluster, 0);
        cluster_start(cluster, 2);
        sim_run_for(cluster->sim, 2 * SECOND_US);
        cr_assert(is_founded(cluster, 2), "seed %d", (int)seed);
        cluster_destroy(cluster);
    }
}
