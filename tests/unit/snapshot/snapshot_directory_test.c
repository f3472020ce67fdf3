/* Snapshots in their directory: crashes and faults at every disk call, and the choice of the file to start from. */
#include "snapshot_support.h"

#include <snapshot/copy.h>

#include <errno.h>

/* Old: a checkpoint at 10 of 30 pairs. New: one at 20 of 40. */
static struct crash_disk *disk_with_old(void)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_CHECKPOINT, 10, 30);
    disk->calls = 0;
    return disk;
}

static enum snapshot_status write_new(struct crash_disk *disk)
{
    struct snapshot_header header = test_header(SNAPSHOT_CHECKPOINT, 20);
    struct tree *state = test_state(40);
    enum snapshot_status status =
        snapshot_write(&disk->disk, CRASH_DISK_DIRECTORY, &header, state, NULL);
    tree_unref(state);
    return status;
}

static uint32_t calls_of_a_write(void)
{
    struct crash_disk *disk = disk_with_old();
    cr_assert_eq(write_new(disk), SNAPSHOT_OK);
    uint32_t calls = disk->calls;
    crash_disk_destroy(disk);
    cr_assert_geq(calls, 8);
    return calls;
}

/* Whatever is there is one of the two, whole. */
static uint64_t expect_old_or_new(struct crash_disk *disk)
{
    struct test_load load = test_load_newest(disk);
    cr_assert_eq(load.status, SNAPSHOT_OK, "%s: %s", load.problem.path, load.problem.reason);
    cr_assert_eq(load.skipped, 0, "no file under a final name is ever half-written");
    cr_assert(load.header.point.index == 10 || load.header.point.index == 20);
    cr_assert_eq(load.pairs, load.header.point.index == 10 ? 30 : 40);
    return load.header.point.index;
}

Test(snapshot_crash, a_crash_at_any_call_leaves_the_old_or_the_new_snapshot)
{
    uint32_t calls = calls_of_a_write(), loaded_old = 0, loaded_new = 0;
    for (uint32_t crash_at = 1; crash_at <= calls + 1; crash_at++) {
        for (uint32_t cut = 0; cut < CUTS_COUNT; cut++) {
            struct crash_disk *disk = disk_with_old();
            disk->crash_at = crash_at;
            enum snapshot_status status = write_new(disk);
            crash_disk_power_cut(disk, (enum crash_disk_cut)cut);
            uint64_t index = expect_old_or_new(disk);
            if (status == SNAPSHOT_OK) cr_assert_eq(index, 20, "what was reported stays");
            cr_assert_eq(status == SNAPSHOT_OK, crash_at > calls);
            loaded_old += index == 10;
            loaded_new += index == 20;
            cr_assert_leq(crash_disk_names_count(disk), 2, "temporary files are gone");
            crash_disk_destroy(disk);
        }
    }
    cr_assert_gt(loaded_old, 0);
    cr_assert_gt(loaded_new, CUTS_COUNT - 1);
}

Test(snapshot_crash, what_was_loaded_once_is_still_there_after_a_power_cut)
{
    /* A process that died before it synced the directory: the next one sees the file, relies on it, loses power. */
    uint32_t calls = calls_of_a_write();
    struct crash_disk *disk = disk_with_old();
    disk->crash_at = calls; /* the directory sync */
    cr_assert_eq(write_new(disk), SNAPSHOT_IO);
    crash_disk_power_cut(disk, CUT_KEEPS_ALL);
    cr_assert_eq(expect_old_or_new(disk), 20);
    crash_disk_power_cut(disk, CUT_DROPS_ALL);
    cr_assert_eq(expect_old_or_new(disk), 20);
    crash_disk_destroy(disk);
}

Test(snapshot_crash, an_io_error_at_any_call_is_reported_and_harms_nothing)
{
    uint32_t calls = calls_of_a_write(), reads = 0;
    for (uint32_t fail_at = 1; fail_at <= calls; fail_at++) {
        struct crash_disk *disk = disk_with_old();
        disk->fail_at = fail_at;
        disk->fail_error = EIO;
        const enum snapshot_status status = write_new(disk);
        /* What cannot be read back is as bad as what reads back as something else. */
        cr_assert_eq(status, disk->failed_a_read ? SNAPSHOT_DAMAGED : SNAPSHOT_IO, "call %u",
                     fail_at);
        reads += disk->failed_a_read;
        cr_assert_leq(crash_disk_names_count(disk), 2);
        disk->fail_at = 0;
        expect_old_or_new(disk);
        cr_assert_eq(write_new(disk), SNAPSHOT_OK, "a later attempt succeeds");
        cr_assert_eq(expect_old_or_new(disk), 20);
        crash_disk_destroy(disk);
    }
    cr_assert_gt(reads, 0);
}

Test(snapshot_crash, a_full_disk_changes_nothing_and_is_told_from_a_broken_one)
{
    uint32_t calls = calls_of_a_write(), full = 0;
    for (uint32_t fail_at = 1; fail_at <= calls; fail_at++) {
        struct crash_disk *disk = disk_with_old();
        disk->fail_at = fail_at;
        disk->fail_error = ENOSPC;
        enum snapshot_status status = write_new(disk);
        disk->fail_at = 0;
        if (status == SNAPSHOT_FULL) {
            full++;
            cr_assert_eq(crash_disk_names_count(disk), 1, "the temporary file is gone, call %u",
                         fail_at);
            cr_assert_eq(expect_old_or_new(disk), 10);
        } else {
            cr_assert_eq(status, SNAPSHOT_IO, "a sync or a read that fails is never FULL");
        }
        crash_disk_destroy(disk);
    }
    cr_assert_geq(full, 4, "create, header, block, trailer");
}

Test(snapshot_crash, what_does_not_read_back_is_not_published)
{
    struct crash_disk *disk = disk_with_old();
    disk->flips_writes = true;
    cr_assert_eq(write_new(disk), SNAPSHOT_DAMAGED);
    disk->flips_writes = false;
    cr_assert_eq(expect_old_or_new(disk), 10);
    cr_assert_eq(crash_disk_names_count(disk), 1);
    crash_disk_destroy(disk);
}

/* It is read from the device, not from the page cache that has it anyway. */
Test(snapshot_crash, what_the_device_lost_is_not_published)
{
    struct crash_disk *disk = disk_with_old();
    disk->loses_writes = true;
    cr_assert_eq(write_new(disk), SNAPSHOT_DAMAGED);
    disk->loses_writes = false;
    cr_assert_eq(expect_old_or_new(disk), 10);
    cr_assert_eq(crash_disk_names_count(disk), 1);
    crash_disk_destroy(disk);
}

/* A read that fails with EIO has met a place that the disk lost: that is damage of one file, as a flipped bit is, and an older one
 * serves; a node that stopped for it would stop at every start. A disk that cannot open, sync or list says nothing about a file,
 * and no more does any other error of a read: taken for damage, they would cost a state that is whole. */
Test(snapshot_crash, of_all_errors_while_loading_only_an_unreadable_place_is_taken_for_damage)
{
    static const int errors[] = {EIO, ENOMEM};
    struct crash_disk *disk = disk_with_old();
    test_write(disk, SNAPSHOT_BASE, 5, 3);
    disk->calls = 0;
    cr_assert_eq(test_load_newest(disk).status, SNAPSHOT_OK);
    const uint32_t calls = disk->calls;
    uint32_t skipped = 0, told = 0;
    for (uint32_t fail_at = 1; fail_at <= 2 * calls; fail_at++) {
        disk->calls = 0;
        disk->failed_a_read = false;
        disk->fail_at = (fail_at + 1) / 2;
        disk->fail_error = errors[fail_at % 2];
        struct test_load load = test_load_newest(disk);
        if (disk->failed_a_read && disk->fail_error == EIO) {
            cr_assert_eq(load.status, SNAPSHOT_OK, "call %u", disk->fail_at);
            cr_assert_eq(load.header.point.index, 5);
            cr_assert_eq(load.pairs, 3);
            cr_assert_eq(load.skipped, 1);
            cr_assert_eq(strcmp(load.skipped_problem.path, test_path(SNAPSHOT_CHECKPOINT, 10)), 0);
            skipped++;
        } else {
            cr_assert_eq(load.status, SNAPSHOT_IO, "call %u", disk->fail_at);
            cr_assert_eq(load.skipped, 0);
            cr_assert_eq(load.problem.error, disk->fail_error);
            told++;
        }
    }
    cr_assert_geq(skipped, 4, "header, block, trailer");
    cr_assert_gt(told, calls);
    crash_disk_destroy(disk);
}

/* ---- choosing ------------------------------------------------------------------------------------------------------- */

static void damage(struct crash_disk *disk, enum snapshot_kind kind, uint64_t index)
{
    struct crash_disk_bytes *file = crash_disk_file(disk, test_name(kind, index));
    cr_assert_not_null(file);
    file->bytes[file->count / 2] ^= 0x40;
}

Test(snapshot_newest, no_directory_and_an_empty_one_are_missing)
{
    struct crash_disk *disk = crash_disk_create();
    struct snapshot_header own = test_header(SNAPSHOT_BASE, 0), header;
    struct segment_log_problem problem;
    struct tree *state = NULL;
    cr_assert_eq(test_load_newest(disk).status, SNAPSHOT_MISSING);
    cr_assert_eq(snapshot_load_newest(&disk->disk, "nowhere", &own.cluster, own.group, NULL, NULL,
                                      &header, &state, &problem),
                 SNAPSHOT_MISSING);
    cr_assert_eq(
        snapshot_read(&disk->disk, CRASH_DISK_DIRECTORY "/none", &header, &state, &problem),
        SNAPSHOT_MISSING);
    crash_disk_destroy(disk);
}

Test(snapshot_newest, a_place_that_cannot_be_read_costs_its_file_and_no_other)
{
    uint64_t size = 1;
    for (uint64_t pos = 0; pos < size; pos++) {
        struct crash_disk *disk = disk_with_old();
        test_write(disk, SNAPSHOT_BASE, 5, 3);
        size = crash_disk_file(disk, test_name(SNAPSHOT_CHECKPOINT, 10))->count;
        crash_disk_unreadable(disk, test_name(SNAPSHOT_CHECKPOINT, 10), pos);
        struct test_load load = test_load_newest(disk);
        cr_assert_eq(load.status, SNAPSHOT_OK, "byte %llu", (unsigned long long)pos);
        cr_assert_eq(load.pairs, 3);
        cr_assert_eq(load.skipped, 1);
        crash_disk_destroy(disk);
    }
    cr_assert_gt(size, 300);
}

Test(snapshot_newest, the_highest_index_of_either_kind_wins)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_BASE, 5, 1);
    test_write(disk, SNAPSHOT_CHECKPOINT, 100, 2);
    test_write(disk, SNAPSHOT_CHECKPOINT, 20, 3);
    struct test_load load = test_load_newest(disk);
    cr_assert_eq(load.status, SNAPSHOT_OK);
    cr_assert_eq(load.header.point.index, 100);
    cr_assert_eq(load.pairs, 2);
    test_write(disk, SNAPSHOT_BASE, 101, 4);
    load = test_load_newest(disk);
    cr_assert_eq(load.header.point.index, 101);
    cr_assert_eq(load.header.kind, SNAPSHOT_BASE);
    crash_disk_destroy(disk);
}

Test(snapshot_newest, a_damaged_one_is_reported_and_skipped_for_its_copy_or_the_next_older_file)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_BASE, 5, 1);
    test_write(disk, SNAPSHOT_BASE, 30, 7);
    test_write(disk, SNAPSHOT_CHECKPOINT, 30, 7);
    test_write(disk, SNAPSHOT_CHECKPOINT, 40, 8);
    damage(disk, SNAPSHOT_CHECKPOINT, 40);
    struct test_load load = test_load_newest(disk);
    cr_assert_eq(load.status, SNAPSHOT_OK);
    cr_assert_eq(load.header.point.index, 30);
    cr_assert_eq(load.skipped, 1);
    cr_assert_str_eq(load.skipped_problem.path, test_path(SNAPSHOT_CHECKPOINT, 40));

    damage(disk, SNAPSHOT_CHECKPOINT, 30);
    load = test_load_newest(disk);
    cr_assert_eq(load.status, SNAPSHOT_OK);
    cr_assert_eq(load.header.kind, SNAPSHOT_BASE, "at the same index");
    cr_assert_eq(load.skipped, 2);

    struct snapshot_header own = test_header(SNAPSHOT_BASE, 0);
    cr_assert_eq(
        snapshot_copy_base(&disk->disk, CRASH_DISK_DIRECTORY, &own.cluster, own.group, 30, NULL),
        SNAPSHOT_OK);
    damage(disk, SNAPSHOT_BASE, 30);
    load = test_load_newest(disk);
    cr_assert_eq(load.status, SNAPSHOT_OK);
    cr_assert_eq(load.header.point.index, 30, "its copy");
    cr_assert_eq(load.skipped, 3);

    const struct snapshot_file copy = {.kind = SNAPSHOT_BASE, .form = SNAPSHOT_COPY, .index = 30};
    cr_assert_eq(snapshot_remove_file(&disk->disk, CRASH_DISK_DIRECTORY, &copy), 0);
    load = test_load_newest(disk);
    cr_assert_eq(load.status, SNAPSHOT_OK);
    cr_assert_eq(load.header.point.index, 5, "an older one, from which the log is replayed");
    cr_assert_eq(load.skipped, 3);
    crash_disk_destroy(disk);
}

Test(snapshot_newest, only_damaged_checkpoints_are_damage_and_not_a_new_group)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_CHECKPOINT, 30, 7);
    test_write(disk, SNAPSHOT_CHECKPOINT, 40, 8);
    damage(disk, SNAPSHOT_CHECKPOINT, 30);
    damage(disk, SNAPSHOT_CHECKPOINT, 40);
    struct test_load load = test_load_newest(disk);
    cr_assert_eq(load.status, SNAPSHOT_DAMAGED);
    cr_assert_eq(load.skipped, 2);
    cr_assert_str_eq(load.problem.path, test_path(SNAPSHOT_CHECKPOINT, 40));
    crash_disk_destroy(disk);
}

Test(snapshot_newest, a_file_of_another_cluster_or_group_is_foreign)
{
    struct crash_disk *disk = crash_disk_create();
    struct snapshot_header own = test_header(SNAPSHOT_CHECKPOINT, 10), header;
    struct segment_log_problem problem;
    struct tree *state = NULL;
    test_write(disk, SNAPSHOT_CHECKPOINT, 10, 3);
    cr_assert_eq(snapshot_load_newest(&disk->disk, CRASH_DISK_DIRECTORY, &own.cluster,
                                      own.group + 1, NULL, NULL, &header, &state, &problem),
                 SNAPSHOT_FOREIGN);
    own.cluster.bytes[15] ^= 1;
    cr_assert_eq(snapshot_load_newest(&disk->disk, CRASH_DISK_DIRECTORY, &own.cluster, own.group,
                                      NULL, NULL, &header, &state, &problem),
                 SNAPSHOT_FOREIGN);
    cr_assert_null(state);
    crash_disk_destroy(disk);
}

Test(snapshot_newest, a_whole_file_under_a_wrong_name_is_damage)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_CHECKPOINT, 10, 3);
    const struct crash_disk_bytes *file = crash_disk_file(disk, test_name(SNAPSHOT_CHECKPOINT, 10));
    crash_disk_put(disk, test_name(SNAPSHOT_CHECKPOINT, 99), file->bytes, file->count);
    struct test_load load = test_load_newest(disk);
    cr_assert_eq(load.status, SNAPSHOT_OK);
    cr_assert_eq(load.header.point.index, 10);
    cr_assert_eq(load.skipped, 1);
    crash_disk_destroy(disk);
}

Test(snapshot_newest, names_that_only_look_like_ours_are_left_alone)
{
    struct crash_disk *disk = crash_disk_create();
    static const char *const names[] = {
        "base-1.snap",
        "base-00000000000000000001.snapx",
        "base-00000000000000000001.snap.tmp2",
        "base-99999999999999999999.snap", /* above 2^64 */
        "checkpoint-0000000000000000000a.snap",
        "00000000000000000001.segment",
    };
    const uint32_t names_count = sizeof names / sizeof names[0];
    for (uint32_t i = 0; i < names_count; i++)
        crash_disk_put(disk, names[i], "x", 1);
    cr_assert_eq(test_load_newest(disk).status, SNAPSHOT_MISSING);
    cr_assert_eq(snapshot_remove_older(&disk->disk, CRASH_DISK_DIRECTORY, UINT64_MAX), 0);
    cr_assert_eq(crash_disk_names_count(disk), names_count);
    crash_disk_destroy(disk);
}

Test(snapshot_newest, temporary_files_are_removed)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_BASE, 5, 1);
    crash_disk_put(disk, "base-00000000000000000006.snap.tmp", "half", 4);
    crash_disk_put(disk, "checkpoint-00000000000000000007.snap.tmp", "half", 4);
    cr_assert_eq(test_load_newest(disk).header.point.index, 5);
    cr_assert_eq(crash_disk_names_count(disk), 1);
    crash_disk_destroy(disk);
}

Test(snapshot_newest, older_checkpoints_are_removed_and_bases_stay)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_BASE, 5, 1);
    test_write(disk, SNAPSHOT_CHECKPOINT, 6, 1);
    test_write(disk, SNAPSHOT_CHECKPOINT, 7, 1);
    test_write(disk, SNAPSHOT_CHECKPOINT, 8, 1);
    cr_assert_eq(snapshot_remove_older(&disk->disk, CRASH_DISK_DIRECTORY, 8), 0);
    crash_disk_power_cut(disk, CUT_DROPS_ALL);
    cr_assert_eq(crash_disk_names_count(disk), 2, "also after a power cut");
    cr_assert_not_null(crash_disk_file(disk, test_name(SNAPSHOT_BASE, 5)));
    cr_assert_not_null(crash_disk_file(disk, test_name(SNAPSHOT_CHECKPOINT, 8)));
    crash_disk_destroy(disk);
}

/* ---- offline ---------------------------------------------------------------------------------------- */

static struct segment_log_snapshots survey(struct crash_disk *disk)
{
    struct segment_log_snapshots found;
    struct segment_log_problem problem = {0};
    cr_assert_eq(snapshot_survey(&disk->disk, CRASH_DISK_DIRECTORY, &found, &problem), SNAPSHOT_OK,
                 "%s", problem.reason);
    return found;
}

Test(snapshot_survey, bases_and_the_newest_state_are_told)
{
    struct crash_disk *disk = crash_disk_create();
    struct segment_log_snapshots found = survey(disk);
    cr_assert_not(found.has_ids);
    cr_assert_eq(found.bases_count + found.damaged_count, 0);

    const uint64_t bases[] = {5, 20, 30};
    for (size_t i = 0; i < 3; i++) {
        test_write(disk, SNAPSHOT_BASE, bases[i], 3);
    }
    test_write(disk, SNAPSHOT_CHECKPOINT, 40, 8);
    const struct snapshot_header own = test_header(SNAPSHOT_BASE, 30);
    found = survey(disk);
    cr_assert(found.has_ids);
    cr_assert_eq(found.group, own.group);
    cr_assert_eq(memcmp(&found.cluster, &own.cluster, sizeof own.cluster), 0);
    cr_assert_eq(found.bases_count, 3);
    cr_assert_eq(found.newest_base.index, 30);
    cr_assert_eq(found.newest_base.chain, own.point.chain);
    cr_assert_eq(found.oldest_base.index, 5);
    cr_assert_eq(found.damaged_count, 0);
    cr_assert_eq(found.state_index, 40);
    crash_disk_destroy(disk);
}

Test(snapshot_survey, of_a_damaged_one_the_index_is_told_unless_there_is_a_copy)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_BASE, 5, 1);
    test_write(disk, SNAPSHOT_BASE, 20, 3);
    test_write(disk, SNAPSHOT_CHECKPOINT, 40, 8);
    const struct snapshot_header own = test_header(SNAPSHOT_BASE, 5);
    cr_assert_eq(
        snapshot_copy_base(&disk->disk, CRASH_DISK_DIRECTORY, &own.cluster, own.group, 5, NULL),
        SNAPSHOT_OK);
    crash_disk_file(disk, test_name(SNAPSHOT_BASE, 5))->bytes[50] ^= 1;
    crash_disk_file(disk, test_name(SNAPSHOT_BASE, 20))->bytes[50] ^= 1;
    crash_disk_file(disk, test_name(SNAPSHOT_CHECKPOINT, 40))->bytes[50] ^= 1;
    const struct segment_log_snapshots found = survey(disk);
    cr_assert_eq(found.bases_count, 1);
    cr_assert_eq(found.newest_base.index, 5, "by its copy");
    cr_assert_eq(found.oldest_base.index, 5);
    cr_assert_eq(found.damaged_count, 1);
    cr_assert_eq(found.damaged_lowest, 20);
    cr_assert_eq(found.damaged_highest, 20);
    cr_assert_eq(found.state_index, 5, "the newest that is whole");
    crash_disk_destroy(disk);
}
