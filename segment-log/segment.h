/* What is known in memory of one segment file: where it starts and ends, and a sparse index into it. */
#ifndef SEGMENT_LOG_SEGMENT_H
#define SEGMENT_LOG_SEGMENT_H

#include "segment_format.h"

#define SEGMENT_SPARSE_BYTES 65536u    /* one point per this many bytes of records */
#define FOOTER_NO_TIME       INT64_MIN /* of no messages */

/* A place from which records can be read and their chain checked: the state in front of the record found from `pos`. */
struct segment_point {
    uint64_t pos;
    struct segment_log_point before;
    /* Behind a hole the chain in front of the record is lost. Then its own is known, and `before` has no chain, and the
     * term and time of the record itself, which those of the entry before do not exceed. */
    bool lone;
    uint64_t lone_chain;
};

struct term_run {
    uint64_t first_index;
    uint64_t term; /* 0: not known, in a hole */
};

/* What is known of the terms of a stretch of entries, whatever their records say: borrowed runs in rising order. */
struct term_trail {
    const struct term_run *runs;
    uint32_t count;
    uint64_t last_index; /* nothing is known behind it */
};

/* The last run that begins at or in front of `index`; 0 when none does. */
uint32_t term_trail__position(const struct term_trail *trail, uint64_t index);
/* 0: not known. */
uint64_t term_trail__at(const struct term_trail *trail, uint64_t index);
/* It is that term, or not known. */
bool term_trail__allows(const struct term_trail *trail, uint64_t index, uint64_t term);

/* What the trailer of a sealed segment says (footer.h). */
struct segment_footer {
    uint64_t sequence; /* of the segment */
    uint32_t sector_bytes;
    uint64_t first_pos; /* of the footer */
    uint64_t end_pos;   /* of the records */
    uint64_t file_hash; /* header block and records: not marks and gaps, which may change */
    struct segment_log_point base, last;
    int64_t
        max_message_time_ms; /* as the producers stamped them; FOOTER_NO_TIME: there are no messages */
    uint32_t points_count;
    uint64_t points_checksum;
    uint32_t facts_bytes; /* without the zeros behind them */
    uint32_t terms_count, configurations_count;
    uint64_t facts_checksum;
};

struct segment {
    uint64_t sequence;
    uint32_t sector_bytes;
    bool installed; /* born behind a base that another replica made */
    struct segment_log_point base;
    uint64_t last_index; /* last entry on disk; base.index: none */
    uint64_t end_pos;    /* end of its record */
    uint64_t file_bytes;
    /* There is no file, or nothing in it can be used: all of its entries are a hole. */
    bool missing;
    struct segment_point *points; /* points[0] is always the start of the records */
    uint32_t points_count, points_capacity;
    /* Has a footer: there is no other point in memory, the others are in the file. */
    bool sealed;
    bool footer_owed; /* it had one, which rotted: it is written again */
    bool unsealable;  /* does not check out as it is, or is of no common shape: a start walks it */
    struct segment_footer footer;
};

/* False: no memory. */
bool segment__init(struct segment *segment, const struct segment_header *header);
void segment__close(struct segment *segment);

/* Remember the place `pos`, in front of which the state is `before`, when the last point is far enough. Out of memory
 * only makes reading slower. */
void segment__add_point(struct segment *segment, uint64_t pos,
                        const struct segment_log_point *before);
/* Where reading goes on behind a hole; points stand in order. Without one what is behind the hole cannot be read: false is
 * no memory. */
bool segment__add_resume(struct segment *segment, const struct segment_point *point);
/* Forget points at or behind entry from_index. */
void segment__cut_points(struct segment *segment, uint64_t from_index);

/* It has this footer, durable. */
void segment__seal(struct segment *segment, const struct segment_footer *footer);
/* It has none that counts any more. */
void segment__unseal(struct segment *segment);

/* The last point from which `value` can be reached going forward. */
const struct segment_point *segment__find(const struct segment *segment, enum segment_log_key key,
                                          uint64_t value);
/* The state `before` does not lie behind what `value` asks for. */
bool segment__point_precedes(const struct segment_log_point *before, enum segment_log_key key,
                             uint64_t value);

#endif
