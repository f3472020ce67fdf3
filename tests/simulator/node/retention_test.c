/* Goal: what is kept is what the settings say, alike on every replica, on every one from a committed TRIM on (PROTOCOL S2, S4,
 * S5, C8). Method: simulated nodes with small segments and limits; a node sleeps, clocks jump, groups lag, the disk fills. */
#include "founded.h"
#include "members.h"
#include "peek.h"
#include "rot.h"
#include "sim_cluster.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <memory_disk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US     1000000u
#define TOPIC         "orders"
#define RESERVE_BYTES 262144u
#define WAVE          64u       /* messages at once */
#define HELD_BYTES    25000000u /* half of what there is when nothing is dropped for 30 s of waves */

static struct cluster *make(uint64_t seed, uint32_t nodes_count)
{
    struct cluster_options options;
    cluster_options_init(&options, seed, nodes_count);
    options.segment_bytes_max = 16384;
    options.retention_check_ms = 100;
    options.reserve_bytes = RESERVE_BYTES;
    struct cluster *cluster = founded_with(&options);
    return cluster;
}

static void create(struct cluster *cluster, uint32_t nodes_count, int64_t ms, int64_t bytes,
                   bool until_consumed)
{
    struct cluster_call *call = malloc(sizeof(*call));
    cluster_fill_create(call, TOPIC, 1, nodes_count);
    call->request.create.settings.retention_ms = ms;
    call->request.create.settings.retention_bytes = bytes;
    call->request.create.settings.until_consumed = until_consumed;
    cluster_submit(cluster, 0, call);
    cr_assert(cluster_wait(call, 10 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
    cluster_call_close(call);
    free(call);
}

static void produce(struct cluster *cluster, uint32_t node, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        cr_assert(cluster_produce_once(cluster, node, TOPIC, i, -1, 0, 10 * SECOND_US, NULL));
    }
}

static void commit(struct cluster *cluster, const char *group, uint64_t offset,
                   enum partition_durable durable)
{
    struct cluster_call *call = malloc(sizeof(*call));
    cluster_fill_commit(call, TOPIC, group, offset);
    call->request.group.durable = durable;
    cluster_submit(cluster, 0, call);
    cr_assert(cluster_wait(call, 10 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
    cluster_call_close(call);
    free(call);
}

static void set_retention_bytes(struct cluster *cluster, int64_t bytes)
{
    struct cluster_call *call = malloc(sizeof(*call));
    cluster_fill_delete(call, TOPIC);
    call->request.type = NODE_REQUEST_TOPIC_SET;
    call->request.set.fields = META_SET_RETENTION_BYTES;
    call->request.create.settings.retention_bytes = bytes;
    cluster_submit(cluster, 1, call);
    cr_assert(cluster_wait(call, 10 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
    cr_assert_eq(call->request.ret_topics[0].settings.retention_bytes, bytes);
    cluster_call_close(call);
    free(call);
}

static struct peek_group look(struct cluster *cluster, uint32_t node)
{
    struct peek_group peek;
    const uint64_t group = cluster_group(cluster, node, TOPIC);
    cr_assert(peek_group(cluster->nodes[node].node, group, &peek));
    return peek;
}

/* Where the log starts, as a read of this node tells it; and what an offset in front of it is answered. */
static uint64_t first_offset(struct cluster *cluster, uint32_t node)
{
    struct cluster_call *call = malloc(sizeof(*call));
    cluster_fill_fetch(call, TOPIC, 0, 0);
    cluster_submit(cluster, node, call);
    cr_assert(cluster_wait(call, 10 * SECOND_US));
    const uint64_t first = call->request.ret_first_offset;
    cr_assert_eq(call->request.status, first == 0 ? NODE_OK : NODE_OFFSET_OUT_OF_RANGE);
    cluster_call_close(call);
    free(call);
    return first;
}

static void end(struct cluster *cluster)
{
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
}

Test(simulated_retention, size_trims_every_replica_alike_and_the_files_follow)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct cluster *cluster = make(seed, 3);
        create(cluster, 3, -1, 32768, false);
        produce(cluster, 0, 1200); /* some 200 KiB */
        sim_run_for(cluster->sim, 2 * SECOND_US);
        const uint64_t first = first_offset(cluster, 0);
        cr_assert_gt(first, 600);
        for (uint32_t i = 0; i < 3; i++) {
            cr_assert_eq(first_offset(cluster, i), first, "node %u", i);
            const struct peek_group peek = look(cluster, i);
            cr_assert_gt(peek.base_next_offset, 500, "node %u keeps its files", i);
            cr_assert_leq(peek.base_next_offset, first);
            cr_assert_geq(peek_bytes_kept(&peek), 32768);
        }
        static struct cluster_ack records[1300];
        const int count = cluster_read_all(cluster, 1, TOPIC, records, 1300);
        cr_assert_eq(count, -1 - (int)NODE_OFFSET_OUT_OF_RANGE, "it asks from 0 on");
        end(cluster);
    }
}

Test(simulated_retention, time_trims_also_a_topic_that_nobody_writes_to)
{
    struct cluster *cluster = make(4, 3);
    create(cluster, 3, 3000, -1, false);
    produce(cluster, 0, 5);
    cr_assert_eq(first_offset(cluster, 0), 0);
    sim_run_for(cluster->sim, 8 * SECOND_US);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(first_offset(cluster, i), 5, "node %u", i);
    }
    const uint64_t last_index = look(cluster, 0).last_index;
    sim_run_for(cluster->sim, 20 * SECOND_US);
    cr_assert_eq(look(cluster, 0).last_index, last_index, "an idle log is left alone");
    produce(cluster, 1, 3);
    cr_assert_eq(first_offset(cluster, 2), 5);
    end(cluster);
}

Test(simulated_retention, consumed_waits_for_durable_groups_and_for_no_others)
{
    struct cluster *cluster = make(5, 3);
    create(cluster, 3, -1, -1, true);
    produce(cluster, 0, 300);
    commit(cluster, "reader", 300, PARTITION_DURABLE_KEEP);
    sim_run_for(cluster->sim, 12 * SECOND_US);
    cr_assert_eq(first_offset(cluster, 0), 0, "no group is durable");
    commit(cluster, "slow", 10, PARTITION_DURABLE_SET);
    commit(cluster, "reader", 300, PARTITION_DURABLE_SET);
    produce(cluster, 0, 1);
    sim_run_for(cluster->sim, 12 * SECOND_US);
    cr_assert_leq(first_offset(cluster, 0), 10);
    commit(cluster, "slow", 301, PARTITION_DURABLE_KEEP);
    produce(cluster, 0, 1);
    sim_run_for(cluster->sim, 25 * SECOND_US);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_gt(first_offset(cluster, i), 200, "node %u", i);
        cr_assert_leq(first_offset(cluster, i), 301, "node %u", i);
    }
    end(cluster);
}

Test(simulated_retention, a_replica_that_slept_through_trims_comes_back_through_a_base)
{
    for (uint64_t seed = 6; seed <= 8; seed++) {
        struct cluster *cluster = make(seed, 3);
        create(cluster, 3, -1, 32768, false);
        produce(cluster, 0, 50);
        const int leader = cluster_leader(cluster, cluster_group(cluster, 0, TOPIC));
        const uint32_t sleeper = leader == 2 ? 1u : 2u;
        cluster_crash(cluster, sleeper, SIM_CRASH_POWER);
        produce(cluster, 0 == sleeper ? 1u : 0u, 1200);
        sim_run_for(cluster->sim, 2 * SECOND_US);
        cluster_start(cluster, sleeper);
        sim_run_for(cluster->sim, 5 * SECOND_US);
        const struct peek_group peek = look(cluster, sleeper);
        cr_assert_geq(peek_bases_installed(&peek), 1);
        const uint64_t first = first_offset(cluster, (uint32_t)leader);
        cr_assert_gt(first, 600);
        cr_assert_eq(first_offset(cluster, sleeper), first);
        const struct peek_group other = look(cluster, (uint32_t)leader);
        cr_assert_eq(peek.applied_index, other.applied_index);
        cr_assert_eq(peek_state_digest(&peek), peek_state_digest(&other));
        cr_assert_leq(peek.base_next_offset, first, "it has all messages that are kept");
        end(cluster);
    }
}

enum harm {
    HARM_FLIP,
    HARM_REMOVE,
    HARM_LOSE_SECTOR,
};

/* The base at the start of the log there. */
static void harm_start(struct cluster *cluster, uint32_t node, uint64_t group, enum harm harm)
{
    char path[160];
    uint64_t bytes = 0;
    cr_assert(rot_file(cluster, node, group, "base-", 0, path, sizeof(path), &bytes));
    switch (harm) {
    case HARM_FLIP:
        rot_flip(cluster, node, path, bytes - 10);
        return;
    case HARM_REMOVE:
        rot_remove(cluster, node, path);
        return;
    case HARM_LOSE_SECTOR:
        cr_assert_eq(memory_disk_unreadable(sim_memory_disk(cluster->sim, node), path, 0, 1), 0);
        return;
    }
}

static uint64_t mended_at(struct cluster *cluster, uint32_t node, uint64_t group)
{
    static struct node_scrub_status logs[8];
    const uint32_t count = node_scrub_status(cluster->nodes[node].node, logs, 8);
    for (uint32_t i = 0; i < count; i++) {
        if (logs[i].group == group) return logs[i].blocks_mended;
    }
    return 0;
}

struct voter_wait {
    struct cluster *cluster;
    uint64_t group;
};

static bool do_all_vote(void *data)
{
    const struct voter_wait *wait = data;
    const uint32_t all = founded_mask(wait->cluster);
    for (uint32_t node = 0; node < wait->cluster->options.nodes_count; node++) {
        if (members_voters(wait->cluster, node, wait->group) != all) return false;
    }
    return true;
}

struct needed {
    struct cluster *cluster;
    uint64_t group;
    uint32_t leader, victim;
};

/* A log that starts behind a base, and a replica that has nothing any more and is down. */
static struct needed make_needed(uint64_t seed)
{
    struct needed needed = {.cluster = make(seed, 3)};
    create(needed.cluster, 3, -1, 131072, false);
    produce(needed.cluster, 0, 2400);
    set_retention_bytes(needed.cluster, -1); /* its log starts there from now on */
    sim_run_for(needed.cluster->sim, 2 * SECOND_US);
    needed.group = cluster_group(needed.cluster, 0, TOPIC);
    needed.leader = founded_leader(needed.cluster, needed.group);
    needed.victim = (needed.leader + 1u) % 3u;
    cr_assert_gt(first_offset(needed.cluster, needed.leader), 600);
    cluster_crash(needed.cluster, needed.victim, SIM_CRASH_POWER);
    sim_wipe_disk(needed.cluster->sim, needed.victim);
    return needed;
}

/* Nobody waits for the scrubber, which gets through a long log in about a day. */
Test(simulated_retention, a_base_that_is_bad_is_mended_when_a_replica_needs_it)
{
    for (uint32_t i = 0; i < 6; i++) {
        const enum harm harm = (enum harm)(i % 3);
        struct needed needed = make_needed(20 + i);
        struct cluster *cluster = needed.cluster;
        struct voter_wait wait = {cluster, needed.group};
        harm_start(cluster, needed.leader, needed.group, harm);
        cluster_start(cluster, needed.victim);
        cr_assert(sim_run_until_true(cluster->sim, 5 * SECOND_US, do_all_vote, &wait), "harm %d",
                  (int)harm);
        cr_assert_eq(mended_at(cluster, needed.leader, needed.group), 1, "harm %d", (int)harm);
        cr_assert_eq(rot_damaged_snapshots(cluster, needed.leader, needed.group), 0);
        end(cluster);
    }
}

static uint32_t count_lines(const char *text, const char *words)
{
    uint32_t count = 0;
    for (const char *at = text; (at = strstr(at, words)); at++) {
        count++;
    }
    return count;
}

/* One that nobody can mend there is asked for each second, and is neither read nor told of as often. */
Test(simulated_retention, a_base_that_cannot_be_mended_is_tried_now_and_then)
{
    struct needed needed = make_needed(30);
    struct cluster *cluster = needed.cluster;
    char path[160], *text = NULL;
    size_t text_bytes = 0;
    uint64_t bytes = 0;
    harm_start(cluster, needed.leader, needed.group, HARM_FLIP);
    cr_assert(
        rot_file(cluster, needed.leader, needed.group, "base-", 1, path, sizeof(path), &bytes));
    cr_assert_not_null(strstr(path, ".copy"));
    rot_flip(cluster, needed.leader, path, bytes - 10);
    cluster->options.log = open_memstream(&text, &text_bytes);
    cluster_start(cluster, needed.victim);
    sim_run_for(cluster->sim, 40 * SECOND_US);
    fclose(cluster->options.log);
    cluster->options.log = NULL;
    const uint32_t told = count_lines(text, "base cannot be sent");
    const uint32_t tried = count_lines(text, "the base at the start of the log is lost");
    cr_assert(told >= 3 && told <= 5, "told %u times", told);
    cr_assert(tried >= 3 && tried <= 8, "tried %u times, the scrubber too", tried);
    cr_assert(rot_names(cluster, needed.leader, needed.group, "base at the start"));
    free(text);
    end(cluster);
}

/* Messages that come together, so that there is a new base every few milliseconds. */
static void produce_at_once(struct cluster *cluster, uint32_t node)
{
    struct cluster_call *calls = calloc(WAVE, sizeof(*calls));
    cr_assert_not_null(calls);
    for (uint32_t i = 0; i < WAVE; i++) {
        cluster_fill_produce(&calls[i], TOPIC, i, -1, 0);
        cluster_submit(cluster, node, &calls[i]);
    }
    for (uint32_t i = 0; i < WAVE; i++) {
        cr_assert(cluster_wait(&calls[i], 10 * SECOND_US));
        cr_assert_eq(calls[i].request.status, NODE_OK, "%s", calls[i].request.detail);
        cluster_call_close(&calls[i]);
    }
    free(calls);
}

/* S5: where the log is to start moves on with each TRIM, ten times in a second, and what a busy disk does in the background takes
 * longer than that: no base is read whole, and the ones in front of it are not gone, before there is a newer start. */
Test(simulated_retention, trims_that_outrun_a_busy_disk_free_its_files)
{
    for (uint64_t seed = 31; seed <= 33; seed++) {
        struct cluster *cluster = make(seed, 3);
        create(cluster, 3, -1, 65536, false);
        produce(cluster, 0, 50);
        const uint32_t leader = founded_leader(cluster, cluster_group(cluster, 0, TOPIC));
        const uint32_t busy = (leader + 1u) % 3u;
        sim_set_background_factor(cluster->sim, busy, 100);
        const uint64_t end_us = sim_now_us(cluster->sim) + 30 * SECOND_US;
        uint64_t bytes_most = 0;
        uint32_t trims = 0, drops = 0;
        struct peek_group before = look(cluster, busy);
        while (sim_now_us(cluster->sim) < end_us) {
            produce_at_once(cluster, leader);
            sim_run_for(cluster->sim, SECOND_US / 20u);
            const struct peek_group after = look(cluster, busy);
            const uint64_t bytes = memory_disk_used(sim_memory_disk(cluster->sim, busy));
            if (bytes > bytes_most) bytes_most = bytes;
            if (after.trimmed_index > before.trimmed_index) trims++;
            if (after.base_index > before.base_index) drops++;
            before = after;
        }
        cr_assert_gt(trims, 250, "the start moves on faster than a base is read: %u", trims);
        cr_assert_gt(drops, 15, "seed %" PRIu64 ": %u of %u", seed, drops, trims);
        cr_assert_lt(bytes_most, HELD_BYTES, "seed %" PRIu64 ": %" PRIu64, seed, bytes_most);
        end(cluster);
    }
}

/* S5: nobody had read them since they rotted, and the ones in front of them would have gone. */
Test(simulated_retention, a_log_never_comes_to_start_at_a_base_that_is_bad)
{
    struct cluster *cluster = make(9, 3);
    create(cluster, 3, -1, -1, false);
    produce(cluster, 0, 800);
    sim_run_for(cluster->sim, SECOND_US);
    const uint32_t node = 1;
    const uint64_t group = cluster_group(cluster, node, TOPIC);
    const struct peek_group before = look(cluster, node);
    char path[160], next[160];
    uint64_t bytes = 0;
    uint32_t flips = 0;
    /* All but the oldest, its copy, and the newest. */
    for (uint32_t nth = 2;
         rot_file(cluster, node, group, "base-", nth + 1u, next, sizeof(next), &bytes); nth++) {
        cr_assert(rot_file(cluster, node, group, "base-", nth, path, sizeof(path), &bytes));
        rot_flip(cluster, node, path, bytes / 2u);
        flips++;
    }
    cr_assert_gt(flips, 4);
    set_retention_bytes(cluster, 65536);
    for (uint32_t i = 0; i < 60; i++) {
        sim_run_for(cluster->sim, SECOND_US / 10u);
        cr_assert_not(rot_names(cluster, node, group, "base at the start"));
    }
    cr_assert_gt(look(cluster, 0).base_index, before.base_index, "the others are trimmed");
    cr_assert_eq(rot_damaged_snapshots(cluster, node, group) < flips, true, "one is mended");
    set_retention_bytes(cluster, 16384);
    produce(cluster, 0, 400);
    sim_run_for(cluster->sim, 30 * SECOND_US);
    cr_assert_gt(look(cluster, node).base_index, before.base_index, "it starts at a whole one");
    cr_assert_not(rot_names(cluster, node, group, "base at the start"));
    cr_assert_eq(rot_damaged_snapshots(cluster, node, group), 0);
    end(cluster);
}

Test(simulated_retention, settings_that_change_hold_from_then_on)
{
    struct cluster *cluster = make(9, 3);
    create(cluster, 3, -1, -1, false);
    produce(cluster, 0, 600);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    cr_assert_eq(first_offset(cluster, 0), 0);
    set_retention_bytes(cluster, 32768);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    cr_assert_gt(first_offset(cluster, 0), 100, "there are bases to trim to");
    end(cluster);
}

Test(simulated_retention, alone_a_clock_that_jumps_ahead_expires_nothing)
{
    struct cluster *cluster = make(10, 1);
    create(cluster, 1, 10000, -1, false);
    produce(cluster, 0, 50);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    sim_set_wall_skew_ms(cluster->sim, 0, INT64_C(86400000));
    sim_run_for(cluster->sim, 3 * SECOND_US);
    cr_assert_eq(first_offset(cluster, 0), 0);
    sim_run_for(cluster->sim, 12 * SECOND_US);
    cr_assert_eq(first_offset(cluster, 0), 50, "by now they are as old as they look");
    end(cluster);
}

/* L11: trimming is what makes room, so a full disk must not stop it. */
Test(simulated_retention, a_full_disk_is_trimmed_and_takes_writes_again)
{
    struct cluster *cluster = make(11, 3);
    create(cluster, 3, -1, -1, false);
    produce(cluster, 0, 600);
    for (uint32_t i = 0; i < 3; i++) {
        struct disk *disk = sim_memory_disk(cluster->sim, i);
        memory_disk_set_capacity(disk, memory_disk_used(disk) + RESERVE_BYTES / 2u);
    }
    sim_run_for(cluster->sim, 3 * SECOND_US);
    cr_assert_eq(cluster_produce(cluster, 0, TOPIC, 1, -1, 0, NULL), NODE_DISK_FULL);
    struct cluster_call *call = malloc(sizeof(*call));
    cluster_fill_delete(call, TOPIC);
    call->request.type = NODE_REQUEST_TOPIC_SET;
    call->request.set.fields = META_SET_RETENTION_BYTES;
    call->request.create.settings.retention_bytes = 20000;
    cluster_submit(cluster, 0, call);
    cr_assert(cluster_wait(call, 10 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
    cluster_call_close(call);
    free(call);
    sim_run_for(cluster->sim, 5 * SECOND_US);
    cr_assert_gt(first_offset(cluster, 0), 100);
    cr_assert_eq(cluster_produce(cluster, 0, TOPIC, 1, -1, 0, NULL), NODE_OK);
    end(cluster);
}
