/* Goal: a hole is filled with the entries that belong there and with nothing else, from peers that are damaged themselves,
 * with appends going on, and a crash at any instant leaves the old state or the new one (PROTOCOL D4).
 * Method: copies of one log on three disks, damaged in different places, that repair each other. */
#include "repair_driver.h"

#include "memory_disk.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEERS       3u
#define ENTRIES_MAX 512u
#define DATA_POS    12288u

static struct disk *disk; /* as it was synced, before any damage */
static struct segment_log_options options;
static struct segment_log_info info;
static uint64_t chains[ENTRIES_MAX];
static uint64_t random_state;

static void set_up(void)
{
    disk = memory_disk_create(1);
    options = fixture_options(disk, "/group");
    options.segment_bytes_max = DATA_POS + 12288;
    options.extend_bytes = 4096;
    options.cache_bytes_max = 2048;
    struct segment_log *log = fixture_create(&options);
    for (uint32_t i = 0; i < 90; i++) {
        fixture_append(log, 1 + i / 20, 1 + i % 3, 60 + 37 * (i % 7));
        if (i % 30 == 7) {
            cr_assert_eq(fixture_try_append(log, 1 + i / 20, ENTRY_CONFIG, 64), SEGMENT_LOG_OK);
        }
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
    info = fixture_note_chains(log, chains, ENTRIES_MAX);
    cr_assert_geq(info.segments_count, 4);
    segment_log_close(log);
}

static void tear_down(void)
{
    memory_disk_destroy(disk);
}

TestSuite(segment_log_repair, .init = set_up, .fini = tear_down, .timeout = 900);

/* Position of entry `index` in the files, which hold every flush at a sector of its own. */
static void find_entry(uint64_t index, char path[DISK_PATH_MAX], uint64_t *ret_pos)
{
    for (uint64_t sequence = 1; sequence <= info.segments_count; sequence++) {
        struct disk_file *file;
        uint64_t size;
        fixture_segment_path("/group", sequence, path);
        cr_assert_eq(disk_open(disk, path, DISK_READ, &file), 0);
        cr_assert_eq(disk_size(file, &size), 0);
        for (uint64_t pos = DATA_POS; pos + ENTRY_HEADER_BYTES <= size; pos += 8) {
            uint8_t bytes[ENTRY_HEADER_BYTES];
            struct entry_header header;
            cr_assert_eq(disk_pread(file, bytes, sizeof bytes, pos), (ssize_t)sizeof bytes);
            if (entry_decode_header(bytes, sizeof bytes,
                                    checksum64_group(&fixture_cluster, FIXTURE_GROUP),
                                    &header) == ENTRY_DECODE_OK &&
                header.index == index) {
                disk_close(file);
                *ret_pos = pos;
                return;
            }
        }
        disk_close(file);
    }
    cr_assert_fail("there is no such entry");
}

static void damage_entry(struct disk *damaged, uint64_t index)
{
    char path[DISK_PATH_MAX];
    uint64_t pos;
    find_entry(index, path, &pos);
    cr_assert_eq(memory_disk_flip(damaged, path, pos + 40, 16), 0);
}

static void check_whole(struct segment_log *log)
{
    cr_assert_eq(fixture_info(log).holes_count, 0);
    cr_assert_eq(fixture_check_beside_holes(log, chains), 0);
}

/* ---- promises ------------------------------------------------------------------------------------------ */

Test(segment_log_repair, every_entry_is_repaired_from_a_peer_and_stays_so)
{
    struct segment_log *peer = fixture_open_on(&options, disk);
    for (uint64_t index = 1; index <= info.last_index; index += 3) {
        struct disk *damaged = memory_disk_clone(disk, index);
        damage_entry(damaged, index);
        struct segment_log *log = fixture_open_on(&options, damaged);
        cr_assert_eq(fixture_info(log).holes_count, 1);
        cr_assert_eq(repair_first_from(log, 0, &peer, 1), SEGMENT_LOG_OK);
        check_whole(log);
        segment_log_close(log);
        memory_disk_crash(damaged, MEMORY_DISK_POWER);
        log = fixture_open_on(&options, damaged);
        check_whole(log);
        cr_assert_eq(fixture_info(log).last_chain, info.last_chain);
        segment_log_close(log);
        memory_disk_destroy(damaged);
    }
    segment_log_close(peer);
}

static uint64_t told[8];
static uint32_t told_count;

static void on_configuration(void *data, uint64_t index, const uint8_t *payload, uint32_t bytes)
{
    (void)data;
    (void)payload;
    cr_assert_eq(bytes, 64);
    told[told_count++] = index;
}

static void note_run(void *data, uint64_t first, uint64_t count, uint64_t term)
{
    uint64_t *terms = data;
    for (uint64_t i = first; i < first + count; i++) {
        terms[i] = term;
    }
}

Test(segment_log_repair, a_lost_file_is_made_again_with_its_terms_and_configurations)
{
    struct segment_log *peer = fixture_open_on(&options, disk);
    uint64_t terms[ENTRIES_MAX] = {0}, found[ENTRIES_MAX] = {0};
    segment_log_term_runs(peer, note_run, terms);
    for (uint64_t sequence = 2; sequence < info.segments_count; sequence++) {
        struct disk *damaged = memory_disk_clone(disk, sequence);
        char path[DISK_PATH_MAX];
        fixture_segment_path("/group", sequence, path);
        cr_assert_eq(disk_unlink(damaged, path), 0);
        struct segment_log *log = fixture_open_on(&options, damaged);
        struct segment_log_hole hole;
        cr_assert(segment_log_hole_from(log, 0, &hole));
        told_count = 0;
        cr_assert_eq(segment_log_repair_begin(log, 0, on_configuration, NULL), SEGMENT_LOG_OK);
        struct segment_log_repair_info last;
        while (repair_step(log, &peer, 1, &last)) {
        }
        cr_assert_eq(last.status, SEGMENT_LOG_OK);
        cr_assert_eq(last.supplied_count, hole.last_index - hole.first_index + 1);
        segment_log_repair_end(log);
        check_whole(log);
        memset(found, 0, sizeof found);
        segment_log_term_runs(log, note_run, found);
        cr_assert_eq(memcmp(found, terms, sizeof terms), 0);
        for (uint32_t i = 0; i < told_count; i++) {
            cr_assert(told[i] >= hole.first_index && told[i] <= hole.last_index);
        }
        segment_log_close(log);
        memory_disk_destroy(damaged);
    }
    segment_log_close(peer);
}

/* Each node has its own damage everywhere, so that no one is whole, and holes of all three overlap in every segment. */
Test(segment_log_repair, three_that_are_damaged_everywhere_repair_each_other)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        random_state = seed;
        struct disk *disks[PEERS];
        struct segment_log *logs[PEERS];
        for (uint32_t i = 0; i < PEERS; i++) {
            disks[i] = memory_disk_clone(disk, seed * PEERS + i);
        }
        for (uint64_t index = 1; index <= info.last_index; index++) {
            if (fixture_draw(&random_state, 3) > 0) continue;
            /* On one or two of the three. */
            uint64_t spared = fixture_draw(&random_state, PEERS);
            for (uint32_t i = 0; i < PEERS; i++) {
                if (i != spared && fixture_draw(&random_state, 2)) damage_entry(disks[i], index);
            }
        }
        for (uint32_t i = 0; i < PEERS; i++) {
            logs[i] = fixture_open_on(&options, disks[i]);
        }
        bool is_whole = false;
        for (uint32_t round = 0; !is_whole && round < 200; round++) {
            is_whole = true;
            for (uint32_t i = 0; i < PEERS; i++) {
                struct segment_log_hole hole;
                uint64_t from = 0;
                while (segment_log_hole_from(logs[i], from, &hole)) {
                    enum segment_log_status status = repair_first_from(logs[i], from, logs, PEERS);
                    cr_assert(status == SEGMENT_LOG_OK || status == SEGMENT_LOG_DAMAGED, "%s",
                              segment_log_status_text(status));
                    from = hole.last_index + 1;
                    if (status != SEGMENT_LOG_OK) is_whole = false;
                }
            }
        }
        cr_assert(is_whole, "seed %" PRIu64, seed);
        for (uint32_t i = 0; i < PEERS; i++) {
            check_whole(logs[i]);
            segment_log_close(logs[i]);
            memory_disk_destroy(disks[i]);
        }
    }
}

/* A log of the same group with other entries from `from` on: what a diverged replica holds. */
static struct segment_log *make_sibling(struct disk *on, uint64_t from)
{
    struct segment_log *log = fixture_open_on(&options, on);
    segment_log_truncate(log, from);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    uint64_t term = fixture_info(log).last_term;
    for (uint32_t i = 0; i < 60; i++) {
        fixture_append(log, term, 1, 75);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
    return log;
}

Test(segment_log_repair, a_peer_of_another_history_is_refused_and_nothing_changes)
{
    struct disk *other = memory_disk_clone(disk, 1), *damaged = memory_disk_clone(disk, 2);
    for (uint64_t index = 20; index < 24; index++) {
        damage_entry(damaged, index);
    }
    struct segment_log *sibling = make_sibling(other, 22),
                       *log = fixture_open_on(&options, damaged);
    struct segment_log *whole = fixture_open_on(&options, disk);
    /* 20 and 21 are the same there, and what follows does not lead to what is here behind the hole. */
    cr_assert_eq(repair_first_from(log, 0, &sibling, 1), SEGMENT_LOG_BROKEN_CHAIN);
    cr_assert_eq(fixture_info(log).holes_count, 1);
    cr_assert_eq(fixture_check_beside_holes(log, chains), 4);
    segment_log_close(sibling);
    memory_disk_destroy(other);
    /* One that differs from in front of the hole does not even begin. */
    other = memory_disk_clone(disk, 3);
    sibling = make_sibling(other, 15);
    cr_assert_eq(repair_first_from(log, 0, &sibling, 1), SEGMENT_LOG_DAMAGED);
    cr_assert_eq(segment_log_repair_begin(log, 0, NULL, NULL), SEGMENT_LOG_OK);
    struct segment_log_repair_info last;
    while (repair_step(log, NULL, 0, &last)) {
    }
    cr_assert_eq(last.state, SEGMENT_LOG_REPAIR_WANTS);
    cr_assert_eq(last.want_first, 20);
    cr_assert_eq(last.want_last, 23);
    cr_assert_eq(repair_supply_from(log, sibling, &last), SEGMENT_LOG_BROKEN_CHAIN);
    segment_log_repair_end(log);
    cr_assert_eq(repair_first_from(log, 0, &whole, 1), SEGMENT_LOG_OK);
    check_whole(log);
    segment_log_close(whole);
    segment_log_close(sibling);
    segment_log_close(log);
    memory_disk_destroy(other);
    memory_disk_destroy(damaged);
}

Test(segment_log_repair, a_supply_that_is_damaged_or_not_what_is_wanted_is_refused)
{
    struct disk *damaged = memory_disk_clone(disk, 2);
    damage_entry(damaged, 20);
    damage_entry(damaged, 21);
    struct segment_log *log = fixture_open_on(&options, damaged),
                       *peer = fixture_open_on(&options, disk);
    cr_assert_eq(segment_log_repair_begin(log, 0, NULL, NULL), SEGMENT_LOG_OK);
    struct segment_log_repair_info last;
    while (repair_step(log, NULL, 0, &last)) {
    }
    struct segment_log_view view;
    cr_assert_eq(fixture_read(peer, SEGMENT_LOG_BY_INDEX, 20, 22, 1 << 20, &view), SEGMENT_LOG_OK);
    size_t bytes = view.parts[0].bytes_count;
    uint8_t *copy = malloc(bytes);
    memcpy(copy, view.parts[0].bytes, bytes);
    size_t first_bytes = entry_bytes(entry_payload_bytes(copy));
    for (size_t pos = 0; pos < first_bytes - 8; pos++) {
        copy[pos] ^= 1;
        cr_assert_neq(segment_log_repair_supply(log, copy, bytes), SEGMENT_LOG_OK, "byte %zu", pos);
        copy[pos] ^= 1;
    }
    cr_assert_eq(segment_log_repair_supply(log, copy, first_bytes - 1), SEGMENT_LOG_BAD_ENTRY);
    cr_assert_eq(segment_log_repair_supply(log, copy, 0), SEGMENT_LOG_BAD_ENTRY);
    cr_assert_eq(segment_log_repair_supply(log, copy + first_bytes, bytes - first_bytes),
                 SEGMENT_LOG_BAD_ENTRY, "the one behind");
    cr_assert_eq(segment_log_repair_supply(log, copy, bytes), SEGMENT_LOG_OK);
    while (repair_step(log, NULL, 0, &last)) {
    }
    cr_assert_eq(last.status, SEGMENT_LOG_OK);
    cr_assert_eq(last.supplied_count, 2, "what is whole here is not taken from elsewhere");
    segment_log_repair_end(log);
    check_whole(log);
    free(copy);
    segment_log_view_release(&view);
    segment_log_close(peer);
    segment_log_close(log);
    memory_disk_destroy(damaged);
}

/* ---- while other things happen --------------------------------------------------------------------------- */

Test(segment_log_repair, appends_go_on_and_reads_of_the_old_file_too)
{
    struct disk *damaged = memory_disk_clone(disk, 1);
    damage_entry(damaged, 10);
    damage_entry(damaged, info.last_index - 1); /* in the last segment, which rolls for it */
    struct segment_log *peer = fixture_open_on(&options, disk),
                       *log = fixture_open_on(&options, damaged);
    cr_assert_eq(fixture_info(log).holes_count, 2);
    struct segment_log_read_job *reading;
    cr_assert_eq(segment_log_read_job_create(log, SEGMENT_LOG_BY_INDEX, 5, 9, 4096, &reading),
                 SEGMENT_LOG_OK);
    for (uint64_t index = 10; index <= info.last_index; index = info.last_index) {
        cr_assert_eq(segment_log_repair_begin(log, index, NULL, NULL), SEGMENT_LOG_OK);
        struct segment_log_repair_info last;
        while (repair_step(log, &peer, 1, &last)) {
            fixture_append(log, 9, 1, 100);
            struct segment_log_job_result result;
            (void)fixture_run_job(log, false, &result);
            cr_assert_eq(result.status, SEGMENT_LOG_OK);
        }
        cr_assert_eq(last.status, SEGMENT_LOG_OK);
        segment_log_repair_end(log);
        if (index == info.last_index - 1) break;
        if (!fixture_info(log).holes_count) break;
        index = info.last_index - 1;
        cr_assert_eq(segment_log_repair_begin(log, index, NULL, NULL), SEGMENT_LOG_OK);
        while (repair_step(log, &peer, 1, &last)) {
            fixture_append(log, 9, 1, 100);
        }
        cr_assert_eq(last.status, SEGMENT_LOG_OK);
        segment_log_repair_end(log);
        break;
    }
    struct segment_log_view view;
    struct segment_log_problem problem;
    segment_log_read_job_run(reading);
    enum segment_log_status status = segment_log_read_job_finish(log, reading, &view, &problem);
    cr_assert(status == SEGMENT_LOG_OK || status == SEGMENT_LOG_SUPERSEDED);
    if (status == SEGMENT_LOG_OK) segment_log_view_release(&view);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log).holes_count, 0);
    fixture_check_all(log);
    uint64_t last_chain = fixture_info(log).last_chain;
    segment_log_close(log);
    memory_disk_crash(damaged, MEMORY_DISK_POWER);
    log = fixture_open_on(&options, damaged);
    cr_assert_eq(fixture_info(log).last_chain, last_chain);
    fixture_check_all(log);
    segment_log_close(log);
    segment_log_close(peer);
    memory_disk_destroy(damaged);
}

Test(segment_log_repair, a_cut_or_a_drop_of_the_segment_gives_the_session_up)
{
    struct segment_log *peer = fixture_open_on(&options, disk);
    for (uint32_t steps = 0; steps < 6; steps++) {
        for (int drop = 0; drop < 2; drop++) {
            struct disk *damaged = memory_disk_clone(disk, steps);
            damage_entry(damaged, 10);
            struct segment_log *log = fixture_open_on(&options, damaged);
            cr_assert_eq(segment_log_repair_begin(log, 0, NULL, NULL), SEGMENT_LOG_OK);
            struct segment_log_repair_info last;
            for (uint32_t i = 0; i < steps; i++) {
                if (!repair_step(log, &peer, 1, &last)) break;
            }
            bool has_ended = fixture_info(log).holes_count == 0;
            if (drop) {
                segment_log_drop_prefix(log, info.last_index);
            } else {
                segment_log_truncate(log, 10);
            }
            cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
            segment_log_repair_info(log, &last);
            cr_assert_eq(last.state, SEGMENT_LOG_REPAIR_ENDED);
            cr_assert_eq(last.status, has_ended ? SEGMENT_LOG_OK : SEGMENT_LOG_SUPERSEDED);
            segment_log_repair_end(log);
            cr_assert_eq(fixture_info(log).holes_count, 0);
            fixture_append(log, 9, 3, 100);
            cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
            fixture_check_all(log);
            uint64_t last_chain = fixture_info(log).last_chain;
            segment_log_close(log);
            memory_disk_crash(damaged, MEMORY_DISK_POWER);
            log = fixture_open_on(&options, damaged);
            cr_assert_eq(fixture_info(log).last_chain, last_chain);
            fixture_check_all(log);
            segment_log_close(log);
            memory_disk_destroy(damaged);
        }
    }
    segment_log_close(peer);
}

/* The write that puts the repaired file in the place of the damaged one; it has not run. */
static struct segment_log_job *repair_to_replace(struct segment_log *log, struct segment_log *peer)
{
    cr_assert_eq(segment_log_repair_begin(log, 0, NULL, NULL), SEGMENT_LOG_OK);
    for (uint32_t i = 0; i < 1000; i++) {
        struct segment_log_repair_info session;
        segment_log_repair_info(log, &session);
        struct segment_log_repair_job *piece = segment_log_repair_next_job(log);
        if (session.state == SEGMENT_LOG_REPAIR_WANTS) {
            cr_assert_eq(repair_supply_from(log, peer, &session), SEGMENT_LOG_OK);
        } else if (piece) {
            segment_log_repair_job_run(piece);
            (void)segment_log_repair_job_finish(log, piece);
        } else {
            struct segment_log_job *job = segment_log_next_job(log, false);
            cr_assert_not_null(job);
            return job;
        }
    }
    cr_assert_fail("the session never ends");
    return NULL;
}

/* Its records stand back to back in the new file, and the places that the log remembers are those of the old one. */
Test(segment_log_repair, a_cut_while_the_repaired_file_gets_its_name_finds_its_end)
{
    struct segment_log_options large = options;
    large.segment_bytes_max = 1u << 20;
    struct disk *mine = memory_disk_create(1);
    large.disk = mine;
    struct segment_log *log = fixture_create(&large);
    for (uint32_t i = 0; i < 60; i++) {
        fixture_append(log, 1, 1, 4000 + i % 7 * 100);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    }
    (void)segment_log_roll(log);
    fixture_append(log, 1, 1, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    struct disk *other = memory_disk_clone(mine, 3);
    struct segment_log *peer = fixture_open_on(&large, other);
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 1, path);
    cr_assert_eq(memory_disk_flip(mine, path, DATA_POS + 200, 1), 0);
    struct segment_log_view view;
    struct segment_log_problem problem;
    cr_assert_eq(fixture_read_files(log, SEGMENT_LOG_BY_INDEX, 1, 1, 4096, &view, &problem),
                 SEGMENT_LOG_DAMAGED);
    struct segment_log_job *replace = repair_to_replace(log, peer);
    segment_log_job_run(replace);
    segment_log_truncate(log, 41);
    struct segment_log_job_result result;
    segment_log_job_finish(log, replace, &result);
    cr_assert_eq(result.status, SEGMENT_LOG_OK);
    cr_assert_eq(result.repaired_segment, 1);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log).last_index, 40);
    fixture_check_all(log);
    segment_log_close(log);
    log = fixture_open_on(&large, mine);
    cr_assert_eq(fixture_info(log).last_index, 40);
    fixture_check_all(log);
    segment_log_close(log);
    segment_log_close(peer);
    memory_disk_destroy(mine);
    memory_disk_destroy(other);
}

Test(segment_log_repair, a_log_is_cut_at_a_hole_wherever_it_is)
{
    for (uint64_t sequence = 1; sequence <= info.segments_count; sequence++) {
        struct disk *damaged = memory_disk_clone(disk, sequence);
        char path[DISK_PATH_MAX];
        fixture_segment_path("/group", sequence, path);
        if (sequence > 1 && sequence < info.segments_count) {
            cr_assert_eq(disk_unlink(damaged, path), 0);
        } else {
            cr_assert_eq(memory_disk_flip(damaged, path, DATA_POS + 1024 + 60, 1), 0);
        }
        struct segment_log *log = fixture_open_on(&options, damaged);
        struct segment_log_hole hole;
        cr_assert(segment_log_hole_from(log, 0, &hole));
        segment_log_truncate(log, hole.first_index);
        cr_assert_eq(fixture_info(log).last_index, hole.first_index - 1);
        cr_assert_eq(fixture_info(log).holes_count, 0);
        fixture_append(log, 9, 2, 100);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        fixture_check_all(log);
        segment_log_close(log);
        memory_disk_crash(damaged, MEMORY_DISK_POWER);
        log = fixture_open_on(&options, damaged);
        cr_assert_eq(fixture_info(log).last_index, hole.first_index + 1);
        cr_assert_eq(fixture_info(log).holes_count, 0);
        fixture_check_all(log);
        segment_log_close(log);
        memory_disk_destroy(damaged);
    }
}

/* ---- crashes --------------------------------------------------------------------------------------------- */

static void run_until_it_stops(struct segment_log *log, struct segment_log *peer)
{
    if (segment_log_repair_begin(log, 0, NULL, NULL) != SEGMENT_LOG_OK) return;
    struct segment_log_repair_info last;
    while (repair_step(log, &peer, 1, &last)) {
    }
    segment_log_repair_end(log);
}

/* A lost file, rot in a closed segment, and rot in the last one. */
static void damage_for_crash(struct disk *damaged, int kind)
{
    char path[DISK_PATH_MAX];
    fixture_segment_path("/group", 2, path);
    if (kind == 0) cr_assert_eq(disk_unlink(damaged, path), 0);
    if (kind == 0) cr_assert_eq(disk_sync_directory(damaged, "/group"), 0);
    if (kind == 1) damage_entry(damaged, 10);
    if (kind == 2) damage_entry(damaged, info.last_index - 2);
}

Test(segment_log_repair, a_crash_at_any_call_leaves_the_old_state_or_the_new_one)
{
    struct segment_log *peer = fixture_open_on(&options, disk);
    for (int kind = 0; kind < 3; kind++) {
        uint32_t whole = 0, holes = 0;
        bool reached = true;
        for (uint64_t nth = 1; reached; nth++) {
            for (uint64_t seed = 1; seed <= 6; seed++) {
                struct disk *damaged = memory_disk_clone(disk, nth * 16 + seed);
                damage_for_crash(damaged, kind);
                struct segment_log *log = fixture_open_on(&options, damaged);
                uint64_t calls = memory_disk_calls(damaged);
                memory_disk_stop_at(damaged, nth);
                run_until_it_stops(log, peer);
                reached = memory_disk_calls(damaged) - calls >= nth;
                segment_log_close(log);
                memory_disk_crash(damaged, seed % 3 ? MEMORY_DISK_POWER : MEMORY_DISK_KILL);
                log = fixture_open_on(&options, damaged);
                cr_assert_eq(fixture_info(log).last_chain, info.last_chain);
                uint64_t lost = fixture_check_beside_holes(log, chains);
                holes += lost > 0;
                whole += lost == 0;
                if (lost > 0) cr_assert_eq(repair_first_from(log, 0, &peer, 1), SEGMENT_LOG_OK);
                check_whole(log);
                segment_log_close(log);
                memory_disk_destroy(damaged);
            }
        }
        cr_assert_gt(whole, 0);
        cr_assert_gt(holes, 10);
    }
    segment_log_close(peer);
}

Test(segment_log_repair, no_space_ends_the_session_and_the_log_goes_on)
{
    struct segment_log *peer = fixture_open_on(&options, disk);
    struct disk *damaged = memory_disk_clone(disk, 1);
    damage_entry(damaged, 10);
    struct segment_log *log = fixture_open_on(&options, damaged);
    memory_disk_set_capacity(damaged, memory_disk_used(damaged) + 4096);
    cr_assert_eq(repair_first_from(log, 0, &peer, 1), SEGMENT_LOG_FULL);
    memory_disk_set_capacity(damaged, UINT64_MAX);
    fixture_append(log, 9, 1, 100);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    cr_assert_eq(repair_first_from(log, 0, &peer, 1), SEGMENT_LOG_OK);
    cr_assert_eq(fixture_info(log).holes_count, 0);
    segment_log_close(log);
    segment_log_close(peer);
    memory_disk_destroy(damaged);
}

/* ---- in doubt ------------------------------------------------------------------------------------------ */

/* A peer that holds the last entry in front of the damage, too, has the others with it: they are used. */
Test(segment_log_repair, what_is_in_doubt_and_the_same_elsewhere_is_not_asked_for)
{
    struct disk *damaged = memory_disk_clone(disk, 1);
    uint64_t index = 0;
    struct segment_log_hole hole;
    struct segment_log *log = NULL;
    do { /* where a term begins inside of a segment */
        segment_log_close(log);
        memory_disk_destroy(damaged);
        damaged = memory_disk_clone(disk, 1);
        damage_entry(damaged, ++index);
        log = fixture_open_on(&options, damaged);
        cr_assert(segment_log_hole_from(log, 0, &hole));
        cr_assert_eq(hole.first_damaged, index);
        cr_assert_eq(hole.last_index, index);
    } while (hole.first_index == index);
    repair_expect_unread(log, index - 1);
    repair_expect_unread(log, hole.first_index);
    struct segment_log *peer = fixture_open_on(&options, disk);
    struct segment_log_repair_info wanted;
    repair_want_all(log, &wanted);
    cr_assert(wanted.is_doubted);
    cr_assert_eq(wanted.want_first, index);
    segment_log_repair_end(log);
    cr_assert_eq(repair_first_from(log, 0, &peer, 1), SEGMENT_LOG_OK);
    check_whole(log);
    segment_log_close(log);
    segment_log_close(peer);
    memory_disk_destroy(damaged);
}
