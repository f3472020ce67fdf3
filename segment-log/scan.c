#include "scan.h"

#include <planted/planted.h>

#include "bytes.h"
#include "entry.h"
#include "salvage.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES  262144u
#define SALVAGE_BYTES 65536u

void scan__init(struct segment_scan *scan, struct disk_file *file, uint64_t group_seed,
                uint32_t sector_bytes, const struct segment_log_point *at, uint64_t pos,
                uint64_t limit_pos)
{
    *scan = (struct segment_scan){
        .file = file,
        .group_seed = group_seed,
        .sector_bytes = sector_bytes,
        .limit_pos = limit_pos,
        .at = *at,
        .pos = pos,
    };
}

void scan__start(struct segment_scan *scan, struct disk_file *file, uint64_t group_seed,
                 uint32_t sector_bytes, const struct segment_point *start, uint64_t limit_pos)
{
    scan__init(scan, file, group_seed, sector_bytes, &start->before, start->pos, limit_pos);
    scan__restart(scan, start);
}

void scan__restart(struct segment_scan *scan, const struct segment_point *start)
{
    scan->at = start->before;
    scan->pos = start->pos;
    scan->lone = start->lone;
    scan->lone_chain = start->lone_chain;
}

void scan__close(struct segment_scan *scan)
{
    free(scan->buffer);
    scan->buffer = NULL;
}

/* The sector that a truncation was rewriting, as the mark remembers it: kept bytes, then zeros (segment_format.h). */
static void restore_tail(const struct segment_scan *scan, uint8_t *bytes, size_t bytes_count,
                         uint64_t pos)
{
    const struct segment_mark *mark = scan->restored;
    if (!mark || mark->tail_bytes == 0) return;
    uint64_t first = mark->end_pos - mark->tail_bytes;
    uint64_t end = align_up(mark->end_pos, scan->sector_bytes);
    for (uint64_t at = first > pos ? first : pos; at < end && at < pos + bytes_count; at++) {
        bytes[at - pos] = at < mark->end_pos ? mark->tail[at - first] : 0;
    }
}

/* How much of a window is there: what a mark restores also when the file lost its end, with zeros in front of it, as a start
 * makes the file again. */
static size_t present_bytes(struct segment_scan *scan, size_t got, size_t window, uint64_t pos)
{
    const struct segment_mark *mark = scan->restored;
    if (!mark || mark->tail_bytes == 0 || mark->end_pos <= pos + got) return got;
    uint64_t bytes = mark->end_pos - pos;
    if (bytes > window) bytes = window;
    if (bytes <= got) return got;
    memset(scan->buffer + got, 0, (size_t)bytes - got);
    return (size_t)bytes;
}

static void blank(struct segment_scan *scan)
{
    if (scan->zeros_pos == 0 || scan->zeros_pos >= scan->buffer_pos + scan->buffer_bytes) return;
    uint64_t from = scan->zeros_pos > scan->buffer_pos ? scan->zeros_pos - scan->buffer_pos : 0;
    memset(scan->buffer + from, 0, scan->buffer_bytes - (size_t)from);
}

static bool reserve_buffer(struct segment_scan *scan, size_t bytes)
{
    if (scan->buffer_capacity >= bytes) return true;
    size_t capacity = bytes > WINDOW_BYTES ? bytes : WINDOW_BYTES;
    free(scan->buffer);
    scan->buffer_bytes = 0;
    scan->buffer_capacity = 0;
    scan->buffer = malloc(capacity);
    if (!scan->buffer) return false;
    scan->buffer_capacity = capacity;
    return true;
}

const uint8_t *scan__load(struct segment_scan *scan, uint64_t pos, size_t bytes, size_t *ret_bytes)
{
    *ret_bytes = 0;
    scan->error = 0;
    if (pos >= scan->limit_pos) return NULL;
    if (bytes > scan->limit_pos - pos) bytes = (size_t)(scan->limit_pos - pos);
    bool inside = pos >= scan->buffer_pos && pos + bytes <= scan->buffer_pos + scan->buffer_bytes;
    if (!inside) {
        if (!reserve_buffer(scan, bytes)) {
            scan->error = -ENOMEM;
            return NULL;
        }
        size_t window = scan->buffer_capacity;
        if (window > scan->limit_pos - pos) window = (size_t)(scan->limit_pos - pos);
        ssize_t got = disk_pread(scan->file, scan->buffer, window, pos);
        if (got == -EIO) {
            if (window > SALVAGE_BYTES && bytes <= SALVAGE_BYTES) window = SALVAGE_BYTES;
            got = salvage__blocks(scan->file, scan->buffer, window, pos, &scan->is_unreadable);
            scan->met_unreadable = true;
        }
        scan->buffer_bytes = 0;
        if (got < 0) {
            scan->error = (int)got;
            return NULL;
        }
        if (scan->zeros_behind && (size_t)got < window) {
            memset(scan->buffer + got, 0, window - (size_t)got);
            got = (ssize_t)window;
        }
        scan->buffer_pos = pos;
        scan->buffer_bytes = present_bytes(scan, (size_t)got, window, pos);
        restore_tail(scan, scan->buffer, scan->buffer_bytes, pos);
        blank(scan);
        if (bytes > scan->buffer_bytes) bytes = scan->buffer_bytes;
        if (bytes == 0) return NULL;
    }
    *ret_bytes = bytes;
    return scan->buffer + (pos - scan->buffer_pos);
}

static const char *why_not_following(const struct segment_scan *scan,
                                     const struct entry_header *header)
{
    const struct segment_log_point *at = &scan->at;
    if (header->index != at->index + 1) return "the record has another index";
    if (!term_trail__allows(&scan->trail, header->index, header->term)) {
        return "the record is an old one, of another term";
    }
    if (scan->lone) {
        return header->chain == scan->lone_chain ? NULL : "the record has another chain";
    }
    if (header->term < at->term) return "the record has an older term than the one before";
    if (header->base_offset != at->next_offset) return "the record has another base offset";
    if (header->timestamp_ms < at->timestamp_ms) return "the record is older than the one before";
    if (header->chain != entry_chain(header, at->chain)) {
        return "the chain from the record before does not reach this one";
    }
    return NULL;
}

/* The wrong turn of L4_ZEROS_ARE_A_RECORD: a record without a payload. */
static const char *take_zeros(const struct segment_scan *scan, uint64_t pos, const uint8_t *bytes,
                              struct segment_scan_record *ret)
{
    *ret = (struct segment_scan_record){
        .header = {.type = ENTRY_NOOP,
                   .index = scan->at.index + 1,
                   .term = scan->at.term,
                   .base_offset = scan->at.next_offset,
                   .timestamp_ms = scan->at.timestamp_ms},
        .pos = pos,
        .bytes = bytes,
        .bytes_count = ENTRY_HEADER_BYTES,
        .payload = bytes + ENTRY_HEADER_BYTES,
    };
    ret->header.chain = entry_chain(&ret->header, scan->at.chain);
    return NULL;
}

/* NULL: *ret is the next record. Otherwise why it is not; scan->error is set when that is a failing disk. */
static const char *try_record(struct segment_scan *scan, uint64_t pos,
                              struct segment_scan_record *ret, bool *ret_blank)
{
    *ret_blank = true;
    size_t got;
    const uint8_t *bytes = scan__load(scan, pos, ENTRY_HEADER_BYTES, &got);
    if (!bytes) return scan->error ? "the disk failed" : "the segment ends here";
    *ret_blank = bytes_are_zero(bytes, got);
    enum entry_decode_status status =
        entry_decode_header(bytes, got, scan->group_seed, &ret->header);
    if (PLANTED(L4_ZEROS_ARE_A_RECORD) && *ret_blank && got == ENTRY_HEADER_BYTES) {
        return take_zeros(scan, pos, bytes, ret);
    }
    if (status != ENTRY_DECODE_OK) return entry_decode_status_text(status);
    const char *reason = why_not_following(scan, &ret->header);
    if (reason) return reason;
    size_t size = entry_bytes(ret->header.payload_bytes);
    bytes = scan__load(scan, pos, size, &got);
    if (!bytes) return "the disk failed";
    if (got < size) return entry_decode_status_text(ENTRY_DECODE_SHORT);
    if (!entry__payload_matches(bytes, &ret->header) && !PLANTED(R3_DAMAGED_BYTES_ARE_SERVED)) {
        return entry_decode_status_text(ENTRY_DECODE_BAD_PAYLOAD);
    }
    ret->pos = pos;
    ret->bytes = bytes;
    ret->bytes_count = size;
    ret->payload = bytes + ENTRY_HEADER_BYTES;
    return NULL;
}

struct segment_log_point scan__point_behind(const struct entry_header *header)
{
    return (struct segment_log_point){
        .index = header->index,
        .term = header->term,
        .chain = header->chain,
        .next_offset = header->base_offset + header->record_count,
        .timestamp_ms = header->timestamp_ms,
    };
}

enum segment_scan_status scan__next(struct segment_scan *scan, struct segment_scan_record *ret)
{
    uint64_t places[2] = {scan->pos, align_up(scan->pos, scan->sector_bytes)};
    int places_count = places[0] == places[1] ? 1 : 2;
    scan->reason = NULL;
    scan->is_unreadable = false;
    for (int i = 0; i < places_count; i++) {
        bool blank;
        const char *reason = try_record(scan, places[i], ret, &blank);
        if (scan->error) return SEGMENT_SCAN_IO;
        if (!reason) {
            scan->at = scan__point_behind(&ret->header);
            scan->lone = false;
            scan->pos = ret->pos + ret->bytes_count;
            return SEGMENT_SCAN_RECORD;
        }
        /* Of two places the one that holds something says more. */
        if (!scan->reason || (scan->bad_is_blank && !blank)) {
            scan->reason = reason;
            scan->bad_pos = places[i];
            scan->bad_is_blank = blank;
        }
    }
    if (scan->is_unreadable) scan->reason = "the disk cannot read it";
    return SEGMENT_SCAN_END;
}
