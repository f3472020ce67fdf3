/* What the driver of changes and the reports about them share. */
#ifndef BROKER_NODE_RECONFIGURE_H
#define BROKER_NODE_RECONFIGURE_H

#include "internal.h"

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

/* Tell the leader of meta how the change of this group stands. */
void changes__report(struct group *group, const struct raft_view *view,
                     const struct reconfigure_wish *wish, const struct reconfigure_plan *plan);

#endif
