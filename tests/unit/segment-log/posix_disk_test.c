/* Goal: the real disk keeps the promises of disk.h, and the log works on it. */
#include "log_fixture.h"

#include "temp_directory.h"

#include <segment_log/node_store.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct temp_directory directory;

static void set_up(void)
{
    temp_directory_make(&directory);
}

static void tear_down(void)
{
    temp_directory_remove(&directory);
}

TestSuite(segment_log_posix, .init = set_up, .fini = tear_down);

static const char *inside(const char *name)
{
    static char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", directory.path, name);
    return path;
}

Test(segment_log_posix, files_are_private_new_and_never_behind_a_link)
{
    struct disk *disk = disk_posix();
    struct disk_file *file;
    struct stat about;
    cr_assert_eq(disk_open(disk, inside("none"), DISK_READ, &file), -ENOENT);
    cr_assert_eq(disk_open(disk, inside("a"), DISK_CREATE_NEW, &file), 0);
    disk_close(file);
    cr_assert_eq(stat(inside("a"), &about), 0);
    cr_assert_eq(about.st_mode & 0777, 0600);
    cr_assert_eq(disk_open(disk, inside("a"), DISK_CREATE_NEW, &file), -EEXIST);
    cr_assert_eq(symlink("a", inside("link")), 0);
    cr_assert_eq(disk_open(disk, inside("link"), DISK_WRITE, &file), -ELOOP);
    cr_assert_eq(disk_make_directory(disk, inside("d")), 0);
    cr_assert_eq(disk_make_directory(disk, inside("d")), 0, "existing is fine");
    cr_assert_eq(stat(inside("d"), &about), 0);
    cr_assert_eq(about.st_mode & 0777, 0700);
    cr_assert_eq(disk_make_directory(disk, inside("a")), -ENOTDIR);
    cr_assert_eq(mkfifo(inside("fifo"), 0600), 0);
    cr_assert_eq(disk_open(disk, inside("fifo"), DISK_READ, &file), -EINVAL);
    int fd_before = dup(0);
    close(fd_before);
    cr_assert_eq(disk_open(disk, inside("a"), DISK_READ, &file), 0);
    cr_assert(fcntl(fd_before, F_GETFD) & FD_CLOEXEC);
    disk_close(file);
}

Test(segment_log_posix, writes_of_more_parts_than_the_kernel_takes_at_once_arrive_whole)
{
    enum { PARTS = 3000 };
    struct disk *disk = disk_posix();
    struct disk_file *file;
    cr_assert_eq(disk_open(disk, inside("a"), DISK_CREATE_NEW, &file), 0);
    struct iovec *parts = calloc(PARTS, sizeof *parts);
    uint8_t *bytes = malloc(PARTS * 7), *found = malloc(PARTS * 7);
    size_t total = 0;
    for (size_t i = 0; i < PARTS; i++) {
        parts[i].iov_base = bytes + total;
        parts[i].iov_len = i % 8; /* empty ones, too */
        for (size_t j = 0; j < parts[i].iov_len; j++) {
            bytes[total++] = (uint8_t)(i + j);
        }
    }
    cr_assert_eq(disk_pwritev(file, parts, PARTS, 1000), 0);
    cr_assert_eq(disk_datasync(file), 0);
    cr_assert_eq(disk_drop_cache(file), 0);
    uint64_t size;
    cr_assert_eq(disk_size(file, &size), 0);
    cr_assert_eq(size, 1000 + total);
    cr_assert_eq(disk_pread(file, found, total + 10, 1000), (ssize_t)total, "short at the end");
    cr_assert_eq(memcmp(bytes, found, total), 0);
    cr_assert_eq(disk_pread(file, found, 10, size), 0);
    cr_assert_eq(disk_truncate(file, 1003), 0);
    cr_assert_eq(disk_size(file, &size), 0);
    cr_assert_eq(size, 1003);
    cr_assert_eq(disk_allocate(file, 0, 100000), 0);
    cr_assert_eq(disk_size(file, &size), 0);
    cr_assert_eq(size, 1003, "reserved, not longer");
    disk_close(file);
    free(parts);
    free(bytes);
    free(found);
}

static void collect(void *data, const char *name)
{
    strcat((char *)data, name);
    strcat((char *)data, " ");
}

Test(segment_log_posix, names_are_listed_in_order_and_changed_by_rename_and_unlink)
{
    struct disk *disk = disk_posix();
    static const char *const names[] = {"c", "a", "b"};
    for (int i = 0; i < 3; i++) {
        struct disk_file *file;
        cr_assert_eq(disk_open(disk, inside(names[i]), DISK_CREATE_NEW, &file), 0);
        disk_close(file);
    }
    char from[DISK_PATH_MAX], list[256] = "";
    strcpy(from, inside("c"));
    cr_assert_eq(disk_rename(disk, from, inside("d")), 0);
    cr_assert_eq(disk_unlink(disk, inside("b")), 0);
    cr_assert_eq(disk_sync_directory(disk, directory.path), 0);
    cr_assert_eq(disk_list(disk, directory.path, collect, list), 0);
    cr_assert_str_eq(list, "a d ");
    cr_assert_eq(disk_list(disk, inside("none"), collect, list), -ENOENT);
    cr_assert_eq(disk_remove_directory(disk, directory.path), -ENOTEMPTY);
    uint64_t bytes = 0;
    cr_assert_eq(disk_free_bytes(disk, directory.path, &bytes), 0);
    cr_assert_gt(bytes, 0);
}

Test(segment_log_posix, directories_in_a_directory_are_seen_from_outside)
{
    struct disk *disk = disk_posix();
    struct disk_file *file;
    cr_assert_eq(disk_make_directory(disk, inside("a")), 0);
    cr_assert_eq(disk_open(disk, inside("a/file"), DISK_CREATE_NEW, &file), 0);
    disk_close(file);
    cr_assert_eq(disk_has_subdirectories(disk, inside("a")), 0);
    cr_assert_eq(disk_make_directory(disk, inside("a/b")), 0);
    cr_assert_eq(disk_has_subdirectories(disk, inside("a")), 1);
    cr_assert_eq(disk_has_subdirectories(disk, inside("a/file")), -ENOTDIR);
    cr_assert_eq(disk_has_subdirectories(disk, inside("c")), -ENOENT);
}

Test(segment_log_posix, a_data_directory_is_held_by_one_handle_and_one_process)
{
    struct disk *disk = disk_posix();
    struct disk_file *lock, *second;
    char data[DISK_PATH_MAX];
    strcpy(data, inside("data"));
    cr_assert_eq(node_directory_lock(disk, data, &lock), 0);
    cr_assert_eq(node_directory_lock(disk, data, &second), -EAGAIN);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) _exit(node_directory_lock(disk, data, &second) == -EAGAIN ? 0 : 1);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    disk_close(lock);
    cr_assert_eq(node_directory_lock(disk, data, &lock), 0, "released by close");
    disk_close(lock);
}

Test(segment_log_posix, a_log_lives_through_rolls_cuts_and_restarts)
{
    char group[DISK_PATH_MAX];
    strcpy(group, inside("group"));
    struct segment_log_options options = fixture_options(disk_posix(), group);
    struct segment_log *log = fixture_create(&options);
    for (uint64_t round = 1; round <= 5; round++) {
        fixture_append(log, round, 120, 900);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        segment_log_truncate(log, fixture_info(log).last_index - 30);
        fixture_append(log, round + 1, 3, 50);
        cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
        fixture_check_all(log);
        struct segment_log_info before = fixture_info(log);
        cr_assert_gt(before.sync_us_last, 0);
        segment_log_close(log);
        log = fixture_open(&options);
        cr_assert_eq(fixture_info(log).last_index, before.last_index);
        cr_assert_eq(fixture_info(log).last_chain, before.last_chain);
        fixture_check_all(log);
    }
    cr_assert_gt(fixture_info(log).segments_count, 3);
    segment_log_close(log);
    cr_assert_eq(segment_log_remove(disk_posix(), group), 0);
    struct segment_log_problem problem;
    cr_assert_eq(fixture_open_fails(&options, &problem), SEGMENT_LOG_MISSING);
}

static int open_descriptors(void)
{
    char list[65536] = "";
    cr_assert_eq(disk_list(disk_posix(), "/proc/self/fd", collect, list), 0);
    int count = 0;
    for (const char *p = list; *p; p++) {
        count += *p == ' ';
    }
    return count;
}

Test(segment_log_posix, a_group_keeps_one_descriptor_however_many_segments)
{
    char group[DISK_PATH_MAX];
    strcpy(group, inside("group"));
    struct segment_log_options options = fixture_options(disk_posix(), group);
    int before = open_descriptors();
    struct segment_log *log = fixture_create(&options);
    fixture_append(log, 1, 500, 900);
    cr_assert_eq(fixture_flush(log), SEGMENT_LOG_OK);
    fixture_check_all(log);
    cr_assert_gt(fixture_info(log).segments_count, 5);
    cr_assert_eq(open_descriptors(), before + 1);
    segment_log_close(log);
    log = fixture_open(&options);
    cr_assert_eq(open_descriptors(), before + 1);
    segment_log_close(log);
    cr_assert_eq(open_descriptors(), before);
}

/* A container's file system has no device of its own; every other tells, or nothing is known of it. */
Test(segment_log_posix, the_sector_of_a_device_is_a_power_of_two)
{
    const uint32_t bytes = disk_sector_bytes(disk_posix(), "/");
    cr_assert_eq(bytes & (bytes - 1), 0);
    cr_assert(bytes == 0 || bytes >= 512, "%u", bytes);
    cr_assert_eq(disk_sector_bytes(disk_posix(), "/there/is/no/such/directory"), 0);
    cr_assert_eq(disk_sector_bytes(disk_posix(), "/proc"), 0);
}
