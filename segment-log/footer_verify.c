/* Judging a footer for people: where recovery says "none" and goes on, this says what is wrong with it and where. It also reads the
 * records once more and compares their hash, which nobody does at a start. */
#include "footer.h"

#include "scan.h"

#include "bytes.h"
#include "mark.h"

#include <stdlib.h>
#include <string.h>

struct verification {
    struct disk_file *file;
    footer_problem_cb cb;
    void *data;
    bool good;
};

static void told(struct verification *verification, uint64_t pos, const char *text)
{
    verification->good = false;
    verification->cb(verification->data, pos, text);
}

/* Of the header block, then of the records, one behind the other. False: out of memory, or they cannot be followed, which
 * whoever reads them tells. */
static bool hash_file(const struct verification *verification, uint64_t group_seed,
                      const struct segment_footer *footer, uint64_t *ret_hash)
{
    uint8_t block[SEGMENT_BLOCK_BYTES] = {0};
    struct checksum_stream *hash = checksum_stream_create(0);
    bool good =
        hash && disk_pread(verification->file, block, sizeof block, 0) == (ssize_t)sizeof block;
    if (good) checksum_stream_add(hash, block, sizeof block);
    struct segment_scan scan;
    scan__init(&scan, verification->file, group_seed, footer->sector_bytes, &footer->base,
               SEGMENT_DATA_POS, footer->end_pos);
    while (good && scan.at.index < footer->last.index) {
        struct segment_scan_record record;
        good = scan__next(&scan, &record) == SEGMENT_SCAN_RECORD;
        if (good) checksum_stream_add(hash, record.bytes, record.bytes_count);
    }
    scan__close(&scan);
    if (good) *ret_hash = checksum_stream_value(hash);
    checksum_stream_destroy(hash);
    return good;
}

static void verify_sections(struct verification *verification, uint64_t group_seed,
                            const struct segment_footer *footer)
{
    int error;
    uint8_t *facts = NULL;
    struct footer_point *points = NULL;
    if (footer__read_facts(verification->file, group_seed, footer, &facts, &error) != FOOTER_OK) {
        told(verification, footer__facts_pos(footer), "the facts of the footer are damaged");
    }
    if (footer__read_points(verification->file, group_seed, footer, &points, &error) != FOOTER_OK) {
        told(verification, footer->first_pos, "the sparse index of the footer is damaged");
    }
    free(facts);
    free(points);
}

/* What recovery or a truncation writes at the next sector behind the entries (writer__spoil) counts as zeros. */
static void forgive_spoiled(uint8_t block[SEGMENT_BLOCK_BYTES])
{
    uint8_t spoiled[SEGMENT_SPOILED_BYTES];
    memset(spoiled, SEGMENT_SPOILED_BYTE, sizeof spoiled);
    if (memcmp(block, spoiled, sizeof spoiled) == 0) memset(block, 0, sizeof spoiled);
}

/* No trailer: fine where nothing but zeros follows the entries. */
static void verify_absence(struct verification *verification, const struct segment_mark *mark,
                           uint64_t file_bytes)
{
    if (!mark || !mark->continued) return;
    uint64_t pos = align_up(mark->end_pos, SEGMENT_BLOCK_BYTES);
    uint8_t block[SEGMENT_BLOCK_BYTES] = {0};
    for (; pos < file_bytes; pos += sizeof block) {
        ssize_t got = disk_pread(verification->file, block, sizeof block, pos);
        if (got <= 0) {
            told(verification, pos, "reading behind the entries failed");
            return;
        }
        if (pos < mark->end_pos + SEGMENT_BLOCK_BYTES) forgive_spoiled(block);
        if (bytes_are_zero(block, (size_t)got)) continue;
        told(verification, pos, "behind the entries stands neither a footer nor zeros");
        return;
    }
}

bool footer__verify(struct disk_file *file, uint64_t group_seed, uint64_t file_bytes,
                    const struct segment_header *header, const struct segment_mark *mark,
                    struct segment_footer *ret_footer, footer_problem_cb cb, void *data)
{
    struct verification verification = {.file = file, .cb = cb, .data = data, .good = true};
    const uint64_t trailer_pos =
        file_bytes < SEGMENT_BLOCK_BYTES ? 0 : file_bytes - SEGMENT_BLOCK_BYTES;
    int error = 0;
    switch (footer__read(file, group_seed, file_bytes, ret_footer, &error)) {
    case FOOTER_OK:
        break;
    case FOOTER_NONE:
        verify_absence(&verification, mark, file_bytes);
        return false;
    case FOOTER_BAD:
        told(&verification, trailer_pos, "the trailer of the footer is damaged");
        return false;
    case FOOTER_VERSION:
        told(&verification, trailer_pos, "the footer is of another format version");
        return false;
    case FOOTER_IO:
        told(&verification, trailer_pos, "reading the footer failed");
        return false;
    }
    if (header && mark && !footer__matches(ret_footer, header, mark)) {
        told(&verification, trailer_pos, "the footer is not about what header and mark say");
        return false;
    }
    verify_sections(&verification, group_seed, ret_footer);
    uint64_t hash;
    if (!hash_file(&verification, group_seed, ret_footer, &hash) || hash != ret_footer->file_hash) {
        told(&verification, 0, "the file has another hash than its footer says");
    }
    return true;
}
