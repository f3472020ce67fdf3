/* Looking at a segment file. Its parts are told one by one, each with its own verdict: a bad header does not hide the marks, and
 * bad marks do not hide the footer. */
#include <segment_log/inspect.h>

#include "footer.h"
#include "mark.h"
#include "problem.h"
#include "walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_SHOWN_MAX 4096u

void inspect_hash(const struct inspect_sink *sink, const char *name, uint64_t value)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, value);
    sink->text(sink->data, name, text);
}

void inspect_bytes(const struct inspect_sink *sink, const char *name, const void *bytes,
                   size_t bytes_count)
{
    static const char digits[] = "0123456789abcdef";
    char text[2u * BYTES_SHOWN_MAX + 1u];
    if (bytes_count > BYTES_SHOWN_MAX) bytes_count = BYTES_SHOWN_MAX;
    for (size_t i = 0; i < bytes_count; i++) {
        text[2 * i] = digits[((const uint8_t *)bytes)[i] >> 4];
        text[2 * i + 1] = digits[((const uint8_t *)bytes)[i] & 15u];
    }
    text[2 * bytes_count] = 0;
    sink->text(sink->data, name, text);
}

void inspect_point(const struct inspect_sink *sink, const struct segment_log_point *point)
{
    sink->number(sink->data, "index", point->index);
    sink->number(sink->data, "term", point->term);
    inspect_hash(sink, "chain", point->chain);
    sink->number(sink->data, "next_offset", point->next_offset);
    sink->signed_number(sink->data, "timestamp_ms", point->timestamp_ms);
}

struct inspection {
    const struct inspect_sink *sink;
    const char *path;
    struct disk_file *file;
    uint64_t file_bytes;
    bool has_header;
    struct segment_header header;
    uint64_t seed;
    bool has_mark; /* the newest one */
    struct segment_mark mark;
    uint64_t records_count, entries_count;
    uint64_t first_index, last_index;
};

static void told(const struct inspection *inspection, uint64_t pos, const char *text)
{
    inspection->sink->problem(inspection->sink->data, pos, text);
}

/* ---- header and marks ------------------------------------------------------------------------------- */

/* A footer repeats what the header says. It is the right one when it checks out under the ids that stand in the damaged block. */
static void take_header_from_footer(struct inspection *inspection,
                                    const uint8_t block[SEGMENT_BLOCK_BYTES])
{
    struct segment_header header = segment_format__ids(block);
    struct segment_footer footer;
    int error;
    uint64_t seed = checksum64_group(&header.cluster, header.group);
    if (footer__read(inspection->file, seed, inspection->file_bytes, &footer, &error) !=
        FOOTER_OK) {
        told(inspection, 0, "without its group nothing behind the header can be checked");
        return;
    }
    header.sequence = footer.sequence;
    header.sector_bytes = footer.sector_bytes;
    header.base = footer.base;
    inspection->header = header;
    inspection->seed = seed;
    inspection->has_header = true;
}

static void inspect_header(struct inspection *inspection)
{
    const struct inspect_sink *sink = inspection->sink;
    uint8_t block[SEGMENT_BLOCK_BYTES] = {0};
    if (disk_pread(inspection->file, block, sizeof block, 0) < 0) {
        told(inspection, 0, "reading the header failed");
        return;
    }
    switch (segment_format__decode_header(block, &inspection->header)) {
    case SEGMENT_FORMAT_BAD:
        told(inspection, 0, "the header is damaged");
        take_header_from_footer(inspection, block);
        return;
    case SEGMENT_FORMAT_VERSION:
        told(inspection, 0, "the header is of another format version");
        return;
    case SEGMENT_FORMAT_OK:
        break;
    }
    const struct segment_header *header = &inspection->header;
    inspection->has_header = true;
    inspection->seed = checksum64_group(&header->cluster, header->group);
    sink->begin(sink->data, "header", false);
    inspect_bytes(sink, "cluster", header->cluster.bytes, sizeof header->cluster.bytes);
    sink->number(sink->data, "group", header->group);
    sink->number(sink->data, "sequence", header->sequence);
    sink->number(sink->data, "sector_bytes", header->sector_bytes);
    sink->flag(sink->data, "installed", header->installed);
    sink->begin(sink->data, "behind", false);
    inspect_point(sink, &header->base);
    sink->end(sink->data);
    sink->end(sink->data);
}

static void inspect_mark(const struct inspection *inspection, const struct segment_marks *marks,
                         int block)
{
    const struct inspect_sink *sink = inspection->sink;
    const struct segment_mark *mark = &marks->mark[block];
    sink->begin(sink->data, NULL, false);
    sink->number(sink->data, "block", (uint64_t)block);
    sink->flag(sink->data, "valid", marks->valid[block]);
    if (marks->valid[block]) {
        sink->flag(sink->data, "newest", marks->newest == block);
        sink->number(sink->data, "sequence", mark->sequence);
        sink->flag(sink->data, "continued", mark->continued);
        sink->number(sink->data, "end_pos", mark->end_pos);
        inspect_point(sink, &mark->point);
        sink->number(sink->data, "tail_bytes", mark->tail_bytes);
    }
    sink->end(sink->data);
}

static void inspect_marks(struct inspection *inspection)
{
    const struct inspect_sink *sink = inspection->sink;
    struct segment_marks marks;
    if (marks__read(inspection->file, inspection->seed, &inspection->header, &marks) != 0) {
        told(inspection, SEGMENT_BLOCK_BYTES, "reading the marks failed");
        return;
    }
    sink->begin(sink->data, "marks", true);
    for (int i = 0; i < 2; i++) {
        inspect_mark(inspection, &marks, i);
    }
    sink->end(sink->data);
    for (uint32_t i = 0; i < 2; i++) {
        if (marks__is_damaged(&marks, i)) told(inspection, marks__pos(i), "the mark is damaged");
    }
    if (marks.newest < 0) return;
    inspection->has_mark = true;
    inspection->mark = marks.mark[marks.newest];
}

/* ---- records ---------------------------------------------------------------------------------------- */

static void take_item(void *data, const struct segment_log_walk_item *item)
{
    struct inspection *inspection = data;
    if (item->problem) told(inspection, item->pos, item->text);
    if (!item->header) return;
    if (inspection->entries_count++ == 0) inspection->first_index = item->header->index;
    inspection->last_index = item->header->index;
    inspection->records_count += item->header->record_count;
}

static void inspect_entries(struct inspection *inspection)
{
    const struct inspect_sink *sink = inspection->sink;
    walk__records(inspection->file, inspection->path, &inspection->header,
                  inspection->has_mark ? &inspection->mark : NULL, inspection->file_bytes,
                  take_item, inspection);
    sink->begin(sink->data, "entries", false);
    sink->number(sink->data, "count", inspection->entries_count);
    if (inspection->entries_count > 0) {
        sink->number(sink->data, "first_index", inspection->first_index);
        sink->number(sink->data, "last_index", inspection->last_index);
    }
    sink->number(sink->data, "messages", inspection->records_count);
    sink->end(sink->data);
}

/* ---- footer ----------------------------------------------------------------------------------------- */

static void inspect_points(const struct inspection *inspection, const struct segment_footer *footer)
{
    const struct inspect_sink *sink = inspection->sink;
    struct footer_point *points;
    int error;
    if (footer__read_points(inspection->file, inspection->seed, footer, &points, &error) !=
        FOOTER_OK) {
        return;
    }
    sink->begin(sink->data, "index", true);
    for (uint32_t i = 0; i < footer->points_count; i++) {
        sink->begin(sink->data, NULL, false);
        sink->number(sink->data, "pos", points[i].point.pos);
        inspect_point(sink, &points[i].point.before);
        if (points[i].max_message_time_ms != FOOTER_NO_TIME) {
            sink->signed_number(sink->data, "max_message_time_ms", points[i].max_message_time_ms);
        }
        sink->end(sink->data);
    }
    sink->end(sink->data);
    free(points);
}

static void inspect_facts(const struct inspection *inspection, const struct segment_footer *footer)
{
    const struct inspect_sink *sink = inspection->sink;
    uint8_t *facts;
    int error;
    if (footer__read_facts(inspection->file, inspection->seed, footer, &facts, &error) !=
        FOOTER_OK) {
        return;
    }
    sink->begin(sink->data, "terms", true);
    for (uint32_t i = 0; i < footer->terms_count; i++) {
        const struct footer_term term = footer__term(facts, i);
        sink->begin(sink->data, NULL, false);
        sink->number(sink->data, "first_index", term.first_index);
        sink->number(sink->data, "term", term.term);
        sink->end(sink->data);
    }
    sink->end(sink->data);
    sink->begin(sink->data, "configurations", true);
    size_t at = footer__configurations_pos(footer);
    for (uint32_t i = 0; i < footer->configurations_count; i++) {
        const struct footer_configuration found = footer__next_configuration(facts, &at);
        sink->begin(sink->data, NULL, false);
        sink->number(sink->data, "index", found.index);
        sink->number(sink->data, "bytes", found.payload_bytes);
        inspect_bytes(sink, "payload", found.payload, found.payload_bytes);
        sink->end(sink->data);
    }
    sink->end(sink->data);
    free(facts);
}

static void inspect_footer(const struct inspection *inspection)
{
    const struct inspect_sink *sink = inspection->sink;
    const struct segment_mark *mark = inspection->has_mark ? &inspection->mark : NULL;
    struct segment_footer footer;
    if (!footer__verify(inspection->file, inspection->seed, inspection->file_bytes,
                        inspection->has_header ? &inspection->header : NULL, mark, &footer,
                        sink->problem, sink->data)) {
        return;
    }
    sink->begin(sink->data, "footer", false);
    sink->number(sink->data, "pos", footer.first_pos);
    sink->number(sink->data, "end_pos", footer.end_pos);
    inspect_hash(sink, "file_hash", footer.file_hash);
    sink->begin(sink->data, "behind", false);
    inspect_point(sink, &footer.base);
    sink->end(sink->data);
    sink->begin(sink->data, "last", false);
    inspect_point(sink, &footer.last);
    sink->end(sink->data);
    if (footer.max_message_time_ms != FOOTER_NO_TIME) {
        sink->signed_number(sink->data, "max_message_time_ms", footer.max_message_time_ms);
    }
    /* Their problems were told; what is whole is shown. */
    inspect_facts(inspection, &footer);
    inspect_points(inspection, &footer);
    sink->end(sink->data);
}

void segment_log_inspect_segment(struct disk *disk, const char *path,
                                 const struct inspect_sink *sink)
{
    struct inspection inspection = {.sink = sink, .path = path};
    int error = disk_open(disk, path, DISK_READ, &inspection.file);
    if (!error) error = disk_size(inspection.file, &inspection.file_bytes);
    if (error) {
        told(&inspection, 0, "opening the file failed");
        disk_close(inspection.file);
        return;
    }
    sink->number(sink->data, "bytes", inspection.file_bytes);
    inspect_header(&inspection);
    if (inspection.has_header) {
        inspect_marks(&inspection);
        inspect_entries(&inspection);
        inspect_footer(&inspection);
    }
    disk_close(inspection.file);
}
