/* Goal: one flipped byte costs no state: of the base at the start of a log there is a copy, each is made again from the other, at
 * any crash one of them is whole, and a copy never outlives its base. */
#include "snapshot_support.h"

#include <snapshot/copy.h>
#include <snapshot/transfer.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>

#define OLD   10u
#define START 20u

static struct snapshot_header own;

static void set_up(void)
{
    own = test_header(SNAPSHOT_BASE, START);
}

TestSuite(snapshot_copy, .init = set_up, .timeout = 300);

static const char *copy_name(uint64_t index)
{
    static char name[80];
    snprintf(name, sizeof name, "%s.copy", test_name(SNAPSHOT_BASE, index));
    return name;
}

static enum snapshot_status copy_base(struct crash_disk *disk, uint64_t index)
{
    return snapshot_copy_base(&disk->disk, CRASH_DISK_DIRECTORY, &own.cluster, own.group, index,
                              NULL);
}

static enum snapshot_status restore_base(struct crash_disk *disk)
{
    return snapshot_restore_base(&disk->disk, CRASH_DISK_DIRECTORY, &own.cluster, own.group, START,
                                 NULL);
}

static struct crash_disk *disk_with_copy(void)
{
    struct crash_disk *disk = crash_disk_create();
    test_write(disk, SNAPSHOT_BASE, START, 40);
    cr_assert_eq(copy_base(disk, START), SNAPSHOT_OK);
    return disk;
}

static void flip(struct crash_disk *disk, const char *name, uint64_t pos)
{
    crash_disk_file(disk, name)->bytes[pos] ^= 0x10;
}

/* A pass over all files: how many are not whole; *ret_damaged the last one of these. */
static uint32_t check(struct crash_disk *disk, struct snapshot_file *ret_damaged)
{
    struct snapshot_file at;
    uint32_t damaged = 0, seen = 0;
    for (;;) {
        struct snapshot_file found;
        uint64_t bytes;
        const enum snapshot_status status =
            snapshot_check_next(&disk->disk, CRASH_DISK_DIRECTORY, &own.cluster, own.group,
                                seen > 0 ? &at : NULL, &found, &bytes, NULL);
        if (status == SNAPSHOT_MISSING) return damaged;
        cr_assert(status == SNAPSHOT_OK || status == SNAPSHOT_DAMAGED);
        if (status == SNAPSHOT_DAMAGED) {
            damaged++;
            *ret_damaged = found;
        }
        at = found;
        cr_assert_lt(seen++, 20, "the pass ends");
    }
}

/* `harm` does something to the byte at a position, of the base or of its copy. */
static void harm_every_byte(void (*harm)(struct crash_disk *disk, const char *name, uint64_t pos))
{
    uint64_t size = 1;
    for (uint64_t pos = 0; pos < size; pos++) {
        for (int is_copy = 0; is_copy < 2; is_copy++) {
            struct crash_disk *disk = disk_with_copy();
            size = crash_disk_file(disk, copy_name(START))->count;
            struct snapshot_file damaged;
            harm(disk, is_copy ? copy_name(START) : test_name(SNAPSHOT_BASE, START), pos);
            struct test_load load = test_load_newest(disk);
            cr_assert_eq(load.status, SNAPSHOT_OK);
            cr_assert_eq(load.pairs, 40);
            cr_assert_eq(load.skipped, is_copy ? 0 : 1);
            cr_assert_eq(check(disk, &damaged), 1, "byte %" PRIu64, pos);
            cr_assert_eq(damaged.form, is_copy ? SNAPSHOT_COPY : SNAPSHOT_FINAL);
            cr_assert_eq(is_copy ? restore_base(disk) : copy_base(disk, START), SNAPSHOT_DAMAGED,
                         "not from what is damaged");
            cr_assert_eq(is_copy ? copy_base(disk, START) : restore_base(disk), SNAPSHOT_OK);
            cr_assert_eq(check(disk, &damaged), 0, "byte %" PRIu64, pos);
            crash_disk_destroy(disk);
        }
    }
}

Test(snapshot_copy, every_flipped_byte_of_one_is_found_and_made_whole_from_the_other)
{
    harm_every_byte(flip);
}

Test(snapshot_copy, every_byte_of_one_that_cannot_be_read_is_made_whole_from_the_other)
{
    harm_every_byte(crash_disk_unreadable);
}

/* It was whole when it was looked at, and cannot be read when it is copied: it is that file, not the disk. What was just written
 * and does not read back is the disk, and the base is not blamed. */
Test(snapshot_copy, an_error_while_copying_is_damage_only_of_what_cannot_be_read)
{
    uint32_t unreadable = 0, unwritten = 0, told = 0;
    enum snapshot_status status = SNAPSHOT_IO;
    for (uint32_t call = 1; status != SNAPSHOT_OK; call++) {
        struct crash_disk *disk = disk_with_copy();
        disk->fail_at = disk->calls + call;
        disk->fail_error = EIO;
        status = restore_base(disk);
        if (status == SNAPSHOT_DAMAGED) {
            cr_assert(disk->failed_a_read, "call %u", call);
            cr_assert_eq(unwritten, 0, "call %u: read back", call);
            unreadable++;
        } else if (status != SNAPSHOT_OK) {
            cr_assert_eq(status, SNAPSHOT_IO, "call %u", call);
            unwritten += disk->failed_a_read;
            told += !disk->failed_a_read;
        }
        crash_disk_destroy(disk);
    }
    cr_assert_geq(unreadable, 5, "when it is looked at, and copied");
    cr_assert_geq(unwritten, 3, "when it is read back");
    cr_assert_geq(told, 8);
}

Test(snapshot_copy, a_base_that_vanished_is_found_by_its_copy)
{
    struct crash_disk *disk = disk_with_copy();
    const struct snapshot_file base = {
        .kind = SNAPSHOT_BASE, .form = SNAPSHOT_FINAL, .index = START};
    struct snapshot_file damaged;
    struct segment_log_point point;
    uint32_t count;
    cr_assert_eq(snapshot_remove_file(&disk->disk, CRASH_DISK_DIRECTORY, &base), 0);
    cr_assert_eq(test_load_newest(disk).pairs, 40);
    cr_assert_eq(snapshot_list_bases(&disk->disk, CRASH_DISK_DIRECTORY, &own.cluster, own.group,
                                     &point, 1, &count, NULL, NULL),
                 SNAPSHOT_OK);
    cr_assert_eq(count, 1);
    cr_assert_eq(check(disk, &damaged), 1);
    cr_assert_eq(damaged.form, SNAPSHOT_FINAL);
    cr_assert_eq(restore_base(disk), SNAPSHOT_OK);
    cr_assert_eq(check(disk, &damaged), 0);
    crash_disk_destroy(disk);
}

/* The call at which it ends, then each way in which a power cut may treat what was not synced. */
Test(snapshot_copy, a_crash_while_one_is_made_again_leaves_the_other_whole)
{
    for (int is_copy = 0; is_copy < 2; is_copy++) {
        for (uint32_t cut = 0; cut < CUTS_COUNT; cut++) {
            bool has_ended = false;
            for (uint32_t call = 1; !has_ended; call++) {
                struct crash_disk *disk = disk_with_copy();
                flip(disk, is_copy ? copy_name(START) : test_name(SNAPSHOT_BASE, START), 77);
                disk->crash_at = disk->calls + call;
                const enum snapshot_status status =
                    is_copy ? copy_base(disk, START) : restore_base(disk);
                has_ended = status == SNAPSHOT_OK;
                crash_disk_power_cut(disk, (enum crash_disk_cut)cut);
                disk->crash_at = 0;
                cr_assert_eq(test_load_newest(disk).pairs, 40, "call %u", call);
                cr_assert_eq(is_copy ? copy_base(disk, START) : restore_base(disk), SNAPSHOT_OK);
                struct snapshot_file damaged;
                cr_assert_eq(check(disk, &damaged), 0);
                crash_disk_destroy(disk);
            }
        }
    }
}

/* A copy without its base stands for it. That of a base that was dropped would show a log that starts where it does no more. */
Test(snapshot_copy, no_crash_leaves_the_copy_of_a_base_that_was_removed)
{
    for (uint32_t cut = 0; cut < CUTS_COUNT; cut++) {
        bool has_ended = false;
        for (uint32_t call = 1; !has_ended; call++) {
            struct crash_disk *disk = crash_disk_create();
            test_write(disk, SNAPSHOT_BASE, OLD, 5);
            test_write(disk, SNAPSHOT_BASE, START, 40);
            cr_assert_eq(copy_base(disk, OLD), SNAPSHOT_OK);
            disk->crash_at = disk->calls + call;
            has_ended = snapshot_remove_below(&disk->disk, CRASH_DISK_DIRECTORY, START) == 0;
            crash_disk_power_cut(disk, (enum crash_disk_cut)cut);
            const bool has_base = crash_disk_file(disk, test_name(SNAPSHOT_BASE, OLD)) != NULL;
            const bool has_copy = crash_disk_file(disk, copy_name(OLD)) != NULL;
            cr_assert(has_base || !has_copy, "call %u", call);
            cr_assert(!has_ended || !has_base);
            crash_disk_destroy(disk);
        }
    }
}
