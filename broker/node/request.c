/* The life of a request: admission, finding who can serve it, waiting, the honest answer when time runs out.
 *
 *   submit ─> dispatch ─┬─ served here: produce.c, fetch.c, offsets.c, topics.c
 *      ^                ├─ proxied to the leader: proxy.c
 *      └── unpark ── PARKED: no leader is known, or it cannot take requests yet
 *
 * dispatch() may run several times for one request; it never continues one that may be in a log already (P4). */
#include "request.h"

#include "chains.h"
#include "damaged.h"
#include "dispatch.h"
#include "fetch.h"
#include "group.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "mending.h"
#include "proxy.h"
#include "quorum.h"
#include "repair.h"
#include "topics.h"
#include "transfer.h"
#include "turn.h"

#include <broker/raft_codec.h>
#include <planted/planted.h>
#include <rare/rare.h>

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARKED_RETRY_US 25000u
#define MISSING_BYTES   96u
#define REFUSE_FACTOR \
    2u /* election timeouts without a reachable majority before "no leader" is said at once */

const char *node_status_text(enum node_status status)
{
    switch (status) {
#define X(name, text) \
    case name:        \
        return text;
        NODE_STATUSES(X)
#undef X
    }
    return "unknown status";
}

const char *node_change_state_text(enum node_change_state state)
{
    switch (state) {
#define X(name, text) \
    case name:        \
        return text;
        NODE_CHANGE_STATES(X)
#undef X
    }
    return "unknown";
}

void request__move(struct node_request *request, enum request_stage stage, struct list_link *list)
{
    struct request_state *state = request_state(request);
    list_remove(&state->stage_link);
    state->stage = stage;
    if (list) list_push_back(list, &state->stage_link);
}

static void drop_payload(struct request_state *state)
{
    free(state->payload);
    state->payload = NULL;
}

void request__finish(struct node_request *request, enum node_status status, const char *format, ...)
{
    struct request_state *state = request_state(request);
    if (state->stage == STAGE_DONE) return;
    request->status = status;
    request->detail[0] = 0;
    if (format) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(request->detail, sizeof(request->detail), format, arguments);
        va_end(arguments);
    }
    drop_payload(state);
    if (request->type == NODE_REQUEST_TOPIC_DELETE) topics__forget(request);
    request__move(request, STAGE_DONE, &state->node->done);
    node__post(state->node);
}

/* ---- waiting for a leader -------------------------------------------------------------------------------------------------- */

void request__park(struct node_request *request, struct group *group)
{
    struct request_state *state = request_state(request);
    if (state->stage != STAGE_PARKED && state->parked_us == 0) {
        state->parked_us = io_now_us(state->node->io);
    }
    drop_payload(state);
    if (group && group->dropping) group = NULL;
    state->group = group;
    request__move(request, STAGE_PARKED, group ? &group->parked : &state->node->parked);
}

/* Its entry is known never to be committed: it may be tried again (P4). */
void request__not_stored(struct node_request *request, struct group *group)
{
    struct request_state *state = request_state(request);
    state->may_be_stored = false;
    state->index = 0;
    request->ret_duplicate = false;
    request__park(request, group);
}

void request__unpark(struct node *node, struct group *group)
{
    struct list_link batch;
    list_init(&batch);
    list_splice_back(&batch, group ? &group->parked : &node->parked);
    struct list_link *link;
    while ((link = list_pop_front(&batch))) {
        request__dispatch(request_of_state(list_entry(link, struct request_state, stage_link)));
    }
}

/* Voters of a group as far as this node knows: of its own replica, of meta, or of the founding. */
static uint32_t voters_of(struct node *node, uint64_t group_id, uint64_t *ret_ids)
{
    uint32_t count = 0;
    const struct group *group = node__group(node, group_id);
    struct meta_partition partition;
    if (group) {
        const struct raft_configuration *configuration = raft_configuration_of(group->raft);
        for (uint32_t i = 0; i < configuration->members_count; i++) {
            if (configuration->members[i].voter) {
                ret_ids[count++] = configuration->members[i].id.node;
            }
        }
    } else if (meta_group_find(&node->meta, group_id, NULL, &partition, NULL)) {
        for (uint32_t i = 0; i < partition.replicas_count; i++) {
            ret_ids[count++] = partition.replicas[i].node_id;
        }
    } else {
        for (uint32_t i = 0; i < node->founding.nodes_count; i++) {
            ret_ids[count++] = node->founding.nodes[i].node_id;
        }
    }
    return count;
}

/* While this node asks for votes every voter that is reached answers it within an election timeout, so one that is
 * silent for longer is not reached, though its connection stands until TCP gives up. */
static bool is_reached(struct node *node, const struct group *group, uint64_t node_id)
{
    if (node_id == node->identity.node_id) return true;
    if (!peer_is_up(node->hub, node_id, PEER_CONTROL)) return false;
    if (!node__peer_is_usable(node, node_id)) return false;
    if (!group || (group->role != RAFT_PRE_CANDIDATE && group->role != RAFT_CANDIDATE)) return true;
    const uint64_t silent_us =
        io_now_us(node->io) - peer_heard_us(node->hub, node_id, PEER_CONTROL);
    return silent_us <= REFUSE_FACTOR * node->options.election_timeout_ms_max * 1000u;
}

/* How many voters of the group are reached, and the names of the others. */
static uint32_t count_reached(struct node *node, uint64_t group_id, uint32_t *ret_voters,
                              char missing[MISSING_BYTES])
{
    uint64_t ids[RAFT_MEMBERS_MAX];
    const uint32_t voters = voters_of(node, group_id, ids);
    const struct group *group = node__group(node, group_id);
    uint32_t reached = 0;
    missing[0] = '\0';
    for (uint32_t i = 0; i < voters; i++) {
        const uint64_t id = ids[i];
        if (is_reached(node, group, id)) {
            reached++;
            continue;
        }
        const size_t used = strlen(missing);
        snprintf(missing + used, MISSING_BYTES - used, "%sn%" PRIu64, used ? ", " : "", id);
    }
    *ret_voters = voters;
    return reached;
}

/* Why there is no leader, in words that name what is missing. */
static bool majority_is_reachable(struct node *node, uint64_t group_id, char *why, size_t why_bytes)
{
    char missing[MISSING_BYTES];
    uint32_t voters = 0;
    const uint32_t reached = count_reached(node, group_id, &voters, missing);
    if (reached * 2u > voters) {
        snprintf(why, why_bytes, "%s", "an election is under way; try again");
        return true;
    }
    if (peers__was_removed(node)) {
        snprintf(why, why_bytes,
                 "this node (n%" PRIu64 ") was removed from the cluster; ask another one",
                 node->identity.node_id);
        return false;
    }
    snprintf(why, why_bytes,
             "no quorum: %u of %u voters are reached from here, a majority is %u; start or "
             "reconnect %s",
             reached, voters, voters / 2u + 1u, missing[0] ? missing : "the others");
    return false;
}

/* D5, D7: the group stands still until it is whole. */
static bool refuse_damaged(struct node_request *request)
{
    struct request_state *state = request_state(request);
    struct group *group = node__group(state->node, state->group_id);
    char why[NODE_STATUS_TEXT_BYTES];
    if (!group) group = mending__find(state->node, state->group_id);
    if (!group || !repair__is_needed(group)) return false;
    if (!group->mending && !damaged__holds_back(group)) return false;
    repair__describe(group, why, sizeof(why));
    request->retry_after_ms = 1000;
    request__finish(request, NODE_DAMAGED, "%s", why);
    return true;
}

/* D6: of which it is not known whether the replica here or another one has diverged. NULL: there is none. */
static const struct group *disputed_group(const struct request_state *state)
{
    const struct group *group = node__group(state->node, state->group_id);
    return group && chains__is_in_dispute(group) ? group : NULL;
}

static bool refuse_disputed(struct node_request *request)
{
    struct request_state *state = request_state(request);
    const struct group *group = disputed_group(state);
    if (!group) return false;
    char missing[MISSING_BYTES];
    uint32_t voters = 0;
    (void)count_reached(state->node, state->group_id, &voters, missing);
    request->retry_after_ms = 1000;
    request__finish(request, NODE_NOT_READY, "n%" PRIu64 " %.150s; %s%s",
                    state->node->identity.node_id, group->problem,
                    missing[0] ? "start or reconnect " : "ask another node, or again later",
                    missing);
    return true;
}

static void refuse_parked(struct node_request *request)
{
    struct request_state *state = request_state(request);
    struct node *node = state->node;
    char why[NODE_STATUS_TEXT_BYTES];
    request->retry_after_ms = 1000;
    if (node->state == NODE_FOUNDING || node->state == NODE_JOINING) {
        request__finish(request, NODE_NOT_READY,
                        "the cluster is not founded yet: every node of --peers must be up once");
        return;
    }
    if (refuse_damaged(request)) return;
    (void)majority_is_reachable(node, state->group_id, why, sizeof(why));
    if (state->transfer_lost_by != 0) { /* it was asked for, and may have been done */
        request__finish(request, NODE_TIMEOUT,
                        "n%" PRIu64 " was asked, and lost before it answered (%s)",
                        state->transfer_lost_by, why);
        return;
    }
    if (refuse_disputed(request)) return;
    request__finish(request, NODE_NO_LEADER, "%s", why);
}

/* ---- when time runs out ---------------------------------------------------------------------------------------------------- */

enum request_effect request__effect(enum node_request_type type)
{
    switch (type) {
    case NODE_REQUEST_PRODUCE:
    case NODE_REQUEST_TOPIC_CREATE:
    case NODE_REQUEST_TOPIC_DELETE:
    case NODE_REQUEST_TOPIC_SET:
    case NODE_REQUEST_GROUP_COMMIT:
    case NODE_REQUEST_NODE_ADD:
    case NODE_REQUEST_NODE_REMOVE:
    case NODE_REQUEST_NODE_REPLACE:
    case NODE_REQUEST_PLACE:
        return REQUEST_STORES;
    case NODE_REQUEST_TRANSFER:
        return REQUEST_ACTS;
    case NODE_REQUEST_PRODUCER_INIT: /* an id that nobody uses costs nothing */
    case NODE_REQUEST_FETCH:
    case NODE_REQUEST_OFFSETS:
    case NODE_REQUEST_TOPIC_LIST:
    case NODE_REQUEST_TOPIC_GET:
    case NODE_REQUEST_GROUP_FETCH:
    case NODE_REQUEST_GROUP_LIST:
    case NODE_REQUEST_CHANGES:
        return REQUEST_READS;
    }
    return REQUEST_STORES;
}

static bool stores(const struct node_request *request)
{
    return request__effect(request->type) == REQUEST_STORES;
}

static void timed_out(struct node_request *request)
{
    struct request_state *state = request_state(request);
    char why[NODE_STATUS_TEXT_BYTES];
    switch (state->stage) {
    case STAGE_NEW:
    case STAGE_PARKED:
    case STAGE_QUEUED:
        refuse_parked(request);
        return;
    case STAGE_WAITING:
    case STAGE_TOPIC:
        /* A produce waits there for its topic: nothing of it was appended. */
        if (!state->may_be_stored || !stores(request)) {
            refuse_parked(request);
            return;
        }
        if (PLANTED(C9_TIMEOUT_IS_CALLED_FAILED)) {
            refuse_parked(request);
            return;
        }
        (void)majority_is_reachable(state->node, state->group_id, why, sizeof(why));
        request__finish(request, NODE_OUTCOME_UNKNOWN, "not confirmed by a majority in time (%s)",
                        why);
        return;
    case STAGE_PROXIED:
        if (stores(request)) {
            request__finish(request, NODE_OUTCOME_UNKNOWN,
                            "node n%" PRIu64 " took the request and did not answer in time",
                            state->proxy_node);
        } else {
            request__finish(request, NODE_TIMEOUT, "node n%" PRIu64 " did not answer in time",
                            state->proxy_node);
        }
        return;
    case STAGE_BARRIER:
        if (refuse_damaged(request) || refuse_disputed(request)) return;
        (void)majority_is_reachable(state->node, state->group_id, why, sizeof(why));
        request->retry_after_ms = 200;
        request__finish(request, NODE_TIMEOUT, "the read could not be confirmed (%s)", why);
        return;
    case STAGE_TRANSFER:
        transfer__timed_out(request);
        return;
    case STAGE_POLL: /* its own clock: poll_until_us */
    case STAGE_READING:
    case STAGE_DONE:
        return;
    }
}

/* Its entry is in a log that nobody adds to: this node led, gave up, and hears of no other leader. What becomes of the
 * entry may be decided in minutes, or where this node cannot see it (docs/decisions/0009). */
static bool is_forsaken(const struct request_state *state, uint64_t now_us)
{
    if (state->stage != STAGE_WAITING) return false;
    const struct group *group = state->group;
    if (!group || group->role == RAFT_LEADER || group->leaderless_us == 0) return false;
    const struct node *node = state->node;
    return now_us - group->leaderless_us >
           REFUSE_FACTOR * node->options.election_timeout_ms_max * 1000u;
}

static void expire_one(struct node *node, struct request_state *state, uint64_t now_us,
                       uint64_t refuse_us)
{
    struct node_request *request = request_of_state(state);
    if (state->stage == STAGE_POLL) {
        if (now_us < state->poll_until_us && node->state != NODE_STOPPING) return;
        state->poll_expired = true; /* R: confirm, then answer that there is nothing */
        state->deadline_us = now_us + (uint64_t)NODE_REQUEST_TIMEOUT_MS * 1000u;
        fetch__start(request, state->group);
        return;
    }
    if (state->stage == STAGE_WAITING && RARELY(WRITE_EXPIRES)) state->deadline_us = now_us;
    if (state->stage == STAGE_BARRIER && RARELY(READ_EXPIRES)) state->deadline_us = now_us;
    if (now_us >= state->deadline_us || is_forsaken(state, now_us)) {
        timed_out(request);
        return;
    }
    if (state->stage == STAGE_PROXIED) {
        proxy__check_leader(request, now_us);
        return;
    }
    if (state->stage != STAGE_PARKED) return;
    char why[NODE_STATUS_TEXT_BYTES];
    if (node->state != NODE_RUNNING || now_us - state->parked_us < refuse_us) return;
    if (disputed_group(state) || !majority_is_reachable(node, state->group_id, why, sizeof(why))) {
        refuse_parked(request);
    }
}

void request__expire(struct node *node)
{
    const uint64_t now_us = io_now_us(node->io);
    /* Who was let go waits for nobody: there is no leader that it could hear of. */
    const uint64_t refuse_us = peers__was_removed(node)
                                   ? 0
                                   : REFUSE_FACTOR * node->options.election_timeout_ms_max * 1000u;
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->requests) {
        expire_one(node, list_entry(link, struct request_state, all), now_us, refuse_us);
        if (node->state == NODE_FAILED) return;
    }
    request__unpark(node, NULL);
    list_for_each_safe(link, after, &node->groups) {
        request__unpark(node, list_entry(link, struct group, link));
    }
}

void request__fail_all(struct node *node, enum node_status status, const char *why)
{
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->requests) {
        struct request_state *state = list_entry(link, struct request_state, all);
        if (state->stage == STAGE_READING) continue;
        const bool unknown = state->may_be_stored || state->stage == STAGE_WAITING ||
                             (state->stage == STAGE_PROXIED && stores(request_of_state(state)));
        request__finish(request_of_state(state), unknown ? NODE_OUTCOME_UNKNOWN : status, "%s",
                        why);
    }
}

/* ---- the door ---------------------------------------------------------------------------------------------------------------- */

static bool refuse_own_full(struct node_request *request)
{
    struct node *node = request_state(request)->node;
    if (!node->disk_full) return false;
    node->counters.refused_full++;
    request->retry_after_ms = 5000;
    request__finish(request, NODE_DISK_FULL,
                    "n%" PRIu64 ": %" PRIu64 " bytes are free, %" PRIu64
                    " are kept in reserve; free some space, writes resume by themselves",
                    node->identity.node_id, node->free_bytes, node->options.reserve_bytes);
    return true;
}

static bool is_there(void *data, const struct raft_member *member, uint32_t at)
{
    const struct node *node = data;
    (void)at;
    return member->id.node == node->identity.node_id ||
           peer_is_up(node->hub, member->id.node, PEER_CONTROL);
}

/* This node has. */
static bool has_space(void *data, const struct raft_member *member, uint32_t at)
{
    struct node *node = data;
    const struct peer_state *peer = node__peer(node, member->id.node);
    if (!is_there(data, member, at)) return false;
    return member->id.node == node->identity.node_id || !peer || !peer->is_full;
}

static void name_full(struct node *node, const struct raft_configuration *configuration, char *text,
                      size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < configuration->members_count && used < bytes; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (!is_there(node, member, i) || has_space(node, member, i)) continue;
        used += (size_t)snprintf(text + used, bytes - used, "%sn%" PRIu64, used ? ", " : "",
                                 member->id.node);
    }
}

bool request__refuse_full(struct node_request *request, const struct group *group)
{
    struct node *node = request_state(request)->node;
    const struct raft_configuration *configuration = raft_configuration_of(group->raft);
    char who[96];
    if (refuse_own_full(request)) return true;
    if (quorum__is_made(configuration, has_space, node)) return false;
    if (!quorum__is_made(configuration, is_there, node)) return false; /* no matter of space */
    name_full(node, configuration, who, sizeof(who));
    node->counters.refused_full++;
    request->retry_after_ms = 5000;
    request__finish(request, NODE_DISK_FULL,
                    "too few replicas have space: the disk of %s is full; free some space there, "
                    "writes resume by themselves",
                    who);
    return true;
}

static bool admit(struct node *node, struct node_request *request)
{
    struct request_state *state = request_state(request);
    if (request->type != NODE_REQUEST_PRODUCE) return true;
    if (node->inflight_bytes + request->produce.bytes > node->options.inflight_bytes_max ||
        RARELY(MEMORY_IS_USED_UP)) {
        node->counters.refused_overload++;
        request->retry_after_ms = 100;
        request__finish(request, NODE_OVERLOADED,
                        "%" PRIu64 " bytes are in flight, the limit is %" PRIu64,
                        node->inflight_bytes, node->options.inflight_bytes_max);
        return false;
    }
    state->admitted_bytes = request->produce.bytes;
    node->inflight_bytes += state->admitted_bytes;
    return true;
}

void node_submit(struct node *node, struct node_request *request)
{
    struct request_state *state = request_state(request);
    memset(state, 0, sizeof(*state));
    state->node = node;
    const uint32_t timeout_ms = request->timeout_ms ? request->timeout_ms : NODE_REQUEST_TIMEOUT_MS;
    list_push_back(&node->requests, &state->all);
    if (node->state == NODE_FAILED) return; /* the process is about to exit */
    (void)node__enter(node);
    state->deadline_us = io_now_us(node->io) + (uint64_t)timeout_ms * 1000u;
    node->counters.requests_total[request->type]++;
    if (node->state == NODE_STOPPING || node->state == NODE_STOPPED) {
        request->retry_after_ms = 500;
        request__finish(request, NODE_SHUTTING_DOWN, "use another node");
        return;
    }
    if (!admit(node, request)) return;
    request__dispatch(request);
    node__post(node);
}

void request__drop_outputs(struct node_request *request)
{
    segment_log_view_release(&request->ret_view);
    memset(&request->ret_view, 0, sizeof(request->ret_view));
    node_topics_free(request->ret_topics, request->ret_topics_count);
    free(request->ret_offsets);
    free(request->ret_changes);
    request->ret_topics = NULL;
    request->ret_topics_count = 0;
    request->ret_offsets = NULL;
    request->ret_offsets_count = 0;
    request->ret_changes = NULL;
    request->ret_changes_count = 0;
}

void node_cancel(struct node *node, struct node_request *request)
{
    struct request_state *state = request_state(request);
    assert(state->node == node);
    proxy__cancel(request);
    list_remove(&state->all);
    list_remove(&state->stage_link);
    drop_payload(state);
    fetch__forget(request);
    topics__forget(request);
    /* It may have been answered in this turn, and not been told yet. */
    request__drop_outputs(request);
    node->inflight_bytes -= state->admitted_bytes;
    state->admitted_bytes = 0;
    state->stage = STAGE_DONE;
}
