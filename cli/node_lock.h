/* Whether a node runs on a data directory, asked from outside. */
#ifndef CLI_NODE_LOCK_H
#define CLI_NODE_LOCK_H

#include <stdbool.h>
#include <stddef.h>

/* Is `path` a data directory, or something in one, whose LOCK a node holds? Then ret_directory, of so many bytes, names it.
 * Nothing is written; a path that cannot be looked at is of no node. */
bool node_lock_is_held(const char *path, char *ret_directory, size_t directory_bytes);

#endif
