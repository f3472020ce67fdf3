/* libFuzzer on snapshot files and on the states in them: what a node loads at its start, and what a peer sends it.
 *
 * The oracle: refused with a reason, or read; what was read can be written again and reads as the same. A state machine
 * takes a state or refuses it.
 *
 * layout: flags (1), then the file */
#include "seal.h"

#include <broker/meta.h>
#include <broker/partition.h>
#include <memory_disk.h>
#include <snapshot/snapshot.h>
#include <snapshot/transfer.h>

#include <string.h>

enum {
    FLAG_SEAL = 1, /* checksums are computed anew */
    FLAG_META = 2, /* the state is one of group 0 */
};

#define DIRECTORY "group"

static const struct cluster_id cluster = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

static void put_file(struct disk *disk, const char *path, const struct fuzz_file *file)
{
    struct disk_file *handle = NULL;
    fuzz_check(disk_make_directory(disk, DIRECTORY) == 0, "no directory");
    fuzz_check(disk_open(disk, path, DISK_CREATE_NEW, &handle) == 0, "%s", path);
    disk_close(handle);
    fuzz_file_store(disk, path, file);
    fuzz_check(disk_sync_directory(disk, DIRECTORY) == 0, "no sync");
}

static void check_same(const struct snapshot_header *a, const struct tree *state,
                       const struct snapshot_header *b, const struct tree *again)
{
    fuzz_check(a->kind == b->kind && a->group == b->group, "kind and group");
    fuzz_check(memcmp(&a->point, &b->point, sizeof a->point) == 0, "point");
    fuzz_check(a->log_start_offset == b->log_start_offset, "log start");
    fuzz_check(a->configuration_bytes == b->configuration_bytes, "configuration");
    fuzz_check(memcmp(a->configuration, b->configuration, a->configuration_bytes) == 0,
               "configuration");
    fuzz_check(tree_count(state) == tree_count(again), "pairs");
}

static void restore(struct tree *state, const struct snapshot_header *header, bool is_meta)
{
    if (is_meta) {
        struct meta_state meta;
        meta_init(&meta);
        (void)meta_restore(&meta, state, header->point.index, header->point.timestamp_ms);
        meta_close(&meta);
    } else {
        struct partition partition;
        partition_init(&partition);
        (void)partition_restore(&partition, state, header->point.index, header->point.next_offset,
                                header->log_start_offset, header->point.timestamp_ms);
        partition_close(&partition);
    }
}

/* Read, written and read again, it is the same. */
static void check_read(struct disk *disk, const char *path, bool is_meta)
{
    struct snapshot_header header, header_again;
    struct tree *state = NULL, *again = NULL;
    struct segment_log_problem problem = {.pos = 0};
    enum snapshot_status status = snapshot_read(disk, path, &header, &state, &problem);
    if (status != SNAPSHOT_OK) {
        fuzz_check(problem.reason[0], "refused without a reason");
        return;
    }
    fuzz_check(disk_make_directory(disk, "again") == 0, "no directory");
    fuzz_check(snapshot_write(disk, "again", &header, state, &problem) == SNAPSHOT_OK, "%s",
               problem.reason);
    char copy[DISK_PATH_MAX];
    snprintf(copy, sizeof copy, "again/%s-%020llu.snap",
             header.kind == SNAPSHOT_BASE ? "base" : "checkpoint",
             (unsigned long long)header.point.index);
    fuzz_check(snapshot_read(disk, copy, &header_again, &again, &problem) == SNAPSHOT_OK, "%s",
               problem.reason);
    check_same(&header, state, &header_again, again);
    tree_unref(again);
    restore(state, &header, is_meta);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1 || bytes > FUZZ_FILE_BYTES_MAX) return 0;
    uint8_t flags = data[0];
    struct fuzz_file file = {malloc(bytes), bytes - 1, bytes};
    fuzz_check(file.bytes, "no memory");
    memcpy(file.bytes, data + 1, bytes - 1);
    if (flags & FLAG_SEAL) seal_snapshot(&file);

    static const char path[] = DIRECTORY "/base-00000000000000000042.snap";
    struct disk *disk = memory_disk_create(flags);
    put_file(disk, path, &file);
    fuzz_file_close(&file);
    check_read(disk, path, flags & FLAG_META);

    struct snapshot_header header;
    struct tree *state = NULL;
    struct segment_log_problem problem;
    struct segment_log_point points[4];
    uint32_t count;
    struct snapshot_source source;
    if (snapshot_load_newest(disk, DIRECTORY, &cluster, 7, NULL, NULL, &header, &state, &problem) ==
        SNAPSHOT_OK) {
        tree_unref(state);
    }
    (void)!snapshot_list_bases(disk, DIRECTORY, &cluster, 7, points, 4, &count, NULL, &problem);
    if (snapshot_source_open(disk, DIRECTORY, &cluster, 7, 0, &source, &problem) == SNAPSHOT_OK)
        snapshot_source_close(&source);
    memory_disk_destroy(disk);
    return 0;
}
