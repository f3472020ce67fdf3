/* Goal: a node knows who it is, or knows that it does not (PROTOCOL M2, M6). */
#include "log_fixture.h"

#include "memory_disk.h"

#include <segment_log/node_store.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct node_identity example(uint64_t incarnation)
{
    struct node_identity identity = {
        .node_id = 3, .incarnation = incarnation, .cluster = fixture_cluster, .founding_bytes = 5};
    memcpy(identity.founding, "abcde", 5);
    return identity;
}

static enum node_identity_status load(struct disk *disk, struct node_identity *ret_identity)
{
    struct segment_log_problem problem = {0};
    enum node_identity_status status = node_identity_load(disk, "/data", ret_identity, &problem);
    if (status != NODE_IDENTITY_OK) cr_assert_neq(problem.reason[0], 0);
    return status;
}

Test(node_identity, comes_back_as_saved_with_its_longest_founding)
{
    struct disk *disk = memory_disk_create(1);
    struct node_identity identity = example(77), found;
    identity.founding_bytes = NODE_FOUNDING_BYTES_MAX;
    memset(identity.founding, 'x', NODE_FOUNDING_BYTES_MAX);
    cr_assert_eq(disk_make_directory(disk, "/data"), 0);
    cr_assert_eq(node_identity_save(disk, "/data", &identity), 0);
    cr_assert_eq(load(disk, &found), NODE_IDENTITY_OK);
    cr_assert_eq(found.node_id, 3);
    cr_assert_eq(found.incarnation, 77);
    cr_assert_eq(memcmp(&found.cluster, &fixture_cluster, sizeof found.cluster), 0);
    cr_assert_eq(found.founding_bytes, NODE_FOUNDING_BYTES_MAX);
    cr_assert_eq(memcmp(found.founding, identity.founding, NODE_FOUNDING_BYTES_MAX), 0);
    cr_assert_not(found.join_only);
    cr_assert_not(found.replicas_made);
    cr_assert_eq(found.incarnation_index, 0);
    memory_disk_destroy(disk);
}

Test(node_identity, no_or_an_empty_directory_is_missing_but_other_files_without_it_are_damage)
{
    struct disk *disk = memory_disk_create(1);
    struct node_identity found;
    cr_assert_eq(load(disk, &found), NODE_IDENTITY_MISSING);
    struct disk_file *lock;
    cr_assert_eq(node_directory_lock(disk, "/data", &lock), 0);
    cr_assert_eq(load(disk, &found), NODE_IDENTITY_MISSING, "the lock file alone is nothing");
    disk_close(lock);
    struct node_store *store;
    struct segment_log_problem problem;
    cr_assert_eq(node_store_open(disk, "/data", &fixture_cluster, 1, true, &store, &problem),
                 SEGMENT_LOG_OK);
    node_store_close(store);
    cr_assert_eq(load(disk, &found), NODE_IDENTITY_DAMAGED);
    memory_disk_destroy(disk);
}

Test(node_identity, no_flipped_bit_passes)
{
    struct disk *disk = memory_disk_create(1);
    struct node_identity identity = example(77), found;
    cr_assert_eq(disk_make_directory(disk, "/data"), 0);
    cr_assert_eq(node_identity_save(disk, "/data", &identity), 0);
    for (uint64_t pos = 0; pos < 8192; pos += pos < 64 || (pos >= 4090 && pos < 4110) ? 1 : 17) {
        const uint64_t other = 8192 + (pos * 31) % 8192;
        cr_assert_eq(memory_disk_flip(disk, "/data/identity", pos, 0x20), 0);
        cr_assert_eq(memory_disk_flip(disk, "/data/identity", other, 0x20), 0);
        cr_assert_eq(load(disk, &found), NODE_IDENTITY_DAMAGED, "byte %lu", (unsigned long)pos);
        cr_assert_eq(memory_disk_flip(disk, "/data/identity", pos, 0x20), 0);
        cr_assert_eq(memory_disk_flip(disk, "/data/identity", other, 0x20), 0);
    }
    cr_assert_eq(load(disk, &found), NODE_IDENTITY_OK);
    memory_disk_destroy(disk);
}

static uint32_t damaged_copies(struct disk *disk)
{
    uint8_t bytes[2][8192];
    struct disk_file *file;
    cr_assert_eq(disk_open(disk, "/data/identity", DISK_READ, &file), 0);
    for (uint64_t i = 0; i < 2; i++) {
        cr_assert_eq(disk_pread(file, bytes[i], sizeof bytes[i], i * sizeof bytes[i]), 8192);
    }
    disk_close(file);
    return memcmp(bytes[0], bytes[1], sizeof bytes[0]) != 0;
}

/* By a start, and by whoever looks while the node runs. */
Test(node_identity, a_flipped_bit_in_one_copy_is_mended_from_the_other)
{
    struct disk *disk = memory_disk_create(1);
    const struct node_identity identity = example(77);
    struct node_identity found;
    cr_assert_eq(disk_make_directory(disk, "/data"), 0);
    cr_assert_eq(node_identity_save(disk, "/data", &identity), 0);
    for (uint64_t pos = 0; pos < 16384; pos += pos % 4096 < 90 ? 1 : 61) {
        bool mended = false;
        cr_assert_eq(memory_disk_flip(disk, "/data/identity", pos, 0x20), 0);
        cr_assert_eq(damaged_copies(disk), 1);
        if (pos % 2) {
            cr_assert_eq(load(disk, &found), NODE_IDENTITY_OK, "byte %lu", (unsigned long)pos);
            cr_assert_eq(found.incarnation, 77);
        } else {
            cr_assert_eq(node_identity_check(disk, "/data", &identity, &mended), 0);
            cr_assert(mended, "byte %lu", (unsigned long)pos);
        }
        cr_assert_eq(damaged_copies(disk), 0, "byte %lu", (unsigned long)pos);
        cr_assert_eq(node_identity_check(disk, "/data", &identity, &mended), 0);
        cr_assert_not(mended);
    }
    memory_disk_destroy(disk);
}

Test(node_identity, a_block_of_one_copy_that_cannot_be_read_is_mended_from_the_other)
{
    struct disk *disk = memory_disk_create(1);
    const struct node_identity identity = example(77);
    struct node_identity found;
    cr_assert_eq(disk_make_directory(disk, "/data"), 0);
    cr_assert_eq(node_identity_save(disk, "/data", &identity), 0);
    for (uint64_t round = 0; round < 8; round++) {
        bool mended = false;
        cr_assert_eq(memory_disk_unreadable(disk, "/data/identity", round % 4 * 4096, 1), 0);
        if (round < 4) {
            cr_assert_eq(load(disk, &found), NODE_IDENTITY_OK, "block %lu", (unsigned long)round);
            cr_assert_eq(found.incarnation, 77);
        } else {
            cr_assert_eq(node_identity_check(disk, "/data", &identity, &mended), 0);
            cr_assert(mended, "block %lu", (unsigned long)round);
        }
        cr_assert_eq(memory_disk_unreadable_count(disk, "/data/identity"), 0);
        cr_assert_eq(node_identity_check(disk, "/data", &identity, &mended), 0);
        cr_assert_not(mended);
    }
    memory_disk_destroy(disk);
}

/* Cut where its first copy says all that it has to say: whole. In front of that: damage, and no file of another version. */
Test(node_identity, a_file_that_was_cut_is_whole_or_damaged)
{
    const struct node_identity identity = example(77);
    uint32_t whole = 0;
    for (uint64_t bytes = 0; bytes < 16384; bytes += 101) {
        struct disk *disk = memory_disk_create(1);
        struct node_identity found;
        cr_assert_eq(disk_make_directory(disk, "/data"), 0);
        cr_assert_eq(node_identity_save(disk, "/data", &identity), 0);
        struct disk_file *file;
        cr_assert_eq(disk_open(disk, "/data/identity", DISK_WRITE, &file), 0);
        cr_assert_eq(disk_truncate(file, bytes), 0);
        disk_close(file);
        const enum node_identity_status status = load(disk, &found);
        if (status == NODE_IDENTITY_OK) {
            cr_assert_eq(found.incarnation, 77, "cut to %lu", (unsigned long)bytes);
            cr_assert_eq(damaged_copies(disk), 0);
            whole++;
        } else {
            cr_assert_eq(status, NODE_IDENTITY_DAMAGED, "cut to %lu", (unsigned long)bytes);
        }
        memory_disk_destroy(disk);
    }
    cr_assert_gt(whole, 16384 / 2 / 101);
}

/* Save an identity, crash at the n-th call of saving the next: the old or the new one is there, whole, and the new one
 * when saving it had returned 0. */
static bool crash_at(uint64_t nth, uint64_t seed, bool first_time)
{
    struct disk *disk = memory_disk_create(seed);
    struct node_identity old = example(1), new = example(2), found;
    cr_assert_eq(disk_make_directory(disk, "/data"), 0);
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
    if (!first_time) cr_assert_eq(node_identity_save(disk, "/data", &old), 0);
    memory_disk_stop_at(disk, nth);
    int error = node_identity_save(disk, "/data", &new);
    memory_disk_crash(disk, seed % 3 ? MEMORY_DISK_POWER : MEMORY_DISK_KILL);
    enum node_identity_status status = load(disk, &found);
    if (status == NODE_IDENTITY_MISSING) {
        cr_assert(first_time && error);
    } else {
        cr_assert_eq(status, NODE_IDENTITY_OK);
        cr_assert(found.incarnation == 2 || (error && !first_time && found.incarnation == 1));
    }
    /* What was loaded once is never another one later. */
    memory_disk_crash(disk, MEMORY_DISK_POWER);
    struct node_identity again;
    if (status == NODE_IDENTITY_OK) {
        cr_assert_eq(load(disk, &again), NODE_IDENTITY_OK);
        cr_assert_eq(again.incarnation, found.incarnation);
    }
    cr_assert_eq(node_identity_save(disk, "/data", &new), 0, "a crash leaves nothing in the way");
    memory_disk_destroy(disk);
    return error != 0;
}

Test(node_identity, a_crash_at_any_call_leaves_the_old_or_the_new_one)
{
    for (int first_time = 0; first_time < 2; first_time++) {
        bool stopped = true;
        for (uint64_t nth = 1; stopped; nth++) {
            cr_assert_lt(nth, 50);
            for (uint64_t seed = 0; seed < 200; seed++) {
                stopped = crash_at(nth, seed * 64 + nth, first_time == 1);
            }
        }
    }
}

Test(node_identity, marks_come_back_each_alone)
{
    struct disk *disk = memory_disk_create(1);
    cr_assert_eq(disk_make_directory(disk, "/data"), 0);
    for (int marks = 0; marks < 4; marks++) {
        struct node_identity identity = example(77), found;
        identity.join_only = (marks & 1) != 0;
        identity.replicas_made = (marks & 2) != 0;
        identity.incarnation_index = (uint64_t)marks << 40;
        cr_assert_eq(node_identity_save(disk, "/data", &identity), 0);
        cr_assert_eq(load(disk, &found), NODE_IDENTITY_OK);
        cr_assert_eq(found.join_only, identity.join_only);
        cr_assert_eq(found.replicas_made, identity.replicas_made);
        cr_assert_eq(found.incarnation_index, identity.incarnation_index);
    }
    memory_disk_destroy(disk);
}

/* ---- directories set aside ------------------------------------------------------------------------------------ */

static void put_identity(struct disk *disk, const char *directory, uint64_t node_id, bool founded)
{
    struct node_identity identity = example(77);
    identity.node_id = node_id;
    if (!founded) identity.founding_bytes = 0;
    cr_assert_eq(disk_make_directory(disk, directory), 0);
    cr_assert_eq(node_identity_save(disk, directory, &identity), 0);
}

static void expect_aside(struct disk *disk, const char *directory, const char *expected)
{
    char path[DISK_PATH_MAX] = "";
    const int found = node_directory_find_aside(disk, directory, 3, path);
    cr_assert_eq(found, expected ? 1 : 0, "%s: %d, %s", directory, found, path);
    if (expected) cr_assert_str_eq(path, expected);
}

Test(node_identity, a_directory_of_this_node_beside_its_own_is_found)
{
    struct disk *disk = memory_disk_create(1);
    cr_assert_eq(disk_make_directory(disk, "/var"), 0);
    put_identity(disk, "/var/n3", 3, true);
    expect_aside(disk, "/var/n3", NULL);
    put_identity(disk, "/var/n3.old", 3, true);
    expect_aside(disk, "/var/n3", "/var/n3.old");
    expect_aside(disk, "/var/n3///", "/var/n3.old");
    expect_aside(disk, "/var/n3.old", NULL);
    expect_aside(disk, "/var", NULL);
    expect_aside(disk, "/", NULL);
    expect_aside(disk, ".", NULL);
    memory_disk_destroy(disk);
}

Test(node_identity, what_is_no_directory_of_this_node_is_not_taken_for_one)
{
    struct disk *disk = memory_disk_create(1);
    struct disk_file *file;
    put_identity(disk, "/n3.other", 4, true);
    put_identity(disk, "/n3.empty", 3, false);
    put_identity(disk, "/n31", 3, true);
    cr_assert_eq(disk_make_directory(disk, "/n3.photos"), 0);
    cr_assert_eq(disk_open(disk, "/n3.log", DISK_CREATE_NEW, &file), 0);
    disk_close(file);
    expect_aside(disk, "/n3", NULL);
    memory_disk_destroy(disk);
}

Test(node_identity, a_directory_aside_counts_when_its_identity_is_damaged_or_lost)
{
    struct disk *disk = memory_disk_create(1);
    put_identity(disk, "/n3.bad", 3, true);
    cr_assert_eq(memory_disk_flip(disk, "/n3.bad/identity", 20, 1), 0);
    expect_aside(disk, "/n3", "/n3.bad");
    cr_assert_eq(disk_unlink(disk, "/n3.bad/identity"), 0);
    expect_aside(disk, "/n3", NULL);
    cr_assert_eq(disk_make_directory(disk, "/n3.bad/groups"), 0);
    expect_aside(disk, "/n3", "/n3.bad");
    memory_disk_destroy(disk);
}

/* ---- set aside -------------------------------------------------------------------------------------------- */

static bool is_there(struct disk *disk, const char *path)
{
    struct disk_file *file = NULL;
    if (disk_open(disk, path, DISK_READ, &file) != 0) return false;
    disk_close(file);
    return true;
}

static void put_file(struct disk *disk, const char *path)
{
    struct disk_file *file = NULL;
    cr_assert_eq(disk_open(disk, path, DISK_CREATE_NEW, &file), 0, "%s", path);
    cr_assert_eq(disk_pwrite(file, "x", 1, 0), 0);
    cr_assert_eq(disk_datasync(file), 0);
    disk_close(file);
}

/* The directory may be somebody's home: what no node made stays where it is. */
Test(node_identity, only_what_a_node_made_is_set_aside_and_numbers_are_not_used_twice)
{
    struct disk *disk = memory_disk_create(1);
    char path[DISK_PATH_MAX];
    cr_assert_eq(disk_make_directory(disk, "/data"), 0);
    put_file(disk, "/data/letters.txt");
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
    cr_assert_eq(disk_sync_directory(disk, "/data"), 0);
    cr_assert_eq(node_directory_set_aside(disk, "/data", path), 0);
    cr_assert_str_eq(path, "", "nothing here is a node's");
    cr_assert(is_there(disk, "/data/letters.txt"));
    for (uint32_t number = 1; number <= 3; number++) {
        put_file(disk, "/data/identity");
        put_file(disk, "/data/votes");
        cr_assert_eq(disk_sync_directory(disk, "/data"), 0);
        cr_assert_eq(node_directory_set_aside(disk, "/data", path), 0);
        char expected[64];
        snprintf(expected, sizeof expected, "/data/unreadable-%u", number);
        cr_assert_str_eq(path, expected);
        memory_disk_crash(disk, MEMORY_DISK_POWER);
        cr_assert_not(is_there(disk, "/data/votes"));
        strcat(expected, "/votes");
        cr_assert(is_there(disk, expected), "durably");
    }
    cr_assert(is_there(disk, "/data/letters.txt"));
    memory_disk_destroy(disk);
}

Test(node_identity, what_is_left_of_a_directory_that_was_set_aside_is_new_and_only_joins)
{
    struct disk *disk = memory_disk_create(1);
    struct node_identity found;
    char path[DISK_PATH_MAX] = "";
    cr_assert_eq(disk_make_directory(disk, "/data"), 0);
    cr_assert_eq(node_directory_find_aside(disk, "/data", 3, path), 0);
    put_file(disk, "/data/identity");
    cr_assert_eq(load(disk, &found), NODE_IDENTITY_DAMAGED);
    cr_assert_eq(node_directory_set_aside(disk, "/data", path), 0);
    cr_assert_eq(load(disk, &found), NODE_IDENTITY_MISSING);
    cr_assert_eq(node_directory_find_aside(disk, "/data", 3, path), 1);
    cr_assert_str_eq(path, "/data/unreadable-1");
    memory_disk_destroy(disk);
}

/* ---- a directory that is somebody else's ---------------------------------------------------------------------------- */

/* A volume that was just made holds this one directory. */
Test(node_identity, an_empty_lost_found_is_nothing_and_one_with_files_is_not)
{
    struct disk *disk = memory_disk_create(1);
    struct node_identity found;
    char names[256];
    cr_assert_eq(disk_make_directory(disk, "/data"), 0);
    cr_assert_eq(disk_make_directory(disk, "/data/lost+found"), 0);
    cr_assert_eq(load(disk, &found), NODE_IDENTITY_MISSING);
    cr_assert_eq(node_directory_find_strangers(disk, "/data", names, sizeof names), 0);
    put_file(disk, "/data/lost+found/#1234");
    cr_assert_eq(load(disk, &found), NODE_IDENTITY_DAMAGED, "it may be a node's");
    cr_assert_eq(node_directory_find_strangers(disk, "/data", names, sizeof names), 0,
                 "whoever is told to take another directory founds an empty cluster there");
    put_file(disk, "/data/thesis.txt");
    cr_assert_eq(node_directory_find_strangers(disk, "/data", names, sizeof names), 0);
    memory_disk_destroy(disk);
}

static const struct disk_vtable *vtable_of_all;
static int subdirectories;

static int list_but_lost_found(struct disk *disk, const char *path, disk_list_cb cb, void *data)
{
    if (strstr(path, "lost+found")) return -EACCES;
    return vtable_of_all->list(disk, path, cb, data);
}

static int tell_subdirectories(struct disk *disk, const char *path)
{
    (void)disk;
    return strstr(path, "lost+found") ? subdirectories : 0;
}

/* It belongs to root. What fsck found again of a node is in there with the node's directories. */
Test(node_identity, a_lost_found_that_may_not_be_read_is_nothing_when_no_directory_is_in_it)
{
    struct disk *disk = memory_disk_create(1);
    struct node_identity found;
    char names[256];
    vtable_of_all = disk->vtable;
    struct disk_vtable vtable = *disk->vtable;
    vtable.list = list_but_lost_found;
    cr_assert_eq(disk_make_directory(disk, "/data"), 0);
    cr_assert_eq(disk_make_directory(disk, "/data/lost+found"), 0);
    disk->vtable = &vtable;
    vtable.has_subdirectories = NULL;
    cr_assert_eq(load(disk, &found), NODE_IDENTITY_DAMAGED, "nobody knows");
    vtable.has_subdirectories = tell_subdirectories;
    subdirectories = 1;
    cr_assert_eq(load(disk, &found), NODE_IDENTITY_DAMAGED);
    subdirectories = 0;
    cr_assert_eq(load(disk, &found), NODE_IDENTITY_MISSING);
    cr_assert_eq(node_directory_find_strangers(disk, "/data", names, sizeof names), 0);
    disk->vtable = vtable_of_all;
    memory_disk_destroy(disk);
}

Test(node_identity, strangers_are_named_where_nothing_is_a_nodes)
{
    struct disk *disk = memory_disk_create(1);
    char names[256];
    cr_assert_eq(node_directory_find_strangers(disk, "/data", names, sizeof names), 0);
    cr_assert_eq(disk_make_directory(disk, "/data"), 0);
    cr_assert_eq(node_directory_find_strangers(disk, "/data", names, sizeof names), 0);
    put_file(disk, "/data/LOCK");
    cr_assert_eq(node_directory_find_strangers(disk, "/data", names, sizeof names), 0);
    put_file(disk, "/data/a");
    cr_assert_eq(node_directory_find_strangers(disk, "/data", names, sizeof names), 1);
    cr_assert_str_eq(names, "a");
    put_file(disk, "/data/b");
    put_file(disk, "/data/c");
    put_file(disk, "/data/d");
    put_file(disk, "/data/e");
    cr_assert_eq(node_directory_find_strangers(disk, "/data", names, sizeof names), 1);
    cr_assert_str_eq(names, "a, b, c and 2 more");
    static const char *const own[] = {"groups", "votes", "unreadable-1", "identity"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        char path[64];
        snprintf(path, sizeof path, "/data/%s", own[i]);
        put_file(disk, path);
        cr_assert_eq(node_directory_find_strangers(disk, "/data", names, sizeof names), 0, "%s",
                     own[i]);
        cr_assert_eq(disk_unlink(disk, path), 0);
    }
    memory_disk_destroy(disk);
}
