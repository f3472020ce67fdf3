/* What a replica that knows of damage in its log does not do (PROTOCOL D3, D5, D7). */
#ifndef BROKER_NODE_DAMAGED_H
#define BROKER_NODE_DAMAGED_H

#include <stdbool.h>

struct group;
struct raft_message;

/* It has to be whole first: a leader takes nothing new, others take no leadership (D5). What nobody can repair, and its
 * state does not need, holds nothing back (D7). */
bool damaged__holds_back(const struct group *group);
/* An APPEND that touches what is damaged: answered so, and not taken (D3). */
bool damaged__refuses(struct group *group, const struct raft_message *append);
/* Whether it is damaged, or is so no more: told to the core; a leader offers its place. Cheap when nothing is. */
void damaged__run(struct group *group);
/* True: the replica goes, to be made again, for nobody mends what its state needs, and a majority is without it (M5). The lists
 * of groups are not what they were then. */
bool damaged__make_again_if_hopeless(struct group *group);

#endif
