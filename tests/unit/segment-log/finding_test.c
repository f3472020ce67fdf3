/* Goal: what a reader or the scrubber finds is of the log as it is when it is told: a cut or a roll that is under way meanwhile
 * makes no hole of what is whole, none behind the end, and none that hides whole entries.
 * Method: a job of each kind is made, run and finished at every step of a truncation or a roll. */
#include "log_fixture.h"

#include "memory_disk.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#define ENTRIES 50u

static struct disk *disk;
static struct segment_log_options options;

static void set_up(void)
{
    disk = memory_disk_create(1);
    options = fixture_small_options(disk, "/group");
    struct segment_log *log = fixture_create(&options);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        fixture_append(log, 1, 1, 100 + 300 * (i % 3));
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
    cr_assert_geq(fixture_info(log).segments_count, 4);
    segment_log_close(log);
}

static void tear_down(void)
{
    memory_disk_destroy(disk);
}

TestSuite(segment_log_finding, .init = set_up, .fini = tear_down, .timeout = 300);

static void finish_write(struct segment_log *log, struct segment_log_job *write)
{
    struct segment_log_job_result result;
    segment_log_job_finish(log, write, &result);
    cr_assert_eq(result.status, SEGMENT_LOG_OK, "%s", result.problem.reason);
}

static void finish_piece(struct segment_log *log, struct segment_log_scrub_job *piece)
{
    uint64_t bytes;
    struct segment_log_problem problem = {0};
    const enum segment_log_status status =
        segment_log_scrub_job_finish(log, piece, &bytes, &problem);
    cr_assert(status == SEGMENT_LOG_OK || status == SEGMENT_LOG_SUPERSEDED, "entry %" PRIu64 ": %s",
              problem.index, problem.reason);
}

/* The pass stands behind `pieces` pieces. False: it was over before. */
static bool scrub_some(struct segment_log *log, uint32_t pieces)
{
    struct segment_log_scrub_info scrub = {.active = true};
    segment_log_scrub_begin(log);
    for (uint32_t i = 0; i < pieces && scrub.active; i++) {
        struct segment_log_scrub_job *piece = segment_log_scrub_next_job(log, 2000);
        struct segment_log_job_result result;
        if (piece) {
            segment_log_scrub_job_run(piece);
            finish_piece(log, piece);
        } else {
            (void)fixture_run_job(log, false, &result);
        }
        segment_log_scrub_info(log, &scrub);
    }
    return scrub.active;
}

static void fill_again(struct segment_log *log)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        fixture_append(log, 9, 1, 150 + 200 * (i % 4));
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
}

enum order { PIECE_ENDS_FIRST, CUT_ENDS_FIRST, PIECE_ENDS_LAST, ORDERS };

static void scrub_under_a_cut(struct segment_log *log, enum order order)
{
    segment_log_truncate(log, 8);
    struct segment_log_job *cut = segment_log_next_job(log, false);
    cr_assert(cut);
    segment_log_job_run(cut);
    struct segment_log_scrub_job *piece = segment_log_scrub_next_job(log, 2000);
    if (piece) segment_log_scrub_job_run(piece);
    if (piece && order == PIECE_ENDS_FIRST) finish_piece(log, piece);
    finish_write(log, cut);
    if (order == PIECE_ENDS_LAST) fill_again(log);
    if (piece && order != PIECE_ENDS_FIRST) finish_piece(log, piece);
    struct segment_log_hole hole;
    cr_assert_not(segment_log_hole_from(log, 0, &hole), "%" PRIu64 "..%" PRIu64 ": %s",
                  hole.first_index, hole.last_index, hole.reason);
}

Test(segment_log_finding, segments_that_a_cut_removes_are_not_missing)
{
    for (int order = 0; order < ORDERS; order++) {
        bool is_active = true;
        for (uint32_t pieces = 0; is_active; pieces++) {
            struct disk *copy = memory_disk_clone(disk, pieces);
            struct segment_log *log = fixture_open_on(&options, copy);
            is_active = scrub_some(log, pieces);
            scrub_under_a_cut(log, (enum order)order);
            fill_again(log);
            fixture_check_all(log);
            segment_log_close(log);
            memory_disk_destroy(copy);
        }
    }
}

static enum segment_log_status end_read(struct segment_log *log, struct segment_log_read_job *read)
{
    struct segment_log_view view;
    struct segment_log_problem problem;
    const enum segment_log_status status = segment_log_read_job_finish(log, read, &view, &problem);
    if (status == SEGMENT_LOG_OK) segment_log_view_release(&view);
    return status;
}

/* The anchor behind the damage is cut: a hole through there would reach beyond the end, or over entries that came since. */
Test(segment_log_finding, damage_that_a_reader_meets_during_a_cut_ends_where_the_log_does)
{
    for (int order = 0; order < ORDERS; order++) {
        struct disk *copy = memory_disk_clone(disk, 1);
        struct segment_log *log = fixture_open_on(&options, copy);
        struct segment_log_read_job *read;
        segment_log_truncate(log, 8);
        struct segment_log_job *cut = segment_log_next_job(log, false);
        cr_assert(cut);
        segment_log_job_run(cut);
        char path[DISK_PATH_MAX];
        fixture_segment_path("/group", 1, path);
        cr_assert_eq(memory_disk_flip(copy, path, FIXTURE_DATA_POS + 60, 1), 0);
        cr_assert_eq(segment_log_read_job_create(log, SEGMENT_LOG_BY_INDEX, 1, 7, 4096, &read),
                     SEGMENT_LOG_OK);
        segment_log_read_job_run(read);
        if (order == PIECE_ENDS_FIRST) end_read(log, read);
        finish_write(log, cut);
        if (order == PIECE_ENDS_LAST) fill_again(log);
        if (order != PIECE_ENDS_FIRST) end_read(log, read);
        struct segment_log_hole hole;
        cr_assert(!segment_log_hole_from(log, 0, &hole) || hole.last_index <= 7,
                  "%" PRIu64 "..%" PRIu64, hole.first_index, hole.last_index);
        segment_log_close(log);
        memory_disk_destroy(copy);
    }
}

/* The last entry is damaged, others follow, and the segment is closed before that is told. */
Test(segment_log_finding, whole_entries_behind_damage_at_the_end_stay_readable)
{
    for (int by_reader = 0; by_reader < 2; by_reader++) {
        struct disk *copy = memory_disk_create(2);
        options.disk = copy;
        struct segment_log *log = fixture_create(&options);
        fixture_append(log, 1, 1, 600);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        fixture_append(log, 1, 1, 600);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        segment_log_close(log);
        log = fixture_open(&options);
        char path[DISK_PATH_MAX];
        fixture_segment_path("/group", 1, path);
        cr_assert_eq(memory_disk_flip(copy, path, FIXTURE_DATA_POS + 1024 + 60, 1), 0);
        struct segment_log_read_job *read = NULL;
        struct segment_log_scrub_job *piece = NULL;
        struct segment_log_job_result result;
        if (by_reader) {
            cr_assert_eq(segment_log_read_job_create(log, SEGMENT_LOG_BY_INDEX, 2, 2, 4096, &read),
                         SEGMENT_LOG_OK);
            segment_log_read_job_run(read);
        } else {
            segment_log_scrub_begin(log);
            cr_assert_null(segment_log_scrub_next_job(log, 4000));
            cr_assert(fixture_run_job(log, false, &result)); /* header and marks first */
            piece = segment_log_scrub_next_job(log, 4000);
            cr_assert(piece);
            segment_log_scrub_job_run(piece);
        }
        fixture_append(log, 1, 1, 600);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        (void)segment_log_roll(log);
        fixture_append(log, 1, 8, 600); /* evicts the others from the cache */
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        cr_assert_geq(fixture_info(log).segments_count, 2);
        if (read) end_read(log, read);
        uint64_t bytes;
        struct segment_log_problem problem = {0};
        if (piece) {
            const enum segment_log_status status =
                segment_log_scrub_job_finish(log, piece, &bytes, &problem);
            cr_assert(status == SEGMENT_LOG_OK || status == SEGMENT_LOG_DAMAGED);
        }
        /* Unless it is known already, the first one meets the damage on its way; then all of it is known. */
        struct segment_log_view view;
        if (fixture_read_files(log, SEGMENT_LOG_BY_INDEX, 3, 3, 4096, &view, &problem) !=
            SEGMENT_LOG_OK) {
            cr_assert_eq(fixture_read_files(log, SEGMENT_LOG_BY_INDEX, 3, 3, 4096, &view, &problem),
                         SEGMENT_LOG_OK, "%s", problem.reason);
        }
        segment_log_view_release(&view);
        segment_log_close(log);
        memory_disk_destroy(copy);
    }
}

/* Entry `index` is damaged, and its segment written anew as far as the write job that puts the new file in place. */
static struct segment_log_job *repair_up_to_the_rename(struct segment_log *log,
                                                       struct segment_log *peer)
{
    cr_assert_eq(segment_log_repair_begin(log, 0, NULL, NULL), SEGMENT_LOG_OK);
    for (int i = 0; i < 1000; i++) {
        struct segment_log_repair_info at;
        struct segment_log_repair_job *piece = segment_log_repair_next_job(log);
        if (piece) {
            segment_log_repair_job_run(piece);
            segment_log_repair_job_finish(log, piece);
        }
        segment_log_repair_info(log, &at);
        if (at.state == SEGMENT_LOG_REPAIR_WANTS) {
            struct segment_log_view view;
            struct segment_log_problem problem;
            cr_assert_eq(fixture_read_files(peer, SEGMENT_LOG_BY_INDEX, at.want_first, at.want_last,
                                            4096, &view, &problem),
                         SEGMENT_LOG_OK);
            cr_assert_eq(
                segment_log_repair_supply(log, view.parts[0].bytes, view.parts[0].bytes_count),
                SEGMENT_LOG_OK);
            segment_log_view_release(&view);
        } else if (!piece) {
            struct segment_log_job *write = segment_log_next_job(log, false);
            cr_assert(write);
            return write;
        }
    }
    cr_assert_fail("the repair comes to no end");
    return NULL;
}

/* The records of the new file stand elsewhere, and what is known of the old one is not told of it. */
Test(segment_log_finding, a_file_that_a_repair_puts_in_place_is_not_damaged)
{
    for (int by_reader = 0; by_reader < 2; by_reader++) {
        struct disk *copy = memory_disk_clone(disk, 1);
        struct segment_log *peer = fixture_open_on(&options, disk);
        struct segment_log *log = fixture_open_on(&options, copy);
        char path[DISK_PATH_MAX];
        fixture_segment_path("/group", 1, path);
        cr_assert_eq(memory_disk_flip(copy, path, FIXTURE_DATA_POS + 60, 1), 0);
        struct segment_log_view view;
        struct segment_log_problem problem = {0};
        cr_assert_eq(fixture_read_files(log, SEGMENT_LOG_BY_INDEX, 1, 1, 4096, &view, &problem),
                     SEGMENT_LOG_DAMAGED);
        struct segment_log_scrub_info before, after;
        segment_log_scrub_info(log, &before);
        struct segment_log_job *write = repair_up_to_the_rename(log, peer);
        segment_log_job_run(write);
        struct segment_log_read_job *read = NULL;
        struct segment_log_scrub_job *piece = NULL;
        if (by_reader) {
            cr_assert_eq(segment_log_read_job_create(log, SEGMENT_LOG_BY_INDEX, 3, 3, 4096, &read),
                         SEGMENT_LOG_OK);
            segment_log_read_job_run(read);
            cr_assert_eq(segment_log_read_job_finish(log, read, &view, &problem),
                         SEGMENT_LOG_SUPERSEDED);
        } else {
            segment_log_scrub_begin(log);
            piece = segment_log_scrub_next_job(log, 4000);
            if (piece) segment_log_scrub_job_run(piece);
            if (piece) finish_piece(log, piece);
        }
        finish_write(log, write);
        segment_log_repair_end(log);
        segment_log_scrub_info(log, &after);
        cr_assert_eq(after.holes_found_total, before.holes_found_total);
        cr_assert_eq(fixture_info(log).holes_count, 0);
        fixture_check_all(log);
        segment_log_close(log);
        segment_log_close(peer);
        memory_disk_destroy(copy);
    }
}

static void append_and_flush(struct segment_log *log, uint64_t term, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fixture_append(log, term, 1, 600);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
}

/* Entry 2 is damaged, and what stands right behind it is cut: what comes in its place is whole. While the damage is the end of
 * the log, and with entries behind it, which a scan goes on with by their own chain. */
Test(segment_log_finding, what_is_written_behind_damage_where_entries_were_cut_is_readable)
{
    for (uint32_t behind = 0; behind < 3; behind++) {
        struct disk *copy = memory_disk_create(2);
        options.disk = copy;
        options.cache_bytes_max = 32768;
        struct segment_log *log = fixture_create(&options);
        append_and_flush(log, 1, 2 + behind);
        char path[DISK_PATH_MAX];
        fixture_segment_path("/group", 1, path);
        cr_assert_eq(memory_disk_flip(copy, path, FIXTURE_DATA_POS + 1024 + 60, 1), 0);
        struct segment_log_hole hole;
        segment_log_scrub_begin(log);
        for (int i = 0; i < 10 && !segment_log_hole_from(log, 0, &hole); i++) {
            struct segment_log_job_result result;
            struct segment_log_problem problem;
            uint64_t bytes;
            struct segment_log_scrub_job *piece = segment_log_scrub_next_job(log, 8000);
            if (!piece) {
                (void)fixture_run_job(log, false, &result);
                continue;
            }
            segment_log_scrub_job_run(piece);
            cr_assert_eq(segment_log_scrub_job_finish(log, piece, &bytes, &problem),
                         SEGMENT_LOG_DAMAGED);
        }
        cr_assert(segment_log_hole_from(log, 0, &hole));
        cr_assert_eq(hole.first_index, 2);
        cr_assert_eq(hole.last_index, 2);
        append_and_flush(log, 1, 2);
        segment_log_truncate(log, 3);
        append_and_flush(log, 2, 4);
        cr_assert_eq(fixture_info(log).last_index, 6);
        for (uint64_t index = 3; index <= 6; index++) {
            struct segment_log_view view;
            struct segment_log_problem problem = {0};
            cr_assert_eq(
                fixture_read_files(log, SEGMENT_LOG_BY_INDEX, index, index, 4096, &view, &problem),
                SEGMENT_LOG_OK, "%u behind, entry %" PRIu64 ": %s", behind, index, problem.reason);
            segment_log_view_release(&view);
        }
        const uint64_t chain = fixture_info(log).last_chain;
        segment_log_close(log);
        memory_disk_crash(copy, MEMORY_DISK_POWER);
        log = fixture_open(&options);
        cr_assert_eq(fixture_info(log).last_chain, chain);
        cr_assert_eq(fixture_info(log).holes_count, 1);
        segment_log_close(log);
        memory_disk_destroy(copy);
    }
}

static struct segment_log_hole only_hole(struct segment_log *log)
{
    struct segment_log_hole hole, other;
    cr_assert(segment_log_hole_from(log, 0, &hole));
    cr_assert_not(segment_log_hole_from(log, hole.last_index + 1, &other));
    return hole;
}

static void scrub_all(struct segment_log *log)
{
    struct segment_log_scrub_info scrub = {.active = true};
    segment_log_scrub_begin(log);
    for (uint32_t steps = 0; scrub.active; steps++) {
        cr_assert_lt(steps, 1000u, "the pass never ends");
        struct segment_log_scrub_job *piece = segment_log_scrub_next_job(log, 2000);
        if (piece) {
            uint64_t bytes;
            segment_log_scrub_job_run(piece);
            const enum segment_log_status status =
                segment_log_scrub_job_finish(log, piece, &bytes, NULL);
            cr_assert(status == SEGMENT_LOG_OK || status == SEGMENT_LOG_DAMAGED);
        } else {
            cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        }
        segment_log_scrub_info(log, &scrub);
    }
}

static uint64_t place_of(const char *path, uint64_t index)
{
    static uint8_t bytes[1u << 16];
    struct disk_file *file;
    cr_assert_eq(disk_open(disk, path, DISK_READ, &file), 0);
    const ssize_t got = disk_pread(file, bytes, sizeof bytes, 0);
    disk_close(file);
    const uint64_t seed = checksum64_group(&options.cluster, options.group);
    for (size_t pos = FIXTURE_DATA_POS; pos < (size_t)got; pos += 8) {
        struct entry_header header;
        if (entry_decode_header(bytes + pos, (size_t)got - pos, seed, &header) == ENTRY_DECODE_OK &&
            header.index == index) {
            return pos;
        }
    }
    cr_assert_fail("no such entry");
    return 0;
}

/* What is known to be whole right behind a hole may rot, too, and no pass goes round in front of it. By the number of a hole a
 * driver knows what it was told of: each pass meets the same damage again. */
Test(segment_log_finding, damage_right_behind_a_hole_makes_it_larger)
{
    struct segment_log *log = fixture_open(&options);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 1, path);
    uint64_t number = 0;
    for (uint64_t last = 1; last <= 3; last++) {
        cr_assert_eq(memory_disk_flip(disk, path, place_of(path, last) + 60, 1), 0);
        for (uint32_t pass = 0; pass < 2; pass++) {
            scrub_all(log);
            const struct segment_log_hole hole = only_hole(log);
            cr_assert_eq(hole.first_index, 1);
            cr_assert_eq(hole.before.index, 0);
            cr_assert_eq(hole.last_index, last);
            if (pass == 0) {
                cr_assert_gt(hole.number, number);
                number = hole.number;
            }
            cr_assert_eq(hole.number, number);
        }
    }
    segment_log_close(log);
}
