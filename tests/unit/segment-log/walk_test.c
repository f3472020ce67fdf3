/* Goal: the offline walk shows every whole record and names every problem, and changes nothing. */
#include "log_fixture.h"

#include "memory_disk.h"

#include <criterion/criterion.h>
#include <string.h>

static struct disk *disk;
static struct segment_log_options options;

static void set_up(void)
{
    disk = memory_disk_create(1);
    options = fixture_options(disk, "/group");
}

static void tear_down(void)
{
    memory_disk_destroy(disk);
}

TestSuite(segment_log_walk, .init = set_up, .fini = tear_down);

struct seen {
    uint64_t entries, problems, notes, last_index;
    char text[512];
};

static void note(void *data, const struct segment_log_walk_item *item)
{
    struct seen *seen = data;
    if (item->header) {
        seen->entries++;
        cr_assert_gt(item->header->index, seen->last_index);
        seen->last_index = item->header->index;
        cr_assert_not_null(item->payload);
        return;
    }
    if (item->problem) {
        seen->problems++;
        cr_assert_neq(item->path[0], 0);
        strncat(seen->text, item->text, sizeof seen->text - strlen(seen->text) - 1);
    } else {
        seen->notes++;
    }
}

static struct segment_log_walk_summary walk(struct seen *seen)
{
    *seen = (struct seen){0};
    struct segment_log_walk_summary summary;
    struct segment_log_problem problem;
    uint64_t calls = memory_disk_calls(disk);
    cr_assert_eq(segment_log_walk(disk, "/group", note, seen, &summary, &problem), SEGMENT_LOG_OK);
    cr_assert_eq(memory_disk_calls(disk), calls, "nothing is written or synced");
    cr_assert_eq(summary.problems_count, seen->problems);
    cr_assert_eq(summary.entries_count, seen->entries);
    return summary;
}

static struct segment_log_info make_log(uint32_t count)
{
    struct segment_log *log = fixture_create(&options);
    fixture_append(log, 1, count, 1000);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    struct segment_log_info info = fixture_info(log);
    segment_log_close(log);
    return info;
}

Test(segment_log_walk, tells_the_end_that_the_log_itself_tells)
{
    struct segment_log_info info = make_log(150);
    struct seen seen;
    struct segment_log_walk_summary summary = walk(&seen);
    cr_assert_eq(seen.problems, 0, "%s", seen.text);
    cr_assert_eq(summary.entries_count, 150);
    cr_assert_eq(summary.records_count, 450);
    cr_assert_eq(summary.first_index, 1);
    cr_assert_eq(summary.last_index, 150);
    cr_assert_eq(summary.last_term, 1);
    cr_assert_eq(summary.last_chain, info.last_chain);
    cr_assert_eq(summary.next_offset, info.next_offset);
    cr_assert_eq(summary.mark_index, 150);
    cr_assert_eq(summary.segments_count, info.segments_count);
    cr_assert_eq(summary.group, FIXTURE_GROUP);
    cr_assert_eq(memcmp(&summary.cluster, &fixture_cluster, sizeof summary.cluster), 0);
}

Test(segment_log_walk, names_a_damaged_record_and_goes_on_behind_it)
{
    make_log(150);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 2, path);
    struct seen seen;
    for (uint64_t pos = 0; pos < 5 * entry_bytes(1000); pos += 97) {
        cr_assert_eq(memory_disk_flip(disk, path, 12288 + pos, 2), 0);
        struct segment_log_walk_summary summary = walk(&seen);
        cr_assert_geq(seen.problems, 1);
        cr_assert_eq(seen.entries, 149);
        cr_assert_eq(summary.last_index, 150);
        cr_assert_eq(memory_disk_flip(disk, path, 12288 + pos, 2), 0);
    }
    walk(&seen);
    cr_assert_eq(seen.problems, 0);
}

Test(segment_log_walk, names_missing_and_damaged_segments)
{
    make_log(150);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 2, path);
    struct seen seen;
    cr_assert_eq(memory_disk_flip(disk, path, 40, 1), 0);
    walk(&seen);
    cr_assert_geq(seen.problems, 1);
    cr_assert_eq(disk_unlink(disk, path), 0);
    walk(&seen);
    cr_assert_geq(seen.problems, 1);
    cr_assert_gt(seen.entries, 90, "the segments around it are still walked");
}

Test(segment_log_walk, a_torn_tail_is_a_note_and_no_problem)
{
    make_log(10);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 1, path);
    struct disk_file *file;
    cr_assert_eq(disk_open(disk, path, DISK_WRITE, &file), 0);
    cr_assert_eq(disk_pwrite(file, "torn", 4, 12288 + 12 * entry_bytes(1000)), 0);
    disk_close(file);
    struct seen seen;
    struct segment_log_walk_summary summary = walk(&seen);
    cr_assert_eq(seen.problems, 0);
    cr_assert_gt(summary.torn_bytes, 0);
    cr_assert_eq(summary.last_index, 10);
}

Test(segment_log_walk, no_log_is_missing)
{
    struct segment_log_walk_summary summary;
    struct segment_log_problem problem;
    cr_assert_eq(segment_log_walk(disk, "/none", NULL, NULL, &summary, &problem),
                 SEGMENT_LOG_MISSING);
}
