/* Goal: a replica whose log lacks what the others have dropped gets their base, whole or not at all, wherever either end
 * dies, and then the same state as everybody (PROTOCOL S3, S5).
 * Method: group 0 drops its prefix after a few entries in these clusters. A node sleeps while topics are made and deleted,
 * then wakes; both ends are killed, cut off or lose power at chosen instants. */
#include "behind.h"
#include "founded.h"
#include "peek.h"
#include "poke.h"
#include "sim_cluster.h"
#include "sim_invariants.h"
#include "thinned.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <memory_disk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u
#define NODES     BEHIND_NODES

/* The replicas that the state of group 0 names are there: they take a message and all give it back. */
static void expect_topics(struct cluster *cluster)
{
    for (uint32_t i = 1; i < 24; i += 6) {
        char topic[CLUSTER_NAME_MAX];
        snprintf(topic, sizeof(topic), "topic-%u", i);
        cr_assert(cluster_produce_once(cluster, i % NODES, topic, i, -1, 0, 10 * SECOND_US, NULL));
        const uint64_t group = cluster_group(cluster, 0, topic);
        cr_assert_neq(group, 0);
        behind_expect_same(cluster, group);
    }
}

Test(simulated_install, a_replica_that_is_far_behind_gets_a_base_and_what_it_says)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct cluster *cluster = behind_cluster(seed);
        const uint32_t sleeper = behind_other_than(cluster, cluster_leader(cluster, 0));
        const uint64_t last_index = behind_let_fall(cluster, sleeper);
        cluster_start(cluster, sleeper);
        behind_expect_same(cluster, 0);
        const struct peek_group peek = behind_look(cluster, sleeper, 0);
        cr_assert_gt(peek.base_index, last_index);
        cr_assert_eq(peek_bases_installed(&peek), 1);
        expect_topics(cluster);
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}

/* It is told of another chain at its last entry, which nobody has any more, while a base is on its way that replaces it. */
Test(simulated_install, a_base_ends_the_dispute_about_what_it_replaces)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct cluster *cluster = behind_cluster(seed);
        const uint32_t sleeper = behind_other_than(cluster, cluster_leader(cluster, 0));
        sim_run_for(cluster->sim, 2 * SECOND_US); /* the nodes register */
        cr_assert_gt(behind_let_fall(cluster, sleeper), 0);
        cluster_start(cluster, sleeper);
        const uint32_t leader = (uint32_t)cluster_leader(cluster, 0);
        struct peek_group sender = behind_look(cluster, leader, 0);
        const uint64_t sent = peek_base_bytes_sent(&sender);
        for (uint32_t i = 0; i < 20000 && peek_base_bytes_sent(&sender) == sent; i++) {
            sim_run_for(cluster->sim, 100);
            sender = behind_look(cluster, leader, 0);
        }
        struct peek_group peek = behind_look(cluster, sleeper, 0);
        cr_assert_eq(peek_bases_installed(&peek), 0);
        const struct raft_message heartbeat = {
            .type = RAFT_MESSAGE_HEARTBEAT,
            .group = 0,
            .from = {.node = leader + 1u, .epoch = sender.epoch},
            .to = {.node = sleeper + 1u, .epoch = peek.epoch},
            .term = sender.term,
            .heartbeat = {.commit_index = peek.last_index, .commit_chain = 4711},
        };
        poke_message(cluster->nodes[sleeper].node, &heartbeat);
        struct node_group_status status;
        cr_assert(cluster_group_status(cluster, sleeper, 0, &status));
        cr_assert_not_null(strstr(status.problem, "differs from"), "seed %" PRIu64, seed);
        behind_expect_same(cluster, 0);
        peek = behind_look(cluster, sleeper, 0);
        cr_assert_eq(peek_bases_installed(&peek), 1);
        cr_assert(cluster_group_status(cluster, sleeper, 0, &status));
        cr_assert_str_eq(status.problem, "");
        expect_topics(cluster);
        cluster_destroy(cluster);
    }
}

/* ---- crashes -------------------------------------------------------------------------------------------------------- */

/* Returns whether the receiver had the base before it made so many disk calls. */
static bool receive_with_crash(uint64_t calls, enum sim_crash mode, uint32_t *ret_crashes)
{
    struct cluster *cluster = behind_cluster(7);
    const uint32_t sleeper = behind_other_than(cluster, cluster_leader(cluster, 0));
    (void)behind_let_fall(cluster, sleeper);
    cluster_start(cluster, sleeper);
    sim_crash_at_disk_call(cluster->sim, sleeper, calls, mode);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    const bool crashed = !sim_is_running(cluster->sim, sleeper);
    if (crashed) {
        cluster_start(cluster, sleeper);
        (*ret_crashes)++;
    }
    behind_expect_same(cluster, 0);
    cr_assert_eq(cluster->fatals_count, 0, "call %" PRIu64 ": %s", calls,
                 cluster->last_fatal_reason);
    cluster_destroy(cluster);
    return !crashed;
}

static void receiver_crashes(enum sim_crash mode)
{
    uint32_t crashes = 0;
    for (uint64_t calls = 0; calls < 80; calls += 1u) {
        if (thinned_takes(mode, calls) && receive_with_crash(calls, mode, &crashes)) break;
    }
    cr_assert_gt(crashes, thinned_least(30), "the base arrived before the crashes");
}

Test(simulated_install, the_receiver_may_be_killed_before_any_disk_call)
{
    receiver_crashes(SIM_CRASH_KILL);
}

Test(simulated_install, the_receiver_may_lose_power_before_any_disk_call)
{
    receiver_crashes(SIM_CRASH_POWER);
}

/* Run until the sender has handed over so much of its base. */
static void run_to_bytes(struct cluster *cluster, uint32_t sender, uint64_t bytes)
{
    struct peek_group peek = behind_look(cluster, sender, 0);
    for (uint32_t i = 0; i < 400000 && peek_base_bytes_sent(&peek) < bytes; i++) {
        cr_assert(sim_step(cluster->sim));
        peek = behind_look(cluster, sender, 0);
    }
    cr_assert_geq(peek_base_bytes_sent(&peek), bytes);
}

/* Every few milliseconds of the way, the leader goes; another one takes over, or the same one when it is back. */
Test(simulated_install, the_sender_may_die_at_any_instant)
{
    uint32_t on_its_way = 0;
    for (uint64_t after_us = 0; after_us <= 60000; after_us += 3000) {
        if (!thinned_takes(0, after_us / 3000)) continue;
        struct cluster *cluster = behind_cluster(9);
        const uint32_t sleeper = behind_other_than(cluster, cluster_leader(cluster, 0));
        (void)behind_let_fall(cluster, sleeper);
        const int found = cluster_leader(cluster, 0);
        cr_assert_geq(found, 0);
        const uint32_t leader = (uint32_t)found;
        sim_set_link_us(cluster->sim, 1000, 3000);
        cluster_start(cluster, sleeper);
        run_to_bytes(cluster, leader, 1);
        sim_run_for(cluster->sim, after_us);
        const struct peek_group receiver = behind_look(cluster, sleeper, 0);
        if (peek_bases_installed(&receiver) == 0) on_its_way++;
        cluster_crash(cluster, leader, after_us % 2 ? SIM_CRASH_KILL : SIM_CRASH_POWER);
        sim_run_for(cluster->sim, SECOND_US / 2u);
        cluster_start(cluster, leader);
        behind_expect_same(cluster, 0);
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
    cr_assert_gt(on_its_way, thinned_least(5));
}

Test(simulated_install, a_power_cut_right_after_the_switch_finds_the_base)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster *cluster = behind_cluster(seed);
        const uint32_t sleeper = behind_other_than(cluster, cluster_leader(cluster, 0));
        const uint64_t last_index = behind_let_fall(cluster, sleeper);
        cluster_start(cluster, sleeper);
        struct peek_group peek = behind_look(cluster, sleeper, 0);
        for (uint32_t i = 0; i < 200000 && peek_bases_installed(&peek) == 0; i++) {
            cr_assert(sim_step(cluster->sim));
            peek = behind_look(cluster, sleeper, 0);
        }
        cr_assert_eq(peek_bases_installed(&peek), 1);
        cluster_crash(cluster, sleeper, SIM_CRASH_POWER);
        cluster_start(cluster, sleeper);
        peek = behind_look(cluster, sleeper, 0);
        cr_assert_gt(peek.base_index, last_index);
        behind_expect_same(cluster, 0);
        const struct peek_group after = behind_look(cluster, sleeper, 0);
        cr_assert_eq(peek_bases_installed(&after), 0, "it was sent again");
        expect_topics(cluster);
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}

/* ---- slow links ----------------------------------------------------------------------------------------------------- */

/* By the time it arrives the leader has made several newer ones. */
static uint64_t installs_while_bases_are_made(uint64_t hold_bytes, bool *ret_is_same)
{
    struct cluster_options options;
    cluster_options_init(&options, 17, NODES);
    options.base_chunk_bytes = 16;
    options.meta_log_entries = 2;
    options.base_hold_bytes = hold_bytes;
    struct cluster *cluster = founded_with(&options);
    const uint32_t sleeper = behind_other_than(cluster, cluster_leader(cluster, 0));
    (void)behind_let_fall(cluster, sleeper);
    const uint32_t awake = (uint32_t)cluster_leader(cluster, 0);
    sim_set_link_us(cluster->sim, 20000, 25000);
    cluster_start(cluster, sleeper);
    behind_change_topics(cluster, awake, 100, 30);
    const struct peek_group peek = behind_look(cluster, sleeper, 0);
    const struct peek_group leader = behind_look(cluster, awake, 0);
    const uint64_t installed = peek_bases_installed(&peek);
    *ret_is_same = peek.applied_index + 10u > leader.applied_index;
    sim_heal(cluster->sim);
    behind_expect_same(cluster, 0);
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
    return installed;
}

Test(simulated_install, a_base_on_its_way_is_not_outrun_by_newer_ones)
{
    bool is_same;
    cr_assert_eq(installs_while_bases_are_made(0, &is_same), 1);
    cr_assert(is_same, "it has caught up while the others worked");
}

/* A replica that takes for ever fills no disk. */
Test(simulated_install, a_log_that_is_too_long_waits_for_no_base)
{
    bool is_same;
    cr_assert_neq(installs_while_bases_are_made(1, &is_same), 1);
}

/* ---- interruptions -------------------------------------------------------------------------------------------------- */

static uint64_t run_to_the_end(struct cluster *cluster, uint32_t sender, uint32_t receiver)
{
    uint64_t sent = 0;
    struct peek_group peek = behind_look(cluster, receiver, 0);
    for (uint32_t i = 0; i < 400000 && peek_bases_installed(&peek) == 0; i++) {
        cr_assert(sim_step(cluster->sim));
        peek = behind_look(cluster, receiver, 0);
        const struct peek_group other = behind_look(cluster, sender, 0);
        sent = peek_base_bytes_sent(&other);
    }
    cr_assert_eq(peek_bases_installed(&peek), 1);
    return sent;
}

/* Bytes of a whole transfer in a cluster like the others: they are alike to the last byte. */
static uint64_t bytes_of_a_base(uint64_t seed)
{
    struct cluster *cluster = behind_cluster(seed);
    const uint32_t sleeper = behind_other_than(cluster, cluster_leader(cluster, 0));
    (void)behind_let_fall(cluster, sleeper);
    const int leader = cluster_leader(cluster, 0);
    cluster_start(cluster, sleeper);
    const uint64_t bytes = run_to_the_end(cluster, (uint32_t)leader, sleeper);
    cluster_destroy(cluster);
    return bytes;
}

Test(simulated_install, a_transfer_that_was_cut_goes_on_where_it_was)
{
    const uint64_t bytes = bytes_of_a_base(11);
    cr_assert_gt(bytes, 15u * BEHIND_CHUNK_BYTES);
    struct cluster *cluster = behind_cluster(11);
    const uint32_t sleeper = behind_other_than(cluster, cluster_leader(cluster, 0));
    (void)behind_let_fall(cluster, sleeper);
    const uint32_t leader = (uint32_t)cluster_leader(cluster, 0);
    cluster_start(cluster, sleeper);
    run_to_bytes(cluster, leader, bytes / 2u);
    sim_set_link(cluster->sim, leader, sleeper, SIM_LINK_CUT);
    sim_run_for(cluster->sim, SECOND_US / 10u);
    sim_heal(cluster->sim);
    const uint64_t sent = run_to_the_end(cluster, leader, sleeper);
    cr_assert_geq(sent, bytes);
    cr_assert_leq(sent, bytes + 4u * BEHIND_CHUNK_BYTES,
                  "more than what was on its way was sent again");
    behind_expect_same(cluster, 0);
    cluster_destroy(cluster);
}

Test(simulated_install, a_transfer_goes_on_where_it_was_when_the_sender_was_restarted)
{
    const uint64_t bytes = bytes_of_a_base(13);
    struct cluster *cluster = behind_cluster(13);
    const uint32_t sleeper = behind_other_than(cluster, cluster_leader(cluster, 0));
    (void)behind_let_fall(cluster, sleeper);
    const uint32_t leader = (uint32_t)cluster_leader(cluster, 0);
    const uint32_t third = 3u - leader - sleeper;
    cluster_start(cluster, sleeper);
    run_to_bytes(cluster, leader, bytes / 2u);
    cluster_crash(cluster, third, SIM_CRASH_KILL); /* so that the same node leads again */
    cluster_crash(cluster, leader, SIM_CRASH_KILL);
    cluster_start(cluster, leader);
    const uint64_t sent = run_to_the_end(cluster, leader, sleeper);
    cr_assert_leq(sent, bytes - 4u * BEHIND_CHUNK_BYTES, "it was sent from the beginning");
    cluster_start(cluster, third);
    behind_expect_same(cluster, 0);
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
}

/* Chunks of the old leader are held up on their way, the new one goes on with the same base, and then they come. */
Test(simulated_install, chunks_of_a_former_sender_that_come_late_change_nothing)
{
    uint32_t late_count = 0;
    for (uint64_t seed = 21; seed <= 28; seed++) {
        const uint64_t bytes = bytes_of_a_base(seed);
        struct cluster *cluster = behind_cluster(seed);
        const uint32_t sleeper = behind_other_than(cluster, cluster_leader(cluster, 0));
        (void)behind_let_fall(cluster, sleeper);
        const uint32_t former = (uint32_t)cluster_leader(cluster, 0);
        const uint32_t next = 3u - former - sleeper;
        cluster_start(cluster, sleeper);
        run_to_bytes(cluster, former, bytes / 3u);
        sim_set_link(cluster->sim, former, sleeper, SIM_LINK_STALLED);
        (void)poke_transfer(cluster->nodes[former].node, 0, next + 1u);
        run_to_bytes(cluster, next, 1);
        sim_heal(cluster->sim);
        const uint64_t sent = run_to_the_end(cluster, next, sleeper);
        if (sent < bytes) late_count++; /* it went on where the former one was */
        cr_assert_lt(sent, bytes + bytes / 4u, "seed %d: it was sent again", (int)seed);
        behind_expect_same(cluster, 0);
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
    cr_assert_gt(late_count, 4, "%u: hardly any went on", late_count);
}

/* ---- partitions, and a log that has caught up ------------------------------------------------------------------------- */

#define TOPIC       "orders"
#define SLOW_FACTOR 20000u

static void produce(struct cluster *cluster, uint32_t node, uint64_t from, uint64_t to)
{
    for (uint64_t value = from; value < to; value++) {
        cr_assert(cluster_produce_once(cluster, node, TOPIC, value, -1, 0, 10 * SECOND_US, NULL));
    }
}

static bool is_base_at(struct cluster *cluster, uint32_t node, uint64_t group, uint64_t least)
{
    return behind_look(cluster, node, group).base_index >= least;
}

/* The node makes bases until its log starts at `least` or behind. */
static void drop_through(struct cluster *cluster, uint32_t node, uint64_t group, uint64_t least,
                         uint64_t *value)
{
    for (uint32_t i = 0; i < 10 && !is_base_at(cluster, node, group, least); i++) {
        const int leader = cluster_leader(cluster, group);
        poke_make_base(cluster->nodes[node].node, group);
        if (leader >= 0) poke_make_base(cluster->nodes[leader].node, group); /* it trims */
        produce(cluster, node, *value, *value + 3u);
        *value += 3u;
        sim_run_for(cluster->sim, SECOND_US); /* who slept is waited for, for a while */
    }
    cr_assert(is_base_at(cluster, node, group, least));
}

static bool reads_value(struct cluster *cluster, uint32_t node, uint64_t offset)
{
    struct cluster_call call;
    memset(&call, 0, sizeof(call));
    cluster_fill_fetch(&call, TOPIC, offset, 0);
    cluster_submit(cluster, node, &call);
    cr_assert(cluster_wait(&call, 10 * SECOND_US));
    const bool is_read = call.request.status == NODE_OK && call.request.ret_next_offset > offset;
    cluster_call_close(&call);
    return is_read;
}

Test(simulated_install, a_partition_gets_its_producers_and_offsets_with_a_base)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct cluster *cluster = behind_cluster(seed);
        cr_assert_eq(cluster_create_topic(cluster, 0, TOPIC, NODES), NODE_OK);
        const uint64_t group = cluster_group(cluster, 0, TOPIC);
        const int found = cluster_wait_leader(cluster, group, 5 * SECOND_US);
        cr_assert_geq(found, 0);
        const uint32_t leader = (uint32_t)found;
        const uint32_t sleeper = (leader + 1u) % NODES, third = (leader + 2u) % NODES;
        produce(cluster, leader, 0, 10);
        sim_run_for(cluster->sim, SECOND_US);
        const uint64_t last_index = behind_look(cluster, sleeper, group).last_index;
        cluster_crash(cluster, sleeper, SIM_CRASH_POWER);
        const int64_t id = cluster_producer_id(cluster, leader);
        uint64_t offset = 0, again = 0;
        cr_assert(cluster_produce_once(cluster, leader, TOPIC, 10, id, 0, 5 * SECOND_US, &offset));
        struct cluster_call commit;
        memset(&commit, 0, sizeof(commit));
        cluster_fill_commit(&commit, TOPIC, "readers", 7);
        cluster_submit(cluster, leader, &commit);
        cr_assert(cluster_wait(&commit, 5 * SECOND_US));
        cr_assert_eq(commit.request.status, NODE_OK);
        cluster_call_close(&commit);
        uint64_t value = 11;
        drop_through(cluster, leader, group, last_index + 1u, &value);
        drop_through(cluster, third, group, last_index + 1u, &value);

        cluster_start(cluster, sleeper);
        behind_expect_same(cluster, group);
        const struct peek_group peek = behind_look(cluster, sleeper, group);
        cr_assert_eq(peek_bases_installed(&peek), 1);
        cr_assert(reads_value(cluster, sleeper, value - 1u));
        /* It leads, and knows the batch that it never saw. */
        cluster_crash(cluster, leader, SIM_CRASH_KILL);
        cluster_crash(cluster, third, SIM_CRASH_KILL);
        cluster_start(cluster, third);
        cr_assert(cluster_produce_once(cluster, sleeper, TOPIC, 10, id, 0, 15 * SECOND_US, &again));
        cr_assert_eq(again, offset);
        cluster_start(cluster, leader);
        behind_expect_same(cluster, group);
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}

/* True: it was late. The base is whole on the receiver's disk and waits for its new log; meanwhile another leader, which dropped nothing, sends
 * the entries themselves. The log that has them is kept, what is behind the base in it included. */
static bool install_late(uint64_t seed)
{
    struct cluster *cluster = behind_cluster(seed);
    cr_assert_eq(cluster_create_topic(cluster, 0, TOPIC, NODES), NODE_OK);
    const uint64_t group = cluster_group(cluster, 0, TOPIC);
    const int found = cluster_wait_leader(cluster, group, 5 * SECOND_US);
    cr_assert_geq(found, 0);
    const uint32_t leader = (uint32_t)found;
    const uint32_t sleeper = (leader + 1u) % NODES, third = (leader + 2u) % NODES;
    produce(cluster, leader, 0, 10);
    sim_run_for(cluster->sim, SECOND_US);
    const uint64_t last_index = behind_look(cluster, sleeper, group).last_index;
    cluster_crash(cluster, sleeper, SIM_CRASH_KILL);
    uint64_t value = 10;
    drop_through(cluster, leader, group, last_index + 1u, &value);

    cluster_start(cluster, sleeper);
    struct peek_group peek = behind_look(cluster, sleeper, group);
    for (uint32_t i = 0; i < 400000 && !peek_is_switching(&peek); i++) {
        cr_assert(sim_step(cluster->sim));
        peek = behind_look(cluster, sleeper, group);
    }
    cr_assert(peek_is_switching(&peek));
    /* Its jobs take seconds from here on: the birth of the log, the name of the base, and its vote beside them. */
    sim_set_job_factor(cluster->sim, sleeper, SLOW_FACTOR);
    for (uint32_t i = 0; i < 20 && cluster_leader(cluster, group) != (int)third; i++) {
        (void)poke_transfer(cluster->nodes[leader].node, group, third + 1u);
        sim_run_for(cluster->sim, SECOND_US / 10u);
    }
    cr_assert_eq(cluster_leader(cluster, group), (int)third);
    for (uint32_t i = 0; i < 400000 && peek.last_index == last_index; i++) {
        cr_assert(sim_step(cluster->sim));
        peek = behind_look(cluster, sleeper, group);
    }
    cr_assert_gt(peek.last_index, last_index, "nothing came");
    if (!peek_is_switching(&peek)) { /* the vote took longer than the switch */
        cluster_destroy(cluster);
        return false;
    }
    sim_set_job_factor(cluster->sim, sleeper, 1);
    produce(cluster, third, value, value + 3u);
    behind_expect_same(cluster, group);
    peek = behind_look(cluster, sleeper, group);
    cr_assert_eq(peek_bases_installed(&peek), 0);
    cr_assert_eq(peek.base_index, 0);
    cr_assert(reads_value(cluster, sleeper, peek.log_start_offset));
    cluster_crash(cluster, sleeper, SIM_CRASH_POWER);
    cluster_start(cluster, sleeper);
    behind_expect_same(cluster, group);
    peek = behind_look(cluster, sleeper, group);
    cr_assert_leq(peek.base_next_offset, peek.log_start_offset, "what is kept is there");
    cr_assert(reads_value(cluster, sleeper, peek.log_start_offset));
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
    return true;
}

Test(simulated_install, a_base_that_comes_late_changes_nothing)
{
    uint32_t late = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        late += install_late(seed);
    }
    cr_assert_geq(late, 3);
}

/* Its log starts at a base of its own, and a newer one replaces it. Whatever of the switch is on the disk when it ends, one of the
 * two is there with the log that starts at it: it comes back by itself, with no less than it had. */
static bool switch_with_crash(uint64_t calls, enum sim_crash mode, uint32_t *ret_crashes)
{
    struct cluster *cluster = behind_cluster(3);
    cr_assert_eq(cluster_create_topic(cluster, 0, TOPIC, NODES), NODE_OK);
    const uint64_t group = cluster_group(cluster, 0, TOPIC);
    const uint32_t leader = (uint32_t)cluster_wait_leader(cluster, group, 5 * SECOND_US);
    const uint32_t sleeper = (leader + 1u) % NODES, third = (leader + 2u) % NODES;
    uint64_t value = 0;
    drop_through(cluster, sleeper, group, 1, &value);
    const struct peek_group before = behind_look(cluster, sleeper, group);
    cluster_crash(cluster, sleeper, SIM_CRASH_KILL);
    drop_through(cluster, leader, group, before.last_index + 1u, &value);
    drop_through(cluster, third, group, before.last_index + 1u, &value);

    cluster_start(cluster, sleeper);
    struct peek_group peek = behind_look(cluster, sleeper, group);
    for (uint32_t i = 0; i < 400000 && !peek_is_switching(&peek); i++) {
        cr_assert(sim_step(cluster->sim));
        peek = behind_look(cluster, sleeper, group);
    }
    cr_assert(peek_is_switching(&peek));
    sim_crash_at_disk_call(cluster->sim, sleeper, calls, mode);
    sim_run_for(cluster->sim, SECOND_US);
    const bool crashed = !sim_is_running(cluster->sim, sleeper);
    if (crashed) {
        cluster_start(cluster, sleeper);
        peek = behind_look(cluster, sleeper, group);
        cr_assert_eq(peek.epoch, before.epoch, "call %d: it is made again", (int)calls);
        const bool is_old = peek.base_index == before.base_index;
        cr_assert(is_old ? peek.last_index >= before.last_index
                         : peek.base_index > before.last_index);
        (*ret_crashes)++;
    }
    behind_expect_same(cluster, group);
    peek = behind_look(cluster, sleeper, group);
    cr_assert_eq(peek.epoch, before.epoch);
    cr_assert(reads_value(cluster, sleeper, value - 1u));
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
    return !crashed;
}

Test(simulated_install, a_switch_from_one_base_to_another_may_end_before_any_disk_call)
{
    uint32_t crashes = 0;
    bool is_through[2] = {false, false};
    for (uint64_t calls = 0; calls < 80 && !(is_through[0] && is_through[1]); calls++) {
        if (!is_through[0]) is_through[0] = switch_with_crash(calls, SIM_CRASH_KILL, &crashes);
        if (!is_through[1]) is_through[1] = switch_with_crash(calls, SIM_CRASH_POWER, &crashes);
    }
    cr_assert_gt(crashes, 15);
}

/* ---- reads ------------------------------------------------------------------------------------------------------------ */

/* Run until the first bytes of its base are on their way. */
static void run_to_base(struct cluster *cluster, uint32_t sender, uint64_t group)
{
    struct peek_group peek = behind_look(cluster, sender, group);
    for (uint32_t i = 0; i < 400000 && peek_base_bytes_sent(&peek) == 0; i++) {
        cr_assert(sim_step(cluster->sim));
        peek = behind_look(cluster, sender, group);
    }
    cr_assert_gt(peek_base_bytes_sent(&peek), 0);
}

/* Its log was replaced, and its state knows again that all in front of that is trimmed: but for the rule it would be read. */
static bool is_read_but_for_the_rule(const struct peek_group *peek)
{
    return peek_bases_installed(peek) == 1 && peek->trimmed_index >= peek->base_index;
}

/* A topic that is read locally, also without asking a leader: but a replica that has just become a base knows that more is
 * committed, and waits for it. Else a reader who has seen the end sees less. While the base is on its way a segment of the leader
 * ends, so that what is behind the base comes in pieces; and it keeps no entry in memory. */
Test(simulated_install, a_local_read_waits_for_what_was_committed_at_the_switch)
{
    uint32_t behind = 0;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct cluster_options options;
        cluster_options_init(&options, seed, NODES);
        options.base_chunk_bytes = BEHIND_CHUNK_BYTES;
        options.cache_bytes_max = 256;
        struct cluster *cluster = founded_with(&options);
        struct cluster_call create;
        memset(&create, 0, sizeof(create));
        cluster_fill_create(&create, TOPIC, 1, NODES);
        create.request.create.settings.local_reads = true;
        cluster_submit(cluster, 0, &create);
        cr_assert(cluster_wait(&create, 10 * SECOND_US));
        cr_assert_eq(create.request.status, NODE_OK);
        cluster_call_close(&create);
        const uint64_t group = cluster_group(cluster, 0, TOPIC);
        const uint32_t leader = (uint32_t)cluster_wait_leader(cluster, group, 5 * SECOND_US);
        const uint32_t sleeper = (leader + 1u) % NODES, third = (leader + 2u) % NODES;
        produce(cluster, leader, 0, 10);
        sim_run_for(cluster->sim, SECOND_US);
        const uint64_t last_index = behind_look(cluster, sleeper, group).last_index;
        cluster_crash(cluster, sleeper, SIM_CRASH_KILL);
        uint64_t value = 10;
        drop_through(cluster, leader, group, last_index + 1u, &value);
        drop_through(cluster, third, group, last_index + 1u, &value);
        produce(cluster, leader, value, value + 5u); /* behind the newest base */
        value += 5u;

        cluster_start(cluster, sleeper);
        run_to_base(cluster, leader, group);
        sim_set_link(cluster->sim, leader, sleeper, SIM_LINK_STALLED);
        poke_make_base(cluster->nodes[leader].node, group);
        produce(cluster, leader, value, value + 60u);
        value += 60u;
        sim_heal(cluster->sim);
        struct peek_group peek = behind_look(cluster, sleeper, group);
        for (uint32_t i = 0; i < 400000 && !is_read_but_for_the_rule(&peek); i++) {
            cr_assert(sim_step(cluster->sim));
            peek = behind_look(cluster, sleeper, group);
        }
        cr_assert(is_read_but_for_the_rule(&peek));
        const bool is_behind =
            peek.applied_index < behind_look(cluster, leader, group).commit_index;
        behind += is_behind;
        /* The end of what it has applied: nothing is there, unless it waits. */
        const uint64_t end = is_behind ? peek.applied_next_offset : value - 1u;
        struct cluster_call fetch;
        memset(&fetch, 0, sizeof(fetch));
        cluster_fill_fetch(&fetch, TOPIC, end, 0);
        cluster_submit(cluster, sleeper, &fetch);
        cr_assert(cluster_wait(&fetch, 10 * SECOND_US));
        cr_assert_eq(fetch.request.status, NODE_OK, "%s", fetch.request.detail);
        cr_assert_gt(fetch.request.ret_next_offset, end, "it answered without what was committed");
        cluster_call_close(&fetch);
        cluster_destroy(cluster);
    }
    cr_assert_geq(behind, 3);
}

/* ---- own bases ------------------------------------------------------------------------------------------------------ */

/* The others are quick and commit; here the state is ahead of the disk, and the base of it waits until the log is there (S2). At
 * no disk call may a power cut leave a base that the log does not reach. */
Test(simulated_install, an_own_base_is_written_when_the_log_is_durable_through_it)
{
    uint32_t ahead_count = 0;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct cluster *cluster = behind_cluster(seed);
        cr_assert_eq(cluster_create_topic(cluster, 0, TOPIC, NODES), NODE_OK);
        const uint64_t group = cluster_group(cluster, 0, TOPIC);
        const uint32_t leader = (uint32_t)cluster_wait_leader(cluster, group, 5 * SECOND_US);
        const uint32_t slow = (leader + 1u) % NODES;
        sim_set_job_factor(cluster->sim, slow, 30);
        uint64_t calls = 0;
        for (uint64_t value = 0; value < 20; value++) {
            produce(cluster, leader, value, value + 1u);
            poke_make_base(cluster->nodes[slow].node, group);
            for (uint32_t i = 0; i < 200; i++) {
                cr_assert(sim_step(cluster->sim));
                const struct peek_group peek = behind_look(cluster, slow, group);
                if (peek.applied_index > peek.durable_index) ahead_count++;
                const uint64_t now = memory_disk_calls(sim_memory_disk(cluster->sim, slow));
                if (now == calls) continue;
                calls = now;
                invariants_check_image(cluster->invariants, cluster->sim, slow,
                                       cluster->nodes[slow].node, seed + value);
            }
        }
        cluster_destroy(cluster);
    }
    cr_assert_gt(ahead_count, 100, "the log was never behind the state");
}

/* ---- what a base lets be forgotten ---------------------------------------------------------------------------------- */

/* The newest checkpoint of group 0 is damaged, and the state begins again where the topic was not yet deleted. That its
 * replica is gone must still be known: made again, it would be another replica under the same name (M3, M4). */
Test(simulated_install, a_deleted_replica_is_not_made_again_when_a_checkpoint_is_damaged)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct cluster *cluster = behind_cluster(seed);
        cr_assert_eq(cluster_create_topic(cluster, 0, TOPIC, NODES), NODE_OK);
        const uint64_t group = cluster_group(cluster, 0, TOPIC);
        poke_make_base(cluster->nodes[1].node, 0);
        sim_run_for(cluster->sim, SECOND_US);
        cr_assert_eq(cluster_delete_topic(cluster, 0, TOPIC), NODE_OK);
        sim_run_for(cluster->sim, 3 * SECOND_US); /* checkpoints come every second */
        const uint64_t index = behind_look(cluster, 1, 0).applied_index;
        cluster_crash(cluster, 1, SIM_CRASH_KILL);
        char path[DISK_PATH_MAX];
        snprintf(path, sizeof(path), "/data/groups/%020u/checkpoint-%020" PRIu64 ".snap", 0u,
                 index);
        cr_assert_eq(memory_disk_flip(sim_memory_disk(cluster->sim, 1), path, 100, 1), 0, "%s",
                     path);
        /* Alone it hears of no commit, and has only what it finds. */
        sim_isolate(cluster->sim, 1, SIM_LINK_CUT);
        cluster_start(cluster, 1);
        cr_assert_gt(behind_look(cluster, 1, 0).applied_index, 0);
        cr_assert_lt(behind_look(cluster, 1, 0).applied_index, index);
        sim_run_for(cluster->sim, SECOND_US);
        struct peek_group peek;
        cr_assert_not(peek_group(cluster->nodes[1].node, group, &peek), "it was made again");
        sim_heal(cluster->sim);
        behind_expect_same(cluster, 0);
        cr_assert_not(peek_group(cluster->nodes[1].node, group, &peek));
        cluster_destroy(cluster);
    }
}
