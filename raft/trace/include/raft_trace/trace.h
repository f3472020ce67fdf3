/* Trace events of the core as short sentences, the same in scenarios, logs and on the console. */
#ifndef RAFT_TRACE_TRACE_H
#define RAFT_TRACE_TRACE_H

#include <raft/raft.h>

#include <stddef.h>

/* Room for the longest sentence. */
#define RAFT_TRACE_SENTENCE_BYTES_MAX 256u

/* Write the sentence for `trace`, an event of node `self`, without a newline: "n2 leads term 2 with 2 of 3 votes".
 *
 * buffer   buffer_bytes >= 1; always terminated, cut when too small.
 *
 * Returns the length of the whole sentence, as snprintf does. */
size_t raft_trace_format(char *buffer, size_t buffer_bytes, raft_node_id self,
                         const struct raft_trace *trace);

#endif
