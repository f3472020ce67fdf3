/* What tests do to a node's inside, where no request of a client does it. */
#ifndef SIMULATOR_NODE_POKE_H
#define SIMULATOR_NODE_POKE_H

#include <broker/join_codec.h>
#include <broker/node.h>
#include <broker/raft_codec.h>
#include <raft/raft.h>

/* Make `target` the configuration of the group, as RAFT_EVENT_CONFIGURE says. */
enum raft_status poke_configure(struct node *node, uint64_t group,
                                const struct raft_configuration *target);

/* From now on the node leaves the partitions that it comes to lead as they are, though another configuration is wished. */
void poke_hold_changes(struct node *node);
enum raft_status poke_transfer(struct node *node, uint64_t group, uint64_t to);
/* A question that node `from` passes on comes now. */
void poke_join(struct node *node, uint64_t from, const struct join_question *question);
/* An answer that node `from` gave comes now. */
void poke_join_answer(struct node *node, uint64_t from, const struct join_answer *answer);
/* The node sends that frame to another one, whatever is in it; false: it cannot now. */
bool poke_send(struct node *node, uint64_t to, enum peer_frame_type type, const uint8_t *body,
               size_t bytes);
/* The body of a REQUEST that node `from` sent comes now. */
void poke_request(struct node *node, uint64_t from, const uint8_t *body, size_t bytes);
/* A founding that node `from` told before, on a connection that is gone, comes now. */
void poke_founding(struct node *node, uint64_t from, const struct founding *founding);
/* A Raft message without entries comes now. */
void poke_message(struct node *node, const struct raft_message *message);
/* An answer to whoever asks for chains (PROTOCOL D6) comes now from that replica: what it has at this entry. */
void poke_chain(struct node *node, uint64_t group, const struct raft_replica_id *from,
                uint64_t index, uint64_t term, uint64_t chain);
/* The node did not hear, or has forgotten, who leads the group. */
void poke_forget_leader(struct node *node, uint64_t group);
/* Make a base of what the log holds now; the leader of a partition trims it up to the one before. */
void poke_make_base(struct node *node, uint64_t group);
/* A majority of the voters has another chain (PROTOCOL D6). */
void poke_quarantine(struct node *node, uint64_t group);
/* The log begins now to drop what stands in front of its newest base. False: there is none, or something is in the way. */
bool poke_drop_prefix(struct node *node, uint64_t group);

#endif
