/* Goal: of thousands of single flips, each in any byte of any file of any node, none costs a message or serves a wrong byte, and
 * behind each all is clean again before the next; nodes that are all damaged, at different places, give each other all; and what
 * is damaged on all of them at once is named exactly (PROTOCOL D1, D4, D7).
 * Method: seeds. A few run here; SIM_FLIPS, SIM_LOST_SECTORS, SIM_HELICAL and SIM_UNRECOVERABLE in the environment ask for other
 * numbers, SIM_SEED for another first seed, and the seed of a failure is told. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <memory_disk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rot.h"

#define SECOND_US         1000000u
#define MESSAGES          60u
#define FLIPS_PER_CLUSTER 50u
#define FILES_MAX         256u

TestSuite(simulated_rot_seeds, .timeout = 36000);

static uint64_t asked_for(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % below;
}

/* ---- one flip after the other ------------------------------------------------------------------------------------------- */

struct files {
    char paths[FILES_MAX][160];
    uint32_t count;
    const char *directory;
};

static void take_file(void *data, const char *name)
{
    struct files *files = data;
    if (strstr(name, ".tmp") || strstr(name, ".new") || strcmp(name, "LOCK") == 0) return;
    if (strcmp(name, "groups") == 0 || files->count == FILES_MAX) return;
    snprintf(files->paths[files->count++], sizeof(files->paths[0]), "%.100s/%.50s",
             files->directory, name);
}

static void list_files(struct cluster *cluster, uint32_t node, struct files *files)
{
    struct disk *disk = sim_memory_disk(cluster->sim, node);
    const uint64_t groups[] = {0, cluster_group(cluster, node, ROT_TOPIC)};
    files->count = 0;
    files->directory = "/data";
    cr_assert_eq(disk_list(disk, files->directory, take_file, files), 0);
    for (uint32_t i = 0; i < 2; i++) {
        char directory[128];
        snprintf(directory, sizeof(directory), "/data/groups/%020" PRIu64, groups[i]);
        files->directory = directory;
        cr_assert_eq(disk_list(disk, directory, take_file, files), 0);
    }
}

/* What is done to a byte of a file at rest. */
enum harm {
    HARM_FLIP,
    HARM_LOSE_SECTOR, /* the block of it cannot be read */
};

struct flips {
    struct cluster *cluster;
    enum harm harm;
    uint64_t seed, state;
    int64_t producer_id;
    uint32_t produced;
    uint32_t ends; /* of nodes, by writes that failed */
    char what[256];
};

/* A write of a part of a block that cannot be read fails, which ends the node (L11). Whoever started it starts it again. */
static void keep_running(struct flips *flips)
{
    struct cluster *cluster = flips->cluster;
    for (uint32_t node = 0; flips->harm == HARM_LOSE_SECTOR && node < 3; node++) {
        if (sim_is_running(cluster->sim, node)) continue;
        cr_assert_eq(cluster->last_fatal_code, NODE_FATAL_DISK, "seed %" PRIu64 ", %s: %s",
                     flips->seed, flips->what, cluster->last_fatal_reason);
        cr_assert_not_null(strstr(cluster->last_fatal_reason, "writing"),
                           "seed %" PRIu64 ", %s: %s", flips->seed, flips->what,
                           cluster->last_fatal_reason);
        flips->ends++;
        cluster_start(cluster, node);
        sim_run_for(cluster->sim, SECOND_US / 4u);
        cr_assert(sim_is_running(cluster->sim, node), "seed %" PRIu64 ", %s: %s", flips->seed,
                  flips->what, cluster->last_fatal_reason);
    }
}

static void produce_some(struct flips *flips, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, flips->produced++) {
        bool is_taken = false;
        for (uint32_t tries = 0; !is_taken && tries < 30; tries++) {
            keep_running(flips);
            is_taken = cluster_produce_once(flips->cluster, flips->produced % 3u, ROT_TOPIC,
                                            flips->produced, flips->producer_id,
                                            (int32_t)flips->produced, SECOND_US, NULL);
        }
        cr_assert(is_taken, "seed %" PRIu64 ", %s: message %u is not taken", flips->seed,
                  flips->what, flips->produced);
    }
}

/* From the node that is damaged: the right bytes, or an error. */
static void read_from(struct flips *flips, uint32_t node, bool must_succeed)
{
    static struct cluster_ack records[20000];
    const int got = cluster_read_all(flips->cluster, node, ROT_TOPIC, records, 20000);
    cr_assert(!must_succeed || got == (int)flips->produced,
              "seed %" PRIu64 ", %s: n%u serves %d of %u", flips->seed, flips->what, node + 1u, got,
              flips->produced);
    for (int i = 0; i < got; i++) {
        cr_assert(records[i].value == (uint64_t)i && records[i].offset == (uint64_t)i,
                  "seed %" PRIu64 ", %s: n%u serves %" PRIu64 " at %" PRIu64, flips->seed,
                  flips->what, node + 1u, records[i].value, records[i].offset);
    }
}

static void expect_clean(struct flips *flips)
{
    struct cluster *cluster = flips->cluster;
    for (uint32_t i = 0; i < 3; i++) {
        keep_running(flips);
        (void)rot_scrub(cluster, i, 60 * SECOND_US);
    }
    keep_running(flips);
    cr_assert(rot_is_repaired(cluster, 30 * SECOND_US), "seed %" PRIu64 ", %s: not repaired",
              flips->seed, flips->what);
    for (uint32_t i = 0; i < 3; i++) {
        keep_running(flips);
        cr_assert_eq(rot_scrub(cluster, i, 60 * SECOND_US), 0);
        const uint64_t groups[] = {0, cluster_group(cluster, i, ROT_TOPIC)};
        for (uint32_t k = 0; k < 2; k++) {
            cr_assert_eq(rot_damaged_snapshots(cluster, i, groups[k]), 0,
                         "seed %" PRIu64 ", %s: n%u, group %" PRIu64 ", snapshots", flips->seed,
                         flips->what, i + 1u, groups[k]);
        }
        cr_assert_eq(rot_damaged_node_files(cluster, i), 0, "seed %" PRIu64 ", %s: n%u",
                     flips->seed, flips->what, i + 1u);
        cr_assert_eq(rot_problems(cluster, i), 0, "seed %" PRIu64 ", %s: n%u, log", flips->seed,
                     flips->what, i + 1u);
    }
}

static void harm_byte(const struct flips *flips, struct disk *disk, const char *path, uint64_t pos,
                      uint8_t mask)
{
    switch (flips->harm) {
    case HARM_FLIP:
        cr_assert_eq(memory_disk_flip(disk, path, pos, mask), 0);
        return;
    case HARM_LOSE_SECTOR:
        cr_assert_eq(memory_disk_unreadable(disk, path, pos, 1), 0);
        return;
    }
}

static void flip_one(struct flips *flips)
{
    static struct files files;
    struct cluster *cluster = flips->cluster;
    const uint32_t node = (uint32_t)draw(&flips->state, 3);
    list_files(cluster, node, &files);
    const char *path = files.paths[draw(&flips->state, files.count)];
    struct disk *disk = sim_memory_disk(cluster->sim, node);
    struct disk_file *file;
    uint64_t bytes = 0;
    cr_assert_eq(disk_open(disk, path, DISK_READ, &file), 0);
    cr_assert_eq(disk_size(file, &bytes), 0);
    disk_close(file);
    if (bytes == 0) return;
    const uint64_t pos = draw(&flips->state, bytes);
    const uint8_t mask = (uint8_t)(1u + draw(&flips->state, 255));
    const bool restarts = draw(&flips->state, 6) == 0;
    snprintf(flips->what, sizeof(flips->what), "%s %" PRIu64 " of n%u:%s%s",
             flips->harm == HARM_FLIP ? "byte" : "the sector of byte", pos, node + 1u, path,
             restarts ? ", restarted" : "");
    harm_byte(flips, disk, path, pos, mask);
    if (restarts) {
        cluster_crash(cluster, node, draw(&flips->state, 2) ? SIM_CRASH_KILL : SIM_CRASH_POWER);
        cluster_start(cluster, node);
        sim_run_for(cluster->sim, SECOND_US / 4u);
        cr_assert(sim_is_running(cluster->sim, node), "seed %" PRIu64 ", %s: %s", flips->seed,
                  flips->what, cluster->last_fatal_reason);
    }
    produce_some(flips, 1u + (uint32_t)draw(&flips->state, 3));
    read_from(flips, node, false);
    expect_clean(flips);
}

static void one_after_the_other(enum harm harm, uint64_t count)
{
    uint64_t seed = asked_for("SIM_SEED", 1);
    for (uint64_t done = 0; done < count; seed++) {
        struct flips flips = {
            .harm = harm, .seed = seed, .state = seed * 0x9e3779b97f4a7c15u, .what = "nothing"};
        flips.cluster = rot_cluster(seed, 3, 3, 0, 20 + seed % 3u * 20u);
        flips.producer_id = cluster_producer_id(flips.cluster, 0);
        cr_assert_geq(flips.producer_id, 0);
        produce_some(&flips, MESSAGES);
        for (uint32_t i = 0; i < FLIPS_PER_CLUSTER && done < count; i++, done++) {
            flip_one(&flips);
        }
        keep_running(&flips);
        for (uint32_t i = 0; i < 3; i++) {
            read_from(&flips, i, true);
        }
        cr_assert_eq(flips.cluster->fatals_count, flips.ends, "seed %" PRIu64 ": %s", seed,
                     flips.cluster->last_fatal_reason);
        cluster_destroy(flips.cluster);
        if (done % 1000 == 0) printf("%" PRIu64 " of them\n", done);
    }
}

Test(simulated_rot_seeds, one_flip_after_the_other_in_any_byte_of_any_file_is_mended)
{
    const uint64_t count = asked_for("SIM_FLIPS", 100);
    one_after_the_other(HARM_FLIP, count);
    printf("%" PRIu64 " flips repaired\n", count);
}

Test(simulated_rot_seeds, one_lost_sector_after_the_other_in_any_file_is_mended)
{
    const uint64_t count = asked_for("SIM_LOST_SECTORS", 100);
    one_after_the_other(HARM_LOSE_SECTOR, count);
    printf("%" PRIu64 " lost sectors repaired\n", count);
}

/* ---- all nodes ------------------------------------------------------------------------------------------------------------ */

static void crash_all(struct cluster *cluster)
{
    sim_run_for(cluster->sim, SECOND_US); /* the marks are written */
    for (uint32_t i = 0; i < 3; i++) {
        cluster_crash(cluster, i, SIM_CRASH_KILL);
    }
}

static void flip_entry(struct cluster *cluster, uint32_t node, uint64_t index, uint64_t byte)
{
    char path[160];
    const uint64_t pos = rot_find(cluster, node, index, path, sizeof(path));
    rot_flip(cluster, node, path, pos + byte);
}

/* Stripes of entries: every entry is damaged on one node or two, never on all. */
static void damage_in_stripes(struct cluster *cluster, uint64_t *state, uint64_t last_index)
{
    for (uint64_t index = 2; index < last_index;) {
        const uint32_t node = (uint32_t)draw(state, 3);
        const bool is_double = draw(state, 2) != 0;
        const uint64_t width = 1 + draw(state, 6);
        for (uint64_t i = 0; i < width && index < last_index; i++, index++) {
            flip_entry(cluster, node, index, draw(state, 96));
            if (is_double) flip_entry(cluster, (node + 1u) % 3u, index, draw(state, 96));
        }
        index += draw(state, 4);
    }
}

Test(simulated_rot_seeds, nodes_that_are_all_damaged_at_different_places_give_each_other_all)
{
    const uint64_t count = asked_for("SIM_HELICAL", 10);
    uint64_t seed = asked_for("SIM_SEED", 1);
    for (uint64_t i = 0; i < count; i++, seed++) {
        uint64_t state = seed * 0x9e3779b97f4a7c15u;
        struct cluster *cluster =
            rot_cluster(seed, 3, 3, MESSAGES, draw(&state, 2) ? 10 + draw(&state, 30) : 1000000);
        const uint64_t group = cluster_group(cluster, 0, ROT_TOPIC);
        crash_all(cluster);
        damage_in_stripes(cluster, &state, MESSAGES);
        cluster_start_all(cluster);
        cr_assert(rot_is_repaired(cluster, 60 * SECOND_US), "seed %" PRIu64, seed);
        const uint64_t groups[] = {0, group};
        for (uint32_t k = 0; k < 2; k++) {
            cr_assert_geq(cluster_wait_leader(cluster, groups[k], 20 * SECOND_US), 0,
                          "seed %" PRIu64, seed);
        }
        /* A start reads no sealed segment: what is in those is found now. */
        for (uint32_t k = 0; k < 3; k++) {
            (void)rot_scrub(cluster, k, 60 * SECOND_US);
        }
        cr_assert(rot_is_repaired(cluster, 60 * SECOND_US), "seed %" PRIu64, seed);
        rot_expect_values(cluster, MESSAGES);
        cluster_destroy(cluster);
    }
    printf("%" PRIu64 " seeds of helical damage recovered\n", count);
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

/* Below a checkpoint: these offsets fail, and say so with their topic and the nodes; all others are served. */
static void expect_named_offsets(struct cluster *cluster, uint64_t seed, uint64_t first,
                                 uint64_t last)
{
    struct cluster_call *call = malloc(sizeof(*call));
    char range[80];
    snprintf(range, sizeof(range), "offsets %" PRIu64 "..%" PRIu64 " of topic \"" ROT_TOPIC "\"",
             first, last);
    for (uint64_t offset = 0; offset < MESSAGES; offset++) {
        const enum node_status status = fetch(cluster, (uint32_t)(offset % 3u), offset, call);
        const bool is_lost = offset >= first && offset <= last;
        cr_assert_eq(status, is_lost ? NODE_DAMAGED : NODE_OK,
                     "seed %" PRIu64 ", offset %" PRIu64 " of %s: %s", seed, offset, range,
                     call->request.detail);
        if (is_lost) {
            cr_assert_not_null(strstr(call->request.detail, range), "seed %" PRIu64 ": %s", seed,
                               call->request.detail);
            cr_assert(strstr(call->request.detail, "n1") && strstr(call->request.detail, "n2") &&
                          strstr(call->request.detail, "n3"),
                      "seed %" PRIu64 ": %s", seed, call->request.detail);
        }
        cluster_call_close(call);
    }
    free(call);
    cr_assert(cluster_produce_once(cluster, 0, ROT_TOPIC, MESSAGES, -1, -1, 20 * SECOND_US, NULL),
              "seed %" PRIu64 ": it takes no messages", seed);
}

/* Above it: the group stands still, cuts nothing, and names the entries, whether a start has met them or the first who needed
 * them, where a footer speaks for a segment. */
static void expect_named_entries(struct cluster *cluster, uint64_t seed, uint64_t first,
                                 uint64_t last, uint64_t group)
{
    char range[64];
    snprintf(range, sizeof(range), "%" PRIu64 "..%" PRIu64, first, last);
    for (uint32_t i = 0; i < 3; i++) {
        struct node_group_status status;
        cr_assert(cluster_group_status(cluster, i, group, &status));
        cr_assert_not_null(strstr(status.problem, range), "seed %" PRIu64 ": %s is not %s", seed,
                           status.problem, range);
        cr_assert_geq(status.last_index, last, "seed %" PRIu64 ": nothing was cut", seed);
    }
    cr_assert_neq(cluster_produce(cluster, 0, ROT_TOPIC, 1, -1, -1, NULL), NODE_OK);
}

static uint64_t last_index(struct cluster *cluster, uint64_t group)
{
    struct node_group_status status;
    cr_assert(cluster_group_status(cluster, 0, group, &status));
    return status.last_index;
}

/* The newest snapshot of the replica whose newest one is the oldest. */
static uint64_t oldest_state(struct cluster *cluster, uint64_t group)
{
    uint64_t oldest = UINT64_MAX;
    for (uint32_t i = 0; i < 3; i++) {
        const uint64_t index = rot_newest_snapshot(cluster, i, group);
        if (index < oldest) oldest = index;
    }
    return oldest;
}

static uint64_t newest_state(struct cluster *cluster, uint64_t group)
{
    uint64_t newest = 0;
    for (uint32_t i = 0; i < 3; i++) {
        const uint64_t index = rot_newest_snapshot(cluster, i, group);
        if (index > newest) newest = index;
    }
    return newest;
}

#define ABOVE 12u

/* Entries that no state on any disk covers: a base follows the first of them, the crash the others before the next base is
 * due. Returns the second one. */
static uint64_t append_above_the_state(struct cluster *cluster, uint64_t group)
{
    const uint64_t begin = last_index(cluster, group);
    for (uint64_t i = 0; i < ABOVE; i++) {
        if (i == 1) sim_run_for(cluster->sim, 60000);
        cr_assert(cluster_produce_once(cluster, 0, ROT_TOPIC, MESSAGES + i, -1, -1, 10 * SECOND_US,
                                       NULL));
    }
    for (uint32_t i = 0; i < 3; i++) {
        struct node_group_status status;
        do {
            sim_run_for(cluster->sim, 200);
            cr_assert(cluster_group_status(cluster, i, group, &status));
        } while (status.durable_index < begin + ABOVE);
    }
    return begin + 2u;
}

Test(simulated_rot_seeds, what_is_damaged_on_all_nodes_is_named_exactly)
{
    const uint64_t count = asked_for("SIM_UNRECOVERABLE", 10);
    uint64_t seed = asked_for("SIM_SEED", 1), skipped = 0;
    for (uint64_t i = 0; i < count; i++, seed++) {
        uint64_t state = seed * 0x9e3779b97f4a7c15u;
        const bool is_below = draw(&state, 2) != 0;
        struct cluster *cluster = rot_cluster(seed, 3, 3, MESSAGES, is_below ? 5 : 1000000);
        const uint64_t group = cluster_group(cluster, 0, ROT_TOPIC);
        if (is_below) sim_run_for(cluster->sim, SECOND_US);
        /* A topic's first entries are not its messages. */
        const uint64_t first_message = last_index(cluster, group) - MESSAGES + 1u;
        const uint64_t begin = is_below ? first_message : append_above_the_state(cluster, group);
        const uint64_t highest =
            is_below ? oldest_state(cluster, group) : last_index(cluster, group) - 1u;
        for (uint32_t k = 0; k < 3; k++) {
            cluster_crash(cluster, k, SIM_CRASH_KILL);
        }
        const uint64_t newest = newest_state(cluster, group);
        const uint64_t lowest = is_below || newest < begin ? begin : newest + 1u;
        const uint64_t width = 1 + draw(&state, 3);
        if (highest <= lowest + width) { /* a base came in between */
            cr_assert_lt(++skipped, count, "there is room for damage");
            i--;
            cluster_destroy(cluster);
            continue;
        }
        const uint64_t first = lowest + draw(&state, highest - lowest - width);
        uint64_t last = first + width - 1u;
        rot_clip_to_file(cluster, first, &last);
        for (uint32_t k = 0; k < 3; k++) {
            for (uint64_t index = first; index <= last; index++) {
                flip_entry(cluster, k, index, draw(&state, 90));
            }
        }
        cluster_start_all(cluster);
        cr_assert_geq(cluster_wait_leader(cluster, 0, 20 * SECOND_US), 0);
        sim_run_for(cluster->sim, 10 * SECOND_US);
        /* A start reads no sealed segment, and a follower nothing that its leader cannot commit. */
        for (uint32_t k = 0; k < 3; k++) {
            (void)rot_scrub(cluster, k, 60 * SECOND_US);
        }
        sim_run_for(cluster->sim, 2 * SECOND_US);
        if (is_below) {
            cr_assert_geq(cluster_wait_leader(cluster, group, 20 * SECOND_US), 0, "seed %" PRIu64,
                          seed);
            expect_named_offsets(cluster, seed, first - first_message, last - first_message);
        } else {
            expect_named_entries(cluster, seed, first, last, group);
        }
        cluster_destroy(cluster);
    }
    printf("%" PRIu64 " seeds of unrecoverable damage named\n", count);
}
