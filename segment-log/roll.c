/* The birth of a segment, and the hand-over from the one before it (PROTOCOL L6).
 *
 *   1. the old file: its newer mark synced, should it be on its way
 *   2. the new file: header, both marks and the first zeros written, synced, its name synced in the directory
 *   3. the old file: both marks say "continued", each synced
 *   4. only then the first record goes into the new file, and only after its sync an ack leaves
 *
 * A crash before 3 leaves a new file that recovery drops, for nothing in it was ever acknowledged. It may hold anything then, but
 * beside it stand two whole marks, of which the newer one does not say "continued". Should one of them not count, a crash was in
 * 3, or damage came later: the new file is whole, and taken for the successor (recovery__has_successor). */
#include "log.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include <assert.h>
#include <errno.h>

#define BIRTH_FILL_BYTES 262144u

static int open_new(struct disk *disk, const char *path, struct disk_file **ret_file)
{
    int error = disk_open(disk, path, DISK_CREATE_NEW, ret_file);
    if (error != -EEXIST) return error;
    /* Left by a segment whose bytes are lost. No live one has this sequence. */
    error = disk_unlink(disk, path);
    if (error) return error;
    return disk_open(disk, path, DISK_CREATE_NEW, ret_file);
}

static int write_birth(const struct segment_log_options *options,
                       const struct segment_header *header, struct segment_writer *writer)
{
    uint8_t blocks[3][SEGMENT_BLOCK_BYTES];
    struct segment_mark mark = {
        .segment = header->sequence,
        .end_pos = SEGMENT_DATA_POS,
        .point = header->base,
    };
    uint64_t seed = checksum64_group(&header->cluster, header->group);
    segment_format__encode_header(header, blocks[0]);
    for (uint32_t i = 0; i < 2; i++) {
        mark.sequence = i + 1;
        segment_format__encode_mark(&mark, seed, blocks[1 + i]);
    }
    int error = disk_pwrite(writer->file, blocks, sizeof blocks, 0);
    if (error) return error;
    uint64_t fill = RARELY(NO_ZEROS_AHEAD) ? 0 : options->extend_bytes;
    if (fill > BIRTH_FILL_BYTES) fill = BIRTH_FILL_BYTES;
    if (fill > options->segment_bytes_max - SEGMENT_DATA_POS) {
        fill = options->segment_bytes_max - SEGMENT_DATA_POS;
    }
    error = writer__zero(writer, SEGMENT_DATA_POS, SEGMENT_DATA_POS + fill);
    if (error) return error;
    writer->filled_pos = SEGMENT_DATA_POS + fill;
    writer->mark_sequence = 2;
    writer->mark_block = 1;
    return 0;
}

int roll__birth(const struct segment_log_options *options, const struct segment_header *header,
                struct segment_writer *ret_writer, struct sync_count *count,
                struct segment_log_problem *problem)
{
    struct disk *disk = options->disk;
    char path[DISK_PATH_MAX];
    bool fits = segment_format__path(options->directory, header->sequence, path);
    assert(fits);
    (void)fits;
    struct segment_writer writer = {
        .sequence = header->sequence,
        .sector_bytes = header->sector_bytes,
        .end_pos = SEGMENT_DATA_POS,
    };
    const char *step = "creating a segment failed";
    int error = open_new(disk, path, &writer.file);
    if (error) goto fail;
    step = "writing a new segment failed";
    error = write_birth(options, header, &writer);
    if (error) goto fail;
    step = "syncing a new segment failed";
    error = writer__sync(&writer, count);
    /* A sync that finds no room has lost pages all the same: it counts as failed, not as full (L11). */
    if (error__is_full(error)) error = -EIO;
    if (error) goto fail;
    step = "syncing the directory of a new segment failed";
    error = PLANTED(L6_SEGMENT_NAME_UNSYNCED) ? 0 : disk_sync_directory(disk, options->directory);
    if (error__is_full(error)) error = -EIO;
    if (error) goto fail;
    *ret_writer = writer;
    return 0;
fail:
    problem__set(problem, path, 0, header->base.index + 1, error, "%s", step);
    if (writer.file) {
        disk_close(writer.file);
        /* Nobody relies on the file. But behind a full disk the log goes on, and then a power cut must not bring it back: should
         * the segment before be lost, this one would tell where it ended. */
        int cleaning = disk_unlink(disk, path);
        if (!cleaning) cleaning = disk_sync_directory(disk, options->directory);
        if (cleaning && error__is_full(error)) error = -EIO;
    }
    return error;
}

static bool sync_mark(struct segment_log_job *job)
{
    if (!job->writer.mark_unsynced || PLANTED(L6_BIRTH_BESIDE_A_MARK_IN_FLIGHT)) return true;
    const int error = writer__sync(&job->writer, &job->count);
    if (!error) return true;
    job__fail(job, "syncing the mark failed", error);
    job->status = SEGMENT_LOG_IO; /* also without room: what a sync could not write is lost */
    return false;
}

bool roll__run(struct segment_log_job *job)
{
    const struct segment_log *log = job->log;
    if (!sync_mark(job)) return false;
    job->rolled_header = (struct segment_header){
        .cluster = log->options.cluster,
        .group = log->options.group,
        .sequence = job->writer.sequence + 1,
        .base = job->start,
        .sector_bytes = log->options.sector_bytes,
    };
    struct segment_writer fresh = {0};
    int error = roll__birth(&log->options, &job->rolled_header, &fresh, &job->count, &job->problem);
    if (error) {
        job->status = error__is_full(error) ? SEGMENT_LOG_FULL : SEGMENT_LOG_IO;
        return false;
    }
    struct segment_mark mark = {
        .end_pos = job->writer.end_pos,
        .point = job->start,
        .continued = !PLANTED(L6_CONTINUED_IS_NOT_SAID),
    };
    error = writer__write_both_marks(&job->writer, log->seed, &mark, &job->count);
    if (error) {
        disk_close(fresh.file);
        job__fail(job, "marking the segment as continued failed", error);
        /* Half a hand-over is not "nothing written", also when the disk only had no room. */
        job->status = SEGMENT_LOG_IO;
        return false;
    }
    disk_close(job->writer.file);
    job->writer = fresh;
    job->rolled = true;
    return true;
}
