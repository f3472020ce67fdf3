/* Goal: the real disk goes on at the right byte when the kernel takes or gives less than it was asked for, or was interrupted, and
 * never tells of more than was done (disk.h).
 * Method: the calls of the C library are wrapped by the linker (CMakeLists.txt). A wrapped call does a part of what it is asked
 * for, with the real one, or fails; how each does is drawn, or told call by call. */
#include <segment_log/disk.h>

#include "temp_directory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS_MAX 16u
#define WHOLE     SIZE_MAX

/* What one call does. */
struct fate {
    int error;    /* 0: none */
    size_t bytes; /* at most */
};

static bool is_wrapped;
static struct fate told[CALLS_MAX]; /* the first calls; those behind do all */
static uint32_t told_count;
static uint64_t drawn; /* state; 0: nothing is drawn */
static uint32_t calls, interrupted, shortened;

static struct fate next_fate(size_t bytes)
{
    struct fate fate = {.bytes = WHOLE};
    if (!is_wrapped) return fate;
    const uint32_t number = calls++;
    if (drawn) {
        drawn = drawn * 6364136223846793005u + 1442695040888963407u;
        const uint64_t number_drawn = drawn >> 33;
        if (number_drawn % 3 == 0) fate.error = EINTR;
        if (number_drawn % 3 == 1 && bytes > 1) fate.bytes = 1 + number_drawn / 3 % (bytes - 1);
    } else if (number < told_count) {
        fate = told[number];
    }
    interrupted += fate.error == EINTR;
    shortened += fate.error == 0 && fate.bytes < bytes;
    return fate;
}

static ssize_t fail(int error)
{
    errno = error;
    return -1;
}

/* ---- the wrapped calls -------------------------------------------------------------------------------- */

ssize_t __real_pread(int fd, void *buffer, size_t bytes, off_t pos);
ssize_t __wrap_pread(int fd, void *buffer, size_t bytes, off_t pos);
ssize_t __real_pwrite(int fd, const void *buffer, size_t bytes, off_t pos);
ssize_t __wrap_pwrite(int fd, const void *buffer, size_t bytes, off_t pos);
ssize_t __real_pwritev(int fd, const struct iovec *parts, int parts_count, off_t pos);
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int parts_count, off_t pos);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_ftruncate(int fd, off_t bytes);
int __wrap_ftruncate(int fd, off_t bytes);

ssize_t __wrap_pread(int fd, void *buffer, size_t bytes, off_t pos)
{
    const struct fate fate = next_fate(bytes);
    if (fate.error) return fail(fate.error);
    return __real_pread(fd, buffer, fate.bytes < bytes ? fate.bytes : bytes, pos);
}

ssize_t __wrap_pwrite(int fd, const void *buffer, size_t bytes, off_t pos)
{
    const struct fate fate = next_fate(bytes);
    if (fate.error) return fail(fate.error);
    return __real_pwrite(fd, buffer, fate.bytes < bytes ? fate.bytes : bytes, pos);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int parts_count, off_t pos)
{
    if (!is_wrapped) return __real_pwritev(fd, parts, parts_count, pos);
    struct iovec *taken = calloc((size_t)parts_count, sizeof *taken);
    size_t bytes = 0;
    for (int i = 0; i < parts_count; i++) {
        bytes += parts[i].iov_len;
    }
    const struct fate fate = next_fate(bytes);
    size_t left = fate.bytes < bytes ? fate.bytes : bytes;
    for (int i = 0; i < parts_count; i++) {
        taken[i] = parts[i];
        if (taken[i].iov_len > left) taken[i].iov_len = left;
        left -= taken[i].iov_len;
    }
    const ssize_t put = fate.error ? fail(fate.error) : __real_pwritev(fd, taken, parts_count, pos);
    free(taken);
    return put;
}

int __wrap_fdatasync(int fd)
{
    const struct fate fate = next_fate(0);
    return fate.error ? (int)fail(fate.error) : __real_fdatasync(fd);
}

int __wrap_ftruncate(int fd, off_t bytes)
{
    const struct fate fate = next_fate(0);
    return fate.error ? (int)fail(fate.error) : __real_ftruncate(fd, bytes);
}

/* ---- the file ----------------------------------------------------------------------------------------- */

#define PARTS   6u
#define BYTES   24u
#define POS     1000u
#define MARGIN  40u
#define TOUCHED (POS + BYTES)

static const size_t part_bytes[PARTS] = {3, 0, 8, 1, 0, 12};
static struct temp_directory directory;
static struct disk_file *file;
static uint8_t payload[BYTES];
static struct iovec parts[PARTS];

static void set_up(void)
{
    char path[DISK_PATH_MAX];
    uint8_t around[TOUCHED + MARGIN];
    temp_directory_make(&directory);
    snprintf(path, sizeof path, "%s/a", directory.path);
    cr_assert_eq(disk_open(disk_posix(), path, DISK_CREATE_NEW, &file), 0);
    memset(around, 0xee, sizeof around);
    cr_assert_eq(disk_pwrite(file, around, sizeof around, 0), 0);
    uint8_t *at = payload;
    for (uint32_t i = 0; i < BYTES; i++) {
        payload[i] = (uint8_t)(i + 1);
    }
    for (uint32_t i = 0; i < PARTS; i++) {
        parts[i] = (struct iovec){.iov_base = at, .iov_len = part_bytes[i]};
        at += part_bytes[i];
    }
    cr_assert_eq(at, payload + BYTES);
}

static void tear_down(void)
{
    disk_close(file);
    temp_directory_remove(&directory);
}

TestSuite(segment_log_posix_interrupted, .init = set_up, .fini = tear_down, .timeout = 300);

static void tell(const struct fate *fates, uint32_t count)
{
    cr_assert_leq(count, CALLS_MAX);
    memcpy(told, fates, count * sizeof *fates);
    told_count = count;
    calls = 0;
    is_wrapped = true;
}

/* The first `count` bytes of the payload stand in their places, and nothing else was touched. */
static void expect_written(uint32_t count)
{
    uint8_t found[TOUCHED + MARGIN];
    is_wrapped = false;
    cr_assert_eq(disk_pread(file, found, sizeof found, 0), (ssize_t)sizeof found);
    for (uint32_t i = 0; i < sizeof found; i++) {
        const bool is_payload = i >= POS && i < POS + count;
        cr_assert_eq(found[i], is_payload ? payload[i - POS] : 0xee, "byte %u of %u", i, count);
        found[i] = 0xee;
    }
    cr_assert_eq(disk_pwrite(file, found, sizeof found, 0), 0);
}

/* ---- writing ------------------------------------------------------------------------------------------ */

Test(segment_log_posix_interrupted, a_write_goes_on_behind_the_byte_that_was_taken_last)
{
    for (size_t first = 1; first < BYTES; first++) {
        for (size_t second = 1; second < BYTES; second++) {
            const struct fate fates[] = {{.bytes = first}, {.error = EINTR}, {.bytes = second}};
            tell(fates, 3);
            cr_assert_eq(disk_pwritev(file, parts, PARTS, POS), 0);
            cr_assert_geq(calls, 3);
            expect_written(BYTES);
        }
    }
    cr_assert_gt(shortened, 23 * 23);
}

Test(segment_log_posix_interrupted, however_a_write_is_cut_into_pieces_all_of_it_arrives)
{
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        told_count = 0;
        drawn = seed;
        is_wrapped = true;
        cr_assert_eq(disk_pwritev(file, parts, PARTS, POS), 0);
        drawn = 0;
        expect_written(BYTES);
    }
    cr_assert_gt(interrupted, 3000);
    cr_assert_gt(shortened, 3000);
}

Test(segment_log_posix_interrupted, an_error_behind_a_part_of_a_write_is_told)
{
    for (size_t taken = 1; taken < BYTES; taken++) {
        const struct fate fates[] = {{.bytes = taken}, {.error = EIO}};
        tell(fates, 2);
        cr_assert_eq(disk_pwritev(file, parts, PARTS, POS), -EIO);
        cr_assert_eq(calls, 2, "and it is not tried again");
        expect_written((uint32_t)taken);
        /* A kernel that takes nothing for ever. */
        const struct fate none[] = {{.bytes = taken}, {.bytes = 0}};
        tell(none, 2);
        cr_assert_eq(disk_pwritev(file, parts, PARTS, POS), -EIO);
        expect_written((uint32_t)taken);
    }
}

/* The real kernel cuts a write short where the file may not grow any further, and refuses the rest. */
static int write_over_the_limit(void)
{
    uint8_t bytes[8192];
    const struct rlimit limit = {.rlim_cur = 6000, .rlim_max = RLIM_INFINITY};
    memset(bytes, 7, sizeof bytes);
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    struct iovec halves[2] = {{.iov_base = bytes, .iov_len = 4096},
                              {.iov_base = bytes, .iov_len = 4096}};
    if (disk_pwritev(file, halves, 2, 1000) != -EFBIG) return 2;
    uint64_t size;
    if (disk_size(file, &size) != 0 || size != 6000) return 3;
    if (disk_pread(file, bytes, 5000, 1000) != 5000) return 4;
    for (uint32_t i = 0; i < 5000; i++) {
        if (bytes[i] != 7) return 5;
    }
    return disk_pwrite(file, bytes, 1, 5999) == 0 ? 0 : 6;
}

Test(segment_log_posix_interrupted, a_file_that_may_not_grow_is_full_behind_what_it_took)
{
    const pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) _exit(write_over_the_limit());
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 0);
}

/* ---- the others --------------------------------------------------------------------------------------- */

Test(segment_log_posix_interrupted, a_read_goes_on_behind_the_byte_that_was_given_last)
{
    uint8_t found[BYTES + 1];
    cr_assert_eq(disk_pwritev(file, parts, PARTS, POS), 0);
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        memset(found, 0, sizeof found);
        drawn = seed;
        is_wrapped = true;
        cr_assert_eq(disk_pread(file, found, BYTES, POS), BYTES);
        cr_assert_eq(memcmp(found, payload, BYTES), 0);
        cr_assert_eq(found[BYTES], 0);
    }
    drawn = 0;
    const struct fate fates[] = {{.bytes = 5}, {.error = EIO}};
    tell(fates, 2);
    cr_assert_eq(disk_pread(file, found, BYTES, POS), -EIO);
    cr_assert_gt(interrupted, 1000);
}

/* EINTR: it was not done. EIO: it failed, and the pages that it was for may be gone; asking again would be told of success (L11). */
Test(segment_log_posix_interrupted, a_sync_is_repeated_when_interrupted_and_never_when_it_failed)
{
    const struct fate fates[] = {{.error = EINTR}, {.error = EINTR}};
    tell(fates, 2);
    cr_assert_eq(disk_datasync(file), 0);
    cr_assert_eq(calls, 3);
    const struct fate failing[] = {{.error = EINTR}, {.error = EIO}};
    for (uint32_t first = 0; first < 2; first++) {
        tell(failing + first, 2 - first);
        cr_assert_eq(disk_datasync(file), -EIO);
        cr_assert_eq(calls, 2 - first);
    }
    tell(fates, 2);
    cr_assert_eq(disk_truncate(file, 10), 0);
    cr_assert_eq(calls, 3);
    uint64_t size;
    cr_assert_eq(disk_size(file, &size), 0);
    cr_assert_eq(size, 10);
}

/* A file system that is corrupt is as a disk that cannot read: what is there is damage of one place, and no reason to stop. */
Test(segment_log_posix_interrupted, what_the_file_system_calls_corrupt_cannot_be_read)
{
    static const int errors[] = {EUCLEAN, EBADMSG, EIO};
    uint8_t got[BYTES];
    for (uint32_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        tell(&(struct fate){.error = errors[i]}, 1);
        cr_assert_eq(disk_pread(file, got, sizeof got, POS), -EIO, "errno %d", errors[i]);
    }
}
