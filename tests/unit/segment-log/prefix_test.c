/* Goal: a log drops what lies behind a base without ever having a hole (PROTOCOL S5), and starts anew behind an installed base
 * or stays what it was, nothing in between (S3).
 * Method: short scripts on the disk in memory; each of their disk calls fails in turn, or the process dies or the power goes
 * right before it, and the log is opened again with the base that the directory then holds. */
#include "log_fixture.h"

#include "memory_disk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define DIRECTORY "/group"

static struct segment_log_options options_of(struct disk *disk)
{
    struct segment_log_options options = fixture_options(disk, DIRECTORY);
    options.segment_bytes_max = 12288 + 8192;
    options.extend_bytes = 4096;
    options.cache_bytes_max = 4096;
    return options;
}

static bool has_segment(struct disk *disk, uint64_t sequence)
{
    char path[DISK_PATH_MAX];
    fixture_segment_path(DIRECTORY, sequence, path);
    struct disk_file *file;
    if (disk_open(disk, path, DISK_READ, &file) != 0) return false;
    disk_close(file);
    return true;
}

/* One flush each, so that segments fill up and roll. */
static void fill(struct segment_log *log, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fixture_append(log, 1, 1, 1500);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
}

static struct segment_log_read_job *hold_from(struct segment_log *log, uint64_t index)
{
    struct segment_log_read_job *read = NULL;
    cr_assert_eq(segment_log_read_job_create(log, SEGMENT_LOG_BY_INDEX, index, 30, 1000, &read),
                 SEGMENT_LOG_OK);
    return read;
}

static struct segment_log_point last_point(const struct segment_log *log)
{
    struct segment_log_point point;
    cr_assert_eq(segment_log_point_at(log, fixture_info(log).last_index, &point), SEGMENT_LOG_OK);
    return point;
}

/* ---- dropping ------------------------------------------------------------------------------------------------------- */

Test(segment_log_prefix, whole_segments_behind_a_base_go_and_the_rest_stays)
{
    struct disk *disk = memory_disk_create(1);
    struct segment_log_options options = options_of(disk);
    struct segment_log *log = fixture_create(&options);
    fill(log, 30);
    const struct segment_log_info before = fixture_info(log);
    const uint64_t bytes_before = segment_log_bytes(log);
    cr_assert_gt(before.segments_count, 4);
    segment_log_drop_prefix(log, 17);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    const struct segment_log_info info = fixture_info(log);
    cr_assert_gt(info.base.index, 0);
    cr_assert_leq(info.base.index, 17);
    cr_assert_lt(info.segments_count, before.segments_count);
    cr_assert_lt(segment_log_bytes(log), bytes_before);
    cr_assert_eq(info.last_chain, before.last_chain);
    cr_assert_not(has_segment(disk, 1));
    struct segment_log_view view;
    cr_assert_eq(segment_log_read(log, SEGMENT_LOG_BY_INDEX, info.base.index, 30, 100, &view),
                 SEGMENT_LOG_OUT_OF_RANGE);
    fixture_check_all(log);
    segment_log_close(log);

    log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).base.index, info.base.index);
    cr_assert_eq(fixture_info(log).base.chain, info.base.chain);
    cr_assert_eq(fixture_info(log).last_chain, before.last_chain);
    fixture_check_all(log);
    segment_log_drop_prefix(log, 30); /* all but the last segment */
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log).segments_count, 1);
    fixture_check_all(log);
    fill(log, 5);
    fixture_check_all(log);
    segment_log_close(log);
    memory_disk_destroy(disk);
}

static void add_run(void *data, uint64_t first, uint64_t count, uint64_t term)
{
    uint64_t *next = data;
    cr_assert_eq(first, *next);
    cr_assert_gt(term, 0);
    *next = first + count;
}

Test(segment_log_prefix, term_runs_begin_behind_what_was_dropped)
{
    struct disk *disk = memory_disk_create(1);
    struct segment_log_options options = options_of(disk);
    struct segment_log *log = fixture_create(&options);
    for (uint64_t term = 1; term <= 10; term++) {
        fixture_append(log, term, 3, 1500);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
    for (uint64_t index = 1; index <= 30; index++) {
        segment_log_drop_prefix(log, index);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        const struct segment_log_info info = fixture_info(log);
        uint64_t next = info.base.index + 1;
        segment_log_term_runs(log, add_run, &next);
        cr_assert_eq(next, info.last_index + 1);
    }
    segment_log_close(log);
    memory_disk_destroy(disk);
}

Test(segment_log_prefix, a_segment_that_a_reader_holds_stays_until_it_is_done)
{
    struct disk *disk = memory_disk_create(1);
    struct segment_log_options options = options_of(disk);
    struct segment_log *log = fixture_create(&options);
    fill(log, 30);
    struct segment_log_read_job *read = hold_from(log, 9);
    segment_log_drop_prefix(log, 25);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    const uint64_t held_base = fixture_info(log).base.index;
    cr_assert_gt(held_base, 0); /* what lies in front of the reader has gone */
    cr_assert_lt(held_base, 9);
    segment_log_read_job_run(read);
    struct segment_log_view view;
    cr_assert_eq(segment_log_read_job_finish(log, read, &view, NULL), SEGMENT_LOG_OK);
    cr_assert_eq(view.first_index, 9);
    segment_log_view_release(&view);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    cr_assert_gt(fixture_info(log).base.index, 9);
    fixture_check_all(log);
    segment_log_close(log);
    memory_disk_destroy(disk);
}

/* The cut is still to be done on the disk when the drop goes on: the files behind it are listed. */
Test(segment_log_prefix, a_drop_that_waited_ends_where_the_log_was_cut_meanwhile)
{
    struct disk *disk = memory_disk_create(1);
    struct segment_log_options options = options_of(disk);
    struct segment_log *log = fixture_create(&options);
    fill(log, 30);
    struct segment_log_read_job *read = hold_from(log, 1);
    segment_log_drop_prefix(log, 25);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log).base.index, 0);
    segment_log_truncate(log, 12);
    segment_log_read_job_run(read);
    struct segment_log_view view;
    cr_assert_eq(segment_log_read_job_finish(log, read, &view, NULL), SEGMENT_LOG_SUPERSEDED);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    cr_assert_gt(fixture_info(log).base.index, 0);
    cr_assert_leq(fixture_info(log).base.index, 11);
    cr_assert_eq(fixture_info(log).last_index, 11);
    fill(log, 20); /* of these none was to be dropped */
    cr_assert_leq(fixture_info(log).base.index, 11);
    fixture_check_all(log);
    segment_log_close(log);
    log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).last_index, 31);
    fixture_check_all(log);
    segment_log_close(log);
    memory_disk_destroy(disk);
}

Test(segment_log_prefix, a_roll_puts_the_boundary_behind_the_last_entry)
{
    struct disk *disk = memory_disk_create(1);
    struct segment_log_options options = options_of(disk);
    options.segment_bytes_max = 1u << 20;
    struct segment_log *log = fixture_create(&options);
    fixture_append(log, 1, 10, 100);
    const uint64_t boundary = segment_log_roll(log); /* not even flushed */
    cr_assert_eq(boundary, 10);
    fixture_append(log, 1, 5, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log).segments_count, 2);
    segment_log_drop_prefix(log, boundary);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log).base.index, boundary);
    /* Once: what comes later goes on in that segment. */
    fixture_append(log, 1, 5, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log).segments_count, 1);
    fixture_check_all(log);
    segment_log_close(log);
    memory_disk_destroy(disk);
}

Test(segment_log_prefix, a_roll_is_forgotten_when_its_boundary_is_cut)
{
    struct disk *disk = memory_disk_create(1);
    struct segment_log_options options = options_of(disk);
    options.segment_bytes_max = 1u << 20;
    struct segment_log *log = fixture_create(&options);
    fixture_append(log, 1, 10, 100);
    cr_assert_eq(segment_log_roll(log), 10);
    segment_log_truncate(log, 8);
    fixture_append(log, 2, 10, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log).segments_count, 1);
    fixture_check_all(log);
    segment_log_close(log);
    memory_disk_destroy(disk);
}

/* What a fault left: stopped = the log said so, or the disk was dead. */
static bool flush_or_stop(struct segment_log *log)
{
    const enum segment_log_status status = fixture_flush(log);
    cr_assert(status == SEGMENT_LOG_OK || status == SEGMENT_LOG_IO, "%s",
              segment_log_status_text(status));
    return status == SEGMENT_LOG_OK;
}

enum fault { FAULT_ERROR, FAULT_KILL, FAULT_POWER, FAULTS_COUNT };

static void set_fault(struct disk *disk, enum fault fault, uint64_t nth)
{
    if (fault == FAULT_ERROR) {
        memory_disk_fail_call(disk, nth, -EIO);
    } else {
        memory_disk_stop_at(disk, nth);
    }
}

static void crash(struct disk *disk, enum fault fault)
{
    memory_disk_fail_call(disk, 0, 0);
    memory_disk_crash(disk, fault == FAULT_POWER ? MEMORY_DISK_POWER : MEMORY_DISK_KILL);
}

/* Returns whether the fault came up. */
static bool drop_with_fault(enum fault fault, uint64_t nth, uint64_t seed)
{
    struct disk *disk = memory_disk_create(seed);
    struct segment_log_options options = options_of(disk);
    struct segment_log *log = fixture_create(&options);
    fill(log, 30);
    const struct segment_log_point base = last_point(log);
    const uint64_t start = memory_disk_calls(disk);
    set_fault(disk, fault, nth);
    segment_log_drop_prefix(log, base.index);
    (void)flush_or_stop(log);
    const bool reached = memory_disk_calls(disk) - start >= nth;
    segment_log_close(log);
    crash(disk, fault);

    options.base = &base;
    log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).last_chain, base.chain);
    fixture_check_all(log);
    segment_log_drop_prefix(log, base.index); /* the rest of them */
    fill(log, 3);
    cr_assert_eq(fixture_info(log).last_index, 33);
    fixture_check_all(log);
    segment_log_close(log);
    memory_disk_crash(disk, MEMORY_DISK_POWER);
    log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).last_index, 33);
    fixture_check_all(log);
    segment_log_close(log);
    memory_disk_destroy(disk);
    return reached;
}

Test(segment_log_prefix, dropping_may_end_at_any_call)
{
    for (enum fault fault = FAULT_ERROR; fault < FAULTS_COUNT; fault++) {
        uint64_t nth = 1;
        for (bool reached = true; reached; nth++) {
            for (uint64_t seed = 1; seed <= 8; seed++) {
                reached = drop_with_fault(fault, nth, seed);
            }
        }
        cr_assert_gt(nth, 10); /* five segments: a removal and a sync each */
    }
}

Test(segment_log_prefix, a_log_that_starts_behind_its_newest_base_is_damaged)
{
    struct disk *disk = memory_disk_create(1);
    struct segment_log_options options = options_of(disk);
    struct segment_log *log = fixture_create(&options);
    fill(log, 30);
    segment_log_close(log);
    char path[DISK_PATH_MAX];
    fixture_segment_path(DIRECTORY, 1, path);
    cr_assert_eq(disk_unlink(disk, path), 0);
    const struct segment_log_point origin = fixture_origin();
    options.base = &origin;
    struct segment_log_problem problem = {0};
    cr_assert_eq(fixture_open_fails(&options, &problem), SEGMENT_LOG_DAMAGED);
    cr_assert_neq(problem.reason[0], 0);
    memory_disk_destroy(disk);
}

Test(segment_log_prefix, a_log_that_ends_before_its_newest_base_lost_its_position)
{
    struct disk *disk = memory_disk_create(1);
    struct segment_log_options options = options_of(disk);
    struct segment_log *log = fixture_create(&options);
    fill(log, 5);
    segment_log_close(log);
    const struct segment_log_point base = {.index = 9, .term = 1, .chain = 77, .next_offset = 27};
    options.base = &base;
    struct segment_log_problem problem = {0};
    cr_assert_eq(fixture_open_fails(&options, &problem), SEGMENT_LOG_LOST_POSITION);
    memory_disk_destroy(disk);
}

/* ---- installing ----------------------------------------------------------------------------------------------------- */

#define BASE_INDEX 1000u

static const struct segment_log_point far_base = {
    .index = BASE_INDEX, .term = 5, .chain = 0xabcdef, .next_offset = 5000, .timestamp_ms = 1};

/* Stands for the base snapshot: renamed into place between the birth and the end. False: the disk failed. */
static bool publish(struct disk *disk)
{
    struct disk_file *file;
    if (disk_open(disk, DIRECTORY "/base.tmp", DISK_CREATE_NEW, &file) != 0) return false;
    int error = disk_pwrite(file, "base", 4, 0);
    if (!error) error = disk_datasync(file);
    disk_close(file);
    if (!error) error = disk_rename(disk, DIRECTORY "/base.tmp", DIRECTORY "/base");
    if (!error) error = disk_sync_directory(disk, DIRECTORY);
    return error == 0;
}

static bool is_published(struct disk *disk)
{
    struct disk_file *file;
    if (disk_open(disk, DIRECTORY "/base", DISK_READ, &file) != 0) return false;
    disk_close(file);
    return true;
}

/* Run jobs up to the birth. False: the disk failed. */
static bool give_birth(struct segment_log *log)
{
    struct segment_log_job_result result = {.status = SEGMENT_LOG_OK};
    do {
        if (!fixture_run_job(log, false, &result)) return false;
    } while (result.status == SEGMENT_LOG_OK && !result.born);
    return result.status == SEGMENT_LOG_OK;
}

struct outcome {
    bool reached;
    uint64_t durable_index; /* reported */
    uint64_t chain;         /* of that entry */
};

static void note_durable(struct segment_log *log, struct outcome *outcome)
{
    outcome->durable_index = fixture_info(log).durable_index;
    struct segment_log_point point;
    cr_assert_eq(segment_log_point_at(log, outcome->durable_index, &point), SEGMENT_LOG_OK);
    outcome->chain = point.chain;
}

/* A short log, some of it not flushed yet, is replaced or, when `replace` is false, stays and gets more. */
static struct outcome run_install(struct disk *disk, struct segment_log *log, bool replace)
{
    struct outcome outcome = {.durable_index = 0};
    note_durable(log, &outcome);
    segment_log_install(log, &far_base);
    fixture_append(log, 2, 3, 300);
    if (!give_birth(log)) return outcome;
    fixture_append(log, 2, 3, 300);
    cr_assert_null(segment_log_next_job(log, true), "a write beside an unfinished install");
    if (replace && !publish(disk)) return outcome;
    segment_log_install_end(log, replace);
    note_durable(log, &outcome);
    if (!flush_or_stop(log)) return outcome;
    note_durable(log, &outcome);
    fixture_append(log, 6, 4, 1500);
    if (!flush_or_stop(log)) return outcome;
    note_durable(log, &outcome);
    return outcome;
}

static struct outcome install_with_fault(enum fault fault, uint64_t nth, uint64_t seed,
                                         bool replace)
{
    struct disk *disk = memory_disk_create(seed);
    struct segment_log_options options = options_of(disk);
    struct segment_log *log = fixture_create(&options);
    fill(log, 12);
    const uint64_t start = memory_disk_calls(disk);
    set_fault(disk, fault, nth);
    struct outcome outcome = run_install(disk, log, replace);
    outcome.reached = memory_disk_calls(disk) - start >= nth;
    segment_log_close(log);
    crash(disk, fault);

    const struct segment_log_point origin = fixture_origin();
    options.base = is_published(disk) ? &far_base : &origin;
    log = fixture_open(&options);
    const struct segment_log_info info = fixture_info(log);
    cr_assert_geq(info.last_index, outcome.durable_index);
    cr_assert_eq(info.base.index, is_published(disk) ? BASE_INDEX : 0u);
    cr_assert_eq(info.base.chain, options.base->chain);
    struct segment_log_point point;
    if (segment_log_point_at(log, outcome.durable_index, &point) == SEGMENT_LOG_OK) {
        if (outcome.durable_index > info.base.index || !is_published(disk)) {
            cr_assert_eq(point.chain, outcome.chain);
        }
    }
    fixture_check_all(log);
    fixture_append(log, 9, 3, 500);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    const struct segment_log_info later = fixture_info(log);
    segment_log_close(log);
    memory_disk_crash(disk, MEMORY_DISK_POWER);
    log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).last_chain, later.last_chain);
    fixture_check_all(log);
    segment_log_close(log);
    memory_disk_destroy(disk);
    return outcome;
}

static void install_with_all_faults(bool replace)
{
    for (enum fault fault = FAULT_ERROR; fault < FAULTS_COUNT; fault++) {
        uint64_t nth = 1;
        for (bool reached = true; reached; nth++) {
            for (uint64_t seed = 1; seed <= 8; seed++) {
                reached = install_with_fault(fault, nth, seed, replace).reached;
            }
        }
        cr_assert_gt(nth, 10);
    }
}

Test(segment_log_install, may_end_at_any_call_and_leaves_the_old_log_or_the_base)
{
    install_with_all_faults(true);
}

Test(segment_log_install, given_up_at_any_call_leaves_the_old_log)
{
    install_with_all_faults(false);
}

Test(segment_log_install, the_log_is_the_base_and_nothing_else)
{
    struct disk *disk = memory_disk_create(1);
    struct segment_log_options options = options_of(disk);
    struct segment_log *log = fixture_create(&options);
    fill(log, 12);
    const struct outcome outcome = run_install(disk, log, true);
    cr_assert_eq(outcome.durable_index, BASE_INDEX + 4u);
    const struct segment_log_info info = fixture_info(log);
    cr_assert_eq(info.base.index, BASE_INDEX);
    cr_assert_eq(info.base.next_offset, 5000);
    cr_assert_not(has_segment(disk, 1));
    fixture_check_all(log);
    segment_log_close(log);
    options.base = &far_base;
    log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).base.index, BASE_INDEX);
    cr_assert_eq(fixture_info(log).last_chain, info.last_chain);
    segment_log_close(log);
    memory_disk_destroy(disk);
}

/* A birth that nobody published, and one beside a log that has the entry: the log counts. */
static void born_and_killed(bool log_has_it)
{
    struct disk *disk = memory_disk_create(1);
    struct segment_log_options options = options_of(disk);
    struct segment_log *log = fixture_create(&options);
    fill(log, 12);
    struct segment_log_point base = last_point(log);
    if (!log_has_it) base = far_base;
    fill(log, 3);
    const uint64_t last_chain = fixture_info(log).last_chain;
    segment_log_install(log, &base);
    cr_assert(give_birth(log));
    segment_log_close(log);
    memory_disk_crash(disk, MEMORY_DISK_KILL);
    const struct segment_log_point origin = fixture_origin();
    options.base = log_has_it ? &base : &origin;
    log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).base.index, 0);
    cr_assert_eq(fixture_info(log).last_chain, last_chain);
    fill(log, 10); /* its next segment takes the name of the one that was born */
    fixture_check_all(log);
    segment_log_close(log);
    memory_disk_destroy(disk);
}

Test(segment_log_install, a_log_that_has_the_entry_of_the_base_is_kept_at_recovery)
{
    born_and_killed(true);
}

Test(segment_log_install, an_unpublished_base_changes_nothing_at_recovery)
{
    born_and_killed(false);
}

/* A log of twelve entries, and a base that replaces it published beside it; then its process is gone. */
static void publish_and_kill(const struct segment_log_options *options)
{
    struct segment_log *log = fixture_create(options);
    fill(log, 12);
    segment_log_install(log, &far_base);
    cr_assert(give_birth(log));
    segment_log_close(log);
    memory_disk_crash(options->disk, MEMORY_DISK_KILL);
}

Test(segment_log_install, a_published_base_replaces_a_log_that_cannot_be_read)
{
    struct disk *disk = memory_disk_create(1);
    struct segment_log_options options = options_of(disk);
    publish_and_kill(&options);
    char path[DISK_PATH_MAX];
    fixture_segment_path(DIRECTORY, 1, path);
    cr_assert_eq(memory_disk_flip(disk, path, 12288 + 40, 1), 0);
    options.base = &far_base;
    struct segment_log *log = fixture_open(&options);
    cr_assert_eq(fixture_info(log).base.index, BASE_INDEX);
    cr_assert_eq(fixture_info(log).last_index, BASE_INDEX);
    cr_assert_not(has_segment(disk, 1));
    segment_log_close(log);
    memory_disk_destroy(disk);
}

/* What was acknowledged behind the base stands in no other log. */
Test(segment_log_install, the_log_that_a_base_replaced_is_not_taken_again_when_that_base_rots)
{
    struct disk *disk = memory_disk_create(1);
    struct segment_log_options options = options_of(disk);
    publish_and_kill(&options);
    const struct segment_log_point origin = fixture_origin();
    struct segment_log *log;
    struct segment_log_problem problem;
    options.base = &origin;
    options.damaged_base_index = BASE_INDEX;
    cr_assert_eq(segment_log_open(&options, &log, &problem), SEGMENT_LOG_LOST_POSITION);
    cr_assert(has_segment(disk, 1), "nothing was changed");
    options.damaged_base_index = BASE_INDEX - 1u;
    cr_assert_eq(segment_log_open(&options, &log, &problem), SEGMENT_LOG_OK, "another one");
    segment_log_close(log);
    memory_disk_destroy(disk);
}

Test(segment_log_install, a_read_under_way_is_superseded)
{
    struct disk *disk = memory_disk_create(1);
    struct segment_log_options options = options_of(disk);
    struct segment_log *log = fixture_create(&options);
    fill(log, 12);
    struct segment_log_read_job *read = NULL;
    cr_assert_eq(segment_log_read_job_create(log, SEGMENT_LOG_BY_INDEX, 3, 12, 1000, &read),
                 SEGMENT_LOG_OK);
    (void)run_install(disk, log, true);
    segment_log_read_job_run(read);
    struct segment_log_view view;
    cr_assert_eq(segment_log_read_job_finish(log, read, &view, NULL), SEGMENT_LOG_SUPERSEDED);
    segment_log_close(log);
    memory_disk_destroy(disk);
}

Test(segment_log_install, a_full_disk_ends_it_and_changes_nothing)
{
    struct disk *disk = memory_disk_create(1);
    struct segment_log_options options = options_of(disk);
    struct segment_log *log = fixture_create(&options);
    fill(log, 12);
    memory_disk_set_capacity(disk, memory_disk_used(disk) + 4096);
    segment_log_install(log, &far_base);
    struct segment_log_job_result result;
    cr_assert(fixture_run_job(log, false, &result));
    cr_assert_eq(result.status, SEGMENT_LOG_FULL);
    cr_assert_not(result.born);
    memory_disk_set_capacity(disk, UINT64_MAX);
    segment_log_look_for_space(log);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    fill(log, 10);
    fixture_check_all(log);
    segment_log_close(log);
    memory_disk_destroy(disk);
}
