/* The messages of a log's entries, for whoever has only the files of a node. */
#ifndef CLI_LOG_MESSAGES_H
#define CLI_LOG_MESSAGES_H

#include <segment_log/segment_log.h>

/* Print each message of an entry to stdout as a line of JSON; nothing of entries without messages. NULL, or why no more of them can
 * be read: a compressed batch is not looked into before it is stored. */
const char *log_print_messages(const struct segment_log_walk_item *item);

#endif
