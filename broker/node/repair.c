/* Mending the log of a replica whose disk lost entries (PROTOCOL D4), whether its core runs or not.
 *
 *   hole ─> session ─> wants entries ─> one peer after the other is asked ─> supplied ─> file rewritten ─> no hole
 *                          │                                                    └ the chain disagrees: anew, without the last peer
 *                          ├ refused, for what was supplied in front is another chain: the same
 *                          ├ refused, for what this file has in front, and was in doubt, is another chain: anew, without the file
 *                          └ everybody refused: given up for a while; the next hole
 *                             └ also a leader that does without this replica, for long: it is made again (unmendable.c)
 *
 * A peer is any node that is connected, in any role, with a leader or without. Each chunk is checked by the log against the
 * chain in front of it, and the whole against what stands behind it, so a peer can be useless and never harmful. One request
 * of a replica is under way at a time and NODE_REPAIRS_MAX sessions of a node, so repair never competes with appends for
 * more than that. */
#include "repair.h"

#include "damaged.h"
#include "disk.h"
#include "group.h"
#include "holes.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "mending.h"
#include "read.h"
#include "recall.h"
#include "repair_serve.h"
#include "repair_verdicts.h"
#include "request.h"
#include "turn.h"
#include "unmendable.h"

#include <broker/repair_codec.h>
#include <planted/planted.h>
#include <rare/rare.h>
#include <segment_log/repair.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_US \
    1000000u /* a request is lost after that, and after twice as long behind each that was */
#define ANSWER_US_MAX 32000000u
#define REST_US       500000u /* when every hole was given up */
#define TELL_US       10000000u

struct repair {
    struct group_job job;                 /* a piece of the session's work */
    struct segment_log_repair_job *piece; /* NULL: none runs */
    bool has_place; /* counted in node->repairs_count; it has begun a session */
    uint64_t number, asked_node, asked_us; /* the request under way; number 0: none */
    uint64_t wanted_index;                 /* the verdicts are about the entries behind it */
    struct repair_verdicts verdicts;       /* who is barred is so until this segment is done with */
    uint64_t from_index;                   /* holes in front of it were given up in this round */
    uint64_t rests_until_us;
    uint32_t rounds; /* over all holes, since the last repair, and since the newest one was found */
    uint64_t told_us;
    bool was_asked;  /* some peer, since the start */
    bool told_early; /* that nobody could be asked yet */
    struct unmendable unmendable;
    uint64_t answer_us;     /* how long the next request may take */
    uint64_t supplier_term; /* who supplied last leads without this replica in it; 0: it does not */
    uint64_t holes_told;    /* number of the newest hole that the log was told of */
    uint64_t round_holes;   /* that one, when this round began */
    bool others_may_have;   /* something of what is lost, as far as this round says */
    bool is_lost;           /* a round since the newest hole found it damaged everywhere */
    char stuck[NODE_STATUS_TEXT_BYTES];
};

bool repair__is_needed(const struct group *group)
{
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    return info.holes_count > 0;
}

bool repair__was_tried(const struct group *group)
{
    return group->repair && group->repair->rounds > 0;
}

bool repair__is_lost(const struct group *group)
{
    return group->repair && group->repair->is_lost;
}

bool repair__is_hopeless(const struct group *group)
{
    return group->repair && unmendable__is_hopeless(&group->repair->unmendable, group);
}

bool repair__lacks_messages(const struct group *group)
{
    return group->repair && unmendable__lacks_messages(&group->repair->unmendable, group);
}

bool repair__was_refused_by(const struct group *group, uint64_t node_id)
{
    struct repair *repair = group->repair;
    if (!repair) return false;
    if (repair_verdicts_is_barred(&repair->verdicts, node_id)) return true;
    const struct repair_verdict *verdict = repair_verdicts_of(&repair->verdicts, node_id);
    return verdict && verdict->is_known;
}

static const struct raft_configuration *configuration_of(const struct group *group)
{
    return group->mending ? mending__configuration(group) : raft_configuration_of(group->raft);
}

/* ---- sessions ---------------------------------------------------------------------------------------------------------- */

static void end_session(struct group *group)
{
    struct repair *repair = group->repair;
    segment_log_repair_end(group->log);
    if (repair->has_place) group->node->repairs_count--;
    repair->has_place = false;
    repair->number = 0;
    repair_verdicts_end_session(&repair->verdicts);
}

static void on_configuration(void *data, uint64_t index, const uint8_t *payload,
                             uint32_t payload_bytes)
{
    struct group *group = data;
    if (group->mending) mending__note_configuration(group, index, payload, payload_bytes);
}

static void rest(struct group *group)
{
    group->repair->rests_until_us = io_now_us(group->node->io) + REST_US;
}

/* Every hole was given up: from the first one again, a little later, with everybody. */
static void end_round(struct group *group)
{
    struct repair *repair = group->repair;
    repair->from_index = 0;
    repair_verdicts_pardon_all(&repair->verdicts);
    if (repair->round_holes == repair->holes_told) { /* else one was not in it */
        repair->rounds++;
        if (!repair->others_may_have) repair->is_lost = true;
    }
    rest(group);
}

/* Who cannot help here may do so elsewhere. */
static void pass_over(struct repair *repair, const struct segment_log_repair_info *info)
{
    repair->from_index = info->last_index + 1u;
    repair_verdicts_pardon_all(&repair->verdicts);
}

static void begin_session(struct group *group)
{
    struct repair *repair = group->repair;
    struct node *node = group->node;
    if (io_now_us(node->io) < repair->rests_until_us) return;
    if (node->repairs_count == NODE_REPAIRS_MAX || node->disk_full) return;
    if (RARELY(REPAIR_WAITS)) return;
    if (repair->from_index == 0) {
        repair->round_holes = repair->holes_told;
        repair->others_may_have = false;
    }
    switch (segment_log_repair_begin(group->log, repair->from_index, on_configuration, group)) {
    case SEGMENT_LOG_OK:
        node->repairs_count++;
        repair->has_place = true;
        repair->wanted_index = UINT64_MAX;
        return;
    case SEGMENT_LOG_OUT_OF_RANGE:
        end_round(group);
        return;
    case SEGMENT_LOG_FULL:
    case SEGMENT_LOG_IO:
    case SEGMENT_LOG_DAMAGED:
    case SEGMENT_LOG_LOST_POSITION:
    case SEGMENT_LOG_FOREIGN:
    case SEGMENT_LOG_MISSING:
    case SEGMENT_LOG_BAD_VERSION:
    case SEGMENT_LOG_BROKEN_CHAIN:
    case SEGMENT_LOG_BAD_ENTRY:
    case SEGMENT_LOG_NOT_CACHED:
    case SEGMENT_LOG_SUPERSEDED:
        rest(group);
        return;
    }
}

/* A node that was just started is connected to nobody: no peer refused anything, and nobody needs to act. */
static void tell_given_up(struct group *group, const struct segment_log_repair_info *info,
                          const char *who)
{
    struct repair *repair = group->repair;
    const uint64_t now_us = io_now_us(group->node->io);
    if (holes__kept(group, NULL) == 0) return; /* it goes with its file, and nobody needs to act */
    const bool is_early = !repair->was_asked && repair->told_us == 0;
    const bool is_due = now_us - repair->told_us >= TELL_US;
    if (repair->told_us != 0 && !is_due && !(repair->told_early && repair->was_asked)) return;
    repair->told_us = now_us;
    repair->told_early = is_early;
    node__log(group->node, is_early ? "info" : "error",
              "event=\"%s\" group=%" PRIu64 " topic=\"%s\" partition=%u first=%" PRIu64
              " last=%" PRIu64 " peers=\"%s\"",
              is_early ? "damage waits for a peer that can be asked"
                       : "damage cannot be repaired yet, trying again",
              group->id, group->topic, group->partition_number, info->want_first, info->want_last,
              who);
}

static void give_up(struct group *group, const struct segment_log_repair_info *info)
{
    struct repair *repair = group->repair;
    struct node *node = group->node;
    char who[160];
    repair_verdicts_describe(&repair->verdicts, configuration_of(group), node->identity.node_id,
                             who, sizeof(who));
    snprintf(repair->stuck, sizeof(repair->stuck), "entry %" PRIu64 " is damaged; %s",
             info->want_first, who);
    if (!repair_verdicts_are_of_damage(&repair->verdicts, configuration_of(group),
                                       node->identity.node_id)) {
        repair->others_may_have = true;
    }
    tell_given_up(group, info, who);
    pass_over(repair, info);
    end_session(group);
}

/* The file is begun anew, with all the others whose entries were in it: they may be right. */
static void bar_supplier(struct group *group, const struct segment_log_repair_info *info)
{
    struct repair_verdicts *verdicts = &group->repair->verdicts;
    if (group->repair->rounds == 0) { /* the next rounds say the same */
        node__log(group->node, "warn",
                  "event=\"entries of a peer do not lead to this log, repairing without it\" "
                  "group=%" PRIu64 " peer=%" PRIu64 " segment_first=%" PRIu64,
                  group->id, verdicts->supplier, info->first_index);
    }
    repair_verdicts_bar(verdicts, verdicts->supplier);
}

/* Everybody refused, somebody because what was supplied last is another history than its own: it may be the right one. */
static bool begin_without_supplier(struct group *group, const struct segment_log_repair_info *info)
{
    const struct repair_verdicts *verdicts = &group->repair->verdicts;
    if (!repair_verdicts_are_disputed(verdicts, info->want_before.index)) return false;
    bar_supplier(group, info);
    end_session(group);
    return true;
}

static bool are_uncommitted(struct group *group, const struct segment_log_hole *hole)
{
    return repair_verdicts_are_of_uncommitted(&group->repair->verdicts, configuration_of(group),
                                              group->node->identity.node_id, group->hard_state.term,
                                              hole);
}

/* With two voters there is no third one that could commit with this one what the other one has otherwise. */
static bool is_one_of_two(const struct group *group)
{
    const struct raft_configuration *configuration = configuration_of(group);
    uint32_t voters = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        voters += configuration->members[i].voter || configuration->members[i].voter_old;
    }
    return voters <= 2u;
}

/* What stands in front of the damage is believed where that loses nothing that was acknowledged: nobody can tell what stood there;
 * or too few ever held what follows, and none of these holds a part of it that may be another one. */
static bool may_be_believed(struct group *group, const struct segment_log_hole *hole,
                            const struct segment_log_repair_info *info)
{
    struct repair_verdicts *verdicts = &group->repair->verdicts;
    if (repair_verdicts_cannot_tell(verdicts, configuration_of(group),
                                    group->node->identity.node_id)) {
        return true;
    }
    if (!group->mending || !are_uncommitted(group, hole)) return false;
    return is_one_of_two(group) || PLANTED(D4_SHORTER_LOG_CONFIRMS_OLD_ENTRIES) ||
           !repair_verdicts_end_between(verdicts, hole->first_index, info->want_before.index - 1u);
}

/* Everybody answered. Whoever has others than this file in front of the damage is asked for these, too, instead. */
static bool settle_doubt(struct group *group, struct segment_log_repair_info *info)
{
    struct segment_log_hole hole;
    if (!info->is_doubted || !segment_log_hole_from(group->log, info->want_first, &hole)) {
        return false;
    }
    if (repair_verdicts_differ(&group->repair->verdicts)) {
        node__log(group->node, "warn",
                  "event=\"entries in front of damage are old ones, repairing them, too\" "
                  "group=%" PRIu64 " first=%" PRIu64 " last=%" PRIu64,
                  group->id, hole.first_index, info->want_first - 1u);
        segment_log_repair_settle(group->log, /* are_believed= */ false);
        end_session(group);
        return true;
    }
    if (may_be_believed(group, &hole, info)) {
        segment_log_repair_settle(group->log, /* are_believed= */ true);
        segment_log_repair_info(group->log, info);
    }
    return false;
}

/* The session stands in front of the first entry of a hole, and nobody ever had it: there is nothing to be repaired. */
static bool cut_if_uncommitted(struct group *group, const struct segment_log_repair_info *info)
{
    struct segment_log_hole hole;
    if (!group->mending || info->state != SEGMENT_LOG_REPAIR_WANTS) return false;
    if (!segment_log_hole_from(group->log, info->want_first, &hole)) return false;
    if (hole.first_index != info->want_first || !are_uncommitted(group, &hole)) return false;
    end_session(group);
    node__log(group->node, "warn",
              "event=\"damaged entries that no majority ever held were cut\" group=%" PRIu64
              " from=%" PRIu64,
              group->id, hole.first_index);
    mending__cut(group, hole.first_index);
    return true;
}

/* ---- work ---------------------------------------------------------------------------------------------------------------- */

static struct repair *repair_of(struct group_job *job)
{
    return (struct repair *)(void *)job; /* its first member */
}

static void run_piece(struct io_job *job)
{
    segment_log_repair_job_run(repair_of(job->data)->piece);
}

static void discard_piece(struct group_job *job)
{
    struct repair *repair = repair_of(job);
    if (!repair->piece) return;
    segment_log_repair_job_finish(job->group->log, repair->piece);
    repair->piece = NULL;
}

static void done_piece(struct io_job *job)
{
    struct repair *repair = repair_of(job->data);
    struct group *group = repair->job.group;
    struct node *node = group->node;
    discard_piece(&repair->job);
    if (!node__enter(node)) {
        list_remove(&repair->job.link);
        return;
    }
    if (!group->dropping) repair__run(group);
    if (node->state == NODE_FAILED) {
        if (!repair->piece) list_remove(&repair->job.link);
        return;
    }
    if (!repair->piece) group__job_ended(&repair->job); /* may free the group */
    node__post(node);
}

static void work(struct group *group)
{
    struct repair *repair = group->repair;
    disk__pump_log(group, false); /* a roll, a new file put in place */
    if (repair->piece) return;
    repair->piece = segment_log_repair_next_job(group->log);
    if (!repair->piece) return;
    list_remove(&repair->job.link);
    repair->job.job.run = run_piece;
    repair->job.job.done = done_piece;
    repair->job.discard = discard_piece;
    group__submit(group, group->read_queue, &repair->job);
}

/* ---- asking ---------------------------------------------------------------------------------------------------------------- */

static bool may_ask(struct group *group, uint64_t node_id)
{
    const struct node *node = group->node;
    if (node_id == 0 || node_id == node->identity.node_id) return false;
    if (!node__peer_is_usable(group->node, node_id)) return false;
    if (!peer_is_up(node->hub, node_id, PEER_BULK)) return false;
    if (repair_verdicts_is_barred(&group->repair->verdicts, node_id)) return false;
    const struct repair_verdict *verdict = repair_verdicts_of(&group->repair->verdicts, node_id);
    return verdict && !verdict->is_known;
}

/* Of those that were not asked yet, the next one behind the one that was asked last, so that no peer serves all alone. The leader
 * comes last: its word has to be fresh when the others have answered. */
static uint64_t next_peer(struct group *group)
{
    const struct node *node = group->node;
    const uint64_t last = group->repair->asked_node;
    uint64_t lowest = 0, next = 0;
    for (uint32_t i = 0; i < node->peers_count; i++) {
        const uint64_t id = node->peers[i].node_id;
        if (id == group->leader || !may_ask(group, id)) continue;
        if (lowest == 0 || id < lowest) lowest = id;
        if (id > last && (next == 0 || id < next)) next = id;
    }
    if (next == 0) next = lowest;
    return next == 0 && may_ask(group, group->leader) ? group->leader : next;
}

static void note_silence(struct group *group)
{
    struct repair *repair = group->repair;
    const struct repair_message silence = {.answer = REPAIR_BUSY};
    repair_verdicts_note(&repair->verdicts, repair->asked_node, &silence);
    repair->number = 0;
}

/* On a slow link the entries may be on their way, and the same again would be as late: so the next one may take longer. */
static void note_lateness(struct group *group)
{
    struct repair *repair = group->repair;
    if (!PLANTED(D4_SLOW_LINKS_REPAIR_NOTHING)) repair->answer_us *= 2u;
    if (repair->answer_us > ANSWER_US_MAX) repair->answer_us = ANSWER_US_MAX;
    note_silence(group);
}

static void ask(struct group *group, const struct segment_log_repair_info *info)
{
    struct repair *repair = group->repair;
    struct node *node = group->node;
    if (repair->wanted_index != info->want_before.index) {
        repair->wanted_index = info->want_before.index;
        repair_verdicts_forget(&repair->verdicts);
        unmendable__asks(&repair->unmendable);
    }
    for (uint32_t tries = 0; tries < PEER_KNOWN_MAX; tries++) {
        const uint64_t to = next_peer(group);
        if (to == 0) break;
        const struct repair_message request = {
            .type = REPAIR_REQUEST,
            .number = node__random_number(node),
            .from_epoch = group->epoch,
            .index = info->want_before.index,
            .chain = info->want_before.chain,
            .last_index = info->want_last,
            .would_go = unmendable__would_go(&repair->unmendable, group, info)};
        uint8_t body[REPAIR_CODEC_BYTES];
        repair_codec_encode(&request, body);
        const struct io_buffer part = {.data = body, .bytes = sizeof(body)};
        repair->asked_node = to;
        if (peer_send(node->hub, to, PEER_BULK, PEER_FRAME_REPAIR, group->id, &part, 1)) {
            repair->number = request.number;
            repair->was_asked = true;
            repair->asked_us = io_now_us(node->io);
            return;
        }
        note_silence(group);
    }
    struct segment_log_repair_info settled = *info;
    if (settle_doubt(group, &settled)) return;
    if (cut_if_uncommitted(group, &settled) || begin_without_supplier(group, &settled)) return;
    unmendable__given_up(&repair->unmendable, group, &repair->verdicts, &settled);
    give_up(group, &settled);
}

static void want(struct group *group, const struct segment_log_repair_info *info)
{
    struct repair *repair = group->repair;
    if (repair->number != 0) {
        if (io_now_us(group->node->io) - repair->asked_us < repair->answer_us) return;
        note_lateness(group);
    }
    ask(group, info);
}

/* ---- answers ---------------------------------------------------------------------------------------------------------------- */

static void supplied(struct group *group, uint64_t from, const struct repair_message *answer,
                     const uint8_t *entries, size_t bytes)
{
    struct repair *repair = group->repair;
    switch (segment_log_repair_supply(group->log, entries, bytes)) {
    case SEGMENT_LOG_OK:
        group->counters.bytes_repaired += bytes;
        repair_verdicts_note_supply(&repair->verdicts, from, answer->last_index);
        repair->supplier_term = answer->leads_without_you ? answer->term : 0;
        return;
    case SEGMENT_LOG_BAD_ENTRY:
    case SEGMENT_LOG_BROKEN_CHAIN:
        repair_verdicts_bar(&repair->verdicts, from);
        return;
    case SEGMENT_LOG_FULL:
    case SEGMENT_LOG_IO:
    case SEGMENT_LOG_DAMAGED:
    case SEGMENT_LOG_LOST_POSITION:
    case SEGMENT_LOG_FOREIGN:
    case SEGMENT_LOG_MISSING:
    case SEGMENT_LOG_BAD_VERSION:
    case SEGMENT_LOG_NOT_CACHED:
    case SEGMENT_LOG_OUT_OF_RANGE:
    case SEGMENT_LOG_SUPERSEDED:
        return;
    }
}

static void take_answer(struct group *group, uint64_t from, const struct repair_message *answer,
                        const uint8_t *entries, size_t bytes)
{
    struct repair *repair = group->repair;
    if (!repair || repair->number != answer->number || repair->asked_node != from) return;
    struct segment_log_repair_info info;
    segment_log_repair_info(group->log, &info);
    if (info.state != SEGMENT_LOG_REPAIR_WANTS || info.want_before.index != answer->index) return;
    repair->number = 0;
    if (answer->answer == REPAIR_ENTRIES) {
        supplied(group, from, answer, entries, bytes);
    } else {
        unmendable__refused(&repair->unmendable, group, from, answer, &info);
        repair_verdicts_note(&repair->verdicts, from, answer);
    }
    repair__run(group);
}

void repair__frame(struct node *node, const struct peer_frame *frame)
{
    struct repair_message message;
    const size_t used = repair_codec_decode(frame->body, frame->bytes, &message);
    if (used == 0) {
        node->counters.bad_frames++;
        return;
    }
    if (node->stop_quiet) return;
    if (message.type == REPAIR_REQUEST) {
        repair_serve__request(node, frame->node_id, frame->group, &message);
        return;
    }
    struct group *group = node__group(node, frame->group);
    if (!group) group = mending__find(node, frame->group);
    if (group) {
        take_answer(group, frame->node_id, &message, frame->body + used, frame->bytes - used);
    }
}

/* ---- ends ------------------------------------------------------------------------------------------------------------------ */

static void tell_repaired(struct group *group, const struct segment_log_repair_info *info)
{
    const struct repair *repair = group->repair;
    char from[96];
    repair_verdicts_describe_suppliers(&repair->verdicts, from, sizeof(from));
    node__log(group->node, "info",
              "event=\"damage repaired\" group=%" PRIu64
              " topic=\"%s\" partition=%u segment_first=%" PRIu64 " segment_last=%" PRIu64
              " entries=%" PRIu64 " bytes=%" PRIu64 " from=\"%s\"",
              group->id, group->topic, group->partition_number, info->first_index, info->last_index,
              info->supplied_count, info->supplied_bytes, from);
}

static void ended(struct group *group, const struct segment_log_repair_info *info)
{
    struct repair *repair = group->repair;
    switch (info->status) {
    case SEGMENT_LOG_OK:
        tell_repaired(group, info);
        group->counters.segments_repaired++;
        group->counters.entries_repaired += info->supplied_count;
        repair->rounds = 0;
        repair->is_lost = false;
        memset(&repair->unmendable, 0, sizeof(repair->unmendable));
        repair->stuck[0] = 0;
        repair_verdicts_pardon_all(&repair->verdicts);
        break;
    case SEGMENT_LOG_BROKEN_CHAIN: /* what it was supplied leads elsewhere than what stands behind it */
        if (repair->verdicts.supplier == 0) {
            pass_over(repair, info);
        } else {
            /* The last one's certainly do not; if that is a leader, what stands there will never be committed. */
            unmendable__led_elsewhere(&repair->unmendable, group, repair->verdicts.supplier,
                                      repair->supplier_term, info);
            bar_supplier(group, info);
        }
        break;
    case SEGMENT_LOG_FULL:
        group->node->disk_full = true;
        rest(group);
        break;
    case SEGMENT_LOG_IO:
        read__fatal(group, info->status, &info->problem);
        return;
    case SEGMENT_LOG_SUPERSEDED:
        break;
    case SEGMENT_LOG_DAMAGED: /* more of it than was known: its holes are looked at anew */
    case SEGMENT_LOG_LOST_POSITION:
    case SEGMENT_LOG_FOREIGN:
    case SEGMENT_LOG_MISSING:
    case SEGMENT_LOG_BAD_VERSION:
    case SEGMENT_LOG_BAD_ENTRY:
    case SEGMENT_LOG_NOT_CACHED:
    case SEGMENT_LOG_OUT_OF_RANGE:
        rest(group);
        break;
    }
    end_session(group);
}

/* ---- the loop -------------------------------------------------------------------------------------------------------------- */

static void tell_hole(struct group *group, const struct segment_log_hole *hole)
{
    struct segment_log_problem problem = {0};
    segment_log_hole_problem(group->log, hole, &problem);
    group->counters.holes_found++;
    node__log(group->node, "error",
              "event=\"damaged entries, repairing them from peers\" group=%" PRIu64
              " topic=\"%s\" partition=%u first=%" PRIu64 " last=%" PRIu64
              " path=\"%s\" pos=%" PRIu64 " reason=\"%s\" in_doubt=%" PRIu64,
              group->id, group->topic, group->partition_number, hole->first_damaged,
              hole->last_index, problem.path, problem.pos, hole->reason,
              hole->first_damaged - hole->first_index);
}

/* That others were tried says nothing of one that was just found. */
static void note_new_holes(struct group *group)
{
    struct repair *repair = group->repair;
    struct segment_log_hole hole;
    uint64_t newest = repair->holes_told;
    for (uint64_t index = 0; segment_log_hole_from(group->log, index, &hole);
         index = hole.last_index + 1u) {
        if (hole.number <= repair->holes_told) continue;
        tell_hole(group, &hole);
        if (hole.number > newest) newest = hole.number;
    }
    if (newest == repair->holes_told) return;
    repair->holes_told = newest;
    repair->rounds = 0;
    repair->is_lost = false;
}

/* Nothing is missing any more: what waited for it goes on. */
static void is_whole(struct group *group)
{
    repair__free(group);
    if (group->mending) return;
    recall__run(group);
    node__dirty(group);
    request__unpark(group->node, group);
}

void repair__run(struct group *group)
{
    struct node *node = group->node;
    if (!group->mending) damaged__run(group);
    if (group->dropping || node->state == NODE_FAILED || node->stop_quiet) return;
    struct segment_log_info log;
    segment_log_info(group->log, &log);
    if (log.holes_count == 0 && !group->repair) return;
    if (!group->repair) {
        group->repair = calloc(1, sizeof(*group->repair));
        if (!group->repair) abort();
        group->repair->answer_us = ANSWER_US;
    }
    note_new_holes(group);
    /* A step of a session leads to another one at most a few times before it waits for a job, a peer or time. */
    for (int steps = 0; steps < 8; steps++) {
        struct segment_log_repair_info before, info;
        segment_log_repair_info(group->log, &before);
        segment_log_info(group->log, &log);
        switch (before.state) {
        case SEGMENT_LOG_REPAIR_NONE:
            if (log.holes_count == 0) {
                /* Its last piece is on this list until it was told of, and lies in what is freed here. */
                if (!list_is_linked(&group->repair->job.link)) is_whole(group);
                return;
            }
            begin_session(group);
            break;
        case SEGMENT_LOG_REPAIR_WORKS:
            work(group);
            break;
        case SEGMENT_LOG_REPAIR_WANTS:
            want(group, &before);
            break;
        case SEGMENT_LOG_REPAIR_ENDED:
            if (group->repair->piece) return;
            ended(group, &before);
            break;
        }
        if (node->state == NODE_FAILED || !group->repair) return;
        segment_log_repair_info(group->log, &info);
        if (info.state == before.state) return;
    }
    node__post(node);
}

void repair__describe(const struct group *group, char *text, size_t bytes)
{
    struct segment_log_hole hole;
    text[0] = 0;
    if (holes__kept(group, &hole) == 0) return;
    const char *stuck = group->repair ? group->repair->stuck : "";
    snprintf(text, bytes, "entries %" PRIu64 "..%" PRIu64 " are damaged on this node, %s%.150s",
             hole.first_index, hole.last_index, stuck[0] ? "not repaired yet: " : "being repaired",
             stuck);
}

void repair__describe_stuck(const struct group *group, char *text, size_t bytes)
{
    const char *stuck = group->repair ? group->repair->stuck : "";
    const char *who = strstr(stuck, "; ");
    snprintf(text, bytes, "%s", who ? who + 2 : stuck);
}

void repair__free(struct group *group)
{
    struct repair *repair = group->repair;
    if (!repair) return;
    assert(!repair->piece);
    assert(!list_is_linked(&repair->job.link));
    end_session(group);
    free(repair);
    group->repair = NULL;
}
