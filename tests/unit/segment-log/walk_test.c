/* Goal: the offline walk shows every whole record and names every problem, and changes nothing. */
#include "log_fixture.h"

#include "memory_disk.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
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
    char text[2048];
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
        const size_t used = strlen(seen->text);
        snprintf(seen->text + used, sizeof seen->text - used, "%s: %s\n", item->path, item->text);
    } else {
        seen->notes++;
    }
}

static struct segment_log_walk_summary walk_beside(const struct segment_log_snapshots *snapshots,
                                                   struct seen *seen)
{
    *seen = (struct seen){0};
    struct segment_log_walk_summary summary;
    struct segment_log_problem problem;
    uint64_t calls = memory_disk_calls(disk);
    cr_assert_eq(segment_log_walk(disk, "/group", snapshots, note, seen, &summary, &problem),
                 SEGMENT_LOG_OK);
    cr_assert_eq(memory_disk_calls(disk), calls, "nothing is written or synced");
    cr_assert_eq(summary.problems_count, seen->problems);
    cr_assert_eq(summary.entries_count, seen->entries);
    return summary;
}

static struct segment_log_walk_summary walk(struct seen *seen)
{
    return walk_beside(NULL, seen);
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
    cr_assert_eq(segment_log_walk(disk, "/none", NULL, NULL, NULL, &summary, &problem),
                 SEGMENT_LOG_MISSING);
}

/* ---- what stands beside: bases ------------------------------------------------------------------------- */

/* Segments of some entries each, the first ones dropped behind a base, another base further on. */
#define ENTRIES 30u

static struct segment_log_point point_at(const struct segment_log *log, uint64_t index)
{
    struct segment_log_point point;
    cr_assert_eq(segment_log_point_at(log, index, &point), SEGMENT_LOG_OK);
    return point;
}

static struct segment_log *fill_small(void)
{
    options.segment_bytes_max = FIXTURE_DATA_POS + 8192;
    options.extend_bytes = 4096;
    struct segment_log *log = fixture_create(&options);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        fixture_append(log, 1, 1, 1500);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
    return log;
}

static struct segment_log_snapshots bases_at(const struct segment_log_point *oldest,
                                             const struct segment_log_point *newest)
{
    return (struct segment_log_snapshots){
        .has_ids = true,
        .cluster = fixture_cluster,
        .group = FIXTURE_GROUP,
        .bases_count = oldest->index == newest->index ? 1 : 2,
        .newest_base = *newest,
        .oldest_base = *oldest,
        .state_index = newest->index,
    };
}

/* Returns how many segments are left; *ret_first is the sequence of the first one. */
static uint32_t make_trimmed_log(struct segment_log_snapshots *ret_snapshots, uint64_t *ret_first)
{
    struct segment_log *log = fill_small();
    const struct segment_log_point newest = point_at(log, 23);
    const uint32_t before = fixture_info(log).segments_count;
    segment_log_drop_prefix(log, 12);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    const struct segment_log_info info = fixture_info(log);
    cr_assert_gt(info.base.index, 0);
    cr_assert_gt(info.segments_count, 3);
    *ret_snapshots = bases_at(&info.base, &newest);
    *ret_first = before - info.segments_count + 1u;
    segment_log_close(log);
    return info.segments_count;
}

/* Does a start find every entry? */
static bool opens_whole(const struct segment_log_snapshots *snapshots)
{
    struct segment_log_options with = options;
    struct segment_log *log;
    struct segment_log_problem problem;
    if (snapshots && snapshots->bases_count > 0) {
        with.base = &snapshots->newest_base;
        with.start = &snapshots->oldest_base;
    }
    if (segment_log_open(&with, &log, &problem) != SEGMENT_LOG_OK) return false;
    const bool is_whole = fixture_info(log).holes_count == 0;
    segment_log_close(log);
    return is_whole;
}

/* Take a copy of the disk for what is tried on it, and go back to what was. */
static struct disk *whole_disk;

static void begin_trial(void)
{
    whole_disk = disk;
    disk = memory_disk_clone(whole_disk, 1);
    options.disk = disk;
}

static void end_trial(void)
{
    memory_disk_destroy(disk);
    disk = whole_disk;
    options.disk = disk;
}

static void lose(uint64_t sequence)
{
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", sequence, path);
    cr_assert_eq(disk_unlink(disk, path), 0);
}

Test(segment_log_walk, a_log_that_starts_at_its_oldest_base_is_whole)
{
    struct segment_log_snapshots snapshots;
    uint64_t first;
    make_trimmed_log(&snapshots, &first);
    struct seen seen;
    const struct segment_log_walk_summary summary = walk_beside(&snapshots, &seen);
    cr_assert_eq(seen.problems, 0, "%s", seen.text);
    cr_assert_eq(summary.first_index, snapshots.oldest_base.index + 1);
    /* Older bases go before the files that they stand in front of. */
    snapshots.oldest_base = snapshots.newest_base;
    walk_beside(&snapshots, &seen);
    cr_assert_eq(seen.problems, 0, "%s", seen.text);
    cr_assert(opens_whole(&snapshots));
}

Test(segment_log_walk, every_segment_that_is_lost_is_named)
{
    struct segment_log_snapshots snapshots;
    uint64_t first;
    const uint32_t count = make_trimmed_log(&snapshots, &first);
    for (uint64_t sequence = first; sequence < first + count; sequence++) {
        begin_trial();
        lose(sequence);
        struct seen seen;
        walk_beside(&snapshots, &seen);
        char name[32];
        snprintf(name, sizeof name,
                 "%" PRIu64 ".segment: ", sequence + 1 == first + count ? sequence - 1 : sequence);
        cr_assert_gt(seen.problems, 0, "segment %" PRIu64, sequence);
        cr_assert_not_null(strstr(seen.text, name), "segment %" PRIu64 ": %s", sequence, seen.text);
        cr_assert_not(opens_whole(&snapshots), "a start knows it, too");
        end_trial();
    }
}

Test(segment_log_walk, the_entries_of_a_lost_first_segment_are_named)
{
    struct segment_log_snapshots snapshots;
    uint64_t first;
    make_trimmed_log(&snapshots, &first);
    lose(first);
    lose(first + 1);
    struct seen seen;
    const struct segment_log_walk_summary summary = walk_beside(&snapshots, &seen);
    char range[64];
    snprintf(range, sizeof range, "entries %" PRIu64 "..%" PRIu64, snapshots.oldest_base.index + 1,
             summary.first_index - 1);
    cr_assert_eq(seen.problems, 1, "%s", seen.text);
    cr_assert_not_null(strstr(seen.text, range), "%s", seen.text);
}

Test(segment_log_walk, the_lost_last_segment_is_named_beside_other_damage)
{
    struct segment_log_snapshots snapshots;
    uint64_t first;
    const uint32_t count = make_trimmed_log(&snapshots, &first);
    const uint64_t last = first + count - 1;
    const struct {
        uint64_t sequence, pos;
    } flips[] = {
        {first, 100},          {first, 4096 + 20},       {first, 12288 + 100},
        {first + 1, 100},      {first + 1, 12288 + 100}, {last - 1, 100},
        {last - 1, 4096 + 20}, {last - 1, 12288 + 100},
    };
    for (size_t i = 0; i < sizeof flips / sizeof *flips; i++) {
        begin_trial();
        char path[DISK_PATH_MAX];
        fixture_segment_path("/group", flips[i].sequence, path);
        cr_assert_eq(memory_disk_flip(disk, path, flips[i].pos, 3), 0);
        struct seen seen;
        walk_beside(&snapshots, &seen);
        const uint64_t before = seen.problems;
        cr_assert_null(strstr(seen.text, "none behind it"), "flip %zu: %s", i, seen.text);
        lose(last);
        walk_beside(&snapshots, &seen);
        cr_assert_gt(seen.problems, before, "flip %zu: %s", i, seen.text);
        cr_assert_not_null(strstr(seen.text, "but there is none behind it"), "flip %zu: %s", i,
                           seen.text);
        walk(&seen);
        cr_assert_not_null(strstr(seen.text, "but there is none behind it"), "flip %zu: %s", i,
                           seen.text);
        end_trial();
    }
}

Test(segment_log_walk, a_last_segment_without_marks_does_not_tell_the_end)
{
    struct segment_log_snapshots snapshots;
    uint64_t first;
    const uint32_t count = make_trimmed_log(&snapshots, &first);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", first + count - 1, path);
    cr_assert_eq(memory_disk_flip(disk, path, 4096 + 20, 1), 0);
    cr_assert_eq(memory_disk_flip(disk, path, 8192 + 20, 1), 0);
    struct seen seen;
    walk_beside(&snapshots, &seen);
    cr_assert_not_null(strstr(seen.text, "neither synced mark is valid"), "%s", seen.text);
    cr_assert_not_null(strstr(seen.text, "does not tell where it ends"), "%s", seen.text);
    cr_assert_null(strstr(seen.text, "continued"), "%s", seen.text);
}

Test(segment_log_walk, a_log_without_the_entry_of_its_newest_base_is_named)
{
    struct segment_log *log = fill_small();
    const struct segment_log_point origin = fixture_origin(), inside = point_at(log, 20);
    segment_log_close(log);
    struct seen seen;
    struct segment_log_snapshots snapshots = bases_at(&origin, &inside);
    walk_beside(&snapshots, &seen);
    cr_assert_eq(seen.problems, 0, "%s", seen.text);

    snapshots.newest_base.chain ^= 1;
    walk_beside(&snapshots, &seen);
    cr_assert_not_null(strstr(seen.text, "entry 20 is not the one"), "%s", seen.text);
    cr_assert_not(opens_whole(&snapshots));

    snapshots.newest_base.index = snapshots.state_index = ENTRIES + 5;
    walk_beside(&snapshots, &seen);
    cr_assert_not_null(strstr(seen.text, "the log ends at entry 30"), "%s", seen.text);
    cr_assert_not(opens_whole(&snapshots));

    /* A checkpoint is written when the log is durable through it. */
    snapshots = bases_at(&origin, &inside);
    snapshots.state_index = ENTRIES + 1;
    walk_beside(&snapshots, &seen);
    cr_assert_eq(seen.problems, 1, "%s", seen.text);

    /* One that is damaged counts as well: its name tells the index. */
    snapshots = bases_at(&origin, &inside);
    snapshots.damaged_count = 1;
    snapshots.damaged_lowest = snapshots.damaged_highest = ENTRIES + 1;
    walk_beside(&snapshots, &seen);
    cr_assert_eq(seen.problems, 1, "%s", seen.text);
}

Test(segment_log_walk, a_base_whose_entry_is_damaged_is_no_second_problem)
{
    struct segment_log *log = fill_small();
    const struct segment_log_point origin = fixture_origin(), inside = point_at(log, 23);
    segment_log_close(log);
    struct segment_log_snapshots snapshots = bases_at(&origin, &inside);
    /* Four entries in each, in sectors of their own. */
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 6, path);
    cr_assert_eq(memory_disk_flip(disk, path, FIXTURE_DATA_POS + 2 * 2048 + 400, 1), 0);
    struct seen seen;
    walk_beside(&snapshots, &seen);
    cr_assert_not_null(strstr(seen.text, "23"), "%s", seen.text);
    cr_assert_null(strstr(seen.text, "base"), "%s", seen.text);
}

Test(segment_log_walk, a_log_without_any_base_starts_with_the_first_entry)
{
    struct segment_log_snapshots snapshots;
    uint64_t first;
    make_trimmed_log(&snapshots, &first);
    snapshots = (struct segment_log_snapshots){0};
    struct seen seen;
    walk_beside(&snapshots, &seen);
    cr_assert_not_null(strstr(seen.text, "no base"), "%s", seen.text);
}

/* ---- an installed base ----------------------------------------------------------------------------------- */

/* The log as a crash leaves it when a base behind its end is being installed: born, and perhaps published by the caller. */
static struct segment_log_point install_half(uint64_t *ret_sequence)
{
    struct segment_log *log = fill_small();
    const struct segment_log_info info = fixture_info(log);
    const struct segment_log_point base = {
        .index = 1000, .term = 3, .chain = 77, .next_offset = 3000, .timestamp_ms = 99999};
    segment_log_install(log, &base);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    *ret_sequence = info.segments_count + 1;
    segment_log_close(log);
    return base;
}

Test(segment_log_walk, an_installed_base_replaces_what_is_left_of_the_log_in_front)
{
    uint64_t sequence;
    const struct segment_log_point base = install_half(&sequence), origin = fixture_origin();
    struct segment_log_snapshots snapshots = bases_at(&origin, &base);
    for (uint64_t gone = 0; gone < sequence; gone++) {
        if (gone > 0) lose(gone);
        struct seen seen;
        const struct segment_log_walk_summary summary = walk_beside(&snapshots, &seen);
        cr_assert_eq(seen.problems, 0, "%" PRIu64 " gone: %s", gone, seen.text);
        cr_assert_eq(seen.notes, sequence - 1 - gone);
        cr_assert_eq(summary.last_index, base.index);
        cr_assert_eq(summary.first_index, base.index + 1);
        begin_trial();
        cr_assert(opens_whole(&snapshots));
        end_trial();
    }
    begin_trial();
    lose(sequence);
    struct segment_log_walk_summary summary;
    struct segment_log_problem problem;
    cr_assert_eq(segment_log_walk(disk, "/group", &snapshots, NULL, NULL, &summary, &problem),
                 SEGMENT_LOG_MISSING);
    cr_assert_eq(summary.group, FIXTURE_GROUP, "told by the snapshots");
    end_trial();
}

Test(segment_log_walk, a_lost_installed_segment_is_named)
{
    uint64_t sequence;
    const struct segment_log_point base = install_half(&sequence), origin = fixture_origin();
    struct segment_log_snapshots snapshots = bases_at(&origin, &base);
    lose(sequence);
    struct seen seen;
    walk_beside(&snapshots, &seen);
    cr_assert_not_null(strstr(seen.text, "the log ends at entry 30"), "%s", seen.text);
    cr_assert_not(opens_whole(&snapshots));
}

Test(segment_log_walk, a_base_that_was_not_published_leaves_the_log_as_it_was)
{
    uint64_t sequence;
    install_half(&sequence);
    const struct segment_log_point origin = fixture_origin();
    struct segment_log_snapshots snapshots = bases_at(&origin, &origin);
    struct seen seen;
    const struct segment_log_walk_summary summary = walk_beside(&snapshots, &seen);
    cr_assert_eq(seen.problems, 0, "%s", seen.text);
    cr_assert_eq(seen.notes, 1);
    cr_assert_eq(summary.last_index, ENTRIES);
    for (uint64_t lost = 1; lost < sequence; lost++) {
        begin_trial();
        lose(lost);
        walk_beside(&snapshots, &seen);
        cr_assert_gt(seen.problems, 0, "segment %" PRIu64, lost);
        cr_assert_not(opens_whole(&snapshots), "segment %" PRIu64, lost);
        end_trial();
    }
    /* It was, and rotted since: what stands behind it was acknowledged. */
    snapshots.damaged_count = 1;
    snapshots.damaged_lowest = snapshots.damaged_highest = 1000;
    walk_beside(&snapshots, &seen);
    cr_assert_not_null(strstr(seen.text, "the base of 1000, which is damaged"), "%s", seen.text);
}

Test(segment_log_walk, a_log_that_has_the_entry_of_an_installed_base_is_kept_and_must_be_whole)
{
    struct segment_log *log = fill_small();
    const struct segment_log_point origin = fixture_origin(), inside = point_at(log, 23);
    const uint64_t count = fixture_info(log).segments_count;
    segment_log_install(log, &inside);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    segment_log_close(log);
    const struct segment_log_snapshots snapshots = bases_at(&origin, &inside);
    struct seen seen;
    const struct segment_log_walk_summary summary = walk_beside(&snapshots, &seen);
    cr_assert_eq(seen.problems, 0, "%s", seen.text);
    cr_assert_eq(summary.last_index, ENTRIES);
    for (uint64_t lost = 1; lost <= count; lost++) {
        begin_trial();
        lose(lost);
        walk_beside(&snapshots, &seen);
        const uint64_t problems = seen.problems;
        cr_assert_eq(problems == 0, opens_whole(&snapshots), "segment %" PRIu64 ": %s", lost,
                     seen.text);
        end_trial();
    }
}

static void spoil(struct disk *on, uint64_t pos)
{
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 1, path);
    cr_assert_eq(memory_disk_flip(on, path, pos, 1), 0);
}

/* A power cut leaves the mark of the flush before the last one: a start goes on behind it whatever is damaged in front. */
Test(segment_log_walk, what_was_synced_behind_a_mark_is_shown_whatever_is_damaged_in_front)
{
    struct segment_log *log = fixture_create(&options);
    for (int i = 0; i < 4; i++) {
        fixture_append(log, 1, 1, 300);
        if (i < 3) cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
    struct segment_log_job_result result;
    cr_assert(fixture_run_job(log, false, &result));
    struct disk *cut = memory_disk_power_cut(disk, NULL, NULL, 0);
    segment_log_close(log);
    memory_disk_destroy(disk);
    disk = options.disk = cut;
    spoil(disk, 12288 + 2 * 512 + 20);
    struct seen seen;
    const struct segment_log_walk_summary summary = walk(&seen);
    cr_assert_eq(seen.entries, 3, "1, 2 and 4: %s", seen.text);
    cr_assert_eq(seen.last_index, 4);
    cr_assert_eq(summary.last_index, 4);
    cr_assert_not_null(strstr(seen.text, "entry 3 is damaged"), "%s", seen.text);
}

Test(segment_log_walk, without_marks_damage_hides_nothing_behind_it)
{
    make_log(6);
    spoil(disk, 4096 + 40);
    spoil(disk, 8192 + 40);
    struct seen seen;
    walk(&seen);
    cr_assert_eq(seen.entries, 6, "%s", seen.text);
    spoil(disk, 12288 + 1072 + 200);
    walk(&seen);
    cr_assert_eq(seen.entries, 5, "%s", seen.text);
    cr_assert_eq(seen.last_index, 6);
    cr_assert_not_null(strstr(seen.text, "entries 2..2 are damaged"), "%s", seen.text);
}
