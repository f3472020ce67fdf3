/* Goal: old records that a lost write left are never served, and are replaced from peers, where the trail of terms tells them and
 * where only a peer can; where nobody can, what follows by its chain is all there is (PROTOCOL L2, D1, D4, D7).
 * Method: a log whose entries were cut for others, on a disk that lost those writes. */
#include "repair_driver.h"

#include "memory_disk.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#define ENTRIES_MAX 512u
#define DATA_POS    12288u
#define OLD_PAYLOAD 1024u

static struct disk *disk; /* as it was synced, before any damage */
static struct segment_log_options options;
static struct segment_log_info info;
static uint64_t chains[ENTRIES_MAX];

static void set_up(void)
{
    disk = memory_disk_create(1);
    options = fixture_options(disk, "/old");
    options.segment_bytes_max = DATA_POS + 12288;
    options.extend_bytes = 4096;
    options.cache_bytes_max = 2048;
}

static void tear_down(void)
{
    memory_disk_destroy(disk);
}

TestSuite(segment_log_old_records, .init = set_up, .fini = tear_down, .timeout = 900);

static void check_whole(struct segment_log *log)
{
    cr_assert_eq(fixture_info(log).holes_count, 0);
    cr_assert_eq(fixture_check_beside_holes(log, chains), 0);
}

static void write_first_segment(struct disk *written, const uint8_t *bytes, uint64_t pos,
                                size_t count)
{
    char path[DISK_PATH_MAX];
    struct disk_file *file;
    fixture_segment_path("/old", 1, path);
    cr_assert_eq(disk_open(written, path, DISK_WRITE, &file), 0);
    cr_assert_eq(disk_pwrite(file, bytes, count, pos), 0);
    cr_assert_eq(disk_datasync(file), 0);
    disk_close(file);
}

/* On `disk` a log whose entries 4 to 6 of term 1 were cut for others of term 2, behind 3 others, in a closed segment; returns a
 * disk that lost those writes: the first `count` of the old ones stand there, whole, and follow from entry 3 on. A start goes
 * by a footer, or reads the records. */
static struct disk *lose_writes(uint32_t count, bool is_sealed)
{
    static uint8_t old[8 * OLD_PAYLOAD];
    char path[DISK_PATH_MAX];
    struct disk_file *file;
    const size_t record = entry_bytes(OLD_PAYLOAD);
    const uint64_t pos = DATA_POS + 3 * record;
    fixture_segment_path("/old", 1, path);
    struct segment_log *log = fixture_create(&options);
    fixture_append(log, 1, 3, OLD_PAYLOAD);
    fixture_append(log, 1, 3, OLD_PAYLOAD);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    cr_assert_eq(disk_open(disk, path, DISK_READ, &file), 0);
    cr_assert_eq(disk_pread(file, old, count * record, pos), (ssize_t)(count * record));
    disk_close(file);
    segment_log_truncate(log, 4);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    fixture_append(log, 2, 3, OLD_PAYLOAD);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    while (fixture_info(log).segments_count < 2) {
        fixture_append(log, 2, 1, OLD_PAYLOAD);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
    info = fixture_note_chains(log, chains, ENTRIES_MAX);
    if (is_sealed) cr_assert_eq(fixture_seal(log, info.last_index), SEGMENT_LOG_OK);
    segment_log_close(log);
    struct disk *damaged = memory_disk_clone(disk, 1);
    memset(old + count * record, 0, sizeof old - count * record);
    write_first_segment(damaged, old, pos, 4 * record);
    return damaged;
}

static void repair_old_records(struct disk *damaged, struct segment_log *log)
{
    struct segment_log *peer = fixture_open_on(&options, disk);
    cr_assert_eq(repair_first_from(log, 0, &peer, 1), SEGMENT_LOG_OK);
    check_whole(log);
    segment_log_close(log);
    segment_log_close(peer);
    memory_disk_destroy(damaged);
}

Test(segment_log_old_records, old_records_that_a_read_meets_are_never_served_and_replaced)
{
    for (uint32_t count = 1; count <= 3; count++) {
        struct disk *damaged = lose_writes(count, /* is_sealed= */ true);
        struct segment_log *log = fixture_open_on(&options, damaged);
        struct segment_log_view view;
        struct segment_log_problem problem;
        cr_assert_eq(fixture_info(log).last_chain, info.last_chain);
        cr_assert_eq(segment_log_sealed_count(log), 1, "its records were not looked at");
        cr_assert_eq(fixture_read_files(log, SEGMENT_LOG_BY_INDEX, 4, 100, 1024, &view, &problem),
                     SEGMENT_LOG_DAMAGED);
        cr_assert_eq(problem.index, 4);
        cr_assert_str_eq(problem.reason, "the record is an old one, of another term");
        cr_assert_eq(fixture_info(log).holes_count, 1, "which is to be repaired");
        cr_assert_eq(
            fixture_read_files(log, SEGMENT_LOG_BY_INDEX, 1, 100, 1 << 20, &view, &problem),
            SEGMENT_LOG_OK, "those in front of them are whole");
        cr_assert_eq(view.last_index, 3);
        segment_log_view_release(&view);
        cr_assert_eq(
            fixture_read_files(log, SEGMENT_LOG_BY_OFFSET, 3 * 4, 100, 1024, &view, &problem),
            SEGMENT_LOG_DAMAGED, "nor by offset");
        cr_assert_eq(
            fixture_read(log, SEGMENT_LOG_BY_INDEX, info.last_index, info.last_index, 1024, &view),
            SEGMENT_LOG_OK, "what follows in the next file is whole");
        segment_log_view_release(&view);
        repair_old_records(damaged, log);
        cr_assert_eq(segment_log_remove(disk, "/old"), 0);
    }
}

Test(segment_log_old_records, old_records_that_the_scrubber_meets_are_named_and_replaced)
{
    for (uint32_t count = 1; count <= 3; count++) {
        struct disk *damaged = lose_writes(count, /* is_sealed= */ true);
        struct segment_log *log = fixture_open_on(&options, damaged);
        segment_log_scrub_begin(log);
        struct segment_log_scrub_job *piece;
        while ((piece = segment_log_scrub_next_job(log, 512)) != NULL) {
            uint64_t bytes;
            segment_log_scrub_job_run(piece);
            const enum segment_log_status status =
                segment_log_scrub_job_finish(log, piece, &bytes, NULL);
            cr_assert(status == SEGMENT_LOG_OK || status == SEGMENT_LOG_DAMAGED);
        }
        struct segment_log_hole hole;
        cr_assert(segment_log_hole_from(log, 0, &hole));
        cr_assert_eq(hole.first_index, 4);
        repair_old_records(damaged, log);
        cr_assert_eq(segment_log_remove(disk, "/old"), 0);
    }
}

/* Behind the start of a segment, for nothing later is proven; peers differ, so all of it is theirs. */
Test(segment_log_old_records, old_records_in_front_of_damage_are_in_doubt_and_not_served)
{
    for (uint32_t count = 1; count <= 3; count++) {
        struct disk *damaged = lose_writes(count, /* is_sealed= */ false);
        struct segment_log *log = fixture_open_on(&options, damaged);
        struct segment_log *peer = fixture_open_on(&options, disk);
        struct segment_log_hole hole;
        struct segment_log_repair_info wanted;
        cr_assert_eq(fixture_info(log).last_chain, info.last_chain);
        cr_assert(segment_log_hole_from(log, 0, &hole));
        cr_assert_eq(hole.first_index, 1);
        cr_assert_eq(hole.first_damaged, 4 + count);
        cr_assert_not(hole.terms_known);
        repair_expect_unread(log, 4);
        repair_want_all(log, &wanted);
        cr_assert_eq(wanted.want_first, 4 + count);
        cr_assert(wanted.is_doubted);
        cr_assert_eq(repair_supply_from(log, peer, &wanted), SEGMENT_LOG_BROKEN_CHAIN);
        segment_log_repair_settle(log, /* are_believed= */ false);
        segment_log_repair_end(log);
        repair_want_all(log, &wanted);
        cr_assert_eq(wanted.want_first, 1, "nothing of it is taken from the file");
        cr_assert_not(wanted.is_doubted);
        segment_log_repair_end(log);
        segment_log_close(peer);
        repair_old_records(damaged, log);
        cr_assert_eq(segment_log_remove(disk, "/old"), 0);
    }
}

static void count_configurations(void *data, uint64_t index, const uint8_t *payload, uint32_t bytes)
{
    uint64_t *last = data;
    (void)payload;
    cr_assert_gt(index, *last, "told twice, or not in order");
    cr_assert_gt(bytes, 0);
    *last = index;
}

/* Nobody can say it better (D7): what follows by its chain is served, and the damage is named as it is. */
Test(segment_log_old_records, what_is_in_doubt_is_believed_when_nobody_knows_better)
{
    struct segment_log *log = fixture_create(&options);
    fixture_append(log, 1, 2, 100);
    cr_assert_eq(fixture_try_append(log, 1, ENTRY_CONFIG, 64), SEGMENT_LOG_OK);
    fixture_append(log, 1, 1, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    fixture_append(log, 2, 1, 500);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    fixture_append(log, 2, 5, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    const struct segment_log_info whole = fixture_note_chains(log, chains, ENTRIES_MAX);
    segment_log_close(log);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/old", 1, path);
    cr_assert_eq(memory_disk_flip(disk, path, DATA_POS + 1024 + 100, 16), 0); /* entry 5 */

    uint64_t last_told = 0, told_again = 0;
    options.on_configuration = count_configurations;
    options.on_configuration_data = &last_told;
    log = fixture_open(&options);
    struct segment_log_hole hole;
    struct segment_log_repair_info wanted;
    cr_assert(segment_log_hole_from(log, 0, &hole));
    cr_assert_eq(hole.first_index, 1);
    cr_assert_eq(hole.first_damaged, 5);
    cr_assert_eq(last_told, 0, "of what is in doubt nothing is told");
    cr_assert_eq(segment_log_repair_begin(log, 0, count_configurations, &told_again),
                 SEGMENT_LOG_OK);
    while (repair_step(log, NULL, 0, &wanted)) {
    }
    cr_assert_eq(wanted.want_first, 5);
    cr_assert(wanted.is_doubted);
    segment_log_repair_settle(log, /* are_believed= */ true);
    cr_assert_eq(told_again, 3);
    segment_log_repair_info(log, &wanted);
    cr_assert_eq(wanted.state, SEGMENT_LOG_REPAIR_WANTS);
    cr_assert_not(wanted.is_doubted);
    segment_log_repair_end(log);
    cr_assert(segment_log_hole_from(log, 0, &hole));
    cr_assert_eq(hole.first_index, 5);
    cr_assert_eq(hole.first_damaged, 5);
    cr_assert_eq(hole.last_index, 5);
    cr_assert_eq(fixture_info(log).last_chain, whole.last_chain);
    cr_assert_eq(fixture_check_beside_holes(log, chains), 1);
    segment_log_close(log);
}

static void note_terms(void *data, uint64_t first, uint64_t count, uint64_t term)
{
    uint64_t *terms = data;
    for (uint64_t i = first; i < first + count; i++) {
        terms[i] = term;
    }
}

/* Nobody ever had the damage, so it is cut: whoever starts on what is left must know all of it. */
Test(segment_log_old_records, terms_of_what_is_believed_are_known_when_the_damage_is_cut)
{
    struct segment_log *log = fixture_create(&options);
    fixture_append(log, 1, 4, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    fixture_append(log, 2, 6, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    segment_log_close(log);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/old", 1, path);
    cr_assert_eq(memory_disk_flip(disk, path, DATA_POS + 1024 + 100, 16), 0); /* entry 5 */
    log = fixture_open(&options);
    struct segment_log_repair_info wanted;
    repair_want_all(log, &wanted);
    cr_assert_eq(wanted.want_first, 5);
    cr_assert(wanted.is_doubted);
    segment_log_repair_settle(log, /* are_believed= */ true);
    segment_log_repair_end(log);
    segment_log_truncate(log, 5);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log).holes_count, 0);
    uint64_t terms[16] = {0};
    segment_log_term_runs(log, note_terms, terms);
    for (uint64_t i = 1; i <= 4; i++) {
        cr_assert_eq(terms[i], 1, "entry %" PRIu64 " has term %" PRIu64, i, terms[i]);
    }
    segment_log_close(log);
}

/* The session takes the old ones behind what it was supplied, and nobody agrees with the last of them. */
Test(segment_log_old_records, rot_in_front_of_old_records_is_repaired_with_them)
{
    struct disk *damaged = lose_writes(2, /* is_sealed= */ false);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/old", 1, path);
    const uint64_t second_pos = DATA_POS + entry_bytes(OLD_PAYLOAD);
    cr_assert_eq(memory_disk_flip(damaged, path, second_pos + 40, 16), 0);
    struct segment_log *log = fixture_open_on(&options, damaged);
    struct segment_log *peer = fixture_open_on(&options, disk);
    struct segment_log_repair_info last = {0};
    cr_assert_eq(segment_log_repair_begin(log, 0, NULL, NULL), SEGMENT_LOG_OK);
    while (repair_step(log, &peer, 1, &last)) {
    }
    cr_assert_eq(last.state, SEGMENT_LOG_REPAIR_WANTS);
    cr_assert_eq(last.want_first, 6);
    cr_assert_gt(last.supplied_count, 0);
    cr_assert(last.is_doubted);
    segment_log_repair_settle(log, /* are_believed= */ false);
    segment_log_repair_end(log);
    segment_log_close(peer);
    repair_old_records(damaged, log);
}

/* It never held what is wanted, but it is no witness for what stands in front. */
Test(segment_log_old_records, a_peer_whose_last_entry_is_another_one_says_so)
{
    struct disk *damaged = lose_writes(1, /* is_sealed= */ false);
    struct disk *shorter = memory_disk_clone(disk, 2);
    struct segment_log *log = fixture_open_on(&options, damaged);
    struct segment_log *peer = fixture_open_on(&options, shorter);
    segment_log_truncate(peer, 5); /* ends with the entry that the other one lost */
    cr_assert_eq(fixture_flush(peer), SEGMENT_LOG_OK);
    struct segment_log_repair_info wanted;
    repair_want_all(log, &wanted);
    cr_assert_eq(wanted.want_first, 5);
    cr_assert_eq(repair_supply_from(log, peer, &wanted), SEGMENT_LOG_BROKEN_CHAIN);
    segment_log_repair_end(log);
    segment_log_close(log);
    segment_log_close(peer);
    memory_disk_destroy(damaged);
    memory_disk_destroy(shorter);
}
