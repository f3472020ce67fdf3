/* Members whose disk lies about syncs (PROTOCOL D8). */
#ifndef BROKER_NODE_REGRESS_H
#define BROKER_NODE_REGRESS_H

struct group;
struct raft_message;

struct raft_message;
void regress__replied(struct group *group,
                      const struct raft_message *reply); /* an APPEND_REPLY came, and was stepped */

#endif
