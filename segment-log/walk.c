/* Reading a log offline, for people: every record and every problem, whole or damaged, nothing written.
 *
 * It follows the same rules as recovery, but where recovery stops it says so and goes on: behind a damaged record with the
 * next header that checks out by itself, behind a damaged segment with the next file. What files say of each other is in
 * walk_log.c. */
#include "walk.h"

#include "bytes.h"
#include "footer.h"
#include "mark.h"
#include "scan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static void tell(struct walk *walk, const struct segment_log_walk_item *item)
{
    if (item->problem) walk->summary->problems_count++;
    if (walk->cb) walk->cb(walk->data, item);
}

static void say(struct walk *walk, bool problem, uint64_t pos, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void say(struct walk *walk, bool problem, uint64_t pos, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const struct segment_log_walk_item item = {
        .path = walk->path, .pos = pos, .problem = problem, .text = text};
    tell(walk, &item);
}

void walk__say_of_log(struct walk *walk, bool problem, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const struct segment_log_walk_item item = {
        .path = walk->path, .problem = problem, .of_log = true, .text = text};
    tell(walk, &item);
}

void walk__set_path(struct walk *walk, uint64_t sequence)
{
    bool fits = segment_format__path(walk->directory, sequence, walk->path);
    assert(fits);
    (void)fits;
}

bool walk__has_bases(const struct walk *walk)
{
    return walk->snapshots && walk->snapshots->bases_count > 0;
}

bool walk__is_newest_base(const struct walk *walk, const struct segment_log_point *point)
{
    const struct segment_log_point *base = &walk->snapshots->newest_base;
    return point->index == base->index && point->term == base->term && point->chain == base->chain;
}

/* The log leads through this point. */
static void note_point(struct walk *walk, const struct segment_log_point *point)
{
    if (!walk__has_bases(walk) || point->index != walk->snapshots->newest_base.index) return;
    const bool is_it = walk__is_newest_base(walk, point);
    walk->has_base |= is_it;
    walk->base_differs |= !is_it;
}

static void take_record(struct walk *walk, const struct segment_scan_record *record)
{
    struct segment_log_walk_summary *summary = walk->summary;
    const struct segment_log_point behind = scan__point_behind(&record->header);
    note_point(walk, &behind);
    summary->entries_count++;
    summary->records_count += record->header.record_count;
    const struct segment_log_walk_item item = {
        .path = walk->path,
        .pos = record->pos,
        .header = &record->header,
        .payload = record->payload,
        .group = summary->group,
    };
    if (walk->cb) walk->cb(walk->data, &item);
}

/* Find the next header that checks out by itself between scan->pos and end_pos, and go on in front of it. */
static bool skip_damage(struct walk *walk, struct segment_scan *scan, uint64_t end_pos)
{
    for (uint64_t pos = scan->pos + ENTRY_ALIGNMENT; pos < end_pos; pos += ENTRY_ALIGNMENT) {
        size_t got;
        const uint8_t *bytes = scan__load(scan, pos, ENTRY_HEADER_BYTES, &got);
        if (!bytes) return false;
        struct entry_header header;
        if (entry_decode_header(bytes, got, walk->seed, &header) != ENTRY_DECODE_OK) continue;
        if (header.index <= scan->at.index + 1) continue;
        /* The chain in front of it is lost, and its own is taken on trust: say which entries are missing. */
        say(walk, true, scan->pos, "entries %" PRIu64 "..%" PRIu64 " are damaged",
            scan->at.index + 1, header.index - 1);
        struct segment_scan_record record = {.header = header, .pos = pos};
        size_t size = entry_bytes(header.payload_bytes);
        bytes = scan__load(scan, pos, size, &got);
        const uint8_t *payload = NULL;
        if (bytes && entry_decode(bytes, got, walk->seed, &header, &payload) == ENTRY_DECODE_OK) {
            record.payload = payload;
            take_record(walk, &record);
        } else {
            say(walk, true, pos, "the payload of entry %" PRIu64 " is damaged", header.index);
        }
        scan->at = scan__point_behind(&record.header);
        scan->pos = pos + size;
        return true;
    }
    return false;
}

/* Bytes between the end of the chain and the last one that is not zero. */
static uint64_t torn_bytes(struct segment_scan *scan, uint64_t from)
{
    uint64_t end = from;
    for (uint64_t pos = from; pos < scan->limit_pos;) {
        size_t got;
        const uint8_t *bytes = scan__load(scan, pos, 65536, &got);
        if (!bytes) break;
        for (size_t i = got; i > 0; i--) {
            if (bytes[i - 1] == 0) continue;
            end = pos + i;
            break;
        }
        pos += got;
    }
    return end - from;
}

static void note_damage(struct walk *walk, const struct segment_scan *scan)
{
    say(walk, true, scan->bad_pos, "entry %" PRIu64 " is damaged in front of the synced mark: %s",
        scan->at.index + 1, scan->error ? "reading failed" : scan->reason);
}

static void note_tail(struct walk *walk, struct segment_scan *scan, bool is_known)
{
    uint64_t torn = torn_bytes(scan, align_up(scan->pos, scan->sector_bytes));
    walk->summary->torn_bytes += torn;
    if (torn > 0) {
        say(walk, false, scan->pos, "torn tail of %" PRIu64 " bytes, %s", torn,
            is_known ? "never synced" : "and no mark tells whether it was synced");
    }
}

static bool is_at_mark(const struct segment_scan *scan, const struct segment_mark *mark)
{
    return scan->at.index == mark->point.index && scan->at.chain == mark->point.chain &&
           scan->at.next_offset == mark->point.next_offset;
}

/* mark NULL: neither counts. */
static void walk_records(struct walk *walk, struct disk_file *file,
                         const struct segment_header *header, const struct segment_mark *mark,
                         uint64_t size)
{
    const struct segment_mark start = {.end_pos = SEGMENT_DATA_POS, .point = header->base};
    const bool is_known = mark != NULL;
    if (!is_known) mark = &start;
    struct segment_scan scan;
    uint64_t limit_pos = mark->continued && mark->end_pos < size ? mark->end_pos : size;
    scan__init(&scan, file, walk->seed, header->sector_bytes, &walk->at, SEGMENT_DATA_POS,
               limit_pos);
    scan.restored = mark;
    for (;;) {
        if (scan.pos == mark->end_pos && !is_at_mark(&scan, mark)) {
            say(walk, true, scan.pos,
                "the chain does not lead to the synced mark at entry %" PRIu64, mark->point.index);
        }
        struct segment_scan_record record;
        enum segment_scan_status status = scan__next(&scan, &record);
        if (status == SEGMENT_SCAN_RECORD) {
            take_record(walk, &record);
            continue;
        }
        const bool is_synced = scan.pos < mark->end_pos;
        if (status == SEGMENT_SCAN_END && (is_synced || !is_known)) {
            uint64_t end_pos = is_known && mark->end_pos < size ? mark->end_pos : size;
            const char *reason = scan.reason;
            uint64_t bad_pos = scan.bad_pos;
            if (skip_damage(walk, &scan, end_pos)) continue;
            scan.reason = reason;
            scan.bad_pos = bad_pos;
        }
        if (is_synced) note_damage(walk, &scan);
        /* What was synced behind a mark that is not the newest is as good, whatever is damaged in front of it. */
        if (is_synced && !mark->continued && mark->end_pos < size) {
            scan.at = mark->point;
            scan.pos = mark->end_pos;
            continue;
        }
        if (!is_synced && !mark->continued) note_tail(walk, &scan, is_known);
        break;
    }
    /* What is damaged in front of the mark does not make the log shorter. */
    walk->at = scan.at.index < mark->point.index ? mark->point : scan.at;
    scan__close(&scan);
}

void walk__records(struct disk_file *file, const char *path, const struct segment_header *header,
                   const struct segment_mark *mark, uint64_t file_bytes, segment_log_walk_cb cb,
                   void *data)
{
    struct segment_log_walk_summary summary = {0};
    struct walk walk = {
        .cb = cb,
        .data = data,
        .summary = &summary,
        .at = header->base,
        .seed = checksum64_group(&header->cluster, header->group),
    };
    snprintf(walk.path, sizeof walk.path, "%s", path);
    walk_records(&walk, file, header, mark, file_bytes);
}

static void tell_footer(void *data, uint64_t pos, const char *text)
{
    say(data, true, pos, "%s", text);
}

/* False: this file cannot be walked, a problem was told. */
static bool read_header(struct walk *walk, struct disk_file *file, uint64_t sequence,
                        struct segment_header *ret_header)
{
    uint8_t block[SEGMENT_BLOCK_BYTES] = {0};
    ssize_t got = disk_pread(file, block, sizeof block, 0);
    if (got < 0) {
        say(walk, true, 0, "reading the header failed");
        return false;
    }
    switch (segment_format__decode_header(block, ret_header)) {
    case SEGMENT_FORMAT_OK:
        break;
    case SEGMENT_FORMAT_BAD:
        say(walk, true, 0, "the header is damaged");
        return false;
    case SEGMENT_FORMAT_VERSION:
        say(walk, true, 0, "another format version");
        return false;
    }
    if (ret_header->sequence != sequence) {
        say(walk, true, 0, "the header is of segment %" PRIu64, ret_header->sequence);
        return false;
    }
    if (!walk->started) return true;
    if (memcmp(&ret_header->cluster, &walk->summary->cluster, sizeof ret_header->cluster) != 0 ||
        ret_header->group != walk->summary->group) {
        say(walk, true, 0, "the segment is of another cluster or group");
        return false;
    }
    return true;
}

static void enter_segment(struct walk *walk, const struct segment_header *header)
{
    struct segment_log_walk_summary *summary = walk->summary;
    summary->segments_count++;
    note_point(walk, &header->base);
    if (walk->started && header->installed) {
        /* With its base published it would stand for all in front of it (is_replaced). */
        walk__say_of_log(walk, walk->snapshots != NULL,
                         "starts behind an installed base at entry %" PRIu64, header->base.index);
    } else if (walk->started) {
        if (header->base.index != walk->at.index || header->base.chain != walk->at.chain) {
            walk__say_of_log(walk, true,
                             "the segment starts behind entry %" PRIu64
                             ", the one before ends at %" PRIu64,
                             header->base.index, walk->at.index);
        }
    } else {
        summary->cluster = header->cluster;
        summary->group = header->group;
        summary->first_index = header->base.index + 1;
        walk->seed = checksum64_group(&header->cluster, header->group);
        walk->started = true;
    }
    walk->at = header->base;
}

struct walk_glimpse walk__look_at(const struct walk *walk, uint64_t sequence)
{
    struct walk_glimpse glimpse = {.is_whole = false};
    char path[DISK_PATH_MAX];
    struct disk_file *file;
    if (!segment_format__path(walk->directory, sequence, path)) return glimpse;
    if (disk_open(walk->disk, path, DISK_READ, &file) != 0) return glimpse;
    uint8_t block[SEGMENT_BLOCK_BYTES] = {0};
    struct segment_header *header = &glimpse.header;
    glimpse.is_whole = disk_pread(file, block, sizeof block, 0) == (ssize_t)sizeof block &&
                       segment_format__decode_header(block, header) == SEGMENT_FORMAT_OK &&
                       header->sequence == sequence;
    const uint64_t seed = glimpse.is_whole ? checksum64_group(&header->cluster, header->group) : 0;
    struct segment_marks marks;
    uint64_t size;
    glimpse.has_mark = glimpse.is_whole && marks__read(file, seed, header, &marks) == 0 &&
                       disk_size(file, &size) == 0 && marks.newest >= 0 &&
                       !marks__are_cut(&marks, size);
    disk_close(file);
    return glimpse;
}

/* The only mark that is valid does not say that the segment is continued. It may be the older one: then the next file tells
 * (recovery__has_successor). */
static bool has_successor(const struct walk *walk, size_t at)
{
    if (at + 1 == walk->sequences_count || walk->sequences[at + 1] != walk->sequences[at] + 1) {
        return false;
    }
    const struct walk_glimpse next = walk__look_at(walk, walk->sequences[at + 1]);
    return next.is_whole && next.has_mark && !next.header.installed;
}

/* By the marks alone, where the header does not check out. */
static enum walk_end end_without_header(struct walk *walk, struct disk_file *file,
                                        uint64_t sequence)
{
    const struct segment_log_snapshots *snapshots = walk->snapshots;
    if (!walk->started && !(snapshots && snapshots->has_ids)) return WALK_UNKNOWN;
    const struct segment_header any = {.sequence = sequence};
    const uint64_t seed =
        walk->started ? walk->seed : checksum64_group(&snapshots->cluster, snapshots->group);
    struct segment_marks marks;
    if (marks__read(file, seed, &any, &marks) != 0 || marks.newest < 0) return WALK_UNKNOWN;
    const struct segment_mark *mark = &marks.mark[marks.newest];
    if (mark->point.index > walk->at.index) walk->at = mark->point;
    return mark->continued ? WALK_GOES_ON : WALK_ENDS;
}

/* Tells what is wrong with the marks. *ret_mark stays as it is when neither counts. */
static enum walk_end judge_marks(struct walk *walk, const struct segment_marks *marks,
                                 uint64_t size, size_t at, const struct segment_mark **ret_mark)
{
    if (marks->newest < 0) {
        say(walk, true, SEGMENT_BLOCK_BYTES, "neither synced mark is valid");
        return WALK_UNKNOWN;
    }
    const struct segment_mark *mark = &marks->mark[marks->newest];
    walk->summary->mark_index = mark->point.index;
    const bool are_cut = marks__are_cut(marks, size);
    if (are_cut) say(walk, true, size, "the file ends in front of one of its synced marks");
    for (uint32_t i = 0; i < 2; i++) {
        if (marks__is_damaged(marks, i)) {
            say(walk, true, marks__pos(i), "one of the two marks is damaged");
        }
    }
    if (!mark->continued && !marks->valid[1 - marks->newest] && !are_cut &&
        has_successor(walk, at)) {
        say(walk, false, marks__pos(1u - (uint32_t)marks->newest),
            "one of the two marks does not count; the next segment tells that this one is "
            "continued");
        return WALK_GOES_ON;
    }
    *ret_mark = mark;
    if (are_cut) return WALK_UNKNOWN;
    return mark->continued ? WALK_GOES_ON : WALK_ENDS;
}

enum walk_end walk__segment(struct walk *walk, size_t at)
{
    const uint64_t sequence = walk->sequences[at];
    walk__set_path(walk, sequence);
    struct disk_file *file;
    int error = disk_open(walk->disk, walk->path, DISK_READ, &file);
    if (error) {
        say(walk, true, 0, "opening failed (errno %d)", -error);
        return WALK_UNKNOWN;
    }
    struct segment_header header;
    struct segment_marks marks;
    uint64_t size = 0;
    enum walk_end end = WALK_UNKNOWN;
    if (!read_header(walk, file, sequence, &header)) {
        end = end_without_header(walk, file, sequence);
        goto out;
    }
    enter_segment(walk, &header);
    error = marks__read(file, walk->seed, &header, &marks);
    if (!error) error = disk_size(file, &size);
    if (error) {
        say(walk, true, SEGMENT_BLOCK_BYTES, "reading the marks failed (errno %d)", -error);
        goto out;
    }
    const struct segment_mark *mark = NULL;
    end = judge_marks(walk, &marks, size, at, &mark);
    walk_records(walk, file, &header, mark, size);
    if (mark && mark->continued) {
        struct segment_footer footer;
        bool sealed =
            footer__verify(file, walk->seed, size, &header, mark, &footer, tell_footer, walk);
        if (sealed) walk->summary->sealed_count++;
    }
out:
    disk_close(file);
    return end;
}
