/* What stands in a snapshot file (segment_log/inspect.h): its header, its pairs, and what is wrong with it. */
#ifndef SNAPSHOT_INSPECT_H
#define SNAPSHOT_INSPECT_H

#include <segment_log/inspect.h>

/* with_pairs: also every key and value, in hex; only of a file that is whole. */
void snapshot_inspect(struct disk *disk, const char *path, bool with_pairs,
                      const struct inspect_sink *sink);

#endif
