/* Whether a leader does without a damaged replica, so that it may be set aside and made again (PROTOCOL M5).
 *
 * A replica that runs acknowledges what comes behind its damage, and may be one of the majority that commits. It goes only
 * on the word of its leader, which counts those that have what it has, and gives its word to one replica at a time:
 *
 *   nobody has it ─> a damaged replica asks, and a majority besides it is caught up: it has the word
 *   it has the word ─> its epoch is no member any more, or it did not ask for HOLD_US: nobody has it
 *
 * The word is good for a moment only (repair.c), much less than HOLD_US, so that nobody goes by one that was passed on since. */
#include "expendable.h"

#include "chains.h"
#include "group.h"
#include "internal.h"
#include "quorum.h"

#include <planted/planted.h>
#include <segment_log/repair.h>

#include <assert.h>

#define HOLD_US   10000000u
#define MISSED_US 2000000u

struct besides {
    uint64_t node_id;
    struct raft_view view;
};

static bool is_caught_up(void *data, const struct raft_member *member, uint32_t at)
{
    const struct besides *besides = data;
    const struct raft_progress_view *progress = &besides->view.members[at];
    return member->id.node != besides->node_id && progress->caught_up && !progress->regressed;
}

bool expendable__commits_without(const struct group *group, uint64_t node_id)
{
    const struct raft_configuration *configuration = raft_configuration_of(group->raft);
    struct besides besides = {.node_id = node_id};
    if (PLANTED(M5_NEEDED_REPLICA_IS_SET_ASIDE)) return true;
    raft_view(group->raft, io_now_ms(group->node->io), &besides.view);
    assert(besides.view.members_count == configuration->members_count);
    return quorum__is_made(configuration, is_caught_up, &besides);
}

static bool is_member(const struct group *group, uint64_t node_id, uint64_t epoch)
{
    const struct raft_configuration *configuration = raft_configuration_of(group->raft);
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_replica_id *id = &configuration->members[i].id;
        if (id->node == node_id && id->epoch == epoch) return true;
    }
    return false;
}

static bool another_has_it(const struct group *group, uint64_t node_id, uint64_t epoch)
{
    const struct expendable *holder = &group->expendable;
    if (holder->node == 0 || (holder->node == node_id && holder->epoch == epoch)) return false;
    if (PLANTED(M5_TWO_ARE_SET_ASIDE_AT_ONCE)) return false;
    return io_now_us(group->node->io) - holder->at_us < HOLD_US &&
           is_member(group, holder->node, holder->epoch);
}

bool expendable__is_missed(const struct group *group)
{
    const uint64_t missed_us = group->expendable.missed_us;
    return missed_us != 0 && io_now_us(group->node->io) - missed_us < MISSED_US;
}

bool expendable__has_word(struct group *group, uint64_t node_id, uint64_t epoch)
{
    struct segment_log_info info;
    if (group->dropping || group->mending || group->role != RAFT_LEADER) return false;
    if (!group->own_noop_applied) return false;
    segment_log_info(group->log, &info);
    /* Without the base at the start of its log it brings nobody back. */
    if (info.holes_count > 0 || snapshots__start_is_lost(group)) {
        group->expendable.missed_us = io_now_us(group->node->io);
        return false;
    }
    if (chains__is_in_dispute(group) || another_has_it(group, node_id, epoch)) return false;
    if (!expendable__commits_without(group, node_id)) return false;
    group->expendable =
        (struct expendable){.node = node_id, .epoch = epoch, .at_us = io_now_us(group->node->io)};
    return true;
}
