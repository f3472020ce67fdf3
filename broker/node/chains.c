/* Replicas compare their chains, and one that differs from the majority is quarantined (PROTOCOL C3, D6).
 *
 * Whoever notices that another replica has another chain at an entry of the same index and term, or at one that is committed,
 * is in *dispute*: it takes and sends no Raft message of the group, asks the other voters for their chains there, and judges
 * itself by what they say:
 *
 *   a heartbeat or an APPEND of the leader ─┐
 *   a member tells the leader that it differs ─┴─> in dispute ── a majority has its chain ──────> goes on
 *                                                   │  ▲      ── a majority has another one ───> quarantined (lost.c)
 *                                                   └──┘ asks again: no majority either way is a halt
 *
 * Nobody is believed alone, the leader neither: it judges itself like everybody else, and when it is outside it is gone.
 * Being in dispute is being cut off for the group, which Raft is safe under; no read is served either (fetch.c). The chain at an
 * entry stands for all before it, so one that was found with the majority through some index is not asked about again below it. */
#include "chains.h"

#include "drop.h"
#include "fetch.h"
#include "group.h"
#include "internal.h"
#include "list.h"
#include "read.h"
#include "repair.h"

#include <broker/wire_cursor.h>
#include <planted/planted.h>
#include <segment_log/checksum.h>
#include <segment_log/entry.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_EVERY_US 200000u

enum chain_word {
    CHAIN_ASK = 1,
    CHAIN_TELL = 2,
    CHAIN_DIFFERS = 3, /* unasked: to a leader whose chain is another one */
};

struct chain_message {
    enum chain_word word;
    bool is_known;     /* it has an entry there; else the rest is of no meaning */
    bool is_committed; /* TELL: as it knows */
    uint64_t epoch;    /* of the sender's replica */
    uint64_t index;
    uint64_t term; /* of the entry; ASK: as the asker has it */
    uint64_t chain;
};

/* ---- frames ---------------------------------------------------------------------------------------------------------------- */

static void send(struct group *group, uint64_t to, const struct chain_message *message)
{
    uint8_t body[CHAINS_BYTES];
    struct wire_writer writer = {.buffer = body, .capacity = sizeof(body)};
    wire_put_u8(&writer, (uint8_t)message->word);
    wire_put_u8(&writer, message->is_known);
    wire_put_u8(&writer, message->is_committed);
    wire_put_zeros(&writer, 5);
    wire_put_u64(&writer, message->epoch);
    wire_put_u64(&writer, message->index);
    wire_put_u64(&writer, message->term);
    wire_put_u64(&writer, message->chain);
    assert(writer.bytes == sizeof(body));
    const struct io_buffer part = {.data = body, .bytes = sizeof(body)};
    (void)peer_send(group->node->hub, to, PEER_CONTROL, PEER_FRAME_CHAIN, group->id, &part, 1);
}

static bool decode(const struct peer_frame *frame, struct chain_message *ret_message)
{
    struct wire_reader reader = wire_reader_of(frame->body, frame->bytes);
    const uint8_t word = wire_get_u8(&reader);
    ret_message->is_known = wire_get_bool(&reader);
    ret_message->is_committed = wire_get_bool(&reader);
    wire_get_zeros(&reader, 5);
    ret_message->epoch = wire_get_u64(&reader);
    ret_message->index = wire_get_u64(&reader);
    ret_message->term = wire_get_u64(&reader);
    ret_message->chain = wire_get_u64(&reader);
    if (!wire_is_complete(&reader) || word < CHAIN_ASK || word > CHAIN_DIFFERS) return false;
    ret_message->word = (enum chain_word)word;
    return true;
}

/* What this replica has at that index, as it says it to others. */
static struct chain_message say(const struct group *group, enum chain_word word, uint64_t index,
                                uint64_t term, uint64_t chain)
{
    return (struct chain_message){.word = word,
                                  .is_known = true,
                                  .is_committed = index <= group->commit_index,
                                  .epoch = group->epoch,
                                  .index = index,
                                  .term = term,
                                  .chain = chain};
}

/* The same, as long as it is in memory. */
static struct chain_message say_cached(const struct group *group, enum chain_word word,
                                       uint64_t index)
{
    struct segment_log_point point;
    if (segment_log_point_at(group->log, index, &point) != SEGMENT_LOG_OK) {
        return (struct chain_message){.word = word, .epoch = group->epoch, .index = index};
    }
    return say(group, word, index, point.term, point.chain);
}

/* ---- disputes -------------------------------------------------------------------------------------------------------------- */

static void ask(struct group *group)
{
    struct chain_dispute *dispute = &group->dispute;
    const struct chain_message question =
        say(group, CHAIN_ASK, dispute->index, dispute->term, dispute->chain);
    const struct raft_configuration *configuration = raft_configuration_of(group->raft);
    dispute->asked_us = io_now_us(group->node->io);
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->id.node == group->node->identity.node_id) continue;
        if (member->voter || member->voter_old) send(group, member->id.node, &question);
    }
}

/* `own` is what this replica has where that other one has another chain. */
static void begin(struct group *group, const struct chain_message *own, uint64_t other)
{
    struct node *node = group->node;
    if (group->dispute.index != 0 || group->dropping) return;
    group->dispute = (struct chain_dispute){.index = own->index,
                                            .term = own->term,
                                            .chain = own->chain,
                                            .found_with = group->dispute.found_with};
    node->counters.chain_disputes++;
    snprintf(group->problem, sizeof(group->problem),
             "differs from n%" PRIu64 " at entry %" PRIu64
             " (same entry, other chain); stands still until a majority of the voters says which "
             "is right",
             other, own->index);
    node__log(node, "error",
              "event=\"chains differ, asking the other voters\" group=%" PRIu64 " index=%" PRIu64
              " term=%" PRIu64 " peer=%" PRIu64,
              group->id, own->index, own->term, other);
    fetch__park_polls(group);
    ask(group);
}

/* Its place among those that told; told_count: it did not. */
static uint32_t place_of(const struct chain_dispute *dispute, struct raft_replica_id id)
{
    uint32_t at = 0;
    while (at < dispute->told_count &&
           (dispute->told[at].of.node != id.node || dispute->told[at].of.epoch != id.epoch)) {
        at++;
    }
    return at;
}

/* False: it did not tell. */
static bool has_told(const struct chain_dispute *dispute, struct raft_replica_id id,
                     uint64_t *ret_chain)
{
    const uint32_t at = place_of(dispute, id);
    if (at == dispute->told_count) return false;
    *ret_chain = dispute->told[at].chain;
    return true;
}

static void note_told(struct chain_dispute *dispute, struct raft_replica_id id, uint64_t chain)
{
    const uint32_t at = place_of(dispute, id);
    /* Members came and went: who has no place here is not counted, a halt at worst. */
    if (at == RAFT_MEMBERS_MAX) return;
    if (at == dispute->told_count) dispute->told_count++;
    dispute->told[at].of = id;
    dispute->told[at].chain = chain;
}

/* Of this half of the voters: how many have this replica's chain, and how many one other, whichever has the most. */
struct tally {
    uint32_t voters, same, others;
};

static struct tally count(const struct group *group, bool old_half)
{
    const struct chain_dispute *dispute = &group->dispute;
    const struct raft_configuration *configuration = raft_configuration_of(group->raft);
    struct tally tally = {0};
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (!(old_half ? member->voter_old : member->voter)) continue;
        const bool is_self =
            member->id.node == group->node->identity.node_id && member->id.epoch == group->epoch;
        tally.voters++;
        uint64_t chain = 0;
        const bool told = has_told(dispute, member->id, &chain);
        if (is_self || (told && chain == dispute->chain)) {
            tally.same++;
            continue;
        }
        uint32_t alike = 0;
        for (uint32_t j = 0; told && j < configuration->members_count; j++) {
            const struct raft_member *other = &configuration->members[j];
            uint64_t others_chain = 0;
            if (!(old_half ? other->voter_old : other->voter)) continue;
            if (has_told(dispute, other->id, &others_chain) && others_chain == chain) alike++;
        }
        if (alike > tally.others) tally.others = alike;
    }
    return tally;
}

static bool is_majority(uint32_t part, uint32_t voters)
{
    return voters == 0 || part * 2u > voters;
}

static void judge(struct group *group)
{
    struct node *node = group->node;
    struct chain_dispute *dispute = &group->dispute;
    const struct tally new_half = count(group, /* old_half= */ false);
    const struct tally old_half = count(group, /* old_half= */ true);
    if (is_majority(new_half.same, new_half.voters) &&
        is_majority(old_half.same, old_half.voters)) {
        node__log(node, "warn",
                  "event=\"chain is that of the majority\" group=%" PRIu64 " index=%" PRIu64,
                  group->id, dispute->index);
        const uint64_t found_with =
            dispute->index > dispute->found_with ? dispute->index : dispute->found_with;
        *dispute = (struct chain_dispute){.found_with = found_with};
        group->problem[0] = '\0';
        return;
    }
    if (!is_majority(new_half.others, new_half.voters) ||
        !is_majority(old_half.others, old_half.voters)) {
        return; /* a halt, until somebody else answers */
    }
    char why[NODE_STATUS_TEXT_BYTES];
    snprintf(why, sizeof(why),
             "diverged: a majority of the voters has another chain at entry %" PRIu64
             " of term %" PRIu64,
             dispute->index, dispute->term);
    node->counters.replicas_quarantined++;
    group__quarantine(group, why);
}

/* ---- what comes in ----------------------------------------------------------------------------------------------------------- */

static void answered(struct group *group, uint64_t from, const struct chain_message *message)
{
    struct chain_dispute *dispute = &group->dispute;
    if (dispute->index == 0 || message->index != dispute->index || !message->is_known) return;
    /* Another entry that is not known to be committed is a tail that was not cut yet, and no divergence. */
    if (message->term != dispute->term && !message->is_committed) return;
    const struct raft_configuration *configuration = raft_configuration_of(group->raft);
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_replica_id *id = &configuration->members[i].id;
        if (id->node != from || id->epoch != message->epoch) continue;
        note_told(dispute, *id, message->chain);
    }
    judge(group);
}

static void differs(struct group *group, uint64_t from, const struct chain_message *message,
                    const struct chain_message *own)
{
    if (!message->is_known || own->chain == message->chain) return;
    if (message->index <= group->dispute.found_with) return;
    if (own->term != message->term && !own->is_committed) return;
    begin(group, own, from);
}

static void compare_or_tell(struct group *group, uint64_t from, const struct chain_message *message,
                            const struct chain_message *own)
{
    if (message->word == CHAIN_ASK) {
        send(group, from, own);
    } else {
        differs(group, from, message, own);
    }
}

/* ---- entries that are no longer in memory, as of a replica that has just started ------------------------------------------- */

struct chain_read {
    struct group_read base;
    uint64_t from;
    struct chain_message message; /* that came from there, about this entry */
};

static bool decode_own(struct group *group, const struct segment_log_view *view, uint64_t index,
                       struct chain_message *ret_own)
{
    const uint64_t seed = checksum64_group(&group->node->identity.cluster, group->id);
    struct entry_header header;
    if (entry_decode_header(view->parts[0].bytes, view->parts[0].bytes_count, seed, &header) !=
            ENTRY_DECODE_OK ||
        header.index != index) {
        return false;
    }
    *ret_own = say(group, CHAIN_TELL, index, header.term, header.chain);
    return true;
}

static void chain_read_done(struct group_read *base, enum segment_log_status status,
                            struct segment_log_view *view,
                            const struct segment_log_problem *problem)
{
    const struct chain_read *read = (const struct chain_read *)base;
    struct group *group = base->base.group;
    group->chain_reads_count--;
    if (status == SEGMENT_LOG_IO) {
        read__fatal(group, status, problem);
        return;
    }
    if (status == SEGMENT_LOG_DAMAGED && !group->dropping) repair__run(group);
    if (status != SEGMENT_LOG_OK) return; /* it is said again */
    struct chain_message own;
    if (!group->dropping && decode_own(group, view, read->message.index, &own)) {
        compare_or_tell(group, read->from, &read->message, &own);
    }
    segment_log_view_release(view);
}

/* The record of the entry tells its chain. Whoever gets no answer, or is not believed, says the same again. */
static void look_up(struct group *group, uint64_t from, const struct chain_message *message)
{
    if (group->node->stop_quiet || group->chain_reads_count == RAFT_MEMBERS_MAX) return;
    const bool is_question = message->word == CHAIN_ASK;
    if (!is_question && message->index <= group->dispute.found_with) return;
    struct chain_read *read = calloc(1, sizeof(*read));
    if (!read) abort();
    read->base.done = chain_read_done;
    read->from = from;
    read->message = *message;
    if (read__start(group, &read->base, SEGMENT_LOG_BY_INDEX, message->index, message->index,
                    /* bytes_max= */ 1) == SEGMENT_LOG_OK) {
        group->chain_reads_count++;
    }
}

void chains__received(struct node *node, const struct peer_frame *frame)
{
    struct chain_message message;
    struct group *group = node__group(node, frame->group);
    if (!decode(frame, &message)) {
        node->counters.bad_frames++;
        return;
    }
    if (!group || group->dropping) return;
    if (message.word == CHAIN_TELL) {
        answered(group, frame->node_id, &message);
        return;
    }
    const struct chain_message own = say_cached(group, CHAIN_TELL, message.index);
    if (own.is_known) {
        compare_or_tell(group, frame->node_id, &message, &own);
    } else {
        look_up(group, frame->node_id, &message);
    }
}

/* ---- what is compared -------------------------------------------------------------------------------------------------------- */

/* The leader says what its chain is at an entry that this replica has acknowledged to it, or that it is to append behind. */
static bool agrees(struct group *group, const struct raft_message *message, uint64_t index,
                   uint64_t chain, uint64_t term)
{
    struct segment_log_point point;
    if (chain == 0 || message->term < group->term || message->to.epoch != group->epoch) return true;
    if (segment_log_point_at(group->log, index, &point) != SEGMENT_LOG_OK) return true;
    if (term != 0 && point.term != term) return true; /* an ordinary conflict (C3) */
    if (point.chain == chain) return true;
    const struct chain_message own = say_cached(group, CHAIN_DIFFERS, index);
    send(group, message->from.node, &own);
    /* When this replica has been found with the majority there, it is for the leader to judge itself. */
    if (index > group->dispute.found_with) begin(group, &own, message->from.node);
    return false;
}

bool chains__agree(struct group *group, const struct raft_message *message)
{
    if (message->type == RAFT_MESSAGE_APPEND && !PLANTED(C3_CHAIN_BEHIND_IS_NOT_COMPARED)) {
        return agrees(group, message, message->append.previous_index,
                      message->append.previous_chain, message->append.previous_term);
    }
    if (message->type == RAFT_MESSAGE_HEARTBEAT && !PLANTED(D6_HEARTBEATS_COMPARE_NOTHING)) {
        return agrees(group, message, message->heartbeat.commit_index,
                      message->heartbeat.commit_chain, /* term= */ 0);
    }
    return true;
}

/* An entry is to stand right behind one of this log that has the term which its sender says is there. */
static bool follows(struct group *group, const struct raft_message *message, uint64_t term_behind,
                    const struct entry_header *entry)
{
    struct segment_log_point own;
    if (raft_term_at(group->raft, entry->index - 1u) != term_behind) return true; /* a conflict */
    if (!segment_log_read_point(group->log, entry->index - 1u, &own)) return true;
    if (entry->chain == entry_chain(entry, own.chain)) return true;
    const struct chain_message told = say(group, CHAIN_DIFFERS, own.index, own.term, own.chain);
    send(group, message->from.node, &told);
    if (own.index > group->dispute.found_with) begin(group, &told, message->from.node);
    return false;
}

bool chains__follow(struct group *group, const struct raft_message *append, const uint8_t *entries,
                    size_t bytes)
{
    if (append->term < group->term || append->to.epoch != group->epoch) return true;
    if (PLANTED(C3_CHAIN_BEHIND_IS_NOT_COMPARED)) return true;
    const uint64_t seed = checksum64_group(&group->node->identity.cluster, group->id);
    struct segment_log_info log;
    segment_log_info(group->log, &log);
    uint64_t term_behind = append->append.previous_term;
    for (size_t pos = 0; pos < bytes;) {
        struct entry_header entry;
        const enum entry_decode_status status =
            entry_decode_header(entries + pos, bytes - pos, seed, &entry);
        assert(status == ENTRY_DECODE_OK); /* received_check() */
        (void)status;
        if (entry.index > log.last_index + 1u) return true; /* a gap */
        const bool is_new =
            entry.index > log.last_index || (entry.index > group->commit_index &&
                                             raft_term_at(group->raft, entry.index) != entry.term);
        if (is_new) return follows(group, append, term_behind, &entry);
        term_behind = entry.term;
        pos += entry_bytes(entry.payload_bytes);
    }
    return true;
}

bool chains__is_in_dispute(const struct group *group)
{
    return group->dispute.index != 0 && !PLANTED(D6_DISPUTED_REPLICA_GOES_ON);
}

void chains__truncated(struct group *group, uint64_t from_index)
{
    if (group->dispute.found_with >= from_index) group->dispute.found_with = from_index - 1u;
}

/* Others are rid of those entries, too, and could not tell who was right. */
void chains__replaced(struct group *group)
{
    if (group->dispute.index != 0) group->problem[0] = '\0';
    group->dispute = (struct chain_dispute){0};
}

void chains__run(struct node *node)
{
    const uint64_t now_us = io_now_us(node->io);
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        if (group->dispute.index == 0) continue;
        if (now_us - group->dispute.asked_us >= ASK_EVERY_US) ask(group);
    }
}
