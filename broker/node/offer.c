#include "offer.h"

#include "group.h"
#include "internal.h"
#include "perform.h"

#include <inttypes.h>

/* The next voter behind the last one that was asked; 0: there is none to ask. */
static raft_node_id next_voter(struct group *group)
{
    const struct raft_configuration *configuration = raft_configuration_of(group->raft);
    const struct node *node = group->node;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const uint32_t at = (group->offers_count + i) % configuration->members_count;
        const struct raft_member *member = &configuration->members[at];
        if (!member->voter || member->id.node == node->identity.node_id) continue;
        if (!peer_is_up(node->hub, member->id.node, PEER_BULK)) continue;
        group->offers_count = at + 1u;
        return member->id.node;
    }
    return 0;
}

void offer__to_next(struct group *group, uint64_t every_us, const char *why)
{
    struct node *node = group->node;
    const uint64_t now_us = io_now_us(node->io);
    if (group->role != RAFT_LEADER || now_us - group->offered_us < every_us) return;
    group->offered_us = now_us;
    struct raft_event event = {.type = RAFT_EVENT_TRANSFER, .node = next_voter(group)};
    if (event.node == 0) return;
    if (group__step(group, &event) != RAFT_OK) return;
    node__log(node, "info", "event=\"%s, offering leadership\" group=%" PRIu64 " to=%" PRIu64, why,
              group->id, event.node);
}
