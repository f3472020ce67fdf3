/* Goal: whatever rots in the files of an open log is found by one pass of the scrubber, or by whoever reads it; headers and
 * marks are written again, records become holes that can be repaired, and nothing that is whole is ever complained about.
 * Method: damage at every place of a log that is open, sealed or not, also while it is written. */
#include "log_fixture.h"

#include "memory_disk.h"
#include "thinned.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK        4096u
#define ENTRIES_MAX  256u
#define SEGMENTS_MAX 16u
#define PIECE_BYTES  3000u

static struct disk *disk;
static struct segment_log_options options;
static struct segment_log_info info;
static uint64_t chains[ENTRIES_MAX];

static void set_up(void)
{
    disk = memory_disk_create(1);
    options = fixture_small_options(disk, "/group");
    struct segment_log *log = fixture_create(&options);
    for (uint32_t i = 0; i < 50; i++) {
        fixture_append(log, 1 + i / 20, 1 + i % 3, 60 + 37 * (i % 7));
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
    info = fixture_note_chains(log, chains, ENTRIES_MAX);
    segment_log_close(log);
}

static void tear_down(void)
{
    memory_disk_destroy(disk);
}

TestSuite(segment_log_scrub, .init = set_up, .fini = tear_down, .timeout = 900);

static void finish_seal(struct segment_log *log, struct segment_log_seal_job *job)
{
    struct segment_log_problem problem;
    segment_log_seal_job_run(job);
    cr_assert_eq(segment_log_seal_job_finish(log, job, &problem), SEGMENT_LOG_OK);
}

static void seal(struct segment_log *log)
{
    segment_log_committed(log, fixture_info(log).last_index);
    struct segment_log_seal_job *job;
    while ((job = segment_log_next_seal_job(log))) {
        finish_seal(log, job);
    }
}

static uint8_t *read_file(struct disk *from, uint64_t sequence, size_t *ret_bytes)
{
    char path[DISK_PATH_MAX];
    struct disk_file *file;
    uint64_t size;
    fixture_segment_path("/group", sequence, path);
    cr_assert_eq(disk_open(from, path, DISK_READ, &file), 0);
    cr_assert_eq(disk_size(file, &size), 0);
    uint8_t *bytes = malloc(size + 1);
    cr_assert_eq(disk_pread(file, bytes, size, 0), (ssize_t)size);
    disk_close(file);
    *ret_bytes = size;
    return bytes;
}

/* One pass, with all the write jobs that it asks for. Returns how many holes it told of. */
static uint32_t scrub(struct segment_log *log)
{
    struct segment_log_scrub_info scrub;
    uint32_t found = 0;
    segment_log_scrub_begin(log);
    for (int i = 0; i < 100000; i++) {
        struct segment_log_scrub_job *job = segment_log_scrub_next_job(log, PIECE_BYTES);
        struct segment_log_seal_job *seal_job;
        segment_log_scrub_info(log, &scrub);
        if (!scrub.active && scrub.footers_owed == 0) return found;
        if (job) {
            uint64_t bytes;
            struct segment_log_problem problem = {0};
            segment_log_scrub_job_run(job);
            enum segment_log_status status =
                segment_log_scrub_job_finish(log, job, &bytes, &problem);
            cr_assert(status == SEGMENT_LOG_OK || status == SEGMENT_LOG_DAMAGED, "%s",
                      segment_log_status_text(status));
            cr_assert_leq(bytes, PIECE_BYTES + FIXTURE_DATA_POS + 1024);
            if (status != SEGMENT_LOG_DAMAGED) continue;
            cr_assert_neq(problem.last_index, 0);
            found++;
        } else if ((seal_job = segment_log_next_seal_job(log))) {
            finish_seal(log, seal_job);
        } else {
            struct segment_log_job_result result;
            cr_assert(fixture_run_job(log, false, &result), "the pass waits for nothing");
            cr_assert_eq(result.status, SEGMENT_LOG_OK);
        }
    }
    cr_assert_fail("the pass never ends");
    return found;
}

static void repair_all(struct segment_log *log, struct segment_log *peer)
{
    struct segment_log_hole hole;
    while (segment_log_hole_from(log, 0, &hole)) {
        cr_assert_eq(segment_log_repair_begin(log, 0, NULL, NULL), SEGMENT_LOG_OK);
        for (;;) {
            struct segment_log_repair_info at;
            segment_log_repair_info(log, &at);
            if (at.state == SEGMENT_LOG_REPAIR_ENDED) {
                cr_assert_eq(at.status, SEGMENT_LOG_OK, "%s", at.problem.reason);
                break;
            }
            struct segment_log_repair_job *piece = segment_log_repair_next_job(log);
            if (piece) {
                segment_log_repair_job_run(piece);
                segment_log_repair_job_finish(log, piece);
            } else if (at.state == SEGMENT_LOG_REPAIR_WANTS) {
                struct segment_log_view view;
                struct segment_log_problem problem;
                struct segment_log_read_job *read;
                cr_assert_eq(segment_log_repair_read_create(peer, at.want_before.index,
                                                            at.want_before.chain, at.want_last,
                                                            4000, &read),
                             SEGMENT_LOG_OK);
                segment_log_read_job_run(read);
                cr_assert_eq(segment_log_read_job_finish(peer, read, &view, &problem),
                             SEGMENT_LOG_OK);
                cr_assert_eq(
                    segment_log_repair_supply(log, view.parts[0].bytes, view.parts[0].bytes_count),
                    SEGMENT_LOG_OK);
                segment_log_view_release(&view);
            } else {
                struct segment_log_job_result result;
                cr_assert(fixture_run_job(log, false, &result));
                cr_assert_eq(result.status, SEGMENT_LOG_OK);
            }
        }
        segment_log_repair_end(log);
    }
}

Test(segment_log_scrub, a_pass_over_a_whole_log_finds_nothing_and_changes_nothing)
{
    for (int sealed = 0; sealed < 2; sealed++) {
        struct disk *copy = memory_disk_clone(disk, 1);
        struct segment_log *log = fixture_open_on(&options, copy);
        if (sealed) seal(log);
        size_t bytes[SEGMENTS_MAX];
        uint8_t *before[SEGMENTS_MAX];
        for (uint64_t i = 1; i <= info.segments_count; i++) {
            before[i] = read_file(copy, i, &bytes[i]);
        }
        cr_assert_eq(scrub(log), 0);
        struct segment_log_scrub_info after;
        segment_log_scrub_info(log, &after);
        cr_assert_eq(after.passes_total, 1);
        cr_assert_eq(after.holes_found_total, 0);
        cr_assert_eq(after.blocks_mended_total, 0);
        cr_assert_geq(after.bytes_done + FIXTURE_DATA_POS, after.bytes_total);
        for (uint64_t i = 1; i <= info.segments_count; i++) {
            size_t now_bytes;
            uint8_t *now = read_file(copy, i, &now_bytes);
            cr_assert_eq(now_bytes, bytes[i]);
            cr_assert_eq(memcmp(now, before[i], now_bytes), 0);
            free(now);
            free(before[i]);
        }
        segment_log_close(log);
        memory_disk_destroy(copy);
    }
}

/* Footers are rebuilt by sealing again. */
static bool is_footer(const uint8_t *bytes, size_t count, size_t pos)
{
    return count > BLOCK && memcmp(bytes + count - BLOCK, "RMQF", 4) == 0 &&
           pos >= FIXTURE_DATA_POS + 8192;
}

static void find_flip(uint64_t sequence, size_t pos, bool sealed, struct segment_log *peer,
                      uint32_t *holes, uint32_t *mended)
{
    struct disk *damaged = memory_disk_clone(disk, pos);
    struct segment_log *log = fixture_open_on(&options, damaged);
    if (sealed) seal(log);
    size_t bytes;
    uint8_t *before = read_file(damaged, sequence, &bytes);
    if (pos >= bytes || (pos >= FIXTURE_DATA_POS && before[pos] == 0)) goto out;
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", sequence, path);
    cr_assert_eq(memory_disk_flip(damaged, path, pos, 32), 0);
    uint32_t found = scrub(log);
    struct segment_log_scrub_info after;
    segment_log_scrub_info(log, &after);
    if (pos < FIXTURE_DATA_POS) {
        size_t now_bytes;
        uint8_t *now = read_file(damaged, sequence, &now_bytes);
        cr_assert_eq(found, 0);
        /* A mark that is written again gets a new sequence. */
        if (pos < BLOCK) cr_assert_eq(now[pos], before[pos]);
        /* Behind what the mark's checksum covers nothing is looked at. */
        if (pos % BLOCK < 80 || pos < BLOCK) cr_assert_gt(after.blocks_mended_total, 0);
        *mended += after.blocks_mended_total > 0;
        free(now);
    } else if (!is_footer(before, bytes, pos)) {
        cr_assert_eq(found, 1, "segment %" PRIu64 " byte %zu", sequence, pos);
        cr_assert_eq(fixture_check_beside_holes(log, chains), 1);
        (*holes)++;
    }
    repair_all(log, peer);
    seal(log);
    cr_assert_eq(scrub(log), 0);
    cr_assert_eq(fixture_check_beside_holes(log, chains), 0);
    segment_log_close(log);
    memory_disk_crash(damaged, MEMORY_DISK_POWER);
    log = fixture_open_on(&options, damaged);
    cr_assert_eq(fixture_info(log).last_chain, info.last_chain);
    cr_assert_eq(fixture_info(log).holes_count, 0);
out:
    segment_log_close(log);
    free(before);
    memory_disk_destroy(damaged);
}

Test(segment_log_scrub, every_flipped_byte_of_an_open_log_is_found_and_mended)
{
    struct segment_log *peer = fixture_open_on(&options, disk);
    for (int sealed = 0; sealed < 2; sealed++) {
        uint32_t holes = 0, mended = 0;
        for (uint64_t sequence = 1; sequence <= info.segments_count; sequence++) {
            uint64_t point = 0;
            for (size_t pos = 0; pos < 3 * BLOCK; pos += pos % BLOCK < 100 ? 7 : 501) {
                if (!thinned_takes(sequence, point++)) continue;
                find_flip(sequence, pos, sealed, peer, &holes, &mended);
            }
            for (size_t pos = FIXTURE_DATA_POS; pos < FIXTURE_DATA_POS + 8192 + 3 * BLOCK;
                 pos += 61) {
                if (!thinned_takes(sequence, point++)) continue;
                find_flip(sequence, pos, sealed, peer, &holes, &mended);
            }
        }
        cr_assert_gt(holes, thinned_least(100));
        cr_assert_gt(mended, thinned_least(50));
    }
    segment_log_close(peer);
}

/* What people are told by `log verify`. */
static void expect_clean_files(struct disk *on, uint64_t sequence, size_t pos)
{
    struct segment_log_walk_summary summary;
    struct segment_log_problem problem;
    cr_assert_eq(segment_log_walk(on, "/group", NULL, NULL, NULL, &summary, &problem),
                 SEGMENT_LOG_OK);
    cr_assert_eq(summary.problems_count, 0, "byte %zu of segment %" PRIu64, pos, sequence);
    cr_assert_geq(summary.sealed_count + 1, info.segments_count, "byte %zu of segment %" PRIu64,
                  pos, sequence);
}

/* Goal: a flip in what is neither record, header nor mark leaves no trace behind a pass: the footer is written again before
 * the pass is over, and what stands between records means nothing to anybody. */
Test(segment_log_scrub, behind_a_pass_no_byte_of_footers_and_gaps_is_complained_about)
{
    uint32_t footers = 0, gaps = 0;
    for (uint64_t sequence = 1; sequence < info.segments_count; sequence++) {
        for (size_t pos = FIXTURE_DATA_POS; pos < FIXTURE_DATA_POS + 8192 + 3 * BLOCK; pos += 23) {
            if (!thinned_takes(sequence, pos / 23)) continue;
            struct disk *damaged = memory_disk_clone(disk, pos);
            struct segment_log *log = fixture_open_on(&options, damaged);
            seal(log);
            size_t bytes;
            uint8_t *before = read_file(damaged, sequence, &bytes);
            const bool in_footer = pos < bytes && is_footer(before, bytes, pos);
            if (pos < bytes && (in_footer || before[pos] == 0)) {
                char path[DISK_PATH_MAX];
                fixture_segment_path("/group", sequence, path);
                cr_assert_eq(memory_disk_flip(damaged, path, pos, 32), 0);
                struct segment_log_scrub_info after;
                const bool in_record = scrub(log) > 0;
                segment_log_scrub_info(log, &after);
                if (!in_record) {
                    cr_assert_eq(after.blocks_mended_total, in_footer, "byte %zu of %zu", pos,
                                 bytes);
                    expect_clean_files(damaged, sequence, pos);
                    footers += in_footer;
                    gaps += !in_footer;
                }
            }
            segment_log_close(log);
            free(before);
            memory_disk_destroy(damaged);
        }
    }
    cr_assert_gt(footers, thinned_least(100));
    cr_assert_gt(gaps, thinned_least(100));
}

/* ---- lost sectors -------------------------------------------------------------------------------------- */

static uint32_t unreadable_blocks(struct disk *on)
{
    uint32_t count = 0;
    for (uint64_t sequence = 1; sequence < SEGMENTS_MAX; sequence++) {
        char path[DISK_PATH_MAX];
        fixture_segment_path("/group", sequence, path);
        count += memory_disk_unreadable_count(on, path);
    }
    return count;
}

static struct segment_log *start_again(struct segment_log *log, struct disk *on)
{
    segment_log_close(log);
    memory_disk_crash(on, MEMORY_DISK_POWER);
    return fixture_open_on(&options, on);
}

/* Returns how many entries were lost by it. */
static uint64_t lose_block(uint64_t sequence, size_t pos, bool sealed, bool is_open,
                           struct segment_log *peer)
{
    struct disk *damaged = memory_disk_clone(disk, pos);
    struct segment_log *log = fixture_open_on(&options, damaged);
    if (sealed) seal(log);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", sequence, path);
    if (!is_open) segment_log_close(log);
    cr_assert_eq(memory_disk_unreadable(damaged, path, pos, 1), 0);
    if (!is_open) log = fixture_open_on(&options, damaged);
    cr_assert_eq(fixture_info(log).last_chain, info.last_chain, "the position is known");

    /* What follows has its place, whatever is lost there. Under an open log a write of a part of a lost block fails, which
     * ends the node, and the next start goes on. */
    fixture_append(log, 9, 1, 200);
    if (fixture_flush(log) != SEGMENT_LOG_OK) {
        cr_assert(is_open && sequence == info.segments_count, "segment %" PRIu64 " byte %zu",
                  sequence, pos);
        log = start_again(log, damaged);
        cr_assert_eq(fixture_info(log).last_chain, info.last_chain);
        fixture_append(log, 9, 1, 200);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
    const uint64_t last_index = fixture_info(log).last_index;
    cr_assert_eq(last_index, info.last_index + 1);
    chains[last_index] = fixture_info(log).last_chain;

    (void)scrub(log);
    const uint64_t lost = fixture_check_beside_holes(log, chains);
    cr_assert(pos >= FIXTURE_DATA_POS || lost == 0);
    repair_all(log, peer);
    seal(log);
    cr_assert_eq(scrub(log), 0);
    cr_assert_eq(fixture_check_beside_holes(log, chains), 0);
    log = start_again(log, damaged);
    cr_assert_eq(fixture_info(log).last_index, last_index);
    cr_assert_eq(fixture_check_beside_holes(log, chains), 0);
    seal(log);
    expect_clean_files(damaged, sequence, pos);
    cr_assert_eq(unreadable_blocks(damaged), 0, "segment %" PRIu64 " byte %zu", sequence, pos);
    segment_log_close(log);
    memory_disk_destroy(damaged);
    return lost;
}

static void lose_each_block(bool is_open)
{
    struct disk *whole = memory_disk_clone(disk, 1);
    struct segment_log *peer = fixture_open_on(&options, whole);
    for (int sealed = 0; sealed < 2; sealed++) {
        uint64_t blocks = 0, lost = 0;
        struct disk *sizes = memory_disk_clone(disk, 1);
        struct segment_log *log = fixture_open_on(&options, sizes);
        if (sealed) seal(log);
        segment_log_close(log);
        for (uint64_t sequence = 1; sequence <= info.segments_count; sequence++) {
            size_t bytes;
            free(read_file(sizes, sequence, &bytes));
            for (size_t pos = 0; pos < bytes; pos += BLOCK, blocks++) {
                lost += lose_block(sequence, pos, sealed, is_open, peer);
            }
        }
        cr_assert_geq(blocks, 5 * info.segments_count);
        cr_assert_gt(lost, info.last_index / 2, "most blocks of records were read");
        memory_disk_destroy(sizes);
    }
    segment_log_close(peer);
    memory_disk_destroy(whole);
}

/* Header, marks, records, zeros behind them, footer: each block of each file, one at a time. */
Test(segment_log_scrub, any_block_that_cannot_be_read_at_a_start_is_mended)
{
    lose_each_block(/* is_open= */ false);
}

Test(segment_log_scrub, any_block_of_an_open_log_that_cannot_be_read_is_mended)
{
    lose_each_block(/* is_open= */ true);
}

Test(segment_log_scrub, a_segment_that_could_not_be_sealed_for_its_header_is_sealed_behind_a_pass)
{
    struct disk *damaged = memory_disk_clone(disk, 7);
    struct segment_log *log = fixture_open_on(&options, damaged);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 2, path);
    cr_assert_eq(memory_disk_flip(damaged, path, 70, 1), 0);
    segment_log_committed(log, info.last_index);
    struct segment_log_seal_job *job;
    uint32_t refused = 0;
    while ((job = segment_log_next_seal_job(log))) {
        struct segment_log_problem problem;
        segment_log_seal_job_run(job);
        refused += segment_log_seal_job_finish(log, job, &problem) == SEGMENT_LOG_DAMAGED;
    }
    cr_assert_eq(refused, 1);
    cr_assert_eq(scrub(log), 0);
    seal(log);
    expect_clean_files(damaged, 2, 70);
    segment_log_close(log);
    memory_disk_destroy(damaged);
}

Test(segment_log_scrub, a_file_that_vanishes_is_found_and_made_again)
{
    struct disk *whole = memory_disk_clone(disk, 9);
    struct segment_log *peer = fixture_open_on(&options, whole);
    for (uint64_t sequence = 1; sequence <= info.segments_count; sequence++) {
        struct disk *damaged = memory_disk_clone(disk, sequence);
        struct segment_log *log = fixture_open_on(&options, damaged);
        char path[DISK_PATH_MAX];
        fixture_segment_path("/group", sequence, path);
        cr_assert_eq(disk_unlink(damaged, path), 0);
        cr_assert_eq(scrub(log), 1);
        repair_all(log, peer);
        cr_assert_eq(fixture_check_beside_holes(log, chains), 0);
        segment_log_close(log);
        log = fixture_open_on(&options, damaged);
        cr_assert_eq(fixture_info(log).last_chain, info.last_chain);
        cr_assert_eq(fixture_check_beside_holes(log, chains), 0);
        segment_log_close(log);
        memory_disk_destroy(damaged);
    }
    segment_log_close(peer);
    memory_disk_destroy(whole);
}

Test(segment_log_scrub, a_reader_that_meets_damage_makes_it_known)
{
    for (int sealed = 0; sealed < 2; sealed++) {
        struct disk *damaged = memory_disk_clone(disk, 1);
        struct segment_log *log = fixture_open_on(&options, damaged);
        if (sealed) seal(log);
        char path[DISK_PATH_MAX];
        fixture_segment_path("/group", 1, path);
        cr_assert_eq(memory_disk_flip(damaged, path, FIXTURE_DATA_POS + 60, 1), 0);
        struct segment_log_view view;
        struct segment_log_problem problem = {0};
        cr_assert_eq(fixture_read_files(log, SEGMENT_LOG_BY_INDEX, 1, 5, 4096, &view, &problem),
                     SEGMENT_LOG_DAMAGED);
        cr_assert_eq(problem.index, 1);
        cr_assert_eq(problem.last_index, 1);
        cr_assert_eq(fixture_info(log).holes_count, 1);
        struct segment_log_hole hole;
        cr_assert(segment_log_hole_from(log, 0, &hole));
        cr_assert(hole.terms_known);
        cr_assert(hole.configurations_known);
        cr_assert_eq(fixture_check_beside_holes(log, chains), 1);
        segment_log_close(log);
        memory_disk_destroy(damaged);
    }
}

Test(segment_log_scrub, passes_and_writes_do_not_disturb_each_other)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct disk *copy = memory_disk_clone(disk, seed);
        struct segment_log *log = fixture_open_on(&options, copy);
        uint64_t x = seed;
        segment_log_scrub_begin(log);
        for (int i = 0; i < 300; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            const uint32_t kind = (uint32_t)((x >> 33) % 16);
            struct segment_log_scrub_job *piece = segment_log_scrub_next_job(log, PIECE_BYTES);
            struct segment_log_job *write = segment_log_next_job(log, kind == 0);
            if (piece && kind % 2) segment_log_scrub_job_run(piece);
            if (kind < 12) fixture_append(log, 9, 1 + kind % 3, 200);
            struct segment_log_info now = fixture_info(log);
            if (kind == 13 && now.last_index > now.base.index + 8) {
                segment_log_truncate(log, now.last_index - 5);
            }
            if (kind == 14) segment_log_drop_prefix(log, now.durable_index / 2);
            if (write) segment_log_job_run(write);
            if (piece && kind % 2 == 0) segment_log_scrub_job_run(piece);
            struct segment_log_job_result result;
            if (write) segment_log_job_finish(log, write, &result);
            if (write) cr_assert_eq(result.status, SEGMENT_LOG_OK);
            if (piece) {
                uint64_t bytes;
                struct segment_log_problem problem = {0};
                enum segment_log_status status =
                    segment_log_scrub_job_finish(log, piece, &bytes, &problem);
                cr_assert(status == SEGMENT_LOG_OK || status == SEGMENT_LOG_SUPERSEDED, "%s: %s",
                          segment_log_status_text(status), problem.reason);
            }
            struct segment_log_scrub_info scrub_info;
            segment_log_scrub_info(log, &scrub_info);
            cr_assert_eq(scrub_info.holes_found_total, 0);
            cr_assert_eq(scrub_info.blocks_mended_total, 0);
            if (!scrub_info.active) segment_log_scrub_begin(log);
        }
        struct segment_log_scrub_info scrub_info;
        segment_log_scrub_info(log, &scrub_info);
        cr_assert_gt(scrub_info.passes_total, 0);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        fixture_check_all(log);
        segment_log_close(log);
        memory_disk_destroy(copy);
    }
}

/* A piece of the pass; false: it is over. Nothing is damaged. */
static bool scrub_piece(struct segment_log *log, size_t bytes_max)
{
    struct segment_log_scrub_info scrub;
    struct segment_log_job_result result;
    struct segment_log_scrub_job *job = segment_log_scrub_next_job(log, bytes_max);
    segment_log_scrub_info(log, &scrub);
    if (!scrub.active) return false;
    if (!job) {
        cr_assert(fixture_run_job(log, false, &result), "the pass waits for nothing");
        return true;
    }
    uint64_t bytes;
    struct segment_log_problem problem = {0};
    segment_log_scrub_job_run(job);
    const enum segment_log_status status = segment_log_scrub_job_finish(log, job, &bytes, &problem);
    cr_assert_eq(status, SEGMENT_LOG_OK, "entry %" PRIu64 ": %s", problem.index, problem.reason);
    return true;
}

/* Behind the cut other records stand, and begin elsewhere. */
Test(segment_log_scrub, entries_that_are_cut_between_two_pieces_are_no_damage)
{
    bool is_over = false;
    for (uint32_t pieces = 1; !is_over; pieces++) {
        cr_assert_lt(pieces, 1000);
        struct disk *copy = memory_disk_clone(disk, pieces);
        struct segment_log *log = fixture_open_on(&options, copy);
        segment_log_scrub_begin(log);
        for (uint32_t i = 0; i < pieces && !is_over; i++) {
            is_over = !scrub_piece(log, 100);
        }
        segment_log_truncate(log, info.last_index - 5);
        for (uint32_t i = 0; i < 8; i++) {
            fixture_append(log, 9, 1, 50 + 11 * i);
        }
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        while (scrub_piece(log, 100)) {
        }
        segment_log_close(log);
        memory_disk_destroy(copy);
    }
}
