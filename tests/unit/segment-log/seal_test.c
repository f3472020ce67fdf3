/* Goal: a segment gets a footer when all of it is committed, and from then on a start reads the footer instead of the records
 * (PROTOCOL L8, L9). A footer that is damaged or void is no damage: the records are walked and it is written again. */
#include "log_fixture.h"

#include "counting_disk.h"
#include "memory_disk.h"
#include "segment_format.h"
#include "thinned.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

static struct disk *memory;
static struct disk *disk; /* counts what is read of it */
static struct segment_log_options options;
static struct segment_log *log_;

static void set_up(void)
{
    memory = memory_disk_create(1);
    disk = counting_disk_create(memory);
    options = fixture_options(disk, "/group");
    log_ = fixture_create(&options);
}

static void tear_down(void)
{
    segment_log_close(log_);
    counting_disk_destroy(disk);
    memory_disk_destroy(memory);
}

TestSuite(segment_log_seal, .init = set_up, .fini = tear_down);

static void append_flush(uint64_t term, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fixture_append(log_, term, 1, 1024);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    }
}

static void fill_segments(uint32_t segments)
{
    while (fixture_info(log_).segments_count < segments) {
        append_flush(1, 1);
    }
}

static void reopen(void)
{
    segment_log_close(log_);
    log_ = NULL;
    counting_disk_reset(disk);
    log_ = fixture_open(&options);
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

static void expect_same(const struct segment_log_info *before)
{
    struct segment_log_info after = fixture_info(log_);
    cr_assert_eq(after.base.index, before->base.index);
    cr_assert_eq(after.last_index, before->last_index);
    cr_assert_eq(after.last_chain, before->last_chain);
    cr_assert_eq(after.last_term, before->last_term);
    cr_assert_eq(after.next_offset, before->next_offset);
    cr_assert_eq(after.last_timestamp_ms, before->last_timestamp_ms);
    cr_assert_eq(after.segments_count, before->segments_count);
}

Test(segment_log_seal, a_segment_is_sealed_when_the_last_of_its_entries_is_committed_and_not_before)
{
    fill_segments(3);
    /* Where the first segment ends, told by nothing but the first index that lets it be sealed. */
    uint64_t index = 0;
    while (segment_log_sealed_count(log_) == 0) {
        cr_assert_lt(index, fixture_info(log_).last_index);
        cr_assert_eq(fixture_seal(log_, ++index), SEGMENT_LOG_OK);
    }
    segment_log_drop_prefix(log_, index - 1);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log_).base.index, 0, "it holds the entry");
    segment_log_drop_prefix(log_, index);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log_).base.index, index, "and none behind it");
}

Test(segment_log_seal, the_segment_that_is_written_is_never_sealed)
{
    fill_segments(2);
    append_flush(1, 3);
    cr_assert_eq(fixture_seal(log_, fixture_info(log_).last_index), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_sealed_count(log_), 1);
    reopen();
    cr_assert_eq(segment_log_sealed_count(log_), 1);
}

/* The last segment as if it had the next number, so that the one in front of it is missing and had no entries. */
static void leave_out_a_number(uint64_t sequence)
{
    char path[DISK_PATH_MAX], next_path[DISK_PATH_MAX];
    static uint8_t bytes[1024 * 1024];
    struct disk_file *file;
    struct segment_header header;
    struct segment_mark mark;
    const uint64_t count = file_bytes(sequence);
    const uint64_t seed = checksum64_group(&fixture_cluster, FIXTURE_GROUP);
    cr_assert_leq(count, sizeof bytes);
    fixture_segment_path("/group", sequence, path);
    fixture_segment_path("/group", sequence + 1, next_path);
    cr_assert_eq(disk_open(disk, path, DISK_READ, &file), 0);
    cr_assert_eq(disk_pread(file, bytes, count, 0), (ssize_t)count);
    disk_close(file);
    cr_assert_eq(segment_format__decode_header(bytes, &header), SEGMENT_FORMAT_OK);
    header.sequence++;
    segment_format__encode_header(&header, bytes);
    for (uint32_t i = 1; i <= 2; i++) {
        uint8_t *block = bytes + i * SEGMENT_BLOCK_BYTES;
        if (segment_format__decode_mark(block, seed, &mark) != SEGMENT_FORMAT_OK) continue;
        mark.segment++;
        segment_format__encode_mark(&mark, seed, block);
    }
    cr_assert_eq(disk_open(disk, next_path, DISK_CREATE_NEW, &file), 0);
    cr_assert_eq(disk_pwrite(file, bytes, count, 0), 0);
    cr_assert_eq(disk_datasync(file), 0);
    disk_close(file);
    cr_assert_eq(disk_unlink(disk, path), 0);
    cr_assert_eq(disk_sync_directory(disk, "/group"), 0);
}

Test(segment_log_seal, a_segment_without_entries_gets_no_footer)
{
    fill_segments(2);
    append_flush(1, 2);
    segment_log_close(log_);
    leave_out_a_number(2);
    log_ = fixture_open(&options);
    cr_assert_eq(fixture_info(log_).segments_count, 3);
    cr_assert_eq(fixture_info(log_).holes_count, 0, "nothing is missing");
    cr_assert_eq(fixture_seal(log_, fixture_info(log_).last_index), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_sealed_count(log_), 1);
    reopen();
    cr_assert_eq(segment_log_sealed_count(log_), 1);
    cr_assert_eq(fixture_info(log_).segments_count, 3);
    fixture_check_all(log_);
}

Test(segment_log_seal, a_start_reads_footers_and_the_last_segment_and_finds_the_same_log)
{
    fill_segments(20);
    struct segment_log_info before = fixture_info(log_);
    uint64_t bytes_before = segment_log_bytes(log_);
    cr_assert_eq(fixture_seal(log_, before.last_index), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_sealed_count(log_), 19);
    cr_assert_leq(segment_log_bytes(log_), bytes_before + 19 * 3 * 4096);
    uint64_t bytes_sealed = segment_log_bytes(log_);
    const uint64_t syncs_before = memory_disk_syncs(memory);
    reopen();
    expect_same(&before);
    cr_assert_eq(segment_log_sealed_count(log_), 19);
    cr_assert_eq(segment_log_bytes(log_), bytes_sealed);
    cr_assert_lt(memory_disk_syncs(memory) - syncs_before, 8, "those of the last segment");
    /* Header, two marks, trailer and the block in front of it, all of that twice, and the facts; the last segment as a whole. */
    uint64_t allowed = 19 * 11 * 4096 + 4 * file_bytes(20);
    cr_assert_leq(counting_disk_read_bytes(disk), allowed, "%" PRIu64 " bytes read, %" PRIu64,
                  counting_disk_read_bytes(disk), allowed);
    fixture_check_all(log_);
    append_flush(1, 40);
    fixture_check_all(log_);
}

struct gathered {
    uint64_t words[64];
    uint32_t count;
};

static void gather_run(void *data, uint64_t first, uint64_t count, uint64_t term)
{
    struct gathered *gathered = data;
    cr_assert_lt(gathered->count + 3u, 64);
    gathered->words[gathered->count++] = first;
    gathered->words[gathered->count++] = count;
    gathered->words[gathered->count++] = term;
}

static void gather_configuration(void *data, uint64_t index, const uint8_t *payload,
                                 uint32_t payload_bytes)
{
    struct gathered *gathered = data;
    cr_assert_lt(gathered->count + 3u, 64);
    gathered->words[gathered->count++] = index;
    gathered->words[gathered->count++] = payload_bytes;
    gathered->words[gathered->count++] = checksum64(payload, payload_bytes);
}

Test(segment_log_seal, terms_and_configurations_come_from_the_footers)
{
    for (uint64_t term = 1; term <= 8; term++) {
        cr_assert_eq(fixture_try_append(log_, term, ENTRY_NOOP, 0), SEGMENT_LOG_OK);
        cr_assert_eq(fixture_try_append(log_, term, ENTRY_CONFIG, (uint32_t)(10 * term)),
                     SEGMENT_LOG_OK);
        append_flush(term, 20);
    }
    struct gathered runs = {.count = 0}, runs_after = {.count = 0};
    segment_log_term_runs(log_, gather_run, &runs);
    struct gathered walked = {.count = 0}, sealed = {.count = 0};
    options.on_configuration = gather_configuration;
    options.on_configuration_data = &walked;
    reopen();
    cr_assert_eq(walked.count, 24);
    uint64_t last_index = fixture_info(log_).last_index;
    cr_assert_eq(fixture_seal(log_, last_index), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_sealed_count(log_), fixture_info(log_).segments_count - 1);
    options.on_configuration_data = &sealed;
    reopen();
    cr_assert_eq(sealed.count, walked.count);
    cr_assert_eq(memcmp(sealed.words, walked.words, sizeof sealed.words), 0);
    segment_log_term_runs(log_, gather_run, &runs_after);
    cr_assert_eq(runs_after.count, runs.count);
    cr_assert_eq(memcmp(runs_after.words, runs.words, sizeof runs.words), 0);
}

Test(segment_log_seal, a_lookup_in_a_sealed_segment_reads_little_of_it)
{
    segment_log_close(log_);
    cr_assert_eq(segment_log_remove(disk, "/group"), 0);
    options.segment_bytes_max = 4u * 1024u * 1024u;
    log_ = fixture_create(&options);
    for (int i = 0; i < 40; i++) {
        fixture_append(log_, 1, 100, 1024);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    }
    cr_assert_eq(fixture_info(log_).segments_count, 2);
    cr_assert_eq(fixture_seal(log_, fixture_info(log_).last_index), SEGMENT_LOG_OK);
    reopen();
    cr_assert_eq(segment_log_sealed_count(log_), 1);
    static const struct {
        enum segment_log_key key;
        uint64_t value;
    } wanted[] = {
        {SEGMENT_LOG_BY_INDEX, 3333}, {SEGMENT_LOG_BY_OFFSET, 3 * 3332 + 1},
        {SEGMENT_LOG_BY_TIME, 33321}, /* stamps are 10 ms apart */
        {SEGMENT_LOG_BY_INDEX, 1},    {SEGMENT_LOG_BY_OFFSET, 0},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct segment_log_view view;
        struct segment_log_problem problem;
        counting_disk_reset(disk);
        cr_assert_eq(fixture_read_files(log_, wanted[i].key, wanted[i].value,
                                        fixture_info(log_).last_index, 100, &view, &problem),
                     SEGMENT_LOG_OK);
        cr_assert_eq(view.first_index, i < 3 ? 3333 : 1);
        segment_log_view_release(&view);
        /* A window or two of the scan, and the index. */
        cr_assert_leq(counting_disk_read_bytes(disk), 2u * 262144u + 65u * 56u);
    }
}

/* Six sealed segments: more than have their index in memory. */
Test(segment_log_seal, indexes_in_memory_are_of_the_segments_that_were_looked_into_last)
{
    fill_segments(7);
    uint64_t last_index = fixture_info(log_).last_index;
    cr_assert_eq(fixture_seal(log_, last_index), SEGMENT_LOG_OK);
    uint64_t reads[14];
    static const uint32_t order[14] = {0, 1, 2, 3, 0, 1, 2, 3, 4, 1, 2, 3, 0, 5};
    for (uint32_t i = 0; i < 14; i++) {
        uint64_t index = 1 + order[i] * ((last_index - 1) / 6);
        struct segment_log_view view;
        struct segment_log_problem problem;
        counting_disk_reset(disk);
        cr_assert_eq(
            fixture_read_files(log_, SEGMENT_LOG_BY_INDEX, index, last_index, 10, &view, &problem),
            SEGMENT_LOG_OK);
        cr_assert_eq(view.first_index, index);
        segment_log_view_release(&view);
        reads[i] = counting_disk_reads(disk);
    }
    /* One read more when the index comes first. 4 takes the place of 0, and 0 that of 4. */
    static const uint64_t loads[14] = {1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1};
    for (uint32_t i = 0; i < 14; i++) {
        cr_assert_eq(reads[i], 1 + loads[i], "look %u: %" PRIu64 " reads", i, reads[i]);
    }
}

/* Every block of the footer in turn, and some bytes in each. */
Test(segment_log_seal, a_damaged_footer_is_no_damage_and_is_written_again)
{
    fill_segments(3);
    cr_assert_eq(fixture_try_append(log_, 1, ENTRY_CONFIG, 300), SEGMENT_LOG_OK);
    fill_segments(4);
    struct segment_log_info before = fixture_info(log_);
    cr_assert_eq(fixture_seal(log_, before.last_index), SEGMENT_LOG_OK);
    struct gathered expected = {.count = 0};
    options.on_configuration = gather_configuration;
    options.on_configuration_data = &expected;
    reopen();
    cr_assert_eq(expected.count, 3);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 3, path);
    uint64_t size = file_bytes(3);
    /* Sparse index, facts, trailer: the three last blocks, the zeros behind their fields now and then. A start does not look at
     * the index; the first lookup does. */
    for (uint64_t i = 0; i < 3 * 408; i++) {
        if (!thinned_takes(0, i)) continue;
        uint64_t block = size - 4096 * (3 - i / 408), byte = i % 408;
        uint64_t pos = block + (byte < 400 ? byte : 512 * (byte - 400) + 511);
        cr_assert_eq(memory_disk_flip(memory, path, pos, 0x10), 0);
        struct gathered found = {.count = 0};
        options.on_configuration_data = &found;
        reopen();
        cr_assert_eq(segment_log_sealed_count(log_), i < 408 ? 3 : 2, "flipped at %" PRIu64, pos);
        expect_same(&before);
        cr_assert_eq(memcmp(&found, &expected, sizeof found), 0, "flipped at %" PRIu64, pos);
        fixture_check_all(log_);
        cr_assert_eq(fixture_seal(log_, before.last_index), SEGMENT_LOG_OK);
        cr_assert_eq(segment_log_sealed_count(log_), 3, "flipped at %" PRIu64, pos);
        fixture_check_all(log_);
        struct segment_log_walk_summary summary;
        struct segment_log_problem problem;
        cr_assert_eq(segment_log_walk(disk, "/group", NULL, NULL, NULL, &summary, &problem),
                     SEGMENT_LOG_OK);
        cr_assert_eq(summary.problems_count, 0);
    }
}

Test(segment_log_seal, a_sparse_index_that_rots_while_the_log_is_open_only_makes_reads_slower)
{
    fill_segments(3);
    struct segment_log_info before = fixture_info(log_);
    cr_assert_eq(fixture_seal(log_, before.last_index), SEGMENT_LOG_OK);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 1, path);
    cr_assert_eq(memory_disk_flip(memory, path, file_bytes(1) - 3 * 4096 + 5, 1), 0);
    struct segment_log_view view;
    struct segment_log_problem problem;
    cr_assert_eq(
        fixture_read_files(log_, SEGMENT_LOG_BY_INDEX, 9, before.last_index, 10, &view, &problem),
        SEGMENT_LOG_OK);
    cr_assert_eq(view.first_index, 9);
    segment_log_view_release(&view);
    cr_assert_eq(segment_log_sealed_count(log_), 1, "seen, and to be written again");
    cr_assert_eq(fixture_seal(log_, 0), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_sealed_count(log_), 2);
    reopen();
    cr_assert_eq(segment_log_sealed_count(log_), 2);
}

Test(segment_log_seal, a_truncation_into_a_sealed_segment_makes_its_footer_void)
{
    fill_segments(4);
    cr_assert_eq(fixture_seal(log_, fixture_info(log_).last_index), SEGMENT_LOG_OK);
    /* Not for committed entries; but a footer must never outlive what it is about. */
    segment_log_truncate(log_, 60);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log_).segments_count, 2);
    cr_assert_eq(segment_log_sealed_count(log_), 1);
    struct segment_log_info cut = fixture_info(log_);
    reopen();
    expect_same(&cut);
    fixture_check_all(log_);
    append_flush(2, 60);
    struct segment_log_info grown = fixture_info(log_);
    cr_assert_geq(grown.segments_count, 3);
    reopen();
    expect_same(&grown);
    cr_assert_eq(segment_log_sealed_count(log_), 1);
    cr_assert_eq(fixture_seal(log_, grown.last_index), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_sealed_count(log_), grown.segments_count - 1);
    reopen();
    expect_same(&grown);
    fixture_check_all(log_);
}

static void begin_large_files(void)
{
    options.segment_bytes_max = 1u << 20;
    segment_log_close(log_);
    cr_assert_eq(segment_log_remove(disk, "/group"), 0);
    log_ = fixture_create(&options);
}

/* Entries of `bytes` and more, no two of which in a row are equally long, so that places differ; then the file ends. */
static void fill_file(uint64_t term, uint32_t count, uint32_t bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        fixture_append(log_, term, 1, bytes + i % 7 * 100);
        cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    }
    (void)segment_log_roll(log_);
}

static void expect_to_read(uint64_t last_index)
{
    for (uint64_t i = 1; i <= last_index; i++) {
        struct segment_log_view view;
        struct segment_log_problem problem;
        cr_assert_eq(fixture_read_files(log_, SEGMENT_LOG_BY_INDEX, i, i, 100, &view, &problem),
                     SEGMENT_LOG_OK, "entry %" PRIu64 ": %s", i, problem.reason);
        segment_log_view_release(&view);
    }
}

/* A read loads the sparse index of the segment in between: it is of records that are gone, and of no use when there are others. */
Test(segment_log_seal, an_index_that_a_read_loads_beside_a_truncation_is_forgotten)
{
    begin_large_files();
    fill_file(1, 100, 4000);
    append_flush(1, 2);
    cr_assert_eq(fixture_seal(log_, 100), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_sealed_count(log_), 1);
    segment_log_truncate(log_, 31);
    struct segment_log_read_job *read;
    cr_assert_eq(segment_log_read_job_create(log_, SEGMENT_LOG_BY_INDEX, 20, 20, 100, &read),
                 SEGMENT_LOG_OK);
    struct segment_log_job *job = segment_log_next_job(log_, false);
    cr_assert_not_null(job);
    segment_log_read_job_run(read);
    struct segment_log_view view;
    struct segment_log_problem problem;
    cr_assert_eq(segment_log_read_job_finish(log_, read, &view, &problem), SEGMENT_LOG_OK);
    segment_log_view_release(&view);
    segment_log_job_run(job);
    struct segment_log_job_result result;
    segment_log_job_finish(log_, job, &result);
    cr_assert_eq(result.status, SEGMENT_LOG_OK);
    fill_file(2, 60, 5000);
    append_flush(2, 2);
    cr_assert_eq(fixture_seal(log_, 90), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_sealed_count(log_), 1);
    expect_to_read(90);
}

/* A read of a later file, which the cut removes, and which another one takes the place of. */
Test(segment_log_seal, an_index_of_a_file_that_a_truncation_removes_is_forgotten)
{
    begin_large_files();
    fill_file(1, 100, 4000);
    fill_file(1, 100, 4000);
    append_flush(1, 2);
    cr_assert_eq(fixture_seal(log_, 200), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_sealed_count(log_), 2);
    struct segment_log_read_job *read;
    cr_assert_eq(segment_log_read_job_create(log_, SEGMENT_LOG_BY_INDEX, 150, 150, 100, &read),
                 SEGMENT_LOG_OK);
    segment_log_read_job_run(read);
    segment_log_truncate(log_, 31);
    struct segment_log_job *job = segment_log_next_job(log_, false);
    cr_assert_not_null(job);
    struct segment_log_view view;
    struct segment_log_problem problem;
    cr_assert_eq(segment_log_read_job_finish(log_, read, &view, &problem), SEGMENT_LOG_SUPERSEDED);
    segment_log_job_run(job);
    struct segment_log_job_result result;
    segment_log_job_finish(log_, job, &result);
    cr_assert_eq(result.status, SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log_).segments_count, 1);
    (void)segment_log_roll(log_);
    fill_file(2, 170, 5000);
    append_flush(2, 2);
    cr_assert_eq(fixture_seal(log_, 200), SEGMENT_LOG_OK);
    expect_to_read(200);
    cr_assert_eq(fixture_info(log_).holes_count, 0);
}

/* The marks of a truncation speak, the rest of it did not happen: the old footer still ends the file. */
Test(segment_log_seal, a_footer_above_a_lowered_mark_is_not_believed)
{
    fill_segments(3);
    cr_assert_eq(fixture_seal(log_, fixture_info(log_).last_index), SEGMENT_LOG_OK);
    segment_log_truncate(log_, 10);
    struct segment_log_job *job = segment_log_next_job(log_, false);
    cr_assert_not_null(job);
    memory_disk_stop_at(memory, 5); /* two marks, each synced */
    segment_log_job_run(job);
    struct segment_log_job_result result;
    segment_log_job_finish(log_, job, &result);
    cr_assert_eq(result.status, SEGMENT_LOG_IO);
    segment_log_close(log_);
    memory_disk_crash(memory, MEMORY_DISK_KILL);
    log_ = fixture_open(&options);
    cr_assert_eq(segment_log_sealed_count(log_), 0);
    cr_assert_eq(fixture_info(log_).segments_count, 1);
    fixture_check_all(log_);
}

Test(segment_log_seal, a_truncation_waits_for_the_piece_under_way_and_what_was_begun_is_given_up)
{
    fill_segments(3);
    segment_log_committed(log_, fixture_info(log_).last_index);
    struct segment_log_seal_job *seal = segment_log_next_seal_job(log_);
    cr_assert_not_null(seal);
    segment_log_truncate(log_, 20);
    cr_assert_null(segment_log_next_job(log_, true), "it would write into the same file");
    segment_log_seal_job_run(seal);
    cr_assert_eq(segment_log_seal_job_finish(log_, seal, NULL), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log_).segments_count, 1);
    cr_assert_eq(segment_log_sealed_count(log_), 0);
    cr_assert_null(segment_log_next_seal_job(log_));
    append_flush(2, 5);
    reopen();
    fixture_check_all(log_);
}

/* It is committed as a whole, and open again when the truncation of what was behind it has ended. */
Test(segment_log_seal, the_segment_that_a_truncation_will_go_on_with_is_not_sealed_meanwhile)
{
    fill_segments(2);
    uint64_t end = 0; /* of the first segment */
    while (segment_log_sealed_count(log_) == 0) {
        cr_assert_eq(fixture_seal(log_, ++end), SEGMENT_LOG_OK);
    }
    segment_log_close(log_);
    log_ = NULL;
    tear_down();
    set_up();
    fill_segments(2);
    append_flush(1, 3);
    segment_log_truncate(log_, end + 1u);
    struct segment_log_job *cut = segment_log_next_job(log_, false);
    cr_assert_not_null(cut);
    segment_log_committed(log_, end);
    cr_assert_null(segment_log_next_seal_job(log_), "it would stop in front of what follows");
    struct segment_log_job_result result;
    segment_log_job_run(cut);
    segment_log_job_finish(log_, cut, &result);
    cr_assert_eq(result.status, SEGMENT_LOG_OK);
    append_flush(2, 5);
    reopen();
    fixture_check_all(log_);
}

Test(segment_log_seal, a_write_goes_on_beside_it)
{
    fill_segments(3);
    segment_log_committed(log_, fixture_info(log_).last_index);
    struct segment_log_seal_job *seal = segment_log_next_seal_job(log_);
    append_flush(1, 100); /* rolls as well */
    segment_log_drop_prefix(log_, fixture_info(log_).durable_index - 60);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    segment_log_seal_job_run(seal);
    cr_assert_eq(segment_log_seal_job_finish(log_, seal, NULL), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_seal(log_, fixture_info(log_).last_index), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_sealed_count(log_), fixture_info(log_).segments_count - 1);
    reopen();
    cr_assert_eq(segment_log_sealed_count(log_), fixture_info(log_).segments_count - 1);
    fixture_check_all(log_);
}

Test(segment_log_seal, a_damaged_record_is_found_and_named_and_gets_no_footer)
{
    fill_segments(3);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 1, path);
    cr_assert_eq(memory_disk_flip(memory, path, 12288 + 5 * 1536 + 100, 1), 0);
    segment_log_committed(log_, fixture_info(log_).last_index);
    struct segment_log_seal_job *seal = segment_log_next_seal_job(log_);
    segment_log_seal_job_run(seal);
    struct segment_log_problem problem = {0};
    cr_assert_eq(segment_log_seal_job_finish(log_, seal, &problem), SEGMENT_LOG_DAMAGED);
    cr_assert_str_eq(problem.path, path);
    cr_assert_eq(problem.index, 6);
    cr_assert_eq(problem.pos, 12288 + 5 * 1536);
    /* The others are sealed; this one is not tried in a circle. */
    cr_assert_eq(fixture_seal(log_, 0), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_sealed_count(log_), 1);
}

Test(segment_log_seal, a_disk_without_room_leaves_the_segment_as_it_is_until_there_is_room)
{
    options.extend_bytes = 0; /* nothing written ahead that the footer could take the place of */
    fill_segments(3);
    struct segment_log_info before = fixture_info(log_);
    memory_disk_set_capacity(memory, memory_disk_used(memory));
    cr_assert_eq(fixture_seal(log_, before.last_index), SEGMENT_LOG_FULL);
    cr_assert_null(segment_log_next_seal_job(log_), "not in a circle");
    memory_disk_set_capacity(memory, UINT64_MAX);
    reopen();
    expect_same(&before);
    cr_assert_eq(fixture_seal(log_, before.last_index), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_sealed_count(log_), 2);
    fixture_check_all(log_);
}

Test(segment_log_seal, a_failed_sync_of_a_footer_breaks_the_log)
{
    fill_segments(3);
    memory_disk_fail_sync(memory, 1);
    cr_assert_eq(fixture_seal(log_, fixture_info(log_).last_index), SEGMENT_LOG_IO);
    cr_assert_null(segment_log_next_seal_job(log_));
    uint64_t index;
    struct segment_log_entry entry = {.type = ENTRY_NOOP, .timestamp_ms = INT64_MAX};
    cr_assert_eq(segment_log_append(log_, 9, &entry, 1, &index), SEGMENT_LOG_IO);
}

Test(segment_log_seal, a_log_that_breaks_during_a_piece_seals_nothing)
{
    fill_segments(3);
    segment_log_committed(log_, fixture_info(log_).last_index);
    struct segment_log_seal_job *seal = segment_log_next_seal_job(log_);
    fixture_append(log_, 1, 1, 1024);
    memory_disk_fail_sync(memory, 1);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_IO);
    cr_assert_eq(segment_log_seal_job_finish(log_, seal, NULL), SEGMENT_LOG_IO);
    cr_assert_eq(segment_log_sealed_count(log_), 0);
}

Test(segment_log_seal, the_base_that_a_log_must_hold_is_found_inside_a_sealed_segment)
{
    fill_segments(3);
    struct segment_log_point inside;
    struct segment_log_info info = fixture_info(log_);
    uint64_t index = info.cached_from_index;
    cr_assert_eq(segment_log_point_at(log_, index, &inside), SEGMENT_LOG_OK);
    append_flush(1, 60);
    cr_assert_eq(fixture_seal(log_, fixture_info(log_).last_index), SEGMENT_LOG_OK);
    options.base = &inside;
    reopen();
    cr_assert_eq(segment_log_sealed_count(log_), fixture_info(log_).segments_count - 1);
    segment_log_close(log_);
    log_ = NULL;
    inside.chain ^= 1;
    struct segment_log_problem problem;
    cr_assert_eq(fixture_open_fails(&options, &problem), SEGMENT_LOG_DAMAGED);
}

Test(segment_log_seal, a_lost_successor_is_a_lost_position_also_behind_a_footer)
{
    fill_segments(3);
    cr_assert_eq(fixture_seal(log_, fixture_info(log_).last_index), SEGMENT_LOG_OK);
    segment_log_close(log_);
    log_ = NULL;
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 3, path);
    cr_assert_eq(disk_unlink(disk, path), 0);
    struct segment_log_problem problem;
    cr_assert_eq(fixture_open_fails(&options, &problem), SEGMENT_LOG_LOST_POSITION);
}

/* The header says that the segment was born behind a base, which nothing else does; the footer's hash is over it, too. */
Test(segment_log_seal, a_header_that_is_made_again_gets_a_new_footer)
{
    struct segment_log_job_result result;
    struct segment_log_walk_summary summary;
    struct segment_log_problem problem;
    char path[DISK_PATH_MAX];
    append_flush(1, 3);
    struct segment_log_point base = {
        .index = 100,
        .term = 3,
        .chain = 77,
        .next_offset = 300,
        .timestamp_ms = fixture_info(log_).last_timestamp_ms,
    };
    segment_log_install(log_, &base);
    cr_assert(fixture_run_job(log_, false, &result));
    segment_log_install_end(log_, true);
    cr_assert_eq(fixture_flush(log_), SEGMENT_LOG_OK);
    append_flush(4, 3);
    segment_log_roll(log_);
    append_flush(4, 1);
    cr_assert_eq(fixture_seal(log_, fixture_info(log_).last_index), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_sealed_count(log_), 1);
    const struct segment_log_info before = fixture_info(log_);
    fixture_segment_path("/group", 2, path);
    cr_assert_eq(memory_disk_flip(memory, path, 20, 1), 0);
    options.base = &base;
    reopen();
    expect_same(&before);
    cr_assert_eq(fixture_seal(log_, before.last_index), SEGMENT_LOG_OK);
    cr_assert_eq(segment_log_sealed_count(log_), 1);
    cr_assert_eq(segment_log_walk(disk, "/group", NULL, NULL, NULL, &summary, &problem),
                 SEGMENT_LOG_OK);
    cr_assert_eq(summary.problems_count, 0);
    reopen();
    cr_assert_eq(segment_log_sealed_count(log_), 1);
}

/* ---- what a start by footers does not see ------------------------------------------------------------------------------ */

/* A footer stands for records that nobody looks at: of a file whose header is lost it must not do so at the next start either. */
Test(segment_log_seal, damage_that_a_start_saw_is_not_hidden_from_the_next_one_by_a_footer)
{
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 1, path);
    fill_segments(3);
    const struct segment_log_info before = fixture_info(log_);
    cr_assert_eq(fixture_seal(log_, before.last_index), SEGMENT_LOG_OK);
    segment_log_close(log_);
    cr_assert_eq(memory_disk_flip(memory, path, 100, 1), 0);
    cr_assert_eq(memory_disk_flip(memory, path, FIXTURE_DATA_POS + 200, 1), 0);
    log_ = fixture_open(&options);
    expect_same(&before);
    cr_assert_eq(fixture_info(log_).holes_count, 1);
    reopen();
    expect_same(&before);
    cr_assert_eq(fixture_info(log_).holes_count, 1);
    cr_assert_eq(segment_log_sealed_count(log_), 1, "the other one");
}
