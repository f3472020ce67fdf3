/* Reading a log offline, for people: every record and every problem, whole or damaged, nothing written.
 *
 * It follows the same rules as recovery, but where recovery stops it says so and goes on: behind a damaged record with the
 * next header that checks out by itself, behind a damaged segment with the next file. */
#include "walk.h"

#include "bytes.h"
#include "footer.h"
#include "mark.h"
#include "problem.h"
#include "scan.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct walk {
    struct disk *disk;
    const char *directory;
    segment_log_walk_cb cb;
    void *data;
    struct segment_log_walk_summary *summary;
    uint64_t *sequences;
    size_t sequences_count, sequences_capacity;
    bool out_of_memory;
    bool started; /* a header was read: `at` and the ids are known */
    struct segment_log_point at;
    uint64_t seed;
    char path[DISK_PATH_MAX];
};

static void say(struct walk *walk, bool problem, uint64_t pos, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void say(struct walk *walk, bool problem, uint64_t pos, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (problem) walk->summary->problems_count++;
    const struct segment_log_walk_item item = {
        .path = walk->path, .pos = pos, .problem = problem, .text = text};
    if (walk->cb) walk->cb(walk->data, &item);
}

static void add_name(void *data, const char *name)
{
    struct walk *walk = data;
    uint64_t sequence;
    if (!segment_format__parse_name(name, &sequence)) return;
    if (walk->sequences_count == walk->sequences_capacity) {
        size_t capacity = walk->sequences_capacity ? 2 * walk->sequences_capacity : 16;
        uint64_t *sequences = realloc(walk->sequences, capacity * sizeof *sequences);
        if (!sequences) {
            walk->out_of_memory = true;
            return;
        }
        walk->sequences = sequences;
        walk->sequences_capacity = capacity;
    }
    walk->sequences[walk->sequences_count++] = sequence;
}

static void take_record(struct walk *walk, const struct segment_scan_record *record)
{
    struct segment_log_walk_summary *summary = walk->summary;
    summary->entries_count++;
    summary->records_count += record->header.record_count;
    const struct segment_log_walk_item item = {
        .path = walk->path,
        .pos = record->pos,
        .header = &record->header,
        .payload = record->payload,
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

static void note_end(struct walk *walk, struct segment_scan *scan, const struct segment_mark *mark)
{
    if (scan->pos < mark->end_pos) {
        say(walk, true, scan->bad_pos,
            "entry %" PRIu64 " is damaged in front of the synced mark: %s", scan->at.index + 1,
            scan->error ? "reading failed" : scan->reason);
        return;
    }
    if (mark->continued) return;
    uint64_t torn = torn_bytes(scan, align_up(scan->pos, scan->sector_bytes));
    walk->summary->torn_bytes += torn;
    if (torn > 0) {
        say(walk, false, scan->pos, "torn tail of %" PRIu64 " bytes, never synced", torn);
    }
}

static bool is_at_mark(const struct segment_scan *scan, const struct segment_mark *mark)
{
    return scan->at.index == mark->point.index && scan->at.chain == mark->point.chain &&
           scan->at.next_offset == mark->point.next_offset;
}

static void walk_records(struct walk *walk, struct disk_file *file,
                         const struct segment_header *header, const struct segment_mark *mark,
                         uint64_t size)
{
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
        if (status == SEGMENT_SCAN_END && scan.pos < mark->end_pos) {
            uint64_t end_pos = mark->end_pos < size ? mark->end_pos : size;
            const char *reason = scan.reason;
            uint64_t bad_pos = scan.bad_pos;
            if (skip_damage(walk, &scan, end_pos)) continue;
            scan.reason = reason;
            scan.bad_pos = bad_pos;
        }
        note_end(walk, &scan, mark);
        break;
    }
    walk->at = scan.at;
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
    const struct segment_mark start = {.end_pos = SEGMENT_DATA_POS, .point = header->base};
    walk_records(&walk, file, header, mark ? mark : &start, file_bytes);
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
    if (walk->started && header->installed) {
        say(walk, false, 0, "starts behind an installed base at entry %" PRIu64,
            header->base.index);
    } else if (walk->started) {
        if (header->base.index != walk->at.index || header->base.chain != walk->at.chain) {
            say(walk, true, 0,
                "the segment starts behind entry %" PRIu64 ", the one before ends at %" PRIu64,
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

/* Returns whether the log goes on in the next file. */
static bool walk_segment(struct walk *walk, uint64_t sequence)
{
    bool fits = segment_format__path(walk->directory, sequence, walk->path);
    assert(fits);
    (void)fits;
    struct disk_file *file;
    int error = disk_open(walk->disk, walk->path, DISK_READ, &file);
    if (error) {
        say(walk, true, 0, "opening failed (errno %d)", -error);
        return true;
    }
    struct segment_header header;
    struct segment_marks marks;
    uint64_t size = 0;
    bool continued = true;
    if (!read_header(walk, file, sequence, &header)) goto out;
    enter_segment(walk, &header);
    error = marks__read(file, walk->seed, &header, &marks);
    if (!error) error = disk_size(file, &size);
    if (error) {
        say(walk, true, SEGMENT_BLOCK_BYTES, "reading the marks failed (errno %d)", -error);
        goto out;
    }
    struct segment_mark start = {.end_pos = SEGMENT_DATA_POS, .point = header.base};
    const struct segment_mark *mark = &start;
    if (marks.newest < 0) {
        say(walk, true, SEGMENT_BLOCK_BYTES, "neither synced mark is valid");
    } else {
        mark = &marks.mark[marks.newest];
        walk->summary->mark_index = mark->point.index;
        if (marks__are_cut(&marks, size)) {
            say(walk, true, size, "the file ends in front of one of its synced marks");
        }
        for (uint32_t i = 0; i < 2; i++) {
            if (marks__is_damaged(&marks, i)) {
                say(walk, true, marks__pos(i), "one of the two marks is damaged");
            }
        }
    }
    continued = marks.newest < 0 || mark->continued;
    walk_records(walk, file, &header, mark, size);
    if (mark->continued) {
        struct segment_footer footer;
        bool sealed =
            footer__verify(file, walk->seed, size, &header, mark, &footer, tell_footer, walk);
        if (sealed) walk->summary->sealed_count++;
    }
out:
    disk_close(file);
    return continued;
}

/* Of the file at walk->path. */
static bool is_born_behind_a_base(const struct walk *walk)
{
    struct disk_file *file;
    if (disk_open(walk->disk, walk->path, DISK_READ, &file) != 0) return false;
    uint8_t block[SEGMENT_BLOCK_BYTES] = {0};
    struct segment_header header;
    const bool is_whole = disk_pread(file, block, sizeof block, 0) == (ssize_t)sizeof block &&
                          segment_format__decode_header(block, &header) == SEGMENT_FORMAT_OK;
    disk_close(file);
    return is_whole && header.installed;
}

static void walk_segments(struct walk *walk)
{
    bool continued = true;
    for (size_t i = 0; i < walk->sequences_count; i++) {
        if (i > 0 && continued && walk->sequences[i] != walk->sequences[i - 1] + 1) {
            say(walk, true, 0, "the segment behind this one is missing");
        }
        if (!continued) {
            bool fits = segment_format__path(walk->directory, walk->sequences[i], walk->path);
            assert(fits);
            (void)fits;
            say(walk, false, 0,
                is_born_behind_a_base(walk)
                    ? "born behind a base that was being installed; the next start keeps one log"
                    : "left over: the segment before is the last; dropped at the next start");
            continue;
        }
        continued = walk_segment(walk, walk->sequences[i]);
    }
    if (continued && walk->summary->problems_count == 0) {
        say(walk, true, 0, "the segment says it is continued, but there is none behind it");
    }
}

enum segment_log_status segment_log_walk(struct disk *disk, const char *directory,
                                         segment_log_walk_cb cb, void *data,
                                         struct segment_log_walk_summary *ret_summary,
                                         struct segment_log_problem *ret_problem)
{
    struct walk walk = {
        .disk = disk,
        .directory = directory,
        .cb = cb,
        .data = data,
        .summary = ret_summary,
    };
    *ret_summary = (struct segment_log_walk_summary){0};
    enum segment_log_status status = SEGMENT_LOG_OK;
    int error = 0;
    if (!segment_format__path(directory, UINT64_MAX, walk.path)) error = -ENAMETOOLONG;
    if (!error) error = disk_list(disk, directory, add_name, &walk);
    if (!error && walk.out_of_memory) error = -ENOMEM;
    if (error == -ENOENT || error == -ENOTDIR || (!error && walk.sequences_count == 0)) {
        problem__set(ret_problem, directory, 0, 0, error, "there are no segments here");
        status = SEGMENT_LOG_MISSING;
    } else if (error) {
        problem__set(ret_problem, directory, 0, 0, error, "listing the directory failed");
        status = SEGMENT_LOG_IO;
    } else {
        walk_segments(&walk);
    }
    ret_summary->last_index = walk.at.index;
    ret_summary->last_term = walk.at.term;
    ret_summary->last_chain = walk.at.chain;
    ret_summary->next_offset = walk.at.next_offset;
    free(walk.sequences);
    return status;
}
