/* Members whose disk lies about syncs (PROTOCOL D8): what they acknowledged they lack after a power cut.
 *
 * A leader hears of it when a member refuses an APPEND at an entry that it said to have durably. An answer that was on its
 * way for long may say that, too, so it is believed when it comes twice with no ack between. To believe it wrongly costs
 * nothing but to ask again. */
#include "regress.h"

#include "group.h"
#include "internal.h"
#include "perform.h"

#include <planted/planted.h>

#include <inttypes.h>

static bool match_of(struct group *group, const struct raft_replica_id *id, raft_index *ret_match)
{
    struct raft_view view;
    raft_view(group->raft, io_now_ms(group->node->io), &view);
    for (uint32_t i = 0; i < view.members_count; i++) {
        if (view.members[i].id.node != id->node || view.members[i].id.epoch != id->epoch) continue;
        *ret_match = view.members[i].match;
        return true;
    }
    return false;
}

/* Its place among those that refused once, or a free one. */
static uint64_t *slot_of(struct group *group, uint64_t node_id)
{
    uint64_t *free_slot = NULL;
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        if (group->regressing[i] == node_id) return &group->regressing[i];
        if (group->regressing[i] == 0) free_slot = &group->regressing[i];
    }
    return free_slot;
}

static void regressed(struct group *group, const struct raft_message *reply, raft_index match)
{
    struct node *node = group->node;
    group->counters.regressions++;
    node__log(node, "error",
              "event=\"a replica lacks what it acknowledged: its disk lies about syncs, it counts "
              "for nothing until it is caught up\" group=%" PRIu64 " at=%" PRIu64
              " acknowledged=%" PRIu64 " has=%" PRIu64,
              group->id, reply->from.node, match, reply->append_reply.hint_index);
    struct raft_event event = {.type = RAFT_EVENT_REGRESSED};
    event.regressed.of = reply->from;
    event.regressed.hint_index = reply->append_reply.hint_index;
    event.regressed.hint_term = reply->append_reply.hint_term;
    if (PLANTED(D8_REGRESSION_IS_IGNORED)) return;
    (void)group__step(group, &event);
}

void regress__replied(struct group *group, const struct raft_message *reply)
{
    if (group->role != RAFT_LEADER || reply->term != group->term) return;
    uint64_t *slot = slot_of(group, reply->from.node);
    if (!slot) return;
    if (reply->refusal == RAFT_REFUSED_NOT) {
        if (*slot == reply->from.node) *slot = 0;
        return;
    }
    if (reply->refusal != RAFT_REFUSED_LOG_GAP && reply->refusal != RAFT_REFUSED_LOG_CONFLICT) {
        return;
    }
    raft_index match = 0;
    if (!match_of(group, &reply->from, &match)) return;
    if (reply->append_reply.request_index > match) return; /* nothing that it said to have */
    if (*slot != reply->from.node) {
        *slot = reply->from.node;
        return;
    }
    *slot = 0;
    regressed(group, reply, match);
}
