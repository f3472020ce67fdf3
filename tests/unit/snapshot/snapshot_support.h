/* States and headers that the snapshot tests write. */
#ifndef TESTS_SNAPSHOT_SUPPORT_H
#define TESTS_SNAPSHOT_SUPPORT_H

#include "crash_disk.h"

#include <snapshot/snapshot.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline struct snapshot_header test_header(enum snapshot_kind kind, uint64_t index)
{
    struct snapshot_header header = {
        .kind = kind,
        .cluster = {.bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
        .group = 7,
        .point = {.index = index,
                  .term = 3,
                  .chain = UINT64_C(0x1122334455667788),
                  .next_offset = 4000000000000,
                  .timestamp_ms = 1700000000123},
        .log_start_offset = 12,
        .configuration_index = index / 2,
        .configuration_bytes = 13,
    };
    memcpy(header.configuration, "configuration", 13);
    return header;
}

static inline void test_put(struct tree **state, uint64_t number, uint32_t value_bytes)
{
    char key[32];
    static uint8_t value[TREE_VALUE_BYTES_MAX];
    int key_bytes = snprintf(key, sizeof key, "key-%08llu", (unsigned long long)number);
    memset(value, (int)number, value_bytes);
    tree_put(state, (struct tree_slice){.data = key, .bytes = (uint32_t)key_bytes},
             (struct tree_slice){.data = value, .bytes = value_bytes});
}

static inline struct tree *test_state(uint64_t pairs)
{
    struct tree *state = NULL;
    for (uint64_t i = 0; i < pairs; i++)
        test_put(&state, i, (uint32_t)(i % 50));
    return state;
}

/* Write a snapshot of `pairs` pairs that must come out well. */
static inline void test_write(struct crash_disk *disk, enum snapshot_kind kind, uint64_t index,
                              uint64_t pairs)
{
    struct snapshot_header header = test_header(kind, index);
    struct segment_log_problem problem = {0};
    struct tree *state = test_state(pairs);
    enum snapshot_status status =
        snapshot_write(&disk->disk, CRASH_DISK_DIRECTORY, &header, state, &problem);
    cr_assert_eq(status, SNAPSHOT_OK, "%s: %s", problem.path, problem.reason);
    tree_unref(state);
}

static inline const char *test_name(enum snapshot_kind kind, uint64_t index)
{
    static char name[64];
    snprintf(name, sizeof name, "%s-%020llu.snap", kind == SNAPSHOT_BASE ? "base" : "checkpoint",
             (unsigned long long)index);
    return name;
}

static inline const char *test_path(enum snapshot_kind kind, uint64_t index)
{
    static char path[128];
    snprintf(path, sizeof path, CRASH_DISK_DIRECTORY "/%s", test_name(kind, index));
    return path;
}

struct test_load {
    enum snapshot_status status;
    struct snapshot_header header;
    uint64_t pairs;
    uint32_t skipped;
    struct segment_log_problem skipped_problem;
    struct segment_log_problem problem;
};

static inline void test_count_skipped(void *data, const struct segment_log_problem *problem)
{
    struct test_load *load = data;
    load->skipped++;
    load->skipped_problem = *problem;
}

/* snapshot_load_newest() as the group of test_header(). */
static inline struct test_load test_load_newest(struct crash_disk *disk)
{
    struct test_load load = {0};
    struct snapshot_header own = test_header(SNAPSHOT_BASE, 0);
    struct tree *state = NULL;
    load.status =
        snapshot_load_newest(&disk->disk, CRASH_DISK_DIRECTORY, &own.cluster, own.group,
                             test_count_skipped, &load, &load.header, &state, &load.problem);
    if (load.status == SNAPSHOT_OK) load.pairs = tree_count(state);
    tree_unref(state);
    return load;
}

#endif
