/* Writing again what the bytes in front of a closed segment's records said: header and marks. The log knows it, or the files
 * beside it told. */
#ifndef SEGMENT_LOG_MEND_H
#define SEGMENT_LOG_MEND_H

#include "mark.h"

struct mend {
    const struct segment_header *header;
    uint64_t end_pos; /* of the records */
    struct segment_log_point end;
};

/* Write those of the three blocks that do not say so, and sync. *ret_blocks: how many. 0 or a negative errno. */
int mend__closed_segment(struct disk *disk, const char *path, const struct mend *mend,
                         uint32_t *ret_blocks);

/* The same of the last segment, whose records end where `mend` says, durable: its marks do not say "continued". */
int mend__last_segment(struct segment_writer *writer, const struct mend *mend,
                       struct sync_count *count, uint32_t *ret_blocks);

/* Make the file of a closed segment without entries, and sync it and its name. What may be left of it after a crash is
 * never a segment that says it was the last. */
int mend__make_empty(struct disk *disk, const char *directory, const struct segment_header *header);

#endif
