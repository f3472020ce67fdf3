/* The snapshots of a group in their directory: choosing the one to start from, and removing what is not needed.
 *
 * A listing is walked once per file taken, keeping only the best name, so no list of names is held. */
#include <snapshot/transfer.h>

#include "format.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct file {
    enum snapshot_kind kind;
    uint64_t index;
    bool temporary;
};

/* By index. Of two at one index the checkpoint stands higher, because a damaged one has the base to fall back to. */
static bool is_below(const struct file *a, const struct file *b)
{
    if (a->index != b->index) return a->index < b->index;
    return a->kind == SNAPSHOT_BASE && b->kind == SNAPSHOT_CHECKPOINT;
}

struct search {
    bool (*is_wanted)(const struct search *search, const struct file *file);
    struct file limit;
    bool is_limited;
    bool found;
    struct file best; /* the highest that is wanted */
};

static void consider(void *data, const char *name)
{
    struct search *search = data;
    struct file file;
    if (!snapshot__parse_name(name, &file.kind, &file.index, &file.temporary)) return;
    if (!search->is_wanted(search, &file)) return;
    if (search->found && !is_below(&search->best, &file)) return;
    search->best = file;
    search->found = true;
}

static bool is_temporary(const struct search *search, const struct file *file)
{
    (void)search;
    return file->temporary;
}

static bool is_final_below_limit(const struct search *search, const struct file *file)
{
    return !file->temporary && (!search->is_limited || is_below(file, &search->limit));
}

static bool is_base_below_limit(const struct search *search, const struct file *file)
{
    return !file->temporary && file->kind == SNAPSHOT_BASE && file->index < search->limit.index;
}

static bool is_below_limit(const struct search *search, const struct file *file)
{
    return !file->temporary && file->index < search->limit.index;
}

static bool is_old_checkpoint(const struct search *search, const struct file *file)
{
    return !file->temporary && file->kind == SNAPSHOT_CHECKPOINT &&
           file->index < search->limit.index;
}

/* Remove every file that the search wants. *ret_removed tells whether there was one. */
static int remove_all(struct disk *disk, const char *directory, struct search *search,
                      bool *ret_removed)
{
    *ret_removed = false;
    for (;;) {
        char path[DISK_PATH_MAX];
        search->found = false;
        int error = disk_list(disk, directory, consider, search);
        if (error != 0 || !search->found) return error;
        const char *suffix = search->best.temporary ? SNAPSHOT_TEMPORARY_SUFFIX : "";
        if (!snapshot__path(directory, search->best.kind, search->best.index, suffix, path)) {
            return -ENAMETOOLONG;
        }
        error = disk_unlink(disk, path);
        if (error != 0) return error;
        *ret_removed = true;
    }
}

int snapshot_remove_older(struct disk *disk, const char *directory, uint64_t index)
{
    struct search search = {.is_wanted = is_old_checkpoint, .limit = {.index = index}};
    bool removed;
    int error = remove_all(disk, directory, &search, &removed);
    if (error != 0) return error;
    return removed ? disk_sync_directory(disk, directory) : 0;
}

int snapshot_remove_below(struct disk *disk, const char *directory, uint64_t index)
{
    struct search search = {.is_wanted = is_below_limit, .limit = {.index = index}};
    bool removed;
    int error = remove_all(disk, directory, &search, &removed);
    if (error != 0) return error;
    return removed ? disk_sync_directory(disk, directory) : 0;
}

int snapshot_remove_base(struct disk *disk, const char *directory, uint64_t index)
{
    char path[DISK_PATH_MAX];
    if (!snapshot__path(directory, SNAPSHOT_BASE, index, "", path)) return -ENAMETOOLONG;
    int error = disk_unlink(disk, path);
    if (error == -ENOENT) return 0;
    return error != 0 ? error : disk_sync_directory(disk, directory);
}

int snapshot__newest_base(struct disk *disk, const char *directory, uint64_t limit,
                          uint64_t *ret_index, bool *ret_found)
{
    struct search search = {.is_wanted = is_base_below_limit, .limit = {.index = limit}};
    int error = disk_list(disk, directory, consider, &search);
    if (error != 0) return error;
    *ret_found = search.found;
    *ret_index = search.best.index;
    return 0;
}

/* Hold a base, of which only the header was read, against its name and the group that asks. */
static enum snapshot_status load_point(struct disk *disk, const char *directory, uint64_t index,
                                       const struct cluster_id *cluster, uint64_t group,
                                       struct segment_log_point *ret_point,
                                       struct segment_log_problem *ret_problem)
{
    struct snapshot_header header;
    char path[DISK_PATH_MAX];
    if (!snapshot__path(directory, SNAPSHOT_BASE, index, "", path)) {
        return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, index, -ENAMETOOLONG,
                                 "cannot name the file");
    }
    enum snapshot_status status = snapshot__read_header(disk, path, &header, ret_problem);
    if (status != SNAPSHOT_OK) return status;
    if (memcmp(header.cluster.bytes, cluster->bytes, sizeof cluster->bytes) != 0 ||
        header.group != group) {
        return snapshot__problem(ret_problem, SNAPSHOT_FOREIGN, path, 0, index, 0,
                                 "the file belongs to another cluster or group");
    }
    if (header.point.index != index || header.kind != SNAPSHOT_BASE) {
        return snapshot__problem(ret_problem, SNAPSHOT_DAMAGED, path, 0, index, 0,
                                 "the file is not the one that its name tells");
    }
    *ret_point = header.point;
    return SNAPSHOT_OK;
}

enum snapshot_status snapshot_list_bases(struct disk *disk, const char *directory,
                                         const struct cluster_id *cluster, uint64_t group,
                                         struct segment_log_point *ret_points, uint32_t max,
                                         uint32_t *ret_count,
                                         struct segment_log_problem *ret_problem)
{
    uint64_t limit = UINT64_MAX;
    *ret_count = 0;
    while (*ret_count < max) {
        bool found;
        uint64_t index;
        int error = snapshot__newest_base(disk, directory, limit, &index, &found);
        if (error != 0) {
            return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, 0, error,
                                     "cannot list");
        }
        if (!found) break;
        enum snapshot_status status = load_point(disk, directory, index, cluster, group,
                                                 &ret_points[*ret_count], ret_problem);
        if (status == SNAPSHOT_OK) {
            (*ret_count)++;
        } else if (status != SNAPSHOT_DAMAGED || *ret_count == 0) {
            return status;
        }
        limit = index;
    }
    return SNAPSHOT_OK;
}

/* Load one file and hold it against its name and the group that asks. */
static enum snapshot_status load(struct disk *disk, const char *path, const struct file *file,
                                 const struct cluster_id *cluster, uint64_t group,
                                 struct snapshot_header *ret_header, struct tree **ret_state,
                                 struct segment_log_problem *ret_problem)
{
    struct snapshot_header header;
    struct tree *state = NULL;
    enum snapshot_status status =
        snapshot__read(disk, path, /* from_device= */ true, &header, &state, NULL, ret_problem);
    if (status != SNAPSHOT_OK) return status;

    if (memcmp(header.cluster.bytes, cluster->bytes, sizeof cluster->bytes) != 0) {
        status = snapshot__problem(ret_problem, SNAPSHOT_FOREIGN, path, 0, file->index, 0,
                                   "the file belongs to another cluster");
    } else if (header.group != group) {
        status = snapshot__problem(ret_problem, SNAPSHOT_FOREIGN, path, 0, file->index, 0,
                                   "the file belongs to another group");
    } else if (header.point.index != file->index || header.kind != file->kind) {
        status = snapshot__problem(ret_problem, SNAPSHOT_DAMAGED, path, 0, file->index, 0,
                                   "the file is not the one that its name tells");
    }
    if (status != SNAPSHOT_OK) {
        tree_unref(state);
        return status;
    }
    *ret_header = header;
    *ret_state = state;
    return SNAPSHOT_OK;
}

/* A file whose rename was not yet durable when the process died must not vanish later, when the log behind it is gone:
 * what is relied on is made durable first (PROTOCOL L9). */
static enum snapshot_status prepare(struct disk *disk, const char *directory,
                                    struct segment_log_problem *ret_problem)
{
    struct search temporaries = {.is_wanted = is_temporary};
    bool removed;
    int error = remove_all(disk, directory, &temporaries, &removed);
    if (error == -ENOENT) {
        return snapshot__problem(ret_problem, SNAPSHOT_MISSING, directory, 0, 0, error,
                                 "no directory");
    }
    if (error == 0) error = disk_sync_directory(disk, directory);
    if (error == 0) return SNAPSHOT_OK;
    return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, 0, error,
                             "cannot clean and sync the directory");
}

enum snapshot_status snapshot_load_newest(struct disk *disk, const char *directory,
                                          const struct cluster_id *cluster, uint64_t group,
                                          snapshot_skipped_cb on_skipped, void *data,
                                          struct snapshot_header *ret_header,
                                          struct tree **ret_state,
                                          struct segment_log_problem *ret_problem)
{
    struct segment_log_problem first_skipped, problem;
    bool has_skipped = false;
    enum snapshot_status status = prepare(disk, directory, ret_problem);
    if (status != SNAPSHOT_OK) return status;

    struct search search = {.is_wanted = is_final_below_limit};
    for (;;) {
        char path[DISK_PATH_MAX];
        search.found = false;
        int error = disk_list(disk, directory, consider, &search);
        if (error != 0) {
            return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, 0, error,
                                     "cannot list");
        }
        if (!search.found) break;
        if (!snapshot__path(directory, search.best.kind, search.best.index, "", path)) {
            return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, 0, -ENAMETOOLONG,
                                     "cannot name the file");
        }
        status = load(disk, path, &search.best, cluster, group, ret_header, ret_state, &problem);
        if (status != SNAPSHOT_DAMAGED || search.best.kind == SNAPSHOT_BASE) {
            if (status != SNAPSHOT_OK && ret_problem) *ret_problem = problem;
            return status == SNAPSHOT_MISSING ? SNAPSHOT_IO : status; /* it was listed */
        }
        if (on_skipped) on_skipped(data, &problem);
        if (!has_skipped) first_skipped = problem;
        has_skipped = true;
        search.limit = search.best;
        search.is_limited = true;
    }
    if (has_skipped) {
        /* Files were there and none is whole: that is damage, not a new group. */
        if (ret_problem) *ret_problem = first_skipped;
        return SNAPSHOT_DAMAGED;
    }
    return snapshot__problem(ret_problem, SNAPSHOT_MISSING, directory, 0, 0, 0, "no snapshot file");
}
