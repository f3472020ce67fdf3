/* The barrier in front of linearizable reads (ReadIndex, PROTOCOL R), on leader and followers alike.
 *
 *   unasked ── end of turn: one READ event for all ──> asked ── index known ──> confirmed ── applied >= index ──> answer
 *      ^                                                  │
 *      └───── PARKED: no leader, or it gave no answer <───┘
 *
 * An index covers every request that was there when the event was stepped. */
#include "barrier.h"

#include "fetch.h"
#include "group.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "perform.h"
#include "request.h"
#include "turn.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include <assert.h>

void barrier__start(struct node_request *request, struct group *group)
{
    struct request_state *state = request_state(request);
    state->group = group;
    state->index = 0;
    state->confirmed = false;
    request__move(request, STAGE_BARRIER, &group->unasked);
    node__dirty(group);
}

bool barrier__is_passed(struct node_request *request, struct group *group)
{
    if (request_state(request)->passed) return true;
    barrier__start(request, group);
    return false;
}

static void park_all(struct group *group, struct list_link *list)
{
    struct list_link *link;
    while ((link = list->next) != list) {
        request__park(request_of_state(list_entry(link, struct request_state, stage_link)), group);
    }
}

void barrier__ask(struct group *group)
{
    /* With so many in flight the leader is slow; the next answer makes room (barrier__read_state). */
    if (list_is_empty(&group->unasked) || group->asks_count == NODE_ASKS_MAX) return;
    if (group->asks_count > 0 && RARELY(BARRIER_WAITS)) return;
    const uint64_t id = group->node->next_number++;
    struct list_link *link;
    while ((link = list_pop_front(&group->unasked))) {
        list_entry(link, struct request_state, stage_link)->barrier_id = id;
        list_push_back(&group->barriers, link);
    }
    group->asks_count++;
    struct raft_event event = {.type = RAFT_EVENT_READ};
    event.read.id = id;
    if (group__step(group, &event) == RAFT_OK) return;
    assert(group->node->state == NODE_FAILED || group->asks_count < RAFT_READS_MAX);
    group->asks_count--;
    park_all(group, &group->barriers);
}

/* Called while an update is performed: only notes the index; the rest happens at the end of the turn. Reads end in the
 * order in which they were asked for, so what belongs to this one stands at the front. */
void barrier__read_state(struct group *group, const struct raft_read *read)
{
    assert(group->asks_count > 0);
    group->asks_count--;
    while (!list_is_empty(&group->barriers)) {
        struct request_state *state =
            list_entry(group->barriers.next, struct request_state, stage_link);
        if (state->barrier_id != read->id) break;
        if (read->refusal == RAFT_REFUSED_NOT) {
            /* An index of 0 cannot be: the leader's own-term no-op is committed before any answer (R2). */
            assert(read->index > 0);
            state->index = read->index;
            state->confirmed = true;
            request__move(request_of_state(state), STAGE_BARRIER, &group->confirmed);
        } else {
            request__park(request_of_state(state), group);
        }
    }
    node__dirty(group);
}

/* Read indexes never fall, so the first one that is not reached holds back nothing that is. */
void barrier__applied(struct group *group)
{
    while (!list_is_empty(&group->confirmed)) {
        struct request_state *state =
            list_entry(group->confirmed.next, struct request_state, stage_link);
        if (state->index > group->applied_index && !PLANTED(R3_ANSWERS_BEFORE_APPLIED)) return;
        list_remove(&state->stage_link);
        fetch__behind_barrier(request_of_state(state), group);
        if (group->node->state == NODE_FAILED || group->dropping) return;
    }
}
