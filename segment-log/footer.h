/* The footer of a sealed segment: what a start needs to know of it without reading its records (PROTOCOL L8, L9).
 *
 *     end position of the records, rounded up to 4096
 *        sparse index    points from which records can be read, chain included; zeros up to 4096
 *        facts           term changes, then CONFIG entries with their payloads; zeros up to 4096
 *        trailer         4096 bytes, the last ones of the file
 *
 * Each of the three has a checksum of its own, so that opening a log reads trailer and facts and leaves the index where
 * it is until somebody looks for a place in the segment. A footer that does not check out, or that is not about what the
 * header and the newest mark say, is none: the records are walked instead, and it is written again.
 *
 * It proves nothing about the bytes of the records: those are checked when they are read, and by the scrubber. */
#ifndef SEGMENT_LOG_FOOTER_H
#define SEGMENT_LOG_FOOTER_H

#include "segment.h"

/* A segment has at most so many points, whatever its size; and facts beyond this are not written down: it then has no
 * footer. Millions of terms in one segment are no log that anybody runs. */
#define FOOTER_POINTS_MAX      1024u
#define FOOTER_FACTS_BYTES_MAX (4u * 1024u * 1024u)

struct footer_point {
    struct segment_point point;
    int64_t max_message_time_ms; /* of the messages in front of it */
};

struct footer_term {
    uint64_t first_index, term;
};

struct footer_configuration {
    uint64_t index;
    const uint8_t *payload; /* borrowed from the facts */
    uint32_t payload_bytes;
};

enum footer_status {
    FOOTER_OK,
    FOOTER_NONE,    /* the file does not end with one */
    FOOTER_BAD,     /* it ends with one that is damaged */
    FOOTER_VERSION, /* whole, but of another version: as good as none */
    FOOTER_IO,
};

/* ---- reading ---------------------------------------------------------------------------------------- */

/* Trailer of a file of `file_bytes`. FOOTER_IO sets *ret_error. */
enum footer_status footer__read(struct disk_file *file, uint64_t group_seed, uint64_t file_bytes,
                                struct segment_footer *ret_footer, int *ret_error);
/* It is about this segment, and about its records up to where the mark says that they end. */
bool footer__matches(const struct segment_footer *footer, const struct segment_header *header,
                     const struct segment_mark *mark);

/* Have what a start relies on come from the device (PROTOCOL L9): all cached pages are dropped, behind a sync unless the segment
 * is sealed. A footer is written behind a durable segment, so there is nothing to sync that anybody misses: should the footer
 * itself be only in the cache, a power cut takes it, and the next start walks. 0 or a negative errno. */
int footer__forget_cache(struct disk_file *file, uint64_t sequence);

/* The checked facts, freed by the caller: with every field in its range, so that walking them needs no more checks.
 * FOOTER_IO also when there is no memory. */
enum footer_status footer__read_facts(struct disk_file *file, uint64_t group_seed,
                                      const struct segment_footer *footer, uint8_t **ret_facts,
                                      int *ret_error);
struct footer_term footer__term(const uint8_t *facts, uint32_t position);
/* At *at, which begins with footer__configurations_pos() and is moved on. */
size_t footer__configurations_pos(const struct segment_footer *footer);
struct footer_configuration footer__next_configuration(const uint8_t *facts, size_t *at);

/* Where the facts stand. */
uint64_t footer__facts_pos(const struct segment_footer *footer);

/* The checked sparse index: points_count of them, freed by the caller. */
enum footer_status footer__read_points(struct disk_file *file, uint64_t group_seed,
                                       const struct segment_footer *footer,
                                       struct footer_point **ret_points, int *ret_error);

/* The last of them from which `value` can be reached going forward. */
const struct segment_point *footer__find(const struct footer_point *points, uint32_t points_count,
                                         enum segment_log_key key, uint64_t value);

/* Everything about it, problems told one by one, also that the file has another hash. header and mark NULL: not known.
 * False: there is none, or none that counts. */
typedef void (*footer_problem_cb)(void *data, uint64_t pos, const char *text);
bool footer__verify(struct disk_file *file, uint64_t group_seed, uint64_t file_bytes,
                    const struct segment_header *header, const struct segment_mark *mark,
                    struct segment_footer *ret_footer, footer_problem_cb cb, void *data);

/* ---- writing ---------------------------------------------------------------------------------------- */

/* Encoded sizes. */
size_t footer__points_bytes(uint32_t points_count);
#define FOOTER_TERM_BYTES 16u
size_t footer__configuration_bytes(uint32_t payload_bytes);
void footer__encode_term(const struct footer_term *term, uint8_t *bytes);
void footer__encode_configuration(const struct footer_configuration *configuration, uint8_t *bytes);

/* Write it and make it the end of the file. Positions, counts of bytes and checksums in *footer are filled in. Durable with
 * the next sync; a crash before leaves a footer or none. 0 or a negative errno. */
int footer__write(struct disk_file *file, uint64_t group_seed, struct segment_footer *footer,
                  const struct footer_point *points, const uint8_t *facts);

#endif
