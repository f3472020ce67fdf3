/* What a replica that knows of damage in its log does not do (PROTOCOL D3, D5): it acknowledges nothing that touches the damage,
 * stands last, takes no leadership, and as a leader takes nothing from producers until it is whole, and hands over when that
 * takes long. Damage that its newest checkpoint covers, and that nobody can repair, holds nothing back (D7). When
 * nobody can repair what its state needs, or messages that others keep, it is made again as soon as its leader does without it
 * (M5, expendable.c). */
#include "damaged.h"

#include "checkpoint.h"
#include "drop.h"
#include "expendable.h"
#include "group.h"
#include "internal.h"
#include "offer.h"
#include "perform.h"
#include "repair.h"
#include "replicate.h"

#include <planted/planted.h>
#include <segment_log/repair.h>

#include <inttypes.h>

#define OFFER_EVERY_US  2000000u
#define OFFER_SELDOM_US 30000000u

/* Below its newest checkpoint a hole is of no use to the state. */
static bool state_covers_holes(const struct group *group)
{
    struct segment_log_hole hole;
    return !segment_log_hole_from(group->log, group->checkpoint_index + 1u, &hole);
}

bool damaged__holds_back(const struct group *group)
{
    if (!repair__is_needed(group) || PLANTED(D5_DAMAGED_LEADER_TAKES_PRODUCE)) return false;
    return !repair__was_tried(group) || !state_covers_holes(group);
}

/* ---- appends (D3) --------------------------------------------------------------------------------------------------------- */

/* First index at which the message names another term than this log has; 0: none. Nothing else may be cut. */
static uint64_t conflict_of(const struct group *group, const struct raft_message *append)
{
    struct segment_log_info log;
    segment_log_info(group->log, &log);
    const raft_term behind = raft_term_at(group->raft, append->append.previous_index);
    if (behind != 0 && behind != append->append.previous_term) return append->append.previous_index;
    for (uint32_t i = 0; i < append->append.runs_count; i++) {
        const struct raft_term_run *run = &append->append.runs[i];
        for (uint64_t at = run->first; at < run->first + run->count; at++) {
            if (at > log.last_index) return 0;
            const raft_term term = raft_term_at(group->raft, at);
            if (term != 0 && term != run->term) return at; /* 0: below where the core began */
        }
    }
    return 0;
}

static void answer_damaged(struct group *group, const struct raft_message *append,
                           const struct segment_log_hole *hole)
{
    struct raft_message reply = {.type = RAFT_MESSAGE_APPEND_REPLY,
                                 .group = group->id,
                                 .from = append->to,
                                 .to = append->from,
                                 .term = group->term,
                                 .refusal = RAFT_REFUSED_DAMAGED};
    reply.append_reply.request_index = append->append.previous_index;
    reply.append_reply.hint_index = hole->first_index - 1u;
    struct append_cut cut;
    (void)replicate__send(group, &reply, &cut);
}

/* Damage at or below what is known to be committed cannot be cut, and no ack of what follows commits it: the log goes on
 * behind it. Above, an ack would count this replica for entries that it may not give back. */
bool damaged__refuses(struct group *group, const struct raft_message *append)
{
    struct segment_log_hole hole;
    if (append->term < group->term || PLANTED(D3_ACKS_OVER_DAMAGE)) return false;
    if (!segment_log_hole_from(group->log, group->commit_index, &hole)) return false;
    const uint64_t conflict = conflict_of(group, append);
    if (conflict != 0) {
        /* An ordinary one is cut, but not where only damaged entries tell what would stay. */
        if (segment_log_can_truncate(group->log, conflict)) return false;
        (void)segment_log_hole_from(group->log, conflict - 1u, &hole);
    } else {
        if (!segment_log_hole_from(group->log, group->commit_index + 1u, &hole)) return false;
        if (append->append.last < hole.first_index &&
            append->append.previous_index < hole.first_index) {
            return false;
        }
    }
    if (append->term == group->term) answer_damaged(group, append, &hole);
    return true;
}

/* ---- standing and leading (D5) ------------------------------------------------------------------------------------------- */

/* D3: neither a heartbeat's answer nor a leader's own copy counts for what is damaged and not committed yet. */
static uint64_t uncommitted_damage(const struct group *group)
{
    struct segment_log_hole hole;
    if (PLANTED(D3_ACKS_OVER_DAMAGE)) return 0;
    if (!segment_log_hole_from(group->log, group->commit_index + 1u, &hole)) return 0;
    return hole.first_index > group->commit_index ? hole.first_index : group->commit_index + 1u;
}

static void tell_core(struct group *group, bool is_damaged)
{
    const uint64_t from = uncommitted_damage(group);
    if (group->core_is_damaged == is_damaged && group->core_damaged_from == from) return;
    if (group->core_is_damaged != is_damaged) group->damaged_us = io_now_us(group->node->io);
    group->core_is_damaged = is_damaged;
    group->core_damaged_from = from;
    struct raft_event event = {.type = RAFT_EVENT_DAMAGED};
    event.damaged.stands_last = is_damaged;
    event.damaged.from = from;
    (void)group__step(group, &event);
}

/* What was applied is needed from the log no more once a checkpoint holds it. */
static void cover(struct group *group)
{
    struct segment_log_hole hole;
    const bool is_covered =
        !segment_log_hole_from(group->log, group->checkpoint_index + 1u, &hole) ||
        hole.first_index > group->applied_index;
    if (!is_covered) checkpoint__maintain(group, true);
}

/* Whoever is damaged, too, does not take it. One that only keeps a replica from being made again offers it seldom, for each offer in
 * vain stops produce a moment. */
static void offer_leadership(struct group *group, bool is_damaged)
{
    const struct node *node = group->node;
    const uint64_t now_us = io_now_us(node->io);
    if (group->role != RAFT_LEADER || node->state != NODE_RUNNING) return;
    if (is_damaged) {
        if (now_us - group->damaged_us < node->options.election_timeout_ms_max * 1000u) return;
        offer__to_next(group, OFFER_EVERY_US, "damaged");
        return;
    }
    const bool is_in_the_way = repair__lacks_messages(group) || expendable__is_missed(group);
    if (!is_in_the_way || !expendable__commits_without(group, node->identity.node_id)) return;
    offer__to_next(group, OFFER_SELDOM_US, "a damaged replica cannot be made again");
}

void damaged__run(struct group *group)
{
    if (group->dropping || group->mending || group->node->state == NODE_FAILED) return;
    const bool is_damaged = damaged__holds_back(group);
    const bool is_known = group->core_is_damaged || group->core_damaged_from != 0;
    if (!is_damaged && !is_known && !repair__is_needed(group) && !expendable__is_missed(group)) {
        return;
    }
    tell_core(group, is_damaged);
    if (group->node->state == NODE_FAILED) return;
    cover(group);
    offer_leadership(group, is_damaged);
}

/* M5: what it has to apply next, or to hold, nobody gives it any more, and the others do without it. Its files are kept, apart. */
bool damaged__make_again_if_hopeless(struct group *group)
{
    char why[NODE_STATUS_TEXT_BYTES];
    if (group->dropping || group->role != RAFT_FOLLOWER || group->node->disk_full) return false;
    if (group->node->state != NODE_RUNNING || !repair__is_hopeless(group)) return false;
    repair__describe(group, why, sizeof(why));
    group__quarantine(group, why);
    return true;
}
