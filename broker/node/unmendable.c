#include "unmendable.h"

#include "base.h"
#include "group.h"
#include "internal.h"
#include "mending.h"
#include "repair.h"

#include <planted/planted.h>
#include <segment_log/repair.h>

#include <string.h>

#define HOPELESS_TIMEOUTS 6u
#define HOPELESS_US_MIN   3000000u /* longer than any word of a leader before is good for */
#define GOES_ON_US        2000000u /* between one refusal and the next */
#define WORD_US           100000u  /* a leader's word is good for a moment only */

static uint64_t state_index(const struct group *group)
{
    return group->mending ? mending__state_index(group) : group->applied_index;
}

/* Of the segment that is mended: without it the core cannot start, or applies nothing any more. */
static bool is_needed_for_state(const struct group *group,
                                const struct segment_log_repair_info *info)
{
    struct segment_log_hole hole;
    return segment_log_hole_from(group->log, state_index(group) + 1u, &hole) &&
           hole.first_index <= info->last_index;
}

static void note_refusal(struct unmendable *unmendable, uint64_t from, uint64_t term,
                         uint64_t at_us)
{
    const bool goes_on = unmendable->refused.node == from && unmendable->refused.term == term &&
                         at_us - unmendable->refused.at_us < GOES_ON_US;
    if (!goes_on) {
        unmendable->refused.node = from;
        unmendable->refused.term = term;
        unmendable->refused.since_us = at_us;
    }
    unmendable->refused.at_us = at_us;
}

void unmendable__asks(struct unmendable *unmendable)
{
    memset(&unmendable->word, 0, sizeof(unmendable->word));
}

bool unmendable__would_go(struct unmendable *unmendable, const struct group *group,
                          const struct segment_log_repair_info *info)
{
    unmendable->asked_to_go =
        !group->node->disk_full &&
        (is_needed_for_state(group, info) || unmendable__lacks_messages(unmendable, group));
    return unmendable->asked_to_go;
}

void unmendable__refused(struct unmendable *unmendable, const struct group *group, uint64_t from,
                         const struct repair_message *answer,
                         const struct segment_log_repair_info *info)
{
    const uint64_t now_us = io_now_us(group->node->io);
    /* Who is busy says nothing of its log, and who was not asked for its word says nothing of that. */
    if (answer->answer == REPAIR_BUSY || !unmendable->asked_to_go) return;
    if (!answer->leads_without_you) {
        if (unmendable->refused.node == from)
            unmendable->refused.node = 0; /* it needs this replica now */
        return;
    }
    unmendable->word.node = from;
    unmendable->word.term = answer->term;
    unmendable->word.at_us = now_us;
    if (is_needed_for_state(group, info)) note_refusal(unmendable, from, answer->term, now_us);
}

void unmendable__led_elsewhere(struct unmendable *unmendable, const struct group *group,
                               uint64_t from, uint64_t term,
                               const struct segment_log_repair_info *info)
{
    if (!group->mending || term == 0 || !is_needed_for_state(group, info)) return;
    note_refusal(unmendable, from, term, io_now_us(group->node->io));
}

static bool lacks_between(const struct group *group, uint64_t behind, uint64_t last)
{
    struct segment_log_hole hole;
    const uint64_t trimmed = partition_trimmed_index(&group->partition);
    if (trimmed > behind) behind = trimmed;
    return segment_log_hole_from(group->log, behind + 1u, &hole) && hole.first_index <= last;
}

/* Also where this replica is the only one. */
static bool is_damaged_everywhere(const struct group *group, struct repair_verdicts *verdicts)
{
    return repair_verdicts_are_of_damage(verdicts, raft_configuration_of(group->raft),
                                         group->node->identity.node_id);
}

/* What nobody keeps any more goes with its file. One that is mending is about to start, for its state covers the damage. */
void unmendable__given_up(struct unmendable *unmendable, struct group *group,
                          struct repair_verdicts *verdicts,
                          const struct segment_log_repair_info *info)
{
    if (group->mending) return;
    const uint64_t start = repair_verdicts_lowest_start(
        verdicts, raft_configuration_of(group->raft), group->node->identity.node_id);
    if (group->drops_prefix && (start != 0 || is_damaged_everywhere(group, verdicts))) {
        base__cover(group, info->last_index);
        return;
    }
    if (start == 0 || group->drops_prefix) return;
    if (!lacks_between(group, start, info->last_index)) return;
    unmendable->kept_behind = start;
    unmendable->kept_last = info->last_index;
    if (unmendable->word.node == 0) return;
    note_refusal(unmendable, unmendable->word.node, unmendable->word.term, unmendable->word.at_us);
}

bool unmendable__lacks_messages(const struct unmendable *unmendable, const struct group *group)
{
    return unmendable->kept_last != 0 && !group->mending &&
           lacks_between(group, unmendable->kept_behind, unmendable->kept_last);
}

static bool is_needed_by_state(const struct group *group)
{
    struct segment_log_hole hole;
    return segment_log_hole_from(group->log, state_index(group) + 1u, &hole);
}

/* It may be that others could still give what is needed, but nobody needs it: what is committed is whole without it. Of a mending
 * replica nobody counts an acknowledgement, so a leader that goes on in its term commits without it. One that runs may be one
 * of the majority, and goes only while its leader's word is fresh. */
bool unmendable__is_hopeless(const struct unmendable *unmendable, const struct group *group)
{
    if (unmendable->refused.node == 0 || PLANTED(M5_UNMENDABLE_REPLICA_WAITS)) return false;
    const uint64_t now_us = io_now_us(group->node->io);
    uint64_t patience_us = HOPELESS_TIMEOUTS * group->node->options.election_timeout_ms_max * 1000u;
    if (patience_us < HOPELESS_US_MIN) patience_us = HOPELESS_US_MIN;
    if (now_us - unmendable->refused.since_us < patience_us) return false;
    if (!is_needed_by_state(group) && !unmendable__lacks_messages(unmendable, group)) return false;
    if (group->mending) return now_us - unmendable->refused.at_us < GOES_ON_US;
    return now_us - unmendable->refused.at_us < WORD_US &&
           group->term == unmendable->refused.term && group->leader == unmendable->refused.node;
}
