/* The real disk. Every path is opened without following a last symbolic link and closed on exec. */
#include <segment_log/disk.h>

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

struct posix_file {
    struct disk_file file;
    int fd;
};

static int fd_of(const struct disk_file *file)
{
    return ((const struct posix_file *)file)->fd;
}

static int open_fd(const char *path, int flags, mode_t mode)
{
    int fd;
    do {
        fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int wrap(struct disk *disk, int fd, struct disk_file **ret_file)
{
    struct posix_file *file = malloc(sizeof *file);
    if (!file) {
        close(fd);
        return -ENOMEM;
    }
    file->file.disk = disk;
    file->fd = fd;
    *ret_file = &file->file;
    return 0;
}

static int posix_open(struct disk *disk, const char *path, enum disk_open_mode mode,
                      struct disk_file **ret_file)
{
    int flags = O_RDONLY;
    if (mode == DISK_WRITE) flags = O_RDWR;
    if (mode == DISK_CREATE_NEW) flags = O_RDWR | O_CREAT | O_EXCL;
    /* O_NONBLOCK: a fifo in the place of a file must not hang the open; it means nothing for a file. */
    int fd = open_fd(path, flags | O_NONBLOCK, 0600);
    if (fd < 0) return fd;
    struct stat about;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        close(fd);
        return -EINVAL;
    }
    return wrap(disk, fd, ret_file);
}

static void posix_close(struct disk_file *file)
{
    /* Nothing that matters waits for close to report it: all data is synced before it is relied on. */
    close(fd_of(file));
    free(file);
}

/* What a file system that is corrupt says of a file is what a disk says that cannot read it. */
static int error_of_read(int error)
{
    return error == EUCLEAN || error == EBADMSG ? -EIO : -error;
}

static ssize_t posix_pread(struct disk_file *file, void *buffer, size_t bytes, uint64_t pos)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t got =
            pread(fd_of(file), (uint8_t *)buffer + done, bytes - done, (off_t)(pos + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return error_of_read(errno);
        if (got == 0) break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* Write the rest of a part that the kernel took only in part. */
static int write_rest(int fd, const uint8_t *bytes, size_t bytes_count, uint64_t pos)
{
    while (bytes_count > 0) {
        ssize_t put = pwrite(fd, bytes, bytes_count, (off_t)pos);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return -errno;
        if (put == 0) return -EIO;
        bytes += put;
        bytes_count -= (size_t)put;
        pos += (uint64_t)put;
    }
    return 0;
}

static int posix_pwritev(struct disk_file *file, const struct iovec *iov, int iov_count,
                         uint64_t pos)
{
    int fd = fd_of(file);
    while (iov_count > 0) {
        int batch = iov_count < IOV_MAX ? iov_count : IOV_MAX;
        ssize_t put = pwritev(fd, iov, batch, (off_t)pos);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return -errno;
        pos += (uint64_t)put;
        size_t left = (size_t)put;
        while (iov_count > 0 && left >= iov->iov_len) {
            left -= iov->iov_len;
            iov++;
            iov_count--;
        }
        if (iov_count == 0) break;
        if (put == 0) return -EIO;
        if (left == 0) continue;
        size_t rest = iov->iov_len - left;
        int error = write_rest(fd, (const uint8_t *)iov->iov_base + left, rest, pos);
        if (error) return error;
        pos += rest;
        iov++;
        iov_count--;
    }
    return 0;
}

static int posix_datasync(struct disk_file *file)
{
    /* EINTR means not done, not failed: nothing was reported yet, so asking again is no retry of a failed sync. */
    int result;
    do {
        result = fdatasync(fd_of(file));
    } while (result != 0 && errno == EINTR);
    return result != 0 ? -errno : 0;
}

static int posix_size(struct disk_file *file, uint64_t *ret_bytes)
{
    struct stat about;
    if (fstat(fd_of(file), &about) != 0) return -errno;
    *ret_bytes = (uint64_t)about.st_size;
    return 0;
}

static int posix_truncate(struct disk_file *file, uint64_t bytes)
{
    int result;
    do {
        result = ftruncate(fd_of(file), (off_t)bytes);
    } while (result != 0 && errno == EINTR);
    return result != 0 ? -errno : 0;
}

static int posix_allocate(struct disk_file *file, uint64_t pos, uint64_t bytes)
{
    int result;
    do {
        result = fallocate(fd_of(file), FALLOC_FL_KEEP_SIZE, (off_t)pos, (off_t)bytes);
    } while (result != 0 && errno == EINTR);
    /* A file system without fallocate reserves nothing: ENOSPC then comes with the write. */
    if (result != 0 && errno == EOPNOTSUPP) return 0;
    return result != 0 ? -errno : 0;
}

static int posix_drop_cache(struct disk_file *file)
{
    int error = posix_datasync(file);
    if (error) return error;
    /* Clean pages are dropped. After a failed sync the kernel holds pages as clean that never reached the device;
     * they go as well, and the next read shows what is really there. */
    error = posix_fadvise(fd_of(file), 0, 0, POSIX_FADV_DONTNEED);
    return error ? -error : 0;
}

static void posix_forget_cache(struct disk_file *file)
{
    /* Advice: what is not followed costs nothing but the trust that nobody puts into it. */
    (void)posix_fadvise(fd_of(file), 0, 0, POSIX_FADV_DONTNEED);
}

static int posix_make_directory(struct disk *disk, const char *path)
{
    (void)disk;
    if (mkdir(path, 0700) == 0) return 0;
    if (errno != EEXIST) return -errno;
    struct stat about;
    if (stat(path, &about) != 0) return -errno;
    return S_ISDIR(about.st_mode) ? 0 : -ENOTDIR;
}

static int posix_sync_directory(struct disk *disk, const char *path)
{
    (void)disk;
    int fd;
    do {
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) return -errno;
    int result;
    do {
        result = fsync(fd);
    } while (result != 0 && errno == EINTR);
    int error = result != 0 ? -errno : 0;
    close(fd);
    return error;
}

static int posix_rename(struct disk *disk, const char *from, const char *to)
{
    (void)disk;
    return rename(from, to) != 0 ? -errno : 0;
}

static int posix_unlink(struct disk *disk, const char *path)
{
    (void)disk;
    return unlink(path) != 0 ? -errno : 0;
}

static int posix_remove_directory(struct disk *disk, const char *path)
{
    (void)disk;
    return rmdir(path) != 0 ? -errno : 0;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

struct name_list {
    char **names;
    size_t count, capacity;
};

static int name_list_add(struct name_list *list, const char *name)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 32;
        char **names = realloc(list->names, capacity * sizeof *names);
        if (!names) return -ENOMEM;
        list->names = names;
        list->capacity = capacity;
    }
    char *copy = strdup(name);
    if (!copy) return -ENOMEM;
    list->names[list->count++] = copy;
    return 0;
}

static int read_names(const char *path, struct name_list *list)
{
    DIR *directory = opendir(path);
    if (!directory) return -errno;
    int error = 0;
    while (!error) {
        errno = 0;
        struct dirent *item = readdir(directory);
        if (!item) {
            error = -errno;
            break;
        }
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0) continue;
        error = name_list_add(list, item->d_name);
    }
    closedir(directory);
    return error;
}

static int posix_list(struct disk *disk, const char *path, disk_list_cb cb, void *data)
{
    (void)disk;
    struct name_list list = {0};
    int error = read_names(path, &list);
    if (list.count > 1) qsort(list.names, list.count, sizeof *list.names, compare_names);
    for (size_t i = 0; i < list.count; i++) {
        if (!error) cb(data, list.names[i]);
        free(list.names[i]);
    }
    free(list.names);
    return error;
}

static int posix_lock(struct disk *disk, const char *path, struct disk_file **ret_file)
{
    int fd = open_fd(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0) return fd;
    /* Of the open file description, not of the process; unlike flock() it can be asked for without being taken. */
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int result;
    do {
        result = fcntl(fd, F_OFD_SETLK, &whole);
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        int error = errno == EACCES ? -EAGAIN : -errno;
        close(fd);
        return error;
    }
    return wrap(disk, fd, ret_file);
}

static int posix_free_bytes(struct disk *disk, const char *path, uint64_t *ret_bytes)
{
    (void)disk;
    struct statvfs about;
    int result;
    do {
        result = statvfs(path, &about);
    } while (result != 0 && errno == EINTR);
    if (result != 0) return -errno;
    *ret_bytes = (uint64_t)about.f_bavail * about.f_frsize;
    return 0;
}

/* A number in a file of one line; 0: it is not there. */
static uint32_t read_number(const char *path)
{
    char text[32];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    const ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0) return 0;
    text[got] = '\0';
    const unsigned long number = strtoul(text, NULL, 10);
    return number > UINT32_MAX ? 0 : (uint32_t)number;
}

/* Of a partition the disk that it is on tells. A file system without one device of its own does not. */
static uint32_t posix_sector_bytes(struct disk *disk, const char *path)
{
    (void)disk;
    struct stat about;
    char setting[96];
    if (stat(path, &about) != 0) return 0;
    static const char *const places[] = {"", "/.."};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(setting, sizeof setting, "/sys/dev/block/%u:%u%s/queue/physical_block_size",
                 major(about.st_dev), minor(about.st_dev), places[i]);
        const uint32_t bytes = read_number(setting);
        if (bytes > 0) return bytes;
    }
    return 0;
}

/* Each directory in it links back to it, besides its own name and its own link to itself. Who counts otherwise says one. */
static int posix_has_subdirectories(struct disk *disk, const char *path)
{
    (void)disk;
    struct stat about;
    if (lstat(path, &about) != 0) return -errno;
    if (!S_ISDIR(about.st_mode)) return -ENOTDIR;
    return about.st_nlink != 2;
}

static uint64_t posix_now_us(struct disk *disk)
{
    (void)disk;
    struct timespec now;
    int result = clock_gettime(CLOCK_MONOTONIC, &now);
    assert(result == 0);
    (void)result;
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static const struct disk_vtable posix_vtable = {
    .open = posix_open,
    .close = posix_close,
    .pread = posix_pread,
    .pwritev = posix_pwritev,
    .datasync = posix_datasync,
    .size = posix_size,
    .truncate = posix_truncate,
    .allocate = posix_allocate,
    .drop_cache = posix_drop_cache,
    .forget_cache = posix_forget_cache,
    .make_directory = posix_make_directory,
    .sync_directory = posix_sync_directory,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .remove_directory = posix_remove_directory,
    .list = posix_list,
    .has_subdirectories = posix_has_subdirectories,
    .lock = posix_lock,
    .free_bytes = posix_free_bytes,
    .sector_bytes = posix_sector_bytes,
    .now_us = posix_now_us,
};

struct disk *disk_posix(void)
{
    static struct disk disk = {.vtable = &posix_vtable};
    return &disk;
}
