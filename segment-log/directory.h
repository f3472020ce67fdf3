/* Names in a data directory that no node made. */
#ifndef SEGMENT_LOG_DIRECTORY_H
#define SEGMENT_LOG_DIRECTORY_H

#include <segment_log/node_store.h>

/* Every new file system of the ext family has it. */
#define DIRECTORY_LOST_FOUND "lost+found"

/* A repair of the file system has put something in there, which may be a node's. Of one that may not be looked into only its
 * directories tell. 1, 0 or a negative errno. */
int directory__lost_found_is_used(struct disk *disk, const char *directory);

#endif
