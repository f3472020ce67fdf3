#include "poke.h"

/* With peek.c the only test file that knows the private structs of broker/node. */
#include "internal.h"

enum raft_status poke_configure(struct node *node, uint64_t group_id,
                                const struct raft_configuration *target)
{
    struct group *group = node__group(node, group_id);
    if (!group) return RAFT_NOT_LEADER;
    struct raft_event event = {.type = RAFT_EVENT_CONFIGURE};
    event.configure.target = target;
    return group__step(group, &event);
}

void poke_hold_changes(struct node *node)
{
    node->wish_barrier_running = true; /* and never ends */
}

void poke_make_base(struct node *node, uint64_t group_id)
{
    struct group *group = node__group(node, group_id);
    if (!group) return;
    group->drops_prefix = true;
    base__begin(group);
}

enum raft_status poke_transfer(struct node *node, uint64_t group_id, uint64_t to)
{
    struct group *group = node__group(node, group_id);
    if (!group) return RAFT_NOT_LEADER;
    struct raft_event event = {.type = RAFT_EVENT_TRANSFER, .node = to};
    return group__step(group, &event);
}
