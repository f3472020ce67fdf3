/* Goal: topics come and go, and a crash at any disk call of it leaves a cluster that starts again. Method: whole simulated
 * nodes; crashes before every disk call of one node while topics are made and deleted. */
#include "founded.h"
#include "peek.h"
#include "poke.h"
#include "sim_cluster.h"
#include "thinned.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u

static uint32_t replicas_of_partitions(struct cluster *cluster, uint32_t node)
{
    struct node_group_status groups[64];
    return node_groups_status(cluster->nodes[node].node, groups, 64) - 1u;
}

static void count_name(void *data, const char *name)
{
    (void)name;
    (*(uint32_t *)data)++;
}

static uint32_t directories(struct cluster *cluster, uint32_t node)
{
    uint32_t count = 0;
    cr_assert_eq(disk_list(sim_disk(cluster->sim, node), "/data/groups", count_name, &count), 0);
    return count - 1u; /* but that of meta */
}

Test(simulated_topics, a_deleted_topic_leaves_no_replica_and_no_files)
{
    struct cluster *cluster = founded(1, 3);
    for (int round = 0; round < 5; round++) {
        cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
        cr_assert_eq(cluster_create_topic(cluster, 1, "orders", 3), NODE_OK, "asked again");
        uint64_t offset;
        cr_assert_eq(cluster_produce(cluster, 2, "orders", 7, -1, 0, &offset), NODE_OK);
        cr_assert_eq(cluster_delete_topic(cluster, 1, "orders"), NODE_OK);
        cr_assert_eq(cluster_produce(cluster, 2, "orders", 7, -1, 0, &offset),
                     NODE_TOPIC_NOT_FOUND);
        cr_assert_eq(cluster_delete_topic(cluster, 2, "orders"), NODE_TOPIC_NOT_FOUND);
    }
    sim_run_for(cluster->sim, SECOND_US);
    for (uint32_t node = 0; node < 3; node++) {
        cr_assert_eq(replicas_of_partitions(cluster, node), 0);
        cr_assert_eq(directories(cluster, node), 0);
    }
    cluster_destroy(cluster);
}

/* M7, M8: no election timeout passes, and whoever was told that the topic is there can use it. */
Test(simulated_topics, a_created_topic_is_led_at_once_by_whom_meta_named)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *cluster = founded(seed, 3);
        sim_run_for(cluster->sim, SECOND_US);
        struct cluster_call *create = malloc(sizeof(*create));
        cluster_fill_create(create, "orders", 4, 3);
        const uint32_t meta_leader = (uint32_t)cluster_leader(cluster, 0);
        cluster_submit(cluster, meta_leader, create);
        cr_assert(cluster_wait(create, 15 * SECOND_US));
        cr_assert_eq(create->request.status, NODE_OK);
        cr_assert_lt(create->done_us - create->submitted_us, 250000, "seed %d", (int)seed);
        const struct node *node = cluster->nodes[meta_leader].node;
        for (uint32_t p = 0; p < 4; p++) {
            const uint64_t group = peek_partition_group(node, "orders", p);
            struct peek_group replica;
            const uint64_t first = peek_first_leader(node, "orders", p);
            cr_assert_neq(first, 0);
            cr_assert_eq(cluster_leader(cluster, group), (int)first - 1, "seed %d", (int)seed);
            cr_assert(peek_group(cluster->nodes[first - 1u].node, group, &replica));
            cr_assert(replica.takes_produce, "seed %d", (int)seed);
        }
        cluster_call_close(create);
        free(create);
        cluster_destroy(cluster);
    }
}

/* It leads meta, and waits for the groups of the new topic to lead, when its replica of group 0 is set aside. It knows nothing then,
 * and all of it again later: the answer is never that there is no such topic. */
Test(simulated_topics, a_topic_is_not_denied_by_a_node_that_lost_its_meta_state)
{
    uint32_t answered = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster *cluster = founded(seed, 3);
        sim_run_for(cluster->sim, SECOND_US);
        struct cluster_call *create = malloc(sizeof(*create));
        cluster_fill_create(create, "orders", 4, 3);
        const uint32_t leader = (uint32_t)cluster_leader(cluster, 0);
        struct node *node = cluster->nodes[leader].node;
        cluster_submit(cluster, leader, create);
        while (peek_partition_group(node, "orders", 0) == 0) {
            cr_assert(sim_step(cluster->sim));
        }
        cr_assert_not(create->is_done, "its groups do not lead yet");
        poke_quarantine(node, 0);
        cr_assert(cluster_wait(create, 60 * SECOND_US));
        const enum node_status status = create->request.status;
        cr_assert(status == NODE_OK || status == NODE_OUTCOME_UNKNOWN, "seed %d: %s, %s", (int)seed,
                  node_status_text(status), create->request.detail);
        if (status == NODE_OK) answered++;
        cr_assert_eq(cluster_produce(cluster, (leader + 1u) % 3u, "orders", 1, -1, 0, NULL),
                     NODE_OK);
        cluster_call_close(create);
        free(create);
        cluster_destroy(cluster);
    }
    cr_assert_gt(answered, 0, "it learns it again in time");
}

/* M8. A name that is free again must not be answered by replicas of the old topic. */
Test(simulated_topics, a_delete_is_answered_when_a_majority_has_dropped_every_partition)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *cluster = founded(seed, 3);
        cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
        const uint64_t group = cluster_group(cluster, 0, "orders");
        struct cluster_call *delete = malloc(sizeof(*delete));
        cluster_fill_delete(delete, "orders");
        cluster_submit(cluster, (uint32_t)cluster_leader(cluster, 0), delete);
        cr_assert(cluster_wait(delete, 15 * SECOND_US));
        cr_assert_eq(delete->request.status, NODE_OK);
        uint32_t left = 0;
        for (uint32_t node = 0; node < 3; node++) {
            struct node_group_status status;
            if (cluster_group_status(cluster, node, group, &status)) left++;
        }
        cr_assert_leq(left, 1, "seed %d", (int)seed);
        cluster_call_close(delete);
        free(delete);
        cluster_destroy(cluster);
    }
}

/* C9: it may be committed and read elsewhere before that node hears of the deletion, so nobody may be told that it was not stored. */
Test(simulated_topics, what_a_deletion_overtakes_has_an_unknown_outcome)
{
    uint64_t group;
    struct cluster *cluster = founded_with_topic(1, 3, "orders", 2, &group);
    const uint32_t leader = founded_leader(cluster, group);
    for (uint32_t node = 0; node < 3; node++) {
        struct node_group_status status;
        if (node != leader && cluster_group_status(cluster, node, group, &status)) {
            cluster_crash(cluster, node, SIM_CRASH_KILL);
        }
    }
    cr_assert_geq(cluster_wait_leader(cluster, 0, 5 * SECOND_US), 0, "two of three are left");
    struct cluster_call *produce = calloc(1, sizeof(*produce));
    struct cluster_call *late = calloc(1, sizeof(*late));
    struct cluster_call *delete = calloc(1, sizeof(*delete));
    cluster_fill_produce(produce, "orders", 1, -1, 0);
    cluster_fill_delete(delete, "orders");
    cluster_submit(cluster, leader, produce);
    sim_run_for(cluster->sim, SECOND_US / 20);
    cr_assert_not(produce->is_done, "the other replica is down: %s", produce->request.detail);
    cluster_submit(cluster, leader, delete);
    cr_assert(cluster_wait(produce, SECOND_US));
    cr_assert_eq(produce->request.status, NODE_OUTCOME_UNKNOWN, "%s, %s",
                 node_status_text(produce->request.status), produce->request.detail);
    cluster_fill_produce(late, "orders", 2, -1, 0);
    cluster_submit(cluster, leader, late);
    cr_assert(cluster_wait(late, 5 * SECOND_US));
    cr_assert_eq(late->request.status, NODE_TOPIC_NOT_FOUND, "this one was not appended");
    struct cluster_call *calls[] = {produce, late, delete};
    for (size_t i = 0; i < 3; i++) {
        cluster_cancel(calls[i]);
        cluster_call_close(calls[i]);
        free(calls[i]);
    }
    cluster_destroy(cluster);
}

/* A create and a delete that follow each other at once, so that the delete meets replicas that are still being made. */
Test(simulated_topics, a_topic_may_be_deleted_while_it_is_being_made)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct cluster *cluster = founded(seed, 3);
        struct cluster_call *create = malloc(sizeof(*create));
        struct cluster_call *delete = malloc(sizeof(*delete));
        cluster_fill_create(create, "orders", 4, 3);
        cluster_fill_delete(delete, "orders");
        const uint32_t leader = (uint32_t)cluster_leader(cluster, 0);
        cluster_submit(cluster, leader, create);
        sim_run_for(cluster->sim, sim_draw(cluster->sim, 8000));
        cluster_submit(cluster, leader, delete);
        cr_assert(cluster_wait(create, 15 * SECOND_US));
        cr_assert(cluster_wait(delete, 3 * SECOND_US), "seed %d", (int)seed);
        cr_assert_eq(delete->request.status, NODE_OK, "seed %d: %s", (int)seed,
                     delete->request.detail);
        sim_run_for(cluster->sim, SECOND_US);
        for (uint32_t node = 0; node < 3; node++) {
            cr_assert_eq(replicas_of_partitions(cluster, node), 0, "seed %d", (int)seed);
            cr_assert_eq(directories(cluster, node), 0, "seed %d", (int)seed);
        }
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_call_close(create);
        cluster_call_close(delete);
        free(create);
        free(delete);
        cluster_destroy(cluster);
    }
}

/* False: all disk calls of the two operations were reached. */
static bool crash_in_create_and_delete(uint64_t seed, uint64_t disk_call, enum sim_crash mode)
{
    struct cluster *cluster = founded(seed, 3);
    const uint32_t victim = (uint32_t)(seed % 3u);
    const uint32_t other = (victim + 1u) % 3u;
    sim_crash_at_disk_call(cluster->sim, victim, disk_call, mode);
    (void)cluster_create_topic(cluster, other, "orders", 3);
    (void)cluster_delete_topic(cluster, other, "orders");
    sim_run_for(cluster->sim, 50000); /* a majority was enough for the answers */
    const bool crashed = !sim_is_running(cluster->sim, victim);
    if (crashed) {
        cluster_start(cluster, victim);
    } else {
        sim_crash_at_disk_call(cluster->sim, victim, UINT64_MAX, mode); /* none of them */
    }
    cr_assert_eq(cluster->fatals_count, 0, "call %d: %s", (int)disk_call,
                 cluster->last_fatal_reason);
    /* After a power cut its peers may hold half-open connections for seconds. */
    cr_assert_geq(cluster_wait_leader(cluster, 0, 15 * SECOND_US), 0);
    const enum node_status deleted = cluster_delete_topic(cluster, other, "orders");
    cr_assert(deleted == NODE_OK || deleted == NODE_TOPIC_NOT_FOUND);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    cr_assert_eq(cluster_create_topic(cluster, victim, "orders", 3), NODE_OK);
    uint64_t offset;
    cr_assert_eq(cluster_produce(cluster, victim, "orders", 7, -1, 0, &offset), NODE_OK);
    sim_run_for(cluster->sim, SECOND_US); /* a majority was enough until now */
    for (uint32_t node = 0; node < 3; node++) {
        cr_assert_eq(replicas_of_partitions(cluster, node), 1, "call %d", (int)disk_call);
        cr_assert_eq(directories(cluster, node), 1, "call %d", (int)disk_call);
    }
    cr_assert_eq(cluster->fatals_count, 0, "call %d: %s", (int)disk_call,
                 cluster->last_fatal_reason);
    cluster_destroy(cluster);
    return crashed;
}

/* Several runs a call, because what else is under way when it comes differs. */
static void crash_everywhere(uint64_t seed, enum sim_crash mode)
{
    uint64_t disk_call = 0;
    bool crashed = true;
    while (crashed) {
        uint64_t runs = 0;
        crashed = false;
        for (uint64_t i = 0; i < 5; i++) {
            if (!thinned_takes(seed + i, disk_call)) continue;
            runs++;
            if (crash_in_create_and_delete(seed + i, disk_call, mode)) crashed = true;
        }
        if (runs == 0) crashed = true; /* unknown: it is left to the next call */
        disk_call++;
        cr_assert_lt(disk_call, 500);
    }
    cr_assert_gt(disk_call, 40, "only %d calls", (int)disk_call);
}

Test(simulated_topics, a_node_may_be_killed_before_any_disk_call_of_create_and_delete)
{
    crash_everywhere(1, SIM_CRASH_KILL);
}

Test(simulated_topics, a_node_may_lose_power_before_any_disk_call_of_create_and_delete)
{
    crash_everywhere(2, SIM_CRASH_POWER);
}

/* Is there a directory of the group on this disk? */
static uint64_t sought_group;
static uint32_t sought_node;

static void note_group(void *data, const char *name)
{
    if (strtoull(name, NULL, 10) == sought_group) *(bool *)data = true;
}

static bool is_made_again(void *data)
{
    const struct cluster *cluster = data;
    bool found = false;
    (void)disk_list(sim_memory_disk(cluster->sim, sought_node), "/data/groups", note_group, &found);
    return found;
}

/* M4: the entry that made it is applied once more at the next start, for no checkpoint of meta covers it. A replica made
 * again would vote with an empty log under the epoch of the full one. */
Test(simulated_topics, a_deleted_replica_is_not_made_again_when_its_log_is_replayed)
{
    struct cluster_options options;
    cluster_options_init(&options, 11, 3);
    options.checkpoint_entries = 1000000;
    struct cluster *cluster = cluster_create(&options);
    cluster_start_all(cluster);
    cr_assert_geq(cluster_wait_leader(cluster, 0, 5000000), 0);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    sought_group = cluster_group(cluster, 0, "orders");
    cr_assert_neq(sought_group, 0);
    cr_assert_eq(cluster_delete_topic(cluster, 0, "orders"), NODE_OK);
    sim_run_for(cluster->sim, 1000000);
    for (sought_node = 0; sought_node < 3; sought_node++) {
        cr_assert_not(is_made_again(cluster), "n%u", sought_node + 1u);
        cluster_crash(cluster, sought_node, SIM_CRASH_KILL);
        cluster_start(cluster, sought_node);
        cr_assert_not(sim_run_until_true(cluster->sim, 2000000, is_made_again, cluster), "n%u",
                      sought_node + 1u);
    }
    cluster_destroy(cluster);
}

static void unlink_one(void *data, const char *name)
{
    const struct cluster *cluster = data;
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof(path), "/data/groups/%020" PRIu64 "/%.200s", sought_group, name);
    (void)disk_unlink(sim_memory_disk(cluster->sim, sought_node), path);
}

/* M4: what is recorded as made and has no files is damage; an empty log in its place would vote as if it were whole. */
Test(simulated_topics, a_recorded_replica_without_files_is_no_empty_one_but_gets_a_new_epoch)
{
    struct cluster_options options;
    cluster_options_init(&options, 12, 3);
    struct cluster *cluster = cluster_create(&options);
    cluster_start_all(cluster);
    cr_assert_geq(cluster_wait_leader(cluster, 0, 5000000), 0);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    sim_run_for(cluster->sim, 1000000);
    sought_group = cluster_group(cluster, 0, "orders");
    sought_node = 1;
    cluster_crash(cluster, sought_node, SIM_CRASH_KILL);
    char directory[DISK_PATH_MAX];
    snprintf(directory, sizeof(directory), "/data/groups/%020" PRIu64, sought_group);
    struct disk *disk = sim_memory_disk(cluster->sim, sought_node);
    cr_assert_eq(disk_list(disk, directory, unlink_one, cluster), 0);
    struct peek_group peer, again;
    cr_assert(peek_group(cluster->nodes[0].node, sought_group, &peer));
    cluster_start(cluster, sought_node);
    cr_assert_not(peek_group(cluster->nodes[sought_node].node, sought_group, &again));
    sim_run_for(cluster->sim, 10000000);
    cr_assert(peek_group(cluster->nodes[sought_node].node, sought_group, &again));
    cr_assert_gt(again.epoch, peer.epoch);
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
}

/* ---- who does not know the group yet -------------------------------------------------------------------------------- */

static uint64_t metric(struct cluster *cluster, uint32_t node, const char *name)
{
    size_t bytes;
    char *text = node_metrics_text(cluster->nodes[node].node, &bytes);
    char pattern[96];
    snprintf(pattern, sizeof(pattern), "\nraftmq_%s ", name);
    const char *line = strstr(text, pattern);
    cr_assert_not_null(line, "%s", name);
    const uint64_t number = strtoull(line + strlen(pattern), NULL, 10);
    free(text);
    return number;
}

/* M7: a leader that is told so can tell such a node from a dead one; it comes with the next that it hears of meta. */
Test(simulated_topics, frames_for_a_group_that_is_not_known_yet_are_answered)
{
    struct cluster *cluster = founded(3, 3);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    const uint32_t meta_leader = founded_leader(cluster, 0);
    const uint32_t late = (meta_leader + 1u) % 3u;
    const uint32_t other = (meta_leader + 2u) % 3u;
    bool is_led_by_other = false;
    for (uint32_t i = 0; i < 6u && !is_led_by_other; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%u", i);
        const uint64_t known = metric(cluster, late, "peer_unknown_groups_total");
        const uint64_t told = metric(cluster, other, "peer_unknown_groups_told_total");
        sim_set_link(cluster->sim, meta_leader, late, SIM_LINK_STALLED);
        cr_assert_eq(cluster_create_topic(cluster, other, name, 3), NODE_OK);
        is_led_by_other =
            peek_first_leader(cluster->nodes[meta_leader].node, name, 0) == other + 1u;
        if (is_led_by_other) {
            sim_run_for(cluster->sim, 20000);
            cr_assert_eq(cluster_group(cluster, late, name), 0, "it knows the topic");
            cr_assert_gt(metric(cluster, late, "peer_unknown_groups_total"), known);
            cr_assert_gt(metric(cluster, other, "peer_unknown_groups_told_total"), told);
        }
        sim_heal(cluster->sim);
        sim_run_for(cluster->sim, SECOND_US);
        struct node_group_status status;
        cr_assert(
            cluster_group_status(cluster, late, cluster_group(cluster, other, name), &status));
        cr_assert_geq(status.applied_index, 1, "it has come");
    }
    cr_assert(is_led_by_other, "no topic was led by the node that is neither");
    cluster_destroy(cluster);
}
