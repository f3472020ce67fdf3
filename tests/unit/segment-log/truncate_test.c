/* Goal: what is cut is gone for good, in memory at once and on disk behind its job; what is kept stays (PROTOCOL L7).
 * Crashes between the steps are in crash_test.c. */
#include "log_fixture.h"

#include "counting_disk.h"
#include "memory_disk.h"

#include <criterion/criterion.h>

#define SEGMENT_SECTOR 512

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

TestSuite(segment_log_truncate, .init = set_up, .fini = tear_down);

static void reopen(void)
{
    segment_log_close(log_);
    log_ = fixture_open(&options);
}

static void expect_end(const struct segment_log_info *expected)
{
    struct segment_log_info info = fixture_info(log_);
    cr_assert_eq(info.last_index, expected->last_index);
    cr_assert_eq(info.last_term, expected->last_term);
    cr_assert_eq(info.last_chain, expected->last_chain);
    cr_assert_eq(info.next_offset, expected->next_offset);
    cr_assert_eq(info.last_timestamp_ms, expected->last_timestamp_ms);
}

Test(segment_log_truncate, takes_index_chain_and_offsets_back_at_once)
{
    fixture_append(log_, 1, 5, 100);
    struct segment_log_info kept = fixture_info(log_);
    fixture_append(log_, 2, 5, 100);
    segment_log_truncate(log_, 6);
    expect_end(&kept);
    cr_assert_eq(fixture_info(log_).unflushed_bytes, 5 * entry_bytes(100));
    segment_log_truncate(log_, 6);
    expect_end(&kept);
}

Test(segment_log_truncate, entries_that_no_job_saw_need_no_disk_work)
{
    fixture_append(log_, 1, 5, 100);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    fixture_append(log_, 2, 5, 100);
    segment_log_truncate(log_, 6);
    cr_assert_null(segment_log_next_job(log_, false));
}

Test(segment_log_truncate, inside_a_segment_and_through_a_shared_sector)
{
    /* One flush, so that the cut is in the middle of a sector and the first cut entry is wholly inside it. */
    for (uint32_t keep = 1; keep <= 12; keep++) {
        fixture_append(log_, 1, keep, 16);
        struct segment_log_info kept = fixture_info(log_);
        fixture_append(log_, 1, 5, 16);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        segment_log_truncate(log_, kept.last_index + 1);
        cr_assert_eq(fixture_info(log_).durable_index, kept.last_index);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        reopen();
        expect_end(&kept);
        fixture_check_all(log_);
    }
}

/* Both marks are lower, and the sector holds still what was cut: the marks have said what is in it (docs/FORMATS.md, and the
 * reader in tests/reader). */
Test(segment_log_truncate, one_that_stopped_behind_its_marks_ends_where_they_say)
{
    uint8_t sector[SEGMENT_SECTOR];
    char path[DISK_PATH_MAX];
    struct disk_file *file;
    fixture_segment_path("/group", 1, path);
    fixture_append(log_, 1, 2, 16);
    const struct segment_log_info kept = fixture_info(log_);
    fixture_append(log_, 1, 1, 16);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    cr_assert_eq(disk_open(disk, path, DISK_WRITE, &file), 0);
    cr_assert_eq(disk_pread(file, sector, sizeof sector, FIXTURE_DATA_POS), SEGMENT_SECTOR);
    segment_log_truncate(log_, 3);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    segment_log_close(log_);
    cr_assert_eq(disk_pwrite(file, sector, sizeof sector, FIXTURE_DATA_POS), 0);
    disk_close(file);
    log_ = fixture_open(&options);
    expect_end(&kept);
    reopen();
    expect_end(&kept);
}

Test(segment_log_truncate, entries_behind_the_cut_never_come_back)
{
    fixture_append(log_, 1, 20, 40);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    for (uint64_t term = 2; term < 12; term++) {
        /* Cut, append one that is laid out elsewhere, cut that again: the place of the first cut is free twice. */
        segment_log_truncate(log_, 11);
        struct segment_log_info kept = fixture_info(log_);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        reopen();
        expect_end(&kept);
        fixture_append(log_, term, 10, 40);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        kept = fixture_info(log_);
        reopen();
        expect_end(&kept);
    }
    fixture_check_all(log_);
}

Test(segment_log_truncate, into_an_earlier_segment_drops_the_later_ones)
{
    fixture_append(log_, 1, 300, 1000);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    cr_assert_gt(fixture_info(log_).segments_count, 4);
    segment_log_truncate(log_, 61);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    struct segment_log_info kept = fixture_info(log_);
    cr_assert_eq(kept.last_index, 60);
    cr_assert_eq(kept.segments_count, 2);
    reopen();
    expect_end(&kept);
    fixture_append(log_, 2, 100, 1000);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    kept = fixture_info(log_);
    reopen();
    expect_end(&kept);
    fixture_check_all(log_);
}

Test(segment_log_truncate, to_the_base_leaves_an_empty_log)
{
    fixture_append(log_, 1, 100, 1000);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    segment_log_truncate(log_, 1);
    cr_assert_eq(fixture_info(log_).last_chain, fixture_origin().chain);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    reopen();
    cr_assert_eq(fixture_info(log_).last_index, 0);
    cr_assert_eq(fixture_info(log_).next_offset, 0);
}

Test(segment_log_truncate, at_every_index_of_a_log_of_several_segments)
{
    for (uint64_t keep = 0; keep < 130; keep += 3) {
        segment_log_close(log_);
        cr_assert_eq(segment_log_remove(disk, "/group"), 0);
        log_ = fixture_create(&options);
        struct segment_log_info kept = fixture_info(log_);
        for (uint64_t i = 1; i <= 140; i++) {
            fixture_append(log_, 1, 1, (uint32_t)(16 + i * 37 % 1500));
            if (i == keep) kept = fixture_info(log_);
            if (i % 3 == 0) cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        }
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        segment_log_truncate(log_, keep + 1);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        expect_end(&kept);
        reopen();
        expect_end(&kept);
        fixture_check_all(log_);
    }
}

/* Records of a write each, so that there is room between the end of one and the place of the next; in some places of a file of
 * this size the log remembers where the next one begins (segment.h). */
static void fill_with_places(uint32_t entries)
{
    options.segment_bytes_max = 1u << 20;
    segment_log_close(log_);
    cr_assert_eq(segment_log_remove(disk, "/group"), 0);
    log_ = fixture_create(&options);
    for (uint32_t i = 1; i <= entries; i++) {
        fixture_append(log_, 1, 1, 4000 + i % 7 * 100);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    }
    cr_assert_eq(fixture_info(log_).segments_count, 1);
}

/* The next start comes before anything is written behind the cut. */
Test(segment_log_truncate, right_in_front_of_every_place_that_is_remembered)
{
    enum { ENTRIES = 60 };
    uint64_t chains[ENTRIES + 1];
    fill_with_places(ENTRIES);
    (void)fixture_note_chains(log_, chains, ENTRIES + 1);
    for (uint64_t keep = ENTRIES - 1; keep > 0; keep--) {
        segment_log_truncate(log_, keep + 1);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        struct segment_log_info kept = fixture_info(log_);
        cr_assert_eq(kept.last_index, keep);
        cr_assert_eq(kept.last_chain, chains[keep]);
        reopen();
        expect_end(&kept);
        struct segment_log_hole hole;
        cr_assert_not(segment_log_hole_from(log_, 0, &hole), "entries %d.. are damaged, cut to %d",
                      (int)hole.first_index, (int)keep);
        fixture_check_all(log_);
    }
}

/* The records behind the cut go to another file: nothing in this one moves its end again. */
Test(segment_log_truncate, a_segment_that_was_cut_and_closed_gets_its_footer)
{
    enum { ENTRIES = 60 };
    for (uint64_t keep = 10; keep < 50; keep++) {
        fill_with_places(ENTRIES);
        segment_log_truncate(log_, keep + 1);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        (void)segment_log_roll(log_);
        fixture_append(log_, 2, 2, 100);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        cr_assert_eq(fixture_info(log_).segments_count, 2);
        cr_assert_eq(fixture_seal(log_, keep + 2), SEGMENT_LOG_OK, "cut to %d", (int)keep);
        reopen();
        fixture_check_all(log_);
    }
}

Test(segment_log_truncate, a_rotten_mark_after_a_cut_brings_nothing_back)
{
    fixture_append(log_, 1, 30, 1000);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    segment_log_truncate(log_, 11);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    struct segment_log_info kept = fixture_info(log_);
    segment_log_close(log_);
    log_ = NULL;
    for (uint64_t block = 1; block <= 2; block++) {
        struct disk *copy = memory_disk_clone(disk, block);
        struct segment_log_options copied = options;
        copied.disk = copy;
        char path[DISK_PATH_MAX];
        fixture_segment_path("/group", 1, path);
        cr_assert_eq(memory_disk_flip(copy, path, 4096 * block + 33, 1), 0);
        log_ = fixture_open(&copied);
        expect_end(&kept);
        segment_log_close(log_);
        log_ = NULL;
        memory_disk_destroy(copy);
    }
}

Test(segment_log_truncate, never_overtakes_a_write_and_takes_back_its_report)
{
    fixture_append(log_, 1, 10, 100);
    struct segment_log_job *job = segment_log_next_job(log_, false);
    segment_log_truncate(log_, 7);
    fixture_append(log_, 2, 3, 100);
    cr_assert_null(segment_log_next_job(log_, false), "the truncation waits");
    segment_log_job_run(job);
    struct segment_log_job_result result;
    segment_log_job_finish(log_, job, &result);
    cr_assert_eq(result.status, SEGMENT_LOG_OK);
    cr_assert_eq(result.durable_index, 6, "of the ten written, six are still in the log");
    cr_assert_eq(result.durable_term, 1);
    struct segment_log_info kept = fixture_info(log_);
    cr_assert_eq(kept.durable_index, 6);
    cr_assert(fixture_run_job(log_, false, &result));
    cr_assert_eq(result.durable_index, 6, "the truncation comes first");
    cr_assert(fixture_run_job(log_, false, &result));
    cr_assert_eq(result.durable_index, 9);
    cr_assert_eq(result.durable_term, 2);
    reopen();
    expect_end(&kept);
    fixture_check_all(log_);
}

Test(segment_log_truncate, jobs_that_never_ran_are_offered_again)
{
    fixture_append(log_, 1, 10, 100);
    struct segment_log_job_result result;
    segment_log_job_finish(log_, segment_log_next_job(log_, false), &result);
    cr_assert_eq(result.durable_index, 0, "nothing was written, nothing is reported");
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    segment_log_truncate(log_, 8);
    segment_log_job_finish(log_, segment_log_next_job(log_, false), &result);
    segment_log_truncate(log_, 6);
    segment_log_job_finish(log_, segment_log_next_job(log_, false), &result);
    struct segment_log_info kept = fixture_info(log_);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    reopen();
    cr_assert_eq(fixture_info(log_).last_index, 5);
    expect_end(&kept);
    struct segment_log_read_job *read;
    struct segment_log_view view;
    cr_assert_eq(segment_log_read_job_create(log_, SEGMENT_LOG_BY_INDEX, 1, 5, 100, &read),
                 SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_read_job_finish(log_, read, &view, NULL), SEGMENT_LOG_SUPERSEDED);
}

Test(segment_log_truncate, two_cuts_before_the_job_are_one_at_the_lower_place)
{
    fixture_append(log_, 1, 10, 100);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    segment_log_truncate(log_, 8);
    fixture_append(log_, 2, 2, 100);
    segment_log_truncate(log_, 4);
    fixture_append(log_, 3, 1, 100);
    segment_log_truncate(log_, 5);
    struct segment_log_info kept = fixture_info(log_);
    cr_assert_eq(kept.last_index, 4);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    reopen();
    expect_end(&kept);
    fixture_check_all(log_);
}

Test(segment_log_truncate, below_the_cache_finds_its_place_in_the_files)
{
    fixture_append(log_, 1, 20, 1000);
    struct segment_log_info kept = fixture_info(log_);
    fixture_append(log_, 1, 200, 1000);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    cr_assert_gt(fixture_info(log_).cached_from_index, 22);
    segment_log_truncate(log_, 21);
    expect_end(&kept);
    fixture_append(log_, 2, 3, 1000);
    kept = fixture_info(log_);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    fixture_check_all(log_);
    reopen();
    expect_end(&kept);
}

Test(segment_log_truncate, a_view_taken_before_stays_readable)
{
    fixture_append(log_, 1, 10, 100);
    struct segment_log_view view;
    cr_assert_eq(segment_log_read(log_, SEGMENT_LOG_BY_INDEX, 5, 10, 4096, &view), SEGMENT_LOG_OK);
    segment_log_truncate(log_, 3);
    fixture_append(log_, 2, 30, 100);
    struct entry_header header;
    const uint8_t *payload;
    cr_assert_eq(entry_decode(view.parts[0].bytes, view.parts[0].bytes_count,
                              checksum64_group(&fixture_cluster, FIXTURE_GROUP), &header, &payload),
                 ENTRY_DECODE_OK);
    cr_assert_eq(header.index, 5);
    cr_assert_eq(header.term, 1);
    segment_log_view_release(&view);
}

Test(segment_log_truncate, works_on_sectors_of_4096_where_the_kept_part_may_not_fit_the_mark)
{
    options.sector_bytes = 4096;
    for (uint32_t payload = 3840; payload < 4016; payload += 8) {
        segment_log_close(log_);
        cr_assert_eq(segment_log_remove(disk, "/group"), 0);
        log_ = fixture_create(&options);
        cr_assert_eq(fixture_try_append(log_, 1, ENTRY_OFFSETS, payload), SEGMENT_LOG_OK);
        struct segment_log_info kept = fixture_info(log_);
        cr_assert_eq(fixture_try_append(log_, 1, ENTRY_NOOP, 0), SEGMENT_LOG_OK);
        cr_assert_eq(fixture_try_append(log_, 1, ENTRY_NOOP, 0), SEGMENT_LOG_OK);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        segment_log_truncate(log_, 2);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        reopen();
        expect_end(&kept);
        fixture_append(log_, 2, 1, 100);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        kept = fixture_info(log_);
        reopen();
        expect_end(&kept);
    }
}

/* The header of the first entry that is cut begins in the sector that is kept and reaches into the next. What is written behind
 * the cut finds no room, again and again. */
Test(segment_log_truncate, what_was_cut_stays_cut_on_a_full_disk)
{
    options.sector_bytes = 4096;
    options.segment_bytes_max = 1u << 20;
    for (uint32_t round = 0; round < 40; round++) {
        segment_log_close(log_);
        cr_assert_eq(segment_log_remove(disk, "/group"), 0);
        log_ = fixture_create(&options);
        cr_assert_eq(fixture_try_append(log_, 1, ENTRY_OFFSETS, 3944), SEGMENT_LOG_OK);
        cr_assert_eq(fixture_try_append(log_, 1, ENTRY_NOOP, 0), SEGMENT_LOG_OK);
        cr_assert_eq(fixture_try_append(log_, 1, ENTRY_NOOP, 0), SEGMENT_LOG_OK);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        segment_log_truncate(log_, 2);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        memory_disk_set_capacity(disk, memory_disk_used(disk));
        fixture_append(log_, 2, 1, 60000);
        for (uint32_t i = 0; i < 2 + round % 3; i++) {
            cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_FULL);
        }
        segment_log_close(log_);
        memory_disk_set_capacity(disk, UINT64_MAX);
        memory_disk_crash(disk, MEMORY_DISK_POWER);
        log_ = fixture_open(&options);
        cr_assert_eq(fixture_info(log_).last_index, 1, "what was cut is there again");
    }
}

/* The disk has another one behind it now, and the header is lost that says which sectors the file was written for: what the mark
 * keeps of one tells. */
Test(segment_log_truncate, without_a_header_the_kept_part_tells_the_sectors)
{
    char path[DISK_PATH_MAX];
    segment_log_close(log_);
    cr_assert_eq(segment_log_remove(disk, "/group"), 0);
    options.sector_bytes = 4096;
    log_ = fixture_create(&options);
    fixture_append(log_, 1, 9, 300);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    segment_log_truncate(log_, 5);
    struct segment_log_info kept = fixture_info(log_);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    fixture_segment_path("/group", 1, path);
    cr_assert_eq(memory_disk_flip(disk, path, 20, 1), 0);
    options.sector_bytes = 512;
    for (int start = 0; start < 2; start++) {
        reopen();
        expect_end(&kept);
        cr_assert_eq(fixture_info(log_).holes_count, 0);
        fixture_check_all(log_);
    }
    fixture_append(log_, 2, 1, 100);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    kept = fixture_info(log_);
    reopen();
    expect_end(&kept);
}

/* A file that nothing was filled ahead in may end in the middle of the sector of the cut. */
Test(segment_log_truncate, takes_no_room_so_a_full_disk_does_not_stop_it)
{
    segment_log_close(log_);
    memory_disk_destroy(disk);
    disk = memory_disk_create(1);
    options = fixture_options(disk, "/group");
    options.extend_bytes = 0;
    options.sector_bytes = 4096;
    log_ = fixture_create(&options);
    fixture_append(log_, 1, 9, 100);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    memory_disk_set_capacity(disk, memory_disk_used(disk));
    segment_log_truncate(log_, 5);
    struct segment_log_info kept = fixture_info(log_);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    reopen();
    expect_end(&kept);
    /* Neither does the start that finds it half done. */
    segment_log_truncate(log_, 3);
    kept = fixture_info(log_);
    memory_disk_stop_at(disk, 5); /* both marks are lowered */
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_IO);
    memory_disk_crash(disk, MEMORY_DISK_KILL);
    reopen();
    expect_end(&kept);
    fixture_check_all(log_);
}

/* Who decides whether to cut there reads what the cut needs, and it is not read again. */
Test(segment_log_truncate, what_is_behind_the_cut_is_read_once_and_told_before)
{
    segment_log_close(log_);
    struct disk *counting = counting_disk_create(disk);
    options.disk = counting;
    options.cache_bytes_max = 4096;
    options.directory = "/small";
    log_ = fixture_create(&options);
    fixture_append(log_, 1, 5, 100);
    const struct segment_log_info kept = fixture_info(log_);
    fixture_append(log_, 1, 200, 100);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    struct segment_log_point point;
    cr_assert_eq(segment_log_point_at(log_, 5, &point), SEGMENT_LOG_NOT_CACHED);
    cr_assert(segment_log_read_point(log_, 5, &point));
    cr_assert_eq(point.index, 5);
    cr_assert_eq(point.term, 1);
    cr_assert_eq(point.chain, kept.last_chain);
    counting_disk_reset(counting);
    segment_log_truncate(log_, 6);
    cr_assert_eq(counting_disk_reads(counting), 0);
    expect_end(&kept);
    cr_assert(segment_log_read_point(log_, 5, &point), "from memory");
    cr_assert_eq(point.chain, kept.last_chain);
    cr_assert_not(segment_log_read_point(log_, 6, &point), "it is cut");
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    for (uint64_t term = 2; term <= 3; term++) {
        fixture_append(log_, term, 200, 100);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        cr_assert(segment_log_read_point(log_, 6, &point));
        cr_assert_eq(point.term, term, "what was read before a cut is forgotten");
        segment_log_truncate(log_, 6);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    }
    segment_log_close(log_);
    log_ = NULL;
    counting_disk_destroy(counting);
}

/* ---- lost sectors -------------------------------------------------------------------------------------- */

#define BLOCK 4096u

static char segment_path[DISK_PATH_MAX];

/* 60 entries in one segment. Returns the bytes of its file. */
static uint64_t fill_one_segment(void)
{
    struct disk_file *file;
    uint64_t bytes = 0;
    fixture_append(log_, 1, 60, 300);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log_).segments_count, 1);
    fixture_segment_path("/group", 1, segment_path);
    cr_assert_eq(disk_open(disk, segment_path, DISK_READ, &file), 0);
    cr_assert_eq(disk_size(file, &bytes), 0);
    disk_close(file);
    return bytes;
}

/* Where the record of this entry begins. */
static uint64_t find_record(uint64_t index, uint64_t file_bytes)
{
    struct disk_file *file;
    uint64_t found = 0;
    cr_assert_eq(disk_open(disk, segment_path, DISK_READ, &file), 0);
    for (uint64_t pos = FIXTURE_DATA_POS; found == 0 && pos < file_bytes; pos += 8) {
        uint8_t bytes[ENTRY_HEADER_BYTES] = {0};
        struct entry_header header;
        cr_assert_geq(disk_pread(file, bytes, sizeof bytes, pos), 0);
        if (entry_decode_header(bytes, sizeof bytes,
                                checksum64_group(&fixture_cluster, FIXTURE_GROUP),
                                &header) == ENTRY_DECODE_OK &&
            header.index == index) {
            found = pos;
        }
    }
    disk_close(file);
    cr_assert_neq(found, 0);
    return found;
}

/* The log goes on, and another start finds the same. */
static void expect_to_go_on(struct segment_log *log, struct disk *on)
{
    fixture_append(log, 7, 3, 200);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    const struct segment_log_info before = fixture_info(log);
    fixture_believe(log);
    const uint64_t lost = fixture_check_beside_holes(log, NULL);
    segment_log_close(log);
    memory_disk_crash(on, MEMORY_DISK_POWER);
    log = fixture_open_on(&options, on);
    fixture_believe(log);
    cr_assert_eq(fixture_info(log).last_chain, before.last_chain);
    cr_assert_eq(fixture_check_beside_holes(log, NULL), lost);
    segment_log_close(log);
}

Test(segment_log_truncate, a_cut_reaches_over_blocks_that_cannot_be_read)
{
    const uint64_t bytes = fill_one_segment();
    const uint64_t cut_pos = find_record(31, bytes);
    for (uint64_t pos = FIXTURE_DATA_POS; pos < bytes; pos += BLOCK) {
        struct disk *damaged = memory_disk_clone(disk, pos);
        struct segment_log *log = fixture_open_on(&options, damaged);
        cr_assert_eq(memory_disk_unreadable(damaged, segment_path, pos, 1), 0);
        segment_log_truncate(log, 31);
        enum segment_log_status status = fixture_flush(log);
        /* What it has to keep is not there: it ends, and the next start finds that damage. */
        cr_assert_eq(status, pos < cut_pos ? SEGMENT_LOG_IO : SEGMENT_LOG_OK, "byte %lu",
                     (unsigned long)pos);
        if (status != SEGMENT_LOG_OK) {
            segment_log_close(log);
            memory_disk_crash(damaged, MEMORY_DISK_POWER);
            log = fixture_open_on(&options, damaged);
        } else {
            cr_assert_eq(memory_disk_unreadable_count(damaged, segment_path), 0);
        }
        cr_assert_eq(fixture_info(log).last_index, pos < cut_pos ? 60 : 30);
        expect_to_go_on(log, damaged);
        memory_disk_destroy(damaged);
    }
}

/* Goal: the sector of the cut, which the mark holds until it is written again, may be lost as well. Method: a power cut at each
 * call of the cut, then the block of the cut and each beside it. */
Test(segment_log_truncate, a_cut_that_was_torn_is_ended_where_nothing_can_be_read)
{
    const uint64_t cut_pos = find_record(31, fill_one_segment());
    cr_assert_neq(cut_pos % 512, 0);
    uint32_t opened = 0;
    for (uint64_t nth = 1, has_ended = 0; !has_ended; nth++) {
        for (uint64_t seed = 0; seed < 12; seed++) {
            struct disk *damaged = memory_disk_clone(disk, nth * 100 + seed);
            struct segment_log *log = fixture_open_on(&options, damaged);
            segment_log_truncate(log, 31);
            memory_disk_stop_at(damaged, nth);
            has_ended = fixture_flush(log) == SEGMENT_LOG_OK;
            segment_log_close(log);
            memory_disk_crash(damaged, MEMORY_DISK_POWER);
            const uint64_t pos = cut_pos + (seed % 3) * BLOCK - BLOCK;
            cr_assert_eq(memory_disk_unreadable(damaged, segment_path, pos, 1), 0);
            struct segment_log_options damaged_options = options;
            struct segment_log_problem problem = {0};
            damaged_options.disk = damaged;
            enum segment_log_status status = segment_log_open(&damaged_options, &log, &problem);
            if (status == SEGMENT_LOG_OK) {
                expect_to_go_on(log, damaged);
                opened++;
            } else {
                /* A mark was torn, too. */
                cr_assert_eq(status, SEGMENT_LOG_LOST_POSITION, "call %lu: %s", (unsigned long)nth,
                             problem.reason);
            }
            memory_disk_destroy(damaged);
        }
    }
    cr_assert_gt(opened, 50);
}

/* Behind a hole that ends at the cut nothing of the sector of the cut is needed. */
Test(segment_log_truncate, a_cut_behind_a_hole_needs_no_block_of_it)
{
    const uint64_t bytes = fill_one_segment();
    const uint64_t pos = find_record(30, bytes), cut_pos = find_record(31, bytes);
    cr_assert_neq(cut_pos % 512, 0);
    cr_assert_eq(memory_disk_flip(disk, segment_path, pos + 100, 1), 0);
    struct segment_log_hole hole;
    struct segment_log_view view;
    struct segment_log_problem problem;
    cr_assert_eq(fixture_read_files(log_, SEGMENT_LOG_BY_INDEX, 30, 30, 4096, &view, &problem),
                 SEGMENT_LOG_DAMAGED, "whoever reads it makes it known; memory still has it");
    cr_assert(segment_log_hole_from(log_, 0, &hole));
    cr_assert_eq(hole.first_index, 30);
    cr_assert_eq(hole.last_index, 30);
    cr_assert(segment_log_can_truncate(log_, 31));
    cr_assert_eq(memory_disk_unreadable(disk, segment_path, cut_pos, 1), 0);
    segment_log_truncate(log_, 31);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    cr_assert_eq(memory_disk_unreadable_count(disk, segment_path), 0);
    cr_assert_eq(fixture_info(log_).last_index, 30);
    fixture_append(log_, 7, 3, 200);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    reopen();
    cr_assert_eq(fixture_info(log_).last_index, 33);
    cr_assert(segment_log_hole_from(log_, 0, &hole));
    cr_assert_eq(hole.last_index, 30);
}
