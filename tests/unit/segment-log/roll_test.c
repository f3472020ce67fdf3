/* Goal: a log runs over many segments as if it were one, and the hand-over is safe at every step (PROTOCOL L6). */
#include "log_fixture.h"

#include "memory_disk.h"

#include <criterion/criterion.h>

static struct disk *disk;
static struct segment_log_options options;
static struct segment_log *log_;

static void set_up(void)
{
    disk = memory_disk_create(1);
    options = fixture_options(disk, "/group");
    log_ = fixture_create(&options);
}

static void tear_down(void)
{
    segment_log_close(log_);
    memory_disk_destroy(disk);
}

TestSuite(segment_log_roll, .init = set_up, .fini = tear_down);

/* Flush 1 KiB entries one by one until the log has `segments` segments. */
static void fill_segments(uint32_t segments)
{
    for (int i = 0; i < 10000 && fixture_info(log_).segments_count < segments; i++) {
        fixture_append(log_, 1, 1, 1024);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    }
    cr_assert_eq(fixture_info(log_).segments_count, segments);
}

static uint64_t file_bytes(uint64_t sequence)
{
    char path[DISK_PATH_MAX];
    struct disk_file *file;
    uint64_t bytes = 0;
    fixture_segment_path("/group", sequence, path);
    cr_assert_eq(disk_open(disk, path, DISK_READ, &file), 0);
    cr_assert_eq(disk_size(file, &bytes), 0);
    disk_close(file);
    return bytes;
}

Test(segment_log_roll, no_segment_passes_its_limit_and_the_log_reads_as_one)
{
    fill_segments(5);
    for (uint64_t i = 1; i <= 5; i++) {
        cr_assert_leq(file_bytes(i), options.segment_bytes_max);
    }
    fixture_check_all(log_);
    struct segment_log_info before = fixture_info(log_);
    uint64_t bytes_before = segment_log_bytes(log_);
    segment_log_close(log_);
    log_ = fixture_open(&options);
    struct segment_log_info after = fixture_info(log_);
    cr_assert_eq(after.last_index, before.last_index);
    cr_assert_eq(after.last_chain, before.last_chain);
    cr_assert_eq(after.segments_count, 5);
    cr_assert_eq(segment_log_bytes(log_), bytes_before);
    fixture_check_all(log_);
}

Test(segment_log_roll, a_batch_that_does_not_fit_rolls_first)
{
    fixture_append(log_, 1, 1, 1024);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    fixture_append(log_, 1, 50, 1024);
    struct segment_log_job_result result;
    cr_assert(fixture_run_job(log_, false, &result));
    cr_assert_eq(fixture_info(log_).segments_count, 2);
    cr_assert_eq(result.durable_index, 1 + (65536 - 12288) / entry_bytes(1024),
                 "as many as fit the new one");
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log_).durable_index, 51);
}

Test(segment_log_roll, lost_successor_is_a_lost_position_not_a_short_log)
{
    fill_segments(3);
    segment_log_close(log_);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 3, path);
    cr_assert_eq(disk_unlink(disk, path), 0);
    struct segment_log_problem problem;
    cr_assert_eq(fixture_open_fails(&options, &problem), SEGMENT_LOG_LOST_POSITION);
    log_ = NULL;
}

Test(segment_log_roll, a_lost_segment_in_the_middle_is_a_hole_and_the_position_stays)
{
    fill_segments(3);
    struct segment_log_info before = fixture_info(log_);
    segment_log_close(log_);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 2, path);
    cr_assert_eq(disk_unlink(disk, path), 0);
    log_ = fixture_open(&options);
    cr_assert_eq(fixture_info(log_).last_chain, before.last_chain);
    struct segment_log_hole hole;
    cr_assert(segment_log_hole_from(log_, 0, &hole));
    cr_assert_eq(fixture_check_beside_holes(log_, NULL), hole.last_index - hole.first_index + 1);
    cr_assert_eq(hole.segment, 2);
    cr_assert_eq(hole.last_index, before.last_segment_base_index);
    cr_assert(hole.terms_known);
}

Test(segment_log_roll, a_damaged_header_is_written_again_as_the_segment_before_tells_it)
{
    fill_segments(3);
    struct segment_log_info before = fixture_info(log_);
    for (uint64_t sequence = 1; sequence <= 3; sequence++) {
        segment_log_close(log_);
        char path[DISK_PATH_MAX];
        fixture_segment_path("/group", sequence, path);
        cr_assert_eq(memory_disk_flip(disk, path, 60, 1), 0);
        log_ = fixture_open(&options);
        cr_assert_eq(fixture_info(log_).last_chain, before.last_chain);
        cr_assert_eq(fixture_info(log_).holes_count, 0);
        fixture_check_all(log_);
    }
    /* Once more, now that the files say everything themselves. */
    segment_log_close(log_);
    log_ = fixture_open(&options);
    fixture_check_all(log_);
}

Test(segment_log_roll, one_rotten_mark_never_makes_a_continued_segment_the_last)
{
    fill_segments(3);
    struct segment_log_info before = fixture_info(log_);
    segment_log_close(log_);
    log_ = NULL;
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 2, path);
    for (uint64_t block = 1; block <= 2; block++) {
        cr_assert_eq(memory_disk_flip(disk, path, 4096 * block + 40, 1), 0);
        struct segment_log *log = fixture_open(&options);
        cr_assert_eq(fixture_info(log).last_index, before.last_index);
        cr_assert_eq(fixture_info(log).last_chain, before.last_chain);
        segment_log_close(log);
        /* Opening mended the block. Damage the other one alone in the next round. */
    }
}

static void rot_both_marks(uint64_t sequence)
{
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", sequence, path);
    cr_assert_eq(memory_disk_flip(disk, path, 4096 + 40, 1), 0);
    cr_assert_eq(memory_disk_flip(disk, path, 8192 + 40, 1), 0);
}

Test(segment_log_roll, both_marks_rotten_are_a_lost_position_in_the_last_segment_alone)
{
    fill_segments(3);
    struct segment_log_info before = fixture_info(log_);
    for (uint64_t sequence = 1; sequence <= 2; sequence++) {
        segment_log_close(log_);
        rot_both_marks(sequence);
        log_ = fixture_open(&options);
        cr_assert_eq(fixture_info(log_).last_chain, before.last_chain);
        cr_assert_eq(fixture_info(log_).holes_count, 0);
        fixture_check_all(log_);
    }
    segment_log_close(log_);
    log_ = NULL;
    rot_both_marks(3);
    struct segment_log_problem problem;
    cr_assert_eq(fixture_open_fails(&options, &problem), SEGMENT_LOG_LOST_POSITION);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 3, path);
    cr_assert_str_eq(problem.path, path);
}

Test(segment_log_roll, zeros_stand_ahead_of_the_records_so_that_appends_hit_written_blocks)
{
    options.extend_bytes = 32768;
    segment_log_close(log_);
    cr_assert_eq(segment_log_remove(disk, "/group"), 0);
    log_ = fixture_create(&options);
    for (int i = 0; i < 20; i++) {
        fixture_append(log_, 1, 1, 1024);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        uint64_t used = 12288 + (uint64_t)(i + 1) * 1536;
        cr_assert_geq(file_bytes(1), used + 12288, "at least some are left after every flush");
    }
}
