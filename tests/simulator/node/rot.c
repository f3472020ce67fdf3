#include "founded.h"
#include "rot.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <memory_disk.h>
#include <segment_log/entry.h>
#include <segment_log/inspect.h>
#include <segment_log/segment_log.h>
#include <snapshot/copy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u
#define FILES_MAX 256u
#define LOGS_MAX  64u

struct cluster *rot_cluster(uint64_t seed, uint32_t nodes, uint32_t replicas, uint32_t count,
                            uint64_t checkpoint_entries)
{
    struct cluster_options options;
    cluster_options_init(&options, seed, nodes);
    options.segment_bytes_max = 16384; /* 4 KiB of records */
    options.checkpoint_entries = checkpoint_entries;
    struct cluster *cluster = founded_with(&options);
    cr_assert_eq(cluster_create_topic(cluster, 0, ROT_TOPIC, replicas), NODE_OK);
    for (uint64_t i = 0; i < count; i++) {
        cr_assert(cluster_produce_once(cluster, 0, ROT_TOPIC, i, -1, -1, 10 * SECOND_US, NULL));
    }
    sim_run_for(cluster->sim, SECOND_US);
    return cluster;
}

/* ---- files ----------------------------------------------------------------------------------------------------- */

struct names {
    char items[FILES_MAX][64];
    uint32_t count;
    const char *prefix; /* NULL: segments */
};

static bool is_wanted(const char *prefix, const char *name)
{
    const size_t bytes = strlen(name);
    if (prefix) return strncmp(name, prefix, strlen(prefix)) == 0 && !strstr(name, ".tmp");
    return bytes >= 9 && strcmp(name + bytes - 8, ".segment") == 0;
}

static void take_name(void *data, const char *name)
{
    struct names *names = data;
    const size_t bytes = strlen(name);
    if (!is_wanted(names->prefix, name)) return;
    if (names->count == FILES_MAX || bytes >= sizeof(names->items[0])) return;
    memcpy(names->items[names->count++], name, bytes + 1);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static uint64_t group_of_topic(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->options.nodes_count; i++) {
        const uint64_t group = cluster_group(cluster, i, ROT_TOPIC);
        if (group) return group;
    }
    return 1; /* nobody runs: the first group that is not meta */
}

bool rot_file(struct cluster *cluster, uint32_t node, uint64_t group, const char *prefix,
              uint32_t nth, char *path, size_t bytes, uint64_t *ret_file_bytes)
{
    struct disk *disk = sim_memory_disk(cluster->sim, node);
    static struct names names;
    char directory[128];
    names.count = 0;
    names.prefix = prefix;
    snprintf(directory, sizeof(directory), "/data/groups/%020" PRIu64, group);
    if (disk_list(disk, directory, take_name, &names) != 0) return false;
    qsort(names.items, names.count, sizeof(names.items[0]), compare_names);
    if (nth >= names.count) return false;
    snprintf(path, bytes, "%s/%s", directory, names.items[nth]);
    struct disk_file *file;
    cr_assert_eq(disk_open(disk, path, DISK_READ, &file), 0);
    cr_assert_eq(disk_size(file, ret_file_bytes), 0);
    disk_close(file);
    return true;
}

bool rot_segment(struct cluster *cluster, uint32_t node, uint32_t nth, char *path, size_t bytes,
                 uint64_t *ret_file_bytes)
{
    return rot_file(cluster, node, group_of_topic(cluster), NULL, nth, path, bytes, ret_file_bytes);
}

static const struct cluster_id *cluster_id_of(struct disk *disk, const char *directory)
{
    static struct segment_log_walk_summary summary;
    struct segment_log_problem problem;
    cr_assert_eq(segment_log_walk(disk, directory, NULL, NULL, NULL, &summary, &problem),
                 SEGMENT_LOG_OK);
    return &summary.cluster;
}

uint32_t rot_damaged_snapshots(struct cluster *cluster, uint32_t node, uint64_t group)
{
    struct disk *disk = sim_memory_disk(cluster->sim, node);
    char directory[128];
    snprintf(directory, sizeof(directory), "/data/groups/%020" PRIu64, group);
    const struct cluster_id *id = cluster_id_of(disk, directory);
    struct snapshot_file after, found;
    uint32_t damaged = 0;
    for (bool is_first = true;; is_first = false) {
        uint64_t bytes;
        const enum snapshot_status status = snapshot_check_next(
            disk, directory, id, group, is_first ? NULL : &after, &found, &bytes, NULL);
        if (status == SNAPSHOT_MISSING) return damaged;
        damaged += status != SNAPSHOT_OK;
        after = found;
    }
}

void rot_flip(struct cluster *cluster, uint32_t node, const char *path, uint64_t pos)
{
    cr_assert_eq(memory_disk_flip(sim_memory_disk(cluster->sim, node), path, pos, 0x10), 0);
}

void rot_remove(struct cluster *cluster, uint32_t node, const char *path)
{
    struct disk *disk = sim_memory_disk(cluster->sim, node);
    char directory[128];
    snprintf(directory, sizeof(directory), "%.*s", (int)(strrchr(path, '/') - path), path);
    cr_assert_eq(disk_unlink(disk, path), 0);
    cr_assert_eq(disk_sync_directory(disk, directory), 0);
}

static uint64_t load_u64(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static uint64_t find_in(struct cluster *cluster, uint32_t node, const char *path, uint64_t index)
{
    static uint8_t bytes[1u << 20];
    struct disk_file *file;
    struct disk *disk = sim_memory_disk(cluster->sim, node);
    cr_assert_eq(disk_open(disk, path, DISK_READ, &file), 0);
    const ssize_t count = disk_pread(file, bytes, sizeof(bytes), 0);
    disk_close(file);
    for (ssize_t at = 0; at + (ssize_t)ENTRY_HEADER_BYTES <= count; at += 8) {
        if (memcmp(bytes + at, "RMQE", 4) == 0 && load_u64(bytes + at + 24) == index) {
            return (uint64_t)at;
        }
    }
    return 0;
}

uint64_t rot_find(struct cluster *cluster, uint32_t node, uint64_t index, char *path, size_t bytes)
{
    uint64_t file_bytes = 0;
    for (uint32_t nth = 0; rot_segment(cluster, node, nth, path, bytes, &file_bytes); nth++) {
        const uint64_t pos = find_in(cluster, node, path, index);
        if (pos > 0) return pos;
    }
    cr_assert_fail("entry %" PRIu64 " is not on the disk of n%u", index, node + 1u);
    return 0;
}

uint64_t rot_problems(struct cluster *cluster, uint32_t node)
{
    char directory[128];
    struct segment_log_walk_summary summary;
    struct segment_log_problem problem;
    snprintf(directory, sizeof(directory), "/data/groups/%020" PRIu64, group_of_topic(cluster));
    cr_assert_eq(segment_log_walk(sim_memory_disk(cluster->sim, node), directory, NULL, NULL, NULL,
                                  &summary, &problem),
                 SEGMENT_LOG_OK);
    return summary.problems_count;
}

static void count_problem(void *data, uint64_t pos, const char *text)
{
    (void)pos;
    (void)text;
    (*(uint32_t *)data)++;
}

static void ignore_begin(void *data, const char *name, bool is_list)
{
    (void)data;
    (void)name;
    (void)is_list;
}

static void ignore_end(void *data)
{
    (void)data;
}

static void ignore_number(void *data, const char *name, uint64_t value)
{
    (void)data;
    (void)name;
    (void)value;
}

static void ignore_signed(void *data, const char *name, int64_t value)
{
    (void)data;
    (void)name;
    (void)value;
}

static void ignore_text(void *data, const char *name, const char *value)
{
    (void)data;
    (void)name;
    (void)value;
}

static void ignore_flag(void *data, const char *name, bool value)
{
    (void)data;
    (void)name;
    (void)value;
}

uint32_t rot_damaged_node_files(struct cluster *cluster, uint32_t node)
{
    struct disk *disk = sim_memory_disk(cluster->sim, node);
    uint32_t problems = 0;
    const struct inspect_sink sink = {
        .data = &problems,
        .begin = ignore_begin,
        .end = ignore_end,
        .number = ignore_number,
        .signed_number = ignore_signed,
        .text = ignore_text,
        .flag = ignore_flag,
        .problem = count_problem,
    };
    node_identity_inspect(disk, "/data/identity", &sink);
    node_store_inspect(disk, "/data/votes", &sink);
    return problems;
}

uint64_t rot_newest_snapshot(struct cluster *cluster, uint32_t node, uint64_t group)
{
    static const char *const prefixes[] = {"base-", "checkpoint-"};
    uint64_t newest = 0;
    for (uint32_t i = 0; i < 2; i++) {
        char path[160];
        uint64_t bytes;
        for (uint32_t nth = 0;
             rot_file(cluster, node, group, prefixes[i], nth, path, sizeof(path), &bytes); nth++) {
            const uint64_t index = strtoull(strrchr(path, '/') + 1 + strlen(prefixes[i]), NULL, 10);
            if (index > newest) newest = index;
        }
    }
    return newest;
}

void rot_clip_to_file(struct cluster *cluster, uint64_t first, uint64_t *last)
{
    for (uint32_t i = 0; i < cluster->options.nodes_count; i++) {
        char path[160], other[160];
        (void)rot_find(cluster, i, first, path, sizeof(path));
        for (uint64_t index = first + 1u; index <= *last; index++) {
            (void)rot_find(cluster, i, index, other, sizeof(other));
            if (strcmp(path, other) != 0) *last = index - 1u;
        }
    }
}

/* ---- repair ------------------------------------------------------------------------------------------------------ */

static uint32_t logs_of(struct cluster *cluster, uint32_t node, struct node_scrub_status *logs)
{
    if (!cluster->nodes[node].node) return 0;
    return node_scrub_status(cluster->nodes[node].node, logs, LOGS_MAX);
}

static bool is_whole(void *data)
{
    struct cluster *cluster = data;
    static struct node_scrub_status logs[LOGS_MAX];
    static struct node_group_status groups[LOGS_MAX];
    for (uint32_t i = 0; i < cluster->options.nodes_count; i++) {
        if (!cluster->nodes[i].node) continue;
        const uint32_t count = logs_of(cluster, i, logs);
        if (count == 0) return false;
        for (uint32_t k = 0; k < count; k++) {
            if (logs[k].holes > 0) return false;
        }
        const uint32_t groups_count = node_groups_status(cluster->nodes[i].node, groups, LOGS_MAX);
        for (uint32_t k = 0; k < groups_count; k++) {
            if (strcmp(groups[k].role, "mending") == 0) return false;
        }
    }
    return true;
}

bool rot_is_repaired(struct cluster *cluster, uint64_t us)
{
    return sim_run_until_true(cluster->sim, us, is_whole, cluster);
}

struct scrub_wait {
    struct cluster *cluster;
    uint32_t node;
};

static bool has_ended(void *data)
{
    const struct scrub_wait *wait = data;
    static struct node_scrub_status logs[LOGS_MAX];
    const uint32_t count = logs_of(wait->cluster, wait->node, logs);
    for (uint32_t i = 0; i < count; i++) {
        if (logs[i].is_asked) return false;
    }
    return true;
}

/* Over all logs of a node. */
static struct node_scrub_status totals_of(struct cluster *cluster, uint32_t node)
{
    static struct node_scrub_status logs[LOGS_MAX];
    struct node_scrub_status totals = {.group = 0};
    const uint32_t count = logs_of(cluster, node, logs);
    for (uint32_t i = 0; i < count; i++) {
        totals.holes += logs[i].holes;
        totals.holes_found += logs[i].holes_found;
        totals.segments_repaired += logs[i].segments_repaired;
    }
    return totals;
}

uint32_t rot_scrub(struct cluster *cluster, uint32_t node, uint64_t us)
{
    struct scrub_wait wait = {.cluster = cluster, .node = node};
    cr_assert_gt(node_scrub(cluster->nodes[node].node, NULL), 0);
    cr_assert(sim_run_until_true(cluster->sim, us, has_ended, &wait), "the pass has not ended");
    return totals_of(cluster, node).holes;
}

bool rot_names(struct cluster *cluster, uint32_t node, uint64_t group, const char *words)
{
    static struct node_scrub_status logs[LOGS_MAX];
    const uint32_t count = logs_of(cluster, node, logs);
    for (uint32_t i = 0; i < count; i++) {
        if (logs[i].group == group && strstr(logs[i].problem, words)) return true;
    }
    return false;
}

uint64_t rot_repaired_segments(struct cluster *cluster, uint32_t node)
{
    return totals_of(cluster, node).segments_repaired;
}

uint64_t rot_found(struct cluster *cluster, uint32_t node)
{
    return totals_of(cluster, node).holes_found;
}

void rot_expect_values(struct cluster *cluster, uint32_t count)
{
    struct cluster_ack *records = calloc(count + 1u, sizeof(*records));
    cr_assert_not_null(records);
    for (uint32_t i = 0; i < cluster->options.nodes_count; i++) {
        if (!cluster->nodes[i].node) continue;
        const int got = cluster_read_all(cluster, i, ROT_TOPIC, records, count + 1u);
        cr_assert_eq(got, (int)count, "n%u serves %d of %u", i + 1u, got, count);
        for (uint32_t k = 0; k < count; k++) {
            cr_assert_eq(records[k].value, k, "n%u, message %u", i + 1u, k);
        }
    }
    free(records);
}
