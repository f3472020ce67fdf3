#include <snapshot/copy.h>

#include "format.h"

#include <errno.h>
#include <stdlib.h>

#define PIECE_BYTES 65536u

/* Of the highest file: also when it is a base that is missing and has a copy. */
static enum snapshot_status highest(struct disk *disk, const char *directory,
                                    const struct snapshot_file *after,
                                    struct snapshot_file *ret_file, bool *ret_missing,
                                    struct segment_log_problem *ret_problem)
{
    bool found;
    char path[DISK_PATH_MAX];
    int error = snapshot__highest(disk, directory, after, ret_file, &found);
    if (error != 0) {
        return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, 0, error, "cannot list");
    }
    if (!found) {
        return snapshot__problem(ret_problem, SNAPSHOT_MISSING, directory, 0, 0, 0, "no more");
    }
    struct snapshot_file base = *ret_file;
    base.form = SNAPSHOT_FINAL;
    const bool was_told = after && after->kind == base.kind && after->index == base.index;
    *ret_missing = false;
    if (ret_file->form != SNAPSHOT_COPY || was_told) return SNAPSHOT_OK;
    if (!snapshot__file_path(directory, &base, path)) return SNAPSHOT_OK;
    *ret_missing = !disk_exists(disk, path);
    if (*ret_missing) *ret_file = base;
    return SNAPSHOT_OK;
}

enum snapshot_status snapshot_check_next(struct disk *disk, const char *directory,
                                         const struct cluster_id *cluster, uint64_t group,
                                         const struct snapshot_file *after,
                                         struct snapshot_file *ret_file, uint64_t *ret_bytes,
                                         struct segment_log_problem *ret_problem)
{
    bool is_missing = false;
    *ret_bytes = 0;
    enum snapshot_status status =
        highest(disk, directory, after, ret_file, &is_missing, ret_problem);
    if (status != SNAPSHOT_OK) return status;
    if (is_missing) {
        return snapshot__problem(ret_problem, SNAPSHOT_DAMAGED, directory, 0, ret_file->index, 0,
                                 "the base is missing, its copy is there");
    }
    struct disk_file *file;
    char path[DISK_PATH_MAX];
    if (snapshot__file_path(directory, ret_file, path) &&
        disk_open(disk, path, DISK_READ, &file) == 0) {
        if (disk_size(file, ret_bytes) != 0) *ret_bytes = 0;
        disk_close(file);
    }
    struct snapshot_header header;
    status =
        snapshot__load(disk, directory, ret_file, cluster, group, &header, NULL, NULL, ret_problem);
    /* Removed meanwhile; the next one is another matter. What is of another group or version is not what was written here. */
    if (status == SNAPSHOT_MISSING) return SNAPSHOT_OK;
    return status == SNAPSHOT_OK || status == SNAPSHOT_IO ? status : SNAPSHOT_DAMAGED;
}

bool snapshot_has_copy(struct disk *disk, const char *directory, const struct cluster_id *cluster,
                       uint64_t group, uint64_t index)
{
    const struct snapshot_file copy = {
        .kind = SNAPSHOT_BASE, .form = SNAPSHOT_COPY, .index = index};
    struct segment_log_point point;
    return snapshot__load_point(disk, directory, &copy, cluster, group, &point, NULL) ==
           SNAPSHOT_OK;
}

/* *ret_unreadable: it failed because `from` cannot be read, which is damage of that one (reader.c). */
static int copy_bytes(struct disk_file *from, struct disk_file *to, bool *ret_unreadable)
{
    uint64_t size = 0;
    uint8_t *buffer = malloc(PIECE_BYTES);
    int error = buffer ? disk_size(from, &size) : -ENOMEM;
    for (uint64_t pos = 0; error == 0 && pos < size;) {
        const size_t bytes = size - pos < PIECE_BYTES ? (size_t)(size - pos) : PIECE_BYTES;
        const ssize_t got = disk_pread(from, buffer, bytes, pos);
        *ret_unreadable = got == -EIO || got == 0;
        error = got < 0 ? (int)got : got == 0 ? -EIO : disk_pwrite(to, buffer, (size_t)got, pos);
        pos += got > 0 ? (uint64_t)got : 0;
    }
    free(buffer);
    return error ? error : disk_datasync(to);
}

static int copy_file(struct disk *disk, const char *source, const char *target,
                     bool *ret_unreadable)
{
    struct disk_file *from = NULL, *to = NULL;
    int error = disk_unlink(disk, target);
    if (error == 0 || error == -ENOENT) error = disk_open(disk, source, DISK_READ, &from);
    if (error == 0) error = disk_open(disk, target, DISK_CREATE_NEW, &to);
    if (error == 0) error = copy_bytes(from, to, ret_unreadable);
    disk_close(from);
    disk_close(to);
    return error;
}

static enum snapshot_status duplicate(struct disk *disk, const char *directory,
                                      const struct cluster_id *cluster, uint64_t group,
                                      uint64_t index, enum snapshot_form from,
                                      struct segment_log_problem *ret_problem)
{
    const struct snapshot_file source = {.kind = SNAPSHOT_BASE, .form = from, .index = index};
    struct snapshot_file target = source, temporary = source;
    target.form = from == SNAPSHOT_COPY ? SNAPSHOT_FINAL : SNAPSHOT_COPY;
    temporary.form = SNAPSHOT_TEMPORARY;
    char paths[3][DISK_PATH_MAX];
    if (!snapshot__file_path(directory, &source, paths[0]) ||
        !snapshot__file_path(directory, &temporary, paths[1]) ||
        !snapshot__file_path(directory, &target, paths[2])) {
        return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, index, -ENAMETOOLONG,
                                 "cannot name the file");
    }
    struct snapshot_header header;
    uint64_t hash = 0, written_hash = 0;
    enum snapshot_status status =
        snapshot__load(disk, directory, &source, cluster, group, &header, NULL, &hash, ret_problem);
    if (status != SNAPSHOT_OK) return status;
    bool is_unreadable = false;
    const int error = copy_file(disk, paths[0], paths[1], &is_unreadable);
    if (error != 0) {
        status = is_unreadable ? SNAPSHOT_DAMAGED : snapshot__status_of(error);
        status = snapshot__problem(ret_problem, status, is_unreadable ? paths[0] : paths[1], 0,
                                   index, error, "cannot copy a base");
    }
    bool is_written = false;
    if (status == SNAPSHOT_OK) {
        status = snapshot__read(disk, paths[1], /* from_device= */ true, &header, NULL,
                                &written_hash, ret_problem);
        is_written = status == SNAPSHOT_OK && hash == written_hash;
        /* Of the disk, and nothing that the base can be blamed for. */
        if (!is_written && (status == SNAPSHOT_OK || status == SNAPSHOT_DAMAGED)) {
            status = snapshot__problem(ret_problem, SNAPSHOT_IO, paths[1], 0, index, -EIO,
                                       "what was written does not read back");
        }
    }
    if (is_written) {
        return snapshot__publish(disk, directory, paths[1], paths[2], index, ret_problem);
    }
    disk_unlink(disk, paths[1]); /* whatever it returns: the next start removes temporary files */
    return status;
}

enum snapshot_status snapshot_copy_base(struct disk *disk, const char *directory,
                                        const struct cluster_id *cluster, uint64_t group,
                                        uint64_t index, struct segment_log_problem *ret_problem)
{
    return duplicate(disk, directory, cluster, group, index, SNAPSHOT_FINAL, ret_problem);
}

enum snapshot_status snapshot_restore_base(struct disk *disk, const char *directory,
                                           const struct cluster_id *cluster, uint64_t group,
                                           uint64_t index, struct segment_log_problem *ret_problem)
{
    return duplicate(disk, directory, cluster, group, index, SNAPSHOT_COPY, ret_problem);
}

int snapshot_remove_file(struct disk *disk, const char *directory, const struct snapshot_file *file)
{
    char path[DISK_PATH_MAX];
    if (!snapshot__file_path(directory, file, path)) return -ENAMETOOLONG;
    int error = disk_unlink(disk, path);
    if (error == -ENOENT) return 0;
    return error != 0 ? error : disk_sync_directory(disk, directory);
}
