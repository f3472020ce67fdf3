/* Goal: reads by index, offset and time give the same entries from memory and from the files, and never a damaged byte. */
#include "log_fixture.h"

#include "memory_disk.h"

#include <criterion/criterion.h>
#include <string.h>

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

TestSuite(segment_log_read, .init = set_up, .fini = tear_down);

/* DATA with 3 records, every fourth entry without; stamps rise by 10. */
static void append_mixed(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        enum entry_type type = fixture_info(log_).last_index % 4 == 2 ? ENTRY_OFFSETS : ENTRY_DATA;
        cr_assert_eq(fixture_try_append(log_, 1, type, 300), SEGMENT_LOG_OK);
    }
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
}

static size_t flatten(const struct segment_log_view *view, uint8_t *buffer)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < view->parts_count; i++) {
        memcpy(buffer + bytes, view->parts[i].bytes, view->parts[i].bytes_count);
        bytes += view->parts[i].bytes_count;
    }
    return bytes;
}

static void expect_equal_everywhere(enum segment_log_key key, uint64_t value)
{
    struct segment_log_view memory, files;
    struct segment_log_problem problem;
    uint64_t last = fixture_info(log_).last_index;
    enum segment_log_status from_memory = segment_log_read(log_, key, value, last, 3000, &memory);
    enum segment_log_status from_files =
        fixture_read_files(log_, key, value, last, 3000, &files, &problem);
    cr_assert_eq(from_memory, from_files, "key %d value %lu: %s, %s", key, (unsigned long)value,
                 segment_log_status_text(from_memory), segment_log_status_text(from_files));
    if (from_memory != SEGMENT_LOG_OK) return;
    cr_assert_eq(memory.first_index, files.first_index);
    uint8_t left[4096], right[4096];
    size_t left_bytes = flatten(&memory, left), right_bytes = flatten(&files, right);
    size_t common = left_bytes < right_bytes ? left_bytes : right_bytes;
    cr_assert_gt(common, 0);
    cr_assert_leq(left_bytes, 3000);
    cr_assert_leq(right_bytes, 3000);
    cr_assert_eq(memcmp(left, right, common), 0);
    segment_log_view_release(&memory);
    segment_log_view_release(&files);
}

Test(segment_log_read, memory_and_files_agree_for_every_index_offset_and_time)
{
    options.cache_bytes_max = 1 << 20;
    segment_log_close(log_);
    cr_assert_eq(segment_log_remove(disk, "/group"), 0);
    log_ = fixture_create(&options);
    append_mixed(250);
    cr_assert_gt(fixture_info(log_).segments_count, 1);
    struct segment_log_info info = fixture_info(log_);
    for (uint64_t index = 0; index <= info.last_index + 1; index++) {
        expect_equal_everywhere(SEGMENT_LOG_BY_INDEX, index);
    }
    for (uint64_t offset = 0; offset <= info.next_offset; offset++) {
        expect_equal_everywhere(SEGMENT_LOG_BY_OFFSET, offset);
    }
    for (uint64_t time = 0; time <= (uint64_t)info.last_timestamp_ms + 11; time += 5) {
        expect_equal_everywhere(SEGMENT_LOG_BY_TIME, time);
    }
}

static uint64_t first_index_of(enum segment_log_key key, uint64_t value)
{
    struct segment_log_view view;
    if (fixture_read(log_, key, value, UINT64_MAX, 1, &view) != SEGMENT_LOG_OK) return 0;
    cr_assert_eq(view.first_index, view.last_index, "one entry, however few bytes are wanted");
    uint64_t index = view.first_index;
    segment_log_view_release(&view);
    return index;
}

Test(segment_log_read, finds_the_entry_that_holds_an_offset_or_begins_a_time)
{
    append_mixed(400);
    cr_assert_gt(fixture_info(log_).cached_from_index, 100,
                 "some come from files, some from memory");
    uint64_t offset = 0;
    for (uint64_t index = 1; index <= 400; index++) {
        bool is_data = (index - 1) % 4 != 2;
        uint64_t next_data = is_data ? index : index + 1;
        cr_assert_eq(first_index_of(SEGMENT_LOG_BY_INDEX, index), index);
        cr_assert_eq(first_index_of(SEGMENT_LOG_BY_TIME, index * 10), next_data);
        cr_assert_eq(first_index_of(SEGMENT_LOG_BY_TIME, index * 10 - 9), next_data);
        if (!is_data) continue;
        for (uint64_t i = 0; i < 3; i++) {
            cr_assert_eq(first_index_of(SEGMENT_LOG_BY_OFFSET, offset++), index);
        }
    }
    cr_assert_eq(first_index_of(SEGMENT_LOG_BY_OFFSET, offset), 0);
    cr_assert_eq(first_index_of(SEGMENT_LOG_BY_TIME, 4001), 0);
    cr_assert_eq(first_index_of(SEGMENT_LOG_BY_INDEX, 401), 0);
    cr_assert_eq(first_index_of(SEGMENT_LOG_BY_INDEX, 0), 0);
}

Test(segment_log_read, a_search_by_time_crosses_segments_without_data)
{
    fixture_append(log_, 1, 1, 100);
    for (int i = 0; i < 300; i++) {
        cr_assert_eq(fixture_try_append(log_, 1, ENTRY_OFFSETS, 1000), SEGMENT_LOG_OK);
    }
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    cr_assert_gt(fixture_info(log_).segments_count, 3);
    fixture_append(log_, 1, 1, 100);
    cr_assert_eq(first_index_of(SEGMENT_LOG_BY_TIME, 20), 302, "found in memory behind the files");
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    for (int i = 0; i < 300; i++) {
        cr_assert_eq(fixture_try_append(log_, 1, ENTRY_OFFSETS, 1000), SEGMENT_LOG_OK);
    }
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    cr_assert_eq(first_index_of(SEGMENT_LOG_BY_TIME, 20), 302, "found in a later file");
}

Test(segment_log_read, never_passes_the_last_index_that_is_asked_for)
{
    append_mixed(400);
    for (uint64_t last = 1; last <= 400; last += 7) {
        struct segment_log_view view;
        uint64_t first = last > 3 ? last - 3 : 1;
        cr_assert_eq(fixture_read(log_, SEGMENT_LOG_BY_INDEX, first, last, 1 << 20, &view),
                     SEGMENT_LOG_OK);
        cr_assert_eq(view.first_index, first);
        cr_assert_leq(view.last_index, last);
        cr_assert_geq(view.last_index, first);
        segment_log_view_release(&view);
        cr_assert_eq(fixture_read(log_, SEGMENT_LOG_BY_INDEX, last + 1, last, 1 << 20, &view),
                     SEGMENT_LOG_OUT_OF_RANGE);
    }
}

Test(segment_log_read, a_damaged_record_is_never_served_and_its_place_is_told)
{
    append_mixed(400);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 1, path);
    struct segment_log_view view;
    struct segment_log_problem problem;
    uint64_t pos = 12288 + 9 * entry_bytes(300) + 200; /* in the payload of entry 10: one flush */
    cr_assert_eq(memory_disk_flip(disk, path, pos, 1), 0);
    cr_assert_eq(fixture_read_files(log_, SEGMENT_LOG_BY_INDEX, 10, 400, 4096, &view, &problem),
                 SEGMENT_LOG_DAMAGED);
    cr_assert_str_eq(problem.path, path);
    cr_assert_eq(problem.index, 10);
    cr_assert_eq(problem.pos, pos - 200);
    cr_assert_eq(fixture_read_files(log_, SEGMENT_LOG_BY_INDEX, 7, 400, 1 << 20, &view, &problem),
                 SEGMENT_LOG_OK, "what stands in front of it is whole");
    cr_assert_eq(view.last_index, 9);
    segment_log_view_release(&view);
}

Test(segment_log_read, a_read_across_a_truncation_is_superseded)
{
    append_mixed(400);
    struct segment_log_read_job *job;
    struct segment_log_view view;
    struct segment_log_problem problem;
    cr_assert_eq(segment_log_read_job_create(log_, SEGMENT_LOG_BY_INDEX, 50, 400, 4096, &job),
                 SEGMENT_LOG_OK);
    segment_log_truncate(log_, 52);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    segment_log_read_job_run(job);
    cr_assert_eq(segment_log_read_job_finish(log_, job, &view, &problem), SEGMENT_LOG_SUPERSEDED);
    cr_assert_eq(fixture_read(log_, SEGMENT_LOG_BY_INDEX, 50, 400, 4096, &view), SEGMENT_LOG_OK);
    cr_assert_eq(view.last_index, 51);
    segment_log_view_release(&view);
}

/* Every entry by index, first offset and stamp from the files; then the log cut in the middle and grown again. */
Test(segment_log_read,
     a_large_segment_is_found_through_its_sparse_index_also_after_a_cut_and_a_restart)
{
    options.segment_bytes_max = 4u << 20;
    segment_log_close(log_);
    cr_assert_eq(segment_log_remove(disk, "/group"), 0);
    log_ = fixture_create(&options);
    for (uint64_t round = 0; round < 6; round++) {
        append_mixed(500);
        if (round % 2 == 1) {
            segment_log_truncate(log_, fixture_info(log_).last_index - 300);
            cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
        }
        if (round == 3) {
            segment_log_close(log_);
            log_ = fixture_open(&options);
        }
        struct segment_log_info info = fixture_info(log_);
        cr_assert_eq(info.segments_count, 1);
        uint64_t offset = 0;
        for (uint64_t index = 1; index <= info.last_index; index++) {
            struct segment_log_view view;
            struct segment_log_problem problem;
            bool is_data = (index - 1) % 4 != 2;
            if (is_data) offset += 3;
            if (index % 13 != 0 || !is_data) continue;
            const uint64_t values[] = {index, offset - 1, index * 10};
            for (int key = SEGMENT_LOG_BY_INDEX; key <= SEGMENT_LOG_BY_TIME; key++) {
                cr_assert_eq(fixture_read_files(log_, (enum segment_log_key)key, values[key],
                                                info.last_index, 1, &view, &problem),
                             SEGMENT_LOG_OK);
                cr_assert_eq(view.first_index, index);
                segment_log_view_release(&view);
            }
        }
        fixture_check_all(log_);
    }
}

Test(segment_log_read, several_jobs_may_be_out_beside_a_write)
{
    append_mixed(400);
    struct segment_log_read_job *jobs[8];
    for (uint64_t i = 0; i < 8; i++) {
        cr_assert_eq(segment_log_read_job_create(log_, SEGMENT_LOG_BY_INDEX, 1 + i * 40, 400, 4096,
                                                 &jobs[i]),
                     SEGMENT_LOG_OK);
    }
    append_mixed(100);
    for (uint64_t i = 8; i > 0; i--) {
        struct segment_log_view view;
        struct segment_log_problem problem;
        segment_log_read_job_run(jobs[i - 1]);
        cr_assert_eq(segment_log_read_job_finish(log_, jobs[i - 1], &view, &problem),
                     SEGMENT_LOG_OK);
        cr_assert_eq(view.first_index, 1 + (i - 1) * 40);
        segment_log_view_release(&view);
    }
}

Test(segment_log_read, a_view_outlives_eviction_and_the_log)
{
    fixture_append(log_, 1, 5, 300);
    struct segment_log_view view;
    cr_assert_eq(segment_log_read(log_, SEGMENT_LOG_BY_INDEX, 1, 5, 4096, &view), SEGMENT_LOG_OK);
    append_mixed(400);
    cr_assert_gt(fixture_info(log_).cached_from_index, 5);
    segment_log_close(log_);
    log_ = NULL;
    struct entry_header header;
    const uint8_t *payload;
    cr_assert_eq(entry_decode(view.parts[0].bytes, view.parts[0].bytes_count,
                              checksum64_group(&fixture_cluster, FIXTURE_GROUP), &header, &payload),
                 ENTRY_DECODE_OK);
    cr_assert_eq(header.index, 1);
    segment_log_view_release(&view);
}

Test(segment_log_read, a_copied_view_holds_whole_entries_only)
{
    fixture_append(log_, 1, 5, 300);
    struct segment_log_view view, copy;
    cr_assert_eq(segment_log_read(log_, SEGMENT_LOG_BY_INDEX, 2, 4, 4096, &view), SEGMENT_LOG_OK);
    uint8_t bytes[4096];
    size_t bytes_count = flatten(&view, bytes);
    segment_log_view_release(&view);
    cr_assert(segment_log_view_copy(bytes, bytes_count, 2, 4, &copy));
    cr_assert_eq(copy.first_index, 2);
    cr_assert_eq(copy.last_index, 4);
    cr_assert_eq(copy.bytes_total, bytes_count);
    cr_assert_eq(memcmp(copy.parts[0].bytes, bytes, bytes_count), 0);
    segment_log_view_release(&copy);
    cr_assert_not(segment_log_view_copy(bytes, bytes_count, 2, 5, &copy), "one is missing");
    cr_assert_not(segment_log_view_copy(bytes, bytes_count - 8, 2, 4, &copy), "cut off");
    cr_assert_not(segment_log_view_copy(bytes, 0, 2, 1, &copy), "nothing");
}
