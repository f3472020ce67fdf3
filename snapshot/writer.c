/* Writing a snapshot: temporary name, sync, read back from the device, rename, sync the directory. So a file under its
 * final name is whole, whatever the instant at which the power goes. */
#include "format.h"

#include <planted/planted.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* buffer: a block header, then the payload collected so far. */
struct writer {
    struct disk_file *file;
    uint8_t *buffer;
    uint32_t payload_bytes;
    uint32_t pairs_count;
    uint64_t pos;
    uint64_t hash; /* checksum of the part written last */
    uint64_t blocks_count;
    int error; /* of the first write that failed */
};

/* Write the collected block; `value` follows the buffer when a pair is too large for it. */
static void write_block(struct writer *writer, struct tree_slice value)
{
    if (writer->error != 0 || writer->pairs_count == 0) return;
    struct snapshot_block block = {.pairs_count = writer->pairs_count,
                                   .payload_bytes = writer->payload_bytes + value.bytes};
    size_t bytes = SNAPSHOT_BLOCK_HEADER_BYTES + (size_t)writer->payload_bytes;
    snapshot__encode_block(&block, writer->buffer);
    writer->hash = snapshot__checksum(writer->buffer, bytes, value.data, value.bytes, writer->hash);
    snapshot__set_checksum(writer->buffer, writer->hash);

    struct iovec iov[2] = {
        {.iov_base = writer->buffer, .iov_len = bytes},
        {.iov_base = (void *)(uintptr_t)value.data, .iov_len = value.bytes},
    };
    writer->error = disk_pwritev(writer->file, iov, value.bytes > 0 ? 2 : 1, writer->pos);
    writer->pos += bytes + value.bytes;
    writer->blocks_count++;
    writer->payload_bytes = 0;
    writer->pairs_count = 0;
}

static void add_bytes(struct writer *writer, const void *bytes, uint32_t bytes_count)
{
    assert(bytes_count <= SNAPSHOT_BLOCK_PAYLOAD_BYTES - writer->payload_bytes);
    uint8_t *target = writer->buffer + SNAPSHOT_BLOCK_HEADER_BYTES + writer->payload_bytes;
    if (bytes_count > 0) memcpy(target, bytes, bytes_count);
    writer->payload_bytes += bytes_count;
}

static bool write_pair(void *data, struct tree_slice key, struct tree_slice value)
{
    struct writer *writer = data;
    uint8_t pair[SNAPSHOT_PAIR_HEADER_BYTES];
    uint64_t bytes = SNAPSHOT_PAIR_HEADER_BYTES + (uint64_t)key.bytes + value.bytes;
    bool is_large = bytes > SNAPSHOT_BLOCK_PAYLOAD_BYTES;
    if (is_large || bytes > SNAPSHOT_BLOCK_PAYLOAD_BYTES - writer->payload_bytes) {
        write_block(writer, (struct tree_slice){0});
    }
    if (writer->error != 0) return false;
    snapshot__encode_pair((uint16_t)key.bytes, value.bytes, pair);
    add_bytes(writer, pair, sizeof pair);
    add_bytes(writer, key.data, key.bytes);
    writer->pairs_count++;
    if (is_large) {
        write_block(writer, value);
    } else {
        add_bytes(writer, value.data, value.bytes);
    }
    return writer->error == 0;
}

/* Everything but the sync. 0 or a negative errno. */
static int write_file(struct writer *writer, const struct snapshot_header *header,
                      const struct tree *state)
{
    static_assert(SNAPSHOT_HEADER_BYTES_MAX <= SNAPSHOT_BUFFER_BYTES, "the header uses the buffer");
    struct snapshot_extent extent = {.pairs_count = tree_count(state),
                                     .pairs_bytes = tree_bytes(state)};
    uint32_t header_bytes = snapshot__encode_header(header, &extent, writer->buffer, &writer->hash);
    writer->error = disk_pwrite(writer->file, writer->buffer, header_bytes, 0);
    writer->pos = header_bytes;
    if (writer->error != 0) return writer->error;

    struct tree_slice none = {0};
    tree_visit(state, none, none, write_pair, writer);
    write_block(writer, none);
    if (writer->error != 0) return writer->error;

    uint8_t bytes[SNAPSHOT_TRAILER_BYTES];
    struct snapshot_trailer trailer = {.blocks_count = writer->blocks_count,
                                       .file_bytes = writer->pos + SNAPSHOT_TRAILER_BYTES};
    snapshot__encode_trailer(&trailer, writer->hash, bytes);
    writer->hash = trailer.checksum;
    return disk_pwrite(writer->file, bytes, sizeof bytes, writer->pos);
}

enum snapshot_status snapshot__status_of(int error)
{
    return error == -ENOSPC || error == -EDQUOT || error == -EFBIG ? SNAPSHOT_FULL : SNAPSHOT_IO;
}

/* Write and sync the temporary file. */
static enum snapshot_status write_temporary(struct disk *disk, const char *path,
                                            const struct snapshot_header *header,
                                            const struct tree *state, uint64_t *ret_hash,
                                            struct segment_log_problem *ret_problem)
{
    uint64_t index = header->point.index;
    enum snapshot_status status = SNAPSHOT_OK;
    struct writer writer = {.buffer = malloc(SNAPSHOT_BUFFER_BYTES)};
    int error = writer.buffer ? 0 : -ENOMEM;
    if (error != 0) {
        return snapshot__problem(ret_problem, SNAPSHOT_IO, path, 0, index, error, "no buffer");
    }
    /* What a crash left under this name was never more than temporary. */
    error = disk_unlink(disk, path);
    if (error != 0 && error != -ENOENT) {
        status = snapshot__problem(ret_problem, SNAPSHOT_IO, path, 0, index, error,
                                   "cannot remove an old temporary file");
        goto out;
    }
    error = disk_open(disk, path, DISK_CREATE_NEW, &writer.file);
    if (error != 0) {
        writer.file = NULL;
        status = snapshot__problem(ret_problem, snapshot__status_of(error), path, 0, index, error,
                                   "cannot create");
        goto out;
    }
    error = write_file(&writer, header, state);
    if (error != 0) {
        status = snapshot__problem(ret_problem, snapshot__status_of(error), path, writer.pos, index,
                                   error, "cannot write");
        goto out;
    }
    /* Never retried: after a failed sync the kernel may have dropped the pages (PROTOCOL L11). */
    error = disk_datasync(writer.file);
    if (error != 0) {
        status = snapshot__problem(ret_problem, SNAPSHOT_IO, path, 0, index, error, "cannot sync");
        goto out;
    }
    *ret_hash = writer.hash;
out:
    disk_close(writer.file);
    free(writer.buffer);
    return status;
}

enum snapshot_status snapshot__publish(struct disk *disk, const char *directory,
                                       const char *temporary, const char *path, uint64_t index,
                                       struct segment_log_problem *ret_problem)
{
    int error = disk_rename(disk, temporary, path);
    if (error != 0) {
        return snapshot__problem(ret_problem, snapshot__status_of(error), path, 0, index, error,
                                 "cannot rename into place");
    }
    if (!PLANTED(B27_RENAME_IS_NOT_SYNCED)) error = disk_sync_directory(disk, directory);
    if (error != 0) {
        return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, index, error,
                                 "cannot sync the directory");
    }
    return SNAPSHOT_OK;
}

static enum snapshot_status read_back(struct disk *disk, const char *path, uint64_t hash,
                                      struct segment_log_problem *ret_problem)
{
    struct snapshot_header header;
    uint64_t hash_read = 0;
    enum snapshot_status status =
        snapshot__read(disk, path, /* from_device= */ true, &header, NULL, &hash_read, ret_problem);
    if (status == SNAPSHOT_MISSING || (status == SNAPSHOT_OK && hash_read != hash)) {
        return snapshot__problem(ret_problem, SNAPSHOT_DAMAGED, path, 0, 0, 0,
                                 "what was written does not read back");
    }
    return status;
}

enum snapshot_status snapshot_write(struct disk *disk, const char *directory,
                                    const struct snapshot_header *header, const struct tree *state,
                                    struct segment_log_problem *ret_problem)
{
    assert(header->kind == SNAPSHOT_BASE || header->kind == SNAPSHOT_CHECKPOINT);
    assert(header->log_start_offset <= header->point.next_offset);
    assert(header->configuration_index <= header->point.index);
    char temporary[DISK_PATH_MAX], path[DISK_PATH_MAX];
    uint64_t index = header->point.index, hash = 0;
    if (!snapshot__path(directory, header->kind, index, SNAPSHOT_TEMPORARY_SUFFIX, temporary) ||
        !snapshot__path(directory, header->kind, index, "", path)) {
        return snapshot__problem(ret_problem, SNAPSHOT_IO, directory, 0, index, -ENAMETOOLONG,
                                 "cannot name the file");
    }
    enum snapshot_status status =
        write_temporary(disk, temporary, header, state, &hash, ret_problem);
    if (status == SNAPSHOT_OK) status = read_back(disk, temporary, hash, ret_problem);
    if (status == SNAPSHOT_OK) {
        status = snapshot__publish(disk, directory, temporary, path, index, ret_problem);
    }
    /* Its result does not matter: the next start removes temporary files too. */
    if (status != SNAPSHOT_OK) disk_unlink(disk, temporary);
    return status;
}
