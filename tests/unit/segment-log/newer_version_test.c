/* Goal: bytes that this version keeps zero, and numbers that it has no name for, are told from damage when the checksum is
 * right: a newer version wrote them, and nothing of it is thrown away or written over (docs/FORMATS.md). Method: one byte of a
 * good file is changed and its checksum made right again. */
#include "log_fixture.h"

#include "footer.h"
#include "memory_disk.h"
#include "segment_format.h"

#include <segment_log/node_store.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX 600000u
#define SLOT_BYTES     (4096u + NODE_STORE_GROUPS_MAX * 64u)

static struct disk *disk;
static struct segment_log_problem problem;

static void set_up(void)
{
    disk = memory_disk_create(1);
    cr_assert_eq(disk_make_directory(disk, "/data"), 0);
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
}

static void tear_down(void)
{
    memory_disk_destroy(disk);
}

TestSuite(newer_version, .init = set_up, .fini = tear_down);

struct whole_file {
    const char *path;
    uint8_t *bytes;
    uint64_t count;
};

static struct whole_file load(const char *path)
{
    struct whole_file file = {.path = path, .bytes = calloc(1, FILE_BYTES_MAX)};
    struct disk_file *handle;
    cr_assert_not_null(file.bytes);
    cr_assert_eq(disk_open(disk, path, DISK_READ, &handle), 0);
    cr_assert_eq(disk_size(handle, &file.count), 0);
    cr_assert_leq(file.count, FILE_BYTES_MAX);
    cr_assert_eq(disk_pread(handle, file.bytes, file.count, 0), (ssize_t)file.count);
    disk_close(handle);
    return file;
}

static void store(const struct whole_file *file)
{
    struct disk_file *handle;
    cr_assert_eq(disk_open(disk, file->path, DISK_WRITE, &handle), 0);
    cr_assert_eq(disk_pwrite(handle, file->bytes, file->count, 0), 0);
    cr_assert_eq(disk_datasync(handle), 0);
    disk_close(handle);
}

static void expect_untouched(const struct whole_file *file)
{
    struct whole_file now = load(file->path);
    cr_assert_eq(now.count, file->count);
    cr_assert_eq(memcmp(now.bytes, file->bytes, file->count), 0);
    free(now.bytes);
}

/* Of what has its checksum at 8..15. */
static void seal(uint8_t *part, size_t bytes, uint64_t seed)
{
    const struct iovec parts[] = {{part, 8}, {part + 16, bytes - 16}};
    const uint64_t checksum = checksum64_parts(parts, 2, seed);
    memcpy(part + 8, &checksum, sizeof checksum);
}

Test(newer_version, of_the_identity_is_refused_as_such_and_stays)
{
    static const size_t positions[] = {6, 7, 80, 4095, 4096 + 5, 8191};
    const struct node_identity identity = {.node_id = 3,
                                           .incarnation = 9,
                                           .cluster = fixture_cluster,
                                           .founding_bytes = 5,
                                           .founding = "abcde"};
    struct node_identity found;
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
        cr_assert_eq(node_identity_save(disk, "/data", &identity), 0);
        struct whole_file file = load("/data/identity");
        for (uint64_t copy = 0; copy < 2; copy++) {
            file.bytes[copy * 8192 + positions[i]] = 1;
            seal(file.bytes + copy * 8192, 8192, 0);
        }
        store(&file);
        cr_assert_eq(node_identity_load(disk, "/data", &found, &problem),
                     NODE_IDENTITY_OTHER_VERSION, "byte %zu", positions[i]);
        expect_untouched(&file);
        free(file.bytes);
    }
}

Test(newer_version, of_the_votes_is_refused_as_such_and_stays)
{
    /* Zeros of the header; of the second record its state, 3, and its zeros. */
    static const size_t positions[] = {6, 52, 4095, 4096 + 64 + 48, 4096 + 64 + 52, 4096 + 127};
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
        struct node_store *votes = NULL;
        cr_assert_eq(node_store_open(disk, "/data", &fixture_cluster, 3, true, &votes, &problem),
                     SEGMENT_LOG_OK);
        for (uint64_t group = 1; group <= 2; group++) {
            const struct node_record record = {
                .group = group, .state = NODE_REPLICA_MADE, .term = 5 + i};
            cr_assert_gt(node_store_put(votes, &record), 0u);
        }
        struct node_store_job *job = node_store_next_job(votes);
        node_store_job_run(job);
        cr_assert_eq(node_store_job_finish(votes, job, &problem), 0);
        node_store_close(votes);
        votes = NULL;

        struct whole_file good = load("/data/votes");
        struct whole_file file = load("/data/votes");
        for (uint64_t slot = 0; slot < 2; slot++) {
            file.bytes[slot * SLOT_BYTES + positions[i]] = 3;
            seal(file.bytes + slot * SLOT_BYTES, 4096 + 2 * 64, 0);
        }
        store(&file);
        cr_assert_eq(node_store_open(disk, "/data", &fixture_cluster, 3, true, &votes, &problem),
                     SEGMENT_LOG_BAD_VERSION, "byte %zu", positions[i]);
        cr_assert_null(votes);
        expect_untouched(&file);
        store(&good);
        free(good.bytes);
        free(file.bytes);
    }
}

Test(newer_version, of_a_segment_header_is_refused_as_such_and_stays)
{
    static const struct {
        size_t pos;
        uint8_t value;
    } changes[] = {{96, 1}, {2000, 1}, {4095, 1}, {89, 0x40} /* sectors of 16 KiB */};
    const struct segment_log_options options = fixture_options(disk, "/group");
    struct segment_log *log = fixture_create(&options);
    fixture_append(log, 1, 3, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    segment_log_close(log);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 1, path);
    const uint64_t seed = checksum64_group(&fixture_cluster, FIXTURE_GROUP);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct whole_file file = load(path);
        const uint8_t was = file.bytes[changes[i].pos];
        file.bytes[changes[i].pos] = changes[i].value;
        seal(file.bytes, 4096, seed);
        store(&file);
        cr_assert_eq(fixture_open_fails(&options, &problem), SEGMENT_LOG_BAD_VERSION, "byte %zu",
                     changes[i].pos);
        expect_untouched(&file);
        file.bytes[changes[i].pos] = was;
        seal(file.bytes, 4096, seed);
        store(&file);
        free(file.bytes);
    }
    segment_log_close(fixture_open(&options));
}

static uint32_t number_at(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16;
}

/* A footer says nothing that the entries do not say: it is no footer then, and is written again. */
Test(newer_version, of_a_footer_is_no_footer)
{
    const struct segment_log_options options = fixture_small_options(disk, "/group");
    struct segment_log *log = fixture_create(&options);
    cr_assert_eq(fixture_try_append(log, 1, ENTRY_CONFIG, 37), SEGMENT_LOG_OK);
    while (fixture_info(log).segments_count < 2) {
        fixture_append(log, 1, 1, 512);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
    const struct segment_log_info before = fixture_info(log);
    cr_assert_eq(fixture_seal(log, before.last_index), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_sealed_count(log), 1);
    segment_log_close(log);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 1, path);
    const uint64_t seed = checksum64_group(&fixture_cluster, FIXTURE_GROUP);
    struct whole_file good = load(path);
    for (uint32_t i = 0; i < 6; i++) {
        struct whole_file file = load(path);
        uint8_t *trailer = file.bytes + file.count - 4096;
        uint8_t *index = file.bytes + number_at(trailer + 24);
        const size_t index_bytes = 56u * number_at(trailer + 144);
        uint8_t *facts = index + (index_bytes + 4095) / 4096 * 4096;
        const size_t facts_bytes = number_at(trailer + 148);
        uint8_t *configuration = facts + 16u * number_at(trailer + 152);
        uint8_t *const changed[] = {trailer + 176,       trailer + 4095,
                                    index + index_bytes, facts + facts_bytes,
                                    configuration + 12,  configuration + 16 + 37};
        *changed[i] = 1;
        uint64_t checksum = checksum64_seeded(index, (size_t)(facts - index), seed);
        memcpy(trailer + 160, &checksum, sizeof checksum);
        checksum = checksum64_seeded(facts, (size_t)(trailer - facts), seed);
        memcpy(trailer + 168, &checksum, sizeof checksum);
        seal(trailer, 4096, seed);
        store(&file);

        struct disk_file *handle;
        struct segment_footer footer;
        uint8_t *read_facts = NULL;
        struct footer_point *points = NULL;
        int error = 0;
        cr_assert_eq(disk_open(disk, path, DISK_READ, &handle), 0);
        enum footer_status status = footer__read(handle, seed, file.count, &footer, &error);
        if (status == FOOTER_OK)
            status = footer__read_points(handle, seed, &footer, &points, &error);
        if (status == FOOTER_OK)
            status = footer__read_facts(handle, seed, &footer, &read_facts, &error);
        cr_assert_neq(status, FOOTER_OK, "change %u", i);
        cr_assert_neq(status, FOOTER_IO);
        disk_close(handle);
        free(points);
        free(read_facts);

        log = fixture_open(&options);
        cr_assert_eq(fixture_info(log).last_chain, before.last_chain);
        fixture_check_all(log);
        segment_log_close(log);
        store(&good);
        free(file.bytes);
    }
    free(good.bytes);
}
