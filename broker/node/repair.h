/* Mending the log of a replica whose disk lost entries (PROTOCOL D4). */
#ifndef BROKER_NODE_REPAIR_H
#define BROKER_NODE_REPAIR_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

struct group;
struct node;
struct peer_frame;

/* Whatever is next to make the log whole. Cheap when it is. */
void repair__run(struct group *group);
/* A REPAIR frame of a peer: a request, or the answer to this node's. */
void repair__frame(struct node *node, const struct peer_frame *frame);
void repair__free(struct group *group);
/* Its log has holes. */
bool repair__is_needed(const struct group *group);
/* Every hole was tried, with everybody who answers, since it was found. */
bool repair__was_tried(const struct group *group);
/* And it is damaged everywhere: to wait for somebody would be in vain. */
bool repair__is_lost(const struct group *group);
/* What it needs, for its state or for messages that are kept, is refused by a leader that is whole and has had a majority without it
 * for a while. */
bool repair__is_hopeless(const struct group *group);
/* Messages that others keep are damaged here, and nobody can mend them: entries in front of them are gone everywhere. */
bool repair__lacks_messages(const struct group *group);
/* That node said, lately, that it cannot give what is wanted. */
bool repair__was_refused_by(const struct group *group, uint64_t node_id);
/* What is lost and why it is not repaired yet, for people. */
void repair__describe(const struct group *group, char *text, size_t bytes);
/* Who could not give it, and why; after repair__was_tried(). */
void repair__describe_stuck(const struct group *group, char *text, size_t bytes);

#endif
