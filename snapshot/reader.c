/* Reading a snapshot. The bytes may be anything: every length is bounded before it is used, memory is one block beside
 * the state that is built, and the state is handed out only when the last byte was proven. */
#include "format.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct disk_file *file;
    const char *path;
    struct segment_log_problem *problem;
    uint64_t file_bytes;
    uint64_t pos;
    uint64_t
        part_pos; /* where the header, block or trailer that is being read starts: what a problem names */
    uint64_t index; /* of the snapshot, once known */
    uint64_t hash;  /* checksum of the part read last */
    uint64_t blocks_count;
    struct snapshot_extent extent; /* as the header says */
    struct snapshot_extent found;  /* as read so far */
    uint8_t *buffer;
    uint32_t buffer_bytes;
    uint8_t last_key[TREE_KEY_BYTES_MAX];
    uint32_t last_key_bytes;
    struct tree **state; /* NULL: check only */
};

static enum snapshot_status damaged(const struct reader *reader, const char *reason)
{
    return snapshot__problem(reader->problem, SNAPSHOT_DAMAGED, reader->path, reader->part_pos,
                             reader->index, 0, reason);
}

static enum snapshot_status failed(const struct reader *reader, int error, const char *reason)
{
    return snapshot__problem(reader->problem, SNAPSHOT_IO, reader->path, reader->part_pos,
                             reader->index, error, reason);
}

/* The next `bytes` bytes; a file that ends before is damaged. */
static enum snapshot_status take(struct reader *reader, void *buffer, uint32_t bytes)
{
    if (bytes > reader->file_bytes - reader->pos) {
        return damaged(reader, "the file ends too early");
    }
    ssize_t got = disk_pread(reader->file, buffer, bytes, reader->pos);
    /* A sector that the disk lost is damage of this file, as a wrong checksum is: another one takes its place. */
    if (got == -EIO) return damaged(reader, "the disk cannot read it");
    if (got < 0) return failed(reader, (int)got, "cannot read");
    if ((size_t)got != bytes) return damaged(reader, "the file ends too early");
    reader->pos += bytes;
    return SNAPSHOT_OK;
}

static enum snapshot_status reserve(struct reader *reader, uint32_t bytes)
{
    if (bytes <= reader->buffer_bytes) return SNAPSHOT_OK;
    uint8_t *buffer = realloc(reader->buffer, bytes);
    if (!buffer) return failed(reader, -ENOMEM, "no buffer");
    reader->buffer = buffer;
    reader->buffer_bytes = bytes;
    return SNAPSHOT_OK;
}

static enum snapshot_status read_header(struct reader *reader, struct snapshot_header *ret_header)
{
    uint8_t *buffer = reader->buffer;
    assert(reader->buffer_bytes >= SNAPSHOT_HEADER_BYTES_MAX);
    enum snapshot_status status = take(reader, buffer, SNAPSHOT_HEADER_FIXED_BYTES);
    if (status != SNAPSHOT_OK) return status;
    uint32_t header_bytes;
    const char *reason = snapshot__header_extent(buffer, &header_bytes);
    if (reason) return damaged(reader, reason);
    status = take(reader, buffer + SNAPSHOT_HEADER_FIXED_BYTES,
                  header_bytes - SNAPSHOT_HEADER_FIXED_BYTES);
    if (status != SNAPSHOT_OK) return status;
    reason = snapshot__decode_header(buffer, header_bytes, ret_header, &reader->extent,
                                     &reader->hash, &status);
    if (reason) return snapshot__problem(reader->problem, status, reader->path, 0, 0, 0, reason);
    reader->index = ret_header->point.index;
    return SNAPSHOT_OK;
}

/* Keys only ever rise, which makes a second pair of the same key impossible. */
static bool is_in_order(struct reader *reader, struct tree_slice key)
{
    if (reader->found.pairs_count > 0) {
        uint32_t common = key.bytes < reader->last_key_bytes ? key.bytes : reader->last_key_bytes;
        int order = memcmp(reader->last_key, key.data, common);
        if (order > 0 || (order == 0 && reader->last_key_bytes >= key.bytes)) return false;
    }
    memcpy(reader->last_key, key.data, key.bytes);
    reader->last_key_bytes = key.bytes;
    return true;
}

static const char *take_pairs(struct reader *reader, const uint8_t *payload,
                              const struct snapshot_block *block)
{
    size_t left = block->payload_bytes;
    for (uint32_t i = 0; i < block->pairs_count; i++) {
        struct tree_slice key, value;
        size_t bytes = snapshot__decode_pair(payload, left, &key, &value);
        if (bytes == 0) return "a pair does not fit its block";
        if (!is_in_order(reader, key)) return "keys are not in order";
        if (reader->state) tree_put(reader->state, key, value);
        reader->found.pairs_count++;
        reader->found.pairs_bytes += (uint64_t)key.bytes + value.bytes;
        payload += bytes;
        left -= bytes;
    }
    return left == 0 ? NULL : "bytes behind the last pair of a block";
}

/* `head` holds the header of the block. */
static enum snapshot_status read_block(struct reader *reader, const uint8_t *head)
{
    struct snapshot_block block;
    const char *reason = snapshot__decode_block(head, &block);
    if (reason) return damaged(reader, reason);
    if (block.payload_bytes > reader->file_bytes - reader->pos) {
        return damaged(reader, "a block reaches past the end of the file");
    }
    enum snapshot_status status = reserve(reader, block.payload_bytes);
    if (status == SNAPSHOT_OK) status = take(reader, reader->buffer, block.payload_bytes);
    if (status != SNAPSHOT_OK) return status;

    uint64_t hash = snapshot__checksum(head, SNAPSHOT_BLOCK_HEADER_BYTES, reader->buffer,
                                       block.payload_bytes, reader->hash);
    if (hash != block.checksum) return damaged(reader, "block checksum does not match");
    reason = take_pairs(reader, reader->buffer, &block);
    if (reason) return damaged(reader, reason);
    reader->hash = hash;
    reader->blocks_count++;
    return SNAPSHOT_OK;
}

static enum snapshot_status read_trailer(struct reader *reader, uint8_t *head)
{
    struct snapshot_trailer trailer;
    enum snapshot_status status = take(reader, head + SNAPSHOT_BLOCK_HEADER_BYTES,
                                       SNAPSHOT_TRAILER_BYTES - SNAPSHOT_BLOCK_HEADER_BYTES);
    if (status != SNAPSHOT_OK) return status;
    const char *reason = snapshot__decode_trailer(head, reader->hash, &trailer);
    if (reason) return damaged(reader, reason);
    if (trailer.file_bytes != reader->file_bytes || reader->pos != reader->file_bytes) {
        return damaged(reader, "the file does not end behind its trailer");
    }
    if (trailer.blocks_count != reader->blocks_count) {
        return damaged(reader, "the number of blocks is not the trailer's");
    }
    if (reader->found.pairs_count != reader->extent.pairs_count ||
        reader->found.pairs_bytes != reader->extent.pairs_bytes) {
        return damaged(reader, "the pairs are not those that the header counts");
    }
    reader->hash = trailer.checksum;
    return SNAPSHOT_OK;
}

static enum snapshot_status read_parts(struct reader *reader, struct snapshot_header *ret_header)
{
    static_assert(SNAPSHOT_TRAILER_BYTES > SNAPSHOT_BLOCK_HEADER_BYTES,
                  "a trailer is read as a block header and a rest");
    enum snapshot_status status = read_header(reader, ret_header);
    while (status == SNAPSHOT_OK) {
        uint8_t head[SNAPSHOT_TRAILER_BYTES];
        reader->part_pos = reader->pos;
        status = take(reader, head, SNAPSHOT_BLOCK_HEADER_BYTES);
        if (status != SNAPSHOT_OK) break;
        if (snapshot__is_trailer(head)) return read_trailer(reader, head);
        status = read_block(reader, head);
    }
    return status;
}

static enum snapshot_status read_file(struct reader *reader, bool from_device,
                                      struct snapshot_header *ret_header)
{
    int error = from_device ? disk_drop_cache(reader->file) : 0;
    if (error != 0) return failed(reader, error, "cannot sync and drop the cache");
    error = disk_size(reader->file, &reader->file_bytes);
    if (error != 0) return failed(reader, error, "cannot tell the size");
    enum snapshot_status status = reserve(reader, SNAPSHOT_BUFFER_BYTES);
    if (status != SNAPSHOT_OK) return status;
    return read_parts(reader, ret_header);
}

enum snapshot_status snapshot__read(struct disk *disk, const char *path, bool from_device,
                                    struct snapshot_header *ret_header, struct tree **ret_state,
                                    uint64_t *ret_hash, struct segment_log_problem *ret_problem)
{
    struct tree *state = NULL;
    struct snapshot_header header;
    struct reader reader = {
        .path = path, .problem = ret_problem, .state = ret_state ? &state : NULL};
    int error = disk_open(disk, path, DISK_READ, &reader.file);
    if (error == -ENOENT) {
        return snapshot__problem(ret_problem, SNAPSHOT_MISSING, path, 0, 0, error, "cannot open");
    }
    if (error != 0) return failed(&reader, error, "cannot open");

    enum snapshot_status status = read_file(&reader, from_device, &header);
    disk_close(reader.file);
    free(reader.buffer);
    if (status != SNAPSHOT_OK) {
        tree_unref(state);
        return status;
    }
    *ret_header = header;
    if (ret_state) *ret_state = state;
    if (ret_hash) *ret_hash = reader.hash;
    return SNAPSHOT_OK;
}

enum snapshot_status snapshot__read_header(struct disk *disk, const char *path,
                                           struct snapshot_header *ret_header,
                                           struct segment_log_problem *ret_problem)
{
    struct reader reader = {.path = path, .problem = ret_problem};
    int error = disk_open(disk, path, DISK_READ, &reader.file);
    if (error == -ENOENT) {
        return snapshot__problem(ret_problem, SNAPSHOT_MISSING, path, 0, 0, error, "cannot open");
    }
    if (error != 0) return failed(&reader, error, "cannot open");
    enum snapshot_status status = SNAPSHOT_OK;
    error = disk_size(reader.file, &reader.file_bytes);
    if (error != 0) status = failed(&reader, error, "cannot tell the size");
    if (status == SNAPSHOT_OK) status = reserve(&reader, SNAPSHOT_HEADER_BYTES_MAX);
    if (status == SNAPSHOT_OK) status = read_header(&reader, ret_header);
    disk_close(reader.file);
    free(reader.buffer);
    return status;
}

enum snapshot_status snapshot_read(struct disk *disk, const char *path,
                                   struct snapshot_header *ret_header, struct tree **ret_state,
                                   struct segment_log_problem *ret_problem)
{
    return snapshot__read(disk, path, /* from_device= */ false, ret_header, ret_state, NULL,
                          ret_problem);
}
