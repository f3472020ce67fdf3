/* Entries as parts of a frame: the bytes of a log's view, sent without a copy. */
#ifndef BROKER_NODE_ATTACHMENT_H
#define BROKER_NODE_ATTACHMENT_H

#include <broker/io.h>
#include <segment_log/segment_log.h>

/* Add the parts of `view` behind `count` others, and return the new count; `parts` has room. The view is moved: it is
 * released when the last of its parts is, in whatever order that happens. */
int attachment_add(struct io_buffer *parts, int count, struct segment_log_view *view);

#endif
