/* Goal: old entries that a disk brings back, since it lost the writes of a cut and of what came in its place, are never served,
 * never cost what was acknowledged, and are replaced from peers (PROTOCOL D1, D4). Method: such records are written into the
 * files of a node that is down; the others lag, die and come back around it. */
#include "peek.h"
#include "poke.h"
#include "rot.h"
#include "sim_invariants.h"
#include "trio.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <segment_log/entry.h>
#include <string.h>

#define SECOND_US 1000000u
#define NEVER     1000000u /* checkpoint_entries */

TestSuite(simulated_old_entries, .timeout = 900);

struct stored {
    char path[160];
    uint64_t pos;
    uint8_t bytes[512]; /* its sector: every append was synced alone */
    struct entry_header header;
};

static struct stored load_entry(struct cluster *cluster, uint32_t node, uint64_t index,
                                uint64_t group_seed)
{
    struct stored stored = {0};
    struct disk_file *file;
    stored.pos = rot_find(cluster, node, index, stored.path, sizeof(stored.path));
    cr_assert_eq(disk_open(sim_memory_disk(cluster->sim, node), stored.path, DISK_READ, &file), 0);
    cr_assert_gt(disk_pread(file, stored.bytes, sizeof(stored.bytes), stored.pos), 0);
    disk_close(file);
    cr_assert_eq(
        entry_decode_header(stored.bytes, sizeof(stored.bytes), group_seed, &stored.header),
        ENTRY_DECODE_OK);
    return stored;
}

/* On the disk of the node, which is down, the entry comes in another's place: a copy of the message `old`, that follows `chain`. */
static uint64_t replace_entry(struct cluster *cluster, uint32_t node, uint64_t group_seed,
                              const struct stored *old, uint64_t index, uint64_t base_offset,
                              uint64_t chain)
{
    const struct stored gone = load_entry(cluster, node, index, group_seed);
    uint8_t sector[512] = {0};
    struct entry_header header = old->header;
    header.index = index;
    header.base_offset = base_offset;
    memcpy(sector + ENTRY_HEADER_BYTES, old->bytes + ENTRY_HEADER_BYTES, header.payload_bytes);
    for (uint32_t i = 0; i < 8u; i++) {
        sector[ENTRY_HEADER_BYTES + i] = (uint8_t)(base_offset >> (56u - 8u * i));
    }
    entry_encode_header(&header, group_seed, chain, sector);
    struct disk_file *file;
    cr_assert_eq(disk_open(sim_memory_disk(cluster->sim, node), gone.path, DISK_WRITE, &file), 0);
    cr_assert_eq(disk_pwrite(file, sector, sizeof(sector), gone.pos), 0);
    cr_assert_eq(disk_datasync(file), 0);
    disk_close(file);
    return header.chain;
}

/* On the disk of the node, which is down, comes a copy of the message `last` behind it, as its old leader may have appended it,
 * and the entry behind that is lost: what a disk leaves that lost the writes of a cut, and of what came in its place. False: the
 * three do not stand in one file. */
static bool bring_back_an_old_entry(struct cluster *cluster, uint32_t node, uint64_t group_seed,
                                    uint64_t last)
{
    const struct stored old = load_entry(cluster, node, last, group_seed);
    const struct stored gone = load_entry(cluster, node, last + 1u, group_seed);
    const struct stored lost = load_entry(cluster, node, last + 2u, group_seed);
    cr_assert_gt(gone.header.term, old.header.term);
    cr_assert_eq(old.header.type, ENTRY_DATA);
    cr_assert_eq(gone.header.type, ENTRY_NOOP);
    if (strcmp(old.path, lost.path) != 0) return false;
    (void)replace_entry(cluster, node, group_seed, &old, last + 1u, gone.header.base_offset,
                        old.header.chain);
    rot_flip(cluster, node, lost.path, lost.pos + 100u);
    invariants_expect_forged(cluster->invariants, node);
    return true;
}

static void produce_next(const struct trio *trio, uint32_t node, uint32_t *values)
{
    cr_assert(cluster_produce_once(trio->cluster, node, ROT_TOPIC, *values, -1, -1, 20 * SECOND_US,
                                   NULL));
    ++*values;
}

/* What the old leader appended last follows by its chain from what everybody has, and only the term behind the damage is another
 * one. False: a file ended there, or a base. */
static bool replace_old_entries(uint32_t before, uint64_t checkpoint_entries)
{
    struct trio trio = trio_make_with(44, checkpoint_entries);
    struct cluster *cluster = trio.cluster;
    const uint32_t node = trio.third;
    uint32_t values = TRIO_MESSAGES;
    while (values < TRIO_MESSAGES + before) {
        produce_next(&trio, trio.leader, &values);
    }
    const uint64_t last = trio_peek(&trio, trio.leader).last_index;
    cr_assert_eq(poke_transfer(cluster->nodes[trio.leader].node, trio.group, trio.follower + 1u),
                 RAFT_OK);
    /* No base comes between, for these are soon. */
    cr_assert(sim_run_until_true(cluster->sim, SECOND_US, trio_follower_leads, &trio));
    while (values < TRIO_MESSAGES + before + 3u) {
        produce_next(&trio, trio.follower, &values);
    }
    trio_run_until_durable(&trio, node, last + 4u);
    const struct cluster_id id = peek_cluster(cluster->nodes[node].node);
    cluster_crash(cluster, node, SIM_CRASH_KILL);
    const bool is_old =
        bring_back_an_old_entry(cluster, node, checksum64_group(&id, trio.group), last);
    if (is_old) {
        cluster_start(cluster, node);
        sim_run_for(cluster->sim, 10000);
        rot_expect_values(cluster, values);
        cr_assert(rot_is_repaired(cluster, 20 * SECOND_US), "%u messages before", before);
        rot_expect_values(cluster, values);
        cr_assert_eq(rot_problems(cluster, node), 0);
    }
    cluster_destroy(cluster);
    return is_old;
}

/* Also where a checkpoint covers them: the core may start, and reads come. */
Test(simulated_old_entries, old_entries_in_front_of_damage_are_replaced_from_peers_and_never_served)
{
    for (uint64_t checkpoint_entries = 3; checkpoint_entries <= NEVER; checkpoint_entries *= 100) {
        uint32_t tried = 0;
        for (uint32_t before = 1; before <= 8; before++) {
            tried += replace_old_entries(before, checkpoint_entries);
        }
        cr_assert_gt(tried, 2);
    }
}

/* The leader of a later term and another node have a message; the leader alone has `alone` more. Its disk lost all entries of its term
 * but the last, so that old ones stand there, and that one rots. False: they do not stand in one file. */
static bool keep_acked_beside_old_entries(uint32_t before, uint32_t alone)
{
    struct trio trio = trio_make_with(44, NEVER);
    struct cluster *cluster = trio.cluster;
    struct sim *sim = cluster->sim;
    const uint32_t node = trio.follower, other = trio.leader;
    uint32_t values = TRIO_MESSAGES;
    while (values < TRIO_MESSAGES + before) {
        produce_next(&trio, other, &values);
    }
    sim_run_for(sim, 20000);
    const uint64_t last = trio_peek(&trio, other).last_index;
    cr_assert_eq(poke_transfer(cluster->nodes[other].node, trio.group, node + 1u), RAFT_OK);
    while (!trio_follower_leads(&trio)) {
        sim_run_for(sim, 5);
    }
    sim_isolate(sim, trio.third, SIM_LINK_CUT);
    produce_next(&trio, node, &values);
    trio_run_until_durable(&trio, other, last + 2u);
    sim_isolate(sim, node, SIM_LINK_CUT);
    trio.leader = node;
    struct cluster_call *calls[2];
    const uint64_t rotten = last + 2u + alone;
    for (uint32_t k = 0; k < alone; k++) {
        calls[k] = trio_send(&trio, values);
        trio_run_until_durable(&trio, node, last + 3u + k);
    }
    sim_run_for(sim, 50000);
    const uint64_t other_last = trio_peek(&trio, other).last_index;
    const struct cluster_id id = peek_cluster(cluster->nodes[other].node);
    const uint64_t group_seed = checksum64_group(&id, trio.group);
    for (uint32_t i = 0; i < 3u; i++) {
        cluster_crash(cluster, i, SIM_CRASH_KILL);
    }
    for (uint32_t k = 0; k < alone; k++) {
        trio_forget(calls[k]);
    }
    sim_heal(sim);
    const struct stored old = load_entry(cluster, node, last, group_seed);
    const struct stored first = load_entry(cluster, node, last + 1u, group_seed);
    const struct stored lost = load_entry(cluster, node, rotten, group_seed);
    const bool fits = strcmp(first.path, lost.path) == 0 && other_last == last + 2u;
    if (fits) {
        uint64_t offset = old.header.base_offset + old.header.record_count;
        uint64_t chain = old.header.chain;
        for (uint64_t index = last + 1u; index < rotten; index++) {
            chain = replace_entry(cluster, node, group_seed, &old, index, offset++, chain);
        }
        rot_flip(cluster, node, lost.path, lost.pos + 100u);
        invariants_expect_forged(cluster->invariants, node);
        invariants_note_damage(cluster->invariants, node);
        cluster_start_all(cluster);
        sim_run_for(sim, 3 * SECOND_US);
        cluster_crash(cluster, other, SIM_CRASH_KILL);
        sim_run_for(sim, 5 * SECOND_US);
        cluster_start(cluster, other);
        sim_run_for(sim, 8 * SECOND_US);
        rot_expect_values(cluster, values);
    }
    cluster_destroy(cluster);
    return fits;
}

/* Nobody ever held what follows the old ones; that one node ends with others in their place must count, wherever it ends. */
Test(simulated_old_entries, what_was_acked_is_never_lost_to_old_entries_in_front_of_damage)
{
    for (uint32_t alone = 1; alone <= 2u; alone++) {
        uint32_t tried = 0;
        for (uint32_t before = 1; before <= 24u; before++) {
            tried += keep_acked_beside_old_entries(before, alone);
        }
        cr_assert_gt(tried, 3, "%u", tried);
    }
}
