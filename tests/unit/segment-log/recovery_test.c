/* Goal: recovery tells a torn tail from damage by the synced mark, and changes nothing unless all is well (PROTOCOL L9,
 * L10). */
#include "log_fixture.h"

#include "memory_disk.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct disk *disk;
static struct segment_log_options options;
static char path[DISK_PATH_MAX];

static void set_up(void)
{
    disk = memory_disk_create(1);
    options = fixture_options(disk, "/group");
    fixture_segment_path("/group", 1, path);
}

static void tear_down(void)
{
    memory_disk_destroy(disk);
}

TestSuite(segment_log_recovery, .init = set_up, .fini = tear_down);

static uint8_t *read_file(const char *name, size_t *ret_bytes)
{
    struct disk_file *file;
    uint64_t size;
    cr_assert_eq(disk_open(disk, name, DISK_READ, &file), 0);
    cr_assert_eq(disk_size(file, &size), 0);
    uint8_t *bytes = malloc(size + 1);
    cr_assert_eq(disk_pread(file, bytes, size, 0), (ssize_t)size);
    disk_close(file);
    *ret_bytes = size;
    return bytes;
}

static void write_file(const char *name, uint64_t pos, const void *bytes, size_t bytes_count)
{
    struct disk_file *file;
    cr_assert_eq(disk_open(disk, name, DISK_WRITE, &file), 0);
    cr_assert_eq(disk_pwrite(file, bytes, bytes_count, pos), 0);
    cr_assert_eq(disk_datasync(file), 0);
    disk_close(file);
}

/* A log with `count` entries of 100 bytes, flushed one by one, closed. Entry i stands at 12288 + 512 * (i - 1). */
static struct segment_log_info make_log(uint32_t count)
{
    struct segment_log *log = fixture_create(&options);
    for (uint32_t i = 0; i < count; i++) {
        fixture_append(log, 1, 1, 100);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
    struct segment_log_info info = fixture_info(log);
    segment_log_close(log);
    return info;
}

Test(segment_log_recovery, a_clean_log_comes_back_with_its_newest_entries_in_memory)
{
    struct segment_log_info before = make_log(10);
    struct segment_log *log = fixture_open(&options);
    struct segment_log_info info = fixture_info(log);
    cr_assert_eq(info.last_index, 10);
    cr_assert_eq(info.durable_index, 10);
    cr_assert_eq(info.last_chain, before.last_chain);
    cr_assert_eq(info.next_offset, 30);
    cr_assert_eq(info.last_timestamp_ms, 100);
    cr_assert_eq(info.cached_from_index, 1);
    fixture_check_all(log);
    segment_log_close(log);
}

Test(segment_log_recovery, intact_records_above_the_mark_are_kept)
{
    make_log(5);
    /* The mark of the fifth flush is durable; take it back to the fourth by damaging its block. */
    struct segment_log_info info = {0};
    for (uint64_t block = 1; block <= 2; block++) {
        struct disk *copy = memory_disk_clone(disk, block);
        cr_assert_eq(memory_disk_flip(copy, path, 4096 * block + 20, 1), 0);
        struct segment_log_options copied = options;
        copied.disk = copy;
        struct segment_log *log = fixture_open(&copied);
        info = fixture_info(log);
        cr_assert_eq(info.last_index, 5);
        segment_log_close(log);
        memory_disk_destroy(copy);
    }
}

Test(segment_log_recovery, torn_tail_is_cut_at_the_last_whole_record_and_overwritten)
{
    struct segment_log *log = fixture_create(&options);
    fixture_append(log, 1, 4, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    struct segment_log_info durable = fixture_info(log);
    fixture_append(log, 1, 6, 100);
    struct segment_log_job *job = segment_log_next_job(log, false);
    segment_log_job_run(job);
    struct segment_log_job_result result;
    segment_log_job_finish(log, job, &result);
    segment_log_close(log);
    /* The second flush: its mark never reached the medium and its third record is torn. */
    size_t bytes_count;
    uint8_t *bytes = read_file(path, &bytes_count);
    uint64_t newest = memcmp(bytes + 4096 + 16, bytes + 8192 + 16, 1) > 0 ? 4096 : 8192;
    uint64_t second = 12288 + 1024, third = second + 2 * entry_bytes(100);
    cr_assert_eq(memcmp(bytes + third, "RMQE", 4), 0);
    free(bytes);
    uint8_t zeros[4096] = {0};
    write_file(path, newest, zeros, sizeof zeros);
    write_file(path, third + 90, "torn", 4);
    log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).last_index, durable.last_index + 2);
    fixture_check_all(log);
    segment_log_close(log);
    bytes = read_file(path, &bytes_count);
    uint64_t behind = (third + 511) / 512 * 512;
    for (size_t i = behind; i < bytes_count; i++) {
        cr_assert_eq(bytes[i], 0, "byte %zu behind the end", i);
    }
    free(bytes);
}

/* Open a damaged log whose position is known, and check everything that is told of its only hole. */
static void expect_hole(uint64_t first_index, uint64_t last_index, uint64_t position)
{
    struct segment_log *log = NULL;
    struct segment_log_problem problem = {0};
    cr_assert_eq(segment_log_open(&options, &log, &problem), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log).last_index, position);
    cr_assert_eq(fixture_info(log).durable_index, position);
    cr_assert_eq(fixture_info(log).holes_count, 1);
    cr_assert_str_eq(problem.path, path);
    cr_assert_eq(problem.index, first_index);
    cr_assert_eq(problem.last_index, last_index);
    struct segment_log_hole hole;
    cr_assert(segment_log_hole_from(log, 0, &hole));
    cr_assert_eq(hole.first_index, first_index);
    cr_assert_eq(hole.last_index, last_index);
    cr_assert_eq(hole.before.index, first_index - 1);
    cr_assert_not(segment_log_hole_from(log, last_index + 1, &hole));
    cr_assert_eq(fixture_check_beside_holes(log, NULL), last_index - first_index + 1);
    segment_log_close(log);
}

Test(segment_log_recovery, rot_at_or_below_the_mark_is_a_hole_and_the_position_stays)
{
    make_log(6);
    for (uint32_t entry = 1; entry <= 6; entry++) {
        uint64_t at = 12288 + 512 * (uint64_t)(entry - 1);
        static const uint64_t places[] = {0, 9, 24, 60, 70, 80, 100, 179};
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            cr_assert_eq(memory_disk_flip(disk, path, at + places[i], 4), 0);
            size_t before_bytes, after_bytes;
            uint8_t *before = read_file(path, &before_bytes);
            expect_hole(entry, entry, 6);
            uint8_t *after = read_file(path, &after_bytes);
            cr_assert_eq(before_bytes, after_bytes);
            cr_assert_eq(memcmp(before + 12288, after + 12288, before_bytes - 12288), 0);
            free(before);
            free(after);
            cr_assert_eq(memory_disk_flip(disk, path, at + places[i], 4), 0);
        }
    }
    struct segment_log *log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).holes_count, 0);
    fixture_check_all(log);
    segment_log_close(log);
}

Test(segment_log_recovery, a_lost_write_that_left_an_old_record_is_a_hole)
{
    make_log(6);
    /* The sector of entry 4 still holds what stood at entry 3: self-consistent, in the wrong place. */
    size_t bytes_count;
    uint8_t *bytes = read_file(path, &bytes_count);
    write_file(path, 12288 + 512 * 3, bytes + 12288 + 512 * 2, 512);
    free(bytes);
    expect_hole(4, 4, 6);
}

/* Another log of the same group with the same shape: it differs from entry `from` on, in what the payload holds. */
static uint8_t *read_sibling(uint32_t count, uint32_t from, size_t *ret_bytes)
{
    struct segment_log_options sibling = options;
    sibling.directory = "/sibling";
    struct segment_log *log = fixture_create(&sibling);
    for (uint32_t i = 1; i <= count; i++) {
        struct segment_log_info info = fixture_info(log);
        uint8_t payload[100];
        fixture_payload(payload, 100, ENTRY_DATA, info.last_index + 1, info.next_offset, 1);
        if (i >= from) payload[50] ^= 1;
        struct segment_log_entry entry = {ENTRY_DATA, 3, info.last_timestamp_ms + 10, payload, 100};
        uint64_t last_index;
        cr_assert_eq(segment_log_append(log, 1, &entry, 1, &last_index), SEGMENT_LOG_OK);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
    segment_log_close(log);
    char sibling_path[DISK_PATH_MAX];
    fixture_segment_path("/sibling", 1, sibling_path);
    return read_file(sibling_path, ret_bytes);
}

Test(segment_log_recovery, a_record_of_another_history_is_a_hole_though_it_has_the_right_index)
{
    make_log(6);
    size_t bytes_count;
    uint8_t *bytes = read_sibling(6, 2, &bytes_count);
    write_file(path, 12288 + 512 * 3, bytes + 12288 + 512 * 3, 512);
    free(bytes);
    expect_hole(4, 4, 6);
}

/* Where old records follow the ones in front of them by their chain, nobody can tell where the old ones begin. */
Test(segment_log_recovery, a_last_record_that_is_not_the_one_of_the_mark_makes_all_of_them_doubtful)
{
    make_log(6);
    size_t bytes_count;
    uint8_t *bytes = read_sibling(6, 6, &bytes_count);
    write_file(path, 12288 + 512 * 5, bytes + 12288 + 512 * 5, 512);
    free(bytes);
    expect_hole(1, 6, 6);
}

Test(segment_log_recovery, old_records_in_front_of_those_that_lead_to_the_mark_are_not_believed)
{
    make_log(6);
    size_t bytes_count;
    uint8_t *bytes = read_sibling(6, 3, &bytes_count);
    write_file(path, 12288 + 512 * 2, bytes + 12288 + 512 * 2, 2 * 512);
    free(bytes);
    /* 3 and 4 follow 2, but 5 does not follow them. */
    expect_hole(1, 4, 6);
}

Test(segment_log_recovery, whole_records_between_damage_and_damage_are_not_believed)
{
    make_log(6);
    cr_assert_eq(memory_disk_flip(disk, path, 12288 + 512 + 90, 1), 0);
    cr_assert_eq(memory_disk_flip(disk, path, 12288 + 512 * 4 + 90, 1), 0);
    expect_hole(2, 5, 6);
}

Test(segment_log_recovery, what_was_recovered_above_the_mark_is_below_it_from_then_on)
{
    make_log(6);
    /* Only the mark of the birth is left: all six entries stand above it. */
    size_t bytes_count;
    uint8_t *bytes = read_file(path, &bytes_count);
    struct segment_log *log = fixture_create(&(struct segment_log_options){
        .disk = disk, .directory = "/born", .cluster = fixture_cluster, .group = FIXTURE_GROUP});
    segment_log_close(log);
    char born_path[DISK_PATH_MAX];
    fixture_segment_path("/born", 1, born_path);
    uint8_t *born = read_file(born_path, &bytes_count);
    write_file(path, 4096, born + 4096, 8192);
    free(born);
    free(bytes);
    log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).durable_index, 6);
    segment_log_close(log);
    for (uint32_t entry = 1; entry <= 6; entry++) {
        uint64_t pos = 12288 + 512 * (uint64_t)(entry - 1) + 90;
        cr_assert_eq(memory_disk_flip(disk, path, pos, 1), 0);
        expect_hole(entry, entry, 6);
        cr_assert_eq(memory_disk_flip(disk, path, pos, 1), 0);
    }
}

Test(segment_log_recovery, a_file_cut_below_the_mark_is_a_hole_not_a_short_log)
{
    make_log(6);
    struct disk *original = disk;
    for (uint64_t keep = 12288; keep < 12288 + 5 * 512; keep += 256) {
        disk = memory_disk_clone(original, keep);
        options.disk = disk;
        struct disk_file *file;
        cr_assert_eq(disk_open(disk, path, DISK_WRITE, &file), 0);
        cr_assert_eq(disk_truncate(file, keep), 0);
        disk_close(file);
        expect_hole((keep - 12288 + 256) / 512 + 1, 6, 6);
        /* It goes on behind the hole, and the hole stays what it is. */
        struct segment_log *log = fixture_open(&options);
        fixture_append(log, 1, 3, 100);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        segment_log_close(log);
        memory_disk_crash(disk, MEMORY_DISK_POWER);
        expect_hole((keep - 12288 + 256) / 512 + 1, 6, 9);
        memory_disk_destroy(disk);
    }
    disk = original;
}

/* Opens what was spoiled from byte `from` to `to`, and gives the disk back: the position is lost, or the log ends at last_index. */
static bool loses_position(uint64_t last_index, uint64_t from, uint64_t to)
{
    struct segment_log *log;
    struct segment_log_problem problem;
    const enum segment_log_status status = segment_log_open(&options, &log, &problem);
    if (status == SEGMENT_LOG_OK) {
        cr_assert_eq(fixture_info(log).last_index, last_index, "%d to %d", (int)from, (int)to);
        segment_log_close(log);
    } else {
        cr_assert_eq(status, SEGMENT_LOG_LOST_POSITION, "%s", problem.reason);
    }
    memory_disk_destroy(options.disk);
    options.disk = disk;
    return status != SEGMENT_LOG_OK;
}

/* Returns how many of the cuts in front of the entries are a lost position. */
static uint32_t cut_in_front_of_entries(uint64_t last_index)
{
    uint32_t lost = 0;
    for (uint64_t keep = 0; keep < 12288; keep += 128) {
        options.disk = memory_disk_clone(disk, keep);
        struct disk_file *file;
        cr_assert_eq(disk_open(options.disk, path, DISK_WRITE, &file), 0);
        cr_assert_eq(disk_truncate(file, keep), 0);
        disk_close(file);
        if (loses_position(last_index, keep, 12288)) lost++;
    }
    return lost;
}

/* The mark that is left may be the older one, and the entries that would tell are cut off, too. */
Test(segment_log_recovery, a_file_cut_in_front_of_its_entries_is_never_a_shorter_log)
{
    const struct segment_log_point origin = fixture_origin();
    options.start = &origin;
    make_log(5);
    cr_assert_geq(cut_in_front_of_entries(5), 8192 / 128);
    /* One more, and the newest mark stands in the other block. */
    struct segment_log *log = fixture_open(&options);
    fixture_append(log, 1, 1, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    segment_log_close(log);
    cr_assert_geq(cut_in_front_of_entries(6), 8192 / 128);
}

/* Bytes of another file from pos to end, as one write that went astray leaves them. */
static void overwrite(struct disk *on, uint64_t pos, uint64_t end)
{
    static uint8_t other[65536];
    memset(other, 0x5a, sizeof other);
    struct disk_file *file;
    cr_assert_leq(end - pos, sizeof other);
    cr_assert_eq(disk_open(on, path, DISK_WRITE, &file), 0);
    cr_assert_eq(disk_pwrite(file, other, (size_t)(end - pos), pos), 0);
    disk_close(file);
}

/* From the header, or either mark, up to any sector among the entries and behind them. Returns how many lose the position. */
static uint32_t misdirect_onto(uint64_t last_index, uint64_t end_pos)
{
    uint32_t lost = 0;
    for (uint64_t pos = 0; pos <= 8192; pos += 4096) {
        for (uint64_t end = pos + 512; end <= end_pos + 1024; end += 512) {
            options.disk = memory_disk_clone(disk, end);
            overwrite(options.disk, pos, end);
            if (loses_position(last_index, pos, end)) lost++;
        }
    }
    return lost;
}

/* The newer mark stands in front of the entries: one write can hit it, all that the older one tells of, and what came since. */
Test(segment_log_recovery, one_lost_write_over_a_mark_and_the_entries_is_never_a_shorter_log)
{
    const struct segment_log_point origin = fixture_origin();
    options.start = &origin;
    make_log(5);
    struct segment_log *log = fixture_open(&options);
    for (uint64_t last = 6; last < 9; last++) { /* the newest mark in each of the blocks */
        fixture_append(log, 1, 1, 600);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        cr_assert_gt(misdirect_onto(last, 12288 + 8192), 0);
    }
    segment_log_close(log);
}

/* The same where the older mark says that there is nothing: what a truncation left of a young segment. */
Test(segment_log_recovery, one_lost_write_over_a_mark_and_the_first_entries_is_never_an_empty_log)
{
    const struct segment_log_point origin = fixture_origin();
    options.start = &origin;
    struct segment_log *log = fixture_create(&options);
    uint32_t lost = 0;
    for (uint64_t term = 1; term <= 4; term++) { /* the newest mark in each of the blocks */
        if (term > 1) segment_log_truncate(log, 1);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        fixture_append(log, term, 1, 300);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        lost += misdirect_onto(1, 12288 + 1024);
        if (term % 2 == 0) continue;
        fixture_append(log, term, 1, 300);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        lost += misdirect_onto(2, 12288 + 1024);
    }
    cr_assert_gt(lost, 0);
    segment_log_close(log);
}

/* What is damaged is the end of the segment in front, and its repair has begun a new one, in which nothing stands yet. */
Test(segment_log_recovery, a_hole_in_front_is_no_lost_position_of_an_empty_segment)
{
    make_log(5);
    cr_assert_eq(memory_disk_flip(disk, path, 12288 + 4 * 512 + 20, 1), 0);
    struct segment_log *log = fixture_open(&options);
    cr_assert_eq(segment_log_repair_begin(log, 0, NULL, NULL), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    segment_log_repair_end(log);
    cr_assert_eq(fixture_info(log).segments_count, 2);
    segment_log_close(log);
    struct disk *const before = disk;
    fixture_segment_path("/group", 2, path);
    for (uint64_t block = 1; block <= 2; block++) {
        options.disk = disk = memory_disk_clone(before, block);
        cr_assert_eq(memory_disk_flip(disk, path, 4096 * block + 40, 1), 0);
        for (int start = 0; start < 2; start++) {
            log = fixture_open(&options);
            cr_assert_eq(fixture_info(log).last_index, 5);
            cr_assert_eq(fixture_info(log).holes_count, 1);
            segment_log_close(log);
        }
        memory_disk_destroy(disk);
    }
    disk = before;
}

struct birth {
    char path[DISK_PATH_MAX]; /* of the second segment */
    uint8_t bytes[12288];     /* as it is written first */
    bool is_known;
};

static void note_birth(void *data, struct disk *rolled)
{
    struct birth *birth = data;
    struct disk_file *file;
    if (birth->is_known || disk_open(rolled, birth->path, DISK_READ, &file) != 0) return;
    birth->is_known = disk_pread(file, birth->bytes, sizeof birth->bytes, 0) == 12288;
    disk_close(file);
}

static void make_birth(struct birth *birth)
{
    birth->is_known = false;
    fixture_segment_path("/group", 2, birth->path);
    struct segment_log_options rolled = options;
    rolled.disk = memory_disk_clone(disk, 2);
    struct segment_log *log = fixture_open(&rolled);
    memory_disk_set_hook(rolled.disk, note_birth, birth);
    segment_log_roll(log);
    fixture_append(log, 1, 1, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    segment_log_close(log);
    memory_disk_destroy(rolled.disk);
    cr_assert(birth->is_known);
}

/* The power goes in the middle of a birth, and tears the last mark of the segment before, which no sync had reached. */
Test(segment_log_recovery, a_half_born_segment_is_no_successor)
{
    make_log(6);
    static struct birth birth;
    make_birth(&birth);
    struct disk *const before = disk;
    for (uint64_t i = 0; i < 3 * 25; i++) {
        const uint64_t block = i / 25, keep = i % 25 * 512; /* 0: no mark is torn */
        options.disk = disk = memory_disk_clone(before, i + 1);
        struct disk_file *file;
        cr_assert_eq(disk_open(disk, birth.path, DISK_CREATE_NEW, &file), 0);
        cr_assert_eq(disk_pwrite(file, birth.bytes, keep, 0), 0);
        disk_close(file);
        if (block > 0) cr_assert_eq(memory_disk_flip(disk, path, 4096 * block + 40, 1), 0);
        struct segment_log *log = fixture_open(&options);
        cr_assert_eq(fixture_info(log).last_index, 6, "%d bytes of a birth", (int)keep);
        cr_assert_eq(fixture_info(log).holes_count, 0);
        fixture_append(log, 2, 1, 100);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        segment_log_close(log);
        memory_disk_destroy(disk);
    }
    options.disk = disk = before;
}

Test(segment_log_recovery, a_first_segment_without_a_header_is_damage_when_nothing_proves_its_start)
{
    const struct segment_log_point base = {
        .index = 500, .term = 1, .chain = 77, .next_offset = 9000, .timestamp_ms = 1};
    struct segment_log *log = NULL;
    struct segment_log_problem problem;
    cr_assert_eq(segment_log_create(&options, &base, &log, &problem), SEGMENT_LOG_OK);
    fixture_append(log, 1, 3, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    segment_log_close(log);
    cr_assert_eq(memory_disk_flip(disk, path, 33, 1), 0);
    cr_assert_eq(fixture_open_fails(&options, &problem), SEGMENT_LOG_DAMAGED);
    /* The base snapshot does, for its point is what the first record follows. */
    options.base = &base;
    log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).base.index, 500);
    fixture_check_all(log);
    segment_log_close(log);
    options.base = NULL;
    segment_log_close(fixture_open(&options));
}

Test(segment_log_recovery, an_empty_first_segment_is_damage)
{
    make_log(2);
    struct segment_log_problem problem;
    struct disk_file *file;
    cr_assert_eq(disk_open(disk, path, DISK_WRITE, &file), 0);
    cr_assert_eq(disk_truncate(file, 0), 0);
    disk_close(file);
    cr_assert_eq(fixture_open_fails(&options, &problem), SEGMENT_LOG_DAMAGED);
}

Test(segment_log_recovery, files_of_another_cluster_or_group_are_refused)
{
    make_log(2);
    struct segment_log_problem problem;
    struct segment_log_options other = options;
    other.group++;
    cr_assert_eq(fixture_open_fails(&other, &problem), SEGMENT_LOG_FOREIGN);
    other = options;
    other.cluster.bytes[0] ^= 1;
    cr_assert_eq(fixture_open_fails(&other, &problem), SEGMENT_LOG_FOREIGN);
    segment_log_close(fixture_open(&options));
}

Test(segment_log_recovery, another_format_version_is_refused_by_name)
{
    make_log(2);
    size_t bytes_count;
    uint8_t *bytes = read_file(path, &bytes_count);
    bytes[4] = 2;
    uint64_t seed = checksum64_group(&fixture_cluster, FIXTURE_GROUP);
    const struct iovec parts[] = {{bytes, 8}, {bytes + 16, 4080}};
    uint64_t checksum = checksum64_parts(parts, 2, seed);
    memcpy(bytes + 8, &checksum, 8);
    write_file(path, 0, bytes, 4096);
    free(bytes);
    struct segment_log_problem problem;
    cr_assert_eq(fixture_open_fails(&options, &problem), SEGMENT_LOG_BAD_VERSION);
}

Test(segment_log_recovery, a_directory_without_a_log_is_missing)
{
    struct segment_log_problem problem;
    cr_assert_eq(fixture_open_fails(&options, &problem), SEGMENT_LOG_MISSING);
    cr_assert_eq(disk_make_directory(disk, "/group"), 0);
    cr_assert_eq(fixture_open_fails(&options, &problem), SEGMENT_LOG_MISSING);
}

Test(segment_log_recovery, a_log_is_not_made_over_another)
{
    make_log(2);
    struct segment_log *log = NULL;
    struct segment_log_problem problem;
    struct segment_log_point origin = fixture_origin();
    cr_assert_eq(segment_log_create(&options, &origin, &log, &problem), SEGMENT_LOG_IO);
    log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).last_index, 2);
    segment_log_close(log);
}

Test(segment_log_recovery, a_log_behind_a_base_starts_there)
{
    struct segment_log_point base = {
        .index = 500, .term = 8, .chain = 77, .next_offset = 9000, .timestamp_ms = 1234};
    struct segment_log *log = NULL;
    struct segment_log_problem problem;
    cr_assert_eq(segment_log_create(&options, &base, &log, &problem), SEGMENT_LOG_OK);
    fixture_append(log, 8, 3, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    segment_log_close(log);
    log = fixture_open(&options);
    struct segment_log_info info = fixture_info(log);
    cr_assert_eq(info.base.index, 500);
    cr_assert_eq(info.base.chain, 77);
    cr_assert_eq(info.last_index, 503);
    cr_assert_eq(info.next_offset, 9009);
    fixture_check_all(log);
    segment_log_close(log);
}

Test(segment_log_recovery, what_only_the_page_cache_held_is_durable_before_open_returns)
{
    /* The process is killed with everything in the page cache, started again, and only then the power goes. */
    struct segment_log *log = fixture_create(&options);
    fixture_append(log, 1, 5, 100);
    struct segment_log_job *job = segment_log_next_job(log, false);
    memory_disk_fail_sync(disk, 1);
    struct segment_log_job_result result;
    segment_log_job_run(job);
    segment_log_job_finish(log, job, &result);
    cr_assert_eq(result.status, SEGMENT_LOG_IO);
    segment_log_close(log);
    memory_disk_crash(disk, MEMORY_DISK_KILL);
    log = fixture_open(&options);
    struct segment_log_info info = fixture_info(log);
    cr_assert_eq(info.durable_index, info.last_index);
    segment_log_close(log);
    memory_disk_crash(disk, MEMORY_DISK_POWER);
    log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).last_index, info.last_index);
    cr_assert_eq(fixture_info(log).last_chain, info.last_chain);
    segment_log_close(log);
}

/* A power cut may keep a file that ends within its last record, of which only zeros are missing. What is written behind it
 * later makes the file longer, with zeros where the record was not: if the record counted for nothing before, it would
 * be whole then, in front of what was acknowledged. */
Test(segment_log_recovery, a_record_that_a_longer_file_completes_never_hides_what_came_later)
{
    options.sector_bytes = 4096;
    options.extend_bytes = 0;
    struct segment_log *log = fixture_create(&options);
    /* The header of the second record crosses a sector of the disk with its last 8 bytes, which are zeros. */
    cr_assert_eq(fixture_try_append(log, 1, ENTRY_OFFSETS, 360), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_try_append(log, 1, ENTRY_NOOP, 0), SEGMENT_LOG_OK);
    memory_disk_stop_at(disk, 2); /* written, not synced */
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_IO);
    segment_log_close(log);
    struct memory_disk_loose items[8];
    cr_assert_eq(memory_disk_loose(disk, items, 8), 2, "the size and all but those zeros");
    const enum memory_disk_fate fates[2] = {MEMORY_DISK_DROPPED, MEMORY_DISK_KEPT};
    struct disk *cut = memory_disk_power_cut(disk, items, fates, 2);
    memory_disk_destroy(disk);
    disk = options.disk = cut;

    log = fixture_open(&options);
    fixture_append(log, 2, 1, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    const struct segment_log_info acked = fixture_info(log);
    segment_log_close(log);
    log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).last_index, acked.last_index);
    cr_assert_eq(fixture_info(log).last_chain, acked.last_chain);
    fixture_check_all(log);
    segment_log_close(log);
}

static void append_zeros(struct segment_log *log, uint32_t bytes)
{
    static const uint8_t zeros[65536];
    const struct segment_log_entry entry = {
        .type = ENTRY_OFFSETS,
        .timestamp_ms = fixture_info(log).last_timestamp_ms,
        .payload = zeros,
        .payload_bytes = bytes,
    };
    uint64_t last_index;
    cr_assert_eq(segment_log_append(log, 1, &entry, 1, &last_index), SEGMENT_LOG_OK);
}

/* Open, and again behind an idle time, in which the file may grow: both times the log ends here. */
static void expect_end(uint64_t last_index)
{
    for (int start = 0; start < 3; start++) {
        struct segment_log *log = fixture_open(&options);
        cr_assert_eq(fixture_info(log).last_index, last_index, "start %d", start);
        cr_assert_eq(fixture_info(log).holes_count, 0);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        segment_log_close(log);
        memory_disk_crash(disk, MEMORY_DISK_POWER);
    }
}

/* A short record, and behind it one of zeros that was written and not synced when its process was killed. */
static void leave_zeros_unsynced(void)
{
    struct segment_log *log = fixture_create(&options);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_try_append(log, 1, ENTRY_OFFSETS, 100), SEGMENT_LOG_OK);
    append_zeros(log, 6000);
    memory_disk_stop_at(disk, 2); /* written, not synced */
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_IO);
    segment_log_close(log);
    memory_disk_crash(disk, MEMORY_DISK_KILL);
}

/* A torn record, all zeros but for a header in the sector of the record before: zeros over the torn tail, or a longer file, would make it
 * whole. What a start found the next one finds again, or a replica votes by a log that is another one behind a restart. */
Test(segment_log_recovery, a_torn_record_of_zeros_is_judged_once)
{
    leave_zeros_unsynced();
    struct disk *const before = disk;
    /* Noise in each of its sectors but the first. */
    for (uint64_t pos = 12288 + 512; pos < 12288 + 6144; pos += 512) {
        options.disk = disk = memory_disk_clone(before, pos);
        cr_assert_eq(memory_disk_flip(disk, path, pos + 8, 7), 0);
        expect_end(1);
        struct segment_log *log = fixture_open(&options);
        fixture_append(log, 2, 1, 100);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        segment_log_close(log);
        expect_end(2);
        memory_disk_destroy(disk);
    }
    /* The file ends in it, at every sector and inside: what lacks is zeros. */
    for (uint64_t bytes = 12288 + 512; bytes < 12288 + 6144; bytes += 128) {
        options.disk = disk = memory_disk_clone(before, bytes);
        struct disk_file *file;
        cr_assert_eq(disk_open(disk, path, DISK_WRITE, &file), 0);
        cr_assert_eq(disk_truncate(file, bytes), 0);
        disk_close(file);
        expect_end(2);
        memory_disk_destroy(disk);
    }
    options.disk = disk = before;
}

/* It was judged, and then writes find no room, one after the other, and the power goes at a call of the second one. False: that
 * one came to its end. */
static bool is_judged_once_on_a_full_disk(uint64_t seed, uint64_t stop_at)
{
    struct disk *const before = disk;
    options.disk = disk = memory_disk_create(seed);
    leave_zeros_unsynced();
    cr_assert_eq(memory_disk_flip(disk, path, 12288 + 1024 + 8, 7), 0);
    expect_end(1);
    struct segment_log *log = fixture_open(&options);
    memory_disk_set_capacity(disk, memory_disk_used(disk));
    fixture_append(log, 2, 1, 30000);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_FULL);
    memory_disk_stop_at(disk, stop_at);
    const bool is_stopped = fixture_flush(log) == SEGMENT_LOG_IO;
    segment_log_close(log);
    memory_disk_set_capacity(disk, UINT64_MAX);
    memory_disk_crash(disk, MEMORY_DISK_POWER);
    expect_end(1);
    memory_disk_destroy(disk);
    options.disk = disk = before;
    return is_stopped;
}

Test(segment_log_recovery, a_torn_record_of_zeros_is_judged_once_on_a_full_disk)
{
    uint32_t stopped = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        for (uint64_t stop_at = 1; stop_at <= 20; stop_at++) {
            if (!is_judged_once_on_a_full_disk(seed, stop_at)) break;
            stopped++;
        }
    }
    cr_assert_geq(stopped, 40u * 3u);
}

/* What was synced shares no sector of the new disk with what is written now. */
Test(segment_log_recovery, on_a_disk_with_larger_sectors_a_new_segment_begins)
{
    const struct segment_log_info before = make_log(3);
    options.sector_bytes = 4096;
    struct segment_log *log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).last_chain, before.last_chain);
    for (uint32_t i = 0; i < 3; i++) {
        fixture_append(log, 2, 1, 100);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        cr_assert_eq(fixture_info(log).segments_count, 2);
    }
    segment_log_close(log);
    size_t bytes;
    fixture_segment_path("/group", 2, path);
    uint8_t *file = read_file(path, &bytes);
    for (size_t pos = 12288; pos < 12288 + 3 * 4096; pos += 4096) {
        cr_assert_neq(file[pos] | file[pos + 1] | file[pos + 2] | file[pos + 3], 0, "%zu", pos);
        cr_assert_eq(file[pos + 1024] | file[pos + 4095], 0, "%zu", pos);
    }
    free(file);
    log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).last_index, 6);
    fixture_check_all(log);
    segment_log_close(log);
}
