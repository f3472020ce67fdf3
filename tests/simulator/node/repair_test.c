/* Goal: what rots on one disk is made whole from the others, whoever leads, and nothing wrong is served meanwhile (PROTOCOL D1,
 * D4, D5, D7). Method: simulated clusters; one bit flipped, one file lost, at every kind of place; restarts and scrubs. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "founded.h"
#include "peek.h"
#include "poke.h"
#include "rot.h"
#include "thinned.h"

#define WALL_MS_AT_START UINT64_C(1700000000000) /* of the simulated world */
#define SECOND_US        1000000u
#define MESSAGES         124u     /* the last file has some of them */
#define NEVER            1000000u /* checkpoint_entries: only the one it was born with */

TestSuite(simulated_repair, .timeout = 900);

static uint32_t follower_of(struct cluster *cluster)
{
    const int leader = cluster_leader(cluster, cluster_group(cluster, 0, ROT_TOPIC));
    cr_assert_geq(leader, 0);
    return ((uint32_t)leader + 1u) % cluster->options.nodes_count;
}

#define ABOVE 12u

/* Entries that no state on any disk covers: a base follows the first of them, the crash the others before the next base is
 * due. Returns the index of the last but one. */
static uint64_t append_above_the_state(struct cluster *cluster)
{
    for (uint64_t i = 0; i < ABOVE; i++) {
        if (i == 1) sim_run_for(cluster->sim, 60000);
        cr_assert(cluster_produce_once(cluster, 0, ROT_TOPIC, MESSAGES + i, -1, -1, 10 * SECOND_US,
                                       NULL));
    }
    const uint64_t group = cluster_group(cluster, 0, ROT_TOPIC);
    for (uint32_t i = 0; i < cluster->options.nodes_count; i++) {
        struct node_group_status status;
        do {
            sim_run_for(cluster->sim, 200);
            cr_assert(cluster_group_status(cluster, i, group, &status));
        } while (status.durable_index < MESSAGES + ABOVE + 1u);
    }
    return MESSAGES + ABOVE;
}

static void restart(struct cluster *cluster, uint32_t node)
{
    cluster_start(cluster, node);
    sim_run_for(cluster->sim, SECOND_US / 2u);
}

/* ---- one disk ----------------------------------------------------------------------------------------------------- */

/* Every region of a file that nobody writes to any more, and of the last one: header, marks, records, payloads. */
Test(simulated_repair, what_rots_while_a_node_is_down_is_whole_again_after_its_restart)
{
    for (uint64_t checkpoints = 0; checkpoints < 2; checkpoints++) {
        struct cluster *cluster = rot_cluster(3, 3, 3, MESSAGES, checkpoints ? 20 : NEVER);
        uint64_t found = 0;
        for (uint32_t nth = 0; nth < 4; nth++) {
            char path[160];
            uint64_t bytes = 0;
            const uint32_t node = follower_of(cluster);
            if (!rot_segment(cluster, node, nth, path, sizeof(path), &bytes)) break;
            uint64_t point = 0;
            for (uint64_t pos = 5 + nth; pos < bytes; pos += pos < 12288 ? 1021 : 97) {
                if (!thinned_takes(nth, point++)) continue;
                cluster_crash(cluster, node, SIM_CRASH_KILL);
                rot_flip(cluster, node, path, pos);
                restart(cluster, node);
                cr_assert(sim_is_running(cluster->sim, node), "byte %" PRIu64 " of %s: %s", pos,
                          path, cluster->last_fatal_reason);
                (void)rot_scrub(cluster, node,
                                20 * SECOND_US); /* nobody reads a sealed file at a start */
                cr_assert(rot_is_repaired(cluster, 5 * SECOND_US), "byte %" PRIu64 " of %s", pos,
                          path);
                found += rot_repaired_segments(cluster, node);
            }
        }
        cr_assert_gt(found, thinned_least(5), "records were among it");
        rot_expect_values(cluster, MESSAGES);
        cluster_destroy(cluster);
    }
}

Test(simulated_repair, what_rots_under_a_running_node_is_found_by_a_scrub_and_repaired)
{
    struct cluster *cluster = rot_cluster(4, 3, 3, MESSAGES, NEVER);
    const uint32_t node = follower_of(cluster);
    uint64_t repaired = 0;
    for (uint32_t nth = 0; nth < 3; nth++) {
        char path[160];
        uint64_t bytes = 0;
        cr_assert(rot_segment(cluster, node, nth, path, sizeof(path), &bytes));
        for (uint64_t pos = 12288 + 11 * nth; pos < bytes; pos += 677) {
            rot_flip(cluster, node, path, pos);
            (void)rot_scrub(cluster, node, 20 * SECOND_US);
            cr_assert(rot_is_repaired(cluster, 5 * SECOND_US), "byte %" PRIu64 " of %s", pos, path);
            cr_assert_eq(rot_scrub(cluster, node, 20 * SECOND_US), 0);
        }
    }
    repaired = rot_repaired_segments(cluster, node);
    cr_assert_gt(repaired, 3);
    rot_expect_values(cluster, MESSAGES);
    cluster_destroy(cluster);
}

/* Footers and the gaps between records, which are no entries that a peer could give. */
Test(simulated_repair, what_rots_beside_the_entries_of_a_running_node_is_gone_behind_a_scrub)
{
    struct cluster *cluster = rot_cluster(41, 3, 3, MESSAGES, NEVER);
    const uint32_t node = follower_of(cluster);
    char path[160];
    uint64_t bytes = 0;
    cr_assert(rot_segment(cluster, node, 0, path, sizeof(path), &bytes));
    const uint64_t places[] = {bytes - 1, bytes - 4096, bytes - 4000, bytes - 5000, bytes - 12000};
    for (uint32_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        rot_flip(cluster, node, path, places[i]);
        cr_assert_gt(rot_problems(cluster, node), 0, "byte %" PRIu64, places[i]);
        cr_assert_eq(rot_scrub(cluster, node, 20 * SECOND_US), 0);
        cr_assert_eq(rot_problems(cluster, node), 0, "byte %" PRIu64, places[i]);
    }
    cr_assert_eq(rot_repaired_segments(cluster, node), 0, "nothing was asked of a peer");
    rot_expect_values(cluster, MESSAGES);
    cluster_destroy(cluster);
}

/* Nobody asks for it: the scrubber is on. */
Test(simulated_repair, what_rots_under_a_running_node_is_found_in_the_background)
{
    struct cluster *cluster = rot_cluster(5, 3, 3, MESSAGES, NEVER);
    const uint32_t node = follower_of(cluster);
    char path[160];
    const uint64_t pos = rot_find(cluster, node, 40, path, sizeof(path));
    rot_flip(cluster, node, path, pos + 90);
    sim_run_for(cluster->sim, 120 * SECOND_US);
    cr_assert_geq(rot_repaired_segments(cluster, node), 1);
    cr_assert(rot_is_repaired(cluster, SECOND_US));
    cr_assert_eq(rot_scrub(cluster, node, 20 * SECOND_US), 0);
    cluster_destroy(cluster);
}

Test(simulated_repair, a_lost_file_is_made_again)
{
    for (uint32_t nth = 0; nth < 4; nth++) {
        struct cluster *cluster = rot_cluster(6 + nth, 3, 3, MESSAGES, NEVER);
        const uint32_t node = follower_of(cluster);
        char path[160], last[160];
        uint64_t bytes = 0;
        cr_assert(rot_segment(cluster, node, nth, path, sizeof(path), &bytes));
        if (!rot_segment(cluster, node, nth + 1u, last, sizeof(last), &bytes)) {
            cluster_destroy(cluster);
            break; /* the last one holds the position */
        }
        cluster_crash(cluster, node, SIM_CRASH_KILL);
        rot_remove(cluster, node, path);
        restart(cluster, node);
        cr_assert(sim_is_running(cluster->sim, node), "%s", cluster->last_fatal_reason);
        cr_assert(rot_is_repaired(cluster, 5 * SECOND_US), "%s", path);
        rot_expect_values(cluster, MESSAGES);
        cluster_destroy(cluster);
    }
}

/* ---- without a leader ----------------------------------------------------------------------------------------------- */

/* Two of three are up, and one of them is damaged: no leader can be before it is whole. */
Test(simulated_repair, a_damaged_replica_is_mended_without_a_leader)
{
    struct cluster *cluster = rot_cluster(11, 3, 3, MESSAGES, NEVER);
    const uint32_t node = follower_of(cluster);
    const uint32_t away = (node + 1u) % 3u;
    char path[160];
    const uint64_t pos = rot_find(cluster, node, 40, path, sizeof(path));
    for (uint32_t i = 0; i < 3; i++) {
        cluster_crash(cluster, i, SIM_CRASH_KILL);
    }
    rot_flip(cluster, node, path, pos + 3);
    for (uint32_t i = 0; i < 3; i++) {
        if (i != away) cluster_start(cluster, i);
    }
    cr_assert(rot_is_repaired(cluster, 10 * SECOND_US));
    cr_assert_geq(cluster_wait_leader(cluster, 0, 10 * SECOND_US), 0);
    rot_expect_values(cluster, MESSAGES);
    cluster_destroy(cluster);
}

/* A whole one that is away is waited for: what it holds may be committed. */
Test(simulated_repair, what_only_a_node_that_is_away_can_give_is_waited_for)
{
    struct cluster *cluster = rot_cluster(13, 2, 2, MESSAGES, NEVER);
    const uint32_t node = follower_of(cluster);
    char path[160];
    const uint64_t index = append_above_the_state(cluster);
    const uint64_t pos = rot_find(cluster, node, index, path, sizeof(path));
    const uint64_t group = cluster_group(cluster, node, ROT_TOPIC);
    cluster_crash(cluster, 0, SIM_CRASH_KILL);
    cluster_crash(cluster, 1, SIM_CRASH_KILL);
    rot_flip(cluster, node, path, pos + 3);
    char *log = NULL;
    size_t log_bytes = 0;
    cluster->options.log = open_memstream(&log, &log_bytes);
    cluster_start(cluster, node);
    sim_run_for(cluster->sim, 5 * SECOND_US);
    fflush(cluster->options.log);
    cr_assert_not_null(strstr(log, "level=info event=\"damage waits for a peer"), "%s", log);
    cr_assert_null(strstr(log, "cannot be repaired"), "nobody was asked: %s", log);
    sim_run_for(cluster->sim, 15 * SECOND_US);
    fclose(cluster->options.log);
    cluster->options.log = NULL;
    cr_assert_not_null(strstr(log, "level=error event=\"damage cannot be repaired yet"),
                       "nobody came: %s", log);
    free(log);
    struct node_group_status status;
    cr_assert(cluster_group_status(cluster, node, group, &status));
    cr_assert_str_eq(status.role, "mending");
    cr_assert_not_null(strstr(status.problem, "damaged"), "%s", status.problem);
    cluster_start(cluster, 1u - node);
    cr_assert(rot_is_repaired(cluster, 10 * SECOND_US));
    cr_assert_geq(cluster_wait_leader(cluster, 0, 10 * SECOND_US), 0);
    rot_expect_values(cluster, MESSAGES + ABOVE);
    cluster_destroy(cluster);
}

static uint64_t durable_index(struct cluster *cluster, uint32_t node, uint64_t group)
{
    struct node_group_status status;
    return cluster_group_status(cluster, node, group, &status) ? status.durable_index : 0;
}

/* A replica whose damage hides a change of terms starts behind it. Repaired and leading, it gives who lags behind that place
 * its entries: a base would take from there what it has in front. */
Test(simulated_repair, who_lags_behind_repaired_damage_gets_entries_and_no_base)
{
    struct cluster *cluster = rot_cluster(61, 3, 3, MESSAGES, 20);
    const uint64_t group = cluster_group(cluster, 0, ROT_TOPIC);
    const uint32_t damaged = (uint32_t)cluster_leader(cluster, group);
    const uint32_t away = (damaged + 1u) % 3u, whole = (damaged + 2u) % 3u;
    const uint64_t term_begins = durable_index(cluster, damaged, group) + 1u;
    uint64_t count = MESSAGES;
    cluster_crash(cluster, damaged, SIM_CRASH_KILL);
    cr_assert(
        cluster_produce_once(cluster, whole, ROT_TOPIC, count++, -1, -1, 10 * SECOND_US, NULL));
    restart(cluster, damaged);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    cluster_crash(cluster, away, SIM_CRASH_KILL);
    for (uint32_t i = 0; i < 60; i++) {
        cr_assert(
            cluster_produce_once(cluster, whole, ROT_TOPIC, count++, -1, -1, 10 * SECOND_US, NULL));
    }
    sim_run_for(cluster->sim, SECOND_US);
    cluster_crash(cluster, damaged, SIM_CRASH_KILL);
    cluster_crash(cluster, whole, SIM_CRASH_KILL);
    char path[160];
    (void)rot_find(cluster, damaged, term_begins, path, sizeof(path));
    rot_remove(cluster, damaged, path);
    cluster_start(cluster, damaged);
    sim_run_for(cluster->sim, 10 * SECOND_US);
    struct node_group_status status;
    cr_assert(cluster_group_status(cluster, damaged, group, &status));
    cr_assert_str_neq(status.role, "mending", "it starts without its peers");
    cr_assert_not_null(strstr(status.problem, "damaged"), "%s", status.problem);

    cluster_start(cluster, whole);
    cr_assert(rot_is_repaired(cluster, 10 * SECOND_US));
    cluster_crash(cluster, whole, SIM_CRASH_KILL);
    cluster_start(cluster, away);
    cr_assert_eq(cluster_wait_leader(cluster, group, 10 * SECOND_US), (int)damaged);
    for (uint32_t i = 0;
         i < 100 && durable_index(cluster, away, group) < durable_index(cluster, damaged, group);
         i++)
        sim_run_for(cluster->sim, SECOND_US / 10u);
    cr_assert_eq(durable_index(cluster, away, group), durable_index(cluster, damaged, group));
    struct peek_group peek;
    cr_assert(peek_group(cluster->nodes[away].node, group, &peek));
    cr_assert_eq(peek_bases_installed(&peek), 0);
    cr_assert_eq(peek.base_next_offset, 0);
    cluster_start(cluster, whole);
    rot_expect_values(cluster, (uint32_t)count);
    cluster_destroy(cluster);
}

/* ---- all disks ------------------------------------------------------------------------------------------------------- */

/* Helical: each node is damaged at another place, and each holds what the others lack. */
Test(simulated_repair, replicas_that_are_all_damaged_in_different_places_mend_each_other)
{
    for (uint64_t seed = 20; seed < 26; seed++) {
        struct cluster *cluster = rot_cluster(seed, 3, 3, MESSAGES, seed % 2u ? 30 : NEVER);
        char path[160];
        uint64_t bytes = 0;
        for (uint32_t i = 0; i < 3; i++) {
            cluster_crash(cluster, i, SIM_CRASH_KILL);
        }
        for (uint32_t i = 0; i < 3; i++) {
            for (uint32_t nth = i; rot_segment(cluster, i, nth, path, sizeof(path), &bytes);
                 nth += 3) {
                char next[160];
                uint64_t next_bytes = 0;
                if (!rot_segment(cluster, i, nth + 1u, next, sizeof(next), &next_bytes)) break;
                rot_flip(cluster, i, path, 12288 + (seed * 131u + nth * 57u) % (bytes - 12288));
            }
        }
        cluster_start_all(cluster);
        cr_assert(rot_is_repaired(cluster, 20 * SECOND_US), "seed %" PRIu64, seed);
        cr_assert_geq(cluster_wait_leader(cluster, 0, 10 * SECOND_US), 0);
        rot_expect_values(cluster, MESSAGES);
        cluster_destroy(cluster);
    }
}

/* The entry with this index, on every disk. */
static void damage_everywhere(struct cluster *cluster, uint64_t index)
{
    for (uint32_t i = 0; i < cluster->options.nodes_count; i++) {
        cluster_crash(cluster, i, SIM_CRASH_KILL);
        char path[160];
        const uint64_t pos = rot_find(cluster, i, index, path, sizeof(path));
        rot_flip(cluster, i, path, pos + 100);
    }
}

static enum node_status fetch(struct cluster *cluster, uint32_t node, uint64_t offset,
                              struct cluster_call *call)
{
    memset(call, 0, sizeof(*call));
    cluster_fill_fetch(call, ROT_TOPIC, offset, 0);
    cluster_submit(cluster, node, call);
    cr_assert(cluster_wait(call, 30 * SECOND_US));
    return call->request.status;
}

/* D7: below a checkpoint only reads of that range fail, and say where, what and on which nodes. */
Test(simulated_repair, what_is_lost_everywhere_below_a_checkpoint_fails_by_name_and_nothing_else)
{
    struct cluster *cluster = rot_cluster(31, 3, 3, MESSAGES, 10);
    damage_everywhere(cluster, 41);
    cluster_start_all(cluster);
    cr_assert_geq(cluster_wait_leader(cluster, 0, 20 * SECOND_US), 0);
    sim_run_for(cluster->sim, 10 * SECOND_US);
    const uint64_t group = cluster_group(cluster, 0, ROT_TOPIC);
    cr_assert_geq(cluster_wait_leader(cluster, group, 20 * SECOND_US), 0);
    struct cluster_call *call = malloc(sizeof(*call));
    uint32_t lost = 0;
    for (uint64_t offset = 0; offset < MESSAGES; offset++) {
        const enum node_status status = fetch(cluster, (uint32_t)(offset % 3u), offset, call);
        if (status == NODE_DAMAGED) {
            lost++;
            char range[64];
            snprintf(range, sizeof(range),
                     "offsets %" PRIu64 "..%" PRIu64 " of topic \"" ROT_TOPIC "\"", offset, offset);
            cr_assert_not_null(strstr(call->request.detail, range), "%s", call->request.detail);
            for (uint32_t i = 0; i < 3; i++) {
                char name[8];
                snprintf(name, sizeof(name), "n%u", i + 1u);
                cr_assert_not_null(strstr(call->request.detail, name), "%s", call->request.detail);
            }
        } else {
            cr_assert_eq(status, NODE_OK, "offset %" PRIu64 ": %s", offset, call->request.detail);
        }
        cluster_call_close(call);
    }
    free(call);
    cr_assert_eq(lost, 1, "%u", lost);
    cr_assert(cluster_produce_once(cluster, 0, ROT_TOPIC, MESSAGES, -1, -1, 20 * SECOND_US, NULL),
              "it takes messages");
    cluster_destroy(cluster);
}

static void allow_local_reads(struct cluster *cluster)
{
    cr_assert_eq(cluster_allow_local_reads(cluster, 0, ROT_TOPIC), NODE_OK);
    sim_run_for(cluster->sim, SECOND_US); /* on all nodes */
}

/* D7: above the newest checkpoint the state cannot be known: the group halts and says where. What the state covers is read
 * from any node once the topic takes local reads; who reads on meets the damage, and never takes the end of the state for that of
 * the log. */
Test(simulated_repair, what_is_lost_everywhere_above_a_checkpoint_halts_the_group_by_name)
{
    struct cluster *cluster = rot_cluster(33, 3, 3, MESSAGES, NEVER);
    const uint64_t group = cluster_group(cluster, 0, ROT_TOPIC);
    const uint64_t index = append_above_the_state(cluster);
    char range[64];
    snprintf(range, sizeof(range), "%" PRIu64 "..%" PRIu64, index, index);
    damage_everywhere(cluster, index);
    cluster_start_all(cluster);
    cr_assert_geq(cluster_wait_leader(cluster, 0, 20 * SECOND_US), 0);
    sim_run_for(cluster->sim, 20 * SECOND_US);
    for (uint32_t i = 0; i < 3; i++) {
        struct node_group_status status;
        cr_assert(cluster_group_status(cluster, i, group, &status));
        cr_assert_str_eq(status.role, "mending");
        cr_assert_not_null(strstr(status.problem, range), "%s", status.problem);
        cr_assert_not_null(strstr(status.problem, "damaged here, too"), "%s", status.problem);
        cr_assert_geq(status.last_index, index, "nothing was cut");
        char why[1024];
        cr_assert(node_is_ready(cluster->nodes[i].node, why, sizeof(why)),
                  "it would mend nothing to send clients away from all else: %s", why);
        cr_assert_not_null(strstr(why, "[!]damage on this node: 1 range, 1 of them"), "%s", why);
    }
    cr_assert_neq(cluster_produce(cluster, 0, ROT_TOPIC, 1, -1, -1, NULL), NODE_OK);
    struct cluster_call *call = malloc(sizeof(*call));
    cr_assert_eq(fetch(cluster, 0, 60, call), NODE_DAMAGED, "%s", call->request.detail);
    cr_assert_not_null(strstr(call->request.detail, range), "%s", call->request.detail);
    cluster_call_close(call);
    allow_local_reads(cluster);
    for (uint64_t offset = 0; offset < MESSAGES; offset++) {
        cr_assert_eq(fetch(cluster, (uint32_t)(offset % 3u), offset, call), NODE_OK,
                     "%" PRIu64 ": %s", offset, call->request.detail);
        cr_assert_geq(call->request.ret_next_offset, offset + 1u);
        cr_assert_gt(call->request.ret_view.bytes_total, 0);
        cr_assert_eq(call->request.ret_high_watermark, MESSAGES + ABOVE, "to the end of the log");
        cluster_call_close(call);
    }
    cr_assert_eq(fetch(cluster, 0, MESSAGES + ABOVE - 1u, call), NODE_DAMAGED, "%s",
                 call->request.detail);
    cr_assert_not_null(strstr(call->request.detail, range), "%s", call->request.detail);
    cluster_call_close(call);
    free(call);
    cluster_destroy(cluster);
}

/* ---- who leads --------------------------------------------------------------------------------------------------------- */

Test(simulated_repair, a_damaged_leader_is_whole_again_and_loses_nothing)
{
    struct cluster *cluster = rot_cluster(41, 3, 3, MESSAGES, NEVER);
    const uint64_t group = cluster_group(cluster, 0, ROT_TOPIC);
    const int leader = cluster_leader(cluster, group);
    cr_assert_geq(leader, 0);
    char path[160];
    const uint64_t pos = rot_find(cluster, (uint32_t)leader, 40, path, sizeof(path));
    rot_flip(cluster, (uint32_t)leader, path, pos + 3);
    (void)rot_scrub(cluster, (uint32_t)leader, 20 * SECOND_US);
    cr_assert(cluster_produce_once(cluster, 0, ROT_TOPIC, MESSAGES, -1, -1, 20 * SECOND_US, NULL));
    cr_assert(rot_is_repaired(cluster, 5 * SECOND_US));
    rot_expect_values(cluster, MESSAGES + 1u);
    cluster_destroy(cluster);
}

/* A read finds it before the scrubber does: who is whole answers in its place. */
Test(simulated_repair, a_read_of_damage_is_answered_by_a_whole_replica)
{
    struct cluster *cluster = rot_cluster(42, 3, 3, MESSAGES, NEVER);
    const uint32_t node = follower_of(cluster);
    char path[160];
    cluster_crash(cluster, node, SIM_CRASH_KILL); /* nothing of it is in memory then */
    restart(cluster, node);
    const uint64_t pos = rot_find(cluster, node, 40, path, sizeof(path));
    rot_flip(cluster, node, path, pos + 100);
    rot_expect_values(cluster, MESSAGES);
    cr_assert_geq(rot_found(cluster, node), 1, "it was found by reading");
    cr_assert(rot_is_repaired(cluster, 5 * SECOND_US));
    cluster_destroy(cluster);
}

/* The others are whole there, and damaged in front of it, which nobody knows yet. */
Test(simulated_repair, a_read_of_damage_is_answered_by_a_replica_that_is_damaged_in_front_of_it)
{
    for (uint64_t index = 20; index < 60; index += 5) {
        struct cluster *cluster = rot_cluster(43, 3, 3, MESSAGES, NEVER);
        for (uint32_t i = 0; i < 3; i++) {
            char path[160];
            cluster_crash(cluster, i, SIM_CRASH_KILL); /* nothing of it is in memory then */
            const uint64_t pos = rot_find(cluster, i, index - 2u * (i > 0), path, sizeof(path));
            rot_flip(cluster, i, path, pos + 100);
        }
        cluster_start_all(cluster);
        const uint64_t group = cluster_group(cluster, 0, ROT_TOPIC);
        cr_assert_geq(cluster_wait_leader(cluster, 0, 20 * SECOND_US), 0);
        cr_assert_geq(cluster_wait_leader(cluster, group, 20 * SECOND_US), 0);
        struct cluster_call *call = malloc(sizeof(*call));
        cr_assert_eq(fetch(cluster, 0, index - 2u, call), NODE_OK, "entry %" PRIu64 ": %s", index,
                     call->request.detail);
        cr_assert_eq(call->request.ret_fetch_offset, index - 2u);
        cluster_call_close(call);
        free(call);
        cluster_destroy(cluster);
    }
}

/* Of the two others one is damaged there as well, and the answer of the whole one is long in coming. That it is damaged nobody
 * said, and it is asked again. */
Test(simulated_repair, a_replica_that_did_not_answer_a_read_is_not_called_damaged)
{
    for (uint64_t seed = 44; seed < 50; seed++) {
        struct cluster *cluster = rot_cluster(seed, 3, 3, MESSAGES, NEVER);
        for (uint32_t i = 0; i < 3; i++) {
            char path[160];
            cluster_crash(cluster, i, SIM_CRASH_KILL); /* nothing of it is in memory then */
            if (i == 1) continue;
            const uint64_t pos = rot_find(cluster, i, 40, path, sizeof(path));
            rot_flip(cluster, i, path, pos + 100);
        }
        cluster_start_all(cluster);
        const uint64_t group = cluster_group(cluster, 0, ROT_TOPIC);
        cr_assert_geq(cluster_wait_leader(cluster, 0, 20 * SECOND_US), 0);
        cr_assert_geq(cluster_wait_leader(cluster, group, 20 * SECOND_US), 0);
        struct cluster_call *call = calloc(1, sizeof(*call));
        cluster_fill_fetch(call, ROT_TOPIC, 38, 0);
        cluster_submit(cluster, 0, call);
        for (uint32_t i = 0; i < 100000 && rot_found(cluster, 0) == 0; i++) {
            cr_assert(sim_step(cluster->sim));
        }
        cr_assert_not(call->is_done);
        sim_set_link(cluster->sim, 1, 0, SIM_LINK_STALLED);
        cr_assert(cluster_wait(call, 15 * SECOND_US));
        if (call->request.status != NODE_OK) {
            cr_assert_null(strstr(call->request.detail, "n2"), "seed %" PRIu64 ": %s", seed,
                           call->request.detail);
        }
        cluster_call_close(call);
        free(call);
        cluster_destroy(cluster);
    }
}

/* ---- alone --------------------------------------------------------------------------------------------------------------- */

Test(simulated_repair, one_of_a_pair_is_mended_by_the_other)
{
    struct cluster *cluster = rot_cluster(51, 2, 2, MESSAGES, NEVER);
    const uint32_t node = follower_of(cluster);
    char path[160];
    const uint64_t pos = rot_find(cluster, node, 40, path, sizeof(path));
    cluster_crash(cluster, node, SIM_CRASH_KILL);
    rot_flip(cluster, node, path, pos + 3);
    restart(cluster, node);
    cr_assert(rot_is_repaired(cluster, 5 * SECOND_US));
    rot_expect_values(cluster, MESSAGES);
    cluster_destroy(cluster);
}

Test(simulated_repair, a_node_alone_names_what_it_lost_and_cuts_nothing)
{
    for (uint32_t is_above = 0; is_above < 2; is_above++) {
        struct cluster *cluster = rot_cluster(52, 1, 1, MESSAGES, NEVER);
        const uint64_t group = cluster_group(cluster, 0, ROT_TOPIC);
        const uint64_t above = append_above_the_state(cluster);
        const uint64_t index = is_above ? above : 41u;
        char range[64];
        snprintf(range, sizeof(range), "%" PRIu64 "..%" PRIu64, index, index);
        damage_everywhere(cluster, index);
        cluster_start_all(cluster);
        sim_run_for(cluster->sim, 10 * SECOND_US);
        struct cluster_call *call = malloc(sizeof(*call));
        cr_assert_eq(fetch(cluster, 0, index - 2u, call), NODE_DAMAGED, "%s", call->request.detail);
        cluster_call_close(call);
        cr_assert_eq(fetch(cluster, 0, 45, call), is_above ? NODE_DAMAGED : NODE_OK, "%s",
                     call->request.detail);
        cluster_call_close(call);
        allow_local_reads(cluster);
        cr_assert_eq(fetch(cluster, 0, 45, call), NODE_OK, "%s", call->request.detail);
        cluster_call_close(call);
        free(call);
        struct node_group_status status;
        cr_assert(cluster_group_status(cluster, 0, group, &status));
        cr_assert_not_null(strstr(status.problem, range), "%s", status.problem);
        cr_assert_geq(status.last_index, above, "nothing was cut");
        cluster_destroy(cluster);
    }
}

/* Two messages are damaged on every replica. By time each fails by its own name, and what stands beside them is found. */
static void read_by_time_beside_damage(uint32_t nodes)
{
    struct cluster *cluster = rot_cluster(52, nodes, nodes, MESSAGES, 10);
    damage_everywhere(cluster, 31);
    for (uint32_t i = 0; i < nodes; i++) {
        char path[160];
        const uint64_t pos = rot_find(cluster, i, 41, path, sizeof(path));
        rot_flip(cluster, i, path, pos + 100);
    }
    cluster_start_all(cluster);
    sim_run_for(cluster->sim, 20 * SECOND_US);
    struct cluster_call *call = malloc(sizeof(*call));
    uint32_t failed[2] = {0, 0}, found_behind = 0;
    for (uint64_t ms = 0; ms < 20000 && found_behind == 0; ms++) {
        memset(call, 0, sizeof(*call));
        cluster_fill_fetch(call, ROT_TOPIC, WALL_MS_AT_START + ms, 0);
        call->request.fetch.from = NODE_FROM_TIME;
        cluster_submit(cluster, (uint32_t)ms % nodes, call);
        cr_assert(cluster_wait(call, 20 * SECOND_US));
        const struct node_request *request = &call->request;
        if (request->status == NODE_OK) {
            if (request->ret_fetch_offset > 39) found_behind++;
        } else {
            cr_assert_eq(request->status, NODE_DAMAGED, "%s", request->detail);
            const bool is_second = request->ret_next_offset == 40;
            cr_assert(is_second || request->ret_next_offset == 30, "%s", request->detail);
            cr_assert_not_null(
                strstr(request->detail, is_second ? "offsets 39..39" : "offsets 29..29"));
            cr_assert(is_second || failed[1] == 0);
            failed[is_second]++;
        }
        cluster_call_close(call);
    }
    cr_assert_gt(failed[0], 0);
    cr_assert_gt(failed[1], 0);
    cr_assert_gt(found_behind, 0);
    free(call);
    cluster_destroy(cluster);
}

Test(simulated_repair, a_read_by_time_that_meets_damage_fails_by_the_name_of_that_one)
{
    read_by_time_beside_damage(1);
    read_by_time_beside_damage(3);
}

/* ---- what is told of it -------------------------------------------------------------------------------------------------- */

/* Entry 41 holds message 39. */
Test(simulated_repair, damage_that_nobody_repairs_is_told_in_the_status_and_sends_no_client_away)
{
    struct cluster *cluster = rot_cluster(52, 1, 1, MESSAGES, 10);
    damage_everywhere(cluster, 41);
    cluster_start_all(cluster);
    sim_run_for(cluster->sim, 10 * SECOND_US);
    struct cluster_call *call = malloc(sizeof(*call));
    cr_assert_eq(fetch(cluster, 0, 39, call), NODE_DAMAGED);
    cr_assert_eq(call->request.ret_next_offset, 40, "where reading goes on");
    cluster_call_close(call);
    free(call);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    struct node_cluster_status *status = founded_status(cluster, 0);
    cr_assert_eq(status->damaged_ranges, 1, "%u %s", status->damaged_ranges, status->damage);
    cr_assert_eq(status->unrepaired_ranges, 1);
    cr_assert_str_eq(status->damage, "damaged on n1: topic \"" ROT_TOPIC
                                     "\" partition 0 offsets 39..39; nobody can "
                                     "repair it now: there is no other replica");
    free(status);
    char why[1024];
    cr_assert(node_is_ready(cluster->nodes[0].node, why, sizeof(why)), "%s", why);
    cr_assert_not_null(strstr(why, "[!]damage on this node: 1 range, 1 of them"), "%s", why);
    cr_assert_null(strstr(why, "mended"), "%s", why);
    cluster_destroy(cluster);
}

/* Whoever stops one node after the other waits until each is whole again. */
Test(simulated_repair, a_node_that_waits_for_a_repair_that_may_come_is_not_ready)
{
    struct cluster *cluster = rot_cluster(33, 3, 3, MESSAGES, NEVER);
    const uint64_t index = append_above_the_state(cluster);
    for (uint32_t node = 0; node < 3; node++) {
        char path[160];
        cluster_crash(cluster, node, SIM_CRASH_KILL);
        const uint64_t pos = rot_find(cluster, node, index, path, sizeof(path));
        if (node < 2) rot_flip(cluster, node, path, pos + 100);
    }
    cluster_start(cluster, 0);
    cluster_start(cluster, 1);
    cr_assert_geq(cluster_wait_leader(cluster, 0, 20 * SECOND_US), 0);
    char why[1024];
    for (int i = 0; i < 200; i++) {
        sim_run_for(cluster->sim, SECOND_US / 10u);
        for (uint32_t node = 0; node < 2; node++) {
            cr_assert_not(node_is_ready(cluster->nodes[node].node, why, sizeof(why)), "%s", why);
        }
    }
    cr_assert_not_null(strstr(why, "[-]repaired, waited for in 1 replica"), "%s", why);
    cluster_start(cluster, 2);
    cr_assert(rot_is_repaired(cluster, 10 * SECOND_US));
    sim_run_for(cluster->sim, 5 * SECOND_US);
    for (uint32_t node = 0; node < 3; node++) {
        cr_assert(node_is_ready(cluster->nodes[node].node, why, sizeof(why)), "%s", why);
    }
    cluster_destroy(cluster);
}

Test(simulated_repair, damage_that_is_being_repaired_is_told_as_such_and_then_no_more)
{
    struct cluster *cluster = rot_cluster(3, 3, 3, MESSAGES, 20);
    const uint32_t node = follower_of(cluster);
    char path[160];
    const uint64_t pos = rot_find(cluster, node, 41, path, sizeof(path));
    cluster_crash(cluster, node, SIM_CRASH_KILL);
    rot_flip(cluster, node, path, pos + 3);
    restart(cluster, node);
    (void)node_scrub(cluster->nodes[node].node,
                     ROT_TOPIC); /* nobody reads a sealed file at a start */
    bool was_told = false;
    for (int i = 0; i < 5000; i++) {
        sim_run_for(cluster->sim, SECOND_US / 1000u);
        struct node_cluster_status *status = founded_status(cluster, node);
        was_told |= status->damaged_ranges == 1 && status->unrepaired_ranges == 0 &&
                    strstr(status->damage, " offsets 39..39; being repaired");
        free(status);
    }
    cr_assert(was_told);
    struct node_cluster_status *status = founded_status(cluster, node);
    cr_assert_eq(status->damaged_ranges, 0, "%s", status->damage);
    cr_assert_str_eq(status->damage, "");
    free(status);
    char why[1024];
    cr_assert(node_is_ready(cluster->nodes[node].node, why, sizeof(why)), "%s", why);
    cr_assert_null(strstr(why, "[!]"), "%s", why);
    cluster_destroy(cluster);
}

/* ---- beside what else happens to a log ---------------------------------------------------------------------------------- */

/* Retention does not wait for repair: a piece of the session works on the file of the hole meanwhile, and ends behind it. */
Test(simulated_repair, a_hole_that_is_dropped_while_a_piece_of_its_repair_runs_is_done_with)
{
    struct cluster *cluster = rot_cluster(71, 3, 3, MESSAGES, NEVER);
    char path[160];
    uint64_t bytes = 0;
    poke_make_base(cluster->nodes[1].node, /* group= */ 0);
    sim_run_for(cluster->sim, SECOND_US);
    cr_assert_eq(cluster_create_topic(cluster, 0, "others", 3), NODE_OK); /* is behind the base */
    sim_run_for(cluster->sim, SECOND_US);
    cr_assert(rot_file(cluster, 1, 0, "0", 0, path, sizeof(path), &bytes));
    rot_flip(cluster, 1, path, 12288 + 3);
    cr_assert_eq(node_scrub(cluster->nodes[1].node, NULL), 3);
    while (rot_found(cluster, 1) == 0) {
        cr_assert(sim_step(cluster->sim));
    }
    struct peek_group peek;
    cr_assert(peek_group(cluster->nodes[1].node, 0, &peek));
    cr_assert_eq(peek_repairs(cluster->nodes[1].node), 1, "its first piece was just begun");
    cr_assert(poke_drop_prefix(cluster->nodes[1].node, 0));
    sim_run_for(cluster->sim, SECOND_US);
    cr_assert_eq(peek_repairs(cluster->nodes[1].node), 0);
    cr_assert(rot_is_repaired(cluster, SECOND_US));
    cr_assert_eq(rot_scrub(cluster, 1, 20 * SECOND_US), 0);
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    rot_expect_values(cluster, MESSAGES);
    cluster_destroy(cluster);
}
