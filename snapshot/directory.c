/* The snapshots of a group in their directory: choosing the one to start from, and removing what is not needed.
 *
 * A listing is walked once per file taken, keeping only the best name, so no list of names is held. */
#include <snapshot/transfer.h>

#include "format.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* By index. Of two at one index the checkpoint stands higher, because a damaged one has the base to fall back to, and a base
 * stands above its copy for the same reason. */
static bool is_below(const struct snapshot_file *a, const struct snapshot_file *b)
{
    if (a->index != b->index) return a->index < b->index;
    if (a->kind != b->kind) return a->kind == SNAPSHOT_BASE;
    return a->form == SNAPSHOT_COPY && b->form != SNAPSHOT_COPY;
}

struct search {
    bool (*is_wanted)(const struct search *search, const struct snapshot_file *file);
    struct snapshot_file limit;
    bool is_limited;
    bool found;
    struct snapshot_file best; /* the highest that is wanted */
};

static void consider(void *data, const char *name)
{
    struct search *search = data;
    struct snapshot_file file;
    if (!snapshot__parse_name(name, &file)) return;
    if (!search->is_wanted(search, &file)) return;
    if (search->found && !is_below(&search->best, &file)) return;
    search->best = file;
    search->found = true;
}

static bool is_temporary(const struct search *search, const struct snapshot_file *file)
{
    (void)search;
    return file->form == SNAPSHOT_TEMPORARY;
}

static bool is_final_below_limit(const struct search *search, const struct snapshot_file *file)
{
    return file->form != SNAPSHOT_TEMPORARY &&
           (!search->is_limited || is_below(file, &search->limit));
}

static bool is_base_below_limit(const struct search *search, const struct snapshot_file *file)
{
    return file->form != SNAPSHOT_TEMPORARY && file->kind == SNAPSHOT_BASE &&
           file->index < search->limit.index;
}

static bool is_below_limit(const struct search *search, const struct snapshot_file *file)
{
    return file->form != SNAPSHOT_TEMPORARY && file->index < search->limit.index;
}

static bool is_copy_below_limit(const struct search *search, const struct snapshot_file *file)
{
    return file->form == SNAPSHOT_COPY && file->index < search->limit.index;
}

static bool is_old_checkpoint(const struct search *search, const struct snapshot_file *file)
{
    return file->form != SNAPSHOT_TEMPORARY && file->kind == SNAPSHOT_CHECKPOINT &&
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
        if (!snapshot__file_path(directory, &search->best, path)) return -ENAMETOOLONG;
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

/* The copies first: one that outlived its base would stand for it. */
int snapshot_remove_below(struct disk *disk, const char *directory, uint64_t index)
{
    struct search copies = {.is_wanted = is_copy_below_limit, .limit = {.index = index}};
    struct search search = {.is_wanted = is_below_limit, .limit = {.index = index}};
    bool removed;
    int error = remove_all(disk, directory, &copies, &removed);
    if (error == 0 && removed) error = disk_sync_directory(disk, directory);
    if (error == 0) error = remove_all(disk, directory, &search, &removed);
    if (error != 0) return error;
    return removed ? disk_sync_directory(disk, directory) : 0;
}

int snapshot_remove_base(struct disk *disk, const char *directory, uint64_t index)
{
    struct snapshot_file file = {.kind = SNAPSHOT_BASE, .form = SNAPSHOT_COPY, .index = index};
    int error = snapshot_remove_file(disk, directory, &file);
    file.form = SNAPSHOT_FINAL;
    return error ? error : snapshot_remove_file(disk, directory, &file);
}

int snapshot__highest(struct disk *disk, const char *directory, const struct snapshot_file *limit,
                      struct snapshot_file *ret_file, bool *ret_found)
{
    struct search search = {.is_wanted = is_final_below_limit, .is_limited = limit != NULL};
    if (limit) search.limit = *limit;
    int error = disk_list(disk, directory, consider, &search);
    if (error != 0) return error;
    *ret_found = search.found;
    *ret_file = search.best;
    return 0;
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

/* cluster NULL: of whatever cluster and group it is. */
static const char *why_not_this(const struct snapshot_header *header,
                                const struct snapshot_file *file, const struct cluster_id *cluster,
                                uint64_t group, enum snapshot_status *ret_status)
{
    *ret_status = SNAPSHOT_FOREIGN;
    if (cluster && memcmp(header->cluster.bytes, cluster->bytes, sizeof cluster->bytes) != 0) {
        return "the file belongs to another cluster";
    }
    if (cluster && header->group != group) return "the file belongs to another group";
    *ret_status = SNAPSHOT_DAMAGED;
    if (header->point.index != file->index || header->kind != file->kind) {
        return "the file is not the one that its name tells";
    }
    *ret_status = SNAPSHOT_OK;
    return NULL;
}

static enum snapshot_status load_header(struct disk *disk, const char *directory,
                                        const struct snapshot_file *file,
                                        const struct cluster_id *cluster, uint64_t group,
                                        struct snapshot_header *ret_header,
                                        struct segment_log_problem *ret_problem)
{
    char path[DISK_PATH_MAX];
    if (!snapshot__file_path(directory, file, path)) {
        return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, file->index, -ENAMETOOLONG,
                                 "cannot name the file");
    }
    enum snapshot_status status = snapshot__read_header(disk, path, ret_header, ret_problem);
    if (status != SNAPSHOT_OK) return status;
    const char *reason = why_not_this(ret_header, file, cluster, group, &status);
    if (reason) return snapshot__problem(ret_problem, status, path, 0, file->index, 0, reason);
    return SNAPSHOT_OK;
}

enum snapshot_status snapshot__load_point(struct disk *disk, const char *directory,
                                          const struct snapshot_file *file,
                                          const struct cluster_id *cluster, uint64_t group,
                                          struct segment_log_point *ret_point,
                                          struct segment_log_problem *ret_problem)
{
    struct snapshot_header header;
    const enum snapshot_status status =
        load_header(disk, directory, file, cluster, group, &header, ret_problem);
    if (status == SNAPSHOT_OK) *ret_point = header.point;
    return status;
}

static enum snapshot_status load_point_or_copy(struct disk *disk, const char *directory,
                                               uint64_t index, const struct cluster_id *cluster,
                                               uint64_t group, struct segment_log_point *ret_point,
                                               struct segment_log_problem *ret_problem)
{
    struct snapshot_file file = {.kind = SNAPSHOT_BASE, .form = SNAPSHOT_FINAL, .index = index};
    struct segment_log_problem problem;
    enum snapshot_status status =
        snapshot__load_point(disk, directory, &file, cluster, group, ret_point, ret_problem);
    if (status != SNAPSHOT_DAMAGED && status != SNAPSHOT_MISSING) return status;
    file.form = SNAPSHOT_COPY;
    enum snapshot_status copied =
        snapshot__load_point(disk, directory, &file, cluster, group, ret_point, &problem);
    return copied == SNAPSHOT_OK || copied == SNAPSHOT_IO ? copied : SNAPSHOT_DAMAGED;
}

static void note_damaged(struct snapshot_damage *damage, uint64_t index)
{
    if (!damage) return;
    if (damage->count++ == 0) damage->highest = index;
    damage->lowest = index;
}

enum snapshot_status snapshot_list_bases(struct disk *disk, const char *directory,
                                         const struct cluster_id *cluster, uint64_t group,
                                         struct segment_log_point *ret_points, uint32_t max,
                                         uint32_t *ret_count, struct snapshot_damage *ret_damage,
                                         struct segment_log_problem *ret_problem)
{
    uint64_t limit = UINT64_MAX;
    *ret_count = 0;
    if (ret_damage) *ret_damage = (struct snapshot_damage){.count = 0};
    while (*ret_count < max) {
        bool found;
        uint64_t index;
        int error = snapshot__newest_base(disk, directory, limit, &index, &found);
        if (error != 0) {
            return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, 0, error,
                                     "cannot list");
        }
        if (!found) break;
        enum snapshot_status status = load_point_or_copy(disk, directory, index, cluster, group,
                                                         &ret_points[*ret_count], ret_problem);
        if (status == SNAPSHOT_OK) {
            (*ret_count)++;
        } else if (status == SNAPSHOT_DAMAGED) {
            note_damaged(ret_damage, index);
        } else {
            return status;
        }
        limit = index;
    }
    return SNAPSHOT_OK;
}

enum snapshot_status snapshot__load(struct disk *disk, const char *directory,
                                    const struct snapshot_file *file,
                                    const struct cluster_id *cluster, uint64_t group,
                                    struct snapshot_header *ret_header, struct tree **ret_state,
                                    uint64_t *ret_hash, struct segment_log_problem *ret_problem)
{
    struct snapshot_header header;
    struct tree *state = NULL;
    char path[DISK_PATH_MAX];
    if (!snapshot__file_path(directory, file, path)) {
        return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, file->index, -ENAMETOOLONG,
                                 "cannot name the file");
    }
    enum snapshot_status status = snapshot__read(disk, path, /* from_device= */ true, &header,
                                                 ret_state ? &state : NULL, ret_hash, ret_problem);
    if (status != SNAPSHOT_OK) return status;
    const char *reason = why_not_this(&header, file, cluster, group, &status);
    if (reason) {
        tree_unref(state);
        return snapshot__problem(ret_problem, status, path, 0, file->index, 0, reason);
    }
    *ret_header = header;
    if (ret_state) *ret_state = state;
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

    struct snapshot_file file;
    for (;;) {
        bool found;
        int error = snapshot__highest(disk, directory, has_skipped ? &file : NULL, &file, &found);
        if (error != 0) {
            return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, 0, error,
                                     "cannot list");
        }
        if (!found) break;
        status = snapshot__load(disk, directory, &file, cluster, group, ret_header, ret_state, NULL,
                                &problem);
        if (status != SNAPSHOT_DAMAGED) {
            if (status != SNAPSHOT_OK && ret_problem) *ret_problem = problem;
            return status == SNAPSHOT_MISSING ? SNAPSHOT_IO : status; /* it was listed */
        }
        if (on_skipped) on_skipped(data, &problem);
        if (!has_skipped) first_skipped = problem;
        has_skipped = true;
    }
    if (has_skipped) {
        /* Files were there and none is whole: that is damage, not a new group. */
        if (ret_problem) *ret_problem = first_skipped;
        return SNAPSHOT_DAMAGED;
    }
    return snapshot__problem(ret_problem, SNAPSHOT_MISSING, directory, 0, 0, 0, "no snapshot file");
}

/* ---- offline ---------------------------------------------------------------------------------------------------------- */

static enum snapshot_status survey_bases(struct disk *disk, const char *directory,
                                         struct segment_log_snapshots *snapshots,
                                         struct segment_log_problem *ret_problem)
{
    uint64_t index = UINT64_MAX;
    bool found;
    for (;;) {
        const int error = snapshot__newest_base(disk, directory, index, &index, &found);
        if (error != 0) {
            return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, 0, error,
                                     "cannot list");
        }
        if (!found) return SNAPSHOT_OK;
        struct segment_log_point point;
        const enum snapshot_status status =
            load_point_or_copy(disk, directory, index, NULL, 0, &point, ret_problem);
        if (status == SNAPSHOT_IO) return status;
        if (status == SNAPSHOT_OK) {
            if (snapshots->bases_count++ == 0) snapshots->newest_base = point;
            snapshots->oldest_base = point;
            continue;
        }
        if (snapshots->damaged_count++ == 0) snapshots->damaged_highest = index;
        snapshots->damaged_lowest = index;
    }
}

/* The newest one of any kind whose header is whole, as a start takes it (snapshot_load_newest). */
static enum snapshot_status survey_state(struct disk *disk, const char *directory,
                                         struct segment_log_snapshots *snapshots,
                                         struct segment_log_problem *ret_problem)
{
    struct snapshot_header header;
    struct snapshot_file file;
    const struct snapshot_file *limit = NULL;
    bool found;
    for (;;) {
        const int error = snapshot__highest(disk, directory, limit, &file, &found);
        if (error != 0) {
            return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, 0, error,
                                     "cannot list");
        }
        if (!found) return SNAPSHOT_OK;
        limit = &file;
        const enum snapshot_status status =
            load_header(disk, directory, &file, NULL, 0, &header, ret_problem);
        if (status == SNAPSHOT_IO) return status;
        if (status != SNAPSHOT_OK) continue;
        snapshots->has_ids = true;
        snapshots->cluster = header.cluster;
        snapshots->group = header.group;
        snapshots->state_index = header.point.index;
        return SNAPSHOT_OK;
    }
}

enum snapshot_status snapshot_survey(struct disk *disk, const char *directory,
                                     struct segment_log_snapshots *ret_snapshots,
                                     struct segment_log_problem *ret_problem)
{
    *ret_snapshots = (struct segment_log_snapshots){.has_ids = false};
    const enum snapshot_status status = survey_bases(disk, directory, ret_snapshots, ret_problem);
    if (status != SNAPSHOT_OK) return status;
    return survey_state(disk, directory, ret_snapshots, ret_problem);
}
