/* Goal: the disk of the tests loses what a real one may lose, and keeps what it must keep. */
#include "memory_disk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct disk *disk;

static void set_up(void)
{
    disk = memory_disk_create(7);
}

static void tear_down(void)
{
    memory_disk_destroy(disk);
}

TestSuite(memory_disk, .init = set_up, .fini = tear_down);

static struct disk_file *make(const char *path, const void *bytes, size_t bytes_count)
{
    struct disk_file *file;
    cr_assert_eq(disk_open(disk, path, DISK_CREATE_NEW, &file), 0);
    cr_assert_eq(disk_pwrite(file, bytes, bytes_count, 0), 0);
    return file;
}

static ssize_t slurp(struct disk *from, const char *path, uint8_t *buffer, size_t bytes)
{
    struct disk_file *file;
    int error = disk_open(from, path, DISK_READ, &file);
    if (error) return error;
    ssize_t got = disk_pread(file, buffer, bytes, 0);
    disk_close(file);
    return got;
}

Test(memory_disk, a_kill_keeps_all_writes_and_ends_all_handles_and_locks)
{
    struct disk_file *file = make("/a", "hello", 5), *lock, *again;
    cr_assert_eq(disk_lock(disk, "/LOCK", &lock), 0);
    cr_assert_eq(disk_lock(disk, "/LOCK", &again), -EAGAIN);
    memory_disk_crash(disk, MEMORY_DISK_KILL);
    uint8_t found[8];
    cr_assert_eq(slurp(disk, "/a", found, 8), 5);
    cr_assert_eq(memcmp(found, "hello", 5), 0);
    cr_assert_eq(disk_pwrite(file, "x", 1, 0), -EIO);
    cr_assert_eq(disk_pread(file, found, 1, 0), -EIO);
    cr_assert_eq(disk_lock(disk, "/LOCK", &again), 0);
    disk_close(file);
    disk_close(lock);
    disk_close(again);
}

Test(memory_disk, a_power_cut_keeps_what_was_synced_with_its_name)
{
    struct disk_file *file = make("/a", "hello", 5);
    cr_assert_eq(disk_datasync(file), 0);
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
    disk_close(file);
    for (int i = 0; i < 50; i++) {
        memory_disk_crash(disk, MEMORY_DISK_POWER);
        uint8_t found[8];
        cr_assert_eq(slurp(disk, "/a", found, 8), 5);
        cr_assert_eq(memcmp(found, "hello", 5), 0);
    }
}

Test(memory_disk, unsynced_sectors_are_kept_dropped_and_torn)
{
    static uint8_t old[4096], new[4096], found[4096];
    memset(old, 'o', sizeof old);
    memset(new, 'n', sizeof new);
    struct disk_file *file = make("/a", old, sizeof old);
    cr_assert_eq(disk_datasync(file), 0);
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
    cr_assert_eq(disk_pwrite(file, new, sizeof new, 0), 0);
    int kept = 0, dropped = 0, torn = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct disk *copy = memory_disk_clone(disk, seed);
        memory_disk_crash(copy, MEMORY_DISK_POWER);
        cr_assert_eq(slurp(copy, "/a", found, sizeof found), 4096);
        for (size_t s = 0; s < 8; s++) {
            bool is_new = memcmp(found + 512 * s, new, 512) == 0;
            bool is_old = memcmp(found + 512 * s, old, 512) == 0;
            kept += is_new;
            dropped += is_old;
            torn += !is_new && !is_old;
        }
        memory_disk_destroy(copy);
    }
    cr_assert_gt(kept, 100);
    cr_assert_gt(dropped, 100);
    cr_assert_gt(torn, 100);
    disk_close(file);
}

Test(memory_disk, unsynced_names_are_kept_or_dropped_each_for_itself)
{
    struct disk_file *file = make("/a", "1", 1);
    cr_assert_eq(disk_datasync(file), 0);
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
    disk_close(file);
    disk_close(make("/b", "2", 1));
    cr_assert_eq(disk_rename(disk, "/a", "/c"), 0);
    bool seen[2][2] = {{0}};
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct disk *copy = memory_disk_clone(disk, seed);
        memory_disk_crash(copy, MEMORY_DISK_POWER);
        uint8_t byte;
        bool has_a = slurp(copy, "/a", &byte, 1) >= 0, has_c = slurp(copy, "/c", &byte, 1) >= 0;
        cr_assert_neq(has_a, has_c, "a rename is old or new, never both or none");
        cr_assert_eq(byte, '1');
        seen[has_c][slurp(copy, "/b", &byte, 1) >= 0] = true;
        memory_disk_destroy(copy);
    }
    cr_assert(seen[0][0] && seen[0][1] && seen[1][0] && seen[1][1]);
}

Test(memory_disk, pages_of_a_failed_sync_look_written_and_are_not)
{
    static uint8_t new[51200], found[51200];
    memset(new, 'n', sizeof new);
    struct disk_file *file = make("/a", "old", 3);
    cr_assert_eq(disk_datasync(file), 0);
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
    cr_assert_eq(disk_pwrite(file, new, sizeof new, 0), 0);
    memory_disk_fail_sync(disk, 1);
    cr_assert_eq(disk_datasync(file), -EIO);
    cr_assert_eq(disk_datasync(file), 0, "the next one has nothing left to write");
    cr_assert_eq(disk_pread(file, found, sizeof found, 0), (ssize_t)sizeof found);
    cr_assert_eq(memcmp(found, new, sizeof new), 0);
    cr_assert_eq(disk_drop_cache(file), 0);
    disk_pread(file, found, sizeof found, 0);
    cr_assert_neq(memcmp(found, new, sizeof new), 0);
    disk_close(file);
}

Test(memory_disk, the_same_seed_gives_the_same_disk)
{
    uint8_t found[2][4096];
    for (int i = 0; i < 2; i++) {
        memory_disk_destroy(disk);
        disk = memory_disk_create(99);
        static uint8_t bytes[4096];
        memset(bytes, 'x', sizeof bytes);
        struct disk_file *file = make("/a", "", 0);
        cr_assert_eq(disk_sync_directory(disk, "/"), 0);
        cr_assert_eq(disk_pwrite(file, bytes, sizeof bytes, 0), 0);
        disk_close(file);
        memory_disk_crash(disk, MEMORY_DISK_POWER);
        memset(found[i], 0, sizeof found[i]);
        slurp(disk, "/a", found[i], sizeof found[i]);
    }
    cr_assert_arr_eq(found[0], found[1], sizeof found[0]);
}

Test(memory_disk, faults_come_when_asked_and_a_stopped_disk_stays_stopped)
{
    struct disk_file *file = make("/a", "1", 1);
    memory_disk_fail_call(disk, 2, -ENOSPC);
    cr_assert_eq(disk_pwrite(file, "2", 1, 1), 0);
    cr_assert_eq(disk_pwrite(file, "3", 1, 2), -ENOSPC);
    cr_assert_eq(disk_pwrite(file, "3", 1, 2), 0);
    memory_disk_set_capacity(disk, 3);
    cr_assert_eq(disk_pwrite(file, "3", 1, 2), 0, "no more room is needed");
    cr_assert_eq(disk_pwrite(file, "4", 1, 3), -ENOSPC);
    memory_disk_set_capacity(disk, UINT64_MAX);
    memory_disk_stop_at(disk, 1);
    cr_assert_eq(disk_datasync(file), -EIO);
    cr_assert_eq(disk_unlink(disk, "/a"), -EIO);
    struct disk_file *other;
    cr_assert_eq(disk_open(disk, "/a", DISK_READ, &other), -EIO);
    disk_close(file);
    memory_disk_crash(disk, MEMORY_DISK_KILL);
    cr_assert_eq(disk_unlink(disk, "/a"), 0);
}

Test(memory_disk, a_lying_sync_says_that_it_wrote_and_an_honest_one_writes_all)
{
    uint8_t found[4] = {0};
    struct disk_file *file = make("/a", "old", 3);
    cr_assert_eq(disk_datasync(file), 0);
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
    memory_disk_lie(disk, true);
    cr_assert_eq(disk_pwrite(file, "new", 3, 0), 0);
    cr_assert_eq(disk_datasync(file), 0);
    cr_assert_eq(disk_drop_cache(file), 0);
    cr_assert_eq(disk_pread(file, found, 3, 0), 3);
    cr_assert_arr_eq(found, "new", 3, "the cache was not dropped");
    uint32_t lost = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct disk *copy = memory_disk_clone(disk, seed);
        memory_disk_crash(copy, MEMORY_DISK_POWER);
        cr_assert_eq(slurp(copy, "/a", found, sizeof(found)), 3);
        if (memcmp(found, "old", 3) == 0) lost++;
        memory_disk_destroy(copy);
    }
    cr_assert_gt(lost, 0u, "a power cut can take what was said to be written");
    memory_disk_lie(disk, false);
    cr_assert_eq(disk_datasync(file), 0);
    disk_close(file);
    memory_disk_crash(disk, MEMORY_DISK_POWER);
    cr_assert_eq(slurp(disk, "/a", found, sizeof(found)), 3);
    cr_assert_arr_eq(found, "new", 3);
}

Test(memory_disk, a_part_is_one_directory_and_those_above_it)
{
    static const char *const directories[] = {"/d", "/d/in", "/d/in/deep", "/d/inside", "/e"};
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq(disk_make_directory(disk, directories[i]), 0);
    }
    static const char *const files[] = {"/d/in/f", "/d/in/deep/f", "/d/f", "/d/inside/f", "/e/f"};
    for (size_t i = 0; i < 5; i++) {
        disk_close(make(files[i], "x", 1));
    }
    struct disk *part = memory_disk_clone_part(disk, "/d/in", 1);
    uint8_t byte;
    cr_assert_eq(slurp(part, "/d/in/f", &byte, 1), 1);
    cr_assert_eq(slurp(part, "/d/in/deep/f", &byte, 1), 1);
    for (size_t i = 2; i < 5; i++) {
        cr_assert_eq(slurp(part, files[i], &byte, 1), -ENOENT, "%s is not a part", files[i]);
    }
    struct disk_file *file;
    cr_assert_eq(disk_open(part, "/d/in/new", DISK_CREATE_NEW, &file), 0);
    disk_close(file);
    cr_assert_eq(slurp(disk, "/d/in/new", &byte, 1), -ENOENT, "the copy is not the disk");
    memory_disk_destroy(part);
}

Test(memory_disk, a_chosen_power_cut_keeps_drops_and_tears_what_it_is_told)
{
    uint8_t old[1024], new[1024], found[1024];
    memset(old, 'o', sizeof old);
    memset(new, 'n', sizeof new);
    struct disk_file *file = make("/a", old, sizeof old);
    cr_assert_eq(disk_datasync(file), 0);
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
    cr_assert_eq(disk_pwrite(file, new, sizeof new, 0), 0);
    disk_close(make("/b", "hello", 5));
    struct memory_disk_loose items[8];
    cr_assert_eq(memory_disk_loose(disk, items, 8), 5,
                 "a name, two sectors of /a, size and sector of /b");
    cr_assert_eq(items[0].kind, MEMORY_DISK_LOOSE_NAME);
    cr_assert_eq(items[1].kind, MEMORY_DISK_LOOSE_SECTOR);
    enum memory_disk_fate fates[5] = {MEMORY_DISK_DROPPED, MEMORY_DISK_KEPT, MEMORY_DISK_TORN_BACK};
    struct disk *cut = memory_disk_power_cut(disk, items, fates, 5);
    cr_assert_eq(slurp(cut, "/b", found, 8), -ENOENT);
    cr_assert_eq(slurp(cut, "/a", found, sizeof found), sizeof found);
    for (size_t i = 0; i < sizeof found; i++) {
        cr_assert_eq(found[i], i < 512 || i >= 768 ? 'n' : 'o', "byte %zu", i);
    }
    memory_disk_destroy(cut);
    fates[0] = MEMORY_DISK_KEPT;
    cut = memory_disk_power_cut(disk, items, fates, 5);
    cr_assert_eq(slurp(cut, "/b", found, 8), 0, "the name without the bytes");
    memory_disk_destroy(cut);
    cr_assert_eq(slurp(disk, "/b", found, 8), 5, "the disk itself goes on");
    disk_close(file);
}

Test(memory_disk, equal_disks_have_equal_hashes_and_others_do_not)
{
    struct disk_file *file = make("/a", "hello", 5);
    const uint64_t unsynced = memory_disk_hash(disk, "/a");
    cr_assert_eq(disk_datasync(file), 0);
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
    const uint64_t synced = memory_disk_hash(disk, "/a");
    cr_assert_neq(unsynced, synced, "a power cut leaves another disk");
    struct disk *clone = memory_disk_clone(disk, 9);
    cr_assert_eq(memory_disk_hash(clone, "/a"), synced);
    cr_assert_eq(disk_pwrite(file, "j", 1, 0), 0);
    cr_assert_eq(memory_disk_hash(clone, "/a"), synced, "a clone has bytes of its own");
    cr_assert_neq(memory_disk_hash(disk, "/a"), synced);
    cr_assert_eq(disk_pwrite(file, "h", 1, 0), 0);
    cr_assert_eq(disk_datasync(file), 0);
    cr_assert_eq(memory_disk_hash(disk, "/a"), synced);
    disk_close(make("/b", "other", 5));
    cr_assert_eq(memory_disk_hash(disk, "/a"), synced, "of one part");
    memory_disk_destroy(clone);
    disk_close(file);
}

/* As a kernel does it that keeps blocks of 4 KiB. */
Test(memory_disk, a_lost_block_is_unreadable_until_it_is_written_as_a_whole_and_synced)
{
    uint8_t bytes[3 * 4096], found[3 * 4096];
    struct disk_file *file;
    memset(bytes, 7, sizeof bytes);
    cr_assert_eq(disk_open(disk, "/f", DISK_CREATE_NEW, &file), 0);
    cr_assert_eq(disk_sync_directory(disk, "/"), 0);
    cr_assert_eq(disk_pwrite(file, bytes, sizeof bytes, 0), 0);
    cr_assert_eq(disk_datasync(file), 0);
    cr_assert_eq(memory_disk_unreadable(disk, "/none", 0, 1), -ENOENT);
    cr_assert_eq(memory_disk_unreadable(disk, "/f", sizeof bytes, 1), -EINVAL);
    cr_assert_eq(memory_disk_unreadable(disk, "/f", 4100, 1), 0);
    cr_assert_eq(disk_pread(file, found, 4096, 0), 4096, "the ones beside it are there");
    cr_assert_eq(disk_pread(file, found, 4096, 8192), 4096);
    cr_assert_eq(disk_pread(file, found, 1, 4096), -EIO);
    cr_assert_eq(disk_pread(file, found, sizeof found, 0), -EIO);
    cr_assert_eq(disk_pwrite(file, bytes, 512, 4096), -EIO, "the rest of it would have to be read");
    cr_assert_eq(disk_pwrite(file, bytes, 4096, 2048), -EIO);
    cr_assert_eq(disk_pread(file, found, 2048, 2048), 2048);

    struct iovec halves[2] = {{.iov_base = bytes, .iov_len = 2048},
                              {.iov_base = bytes, .iov_len = 2048}};
    cr_assert_eq(disk_pwritev(file, halves, 2, 4096), 0);
    cr_assert_eq(disk_pread(file, found, sizeof found, 0), (ssize_t)sizeof found);
    cr_assert_eq(memory_disk_unreadable_count(disk, "/f"), 0);
    disk_close(file);
    memory_disk_crash(disk, MEMORY_DISK_POWER);
    cr_assert_eq(memory_disk_unreadable_count(disk, "/f"), 1, "the disk was never told");

    struct disk *copy = memory_disk_clone(disk, 2);
    cr_assert_eq(disk_open(copy, "/f", DISK_WRITE, &file), 0);
    cr_assert_eq(disk_pread(file, found, 1, 4096), -EIO);
    cr_assert_eq(disk_pwrite(file, bytes, 8192, 4096), 0);
    cr_assert_eq(disk_datasync(file), 0);
    disk_close(file);
    memory_disk_crash(copy, MEMORY_DISK_POWER);
    cr_assert_eq(memory_disk_unreadable_count(copy, "/f"), 0);
    cr_assert_eq(memory_disk_unreadable_count(disk, "/f"), 1, "of the copy alone");
    memory_disk_destroy(copy);
}
