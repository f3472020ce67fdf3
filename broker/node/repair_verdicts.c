#include "repair_verdicts.h"

#include "internal.h"

#include <planted/planted.h>
#include <segment_log/repair.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct repair_verdict *repair_verdicts_of(struct repair_verdicts *verdicts, uint64_t node_id)
{
    for (uint32_t i = 0; i < verdicts->count; i++) {
        if (verdicts->items[i].node_id == node_id) return &verdicts->items[i];
    }
    if (verdicts->count == PEER_KNOWN_MAX) return NULL;
    struct repair_verdict *verdict = &verdicts->items[verdicts->count++];
    *verdict = (struct repair_verdict){.node_id = node_id};
    return verdict;
}

void repair_verdicts_note(struct repair_verdicts *verdicts, uint64_t node_id,
                          const struct repair_message *answer)
{
    struct repair_verdict *verdict = repair_verdicts_of(verdicts, node_id);
    if (!verdict) return;
    *verdict = (struct repair_verdict){.node_id = node_id,
                                       .epoch = answer->from_epoch,
                                       .term = answer->term,
                                       .log_start = answer->log_start,
                                       .log_last_index = answer->log_last_index,
                                       .answer = answer->answer,
                                       .is_known = true};
}

void repair_verdicts_forget(struct repair_verdicts *verdicts)
{
    verdicts->count = 0;
}

void repair_verdicts_end_session(struct repair_verdicts *verdicts)
{
    repair_verdicts_forget(verdicts);
    verdicts->suppliers_count = 0;
    verdicts->supplier = verdicts->supplied_index = 0;
}

void repair_verdicts_note_supply(struct repair_verdicts *verdicts, uint64_t node_id,
                                 uint64_t last_index)
{
    verdicts->supplier = node_id;
    verdicts->supplied_index = last_index;
    for (uint32_t i = 0; i < verdicts->suppliers_count; i++) {
        if (verdicts->suppliers[i] == node_id) return;
    }
    if (verdicts->suppliers_count == REPAIR_SUPPLIERS_MAX) return;
    verdicts->suppliers[verdicts->suppliers_count++] = node_id;
}

bool repair_verdicts_are_disputed(const struct repair_verdicts *verdicts, uint64_t index)
{
    if (verdicts->supplier == 0 || verdicts->supplied_index != index) return false;
    return repair_verdicts_differ(verdicts);
}

bool repair_verdicts_differ(const struct repair_verdicts *verdicts)
{
    for (uint32_t i = 0; i < verdicts->count; i++) {
        const struct repair_verdict *verdict = &verdicts->items[i];
        if (verdict->is_known && verdict->answer == REPAIR_DIFFERS) return true;
    }
    return false;
}

uint64_t repair_verdicts_lowest_start(struct repair_verdicts *verdicts,
                                      const struct raft_configuration *configuration, uint64_t self)
{
    uint64_t lowest = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->id.node == self || (!member->voter && !member->voter_old)) continue;
        const struct repair_verdict *verdict = repair_verdicts_of(verdicts, member->id.node);
        if (!verdict || !verdict->is_known || verdict->answer == REPAIR_BUSY) return 0;
        if (verdict->answer != REPAIR_BELOW_START) continue;
        if (lowest == 0 || verdict->log_start < lowest) lowest = verdict->log_start;
    }
    return lowest;
}

bool repair_verdicts_is_barred(const struct repair_verdicts *verdicts, uint64_t node_id)
{
    for (uint32_t i = 0; i < verdicts->barred_count; i++) {
        if (verdicts->barred[i] == node_id) return true;
    }
    return false;
}

void repair_verdicts_bar(struct repair_verdicts *verdicts, uint64_t node_id)
{
    if (repair_verdicts_is_barred(verdicts, node_id)) return;
    if (verdicts->barred_count == PEER_KNOWN_MAX) return;
    verdicts->barred[verdicts->barred_count++] = node_id;
}

void repair_verdicts_pardon_all(struct repair_verdicts *verdicts)
{
    verdicts->barred_count = 0;
}

bool repair_verdicts_cannot_tell(struct repair_verdicts *verdicts,
                                 const struct raft_configuration *configuration, uint64_t self)
{
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->id.node == self) continue;
        const struct repair_verdict *verdict = repair_verdicts_of(verdicts, member->id.node);
        if (!verdict || !verdict->is_known) return false;
        const bool is_learner = !member->voter && !member->voter_old;
        const bool is_new = is_learner && (verdict->answer == REPAIR_NEVER_HELD ||
                                           verdict->answer == REPAIR_UNKNOWN);
        if (!is_new && verdict->answer != REPAIR_DAMAGED && verdict->answer != REPAIR_BELOW_START) {
            return false;
        }
    }
    return true;
}

bool repair_verdicts_end_between(const struct repair_verdicts *verdicts, uint64_t first_index,
                                 uint64_t last_index)
{
    for (uint32_t i = 0; i < verdicts->count; i++) {
        const struct repair_verdict *verdict = &verdicts->items[i];
        if (verdict->is_known && verdict->answer == REPAIR_NEVER_HELD &&
            verdict->log_last_index >= first_index && verdict->log_last_index <= last_index) {
            return true;
        }
    }
    return false;
}

bool repair_verdicts_are_of_damage(struct repair_verdicts *verdicts,
                                   const struct raft_configuration *configuration, uint64_t self)
{
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const uint64_t id = configuration->members[i].id.node;
        if (id == self) continue;
        const struct repair_verdict *verdict = repair_verdicts_of(verdicts, id);
        if (!verdict || !verdict->is_known || verdict->answer != REPAIR_DAMAGED) return false;
    }
    return true;
}

static void add_name(char *text, size_t bytes, uint64_t node_id, const char *what)
{
    const size_t used = strlen(text);
    snprintf(text + used, bytes - used, "%sn%" PRIu64 ": %s", used ? ", " : "", node_id, what);
}

void repair_verdicts_describe(struct repair_verdicts *verdicts,
                              const struct raft_configuration *configuration, uint64_t self,
                              char *text, size_t bytes)
{
    text[0] = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const uint64_t id = configuration->members[i].id.node;
        if (id == self) continue;
        const struct repair_verdict *verdict = repair_verdicts_of(verdicts, id);
        const char *what = "does not answer";
        if (verdict && verdict->is_known) what = repair_answer_text(verdict->answer);
        if (repair_verdicts_is_barred(verdicts, id)) what = repair_answer_text(REPAIR_DIFFERS);
        add_name(text, bytes, id, what);
    }
    if (!text[0]) snprintf(text, bytes, "there is no other replica");
}

void repair_verdicts_describe_suppliers(const struct repair_verdicts *verdicts, char *text,
                                        size_t bytes)
{
    text[0] = 0;
    for (uint32_t i = 0; i < verdicts->suppliers_count; i++) {
        const size_t used = strlen(text);
        snprintf(text + used, bytes - used, "%sn%" PRIu64, used ? "," : "", verdicts->suppliers[i]);
    }
}

/* D4: what n - majority + 1 whole voters never held is not committed. Where a configuration may stand in what is lost, a
 * majority is asked for, which says the same of one that differs by a voter. An answer given in the term in
 * which this replica may have acknowledged the entries proves nothing: their leader may still count that ack and send them to
 * who answered. In a later term it cannot; nor where all others answered, for then none of them is that leader. */
bool repair_verdicts_are_of_uncommitted(struct repair_verdicts *verdicts,
                                        const struct raft_configuration *configuration,
                                        uint64_t self, uint64_t term,
                                        const struct segment_log_hole *hole)
{
    uint32_t voters[2] = {0, 0};
    uint32_t lacking[2] = {0, 0};
    uint32_t later[2] = {0, 0};
    uint32_t others[2] = {0, 0};
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        const bool is_in[2] = {member->voter, member->voter_old};
        const struct repair_verdict *verdict = repair_verdicts_of(verdicts, member->id.node);
        const bool never_held =
            verdict && verdict->is_known &&
            (verdict->answer == REPAIR_NEVER_HELD ||
             (PLANTED(D7_LOST_EVERYWHERE_IS_CUT) && verdict->answer == REPAIR_DAMAGED));
        const bool lacks = never_held && verdict->epoch == member->id.epoch;
        for (int half = 0; half < 2; half++) {
            if (!is_in[half]) continue;
            voters[half]++;
            if (member->id.node != self) others[half]++;
            if (!lacks) continue;
            lacking[half]++;
            if (verdict->term > term) later[half]++;
        }
    }
    for (int half = 0; half < 2; half++) {
        if (voters[half] == 0) continue;
        const uint32_t counted = lacking[half] == others[half] ? lacking[half] : later[half];
        const uint32_t majority = voters[half] / 2u + 1u;
        uint32_t needed = hole->configurations_known ? voters[half] - majority + 1u : majority;
        if (PLANTED(D4_ONE_ANSWER_CUTS)) needed = 1;
        if (counted < needed) return false;
    }
    return true;
}
