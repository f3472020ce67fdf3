/* Reading one segment offline: walk.c for those who look at a single file. */
#ifndef SEGMENT_LOG_WALK_H
#define SEGMENT_LOG_WALK_H

#include "segment_format.h"

/* Every record and every problem of the file, behind header->base; mark NULL: none is valid. */
void walk__records(struct disk_file *file, const char *path, const struct segment_header *header,
                   const struct segment_mark *mark, uint64_t file_bytes, segment_log_walk_cb cb,
                   void *data);

#endif
