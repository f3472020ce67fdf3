/* Both ends of a transfer: a source reads a base that is whole, a sink makes one out of chunks. */
#include <snapshot/transfer.h>

#include "format.h"

#include <planted/planted.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

static bool is_same_point(const struct segment_log_point *a, const struct segment_log_point *b)
{
    return a->index == b->index && a->term == b->term && a->chain == b->chain &&
           a->next_offset == b->next_offset && a->timestamp_ms == b->timestamp_ms;
}

bool snapshot_identity_is_same(const struct snapshot_identity *a, const struct snapshot_identity *b)
{
    return is_same_point(&a->point, &b->point) && a->bytes == b->bytes && a->hash == b->hash;
}

static const char *why_foreign(const struct snapshot_header *header,
                               const struct cluster_id *cluster, uint64_t group)
{
    if (memcmp(header->cluster.bytes, cluster->bytes, sizeof cluster->bytes) != 0) {
        return "the file belongs to another cluster";
    }
    return header->group == group ? NULL : "the file belongs to another group";
}

/* ---- sending -------------------------------------------------------------------------------------------------------- */

static enum snapshot_status check_source(struct disk *disk, const char *path, uint64_t index,
                                         const struct cluster_id *cluster, uint64_t group,
                                         struct snapshot_identity *ret_identity,
                                         struct segment_log_problem *ret_problem)
{
    struct snapshot_header header;
    enum snapshot_status status = snapshot__read(disk, path, /* from_device= */ true, &header, NULL,
                                                 &ret_identity->hash, ret_problem);
    if (status != SNAPSHOT_OK) return status;
    const char *reason = why_foreign(&header, cluster, group);
    if (reason) {
        return snapshot__problem(ret_problem, SNAPSHOT_FOREIGN, path, 0, index, 0, reason);
    }
    if (header.point.index != index || header.kind != SNAPSHOT_BASE) {
        return snapshot__problem(ret_problem, SNAPSHOT_DAMAGED, path, 0, index, 0,
                                 "the file is not the one that its name tells");
    }
    ret_identity->point = header.point;
    return SNAPSHOT_OK;
}

enum snapshot_status snapshot_source_open(struct disk *disk, const char *directory,
                                          const struct cluster_id *cluster, uint64_t group,
                                          uint64_t index, struct snapshot_source *ret_source,
                                          struct segment_log_problem *ret_problem)
{
    bool found;
    char path[DISK_PATH_MAX];
    const uint64_t limit = index > 0 ? index + 1u : UINT64_MAX;
    const uint64_t wanted = index;
    int error = snapshot__newest_base(disk, directory, limit, &index, &found);
    if (error == 0 && wanted > 0 && index != wanted) found = false;
    if (error == 0 && !found) {
        return snapshot__problem(ret_problem, SNAPSHOT_MISSING, directory, 0, wanted, 0,
                                 "no such base");
    }
    if (error == 0 && !snapshot__path(directory, SNAPSHOT_BASE, index, "", path)) {
        error = -ENAMETOOLONG;
    }
    struct snapshot_source source = {.file = NULL};
    if (error == 0) error = disk_open(disk, path, DISK_READ, &source.file);
    if (error == -ENOENT) {
        return snapshot__problem(ret_problem, SNAPSHOT_MISSING, path, 0, index, error,
                                 "there is only its copy");
    }
    if (error != 0) {
        return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, 0, error,
                                 "cannot open the base");
    }
    enum snapshot_status status =
        check_source(disk, path, index, cluster, group, &source.identity, ret_problem);
    if (status == SNAPSHOT_OK) {
        error = disk_size(source.file, &source.identity.bytes);
        if (error != 0) {
            status = snapshot__problem(ret_problem, SNAPSHOT_IO, path, 0, index, error,
                                       "cannot tell the size");
        }
    }
    if (status == SNAPSHOT_OK) {
        *ret_source = source;
    } else {
        if (ret_problem) ret_problem->index = index; /* also of one whose header is not whole */
        disk_close(source.file);
    }
    return status;
}

int snapshot_source_read(const struct snapshot_source *source, uint64_t pos, void *buffer,
                         size_t bytes)
{
    assert(pos <= source->identity.bytes && bytes <= source->identity.bytes - pos);
    ssize_t got = disk_pread(source->file, buffer, bytes, pos);
    if (got < 0) return (int)got;
    return (size_t)got == bytes ? 0 : -EIO;
}

void snapshot_source_close(struct snapshot_source *source)
{
    disk_close(source->file);
    source->file = NULL;
}

/* ---- receiving ------------------------------------------------------------------------------------------------------ */

static bool path_of(const struct snapshot_sink *sink, const char *suffix, char path[DISK_PATH_MAX])
{
    return snapshot__path(sink->directory, SNAPSHOT_BASE, sink->identity.point.index, suffix, path);
}

enum snapshot_status snapshot_sink_open(struct disk *disk, const char *directory,
                                        const struct snapshot_identity *identity,
                                        struct snapshot_sink *ret_sink,
                                        struct segment_log_problem *ret_problem)
{
    struct snapshot_sink sink = {.disk = disk, .identity = *identity};
    const uint64_t index = identity->point.index;
    char path[DISK_PATH_MAX];
    int error = strlen(directory) < sizeof sink.directory ? 0 : -ENAMETOOLONG;
    if (error == 0) memcpy(sink.directory, directory, strlen(directory) + 1);
    if (error == 0 && !path_of(&sink, SNAPSHOT_TEMPORARY_SUFFIX, path)) error = -ENAMETOOLONG;
    if (error == 0) {
        error = disk_unlink(disk, path);
        if (error == -ENOENT) error = 0;
    }
    if (error == 0) error = disk_open(disk, path, DISK_CREATE_NEW, &sink.file);
    if (error != 0) {
        return snapshot__problem(ret_problem, snapshot__status_of(error), directory, 0, index,
                                 error, "cannot begin a temporary file");
    }
    *ret_sink = sink;
    return SNAPSHOT_OK;
}

enum snapshot_status snapshot_sink_write(struct snapshot_sink *sink, const void *bytes,
                                         size_t bytes_count,
                                         struct segment_log_problem *ret_problem)
{
    assert(sink->received <= sink->identity.bytes);
    assert(bytes_count <= sink->identity.bytes - sink->received);
    int error = disk_pwrite(sink->file, bytes, bytes_count, sink->received);
    if (error != 0) {
        return snapshot__problem(ret_problem, snapshot__status_of(error), sink->directory,
                                 sink->received, sink->identity.point.index, error,
                                 "cannot write what was received");
    }
    sink->received += bytes_count;
    return SNAPSHOT_OK;
}

static const char *why_not_announced(const struct snapshot_sink *sink,
                                     const struct snapshot_header *header, uint64_t hash)
{
    if (PLANTED(S3_RECEIVED_IS_NOT_COMPARED)) return NULL;
    if (hash != sink->identity.hash) return "its hash is not the one that was announced";
    if (header->kind != SNAPSHOT_BASE) return "it is not a base";
    if (!is_same_point(&header->point, &sink->identity.point)) {
        return "it does not stand where it was announced";
    }
    return NULL;
}

enum snapshot_status snapshot_sink_verify(struct snapshot_sink *sink,
                                          const struct cluster_id *cluster, uint64_t group,
                                          struct snapshot_header *ret_header,
                                          struct tree **ret_state,
                                          struct segment_log_problem *ret_problem)
{
    assert(sink->received == sink->identity.bytes);
    const uint64_t index = sink->identity.point.index;
    char path[DISK_PATH_MAX];
    bool fits = path_of(sink, SNAPSHOT_TEMPORARY_SUFFIX, path);
    assert(fits);
    (void)fits;
    int error = disk_datasync(sink->file);
    if (error != 0) {
        return snapshot__problem(ret_problem, SNAPSHOT_IO, path, 0, index, error, "cannot sync");
    }
    struct tree *state = NULL;
    uint64_t hash = 0;
    enum snapshot_status status = snapshot__read(sink->disk, path, /* from_device= */ true,
                                                 ret_header, &state, &hash, ret_problem);
    if (status != SNAPSHOT_OK) return status;
    const char *reason = why_foreign(ret_header, cluster, group);
    if (reason) {
        status = snapshot__problem(ret_problem, SNAPSHOT_FOREIGN, path, 0, index, 0, reason);
    } else if ((reason = why_not_announced(sink, ret_header, hash))) {
        status = snapshot__problem(ret_problem, SNAPSHOT_DAMAGED, path, 0, index, 0, reason);
    }
    if (status == SNAPSHOT_OK) {
        *ret_state = state;
    } else {
        tree_unref(state);
    }
    return status;
}

enum snapshot_status snapshot_sink_publish(struct snapshot_sink *sink,
                                           struct segment_log_problem *ret_problem)
{
    char temporary[DISK_PATH_MAX], path[DISK_PATH_MAX];
    bool fits = path_of(sink, SNAPSHOT_TEMPORARY_SUFFIX, temporary) && path_of(sink, "", path);
    assert(fits);
    (void)fits;
    return snapshot__publish(sink->disk, sink->directory, temporary, path,
                             sink->identity.point.index, ret_problem);
}

enum snapshot_status snapshot_sink_unpublish(struct snapshot_sink *sink,
                                             struct segment_log_problem *ret_problem)
{
    const uint64_t index = sink->identity.point.index;
    const int error = snapshot_remove_base(sink->disk, sink->directory, index);
    if (error == 0) return SNAPSHOT_OK;
    return snapshot__problem(ret_problem, SNAPSHOT_IO, sink->directory, 0, index, error,
                             "cannot remove a base that is not needed");
}

void snapshot_sink_close(struct snapshot_sink *sink, bool remove)
{
    if (!sink->file) return;
    disk_close(sink->file);
    sink->file = NULL;
    char path[DISK_PATH_MAX];
    /* Whatever it returns: the next start removes temporary files, too. */
    if (remove && path_of(sink, SNAPSHOT_TEMPORARY_SUFFIX, path)) disk_unlink(sink->disk, path);
}
