/* Changes that are not finished: leaders of groups report them, the leader of meta knows them all. */
#ifndef BROKER_NODE_CHANGES_H
#define BROKER_NODE_CHANGES_H

struct group;
struct node;
struct node_request;
struct peer_frame;
struct raft_view;
struct reconfigure_plan;
struct reconfigure_wish;

/* The report of a group's leader. On who does not lead meta it is dropped. */
void changes__received(struct node *node, const struct peer_frame *frame);
void changes__answer(struct node_request *request); /* on the leader of meta */
void changes__prune(struct node *node);
void changes__free(struct node *node);
/* Tell the leader of meta how the change of this group stands. */
void changes__report(struct group *group, const struct raft_view *view,
                     const struct reconfigure_wish *wish, const struct reconfigure_plan *plan);

#endif
