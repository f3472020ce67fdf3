#include "quorum.h"

#include <planted/planted.h>

#include <assert.h>

static bool in_half(const struct raft_member *member, bool old_half)
{
    if (PLANTED(C1_LEARNERS_COUNT)) return true;
    return old_half ? member->voter_old : member->voter;
}

/* The majority-th largest value of one half, by insertion into a sorted array of at most 16. */
static uint64_t half_value(const struct raft_configuration *configuration,
                           const uint64_t values[RAFT_MEMBERS_MAX], bool old_half)
{
    uint64_t sorted[RAFT_MEMBERS_MAX]; /* falling */
    uint32_t count = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (!in_half(&configuration->members[i], old_half)) continue;
        uint32_t at = count++;
        while (at > 0 && sorted[at - 1] < values[i]) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = values[i];
    }
    if (count == 0) return 0;
    if (PLANTED(M9_HALF_OF_A_PAIR_DECIDES)) return sorted[(count - 1) / 2];
    return sorted[count / 2]; /* the (count / 2 + 1)-th largest: that many have it or more */
}

uint64_t raft__quorum_value(const struct raft_configuration *configuration,
                            const uint64_t values[RAFT_MEMBERS_MAX])
{
    assert(configuration->members_count <= RAFT_MEMBERS_MAX);
    uint64_t value = half_value(configuration, values, /* old_half= */ false);
    if (configuration->joint && !PLANTED(C1_NEW_HALF_DECIDES_ALONE)) {
        uint64_t value_old = half_value(configuration, values, /* old_half= */ true);
        if (value_old < value) value = value_old;
    }
    return value;
}

bool raft__quorum_reached(const struct raft_configuration *configuration,
                          const bool yes[RAFT_MEMBERS_MAX])
{
    uint64_t values[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        values[i] = yes[i] ? 1 : 0;
    }
    return raft__quorum_value(configuration, values) == 1;
}

bool raft__quorum_possible(const struct raft_configuration *configuration,
                           const bool no[RAFT_MEMBERS_MAX])
{
    bool yes[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        yes[i] = !no[i];
    }
    return raft__quorum_reached(configuration, yes);
}

bool raft__is_voter(const struct raft_member *member)
{
    return member->voter || member->voter_old;
}

uint32_t raft__voters_count(const struct raft_configuration *configuration)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (raft__is_voter(&configuration->members[i])) count++;
    }
    return count;
}

bool raft__same_replica(struct raft_replica_id a, struct raft_replica_id b)
{
    return a.node == b.node && a.epoch == b.epoch;
}

uint32_t raft__member_find(const struct raft_configuration *configuration,
                           struct raft_replica_id id)
{
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (raft__same_replica(configuration->members[i].id, id)) return i;
    }
    return RAFT_MEMBERS_MAX;
}

uint32_t raft__member_find_node(const struct raft_configuration *configuration, raft_node_id node)
{
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (configuration->members[i].id.node == node) return i;
    }
    return RAFT_MEMBERS_MAX;
}
