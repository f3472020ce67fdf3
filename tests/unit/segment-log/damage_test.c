/* Goal: whatever is damaged of a log that was synced, opening it tells its true position or that it is lost, names what is
 * damaged, and never gives a byte that is not the right one (PROTOCOL D1, L6, L10).
 * Method: a log of several segments, with a truncation in its past so that there are old records to be found; damage at
 * every byte, to every file, and drawn from seeds; every entry is then read and compared by its chain. */
#include "log_fixture.h"

#include "memory_disk.h"
#include "thinned.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX  256u
#define SEGMENTS_MAX 16u
#define BLOCK        4096u
#define DATA_POS     12288u

static struct disk *disk;  /* as it was synced */
static struct disk *older; /* the same disk earlier, with entries that were cut since */
static struct segment_log_options options;
static struct segment_log_info info;
static uint64_t chains[ENTRIES_MAX];
static uint64_t file_bytes[SEGMENTS_MAX + 1];

static void flush(struct segment_log *log)
{
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
}

static void set_up(void)
{
    disk = memory_disk_create(1);
    options = fixture_options(disk, "/group");
    options.segment_bytes_max = DATA_POS + 8192;
    options.extend_bytes = 4096;
    struct segment_log *log = fixture_create(&options);
    for (uint32_t i = 0; i < 30; i++) {
        fixture_append(log, 1, 1 + i % 3, 60 + 37 * (i % 7));
        flush(log);
    }
    cr_assert_eq(fixture_try_append(log, 1, ENTRY_CONFIG, 64), SEGMENT_LOG_OK);
    flush(log);
    older = memory_disk_clone(disk, 2);
    segment_log_truncate(log, 21);
    for (uint32_t i = 0; i < 36; i++) {
        fixture_append(log, 3 + i / 9, 1 + i % 2, 60 + 41 * (i % 6));
        flush(log);
    }
    info = fixture_note_chains(log, chains, ENTRIES_MAX);
    cr_assert_geq(info.segments_count, 3);
    segment_log_close(log);
    for (uint64_t sequence = 1; sequence <= info.segments_count; sequence++) {
        char path[DISK_PATH_MAX];
        struct disk_file *file;
        fixture_segment_path("/group", sequence, path);
        cr_assert_eq(disk_open(disk, path, DISK_READ, &file), 0);
        cr_assert_eq(disk_size(file, &file_bytes[sequence]), 0);
        disk_close(file);
    }
}

static void tear_down(void)
{
    memory_disk_destroy(older);
    memory_disk_destroy(disk);
}

TestSuite(segment_log_damage, .init = set_up, .fini = tear_down, .timeout = 300);

/* Open the damaged disk twice, the second time behind a power cut. Returns how many entries are in holes, or UINT64_MAX when
 * it does not open, with *ret_status. */
static uint64_t lost_entries(struct disk *damaged, bool position_is_known,
                             enum segment_log_status *ret_status)
{
    struct segment_log_options damaged_options = options;
    damaged_options.disk = damaged;
    uint64_t lost = 0;
    for (int round = 0; round < 2; round++) {
        struct segment_log *log = NULL;
        struct segment_log_problem problem = {0};
        *ret_status = segment_log_open(&damaged_options, &log, &problem);
        if (*ret_status != SEGMENT_LOG_OK) {
            cr_assert_eq(round, 0, "it opened before");
            cr_assert_neq(problem.path[0], 0);
            cr_assert_neq(problem.reason[0], 0);
            return UINT64_MAX;
        }
        fixture_believe(log);
        struct segment_log_info found = fixture_info(log);
        if (position_is_known) cr_assert_eq(found.last_index, info.last_index);
        cr_assert_leq(found.last_index, info.last_index);
        cr_assert_eq(found.last_chain, chains[found.last_index]);
        uint64_t now_lost = fixture_check_beside_holes(log, chains);
        cr_assert_eq(now_lost > 0, found.holes_count > 0);
        if (now_lost > 0) cr_assert_neq(problem.last_index, 0);
        if (round == 1) cr_assert_eq(now_lost, lost, "a start repairs no hole and makes none");
        lost = now_lost;
        segment_log_close(log);
        memory_disk_crash(damaged, MEMORY_DISK_POWER);
    }
    return lost;
}

static bool is_record_byte(uint64_t sequence, uint64_t pos)
{
    char path[DISK_PATH_MAX];
    struct disk_file *file;
    uint8_t byte;
    fixture_segment_path("/group", sequence, path);
    cr_assert_eq(disk_open(disk, path, DISK_READ, &file), 0);
    cr_assert_eq(disk_pread(file, &byte, 1, pos), 1);
    disk_close(file);
    return pos >= DATA_POS && byte != 0;
}

/* Every byte that says something, and some of the zeros. */
static bool is_worth_a_flip(uint64_t sequence, uint64_t pos)
{
    if (pos < DATA_POS) return pos % BLOCK < 100 || pos % 97 == 0;
    return is_record_byte(sequence, pos) || pos % 61 == 0;
}

Test(segment_log_damage, one_flipped_bit_costs_at_most_the_entry_that_it_is_in)
{
    uint32_t flips = 0, holes = 0;
    for (uint64_t sequence = 1; sequence <= info.segments_count; sequence++) {
        char path[DISK_PATH_MAX];
        fixture_segment_path("/group", sequence, path);
        uint64_t point = 0;
        for (uint64_t pos = 0; pos < file_bytes[sequence]; pos++) {
            if (!is_worth_a_flip(sequence, pos) || !thinned_takes(sequence, point++)) continue;
            struct disk *damaged = memory_disk_clone(disk, pos);
            cr_assert_eq(memory_disk_flip(damaged, path, pos, (uint8_t)(1u << (pos % 8))), 0);
            enum segment_log_status status;
            uint64_t lost = lost_entries(damaged, true, &status);
            cr_assert_eq(status, SEGMENT_LOG_OK, "segment %" PRIu64 " byte %" PRIu64, sequence,
                         pos);
            cr_assert_leq(lost, 1, "segment %" PRIu64 " byte %" PRIu64, sequence, pos);
            if (pos < DATA_POS) cr_assert_eq(lost, 0, "headers and marks are rebuilt");
            flips++;
            holes += (uint32_t)lost;
            memory_disk_destroy(damaged);
        }
    }
    cr_assert_gt(flips, thinned_least(5000));
    cr_assert_gt(holes, flips / 2);
}

static void cut_file(struct disk *damaged, const char *path, uint64_t bytes)
{
    struct disk_file *file;
    if (disk_open(damaged, path, DISK_WRITE, &file) != 0) return;
    cr_assert_eq(disk_truncate(file, bytes), 0);
    cr_assert_eq(disk_datasync(file), 0);
    disk_close(file);
}

/* Of the last entry of a segment that stands in the file of sequence. */
static uint64_t find_last_entry(uint64_t sequence, uint64_t *ret_count)
{
    char path[DISK_PATH_MAX];
    struct disk_file *file;
    uint64_t found = 0;
    *ret_count = 0;
    fixture_segment_path("/group", sequence, path);
    cr_assert_eq(disk_open(disk, path, DISK_READ, &file), 0);
    for (uint64_t pos = DATA_POS; pos < file_bytes[sequence]; pos += 8) {
        uint8_t bytes[ENTRY_HEADER_BYTES] = {0};
        struct entry_header header;
        cr_assert_geq(disk_pread(file, bytes, sizeof bytes, pos), 0);
        if (entry_decode_header(bytes, sizeof bytes,
                                checksum64_group(&fixture_cluster, FIXTURE_GROUP),
                                &header) != ENTRY_DECODE_OK ||
            header.chain != chains[header.index]) {
            continue;
        }
        found = pos;
        ++*ret_count;
    }
    disk_close(file);
    return found;
}

/* The next file tells which entry was the last one, and nothing tells where it ended. What is whole in front stays whole, also
 * behind another start, which reads the marks that this one wrote. */
Test(segment_log_damage, an_unknown_end_costs_the_last_entry_and_no_other)
{
    for (uint64_t sequence = 1; sequence < info.segments_count; sequence++) {
        uint64_t count;
        const uint64_t pos = find_last_entry(sequence, &count);
        cr_assert_gt(count, 2);
        for (int cut = 0; cut < 2; cut++) {
            struct disk *damaged = memory_disk_clone(disk, sequence);
            char path[DISK_PATH_MAX];
            fixture_segment_path("/group", sequence, path);
            cr_assert_eq(memory_disk_flip(damaged, path, BLOCK + 40, 1), 0);
            cr_assert_eq(memory_disk_flip(damaged, path, 2 * BLOCK + 40, 1), 0);
            cr_assert_eq(memory_disk_flip(damaged, path, pos + 20, 1), 0);
            if (cut) cut_file(damaged, path, pos);
            enum segment_log_status status;
            const uint64_t lost = lost_entries(damaged, true, &status);
            cr_assert_eq(status, SEGMENT_LOG_OK);
            cr_assert_eq(lost, 1);
            memory_disk_destroy(damaged);
        }
    }
}

/* ---- whole files ---------------------------------------------------------------------------------------- */

enum file_damage { FILE_REMOVED, FILE_EMPTY, FILE_ZEROED, FILE_HALVED, FILE_RANDOM, FILE_DAMAGES };

static void overwrite(struct disk *damaged, const char *path, uint64_t pos, const void *bytes,
                      size_t count)
{
    struct disk_file *file;
    if (disk_open(damaged, path, DISK_WRITE, &file) != 0) return; /* removed before */
    cr_assert_eq(disk_pwrite(file, bytes, count, pos), 0);
    cr_assert_eq(disk_datasync(file), 0);
    disk_close(file);
}

static void damage_file(struct disk *damaged, uint64_t sequence, enum file_damage kind)
{
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", sequence, path);
    size_t bytes = file_bytes[sequence];
    uint8_t *noise = calloc(bytes, 1);
    uint64_t x = sequence;
    for (size_t i = 0; kind == FILE_RANDOM && i < bytes; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        noise[i] = (uint8_t)(x >> 56);
    }
    switch (kind) {
    case FILE_REMOVED:
        (void)disk_unlink(damaged, path);
        cr_assert_eq(disk_sync_directory(damaged, "/group"), 0);
        break;
    case FILE_EMPTY:
        cut_file(damaged, path, 0);
        break;
    case FILE_HALVED:
        cut_file(damaged, path, DATA_POS + 1000);
        break;
    case FILE_ZEROED:
    case FILE_RANDOM:
        overwrite(damaged, path, 0, noise, bytes);
        break;
    case FILE_DAMAGES:
        break;
    }
    free(noise);
}

/* With the oldest base known to be the origin, every file but the last can be lost whole. */
Test(segment_log_damage, a_lost_file_is_a_hole_but_the_last_one_is_a_lost_position)
{
    struct segment_log_point origin = fixture_origin();
    options.start = &origin;
    for (uint64_t sequence = 1; sequence <= info.segments_count; sequence++) {
        for (enum file_damage kind = 0; kind < FILE_DAMAGES; kind++) {
            struct disk *damaged = memory_disk_clone(disk, sequence);
            damage_file(damaged, sequence, kind);
            enum segment_log_status status;
            uint64_t lost = lost_entries(damaged, true, &status);
            if (sequence == info.segments_count && kind != FILE_HALVED) {
                cr_assert_eq(status, SEGMENT_LOG_LOST_POSITION);
            } else {
                cr_assert_eq(status, SEGMENT_LOG_OK, "segment %" PRIu64 " kind %d", sequence, kind);
                cr_assert_gt(lost, 0);
            }
            memory_disk_destroy(damaged);
        }
    }
}

Test(segment_log_damage, without_a_known_start_a_lost_first_file_is_never_a_whole_log)
{
    for (enum file_damage kind = 0; kind < FILE_DAMAGES; kind++) {
        if (kind == FILE_HALVED) continue;
        struct disk *damaged = memory_disk_clone(disk, 1);
        damage_file(damaged, 1, kind);
        struct segment_log_options damaged_options = options;
        damaged_options.disk = damaged;
        struct segment_log_point origin = fixture_origin();
        damaged_options.base = &origin;
        struct segment_log_problem problem;
        cr_assert_eq(fixture_open_fails(&damaged_options, &problem), SEGMENT_LOG_DAMAGED);
        memory_disk_destroy(damaged);
    }
}

Test(segment_log_damage, neighbours_that_are_lost_together_are_holes_side_by_side)
{
    for (enum file_damage first = 0; first < FILE_DAMAGES; first++) {
        for (enum file_damage second = 0; second < FILE_DAMAGES; second++) {
            struct disk *damaged = memory_disk_clone(disk, 1);
            damage_file(damaged, 2, first);
            damage_file(damaged, 3, second);
            enum segment_log_status status;
            uint64_t lost = lost_entries(damaged, true, &status);
            cr_assert_eq(status, SEGMENT_LOG_OK, "%d %d", first, second);
            cr_assert_gt(lost, 1);
            memory_disk_destroy(damaged);
        }
    }
}

/* ---- drawn damage --------------------------------------------------------------------------------------- */

static uint64_t random_state;

static bool read_sector(struct disk *from, uint64_t sequence, uint64_t pos, uint8_t sector[512])
{
    char path[DISK_PATH_MAX];
    struct disk_file *file;
    fixture_segment_path("/group", sequence, path);
    if (disk_open(from, path, DISK_READ, &file) != 0) return false;
    bool got = disk_pread(file, sector, 512, pos) == 512;
    disk_close(file);
    return got;
}

static uint64_t draw_sequence(void)
{
    return 1 + fixture_draw(&random_state, info.segments_count);
}

/* When both marks of a segment are old ones, whole and of the same log, nothing tells: two writes were lost, each synced.
 * So only one of the two blocks gets back what it held before, and in the last segment neither. */
static bool may_be_old(uint64_t sequence, uint64_t pos, uint64_t sectors)
{
    uint64_t from = sequence == info.segments_count ? BLOCK : 2 * BLOCK;
    return pos >= DATA_POS || pos + 512 * sectors <= from;
}

/* Returns whether it may have reached a mark of the last segment: then a damaged tail may look like a torn one. */
static bool damage_something(struct disk *damaged)
{
    uint8_t sector[512];
    char path[DISK_PATH_MAX];
    uint64_t sequence = draw_sequence();
    uint64_t pos = fixture_draw(&random_state, file_bytes[sequence]) / 512 * 512;
    fixture_segment_path("/group", sequence, path);
    bool touches_mark = sequence == info.segments_count && pos < DATA_POS;
    switch (fixture_draw(&random_state, 8)) {
    case 0:
    case 1: /* a bit */
        (void)memory_disk_flip(damaged, path, pos + fixture_draw(&random_state, 512),
                               (uint8_t)(1u << fixture_draw(&random_state, 8)));
        return touches_mark;
    case 2: /* a sector of zeros */
        memset(sector, 0, sizeof sector);
        break;
    case 3: /* a write that was lost: what stood there before */
        if (!may_be_old(sequence, pos, 1)) return touches_mark;
        if (!read_sector(older, sequence, pos, sector)) return touches_mark;
        break;
    case 4: /* one that went elsewhere in the file */
        if (!read_sector(disk, sequence,
                         fixture_draw(&random_state, file_bytes[sequence]) / 512 * 512, sector)) {
            return touches_mark;
        }
        break;
    case 5: /* or into another file */
        if (!read_sector(disk, draw_sequence(), pos, sector)) return touches_mark;
        break;
    case 6: /* several sectors that were lost together */
        if (!may_be_old(sequence, pos, 6)) return touches_mark;
        for (uint64_t i = 0; i < 6; i++) {
            if (read_sector(older, sequence, pos + 512 * i, sector) &&
                pos + 512 * (i + 1) <= file_bytes[sequence]) {
                overwrite(damaged, path, pos + 512 * i, sector, sizeof sector);
            }
        }
        return touches_mark;
    default: /* a file */
        if (sequence == info.segments_count) return touches_mark;
        damage_file(damaged, sequence, (enum file_damage)fixture_draw(&random_state, FILE_DAMAGES));
        return touches_mark;
    }
    overwrite(damaged, path, pos, sector, sizeof sector);
    return touches_mark;
}

/* More by hand: RAFTMQ_DAMAGE_SEEDS=first..last */
Test(segment_log_damage, no_damage_gives_a_wrong_byte_or_a_wrong_position)
{
    uint64_t first = 1, last = 4000;
    const char *range = getenv("RAFTMQ_DAMAGE_SEEDS");
    if (range) cr_assert_eq(sscanf(range, "%" SCNu64 "..%" SCNu64, &first, &last), 2);
    struct segment_log_point origin = fixture_origin();
    options.start = &origin;
    uint32_t tried = 0, opened = 0, with_holes = 0;
    for (uint64_t seed = first; seed <= last; seed++) {
        if (!range && !thinned_takes(0, seed)) continue;
        tried++;
        random_state = seed * 977 + 1;
        struct disk *damaged = memory_disk_clone(disk, seed);
        bool touches_mark = false;
        for (uint64_t i = 1 + fixture_draw(&random_state, 4); i > 0; i--) {
            touches_mark |= damage_something(damaged);
        }
        if (range) fprintf(stderr, "seed %" PRIu64 "\n", seed);
        enum segment_log_status status;
        uint64_t lost = lost_entries(damaged, !touches_mark, &status);
        if (status == SEGMENT_LOG_OK) {
            opened++;
            with_holes += lost > 0;
        } else {
            cr_assert(status == SEGMENT_LOG_LOST_POSITION || status == SEGMENT_LOG_DAMAGED, "%s",
                      segment_log_status_text(status));
        }
        memory_disk_destroy(damaged);
    }
    cr_assert_gt(opened, (tried - 1) * 9 / 10);
    cr_assert_gt(with_holes, (tried - 1) / 3);
}
