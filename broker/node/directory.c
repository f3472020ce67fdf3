/* Where leaders are, and what nodes tell each other about replicas (TOPIC frames): who leads, made, dropped (PROTOCOL M7, M8).
 *
 * A notice may be lost with a connection, or come before its receiver knows the group. So nobody relies on one: leadership
 * is told again when a node connects, and whoever waits for a notice asks for it from time to time. */
#include "directory.h"

#include "birth.h"
#include "drop.h"
#include "group.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "lost.h"
#include "request.h"
#include "topics.h"

#include <broker/wire_cursor.h>

#include <stdlib.h>

#define ASK_EVERY_US 500000u
#define HINT_AGE_US \
    60000000u /* of a group that meta does not know: deleted, and told of too late */

enum notice {
    NOTICE_LEADS = 1, /* number: the term */
    NOTICE_DROPPED = 2,
    NOTICE_MADE = 3,
    NOTICE_WHO_LEADS = 4, /* answered with LEADS by its leader */
    NOTICE_IS_DROPPED =
        5,           /* number: index of the meta entry that deleted it; answered with DROPPED */
    NOTICE_LOST = 6, /* to the leader of meta; number: the epoch of the replica that is lost */
};
#define NOTICE_BYTES 9u

/* ---- hints --------------------------------------------------------------------------------------------------------------- */

static struct leader_hint *find_hint(struct node *node, uint64_t group_id)
{
    struct leader_hint *hint = node->hints[group_id % NODE_GROUPS_HASH];
    while (hint && hint->group != group_id) {
        hint = hint->next;
    }
    return hint;
}

void directory__heard(struct node *node, uint64_t group_id, uint64_t term, uint64_t leader)
{
    struct leader_hint *hint = find_hint(node, group_id);
    if (!hint) {
        hint = calloc(1, sizeof(*hint));
        if (!hint) abort();
        hint->group = group_id;
        hint->next = node->hints[group_id % NODE_GROUPS_HASH];
        node->hints[group_id % NODE_GROUPS_HASH] = hint;
    }
    if (term < hint->term) return;
    hint->term = term;
    hint->leader = leader;
    hint->heard_us = io_now_us(node->io);
}

static void remove_hint(struct leader_hint **at)
{
    struct leader_hint *hint = *at;
    *at = hint->next;
    free(hint);
}

void directory__forget(struct node *node, uint64_t group_id)
{
    struct leader_hint **at = &node->hints[group_id % NODE_GROUPS_HASH];
    while (*at && (*at)->group != group_id) {
        at = &(*at)->next;
    }
    if (*at) remove_hint(at);
}

/* Notices of groups that were deleted before they came would stay for ever. One bucket a call. */
void directory__prune(struct node *node)
{
    const uint64_t now_us = io_now_us(node->io);
    struct leader_hint **at = &node->hints[node->prune_bucket++ % NODE_GROUPS_HASH];
    while (*at) {
        const struct leader_hint *hint = *at;
        if (hint->group != 0 && now_us - hint->heard_us > HINT_AGE_US &&
            !meta_group_find(&node->meta, hint->group, NULL, NULL, NULL)) {
            remove_hint(at);
        } else {
            at = &(*at)->next;
        }
    }
}

void directory__free(struct node *node)
{
    for (uint32_t i = 0; i < NODE_GROUPS_HASH; i++) {
        while (node->hints[i]) {
            remove_hint(&node->hints[i]);
        }
    }
}

bool directory__has_led(struct node *node, uint64_t group_id)
{
    return find_hint(node, group_id) != NULL;
}

/* For groups that live here the core knows best, unless the group goes on without this replica, or has not taken it in yet:
 * then, as for others, who told that it leads and takes requests. */
uint64_t directory__leader_of(struct node *node, uint64_t group_id, uint64_t *ret_term)
{
    const struct group *group = node__group(node, group_id);
    const struct leader_hint *hint = find_hint(node, group_id);
    const bool is_outside = group && group->leader == 0 && hint && hint->term > group->term;
    if (group && !is_outside && group__is_member(group)) {
        *ret_term = group->term;
        return group->leader;
    }
    if (!hint || !peer_is_up(node->hub, hint->leader, PEER_CONTROL)) return 0;
    *ret_term = hint->term;
    return hint->leader;
}

/* ---- telling -------------------------------------------------------------------------------------------------------------- */

static void send_notice(struct node *node, uint64_t to, enum notice notice, uint64_t group_id,
                        uint64_t number)
{
    uint8_t body[NOTICE_BYTES];
    struct wire_writer writer = {.buffer = body, .capacity = sizeof(body)};
    wire_put_u8(&writer, (uint8_t)notice);
    wire_put_u64(&writer, number);
    const struct io_buffer part = {.data = body, .bytes = sizeof(body)};
    (void)peer_send(node->hub, to, PEER_CONTROL, PEER_FRAME_TOPIC, group_id, &part, 1);
}

static void broadcast(struct node *node, enum notice notice, uint64_t group_id, uint64_t number)
{
    for (uint32_t i = 0; i < node->peers_count; i++) {
        if (node->peers[i].node_id == node->identity.node_id) continue;
        send_notice(node, node->peers[i].node_id, notice, group_id, number);
    }
}

void directory__tell_leads(struct group *group)
{
    directory__heard(group->node, group->id, group->term, group->node->identity.node_id);
    broadcast(group->node, NOTICE_LEADS, group->id, group->term);
    topics__check_waiting(group->node);
}

void directory__tell_made(struct group *group)
{
    broadcast(group->node, NOTICE_MADE, group->id, 0);
}

void directory__tell_made_to(struct group *group, uint64_t node_id)
{
    send_notice(group->node, node_id, NOTICE_MADE, group->id, 0);
}

void directory__tell_dropped(struct node *node, uint64_t group_id)
{
    broadcast(node, NOTICE_DROPPED, group_id, 0);
    topics__dropped(node, group_id, node->identity.node_id);
}

static bool leads(const struct group *group)
{
    return group && group->role == RAFT_LEADER && group->own_noop_applied;
}

void directory__tell_all(struct node *node, uint64_t to)
{
    for (struct list_link *link = node->groups.next; link != &node->groups; link = link->next) {
        const struct group *group = list_entry(link, struct group, link);
        if (group->term == 0) send_notice(node, to, NOTICE_MADE, group->id, 0);
        if (leads(group)) send_notice(node, to, NOTICE_LEADS, group->id, group->term);
    }
}

/* ---- asking --------------------------------------------------------------------------------------------------------------- */

void directory__ask_who_leads(struct node *node, uint64_t group_id)
{
    broadcast(node, NOTICE_WHO_LEADS, group_id, 0);
}

/* Of a group that lives here the core learns who leads. */
static bool waits_for_notice(struct node *node, const struct request_state *state, uint64_t now_us)
{
    if (state->stage != STAGE_PARKED || now_us - state->parked_us < ASK_EVERY_US) return false;
    const struct group *group = node__group(node, state->group_id);
    return state->group_id != 0 && !(group && group__is_member(group));
}

/* In the order of their numbers, so that each has its turn. */
void directory__ask_waiting(struct node *node)
{
    const uint64_t now_us = io_now_us(node->io);
    uint64_t next = 0;
    for (struct list_link *link = node->requests.next; link != &node->requests; link = link->next) {
        const struct request_state *state = list_entry(link, struct request_state, all);
        const uint64_t id = state->group_id;
        if (id <= node->leaders_asked.group || (next != 0 && id >= next)) continue;
        if (waits_for_notice(node, state, now_us)) next = id;
    }
    if (next != 0) {
        node->leaders_asked.group = next;
        directory__ask_who_leads(node, next);
    } else if (now_us - node->leaders_asked.began_us >= ASK_EVERY_US) {
        node->leaders_asked.group = 0;
        node->leaders_asked.began_us = now_us;
    }
}

void directory__ask_is_dropped(struct node *node, uint64_t group_id, uint64_t index, uint64_t to)
{
    send_notice(node, to, NOTICE_IS_DROPPED, group_id, index);
}

void directory__tell_lost(struct node *node, uint64_t to, uint64_t group_id, uint64_t epoch)
{
    send_notice(node, to, NOTICE_LOST, group_id, epoch);
}

static void answer_who_leads(struct node *node, uint64_t group_id, uint64_t from)
{
    const struct group *group = node__group(node, group_id);
    if (leads(group)) send_notice(node, from, NOTICE_LEADS, group_id, group->term);
}

static void answer_is_dropped(struct node *node, uint64_t group_id, uint64_t index, uint64_t from)
{
    if (node->meta.applied_index < index || !group__is_gone(node, group_id)) return;
    send_notice(node, from, NOTICE_DROPPED, group_id, 0);
}

void directory__notice(struct node *node, const struct peer_frame *frame)
{
    struct wire_reader reader = wire_reader_of(frame->body, frame->bytes);
    const uint8_t notice = wire_get_u8(&reader);
    const uint64_t number = wire_get_u64(&reader);
    if (!wire_is_complete(&reader)) {
        node->counters.bad_frames++;
        return;
    }
    switch (notice) {
    case NOTICE_LEADS:
        directory__heard(node, frame->group, number, frame->node_id);
        request__unpark(node, NULL);
        topics__check_waiting(node);
        return;
    case NOTICE_DROPPED:
        topics__dropped(node, frame->group, frame->node_id);
        return;
    case NOTICE_MADE:
        group__made_on(node, frame->group, frame->node_id);
        return;
    case NOTICE_WHO_LEADS:
        answer_who_leads(node, frame->group, frame->node_id);
        return;
    case NOTICE_IS_DROPPED:
        answer_is_dropped(node, frame->group, number, frame->node_id);
        return;
    case NOTICE_LOST:
        lost__told(node, frame->node_id, frame->group, number);
        return;
    default: /* of a newer version: it does without */
        return;
    }
}
