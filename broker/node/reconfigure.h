/* The driver of changes: on the leader of a group, it makes the group what is wished (PROTOCOL C1, M3, M5, M9). */
#ifndef BROKER_NODE_RECONFIGURE_H
#define BROKER_NODE_RECONFIGURE_H

#include <broker/node.h>
#include <raft/raft.h>

struct group;
struct node;

/* What a group is to be. */
struct reconfigure_wish {
    struct raft_configuration target;
    uint64_t index;   /* partitions: of the meta entry that made the wish */
    bool is_recorded; /* meta knows that the group is the wish; group 0: no node leaves */
};

/* What the leader finds that is to be done. */
struct reconfigure_plan {
    enum node_change_state state;
    bool acts;       /* ask the core for `target` */
    bool is_reached; /* the group is what is wished, and that is committed */
    struct raft_configuration target;
    char blocked[NODE_STATUS_TEXT_BYTES]; /* who or what is waited for; "" = nobody */
};

/* False: this node does not lead the group, or there is no wish for it. */
bool reconfigure__look(struct group *group, struct raft_view *view, struct reconfigure_wish *wish,
                       struct reconfigure_plan *plan);

/* From time to time: the first thing that is due, of each group that this node leads. */
void reconfigure__run(struct node *node);
void reconfigure__elected(struct group *group); /* this replica leads now */

#endif
