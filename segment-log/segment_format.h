/* The bytes of a segment file in front of its records: a header block and two mark blocks (docs/FORMATS.md).
 *
 *        0  header block   who and where this segment is; written once, at birth
 *     4096  mark block 0   the synced mark: durable through here (PROTOCOL L5)
 *     8192  mark block 1   the same, written in turns, so that one is always whole
 *    12288  records
 *
 * A mark also carries up to SEGMENT_TAIL_BYTES_MAX bytes: the kept part of the sector in which a truncation cuts. That
 * sector is rewritten in place, the one exception from L4, and recovery restores it from the mark when the
 * rewrite was torn. */
#ifndef SEGMENT_LOG_SEGMENT_FORMAT_H
#define SEGMENT_LOG_SEGMENT_FORMAT_H

#include <segment_log/segment_log.h>

#define SEGMENT_BLOCK_BYTES    4096u
#define SEGMENT_DATA_POS       (3u * SEGMENT_BLOCK_BYTES)
#define SEGMENT_MARK_BYTES     80u
#define SEGMENT_TAIL_BYTES_MAX (SEGMENT_BLOCK_BYTES - SEGMENT_MARK_BYTES)
#define SEGMENT_SECTOR_BYTES   512u  /* the smallest */
#define SEGMENT_SECTOR_MAX     4096u /* the largest */
#define SEGMENT_NAME_BYTES     32u

struct segment_header {
    struct cluster_id cluster;
    uint64_t group;
    uint64_t sequence; /* 1, 2, ... within the group; the file is named after it */
    struct segment_log_point base;
    uint32_t sector_bytes;
    bool
        installed; /* born behind an installed base: files in front of it are of a log that was replaced */
};

struct segment_mark {
    uint64_t segment;  /* sequence of the segment it belongs to */
    uint64_t sequence; /* of the mark: the highest of the two wins */
    uint64_t end_pos;  /* durable through here */
    struct segment_log_point point;
    bool continued;      /* nothing follows in this file; the next segment goes on */
    uint32_t tail_bytes; /* kept bytes in front of end_pos, in tail[]; 0 = none */
    uint8_t tail[SEGMENT_TAIL_BYTES_MAX];
};

enum segment_format_status {
    SEGMENT_FORMAT_OK,
    SEGMENT_FORMAT_BAD,     /* no magic, or the checksum does not match */
    SEGMENT_FORMAT_VERSION, /* whole, but of another version */
};

void segment_format__encode_header(const struct segment_header *header,
                                   uint8_t block[SEGMENT_BLOCK_BYTES]);
/* The checksum is seeded by the ids in the block itself, so that a foreign header is told from a damaged one. */
enum segment_format_status segment_format__decode_header(const uint8_t block[SEGMENT_BLOCK_BYTES],
                                                         struct segment_header *ret_header);

/* Cluster and group as they stand in a header block, checked by nothing. */
struct segment_header segment_format__ids(const uint8_t block[SEGMENT_BLOCK_BYTES]);

void segment_format__encode_mark(const struct segment_mark *mark, uint64_t group_seed,
                                 uint8_t block[SEGMENT_BLOCK_BYTES]);
enum segment_format_status segment_format__decode_mark(const uint8_t block[SEGMENT_BLOCK_BYTES],
                                                       uint64_t group_seed,
                                                       struct segment_mark *ret_mark);

void segment_format__name(uint64_t sequence, char name[SEGMENT_NAME_BYTES]);
bool segment_format__parse_name(const char *name, uint64_t *ret_sequence);
/* What a repair session was writing: the name of a segment, then ".new". */
bool segment_format__is_unfinished(const char *name);
bool segment_format__path(const char *directory, uint64_t sequence, char path[DISK_PATH_MAX]);

#endif
