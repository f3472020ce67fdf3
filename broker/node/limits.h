/* How much a node takes on: sizes of its tables, and bounds of what it holds, reads and sends at once. */
#ifndef BROKER_NODE_LIMITS_H
#define BROKER_NODE_LIMITS_H

#include <segment_log/node_store.h>

#define NODE_GROUPS_HASH     256u
#define NODE_PROXIED_BUCKETS 256u
#define NODE_HELD_MAX        256u /* messages of a group that wait for the store */
#define NODE_ASKS_MAX        64u /* READ events in flight per group; the core takes RAFT_READS_MAX */
#define NODE_FETCH_BYTES_MAX \
    (8u * 1024u * 1024u)                      /* of one answer; a larger batch is answered alone */
#define NODE_APPEND_BYTES_MAX (1024u * 1024u) /* entries in one APPEND frame */
#define NODE_BULK_QUEUE_BYTES_MAX \
    (8u * 1024u * 1024u) /* per peer, above it nothing more is handed over */
#define NODE_UNFLUSHED_BYTES_MAX \
    (64u * 1024u * 1024u) /* per log, above it appends wait or are refused */
#define NODE_REPLICAS_MAX       (NODE_STORE_GROUPS_MAX / 2u) /* of partitions, per node */
#define NODE_PROPOSALS_MAX      1024u                        /* entries in one proposal */
#define NODE_REQUEST_TIMEOUT_MS 10000u
#define NODE_MAINTENANCE_US     25000u
#define NODE_MARK_IDLE_US       20000u /* PROTOCOL L5 */
#define NODE_TRAIL_RUNS_MAX     65536u
#define NODE_LOG_LINE_BYTES     512u

#define GROUP_BASES_MAX         32u /* that a replica keeps ... */
#define GROUP_BASES_ROOM        64u /* ... and finds at a start, where crashes left some that were to go */
#define META_BASES_MAX          2u
#define RETENTION_PAYLOAD_BYTES 32u
#define NODE_BASE_SENDS_MAX     4u /* of all groups */
#define NODE_BASE_RECEIVES_MAX  4u
#define NODE_REPAIRS_MAX        4u /* sessions at once, of all groups */
#define NODE_REPAIR_SERVES_MAX  4u /* answers that are being read, for all peers */

#endif
