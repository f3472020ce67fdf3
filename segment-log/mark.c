#include "mark.h"

#include <planted/planted.h>

#include "bytes.h"
#include "problem.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ZERO_BYTES  65536u
#define ZERO_PARTS  64
#define PROBE_BYTES 4096u /* what is not zero is overwritten in blocks of this */

static const uint8_t zeros[ZERO_BYTES];

uint64_t marks__pos(uint32_t block)
{
    return SEGMENT_BLOCK_BYTES * (1u + block);
}

bool marks__tail_fits(const struct segment_mark *mark, uint32_t sector_bytes)
{
    return mark->tail_bytes == 0 || mark->end_pos % sector_bytes == mark->tail_bytes;
}

static bool tail_fits_any(const struct segment_mark *mark)
{
    for (uint32_t bytes = SEGMENT_SECTOR_BYTES; bytes <= SEGMENT_SECTOR_MAX; bytes *= 2) {
        if (marks__tail_fits(mark, bytes)) return true;
    }
    return false;
}

int marks__read(struct disk_file *file, uint64_t group_seed, const struct segment_header *header,
                struct segment_marks *ret_marks)
{
    ret_marks->newest = -1;
    ret_marks->other_version = false;
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t block[SEGMENT_BLOCK_BYTES] = {0};
        ssize_t got = disk_pread(file, block, sizeof block, marks__pos(i));
        /* A block that cannot be read is as bad as one that does not check out. */
        if (got < 0 && got != -EIO) return (int)got;
        struct segment_mark *mark = &ret_marks->mark[i];
        enum segment_format_status status = segment_format__decode_mark(block, group_seed, mark);
        if (status == SEGMENT_FORMAT_VERSION) ret_marks->other_version = true;
        ret_marks->valid[i] =
            status == SEGMENT_FORMAT_OK && mark->segment == header->sequence &&
            mark->point.index >= header->base.index &&
            (header->sector_bytes == 0 ? tail_fits_any(mark)
                                       : marks__tail_fits(mark, header->sector_bytes));
        if (!ret_marks->valid[i]) continue;
        int newest = ret_marks->newest;
        if (newest < 0 || mark->sequence > ret_marks->mark[newest].sequence) {
            ret_marks->newest = (int)i;
        }
    }
    return 0;
}

bool marks__is_damaged(const struct segment_marks *marks, uint32_t block)
{
    if (marks->valid[block]) return false;
    return marks->newest < 0 || marks->mark[marks->newest].continued;
}

bool marks__are_cut(const struct segment_marks *marks, uint64_t file_bytes)
{
    if (file_bytes >= SEGMENT_DATA_POS) return false;
    if (marks->newest < 0) return true;
    return !marks->valid[1 - marks->newest] && !marks->mark[marks->newest].continued;
}

void writer__init(struct segment_writer *writer, struct disk_file *file,
                  const struct segment_header *header, const struct segment_marks *marks,
                  uint64_t file_bytes)
{
    assert(marks->newest >= 0);
    *writer = (struct segment_writer){
        .file = file,
        .sequence = header->sequence,
        .sector_bytes = header->sector_bytes,
        .end_pos = marks->mark[marks->newest].end_pos,
        .filled_pos = file_bytes,
        .mark_sequence = marks->mark[marks->newest].sequence,
        .mark_block = (uint32_t)marks->newest,
    };
}

int writer__sync(struct segment_writer *writer, struct sync_count *count)
{
    struct disk *disk = writer->file->disk;
    uint64_t start_us = disk_now_us(disk);
    int error = disk_datasync(writer->file);
    if (error && PLANTED(B25_SYNC_IS_TRIED_AGAIN)) error = disk_datasync(writer->file);
    if (error) return error;
    count->last_us = disk_now_us(disk) - start_us;
    count->syncs++;
    if (writer->mark_unsynced) {
        writer->mark_block = 1u - writer->mark_block;
        writer->mark_unsynced = false;
    }
    return 0;
}

int writer__write_mark(struct segment_writer *writer, uint64_t group_seed,
                       struct segment_mark *mark)
{
    assert(writer->mark_block <= 1);
    assert(mark->tail_bytes < writer->sector_bytes);
    uint8_t block[SEGMENT_BLOCK_BYTES];
    mark->segment = writer->sequence;
    mark->sequence = writer->mark_sequence + 1;
    segment_format__encode_mark(mark, group_seed, block);
    int error = disk_pwrite(writer->file, block, sizeof block, marks__pos(1u - writer->mark_block));
    if (error) return error;
    writer->mark_sequence = mark->sequence;
    writer->mark_unsynced = true;
    return 0;
}

int writer__write_both_marks(struct segment_writer *writer, uint64_t group_seed,
                             struct segment_mark *mark, struct sync_count *count)
{
    for (int i = 0; i < 2; i++) {
        int error = writer__write_mark(writer, group_seed, mark);
        if (error) return error;
        error = writer__sync(writer, count);
        if (error) return error;
    }
    assert(!writer->mark_unsynced);
    return 0;
}

int writer__restore_tail(struct segment_writer *writer, const struct segment_mark *mark,
                         uint64_t file_bytes)
{
    assert(mark->tail_bytes > 0 && mark->tail_bytes < writer->sector_bytes);
    const uint64_t pos = mark->end_pos - mark->tail_bytes;
    uint8_t sector[SEGMENT_SECTOR_MAX] = {0};
    memcpy(sector, mark->tail, mark->tail_bytes);
    uint64_t bytes = writer->sector_bytes;
    if (bytes > file_bytes - pos) bytes = file_bytes - pos;
    if (bytes < mark->tail_bytes) bytes = mark->tail_bytes;
    return disk_pwrite(writer->file, sector, (size_t)bytes, pos);
}

int writer__zero(struct segment_writer *writer, uint64_t from, uint64_t to)
{
    while (from < to) {
        struct iovec parts[ZERO_PARTS];
        int parts_count = 0;
        uint64_t pos = from;
        while (pos < to && parts_count < ZERO_PARTS) {
            size_t bytes = to - pos < ZERO_BYTES ? (size_t)(to - pos) : ZERO_BYTES;
            parts[parts_count].iov_base = (void *)(uintptr_t)zeros;
            parts[parts_count].iov_len = bytes;
            parts_count++;
            pos += bytes;
        }
        int error = disk_pwritev(writer->file, parts, parts_count, from);
        if (error) return error;
        from = pos;
    }
    return 0;
}

int writer__spoil(struct segment_writer *writer, uint64_t boundary)
{
    assert(boundary % writer->sector_bytes == 0);
    uint8_t spoiled[SEGMENT_SPOILED_BYTES];
    memset(spoiled, SEGMENT_SPOILED_BYTE, sizeof spoiled);
    uint64_t size;
    int error = disk_size(writer->file, &size);
    if (error || boundary >= size) return error;
    size_t bytes = size - boundary < sizeof spoiled ? (size_t)(size - boundary) : sizeof spoiled;
    return disk_pwrite(writer->file, spoiled, bytes, boundary);
}

int writer__heal(struct segment_writer *writer, uint64_t pos)
{
    uint8_t block[SEGMENT_BLOCK_BYTES];
    const uint64_t end = pos - pos % SEGMENT_BLOCK_BYTES + SEGMENT_BLOCK_BYTES;
    assert(pos % SEGMENT_SECTOR_BYTES == 0);
    ssize_t got = disk_pread(writer->file, block, (size_t)(end - pos), pos);
    if (got != -EIO) return got < 0 ? (int)got : 0;
    while (got == -EIO && pos % SEGMENT_BLOCK_BYTES != 0) {
        got = disk_pread(writer->file, block, SEGMENT_SECTOR_BYTES, pos - SEGMENT_SECTOR_BYTES);
        if (got == -EIO) pos -= SEGMENT_SECTOR_BYTES;
    }
    return writer__zero(writer, pos, end);
}

static int zero_dirty_blocks(struct segment_writer *writer, const uint8_t *bytes,
                             size_t bytes_count, uint64_t pos)
{
    for (size_t done = 0; done < bytes_count;) {
        /* Up to the next multiple of the block in the file, so that a kept sector in front is never touched. */
        size_t step = PROBE_BYTES - (size_t)((pos + done) % PROBE_BYTES);
        if (step > bytes_count - done) step = bytes_count - done;
        if (!bytes_are_zero(bytes + done, step)) {
            int error = writer__zero(writer, pos + done, pos + done + step);
            if (error) return error;
        }
        done += step;
    }
    return 0;
}

/* Some of [from, to) cannot be read: each block by itself. */
static int zero_by_blocks(struct segment_writer *writer, uint8_t *buffer, uint64_t from,
                          uint64_t to)
{
    int error = 0;
    while (!error && from < to) {
        size_t step = SEGMENT_BLOCK_BYTES - (size_t)(from % SEGMENT_BLOCK_BYTES);
        if (step > to - from) step = (size_t)(to - from);
        const ssize_t got = disk_pread(writer->file, buffer, step, from);
        if (got == -EIO) {
            error = writer__heal(writer, from);
        } else {
            error = got < 0 ? (int)got : zero_dirty_blocks(writer, buffer, (size_t)got, from);
        }
        from += step;
    }
    return error;
}

int writer__zero_behind(struct segment_writer *writer, uint64_t from)
{
    uint64_t size;
    int error = disk_size(writer->file, &size);
    if (error) return error;
    uint8_t *buffer = malloc(ZERO_BYTES);
    if (!buffer) return -ENOMEM;
    while (!error && from < size) {
        const uint64_t to = size - from < ZERO_BYTES ? size : from + ZERO_BYTES;
        ssize_t got = disk_pread(writer->file, buffer, ZERO_BYTES, from);
        if (got == -EIO) {
            error = zero_by_blocks(writer, buffer, from, to);
            from = to;
            continue;
        }
        if (got <= 0) {
            error = (int)got;
            break;
        }
        error = zero_dirty_blocks(writer, buffer, (size_t)got, from);
        from += (uint64_t)got;
    }
    free(buffer);
    return error;
}

/* The same, and zeros in the rest of that sector, in one write: at no instant may there be nothing but zeros. */
static int spoil_sector(struct segment_writer *writer, uint64_t boundary)
{
    uint8_t sector[SEGMENT_SECTOR_MAX] = {0};
    memset(sector, SEGMENT_SPOILED_BYTE, SEGMENT_SPOILED_BYTES);
    uint64_t size;
    int error = disk_size(writer->file, &size);
    if (error || boundary >= size) return error;
    const uint64_t left = size - boundary;
    const size_t bytes = left < writer->sector_bytes ? (size_t)left : writer->sector_bytes;
    return disk_pwrite(writer->file, sector, bytes, boundary);
}

/* What a start or a cut spoiled stays so, for an entry that it did not count must not be found by the next start: the write without
 * room may have begun right there. Where the end is at a boundary no entry reaches across it. */
int writer__clean(struct segment_writer *writer, struct sync_count *count)
{
    if (!writer->is_unclean) return 0;
    const uint64_t boundary = align_up(writer->end_pos, writer->sector_bytes);
    int error = 0;
    if (writer->end_pos == boundary || PLANTED(L7_CLEANED_IS_NOT_SPOILED)) {
        error = writer__zero_behind(writer, boundary);
    } else {
        error = writer__zero_behind(writer, boundary + writer->sector_bytes);
        if (!error) error = spoil_sector(writer, boundary);
    }
    if (error) return error;
    error = writer__sync(writer, count);
    if (error) return error__is_full(error) ? -EIO : error;
    writer->is_unclean = false;
    return 0;
}
