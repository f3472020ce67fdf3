#include "quorum.h"

bool quorum__is_made(const struct raft_configuration *configuration, quorum_counts_cb counts,
                     void *data)
{
    uint32_t voters[2] = {0};
    uint32_t counted[2] = {0};
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        const bool votes[2] = {member->voter, configuration->joint && member->voter_old};
        if (!votes[0] && !votes[1]) continue;
        const uint32_t one = counts(data, member, i) ? 1u : 0u;
        for (int half = 0; half < 2; half++) {
            voters[half] += votes[half] ? 1u : 0u;
            counted[half] += votes[half] ? one : 0u;
        }
    }
    return counted[0] * 2u > voters[0] && (!configuration->joint || counted[1] * 2u > voters[1]);
}
