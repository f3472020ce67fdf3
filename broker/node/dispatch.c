/* Which part of the node serves a request, and which node (PROTOCOL M8, P1): here, when this replica leads or may read, else
 * by proxy at the leader, else later.
 *
 * It may run several times for one request; it never continues one that may be in a log already (P4). */
#include "dispatch.h"

#include "auto_create.h"
#include "barrier.h"
#include "changes.h"
#include "damaged.h"
#include "directory.h"
#include "fetch.h"
#include "group.h"
#include "internal.h"
#include "list.h"
#include "membership.h"
#include "offsets.h"
#include "produce.h"
#include "proxy.h"
#include "registry.h"
#include "request.h"
#include "topics.h"
#include "transfer.h"

#include <planted/planted.h>
#include <rare/rare.h>

#include <assert.h>
#include <inttypes.h>

static void to_leader(struct node_request *request, uint64_t group_id)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    uint64_t term = 0;
    const uint64_t leader = directory__leader_of(node, group_id, &term);
    struct group *group = node__group(node, group_id);
    request->ret_leader = leader;
    request->ret_term = term;
    if (transfer__is_answered_by(request, leader)) return;
    if (leader == 0 && fetch__from_halted(request)) return;
    if (leader == 0 || leader == node->identity.node_id) {
        if (request->from_peer) {
            request->retry_after_ms = 50;
            request__finish(request, NODE_NO_LEADER, "n%" PRIu64 " does not lead any more",
                            node->identity.node_id);
        } else {
            request__park(request, group);
        }
        return;
    }
    if (request->from_peer || request->redirect) {
        request__finish(request, NODE_NO_LEADER, "n%" PRIu64 " leads", leader);
        return;
    }
    if (!proxy__send(request, leader)) request__park(request, group);
}

/* A missing topic or partition is believed only after a ReadIndex on meta (M8). */
static void topic_missing(struct node_request *request)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    if (!state->meta_checked && !PLANTED(M8_TOPIC_IS_MISSING_WITHOUT_BARRIER)) {
        if (node->meta_group) {
            barrier__start(request, node->meta_group);
        } else {
            request__park(request, NULL);
        }
        return;
    }
    if (request->type == NODE_REQUEST_PRODUCE && request->auto_create &&
        node->options.auto_create_topics && !request->from_peer) {
        auto_create__wait(request);
        return;
    }
    request__finish(request, NODE_TOPIC_NOT_FOUND,
                    "no topic \"%s\"; create it with `raftmq topic create %s`", request->topic,
                    request->topic);
}

static void on_partition(struct node_request *request)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    struct meta_partition partition;
    uint32_t partitions_count = 0;
    if (!meta_partition_get(&node->meta, request->topic, request->partition, &partition,
                            &state->settings, &partitions_count)) {
        if (partitions_count == 0 || !state->meta_checked) {
            topic_missing(request);
            return;
        }
        request__finish(request, NODE_PARTITION_NOT_FOUND, "topic \"%s\" has partitions 0 to %u",
                        request->topic, partitions_count - 1u);
        return;
    }
    state->group_id = partition.group;
    struct group *group = node__group(node, partition.group);
    if (request->type != NODE_REQUEST_PRODUCE && request->type != NODE_REQUEST_GROUP_COMMIT &&
        request->type != NODE_REQUEST_TRANSFER) {
        if (group && group__is_member(group)) {
            fetch__start(request, group);
        } else {
            to_leader(request, partition.group);
        }
        return;
    }
    if (!group || group->role != RAFT_LEADER) {
        to_leader(request, partition.group);
    } else if (!group->own_noop_applied && !PLANTED(P1_TAKES_BATCHES_BEFORE_NOOP)) { /* P1 */
        request__park(request, group);
    } else if (request->type != NODE_REQUEST_TRANSFER && damaged__holds_back(group)) { /* D5 */
        request__park(request, group);
    } else if (request->type == NODE_REQUEST_PRODUCE) {
        produce__start(request, group);
    } else if (request->type == NODE_REQUEST_TRANSFER) {
        transfer__start(request, group);
    } else {
        offsets__commit(request, group);
    }
}

static void on_meta_leader(struct node_request *request)
{
    struct request_state *state = request_state(request);
    struct group *group = state->node->meta_group;
    if (!group || group->role != RAFT_LEADER) {
        to_leader(request, 0);
    } else if (!group->own_noop_applied) {
        request__park(request, group);
    } else if (request->type == NODE_REQUEST_TOPIC_CREATE) {
        topics__create(request);
    } else if (request->type == NODE_REQUEST_TOPIC_DELETE) {
        topics__delete(request);
    } else if (request->type == NODE_REQUEST_TOPIC_SET) {
        topics__set(request);
    } else if (request->type == NODE_REQUEST_TRANSFER) {
        transfer__start(request, group);
    } else if (request->type == NODE_REQUEST_CHANGES) {
        changes__answer(request);
    } else if (request->type == NODE_REQUEST_PRODUCER_INIT) {
        registry__producer_init(request);
    } else {
        membership__start(request);
    }
}

static void on_transfer(struct node_request *request)
{
    if (request->transfer.from != 0) {
        transfer__start_from(request);
    } else if (request->transfer.meta) {
        on_meta_leader(request);
    } else {
        on_partition(request);
    }
}

void request__dispatch(struct node_request *request)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    assert(!state->may_be_stored);
    list_remove(&state->stage_link);
    state->stage = STAGE_NEW;
    if (state->internal) { /* of a leader that leads no more: the next one does it anew */
        request__finish(request, NODE_NO_LEADER, NULL);
        return;
    }
    if (node->state == NODE_ASKING) {
        request->retry_after_ms = 1000;
        request__finish(request, NODE_NOT_READY,
                        node->join.is_lost
                            ? "this node's replica of the meta group is being made again; use "
                              "another node meanwhile"
                            : "this node's data directory is new to the cluster, it asks to join; "
                              "use another node meanwhile");
        return;
    }
    if (!node->meta_group || RARELY(REQUEST_IS_PARKED)) {
        request__park(request, NULL);
        return;
    }
    switch (request->type) {
    case NODE_REQUEST_PRODUCE:
    case NODE_REQUEST_FETCH:
    case NODE_REQUEST_OFFSETS:
    case NODE_REQUEST_GROUP_COMMIT:
    case NODE_REQUEST_GROUP_FETCH:
    case NODE_REQUEST_GROUP_LIST:
        on_partition(request);
        return;
    case NODE_REQUEST_TOPIC_CREATE:
    case NODE_REQUEST_TOPIC_DELETE:
    case NODE_REQUEST_TOPIC_SET:
    case NODE_REQUEST_PRODUCER_INIT:
    case NODE_REQUEST_NODE_ADD:
    case NODE_REQUEST_NODE_REMOVE:
    case NODE_REQUEST_NODE_REPLACE:
    case NODE_REQUEST_PLACE:
    case NODE_REQUEST_CHANGES:
        on_meta_leader(request);
        return;
    case NODE_REQUEST_TRANSFER:
        on_transfer(request);
        return;
    case NODE_REQUEST_TOPIC_LIST:
    case NODE_REQUEST_TOPIC_GET:
        barrier__start(request, node->meta_group);
        return;
    }
}
