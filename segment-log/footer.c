#include "footer.h"

#include <planted/planted.h>

#include "bytes.h"
#include "mark.h"
#include "stretch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define TRAILER_MAGIC 0x46514d52u /* "RMQF" */
#define VERSION       1u

enum {
    POS_VERSION = 4,
    POS_FLAGS = 6,
    POS_CHECKSUM = 8,
    POS_BODY = 16,
    POS_SEQUENCE = 16,
    POS_FIRST_POS = 24,
    POS_END_POS = 32,
    POS_FILE_HASH = 40,
    POS_LAST = 48,
    POS_BASE = 88,
    POS_SECTOR_BYTES = 128,
    POS_POINT_BYTES = 132,
    POS_MESSAGE_TIME = 136,
    POS_POINTS_COUNT = 144,
    POS_FACTS_BYTES = 148,
    POS_TERMS_COUNT = 152,
    POS_CONFIGURATIONS_COUNT = 156,
    POS_POINTS_CHECKSUM = 160,
    POS_FACTS_CHECKSUM = 168,
    POS_END = 176, /* zeros from here on */
};

#define POINT_BYTES                56u
#define CONFIGURATION_HEADER_BYTES 16u

static uint64_t block_aligned(uint64_t bytes)
{
    return align_up(bytes, SEGMENT_BLOCK_BYTES);
}

size_t footer__points_bytes(uint32_t points_count)
{
    return (size_t)points_count * POINT_BYTES;
}

/* The index, term, chain, next offset and timestamp of a state, as the marks have them. */
static void put_point(uint8_t *bytes, const struct segment_log_point *point)
{
    put_u64(bytes, point->index);
    put_u64(bytes + 8, point->term);
    put_u64(bytes + 16, point->chain);
    put_u64(bytes + 24, point->next_offset);
    put_u64(bytes + 32, (uint64_t)point->timestamp_ms);
}

static struct segment_log_point get_point(const uint8_t *bytes)
{
    return (struct segment_log_point){
        .index = get_u64(bytes),
        .term = get_u64(bytes + 8),
        .chain = get_u64(bytes + 16),
        .next_offset = get_u64(bytes + 24),
        .timestamp_ms = (int64_t)get_u64(bytes + 32),
    };
}

/* ---- the trailer ------------------------------------------------------------------------------------ */

static uint64_t trailer_checksum(const uint8_t trailer[SEGMENT_BLOCK_BYTES], uint64_t seed)
{
    const struct iovec parts[] = {
        {.iov_base = (void *)(uintptr_t)trailer, .iov_len = POS_CHECKSUM},
        {.iov_base = (void *)(uintptr_t)(trailer + POS_BODY),
         .iov_len = SEGMENT_BLOCK_BYTES - POS_BODY},
    };
    return checksum64_parts(parts, 2, seed);
}

static void encode_trailer(const struct segment_footer *footer, uint64_t seed,
                           uint8_t trailer[SEGMENT_BLOCK_BYTES])
{
    memset(trailer, 0, SEGMENT_BLOCK_BYTES);
    put_u32(trailer, TRAILER_MAGIC);
    put_u16(trailer + POS_VERSION, VERSION);
    put_u64(trailer + POS_SEQUENCE, footer->sequence);
    put_u64(trailer + POS_FIRST_POS, footer->first_pos);
    put_u64(trailer + POS_END_POS, footer->end_pos);
    put_u64(trailer + POS_FILE_HASH, footer->file_hash);
    put_point(trailer + POS_LAST, &footer->last);
    put_point(trailer + POS_BASE, &footer->base);
    put_u32(trailer + POS_SECTOR_BYTES, footer->sector_bytes);
    put_u32(trailer + POS_POINT_BYTES, POINT_BYTES);
    put_u64(trailer + POS_MESSAGE_TIME, (uint64_t)footer->max_message_time_ms);
    put_u32(trailer + POS_POINTS_COUNT, footer->points_count);
    put_u32(trailer + POS_FACTS_BYTES, footer->facts_bytes);
    put_u32(trailer + POS_TERMS_COUNT, footer->terms_count);
    put_u32(trailer + POS_CONFIGURATIONS_COUNT, footer->configurations_count);
    put_u64(trailer + POS_POINTS_CHECKSUM, footer->points_checksum);
    put_u64(trailer + POS_FACTS_CHECKSUM, footer->facts_checksum);
    put_u64(trailer + POS_CHECKSUM, trailer_checksum(trailer, seed));
}

static struct segment_footer get_footer(const uint8_t trailer[SEGMENT_BLOCK_BYTES])
{
    return (struct segment_footer){
        .sequence = get_u64(trailer + POS_SEQUENCE),
        .sector_bytes = get_u32(trailer + POS_SECTOR_BYTES),
        .first_pos = get_u64(trailer + POS_FIRST_POS),
        .end_pos = get_u64(trailer + POS_END_POS),
        .file_hash = get_u64(trailer + POS_FILE_HASH),
        .base = get_point(trailer + POS_BASE),
        .last = get_point(trailer + POS_LAST),
        .max_message_time_ms = (int64_t)get_u64(trailer + POS_MESSAGE_TIME),
        .points_count = get_u32(trailer + POS_POINTS_COUNT),
        .points_checksum = get_u64(trailer + POS_POINTS_CHECKSUM),
        .facts_bytes = get_u32(trailer + POS_FACTS_BYTES),
        .terms_count = get_u32(trailer + POS_TERMS_COUNT),
        .configurations_count = get_u32(trailer + POS_CONFIGURATIONS_COUNT),
        .facts_checksum = get_u64(trailer + POS_FACTS_CHECKSUM),
    };
}

/* Positions and counts agree with each other and with the size of the file. */
static bool is_consistent(const struct segment_footer *footer, uint64_t file_bytes)
{
    if (footer->points_count == 0 || footer->points_count > FOOTER_POINTS_MAX) return false;
    if (footer->facts_bytes > FOOTER_FACTS_BYTES_MAX) return false;
    if (footer->terms_count > footer->facts_bytes / FOOTER_TERM_BYTES) return false;
    if (footer->end_pos < SEGMENT_DATA_POS || footer->end_pos > file_bytes) return false;
    if (footer->first_pos != block_aligned(footer->end_pos)) return false;
    if (footer->last.index < footer->base.index) return false;
    return footer->first_pos + block_aligned(footer__points_bytes(footer->points_count)) +
               block_aligned(footer->facts_bytes) + SEGMENT_BLOCK_BYTES ==
           file_bytes;
}

enum footer_status footer__read(struct disk_file *file, uint64_t group_seed, uint64_t file_bytes,
                                struct segment_footer *ret_footer, int *ret_error)
{
    if (file_bytes < SEGMENT_DATA_POS + SEGMENT_BLOCK_BYTES) return FOOTER_NONE;
    if (file_bytes % SEGMENT_BLOCK_BYTES != 0) return FOOTER_NONE;
    /* With the block in front of it, which mostly holds all facts: they are asked for next, and one read of the device is
     * cheaper than two. */
    uint8_t blocks[2 * SEGMENT_BLOCK_BYTES] = {0};
    const uint8_t *trailer = blocks + SEGMENT_BLOCK_BYTES;
    ssize_t got = disk_pread(file, blocks, sizeof blocks, file_bytes - sizeof blocks);
    if (got < 0) {
        *ret_error = (int)got;
        return FOOTER_IO;
    }
    if (get_u64(trailer + POS_CHECKSUM) != trailer_checksum(trailer, group_seed) &&
        !PLANTED(L8_FOOTER_IS_BELIEVED_UNCHECKED)) {
        return get_u32(trailer) == TRAILER_MAGIC ? FOOTER_BAD : FOOTER_NONE;
    }
    if (get_u32(trailer) != TRAILER_MAGIC) return FOOTER_NONE;
    if (get_u16(trailer + POS_VERSION) != VERSION || get_u16(trailer + POS_FLAGS) != 0 ||
        get_u32(trailer + POS_POINT_BYTES) != POINT_BYTES ||
        !bytes_are_zero(trailer + POS_END, SEGMENT_BLOCK_BYTES - POS_END)) {
        return FOOTER_VERSION;
    }
    struct segment_footer footer = get_footer(trailer);
    if (!is_consistent(&footer, file_bytes)) return FOOTER_BAD;
    *ret_footer = footer;
    return FOOTER_OK;
}

bool footer__matches(const struct segment_footer *footer, const struct segment_header *header,
                     const struct segment_mark *mark)
{
    return footer->sequence == header->sequence && footer->sector_bytes == header->sector_bytes &&
           points__are_equal(&footer->base, &header->base) && mark->continued &&
           footer->end_pos == mark->end_pos && points__are_equal(&footer->last, &mark->point);
}

static bool is_sealed(struct disk_file *file, uint64_t sequence)
{
    uint8_t block[SEGMENT_BLOCK_BYTES] = {0};
    struct segment_header header;
    if (disk_pread(file, block, sizeof block, 0) != (ssize_t)sizeof block) return false;
    if (segment_format__decode_header(block, &header) != SEGMENT_FORMAT_OK) return false;
    if (header.sequence != sequence) return false;
    const uint64_t seed = checksum64_group(&header.cluster, header.group);
    struct segment_marks marks;
    struct segment_footer footer;
    uint64_t file_bytes;
    int error;
    return marks__read(file, seed, &header, &marks) == 0 && marks.newest >= 0 &&
           disk_size(file, &file_bytes) == 0 &&
           footer__read(file, seed, file_bytes, &footer, &error) == FOOTER_OK &&
           footer__matches(&footer, &header, &marks.mark[marks.newest]);
}

int footer__forget_cache(struct disk_file *file, uint64_t sequence)
{
    disk_forget_cache(file);
    return is_sealed(file, sequence) ? 0 : disk_drop_cache(file);
}

/* ---- the sections ----------------------------------------------------------------------------------- */

/* `bytes` at `pos` and the zeros behind them, checked against `checksum`. */
static enum footer_status read_section(struct disk_file *file, uint64_t group_seed, uint64_t pos,
                                       size_t bytes, uint64_t checksum, uint8_t **ret_bytes,
                                       int *ret_error)
{
    const size_t items_bytes = bytes;
    bytes = block_aligned(bytes);
    uint8_t *buffer = malloc(bytes > 0 ? bytes : 1);
    ssize_t got = buffer ? disk_pread(file, buffer, bytes, pos) : -ENOMEM;
    if (got < 0) {
        free(buffer);
        *ret_error = (int)got;
        return FOOTER_IO;
    }
    if ((size_t)got != bytes || (checksum64_seeded(buffer, bytes, group_seed) != checksum &&
                                 !PLANTED(L8_FOOTER_IS_BELIEVED_UNCHECKED))) {
        free(buffer);
        return FOOTER_BAD;
    }
    if (!bytes_are_zero(buffer + items_bytes, bytes - items_bytes)) {
        free(buffer);
        return FOOTER_VERSION;
    }
    *ret_bytes = buffer;
    return FOOTER_OK;
}

struct footer_term footer__term(const uint8_t *facts, uint32_t position)
{
    const uint8_t *bytes = facts + (size_t)position * FOOTER_TERM_BYTES;
    return (struct footer_term){.first_index = get_u64(bytes), .term = get_u64(bytes + 8)};
}

void footer__encode_term(const struct footer_term *term, uint8_t *bytes)
{
    put_u64(bytes, term->first_index);
    put_u64(bytes + 8, term->term);
}

size_t footer__configurations_pos(const struct segment_footer *footer)
{
    return (size_t)footer->terms_count * FOOTER_TERM_BYTES;
}

size_t footer__configuration_bytes(uint32_t payload_bytes)
{
    return (size_t)align_up(CONFIGURATION_HEADER_BYTES + (uint64_t)payload_bytes, ENTRY_ALIGNMENT);
}

struct footer_configuration footer__next_configuration(const uint8_t *facts, size_t *at)
{
    const uint8_t *bytes = facts + *at;
    struct footer_configuration configuration = {
        .index = get_u64(bytes),
        .payload_bytes = get_u32(bytes + 8),
        .payload = bytes + CONFIGURATION_HEADER_BYTES,
    };
    *at += footer__configuration_bytes(configuration.payload_bytes);
    return configuration;
}

void footer__encode_configuration(const struct footer_configuration *configuration, uint8_t *bytes)
{
    memset(bytes, 0, footer__configuration_bytes(configuration->payload_bytes));
    put_u64(bytes, configuration->index);
    put_u32(bytes + 8, configuration->payload_bytes);
    if (configuration->payload_bytes == 0) return;
    memcpy(bytes + CONFIGURATION_HEADER_BYTES, configuration->payload,
           configuration->payload_bytes);
}

/* The first entry has a term, terms and indices rise, and the last term is that of the last entry. */
static bool terms_are_valid(const struct segment_footer *footer, const uint8_t *facts)
{
    if (footer->last.index == footer->base.index) return footer->terms_count == 0;
    if (footer->terms_count == 0) return false;
    struct footer_term before = {.first_index = footer->base.index, .term = 0};
    for (uint32_t i = 0; i < footer->terms_count; i++) {
        struct footer_term term = footer__term(facts, i);
        if (i == 0 ? term.first_index != footer->base.index + 1 || term.term < footer->base.term
                   : term.first_index <= before.first_index || term.term <= before.term) {
            return false;
        }
        if (term.first_index > footer->last.index) return false;
        before = term;
    }
    return before.term == footer->last.term;
}

static bool configurations_are_valid(const struct segment_footer *footer, const uint8_t *facts)
{
    size_t at = footer__configurations_pos(footer);
    uint64_t before = footer->base.index;
    for (uint32_t i = 0; i < footer->configurations_count; i++) {
        if (footer->facts_bytes - at < CONFIGURATION_HEADER_BYTES) return false;
        uint32_t payload_bytes = get_u32(facts + at + 8);
        if (footer__configuration_bytes(payload_bytes) > footer->facts_bytes - at) return false;
        const uint8_t *end = facts + at + CONFIGURATION_HEADER_BYTES + payload_bytes;
        const uint32_t zero = get_u32(facts + at + 12);
        struct footer_configuration found = footer__next_configuration(facts, &at);
        if (zero != 0 || !bytes_are_zero(end, (size_t)(facts + at - end))) return false;
        if (found.index <= before || found.index > footer->last.index) return false;
        before = found.index;
    }
    return at == footer->facts_bytes;
}

uint64_t footer__facts_pos(const struct segment_footer *footer)
{
    return footer->first_pos + block_aligned(footer__points_bytes(footer->points_count));
}

enum footer_status footer__read_facts(struct disk_file *file, uint64_t group_seed,
                                      const struct segment_footer *footer, uint8_t **ret_facts,
                                      int *ret_error)
{
    uint8_t *facts;
    enum footer_status status =
        read_section(file, group_seed, footer__facts_pos(footer), footer->facts_bytes,
                     footer->facts_checksum, &facts, ret_error);
    if (status != FOOTER_OK) return status;
    if (!terms_are_valid(footer, facts) || !configurations_are_valid(footer, facts)) {
        free(facts);
        return FOOTER_BAD;
    }
    *ret_facts = facts;
    return FOOTER_OK;
}

static struct footer_point decode_point(const uint8_t *bytes)
{
    return (struct footer_point){
        .point = {.pos = get_u64(bytes), .before = get_point(bytes + 8)},
        .max_message_time_ms = (int64_t)get_u64(bytes + 48),
    };
}

static void encode_point(const struct footer_point *point, uint8_t *bytes)
{
    put_u64(bytes, point->point.pos);
    put_point(bytes + 8, &point->point.before);
    put_u64(bytes + 48, (uint64_t)point->max_message_time_ms);
}

/* The first one is the start of the records; then places and indices rise, offsets and times do not fall. */
static bool point_follows(const struct segment_footer *footer, const struct footer_point *before,
                          const struct footer_point *point)
{
    const struct segment_log_point *state = &point->point.before;
    if (!before) {
        return point->point.pos == SEGMENT_DATA_POS && points__are_equal(state, &footer->base);
    }
    const struct segment_log_point *earlier = &before->point.before;
    return point->point.pos > before->point.pos && point->point.pos < footer->end_pos &&
           point->point.pos % ENTRY_ALIGNMENT == 0 && state->index > earlier->index &&
           state->index < footer->last.index && state->term >= earlier->term &&
           state->next_offset >= earlier->next_offset &&
           state->timestamp_ms >= earlier->timestamp_ms;
}

enum footer_status footer__read_points(struct disk_file *file, uint64_t group_seed,
                                       const struct segment_footer *footer,
                                       struct footer_point **ret_points, int *ret_error)
{
    uint8_t *bytes;
    enum footer_status status = read_section(file, group_seed, footer->first_pos,
                                             footer__points_bytes(footer->points_count),
                                             footer->points_checksum, &bytes, ret_error);
    if (status != FOOTER_OK) return status;
    struct footer_point *points = calloc(footer->points_count, sizeof *points);
    if (!points) {
        *ret_error = -ENOMEM;
        status = FOOTER_IO;
    }
    for (uint32_t i = 0; status == FOOTER_OK && i < footer->points_count; i++) {
        points[i] = decode_point(bytes + footer__points_bytes(i));
        if (!point_follows(footer, i > 0 ? &points[i - 1] : NULL, &points[i])) status = FOOTER_BAD;
    }
    free(bytes);
    if (status == FOOTER_OK) {
        *ret_points = points;
    } else {
        free(points);
    }
    return status;
}

const struct segment_point *footer__find(const struct footer_point *points, uint32_t points_count,
                                         enum segment_log_key key, uint64_t value)
{
    uint32_t low = 0, high = points_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (segment__point_precedes(&points[middle].point.before, key, value)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &points[low].point;
}

/* ---- writing ---------------------------------------------------------------------------------------- */

int footer__write(struct disk_file *file, uint64_t group_seed, struct segment_footer *footer,
                  const struct footer_point *points, const uint8_t *facts)
{
    assert(footer->points_count > 0 && footer->points_count <= FOOTER_POINTS_MAX);
    assert(footer->facts_bytes <= FOOTER_FACTS_BYTES_MAX);
    size_t points_bytes = footer__points_bytes(footer->points_count);
    uint64_t facts_pos = block_aligned(points_bytes);
    uint64_t trailer_pos = facts_pos + block_aligned(footer->facts_bytes);
    uint64_t bytes = trailer_pos + SEGMENT_BLOCK_BYTES;
    uint8_t *buffer = calloc(1, bytes);
    if (!buffer) return -ENOMEM;
    for (uint32_t i = 0; i < footer->points_count; i++) {
        encode_point(&points[i], buffer + footer__points_bytes(i));
    }
    if (footer->facts_bytes > 0) memcpy(buffer + facts_pos, facts, footer->facts_bytes);
    footer->first_pos = block_aligned(footer->end_pos);
    footer->points_checksum = checksum64_seeded(buffer, facts_pos, group_seed);
    footer->facts_checksum =
        checksum64_seeded(buffer + facts_pos, trailer_pos - facts_pos, group_seed);
    assert(is_consistent(footer, footer->first_pos + bytes));
    encode_trailer(footer, group_seed, buffer + trailer_pos);
    int error = disk_pwrite(file, buffer, bytes, footer->first_pos);
    /* The zeros that were written ahead: the trailer is found at the end of the file. */
    if (!error) error = disk_truncate(file, footer->first_pos + bytes);
    free(buffer);
    return error;
}
