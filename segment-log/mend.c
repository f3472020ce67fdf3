#include "mend.h"

#include "problem.h"
#include "stretch.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static bool mark_is_right(const struct segment_marks *marks, int block, const struct mend *mend)
{
    const struct segment_mark *mark = &marks->mark[block];
    return marks->valid[block] && mark->continued && mark->end_pos == mend->end_pos &&
           points__are_equal(&mark->point, &mend->end);
}

static int mend_header(struct disk_file *file, const struct mend *mend, uint32_t *ret_blocks)
{
    uint8_t block[SEGMENT_BLOCK_BYTES] = {0}, wanted[SEGMENT_BLOCK_BYTES];
    ssize_t got = disk_pread(file, block, sizeof block, 0);
    if (got < 0 && got != -EIO) return (int)got;
    segment_format__encode_header(mend->header, wanted);
    if (got == (ssize_t)sizeof block && memcmp(block, wanted, sizeof block) == 0) return 0;
    ++*ret_blocks;
    int error = disk_pwrite(file, wanted, sizeof wanted, 0);
    return error ? error : disk_datasync(file);
}

static int mend_marks(struct disk_file *file, uint64_t seed, const struct mend *mend,
                      uint32_t *ret_blocks)
{
    struct segment_marks marks;
    int error = marks__read(file, seed, mend->header, &marks);
    if (error) return error;
    const bool right[2] = {mark_is_right(&marks, 0, mend), mark_is_right(&marks, 1, mend)};
    if (right[0] && right[1]) return 0;
    /* The newest one stays in place when it is right; when neither is, both are written. */
    const int newest = right[0] && (!right[1] || marks.newest == 0) ? 0 : right[1] ? 1 : -1;
    struct segment_writer writer = {
        .file = file,
        .sequence = mend->header->sequence,
        .sector_bytes = mend->header->sector_bytes,
        .mark_block = newest < 0 ? 1 : (uint32_t)newest,
    };
    if (marks.newest >= 0) writer.mark_sequence = marks.mark[marks.newest].sequence;
    struct segment_mark mark = {.end_pos = mend->end_pos, .point = mend->end, .continued = true};
    struct sync_count count = {0};
    *ret_blocks += newest < 0 ? 2 : 1;
    if (newest < 0) return writer__write_both_marks(&writer, seed, &mark, &count);
    error = writer__write_mark(&writer, seed, &mark);
    return error ? error : writer__sync(&writer, &count);
}

int mend__closed_segment(struct disk *disk, const char *path, const struct mend *mend,
                         uint32_t *ret_blocks)
{
    *ret_blocks = 0;
    struct disk_file *file;
    int error = disk_open(disk, path, DISK_WRITE, &file);
    if (error) return error;
    error = mend_header(file, mend, ret_blocks);
    uint64_t seed = checksum64_group(&mend->header->cluster, mend->header->group);
    if (!error) error = mend_marks(file, seed, mend, ret_blocks);
    disk_close(file);
    return error;
}

int mend__last_segment(struct segment_writer *writer, const struct mend *mend,
                       struct sync_count *count, uint32_t *ret_blocks)
{
    *ret_blocks = 0;
    /* What is looked at comes from the device; the mark that was not synced is, by this. */
    int error = writer__sync(writer, count);
    if (!error) error = disk_drop_cache(writer->file);
    if (!error) error = mend_header(writer->file, mend, ret_blocks);
    struct segment_marks marks;
    uint64_t seed = checksum64_group(&mend->header->cluster, mend->header->group);
    if (!error) error = marks__read(writer->file, seed, mend->header, &marks);
    if (error) return error;
    const bool is_newest = marks.newest == (int)writer->mark_block &&
                           marks.mark[marks.newest].sequence == writer->mark_sequence;
    if (is_newest && marks.valid[1 - marks.newest]) return 0;
    *ret_blocks += 1;
    struct segment_mark mark = {.end_pos = mend->end_pos, .point = mend->end};
    return writer__write_both_marks(writer, seed, &mark, count);
}

int mend__make_empty(struct disk *disk, const char *directory, const struct segment_header *header)
{
    char path[DISK_PATH_MAX];
    bool fits = segment_format__path(directory, header->sequence, path);
    assert(fits);
    (void)fits;
    struct disk_file *file;
    int error = disk_open(disk, path, DISK_WRITE, &file);
    if (error == -ENOENT) error = disk_open(disk, path, DISK_CREATE_NEW, &file);
    if (error) return error;
    uint8_t blocks[3][SEGMENT_BLOCK_BYTES];
    struct segment_mark mark = {
        .segment = header->sequence,
        .end_pos = SEGMENT_DATA_POS,
        .point = header->base,
        .continued = true,
    };
    segment_format__encode_header(header, blocks[0]);
    for (uint32_t i = 0; i < 2; i++) {
        mark.sequence = i + 1;
        segment_format__encode_mark(&mark, checksum64_group(&header->cluster, header->group),
                                    blocks[1 + i]);
    }
    error = disk_pwrite(file, blocks, sizeof blocks, 0);
    if (!error) error = disk_datasync(file);
    disk_close(file);
    return error ? error : disk_sync_directory(disk, directory);
}
