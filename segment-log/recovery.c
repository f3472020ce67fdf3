/* Opening a log after anything (PROTOCOL L6, L9, L10).
 *
 *   look   every file: sync and drop the cache, read header and marks, follow the chain from the device. Nothing is
 *          changed; any verdict but OK ends here.
 *   mend   what a crash left half done, always towards the state that was looked at: restore the sector that a truncation
 *          was rewriting, unlink segments behind the last one and in front of an installed base, zero the torn tail, sync, write fresh marks.
 *
 * Where the log ends:
 *   - the first segment whose newest mark does not say "continued" is the last; files behind it hold nothing that was
 *     ever acknowledged (an unfinished roll) or are being dropped (a truncation).
 *   - in a continued segment everything up to the mark was synced; what stands behind is ignored.
 *   - in the last one the chain ends the log, but not in front of the mark.
 *
 * What was synced and is not whole is a hole (stretch.h), never the end of the log. A file that lost its header, its marks
 * or itself is settled by the files beside it (lost.c); where nothing tells the end, the position is lost (L6). */
#include "recovery.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include "bytes.h"
#include "footer.h"
#include "mend.h"
#include "stretch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum segment_log_status recovery__fail(struct recovery *recovery, enum segment_log_status status,
                                       uint64_t pos, uint64_t index, int error, const char *reason)
{
    problem__set(recovery->problem, recovery->path, pos, index, error, "%s", reason);
    return status;
}

/* ---- look ------------------------------------------------------------------------------------------- */

static void add_name(void *data, const char *name)
{
    struct recovery *recovery = data;
    uint64_t sequence;
    if (!segment_format__parse_name(name, &sequence)) return;
    if (recovery->found_count == recovery->found_capacity) {
        uint32_t capacity = recovery->found_capacity ? 2 * recovery->found_capacity : 16;
        struct found_segment *found = realloc(recovery->found, capacity * sizeof *found);
        if (!found) {
            recovery->out_of_memory = true;
            return;
        }
        recovery->found = found;
        recovery->found_capacity = capacity;
    }
    recovery->found[recovery->found_count++] = (struct found_segment){.sequence = sequence};
}

static enum segment_log_status list_segments(struct recovery *recovery)
{
    const struct segment_log_options *options = recovery->options;
    memcpy(recovery->path, "", 1);
    size_t length = strlen(options->directory);
    if (length + SEGMENT_NAME_BYTES + 1 > DISK_PATH_MAX) {
        return recovery__fail(recovery, SEGMENT_LOG_IO, 0, 0, -ENAMETOOLONG,
                              "the directory's name is too long");
    }
    memcpy(recovery->path, options->directory, length + 1);
    int error = disk_list(options->disk, options->directory, add_name, recovery);
    if (error == -ENOENT) {
        return recovery__fail(recovery, SEGMENT_LOG_MISSING, 0, 0, error,
                              "there is no such directory");
    }
    if (!error && recovery->out_of_memory) error = -ENOMEM;
    if (error)
        return recovery__fail(recovery, SEGMENT_LOG_IO, 0, 0, error,
                              "listing the directory failed");
    if (recovery->found_count == 0) {
        return recovery__fail(recovery, SEGMENT_LOG_MISSING, 0, 0, 0,
                              "the directory holds no segment");
    }
    return SEGMENT_LOG_OK;
}

/* found->header_is_whole is false when it does not check out, or is the one of another file. */
static enum segment_log_status read_header(struct recovery *recovery, struct found_segment *found)
{
    found->header_is_whole = false;
    uint8_t block[SEGMENT_BLOCK_BYTES] = {0};
    ssize_t got = disk_pread(recovery->file, block, sizeof block, 0);
    if (got < 0 && got != -EIO) {
        return recovery__fail(recovery, SEGMENT_LOG_IO, 0, 0, (int)got,
                              "reading the header failed");
    }
    struct segment_header header;
    switch (segment_format__decode_header(block, &header)) {
    case SEGMENT_FORMAT_BAD:
        return SEGMENT_LOG_OK;
    case SEGMENT_FORMAT_VERSION:
        return recovery__fail(recovery, SEGMENT_LOG_BAD_VERSION, 0, 0, 0,
                              "the segment has another format version");
    case SEGMENT_FORMAT_OK:
        break;
    }
    if (memcmp(&header.cluster, &recovery->options->cluster, sizeof header.cluster) != 0 &&
        !PLANTED(M1_FOREIGN_FILES_ARE_TAKEN)) {
        return recovery__fail(recovery, SEGMENT_LOG_FOREIGN, 0, 0, 0,
                              "the segment is of another cluster");
    }
    if (header.group != recovery->options->group && !PLANTED(M1_FOREIGN_FILES_ARE_TAKEN)) {
        return recovery__fail(recovery, SEGMENT_LOG_FOREIGN, 0, 0, 0,
                              "the segment is of another group");
    }
    if (header.sequence != found->sequence) return SEGMENT_LOG_OK;
    found->header = header;
    found->header_is_whole = true;
    return SEGMENT_LOG_OK;
}

enum segment_log_status recovery__open_segment(struct recovery *recovery,
                                               struct found_segment *found)
{
    found->header_is_whole = false;
    recovery->marks.newest = -1;
    recovery->file_bytes = 0;
    recovery->met_unreadable = false;
    recovery->has_footer = false;
    bool fits = segment_format__path(recovery->options->directory, found->sequence, recovery->path);
    assert(fits);
    (void)fits;
    if (found->is_absent) return SEGMENT_LOG_OK;
    int error = disk_open(recovery->options->disk, recovery->path, DISK_WRITE, &recovery->file);
    if (error) {
        return recovery__fail(recovery, SEGMENT_LOG_IO, 0, 0, error, "opening the segment failed");
    }
    if (!PLANTED(L9_PAGE_CACHE_IS_TRUSTED)) {
        error = footer__forget_cache(recovery->file, found->sequence);
    }
    if (error) {
        return recovery__fail(recovery, SEGMENT_LOG_IO, 0, 0, error, "syncing the segment failed");
    }
    enum segment_log_status status = read_header(recovery, found);
    if (status != SEGMENT_LOG_OK) return status;
    /* Without a header the marks are judged by what holds for every segment. */
    const struct segment_header any = {.sequence = found->sequence};
    error = marks__read(recovery->file, recovery->seed,
                        found->header_is_whole ? &found->header : &any, &recovery->marks);
    if (!error) error = disk_size(recovery->file, &recovery->file_bytes);
    if (error) {
        return recovery__fail(recovery, SEGMENT_LOG_IO, 0, 0, error, "reading the marks failed");
    }
    if (recovery->marks.other_version) {
        return recovery__fail(recovery, SEGMENT_LOG_BAD_VERSION, SEGMENT_BLOCK_BYTES, 0, 0,
                              "a synced mark has another format version");
    }
    recovery->has_footer = footer__read(recovery->file, recovery->seed, recovery->file_bytes,
                                        &recovery->footer, &error) == FOOTER_OK &&
                           recovery->footer.sequence == found->sequence;
    return SEGMENT_LOG_OK;
}

void recovery__close_segment(struct recovery *recovery)
{
    disk_close(recovery->file);
    recovery->file = NULL;
}

/* ---- what a file is: header and mark, or what stands for them ------------------------------------------- */

static enum segment_log_status does_not_follow(struct recovery *recovery)
{
    return recovery__fail(recovery, SEGMENT_LOG_LOST_POSITION, 0, recovery->log->last.index + 1, 0,
                          "the segment before says it is continued, but this does not follow it");
}

/* Settle where the segment starts: found->header is right behind this, though it may have to be written again. */
static enum segment_log_status settle_header(struct recovery *recovery, uint32_t position)
{
    struct found_segment *found = &recovery->found[position];
    struct segment_log *log = recovery->log;
    if (position > 0 && found->sequence != recovery->found[0].sequence + position) {
        return does_not_follow(recovery);
    }
    if (found->header_is_whole) {
        if (position == 0) return SEGMENT_LOG_OK;
        return points__are_equal(&found->header.base, &log->last) ? SEGMENT_LOG_OK
                                                                  : does_not_follow(recovery);
    }
    found->header = (struct segment_header){
        .cluster = recovery->options->cluster,
        .group = recovery->options->group,
        .sequence = found->sequence,
        .sector_bytes = position > 0 ? log->segments[position - 1].sector_bytes
                                     : recovery->options->sector_bytes,
    };
    found->mend_header = true;
    if (found->header.sector_bytes < SEGMENT_SECTOR_BYTES) {
        found->header.sector_bytes = SEGMENT_SECTOR_BYTES;
    }
    if (found->header.sector_bytes > SEGMENT_SECTOR_MAX) {
        found->header.sector_bytes = SEGMENT_SECTOR_MAX;
    }
    if (position > 0 && !points__are_equal(&recovery->footer.base, &log->last)) {
        recovery->has_footer = false;
    }
    if (recovery->has_footer) {
        found->header.base = recovery->footer.base;
        found->header.sector_bytes = recovery->footer.sector_bytes;
        return SEGMENT_LOG_OK;
    }
    if (position > 0) {
        found->header.base = log->last;
        return SEGMENT_LOG_OK;
    }
    if (recovery__find_first_base(recovery, found, &found->header.base)) return SEGMENT_LOG_OK;
    return recovery__fail(recovery, SEGMENT_LOG_DAMAGED, 0, 0, 0,
                          "the header of the first segment is damaged");
}

/* Settle where it ends. *ret_mark: the newest mark, or one that says what the footer or the next segment tells. */
static enum segment_log_status settle_mark(struct recovery *recovery, uint32_t position,
                                           bool is_lost, const struct segment_mark **ret_mark)
{
    struct found_segment *found = &recovery->found[position];
    const struct segment_marks *marks = &recovery->marks;
    bool is_found = false;
    enum segment_log_status status = SEGMENT_LOG_OK;
    if (marks->newest >= 0 && !marks->mark[marks->newest].continued &&
        !marks->valid[1 - marks->newest]) {
        status = recovery__has_successor(recovery, position, &is_found);
        if (status != SEGMENT_LOG_OK) return status;
    }
    const bool are_cut = marks__are_cut(marks, recovery->file_bytes);
    if (marks->newest >= 0 && !is_found && !are_cut) {
        const struct segment_mark *mark = &marks->mark[marks->newest];
        const struct segment_mark *other = &marks->mark[1 - marks->newest];
        found->mend_marks =
            mark->continued && !(marks->valid[1 - marks->newest] && other->continued &&
                                 other->end_pos == mark->end_pos);
        *ret_mark = mark;
        return SEGMENT_LOG_OK;
    }
    found->mend_marks = true;
    *ret_mark = &recovery->end;
    if (recovery->has_footer && points__are_equal(&recovery->footer.base, &found->header.base)) {
        recovery->end = (struct segment_mark){
            .segment = found->sequence,
            .end_pos = recovery->footer.end_pos,
            .point = recovery->footer.last,
            .continued = true,
        };
        return SEGMENT_LOG_OK;
    }
    status = recovery__find_end(recovery, position, is_lost, &is_found);
    if (status != SEGMENT_LOG_OK || is_found) return status;
    if (is_lost && position > 0) return does_not_follow(recovery);
    return recovery__fail(recovery, SEGMENT_LOG_LOST_POSITION, SEGMENT_BLOCK_BYTES, 0, 0,
                          marks->newest < 0 ? "neither synced mark is valid"
                                            : "the file ends in front of one of its synced marks");
}

static enum segment_log_status add_segment(struct recovery *recovery,
                                           const struct segment_header *header)
{
    if (!recovery->log) {
        recovery->log = log__new(recovery->options, &header->base);
        if (!recovery->log) return recovery__out_of_memory(recovery);
    }
    struct segment_log *log = recovery->log;
    if (!log__reserve_segment(log) || !segment__init(&log->segments[log->segments_count], header)) {
        return recovery__out_of_memory(recovery);
    }
    log->segments_count++;
    return SEGMENT_LOG_OK;
}

/* A file that lost its end is made as long again: but no longer than segments are. */
static uint64_t longest_file(const struct recovery *recovery)
{
    uint64_t bytes =
        recovery->log->options.segment_bytes_max + entry_bytes(ENTRY_PAYLOAD_BYTES_MAX);
    return bytes > recovery->file_bytes ? bytes : recovery->file_bytes;
}

static enum segment_log_status look_at_segment(struct recovery *recovery, uint32_t position,
                                               bool *ret_continued)
{
    struct found_segment *found = &recovery->found[position];
    enum segment_log_status status = recovery__open_segment(recovery, found);
    if (status == SEGMENT_LOG_OK) status = settle_header(recovery, position);
    if (status != SEGMENT_LOG_OK) return status;
    const bool is_lost =
        !found->header_is_whole && recovery->marks.newest < 0 && !recovery->has_footer;
    const struct segment_mark *mark;
    status = settle_mark(recovery, position, is_lost, &mark);
    if (status != SEGMENT_LOG_OK) return status;
    const bool is_told = recovery->has_footer && marks__tail_fits(mark, found->header.sector_bytes);
    if (found->mend_header && !is_lost && !is_told) {
        found->header.sector_bytes = recovery__find_sector_bytes(recovery, &found->header, mark);
    }
    status = add_segment(recovery, &found->header);
    if (status != SEGMENT_LOG_OK) return status;
    recovery__note_base(recovery, &found->header.base);
    struct segment *segment = &recovery->log->segments[position];
    *ret_continued = mark->continued;
    if (!mark->continued && mark->end_pos > longest_file(recovery)) {
        return recovery__fail(recovery, SEGMENT_LOG_LOST_POSITION, SEGMENT_BLOCK_BYTES,
                              mark->point.index, 0,
                              "the synced mark is behind the end of any segment");
    }
    if (is_lost) return recovery__take_lost(recovery, found, segment, &mark->point);
    /* Part of a footer's hash is the header, of which nobody knows here whether it told of an installed base: let it be sealed
     * again. Nor may the next start take it for what this one reads: should there be holes, they would be forgotten. */
    found->drop_footer = found->mend_header && position == 0 && recovery->has_footer;
    if (!found->drop_footer && !RARELY(FOOTER_IS_NOT_USED) &&
        recovery__adopt_footer(recovery, segment, &found->header, mark)) {
        return SEGMENT_LOG_OK;
    }
    return recovery__read_records(recovery, segment, mark);
}

/* The log must hold the entry of its newest base. When that one is damaged, an installed base is what everybody relies on. */
static enum segment_log_status judge_base(struct recovery *recovery)
{
    const struct segment_log_point *base = recovery->options->base;
    if (!base || recovery->has_base) return SEGMENT_LOG_OK;
    const struct hole *hole = holes__from(recovery->log, base->index);
    const bool is_damaged = hole && hole->told.first_index <= base->index;
    if (is_damaged && !recovery->is_installed) return SEGMENT_LOG_OK;
    const bool is_short = base->index > recovery->log->last.index;
    return recovery__fail(recovery, is_short ? SEGMENT_LOG_LOST_POSITION : SEGMENT_LOG_DAMAGED, 0,
                          base->index, 0, "the log does not hold the entry of its newest base");
}

static enum segment_log_status look_at_segments(struct recovery *recovery)
{
    bool continued = true;
    for (uint32_t i = 0; continued; i++) {
        if (i == recovery->found_count) {
            return recovery__fail(recovery, SEGMENT_LOG_LOST_POSITION, 0,
                                  recovery->log->last.index + 1, 0,
                                  "the segment says it is continued, but there is none behind it");
        }
        recovery__close_segment(recovery);
        enum segment_log_status status = look_at_segment(recovery, i, &continued);
        if (status != SEGMENT_LOG_OK) return status;
    }
    return judge_base(recovery);
}

/* The newest file, when it was born behind the newest base and that base has been published. When that base has rotted since,
 * the log in front of that file is not the log any more, and what stands behind it was acknowledged. */
static enum segment_log_status find_installed(struct recovery *recovery)
{
    const struct segment_log_point *base = recovery->options->base;
    const uint64_t damaged_index = recovery->options->damaged_base_index;
    if ((!base && damaged_index == 0) || recovery->found_count < 2) return SEGMENT_LOG_OK;
    struct found_segment *newest = &recovery->found[recovery->found_count - 1];
    enum segment_log_status status = recovery__open_segment(recovery, newest);
    recovery__close_segment(recovery);
    if (status != SEGMENT_LOG_OK) return status;
    const bool is_born_behind_one = newest->header_is_whole && newest->header.installed;
    if (is_born_behind_one && damaged_index != 0 && newest->header.base.index == damaged_index &&
        !PLANTED(S3_LOG_BEHIND_A_ROTTEN_BASE_IS_DROPPED)) {
        return recovery__fail(recovery, SEGMENT_LOG_LOST_POSITION, 0, damaged_index, 0,
                              "the log was replaced by a base that is damaged");
    }
    recovery->is_installed =
        base && is_born_behind_one && points__are_equal(&newest->header.base, base);
    return SEGMENT_LOG_OK;
}

/* Forget what was looked at; the newest file alone is the log. */
static bool keep_installed(struct recovery *recovery)
{
    const uint32_t count = recovery->found_count - 1;
    recovery->replaced = calloc(count, sizeof *recovery->replaced);
    if (!recovery->replaced) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (recovery->found[i].is_absent) continue;
        recovery->replaced[recovery->replaced_count++] = recovery->found[i].sequence;
    }
    recovery->found[0] = recovery->found[count];
    recovery->found_count = 1;
    segment_log_close(recovery->log);
    recovery->log = NULL;
    recovery->has_base = false;
    recovery__forget_configurations(recovery, 0);
    return true;
}

/* S3: an installed base is preferred to a log that lacks its entry, also when that log cannot even be read: nothing was
 * written into it since the birth. A log that has the entry is kept. */
static enum segment_log_status look(struct recovery *recovery)
{
    enum segment_log_status status = list_segments(recovery);
    if (status == SEGMENT_LOG_OK) status = find_installed(recovery);
    if (status == SEGMENT_LOG_OK) status = recovery__fill_gaps(recovery);
    if (status != SEGMENT_LOG_OK) return status;
    status = look_at_segments(recovery);
    if (!recovery->is_installed) return status;
    if (status != SEGMENT_LOG_DAMAGED && status != SEGMENT_LOG_LOST_POSITION) return status;
    recovery__close_segment(recovery);
    if (!keep_installed(recovery)) return recovery__out_of_memory(recovery);
    return look_at_segments(recovery);
}

/* ---- mend ------------------------------------------------------------------------------------------- */

/* Behind what the header and the marks say again, and durable: until then it tells where the segment starts and ends. */
static int drop_footer(struct recovery *recovery, struct segment *segment)
{
    const uint64_t bytes = align_up(segment->end_pos, SEGMENT_BLOCK_BYTES);
    struct disk_file *file;
    int error = disk_open(recovery->log->options.disk, recovery->path, DISK_WRITE, &file);
    if (error) return error;
    if (bytes < segment->file_bytes) {
        error = disk_truncate(file, bytes);
        segment->file_bytes = bytes;
    }
    if (!error) error = disk_datasync(file);
    disk_close(file);
    return error;
}

/* A closed segment: say again what its header or a mark does not say any more. Also a crash between the two marks of a
 * hand-over: the second one is written now, so that one rotten block can never make an older "not continued" speak again. */
static int mend_closed(struct recovery *recovery, uint32_t position)
{
    struct segment_log *log = recovery->log;
    const struct found_segment *found = &recovery->found[position];
    struct segment *segment = &log->segments[position];
    log__segment_path(log, found->sequence, recovery->path);
    if (found->make_empty) {
        return mend__make_empty(log->options.disk, log->directory, &found->header);
    }
    if (segment->missing || !(found->mend_header || found->mend_marks)) return 0;
    const struct mend mend = {
        .header = &found->header,
        .end_pos = segment->end_pos,
        .end = log->segments[position + 1].base,
    };
    uint32_t blocks;
    const int error = mend__closed_segment(log->options.disk, recovery->path, &mend, &blocks);
    return !error && found->drop_footer ? drop_footer(recovery, segment) : error;
}

/* Files that hold nothing of the log: in front of an installed base, and behind the last segment. */
static int unlink_others(struct recovery *recovery)
{
    struct segment_log *log = recovery->log;
    for (uint32_t i = 0; i < recovery->replaced_count; i++) {
        log__segment_path(log, recovery->replaced[i], recovery->path);
        int error = disk_unlink(log->options.disk, recovery->path);
        if (error) return error;
    }
    for (uint32_t i = recovery->found_count; i > log->segments_count; i--) {
        if (recovery->found[i - 1].is_absent) continue;
        log__segment_path(log, recovery->found[i - 1].sequence, recovery->path);
        int error = disk_unlink(log->options.disk, recovery->path);
        if (error) return error;
    }
    return 0;
}

static void unlink_unfinished(void *data, const char *name)
{
    struct recovery *recovery = data;
    if (!segment_format__is_unfinished(name)) return;
    if (!path__join(recovery->path, recovery->log->directory, name)) return;
    /* One that stays has no meaning, and the next session removes it. */
    (void)disk_unlink(recovery->log->options.disk, recovery->path);
}

/* The last segment: finish what a truncation began, cut the torn tail, write fresh marks. recovery->file is it. */
static int mend_last(struct recovery *recovery)
{
    struct segment_log *log = recovery->log;
    const struct found_segment *found = &recovery->found[log->segments_count - 1];
    const struct segment *segment = &log->segments[log->segments_count - 1];
    const struct segment_mark *old = &recovery->marks.mark[recovery->marks.newest];
    struct segment_writer *writer = &log->writer;
    writer__init(writer, recovery->file, &found->header, &recovery->marks, recovery->file_bytes);
    recovery->file = NULL;
    log__segment_path(log, segment->sequence, recovery->path);
    int error = 0;
    if (found->mend_header) {
        uint8_t block[SEGMENT_BLOCK_BYTES];
        segment_format__encode_header(&found->header, block);
        error = disk_pwrite(writer->file, block, sizeof block, 0);
    }
    /* Zeros that were counted on, or a lost end that it gets back: its entries are a hole, but it is where the next ones go. To
     * make the file longer takes no room. */
    if (!error && writer->filled_pos < segment->end_pos) {
        writer->filled_pos = align_up(segment->end_pos, writer->sector_bytes);
        error = disk_truncate(writer->file, writer->filled_pos);
    }
    if (!error && old->tail_bytes > 0 && recovery->met_unreadable) {
        error = writer__heal(writer, old->end_pos - old->tail_bytes);
    }
    if (!error && old->tail_bytes > 0) {
        error = writer__restore_tail(writer, old, recovery->file_bytes);
    }
    /* From the next sector on: the sector of the last record is not written again, and the bytes behind that record in it
     * are no record, or the chain would not end here. Nor do they become one by the zeros (recovery__read_records). */
    uint64_t behind = align_up(segment->end_pos, writer->sector_bytes);
    if (!error) error = writer__zero_behind(writer, behind);
    if (!error && recovery->spoils_tail && !PLANTED(L10_TORN_RECORD_COMES_BACK)) {
        error = writer__spoil(writer, behind);
    }
    struct sync_count count = {0};
    if (!error) error = writer__sync(writer, &count);
    if (!error) error = disk_size(writer->file, &writer->filled_pos);
    if (error) return error;
    writer->end_pos = segment->end_pos;
    struct segment_mark mark = {.end_pos = segment->end_pos, .point = log->last};
    error = writer__write_both_marks(writer, log->seed, &mark, &count);
    log->syncs_total = count.syncs;
    log->sync_us_last = count.last_us;
    return error;
}

static enum segment_log_status mend(struct recovery *recovery)
{
    struct segment_log *log = recovery->log;
    int error = 0;
    for (uint32_t i = 0; !error && i + 1 < log->segments_count; i++) {
        error = mend_closed(recovery, i);
    }
    if (!error) error = unlink_others(recovery);
    if (!error) error = disk_list(log->options.disk, log->directory, unlink_unfinished, recovery);
    if (!error) error = disk_sync_directory(log->options.disk, log->directory);
    if (!error) error = mend_last(recovery);
    if (error) {
        return recovery__fail(recovery, SEGMENT_LOG_IO, 0, log->last.index + 1, error,
                              "writing the recovered state failed");
    }
    struct segment *segment = &log->segments[log->segments_count - 1];
    segment->file_bytes = log->writer.filled_pos;
    log->durable_index = log->last.index;
    log->attempted_index = log->last.index;
    return SEGMENT_LOG_OK;
}

static void tell_configurations(const struct recovery *recovery)
{
    const struct segment_log_options *options = recovery->options;
    for (const struct found_configuration *found = recovery->configurations; found;
         found = found->next) {
        options->on_configuration(options->on_configuration_data, found->index, found->payload,
                                  found->payload_bytes);
    }
}

/* L4: the log came to a device with larger sectors than its last file was written for. One that is empty is gone on with. */
static void keep_to_sectors(struct segment_log *log)
{
    if (log->segments[log->segments_count - 1].sector_bytes < log->options.sector_bytes) {
        (void)segment_log_roll(log);
    }
}

enum segment_log_status segment_log_open(const struct segment_log_options *options,
                                         struct segment_log **ret_log,
                                         struct segment_log_problem *ret_problem)
{
    struct recovery *recovery = calloc(1, sizeof *recovery);
    if (!recovery) {
        problem__set(ret_problem, options->directory, 0, 0, -ENOMEM, "out of memory");
        return SEGMENT_LOG_IO;
    }
    recovery->options = options;
    recovery->problem = ret_problem;
    recovery->seed = checksum64_group(&options->cluster, options->group);
    recovery->configurations_tail = &recovery->configurations;
    enum segment_log_status status = look(recovery);
    if (status == SEGMENT_LOG_OK) status = mend(recovery);
    recovery__close_segment(recovery);
    if (status == SEGMENT_LOG_OK) {
        seal__plan(recovery->log);
        keep_to_sectors(recovery->log);
        log__check(recovery->log);
        tell_configurations(recovery);
        struct segment_log_hole hole;
        if (segment_log_hole_from(recovery->log, 0, &hole)) {
            segment_log_hole_problem(recovery->log, &hole, ret_problem);
        }
        *ret_log = recovery->log;
    } else {
        segment_log_close(recovery->log);
    }
    recovery__forget_configurations(recovery, 0);
    free(recovery->replaced);
    free(recovery->found);
    free(recovery);
    return status;
}
