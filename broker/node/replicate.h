/* Raft messages to and from peers, with their entries. */
#ifndef BROKER_NODE_REPLICATE_H
#define BROKER_NODE_REPLICATE_H

#include <raft/raft.h>
#include <segment_log/segment_log.h>

struct group;
struct node;
struct peer_frame;

#define REPLICATE_UNKNOWN_BYTES 8u /* body of an UNKNOWN_GROUP frame */

struct append_cut {
    raft_node_id to;
    raft_index last;
};
/* Send one message to its receiver. For an APPEND: *ret_cut is filled in and true returned when fewer entries left
 * than it names. */
bool replicate__send(struct group *group, const struct raft_message *message,
                     struct append_cut *ret_cut);
/* Append entries first..last of the message being stepped. */
enum segment_log_status replicate__append(struct group *group, uint64_t first, uint64_t last);
/* End of turn: one frame per peer with what the groups told it. */
void replicate__flush_heartbeats(struct node *node);
/* A Raft message of a peer, or its heartbeats. Hostile bytes are counted and dropped. */
void replicate__frame(struct node *node, const struct peer_frame *frame);

#endif
