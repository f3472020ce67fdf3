/* Goal: a replica alone that lost its position, and all replicas of a node that lost its votes, are set aside and made again
 * under new epochs, as learners, and nothing acked is lost on the way; where nobody else could have the vote or the data, it
 * goes on or stands still (PROTOCOL D2, V3, M5). Method: real nodes in the simulated world, whose files are spoiled between two
 * lives, under load, with crashes at every disk call of the return. */
#include "founded.h"
#include "members.h"
#include "poke.h"
#include "rot.h"
#include "thinned.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <memory_disk.h>
#include <segment_log/checksum.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US  1000000u
#define BACK_US    (60u * SECOND_US)
#define POINTS_MAX 1000u
#define TOPIC      "orders"
#define OTHER      "others"

static struct cluster *make(uint64_t seed, uint32_t nodes, uint32_t replicas, uint64_t *ret_group)
{
    struct cluster *cluster = founded(seed, nodes);
    cr_assert_eq(cluster_create_topic(cluster, 0, TOPIC, replicas), NODE_OK);
    cr_assert_eq(cluster_create_topic(cluster, 0, OTHER, nodes), NODE_OK);
    sim_run_for(cluster->sim, 2 * SECOND_US); /* the nodes register */
    *ret_group = peek_partition_group(cluster->nodes[0].node, TOPIC, 0);
    cr_assert_neq(*ret_group, 0);
    return cluster;
}

static uint64_t epoch_of(struct cluster *cluster, uint32_t node, uint64_t group)
{
    struct peek_group found;
    return peek_group(cluster->nodes[node].node, group, &found) ? found.epoch : UINT64_MAX;
}

/* ---- spoiling ------------------------------------------------------------------------------------------------------------- */

static void overwrite(struct cluster *cluster, uint32_t node, const char *path, uint64_t pos,
                      size_t bytes)
{
    struct disk_file *file = NULL;
    uint8_t junk[16384];
    cr_assert_leq(bytes, sizeof(junk));
    memset(junk, 0x5a, sizeof(junk));
    cr_assert_eq(disk_open(sim_memory_disk(cluster->sim, node), path, DISK_WRITE, &file), 0, "%s",
                 path);
    cr_assert_eq(disk_pwrite(file, junk, bytes, pos), 0);
    cr_assert_eq(disk_datasync(file), 0);
    disk_close(file);
}

static void keep_last(void *data, const char *name)
{
    char *last = data;
    const char *end = strrchr(name, '.');
    if (end && strcmp(end, ".segment") == 0 && strcmp(name, last) > 0) strcpy(last, name);
}

/* Both marks of its last segment: where the log ends is not known any more (L6). */
static void lose_position(struct cluster *cluster, uint32_t node, uint64_t group)
{
    char directory[128], last[DISK_PATH_MAX] = "", path[2 * DISK_PATH_MAX];
    snprintf(directory, sizeof(directory), "/data/groups/%020" PRIu64, group);
    struct disk *disk = sim_memory_disk(cluster->sim, node);
    cr_assert_eq(disk_list(disk, directory, keep_last, last), 0);
    snprintf(path, sizeof(path), "%s/%s", directory, last);
    overwrite(cluster, node, path, 4096, 8192);
}

/* Both slots (V3). */
static void lose_votes(struct cluster *cluster, uint32_t node)
{
    overwrite(cluster, node, "/data/votes", 0, 4096);
    overwrite(cluster, node, "/data/votes", 266240, 4096);
}

struct aside_count {
    uint64_t group;
    uint32_t count;
};

static void count_aside(void *data, const char *name)
{
    struct aside_count *aside = data;
    if (strtoull(name, NULL, 10) == aside->group) aside->count++;
}

static uint32_t asides(struct cluster *cluster, uint32_t node, uint64_t group)
{
    struct aside_count aside = {.group = group};
    (void)disk_list(sim_memory_disk(cluster->sim, node), "/data/lost", count_aside, &aside);
    return aside.count;
}

/* ---- returning ------------------------------------------------------------------------------------------------------------ */

struct return_wait {
    struct cluster *cluster;
    uint64_t group;
};

static bool are_all_back(void *data)
{
    const struct return_wait *wait = data;
    const uint32_t all = founded_mask(wait->cluster);
    const uint64_t groups[] = {0, wait->group};
    for (uint32_t node = 0; node < wait->cluster->options.nodes_count; node++) {
        for (uint32_t i = 0; i < 2u; i++) {
            struct node_group_status status;
            if (!cluster_group_status(wait->cluster, node, groups[i], &status)) return false;
            if (status.leader == 0) return false;
            if (members_voters(wait->cluster, node, groups[i]) != all) return false;
        }
    }
    return true;
}

static void expect_all_back(struct load *load, uint64_t group)
{
    struct return_wait wait = {.cluster = load->cluster, .group = group};
    cr_assert(load_run_until(load, BACK_US, are_all_back, &wait),
              "seed %" PRIu64 ": not all vote again", load->cluster->options.seed);
    cr_assert(load_run_until_settled(load, BACK_US, 0), "seed %" PRIu64 ": not recorded",
              load->cluster->options.seed);
    cr_assert_eq(load->cluster->fatals_count, 0, "%s", load->cluster->last_fatal_reason);
}

enum loss {
    LOSS_PARTITION,
    LOSS_META,
    LOSS_BOTH,
    LOSS_VOTES,
};

static void spoil(struct cluster *cluster, uint32_t node, uint64_t group, enum loss loss)
{
    if (loss == LOSS_PARTITION || loss == LOSS_BOTH) lose_position(cluster, node, group);
    if (loss == LOSS_META || loss == LOSS_BOTH) lose_position(cluster, node, 0);
    if (loss == LOSS_VOTES) lose_votes(cluster, node);
}

static void lose_under_load(uint64_t seed, enum loss loss, uint32_t times)
{
    uint64_t group;
    struct cluster *cluster = make(seed, 3, 3, &group);
    struct load *load = calloc(1, sizeof(*load));
    const uint32_t victim = (uint32_t)seed % 3u; /* leads as often as it follows */
    const uint64_t other = peek_partition_group(cluster->nodes[0].node, OTHER, 0);
    const uint64_t groups[] = {0, group, other};
    load_start(load, cluster, TOPIC, founded_mask(cluster));
    for (uint32_t i = 0; i < times; i++) {
        uint64_t epochs[3];
        load_run(load, SECOND_US);
        for (uint32_t g = 0; g < 3u; g++) {
            epochs[g] = epoch_of(cluster, victim, groups[g]);
        }
        cluster_crash(cluster, victim, SIM_CRASH_KILL);
        spoil(cluster, victim, group, loss);
        load_run(load, sim_draw(cluster->sim, SECOND_US));
        cluster_start(cluster, victim);
        expect_all_back(load, group);
        const bool is_lost[] = {loss != LOSS_PARTITION, loss != LOSS_META, loss == LOSS_VOTES};
        for (uint32_t g = 0; g < 3u; g++) {
            const uint64_t epoch = epoch_of(cluster, victim, groups[g]);
            if (is_lost[g]) {
                cr_assert_gt(epoch, epochs[g], "group %" PRIu64, groups[g]);
                cr_assert_eq(asides(cluster, victim, groups[g]), i + 1u, "its files are kept");
            } else {
                cr_assert_eq(epoch, epochs[g], "group %" PRIu64 " lost nothing", groups[g]);
            }
        }
    }
    load_check(load, founded_mask(cluster));
    free(load);
    cluster_destroy(cluster);
}

Test(simulated_loss, a_replica_that_lost_its_position_is_made_again_alone)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        lose_under_load(seed, LOSS_PARTITION, 2);
    }
}

Test(simulated_loss, a_replica_of_group_0_that_lost_its_position_is_made_again_alone)
{
    for (uint64_t seed = 11; seed <= 16; seed++) {
        lose_under_load(seed, LOSS_META, 2);
    }
}

Test(simulated_loss, two_groups_of_a_node_may_lose_their_positions_at_once)
{
    for (uint64_t seed = 21; seed <= 24; seed++) {
        lose_under_load(seed, LOSS_BOTH, 1);
    }
}

Test(simulated_loss, a_node_that_lost_its_votes_gets_new_epochs_for_all_that_it_had)
{
    for (uint64_t seed = 31; seed <= 36; seed++) {
        lose_under_load(seed, LOSS_VOTES, 2);
    }
}

/* What the leader and one follower had acked: the follower's vote for a shorter log must be gone with its position. */
Test(simulated_loss, what_only_the_lost_replica_had_besides_the_leader_is_not_lost)
{
    for (uint64_t seed = 41; seed <= 46; seed++) {
        uint64_t group;
        struct cluster *cluster = make(seed, 3, 3, &group);
        struct load *load = calloc(1, sizeof(*load));
        const uint32_t leader = (uint32_t)cluster_wait_leader(cluster, group, 10 * SECOND_US);
        const uint32_t behind = (leader + 1u) % 3u, victim = (leader + 2u) % 3u;
        load_start(load, cluster, TOPIC, founded_mask(cluster));
        load_run(load, SECOND_US);
        cluster_crash(cluster, behind, SIM_CRASH_POWER);
        load_run(load, SECOND_US);
        cluster_crash(cluster, victim, SIM_CRASH_KILL);
        spoil(cluster, victim, group, seed % 2u ? LOSS_PARTITION : LOSS_VOTES);
        const uint32_t acks_count = load->acks_count;
        cr_assert_gt(acks_count, 20);
        cluster_start(cluster, victim);
        load_run(load, 3u * SECOND_US);
        cr_assert_leq(load->acks_count, acks_count + LOAD_PRODUCERS_MAX, "nobody is there to ack");
        cluster_start(cluster, behind);
        expect_all_back(load, group);
        load_check(load, founded_mask(cluster));
        free(load);
        cluster_destroy(cluster);
    }
}

/* ---- crashes of the return -------------------------------------------------------------------------------------------------- */

static bool is_hit_or_back(void *data)
{
    const struct return_wait *wait = data;
    for (uint32_t i = 0; i < wait->cluster->options.nodes_count; i++) {
        if (!sim_is_running(wait->cluster->sim, i)) return true;
    }
    return are_all_back(data);
}

/* What overwrite() made of it: it is kept, however often its node went down on its way back. */
static void expect_lost_store_kept(struct cluster *cluster, uint32_t node, uint64_t disk_call)
{
    struct disk_file *file;
    uint8_t bytes[16], junk[sizeof(bytes)];
    memset(junk, 0x5a, sizeof(junk));
    struct disk *disk = sim_memory_disk(cluster->sim, node);
    cr_assert_eq(disk_open(disk, "/data/votes.lost", DISK_READ, &file), 0, "call %" PRIu64,
                 disk_call);
    cr_assert_eq(disk_pread(file, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
    disk_close(file);
    cr_assert_eq(memcmp(bytes, junk, sizeof(bytes)), 0, "call %" PRIu64 ": a good store",
                 disk_call);
}

/* True: there was such a disk call. */
static bool returns_with_crash(uint64_t seed, enum loss loss, uint64_t disk_call,
                               enum sim_crash mode)
{
    uint64_t group;
    struct cluster *cluster = make(seed, 3, 3, &group);
    const uint32_t victim = (uint32_t)(seed % 3u);
    for (uint64_t value = 0; value < 5; value++) {
        cr_assert_eq(cluster_produce(cluster, (victim + 1u) % 3u, TOPIC, value, -1, 0, NULL),
                     NODE_OK);
    }
    cluster_crash(cluster, victim, SIM_CRASH_KILL);
    spoil(cluster, victim, group, loss);
    sim_crash_at_disk_call(cluster->sim, victim, disk_call, mode);
    cluster_start(cluster, victim);
    struct return_wait wait = {.cluster = cluster, .group = group};
    cr_assert(sim_run_until_true(cluster->sim, BACK_US, is_hit_or_back, &wait),
              "loss %d, call %" PRIu64 ": not back", (int)loss, disk_call);
    const bool was_hit = !sim_is_running(cluster->sim, victim);
    if (was_hit) {
        sim_run_for(cluster->sim, sim_draw(cluster->sim, SECOND_US / 2u));
        sim_crash_at_disk_call(cluster->sim, victim, UINT64_MAX, SIM_CRASH_KILL);
        cluster_start(cluster, victim);
        cr_assert(sim_run_until_true(cluster->sim, BACK_US, are_all_back, &wait),
                  "loss %d, call %" PRIu64 ": not back", (int)loss, disk_call);
    }
    sim_crash_at_disk_call(cluster->sim, victim, UINT64_MAX, SIM_CRASH_KILL);
    struct cluster_ack records[6];
    cr_assert_eq(cluster_read_all(cluster, victim, TOPIC, records, 6), 5, "loss %d, call %" PRIu64,
                 (int)loss, disk_call);
    cr_assert_eq(cluster->fatals_count, 0, "loss %d, call %" PRIu64 ": %s", (int)loss, disk_call,
                 cluster->last_fatal_reason);
    if (loss == LOSS_VOTES) expect_lost_store_kept(cluster, victim, disk_call);
    cluster_destroy(cluster);
    return was_hit;
}

static void strike_everywhere(enum loss loss)
{
    uint64_t disk_call = 0;
    while (!thinned_takes(loss, disk_call) ||
           returns_with_crash(1000u + disk_call, loss, disk_call,
                              disk_call % 2u ? SIM_CRASH_KILL : SIM_CRASH_POWER)) {
        disk_call++;
        cr_assert_lt(disk_call, POINTS_MAX, "the return has no end");
    }
    cr_assert_geq(disk_call, 40, "there are more disk calls than that in a return");
}

Test(simulated_loss, a_node_may_go_down_before_any_disk_call_while_a_replica_is_made_again)
{
    strike_everywhere(LOSS_PARTITION);
}

Test(simulated_loss, a_node_may_go_down_before_any_disk_call_while_group_0_is_made_again)
{
    strike_everywhere(LOSS_META);
}

Test(simulated_loss, a_node_may_go_down_before_any_disk_call_while_its_votes_are_made_again)
{
    strike_everywhere(LOSS_VOTES);
}

/* ---- nobody else ------------------------------------------------------------------------------------------------------------ */

/* V3: a sole voter promised nobody else anything. */
Test(simulated_loss, a_sole_voter_that_lost_its_vote_goes_on_with_all_that_it_had)
{
    uint64_t group;
    struct cluster *cluster = make(51, 1, 1, &group);
    for (uint64_t value = 0; value < 20; value++) {
        cr_assert_eq(cluster_produce(cluster, 0, TOPIC, value, -1, 0, NULL), NODE_OK);
    }
    struct peek_group before, after;
    cr_assert(peek_group(cluster->nodes[0].node, group, &before));
    cluster_crash(cluster, 0, SIM_CRASH_KILL);
    lose_votes(cluster, 0);
    cluster_start(cluster, 0);
    cr_assert_geq(cluster_wait_leader(cluster, group, 5 * SECOND_US), 0);
    cr_assert(peek_group(cluster->nodes[0].node, group, &after));
    cr_assert_gt(after.term, before.term);
    cr_assert_eq(after.epoch, before.epoch);
    cr_assert_eq(cluster_produce(cluster, 0, TOPIC, 20, -1, 0, NULL), NODE_OK);
    struct cluster_ack records[32];
    cr_assert_eq(cluster_read_all(cluster, 0, TOPIC, records, 32), 21);
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
}

/* A state of a replica that this version has no name for, under right checksums: no vote is lost, and none is given. */
Test(simulated_loss, votes_of_a_newer_version_stop_the_node_and_stay)
{
    uint64_t group;
    static uint8_t bytes[2 * 266240], after[sizeof(bytes)];
    struct cluster *cluster = make(53, 3, 3, &group);
    cluster_crash(cluster, 1, SIM_CRASH_KILL);
    struct disk *disk = sim_memory_disk(cluster->sim, 1);
    struct disk_file *file;
    cr_assert_eq(disk_open(disk, "/data/votes", DISK_WRITE, &file), 0);
    const ssize_t count = disk_pread(file, bytes, sizeof(bytes), 0);
    cr_assert_gt(count, 266240);
    for (uint8_t *slot = bytes; slot <= bytes + 266240; slot += 266240) {
        slot[4096 + 48] = 3;
        const struct iovec parts[] = {{slot, 8}, {slot + 16, 4080u + 64u * slot[48]}};
        const uint64_t checksum = checksum64_parts(parts, 2, 0);
        memcpy(slot + 8, &checksum, sizeof(checksum));
    }
    cr_assert_eq(disk_pwrite(file, bytes, (size_t)count, 0), 0);
    cr_assert_eq(disk_datasync(file), 0);
    disk_close(file);
    cluster_start(cluster, 1);
    cr_assert_eq(cluster->last_fatal_code, NODE_FATAL_CONFIG, "%s", cluster->last_fatal_reason);
    cr_assert_not_null(strstr(cluster->last_fatal_reason, "newer"), "%s",
                       cluster->last_fatal_reason);
    cr_assert_eq(disk_open(disk, "/data/votes", DISK_READ, &file), 0);
    cr_assert_eq(disk_pread(file, after, sizeof(after), 0), count);
    cr_assert_eq(memcmp(bytes, after, (size_t)count), 0);
    disk_close(file);
    cr_assert_eq(disk_open(disk, "/data/votes.lost", DISK_READ, &file), -ENOENT);
    cluster_destroy(cluster);
}

Test(simulated_loss, of_lost_votes_the_topic_with_one_replica_loses_nothing)
{
    for (uint64_t seed = 55; seed <= 58; seed++) {
        uint64_t group;
        struct cluster *cluster = make(seed, 3, 1, &group);
        const int owner = cluster_leader(cluster, group);
        cr_assert_geq(owner, 0);
        for (uint64_t value = 0; value < 20; value++) {
            cr_assert_eq(cluster_produce(cluster, 0, TOPIC, value, -1, 0, NULL), NODE_OK);
        }
        cluster_crash(cluster, (uint32_t)owner, SIM_CRASH_KILL);
        lose_votes(cluster, (uint32_t)owner);
        cluster_start(cluster, (uint32_t)owner);
        sim_run_for(cluster->sim, 10 * SECOND_US);
        struct cluster_ack records[32];
        for (uint32_t node = 0; node < 3u; node++) {
            cr_assert_eq(cluster_read_all(cluster, node, TOPIC, records, 32), 20, "n%u", node + 1u);
        }
        cr_assert_eq(members_voters(cluster, 0, 0), 7u);
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}

/* An empty one in its place would be taken for the topic. */
Test(simulated_loss, the_only_replica_stands_still_and_is_named_when_it_is_lost)
{
    uint64_t group;
    struct cluster *cluster = make(61, 3, 1, &group);
    const uint32_t owner = (uint32_t)cluster_leader(cluster, group);
    cr_assert_eq(cluster_produce(cluster, 0, TOPIC, 7, -1, 0, NULL), NODE_OK);
    cluster_crash(cluster, owner, SIM_CRASH_KILL);
    lose_position(cluster, owner, group);
    cluster_start(cluster, owner);
    sim_run_for(cluster->sim, 10 * SECOND_US);
    cr_assert_neq(cluster_produce(cluster, 0, TOPIC, 8, -1, 0, NULL), NODE_OK);
    cr_assert_eq(cluster_produce(cluster, owner, OTHER, 8, -1, 0, NULL), NODE_OK, "others go on");
    cr_assert_eq(asides(cluster, owner, group), 0, "it stays where it is");
    struct node_group_status status;
    cr_assert(cluster_group_status(cluster, owner, group, &status));
    cr_assert_str_eq(status.role, "lost");
    cr_assert_not_null(strstr(status.problem, "the only one"), "%s", status.problem);
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cr_assert_eq(cluster_delete_topic(cluster, 0, TOPIC), NODE_OK);
    sim_run_for(cluster->sim, SECOND_US);
    cr_assert_not(cluster_group_status(cluster, owner, group, &status), "it went with its topic");
    cluster_destroy(cluster);
}

/* A file of its log is lost, and the base in front of it, and the newest state is bad: what is missing in front is only looked
 * at when it is known that nobody mends the rest. */
Test(simulated_loss, the_only_replica_stays_where_it_is_when_its_start_fails_behind_damage)
{
    struct cluster *cluster = rot_cluster(62, 3, 1, 124, 20);
    const uint64_t group = peek_partition_group(cluster->nodes[0].node, TOPIC, 0);
    const uint32_t owner = (uint32_t)cluster_leader(cluster, group);
    char path[160], newest[160] = "";
    uint64_t bytes = 0;
    cluster_crash(cluster, owner, SIM_CRASH_KILL);
    for (uint32_t nth = 0;
         rot_file(cluster, owner, group, "checkpoint-", nth, path, sizeof(path), &bytes); nth++) {
        memcpy(newest, path, sizeof(newest));
    }
    rot_flip(cluster, owner, newest, 40);
    cr_assert(rot_file(cluster, owner, group, "0", 2, path, sizeof(path), &bytes));
    rot_remove(cluster, owner, path);
    for (uint32_t copies = 0; copies < 2; copies++) {
        cr_assert(rot_file(cluster, owner, group, "base-00000000000000000000", 0, path,
                           sizeof(path), &bytes));
        rot_remove(cluster, owner, path);
    }
    cluster_start(cluster, owner);
    struct node_group_status status;
    cr_assert(cluster_group_status(cluster, owner, group, &status));
    cr_assert_str_eq(status.role, "mending");
    sim_run_for(cluster->sim, 10 * SECOND_US);
    cr_assert(cluster_group_status(cluster, owner, group, &status));
    cr_assert_str_eq(status.role, "lost");
    cr_assert_not_null(strstr(status.problem, "the only one"), "%s", status.problem);
    cr_assert_eq(asides(cluster, owner, group), 0, "it stays where it is");
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
    cluster_destroy(cluster);
}

/* ---- beside a stop -------------------------------------------------------------------------------------------------------- */

/* The files of group 0 are on their way aside when the stop is asked for: the next life asks for another replica. */
Test(simulated_loss, a_node_whose_replica_of_group_0_is_set_aside_stops_when_it_is_told)
{
    for (uint64_t seed = 61; seed < 65; seed++) {
        static struct load load;
        uint64_t group;
        struct cluster *cluster = make(seed, 3, 3, &group);
        const uint32_t node = (uint32_t)seed % 3u;
        load_start(&load, cluster, TOPIC, founded_mask(cluster) & ~(1u << node));
        poke_quarantine(cluster->nodes[node].node, 0);
        cr_assert(cluster_stop(cluster, node, /* drain_ms= */ 10000, 5 * SECOND_US),
                  "it went on, seed %" PRIu64, seed);
        cr_assert_eq(asides(cluster, node, 0), 1);
        cluster_start(cluster, node);
        expect_all_back(&load, group);
        cr_assert_gt(epoch_of(cluster, node, 0), 0);
        load_check(&load, founded_mask(cluster));
        cluster_destroy(cluster);
    }
}
