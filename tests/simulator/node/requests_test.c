/* Goal: every request is answered, and answered rightly, whatever its node is doing: stopping, full, paused, without a
 * replica. Method: whole simulated nodes, many requests at once. */
#include "founded.h"
#include "peek.h"
#include "poke.h"
#include "sim_cluster.h"

#include <broker/record_batch.h>
#include <broker/request_codec.h>
#include <criterion/criterion.h>
#include <memory_disk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u
#define CALLS     64u

static struct cluster_call *new_calls(void)
{
    struct cluster_call *calls = calloc(CALLS, sizeof(*calls));
    cr_assert_not_null(calls);
    return calls;
}

static void close_calls(struct cluster_call *calls)
{
    for (uint32_t i = 0; i < CALLS; i++) {
        cluster_call_close(&calls[i]);
    }
    free(calls);
}

static void settle(struct cluster *cluster, const char *topic)
{
    const uint64_t group = cluster_group(cluster, 0, topic);
    cr_assert_neq(group, 0);
    cr_assert_geq(cluster_wait_leader(cluster, group, 5 * SECOND_US), 0);
}

/* ---- stopping ----------------------------------------------------------------------------------------------------- */

static struct cluster_call *load_calls;
static struct cluster *load_cluster;
static uint32_t load_node;
static uint64_t load_value;

/* Keep all calls of the load busy, through one node. */
static void keep_busy(void *data)
{
    (void)data;
    for (uint32_t i = 0; i < CALLS; i++) {
        struct cluster_call *call = &load_calls[i];
        if (call->cluster && !call->is_done) continue;
        cluster_call_close(call);
        cluster_fill_produce(call, "orders", load_value++, -1, 0);
        cluster_submit(load_cluster, load_node, call);
    }
}

/* The node that stops either leads or follows; the load goes on through another one, and asks the stopping one, too. */
static void stop_under_load(bool leads)
{
    struct cluster_options options;
    cluster_options_init(&options, leads ? 1 : 2, 3);
    load_calls = new_calls();
    struct cluster *cluster = founded_with(&options);
    load_cluster = cluster;
    load_value = 0;
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    settle(cluster, "orders");
    const int leader = cluster_leader(cluster, cluster_group(cluster, 0, "orders"));
    const uint32_t victim = leads ? (uint32_t)leader : (uint32_t)(leader + 1) % 3u;
    load_node = (victim + 1u) % 3u;
    cluster->options.after_event = keep_busy;
    sim_run_for(cluster->sim, SECOND_US / 2);
    const uint64_t started_us = sim_now_us(cluster->sim);
    cr_assert(cluster_stop(cluster, victim, 5000, 8 * SECOND_US), "it does not stop under load");
    const uint64_t took_us = sim_now_us(cluster->sim) - started_us;
    cr_assert_lt(took_us, SECOND_US, "it took %d ms", (int)(took_us / 1000u));
    cr_assert_not(cluster->nodes[victim].led_when_stopped, "it went away as a leader");
    cluster->options.after_event = NULL;
    for (uint32_t i = 0; i < CALLS; i++) {
        cr_assert(cluster_wait(&load_calls[i], 15 * SECOND_US));
    }
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    close_calls(load_calls);
    cluster_destroy(cluster);
}

Test(simulated_requests, a_leader_stops_at_once_under_load)
{
    stop_under_load(true);
}

Test(simulated_requests, a_follower_stops_at_once_under_load)
{
    stop_under_load(false);
}

/* What it took and cannot write is not its own any more: the others have it. */
Test(simulated_requests, a_follower_on_a_full_disk_stops)
{
    struct cluster_options options;
    cluster_options_init(&options, 3, 3);
    options.segment_bytes_max = 32768;
    struct cluster *cluster = founded_with(&options);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    settle(cluster, "orders");
    const uint64_t group = cluster_group(cluster, 0, "orders");
    const uint32_t leader = (uint32_t)cluster_leader(cluster, group);
    const uint32_t victim = (leader + 1u) % 3u;
    struct disk *disk = sim_memory_disk(cluster->sim, victim);
    struct peek_group peek = {0};
    for (uint64_t value = 0; value < 600 && peek.durable_index == peek.last_index; value++) {
        /* The disk is full between the moment in which it takes an entry and that in which it writes it. */
        struct cluster_call call = {0};
        cluster_fill_produce(&call, "orders", value, -1, 0);
        cluster_submit(cluster, leader, &call);
        for (uint32_t i = 0; i < 1000 && peek.durable_index == peek.last_index; i++) {
            sim_run_for(cluster->sim, 20);
            cr_assert(peek_group(cluster->nodes[victim].node, group, &peek));
        }
        memory_disk_set_capacity(disk, memory_disk_used(disk));
        cr_assert(cluster_wait(&call, 10 * SECOND_US));
        cluster_call_close(&call);
        sim_run_for(cluster->sim, SECOND_US / 5u);
        cr_assert(peek_group(cluster->nodes[victim].node, group, &peek));
        if (peek.durable_index == peek.last_index) memory_disk_set_capacity(disk, UINT64_MAX);
    }
    cr_assert_lt(peek.durable_index, peek.last_index, "it has what it cannot write");
    cr_assert(cluster_stop(cluster, victim, 2000, 8 * SECOND_US), "it does not stop");
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
}

static void note_stopped(void *data)
{
    *(bool *)data = true;
}

Test(simulated_requests, a_stopping_node_answers_all_it_has_and_refuses_the_rest)
{
    bool is_stopped = false;
    struct cluster *cluster = founded(3, 3);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    settle(cluster, "orders");
    struct cluster_call *calls = new_calls();
    for (uint32_t i = 0; i < CALLS; i++) {
        if (i % 2u) {
            cluster_fill_fetch(&calls[i], "orders", 0, 60000);
        } else {
            cluster_fill_produce(&calls[i], "orders", i, -1, 0);
        }
    }
    for (uint32_t i = 0; i < CALLS / 2u; i++) {
        cluster_submit(cluster, 1, &calls[i]);
    }
    node_stop(cluster->nodes[1].node, 5000, note_stopped, &is_stopped);
    for (uint32_t i = CALLS / 2u; i < CALLS; i++) {
        cluster_submit(cluster, 1, &calls[i]);
    }
    for (uint32_t i = 0; i < CALLS; i++) {
        cr_assert(cluster_wait(&calls[i], 6 * SECOND_US), "call %u", i);
        const enum node_status status = calls[i].request.status;
        if (i < CALLS / 2u) {
            cr_assert_eq(status, NODE_OK, "call %u: %s", i, node_status_text(status));
        } else {
            cr_assert_eq(status, NODE_SHUTTING_DOWN, "call %u: %s", i, node_status_text(status));
        }
    }
    sim_run_for(cluster->sim, SECOND_US);
    cr_assert(is_stopped);
    close_calls(calls);
    cluster_destroy(cluster);
}

/* ---- topics that come by themselves -------------------------------------------------------------------------------- */

Test(simulated_requests, many_first_messages_make_one_topic_and_survive_those_who_leave)
{
    struct cluster_options options;
    cluster_options_init(&options, 4, 3);
    options.auto_create = true;
    struct cluster *cluster = founded_with(&options);
    struct cluster_call *calls = new_calls();
    struct node_group_status before;
    cr_assert(cluster_group_status(cluster, 0, 0, &before));
    for (uint32_t i = 0; i < CALLS; i++) {
        cluster_fill_produce(&calls[i], "orders", i, -1, 0);
        calls[i].request.auto_create = true;
        cluster_submit(cluster, i % 3u, &calls[i]);
    }
    /* Their names go with them: nothing may look at them any more. */
    for (uint32_t i = 0; i < 9; i++) {
        cluster_cancel(&calls[i]);
        memset(calls[i].topic, 'x', sizeof(calls[i].topic));
    }
    for (uint32_t i = 9; i < CALLS; i++) {
        cr_assert(cluster_wait(&calls[i], 5 * SECOND_US));
        cr_assert_eq(calls[i].request.status, NODE_OK, "%s", calls[i].request.detail);
    }
    struct node_group_status after;
    cr_assert(cluster_group_status(cluster, 0, 0, &after));
    /* One command of each node, and those that write down the nodes. */
    cr_assert_leq(after.last_index - before.last_index, 3u + 3u);
    close_calls(calls);
    cluster_destroy(cluster);
}

/* ---- nodes without a replica --------------------------------------------------------------------------------------- */

Test(simulated_requests, a_node_without_a_replica_serves_and_waits_as_long_as_asked)
{
    struct cluster *cluster = founded(5, 5);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    struct cluster_call *calls = new_calls();
    for (uint32_t node = 0; node < 5; node++) {
        uint64_t offset;
        cr_assert_eq(cluster_produce(cluster, node, "orders", node, -1, 0, &offset), NODE_OK);
        cr_assert_eq(offset, node);
    }
    for (uint32_t node = 0; node < 5; node++) {
        struct cluster_ack records[8];
        cr_assert_eq(cluster_read_all(cluster, node, "orders", records, 8), 5);
        cluster_fill_fetch(&calls[node], "orders", 5, 30000);
        cluster_submit(cluster, node, &calls[node]);
    }
    sim_run_for(cluster->sim, 25 * SECOND_US);
    for (uint32_t node = 0; node < 5; node++) {
        cr_assert_not(calls[node].is_done, "n%u gave up early: %s", node + 1u,
                      calls[node].request.detail);
    }
    uint64_t offset;
    cr_assert_eq(cluster_produce(cluster, 0, "orders", 5, -1, 0, &offset), NODE_OK);
    for (uint32_t node = 0; node < 5; node++) {
        cr_assert(cluster_wait(&calls[node], SECOND_US));
        cr_assert_eq(calls[node].request.status, NODE_OK);
        cr_assert_eq(calls[node].request.ret_next_offset, 6);
    }
    close_calls(calls);
    cluster_destroy(cluster);
}

#define CLIENTS 100u

static uint32_t guests(struct cluster *cluster)
{
    uint32_t count = 0;
    for (uint32_t node = 0; node < cluster->options.nodes_count; node++) {
        count += peek_guests(cluster->nodes[node].node);
    }
    return count;
}

/* Clients that ask a node without a replica to wait, and go: those who wait in its stead need not, and who stays is answered. */
Test(simulated_requests, what_its_client_gave_up_is_not_waited_for_by_another_node)
{
    struct cluster *cluster = founded(7, 3);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 1), NODE_OK);
    sim_run_for(cluster->sim, SECOND_US);
    const uint64_t group = peek_partition_group(cluster->nodes[0].node, "orders", 0);
    const uint32_t away = ((uint32_t)cluster_leader(cluster, group) + 1u) % 3u;
    struct cluster_call *calls = calloc(CLIENTS + 1u, sizeof(*calls));
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < CLIENTS; i++) {
            cluster_fill_fetch(&calls[i], "orders", 0, 60000);
            cluster_submit(cluster, away, &calls[i]);
        }
        sim_run_for(cluster->sim, SECOND_US / 10u);
        cr_assert_eq(guests(cluster), CLIENTS, "they wait there");
        for (uint32_t i = 0; i < CLIENTS; i++) {
            cluster_cancel(&calls[i]);
        }
        sim_run_for(cluster->sim, SECOND_US / 10u);
        cr_assert_eq(guests(cluster), 0, "round %u", round);
    }
    cluster_fill_fetch(&calls[CLIENTS], "orders", 0, 60000);
    cluster_submit(cluster, away, &calls[CLIENTS]);
    cluster_fill_fetch(&calls[0], "orders", 0, 60000);
    cluster_submit(cluster, away, &calls[0]);
    cluster_cancel(&calls[0]); /* before it has arrived */
    sim_run_for(cluster->sim, SECOND_US);
    cr_assert_eq(guests(cluster), 1);
    cr_assert_eq(cluster_produce(cluster, 0, "orders", 9, -1, 0, NULL), NODE_OK);
    cr_assert(cluster_wait(&calls[CLIENTS], SECOND_US));
    cr_assert_eq(calls[CLIENTS].request.status, NODE_OK);
    cr_assert_eq(calls[CLIENTS].request.ret_next_offset, 1);
    cluster_call_close(&calls[CLIENTS]);
    free(calls);
    cluster_destroy(cluster);
}

/* The leader where they wait leads no more, and lives. */
Test(simulated_requests, who_waits_at_a_leader_of_before_goes_on_at_the_new_one_alone)
{
    struct cluster *cluster = founded(8, 5);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    sim_run_for(cluster->sim, SECOND_US);
    const uint64_t group = peek_partition_group(cluster->nodes[0].node, "orders", 0);
    uint32_t away = 0, next = 0;
    struct peek_group peek;
    while (peek_group(cluster->nodes[away].node, group, &peek))
        away++;
    const int leader = cluster_leader(cluster, group);
    while ((int)next == leader || !peek_group(cluster->nodes[next].node, group, &peek))
        next++;
    struct cluster_call *calls = calloc(CLIENTS + 1u, sizeof(*calls));
    for (uint32_t i = 0; i < CLIENTS; i++) {
        cluster_fill_fetch(&calls[i], "orders", 0, 60000);
        cluster_submit(cluster, away, &calls[i]);
    }
    sim_run_for(cluster->sim, SECOND_US / 10u);
    cr_assert_eq(guests(cluster), CLIENTS);
    cluster_fill_transfer(&calls[CLIENTS], "orders", (int)next);
    cluster_submit(cluster, next, &calls[CLIENTS]);
    cr_assert(cluster_wait(&calls[CLIENTS], 10 * SECOND_US));
    cr_assert_eq(calls[CLIENTS].request.status, NODE_OK, "%s", calls[CLIENTS].request.detail);
    cluster_call_close(&calls[CLIENTS]);
    sim_run_for(cluster->sim, 5 * SECOND_US);
    cr_assert_eq(cluster_leader(cluster, group), (int)next);
    cr_assert_eq(guests(cluster), CLIENTS, "each waits once");
    for (uint32_t i = 0; i < CLIENTS; i++) {
        cluster_cancel(&calls[i]);
    }
    sim_run_for(cluster->sim, SECOND_US);
    cr_assert_eq(guests(cluster), 0);
    free(calls);
    cluster_destroy(cluster);
}

/* The notice of who leads went lost, as it does when the queue to a node is full, and nobody comes to lead for a long time. */
Test(simulated_requests, a_node_without_a_replica_finds_a_leader_it_was_not_told_of)
{
    struct cluster *cluster = founded(11, 5);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    cr_assert_eq(cluster_produce(cluster, 0, "orders", 1, -1, 0, NULL), NODE_OK);
    const uint64_t group = peek_partition_group(cluster->nodes[0].node, "orders", 0);
    sim_run_for(cluster->sim, SECOND_US); /* what is on its way arrives */
    struct cluster_call *calls = new_calls();
    for (uint32_t node = 0; node < 5; node++) {
        poke_forget_leader(cluster->nodes[node].node, group);
        cluster_fill_fetch(&calls[node], "orders", 0, 0);
        cluster_submit(cluster, node, &calls[node]);
    }
    for (uint32_t node = 0; node < 5; node++) {
        cr_assert(cluster_wait(&calls[node], 2 * SECOND_US), "n%u does not find it", node + 1u);
        cr_assert_eq(calls[node].request.status, NODE_OK);
        cr_assert_eq(calls[node].request.ret_next_offset, 1);
    }
    close_calls(calls);
    cluster_destroy(cluster);
}

/* ---- full disks ------------------------------------------------------------------------------------------------------ */

static void fill_disk(struct cluster *cluster, uint32_t node, uint64_t spare_bytes)
{
    struct disk *disk = sim_memory_disk(cluster->sim, node);
    memory_disk_set_capacity(disk, memory_disk_used(disk) + spare_bytes);
}

static void free_disk(struct cluster *cluster, uint32_t node)
{
    memory_disk_set_capacity(sim_memory_disk(cluster->sim, node), UINT64_MAX);
}

/* Produce until it is refused. */
static enum node_status produce_until_refused(struct cluster *cluster, uint32_t node)
{
    struct cluster_call *calls = new_calls();
    enum node_status status = NODE_OK;
    for (int round = 0; round < 400 && status == NODE_OK; round++) {
        for (uint32_t i = 0; i < CALLS; i++) {
            cluster_call_close(&calls[i]);
            cluster_fill_produce(&calls[i], "orders", i, -1, 0);
            cluster_submit(cluster, node, &calls[i]);
        }
        for (uint32_t i = 0; i < CALLS; i++) {
            cr_assert(cluster_wait(&calls[i], 15 * SECOND_US));
            if (calls[i].request.status != NODE_OK) status = calls[i].request.status;
        }
    }
    close_calls(calls);
    return status;
}

Test(simulated_requests, a_full_cluster_refuses_stays_up_and_recovers_alone)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct cluster *cluster = founded(seed, 3);
        cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
        settle(cluster, "orders");
        for (uint32_t node = 0; node < 3; node++) {
            fill_disk(cluster, node, 300000 + 20000 * node * seed);
        }
        const enum node_status status = produce_until_refused(cluster, 0);
        cr_assert(status == NODE_DISK_FULL || status == NODE_OUTCOME_UNKNOWN, "%s",
                  node_status_text(status));
        /* It still elects, reads, and does not die of what it cannot store. */
        const int leader = cluster_leader(cluster, cluster_group(cluster, 0, "orders"));
        if (leader >= 0) {
            cluster_crash(cluster, (uint32_t)leader, SIM_CRASH_KILL);
            sim_run_for(cluster->sim, 2 * SECOND_US);
            cluster_start(cluster, (uint32_t)leader);
        }
        sim_run_for(cluster->sim, 3 * SECOND_US);
        (void)cluster_create_topic(cluster, 1, "more", 3);
        cr_assert_eq(cluster->fatals_count, 0, "seed %d: %s", (int)seed,
                     cluster->last_fatal_reason);
        for (uint32_t node = 0; node < 3; node++) {
            free_disk(cluster, node);
        }
        sim_run_for(cluster->sim, 5 * SECOND_US);
        uint64_t offset;
        for (uint32_t node = 0; node < 3; node++) {
            const enum node_status again =
                cluster_produce(cluster, node, "orders", 1, -1, 0, &offset);
            cr_assert_eq(again, NODE_OK, "seed %d n%u: %s", (int)seed, node + 1u,
                         node_status_text(again));
        }
        cr_assert_eq(cluster_create_topic(cluster, 2, "more", 3), NODE_OK);
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}

#define SMALL_SEGMENT_BYTES 65536u
#define RESERVE_BYTES       (2u * 1024u * 1024u)

/* With a topic of as many replicas, and small segments, so that a log takes its space in small steps. */
static struct cluster *founded_with_reserve(uint64_t seed, uint32_t nodes)
{
    struct cluster_options options;
    cluster_options_init(&options, seed, nodes);
    options.segment_bytes_max = SMALL_SEGMENT_BYTES;
    options.reserve_bytes = RESERVE_BYTES;
    struct cluster *cluster = founded_with(&options);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", nodes), NODE_OK);
    settle(cluster, "orders");
    return cluster;
}

/* Within the second between two checks of the free space, too: an entry that was taken and finds no room leaves its producer
 * without an answer. */
Test(simulated_requests, a_disk_that_fills_at_once_is_full_before_its_reserve_is_used)
{
    struct cluster *cluster = founded_with_reserve(11, 1);
    struct disk *disk = sim_memory_disk(cluster->sim, 0);
    fill_disk(cluster, 0, RESERVE_BYTES + 100000u);
    const uint64_t capacity = memory_disk_used(disk) + RESERVE_BYTES + 100000u;
    const enum node_status status = produce_until_refused(cluster, 0);
    cr_assert_eq(status, NODE_DISK_FULL, "%s", node_status_text(status));
    const uint64_t free_bytes = capacity - memory_disk_used(disk);
    cr_assert_gt(free_bytes, RESERVE_BYTES - 2u * SMALL_SEGMENT_BYTES,
                 "%d bytes of the reserve are used", (int)(RESERVE_BYTES - free_bytes));
    cluster_destroy(cluster);
}

/* The leader's disk is the larger one: it says no where it has what its followers do not confirm otherwise. */
Test(simulated_requests, followers_that_are_nearly_full_take_what_their_leader_had_space_for)
{
    struct cluster *cluster = founded_with_reserve(12, 3);
    const uint32_t leader = (uint32_t)cluster_leader(cluster, cluster_group(cluster, 0, "orders"));
    for (uint32_t node = 0; node < 3; node++) {
        fill_disk(cluster, node, RESERVE_BYTES + (node == leader ? 900000u : 200000u));
    }
    const enum node_status status = produce_until_refused(cluster, leader);
    cr_assert_eq(status, NODE_DISK_FULL, "%s", node_status_text(status));
    for (uint32_t node = 0; node < 3; node++) {
        free_disk(cluster, node);
    }
    sim_run_for(cluster->sim, 5 * SECOND_US);
    uint64_t offset;
    cr_assert_eq(cluster_produce(cluster, leader, "orders", 1, -1, 0, &offset), NODE_OK);
    cluster_destroy(cluster);
}

Test(simulated_requests, one_full_follower_does_not_stop_the_others_and_catches_up)
{
    struct cluster *cluster = founded(9, 3);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    settle(cluster, "orders");
    const uint64_t group = cluster_group(cluster, 0, "orders");
    uint32_t full = 0; /* leads neither the topic nor meta */
    while ((int)full == cluster_leader(cluster, group) || (int)full == cluster_leader(cluster, 0)) {
        full++;
    }
    fill_disk(cluster, full, 0);
    uint64_t offset;
    for (uint64_t value = 0; value < 3000; value++) {
        const enum node_status status =
            cluster_produce(cluster, (full + 1u) % 3u, "orders", value, -1, 0, &offset);
        cr_assert_eq(status, NODE_OK, "%s", node_status_text(status));
    }
    cr_assert_eq(cluster_create_topic(cluster, 0, "more", 3), NODE_OK);
    sim_run_for(cluster->sim, 3 * SECOND_US);
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    free_disk(cluster, full);
    sim_run_for(cluster->sim, 5 * SECOND_US);
    struct cluster_ack *records = calloc(4000, sizeof(*records));
    const int read_count = cluster_read_all(cluster, full, "orders", records, 4000);
    cr_assert_eq(read_count, 3000, "%d", read_count);
    cr_assert_neq(cluster_group(cluster, full, "more"), 0, "the replica was never made");
    free(records);
    cluster_destroy(cluster);
}

/* ---- answers of a leader that is none ---------------------------------------------------------------------------------- */

Test(simulated_requests, a_leader_that_was_paused_does_not_judge_by_its_old_table)
{
    struct cluster *cluster = founded(6, 3);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    settle(cluster, "orders");
    const uint32_t old = (uint32_t)cluster_leader(cluster, cluster_group(cluster, 0, "orders"));
    const int64_t id = cluster_producer_id(cluster, (old + 1u) % 3u);
    sim_pause(cluster->sim, old);
    uint64_t offset;
    for (int32_t sequence = 0; sequence < 20; sequence++) {
        cr_assert(cluster_produce_once(cluster, (old + 1u) % 3u, "orders", (uint64_t)sequence, id,
                                       sequence, 10 * SECOND_US, &offset));
    }
    struct cluster_call *calls = new_calls();
    cluster_fill_produce(&calls[0], "orders", 20, id, 20);
    cluster_fill_commit(&calls[1], "orders", "readers", 20);
    cluster_fill_commit(&calls[2], "orders", "writers", 5);
    calls[2].request.group.has_if_offset = true; /* 0: nothing is committed yet */
    sim_resume(cluster->sim, old);
    for (uint32_t i = 0; i < 3; i++) {
        cluster_submit(cluster, old, &calls[i]);
    }
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(cluster_wait(&calls[i], 10 * SECOND_US));
        cr_assert_eq(calls[i].request.status, NODE_OK, "call %u: %s", i, calls[i].request.detail);
    }
    cr_assert_eq(calls[0].request.ret_offset, 20);
    close_calls(calls);
    cluster_destroy(cluster);
}

static enum node_status ended(struct cluster_call *call)
{
    cr_assert(cluster_wait(call, 10 * SECOND_US));
    return call->request.status;
}

struct last_entry {
    struct cluster *cluster;
    uint64_t group, index;
    uint32_t leader;
};

/* On the disk of one that does not know yet that it is committed. */
static bool is_on_another_disk(void *data)
{
    const struct last_entry *entry = data;
    for (uint32_t i = 1; i < 3; i++) {
        struct peek_group replica;
        const struct node *node = entry->cluster->nodes[(entry->leader + i) % 3u].node;
        if (!peek_group(node, entry->group, &replica)) continue;
        if (replica.durable_index >= entry->index && replica.applied_index < entry->index) {
            return true;
        }
    }
    return false;
}

/* P1. The next leader has the batch in its log and, until its own first entry is applied, not in its table. */
Test(simulated_requests, a_retry_that_meets_a_leader_which_just_took_over_is_stored_once)
{
    uint32_t met_count = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct cluster *cluster = founded(seed, 3);
        cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
        settle(cluster, "orders");
        struct last_entry entry = {.cluster = cluster};
        entry.group = cluster_group(cluster, 0, "orders");
        entry.leader = (uint32_t)cluster_leader(cluster, entry.group);
        const int64_t id = cluster_producer_id(cluster, 0);
        cr_assert(
            cluster_produce_once(cluster, entry.leader, "orders", 1, id, 0, 10 * SECOND_US, NULL));
        struct peek_group leader;
        cr_assert(peek_group(cluster->nodes[entry.leader].node, entry.group, &leader));
        entry.index = leader.last_index + 1u;
        struct cluster_call *calls = new_calls();
        for (uint32_t i = 0; i < 3; i++) {
            cluster_fill_produce(&calls[i], "orders", 2, id, 1);
        }
        cluster_submit(cluster, entry.leader, &calls[0]);
        if (sim_run_until_true(cluster->sim, SECOND_US, is_on_another_disk, &entry)) met_count++;
        cluster_crash(cluster, entry.leader, SIM_CRASH_KILL);
        sim_run_for(cluster->sim, 10000); /* both know: they wait for the next leader */
        for (uint32_t i = 1; i < 3; i++) {
            cluster_submit(cluster, (entry.leader + i) % 3u, &calls[i]);
        }
        for (uint32_t i = 1; i < 3; i++) {
            cr_assert_eq(ended(&calls[i]), NODE_OK, "seed %d: %s", (int)seed,
                         calls[i].request.detail);
            cr_assert_eq(calls[i].request.ret_offset, 1, "seed %d", (int)seed);
        }
        struct cluster_ack records[8];
        cr_assert_eq(cluster_read_all(cluster, (entry.leader + 1u) % 3u, "orders", records, 8), 2,
                     "seed %d", (int)seed);
        close_calls(calls);
        cluster_destroy(cluster);
    }
    cr_assert_gt(met_count, 15, "%u: the moment was hardly ever met", met_count);
}

static bool leads_nobody(void *data)
{
    const struct last_entry *entry = data;
    return cluster_leader(entry->cluster, entry->group) < 0;
}

/* P1. All nodes are cut off from each other, so the leader gives way while a batch is only in its own log. Each of the others
 * would then need its vote and has the shorter log, so it leads again. What it had in flight belongs to an earlier term. */
Test(simulated_requests, a_retry_at_a_leader_that_was_deposed_and_leads_again_is_stored_once)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster *cluster = founded(seed, 3);
        cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
        settle(cluster, "orders");
        struct last_entry entry = {.cluster = cluster};
        entry.group = cluster_group(cluster, 0, "orders");
        entry.leader = (uint32_t)cluster_leader(cluster, entry.group);
        const int64_t id = cluster_producer_id(cluster, 0);
        cr_assert(
            cluster_produce_once(cluster, entry.leader, "orders", 1, id, 0, 10 * SECOND_US, NULL));
        sim_run_for(cluster->sim, SECOND_US / 10u); /* all have it */
        for (uint32_t i = 0; i < 3; i++) {
            sim_isolate(cluster->sim, i, SIM_LINK_CUT);
        }
        struct cluster_call *calls = new_calls();
        for (uint32_t i = 0; i < 2; i++) {
            cluster_fill_produce(&calls[i], "orders", 2, id, 1);
        }
        cluster_submit(cluster, entry.leader, &calls[0]);
        cr_assert(sim_run_until_true(cluster->sim, 2 * SECOND_US, leads_nobody, &entry));
        const uint32_t others[2] = {(entry.leader + 1u) % 3u, (entry.leader + 2u) % 3u};
        sim_heal(cluster->sim);
        sim_set_link(cluster->sim, others[0], others[1], SIM_LINK_CUT);
        sim_set_link(cluster->sim, others[1], others[0], SIM_LINK_CUT);
        cr_assert_eq(cluster_wait_leader(cluster, entry.group, 5 * SECOND_US), (int)entry.leader,
                     "seed %d: the batch was not in its log", (int)seed);
        cluster_submit(cluster, entry.leader, &calls[1]);
        cr_assert_eq(ended(&calls[1]), NODE_OK, "seed %d: %s", (int)seed, calls[1].request.detail);
        cr_assert_eq(calls[1].request.ret_offset, 1, "seed %d", (int)seed);
        const enum node_status first = ended(&calls[0]);
        cr_assert(first == NODE_OK || first == NODE_OUTCOME_UNKNOWN, "seed %d: %s", (int)seed,
                  calls[0].request.detail);
        struct cluster_ack records[8];
        cr_assert_eq(cluster_read_all(cluster, others[0], "orders", records, 8), 2, "seed %d",
                     (int)seed);
        close_calls(calls);
        cluster_destroy(cluster);
    }
}

/* P5. What a leader that was paused takes for the present offset is an old one: to call a commit of it done, because it
 * changes nothing, would be a lie. */
Test(simulated_requests, a_commit_that_equals_an_old_state_is_made)
{
    struct cluster *cluster = founded(8, 3);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    settle(cluster, "orders");
    for (uint64_t value = 0; value < 10; value++) {
        cr_assert_eq(cluster_produce(cluster, 0, "orders", value, -1, 0, NULL), NODE_OK);
    }
    const uint32_t old = (uint32_t)cluster_leader(cluster, cluster_group(cluster, 0, "orders"));
    struct cluster_call *calls = new_calls();
    cluster_fill_commit(&calls[0], "orders", "readers", 5);
    cluster_submit(cluster, old, &calls[0]);
    cr_assert_eq(ended(&calls[0]), NODE_OK);
    sim_run_for(cluster->sim, SECOND_US);
    sim_pause(cluster->sim, old);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    cluster_fill_commit(&calls[1], "orders", "readers", 7);
    cluster_submit(cluster, (old + 1u) % 3u, &calls[1]);
    cr_assert_eq(ended(&calls[1]), NODE_OK, "%s", calls[1].request.detail);
    cluster_fill_commit(&calls[2], "orders", "readers", 5);
    sim_resume(cluster->sim, old);
    cluster_submit(cluster, old, &calls[2]);
    cr_assert_eq(ended(&calls[2]), NODE_OK, "%s", calls[2].request.detail);
    struct cluster_call *read = &calls[3];
    snprintf(read->topic, sizeof(read->topic), "orders");
    snprintf(read->group, sizeof(read->group), "readers");
    read->request.type = NODE_REQUEST_GROUP_FETCH;
    read->request.topic = read->topic;
    read->request.group.group = read->group;
    cluster_submit(cluster, (old + 2u) % 3u, read);
    cr_assert_eq(ended(read), NODE_OK, "%s", read->request.detail);
    cr_assert_eq(read->request.ret_offset, 5, "the last commit that was answered");
    close_calls(calls);
    cluster_destroy(cluster);
}

Test(simulated_requests, of_commits_that_compare_with_one_offset_one_wins)
{
    struct cluster *cluster = founded(7, 3);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 3), NODE_OK);
    settle(cluster, "orders");
    uint64_t offset;
    for (uint64_t value = 0; value < 40; value++) {
        cr_assert_eq(cluster_produce(cluster, 0, "orders", value, -1, 0, &offset), NODE_OK);
    }
    struct cluster_call *calls = new_calls();
    for (uint32_t i = 0; i < 30; i++) {
        cluster_fill_commit(&calls[i], "orders", "readers", i + 1u);
        calls[i].request.group.has_if_offset = true;
        calls[i].request.group.if_offset = 0;
        cluster_submit(cluster, i % 3u, &calls[i]);
    }
    uint32_t won_count = 0;
    for (uint32_t i = 0; i < 30; i++) {
        cr_assert(cluster_wait(&calls[i], 5 * SECOND_US));
        if (calls[i].request.status == NODE_OK) {
            won_count++;
        } else {
            cr_assert_eq(calls[i].request.status, NODE_STALE_GENERATION);
        }
    }
    cr_assert_eq(won_count, 1);
    close_calls(calls);
    cluster_destroy(cluster);
}

/* ---- of other nodes ------------------------------------------------------------------------------------------------- */

static uint64_t bad_frames(const struct cluster *cluster)
{
    return peek_bad_frames(cluster->nodes[0].node) + peek_bad_frames(cluster->nodes[1].node);
}

/* Each node gets it from the other one: one of them leads. */
static void pass_on(struct cluster *cluster, const struct node_request *request)
{
    uint8_t body[REQUEST_CODEC_BYTES_MAX];
    const size_t bytes = request_codec_encode(77, request, body, sizeof(body));
    cr_assert_gt(bytes, 0u);
    for (uint32_t from = 0; from < 2; from++) {
        cr_assert(poke_send(cluster->nodes[from].node, 2u - from, PEER_FRAME_REQUEST, body, bytes));
    }
    sim_run_for(cluster->sim, SECOND_US / 4);
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
}

/* A node of another version, or one that went mad, leaves out the topic or the group: nobody is there to be told. */
Test(simulated_requests, a_request_of_a_peer_without_what_it_needs_is_dropped)
{
    uint64_t group;
    struct cluster *cluster = founded_with_topic(61, 2, "orders", 2, &group);
    for (unsigned type = NODE_REQUEST_PRODUCE; type <= NODE_REQUEST_TOPIC_SET; type++) {
        const struct node_request bare = {.type = (enum node_request_type)type};
        pass_on(cluster, &bare);
        struct node_request of_nobody = bare;
        of_nobody.topic = "orders";
        if (type == NODE_REQUEST_GROUP_COMMIT || type == NODE_REQUEST_GROUP_FETCH) {
            pass_on(cluster, &of_nobody);
        }
    }
    /* 12 types need a topic, 2 of these a group; each went to two nodes. */
    cr_assert_eq(bad_frames(cluster), 2u * (12u + 2u));
    cr_assert_eq(cluster_produce(cluster, 1, "orders", 7, -1, 0, NULL), NODE_OK);
    cluster_destroy(cluster);
}

/* PROTOCOL M2, M5: who only asks to join is told so, and changes nothing. */
Test(simulated_requests, a_request_of_who_is_no_member_does_nothing)
{
    uint64_t group;
    struct cluster *cluster = founded_with_topic(62, 1, "orders", 1, &group);
    struct node_request request = {.type = NODE_REQUEST_TOPIC_DELETE, .topic = "orders"};
    uint8_t body[REQUEST_CODEC_BYTES_MAX];
    const size_t bytes = request_codec_encode(78, &request, body, sizeof(body));
    cr_assert_gt(bytes, 0u);
    poke_request(cluster->nodes[0].node, 9, body, bytes);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    cr_assert_eq(cluster_produce(cluster, 0, "orders", 7, -1, 0, NULL), NODE_OK, "it is gone");
    cluster_destroy(cluster);
}

/* A topic may take batches as large as an entry, and not by the header of the batch larger: no log takes that. */
Test(simulated_requests, a_batch_larger_than_an_entry_is_refused)
{
    struct cluster_options options;
    cluster_options_init(&options, 63, 1);
    options.inflight_bytes_max = 2u * ENTRY_PAYLOAD_BYTES_MAX;
    struct cluster *cluster = founded_with(&options);
    struct cluster_call *call = calloc(1, sizeof(*call));
    cr_assert_not_null(call);
    cluster_fill_create(call, "large", 1, 1);
    call->request.create.settings.message_bytes_max = ENTRY_PAYLOAD_BYTES_MAX;
    cluster_submit(cluster, 0, call);
    cr_assert(cluster_wait(call, 10 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_OK);
    cluster_call_close(call);

    uint8_t *value = calloc(1, ENTRY_PAYLOAD_BYTES_MAX);
    cr_assert_not_null(value);
    for (uint32_t over = 0; over < 2; over++) {
        struct record_batch_builder builder;
        record_batch_builder_init(&builder, ENTRY_PAYLOAD_BYTES_MAX + 64u);
        record_batch_begin(&builder);
        /* Its header, and of the one record what is not its value: 61 and 13 bytes. */
        const struct record record = {
            .timestamp_ms = 1, .value = value, .value_bytes = ENTRY_PAYLOAD_BYTES_MAX - 74u + over};
        cr_assert_eq(record_batch_add(&builder, &record), RECORD_BATCH_OK);
        record_batch_finish(&builder, -1, -1, -1);
        cr_assert_eq(builder.bytes, ENTRY_PAYLOAD_BYTES_MAX + over, "%zu", builder.bytes);
        memset(call, 0, sizeof(*call));
        call->request.type = NODE_REQUEST_PRODUCE;
        call->request.topic = "large";
        call->request.produce.batch = builder.buffer;
        call->request.produce.bytes = builder.bytes;
        cluster_submit(cluster, 0, call);
        cr_assert(cluster_wait(call, 10 * SECOND_US));
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cr_assert_eq(call->request.status, over ? NODE_TOO_LARGE : NODE_OK, "%s",
                     call->request.detail);
        cluster_call_close(call);
        record_batch_builder_close(&builder);
    }
    free(value);
    free(call);
    cluster_destroy(cluster);
}

/* ---- cancelled ---------------------------------------------------------------------------------------------------------- */

static bool is_answered(void *data)
{
    const struct cluster_call *call = data;
    return call->is_done || call->request.ret_view.parts_count > 0;
}

/* Its client goes between the frame that brings the answer and the end of that turn. */
Test(simulated_requests, an_answer_that_was_not_told_yet_goes_with_its_request)
{
    struct cluster *cluster = founded(91, 3);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 1), NODE_OK);
    cr_assert_eq(cluster_produce(cluster, 0, "orders", 1, -1, 0, NULL), NODE_OK);
    uint32_t cancelled = 0;
    for (uint32_t node = 0; node < 3u; node++) {
        struct cluster_call *call = calloc(1, sizeof(*call));
        cluster_fill_fetch(call, "orders", 0, 0);
        cluster_submit(cluster, node, call);
        cr_assert(sim_run_until_true(cluster->sim, 5 * SECOND_US, is_answered, call));
        if (!call->is_done) {
            cancelled++;
            cluster_cancel(call);
            cr_assert_eq(call->request.ret_view.parts_count, 0);
        }
        cluster_call_close(call);
        free(call);
    }
    cr_assert_gt(cancelled, 0);
    cluster_destroy(cluster);
}
